"""What is said of speed: sampling is told of trained networks, against a rival by name, and from one place."""

import copy
import re

import chapters
import pytest
import results
import timings
from evidence import NotCarried

PAGES = {path.name: path.read_text() for path in (timings.README, *sorted(chapters.BOOK.glob("*.md")))}
NOTEBOOKS = [*chapters.PATHS, *sorted(chapters.BOOK.glob("appendix_*.ipynb"))]
PAGES |= {path.name: chapters.prose(chapters.read(path)) for path in NOTEBOOKS}
FACTOR = re.compile(
    r"\btimes (as fast|as quick|faster|slower)|\btakes?\b[^.|]*\btimes as long|\borders? of magnitude|\bfaster by\b"
)
RIVALS = re.compile(r"package|loop|by hand|passes")


def half_told(text):
    """Paragraphs that give a factor of speed, but not of which network, trained or not, and against whom."""
    parts = (re.sub(r"\s+", " ", part) for part in re.split(r"\n\s*\n|\n(?=[*|])", text))
    return [part for part in parts if FACTOR.search(part) and not ("train" in part and RIVALS.search(part))]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_tells_a_factor_says_of_which_network_and_against_whom(page):
    assert not half_told(PAGES[page])


@pytest.mark.parametrize(
    "old",
    [
        "The gain is two orders of magnitude. One forward pass is the floor.",
        "| Sampling takes D passes. | 2 x 500 units: 0.007 s, 297 times as fast |",
        "Drawing is 308.75 times as fast as with normflows.",
    ],
)
def test_a_headline_without_its_network_or_its_rival_is_refused(old):
    assert half_told(f"A trained network and a package.\n\n{old}\n\nMore.") == [old]


@pytest.fixture
def planted(monkeypatch):
    """A function that changes rows of the record of sampling, for one test."""
    record = copy.deepcopy(results.result("speed"))
    monkeypatch.setattr(timings, "result", lambda name: record)

    def plant(change, **fields):
        rows = results.select(record["sections"]["sampling"]["rows"], **fields)
        assert rows
        for row in rows:
            row.update(change)

    return plant


def test_a_headline_from_an_untrained_network_is_refused(planted):
    assert timings.times(timings.LOOP).median > 1
    planted({"trained": False}, network=timings.NATURAL, batch=100)
    for tell in (timings.sampling, timings.of_packages, timings.told_of_sampling, lambda: timings.times(timings.LOOP)):
        with pytest.raises(NotCarried, match="untrained network is the best case"):
            tell()


def test_the_untrained_network_is_in_the_record_but_no_contender_to_tell_of():
    with pytest.raises(NotCarried, match="made, untrained"):
        timings.sampling("made, untrained")
    with pytest.raises(NotCarried, match="told by timings"):
        timings.section("sampling")


def test_a_rival_that_is_not_slower_is_not_told_to_be(planted):
    planted({"times_low": 0.9}, network=timings.NATURAL, batch=1, contender=timings.ONCE)
    with pytest.raises(NotCarried, match="slower is not"):
        timings.told_of_sampling()


def test_the_readme_says_what_the_record_says():
    text = timings.README.read_text()
    assert "untrained" not in timings.told_of_sampling()
    assert timings.with_speed(text) == text
    assert timings.told_of_sampling() in re.sub(r"\s+", " ", text)


def test_the_record_is_read_in_one_place():
    sources = {path.name: path.read_text() for path in (chapters.BOOK / "tools").glob("*.py")}
    for path in NOTEBOOKS:
        sources[path.name] = "\n".join(cell.source for cell in chapters.code_cells(chapters.read(path)))
    reads = {name for name, text in sources.items() if re.search(r"(result|recorded|runs|load)\(.speed\b", text)}
    assert reads == {"timings.py"}
