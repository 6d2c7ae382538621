"""Binary data sets: one bundled, thirty downloaded once, checked and then read from disk."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made.checks import seed_number
from made.files import write_whole
from made.groups import Groups, groups

__all__ = ["DATASETS", "DataSet", "File", "Groups", "Split", "cache_folder", "fetch", "groups", "load"]

_PARTS = ("train", "valid", "test")


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
    """A file to fetch: its name, its checksum, and where it can be had.

    The checksum is the SHA-256 of the content (decompressed, if the name ends in ".gz" but not in ".tar.gz"), or the
    id that git gives to the content, where only that is known. Of a zip file without either, the first copy is trusted:
    once :func:`load` has found the right number of rows of 0 and 1 in it, the SHA-256 is written beside it, in
    "NAME.sha256", and another copy is refused.
    """

    name: str
    sha256: str | None
    urls: tuple[str, ...]
    git_blob: str | None = None


@dataclass(frozen=True)
class DataSet:
    """What is known of a data set: columns, rows (train, valid, test), where from, licence, papers to cite, files."""

    n_features: int
    sizes: tuple[int, int, int]
    source: str
    licence: str
    citation: str
    files: tuple[File, ...] = ()


_LECUN = "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition. Proc. IEEE 1998"
_NADE = "Larochelle, Murray: The Neural Autoregressive Distribution Estimator. AISTATS 2011"
_MADE = "Germain, Gregor, Murray, Larochelle: MADE: Masked Autoencoder for Distribution Estimation. ICML 2015"
_LOWD = "Lowd, Davis: Learning Markov Network Structure with Decision Trees. ICDM 2010"
_HAAREN = "Van Haaren, Davis: Markov Network Structure Learning: A Randomized Feature Generation Approach. AAAI 2012"
_SHARE_ALIKE = "CC BY-SA 3.0"
_UCI = "made of data under CC BY 4.0 (UCI Machine Learning Repository); the prepared file states none"
_NONE = "none stated"


def _mnist(name: str, sha256: str) -> File:
    hosts = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    return File(f"{name}.gz", sha256, tuple(f"{host}{name}.gz" for host in hosts))


def _larochelle(part: str, sha256: str) -> File:
    name = f"binarized_mnist_{part}.amat"
    return File(name, sha256, (f"http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/{name}",))


def _paper(
    n_features: int,
    sizes: tuple[int, int, int],
    source: str,
    name: str,
    sha256: str | None = None,
    git_blob: str | None = None,
    licence: str = _NONE,
) -> DataSet:
    """One of the eight binary sets of the MADE paper, as its authors publish them."""
    folder = "raw.githubusercontent.com/mgermain/MADE/514849eb9451311c02049f9e2d9a17fac589996a/datasets"
    if name == "rcv1":  # too large for the repository
        folder = "github.com/mgermain/MADE/releases/download/ICML2015"
    file = File(f"{name}.npz", sha256, (f"https://{folder}/{name}.npz",), git_blob)
    return DataSet(n_features, sizes, f"MADE paper: {source}", licence, f"{_NADE}; {_MADE}", (file,))


_DEBD = "Density-Estimation-Datasets-1.0.1"
_ARCHIVE = File(  # the checksum that the keepers of the collection publish for it, in DensityEstimationDatasets.jl
    f"{_DEBD}.tar.gz",
    "5d66a95037e44010502ad28ec8d6dc26f46947dc88e962633b7de54e614b1a47",
    ("https://github.com/UCLA-StarAI/Density-Estimation-Datasets/archive/v1.0.1.tar.gz",),
)


def _debd(n_features: int, sizes: tuple[int, int, int], source: str, citation: str) -> DataSet:
    """One of the twenty sets of the collection DEBD: all are in one archive."""
    licence = "none stated; the collection asks for the paper to be cited"
    return DataSet(n_features, sizes, f"DEBD: {source}", licence, citation, (_ARCHIVE,))


#: All data sets, by name.
#:
#: :meta hide-value:
DATASETS: dict[str, DataSet] = {
    "digits": DataSet(
        64,
        (1197, 300, 300),
        "scikit-learn, bundled: 8x8 images of 17 grey levels",
        "CC BY 4.0 (UCI Machine Learning Repository)",
        "Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository 1998",
    ),
    "mnist": DataSet(
        784,
        (50000, 10000, 10000),
        "LeCun, Cortes, Burges: 28x28 images of 256 grey levels",
        _SHARE_ALIKE,
        _LECUN,
        (
            _mnist("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            _mnist("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            _mnist("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            _mnist("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    "binarized_mnist": DataSet(
        784,
        (50000, 10000, 10000),
        "mnist, one fixed random binarization, as in the papers",
        _SHARE_ALIKE,
        f"{_LECUN}; Salakhutdinov, Murray: On the Quantitative Analysis of Deep Belief Networks. ICML 2008; {_NADE}",
        (
            _larochelle("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
            _larochelle("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
            _larochelle("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
        ),
    ),
    "adult": _paper(
        123,
        (5000, 1414, 26147),
        "people of a census (LIBSVM a5a)",
        "adult",
        git_blob="cf506ae6b4a4b818a92a6c951d334e61eeb27d81",
        licence=_UCI,
    ),
    "connect4": _paper(
        126,
        (16000, 4000, 47557),
        "positions of a game",
        "connect4",
        git_blob="4685318ab6aabc98eec09b93ad4fa5debc24ec93",
        licence=_UCI,
    ),
    "dna": _paper(
        180,
        (1400, 600, 1186),
        "60 nucleotides each",
        "dna",
        "df2d2e7ce1469edfead15e41024e108d64f1b4633cfecfc40ef7107cc22c895c",
        licence=_UCI,
    ),
    "mushrooms": _paper(
        112,
        (2000, 500, 5624),
        "descriptions of mushrooms",
        "mushrooms",
        "4130f1defa3033911fe746a3ab1bb22b0c812bb29e68391a0fbc2d65bab6ae74",
        licence=_UCI,
    ),
    "nips": _paper(
        500,
        (400, 100, 1240),
        "words in papers of NIPS 0-12",
        "nips",
        "dbf3b659a49670957c0851971bd51ff952a657f010581d12f6c1e2dca8907b20",
    ),
    "ocr_letters": _paper(
        128,
        (32152, 10000, 10000),
        "16x8 images of letters",
        "ocr_letters",
        "11b9dcf298b108a6c2f8f63dac45cd419a770d803b02625b624e4b5fdc34e94d",
        "b472383a2ddeddbc87b4e3019a3bd47736bddb37",
    ),
    "rcv1": _paper(150, (40000, 10000, 150000), "words in news of Reuters", "rcv1"),
    "web": _paper(
        300,
        (14000, 3188, 32561),
        "words in web pages (LIBSVM w6a)",
        "web",
        git_blob="a565424fc5782cb99d79788618cd6c332440a8a1",
    ),
    "nltcs": _debd(16, (16181, 2157, 3236), "disabilities of the elderly", _LOWD),
    "msnbc": _debd(17, (291326, 38843, 58265), "page categories visited", _LOWD),
    "kdd": _debd(64, (180092, 19907, 34955), "sessions in a shop, KDD Cup 2000", _LOWD),
    "plants": _debd(69, (17412, 2321, 3482), "states where a plant grows", _LOWD),
    "baudio": _debd(100, (15000, 2000, 3000), "artists listened to (Audio)", _LOWD),
    "jester": _debd(100, (9000, 1000, 4116), "jokes liked", _LOWD),
    "bnetflix": _debd(100, (15000, 2000, 3000), "films liked (Netflix)", _LOWD),
    "accidents": _debd(111, (12758, 1700, 2551), "traffic accidents", _HAAREN),
    "tretail": _debd(135, (22041, 2938, 4408), "baskets of a shop (Retail)", _HAAREN),
    "pumsb_star": _debd(163, (12262, 1635, 2452), "people of a census", _HAAREN),
    "debd_dna": _debd(180, (1600, 400, 1186), "dna with other training rows", _HAAREN),
    "kosarek": _debd(190, (33375, 4450, 6675), "clicks on a news site", _HAAREN),
    "msweb": _debd(294, (29441, 3270, 5000), "parts of a site visited", _LOWD),
    "book": _debd(500, (8700, 1159, 1739), "books rated", _LOWD),
    "tmovie": _debd(500, (4524, 1002, 591), "films rated (EachMovie)", _LOWD),
    "cwebkb": _debd(839, (2803, 558, 838), "words in web pages (WebKB)", _LOWD),
    "cr52": _debd(889, (6532, 1028, 1540), "words in news (Reuters-52)", _LOWD),
    "c20ng": _debd(910, (11293, 3764, 3764), "words in 20 newsgroups", _LOWD),
    "bbc": _debd(1058, (1670, 225, 330), "words in news of the BBC", _HAAREN),
    "ad": _debd(1556, (2461, 327, 491), "images that may be advertisements", _HAAREN),
}


def load(
    name: str,
    binarize: str | None = "threshold",
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
    mirror: str | None = None,
) -> Split:
    """Load a data set, downloading it the first time.

    =============== ==== ====================== ======================================================
    name            D    train / valid / test   source
    =============== ==== ====================== ======================================================
    digits          64   1197 / 300 / 300       scikit-learn, bundled: 8x8 images of 17 grey levels
    mnist           784  50000 / 10000 / 10000  LeCun, Cortes, Burges: 28x28 images of 256 grey levels
    binarized_mnist 784  50000 / 10000 / 10000  mnist, one fixed random binarization, as in the papers
    adult           123  5000 / 1414 / 26147    MADE paper: people of a census (LIBSVM a5a)
    connect4        126  16000 / 4000 / 47557   MADE paper: positions of a game
    dna             180  1400 / 600 / 1186      MADE paper: 60 nucleotides each
    mushrooms       112  2000 / 500 / 5624      MADE paper: descriptions of mushrooms
    nips            500  400 / 100 / 1240       MADE paper: words in papers of NIPS 0-12
    ocr_letters     128  32152 / 10000 / 10000  MADE paper: 16x8 images of letters
    rcv1            150  40000 / 10000 / 150000 MADE paper: words in news of Reuters
    web             300  14000 / 3188 / 32561   MADE paper: words in web pages (LIBSVM w6a)
    nltcs           16   16181 / 2157 / 3236    DEBD: disabilities of the elderly
    msnbc           17   291326 / 38843 / 58265 DEBD: page categories visited
    kdd             64   180092 / 19907 / 34955 DEBD: sessions in a shop, KDD Cup 2000
    plants          69   17412 / 2321 / 3482    DEBD: states where a plant grows
    baudio          100  15000 / 2000 / 3000    DEBD: artists listened to (Audio)
    jester          100  9000 / 1000 / 4116     DEBD: jokes liked
    bnetflix        100  15000 / 2000 / 3000    DEBD: films liked (Netflix)
    accidents       111  12758 / 1700 / 2551    DEBD: traffic accidents
    tretail         135  22041 / 2938 / 4408    DEBD: baskets of a shop (Retail)
    pumsb_star      163  12262 / 1635 / 2452    DEBD: people of a census
    debd_dna        180  1600 / 400 / 1186      DEBD: dna with other training rows
    kosarek         190  33375 / 4450 / 6675    DEBD: clicks on a news site
    msweb           294  29441 / 3270 / 5000    DEBD: parts of a site visited
    book            500  8700 / 1159 / 1739     DEBD: books rated
    tmovie          500  4524 / 1002 / 591      DEBD: films rated (EachMovie)
    cwebkb          839  2803 / 558 / 838       DEBD: words in web pages (WebKB)
    cr52            889  6532 / 1028 / 1540     DEBD: words in news (Reuters-52)
    c20ng           910  11293 / 3764 / 3764    DEBD: words in 20 newsgroups
    bbc             1058 1670 / 225 / 330       DEBD: words in news of the BBC
    ad              1556 2461 / 327 / 491       DEBD: images that may be advertisements
    =============== ==== ====================== ======================================================

    ``DATASETS`` has this table as data, with licences, papers to cite, files and checksums. The sets of DEBD are in
    one archive, downloaded once for all of them. Its dna has the test rows of the paper's, but divides the others
    into 1600 and 400: it is called debd_dna, and results on the two do not compare.

    Args:
        name: one of the above.
        binarize: for the two grey-level sets: "threshold" (1 where the grey value is at least one half),
            "stochastic" (1 with the grey value as probability, drawn once with ``seed``), or None for the grey values
            themselves, scaled to [0, 1]. The other sets are binary already.
        seed: of the stochastic binarization.
        cache_dir: folder that holds or receives the files; default $MADE_DATA, else the user's cache folder. A file
            already there is used if its checksum is right.
        dtype: of the rows, a floating one; default ``torch.get_default_dtype()``. A binarization does not depend on it.
        mirror: addresses of folders that have the files under the same names, separated by spaces; they are tried
            before the original addresses. Default $MADE_MIRROR.

    Raises:
        TypeError: dtype is no floating one of PyTorch, or mirror no str.
        ValueError: unknown name or binarize, a seed that is no integer, or a file in the cache folder has the wrong
            checksum, other rows than the table says, or values other than 0 and 1.
        ConnectionError: no address gave a file with the right checksum. Nothing half-written stays.

    Example:
        >>> split = load("digits")
        >>> split.train.shape, split.test_labels.shape
        (torch.Size([1197, 64]), torch.Size([300]))
        >>> DATASETS["debd_dna"].sizes, DATASETS["dna"].sizes
        ((1600, 400, 1186), (1400, 600, 1186))
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {', '.join(DATASETS)}, got {name!r}")
    if binarize not in ("threshold", "stochastic", None):
        raise ValueError(f'binarize must be "threshold", "stochastic" or None, got {binarize!r}')
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating one such as torch.float64, got {dtype!r}")
    seed = seed_number("seed", seed)
    dataset = DATASETS[name]
    if name == "digits":
        levels, labels = _digits()
        return _binarized(levels, 16, labels, dataset.sizes, binarize, seed, dtype)
    folder = cache_folder(cache_dir)
    contents = [fetch(file, folder, mirror) for file in dataset.files]
    if name == "mnist":
        images = [torch.from_numpy(_idx(c)) for c in (contents[0], contents[2])]
        labels = torch.cat([torch.from_numpy(_idx(c)).long() for c in (contents[1], contents[3])])
        return _binarized(torch.cat(images).flatten(1), 255, labels, dataset.sizes, binarize, seed, dtype)
    parts = _rows(name, contents)
    _check_rows(parts, dataset, folder)
    _remember(dataset.files[0], contents[0], folder)
    return Split(*(torch.from_numpy(rows).to(dtype) for rows in parts))


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where files are kept: ``cache_dir``, else $MADE_DATA, else the user's cache folder.

    Example:
        >>> cache_folder("somewhere").name
        'somewhere'
    """
    return Path(cache_dir or os.environ.get("MADE_DATA") or _user_cache())


def fetch(file: File, folder: Path, mirror: str | None = None) -> bytes:
    """Content of a file, decompressed and checked; downloaded into ``folder`` if it is not there.

    A download is kept elsewhere until its checksum was found right. One that breaks off is taken up again.

    Args:
        file: name, checksum and addresses.
        folder: where it is or comes.
        mirror: addresses to try first, as in :func:`load`.

    Raises:
        TypeError: mirror is no str.
        ValueError: the file is there and its checksum is wrong.
        ConnectionError: no address gave a file with the right checksum; every reason is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(Path(folder, "a.npy"), b"rows")
        ...     fetch(File("a.npy", hashlib.sha256(b"rows").hexdigest(), urls=()), Path(folder))
        b'rows'
    """
    path = folder / file.name
    if path.exists():
        content, problem = _check(path.read_bytes(), file, folder)
        if content is None:
            raise ValueError(f"{path} {problem}; delete it to have it downloaded again")
        return content
    problems = []
    for url in (*_mirrored(file, mirror), *file.urls):
        try:
            downloaded = _download(url)
        except OSError as error:  # includes every failure of the connection
            problems.append(f"{url} failed: {error}")
            continue
        content, problem = _check(downloaded, file, folder)
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, downloaded)
            return content
        problems.append(f"{url} {problem}")
    raise ConnectionError(
        f"cannot download {file.name}: {'; '.join(problems)}. Put the file into {folder} by hand to work offline"
    )


def _mirrored(file: File, mirror: str | None) -> list[str]:
    mirror = os.environ.get("MADE_MIRROR", "") if mirror is None else mirror
    if not isinstance(mirror, str):
        raise TypeError(f"mirror must be a str of addresses with spaces between them, got {mirror!r}")
    return [f"{address.rstrip('/')}/{file.name}" for address in mirror.split()]


def _download(url: str) -> bytes:
    """What is at an address. A connection that breaks off is made again, for the rest, if it brought something new."""
    import requests

    content = bytearray()
    while True:
        known = len(content)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={known}-"} if known else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=30) as response:
                response.raise_for_status()
                if response.status_code != 206:  # the whole file, not the rest of it
                    content.clear()
                for chunk in response.iter_content(2**12):
                    content += chunk
            return bytes(content)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
            if len(content) <= known:
                raise


def _check(content: bytes, file: File, folder: Path) -> tuple[bytes | None, str]:
    """The decompressed content if its checksum is right, else None and what is wrong."""
    if file.name.endswith(".gz") and not file.name.endswith(".tar.gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            return None, f"is no whole gzip file ({error})"
    kind, expected = _expected(file, folder)
    if expected is None:
        return (content, "") if _is_whole_zip(content) else (None, "is no whole zip file")
    if kind == "git id":
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    else:
        found = hashlib.sha256(content).hexdigest()
    return (content, "") if found == expected else (None, f"has {kind} {found}, expected {expected}")


def _expected(file: File, folder: Path) -> tuple[str, str | None]:
    """The kind and the value of a file's checksum: the known one, else that of the first copy, else None."""
    if file.sha256 is not None:
        return "SHA-256", file.sha256
    if file.git_blob is not None:
        return "git id", file.git_blob
    first = _first_copy(file, folder)
    return "SHA-256", first.read_text().split()[0] if first.exists() else None


