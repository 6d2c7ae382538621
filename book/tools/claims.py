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
import timings
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
MYSTERY, SCORES = "06_the_mystery_of_the_direct_connection", "12_the_scoreboard"
ORDERS = "07_orders_masks_ensembles"


# ---- what was measured ---------------------------------------------------------------------------------------------

BARE_AND_DIRECT = {"direct": False}, {"direct": True}
ONE_MASK = {"order": "natural", "degrees": "even", "n_masks": 1}
ORDERS_32 = {**ONE_MASK, "order": "random", "n_masks": 32}
FRESH_ORDERS = {**ORDERS_32, "n_masks": None}
COMPANIONS = {**ORDERS_32, "companions": "sum"}  # in the paper's form
ONE_ORDER = {**ORDERS_32, "n_masks": 1}
BOTH_32 = {**ORDERS_32, "degrees": "random"}
SETS = ("dna", "nips", "mushrooms", "digits")


def mnist(**fields):
    """Fields of networks of one hidden layer on MNIST rounded to 0 and 1, under one order."""
    return {"study": "direct", "stage": "final", "direct": True, "order": "natural", **fields}


def direct_saves(width):
    """What the direct connection saves in a correct network of that width on MNIST, settings chosen for each."""
    same = {"study": "direct", "stage": "final", "order": "natural", "width": width}
    return compare("mnist_many", *BARE_AND_DIRECT, differs=["direct", "lr", "dropout"], contains=True, **same)


def direct_saves_in_the_post(*, slipped):
    """What it saves in the post's network at its own size, with all slips or with none."""
    output = "relu" if slipped else "sigmoid"
    same = {"study": "cells", "wide_degrees": slipped, "output": output, "output_bias": 0.0}
    same["dropout_in_evaluation"] = slipped
    return compare("mystery", *BARE_AND_DIRECT, differs=["direct"], contains=True, **same)


def masks(data, first, second, costs="costs", width=100):
    """How much more one kind of masks costs than another, settings chosen for each."""
    file, same = ("mnist_many", {"study": "masks"}) if data == "mnist" else ("masks", {"data": data})
    if file == "masks":
        first, second = ({"companions": "none", **kind} for kind in (first, second))
    differs = ["order", "degrees", "n_masks", "companions", "lr", "dropout", "costs"]
    return compare(file, first, second, differs=differs, costs=costs, stage="final", width=width, **same)


def each(differences):
    """Differences by data set, in words."""
    return "; ".join(f"{data} {difference}" for data, difference in differences.items())


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
    verdict="With these slips it comes back in part, in a narrow network in full. With one layer and no slip it "
    "shrinks with the width.",
    chapter=MYSTERY,
    heading="The mystery at its own size",
)
def direct_connection():
    slipped, narrow, wide = direct_saves_in_the_post(slipped=True), direct_saves(20), direct_saves(2000)
    measured = f"saved on MNIST: 2 x 8000 units with all slips {slipped}; correct, one layer, settings "
    measured += f"chosen for each, 20 units {narrow}, 2000 units {wide}"
    return measured, slipped.sign == narrow.sign == wide.sign == 1 and wide.mean + 2 * wide.stderr < 3


@claim(
    POST,
    "It may have been a bug that caused it.",
    verdict="Likely, not proven: at the post's size, slips in degrees and output turn a small difference into a large "
    "one. Their shares are not settled.",
    chapter=MYSTERY,
    heading="Verdicts",
)
def bug():
    slipped, clean = direct_saves_in_the_post(slipped=True), direct_saves_in_the_post(slipped=False)
    measured = f"saved by the direct connection at the post's size: with all slips {slipped}, with none {clean}"
    return measured, slipped.mean - 2 * slipped.stderr > 5 * (clean.mean + 2 * clean.stderr)


@claim(
    POST,
    f"About {reported('keng2017', metric='best_test_nll')} nats at best on rounded MNIST.",
    verdict="A correct network is far better. (The post, as we read it, scored with dropout on.)",
    chapter="04_made",
    heading="MNIST, recorded",
)
def best_of_the_post():
    found = score("mnist_many", **mnist(width=500))
    lower = against(found, reported("keng2017", metric="best_test_nll"))
    return f"{found:.1f} with one layer of 500 units, mean of {found.seeds} seeds", lower.sign == 1


