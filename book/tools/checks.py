"""What a chapter must fulfil: `python book/tools/checks.py [book/04_made.ipynb ...]` lists what is missing.

Each check takes a notebook and its chapter number and returns a list of complaints.
"""

import ast
import inspect
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import chapters
from chapters import (
    CODE_SPAN,
    FENCE,
    NUMBERS,
    code_cells,
    images,
    markdown_cells,
    tags,
    texts,
    without_code,
    without_math,
)
from IPython.core.inputtransformer2 import TransformerManager

MAX_CELLS, MAX_WORDS, MAX_SECONDS, MIN_EXERCISES, MIN_ALT = 45, 2600, 60, 4, 20
FIRST_BREAK_IT = 3  # the first chapter that must have an exercise to break something

MACHINE_PATH = re.compile(r"(?<![\w./])/(?:home|root|tmp|Users|work)\b|\b[A-Z]:\\")
PROGRESS = re.compile(r"\bit/s\b|\bs/it\b|\d%\||\r|Wall time|CPU times|\bper loop\b|\btqdm\b")
DIGEST = re.compile(r"<Figure size .*: \d.*>$")
TIMING_MAGIC = re.compile(r"^\s*%%?(?:time|timeit|prun)\b", re.M)
EXERCISE = re.compile(r"^(?:#{2,6} +|\*\*)Exercise (\d+)\.(\d+)(.*)$", re.M)
REFERENCE = re.compile(rf"\bEq(?:s?\.|uations?)\s*{NUMBERS}|\((?=[1-9])(\d+\.\d+)\)")


def parse(cell):
    """The syntax tree of a code cell, magics translated; empty where a cell is not meant to run."""
    try:
        return ast.parse(TransformerManager().transform_cell(cell.source))
    except SyntaxError:
        return ast.parse("")


def _where(nb, cell):
    first = next((line for line in cell.source.splitlines() if line.strip()), "")
    return f"cell {nb.cells.index(cell)} ({first.strip()[:50]!r})"


# ---- outputs -------------------------------------------------------------------------------------------------------


def executed_in_order(nb, number):
    """nbval does not compare a cell that has no execution count."""
    cells = [cell for cell in code_cells(nb) if cell.source.strip()]
    return [
        f"{_where(nb, cell)}: execution count is {cell.execution_count}, expected {count}: run book/tools/execute.py"
        for count, cell in enumerate(cells, start=1)
        if cell.execution_count != count
    ]


def _prints(tree):
    """Whether running a cell must leave an output: it prints or displays outside functions and branches."""
    todo = list(tree.body)
    for statement in tree.body[-1:]:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, (ast.Name, ast.Attribute, ast.Subscript)):
            return True
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.If, ast.ExceptHandler)):
            continue
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in ("print", "display", "source"):
                return True
        todo.extend(ast.iter_child_nodes(node))
    return False


def outputs_present(nb, number):
    """nbval passes a notebook whose outputs were stripped, whatever it prints."""
    silent = [cell for cell in code_cells(nb) if not cell.outputs and _prints(parse(cell))]
    complaints = [f"{_where(nb, cell)}: prints, but has no stored output" for cell in silent]
    if not any(cell.outputs for cell in code_cells(nb)):
        complaints.append("no cell has an output: this notebook was stripped")
    return complaints


def no_errors(nb, number):
    complaints = []
    for cell in code_cells(nb):
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                complaints.append(f"{_where(nb, cell)}: ends in {output.ename} without the tag raises-exception")
            if output.output_type == "stream" and output.name == "stderr":
                complaints.append(f"{_where(nb, cell)}: writes to stderr: {output.text.strip()[:60]!r}")
    return complaints


def no_progress_or_timings(nb, number):
    complaints = []
    for cell in code_cells(nb):
        found = TIMING_MAGIC.search(cell.source)
        for text in texts(cell):
            found = found or PROGRESS.search(FENCE.sub("", text))
        if found:
            complaints.append(f"{_where(nb, cell)}: progress bar or timing {found[0]!r}: it differs in every run")
    return complaints


