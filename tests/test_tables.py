"""made/tables.py: what each column of a table is, its values as a variable of a model, and back."""

import datetime
import decimal
import fractions
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

import made
from made.tables import BEND, UNSEEN, Column, Levels, RealColumn, Table, Values

NAN = np.nan
finite = st.floats(allow_nan=False, allow_infinity=False)


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def values(*numbers):
    return Values.of(np.array(numbers), "x")


def kind(column, dtype=None, is_frame=False):
    array = column.to_numpy() if hasattr(column, "to_numpy") and dtype is None else column
    return Column.fit(Values.of(array, "x"), "x", "auto", dtype, is_frame=is_frame).kind


# ---- what is missing, what is a number ------------------------------------------------------------------------------


def test_everything_that_stands_for_missing_is_missing():
    given = [objects(None, NAN, np.float32(NAN), pd.NA, pd.NaT, decimal.Decimal("NaN"), "NaN", "", 0, [NAN])]
    found = Values.of(*given, "x")
    assert found.missing.tolist() == [True] * 6 + [False] * 4
    assert found.known.tolist() == ["NaN", "", 0, [NAN]]
    assert Values.of(np.array([1.0, NAN]), "x").missing.tolist() == [False, True]
    assert Values.of(pd.Series([1, None], dtype="Int64"), "x").missing.tolist() == [False, True]
    assert Values.of(pd.Series(["a", None], dtype="string"), "x").missing.tolist() == [False, True]
    assert Values.of(pd.Series(pd.Categorical(["a", None])), "x").missing.tolist() == [False, True]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (objects(True, None, False), "b"),
        (objects(True, np.bool_(False)), "b"),
        (objects(1, True, None), "i"),
        (objects(1, np.int8(3)), "i"),
        (objects(1, 2.5), "f"),
        (objects(2**63, 1), "f"),
        (objects(fractions.Fraction(1, 2), decimal.Decimal("1.5"), None), "f"),
        (objects(1, "1"), "O"),
        (objects(1j), "O"),
        (np.array(["1", "2"]), "O"),
        (np.array([1, 2], dtype=np.uint8), "u"),
    ],
)
def test_objects_that_are_all_numbers_are_numbers(given, expected):
    found = Values.of(given, "x")
    assert found.values.dtype.kind == expected
    assert found.known.tolist() == [value for value in given.tolist() if value is not None]


@pytest.mark.parametrize(
    "given", [np.array([1.0, np.inf]), objects(1, -math.inf), objects(10**400, 1), objects(decimal.Decimal("1e400"))]
)
def test_infinite_values_are_refused_by_name(given):
    with pytest.raises(ValueError, match=r"column 'age' must hold finite numbers, got -?inf"):
        Values.of(given, "age")


# ---- real columns ---------------------------------------------------------------------------------------------------


def test_a_normal_column_is_scaled_by_its_moments_and_hardly_bent():
    x = stats.norm(1000, 25).ppf((np.arange(9999) + 0.5) / 9999)
    column = RealColumn.fit(values(*x), "x")
    assert column.centre == pytest.approx(1000)
    assert column.width == pytest.approx(25, rel=1e-3)
    z, unseen, log_factor = column.encode(values(*x))
    np.testing.assert_allclose(z, (x - 1000) / column.width, atol=1e-9)
    np.testing.assert_allclose(log_factor, -math.log(column.width))
    assert not unseen.any()


@pytest.mark.parametrize(
    ("x", "width"),
    [
        (np.r_[np.zeros(80), np.arange(20)], stats.norm.ppf(0.9) * 2),
        (np.r_[np.zeros(92), np.arange(8)], stats.norm.ppf(0.95) * 2),
        (np.r_[np.zeros(999), 7.0], None),
        (np.full(9, 4.0), None),
        (np.full(9, 0.0), None),
    ],
)
def test_where_the_quartiles_are_equal_the_width_is_that_of_wider_quantiles(x, width):
    column = RealColumn.fit(values(*x), "x")
    if width is None:
        assert column.width == (7 if x.max() == 7 else abs(x[0]) or 1)
    else:
        tail = 0.1 if width < 3 else 0.05
        assert np.quantile(x, 0.25) == np.quantile(x, 0.75)
        assert column.width == pytest.approx((np.quantile(x, 1 - tail) - np.quantile(x, tail)) / width)


