"""The claims that the book tests, one after the other, each with what we measured and our verdict.

A claim is told in our words; its source says who made it. Below it stands a function that returns what we measured, in
words, and whether the verdict holds for it. Numbers come from the files in ``book/results``, ours by way of
``evidence.py``: which of two networks is better is the sign of a difference with its paired error, and a run that was
ended by a limit carries no verdict but "Not settled". ``ledger.py`` writes the page.
"""

import inspect
from collections.abc import Callable
from statistics import mean
from typing import NamedTuple

import chapters
import evidence
from evidence import Score, against, compare, runs, score
from results import only, reported, result

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


def verdict(name):
    """The verdict on the claim that the function of that name measures."""
    [found] = [claim.verdict for claim in CLAIMS if claim.measure.__name__ == name]
    return found


POST, PAPER, OTHERS = "the post", "the paper", "others"
MYSTERY, SCORES = "06_the_mystery_of_the_direct_connection", "09_the_scoreboard"
ORDERS = "07_orders_masks_ensembles"


# ---- what was measured ---------------------------------------------------------------------------------------------

CHOSEN = ["lr", "dropout", "weight_decay"]  # settings that validation rows have chosen for each network by itself


def mnist(**fields):
    """Fields of networks of one hidden layer of 500 units on MNIST rounded to 0 and 1."""
    return {"study": "direct", "stage": "final", "width": 500, "direct": True, "order": "natural", **fields}


def network(*, slipped, **fields):
    """Fields of the post's network on digits, with all its slips in training or with none."""
    same = {"stage": "final", "hidden": [653, 653], "output_bias": 0.0, **fields}
    return {**same, "wide_degrees": slipped, "relu_output": slipped}


def direct_gain(*, slipped):
    """What the direct connection saves in it; with all slips dropout is on in evaluation, too."""
    sides = ({"direct": direct} for direct in (False, True))
    costs = "dropout_costs" if slipped else "costs"
    return compare("slips", *sides, differs=["direct", "lr"], contains=True, costs=costs, **network(slipped=slipped))


def at_its_size(direct):
    """Runs of the post's network at its own size with all slips, however they ended."""
    slips = {"wide_degrees": True, "output": "relu", "output_bias": 0.0, "dropout_in_evaluation": True}
    return evidence.unsettled("mystery", study="cells", direct=direct, **slips)


def seconds(contender):
    """Time to draw 100 rows of 784 variables with two layers of 500."""
    rows = result("speed")["sections"]["sampling"]["rows"]
    return only(rows, hidden=[500, 500], batch=100, contender=contender)["ms"] / 1000


def best(pixels):
    """Score of a wide network on MNIST, "rounded" or "drawn", under the natural order."""
    return score("wide", data=pixels, phase="ensemble", order="raster", turn=0, mirrored=False)


def ensemble(pixels):
    """Score of the mixture of all such networks, one for each order."""
    assert len(runs("wide", data=pixels, phase="ensemble")) == 16
    test = only(result("wide")["mixtures"], data=pixels, phase="ensemble", networks=16)["test"]
    return Score(test["mean"], test["stderr"], 1)


def one_order(board):
    """Score of the setting that the validation rows chose, over repetitions."""
    found = [run["one"] for run in runs("records", stage="final", board=board)]
    return Score(mean(test["mean"] for test in found), mean(test["stderr"] for test in found), len(found))


ONE_MASK = {"order": "natural", "degrees": "even", "n_masks": 1}
ORDERS_32 = {"order": "random", "degrees": "even", "n_masks": 32}
FRESH_ORDERS = {**ORDERS_32, "n_masks": None}
SETS = {"dna": ("masks", 500), "nips": ("masks", 500), "mushrooms": ("masks", 500), "mnist": ("mnist_many", 1000)}


def many(data, first, second, *, costs="costs", differs=(), **same):
    """By how much one kind of masks costs more than another, at the larger width of a data set."""
    file, width = SETS[data]
    same |= {"study": "masks"} if file == "mnist_many" else {"data": data}
    same |= {} if file == "mnist_many" or "companions" in first else {"companions": "none"}
    found = ["order", "n_masks", "lr", "dropout", "costs", *differs]
    return compare(file, first, second, differs=found, costs=costs, stage="final", width=width, **same)


