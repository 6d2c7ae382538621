"""A training run: all that changes from step to step, which is what a checkpoint holds."""

from __future__ import annotations

import copy
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from made.checks import boolean
from made.files import remove_leftovers
from made.training.average import MovingAverage
from made.training.batches import Batches
from made.training.checkpoint import check_same_run, read, write
from made.training.evaluation import mean_loss
from made.training.options import Options
from made.training.parallel import Group
from made.training.progress import Progress
from made.training.strips import kept_masked

__all__ = ["LARGE", "History", "Run", "TakesTurns"]

LARGE = 100.0  # an absolute value that standardised columns do not have, unless there are outliers

_LENT = threading.RLock()  # who holds it has the global generator


@dataclass
class History:
    """What happened in :func:`fit`: plain numbers, in nats.

    Attributes:
        train: mean training loss of each epoch, as seen while the weights moved and with dropout active.
        valid: validation loss after each epoch; empty without a validation set.
        best_epoch: index of the epoch whose weights the model now has.
        stopped: why training ended: "epochs", "patience" or "interrupted".
    """

    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    best_epoch: int = -1
    stopped: str = "epochs"

    def plot(self, ax: Any = None) -> Any:
        """Draw both curves and mark the best epoch; returns the matplotlib axes."""
        from made import show

        return show.history(self, ax)


@runtime_checkable
class TakesTurns(Protocol):
    """A module that changes with the steps of its training, such as a MADE with several connectivities.

    :func:`~made.training.loop.fit` asks all such modules of a model to take their turns.

    Attributes:
        n_masks: how many turns there are, or None for no end of them; with 1 nothing ever changes.

    Example:
        >>> import made
        >>> isinstance(made.MADE(3), TakesTurns), isinstance(torch.nn.Linear(3, 3), TakesTurns)
        (True, False)
    """

    n_masks: int | None

    def take_turn(self, step: int | None) -> None:
        """Get ready for a training step, counted from 0, or with None for validation and for what follows training."""


