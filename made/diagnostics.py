"""Three ways to find out who sees whom, how many numbers are learned, and whether it is a distribution at all."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from made.foreign import MAX_STATES, RARE, Foreign, Report, every_row, unless, violations
from made.layers import MaskedLinear, evaluation_view

if TYPE_CHECKING:
    from made.autoencoder import Autoencoder
    from made.ensemble import Average
    from made.model import MADE

__all__ = [
    "MAX_STATES",
    "any_of_each",
    "count_parameters",
    "flip_dependencies",
    "jacobian_dependencies",
    "positive_copy",
    "report",
    "states",
    "structural_dependencies",
    "total_probability",
    "violations",
]


def structural_dependencies(model: MADE) -> Tensor:
    """Proof by masks: entry [i, j] is True if a path of unmasked weights leads from input j to output i.

    Args:
        model: a MADE; its connectivity in use is examined.

    Returns:
        Bool, shape (D, D).

    Example:
        >>> import made
        >>> structural_dependencies(made.MADE(3, hidden=(4,))).int()
        tensor([[0, 0, 0],
                [1, 0, 0],
                [1, 1, 0]], dtype=torch.int32)
    """
    connectivity = model.connectivity
    reach = connectivity.reachable()
    return reach if model.direct is None else reach | connectivity.direct_mask()


def jacobian_dependencies(model: MADE | Autoencoder, seed: int = 0) -> Tensor:
    r"""Proof by derivatives: entry [i, j] is True if an output for variable i has a slope along input j.

    .. math:: J_{ij} = \frac{\partial a_i}{\partial x_j} \ne 0

    The question is about the architecture, so a float64 copy is examined whose weights are random positive numbers:
    no ReLU is off and no two paths cancel.

    Args:
        model: a MADE or an Autoencoder, or another with ``network``, ``n_features`` and ``likelihood``.
        seed: of the positive weights.

    Returns:
        Bool, shape (D, D).

    Example:
        >>> import made
        >>> jacobian_dependencies(made.MADE(3, hidden=(4,))).int()
        tensor([[0, 0, 0],
                [1, 0, 0],
                [1, 1, 0]], dtype=torch.int32)
    """
    probe, likelihood = positive_copy(model, seed), model.likelihood
    n_context = getattr(model, "context_features", 0)
    inputs = torch.ones(n_context + sum(likelihood.sizes(model.n_features)[0]), dtype=torch.float64, device="cpu")
    slopes = torch.autograd.functional.jacobian(probe.network, inputs)[..., n_context:]  # (D, K, D * E)
    by_output = any_of_each(slopes.flatten(0, -2) != 0, likelihood.sizes(model.n_features)[1])
    return any_of_each(by_output.T, likelihood.sizes(model.n_features)[0]).T


def flip_dependencies(model: MADE | Autoencoder, seed: int = 0) -> Tensor:
    """Proof by experiment: change variable j, and entry [i, j] is True if any output for variable i moves.

    As in :func:`jacobian_dependencies` a copy with positive weights is examined. Nothing is assumed about the inside
    of the model: it is only called.

    Args:
        model: anything that maps (B, D) to raw parameters (B, D, K) and has ``n_features`` and ``likelihood``.
        seed: of the positive weights.

    Returns:
        Bool, shape (D, D).

    Example:
        >>> import made
        >>> flip_dependencies(made.Autoencoder(3, hidden=(4,))).all()  # an autoencoder sees everything
        tensor(True)
    """
    probe, n_features = positive_copy(model, seed), model.n_features
    # as many equal rows as flips: the same call shape means the same rounding, so that != is exact
    states = [model.likelihood.select([i]).n_states or 2 for i in range(n_features)]
    last = torch.tensor(states, dtype=torch.float64, device="cpu") - 1  # values whose codes are positive
    base = last.repeat(n_features, 1)
    flipped = base.clone().fill_diagonal_(0)  # row j differs from base in variable j only
    n_context = getattr(model, "context_features", 0)
    context = [torch.ones(n_context, dtype=torch.float64, device="cpu")] if n_context else []
    with torch.no_grad():
        moved = probe(flipped, *context) != probe(base, *context)  # (D flips, D outputs, K)
    return any_of_each(moved.flatten(1).T, model.likelihood.sizes(n_features)[1])


def any_of_each(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """For rows that belong to variables, so many to each, whether any of a variable's rows is True, column by column.

    Args:
        rows: bool, shape (sum of the sizes, columns).
        sizes: rows of each variable.

    Returns:
        Bool, shape (variables, columns).

    Example:
        >>> any_of_each(torch.tensor([[False], [True], [False]]), [2, 1])
        tensor([[ True],
                [False]])
    """
    return torch.stack([rows_of_one.any(0) for rows_of_one in rows.split(list(sizes))])


def count_parameters(model: nn.Module) -> int:
    """How many numbers a model learns: the weights that its masks let through, and the biases.

    Weights that a mask forbids are stored, and ``parameters()`` has them, but they do not count here or anywhere in the
    book: no output depends on them.

    Args:
        model: any module; of a MADE the connectivity in use counts.

    Example:
        >>> import made
        >>> model = made.MADE(3, hidden=())  # three weights to earlier variables, twice, and three biases
        >>> count_parameters(model), sum(parameter.numel() for parameter in model.parameters())
        (9, 21)
    """
    layers = [layer for layer in model.modules() if isinstance(layer, MaskedLinear)]
    masked = [(layer.mask == 0).sum() for layer in layers for p in layer.parameters() if p.shape == layer.mask.shape]
    return sum(p.numel() for p in model.parameters()) - int(sum(masked))


def positive_copy(model: nn.Module, seed: int) -> Any:
    """A float64 copy in evaluation mode whose parameters are random numbers from [0.5, 1.5], divided by the width.

    Args:
        model: any module.
        seed: of the random numbers.

    Example:
        >>> import made
        >>> bool((positive_copy(made.MADE(3, hidden=(4,)), seed=0).output.weight > 0).all())
        True
    """
    probe = copy.deepcopy(model).cpu().double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in probe.parameters():
            drawn = 0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64, device="cpu")
            parameter.copy_(drawn / parameter.shape[-1])
    return probe


def states(model: MADE | Average) -> Tensor:
    """Every possible row of a finite model, shape (S, D), in counting order.

    Raises:
        ValueError: the support is not finite, or there are more than 2**20 rows.

    Example:
        >>> import made
        >>> states(made.MADE(2, hidden=()))
        tensor([[0., 0.],
                [0., 1.],
                [1., 0.],
                [1., 1.]])
    """
    likelihood, n_features = model.likelihood, model.n_features
    if likelihood.n_states is None:
        raise ValueError(f"model must have a finite support to be enumerated, its likelihood is {likelihood}")
    sizes = [likelihood.select([i]).n_states or 0 for i in range(n_features)]  # the support is finite: never 0
    rows = every_row([torch.arange(size, device="cpu") for size in sizes])
    parameter = next(model.parameters())
    return rows.to(parameter.device, parameter.dtype)


def total_probability(model: MADE | Average, context: Tensor | None = None) -> float:
    r"""Sum of the probabilities of all states, which must be 1.

    .. math:: \sum_{x} p(x) = \sum_{x} \exp(\log p(x))

    Args:
        model: anything with ``log_prob``, ``likelihood``, ``n_features`` and parameters.
        context: one context, shape (C,), for a model that has one.

    Raises:
        ValueError: the support is not finite, or there are more than 2**20 states.

    Example:
        >>> import made
        >>> round(total_probability(made.MADE(8, hidden=(16,)).double()), 12)
        1.0
    """
    given = [] if context is None else [context]
    with torch.no_grad():
        probe = evaluation_view(model)
        parts = [probe.log_prob(rows, *given).double().exp().sum() for rows in states(model).split(2**14)]
    return float(torch.stack(parts).sum())


def report(
    outputs: Callable[..., Tensor],
    order: Sequence[int] | Tensor,
    *,
    log_prob: Callable[[Tensor], Tensor] | None = None,
    sample: Callable[[int, torch.Generator], Tensor] | None = None,
    values: Any = (0.0, 1.0),
    context: Tensor | None = None,
    rows: Tensor | None = None,
    entropy: float | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Report:
    """Six tests of any autoregressive model, of which nothing is known but that it can be called.

    ====================  =========================================================================================
    slopes                no output has a slope along its own variable or a later one, by autograd at random rows
    flips                 nor does it change when one of these is changed; a row's outputs depend on nothing else:
                          not on the other rows of the batch, its number of rows or the row's place in it, and they
                          are the same when asked again
    total                 the probabilities of all rows sum to 1; a density of 1 to 3 real variables integrates to 1
    entropy               rows of a source cost at least its entropy on average, except by chance (see
                          :func:`made.foreign.shortfall`)
    sampler               drawn rows are as frequent as they are probable: chi-squared with a p-value of at least
                          ``RARE``, one in a million
    hearing               every output hears all earlier variables, and the context, the first one included
    ====================  =========================================================================================

    A test that cannot be run says why. The first five find what makes a model no distribution, or its sampler another
    one; the last finds what it cannot learn. Callables are called as they are, with rows in batches of any size, one
    row included: dropout left on stays on, batch norm in training mode counts the calls, and what they draw from
    generators other than PyTorch's goes on from where it was. What they raise is raised.

    What it cannot find: a leak at rows that random ones do not meet; anything behind a weight that is 0 (a last layer
    that starts at 0 hides all before it); a wrong sampler whose rows are nearly as frequent as they should be, as all
    are for a model that still says nearly the same of every row; a wrong ``log_prob`` or sampler of more variables than
    can be enumerated. A leak so small that it may be rounding leaves its test not run: float64 tells. And a dependency
    that no random row shows counts as missing in ``hearing``: behind units that are off (ReLU) at all of them, or when
    what is left of it after many steps is less than rounding.

    Args:
        outputs: from rows (B, D), and contexts (B, C) if ``context`` is given, to raw parameters (B, D) or (B, D, K):
            ``[:, i]`` are those of variable i.
        order: permutation of 0..D-1, ``order[t]`` is the variable generated at step t.
        log_prob: from rows (B, D) to nats (B,), under one context, if there is any; minus infinity for rows that cannot
            be, as for real numbers outside of a support. Default: the outputs are logits of variables that are 0 or 1;
            the first context counts.
        sample: called with a number n and a generator, gives rows (n, D), as ``log_prob`` has them.
        values: what a variable may be, or a list of that for each; None for real numbers. Random real rows are normal,
            with centre and scale of ``rows``, or else of drawn ones, or else 0 and 1.
        context: one context, shape (C,), or several, shape (N, C).
        rows: of a source whose entropy is known, shape (N, D), at least 100.
        entropy: of that source in nats.
        seed: of random rows and of what the model draws from PyTorch's generators, which are set back at the end.
        dtype: of the rows that the model is asked about. Default: that of ``context`` or ``rows``, else PyTorch's.
        device: likewise. Default: that of ``context`` or ``rows``, else the CPU.

    Returns:
        Six findings with ``name``, ``passed`` (True, False, or None: not run) and ``said``; ``passed`` if none failed.

    Raises:
        TypeError: an argument is of the wrong kind; the message names it. Likewise:
        ValueError: an argument, or what a callable returns, has the wrong shape or values.

    Example:
        >>> import made
        >>> model = made.MADE(3, order=torch.tensor([1, 2, 0]))
        >>> draw = lambda n, generator: model.sample(n, generator=generator)
        >>> print(report(model, [1, 2, 0], log_prob=model.log_prob, sample=draw))
        slopes   passed   no slope along the own or a later variable
        flips    passed   no change with the own or a later variable
        total    passed   the total probability is 1.000000
        entropy  not run  needs rows of a source, and its entropy
        sampler  passed   16384 rows drawn: chi-squared ... p = ...
        hearing  passed   every output hears all earlier variables
    """
    model = Foreign(outputs, order, log_prob, sample, values, context, rows, entropy, seed, dtype, device)
    return model.examine(
        slopes=lambda: unless(violations(model.slopes, model.order), "no slope along the own or a later variable"),
        flips=lambda: unless(
            model.unsteady or violations(model.flips, model.order), "no change with the own or a later variable"
        ),
        total=lambda: (abs(model.total - 1) <= model.tolerance, f"the total probability is {model.total:.6f}"),
        entropy=lambda: (model.cost >= model.entropy - model.slack, model.said_of_cost),
        sampler=lambda: (model.frequencies.p_value >= RARE, model.said_of_draws),
        hearing=lambda: unless(model.deaf, "every output hears all earlier variables"),
    )
