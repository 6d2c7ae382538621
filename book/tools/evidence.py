"""What a verdict may rest on: rows of result files that carry it. What does not carry it is refused.

Three things are refused. A row whose training was ended by a limit, as its score was still to change. A comparison of
rows that differ in more than it names. A sign that the errors do not carry: it is 0, "no difference seen".
"""

import math
from functools import cache
from typing import NamedTuple

import numpy
import results
from results import result, select

# How a training ends by itself: "patience", by a "schedule" whose length the validation rows chose, when it has
# "converged", or "exact", as nothing is trained. Whatever else ended it ("epochs", "budget", ...) was a limit.
ENDS = ("patience", "schedule", "converged", "exact")


class NotCarried(ValueError):
    """Evidence that does not carry the verdict that was to rest on it."""


def reasons(found):
    """Why each training of a row ended, at any depth.

    >>> list(reasons({"stopped": "patience", "parts": [{"stopped": "epochs"}]}))
    ['patience', 'epochs']
    """
    if isinstance(found, dict):
        for name, part in found.items():
            if name == "stopped":
                yield from part if isinstance(part, list) else [part]
            elif isinstance(part, (dict, list)):
                yield from reasons(part)
    elif isinstance(found, list):
        for part in found:
            yield from reasons(part)


def require_ended(rows):
    """The rows; NotCarried where one does not say why its training ended, or says that a limit ended it."""
    for row in rows:
        why = list(reasons(row))
        bad = [reason for reason in why if reason not in ENDS]
        if not why or bad:
            name = {key: value for key, value in row.items() if not isinstance(value, (dict, list, float))}
            said = f"ended by {bad[0]!r}" if bad and bad[0] else "does not say why it ended"
            raise NotCarried(f"a training {said}, so no verdict may read it: {name}")
    return rows


def settled(history):
    """The history of a training that ended because the validation score had stopped improving; else NotCarried."""
    require_ended([{"stopped": history.stopped, "epochs": len(history.train)}])
    return history


def _rows(name, fields):
    document = result(name)
    found = select(document.get("runs", document.get("rows")), **_plain(fields))
    if not found:
        raise ValueError(f"{name}.json has no row with the fields {fields}")
    return found


