"""Relatives of MADE on digits rounded to 0/1: masked convolutions, attention, one order and any order.

    python book/experiments/relatives.py          39 minutes when recorded, on one core
    python book/experiments/relatives.py --toy    a few seconds, into a temporary folder: only proves that it runs

Each of five models has a size of its own, fixed beforehand. For each, the learning rate and dropout are chosen on the
validation rows, with a seed of its own, among six settings: eight for PixelCNN and nine for the causal transformer,
whose best ones were at an edge of the first six; four for the transformer for any order, the slowest. Networks with the
chosen setting are then trained with three other seeds, and only these score the test rows. Every training takes
averaged weights and goes on until the validation score has not improved for 10 epochs.

Models for one order have the natural one. Models for any order are scored under the same 8 orders, drawn once:
``test`` is the mean over them, ``costs`` holds it for each row, ``mixture_costs`` is the cost under the mixture of the
8, and ``natural_costs`` that under the natural order alone. A setting of theirs is chosen by the mean over two other
orders. Networks of the first seed are kept in the folder ``book/results/unfinished``, for ``relatives_speed.py``.
"""

import time
from itertools import product

import other_models
import run
import torch

import made

EXPECTED = "39 minutes"


def grid(lr, dropout):
    """All pairs of a learning rate and a dropout."""
    return [{"lr": rate, "dropout": dropped} for rate, dropped in product(lr, dropout)]


CONFIG = {
    "data": "digits",
    "models": {
        "MADE": {"hidden": [500]},
        "MADE, any order": {"hidden": [500], "order": "random", "n_masks": None},
        "PixelCNN": {"channels": 32, "layers": 4, "first": 15},
        "CausalTransformer": {"width": 32, "layers": 2, "heads": 2},
        "AnyOrderTransformer": {"width": 32, "layers": 2, "heads": 2},
    },
    "settings": {
        "MADE": grid([3e-3, 1e-2, 3e-2], [0.2, 0.5]),
        "MADE, any order": grid([1e-3, 3e-3, 1e-2], [0.0, 0.2]),
        "PixelCNN": [*grid([1e-3, 3e-3, 1e-2], [0.1, 0.3]), *grid([1e-3, 3e-3], [0.5])],
        "CausalTransformer": [*grid([1e-3, 3e-3, 1e-2], [0.1, 0.2]), *grid([1e-3], [0.0]), *grid([3e-4], [0.0, 0.1])],
        "AnyOrderTransformer": [*grid([3e-3], [0.0, 0.1]), *grid([1e-2, 1e-3], [0.0])],
    },
    "orders": {"search": {"seed": 1000, "n": 2}, "final": {"seed": 0, "n": 8}},
    "training": {"batch_size": 25, "ema": 0.99, "patience": 10, "epochs": 5000},
    "search_seed": 100,
    "seeds": [0, 1, 2],
}
TOY = {
    **CONFIG,
    "models": {
        "MADE": {"hidden": [4]},
        "MADE, any order": {"hidden": [4], "order": "random", "n_masks": None},
        "PixelCNN": {"channels": 2, "layers": 1, "first": 3},
        "CausalTransformer": {"width": 4, "layers": 1, "heads": 1},
        "AnyOrderTransformer": {"width": 4, "layers": 1, "heads": 1},
    },
    "settings": {name: grid([1e-2], [0.0]) for name in CONFIG["models"]},
    "orders": {"search": {"seed": 1000, "n": 1}, "final": {"seed": 0, "n": 2}},
    "training": {**CONFIG["training"], "patience": 1, "epochs": 1},
    "seeds": [0],
}
SHAPE = 8, 8


def build(config, model, dropout, seed):
    """A new network of a model. Seeds are far apart, as connectivity number k of a MADE is drawn with seed + k."""
    sizes, D = config["models"][model], SHAPE[0] * SHAPE[1]
    if model.startswith("MADE"):
        return made.MADE(D, dropout=dropout, seed=1_000_000 * seed, **sizes)
    first = {"PixelCNN": SHAPE, "CausalTransformer": (range(D),), "AnyOrderTransformer": (D,)}[model]
    return other_models.seeded(getattr(other_models, model), *first, dropout=dropout, seed=seed, **sizes)


