"""Write ``ledger.md``: every claim that the book tests with what we measured, and every equation with its check.

    python book/tools/ledger.py

A claim is told in our words; its source says who made it. What we measured comes from the files in ``results``, and a
verdict is only written down if its condition holds for them. Links lead to where the book deals with it.
"""

import inspect
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import nbformat

import made

BOOK = Path(__file__).resolve().parents[1]
PAGE = BOOK / "ledger.md"


class Claim(NamedTuple):
    """Who says what; what we measured, in words; the verdict, and when it holds; chapter and heading to read."""

    source: str
    text: str
    measured: Callable[[], str]
    verdict: str
    holds: Callable[[], bool]
    chapter: str
    heading: str


@cache
def result(name):
    """A result file, parsed."""
    return json.loads((BOOK / "results" / f"{name}.json").read_text())


def slips(data, kind, direct, scoring="without dropout"):
    """Mean test NLL over the seeds of the experiment on slips."""
    runs = result("slips")["runs"]
    return mean(run[scoring]["test"] for key, run in runs.items() if key.startswith(f"{data} | {kind} | {direct} |"))


def masks(data, width, variant, score="test_single"):
    """Mean over the seeds of the experiment on masks; of mixtures, that of 32."""
    runs = result("masks")["runs"]
    found = [run[score] for key, run in runs.items() if key.startswith(f"{data} | {width} | {variant} |")]
    return mean(value["32"] if isinstance(value, dict) else value for value in found)


def mnist(name):
    """Test NLL of a network trained on MNIST rounded to 0 and 1."""
    return result("mnist")["models"][name]["test_nll"]["mean"]


def best(pixels):
    """Test NLL of the larger network on MNIST, "rounded" or "drawn", under the natural order."""
    return result(pixels)["runs"]["chosen"]["test"][0]["mean"]


def ensemble(pixels):
    """Test NLL of the mixture of all such networks."""
    return result(pixels)["runs"]["chosen"]["mixture"][-1]["mean"]


def seconds(contender):
    """Time to draw 100 rows of 784 variables with two layers of 500."""
    rows = result("speed")["sections"]["sampling"]["rows"]
    (row,) = (r for r in rows if (r["hidden"], r["batch"], r["contender"]) == ([500, 500], 100, contender))
    return row["ms"] / 1000


def scoreboard(data, kind, score):
    """Test NLL of the setting that the validation rows chose; a mean over seeds where there are several."""
    found = result("scoreboard")["runs"][f"{data} | {kind} | chosen"][score]
    return mean(one["mean"] for one in found) if isinstance(found, list) else found["mean"]


def section(chapter, wanted):
    """The cells below a heading of a chapter."""
    heading = ""
    for cell in nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown":
            found = re.findall(r"^#+ (.*)$", cell.source, re.M)
            heading = found[-1] if found else heading
        if heading == wanted:
            yield cell


def asserted(chapter, heading):
    """Whether a code cell of that section asserts something: for claims that a chapter proves and no file records."""
    return any("assert " in cell.source for cell in section(chapter, heading) if cell.cell_type == "code")


def total():
    """Sum of the probabilities of all rows of eight variables, under an untrained MADE."""
    return made.diagnostics.total_probability(made.MADE(8, (20,), order="random", seed=1).double())


def coverage(degrees):
    """Share of the allowed dependencies that 64 hidden units keep among 784 variables."""
    return made.Connectivity.create(784, (64,), degrees=degrees).coverage()


