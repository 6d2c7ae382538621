"""Fit a model by minimising its mean negative log-likelihood, and measure the result."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from made.batches import Batches
from made.checkpoint import check_same_run, read, write
from made.layers import evaluating, kept_masked
from made.parallel import Group

__all__ = ["Estimate", "History", "fit", "nll"]


class Estimate(NamedTuple):
    """A mean over n rows and its standard error, in nats."""

    mean: float
    stderr: float
    n: int


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


def fit(
    model: nn.Module,
    train: Any,
    valid: Any = None,
    *,
    context: Any = None,
    epochs: int = 50,
    batch_size: int = 100,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    patience: int = 10,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    accumulate: int = 1,
    amp: bool = False,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train with AdamW, stop early on the validation loss, and keep the best weights.

    The model ends in evaluation mode with the weights of the epoch of lowest validation loss (of the last epoch
    without a validation set). Ctrl-C ends training early and keeps the best weights so far. A MADE with several
    connectivities uses the next one at every step (a fresh one if there is no end of them), and connectivity 0 for
    validation and afterwards. With a single connectivity, weights that its masks forbid are set to zero.

    With a checkpoint, a run that was killed goes on when the same call is made again with ``resume=True``, and ends
    with the same bits as a run that nothing disturbed. Started by ``torchrun``, each process trains on its own rows of
    every batch, and all together do what one would do alone.

    Args:
        model: anything with ``loss(batch)``, such as ``MADE`` or ``Autoencoder``, or a module around a MADE.
        train: training rows: a tensor or a NumPy array (perhaps a memmap) of shape (N, D), a dataset of rows or of
            pairs (row, context), or a DataLoader, which makes its own batches in its own order.
        valid: validation rows, likewise, or None for no early stopping.
        context: for a model with a context, its rows for ``train``, shape (N, C); with a validation set a pair, for
            ``train`` and for ``valid``.
        epochs: the most passes over ``train``.
        batch_size: rows per step, of all processes together; a last, smaller batch is used too.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        patience: stop after this many epochs without a lower validation loss.
        seed: of the order of the rows, and of dropout and noise. The global generator is left as it was.
        checkpoint: file for the state of the run, written at the start, after every epoch, and within long epochs.
        checkpoint_seconds: the longest time from one writing to the next, give or take a step.
        resume: go on from the checkpoint if there is one. Without it, a file that exists is refused.
        accumulate: compute each step in this many parts, one after the other, to save memory.
        amp: compute in bfloat16 where PyTorch holds it safe. The results change a little.
        device: where to train; the model stays there. Default: where the model is.
        progress: show a progress bar.

    Returns:
        History: losses in nats.

    Raises:
        ValueError: an argument is out of range, or the checkpoint is damaged or belongs to another run.
        TypeError: ``train`` or ``valid`` is of another kind.
        FileExistsError: the checkpoint exists and ``resume`` is false.
        FloatingPointError: the training loss is no longer a finite number.

    Example:
        >>> import made
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
        >>> model = made.MADE(2, hidden=(8,))
        >>> history = fit(model, x, epochs=200, lr=0.05, progress=False)
        >>> round(nll(model, x).mean, 2)  # two equally likely rows: log 2
        0.69
    """
    contexts: tuple[Any, ...] = context if isinstance(context, tuple) else (context,)
    if len(contexts) != (1 if context is None or valid is None else 2):
        raise ValueError("context must be a pair, for train and for valid, with a validation set; else one tensor")
    counts = {"epochs": epochs, "batch_size": batch_size, "patience": patience, "accumulate": accumulate}
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {count!r}")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be a positive number, got {lr!r}")
    for name, number in {"weight_decay": weight_decay, "checkpoint_seconds": checkpoint_seconds}.items():
        if not 0 <= number < math.inf:
            raise ValueError(f"{name} must not be negative, got {number!r}")
    if resume and checkpoint is None:
        raise ValueError("resume needs a checkpoint: a file to go on from")

    group = Group.join()
    model.to(device)
    where = next(model.parameters()).device
    shard: dict[str, Any] = {"device": where, "rank": group.rank, "world": group.world}
    generator = torch.Generator().manual_seed(seed)
    batches = Batches("train", train, contexts[0], batch_size=batch_size, generator=generator, **shard)
    held_out = None if valid is None else Batches("valid", valid, contexts[-1], batch_size=1000, **shard)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    masked = next((m for m in model.modules() if getattr(m, "n_masks", 1) != 1), None)
    settings = {
        "lr": lr,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "amp": amp,
        "seed": seed,
        "processes": group.world,
        "model": repr(model),
        "train": batches.fingerprint(),
        "valid": None if held_out is None else held_out.fingerprint(),
    }
    run = Run(model, optimizer, batches, group, settings, checkpoint)

    # dropout and noise draw from the global generator: lend them a seeded one, and put the old one back
    devices = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), progress_bar(epochs, progress and group.rank == 0) as bar:
        torch.manual_seed(seed + group.rank)
        run.begin(resume)
        history = run.history
        bar.update(len(history.train))
        try:
            with kept_masked(model) if masked is None and not amp else nullcontext():
                while len(history.train) < epochs and run.epochs_without_gain() < patience:
                    model.train()
                    for batch in run.rest_of_epoch():
                        n, overdue = group.sum(len(batch[0]) if batch else 0, run.overdue(checkpoint_seconds))
                        if n == 0:  # all processes have come to the end of their rows
                            break
                        if masked is not None:
                            masked.use(masked.connectivity_for(run.step))  # type: ignore[operator]
                        optimizer.zero_grad()
                        for part in zip(*(tensor.chunk(accumulate) for tensor in batch), strict=True):
                            with torch.autocast(where.type, torch.bfloat16, enabled=amp):
                                loss = model.loss(*part)  # type: ignore[operator]
                            (loss * (len(part[0]) / n)).backward()
                            run.total += loss.item() * len(part[0])
                        group.add_gradients(model)
                        optimizer.step()
                        run.count(n, save=overdue > 0)
                        bar.set_description(f"step {run.step}", refresh=False)
                        bar.update(0)
                    if masked is not None:
                        masked.use(0)  # type: ignore[operator]
                    run.end_epoch(None if held_out is None else mean_loss(model, held_out, group))
                    bar.set_postfix(train=history.train[-1], **({"valid": history.valid[-1]} if history.valid else {}))
                    bar.update()
            history.stopped = "patience" if run.epochs_without_gain() >= patience else "epochs"
        except KeyboardInterrupt:
            history.stopped = "interrupted"
    model.load_state_dict(run.best)
    model.eval()
    return history