class Run:
    """All that changes while :func:`~made.training.loop.fit` runs: what a checkpoint holds, kept up to date.

    Within an epoch, the rows to come follow from the randomness at its start and the number of batches that are done.

    Args:
        model: what is trained.
        train: its rows, as in :func:`~made.training.loop.fit`.
        valid: rows for validation, or None.
        context: of these rows, as in :func:`~made.training.loop.fit`.
        options: all else.
        device: where to train.

    Attributes:
        total: summed training loss of the rows of this epoch that this process has seen; the loop adds to it.

    Raises:
        ValueError: rows and contexts do not fit each other.
        TypeError: rows are of another kind.

    Example:
        >>> import made
        >>> run = Run(made.MADE(3), torch.eye(3), None, None, Options(batch_size=2))
        >>> with run.underway(progress=False):
        ...     [(len(rows), n) for (rows,), n in run.rest_of_epoch()]
        [(2, 2), (1, 1)]
    """

    @torch.inference_mode(False)
    def __init__(
        self, model: nn.Module, train: Any, valid: Any, context: Any, options: Options, device: Any = None
    ) -> None:
        contexts: tuple[Any, ...] = context if isinstance(context, tuple) else (context,)
        if len(contexts) != (1 if context is None or valid is None else 2):
            raise ValueError("context must be a pair, for train and for valid, with a validation set; else one table")
        if any(parameter.is_inference() for parameter in model.parameters()):
            raise ValueError("model was made in torch.inference_mode(), so it cannot be trained: make it outside")
        self.options, self.group = options, Group.join()  # which chooses the GPU of this process
        self.model = model.to(device)
        self.device = next(model.parameters()).device
        shard: dict[str, Any] = {"model": model, "rank": self.group.rank, "world": self.group.world}
        shuffle = torch.Generator("cpu").manual_seed(options.seed)
        self.train = Batches("train", train, contexts[0], batch_size=options.batch_size, generator=shuffle, **shard)
        self.valid = None if valid is None else Batches("valid", valid, contexts[-1], batch_size=1000, **shard)
        self.optimizer = torch.optim.AdamW(options.parameter_groups(model), lr=options.lr, fused=True)
        self.average = MovingAverage(model, options.ema)
        self.turn_takers = [m for m in model.modules() if isinstance(m, TakesTurns) and m.n_masks != 1]
        self.settings = {
            **options.shaping(),
            "processes": self.group.world,
            "model": repr(model).replace("ConditionedLinear", "MaskedLinear"),  # as 0.1.0 called both
            "train": self.train.fingerprint(),
            "valid": None if self.valid is None else self.valid.fingerprint(),
        }
        kinds = sorted({str(vars(m.likelihood)) for m in model.modules() if hasattr(m, "likelihood")})
        if any("softplus" in kind or "columns" in kind for kind in kinds):  # whose raw outputs 0.1.0 took otherwise
            self.settings["likelihoods"] = kinds
        self.history, self.best = History(), copy.deepcopy(model.state_dict())
        self.step = 0
        self.done, self.rows, self.total = 0, 0, 0.0  # batches, rows and loss of this epoch
        self.epoch_start: dict[str, Any] = {}
        self.saved_at = time.monotonic()

    @contextmanager
    def underway(self, progress: bool) -> Iterator[None]:
        """From the start, or from the checkpoint, to the best weights; Ctrl-C ends training early.

        Dropout and noise draw from the global generator: it is lent a seed, to one run at a time however many threads
        there are, and put back afterwards. With a single connectivity the weights are kept masked.
        """
        keep = not self.turn_takers and not self.options.amp
        bar = Progress(self.options.epochs, boolean("progress", progress) and self.group.rank == 0)
        devices = [self.device] if self.device.type == "cuda" else []
        with _LENT, torch.random.fork_rng(devices=devices), torch.inference_mode(False), torch.enable_grad(), bar:
            self.progress = bar
            torch.manual_seed(self.options.seed + self.group.rank)
            self.begin()
            bar.resume(len(self.history.train))
            with self.restored(), kept_masked(self.model) if keep else nullcontext():
                yield

    @contextmanager
    def restored(self) -> Iterator[None]:
        """However training ends, the model has its best weights; after an error, every part has its mode of before."""
        modes, failed = {part: part.training for part in self.model.modules()}, True
        try:
            yield
            self.history.stopped, failed = "patience" if self.out_of_patience() else "epochs", False
        except KeyboardInterrupt:
            self.history.stopped, failed = "interrupted", False
        except (TypeError, ValueError):
            for batches in (self.valid, self.train):
                if batches is not None:
                    batches.explain()
            raise
        finally:
            self.model.load_state_dict(self.best)
            for part, training in modes.items():
                part.training = failed and training

    def begin(self) -> None:
        """Take up the checkpoint, or start afresh."""
        path = self.options.checkpoint
        exists = path is not None and os.path.exists(path)
        if exists and not self.options.resume:
            raise FileExistsError(f"checkpoint {path} exists: go on with resume=True, or remove it")
        if path is not None and self.group.rank == 0:
            remove_leftovers(path)
        if path is not None and exists:
            self.take_up(path)
        else:
            self.group.share(self.model)
            self.save()

    def take_up(self, path: str | os.PathLike[str]) -> None:
        """Go on from the state in a checkpoint."""
        state = read(path)
        check_same_run(path, state["settings"], self.settings)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.options.ema:
            self.average.set_state(state["average"])
        self.best, self.history = state["best"], History(**state["history"])
        self.step, self.done, self.rows = state["step"], state["done"], state["rows"]
        mine = state["processes"][self.group.rank]
        self.total, self.epoch_start = mine["total"], mine["epoch_start"]
        self.set_randomness(mine["now"])

    def goes_on(self) -> bool:
        """Whether there is another epoch."""
        return len(self.history.train) < self.options.epochs and not self.out_of_patience()

    def out_of_patience(self) -> bool:
        """Whether the best epoch is too long ago."""
        return len(self.history.train) - 1 - self.history.best_epoch >= self.options.patience

    def save(self) -> None:
        """Write the checkpoint, if one is wanted. Process 0 writes, for all."""
        path = self.options.checkpoint
        if path is None:
            return
        mine = {"total": self.total, "epoch_start": self.epoch_start, "now": self.randomness()}
        state = {
            "settings": self.settings,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": vars(self.history),
            "step": self.step,
            "done": self.done,
            "rows": self.rows,
            "processes": self.group.gather(mine),
        }
        if self.options.ema:
            state["average"] = self.average.state()
        if self.group.rank == 0:
            write(path, state)
        self.saved_at = time.monotonic()

    def overdue(self) -> bool:
        """Whether the last writing is too long ago; process 0 decides for all."""
        writes = self.options.checkpoint is not None and self.group.rank == 0
        return writes and time.monotonic() - self.saved_at >= self.options.checkpoint_seconds

    def randomness(self) -> dict[str, Any]:
        """The states of the global generators and of those that decide the order of the rows."""
        cuda = torch.cuda.get_rng_state() if self.train.device.type == "cuda" else None
        return {"cpu": torch.get_rng_state(), "cuda": cuda, "rows": [g.get_state() for g in self.train.generators()]}

    def set_randomness(self, states: dict[str, Any]) -> None:
        """Put them back."""
        torch.set_rng_state(states["cpu"])
        if states["cuda"] is not None:
            torch.cuda.set_rng_state(states["cuda"])
        for generator, state in zip(self.train.generators(), states["rows"], strict=True):
            generator.set_state(state)

    def rest_of_epoch(self) -> Iterator[tuple[tuple[Tensor, ...], float]]:
        """The batches of the epoch that are not done, each with the number of its rows in all processes together.

        A process whose rows have come to an end is given empty batches, as often as others need.
        """
        for batch in chain(self.batches_to_do(), repeat(())):
            n, overdue = self.group.sum(len(batch[0]) if batch else 0, self.overdue())
            if n == 0:  # all processes have come to the end of their rows
                return
            self.take_turns(self.step)
            yield batch, n
            self.average.update()
            self.step, self.done, self.rows = self.step + 1, self.done + 1, self.rows + int(n)
            if overdue:
                self.save()
            self.progress.step(self.step)

    def batches_to_do(self) -> Iterator[tuple[Tensor, ...]]:
        """The share of this process of the batches that are not done, and the learning rate of the epoch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.lr_in(len(self.history.train)) * group.get("factor", 1.0)  # 0.1.0 had none
        self.train.set_epoch(len(self.history.train))
        now = self.randomness()
        if self.done == 0:
            self.epoch_start = now
        self.set_randomness(self.epoch_start)
        batches = self.train.after(self.done)
        if self.done:
            self.set_randomness(now)
        return batches

    def take_turns(self, step: int | None) -> None:
        """Get every module that takes turns ready for a training step, or with None for validation."""
        for module in self.turn_takers:
            module.take_turn(step)

    def end_epoch(self) -> None:
        """Validate, enter the losses, keep the weights if they are the best, and write the checkpoint."""
        self.take_turns(None)
        self.model.eval()
        epoch, (total,) = len(self.history.train), self.group.sum(self.total)
        if self.rows == 0:
            raise ValueError("train must have at least one row")
        self.check_finite("training", total, self.train)
        with self.average.used():
            valid = None if self.valid is None else mean_loss(self.model, self.valid, self.group)
            if valid is not None:
                self.check_finite("validation", valid, self.train, self.valid)
                self.history.valid.append(valid)
            self.history.train.append(total / self.rows)
            if valid is None or self.history.valid.index(min(self.history.valid)) == epoch:
                self.best, self.history.best_epoch = copy.deepcopy(self.model.state_dict()), epoch
        self.done, self.rows, self.total = 0, 0, 0.0
        self.save()
        self.progress.epoch(self.history.train[-1], valid)

    def check_finite(self, which: str, loss: float, *tables: Batches | None) -> None:
        """Refuse to go on with a loss that is no finite number, and say what may help."""
        if math.isfinite(loss):
            return
        found = {b.name: top for b in tables if b is not None and (top := b.largest()) is not None}
        values = ", ".join(f"{top:.4g} in {name}" for name, top in found.items())
        largest = f", the largest absolute value is {values}" if found else ""
        large = any(top > LARGE for top in found.values())
        advice = "standardise real-valued columns; if that is not enough, " if large else ""
        epoch = f"epoch {len(self.history.train) + 1} of {self.options.epochs}"
        raise FloatingPointError(f"the {which} loss of {epoch} is {loss}{largest}: {advice}try a smaller lr")
