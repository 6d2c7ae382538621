"""Likelihoods: turn the raw outputs of a network into a probability for every variable.

A network knows nothing of probabilities. It hands over K raw numbers per variable, shape (..., D, K), and a likelihood
says what they mean: logits, means, log-scales.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, distributions
from torch.nn import functional as F

from made.checks import integer, positive, tensor

__all__ = ["Bernoulli", "Categorical", "Columns", "DiscretizedLogistic", "Gaussian", "Likelihood", "MixtureOfGaussians"]
__all__ += ["LIKELIHOODS", "ColumnsDistribution", "from_config", "to_config"]


class Likelihood(ABC):
    """What every likelihood can do. Subclasses give ``distribution``, ``sample`` and ``outside_support``.

    Attributes:
        n_params: K, raw numbers per variable that the network must produce.
        n_inputs: E, numbers that encode one variable as network input.
        n_states: size of the support {0, .., n_states - 1}, or None if it is not finite.
        n_features: D if the likelihood is made for a certain number of variables, else None.
        support: the support in words, for error messages.
    """

    n_params: int
    n_inputs: int = 1
    n_states: int | None = None
    n_features: int | None = None
    support: str

    @abstractmethod
    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Distribution:
        """Distribution of each variable, as PyTorch knows it.

        Args:
            params: raw outputs, shape (..., D, K).
            validate_args: as in ``torch.distributions``.

        Returns:
            A distribution of batch shape (..., D).
        """

    @abstractmethod
    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Turn uniforms u in (0, 1), shape (..., D), into values by inverting each cumulative distribution.

        Args:
            params: raw outputs, shape (..., D, K).
            u: float64, shape (..., D).
            temperature: below 1 sharpens every conditional, above 1 flattens it; 1 samples the distribution itself.

        Returns:
            Values in the support, shape (..., D), of the dtype of params.
        """

    @abstractmethod
    def outside_support(self, x: Tensor) -> Tensor:
        """True where a value is outside the support: x of any shape gives bool of the same shape."""

    def encode(self, x: Tensor) -> Tensor:
        """Network input for x (..., D): shape (..., D, E). Here the values as they are."""
        return x.unsqueeze(-1)

    def select(self, variables: Sequence[int]) -> Likelihood:
        """The likelihood of some of the variables. Here all are alike, so it is the same.

        Args:
            variables: indices from 0..D-1, in the order in which their parameters will come.
        """
        return self

    def _store(self, **values: Any) -> None:
        """Set attributes of a frozen dataclass, from its ``__post_init__``; what a subclass defines itself stays."""
        arguments = {argument.name for argument in fields(self)}  # type: ignore[arg-type]
        defined = {name for cls in type(self).__mro__ if cls is not Likelihood for name in vars(cls)}
        for name, value in values.items():
            if name in arguments or name not in defined:
                object.__setattr__(self, name, value)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        r"""Log-probability of each row, in nats.

        .. math:: \log p(x) = \sum_{i=1}^{D} \log p(x_i \mid \text{params}_i)

        Args:
            params: raw outputs, shape (..., D, K).
            x: values in the support, shape (..., D).

        Returns:
            Shape (...): summed over variables, one number per row.

        Raises:
            ValueError: a value is outside the support.
        """
        self.check(x)
        return self.log_conditionals(params, x).sum(-1)

    def log_conditionals(self, params: Tensor, x: Tensor) -> Tensor:
        """Log-probability of each variable in nats: params (..., D, K) and x (..., D) give (..., D). No check of x."""
        return self.distribution(params, validate_args=False).log_prob(x)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Refuse values outside the support, NaN included.

        Args:
            x: values, shape (..., D).
            name: of the argument, for the message.

        Raises:
            ValueError: names the support, the first offending value and its place.
        """
        bad = self.outside_support(x)
        if bad.any():
            place = tuple(bad.nonzero()[0].tolist())
            one = self.select(place[-1:])
            raise ValueError(f"{name} must be {one.support} for {one}, got {x[place].item()} at position {place}")

    def check_rows(self, x: object, n_features: int, dtype: torch.dtype, name: str = "x") -> None:
        """Refuse anything but a tensor (..., D) of the given dtype with values in the support.

        Args:
            x: what was given.
            n_features: number of variables D.
            dtype: of the model.
            name: of the argument, for the message.

        Raises:
            TypeError: no tensor, or one of another dtype.
            ValueError: another width, or a value outside the support.
        """
        x = tensor(name, x, dtype)
        if x.dim() == 0 or x.shape[-1] != n_features:
            raise ValueError(f"{name} must have shape (..., {n_features}), got {tuple(x.shape)}")
        self.check(x, name)


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    r"""Binary variables; the raw output is the logit.

    .. math:: p(x = 1) = \sigma(a), \qquad -\log p(x) = -x \log \sigma(a) - (1 - x) \log (1 - \sigma(a))

    The second expression is the binary cross-entropy. It is computed from the logit, so it stays finite where
    log(sigmoid(a)) would not.

    Example:
        >>> likelihood = Bernoulli()
        >>> likelihood.log_prob(torch.zeros(3, 1), torch.tensor([1.0, 0.0, 1.0]))  # 3 log(1/2)
        tensor(-2.0794)
        >>> likelihood.check(torch.tensor([0.5]))
        Traceback (most recent call last):
        ValueError: x must be 0 or 1 for Bernoulli(), got 0.5 at position (0,)
    """

    n_params = 1
    n_states = 2
    support = "0 or 1"

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Bernoulli:
        """Bernoulli with the given logits."""
        return distributions.Bernoulli(logits=params.squeeze(-1), validate_args=validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """1 where u is below the probability of 1."""
        return (u < torch.sigmoid(params.squeeze(-1) / temperature)).to(params.dtype)

    def outside_support(self, x: Tensor) -> Tensor:
        """Anything but 0 and 1."""
        return (x != 0) & (x != 1)


@dataclass(frozen=True)
class Categorical(Likelihood):
    r"""Variables with k unordered values 0, .., k-1; the raw outputs are the k logits.

    .. math:: p(x = c) = \frac{\exp a_c}{\sum_{c'} \exp a_{c'}}

    The network sees a value as k indicators (one-hot), so no order among the values is implied.

    Args:
        k: number of values, at least 2.

    Raises:
        ValueError: k is below 2.

    Example:
        >>> likelihood = Categorical(4)
        >>> likelihood.log_prob(torch.zeros(2, 4), torch.tensor([3.0, 0.0]))  # 2 log(1/4)
        tensor(-2.7726)
    """

    k: int

    def __post_init__(self) -> None:
        k = integer("k", self.k, minimum=2)
        self._store(k=k, n_params=k, n_inputs=k, n_states=k, support=f"a whole number from 0 to {k - 1}")

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Categorical:
        """Categorical with the given logits."""
        return distributions.Categorical(logits=params, validate_args=validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """The number of cumulative probabilities that u has reached; the last, 1, can never be reached."""
        cumulative = torch.softmax(params / temperature, -1).cumsum(-1)[..., :-1]
        return (u.unsqueeze(-1) >= cumulative).sum(-1).to(params.dtype)

    def outside_support(self, x: Tensor) -> Tensor:
        """Anything but a whole number from 0 to k-1."""
        return ~((x >= 0) & (x < self.k) & (x == x.floor()))

    def encode(self, x: Tensor) -> Tensor:
        """One-hot indicators, shape (..., D, k)."""
        return F.one_hot(x.long(), self.k).to(x.dtype)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    r"""Real variables; the raw outputs are the mean and the log-scale.

    .. math::
        -\log p(x) = \tfrac12 \log(2 \pi \sigma^2) + \frac{(x - \mu)^2}{2 \sigma^2}, \qquad
        \sigma = \sigma_{\min} + e^{s}

    A density has no upper bound: without the floor a network could place an infinitely thin peak on a repeated value.

    Args:
        min_scale: the floor of the standard deviation, above 0.

    Raises:
        ValueError: min_scale is not a positive number.

    Example:
        >>> likelihood = Gaussian()
        >>> standard = torch.tensor([[0.0, math.log(1 - 1e-3)]])
        >>> likelihood.log_prob(standard, torch.zeros(1))  # -log(2 pi) / 2
        tensor(-0.9189)
    """

    min_scale: float = 1e-3
    n_params = 2
    support = "a finite number"

    def __post_init__(self) -> None:
        self._store(min_scale=positive("min_scale", self.min_scale))

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Normal:
        """Normal with the given means and log-scales."""
        mean, log_scale = params.unbind(-1)
        return distributions.Normal(mean, self.min_scale + log_scale.exp(), validate_args=validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Mean plus scale times the normal quantile of u; the temperature multiplies the variance."""
        normal = self.distribution(params)
        quantile = torch.special.ndtri(u).to(params.dtype)
        return normal.loc + normal.scale * math.sqrt(temperature) * quantile

    def outside_support(self, x: Tensor) -> Tensor:
        """NaN and infinities."""
        return ~x.isfinite()


