"""Ancestral sampling: draw the variables one after the other, each given those before it.

Three samplers that turn the same uniforms into the same samples. The naive one is the definition. The incremental one
takes as many multiplications as one or two forward passes. The third gives each row an order of its own. All are
handed a model; this module never imports one.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from made.checks import integer

if TYPE_CHECKING:
    from made.likelihoods import Likelihood
    from made.masks import Connectivity
    from made.model import MADE

__all__ = ["Block", "Sorted", "arranged", "draw_in_order", "layout", "places", "sample_by_row", "sample_incremental"]
__all__ += ["sample_naive", "sorted_by_degree", "uniforms"]


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
    r"""Draw the same samples for the multiplications of one or two forward passes.

    Units are sorted by degree, so that every masked weight matrix is block-triangular. Variables are drawn a block at
    a time. What the past sends to a block enters once, by one dense product per layer. Inside the block all variables
    are guessed together and recomputed until nothing changes. Because a variable depends only on earlier ones, round
    r makes at least the first r variables of the block final, and a row that reproduces itself is the ancestral
    sample: there is no other. Rows that have done so are left behind now and then, while the stubborn ones go on.

    Args:
        model: a MADE in evaluation mode.
        u: uniforms, shape (n, D), one per variable.
        given: known values, shape (n, D), NaN where a value is to be drawn.
        temperature: below 1 sharpens each conditional, above 1 flattens it.
        context: shape (n, C) for a model with a context. It is final from the start.
        block: variables per block; it changes the speed, never the samples. Default: 50 for a finite support (150
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
    order, samples = places(model.connectivity.degrees[0]), torch.empty_like(given)
    with torch.inference_mode():  # like no_grad, with less to do per operation
        u, given = (arranged(values, None, order) for values in (u, given))
        x = draw_in_order(model, u, given, temperature, context, block)
        return samples.copy_(x) if order is None else samples.index_copy_(1, order.to(x.device), x)


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
    if block is None:
        block = 1 if model.likelihood.n_states is None else 50 if len(u) > 10 else 150
    network, known = sorted_by_degree(model), ~given.isnan()
    any_known, everyone = bool(known.any()), torch.arange(len(u), device=u.device)
    x = model.likelihood.select(model.connectivity.order.tolist()).filled(given)
    # state[l] holds layer l's units, inputs first, filled from left to right as their degrees come up
    state = [x.new_zeros(len(x), ready[-1]) for ready in network.ready[:-1]]
    if context is not None:
        state[0][:, : context.shape[1]] = context  # of degree 0, so it comes first

    for start in range(0, u.shape[1], block):
        stop = min(start + block, u.shape[1])
        part, here = Block(model, network, state, start, stop), x[:, start:stop]
        guess, rows, u_here, known_here, past = here, everyone, u[:, start:stop], known[:, start:stop], part.past
        for turn in range(1, stop - start + 1):
            drawn = part.likelihood.sample(part.params(guess, past), u_here, temperature)
            if any_known:
                drawn = torch.where(known_here, guess, drawn)
            if torch.equal(drawn, guess):
                break
            if turn % 4 == 0:  # leave behind the rows that reproduced themselves
                here[rows] = drawn
                again = (drawn != guess).sum(1).nonzero()[:, 0]
                rows, drawn, u_here, known_here, *past = (t[again] for t in (rows, drawn, u_here, known_here, *past))
            guess = drawn
        here[rows] = drawn
        for layer, columns, units in zip(state, part.new[:-1], part.units(here, part.past), strict=True):
            layer[:, columns] = units
    return x


class Sorted(NamedTuple):
    """The layers of a MADE with their units sorted by degree; inputs count E times each, outputs K times.

    ``weights`` are one matrix (out, in) per layer, not masked, and last the one of direct connections if there are any;
    ``masks`` likewise. ``biases`` are one vector (out,) per layer, the last with what direct connections add. ``ready``
    has a list for context and inputs, for every hidden layer, and for the outputs: so many units, the first ones, are
    final when the variable of step t is to be drawn; D + 1 numbers.
    """

    weights: list[Tensor]
    masks: list[Tensor]
    biases: list[Tensor]
    ready: list[list[int]]


def places(degrees: Tensor) -> Tensor | None:
    """Where the units of a layer stand when they are sorted by degree; None if they are sorted already.

    Example:
        >>> places(torch.tensor([2, 3, 1]))
        tensor([2, 0, 1])
    """
    return None if (degrees.diff() >= 0).all() else degrees.argsort(stable=True)


def arranged(values: Tensor, *orders: Tensor | None) -> Tensor:
    """The values with every dimension in its order, or as it is where that is None.

    Example:
        >>> arranged(torch.tensor([[1, 2], [3, 4]]), None, torch.tensor([1, 0]))
        tensor([[2, 1],
                [4, 3]])
    """
    for dim, order in enumerate(orders):
        values = values if order is None else values.index_select(dim, order.to(values.device))
    return values


@lru_cache(maxsize=64)  # keyed by value: what is found belongs to an equal connectivity
def layout(connectivity: Connectivity, likelihood: Likelihood, context_features: int) -> tuple[list[Any], Any]:
    """Where the units of every layer stand when they are sorted, and what :class:`Sorted` has as ``ready``.

    Example:
        >>> import made
        >>> layout(made.Connectivity.create(3, (4,), order=torch.tensor([2, 0, 1])), made.Bernoulli(), 0)[1]
        [[0, 1, 2, 3], [0, 2, 4, 4], [0, 1, 2, 3]]
    """
    variables, *hidden = connectivity.degrees
    sizes = likelihood.sizes(len(variables))
    inputs, outputs = (variables.repeat_interleave(torch.tensor(n, device="cpu")) for n in sizes)
    layers = [torch.cat([inputs.new_zeros(context_features), inputs]), *hidden, outputs]
    counts = [degrees.bincount(minlength=len(variables) + 1).cumsum(0).tolist() for degrees in layers]
    ready = [counts[0], *([0, *count[1:]] for count in counts[1:])]  # hidden units of degree 0 are yet to be computed
    return [places(degrees) for degrees in layers], ready


def sorted_by_degree(model: MADE) -> Sorted:
    """The layers of a MADE with their units sorted by degree. A layer that is sorted already is not copied.

    Example:
        >>> import made
        >>> sorted_by_degree(made.MADE(3, hidden=(4,), order=torch.tensor([2, 0, 1]))).ready
        [[0, 1, 2, 3], [0, 2, 4, 4], [0, 1, 2, 3]]
    """
    orders, ready = layout(model.connectivity, model.likelihood, model.context_features)
    layers: list[Any] = [*model.hidden, model.output, *([] if model.direct is None else [model.direct])]
    sides = list(zip(layers, [*pairwise(orders), (orders[0], orders[-1])], strict=False))
    weights = [arranged(layer.weight, rows, columns) for layer, (columns, rows) in sides]
    masks = [arranged(layer.mask, rows, columns) for layer, (columns, rows) in sides]
    biases = [arranged(layer.offset(), rows) for layer, rows in zip(layers, orders[1:], strict=False)]
    offset = None if model.direct is None else model.direct.offset()
    if offset is not None:
        biases[-1] = biases[-1] + arranged(offset, orders[-1])
    return Sorted(weights, masks, biases, ready)


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
        ...     block = Block(model, sorted_by_degree(model), state, 0, 2)
        ...     block.params(torch.ones(1, 2), block.past).shape
        torch.Size([1, 2, 1])
    """

    def __init__(self, model: MADE, network: Sorted, state: list[Tensor], start: int, stop: int) -> None:
        self.model, self.n_features = model, stop - start
        self.likelihood = model.likelihood.select(model.connectivity.order[start:stop].tolist())
        self.new = [slice(ready[start], ready[stop]) for ready in network.ready]  # units that this block makes final
        self.past = [bias[rows] for bias, rows in zip(network.biases, self.new[1:], strict=True)]
        self.inner = []
        for layer, (weight, mask) in enumerate(zip(network.weights, network.masks, strict=True)):
            source, target = (layer, layer) if layer < len(self.past) else (0, -1)  # direct connections
            columns, rows = self.new[source], self.new[1:][target]
            done = slice(columns.start)
            self.past[target] = torch.addmm(self.past[target], state[source][:, done], weight[rows, done].T)
            self.inner.append((weight[rows, columns] * mask[rows, columns]).T)

    def units(self, guess: Tensor, past: list[Tensor]) -> list[Tensor]:
        """The new units of every layer, inputs first, from values of the block's variables, (n, stop - start)."""
        units = [self.likelihood.inputs(guess)]
        for weight, constant in zip(self.inner, past[:-1], strict=False):
            new = self.model.activation(torch.addmm(constant, units[-1], weight))
            units.append(units[-1] + new if self.model.residual and len(units) > 1 else new)
        return units

    def params(self, guess: Tensor, past: list[Tensor]) -> Tensor:
        """The raw outputs of the block's variables, (n, .., K), from values of them."""
        units = self.units(guess, past)
        out = torch.addmm(past[-1], units[-1], self.inner[len(units) - 1])
        for direct in self.inner[len(units) :]:
            out.addmm_(units[0], direct)
        return self.likelihood.unflatten(out, self.n_features)