def for_any_order(network):
    """Whether a network was trained for all orders."""
    return isinstance(network, other_models.AnyOrderTransformer) or getattr(network, "order_agnostic", False)


def drawn(orders):
    """Orders of the pixels, shape (n, D)."""
    generator = torch.Generator().manual_seed(orders["seed"])
    return torch.stack([torch.randperm(SHAPE[0] * SHAPE[1], generator=generator) for _ in range(orders["n"])])


@torch.no_grad()
def under(network, x, orders):
    """Log-probability of every row under each order, shape (n, N)."""
    if isinstance(network, other_models.AnyOrderTransformer):
        return torch.stack([network.log_prob(x, order) for order in orders]).double()
    connectivity = lambda order: made.masks.Connectivity.create(len(order), network.config.hidden, order)
    return torch.stack([network.under(connectivity(order)).log_prob(x) for order in orders]).double()


@torch.no_grad()
def scored(network, x, orders):
    """Log-probability of every row under each order, or under the only one that the network has; shape (n, N)."""
    return under(network, x, orders) if for_any_order(network) else network.log_prob(x)[None].double()


def kept(folder, model):
    """Where the weights of the network of the first seed are."""
    return folder / "unfinished" / f"relatives, {model}.pt"


def train(config, split, model, lr, dropout, seed):
    """A trained network and its history."""
    network = build(config, model, dropout, seed)
    if isinstance(network, made.MADE):
        network.start(split.train)
    return network, made.fit(network, split.train, split.valid, lr=lr, seed=seed, progress=False, **config["training"])


def measure(config, folder, stage, model, lr, dropout, seed):
    """Train and score one network."""
    split, started, sizes = made.data.load(config["data"]), time.process_time(), config["models"][model]
    network, history = train(config, split, model, lr, dropout, seed)
    seconds = time.process_time() - started
    valid = scored(network, split.valid, drawn(config["orders"]["search"])).mean(0)
    found = {
        "setting": {"sizes": sizes, **config["training"], "train_rows": len(split.train)},
        "stopped": history.stopped,
        "epochs": len(history.valid),
        "best_epoch": history.best_epoch,
        "training_seconds": round(seconds, 1),
        "parameters": other_models.parameters_that_count(network),
        "valid": run.nats(valid),
        "lowest_train": round(min(history.train), 3),
    }
    if stage == "search":
        return found
    if seed == config["seeds"][0]:
        torch.save(network.state_dict(), kept(folder, model))
    curves = {f"{name}_curve": [round(loss, 2) for loss in getattr(history, name)] for name in ("train", "valid")}
    on_training = run.nats(scored(network, split.train, drawn(config["orders"]["search"])[:1])[0])
    found |= {**curves, "train": on_training, "lowest_train": min(found["lowest_train"], on_training["mean"])}
    return {**found, **tested(config, network, split.test)}


def tested(config, network, x):
    """Scores of the test rows."""
    log_p = scored(network, x, drawn(config["orders"]["final"]))
    found = {"test": run.nats(log_p.mean(0)), "costs": -log_p.mean(0)}
    if for_any_order(network):
        natural = under(network, x, torch.arange(x.shape[1])[None])[0]
        found |= {"test_each": [round(nats, 3) for nats in (-log_p.mean(1)).tolist()]}
        found |= {"mixture": run.nats(run.mixture(log_p)), "mixture_costs": -run.mixture(log_p)}
        found |= {"natural": run.nats(natural), "natural_costs": -natural}
    return found


def jobs(config, runs):
    """The fields of every run: of each model all settings with one seed, then the best one with the others."""
    for model, settings in config["settings"].items():
        wanted = [{"stage": "search", "model": model, **setting, "seed": config["search_seed"]} for setting in settings]
        yield from wanted
        if all(run.select(runs, **fields) for fields in wanted):
            best = min(run.select(runs, model=model, stage="search"), key=lambda row: row["valid"]["mean"])
            chosen = {name: best[name] for name in settings[0]}
            yield from ({"stage": "final", "model": model, **chosen, "seed": seed} for seed in config["seeds"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("relatives", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