def test_sentinels_do_not_spoil_the_scale():
    x = np.random.default_rng(0).normal(50, 3, 1000)
    x[:10] = -999999
    column = RealColumn.fit(values(*x), "x")
    assert column.centre == pytest.approx(50, abs=0.3)
    assert column.width == pytest.approx(3, rel=0.1)


def test_the_map_is_smooth_monotone_and_its_derivative_is_reported():
    column = RealColumn("x", "real", (), 3.0, 2.0)
    edge = 3 + 2 * BEND
    x = np.unique(np.r_[np.linspace(-200, 200, 4001), edge + np.linspace(-1e-3, 1e-3, 21)])
    z, _, log_factor = column.encode(values(*x))
    assert (np.diff(z) > 0).all()
    h = 1e-4
    slope = (column.encode(values(*(x + h))).z - column.encode(values(*(x - h))).z) / (2 * h)
    np.testing.assert_allclose(np.exp(log_factor), slope, rtol=1e-4)
    inside = np.abs(x - 3) <= 2 * BEND
    np.testing.assert_allclose(z[inside], (x[inside] - 3) / 2)
    far = np.abs(x - 3) > 2 * BEND
    ratio = np.abs(x[far] - 3) / (2 * BEND)
    np.testing.assert_allclose(z[far], np.sign(x[far] - 3) * BEND * (1 + np.log(ratio)))


def test_a_density_of_the_variable_is_one_of_the_column():
    """Far out, too: a wide normal has much of its mass where the map is bent."""
    column = RealColumn("x", "real", (), -40.0, 1e-3)
    density = stats.norm(1.0, 6.0)
    u = np.linspace(-49, 51, 20001)  # a grid that is as fine in x as the density asks for
    x = column.decode(u)
    z, _, log_factor = column.encode(values(*x))
    total = integrate.trapezoid(np.exp(density.logpdf(z) + log_factor), x)
    assert total == pytest.approx(1, abs=1e-4)
    assert density.cdf(-BEND) + density.sf(BEND) > 0.3


@given(st.lists(finite, min_size=1, max_size=6), finite)
def test_no_number_is_too_large_or_too_small(training, x):
    column = RealColumn.fit(values(*training), "x")
    z, _, log_factor = column.encode(values(x, *training))
    assert np.isfinite(z).all()
    assert np.isfinite(log_factor).all()
    back = column.decode(z)
    assert np.isfinite(back).all()
    slack = 1e-12 * max(column.width, abs(column.centre))
    np.testing.assert_allclose(back, [x, *training], rtol=1e-11, atol=slack)


@given(finite)
def test_whatever_a_model_draws_is_finite(z):
    for column in (RealColumn("x", "real", (), 1e308, 1e300), RealColumn("x", "real", (), 0.0, 1e-300)):
        assert np.isfinite(column.decode(np.array([z]))).all()


def test_missing_values_of_a_real_column():
    z, unseen, log_factor = RealColumn("x", "real", (), 0.0, 2.0).encode(values(1.0, NAN))
    assert (z[0], np.isnan(z[1]), unseen.any()) == (0.5, True, False)
    assert log_factor.tolist() == [-math.log(2), 0]


@pytest.mark.parametrize("given", [objects(1.0, "tall"), np.array(["tall"]), objects(1.0, (2, 3))])
def test_what_is_no_number_is_refused_by_a_real_column(given):
    with pytest.raises(ValueError, match=r"column 'x' must hold numbers, got (np.str_\()?('tall'|\(2, 3\))"):
        RealColumn("x", "real", (), 0.0, 1.0).encode(Values.of(given, "x"))


def test_only_training_rows_tell_the_scale():
    x = np.r_[np.arange(100.0), np.full(50, 1e6)]
    train = np.arange(100)
    column = Table.fit(x[:, None], train=train).columns[0]
    assert (column.centre, column.width) == (49.5, pytest.approx(49.5 / (2 * stats.norm.ppf(0.75))))
    assert Table.fit(x[:, None]).columns[0].centre != 49.5
    gaps = np.where(np.arange(150) < 100, NAN, x)[:, None]
    assert Table.fit(np.c_[gaps[:, 0], x], train=train).columns[0].levels == (1e6,)
    gaps[-1] = 5  # nothing is known in the training rows: then all rows have to do
    assert Table.fit(gaps, train=train).columns[0].centre == 1e6


# ---- what a column is -----------------------------------------------------------------------------------------------


