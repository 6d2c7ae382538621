"""made/files.py: a file is whole, whenever its writer is killed."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import made
from made import files
from made.files import remove_leftovers, write_whole

SCRIPT = Path(__file__).parent / "scripts" / "kill_writers.py"
sys.path.insert(0, str(SCRIPT.parent))
from killing import MOMENTS  # noqa: E402

WRITERS = ("a model", "a checkpoint", "data")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_parts_are_written_one_after_the_other_and_an_older_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"an older and longer file")
    write_whole(path, b"one ", b"", b"two")
    assert path.read_bytes() == b"one two"
    write_whole(str(path))
    assert path.read_bytes() == b""
    assert names(tmp_path) == ["file"]


def test_a_relative_path_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_whole("file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_it_may_be_read_by_whom_any_new_file_may(mask, tmp_path):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "whole", b"content")
        (tmp_path / "ordinary").write_bytes(b"content")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("whole", "ordinary")]
    assert modes[0] == modes[1]


def test_content_is_on_the_disk_before_the_name_and_then_the_name_is(tmp_path, monkeypatch):
    path, events = tmp_path / "file", []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes"
        events.append(f"sync {kind}")
        fsync(handle)

    def noted_replace(source, target):
        events.append("replace")
        assert Path(source).parent == path.parent  # across disks it would be no single step
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_whole(path, b"x" * 123)
    assert events == ["sync 123 bytes", "replace", "sync folder"]


def test_a_disk_that_cannot_sync_folders_will_do(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    write_whole(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_folder_that_may_not_be_listed_will_do(tmp_path, monkeypatch):
    def refuse(path, flags, *arguments, **options):
        if Path(path) == tmp_path:
            raise PermissionError(path)
        return original(path, flags, *arguments, **options)

    original = os.open
    monkeypatch.setattr(os, "open", refuse)
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "a"
    write_whole(path, b"old")
    path.chmod(mode)
    write_whole(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["n" * 255, "\u00e9" * 127])
def test_a_name_may_be_as_long_as_the_system_allows(name, tmp_path):
    write_whole(tmp_path / name, b"content")
    assert names(tmp_path) == [name]


def test_a_system_without_folders_to_open_will_do(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    write_whole(tmp_path / "file", b"content")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file_and_nothing_else(stage, error, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fails(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, stage, fails)
        with pytest.raises(type(error)):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_part_that_is_no_bytes_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_whole(tmp_path / "file", b"half", "text")
    assert names(tmp_path) == []


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "file", b"content")


def test_two_writers_of_one_file_do_not_meet(tmp_path, monkeypatch):
    """Each has its own unfinished file: here the second writes while the first is about to finish."""
    path, replace = tmp_path / "file", os.replace

    def second_writer(source, target):
        monkeypatch.setattr(os, "replace", replace)
        write_whole(path, b"second")
        assert path.read_bytes() == b"second"
        replace(source, target)

    monkeypatch.setattr(os, "replace", second_writer)
    write_whole(path, b"first")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_leftovers_of_this_file_are_removed_and_no_others(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *arguments: None)  # the writer is killed here, so to say
        patch.setattr(Path, "unlink", lambda *arguments, **options: None)
        for name in ("run", "run.1", "run[1]", "a run"):
            write_whole(tmp_path / name, b"content")
    for name in ("run", "run.partial", "run.mine.partial", "run.0123456789abcdef.partial.txt"):
        (tmp_path / name).touch()
    assert len(names(tmp_path)) == 8
    kept = [name for name in names(tmp_path) if not (name.startswith("run.") and len(name) == 4 + 16 + 8)]
    assert len(kept) == 7
    remove_leftovers(tmp_path / "run")
    assert names(tmp_path) == kept
    remove_leftovers(tmp_path / "run[1]")
    assert len(names(tmp_path)) == 6
    remove_leftovers(tmp_path / "missing" / "run")


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    """What was found after a kill, by writer, moment and what was there before."""
    if not hasattr(os, "fork"):
        pytest.skip("a system without forks")
    command = [sys.executable, "-W", "error", SCRIPT, tmp_path_factory.mktemp("kills")]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    return {(f.pop("writer"), f.pop("moment"), f.pop("before")): f for f in found}


@pytest.mark.processes
@pytest.mark.parametrize("before", ["nothing", "old"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(writer, moment, before, kills):
    if (writer, before) == ("data", "old"):
        assert (writer, moment, before) not in kills  # what is there is not fetched again
        return
    found = kills[writer, moment, before]
    assert found["ending"] == "killed"
    assert found["content"] == ("new" if moment == "when it is in place" else before)
    assert len(found["left"]) == (0 if moment == "when it is in place" else 1)
    assert all(name.startswith("file.") for name in found["left"])
    assert found["again"] == "new"


def test_there_is_one_writer():
    """Nobody else in the package replaces files or opens them for writing."""
    for path in Path(made.__file__).parent.rglob("*.py"):
        if path != Path(files.__file__):
            text = path.read_text()
            assert not any(word in text for word in ("os.replace", '.partial"', "save_file", "write_bytes", '"wb"')), (
                path
            )