@dataclass(frozen=True)
class MixtureOfGaussians(Likelihood):
    r"""Real variables with several peaks; the raw outputs are k logits, then k means, then k log-scales.

    .. math::
        p(x) = \sum_{c=1}^{k} \pi_c\, \mathcal{N}(x \mid \mu_c, \sigma_c^2), \qquad
        \pi = \mathrm{softmax}(a), \quad \sigma_c = \sigma_{\min} + e^{s_c}

    Args:
        k: number of components, at least 1.
        min_scale: the floor of each standard deviation, above 0.

    Raises:
        ValueError: k is below 1 or min_scale is not a positive number.

    References:
        Uria, Murray, Larochelle, RNADE: The real-valued neural autoregressive density-estimator, 2013,
        arXiv:1306.0186.

    Example:
        >>> likelihood = MixtureOfGaussians(2)
        >>> likelihood.n_params
        6
        >>> two_equal_standard_ones = torch.tensor([[0, 0, 0, 0, math.log(1 - 1e-3), math.log(1 - 1e-3)]])
        >>> likelihood.log_prob(two_equal_standard_ones, torch.zeros(1))  # -log(2 pi) / 2
        tensor(-0.9189)
    """

    k: int
    min_scale: float = 1e-3
    support = "a finite number"

    def __post_init__(self) -> None:
        k = integer("k", self.k, minimum=1)  # each component has a logit, a mean and a log-scale
        self._store(k=k, n_params=3 * k, min_scale=positive("min_scale", self.min_scale))

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.MixtureSameFamily:
        """Mixture with the given logits, means and log-scales."""
        logits, mean, log_scale = params.unflatten(-1, (3, self.k)).unbind(-2)
        components = distributions.Normal(mean, self.min_scale + log_scale.exp(), validate_args=validate_args)
        weights = distributions.Categorical(logits=logits, validate_args=validate_args)
        return distributions.MixtureSameFamily(weights, components, validate_args=validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Choose a component by u; what is left of u within it is uniform again and gives the normal quantile.

        The temperature divides the logits and multiplies the variances.
        """
        logits, mean, log_scale = params.unflatten(-1, (3, self.k)).unbind(-2)
        p = torch.softmax(logits.double() / temperature, -1)
        upto = p.cumsum(-1)
        u = u * upto[..., -1]  # rounding may leave the total a little below 1, and a last p of 0 must not be chosen
        chosen = (u.unsqueeze(-1) >= upto[..., :-1]).sum(-1, keepdim=True)
        pick = lambda values: values.gather(-1, chosen).squeeze(-1)
        rest = (u - pick(upto - p)) / pick(p)
        limits = torch.finfo(torch.float64)
        rest = rest.clamp(limits.tiny, 1 - limits.eps / 2)  # rounding may give 0 or 1
        quantile = torch.special.ndtri(rest).to(params.dtype)
        return pick(mean) + (self.min_scale + pick(log_scale).exp()) * math.sqrt(temperature) * quantile

    def outside_support(self, x: Tensor) -> Tensor:
        """NaN and infinities."""
        return ~x.isfinite()


@dataclass(frozen=True)
class DiscretizedLogistic(Categorical):
    r"""Bounded counts 0, .., k-1 whose order means something, such as grey levels: a mixture of logistics, rounded.

    .. math::
        p(x = c) = \sum_{m} \pi_m \left[ \sigma\!\left(\frac{z_c + h - \mu_m}{s_m}\right)
        - \sigma\!\left(\frac{z_c - h - \mu_m}{s_m}\right) \right], \qquad
        z_c = \frac{2c}{k - 1} - 1, \quad h = \frac{1}{k - 1}

    The level c stands for the interval of width 2h around z_c; the first and the last level take the tails as well.
    The raw outputs are the logits, the means and the log-scales of the components. The network sees the number z.

    Args:
        k: number of levels, at least 2.
        components: number of logistics.
        min_scale: the floor of each scale s, above 0.

    Raises:
        ValueError: an argument is out of range.

    References:
        Salimans et al., PixelCNN++, 2017, equation 2, arXiv:1701.05517.

    Example:
        >>> likelihood = DiscretizedLogistic(17, components=1)
        >>> likelihood.log_masses(torch.zeros(3)).exp().sum()
        tensor(1.)
    """

    components: int = 5
    min_scale: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        components = integer("components", self.components, minimum=1)
        self._store(components=components, n_params=3 * components, n_inputs=1)
        self._store(min_scale=positive("min_scale", self.min_scale))

    def log_mass(self, params: Tensor, level: Tensor) -> Tensor:
        r"""Log-probability of a level, shape (...), for params (..., 3 components).

        Stable by :math:`\sigma(b) - \sigma(a) = \sigma(b)\, \sigma(-a)\, (1 - e^{a - b})`.
        """
        logits, mean, log_scale = params.unflatten(-1, (3, self.components)).unbind(-2)
        level = level.to(params.dtype).unsqueeze(-1)
        z, h, scale = 2 * level / (self.k - 1) - 1, 1 / (self.k - 1), self.min_scale + log_scale.exp()
        below, above = level > 0, level < self.k - 1  # the ends have only one neighbour
        log_mass = above * F.logsigmoid((z + h - mean) / scale) + below * F.logsigmoid((mean - z + h) / scale)
        log_mass = log_mass + torch.where(above & below, torch.log(-torch.expm1(-2 * h / scale)), 0.0)
        return (logits.log_softmax(-1) + log_mass).logsumexp(-1)

    def log_masses(self, params: Tensor) -> Tensor:
        """Log-probability of every level: (..., 3 components) to (..., k)."""
        return self.log_mass(params.unsqueeze(-2), torch.arange(self.k, device=params.device))

    def log_conditionals(self, params: Tensor, x: Tensor) -> Tensor:
        """As for every likelihood, but without computing the levels that are not asked for."""
        return self.log_mass(params, x)

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Categorical:
        """Categorical over the k levels."""
        return super().distribution(self.log_masses(params), validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """As for a categorical variable with these log-probabilities."""
        return super().sample(self.log_masses(params), u, temperature)

    def encode(self, x: Tensor) -> Tensor:
        """The number z between -1 and 1."""
        return (2 * x / (self.k - 1) - 1).unsqueeze(-1)


@dataclass(frozen=True)
class Columns(Likelihood):
    r"""A table with columns of several kinds: one likelihood per variable.

    .. math:: \log p(x) = \sum_{i=1}^{D} \log p_i(x_i \mid \text{params}_i)

    Every variable is given the same number of inputs and of raw outputs, those of its widest fellow; what a column
    does not need stays unused.

    Args:
        columns: D likelihoods, each for one variable.
        n_inputs: E, at least what the widest column needs, which is the default.
        n_params: K, likewise.

    Raises:
        TypeError: a column is no likelihood for any variable.

    Example:
        >>> likelihood = Columns([Bernoulli(), Categorical(3)])
        >>> likelihood.log_prob(torch.zeros(2, 3), torch.tensor([1.0, 2.0]))  # log(1/2) + log(1/3)
        tensor(-1.7918)
        >>> likelihood.check(torch.tensor([1.0, 3.0]))
        Traceback (most recent call last):
        ValueError: x must be a whole number from 0 to 2 for Columns(columns=(Categorical(k=3),)), got 3.0 at ...
    """

    columns: Sequence[Likelihood]
    n_inputs: int = field(default=0, repr=False)
    n_params: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        columns = tuple(self.columns) if isinstance(self.columns, Sequence) else ()
        if not columns or not all(isinstance(c, Likelihood) and c.n_features is None for c in columns):
            raise TypeError(f"columns must be likelihoods such as made.Gaussian(), at least one, got {self.columns}")
        sizes = [column.n_states for column in columns]
        self._store(
            columns=columns,
            n_features=len(columns),
            n_inputs=max(self.n_inputs, *(column.n_inputs for column in columns)),
            n_params=max(self.n_params, *(column.n_params for column in columns)),
            n_states=None if None in sizes else max(sizes),  # type: ignore[type-var]
            support=", ".join(dict.fromkeys(column.support for column in columns)),
        )

    def select(self, variables: Sequence[int]) -> Columns:
        """The columns of some of the variables, as wide as before."""
        return Columns([self.columns[i] for i in variables], self.n_inputs, self.n_params)

    def shared(self) -> dict[Likelihood, list[int]]:
        """Which variables share a likelihood: for each different likelihood, the indices of its columns."""
        shared: dict[Likelihood, list[int]] = {}
        for i, column in enumerate(self.columns):
            shared.setdefault(column, []).append(i)
        return shared

    def each(self, function: Callable[[Likelihood, list[int]], Tensor], dim: int = -1) -> Tensor:
        """Apply a function to all columns that share a likelihood; its results, in the order of the variables.

        Args:
            function: from a likelihood and the indices of its variables to a tensor with as many entries along ``dim``.
            dim: along which the variables lie.
        """
        shared = self.shared()
        joined = torch.cat([function(column, variables) for column, variables in shared.items()], dim)
        order = [i for variables in shared.values() for i in variables]
        return joined.index_select(dim, torch.tensor(order, device=joined.device).argsort())

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Distribution:
        """The distributions of all columns as one."""
        return ColumnsDistribution(self, params, validate_args)

    def log_conditionals(self, params: Tensor, x: Tensor) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda column, v: column.log_conditionals(params[..., v, : column.n_params], x[..., v]))

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda column, v: column.sample(params[..., v, : column.n_params], u[..., v], temperature))

    def outside_support(self, x: Tensor) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda column, v: column.outside_support(x[..., v]))

    def encode(self, x: Tensor) -> Tensor:
        """Every column by its own rule, filled up with zeros: shape (..., D, E)."""

        def filled(column: Likelihood, v: list[int]) -> Tensor:
            return F.pad(column.encode(x[..., v]), (0, self.n_inputs - column.n_inputs))

        return self.each(filled, dim=-2)


class ColumnsDistribution(distributions.Distribution):
    """What ``Columns`` hands out: a distribution of batch shape (..., D) whose variables are of several kinds.

    Args:
        likelihood: the columns.
        params: raw outputs, shape (..., D, K).
        validate_args: as in ``torch.distributions``.

    Example:
        >>> Columns([Bernoulli(), Categorical(3)]).distribution(torch.zeros(2, 3)).log_prob(torch.zeros(2)).exp()
        tensor([0.5000, 0.3333])
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, likelihood: Columns, params: Tensor, validate_args: bool | None = None) -> None:
        self.likelihood, self.dtype = likelihood, params.dtype
        self.parts = {
            column: column.distribution(params[..., variables, : column.n_params], validate_args)
            for column, variables in likelihood.shared().items()
        }
        super().__init__(params.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of each variable, shape (..., D)."""
        return self.likelihood.each(lambda column, variables: self.parts[column].log_prob(value[..., variables]))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every variable from its own distribution, with the global generator."""
        return self.likelihood.each(lambda column, _: self.parts[column].sample(sample_shape).to(self.dtype))


def to_config(likelihood: Likelihood) -> dict[str, Any]:
    """Describe a likelihood, a dataclass, in plain data: its name and its arguments.

    Example:
        >>> to_config(Categorical(3))
        {'name': 'Categorical', 'k': 3}
    """
    values = {f.name: getattr(likelihood, f.name) for f in fields(likelihood)}  # type: ignore[arg-type]
    if isinstance(likelihood, Columns):
        values["columns"] = [to_config(column) for column in likelihood.columns]
    return {"name": type(likelihood).__name__, **values}


def from_config(config: dict[str, Any]) -> Likelihood:
    """Make the likelihood that :func:`to_config` described.

    Raises:
        KeyError: no likelihood of the package has that name.

    Example:
        >>> from_config({"name": "Categorical", "k": 3})
        Categorical(k=3)
    """
    values = {name: value for name, value in config.items() if name != "name"}
    if "columns" in values:
        values["columns"] = [from_config(column) for column in values["columns"]]
    return {one.__name__: one for one in LIKELIHOODS}[config["name"]](**values)


LIKELIHOODS = (Bernoulli, Categorical, Columns, DiscretizedLogistic, Gaussian, MixtureOfGaussians)
