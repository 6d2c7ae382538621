"""Mini-batches of anything that holds rows: tensors, arrays on disk, datasets and loaders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

__all__ = ["Batches", "take"]


class Batches:
    """Mini-batches of rows: tuples ``(rows,)``, or ``(rows, context)`` where there is a context.

    Rows are read when their batch is due, so an array on disk or a dataset may be larger than memory.

    Args:
        name: of the data, for error messages.
        data: a tensor or NumPy array (a memmap, say) of shape (N, D), a dataset whose items are rows or pairs
            (row, context), or a DataLoader, which makes its own batches in its own order.
        context: tensor or array of shape (N, C) beside a tensor or array.
        batch_size: rows per batch; a last, smaller batch is given too.
        generator: source of a new order in every pass; None keeps the order.
        device: where the batches are wanted.
        rank: number of this process among those that train together.
        world: how many there are. Each is given its own rows of every batch, perhaps none.

    Raises:
        TypeError: the data are of another kind.
        ValueError: there are no rows, or not as many contexts.

    Example:
        >>> [rows.tolist() for (rows,) in Batches("x", torch.tensor([[1], [2], [3]]), batch_size=2)]
        [[[1], [2]], [[3]]]
    """

    def __init__(
        self,
        name: str,
        data: Any,
        context: Any = None,
        *,
        batch_size: int,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        tables = (Tensor, np.ndarray)
        if not isinstance(data, (*tables, Dataset, DataLoader)):
            kinds = "a tensor or array of shape (N, D), a dataset or a loader"
            raise TypeError(f"{name} must be {kinds}, got {type(data).__name__}")
        if isinstance(data, tables) and (data.ndim != 2 or len(data) == 0):
            raise ValueError(f"{name} must have shape (N, D) with N >= 1, got {tuple(data.shape)}")
        if context is not None and not (isinstance(data, tables) and isinstance(context, tables)):
            raise TypeError(
                f"context must be a tensor or array of shape (N, C) beside a tensor or array, got "
                f"{type(context).__name__} beside {type(data).__name__}: items of a dataset bring their own"
            )
        if context is not None and (context.ndim != 2 or len(context) != len(data)):  # type: ignore[arg-type]
            n = len(data)  # type: ignore[arg-type]
            raise ValueError(f"context must have {n} rows, one per row of {name}, got shape {tuple(context.shape)}")
        if isinstance(data, IterableDataset):
            data = DataLoader(data, batch_size)
        elif isinstance(data, Dataset) and len(data) == 0:  # type: ignore[arg-type]
            raise ValueError(f"{name} must have at least one row")
        self.device = torch.device("cpu") if device is None else device
        self.sources = [s.to(self.device) if isinstance(s, Tensor) else s for s in (data, context) if s is not None]
        self.batch_size, self.generator, self.rank, self.world = batch_size, generator, rank, world

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self.after(0)

    def after(self, skip: int) -> Iterator[tuple[Tensor, ...]]:
        """One pass without its first batches. The order is drawn at once; what is skipped only a loader reads."""
        data = self.sources[0]
        if isinstance(data, DataLoader):
            batches = iter(data)
            for _ in islice(batches, skip):
                pass
            return map(self.on_device, batches)
        n = len(data)
        order = torch.arange(n) if self.generator is None else torch.randperm(n, generator=self.generator)
        mine = (rows[self.rank :: self.world] for rows in order.split(self.batch_size)[skip:])
        return (self.on_device([take(source, rows) for source in self.sources] if len(rows) else ()) for rows in mine)

    def set_epoch(self, epoch: int) -> None:
        """Tell a distributed sampler of a loader which pass comes next, as it expects."""
        sampler: Any = getattr(self.sources[0], "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)

    def on_device(self, batch: Any) -> tuple[Tensor, ...]:
        """A batch as a tuple of tensors, where they are wanted; a dataset's pairs are taken apart."""
        parts = batch if isinstance(batch, (list, tuple)) else [batch]
        if len(parts) == 1 and isinstance(parts[0], (list, tuple)):
            parts = parts[0]
        return tuple(part.to(self.device) for part in parts)

    def generators(self) -> list[torch.Generator]:
        """The sources of randomness that decide the order of the rows."""
        own = self.sources[0].generator if isinstance(self.sources[0], DataLoader) else self.generator
        return [] if own is None else [own]

    def fingerprint(self) -> str:
        """What the rows are like, in a few characters, to tell other data. Up to 100 rows are looked at."""
        digest = hashlib.sha256()
        for source in self.sources:
            if not isinstance(source, (Tensor, np.ndarray)):
                return type(getattr(source, "dataset", source)).__name__
            some = torch.linspace(0, len(source) - 1, 100).long()
            digest.update(take(source, some).cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return f"{tuple(self.sources[0].shape)} {digest.hexdigest()[:16]}"


def take(source: Any, rows: Tensor) -> Any:
    """Some rows of a tensor, an array or a dataset.

    Example:
        >>> take(np.array([1.0, 2.0, 3.0]), torch.tensor([2, 0]))
        tensor([3., 1.], dtype=torch.float64)
    """
    if isinstance(source, Tensor):
        return source[rows.to(source.device)]
    if isinstance(source, np.ndarray):
        return torch.from_numpy(np.asarray(source[rows.numpy()]))
    return default_collate([source[i] for i in rows.tolist()])
