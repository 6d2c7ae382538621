"""Many orders and masks in one model: mixtures of them, and any order one likes, to impute whatever is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from made.checks import integer
from made.layers import evaluating
from made.masks import Connectivity
from made.model import MADE

__all__ = ["Mixture", "by_pattern", "impute", "marginal_log_prob", "prefix_log_prob", "using"]


using = MADE.using  # as a function: using(model, connectivity)


class Mixture(nn.Module):
    r"""The average of one model's distributions under several connectivities: again a distribution.

    .. math:: p(x) = \frac1J \sum_{k=1}^{J} p_k(x), \qquad
        \log p(x) = \operatorname{logsumexp}_k \log p_k(x) - \log J

    Probabilities of whole rows are averaged. Averages of raw outputs, or of the probabilities of single variables, do
    not sum to one and are no likelihood.

    Args:
        model: a MADE.
        connectivities: what to average over; default: the model's own list.

    Raises:
        ValueError: there is no connectivity, or one that does not fit the model.

    References:
        Germain et al. 2015, section 4.2, arXiv:1502.03509.

    Example:
        >>> mixture = Mixture(MADE(8, hidden=(16,), order="random", n_masks=4))
        >>> x = torch.ones(5, 8)
        >>> mixture.log_prob(x).shape, mixture.sample(3, generator=torch.Generator().manual_seed(0)).shape
        (torch.Size([5]), torch.Size([3, 8]))
    """

    def __init__(self, model: MADE, connectivities: Sequence[Connectivity] | None = None) -> None:
        super().__init__()
        self.model = model
        chosen = model.connectivities if connectivities is None else connectivities
        self.connectivities = [model.checked(connectivity) for connectivity in chosen]
        if not self.connectivities:
            raise ValueError("connectivities must hold at least one connectivity, got none")
        self.n_features, self.likelihood = model.n_features, model.likelihood
        self.context_features = model.context_features
        self.train(model.training)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-probability of each row, in nats: shape (..., D) to (...)."""
        parts = []
        for connectivity in self.connectivities:
            with self.model.using(connectivity):
                parts.append(self.model.log_prob(x, context))
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
        r"""Draw samples: for each, choose a connectivity, then sample the model under it.

        With known values the choice follows :math:`p(k \mid x_{\text{known}}) \propto p_k(x_{\text{known}})`.

        Args:
            n: number of samples.
            context: as in :meth:`MADE.sample`, likewise the rest.
            given: known values, shape (n, D), NaN where a value is to be drawn; the known variables of every row must
                come first in the order of every connectivity.
            temperature: applied within each connectivity.
            generator: source of randomness.
            method: "incremental" or "naive".

        Returns:
            Shape (n, D).
        """
        n = integer("n", n, minimum=0)
        model, weight = self.model, self.model.output.weight
        given = weight.new_full((n, self.n_features), torch.nan) if given is None else given
        context = model.check_context(context, (n,))
        scores = []
        with evaluating(model):
            for connectivity in self.connectivities:
                with model.using(connectivity):
                    model.check_given(given, n)
                    scores.append(prefix_log_prob(model, given, context))
        chances = torch.stack(scores, 1).softmax(1).cpu()
        chosen = torch.multinomial(chances, 1, generator=generator).squeeze(1) if n else torch.zeros(0)
        samples = weight.new_empty(n, self.n_features)
        for k, connectivity in enumerate(self.connectivities):
            rows = (chosen == k).nonzero().squeeze(1).to(weight.device)
            some = None if context is None else context[rows]
            with model.using(connectivity):
                samples[rows] = model.sample(
                    len(rows), some, given[rows], temperature=temperature, generator=generator, method=method
                )
        return samples


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
    model.check_partial(x, "x")
    known, order = ~x.isnan(), model.connectivity.order.to(x.device)
    leading = known[:, order].cumprod(1)[:, order.argsort()].bool()
    filled = torch.where(known, x, 0.0)
    conditionals = model.likelihood.log_conditionals(model(filled, context), filled)
    return torch.where(leading, conditionals, 0.0).sum(1)


def marginal_log_prob(model: MADE, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Log-probability of the known values of each row, whichever they are, under an order that has them first.

    Args:
        model: an order-agnostic MADE; any MADE if the known variables come first in its order.
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
    patterns = by_pattern(model, x)
    context = model.check_context(context, x.shape[:1])
    result = model.output.weight.new_zeros(len(x))
    for connectivity, rows in patterns:
        with model.using(connectivity):
            result[rows] = prefix_log_prob(model, x[rows], None if context is None else context[rows])
    return result


def impute(
    model: MADE,
    x: Tensor,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    context: Tensor | None = None,
) -> Tensor:
    """Fill in missing values with draws from their conditional distribution given all that is known.

    For every pattern of missing values the known variables are put first in the order; then the conditional is exact
    for that order.

    Args:
        model: an order-agnostic MADE, made with order="random" and several masks.
        x: shape (N, D), NaN where a value is missing.
        n_samples: completions per row.
        generator: source of randomness.
        context: shape (N, C) for a model with a context.

    Returns:
        Shape (n_samples, N, D); known values are returned as they are.

    Raises:
        ValueError: the model is not order-agnostic, or a known value is outside the support.

    Example:
        >>> model = MADE(3, order="random", n_masks=None)
        >>> x = torch.tensor([[float("nan"), 1.0, 0.0]])
        >>> impute(model, x, n_samples=5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 1, 3])
    """
    n_samples = integer("n_samples", n_samples, minimum=1)
    if not model.order_agnostic:
        raise ValueError(_NEEDS_ORDERS)
    patterns = by_pattern(model, x)
    context = model.check_context(context, x.shape[:1])
    result = x.new_empty(n_samples, *x.shape)
    for connectivity, rows in patterns:
        some = None if context is None else context[rows].repeat(n_samples, 1)
        given = x[rows].repeat(n_samples, 1)
        with model.using(connectivity):
            drawn = model.sample(len(given), some, given, generator=generator)
        result[:, rows] = drawn.unflatten(0, (n_samples, -1)).to(x.device)
    return result


_NEEDS_ORDERS = (
    'model must be order-agnostic to put any known variables first: make it with order="random" and n_masks=None '
    "(or several); with one order, model.sample(given=...) completes what comes last in it"
)


def by_pattern(model: MADE, x: Tensor) -> list[tuple[Connectivity, Tensor]]:
    """Group rows by which values are missing; for each group, a connectivity whose order has the known ones first.

    Example:
        >>> x = torch.tensor([[float("nan"), 1.0, 0.0]])
        >>> [(c.order, rows) for c, rows in by_pattern(MADE(3, order="random", n_masks=None), x)]
        [(tensor([2, 1, 0]), tensor([0]))]
    """
    model.check_partial(x, "x")
    patterns, which = x.isnan().unique(dim=0, return_inverse=True)
    groups, order = [], model.connectivity.order
    for k, missing in enumerate(patterns.cpu()):
        known_first = order[missing[order].int().argsort(stable=True)]
        if not model.order_agnostic and not torch.equal(known_first, order):
            raise ValueError(_NEEDS_ORDERS)
        groups.append((model.connectivity.reordered(known_first), (which == k).nonzero().squeeze(1)))
    return groups
