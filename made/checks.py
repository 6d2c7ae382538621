"""Checks of arguments that several modules share: each names the argument, what was given and what was expected."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

__all__ = ["boolean", "check_sizes", "integer", "is_integer", "is_noise", "number", "plain", "positive"]
__all__ += ["seed_number", "tensor", "warn_of_half"]

_NUMPY = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer of Python or NumPy; True and False are none.

    Example:
        >>> import numpy as np
        >>> is_integer(3), is_integer(np.int64(3)), is_integer(3.0), is_integer(True)
        (True, True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def integer(name: str, value: object, minimum: int, otherwise: str = "") -> int:
    """Return an integer of Python or NumPy as a plain int.

    Raises:
        ValueError: it is none, or below the minimum; the message names the argument.

    Example:
        >>> integer("epochs", 0, minimum=1)
        Traceback (most recent call last):
        ValueError: epochs must be an int of at least 1, got 0
    """
    if not is_integer(value) or value < minimum:
        raise ValueError(f"{name} must be an int of at least {minimum}{otherwise}, got {value!r}")
    return int(value)


def positive(name: str, value: object) -> float:
    """Return a finite number above 0, perhaps a tensor without dimensions, as a plain float.

    Raises:
        ValueError: it is none; the message names the argument.

    Example:
        >>> positive("temperature", 0)
        Traceback (most recent call last):
        ValueError: temperature must be a positive number, got 0
    """
    number = value.item() if isinstance(value, Tensor) and value.dim() == 0 else value
    if not isinstance(number, Real) or isinstance(number, bool) or not 0 < float(number) < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(number)


def boolean(name: str, value: object) -> bool:
    """Return True or False of Python or NumPy as a plain bool.

    Raises:
        TypeError: it is neither; the message names the argument.

    Example:
        >>> boolean("direct", 1)
        Traceback (most recent call last):
        TypeError: direct must be True or False, got 1
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def number(name: str, value: object, minimum: float, below: float) -> float:
    """Return a number of Python or NumPy in [minimum, below) as a plain float.

    Raises:
        ValueError: it is none; the message names the argument.

    Example:
        >>> number("dropout", 1.0, minimum=0, below=1)
        Traceback (most recent call last):
        ValueError: dropout must be a number in [0, 1), got 1.0
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not minimum <= float(value) < below:
        raise ValueError(f"{name} must be a number in [{minimum}, {below}), got {value!r}")
    return float(value)


def plain(name: str, value: object) -> Any:
    """Return plain data, as a file can hold them: numbers (NumPy's become Python's), texts, None, lists of these.

    Raises:
        TypeError: it is something else; the message names the argument.

    Example:
        >>> plain("k", np.int64(3))
        3
        >>> plain("k", object)
        Traceback (most recent call last):
        TypeError: k must be a number, a text, None or a list of these, to be saved, got <class 'object'>
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [plain(name, one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name} must be a number, a text, None or a list of these, to be saved, got {value!r}")


def seed_number(name: str, value: object) -> int:
    """Return an integer of Python or NumPy that can seed a generator, as a plain int.

    Raises:
        ValueError: it is none, or too large for PyTorch; the message names the argument.

    Example:
        >>> seed_number("seed", True)
        Traceback (most recent call last):
        ValueError: seed must be an int of at most 64 bits, got True
    """
    if not is_integer(value) or not -(2**63) <= value < 2**64:
        raise ValueError(f"{name} must be an int of at most 64 bits, got {value!r}")
    return int(value)


def tensor(name: str, value: object, dtype: torch.dtype) -> Tensor:
    """Return numbers as a tensor of the model's dtype, if nothing is lost by it.

    A tensor must have the dtype already. NumPy arrays, pandas tables and (nested) lists are converted: float64 is
    rounded to the model's dtype, integers and bools must survive exactly, and what is missing is NaN.

    Args:
        name: of the argument, for messages.
        value: a tensor; an array of integers, bools or floats; a DataFrame or Series of these; a list of numbers.
        dtype: of the model, a floating one.

    Returns:
        The tensor itself; else a new one on the CPU.

    Raises:
        TypeError: it is something else, a tensor of another dtype, or a column that holds no numbers.
        ValueError: an integer that the dtype cannot hold, a number too large for it or so small that it would become
            0. Every message names the argument, or the column.

    Example:
        >>> tensor("x", [[0, 0.1]], torch.float32)
        tensor([[0.0000, 0.1000]])
        >>> tensor("x", [[0, 16777217]], torch.float32)
        Traceback (most recent call last):
        ValueError: x must hold what torch.float32 can: 16777217 at position (0, 1) would become 16777216.0
    """
    if isinstance(value, Tensor) and value.dtype == dtype:
        return value
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return _from_columns(name, value, dtype)
    if hasattr(value, "to_numpy"):
        return _from_column(name, value, dtype)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        return _from_array(name, value, dtype)
    if isinstance(value, (list, tuple)):
        return _from_list(name, value, dtype)
    what = type(value).__name__
    if isinstance(value, (Tensor, np.ndarray)):
        what = f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of {value.dtype}"
    others = "" if isinstance(value, Tensor) else ", or numbers in an array, a DataFrame or a list"
    raise TypeError(f"{name} must be a tensor of the model's dtype {dtype}{others}, got {what}")


def _from_columns(name: str, table: Any, dtype: torch.dtype) -> Tensor:
    """A table, column by column: each has its own type."""
    pairs = table.items() if hasattr(table, "items") else ((label, table[label]) for label in table.columns)
    columns = [tensor(f"column {label!r} of {name}", column, dtype) for label, column in pairs]
    return torch.stack(columns, 1) if columns else torch.empty(len(table), 0, dtype=dtype, device="cpu")


def _from_column(name: str, column: Any, dtype: torch.dtype) -> Tensor:
    """One column of a table. A type of pandas's own, such as Int64, may lack values."""
    own = getattr(column.dtype, "numpy_dtype", None)
    if own is not None and own.kind in "biuf":
        result = tensor(name, column.to_numpy(own, na_value=0), dtype)
        result[torch.from_numpy(np.array(column.isna()))] = math.nan
        return result
    values = column.to_numpy()
    if getattr(column.dtype, "kind", values.dtype.kind) not in "biuf":  # categories may be numbers, but are none
        raise TypeError(f"{name} must hold numbers, got {column.dtype}")
    return tensor(name, values, dtype)


def _from_list(name: str, values: Any, dtype: torch.dtype) -> Tensor:
    """A list of numbers or of lists: an integer among floats is still an integer."""
    try:
        cells = np.array(values, dtype=object)
    except ValueError as error:
        raise ValueError(f"{name} must have rows of one length") from error
    kinds = {type(cell) for cell in cells.flat}
    if kinds & {list, tuple}:
        raise ValueError(f"{name} must have rows of one length")
    for kind in kinds:
        if not issubclass(kind, (Real, np.bool_)):
            raise TypeError(f"{name} must be a list of numbers, got one of {kind.__name__}")
    exact = tuple(kind for kind in kinds if issubclass(kind, (Integral, np.bool_)))
    whole = np.array([isinstance(cell, exact) for cell in cells.flat], dtype=bool).reshape(cells.shape)
    wide = np.array([_as_float(cell) for cell in cells.flat], dtype=np.float64).reshape(cells.shape)
    return _held(name, cells, wide, whole, dtype)


def _as_float(value: Any) -> float:
    """The nearest float64; infinity where there is none."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _from_array(name: str, value: Any, dtype: torch.dtype) -> Tensor:
    """An array of numbers; where its type fits into the dtype, no value need be looked at."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array without a mask, such as {name}.filled(np.nan)")
    array = np.asarray(value)
    target = _NUMPY.get(dtype)
    small = array.dtype.kind == "f" or array.dtype.itemsize <= 4  # NumPy takes float64 to hold every int64
    if target is not None and small and np.can_cast(array.dtype, target):
        return torch.from_numpy(np.array(array, dtype=target, order="C"))
    with np.errstate(over="ignore"):
        wide = np.array(array, dtype=np.float64, order="C")
    whole = np.full(array.shape, array.dtype.kind != "f")
    return _held(name, array, wide, whole, dtype)


