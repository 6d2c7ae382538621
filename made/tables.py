"""Tables: what each column is, from its values to a variable of a model, and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cached_property
from numbers import Integral, Real
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from made.checks import is_integer
from made.likelihoods import Bernoulli, Categorical, Columns, DiscretizedLogistic, Likelihood, MixtureOfGaussians

__all__ = ["BEND", "KINDS", "UNSEEN", "Column", "Encoded", "Levels", "RealColumn", "Rows", "Table", "Values"]

KINDS = ("auto", "binary", "categorical", "count", "real")
UNSEEN = 1e-6  # probability of a value that was never seen, in every column of levels
BEND = 5.0  # a real value this many widths from the centre is where the map turns from linear to logarithmic

_AUTO_COUNT = 256  # integers that span more levels are taken as real numbers
_LARGEST, _TINY = float(np.finfo(float).max), float(np.finfo(float).tiny)
_MOST_LEVELS = 10_000  # and counts by request must not span more than these
_MANY_TEXTS = 50  # a column of texts with more different ones, in most rows, holds names
_ROW_NUMBERS = 50  # as many consecutive integers, each once, number the rows
_NO_DATES = "must hold no dates, times or durations"
_DATES_ADVICE = "turn it into numbers, such as days since a date, or drop it"


class Values(NamedTuple):
    """The values of a column, shape (N,), and where they are missing, bool, shape (N,).

    Values are an array of bools, integers or floats if all that are known are, whatever their dtype was before;
    otherwise an array of objects. NaN, None, NaT and pandas' NA are missing.

    Example:
        >>> values, missing = Values.of(np.array([2, None, 5], dtype=object), "age")
        >>> values.dtype.kind, missing.tolist()
        ('i', [False, True, False])
    """

    values: np.ndarray
    missing: np.ndarray

    @classmethod
    def of(cls, column: Any, name: Any) -> Values:
        """Take the values of a pandas Series or an array (N,).

        Raises:
            ValueError: they are of a dtype for dates or durations, or one is infinite.
        """
        if column.dtype.kind in "mM":
            raise ValueError(f"column {name!r} {_NO_DATES}, got {column.dtype}: {_DATES_ADVICE}")
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
            values = np.asarray(column)
            missing = values != values
        else:
            values = np.empty(len(column), dtype=object)
            values[:] = list(column)
            missing = np.fromiter(map(_is_missing, values), bool, len(values))
            values = _as_numbers(values, missing)
        if values.dtype.kind == "f" and np.isinf(values[~missing]).any():
            first = values[~missing][np.isinf(values[~missing])][0]
            raise ValueError(f"column {name!r} must hold finite numbers, got {first}")
        return cls(values, missing)

    @classmethod
    def unknown(cls, n: int) -> Values:
        """No value at all, n times."""
        return cls(np.full(n, np.nan), np.full(n, True))

    @property
    def known(self) -> np.ndarray:
        """The values that are not missing."""
        return self.values[~self.missing]


def _is_missing(value: Any) -> bool:
    """None, pandas' NA, and what differs from itself: NaN and NaT."""
    if value is None or type(value).__name__ == "NAType":
        return True
    return isinstance(value, Real | Decimal | np.generic | date | timedelta) and bool(value != value)


