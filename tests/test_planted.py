"""The list of planted mistakes fits the package: every text it replaces is there exactly once."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_mistake_can_be_planted():
    spec = importlib.util.spec_from_file_location("plant", ROOT / "tests" / "planted" / "plant.py")
    plant = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plant)
    found = {m.name: (ROOT / "made" / m.file).read_text().count(m.old) for m in plant.MISTAKES}
    assert len(found) > 60
    assert {name: count for name, count in found.items() if count != 1} == {}
