"""How good a model is on some rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from made.layers import evaluation_view
from made.training.batches import Batches
from made.training.parallel import Group

__all__ = ["Estimate", "mean_loss", "nll"]


class Estimate(NamedTuple):
    """A mean over n rows and its standard error, in nats."""

    mean: float
    stderr: float
    n: int


def nll(model: Any, x: Any, batch_size: int = 1000, context: Any = None) -> Estimate:
    r"""Mean negative log-likelihood over the rows of x in nats, with its standard error.

    .. math:: \bar\ell = \frac1N \sum_n -\log p(x^{(n)}), \qquad \text{stderr} = \frac{s}{\sqrt N}

    Args:
        model: anything with ``log_prob(batch)``, evaluated in evaluation mode; the model itself is not touched.
        x: rows, in any of the forms that :func:`~made.training.loop.fit` takes, and converted likewise.
        batch_size: rows per call; it does not change the result beyond rounding.
        context: for a model with a context, its rows, shape (N, C).

    Raises:
        TypeError: ``x`` or ``context`` is of another kind, or a tensor of another dtype.
        ValueError: wrong shapes, values outside the support, or numbers that the model's dtype cannot hold.

    Example:
        >>> import made
        >>> model = made.MADE(3, hidden=())
        >>> for parameter in model.parameters():
        ...     _ = parameter.data.zero_()
        >>> nll(model, torch.ones(10, 3))  # 3 log 2, and no spread
        Estimate(mean=2.0794..., stderr=0.0, n=10)
    """
    batches = Batches("x", x, context, batch_size=batch_size, model=model)
    view = evaluation_view(model)
    try:
        with torch.no_grad():
            losses = -torch.cat([view.log_prob(*batch).double() for batch in batches])
    except (TypeError, ValueError):
        batches.explain()
        raise
    stderr = losses.std().item() / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
    return Estimate(losses.mean().item(), stderr, len(losses))


def mean_loss(model: nn.Module, batches: Batches, group: Group) -> float:
    """Mean loss over all rows in evaluation mode, whatever the batches and the number of processes.

    Args:
        model: anything with ``loss(batch)``.
        batches: of the rows; in each process its own.
        group: the processes.

    Example:
        >>> import made
        >>> model, x = made.MADE(3), torch.eye(3)
        >>> both = mean_loss(model, Batches("x", x, batch_size=2), Group()), model.loss(x).item()
        >>> abs(both[0] - both[1]) < 1e-5
        True
    """
    total, n = 0.0, 0.0
    view: Any = evaluation_view(model)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):  # a loader draws numbers even if it keeps the order
        for batch in batches:
            if batch:
                total += view.loss(*batch).item() * len(batch[0])
                n += len(batch[0])
    total, n = group.sum(total, n)
    return total / n
