"""MNIST rounded to 0 and 1, as in the post: how far a larger network gets, and an ensemble of orders.

    python book/experiments/rounded.py          16 minutes when recorded, on one core
    python book/experiments/rounded.py --toy    a few seconds, into a temporary folder: only proves that it runs

The procedure is that of ``drawn.py``, with other pixels, a single setting and two orders.
"""

import drawn
import run
import torch
from drawn import jobs, measure

EXPECTED = "16 minutes"
CONFIG = {
    **drawn.CONFIG,
    "binarize": "threshold",
    "settings": drawn.CONFIG["settings"][:1],
    "orders": drawn.CONFIG["orders"][:2],
}
TOY = {**drawn.TOY, "binarize": "threshold"}

if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("rounded", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
