"""Make slides of the chapters in _build/slides, a reveal.js deck for each: `python book/tools/slides.py [folder]`.

Everything on a slide stands in the chapter: the first sentences of each section, its formulas, figures, tables and
lists, and the code that is in view on the page. What is folded there is left out, solutions too. The whole text of a
section is in the notes of its slides, for the speaker. The decks work opened from disk, without a network.
"""

import base64
import html
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import chapters
import yaml
from build import ROOT, copy_mathjax
from lighter import png_size
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

OWN = ROOT / "book" / "slides"  # style sheet and script
PAGES = "../html/book"  # where the decks find the interactive pages
REVEAL = ["dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js", "plugin/zoom/zoom.js"]
LINES, COLUMNS = 16, 88  # of code that fit on a slide
ITEMS, ROWS, WORDS = 5, 8, 55  # of a list, of a table, of a text
HEIGHT, LINE, LETTERS = 560, 45, 66  # of a slide, of a line of text, in pixels; letters in a line
SMALL = 160  # height of text that shares a slide with a figure
BROAD = 1.4  # a figure at least so many times as wide as high stands below its text, another beside it
PRINTED = 8  # lines; a longer output is for the page
FIGURE = re.compile(r"^\*\*(Figure \d+\.\d+)\.\*\* *")
EXERCISE = re.compile(r"^\*\*Exercise \d+\.\d+")
ABOUT = re.compile(r"^\*\*(You need|Run time|Reading time)")
ABBREVIATED = "".join(rf"(?<!\b{word}\.)" for word in (r"e\.g", r"i\.e", "et al", "cf", "Eq", "Eqs"))
END = re.compile(rf"(?<=[.!?]){ABBREVIATED}([*)”\"]*)\s+(?=[\[(*“\"]*[A-Z0-9$`])")
HELD = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$[^$]+\$|(`+)(?!`).+?(?<!`)\1(?!`)", re.S)


class Piece(NamedTuple):
    """A piece of a slide in HTML, below the title of its section, and how high it is in pixels, roughly."""

    title: str
    body: str
    kind: str
    height: float


class Slide(NamedTuple):
    """Title and content in HTML."""

    title: str
    body: str
    kinds: list
    height: float


# ---- text ----------------------------------------------------------------------------------------------------------


def sentences(text):
    """The sentences of a Markdown text; a full stop in a formula, or in code, ends none.

    >>> sentences("Take $p(x). Q$, e.g. one. **Then** `a. B`. So?")
    ['Take $p(x). Q$, e.g. one.', '**Then** `a. B`.', 'So?']
    """
    held = []

    def hold(match):
        held.append(match[0])
        return f"`{len(held) - 1}`"

    pieces = END.sub(r"\1\n", re.sub(r"\s+", " ", HELD.sub(hold, text)).strip()).split("\n")
    return [re.sub(r"`(\d+)`", lambda match: held[int(match[1])], piece) for piece in pieces]


def opening(text, most=2):
    """The first sentences: one, and more as long as they are short.

    >>> opening("One. Two. Three.")
    'One. Two.'
    """
    kept = []
    for sentence in sentences(text)[:most]:
        if kept and chapters.words(" ".join([*kept, sentence])) > WORDS:
            break
        kept.append(sentence)
    return " ".join(kept)


def point(text):
    """What an item of a list says first: a sentence, or two if the first is a title.

    >>> point("**Row 2.** It is empty. Why?")
    '**Row 2.** It is empty.'
    """
    return opening(text, 1 if chapters.words(sentences(text)[0]) > 6 else 2)


def _math(content, options):
    return rf"\[{html.escape(content)}\]" if options["display_mode"] else rf"\({html.escape(content)}\)"


def _point(token):
    """Let a link lead to a deck, to an interactive page, or to the web; others become plain text."""
    address = token.attrGet("href")
    page, _, _ = address.partition("#")
    if re.fullmatch(r"\d\d_\w+\.ipynb", page):
        token.attrSet("href", page.replace(".ipynb", ".html"))
    elif page in ("mask_explorer.md", "live_made.md", "guess_the_pixels.md"):
        token.attrSet("href", f"{PAGES}/{page.replace('.md', '.html')}")
    elif not address.startswith("https://"):
        token.tag, token.attrs = "span", {}


