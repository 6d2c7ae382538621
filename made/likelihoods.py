"""Likelihoods: turn the raw outputs of a network into a probability for every variable.

A network knows nothing of probabilities. It hands over K raw numbers per variable, shape (..., D, K), and a likelihood
says what they mean: logits, means, log-scales.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, distributions
from torch.nn import functional as F

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Likelihood"]


class Likelihood:
    """What every likelihood can do. Subclasses give ``distribution``, ``sample`` and ``violations``.

    Attributes:
        n_params: K, raw numbers per variable that the network must produce.
        n_inputs: E, numbers that encode one variable as network input.
        n_states: size of the support {0, .., n_states - 1}, or None if it is not finite.
        support: the support in words, for error messages.
    """

    n_params: int
    n_inputs: int = 1
    n_states: int | None = None
    support: str

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Distribution:
        """Distribution of each variable: params (..., D, K) give batch shape (..., D)."""
        raise NotImplementedError

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Turn uniforms u in (0, 1), shape (..., D), into values by inverting each cumulative distribution.

        A temperature below 1 sharpens every conditional, above 1 flattens it; 1 samples the distribution itself.
        """
        raise NotImplementedError

    def violations(self, x: Tensor) -> Tensor:
        """True where a value is outside the support; bool, same shape as x."""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Tensor:
        """Network input for x (..., D): shape (..., D, E). Here the values as they are."""
        return x.unsqueeze(-1)

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
        return self.distribution(params, validate_args=False).log_prob(x).sum(-1)  # x was checked above

    def check(self, x: Tensor, name: str = "x") -> None:
        """Refuse values outside the support, NaN included.

        Raises:
            ValueError: names the support, the first offending value and its place.
        """
        bad = self.violations(x)
        if bad.any():
            place = tuple(bad.nonzero()[0].tolist())
            raise ValueError(f"{name} must be {self.support} for {self}, got {x[place].item()} at position {place}")

    def check_rows(self, x: object, n_features: int, dtype: torch.dtype, name: str = "x") -> None:
        """Refuse anything but a tensor (..., D) of the given dtype with values in the support.

        Raises:
            TypeError: no tensor, or one of another dtype.
            ValueError: another width, or a value outside the support.
        """
        if not isinstance(x, Tensor) or x.dtype != dtype:
            what = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"{name} must be a tensor of the model's dtype {dtype}, got {what}")
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

    def violations(self, x: Tensor) -> Tensor:
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
        if not isinstance(self.k, int) or self.k < 2:
            raise ValueError(f"k must be an int of at least 2, got {self.k!r}")

    @property
    def n_params(self) -> int:  # type: ignore[override]
        """One logit per value."""
        return self.k

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        """One indicator per value."""
        return self.k

    @property
    def n_states(self) -> int:  # type: ignore[override]
        """Number of values."""
        return self.k

    @property
    def support(self) -> str:  # type: ignore[override]
        """The support in words."""
        return f"a whole number from 0 to {self.k - 1}"

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Categorical:
        """Categorical with the given logits."""
        return distributions.Categorical(logits=params, validate_args=validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """The number of cumulative probabilities that u has reached; the last, 1, can never be reached."""
        cumulative = torch.softmax(params / temperature, -1).cumsum(-1)[..., :-1]
        return (u.unsqueeze(-1) >= cumulative).sum(-1).to(params.dtype)

    def violations(self, x: Tensor) -> Tensor:
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
        if not 0 < self.min_scale < math.inf:
            raise ValueError(f"min_scale must be a positive number, got {self.min_scale!r}")

    def distribution(self, params: Tensor, validate_args: bool | None = None) -> distributions.Normal:
        """Normal with the given means and log-scales."""
        mean, log_scale = params.unbind(-1)
        return distributions.Normal(mean, self.min_scale + log_scale.exp(), validate_args=validate_args)

    def sample(self, params: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Mean plus scale times the normal quantile of u; the temperature multiplies the variance."""
        normal = self.distribution(params)
        quantile = torch.special.ndtri(u).to(params.dtype)
        return normal.loc + normal.scale * math.sqrt(temperature) * quantile

    def violations(self, x: Tensor) -> Tensor:
        """NaN and infinities."""
        return ~x.isfinite()