def _as_numbers(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """An array of objects as one of numbers, if all that are known are numbers; else as it is."""
    known = values[~missing]
    if not len(known) or not all(isinstance(value, Real | Decimal | np.bool_) for value in known):
        return values
    if all(isinstance(value, bool | np.bool_) for value in known):
        numbers = np.zeros(len(values), bool)
        numbers[~missing] = known
    elif all(isinstance(value, Integral) and abs(int(value)) < 2**63 for value in known):
        numbers = np.zeros(len(values), np.int64)
        numbers[~missing] = known
    else:
        numbers = np.zeros(len(values), float)
        numbers[~missing] = [_as_float(value) for value in known]
    return numbers


def _as_float(value: Any) -> float:
    """A number as a float, infinite if it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


class Encoded(NamedTuple):
    """A column as a variable of a model: three arrays of shape (N,).

    ``z`` holds values of the variable, NaN where a value is missing or was never seen; ``unseen`` says which were
    never seen; ``log_factor`` is what is added to the log-probability of z to get that of the column's own value.
    """

    z: np.ndarray
    unseen: np.ndarray
    log_factor: np.ndarray


@dataclass(frozen=True)
class Column(ABC):
    """A column of a table: what it is, and how its values become those of a variable of a model.

    Attributes:
        name: of the column, for messages.
        kind: "binary", "categorical", "count", "real", or "constant".
        levels: its values in order; none for a real column.

    Example:
        >>> column = Column.fit(Values.of(np.array(["red", "blue", "red"], dtype=object), "colour"), "colour")
        >>> column.kind, column.levels, column.likelihood(n_components=5)
        ('categorical', ('blue', 'red'), Bernoulli())
        >>> column.decode(np.array([0.0, 1.0])).tolist()
        ['blue', 'red']
    """

    name: Any
    kind: str
    levels: tuple[Any, ...]

    @staticmethod
    def fit(
        values: Values,
        name: Any,
        kind: str = "auto",
        dtype: Any = None,
        train: Any = slice(None),
        is_frame: bool = False,
    ) -> Column:
        """Decide what a column is.

        Args:
            values: of the column.
            name: for messages.
            kind: one of KINDS.
            dtype: of the column in a DataFrame; a category dtype names the categories.
            train: the rows, an index, whose values tell centre and width of a real column.
            is_frame: whether the column is one of a DataFrame, where integers may number the rows.

        Raises:
            ValueError: the values do not fit the kind, or are of no kind; the message names the column.
            TypeError: a value cannot be hashed.
        """
        known = values.known
        _refuse_dates(known, name)
        if not len(known):
            raise ValueError(f"column {name!r} must hold at least one value, got only missing ones")
        levels = _sorted_levels(known, name)
        declared = tuple(dtype.categories.tolist()) if hasattr(dtype, "categories") else ()
        if len(declared or levels) == 1:
            return Levels(name, "constant", declared or levels, 0)
        if kind == "auto":
            gaps = bool(values.missing.any())
            kind = _automatic_kind(known, levels, name, bool(declared), is_frame, gaps)
        if kind == "real":
            training = Values(values.values[train], values.missing[train])
            return RealColumn.fit(values if training.missing.all() else training, name)
        return Levels.fit(known, name, kind, declared or levels)

    @abstractmethod
    def likelihood(self, n_components: int) -> Likelihood:
        """What a variable that stands for this column is to be modelled by."""

    @abstractmethod
    def encode(self, values: Values) -> Encoded:
        """From values of the column to those of the variable."""

    @abstractmethod
    def decode(self, z: np.ndarray) -> np.ndarray:
        """From values of the variable, shape (N,), to those of the column."""


def _refuse_dates(known: np.ndarray, name: Any) -> None:
    dates = (date, time, timedelta, np.datetime64, np.timedelta64)
    for value in known if known.dtype.kind in "Oc" else ():
        if isinstance(value, complex | np.complexfloating):
            raise ValueError(f"column {name!r} must hold no complex numbers, got {value!r}: split it into two columns")
        if isinstance(value, dates) or type(value).__name__ == "Period":
            raise ValueError(f"column {name!r} {_NO_DATES}, got {value!r}: {_DATES_ADVICE}")


def _sorted_levels(known: np.ndarray, name: Any) -> tuple[Any, ...]:
    """The different values: numbers by size, anything else by the name of its type, then by value."""
    if known.dtype.kind != "O":
        return tuple(np.unique(known).tolist())
    distinct = set()
    for value in known:
        try:
            distinct.add(value)
        except TypeError:
            raise TypeError(f"column {name!r} must hold strings, numbers or other hashables, got {value!r}") from None
    try:
        return tuple(sorted(distinct, key=lambda value: (type(value).__name__, value)))
    except TypeError:
        return tuple(sorted(distinct, key=lambda value: (type(value).__name__, repr(value))))


def _automatic_kind(
    known: np.ndarray, levels: tuple[Any, ...], name: Any, declared: bool, is_frame: bool, gaps: bool
) -> str:
    """The rules of :class:`Table`, for a column with two values or more."""
    if declared or known.dtype.kind == "O":
        if len(levels) > max(_MANY_TEXTS, len(known) / 2):
            what = f"holds {len(levels)} different values in {len(known)} rows, as names or free text do"
            raise ValueError(f"column {name!r} {what}: drop it, or insist with kinds={{{name!r}: 'categorical'}}")
        return "categorical"
    if set(levels) <= {0, 1}:
        return "binary"
    if known.dtype.kind == "f" and not (gaps and all(level.is_integer() for level in levels)):
        return "real"
    span = levels[-1] - levels[0] + 1
    if is_frame and len(levels) == len(known) == span >= _ROW_NUMBERS:
        what = f"numbers the rows, from {levels[0]} to {levels[-1]}"
        raise ValueError(f"column {name!r} {what}: drop it, or insist with kinds={{{name!r}: 'real'}}")
    return "count" if span <= _AUTO_COUNT and len(levels) <= len(known) / 2 else "real"


@dataclass(frozen=True)
class RealColumn(Column):
    r"""A column of real numbers: scaled, and bent far out, so that no outlier is too far for a model.

    .. math::
        z = (x - m) / s, \qquad
        u(z) = \begin{cases} z & |z| \le c \\ \operatorname{sign}(z)\, c\, (1 + \log(|z| / c)) & |z| > c \end{cases}

    The map is smooth and monotone, so that a density of u is one of x: with the factor :math:`u'(z) / s`, which is
    :math:`1 / s` near the centre and :math:`c / |x - m|` beyond c = 5 widths. A normal column is hardly ever bent.

    Attributes:
        centre: m, the median.
        width: s, between the quartiles, by that of a normal distribution: its standard deviation. Where the quartiles
            are equal, the same of wider quantiles (10, 5, 2, 1 %), at last the range.
        lowest: the smallest value in the training rows.
        highest: the largest.

    Example:
        >>> column = RealColumn.fit(Values.of(np.array([1.0, 2.0, 3.0, 4.0, -999999.0]), "x"), "x")
        >>> column.centre, round(column.width, 2)
        (2.0, 1.48)
        >>> np.round(column.encode(Values.of(np.array([2.0, -999999.0]), "x")).z, 1)
        array([  0. , -64.1])
    """

    centre: float
    width: float
    lowest: float = -math.inf
    highest: float = math.inf

    @classmethod
    def fit(cls, values: Values, name: Any) -> RealColumn:  # type: ignore[override]
        """Measure the centre and the width."""
        halves = _numbers(values, name)[~values.missing] / 2  # whose differences cannot overflow
        centre = 2 * float(np.quantile(halves, 0.5))
        for tail in (0.25, 0.1, 0.05, 0.02, 0.01, 0.0):
            low, high = np.quantile(halves, [tail, 1 - tail])
            width = float(high - low) / (NormalDist().inv_cdf(1 - tail) if tail else 0.5)
            if width > 0:
                break
        width = min(max(width or abs(centre) or 1.0, 4 * _TINY), _LARGEST)
        return cls(name, "real", (), centre, width, float(halves.min() * 2), float(halves.max() * 2))

    def likelihood(self, n_components: int) -> Likelihood:
        """A mixture of Gaussians."""
        return MixtureOfGaussians(n_components)

    def encode(self, values: Values) -> Encoded:
        """Scale and bend.

        Raises:
            ValueError: a value is no number.
        """
        x = _numbers(values, self.name)
        half = x / 2 - self.centre / 2
        with np.errstate(over="ignore"):
            z, log_half = half / (self.width / 2), np.log(np.maximum(np.abs(half), _TINY))
        far = np.abs(z) > BEND
        bent = np.sign(half) * BEND * (1 + log_half - math.log(self.width / 2) - math.log(BEND))
        log_factor = np.where(far, math.log(BEND / 2) - log_half, -math.log(self.width))
        return Encoded(np.where(far, bent, z), np.full(len(x), False), np.where(values.missing, 0.0, log_factor))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Exactly back; beyond the largest float there is, that one."""
        largest = _LARGEST / 2
        log_half = np.abs(z) / BEND - 1 + math.log(BEND) + math.log(self.width / 2)
        half = np.sign(z) * np.exp(np.minimum(log_half, math.log(largest)))
        with np.errstate(over="ignore"):
            half = np.where(np.abs(z) > BEND, half, z * (self.width / 2)) + self.centre / 2
        return 2 * np.clip(half, -largest, largest)


def _numbers(values: Values, name: Any) -> np.ndarray:
    """Values as floats, NaN where missing."""
    if values.values.dtype.kind not in "biuf" and not values.missing.all():
        wrong = next(value for value in values.known if not isinstance(value, Real))
        raise ValueError(f"column {name!r} must hold numbers, got {wrong!r}")
    numbers = np.full(len(values.values), np.nan)
    numbers[~values.missing] = values.known
    return numbers


@dataclass(frozen=True)
class Levels(Column):
    r"""A column with finitely many values, its levels, which a variable numbers from 0.

    Any other value was never seen: all of them together have probability UNSEEN, and the levels share the rest.

    .. math:: \log P(\text{level } l) = \log p(l) + \log(1 - 10^{-6}), \qquad \log P(\text{other}) = \log 10^{-6}

    Attributes:
        usual: number of the level with most rows.

    Example:
        >>> column = Levels.fit(np.array([3, 5, 5]), "children", "count", (3, 5))
        >>> column.levels, column.usual, column.likelihood(n_components=2)
        ((3, 4, 5), 2, DiscretizedLogistic(k=3, components=2, ...))
        >>> column.encode(Values.of(np.array([4, 6]), "children")).unseen
        array([False,  True])
    """

    usual: int

    @classmethod
    def fit(cls, known: np.ndarray, name: Any, kind: str, levels: tuple[Any, ...]) -> Levels:  # type: ignore[override]
        """Number the levels.

        Args:
            known: values of the column, none missing.
            name: for messages.
            kind: "binary", "categorical" or "count".
            levels: those seen or declared; a count has all whole numbers between as well.

        Raises:
            ValueError: there are more levels than the kind allows, or a count that is no whole number.
        """
        if kind == "count":
            wrong = [level for level in levels if not isinstance(level, Real) or level != math.floor(level)]
            if wrong:
                raise ValueError(f"column {name!r} must hold whole numbers to be a count, got {wrong[0]!r}")
            if levels[-1] - levels[0] >= _MOST_LEVELS:
                what = f"at most {_MOST_LEVELS} levels to be a count, got {levels[0]} to {levels[-1]}"
                raise ValueError(f"column {name!r} must span {what}: take it as real")
            levels = tuple(type(levels[0])(level) for level in range(int(levels[0]), int(levels[-1]) + 1))
        elif kind == "binary" and len(levels) > 2:
            raise ValueError(f"column {name!r} must hold two values to be binary, got {len(levels)}")
        column = cls(name, kind, levels, 0)
        codes = column.encode(Values(known, np.full(len(known), False))).z
        return cls(name, kind, levels, int(np.bincount(codes.astype(int)).argmax()))

    @cached_property
    def codes(self) -> dict[Any, int]:
        """The number of each level."""
        return {level: code for code, level in enumerate(self.levels)}

    def likelihood(self, n_components: int) -> Likelihood:
        """Bernoulli for two levels, a mixture of logistics for counts, otherwise Categorical."""
        k = len(self.levels)
        if k == 2:
            return Bernoulli()
        return DiscretizedLogistic(k, n_components) if self.kind == "count" else Categorical(k)

    def encode(self, values: Values) -> Encoded:
        """Look up the number of each value."""
        z = np.full(len(values.values), np.nan)
        try:
            z[~values.missing] = [self.codes.get(value, np.nan) for value in values.known.tolist()]
        except TypeError as error:
            raise TypeError(f"column {self.name!r} must hold strings, numbers or other hashables: {error}") from None
        unseen = np.isnan(z) & ~values.missing
        log_factor = np.where(unseen, math.log(UNSEEN), math.log1p(-UNSEEN))
        return Encoded(z, unseen, np.where(values.missing, 0.0, log_factor))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Numbers of levels to levels, as an array of objects if they are no numbers."""
        is_number = all(isinstance(level, Real) for level in self.levels)
        table = np.array(self.levels) if is_number else np.empty(len(self.levels), dtype=object)
        table[:] = self.levels
        return table[z.astype(int)]


class Rows(NamedTuple):
    """Rows of a table as rows of a model.

    ``x`` has shape (N, V), a column for each variable, float64, NaN where a value is missing or was never seen;
    ``unseen`` (N, V) says which were never seen, ``missing`` (N, D) which cells of the table are missing, and
    ``log_factor`` (N,) is what is added to the log-probability of x to get that of the rows of the table.
    """

    x: np.ndarray
    unseen: np.ndarray
    missing: np.ndarray
    log_factor: np.ndarray


@dataclass(frozen=True)
class Table:
    """What the columns of a table are, from its rows to those of a model, and back.

    "auto" decides by these rules, the first that holds:

    * a column with one value, missing ones aside, is constant: it is no variable of the model, and its value is certain
      (a pandas category dtype that names more categories says that others are possible);
    * a pandas category, and anything but numbers (strings, tuples, ...), is categorical. With more than 50 different
      values, in more than half of the rows, it is refused: names and free text are no categories;
    * bools, and numbers that are all 0 or 1, are binary;
    * integers, of a DataFrame, that are 50 or more, consecutive and all different, are refused: they number the rows;
    * integers that span at most 256 levels, and of which each has two rows or more on average, are counts. Their levels
      are all whole numbers from the smallest to the largest;
    * all other numbers are real: floats are, whole or not, but for whole ones beside missing values, the only form in
      which many tables can hold integers with gaps.

    An object column with nothing but numbers is a column of numbers. Dates, times and durations are refused whatever
    the kind, infinite numbers and columns without a value, too.

    Attributes:
        columns: what each column is.
        frame: the DataFrame without its rows, or None for an array.
        dtype: of the array, or None for a DataFrame.

    Example:
        >>> X = np.array([["a", 1.5, 7], ["b", 2.5, 7], [None, 0.5, 7]], dtype=object)
        >>> table = Table.fit(X)
        >>> [column.kind for column in table.columns], table.likelihood(n_components=2).columns
        (['categorical', 'real', 'constant'], (Bernoulli(), MixtureOfGaussians(k=2, ...)))
        >>> table.encode(table.values(X)).x.round(1)
        array([[ 0. ,  0. ],
               [ 1. ,  1.3],
               [ nan, -1.3]])
    """

    columns: tuple[Column, ...]
    frame: Any
    dtype: Any

    @classmethod
    def fit(cls, X: Any, kinds: str | Sequence[str] | Mapping[Any, str] = "auto", train: Any = slice(None)) -> Table:
        """Decide what the columns are.

        Args:
            X: a DataFrame, or an array (N, D).
            kinds: one of KINDS for all columns, a list with one for each, or a dict by the column's name, or by its
                number for an array; columns that are not named are "auto".
            train: the rows that tell centre and width of real columns, as an index; default: all.

        Raises:
            ValueError: a kind is none, names no column, or does not fit its column; the message names it.
            TypeError: a value cannot be hashed.
        """
        is_frame = hasattr(X, "iloc")
        names = list(X.columns) if is_frame else list(range(X.shape[1]))
        series = list(_series(X))
        dtypes = [column.dtype if is_frame else None for column in series]
        columns = [
            Column.fit(Values.of(column, name), name, kind, dtype, train, is_frame)
            for column, name, kind, dtype in zip(series, names, _kinds(kinds, names), dtypes, strict=True)
        ]
        return cls(tuple(columns), X.iloc[:0] if is_frame else None, None if is_frame else X.dtype)

    @cached_property
    def variables(self) -> list[int]:
        """The columns that are variables of the model: all but constant ones."""
        return [i for i, column in enumerate(self.columns) if column.kind != "constant"]

    def likelihood(self, n_components: int) -> Columns:
        """The likelihood of the variables; there must be one."""
        return Columns([self.columns[i].likelihood(n_components) for i in self.variables])

    def index(self, name: Any) -> int:
        """The number of a column, by its name, or by its number in an array.

        Raises:
            ValueError: there is no such column, or there are several of this name.
        """
        names = [column.name for column in self.columns]
        if self.frame is None and is_integer(name) and 0 <= name < len(names):
            return int(name)
        if self.frame is None or names.count(name) != 1:
            raise ValueError(f"target must be the name of a column, one of {names}, got {name!r}")
        return names.index(name)

    def values(self, X: Any, ignored: Collection[int] = ()) -> list[Values]:
        """The values of every column of X; those of ignored columns count as missing, whatever they are."""
        return [
            Values.unknown(len(column)) if i in ignored else Values.of(column, self.columns[i].name)
            for i, column in enumerate(_series(X))
        ]

    def aligned(self, X: Any, name: str = "X") -> Any:
        """A DataFrame that lacks columns, or has them in another order, as one with all columns, unknown ones as NaN.

        Raises:
            ValueError: it has a column that is none of the table.
        """
        if self.frame is None or not hasattr(X, "iloc"):
            return X
        others = [column for column in X.columns if column not in self.frame.columns]
        if others:
            raise ValueError(
                f"{name} must hold columns of the table in fit, {[*self.frame.columns]}, got {others[0]!r}"
            )
        return X.reindex(columns=self.frame.columns)

    def encode(self, values: Sequence[Values]) -> Rows:
        """From values of the columns to rows of the model."""
        encoded = [column.encode(of_column) for column, of_column in zip(self.columns, values, strict=True)]
        N = len(values[0].missing)
        x, unseen = np.empty((N, len(self.variables))), np.empty((N, len(self.variables)), bool)
        for k, i in enumerate(self.variables):
            x[:, k], unseen[:, k] = encoded[i].z, encoded[i].unseen
        missing = np.stack([of_column.missing for of_column in values], 1)
        return Rows(x, unseen, missing, np.sum([one.log_factor for one in encoded], axis=0))

    def decode(self, x: np.ndarray) -> list[np.ndarray]:
        """From rows of the model, shape (N, V), to values of every column."""
        variable = {i: k for k, i in enumerate(self.variables)}
        constant = np.zeros(len(x))
        return [
            column.decode(x[:, variable[i]] if i in variable else constant) for i, column in enumerate(self.columns)
        ]

    def build(self, x: np.ndarray, values: Sequence[Values] | None = None, index: Any = None) -> Any:
        """A table like the one in ``fit`` from rows of the model, in which real columns are floats.

        Args:
            x: rows of the model, shape (N, V).
            values: those that are known of the table; they stay as they are, to the last bit, seen before or not. A
                column of a DataFrame with values that were never seen becomes one of objects.
            index: of the DataFrame.
        """
        columns = self.decode(x)
        is_new = [False] * len(columns)
        if values is not None:
            is_new = [bool(column.encode(v).unseen.any()) for column, v in zip(self.columns, values, strict=True)]
            columns = [_filled(drawn, known) for drawn, known in zip(columns, values, strict=True)]
        return self.assemble(columns, range(len(columns)), index, is_new)

    def assemble(
        self, columns: Sequence[np.ndarray], numbers: Sequence[int], index: Any = None, is_new: Sequence[bool] = ()
    ) -> Any:
        """A table with some of the columns: a DataFrame or an array, as in ``fit``, and of its dtypes where they fit.

        Args:
            columns: their values.
            numbers: which columns they are.
            index: of the DataFrame.
            is_new: which of them hold values that were never seen; default: none.
        """
        is_new = is_new or [False] * len(columns)
        kinds = [self.columns[i].kind for i in numbers]
        if self.frame is None:
            return _array(columns, self.dtype, any(is_new) or "real" in kinds)
        own = [self.frame.dtypes.iloc[i] for i in numbers]
        dtypes = [
            object if new else float if kind == "real" else dtype
            for new, kind, dtype in zip(is_new, kinds, own, strict=True)
        ]
        table = type(self.frame)(dict(enumerate(columns)), index=index).astype(dict(enumerate(dtypes)))
        table.columns = self.frame.columns[list(numbers)]
        return table


def _array(columns: Sequence[np.ndarray], dtype: np.dtype, as_floats: bool) -> np.ndarray:
    """Columns as an array of this dtype; of floats, or of objects, if it could not hold them."""
    if dtype.kind in "biuf" and all(column.dtype.kind in "biuf" for column in columns):
        return np.column_stack(columns).astype(float if as_floats else dtype)
    table = np.empty((len(columns[0]), len(columns)), dtype=object)
    for i, column in enumerate(columns):
        table[:, i] = column.tolist()
    return table if dtype.kind == "O" else table.astype(str)


def _series(X: Any) -> Iterator[Any]:
    """The columns of a DataFrame or an array, one after the other."""
    return (X.iloc[:, i] if hasattr(X, "iloc") else X[:, i] for i in range(X.shape[1]))


def _filled(drawn: np.ndarray, known: Values) -> np.ndarray:
    """What is known, and where it is missing what was drawn."""
    if drawn.dtype.kind in "biuf" and known.values.dtype.kind in "biuf":
        return np.where(known.missing, drawn, known.values)
    filled = drawn.astype(object)
    filled[~known.missing] = known.known.tolist()
    return filled


def _kinds(kinds: Any, names: list[Any]) -> list[str]:
    """The kind of every column.

    Raises:
        ValueError: there is another kind, a wrong number of them, or a name of no column.
    """
    if isinstance(kinds, Mapping):
        unknown = [name for name in kinds if name not in names]
        if unknown:
            raise ValueError(f"kinds must name columns of X, which has {names}, got {unknown[0]!r}")
        kinds = [kinds.get(name, "auto") for name in names]
    if not isinstance(kinds, Sequence):
        raise ValueError(f"kinds must be one of {KINDS}, a list with one for each column, or a dict, got {kinds!r}")
    chosen = [kinds] * len(names) if isinstance(kinds, str) else list(kinds)
    if len(chosen) != len(names):
        raise ValueError(f"kinds must be one of {KINDS}, or one for each of {len(names)} columns, got {kinds!r}")
    for name, kind in zip(names, chosen, strict=True):
        if kind not in KINDS:
            raise ValueError(f"kinds must be one of {KINDS}, got {kind!r} for column {name!r}")
    return chosen
