"""MNIST binarized by one fixed random draw, as in the papers: settings chosen on validation rows, then an ensemble.

    python book/experiments/drawn.py          50 minutes when recorded, on one core
    python book/experiments/drawn.py --toy   a few seconds, into a temporary folder: only proves that it runs

The papers use one particular draw (Larochelle's), which is not always to be had. Ours is another draw from the same
grey levels: statistically equivalent, not the same bits.

Every setting is tried with the natural order, in phases of falling learning rate. The best one on validation rows is
trained again under random orders. Only these networks see the test rows: each alone, and as the mixture of all of them.
Every run is kept as soon as it is done. A run that is interrupted goes on where it was, from a checkpoint in the folder
``book/results/unfinished``, which may be removed at the end.
"""

import torch
from run import each_mask, main, mixture, nats, select, train_in_phases

import made

EXPECTED = "50 minutes"
CONFIG = {
    "data": "mnist",
    "binarize": "stochastic",
    "draw": 0,
    "settings": [
        {"hidden": [1000, 1000], "residual": True, "dropout": 0.3},
        {"hidden": [1000, 1000], "residual": True, "dropout": 0.5},
    ],
    "phases": [{"lr": 1e-3, "epochs": 25}, {"lr": 2e-4, "epochs": 8}, {"lr": 5e-5, "epochs": 4}],
    "patience": 5,
    "batch_size": 100,
    "orders": [
        {"order": "natural", "seed": 0},
        {"order": "random", "seed": 1},
        {"order": "random", "seed": 2},
        {"order": "random", "seed": 3},
    ],
}
TOY = {
    **CONFIG,
    "data": "digits",
    "settings": [{"hidden": [8]}, {"hidden": [4]}],
    "phases": [{"lr": 1e-3, "epochs": 1}] * 2,
    "orders": CONFIG["orders"][:2],
}


def load(config):
    """The rows."""
    return made.data.load(config["data"], binarize=config["binarize"], seed=config.get("draw", 0))


def measure(config, folder, stage, setting, order=None):
    """Train one network, or score those that were trained for the chosen setting."""
    return score(config, folder, setting) if stage == "final" else network(config, folder, setting, order)


def network(config, folder, setting, order):
    """Train a network; what it scores on validation rows."""
    split = load(config)
    model, curves = train_in_phases(config, folder, split, setting, order)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "valid": made.nll(model, split.valid)._asdict(),
        **{f"{name}_curve": curve for name, curve in curves.items()},
    }


def score(config, folder, setting):
    """The test rows, once, under the networks of the chosen setting: each, and the mixture of all."""
    split, parts = load(config), []
    for order in config["orders"]:
        model, _ = train_in_phases(config, folder, split, setting, order)  # at once, where the checkpoints still are
        parts.append(each_mask(model, split.test, 1))
    parts = torch.cat(parts)
    return {
        "test": [nats(part) for part in parts],
        "mixture": [nats(mixture(parts[:k])) for k in range(1, len(parts) + 1)],
        "gain": nats(mixture(parts) - parts.mean(0)),
    }


def jobs(config, runs):
    """The fields of every run: a search among settings, other orders for the best of them, and the test rows."""
    first, *others = config["orders"]
    for setting in config["settings"]:
        yield {"stage": "search", "setting": setting, "order": first}
    best = min(select(runs, stage="search"), key=lambda row: row["valid"]["mean"])["setting"]
    for order in others:
        yield {"stage": "orders", "setting": best, "order": order}
    yield {"stage": "final", "setting": best}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("drawn", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
