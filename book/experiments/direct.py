"""A correct MADE with and without direct connections, at several widths: when do they matter?

    python book/experiments/direct.py          29 minutes when recorded, on one core
    python book/experiments/direct.py --toy  a few seconds, into a temporary folder: only proves that it runs

Early stopping uses the validation rows only; the test rows are used once per run, at the end. Every run is kept as soon
as it is done; started again, the script goes on.
"""

from itertools import product

import run
import torch

import made

EXPECTED = "29 minutes"
CONFIG = {
    "data": {
        "digits": {
            "hidden": [[8], [32], [128], [512], [2048], [512, 512]],
            "rows": [1197],
            "epochs": 100,
            "patience": 15,
            "dropout": 0.5,
            "seeds": [0, 1, 2],
        },
        "mnist": {
            "hidden": [[20], [100], [500], [1000]],
            "rows": [50000],
            "epochs": 15,
            "patience": 5,
            "dropout": 0.0,
            "seeds": [0],
        },
    },
    "lr": 1e-3,
    "batch_size": 100,
}
SMALL = {"hidden": [[4]], "rows": [100], "epochs": 1, "patience": 1, "dropout": 0.0, "seeds": [0]}
TOY = {**CONFIG, "data": {"digits": SMALL}}


def measure(config, folder, data, hidden, rows, direct, seed):
    """Train and evaluate one model."""
    split, options = made.data.load(data), config["data"][data]
    D = split.train.shape[1]
    model = made.MADE(D, hidden, direct=direct, dropout=options["dropout"], seed=seed)
    settings = {key: config[key] for key in ("lr", "batch_size")}
    settings |= {key: options[key] for key in ("epochs", "patience")}
    history = made.fit(model, split.train[:rows], split.valid, seed=seed, progress=False, **settings)
    score = made.nll(model, split.test)
    return {
        "parameters": sum(
            int(layer.mask.sum()) for layer in model.modules() if isinstance(layer, made.layers.MaskedLinear)
        ),
        "coverage": round(model.connectivity.coverage(), 3),
        "test": round(score.mean, 3),
        "stderr": round(score.stderr, 3),
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "valid_curve": [round(v, 3) for v in history.valid],
    }


def jobs(config, runs):
    """The fields of every run."""
    for data, options in config["data"].items():
        for hidden, rows, seed, direct in product(options["hidden"], options["rows"], options["seeds"], (True, False)):
            yield {"data": data, "hidden": hidden, "rows": rows, "direct": direct, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("direct", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
