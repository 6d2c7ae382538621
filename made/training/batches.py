"""Mini-batches of anything that holds rows: tensors, arrays on disk, datasets and loaders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from made.checks import integer, tensor

__all__ = ["Batches", "take"]


class Batches:
    """Mini-batches of rows: tuples ``(rows,)``, or ``(rows, context)`` where there is a context.

    Rows are read when their batch is due, so an array on disk or a dataset may be larger than memory. Arrays become
    tensors of the model's dtype if nothing is lost by it, as :func:`~made.checks.tensor` says. Only a module of one's
    own is given arrays of integers and bools as they are.

    Args:
        name: of the data, for error messages.
        data: a tensor or NumPy array (a memmap, say) of shape (N, D), a DataFrame or list of N rows, a dataset whose
            items are rows or pairs (row, context), or a DataLoader, which makes its own batches in its own order.
        context: tensor, array, DataFrame or list of N contexts beside such rows.
        batch_size: rows per batch; a last, smaller batch is given too.
        generator: source of a new order in every pass; None keeps the order.
        model: what the batches are for; its parameters decide device and dtype.
        rank: number of this process among those that train together.
        world: how many there are. Each is given its own rows of every batch, perhaps none.

    Raises:
        TypeError: the data are of another kind.
        ValueError: there are no rows, not as many contexts, or numbers that the dtype cannot hold.

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
        model: Any = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        weight = torch.empty(0, device="cpu") if model is None else next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.name, self.model, self.ours = name, model, hasattr(model, "likelihood")
        self.batch_size = integer("batch_size", batch_size, 1)
        self.generator, self.rank, self.world = generator, rank, world
        self.latest: tuple[Tensor | None, Tensor] | None = None  # the rows last given, and their numbers if known

        if not isinstance(data, (Dataset, DataLoader)):
            data = self.table(name, data)
            if data.ndim != 2 or len(data) == 0:
                raise ValueError(f"{name} must have shape (N, D) with N >= 1, got {tuple(data.shape)}")
        elif context is not None:
            given = f"{type(context).__name__} beside {type(data).__name__}"
            raise TypeError(f"context must be None, got {given}: items of a dataset bring their own")
        if context is not None:
            context, n = self.table("context", context), len(data)
            if context.ndim != 2 or len(context) != n:
                raise ValueError(f"context must have {n} rows, one per row of {name}, got shape {tuple(context.shape)}")
        if isinstance(data, IterableDataset):
            data = DataLoader(data, self.batch_size)
        elif isinstance(data, Dataset) and len(data) == 0:  # type: ignore[arg-type]
            raise ValueError(f"{name} must have at least one row")
        self.sources = [s.to(self.device) if isinstance(s, Tensor) else s for s in (data, context) if s is not None]

    def table(self, name: str, data: Any) -> Any:
        """A tensor or an array that rows can be taken from; a DataFrame or a list is converted at once."""
        if isinstance(data, (list, tuple)) or hasattr(data, "to_numpy"):
            return tensor(name, data, self.dtype)
        if not isinstance(data, (Tensor, np.ndarray)):
            others = "" if name == "context" else ", a dataset or a loader"
            kinds = f"a tensor, array, DataFrame or list of shape (N, D){others}"
            raise TypeError(f"{name} must be {kinds}, got {type(data).__name__}")
        if isinstance(data, np.ndarray) and data.ndim > 0:
            self.converted(data[:0], name)  # refuses what are no numbers
        return data

    def converted(self, values: np.ndarray, name: str) -> Tensor:
        """Values of an array as a tensor, of the model's dtype unless a module of one's own is given integers."""
        if self.ours or values.dtype.kind not in "biu":
            return tensor(name, values, self.dtype)
        return torch.from_numpy(values)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self.after(0)

    def after(self, skip: int) -> Iterator[tuple[Tensor, ...]]:
        """One pass without its first batches. The order is drawn at once; what is skipped only a loader reads."""
        data = self.sources[0]
        if isinstance(data, DataLoader):
            with torch.device("cpu"):  # a loader draws numbers on the default device, whatever that is
                batches = _on_cpu(iter(data))
            for _ in islice(batches, skip):
                pass
            return (self.given(batch, None) for batch in batches)
        n = len(data)
        if self.generator is None:
            order = torch.arange(n, device="cpu")
        else:
            order = torch.randperm(n, generator=self.generator, device="cpu")
        mine = (rows[self.rank :: self.world] for rows in order.split(self.batch_size)[skip:])
        return (self.read(rows) if len(rows) else () for rows in mine)

    def read(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The batch of these rows, given by their numbers."""
        parts = []
        for name, source in zip((self.name, "context"), self.sources, strict=False):
            if isinstance(source, np.ndarray):
                parts.append(_by_row(self.converted, np.asarray(source[rows.numpy()]), name, rows))
            else:
                parts.append(take(source, rows))
        return self.given(parts, rows)

    def given(self, batch: Any, rows: Tensor | None) -> tuple[Tensor, ...]:
        """A batch as it is given to the model; kept in mind for :meth:`explain`."""
        tensors = self.on_device(batch)
        self.latest = rows, tensors[0]
        return tensors

    def explain(self) -> None:
        """Once the model has refused a batch: raise its error again, with the name of the data and the row's number.

        Nothing happens if the reason is another, or the model is a module of one's own.
        """
        if self.latest is None or not self.ours:
            return
        (rows, batch), n_features = self.latest, self.model.n_features
        check = lambda values, name: self.model.likelihood.check_rows(values, n_features, self.dtype, name)
        if rows is None or batch.shape[1:] != (n_features,):
            check(batch, self.name)
        else:
            _by_row(check, batch, self.name, rows)

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

    def largest(self) -> float | None:
        """The largest absolute value in a tensor or an array, read piece by piece; None for other sources."""
        data = self.sources[0]
        if not isinstance(data, (Tensor, np.ndarray)):
            return None
        top = 0.0
        for start in range(0, len(data), self.batch_size):
            piece = data[start : start + self.batch_size]
            values = piece.double().numpy(force=True) if isinstance(piece, Tensor) else piece.astype(np.float64)
            top = max(top, np.nan_to_num(np.abs(values), nan=0.0, posinf=np.inf).max(initial=0.0).item())
        return top

    def fingerprint(self) -> str:
        """What the rows are like, in a few characters, to tell other data. Up to 100 rows are looked at."""
        digest = hashlib.sha256()
        for source in self.sources:
            if not isinstance(source, (Tensor, np.ndarray)):
                return type(getattr(source, "dataset", source)).__name__
            some = torch.linspace(0, len(source) - 1, 100, dtype=torch.float32, device="cpu").long()
            if isinstance(source, np.ndarray):
                digest.update(source[some.numpy()].tobytes())
            else:
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
    with torch.device("cpu"):  # whatever the default device
        return default_collate([source[i] for i in rows.tolist()])


def _on_cpu(batches: Iterator[Any]) -> Iterator[Any]:
    """What an iterator gives while the CPU is the default device."""
    end = object()
    while True:
        with torch.device("cpu"):
            batch = next(batches, end)
        if batch is end:
            return
        yield batch


def _by_row(check: Callable[[Any, str], Any], values: Any, name: str, rows: Tensor) -> Any:
    """What a check of some rows returns; what it refuses, it refuses by the number of the row."""
    try:
        return check(values, name)
    except ValueError:
        for number, row in zip(rows.tolist(), values, strict=True):
            check(row, f"row {number} of {name}")
        raise
