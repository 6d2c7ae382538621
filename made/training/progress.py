"""How far training has come, on one line: of stderr, or below the cell of a notebook."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["NotebookLine", "Progress", "in_notebook"]


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this program, so that what it displays stands below a cell.

    Example:
        >>> in_notebook()
        False
    """
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class NotebookLine:
    """One output of a cell, changed in place: a saved notebook holds the last line and no other.

    It is used as a bar of tqdm would be, which leaves an entry for every change.

    Args:
        total: the most epochs there will be.

    Example:
        >>> line = NotebookLine(50)
        >>> line.done, line.description, line.losses = 12, "step 340", {"train": 98.12, "valid": 97.3}
        >>> line.text()
        'epoch 12 of 50, step 340: train 98.12, valid 97.3 nats'
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.description = total, 0, ""
        self.losses: dict[str, float] = {}
        self.handle: Any = None
        self.shown_at = -math.inf

    def text(self) -> str:
        """The epochs and steps that are done, and the losses of the last epoch."""
        losses = ", ".join(f"{name} {loss:.4g}" for name, loss in self.losses.items())
        done = f"epoch {self.done} of {self.total}" + (f", {self.description}" if self.description else "")
        return f"{done}: {losses} nats" if losses else done

    def show(self) -> None:
        """Put the text in the place of the one before."""
        from IPython.display import display

        content = {"text/plain": self.text()}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)
        self.shown_at = time.monotonic()

    def set_description(self, text: str, refresh: bool = True) -> None:
        """What is said of the steps; it is shown with the next update that is."""
        self.description = text

    def set_postfix(self, losses: dict[str, float], refresh: bool = True) -> None:
        """The losses in nats, by name; they are shown with the next update that is."""
        self.losses = losses

    def update(self, n: int = 1) -> None:
        """So many more epochs are done. It is shown if the last time was half a second ago."""
        self.done += n
        if time.monotonic() - self.shown_at >= 0.5:
            self.show()

    def close(self) -> None:
        """Show how it ended."""
        self.show()


class Progress:
    """A bar over epochs, in a notebook a line, or nothing at all.

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
        if self.visible and in_notebook():
            self.bar = NotebookLine(self.epochs)
        elif self.visible:
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
