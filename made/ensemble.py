"""Many orders and masks in one model, or many models: mixtures of them, and any question about any variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, distributions, nn

from made.checks import integer, is_integer
from made.layers import evaluation_view
from made.likelihoods import Columns
from made.masks import Connectivity
from made.model import MADE

__all__ = ["Disagreement", "Mixture", "by_pattern", "conditional", "disagreement", "impute", "marginal_log_prob"]
__all__ += ["choose", "members_of", "prefix_log_prob", "using"]


using = MADE.using  # as a function: using(model, connectivity)


class Mixture(nn.Module):
    r"""The average of several distributions, again a distribution: of one model's connectivities, or of several models.

    .. math:: p(x) = \frac1J \sum_{k=1}^{J} p_k(x), \qquad
        \log p(x) = \operatorname{logsumexp}_k \log p_k(x) - \log J

    Probabilities of whole rows are averaged. Averages of raw outputs, or of the probabilities of single variables, do
    not sum to one and are no likelihood.

    Args:
        model: a MADE, or several of the same variables.
        connectivities: of one MADE, what to average over; default: its own list. Several have one each.

    Raises:
        ValueError: there is nothing to average, a connectivity does not fit the model, or models do not fit together.

    References:
        Germain et al. 2015, section 4.2, arXiv:1502.03509.

    Example:
        >>> mixture = Mixture(MADE(8, hidden=(16,), order="random", n_masks=4))
        >>> x = torch.ones(5, 8)
        >>> mixture.log_prob(x).shape, mixture.sample(3, generator=torch.Generator().manual_seed(0)).shape
        (torch.Size([5]), torch.Size([3, 8]))
        >>> two = Mixture([MADE(8, seed=0), MADE(8, order="random", seed=1)])
        >>> two.log_prob(x).shape
        torch.Size([5])
    """

    def __init__(self, model: MADE | Sequence[MADE], connectivities: Sequence[Connectivity] | None = None) -> None:
        super().__init__()
        self.model = model if isinstance(model, MADE) else nn.ModuleList(model)
        self.connectivities: list[Connectivity] | None = None  # of several models: the one in use of each
        if isinstance(model, MADE):
            chosen = model.connectivities if connectivities is None else connectivities
            self.connectivities = [model.checked(connectivity) for connectivity in chosen]
            if not self.connectivities:
                raise ValueError("connectivities must hold at least one connectivity, got none")
        elif connectivities is not None or len(model) == 0:
            raise ValueError("model must be a MADE, or several with no connectivities beside them: each has its own")
        alike = {(m.n_features, m.likelihood, m.context_features) for m in self.members()}
        if len(alike) > 1:
            raise ValueError(f"models must agree in n_features, likelihood and context_features, got {alike}")
        self.n_features, self.likelihood, self.context_features = alike.pop()
        self.train(self.members()[0].training)

    def members(self) -> list[MADE]:
        """What is averaged, each as a MADE of its own; those of one model share its weights."""
        if isinstance(self.model, MADE):
            return [self.model.under(connectivity) for connectivity in self.connectivities or ()]
        return list(self.model)  # type: ignore[arg-type]

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-probability of each row, in nats: shape (..., D) to (...)."""
        parts = [member.log_prob(x, context) for member in self.members()]
        return torch.stack(parts).logsumexp(0) - math.log(len(parts))

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        given: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        method: str = "incremental",
    ) -> Tensor:
        r"""Draw samples: for each, choose a member, then sample it.

        With known values the choice follows :math:`p(k \mid x_{\text{known}}) \propto p_k(x_{\text{known}})`.

        Args:
            n: number of samples.
            context: as in :meth:`MADE.sample`, likewise the rest.
            given: known values, shape (n, D), NaN where a value is to be drawn; the known variables of every row must
                come first in the order of every member. :func:`impute` takes any.
            temperature: applied within each member.
            generator: source of randomness.
            method: "incremental" or "naive".

        Returns:
            Shape (n, D).
        """
        n, members = integer("n", n, minimum=0), [evaluation_view(member) for member in self.members()]
        weight = members[0].output.weight
        given = weight.new_full((n, self.n_features), torch.nan) if given is None else given
        given, context = members[0].check_given(given, n), members[0].check_context(context, (n,))
        with torch.no_grad():
            scores = [prefix_log_prob(member, member.check_given(given, n), context) for member in members]
        samples = weight.new_empty(n, self.n_features)
        for member, rows in zip(members, choose(torch.stack(scores, 1), generator), strict=True):
            some = None if context is None else context[rows]
            samples[rows] = member.sample(
                len(rows), some, given[rows], temperature=temperature, generator=generator, method=method
            )
        return samples


