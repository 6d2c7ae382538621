"""Binary data sets: one bundled, five downloaded once, checked and then read from disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tempfile
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made.checks import seed_number
from made.files import write_whole
from made.groups import Groups, groups

__all__ = ["FILES", "NAMES", "File", "Groups", "Split", "cache_folder", "fetch", "groups", "load"]

NAMES = ("digits", "mnist", "binarized_mnist", "dna", "mushrooms", "nips")


@dataclass(frozen=True)
class Split:
    """Training, validation and test rows of shape (N, D), and int64 labels where there are any."""

    train: Tensor
    valid: Tensor
    test: Tensor
    train_labels: Tensor | None = None
    valid_labels: Tensor | None = None
    test_labels: Tensor | None = None


@dataclass(frozen=True)
class File:
    """A file to fetch: its name, the SHA-256 of its (decompressed) content, and where it can be had."""

    name: str
    sha256: str
    urls: tuple[str, ...]


def _mnist(name: str, sha256: str) -> File:
    hosts = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    return File(f"{name}.gz", sha256, tuple(f"{host}{name}.gz" for host in hosts))


def _larochelle(part: str, sha256: str) -> File:
    name = f"binarized_mnist_{part}.amat"
    return File(name, sha256, (f"http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/{name}",))


def _germain(name: str, sha256: str) -> File:
    commit = "514849eb9451311c02049f9e2d9a17fac589996a"
    return File(
        f"{name}.npz", sha256, (f"https://raw.githubusercontent.com/mgermain/MADE/{commit}/datasets/{name}.npz",)
    )


FILES: dict[str, tuple[File, ...]] = {
    "mnist": (
        _mnist("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        _mnist("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        _mnist("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        _mnist("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
    "binarized_mnist": (
        _larochelle("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
        _larochelle("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
        _larochelle("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
    ),
    "dna": (_germain("dna", "df2d2e7ce1469edfead15e41024e108d64f1b4633cfecfc40ef7107cc22c895c"),),
    "mushrooms": (_germain("mushrooms", "4130f1defa3033911fe746a3ab1bb22b0c812bb29e68391a0fbc2d65bab6ae74"),),
    "nips": (_germain("nips", "dbf3b659a49670957c0851971bd51ff952a657f010581d12f6c1e2dca8907b20"),),
}


def load(
    name: str,
    binarize: str | None = "threshold",
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
) -> Split:
    """Load a data set, downloading it the first time.

    =============== ==== ======================= =========================================================
    name            D    train / valid / test    source
    =============== ==== ======================= =========================================================
    digits          64   1197 / 300 / 300        scikit-learn, bundled: 8x8 images of 17 grey levels
    mnist           784  50000 / 10000 / 10000   LeCun, Cortes, Burges: 28x28 images of 256 grey levels
    binarized_mnist 784  50000 / 10000 / 10000   one fixed random binarization (Larochelle), as in the papers
    dna             180  1400 / 600 / 1186       binary benchmark of the MADE paper
    mushrooms       112  2000 / 500 / 5624       binary benchmark of the MADE paper
    nips            500  400 / 100 / 1240        NIPS-0-12, binary benchmark of the MADE paper
    =============== ==== ======================= =========================================================

    Args:
        name: one of the above.
        binarize: for the two grey-level sets: "threshold" (1 where the grey value is at least one half),
            "stochastic" (1 with the grey value as probability, drawn once with ``seed``), or None for the grey values
            themselves, scaled to [0, 1]. The other sets are binary already.
        seed: of the stochastic binarization.
        cache_dir: folder that holds or receives the files; default $MADE_DATA, else the user's cache folder. A file
            already there is used if its checksum is right.
        dtype: of the rows, a floating one; default ``torch.get_default_dtype()``. A binarization does not depend on it.

    Raises:
        TypeError: dtype is no floating one of PyTorch.
        ValueError: unknown name or binarize, a seed that is no integer, or a file in the cache folder has the wrong
            checksum.
        ConnectionError: no source gave a file with the right checksum. Nothing half-written stays.

    Example:
        >>> split = load("digits")
        >>> split.train.shape, split.test_labels.shape
        (torch.Size([1197, 64]), torch.Size([300]))
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}")
    if binarize not in ("threshold", "stochastic", None):
        raise ValueError(f'binarize must be "threshold", "stochastic" or None, got {binarize!r}')
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating one such as torch.float64, got {dtype!r}")
    seed = seed_number("seed", seed)
    if name == "digits":
        levels, labels = _digits()
        return _binarized(levels, 16, labels, (1197, 300, 300), binarize, seed, dtype)
    folder = cache_folder(cache_dir)
    contents = [fetch(file, folder) for file in FILES[name]]
    if name == "mnist":
        images = [torch.from_numpy(_idx(c)) for c in (contents[0], contents[2])]
        labels = torch.cat([torch.from_numpy(_idx(c)).long() for c in (contents[1], contents[3])])
        return _binarized(torch.cat(images).flatten(1), 255, labels, (50000, 10000, 10000), binarize, seed, dtype)
    if name == "binarized_mnist":
        return Split(*(_amat(content, 784).to(dtype) for content in contents))
    with warnings.catch_warnings():  # the file was written by Python 2; numpy mentions that its header is old
        warnings.simplefilter("ignore", UserWarning)
        with np.load(io.BytesIO(contents[0])) as file:
            parts = [file[f"{part}_data"].astype(np.float32) for part in ("train", "valid", "test")]
    return Split(*(torch.from_numpy(part).to(dtype) for part in parts))


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where files are kept: ``cache_dir``, else $MADE_DATA, else the user's cache folder.

    Example:
        >>> cache_folder("somewhere").name
        'somewhere'
    """
    return Path(cache_dir or os.environ.get("MADE_DATA") or _user_cache())


def fetch(file: File, folder: Path) -> bytes:
    """Content of a file, decompressed and checked; downloaded into ``folder`` if it is not there.

    A download is kept elsewhere until its checksum was found right.

    Raises:
        ValueError: the file is there and its checksum is wrong.
        ConnectionError: no address gave a file with the right checksum; every reason is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(Path(folder, "a.npz"), b"rows")
        ...     fetch(File("a.npz", hashlib.sha256(b"rows").hexdigest(), urls=()), Path(folder))
        b'rows'
    """
    path = folder / file.name
    if path.exists():
        content, problem = _check(path.read_bytes(), file)
        if content is None:
            raise ValueError(f"{path} {problem}; delete it to have it downloaded again")
        return content
    problems = []
    for url in file.urls:
        try:
            downloaded = _download(url)
        except OSError as error:  # includes every failure of the connection
            problems.append(f"{url} failed: {error}")
            continue
        content, problem = _check(downloaded, file)
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, downloaded)
            return content
        problems.append(f"{url} {problem}")
    raise ConnectionError(
        f"cannot download {file.name}: {'; '.join(problems)}. Put the file into {folder} by hand to work offline"
    )


def _download(url: str) -> bytes:
    import pooch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "download")
        pooch.HTTPDownloader(timeout=30)(url, str(path), None)
        return path.read_bytes()


def _check(content: bytes, file: File) -> tuple[bytes | None, str]:
    """The decompressed content if its checksum is right, else None and what is wrong."""
    if file.name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            return None, f"is no whole gzip file ({error})"
    found = hashlib.sha256(content).hexdigest()
    return (content, "") if found == file.sha256 else (None, f"has SHA-256 {found}, expected {file.sha256}")


def _user_cache() -> Path:
    import pooch

    return Path(pooch.os_cache("made"))


def _digits() -> tuple[Tensor, Tensor]:
    """The 1797 digits in a fixed random order (the original order is by writer), grey levels 0, .., 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    shuffle = torch.randperm(1797, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    return torch.from_numpy(bunch.data)[shuffle], torch.from_numpy(bunch.target).long()[shuffle]


def _binarized(
    levels: Tensor,
    top: int,
    labels: Tensor,
    sizes: tuple[int, int, int],
    binarize: str | None,
    seed: int,
    dtype: torch.dtype,
) -> Split:
    """Images of grey levels 0, .., top, split. They are made binary in float32, whatever the dtype."""
    grey = levels.to(dtype if binarize is None else torch.float32) / top
    if binarize == "threshold":
        grey = grey >= 0.5
    elif binarize == "stochastic":
        generator = torch.Generator("cpu").manual_seed(seed)
        grey = torch.rand(grey.shape, generator=generator, dtype=torch.float32, device="cpu") < grey
    rows = grey.to(dtype)
    return Split(*rows.split(sizes), *labels.split(sizes))


def _idx(content: bytes) -> np.ndarray:
    """Parse the IDX format: two zero bytes, a type byte (8 = unsigned byte), the number of axes, their lengths."""
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


def _amat(content: bytes, n_features: int) -> Tensor:
    """Parse rows of "0" and "1", each followed by one separator."""
    values = np.frombuffer(content, np.uint8)[::2] - ord("0")
    return torch.from_numpy(values.reshape(-1, n_features).astype(np.float32))
