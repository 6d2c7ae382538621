"""Faster training under one connectivity: weights that stay masked, multiplied in strips where they are many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from made.layers import MaskedLinear

__all__ = ["ENOUGH", "HEIGHT", "Strip", "StripForward", "StripProduct", "cut_mask", "kept_masked"]

HEIGHT = 128  # rows per strip: fewer would save more multiplications, but small products run slower
# Weights of a layer, for every thread that shares the work, from which strips are used. Measured beside products with
# the mask, a whole step on 100 rows of 784 variables with one thread: it takes a fifth to a quarter less time with 500
# units, and two fifths less with 2000. More threads work on smaller pieces, and every product makes them wait for each
# other, the longer the busier the machine is.
ENOUGH = 200_000


class Strip(NamedTuple):
    """Some rows of a mask: the first ``sure`` inputs all of them may use, from input ``reach`` on none may use any."""

    rows: slice
    sure: int
    reach: int


def cut_mask(mask: Tensor, height: int) -> list[Strip]:
    """Cut a mask into strips of rows.

    With units sorted by degree the strips form a staircase, and about half of the matrix is never touched. Where that
    saves less than a tenth, one strip is all.

    Args:
        mask: shape (out_features, in_features), zero where a weight is forbidden.
        height: rows per strip; the last may have fewer.

    Example:
        >>> for strip in cut_mask(torch.ones(4, 4).tril(), 2):
        ...     print(strip)
        Strip(rows=slice(0, 2, None), sure=1, reach=2)
        Strip(rows=slice(2, 4, None), sure=3, reach=4)
    """
    strips = []
    for start in range(0, len(mask), height):
        part = mask[start : start + height] != 0
        reach = int(part.any(0).nonzero().max()) + 1 if part.any() else 0
        sure = int(part.all(0).int().cumprod(0).sum())
        strips.append(Strip(slice(start, start + len(part)), sure, reach))
    used = sum((rows.stop - rows.start) * reach for rows, _, reach in strips)
    return strips if len(strips) == 1 or used < 0.9 * mask.numel() else cut_mask(mask, len(mask))


class StripProduct(torch.autograd.Function):
    r"""The product x W^T for a weight that is masked already, strip by strip, and with masked gradients.

    .. math:: y_r = W_{r,<c}\, x_{<c}, \qquad dW_{r,<c} = \bigl(dy_r\, x_{<c}^\top\bigr) \odot M_{r,<c}

    The rows r of a strip use only the first c inputs. What lies beyond is zero, and is not even multiplied.

    Example:
        >>> mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> weight = (torch.ones(2, 2) * mask).requires_grad_()
        >>> StripProduct.apply(torch.ones(1, 2), weight, mask, cut_mask(mask, 1)).sum().backward()
        >>> weight.grad
        tensor([[1., 0.],
                [1., 1.]])
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, mask: Tensor, strips: list[Strip]) -> Tensor:
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


class StripForward:
    """What a layer computes instead of its own product while its weights are kept masked.

    Once another mask is met, the layer goes back to its own product. So does a copy of the layer, since
    nobody keeps its weights masked.

    Args:
        mask: under which the weights are kept masked.

    Example:
        >>> layer = MaskedLinear(2, 1, generator=torch.Generator().manual_seed(0))
        >>> bool((StripForward(layer.mask)(layer, torch.ones(3, 2)) == layer(torch.ones(3, 2))).all())
        True
    """

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask
        self.strips = cut_mask(mask, HEIGHT if mask.device.type == "cpu" else len(mask))

    def __call__(self, layer: MaskedLinear, x: Tensor) -> Tensor:
        """Apply a layer to x of shape (..., in_features); returns (..., out_features)."""
        if layer.mask is not self.mask:
            layer.faster = None  # for good: the first mask may come back, but the weights have moved
            return MaskedLinear.forward(layer, x)
        y = StripProduct.apply(x.reshape(-1, layer.in_features), layer.weight, layer.mask, self.strips)
        y, offset = y.view(*x.shape[:-1], layer.out_features), layer.offset()
        return y if offset is None else y + offset

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copy holds None


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
    try:
        for layer in layers:
            with torch.no_grad():
                layer.weight *= layer.mask
            if layer.weight.numel() >= ENOUGH * (torch.get_num_threads() if layer.weight.device.type == "cpu" else 1):
                layer.faster = StripForward(layer.mask)
        yield
    finally:
        for layer in layers:
            layer.faster = None
