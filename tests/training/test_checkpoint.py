"""made/training/checkpoint.py: files that are whole, or refused."""

import hashlib
import io
import pickle
import random

import pytest
import torch

import made
from made.training.checkpoint import MAGIC, read, write

STATE = {"weights": torch.arange(5.0), "history": {"train": [1.5, 2.5]}, "path": None, "name": "run"}


@pytest.fixture
def path(tmp_path):
    write(tmp_path / "run", STATE)
    return tmp_path / "run"


def test_what_is_written_is_read(path):
    state = read(path)
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {name: value for name, value in STATE.items() if name != "weights"}
    assert [file.name for file in path.parent.iterdir()] == ["run"]


def test_any_changed_byte_is_noticed(path):
    content = path.read_bytes()
    places = {0, 5, len(MAGIC), len(content) - 1, *random.Random(0).sample(range(len(content)), 200)}
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.Random(place).randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint .*run (is damaged|was not written by made\.fit)"):
            read(path)


@pytest.mark.parametrize("kept", [0, 1, 20, 90, 200, -1])
def test_a_file_cut_short_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"checkpoint .*run (is damaged|was not written by made\.fit)"):
        read(path)


def test_other_files_are_refused(path):
    made.MADE(3).save(path)
    with pytest.raises(ValueError, match=r"checkpoint .*run was not written by made\.fit"):
        read(path)
    path.write_text("weights\n1 2 3\n")
    with pytest.raises(ValueError, match=r"was not written by made\.fit"):
        made.fit(made.MADE(3), torch.zeros(2, 3), checkpoint=path, resume=True)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))


def test_code_in_a_file_is_never_run(path):
    buffer = io.BytesIO()
    torch.save({"settings": Bomb()}, buffer)
    content = buffer.getvalue()
    path.write_bytes(MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    with pytest.raises(pickle.UnpicklingError):
        read(path)


def test_a_file_left_half_written_does_not_matter(path):
    for name in ("run.partial", "run.0123456789abcdef.partial"):  # of version 0.1.0, and of now
        path.with_name(name).write_bytes(b"half")
    assert read(path)["name"] == "run"
    write(path, {**STATE, "name": "second"})
    assert read(path)["name"] == "second"


def test_a_folder_that_is_missing_is_noticed_before_training(tmp_path):
    model = made.MADE(3)
    before = model.output.weight.clone()
    with pytest.raises(FileNotFoundError):
        made.fit(model, torch.zeros(2, 3), progress=False, checkpoint=tmp_path / "missing" / "run")
    assert torch.equal(model.output.weight, before)