def _held(name: str, cells: np.ndarray, wide: np.ndarray, whole: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Numbers in a dtype, or an error that names the first that would be lost.

    Args:
        name: of the argument.
        cells: the numbers as they were given.
        wide: the same in float64.
        whole: true where a number is an integer, which must survive exactly.
        dtype: that is wanted.
    """
    result = torch.from_numpy(wide).to(dtype)
    found = result.double().numpy()
    changed = np.array(found != wide)
    large = whole & (np.abs(wide) >= 2.0**53)
    changed[large] = (found[large] != cells[large].astype(object)).astype(bool)  # Python compares exactly
    finite = np.isfinite(cells if cells.dtype.kind == "f" else wide)
    lost = (whole & changed) | (finite & ~np.isfinite(found)) | ((found == 0) & (cells != 0).astype(bool))
    if lost.any():
        place = tuple(np.argwhere(lost)[0].tolist())
        was, now = cells[place], found[place].item()
        was = was.item() if isinstance(was, np.generic) else was
        raise ValueError(f"{name} must hold what {dtype} can: {was!r} at position {place} would become {now}")
    return result


def is_noise(noise: object) -> bool:
    """Whether noise is a pair of a known kind and a sensible level.

    Example:
        >>> is_noise(("mask", 0.3)), is_noise(("mask", 1.5)), is_noise("gaussian")
        (True, False, False)
    """
    if not isinstance(noise, tuple) or len(noise) != 2:
        return False
    kind, level = noise
    if not isinstance(level, (int, float)):
        return False
    return (kind == "mask" and 0 <= level <= 1) or (kind == "gaussian" and 0 <= level < math.inf)


def check_sizes(n_features: int, hidden: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Refuse sizes that are no positive integers, naming the argument; return them as plain ints.

    Raises:
        TypeError: a size is no integer, or ``hidden`` is no sequence.
        ValueError: a size is below 1.

    Example:
        >>> check_sizes(784, [500, 500])
        (784, (500, 500))
    """
    if not is_integer(n_features):
        raise TypeError(f"n_features must be an int, got {n_features!r}")
    if n_features < 1:
        raise ValueError(f"n_features must be at least 1, got {n_features}")
    hidden = hidden.tolist() if isinstance(hidden, np.ndarray) else hidden
    if not isinstance(hidden, Sequence) or not all(map(is_integer, hidden)):
        raise TypeError(f"hidden must be a sequence of ints, such as (500,), got {hidden!r}")
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden sizes must be at least 1, got {tuple(hidden)}")
    return int(n_features), tuple(int(width) for width in hidden)


def warn_of_half(weight: Tensor) -> None:
    """Say what half precision costs on a CPU, once in the life of a process.

    Args:
        weight: of the model that is asked to sample.

    Example:
        >>> warn_of_half(torch.zeros(2))  # single precision: nothing to say
    """
    if weight.device.type == "cpu" and weight.dtype in (torch.float16, torch.bfloat16):
        _warn_of_half()


@cache
def _warn_of_half() -> None:
    warnings.warn(
        "sampling in half precision on a CPU takes several times as long as in torch.float32: convert the model "
        "with model.float(), or load it with MADE.load(path, dtype=torch.float32)",
        stacklevel=4,
    )
