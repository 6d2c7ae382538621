"""What a reader of a chapter has before the eyes: text and pictures first, nothing cut, solutions folded whole."""

from types import SimpleNamespace

import chapters
import pytest
import reader
from build import entries
from conftest import NARROW, OVERFLOW, WIDE
from docutils import nodes
from docutils.utils import new_document

CHAPTERS = [f"book/{path.stem}.html" for path in chapters.PATHS]
MOST_CODE = 1 / 3

# Height of cells without their figures and tables, as a share of the article.
CODE = """() => {
  const article = document.querySelector('article.bd-article')
  const height = e => e.checkVisibility() ? e.getBoundingClientRect().height : 0
  const sum = (root, what) => [...root.querySelectorAll(what)].reduce((total, e) => total + height(e), 0)
  return (sum(article, 'div.cell') - sum(article, 'div.cell :is(img, table.results)')) / height(article)
}"""
OPEN = "() => document.querySelectorAll('details').forEach(d => { d.open = true })"
# Equations that do not fit, code that scrolls, and boxes that cut what is in them.
CUT = """wide => [...document.querySelectorAll('article.bd-article *')].filter(e => {
  if (!e.checkVisibility() || e.closest('mjx-container, svg')) return false
  const beyond = e.scrollWidth > e.clientWidth + 1, below = e.scrollHeight > e.clientHeight + 1
  const overflow = getComputedStyle(e).overflowY
  if (e.matches('div.math')) return beyond
  if (e.matches('pre, .highlight, table') && wide && beyond) return true
  return e.matches('.cell_output, .highlight, pre') && below && overflow !== 'visible' && !beyond
}).map(e => `${e.tagName}.${e.className}: ${e.innerText.slice(0, 60)}`)"""
UNLINKED = r"""() => {
  const found = [], walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const inside = walker.currentNode.parentElement
    const named = walker.currentNode.data.match(/\bEqs?\. \d+\.\d+/)
    if (named && !inside.closest('a, code, pre, table, summary, mjx-container, nav')) found.push(named[0])
  }
  return found
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", CHAPTERS)
def test_code_and_output_take_a_third_of_a_chapter_at_most(name, visit, base):
    page, _ = visit(f"{base['file']}/{name}")
    assert page.evaluate(CODE) <= MOST_CODE


@pytest.mark.browser
@pytest.mark.parametrize("name", CHAPTERS)
def test_nothing_is_cut(name, visit, base):
    page, _ = visit(f"{base['file']}/{name}")
    page.evaluate(OPEN)
    complaints = []
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        complaints += [f"{size['width']} px: {text}" for text in page.evaluate(CUT, size == WIDE)]
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.browser
@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_and_digests_are_out_of_sight(name, visit, base):
    page, _ = visit(f"{base['file']}/{name}")
    solutions = page.locator("details:not(.hide):has(> .cell.tag_solution)")
    assert solutions.count() == page.locator("details > summary:text-is('Solution')").count() >= 4
    assert page.locator(".cell.tag_solution").count() == page.locator("details > .cell.tag_solution").count()
    assert page.locator(".tag_solution >> visible=true").count() == 0
    page.evaluate(OPEN)
    assert page.locator(".tag_solution >> visible=true").count() > 0
    assert "drawn: shape" not in page.locator("article").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("name", CHAPTERS)
def test_numbers_of_equations_are_links(name, visit, base):
    page, _ = visit(f"{base['file']}/{name}")
    assert page.evaluate(UNLINKED) == []
    assert page.locator("article a[href*='#equation-']").count() > 0


# ---- what the pages get beyond plain Markdown ----------------------------------------------------------------------


def page_with(*children):
    document = new_document("page")
    document += nodes.section("", *children, ids=["exercises"])
    return document


def cell(*tags):
    return nodes.container(classes=["cell", *(f"tag_{tag}" for tag in tags)])


def test_a_fold_ends_behind_the_cells_of_its_solution():
    end = nodes.raw("", "</details>", format="html")
    document = page_with(end, cell("solution"), cell("solution", "demonstration"), cell(), end.deepcopy(), cell())
    reader.fold_solutions(document)
    ends = [node.astext() == "</details>" for node in document[0].children]
    assert ends == [False, False, True, False, True, False]


def paragraph(bold, text):
    return nodes.paragraph("", "", nodes.Text(""), nodes.strong("", bold), nodes.Text(text))


def test_what_has_a_number_has_an_anchor():
    table = '<table class="results">\n<caption>Table 4.7. Costs.</caption>\n</table>'
    document = page_with(
        nodes.math_block("", r"\[x \tag{4.2}\]"),
        paragraph("Figure 4.3.", " Masks."),
        paragraph("Exercise 4.1 (break it).", " Do it."),
        nodes.paragraph("", "Figure 4.3 shows it."),
        nodes.raw("", table, format="html"),
    )
    assert list(reader.add_anchors(document)) == ["equation-4-2", "figure-4-3", "exercise-4-1", "table-4-7"]
    equation, figure, exercise, mention, raw = document[0].children
    assert equation["ids"] == ["equation-4-2"]
    assert (figure["ids"], figure["classes"]) == (["figure-4-3"], ["caption"])
    assert (exercise["ids"], exercise["classes"]) == (["exercise-4-1"], [])
    assert mention["ids"] == []
    assert raw.astext() == table.replace('"results"', '"results" id="table-4-7"')


# As much of Sphinx as links need.
BUILD = SimpleNamespace(
    env=SimpleNamespace(numbered={"equation-4-2": "book/04", "equation-4-3": "book/04", "exercise-5-1": "book/05"}),
    builder=SimpleNamespace(get_relative_uri=lambda here, there: f"{there}.html"),
)


def test_what_is_named_is_a_link():
    text = "By Eqs. 4.2 and 4.3, Exercise 5.1 and Eq. 9.9 hold."
    document = page_with(nodes.paragraph("", text), nodes.literal("", "Eq. 4.2"))
    reader.link(BUILD, document, "book/04")
    links = {node.astext(): node["refuri"] for node in document.findall(nodes.reference)}
    assert links == {
        "Eqs. 4.2": "#equation-4-2",
        "4.3": "#equation-4-3",
        "Exercise 5.1": "book/05.html#exercise-5-1",
    }
    assert document[0][0].astext() == text


def test_a_caption_is_no_link_to_itself():
    document = page_with(paragraph("Exercise 5.1.", " After Eq. 4.2."))
    list(reader.add_anchors(document))
    reader.link(BUILD, document, "book/05")
    assert [node.astext() for node in document.findall(nodes.reference)] == ["Eq. 4.2"]


PAGES = [f"{entry}.html" for entry in entries()]
WIDE_TABLES = """() => [...document.querySelectorAll('article table')]
  .filter(t => t.checkVisibility() && t.scrollWidth > t.clientWidth + 1)
  .map(t => t.innerText.slice(0, 60))"""


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_tables_read_on_a_phone(name, visit, base):
    page, _ = visit(f"{base['file']}/{name}", NARROW)
    assert page.evaluate(WIDE_TABLES) == []


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_letters_of_twice_the_size_fit_a_phone(name, visit, base):
    page, _ = visit(f"{base['file']}/{name}", NARROW)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate(OVERFLOW) is None


@pytest.mark.browser
def test_a_table_that_does_not_fit_becomes_a_list(visit, base):
    page, _ = visit(f"{base['file']}/book/notation.html", NARROW)
    cells = page.locator("article table >> nth=0 >> tbody tr >> nth=0 >> td")
    assert cells.evaluate_all("cells => cells.map(c => c.dataset.title)") == ["symbol", "code", "meaning"]
    assert len(set(cells.evaluate_all("cells => cells.map(c => c.getBoundingClientRect().left)"))) == 1
    page.set_viewport_size(WIDE)
    assert len(set(cells.evaluate_all("cells => cells.map(c => c.getBoundingClientRect().left)"))) == 3


@pytest.mark.browser
def test_no_button_lies_on_a_page_of_a_phone(visit, base):
    """The theme's way back to the top appears on scrolling up; on a phone it would cover what one reads or presses."""
    page, _ = visit(f"{base['file']}/book/03_the_autoregressive_property.html")
    seen = {}
    for width in (390, 768):  # a phone, and a tablet, where there is room for it
        page.set_viewport_size({"width": width, "height": 900})
        for y in (1500, 1200):
            page.evaluate("y => new Promise(done => { onscroll = done; scrollTo({top: y, behavior: 'instant'}) })", y)
        seen[width] = page.locator("#pst-back-to-top").is_visible()
    assert seen == {390: False, 768: True}
