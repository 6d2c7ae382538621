"""What the choice of hidden degrees costs where a layer is narrow: digits, 64 variables, 16 or 32 units.

    python book/experiments/degrees.py          3 minutes on one core
    python book/experiments/degrees.py --toy    a few seconds, into a temporary folder: only proves that it runs

Networks of one hidden layer, without direct connections. Their hidden degrees are spread evenly, drawn at random (anew
for every seed, as in the paper), or numbered 1, 2, 3, ... until the layer is full. Learning rate and weight decay are
chosen on validation rows for each width and kind, with a seed of its own. Every training begins at the marginals and
goes on until the validation score has not improved for 20 epochs.
"""

from itertools import product

import run
import torch

import made

EXPECTED = "3 minutes"
CONFIG = {
    "data": "digits",
    "widths": [16, 32],
    "degrees": ["even", "random", "sequential"],
    "grid": {"lr": [1e-2, 3e-2], "weight_decay": [0.0, 0.1, 0.3]},
    "training": {"batch_size": 100, "patience": 20, "epochs": 3000},
    "search_seed": 100,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {
    **CONFIG,
    "widths": [16],
    "grid": {"lr": [3e-2], "weight_decay": [0.0]},
    "training": {**CONFIG["training"], "patience": 1},
    "seeds": [0],
}


def build(n_features, width, degrees, seed):
    """The network of a variant; sequential degrees begin again at 1 after D - 1."""
    kind = "even" if degrees == "sequential" else degrees
    model = made.MADE(n_features, (width,), degrees=kind, direct=False, seed=seed)
    if degrees == "sequential":
        order, inputs = model.connectivity.order, model.connectivity.degrees[0]
        model.use(made.Connectivity(order, (inputs, torch.arange(width) % (n_features - 1) + 1)))
    return model


def measure(config, folder, stage, width, degrees, lr, weight_decay, seed):
    """Train and score one network."""
    split = made.data.load(config["data"])
    model = build(split.train.shape[1], width, degrees, seed)
    model.start(split.train)
    return run.fitted(stage, model, split, seed, config["training"], lr=lr, weight_decay=weight_decay)


def jobs(config, runs):
    """The fields of every run: all settings for each width and kind, then the best one with all seeds."""
    grid = [dict(zip(config["grid"], values, strict=True)) for values in product(*config["grid"].values())]
    for width, degrees in product(config["widths"], config["degrees"]):
        kind = {"width": width, "degrees": degrees}
        wanted = [{"stage": "search", **kind, **setting, "seed": config["search_seed"]} for setting in grid]
        yield from wanted
        if all(run.select(runs, **fields) for fields in wanted):
            best = min(run.select(runs, stage="search", **kind), key=lambda row: row["valid"]["mean"])
            for seed in config["seeds"]:
                yield {"stage": "final", **kind, **{name: best[name] for name in config["grid"]}, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("degrees", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
