"""Write ``ledger.md``: every claim that the book tests with what we measured, and every equation with its check.

    python book/tools/ledger.py

The claims are in ``claims.py``. A verdict is only written down if its condition holds for the result files, and if they
carry it: see ``evidence.py``. Links lead to where the book deals with it.
"""

import chapters
import evidence
from claims import CLAIMS
from results import result

PAGE = chapters.BOOK / "ledger.md"

CLAIMS_HEAD = """
# The ledger

What was claimed, and what we measured. `book/tools/ledger.py` writes this page from the result files, so no measured
number was typed. Numbers are mean negative log-likelihoods of test rows in nats, where nothing else is said. A
difference stands with its error, that of paired rows and that of seeds together; a verdict on who is better needs twice
that error, and seeds that agree. From two or three seeds that error is a rough one itself; how many there were stands
beside it. All networks were trained until the validation score stopped improving; a verdict on others begins "Not
settled". *The post* is Keng (2017), finished and unfinished; *the paper* is Germain et al. (2015); see
[references](references.md).

## Claims

| who | the claim | what we measured | verdict | where |
|---|---|---|---|---|
"""
MODELS_HEAD = """
## Networks that come with the book

Weights are stored in half precision, and scored as stored. All are trained on MNIST rounded to 0 and 1, by the script
named, which holds the full recipe. They are meant for the pictures of this book; they know nothing but its digits.
Their trainings ended at a limit of epochs, so no verdict on likelihoods rests on them; pictures and times do.
Parameters are weights that masks let through, and biases.

| file | what it is | parameters | script, seed | test NLL |
|---|---|---|---|---|
"""
EQUATIONS_HEAD = """
## Equations

Every numbered equation, and which code cell of its chapter checks it (in Jupyter, the number in brackets).

| equation | chapter and section | checked in cell |
|---|---|---|
"""


def link(chapter, heading):
    """A link to a heading of a chapter, with the chapter's number."""
    return f"[{int(chapter[:2])}, {heading}]({chapter}.ipynb#{chapters.slug(heading)})"


def equations():
    """Of every tagged equation: its tag, chapter, section, and the number of the code cell that checks it."""
    for path in chapters.PATHS:
        for tag, heading, cell in chapters.equations(chapters.read(path)):
            yield tag, path.stem, heading, cell


def networks():
    """Of every network shipped: file, what it is, parameters, script, seed, and test NLL with standard error."""
    record = result("mnist")
    for name in ("natural", "random"):
        model, score = record["config"]["models"][name], record["models"][name]["test_nll"]
        text = f"hidden {record['config']['hidden']}, " + ", ".join(f"{key} {value}" for key, value in model.items())
        parameters, seed = record["models"][name]["parameters"], record["config"]["seed"]
        yield f"mnist_{name}.safetensors", text, parameters, "mnist.py", seed, score["mean"], score["stderr"]
    record = result("pixelcnn")
    text = "PixelCNN, " + ", ".join(f"{key} {value}" for key, value in record["config"]["setting"].items())
    seed, score = record["config"]["training"]["seed"], record["test"]
    yield "mnist_pixelcnn.safetensors", text, record["parameters"], "pixelcnn.py", seed, score["mean"], score["stderr"]
    record = result("any_order")
    options = {**record["config"]["setting"], **record["config"]["order"]}
    seed = options.pop("seed")
    text = ", ".join(f"{key} {value}" for key, value in options.items()) + "; mean over 32 orders"
    score = record["test_single"], record["test_single_stderr"]
    yield "mnist_any_order.safetensors", text, record["parameters"], "any_order.py", seed, *score


def carried(claim):
    """What was measured for a claim; an error if its verdict does not hold, or is stronger than what was read."""
    evidence.read_unsettled.clear()
    measured, holds = claim.measure()
    if evidence.read_unsettled and not claim.verdict.startswith("Not settled"):
        files = ", ".join(sorted(set(evidence.read_unsettled)))
        raise evidence.NotCarried(f"the verdict {claim.verdict!r} must begin 'Not settled', as it reads {files}")
    if not holds:
        raise ValueError(f"the verdict {claim.verdict!r} on {claim.text!r} does not hold: {measured}")
    return measured


def page():
    """The text of the page."""
    lines = [CLAIMS_HEAD.strip()]
    for claim in CLAIMS:
        measured = carried(claim)
        cells = [claim.source, claim.text, measured, claim.verdict, link(claim.chapter, claim.heading)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(MODELS_HEAD.rstrip())
    for file, text, parameters, script, seed, nll, stderr in networks():
        lines.append(f"| `{file}` | {text} | {parameters:,} | `{script}`, {seed} | {nll:.2f} ± {stderr:.2f} |")
    lines.append(EQUATIONS_HEAD.rstrip())
    for tag, chapter, heading, cell in equations():
        where = link(chapter, heading) if heading else f"[{int(chapter[:2])}]({chapter}.ipynb)"
        lines.append(f"| {tag} | {where} | {cell} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
