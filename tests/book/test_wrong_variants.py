"""Every check of an equation can fail: for each, wrong variants of its formula, and each turns the check red.

`wrong_variants.toml` holds them: under the number of an equation, pairs of texts. The first stands exactly once in the
code of the chapter up to the check, the second takes its place. The cells that checks need are executed once, by
statements; where a variant begins to differ, its own statements are executed up to the end of the check, on copies of
all that was made so far. It must fail there, at an assertion below the comment `check Eq. c.n`; the chapter must pass.
"""

import ast
import copy
import re
import symtable
import sys
import tomllib
import traceback
from typing import NamedTuple

import chapters
import matplotlib.pyplot as plt
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

VARIANTS = tomllib.loads((chapters.ROOT / "tests" / "book" / "wrong_variants.toml").read_text())


class Variant(NamedTuple):
    """A wrong text in place of a right one: in which cell, at which of its statements, and which check must notice."""

    tag: str
    right: str
    wrong: str
    cell: int
    statement: int
    check: int


# ---- cells and statements ------------------------------------------------------------------------------------------


def python(cell):
    """The source of a cell; a magic command does nothing."""
    return re.sub(r"^( *)%.*$", r"\1pass", cell.source, flags=re.M)


def name_of(cell):
    """How a cell is called in a traceback: Jupyter counts from 1."""
    return f"code cell {cell + 1}"


def statements(source, cell):
    """The statements of a cell, each compiled by itself, with the numbers of its lines."""
    body = ast.parse(source).body
    return [compile(ast.Module([node], []), name_of(cell), "exec") for node in body]


def statement_at(source, position):
    """Which statement of a cell holds this place of its text."""
    line = source.count("\n", 0, position) + 1
    ends = [node.end_lineno for node in ast.parse(source).body]
    return next(index for index, end in enumerate(ends) if line <= end)


def lines_of_check(source, tag):
    """The lines below the comment that names the equation, up to a comment that names others."""
    inside, found = False, []
    for number, line in enumerate(source.splitlines(), start=1):
        named = chapters.equations_named(line)
        inside = tag in named if named else inside
        found += [number] if inside else []
    return found


def located(tag, right, wrong, sources, check):
    """A variant with its place; the right text must stand once in the cells up to the check."""
    places = [i for i in range(check + 1) for _ in range(sources[i].count(right))]
    assert len(places) == 1, f"Eq. {tag}: {right!r} stands {len(places)} times in the code up to the check"
    cell = places[0]
    return Variant(tag, right, wrong, cell, statement_at(sources[cell], sources[cell].index(right)), check)


def read_and_made(source):
    """The names that a cell reads from others, those that it makes, and those of which it changes a part."""
    scopes = [symtable.symtable(source, "cell", "exec")]
    for scope in scopes:
        scopes += scope.get_children()
    made = {name.get_name() for name in scopes[0].get_symbols() if name.is_assigned() or name.is_imported()}
    read = {name.get_name() for scope in scopes for name in scope.get_symbols() if name.is_global()}
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Subscript)]
    stores = [node.value for node in nodes if isinstance(node.ctx, ast.Store)]
    changed = {name.id for node in stores for name in ast.walk(node) if isinstance(name, ast.Name)}
    return read - made, made, changed


def needed(sources, cells):
    """These cells, the first one, and those that make what they read: most trainings are left out."""
    found, wanted = [], set()
    for cell in range(max(cells), -1, -1):
        read, made, changed = read_and_made(sources[cell])
        if cell in cells or cell == 0 or (made | changed) & wanted:
            found.insert(0, cell)
            wanted = wanted - made | read
    return found


# ---- execution -----------------------------------------------------------------------------------------------------


def copies(names):
    """Copies of all that a chapter has made so far, so that a variant changes nothing."""
    seen, found = {}, {}
    for name, value in names.items():
        try:
            found[name] = value if "matplotlib" in type(value).__module__ else copy.deepcopy(value, seen)
        except Exception:  # a module, an array of axes, a result that has gradients
            found[name] = value
    return found


def complaint(variant, sources, cells, names):
    """What is wrong with a variant: nothing if its check goes red, by an assertion of its own."""
    sources = [*sources]
    sources[variant.cell] = sources[variant.cell].replace(variant.right, variant.wrong)
    first, names = variant.statement, copies(names)
    try:
        for cell in (cell for cell in cells if variant.cell <= cell <= variant.check):
            for statement in statements(sources[cell], cell)[first:]:
                exec(statement, names)
            first = 0
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = frame.filename, frame.lineno in lines_of_check(sources[variant.check], variant.tag)
        if isinstance(error, AssertionError) and place == (name_of(variant.check), True):
            return None
        return f"stopped by {error!r} in line {frame.lineno} of {frame.filename}"
    return "not noticed"


