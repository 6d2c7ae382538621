"""made/data.py, with synthetic files and a server on this machine: nothing is downloaded."""

import gzip
import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from made import data
from made.data import File, load


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def amat(array):
    return b"".join(b" ".join(b"%d" % v for v in row) + b"\n" for row in array)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(url, path):
        raise AssertionError(f"would have downloaded {url}")

    monkeypatch.setattr(data, "_download", refuse)


@pytest.fixture
def cached(monkeypatch, tmp_path, no_network):
    """Put synthetic files of a data set into a folder, as if they had been downloaded."""

    def put(name, *contents):
        files = []
        for file, content in zip(data.FILES[name], contents, strict=True):
            packed = gzip.compress(content, 1) if file.name.endswith(".gz") else content
            (tmp_path / file.name).write_bytes(packed)
            files.append(File(file.name, sha256(content), ()))
        monkeypatch.setitem(data.FILES, name, tuple(files))
        return tmp_path

    return put


# digits


def test_digits_are_split_without_overlap_and_complete():
    split, bunch = load("digits", binarize=None), load_digits()
    parts = [split.train, split.valid, split.test]
    assert [tuple(p.shape) for p in parts] == [(1197, 64), (300, 64), (300, 64)]
    labels = torch.cat([split.train_labels, split.valid_labels, split.test_labels])
    assert labels.dtype == torch.int64
    found = sorted((*row, label) for row, label in zip(torch.cat(parts).tolist(), labels.tolist(), strict=True))
    expected = sorted((*row, label) for row, label in zip((bunch.data / 16).tolist(), bunch.target, strict=True))
    assert found == expected  # every image once, with its own label


def test_digits_share_no_image_between_parts():
    split = load("digits", binarize=None)
    train, valid, test = ({tuple(row) for row in part.tolist()} for part in (split.train, split.valid, split.test))
    assert not train & valid | train & test | valid & test


def test_digits_have_every_class_everywhere_and_stay_the_same():
    split = load("digits")
    for labels in (split.train_labels, split.valid_labels, split.test_labels):
        assert torch.bincount(labels).min() > 0.07 * len(labels)
    assert all(torch.equal(a, b) for a, b in zip(vars(split).values(), vars(load("digits")).values(), strict=True))


def test_threshold_is_one_half():
    grey, binary = load("digits", binarize=None).train, load("digits").train
    assert torch.equal(binary, (grey >= 0.5).float())
    assert (grey == 0.5).any()
    assert binary.dtype == torch.float32


def test_stochastic_binarization_is_seeded_and_unbiased(untouched_rng):
    grey = load("digits", binarize=None)
    draw = lambda seed: load("digits", binarize="stochastic", seed=seed)
    a = draw(1)
    assert torch.equal(a.train, draw(1).train)
    assert torch.equal(a.test, draw(1).test)
    assert not torch.equal(a.train, draw(2).train)
    assert set(a.train.unique().tolist()) == {0.0, 1.0}
    assert (a.train[grey.train == 0] == 0).all()
    assert (a.train[grey.train == 1] == 1).all()
    assert a.train.mean().item() == pytest.approx(grey.train.mean().item(), abs=0.005)
    mean = torch.stack([draw(seed).test for seed in range(40)]).mean(0)
    assert (mean - grey.test).square().mean() < 0.25 / 40  # each pixel is close to its own grey value


# the other sets, from synthetic files


def synthetic_mnist():
    g = np.random.default_rng(0)
    images = g.integers(0, 256, (70_000, 1, 2), dtype=np.uint8)
    labels = g.integers(0, 10, 70_000, dtype=np.uint8)
    return images, labels, [idx(part) for part in (images[:60_000], labels[:60_000], images[60_000:], labels[60_000:])]


