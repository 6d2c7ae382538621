"""Fit a model by minimising its mean negative log-likelihood, and measure the result."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from made.layers import evaluating

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
    train: Tensor,
    valid: Tensor | None = None,
    *,
    context: Tensor | tuple[Tensor, Tensor] | None = None,
    epochs: int = 50,
    batch_size: int = 100,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    patience: int = 10,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train with AdamW, stop early on the validation loss, and keep the best weights.

    The model ends in evaluation mode with the weights of the epoch of lowest validation loss (of the last epoch
    without a validation set). Ctrl-C ends training early and keeps the best weights so far. A MADE with several
    connectivities uses the next one at every step (a fresh one if there is no end of them), and connectivity 0 for
    validation and afterwards.

    Args:
        model: anything with ``loss(batch)``, such as ``MADE`` or ``Autoencoder``, or a module around a MADE.
        train: training rows, shape (N, D).
        valid: validation rows, shape (M, D), or None for no early stopping.
        context: for a model with a context, its rows for ``train``, shape (N, C); with a validation set a pair, for
            ``train`` and for ``valid``.
        epochs: the most passes over ``train``.
        batch_size: rows per step; a last, smaller batch is used too.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        patience: stop after this many epochs without a lower validation loss.
        seed: of the order of the rows, and of dropout and noise. The global generator is left as it was.
        device: where to train; the model stays there. Default: where the model is.
        progress: show a progress bar.

    Returns:
        History: losses in nats.

    Raises:
        ValueError: an argument is out of range.
        TypeError: ``train`` or ``valid`` is no tensor.
        FloatingPointError: the training loss is no longer a finite number.

    Example:
        >>> import made
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
        >>> model = made.MADE(2, hidden=(8,))
        >>> history = fit(model, x, epochs=200, lr=0.05, progress=False)
        >>> round(nll(model, x).mean, 2)  # two equally likely rows: log 2
        0.69
    """
    contexts: tuple[Tensor | None, ...] = context if isinstance(context, tuple) else (context,)
    if len(contexts) != (1 if context is None or valid is None else 2):
        raise ValueError("context must be a pair, for train and for valid, with a validation set; else one tensor")
    check_rows("train", train, contexts[0])
    if valid is not None:
        check_rows("valid", valid, contexts[-1])
    for name, value in {"epochs": epochs, "batch_size": batch_size, "patience": patience}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be a positive number, got {lr!r}")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay!r}")

    model.to(device)
    where = next(model.parameters()).device
    train, valid = train.to(where), None if valid is None else valid.to(where)
    contexts = tuple(None if c is None else c.to(where) for c in contexts)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    generator = torch.Generator().manual_seed(seed)
    masked = next((m for m in model.modules() if getattr(m, "n_masks", 1) != 1), None)
    history, best, step = History(), copy.deepcopy(model.state_dict()), 0
    # dropout and noise draw from the global generator: lend them a seeded one, and put the old one back
    devices = [where] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), progress_bar(epochs, progress) as bar:
        torch.manual_seed(seed)
        try:
            for epoch in range(epochs):
                model.train()
                total = 0.0
                for rows in torch.randperm(len(train), generator=generator).to(where).split(batch_size):
                    if masked is not None:
                        masked.use(masked.connectivity_for(step))  # type: ignore[operator]
                    step += 1
                    loss = model.loss(*take(rows, train, contexts[0]))  # type: ignore[operator]
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    total += loss.item() * len(rows)
                if not math.isfinite(total):
                    raise FloatingPointError(f"the training loss of epoch {epoch} is {total}; try a smaller lr")
                if masked is not None:
                    masked.use(0)  # type: ignore[operator]
                history.train.append(total / len(train))
                if valid is not None:
                    history.valid.append(mean_loss(model, valid, contexts[-1]))
                if valid is None or history.valid.index(min(history.valid)) == epoch:
                    best, history.best_epoch = copy.deepcopy(model.state_dict()), epoch
                bar.set_postfix(train=history.train[-1], **({"valid": history.valid[-1]} if valid is not None else {}))
                bar.update()
                if epoch - history.best_epoch >= patience:
                    history.stopped = "patience"
                    break
        except KeyboardInterrupt:
            history.stopped = "interrupted"
    model.load_state_dict(best)
    model.eval()
    return history


def take(rows: Tensor, *tensors: Tensor | None) -> list[Tensor]:
    """Some rows of every tensor that is there.

    Example:
        >>> take(torch.tensor([2, 0]), torch.arange(3), None)
        [tensor([2, 0])]
    """
    return [tensor[rows] for tensor in tensors if tensor is not None]


def mean_loss(model: nn.Module, x: Tensor, context: Tensor | None = None, batch_size: int = 1000) -> float:
    """Mean loss over all rows of x in evaluation mode, whatever the batch size."""
    batches = torch.arange(len(x), device=x.device).split(batch_size)
    with evaluating(model):
        return sum(model.loss(*take(b, x, context)).item() * len(b) for b in batches) / len(x)  # type: ignore[operator]


def nll(model: Any, x: Tensor, batch_size: int = 1000, context: Tensor | None = None) -> Estimate:
    r"""Mean negative log-likelihood over the rows of x in nats, with its standard error.

    .. math:: \bar\ell = \frac1N \sum_n -\log p(x^{(n)}), \qquad \text{stderr} = \frac{s}{\sqrt N}

    Args:
        model: anything with ``log_prob(batch)``, evaluated in evaluation mode.
        x: rows, shape (N, D).
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
    check_rows("x", x, context)
    device = next(model.parameters()).device
    with evaluating(model):
        parts = [take(b, x, context) for b in torch.arange(len(x)).split(batch_size)]
        losses = -torch.cat([model.log_prob(*(p.to(device) for p in part)).double() for part in parts])
    stderr = losses.std().item() / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
    return Estimate(losses.mean().item(), stderr, len(losses))


def check_rows(name: str, x: object, context: Tensor | None = None) -> None:
    """Refuse anything but a tensor of shape (N, D) with at least one row, and a context of other than N rows."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor of shape (N, D), got {type(x).__name__}")
    if x.dim() != 2 or len(x) == 0:
        raise ValueError(f"{name} must have shape (N, D) with N >= 1, got {tuple(x.shape)}")
    if context is not None and not isinstance(context, Tensor):
        raise TypeError(f"context must be a tensor of shape (N, C), got {type(context).__name__}")
    if context is not None and (context.dim() != 2 or len(context) != len(x)):
        raise ValueError(f"context must have {len(x)} rows, one per row of {name}, got shape {tuple(context.shape)}")


def progress_bar(epochs: int, visible: bool) -> Any:
    """A bar over epochs on stderr, or a silent one."""
    from tqdm import tqdm

    return tqdm(total=epochs, disable=not visible, unit="epoch")
