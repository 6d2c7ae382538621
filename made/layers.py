"""Linear layers whose weights are multiplied by a mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConditionedLinear", "Linear", "MaskedLinear", "evaluating", "evaluation_view"]


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
    faster: Callable[[MaskedLinear, Tensor], Tensor] | None = None  # another way, while training lends one

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, generator: torch.Generator) -> None:
        super().__init__(in_features, out_features, bias, generator=generator)
        self.register_buffer("mask", torch.ones(out_features, in_features), persistent=False)

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
        return F.linear(x, self.masked_weight(), self.offset())


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
        drawn = torch.empty(out_features, in_features).uniform_(-1, 1, generator=generator)
        self.companion = nn.Parameter(drawn)

    def offset(self) -> Tensor:
        """What is added whatever the input, shape (out_features,): the bias and the mean of the kept companions."""
        kept = (self.companion * self.mask).mean(1)
        return kept if self.bias is None else self.bias + kept


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Switch to evaluation (no dropout, no noise, no gradients), and every part back to what it was before.

    Args:
        module: any module; each of its parts has its own mode restored.

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


def evaluation_view(module: Any) -> Any:
    """The same module in evaluation mode: a view that shares weights, buffers and hooks; the module is not touched.

    Example:
        >>> module = nn.Dropout()
        >>> evaluation_view(module).training, module.training
        (False, True)
    """
    if not any(part.training for part in module.modules()):
        return module
    view = module.__new__(type(module))
    view.__dict__ = module.__dict__.copy()
    view._modules = {name: None if child is None else evaluation_view(child) for name, child in module._modules.items()}
    view._buffers = dict(module._buffers)
    view.training = False
    return view
