"""made/training/progress.py: a bar where one is wanted, and nothing at all elsewhere."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
import tqdm
from nbclient import NotebookClient

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


# in a notebook

CELLS = (
    "import torch, made",
    "history = made.fit(made.MADE(4), torch.eye(4).repeat(50, 1), torch.eye(4), epochs=30)",
    "try: made.fit(made.MADE(4), torch.eye(4), epochs=3, lr=1e30)\nexcept FloatingPointError: print('stopped')",
    "made.fit(made.MADE(4), torch.eye(4), epochs=2, progress=False)\nprint(history.train[-1], history.valid[-1])",
)


@pytest.mark.processes
def test_a_saved_notebook_holds_one_line_for_each_fit():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120).execute()
    _, first, second, quiet = (cell.outputs for cell in notebook.cells)
    train, valid = map(float, quiet[0].text.split())
    assert [output.output_type for output in first] == ["display_data"]
    assert first[0].data == {"text/plain": f"epoch 30 of 30, step 60: train {train:.4g}, valid {valid:.4g} nats"}
    assert [output.output_type for output in second] == ["display_data", "stream"]
    assert second[0].data["text/plain"].startswith("epoch 1 of 3, step 2: train ")  # the one that was a number
    assert [output.output_type for output in quiet] == ["stream"]


@pytest.fixture
def kernel(monkeypatch):
    """As if a kernel ran the tests; returns what is displayed: the first text, then what is put in its place."""
    shown = []

    def display(content, raw, display_id):
        assert (raw, display_id) == (True, True)
        shown.append(content["text/plain"])
        return SimpleNamespace(update=lambda content, raw: shown.append(content["text/plain"]))

    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", display)
    return shown


def test_below_a_cell_nothing_is_written_to_stderr(kernel, no_bars, capsys):
    history = train()
    assert kernel[-1] == f"epoch 2 of 2, step 2: train {history.train[-1]:.4g}, valid {history.valid[-1]:.4g} nats"
    assert capsys.readouterr() == ("", "")
    kernel.clear()
    train(progress=False)
    assert kernel == []


def test_the_line_below_a_cell_changes_twice_a_second_at_most(kernel, monkeypatch):
    now = 0.0
    monkeypatch.setattr("made.training.progress.time.monotonic", lambda: now)
    with Progress(900, visible=True) as progress:
        progress.resume(100)
        for step in range(1, 31):
            now += 0.25
            progress.step(step)
            if step % 10 == 0:
                progress.epoch(100 / step, None)
    assert kernel[0] == "epoch 100 of 900"
    assert kernel[1:3] == ["epoch 100 of 900, step 2", "epoch 100 of 900, step 4"]
    assert kernel[-1] == "epoch 103 of 900, step 30: train 3.333 nats"
    assert len(kernel) == 1 + 30 / 2 + 1


def test_a_terminal_of_ipython_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace())
    train()
    assert "2/2" in capsys.readouterr().err


def test_after_an_exception_the_line_is_ended(capsys):
    with pytest.raises(ZeroDivisionError), Progress(5, visible=True):
        raise ZeroDivisionError
    assert capsys.readouterr().err.endswith("\n")
