"""The slides: what is on them, that it fits, and that they need nothing but their folder."""

import re
from html import unescape

import chapters
import nbformat
import pytest
import slides
from conftest import unavailable, watch

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
TEXT, CODE = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell


def drawn(*tags):
    data = nbformat.v4.new_output("display_data", {"image/png": PNG})
    return CODE("draw()", outputs=[data], metadata={"tags": list(tags), "mystnb": {"image": {"alt": "a dot"}}})


def printed(source, text, *tags):
    return CODE(source, outputs=[nbformat.v4.new_output("stream", text=text)], metadata={"tags": list(tags)})


@pytest.fixture
def deck(tmp_path):
    """Make a deck of cells; the first two are there already."""

    def make(*cells):
        opening = [TEXT("# Title: more\n\nFirst. Second. Third.\n\n**You need** nothing."), CODE("import setup")]
        path = tmp_path / "03_test.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[*opening, *cells]), path)
        return slides.Deck(path, tmp_path)

    return make


def kinds(deck):
    return [[(slide.title, slide.kinds) for slide in stack] for stack in deck.stacks]


def test_a_section_is_a_stack(deck):
    made = deck(TEXT("## One\n\nText."), TEXT("### Below\n\nText."), TEXT("## Two\n\nText."))
    titles = [[slide.title for slide in stack] for stack in made.stacks]
    assert titles == [["Title: more"], ["One", "Below"], ["Two"]]


def test_a_section_opens_with_its_first_sentences(deck):
    made = deck(TEXT("## One\n\nA short one. And $x. Y$ too. Not this.\n\nNor this.\n\n> Nor that."))
    body = made.stacks[1][0].body
    assert body == '<p>A short one. And <span class="math inline">\\(x. Y\\)</span> too.</p>\n'
    assert made.notes[1] == ["A short one. And $x. Y$ too. Not this.", "Nor this.", "> Nor that."]


def test_nothing_of_a_solution_is_shown(deck):
    text = "## Exercises\n\n**Exercise 3.1.** Why?\n\n<details><summary>Solution</summary>\n\nSo.\n\n</details>"
    page = slides.deck_page(deck(TEXT(text), printed("secret()", "secret", "solution"), drawn("solution")))
    assert "Why?" in page
    assert "So." not in page
    assert "secret" not in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("tags", "code", "output"),
    [
        ([], True, True),
        (["hide-input"], False, True),
        (["remove-input"], False, True),
        (["hide-output"], True, False),
        (["remove-stdout"], True, False),
        (["hide-cell"], False, False),
    ],
)
def test_what_is_folded_on_the_page_is_left_out(deck, tags, code, output):
    page = slides.deck_page(deck(TEXT("## One"), printed("visible_code", "visible output", *tags)))
    assert ("visible_code" in page) == code
    assert ("visible output" in page) == output


def test_a_caption_joins_its_figure(deck):
    made = deck(TEXT("## One"), drawn("hide-input"), TEXT("**Figure 3.1.** A *dot*."), drawn("hide-input"))
    first, second = made.stacks[1]
    assert '<div class="caption"><p><strong>Figure 3.1.</strong> A <em>dot</em>.</p>\n</div>' in first.body
    assert 'alt="a dot"' in first.body
    assert "Figure" not in second.body
    assert made.images == 2


def test_a_short_text_shares_the_slide_of_its_figure(deck):
    made = deck(TEXT("## One\n\nText."), drawn("hide-input"), TEXT("More.\n\n- " + 30 * "word "), drawn("hide-input"))
    assert [slide.kinds for slide in made.stacks[1]] == [["text", "figure"], ["list"], ["figure"]]


def test_a_formula_comes_with_the_sentence_that_leads_to_it_and_the_one_that_goes_on(deck):
    text = "Long ago. Now\n\n$$x < y \\tag{3.1}$$\n\nso it is. Not this."
    (slide,) = deck(TEXT(f"## One\n\nText.\n\nNot this. {text}")).stacks[1]
    assert slide.kinds == ["text", "formula"]
    assert "<p>Long ago. Now</p>" in slide.body
    assert r"\[x &lt; y \tag{3.1}\]" in slide.body
    assert slide.body.endswith("<p>so it is.</p>\n")
    assert "Not this" not in slide.body


