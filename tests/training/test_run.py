"""made/training/run.py: a training run that is stopped at any moment goes on as if nothing had happened."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import made
from made.training import checkpoint as checkpoints

TRAIN, VALID = ((torch.rand(n, 6, generator=torch.Generator().manual_seed(n)) < 0.4).float() for n in (43, 30))
SCRIPT = Path(__file__).parents[1] / "scripts" / "kill_and_resume.py"
KINDS = ["plain", "writes", "masks", "memmap", "loader", "seeded loader"]
KINDS += ["two processes"] if torch.distributed.is_gloo_available() else []
SETTINGS = {"epochs": 3, "batch_size": 10, "lr": 0.05, "seed": 1, "progress": False}


class Killed(BaseException):
    """What stands in for a kill where no process needs to die."""


class Mortal(torch.nn.Module):
    """A model whose n-th call of ``loss`` raises an exception."""

    def __init__(self, dies_at=None, error=Killed, **options):
        super().__init__()
        self.model = made.MADE(6, (8,), **{"dropout": 0.2, **options})
        self.dies_at, self.error, self.calls = dies_at, error, 0

    def loss(self, x):
        self.calls += 1
        if self.calls == self.dies_at:
            raise self.error
        return self.model.loss(x)


def same(a, b):
    weights = zip(a.model.state_dict().items(), b.model.state_dict().items(), strict=True)
    return all(name == other and (name == "_extra_state" or torch.equal(p, q)) for (name, p), (other, q) in weights)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What is known of every kind of run that was killed again and again."""
    if not hasattr(os, "fork"):
        pytest.skip("a system without forks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", SCRIPT, tmp_path_factory.mktemp("killed"), *KINDS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {found["kind"]: found for found in map(json.loads, run.stdout.splitlines())}


@pytest.mark.processes
@pytest.mark.parametrize("kind", KINDS)
def test_killed_again_and_again_it_ends_with_the_same_bits(kind, killed):
    found = killed[kind]
    *deaths, end = found["endings"]
    assert set(end) == {"done"}
    assert all("killed" in endings for endings in deaths)
    assert found["equal"]
    assert found["same checkpoint"]
    assert found["left at the end"] == 0


@pytest.mark.processes
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "writes"])
def test_it_was_killed_at_every_step_and_every_validation(kind, killed):
    """Three epochs of five steps: after a kill the checkpoint holds the step before, whatever the kind."""
    assert killed[kind]["steps"] == [0, *range(1, 6), 5, *range(6, 11), 10, *range(11, 16)]
    assert not any(killed[kind]["left"])


@pytest.mark.processes
def test_it_was_killed_within_writings_and_cleans_up_behind_itself(killed):
    steps, left = killed["writes"]["steps"], killed["writes"]["left"]
    assert steps[:4] == [None, None, None, 0]  # in the first writing, at four moments
    assert len(steps) > 12
    assert steps[4:] == sorted(steps[4:])
    assert left == ([1, 1, 1, 0] * len(left))[: len(left)]  # only a writing that came to its end leaves nothing


@pytest.mark.processes
def test_two_processes_are_no_run_for_one(killed):
    if "two processes" not in killed:
        pytest.skip("PyTorch without gloo")
    assert "belongs to another run: processes was 2, now it is 1" in killed["two processes"]["alone"]


@pytest.mark.parametrize("options", [{}, {"order": "random", "n_masks": None}], ids=["one mask", "fresh masks"])
def test_stopped_at_any_call_it_ends_with_the_same_bits(options, tmp_path):
    whole, settings = Mortal(**options), {**SETTINGS, "epochs": 2}
    expected = made.fit(whole, TRAIN, VALID, **settings)
    assert whole.calls == 2 * (5 + 1)
    for call in range(1, whole.calls + 1):
        where = {"checkpoint": tmp_path / str(call), "checkpoint_seconds": 0.0, "resume": True}
        with pytest.raises(Killed):
            made.fit(Mortal(call, **options), TRAIN, VALID, **settings, **where)
        again = Mortal(**options)
        history = made.fit(again, TRAIN, VALID, **settings, **where)
        assert again.calls < whole.calls or call == 1  # what was done is not done again
        assert history == expected
        assert same(again, whole)


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("writing", [1, 2, 9])
def test_a_crash_while_writing_leaves_a_whole_file(stage, writing, tmp_path, monkeypatch):
    whole, path, calls = Mortal(), tmp_path / "run", []
    expected = made.fit(whole, TRAIN, VALID, **SETTINGS)

    def crash(*arguments):
        if stage == "replace" or stat.S_ISREG(os.fstat(*arguments).st_mode):  # folders are synced too
            calls.append(arguments)
        if len(calls) == writing:
            raise Killed
        return original(*arguments)

    where = {"checkpoint": path, "checkpoint_seconds": 0.0, "resume": True}
    original = getattr(os, stage)
    with monkeypatch.context() as patch:
        patch.setattr(os, stage, crash)
        with pytest.raises(Killed):
            made.fit(Mortal(), TRAIN, VALID, **SETTINGS, **where)
    assert path.exists() == (writing > 1)
    if writing > 1:
        assert checkpoints.read(path)["step"] == {2: 0, 9: 6}[writing]  # what the writing before had put down
    again = Mortal()
    assert made.fit(again, TRAIN, VALID, **SETTINGS, **where) == expected
    assert same(again, whole)


