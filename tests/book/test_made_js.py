"""What the interactive pages share, book/static/made.js, in Chromium: it computes what `made.masks` computes.

Needs `make book` first; the fixtures come from `conftest.py`.
"""

import itertools

import pytest
import torch

import made

pytestmark = pytest.mark.browser

HIDDEN = [(), (1,), (3,), (4,), (12,), (2, 5), (6, 6), (7, 2, 12)]
# None of the longer ones is its own inverse, so that an order cannot pass for its degrees.
ORDERS = [
    [0],
    *[[0, 1], [1, 0]],
    [2, 0, 1],
    *[[0, 1, 2, 3], [2, 0, 3, 1]],
    [3, 0, 4, 1, 2],
    *[[7, 6, 5, 4, 3, 2, 1, 0], [5, 2, 7, 0, 3, 6, 1, 4]],
    [4, 9, 0, 12, 7, 2, 11, 5, 1, 8, 3, 10, 6],
]
GRID = list(itertools.product(ORDERS, HIDDEN))

# Everything about a list of [order, hidden], with even degrees or, from a seed each, with random ones.
COMPUTE = """([grid, kind]) => grid.map(([order, hidden], seed) => {
  const D = order.length
  const inner = kind === "even" ? made.evenDegrees(D, hidden) : made.randomDegrees(D, hidden, made.generator(seed))
  const degrees = [made.degreesFromOrder(order), ...inner]
  return {
    degrees, masks: made.buildMasks(degrees), direct: made.directMask(degrees),
    views: made.views(made.buildMasks(degrees)),
    reachable: made.reachable(degrees), wrong: made.reachable(degrees, ">="),
    wrongDirect: made.directMask(degrees, ">="),
    coverage: made.coverage(degrees), coverageDirect: made.coverage(degrees, true),
  }
})"""


@pytest.fixture
def page(visit, base):
    page, complaints = visit(f"{base['file']}/book/mask_explorer.html")  # a page that has the script
    yield page
    assert not complaints, complaints


@pytest.mark.parametrize("kind", ["even", "random"])
def test_degrees_and_masks_are_those_of_the_package(kind, page):
    for (order, hidden), found in zip(GRID, page.evaluate(COMPUTE, [GRID, kind]), strict=True):
        if kind == "even":
            c = made.Connectivity.create(len(order), hidden, order=torch.tensor(order))
            assert found["degrees"] == [layer.tolist() for layer in c.degrees]
        else:  # the package refuses degrees that are out of range or do not follow from the order
            c = made.Connectivity(torch.tensor(order), tuple(torch.tensor(layer) for layer in found["degrees"]))
        assert found["masks"] == [mask.tolist() for mask in c.masks()]
        assert found["direct"] == c.direct_mask().tolist()
        assert found["reachable"] == c.reachable().tolist()
        assert found["coverage"] == pytest.approx(c.coverage(), abs=1e-15)
        assert found["coverageDirect"] == c.coverage(direct=True) == 1
        masks = [mask.double() for mask in c.masks()]
        assert found["views"] == [(product > 0).tolist() for product in products(masks)]
        masks[-1] = (c.degrees[0][:, None] >= c.degrees[-1][None, :]).double()
        assert found["wrong"] == (products(masks)[-1] > 0).tolist()
        assert found["wrongDirect"] == (c.degrees[0][:, None] >= c.degrees[0][None, :]).tolist()


def products(masks):
    """The number of paths from every input to every unit, layer by layer; the inputs come first."""
    inputs = torch.eye(masks[0].shape[1]).double()
    return list(itertools.accumulate(masks, lambda below, mask: mask @ below, initial=inputs))


def test_even_degrees_of_many_sizes(page):
    sizes = [[D, [width]] for D in range(1, 40) for width in (1, 2, 3, 7, 38, 39, 40, 100)]
    sizes += [[784, [500, 500]], [784, [64]], [100, [1000]], [9, [8, 4, 20]], [1, [3, 2]]]
    found = page.evaluate("sizes => sizes.map(([D, hidden]) => made.evenDegrees(D, hidden))", sizes)
    assert found == [[layer.tolist() for layer in made.masks.even_degrees(D, hidden)] for D, hidden in sizes]


def test_random_degrees_start_at_the_smallest_of_the_layer_before(page):
    draw = "seeds => seeds.map(seed => made.randomDegrees(5, [2, 3], made.generator(seed)))"
    drawn = page.evaluate(draw, list(range(600)))
    for low in range(1, 5):
        second = [layer for first, layer in drawn if min(first) == low]
        shares = torch.tensor(second).flatten().bincount(minlength=5) / (3 * len(second))
        expected = torch.where(torch.arange(5) >= low, 1 / (5 - low), 0.0)
        assert len(second) > 20
        assert (shares - expected).abs().max() < 0.1
    assert page.evaluate("made.randomDegrees(1, [3, 2], made.generator(0))") == [[0, 0, 0], [0, 0]]


def test_orders(page):
    natural, orders = page.evaluate("""() => [[1, 2, 5].map(made.naturalOrder),
      [...Array(600).keys()].map(seed => made.randomOrder(3, made.generator(seed)))]""")
    assert natural == [[0], [0, 1], [0, 1, 2, 3, 4]]
    counts = {order: orders.count(list(order)) for order in itertools.permutations(range(3))}
    assert sum(counts.values()) == 600
    assert all(70 < n < 130 for n in counts.values())
    order, degrees = page.evaluate("""() => {
      const order = made.randomOrder(784, made.generator(3))
      return [order, made.degreesFromOrder(order)]
    }""")
    assert degrees == made.masks.degrees_from_order(torch.tensor(order)).tolist()
    assert page.evaluate("made.randomOrder(1, made.generator(0))") == [0]


def mulberry32(seed, n):
    """The first n numbers of the generator, by its published definition, in whole numbers."""
    mask, numbers = 2**32 - 1, []
    for _ in range(n):
        seed = (seed + 0x6D2B79F5) & mask
        z = (seed ^ seed >> 15) * (seed | 1) & mask
        z ^= z + ((z ^ z >> 7) * (z | 61) & mask) & mask
        numbers.append(((z ^ z >> 14) + 0.5) / 2**32)
    return numbers


def test_the_generator_is_mulberry32(page):
    draw = "seed => { const random = made.generator(seed); return Array.from({length: 100}, random) }"
    for seed in (0, 1, 13, 999_999, 2**32 - 1):
        assert page.evaluate(draw, seed) == mulberry32(seed, 100)


def test_random_numbers_are_uniform_and_follow_the_seed(page):
    draw = "seed => { const random = made.generator(seed); return Array.from({length: 20000}, random) }"
    u = torch.tensor(page.evaluate(draw, 1), dtype=torch.float64)
    assert page.evaluate(draw, 1) == u.tolist() != page.evaluate(draw, 2)
    assert u.min() > 0
    assert u.max() < 1
    # the largest distance between the empirical and the true distribution function exceeds this once in 1000 times
    assert (u.sort().values - torch.arange(20000) / 20000).abs().max() < 1.95 / 20000**0.5
    assert abs(torch.corrcoef(torch.stack([u[1:], u[:-1]]))[0, 1]) < 0.025
