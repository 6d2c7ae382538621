"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from pathlib import Path

__all__ = ["remove_leftovers", "write_whole"]


def write_whole(path: str | os.PathLike[str], *parts: bytes) -> None:
    """Write a file; whenever the process is killed, there is the old file or the new one, and either is whole.

    The new file is completed under a name of its own, in the same folder and ending in ``.partial``, and put on the
    disk before it takes the place of the old one. Only a process that is killed meanwhile leaves it behind.

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
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
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


def _sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk, where the system has a way to do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some disks in a network know no such thing
            os.fsync(handle)
    finally:
        os.close(handle)
