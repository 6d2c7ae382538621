"""made/checks.py: whole numbers and positive ones, switches, and numbers that become tensors."""

import math
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from made.checks import boolean, integer, number, positive, seed_number, tensor


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


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_bools_become_plain_bools(value):
    assert type(boolean("direct", value)) is bool
    assert boolean("direct", value) == value


@pytest.mark.parametrize("value", [0, 1, None, "True", 1.0, np.int64(1), np.array(True), torch.tensor(True)])
def test_other_values_are_no_bools(value):
    with pytest.raises(TypeError, match="direct must be True or False, got "):
        boolean("direct", value)


@pytest.mark.parametrize("value", [0, 0.0, 0.5, np.float32(0.25), np.float64(0.5), np.int64(0), Fraction(1, 2)])
def test_numbers_in_a_range_become_plain_floats(value):
    assert type(number("dropout", value, 0, 1)) is float
    assert number("dropout", value, 0, 1) == float(value)
    assert number("weight_decay", 10**6 + value, 0, math.inf) == 10**6 + float(value)


@pytest.mark.parametrize("value", [-1e-9, 1, 1.0, math.nan, math.inf, True, np.True_, "0", None, 1j, [0.5]])
def test_numbers_outside_a_range_are_named_and_refused(value):
    with pytest.raises(ValueError, match=r"dropout must be a number in \[0, 1\), got "):
        number("dropout", value, 0, 1)


def test_no_number_is_infinite():
    with pytest.raises(ValueError, match=r"weight_decay must be a number in \[0, inf\), got inf"):
        number("weight_decay", math.inf, 0, math.inf)


@pytest.mark.parametrize("value", [0, -1, -(2**63), 2**64 - 1, np.uint64(2**64 - 1), np.int8(-5)])
def test_what_pytorch_takes_for_a_seed_is_one(value):
    assert type(seed_number("seed", value)) is int
    assert torch.Generator().manual_seed(seed_number("seed", value)) is not None
    assert seed_number("seed", value) == value


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**64, True, np.False_, 1.0, None, "0"])
def test_other_seeds_are_refused(value):
    with pytest.raises(ValueError, match="seed must be an int of at most 64 bits, got "):
        seed_number("seed", value)


# numbers become tensors if nothing is lost

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8"]
WHOLE = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_of_the_dtype_is_returned_itself(dtype):
    x = torch.zeros(2, dtype=dtype)
    assert tensor("x", x, dtype) is x
    for other in {*DTYPES, torch.int64, torch.bool} - {dtype}:
        with pytest.raises(
            TypeError, match=f"^x must be a tensor of the model's dtype {dtype}, got a tensor of {other}$"
        ):
            tensor("x", x.to(other), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", FLOATS)
def test_arrays_of_floats_are_rounded(kind, dtype):
    array = np.array([[0.1, -2.5, 0.0], [np.nan, np.inf, -np.inf]]).astype(kind)
    found = tensor("x", array, dtype)
    assert found.dtype == dtype
    expected = torch.tensor(array.astype(np.float64).tolist(), dtype=torch.float64).to(dtype)
    assert torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))
    assert found.isnan().tolist() == np.isnan(array).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", WHOLE)
def test_arrays_of_integers_and_bools_are_kept(kind, dtype):
    array = np.array([[0, 1, 1], [1, 0, 100]]).astype(kind)
    assert tensor("x", array, dtype).tolist() == array.astype(float).tolist()
    assert tensor("x", array, dtype).dtype == dtype
    assert tensor("x", array[0, 1], dtype).shape == ()


def integers(value):
    return np.array([[0, value]], dtype=np.uint64 if value >= 2**63 else np.int64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [lambda v: [[0, v]], integers], ids=["list", "array"])
