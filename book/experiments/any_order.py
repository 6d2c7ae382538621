"""Train the order-agnostic network that ships with the book: MNIST rounded to 0/1, a fresh random order at every step.

    python book/experiments/any_order.py          13 minutes when recorded, on one core
    python book/experiments/any_order.py --toy    a few seconds, into a temporary folder: only proves that it runs

Validation uses one order; the test rows are used once, at the end. The shipped file holds weights rounded to float16,
and the recorded likelihoods are those of the rounded weights. A run that is interrupted goes on where it was, from a
checkpoint in the folder ``book/results/unfinished``.
"""

import math
import time

import run
import torch
from masks import by_size

import made

EXPECTED = "13 minutes"
CONFIG = {
    "data": "mnist",
    "binarize": "threshold",
    "setting": {"hidden": [500, 500], "residual": True},
    "order": {"order": "random", "n_masks": None, "seed": 0},
    "phases": [{"lr": 1e-3, "epochs": 40}, {"lr": 3e-4, "epochs": 12}, {"lr": 1e-4, "epochs": 8}],
    "patience": 40,
    "batch_size": 100,
}
TOY = {
    **CONFIG,
    "data": "digits",
    "setting": {"hidden": [8, 8], "residual": True},
    "phases": [{"lr": 1e-3, "epochs": 1}] * 2,
}


def evaluate(model: made.MADE, x: torch.Tensor) -> dict:
    """Mean negative log-likelihoods in nats: under each of 32 connectivities, and of mixtures of the first 1, 2, ..."""
    log_p = run.each_mask(model, x, 32)
    return {
        "test_single": round(-log_p.mean().item(), 3),
        "test_single_stderr": round(log_p.mean(0).std().item() / math.sqrt(len(x)), 3),
        "test_each": [round(v, 3) for v in (-log_p.mean(1)).tolist()],
        "test_mixture": by_size(log_p),
        "test_mixture_stderr": round(run.mixture(log_p).std().item() / math.sqrt(len(x)), 3),
    }


def main() -> None:
    chosen, folder = run.begin("any_order", __doc__, EXPECTED)
    config, started = TOY if chosen.toy else CONFIG, time.process_time()
    split = made.data.load(config["data"], binarize=config["binarize"])
    model, curves = run.train_in_phases(config, folder, split, config["setting"], config["order"])
    model.half().save(folder / "mnist_any_order.safetensors")
    model.float()
    found = {"parameters": made.diagnostics.count_parameters(model), **evaluate(model, split.test)}
    print(found["test_single"], found["test_mixture"])
    seconds = time.process_time() - started  # of work, whatever else the machine has to do
    found |= {"stopped": curves["stopped"], "valid_curve": curves["valid"]}
    print(run.write("any_order", config, time.time() - seconds, folder, **found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
