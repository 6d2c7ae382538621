"""Likelihoods: turn the raw outputs of a network into a probability for every variable.

A network knows nothing of probabilities. It hands over K raw numbers per variable, shape (..., D, K), and a likelihood
says what they mean: logits, means, scales.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributions
from torch.nn import functional as F

from made.checks import integer, positive, tensor

__all__ = ["Bernoulli", "Categorical", "Columns", "DiscretizedLogistic", "Gaussian", "Likelihood", "MixtureOfGaussians"]
__all__ += ["LIKELIHOODS", "ColumnsDistribution", "Group", "Scaled", "bounded", "log_normal", "moments"]
__all__ += ["normal_quantile"]


def bounded(values: Tensor, power: float) -> Tensor:
    """Values as they are, up to a power of the largest number of their dtype; beyond it they saturate.

    Example:
        >>> bounded(torch.tensor([1.5, -3e38]), 0.25)
        tensor([ 1.5000e+00, -4.2950e+09])
    """
    limit = torch.finfo(values.dtype).max ** power
    return values.clamp(-limit, limit)


def log_normal(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    r"""Log-density of a normal distribution, finite and with finite slopes for all finite numbers.

    .. math:: \log \mathcal{N}(x \mid \mu, \sigma^2) = -\tfrac12 z^2 - \log \sigma - \tfrac12 \log 2\pi,
        \qquad z = (x - \mu) / \sigma

    So far out that the density is zero in any floating point, from 4e9 standard deviations on in float32, z saturates.

    Example:
        >>> log_normal(torch.tensor([0.0, 3e38]), torch.tensor(0.0), torch.tensor(1.0))
        tensor([-9.1894e-01, -9.2234e+18])
    """
    half = bounded(x / 2 - mean / 2, 0.75)  # the difference itself may be too large a number
    z = bounded(half / (scale / 2), 0.25)
    return -0.5 * z.square() - scale.log() - 0.5 * math.log(2 * math.pi)


def normal_quantile(u: Tensor, dtype: torch.dtype) -> Tensor:
    """The value below which a standard normal variable falls with probability u, finite for every u in [0, 1].

    Example:
        >>> normal_quantile(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), torch.float32)
        tensor([-37.5194,   0.0000,   8.2095])
    """
    limits = torch.finfo(torch.float64)
    return torch.special.ndtri(u.double().clamp(limits.tiny, 1 - limits.eps / 2)).to(dtype)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the known values of each column: (N, D) to twice (D,).

    Example:
        >>> moments(torch.tensor([[1.0, 2.0], [3.0, float("nan")]]))
        (tensor([2., 2.]), tensor([1., 0.]))
    """
    precise = x.double()
    mean = precise.nanmean(0)
    return mean.to(x.dtype), bounded((precise - mean).square().nanmean(0).sqrt(), 0.75).to(x.dtype)


