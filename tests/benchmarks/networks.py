"""The trained networks that the benchmarks sample: two that ship with the book, and a deeper one, trained here."""

import json
import sys
from functools import cache
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "experiments"))
import run
from results import RESULTS

import made

DEEP = {"hidden": [500, 500], "direct": False, "seed": 0}
TRAINING = {"epochs": 1000, "patience": 5, "batch_size": 100, "lr": 1e-3, "seed": 0}
SHIPPED = {"1 x 500, natural order": "natural", "1 x 500, random order": "random"}


def trained(name):
    """Whether a network is trained; that of the toy is not."""
    return name != "toy"


@cache
def _deep():
    """The deeper network and how it was trained, on MNIST rounded to 0 and 1; it is trained once and then read."""
    split = made.data.load("mnist", binarize="threshold")
    model = made.MADE(784, **DEEP)
    resume = run.checkpoint(RESULTS, "speed", "mnist", DEEP, TRAINING)
    return model, made.fit(model, split.train, split.valid, **TRAINING, **resume, progress=False), split


@cache
def _load(name, n_features, hidden):
    if name in SHIPPED:
        return made.MADE.load(RESULTS / f"mnist_{SHIPPED[name]}.safetensors", dtype=torch.float32)
    return _deep()[0] if trained(name) else made.MADE(n_features, hidden, direct=False)


def load(name, config):
    """The network of that name, in float32 and evaluation mode."""
    return _load(name, config["D"], tuple(config["hidden"][1])).eval()


def about(name, config):
    """What a row of the record says of a network."""
    model = load(name, config)
    found = {"network": name, "trained": trained(name), "hidden": list(model.config.hidden)}
    return {**found, "direct": model.direct is not None}


def history(name, config):
    """How training ended, and the score on test rows."""
    if name in SHIPPED:
        document = json.loads((RESULTS / "mnist.json").read_text())
        found, limit = document["models"][SHIPPED[name]], document["config"]["epochs"]
        epochs, test = len(found["valid_curve"]), found["test_nll"]
        ended = "epochs" if epochs == limit else "patience"
        return {"stopped": ended, "epochs": epochs, "best_epoch": found["best_epoch"], "test": _rounded(test)}
    if not trained(name):
        return {"stopped": "epochs", "epochs": 0, "best_epoch": 0, "test": {"mean": 0.0, "stderr": 0.0}}
    model, found, split = _deep()
    test = made.nll(model, split.test)._asdict()
    epochs = len(found.valid)
    return {"stopped": found.stopped, "epochs": epochs, "best_epoch": found.best_epoch, "test": _rounded(test)}


def _rounded(score):
    return {key: round(score[key], 3) for key in ("mean", "stderr")}