@claim(
    POST,
    f"The paper gets below {reported('keng2017', kind='one mask')} with a single mask.",
    verdict="Not comparable: the paper's pixels are drawn at random, the post's are rounded.",
    chapter=SCORES,
    heading="MNIST, two ways",
)
def two_kinds_of_pixels():
    rounded, drawn = best("rounded"), best("drawn")
    measured = f"one network, one seed: rounded {rounded:.1f}, drawn at random {drawn:.1f}"
    return measured, against(rounded, drawn).sign == 1


@claim(
    POST,
    "A random order gives no recognisable images.",
    verdict="Not so for our networks. As we read it, the post's sampler took the order for its inverse.",
    chapter=MYSTERY,
    heading="Did the random order fail?",
)
def random_order():
    cost = compare("mnist_many", mnist(order="random", width=500), mnist(width=500), differs=["order"])
    measured = f"random orders cost {cost} nats more, on MNIST"
    return measured, cost.mean + 2 * cost.stderr < 5 and asserted(MYSTERY, "Did the random order fail?")


@claim(
    POST,
    "The learning phase has to be set, for dropout.",
    verdict="Yes, and to evaluation while scoring.",
    chapter=MYSTERY,
    heading="Three slips",
)
def learning_phase():
    same = {"hidden": [653, 653], "wide_degrees": False, "relu_output": False, "output_bias": 0.0, "direct": True}
    costs = ("dropout_costs", "costs")
    more = compare("slips", {}, {}, differs=["costs"], costs=costs, stage="final", **same)
    return f"digits: scored with dropout, the same networks cost {more} more", more.sign == 1


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
    verdict="The same samples can be had for the multiplications of one or two passes.",
    chapter="05_generating_samples",
    heading="Why this is fast",
)
def sampling_time():
    deep = {"network": timings.DEEP, "batch": 100}
    loop, once = (timings.times(rival, **deep) for rival in (timings.LOOP, timings.ONCE))
    measured = (
        f"100 images of a trained network of 2 x 500 units, one thread: {timings.sampling(**deep)['ms']:.0f} ms; a "
    )
    measured += f"bare loop of D unmasked passes takes {loop} times as long, a sampler by hand that computes each unit "
    measured += f"once {once} times"
    return measured, loop.low > 1 and once.low > 1


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
    verdict="Lower, on another draw of the pixels; the mixture is of sixteen networks, the paper's of one.",
    chapter=SCORES,
    heading="MNIST, two ways",
)
def binarized_mnist():
    one, many = best("drawn"), ensemble("drawn")
    lower = against(one, table("binarized_mnist", "one mask")), against(many, table("binarized_mnist", "many masks"))
    measured = (
        f"{one:.1f} with one mask, {many:.1f} as a mixture of sixteen networks (one seed, another draw of the pixels)"
    )
    return measured, all(difference.sign == 1 for difference in lower)


@claim(
    PAPER,
    f"A MADE with one mask scores {table('dna', 'one mask')} on DNA, {table('mushrooms', 'one mask')} on Mushrooms, "
    f"{table('nips', 'one mask')} on NIPS-0-12.",
    verdict="Lower on all three, with what chapter 12 adds to training.",
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
    f"NIPS {table('nips', 'one mask')} to {table('nips', 'many masks')}; Mushrooms "
    f"{table('mushrooms', 'one mask')} to {table('mushrooms', 'many masks')}).",
    verdict="Yes on DNA. On NIPS a little with 500 units, no difference seen with 100; on Mushrooms no difference seen "
    "with 500, a loss with 100.",
    chapter=ORDERS,
    heading="Measured: one mask or many?",
)
def many_masks():
    costs = ("mixture_costs", "costs")
    sets = ("dna", "nips", "mushrooms")
    small, large = ({data: masks(data, BOTH_32, ONE_MASK, costs, width=width) for data in sets} for width in (100, 500))
    measured = f"a mixture of 32 orders and masks minus one mask, settings chosen for each: 100 units, {each(small)}; "
    measured += f"500 units, {each(large)}"
    signs = [[difference.sign for difference in more.values()] for more in (small, large)]
    return measured, signs == [[-1, 0, 1], [-1, -1, 0]]


