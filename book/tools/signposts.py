"""What leads readers to a page: descriptions, previews, the lines of context of the search, a site map.

As a Sphinx extension it gives every page its description and its preview, and writes what the search shows under a hit.
`build.py` calls `write`, which adds `llms.txt` and, if `html: baseurl:` in `_config.yml` names the address of the book,
`sitemap.xml`. With that address previews and canonical links are absolute; without it they are relative.
"""

import json
import re
from html import escape, unescape
from pathlib import Path
from urllib.parse import urljoin

import yaml
from docutils import nodes
from sphinx import addnodes

ROOT = Path(__file__).resolve().parents[2]
PREVIEW = "_static/preview.png"
PREVIEW_ALT = "Digits drawn by a masked autoencoder, beside the masks that make it a distribution"
LONG_ENOUGH, LONGEST = 80, 240
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z*“\"])")


# ---- the first sentence --------------------------------------------------------------------------------------------


def shortened(text):
    """The first sentence of a text, and more of them until they say something; not cut inside a word.

    >>> shortened("Short. This sentence says what the page is about, at some length, and then it goes on. " * 2)
    'Short. This sentence says what the page is about, at some length, and then it goes on.'
    >>> shortened("word " * 100)[-8:], len(shortened("word " * 100)) <= LONGEST
    ('word ...', True)
    """
    kept = ""
    for sentence in SENTENCE.split(" ".join(text.split())):
        more = f"{kept} {sentence}".strip()
        if len(kept) >= LONG_ENOUGH or (kept and len(more) > LONGEST):
            break
        kept = more
    return kept if len(kept) <= LONGEST else kept[: LONGEST - 3].rpartition(" ")[0] + " ..."


SIGNS = {"mid": "|", "cdots": "...", "ldots": "...", "dots": "...", "ge": "\u2265", "le": "\u2264", "in": "\u2208"}
SIGNS |= {
    "times": "\u00d7",
    "cdot": "\u00b7",
    "mathbf": "",
    "mathrm": "",
    "text": "",
    "hat": "",
    "left": "",
    "right": "",
}


def readable(latex):
    r"""A formula as plain text, well enough for a line in passing.

    >>> readable(r"p(x_1 \mid x_{<1}) \ge \sigma(a)")
    'p(x_1 | x_<1) \u2265 sigma(a)'
    """
    return re.sub(r"[{}\\]", "", re.sub(r"\\([a-z]+)", lambda m: SIGNS.get(m[1], m[1]), latex))


def words_of(node):
    """The text of a paragraph as a reader sees it: formulas, which are LaTeX, without backslashes and braces."""
    parts = []
    for leaf in node.findall(lambda n: isinstance(n, (nodes.Text, nodes.math))):
        if isinstance(leaf, nodes.math):
            parts.append(readable(leaf.astext()))
        elif not isinstance(leaf.parent, nodes.math):
            parts.append(leaf.astext())
    return "".join(parts)


def description(doctree):
    """What a page is about: how its first paragraph begins."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, (nodes.section, nodes.document)) and words_of(paragraph).strip():
            return shortened(words_of(paragraph))
    return ""


def title(doctree):
    found = next(doctree.findall(nodes.title), None)
    return found.astext() if found else ""


# ---- in the head of each page ---------------------------------------------------------------------------------------


def head(name, about, site, address, image, kind):
    """The description of a page, and what others show of a link to it."""
    properties = {
        "og:type": kind,
        "og:site_name": site,
        "og:title": name,
        "og:description": about,
        "og:url": address,
        "og:image": image,
        "og:image:alt": PREVIEW_ALT,
    }
    lines = [f'<meta name="description" content="{escape(about)}" />']
    lines += [f'<meta property="{key}" content="{escape(text)}" />' for key, text in properties.items() if text]
    return "\n    ".join(["", *lines, '<meta name="twitter:card" content="summary_large_image" />'])


def add_head(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    base = app.config.html_baseurl
    image = urljoin(base, PREVIEW) if base else context["pathto"](PREVIEW, 1)
    kind = "website" if pagename == app.config.root_doc else "article"
    about = head(title(doctree), description(doctree), context["docstitle"], context.get("pageurl") or "", image, kind)
    context["metatags"] = (context.get("metatags") or "") + about
    app.env.search_places = getattr(app.env, "search_places", {})
    app.env.search_places[pagename] = places(doctree)


# ---- what the search shows ------------------------------------------------------------------------------------------


def place_of(node):
    """Where a paragraph is found: an anchor and its name, of a term, of a function or class, or of a section."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.definition_list_item):
            term = node.next_node(nodes.term)
            if term is not None and term["ids"]:
                return term["ids"][0], term.astext().split("\n")[0]
        elif isinstance(node, addnodes.desc):
            signature = node.next_node(addnodes.desc_signature)
            if signature["ids"]:
                return signature["ids"][0], signature["ids"][0]
        elif isinstance(node, nodes.section):
            return node["ids"][0], node.next_node(nodes.title).astext()
    return "", ""


