"""Open every page of the built book in Chromium, from file:// and from a local server, wide and narrow.

Needs `make book` first. Skipped where the pages or a browser are missing, unless MADE_REQUIRE_BROWSER=1.
"""

import functools
import http.server
import os
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import checks
import pytest

pytestmark = pytest.mark.browser

HTML = checks.ROOT / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [name for name in PAGES if name != "index.html"]  # it only redirects to book/index.html
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# Resolves once MathJax, where a page has it, has typeset everything.
TYPESET = "async () => { if (document.querySelector('.math')) { while (!window.MathJax?.startup?.promise) "
TYPESET += "await new Promise(r => setTimeout(r, 20)); await MathJax.startup.promise } }"
UNTYPESET = "() => [...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length"
BROKEN_MATH = "() => [...document.querySelectorAll('mjx-merror')].map(m => m.textContent || m.dataset.mjxError)"
IMAGES = "() => [...document.images].map(i => ({alt: i.alt, src: i.src, drawn: i.naturalWidth > 0}))"
GLARING = """() => {
  document.documentElement.dataset.theme = 'dark'
  const figures = [...document.querySelectorAll('.cell_output img')]
  return figures.filter(i => !getComputedStyle(i).filter.includes('invert')).length
}"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth, page = document.scrollingElement
  if (page.scrollWidth <= width) return null
  const wide = [...document.body.querySelectorAll('*')].find(e => e.getBoundingClientRect().right > width + 1)
  return `${page.scrollWidth} px, because of ${wide?.outerHTML.slice(0, 120)}`
}"""


def unavailable(reason):
    if os.environ.get("MADE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def built():
    if not PAGES:
        unavailable("there is no _build/html: run `make book` first")


@pytest.fixture(scope="module")
def browser(built):
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("playwright is not installed")
    path = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    with sync_playwright() as playwright:
        path = path or playwright.chromium.executable_path
        if not Path(path).exists():
            unavailable("no Chromium found: install the package `chromium`, or run `playwright install chromium`")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def base(built):
    """The two ways to read the book: address of its folder by scheme."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {"file": HTML.as_uri(), "http": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def watched(browser, base):
    """One browser tab and the list of complaints that it fills."""
    complaints = []
    page = browser.new_page()

    def guard(route):
        url = route.request.url
        if url.startswith((*base.values(), "data:", "blob:")):
            route.continue_()
        else:
            complaints.append(f"asks another host: {url}")
            route.abort()

    page.route("**/*", guard)
    page.on("console", lambda m: complaints.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda e: complaints.append(f"script error: {e}"))
    page.on("response", lambda r: complaints.append(f"HTTP {r.status}: {r.url}") if r.status >= 400 else None)
    return page, complaints


@pytest.fixture
def visit(watched):
    """Open an address; returns the page and the complaints so far."""
    page, complaints = watched

    def open_page(address):
        page.set_viewport_size(WIDE)
        page.goto(address)
        page.evaluate(TYPESET)
        return page, complaints

    page.goto("about:blank")
    complaints.clear()
    return open_page


def looks_like_a_path(alt):
    """Sphinx writes the file's path where an alt text is missing.

    >>> looks_like_a_path("../_images/a1b2.png"), looks_like_a_path("Loss against epoch, e.g. 3.5 nats")
    (True, False)
    """
    return bool(re.fullmatch(r"\S*(/\S*|\.(png|svg|jpe?g|gif))", alt))


@pytest.mark.parametrize("name", PAGES or ["(not built)"])
@pytest.mark.parametrize("scheme", ["file", "http"])
def test_page(name, scheme, visit, base):
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


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_search_finds_what_the_book_is_about(scheme, visit, base):
    page, complaints = visit(f"{base[scheme]}/search.html?q=autoregressive")
    page.wait_for_selector("#search-results li a", timeout=10_000)
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
            elif target in pages and unquote(anchor) not in pages[target].anchors:
                yield f"{path.relative_to(folder)}: {link}: no such anchor"


def test_internal_links_resolve(built):
    complaints = sorted(set(broken_links(HTML.resolve())))
    assert not complaints, "\n" + "\n".join(complaints)


def test_a_broken_link_is_noticed(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"><a href="#x">1</a><a href="#y">2</a><a href="b.html">3</a>')
    assert list(broken_links(tmp_path)) == ["a.html: #y: no such anchor", "a.html: b.html: no such page"]
