"""made/estimator.py: MADE in scikit-learn's clothes, for tables of any kind."""

import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import time

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from scipy import integrate, stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import made
from made import MADE, MADEDensity
from made.estimator import Column, Known
from made.tables import UNSEEN, RealColumn

NAN = np.nan
SEEN = math.log1p(-UNSEEN)
any_order = pytest.mark.parametrize("n_masks", [1, None])


def density(**options):
    """A small and fast one."""
    quick = {"hidden": (8,), "residual": False, "activation": "relu", "dropout": 0.0, "n_components": 2, "epochs": 3}
    quick |= {
        "batch_size": 100,
        "lr": 3e-3,
        "schedule": "constant",
        "patience": 20,
        "validation_fraction": 0.1,
        "n_masks": 1,
        "n_models": 1,
        "random_state": 0,
    }
    return MADEDensity(**quick | options)


def table(n=200, seed=0):
    """Every kind of column; ``real`` and ``group`` depend on ``flag``."""
    rng = np.random.default_rng(seed)
    flag = rng.random(n) < 0.4
    frame = pd.DataFrame(
        {
            "real": rng.normal(100, 2, n) + 20 * flag,
            "flag": flag,
            "group": pd.Categorical(np.where(flag, "b", rng.choice(["a", "c"], n)), categories=["z", "c", "b", "a"]),
            "count": rng.integers(3, 30, n),
            "bit": rng.integers(0, 2, n),
            "word": rng.choice(["yes", "no"], n),
            "thing": pd.Series(rng.choice(["p", "q", "r"], n), dtype=object),
            "number": pd.array(rng.integers(0, 2, n), dtype="Int64"),
            "same": "k",
        }
    )
    return frame.set_axis([f"row {i}" for i in range(n)])


def possible(column):
    """Values that a discrete column may hold: those it holds, or those it declares."""
    return set(getattr(column.dtype, "categories", column))


def with_gaps(frame, share=0.3, seed=0):
    return frame.mask(np.random.default_rng(seed).random(frame.shape) < share)


def oracle(fitted, frame):
    """Variables of the model by hand, and the logarithm of what a density of theirs is to be multiplied by."""
    variables, log_factor = [], 0.0
    for name, column in frame.drop(columns="same", errors="ignore").items():
        if name == "real":
            width = (column.quantile(0.75) - column.quantile(0.25)) / (2 * stats.norm.ppf(0.75))
            variables.append((column - column.median()) / width)
            assert variables[-1].abs().max() < 5  # so nothing is bent
            log_factor -= math.log(width)
        else:
            names = ["z", "c", "b", "a"] if name == "group" else sorted(column.unique())
            variables.append(column - column.min() if name == "count" else column.map(names.index).astype(float))
            log_factor += SEEN
    return torch.from_numpy(np.stack(variables, 1).astype(float)), log_factor + SEEN * ("same" in frame)


