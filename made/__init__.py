"""Masked autoencoders as probability distributions.

The lesson, with its chapters in the book: ``autoencoder`` (1), ``likelihoods`` (2), ``diagnostics`` (3), ``masks``,
``layers``, ``model`` (4), ``sampling`` (5), ``ensemble`` (7). Its support: ``training``, ``data``, ``estimator`` (8),
``queries``, ``show``, which holds what readers look at, and ``files``, ``formats`` and ``checks``.

Example:
    >>> model = MADE(64, hidden=(32,))
    >>> x = data.load("digits").test
    >>> model.log_prob(x).shape
    torch.Size([300])
"""

from importlib import import_module
from typing import Any

from made import data, diagnostics, ensemble, layers, likelihoods, masks, sampling, show, training
from made.autoencoder import Autoencoder
from made.ensemble import Ensemble, Mixture, impute, marginal_log_prob
from made.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    DiscretizedLogistic,
    Gaussian,
    Likelihood,
    MixtureOfGaussians,
)
from made.masks import Connectivity
from made.model import MADE
from made.queries import Disagreement, conditional, disagreement
from made.training import Estimate, History, fit, nll

__version__ = "0.2.0"

__all__ = [
    "MADE",
    "Autoencoder",
    "Bernoulli",
    "Categorical",
    "Columns",
    "Connectivity",
    "Disagreement",
    "DiscretizedLogistic",
    "Ensemble",
    "Estimate",
    "Gaussian",
    "History",
    "Likelihood",
    "MADEDensity",
    "Mixture",
    "MixtureOfGaussians",
    "conditional",
    "data",
    "diagnostics",
    "disagreement",
    "ensemble",
    "estimator",
    "fit",
    "impute",
    "layers",
    "likelihoods",
    "marginal_log_prob",
    "masks",
    "nll",
    "sampling",
    "show",
    "training",
]


def __getattr__(name: str) -> Any:
    """Import scikit-learn, which takes its time, only for those who ask for its estimator."""
    if name not in ("MADEDensity", "estimator"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    estimator = import_module("made.estimator")
    return estimator if name == "estimator" else estimator.MADEDensity
