"""The arguments of a MADE and of its methods, checked; those it is made with as plain data, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from made.checks import boolean, check_sizes, integer, number, seed_number, tensor
from made.formats import check_complete, to_config
from made.likelihoods import Likelihood
from made.masks import Connectivity

__all__ = ["ACTIVATIONS", "Checked", "Config"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
}


@dataclass(frozen=True)
class Config:
    """What a MADE was made with: its arguments, checked. A saved model carries them.

    Raises:
        ValueError: an argument is out of range; the message names it.
        TypeError: the likelihood is none.
    """

    n_features: int
    hidden: Sequence[int]
    likelihood: Likelihood
    order: str | Tensor | Sequence[int]
    degrees: str
    n_masks: int | None
    direct: bool
    residual: bool
    context_features: int
    activation: str
    dropout: float
    input_dropout: float
    mask_conditioning: bool
    seed: int

    def __post_init__(self) -> None:
        n_features, hidden = check_sizes(self.n_features, self.hidden)
        order = self.order if isinstance(self.order, str) else tuple(torch.as_tensor(self.order).tolist())
        checked = {"n_features": n_features, "hidden": hidden, "order": order}
        if self.n_masks is not None:
            checked["n_masks"] = integer("n_masks", self.n_masks, minimum=1, otherwise=", or None")
        checked["context_features"] = integer("context_features", self.context_features, minimum=0)
        for rate in ("dropout", "input_dropout"):
            checked[rate] = number(rate, getattr(self, rate), minimum=0, below=1)
        checked["seed"] = seed_number("seed", self.seed)
        for switch in ("direct", "residual", "mask_conditioning"):
            checked[switch] = boolean(switch, getattr(self, switch))
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        check_complete(self.likelihood)
        columns = self.likelihood.n_features
        if columns not in (None, self.n_features):
            raise ValueError(f"likelihood must have {self.n_features} columns, one per feature, got {columns}")
        if self.n_masks != 1 and "random" not in (self.order, self.degrees):
            raise ValueError(
                f'n_masks={self.n_masks} needs order="random" or degrees="random": all masks would be equal'
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {self.activation!r}")
        if self.residual and len(set(self.hidden)) > 1:
            raise ValueError(f"residual needs hidden layers of one width, got hidden={self.hidden}")

    def to_dict(self) -> dict[str, Any]:
        """The arguments of a MADE as plain data, the likelihood described by its name and arguments.

        Example:
            >>> import made
            >>> config = made.MADE(3, hidden=(4,)).config
            >>> config.hidden, config.to_dict()["likelihood"]
            ((4,), {'name': 'Bernoulli'})
        """
        return {**vars(self), "likelihood": to_config(self.likelihood)}


class Checked:
    """A model that refuses rows and contexts it cannot take, by the name of the argument.

    Example:
        >>> import made
        >>> made.MADE(3).check(torch.zeros(2, 4))
        Traceback (most recent call last):
        ValueError: x must have shape (..., 3), got (2, 4)
    """

    n_features: int
    likelihood: Likelihood
    context_features: int
    connectivity: Connectivity
    output: Any
    validate: bool

    def check(self, x: Tensor, name: str = "x") -> Tensor:
        """Refuse anything but rows (..., D) with values in the support; return them as a tensor of the model's dtype.

        Raises:
            TypeError: x cannot be taken without loss, or is a tensor of another dtype.
            ValueError: another width, or a value outside the support.
        """
        if not self.validate:
            return x
        return self.likelihood.check_rows(x, self.n_features, self.output.weight.dtype, name)

    def check_context(self, context: Tensor | None, shape: Sequence[int]) -> Tensor | None:
        """Refuse a context that is missing, superfluous or unfit; expand it to one row of C numbers per row.

        Args:
            context: shape (C,) or ``(*shape, C)``, or None.
            shape: of the rows it goes with.

        Returns:
            Shape ``(*shape, C)``, or None for a model without context.

        Raises:
            TypeError: it is no tensor of the model's dtype.
            ValueError: it is missing, superfluous, of another shape or not finite.
        """
        C = self.context_features
        if (context is None) != (C == 0):
            raise ValueError(f"context must be {'None' if C == 0 else 'given'}: the model has {C} context features")
        if context is None:
            return None
        if self.validate:
            context = tensor("context", context, self.output.weight.dtype)
        if context.shape not in ((C,), (*shape, C)):
            raise ValueError(f"context must have shape {(C,)} or {(*shape, C)}, got {tuple(context.shape)}")
        if self.validate and not context.isfinite().all():
            raise ValueError("context must be finite numbers")
        return context.to(self.output.weight.device).expand(*shape, C)

    def check_partial(self, x: Tensor, name: str) -> Tensor:
        """Refuse anything but rows (N, D) with NaN or values in the support; return them as a tensor.

        Raises:
            TypeError: x cannot be taken without loss, or is a tensor of another dtype.
            ValueError: another shape, or a value outside the support.
        """
        x = tensor(name, x, self.output.weight.dtype)
        if x.dim() != 2 or x.shape[1] != self.n_features:
            raise ValueError(f"{name} must have shape (N, {self.n_features}), got {tuple(x.shape)}")
        self.check(self.likelihood.filled(x), name)
        return x

    def check_given(self, given: Tensor, n: int) -> Tensor:
        """Refuse anything but n rows (n, D) whose known values come first in the order; return them as a tensor.

        Raises:
            TypeError: it cannot be taken without loss, or is a tensor of another dtype.
            ValueError: another shape, a value outside the support, or a known variable after an unknown one.
        """
        given = tensor("given", given, self.output.weight.dtype)
        if given.shape != (n, self.n_features):
            raise ValueError(f"given must have shape {(n, self.n_features)}, got {tuple(given.shape)}")
        given = self.check_partial(given, "given")
        by_step = (~given.isnan()).gather(1, self.connectivity.order.to(given.device).expand(n, -1))
        if (by_step[:, 1:] & ~by_step[:, :-1]).any():
            raise ValueError("given must know the first variables of the order in every row, and no later one")
        return given