@parametrize_with_checks([density(n_masks=1), density(n_masks=None)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@any_order
def test_the_density_of_a_real_column_integrates_to_one_in_its_own_units(n_masks):
    x = np.random.default_rng(0).normal(1000, 25, (300, 1))
    grid = np.linspace(0, 2000, 40001)
    fitted = density(n_masks=n_masks, epochs=30).fit(x)
    assert integrate.trapezoid(np.exp(fitted.score_samples(grid[:, None])), grid) == pytest.approx(1, abs=1e-4)
    assert fitted.score(x) == pytest.approx(-0.5 * math.log(2 * math.pi * math.e * 25**2), abs=0.15)  # the normal's


@any_order
def test_probabilities_of_finite_columns_sum_to_one_with_what_was_never_seen(n_masks):
    frame = table()[["flag", "group", "bit", "word", "thing", "same"]]
    fitted = density(n_masks=n_masks).fit(frame)
    states = itertools.product([False, True, "?"], "zcba?", [0, 1, "?"], ["yes", "no", "?"], "pqr?", "k?")
    every = pd.DataFrame(states, columns=frame.columns)
    assert len(every) == 3 * 5 * 3 * 3 * 4 * 2
    p = np.exp(fitted.score_samples(every))
    assert p.sum() == pytest.approx(1, abs=1e-9)
    for name in frame.columns:
        assert p[every[name] == "?"].sum() == pytest.approx(UNSEEN)
    assert p[(every != "?").all(axis=1)].sum() == pytest.approx((1 - UNSEEN) ** 6, abs=1e-9)


@any_order
def test_scores_are_those_of_the_model_after_a_change_of_variables(n_masks):
    frame = table()
    fitted = density(n_masks=n_masks, validation_fraction=0).fit(frame)
    x, log_factor = oracle(fitted, frame)
    expected = fitted.model_.log_prob(x).detach().numpy() + log_factor
    np.testing.assert_allclose(fitted.score_samples(frame), expected, rtol=1e-9)
    assert fitted.score(frame) == pytest.approx(expected.mean())
    assert [fitted.model_.order_agnostic, fitted.n_features_in_] == [n_masks is None, 9]
    assert list(fitted.feature_names_in_) == list(frame.columns)


def test_an_array_and_a_table_of_the_same_numbers_score_alike():
    frame = table()[["real", "bit"]]
    a, b = density().fit(frame), density().fit(frame.to_numpy())
    np.testing.assert_array_equal(a.score_samples(frame), b.score_samples(frame.to_numpy()))
    assert b.table_.frame is None


def test_columns_are_told_apart():
    real, two, four, three = made.MixtureOfGaussians(2), made.Bernoulli(), made.Categorical(4), made.Categorical(3)
    kinds = lambda fitted: list(fitted.model_.likelihood.columns)
    count = made.DiscretizedLogistic(27, 2)
    assert kinds(density().fit(table())) == [real, two, four, count, two, two, three, two]
    mixed = np.array([["a", 1.5, True, 1], ["b", 2.5, False, 0], ["c", 3.5, True, 0]], dtype=object)
    assert kinds(density().fit(mixed)) == [three, real, two, two]
    digits = np.array([["0", "1"], ["1", "0"], ["2", "0"]])
    assert kinds(density().fit(digits)) == [three, two]
    numbers = np.array([[0, 1, 7], [1, 2, 7], [1, 0, 7]])
    assert kinds(density().fit(numbers)) == [two, real]
    assert kinds(density(kinds=["real", "categorical", "binary"]).fit(numbers)) == [real, three]
    assert kinds(density(kinds="categorical").fit(numbers)) == [two, three]
    assert kinds(density(kinds={1: "count"}).fit(numbers)) == [two, made.DiscretizedLogistic(3, 2)]
    assert kinds(density(kinds={"count": "real"}).fit(table()[["bit", "count"]])) == [two, real]
    assert made.estimator.Column is Column is made.tables.Column


@any_order
def test_a_constant_column_is_certain_and_drawn_as_it_is(n_masks):
    """P = 1 but for the mass of what was never seen; no nats, however the constant is scaled."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1))
    alone = density(n_masks=n_masks).fit(x)
    for constant in (0.0, 5.0):
        both = np.c_[x, np.full(200, constant)]
        fitted = density(n_masks=n_masks).fit(both)
        np.testing.assert_allclose(fitted.score_samples(both), alone.score_samples(x) + SEEN)
        assert (fitted.sample(50)[:, 1] == constant).all()
        odd = np.c_[x, np.full(200, 1.0)]
        np.testing.assert_allclose(fitted.score_samples(odd), alone.score_samples(x) + math.log(UNSEEN))
        assert (fitted.predict(odd) == -1).all()
    words = pd.DataFrame({"x": x[:, 0], "word": "k"})
    fitted = density(n_masks=n_masks).fit(words)
    np.testing.assert_allclose(fitted.score_samples(words), alone.score_samples(x) + SEEN)
    assert fitted.predict_proba(words, "word").equals(pd.DataFrame({"k": np.ones(200)}))


@any_order
def test_a_table_of_constants(n_masks):
    frame = pd.DataFrame({"a": [7] * 30, "b": "k"})
    fitted = density(n_masks=n_masks).fit(frame)
    assert fitted.model_ is None
    np.testing.assert_allclose(fitted.score_samples(frame), 2 * SEEN)
    assert fitted.sample(30).equals(frame)
    assert fitted.sample(0).dtypes.to_dict() == frame.dtypes.to_dict()
    assert (fitted.predict(frame) == 1).all()
    assert (fitted.predict(frame.assign(a=8)) == -1).all()
    assert fitted.predict(frame, ["b", "a"]).equals(frame[["b", "a"]])
    assert fitted.impute(frame).equals(frame)
    with pytest.raises(ValueError, match="disagreement needs"):
        fitted.disagreement(frame)


@any_order
def test_samples_look_like_the_table(n_masks):
    frame = table()
    fitted = density(n_masks=n_masks).fit(frame)
    samples = fitted.sample(300)
    assert samples.shape == (300, 9)
    assert samples.dtypes.to_dict() == frame.dtypes.to_dict()
    for name in frame.columns.drop(["real", "count"]):
        assert set(samples[name]) <= possible(frame[name]), name
    assert samples["count"].between(3, 29).all()
    none = fitted.sample(0)
    assert none.shape == (0, 9)
    assert none.dtypes.to_dict() == frame.dtypes.to_dict()


@any_order
def test_samples_follow_the_table(n_masks):
    frame = table(500)[["real", "flag", "group", "bit"]]
    fitted = density(n_masks=n_masks, hidden=(32,), epochs=60, lr=0.01, random_state=1).fit(frame)
    samples = fitted.sample(1000)
    for name in ("real", "flag", "bit"):
        assert samples[name].mean() == pytest.approx(frame[name].mean(), abs=0.2 * frame[name].std()), name
        assert samples[name].std() == pytest.approx(frame[name].std(), rel=0.2), name
    together = samples.groupby("flag")["real"].mean()
    assert together[True] - together[False] == pytest.approx(20, abs=3 if n_masks else 8)
    assert (samples["flag"] == (samples["group"] == "b")).mean() > 0.9


def test_samples_of_arrays_are_arrays():
    whole = density().fit(np.array([[0, 1], [1, 1], [1, 0]])).sample(4)
    assert (whole.shape, whole.dtype.kind) == ((4, 2), "i")
    words = density().fit(np.array([["a", 1.5], ["b", 2.5]], dtype=object)).sample(4)
    assert words.dtype == object
    assert set(words[:, 0]) <= {"a", "b"}
    assert all(isinstance(value, float) for value in words[:, 1])
    assert density().fit(table()[["real"]].to_numpy()).sample().shape == (1, 1)
    assert density().fit(table()[["real"]].to_numpy()).sample(0).shape == (0, 1)


def test_the_marginal_of_what_is_known_is_the_sum_over_the_rest():
    frame = table()[["flag", "group", "bit", "thing"]]
    fitted = density(n_masks=None, epochs=10).fit(with_gaps(frame))
    model = fitted.model_
    for missing in ([0], [1, 3], [0, 2], [0, 1, 2], [0, 1, 2, 3]):
        row = frame.iloc[:1].astype(object)
        row.iloc[0, missing] = NAN
        order = model.connectivity.order.tolist()
        first = [i for i in order if i not in missing]
        other = copy_with(model, first + [i for i in order if i in missing])
        codes = oracle(fitted, frame)[0][0].tolist()
        states = itertools.product(*(range([2, 4, 2, 3][i]) if i in missing else [codes[i]] for i in range(4)))
        total = other.log_prob(torch.tensor(list(states), dtype=torch.float64)).logsumexp(0).item()
        known = 4 - len(missing)
        assert fitted.score_samples(row)[0] == pytest.approx(total + known * SEEN, abs=1e-9)


def copy_with(model, order):
    other = pickle.loads(pickle.dumps(model))
    other.use(model.connectivity.reordered(torch.tensor(order)))
    return other


def test_the_units_of_a_missing_value_do_not_count():
    frame = table()[["real", "count", "flag"]].assign(other=np.random.default_rng(1).normal(-7, 0.01, 200))
    fitted = density(n_masks=None, epochs=20).fit(with_gaps(frame))
    for name, column in zip(frame, fitted.columns_, strict=True):
        if column.kind == "real":
            grid = column.decode(np.linspace(-60, 60, 24001))
            rows = pd.DataFrame({name: grid}).reindex(columns=frame.columns)
            assert integrate.trapezoid(np.exp(fitted.score_samples(rows)), grid) == pytest.approx(1, abs=1e-3)
    assert fitted.score_samples(pd.DataFrame([[NAN] * 4], columns=frame.columns)) == [0]


def test_gaps_are_learned_around():
    """One column misses more often than the other, yet each is learned on its own and given the other."""
    rng = np.random.default_rng(0)
    a = (rng.random(2000) < 0.3).astype(float)
    b = np.where(rng.random(2000) < 0.1, 1 - a, a)
    gaps = np.stack([a, b], 1)
    gaps[rng.random(2000) < 0.6, 0] = NAN
    gaps[rng.random(2000) < 0.2, 1] = NAN
    fitted = density(n_masks=None, epochs=30, lr=0.01).fit(gaps)
    p = lambda *row: math.exp(fitted.score_samples([row])[0])
    assert p(1, NAN) == pytest.approx(0.3, abs=0.04)
    assert p(NAN, 1) == pytest.approx(0.3 * 0.9 + 0.7 * 0.1, abs=0.04)
    assert p(1, 1) == pytest.approx(0.27, abs=0.04)
    assert p(0, 1) == pytest.approx(0.07, abs=0.04)
    ones = fitted.impute(np.tile([[1.0, NAN], [NAN, 1.0]], (1000, 1)))
    assert ones[::2, 1].mean() == pytest.approx(0.9, abs=0.12)
    assert ones[1::2, 0].mean() == pytest.approx(0.27 / 0.34, abs=0.12)


def test_the_loss_of_rows_with_gaps():
    model = MADE(3, hidden=(6,), likelihood=made.Categorical(3), order="random", n_masks=None, seed=3).double()
    x = torch.tensor([[2, NAN, 1], [NAN, 0, 2], [1, 1, NAN], [NAN, NAN, NAN], [0, 2, 1]], dtype=torch.float64)
    before = model.connectivity
    expected = [of_what_is_known(model, before.order.tolist(), row) for row in x]
    module = Known(model).train()
    loss = module.loss(x)
    assert loss.item() == pytest.approx(-np.mean(expected), abs=1e-12)
    assert module.eval().loss(x).item() == pytest.approx(loss.item(), abs=1e-12)
    loss.backward()
    assert model.output.weight.grad.abs().sum() > 0
    assert model.connectivity is before


def of_what_is_known(model, order, row):
    """Its log-probability by summing over what is missing, under the order that has this last."""
    known_first = sorted(order, key=lambda i: bool(row[i].isnan()))
    states = itertools.product(*(range(3) if row[i].isnan() else [row[i].item()] for i in range(3)))
    total = copy_with(model, known_first).log_prob(torch.tensor(list(states), dtype=torch.float64)).logsumexp(0)
    return total.item()


def test_what_is_known_stays_and_what_is_missing_is_filled():
    frame = table(60)
    gaps = with_gaps(frame)
    fitted = density(n_masks=None).fit(frame)
    whole = fitted.impute(gaps)
    assert not whole.isna().any().any()
    assert whole.index.equals(frame.index)
    assert whole.dtypes.to_dict() == frame.dtypes.to_dict()
    for name in frame:
        known = gaps[name].notna()
        assert list(whole[name][known]) == list(frame[name][known]), name
        if name not in ("real", "count"):
            assert set(whole[name]) <= possible(frame[name]), name
    assert (whole["real"] != frame["real"])[gaps["real"].isna()].all()
    assert density(n_masks=None).fit(gaps).impute(gaps).notna().all().all()
    array = fitted.fit(frame[["real", "bit"]].to_numpy()).impute([[0.1, NAN], [NAN, 1.0]])
    assert isinstance(array, np.ndarray)
    assert (array[0, 0], array[1, 1], np.isnan(array).any()) == (0.1, 1.0, False)  # to the last bit


def test_none_and_na_are_missing_too():
    words = np.array([["a", 1.0, True], [None, 2.0, None], ["b", None, False]], dtype=object)
    fitted = density(n_masks=None).fit(words)
    assert [column.kind for column in fitted.columns_] == ["categorical", "real", "binary"]
    same = [["a", NAN, True]], [["a", None, True]]
    assert len({fitted.score_samples(np.array(rows, dtype=object))[0] for rows in same}) == 1
    frame = pd.DataFrame(
        {"n": pd.array([1, pd.NA, 5], dtype="Int64"), "s": pd.array(["u", "v", pd.NA], dtype="string")}
    )
    assert density(n_masks=2).fit(frame).impute(frame).notna().all().all()


def test_planted_outliers_are_found():
    rng = np.random.default_rng(0)
    usual = table(500)[["real", "flag", "group"]]
    odd = pd.DataFrame({"real": rng.normal(100, 2, 25), "flag": True, "group": "b"})  # each column by itself is usual
    both = pd.concat([usual, odd.astype(usual.dtypes)], ignore_index=True)
    is_odd = np.arange(525) >= 500
    fitted = density(epochs=30, lr=0.01, contamination=0.05).fit(usual)
    assert roc_auc_score(is_odd, -fitted.decision_function(both)) > 0.98
    assert (fitted.predict(odd.astype(usual.dtypes)) == -1).mean() > 0.9
    assert (fitted.predict(usual) == -1).sum() == 25
    np.testing.assert_allclose(fitted.decision_function(both), fitted.score_samples(both) - fitted.offset_)
    assert set(fitted.fit_predict(both)) == {-1, 1}


def test_search_and_pipeline():
    x = table()[["real", "count"]].to_numpy()
    search = GridSearchCV(density(lr=0.01), {"hidden": [(4,), (8, 8)], "n_components": [1, 2]}, cv=2).fit(x)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.score(x))
    pipe = make_pipeline(StandardScaler(), density()).fit(x)
    assert pipe.score_samples(x).shape == (200,)
    z = StandardScaler().fit_transform(x)
    np.testing.assert_allclose(pipe.score_samples(x), density().fit(z).score_samples(z))


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, {"real": np.inf}, "column 'real' must hold finite numbers, got inf"),
        ({}, {"real": "tall"}, "column 'real' must hold numbers, got 'tall'"),
        ({}, {"real": NAN}, "X contains NaN, in column 'real': .* set n_masks=None"),
        ({}, {"thing": None}, "X contains NaN, in column 'thing': .* set n_masks=None"),
        ({"n_masks": None}, {"bit": -np.inf}, "column 'bit' must hold finite numbers, got -inf"),
    ],
)
def test_rows_that_are_refused(options, change, message):
    frame = table()
    fitted = density(**options).fit(frame)
    with pytest.raises(ValueError, match=message):
        fitted.score_samples(frame.assign(**change))


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"kinds": ["real"]}, {}, r"kinds must be one of \('auto', .* for each of 9 columns, got \['real'\]"),
        ({"kinds": "reel"}, {}, "kinds must be one of .* got 'reel'"),
        ({"kinds": ["reel"] * 9}, {}, "kinds must be one of "),
        ({"kinds": "binary"}, {}, "column 'real' must hold two values to be binary, got 200"),
        ({"kinds": "real"}, {}, "column 'group' must hold numbers, got '.'"),
        ({"kinds": {"weight": "real"}}, {}, "kinds must name columns of X, .* got 'weight'"),
        ({}, {"word": pd.Timestamp(0)}, "column 'word' must hold no dates"),
        ({}, {"word": np.arange(200).astype(str)}, "column 'word' holds 200 different values in 200 rows"),
        ({}, {"count": np.arange(200)}, "column 'count' numbers the rows, from 0 to 199"),
        ({"n_components": 0}, {}, "n_components must be an int of at least 1, or None, got 0"),
        ({"n_models": True}, {}, "n_models must be an int of at least 1, got True"),
        ({"n_models": 201}, {}, "n_models must be at most the number of rows, 200, got 201"),
        ({"n_masks": 0}, {}, 'n_masks must be an int of at least 1, "auto" or None, got 0'),
        ({"contamination": True}, {}, r"contamination must be in \(0, 0.5\]"),
        ({"n_masks": None}, {"count": NAN}, "column 'count' must hold at least one value, got only missing ones"),
        ({}, {"real": np.inf}, "column 'real' must hold finite numbers, got inf"),
        ({}, {"word": ["yes", None, "no", "no"] * 50}, "X contains NaN, in column 'word': .* set n_masks=None"),
        ({"contamination": 0}, {}, r"contamination must be in \(0, 0.5\] .* got 0 and 0.1"),
        ({"contamination": 0.6}, {}, r"contamination must be in \(0, 0.5\]"),
        ({"validation_fraction": 1}, {}, r"validation_fraction in \[0, 1\), got 0.1 and 1"),
        ({"validation_fraction": -0.1}, {}, r"validation_fraction in \[0, 1\)"),
    ],
)
def test_fits_that_are_refused(options, change, message):
    with pytest.raises(ValueError, match=message):
        density(**options).fit(table().assign(**change))


def test_with_one_order_only_complete_rows_are_imputed():
    frame = table()[["bit", "real"]]
    fitted = density().fit(frame)
    assert fitted.impute(frame).equals(frame)
    assert all(whole.equals(frame) for whole in fitted.impute(frame, n_draws=2))
    with pytest.raises(ValueError, match=r"X contains NaN, in column 'bit': .* set n_masks=None"):
        fitted.impute(frame.assign(bit=NAN))
    with pytest.raises(ValueError, match=r"first columns of the table, .* set n_masks=None"):
        fitted.sample(3, given=pd.DataFrame({"real": [100.0]}))


def test_only_a_fitted_one_samples():
    with pytest.raises(NotFittedError):
        density().sample()


def test_parameters_arrive_where_they_belong():
    x = table()[["real", "count"]].to_numpy()
    options = {"hidden": (5, 5), "n_components": 3, "residual": True, "dropout": 0.2, "n_masks": 4}
    fitted = density(**options, epochs=7, validation_fraction=0.25, batch_size=40).fit(x)
    config = fitted.model_.config
    assert {name: getattr(config, name) for name in ("residual", "dropout", "n_masks")} == {
        name: options[name] for name in ("residual", "dropout", "n_masks")
    }
    assert (config.hidden, config.order) == ((5, 5), "random")
    assert list(fitted.model_.likelihood.columns) == [made.MixtureOfGaussians(3)] * 2
    assert (len(fitted.history_.train), len(fitted.history_.valid)) == (7, 7)
    assert density(validation_fraction=0).fit(x).history_.valid == []
    assert density().fit(x).model_.config.order == "natural"
    stopped = density(lr=1.0, epochs=60, patience=1).fit(x).history_
    assert stopped.stopped == "patience"
    assert len(stopped.train) == stopped.best_epoch + 2
    assert [get_tags(density(n_masks=n)).input_tags.allow_nan for n in (1, 2, None)] == [False, True, True]
    plain = density().fit(x).score(x)
    assert plain != density(batch_size=13).fit(x).score(x)
    assert plain != density(weight_decay=1.0).fit(x).score(x)


def test_training_and_validation_rows_are_different(monkeypatch):
    seen = {}
    real_fit = made.fit

    def spy(model, train, valid, **options):
        seen.update(train=train, valid=valid, **options)
        return real_fit(model, train, valid, **options)

    monkeypatch.setattr("made.estimator.fit", spy)
    x = np.arange(100.0)[:, None]
    fitted = density(validation_fraction=0.2).fit(x)
    assert seen["seed"] == fitted.model_.config.seed != 0
    assert (len(seen["train"]), len(seen["valid"])) == (80, 20)
    both = torch.cat([seen["train"], seen["valid"]]).flatten().sort().values
    raw = fitted.columns_[0].decode(both.double().numpy())
    np.testing.assert_allclose(raw, x[:, 0], atol=1e-4)
    assert not seen["valid"].flatten().sort().values.equal(both[:20])
    training = np.sort(fitted.columns_[0].decode(seen["train"].flatten().double().numpy()).round())
    assert fitted.columns_[0].centre == np.median(training) != np.median(x)
    assert fitted.columns_[0].width == RealColumn.fit(made.tables.Values.of(training, 0), 0).width


@any_order
def test_one_seed_one_result(n_masks, untouched_rng):
    frame = table(40)
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    a, b = (density(n_masks=n_masks, dropout=0.2).fit(frame) for _ in range(2))
    np.testing.assert_array_equal(a.score_samples(frame), b.score_samples(frame))
    assert a.sample(5).equals(b.sample(5))
    assert a.sample(5).equals(a.sample(5))
    other = density(n_masks=n_masks, dropout=0.2, random_state=1).fit(frame)
    assert (other.score_samples(frame) != a.score_samples(frame)).all()
    fresh = density(n_masks=n_masks, random_state=None).fit(frame)
    assert not fresh.sample(5).equals(fresh.sample(5))
    moving = [density(random_state=np.random.RandomState(3)).fit(frame) for _ in range(2)]
    assert moving[0].score(frame) == moving[1].score(frame)
    assert not moving[0].sample(5).equals(moving[0].sample(5))
    if n_masks is None:
        gaps = with_gaps(frame)
        assert a.impute(gaps).equals(b.impute(gaps))
        assert not fresh.impute(gaps).equals(fresh.impute(gaps))
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


@any_order
def test_pickles_and_clones(n_masks):
    frame = table(100)
    fitted = density(n_masks=n_masks).fit(frame)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.score_samples(frame), fitted.score_samples(frame))
    assert again.sample(5).equals(fitted.sample(5))
    fresh = clone(fitted)
    assert not hasattr(fresh, "model_")
    assert fresh.get_params() == fitted.get_params()


def test_the_front_door_opens_only_when_asked():
    assert made.estimator.MADEDensity is made.MADEDensity is MADEDensity
    assert {"MADEDensity", "estimator"} <= set(made.__all__)
    with pytest.raises(AttributeError, match="module 'made' has no attribute 'nothing'"):
        made.nothing  # noqa: B018


# ---- messy tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_masks", [1, None])
def test_sentinels_leave_the_density_of_the_others_as_it_is(n_masks):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    clean = x[20:].copy()
    x[:20, 0] = -999999
    fitted = MADEDensity(n_masks=n_masks, epochs=30, random_state=0).fit(rng.permutation(x))
    truth = -math.log(2 * math.pi * math.e)
    assert fitted.score(clean) == pytest.approx(truth, abs=0.1)
    assert fitted.score(rng.normal(size=(2000, 2))) == pytest.approx(truth, abs=0.1)


def spoiled(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    if kind == "cauchy":
        return rng.standard_cauchy((300, 2))
    if kind == "larger":
        return x * 1e8
    if kind == "largest":
        return x / np.abs(x).max() * 1.7e308
    if kind == "smallest":
        return x * 1e-300
    x[7, 1] = {"outlier": 1e9, "far outlier": -1.7e308}[kind]
    return x


@any_order
@pytest.mark.parametrize("kind", ["cauchy", "larger", "largest", "smallest", "outlier", "far outlier"])
def test_numbers_of_any_size_train_and_sample_finitely(kind, n_masks):
    x = spoiled(kind)
    fitted = density(n_masks=n_masks, epochs=10).fit(x)
    assert np.isfinite(fitted.score_samples(x)).all()
    assert np.isfinite(fitted.sample(1000)).all()
    assert np.isfinite(fitted.predict(x, 1)).all()
    if n_masks is None:
        assert np.isfinite(fitted.impute(with_gaps(pd.DataFrame(x)).to_numpy())).all()


@any_order
def test_a_density_given_the_others_integrates_to_one_where_the_map_is_bent(n_masks):
    rng = np.random.default_rng(0)
    x = np.c_[rng.normal(size=200), rng.standard_cauchy(200) * 1e-3 + 4]
    fitted = density(n_masks=n_masks, n_components=5, epochs=80, lr=0.02, validation_fraction=0).fit(x)
    fitted.model_.use(fitted.model_.connectivity.reordered(torch.tensor([0, 1])))
    first, second = fitted.columns_
    grid = second.decode(np.linspace(-60, 60, 40001))
    assert np.abs(grid - 4).max() > 1e5 * second.width
    joint = np.exp(fitted.score_samples(np.c_[np.full(40001, 0.3), grid]))
    z = torch.tensor([[(0.3 - first.centre) / first.width, NAN]], dtype=torch.float64)
    marginal = made.marginal_log_prob(fitted.model_, z).exp().item() / first.width
    assert integrate.trapezoid(joint, grid) == pytest.approx(marginal, rel=1e-3)
    bent = np.abs(grid - second.centre) > 5 * second.width
    assert integrate.trapezoid(np.where(bent, joint, 0), grid) > 0.02 * marginal


@any_order
def test_components_start_apart(n_masks):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, 1000)[:, None] * 10 + rng.normal(0, 0.5, (1000, 1))
    entropy = math.log(4) + 0.5 * math.log(2 * math.pi * math.e * 0.25)
    fitted = density(n_masks=n_masks, n_components=4, epochs=20, lr=0.03).fit(x)
    assert -fitted.score(x) == pytest.approx(entropy, abs=0.05)


@any_order
def test_what_was_never_seen_scores_low_and_is_kept(n_masks):
    frame = table()
    fitted = density(n_masks=n_masks).fit(frame)
    odd = [{"thing": "new"}, {"bit": 2}, {"count": 40}, {"count": 5.5}, {"same": "q"}, {"flag": "?", "word": 3}]
    usual = fitted.score_samples(frame)
    for change in odd:
        rows = frame.assign(**change)
        scores = fitted.score_samples(rows)
        assert np.isfinite(scores).all()
        assert (fitted.predict(rows) == -1).all()
        assert scores.max() < usual.mean()
        kept = fitted.impute(rows)
        for name in change:
            assert kept[name].tolist() == rows[name].tolist()
        assert fitted.predict_proba(rows, "group").sum(axis=1).to_numpy() == pytest.approx(np.ones(200))


def test_the_rest_of_a_row_with_a_value_never_seen():
    frame = table()[["real", "flag", "thing"]]
    frame["flag"] = ~frame["flag"]
    assert frame["flag"].mean() > 0.5  # so the usual level is not the first one
    never = math.log(UNSEEN)
    fitted = density(n_masks=None).fit(frame)
    expected = fitted.score_samples(frame.astype(object).assign(thing=None)) + never
    np.testing.assert_allclose(fitted.score_samples(frame.assign(thing="new")), expected)
    fitted = density(n_masks=1, validation_fraction=0).fit(frame)
    x, log_factor = oracle(fitted, frame)
    x[:, 1] = float(frame["flag"].mode()[0])
    conditionals = fitted.model_.conditionals(x).log_prob(x).detach().numpy()
    expected = conditionals[:, 0] + conditionals[:, 2] + log_factor - SEEN + never
    np.testing.assert_allclose(fitted.score_samples(frame.assign(flag="?")), expected)


# ---- any question ---------------------------------------------------------------------------------------------------


def by_enumeration(fitted, frame, targets, order):
    """Probability of every combination of the targets' levels in every row, under an order, from the joint."""
    model = copy_with(fitted.model_, order)
    x = oracle(fitted, frame)[0]
    names = list(frame)
    levels = [len(fitted.columns_[names.index(name)].levels) for name in targets]
    scores = []
    for state in itertools.product(*map(range, levels)):
        other = x.clone()
        other[:, [names.index(name) for name in targets]] = torch.tensor(state, dtype=x.dtype)
        scores.append(model.log_prob(other).detach())
    return torch.stack(scores, 1).softmax(1).numpy()


@any_order
@pytest.mark.parametrize(
    "targets", [["group"], ["word"], ["thing", "flag"], ["flag", "thing"], ["flag", "group", "bit"]]
)
def test_probabilities_of_columns_given_all_others(n_masks, targets):
    frame = table()[["flag", "group", "real", "bit", "word", "thing"]]
    fitted = density(n_masks=n_masks, epochs=10, validation_fraction=0).fit(frame)
    asked = [list(frame).index(name) for name in targets]
    order = fitted.model_.connectivity.order.tolist()
    if n_masks is None:
        order = [i for i in order if i not in asked] + [i for i in order if i in asked]
    expected = by_enumeration(fitted, frame, targets, order)
    p = fitted.predict_proba(frame, targets)
    np.testing.assert_allclose(p.to_numpy(), expected, atol=1e-9)
    levels = [fitted.columns_[i].levels for i in asked]
    assert list(p.columns) == (list(itertools.product(*levels)) if len(targets) > 1 else list(levels[0]))
    assert list(p.columns.names) == targets
    assert p.index.equals(frame.index)
    np.testing.assert_array_equal(p, fitted.predict_proba(frame.drop(columns=targets), targets))
    best = fitted.predict(frame.drop(columns=targets)[list(frame.columns.drop(targets))[::-1]], targets)
    assert best.dtypes.to_dict() == frame[targets].dtypes.to_dict()
    combinations = list(itertools.product(*levels))
    assert [tuple(row) for row in best.to_numpy()] == [combinations[k] for k in expected.argmax(1)]
    if len(targets) == 1:
        assert list(fitted.predict_proba(frame, targets[0]).columns) == list(levels[0])
        assert fitted.predict(frame, targets[0]).tolist() == best[targets[0]].tolist()


def test_probabilities_given_some_of_the_others():
    """What is neither known nor asked for is summed over, under an order that has it last."""
    frame = table()[["flag", "group", "bit", "thing"]]
    fitted = density(n_masks=None, epochs=10).fit(with_gaps(frame))
    model = fitted.model_
    order = model.connectivity.order.tolist()
    order = [2] + [i for i in order if i in (1, 3)] + [0]
    states = torch.tensor(list(itertools.product(range(2), range(4), range(2), range(3))), dtype=torch.float64)
    joint = copy_with(model, order).log_prob(states).detach().exp().reshape(2, 4, 2, 3)
    for bit in (0, 1):
        expected = joint[:, :, bit].sum(0)
        p = fitted.predict_proba(pd.DataFrame({"bit": [bit]}), ["group", "thing"])
        np.testing.assert_allclose(p.to_numpy()[0], (expected / expected.sum()).flatten(), atol=1e-9)
    with pytest.raises(ValueError, match=r"X contains NaN, in column 'flag': .* set n_masks=None"):
        density().fit(frame).predict_proba(pd.DataFrame({"bit": [1]}), ["group", "thing"])


@any_order
def test_probabilities_without_a_target_are_those_of_every_column(n_masks):
    frame = table()[["flag", "real", "group", "same"]]
    fitted = density(n_masks=n_masks).fit(frame)
    p = fitted.predict_proba(frame)
    labels = [("flag", False), ("flag", True), *(("group", g) for g in "zcba"), ("same", "k")]
    assert list(p.columns) == labels
    for name in ("flag", "group", "same"):
        np.testing.assert_array_equal(p[name], fitted.predict_proba(frame, name))
    array = density(n_masks=n_masks).fit(frame[["flag", "real"]].to_numpy(float))
    p = array.predict_proba(frame[["flag", "real"]].to_numpy(float))
    assert isinstance(p, np.ndarray)
    np.testing.assert_array_equal(p, array.predict_proba(frame[["flag", "real"]].to_numpy(float), 0))


@pytest.mark.parametrize(
    ("n_masks", "columns"), [(1, ["flag", "real"]), (1, ["real", "flag"]), (None, ["flag", "real"])]
)
def test_the_mean_of_a_real_column_given_the_others(n_masks, columns):
    frame = table(300)[columns].astype({"flag": float})
    frame.loc[frame.index[:30], "real"] *= 30  # so that some of the distribution is bent
    fitted = density(n_masks=n_masks, n_components=5, epochs=30, lr=0.02, validation_fraction=0).fit(frame)
    model = copy_with(fitted.model_, [0, 1]) if n_masks is None else fitted.model_
    place = columns.index("real")
    u = torch.linspace(-90, 90, 60001, dtype=torch.float64)
    x = fitted.columns_[place].decode(u.numpy()).clip(frame["real"].min(), frame["real"].max())
    guess = fitted.predict(frame[["flag"]], "real")
    assert np.array_equal(guess, fitted.predict(frame, "real"))
    for flag in (0.0, 1.0):
        rows = torch.stack([torch.full_like(u, flag), u], 1)[:, [0, 1] if place else [1, 0]]
        p = model.log_prob(rows).detach().softmax(0).numpy()
        assert p[u.abs() > 5].sum() > 0.02
        np.testing.assert_allclose(guess[frame["flag"] == flag], (p * x).sum(), rtol=1e-2)


def test_means_and_modes_together():
    frame = table(100)[["flag", "real", "group"]]
    fitted = density(n_masks=None, n_models=2).fit(frame)
    for member in fitted.model_.members():  # each order is a distribution of its own: let all questions have the same
        member.use(member.connectivity.reordered(torch.tensor([2, 1, 0])))
    both = fitted.predict(pd.DataFrame({"group": ["a", "b"]}, index=["r", "s"]), ["real", "flag"])
    assert list(both.columns) == ["real", "flag"]
    assert both.dtypes.tolist() == [float, bool]
    assert both.index.tolist() == ["r", "s"]
    alone = fitted.predict(pd.DataFrame({"group": ["a", "b"]}), "real")
    assert both["real"].tolist() == alone.tolist()
    draws = fitted.sample(4000, given=pd.DataFrame({"group": ["b"]}))["real"]
    draws = draws.clip(frame["real"].min(), frame["real"].max())
    assert alone[1] == pytest.approx(draws.mean(), abs=5 * draws.std() / math.sqrt(4000))
    with pytest.raises(ValueError, match=r"target 'real', a real column beside others, needs .* set n_masks=None"):
        density().fit(frame).predict(frame, ["real", "flag"])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("real", "target 'real' is real, .* use predict for its mean, impute"),
        (["flag", "real"], "target 'real' is real"),
        ("weight", r"target must be the name of a column, one of \['real', .*\], got 'weight'"),
        (0, "target must be the name of a column"),
        ([], r"target must be a column or a list of different ones, got \[\]"),
        (["flag", "flag"], "target must be a column or a list of different ones"),
        (
            ["count", "group", "thing", "bit", "word", "number", "flag"],
            "at most 10000 combinations of levels, got 10368",
        ),
    ],
)
def test_targets_that_are_refused(target, message):
    frame = table(400).assign(count=np.arange(400) % 27)
    fitted = density(epochs=1).fit(frame)
    if isinstance(target, list) and len(target) == 7:
        fitted = density(epochs=1).fit(frame.assign(count=np.arange(400) % 54))
    with pytest.raises(ValueError, match=message):
        fitted.predict_proba(frame, target)
    with pytest.raises(ValueError, match="target must be the name of a column"):
        fitted.predict(frame, "weight")


