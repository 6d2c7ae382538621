"""One connectivity or many: single-pass and mixture likelihoods on four data sets, at a small and a large width.

    python book/experiments/masks.py          111 minutes when recorded, on one core of a busy machine
    python book/experiments/masks.py --toy    a few seconds, into a temporary folder: only proves that it runs

Every run is kept in the result file as soon as it is done; started again, the script goes on after the last one. Early
stopping uses the validation rows under the first connectivity; the test rows are used once, at the end. For a model
with several connectivities, ``test_each`` are its test NLLs under 32 of them, ``test_single`` is their mean, and
``test_mixture`` has the test NLL of mixtures of the first few of them.
"""

import math
from itertools import product
from pathlib import Path

import torch
from run import each_mask, main, mixture

import made

EXPECTED = "111 minutes"
EVALUATED = 32
VARIANTS = {
    "one mask": {"n_masks": 1},
    "32 degrees": {"n_masks": 32, "degrees": "random"},
    "32 orders": {"n_masks": 32, "order": "random"},
    "32 orders, companions": {"n_masks": 32, "order": "random", "mask_conditioning": True},
    "fresh orders": {"n_masks": None, "order": "random"},
}
FEW = ["one mask", "32 degrees", "32 orders", "fresh orders"]
SMALL = {"widths": [100, 500], "variants": list(VARIANTS), "seeds": [0, 1], "epochs": 300, "patience": 30}
CONFIG = {
    "variants": VARIANTS,
    "lr": 1e-3,
    "batch_size": 100,
    "data": {
        "mushrooms": SMALL,
        "dna": {**SMALL, "dropout": 0.5},
        "nips": {**SMALL, "dropout": 0.5},
        "mnist": {"widths": [100, 1000], "variants": FEW, "seeds": [0], "epochs": 15, "patience": 5},
    },
}
TOY = {
    **CONFIG,
    "data": {"digits": {"widths": [8], "variants": list(VARIANTS), "seeds": [0], "epochs": 2, "patience": 1}},
}


def evaluate(model: made.MADE, x: torch.Tensor) -> dict:
    """Mean negative log-likelihoods in nats: under each connectivity, and of mixtures of the first 1, 2, 4, ..."""
    parts = each_mask(model, x, EVALUATED)
    sizes = [2**j for j in range(6) if 2**j <= len(parts)]
    mixtures = {k: -mixture(parts[:k]) for k in sizes}
    return {
        "test_single": round(-parts.mean().item(), 3),
        "test_single_stderr": round(parts.mean(0).std().item() / math.sqrt(len(x)), 3),
        "test_each": [round(v, 3) for v in (-parts.mean(1)).tolist()],
        "test_mixture": [{"members": k, "nll": round(v.mean().item(), 3)} for k, v in mixtures.items()],
        "test_mixture_stderr": round(mixtures[sizes[-1]].std().item() / math.sqrt(len(x)), 3),
    }


def measure(config: dict, folder: Path, data: str, width: int, variant: str, seed: int) -> dict:
    """Train and evaluate one model."""
    split, options = made.data.load(data), config["data"][data]
    dropout = options.get("dropout", 0.0)
    model = made.MADE(split.train.shape[1], (width,), dropout=dropout, seed=seed, **config["variants"][variant])
    settings = {"epochs": options["epochs"], "patience": options["patience"], "seed": seed}
    settings |= {key: config[key] for key in ("lr", "batch_size")}
    history = made.fit(model, split.train, split.valid, progress=False, **settings)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        **evaluate(model, split.test),
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "valid_curve": [round(v, 2) for v in history.valid],
    }


def jobs(config, runs):
    """The fields of every run."""
    for data, options in config["data"].items():
        for width, variant, seed in product(options["widths"], options["variants"], options["seeds"]):
            yield {"data": data, "width": width, "variant": variant, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("masks", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