class Likelihood(ABC):
    """What every likelihood can do.

    A likelihood of one's own is a subclass decorated with ``@dataclass(frozen=True)``, whose fields are numbers, texts
    or the like. It gives ``n_params``, ``support``, ``distribution``, ``sample`` and ``outside_support``, and whatever
    else differs from here. Where the class is defined, models that use it are loaded.

    Attributes:
        n_params: K, raw numbers per variable that the network must produce.
        n_inputs: E, numbers that encode one variable as network input.
        n_states: size of the support {0, .., n_states - 1}, or None if it is not finite.
        n_features: D if the likelihood is made for a certain number of variables, else None.
        support: the support in words, for error messages.
        placeholder: a value in the support, which stands where none is known.
    """

    n_params: int
    n_inputs: int = 1
    n_states: int | None = None
    n_features: int | None = None
    support: str
    placeholder: float = 0.0

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

    def inputs(self, x: Tensor) -> Tensor:
        """Network input for x (..., D), the variables one after the other: shape (..., sum of their E)."""
        return self.encode(x).flatten(-2)

    def sizes(self, n_features: int) -> tuple[list[int], list[int]]:
        """How many network inputs, and how many raw outputs, each of D variables has: E and K, D times."""
        return [self.n_inputs] * n_features, [self.n_params] * n_features

    def unflatten(self, params: Tensor, n_features: int) -> Tensor:
        """Raw outputs of D variables one after the other, (..., D * K), in the shape this likelihood takes."""
        return params.unflatten(-1, (n_features, self.n_params))

    def take(self, params: Tensor, variables: Sequence[int]) -> Tensor:
        """The raw outputs of some variables, in the shape that ``select(variables)`` takes."""
        return params[..., variables, :]

    def sample_one(self, params: Tensor, variable: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """In every row the value of one variable, not the same in all rows.

        Args:
            params: raw outputs, shape (n, D, K).
            variable: which variable, shape (n,).
            u: as in :meth:`sample`, shape (n,).
            temperature: as in :meth:`sample`.
        """
        chosen = params[torch.arange(len(params), device=params.device), variable]
        return self.sample(chosen.unsqueeze(-2), u.unsqueeze(-1), temperature).squeeze(-1)

    def filled(self, x: Tensor) -> Tensor:
        """The same values with the placeholder wherever there is NaN."""
        return torch.where(x.isnan(), self.placeholder, x)

    def start(self, x: Tensor) -> Tensor:
        """Raw outputs that describe each column of x on its own, from which training may start. Here zeros.

        Args:
            x: rows, shape (N, D), NaN where a value is missing; every column has a value.

        Returns:
            The raw outputs of all variables, one after the other: shape (D * K,).
        """
        return x.new_zeros(sum(self.sizes(x.shape[1])[1]))

    def check_dtype(self, dtype: torch.dtype) -> None:
        """Refuse a dtype that cannot tell all values of a finite support apart.

        Raises:
            TypeError: it has too few digits.

        Example:
            >>> Categorical(260).check_dtype(torch.bfloat16)
            Traceback (most recent call last):
            TypeError: torch.bfloat16 holds the whole numbers from 0 to 256 only, too few for Categorical(k=260)
        """
        largest = int(2 / torch.finfo(dtype).eps)
        if self.n_states is not None and self.n_states - 1 > largest:
            raise TypeError(f"{dtype} holds the whole numbers from 0 to {largest} only, too few for {self}")

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

    def check_rows(self, x: object, n_features: int, dtype: torch.dtype, name: str = "x") -> Tensor:
        """Refuse anything but rows (..., D) with values in the support; return them as a tensor.

        Args:
            x: a tensor of the dtype, or an array, a DataFrame or a list whose numbers it can hold.
            n_features: number of variables D.
            dtype: of the model.
            name: of the argument, for the message.

        Raises:
            TypeError: x is none of these, or a tensor of another dtype.
            ValueError: another width, or a value outside the support.
        """
        x = tensor(name, x, dtype)
        if x.dim() == 0 or x.shape[-1] != n_features:
            raise ValueError(f"{name} must have shape (..., {n_features}), got {tuple(x.shape)}")
        self.check(x, name)
        return x


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
        return torch.sigmoid(params.squeeze(-1) / temperature).gt_(u)

    def start(self, x: Tensor) -> Tensor:
        r"""The log-odds of the values of each column, after one more row of zeros and one of ones.

        .. math:: b_i = \log \frac{N_i(1) + 1}{N_i(0) + 1}
        """
        zeros, ones = ((x == value).to(x.dtype).sum(0) + 1 for value in (0, 1))
        return (ones / zeros).log()

    def outside_support(self, x: Tensor) -> Tensor:
        """Anything but 0 and 1."""
        return (x != 0) & (x != 1)

    def check(self, x: Tensor, name: str = "x") -> None:
        """As for every likelihood, but first a fast look at x - x^2, which is 0 for 0 and 1 and for nothing else."""
        if not x.is_floating_point() or not x.numel() or any(torch.addcmul(x, x, x, value=-1).aminmax()):
            super().check(x, name)


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
        precise = torch.promote_types(params.dtype, torch.float32)
        logits = params.to(precise) - params.amax(-1, keepdim=True)  # or a tiny temperature would make them infinite
        cumulative = torch.softmax(logits / temperature, -1).cumsum(-1)[..., :-1]
        return (u.unsqueeze(-1) >= cumulative).sum(-1).to(params.dtype)

    def start(self, x: Tensor) -> Tensor:
        r"""The logarithms of the frequencies in each column, after one more row of every value.

        .. math:: b_{ic} = \log \frac{N_i(c) + 1}{N_i + k}
        """
        return (self.encode(x).sum(0) + 1).log().log_softmax(-1).flatten()

    def outside_support(self, x: Tensor) -> Tensor:
        """Anything but a whole number from 0 to k-1."""
        return ~((x >= 0) & (x < self.k) & (x == x.floor()))

    def encode(self, x: Tensor) -> Tensor:
        """One-hot indicators, shape (..., D, k)."""
        return (x.unsqueeze(-1) == torch.arange(self.k, device=x.device)).to(x.dtype)


class Scaled(Likelihood):
    r"""What likelihoods with a scale share: how a raw output s becomes one.

    .. math:: \sigma = \sigma_{\min} + \log(1 + e^{s})

    For s far below 0 this is :math:`e^s`, so small scales are as easy to learn as with an exponential. For s far above
    0 it is s: a raw output that is a little off never makes a scale that is off by orders of magnitude. A density has
    no upper bound: without the lower bound a network could place an infinitely thin peak on a repeated value.

    Attributes:
        min_scale: the lower bound, above 0.
        scale_map: "softplus" as above, or "exp" for :math:`\sigma_{\min} + e^{s}`, as in version 0.1.0.

    Raises:
        ValueError: min_scale is not a positive number, or scale_map is another.

    Example:
        >>> Gaussian(min_scale=0.5).scale(torch.tensor([-100.0, 0.0, 100.0]))
        tensor([  0.5000,   1.1931, 100.5000])
    """

    min_scale: float
    scale_map: str

    def __post_init__(self) -> None:
        self._store(min_scale=positive("min_scale", self.min_scale))
        if self.scale_map not in ("softplus", "exp"):
            raise ValueError(f'scale_map must be "softplus" or "exp", got {self.scale_map!r}')

    def scale(self, raw: Tensor) -> Tensor:
        """Scales from raw outputs, of any shape."""
        if self.scale_map == "softplus":
            return self.min_scale + F.softplus(raw)
        return self.min_scale + raw.clamp(max=math.log(torch.finfo(raw.dtype).max) / 2).exp()

    def raw(self, scale: Tensor) -> Tensor:
        """Raw outputs from scales, the inverse of :meth:`scale`; from twice the bound where a scale is smaller."""
        excess = (scale - self.min_scale).clamp(min=self.min_scale)
        return excess + torch.log(-torch.expm1(-excess)) if self.scale_map == "softplus" else excess.log()

    def at_quantiles(self, x: Tensor, k: int, narrowest: float | Tensor, share: float) -> Tensor:
        """Raw outputs (D, 3k) of k equal components that lie at quantiles of each column of x, (N, D).

        Each is as wide as a share of the values it stands for, and not narrower than ``narrowest``.
        """
        at = lambda q: torch.stack([column.nanquantile(q.to(x)) for column in x.T])
        means, edges = (
            at((torch.arange(k, device="cpu") + 0.5) / k),
            at(torch.linspace(0.02, 0.98, k + 1, device="cpu")),
        )
        widths = edges.diff() * share / (4 if k == 1 else 1)
        return torch.cat([torch.zeros_like(means), means, self.raw(widths.clamp(min=narrowest))], 1)


@dataclass(frozen=True)
class Gaussian(Scaled):
    r"""Real variables; the raw outputs are the mean and, before its map, the standard deviation.

    .. math::
        -\log p(x) = \tfrac12 \log(2 \pi \sigma^2) + \frac{(x - \mu)^2}{2 \sigma^2}, \qquad
        \sigma = \sigma_{\min} + \log(1 + e^{s})

    The network sees a value as it is, up to 4e11 in float32 (the 0.3th power of the dtype's largest number).

    Args:
        min_scale: the lower bound of the standard deviation, above 0.
        scale_map: "softplus", or "exp" as in version 0.1.0.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> likelihood = Gaussian()
        >>> standard = torch.tensor([[0.0, math.log(math.expm1(1 - 1e-3))]])
        >>> likelihood.log_prob(standard, torch.zeros(1))  # -log(2 pi) / 2
        tensor(-0.9189)
    """

    min_scale: float = 1e-3
    scale_map: str = field(default="softplus", repr=False)
    n_params = 2
    support = "a finite number"

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Distribution:
        """Normal with the given means and scales."""
        mean, raw = params.unbind(-1)
        return distributions.Normal(mean, self.scale(raw), validate_args=validate_args)

    def log_conditionals(self, params: Tensor, x: Tensor) -> Tensor:
        """As for every likelihood, but finite whatever the numbers."""
        mean, raw = params.unbind(-1)
        return log_normal(x, mean, self.scale(raw))

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Mean plus scale times the normal quantile of u; the temperature multiplies the variance."""
        mean, raw = params.unbind(-1)
        drawn = mean + self.scale(raw) * math.sqrt(temperature) * normal_quantile(u, params.dtype)
        return bounded(drawn, 1)

    def start(self, x: Tensor) -> Tensor:
        """The mean and the standard deviation of each column."""
        mean, std = moments(x)
        return torch.stack([mean, self.raw(std)], 1).flatten()

    def outside_support(self, x: Tensor) -> Tensor:
        """NaN and infinities."""
        return ~x.isfinite()

    def encode(self, x: Tensor) -> Tensor:
        """The values as they are, up to a limit: shape (..., D, 1)."""
        return bounded(x, 0.3).unsqueeze(-1)


@dataclass(frozen=True)
class MixtureOfGaussians(Scaled):
    r"""Real variables with several peaks; the raw outputs are k logits, then k means, then k scales before their map.

    .. math::
        p(x) = \sum_{c=1}^{k} \pi_c\, \mathcal{N}(x \mid \mu_c, \sigma_c^2), \qquad
        \pi = \mathrm{softmax}(a), \quad \sigma_c = \sigma_{\min} + \log(1 + e^{s_c})

    Args:
        k: number of components, at least 1.
        min_scale: the lower bound of each standard deviation, above 0.
        scale_map: "softplus", or "exp" as in version 0.1.0.

    Raises:
        ValueError: an argument is out of range.

    References:
        Uria, Murray, Larochelle, RNADE: The real-valued neural autoregressive density-estimator, 2013,
        arXiv:1306.0186.

    Example:
        >>> likelihood = MixtureOfGaussians(2)
        >>> likelihood.n_params
        6
        >>> one = math.log(math.expm1(1 - 1e-3))
        >>> likelihood.log_prob(torch.tensor([[0, 0, 0, 0, one, one]]), torch.zeros(1))  # -log(2 pi) / 2
        tensor(-0.9189)
    """

    k: int
    min_scale: float = 1e-3
    scale_map: str = field(default="softplus", repr=False)
    support = "a finite number"

    def __post_init__(self) -> None:
        super().__post_init__()
        k = integer("k", self.k, minimum=1)  # each component has a logit, a mean and a scale
        self._store(k=k, n_params=3 * k)

    def components(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means and scales, each of shape (..., D, k), of raw outputs (..., D, K)."""
        logits, mean, raw = params.unflatten(-1, (3, self.k)).unbind(-2)
        return bounded(logits, 0.375), mean, self.scale(raw)

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.MixtureSameFamily:
        """Mixture with the given logits, means and scales."""
        logits, mean, scale = self.components(params)
        components = distributions.Normal(mean, scale, validate_args=validate_args)
        weights = distributions.Categorical(logits=logits, validate_args=validate_args)
        return distributions.MixtureSameFamily(weights, components, validate_args=validate_args)

    def log_conditionals(self, params: Tensor, x: Tensor) -> Tensor:
        """As for every likelihood, but finite whatever the numbers."""
        logits, mean, scale = self.components(params)
        return (logits.log_softmax(-1) + log_normal(x.unsqueeze(-1), mean, scale)).logsumexp(-1)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Choose a component by u; what is left of u within it is uniform again and gives the normal quantile.

        The temperature divides the logits and multiplies the variances.
        """
        logits, mean, scale = self.components(params)
        p = torch.softmax(logits.double() / temperature, -1)
        upto = p.cumsum(-1)
        total = upto[..., -1]  # rounding may leave it a little below 1, and a last p of 0 must not be chosen
        u = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
        chosen = (u.unsqueeze(-1) >= upto[..., :-1]).sum(-1, keepdim=True)
        pick = lambda values: values.gather(-1, chosen).squeeze(-1)
        quantile = normal_quantile((u - pick(upto - p)) / pick(p), params.dtype)  # rounding may give 0 or 1
        return bounded(pick(mean) + pick(scale) * math.sqrt(temperature) * quantile, 1)

    def start(self, x: Tensor) -> Tensor:
        """Equal components at quantiles of each column, a tenth of its standard deviation wide or more."""
        return self.at_quantiles(x, self.k, 0.1 * moments(x)[1].unsqueeze(1), 1).flatten()

    outside_support, encode = Gaussian.outside_support, Gaussian.encode


@dataclass(frozen=True)
class DiscretizedLogistic(Scaled, Categorical):
    r"""Bounded counts 0, .., k-1 whose order means something, such as grey levels: a mixture of logistics, rounded.

    .. math::
        p(x = c) = \sum_{m} \pi_m \left[ \sigma\!\left(\frac{z_c + h - \mu_m}{s_m}\right)
        - \sigma\!\left(\frac{z_c - h - \mu_m}{s_m}\right) \right], \qquad
        z_c = \frac{2c}{k - 1} - 1, \quad h = \frac{1}{k - 1}

    The level c stands for the interval of width 2h around z_c; the first and the last level take the tails as well.
    The raw outputs are the logits, the means and, before their map, the scales s of the components. The network sees
    the number z.

    Args:
        k: number of levels, at least 2.
        components: number of logistics.
        min_scale: the lower bound of each scale, above 0.
        scale_map: "softplus", or "exp" as in version 0.1.0.

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
    scale_map: str = field(default="softplus", repr=False)

    def __post_init__(self) -> None:
        Categorical.__post_init__(self)
        Scaled.__post_init__(self)
        components = integer("components", self.components, minimum=1)
        self._store(components=components, n_params=3 * components, n_inputs=1)

    def log_mass(self, params: Tensor, level: Tensor) -> Tensor:
        r"""Log-probability of a level, shape (...), for params (..., 3 components).

        Stable by :math:`\sigma(b) - \sigma(a) = \sigma(b)\, \sigma(-a)\, (1 - e^{a - b})`.
        """
        params = params.to(torch.promote_types(params.dtype, torch.float32))  # bfloat16 would merge levels
        logits, mean, raw = params.unflatten(-1, (3, self.components)).unbind(-2)
        level, logits, mean = level.to(params.dtype).unsqueeze(-1), bounded(logits, 0.375), bounded(mean, 0.375)
        z, h, scale = 2 * level / (self.k - 1) - 1, 1 / (self.k - 1), self.scale(bounded(raw, 0.375))
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
        return Categorical.distribution(self, self.log_masses(params), validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """As for a categorical variable with these log-probabilities."""
        return Categorical.sample(self, self.log_masses(params), u, temperature).to(params.dtype)

    def start(self, x: Tensor) -> Tensor:
        """Equal components at quantiles of each column, half as wide as its part or wider."""
        return self.at_quantiles(self.encode(x).squeeze(-1), self.components, 1 / (self.k - 1), 0.5).flatten()

    def encode(self, x: Tensor) -> Tensor:
        """The number z between -1 and 1."""
        return (2 * x / (self.k - 1) - 1).unsqueeze(-1)


class Group(NamedTuple):
    """Columns of one table that share a likelihood.

    ``variables`` are their indices. ``inputs`` are the places of their network inputs in a flat row, shape (variables,
    E), and ``params`` those of their raw outputs, shape (variables, K).
    """

    likelihood: Likelihood
    variables: list[int]
    inputs: Tensor
    params: Tensor

    def of(self, params: Tensor) -> Tensor:
        """The raw outputs of these columns, (..., variables, K), out of those of all, one after the other."""
        places = self.params.to(params.device)
        return params.index_select(-1, places.flatten()).unflatten(-1, places.shape)


@dataclass(frozen=True)
class Columns(Likelihood):
    r"""A table with columns of several kinds: one likelihood per variable.

    .. math:: \log p(x) = \sum_{i=1}^{D} \log p_i(x_i \mid \text{params}_i)

    Every variable has as many inputs and raw outputs as its own likelihood needs. They stand one after the other: the
    raw outputs of a row have shape (..., K) with K the sum over all columns, and encoded rows likewise.

    Args:
        columns: D likelihoods, each for one variable.

    Raises:
        TypeError: a column is no likelihood for any variable.

    Example:
        >>> likelihood = Columns([Bernoulli(), Categorical(3)])
        >>> likelihood.log_prob(torch.zeros(4), torch.tensor([1.0, 2.0]))  # log(1/2) + log(1/3)
        tensor(-1.7918)
        >>> likelihood.check(torch.tensor([1.0, 3.0]))
        Traceback (most recent call last):
        ValueError: x must be a whole number from 0 to 2 for Columns(columns=(Categorical(k=3),)), got 3.0 at ...
    """

    columns: Sequence[Likelihood]

    def __post_init__(self) -> None:
        columns = tuple(self.columns) if isinstance(self.columns, Sequence) else ()
        if not columns or not all(isinstance(c, Likelihood) and c.n_features is None for c in columns):
            raise TypeError(f"columns must be likelihoods such as made.Gaussian(), at least one, got {self.columns}")
        states = [column.n_states for column in columns]
        self._store(
            columns=columns,
            n_features=len(columns),
            n_inputs=sum(column.n_inputs for column in columns),
            n_params=sum(column.n_params for column in columns),
            n_states=None if None in states else max(states),  # type: ignore[type-var]
            support=", ".join(dict.fromkeys(column.support for column in columns)),
        )

    def sizes(self, n_features: int) -> tuple[list[int], list[int]]:
        """How many inputs and raw outputs each column has of its own."""
        return [column.n_inputs for column in self.columns], [column.n_params for column in self.columns]

    @cached_property
    def groups(self) -> list[Group]:
        """The columns by likelihood: most tables have many columns and few kinds."""
        sharing: dict[Likelihood, list[int]] = {}
        for i, column in enumerate(self.columns):
            sharing.setdefault(column, []).append(i)
        E, K = (torch.tensor([0, *accumulate(sizes)], device="cpu") for sizes in self.sizes(len(self.columns)))
        places = lambda starts, v, n: starts[v].unsqueeze(1) + torch.arange(n, device="cpu")
        return [Group(c, v, places(E, v, c.n_inputs), places(K, v, c.n_params)) for c, v in sharing.items()]

    def each(self, function: Callable[[Group], Tensor], places: Callable[[Group], Tensor] | None = None) -> Tensor:
        """Apply a function to every group of columns that share a likelihood, and bring the results in order.

        Args:
            function: from a group to a tensor (..., n), whose last dimension lies in the order of ``places``.
            places: from a group to the n places its results have in a row; default: one per variable.
        """
        joined = torch.cat([function(group) for group in self.groups], -1)
        if len(self.groups) == 1:
            return joined
        taken = [torch.as_tensor(group.variables, device="cpu") if places is None else places(group).flatten()
                 for group in self.groups]  # fmt: skip
        return joined.index_select(-1, torch.cat(taken).argsort().to(joined.device))

    def inputs(self, x: Tensor) -> Tensor:
        """Network input, every column encoded by its own rule, one after the other: shape (..., sum of their E)."""
        return self.each(lambda g: g.likelihood.inputs(x[..., g.variables]), lambda g: g.inputs)

    encode = inputs

    def unflatten(self, params: Tensor, n_features: int) -> Tensor:
        """The raw outputs as they are: columns of different widths have no common shape."""
        return params

    def take(self, params: Tensor, variables: Sequence[int]) -> Tensor:
        """The raw outputs of some columns, one after the other."""
        parts = params.split(self.sizes(len(self.columns))[1], -1)
        return torch.cat([parts[i] for i in variables], -1)

    def select(self, variables: Sequence[int]) -> Columns:
        """The columns of some of the variables."""
        return Columns([self.columns[i] for i in variables])

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Distribution:
        """The distributions of all columns as one."""
        return ColumnsDistribution(self, params, validate_args)

    def log_conditionals(self, params: Tensor, x: Tensor) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda g: g.likelihood.log_conditionals(g.of(params), x[..., g.variables]))

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda g: g.likelihood.sample(g.of(params), u[..., g.variables], temperature))

    def sample_one(self, params: Tensor, variable: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """In every row the value of one column, not the same in all rows: params (n, K), u and variable (n,)."""
        values = params.new_empty(len(params))
        for g in self.groups:
            rows, nth = (variable.unsqueeze(1) == torch.tensor(g.variables, device=variable.device)).nonzero().T
            chosen = params[rows.unsqueeze(1), g.params.to(params.device)[nth]]
            drawn = g.likelihood.sample(chosen.unsqueeze(-2), u[rows].unsqueeze(-1), temperature)
            values[rows] = drawn.squeeze(-1)
        return values

    def start(self, x: Tensor) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda g: g.likelihood.start(x[..., g.variables]), lambda g: g.params)

    def filled(self, x: Tensor) -> Tensor:
        """Every column with its own placeholder."""
        return self.each(lambda g: g.likelihood.filled(x[..., g.variables]))

    def check_dtype(self, dtype: torch.dtype) -> None:
        """Refuse a dtype in which values of some column would merge."""
        for group in self.groups:
            group.likelihood.check_dtype(dtype)

    def outside_support(self, x: Tensor) -> Tensor:
        """Every column by its own rule."""
        return self.each(lambda g: g.likelihood.outside_support(x[..., g.variables]))


