"""Training: a loop that a chapter prints, and behind it what makes long runs robust and fast.

``loop`` holds :func:`fit`, ``evaluation`` what measures a model on rows. They stand on ``run`` (the state of a run,
which a checkpoint holds), ``options`` (what a user may choose), ``batches``, ``checkpoint``, ``parallel``, ``progress``
and ``strips``, each with one job.
"""

from made.training.evaluation import Estimate, mean_loss, nll
from made.training.loop import fit
from made.training.run import History, TakesTurns
from made.training.strips import kept_masked

__all__ = ["Estimate", "History", "TakesTurns", "fit", "kept_masked", "mean_loss", "nll"]
