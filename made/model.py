"""MADE: a masked autoencoder whose outputs are the conditionals of a distribution."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from made import likelihoods
from made.layers import MaskedLinear, evaluating
from made.likelihoods import Bernoulli, Likelihood
from made.masks import Connectivity, check_sizes
from made.sampling import sample_incremental, sample_naive, uniforms

__all__ = ["ACTIVATIONS", "MADE"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
}

FORMAT = "made.MADE/1"


class MADE(nn.Module):
    r"""Masked autoencoder for distribution estimation.

    .. math:: p(x) = \prod_{t=0}^{D-1} p\bigl(x_{o(t)} \mid x_{o(0)}, \ldots, x_{o(t-1)}\bigr)

    One forward pass gives all D conditionals, because output i is connected to the variables before i and to no other.

    Args:
        n_features: number of variables D, at least 1.
        hidden: widths of the hidden layers, possibly empty.
        likelihood: what the raw outputs mean: Bernoulli(), Categorical(k), Gaussian().
        order: "natural", "random", or a permutation with ``order[t]`` the variable generated at step t.
        degrees: hidden degrees, "even" or "random".
        n_masks: number of connectivities; number k is drawn with seed + k. More than one needs something random.
        direct: add masked connections from the inputs straight to the raw outputs.
        activation: of the hidden units: "relu", "tanh", "sigmoid", "elu" or "gelu".
        dropout: probability that a hidden unit is dropped in training, in [0, 1).
        seed: of the initial weights and of anything random in the connectivities.

    Attributes:
        connectivities: the list of ``n_masks`` connectivities.
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
        order: str | Tensor = "natural",
        degrees: str = "even",
        n_masks: int = 1,
        direct: bool = True,
        activation: str = "relu",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(n_features, hidden)
        likelihood = Bernoulli() if likelihood is None else likelihood
        if not isinstance(likelihood, Likelihood):
            raise TypeError(f"likelihood must be a made likelihood such as made.Bernoulli(), got {likelihood!r}")
        if not isinstance(n_masks, int) or n_masks < 1:
            raise ValueError(f"n_masks must be an int of at least 1, got {n_masks!r}")
        random = degrees == "random" or (isinstance(order, str) and order == "random")
        if n_masks > 1 and not random:
            raise ValueError(f'n_masks={n_masks} needs order="random" or degrees="random": all masks would be equal')
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {dropout!r}")

        self.n_features, self.likelihood = n_features, likelihood
        self.activation = ACTIVATIONS[activation]
        self.connectivities = [
            Connectivity.create(n_features, hidden, order, degrees, seed + k) for k in range(n_masks)
        ]
        self._config: dict[str, Any] = {
            "n_features": n_features,
            "hidden": list(hidden),
            "likelihood": {"name": type(likelihood).__name__, **asdict(likelihood)},  # type: ignore[call-overload]
            "order": order if isinstance(order, str) else torch.as_tensor(order).tolist(),
            "degrees": degrees,
            "n_masks": n_masks,
            "direct": direct,
            "activation": activation,
            "dropout": dropout,
            "seed": seed,
        }

        generator = torch.Generator().manual_seed(seed)
        widths = [n_features * likelihood.n_inputs, *hidden]
        n_outputs = n_features * likelihood.n_params
        self.hidden = nn.ModuleList(MaskedLinear(a, b, generator=generator) for a, b in pairwise(widths))
        self.output = MaskedLinear(widths[-1], n_outputs, generator=generator)
        self.direct = MaskedLinear(widths[0], n_outputs, bias=False, generator=generator) if direct else None
        self.dropout = nn.Dropout(dropout)
        self.use(0)

    def use(self, connectivity: int | Connectivity) -> None:
        """Select the connectivity: an index into ``connectivities`` or a :class:`Connectivity` of the same sizes.

        Raises:
            IndexError: there is no such index.
            ValueError: the sizes differ from the model's.
        """
        if isinstance(connectivity, int):
            if not 0 <= connectivity < len(self.connectivities):
                raise IndexError(f"connectivity must be in 0..{len(self.connectivities) - 1}, got {connectivity}")
            connectivity = self.connectivities[connectivity]
        expected = (self.n_features, tuple(self._config["hidden"]))
        if (connectivity.n_features, connectivity.hidden) != expected:
            raise ValueError(
                f"connectivity must have n_features, hidden = {expected}, "
                f"got {(connectivity.n_features, connectivity.hidden)}"
            )
        self.connectivity = connectivity
        E, K = self.likelihood.n_inputs, self.likelihood.n_params
        masks = connectivity.masks()
        masks[0] = masks[0].repeat_interleave(E, dim=1)  # a variable is encoded by E inputs
        masks[-1] = masks[-1].repeat_interleave(K, dim=0)  # and described by K outputs
        for layer, mask in zip([*self.hidden, self.output], masks, strict=True):
            layer.set_mask(mask)
        if self.direct is not None:
            self.direct.set_mask(connectivity.direct_mask().repeat_interleave(E, 1).repeat_interleave(K, 0))

    def forward(self, x: Tensor) -> Tensor:
        """Raw parameters of every conditional.

        Args:
            x: values in the likelihood's support, shape (..., D), of the model's dtype.

        Returns:
            Shape (..., D, K).

        Raises:
            ValueError: wrong width, or values outside the support (NaN included).
            TypeError: x is no tensor of the model's dtype.
        """
        self.check(x)
        return self.network(self.likelihood.encode(x).flatten(-2))

    def network(self, inputs: Tensor) -> Tensor:
        r"""The masked layers, from encoded inputs (..., D*E) to raw parameters (..., D, K).

        .. math:: a(x) = b + V^{\text{out}} h^L(x) + A x, \qquad h^l = g(c^l + W^l h^{l-1}), \quad h^0 = x

        The weights W, V and A are masked. The direct term A x is part of the raw outputs, so it enters before any
        sigmoid.
        """
        h = inputs
        for layer in self.hidden:
            h = self.dropout(self.activation(layer(h)))
        out = self.output(h)
        if self.direct is not None:
            out = out + self.direct(inputs)
        return out.unflatten(-1, (self.n_features, self.likelihood.n_params))

    def conditionals(self, x: Tensor) -> torch.distributions.Distribution:
        """Distribution of every variable given those before it in x: batch shape (..., D)."""
        return self.likelihood.distribution(self(x))

    def log_prob(self, x: Tensor) -> Tensor:
        r"""Log-probability of each row, in nats.

        .. math:: \log p(x) = \sum_{i=1}^{D} \log p(x_i \mid x_j : d(j) < d(i))

        Args:
            x: shape (..., D).

        Returns:
            Shape (...).

        Raises:
            ValueError: wrong width, or values outside the support.
        """
        return self.likelihood.log_prob(self(x), x)

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood of a batch in nats, a scalar: what training minimises."""
        return -self.log_prob(x).mean()

    def sample(
        self,
        n: int,
        *,
        given: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        method: str = "incremental",
    ) -> Tensor:
        """Draw samples, always in evaluation mode.

        Args:
            n: number of samples.
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
        if not isinstance(n, int) or n < 0:
            raise ValueError(f"n must be an int of at least 0, got {n!r}")
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be a positive number, got {temperature!r}")
        samplers = {"incremental": sample_incremental, "naive": sample_naive}
        if method not in samplers:
            raise ValueError(f"method must be one of {sorted(samplers)}, got {method!r}")
        weight = self.output.weight
        if given is None:
            known = weight.new_full((n, self.n_features), torch.nan)
        else:
            self._check_given(n, given)
            known = given.to(weight.device)
        u = uniforms(n, self.n_features, generator).to(weight.device)
        with evaluating(self):
            return samplers[method](self, u, known, temperature)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Refuse anything but a tensor (..., D) of the model's dtype with values in the support."""
        self.likelihood.check_rows(x, self.n_features, self.output.weight.dtype, name)

    def _check_given(self, n: int, given: Tensor) -> None:
        if not isinstance(given, Tensor):
            raise TypeError(f"given must be a tensor of the model's dtype, got {type(given).__name__}")
        if given.shape != (n, self.n_features):
            raise ValueError(f"given must have shape {(n, self.n_features)}, got {tuple(given.shape)}")
        known = ~given.isnan()
        self.check(torch.where(known, given, 0.0), "given")
        by_step = known[:, self.connectivity.order.to(known.device)]
        if (by_step[:, 1:] & ~by_step[:, :-1]).any():
            raise ValueError("given must know the first variables of the order in every row, and no later one")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, configuration and every connectivity to one safetensors file, all of it or nothing.

        Example:
            >>> import tempfile
            >>> model = MADE(3, hidden=(4,), order="random", seed=1)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     model.save(folder + "/m.safetensors")
            ...     again = MADE.load(folder + "/m.safetensors")
            >>> again.connectivity == model.connectivity
            True
        """
        from safetensors.torch import save_file

        tensors = {name: t.contiguous() for name, t in self.state_dict().items() if isinstance(t, Tensor)}
        for k, connectivity in enumerate([self.connectivity, *self.connectivities]):
            tensors |= {f"connectivity.{k}.{layer}": d.clone() for layer, d in enumerate(connectivity.degrees)}
        partial = Path(f"{os.fspath(path)}.partial")
        save_file(tensors, partial, metadata={"format": FORMAT, "config": json.dumps(self._config)})
        partial.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | torch.device | None = None) -> MADE:
        """Read a model written by :meth:`save`, in evaluation mode: same weights, dtype, connectivities and choice.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged or was written by something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{os.fspath(path)} is damaged or no model file: {error}") from None
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{os.fspath(path)} holds no {FORMAT} model, its format is {metadata.get('format')!r}")
        try:
            return cls._rebuild(json.loads(metadata["config"]), tensors).to(device).eval()
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)} is damaged: {error}") from error

    @classmethod
    def _rebuild(cls, config: dict[str, Any], tensors: dict[str, Any]) -> MADE:
        name = config["likelihood"].pop("name")
        config["likelihood"] = vars(likelihoods)[name](**config["likelihood"])
        if not isinstance(config["order"], str):
            config["order"] = torch.tensor(config["order"])
        model = cls(config.pop("n_features"), config.pop("hidden"), **config)
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
            return Connectivity(degrees[0].cpu().argsort(), tuple(d.cpu() for d in degrees))

        self.connectivities = [rebuild(degrees) for degrees in state["connectivities"]]
        self.use(rebuild(state["current"]))

    def extra_repr(self) -> str:
        """Configuration, for ``print(model)``."""
        return ", ".join(f"{name}={value}" for name, value in self._config.items() if name != "likelihood")