def choose(scores: Tensor, generator: torch.Generator | None) -> list[Tensor]:
    """Draw one of J members for every row, with probabilities proportional to exp(scores), shape (n, J).

    Returns:
        For every member the indices of its rows.

    Example:
        >>> choose(torch.tensor([[0.0, -1e9], [-1e9, 0.0]]), torch.Generator().manual_seed(0))
        [tensor([0]), tensor([1])]
    """
    chances = scores.softmax(1).cpu()
    drawn = torch.multinomial(chances, 1, generator=generator).squeeze(1) if len(scores) else torch.zeros(0, device="cpu")
    return [(drawn == k).nonzero().squeeze(1).to(scores.device) for k in range(scores.shape[1])]


def members_of(model: MADE | Mixture) -> list[MADE]:
    """What a model is a mixture of; a MADE is one of itself alone.

    Example:
        >>> len(members_of(MADE(3))), len(members_of(Mixture(MADE(3, order="random", n_masks=4))))
        (1, 4)
    """
    return model.members() if isinstance(model, Mixture) else [model]


def prefix_log_prob(model: MADE, x: Tensor, context: Tensor | None = None) -> Tensor:
    r"""Log-probability of the variables that are known before the first unknown one, in the model's present order.

    .. math:: \log p(x_{o(0)}, \ldots, x_{o(m-1)}) = \sum_{t=0}^{m-1} \log p(x_{o(t)} \mid x_{o(0)}, \ldots, x_{o(t-1)})

    The first m factors of the chain rule are the exact marginal of the first m variables: what comes later need not be
    known, and nothing has to be summed over it.

    Args:
        model: a MADE.
        x: shape (N, D), NaN where a value is unknown.
        context: shape (N, C) for a model with a context.

    Returns:
        Shape (N,), in nats; 0 where the first variable is unknown.

    Example:
        >>> prefix_log_prob(MADE(3), torch.tensor([[float("nan"), 1.0, 1.0]]))
        tensor([0.]...)
    """
    x = model.check_partial(x, "x")
    degrees = model.connectivity.degrees[0].to(x.device).expand(x.shape)
    first_gap = torch.where(x.isnan(), degrees, model.n_features + 1).amin(1, keepdim=True)
    filled = model.likelihood.filled(x)
    conditionals = model.likelihood.log_conditionals(model(filled, context), filled)
    return torch.where(degrees < first_gap, conditionals, 0.0).sum(1)


def marginal_log_prob(model: MADE | Mixture, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Log-probability of the known values of each row, whichever they are, under an order that has them first.

    Args:
        model: an order-agnostic MADE; any MADE if the known variables come first in its order; or a mixture of such.
        x: shape (N, D), NaN where a value is unknown.
        context: shape (N, C) for a model with a context.

    Returns:
        Shape (N,), in nats.

    Raises:
        ValueError: another order is needed, and the model was not trained for it.

    Example:
        >>> model = MADE(3, order="random", n_masks=None)
        >>> marginal_log_prob(model, torch.tensor([[float("nan"), 1.0, 0.0]])).shape
        torch.Size([1])
    """
    members = members_of(model)
    x = members[0].check_partial(x, "x")
    scores = [_row_by_row(member, prefix_log_prob, x, x.isnan().int(), context) for member in members]
    return torch.stack(scores).logsumexp(0) - math.log(len(scores))


def _row_by_row(
    model: MADE, ask: Callable[..., Tensor], x: Tensor, rank: Tensor, context: Tensor | None, *options: int
) -> Tensor:
    """Ask a question of the model about rows that need different orders; the answers in the order of the rows."""
    context = model.check_context(context, x.shape[:1])
    groups = by_pattern(model, rank)
    parts = [
        ask(model.under(order), x[rows], None if context is None else context[rows], *options) for order, rows in groups
    ]
    answers = torch.cat(parts) if parts else ask(model, x, context, *options)
    return answers[torch.cat([rows for _, rows in groups]).argsort()] if parts else answers


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
    orders = present[rank.cpu()[:, present].argsort(dim=1, stable=True)]
    if not model.order_agnostic and (orders != present).any():
        raise ValueError(_NEEDS_ORDERS)
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


_NEEDS_ORDERS = (
    'model must be order-agnostic to put any known variables first: make it with order="random" and n_masks=None '
    "(or several); with one order, model.sample(given=...) completes what comes last in it"
)


def impute(
    model: MADE | Mixture,
    x: Tensor,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    context: Tensor | None = None,
) -> Tensor:
    """Fill in missing values with draws from their conditional distribution given all that is known.

    For every pattern of missing values the known variables are put first in the order; then the conditional is exact
    for that order.

    Args:
        model: an order-agnostic MADE, made with order="random" and several masks, or a mixture of such.
        x: shape (N, D), NaN where a value is missing.
        n_samples: completions per row.
        generator: source of randomness.
        context: shape (N, C) for a model with a context.

    Returns:
        Shape (n_samples, N, D); known values are returned as they are.

    Raises:
        ValueError: a row needs another order than the model's only one, or a known value is outside the support.

    Example:
        >>> model = MADE(3, order="random", n_masks=None)
        >>> x = torch.tensor([[float("nan"), 1.0, 0.0]])
        >>> impute(model, x, n_samples=5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 1, 3])
    """
    n_samples, members = integer("n_samples", n_samples, minimum=1), members_of(model)
    x = members[0].check_partial(x, "x")
    context = members[0].check_context(context, x.shape[:1])
    draw = lambda m, known, context: m.sample(len(known), context, known, generator=generator).to(x.device)
    scores = x.new_zeros(len(x), 1)
    if len(members) > 1:
        with torch.no_grad():
            ranks = x.isnan().int()
            views = map(evaluation_view, members)
            scores = torch.stack([_row_by_row(m, prefix_log_prob, x, ranks, context) for m in views], 1)
    filled = x.repeat(n_samples, 1)
    for member, rows in zip(members, choose(scores.repeat(n_samples, 1), generator), strict=True):
        some = None if context is None else context.repeat(n_samples, 1)[rows]
        filled[rows] = _row_by_row(member, draw, filled[rows], filled[rows].isnan().int(), some)
    return filled.unflatten(0, (n_samples, -1))


def conditional(
    model: MADE | Mixture, x: Tensor, target: int | Sequence[int], context: Tensor | None = None
) -> distributions.Distribution:
    r"""Distribution of one or several variables given the known values of each row, in evaluation mode.

    .. math:: p(x_T \mid x_K) = \frac{p(x_K, x_T)}{\sum_{x'_T} p(x_K, x'_T)}

    The known variables K come first in the order, then the targets T, then what is neither. A MADE with one order
    answers where this is its order, or where everything but the targets is known and their values can be enumerated.

    Args:
        model: a MADE, or a mixture.
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
    members = [evaluation_view(member) for member in members_of(model)]
    x = members[0].check_partial(x, "x").clone()
    targets = [target] if is_integer(target) else list(target)  # type: ignore[arg-type]
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
            return _real_conditional(members, x, targets[0], rank, context)
        rank[(rank < 2).all(1)] *= any(member.order_agnostic for member in members)  # any order will do: keep the one
        every = torch.cartesian_prod(*[torch.arange(size, device=x.device) for size in states]).reshape(-1, len(targets))
        S = len(every)
        rows = x.repeat_interleave(S, 0)
        rows[:, targets] = every.to(x.dtype).repeat(len(x), 1)
        context = members[0].check_context(context, x.shape[:1])
        some = None if context is None else context.repeat_interleave(S, 0)
        ranks = rank.repeat_interleave(S, 0)
        scores = torch.stack([_row_by_row(m, prefix_log_prob, rows, ranks, some) for m in members]).logsumexp(0)
        return distributions.Categorical(logits=scores.unflatten(0, (len(x), S)), validate_args=False)


