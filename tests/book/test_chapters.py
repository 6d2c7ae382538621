"""Every chapter fulfils the chapter contract, and every check of it notices a chapter that does not."""

import pkgutil
import re

import chapters
import checks
import nbformat
import pytest
from checks import CHECKS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import made


@pytest.mark.parametrize("path", chapters.PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_chapter(check, path):
    complaints = check(chapters.read(path), chapters.number_of(path))
    assert not complaints, "\n" + "\n".join(complaints)


def test_there_are_chapters():
    assert chapters.PATHS


@pytest.mark.parametrize("path", chapters.APPENDICES, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_appendix(check, path):
    """An appendix may be long and has no exercises; in all else it is held to what chapters are held to."""
    if check in (checks.small_enough, checks.exercises_have_solutions):
        pytest.skip("of chapters only")
    complaints = check(chapters.read(path), number=None)
    assert not complaints, "\n" + "\n".join(complaints)


def test_api_page_shows_every_module():
    shown = re.findall(r"automodule:: (\S+)", (chapters.BOOK / "api.md").read_text())
    assert sorted(shown) == sorted(module.name for module in pkgutil.walk_packages(made.__path__, "made."))


# ---- the checks themselves: a good chapter passes, a spoiled one does not -------------------------------------------


def stdout(text):
    return new_output("stream", name="stdout", text=text)


def html_table(caption):
    text = f'<table class="results">\n<caption>{caption}</caption>\n</table>'
    return new_output("execute_result", data={"text/html": text}, execution_count=1)


def good_chapter():
    """The smallest chapter 3 that fulfils the contract."""
    opening = (
        "# A chapter\n\n**You will be able to** read it.\n\n**You need** nothing.\n\n"
        "**Reading time.** About 3 minutes.\n\n"
        "**Run time.** About 5 seconds and 0.3 GB of memory on two cores (measured)."
    )
    install = 'from importlib.util import find_spec\n\nif find_spec("made") is None:\n    %pip install made'
    figure = new_code_cell(
        "made.show.images(x)",
        metadata={"mystnb": {"image": {"alt": "A straight line from the origin upwards."}}},
        outputs=[new_output("display_data", data={"image/png": "aGk=", "text/plain": "<Figure size 6x2: 1 line>"})],
    )
    table = new_code_cell("made.show.table(columns, rows)", outputs=[html_table("Table 3.1. What it costs.")])
    cells = [
        new_markdown_cell(opening),
        new_code_cell(install),
        new_markdown_cell("## Sums\n\n$$1 + 1 = 2 \\tag{3.1}$$\n\nSee Eq. 3.1 and `code{D}`; $\\{x\\}$ too."),
        new_code_cell("# check Eq. 3.1\nassert 1 + 1 == 2"),
        figure,
        new_markdown_cell("**Figure 3.1.** A line. Table 3.1 has its numbers."),
        table,
        new_markdown_cell("## Exercises"),
    ]
    for n, title in enumerate(["add", "break it: subtract", "multiply", "divide"], start=1):
        cells.append(new_markdown_cell(f"**Exercise 3.{n} ({title}).** Do it."))
        cells.append(new_code_cell(f"print({n})", metadata={"tags": ["solution"]}, outputs=[stdout(f"{n}")]))
    nb = new_notebook(cells=cells)
    for count, cell in enumerate(chapters.code_cells(nb), start=1):
        cell.execution_count = count
    return nb


def append(kind, *args, **kwargs):
    """A spoiler that adds a cell."""

    def spoil(nb):
        cell = {"code": new_code_cell, "markdown": new_markdown_cell}[kind](*args, **kwargs)
        if kind == "code":
            cell.execution_count = len(chapters.code_cells(nb)) + 1
        nb.cells.append(cell)

    return spoil


def replace(old, new):
    """A spoiler that edits the first cell that contains `old`."""

    def spoil(nb):
        cell = next(cell for cell in nb.cells if old in cell.source)
        cell.source = cell.source.replace(old, new, 1)

    return spoil


def strip(nb):
    """What nbstripout and "clear all outputs" do."""
    for cell in chapters.code_cells(nb):
        cell.outputs, cell.execution_count = [], None


def clear_outputs(nb):
    for cell in chapters.code_cells(nb):
        cell.outputs = []


def drop_solution(nb):
    nb.cells[-1].metadata.tags = []


def drop_alt(nb):
    nb.cells[4].metadata = {}


def drop_figure(nb):
    for cell in chapters.code_cells(nb):
        cell.outputs = [output for output in cell.outputs if output.output_type == "stream"]


def drop_digest(nb):
    nb.cells[4].outputs[0].data["text/plain"] = "<Figure size 6x2>"


def print_digest(nb):
    nb.cells[4].outputs.append(stdout("drawn: shape (2, 2)"))


def drop_caption(nb):
    del nb.cells[5]


def unnumbered_table(nb):
    nb.cells[6].outputs[0] = html_table("What it costs.")


SPOILED = [
    (checks.executed_in_order, strip),
    (checks.executed_in_order, lambda nb: nb.cells.insert(1, nb.cells.pop(3))),
    (checks.outputs_present, strip),
    (checks.outputs_present, clear_outputs),
    (checks.outputs_present, append("code", "for x in range(2):\n    print(x)")),
    (checks.outputs_present, append("code", "made.show.source(made.MADE)")),
    (checks.outputs_present, append("code", "x = 1\nx")),
    (checks.no_errors, append("code", "1 / 0", outputs=[new_output("error", ename="E", evalue="e", traceback=[])])),
    (checks.no_errors, append("code", "f()", outputs=[new_output("stream", name="stderr", text="Warning")])),
    (checks.no_progress_or_timings, append("code", "f()", outputs=[stdout("100%|###| 5/5 [00:01, 3.2it/s]")])),
    (checks.no_progress_or_timings, append("code", "%%time\nf()")),
    (checks.no_machine_paths, append("code", "print(made)", outputs=[stdout("from '/home/me/made.py'")])),
    (checks.no_machine_paths, append("code", "open('/tmp/x')")),
    (checks.no_machine_paths, append("markdown", "See C:\\data.")),
    (checks.figures_described, drop_alt),
    (checks.figures_described, drop_digest),
    (checks.figures_described, print_digest),
    (checks.figures_described, drop_figure),
    (checks.figures_numbered, drop_caption),
    (checks.figures_numbered, unnumbered_table),
    (checks.figures_numbered, replace("Figure 3.1", "Figure 3.2")),
    (checks.figures_numbered, append("markdown", "See Figure 3.2.")),
    (checks.figures_numbered, append("markdown", "See Table 3.0.")),
    (checks.figures_described, append("markdown", "![](figure.png)")),
    (checks.figures_described, append("markdown", '<img src="figure.png">')),
    (checks.plain_markdown, append("markdown", "```{note}\nRead this.\n```")),
    (checks.plain_markdown, append("markdown", ":::{note}\nRead this.\n:::")),
    (checks.plain_markdown, append("markdown", "See {ref}`there`.")),
    (checks.plain_markdown, append("markdown", "(there)=\n## Title")),
    (checks.plain_markdown, append("markdown", "A note.[^1]")),
    (checks.plain_markdown, append("markdown", "\\begin{align}x\\end{align}")),
    (checks.no_trailing_semicolons, append("code", "plt.plot(x);")),
    (checks.small_enough, lambda nb: nb.cells.extend([new_markdown_cell("x")] * 40)),
    (checks.small_enough, append("markdown", "word " * 2600)),
    (checks.headings_nest, append("markdown", "# Another")),
    (checks.headings_nest, append("markdown", "#### Deep")),
    (checks.headings_nest, replace("# A chapter", "A chapter")),
    (checks.opens_with_a_promise, replace("You will be able to", "You may")),
    (checks.opens_with_a_promise, replace("You need", "You want")),
    (checks.opens_with_a_promise, replace("About 3 minutes", "About 7 minutes")),
    (checks.opens_with_a_promise, replace("**Reading time.**", "**Reading.**")),
    (checks.opens_with_a_promise, replace("About 5", "About")),
    (checks.opens_with_a_promise, replace("About 5", "About 65")),
    (checks.opens_with_a_promise, lambda nb: nb.cells.insert(0, new_code_cell("1"))),
    (checks.installs_made, replace('find_spec("made")', "True")),
    (checks.exercises_have_solutions, drop_solution),
    (checks.exercises_have_solutions, lambda nb: setattr(nb, "cells", nb.cells[:-2])),
    (checks.exercises_have_solutions, replace("break it", "try")),
    (checks.exercises_have_solutions, replace("Exercise 3.2", "Exercise 3.3")),
    (checks.exercises_have_solutions, append("markdown", "## Afterthoughts")),
    (checks.defines_nothing_exported, append("code", "class MADE:\n    pass")),
    (checks.defines_nothing_exported, append("code", "if True:\n    Bernoulli, x = 1, 2")),
    (checks.trainings_are_settled, append("code", "_ = made.fit(model, x)")),
    (
        checks.trainings_are_settled,
        append("code", "def train(x):\n    made.fit(model, x)\n\nfor x in y:\n    train(x)"),
    ),
    (checks.trainings_are_settled, append("code", "for x in y:\n    optimizer.step()")),
    (checks.trainings_are_settled, append("code", "x = 1", metadata={"tags": ["demonstration"]})),
    (checks.results_are_read_as_evidence, append("code", 'rows = json.load(open("results/direct.json"))')),
    (checks.results_are_read_as_evidence, append("code", 'path.read("results/direct.json")')),
    (checks.unsettled_is_said, append("code", 'rows = unsettled("direct")')),
    (checks.scores_are_not_compared, append("code", 'assert score("direct").nats < score("slips").nats')),
    (checks.equations_are_tagged, append("markdown", "$$x$$")),
    (checks.equations_are_tagged, append("markdown", "$$x \\tag{3.3}$$")),
    (checks.equations_are_tagged, append("markdown", "$$x \\tag{3.1}$$")),
    (checks.equations_are_tagged, append("markdown", "$$x \\tag{3.2} \\tag{3.3}$$")),
    (checks.equations_are_checked, append("markdown", "$$x \\tag{3.2}$$")),
    (checks.equations_are_checked, replace("assert ", "")),
    (checks.equations_are_checked, append("code", "# check Eq. 3.7\nassert x")),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_good_chapter_passes(check):
    assert check(good_chapter(), 3) == []


def test_evidence_that_carries_a_verdict_passes():
    """A demonstration, settled trainings, a definition, and a section that says what is not settled."""
    nb = good_chapter()
    append("code", "made.fit(model, x)", metadata={"tags": ["demonstration"]})(nb)
    append("code", "history = settled(made.fit(model, x))")(nb)
    append("code", "def train(x):\n    made.fit(model, x)")(nb)
    append("code", "def train_to_the_end(x):\n    settled(made.fit(model, x))\n\ntrain_to_the_end(x)")(nb)
    append("markdown", "### More\n\nThis is not settled.")(nb)
    append("code", 'rows = unsettled("direct")')(nb)
    evidence = [checks.trainings_are_settled, checks.unsettled_is_said]
    assert [complaint for check in evidence for complaint in check(nb, 3)] == []


@pytest.mark.parametrize(("check", "spoil"), SPOILED, ids=[f"{i}-{c.__name__}" for i, (c, _) in enumerate(SPOILED)])
def test_spoiled_chapter_is_refused(check, spoil):
    nb = good_chapter()
    spoil(nb)
    assert check(nb, 3)


def test_every_check_has_a_spoiled_chapter():
    assert {check for check, _ in SPOILED} == set(CHECKS)


def test_an_author_can_check_a_chapter(capsys):
    assert checks.main([str(chapters.PATHS[0])]) == 0
    assert capsys.readouterr().out == "nothing to complain about\n"


def test_an_author_is_told_what_is_missing(capsys, tmp_path):
    nb = good_chapter()
    strip(nb)
    nbformat.write(nb, tmp_path / "03_more.ipynb")
    assert checks.main([str(tmp_path / "03_more.ipynb")]) == 1
    assert "03_more.ipynb: no cell has an output" in capsys.readouterr().out


@pytest.mark.parametrize(
    "source",
    [
        "from made import fit\n_ = fit(model, x)",
        "_ = made.training.fit(model, x)",
        "estimator.fit(x)",
        "for x in y:\n    opt.step()",
        "class T:\n    def go(self):\n        made.fit(m, x)\n\nT().go()",
        "train = partial(made.fit, model)\ntrain(x)",
        "a = made.fit(m, x)\nb = made.fit(n, x)\nsettled(b)",  # another history
        "def train(x):\n    settled(made.fit(a, x))\n    made.fit(b, x)\n\ntrain(x)",
        "made.fit(m, x)\nrows = unsettled('direct')",
    ],
)
def test_a_training_by_any_other_name_is_one(source):
    nb = good_chapter()
    append("code", source)(nb)
    assert checks.trainings_are_settled(nb, 3)


@pytest.mark.parametrize(
    "source",
    [
        'd = load((Path("results") / "direct.json").open())',
        "import json as j\nd = j.loads(p.read_text())",
        "from json import load\nd = load(open(p))",
        'd = pandas.read_json(RESULTS / "direct.json")',
        'rows = result("mnist_many")["runs"]',
        'rows = evidence._rows("direct", {})',
    ],
)
def test_a_result_file_is_read_as_evidence_however_it_is_read(source):
    nb = good_chapter()
    append("code", source)(nb)
    assert checks.results_are_read_as_evidence(nb, 3)


@pytest.mark.parametrize("source", ['evidence.unsettled("direct")', 'read = {"a": unsettled}'])
def test_unsettled_is_said_however_it_is_called(source):
    nb = good_chapter()
    append("code", source)(nb)
    assert checks.unsettled_is_said(nb, 3)
