"""Open every page of the built book in Chromium, from file:// and from a local server, wide and narrow.

Needs `make book` first. Skipped where the pages or a browser are missing, unless MADE_REQUIRE_BROWSER=1.
Chromium is started by `conftest.py`.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import chapters
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from build import entries
from conftest import HTML, NARROW, OVERFLOW, WIDE
from play import PLAY

pytestmark = pytest.mark.browser

PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [name for name in PAGES if name != "index.html"]  # it only redirects to book/index.html
READING_ORDER = [f"{entry}.html" for entry in entries()]
# Listings of source are all made alike: one stands for all.
DIFFERENT = [name for name in PAGES if not name.startswith("_modules/made/") or name.endswith("/masks.html")]
CHAPTERS = [f"book/{path.stem}.html" for path in chapters.PATHS]

UNTYPESET = "() => [...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length"
BROKEN_MATH = "() => [...document.querySelectorAll('mjx-merror')].map(m => m.textContent || m.dataset.mjxError)"
IMAGES = """async () => {
  const images = [...document.images]
  for (const image of images) image.loading = 'eager'  // most wait until the reader comes near
  await Promise.all(images.map(image => image.decode().catch(() => {})))
  return images.map(i => ({alt: i.alt, src: i.src, drawn: i.naturalWidth > 0}))
}"""
GLARING = """() => {
  document.documentElement.dataset.theme = 'dark'
  const figures = [...document.querySelectorAll('.cell_output img')]
  return figures.filter(i => !getComputedStyle(i).filter.includes('invert')).length
}"""
HEADINGS = "() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(h => h.checkVisibility())"
HEADINGS += ".map(h => [Number(h.tagName[1]), h.textContent])"

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# axe weighs the colour of every piece of text, one by one. Of the thousands of coloured words of code, one of each kind
# is enough; mathematics is MathJax's own markup, in the colour of the text around it.
SHORTEN = """() => {
  document.querySelectorAll('mjx-container').forEach(m => m.replaceWith('x'))
  const seen = new Set()
  for (const word of document.querySelectorAll('pre span[class], dt.sig span[class]')) {
    if (!word.isConnected) continue  // it was part of a word that is gone
    const kind = `${word.closest('dt, pre').parentElement.parentElement.className} ${word.className}`
    if (seen.has(kind)) word.replaceWith(word.textContent)
    seen.add(kind)
  }
}"""
VIOLATIONS = """async only => {
  const options = {runOnly: only, resultTypes: ['violations'], preload: false}
  const found = (await axe.run(options)).violations
  return found.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html.slice(0, 150)}: ${n.failureSummary}`))
}"""


def looks_like_a_path(alt):
    """Sphinx writes the file's path where an alt text is missing.

    >>> looks_like_a_path("../_images/a1b2.png"), looks_like_a_path("Loss against epoch, e.g. 3.5 nats")
    (True, False)
    """
    return bool(re.fullmatch(r"\S*(/\S*|\.(png|svg|jpe?g|gif))", alt))


@pytest.mark.parametrize(
    ("scheme", "name"), [*(("file", name) for name in PAGES), *(("http", name) for name in READING_ORDER)]
)
def test_page(scheme, name, visit, base):
    page, complaints = visit(f"{base[scheme]}/{name}")
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        if overflow := page.evaluate(OVERFLOW):
            complaints.append(f"scrolls sideways at {size['width']} px: {overflow}")
    if missing := page.evaluate(UNTYPESET):
        complaints.append(f"{missing} equations are not typeset")
    complaints += [f"equation with an error: {text}" for text in page.evaluate(BROKEN_MATH)]
    for image in page.evaluate(IMAGES):
        if not image["alt"].strip() or looks_like_a_path(image["alt"]):
            complaints.append(f"image without alt text: {image}")
        if not image["drawn"]:
            complaints.append(f"image that does not load: {image}")
    if glaring := page.evaluate(GLARING):
        complaints.append(f"{glaring} figures stay white in dark mode")
    assert not complaints, "\n" + "\n".join(complaints)


def heading_complaints(headings):
    """What is wrong with the headings of a page, (level, text) each, in reading order.

    >>> list(heading_complaints([(1, "Masks"), (2, "Degrees"), (3, "Hidden"), (2, "Layers")]))
    []
    >>> list(heading_complaints([(2, "Degrees"), (4, "Hidden")]))
    ['0 headings of level 1, expected one', "'Hidden', of level 4, follows a heading of level 2"]
    """
    levels = [level for level, _ in headings]
    if levels.count(1) != 1:
        yield f"{levels.count(1)} headings of level 1, expected one"
    for above, (level, text) in zip(levels, headings[1:], strict=False):
        if level > above + 1:
            yield f"{text!r}, of level {level}, follows a heading of level {above}"


@pytest.mark.parametrize("name", DIFFERENT)
def test_page_is_accessible(name, visit, base):
    """No violation of WCAG 2.1 A and AA that axe-core can find, and headings that nest."""
    page, complaints = visit(f"{base['file']}/{name}", NARROW)
    page.evaluate(SHORTEN)
    page.evaluate(AXE_SCRIPT)
    complaints += [f"light, narrow: {text}" for text in page.evaluate(VIOLATIONS, WCAG)]
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    page.set_viewport_size(WIDE)
    complaints += [f"dark, wide: {text}" for text in page.evaluate(VIOLATIONS, "color-contrast")]
    complaints += heading_complaints(page.evaluate(HEADINGS))
    assert not complaints, "\n" + "\n".join(complaints)


TERMS = {
    "autoregressive": "03_the_autoregressive_property",
    "mask": "04_made",
    "degrees": "04_made",
    "dropout": "04_made",
    "ensemble": "07_orders_masks_ensembles",
    "impute": "07_orders_masks_ensembles",
    "likelihood": "02_losses_are_likelihoods",
    "Bernoulli": "02_losses_are_likelihoods",
    "sampling": "05_generating_samples",
    "context": "08_beyond_binary",
    "bottleneck": "01_vanilla_autoencoders",
}


@pytest.mark.parametrize(("scheme", "term"), [("http", "mask"), *(("file", term) for term in TERMS)])
def test_search_finds_what_the_book_is_about(scheme, term, visit, base):
    page, complaints = visit(f"{base[scheme]}/search.html?q={term}")
    page.wait_for_selector(f"#search-results li a[href*='{TERMS[term]}']", timeout=10_000)
    assert not complaints, "\n" + "\n".join(complaints)


def test_the_theme_can_be_switched(visit, base):
    page, complaints = visit(f"{base['file']}/{CHAPTERS[0]}")
    look = "() => [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]"
    seen = set()
    for _ in range(3):  # light, dark, as the system has it
        page.locator(".theme-switch-button >> visible=true").first.click()
        seen.add(tuple(page.evaluate(look)))
    assert {theme for theme, _ in seen} == {"light", "dark"}
    assert len({colour for _, colour in seen}) == 2
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_has_what_a_reader_reaches_for(name, visit, base):
    """Links to the neighbours, a copy button on every code cell, and the notebook itself."""
    page, complaints = visit(f"{base['file']}/{name}")
    here = READING_ORDER.index(name)
    for link, neighbour in (("a.left-prev", here - 1), ("a.right-next", here + 1)):
        assert page.locator(link).evaluate("a => a.href") == f"{base['file']}/{READING_ORDER[neighbour]}"
    cells = page.locator(".cell_input .highlight")
    assert cells.count() == page.locator(".cell_input .highlight:has(button.copybtn)").count() > 0
    notebook = page.locator("a.btn-download-source-button").evaluate("a => a.href")
    assert notebook.endswith(".ipynb")
    assert chapters.read(HTML / notebook.removeprefix(base["file"] + "/")).cells
    assert not complaints, "\n" + "\n".join(complaints)


class _Anchors(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {value for key in ("id", "name") if (value := attributes.get(key))}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


# Pages whose address after the # is a state, as in `#D=5&layers=2`: test_play.py opens each that the page links to.
WITH_STATES = {Path(play.path).name for play in PLAY if play.owns}


def broken_links(folder):
    pages = {p.resolve(): _Anchors(p.read_text(encoding="utf8")) for p in folder.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            address, anchor = urldefrag(link)
            target = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            if not target.is_file():
                yield f"{path.relative_to(folder)}: {link}: no such page"
            elif "=" in anchor and target.name in WITH_STATES:
                continue
            elif target in pages and unquote(anchor) not in pages[target].anchors:
                yield f"{path.relative_to(folder)}: {link}: no such anchor"


def test_internal_links_resolve(built):
    complaints = sorted(set(broken_links(HTML.resolve())))
    assert not complaints, "\n" + "\n".join(complaints)


def test_a_broken_link_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="x"><a href="#x">1</a><a href="#y">2</a><a href="b.html">3</a><a href="#t=1">'
    )
    (tmp_path / "live_made.html").write_text('<a href="#t=1">1</a><a href="#t">2</a><a href="a.html#x">3</a>')
    assert sorted(broken_links(tmp_path)) == [
        "a.html: #t=1: no such anchor",
        "a.html: #y: no such anchor",
        "a.html: b.html: no such page",
        "live_made.html: #t: no such anchor",
    ]