def test_how_far_orders_disagree():
    frame = table()[["flag", "group", "real", "same"]]
    fitted = density(n_masks=None).fit(with_gaps(frame))
    found = fitted.disagreement(frame, n_orders=4)
    assert (found.answers.shape, found.spread.shape) == ((4, 200), (200,))
    torch.testing.assert_close(found.spread, found.answers.std(0))
    assert found.spread.min() > 0
    asked = fitted.disagreement(frame.drop(columns="group"), ["group", "flag"], n_orders=3)
    assert asked.answers.shape == (3, 200, 8)
    torch.testing.assert_close(asked.answers.exp().sum(-1), torch.ones(3, 200, dtype=torch.float64))
    assert fitted.disagreement(frame, "group").answers.shape == (10, 200, 4)
    with pytest.raises(ValueError, match=r"disagreement needs .* set n_masks=None"):
        density().fit(frame).disagreement(frame)
    for target in ("real", "same"):
        with pytest.raises(ValueError, match=f"neither real nor constant, got '{target}'"):
            fitted.disagreement(frame, target)


def test_samples_given_what_is_known():
    frame = table(500)[["real", "flag", "group", "bit"]]
    fitted = density(n_masks=None, hidden=(32,), epochs=60, lr=0.01).fit(frame)
    drawn = fitted.sample(400, given=pd.DataFrame({"flag": [True]}))
    assert drawn["flag"].all()
    assert drawn.dtypes.to_dict() == frame.dtypes.to_dict()
    assert drawn["real"].mean() == pytest.approx(120, abs=2.5)
    assert (drawn["group"] == "b").mean() > 0.9
    each = fitted.sample(200, given=frame[["real", "flag"]].iloc[:200])
    assert each["real"].tolist() == frame["real"].iloc[:200].tolist()
    assert each["flag"].tolist() == frame["flag"].iloc[:200].tolist()
    assert fitted.sample(0, given=pd.DataFrame({"flag": [True]})).dtypes.to_dict() == frame.dtypes.to_dict()
    odd = fitted.sample(5, given=pd.DataFrame({"flag": ["?"]}))
    assert odd["flag"].tolist() == ["?"] * 5
    array = density(n_masks=None).fit(frame[["real", "bit"]].to_numpy())
    assert (array.sample(7, given=[[NAN, 1.0]])[:, 1] == 1).all()
    first = density().fit(frame)
    assert first.sample(9, given=pd.DataFrame({"real": [101.5]}))["real"].tolist() == [101.5] * 9
    with pytest.raises(ValueError, match="given must have one row, or n_samples = 3, got 2"):
        fitted.sample(3, given=frame.iloc[:2])
    with pytest.raises(ValueError, match=r"given must hold columns of the table in fit, .* got 'age'"):
        fitted.sample(3, given=pd.DataFrame({"age": [3]}))
    with pytest.raises(ValueError, match="n_samples must be an int of at least 0, got -1"):
        fitted.sample(-1)