SETS = (("dna", 500), ("nips", 500), ("mushrooms", 500), ("mnist", 1000))
BOTH = "wide degrees + relu output"
ON, OFF = "with dropout", "without dropout"
POST, PAPER, OTHERS = "the post", "the paper", "others"
MYSTERY, SCORES = "06_the_mystery_of_the_direct_connection", "09_the_scoreboard"
ORDERS = "07_orders_masks_ensembles"
CLAIMS = [
    Claim(
        POST,
        "An autoencoder that nothing hinders learns to copy; a bottleneck or noise prevents it.",
        lambda: "shown on digits, with the chapter's assertions",
        "Yes.",
        lambda: asserted("01_vanilla_autoencoders", "Losing your identity"),
        "01_vanilla_autoencoders",
        "Losing your identity",
    ),
    Claim(
        POST,
        "Cross-entropy and squared error are negative log-likelihoods.",
        lambda: "checked against the formulas, constants included",
        "Yes. The post's Eq. 3 has a broken exponent, and dropping constants makes scores incomparable.",
        lambda: asserted("02_losses_are_likelihoods", "One real number"),
        "02_losses_are_likelihoods",
        "One real number",
    ),
    Claim(
        POST,
        "An autoencoder may give two different rows probability 1 each; a distribution cannot.",
        lambda: "an autoencoder's scores, summed over all rows, are not 1",
        "Yes.",
        lambda: asserted("03_the_autoregressive_property", "Two certainties, one too many"),
        "03_the_autoregressive_property",
        "Two certainties, one too many",
    ),
    Claim(
        POST,
        "A direct connection makes a huge difference: loss 150 without, below 100 with it.",
        lambda: (
            f"all slips: {slips('mnist', BOTH, 'no direct', ON):.0f} without, "
            f"{slips('mnist', BOTH, 'direct', ON):.0f} with"
        ),
        "True of a network with these slips, or a narrow one.",
        lambda: slips("mnist", BOTH, "no direct", ON) > slips("mnist", BOTH, "direct", ON) + 20,
        MYSTERY,
        "The experiment",
    ),
    Claim(
        POST,
        "It may have been a bug that caused it.",
        lambda: (
            f"no slip: {slips('mnist', 'correct', 'no direct'):.0f} without, "
            f"{slips('mnist', 'correct', 'direct'):.0f} with"
        ),
        "Likely: three slips, above all the ReLU at the output. The post's own network was not run.",
        lambda: (
            abs(slips("mnist", "correct", "no direct") - slips("mnist", "correct", "direct")) * 3
            < slips("mnist", BOTH, "no direct", ON) - slips("mnist", BOTH, "direct", ON)
        ),
        MYSTERY,
        "Verdicts",
    ),
    Claim(
        POST,
        "About 99 nats at best on rounded MNIST.",
        lambda: f"{mnist('natural'):.1f} with one layer of 500 units, {best('rounded'):.1f} with a larger network",
        "A correct network is far better.",
        lambda: best("rounded") < mnist("natural") < 75,
        "04_made",
        "MNIST, recorded",
    ),
    Claim(
        POST,
        "The paper gets below 90 with a single mask.",
        lambda: f"one network: rounded {best('rounded'):.1f}, drawn at random {best('drawn'):.1f}",
        "Not comparable: the paper's pixels are drawn at random, the post's are rounded.",
        lambda: best("drawn") > best("rounded") + 10,
        SCORES,
        "MNIST, two ways",
    ),
    Claim(
        POST,
        "A random order gives no recognisable images.",
        lambda: f"natural order {mnist('natural'):.1f}, random order {mnist('random'):.1f}",
        "No. Its sampler took the order for its inverse, which natural order hides.",
        lambda: abs(mnist("natural") - mnist("random")) < 3,
        "05_generating_samples",
        "Does the order matter?",
    ),
    Claim(
        POST,
        "The learning phase has to be set, for dropout.",
        lambda: (
            f"digits: scored with dropout {slips('digits', 'correct', 'direct', ON):.2f}, "
            f"without {slips('digits', 'correct', 'direct'):.2f}"
        ),
        "Yes, and to evaluation while scoring.",
        lambda: slips("digits", "correct", "direct", ON) > slips("digits", "correct", "direct"),
        MYSTERY,
        "Three slips",
    ),
    Claim(
        POST,
        "Indexes for selection have to be exactly right.",
        lambda: "three slips, and three tests that fail on them",
        "Yes.",
        lambda: asserted(MYSTERY, "How a test would have caught each"),
        MYSTERY,
        "How a test would have caught each",
    ),
    Claim(
        POST,
        "The direct term stands outside the sigmoid (its equation 12).",
        lambda: "gives numbers below 0 and above 1",
        "No: it belongs inside, as in the paper.",
        lambda: asserted("04_made", "Inside the sigmoid"),
        "04_made",
        "Inside the sigmoid",
    ),
    Claim(
        POST,
        "Sampling takes D forward passes; 100 images took 23.4 s (2 x 8000 units).",
        lambda: f"2 x 500 units: {seconds('made'):.3f} s, with D passes {seconds('made, naive'):.1f} s",
        "The same samples can be had for the work of about one pass.",
        lambda: seconds("made, naive") > 100 * seconds("made"),
        "05_generating_samples",
        "Why this is fast",
    ),
    Claim(
        POST,
        "A custom layer is nicer than low-level code.",
        lambda: f"its `forward` has {len(inspect.getsource(made.layers.MaskedLinear.forward).splitlines())} lines",
        "Yes.",
        lambda: len(inspect.getsource(made.layers.MaskedLinear.forward).splitlines()) < 10,
        "04_made",
        "MADE from scratch",
    ),
    Claim(
        PAPER,
        "Masks turn an autoencoder into a distribution.",
        lambda: f"probabilities of all rows of eight variables: sum {total():.12f}",
        "Yes.",
        lambda: abs(total() - 1) < 1e-12,
        "04_made",
        "MADE from scratch",
    ),
    Claim(
        PAPER,
        "Hidden degrees are drawn at random.",
        lambda: (
            f"64 units for 784 variables reach {coverage('random'):.1%} of what is allowed, "
            f"evenly spread {coverage('even'):.1%}"
        ),
        "Spreading them evenly reaches more.",
        lambda: coverage("even") > coverage("random"),
        "04_made",
        "Which degrees for the hidden units?",
    ),
    Claim(
        PAPER,
        "A MADE on binarized MNIST reaches 88.40 with one mask, 86.64 at best.",
        lambda: (
            f"{best('drawn'):.1f} with one mask, {ensemble('drawn'):.1f} as a mixture of orders "
            "(another draw of the same pixels)"
        ),
        "In reach, not reached: behind by one nat, with far smaller networks.",
        lambda: 88.40 < best("drawn") < 89.5 and 86.64 < ensemble("drawn") < 88,
        SCORES,
        "MNIST, two ways",
    ),
    Claim(
        PAPER,
        "A MADE with one mask scores 83.63 on DNA, 9.68 on Mushrooms, 280.25 on NIPS-0-12.",
        lambda: ", ".join(
            f"{name} {scoreboard(data, 'one mask', 'single'):.2f}"
            for data, name in (("dna", "DNA"), ("mushrooms", "Mushrooms"), ("nips", "NIPS"))
        ),
        "In the same range: better on DNA and NIPS, worse on Mushrooms.",
        lambda: (
            scoreboard("dna", "one mask", "single") < 83.63
            and scoreboard("nips", "one mask", "single") < 280.25
            and 9.68 < scoreboard("mushrooms", "one mask", "single") < 10.2
        ),
        SCORES,
        "Rows of zeros and ones",
    ),
    Claim(
        PAPER,
        "Many masks improve a single pass (DNA 83.63 to 79.66, NIPS 280.25 to 277.28).",
        lambda: "; ".join(
            f"{data}: one {masks(data, width, 'one mask'):.1f}, 32 orders {masks(data, width, '32 orders'):.1f}"
            for data, width in SETS
        ),
        "On DNA a little; elsewhere a single pass gets worse.",
        lambda: (
            masks("dna", 500, "32 orders") < masks("dna", 500, "one mask")
            and all(masks(data, width, "32 orders") > masks(data, width, "one mask") for data, width in SETS[1:])
        ),
        ORDERS,
        "Measured: one mask or many?",
    ),
    Claim(
        PAPER,
        "Averaging the probabilities of many masks improves on a single one of them.",
        lambda: "; ".join(
            f"{data}: {masks(data, width, '32 orders'):.1f} to {masks(data, width, '32 orders', 'test_mixture'):.1f}"
            for data, width in SETS
        ),
        "Yes, on every data set.",
        lambda: all(
            masks(data, width, "32 orders", "test_mixture") < masks(data, width, "32 orders") for data, width in SETS
        ),
        ORDERS,
        "The one valid average",
    ),
    Claim(
        PAPER,
        "Companion weights, by which a layer sees its mask, help.",
        lambda: "; ".join(
            f"{data}: {masks(data, width, '32 orders'):.2f} to {masks(data, width, '32 orders, companions'):.2f}"
            for data, width in SETS[:3]
        ),
        "By less than half a nat here.",
        lambda: all(
            abs(masks(data, width, "32 orders") - masks(data, width, "32 orders, companions")) < 0.5
            for data, width in SETS[:3]
        ),
        ORDERS,
        "Measured: one mask or many?",
    ),
    Claim(
        PAPER,
        "One network can be trained for every order at once.",
        lambda: (
            f"MNIST: any order {result('any_order')['test_single']:.1f} in one pass and "
            f"{result('any_order')['test_mixture']['32']:.1f} as a mixture; one order {mnist('natural'):.1f}"
        ),
        "Yes, at a price.",
        lambda: result("any_order")["test_single"] > mnist("natural") + 5,
        ORDERS,
        "One network, any order",
    ),
    Claim(
        OTHERS,
        "Several masks bring no gain in a single pass (a public implementation).",
        lambda: (
            f"MNIST rounded: one mask {masks('mnist', 1000, 'one mask'):.1f}, "
            f"32 orders {masks('mnist', 1000, '32 orders'):.1f}. With settings chosen for each, NIPS: "
            f"{scoreboard('nips', 'one mask', 'single'):.1f} and {scoreboard('nips', 'many masks', 'single'):.1f}"
        ),
        "So we find, unless one mask overfits.",
        lambda: (
            masks("mnist", 1000, "32 orders") > masks("mnist", 1000, "one mask")
            and scoreboard("nips", "many masks", "single") > scoreboard("nips", "one mask", "single")
        ),
        ORDERS,
        "Measured: one mask or many?",
    ),
    Claim(
        OTHERS,
        "Averaging the logits over orders gives 79.3 on binarized MNIST (a public implementation).",
        lambda: "such averages do not sum to one",
        "That number is no likelihood.",
        lambda: asserted(ORDERS, "Two invalid averages"),
        ORDERS,
        "Two invalid averages",
    ),
]