def no_machine_paths(nb, number):
    complaints = []
    for cell in nb.cells:
        for text in (cell.source, *texts(cell)):
            if found := MACHINE_PATH.search(text):
                complaints.append(f"{_where(nb, cell)}: path of one machine near {text[found.start() :][:40]!r}")
    return complaints


# ---- figures -------------------------------------------------------------------------------------------------------


class _ImageTags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.alts = []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.alts.append(dict(attributes).get("alt"))


def figures_described(nb, number):
    """Every figure has an alt text, and a text form with a digest of what is drawn, since nbval cannot see pixels."""
    complaints = []
    for cell in code_cells(nb):
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if alt and not images(cell):
            complaints.append(f"{_where(nb, cell)}: describes a figure but shows none")
        if not images(cell):
            continue
        if len(alt.strip()) < MIN_ALT:
            complaints.append(
                f"{_where(nb, cell)}: needs cell metadata mystnb.image.alt of {MIN_ALT} characters, has {alt!r}"
            )
        if not all(DIGEST.match(image.data.get("text/plain", "")) for image in images(cell)):
            complaints.append(f"{_where(nb, cell)}: draws a figure without a digest: draw it with made.show")
        if any(line.startswith("drawn: shape") for text in texts(cell) for line in text.splitlines()):
            complaints.append(f"{_where(nb, cell)}: prints a digest: the figure carries one")
    for cell in markdown_cells(nb):
        text = without_code(cell.source)
        html = _ImageTags()
        html.feed(text)
        alts = [*re.findall(r"!\[([^\]]*)\]\(", text), *html.alts]
        complaints += [f"{_where(nb, cell)}: image without alt text" for alt in alts if not (alt or "").strip()]
    return complaints


def figures_numbered(nb, number):
    """After each figure the Markdown begins with `**Figure c.n.**`; the caption of each table with `Table c.n.`

    What stands in a solution has no number. References lead to figures and tables that are there. An appendix, which
    has no number, has the letter A in its place.
    """
    number = "A" if number is None else number
    complaints, found = [], {"Figure": 0, "Table": 0}
    for cell, after in zip(nb.cells, [*nb.cells[1:], None], strict=True):
        if cell.cell_type != "code" or "solution" in tags(cell):
            continue
        if images(cell):
            found["Figure"] += 1
            start = f"**Figure {number}.{found['Figure']}.** "
            if after is None or not after.source.startswith(start):
                complaints.append(f"{_where(nb, cell)}: the cell after the figure must begin with {start!r}")
        for caption in chapters.tables(cell):
            found["Table"] += 1
            start = f"Table {number}.{found['Table']}. "
            if not caption.startswith(start):
                complaints.append(f"{_where(nb, cell)}: the table's caption must begin with {start!r}, is {caption!r}")
    for kind, n in re.findall(rf"\b(Figure|Table)s? {number}\.(\d+)", without_code(chapters.prose(nb))):
        if not 1 <= int(n) <= found[kind]:
            complaints.append(f"there is no {kind} {number}.{n}")
    return complaints


# ---- prose ---------------------------------------------------------------------------------------------------------


def plain_markdown(nb, number):
    """Directives and roles show raw in Jupyter and Colab."""
    complaints = []
    for cell in markdown_cells(nb):
        found = [m[0].splitlines()[0] for m in FENCE.finditer(cell.source) if m[2].strip().startswith("{")]
        text = FENCE.sub("", cell.source)
        end = 0
        for span in CODE_SPAN.finditer(text):
            found += re.findall(r"\{[A-Za-z][\w:.+-]*\}$", text[end : span.start()])
            end = span.end()
        prose = without_math(without_code(cell.source))
        found += re.findall(r":{3,}.*|^\([\w:.-]+\)=\s*$|^\+\+\+.*|^%.*|\[\^[^\]]+\]|\\begin\{\w+\}", prose, re.M)
        complaints += [f"{_where(nb, cell)}: {text!r} is not plain Markdown" for text in found]
    return complaints