def test_mnist_is_parsed_split_and_scaled(cached):
    images, labels, contents = synthetic_mnist()
    split = load("mnist", binarize=None, cache_dir=cached("mnist", *contents))
    assert [len(p) for p in (split.train, split.valid, split.test)] == [50_000, 10_000, 10_000]
    assert np.array_equal(torch.cat([split.train, split.valid, split.test]).numpy() * 255, images.reshape(-1, 2))
    found = torch.cat([split.train_labels, split.valid_labels, split.test_labels])
    assert np.array_equal(found.numpy(), labels)
    assert (split.train.dtype, found.dtype) == (torch.float32, torch.int64)


def test_mnist_threshold_and_draw(cached):
    images, _, contents = synthetic_mnist()
    folder = cached("mnist", *contents)
    assert np.array_equal(load("mnist", cache_dir=folder).test.numpy(), images[60_000:].reshape(-1, 2) >= 128)
    a = load("mnist", binarize="stochastic", seed=3, cache_dir=folder).train
    assert torch.equal(a, load("mnist", binarize="stochastic", seed=3, cache_dir=folder).train)
    assert a.mean().item() == pytest.approx(images.mean() / 255, abs=0.005)


def test_binarized_mnist_is_parsed(cached):
    parts = [np.random.default_rng(n).integers(0, 2, (n, 784)) for n in (3, 2, 1)]
    split = load("binarized_mnist", cache_dir=cached("binarized_mnist", *map(amat, parts)))
    for found, expected in zip((split.train, split.valid, split.test), parts, strict=True):
        assert np.array_equal(found.numpy(), expected)
        assert found.dtype == torch.float32
    assert split.train_labels is None


@pytest.mark.parametrize("name", ["dna", "mushrooms", "nips"])
def test_npz_sets_are_parsed(name, cached):
    parts = {f"{p}_data": np.random.default_rng(n).integers(0, 2, (n, 5)) for n, p in enumerate(["train", "valid"], 3)}
    parts["test_data"] = np.ones((2, 5))
    split = load(name, cache_dir=cached(name, npz(**parts)))
    for part in ("train", "valid", "test"):
        found = getattr(split, part)
        assert np.array_equal(found.numpy(), parts[f"{part}_data"])
        assert found.dtype == torch.float32


# dtype and device


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def every_set(cached, **options):
    """All kinds of files, each read once."""
    g = np.random.default_rng(0)
    folder = cached("mnist", *synthetic_mnist()[2])
    cached("binarized_mnist", *map(amat, (g.integers(0, 2, (n, 784)) for n in (3, 2, 1))))
    cached("dna", npz(**{f"{part}_data": g.integers(0, 2, (3, 5)) for part in ("train", "valid", "test")}))
    return {
        (name, binarize): load(name, binarize=binarize, cache_dir=folder, **options)
        for name in ("digits", "mnist", "binarized_mnist", "dna")
        for binarize in ("threshold", "stochastic", None)
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_rows_have_the_dtype_asked_for(dtype, cached):
    plain, other = every_set(cached), every_set(cached, dtype=dtype)
    for key, split in other.items():
        expected = plain[key]
        for part in ("train", "valid", "test"):
            found, rows = getattr(split, part), getattr(expected, part)
            assert (found.dtype, rows.dtype) == (dtype, torch.float32)
            if key == ("mnist", None):  # 1/255 is not the same number in every dtype
                assert torch.allclose(found.double(), rows.double(), rtol=max(torch.finfo(dtype).eps, 1e-7), atol=0)
                assert torch.equal((found * 255).round(), (rows * 255).round().to(dtype))
            else:
                assert torch.equal(found, rows.to(dtype))
        if split.train_labels is not None:
            assert split.train_labels.dtype == torch.int64
            assert torch.equal(split.train_labels, expected.train_labels)


def test_grey_values_are_divided_in_the_dtype_asked_for(cached):
    images, _, contents = synthetic_mnist()
    split = load("mnist", binarize=None, cache_dir=cached("mnist", *contents), dtype=torch.float64)
    assert np.array_equal(split.train.numpy(), images[:50_000].reshape(-1, 2) / 255)


def test_the_default_is_that_of_pytorch(cached, double_by_default):
    wide, narrow = every_set(cached), every_set(cached, dtype=torch.float32)
    for key, split in wide.items():
        assert split.train.dtype == split.valid.dtype == split.test.dtype == torch.float64
        assert narrow[key].train.dtype == torch.float32
        if key != ("mnist", None):
            assert torch.equal(split.train, narrow[key].train.double())  # the same draws


def test_it_does_not_ask_for_the_default_device(cached):
    expected = every_set(cached)
    with torch.device("meta"):
        found = every_set(cached)
    for key, split in found.items():
        for a, b in zip(vars(split).values(), vars(expected[key]).values(), strict=True):
            assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, np.float64, "float32", float])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match=r"dtype must be a floating one such as torch.float64, got "):
        load("digits", dtype=dtype)