def _links(state):
    for block in state.tokens:
        inside = []
        for token in block.children or []:
            if token.type == "link_open":
                _point(token)
                inside.append(token.tag)
            elif token.type == "link_close":
                token.tag = inside.pop()


def _code(source):
    return highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)).rstrip("\n")


def parser():
    """Markdown as chapters use it."""
    md = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=_math, double_inline=True)
    md.core.ruler.push("links", _links)
    return md


MD = parser()


def blocks(text):
    """The kind and the source of each block of a Markdown text, folded ones left out.

    >>> list(blocks("# A\\n\\nB\\n\\n<details>\\n\\nC\\n\\n</details>"))
    [('heading', '# A'), ('paragraph', 'B')]
    """
    lines, folded = text.splitlines(), 0
    for token in MD.parse(text):
        if token.level or token.map is None or token.nesting < 0:
            continue
        source = "\n".join(lines[slice(*token.map)]).strip()
        folded += source.count("<details")
        if not folded and token.type != "html_block":
            yield token.type.removesuffix("_open"), source
        folded -= source.count("</details>")


# ---- pieces of a slide ---------------------------------------------------------------------------------------------


def code_block(source, printed=""):
    box = f'<pre class="code"><code>{_code(source)}</code></pre>' if source.strip() else ""
    return box + (f'<pre class="printed">{html.escape(printed)}</pre>' if printed.strip() else "")