def no_trailing_semicolons(nb, number):
    """nbval ignores the semicolon that hides a value in Jupyter; `_ = ...` hides it everywhere."""
    return [
        f"{_where(nb, cell)}: line ends in ';': write `_ = ...` instead"
        for cell in code_cells(nb)
        if any(line.rstrip().endswith(";") for line in cell.source.splitlines())
    ]


def small_enough(nb, number):
    complaints = []
    if len(nb.cells) > MAX_CELLS:
        complaints.append(f"{len(nb.cells)} cells, at most {MAX_CELLS} are allowed")
    words = chapters.words(chapters.prose(nb))
    if words > MAX_WORDS:
        complaints.append(f"{words} words of prose, at most {MAX_WORDS} are allowed")
    return complaints


def headings_nest(nb, number):
    headings = chapters.headings(chapters.prose(nb))
    levels = [level for level, _ in headings]
    complaints = []
    if levels.count(1) != 1 or levels[0] != 1:
        complaints.append(f"needs exactly one # heading, the first of all; has {levels.count(1)}")
    for above, (level, title) in zip(levels, headings[1:], strict=False):
        if level > above + 1:
            complaints.append(f"heading {title!r} of level {level} follows one of level {above}")
    return complaints


def opens_with_a_promise(nb, number):
    if nb.cells[0].cell_type != "markdown":
        return ["the first cell must be Markdown"]
    text = nb.cells[0].source
    complaints = [f"the first cell must say {p!r}" for p in ("You will be able to", "You need") if p not in text]
    minutes = chapters.READING_TIME.search(text)
    if not minutes or int(minutes[1]) != chapters.reading_minutes(nb):
        expected = f"**Reading time.** About {chapters.reading_minutes(nb)} minutes."
        complaints.append(f"the first cell must say {expected!r}: run book/tools/execute.py --first-cell")
    stated = chapters.run_time(text)
    if not stated:
        complaints.append("the first cell needs a measured line '**Run time.** About … seconds and … GB of memory'")
    elif stated[0] > MAX_SECONDS:
        complaints.append(f"takes {stated[0]} seconds, at most {MAX_SECONDS} are allowed")
    return complaints


def installs_made(nb, number):
    """A reader on Colab starts without the package."""
    cells = code_cells(nb)
    if cells and 'find_spec("made")' in cells[0].source:
        return []
    return ['the first code cell must install made when find_spec("made") finds none']


def exercises_have_solutions(nb, number):
    """The last section holds numbered exercises, each followed by an executed cell tagged `solution`."""
    titles, section = [], ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            text = FENCE.sub("", cell.source)
            for match in re.finditer(rf"{chapters.HEADING.pattern}|{EXERCISE.pattern}", text, re.M):
                line = match[0]
                if line.startswith("## "):
                    section = line[3:].strip()
                exercise = EXERCISE.match(line)
                if exercise and section.startswith("Exercises"):
                    titles.append([f"{exercise[1]}.{exercise[2]}", exercise[3].partition("**")[0], False])
        elif titles and "solution" in tags(cell) and cell.execution_count:
            titles[-1][2] = True
    complaints = []
    if not section.startswith("Exercises"):
        complaints.append(f"the last ## section must be 'Exercises', not {section!r}")
    if len(titles) < MIN_EXERCISES:
        complaints.append(f"{len(titles)} exercises, at least {MIN_EXERCISES} are needed")
    for n, (label, _, solved) in enumerate(titles, start=1):
        if label != f"{number}.{n}":
            complaints.append(f"Exercise {label} should be Exercise {number}.{n}")
        if not solved:
            complaints.append(f"Exercise {label} has no executed cell tagged 'solution' after it")
    if number >= FIRST_BREAK_IT and not any("break it" in title.lower() for _, title, _ in titles):
        complaints.append("no exercise has 'break it' in its title")
    return complaints


# ---- one source of truth -------------------------------------------------------------------------------------------


