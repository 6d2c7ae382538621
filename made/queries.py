"""Any question about any variables of a model: what follows from what is known, and how far orders disagree on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributions

from made.checks import integer, is_integer
from made.ensemble import Average, Ensemble, marginal_log_prob, members_of, prefix_log_prob
from made.layers import evaluation_view
from made.likelihoods import Columns
from made.model import MADE
from made.patterns import NEEDS_ORDERS, row_by_row

__all__ = ["Disagreement", "conditional", "disagreement"]


def conditional(
    model: MADE | Average, x: Tensor, target: int | Sequence[int], context: Tensor | None = None
) -> distributions.Distribution:
    r"""Distribution of one or several variables given the known values of each row, in evaluation mode.

    .. math:: p(x_T \mid x_K) = \frac{p(x_K, x_T)}{\sum_{x'_T} p(x_K, x'_T)}

    The known variables K come first in the order, then the targets T, then what is neither. A MADE with one order
    answers where this is its order, or where everything but the targets is known and their values can be enumerated.

    Args:
        model: a MADE, or an average of such.
        x: shape (N, D), NaN where a value is unknown; values of the targets are not looked at.
        target: one variable, or several with finitely many values.
        context: shape (N, C) for a model with a context.

    Returns:
        For targets with finitely many values a ``Categorical`` of batch shape (N,) over all their combinations, in
        counting order, the last target the fastest. For a real target its distribution, of batch shape (N,).

    Raises:
        ValueError: a target is out of range, several are not all finite, or the model was not trained for the order.

    Example:
        >>> model = MADE(3, order="random", n_masks=None)
        >>> x = torch.tensor([[float("nan"), 1.0, float("nan")]])
        >>> conditional(model, x, 0).probs.shape, conditional(model, x, [0, 2]).probs.shape
        (torch.Size([1, 2]), torch.Size([1, 4]))
    """
    members, log_weights = members_of(model)
    members = [evaluation_view(member) for member in members]
    x = members[0].check_partial(x, "x").clone()
    targets: list[Any] = list(target) if isinstance(target, Sequence) else [target]
    D = x.shape[1]
    if not targets or len(set(targets)) < len(targets) or not all(is_integer(i) and 0 <= i < D for i in targets):
        raise ValueError(f"target must be one or several different variables from 0..{D - 1}, got {target!r}")
    x[:, targets] = torch.nan
    rank = 2 * x.isnan().int()
    rank[:, targets] = 1
    states = [members[0].likelihood.select([i]).n_states for i in targets]
    with torch.no_grad():
        if None in states:
            if len(targets) > 1:
                raise ValueError(f"target must be one variable unless all have finitely many values, got {target!r}")
            return _real_conditional(members, log_weights, x, targets[0], rank, context)
        rank[(rank < 2).all(1)] *= any(member.order_agnostic for member in members)  # any order will do: keep the one
        every = torch.cartesian_prod(*[torch.arange(size or 0, device=x.device) for size in states]).reshape(
            -1, len(targets)
        )
        S = len(every)
        rows = x.repeat_interleave(S, 0)
        rows[:, targets] = every.to(x.dtype).repeat(len(x), 1)
        context = members[0].check_context(context, x.shape[:1])
        some = None if context is None else context.repeat_interleave(S, 0)
        ranks = rank.repeat_interleave(S, 0)
        scores = torch.stack([row_by_row(m, prefix_log_prob, rows, ranks, some) for m in members], 1)
        scores = (scores + log_weights.to(scores)).logsumexp(1)
        return distributions.Categorical(logits=scores.unflatten(0, (len(x), S)), validate_args=False)


def _real_conditional(
    members: list[MADE], log_weights: Tensor, x: Tensor, target: int, rank: Tensor, context: Tensor | None
) -> distributions.Distribution:
    """The conditional of a real variable: that of one model, or the members' mixed by how well they know the rest."""
    likelihood = members[0].likelihood
    one = likelihood.columns[target] if isinstance(likelihood, Columns) else likelihood

    def ask(model: MADE, x: Tensor, context: Tensor | None) -> Tensor:
        return likelihood.take(model(likelihood.filled(x), context), [target]).flatten(1)

    params = torch.stack([row_by_row(member, ask, x, rank, context) for member in members], 1)  # (N, members, K)
    if len(members) == 1:
        return one.distribution(params[:, 0], validate_args=False)
    known = torch.stack([row_by_row(member, prefix_log_prob, x, rank, context) for member in members], 1)
    weights = distributions.Categorical(logits=known + log_weights.to(known), validate_args=False)
    return distributions.MixtureSameFamily(weights, one.distribution(params, False), validate_args=False)


class Disagreement(NamedTuple):
    """Answers to one question under several orders, and how far they are apart.

    ``answers`` are, without a target, log-probabilities in nats, shape (orders, N); with one the log-probabilities of
    its values, shape (orders, N, values). ``spread`` has one number per row, shape (N,): without a target the standard
    deviation of its log-probability over the orders, in nats; with one the mean total variation distance from the
    average of the answers, in [0, 1].
    """

    answers: Tensor
    spread: Tensor


def disagreement(
    model: MADE | Average,
    x: Tensor,
    target: int | Sequence[int] | None = None,
    n_orders: int = 10,
    context: Tensor | None = None,
    seed: int = 0,
) -> Disagreement:
    """Ask the same question under several orders: a model trained under many may contradict itself.

    One distribution gives one answer. The orders of one network are different distributions, which training brings
    close to each other.

    Args:
        model: an order-agnostic MADE, or an average of such.
        x: shape (N, D), NaN where a value is unknown.
        target: None to ask for the probability of what is known; else as in :func:`conditional`, with finitely many
            values.
        n_orders: number of random orders, at least 2.
        context: shape (N, C) for a model with a context.
        seed: of the orders.

    Raises:
        ValueError: an argument is out of range, or a model has one order.

    Example:
        >>> model = MADE(3, order="random", n_masks=None)
        >>> disagreement(model, torch.tensor([[0.0, 1.0, 1.0]]), n_orders=4).answers.shape
        torch.Size([4, 1])
    """
    n_orders, generator = integer("n_orders", n_orders, minimum=2), torch.Generator().manual_seed(seed)
    members, log_weights = members_of(model)
    members = [evaluation_view(member) for member in members]
    if not all(member.order_agnostic for member in members):
        raise ValueError(NEEDS_ORDERS)
    answers = []
    with torch.no_grad():
        for _ in range(n_orders):
            order = torch.randperm(members[0].n_features, generator=generator, device="cpu")
            under = [member.under(member.connectivity.reordered(order)) for member in members]
            same = Ensemble(under, log_weights.exp())
            if target is None:
                answers.append(marginal_log_prob(same, x, context))
                continue
            found = conditional(same, x, target, context)
            if not isinstance(found, distributions.Categorical):
                raise ValueError(f"target must have finitely many values, got {target!r}; None asks for densities")
            answers.append(found.logits)
        result = torch.stack(answers)
        if target is None:
            return Disagreement(result, result.std(0))
        return Disagreement(result, (result.exp() - result.exp().mean(0)).abs().sum(-1).mean(0) / 2)
