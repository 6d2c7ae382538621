"""Sphinx extension: exercises that answer back.

What a page asks stands in the notebook, in the metadata of the exercise's Markdown cell: a list ``answers``. The right
answer does not: it is read from the stored output of the cells that solve the exercise, and nbval compares this output
with a fresh run. So a form cannot drift from the solution. CONTRIBUTING.md describes the fields.
"""

import html
import json
import re
from pathlib import Path

from docutils import nodes

FOLD = "<details><summary>Solution</summary>"
KINDS = {
    "number": ({"from", "take", "within", "unit", "wrong"}, {"from"}),
    "choice": ({"from", "take", "against", "says", "options"}, {"from", "options"}),
    "order": ({"n", "slip", "known", "from"}, {"n", "slip", "from"}),
    "matrix": ({"order", "from"}, {"order", "from"}),
}
COMMON = {"kind", "ask", "hint"}


def said(cells):
    """All that code cells print or show, as text."""
    texts = []
    for output in (output for cell in cells for output in cell["outputs"]):
        data = output.get("data", {})
        text = "".join(output.get("text", data.get("text/html", data.get("text/plain", ""))))
        texts.append(html.unescape(re.sub(r"<[^>]+>", " ", text)) if "text/html" in data else text)
    return "\n".join(texts).replace("\u2212", "-")


def exercises(notebook):
    """The Markdown cells that hold a solution, each with what its solution prints."""
    cells = notebook["cells"]
    for k, cell in enumerate(cells):
        if cell["cell_type"] == "markdown" and FOLD in "".join(cell["source"]):
            end = k + 1
            while end < len(cells) and "solution" in cells[end]["metadata"].get("tags", []):
                end += 1
            yield cell, said(cells[k + 1 : end])


def captured(pattern, text):
    """The groups of the first match, or of all matches where the pattern has one group."""
    found = re.findall(pattern, text, re.MULTILINE)
    if not found:
        raise ValueError(f"no output of the solution matches {pattern!r}")
    return list(found[0]) if isinstance(found[0], tuple) else found


def tolerance(number):
    """How far an answer may be from a printed number: one percent, or nothing where it is whole.

    >>> tolerance("12.5"), tolerance("512.000000"), tolerance("16")
    (0.125, 0.0, 0.0)
    """
    value = float(number)
    return 0.0 if value.is_integer() else abs(value) / 100


def right_number(answer, found):
    """The right number, and how far an answer may be from it."""
    take = answer.get("take", "first")
    if take == "distinct":
        return len(set(found[0].split())), 0.0
    if take == "ratio":
        return float(found[0]) / float(found[1]), answer["within"]
    number = found[0].replace(",", "")
    return float(number), answer.get("within", tolerance(number))


def right_option(answer, found):
    """Which of the options is right."""
    options, take = list(answer["options"]), answer.get("take", "first")
    if take in ("max", "min"):
        numbers = [float(number) for number in found]
        return numbers.index({"max": max, "min": min}[take](numbers))
    if take == "nearest":  # of the other numbers, to the first
        first, *others = map(float, found)
        return min(range(len(others)), key=lambda k: abs(others[k] - first))
    if take == "side":  # the options are: below, equal, above
        number = float(found[-1])
        level = float(answer.get("against", found[0]))
        return 1 + (number > level) - (number < level)
    return options.index(answer.get("says", {}).get(found[0], found[0]))


def resolved(answer, text):
    """What the page needs for one form, with the right answer as the solution printed it."""
    if answer.get("kind") not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {answer.get('kind')!r}")
    known, needed = KINDS[answer["kind"]]
    if unknown := set(answer) - known - COMMON:
        raise ValueError(f"unknown fields {sorted(unknown)} of a {answer['kind']}")
    if missing := (needed | COMMON) - set(answer):
        raise ValueError(f"a {answer['kind']} needs {sorted(missing)}")
    found = captured(answer["from"], text)
    form = {name: value for name, value in answer.items() if name not in ("from", "take", "says", "against")}
    if answer["kind"] == "number":
        form["right"], form["within"] = right_number(answer, found)
    elif answer["kind"] == "choice":
        form["right"] = right_option(answer, found)
        form["options"] = list(answer["options"].items())  # a page would put names like "2" first
    return form


def forms(notebook):
    """For every exercise, in their order, the forms of its page."""
    for cell, text in exercises(notebook):
        yield [resolved(answer, text) for answer in cell["metadata"].get("answers", [])]


def markup(found):
    data = html.escape(json.dumps(found, ensure_ascii=False))
    return f'<div class="answers" data-answers="{data}" hidden="hidden"></div>'


def insert(app, doctree):
    """Put the forms of an exercise before its solution."""
    source = Path(app.env.doc2path(app.env.docname))
    if source.suffix != ".ipynb":
        return
    folds = [node for node in doctree.findall(nodes.raw) if node.astext().startswith(FOLD)]
    found = list(forms(json.loads(source.read_text(encoding="utf-8"))))
    if len(folds) != len(found):
        raise ValueError(f"{source.name}: {len(found)} solutions in the notebook, {len(folds)} on the page")
    for fold, group in zip(folds, found, strict=True):
        if group:
            fold.parent.insert(fold.parent.index(fold), nodes.raw("", markup(group), format="html"))


def setup(app):
    app.connect("doctree-read", insert, priority=400)  # before solutions are folded
    return {"parallel_read_safe": True}
