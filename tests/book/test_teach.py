"""The page for lecturers names what is there: exercises, figures, tables, equations and sections of the chapters."""

import re

import chapters
import pytest
from chapters import BOOK, PATHS
from checks import EXERCISE

PAGE = (BOOK / "teach_with_it.md").read_text()
NUMBER = re.compile(r"\d+\.\d+")
LISTS = "and|to|,"
SECTIONS = dict(zip(*[iter(re.split(r"^## (.*)$", PAGE, flags=re.M)[1:])] * 2, strict=True))


def named(kind, text):
    """The numbers that a text gives after a word such as Exercise.

    >>> named("Exercise", "Exercises 1.1, 1.3 and 2.4: a; Exercise 3.1")
    ['1.1', '1.3', '2.4', '3.1']
    """
    runs = re.findall(rf"{kind}s?\.? +(\d+\.\d+(?:(?:\s|{LISTS})+\d+\.\d+)*)", text)
    return [number for run in runs for number in NUMBER.findall(run)]


@pytest.fixture(scope="module")
def prose():
    return {path.name: chapters.prose(chapters.read(path)) for path in PATHS}


@pytest.fixture(scope="module")
def exercises(prose):
    """Every exercise, and whether something is broken in it."""
    found = (match.groups() for text in prose.values() for match in EXERCISE.finditer(text))
    return {f"{chapter}.{number}": "break it" in rest.partition("**")[0] for chapter, number, rest in found}


def test_every_exercise_has_one_level(exercises):
    levels = named("Exercise", SECTIONS["Exercises by level"])
    assert sorted(levels) == sorted(exercises)


def test_every_exercise_named_exists(exercises):
    assert set(named("Exercise", PAGE)) <= set(exercises)


def test_what_is_broken_is_told_of_every_break_it_exercise_and_of_no_other(exercises):
    told = named("Exercise", SECTIONS["What each break-it exercise reveals"])
    assert told == [number for number, broken in exercises.items() if broken]


@pytest.mark.parametrize("kind", ["Figure", "Table"])
def test_figures_and_tables_named_exist(kind):
    wanted = set(named(kind, PAGE))
    assert wanted
    there = set()
    for path in PATHS:
        nb = chapters.read(path)
        text = chapters.prose(nb) if kind == "Figure" else "\n".join(map(everything, nb.cells))
        mark = r"^\*\*Figure (\d+\.\d+)\.\*\*" if kind == "Figure" else r"<caption>Table (\d+\.\d+)\."
        there |= set(re.findall(mark, text, re.M))
    assert wanted - there == set()


def everything(cell):
    return cell.source if cell.cell_type == "markdown" else "\n".join(chapters.texts(cell))


def test_equations_named_exist(prose):
    there = {tag for text in prose.values() for tags in chapters.equation_tags(text) for tag in tags}
    assert set(named("Eq", PAGE)) - there == set()


def test_sections_that_are_linked_exist(prose):
    for label, name, anchor in re.findall(r"\[([^\]]+)\]\((\w+\.ipynb)#([\w-]+)\)", PAGE):
        label = " ".join(label.split())
        titles = {chapters.slug(title): title for _, title in chapters.headings(prose[name])}
        assert anchor in titles, f"{name}#{anchor}"
        assert label in (titles[anchor], titles[anchor].removesuffix(" opened").lower()), label


def test_the_plan_takes_two_hours():
    minutes = re.findall(r"^\| (\d+)–(\d+) \|", SECTIONS["A lecture of two hours"], re.M)
    assert [stop for _, stop in minutes[:-1]] == [start for start, _ in minutes[1:]]
    assert (minutes[0][0], minutes[-1][1]) == ("0", "120")
    asked = [int(minute) for minute in re.findall(r"^\* \*Minute (\d+)", PAGE, re.M)]
    assert asked == sorted(asked)
    assert max(asked) < 120


def test_the_commands_exist():
    targets = set(re.findall(r"^(\w+):", (chapters.ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make (\w+)`", PAGE)) <= targets
