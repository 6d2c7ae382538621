"""Pages load what they use, say what they are about, and can be searched from disk. Needs `make book` first.

No test looks at the clock: `make weight` does, and writes book/results/pages.json.
"""

import gzip
import json
import re
import shutil
import sys
import urllib.request
from functools import partial
from http.server import ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag, urlsplit

import chapters
import lighter
import pytest
import signposts
from build import entries
from conftest import HTML, NARROW, WIDE

sys.path.append(str(chapters.ROOT / "tests" / "benchmarks"))
import weight

pytestmark = pytest.mark.browser

PAGES = [path for path in sorted(HTML.rglob("*.html")) if "_static" not in path.parts and path != HTML / "index.html"]
READING_ORDER = [f"{entry}.html" for entry in entries()]
# What a page may load besides itself and its pictures, in bytes as a static host sends them; every reader waits for the
# styles, and no one for the scripts.
STYLES, SCRIPTS, MATHJAX = 45_000, 80_000, 170_000
THEME = files("pydata_sphinx_theme") / "theme" / "pydata_sphinx_theme" / "static" / "styles" / "pydata-sphinx-theme.css"


def name_of(path):
    return path.relative_to(HTML).as_posix()


def loaded(path):
    """The scripts and style sheets that a page asks for, as paths."""
    text = path.read_text()
    found = re.findall(r'<script[^>]*\ssrc="([^"]+)"|<link[^>]*\shref="([^"]+)"[^>]*rel="stylesheet"', text)
    found += re.findall(r'<link[^>]*rel="stylesheet"[^>]*\shref="([^"]+)"()', text)
    return [(path.parent / urlsplit(one or other).path).resolve() for one, other in found]


def sent(paths):
    return sum(len(gzip.compress(path.read_bytes(), 6)) for path in paths)


PLAY = ("made.js", "paper.js")  # what the interactive pages share

# ---- what a page loads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_page_loads_what_it_uses_and_no_more(path, built):
    text, names = path.read_text(), [file.name for file in loaded(path)]
    assert len(names) == len(set(names))
    # The scripts that only some pages need, and what shows that this is one of them.
    needs = {
        "book-chtml.js": 'class="math ' in text,
        "copybutton.js": '<div class="highlight">' in text,
        "mask_explorer.js": "/mask_explorer.png" in text,
        "mask_explorer.css": "/mask_explorer.png" in text,
        "live_made.js": "/live_made.png" in text,
        "networks.js": "/live_made.png" in text or "/guess_the_pixels.png" in text,
        "live_made.css": "/live_made.png" in text,
        "recording.js": "/live_made.png" in text or "/drawing.png" in text,
        "drawing.js": "/drawing.png" in text,
        "guide.js": "/live_made.png" in text or "/mask_explorer.png" in text,
        **dict.fromkeys(("guess.js", "guess.css", "guess_digits.js"), "/guess_the_pixels.png" in text),
        "answers.js": 'class="answers"' in text,
        "play.css": any(
            f"/{name}.png" in text for name in ("live_made", "mask_explorer", "drawing", "guess_the_pixels")
        ),
        **dict.fromkeys(
            PLAY,
            'class="answers"' in text
            or any(f"/{name}.png" in text for name in ("live_made", "mask_explorer", "drawing", "guess_the_pixels")),
        ),
        "searchindex.js": path.name == "search.html",
        "togglebutton.js": False,
        "design-tabs.js": False,
        "fontawesome.js": False,
    }
    assert {name: name in names for name in needs} == needs


def test_the_pages_differ_in_what_they_need(built):
    """Otherwise the test above could not fail."""
    for file in ("book-chtml.js", "copybutton.js", "mask_explorer.js", "live_made.js"):
        assert 0 < sum(file in [one.name for one in loaded(path)] for path in PAGES) < len(PAGES)
    assert "book-chtml.js" not in [one.name for one in loaded(HTML / "book" / "index.html")]


