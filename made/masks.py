"""Who may see whom: orders, degrees and the masks that follow from them.

A mask is a boolean matrix of shape (outputs, inputs), the shape of a linear layer's weight. True keeps a weight.
Everything here is a pure function of integers: no weights, no randomness beyond an explicit seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from made.checks import check_sizes

__all__ = ["Connectivity", "build_masks", "degrees_from_order", "even_degrees", "random_degrees"]


def degrees_from_order(order: Tensor) -> Tensor:
    r"""Number the variables by the step at which each one is generated.

    .. math:: d(\mathrm{order}[t]) = t + 1

    This is the inverse permutation of ``order``, counted from one. The order answers "who comes at step t?", the
    degrees answer "at which step does variable i come?".

    Args:
        order: permutation of 0..D-1, shape (D,). ``order[t]`` is the index of the variable generated at step t. Or one
            permutation per row of a batch, shape (N, D).

    Returns:
        Input degrees, a permutation of 1..D, of the shape of ``order``.

    Raises:
        ValueError: ``order`` is no permutation of 0..D-1.

    References:
        Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015, section 4.2, arXiv:1502.03509.

    Example:
        >>> degrees_from_order(torch.tensor([2, 0, 1]))
        tensor([2, 3, 1])
    """
    order = torch.as_tensor(order, device="cpu")
    whole = order.dim() in (1, 2) and order.numel() > 0 and not (order.is_floating_point() or order.dtype == torch.bool)
    if not whole or (order.sort(-1).values != torch.arange(order.shape[-1], device="cpu")).any():
        raise ValueError(f"order must be a permutation of 0..D-1, got {order.tolist()}")
    return order.argsort(-1) + 1


def build_masks(degrees: Sequence[Tensor]) -> list[Tensor]:
    r"""Turn degrees into one mask per layer.

    .. math::
        M^{\text{hidden}}_{kj} = [m(k) \ge m(j)], \qquad M^{\text{output}}_{ik} = [d(i) > m(k)]

    A hidden unit of degree m may use the variables generated at steps 1..m. An output may use what came strictly
    before it: the one strict inequality that makes the autoencoder a distribution.

    Args:
        degrees: one integer tensor per layer, inputs first, then the hidden layers. The outputs take the input degrees.
            Where they have shape (N, units), a set for each row of a batch, so have their masks.

    Returns:
        One boolean mask of shape (out, in) per hidden layer, then the output mask. With no hidden layer there is
        only the output mask, and it is the mask of a direct connection.

    References:
        Germain et al. 2015, equations 12 and 13, arXiv:1502.03509.

    Example:
        >>> hidden, output = build_masks([torch.tensor([1, 2, 3]), torch.tensor([1, 2])])
        >>> hidden.int()
        tensor([[1, 0, 0],
                [1, 1, 0]], dtype=torch.int32)
        >>> output.int()
        tensor([[0, 0],
                [1, 0],
                [1, 1]], dtype=torch.int32)
    """
    masks = [after[..., :, None] >= before[..., None, :] for before, after in pairwise(degrees)]
    masks.append(degrees[0][..., :, None] > degrees[-1][..., None, :])
    return masks


def even_degrees(n_features: int, hidden: Sequence[int], context: bool = False) -> list[Tensor]:
    """Spread hidden degrees so that as many allowed dependencies as the narrowest layer permits stay reachable.

    The narrowest layer can hold W distinct degrees. They cut the D variables into W + 1 groups, as equal as possible;
    only pairs inside one group are lost. Wider layers repeat the same W degrees. With a context, one of the W degrees
    is 0: its units see the context alone, and the first variable can hear them.

    Args:
        n_features: number of variables D.
        hidden: widths of the hidden layers.
        context: whether the model has a context.

    Returns:
        One integer tensor per hidden layer, shape (width,), sorted.

    Example:
        >>> even_degrees(7, (2,))
        [tensor([2, 4])]
        >>> even_degrees(4, (6, 3))
        [tensor([1, 1, 2, 2, 3, 3]), tensor([1, 2, 3])]
        >>> even_degrees(4, (4,), context=True)
        [tensor([0, 1, 2, 3])]
    """
    lowest = 0 if context or n_features == 1 else 1  # a single variable has nothing to see: degree 0, a constant
    distinct = min([n_features - lowest, *hidden])
    cuts = torch.arange(lowest, distinct + lowest, device="cpu") * n_features // (distinct + lowest)
    return [cuts[torch.arange(width, device="cpu") * distinct // width] for width in hidden]


def random_degrees(
    n_features: int, hidden: Sequence[int], generator: torch.Generator, context: bool = False
) -> list[Tensor]:
    """Draw hidden degrees uniformly from the smallest degree of the layer just before to D - 1, as in the paper.

    With a context they start at 0, and the first unit of each layer has degree 0, so that every variable hears the
    context.

    Args:
        n_features: number of variables D.
        hidden: widths of the hidden layers.
        generator: source of the draws.
        context: whether the model has a context.

    Returns:
        One integer tensor per hidden layer, shape (width,).

    Example:
        >>> [m.min().item() >= 1 and m.max().item() <= 3 for m in random_degrees(4, (9, 9), torch.Generator())]
        [True, True]
    """
    degrees: list[Tensor] = []
    low = 0 if context else min(1, n_features - 1)
    for width in hidden:
        degrees.append(torch.randint(low, n_features, (width,), generator=generator, device="cpu"))
        if context:
            degrees[-1][0] = 0
        low = int(degrees[-1].min())
    return degrees


@dataclass(frozen=True, eq=False)
class Connectivity:
    """An order and the degrees of every layer: the value that decides who may see whom.

    Args:
        order: permutation of 0..D-1, shape (D,); ``order[t]`` is the variable generated at step t. With shape (N, D)
            each row of a batch has an order of its own.
        degrees: one integer tensor per layer, inputs first; ``degrees[0][order[t]] == t + 1``.

    Raises:
        ValueError: ``order`` is no permutation, ``degrees[0]`` does not follow from it, or a hidden degree is outside
            0..D-1.

    Example:
        >>> c = Connectivity.create(3, (4,), order=torch.tensor([2, 0, 1]))
        >>> c.degrees
        (tensor([2, 3, 1]), tensor([1, 1, 2, 2]))
        >>> c.reachable().int()
        tensor([[0, 0, 1],
                [1, 0, 1],
                [0, 0, 0]], dtype=torch.int32)
        >>> c.coverage()
        1.0
    """

    order: Tensor
    degrees: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        expected = degrees_from_order(self.order)
        if not self.degrees or not torch.equal(self.degrees[0], expected):
            raise ValueError(f"degrees[0] must be {expected.tolist()} for this order, got {self.degrees[:1]}")
        for layer, hidden in enumerate(self.degrees[1:], start=1):
            D = self.n_features
            if hidden.dim() != 1 or hidden.numel() == 0 or hidden.min() < 0 or hidden.max() >= D:
                raise ValueError(f"degrees[{layer}] must lie in 0..{D - 1}, got {hidden.tolist()}")

    @classmethod
    def create(
        cls,
        n_features: int,
        hidden: Sequence[int],
        order: str | Tensor = "natural",
        degrees: str = "even",
        seed: int = 0,
        context: bool = False,
    ) -> Connectivity:
        """Make a connectivity from its recipe.

        Args:
            n_features: number of variables D, at least 1.
            hidden: widths of the hidden layers, possibly empty.
            order: "natural" (0, 1, .., D-1), "random" (drawn with ``seed``), or a permutation of shape (D,).
            degrees: "even" (spread over 1..D-1) or "random" (the paper's draw, with ``seed``).
            seed: the only source of randomness.
            context: let hidden degrees start at 0, for units that see the context alone.

        Raises:
            ValueError: an argument is outside the above; the message names it.
            TypeError: a size is no integer.
        """
        n_features, hidden = check_sizes(n_features, hidden)
        generator = torch.Generator().manual_seed(seed)
        if isinstance(order, str):
            if order not in ("natural", "random"):
                raise ValueError(f'order must be "natural", "random" or a permutation of 0..D-1, got {order!r}')
            random = torch.randperm(n_features, generator=generator, device="cpu")
            order = random if order == "random" else torch.arange(n_features, device="cpu")
        inputs = degrees_from_order(order)
        if inputs.shape != (n_features,):
            raise ValueError(f"order must have {n_features} entries, one per feature, got shape {tuple(inputs.shape)}")
        if degrees not in ("even", "random"):
            raise ValueError(f'degrees must be "even" or "random", got {degrees!r}')
        if degrees == "even":
            hidden_degrees = even_degrees(n_features, hidden, context)
        else:
            hidden_degrees = random_degrees(n_features, hidden, generator, context)
        return cls(torch.as_tensor(order, device="cpu").clone(), (inputs, *hidden_degrees))

    def reordered(self, order: Tensor) -> Connectivity:
        """The same hidden degrees under another order, or one for each row: only the variables change places.

        Example:
            >>> Connectivity.create(3, (4,)).reordered(torch.tensor([2, 0, 1])).degrees
            (tensor([2, 3, 1]), tensor([1, 1, 2, 2]))
        """
        return Connectivity(order, (degrees_from_order(order), *self.degrees[1:]))

    def __eq__(self, other: object) -> bool:
        """Equal when the order and every layer's degrees are equal."""
        if not isinstance(other, Connectivity) or len(self.degrees) != len(other.degrees):
            return False
        return all(torch.equal(a, b) for a, b in zip(self.degrees, other.degrees, strict=True))

    def __hash__(self) -> int:
        """Hash of the degrees, which contain the order."""
        return hash(tuple(tuple(layer.tolist()) for layer in self.degrees))

    @property
    def n_features(self) -> int:
        """Number of variables D."""
        return self.order.shape[-1]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(len(layer) for layer in self.degrees[1:])

    def masks(self) -> list[Tensor]:
        """One boolean mask (out, in) per hidden layer, then the output mask. See :func:`build_masks`."""
        return build_masks(self.degrees)

    def direct_mask(self) -> Tensor:
        """Mask (D, D) of a direct connection from inputs to outputs: strictly earlier variables only."""
        return build_masks(self.degrees[:1])[0]

    def reachable(self) -> Tensor:
        r"""Which dependencies survive the layers: bool (D, D), entry [i, j] is True if output i can see input j.

        .. math:: R = [M^{\text{output}} M^{L} \cdots M^{1} > 0]

        The product counts the paths from input j to output i. Direct connections are left out.
        """
        first, *others = self.masks()
        reach = first
        for mask in others:
            reach = (mask.float() @ reach.float()) > 0
        return reach

    def coverage(self, direct: bool = False) -> float:
        """Fraction of the D(D-1)/2 allowed dependencies that is reachable, 1.0 when there is nothing to reach.

        Args:
            direct: count direct connections too; they reach every allowed dependency.

        Example:
            >>> round(Connectivity.create(784, (64,)).coverage(), 3)
            0.986
        """
        allowed = self.n_features * (self.n_features - 1) // 2
        reach = self.reachable() | self.direct_mask() if direct else self.reachable()
        return float(reach.double().sum((-2, -1)).mean()) / allowed if allowed else 1.0
