"""What a user may choose about a training run."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

from made.checks import boolean, integer, number, positive, seed_number

__all__ = ["Options"]


@dataclass
class Options:
    """The options of :func:`~made.training.loop.fit` that are numbers, switches and paths, checked. It explains them.

    Raises:
        ValueError: one is out of range; the message names it.
        TypeError: a switch is neither True nor False.

    Example:
        >>> Options(epochs=0)
        Traceback (most recent call last):
        ValueError: epochs must be an int of at least 1, got 0
    """

    epochs: int = 50
    batch_size: int = 100
    lr: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    patience: int = 10
    seed: int = 0
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_seconds: float = 60.0
    resume: bool = False
    accumulate: int = 1
    amp: bool = False

    def __post_init__(self) -> None:
        # plain values, not NumPy's: a checkpoint takes no others
        for name in ("epochs", "batch_size", "patience", "accumulate"):
            setattr(self, name, integer(name, getattr(self, name), 1))
        for name in ("weight_decay", "checkpoint_seconds"):
            setattr(self, name, number(name, getattr(self, name), minimum=0, below=math.inf))
        for name in ("resume", "amp"):
            setattr(self, name, boolean(name, getattr(self, name)))
        self.lr, self.seed = positive("lr", self.lr), seed_number("seed", self.seed)
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f'schedule must be "constant" or "cosine", got {self.schedule!r}')
        if self.resume and self.checkpoint is None:
            raise ValueError("resume needs a checkpoint: a file to go on from")

    def shaping(self) -> dict[str, Any]:
        """Those that shape the result: a run goes on only with the same.

        Example:
            >>> Options(lr=0.1).shaping()["lr"]
            0.1
        """
        falling = {"schedule": f"{self.schedule} over {self.epochs} epochs"} if self.schedule != "constant" else {}
        return {
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "amp": self.amp,
            "seed": self.seed,
            **falling,
        }

    def lr_in(self, epoch: int) -> float:
        r"""Learning rate of an epoch, counted from 0.

        .. math:: \eta_e = \tfrac12 \eta\, (1 + \cos(\pi e / E))

        Example:
            >>> [round(Options(epochs=4, lr=0.1, schedule="cosine").lr_in(epoch), 3) for epoch in range(4)]
            [0.1, 0.085, 0.05, 0.015]
        """
        if self.schedule == "constant":
            return self.lr
        return self.lr * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
