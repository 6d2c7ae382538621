"""Grey digits: does it help to know that levels are ordered, and where: in what the network sees, or in what it says?

    python book/experiments/levels.py          6 minutes when recorded, on one core
    python book/experiments/levels.py --toy    a few seconds, into a temporary folder: only proves that it runs

The network sees a level as 17 indicators, without order, or as one number, with order (``sees``). What it says of a
pixel are 17 logits, without order, or 5 logistics with 15 numbers, which know it (``says``). All four combinations are
trained with equal hidden layers. For each, the learning rate and dropout are chosen on the validation rows, with
a seed of its own. Networks with the chosen setting are then trained with five other seeds, and only these score the
test rows. Every training starts at the distribution of each pixel and goes on until the validation score has
not improved for 10 epochs.
"""

from dataclasses import dataclass
from itertools import product

import run
import torch

import made

EXPECTED = "6 minutes"
CONFIG = {
    "data": "digits",
    "levels": 17,
    "components": 5,
    "hidden": [100],
    "sees": ["indicators", "numbers"],
    "says": ["logits", "logistics"],
    "grid": {"lr": [1e-3, 3e-3, 1e-2], "dropout": [0.25, 0.5]},
    "batch_size": 100,
    "patience": 10,
    "epochs": 3000,
    "search_seed": 100,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {
    **CONFIG,
    "hidden": [4],
    "grid": {"lr": [1e-2, 3e-2], "dropout": [0.0]},
    "patience": 1,
    "epochs": 2,
    "seeds": [0, 1],
}


@dataclass(frozen=True)
class LogitsFromNumbers(made.Categorical):
    """Says 17 logits, sees numbers between -1 and 1."""

    def __post_init__(self):
        super().__post_init__()
        self._store(n_inputs=1)

    encode = made.DiscretizedLogistic.encode

    def start(self, x):
        return made.Categorical(self.k).start(x)


@dataclass(frozen=True)
class LogisticsFromIndicators(made.DiscretizedLogistic):
    """Says a mixture of logistics, sees 17 indicators."""

    def __post_init__(self):
        super().__post_init__()
        self._store(n_inputs=self.k)

    encode = made.Categorical.encode

    def start(self, x):
        return made.DiscretizedLogistic(self.k, self.components).start(x)


def likelihood(config, sees, says):
    """What the network sees, and what it says, as a likelihood."""
    kind = {
        ("indicators", "logits"): made.Categorical,
        ("numbers", "logits"): LogitsFromNumbers,
        ("indicators", "logistics"): LogisticsFromIndicators,
        ("numbers", "logistics"): made.DiscretizedLogistic,
    }[sees, says]
    return kind(config["levels"], *([config["components"]] if says == "logistics" else []))


def rows(config):
    """Levels of the training, validation and test digits."""
    split = made.data.load(config["data"], binarize=None)
    levels = (((config["levels"] - 1) * part).round() for part in (split.train, split.valid, split.test))
    return made.data.Split(*levels)


def measure(config, folder, stage, sees, says, lr, dropout, seed):
    """Train and score one network."""
    split = rows(config)
    kind = likelihood(config, sees, says)
    model = made.MADE(64, config["hidden"], likelihood=kind, direct=False, dropout=dropout, seed=seed)
    model.start(split.train)
    limits = {key: config[key] for key in ("batch_size", "patience", "epochs")}
    return run.fitted(stage, model, split, seed, limits, {"hidden": config["hidden"]}, lr=lr)


def jobs(config, runs):
    """The fields of every run: all settings with one seed, then the best one of each combination with the others."""
    networks = [dict(zip(("sees", "says"), pair, strict=True)) for pair in product(config["sees"], config["says"])]
    grid, search = config["grid"], {"stage": "search", "seed": config["search_seed"]}
    settings = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    wanted = [{**network, **setting, **search} for network in networks for setting in settings]
    yield from wanted
    if all(run.select(runs, **fields) for fields in wanted):
        for network in networks:
            best = min(run.select(runs, **network, stage="search"), key=lambda row: row["valid"]["mean"])
            chosen = {name: best[name] for name in grid}
            yield from ({**network, **chosen, "stage": "final", "seed": seed} for seed in config["seeds"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("levels", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
