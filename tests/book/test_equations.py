"""The ledger of equations: what must hold across the whole book. Within a chapter, `test_chapters.py` looks."""

from collections import Counter

import chapters
import checks


def pages():
    """Every page that may refer to an equation: name and prose."""
    for path in [*chapters.PATHS, *chapters.APPENDICES]:
        yield path.name, chapters.prose(chapters.read(path))
    for path in sorted(chapters.BOOK.glob("*.md")):
        yield path.name, path.read_text()


def broken_references(pages, known):
    references = [(name, n) for name, text in pages for n in checks.equation_references(text)]
    return [f"{name}: refers to Eq. {n}" for name, n in references if n not in known]


def all_tags():
    book = "\n\n".join(chapters.prose(chapters.read(path)) for path in chapters.PATHS)
    return [tag for found in chapters.equation_tags(book) for tag in found]


def test_no_tag_twice():
    assert [tag for tag, count in Counter(all_tags()).items() if count > 1] == []


def test_no_reference_to_a_missing_equation():
    complaints = broken_references(pages(), set(all_tags()))
    assert not complaints, "\n" + "\n".join(complaints)


def test_a_missing_equation_is_noticed():
    text = "By Eq. 1.1, Eqs. 1.2 and 9.9, and (7.7)."
    assert [c[-3:] for c in broken_references([("page", text)], {"1.1", "1.2"})] == ["9.9", "7.7"]


def test_an_equation_in_code_is_no_equation():
    text = "`Eq. 9.9`\n\n```text\nEq. 8.8\n```\n\n$$x = (7.7) \\tag{1.1}$$"
    assert checks.equation_references(text) == []