def test_a_long_table_becomes_several_with_the_same_titles(deck):
    rows = "\n".join(f"| row {n} | {n} |" for n in range(20))
    made = deck(TEXT(f"## One\n\n| name | value |\n|---|---|\n{rows}"))
    shown = made.stacks[1]
    assert len(shown) == 3
    assert all("<th>name</th>" in slide.body for slide in shown)
    assert [row for slide in shown for row in re.findall(r"row \d+", slide.body)] == [f"row {n}" for n in range(20)]


def test_long_code_is_divided_and_complete(deck):
    source = "\n\n".join(f"def f{n}():\n    return {n}" for n in range(15))
    made = deck(TEXT("## One"), CODE(source))
    assert len(made.stacks[1]) > 2
    text = unescape(re.sub(r"<[^>]+>", "", "\n".join(slide.body for slide in made.stacks[1])))
    assert "".join(text.split()) == "".join(source.split())


def test_links_lead_to_decks_interactive_pages_and_the_web(deck):
    text = "[a](04_made.ipynb#x) [b](mask_explorer.md) [c](https://example.org) [d](references.md)"
    body = deck(TEXT(f"## One\n\n{text}")).stacks[1][0].body
    assert re.findall(r'href="([^"]*)"', body) == [
        "04_made.html",
        "../html/book/mask_explorer.html",
        "https://example.org",
    ]
    assert "<span>d</span>" in body


# ---- all decks in a browser ----------------------------------------------------------------------------------------

READY = """async () => {
  while (!window.Reveal?.isReady() || !document.querySelector('.present .content')?.dataset.fits)
    await new Promise(r => setTimeout(r, 20))
}"""
LOOK = """() => {
  const slide = Reveal.getCurrentSlide(), content = slide.querySelector('.content')
  const sizes = [...content.querySelectorAll('img')].map(i => {
    const box = i.getBoundingClientRect()
    return i.naturalWidth ? Math.min(box.width / i.naturalWidth, box.height / i.naturalHeight) : 0
  })
  const text = document.createTreeWalker(content, NodeFilter.SHOW_TEXT, {
    acceptNode: n => n.parentElement.closest('mjx-container, pre, code') ? 2 : 1
  })
  let raw = ''
  while (text.nextNode()) raw += text.currentNode.data
  return {
    title: slide.querySelector('h1, h2').textContent,
    over: overflows(content), size: Number(content.dataset.fits), sizes,
    raw: raw.match(/\\\\[([]|\\$/g) || [], wrong: content.querySelectorAll('mjx-merror').length,
    figures: slide.querySelectorAll('.content img[src*="figures/"]').length,
    last: Reveal.isLastSlide()
  }
}"""
SMALLEST_TEXT, SMALLEST_FIGURE = 0.72, 0.45  # of the usual size, and of its own size; a smaller figure does not load
SLIDE = {"width": 1280, "height": 720}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    return folder, {deck.stem: deck for deck in slides.make(folder)}


@pytest.fixture(scope="module")
def tab(made):
    """A browser tab and its complaints; it needs no built book."""
    from chromium import FLAGS, MISSING, find
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find(playwright)
        if path is None:
            unavailable(MISSING)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport=SLIDE)
        complaints = watch(page, made[0].as_uri(), "about:")
        yield page, complaints
        browser.close()


@pytest.fixture
def visit(made, tab):
    """Open a page of the folder; returns the tab and its complaints from now on."""
    folder, _ = made
    page, complaints = tab

    def open_page(name, question=""):
        complaints.clear()
        page.goto((folder / f"{name}.html").as_uri() + question)
        return page, complaints

    return open_page


