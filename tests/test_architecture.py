"""ARCHITECTURE.md is true: what it names is there, the modules and their imports are those that are tested."""

import re
from pathlib import Path

import test_package

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
PICTURE = re.search(r"```text\n(.*?)```\n", TEXT, re.DOTALL)


def rows(heading):
    """The cells of the table under a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(cell):
    return set(re.findall(r"`([^`]+)`", cell))


def floors():
    """What each module at the top of made/ imports of the others, sooner or later."""
    found = {}
    for table in (test_package.FLOORS, test_package.LATER):
        for module, below in table.items():
            top = module.partition(".")[0]
            found.setdefault(top, set()).update(name.partition(".")[0] for name in below)
    return {top: below - {top} for top, below in found.items()}


MODULES = rows("The package: the lesson and its support")


def test_modules_import_what_is_tested():
    assert {name: names(cells[3]) for cells in MODULES for name in names(cells[0])} == floors()


def test_the_halves_are_those_that_are_tested():
    lesson = {name for cells in MODULES if cells[1] == "lesson" for name in names(cells[0])}
    assert lesson == set(test_package.LESSON)


def test_the_picture_names_modules():
    """All of the lesson, and of the support what rows pass through."""
    drawn = {name for name in floors() if re.search(rf"\b{name}\b", PICTURE[1])}
    assert drawn == set(test_package.LESSON) - {"autoencoder"} | {"data", "training", "estimator"}


def test_every_place_is_there():
    places = {name for name in names(TEXT.replace(PICTURE[0], "")) if "/" in name or (ROOT / name).exists()}
    assert len(places) > 25
    assert [name for name in places - {"_build/"} if not (ROOT / name).exists()] == []


def test_every_target_is_there():
    targets = set(re.findall(r"`make (\w+)`", TEXT))
    assert targets
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
