"""made/masks.py: orders, degrees, masks, connectivities."""

from dataclasses import FrozenInstanceError
from itertools import combinations_with_replacement, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from registry import allowed, reachable_by_paths

from made.masks import Connectivity, build_masks, degrees_from_order, even_degrees, random_degrees

sizes = st.integers(1, 12)
widths = st.lists(st.integers(1, 15), max_size=3)
seeds = st.integers(0, 10_000)
kinds = st.sampled_from(["even", "random"])
orders = st.integers(1, 12).flatmap(lambda n: st.permutations(range(n)))


@given(orders)
def test_degrees_are_the_inverse_of_the_order(order):
    degrees = degrees_from_order(torch.tensor(order))
    assert degrees.dtype == torch.int64
    assert [degrees[variable].item() for variable in order] == list(range(1, len(order) + 1))


def test_degrees_of_an_order_that_is_not_its_own_inverse():
    assert degrees_from_order(torch.tensor([2, 0, 1])).tolist() == [2, 3, 1]
    assert degrees_from_order([1, 2, 3, 0]).tolist() == [4, 1, 2, 3]


@given(orders, widths, kinds, seeds)
def test_masks_never_allow_the_forbidden(order, hidden, degrees, seed):
    c = Connectivity.create(len(order), hidden, torch.tensor(order), degrees, seed)
    may_see, by_paths = allowed(torch.tensor(order)), reachable_by_paths(c.degrees)
    assert not (by_paths & ~may_see).any()
    assert torch.equal(c.reachable(), by_paths)
    assert torch.equal(c.direct_mask(), may_see)
    product = c.masks()[0].long()
    for mask in c.masks()[1:]:
        product = mask.long() @ product  # counts paths
    assert torch.equal(product > 0, by_paths)


@given(orders, widths, kinds, seeds)
def test_masks_entry_by_entry(order, hidden, degrees, seed):
    c = Connectivity.create(len(order), hidden, torch.tensor(order), degrees, seed)
    layers, masks = [d.tolist() for d in c.degrees], c.masks()
    assert len(masks) == len(hidden) + 1
    for k, (before, after) in enumerate(pairwise(layers)):
        assert masks[k].tolist() == [[out >= inp for inp in before] for out in after]
    assert masks[-1].tolist() == [[out > inp for inp in layers[-1]] for out in layers[0]]


@given(st.integers(2, 12), widths, seeds)
def test_every_even_unit_has_a_path_in_and_a_path_out(n, hidden, seed):
    masks = Connectivity.create(n, hidden, "random", "even", seed).masks()
    into, out_of = torch.ones(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)
    for mask in masks[:-1]:
        into = mask[:, into].any(1)
        assert into.all()
    for mask in masks[:0:-1]:
        out_of = mask[out_of].any(0)
        assert out_of.all()


@given(sizes, widths)
def test_even_degrees_are_sorted_spread_and_in_range(n, hidden):
    for layer, width in zip(even_degrees(n, hidden), hidden, strict=True):
        assert layer.shape == (width,)
        assert torch.equal(layer, layer.sort().values)
        counts = layer.unique(return_counts=True)[1]
        assert counts.max() - counts.min() <= 1  # every degree as often as any other
        assert len(counts) == (1 if n == 1 else min([n - 1, *hidden]))
        assert layer.min() >= min(1, n - 1)
        assert layer.max() <= n - 1


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_even_degrees_reach_as_much_as_any_choice_of_degrees(n, width):
    def coverage(degrees):
        c = Connectivity(torch.arange(n), (torch.arange(1, n + 1), torch.tensor(degrees)))
        return int(c.reachable().sum())

    best = max(coverage(choice) for choice in combinations_with_replacement(range(n), width))
    assert coverage(even_degrees(n, (width,))[0].tolist()) == best


@pytest.mark.parametrize(("n", "hidden"), [(5, (3, 9)), (6, (9, 2, 7)), (7, (2, 2)), (4, (3, 3, 3))])
def test_more_layers_reach_what_the_narrowest_one_can(n, hidden):
    narrowest = Connectivity.create(n, (min(hidden),)).coverage()
    assert Connectivity.create(n, hidden).coverage() == narrowest


