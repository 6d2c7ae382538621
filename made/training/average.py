"""Averaged weights: the weights of the last steps instead of those of the last one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["MovingAverage"]


class MovingAverage:
    r"""An exponential moving average (EMA) of the weights of a model while it is trained.

    .. math:: \bar\theta_t = \beta_t\, \bar\theta_{t-1} + (1 - \beta_t)\, \theta_t, \qquad
        \beta_t = \min\left(\beta, \frac{t}{9 + t}\right), \qquad t = 0, 1, \ldots

    Steps of stochastic gradient descent jump about the weights they are after; their average is closer. The decay is
    smaller in the first steps, and 0 in the first of all, so that the start is soon forgotten.

    Args:
        model: what is trained.
        decay: in [0, 1); 0 for no average, the weights as they are.

    Attributes:
        weights: the averages, one for each parameter; none without an average.
        steps: how many steps have been averaged.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> average = MovingAverage(layer, 0.9)
        >>> _ = layer.weight.data.fill_(1.0)
        >>> average.update()
        >>> _ = layer.weight.data.fill_(2.0)
        >>> average.update()  # of decay 1 / 10
        >>> with average.used():
        ...     print(round(layer.weight.item(), 3))
        1.9
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.parameters = [*model.parameters()] if decay else []
        self.weights = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        for average, parameter in zip(self.weights, self.parameters, strict=True):
            average.lerp_(parameter, 1 - min(self.decay, self.steps / (9 + self.steps)))
        self.steps += 1

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model have the averaged weights for a while."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for average, parameter in zip(self.weights, self.parameters, strict=True):
            kept = average.clone()
            average.copy_(parameter)
            parameter.copy_(kept)

    def state(self) -> dict[str, int | list[Tensor]]:
        """What a checkpoint holds."""
        return {"steps": self.steps, "weights": self.weights}

    @torch.no_grad()
    def set_state(self, state: dict[str, int | list[Tensor]]) -> None:
        """Go on from a checkpoint."""
        self.steps = state["steps"]  # type: ignore[assignment]
        for average, saved in zip(self.weights, state["weights"], strict=True):  # type: ignore[arg-type]
            average.copy_(saved)