def _first_copy(file: File, folder: Path) -> Path:
    """Where the checksum of the first copy of a file is kept."""
    return folder / f"{file.name}.sha256"


def _remember(file: File, content: bytes, folder: Path) -> None:
    """Keep the checksum of a file that has none of its own."""
    if _expected(file, folder)[1] is None:
        with contextlib.suppress(OSError):  # a folder that can only be read
            line = f"{hashlib.sha256(content).hexdigest()}  {file.name}\n"
            write_whole(_first_copy(file, folder), line.encode())


def _is_whole_zip(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return file.testzip() is None
    except zipfile.BadZipFile:
        return False


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


def _rows(name: str, contents: list[bytes]) -> list[np.ndarray]:
    """The three parts of a binary set, from three text files, one npz file, or the archive of DEBD."""
    first, n_features = DATASETS[name].files[0].name, DATASETS[name].n_features
    if first.endswith(".npz"):
        with warnings.catch_warnings():  # the file was written by Python 2; numpy mentions that its header is old
            warnings.simplefilter("ignore", UserWarning)
            with np.load(io.BytesIO(contents[0])) as file:
                return [file[f"{part}_data"].astype(np.float32) for part in _PARTS]
    if first.endswith(".tar.gz"):
        name = name.removeprefix("debd_")
        contents = _members(contents[0], [f"{_DEBD}/datasets/{name}/{name}.{part}.data" for part in _PARTS])
    return [_text(content, n_features) for content in contents]


def _check_rows(parts: list[np.ndarray], dataset: DataSet, folder: Path) -> None:
    where = folder / dataset.files[0].name
    for part, rows, size in zip(_PARTS, parts, dataset.sizes, strict=True):
        if rows.shape != (size, dataset.n_features):
            raise ValueError(f"{where}: {part} has shape {rows.shape}, expected {(size, dataset.n_features)}")
        if not ((rows == 0) | (rows == 1)).all():
            raise ValueError(f"{where}: {part} has values other than 0 and 1")


def _members(archive: bytes, names: list[str]) -> list[bytes]:
    """Files of a packed archive, by their names in it."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        found = {m.name: file.read() for m in tar if m.name in names and (file := tar.extractfile(m)) is not None}
    return [found[name] for name in names]


def _idx(content: bytes) -> np.ndarray:
    """Parse the IDX format: two zero bytes, a type byte (8 = unsigned byte), the number of axes, their lengths."""
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


def _text(content: bytes, n_features: int) -> np.ndarray:
    """Parse rows of "0" and "1" with separators between them; any other character gives another number."""
    values = np.frombuffer(content.translate(None, b" ,\t\r\n"), np.uint8) - np.uint8(ord("0"))
    if len(values) % n_features:
        raise ValueError(f"{len(values)} values are no rows of {n_features}")
    return values.reshape(-1, n_features)
