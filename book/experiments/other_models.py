"""Relatives of MADE, small and exact: convolutions, attention, any order, any graph, and the flow that a MADE is.

A variable is 0 or 1 here. ``model(x)`` gives the logits of all D conditionals of the rows x, shape (B, D), as a MADE
does; ``model.order[t]`` is the variable generated at step t. ``made.fit`` trains every model here. ``seeded`` makes one
whose first weights follow from a seed. Models draw in evaluation mode; equal uniforms give equal samples.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import made
from made.layers import MaskedLinear, evaluation_view
from made.sampling import uniforms


def seeded(kind, *arguments, seed=0, **options):
    """A model whose first weights follow from the seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(*arguments, **options)


class Relative(nn.Module):
    """What all models share: every variable is 0 or 1, and its logit depends on the variables before it."""

    order: Tensor

    def log_prob(self, x, *order):
        """Log-probability of each row, in nats."""
        return -F.binary_cross_entropy_with_logits(self(x, *order), x, reduction="none").sum(1)

    def loss(self, x):
        """The mean cost of a row."""
        return -self.log_prob(x).mean()

    def draw(self, u):
        """The rows that the uniforms u stand for, shape (n, D)."""
        return sample_naive(self, u)

    @torch.no_grad()
    def sample(self, n, generator=None):
        """n new rows."""
        return evaluation_view(self).draw(uniforms(n, len(self.order), generator))


@torch.no_grad()
def sample_naive(model, u):
    """D full passes, one variable kept of each: the definition, for any model with an order."""
    x = torch.zeros_like(u, dtype=next(model.parameters()).dtype)
    for i in model.order.tolist():
        x[:, i] = model(x)[:, i].sigmoid() > u[:, i]
    return x