def test_a_narrow_layer_sees_nearly_everything():
    """Degrees given out one after the other would reach 15.7 % here, since only the first 64 inputs were seen."""
    c = Connectivity.create(784, (64,))
    assert c.coverage() > 0.98
    assert c.masks()[0].any(0).sum() > 700
    assert Connectivity.create(784, (500, 500)).coverage() > 0.998


@given(st.integers(1, 12), st.lists(st.integers(1, 6), min_size=2, max_size=4), seeds)
def test_random_degrees_start_at_the_smallest_of_the_layer_just_before(n, hidden, seed):
    layers = random_degrees(n, hidden, torch.Generator().manual_seed(seed))
    assert [len(layer) for layer in layers] == hidden
    low = min(1, n - 1)
    for layer in layers:
        assert layer.min() >= low  # so that every unit sees something
        assert layer.max() <= n - 1  # and is seen
        low = layer.min()


@given(orders, widths, kinds, seeds)
def test_with_a_context_every_layer_has_a_unit_for_the_first_variable(order, hidden, degrees, seed):
    """Degree 0: it sees the context alone, and even the first variable may hear it."""
    c = Connectivity.create(len(order), hidden, torch.tensor(order), degrees, seed, context=True)
    for layer in c.degrees[1:]:
        assert 0 in layer
        assert layer.min() >= 0
        assert layer.max() <= len(order) - 1
    may_see, by_paths = allowed(torch.tensor(order)), reachable_by_paths(c.degrees)
    assert torch.equal(c.reachable(), by_paths)
    assert not (by_paths & ~may_see).any()
    if degrees == "even" and all(width >= len(order) for width in hidden):
        assert torch.equal(by_paths, may_see)


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_even_degrees_with_a_context_reach_as_much_as_any_that_hear_it(n, width):
    reach = lambda degrees: int(Connectivity(torch.arange(n), (torch.arange(1, n + 1), degrees)).reachable().sum())
    choices = combinations_with_replacement(range(n), width - 1)
    best = max(reach(torch.tensor([0, *choice])) for choice in choices)
    assert reach(even_degrees(n, (width,), context=True)[0]) == best


def test_random_degrees_with_a_context_go_down_to_zero():
    layer = random_degrees(5, (40_000,), torch.Generator().manual_seed(0), context=True)[0]
    assert (torch.bincount(layer, minlength=5) - 8_000).abs().max() < 400


@given(orders, widths, kinds, seeds, st.randoms())
def test_reordering_moves_variables_and_leaves_hidden_units(order, hidden, degrees, seed, random):
    c = Connectivity.create(len(order), hidden, torch.tensor(order), degrees, seed)
    other = random.sample(order, len(order))
    d = c.reordered(torch.tensor(other))
    assert d.order.tolist() == other
    assert [d.degrees[0][i].item() for i in other] == list(range(1, len(order) + 1))
    assert all(torch.equal(a, b) for a, b in zip(c.degrees[1:], d.degrees[1:], strict=True))
    # step t of the one sees the same steps as step t of the other
    assert torch.equal(c.reachable()[order][:, order], d.reachable()[other][:, other])
    assert c.reordered(c.order) == c


def test_random_degrees_take_every_allowed_value_equally_often():
    layer = random_degrees(5, (40_000,), torch.Generator().manual_seed(0))[0]
    counts = torch.bincount(layer, minlength=5)
    assert counts[0] == 0
    assert (counts[1:] - 10_000).abs().max() < 400


def test_random_degrees_of_a_narrow_layer_range_over_the_variables_not_its_units():
    drawn = {d for seed in range(60) for d in random_degrees(9, (2,), torch.Generator().manual_seed(seed))[0].tolist()}
    assert drawn == set(range(1, 9))


def test_random_things_follow_the_seed(untouched_rng):
    make = lambda seed: Connectivity.create(8, (20, 20), "random", "random", seed)
    assert make(1) == make(1)
    assert hash(make(1)) == hash(make(1))
    assert make(1) != make(2)
    assert not torch.equal(make(1).order, make(2).order)
    assert not torch.equal(make(1).degrees[1], make(2).degrees[1])


