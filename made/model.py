"""MADE: a masked autoencoder whose outputs are the conditionals of a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from made.checks import boolean, integer, is_integer, positive, tensor, warn_of_half
from made.config import ACTIVATIONS, Checked, Config
from made.formats import Saved
from made.layers import ConditionedLinear, MaskedLinear, evaluation_view, view
from made.likelihoods import Bernoulli, Likelihood
from made.masks import Connectivity
from made.sampling import sample_by_row, sample_incremental, sample_naive, uniforms

__all__ = ["MADE"]


class MADE(Saved, Checked):
    r"""Masked autoencoder for distribution estimation.

    .. math:: p(x) = \prod_{t=0}^{D-1} p\bigl(x_{o(t)} \mid x_{o(0)}, \ldots, x_{o(t-1)}\bigr)

    One forward pass gives all D conditionals, because output i is connected to the variables before i and to no other.

    Args:
        n_features: number of variables D, at least 1.
        hidden: widths of the hidden layers, possibly empty.
        likelihood: what the raw outputs mean: Bernoulli(), Categorical(k), Gaussian(), MixtureOfGaussians(k),
            DiscretizedLogistic(k), or Columns([...]) with one of these per variable.
        order: "natural", "random", or a permutation with ``order[t]`` the variable generated at step t.
        degrees: hidden degrees, "even" or "random".
        n_masks: number of connectivities; number k is drawn with seed + k. More than one needs something random. None
            stands for no end of them: training takes a fresh one at every step.
        direct: add masked connections from the inputs straight to the raw outputs.
        residual: every hidden layer after the first adds to the one before it. All take the degrees of the first.
        context_features: number C of extra inputs that every conditional may use, the first one included.
        activation: of the hidden units: "relu", "tanh", "sigmoid", "elu" or "gelu".
        dropout: probability that a hidden unit is dropped in training, in [0, 1).
        input_dropout: probability that a variable is hidden from all others in training, in [0, 1).
        mask_conditioning: give every layer companion weights, with which it can tell masks apart.
        seed: of the initial weights and of anything random in the connectivities.
        validate: check values at every call. Without it wrong values give wrong numbers instead of an error;
            ``torch.func.vmap`` and ``torch.export`` need it off. It can be set later and is not saved.

    Attributes:
        connectivities: the list of ``n_masks`` connectivities (of one if there is no end of them).
        connectivity: the one in use; see :meth:`use`.

    Raises:
        ValueError: an argument is out of range; the message names it.
        TypeError: a size is no integer or the likelihood is none.

    References:
        Germain, Gregor, Murray, Larochelle, MADE: Masked Autoencoder for Distribution Estimation, ICML 2015,
        arXiv:1502.03509.

    Example:
        >>> model = MADE(4, hidden=(8,), seed=0)
        >>> x = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
        >>> model(x).shape
        torch.Size([1, 4, 1])
        >>> model.log_prob(x).shape
        torch.Size([1])
        >>> model.sample(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int] = (500,),
        *,
        likelihood: Likelihood | None = None,
        order: str | Tensor | Sequence[int] = "natural",
        degrees: str = "even",
        n_masks: int | None = 1,
        direct: bool = True,
        residual: bool = False,
        context_features: int = 0,
        activation: str = "relu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        mask_conditioning: bool = False,
        seed: int = 0,
        validate: bool = True,
    ) -> None:
        super().__init__()
        likelihood = Bernoulli() if likelihood is None else likelihood
        self.config = c = Config(
            n_features, hidden, likelihood, order, degrees, n_masks, direct, residual, context_features, activation,
            dropout, input_dropout, mask_conditioning, seed
        )  # fmt: skip
        self.n_features, self.likelihood, self.context_features = c.n_features, likelihood, c.context_features
        self.n_masks, self.residual, self.activation = c.n_masks, c.residual, ACTIVATIONS[activation]
        self.validate = boolean("validate", validate)
        self.connectivities = [self.draw(k) for k in range(c.n_masks or 1)]

        layer = ConditionedLinear if c.mask_conditioning else MaskedLinear
        generator = torch.Generator().manual_seed(c.seed)
        n_inputs, n_outputs = map(sum, likelihood.sizes(c.n_features))
        widths = [n_inputs + c.context_features, *c.hidden]
        self.hidden = nn.ModuleList(layer(a, b, generator=generator) for a, b in pairwise(widths))
        self.output = layer(widths[-1], n_outputs, generator=generator)
        self.direct = layer(widths[0], n_outputs, bias=False, generator=generator) if c.direct else None
        self.dropout = nn.Dropout(c.dropout)
        likelihood.check_dtype(self.output.weight.dtype)
        self.use(0)

    def start(self, x: Tensor) -> None:
        r"""Start training from independent variables, each distributed as in the rows x.

        .. math:: b_i = \text{raw outputs of the distribution of column } i, \qquad V^{\text{out}} \leftarrow
            \tfrac1{10} V^{\text{out}}, \quad A \leftarrow \tfrac1{10} A

        The output bias says what is known before anything else is. The weights of the outputs begin small, so that
        they do not blur it.

        Args:
            x: training rows, shape (N, D), NaN where a value is missing.

        Raises:
            TypeError: x cannot be taken without loss, or is a tensor of another dtype.
            ValueError: another shape, no rows, or a value outside the support.

        Example:
            >>> model = MADE(2, hidden=())
            >>> model.start(torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]))
            >>> model.output.bias.sigmoid()  # (1 + 1) / (3 + 2) and (3 + 1) / (3 + 2)
            tensor([0.4000, 0.8000], ...)
        """
        x = self.check_partial(x, "x")
        if len(x) == 0:
            raise ValueError("x must have at least one row")
        x = torch.where(x.isnan().all(0), self.likelihood.filled(x), x)  # a column without values takes any
        with torch.no_grad():
            self.output.bias.copy_(self.likelihood.start(x))
            for layer in filter(None, (self.output, self.direct)):
                layer.weight.mul_(0.1)

    def draw(self, k: int) -> Connectivity:
        """Connectivity number k, of the model's own kind, drawn with seed + k."""
        c = self.config
        order = c.order if isinstance(c.order, str) else torch.tensor(c.order)
        context = c.context_features > 0
        drawn = Connectivity.create(c.n_features, c.hidden, order, c.degrees, seed=c.seed + k, context=context)
        if self.residual:  # a unit may only be added to a unit of its own degree
            return Connectivity(drawn.order, (*drawn.degrees[:2], *drawn.degrees[1:2] * (len(drawn.hidden) - 1)))
        return drawn

    def connectivity_for(self, step: int) -> Connectivity:
        """The connectivity of a training step: the next one of a finite list, or a fresh one."""
        return self.draw(step) if self.n_masks is None else self.connectivities[step % self.n_masks]

    def take_turn(self, step: int | None) -> None:
        """Use the connectivity of a training step, or the first one for validation (None): how ``made.fit`` asks."""
        if self.n_masks != 1:
            self.use(0 if step is None else self.connectivity_for(step))

    @property
    def order_agnostic(self) -> bool:
        """Whether the model was made to be trained under many orders."""
        return self.config.order == "random" and self.n_masks != 1

    def checked(self, connectivity: int | Connectivity) -> Connectivity:
        """The connectivity that an index stands for, or the one given, if it fits the model.

        Raises:
            IndexError: there is no such index.
            TypeError: it is neither an index nor a connectivity.
            ValueError: the sizes differ from the model's, or the layers of a residual model would have unequal degrees.
        """
        if not isinstance(connectivity, Connectivity):
            if not is_integer(connectivity):
                raise TypeError(f"connectivity must be an index or a made.Connectivity, got {connectivity!r}")
            if not 0 <= connectivity < len(self.connectivities):
                raise IndexError(f"connectivity must be in 0..{len(self.connectivities) - 1}, got {connectivity}")
            return self.connectivities[connectivity]
        expected, sizes = (self.n_features, self.config.hidden), (connectivity.n_features, connectivity.hidden)
        if sizes != expected:
            raise ValueError(f"connectivity must have n_features, hidden = {expected}, got {sizes}")
        if self.residual and any(not torch.equal(d, connectivity.degrees[1]) for d in connectivity.degrees[2:]):
            raise ValueError("connectivity must have the same degrees in every hidden layer of a residual model")
        return connectivity

    def use(self, connectivity: int | Connectivity) -> None:
        """Select the connectivity: an index into ``connectivities`` or a :class:`Connectivity` of the same sizes.

        Raises:
            IndexError: there is no such index.
            ValueError: the sizes differ from the model's.
        """
        self.connectivity = self.checked(connectivity)
        E, K = self.likelihood.sizes(self.n_features)
        with torch.inference_mode(False):  # a mask made in inference mode would be of no use in training
            repeats = torch.tensor(E, device="cpu")
            # a variable is encoded by E inputs, and every unit may use the context
            from_inputs = lambda m: F.pad(m.repeat_interleave(repeats, -1), (self.context_features, 0), value=True)
            masks = self.connectivity.masks()
            masks[0] = from_inputs(masks[0])
            layers: list[tuple[Any, Sequence[int] | None]] = [(layer, None) for layer in self.hidden]
            for (layer, sizes), mask in zip([*layers, (self.output, K)], masks, strict=True):
                layer.set_mask(mask, sizes)  # a variable is described by K outputs
            if self.direct is not None:
                self.direct.set_mask(from_inputs(self.connectivity.direct_mask()), K)

    def under(self, connectivity: int | Connectivity) -> MADE:
        """The same model under another connectivity: a view that shares the weights. The model itself is not touched.

        Any number of threads can each ask under a connectivity of its own. With an order for every row of a batch,
        shape (N, D), the view takes batches of N rows. To move or to convert a view moves or converts the model.

        Args:
            connectivity: as in :meth:`use`, and refused likewise.

        Example:
            >>> model = MADE(3, order="random", n_masks=2)
            >>> model.under(1).connectivity == model.connectivities[1]
            True
            >>> model.connectivity == model.connectivities[0]
            True
        """
        under = view(self)
        under.use(connectivity)
        return under

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Raw parameters of every conditional.

        Args:
            x: values in the likelihood's support, shape (..., D): a tensor of the model's dtype, or an array, a
                DataFrame or a list of numbers that the dtype can hold. Real numbers are rounded to it.
            context: for a model with a context, shape (..., C), one row per row of x or one for all.

        Returns:
            Shape (..., D, K).

        Raises:
            ValueError: wrong width, values outside the support (NaN included), or a context that is missing or
                superfluous.
            TypeError: x or the context is no tensor of the model's dtype.
        """
        x = self.check(x)
        rows = self.connectivity.order.shape[:-1]
        if rows not in (torch.Size(), x.shape[:-1]):
            raise ValueError(
                f"x must have shape {(*rows, self.n_features)}, a row for each order, got {tuple(x.shape)}"
            )
        inputs = self.likelihood.inputs(x)
        if self.training and self.config.input_dropout:
            inputs = inputs * self.kept(x)
        context = self.check_context(context, x.shape[:-1])
        return self.network(inputs if context is None else torch.cat([context, inputs], -1))

    def kept(self, x: Tensor) -> Tensor:
        """Input dropout: 0 for all inputs of a dropped variable, 1 / (1 - p) for the others; shape (..., D*E)."""
        kept = F.dropout(torch.ones_like(x), self.config.input_dropout)
        return kept.repeat_interleave(torch.tensor(self.likelihood.sizes(self.n_features)[0], device=x.device), -1)

    def network(self, inputs: Tensor) -> Tensor:
        r"""The masked layers, from context and encoded inputs (..., C + D*E) to raw parameters (..., D, K).

        .. math:: a(x) = b + V^{\text{out}} h^L(x) + A x, \qquad h^l = g(c^l + W^l h^{l-1}), \quad h^0 = x

        The weights W, V and A are masked. The direct term A x is part of the raw outputs, so it enters before any
        sigmoid. A residual layer after the first adds what it computes to what it was given.
        """
        h = inputs
        for layer in self.hidden:
            new = self.dropout(self.activation(layer(h)))
            h = h + new if self.residual and layer is not self.hidden[0] else new
        out = self.output(h)
        if self.direct is not None:
            out = out + self.direct(inputs)
        return self.likelihood.unflatten(out, self.n_features)

    def conditionals(self, x: Tensor, context: Tensor | None = None) -> torch.distributions.Distribution:
        """Distribution of every variable given those before it in x: batch shape (..., D)."""
        return self.likelihood.distribution(self(x, context))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Log-probability of each row, in nats.

        .. math:: \log p(x) = \sum_{i=1}^{D} \log p(x_i \mid x_j : d(j) < d(i))

        Args:
            x: shape (..., D).
            context: as in :meth:`forward`.

        Returns:
            Shape (...).

        Raises:
            ValueError: wrong width, or values outside the support.
        """
        x = tensor("x", x, self.output.weight.dtype) if self.validate else x
        return self.likelihood.log_conditionals(self(x, context), x).sum(-1)  # forward() has checked x

    def loss(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Mean negative log-likelihood of a batch in nats, a scalar: what training minimises."""
        return -self.log_prob(x, context).mean()

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        given: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        method: str = "incremental",
    ) -> Tensor:
        """Draw samples, always in evaluation mode.

        Args:
            n: number of samples.
            context: for a model with a context, shape (n, C), or (C,) for all samples the same.
            given: known values, shape (n, D), NaN where a value is to be drawn. In every row the known variables must
                come first in the model's order; the others are drawn from their exact conditional distribution.
            temperature: below 1 sharpens each conditional, above 1 flattens it; only 1 samples the model itself.
            generator: source of randomness.
            method: "incremental" (as many multiplications as one or two forward passes) or "naive" (D passes); the
                samples are the same.

        Returns:
            Shape (n, D).

        Raises:
            ValueError: an argument is out of range, or ``given`` is no prefix of the order.
        """
        n, temperature = integer("n", n, minimum=0), positive("temperature", temperature)
        if method not in ("incremental", "naive"):
            raise ValueError(f"method must be one of ['incremental', 'naive'], got {method!r}")
        weight = self.output.weight
        warn_of_half(weight)
        if given is None:
            known = weight.new_full((n, self.n_features), torch.nan)
        else:
            known = self.check_given(given, n).to(weight.device)
        context = self.check_context(context, (n,))
        u = uniforms(n, self.n_features, generator).to(weight.device)
        faster = sample_incremental if self.connectivity.order.dim() == 1 else sample_by_row
        sampler = faster if method == "incremental" and self.as_written() else sample_naive
        with torch.no_grad():
            return sampler(evaluation_view(self), u, known, temperature, context)

    def as_written(self) -> bool:
        """Whether only the layers decide what the model computes, as "incremental" assumes: no hook, no own part."""
        parts = [layer for layer in (*self.hidden, self.output, self.direct) if layer is not None]
        own: list[tuple[nn.Module, type, str]] = [(self, MADE, "forward"), (self, MADE, "network")]
        own += [(layer, MaskedLinear, name) for layer in parts for name in ("forward", "masked_weight")]
        hooked = any(vars(part)[kind] for part in self.modules() for kind in ("_forward_hooks", "_forward_pre_hooks"))
        return not hooked and all(
            getattr(getattr(part, name), "__func__", None) is getattr(kind, name) for part, kind, name in own
        )
