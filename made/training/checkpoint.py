"""Checkpoints: all that a training run needs to go on as if nothing had happened, in one file that is always whole."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from made.files import write_whole

__all__ = ["MAGIC", "check_same_run", "read", "write"]

MAGIC = b"made.fit/1 sha256 "


def write(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers, strings, lists and dicts, all of it or nothing; an older file is replaced.

    The first line of the file holds a checksum of the rest.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(folder + "/run", {"weights": torch.ones(2)})
        ...     read(folder + "/run")
        {'weights': tensor([1., 1.])}
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_whole(path, _header(content), b"\n", content)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what :func:`write` has written; no code in the file is ever run.

    Raises:
        ValueError: the file is damaged, or something else wrote it.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     read(file.name)
        Traceback (most recent call last):
        ValueError: checkpoint ... was not written by made.fit
    """
    first, _, content = Path(path).read_bytes().partition(b"\n")
    if not first.startswith(MAGIC):
        raise ValueError(f"checkpoint {os.fspath(path)} was not written by made.fit")
    if first != _header(content):
        raise ValueError(f"checkpoint {os.fspath(path)} is damaged: its content does not match its checksum")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _header(content: bytes) -> bytes:
    """The first line of a file with this content."""
    return MAGIC + hashlib.sha256(content).hexdigest().encode()


def check_same_run(path: str | os.PathLike[str], saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other data, another model or other settings.

    Raises:
        ValueError: names the first difference.

    Example:
        >>> check_same_run("run.checkpoint", {"lr": 0.1}, {"lr": 0.2})
        Traceback (most recent call last):
        ValueError: checkpoint run.checkpoint belongs to another run: lr was 0.1, now it is 0.2
    """
    for name in {**now, **saved}:
        before, value = saved.get(name), now.get(name)
        if before != value:
            raise ValueError(
                f"checkpoint {os.fspath(path)} belongs to another run: {name} was {before}, now it is {value}"
            )
