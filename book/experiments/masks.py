"""One mask or many: single passes and mixtures on four data sets, at two widths.

    python book/experiments/masks.py          90 minutes when recorded, on one core
    python book/experiments/masks.py --toy    a few seconds, into a temporary folder: only proves that it runs

For every data set, width and variant, the learning rate and the dropout are chosen on validation rows: from a starting
point on a grid, the search goes on to neighbours of the best point found, for so many rounds or until none of its
neighbours is better. That takes a seed of its own, and the test rows are not looked at. Then networks are trained with
the chosen setting, one for each seed. Companion weights are tried at one width only.

All trainings end when the validation score, of averaged weights under the first connectivity, has stopped improving.
``test`` is the mean cost of a row over 32 connectivities, those of training or as many of an endless list; ``costs``
holds it for each row, ``mixture_costs`` that under the mixture of the 32. ``mixtures`` are test NLLs of mixtures of the
first few of them.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from run import each_mask, main, mixture, nats, select

import made

EXPECTED = "90 minutes"
EVALUATED, SEARCHED = 32, 8  # connectivities of which the mean is taken: in the end, and while searching
ONE = {"order": "natural", "degrees": "even", "n_masks": 1, "companions": "none"}
ORDERS = {**ONE, "order": "random", "n_masks": 32}
VARIANTS = {
    "one mask": ONE,
    "one random mask": {**ONE, "degrees": "random"},
    "32 random masks": {**ONE, "degrees": "random", "n_masks": 32},
    "one random order": {**ONE, "order": "random"},
    "32 orders": ORDERS,
    "32 orders, random masks": {**ORDERS, "degrees": "random"},
    "fresh orders": {**ORDERS, "n_masks": None},
    "32 orders, mean of companions": {**ORDERS, "companions": "mean"},
    "32 orders, sum of companions": {**ORDERS, "companions": "sum"},
}
CONFIG = {
    "variants": VARIANTS,
    "widths": [100, 500],
    "companion_widths": [100],
    "seeds": [0, 1, 2],
    "search_seed": 100,
    "rounds": 2,
    "grid": {"lr": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1], "dropout": [0.0, 0.2, 0.5, 0.7, 0.85, 0.95]},
    "data": {
        "digits": {"start": {"lr": 1e-2, "dropout": 0.2}, "patience": 20},
        "nips": {"start": {"lr": 1e-3, "dropout": 0.5}, "patience": 40},  # only 4 steps in an epoch
        "dna": {"start": {"lr": 1e-2, "dropout": 0.5}, "patience": 20},
        "mushrooms": {"start": {"lr": 1e-2, "dropout": 0.0}, "patience": 20},
    },
    "training": {"batch_size": 100, "ema": 0.995, "epochs": 5000},
}
TOY = {
    **CONFIG,
    "widths": [8],
    "companion_widths": [8],
    "seeds": [0],
    "grid": {"lr": [1e-3, 1e-2], "dropout": [0.0]},
    "data": {"digits": {"start": {"lr": 1e-3, "dropout": 0.0}, "patience": 1}},
    "training": {**CONFIG["training"], "epochs": 2},
}


class Summed(made.layers.ConditionedLinear):
    """Companion weights as in the paper: their sum is added, where ours adds the sum over the number of inputs."""

    def offset(self) -> torch.Tensor:
        kept = (self.companion * self.mask).sum(1)
        return kept if self.bias is None else self.bias + kept


def build(n_features: int, width: int, seed: int, dropout: float, companions: str, **masks) -> made.MADE:
    """The network of a variant. Seeds are far apart, as connectivity number k of a model is drawn with seed + k."""
    conditioned, seed = companions != "none", 1_000_000 * seed
    model = made.MADE(n_features, (width,), dropout=dropout, seed=seed, mask_conditioning=conditioned, **masks)
    if companions == "sum":
        for layer in (*model.hidden, model.output, model.direct):
            layer.__class__ = Summed
            with torch.no_grad():
                layer.companion /= layer.in_features  # training starts from what ours starts from
    return model


def measure(config: dict, folder: Path, stage: str, data: str, width: int, seed: int, lr=None, dropout=None, **masks):
    """Train one network; evaluate it on validation rows, and on all rows if the setting is chosen already."""
    split, options = made.data.load(data), config["data"][data]
    setting = {**config["training"], "patience": options["patience"], "rows": len(split.train), "lr": lr}
    model = build(split.train.shape[1], width, seed, dropout, **masks)
    model.start(split.train)
    training = {key: value for key, value in setting.items() if key != "rows"}
    found = {"setting": {**setting, "dropout": dropout}}
    try:
        history = made.fit(model, split.train, split.valid, seed=seed, progress=False, **training)
        found |= {"stopped": history.stopped, "epochs": len(history.valid), "best_epoch": history.best_epoch}
    except FloatingPointError:  # the model has the best weights until then
        found |= {"stopped": "not finite"}
    if stage == "search":
        return {**found, "valid": nats(each_mask(model, split.valid, SEARCHED)[:SEARCHED].mean(0))}
    scores = {part: each_mask(model, getattr(split, part), EVALUATED) for part in ("train", "valid", "test")}
    means = {part: nats(log_p.mean(0)) for part, log_p in scores.items()}
    found |= {"parameters": made.diagnostics.count_parameters(model), **means, "lowest_train": means["train"]["mean"]}
    found |= {"mixtures": by_size(scores["test"])}
    return {**found, "costs": -scores["test"].mean(0), "mixture_costs": -mixture(scores["test"])}


def by_size(log_p: torch.Tensor) -> list[dict]:
    """Mean NLL of mixtures of the first 1, 2, 4, ... of the connectivities; ``log_p`` has shape (J, N)."""
    sizes = [2**j for j in range(6) if 2**j <= len(log_p)]
    return [{"members": k, "nll": round(-mixture(log_p[:k]).mean().item(), 3)} for k in sizes]


def jobs(config: dict, runs: list[dict]) -> Iterator[dict]:
    """The fields of every run: of each cell those of the search, and when it is over the final ones."""
    for data, width, masks in product(config["data"], config["widths"], config["variants"].values()):
        if masks["companions"] != "none" and width not in config["companion_widths"]:
            continue
        cell = {"data": data, "width": width, **masks}
        points, best = search(config, runs, cell)
        for point in points:
            yield {"stage": "search", **cell, **point, "seed": config["search_seed"]}
        for seed in config["seeds"] if best else ():
            yield {"stage": "final", **cell, **best, "seed": seed}


def search(config: dict, runs: list[dict], cell: dict) -> tuple[list[dict], dict | None]:
    """The points of the grid that the search has asked for, and the best one if it has come to its end."""
    points = [config["data"][cell["data"]]["start"]]
    for remaining in range(config["rounds"], -1, -1):
        scores = [valid(runs, {"stage": "search", **cell, **point}) for point in points]
        if None in scores:
            return points, None
        best = points[scores.index(min(scores))]
        new = [point for point in neighbours(config["grid"], best) if point not in points] if remaining else []
        if not new:
            break
        points += new
    return points, best


def neighbours(grid: dict, point: dict) -> Iterator[dict]:
    """The points next to a point of a grid."""
    for name, values in grid.items():
        at = values.index(point[name])
        for value in values[max(at - 1, 0) : at] + values[at + 1 : at + 2]:
            yield {**point, name: value}


def valid(runs: list[dict], fields: dict) -> float | None:
    """The validation NLL of a run, None if it has not been done."""
    found = select(runs, **fields)
    return found[0]["valid"]["mean"] if found else None


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("masks", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
