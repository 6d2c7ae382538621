"""Many orders and masks in one model, or many models: mixtures of them, and whatever is missing filled in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from made.checks import integer
from made.layers import evaluation_view
from made.masks import Connectivity
from made.model import MADE

__all__ = ["NEEDS_ORDERS", "Mixture", "by_pattern", "choose", "impute", "marginal_log_prob", "members_of"]
__all__ += ["prefix_log_prob", "row_by_row"]


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
        self.chosen: list[Connectivity] | None = None
        if isinstance(model, MADE) and connectivities is not None:
            self.chosen = [model.checked(connectivity) for connectivity in connectivities]
            if not self.chosen:
                raise ValueError("connectivities must hold at least one connectivity, got none")
        elif not isinstance(model, MADE) and (connectivities is not None or len(model) == 0):
            raise ValueError("model must be a MADE, or several with no connectivities beside them: each has its own")
        alike = {(m.n_features, m.likelihood, m.context_features) for m in self.members()}
        if len(alike) > 1:
            raise ValueError(f"models must agree in n_features, likelihood and context_features, got {alike}")
        self.n_features, self.likelihood, self.context_features = alike.pop()
        self.train(self.members()[0].training)

    @property
    def connectivities(self) -> list[Connectivity]:
        """What is averaged over: what was given, or what the models have by now."""
        own = self.model.connectivities if isinstance(self.model, MADE) else [m.connectivity for m in self.members()]
        return own if self.chosen is None else self.chosen

    def members(self) -> list[MADE]:
        """What is averaged, each as a MADE of its own; those of one model share its weights."""
        if isinstance(self.model, MADE):
            return [self.model.under(connectivity) for connectivity in self.connectivities]
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
    n, J = scores.shape
    if n == 0 or J == 1:
        return [torch.arange(n, device=scores.device)] * J
    drawn = torch.multinomial(scores.softmax(1).cpu(), 1, generator=generator).squeeze(1)
    return [(drawn == k).nonzero().squeeze(1).to(scores.device) for k in range(J)]


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
    scores = [row_by_row(member, prefix_log_prob, x, x.isnan().int(), context) for member in members]
    return torch.stack(scores).logsumexp(0) - math.log(len(scores))


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
        >>> row_by_row(model, prefix_log_prob, x, x.isnan().int(), None).shape
        torch.Size([1])
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


NEEDS_ORDERS = (
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
            parts = [row_by_row(evaluation_view(m), prefix_log_prob, x, x.isnan().int(), context) for m in members]
            scores = torch.stack(parts, 1)
    filled = x.repeat(n_samples, 1)
    for member, rows in zip(members, choose(scores.repeat(n_samples, 1), generator), strict=True):
        some = None if context is None else context.repeat(n_samples, 1)[rows]
        filled[rows] = row_by_row(member, draw, filled[rows], filled[rows].isnan().int(), some)
    return filled.unflatten(0, (n_samples, -1))
