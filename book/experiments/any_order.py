"""Train the order-agnostic network that ships with the book: MNIST rounded to 0/1, a fresh random order at every step.

    python book/experiments/any_order.py          39 minutes when recorded, on one core of a busy machine
    python book/experiments/any_order.py --toy    a few seconds, into a temporary folder: only proves that it runs

Early stopping uses the validation rows under one order; the test rows are used once, at the end. The checkpoint holds
weights rounded to float16, and the recorded likelihoods are those of the rounded weights.
"""

import argparse
import tempfile
import time
from pathlib import Path

import record
import torch
from masks import evaluate

import made

CONFIG = {
    "data": "mnist",
    "hidden": [500, 500],
    "model": {"order": "random", "n_masks": None, "residual": True, "mask_conditioning": True},
    "phases": [{"epochs": 30, "lr": 1e-3}, {"epochs": 6, "lr": 2e-4}],
    "batch_size": 100,
    "seed": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    toy = parser.parse_args().toy
    started, config, folder = time.time(), CONFIG, record.RESULTS
    if toy:
        config = {**CONFIG, "data": "digits", "hidden": [8, 8], "phases": [{"epochs": 1, "lr": 1e-3}] * 2}
        folder = Path(tempfile.mkdtemp())
    split = made.data.load(config["data"])
    model = made.MADE(split.train.shape[1], config["hidden"], seed=config["seed"], **config["model"])
    curve = []
    for phase in config["phases"]:
        settings = {**phase, "patience": phase["epochs"], "batch_size": config["batch_size"], "seed": config["seed"]}
        history = made.fit(model, split.train, split.valid, **settings)
        curve += [round(v, 2) for v in history.valid]
        print(phase, curve[-1], flush=True)
    model.half().save(folder / "mnist_any_order.safetensors")
    model.float()
    found = {"parameters": sum(p.numel() for p in model.parameters()), **evaluate(model, split.test)}
    print(found["test_single"], found["test_mixture"])
    print(record.write("any_order", config, started, folder, **found, valid_curve=curve))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