def test_several_completions():
    frame = table(60)
    gaps = with_gaps(frame)
    fitted = density(n_masks=None).fit(frame)
    draws = fitted.impute(gaps, n_draws=3)
    assert len(draws) == 3
    assert draws[0].equals(fitted.impute(gaps, n_draws=3)[0])
    assert not draws[0].equals(draws[1])
    for whole in draws:
        assert whole.dtypes.to_dict() == frame.dtypes.to_dict()
        for name in frame:
            known = gaps[name].notna()
            assert whole[name][known].tolist() == frame[name][known].tolist()
    for wrong in (0, True, 1.5):
        with pytest.raises(ValueError, match="n_draws must be an int of at least 1, or None, got"):
            fitted.impute(gaps, n_draws=wrong)


# ---- several models, threads, NumPy's numbers -----------------------------------------------------------------------


@any_order
def test_several_models_are_averaged(n_masks, monkeypatch):
    seen = []
    real_fit = made.fit

    def spy(model, train, valid, **options):
        seen.append((train.shape[0], valid))
        return real_fit(model, train, valid, **options)

    monkeypatch.setattr("made.estimator.fit", spy)
    frame = table(100)[["real", "flag", "group"]]
    fitted = density(n_masks=n_masks, n_models=3, epochs=10).fit(frame)
    members = fitted.model_.members()
    assert len(members) == len(fitted.history_) == 3
    assert [n for n, _ in seen] == [66, 67, 67]
    together = torch.cat([valid for _, valid in seen])[:, 0].sort().values  # every row is held out once
    x, log_factor = oracle(fitted, frame)
    torch.testing.assert_close(together, x[:, 0].sort().values.float())
    expected = torch.stack([member.log_prob(x) for member in members]).logsumexp(0) - math.log(3) + log_factor
    np.testing.assert_allclose(fitted.score_samples(frame), expected.detach().numpy())
    p = fitted.predict_proba(frame, "group").to_numpy()
    assert p.sum(1) == pytest.approx(np.ones(100))
    assert fitted.sample(20).shape == (20, 3)
    never = fitted.score_samples(frame.assign(group="?"))
    assert np.isfinite(never).all()
    seen.clear()
    density(n_masks=n_masks, n_models=2, validation_fraction=0, epochs=1).fit(frame)
    assert seen == [(100, None)] * 2