ages = np.random.default_rng(0).integers(18, 90, 500)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (np.array([0, 1, 1]), "binary"),
        (np.array([0.0, 1.0, NAN]), "binary"),
        (np.array([True, False]), "binary"),
        (objects(True, False, None), "binary"),
        (objects("a", "b", "a"), "categorical"),
        (objects("a", 1, ("t", 2)), "categorical"),
        (np.array(["a", "b", "c"]), "categorical"),
        (np.array([1, 2] * 5), "count"),
        (np.arange(11).repeat(2), "count"),
        (ages, "count"),
        (pd.Series(ages, dtype="Int64"), "count"),
        (objects(*([3, 4, None] * 3)), "count"),
        (ages.astype(float), "real"),
        (ages * 10, "real"),  # more than 256 levels
        (np.arange(256).repeat(2), "count"),
        (np.arange(257).repeat(2), "real"),
        (np.arange(9), "real"),  # every value but once
        (np.r_[np.arange(9), np.arange(9)], "count"),
        (np.r_[np.arange(9), np.arange(8)], "real"),
        (np.array([-3, -1, -3, -1]), "count"),
        (np.array([0.5, 1.5]), "real"),
        (np.array([7, 7, 7]), "constant"),
        (np.array([0, 0]), "constant"),
        (np.array([1.5, NAN]), "constant"),
        (objects("k", None), "constant"),
        (np.array([False]), "constant"),
    ],
)
def test_the_rules(column, expected):
    assert kind(column) == expected


def test_a_category_dtype_says_which_values_are_possible():
    column = pd.Series(pd.Categorical(["b", "b", None], categories=["c", "b"]))
    found = Column.fit(Values.of(column, "x"), "x", dtype=column.dtype)
    assert (found.kind, found.levels, found.usual) == ("categorical", ("c", "b"), 1)
    numbers = pd.Series(pd.Categorical([3, 1, 3]))
    assert Column.fit(Values.of(numbers, "x"), "x", dtype=numbers.dtype).likelihood(5) == made.Bernoulli()
    one = pd.Series(pd.Categorical(["b", "b"]))
    assert Column.fit(Values.of(one, "x"), "x", dtype=one.dtype).kind == "constant"


def test_likelihoods():
    of = lambda column: Column.fit(Values.of(column, "x"), "x").likelihood(3)
    assert of(np.array([0.5, 1.5])) == made.MixtureOfGaussians(3)
    assert of(np.array([1, 2, 4] * 2)) == made.DiscretizedLogistic(4, 3)
    assert of(np.array([1, 2] * 2)) == of(np.array([0, 1])) == of(np.array(["a", "b"])) == made.Bernoulli()
    assert of(np.array(["a", "b", "c"])) == made.Categorical(3)


def test_levels_are_in_order_whatever_their_types():
    mixed = objects("b", 2, ("z",), "a", 10, 2, None)
    assert Column.fit(Values.of(mixed, "x"), "x").levels == (2, 10, "a", "b", ("z",))
    unordered = objects(str, 2, str)
    assert Column.fit(Values.of(unordered, "x"), "x").levels == (2, str)
    types_only = objects(str, int)
    assert Column.fit(Values.of(types_only, "x"), "x").levels == (int, str)


@pytest.mark.parametrize("given", [objects([1], [2]), objects("a", {"foo": "bar"})])
def test_values_that_cannot_be_told_apart_are_refused(given):
    with pytest.raises(TypeError, match="column 'x' must hold strings, numbers or other hashables"):
        Column.fit(Values.of(given, "x"), "x")
    with pytest.raises(TypeError, match="column 'x' must hold strings, numbers or other hashables"):
        Levels.fit(objects("a", "b"), "x", "categorical", ("a", "b")).encode(Values.of(given, "x"))


moments = pd.date_range("2020-01-01", periods=6)


@pytest.mark.parametrize("kind", ["auto", "binary", "categorical", "count", "real"])
@pytest.mark.parametrize(
    "column",
    [
        *(moments.astype(f"datetime64[{unit}]") for unit in ("ns", "us", "s")),
        moments.tz_localize("UTC"),
        moments.to_period("D"),
        moments - moments[0],
        pd.Series(moments).astype(object),
        pd.Series(moments).dt.date,
        pd.Series([datetime.timedelta(1)] * 6),
        pd.Series([NAN, "a", datetime.datetime(2020, 1, 1), 1, 2, 3], dtype=object),
        pd.Series(pd.Categorical(moments)),
        pd.Series([pd.NaT] * 6),
    ],
)
def test_dates_are_refused_in_every_kind(column, kind):
    frame = pd.DataFrame({"n": range(6), "day": column})
    with pytest.raises(ValueError, match=r"column 'day' must hold no dates, .*: turn it into numbers, such as days"):
        Table.fit(frame, {"day": kind})


