"""Sphinx extension: a page loads what it uses, and nothing holds up its first words.

By default every page gets every script and every style sheet. Here a file comes along only if the page has what the
file is for; scripts wait until the page has been read; and the theme's style sheet loses the rules that no page uses.
The theme's templates are extended in book/tools/templates.
"""

import hashlib
import html
import itertools
import re
import shutil
import struct
from pathlib import Path

from sphinx.builders.html._assets import _JavaScript

TEMPLATES = Path(__file__).parent / "templates"
THEME = Path("_static", "styles", "pydata-sphinx-theme.css")
PUT_TOGETHER = {"bs-tooltip-auto"}  # a class that bootstrap.js makes of parts
PLACEHOLDER = "digest=TRIMMED"  # in book/tools/templates/static/webpack-macros.html

CODE = r'class="highlight'
PICTURES = ("mask_explorer", "live_made", "drawing", "guess_the_pixels")
EXPLORER, LIVE, DRAWING, GUESS = (rf'src="[^"]*/{name}\.png"' for name in PICTURES)
GUIDED = f"{EXPLORER}|{LIVE}"
PLAY = f"{GUIDED}|{DRAWING}|{GUESS}"
ANSWERS = r'class="answers"'
# What the text of a page must have for a file to be of use: (part of the file's name, or of an inline script; pattern).
USES = [
    ("pygments.css", CODE),
    ("copybutton", CODE),
    ("clipboard", CODE),
    ("mystnb", r'class="[^"]*\b(cell|output)\b'),
    ("togglebutton", r'class="[^"]*\b(toggle|dropdown)\b'),
    ("toggleHint", r'class="[^"]*\b(toggle|dropdown)\b'),
    ("toggleOpen", r'class="[^"]*\b(toggle|dropdown)\b'),
    ("sphinx-design", r'class="[^"]*\bsd-'),
    ("design-tabs", r'class="[^"]*\bsd-'),
    ("mathjax", r'class="math\b'),
    ("window.MathJax", r'class="math\b'),
    ("mask_explorer", EXPLORER),
    ("live_made", LIVE),
    ("networks.js", f"{LIVE}|{GUESS}"),
    ("recording.js", f"{LIVE}|{DRAWING}"),
    ("drawing.js", DRAWING),
    ("guess", GUESS),
    ("answers.", ANSWERS),
    ("paper.js", f"{PLAY}|{ANSWERS}"),
    ("guide.js", GUIDED),
    ("play.css", PLAY),
    ("made.js", f"{PLAY}|{ANSWERS}"),
    ("DOCUMENTATION_OPTIONS.", r"(?!)"),  # settings of a search in a dialogue, which we do not have
]


def is_used(name, body):
    """Whether a page with this text has a use for the file, or inline script, of this name.

    >>> is_used("mathjax/tex.js", '<span class="math notranslate">'), is_used("mathjax/tex.js", "<p>")
    (True, False)
    >>> is_used("book.js", "<p>")
    True
    """
    return all(re.search(pattern, body) for part, pattern in USES if part in name)


def name_of(asset):
    return str(asset.filename or asset.attributes.get("body", ""))


def deferred(script):
    """The same script, run when the page has been read. An inline one cannot wait, and none of ours must."""
    if not script.filename:
        return script
    attributes = {key: value for key, value in script.attributes.items() if key != "async"}
    return _JavaScript(script.filename, priority=script.priority, **{**attributes, "defer": "defer"})


def choose_assets(app, pagename, templatename, context, doctree):
    body = context.get("body", "")
    for kind in ("css_files", "script_files"):
        context[kind] = [asset for asset in dict.fromkeys(context[kind]) if is_used(name_of(asset), body)]
    context["script_files"] = [deferred(script) for script in context["script_files"]]
    # One in the template is enough.
    context["metatags"] = re.sub(r'<meta name="viewport"[^>]*>\n?', "", context.get("metatags") or "")


# ---- the theme's style sheet ---------------------------------------------------------------------------------------


def rules(css):
    """The rules of a style sheet, each with what stands between its braces; None for one without, as an import.

    >>> list(rules('@import "a;b"; p, a {color: red} @media print {p {top: 0}}'))
    [('@import "a;b";', None), (' p, a ', 'color: red'), (' @media print ', 'p {top: 0}')]
    """
    depth, start, brace, quote = 0, 0, 0, ""
    for found in re.finditer(r"\\.|[\"'{};]", css):
        char = found[0]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "{":
            brace = found.start() if depth == 0 else brace
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                yield css[start:brace], css[brace + 1 : found.start()]
                start = found.end()
        elif char == ";" and depth == 0:
            yield css[start : found.end()], None
            start = found.end()


def can_match(selector, words):
    """Whether every class and every id that a selector asks for is among the words. What it excludes does not count.

    >>> can_match(".a:not(.b) > #c", {"a", "c"}), can_match(".a .b", {"a", "c"})
    (True, False)
    """
    asked = re.findall(r"[.#](-?[A-Za-z_][\w-]*)", re.sub(r":not\([^)]*\)", "", selector))
    return all(name in words for name in asked)


def is_icon(selector):
    return bool(re.search(r"\.fa([srb]|-[a-z0-9-]+)?(?![\w-])", selector))


