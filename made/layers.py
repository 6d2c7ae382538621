"""Linear layers whose weights are multiplied by a mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConditionedLinear", "Linear", "MaskedLinear", "evaluation_view", "multiply_by_row", "uniform_", "view"]


def uniform_(parameter: Tensor, bound: float, generator: torch.Generator | None) -> None:
    """Fill with uniform numbers in ±bound, drawn on the CPU, so that a seed gives the same ones on every device.

    Example:
        >>> weight = torch.zeros(2)
        >>> uniform_(weight, 0.1, torch.Generator().manual_seed(0))
        >>> weight
        tensor([-0.0007,  0.0536])
    """
    drawn = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu").uniform_(
        -bound, bound, generator=generator
    )
    with torch.no_grad():
        parameter.copy_(drawn)


class Linear(nn.Linear):
    """A linear layer that draws its initial weights from a generator, never from the global one.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        bias: whether to add a bias.
        generator: source of the initial weights, uniform in ±1/sqrt(in_features) as in ``torch.nn.Linear``.

    Example:
        >>> a, b = (Linear(3, 2, generator=torch.Generator().manual_seed(0)) for _ in range(2))
        >>> torch.equal(a.weight, b.weight)
        True
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, generator: torch.Generator) -> None:
        self._generator: torch.Generator | None = generator
        super().__init__(in_features, out_features, bias)
        self._generator = None  # a generator cannot be copied or pickled; it has done its work

    def reset_parameters(self) -> None:
        """Draw the initial weights; called once, by the constructor."""
        for parameter in self.parameters():
            uniform_(parameter, 1 / math.sqrt(self.in_features), self._generator)


class MaskedLinear(Linear):
    r"""A linear layer that ignores the weights its mask forbids.

    .. math:: y = (W \odot M)\, x + b

    The mask is multiplied into a copy of the weights at every call, so masks can be exchanged and come back: the first,
    the second, then the first again gives the first outputs again. Until a mask is set, every weight is kept.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        bias: whether to add a bias.
        generator: source of the initial weights.

    References:
        Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015, section 4, arXiv:1502.03509.

    Example:
        >>> layer = MaskedLinear(2, 1, generator=torch.Generator().manual_seed(0))
        >>> layer.set_mask(torch.tensor([[True, False]]))
        >>> bool(layer(torch.tensor([1.0, 5.0])) == layer(torch.tensor([1.0, -7.0])))
        True
    """

    mask: Tensor
    sizes: Sequence[int]
    faster: Callable[[MaskedLinear, Tensor], Tensor] | None = None  # another way, while training lends one

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, generator: torch.Generator) -> None:
        super().__init__(in_features, out_features, bias, generator=generator)
        self.register_buffer("mask", torch.ones(out_features, in_features), persistent=False)

    def set_mask(self, mask: Tensor, sizes: Sequence[int] | None = None) -> None:
        """Exchange the mask, for one mask or for one per row of a batch.

        Args:
            mask: bool, shape (lines, in_features), or (N, lines, in_features) for a batch of N rows.
            sizes: how many outputs each line stands for; default: one each.

        Raises:
            ValueError: the shape is another.
        """
        lines = [1] * self.out_features if sizes is None else sizes
        if mask.shape[-2:] != (len(lines), self.in_features):
            raise ValueError(f"mask must have shape {(len(lines), self.in_features)}, got {tuple(mask.shape)}")
        if mask.dim() == 2 and sizes is not None:
            mask = mask.repeat_interleave(torch.tensor(sizes, device=mask.device), 0)
        self.mask, self.sizes = mask.to(self.weight), lines  # a bool mask would be converted at every call

    def masked_weight(self) -> Tensor:
        """The weights that count, shape (out_features, in_features); the others are zero."""
        return self.weight * self.mask

    def offset(self) -> Tensor | None:
        """What is added whatever the input, shape (out_features,): the bias, or None where there is none."""
        return self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x of shape (..., in_features); returns (..., out_features)."""
        if self.faster is not None:
            return self.faster(self, x)
        if self.mask.dim() == 3:
            y, offset = multiply_by_row(self.weight, x, self.mask, self.sizes), self.offset()
            return y if offset is None else y + offset
        return F.linear(x, self.masked_weight(), self.offset())

    def unmasked(self, x: Tensor, outputs: Tensor | slice = slice(None)) -> Tensor:
        """Some outputs, (..., outputs), for an x that is zero already wherever the mask forbids."""
        y, offset = F.linear(x, self.weight[outputs]), self.offset()
        return y if offset is None else y + offset[..., outputs]


class ConditionedLinear(MaskedLinear):
    r"""A masked layer that is told which mask it has, by companion weights U.

    .. math:: y = (W \odot M)\, x + b + \tfrac1n (U \odot M)\, \mathbf{1}

    The companion weights add to every unit a number that depends on the mask and on nothing else, so the layer can tell
    masks apart. The sum over n inputs is divided by n, unlike in the paper: otherwise one step of an optimizer like
    Adam moves it n steps.

    Args:
        in_features: number of inputs, n.
        out_features: number of outputs.
        bias: whether to add a bias.
        generator: source of the initial weights.

    References:
        Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015, section 4.3, arXiv:1502.03509.

    Example:
        >>> layer = ConditionedLinear(2, 1, generator=torch.Generator().manual_seed(0))
        >>> layer.set_mask(torch.tensor([[True, False]]))
        >>> bool(layer(torch.zeros(2)) == layer.bias + layer.companion[0, 0] / 2)
        True
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, generator: torch.Generator) -> None:
        super().__init__(in_features, out_features, bias, generator=generator)
        self.companion = nn.Parameter(torch.empty(out_features, in_features))
        uniform_(self.companion, 1, generator)

    def offset(self) -> Tensor:
        """What is added whatever the input, shape (out_features,): the bias and the mean of the kept companions."""
        if self.mask.dim() == 3:
            ones = torch.ones_like(self.mask[:, 0])
            kept = multiply_by_row(self.companion, ones, self.mask, self.sizes) / self.in_features
        else:
            kept = (self.companion * self.mask).mean(1)
        return kept if self.bias is None else self.bias + kept


