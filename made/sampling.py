"""Ancestral sampling: draw the variables one after the other, each given those before it.

Three samplers that turn the same uniforms into the same samples. The naive one is the definition. The incremental one
does the work of about one forward pass. The third gives each row an order of its own. All are handed a model; this
module never imports one.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from made.checks import integer

if TYPE_CHECKING:
    from made.model import MADE

__all__ = ["Block", "Sorted", "draw_in_order", "sample_by_row", "sample_incremental", "sample_naive"]
__all__ += ["sorted_by_degree", "uniforms"]


def uniforms(n: int, n_features: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw the randomness of n samples: one number in the open interval (0, 1) per variable, float64, shape (n, D).

    Drawn on the generator's device (the CPU by default), so a seed gives the same samples wherever the model lives.

    Args:
        n: number of samples.
        n_features: number of variables D.
        generator: source of randomness; None for the global one.

    Example:
        >>> uniforms(2, 3, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """
    device = generator.device if generator is not None else "cpu"
    u = torch.rand(n, n_features, dtype=torch.float64, generator=generator, device=device)
    return u.clamp_(min=torch.finfo(torch.float64).tiny)  # rand may return 0 (about once in 10^16 draws)


def sample_naive(
    model: MADE, u: Tensor, given: Tensor, temperature: float = 1.0, context: Tensor | None = None
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
    known, likelihood = ~given.isnan(), model.likelihood
    x = likelihood.filled(given)
    if model.connectivity.order.dim() == 2:  # an order for each row
        for i in model.connectivity.order.to(u.device).T:
            i = i.unsqueeze(1)
            drawn = likelihood.sample_one(model(x, context), i[:, 0], u.gather(1, i)[:, 0], temperature).unsqueeze(1)
            x = x.scatter(1, i, torch.where(known.gather(1, i), x.gather(1, i), drawn))
        return x
    for i in model.connectivity.order.tolist():
        params = likelihood.take(model(x, context), [i])  # of variable i alone
        drawn = likelihood.select([i]).sample(params, u[:, [i]], temperature)[:, 0]
        x[:, i] = torch.where(known[:, i], x[:, i], drawn)
    return x


def sample_incremental(
    model: MADE,
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
    block = block if block is None else integer("block", block, minimum=1)
    order = model.connectivity.order.to(u.device)
    samples = torch.empty_like(given)
    with torch.inference_mode():  # like no_grad, with less to do per operation
        samples[:, order] = draw_in_order(model, u[:, order], given[:, order], temperature, context, block)
    return samples


def sample_by_row(
    model: MADE, u: Tensor, given: Tensor, temperature: float = 1.0, context: Tensor | None = None
) -> Tensor:
    """Draw the same samples where every row has an order of its own, each unit computed once.

    The masks do nothing here. What has not been drawn yet is zero as input, so a unit that is computed at the step of
    its degree sees what it may see and no more.

    Args:
        model: a MADE in evaluation mode, under an order of shape (n, D).
        u: uniforms, shape (n, D), one per variable.
        given: known values, shape (n, D), NaN where a value is to be drawn.
        temperature: below 1 sharpens each conditional, above 1 flattens it.
        context: shape (n, C) for a model with a context.

    Returns:
        Samples, shape (n, D).

    Example:
        >>> import made
        >>> model = made.MADE(2, order="random", n_masks=None)
        >>> each_its_own = model.under(model.connectivity.reordered(torch.tensor([[0, 1], [1, 0]])))
        >>> u, unknown = uniforms(2, 2, torch.Generator().manual_seed(0)), torch.full((2, 2), torch.nan)
        >>> torch.equal(sample_by_row(each_its_own, u, unknown), sample_naive(each_its_own, u, unknown))
        True
    """
    order, likelihood = model.connectivity.order.to(u.device), model.likelihood
    x, known = likelihood.filled(given), ~given.isnan()
    repeats = torch.tensor(likelihood.sizes(model.n_features)[0], device=u.device)
    steps = model.connectivity.degrees[0].to(u.device).repeat_interleave(repeats, 1)  # at which an input is drawn
    hidden = [degrees.to(u.device) for degrees in model.connectivity.degrees[1:]]
    layers: list[Any] = list(model.hidden)
    units = [x.new_zeros(len(x), len(degrees)) for degrees in hidden]
    for step, i in enumerate(order.T):
        inputs = likelihood.inputs(x) * (steps <= step)
        inputs = inputs if context is None else torch.cat([context, inputs], 1)
        below = inputs
        for layer, degrees, values in zip(layers, hidden, units, strict=True):
            due = degrees == step
            new = model.activation(layer.unmasked(below, due))
            values[:, due] = new + below[:, due] if model.residual and below is not inputs else new
            below = values
        rows = (~known.gather(1, i.unsqueeze(1))).squeeze(1).nonzero().squeeze(1)
        if len(rows):
            params = model.output.unmasked(below)
            params = params if model.direct is None else params + model.direct.unmasked(inputs)
            params, i = likelihood.unflatten(params[rows], model.n_features), i[rows]
            x[rows, i] = likelihood.sample_one(params, i, u[rows, i], temperature)
    return x


def draw_in_order(
    model: MADE, u: Tensor, given: Tensor, temperature: float, context: Tensor | None, block: int | None
) -> Tensor:
    """The work of :func:`sample_incremental`, with the columns of u, of given and of the result in generation order.

    Example:
        >>> import made
        >>> model, u = made.MADE(4), uniforms(2, 4, torch.Generator().manual_seed(0))
        >>> with torch.no_grad():
        ...     draw_in_order(model, u, torch.full((2, 4), torch.nan), 1.0, context=None, block=2).shape
        torch.Size([2, 4])
    """
    n_features = u.shape[1]
    if block is None:
        block = 1 if model.likelihood.n_states is None else 100 if len(u) > 10 else 200
    network = sorted_by_degree(model)
    known = ~given.isnan()
    any_known = bool(known.any())
    x = model.likelihood.select(model.connectivity.order.tolist()).filled(given)
    # state[l] holds layer l's units, inputs first, filled from left to right as their degrees come up
    state = [x.new_zeros(len(x), len(degrees)) for degrees in network.degrees]
    if context is not None:
        state[0][:, : context.shape[1]] = context  # of degree 0, so it comes first

    for start in range(0, n_features, block):
        stop = min(start + block, n_features)
        here = slice(start, stop)
        part = Block(model, network, state, start, stop)
        guess, known_here, u_here = x[:, here], known[:, here], u[:, here]
        for _ in range(stop - start + 1):
            units, params = part.compute(guess)
            drawn = part.likelihood.sample(params, u_here, temperature)
            if any_known:
                drawn = torch.where(known_here, guess, drawn)
            if torch.equal(drawn, guess):
                break
            guess = drawn
        x[:, here] = guess
        for layer, columns, values in zip(state, part.new, units, strict=True):
            layer[:, columns] = values
    return x


class Sorted(NamedTuple):
    """The layers of a MADE with their units sorted by degree; inputs count E times each, outputs K times.

    ``weights`` are one matrix (out, in) per layer, not masked, ``masks`` one per layer likewise, and ``biases`` one
    vector (out,) per layer, the last with what direct connections add. ``direct`` is the weight and the mask of the
    direct connections, or None. ``degrees`` are those of context and inputs, and of every hidden layer, sorted.
    ``starts[t]`` is where the outputs of the variable of step t begin; one more entry says where the last ones end.
    """

    weights: list[Tensor]
    masks: list[Tensor]
    biases: list[Tensor]
    direct: list[Tensor] | None
    degrees: list[list[int]]
    starts: list[int]


def sorted_by_degree(model: MADE) -> Sorted:
    """The layers of a MADE with their units sorted by degree. A layer that is sorted already is not copied.

    Example:
        >>> import made
        >>> sorted_by_degree(made.MADE(3, hidden=(4,), order=torch.tensor([2, 0, 1]))).degrees
        [[1, 2, 3], [1, 1, 2, 2]]
    """
    inputs, *hidden = model.connectivity.degrees
    layers = [*model.hidden, model.output]
    E, K = (torch.tensor(sizes, device="cpu") for sizes in model.likelihood.sizes(model.n_features))
    before = [torch.cat([inputs.new_zeros(model.context_features), inputs.repeat_interleave(E)]), *hidden]
    orders = [
        slice(None) if (degrees.diff() >= 0).all() else degrees.argsort(stable=True).to(model.output.weight.device)
        for degrees in [*before, inputs.repeat_interleave(K)]
    ]
    weights = [layer.weight[rows][:, columns] for layer, (columns, rows) in zip(layers, pairwise(orders), strict=True)]
    masks = [layer.mask[rows][:, columns] for layer, (columns, rows) in zip(layers, pairwise(orders), strict=True)]
    biases = [layer.offset()[rows] for layer, rows in zip(layers, orders[1:], strict=True)]
    direct = None
    if model.direct is not None:
        direct = [matrix[orders[-1]][:, orders[0]] for matrix in (model.direct.weight, model.direct.mask)]
        offset = model.direct.offset()
        biases[-1] = biases[-1] if offset is None else biases[-1] + offset[orders[-1]]
    starts = [0, *accumulate(K[model.connectivity.order].tolist())]
    return Sorted(weights, masks, biases, direct, [degrees.sort().values.tolist() for degrees in before], starts)


class Block:
    """The variables of steps start to stop - 1, and the part of the network that computes them.

    What comes from earlier variables is computed once, when the block is made: it needs no mask, since whatever has a
    degree of at most ``start`` may be used by all of the block. What the block's own variables add is computed anew for
    every guess.

    Args:
        model: a MADE.
        network: its layers, sorted.
        state: the units of every layer, inputs first, shape (n, units); final where their degree is at most ``start``.
        start: first step.
        stop: step after the last one.

    Example:
        >>> import made
        >>> model = made.MADE(3, hidden=(4,))
        >>> state = [torch.zeros(1, 3), torch.zeros(1, 4)]
        >>> with torch.no_grad():
        ...     units, params = Block(model, sorted_by_degree(model), state, 0, 2).compute(torch.ones(1, 2))
        >>> params.shape
        torch.Size([1, 2, 1])
    """

    def __init__(self, model: MADE, network: Sorted, state: list[Tensor], start: int, stop: int) -> None:
        self.model, self.n_features = model, stop - start
        self.likelihood = model.likelihood.select(model.connectivity.order[start:stop].tolist())
        # units with degree <= start are final; those with degree <= stop become final in this block
        inputs = network.degrees[0]
        done = [bisect_right(d, start) if start or d is inputs else 0 for d in network.degrees]
        self.new = [slice(lo, bisect_right(d, stop)) for lo, d in zip(done, network.degrees, strict=True)]
        rows = [
            *self.new[1:],
            slice(network.starts[start], network.starts[stop]),
        ]  # what each matrix computes: hidden units, then outputs
        self.past = [
            torch.addmm(b[r], s[:, :lo], w[r, :lo].T)
            for w, b, r, s, lo in zip(network.weights, network.biases, rows, state, done, strict=True)
        ]
        self.inner = [
            (w[r, c] * m[r, c]).T for w, m, r, c in zip(network.weights, network.masks, rows, self.new, strict=True)
        ]
        self.inner_direct = None
        if network.direct is not None:
            weight, mask = (matrix[rows[-1]] for matrix in network.direct)
            self.past[-1].addmm_(state[0][:, : done[0]], weight[:, : done[0]].T)
            self.inner_direct = (weight[:, self.new[0]] * mask[:, self.new[0]]).T

    def compute(self, guess: Tensor) -> tuple[list[Tensor], Tensor]:
        """From values of the block's variables, (n, stop - start), the new units of every layer and (n, .., K)."""
        units = [self.likelihood.inputs(guess)]
        for weight, past in zip(self.inner[:-1], self.past[:-1], strict=True):
            new_units = self.model.activation(torch.addmm(past, units[-1], weight))
            units.append(units[-1] + new_units if self.model.residual and len(units) > 1 else new_units)
        out = torch.addmm(self.past[-1], units[-1], self.inner[-1])
        if self.inner_direct is not None:
            out.addmm_(units[0], self.inner_direct)
        return units, self.likelihood.unflatten(out, self.n_features)
