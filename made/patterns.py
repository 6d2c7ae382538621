"""Rows with gaps: which order each of them needs, and a question asked of each under its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from made.masks import Connectivity
from made.model import MADE

__all__ = ["NEEDS_ORDERS", "all_mades", "by_pattern", "row_by_row"]

NEEDS_ORDERS = (
    'model must be order-agnostic to put any known variables first: make it with order="random" and n_masks=None '
    "(or several); with one order, model.sample(given=...) completes what comes last in it"
)


def all_mades(members: list[Any]) -> list[MADE]:
    """The members, if all are MADEs.

    Raises:
        TypeError: something is no MADE.

    Example:
        >>> all_mades([torch.nn.Linear(1, 1)])
        Traceback (most recent call last):
        TypeError: model must be a MADE or an average of such for this, got Linear
    """
    for member in members:
        if not isinstance(member, MADE):
            raise TypeError(f"model must be a MADE or an average of such for this, got {type(member).__name__}")
    return members


def row_by_row(model: MADE, ask: Callable[..., Tensor], x: Tensor, rank: Tensor, context: Tensor | None) -> Tensor:
    """Ask about rows that need different orders, each under its own; the answers in the order of the rows.

    Args:
        model: a MADE.
        ask: called as ``ask(view of the model, some of the rows, their context)``.
        x: shape (N, D).
        rank: shape (N, D), as in :func:`by_pattern`.
        context: shape (N, C) for a model with a context.

    Example:
        >>> model, x = MADE(3, order="random", n_masks=None), torch.tensor([[float("nan"), 1.0, 0.0]])
        >>> row_by_row(model, lambda m, x, _: m.connectivity.order[:1].expand(len(x)), x, x.isnan().int(), None)
        tensor([2])
    """
    context = model.check_context(context, x.shape[:1])
    groups = by_pattern(model, rank)
    if not groups:
        return ask(model, x, context)
    answers = [ask(model.under(c), x[rows], None if context is None else context[rows]) for c, rows in groups]
    return torch.cat(answers)[torch.cat([rows for _, rows in groups]).argsort()]


def by_pattern(model: MADE, rank: Tensor) -> list[tuple[Connectivity, Tensor]]:
    """Group rows by the order they need, and give the connectivity of each group.

    Rows that need the same order share a connectivity. Where most rows need one of their own, a group has an order for
    every row.

    Args:
        model: a MADE. Variables of equal rank stay in the order it has.
        rank: shape (N, D), which variables come first: those of rank 0, then those of rank 1, and so on.

    Raises:
        ValueError: another order is needed, and the model was not trained for it.

    Example:
        >>> missing_last = torch.tensor([[1, 0, 0]])
        >>> [(c.order, rows) for c, rows in by_pattern(MADE(3, order="random", n_masks=None), missing_last)]
        [(tensor([2, 1, 0]), tensor([0]))]
    """
    present = model.connectivity.order
    if present.dim() == 2:
        raise ValueError("model must have one order to start from, not one for each row: ask the model it is a view of")
    orders = present[rank.cpu()[:, present].argsort(dim=1, stable=True)]
    if not model.order_agnostic and (orders != present).any():
        raise ValueError(NEEDS_ORDERS)
    patterns, which, counts = orders.unique(dim=0, return_inverse=True, return_counts=True)
    shared = counts >= (0 if len(patterns) <= 20 else 100)  # fewer are not worth masks of their own
    groups = [(model.connectivity.reordered(patterns[k]), which == k) for k in shared.nonzero().squeeze(1)]
    groups = [(connectivity, rows.nonzero().squeeze(1)) for connectivity, rows in groups]
    widths = [sum(model.likelihood.sizes(model.n_features)[0]) + model.context_features, *model.config.hidden]
    floats = widths[-1] * model.n_features + widths[0] * (model.n_features + max(widths[1:], default=0))
    for rows in (~shared[which]).nonzero().squeeze(1).split(max(1, 2**24 // floats)):
        if len(rows):
            groups.append((model.connectivity.reordered(orders[rows]), rows))
    return [(connectivity, rows.to(rank.device)) for connectivity, rows in groups]