def complaints(nb, variants):
    """Execute what the checks of a chapter need, and every variant where it begins."""
    sources = [python(cell) for cell in chapters.code_cells(nb)]
    checks = {tag: number - 1 for tag, _, number in chapters.equations(nb)}
    places = [
        located(tag, right, wrong, sources, checks[tag]) for tag in checks for right, wrong in variants.get(tag, [])
    ]
    cells = needed(sources, {*checks.values(), *(variant.cell for variant in places)})
    names, found = {"__name__": "__main__"}, []
    for cell in cells:
        for index, statement in enumerate(statements(sources[cell], cell)):
            for variant in places:
                if (variant.cell, variant.statement) == (cell, index):
                    text = complaint(variant, sources, cells, names)
                    found += [f"Eq. {variant.tag}, {variant.right!r} -> {variant.wrong!r}: {text}"] if text else []
            exec(statement, names)
    return found


@pytest.fixture
def as_in_a_kernel(monkeypatch):
    """Chapters run in the folder of the book, change settings of torch, and may look for modules elsewhere."""
    monkeypatch.chdir(chapters.BOOK)
    monkeypatch.setattr(sys, "path", [*sys.path])
    dtype = torch.get_default_dtype()
    yield
    torch.set_default_dtype(dtype)
    plt.close("all")


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore")  # a chapter may warn
@pytest.mark.parametrize("path", chapters.PATHS, ids=lambda path: path.stem)
def test_wrong_variants_go_red(path, as_in_a_kernel):
    found = complaints(chapters.read(path), VARIANTS)
    assert not found, "\n" + "\n".join(found)


def test_every_equation_has_a_wrong_variant():
    tags = [tag for path in chapters.PATHS for tag, _, _ in chapters.equations(chapters.read(path))]
    assert [tag for tag in tags if not VARIANTS.get(tag)] == [], "no wrong variant"
    assert [tag for tag in VARIANTS if tag not in tags] == [], "no such equation"


# ---- the mechanism itself: a check that works passes, a hollow one does not ----------------------------------------

CHAPTER = """
%matplotlib inline
a, b, seen = 2, 3, []
===
total = a + b
seen.append(total)
assert seen == [total]
# check Eq. 1.1
assert total == 5
# check Eq. 1.2
assert a * b == 6
assert total == total
"""


def complaints_of_a_chapter(variants):
    """What is complained of in a small chapter; a variant is given as text: right -> wrong."""
    equations = new_markdown_cell("$$a + b = 5 \\tag{1.1}$$\n\n$$a b = 6 \\tag{1.2}$$")
    nb = new_notebook(cells=[equations, *map(new_code_cell, CHAPTER.split("===\n"))])
    return complaints(nb, {tag: [text.split(" -> ")] for tag, text in variants.items()})


def test_a_check_that_works_passes():
    assert complaints_of_a_chapter({"1.1": "a + b -> a - b", "1.2": "a * b -> a + b"}) == []


@pytest.mark.parametrize(
    ("tag", "variant", "why"),
    [
        ("1.1", "total == total -> total == +total", "not noticed"),  # the same
        ("1.1", "a + b -> a + c", "stopped by NameError"),  # an error is no answer
        ("1.1", "a * b == 6 -> a * b == 7", "stopped by AssertionError"),  # of another equation
        ("1.2", "a + b -> a - b", "stopped by AssertionError"),
        ("1.1", "== [total] -> == []", "stopped by AssertionError"),  # above the check
    ],
)
def test_a_hollow_check_does_not(tag, variant, why):
    [complaint] = complaints_of_a_chapter({tag: variant})
    assert complaint.startswith(f"Eq. {tag}")
    assert why in complaint


@pytest.mark.parametrize("variant", ["total == -> total !=", "a - b -> a + b"])
def test_a_text_that_does_not_stand_once_is_refused(variant):
    with pytest.raises(AssertionError, match="times in the code up to the check"):
        complaints_of_a_chapter({"1.1": variant})


def test_a_chapter_must_pass_itself():
    cells = [new_markdown_cell("$$1 = 2 \\tag{1.1}$$"), new_code_cell("# check Eq. 1.1\nassert 1 == 2")]
    with pytest.raises(AssertionError):
        complaints(new_notebook(cells=cells), {})
