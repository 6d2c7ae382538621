"""Masked autoencoders as probability distributions.

Every room belongs to a chapter of the book: ``autoencoder`` (1), ``likelihoods`` (2), ``diagnostics`` (3), ``masks``,
``layers``, ``model``, ``training``, ``data`` (4), ``sampling`` (5). ``show`` holds what readers look at.

Example:
    >>> model = MADE(64, hidden=(32,))
    >>> x = data.load("digits").test
    >>> model.log_prob(x).shape
    torch.Size([300])
"""

from made import data, diagnostics, layers, likelihoods, masks, sampling, show, training
from made.autoencoder import Autoencoder
from made.likelihoods import Bernoulli, Categorical, Gaussian
from made.masks import Connectivity
from made.model import MADE
from made.training import Estimate, History, fit, nll

__version__ = "0.1.0"

__all__ = [
    "MADE",
    "Autoencoder",
    "Bernoulli",
    "Categorical",
    "Connectivity",
    "Estimate",
    "Gaussian",
    "History",
    "data",
    "diagnostics",
    "fit",
    "layers",
    "likelihoods",
    "masks",
    "nll",
    "sampling",
    "show",
    "training",
]
