"""The vanilla autoencoder: encode, decode, and two ways not to learn the identity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from made.checks import check_sizes, integer, is_noise
from made.formats import Converted, check_complete
from made.layers import Linear
from made.likelihoods import Bernoulli, Likelihood

__all__ = ["Autoencoder", "is_noise", "perceptron"]


class Autoencoder(Converted):
    r"""An encoder to a code and a decoder back to the parameters of a likelihood.

    .. math:: z = f(x), \qquad \hat{x} = g(z), \qquad L(x) = -\sum_{i=1}^{D} \log p(x_i \mid \hat{x}_i)

    With as many code features as variables it may learn the identity. A narrower code (undercomplete) or noise on the
    input (denoising) prevents that. Its loss looks like a negative log-likelihood but is none: the D factors do not
    form a distribution over x, because each may depend on the very value it scores.

    Args:
        n_features: number of variables D.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        code_features: width of the code z, which is linear in the last hidden layer.
        likelihood: what the decoder's raw outputs mean.
        noise: None, ("mask", p): each variable is set to 0 with probability p, or ("gaussian", s): normal noise with
            standard deviation s is added. In training only; the loss compares with the clean input.
        seed: of the initial weights.

    Raises:
        ValueError: an argument is out of range; the message names it.
        TypeError: a size is no integer or the likelihood is none.

    References:
        Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, ICML 2008.

    Example:
        >>> model = Autoencoder(64, hidden=(32,), code_features=8)
        >>> x = torch.zeros(5, 64)
        >>> model.encode(x).shape, model(x).shape
        (torch.Size([5, 8]), torch.Size([5, 64, 1]))
    """

    def __init__(
        self,
        n_features: int,
        hidden: Sequence[int] = (100,),
        code_features: int = 32,
        likelihood: Likelihood | None = None,
        noise: tuple[str, float] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        n_features, hidden = check_sizes(n_features, hidden)
        code_features = integer("code_features", code_features, minimum=1)
        likelihood = Bernoulli() if likelihood is None else likelihood
        check_complete(likelihood)
        if noise is not None and not is_noise(noise):
            raise ValueError(f'noise must be None, ("mask", p in [0, 1]) or ("gaussian", s >= 0), got {noise!r}')
        self.n_features, self.likelihood, self.noise = n_features, likelihood, noise
        generator = torch.Generator().manual_seed(seed)
        n_inputs, n_outputs = map(sum, likelihood.sizes(n_features))
        widths = [n_inputs, *hidden, code_features]
        self.encoder = perceptron(widths, generator)
        self.decoder = perceptron([*reversed(widths[1:]), n_outputs], generator)

    def encode(self, x: Tensor) -> Tensor:
        """Code of x: (..., D) to (..., code_features)."""
        return self.encoder(self.likelihood.inputs(self.check(x)))

    def network(self, inputs: Tensor) -> Tensor:
        """From encoded inputs (..., D*E) to raw parameters (..., D, K): encoder, then decoder."""
        return self.decode(self.encoder(inputs))

    def decode(self, code: Tensor) -> Tensor:
        """Raw parameters of the likelihood: (..., code_features) to (..., D, K)."""
        return self.likelihood.unflatten(self.decoder(code), self.n_features)

    def forward(self, x: Tensor) -> Tensor:
        """Raw parameters for x, without noise: (..., D) to (..., D, K)."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mean reconstruction loss of a batch in nats, a scalar. Noise enters in training mode only.

        Args:
            x: clean values, shape (..., D).
            generator: source of the noise.
        """
        x = self.check(x)
        inputs = self.likelihood.inputs(x)
        if self.training and self.noise is not None:
            inputs = self.corrupt(inputs, generator)
        return -self.likelihood.log_conditionals(self.network(inputs), x).sum(-1).mean()

    def corrupt(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Add the chosen noise to encoded inputs of shape (..., sum of all E).

        Example:
            >>> model = Autoencoder(4, noise=("mask", 1.0))
            >>> model.corrupt(torch.ones(1, 4)).sum()
            tensor(0.)
        """
        if self.noise is None:
            return inputs
        kind, level = self.noise
        if kind == "mask":
            shape, repeats = (*inputs.shape[:-1], self.n_features), self.likelihood.sizes(self.n_features)[0]
            chance = torch.rand(shape, generator=generator, dtype=inputs.dtype, device=inputs.device)
            return inputs * (chance >= level).repeat_interleave(torch.tensor(repeats, device=inputs.device), -1)
        noise = torch.randn(inputs.shape, generator=generator, dtype=inputs.dtype, device=inputs.device)
        return inputs + level * noise

    def check(self, x: Tensor, name: str = "x") -> Tensor:
        """Refuse anything but rows (..., D) with values in the support; return them as a tensor."""
        return self.likelihood.check_rows(x, self.n_features, next(self.parameters()).dtype, name)


def perceptron(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers of the given widths with a ReLU between any two of them.

    Args:
        widths: of the input and of what every layer gives.
        generator: source of the initial weights.

    Example:
        >>> perceptron([4, 3, 2], torch.Generator().manual_seed(0))(torch.ones(5, 4)).shape
        torch.Size([5, 2])
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [Linear(before, after, generator=generator), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