@pytest.mark.parametrize("seed", [True, 1.5, None])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(ValueError, match="seed must be an int of at most 64 bits, got "):
        load("digits", binarize="stochastic", seed=seed)
    load("digits", binarize="stochastic", seed=np.int64(3))


def test_idx_reads_big_endian_lengths_of_any_number_of_axes():
    for shape in [(300,), (2, 3), (2, 1, 257)]:
        array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert np.array_equal(data._idx(idx(array)), array)


def test_amat_reads_any_separator():
    assert data._amat(b"0 1 1\n1 0 1\n", 3).tolist() == [[0, 1, 1], [1, 0, 1]]
    assert data._amat(b"0 1 1 \n1 0 1 \n".replace(b" \n", b"\n"), 3).dtype == torch.float32


# where files come from


def test_the_folder_may_be_named_by_the_environment(cached, monkeypatch):
    folder = cached("dna", npz(**{f"{p}_data": np.eye(3) for p in ("train", "valid", "test")}))
    monkeypatch.setenv("MADE_DATA", str(folder))
    assert torch.equal(load("dna").train, torch.eye(3))


def test_the_users_cache_is_the_default(cached, monkeypatch):
    folder = cached("dna", npz(**{f"{p}_data": np.eye(3) for p in ("train", "valid", "test")}))
    monkeypatch.delenv("MADE_DATA", raising=False)
    monkeypatch.setattr(data, "_user_cache", lambda: folder)
    assert torch.equal(load("dna").train, torch.eye(3))


CONTENT = bytes(range(256)) * 40


class Server:
    """Serves files on 127.0.0.1 and counts requests."""

    def __init__(self):
        self.files, self.cut, self.requests = {}, set(), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if self.path in outer.cut else content)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.close()


def damaged_gzip():
    packed = bytearray(gzip.compress(CONTENT))
    packed[20] ^= 0xFF  # inside the compressed stream
    return bytes(packed)


def test_a_download_is_kept_and_used_offline_afterwards(server, tmp_path):
    server.files["/a.gz"] = gzip.compress(CONTENT)
    folder = tmp_path / "new" / "folder"
    file = File("a.gz", sha256(CONTENT), (server.url("/a.gz"),))
    assert data.fetch(file, folder) == CONTENT
    assert [p.name for p in folder.iterdir()] == ["a.gz"]
    assert data.fetch(file, folder) == CONTENT
    assert server.requests == ["/a.gz"]