def test_integers_survive_exactly_or_are_refused(make, dtype):
    """Against Python's own integers: 2^n and 2^n + 1 around what each dtype holds, and the largest there are."""
    bits = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24, torch.float64: 53}[dtype]
    for value in (2**bits, -(2**bits), 2**bits + 2):
        assert tensor("x", make(value), dtype).tolist() == [[0.0, float(value)]]
    largest = [2**62 + 1, 2**63 - 1, -(2**63) + 1, 2**64 - 1]
    for value in (2**bits + 1, -(2**bits) - 1, *largest):
        with pytest.raises(ValueError, match=rf" can: {value} at position \(0, 1\) would become ") as caught:
            tensor("x", make(value), dtype)
        assert str(caught.value).startswith(f"x must hold what {dtype} can: ")


@pytest.mark.parametrize("value", [2**62, 2**63, -(2**63)])
def test_large_integers_that_a_dtype_holds_are_kept(value):
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        for given in ([value], np.array([value]), [value, 0.5]):
            assert int(tensor("x", given, dtype)[0].item()) == value


def test_an_integer_among_floats_is_still_an_integer():
    assert tensor("x", [[0.1, 16777216]], torch.float32).tolist() == [[pytest.approx(0.1), 16777216.0]]
    with pytest.raises(ValueError, match="16777217"):
        tensor("x", [[0.1, 16777217]], torch.float32)
    assert tensor("x", [[16777217.0]], torch.float32).item() == 16777216.0  # a float is rounded
    with pytest.raises(ValueError, match="9007199254740993"):
        tensor("x", [0.5, 2**53 + 1], torch.float64)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1e39, torch.float32), (-1e39, torch.float32), (7e4, torch.float16), (1e39, torch.bfloat16),
        (1e-50, torch.float32), (-1e-50, torch.float32), (1e-9, torch.float16), (1e-60, torch.bfloat16),
    ],
)  # fmt: skip
def test_what_would_become_infinite_or_zero_is_refused(value, dtype):
    rows = [[0.0] * 3, [1.0, 1.0, value]]
    for given in (rows, np.array(rows), np.array(rows, dtype=np.longdouble)):
        with pytest.raises(ValueError, match=r" at position \(1, 2\) would become (-?inf|-?0.0)$") as caught:
            tensor("x", given, dtype)
        assert str(caught.value).startswith(f"x must hold what {dtype} can: ")


def test_numbers_beyond_float64_are_refused():
    extended = np.array([[0.5, np.longdouble("1e400")]])
    for given in ([[0.5, 10**400]], [[0.5, -(10**400)]], *([extended] if np.isfinite(extended).all() else [])):
        with pytest.raises(ValueError, match=r"^x must hold what torch.float64 can: .* at position \(0, 1\) would"):
            tensor("x", given, torch.float64)


def test_lists_of_any_depth_and_of_numbers_of_all_kinds():
    rows = [(1, True), [np.float32(0.5), np.int8(-3)], np.array([Fraction(1, 4), float("nan")], dtype=object)]
    found = tensor("x", rows, torch.float64)
    assert found[:2].tolist() == [[1, 1], [0.5, -3]]
    assert found[2, 0] == 0.25
    assert found[2, 1].isnan()
    assert tensor("x", [], torch.float32).shape == (0,)
    assert tensor("x", [[[1.0]], [[2.0]]], torch.float32).shape == (2, 1, 1)
    assert tensor("x", [np.array([1.0, 2.0])], torch.float32).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("12", TypeError, "got str"),
        (None, TypeError, "got NoneType"),
        (0.5, TypeError, "got float"),
        ({0: 1.0}, TypeError, "got dict"),
        (["1"], TypeError, "x must be a list of numbers, got one of str"),
        ([[1.0, None]], TypeError, "x must be a list of numbers, got one of NoneType"),
        ([1j], TypeError, "x must be a list of numbers, got one of complex"),
        ([Decimal(1)], TypeError, "x must be a list of numbers, got one of Decimal"),
        ([[1.0], [1.0, 2.0]], ValueError, "x must have rows of one length"),
        ([1.0, [2.0]], ValueError, "x must have rows of one length"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], ValueError, "x must have rows of one length"),
        (np.array(["1"]), TypeError, "got an array of <U1"),
        (np.array([1j]), TypeError, "got an array of complex128"),
        (np.array([1.0], dtype=object), TypeError, "got an array of object"),
        (np.array(["2020-01-01"], dtype="M8[D]"), TypeError, "got an array of datetime64"),
        (np.ma.masked_equal([1.0, 2.0], 2.0), TypeError, "x must be an array without a mask"),
    ],
    ids=repr,
)
def test_what_holds_no_numbers_is_refused(value, error, message):
    with pytest.raises(error, match=rf"^x must .*{message}|^{message}"):
        tensor("x", value, torch.float32)


