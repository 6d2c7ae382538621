"""made/training/progress.py: a bar where one is wanted, and nothing at all elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import tqdm

import made
from made.training.parallel import Group
from made.training.progress import Progress

SCRIPT = Path(__file__).parents[1] / "scripts" / "killed_with_a_lock.py"


@pytest.fixture
def no_bars(monkeypatch):
    """No bar can be made, nor the lock of all bars be taken."""

    def refuse(*arguments, **options):
        raise AssertionError("a bar")

    monkeypatch.setattr(tqdm, "tqdm", refuse)
    monkeypatch.setattr(tqdm.std.tqdm, "__new__", refuse)
    monkeypatch.setattr(tqdm.std.tqdm, "get_lock", refuse)


def train(**options):
    return made.fit(made.MADE(2), torch.eye(2), torch.eye(2), epochs=2, **options)


def test_where_no_bar_is_wanted_there_is_none(no_bars, capsys):
    assert train(progress=False).stopped == "epochs"
    assert capsys.readouterr() == ("", "")
    with pytest.raises(AssertionError, match="a bar"):
        train()


def test_of_several_processes_only_the_first_has_a_bar(no_bars, monkeypatch):
    monkeypatch.setattr(Group, "join", lambda: Group(rank=1, world=1))
    assert train().stopped == "epochs"


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without forks")
def test_a_fork_killed_with_the_lock_of_all_bars_does_not_stop_training():
    run = subprocess.run([sys.executable, "-W", "error", SCRIPT], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "epochs\n"


def test_a_bar_takes_one_line(capsys):
    history = train()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    last = err.rstrip("\n").rsplit("\r", 1)[-1]
    assert "step 2" in last
    assert "2/2" in last
    assert f"train={history.train[-1]:.3g}, valid={history.valid[-1]:.3g}" in last


def test_a_run_that_goes_on_starts_where_it_was(capsys):
    with Progress(5, visible=True) as progress:
        progress.resume(3)
        progress.epoch(1.5, None)
    last = capsys.readouterr().err.rstrip("\n").rsplit("\r", 1)[-1]
    assert "4/5" in last
    assert "train=1.5" in last
    assert "valid" not in last


def test_after_an_exception_the_line_is_ended(capsys):
    with pytest.raises(ZeroDivisionError), Progress(5, visible=True):
        raise ZeroDivisionError
    assert capsys.readouterr().err.endswith("\n")