def test_numbers_of_numpy_are_numbers():
    x = table()[["real", "count"]].to_numpy()
    grid = {"n_components": np.arange(1, 3), "epochs": np.arange(2, 4), "dropout": np.array([0.0, 0.1], np.float32)}
    search = GridSearchCV(density(n_masks=np.int64(1)), grid, cv=2).fit(x)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    options = {"lr": np.float32(0.01), "batch_size": np.int32(50), "validation_fraction": np.float32(0.2)}
    options |= {
        "patience": np.int64(3),
        "n_models": np.int64(2),
        "contamination": np.float64(0.1),
        "n_masks": np.int8(2),
    }
    fitted = density(hidden=(np.int64(8),), residual=np.bool_(True), **options).fit(x)
    assert np.isfinite(fitted.score(x))
    for name in ("n_components", "n_models", "n_masks", "epochs", "batch_size", "patience"):
        with pytest.raises((TypeError, ValueError), match=name):
            density(**{name: True}).fit(x)


def answers(fitted, frame, gaps, k):
    """Answers to a few questions, the k-th thread with its own first one."""
    questions = [
        lambda: fitted.score_samples(gaps),
        lambda: fitted.sample(20).astype(str).to_numpy(),
        lambda: fitted.impute(gaps).astype(str).to_numpy(),
        lambda: fitted.predict_proba(frame, "group").to_numpy(),
        lambda: fitted.predict(gaps.drop(columns="real"), "real"),
        lambda: fitted.disagreement(frame, n_orders=3).spread.numpy(),
    ]
    found = {i: questions[i]() for i in np.roll(range(6), k)}
    return [found[i] for i in range(6)]


