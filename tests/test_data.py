"""made/data.py, with synthetic files and a server on this machine: nothing is downloaded."""

import gzip
import hashlib
import io
import itertools
import re
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from made import data
from made.data import DATASETS, File, load


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def amat(array):
    return b"".join(b" ".join(b"%d" % v for v in row) + b"\n" for row in array)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def debd(**sets):
    """The archive of DEBD, with the three texts of some of its sets, and a file that is none."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        members = {"README.md": b"# Density-Estimation-Datasets"}
        for name, texts in sets.items():
            for part, text in zip(("train", "valid", "test"), texts, strict=True):
                members[f"datasets/{name}/{name}.{part}.data"] = text
        for name, content in members.items():
            info = tarfile.TarInfo(f"Density-Estimation-Datasets-1.0.1/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def csv(array):
    return b"".join(b",".join(b"%d" % v for v in row) + b"\n" for row in array)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(url):
        raise AssertionError(f"would have downloaded {url}")

    monkeypatch.setattr(data, "_download", refuse)


@pytest.fixture
def cached(monkeypatch, tmp_path, no_network):
    """Put synthetic files of a data set into a folder, as if they had been downloaded."""

    def put(name, *contents, n_features=784, sizes=(50_000, 10_000, 10_000)):
        files = []
        for file, content in zip(DATASETS[name].files, contents, strict=True):
            packed = gzip.compress(content, 1) if file.name.endswith("ubyte.gz") else content
            (tmp_path / file.name).write_bytes(packed)
            known = file.sha256 or file.git_blob
            files.append(File(file.name, sha256(content) if known else None, ()))
        dataset = replace(DATASETS[name], n_features=n_features, sizes=sizes, files=tuple(files))
        monkeypatch.setitem(DATASETS, name, dataset)
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
    folder = cached("binarized_mnist", *map(amat, parts), sizes=(3, 2, 1))
    split = load("binarized_mnist", cache_dir=folder)
    for found, expected in zip((split.train, split.valid, split.test), parts, strict=True):
        assert np.array_equal(found.numpy(), expected)
        assert found.dtype == torch.float32
    assert split.train_labels is None


PAPER = ["adult", "connect4", "dna", "mushrooms", "nips", "ocr_letters", "rcv1", "web"]


@pytest.mark.parametrize("name", PAPER)
def test_npz_sets_are_parsed(name, cached):
    parts = {f"{p}_data": np.random.default_rng(n).integers(0, 2, (n, 5)) for n, p in enumerate(["train", "valid"], 3)}
    parts["test_data"] = np.ones((2, 5))
    split = load(name, cache_dir=cached(name, npz(**parts), n_features=5, sizes=(3, 4, 2)))
    for part in ("train", "valid", "test"):
        found = getattr(split, part)
        assert np.array_equal(found.numpy(), parts[f"{part}_data"])
        assert found.dtype == torch.float32
    assert split.train_labels is None


def synthetic_debd():
    return [np.random.default_rng(n).integers(0, 2, (n, 6)) for n in (5, 3, 2)]


@pytest.mark.parametrize(("name", "folder"), [("nltcs", "nltcs"), ("debd_dna", "dna"), ("ad", "ad")])
def test_sets_of_debd_are_parsed(name, folder, cached):
    parts = synthetic_debd()
    others = [csv(1 - part) for part in parts]
    archive = debd(**{"aa": others, folder: [csv(part) for part in parts], "zz": others})
    split = load(name, cache_dir=cached(name, archive, n_features=6, sizes=(5, 3, 2)))
    for found, expected in zip((split.train, split.valid, split.test), parts, strict=True):
        assert np.array_equal(found.numpy(), expected)
        assert found.dtype == torch.float32
    assert split.train_labels is None


@pytest.mark.parametrize("ends", [b"\r\n", b" \n", b""], ids=["of Windows", "after a space", "missing"])
def test_other_ends_of_lines_are_read(ends, cached):
    parts = synthetic_debd()
    texts = [csv(part).removesuffix(b"\n") if not ends else csv(part).replace(b"\n", ends) for part in parts]
    folder = cached("nltcs", debd(nltcs=texts), n_features=6, sizes=(5, 3, 2))
    assert np.array_equal(load("nltcs", cache_dir=folder).train.numpy(), parts[0])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"0,1\n1,2\n", "train has values other than 0 and 1"),
        (b"0,1\n1,-\n", "train has values other than 0 and 1"),
        (b"0,1\n", r"train has shape \(1, 2\), expected \(2, 2\)"),
        (b"0,1\n1,0\n0", "5 values are no rows of 2"),
        (b"", r"train has shape \(0, 2\), expected \(2, 2\)"),
    ],
)
def test_other_rows_than_those_of_the_table_are_refused(text, problem, cached):
    folder = cached("nltcs", debd(nltcs=[text, b"0,1\n", b"0,1\n"]), n_features=2, sizes=(2, 1, 1))
    with pytest.raises(ValueError, match=problem):
        load("nltcs", cache_dir=folder)


# a file whose checksum nobody has published


def rows_npz(train):
    return npz(train_data=train, valid_data=np.eye(2), test_data=np.eye(2))


@pytest.fixture
def unknown(cached):
    return cached("rcv1", rows_npz(np.eye(2)), n_features=2, sizes=(2, 2, 2))


def test_the_first_copy_is_remembered_and_another_refused(unknown):
    first = unknown / "rcv1.npz"
    load("rcv1", cache_dir=unknown)
    assert (unknown / "rcv1.npz.sha256").read_text() == f"{sha256(first.read_bytes())}  rcv1.npz\n"
    assert torch.equal(load("rcv1", cache_dir=unknown).train, torch.eye(2))
    first.write_bytes(rows_npz(1 - np.eye(2)))
    for _ in range(2):  # it stays refused
        with pytest.raises(ValueError, match=r"rcv1\.npz has SHA-256 .*, expected .*delete it"):
            load("rcv1", cache_dir=unknown)


@pytest.mark.parametrize("train", [np.eye(2)[:1], np.eye(2) / 2, np.eye(3)], ids=["a row", "grey", "columns"])
def test_a_first_copy_with_other_rows_is_refused_and_not_remembered(train, unknown):
    (unknown / "rcv1.npz").write_bytes(rows_npz(train))
    with pytest.raises(ValueError, match=r"rcv1\.npz: train has "):
        load("rcv1", cache_dir=unknown)
    assert [path.name for path in unknown.iterdir()] == ["rcv1.npz"]


@pytest.mark.parametrize(
    "content", [b"<html>not found</html>", b"", rows_npz(np.eye(2))[:-30]], ids=["a web page", "empty", "truncated"]
)
def test_a_first_copy_that_is_no_whole_file_is_refused(content, unknown):
    (unknown / "rcv1.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"rcv1\.npz is no whole zip file"):
        load("rcv1", cache_dir=unknown)


def test_a_damaged_first_copy_is_refused(unknown):
    content = bytearray((unknown / "rcv1.npz").read_bytes())
    content[content.index(b"NUMPY") + 130] ^= 1  # inside the first array
    (unknown / "rcv1.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"rcv1\.npz is no whole zip file"):
        load("rcv1", cache_dir=unknown)


def test_a_folder_that_can_only_be_read_will_do(unknown, monkeypatch):
    def refuse(*arguments):
        raise PermissionError

    monkeypatch.setattr(data, "write_whole", refuse)
    assert torch.equal(load("rcv1", cache_dir=unknown).train, torch.eye(2))


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
    cached("binarized_mnist", *map(amat, (g.integers(0, 2, (n, 784)) for n in (3, 2, 1))), sizes=(3, 2, 1))
    rows = {f"{part}_data": g.integers(0, 2, (3, 5)) for part in ("train", "valid", "test")}
    cached("dna", npz(**rows), n_features=5, sizes=(3, 3, 3))
    cached("nltcs", debd(nltcs=[csv(part) for part in rows.values()]), n_features=5, sizes=(3, 3, 3))
    return {
        (name, binarize): load(name, binarize=binarize, cache_dir=folder, **options)
        for name in ("digits", "mnist", "binarized_mnist", "dna", "nltcs")
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


# where files come from


def test_the_folder_may_be_named_by_the_environment(cached, monkeypatch):
    rows = npz(**{f"{p}_data": np.eye(3) for p in ("train", "valid", "test")})
    folder = cached("dna", rows, n_features=3, sizes=(3, 3, 3))
    monkeypatch.setenv("MADE_DATA", str(folder))
    assert torch.equal(load("dna").train, torch.eye(3))


def test_the_users_cache_is_the_default(cached, monkeypatch):
    rows = npz(**{f"{p}_data": np.eye(3) for p in ("train", "valid", "test")})
    folder = cached("dna", rows, n_features=3, sizes=(3, 3, 3))
    monkeypatch.delenv("MADE_DATA", raising=False)
    monkeypatch.setattr(data, "_user_cache", lambda: folder)
    assert torch.equal(load("dna").train, torch.eye(3))


CONTENT = bytes(range(256)) * 400


class Server:
    """Serves files on 127.0.0.1, counts requests, breaks off where it is told to, and knows ranges unless told not to.

    ``cuts``: for a path, after how many bytes each of its next answers breaks off.
    """

    def __init__(self):
        self.files, self.cuts, self.requests, self.ranges = {}, {}, [], []
        self.has_ranges, self.sent, self.together = True, 0, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                outer.ranges.append(self.headers.get("Range"))
                if outer.together is not None:
                    outer.together.wait()
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                elif outer.ranges[-1] is not None and outer.has_ranges:
                    start = int(outer.ranges[-1].removeprefix("bytes=").removesuffix("-"))
                    self.answer(206, content[start:])
                else:
                    self.answer(200, content)

            def answer(self, status, content):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                content = content[: next(outer.cuts.get(self.path, iter(())), None)]
                outer.sent += len(content)
                self.wfile.write(content)

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
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "MADE_MIRROR"):
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


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("cut", [0, 10_000])
def test_a_connection_that_brings_nothing_new_leaves_nothing(cut, has_ranges, server, tmp_path):
    server.files["/a"] = CONTENT
    server.has_ranges, server.cuts["/a"] = has_ranges, iter([cut, *[0 if has_ranges else cut] * 9])
    with pytest.raises(ConnectionError, match=r"cannot download a: .* failed"):
        data.fetch(File("a", sha256(CONTENT), (server.url("/a"),)), tmp_path)
    assert len(server.requests) == (1 if cut == 0 else 2)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_is_resumed(server, tmp_path):
    server.files["/a"] = CONTENT
    server.cuts["/a"] = iter([50_000, 20_000])
    assert data.fetch(File("a", sha256(CONTENT), (server.url("/a"),)), tmp_path) == CONTENT
    assert (tmp_path / "a").read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in server.ranges[1:]]
    assert server.ranges[0] is None
    assert 40_000 < starts[0] <= 50_000
    assert starts[0] + 10_000 < starts[1] <= starts[0] + 20_000
    assert len(CONTENT) <= server.sent < len(CONTENT) + 20_000  # nothing is sent twice but what was on its way


def test_without_ranges_it_starts_again(server, tmp_path):
    server.files["/a"] = CONTENT
    server.has_ranges, server.cuts["/a"] = False, iter([50_000, 80_000])
    assert data.fetch(File("a", sha256(CONTENT), (server.url("/a"),)), tmp_path) == CONTENT
    assert len(server.requests) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_rest_of_another_file_is_refused(server, tmp_path):
    changed = iter([CONTENT, CONTENT[::-1]])

    class Changing(dict):
        def get(self, path):
            return next(changed) if path == "/1" else super().get(path)

    server.files = Changing({"/2": CONTENT})
    server.cuts["/1"] = iter([50_000])
    urls = (server.url("/1"), server.url("/2"))
    assert data.fetch(File("a", sha256(CONTENT), urls), tmp_path) == CONTENT
    assert server.requests == ["/1", "/1", "/2"]


@pytest.mark.processes
def test_two_processes_at_once(server, tmp_path):
    """The server answers when both have asked."""
    server.files["/a.gz"] = gzip.compress(CONTENT)
    server.together = threading.Barrier(2, timeout=300)
    script = (
        "import sys; from pathlib import Path; from made.data import File, fetch\n"
        "name, sha256, url, folder = sys.argv[1:]\n"
        "print(len(fetch(File(name, sha256, (url,)), Path(folder))))"
    )
    command = [sys.executable, "-c", script, "a.gz", sha256(CONTENT), server.url("/a.gz"), str(tmp_path / "new")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == [f"{len(CONTENT)}\n"] * 2
    assert server.requests == ["/a.gz"] * 2
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gz"]
    assert gzip.decompress((tmp_path / "new" / "a.gz").read_bytes()) == CONTENT


# mirrors


def a_file(server):
    return File("a.npz", sha256(CONTENT), (server.url("/original/a.npz"),))


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("where", ["environment", "argument"])
def test_a_mirror_comes_first(where, slash, server, tmp_path, monkeypatch):
    server.files |= {"/mirror/a.npz": CONTENT, "/original/a.npz": CONTENT}
    mirror = server.url("/mirror" + slash)
    monkeypatch.setenv("MADE_MIRROR", mirror if where == "environment" else server.url("/other"))
    options = {} if where == "environment" else {"mirror": mirror}
    assert data.fetch(a_file(server), tmp_path, **options) == CONTENT
    assert server.requests == ["/mirror/a.npz"]


@pytest.mark.parametrize("served", [None, b"other", b"<html></html>"])
def test_after_a_mirror_that_fails_comes_the_next_and_then_the_original(served, server, tmp_path, monkeypatch):
    server.files |= {"/1/a.npz": served, "/2/a.npz": served, "/original/a.npz": CONTENT}
    monkeypatch.setenv("MADE_MIRROR", f"{server.url('/1')}  {server.url('/2')}")
    assert data.fetch(a_file(server), tmp_path) == CONTENT
    assert server.requests == ["/1/a.npz", "/2/a.npz", "/original/a.npz"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_mirror_that_breaks_off_is_given_up(server, tmp_path):
    server.files |= {"/mirror/a.npz": CONTENT, "/original/a.npz": CONTENT}
    server.cuts["/mirror/a.npz"] = itertools.repeat(0)
    assert data.fetch(a_file(server), tmp_path, server.url("/mirror")) == CONTENT
    assert server.requests == ["/mirror/a.npz", "/original/a.npz"]


def test_no_address_of_a_mirror_is_an_error_that_names_it(server, tmp_path):
    mirror = server.url("/mirror")
    with pytest.raises(ConnectionError, match=rf"{mirror}/a\.npz failed: 404 .*/original/a\.npz failed: 404"):
        data.fetch(a_file(server), tmp_path, mirror)


def test_addresses_are_a_str(server, tmp_path):
    with pytest.raises(TypeError, match=r"mirror must be a str of addresses with spaces between them, got \['http"):
        data.fetch(a_file(server), tmp_path, [server.url("/mirror")])
    assert server.requests == []


def test_load_hands_the_mirror_on(server, tmp_path, monkeypatch):
    parts = synthetic_debd()
    archive = debd(nltcs=[csv(part) for part in parts])
    file = replace(DATASETS["nltcs"].files[0], sha256=sha256(archive), urls=())
    monkeypatch.setitem(DATASETS, "nltcs", replace(DATASETS["nltcs"], n_features=6, sizes=(5, 3, 2), files=(file,)))
    server.files[f"/{file.name}"] = archive
    for mirror in (server.url(""), ""):  # the second time, no address is left
        assert np.array_equal(load("nltcs", cache_dir=tmp_path, mirror=mirror).train.numpy(), parts[0])
    assert server.requests == [f"/{file.name}"]


def test_a_first_copy_is_downloaded_and_remembered(server, tmp_path, monkeypatch):
    content = rows_npz(np.eye(2))
    file = replace(DATASETS["rcv1"].files[0], urls=(server.url("/1"), server.url("/2")))
    monkeypatch.setitem(DATASETS, "rcv1", replace(DATASETS["rcv1"], n_features=2, sizes=(2, 2, 2), files=(file,)))
    server.files |= {"/1": b"<html></html>", "/2": content}
    assert torch.equal(load("rcv1", cache_dir=tmp_path).train, torch.eye(2))
    (tmp_path / "rcv1.npz").unlink()
    server.files |= {"/1": rows_npz(1 - np.eye(2)), "/2": content}
    assert torch.equal(load("rcv1", cache_dir=tmp_path).train, torch.eye(2))  # not the other file
    assert server.requests == ["/1", "/2"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rcv1.npz", "rcv1.npz.sha256"]


# the id that git gives to a file: two that everybody knows


@pytest.mark.parametrize(
    ("content", "git_blob"),
    [(b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"), (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a")],
)
def test_a_file_may_be_known_by_its_git_id(content, git_blob, server, tmp_path):
    server.files |= {"/1": content + b"!", "/2": content}
    file = File("a", None, (server.url("/1"), server.url("/2")), git_blob)
    assert data.fetch(file, tmp_path) == content
    (tmp_path / "a").write_bytes(content + b"!")
    with pytest.raises(ValueError, match=rf"a has git id [0-9a-f]{{40}}, expected {git_blob}"):
        data.fetch(file, tmp_path)


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


# the registry


DEBD = [
    *["nltcs", "msnbc", "kdd", "plants", "baudio", "jester", "bnetflix", "accidents", "tretail", "pumsb_star"],
    *["debd_dna", "kosarek", "msweb", "book", "tmovie", "cwebkb", "cr52", "c20ng", "bbc", "ad"],
]
FILES = {file for dataset in DATASETS.values() for file in dataset.files}


def test_the_registry_has_the_sets_of_the_paper_and_of_debd():
    assert list(DATASETS) == ["digits", "mnist", "binarized_mnist", *PAPER, *DEBD]


def test_every_file_has_an_address_and_all_but_one_a_checksum():
    assert [name for name, dataset in DATASETS.items() if not dataset.files] == ["digits"]
    assert [file.name for file in FILES if file.sha256 is None and file.git_blob is None] == ["rcv1.npz"]
    assert len({file.name for file in FILES}) == len(FILES)  # no two files have one name in the cache
    for file in FILES:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256 or "0" * 64)
        assert re.fullmatch("[0-9a-f]{40}", file.git_blob or "0" * 40)
        assert file.urls
        ending = file.name.replace("Density-Estimation-Datasets-", "v") if file.name.endswith(".tar.gz") else file.name
        assert all(url.endswith("/" + ending) for url in file.urls)


def test_the_two_checksums_of_a_file_are_of_the_same_file():
    """The file with both: its git id is published, its SHA-256 is measured where it is at hand."""
    (file,) = (file for file in FILES if file.sha256 and file.git_blob)
    path = data.cache_folder() / file.name
    if not path.exists():
        pytest.skip(f"{path} is not at hand")
    content = path.read_bytes()
    assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == file.git_blob
    assert sha256(content) == file.sha256


ORIGINALS = {  # rows of the data that the sets were made of: all of them are in one of the three parts
    "digits": 1797,
    "mnist": 70_000,
    "binarized_mnist": 70_000,
    "adult": 32_561,
    "connect4": 67_557,
    "dna": 3186,
    "debd_dna": 3186,
    "mushrooms": 8124,
    "nips": 1740,
    "ocr_letters": 52_152,
    "rcv1": 200_000,
    "web": 49_749,
    "nltcs": 21_574,
    "msweb": 37_711,
    "cwebkb": 4199,
    "cr52": 9100,
    "c20ng": 18_821,
    "bbc": 2225,
    "ad": 3279,
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_the_parts_have_all_rows_of_the_original(name):
    assert sum(DATASETS[name].sizes) == ORIGINALS[name]


def test_every_set_says_where_it_is_from():
    for name, dataset in DATASETS.items():
        assert dataset.source.startswith("MADE paper: ") == (name in PAPER)
        assert dataset.source.startswith("DEBD: ") == (name in DEBD)
        assert dataset.licence
        assert re.search("(19|20)[0-9]{2}$", dataset.citation)


def test_the_table_of_load_is_the_registry():
    lines = [line.strip() for line in load.__doc__.splitlines()]
    first, second, last = (i for i, line in enumerate(lines) if line.startswith("==="))
    columns = [match.span() for match in re.finditer("=+", lines[first])]
    cells = lambda line: [line[start:end].strip() for start, end in columns]
    assert cells(lines[first + 1]) == ["name", "D", "train / valid / test", "source"]
    expected = [
        [name, str(dataset.n_features), " / ".join(map(str, dataset.sizes)), dataset.source]
        for name, dataset in DATASETS.items()
    ]
    assert [cells(line) for line in lines[second + 1 : last]] == expected
    assert lines[second] == lines[last] == lines[first]


@pytest.mark.parametrize("name", ["MNIST", "cifar", ""])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=f"name must be one of {', '.join(DATASETS)}, got "):
        load(name)


@pytest.mark.parametrize("binarize", ["round", True, 0.5])
def test_an_unknown_binarization_is_refused(binarize):
    with pytest.raises(ValueError, match='binarize must be "threshold", "stochastic" or None'):
        load("digits", binarize=binarize)


@pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if dataset.files])
def test_the_real_files_where_they_are_at_hand(name, no_network):
    folder, dataset = data.cache_folder(), DATASETS[name]
    if not all((folder / file.name).exists() for file in dataset.files):
        pytest.skip(f"{name} is not in the cache")
    split = load(name)
    expected = [(n, dataset.n_features) for n in dataset.sizes]
    assert [tuple(p.shape) for p in (split.train, split.valid, split.test)] == expected
    for part in (split.train, split.valid, split.test):
        assert set(part.unique().tolist()) == {0.0, 1.0}
    if name == "mnist":
        assert torch.bincount(split.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
