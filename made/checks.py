"""Checks of arguments that several modules share: each names the argument, what was given and what was expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

__all__ = ["boolean", "check_sizes", "integer", "is_integer", "number", "plain", "positive", "tensor"]


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


def tensor(name: str, value: object, dtype: torch.dtype) -> Tensor:
    """Return a tensor of the model's dtype as it is.

    Raises:
        TypeError: it is none, or of another dtype; the message names the argument.

    Example:
        >>> tensor("x", [0.0, 1.0], torch.float32)
        Traceback (most recent call last):
        TypeError: x must be a tensor of the model's dtype torch.float32, got list
    """
    if not isinstance(value, Tensor) or value.dtype != dtype:
        what = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of the model's dtype {dtype}, got {what}")
    return value


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