CLAIMS_HEAD = """
# The ledger

What was claimed, and what we measured. `book/tools/ledger.py` writes this page from the result files, so no measured
number was typed. Numbers are mean negative log-likelihoods of test rows in nats, where nothing else is said. *The post*
is Keng (2017), finished and unfinished; *the paper* is Germain et al. (2015); see [references](references.md).

## Claims

| who | the claim | what we measured | verdict | where |
|---|---|---|---|---|
"""
MODELS_HEAD = """
## Networks that come with the book

Weights are stored in half precision, and scored as stored. All are trained on MNIST rounded to 0 and 1, by the script
named, which holds the full recipe. They are meant for the pictures of this book; they know nothing but its digits.

| file | what it is | script, seed | test NLL |
|---|---|---|---|
"""
EQUATIONS_HEAD = """
## Equations

Every numbered equation, and which code cell of its chapter checks it (in Jupyter, the number in brackets).

| equation | chapter and section | checked in cell |
|---|---|---|
"""


def slug(heading):
    """The anchor of a heading.

    >>> slug("Does the order matter?")
    'does-the-order-matter'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def link(chapter, heading):
    """A link to a heading of a chapter, with the chapter's number."""
    return f"[{int(chapter[:2])}, {heading}]({chapter}.ipynb#{slug(heading)})"


