"""What chapters use of the package is public, and stands on the API page."""

import ast
import importlib
import inspect
import re

import chapters
import checks
import pytest

import made

API = (chapters.BOOK / "api.md").read_text()


def names_used(tree):
    """Module and name of everything that code takes from a module of the package.

    >>> sorted(names_used(ast.parse("made.MADE(3); made.masks.build_masks(d); from made.layers import MaskedLinear")))
    [('made', 'MADE'), ('made.layers', 'MaskedLinear'), ('made.masks', 'build_masks')]
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "made":
            yield from ((node.module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute):
            module, _, name = ast.unparse(node).rpartition(".")
            if re.fullmatch(r"made(\.\w+)*", module) and is_module(module) and not is_module(f"{module}.{name}"):
                yield module, name


def is_module(name):
    try:
        return inspect.ismodule(importlib.import_module(name))
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("path", [*chapters.PATHS, *chapters.APPENDICES], ids=lambda path: path.stem)
def test_chapters_use_public_names(path):
    used = {pair for cell in chapters.code_cells(chapters.read(path)) for pair in names_used(checks.parse(cell))}
    assert used
    for module, name in used:
        assert name in importlib.import_module(module).__all__, f"{module}.{name} is not public"
        home = getattr(getattr(importlib.import_module(module), name), "__module__", module)
        assert home.partition(".")[0] != "made" or f"automodule:: {home}\n" in API, f"{home} is not on the API page"


def test_private_and_missing_names_are_noticed():
    code = "made.layers.Linear._generator; made.show._STYLE; x.made.show"
    assert sorted(names_used(ast.parse(code))) == [("made.layers", "Linear"), ("made.show", "_STYLE")]
    assert "_STYLE" not in made.show.__all__
