"""made/checks.py: whole numbers and positive ones."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from made.checks import integer, positive


@pytest.mark.parametrize("value", [2, 7, 10**30, np.int64(2), np.uint8(255), np.int32(3)])
def test_whole_numbers_become_plain_ints(value):
    found = integer("n", value, 2)
    assert type(found) is int
    assert found == value


NOT_WHOLE = [2.0, 2.5, np.float64(2), "2", None, True, np.True_, Decimal(2), Fraction(2), [2], float("nan")]


@pytest.mark.parametrize("value", [1, 0, -5, np.int64(1), *NOT_WHOLE, np.array(2), torch.tensor(2)], ids=repr)
def test_anything_else_is_named_and_refused(value):
    with pytest.raises(ValueError, match="n_rows must be an int of at least 2, got ") as caught:
        integer("n_rows", value, 2)
    assert str(caught.value).endswith(repr(value))


def test_the_least_number_is_allowed_and_nothing_below():
    assert integer("n", 0, 0) == 0
    assert integer("n", -3, -3) == -3
    with pytest.raises(ValueError, match="at least 0, got -1"):
        integer("n", -1, 0)
    with pytest.raises(ValueError, match="at least 0, got False"):
        integer("n", False, 0)


def test_what_else_is_allowed_is_said():
    with pytest.raises(ValueError, match="n_masks must be an int of at least 1, or None, got True"):
        integer("n_masks", True, 1, otherwise=", or None")


@pytest.mark.parametrize(
    "value", [0.5, 2, Fraction(1, 2), np.float32(0.5), np.int64(3), torch.tensor(0.5), torch.tensor(2)]
)
def test_positive_numbers_become_plain_floats(value):
    assert type(positive("lr", value)) is float
    assert positive("lr", value) == float(value)


@pytest.mark.parametrize(
    "value", [0, -1.0, float("nan"), float("inf"), True, "1", None, 1j, torch.ones(1), torch.tensor(-1.0)]
)
def test_other_numbers_are_named_and_refused(value):
    with pytest.raises(ValueError, match="lr must be a positive number, got "):
        positive("lr", value)