def test_arrays_of_dates_are_refused():
    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")[:, None]
    with pytest.raises(ValueError, match=r"column 0 must hold no dates, .*datetime64\[D\]"):
        Table.fit(days)
    table = Table.fit(pd.DataFrame({"n": [1, 2, 1, 2]}))
    with pytest.raises(ValueError, match="column 'n' must hold no dates"):
        table.values(pd.DataFrame({"n": days[:, 0]}))


def test_names_and_row_numbers_are_refused_unless_insisted_on():
    names = pd.DataFrame({"who": [f"person {i}" for i in range(101)], "n": 1.5})
    with pytest.raises(
        ValueError, match=r"column 'who' holds 101 different .* 101 rows, .*drop it, or insist with kinds"
    ):
        Table.fit(names)
    assert len(Table.fit(names, {"who": "categorical"}).columns[0].levels) == 101
    assert Table.fit(names.iloc[:50]).columns[0].kind == "categorical"
    with pytest.raises(ValueError, match="column 'who' holds 51 different"):
        Table.fit(names.iloc[:51])
    half = pd.DataFrame({"who": [f"person {i // 2}" for i in range(200)]})
    assert Table.fit(half).columns[0].kind == "categorical"
    with pytest.raises(ValueError, match="column 'who' holds"):
        Table.fit(names.astype({"who": "category"}))

    ids = pd.DataFrame({"id": np.random.default_rng(0).permutation(np.arange(7, 57)), "n": 1.5})
    with pytest.raises(ValueError, match=r"column 'id' numbers the rows, from 7 to 56: .* kinds=\{'id': 'real'\}"):
        Table.fit(ids)
    assert Table.fit(ids, {"id": "real"}).columns[0].kind == "real"
    assert Table.fit(ids.iloc[:49]).columns[0].kind == "real"
    assert Table.fit(ids.assign(id=ids["id"] * 2)).columns[0].kind == "real"
    assert Table.fit(ids.astype(float)).columns[0].kind == "real"
    assert Table.fit(ids[["id"]].to_numpy()).columns[0].kind == "real"  # an array has no column to be dropped by name


def test_kinds_by_name_by_number_and_one_by_one():
    frame = pd.DataFrame({"a": [0, 1, 2] * 4, "b": [0.0, 1.0, 0.0] * 4, 3: ["x", "y", "z"] * 4})
    found = lambda X, kinds: [column.kind for column in Table.fit(X, kinds).columns]
    assert found(frame, "auto") == ["count", "binary", "categorical"]
    assert found(frame, {"a": "categorical", 3: "auto"}) == ["categorical", "binary", "categorical"]
    assert found(frame, ["real", "auto", "auto"]) == ["real", "binary", "categorical"]
    assert found(frame[["a", "b"]], "categorical") == ["categorical", "categorical"]
    assert found(frame[["a", "b"]].to_numpy(), {1: "real"}) == ["real", "real"]
    assert found(frame[["a"]].to_numpy(float), {np.int64(0): "count"}) == ["count"]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"c": "real"}, r"kinds must name columns of X, which has \['a', 'b'\], got 'c'"),
        ({0: "real"}, "kinds must name columns of X"),
        ({"a": "reel"}, r"kinds must be one of \('auto', .*, got 'reel' for column 'a'"),
        ({"a": None}, "kinds must be one of .* got None for column 'a'"),
        (["real"], r"kinds must be one of .*, or one for each of 2 columns, got \['real'\]"),
        ("reel", "kinds must be one of .* got 'reel' for column 'a'"),
        ({"b": "real"}, "column 'b' must hold numbers, got 'x'"),
        ({"b": "count"}, "column 'b' must hold whole numbers to be a count, got 'x'"),
        ({"a": "count"}, "column 'a' must hold whole numbers to be a count, got 1.5"),
        ({"b": "binary"}, "column 'b' must hold two values to be binary, got 3"),
    ],
)
def test_kinds_that_do_not_fit(kinds, message):
    with pytest.raises(ValueError, match=message):
        Table.fit(pd.DataFrame({"a": [0.0, 1.5, 20000], "b": ["x", "y", "z"]}), kinds)