def asserted(chapter, heading):
    """Whether a code cell of that section asserts something: for claims that a chapter proves and no file records."""
    found = chapters.sections(chapters.read(chapters.path_of(chapter)))
    return any("assert " in cell.source for s in found if s.title == heading for _, cell in s.code)


def table(data, kind):
    """What the paper reports for a MADE."""
    return reported("germain2015", data=data, model="MADE", kind=kind)


def each(differences):
    """Differences by data set, in words."""
    return "; ".join(f"{data} {difference}" for data, difference in differences.items())


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
    verdict="Not settled at the post's size, where its slips come near these numbers. On digits: with all slips yes.",
    chapter=MYSTERY,
    heading="The experiment",
)
def direct_connection():
    without, with_it = (mean(run["test"]["mean"] for run in at_its_size(direct)) for direct in (False, True))
    gain = direct_gain(slipped=True)
    return f"all slips, 2 x 8000 units: {without:.0f} without, {with_it:.0f} with; digits: {gain} saved", gain.sign == 1


@claim(
    POST,
    "It may have been a bug that caused it.",
    verdict="Likely, not proven: three slips, above all the ReLU at the output.",
    chapter=MYSTERY,
    heading="Verdicts",
)
def bug():
    slipped, clean = direct_gain(slipped=True), direct_gain(slipped=False)
    measured = f"saved by the direct connection on digits: with all slips {slipped}, without any {clean}"
    return measured, slipped.mean - 2 * slipped.stderr > clean.mean + 2 * clean.stderr


@claim(
    POST,
    f"About {reported('keng2017', metric='best_test_nll')} nats at best on rounded MNIST.",
    verdict="A correct network is far better.",
    chapter="04_made",
    heading="MNIST, recorded",
)
def best_of_the_post():
    small, large = score("mnist_many", **mnist()), best("rounded")
    lower = [against(found, reported("keng2017", metric="best_test_nll")) for found in (small, large)]
    measured = f"{small:.1f} with one layer of 500 units, {large:.1f} with a larger network"
    return measured, all(difference.sign == 1 for difference in lower)


@claim(
    POST,
    f"The paper gets below {reported('keng2017', kind='one mask')} with a single mask.",
    verdict="Not comparable: the paper's pixels are drawn at random, the post's are rounded.",
    chapter=SCORES,
    heading="MNIST, two ways",
)
def two_kinds_of_pixels():
    rounded, drawn = best("rounded"), best("drawn")
    return f"one network: rounded {rounded:.1f}, drawn at random {drawn:.1f}", against(rounded, drawn).sign == 1


@claim(
    POST,
    "A random order gives no recognisable images.",
    verdict="No. Its sampler took the order for its inverse, which natural order hides.",
    chapter="05_generating_samples",
    heading="Does the order matter?",
)
def random_order():
    cost = compare("mnist_many", mnist(order="random"), mnist(), differs=["order"])
    measured = f"random orders cost {cost} nats more, on MNIST"
    return measured, cost.mean + 2 * cost.stderr < 5 and asserted("05_generating_samples", "Does the order matter?")


@claim(
    POST,
    "The learning phase has to be set, for dropout.",
    verdict="Yes, and to evaluation while scoring.",
    chapter=MYSTERY,
    heading="Three slips",
)
def learning_phase():
    cost = compare(
        "slips", {}, {}, differs=["costs"], costs=("dropout_costs", "costs"), **network(slipped=False, direct=True)
    )
    return f"digits: scored with dropout, the same networks cost {cost} more", cost.sign == 1


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
    verdict="The same samples can be had for the multiplications of about one pass.",
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
    verdict="Spreading them evenly reaches more. Either way a narrow layer loses the nearest variables first.",
    chapter="04_made",
    heading="Which degrees for the hidden units?",
)
def degrees():
    drawn = mean(made.Connectivity.create(784, (64,), degrees="random", seed=seed).coverage() for seed in range(20))
    even = made.Connectivity.create(784, (64,), degrees="even")
    blind = 1 - even.reachable().diagonal(-1).double().mean().item()
    measured = f"64 units for 784 variables reach {drawn:.1%} of what is allowed (mean of 20 draws), evenly spread "
    measured += f"{even.coverage():.1%}; of these outputs {blind:.0%} do not see the variable just before"
    return measured, even.coverage() > drawn and blind > 0.5


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
    lower = against(one, table("binarized_mnist", "one mask")), against(many, table("binarized_mnist", "many masks"))
    measured = f"{one:.1f} with one mask, {many:.1f} as a mixture of sixteen networks (another draw of the same pixels)"
    return measured, all(difference.sign == 1 for difference in lower)


