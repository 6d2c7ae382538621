"""The claims that the book tests, one after the other, each with what we measured and our verdict.

A claim is told in our words; its source says who made it. Below it stands a function that returns what we measured, in
words, and whether the verdict holds for it. Numbers come from the files in ``book/results``: ours as well as those of
others. ``ledger.py`` writes the page.
"""

import inspect
from collections.abc import Callable
from statistics import mean
from typing import NamedTuple

import chapters
from results import only, reported, result, select

import made


class Claim(NamedTuple):
    """Who says what; our verdict; chapter and heading to read; and a function: what we measured, whether it holds."""

    source: str
    text: str
    verdict: str
    chapter: str
    heading: str
    measure: Callable[[], tuple[str, bool]]


CLAIMS = []


def claim(source, text, *, verdict, chapter, heading):
    """Put a claim on the list, with the function below it."""

    def add(measure):
        CLAIMS.append(Claim(source, text, verdict, chapter, heading, measure))
        return measure

    return add


POST, PAPER, OTHERS = "the post", "the paper", "others"
MYSTERY, SCORES = "06_the_mystery_of_the_direct_connection", "09_the_scoreboard"
ORDERS = "07_orders_masks_ensembles"


# ---- what was measured ---------------------------------------------------------------------------------------------


def slips(data, *, slipped, direct, dropout=False):
    """Mean test NLL over the seeds of the experiment on slips: both slips in training or none; dropout on or off."""
    runs = select(result("slips")["runs"], data=data, wide_degrees=slipped, relu_output=slipped, direct=direct)
    return mean(run["with dropout" if dropout else "without dropout"]["test"] for run in runs)


def single_pass(data, width, variant):
    """Mean test NLL of single passes over the seeds of the experiment on masks."""
    return mean(run["test_single"] for run in select(result("masks")["runs"], data=data, width=width, variant=variant))


def of_32(mixtures):
    """Of the test NLLs of growing mixtures, that of 32 members."""
    return only(mixtures, members=32)["nll"]


def mixture(data, width, variant):
    """Mean test NLL of mixtures of 32 over the seeds of that experiment."""
    runs = select(result("masks")["runs"], data=data, width=width, variant=variant)
    return mean(of_32(run["test_mixture"]) for run in runs)


def mnist(name):
    """Test NLL of a network of one hidden layer on MNIST rounded to 0 and 1."""
    return result("mnist")["models"][name]["test_nll"]["mean"]


def best(pixels):
    """Test NLL of a wide network on MNIST, "rounded" or "drawn", under the natural order."""
    rows = select(result("wide")["rows"], data=pixels, phase="ensemble")
    return only(rows, order="raster", turn=0, mirrored=False, stopped="patience")["test"]["mean"]


def ensemble(pixels):
    """Test NLL of the mixture of all such networks, one for each order."""
    return only(result("wide")["mixtures"], data=pixels, phase="ensemble", networks=16)["test"]["mean"]


def seconds(contender):
    """Time to draw 100 rows of 784 variables with two layers of 500."""
    rows = result("speed")["sections"]["sampling"]["rows"]
    return only(rows, hidden=[500, 500], batch=100, contender=contender)["ms"] / 1000


def records(board, way):
    """Test NLL of the setting that the validation rows chose, a mean over repetitions: "one order", or "one pass" of
    one network that was trained under eight orders."""
    runs = select(result("records")["runs"], stage="final", board=board)
    assert all(run["parts"][0]["stopped"] == run["many orders"]["stopped"] == "patience" for run in runs)
    return mean((run["one"] if way == "one order" else run["many orders"][way])["mean"] for run in runs)


def asserted(chapter, heading):
    """Whether a code cell of that section asserts something: for claims that a chapter proves and no file records."""
    found = chapters.sections(chapters.read(chapters.path_of(chapter)))
    return any("assert " in cell.source for s in found if s.title == heading for _, cell in s.code)


