"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["read_tensors", "remove_leftovers", "write_tensors", "write_whole"]


def write_whole(path: str | os.PathLike[str], *parts: bytes) -> None:
    """Write a file; whenever the process is killed, there is the old file or the new one, and either is whole.

    The new file is completed under a name of its own, in the same folder and ending in ``.partial``, and put on the
    disk before it takes the place of the old one, with the same permissions. Only a process that is killed meanwhile
    leaves it behind.

    Args:
        path: of the file.
        parts: its content, one piece after the other.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(folder + "/a", b"one ", b"two")
        ...     Path(folder, "a").read_bytes(), os.listdir(folder)
        (b'one two', ['a'])
    """
    path = Path(path)
    name = os.fsdecode(os.fsencode(path.name)[:200])  # names of files may have 255 bytes
    partial = path.with_name(f"{name}.{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed writers of this file left; for a process that alone writes it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "a.0123456789abcdef.partial").touch()
        ...     remove_leftovers(folder + "/a")
        ...     os.listdir(folder)
        []
    """
    for partial in glob.glob(f"{glob.escape(os.fspath(path))}.{'[0-9a-f]' * 16}.partial"):
        os.unlink(partial)


def write_tensors(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], file_format: str, config: dict[str, Any]
) -> None:
    """Write named tensors and a configuration of plain data to one safetensors file, as a whole or not at all.

    Args:
        path: of the file.
        tensors: by name, contiguous.
        file_format: what kind of file it is, for :func:`read_tensors`.
        config: plain data, as JSON knows it.

    Raises:
        OSError: the file cannot be written.
        TypeError: the configuration is no plain data.

    Example:
        >>> write_tensors("a", {"w": torch.ones(2)}, "example/1", {"size": torch})
        Traceback (most recent call last):
        TypeError: Object of type module is not JSON serializable
    """
    from safetensors.torch import save

    write_whole(path, save(tensors, metadata={"format": file_format, "config": json.dumps(config)}))


def read_tensors(path: str | os.PathLike[str], *file_formats: str) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """What :func:`write_tensors` has written: which of the formats, configuration and tensors. No code is ever run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or of another format.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tensors(folder + "/a", {"w": torch.ones(2)}, "example/1", {"size": 2})
        ...     read_tensors(folder + "/a", "example/1")
        ('example/1', {'size': 2}, {'w': tensor([1., 1.])})
    """
    from safetensors import SafetensorError, safe_open

    try:
        with torch.device("cpu"), safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{os.fspath(path)} is damaged or no model file: {error}") from None
    if metadata.get("format") not in file_formats:
        wanted = " or ".join(file_formats)
        raise ValueError(f"{os.fspath(path)} holds no {wanted} model, its format is {metadata.get('format')!r}")
    try:
        return metadata["format"], json.loads(metadata["config"]), tensors
    except (KeyError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: {error}") from error


def _sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk, where the system has a way to do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(
        OSError
    ):  # a folder that cannot be listed, or a disk in a network that knows no such thing
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
