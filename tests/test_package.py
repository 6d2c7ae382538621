"""The package as a whole: what it exports, what it imports, how large it is."""

import ast
import dataclasses
import importlib
import inspect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import made

FOLDER = Path(made.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))
ROOMS = [f"made.{path.stem}" for path in FILES if path.stem != "__init__"]
FLOORS = {  # what each room may import when it is imported
    "masks": set(),
    "likelihoods": set(),
    "data": set(),
    "layers": {"masks"},
    "sampling": {"masks", "layers"},
    "model": {"masks", "likelihoods", "layers", "sampling"},
    "autoencoder": {"masks", "likelihoods", "layers"},
    "batches": set(),
    "checkpoint": set(),
    "parallel": set(),
    "training": {"layers", "batches", "checkpoint", "parallel"},
    "diagnostics": {"masks", "layers"},
    "show": set(),
    "ensemble": {"masks", "likelihoods", "layers", "sampling", "model"},
    "estimator": {"masks", "likelihoods", "layers", "sampling", "model", "ensemble", "training"}
    | {"batches", "checkpoint", "parallel"},
}


def python(code):
    """Output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def code_lines(path):
    """Lines that hold code: no docstrings, comments or blanks."""
    source = path.read_text()
    kinds = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in kinds:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def made_imports(path):
    """Rooms imported by a file: (when it is imported, later inside a function)."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(n) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for n in ast.walk(node)
    }  # fmt: skip
    top, later = set(), set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms = {name.split(".")[1] for name in names if name.startswith("made.")}
        if id(node) not in typing_only:
            (top if node in tree.body else later).update(rooms)
    return top, later


@pytest.mark.parametrize("room", ["made", *ROOMS])
def test_exports_exist_and_are_named_once(room):
    module = importlib.import_module(room)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


def is_plain_data(obj):
    return dataclasses.is_dataclass(obj) or hasattr(obj, "_fields")


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_explained_and_shown(room):
    """With a docstring and an example; data types and drawings, which the book shows, need no example."""
    module = importlib.import_module(room)
    for name in module.__all__:
        obj = getattr(module, name)
        if not callable(obj):
            continue
        text = inspect.getdoc(obj)
        assert text, f"{room}.{name} has no docstring"
        drawing = room == "made.show" and inspect.signature(obj).return_annotation != "Any" and name != "digest"
        if not is_plain_data(obj) and not drawing and name != "Likelihood":
            assert re.search(r"Example:\s+>>>", text), f"{room}.{name} shows no example"


def test_the_front_door_exports_what_the_rooms_do():
    for name in made.__all__:
        obj = getattr(made, name)
        if not inspect.ismodule(obj):
            assert getattr(sys.modules[obj.__module__], name) is obj
            assert name in sys.modules[obj.__module__].__all__


def test_import_made_is_light_silent_and_leaves_the_random_generator():
    heavy = ["sklearn", "matplotlib", "pooch", "safetensors", "IPython", "scipy", "requests"]
    code = "import sys, torch; a = torch.initial_seed(), torch.get_rng_state(); import made; "
    code += "assert a[0] == torch.initial_seed() and torch.equal(a[1], torch.get_rng_state()); "
    assert python(code + f"print([name for name in {heavy} if name in sys.modules])") == "[]\n"
    for path in FILES:  # torch itself brings tqdm, so that one has to be looked for in the text
        assert not re.search(r"^(import|from) tqdm", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [p for p in FILES if p.stem != "__init__"], ids=lambda p: p.stem)
def test_rooms_stand_on_the_floors_below(path):
    top, later = made_imports(path)
    assert top <= FLOORS[path.stem]
    allowed_later = {"show"} if path.stem == "training" else set()  # History.plot draws
    assert later <= allowed_later
    assert not re.search(r"^\s*(import|from) book\b", path.read_text(), re.MULTILINE)


def test_floors_have_no_cycle():
    seen = set()
    while len(seen) < len(FLOORS):
        ready = {room for room, below in FLOORS.items() if below <= seen} - seen
        assert ready
        seen |= ready


def test_the_package_stays_small():
    sizes = {path.name: code_lines(path) for path in FILES}
    assert sum(sizes.values()) <= 2000
    assert max(sizes.values()) <= 250, sizes


def test_code_lines_counts_code_only(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        '"""Doc."""\n\nimport os  # why\n\n# note\n'
        'def f(a,\n      b):\n    """Two\n    lines."""\n    return (a,\n            b)\n'
    )
    assert code_lines(path) == 5


def test_types_are_announced():
    assert (FOLDER / "py.typed").exists()


def test_examples_of_the_readme_run(tmp_path):
    readme = FOLDER.parent / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md here")
    blocks = re.findall(r"^```python\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    code = f"import os; os.chdir({str(tmp_path)!r})\n" + "\n".join(blocks)
    python(code)