@pytest.mark.parametrize("path", [HTML / name for name in READING_ORDER], ids=name_of)
def test_a_page_is_light(path, built):
    files_ = loaded(path)
    assert sent(file for file in files_ if file.suffix == ".css") < STYLES
    assert sent(file for file in files_ if file.suffix == ".js" and file.name != "book-chtml.js") < SCRIPTS
    assert sent(file for file in files_ if file.name == "book-chtml.js") < MATHJAX


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_script_holds_up_the_page(path, built):
    blocking = [tag for tag in re.findall(r"<script[^>]*\ssrc=[^>]*>", path.read_text()) if "defer" not in tag]
    assert blocking == []


def test_pictures_say_their_size_and_all_but_the_first_wait(visit, base):
    page, complaints = visit(f"{base['file']}/book/04_made.html")
    found = page.evaluate("""async () => {
      const images = [...document.querySelectorAll('.bd-article img')]
      const lazy = images.map(image => image.loading === 'lazy')
      for (const image of images) image.loading = 'eager'
      await Promise.all(images.map(image => image.decode()))
      const said = image => ['width', 'height'].map(name => Number(image.getAttribute(name)))
      const size = image => [image.naturalWidth, image.naturalHeight]
      const ratio = i => i.getBoundingClientRect().width / i.getBoundingClientRect().height
      return images.map((image, n) => [lazy[n], said(image), size(image), ratio(image)])
    }""")
    assert [lazy for lazy, *_ in found] == [False] + [True] * (len(found) - 1)
    for _, said, size, shown in found:
        assert said == size
        assert shown == pytest.approx(size[0] / size[1], rel=0.02)
    assert not complaints, complaints


# ---- the theme, without Font Awesome and without rules that match nothing ------------------------------------------


class Everything:
    """A set with every word."""

    def __contains__(self, word):
        return True


# How the first element of every kind looks: tag, class, and class of what it is in.
LOOK = """() => {
  const kinds = new Map()
  for (const element of document.body.querySelectorAll(':not(mjx-container *, pre *)')) {
    const kind = `${element.parentElement.className} > ${element.tagName} ${element.className}`
    if (!kinds.has(kind)) kinds.set(kind, element)
  }
  return [...kinds].map(([kind, element]) => [kind, ...[null, '::before', '::after'].map(pseudo => {
    const style = getComputedStyle(element, pseudo)
    if (pseudo && style.content === 'none') return ''
    return [...style].map(name => `${name}: ${style.getPropertyValue(name)}`).join('; ')
  })])
}"""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["book/index.html", "book/04_made.html", "search.html"])
def test_trimming_the_style_sheet_changes_nothing(name, size, visit, base):
    """Every element looks as with all of the theme's rules but those of Font Awesome, in both themes."""
    original = lighter.trimmed(THEME.read_text(), Everything())
    assert len(original) > 2 * (HTML / lighter.THEME).stat().st_size
    looks = []
    for whole in (False, True):
        page, complaints = visit(f"{base['http']}/{name}", size)
        if whole:
            replace = "(css, link = document.querySelector('link[href*=pydata-sphinx-theme]')) => {"
            replace += (
                "const style = document.createElement('style'); style.textContent = css; link.replaceWith(style) }"
            )
            page.evaluate(replace, original)
        page.add_style_tag(content="* { transition: none !important }")
        for theme in ("light", "dark"):
            page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            looks.append(page.evaluate(LOOK))
        assert not complaints, complaints
    for trimmed, whole in zip(looks[:2], looks[2:], strict=True):
        assert len(whole) > 50
        assert [pair for pair in zip(trimmed, whole, strict=True) if pair[0] != pair[1]][:1] == []


def test_every_icon_has_a_drawing(built):
    drawn = set(re.findall(r"^\.fa-([\w-]+) \{", (HTML / "_static" / "icons.css").read_text(), re.M))
    asked = {
        name
        for path in PAGES
        for tag in re.findall(r'class="[^"]*\bfa[srb-][^"]*"', path.read_text())
        for name in re.findall(r"\bfa-([\w-]+)", tag)
    }
    assert len(asked) > 8
    assert asked - drawn - {"solid", "lg"} == set()


