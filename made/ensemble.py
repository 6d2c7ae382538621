"""Many orders and masks in one model, or many models: averages of them, and whatever is missing filled in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from made.checks import integer
from made.layers import evaluation_view
from made.likelihoods import Likelihood
from made.masks import Connectivity
from made.model import MADE
from made.patterns import all_mades, row_by_row

__all__ = ["Average", "Ensemble", "Mixture", "all_mades", "choose", "impute", "marginal_log_prob", "members_of"]
__all__ += ["prefix_log_prob"]


class Average(nn.Module):
    r"""A weighted average of distributions over the same variables, again a distribution.

    .. math:: p(x) = \sum_{k=1}^{J} w_k\, p_k(x), \qquad
        \log p(x) = \operatorname{logsumexp}_k \bigl( \log w_k + \log p_k(x) \bigr)

    Probabilities of whole rows are averaged. Averages of raw outputs, or of the probabilities of single variables, do
    not sum to one and are no likelihood. :class:`Mixture` averages the connectivities of one model, :class:`Ensemble`
    several models.

    Example:
        >>> isinstance(Mixture(MADE(3, order="random", n_masks=4)), Average)
        True
    """

    n_features: int
    likelihood: Likelihood
    context_features: int

    def members(self) -> list[Any]:
        """What is averaged."""
        raise NotImplementedError

    def log_weights(self) -> Tensor:
        """The logarithm of the weight of every member, shape (J,)."""
        raise NotImplementedError

    def adopt(self, models: Sequence[Any]) -> None:
        """Be of the variables of the models, which must agree."""
        for name in ("n_features", "likelihood", "context_features"):
            found = {getattr(model, name) for model in models if hasattr(model, name)}
            if len(found) > 1:
                raise ValueError(f"models must agree in {name}, got {found}")
            setattr(self, name, found.pop() if found else None)
        self.training = models[0].training

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-probability of each row, in nats: shape (..., D) to (...)."""
        asked = (x,) if context is None else (x, context)
        parts = torch.stack([member.log_prob(*asked) for member in self.members()], -1)
        return (parts + self.log_weights().to(parts)).logsumexp(-1)

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

        With known values the choice follows :math:`p(k \mid x_{\text{known}}) \propto w_k\, p_k(x_{\text{known}})`.

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
        scores = self.log_weights().expand(n, -1)
        if context is not None or self.context_features:
            context = all_mades(members)[0].check_context(context, (n,))
        if given is not None:
            given = all_mades(members)[0].check_given(given, n)
            with torch.no_grad():
                known = [prefix_log_prob(member, member.check_given(given, n), context) for member in members]
            scores = scores.to(known[0]) + torch.stack(known, 1)
        by_row = {name: values for name, values in (("context", context), ("given", given)) if values is not None}
        options = {"temperature": temperature, "method": method} if (temperature, method) != (1, "incremental") else {}
        chosen, drawn = choose(scores, generator), []
        for member, rows in zip(members, chosen, strict=True):
            some = {name: values[rows.to(values.device)] for name, values in by_row.items()}
            drawn.append(member.sample(len(rows), **some, **options, generator=generator))
        return torch.cat(drawn)[torch.cat(chosen).argsort().to(drawn[0].device)]