class ColumnsDistribution(distributions.Distribution):
    """What ``Columns`` hands out: a distribution of batch shape (..., D) whose variables are of several kinds.

    Args:
        likelihood: the columns.
        params: raw outputs, shape (..., K).
        validate_args: as in ``torch.distributions``.

    Example:
        >>> Columns([Bernoulli(), Categorical(3)]).distribution(torch.zeros(4)).log_prob(torch.zeros(2)).exp()
        tensor([0.5000, 0.3333])
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, likelihood: Columns, params: Tensor, validate_args: bool | None = None) -> None:
        self.likelihood, self.dtype = likelihood, params.dtype
        self.parts = [g.likelihood.distribution(g.of(params), validate_args) for g in likelihood.groups]
        super().__init__(torch.Size((*params.shape[:-1], len(likelihood.columns))), validate_args=False)

    def each(self, function: Callable[[distributions.Distribution, Group], Tensor]) -> Tensor:
        """Apply a function to the distribution of every group, and bring the results in order."""
        return self.likelihood.each(lambda g: function(self.parts[self.likelihood.groups.index(g)], g))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of each variable, shape (..., D)."""
        return self.each(lambda part, group: part.log_prob(value[..., group.variables]))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw every variable from its own distribution, with the global generator."""
        return self.each(lambda part, _: part.sample(sample_shape).to(self.dtype))


LIKELIHOODS = (Bernoulli, Categorical, Columns, DiscretizedLogistic, Gaussian, MixtureOfGaussians)
