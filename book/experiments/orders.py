"""Five orders of the pixels of a digit, each at a narrow and at a wide layer: what they cost, and what they draw.

    python book/experiments/orders.py          4 minutes when recorded, on one core
    python book/experiments/orders.py --toy    a few seconds, into a temporary folder: only proves that it runs

The networks have one hidden layer and no direct connections, so all that an output sees comes through that layer. For
every order, the learning rate of the narrow layer is chosen on validation rows, with a seed of its own, test rows not
looked at. The wide layer has the setting that the search of ``masks.py`` found for one order at this width. For each
order and width, three networks are trained. All trainings end when the validation score, of averaged weights, has
stopped improving.

``orders_drawn.npz`` gets rows drawn by the networks of the first seed, all from the same uniform numbers.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy
import torch
from run import main, nats, plain, select

import made

EXPECTED = "4 minutes"
SIDE = 8


def order_of(name: str) -> torch.Tensor:
    """The order of that name: which of the 64 pixels is generated at each step."""
    pixel = torch.arange(SIDE**2)
    row, column = pixel // SIDE, pixel % SIDE
    if name == "row by row":
        rank = pixel
    elif name == "column by column":
        rank = column * SIDE + row
    elif name == "from the middle":
        up, right = row - (SIDE - 1) / 2, column - (SIDE - 1) / 2
        rank = up**2 + right**2 + (torch.atan2(up, right) + torch.pi) / 100  # rings, and each ring in a turn
    elif name == "coarse to fine":
        level = torch.full((SIDE**2,), 3)
        level[(row + column) % 2 == 0] = 2
        level[(row % 2 == 0) & (column % 2 == 0)] = 1
        level[(row % 4 == 0) & (column % 4 == 0)] = 0
        rank = level * SIDE**2 + pixel
    elif name == "random":
        rank = torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(0))
    else:
        raise ValueError(f"name must be one of {CONFIG['orders']}, got {name!r}")
    return rank.argsort()


CONFIG = {
    "data": "digits",
    "orders": ["row by row", "column by column", "from the middle", "coarse to fine", "random"],
    "widths": [16, 500],
    "grids": [  # one for each width
        {"lr": [3e-3, 1e-2], "dropout": [0.0]},
        {"lr": [1e-2], "dropout": [0.5]},
    ],
    "search_seed": 100,
    "seeds": [0, 1, 2],
    "training": {"batch_size": 100, "ema": 0.995, "epochs": 5000, "patience": 40},
    "drawn": 20,
}
TOY = {
    **CONFIG,
    "widths": [8],
    "grids": [{"lr": [1e-2], "dropout": [0.0]}],
    "seeds": [0],
    "training": {**CONFIG["training"], "epochs": 2, "patience": 1},
    "drawn": 2,
}


def measure(config: dict, folder: Path, stage: str, order: str, width: int, seed: int, lr: float, dropout: float):
    """Train one network; evaluate it on validation rows, and on all rows if the setting is chosen already."""
    split, training = made.data.load(config["data"]), {**config["training"], "lr": lr}
    model = made.MADE(SIDE**2, (width,), order=order_of(order), direct=False, dropout=dropout, seed=seed)
    model.start(split.train)
    history = made.fit(model, split.train, split.valid, seed=seed, progress=False, **training)
    found = {"setting": {**training, "rows": len(split.train)}}
    found |= {"stopped": history.stopped, "epochs": len(history.valid), "best_epoch": history.best_epoch}
    with torch.no_grad():
        scores = {part: model.log_prob(getattr(split, part)) for part in ("train", "valid", "test")}
    if stage == "search":
        return {**found, "valid": nats(scores["valid"])}
    if seed == config["seeds"][0]:
        keep_drawn(folder / "orders_drawn.npz", f"{order}, {width}", model.sample(config["drawn"], generator=seeded()))
    means = {part: nats(log_p) for part, log_p in scores.items()}
    found |= {"parameters": made.diagnostics.count_parameters(model), **means, "lowest_train": means["train"]["mean"]}
    return {**found, "coverage": round(model.connectivity.coverage(), 4), "costs": -scores["test"]}


def seeded() -> torch.Generator:
    """The generator that all samples are drawn with."""
    return torch.Generator().manual_seed(1)


def keep_drawn(path: Path, name: str, rows: torch.Tensor) -> None:
    """Add samples, as bits, to the file."""
    kept = {}
    if path.exists():
        with numpy.load(path) as stored:
            kept = dict(stored)
    numpy.savez_compressed(path, **{**kept, name: rows.numpy().astype(bool)})


def jobs(config: dict, runs: list[dict]) -> Iterator[dict]:
    """The fields of every run: of each order and width those of the search, and when it is over the final ones."""
    for (width, grid), order in product(zip(config["widths"], config["grids"], strict=True), config["orders"]):
        points = [dict(zip(grid, point, strict=True)) for point in product(*grid.values())]
        cell, seed = {"order": order, "width": width}, config["search_seed"]
        scores = [0.0] if len(points) == 1 else []  # nothing to choose
        for point in points if len(points) > 1 else ():
            fields = {"stage": "search", **cell, **point, "seed": seed}
            yield fields
            scores += [run["valid"]["mean"] for run in select(runs, **plain(fields))]
        if len(scores) == len(points):
            best = points[scores.index(min(scores))]
            for seed in config["seeds"]:
                yield {"stage": "final", **cell, **best, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("orders", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
