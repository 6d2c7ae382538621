"""How far training has come, on one line of stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Any

__all__ = ["Progress"]


class Progress:
    """A bar over epochs, or nothing at all.

    A bar that nobody sees would still be a bar: tqdm takes a lock that forked processes share, and a process that is
    killed while it holds the lock keeps it for ever. So there is none where none is to be seen.

    Args:
        epochs: the most there will be.
        visible: whether there is a bar.

    Example:
        >>> with Progress(2, visible=False) as progress:
        ...     progress.step(1)
        ...     progress.epoch(0.5, None)
    """

    def __init__(self, epochs: int, visible: bool) -> None:
        self.epochs, self.visible = epochs, visible
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.visible:
            from tqdm import tqdm

            self.bar = tqdm(total=self.epochs, unit="epoch", miniters=0, mininterval=0.5)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.close()

    def resume(self, epochs: int) -> None:
        """So many epochs were done before."""
        if self.bar is not None:
            self.bar.update(epochs)

    def step(self, number: int) -> None:
        """So many steps are done."""
        if self.bar is not None:
            self.bar.set_description(f"step {number}", refresh=False)
            self.bar.update(0)

    def epoch(self, train: float, valid: float | None) -> None:
        """One more epoch is done, with these losses."""
        if self.bar is not None:
            self.bar.set_postfix({"train": train} if valid is None else {"train": train, "valid": valid}, refresh=False)
            self.bar.update()
