"""The methods beside MADE in `wines.py`, against those of scikit-learn."""

import importlib
import sys

import numpy as np
import pytest
from chapters import BOOK
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB


@pytest.fixture(scope="module")
def wines():
    if str(BOOK / "experiments") not in sys.path:
        sys.path.insert(0, str(BOOK / "experiments"))
    return importlib.import_module("wines")


@pytest.fixture(scope="module")
def rows(wines):
    order = np.random.RandomState(0).permutation(178)
    return wines.wines()[order[:140]], wines.wines()[order[140:]]


def test_without_shrinkage_the_gaussian_answers_as_discriminant_analysis_and_least_squares(wines, rows):
    train, test = rows
    model = wines.normal(train, "gaussian", shrinkage=0.0)
    oracle = LinearDiscriminantAnalysis(solver="lsqr").fit(train[:, 1:], train[:, 0])
    assert model.growers(test) == pytest.approx(oracle.predict_proba(test[:, 1:]), abs=1e-6)
    others = lambda x: np.column_stack([np.eye(3)[x[:, 0].astype(int)], x[:, 2:]])
    line = LinearRegression(fit_intercept=False).fit(others(train), train[:, 1])
    assert model.alcohol(test) == pytest.approx(line.predict(others(test)))


def test_naive_bayes_is_that_of_scikit_learn(wines, rows):
    train, test = rows
    model = wines.normal(train, "naive_bayes")
    oracle = GaussianNB(var_smoothing=0).fit(train[:, 1:], train[:, 0])
    assert model.growers(test) == pytest.approx(oracle.predict_proba(test[:, 1:]), abs=1e-6)
    joint = oracle.predict_joint_log_proba(test[:, 1:])
    assert model.log_prob(test) == pytest.approx(joint[np.arange(38), test[:, 0].astype(int)])


def test_what_is_known_stays_and_independent_columns_are_filled_with_their_means(wines, rows):
    train, test = rows
    gaps = np.random.RandomState(1).uniform(size=test.shape) < 0.3
    gaps[:, 0] = False
    filled = wines.normal(train, "independent").fill(np.where(gaps, np.nan, test))
    assert filled[~gaps] == pytest.approx(test[~gaps])
    assert filled[gaps] == pytest.approx(np.broadcast_to(train.mean(0), test.shape)[gaps])


def test_shrinkage_is_chosen_by_the_density_of_rows_left_out(wines, rows):
    train, test = rows
    best = wines.best_shrinkage(train)
    assert 0 < best < 1
    density = {s: wines.normal(train, "gaussian", s).log_prob(test).mean() for s in (best, 1.0)}
    assert density[best] > density[1.0]


def test_every_wine_is_tested_once_by_a_model_that_has_not_seen_it(wines, monkeypatch):
    seen = []
    learned = wines.learned
    monkeypatch.setattr(wines, "learned", lambda train, *rest: seen.append(train) or learned(train, *rest))
    found, stopped = wines.costs("independent")
    assert stopped == ["exact"] * 5
    x = wines.wines()
    for train in seen:
        unseen = ~(x[:, None] == train[None]).all(2).any(1)
        assert unseen.sum() in (35, 36)
        assert found["density"][unseen] == pytest.approx(-wines.normal(train, "independent").log_prob(x[unseen]))