def defined_names(tree):
    """Names that a cell binds at its top level by def, class or assignment."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
            blocks = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
            yield from defined_names(ast.Module([s for block in blocks for s in block], []))
        else:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            yield from (n.id for t in targets if t for n in ast.walk(t) if isinstance(n, ast.Name))


def defines_nothing_exported(nb, number):
    """A chapter that redefines what the package exports would teach code that nothing tests."""
    import made

    exported = {name for name in made.__all__ if not inspect.ismodule(getattr(made, name))}
    return [
        f"{_where(nb, cell)}: defines {name!r}, which made exports: give the chapter's own version another name"
        for cell in code_cells(nb)
        for name in defined_names(parse(cell))
        if name in exported
    ]


# ---- evidence ------------------------------------------------------------------------------------------------------


def _statements(tree):
    """All nodes of a cell, except what stands in a function: that is not run yet."""
    todo = [node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    while todo:
        yield (node := todo.pop())
        todo.extend(ast.iter_child_nodes(node))


def _unsettled(nodes, trainers):
    """Calls that train, by whatever name, and whose history no `settled` gets; of an estimator, that none stands by."""
    nodes = list(nodes)
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    last = lambda call: ast.unparse(call.func).rpartition(".")[2]
    seen = [node for call in calls if last(call) == "settled" for node in ast.walk(call)]
    names = {node.id for node in seen if isinstance(node, ast.Name)}
    for node in nodes:
        if isinstance(node, ast.Assign) and names & set(defined_names(ast.Module([node], []))):
            seen += ast.walk(node.value)
    for call in (call for call in calls if last(call) in trainers and call not in seen):
        name = ast.unparse(call.func)
        of_a_class = re.fullmatch(r"[A-Z]\w*\.fit", name)
        of_an_estimator = last(call) == "fit" and not re.fullmatch(r"(made\.(training\.)?)?fit", name)
        if not of_a_class and not (of_an_estimator and names):
            yield call


def _trainers(nb):
    """Names of what trains a network: `fit`, `step` of an optimizer, and what the chapter makes of them unsettled."""
    found = {"fit", "step"}
    for node in (node for cell in code_cells(nb) for node in ast.walk(parse(cell))):
        if isinstance(node, ast.FunctionDef) and any(_unsettled(ast.walk(node), found)):
            found.add(node.name)
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith(("lambda", "partial(made.fit")):
            found |= set(defined_names(ast.Module([node], []))) if re.search(r"\bfit\b", ast.unparse(node)) else set()
    return found


def trainings_are_settled(nb, number):
    """A training that is ended by a limit only demonstrates; no verdict may rest on it."""
    complaints, trainers = [], _trainers(nb)
    for cell in code_cells(nb):
        trains, demonstrates = any(_unsettled(_statements(parse(cell)), trainers)), "demonstration" in tags(cell)
        if trains and not demonstrates:
            complaints.append(f"{_where(nb, cell)}: trains: use evidence.settled, or tag the cell 'demonstration'")
        if demonstrates and not trains:
            complaints.append(f"{_where(nb, cell)}: is tagged 'demonstration' but trains nothing")
    return complaints


def results_are_read_as_evidence(nb, number):
    """What reads a result file by itself does not see how the runs ended."""
    reads = re.compile(
        r"\bjson\.loads?\(|results/[\w{}]+\.json|import json as|from json import|RESULTS\b|\b_rows\("
        r"|[\"']results[\"']|read_(?:json|csv)\(|pickle\.load|\bresult\([^)]*\)\[[\"'](?:runs|rows)[\"']\]"
    )
    return [
        f"{_where(nb, cell)}: reads a result file by itself: use evidence.py, or results.py where nothing was trained"
        for cell in code_cells(nb)
        if reads.search(cell.source.replace('result("reported")', ""))
    ]


def unsettled_is_said(nb, number):
    """A section that reads runs which a limit ended says so."""
    complaints, text = [], ""
    for section in chapters.sections(nb):
        text = section.text if section.level <= 2 else text + section.text
        for _, cell in section.code:
            used = (ast.unparse(node) for node in ast.walk(parse(cell)) if isinstance(node, (ast.Name, ast.Attribute)))
            used = {name.rpartition(".")[2] for name in used}
            if "unsettled" in used and "not settled" not in text.lower():
                complaints.append(f"{_where(nb, cell)}: reads unsettled runs, the section does not say 'not settled'")
    return complaints


def compared_scores(tree):
    """Lines in which the number of a score is compared; `compare` knows the paired error.

    >>> compared_scores(ast.parse("assert score('a').nats < 3"))
    [1]
    """
    comparisons = (node for node in ast.walk(tree) if isinstance(node, ast.Compare))
    numbers = (node for comparison in comparisons for node in ast.walk(comparison) if isinstance(node, ast.Attribute))
    return sorted({node.lineno for node in numbers if node.attr == "nats"})


def bare_means(tree):
    """Lines that compare a mean, of a difference or of a row, without its error.

    >>> bare_means(ast.parse("a.mean > b.mean + 2 * b.stderr"))
    [1]
    """
    found = set()
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Compare)):
        text = ast.unparse(node)
        means = re.findall(r"([\w.]+)\.mean\b(?!\()", text)
        if "['mean']" in text or any(f"{name}.stderr" not in text for name in means):
            found.add(node.lineno)
    return sorted(found)


def scores_are_not_compared(nb, number):
    return [
        f"{_where(nb, cell)}: line {line} compares scores: use compare of evidence.py"
        for cell in code_cells(nb)
        for line in compared_scores(parse(cell))
    ]


# ---- the ledger of equations ---------------------------------------------------------------------------------------


def equation_references(text):
    """Numbers that prose refers to as equations.

    >>> equation_references("By Eqs. 1.1 and 1.2, and (1.3), but not Eq. 12 or (0.5).")
    ['1.1', '1.2', '1.3']
    """
    prose = without_math(without_code(text))
    return [n for match in REFERENCE.finditer(prose) for n in re.findall(r"\d+\.\d+", match[0])]


def checked_equations(nb):
    """Equations named in a comment `check Eq. c.n` of a code cell that asserts something."""
    for cell in code_cells(nb):
        numbers = chapters.equations_named(cell.source)
        if numbers and any(isinstance(node, ast.Assert) for node in ast.walk(parse(cell))):
            yield from numbers


def equations_are_tagged(nb, number):
    complaints = []
    for n, found in enumerate(chapters.equation_tags(chapters.prose(nb)), start=1):
        if found != [f"{number}.{n}"]:
            complaints.append(rf"display equation {n} needs exactly one \tag{{{number}.{n}}}, has {found}")
    return complaints


def equations_are_checked(nb, number):
    known = [tag for found in chapters.equation_tags(chapters.prose(nb)) for tag in found]
    checked = set(checked_equations(nb))
    complaints = [
        f"Eq. {tag} has no code cell with a comment 'check Eq. {tag}' and an assert"
        for tag in known
        if tag not in checked
    ]
    own = {n for n in checked if n.startswith(f"{number}.")}
    return complaints + [f"a cell checks Eq. {n}, which does not exist" for n in sorted(own - set(known))]


CHECKS = [
    executed_in_order,
    outputs_present,
    no_errors,
    no_progress_or_timings,
    no_machine_paths,
    figures_described,
    figures_numbered,
    plain_markdown,
    no_trailing_semicolons,
    small_enough,
    headings_nest,
    opens_with_a_promise,
    installs_made,
    exercises_have_solutions,
    defines_nothing_exported,
    trainings_are_settled,
    results_are_read_as_evidence,
    unsettled_is_said,
    scores_are_not_compared,
    equations_are_tagged,
    equations_are_checked,
]


def complaints_about(path):
    """All complaints about a chapter."""
    nb, number = chapters.read(path), chapters.number_of(path)
    return [complaint for check in CHECKS for complaint in check(nb, number)]


def main(paths):
    found = [f"{path.name}: {text}" for path in map(Path, paths or chapters.PATHS) for text in complaints_about(path)]
    print("\n".join(found) or "nothing to complain about")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
