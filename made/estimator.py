"""A table in, densities out: MADE as a scikit-learn density estimator and outlier detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from made.ensemble import impute, marginal_log_prob, prefix_log_prob
from made.likelihoods import Bernoulli, Categorical, Columns, Likelihood, MixtureOfGaussians
from made.model import MADE
from made.training import fit

__all__ = ["Column", "Known", "MADEDensity"]

_KINDS = ("auto", "binary", "categorical", "real")


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
        columns_: for every column of the table a :class:`Column`: how it becomes a variable, and back.
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
        self.hidden = hidden
        self.kinds = kinds
        self.n_components = n_components
        self.n_masks = n_masks
        self.residual = residual
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.contamination = contamination
        self.random_state = random_state

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
        self.columns_ = self._fit_columns(rows, missing)
        generator = self._generator()
        seed = generator.initial_seed()
        model = MADE(
            len(self.columns_),
            self.hidden,
            likelihood=Columns([column.likelihood(self.n_components) for column in self.columns_]),
            order="natural" if self.n_masks == 1 else "random",
            n_masks=self.n_masks,
            residual=self.residual,
            dropout=self.dropout,
            seed=seed,
        )
        x = self._encode(rows, missing).to(torch.get_default_dtype())
        x = x[torch.randperm(len(rows), generator=generator)]
        n_valid = int(self.validation_fraction * len(x))
        self.history_ = fit(
            Known(model) if missing.any() else model,
            x[n_valid:],
            x[:n_valid] if n_valid else None,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            patience=self.patience,
            seed=seed,
            progress=False,
        )
        self.model_ = model.double()
        self.offset_ = np.percentile(self.score_samples(X), 100 * self.contamination)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of each row in nats, in the units of X: shape (N,)."""
        x = self._encode(*self._check(X))
        with torch.no_grad():
            log_prob = torch.cat([marginal_log_prob(self.model_, batch) for batch in x.split(10_000)])
        log_scales = np.array([column.log_scale for column in self.columns_])
        return log_prob.numpy() - ~np.isnan(x.numpy()) @ log_scales

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

    def _fit_columns(self, rows: np.ndarray, missing: np.ndarray) -> list[Column]:
        """Decide what every column is, and how its values become those of a variable."""
        D = rows.shape[1]
        kinds = [self.kinds] * D if isinstance(self.kinds, str) else list(self.kinds)
        if len(kinds) != D or not set(kinds) <= set(_KINDS):
            raise ValueError(f"kinds must be one of {_KINDS}, or one for each of {D} columns, got {self.kinds!r}")
        columns = []
        for i, kind in enumerate(kinds):
            values = rows[~missing[:, i]][:, [i]]
            if not len(values):
                raise ValueError(f"{self._name(i)} must hold at least one value, got only missing ones")
            dtype = None if self.frame_ is None else self.frame_.dtypes.iloc[i]
            column = Column.fit(values, kind, dtype)
            if kind == "binary" and column.n_categories > 2:
                raise ValueError(f"{self._name(i)} must hold two values to be binary, got {column.n_categories}")
            columns.append(column)
        return columns

    def _encode(self, rows: np.ndarray, missing: np.ndarray) -> Tensor:
        """Rows of the table to rows of the model, NaN where a value is missing."""
        check_is_fitted(self)
        x = np.hstack([column.coder.transform(rows[:, [i]]) for i, column in enumerate(self.columns_)]).astype(float)
        for row, i in np.argwhere(np.isnan(x) & ~missing):
            raise ValueError(f"{self._name(i)} must hold values known from fit, got {rows[row, i]!r}")
        return torch.from_numpy(x)

    def _decode(self, x: Tensor) -> np.ndarray:
        """Rows of the model to rows of the table."""
        variables = np.hsplit(x.numpy(), x.shape[1])
        return np.hstack([column.decode(z) for column, z in zip(self.columns_, variables, strict=True)])

    def _table(self, rows: np.ndarray, index: Any = None) -> Any:
        """Rows as a table of the form that ``fit`` was given."""
        if self.frame_ is None:
            return rows
        table = type(self.frame_)(rows, index, self.frame_.columns)
        dtypes = {}
        for (name, dtype), column in zip(self.frame_.dtypes.items(), self.columns_, strict=True):
            dtypes[name] = dtype if column.n_categories else float
        return table.astype(dtypes)


@dataclass(frozen=True)
class Column:
    """A column of a table as a variable of a model.

    Attributes:
        coder: what turns values, shape (N, 1), into numbers: a StandardScaler, or an OrdinalEncoder.
        n_categories: number of categories, 0 if the column is real.

    Example:
        >>> column = Column.fit(np.array([["red"], ["blue"], ["red"]], dtype=object), "auto")
        >>> column.n_categories, column.likelihood(n_components=5)
        (2, Bernoulli())
        >>> column.decode(np.array([[0.0], [1.0]])).tolist()
        [['blue'], ['red']]
    """

    coder: StandardScaler | OrdinalEncoder
    n_categories: int

    @classmethod
    def fit(cls, values: np.ndarray, kind: str, dtype: Any = None) -> Column:
        """Decide what a column is.

        Args:
            values: what is known of it, shape (N, 1).
            kind: "auto", "binary", "categorical" or "real".
            dtype: of the column in a DataFrame; a category dtype names the categories.
        """
        numbers = np.asarray(values[:, 0].tolist())  # an array of numbers if all objects are numbers
        binary = numbers.dtype.kind in "biuf" and np.isin(numbers, (0, 1)).all()
        real = numbers.dtype.kind in "iuf" and not binary and str(dtype) not in ("object", "category")
        if kind == "real" or (kind == "auto" and real):
            return cls(StandardScaler().fit(values), 0)
        categories: Any = "auto"
        if hasattr(dtype, "categories"):
            categories = [dtype.categories.tolist()]
        elif binary:
            categories = [np.array([0, 1], numbers.dtype).tolist()]
        coder = OrdinalEncoder(categories=categories, handle_unknown="use_encoded_value", unknown_value=np.nan)
        coder.fit(values)
        return cls(coder, len(coder.categories_[0]))

    def likelihood(self, n_components: int) -> Likelihood:
        """What a variable that stands for this column is to be modelled by."""
        if not self.n_categories:
            return MixtureOfGaussians(n_components)
        return Categorical(self.n_categories) if self.n_categories > 2 else Bernoulli()

    @property
    def log_scale(self) -> float:
        """Logarithm of what a real value was divided by; 0 for categories."""
        return 0.0 if self.n_categories else float(np.log(self.coder.scale_[0]))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """From values of the variable, shape (N, 1), to those of the column."""
        if not self.n_categories:
            return self.coder.inverse_transform(z)
        # a column with a single category is a Bernoulli variable, which may still draw another
        return self.coder.categories_[0][z.clip(max=self.n_categories - 1).astype(int)]


class Known(nn.Module):
    """A MADE that learns from rows with gaps: its loss is that of what a row holds before its first gap.

    The order of a training step ends with what the first row of the batch lacks. The rows are shuffled, so every
    pattern has its turn, and the more often the more frequent it is. In validation every row has its own order.

    Args:
        model: an order-agnostic MADE.

    Example:
        >>> module = Known(MADE(3, order="random", n_masks=None))
        >>> module.loss(torch.tensor([[float("nan"), 1.0, 0.0]])).shape
        torch.Size([])
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
        return -prefix_log_prob(self.model.under(present.reordered(order)), x).mean()