@claim(
    PAPER,
    "Averaging the probabilities of many masks improves on a single one of them.",
    verdict="Yes, as it must on average: that is Jensen's inequality. Measured is by how much.",
    chapter=ORDERS,
    heading="The one valid average",
)
def averaging():
    saved = {data: masks(data, ORDERS_32, ORDERS_32, costs=("costs", "mixture_costs")) for data in (*SETS, "mnist")}
    return f"saved by a mixture of 32 orders: {each(saved)}", all(found.sign == 1 for found in saved.values())


@claim(
    PAPER,
    "One network can be trained for every order at once.",
    verdict="Yes, on MNIST at a price.",
    chapter=ORDERS,
    heading="One network, any order",
)
def any_order():
    single = masks("mnist", FRESH_ORDERS, ONE_MASK)
    mixed = masks("mnist", FRESH_ORDERS, ONE_MASK, costs=("mixture_costs", "costs"))
    measured = (
        f"MNIST, 100 units, settings chosen for each, more than with one order: {single} in one pass, {mixed} as "
    )
    measured += "a mixture of 32"
    return measured, single.sign == mixed.sign == 1


# ---- claims of others ----------------------------------------------------------------------------------------------


@claim(
    OTHERS,
    "Several masks bring no gain in a single pass (a public implementation).",
    verdict="Not so on DNA, where 32 orders gain; elsewhere they cost.",
    chapter=ORDERS,
    heading="Measured: one mask or many?",
)
def no_gain():
    more = {data: masks(data, ORDERS_32, ONE_ORDER) for data in (*SETS, "mnist")}
    signs = {data: difference.sign for data, difference in more.items()}
    measured = f"32 orders minus one, 100 units, settings chosen for each: {each(more)}"
    return measured, signs == {"dna": -1, "nips": 1, "mushrooms": 1, "digits": 1, "mnist": 1}


@claim(
    PAPER,
    "Companion weights, by which a layer sees its mask, help.",
    verdict="Yes, in the paper's form.",
    chapter=ORDERS,
    heading="Measured: one mask or many?",
)
def companion_weights():
    saved = {data: masks(data, ORDERS_32, COMPANIONS) for data in SETS}
    measured = f"saved in a single pass of 32 orders, 100 units, settings chosen for each: {each(saved)}"
    return measured, all(found.sign == 1 for found in saved.values())


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


@claim(
    OTHERS,
    "Masked convolutions and causal attention took the place of MADE.",
    verdict="Not measured on large images or texts. On 1,197 small digits MADE is not behind: no difference to the "
    "transformer is seen, and the PixelCNN costs a little more.",
    chapter="11_where_masks_lead",
    heading="Side by side",
)
def relatives():
    kinds = {"PixelCNN": "PixelCNN", "CausalTransformer": "causal transformer"}
    differs = ["model", "sizes", "lr", "dropout"]
    more = {
        name: compare("relatives", {"model": kind}, {"model": "MADE"}, stage="final", differs=differs)
        for kind, name in kinds.items()
    }
    signs = [difference.sign for difference in more.values()]
    return f"more than MADE of like size, settings chosen for each: {each(more)} nats", signs == [1, 0]


@claim(
    OTHERS,
    "The bound that masked diffusion trains is the mean cost over all orders.",
    verdict="Yes, by enumeration of 24 orders and 16 sets of known variables.",
    chapter="11_where_masks_lead",
    heading="Any order, and masked diffusion",
)
def masked_diffusion():
    heading = "Any order, and masked diffusion"
    measured = "the mean over orders, the sum over sets and the integral over time are equal for every row"
    return measured, asserted("11_where_masks_lead", heading)
