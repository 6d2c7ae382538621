"""Train one-hidden-layer MADEs on MNIST rounded to 0/1: natural and random order, with and without direct connections.

    python book/experiments/mnist.py          36 minutes when recorded, on one core of a busy machine
    python book/experiments/mnist.py --toy    a few seconds, into a temporary folder: only proves that it runs

Early stopping uses the validation rows only; the test rows are used once, at the end. The shipped checkpoints hold
weights rounded to float16, and the recorded likelihoods are those of the rounded weights. A run that is interrupted
goes on where it was, from a checkpoint in the folder ``book/results/unfinished``.
"""

import time

import run
import torch

import made

EXPECTED = "36 minutes"
CONFIG = {
    "data": "mnist",
    "binarize": "threshold",
    "hidden": [500],
    "models": {
        "natural": {"order": "natural", "direct": True},
        "random": {"order": "random", "direct": True},
        "natural_without_direct": {"order": "natural", "direct": False},
    },
    "epochs": 30,
    "patience": 4,
    "batch_size": 100,
    "lr": 1e-3,
    "seed": 0,
}

SHIPPED = ("natural", "random")


def main() -> None:
    chosen, folder = run.begin("mnist", __doc__, EXPECTED)
    started, config = time.time(), {**CONFIG, "data": "digits", "hidden": [16], "epochs": 2} if chosen.toy else CONFIG
    split = made.data.load(config["data"], binarize=config["binarize"])
    models = {}
    for name, options in config["models"].items():
        model = made.MADE(split.train.shape[1], config["hidden"], seed=config["seed"], **options)
        settings = {key: config[key] for key in ("epochs", "patience", "batch_size", "lr", "seed")}
        resume = run.checkpoint(folder, "mnist", config["data"], config["hidden"], options, settings)
        history = made.fit(model, split.train, split.valid, **settings, **resume)
        model.half()  # what is shipped and measured are weights rounded to float16
        if name in SHIPPED:
            model.save(folder / f"mnist_{name}.safetensors")
        model.float()
        models[name] = {
            "parameters": made.diagnostics.count_parameters(model),
            "stopped": history.stopped,
            "valid_nll": made.nll(model, split.valid)._asdict(),
            "test_nll": made.nll(model, split.test)._asdict(),
            "best_epoch": history.best_epoch,
            "train_curve": [round(v, 3) for v in history.train],
            "valid_curve": [round(v, 3) for v in history.valid],
        }
        print(name, models[name]["test_nll"])
    print(run.write("mnist", config, started, folder, models=models))


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