def test_a_plain_file_is_kept_as_it_is(server, tmp_path):
    server.files["/a.npz"] = CONTENT
    assert data.fetch(File("a.npz", sha256(CONTENT), (server.url("/a.npz"),)), tmp_path) == CONTENT
    assert (tmp_path / "a.npz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("served", "problem"),
    [
        (gzip.compress(CONTENT + b"!"), "has SHA-256"),
        (gzip.compress(CONTENT)[:-20], "no whole gzip file"),
        (damaged_gzip(), "no whole gzip file"),
        (b"<html>not found</html>", "no whole gzip file"),
        (b"", "has SHA-256|no whole gzip file"),
        (None, "404"),
    ],
    ids=["other content", "truncated", "damaged", "a web page", "empty", "missing"],
)
def test_a_bad_download_is_reported_and_leaves_nothing(served, problem, server, tmp_path):
    server.files["/a.gz"] = served
    with pytest.raises(ConnectionError, match=rf"cannot download a\.gz: .*({problem})"):
        data.fetch(File("a.gz", sha256(CONTENT), (server.url("/a.gz"),)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_off_leaves_nothing(server, tmp_path):
    server.files["/a"] = CONTENT
    server.cut.add("/a")
    with pytest.raises(ConnectionError, match=r"cannot download a: .* failed"):
        data.fetch(File("a", sha256(CONTENT), (server.url("/a"),)), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "first",
    [None, gzip.compress(b"other"), gzip.compress(CONTENT)[:-9], damaged_gzip()],
    ids=["missing", "other content", "truncated", "damaged"],
)
def test_the_second_source_is_tried(first, server, tmp_path):
    server.files |= {"/1.gz": first, "/2.gz": gzip.compress(CONTENT)}
    urls = (server.url("/1.gz"), server.url("/2.gz"))
    assert data.fetch(File("a.gz", sha256(CONTENT), urls), tmp_path) == CONTENT
    assert server.requests == ["/1.gz", "/2.gz"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.gz"]


def test_a_closed_port_is_a_connection_error_that_tells_what_to_do(server, tmp_path):
    urls = (server.url("/a"),)
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(ConnectionError, match=rf"Put the file into {tmp_path} by hand"):
        data.fetch(File("a", "", urls), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"other"), gzip.compress(CONTENT)[:-9], damaged_gzip(), b"text", b""],
    ids=["other content", "truncated", "damaged", "text", "empty"],
)
def test_a_bad_file_in_the_cache_is_named_and_kept(content, tmp_path, no_network):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.gz (has SHA-256|is no whole gzip file).*delete it"):
        data.fetch(File("a.gz", sha256(CONTENT), ("http://127.0.0.1:9/a.gz",)), tmp_path)
    assert (tmp_path / "a.gz").read_bytes() == content


def test_every_file_has_a_checksum_and_an_address():
    assert set(data.FILES) == set(data.NAMES) - {"digits"}
    for file in (file for files in data.FILES.values() for file in files):
        assert len(file.sha256) == 64
        assert file.urls
        assert all(url.endswith(file.name) for url in file.urls)


@pytest.mark.parametrize("name", ["MNIST", "cifar", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="name must be one of digits, mnist, binarized_mnist, dna, mushrooms, nips"):
        load(name)


@pytest.mark.parametrize("binarize", ["round", True, 0.5])
def test_an_unknown_binarization_is_refused(binarize):
    with pytest.raises(ValueError, match='binarize must be "threshold", "stochastic" or None'):
        load("digits", binarize=binarize)


SIZES = {
    "mnist": (784, 50_000, 10_000, 10_000),
    "binarized_mnist": (784, 50_000, 10_000, 10_000),
    "dna": (180, 1400, 600, 1186),
    "mushrooms": (112, 2000, 500, 5624),
    "nips": (500, 400, 100, 1240),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_real_files_where_they_are_at_hand(name, no_network):
    folder = data.cache_folder()
    if not all((folder / file.name).exists() for file in data.FILES[name]):
        pytest.skip(f"{name} is not in the cache")
    split, (n_features, *sizes) = load(name), SIZES[name]
    assert [tuple(p.shape) for p in (split.train, split.valid, split.test)] == [(n, n_features) for n in sizes]
    for part in (split.train, split.valid, split.test):
        assert set(part.unique().tolist()) == {0.0, 1.0}
    if name == "mnist":
        assert torch.bincount(split.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