def test_within_an_epoch_it_is_written_only_when_due(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("made.training.run.write", lambda path, state: written.append((state["step"], state["done"])))
    made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=tmp_path / "run")
    assert written == [(0, 0), (5, 0), (10, 0), (15, 0)]  # at the start and after every epoch
    written.clear()
    made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=tmp_path / "run", checkpoint_seconds=0)
    assert len(written) == 1 + 15 + 3


def test_without_a_file_it_starts_afresh_and_with_one_it_must_be_told(tmp_path):
    path = tmp_path / "run"
    first, again = Mortal(), Mortal()
    history = made.fit(first, TRAIN, VALID, **SETTINGS, checkpoint=path, resume=True)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=path)
    assert path.read_bytes() == before
    assert made.fit(again, TRAIN, VALID, **SETTINGS, checkpoint=path, resume=True) == history
    assert again.calls == 0  # the run was complete
    assert same(first, again)
    assert not again.training


def test_more_epochs_go_on_where_the_run_ended(tmp_path):
    whole, longer, path = Mortal(), Mortal(), tmp_path / "run"
    expected = made.fit(whole, TRAIN, VALID, **{**SETTINGS, "epochs": 6})
    made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=path)
    history = made.fit(longer, TRAIN, VALID, **{**SETTINGS, "epochs": 6}, checkpoint=path, resume=True)
    assert history == expected
    assert same(whole, longer)


