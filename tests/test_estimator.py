"""made/estimator.py: MADE in scikit-learn's clothes, for tables of any kind."""

import itertools
import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate
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
from made.estimator import Known

NAN = np.nan
any_order = pytest.mark.parametrize("n_masks", [1, None])


def density(**options):
    """A small and fast one."""
    return MADEDensity(**{"hidden": (8,), "n_components": 2, "epochs": 3, "random_state": 0} | options)


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
    """Variables of the model by hand, and the logarithm of the one factor by which the units differ."""
    variables, log_scale = [], 0.0
    for name, column in frame.items():
        if name in ("real", "count"):
            variables.append((column - column.mean()) / column.std(ddof=0))
            log_scale += math.log(column.std(ddof=0))
        else:
            names = ["z", "c", "b", "a"] if name == "group" else sorted(column.unique())
            variables.append(column.map(names.index).astype(float))
    return torch.from_numpy(np.stack(variables, 1)), log_scale


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
def test_probabilities_of_finite_columns_sum_to_one(n_masks):
    frame = table()[["flag", "group", "bit", "word", "thing"]]
    fitted = density(n_masks=n_masks).fit(frame)
    states = itertools.product([False, True], "zcba", [0, 1], ["yes", "no"], "pqr")
    every = pd.DataFrame(states, columns=frame.columns).astype(frame.dtypes)
    assert len(every) == 96
    assert np.exp(fitted.score_samples(every)).sum() == pytest.approx(1, abs=1e-9)


@any_order
def test_scores_are_those_of_the_model_after_a_change_of_variables(n_masks):
    frame = table()
    fitted = density(n_masks=n_masks).fit(frame)
    x, log_scale = oracle(fitted, frame)
    expected = fitted.model_.log_prob(x).detach().numpy() - log_scale
    np.testing.assert_allclose(fitted.score_samples(frame), expected, rtol=1e-9)
    assert fitted.score(frame) == pytest.approx(expected.mean())
    assert [fitted.model_.order_agnostic, fitted.n_features_in_] == [n_masks is None, 9]
    assert list(fitted.feature_names_in_) == list(frame.columns)


def test_an_array_and_a_table_of_the_same_numbers_score_alike():
    frame = table()[["real", "bit"]]
    a, b = density().fit(frame), density().fit(frame.to_numpy())
    np.testing.assert_array_equal(a.score_samples(frame), b.score_samples(frame.to_numpy()))
    assert b.frame_ is None


def test_columns_are_told_apart():
    real, two, four, three = made.MixtureOfGaussians(2), made.Bernoulli(), made.Categorical(4), made.Categorical(3)
    kinds = lambda fitted: list(fitted.model_.likelihood.columns)
    assert kinds(density().fit(table())) == [real, two, four, real, two, two, three, two, two]
    mixed = np.array([["a", 1.5, True, 1], ["b", 2.5, False, 0], ["c", 3.5, True, 0]], dtype=object)
    assert kinds(density().fit(mixed)) == [three, real, two, two]
    digits = np.array([["0", "1"], ["1", "0"], ["2", "0"]])
    assert kinds(density().fit(digits)) == [three, two]
    numbers = np.array([[0, 1, 7], [1, 2, 7], [1, 0, 7]])
    assert kinds(density().fit(numbers)) == [two, real, real]
    assert kinds(density(kinds=["real", "categorical", "binary"]).fit(numbers)) == [real, three, two]
    assert kinds(density(kinds="categorical").fit(numbers)) == [two, three, two]
    as_objects = pd.DataFrame({"code": pd.Series([10, 20, 30], dtype=object)})
    assert kinds(density().fit(as_objects)) == [three]


def test_zero_and_one_are_both_possible_even_if_one_was_seen():
    fitted = density(epochs=20).fit(np.zeros((30, 2)))
    assert np.exp(fitted.score_samples([[0, 0], [0, 1], [1, 0], [1, 1]])).sum() == pytest.approx(1)


@any_order
def test_samples_look_like_the_table(n_masks):
    frame = table()
    samples = density(n_masks=n_masks).fit(frame).sample(300)
    assert samples.shape == (300, 9)
    assert samples.dtypes.to_dict() == frame.dtypes.to_dict() | {"count": np.dtype(float)}
    for name in frame.columns.drop(["real", "count"]):
        assert set(samples[name]) <= possible(frame[name]), name