def multiply_by_row(weight: Tensor, x: Tensor, mask: Tensor, sizes: Sequence[int]) -> Tensor:
    r"""The products of a matrix and the rows of a batch, each row with a mask of its own.

    .. math:: y_n = (W \odot M_n)\, x_n

    The outputs of one line see the same inputs, so it is the inputs that are masked, once per line: a masked copy of
    the weights for every row would be larger by the number of outputs per line.

    Args:
        weight: shape (out_features, in_features).
        x: shape (N, in_features).
        mask: shape (N, lines, in_features).
        sizes: how many outputs each line stands for.

    Returns:
        Shape (N, out_features).

    Example:
        >>> masks = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
        >>> multiply_by_row(torch.ones(1, 2), torch.tensor([[3.0, 4.0], [3.0, 4.0]]), masks, [1])
        tensor([[3.],
                [7.]])
    """
    seen = mask * x.unsqueeze(-2)
    if len(set(sizes)) == 1:
        return torch.einsum("nli,lki->nlk", seen, weight.unflatten(0, (len(sizes), -1))).flatten(1)
    return torch.cat([seen[:, line] @ rows.T for line, rows in enumerate(weight.split(sizes))], 1)


def view(module: Any) -> Any:
    """The same module once more: it shares weights, buffers and hooks, but has a mode and masks of its own.

    What is done to the view's mode or masks leaves the module as it is, so any number of threads can each look at it
    in their own way.

    Example:
        >>> layer = MaskedLinear(2, 1, generator=torch.Generator().manual_seed(0))
        >>> other = view(layer)
        >>> other.set_mask(torch.tensor([[True, False]]))
        >>> other.weight is layer.weight, layer.mask
        (True, tensor([[1., 1.]]))
    """
    same, own = module.__new__(type(module)), vars(module)
    parts = {name: None if part is None else view(part) for name, part in own["_modules"].items()}
    same.__dict__ = own | {"_modules": parts, "_buffers": dict(own["_buffers"])}
    same.__dict__["_compiled_call_impl"] = None  # which would call the module, not the view
    return same


def evaluation_view(module: Any) -> Any:
    """The module in evaluation mode (no dropout, no noise): itself if it is, else a view of it.

    Example:
        >>> module = nn.Dropout()
        >>> evaluation_view(module).training, module.training
        (False, True)
    """
    return view(module).eval() if any(part.training for part in module.modules()) else module