def _plain(fields):
    """Fields as they come back from a file."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def runs(name, /, **fields):
    """Rows of a result file; NotCarried if the training of one was ended by a limit."""
    return require_ended(_rows(name, fields))


read_unsettled = []  # the files that `unsettled` has read: whoever writes a verdict may look


def unsettled(name, /, **fields):
    """Rows of a result file, however they ended: for what is told as not settled."""
    read_unsettled.append(name)
    return _rows(name, fields)


class Score(NamedTuple("Score", [("nats", float), ("stderr", float), ("seeds", int)])):
    """A mean cost over seeds and test rows. Scores are printed, never compared: that needs ``compare``.

    >>> f"{Score(18.25, 0.2, 5):.1f}"
    '18.2'
    >>> Score(18.2, 0.2, 5) < Score(19.2, 0.2, 5)
    Traceback (most recent call last):
    evidence.NotCarried: scores are not compared by themselves: use compare, which knows the paired error
    """

    def __format__(self, spec):
        return format(self.nats, spec)

    def _refuse(self, other):
        raise NotCarried("scores are not compared by themselves: use compare, which knows the paired error")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __sub__ = _refuse
    __hash__ = None


def error_of_mean(values):
    """The standard error of the mean of independent values; 0 where there is one value, which tells nothing of it.

    >>> error_of_mean([1.0, 3.0]), error_of_mean([5.0])
    (1.0, 0.0)
    """
    return float(numpy.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def score(name, /, which="test", **fields):
    """Mean of a score over all runs with these fields, which are to differ in their seeds only."""
    found = runs(name, **fields)
    _one_per_seed(name, found)
    settings = [{**(row.get("setting") or {}), "seed": 0} for row in found]
    if mixed := {key for one in settings for key in one.keys() | settings[0] if one.get(key) != settings[0].get(key)}:
        raise NotCarried(f"{name}: runs of one side differ in more than their seeds: {', '.join(sorted(mixed))}")
    means, errors = ([row[which][part] for row in found] for part in ("mean", "stderr"))
    return Score(float(numpy.mean(means)), math.hypot(numpy.mean(errors), error_of_mean(means)), len(found))


class Difference(NamedTuple):
    """A mean difference in nats with its error, that of every seed, and the settings that differ.

    >>> str(Difference(5.08, 0.12, (5.0, 5.1), ("direct",)))
    '5.08 ± 0.12 (2 seeds)'
    """

    mean: float
    stderr: float
    seeds: tuple[float, ...]
    differs: tuple[str, ...] = ()

    @property
    def sign(self):
        """1 or -1 if the error carries it (twice the error, and every seed agrees), else 0.

        >>> Difference(0.3, 0.2, (0.2, 0.4)).sign, Difference(-0.5, 0.2, (-0.6, -0.4)).sign
        (0, -1)
        >>> Difference(0.5, 0.2, (1.2, -0.2)).sign  # the seeds do not agree
        0
        """
        sign = int(numpy.sign(self.mean))
        agree = all(numpy.sign(each) == sign for each in self.seeds)
        return sign if agree and abs(self.mean) > 2 * self.stderr else 0

    def __str__(self):
        return f"{self.mean:.2f} ± {self.stderr:.2f} ({self.count})"

    @property
    def count(self):
        """How many seeds, in words."""
        return "one seed" if len(self.seeds) == 1 else f"{len(self.seeds)} seeds"


def compare(name, first, second, *, differs, contains=False, costs="costs", **same):
    """How much more the runs with the fields ``first`` cost than those with the fields ``second``, in nats.

    Runs are paired by seed, test rows by their number; see ``paired``.

    Args:
        name: the result file.
        first, second: fields of the two sides; ``same`` are fields that both have.
        differs: names of all settings that differ.
        contains: the second network contains the first, so it may not be worse on training rows.
        costs: which costs of the rows, one name or one for each side.

    Raises:
        NotCarried: a run was ended by a limit, more differs than is named, or the network that contains the other is
            worse on training rows.
    """
    sides = [_one_per_seed(name, runs(name, **{**same, **side})) for side in (first, second)]
    if sides[0].keys() != sides[1].keys():
        raise NotCarried(f"{name}: the seeds differ, {sorted(sides[0])} and {sorted(sides[1])}")
    seeds = sorted(sides[0])
    found = _differing(sides, seeds)
    costs = (costs, costs) if isinstance(costs, str) else costs
    found += ("costs",) if costs[0] != costs[1] else ()
    if not set(found) <= set(differs):
        unnamed = ", ".join(sorted(set(found) - set(differs)))
        raise NotCarried(f"{name}: {first} and {second} differ in more than is named: {unnamed}")
    if contains:
        _require_nested([[side[seed] for seed in seeds] for side in sides])
    for told in result(name).get("violations", ()):
        for pair in (sides, sides[::-1]):
            kinds = zip((told["smaller"], told["larger"]), pair, strict=True)
            if all(select(side.values(), **fields) for fields, side in kinds):
                raise NotCarried(f"{name}: the network that contains the other is worse on training rows: {told}")
    of_rows = [[costs_of(name, side[seed], which) for seed in seeds] for side, which in zip(sides, costs, strict=True)]
    for side in of_rows:
        if len({one.tobytes() for one in side}) < len(side):
            raise NotCarried(f"{name}: two seeds have the same costs: the seed changed nothing, so they are one")
    return paired(*of_rows, found)


def paired(first, second, differs=()):
    """How much more the first costs than the second, row by row: costs of the same rows, one list of them per seed.

    The error is that of the mean over rows and that over seeds.

    >>> str(paired([[3.0, 4.0, 5.0]], [[1.0, 2.0, 2.0]]))
    '2.33 ± 0.33 (one seed)'
    """
    d = numpy.stack([numpy.asarray(a, float) - numpy.asarray(b, float) for a, b in zip(first, second, strict=True)])
    if any(numpy.shape(a) != numpy.shape(b) for a, b in zip(first, second, strict=True)):
        raise NotCarried("costs of other rows, or of another number of them, are not paired")
    over_rows, over_seeds = error_of_mean(d.mean(0)), error_of_mean(d.mean(1))
    means = tuple(round(float(mean), 4) for mean in d.mean(1))
    return Difference(float(d.mean()), float(math.hypot(over_rows, over_seeds)), means, differs)


def against(found, other):
    """How much lower a score is than one on other rows, or than a number that others report; a Difference.

    Rows are not paired, so both errors count in full; that of a reported number is not known and taken to be ours.

    >>> str(against(Score(30.0, 0.4, 3), 33.8)), against(Score(30.0, 0.4, 3), 30.7).sign
    ('3.80 ± 0.57 (3 seeds)', 0)
    """
    nats, stderr = (other.nats, other.stderr) if isinstance(other, Score) else (other, found.stderr)
    lower = nats - found.nats
    return Difference(lower, math.hypot(found.stderr, stderr), (lower,) * found.seeds, ("rows",))


def recorded(rows, *path):
    """A Difference from paired ones that runs have recorded: a mean and an error over rows for each, under ``path``."""
    found = require_ended(rows)
    for key in path:
        found = [part[key] for part in found]
    means = tuple(part["mean"] for part in found)
    over_rows = numpy.mean([part["stderr"] for part in found])
    return Difference(float(numpy.mean(means)), math.hypot(over_rows, error_of_mean(means)), means)


def _one_per_seed(name, found):
    """The runs by their seed."""
    by_seed = {row.get("seed", 0): row for row in found}
    if len(by_seed) != len(found):
        raise ValueError(f"{name}: several runs have the same seed: name more fields")
    return by_seed


def _differing(sides, seeds):
    """Names of the settings, seeds apart, in which any pair differs."""
    names = set()
    for seed in seeds:
        first, second = (side[seed].get("setting") for side in sides)
        if first is None or second is None:
            raise NotCarried(f"a run does not say with which setting it was made: seed {seed}")
        names |= {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}
    return tuple(sorted(names - {"seed"}))


def nested(smaller, larger):
    """How much worse on training rows the networks are that contain the others, in nats; a Difference over seeds."""
    d = numpy.array([b["lowest_train"] - a["lowest_train"] for a, b in zip(smaller, larger, strict=True)])
    return Difference(float(d.mean()), error_of_mean(d), tuple(d.tolist()))


def _require_nested(sides):
    worse = nested(*sides)
    if worse.sign > 0:
        raise NotCarried(f"the network that contains the other is worse on training rows by {worse}")


@cache
def _stored(name):
    with numpy.load(results.RESULTS / f"{name}_rows.npz") as stored:
        return dict(stored)


def costs_of(name, row, which="costs"):
    """What every test row cost in a run, in nats, as float64."""
    try:
        found = _stored(name)[f"{which}_{row['run']}"].astype(numpy.float64)
    except KeyError:
        raise NotCarried(f"{name}: a run has no {which} of its test rows, so no paired error") from None
    if not numpy.isfinite(found).all():
        raise NotCarried(f"{name}: {which} of a run are not finite, or too large for the file")
    return found
