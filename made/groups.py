"""One-hot groups: neighbouring columns of zeros and ones that are together one variable with several values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from made.checks import tensor
from made.likelihoods import Bernoulli, Categorical, Columns, Likelihood

__all__ = ["ENOUGH", "Groups", "groups"]

ENOUGH = 10  # rows with two ones that independent columns would have, where there is none


class Groups:
    r"""Columns of zeros and ones as fewer variables with more values, and back.

    In a group at most one column is 1. If one always is, the value of the group is its number; otherwise it is its
    number plus one, and 0 stands for none. A row of values and the row of zeros and ones are the same event, so both
    have the same probability:

    .. math:: P(\text{row of zeros and ones}) = p(\text{row of values}), \qquad
        P(\text{a row that violates a group}) = 0

    Args:
        starts: the first column of every group, the first of all being 0.
        complete: for every group, whether one of its columns always is 1.
        n_columns: number of columns.

    Attributes:
        likelihood: ``made.Columns`` with a Bernoulli or a Categorical for every group.

    Example:
        >>> pairs = Groups([0, 3], [True, False], 4)
        >>> pairs.likelihood
        Columns(columns=(Categorical(k=3), Bernoulli()))
        >>> pairs.encode(torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]))
        tensor([[1., 1.],
                [2., 0.]])
        >>> pairs.violations(torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]))
        tensor([ True, False])
    """

    def __init__(self, starts: Sequence[int], complete: Sequence[bool], n_columns: int) -> None:
        self.starts, self.complete, self.n_columns = list(starts), list(complete), n_columns
        self.widths = [stop - start for start, stop in zip(self.starts, [*self.starts[1:], n_columns], strict=True)]
        states = [width + (not full) for width, full in zip(self.widths, self.complete, strict=True)]
        kinds: list[Likelihood] = [Bernoulli() if k == 2 else Categorical(k) for k in states]
        self.likelihood = Columns(kinds)

    def __repr__(self) -> str:
        return f"Groups({len(self.starts)} variables of {self.n_columns} columns)"

    def parts(self, rows: Any) -> list[Tensor]:
        """The columns of every group."""
        rows = _zeros_and_ones(rows)
        if rows.shape[1] != self.n_columns:
            raise ValueError(f"rows must have shape (N, {self.n_columns}), got {tuple(rows.shape)}")
        return list(rows.split(self.widths, 1))

    def violations(self, rows: Any) -> Tensor:
        """Which rows, of shape (N, columns), have two ones in a group, or none where one is a must: bool, (N,)."""
        return self._violated(self.parts(rows))

    def _violated(self, parts: list[Tensor]) -> Tensor:
        sums = torch.stack([part.sum(1) for part in parts], 1)
        fewest = torch.tensor(self.complete, device="cpu").to(sums)
        return ((sums > 1) | (sums < fewest)).any(1)

    def encode(self, rows: Any) -> Tensor:
        """Rows of zeros and ones (N, columns) as values (N, groups).

        Raises:
            ValueError: another shape, other values, or rows that violate a group.
        """
        parts = self.parts(rows)
        wrong = int(self._violated(parts).sum())
        if wrong:
            raise ValueError(f"rows must keep to the groups, {wrong} of {len(rows)} do not: their probability is 0")
        numbered = zip(parts, self.complete, strict=True)
        return torch.stack(
            [
                part @ torch.arange(part.shape[1], device="cpu").to(part) + (0 if full else part.sum(1))
                for part, full in numbered
            ],
            1,
        )

    def decode(self, values: Tensor) -> Tensor:
        """Values (N, groups) as rows of zeros and ones (N, columns).

        Raises:
            ValueError: another shape, or a value that a group does not have.
        """
        self.likelihood.check_rows(values, len(self.starts), values.dtype, "values")
        parts = [
            F.one_hot(value.long(), width + (not full))[:, 0 if full else 1 :]
            for value, width, full in zip(values.unbind(1), self.widths, self.complete, strict=True)
        ]
        return torch.cat(parts, 1).to(values)


def groups(rows: Any) -> Groups:
    r"""Find the one-hot groups of neighbouring columns in training rows.

    From left to right, columns are taken together as long as no row has two ones among them. That is sure where every
    row has exactly one. Otherwise a column joins only if chance would not explain it: if as many rows as ENOUGH would
    have two ones, were the column independent of those before it,

    .. math:: N\, p_i \sum_{j < i} p_j \ge 10

    Args:
        rows: zeros and ones, shape (N, columns).

    Returns:
        Groups: with a group of its own for every column that belongs to no other.

    Raises:
        ValueError: other values, another shape, or no rows.

    Example:
        >>> rows = torch.eye(3)[torch.arange(60) % 3]
        >>> groups(torch.cat([rows, rows[:, [0]]], 1)).starts
        [0, 3]
    """
    rows = _zeros_and_ones(rows)
    if 0 in rows.shape:
        raise ValueError(f"rows must have at least one row and one column, got shape {tuple(rows.shape)}")
    starts, complete, stop = [], [], 0
    while stop < rows.shape[1]:
        width, full = _next_group(rows[:, stop:] == 1)
        starts.append(stop)
        complete.append(full)
        stop += width
    return Groups(starts, complete, stop)


def _next_group(ones: Tensor) -> tuple[int, bool]:
    """How many of the first columns are a group, and whether one of them always is 1."""
    taken, width, growing = torch.zeros_like(ones[:, 0]), 1, True
    for i, column in enumerate(ones.T):
        if (taken & column).any():
            break
        if i > 0:
            growing = growing and bool(taken.sum() * column.sum() >= ENOUGH * len(ones))
        taken = taken | column
        if i > 0 and column.any() and taken.all():
            return i + 1, True
        if growing:
            width = i + 1
    return width, False


def _zeros_and_ones(rows: Any) -> Tensor:
    rows = tensor("rows", rows, rows.dtype if isinstance(rows, Tensor) else torch.get_default_dtype())
    if rows.dim() != 2:
        raise ValueError(f"rows must have shape (N, columns), got {tuple(rows.shape)}")
    if not ((rows == 0) | (rows == 1)).all():
        raise ValueError("rows must hold zeros and ones and nothing else")
    return rows
