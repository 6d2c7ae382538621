"""Read what we measured and what others report: rows of the files in ``book/results``, selected by their fields.

A verdict does not rest on these numbers as they are: see ``evidence.py``.
"""

import json
from functools import cache
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results"


@cache
def result(name):
    """A result file, parsed."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def select(rows, /, **fields):
    """The rows that have these fields.

    >>> select([{"data": "dna", "seed": 0}, {"data": "nips", "seed": 0}], data="nips")
    [{'data': 'nips', 'seed': 0}]
    """
    return [row for row in rows if fields.items() <= row.items()]


def only(rows, /, **fields):
    """The one row that has these fields; a ValueError where none has, or several have."""
    found = select(rows, **fields)
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows have the fields {fields}, expected one")
    return found[0]


def reported(source, /, **fields):
    """The number that a source reports, from ``reported.json``.

    >>> reported("keng_draft", direct=False)
    150
    """
    return only(result("reported")["rows"], source=source, **fields)["value"]
