"""made/groups.py: one-hot groups found in rows, and rows there and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from registry import seeded

import made
from made.groups import Groups, groups


def one_hot(widths, complete, n, seed=0):
    """Rows of independent groups, each value equally likely; none of the columns where a group may be empty."""
    parts = []
    for k, (width, full) in enumerate(zip(widths, complete, strict=True)):
        drawn = torch.randint(width if full else width + 1, (n,), generator=seeded(seed + k))
        parts.append(torch.nn.functional.one_hot(drawn, width + (not full))[:, 0 if full else 1 :])
    return torch.cat(parts, 1).float()


@given(st.lists(st.tuples(st.integers(2, 7), st.booleans()), min_size=1, max_size=6), st.integers(0, 1000))
def test_groups_are_found_and_rows_come_back(kinds, seed):
    widths, complete = [width for width, _ in kinds], [full for _, full in kinds]
    rows = one_hot(widths, complete, 2000, seed)
    found = groups(rows)
    assert (found.widths, found.complete) == (widths, complete)
    values = found.encode(rows)
    assert torch.equal(found.decode(values), rows)
    found.likelihood.check(values)
    assert not found.violations(rows).any()


def test_independent_columns_are_no_groups():
    """Rare ones that never meet: chance explains it."""
    rows = (torch.rand(400, 300, generator=seeded()) < 0.02).float()
    assert groups(rows).widths == [1] * 300
    assert groups(torch.zeros(5, 3)).widths == [1, 1, 1]
    assert groups(torch.ones(5, 3)).complete == [False] * 3  # a column that always is 1 has two values all the same
    always_and_never = torch.tensor([1.0, 0.0, 0.0]).expand(50, 3)
    assert groups(always_and_never).widths == [1] * 3  # nothing says that they are one variable


def test_a_row_of_values_is_as_probable_as_its_row_of_zeros_and_ones():
    """Rows that keep to the groups: all states of the values once each, and no other row of zeros and ones."""
    found = Groups([0, 3, 5, 6], [True, False, False, True], 8)
    model = made.MADE(4, (9,), likelihood=found.likelihood).double()
    states = made.diagnostics.states(model)
    rows = torch.cartesian_prod(*[torch.arange(2.0)] * 8).double()
    kept = rows[~found.violations(rows)]
    assert len(kept) == len(states) == 3 * 3 * 2 * 2
    assert {tuple(row) for row in found.decode(states).tolist()} == {tuple(row) for row in kept.tolist()}
    assert model.log_prob(found.encode(kept)).exp().sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match=r"rows must keep to the groups, 220 of 256 do not"):
        found.encode(rows)


def test_rows_that_violate_a_group_are_counted():
    found = groups(one_hot([3, 4], [True, False], 500))
    rows = torch.tensor([[0.0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 1, 1, 0, 0]])
    assert found.violations(rows).tolist() == [True, False, True, True]
    assert repr(found) == "Groups(2 variables of 7 columns)"
    assert found.violations(rows.numpy()).tolist() == [True, False, True, True]
    assert found.violations(rows.bool().numpy()).tolist() == [True, False, True, True]


def test_the_public_sets_are_categorical_in_disguise():
    pytest.importorskip("sklearn")
    digits = groups(made.data.load("digits").train)
    assert digits.widths == [1] * 64


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.zeros(0, 3), "rows must have at least one row"),
        (torch.zeros(3), r"rows must have shape \(N, columns\), got \(3,\)"),
        (torch.full((2, 2), 0.5), "rows must hold zeros and ones"),
        (torch.full((2, 2), torch.nan), "rows must hold zeros and ones"),
    ],
)
def test_other_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        groups(rows)


def test_values_that_a_group_does_not_have_are_refused():
    found = Groups([0, 3], [True, False], 4)
    with pytest.raises(ValueError, match="values must be a whole number from 0 to 2"):
        found.decode(torch.tensor([[3.0, 0.0]]))
    with pytest.raises(ValueError, match=r"rows must have shape \(N, 4\), got \(1, 3\)"):
        found.encode(torch.zeros(1, 3))