def test_a_count_by_request():
    assert Column.fit(values(3.0, 1.0, NAN), "x", "count").levels == (1.0, 2.0, 3.0)
    with pytest.raises(
        ValueError, match=r"column 'x' must span at most 10000 levels .* got 0 to 10000: take it as real"
    ):
        Column.fit(values(0, 10000), "x", "count")
    assert len(Column.fit(values(1, 10000), "x", "count").levels) == 10000


def test_a_column_without_values():
    with pytest.raises(ValueError, match="column 'b' must hold at least one value, got only missing ones"):
        Table.fit(pd.DataFrame({"a": [1, 2], "b": [None, NAN]}))


# ---- levels ---------------------------------------------------------------------------------------------------------


def test_counts_are_levels_and_others_were_never_seen():
    column = Column.fit(values(3, 5, 5, 3, 5), "x")
    assert (column.levels, column.usual) == ((3, 4, 5), 2)
    z, unseen, log_factor = column.encode(Values.of(objects(3, 4, 5.0, 6, 4.5, "4", None, 2), "x"))
    assert z[:3].tolist() == [0, 1, 2]
    assert np.isnan(z[3:]).all()
    assert unseen.tolist() == [False] * 3 + [True] * 3 + [False, True]
    seen, never = math.log1p(-UNSEEN), math.log(UNSEEN)
    assert log_factor.tolist() == [seen] * 3 + [never] * 3 + [0, never]
    assert column.decode(np.array([2.0, 0.0])).tolist() == [5, 3]


def test_levels_of_other_types():
    column = Column.fit(Values.of(objects("a", ("t", 1), "a", None), "x"), "x")
    assert (column.levels, column.usual) == (("a", ("t", 1)), 0)
    decoded = column.decode(np.array([1.0, 0.0]))
    assert decoded.dtype == object
    assert decoded.tolist() == [("t", 1), "a"]
    bits = Column.fit(Values.of(np.array([True, False]), "x"), "x")
    assert bits.decode(np.array([0.0, 1.0])).tolist() == [False, True]
    assert bits.encode(values(1.0, 0.0, 2.0)).unseen.tolist() == [False, False, True]


# ---- tables ---------------------------------------------------------------------------------------------------------


frame = pd.DataFrame(
    {
        "weight": [60.5, 70.0, NAN, 90.25],
        "sex": ["f", "m", "f", None],
        "children": pd.array([0, 2, 2, 0], dtype="Int64"),
        "site": ["k"] * 4,
        "ill": [True, False, True, True],
    },
    index=list("wxyz"),
).astype({"sex": object})


def test_rows_of_a_model():
    table = Table.fit(frame)
    assert [column.kind for column in table.columns] == ["real", "categorical", "count", "constant", "binary"]
    assert table.variables == [0, 1, 2, 4]
    assert table.likelihood(2).columns[2] == made.DiscretizedLogistic(3, 2)
    other = frame.assign(site=["k", "k", None, "q"], children=[5, 2, None, 1])
    x, unseen, missing, log_factor = table.encode(table.values(other))
    centre, width = 70, (80.125 - 65.25) / (2 * stats.norm.ppf(0.75))
    np.testing.assert_allclose(x[:, 0], (frame["weight"] - centre) / width)
    np.testing.assert_array_equal(x[:, 1:], [[0, NAN, 1], [1, 2, 0], [0, NAN, 1], [NAN, 1, 1]])
    assert np.argwhere(unseen).tolist() == [[0, 2]]
    np.testing.assert_array_equal(missing, other.isna())
    seen, never = math.log1p(-UNSEEN), math.log(UNSEEN)
    expected = [3 * seen + never - math.log(width), 4 * seen - math.log(width), 2 * seen]
    np.testing.assert_allclose(log_factor, [*expected, 2 * seen + never - math.log(width)])


def test_what_is_not_looked_at():
    table = Table.fit(frame)
    odd = frame.assign(weight="heavy", ill=[[1], {}, datetime.date(2020, 1, 1), np.inf])
    rows = table.encode(table.values(odd, ignored=[0, 4]))
    assert np.isnan(rows.x[:, [0, 3]]).all()
    assert rows.missing[:, [0, 4]].all()