class MaskedConv(nn.Conv2d):
    """A convolution that sees what comes before its centre in reading order; unless it is strict the centre, too."""

    def __init__(self, n_in, n_out, size, strict):
        super().__init__(n_in, n_out, size, padding=size // 2)
        place = torch.arange(size * size).view(size, size)
        centre = place[size // 2, size // 2]
        self.register_buffer("mask", centre > place if strict else centre >= place)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)

    def at(self, padded, row, column):
        """The outputs at one place: a product with the patch around it."""
        size = self.kernel_size[0]
        patch = padded[:, :, row : row + size, column : column + size]
        return F.linear(patch.flatten(1), (self.weight * self.mask).flatten(1), self.bias)


class PixelCNN(Relative):
    """Masked convolutions: strict in the first layer (mask A), not strict after it (mask B)."""

    def __init__(self, height, width, channels=32, layers=4, dropout=0.0, first=7):
        super().__init__()
        self.shape, self.dropout = (height, width), nn.Dropout(dropout)
        self.register_buffer("order", torch.arange(height * width))
        self.first = MaskedConv(1, channels, first, strict=True)
        self.hidden = nn.ModuleList(MaskedConv(channels, channels, 3, strict=False) for _ in range(layers))
        self.output = MaskedConv(channels, 1, 1, strict=False)

    def forward(self, x):
        h = self.first(x.view(-1, 1, *self.shape)).relu()
        for layer in self.hidden:
            h = h + self.dropout(layer(h).relu())
        return self.output(h).flatten(1)

    @torch.no_grad()
    def draw(self, u):
        """The features of a place are computed once, when it is reached: what they depend on is final by then."""
        layers, (height, width) = [self.first, *self.hidden, self.output], self.shape
        size = lambda layer: (layer.in_channels, height + 2 * layer.padding[0], width + 2 * layer.padding[0])
        below = [self.first.weight.new_zeros(len(u), *size(layer)) for layer in layers]
        put = lambda layer, state, new, r, c: state[:, :, r + layer.padding[0], c + layer.padding[0]].copy_(new)
        for r, c in torch.cartesian_prod(torch.arange(height), torch.arange(width)).tolist():
            h = self.first.at(below[0], r, c).relu()
            for layer, state in zip(self.hidden, below[1:-1], strict=True):
                put(layer, state, h, r, c)
                h = h + layer.at(state, r, c).relu()
            put(self.output, below[-1], h, r, c)
            drawn = self.output.at(below[-1], r, c).sigmoid() > u[:, [r * width + c]]
            put(self.first, below[0], drawn, r, c)
        inside = self.first.padding[0]
        return below[0][:, 0, inside : inside + height, inside : inside + width].flatten(1)


class Block(nn.Module):
    """Attention, then two layers for each position alone; both add to what they are given."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.ask, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.alone = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, h, mask=None, past=None, t=None):
        """h has shape (B, T, width); mask[t, s] says whether position t may look at s.

        With ``past``, keys and values of shape (2, B, heads, D, width of a head), h is position t alone.
        """
        queries, *new = self.ask(self.norms[0](h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            past[:, :, :, t : t + 1] = torch.stack(new)
            new = past[:, :, :, : t + 1]
        looked = F.scaled_dot_product_attention(queries, *new, attn_mask=mask)
        h = h + self.dropout(self.answer(looked.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.alone(self.norms[1](h)))


class CausalTransformer(Relative):
    """Position t holds the variable generated just before step t, and looks at positions up to itself."""

    def __init__(self, order, width=32, layers=2, heads=4, dropout=0.0):
        super().__init__()
        self.register_buffer("order", torch.as_tensor(order))
        steps = torch.arange(len(self.order))
        self.register_buffer("mask", steps[:, None] >= steps)
        self.position = nn.Parameter(0.1 * torch.randn(len(steps), width))
        self.value = nn.Parameter(0.1 * torch.randn(width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, x):
        before = F.pad(x[:, self.order[:-1]], (1, 0))  # shift by one: nothing comes before the first
        h = self.position + before.unsqueeze(-1) * self.value
        for block in self.blocks:
            h = block(h, self.mask)
        return self.output(h).squeeze(-1)[:, self.order.argsort()]

    @torch.no_grad()
    def draw(self, u):
        """Keys and values of a position are computed once: what they depend on is final when it is reached."""
        x, before = torch.zeros_like(u, dtype=self.value.dtype), self.value.new_zeros(len(u), 1, 1)
        heads, (D, width) = self.blocks[0].heads, self.position.shape
        past = [self.value.new_zeros(2, len(u), heads, D, width // heads) for _ in self.blocks]
        for t, i in enumerate(self.order.tolist()):
            h = self.position[t] + before * self.value
            for block, kept in zip(self.blocks, past, strict=True):
                h = block(h, past=kept, t=t)
            x[:, i] = self.output(h)[:, 0, 0].sigmoid() > u[:, i]
            before = x[:, i].view(-1, 1, 1)
        return x


class AnyOrderTransformer(Relative):
    """Attention in all directions over variables that are 0, 1 or unknown: every unknown one is predicted."""

    def __init__(self, n_features, width=32, layers=2, heads=4, dropout=0.0):
        super().__init__()
        self.register_buffer("order", torch.arange(n_features))  # unless another one is asked for
        self.position = nn.Parameter(0.1 * torch.randn(n_features, width))
        self.known = nn.Parameter(0.1 * torch.randn(width))
        self.value = nn.Parameter(0.1 * torch.randn(width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def conditionals(self, x, known):
        """Logits of all variables given those that are known (bool, shape (B, D)), in one pass."""
        h = self.position + known.unsqueeze(-1) * (self.known + x.unsqueeze(-1) * self.value)
        for block in self.blocks:
            h = block(h)
        return self.output(h).squeeze(-1)

    def forward(self, x, order=None):
        """Logits of every variable given those before it, under any order: D passes."""
        place, logits = (self.order if order is None else order).argsort(-1), torch.zeros_like(x)
        for t in range(x.shape[1]):
            logits = torch.where(place == t, self.conditionals(x, (place < t).expand_as(x)), logits)
        return logits

    def loss(self, x):
        """The mean cost at a random order and step for each row; in evaluation mode always at the same four."""
        x, generator = (x, None) if self.training else (x.repeat(4, 1), torch.Generator().manual_seed(0))
        place = torch.rand(x.shape, generator=generator).argsort(1)
        step = torch.randint(x.shape[1], (len(x), 1), generator=generator)
        return any_order_cost(self, x, place.to(x.device), step.to(x.device)).mean()

    @torch.no_grad()
    def draw(self, u):
        x, known = torch.zeros_like(u, dtype=self.value.dtype), torch.zeros_like(u, dtype=torch.bool)
        for i in self.order.tolist():
            x[:, i] = self.conditionals(x, known)[:, i].sigmoid() > u[:, i]
            known[:, i] = True
        return x


def any_order_cost(model, x, place, step):
    """Cost of all variables that are unknown at a step, scaled up to D of them.

    Its mean over orders and steps is the mean cost over orders. ``place`` holds the step of each variable in an order,
    shape (B, D); ``step`` says how many are known, (B, 1).
    """
    unknown = place >= step
    costs = F.binary_cross_entropy_with_logits(model.conditionals(x, ~unknown), x, reduction="none")
    return (costs * unknown).sum(1) * x.shape[1] / unknown.sum(1)


def masks_from_graph(adjacency, hidden):
    """Masks of layers of which output i may hear input j where adjacency[i, j] is true, and nothing else.

    A unit carries a set of inputs, one of the distinct rows. It listens to units whose set is a part of its own. So
    nothing forbidden gets through; and all that is allowed does if each hidden layer has a unit for each row.
    """
    adjacency = torch.as_tensor(adjacency, dtype=torch.bool)
    rows = adjacency.unique(dim=0)
    rows = rows[rows.any(1)] if rows.any() else rows
    units = [rows[torch.arange(width) * len(rows) // width] for width in hidden]
    sets = [torch.eye(adjacency.shape[1], dtype=torch.bool), *units, adjacency]
    return [~(below & ~above[:, None]).any(2) for below, above in pairwise(sets)]


class GraphMLP(Relative):
    """A network with the masks of a graph; a distribution where the graph has no cycle."""

    def __init__(self, adjacency, hidden):
        super().__init__()
        masks = masks_from_graph(adjacency, hidden)
        self.register_buffer("order", order_of_graph(adjacency))
        self.layers = nn.ModuleList()
        for mask in masks:
            self.layers.append(MaskedLinear(*reversed(mask.shape), generator=torch.default_generator))
            self.layers[-1].set_mask(mask)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def order_of_graph(adjacency):
    """An order in which every variable comes after those it hears; ValueError if there is none."""
    waits, order = torch.as_tensor(adjacency, dtype=torch.bool).clone(), []
    while len(order) < len(waits):
        ready = [i for i in range(len(waits)) if i not in order and not waits[i].any()]
        if not ready:
            raise ValueError("the graph has a cycle, so no order has every variable after those it hears")
        waits[:, ready] = False
        order += ready
    return torch.tensor(order)


def to_noise(model, x):
    """A MADE with Gaussians read from data to noise, in one pass: the noise and the log-determinant of its slopes."""
    normal = model.conditionals(x)
    return (x - normal.mean) / normal.stddev, -normal.stddev.log().sum(1)


def from_noise(model, noise):
    """And from noise to data, in D passes: a mean is known once the values before it are."""
    x = torch.zeros_like(noise)
    for i in model.connectivity.order.tolist():
        normal = model.conditionals(x)
        x = torch.where(torch.arange(x.shape[1]) == i, normal.mean + normal.stddev * noise, x)
    return x


def parameters_that_count(model):
    """How many parameters there are, without those that a mask forbids."""
    layers = [layer for layer in model.modules() if isinstance(layer, MaskedConv)]
    forbidden = sum(int((~layer.mask).sum()) * layer.in_channels * layer.out_channels for layer in layers)
    return made.diagnostics.count_parameters(model) - forbidden