class Mixture(Average):
    r"""The average of one model's connectivities, all of the same weight.

    .. math:: p(x) = \frac1J \sum_{k=1}^{J} p_k(x), \qquad
        \log p(x) = \operatorname{logsumexp}_k \log p_k(x) - \log J

    Args:
        model: a MADE.
        connectivities: what to average over; default: the model's own list.

    Raises:
        ValueError: there is nothing to average, or a connectivity does not fit the model.

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
        self.model, self.chosen = model, None
        self.adopt([model])
        if connectivities is not None:
            self.chosen = [model.checked(connectivity) for connectivity in connectivities]
            if not self.chosen:
                raise ValueError("connectivities must hold at least one connectivity, got none")

    @property
    def connectivities(self) -> list[Connectivity]:
        """What is averaged over: what was given, or what the model has by now."""
        return self.model.connectivities if self.chosen is None else self.chosen

    def members(self) -> list[MADE]:
        """The model under each of the connectivities, with the same weights."""
        return [self.model.under(connectivity) for connectivity in self.connectivities]

    def log_weights(self) -> Tensor:
        """The logarithm of the weight of every member, shape (J,)."""
        J = len(self.connectivities)
        return torch.full((J,), -math.log(J), dtype=torch.float64, device="cpu")


class Ensemble(Average):
    r"""The weighted average of several models of the same variables.

    Args:
        models: of any kind, also mixtures and ensembles: modules with ``log_prob(x)`` and ``sample(n, generator=)``.
        weights: one number per model, in proportion; default: all the same.

    Attributes:
        weights: of the models, shape (models,); they sum to 1.

    Raises:
        TypeError: a model is no such module.
        ValueError: there is none, the models do not fit together, or a weight is negative.

    Example:
        >>> two = Ensemble([MADE(8, seed=0), MADE(8, order="random", seed=1)], weights=[1, 3])
        >>> two.weights.tolist(), two.log_prob(torch.ones(5, 8)).shape
        ([0.25, 0.75], torch.Size([5]))
    """

    weights: Tensor

    def __init__(self, models: Sequence[Any], weights: Any = None) -> None:
        super().__init__()
        for model in models:
            if not (isinstance(model, nn.Module) and hasattr(model, "log_prob") and hasattr(model, "sample")):
                raise TypeError(f"models must be modules with log_prob and sample, got {type(model).__name__}")
        if len(models) == 0:
            raise ValueError("models must hold at least one model, got none")
        self.models = nn.ModuleList(models)
        self.adopt(models)
        w = torch.as_tensor([1.0] * len(models) if weights is None else weights, dtype=torch.float64, device="cpu")
        if w.shape != (len(models),) or not (w >= 0).all() or not 0 < w.sum() < math.inf:
            raise ValueError(f"weights must be {len(models)} numbers of at least 0, not all 0, got {weights}")
        self.register_buffer("weights", w / w.sum())

    def members(self) -> list[Any]:
        """The models; of those that are averages themselves, their members."""
        return [part for model in self.models for part in (model.members() if isinstance(model, Average) else [model])]

    def log_weights(self) -> Tensor:
        """The logarithm of the weight of every member, shape (J,)."""
        logs = (self.weights / self.weights.sum()).log()
        inner = [
            model.log_weights() if isinstance(model, Average) else torch.zeros(1, device="cpu") for model in self.models
        ]
        return torch.cat([log + part.to(logs) for log, part in zip(logs, inner, strict=True)])

    @torch.no_grad()
    def fit_weights(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Set the weights that make rows most probable, by expectation maximisation from equal ones; returns them.

        .. math:: w_k \leftarrow \frac1N \sum_{n} \frac{w_k\, p_k(x^{(n)})}{\sum_l w_l\, p_l(x^{(n)})}

        Use validation rows, and many: with few, the weights fit their chances.

        Args:
            x: rows, shape (N, D).
            context: shape (N, C) for models with a context.
        """
        asked = (x,) if context is None else (x, context)
        scores = torch.stack([evaluation_view(model).log_prob(*asked).double() for model in self.models], 1)
        log_w, before = scores.new_full((len(self.models),), -math.log(len(self.models))), -math.inf
        while True:
            joint = scores + log_w
            now = joint.logsumexp(1, keepdim=True)
            if now.mean().item() - before < 1e-9:
                break
            before, log_w = now.mean().item(), (joint - now).logsumexp(0) - math.log(len(x))
        self.weights.copy_(log_w.exp())
        return self.weights


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


def members_of(model: MADE | Average) -> tuple[list[MADE], Tensor]:
    """What a model is an average of, and the logarithms of the weights; a MADE is one of itself alone.

    Raises:
        TypeError: something is no MADE.

    Example:
        >>> members, log_weights = members_of(Mixture(MADE(3, order="random", n_masks=4)))
        >>> len(members), log_weights.exp().tolist()
        (4, [0.25, 0.25, 0.25, 0.25])
    """
    members = all_mades(model.members() if isinstance(model, Average) else [model])
    return members, model.log_weights() if isinstance(model, Average) else torch.zeros(1, device="cpu")


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


def marginal_log_prob(model: MADE | Average, x: Tensor, context: Tensor | None = None) -> Tensor:
    """Log-probability of the known values of each row, whichever they are, under an order that has them first.

    Args:
        model: an order-agnostic MADE; any MADE if the known variables come first in its order; or an average of such.
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
    members, log_weights = members_of(model)
    x = members[0].check_partial(x, "x")
    scores = torch.stack([row_by_row(m, prefix_log_prob, x, x.isnan().int(), context) for m in members], 1)
    return (scores + log_weights.to(scores)).logsumexp(1)


def impute(
    model: MADE | Average,
    x: Tensor,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
    context: Tensor | None = None,
) -> Tensor:
    """Fill in missing values with draws from their conditional distribution given all that is known.

    For every pattern of missing values the known variables are put first in the order; then the conditional is exact
    for that order.

    Args:
        model: an order-agnostic MADE, made with order="random" and several masks, or an average of such.
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
    n_samples, (members, log_weights) = integer("n_samples", n_samples, minimum=1), members_of(model)
    x = members[0].check_partial(x, "x")
    context = members[0].check_context(context, x.shape[:1])
    draw = lambda m, known, context: m.sample(len(known), context, known, generator=generator).to(x.device)
    scores = x.new_zeros(len(x), 1)
    if len(members) > 1:
        with torch.no_grad():
            parts = [row_by_row(evaluation_view(m), prefix_log_prob, x, x.isnan().int(), context) for m in members]
            scores = torch.stack(parts, 1) + log_weights.to(x)
    filled = x.repeat(n_samples, 1)
    for member, rows in zip(members, choose(scores.repeat(n_samples, 1), generator), strict=True):
        some = None if context is None else context.repeat(n_samples, 1)[rows]
        filled[rows] = row_by_row(member, draw, filled[rows], filled[rows].isnan().int(), some)
    return filled.unflatten(0, (n_samples, -1))