def places(doctree):
    """The prose of a page by place: [anchor, name, text], in reading order."""
    found = {}
    for node in doctree.findall(nodes.paragraph):
        if text := " ".join(words_of(node).split()):
            found.setdefault(place_of(node), []).append(text)
    return [[anchor, name, " ".join(texts)] for (anchor, name), texts in found.items()]


def write_places(app, exception):
    if exception is None and app.builder.name == "html":
        text = json.dumps(getattr(app.env, "search_places", {}), ensure_ascii=False, separators=(",", ":"))
        (Path(app.outdir) / "_static" / "search_places.js").write_text(
            f"window.searchPlaces = {text};\n", encoding="utf8"
        )


def setup(app):
    app.connect("html-page-context", add_head, priority=900)
    app.connect("build-finished", write_places)
    return {"parallel_read_safe": True}


# ---- for the whole site ----------------------------------------------------------------------------------------------


def baseurl(config=None):
    """The address that `_config.yml` names, with a slash at its end; "" where it names none."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text()) if config is None else config
    address = (config.get("html") or {}).get("baseurl") or ""
    return address and address.rstrip("/") + "/"


def described(page):
    """Title and description of a built page.

    >>> described('<title>Masks &#8212; A book</title><meta name="description" content="A &amp; B" />')
    ('Masks', 'A & B')
    """
    name = re.search(r"<title>(.*?)( &#8212; .*?)?</title>", page, re.S)
    about = re.search(r'<meta name="description" content="(.*?)"', page, re.S)
    return unescape(name[1]) if name else "", unescape(about[1]) if about else ""


def llms(name, summary, parts, base=""):
    """The text of llms.txt: what the book is, and a line for each of its pages, part by part.

    >>> print(llms("A book", "About masks.", {"Start": [("book/a.html", "A", "What is it?")]}, "https://example.org/"))
    # A book
    <BLANKLINE>
    > About masks.
    <BLANKLINE>
    ## Start
    <BLANKLINE>
    - [A](https://example.org/book/a.html): What is it?
    <BLANKLINE>
    """
    lines = [f"# {name}", "", f"> {summary}", ""]
    for part, pages in parts.items():
        lines += [f"## {part}", "", *(f"- [{title}]({base}{path}): {about}" for path, title, about in pages), ""]
    return "\n".join(lines)


def sitemap(base, paths):
    """The text of sitemap.xml."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">']
    return "\n".join([*lines, *(f"  <url><loc>{escape(base + path)}</loc></url>" for path in paths), "</urlset>", ""])


def plain(markdown):
    """Markdown without the marks.

    >>> plain("Compare: `>=` inside, and [a ledger](ledger.md) of *all*.")
    'Compare: >= inside, and a ledger of all.'
    """
    return re.sub(r"[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown))


def write(html, questions, base=None):
    """Write llms.txt and, for a book with an address, sitemap.xml; `questions` are pages.CHAPTERS."""
    base = baseurl() if base is None else base
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    front = f"{toc['root']}.html"
    name, summary = described((html / front).read_text(encoding="utf8"))
    parts = {}
    for part in [{"caption": "Start", "chapters": [{"file": toc["root"]}]}, *toc["parts"]]:
        for chapter in part["chapters"]:
            path = f"{chapter['file']}.html"
            heading, about = described((html / path).read_text(encoding="utf8"))
            number = re.match(r"book/(\d+)_", path)
            if number and int(number[1]) in questions:
                about = " ".join(plain(text) for text in questions[int(number[1])])
            parts.setdefault(part["caption"], []).append((path, heading, about))
    (html / "llms.txt").write_text(llms(name, summary, parts, base), encoding="utf8")
    if base:
        paths = [path for pages in parts.values() for path, _, _ in pages]
        (html / "sitemap.xml").write_text(sitemap(base, paths), encoding="utf8")