def equations():
    """Of every tagged equation: its tag, chapter, heading, and the number of the code cell that checks it."""
    for path in sorted(BOOK.glob("[0-9]*.ipynb")):
        heading, count, found, checks = "", 0, [], {}
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                count += 1
                for line in re.findall(r"# check Eqs?\. (.*)", cell.source):
                    for tag in re.findall(r"\d+\.\d+", line):
                        checks.setdefault(tag, count)
                continue
            for line in cell.source.splitlines():
                if line.startswith("## "):
                    heading = line.removeprefix("## ")
                found += [(tag, heading) for tag in re.findall(r"\\tag\{([\d.]+)\}", line)]
        for tag, where in found:
            yield tag, path.stem, where, checks[tag]


def networks():
    """Of every network shipped: its file, what it is, the script and the seed, and its test NLL with standard error."""
    record = result("mnist")
    for name in ("natural", "random"):
        model, score = record["config"]["models"][name], record["models"][name]["test_nll"]
        text = f"hidden {record['config']['hidden']}, " + ", ".join(f"{key} {value}" for key, value in model.items())
        yield f"mnist_{name}.safetensors", text, "mnist.py", record["config"]["seed"], score["mean"], score["stderr"]
    record = result("any_order")
    options = {**record["config"]["setting"], **record["config"]["order"]}
    seed = options.pop("seed")
    text = ", ".join(f"{key} {value}" for key, value in options.items()) + "; mean over 32 orders"
    yield "mnist_any_order.safetensors", text, "any_order.py", seed, record["test_single"], record["test_single_stderr"]


def page():
    """The text of the page."""
    lines = [CLAIMS_HEAD.strip()]
    for claim in CLAIMS:
        if not claim.holds():
            raise ValueError(f"the verdict {claim.verdict!r} on {claim.text!r} does not hold: {claim.measured()}")
        cells = [claim.source, claim.text, claim.measured(), claim.verdict, link(claim.chapter, claim.heading)]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(MODELS_HEAD.rstrip())
    for file, text, script, seed, nll, stderr in networks():
        lines.append(f"| `{file}` | {text} | `{script}`, {seed} | {nll:.2f} ± {stderr:.2f} |")
    lines.append(EQUATIONS_HEAD.rstrip())
    for tag, chapter, heading, cell in equations():
        where = link(chapter, heading) if heading else f"[{int(chapter[:2])}]({chapter}.ipynb)"
        lines.append(f"| {tag} | {where} | {cell} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
