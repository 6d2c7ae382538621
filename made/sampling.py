"""Ancestral sampling: draw the variables one after the other, each given those before it.

Two samplers that turn the same uniforms into the same samples. The naive one is the definition. The incremental one
does the work of about one forward pass. Both are handed a model; this module never imports one.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

__all__ = ["sample_incremental", "sample_naive", "uniforms"]


def uniforms(n: int, n_features: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the randomness of n samples: one number in the open interval (0, 1) per variable, float64, shape (n, D).

    Drawn on the generator's device (the CPU by default), so a seed gives the same samples wherever the model lives.

    Example:
        >>> uniforms(2, 3, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    device = generator.device if generator is not None else "cpu"
    u = torch.rand(n, n_features, dtype=torch.float64, generator=generator, device=device)
    return u.clamp_(min=torch.finfo(torch.float64).tiny)  # rand may return 0 (about once in 10^16 draws)


def sample_naive(
    model: Any, u: Tensor, given: Tensor, temperature: float = 1.0, context: Tensor | None = None
) -> Tensor:
    r"""Draw samples by the definition: D full forward passes, one variable kept from each.

    .. math:: x_{o(t)} = F^{-1}\bigl(u_{o(t)} \mid x_{o(0)}, \ldots, x_{o(t-1)}\bigr), \qquad t = 0, \ldots, D-1

    Args:
        model: a MADE in evaluation mode, called as ``model(x, context)``.
        u: uniforms, shape (n, D), one per variable.
        given: known values, shape (n, D), NaN where a value is to be drawn.
        temperature: below 1 sharpens each conditional, above 1 flattens it.
        context: shape (n, C) for a model with a context.

    Returns:
        Samples, shape (n, D).

    Example:
        >>> import made
        >>> u = uniforms(2, 4, torch.Generator().manual_seed(0))
        >>> sample_naive(made.MADE(4), u, given=torch.full((2, 4), torch.nan)).shape
        torch.Size([2, 4])
    """
    known = ~given.isnan()
    x = torch.where(known, given, 0.0)
    for i in model.connectivity.order.tolist():
        params = model(x, context)[:, i : i + 1]  # (n, 1, K)
        drawn = model.likelihood.at([i]).sample(params, u[:, i : i + 1], temperature)[:, 0]
        x[:, i] = torch.where(known[:, i], x[:, i], drawn)
    return x


def sample_incremental(
    model: Any,
    u: Tensor,
    given: Tensor,
    temperature: float = 1.0,
    context: Tensor | None = None,
    block: int | None = None,
) -> Tensor:
    r"""Draw the same samples for the price of about one forward pass.

    Units are sorted by degree, so that every masked weight matrix is block-triangular. Variables are drawn a block at
    a time. What the past sends to a block enters once, by one dense product per layer. Inside the block all variables
    are guessed together and recomputed until nothing changes. Because a variable depends only on earlier ones, round
    r makes at least the first r variables of the block final, and a state that reproduces itself is the ancestral
    sample: there is no other.

    Args:
        model: a MADE in evaluation mode.
        u: uniforms, shape (n, D), one per variable.
        given: known values, shape (n, D), NaN where a value is to be drawn.
        temperature: below 1 sharpens each conditional, above 1 flattens it.
        context: shape (n, C) for a model with a context. It is final from the start.
        block: variables per block; it changes the speed, never the samples. Default: 100 for a finite support (200
            for a few samples), and 1 for real variables, where a guess is hardly ever right.

    Returns:
        Samples, shape (n, D), equal to those of :func:`sample_naive` up to rounding in the conditionals.

    Example:
        >>> import made
        >>> model, u = made.MADE(4), uniforms(2, 4, torch.Generator().manual_seed(0))
        >>> unknown = torch.full((2, 4), torch.nan)
        >>> torch.equal(sample_incremental(model, u, unknown), sample_naive(model, u, unknown))
        True
    """
    order = model.connectivity.order.to(u.device)
    samples = torch.empty_like(given)
    with torch.inference_mode():  # like no_grad, with less to do per operation
        samples[:, order] = draw_in_order(model, u[:, order], given[:, order], temperature, context, block)
    return samples


def draw_in_order(
    model: Any, u: Tensor, given: Tensor, temperature: float, context: Tensor | None, block: int | None
) -> Tensor:
    """The work of :func:`sample_incremental`, with the columns of u, of given and of the result in generation order."""
    n_features, K = u.shape[1], model.likelihood.n_params
    if block is None:
        block = 1 if model.likelihood.n_states is None else 100 if len(u) > 10 else 200
    weights, masks, biases, direct, steps = sorted_by_degree(model)
    known = ~given.isnan()
    any_known = bool(known.any())
    x = torch.where(known, given, 0.0)
    # state[l] holds layer l's units, inputs first, filled from left to right as their degrees come up
    state = [x.new_zeros(len(x), len(d)) for d in steps]
    if context is not None:
        state[0][:, : context.shape[1]] = context  # of degree 0, so it comes first

    for start in range(0, n_features, block):
        stop = min(start + block, n_features)
        here = slice(start, stop)
        likelihood = model.likelihood.at(model.connectivity.order[here].tolist())
        # units with degree <= start are final; those with degree <= stop become final in this block
        done = [bisect_right(d, start) if start or d is steps[0] else 0 for d in steps]
        new = [slice(lo, bisect_right(d, stop)) for lo, d in zip(done, steps, strict=True)]
        rows = [*new[1:], slice(start * K, stop * K)]  # what each weight matrix computes: hidden units, then outputs
        # the past needs no mask: whatever has a degree <= start may be used by all of the block
        past = [
            torch.addmm(b[r], s[:, :lo], w[r, :lo].T)
            for w, b, r, s, lo in zip(weights, biases, rows, state, done, strict=True)
        ]
        inner = [(w[r, c] * m[r, c]).T for w, m, r, c in zip(weights, masks, rows, new, strict=True)]
        if direct is not None:
            weight, mask = (matrix[rows[-1]] for matrix in direct)
            past[-1].addmm_(state[0][:, : done[0]], weight[:, : done[0]].T)
            inner_direct = (weight[:, new[0]] * mask[:, new[0]]).T
        guess, known_here, u_here = x[:, here], known[:, here], u[:, here]
        for _ in range(stop - start + 1):
            units = [likelihood.encode(guess).flatten(-2)]
            for w, p in zip(inner[:-1], past[:-1], strict=True):
                new_units = model.activation(torch.addmm(p, units[-1], w))
                units.append(units[-1] + new_units if model.residual and len(units) > 1 else new_units)
            out = torch.addmm(past[-1], units[-1], inner[-1])
            if direct is not None:
                out.addmm_(units[0], inner_direct)
            drawn = likelihood.sample(out.unflatten(-1, (stop - start, K)), u_here, temperature)
            if any_known:
                drawn = torch.where(known_here, guess, drawn)
            if torch.equal(drawn, guess):
                break
            guess = drawn
        x[:, here] = guess
        for s, columns, values in zip(state, new, units, strict=True):
            s[:, columns] = values
    return x


def sorted_by_degree(model: Any) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor] | None, list[list]]:
    """Weights, masks and biases with every layer's units sorted by degree, inputs first, and those degrees.

    Returns:
        The weights as they are, not masked, and the masks, one per layer; the biases; weight and mask of the direct
        connections, if there are any; and the sorted degrees of the inputs and of every hidden layer. The inputs count
        E times each and the outputs K times, as in the model's layers.
    """
    inputs, *hidden = model.connectivity.degrees
    likelihood, layers = model.likelihood, [*model.hidden, model.output]
    context = inputs.new_zeros(model.context_features)
    before = [torch.cat([context, inputs.repeat_interleave(likelihood.n_inputs)]), *hidden]
    # a layer that is sorted already stays as it is: its weights need no copy
    orders = [
        slice(None) if (d.diff() >= 0).all() else d.argsort(stable=True).to(model.output.weight.device)
        for d in [*before, inputs.repeat_interleave(likelihood.n_params)]
    ]
    weights = [layer.weight[r][:, c] for layer, (c, r) in zip(layers, pairwise(orders), strict=True)]
    masks = [layer.mask[r][:, c] for layer, (c, r) in zip(layers, pairwise(orders), strict=True)]
    biases = [layer.offset()[r] for layer, r in zip(layers, orders[1:], strict=True)]
    direct = None
    if model.direct is not None:
        direct = [matrix[orders[-1]][:, orders[0]] for matrix in (model.direct.weight, model.direct.mask)]
        if model.direct.companion is not None:
            biases[-1] = biases[-1] + model.direct.offset()[orders[-1]]
    return weights, masks, biases, direct, [d.sort().values.tolist() for d in before]