def test_the_array_given_is_neither_shared_nor_touched():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    array.setflags(write=False)
    for given in (array, array[::-1, ::-1], array.T, pd.DataFrame(array)):
        found = tensor("x", given, torch.float32)
        assert found.tolist() == np.asarray(given).tolist()
        found += 1
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_tables_are_taken_column_by_column():
    table = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": [True, False]})
    for dtype in DTYPES:
        found = tensor("x", table, dtype)
        assert found.nan_to_num(9.0).tolist() == [[1, 0.5, 1], [2, 9, 0]]
        assert found.dtype == dtype
    assert tensor("x", table["a"], torch.float32).tolist() == [1, 2]
    assert tensor("x", pd.concat([table, table], axis=1), torch.float32).shape == (2, 6)  # two columns of each name
    assert tensor("x", pd.DataFrame(index=range(3)), torch.float32).shape == (3, 0)
    assert tensor("x", table.set_index("a").index, torch.float32).tolist() == [1, 2]


def test_tables_of_another_library_are_taken_as_well():
    """They are known by what they can do: columns by name, and ``to_numpy``."""

    class Table:
        columns: ClassVar = ["a", "b"]
        to_numpy = None

        def __getitem__(self, name):
            return SimpleNamespace(dtype="number", to_numpy=lambda: np.array({"a": [1, 2], "b": [0.5, 2.0]}[name]))

    assert tensor("x", Table(), torch.float32).tolist() == [[1, 0.5], [2, 2]]


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "Float32", "boolean"])
def test_what_pandas_lacks_is_nan(kind):
    found = tensor("x", pd.DataFrame({"a": pd.array([1, None, 0], dtype=kind)}), torch.float64)
    assert found.nan_to_num(9.0).tolist() == [[1], [9], [0]]
    assert found.isnan().sum() == 1


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (["x", "y"], TypeError, "column 'b' of train must hold numbers, got "),
        (pd.array(["x", "y"], dtype="category"), TypeError, "column 'b' of train must hold numbers, got category"),
        (pd.array([1, 2], dtype="category"), TypeError, "column 'b' of train must hold numbers, got category"),
        (
            pd.to_datetime(["2020-01-01", "2020-01-02"]),
            TypeError,
            "column 'b' of train must hold numbers, got datetime64",
        ),
        (pd.array([1, "x"], dtype=object), TypeError, "column 'b' of train must hold numbers, got object"),
        ([1 + 1j, 2], TypeError, "column 'b' of train must hold numbers, got complex128"),
        (
            [0, 2**24 + 1],
            ValueError,
            r"column 'b' of train must hold what torch.float32 can: 16777217 at position \(1,\)",
        ),
        (
            pd.array([None, 2**24 + 1], dtype="Int64"),
            ValueError,
            r"column 'b' of train must .* 16777217 at position \(1,\)",
        ),
        ([0.0, 1e300], ValueError, r"column 'b' of train must .* 1e\+300 at position \(1,\) would become inf"),
    ],
)
def test_a_column_that_cannot_be_taken_is_named(column, error, message):
    with pytest.raises(error, match=f"^{message}"):
        tensor("train", pd.DataFrame({"a": [1.0, 2.0], "b": column}), torch.float32)
