"""Read chapters and appendices: where they are and what is in them. Other tools, and tests, read them through this.

A notebook is what ``read`` returns; prose is the text of its Markdown cells.
"""

import re
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
PATHS = sorted(BOOK.glob("[0-9]*.ipynb"))
APPENDICES = sorted(BOOK.glob("appendix_*.ipynb"))
# The pace of careful readers new to it: fitted to how long the chapters took them, and within a quarter of each.
WORDS_PER_MINUTE = 150
# Minutes for what else a careful reader stops at: an equation, a visible line of code or output, a figure or table.
PER_EQUATION, PER_LINE, PER_FIGURE = 0.75, 0.07, 0.75

FENCE = re.compile(r"^ *(`{3,}|~{3,})(.*?)$.*?^ *\1 *$", re.M | re.S)
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.S)
INLINE = re.compile(r"(?<![\\$])\$[^$]+\$")
HEADING = re.compile(r"^(#{1,6})\s+(.*)$", re.M)
READING_TIME = re.compile(r"^\*\*Reading time\.\*\* About (\d+) minutes\.$", re.M)
FOLDED = re.compile(r"<details>.*?</details>", re.S)
RESULTS = re.compile(r'<table class="results">\n(?:<caption>(.*?)</caption>)?')
RUN_TIME = re.compile(r"^\*\*Run time\.\*\*.*$", re.M)
TAG = re.compile(r"\\tag\{([^}]*)\}")
NUMBERS = r"(\(?\d+\.\d+\)?(?:(?:\s*(?:,|–|-|and|to))+\s*\(?\d+\.\d+\)?)*)"
CHECKED = re.compile(rf"#.*\bcheck Eqs?\.\s*{NUMBERS}")


def read(path):
    return nbformat.read(path, as_version=4)


def path_of(chapter):
    """The file of a chapter that is named by its stem.

    >>> path_of("04_made").name
    '04_made.ipynb'
    """
    return BOOK / f"{chapter}.ipynb"


def number_of(path):
    """
    >>> number_of(Path("book/04_made.ipynb"))
    4
    """
    return int(path.name.partition("_")[0])


# ---- cells ---------------------------------------------------------------------------------------------------------


def code_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def markdown_cells(nb):
    return [cell for cell in nb.cells if cell.cell_type == "markdown"]


def tags(cell):
    """The tags of a cell, such as `solution`."""
    return cell.metadata.get("tags", [])


