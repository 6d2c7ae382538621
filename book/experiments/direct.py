"""A correct MADE with and without direct connections, at several widths: when do they matter?

    python book/experiments/direct.py          67 minutes when recorded, on one core
    python book/experiments/direct.py --workers 12      the same in less time
    python book/experiments/direct.py --toy    a few seconds, into a temporary folder: only proves that it runs

For every width, with and without direct connections, the learning rate, dropout and weight decay are chosen on the
validation rows, with a seed of its own. Networks with the chosen setting are then trained with five other seeds, and
only these score the test rows. Every training goes on until the validation score has not improved for 30 epochs.
``mnist_many.py`` does the same with MNIST.
"""

from itertools import product

import run
import torch

import made

EXPECTED = "67 minutes"
NARROW = {"lr": [3e-3, 1e-2, 3e-2], "dropout": [0.0, 0.1, 0.25, 0.5], "weight_decay": [0.0, 0.1, 0.3, 1.0]}
WIDE = {"lr": [1e-3, 3e-3, 1e-2], "dropout": [0.25, 0.5, 0.75], "weight_decay": [0.0, 0.1, 0.3]}
CONFIG = {
    "data": "digits",
    "grids": [
        {"hidden": [], "lr": [3e-3, 1e-2, 3e-2], "dropout": [0.0], "weight_decay": [0.0, 0.03, 0.1, 0.3, 1.0]},
        *({"hidden": [units], **NARROW} for units in (8, 32, 128)),
        *({"hidden": hidden, **WIDE} for hidden in ([512], [2048], [512, 512])),
    ],
    "batch_size": 100,
    "patience": 30,
    "epochs": 3000,
    "search_seed": 100,
    "seeds": [0, 1, 2, 3, 4],
}
SMALL = [{"hidden": hidden, "lr": [1e-2, 3e-2], "dropout": [0.0], "weight_decay": [0.0]} for hidden in ([], [4])]
TOY = {**CONFIG, "grids": SMALL, "patience": 1, "seeds": [0, 1]}


def measure(config, folder, stage, hidden, direct, lr, dropout, weight_decay, seed):
    """Train and score one network."""
    split = made.data.load(config["data"])
    output_is_direct = not hidden  # without hidden units the output layer itself is the direct connection
    model = made.MADE(split.train.shape[1], hidden, direct=direct and not output_is_direct, dropout=dropout, seed=seed)
    limits = {key: config[key] for key in ("batch_size", "patience", "epochs")}
    noted = {"data": config["data"]}
    return run.fitted(stage, model, split, seed, limits, noted, lr=lr, weight_decay=weight_decay)


def networks(config):
    """The fields of every network, and its grid; without hidden units there is something to learn only with direct."""
    for grid in config["grids"]:
        for direct in (True, False) if grid["hidden"] else (True,):
            yield {"hidden": grid["hidden"], "direct": direct}, {k: v for k, v in grid.items() if k != "hidden"}


def jobs(config, runs):
    """The fields of every run: all settings with one seed, then the best one of each network with the others."""
    search = {"stage": "search", "seed": config["search_seed"]}
    wanted = []
    for network, grid in networks(config):
        settings = (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
        wanted += [{**network, **setting, **search} for setting in settings]
    yield from wanted
    if all(run.select(runs, **fields) for fields in wanted):
        for network, grid in networks(config):
            best = min(run.select(runs, **network, stage="search"), key=lambda row: row["valid"]["mean"])
            chosen = {name: best[name] for name in grid}
            yield from ({**network, **chosen, "stage": "final", "seed": seed} for seed in config["seeds"])


def contains(config):
    """Networks that contain others: with direct connections, the one without, and the one without hidden units."""
    full, bare = ({"direct": direct, "stage": "final"} for direct in (True, False))
    for grid in config["grids"]:
        if hidden := grid["hidden"]:
            yield {"hidden": hidden, **bare}, {"hidden": hidden, **full}
            yield {"hidden": [], **full}, {"hidden": hidden, **full}


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("direct", __doc__, CONFIG, TOY, jobs, measure, EXPECTED, contains)