def test_threads_give_what_one_gives():
    frame = table(24)
    gaps = with_gaps(frame)
    fitted = density(n_masks=None).fit(gaps)
    fitted.model_.train()
    order = fitted.model_.connectivity
    expected = answers(fitted, frame, gaps, 0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: answers(fitted, frame, gaps, k), range(8)))
    found += Parallel(n_jobs=4, backend="threading")(delayed(answers)(fitted, frame, gaps, k) for k in range(4))
    for several in found:
        for one, other in zip(several, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert fitted.model_.training
    assert fitted.model_.connectivity is order


# found by trying to break it


def test_the_mean_of_a_column_with_few_values_is_not_lost_between_them():
    """Components as narrow as the floor, against sums over the values, with one order and with many."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = np.where(rng.random(400) < 1 / (1 + np.exp(-2 * x)), 3.63, 1.13)
    for options in ({"n_masks": 1, "n_models": 2}, {"n_masks": None}, {"n_masks": 1}):
        fitted = density(hidden=(16,), epochs=100, lr=0.01, n_components=3, **options).fit(np.c_[y, x])
        guess = fitted.predict(np.c_[np.zeros(5), np.linspace(-1.5, 1.5, 5)], 0)
        assert guess == pytest.approx(1.13 + 2.5 / (1 + np.exp(-2 * np.linspace(-1.5, 1.5, 5))), abs=0.25)
        assert (np.diff(guess) > 0).all()


def test_columns_whose_names_are_numbers_do_not_change_places():
    X = pd.DataFrame({0: np.random.default_rng(0).normal(size=50), 1: np.linspace(90, 110, 50)})
    fitted = density().fit(X)
    for ask in (fitted.score_samples, fitted.impute, fitted.predict):
        with pytest.raises(ValueError, match=r"X must have the columns of fit, \[0, 1\], got \[1, 0\]"):
            ask(X[[1, 0]])


def test_lists_of_texts_and_numbers_keep_both():
    rows = [["a", 1.5], ["b", 2.5], ["a", NAN], ["b", 0.5]] * 10
    fitted = density(n_masks=None).fit(rows)
    assert [column.kind for column in fitted.columns_] == ["binary", "real"] or fitted.columns_[1].kind == "real"
    assert fitted.impute(rows)[2][1] != "nan"


def test_integers_with_gaps_are_counts():
    """What holds them is floats, in pandas and in NumPy."""
    counts = np.random.default_rng(0).poisson(1.2, 100).astype(float)
    counts[::7] = NAN
    X = pd.DataFrame({"kids": counts, "real": np.linspace(0, 1, 100)})
    fitted = density(n_masks=None).fit(X)
    assert [column.kind for column in fitted.columns_] == ["count", "real"]
    filled = fitted.impute(X)["kids"]
    assert (filled == filled.round()).all()
    assert (filled >= 0).all()


def test_training_in_threads_gives_what_one_gives(untouched_rng):
    X = np.random.default_rng(0).normal(size=(60, 3))
    train = lambda _: density(dropout=0.5).fit(X).score(X)
    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(train, range(8)), train(0)}) == 1


def test_it_learns_in_inference_mode():
    X = np.random.default_rng(0).normal(size=(60, 2))
    with torch.inference_mode():
        inside = density().fit(X).score(X)
    assert inside == density().fit(X).score(X)


@pytest.mark.parametrize(
    ("values", "message"),
    [([time(12, 30), time(13)] * 20, "column 'c' must hold no dates"),
     ([1 + 2j, 3] * 20, "column 'c' must hold no complex numbers")],
)  # fmt: skip
def test_values_that_are_neither_numbers_nor_names(values, message):
    with pytest.raises(ValueError, match=message):
        density().fit(pd.DataFrame({"c": pd.Series(values, dtype=object), "r": np.arange(40) / 7}))


@pytest.mark.parametrize("kinds", [3, None])
def test_kinds_of_no_kind(kinds):
    with pytest.raises(ValueError, match="kinds must be one of"):
        density(kinds=kinds).fit(np.random.default_rng(0).normal(size=(20, 2)))
