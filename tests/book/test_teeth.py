"""The checks that guard the book bite: what must go red does, seen from outside, on copies in a temporary folder."""

import ast
import os
import shutil
import subprocess
import sys

import chapters
import checks
import nbformat
import pytest

NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"]
NBVAL += [f"--nbval-sanitize-with={chapters.ROOT / 'tests' / 'nbval_sanitize.cfg'}"]


def pytest_in(folder, *arguments, **environment):
    """The exit code and the text of a pytest run in a folder, without the project's settings."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "pytest.ini", "-p", "no:cacheprovider", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})
    return run.returncode, run.stdout + run.stderr


def nbval(nb, folder, **environment):
    (folder / "results").mkdir()  # the first cell takes the folder for a whole book and fetches none
    (folder / "tools").symlink_to(chapters.BOOK / "tools")
    nbformat.write(nb, folder / "excerpt.ipynb")
    return pytest_in(folder, *NBVAL, "excerpt.ipynb", **environment)


def shows_masks(cell):
    return "show.source(" in cell.source and "made.masks.build_masks" in cell.source


def only_imports(cell):
    body = checks.parse(cell).body
    return bool(body) and all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


@pytest.fixture
def excerpt():
    """The cells of a chapter that set it up and print the code that builds masks, with their stored outputs."""
    for path in chapters.PATHS:
        nb = chapters.read(path)
        shown = [cell for cell in chapters.code_cells(nb) if shows_masks(cell)]
        if shown:
            first, *others = chapters.code_cells(nb)
            nb.cells = [first, *(cell for cell in others if only_imports(cell) or shows_masks(cell))]
            return nb
    pytest.fail("no chapter prints made.masks.build_masks with made.show.source")


@pytest.mark.processes
def test_untouched_cells_pass(excerpt, tmp_path):
    code, text = nbval(excerpt, tmp_path)
    assert code == 0, text


@pytest.mark.processes
def test_changed_output_goes_red(excerpt, tmp_path):
    cell = next(cell for cell in excerpt.cells if shows_masks(cell))
    data = cell.outputs[0].data
    data["text/markdown"] = data["text/markdown"].replace("return", "return  ", 1)
    code, text = nbval(excerpt, tmp_path)
    assert code == 1, text
    assert "1 failed" in text, text


def leaky_package(folder):
    """A copy of the package whose outputs see their own input: `>` where the text says strictly."""
    shutil.copytree(chapters.ROOT / "made", folder / "made", ignore=shutil.ignore_patterns("__pycache__"))
    masks = folder / "made" / "masks.py"
    strict = "degrees[0][..., :, None] > degrees[-1][..., None, :]"
    source = masks.read_text()
    assert source.count(strict) >= 1, f"made/masks.py no longer contains {strict!r}: update this test"
    masks.write_text(source.replace(strict, strict.replace(">", ">=")))
    return {"PYTHONPATH": str(folder)}


@pytest.mark.processes
def test_changed_mask_goes_red_in_the_book(excerpt, tmp_path):
    code, text = nbval(excerpt, tmp_path, **leaky_package(tmp_path))
    assert code == 1, text


@pytest.mark.processes
def test_changed_mask_goes_red_in_the_tests(tmp_path):
    for path in (chapters.ROOT / "tests").glob("*.py"):
        shutil.copy2(path, tmp_path)
    # Without the property tests: Hypothesis would spend long on shrinking what it finds.
    arguments = ["-x", "-m", "not hypothesis", "test_masks.py", "test_invariants.py"]
    code, text = pytest_in(tmp_path, *arguments, **leaky_package(tmp_path))
    assert code == 1, text
    assert "1 failed" in text, text


def test_stripped_chapter_is_refused(excerpt):
    """nbval would pass it, so the checks of `test_chapters.py` must not."""
    for cell in chapters.code_cells(excerpt):
        cell.outputs, cell.execution_count = [], None
    assert checks.executed_in_order(excerpt, 4)
    assert checks.outputs_present(excerpt, 4)
