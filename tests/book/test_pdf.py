"""The book on paper: every page is there, complete, and leads nowhere but into itself."""

import unicodedata

import chapters
import pdf
import pytest
from build import entries
from pypdf import PdfReader

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def book(browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    pdf.make(browser, path)
    return PdfReader(path)


@pytest.fixture(scope="module")
def texts(book):
    """The text of every sheet without spaces, ligatures taken apart."""
    return ["".join(unicodedata.normalize("NFKC", sheet.extract_text()).split()) for sheet in book.pages]


def parts(book):
    """The title of each part, its first sheet, and the sheet after its last."""
    top = [item for item in book.outline if not isinstance(item, list)]
    first = [book.get_destination_page_number(item) for item in top]
    return list(zip([item.title for item in top], first, [*first[1:], len(book.pages)], strict=True))


def test_every_page_is_in_the_outline_and_opens_with_its_title(book, texts):
    assert len(parts(book)) == len(entries())
    for title, first, _ in parts(book):
        assert texts[first].startswith("".join(title.split()))


def test_chapters_have_their_sections_in_the_outline(book):
    titles = {item.title for items in book.outline if isinstance(items, list) for item in items}
    sections = [
        section.title
        for path in chapters.PATHS
        for section in chapters.sections(chapters.read(path))
        if section.level == 2
    ]
    assert {section for section in sections if section not in titles} == set()


def test_no_figure_is_lost(book):
    images = {title: sum(len(book.pages[n].images) for n in range(a, b)) for title, a, b in parts(book)}
    for path in chapters.PATHS:
        nb = chapters.read(path)
        figures = sum(len(chapters.images(cell)) for cell in chapters.code_cells(nb))
        (found,) = [n for title, n in images.items() if title.startswith(f"{chapters.number_of(path)}. ")]
        assert found >= figures > 0, path.name


def test_solutions_are_unfolded(texts):
    """The words of every folded solution are on paper."""
    text = "".join(texts)
    for path in chapters.PATHS:
        for cell in chapters.markdown_cells(chapters.read(path)):
            _, folded, solution = cell.source.partition("<summary>Solution</summary>")
            opening = "".join(chapters.without_math(solution).split("`")[0].split("*")[0].split(" ")[:4]).strip()
            assert not folded or "".join(opening.split()) in text, f"{path.name}: {opening}"


def test_links_stay_inside_or_lead_to_the_web(book):
    jumps = 0
    for sheet in book.pages:
        for reference in sheet.get("/Annots", ()):
            link = reference.get_object()
            address = link.get("/A", {}).get("/URI")
            assert address is None or address.startswith("https://")
            jumps += "/Dest" in link
    assert jumps > 50


def test_sheets_are_numbered_except_the_cover(texts):
    numbered = [text.endswith(str(n)) for n, text in enumerate(texts, start=1)]
    assert numbered == [False] + [True] * (len(texts) - 1)