def table(data, kind):
    """What the paper reports for a MADE."""
    return reported("germain2015", data=data, model="MADE", kind=kind)


# ---- claims of the post --------------------------------------------------------------------------------------------


@claim(
    POST,
    "An autoencoder that nothing hinders learns to copy; a bottleneck or noise prevents it.",
    verdict="Yes.",
    chapter="01_vanilla_autoencoders",
    heading="Losing your identity",
)
def copying():
    return "shown on digits, with the chapter's assertions", asserted("01_vanilla_autoencoders", "Losing your identity")


@claim(
    POST,
    "Cross-entropy and squared error are negative log-likelihoods.",
    verdict="Yes. The post's Eq. 3 has a broken exponent, and dropping constants makes scores incomparable.",
    chapter="02_losses_are_likelihoods",
    heading="One real number",
)
def losses():
    holds = asserted("02_losses_are_likelihoods", "One real number")
    return "checked against the formulas, constants included", holds


@claim(
    POST,
    "An autoencoder may give two different rows probability 1 each; a distribution cannot.",
    verdict="Yes.",
    chapter="03_the_autoregressive_property",
    heading="Two certainties, one too many",
)
def two_certainties():
    holds = asserted("03_the_autoregressive_property", "Two certainties, one too many")
    return "an autoencoder's scores, summed over all rows, are not 1", holds


@claim(
    POST,
    f"A direct connection makes a huge difference: loss {reported('keng_draft', direct=False)} without, "
    f"below {reported('keng_draft', direct=True)} with it.",
    verdict="True of a network with these slips, or a narrow one.",
    chapter=MYSTERY,
    heading="The experiment",
)
def direct_connection():
    without = slips("mnist", slipped=True, direct=False, dropout=True)
    with_it = slips("mnist", slipped=True, direct=True, dropout=True)
    return f"all slips: {without:.0f} without, {with_it:.0f} with", without > with_it + 20


@claim(
    POST,
    "It may have been a bug that caused it.",
    verdict="Likely: three slips, above all the ReLU at the output. The post's own network was not run.",
    chapter=MYSTERY,
    heading="Verdicts",
)
def bug():
    without, with_it = (slips("mnist", slipped=False, direct=direct) for direct in (False, True))
    gap = abs(without - with_it)
    gap_with_slips = slips("mnist", slipped=True, direct=False, dropout=True)
    gap_with_slips -= slips("mnist", slipped=True, direct=True, dropout=True)
    return f"no slip: {without:.0f} without, {with_it:.0f} with", gap * 3 < gap_with_slips


@claim(
    POST,
    f"About {reported('keng2017', metric='best_test_nll')} nats at best on rounded MNIST.",
    verdict="A correct network is far better.",
    chapter="04_made",
    heading="MNIST, recorded",
)
def best_of_the_post():
    small, large = mnist("natural"), best("rounded")
    return f"{small:.1f} with one layer of 500 units, {large:.1f} with a larger network", large < small < 75


@claim(
    POST,
    f"The paper gets below {reported('keng2017', kind='one mask')} with a single mask.",
    verdict="Not comparable: the paper's pixels are drawn at random, the post's are rounded.",
    chapter=SCORES,
    heading="MNIST, two ways",
)
def two_kinds_of_pixels():
    rounded, drawn = best("rounded"), best("drawn")
    return f"one network: rounded {rounded:.1f}, drawn at random {drawn:.1f}", drawn > rounded + 10


@claim(
    POST,
    "A random order gives no recognisable images.",
    verdict="No. Its sampler took the order for its inverse, which natural order hides.",
    chapter="05_generating_samples",
    heading="Does the order matter?",
)
def random_order():
    natural, scattered = mnist("natural"), mnist("random")
    return f"natural order {natural:.1f}, random order {scattered:.1f}", abs(natural - scattered) < 3