@claim(
    PAPER,
    f"A MADE with one mask scores {table('dna', 'one mask')} on DNA, {table('mushrooms', 'one mask')} on Mushrooms, "
    f"{table('nips', 'one mask')} on NIPS-0-12.",
    verdict="Lower on all three, with what chapter 9 adds to training.",
    chapter=SCORES,
    heading="The scores",
)
def binary_rows():
    ours = {data: one_order(f"{data} bits") for data in ("dna", "mushrooms", "nips")}
    measured = f"DNA {ours['dna']:.2f}, Mushrooms {ours['mushrooms']:.2f}, NIPS {ours['nips']:.2f} (if the paper's "
    measured += "errors are like ours)"
    return measured, all(against(found, table(data, "one mask")).sign == 1 for data, found in ours.items())


@claim(
    PAPER,
    f"A mixture over many masks improves on one mask (DNA {table('dna', 'one mask')} to {table('dna', 'many masks')}, "
    f"NIPS {table('nips', 'one mask')} to {table('nips', 'many masks')}).",
    verdict="VERDICT-many",
    chapter=ORDERS,
    heading="HEADING-many",
)
def many_masks():
    saved = {data: many(data, ONE_MASK, ORDERS_32, costs=("costs", "mixture_costs")) for data in SETS}
    return f"saved by a mixture of 32 orders: {each(saved)}", False


@claim(
    PAPER,
    "Averaging the probabilities of many masks improves on a single one of them.",
    verdict="Yes, as it must on average: Jensen's inequality. The data say by how much.",
    chapter=ORDERS,
    heading="The one valid average",
)
def averaging():
    saved = {data: many(data, ORDERS_32, ORDERS_32, costs=("costs", "mixture_costs")) for data in SETS}
    return f"saved, against the mean of 32 orders: {each(saved)}", all(d.sign == 1 for d in saved.values())


@claim(
    PAPER,
    "Companion weights, by which a layer sees its mask, help.",
    verdict="VERDICT-comp",
    chapter=ORDERS,
    heading="HEADING-many",
)
def companion_weights():
    saved = {
        data: many(data, {"companions": "none"}, {"companions": "sum"}, differs=["companions"], **ORDERS_32)
        for data in SETS
        if data != "mnist"
    }
    return f"saved by the paper's form, 32 orders in a single pass: {each(saved)}", False


@claim(
    PAPER,
    "One network can be trained for every order at once.",
    verdict="Yes, at a price.",
    chapter=ORDERS,
    heading="One network, any order",
)
def any_order():
    single = many("mnist", FRESH_ORDERS, ONE_MASK)
    mixed = many("mnist", FRESH_ORDERS, ONE_MASK, costs=("mixture_costs", "costs"))
    measured = f"MNIST, 1000 units, more than with one order: {single} in one pass, {mixed} as a mixture of 32 orders"
    return measured, single.sign == 1


# ---- claims of others ----------------------------------------------------------------------------------------------


@claim(
    OTHERS,
    "Several masks bring no gain in a single pass (a public implementation).",
    verdict="VERDICT-nogain",
    chapter=ORDERS,
    heading="HEADING-many",
)
def no_gain():
    more = {data: many(data, ORDERS_32, ONE_MASK) for data in SETS}
    return f"a single pass of 32 orders costs more than one mask by: {each(more)}", False


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