def test_there_and_back():
    table = Table.fit(frame)
    found = table.values(frame)
    x = np.nan_to_num(table.encode(found).x, nan=1.0)
    back = table.build(x, found, frame.index)
    assert back.drop(index=["y", "z"]).equals(frame.drop(index=["y", "z"]))
    assert back.dtypes.to_dict() == frame.dtypes.to_dict()
    assert back.loc["z", "sex"] == "m"
    assert back.loc["y", "weight"] == pytest.approx(70 + table.columns[0].width)
    free = table.build(x)
    assert free.index.tolist() == [0, 1, 2, 3]
    assert free["site"].tolist() == ["k"] * 4
    empty = table.build(x[:0])
    assert empty.shape == (0, 5)
    assert empty.dtypes.to_dict() == frame.dtypes.to_dict()


def test_a_value_that_was_never_seen_stays_as_it_is():
    category = frame.astype({"sex": "category"})
    table = Table.fit(category)
    other = frame.assign(sex=["f", "m", "x", "f"], children=[0, 1.5, 2, 0], weight=[1.0, 2.0, 3.0, 4.0])
    found = table.values(other)
    back = table.build(np.nan_to_num(table.encode(found).x), found)
    assert back["sex"].tolist() == ["f", "m", "x", "f"]
    assert back["children"].tolist() == [0, 1.5, 2, 0]
    assert (back["sex"].dtype, back["children"].dtype) == (object, object)
    array = Table.fit(np.array([[0, 1], [1, 1], [0, 1]]))
    found = array.values(np.array([[0.5, 1.0], [1.0, 3.0]]))
    np.testing.assert_array_equal(array.build(np.nan_to_num(array.encode(found).x), found), [[0.5, 1], [1, 3]])


@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (np.array([[0, 1], [1, 1]], dtype=np.int16), np.int16),
        (np.array([[True, False], [False, False]]), bool),
        (np.array([[0.0, 1.0], [1.0, 1.0]], dtype=np.float32), np.float32),
        (np.array([[0.5, 1], [1.5, 1]], dtype=np.float32), float),
        (np.array([[0, 1, 5], [1, 1, 7]]), float),
        (np.array([["a", "b"], ["b", "b"]]), np.dtype("<U1")),
        (objects("a", 1, "b", 2).reshape(2, 2), object),
    ],
)
def test_arrays_come_back_as_arrays(X, dtype):
    table = Table.fit(X)
    back = table.build(table.encode(table.values(X)).x)
    assert back.dtype == dtype
    assert back.tolist() == X.tolist()


def test_columns_by_name_and_by_number():
    table, array = Table.fit(frame), Table.fit(np.array([[0, 1], [1, 0]]))
    assert (table.index("children"), array.index(1), array.index(np.int64(0))) == (2, 1, 0)
    for one, name in ((table, "age"), (table, 0), (array, 2), (array, -1), (array, "a"), (array, True)):
        with pytest.raises(ValueError, match=r"target must be the name of a column, one of \[.*\], got"):
            one.index(name)
    twice = Table.fit(pd.DataFrame([[0, 1], [1, 0]], columns=["a", "a"]))
    with pytest.raises(ValueError, match="target must be the name of a column"):
        twice.index("a")


def test_columns_that_lack():
    table = Table.fit(frame)
    part = table.aligned(frame[["ill", "weight"]])
    assert list(part.columns) == list(frame.columns)
    assert part["sex"].isna().all()
    assert part["ill"].equals(frame["ill"])
    with pytest.raises(ValueError, match=r"given must hold columns of the table in fit, \['weight', .*\], got 'age'"):
        table.aligned(frame.assign(age=3), "given")
    array = np.zeros((1, 2))
    assert table.aligned(array) is array


def test_some_of_the_columns():
    table = Table.fit(frame)
    part = table.assemble([np.array([2, 0]), np.array(["f", "m"], dtype=object)], [2, 1], index=["a", "b"])
    expected = pd.DataFrame({"children": pd.array([2, 0], dtype="Int64"), "sex": ["f", "m"]}, index=["a", "b"])
    pd.testing.assert_frame_equal(part, expected.astype({"sex": object}))


def test_two_columns_of_one_name():
    twice = pd.DataFrame([[0, 1.5], [1, 2.5]], columns=["a", "a"])
    table = Table.fit(twice)
    back = table.build(table.encode(table.values(twice)).x)
    pd.testing.assert_frame_equal(back, twice)