@claim(
    POST,
    "The learning phase has to be set, for dropout.",
    verdict="Yes, and to evaluation while scoring.",
    chapter=MYSTERY,
    heading="Three slips",
)
def learning_phase():
    on, off = (slips("digits", slipped=False, direct=True, dropout=dropout) for dropout in (True, False))
    return f"digits: scored with dropout {on:.2f}, without {off:.2f}", on > off


@claim(
    POST,
    "Indexes for selection have to be exactly right.",
    verdict="Yes.",
    chapter=MYSTERY,
    heading="How a test would have caught each",
)
def indexes():
    return "three slips, and three tests that fail on them", asserted(MYSTERY, "How a test would have caught each")


@claim(
    POST,
    "The direct term stands outside the sigmoid (its equation 12).",
    verdict="No: it belongs inside, as in the paper.",
    chapter="04_made",
    heading="Inside the sigmoid",
)
def direct_term():
    return "gives numbers below 0 and above 1", asserted("04_made", "Inside the sigmoid")


@claim(
    POST,
    f"Sampling takes D forward passes; 100 images took {reported('keng_notebook', metric='sampling_time')} s "
    f"(2 x {reported('keng_notebook', metric='hidden_units')} units).",
    verdict="The same samples can be had for the work of about one pass.",
    chapter="05_generating_samples",
    heading="Why this is fast",
)
def sampling_time():
    ours, naive = seconds("made"), seconds("made, naive")
    return f"2 x 500 units: {ours:.3f} s, with D passes {naive:.1f} s", naive > 100 * ours


@claim(
    POST,
    "A custom layer is nicer than low-level code.",
    verdict="Yes.",
    chapter="04_made",
    heading="MADE from scratch",
)
def custom_layer():
    lines = len(inspect.getsource(made.layers.MaskedLinear.forward).splitlines())
    return f"its `forward` has {lines} lines", lines < 10


# ---- claims of the paper -------------------------------------------------------------------------------------------


@claim(
    PAPER,
    "Masks turn an autoencoder into a distribution.",
    verdict="Yes.",
    chapter="04_made",
    heading="MADE from scratch",
)
def distribution():
    model = made.MADE(8, (20,), order="random", seed=1).double()
    total = made.diagnostics.total_probability(model)
    return f"probabilities of all rows of eight variables: sum {total:.12f}", abs(total - 1) < 1e-12


@claim(
    PAPER,
    "Hidden degrees are drawn at random.",
    verdict="Spreading them evenly reaches more.",
    chapter="04_made",
    heading="Which degrees for the hidden units?",
)
def degrees():
    drawn, even = (made.Connectivity.create(784, (64,), degrees=how).coverage() for how in ("random", "even"))
    measured = f"64 units for 784 variables reach {drawn:.1%} of what is allowed, evenly spread {even:.1%}"
    return measured, even > drawn


@claim(
    PAPER,
    f"A MADE on binarized MNIST reaches {table('binarized_mnist', 'one mask'):.2f} with one mask, "
    f"{table('binarized_mnist', 'many masks'):.2f} at best.",
    verdict="Surpassed: with networks of half the width, better regularised, and one for each order.",
    chapter=SCORES,
    heading="MNIST, two ways",
)
def binarized_mnist():
    one, many = best("drawn"), ensemble("drawn")
    measured = f"{one:.1f} with one mask, {many:.1f} as a mixture of sixteen networks (another draw of the same pixels)"
    return measured, one < table("binarized_mnist", "one mask") and many < table("binarized_mnist", "many masks")


@claim(
    PAPER,
    f"A MADE with one mask scores {table('dna', 'one mask')} on DNA, {table('mushrooms', 'one mask')} on Mushrooms, "
    f"{table('nips', 'one mask')} on NIPS-0-12.",
    verdict="Better on all three, with what chapter 9 adds to training.",
    chapter=SCORES,
    heading="The scores",
)
def binary_rows():
    ours = {data: records(f"{data} bits", "one order") for data in ("dna", "mushrooms", "nips")}
    measured = f"DNA {ours['dna']:.2f}, Mushrooms {ours['mushrooms']:.2f}, NIPS {ours['nips']:.2f}"
    return measured, all(nats < table(data, "one mask") for data, nats in ours.items())


