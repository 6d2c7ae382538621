"""The appendix shows every line of the lesson; a chapter shows the lines that it discusses.

To see the lines that no reader ever sees: `pytest -n 0 -s tests/book/test_source_coverage.py`.
"""

import ast
import itertools
import re
import textwrap

import chapters
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

MODULES = ["masks", "likelihoods", "layers", "sampling", "model", "autoencoder", "ensemble", "diagnostics"]
IN_VIEW = 25  # lines of the package's source that a chapter may show at once without folding them
FOLDED = {"hide-cell", "hide-output", "remove-cell", "remove-output", "solution"}
PYTHON_BLOCK = re.compile(r"```python\n(.*?)^```", re.M | re.S)


def _ignored(tree):
    """Line numbers of imports and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from range(node.lineno, node.end_lineno + 1)
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            yield from range(node.body[0].lineno, node.body[0].end_lineno + 1)


def code_lines(source, first=1):
    """Line number and stripped text of each line that counts."""
    ignored = set(_ignored(ast.parse(source)))
    lines = enumerate(source.splitlines(), start=1)
    return [(first + n - 1, line.strip()) for n, line in lines if line.strip() and n not in ignored]


def pieces(lines):
    """Lines without dots in between, which stand for what was left out.

    >>> list(pieces(["class A:", "x = 1", "...", "y = 2"]))
    [['class A:', 'x = 1'], ['y = 2']]
    """
    for left_out, piece in itertools.groupby(lines, key="...".__eq__):
        if not left_out:
            yield list(piece)


def statements(block):
    """The lines that count of each top-level statement in a printed block, in pieces where something is left out."""
    block = textwrap.dedent(block)
    try:
        body = ast.parse(block).body
    except SyntaxError:
        return
    lines = block.splitlines()
    for node in body:
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        yield from pieces([text for _, text in code_lines("\n".join(lines[start - 1 : node.end_lineno]))])


def seen_lines(module, printed):
    """Numbers of the module's lines that occur in one of the printed statements, as one piece."""
    seen = set()
    texts = [text for _, text in module]
    for wanted in filter(None, printed):
        for start in range(len(texts) - len(wanted) + 1):
            if texts[start : start + len(wanted)] == wanted:
                seen |= {number for number, _ in module[start : start + len(wanted)]}
    return seen


def listings(cell):
    """The pieces of source that a cell prints."""
    return [block for text in chapters.texts(cell) for block in PYTHON_BLOCK.findall(text)]


def printed_statements(notebooks):
    for nb in notebooks:
        for cell in chapters.code_cells(nb):
            for block in listings(cell):
                yield from statements(block)


def unseen_lines(notebooks):
    """Every line of the lesson that no listing of these notebooks shows."""
    printed = list(printed_statements(notebooks))
    for name in MODULES:
        module = code_lines((chapters.ROOT / "made" / f"{name}.py").read_text())
        seen = seen_lines(module, printed)
        yield from (f"made/{name}.py:{number}: {text}" for number, text in module if number not in seen)


def test_the_appendix_shows_every_line_of_the_lesson():
    unseen = list(unseen_lines(map(chapters.read, chapters.APPENDICES)))
    assert not unseen, "\n".join(["No reader ever sees:", *unseen])


def test_a_line_that_no_listing_shows_is_noticed():
    nb = chapters.read(chapters.BOOK / "appendix_package.ipynb")
    unseen = lambda cells: list(unseen_lines([nbformat.v4.new_notebook(cells=cells)]))
    for name, lost in (
        ("masks.build_masks", "masks.append("),
        ("MADE.loss", "return -self.log_prob(x, context).mean()"),
    ):
        found = unseen([cell for cell in nb.cells if name not in cell.source])
        assert any(lost in line for line in found), name
    changed = chapters.read(chapters.BOOK / "appendix_package.ipynb")
    for cell in chapters.code_cells(changed):
        for output in cell.outputs:
            text = output.get("data", {}).get("text/markdown", "")
            output.setdefault("data", {})["text/markdown"] = text.replace("> degrees[-1]", ">= degrees[-1]")
    assert any("degrees[-1]" in line for line in unseen(changed.cells))


def in_view(nb):
    """Listings too long for a chapter, and folded nowhere: how many lines, and the call that prints them."""
    for cell in chapters.code_cells(nb):
        longest = max((block.count("\n") for block in listings(cell)), default=0)
        if longest > IN_VIEW and not FOLDED & set(chapters.tags(cell)):
            yield longest, " ".join(cell.source.split())


@pytest.mark.parametrize("path", chapters.PATHS, ids=lambda path: path.stem)
def test_no_chapter_shows_a_long_listing_unfolded(path):
    found = [
        f"{call!r} shows {lines} lines: fold them, or lead to the appendix"
        for lines, call in in_view(chapters.read(path))
    ]
    assert not found, "\n".join(found)


def test_a_long_listing_is_noticed():
    def cell(lines, *tags):
        block = "```python\n" + "x = 1\n" * lines + "```"
        output = new_output("execute_result", data={"text/markdown": block})
        return new_code_cell("made.show.source(f)", metadata={"tags": list(tags)}, outputs=[output])

    cells = [
        cell(IN_VIEW),
        cell(IN_VIEW + 1),
        cell(IN_VIEW + 1, "hide-input"),
        cell(99, "hide-cell"),
        cell(99, "solution"),
    ]
    assert [lines for lines, _ in in_view(nbformat.v4.new_notebook(cells=cells))] == [IN_VIEW + 1] * 2


def test_a_printed_function_is_seen_whole():
    source = '"""Doc."""\nimport os\n\n\n@cache\ndef f(x):\n    """Doc."""\n    return x\n\n\ndef g(x):\n    return x'
    module = code_lines(source)
    assert [number for number, _ in module] == [5, 6, 8, 11, 12]
    printed = statements('@cache\ndef f(x):\n    """Another doc."""\n    return x\n')
    assert seen_lines(module, printed) == {5, 6, 8}
    assert seen_lines(module, statements("def f(x):\n    return y\n")) == set()


def test_what_is_left_out_is_not_seen():
    source = "class A:\n    x = 1\n\n    def f(self):\n        return 1\n\n    y = 2\n"
    module = code_lines(source)
    assert seen_lines(module, statements("class A:\n    x = 1\n\n    ...\n\n    y = 2\n")) == {1, 2, 7}
