"""MADE: a masked autoencoder whose outputs are the conditionals of a distribution."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from made.checks import boolean, check_sizes, integer, is_integer, number, positive, tensor
from made.files import write_tensors
from made.formats import FORMAT, from_plain, read_model, to_plain
from made.layers import ConditionedLinear, MaskedLinear, evaluation_view, view
from made.likelihoods import Bernoulli, Likelihood, from_config, subclass_named, to_config
from made.masks import Connectivity
from made.sampling import sample_by_row, sample_incremental, sample_naive, uniforms

__all__ = ["ACTIVATIONS", "MADE", "Config"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
}


@dataclass(frozen=True)
class Config:
    """What :class:`MADE` was made with: its arguments, checked. A saved model carries them.

    Raises:
        ValueError: an argument is out of range; the message names it.
        TypeError: the likelihood is none.
    """

    n_features: int
    hidden: tuple[int, ...]
    likelihood: Likelihood
    order: str | tuple[int, ...]
    degrees: str
    n_masks: int | None
    direct: bool
    residual: bool
    context_features: int
    activation: str
    dropout: float
    mask_conditioning: bool
    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.likelihood, Likelihood):
            raise TypeError(f"likelihood must be a made likelihood such as made.Bernoulli(), got {self.likelihood!r}")
        self.likelihood.check_complete()
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
        """The arguments of :class:`MADE` as plain data, the likelihood described by its name and arguments.

        Example:
            >>> config = MADE(3, hidden=(4,)).config
            >>> config.hidden, config.to_dict()["likelihood"]
            ((4,), {'name': 'Bernoulli'})
        """
        return {**vars(self), "likelihood": to_config(self.likelihood)}


class MADE(nn.Module):
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
        mask_conditioning: bool = False,
        seed: int = 0,
        validate: bool = True,
    ) -> None:
        super().__init__()
        n_features, hidden = check_sizes(n_features, hidden)
        likelihood = Bernoulli() if likelihood is None else likelihood
        drawn = order if isinstance(order, str) else tuple(torch.as_tensor(order).tolist())
        n_masks = n_masks if n_masks is None else integer("n_masks", n_masks, minimum=1, otherwise=", or None")
        context_features = integer("context_features", context_features, minimum=0)
        direct, residual = boolean("direct", direct), boolean("residual", residual)
        dropout = number("dropout", dropout, minimum=0, below=1)
        mask_conditioning = boolean("mask_conditioning", mask_conditioning)
        seed = integer("seed", seed, minimum=-(2**63))
        self.config = Config(
            n_features, hidden, likelihood, drawn, degrees, n_masks, direct, residual, context_features, activation,
            dropout, mask_conditioning, seed
        )  # fmt: skip
        self.n_features, self.likelihood, self.context_features = n_features, likelihood, context_features
        self.n_masks, self.residual, self.activation = n_masks, residual, ACTIVATIONS[activation]
        self.validate = boolean("validate", validate)
        self.connectivities = [self.draw(k) for k in range(n_masks or 1)]

        layer = ConditionedLinear if mask_conditioning else MaskedLinear
        generator = torch.Generator().manual_seed(seed)
        n_inputs, n_outputs = map(sum, likelihood.sizes(n_features))
        widths = [n_inputs + context_features, *hidden]
        self.hidden = nn.ModuleList(layer(a, b, generator=generator) for a, b in pairwise(widths))
        self.output = layer(widths[-1], n_outputs, generator=generator)
        self.direct = layer(widths[0], n_outputs, bias=False, generator=generator) if direct else None
        self.dropout = nn.Dropout(dropout)
        likelihood.check_dtype(self.output.weight.dtype)
        self.use(0)

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
            for layer, mask in zip(self.hidden, masks[:-1], strict=True):
                layer.set_mask(mask)
            self.output.set_mask(masks[-1], K)  # a variable is described by K outputs
            if self.direct is not None:
                self.direct.set_mask(from_inputs(self.connectivity.direct_mask()), K)

    def under(self, connectivity: int | Connectivity) -> MADE:
        """This model under another connectivity: a view that shares the weights. The model itself is not touched.

        Any number of threads can each ask under a connectivity of its own. With an order for every row of a batch, shape
        (N, D), the view takes batches of N rows.

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

    @contextmanager
    def using(self, connectivity: int | Connectivity) -> Iterator[None]:
        """Use a connectivity for a while, then the one before.

        Args:
            connectivity: as in :meth:`use`, and refused likewise.

        Example:
            >>> model = MADE(3, order="random", n_masks=2)
            >>> with model.using(1):
            ...     model.connectivity == model.connectivities[1]
            True
            >>> model.connectivity == model.connectivities[0]
            True
        """
        before = self.connectivity
        self.use(connectivity)
        try:
            yield
        finally:
            self.use(before)

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
        inputs = self.likelihood.inputs(x)
        context = self.check_context(context, x.shape[:-1])
        return self.network(inputs if context is None else torch.cat([context, inputs], -1))

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
            method: "incremental" (about the work of one forward pass) or "naive" (D forward passes); the samples are
                the same.

        Returns:
            Shape (n, D).

        Raises:
            ValueError: an argument is out of range, or ``given`` is no prefix of the order.
        """
        n, temperature = integer("n", n, minimum=0), positive("temperature", temperature)
        if method not in ("incremental", "naive"):
            raise ValueError(f"method must be one of ['incremental', 'naive'], got {method!r}")
        weight = self.output.weight
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
        own = [(self, MADE, "forward"), (self, MADE, "network")]
        own += [(layer, MaskedLinear, name) for layer in parts for name in ("forward", "masked_weight")]
        hooked = any(part._forward_hooks or part._forward_pre_hooks for part in self.modules())
        return not hooked and all(
            getattr(getattr(part, name), "__func__", None) is getattr(kind, name) for part, kind, name in own
        )

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

    def _apply(self, fn: Any, recurse: bool = True) -> MADE:
        """Move or convert; called by ``to()``, ``half()`` and the like. Refuses a dtype that would merge values."""
        self.likelihood.check_dtype(fn(self.output.weight[:0].detach()).dtype)
        return super()._apply(fn, recurse)

    def __new__(cls, *args: Any, **kwargs: Any) -> MADE:
        """Take down what a subclass with another constructor is made with: a saved model carries it."""
        model = super().__new__(cls)
        try:
            model.__dict__["made_with"] = None if cls.__init__ is MADE.__init__ else to_plain((args, kwargs))
        except TypeError as error:
            model.__dict__["made_with"] = error  # which saving will raise
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, configuration and every connectivity to one safetensors file, all of it or nothing.

        Raises:
            OSError: the file cannot be written.
            TypeError: an argument of the likelihood, or of a subclass with another constructor, is no plain data.

        Example:
            >>> import tempfile
            >>> model = MADE(3, hidden=(4,), order="random", seed=1)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     model.save(folder + "/m.safetensors")
            ...     again = MADE.load(folder + "/m.safetensors")
            >>> again.connectivity == model.connectivity
            True
        """
        if isinstance(self.made_with, TypeError):
            raise TypeError(f"{type(self).__name__} cannot be saved: {self.made_with}") from self.made_with
        tensors = {name: t.contiguous() for name, t in self.state_dict().items() if isinstance(t, Tensor)}
        for k, connectivity in enumerate([self.connectivity, *self.connectivities]):
            tensors |= {f"connectivity.{k}.{layer}": d.clone() for layer, d in enumerate(connectivity.degrees)}
        config = {"class": type(self).__name__, "made_with": self.made_with, **self.config.to_dict()}
        write_tensors(path, tensors, FORMAT, config)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | torch.device | None = None) -> MADE:
        """Read a model written by :meth:`save`, in evaluation mode: same class, weights, dtype, connectivities, choice.

        Args:
            path: of the file. Files of version 0.1.0 are read too, and score the same.
            device: where to put the model; default: where PyTorch would.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or was written by something else, or a class of its author is not defined.
        """
        config, tensors = read_model(path)
        try:
            found = subclass_named(MADE, config.pop("class"))
            config["likelihood"] = from_config(config["likelihood"])
            model = (cls if found is MADE else found)._rebuild(config, tensors)
            return model.to(torch.get_default_device() if device is None else device).eval()
        except NameError as error:
            raise ValueError(f"{os.fspath(path)} needs a class that is not defined: {error}") from error
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)} is damaged: {error}") from error

    @classmethod
    def _rebuild(cls, config: dict[str, Any], tensors: dict[str, Any]) -> MADE:
        made_with = config.pop("made_with")
        with torch.device("cpu"):
            args, kwargs = map(from_plain, made_with) if made_with else ((), config)
            model = cls(*args, **kwargs)
        current, *rest = (
            [tensors.pop(f"connectivity.{k}.{layer}") for layer in range(len(model.hidden) + 1)]
            for k in range(len(model.connectivities) + 1)
        )
        model.to(dtype=tensors["output.weight"].dtype)
        model.load_state_dict({**tensors, "_extra_state": {"current": current, "connectivities": rest}})
        return model

    def get_extra_state(self) -> dict[str, Any]:
        """The connectivities, so that ``state_dict()`` holds them beside the weights."""
        return {
            "current": list(self.connectivity.degrees),
            "connectivities": [list(c.degrees) for c in self.connectivities],
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the connectivities and the choice among them; called by ``load_state_dict()``."""

        def rebuild(degrees: list[Tensor]) -> Connectivity:
            return Connectivity(degrees[0].cpu().argsort(-1), tuple(d.cpu() for d in degrees))

        self.connectivities = [rebuild(degrees) for degrees in state["connectivities"]]
        self.use(rebuild(state["current"]))

    def extra_repr(self) -> str:
        """Configuration, for ``print(model)``."""
        shown = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self.config).items()}
        return ", ".join(f"{name}={value}" for name, value in shown.items() if name != "likelihood")