SETS = {"dna": 500, "nips": 500, "mushrooms": 500, "mnist": 1000}  # the larger width of each


@claim(
    PAPER,
    f"Many masks improve a single pass (DNA {table('dna', 'one mask')} to {table('dna', 'many masks')}, "
    f"NIPS {table('nips', 'one mask')} to {table('nips', 'many masks')}).",
    verdict="On DNA a little; elsewhere a single pass gets worse.",
    chapter=ORDERS,
    heading="Measured: one mask or many?",
)
def many_masks():
    one = {data: single_pass(data, width, "one mask") for data, width in SETS.items()}
    many = {data: single_pass(data, width, "32 orders") for data, width in SETS.items()}
    measured = "; ".join(f"{data}: one {one[data]:.1f}, 32 orders {many[data]:.1f}" for data in SETS)
    return measured, all((many[data] < one[data]) == (data == "dna") for data in SETS)


@claim(
    PAPER,
    "Averaging the probabilities of many masks improves on a single one of them.",
    verdict="Yes, on every data set.",
    chapter=ORDERS,
    heading="The one valid average",
)
def averaging():
    alone = {data: single_pass(data, width, "32 orders") for data, width in SETS.items()}
    mixed = {data: mixture(data, width, "32 orders") for data, width in SETS.items()}
    measured = "; ".join(f"{data}: {alone[data]:.1f} to {mixed[data]:.1f}" for data in SETS)
    return measured, all(mixed[data] < alone[data] for data in SETS)


@claim(
    PAPER,
    "Companion weights, by which a layer sees its mask, help.",
    verdict="By less than half a nat here.",
    chapter=ORDERS,
    heading="Measured: one mask or many?",
)
def companion_weights():
    small = [data for data in SETS if data != "mnist"]
    without = {data: single_pass(data, SETS[data], "32 orders") for data in small}
    with_them = {data: single_pass(data, SETS[data], "32 orders, companions") for data in small}
    measured = "; ".join(f"{data}: {without[data]:.2f} to {with_them[data]:.2f}" for data in small)
    return measured, all(abs(without[data] - with_them[data]) < 0.5 for data in small)


@claim(
    PAPER,
    "One network can be trained for every order at once.",
    verdict="Yes, at a price.",
    chapter=ORDERS,
    heading="One network, any order",
)
def any_order():
    found, one_order = result("any_order"), mnist("natural")
    single, mixed = found["test_single"], of_32(found["test_mixture"])
    measured = f"MNIST: any order {single:.1f} in one pass and {mixed:.1f} as a mixture; one order {one_order:.1f}"
    return measured, single > one_order + 5


# ---- claims of others ----------------------------------------------------------------------------------------------


@claim(
    OTHERS,
    "Several masks bring no gain in a single pass (a public implementation).",
    verdict="So we find, unless one mask overfits.",
    chapter=ORDERS,
    heading="Measured: one mask or many?",
)
def no_gain():
    one, many = (single_pass("mnist", 1000, variant) for variant in ("one mask", "32 orders"))
    nips_one, nips_many = (records("nips bits", way) for way in ("one order", "one pass"))
    measured = (
        f"MNIST rounded: one mask {one:.1f}, 32 orders {many:.1f}. "
        f"With settings chosen for each, NIPS: {nips_one:.1f} and {nips_many:.1f}"
    )
    return measured, many > one and nips_many > nips_one


@claim(
    OTHERS,
    f"Averaging the logits over orders gives {reported('karpathy2018', metric='mean_of_logits')} on binarized MNIST "
    "(a public implementation).",
    verdict="That number is no likelihood.",
    chapter=ORDERS,
    heading="Two invalid averages",
)
def mean_of_logits():
    return "such averages do not sum to one", asserted(ORDERS, "Two invalid averages")