def test_the_buttons_of_the_theme_work(visit, base):
    page, complaints = visit(f"{base['file']}/book/04_made.html")
    icons = page.evaluate("""() => [...document.querySelectorAll('[class*=fa-]')].flatMap(icon => {
      if (!icon.checkVisibility()) return []
      const style = getComputedStyle(icon, '::before')
      return [[icon.className, parseFloat(style.width), style.maskImage.slice(0, 19), style.content]]
    })""")
    assert len(icons) >= 6
    for icon in icons:
        assert icon[1] > 8, icon
        assert icon[2:] == ['url("data:image/svg', '""'], icon
    page.click("button.dropdown-toggle")
    assert page.locator("a.btn-download-source-button").is_visible()
    page.keyboard.press("Escape")
    assert page.get_by_role("button", name="Fullscreen mode").is_visible()
    page.get_by_role("button", name="Toggle primary sidebar").click()
    page.wait_for_function("() => document.querySelector('#pst-primary-sidebar').getBoundingClientRect().right <= 0")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").fill("mask")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li")
    assert not complaints, complaints


# ---- formulas ------------------------------------------------------------------------------------------------------


def test_formulas_are_read_aloud_and_not_stops_of_the_tab_key(visit, base):
    page, complaints = visit(f"{base['file']}/book/04_made.html")
    counts = page.evaluate("""() => ['mjx-container', 'mjx-container > mjx-assistive-mml', 'mjx-container [tabindex]']
      .map(what => document.querySelectorAll(what).length)""")
    assert counts[0] == counts[1] > 30
    assert counts[2] == 0
    assert page.locator("mjx-container[tabindex]").count() == 0
    assert not complaints, complaints


def test_a_formula_that_is_too_wide_can_be_scrolled_with_the_keyboard(visit, base):
    page, complaints = visit(f"{base['file']}/book/04_made.html", NARROW)
    page.evaluate("() => { document.querySelector('div.math mjx-container').style.width = '2000px' }")
    page.set_viewport_size({**NARROW, "width": 380})  # what does not fit is found out when a width changes
    page.wait_for_selector("div.math[tabindex='0']", timeout=5000)
    assert not complaints, complaints


# ---- what a page says of itself ------------------------------------------------------------------------------------


class Address:
    """Where a file of a page leads: a path on disk."""

    def __init__(self, page):
        self.page = page

    def __call__(self, link):
        return (self.page.parent / unquote(urlsplit(link).path)).resolve()


@pytest.mark.parametrize("path", [HTML / name for name in READING_ORDER], ids=name_of)
def test_a_page_introduces_itself(path, built):
    text, file = path.read_text(), Address(path)
    head = text[: text.index("</head>")]
    one = lambda pattern: re.findall(pattern, head)
    (about,) = one(r'<meta name="description" content="([^"]*)"')
    assert 40 <= len(about) <= 300
    assert one(r'property="og:description" content="([^"]*)"') == [about]
    (picture,) = one(r'property="og:image" content="([^"]*)"')
    assert lighter.png_size(file(picture)) == (1200, 630)
    (icon,) = one(r'<link rel="icon" href="([^"]*)"')
    assert file(icon).is_file()
    assert len(one(r'<meta name="viewport"')) == 1
    assert len(re.findall(r"<h1[ >]", text)) == 1


def test_no_two_pages_introduce_themselves_alike(built):
    said = [signposts.described((HTML / name).read_text()) for name in READING_ORDER]
    assert len({about for _, about in said}) == len({title for title, _ in said}) == len(READING_ORDER)


def links(text):
    return re.findall(r"\]\(([^)]*)\)", text)


def test_llms_txt_names_every_page_once(built):
    text = (HTML / "llms.txt").read_text()
    assert re.match(r"# .+\n\n> .+\n\n## ", text)
    assert links(text) == READING_ORDER or signposts.baseurl()
    assert all(re.fullmatch(r"- \[.+\]\(.+\): \S.{20,}", line) for line in text.splitlines() if line.startswith("-"))


def test_an_address_makes_absolute_links_and_a_site_map(built, tmp_path):
    for name in READING_ORDER:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(HTML / name, tmp_path / name)
    signposts.write(tmp_path, {}, base="")
    assert not (tmp_path / "sitemap.xml").exists()
    base = signposts.baseurl({"html": {"baseurl": "https://example.org/made"}})
    signposts.write(tmp_path, {4: ("Why `>=`?", "[Because](x.md).")}, base=base)
    addresses = [f"https://example.org/made/{name}" for name in READING_ORDER]
    assert links((tmp_path / "llms.txt").read_text()) == addresses
    assert "Why >=? Because." in (tmp_path / "llms.txt").read_text()
    assert re.findall(r"<loc>(.*?)</loc>", (tmp_path / "sitemap.xml").read_text()) == addresses


