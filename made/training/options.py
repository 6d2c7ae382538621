"""What a user may choose about a training run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

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
    lr_factors: Mapping[str, float] | None = None
    weight_decay: float = 0.0
    ema: float = 0.0
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
        self.ema = number("ema", self.ema, minimum=0, below=1)
        if not isinstance(self.lr_factors or {}, Mapping):
            raise TypeError(
                f'lr_factors must map parts of names to numbers, like {{"direct": 10}}, got {self.lr_factors!r}'
            )
        self.lr_factors = {part: positive("lr_factors", factor) for part, factor in (self.lr_factors or {}).items()}
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
        newer = {"lr_factors": self.lr_factors, "ema": self.ema, "biases_decay": not self.weight_decay}
        return {
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "amp": self.amp,
            "seed": self.seed,
            **falling,
            **{name: value for name, value in newer.items() if value not in ({}, 0.0, True)},
        }

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """The parameters of a model for AdamW: those that share a factor of the learning rate and a weight decay.

        Biases and other vectors do not decay. A factor changes the pace of learning, not that of the decay.

        Raises:
            ValueError: no parameter has a name with a part that ``lr_factors`` names.

        Example:
            >>> options, model = Options(lr_factors={"0": 10}, weight_decay=0.1), nn.Sequential(nn.Linear(2, 3))
            >>> groups = options.parameter_groups(model)
            >>> [(group["factor"], group["weight_decay"], len(group["params"])) for group in groups]
            [(10.0, 0.01, 1), (10.0, 0.0, 1)]
        """
        factors, unused = self.lr_factors or {}, dict(self.lr_factors or {})
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            parts = [part for part in name.split(".") if part in factors]
            factor = math.prod(factors[part] for part in parts)
            decay = self.weight_decay / factor if parameter.dim() > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
            unused = {part: value for part, value in unused.items() if part not in parts}
        if unused:
            raise ValueError(f"lr_factors must name parts of the names of parameters, got {sorted(unused)}")
        return [
            {"params": parameters, "factor": factor, "weight_decay": decay}
            for (factor, decay), parameters in groups.items()
        ]

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