def rows_taken(code):
    """Rows that code takes on a slide, where long lines are wrapped.

    >>> rows_taken("a\\n" + 100 * "b"), rows_taken("")
    (3, 0)
    """
    return sum(max(1, -(-len(line) // COLUMNS)) for line in code.splitlines())


def divided(source, most=LINES):
    """Code in pieces that fit on a slide, cut at an empty line, or else where a statement begins, if that is possible.

    >>> divided("a\\nb\\n\\nc\\nd", most=3), divided("a = (\\n1\\n)\\nb = (\\n2\\n)", most=5)
    (['a\\nb', 'c\\nd'], ['a = (\\n1\\n)', 'b = (\\n2\\n)'])
    """
    lines, pieces = source.rstrip().splitlines(), []
    while rows_taken("\n".join(lines)) > most:
        fits = next(n for n in range(len(lines), 0, -1) if n == 1 or rows_taken("\n".join(lines[:n])) <= most)
        cuts = [n for n in range(max(1, fits // 3), min(fits + 1, len(lines)))]
        empty = [n for n in cuts if not lines[n].strip()]
        begins = [n for n in cuts if re.match(r"[^\W\d]|[#@]", lines[n])]
        cut = [fits, *begins, *empty][-1]
        pieces.append("\n".join(lines[:cut]).strip("\n"))
        lines = "\n".join(lines[cut:]).strip("\n").splitlines()
    return [*pieces, "\n".join(lines)]


def image(data, alt, media, name):
    """Write an image; return its HTML, width and height. A small one is enlarged, but not beyond what looks well."""
    (media / name).write_bytes(base64.b64decode(data))
    width, height = png_size(media / name)
    style = f"--width: {1.6 * width:.0f}px; --height: {1.6 * height:.0f}px"
    body = f'<img class="figure" src="{media.name}/{name}" alt="{html.escape(alt)}" style="{style}">'
    return body, width, height


def tables(markup):
    """A table as one or several with a few rows each, and the titles and the caption above each of them.

    >>> len(tables(f"<table><tbody>{'<tr><td>1</td></tr>' * 12}</tbody></table>"))
    2
    """
    head, opened, rest = markup.partition("<tbody>")
    body, closed, foot = rest.partition("</tbody>")
    rows = re.findall(r"<tr\b.*?</tr>", body, re.S)
    count = max(1, -(-len(rows) // ROWS))
    each = -(-len(rows) // count) or 1
    parts = [rows[n : n + each] for n in range(0, len(rows), each)] or [[]]
    return [head + opened + "\n".join(part) + closed + foot for part in parts]


def listed(source):
    """A list with the first sentence of each item, in pieces."""
    marks = re.split(r"^(?=(?:[*+-]|\d+[.)]) )", source, flags=re.M)
    items = [re.match(r"((?:[*+-]|\d+[.)]) +)(.*)", item, re.S).groups() for item in marks if item.strip()]
    items = [mark + point(re.split(r"\n\s*\n", text)[0]) for mark, text in items]
    count = -(-len(items) // ITEMS)
    each = -(-len(items) // count)
    return ["\n".join(items[n : n + each]) for n in range(0, len(items), each)]


# ---- a deck --------------------------------------------------------------------------------------------------------


def text_height(text):
    """
    >>> text_height("A line.") < text_height("Two lines. " * 10)
    True
    """
    return LINE * -(-len(re.sub(r"\]\([^)]*\)|[*`$\\]", "", text)) // LETTERS) + 20


def packed(pieces):
    """Slides from pieces, as many on one as fit below the same title; a figure stands alone, or below text."""
    slides = []
    for title, body, kind, height in pieces:
        last = slides[-1] if slides and slides[-1].title == title else None
        if last and kind.startswith("figure"):
            fits = kind != "figure linked" and {*last.kinds} <= {"text", "printed"} and last.height <= SMALL
        else:
            fits = last and not any(k.startswith("figure") for k in last.kinds) and last.height + height <= HEIGHT
        if fits:
            slides[-1] = Slide(title, last.body + body, [*last.kinds, kind], last.height + height)
        else:
            slides.append(Slide(title, body, [kind], height))
    return slides


class Deck:
    """The slides of a chapter: stacks, one for each section, of slides."""

    def __init__(self, path, media):
        self.nb, self.media, self.stem = chapters.read(path), media, path.stem
        self.number = chapters.number_of(path)
        self.heading = chapters.HEADING.search(self.nb.cells[0].source)[2]
        self.pieces, self.notes = [[]], [[]]
        self.title, self.before, self.fresh = "", "", True
        self.images = 0  # figures of the chapter that are shown
        for count, cell in enumerate(self.nb.cells):
            if cell.cell_type == "markdown":
                self.read_text(cell.source)
            elif "solution" not in chapters.tags(cell) and count > 1:  # the first code cell sets up
                self.read_code(cell)
        self.stacks = [packed(pieces) for pieces in self.pieces if pieces]
        self.notes = [notes for pieces, notes in zip(self.pieces, self.notes, strict=True) if pieces]

    def add(self, body, kind, height):
        self.pieces[-1].append(Piece(self.title, body, kind, height))
        self.fresh, self.before = False, ""

    def last(self, *kinds):
        """Whether the last piece is of one of these kinds, in this section."""
        return bool(self.pieces[-1]) and self.pieces[-1][-1].kind in kinds

    def append(self, body, height):
        """Put something more at the end of the last piece."""
        piece = self.pieces[-1][-1]
        self.pieces[-1][-1] = piece._replace(body=piece.body + body, height=piece.height + height)

    def lead(self):
        """The sentence or two that lead to what comes next, if they stand right before it."""
        if not self.before or self.fresh:
            return ""
        *others, text = sentences(self.before)
        if others and chapters.words(f"{others[-1]} {text}") <= 30:
            text = f"{others[-1]} {text}"
        return text if text.endswith(":") or chapters.words(text) <= 30 else ""

    # ---- text ----

    def read_text(self, text):
        for kind, source in blocks(text):
            if kind != "heading":
                self.notes[-1].append(source)
            if kind == "paragraph" and EXERCISE.match(source):
                self.add("", "exercise", 0)
            if self.last("exercise") and kind != "heading":
                self.append(MD.render(source), text_height(source))
            else:
                getattr(self, f"take_{kind}", lambda _: None)(source)

    def take_heading(self, source):
        marks, _, title = source.partition(" ")
        if len(marks) == 2:
            self.pieces.append([])
            self.notes.append([])
        self.title, self.before, self.fresh = title, "", True

    def take_paragraph(self, source):
        if ABOUT.match(source):
            return
        if source.startswith(("![", "[![")):
            self.picture(source)
        elif FIGURE.match(source) and self.last("figure", "figure broad"):
            caption = MD.render(FIGURE.sub(r"**\1.** ", source))
            self.append(f'<div class="caption">{caption}</div>', 0)
        elif self.last("formula") and not self.fresh and not self.before and source[0].islower():
            text = opening(source, 1)  # the sentence goes on
            self.append(MD.render(text), text_height(text))
            self.before = source
        elif self.fresh or source.startswith("**You will be able to"):
            text = opening(source)
            self.add(MD.render(text), "text", text_height(text))
            self.before = " ".join(sentences(source)[len(sentences(text)) :])  # what is not shown yet
        else:
            self.before = source

    def picture(self, source):
        """An image that a chapter shows from the folder `static`."""
        name = re.search(r"\]\(static/([\w.]+)\)", source)[1]
        shutil.copy2(ROOT / "book" / "static" / name, self.media / name)
        body = MD.render(source.replace(f"static/{name}", f"{self.media.name}/{name}"))
        self.add(body.replace("<img", '<img class="figure"'), "figure linked", HEIGHT)

    def take_math_block(self, source):
        height = 100 + 45 * source.count(r"\\")
        lead = self.lead()
        self.add(MD.render(f"{lead}\n\n{source}"), "formula", height + (text_height(lead) if lead else 0))

    take_math_block_label = take_math_block

    def take_bullet_list(self, source):
        lead = self.lead()
        for piece in listed(source):
            height = sum(text_height(line) for line in piece.splitlines())
            self.add(MD.render(f"{lead}\n\n{piece}"), "list", height + (text_height(lead) if lead else 0))

    take_ordered_list = take_bullet_list

    def take_table(self, source):
        self.table(MD.render(source))

    def table(self, markup):
        for part in tables(markup):
            self.add(part, "table", 50 * (part.count("<tr") + part.count("<caption")) + 20)

    def take_fence(self, source):
        self.code("\n".join(source.splitlines()[1:-1]))

    def code(self, source, printed=""):
        """Code and what it prints, together where they fit."""
        *pieces, last = divided(source) if source.strip() else [""]
        together = rows_taken(last) + rows_taken(printed) < LINES
        for piece in [*pieces, *([] if together else [last])]:
            self.add(code_block(piece), "code", 30 * rows_taken(piece) + 45)
        if together or printed:
            piece = last if together else ""
            self.add(
                code_block(piece, printed), "code" if piece else "printed", 30 * rows_taken(f"{piece}\n{printed}") + 60
            )

    # ---- cells ----

    def read_code(self, cell):
        tags = set(chapters.tags(cell))
        # the text that `made.show.source` comes with is the source itself: what it shows comes as output
        folded = tags & chapters.CODE_OUT_OF_VIEW or cell.source.startswith("made.show.source")
        printed = ""
        if not tags & {*chapters.OUTPUT_OUT_OF_VIEW, "remove-stdout"}:
            streams = "".join(o.text for o in cell.outputs if o.output_type == "stream")
            lines = streams.rstrip().splitlines()  # figures carry their digests: no line is one
            printed = "\n".join(lines) if len(lines) <= PRINTED else ""
        if printed or not folded:
            self.code("" if folded else cell.source, printed)
        if not tags & chapters.OUTPUT_OUT_OF_VIEW:
            for output in cell.outputs:
                self.read_output(cell, output.get("data", {}))

    def read_output(self, cell, data):
        if "image/png" in data:
            self.images += 1
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            body, width, height = image(data["image/png"], alt, self.media, f"{self.stem}_{self.images}.png")
            self.add(body, "figure broad" if width >= BROAD * height else "figure", HEIGHT)
        elif "<table" in data.get("text/html", ""):
            self.table(data["text/html"])
        elif "text/markdown" in data:
            for kind, source in blocks(data["text/markdown"]):
                if kind in ("table", "math_block") or (kind == "fence" and len(source.splitlines()) <= 2 * LINES):
                    getattr(self, f"take_{kind}")(source)


# ---- pages ---------------------------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{styles}
</head>
<body{attributes}>
{body}
</body>
</html>
"""
SCRIPTS = """<script src="slides.js"></script>
<script src="reveal/dist/reveal.js"></script>
<script src="reveal/plugin/notes/notes.js"></script>
<script src="reveal/plugin/zoom/zoom.js"></script>
<script src="{mathjax}"></script>"""


def style_sheets(*names):
    return "\n".join(f'<link rel="stylesheet" href="{name}">' for name in names)


def settings():
    """What `_config.yml` says."""
    return yaml.safe_load((ROOT / "_config.yml").read_text())


def plain(title):
    return re.sub(r"<[^>]+>", "", MD.renderInline(title))


def section(slide, notes, heading="h2"):
    shown = f"<{heading}>{MD.renderInline(slide.title)}</{heading}>"
    aside = f'<aside class="notes">{notes}</aside>' if notes else ""
    kinds = " ".join(dict.fromkeys(" ".join(slide.kinds).split()))
    sheet = f'<div class="sheet">{shown}<div class="content">{slide.body}</div></div>'
    return f'<section class="slide {kinds}">{sheet}{aside}</section>'


def deck_page(deck):
    """The whole page of a deck."""
    stacks = []
    for k, (stack, notes) in enumerate(zip(deck.stacks, deck.notes, strict=True)):
        # in the notes, formulas stay as they were typed: MathJax would set each of them a second time
        told = "".join(f"<p>{html.escape(text)}</p>" for text in notes)
        slides = [section(s, told if n == 0 else "", "h1" if k == n == 0 else "h2") for n, s in enumerate(stack)]
        stacks.append(f"<section>\n{chr(10).join(slides)}\n</section>")
    footer = (
        f'<a class="where" href="index.html">{deck.number} {html.escape(plain(deck.heading.partition(":")[0]))}</a>'
    )
    scripts = SCRIPTS.format(mathjax=settings()["sphinx"]["config"]["mathjax_path"])
    return PAGE.format(
        title=html.escape(f"{deck.number}. {plain(deck.heading)}"),
        styles=style_sheets("reveal/dist/reset.css", "reveal/dist/reveal.css", "slides.css", "code.css"),
        attributes="",
        body=f'<div class="reveal">\n<div class="slides">\n{chr(10).join(stacks)}\n</div>\n{footer}\n</div>\n{scripts}',
    )


def index_page(decks):
    items = "\n".join(
        f'<li value="{deck.number}"><a href="{deck.stem}.html">'
        f"{html.escape(plain(deck.heading))}</a> "
        f"<span>{sum(map(len, deck.stacks))} slides</span></li>"
        for deck in decks
    )
    book = html.escape(settings()["title"])
    body = f"""<main>
<h1>{book}: slides</h1>
<p>Made from the chapters: sections from left to right, the slides of a section from top to bottom.</p>
<ol>
{items}
</ol>
<p><kbd>Space</kbd> next slide, <kbd>←</kbd> <kbd>→</kbd> section, <kbd>↑</kbd> <kbd>↓</kbd> slide in a section,
<kbd>Esc</kbd> overview, <kbd>F</kbd> full screen, <kbd>S</kbd> notes with the chapter's text, <kbd>B</kbd> dark screen,
<kbd>?</kbd> all keys. <kbd>Alt</kbd> and a click (on Linux <kbd>Ctrl</kbd>) enlarge what is there. To print a deck, add
<code>?print-pdf</code> to its address.</p>
</main>"""
    return PAGE.format(
        title=f"{book}: slides", styles=style_sheets("slides.css"), attributes=' class="index"', body=body
    )


def make(target):
    """Write all decks and return them."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "figures").mkdir(parents=True)
    reveal = files("sphinx_revealjs") / "_static" / "revealjs"
    for name in REVEAL:
        (target / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(reveal / name, target / "reveal" / name)
    copy_mathjax(target / "mathjax")
    for path in OWN.iterdir():
        shutil.copy2(path, target)
    (target / "code.css").write_text(HtmlFormatter(style="friendly").get_style_defs("pre.code") + "\n")
    decks = [Deck(path, target / "figures") for path in chapters.PATHS]
    for deck in decks:
        (target / f"{deck.stem}.html").write_text(deck_page(deck))
    (target / "index.html").write_text(index_page(decks))
    return decks


def main(arguments):
    target = Path(*arguments) if arguments else ROOT / "_build" / "slides"
    decks = make(target)
    print(f"{sum(len(s) for d in decks for s in d.stacks)} slides:\n\n    {target / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