def mean_loss(model: nn.Module, batches: Batches, group: Group) -> float:
    """Mean loss over all rows in evaluation mode, whatever the batches and the number of processes."""
    total, n = 0.0, 0.0
    with evaluating(model), torch.random.fork_rng(devices=[]):  # a loader draws numbers even if it keeps the order
        for batch in batches:
            if batch:
                total += model.loss(*batch).item() * len(batch[0])  # type: ignore[operator]
                n += len(batch[0])
    total, n = group.sum(total, n)
    return total / n


class Run:
    """All that changes while :func:`fit` runs: what a checkpoint holds.

    Within an epoch, the rows to come follow from the randomness at its start and the number of batches that are done.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        group: Group,
        settings: dict[str, Any],
        path: str | os.PathLike[str] | None,
    ) -> None:
        self.model, self.optimizer, self.batches, self.group = model, optimizer, batches, group
        self.settings, self.path, self.saved_at = settings, path, time.monotonic()
        self.history, self.best = History(), copy.deepcopy(model.state_dict())
        self.step, self.done, self.rows, self.total = 0, 0, 0, 0.0  # all steps; batches, rows and loss of this epoch
        self.epoch_start: dict[str, Any] = {}

    def begin(self, resume: bool) -> None:
        """Take up the checkpoint, or start afresh."""
        if self.path is None or not os.path.exists(self.path):
            self.group.share(self.model)
            self.save()
            return
        if not resume:
            raise FileExistsError(f"checkpoint {os.fspath(self.path)} exists: go on with resume=True, or remove it")
        state = read(self.path)
        check_same_run(self.path, state["settings"], self.settings)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.history = state["best"], History(**state["history"])
        self.step, self.done, self.rows = state["step"], state["done"], state["rows"]
        mine = state["processes"][self.group.rank]
        self.total, self.epoch_start = mine["total"], mine["epoch_start"]
        self.set_randomness(mine["now"])

    def save(self) -> None:
        """Write the checkpoint, if one is wanted. Process 0 writes, for all."""
        if self.path is None:
            return
        now = self.randomness()
        mine = {"total": self.total, "epoch_start": self.epoch_start, "now": now}
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
        if self.group.rank == 0:
            write(self.path, state)
        self.saved_at = time.monotonic()

    def overdue(self, seconds: float) -> bool:
        """Whether the last writing is longer ago; process 0 decides for all."""
        return self.path is not None and self.group.rank == 0 and time.monotonic() - self.saved_at >= seconds

    def randomness(self) -> dict[str, Any]:
        """The states of the global generators and of those that decide the order of the rows."""
        cuda = torch.cuda.get_rng_state() if self.batches.device.type == "cuda" else None
        return {"cpu": torch.get_rng_state(), "cuda": cuda, "rows": [g.get_state() for g in self.batches.generators()]}

    def set_randomness(self, states: dict[str, Any]) -> None:
        """Put them back."""
        torch.set_rng_state(states["cpu"])
        if states["cuda"] is not None:
            torch.cuda.set_rng_state(states["cuda"])
        for generator, state in zip(self.batches.generators(), states["rows"], strict=True):
            generator.set_state(state)

    def rest_of_epoch(self) -> Iterator[tuple[Tensor, ...]]:
        """The batches of the epoch that are not done; then nothing, as often as other processes need."""
        self.batches.set_epoch(len(self.history.train))
        now = self.randomness()
        if self.done == 0:
            self.epoch_start = now
        self.set_randomness(self.epoch_start)
        batches = self.batches.after(self.done)
        if self.done:
            self.set_randomness(now)
        return chain(batches, repeat(()))

    def count(self, rows: float, save: bool) -> None:
        """One more step is done, with this many rows."""
        self.step, self.done, self.rows = self.step + 1, self.done + 1, self.rows + int(rows)
        if save:
            self.save()

    def end_epoch(self, valid: float | None) -> None:
        """Enter the losses, keep the weights if they are the best, and write the checkpoint."""
        epoch, (total,) = len(self.history.train), self.group.sum(self.total)
        if self.rows == 0:
            raise ValueError("train must have at least one row")
        if not math.isfinite(total):
            raise FloatingPointError(f"the training loss of epoch {epoch} is {total}; try a smaller lr")
        self.history.train.append(total / self.rows)
        if valid is not None:
            self.history.valid.append(valid)
        if valid is None or self.history.valid.index(min(self.history.valid)) == epoch:
            self.best, self.history.best_epoch = copy.deepcopy(self.model.state_dict()), epoch
        self.done, self.rows, self.total = 0, 0, 0.0
        self.save()

    def epochs_without_gain(self) -> int:
        """Epochs since the best one."""
        return len(self.history.train) - 1 - self.history.best_epoch


def nll(model: Any, x: Any, batch_size: int = 1000, context: Any = None) -> Estimate:
    r"""Mean negative log-likelihood over the rows of x in nats, with its standard error.

    .. math:: \bar\ell = \frac1N \sum_n -\log p(x^{(n)}), \qquad \text{stderr} = \frac{s}{\sqrt N}

    Args:
        model: anything with ``log_prob(batch)``, evaluated in evaluation mode.
        x: rows, in any of the forms that :func:`fit` takes.
        batch_size: rows per call; it does not change the result beyond rounding.
        context: for a model with a context, its rows, shape (N, C).

    Example:
        >>> import made
        >>> model = made.MADE(3, hidden=())
        >>> for parameter in model.parameters():
        ...     _ = parameter.data.zero_()
        >>> nll(model, torch.ones(10, 3))  # 3 log 2, and no spread
        Estimate(mean=2.0794..., stderr=0.0, n=10)
    """
    batches = Batches("x", x, context, batch_size=batch_size, device=next(model.parameters()).device)
    with evaluating(model):
        losses = -torch.cat([model.log_prob(*batch).double() for batch in batches])
    stderr = losses.std().item() / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
    return Estimate(losses.mean().item(), stderr, len(losses))


def progress_bar(epochs: int, visible: bool) -> Any:
    """A bar over epochs on stderr, or a silent one."""
    from tqdm import tqdm

    return tqdm(total=epochs, disable=not visible, unit="epoch", miniters=0, mininterval=0.5)
