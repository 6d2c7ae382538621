"""Fit a model by minimising its mean negative log-likelihood."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from made.training.options import Options
from made.training.run import History, Run

__all__ = ["fit"]


def fit(
    model: nn.Module,
    train: Any,
    valid: Any = None,
    *,
    context: Any = None,
    epochs: int = 50,
    batch_size: int = 100,
    lr: float = 1e-3,
    schedule: str = "constant",
    lr_factors: Mapping[str, float] | None = None,
    weight_decay: float = 0.0,
    ema: float = 0.0,
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
    validation and afterwards; so does any module that ``TakesTurns``. With a single connectivity, weights that its
    masks forbid are set to zero.

    With a checkpoint, a run that was killed goes on when the same call is made again with ``resume=True``, and ends
    with the same bits as a run that nothing disturbed. Started by ``torchrun``, each process trains on its own rows of
    every batch, and all together do what one would do alone.

    Tensors must have the model's dtype. Arrays, DataFrames and lists become tensors of it: float64 is rounded to the
    model's dtype, integers and bools must survive exactly. (A module of one's own is given arrays of integers and bools
    as they are.) Where gradients are off, as in ``torch.no_grad()``, it trains all the same. If an error ends training,
    the model has its best weights so far, and its modes are what they were before.

    Args:
        model: anything with ``loss(batch)``, such as ``MADE`` or ``Autoencoder``, or a module around a MADE.
        train: training rows: a tensor, NumPy array (perhaps a memmap), DataFrame or list of shape (N, D), a dataset of
            rows or of pairs (row, context), or a DataLoader, which makes its own batches in its own order.
        valid: validation rows, likewise, or None for no early stopping.
        context: for a model with a context, its rows for ``train``, shape (N, C); with a validation set a pair, for
            ``train`` and for ``valid``. A list is one table.
        epochs: the most passes over ``train``.
        batch_size: rows per step, of all processes together; a last, smaller batch is used too.
        lr: learning rate.
        schedule: "constant", or "cosine" for a rate that falls to 0 along half a cosine over ``epochs``.
        lr_factors: factors of the learning rate of some parameters, by a part of their names: ``{"direct": 10}`` lets
            direct connections learn ten times as fast.
        weight_decay: decoupled weight decay. Biases do not decay.
        ema: decay of an exponential moving average of the weights, such as 0.99, in [0, 1). The averaged weights are
            validated and kept. 0 for the weights as they are.
        patience: stop after this many epochs without a lower validation loss.
        seed: of the order of the rows, and of dropout and noise. The global generator is left as it was.
        checkpoint: file for the state of the run, written at the start, after every epoch, and within long epochs.
        checkpoint_seconds: the longest time from one writing to the next, give or take a step.
        resume: go on from the checkpoint if there is one. Without it, a file that exists is refused.
        accumulate: compute each step in this many parts, one after the other, to save memory.
        amp: compute in bfloat16 where PyTorch holds it safe. The results change a little.
        device: where to train; the model stays there. Default: where the model is.
        progress: show a progress bar, or in a notebook one line.

    Returns:
        History: losses in nats.

    Raises:
        ValueError: an argument is out of range, a row is outside the support or cannot be held by the dtype, or the
            checkpoint is damaged or belongs to another run.
        TypeError: ``train``, ``valid`` or ``context`` is of another kind, or a tensor of another dtype.
        FileExistsError: the checkpoint exists and ``resume`` is false.
        FloatingPointError: the training or the validation loss is no longer a finite number.

    Example:
        >>> import made
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
        >>> model = made.MADE(2, hidden=(8,))
        >>> history = fit(model, x, epochs=200, lr=0.05, progress=False)
        >>> round(made.nll(model, x).mean, 2)  # two equally likely rows: log 2
        0.69
    """
    options = Options(epochs, batch_size, lr, schedule, lr_factors, weight_decay, ema, patience, seed, checkpoint,
                      checkpoint_seconds, resume, accumulate, amp)  # fmt: skip
    run = Run(model, train, valid, context, options, device)
    with run.underway(progress):
        while run.goes_on():
            model.train()
            for batch, n in run.rest_of_epoch():
                run.optimizer.zero_grad()
                for part in zip(*(tensor.chunk(options.accumulate) for tensor in batch), strict=True):
                    with torch.autocast(run.device.type, torch.bfloat16, enabled=options.amp):
                        loss = model.loss(*part)  # type: ignore[operator]
                    (loss * (len(part[0]) / n)).backward()
                    run.total += loss.item() * len(part[0])
                run.group.add_gradients(model)
                run.optimizer.step()
            run.end_epoch()
    return run.history
