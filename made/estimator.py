"""A table in, densities out: MADE as a scikit-learn density estimator and outlier detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from made.ensemble import impute, marginal_log_prob, prefix_log_prob, using
from made.likelihoods import Bernoulli, Categorical, Columns, MixtureOfGaussians
from made.model import MADE
from made.training import fit

__all__ = ["MADEDensity"]

KINDS = ("auto", "binary", "categorical", "real")


class MADEDensity(OutlierMixin, BaseEstimator):
    r"""Density of the rows of a table whose columns are real, binary or categorical, by a MADE.

    .. math:: \log p(x) = \log p_{\text{MADE}}(z) - \sum_{i \text{ real}} \log s_i, \qquad z_i = (x_i - m_i) / s_i

    Real columns are standardised to z, and the densities are those of x in its own units. Categories are numbered.
    An order-agnostic model (``n_masks=None``) also takes rows with missing values: NaN, None or pandas' NA. It learns
    from what each row holds, without filling anything in, and scores a row by the marginal of what is known of it.
    Such scores are of fewer variables, hence not comparable with those of complete rows.

    Args:
        hidden: widths of the hidden layers.
        kinds: "auto", "binary", "categorical" or "real", for all columns or a list of them. "auto" takes numbers as
            real, but numbers that are all 0 or 1 as binary, and anything else (a pandas column of dtype object or
            category in any case) as categorical. A pandas category dtype says which categories there are, seen or not.
        n_components: number of Gaussians in the conditional of a real variable.
        n_masks: 1 trains one model with the order of the columns; None, or a number, trains under random orders.
        residual: every hidden layer after the first adds to the one before it.
        dropout: probability that a hidden unit is dropped in training.
        epochs: the most passes over the training rows.
        batch_size: rows per step.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        validation_fraction: share of the rows, in [0, 1), that is set aside to stop early; 0 for no early stopping.
        patience: stop after this many epochs without a lower validation loss.
        contamination: share of the training rows, in (0, 0.5], to call outliers.
        random_state: an int for the same result at every call, of ``sample`` and ``impute`` too; a RandomState to go
            on drawing from; None for something new every time. No global generator is used.

    Attributes:
        model_: the trained MADE, in double precision; its variables are the columns, standardised or numbered.
        encoders_: for every column the StandardScaler or OrdinalEncoder that makes it a variable.
        sizes_: for every column the number of its categories, 0 if it is real.
        history_: losses of the training, in nats per row of variables.
        offset_: the score below which a row is an outlier.
        frame_: the DataFrame in ``fit`` without its rows, or None for an array.
        n_features_in_: number of columns.
        feature_names_in_: their names, if the table had names.

    Raises:
        ValueError: a parameter is out of range, or X has missing values and the model one order, a value not seen in
            ``fit``, an infinite value, or a column with no value at all; the message names it.

    Example:
        >>> X = np.random.RandomState(0).normal([170.0, 70.0], [8.0, 12.0], (200, 2))
        >>> density = MADEDensity(hidden=(16,), n_components=1, epochs=20, random_state=0).fit(X)
        >>> density.predict([[170.0, 70.0], [170.0, 200.0]])
        array([ 1, -1])
        >>> density.sample(3).shape
        (3, 2)
    """

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        *,
        kinds: str | Sequence[str] = "auto",
        n_components: int = 5,
        n_masks: int | None = 1,
        residual: bool = False,
        dropout: float = 0.0,
        epochs: int = 200,
        batch_size: int = 100,
        lr: float = 3e-3,
        weight_decay: float = 0.0,
        validation_fraction: float = 0.1,
        patience: int = 20,
        contamination: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden, self.kinds, self.n_components, self.n_masks = hidden, kinds, n_components, n_masks
        self.residual, self.dropout, self.epochs, self.batch_size = residual, dropout, epochs, batch_size
        self.lr, self.weight_decay, self.validation_fraction = lr, weight_decay, validation_fraction
        self.patience, self.contamination, self.random_state = patience, contamination, random_state

    def __sklearn_tags__(self) -> Any:
        """Whether missing values are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.n_masks != 1
        return tags

    def fit(self, X: Any, y: Any = None) -> MADEDensity:
        """Learn the density of the rows of X, a DataFrame or an array (N, D); y is ignored."""
        if not (0 < self.contamination <= 0.5 and 0 <= self.validation_fraction < 1):
            got = f"got {self.contamination!r} and {self.validation_fraction!r}"
            raise ValueError(f"contamination must be in (0, 0.5] and validation_fraction in [0, 1), {got}")
        rows, missing = self._check(X, reset=True)
        self.frame_ = X.iloc[:0] if hasattr(X, "iloc") else None
        self._fit_encoders(rows, missing)
        choose = lambda k: Categorical(k) if k > 2 else Bernoulli() if k else MixtureOfGaussians(self.n_components)
        pick = lambda *names: {name: getattr(self, name) for name in names}
        generator = self._generator()
        options = pick("n_masks", "residual", "dropout") | {"seed": generator.initial_seed()}
        options["order"] = "natural" if self.n_masks == 1 else "random"
        model = MADE(len(self.sizes_), self.hidden, likelihood=Columns([choose(k) for k in self.sizes_]), **options)
        x = self._encode(rows, missing).to(torch.get_default_dtype())[torch.randperm(len(rows), generator=generator)]
        n_valid = int(self.validation_fraction * len(x))
        options = pick("epochs", "batch_size", "lr", "weight_decay", "patience") | {"seed": options["seed"]}
        trained, valid = Known(model) if missing.any() else model, x[:n_valid] if n_valid else None
        self.history_ = fit(trained, x[n_valid:], valid, **options, progress=False)
        self.model_ = model.double()
        self.offset_ = np.percentile(self.score_samples(X), 100 * self.contamination)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of each row in nats, in the units of X: shape (N,)."""
        x = self._encode(*self._check(X))
        with torch.no_grad():
            log_prob = torch.cat([marginal_log_prob(self.model_, batch) for batch in x.split(10_000)])
        log_scales = [0 if k else np.log(e.scale_[0]) for k, e in zip(self.sizes_, self.encoders_, strict=True)]
        return log_prob.numpy() - ~np.isnan(x.numpy()) @ np.array(log_scales)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows in nats; y is ignored."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-density above the one that separates outliers: negative for outliers, shape (N,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """1 for each row, -1 for an outlier: shape (N,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def sample(self, n_samples: int = 1) -> Any:
        """Draw rows: a table like the one in ``fit``, in which real columns are floats."""
        check_is_fitted(self)
        return self._table(self._decode(self.model_.sample(n_samples, generator=self._generator())))

    def impute(self, X: Any) -> Any:
        """Fill in what is missing with one draw from its conditional given all that is known of the row.

        The draws of different rows are independent: repeat a row in X to complete it several times.
        """
        rows, missing = self._check(X)
        drawn = self._decode(impute(self.model_, self._encode(rows, missing), generator=self._generator())[0])
        return self._table(np.where(missing, drawn, rows), X.index if hasattr(X, "iloc") else None)

    def _generator(self) -> torch.Generator:
        """A generator that follows from ``random_state``."""
        fresh = np.random.default_rng().integers(2**31)
        state = check_random_state(fresh if self.random_state is None else self.random_state)
        return torch.Generator().manual_seed(int(state.randint(2**31 - 1)))

    def _check(self, X: Any, reset: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Rows as an array, of objects if X is a DataFrame, and what is missing in them."""
        if hasattr(X, "iloc"):
            X = X.astype(object).where(X.notna(), np.nan)
        rows = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        missing = (rows != rows) | (rows == None)  # noqa: E711
        if missing.any() and self.n_masks == 1:
            raise ValueError("X contains NaN, which needs a model that knows many orders: set n_masks=None")
        return rows, missing

    def _name(self, i: int) -> str:
        """A column by its name or number, for messages."""
        return f"column {getattr(self, 'feature_names_in_', range(self.n_features_in_))[i]!r}"

    def _fit_encoders(self, rows: np.ndarray, missing: np.ndarray) -> None:
        """Decide what every column is, and how its values become those of a variable."""
        D = rows.shape[1]
        kinds = [self.kinds] * D if isinstance(self.kinds, str) else list(self.kinds)
        if len(kinds) != D or not set(kinds) <= set(KINDS):
            raise ValueError(f"kinds must be one of {KINDS}, or one for each of {D} columns, got {self.kinds!r}")
        self.encoders_, self.sizes_ = [], []
        unseen = {"handle_unknown": "use_encoded_value", "unknown_value": np.nan}
        for i, kind in enumerate(kinds):
            column = rows[~missing[:, i]][:, [i]]
            if not len(column):
                raise ValueError(f"{self._name(i)} must hold at least one value, got only missing ones")
            dtype = None if self.frame_ is None else self.frame_.dtypes.iloc[i]
            values = np.asarray(column[:, 0].tolist())  # numbers if all objects are numbers
            binary = values.dtype.kind in "biuf" and np.isin(values, (0, 1)).all()
            number = values.dtype.kind in "iuf" and not binary and str(dtype) not in ("object", "category")
            support = getattr(dtype, "categories", np.array([0, 1], values.dtype) if binary else "auto")
            coder = OrdinalEncoder(categories=support if isinstance(support, str) else [support.tolist()], **unseen)
            real = kind == "real" or (kind == "auto" and number)
            self.encoders_.append((StandardScaler() if real else coder).fit(column))
            self.sizes_.append(0 if real else len(coder.categories_[0]))
            if kind == "binary" and self.sizes_[i] > 2:
                raise ValueError(f"{self._name(i)} must hold two values to be binary, got {self.sizes_[i]}")

    def _encode(self, rows: np.ndarray, missing: np.ndarray) -> Tensor:
        """Rows of the table to rows of the model, NaN where a value is missing."""
        check_is_fitted(self)
        x = np.hstack([e.transform(rows[:, [i]]) for i, e in enumerate(self.encoders_)]).astype(float)
        for row, i in np.argwhere(np.isnan(x) & ~missing):
            raise ValueError(f"{self._name(i)} must hold values known from fit, got {rows[row, i]!r}")
        return torch.from_numpy(x)

    def _decode(self, x: Tensor) -> np.ndarray:
        """Rows of the model to rows of the table."""
        # a column with a single category is a Bernoulli variable, which may still draw another
        look_up = lambda e, k, v: e.categories_[0][v.clip(max=k - 1).astype(int)] if k else e.inverse_transform(v)
        parts = zip(self.encoders_, self.sizes_, np.hsplit(x.numpy(), x.shape[1]), strict=True)
        return np.hstack([look_up(*part) for part in parts])

    def _table(self, rows: np.ndarray, index: Any = None) -> Any:
        """Rows as a table of the form that ``fit`` was given."""
        if self.frame_ is None:
            return rows
        dtypes = zip(self.frame_.dtypes.items(), self.sizes_, strict=True)
        frame = type(self.frame_)(rows, index, self.frame_.columns)
        return frame.astype({name: dtype if k else float for (name, dtype), k in dtypes})


class Known(nn.Module):
    """A MADE that learns from rows with gaps: its loss is that of what a row holds before its first gap.

    The order of a training step ends with what the first row of the batch lacks. The rows are shuffled, so every
    pattern has its turn, and the more often the more frequent it is. In validation every row has its own order.
    """

    def __init__(self, model: MADE) -> None:
        super().__init__()
        self.model = model

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood, exact for what is known; nothing is filled in."""
        if not self.training:
            return -marginal_log_prob(self.model, x).mean()
        present = self.model.connectivity
        order = present.order[x[0].isnan()[present.order].int().argsort(stable=True)]
        with using(self.model, present.reordered(order)):
            return -prefix_log_prob(self.model, x).mean()