@pytest.mark.browser
@pytest.mark.parametrize("stem", [path.stem for path in chapters.PATHS])
def test_every_slide_fits(stem, made, visit):
    """Walk through a deck with the space bar."""
    _, decks = made
    page, complaints = visit(stem)
    page.evaluate(READY)
    count = figures = 0
    while True:
        seen = page.evaluate(LOOK)
        count, figures = count + 1, figures + seen["figures"]
        where = f"slide {count}, {seen['title']!r}"
        if seen["over"]:
            complaints.append(f"{where}: does not fit")
        if seen["size"] < SMALLEST_TEXT:
            complaints.append(f"{where}: text is {seen['size']} of its size")
        if seen["raw"] or seen["wrong"]:
            complaints.append(f"{where}: formulas are not typeset: {seen['raw']}")
        complaints += [f"{where}: a figure at {s:.2f} of its size" for s in seen["sizes"] if s < SMALLEST_FIGURE]
        if seen["last"]:
            break
        page.keyboard.press("Space")
    deck = decks[stem]
    assert not complaints, "\n" + "\n".join(complaints)
    assert count == sum(map(len, deck.stacks))
    assert figures >= deck.images > 0


def shown_figures(nb):
    """Figures of a chapter that are in view on its page."""
    cells = [
        cell
        for cell in chapters.code_cells(nb)
        if not {*chapters.tags(cell)} & {"solution", *chapters.OUTPUT_OUT_OF_VIEW}
    ]
    return sum(len(chapters.images(cell)) for cell in cells)


@pytest.mark.parametrize("path", chapters.PATHS, ids=lambda path: path.stem)
def test_every_figure_and_formula_of_a_chapter_is_on_a_slide(path, tmp_path):
    deck = slides.Deck(path, tmp_path)
    page = slides.deck_page(deck)
    nb = chapters.read(path)
    assert deck.images == shown_figures(nb)
    shown = re.findall(r"\\tag\{([^}]*)\}", re.sub(r"<aside.*?</aside>", "", page, flags=re.S))
    outside = [chapters.FOLDED.sub("", cell.source) for cell in chapters.markdown_cells(nb)]
    assert shown == [tag for tags in chapters.equation_tags("\n\n".join(outside)) for tag in tags]


@pytest.mark.browser
def test_keys(made, visit):
    """Right: the next section. Down: the next slide of it. Escape: overview. S: the notes."""
    _, decks = made
    stem, deck = max(decks.items(), key=lambda item: len(item[1].stacks[1]))
    page, complaints = visit(stem)
    page.evaluate(READY)
    for key, place in [("ArrowRight", [1, 0]), ("ArrowDown", [1, 1]), ("ArrowUp", [1, 0]), ("ArrowLeft", [0, 0])]:
        page.keyboard.press(key)
        assert page.evaluate("() => [Reveal.getIndices().h, Reveal.getIndices().v]") == place
    for overview in (True, False):
        page.keyboard.press("Escape")
        assert page.evaluate("() => Reveal.isOverview()") == overview
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    told = popup.value.locator(".speaker-controls-notes")
    told.get_by_text(re.sub(r"[*$`].*", "", deck.notes[0][0], flags=re.S)[:40]).wait_for(timeout=10_000)
    popup.value.close()
    assert not complaints


@pytest.mark.browser
def test_a_click_enlarges(visit):
    page, complaints = visit(chapters.PATHS[0].stem)
    page.evaluate(READY)
    key = page.evaluate("() => /Linux/.test(navigator.platform) ? 'Control' : 'Alt'")
    page.locator(".present .content p").first.click(modifiers=[key])
    page.wait_for_function("() => /scale\\(/.test(document.body.style.transform)")
    assert not complaints


@pytest.mark.browser
def test_a_deck_can_be_printed(made, visit):
    _, decks = made
    stem = chapters.PATHS[0].stem
    page, complaints = visit(stem, "?print-pdf")
    page.wait_for_selector(".pdf-page")
    page.wait_for_function("() => [...document.querySelectorAll('.content')].every(c => c.dataset.fits)")
    assert page.locator(".pdf-page").count() == sum(map(len, decks[stem].stacks))
    assert not page.evaluate("() => [...document.querySelectorAll('.content')].filter(overflows).length")
    assert not complaints


@pytest.mark.browser
def test_the_index_leads_to_every_deck(made, visit):
    _, decks = made
    page, complaints = visit("index")
    links = page.evaluate("() => [...document.querySelectorAll('main a')].map(a => a.getAttribute('href'))")
    assert links == [f"{stem}.html" for stem in decks]
    assert not complaints
