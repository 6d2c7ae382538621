"""Checks of arguments that several modules share."""

from __future__ import annotations

from numbers import Integral

__all__ = ["integer"]


def integer(name: str, value: object, minimum: int) -> int:
    """A whole number as a plain int: one of Python's own or one of NumPy's, but no truth value.

    Args:
        name: of the argument, for the message.
        value: what the user gave.
        minimum: the least number that is allowed.

    Raises:
        ValueError: it is something else, or too small.

    Example:
        >>> integer("n", 3, 1)
        3
        >>> integer("n", 2.0, 1)
        Traceback (most recent call last):
        ValueError: n must be an int of at least 1, got 2.0
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an int of at least {minimum}, got {value!r}")
    return int(value)