def texts(cell):
    """Every text a code cell's outputs hold."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            yield from (output.evalue, *output.traceback)
        else:
            yield from (value for mime, value in output.data.items() if isinstance(value, str) and _is_text(mime))


def _is_text(mime):
    return mime.startswith("text/") or mime in ("application/json", "image/svg+xml")


def images(cell):
    """The outputs of a code cell that hold an image."""
    return [o for o in cell.get("outputs", []) for mime in o.get("data", {}) if mime.startswith("image/")]


# ---- prose ---------------------------------------------------------------------------------------------------------


def prose(nb):
    """The text of all Markdown cells."""
    return "\n\n".join(cell.source for cell in markdown_cells(nb))


def without_code(text):
    return CODE_SPAN.sub(" ", FENCE.sub("", text))


def without_math(text):
    return INLINE.sub(" ", DISPLAY.sub(" ", text))


def words(text):
    """How many words of prose a Markdown text has; formulas and code are not counted.

    >>> words("Take **two** `masks`, $M$ and $M'$:\\n\\n$$x = 1$$\\n\\n[see](there.md)")
    5
    """
    plain = without_math(FENCE.sub("", text))
    return len(re.findall(r"\w[\w'’.-]*", re.sub(r"<[^>]+>|\]\([^)]*\)", " ", plain)))


# Tags that keep code, or what it shows, out of view.
CODE_OUT_OF_VIEW = {"hide-cell", "hide-input", "remove-cell", "remove-input"}
OUTPUT_OUT_OF_VIEW = {"hide-cell", "hide-output", "remove-cell", "remove-output"}


def visible_lines(cell):
    """How many lines of a code cell, and of what it prints, a page shows without a click.

    >>> cell = nbformat.v4.new_code_cell("a = 1\\nprint(a)", outputs=[nbformat.v4.new_output("stream", text="1\\n")])
    >>> folded = nbformat.v4.new_code_cell(**cell | {"metadata": {"tags": ["hide-input"]}})
    >>> visible_lines(cell), visible_lines(folded)
    (3, 1)
    """
    hidden = set(tags(cell))
    if "solution" in hidden:
        return 0
    code = 0 if hidden & CODE_OUT_OF_VIEW else len(cell.source.splitlines())
    if hidden & OUTPUT_OUT_OF_VIEW:
        return code
    printed = [o.text for o in cell.outputs if o.output_type == "stream" and "remove-stdout" not in hidden]
    listings = [o.data["text/markdown"] for o in cell.outputs if "text/markdown" in o.get("data", {})]
    return code + sum(len(text.splitlines()) for text in printed + listings)


def tables(cell):
    """The captions of the HTML tables that a code cell shows, "" where one has none."""
    return [caption for text in texts(cell) for caption in RESULTS.findall(text)]


def reading_minutes(nb):
    """Minutes that all in view takes a careful reader: words, formulas, code, figures; without exercises' solutions.

    >>> text = "word " * 300 + "\\n\\n$$x \\\\tag{1.1}$$ <details>" + "word " * 400 + "</details>"
    >>> reading_minutes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]))
    3
    """
    text = FOLDED.sub("", prose(nb))
    shown = [cell for cell in code_cells(nb) if "solution" not in tags(cell)]
    minutes = words(text) / WORDS_PER_MINUTE + PER_EQUATION * len(equation_tags(text))
    minutes += PER_LINE * sum(map(visible_lines, shown))
    minutes += PER_FIGURE * sum(len(images(cell)) + len(tables(cell)) for cell in shown)
    return max(1, round(minutes))


def run_time(text):
    """The stated run time in seconds and memory in GB; None where there is no such line, or no number in it.

    >>> run_time("# A\\n\\n**Run time.** About 15 seconds and 0.6 GB of memory on two cores (measured).")
    (15, 0.6)
    """
    line = RUN_TIME.search(text)
    stated = line and re.search(r"About (\d+) seconds and ([\d.]+) GB of memory", line[0])
    return (int(stated[1]), float(stated[2])) if stated else None


def title(text):
    """The title of a chapter, without a subtitle.

    >>> title("# MADE: masks that make a distribution")
    'MADE'
    """
    return re.match(r"# (.*?)(:|$)", text, re.M)[1]


# ---- sections ------------------------------------------------------------------------------------------------------


class Section(NamedTuple):
    """What stands below one heading, up to the next of any level: Markdown, and code cells with their numbers."""

    level: int
    title: str
    text: str
    code: list


def headings(text):
    """Level and title of each heading; a comment in a code block is none.

    >>> headings("# A\\n\\n```python\\n# not this\\n```\\n\\n### B")
    [(1, 'A'), (3, 'B')]
    """
    return [(len(marks), title) for marks, title in HEADING.findall(FENCE.sub("", text))]


def slug(heading):
    """The anchor of a heading.

    >>> slug("Does the order matter?")
    'does-the-order-matter'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def sections(nb):
    """All sections of a chapter, in turn. Code cells are numbered from 1, as Jupyter does."""
    found, count = [Section(0, "", "", [])], 0
    for cell in nb.cells:
        if cell.cell_type == "code":
            count += 1
            found[-1].code.append((count, cell))
            continue
        before, *parts = HEADING.split(FENCE.sub("", cell.source))
        found[-1] = found[-1]._replace(text=f"{found[-1].text}\n\n{before}")
        for marks, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            found.append(Section(len(marks), name, text, []))
    return found


# ---- equations -----------------------------------------------------------------------------------------------------


def equation_tags(text):
    """The tags of each display equation in turn, a list per equation."""
    return [TAG.findall(equation) for equation in DISPLAY.findall(without_code(text))]


def equations_named(source):
    """Numbers of the equations that comments `check Eq. c.n` of a code cell name.

    >>> equations_named("# check Eqs. 1.1 and 1.2\\nassert x\\n# check Eq. 1.3: by hand")
    ['1.1', '1.2', '1.3']
    """
    return [number for group in CHECKED.findall(source) for number in re.findall(r"\d+\.\d+", group)]


def equations(nb):
    """Of every tagged equation: its tag, its `##` section, and the number of the code cell that checks it."""
    found, checked, heading = [], {}, ""
    for section in sections(nb):
        heading = section.title if section.level == 2 else heading
        found += [(tag, heading) for tags in equation_tags(section.text) for tag in tags]
        for count, cell in section.code:
            for tag in equations_named(cell.source):
                checked.setdefault(tag, count)
    return [(tag, heading, checked[tag]) for tag, heading in found]
