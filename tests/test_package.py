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
FILES = sorted(FOLDER.rglob("*.py"))
NAMES = {path: ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__") for path in FILES}
MODULES = {name: path for path, name in NAMES.items() if name != "__init__"}
LESSON = ("masks", "likelihoods", "layers", "model", "sampling", "ensemble", "autoencoder", "diagnostics")
LESSON_LINES = 1150  # lines of code of the lesson, at most
LONGEST = 40  # lines of code of a function, at most
TRAINING = {f"training.{name}" for name in ("evaluation", "loop", "run", "strips")}
FLOORS = {  # what each module may import when it is imported
    "checks": set(),
    "files": set(),
    "show": {"checks"},
    "masks": {"checks"},
    "likelihoods": {"checks"},
    "groups": {"likelihoods", "checks"},
    "data": {"checks", "files", "groups"},
    "layers": {"masks", "checks"},
    "sampling": {"masks", "layers", "checks"},
    "formats": {"masks", "likelihoods", "checks", "files"},
    "config": {"masks", "likelihoods", "checks", "formats"},
    "model": {"masks", "likelihoods", "layers", "sampling", "checks", "config", "formats"},
    "autoencoder": {"masks", "likelihoods", "layers", "checks", "formats"},
    "foreign": {"masks", "checks"},
    "diagnostics": {"foreign", "masks", "layers", "checks"},
    "patterns": {"masks", "model"},
    "ensemble": {"masks", "likelihoods", "layers", "model", "patterns", "checks"},
    "queries": {"likelihoods", "layers", "model", "ensemble", "patterns", "checks"},
    "training.batches": {"checks"},
    "training.checkpoint": {"files"},
    "training.parallel": set(),
    "training.progress": set(),
    "training.options": {"checks"},
    "training.average": set(),
    "training.strips": {"layers"},
    "training.evaluation": {"layers", "training.batches", "training.parallel"},
    "training.run": {"files", "training.batches", "training.checkpoint", "training.evaluation", "training.options"}
    | {"checks", "training.average", "training.parallel", "training.progress", "training.strips"},
    "training.loop": {"training.options", "training.run"},
    "training": TRAINING,
    "tables": {"likelihoods", "checks"},
    "estimator": {"tables", "model", "ensemble", "queries", "training", "checks", "likelihoods"},
}
LATER = {"training.run": {"show"}}  # History.plot draws


def python(code):
    """Output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def code_lines(source):
    """Lines that hold code: no docstrings, comments or blanks."""
    kinds = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in kinds:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def functions(tree, prefix=""):
    """Every function of a file with its full name, those in classes and functions included."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        yield from functions(node, f"{prefix}{node.name}." if named else prefix)


def module_of(name):
    """The module that holds a name: made.training.run.Run is in training.run, made.show in show."""
    while name and name.removeprefix("made.") not in MODULES:
        name = name.rpartition(".")[0]
    return name.removeprefix("made.") or "made"


def made_imports(path):
    """Modules imported by a file: (when it is imported, later inside a function)."""
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
        found = {module_of(name) for name in names if name.startswith("made.")}
        if id(node) not in typing_only:
            (top if node in tree.body else later).update(found)
    return top, later


@pytest.mark.parametrize("module_name", ["made", *(f"made.{name}" for name in MODULES)])
def test_exports_exist_and_are_named_once(module_name):
    module = importlib.import_module(module_name)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


def defined(tree):
    """Names that a module binds at its top level."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))


@pytest.mark.parametrize("module", MODULES)
def test_what_is_not_private_is_exported(module):
    """A name without an underscore is part of the module: it stands in __all__, and so on the API page."""
    public = {name for name in defined(ast.parse(MODULES[module].read_text())) if not name.startswith("_")}
    assert public <= set(importlib.import_module(f"made.{module}").__all__)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_reaches_into_another(module):
    """What is private stays in its module: nothing imports it, and it is used on self, cls or its own module only."""
    tree = ast.parse(MODULES[module].read_text())
    own = set(defined(tree)) | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not [alias.name for alias in node.names if alias.name.startswith("_")]
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            assert ast.unparse(node.value) in ("self", "cls") or node.attr in own, ast.unparse(node)


def is_plain_data(obj):
    return dataclasses.is_dataclass(obj) or hasattr(obj, "_fields")


@pytest.mark.parametrize("module_name", [f"made.{name}" for name in MODULES])
def test_every_public_name_is_explained_and_shown(module_name):
    """With a docstring and an example; data types and drawings, which the book shows, need no example."""
    module = importlib.import_module(module_name)
    for name in module.__all__:
        obj = getattr(module, name)
        if not callable(obj):
            continue
        text = inspect.getdoc(obj)
        assert text, f"{module_name}.{name} has no docstring"
        drawing = module_name == "made.show" and inspect.signature(obj).return_annotation != "Any" and name != "digest"
        if not is_plain_data(obj) and not drawing and name != "Likelihood":
            assert re.search(r"Example:\s+>>>", text), f"{module_name}.{name} shows no example"


def test_the_front_door_exports_what_the_modules_do():
    for name in made.__all__:
        obj = getattr(made, name)
        if not inspect.ismodule(obj):
            assert getattr(sys.modules[obj.__module__], name) is obj
            assert name in sys.modules[obj.__module__].__all__


@pytest.mark.processes
def test_import_made_is_light_silent_and_leaves_the_random_generator():
    heavy = ["sklearn", "matplotlib", "pooch", "safetensors", "IPython", "scipy", "requests"]
    code = "import sys, torch; a = torch.initial_seed(), torch.get_rng_state(); import made; "
    code += "assert a[0] == torch.initial_seed() and torch.equal(a[1], torch.get_rng_state()); "
    assert python(code + f"print([name for name in {heavy} if name in sys.modules])") == "[]\n"
    for path in FILES:  # torch itself brings tqdm, so that one has to be looked for in the text
        assert not re.search(r"^(import|from) tqdm", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", MODULES)
def test_modules_stand_on_the_floors_below(module):
    top, later = made_imports(MODULES[module])
    assert top <= FLOORS[module]
    assert later <= LATER.get(module, set())
    assert not re.search(r"^\s*(import|from) book\b", MODULES[module].read_text(), re.MULTILINE)


def test_floors_have_no_cycle():
    seen = set()
    while len(seen) < len(FLOORS):
        ready = {module for module, below in FLOORS.items() if below <= seen} - seen
        assert ready
        seen |= ready


def test_imports_are_found(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "from made import data\nfrom made.training.run import Run\nimport made.show\n\n"
        "def f():\n    from made.training import fit\n"
    )
    assert made_imports(path) == ({"data", "training.run", "show"}, {"training"})


def test_the_lesson_stays_small():
    sizes = {name: len(code_lines(MODULES[name].read_text())) for name in LESSON}
    assert sum(sizes.values()) <= LESSON_LINES, sizes


def test_functions_stay_short():
    too_long = {}
    for module, path in MODULES.items():
        source = path.read_text()
        lines = code_lines(source)
        for name, node in functions(ast.parse(source)):
            length = len(lines & set(range(node.lineno, node.end_lineno + 1)))
            if length > LONGEST:
                too_long[f"{module}.{name}"] = length
    assert too_long == {}


def test_lines_of_code_are_counted_without_words_about_it():
    source = (
        '"""Doc."""\n\nimport os  # why\n\n# note\n'
        'def f(a,\n      b):\n    """Two\n    lines."""\n    return (a,\n            b)\n'
    )
    assert code_lines(source) == {3, 6, 7, 10, 11}


def test_functions_are_found_wherever_they_are():
    source = "if 1:\n    def a(): 0\nclass B:\n    def c(self):\n        def d(): 0\n"
    assert [name for name, _ in functions(ast.parse(source))] == ["a", "B.c", "B.c.d"]


def test_types_are_announced():
    assert (FOLDER / "py.typed").exists()


@pytest.mark.processes
def test_examples_of_the_readme_run(tmp_path):
    readme = FOLDER.parent / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md here")
    blocks = re.findall(r"^```python\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    code = f"import os; os.chdir({str(tmp_path)!r})\n" + "\n".join(blocks)
    python(code)