def trimmed(css, words):
    """The style sheet without rules that match nothing, and without Font Awesome.

    >>> trimmed('.a,.b{top:0}.b{left:0}@media print{.b{top:0}}.fa-sun{--fa:"x"}', {"a", "fa-sun"})
    '.a{top:0}'
    """
    kept = []
    for head, inner in rules(re.sub(r"/\*.*?\*/", "", css, flags=re.S)):
        if inner is None:
            kept.append(head)
        elif head.strip().startswith(("@media", "@supports")):
            rest = trimmed(inner, words)
            kept.append(f"{head}{{{rest}}}" if rest else "")
        elif head.strip().startswith("@"):
            kept.append("" if "Font Awesome" in inner or "fa-" in head else f"{head}{{{inner}}}")
        else:
            selectors = [s for s in re.split(r",(?![^(]*\))", head) if can_match(s, words) and not is_icon(s)]
            kept.append(f"{','.join(selectors)}{{{inner}}}" if selectors else "")
    return "".join(kept)


# ---- pictures --------------------------------------------------------------------------------------------------------


def png_size(path):
    """Width and height of a PNG in pixels; None for any other file."""
    with open(path, "rb") as file:
        start = file.read(24)
    return struct.unpack(">II", start[16:24]) if start.startswith(b"\x89PNG") else None


def with_sizes(page, folder):
    """The text of a page whose pictures say how large they are, so that nothing moves when they arrive.

    All but the first come when the reader comes near them.
    """
    seen = itertools.count()

    def sized(tag):
        source = re.search(r'src="([^":]*)"', tag[0])
        size = source and "width=" not in tag[0] and (folder / source[1]).is_file() and png_size(folder / source[1])
        if not size:
            return tag[0]
        lazy = 'loading="lazy" ' if next(seen) else ""
        return f'<img width="{size[0]}" height="{size[1]}" {lazy}{tag[0].removeprefix("<img ")}'

    return re.sub(r"<img [^>]*>", sized, page)


# ---- tables ----------------------------------------------------------------------------------------------------------

ROOM = 40  # letters that stand side by side on a phone, with the space between columns


def words_of(markup):
    """The words of a cell; a formula, which is not typeset yet, is one short word."""
    return re.sub(r"\\\(.*?\\\)", "xxxx", html.unescape(re.sub(r"<[^>]+>", "", markup))).split()


def with_titles(page):
    """The text of a page whose Markdown tables are ready for a phone before anything is drawn.

    Every cell names its column, and a table whose longest words do not fit side by side is `wide`: a list on a phone.
    One with formulas has its columns' widths set, so that nothing moves when they are typeset.

    >>> page = '<table class="table"><tr><th>a</th></tr><tr><td><p>1</p></td></tr></table>'
    >>> with_titles(page)
    '<table class="table"><tr><th>a</th></tr><tr><td data-title="a"><p>1</p></td></tr></table>'
    >>> with_titles(page.replace("1", "x" * 40))[:26]
    '<table class="table wide">'
    """

    def cells_of(row):
        return re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.S)

    def titled(table):
        rows = re.findall(r"<tr\b.*?</tr>", table[0], re.S)
        columns = [[words_of(cell) for cell in column] for column in zip(*map(cells_of, rows), strict=True)]
        titles = [" ".join(column[0]) for column in columns]

        def named(row):
            names = iter(titles)
            return re.sub(r"<td\b", lambda _: f'<td data-title="{html.escape(next(names))}"', row[0])

        longest = [max((len(word) for words in column for word in words), default=0) for column in columns]
        classes = "table" + " wide" * (sum(longest) + 2 * len(columns) > ROOM)
        text = re.sub(r"<tr\b.*?</tr>", named, table[0], flags=re.S)
        if 'class="math' in text:
            shares = [6 + min(max(len(" ".join(words)) for words in column), ROOM) for column in columns]
            widths = "".join(f'<col style="width: {100 * share / sum(shares):.0f}%">' for share in shares)
            text = text.replace("<thead>", f"<colgroup>{widths}</colgroup><thead>")
            classes += " set"
        return text.replace('class="table', f'class="{classes}', 1)

    return re.sub(r'<table class="table\b.*?</table>', titled, page, flags=re.S)


# ---- when all pages are there ----------------------------------------------------------------------------------------


def finish(app, exception):
    """Cut the theme's style sheet down to what is named anywhere; give pictures their sizes and tables their titles."""
    if exception or app.builder.name != "html":
        return
    static, theme = Path(app.outdir) / "_static", Path(app.outdir) / THEME
    pages = {path: path.read_text(encoding="utf8") for path in Path(app.outdir).rglob("*.html")}
    scripts = [*static.glob("*.js"), *(static / "scripts").glob("*.js")]
    words = set(PUT_TOGETHER)
    for text in [*pages.values(), *(path.read_text(encoding="utf8") for path in scripts)]:
        words.update(re.findall(r"[A-Za-z_][\w-]*", text))
    css = trimmed(theme.read_text(encoding="utf8"), words)
    theme.write_text(css, encoding="utf8")
    digest = f"digest={hashlib.sha256(css.encode()).hexdigest()[:16]}"
    for path, text in pages.items():
        path.write_text(with_titles(with_sizes(text.replace(PLACEHOLDER, digest), path.parent)), encoding="utf8")
    for unused in [*(static / "scripts").glob("fontawesome.js*"), theme.with_suffix(".css.map")]:
        unused.unlink(missing_ok=True)
    shutil.rmtree(static / "vendor" / "fontawesome", ignore_errors=True)


def setup(app):
    app.add_css_file("icons.css")
    app.connect("config-inited", lambda app, config: config.templates_path.append(str(TEMPLATES)))
    app.connect("html-page-context", choose_assets, priority=1000)  # after all who add files
    app.connect("build-finished", finish, priority=1000)
    return {"parallel_read_safe": True}
