"""The experiment on masks: the paper's form of companion weights, and the search for a setting."""

import importlib
import itertools
import sys

import pytest
import torch
from chapters import BOOK

import made


@pytest.fixture
def masks():
    """The script, imported."""
    sys.path.insert(0, str(BOOK / "experiments"))
    yield importlib.import_module("masks")
    sys.path.remove(str(BOOK / "experiments"))


def trained(model, **options):
    """What a model says of all rows after a few steps."""
    x = made.diagnostics.states(model)
    model.start(x[:40])
    made.fit(model, x[:40], epochs=3, batch_size=20, lr=1e-3, progress=False, **options)
    with torch.no_grad():
        return model.log_prob(x)


def test_a_sum_of_companions_is_their_mean_with_a_learning_rate_n_times_larger(masks):
    """All layers have n = 6 inputs here, so one factor does for all."""
    options = {**masks.ORDERS, "width": 6, "seed": 1, "dropout": 0.0}
    model = lambda companions: masks.build(6, **{**options, "companions": companions}).double()
    expected = trained(model("mean"), lr_factors={"companion": 6})
    torch.testing.assert_close(trained(model("sum")), expected, atol=1e-5, rtol=0)
    assert (trained(model("mean")) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("best", [(0.1, 0.0), (0.01, 0.5), (0.001, 0.2)])
def test_the_search_ends_where_no_neighbour_is_better(masks, best):
    grid = {"lr": [0.001, 0.01, 0.1], "dropout": [0.0, 0.2, 0.5, 0.7]}
    config = {"grid": grid, "rounds": 9, "data": {"d": {"start": {"lr": 0.01, "dropout": 0.2}}}}
    place = lambda point: tuple(grid[name].index(point[name]) for name in grid)
    goal, runs = place(dict(zip(grid, best, strict=True))), []
    while (found := masks.search(config, runs, {"data": "d"}))[1] is None:
        for point in found[0]:
            if not masks.select(runs, **point):
                nats = sum((a - b) ** 2 for a, b in zip(place(point), goal, strict=True))
                runs.insert(0, {"stage": "search", "data": "d", **point, "valid": {"mean": nats}})
    points, chosen = found
    assert len(masks.search({**config, "rounds": 1}, runs, {"data": "d"})[0]) == 5
    assert chosen == dict(zip(grid, best, strict=True))
    everywhere = list(itertools.product(range(3), range(4)))
    near = {p for p in everywhere if sum(abs(a - b) for a, b in zip(p, goal, strict=True)) <= 1}
    assert near <= {place(point) for point in points} < set(everywhere)
