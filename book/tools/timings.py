"""Times from the benchmark's record, ``speed.json``. Sampling is told of trained networks only: others are refused.

An untrained network is the best case of a sampler that guesses: its conditionals hardly depend on what was drawn.
Sentences with numbers of speed are written here, once. `python book/tools/timings.py` brings the README up to date.
"""

import re
from textwrap import fill
from typing import NamedTuple

import chapters
from evidence import NotCarried
from results import only, result, select

PACKAGES = ("zuko", "nflows", "normflows", "pyro")
NATURAL, RANDOM, DEEP = "1 x 500, natural order", "1 x 500, random order", "2 x 500, natural order"
SAMPLERS = ("sampling", "completion")
LOOP, ONCE, FLOOR = "a bare loop of D unmasked passes", "each unit once, by hand", "one forward pass"

README = chapters.BOOK.parent / "README.md"
BLOCK = re.compile(r"(<!-- speed: .*? -->\n).*?(<!-- end of speed -->)", re.S)


class Ratio(NamedTuple):
    """How many times longer one takes than another: the median over rounds, and quartiles.

    >>> print(Ratio(218.4, 190.0, 248.1), Ratio(2.02, 1.9, 2.1), Ratio(0.898, 0.8, 1.02))
    220 2.0 0.90
    """

    median: float
    low: float
    high: float

    def __str__(self):
        if self.median < 10:
            return f"{self.median:.{1 if self.median >= 1 else 2}f}"
        return f"{float(f'{self.median:.2g}'):.0f}"


def section(name):
    """Rows of a section of the record; those of samplers only by :func:`sampling` and :func:`times`."""
    if name in SAMPLERS:
        raise NotCarried(f"times of {name} are told by timings.sampling and timings.times")
    return _section(name)["rows"]


def _section(name):
    return result("speed")["sections"][name]


def conditions(name):
    """On what a section was measured: processor, threads, versions."""
    machine, versions = _section(name)["machine"], _section(name)["versions"]
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    return f"{machine['cpu']}, {threads}; " + ", ".join(f"{package} {version}" for package, version in versions.items())


def sampling(contender="made", *, network=NATURAL, batch=100, task="sampling"):
    """The row of a contender that draws from a trained network; NotCarried if the network was not trained."""
    row = only(_section(task)["rows"], network=network, batch=batch, contender=contender)
    if not row["trained"]:
        raise NotCarried(f"{contender}: an untrained network is the best case, so no time of it is told: {network}")
    return row


def times(rival, *, network=NATURAL, batch=100, task="sampling"):
    """How many times longer a rival takes than made to draw from the same trained network."""
    row = sampling(rival, network=network, batch=batch, task=task)
    sampling("made", network=network, batch=batch, task=task)
    return Ratio(row["times_made"], row["times_low"], row["times_high"])


def made(name, suffix="", **fields):
    """The row of made in a section of the record; made always trains with the fused optimizer."""
    return only(section(name), contender="made", **fields)


def fastest(name, suffix="", **fields):
    """The fastest of the packages in a section of the record; a row."""
    names = [package + suffix for package in PACKAGES]
    rows = [row for row in select(_section(name)["rows"], **fields) if row["contender"] in names]
    return min(rows, key=lambda row: row["ms"])


def against_packages(name, suffix="", **fields):
    """How many times longer the fastest of the packages takes than made."""
    row = fastest(name, suffix, **fields)
    return Ratio(row["times_made"], row["times_low"], row["times_high"])


def of_packages(*, network=NATURAL, batch=100, task="sampling"):
    """How many times longer the fastest of the packages takes than made to draw from the same trained network."""
    return times(fastest(task, network=network, batch=batch)["contender"], network=network, batch=batch, task=task)


def told_of_sampling():
    """What pages say of the time to sample."""
    rivals = {
        batch: (times(LOOP, batch=batch), of_packages(batch=batch), times(ONCE, batch=batch)) for batch in (1, 100)
    }
    if not all(ratio.low > 1 for ratios in rivals.values() for ratio in ratios):
        raise NotCarried("a rival that is told to be slower is not")
    (loop, packages, once), (loop_1, packages_1, once_1) = rivals[100], rivals[1]
    return (
        "It draws 100 images of 784 pixels together, from the trained network that ships with the book (natural order, "
        f"one hidden layer of 500 units, one thread), {loop} times as fast as a bare loop of 784 unmasked passes, "
        f"{packages} times as fast as the fastest package, and {once} times as fast as a sampler written by hand that "
        f"takes 784 steps and computes each unit once. For one image it is {loop_1}, {packages_1} and {once_1} times."
    )


def told_of_training():
    """What pages say of the time to train and to score."""
    steps = [against_packages("step", ", fused", hidden=hidden) for hidden in ([500], [500, 500], [2000, 2000])]
    hundred, one = (against_packages("log_prob", batch=batch) for batch in (100, 1))
    return (
        "A training step on 100 such rows (one thread, fused Adam for all, no direct connections) is "
        f"{steps[0]} times as fast as that of the fastest package with one hidden layer of 500 units, {steps[1]} times "
        f"with two, and {steps[2]} times with two of 2000. Scoring with two layers of 500 is {hundred} times as fast "
        f"for 100 rows, {one} times for one: below 1 is slower."
    )


def with_speed(text):
    """The text of the README with what it says of speed brought up to date."""
    told = "\n\n".join(
        fill(sentence, 120, break_on_hyphens=False) for sentence in (told_of_sampling(), told_of_training())
    )
    return BLOCK.sub(lambda match: f"{match[1]}\n{told}\n\n{match[2]}", text)


if __name__ == "__main__":
    README.write_text(with_speed(README.read_text()))
