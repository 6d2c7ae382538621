"""What a narrow layer cannot see, and what that costs: digits with fewer hidden units than degrees.

    python book/experiments/neighbours.py          2 minutes on one core
    python book/experiments/neighbours.py --toy    a few seconds, into a temporary folder: only proves that it runs

With 32 even degrees for 64 variables, every second output cannot see its left neighbour through the hidden layer, and
all else that is allowed it can. Four networks: without direct connections; with those that the layer lacks; with one
for each of the other outputs, to a left neighbour that the layer shows already; with all. Learning rate, dropout and
weight decay are chosen on validation rows, with a seed of its own, for the network without direct connections. The
others have the same setting, so nothing else differs; ``direct.py`` chooses for networks with all connections, too.
Every training goes on until the validation score has not improved for 20 epochs.
"""

from itertools import product

import run
import torch

import made

EXPECTED = "2 minutes"
CONFIG = {
    "data": "digits",
    "hidden": 32,
    "direct": ["none", "lost neighbours", "other neighbours", "all"],
    "grid": {"lr": [3e-3, 1e-2], "dropout": [0.0, 0.1], "weight_decay": [0.1, 0.3]},
    "training": {"batch_size": 100, "patience": 20, "epochs": 3000},
    "search_seed": 100,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {
    **CONFIG,
    "grid": {"lr": [1e-2], "dropout": [0.0], "weight_decay": [0.0]},
    "training": {**CONFIG["training"], "patience": 1},
    "seeds": [0],
}


class Neighbourly(made.MADE):
    """A MADE whose direct connections are only those to left neighbours that the hidden layer shows, or shows not."""

    def __init__(self, *arguments, shown, **options):
        self.shown = shown
        super().__init__(*arguments, **options)

    def use(self, connectivity):
        super().use(connectivity)
        reachable = self.connectivity.reachable()
        left = torch.diag(torch.ones(self.n_features - 1), -1).bool()
        self.direct.set_mask(left & (reachable if self.shown else ~reachable))


def build(config, n_features, direct, dropout, seed):
    """The network of a variant."""
    options = {"dropout": dropout, "seed": seed}
    if direct in ("none", "all"):
        return made.MADE(n_features, (config["hidden"],), direct=direct == "all", **options)
    return Neighbourly(n_features, (config["hidden"],), shown=direct == "other neighbours", **options)


def measure(config, folder, stage, direct, lr, dropout, weight_decay, seed):
    """Train and score one network."""
    split = made.data.load(config["data"])
    model = build(config, split.train.shape[1], direct, dropout, seed)
    return run.fitted(stage, model, split, seed, config["training"], lr=lr, weight_decay=weight_decay)


def jobs(config, runs):
    """The fields of every run: all settings without direct connections, then the best one for all networks."""
    grid = [dict(zip(config["grid"], values, strict=True)) for values in product(*config["grid"].values())]
    wanted = [{"stage": "search", "direct": "none", **setting, "seed": config["search_seed"]} for setting in grid]
    yield from wanted
    if all(run.select(runs, **fields) for fields in wanted):
        best = min(run.select(runs, stage="search"), key=lambda row: row["valid"]["mean"])
        chosen = {name: best[name] for name in config["grid"]}
        for seed, direct in product(config["seeds"], config["direct"]):
            yield {"stage": "final", "direct": direct, **chosen, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("neighbours", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
