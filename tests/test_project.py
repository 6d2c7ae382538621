"""The project's files fit together."""

import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_mistake_can_be_planted():
    """Every text that the list of planted mistakes replaces is in the package exactly once."""
    spec = importlib.util.spec_from_file_location("plant", ROOT / "tests" / "planted" / "plant.py")
    plant = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plant)
    found = {m.name: (ROOT / "made" / m.file).read_text().count(m.old) for m in plant.MISTAKES}
    assert len(found) > 60
    assert {name: count for name, count in found.items() if count != 1} == {}


def test_every_dependency_is_pinned():
    """An unpinned one can send pip on a search through old versions that takes longer than everything else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[><=~! ]", line)[0].lower() for line in wanted}
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - pinned == set()