# ---- search --------------------------------------------------------------------------------------------------------

FOUND = """() => [...document.querySelectorAll('#search-results li')].map(item => ({
  name: item.querySelector('a').textContent, href: item.querySelector('a').href,
  where: item.querySelector('.where')?.textContent ?? '', text: item.querySelector('.context')?.textContent ?? '',
  marked: [...item.querySelectorAll('mark')].map(mark => mark.textContent)
}))"""


@pytest.fixture
def search(visit, base):
    def find(words):
        page, complaints = visit(f"{base['file']}/search.html?q={words}")
        page.wait_for_function("() => document.querySelector('.search-summary')?.textContent")
        assert not complaints, complaints
        return page.evaluate(FOUND)

    return find


def test_search_shows_a_line_of_context(search):
    found = search("dropout")
    assert found[0]["name"] == "Dropout"
    assert found[0]["where"] == " in Glossary"
    assert found[0]["text"].startswith("In training, hidden units are left out")
    in_prose = [item for item in found if item["text"] != "In code or output."]
    assert len(in_prose) > 3
    for item in in_prose:
        assert 20 < len(item["text"]) < 230
        shown = item["marked"] or [item["name"]]
        assert all("dropout" in word.lower() for word in shown), item


@pytest.mark.parametrize("words", ["glossary", "mask", "made", "log_prob", "entropy"])
def test_search_shows_a_place_once_and_it_is_there(words, search):
    found = search(words)
    assert 0 < len(found) < 80
    assert len({item["href"] for item in found}) == len(found)
    assert len({(item["name"], item["where"]) for item in found}) == len(found)
    for item in found:
        assert "<" not in item["name"] + item["where"]
        address, anchor = urldefrag(item["href"])
        path = Path(unquote(urlsplit(address).path))
        assert "_modules" not in path.parts
        assert not anchor or f'id="{unquote(anchor)}"' in path.read_text(), item


def test_search_says_that_it_found_nothing(visit, base):
    page, complaints = visit(f"{base['file']}/search.html?q=xylophone")
    page.wait_for_function("() => document.querySelector('.search-summary')?.textContent.includes('xylophone')")
    assert page.evaluate(FOUND) == []
    assert not complaints, complaints


# ---- the record ----------------------------------------------------------------------------------------------------


def test_the_host_that_times_pages_compresses_text(tmp_path):
    (tmp_path / "a.css").write_text("p {color: red}\n" * 100)
    notes = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(weight.Host, tmp_path, notes))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/a.css?v=1") as reply:
        content = reply.read()
    server.shutdown()
    thread.join()
    server.server_close()
    assert gzip.decompress(content) == (tmp_path / "a.css").read_bytes()
    assert notes == [("a.css", 1500, len(content))]


def test_the_record_says_how_soon_the_first_words_are_there():
    record = json.loads((chapters.BOOK / "results" / "pages.json").read_text())
    assert record["config"] == json.loads(json.dumps(weight.CONFIG))
    now = {row["page"]: row for row in record["rows"] if row["build"] == "now"}
    assert set(weight.CONFIG["timed"]) <= set(now)
    for page in weight.CONFIG["timed"]:
        assert now[page]["paint"] <= now[page]["done"]
        assert now[page]["content"] <= 3.0
        assert max(now[page][kind] for kind in ("shift", "shift_wide", "shift_near")) < 0.05


def test_the_record_says_how_soon_live_made_draws_and_how_smoothly():
    record = json.loads((chapters.BOOK / "results" / "pages.json").read_text())
    (now,) = [row for row in record["live"] if row["build"] == "now"]
    assert now["drawing"] <= 8
    assert now["usable"] <= 20
    for screen in ("phone", "wide"):
        assert now["frames_ms"][f"{screen}_cpu"] * weight.CONFIG["cpu_slowdown"] <= 33
