"""made/training/batches.py, and that fit and nll give the same result whatever form the rows come in."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import made
from made.training.batches import Batches, take

ROWS = torch.arange(22.0).reshape(11, 2)
CONTEXT = -ROWS[:, :1]


class Rows(Dataset):
    """Items are rows, or pairs of a row and a context; remembers which were read."""

    def __init__(self, *tables):
        self.tables, self.read = tables, []

    def __len__(self):
        return len(self.tables[0])

    def __getitem__(self, i):
        if i >= len(self):
            raise IndexError(i)
        self.read.append(i)
        return self.tables[0][i] if len(self.tables) == 1 else tuple(table[i] for table in self.tables)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(ROWS)


def memmap(folder, rows=ROWS):
    file = np.memmap(folder / "rows", dtype=rows.numpy().dtype, mode="w+", shape=tuple(rows.shape))
    file[:] = rows.numpy()
    file.flush()
    return np.memmap(folder / "rows", dtype=file.dtype, mode="r", shape=file.shape)


FORMS = {
    "tensor": lambda folder: ROWS,
    "array": lambda folder: ROWS.numpy(),
    "memmap": memmap,
    "dataset of rows": lambda folder: Rows(ROWS),
    "dataset of arrays": lambda folder: Rows(ROWS.numpy()),
    "dataset of 1-tuples": lambda folder: TensorDataset(ROWS),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_batches_in_the_same_order(form, tmp_path):
    data = FORMS[form](tmp_path)
    ordered = Batches("x", data, batch_size=4)
    assert [len(batch) for (batch,) in ordered] == [4, 4, 3]
    assert torch.equal(torch.cat([batch for (batch,) in ordered]), ROWS)
    seen = Batches("x", data, batch_size=4, generator=torch.Generator().manual_seed(3))
    expected = torch.Generator().manual_seed(3)
    passes = []
    for _ in range(2):
        passes.append(torch.cat([batch for (batch,) in seen]))
        assert torch.equal(passes[-1], ROWS[torch.randperm(11, generator=expected)])
    assert not torch.equal(*passes)


@pytest.mark.parametrize("form", ["stream", "loader", "loader of pairs", "loader of 1-tuples"])
def test_a_loader_keeps_its_own_batches(form):
    source = {
        "stream": Stream(),
        "loader": DataLoader(Rows(ROWS), batch_size=4),
        "loader of pairs": DataLoader(Rows(ROWS, CONTEXT), batch_size=4),
        "loader of 1-tuples": DataLoader(TensorDataset(ROWS), batch_size=4),
    }[form]
    batches = list(Batches("x", source, batch_size=4 if form == "stream" else 1))
    assert [len(batch[0]) for batch in batches] == [4, 4, 3]
    assert torch.equal(torch.cat([batch[0] for batch in batches]), ROWS)
    assert {len(batch) for batch in batches} == {2 if form == "loader of pairs" else 1}
    if form == "loader of pairs":
        assert torch.equal(torch.cat([batch[1] for batch in batches]), CONTEXT)


@pytest.mark.parametrize("form", [*FORMS, "stream", "loader", "shuffling loader"])
def test_the_default_device_does_not_matter(form, tmp_path):
    def passes():
        data = {
            "stream": lambda _: Stream(),
            "loader": lambda _: DataLoader(Rows(ROWS.numpy()), batch_size=4),
            "shuffling loader": lambda _: DataLoader(ROWS, batch_size=4, shuffle=True),
        }.get(form, FORMS.get(form))(tmp_path)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            ordered = Batches("x", data, batch_size=4)
            shuffled = Batches("x", data, batch_size=4, generator=torch.Generator("cpu").manual_seed(3))
            found = [batch.tolist() for batches in (ordered, shuffled, shuffled) for (batch,) in batches]
            return found, ordered.fingerprint(), ordered.largest()

    expected = passes()
    with torch.device("meta"):
        assert passes() == expected


@pytest.mark.parametrize("form", ["tensors", "arrays", "dataset"])
def test_a_context_goes_with_its_row(form):
    data, context = {
        "tensors": (ROWS, CONTEXT),
        "arrays": (ROWS.numpy(), CONTEXT.numpy()),
        "dataset": (Rows(ROWS, CONTEXT), None),
    }[form]
    batches = Batches("x", data, context, batch_size=4, generator=torch.Generator().manual_seed(0))
    for rows, contexts in batches:
        assert torch.equal(contexts, -rows[:, :1])


@pytest.mark.parametrize("form", [*FORMS, "loader"])
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_a_pass_can_start_later(form, skip, tmp_path):
    generator = torch.Generator()
    if form == "loader":
        data = DataLoader(Rows(ROWS), batch_size=4, shuffle=True, generator=generator)
    else:
        data = FORMS[form](tmp_path)
    batches = Batches("x", data, batch_size=4, generator=generator)
    generator.manual_seed(7)
    whole = list(batches)
    generator.manual_seed(7)
    rest = list(batches.after(skip))
    assert len(rest) == 3 - skip
    for (a,), (b,) in zip(whole[skip:], rest, strict=True):
        assert torch.equal(a, b)


def test_what_is_skipped_is_not_read():
    data = Rows(ROWS)
    for _ in Batches("x", data, batch_size=4).after(2):
        pass
    assert data.read == [8, 9, 10]


def test_rows_are_read_when_their_batch_is_due():
    data = Rows(ROWS)
    batches = iter(Batches("x", data, batch_size=4))
    assert data.read == []
    next(batches)
    assert data.read == [0, 1, 2, 3]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("form", ["tensor", "memmap", "dataset of rows"])
def test_processes_share_every_batch(form, world, tmp_path):
    data, pieces = FORMS[form](tmp_path), []
    for rank in range(world):
        generator = torch.Generator().manual_seed(2)
        pieces.append(list(Batches("x", data, batch_size=4, generator=generator, rank=rank, world=world)))
    whole = [batch for (batch,) in Batches("x", data, batch_size=4, generator=torch.Generator().manual_seed(2))]
    for step, expected in enumerate(whole):
        parts = [piece[step][0] for piece in pieces if piece[step]]  # a process without rows gets ()
        assert sum(map(len, parts)) == len(expected)
        both = torch.cat(parts)
        assert torch.equal(both[both[:, 0].argsort()], expected[expected[:, 0].argsort()])
    assert {len(piece) for piece in pieces} == {3}


def test_a_distributed_sampler_is_told_the_epoch():
    sampler = torch.utils.data.DistributedSampler(ROWS, num_replicas=2, rank=0, seed=1)
    batches = Batches("x", DataLoader(ROWS, batch_size=2, sampler=sampler), batch_size=1)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(torch.cat([batch for (batch,) in batches]))
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


def test_the_fingerprint_tells_data_apart(tmp_path):
    def fingerprint(data, context=None):
        return Batches("x", data, context, batch_size=4).fingerprint()

    same = {fingerprint(ROWS), fingerprint(ROWS.clone()), fingerprint(ROWS.numpy()), fingerprint(memmap(tmp_path))}
    changed_at_the_end = ROWS.clone()
    changed_at_the_end[-1, -1] += 1
    others = [ROWS.flip(0), changed_at_the_end, ROWS[:-1], ROWS.double()]
    assert len(same) == 1
    assert len(same | {fingerprint(other) for other in others}) == 1 + len(others)
    assert fingerprint(ROWS, CONTEXT) != fingerprint(ROWS)
    assert fingerprint(ROWS, CONTEXT) != fingerprint(ROWS, CONTEXT + 1)
    assert fingerprint(Rows(ROWS)) == "Rows"
    assert fingerprint(DataLoader(Rows(ROWS))) == "Rows"


def test_the_largest_absolute_value_is_found_anywhere(tmp_path):
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64):
        for place in (0, 7, 21):
            x = torch.zeros(22, dtype=dtype)
            x[place] = -300
            assert Batches("x", x.view(11, 2), batch_size=4).largest() == 300
    x = torch.tensor([[1.0, math.nan], [-2.0, 0.0]], dtype=torch.float64)
    assert Batches("x", memmap(tmp_path, x), batch_size=1).largest() == 2
    assert Batches("x", torch.tensor([[1.0, -math.inf]]), batch_size=1).largest() == math.inf
    assert Batches("x", Rows(ROWS), batch_size=1).largest() is None


def test_take_keeps_the_type():
    for source in (ROWS.half(), ROWS.half().numpy(), Rows(ROWS.half())):
        taken = take(source, torch.tensor([3, 0]))
        assert torch.equal(taken, ROWS[[3, 0]].half())
        assert taken.dtype == torch.float16


@pytest.mark.parametrize(
    ("data", "context", "error", "message"),
    [
        (3.0, None, TypeError, r"train must be a tensor, array, DataFrame or list of shape \(N, D\), .* got float"),
        ([0.0, 1.0], None, ValueError, r"train must have shape \(N, D\) with N >= 1, got \(2,\)"),
        ([[0.0, 1.0], [2.0]], None, ValueError, "train must have rows of one length"),
        ([["a"]], None, TypeError, "train must be a list of numbers, got one of str"),
        (np.array([["a"]]), None, TypeError, "train must be a tensor .* got an array of <U1"),
        (np.zeros((2, 2), dtype=complex), None, TypeError, "train must be a tensor .* got an array of complex128"),
        (np.zeros((2, 2), dtype=object), None, TypeError, "train must be a tensor .* got an array of object"),
        (torch.zeros(3), None, ValueError, r"train must have shape \(N, D\) with N >= 1, got \(3,\)"),
        (torch.zeros(0, 2), None, ValueError, r"train must have shape \(N, D\) with N >= 1, got \(0, 2\)"),
        (np.zeros((2, 2, 2)), None, ValueError, r"train must have shape .*got \(2, 2, 2\)"),
        (Rows(ROWS[:0]), None, ValueError, "train must have at least one row"),
        (ROWS, CONTEXT[:-1], ValueError, r"context must have 11 rows, one per row of train, got shape \(10, 1\)"),
        (ROWS, CONTEXT[:, 0], ValueError, r"context must have 11 rows, .* got shape \(11,\)"),
        (ROWS, [1.0] * 11, ValueError, r"context must have 11 rows, .* got shape \(11,\)"),
        (ROWS, 1.0, TypeError, r"context must be a tensor, array, DataFrame or list of shape \(N, D\), got float"),
        (ROWS, Rows(ROWS), TypeError, "context must be a tensor, .* got Rows"),
        (Rows(ROWS), CONTEXT, TypeError, "got Tensor beside Rows: items of a dataset bring their own"),
    ],
)
def test_what_is_no_data_is_refused(data, context, error, message):
    with pytest.raises(error, match=message):
        Batches("train", data, context, batch_size=4)


# fit and nll on every form

BITS = (torch.rand(53, 6, generator=torch.Generator().manual_seed(1)) < 0.4).double()
SIDE = torch.randn(53, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
SETTINGS = {"epochs": 3, "batch_size": 10, "lr": 0.02, "progress": False}


def weights(train, valid=None, n=6, context_features=0, context=None, **options):
    model = made.MADE(n, (8,), context_features=context_features, seed=4).double()
    history = made.fit(model, train, valid, context=context, **SETTINGS, **options)
    return history, torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("form", ["array", "memmap", "dataset"])
def test_fit_gives_the_same_weights_from_every_form(form, tmp_path):
    pack = {"array": torch.Tensor.numpy, "memmap": lambda rows: memmap(tmp_path, rows), "dataset": Rows}[form]
    history, found = weights(pack(BITS), BITS[:20])
    expected_history, expected = weights(BITS, BITS[:20])
    assert history == expected_history
    assert torch.equal(found, expected)
    assert weights(BITS, pack(BITS[:20].contiguous()))[0] == expected_history


def test_fit_gives_the_same_weights_from_a_loader():
    """A loader brings its own order; with all rows in one batch, the order does not matter."""
    models = [made.MADE(6, (8,), seed=4).double() for _ in range(2)]
    for model, data in zip(models, (DataLoader(BITS, batch_size=53), BITS), strict=True):
        made.fit(model, data, BITS[:20], **{**SETTINGS, "batch_size": 53})
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-12)


def test_fit_gives_the_same_weights_with_contexts_from_every_form():
    expected = weights(BITS, context_features=2, context=SIDE)
    arrays = weights(BITS.numpy(), context_features=2, context=SIDE.numpy())
    pairs = weights(Rows(BITS, SIDE), context_features=2)
    assert arrays[0] == pairs[0] == expected[0]
    assert torch.equal(arrays[1], expected[1])
    assert torch.equal(pairs[1], expected[1])
    assert not torch.allclose(weights(BITS, context_features=2, context=SIDE.flip(0))[1], expected[1])


def test_nll_is_the_same_from_every_form(tmp_path):
    model = made.MADE(6, (8,)).double()
    losses = -model.log_prob(BITS)
    for data in (BITS, BITS.numpy(), memmap(tmp_path, BITS), Rows(BITS), DataLoader(BITS, batch_size=7)):
        found = made.nll(model, data, batch_size=20)
        assert found.mean == pytest.approx(losses.mean().item(), abs=1e-12)
        assert found.stderr == pytest.approx(losses.std().item() / math.sqrt(53), abs=1e-12)
        assert found.n == 53


# numbers that are no tensors of the model's dtype

KINDS = {
    "float64": lambda rows: rows.double().numpy(),
    "longdouble": lambda rows: rows.double().numpy().astype(np.longdouble),
    "int64": lambda rows: rows.long().numpy(),
    "bool": lambda rows: rows.bool().numpy(),
    "DataFrame": lambda rows: pd.DataFrame(rows.float().numpy()).astype({0: bool, 1: int}),
    "list": lambda rows: rows.tolist(),
    "tuple": lambda rows: tuple(map(tuple, rows.int().tolist())),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_whatever_holds_the_same_numbers_gives_the_same_fit(kind, dtype):
    results, x = [], BITS.to(dtype)
    for convert in (lambda rows: rows, KINDS[kind]):
        model = made.MADE(6, (8,), seed=4).to(dtype)
        history = made.fit(model, convert(x), convert(x[:20]), **SETTINGS)
        results.append((history, made.nll(model, convert(x), batch_size=20)))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", ["float64", "DataFrame", "list"])
def test_contexts_are_converted_likewise(kind):
    convert = {"DataFrame": lambda rows: pd.DataFrame(rows.numpy()), "list": torch.Tensor.tolist}.get(
        kind, torch.Tensor.numpy
    )
    results, x = [], BITS.float()
    for side in (SIDE.float(), convert(SIDE)):  # SIDE is float64: it is rounded
        model = made.MADE(6, (8,), context_features=2, seed=4)
        history = made.fit(model, x, x, context=(side, side), **SETTINGS)
        results.append((history, made.nll(model, x, context=side)))
    assert results[0] == results[1]


def test_a_float64_file_is_read_batch_by_batch(tmp_path, monkeypatch):
    file, sizes = memmap(tmp_path, BITS), []
    original = np.memmap.__getitem__
    monkeypatch.setattr(np.memmap, "__getitem__", lambda self, key: sizes.append(np.size(key)) or original(self, key))
    monkeypatch.setattr(np.memmap, "__array__", None, raising=False)  # whoever took the whole file would need it
    expected, model = made.MADE(6, (8,), seed=4), made.MADE(6, (8,), seed=4)
    history = made.fit(model, file, **SETTINGS)
    assert max(sizes) <= 100  # of the fingerprint
    assert sizes.count(10) == 5 * SETTINGS["epochs"]
    assert history == made.fit(expected, BITS.float(), **SETTINGS)


def test_rows_that_would_be_lost_are_named_by_their_number():
    rows = np.zeros((2500, 2))
    rows[1234, 1] = 1e300
    model = made.MADE(2, likelihood=made.Gaussian())
    message = r"^row 1234 of {} must hold what torch.float32 can: 1e\+300 at position \(1,\) would become inf$"
    with pytest.raises(ValueError, match=message.format("train")):
        made.fit(model, rows, progress=False)
    with pytest.raises(ValueError, match=message.format("valid")):
        made.fit(model, rows[:9], rows, progress=False)
    with pytest.raises(ValueError, match=message.format("x")):
        made.nll(model, rows)
    conditional = made.MADE(2, likelihood=made.Gaussian(), context_features=2)
    with pytest.raises(ValueError, match=message.format("context")):
        made.nll(conditional, np.zeros((2500, 2)), context=rows)
    with pytest.raises(ValueError, match=r"^train must hold what torch.float32 can: 1e\+300 at position \(1234, 1\)"):
        made.fit(model, rows.tolist(), progress=False)
    with pytest.raises(ValueError, match=r"^column 'b' of train must hold what .* 1e\+300 at position \(1234,\)"):
        made.fit(model, pd.DataFrame(rows, columns=["a", "b"]), progress=False)
    with pytest.raises(TypeError, match=r"^column 'b' of valid must hold numbers, got (object|str)"):
        made.fit(model, rows[:2], pd.DataFrame({"a": [1.0], "b": ["x"]}), progress=False)


@pytest.mark.parametrize("wrap", [torch.Tensor.numpy, lambda rows: rows, DataLoader], ids=["array", "tensor", "loader"])
def test_rows_that_the_model_refuses_are_named(wrap):
    rows = torch.zeros(2500, 2)
    rows[1234, 1] = 0.5
    for model in (made.MADE(2), made.Autoencoder(2, (), 1)):
        loader = wrap is DataLoader
        found = r"{} must be 0 or 1 for Bernoulli\(\), got 0.5 at position " + (r"\(0, 1\)" if loader else r"\(1,\)")
        row = "" if loader else "row 1234 of "
        with pytest.raises(ValueError, match=f"^{row}{found.format('train')}"):
            made.fit(model, wrap(rows), progress=False)
        with pytest.raises(ValueError, match=f"^{row}{found.format('valid')}"):
            made.fit(model, wrap(rows[:9].contiguous()), wrap(rows), progress=False)
    with pytest.raises(ValueError, match=f"^{row}{found.format('x')}"):
        made.nll(made.MADE(2), wrap(rows))


def test_tensors_of_another_dtype_are_refused_by_name():
    model, message = (
        made.MADE(6, (8,)),
        "{} must be a tensor of the model's dtype torch.float32, got a tensor of torch.float64",
    )
    with pytest.raises(TypeError, match=f"^{message.format('train')}$"):
        made.fit(model, BITS, progress=False)
    with pytest.raises(TypeError, match=f"^{message.format('valid')}$"):
        made.fit(model, BITS.float(), BITS, progress=False)
    with pytest.raises(TypeError, match=f"^{message.format('x')}$"):
        made.nll(model, BITS)
    with pytest.raises(TypeError, match=f"^{message.format('train')}$"):
        made.fit(model, DataLoader(BITS), progress=False)


def test_a_module_of_ones_own_is_given_integers_as_they_are_and_floats_of_its_dtype():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = torch.nn.Parameter(torch.zeros(6)), set()

        def loss(self, x):
            self.seen.add(x.dtype)
            return ((self.weight - x.float()) ** 2).mean()

    for kind, expected in [
        ("u1", torch.uint8),
        ("i8", torch.int64),
        ("?", torch.bool),
        ("f8", torch.float32),
        ("f2", torch.float32),
    ]:
        model = Own()
        made.fit(model, BITS.numpy().astype(kind), epochs=1, progress=False)
        assert model.seen == {expected}


def test_an_error_of_another_kind_stays_as_it_is():
    class Failing(made.MADE):
        def loss(self, x):
            raise ValueError("of its own")

    with pytest.raises(ValueError, match=r"^of its own$"):
        made.fit(Failing(6), BITS.float(), BITS.float(), progress=False)


@pytest.mark.parametrize("parts", [2, 3, 10, 11])
def test_accumulation_changes_nothing_but_rounding(parts):
    expected_history, expected = weights(BITS)
    history, found = weights(BITS, accumulate=parts)
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)
    assert history.train == pytest.approx(expected_history.train, abs=1e-10)


def test_accumulation_really_makes_smaller_parts(monkeypatch):
    sizes, original = [], made.MADE.loss
    monkeypatch.setattr(made.MADE, "loss", lambda self, x: sizes.append(len(x)) or original(self, x))
    weights(BITS, accumulate=4)
    assert sizes[:6] == [3, 3, 3, 1, 3, 3]
    assert sum(sizes) == 3 * 53


def test_bfloat16_changes_the_result_a_little_and_keeps_the_weights_as_they_were():
    data = BITS.float()
    models = [made.MADE(6, (8,), seed=4) for _ in range(2)]
    for model, amp in zip(models, (False, True), strict=True):
        made.fit(model, data, **{**SETTINGS, "epochs": 20}, amp=amp)
    assert all(p.dtype == torch.float32 for model in models for p in model.parameters())
    plain, mixed = (made.nll(model, data).mean for model in models)
    assert plain != mixed
    assert plain == pytest.approx(mixed, abs=0.02)


def test_amp_computes_in_bfloat16(monkeypatch):
    dtypes, original = set(), torch.nn.functional.linear

    def linear(x, w, b=None):
        y = original(x, w, b)
        dtypes.add(y.dtype)
        return y

    monkeypatch.setattr("made.layers.F.linear", linear)
    made.fit(made.MADE(6, (8,)), BITS.float(), **{**SETTINGS, "epochs": 1}, amp=True)
    assert dtypes == {torch.bfloat16}


LARGE = """
import resource, sys
from pathlib import Path
import numpy as np, torch
import made

rows = np.memmap(sys.argv[1], dtype=np.uint8, mode="r", shape=(1 << 13, 1 << 16))  # 512 MiB

class Thin(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = made.MADE(64, (8,))

    def loss(self, x):
        return self.model.loss(x[:, ::1024].float())

made.fit(Thin(), rows[:1000], epochs=2, progress=False)
used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (used + (1 << 27), used + (1 << 27)))  # 128 MiB more, and no more
print(made.fit(Thin(), rows, rows[:1000], epochs=1, progress=False).stopped)
try:
    np.array(rows)
except MemoryError:
    print("too large to load")
"""


@pytest.mark.processes
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files with holes and memory limits as on Linux")
def test_a_file_larger_than_the_memory_it_is_given(tmp_path):
    path = tmp_path / "rows"
    with open(path, "wb") as file:
        file.truncate(1 << 29)  # a hole: it takes no room on the disk
    run = subprocess.run([sys.executable, "-c", LARGE, path], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == ["epochs", "too large to load"]
