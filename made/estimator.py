"""A table in, answers out: MADE as a scikit-learn density estimator and outlier detector for any table."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from made.checks import integer
from made.ensemble import Ensemble, impute, marginal_log_prob, members_of
from made.likelihoods import log_normal
from made.model import MADE
from made.queries import Disagreement, conditional, disagreement
from made.tables import Column, Rows, Table, Values
from made.training import fit

__all__ = ["Column", "Known", "MADEDensity", "Question", "Settings"]

_BATCH = 10_000  # rows, or states of rows, that are scored at a time
_MOST_STATES = 10_000  # combinations of the levels of several targets
_QUANTILES = 20  # of every Gaussian, for the mean of a real target
_MANY_ORDERS = "a model that knows many orders, set n_masks=None"


class Settings(NamedTuple):
    """What suits a number of rows; measured on tables of 150 to 20,000 rows, in between as the formulas say.

    ``n_components`` are those of the conditional of a real variable or a count, ``activation`` is that of the hidden
    units, ``dropout`` the probability that one is dropped, ``lr`` the learning rate at the start, ``batch_size`` the
    rows per step, and ``steps`` are those of the optimizer.
    """

    n_components: int
    activation: str
    dropout: float
    lr: float
    batch_size: int
    steps: int

    @classmethod
    def suitable(cls, n: int, many_orders: bool = False) -> Settings:
        """Settings for n rows. Many orders take longer to learn, and need less dropout.

        Example:
            >>> Settings.suitable(150)
            Settings(n_components=5, activation='elu', dropout=0.5, lr=0.001, batch_size=64, steps=1500)
        """
        return cls(
            n_components=5 if n < 1000 else 8,
            activation="elu" if n < 5000 else "relu",
            dropout=min(0.2 if many_orders else 0.5, 250 / n),
            lr=min(max((n / 500) ** 0.5, 3 if many_orders else 1), 5) * 1e-3,
            batch_size=min(max(n // 64, 64), 256),
            steps=min(max(2 * n, 2000 if many_orders else 1500), 12000),
        )

    def epochs(self, n: int, batch_size: int) -> tuple[int, int]:
        """How often n rows are taken in an epoch, for at least 50 steps of it, and how many epochs make the steps.

        Example:
            >>> Settings.suitable(150).epochs(120, 64)
            (25, 30)
        """
        once = math.ceil(n / batch_size)
        repeats = math.ceil(50 / once)
        return repeats, math.ceil(self.steps / (repeats * once))


class MADEDensity(OutlierMixin, BaseEstimator):
    r"""Density of the rows of any table, by a MADE: what is usual, what is missing, what follows from what.

    .. math:: \log p(x) = \log p_{\text{MADE}}(u(x)) + \sum_{i \text{ real}} \log u_i'(x_i)
        + \sum_{i \text{ not real}} \log (1 - 10^{-6})

    Columns become variables as :class:`made.tables.Table` says. Real columns are scaled by median and quartiles and
    bent far out (u), and densities are those of x in its own units. Any other column has levels; a value that is none
    of them was never seen. All such values of a column together have the probability 1e-6. A row with one counts as if
    it were missing for the rest of the row (with n_masks=1, as if it were the most frequent level).

    Training starts near the distribution of each column by itself, with the components of a mixture at its quantiles.

    By default five small networks are trained, each in a random order of its own and on all rows but a fifth, on which
    it keeps its best weights; their probabilities are averaged. :class:`Settings` has what depends on how many rows
    there are.

    An order-agnostic model (``n_masks=None``) also takes rows with missing values: NaN, None or pandas' NA. It learns
    from what each row holds, without filling anything in, and scores a row by the exact marginal of what is known of
    it, under an order with that first. Such scores are of fewer variables, hence not comparable with those of complete
    rows.

    Training takes every order of what a row holds alike. So in the factor of the m-th column of an order, a row with k
    known values has the weight (k - m)! / k!, or 0 if one of the first m columns is missing. This is maximum likelihood
    of one distribution only as far as orders agree. A factor is right where gaps say nothing about its column, given
    the columns before it (chapter 9). So if gaps depend only on columns that are never missing, they are imputed
    rightly, but rows that are drawn whole may have wrong shares. To draw whole rows, fit once more on an imputed table.

    Args:
        hidden: widths of the hidden layers.
        kinds: "auto", "binary", "categorical", "count" or "real", for all columns, a list with one for each, or a dict
            by the column's name (its number for an array), in which the others are "auto".
        n_components: number of Gaussians in the conditional of a real variable, and of logistics in that of a count;
            None for what suits the number of rows.
        n_masks: 1 trains every model in one order: that of the columns if there is one model, else a random one each.
            None, or a number, trains under many orders, for rows with missing values and for questions that leave other
            columns open. "auto" is None if X has missing values, else 1.
        residual: every hidden layer after the first adds to the one before it.
        activation: of the hidden units, as in ``made.MADE``; None for what suits the number of rows.
        dropout: probability that a hidden unit is dropped in training; None for what suits the number of rows.
        epochs: the most passes over the training rows; None for what suits their number, few rows being taken several
            times in each epoch.
        batch_size: rows per step; None for what suits the number of rows.
        lr: learning rate at the start; None for what suits the number of rows.
        schedule: "cosine" for a rate that falls to 0, or "constant"; as in ``made.fit``.
        weight_decay: decoupled weight decay.
        validation_fraction: share of the rows, in [0, 1), that is set aside to keep the best weights; 0 for the last.
        patience: stop after this many epochs without a lower validation loss; None for never.
        n_models: number of models whose probabilities are averaged. With several, each has its own share of all rows
            for validation and trains on the others, unless ``validation_fraction`` is 0.
        contamination: share of the training rows, in (0, 0.5], to call outliers.
        random_state: an int for the same result at every call, of ``sample`` and ``impute`` too; a RandomState to go
            on drawing from; None for something new every time. No global generator is used.

    Attributes:
        table_: the :class:`made.tables.Table`: how each column becomes a variable, and back.
        columns_: its columns, each a :class:`made.tables.Column`.
        model_: the trained MADE, or ``made.Ensemble`` of several, in double precision. Its variables are the
            columns that are not constant. None if all are.
        n_masks_: what ``n_masks="auto"`` came to.
        history_: losses of the training in nats per row of variables; a list of them for several models.
        offset_: the score below which a row is an outlier.
        n_features_in_: number of columns.
        feature_names_in_: their names, if the table had names.

    Raises:
        ValueError: a parameter is out of range, or X has missing values and the model one order, a column that is not
            what its kind says, dates, texts that look like names, an infinite value, or a column with no value at all;
            the message names the column.

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
        hidden: Sequence[int] = (128, 128),
        *,
        kinds: str | Sequence[str] | Mapping[Any, str] = "auto",
        n_components: int | None = None,
        n_masks: int | str | None = "auto",
        residual: bool = True,
        activation: str | None = None,
        dropout: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        schedule: str = "cosine",
        weight_decay: float = 0.0,
        validation_fraction: float = 0.2,
        patience: int | None = None,
        n_models: int = 5,
        contamination: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden = hidden
        self.kinds = kinds
        self.n_components = n_components
        self.n_masks = n_masks
        self.residual = residual
        self.activation = activation
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_models = n_models
        self.contamination = contamination
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """Strings are welcome, and missing values, too, if the model knows many orders."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = not self._one_order
        tags.input_tags.string = True
        return tags

    # ---- learn ------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> MADEDensity:
        """Learn the density of the rows of X, a DataFrame or an array (N, D); y is ignored."""
        self._check_parameters()
        self.__dict__.pop("n_masks_", None)
        X, generator = self._checked(X, reset=True), self._generator()
        folds = self._folds(len(X), generator)
        self.table_ = Table.fit(X, self.kinds, folds[0][0].numpy() if len(folds) == 1 else slice(None))
        self.columns_ = self.table_.columns
        values = self.table_.values(X)
        missing = any(column.missing.any() for column in values)
        self.n_masks_ = self.n_masks if self.n_masks != "auto" else None if missing else 1
        self._refuse_gaps(values)
        rows = self.table_.encode(values)
        with torch.inference_mode(False):
            trained = [self._train(rows, *fold, generator) for fold in folds] if self.table_.variables else []
        models, histories = [model for model, _ in trained], [history for _, history in trained]
        self.model_: Any = None if not models else models[0] if len(models) == 1 else Ensemble(models)
        self.history_ = histories[0] if len(folds) == 1 and histories else histories
        self.offset_ = np.percentile(self._log_prob(rows), 100 * self.contamination)
        return self

    def _check_parameters(self) -> None:
        """Refuse those that nothing else checks under the name the user knows."""
        numbers = self.contamination, self.validation_fraction
        if any(not isinstance(number, Real) or isinstance(number, bool) for number in numbers) or not (
            0 < self.contamination <= 0.5 and 0 <= self.validation_fraction < 1
        ):
            got = f"got {numbers[0]!r} and {numbers[1]!r}"
            raise ValueError(f"contamination must be in (0, 0.5] and validation_fraction in [0, 1), {got}")
        if self.n_components is not None:
            integer("n_components", self.n_components, minimum=1, otherwise=", or None")
        integer("n_models", self.n_models, minimum=1)
        if self.n_masks is not None and not (isinstance(self.n_masks, str) and self.n_masks == "auto"):
            integer("n_masks", self.n_masks, minimum=1, otherwise=', "auto" or None')

    def _folds(self, n: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Training and validation rows of each model: a share of the rows, or each of them once, as validation."""
        rows = torch.randperm(n, generator=generator)
        n_models = int(self.n_models)
        if n_models > 1 and self.validation_fraction > 0:
            if n_models > n:
                raise ValueError(f"n_models must be at most the number of rows, {n}, got {n_models}")
            parts = rows.tensor_split(n_models)
            return [(torch.cat(parts[:k] + parts[k + 1 :]), parts[k]) for k in range(n_models)]
        n_valid = int(self.validation_fraction * n)
        return [(rows[n_valid:], rows[:n_valid])] * n_models

    def _train(self, rows: Rows, train: Tensor, valid: Tensor, generator: torch.Generator) -> tuple[MADE, Any]:
        """One model and the history of its training."""
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        suits = Settings.suitable(len(rows.x), self.n_masks_ != 1)
        chosen = lambda name: getattr(suits if getattr(self, name) is None else self, name)
        n_components, batch_size = chosen("n_components"), chosen("batch_size")
        repeats, epochs = suits.epochs(len(train), batch_size) if self.epochs is None else (1, self.epochs)
        model = MADE(
            len(self.table_.variables),
            self.hidden,
            likelihood=self.table_.likelihood(n_components),
            order="natural" if self._one_order and self.n_models == 1 else "random",
            n_masks=self.n_masks_,  # type: ignore[arg-type]
            residual=self.residual,
            activation=chosen("activation"),
            dropout=chosen("dropout"),
            seed=seed,
        )
        x = torch.from_numpy(rows.x).to(torch.get_default_dtype())
        model.start(x[train])
        history = fit(
            Known(model) if rows.missing.any() else model,
            x[train.repeat(repeats)],
            x[valid] if len(valid) else None,
            epochs=epochs,
            batch_size=batch_size,
            lr=chosen("lr"),
            schedule=self.schedule,
            weight_decay=self.weight_decay,
            patience=epochs if self.patience is None else self.patience,
            seed=seed,
            progress=False,
        )
        return model.double(), history

    # ---- score ------------------------------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of what is known of each row in nats, in the units of X: shape (N,)."""
        return self._log_prob(self._encode(X)[1])

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows in nats; y is ignored."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-density above the one that separates outliers: negative for outliers, shape (N,)."""
        return self.score_samples(X) - self.offset_

    # ---- ask --------------------------------------------------------------------------------------------------------

    def predict(self, X: Any, target: Any = None) -> Any:
        """Without a target whether each row is usual; with one, its most probable or its mean value.

        Args:
            X: a DataFrame or an array. Values of the targets are not looked at, and a DataFrame may lack them.
            target: None; a column by its name (its number in an array); or a list of columns.

        Returns:
            Without a target 1 for each row, -1 for an outlier, shape (N,). For a column its values, shape (N,): the
            most probable level, or the mean of a real column, in which values beyond those of the training rows count
            as the nearest of them: far tails are not known well enough to be averaged. For a list of columns a table
            of them, with the mean of each that is real and the most probable combination of all others.

        Raises:
            ValueError: there is no such column, or, with n_masks=1, anything but the targets is missing, or a real
                target is asked for beside others.

        Example:
            >>> X = np.array([[0, 0], [1, 1]] * 50)
            >>> density = MADEDensity((8,), epochs=30, lr=0.05, random_state=0).fit(X)
            >>> density.predict([[0, 1], [1, 0]], target=1)
            array([0, 1])
        """
        check_is_fitted(self)
        if target is None:
            return np.where(self.decision_function(X) >= 0, 1, -1)
        question = self._ask(X, target)
        predicted = self._means(question) | self._modes(question)
        columns = [predicted[i] for i in question.targets]
        return (
            self.table_.assemble(columns, question.targets, question.index) if isinstance(target, list) else columns[0]
        )

    def predict_proba(self, X: Any, target: Any = None) -> Any:
        """Probability of every level of a column, or of every combination of several columns' levels.

        Values of the targets are not looked at, and a DataFrame may lack them. What is known of the other columns is
        conditioned on. That a value was never seen is no level: the probabilities are those of the levels, given that
        it is one of them, and sum to 1.

        Args:
            X: a DataFrame or an array.
            target: a column by its name (its number in an array); a list of columns; or None for every column that is
                not real, each given all the others, side by side.

        Returns:
            Shape (N, k): a DataFrame, whose columns are the levels (tuples of them for several targets; pairs of name
            and level without a target), if the model was fitted on one, else an array. The levels are in the order of
            ``columns_[i].levels``, combinations in counting order: the last target is the fastest.

        Raises:
            ValueError: there is no such column, it is real, there are too many combinations, or, with n_masks=1,
                anything but the targets is missing.

        Example:
            >>> X = np.array([[0, 0], [1, 1]] * 50)
            >>> density = MADEDensity((8,), epochs=30, lr=0.05, random_state=0).fit(X)
            >>> density.predict_proba([[0, 1], [1, 0]], target=1).round(1)
            array([[1., 0.], [0., 1.]])
        """
        check_is_fitted(self)
        if target is None:
            return self._every_level(X)
        question = self._ask(X, target)
        labels: list[Any] = list(product(*(self.columns_[i].levels for i in question.targets)))
        if len(question.targets) == 1:
            labels = [label for (label,) in labels]
        names = [self.columns_[i].name for i in question.targets]
        return self._labelled(self._joint(question, question.targets), labels, names, question.index)

    def _every_level(self, X: Any) -> Any:
        """Probabilities of the levels of every column given all others, side by side."""
        parts, labels = [np.empty((len(self._encode(X)[1].x), 0))], []
        for i, column in enumerate(self.columns_):
            if column.levels:
                parts.append(self._joint(Question([i], self._encode(X, [i])[1], None), [i]))
                labels += [(column.name, level) for level in column.levels]
        index = X.index if hasattr(X, "iloc") else None
        return self._labelled(np.hstack(parts), labels, ["column", "level"], index)

    def disagreement(self, X: Any, target: Any = None, n_orders: int = 10) -> Disagreement:
        """How far the orders of the model disagree on the same question: an any-order network may contradict itself.

        Args:
            X: a DataFrame or an array.
            target: None for the log-probability of what is known; else as in :meth:`predict_proba`.
            n_orders: number of random orders, at least 2.

        Returns:
            ``made.Disagreement``: the answers of every order, and their spread for each row: in nats without a
            target, else the mean total variation distance from their average.

        Raises:
            ValueError: as in :meth:`predict_proba`, or the model has one order.

        Example:
            >>> X = np.array([[0, 0], [1, 1]] * 50)
            >>> density = MADEDensity((8,), n_masks=None, epochs=30, lr=0.05, random_state=0).fit(X)
            >>> density.disagreement(X[:5], target=1).spread.shape
            torch.Size([5])
        """
        check_is_fitted(self)
        if self._one_order:
            raise ValueError(f"disagreement needs {_MANY_ORDERS}")
        if self.model_ is None:
            raise ValueError("disagreement needs a column that is not constant, got none")
        if target is None:
            return disagreement(self.model_, self._conditions(self._encode(X)[1]), None, n_orders)
        question = self._ask(X, target)
        targets = [self.table_.variables.index(i) for i in question.targets if i in self.table_.variables]
        if len(targets) < len(question.targets) or any(not self.columns_[i].levels for i in question.targets):
            raise ValueError(f"target must be columns that are neither real nor constant, got {target!r}")
        return disagreement(self.model_, self._conditions(question.rows), targets, n_orders)

    # ---- draw -------------------------------------------------------------------------------------------------------

    def sample(self, n_samples: int = 1, given: Any = None) -> Any:
        """Draw rows: a table like the one in ``fit``, in which real columns are floats.

        Args:
            n_samples: number of rows.
            given: what is known of them: a DataFrame, which may lack columns, or an array with NaN. One row for all
                samples alike, or one for each.

        Raises:
            ValueError: ``given`` has another number of rows, or, with n_masks=1, what is known does not come first.

        Example:
            >>> X = np.array([[0, 0], [1, 1]] * 50)
            >>> density = MADEDensity((8,), n_models=1, epochs=30, lr=0.05, random_state=0).fit(X)
            >>> density.sample(3, given=[[1, np.nan]])
            array([[1, 1], [1, 1], [1, 1]])
        """
        check_is_fitted(self)
        n_samples, generator = integer("n_samples", n_samples, minimum=0), self._generator()
        if given is None:
            x = torch.full((n_samples, len(self.table_.variables)), torch.nan, dtype=torch.float64)
            return self.table_.build(self._draw(x, 1, generator)[0])
        X = self._checked(self.table_.aligned(given, "given"))
        if len(X) not in (1, n_samples):
            raise ValueError(f"given must have one row, or n_samples = {n_samples}, got {len(X)}")
        rows = np.zeros(n_samples, int) if len(X) == 1 else np.arange(n_samples)
        values = [Values(column.values[rows], column.missing[rows]) for column in self.table_.values(X)]
        x = self._draw(self._conditions(self.table_.encode(values)), 1, generator)[0]
        return self.table_.build(x, values)

    def impute(self, X: Any, n_draws: int | None = None) -> Any:
        """Fill in what is missing with draws from its conditional given all that is known of the row.

        Args:
            X: a DataFrame or an array. What is known stays as it is, whether seen before or not.
            n_draws: how many times.

        Returns:
            A table like the one in ``fit``, in which real columns are floats; with n_draws a list of them.

        Raises:
            ValueError: with n_masks=1, a value is missing.

        Example:
            >>> X = np.array([[0, 0], [1, 1]] * 50)
            >>> density = MADEDensity((8,), n_masks=None, epochs=30, lr=0.05, random_state=0).fit(X)
            >>> [whole.tolist() for whole in density.impute([[1, np.nan]], n_draws=2)]
            [[[1, 1]], [[1, 1]]]
        """
        n = integer("n_draws", 1 if n_draws is None else n_draws, minimum=1, otherwise=", or None")
        values, rows = self._encode(X)
        drawn = self._draw(self._conditions(rows), n, self._generator())
        index = X.index if hasattr(X, "iloc") else None
        tables = [self.table_.build(x, values, index) for x in drawn]
        return tables[0] if n_draws is None else tables

    # ---- what all of these share ------------------------------------------------------------------------------------

    @property
    def _one_order(self) -> bool:
        """Whether the model has one order, or, before it is trained, would have one whatever the rows."""
        n_masks = getattr(self, "n_masks_", self.n_masks)
        return isinstance(n_masks, Integral) and n_masks == 1

    def _generator(self) -> torch.Generator:
        """A generator that follows from ``random_state``."""
        fresh = np.random.default_rng().integers(2**31)
        state = check_random_state(fresh if self.random_state is None else self.random_state)
        return torch.Generator().manual_seed(int(state.randint(2**31 - 1)))

    def _checked(self, X: Any, reset: bool = False) -> Any:
        """X as a DataFrame or an array with the right columns."""
        if isinstance(X, (list, tuple)) and np.asarray(X).dtype.kind in "US":
            X = np.array(X, dtype=object)  # or numbers, and what is missing, would become texts
        if not hasattr(X, "iloc"):
            return validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False)
        validate_data(self, X, reset=reset, skip_check_array=True)
        if reset and 0 in X.shape:
            raise ValueError(f"X must have at least one row and one column, got shape={X.shape}")
        if not reset and self.table_.frame is not None and list(X.columns) != list(self.table_.frame.columns):
            raise ValueError(f"X must have the columns of fit, {[*self.table_.frame.columns]}, got {[*X.columns]}")
        return X

    def _encode(self, X: Any, ignored: Collection[int] = ()) -> tuple[list[Values], Rows]:
        """Values of the table, and rows of the model; those of ignored columns count as missing."""
        check_is_fitted(self, "table_")
        values = self.table_.values(self._checked(X), ignored)
        self._refuse_gaps(values, ignored)
        return values, self.table_.encode(values)

    def _refuse_gaps(self, values: Sequence[Values], ignored: Collection[int] = ()) -> None:
        """A model with one order takes no missing values but those of the ignored columns."""
        for i, column in enumerate(values):
            if self._one_order and i not in ignored and column.missing.any():
                raise ValueError(f"X contains NaN, in column {self.columns_[i].name!r}: that needs {_MANY_ORDERS}")

    def _conditions(self, rows: Rows) -> Tensor:
        """Rows of the model, NaN where nothing is known; in a model with one order the usual level if it is unseen."""
        x, unseen = torch.from_numpy(rows.x), torch.from_numpy(rows.unseen)
        usual = [getattr(self.columns_[i], "usual", 0) for i in self.table_.variables]
        return torch.where(unseen, torch.tensor(usual, dtype=x.dtype), x) if self._one_order else x

    def _log_prob(self, rows: Rows) -> np.ndarray:
        """Log-density of what is known of each row, shape (N,)."""
        if self.model_ is None:
            return rows.log_factor
        batches = zip(self._conditions(rows).split(_BATCH), torch.from_numpy(rows.unseen).split(_BATCH), strict=True)
        with torch.no_grad():
            ask = self._log_prob_in_order if self._one_order else lambda x, _: marginal_log_prob(self.model_, x)
            return torch.cat([ask(x, unseen) for x, unseen in batches]).numpy() + rows.log_factor

    def _log_prob_in_order(self, x: Tensor, unseen: Tensor) -> Tensor:
        """Log-probability of each row but for the factors of what is unseen, which stands for nothing in it."""
        scores = []
        for model in members_of(self.model_)[0]:
            conditionals = model.likelihood.log_conditionals(model(x), x)
            scores.append(torch.where(unseen, 0.0, conditionals).sum(1))
        return torch.stack(scores).logsumexp(0) - math.log(len(scores))

    def _draw(self, x: Tensor, n: int, generator: torch.Generator) -> np.ndarray:
        """Rows of the model with NaN filled in n times: (N, V) to (n, N, V)."""
        known = ~x.isnan()
        for model in members_of(self.model_)[0] if self._one_order and self.model_ is not None else ():
            in_order = known[:, model.connectivity.order]
            if (in_order[:, 1:] & ~in_order[:, :-1]).any():
                raise ValueError(
                    "what is known must come first in the order of every model (the first columns of the table, "
                    f"with n_models=1); anything else needs {_MANY_ORDERS}"
                )
        if known.all():
            return x.expand(n, *x.shape).numpy()
        return impute(self.model_, x, n, generator).numpy()

    def _ask(self, X: Any, target: Any) -> Question:
        """What is asked for, given what is known of X."""
        check_is_fitted(self)
        names = target if isinstance(target, list) else [target]
        targets = [self.table_.index(name) for name in names]
        if not targets or len(set(targets)) < len(targets):
            raise ValueError(f"target must be a column or a list of different ones, got {target!r}")
        X = self.table_.aligned(X)
        return Question(targets, self._encode(X, targets)[1], X.index if hasattr(X, "iloc") else None)

    def _joint(self, question: Question, targets: list[int]) -> np.ndarray:
        """Probability of every combination of levels in every row, shape (N, S)."""
        for i in targets:
            if not self.columns_[i].levels:
                name = self.columns_[i].name
                instead = "predict for its mean, impute(n_draws) for draws, or score_samples for its density"
                raise ValueError(f"target {name!r} is real, so its values have no probabilities: use {instead}")
        sizes = [len(self.columns_[i].levels) for i in targets]
        S = math.prod(sizes)
        if S > _MOST_STATES:
            raise ValueError(f"target must have at most {_MOST_STATES} combinations of levels, got {S}")
        variables = [self.table_.variables.index(i) for i in targets if i in self.table_.variables]
        if not variables:
            return np.ones((len(question.rows.x), 1))
        parts = [np.empty((0, S))]
        for x in self._conditions(question.rows).split(max(1, _BATCH // S)):
            given: Any = conditional(self.model_, x, variables)
            parts.append(given.probs.numpy())
        return np.concatenate(parts)

    def _modes(self, question: Question) -> dict[int, np.ndarray]:
        """The values of the most probable combination of all targets that have levels, by column."""
        targets = [i for i in question.targets if self.columns_[i].levels]
        if not targets:
            return {}
        best = self._joint(question, targets).argmax(1)
        codes = np.unravel_index(best, [len(self.columns_[i].levels) for i in targets])
        return {i: self.columns_[i].decode(np.asarray(code)) for i, code in zip(targets, codes, strict=True)}

    def _means(self, question: Question) -> dict[int, np.ndarray]:
        """The mean of every real target, by column."""
        targets = [i for i in question.targets if not self.columns_[i].levels]
        x = self._conditions(question.rows)
        means = {}
        for i in targets:
            variable, column = self.table_.variables.index(i), self.columns_[i]
            if self._one_order:
                others = x[:, [v for v in range(x.shape[1]) if v != variable]]
                if others.isnan().any():
                    raise ValueError(f"target {column.name!r}, a real column beside others, needs {_MANY_ORDERS}")
            means[i] = self._mean(x, variable, column)
        return means

    def _mean(self, x: Tensor, variable: int, column: Any) -> np.ndarray:
        """Mean of a real column given what is known of the others, shape (N,), over quantiles of Gaussians.

        With one order the Gaussians are those of the column given what comes before it. What comes after weighs them,
        by Bayes' rule.
        """
        levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        normal = torch.special.ndtri(torch.from_numpy(levels))
        means = [np.empty(0)]
        for some in x.split(_BATCH // 500):  # about the number of quantiles of all Gaussians together
            if self._one_order:
                weights, loc, scale = _gaussians_before(members_of(self.model_)[0], some, variable)
            else:
                weights, loc, scale = _gaussians(conditional(self.model_, some, variable))
            u = loc.unsqueeze(-1) + scale.unsqueeze(-1) * normal  # (n, Gaussians, quantiles)
            scores = weights.log().unsqueeze(-1).expand_as(u)
            if self._one_order:
                log_q = (
                    log_normal(u.unsqueeze(-1), loc[:, None, None], scale[:, None, None]) + weights.log()[:, None, None]
                )
                rows = some.repeat_interleave(u[0].numel(), 0)
                rows[:, variable] = u.flatten()
                with torch.no_grad():
                    scores = scores + self.model_.log_prob(rows).view(u.shape) - log_q.logsumexp(-1)
            values = column.decode(u.flatten(1).numpy()).clip(column.lowest, column.highest)
            means.append((scores.flatten(1).softmax(1).numpy() * values).sum(1))
        return np.concatenate(means)

    def _labelled(self, p: np.ndarray, labels: list[Any], names: list[Any], index: Any) -> Any:
        """Probabilities with their levels as columns, if the model was fitted on a DataFrame."""
        if self.table_.frame is None:
            return p
        index = range(len(p)) if index is None else index
        table = type(self.table_.frame)(dict(zip(labels, p.T, strict=True)), index=index)
        if labels:
            table.columns.names = names
        return table


def _gaussians(given: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and scales, each (..., Gaussians), of a mixture of Gaussians, or of such mixtures."""
    weights, parts = given.mixture_distribution.probs, given.component_distribution
    if not hasattr(parts, "mixture_distribution"):
        return weights, parts.loc, parts.scale
    inner, loc, scale = _gaussians(parts)
    return (weights.unsqueeze(-1) * inner).flatten(-2), loc.flatten(-2), scale.flatten(-2)


def _gaussians_before(models: Sequence[MADE], x: Tensor, variable: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same of a variable given what comes before it in the order of each model, all models alike."""
    likelihood: Any = models[0].likelihood
    filled = likelihood.filled(x)
    with torch.no_grad():
        params = [likelihood.take(model(filled), [variable]) for model in models]
    parts = [_gaussians(likelihood.columns[variable].distribution(one)) for one in params]
    weights, loc, scale = (torch.cat(together, -1) for together in zip(*parts, strict=True))
    return weights / len(models), loc, scale


class Question(NamedTuple):
    """Which columns are asked for, by number, what is known of each row, and the index of the rows in a DataFrame."""

    targets: list[int]
    rows: Rows
    index: Any


class Known(nn.Module):
    """A MADE that learns from rows with gaps: its loss is that of what each row holds, with that first in the order.

    Nothing is filled in. What is known keeps the order that the model has in the step, and so does what is missing.

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
        """Mean negative log-likelihood of what is known."""
        return -marginal_log_prob(self.model, x).mean()
