"""Numbers that others report stand in `reported.json` and nowhere else.

Looked at: all code of the book and of its tests, cells included, where no such number may be typed; and the prose of
chapters and pages, where one may stand only if a cell of that chapter prints it. Numbers that are not striking (150, 90
or 8,000 may mean anything) are looked for only in sentences that speak of a source. Numbers in words are not seen.
"""

import re
from pathlib import Path

import chapters
import pytest
from results import only, reported, result

ROWS = result("reported")["rows"]
NUMBER = re.compile(r"(?<![\w.])\d+(?:[,_]\d{3})*(?:\.\d+)?(?![\w])")
SOURCE = re.compile(r"\b(?:post|paper|draft|notebook|implementation|report\w*|quote\w*|Keng|Germain|Karpathy)\b")
SENTENCE = re.compile(r"(?<=[.?!:])\s+|\n{2,}|\|")
FOLDERS = [chapters.BOOK / "tools", chapters.BOOK / "experiments", chapters.ROOT / "tests"]
SCRIPTS = [path for folder in FOLDERS for path in sorted(folder.rglob("*.py")) if path != Path(__file__)]
PAGES = [path for path in chapters.BOOK.glob("*.md") if path.name not in ("ledger.md", "index.md")]  # these are written


def numbers(text):
    """All numbers in a text.

    >>> sorted(numbers("2 x 8,000 units, 98.8 nats (Eq. 6.1), 77_175_440, v1.2"))
    [2.0, 6.1, 98.8, 8000.0, 77175440.0]
    """
    return {float(re.sub("[,_]", "", number)) for number in NUMBER.findall(text)}


VALUES = {float(row["value"]) for row in ROWS}
ROUNDED = VALUES | {round(value, 1) for value in VALUES if value > 1}
STRIKING = {value for value in ROUNDED if value > 1e4 or (value > 20 and value != int(value))}


def typed(text):
    """The reported numbers that are typed in code."""
    return numbers(text) & STRIKING


def unsupported(prose, printed):
    """Sentences with reported numbers that no cell prints, and reports of numbers that are not in the file."""
    known, complaints = numbers(printed), []
    for sentence in SENTENCE.split(chapters.without_math(chapters.without_code(prose))):
        found = numbers(re.sub(r"\]\([^)]*\)", "]", sentence))
        wanted = found & (ROUNDED if SOURCE.search(sentence) else STRIKING)
        if re.search(r"\breport(?:s|ed)?\b", sentence):
            wanted |= {number for number in found if number > 5 and number != int(number)}
        complaints += [f"{number:g} in {sentence.strip()!r}" for number in sorted(wanted - known)]
    return complaints


def test_every_row_is_complete_and_says_whether_we_read_it():
    for row in ROWS:
        assert row["source"] in result("reported")["sources"]
        assert row.keys() >= {"data", "model", "metric", "value", "unit", "read"}
        assert isinstance(row["read"], bool)


def test_no_two_rows_are_alike():
    for row in ROWS:
        fields = {key: row[key] for key in row.keys() - {"value", "unit", "read", "note"}}
        assert only([r for r in ROWS if r.keys() - {"note"} == row.keys() - {"note"}], **fields) is row


def test_a_number_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="0 rows have the fields"):
        reported("germain2015", data="digits")
    with pytest.raises(ValueError, match="rows have the fields"):
        reported("germain2015", data="dna")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_script_types_a_reported_number(path):
    assert typed(path.read_text()) == set()


@pytest.mark.parametrize("path", chapters.PATHS, ids=lambda path: path.stem)
def test_no_cell_types_a_reported_number(path):
    assert typed("\n".join(cell.source for cell in chapters.code_cells(chapters.read(path)))) == set()


@pytest.mark.parametrize("path", chapters.PATHS, ids=lambda path: path.stem)
def test_reported_numbers_in_prose_are_printed_by_a_cell(path):
    nb = chapters.read(path)
    printed = "\n".join(text for cell in chapters.code_cells(nb) for text in chapters.texts(cell))
    complaints = unsupported(chapters.prose(nb), printed)
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_name_no_reported_number(path):
    assert unsupported(path.read_text(), "") == []


def test_what_is_typed_is_noticed():
    assert typed('text = "98.79 at best"\nassert x < 83.63') == {98.79, 83.63}
    assert typed("range(150), 0.1, 8000") == set()


def test_what_no_cell_prints_is_noticed():
    prose = "The post has 150 nats. We ran 150 rows. The paper reports 12.34 nats."
    assert [text.split()[0] for text in unsupported(prose, "")] == ["150", "12.34"]
    assert unsupported(prose, "150 and 12.34") == []
    assert unsupported("A score of 83.63 nats.", "") != []
