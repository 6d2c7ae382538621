"""How much of the package the book shows: which lines of the lesson some chapter prints.

To see the lines that no reader ever sees: `pytest -n 0 -s tests/book/test_source_coverage.py`.
"""

import ast
import re
import textwrap

import chapters

FLOOR = 0.97
MODULES = ["autoencoder", "likelihoods", "masks", "layers", "model", "sampling", "ensemble"]
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


def statements(block):
    """The lines that count of each top-level statement in a printed block."""
    block = textwrap.dedent(block)
    try:
        body = ast.parse(block).body
    except SyntaxError:
        return
    lines = block.splitlines()
    for node in body:
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        yield [text for _, text in code_lines("\n".join(lines[start - 1 : node.end_lineno]))]


def seen_lines(module, printed):
    """Numbers of the module's lines that occur in one of the printed statements, as one piece."""
    seen = set()
    texts = [text for _, text in module]
    for wanted in filter(None, printed):
        for start in range(len(texts) - len(wanted) + 1):
            if texts[start : start + len(wanted)] == wanted:
                seen |= {number for number, _ in module[start : start + len(wanted)]}
    return seen


def printed_statements(notebooks):
    for nb in notebooks:
        for cell in chapters.code_cells(nb):
            for text in chapters.texts(cell):
                for block in PYTHON_BLOCK.findall(text):
                    yield from statements(block)


def test_readers_see_the_package():
    printed = list(printed_statements(map(chapters.read, chapters.PATHS)))
    unseen, total = [], 0
    for name in MODULES:
        path = chapters.ROOT / "made" / f"{name}.py"
        module = code_lines(path.read_text())
        seen = seen_lines(module, printed)
        total += len(module)
        unseen += [f"made/{name}.py:{number}: {text}" for number, text in module if number not in seen]
    share = 1 - len(unseen) / total
    report = "\n".join([f"The book shows {share:.1%} of the lesson. No reader ever sees:", *unseen])
    print("\n" + report)
    assert share >= FLOOR, report


def test_a_printed_function_is_seen_whole():
    source = '"""Doc."""\nimport os\n\n\n@cache\ndef f(x):\n    """Doc."""\n    return x\n\n\ndef g(x):\n    return x'
    module = code_lines(source)
    assert [number for number, _ in module] == [5, 6, 8, 11, 12]
    printed = statements('@cache\ndef f(x):\n    """Another doc."""\n    return x\n')
    assert seen_lines(module, printed) == {5, 6, 8}
    assert seen_lines(module, statements("def f(x):\n    return y\n")) == set()