def _real_conditional(
    members: list[MADE], x: Tensor, target: int, rank: Tensor, context: Tensor | None
) -> distributions.Distribution:
    """The conditional of a real variable: that of one model, or the members' mixed by how well they know the rest."""
    likelihood = members[0].likelihood
    one = likelihood.columns[target] if isinstance(likelihood, Columns) else likelihood

    def ask(model: MADE, x: Tensor, context: Tensor | None) -> Tensor:
        return likelihood.take(model(likelihood.filled(x), context), [target]).flatten(1)

    params = torch.stack([_row_by_row(member, ask, x, rank, context) for member in members], 1)  # (N, members, K)
    if len(members) == 1:
        return one.distribution(params[:, 0], validate_args=False)
    known = torch.stack([_row_by_row(member, prefix_log_prob, x, rank, context) for member in members], 1)
    weights = distributions.Categorical(logits=known, validate_args=False)
    return distributions.MixtureSameFamily(weights, one.distribution(params, False), validate_args=False)


class Disagreement(NamedTuple):
    """Answers to one question under several orders, and how far they are apart.

    Attributes:
        answers: without a target log-probabilities in nats, shape (orders, N); with one log-probabilities of its values,
            shape (orders, N, values).
        spread: for each row, shape (N,): without a target the standard deviation of its log-probability over the orders,
            in nats; with one the mean total variation distance from the average of the answers, in [0, 1].
    """

    answers: Tensor
    spread: Tensor


def disagreement(
    model: MADE | Mixture,
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
        model: an order-agnostic MADE, or a mixture of such.
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
    members = [evaluation_view(member) for member in members_of(model)]
    if not all(member.order_agnostic for member in members):
        raise ValueError(_NEEDS_ORDERS)
    answers = []
    with torch.no_grad():
        for _ in range(n_orders):
            order = torch.randperm(members[0].n_features, generator=generator, device="cpu")
            same = Mixture([member.under(member.connectivity.reordered(order)) for member in members])
            if target is None:
                answers.append(marginal_log_prob(same, x, context))
            else:
                answers.append(conditional(same, x, target, context).logits)  # type: ignore[attr-defined]
        result = torch.stack(answers)
        if target is None:
            return Disagreement(result, result.std(0))
        return Disagreement(result, (result.exp() - result.exp().mean(0)).abs().sum(-1).mean(0) / 2)
