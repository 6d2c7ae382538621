"""Linear layers whose weights are multiplied by a mask."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["Linear", "MaskedLinear", "evaluating", "kept_masked"]

STRIP = 192  # rows per strip: fewer would save more multiplications, but small products run slower
ENOUGH = 200_000  # weights of a layer from which strips are faster than a product with the mask


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
        bound = 1 / math.sqrt(self.in_features)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound, generator=self._generator)


class MaskedLinear(Linear):
    r"""A linear layer that ignores the weights its mask forbids.

    .. math:: y = (W \odot M)\, x + b + \tfrac1n (U \odot M)\, \mathbf{1}

    The mask is multiplied into a copy of the weights at every call. The weights themselves are never changed, so masks
    can be exchanged and come back: A, B, then A again gives A's outputs. The companion weights U are optional. They
    add to every unit a number that depends on the mask and on nothing else, so the layer can tell masks apart. The sum
    over n inputs is divided by n, unlike in the paper: otherwise one step of an optimizer like Adam moves it n steps.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        bias: whether to add a bias.
        companion: whether to have companion weights U.
        generator: source of the initial weights.

    References:
        Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015, equation 9 and section 4.3,
        arXiv:1502.03509.

    Example:
        >>> layer = MaskedLinear(2, 1, generator=torch.Generator().manual_seed(0))
        >>> layer.set_mask(torch.tensor([[True, False]]))
        >>> bool(layer(torch.tensor([1.0, 5.0])) == layer(torch.tensor([1.0, -7.0])))
        True
    """

    mask: Tensor
    strips: list[tuple[slice, int, int]] | None = None  # only inside kept_masked()

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        companion: bool = False,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__(in_features, out_features, bias, generator=generator)
        self.register_buffer("mask", torch.ones(out_features, in_features), persistent=False)
        self.companion = None
        if companion:
            drawn = torch.empty(out_features, in_features).uniform_(-1, 1, generator=generator)
            self.companion = nn.Parameter(drawn)

    def set_mask(self, mask: Tensor) -> None:
        """Exchange the mask.

        Args:
            mask: bool, shape (out_features, in_features).

        Raises:
            ValueError: the shape is another.
        """
        if mask.shape != self.weight.shape:
            raise ValueError(f"mask must have shape {tuple(self.weight.shape)}, got {tuple(mask.shape)}")
        self.mask = mask.to(self.weight)  # same device and dtype: a bool mask would be converted at every call
        self.strips = None

    def masked_weight(self) -> Tensor:
        """The weights that count, shape (out_features, in_features); the others are zero."""
        return self.weight * self.mask

    def offset(self) -> Tensor | None:
        """What is added whatever the input: the bias, plus the mean of the companion weights, masked."""
        if self.companion is None:
            return self.bias
        kept = (self.companion * self.mask).mean(1)
        return kept if self.bias is None else self.bias + kept

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x of shape (..., in_features); returns (..., out_features)."""
        offset = self.offset()
        if self.strips is None:
            return F.linear(x, self.masked_weight(), offset)
        y = StripProduct.apply(x.reshape(-1, self.in_features), self.weight, self.mask, self.strips)
        y = y.view(*x.shape[:-1], self.out_features)
        return y if offset is None else y + offset


class StripProduct(torch.autograd.Function):
    r"""The product x W^T for a weight that is masked already, strip by strip, and with masked gradients.

    .. math:: y_r = W_{r,<c}\, x_{<c}, \qquad dW_{r,<c} = \bigl(dy_r\, x_{<c}^\top\bigr) \odot M_{r,<c}

    The rows r of a strip use only the first c inputs. What lies beyond is zero, and is not even multiplied.

    Example:
        >>> mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> weight = (torch.ones(2, 2) * mask).requires_grad_()
        >>> StripProduct.apply(torch.ones(1, 2), weight, mask, strips(mask, 1)).sum().backward()
        >>> weight.grad
        tensor([[1., 0.],
                [1., 1.]])
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mask: Tensor, strips: list[tuple[slice, int, int]]) -> Tensor:
        """Multiply x of shape (B, in_features); returns (B, out_features)."""
        ctx.save_for_backward(x, weight, mask)
        ctx.strips = strips
        y = x.new_empty(len(x), len(weight))
        for rows, _, reach in strips:
            torch.mm(x[:, :reach], weight[rows, :reach].T, out=y[:, rows])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        """Gradients with respect to x, where it is needed, and to the weight."""
        x, weight, mask = ctx.saved_tensors
        dx = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        dw = torch.empty_like(weight)
        for rows, sure, reach in ctx.strips:
            torch.mm(dy[:, rows].T, x[:, :reach], out=dw[rows, :reach])
            dw[rows, sure:reach].mul_(mask[rows, sure:reach])
            dw[rows, reach:].zero_()
            if dx is not None:
                dx[:, :reach].addmm_(dy[:, rows], weight[rows, :reach])
        return dx, dw, None, None


def strips(mask: Tensor, height: int) -> list[tuple[slice, int, int]]:
    """Cut a mask into strips of rows: the rows, the inputs that all of them may use, and those that any may use.

    Both are counted from the left. With units sorted by degree the strips form a staircase, and about half of the
    matrix is never touched. Where that saves less than a tenth, one strip is all.

    Example:
        >>> strips(torch.ones(4, 4).tril(), 2)
        [(slice(0, 2, None), 1, 2), (slice(2, 4, None), 3, 4)]
    """
    cut = []
    for start in range(0, len(mask), height):
        part = mask[start : start + height] != 0
        reach = int(part.any(0).nonzero().max()) + 1 if part.any() else 0
        cut.append((slice(start, start + len(part)), int(part.all(0).int().cumprod(0).sum()), reach))
    used = sum((rows.stop - rows.start) * reach for rows, _, reach in cut)
    return cut if len(cut) == 1 or used < 0.9 * mask.numel() else strips(mask, len(mask))


@contextmanager
def kept_masked(module: nn.Module) -> Iterator[None]:
    """Keep all weights masked, instead of masking them at every call: the same numbers in less time.

    For training under one connectivity. Forbidden weights are set to zero, for good. Their gradients are zero as well,
    so an optimizer leaves them at zero, and no product with the mask is needed. Small layers multiply all the same: a
    call from Python costs more than it would save. So does a layer that is given another mask meanwhile.

    Example:
        >>> layer = MaskedLinear(2, 1, generator=torch.Generator().manual_seed(0))
        >>> layer.set_mask(torch.tensor([[True, False]]))
        >>> with kept_masked(layer):
        ...     layer(torch.ones(2)).sum().backward()
        >>> layer.weight[0, 1].item(), layer.weight.grad
        (0.0, tensor([[1., 0.]]))
    """
    layers = [layer for layer in module.modules() if isinstance(layer, MaskedLinear)]
    for layer in layers:
        with torch.no_grad():
            layer.weight *= layer.mask
        if layer.weight.numel() >= ENOUGH:
            layer.strips = strips(layer.mask, STRIP if layer.mask.device.type == "cpu" else len(layer.mask))
    try:
        yield
    finally:
        for layer in layers:
            layer.strips = None


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation (no dropout, no noise, no gradients), and every part back to what it was before.

    Example:
        >>> module = nn.Dropout()
        >>> with evaluating(module):
        ...     module.training
        False
        >>> module.training
        True
    """
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training