def test_ctrl_c_keeps_the_best_weights_and_the_run_can_go_on(tmp_path):
    whole, again, path = Mortal(), Mortal(), tmp_path / "run"
    expected = made.fit(whole, TRAIN, VALID, **SETTINGS)
    stopped = Mortal(15, KeyboardInterrupt)
    history = made.fit(stopped, TRAIN, VALID, **SETTINGS, checkpoint=path)
    assert history.stopped == "interrupted"
    assert len(history.train) == 2
    assert made.training.nll(stopped.model, VALID).mean == pytest.approx(min(history.valid), rel=1e-6)
    assert made.fit(again, TRAIN, VALID, **SETTINGS, checkpoint=path, resume=True) == expected
    assert same(again, whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 0.01}, "lr was 0.05, now it is 0.01"),
        ({"batch_size": 7}, "batch_size was 10, now it is 7"),
        ({"seed": 2}, "seed"),
        ({"weight_decay": 0.1}, "weight_decay"),
        ({"accumulate": 2}, "accumulate"),
        ({"amp": True}, "amp"),
        ({"train": TRAIN.flip(0)}, "train"),
        ({"train": VALID}, "train"),
        ({"valid": None}, "valid"),
        ({"valid": 1 - VALID}, "valid"),
        ({"model": Mortal(order="random")}, "model"),
        ({"model": Mortal(dropout=0.0)}, "model"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_run_is_refused(change, named, tmp_path):
    path = tmp_path / "run"
    made.fit(Mortal(), TRAIN, VALID, **{**SETTINGS, "epochs": 1}, checkpoint=path)
    before = path.read_bytes()
    now = {"model": Mortal(), "train": TRAIN, "valid": VALID, **SETTINGS, **change}
    with pytest.raises(ValueError, match=f"checkpoint .*run belongs to another run: {named}"):
        made.fit(**now, checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_a_checkpoint_changes_neither_the_result_nor_the_global_generator(tmp_path):
    plain, watched = Mortal(), Mortal()
    expected, before = made.fit(plain, TRAIN, VALID, **SETTINGS), torch.get_rng_state()
    history = made.fit(watched, TRAIN, VALID, **SETTINGS, checkpoint=tmp_path / "run", checkpoint_seconds=0)
    assert history == expected
    assert same(plain, watched)
    assert torch.equal(torch.get_rng_state(), before)
    made.fit(Mortal(), TRAIN, VALID, **{**SETTINGS, "epochs": 4}, checkpoint=tmp_path / "run", resume=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_resume_needs_a_file_and_the_time_is_checked():
    with pytest.raises(ValueError, match="resume needs a checkpoint"):
        made.fit(Mortal(), TRAIN, resume=True)
    with pytest.raises(ValueError, match=r"checkpoint_seconds must be a number in \[0, inf\), got -1"):
        made.fit(Mortal(), TRAIN, checkpoint="run", checkpoint_seconds=-1)


def test_a_file_that_a_killed_writer_left_is_removed(tmp_path):
    ours, theirs = tmp_path / "run.0123456789abcdef.partial", tmp_path / "run.1.0123456789abcdef.partial"
    ours.touch()
    theirs.touch()
    made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", theirs.name]
    ours.touch()
    with pytest.raises(FileExistsError):
        made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=tmp_path / "run")
    assert ours.exists()  # a run that was refused touches nothing
    made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=tmp_path / "run", resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", theirs.name]


def test_numbers_of_numpy_are_as_good(tmp_path):
    """Also in the checkpoint, which holds plain values only."""
    plain, again, path = Mortal(), Mortal(), tmp_path / "run"
    expected = made.fit(plain, TRAIN, VALID, **SETTINGS, accumulate=2)
    numpy = {"epochs": np.int64(3), "batch_size": np.int32(10), "lr": np.float64(0.05), "seed": np.int64(1)}
    numpy |= {"accumulate": np.uint8(2), "weight_decay": np.float32(0), "amp": np.False_, "progress": False}
    assert made.fit(again, TRAIN, VALID, **numpy, checkpoint=path) == expected
    assert same(plain, again)
    assert made.fit(Mortal(), TRAIN, VALID, **SETTINGS, accumulate=2, checkpoint=path, resume=True) == expected


def test_the_file_holds_what_version_0_1_0_wrote(tmp_path):
    """Other names, or other settings to compare, would make the files of older runs useless."""
    path = tmp_path / "run"
    made.fit(Mortal(), TRAIN, VALID, **SETTINGS, checkpoint=path)
    state = checkpoints.read(path)
    assert path.read_bytes().startswith(b"made.fit/1 sha256 ")
    names = "settings model optimizer best history step done rows processes"
    assert list(state) == names.split()
    names = "lr weight_decay batch_size accumulate amp seed processes model train valid"
    assert list(state["settings"]) == names.split()
    assert list(state["history"]) == ["train", "valid", "best_epoch", "stopped"]
    assert list(state["processes"][0]) == ["total", "epoch_start", "now"]
    assert list(state["processes"][0]["now"]) == ["cpu", "cuda", "rows"]


def test_a_model_with_companion_weights_goes_on_from_a_checkpoint_of_0_1_0(tmp_path):
    """That version had one class for both kinds of layer, and what it called them stands in its checkpoints."""
    path, options = tmp_path / "run", {"mask_conditioning": True, "order": "random", "n_masks": 3}
    made.fit(Mortal(**options), TRAIN, VALID, **{**SETTINGS, "epochs": 1}, checkpoint=path)
    state = checkpoints.read(path)
    assert "ConditionedLinear" not in state["settings"]["model"]
    assert state["settings"]["model"].count("MaskedLinear(") == 3
    history = made.fit(Mortal(**options), TRAIN, VALID, **SETTINGS, checkpoint=path, resume=True)
    assert history == made.fit(Mortal(**options), TRAIN, VALID, **SETTINGS)


def test_raw_outputs_that_meant_something_else_are_no_start(tmp_path):
    """A checkpoint of 0.1.0 says nothing of likelihoods: its scales were exponentials, its columns padded."""
    path = tmp_path / "run"
    real = {"hidden": (4,), "likelihood": made.Gaussian()}
    train = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    made.fit(made.MADE(3, **real), train, epochs=1, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="belongs to another run: likelihoods was"):
        made.fit(made.MADE(3, (4,), likelihood=made.Gaussian(0.5)), train, checkpoint=path, resume=True, progress=False)
    state = checkpoints.read(path)
    del state["settings"]["likelihoods"]
    checkpoints.write(path, state)
    with pytest.raises(ValueError, match="belongs to another run: likelihoods was None"):
        made.fit(made.MADE(3, **real), train, checkpoint=path, resume=True, progress=False)
    as_then = made.MADE(3, (4,), likelihood=made.Gaussian(scale_map="exp"))
    history = made.fit(as_then, train, epochs=2, checkpoint=path, resume=True, progress=False)
    assert len(history.train) == 2


def test_a_falling_rate_follows_its_cosine_also_after_a_stop(tmp_path, monkeypatch):
    path, rates = tmp_path / "run", []
    right = torch.optim.AdamW.step

    def step(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return right(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    settings = {**SETTINGS, "schedule": "cosine", "lr": 0.01, "epochs": 4}
    whole = Mortal()
    history = made.fit(whole, TRAIN, VALID, **settings)
    expected = [0.005 * (1 + np.cos(np.pi * e / 4)) for e in range(len(history.train))]
    assert sorted(set(rates), reverse=True) == pytest.approx(expected)
    with pytest.raises(Killed):
        made.fit(Mortal(dies_at=9), TRAIN, VALID, **settings, checkpoint=path)
    again = Mortal()
    assert made.fit(again, TRAIN, VALID, **settings, checkpoint=path, resume=True) == history
    assert same(whole, again)
    with pytest.raises(ValueError, match="belongs to another run: schedule was cosine over 4 epochs"):
        made.fit(Mortal(), TRAIN, VALID, **{**settings, "epochs": 5}, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="belongs to another run: schedule was cosine over 4 epochs, now it is None"):
        made.fit(Mortal(), TRAIN, VALID, **{**settings, "schedule": "constant"}, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="schedule must be"):
        made.fit(Mortal(), TRAIN, VALID, schedule="linear")