@any_order
def test_samples_follow_the_table(n_masks):
    frame = table(500)[["real", "flag", "group", "bit"]]
    fitted = density(n_masks=n_masks, hidden=(32,), epochs=60, lr=0.01).fit(frame)
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
        assert fitted.score_samples(row)[0] == pytest.approx(total, abs=1e-9)


def copy_with(model, order):
    other = pickle.loads(pickle.dumps(model))
    other.use(model.connectivity.reordered(torch.tensor(order)))
    return other


def test_the_units_of_a_missing_value_do_not_count():
    frame = table()[["real", "count", "flag"]]
    fitted = density(n_masks=None, epochs=20).fit(with_gaps(frame))
    grid = np.linspace(-500, 700, 24001)
    for name in ("real", "count"):
        rows = pd.DataFrame({name: grid}).reindex(columns=frame.columns)
        assert integrate.trapezoid(np.exp(fitted.score_samples(rows)), grid) == pytest.approx(1, abs=1e-3)
    assert fitted.score_samples(pd.DataFrame([[NAN] * 3], columns=frame.columns)) == [0]


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
    order = [i for i in model.connectivity.order.tolist() if i != 1] + [1]
    expected = [seen_first(copy_with(model, order), order, row) for row in x]
    assert len({len(known) for known, _ in expected}) > 2
    before = model.connectivity
    module = Known(model).train()
    assert module.loss(x).item() == pytest.approx(-np.mean([value for _, value in expected]), abs=1e-12)
    module.eval()
    assert module.loss(x).item() == pytest.approx(-made.marginal_log_prob(model, x).mean().item(), abs=1e-12)
    assert model.connectivity is before


def seen_first(model, order, row):
    """What a row knows before its first gap, and its log-probability by summing over the rest."""
    known = list(itertools.takewhile(lambda i: not row[i].isnan(), order))
    states = itertools.product(*([row[i].item()] if i in known else range(3) for i in range(3)))
    return known, model.log_prob(torch.tensor(list(states), dtype=torch.float64)).logsumexp(0).item()


def test_what_is_known_stays_and_what_is_missing_is_filled():
    frame = table(60)
    gaps = with_gaps(frame)
    fitted = density(n_masks=None).fit(frame)
    whole = fitted.impute(gaps)
    assert not whole.isna().any().any()
    assert whole.index.equals(frame.index)
    assert whole.dtypes.to_dict() == frame.dtypes.to_dict() | {"count": np.dtype(float)}
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
    assert [column.n_categories for column in fitted.columns_] == [2, 0, 2]
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
        ({}, {"thing": "new"}, "column 'thing' must hold values known from fit, got 'new'"),
        ({}, {"bit": 2}, "column 'bit' must hold values known from fit, got 2"),
        ({"n_masks": None}, {"thing": "new", "bit": NAN}, "column 'thing' must .* got 'new'"),
        ({}, {"real": np.inf}, "infinity"),
        ({}, {"real": NAN}, "X contains NaN, .* set n_masks=None"),
        ({}, {"thing": None}, "X contains NaN, .* set n_masks=None"),
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
        ({"kinds": "real"}, {}, "could not convert string to float"),
        ({"n_masks": None}, {"count": NAN}, "column 'count' must hold at least one value, got only missing ones"),
        ({}, {"real": np.inf}, "infinity"),
        ({}, {"word": NAN}, "X contains NaN, .* set n_masks=None"),
        ({"contamination": 0}, {}, r"contamination must be in \(0, 0.5\] .* got 0 and 0.1"),
        ({"contamination": 0.6}, {}, r"contamination must be in \(0, 0.5\]"),
        ({"validation_fraction": 1}, {}, r"validation_fraction in \[0, 1\), got 0.1 and 1"),
        ({"validation_fraction": -0.1}, {}, r"validation_fraction in \[0, 1\)"),
    ],
)
def test_fits_that_are_refused(options, change, message):
    with pytest.raises(ValueError, match=message):
        density(**options).fit(table().assign(**change))


def test_only_an_order_agnostic_model_imputes():
    x = table()[["real", "bit"]].to_numpy()
    fitted = density().fit(x)
    with pytest.raises(ValueError, match="order-agnostic"):
        fitted.impute(x)
    with pytest.raises(ValueError, match="X contains NaN"):
        fitted.impute([[NAN, 1.0]])


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
    torch.testing.assert_close(both, torch.from_numpy((x[:, 0] - 49.5) / x.std()).float())
    assert not seen["valid"].flatten().sort().values.equal(both[:20])


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