def test_natural_and_given_orders_are_kept():
    order = torch.tensor([2, 0, 1])
    c = Connectivity.create(3, (2,), order)
    order[0] = 99
    assert c.order.tolist() == [2, 0, 1]
    assert (c.n_features, c.hidden) == (3, (2,))
    assert Connectivity.create(4, ()).order.tolist() == [0, 1, 2, 3]


def test_a_connectivity_is_a_value_that_cannot_be_changed():
    c = Connectivity.create(3, (4,))
    with pytest.raises(FrozenInstanceError):
        c.order = torch.tensor([2, 0, 1])
    with pytest.raises(FrozenInstanceError):
        c.degrees = c.degrees[:1]


def test_equality_sees_order_and_every_layer():
    a = Connectivity.create(3, (4, 5))
    assert a == Connectivity.create(3, (4, 5))
    assert a != Connectivity.create(3, (4, 5), torch.tensor([2, 0, 1]))
    assert a != Connectivity.create(3, (4,))
    assert a != Connectivity(a.order, (*a.degrees[:2], torch.tensor([1, 1, 1, 1, 1])))
    assert a != "something else"


def test_without_hidden_layers_the_mask_is_the_direct_mask():
    assert build_masks([torch.tensor([2, 3, 1])])[0].int().tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]


def test_coverage_of_one_variable_is_complete():
    assert Connectivity.create(1, (3,)).coverage() == 1.0


@pytest.mark.parametrize(
    "order",
    [
        [0, 0, 1],
        [0, 1, 3],
        [-1, 0, 1],
        [1, 2, 3],
        [0.0, 1.0, 2.0],
        [[0, 1, 2], [0, 0, 2]],
        [[[0, 1]]],
        [True, False],
        [],
        0,
    ],
)
def test_an_order_must_be_a_permutation(order):
    with pytest.raises(ValueError, match="order must be a permutation of 0"):
        degrees_from_order(torch.tensor(order))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_features": 0}, ValueError, "n_features must be at least 1"),
        ({"n_features": 3.0}, TypeError, "n_features must be an int"),
        ({"n_features": True}, TypeError, "n_features must be an int"),
        ({"hidden": (4, 0)}, ValueError, "hidden sizes must be at least 1"),
        ({"hidden": (-2,)}, ValueError, "hidden sizes must be at least 1"),
        ({"hidden": (4.0,)}, TypeError, "hidden must be a sequence of ints"),
        ({"hidden": (True,)}, TypeError, "hidden must be a sequence of ints"),
        ({"hidden": 4}, TypeError, "hidden must be a sequence of ints"),
        ({"hidden": "4"}, TypeError, "hidden must be a sequence of ints"),
        ({"hidden": None}, TypeError, "hidden must be a sequence of ints"),
        ({"order": "reversed"}, ValueError, 'order must be "natural", "random"'),
        ({"order": torch.tensor([0, 1])}, ValueError, "order must have 3 entries"),
        ({"order": torch.tensor([0, 1, 1])}, ValueError, "order must be a permutation"),
        ({"order": torch.tensor([0, 1, -1])}, ValueError, "order must be a permutation"),
        ({"degrees": "sequential"}, ValueError, 'degrees must be "even" or "random"'),
    ],
)
def test_bad_recipes_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Connectivity.create(**({"n_features": 3, "hidden": (4,)} | arguments))


@pytest.mark.parametrize(
    ("degrees", "message"),
    [
        ([], r"degrees\[0\]"),
        ([[1, 2, 3]], r"degrees\[0\]"),  # not those of the order
        ([[2, 3, 1], [1, 3]], r"degrees\[1\] must lie in 0..2"),
        ([[2, 3, 1], [1, 2], [-1]], r"degrees\[2\] must lie in 0..2"),
        ([[2, 3, 1], []], r"degrees\[1\] must lie in 0..2"),
    ],
)
def test_bad_degrees_are_refused(degrees, message):
    with pytest.raises(ValueError, match=message):
        Connectivity(torch.tensor([2, 0, 1]), tuple(torch.tensor(layer, dtype=torch.int64) for layer in degrees))
