"""The defaults of ``MADEDensity`` beside tuned methods of scikit-learn on real tables: densities, anomalies, gaps.

    python book/experiments/tables.py          some hours, on one core
    python book/experiments/tables.py --toy    a few seconds, into a temporary folder: only proves that it runs

All tables ship with scikit-learn, but for the ring of eight Gaussians, whose density is known. "pixels" are 20,000
random pixels of its photo of a temple: the place of each, its colour and that of its neighbour to the right, with
uniform noise of one grey level, so that a density exists. Every split is another random fifth of the rows for the test.

1. ``density``: mean log-density of the test rows in nats, in columns standardised by the training rows. All columns are
   taken as real (``kinds="real"``), for the other methods know no other kind. The others are tuned by cross-validation
   on the training rows: a Gaussian mixture by its number of components, its kind of covariance and its regularisation,
   a kernel density estimate by its bandwidth (on at most 4000 rows).
2. ``anomaly``: area under the ROC curve, when the methods learn from rows of the usual kind alone. Unusual are the
   malignant samples; in split s of iris, wine and digits the class s modulo the number of classes; and elsewhere copies
   of the test rows whose columns are permuted independently, each usual by itself. Isolation forest and local outlier
   factor have scikit-learn's settings, since no labels are at hand to choose others; the mixture is tuned as above.
3. ``imputation``: a fifth of all cells is missing at random, in training and in test rows. The error is the root mean
   square over the missing test cells, in standard deviations of the known training cells. Ours is the mean of the
   draws. Neighbours are chosen in number, and iterated regressions in kind, by hiding a tenth of the known training
   cells once more.

A run is one method on one split. It says why each training ended (``stopped``): "schedule" where the learning rate had
fallen to 0 or the rounds were over, their number being part of the setting; "converged" where the next round would
change too little; "exact" where nothing is iterated. At the end, ``summary`` rows hold the means over the splits with
their standard errors, and by how much the defaults are ahead of each method, paired by split: positive is better, for
errors too. Splits share rows, so these errors have the correction of Nadeau and Bengio (2003).
"""

import json
import math
import warnings

import numpy as np
import torch
from run import main, reasons, select
from sklearn import datasets
from sklearn.ensemble import ExtraTreesRegressor, IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from made.estimator import MADEDensity, Settings

EXPECTED = "some hours"
CONFIG = {
    "tasks": {
        "density": {
            "splits": 10,
            "data": ["iris", "wine", "breast_cancer", "diabetes", "ring", "pixels"],
            "methods": ["made", "gaussian_mixture", "kernel_density"],
            "made": {"kinds": "real"},
        },
        "anomaly": {
            "splits": 4,
            "data": ["iris", "wine", "breast_cancer", "digits", "diabetes_permuted", "breast_cancer_permuted"],
            "methods": ["made", "gaussian_mixture", "isolation_forest", "local_outlier_factor"],
            "made": {},
        },
        "imputation": {
            "splits": 2,
            "data": ["iris", "wine", "diabetes"],
            "methods": ["made", "column_mean", "neighbours", "iterative"],
            "made": {},
        },
    },
    "fewer_splits": {"pixels": 2, "digits": 2},  # which take long
    "rows": {"ring": 2500, "pixels": 20000},
    "gaussian_mixture": {
        "components": [1, 2, 3, 4, 5, 6, 8, 10, 12],
        "covariances": ["full", "tied", "diag", "spherical"],
        "regularisations": [1e-6, 1e-3, 1e-2, 1e-1],
    },
    "large_gaussian_mixture": {  # for 5000 training rows and more
        "components": [20, 40, 80, 160],
        "covariances": ["full"],
        "regularisations": [1e-6, 1e-4],
    },
    "bandwidths": [round(0.02 * 1.255**j, 4) for j in range(20)],
    "neighbours": [1, 3, 5, 10, 20],
    "missing": 0.2,
    "draws": 50,
}
TINY = {"components": [1, 2], "covariances": ["full"], "regularisations": [0.1]}
TOY = {
    **CONFIG,
    "tasks": {
        name: {**task, "splits": 2, "data": task["data"][:1], "made": {**task["made"], "hidden": [4], "epochs": 1}}
        for name, task in CONFIG["tasks"].items()
    },
    "gaussian_mixture": TINY,
    "bandwidths": [0.2, 0.5],
    "neighbours": [3],
    "draws": 2,
}
LARGE = 5000
TEST_SHARE = 0.2


def load(config, data):
    """The rows of a table, and their classes or None."""
    shipped = {name: getattr(datasets, f"load_{name}") for name in ("iris", "wine", "breast_cancer", "digits")}
    if data in shipped:
        return shipped[data](return_X_y=True)
    if data == "diabetes":
        return datasets.load_diabetes(return_X_y=True)[0], None
    return {"ring": ring, "pixels": pixels}[data](config["rows"][data], np.random.RandomState(0)), None


def ring(n, random):
    """Eight Gaussians of standard deviation 0.14 on a circle of radius 2."""
    angle = 2 * np.pi * random.randint(8, size=n) / 8
    return np.column_stack([2 * np.cos(angle), 2 * np.sin(angle)]) + 0.14 * random.normal(size=(n, 2))


def pixels(n, random):
    """Row and column of pixels, their red, green and blue, and those of the pixel to the right."""
    image = datasets.load_sample_image("china.jpg").astype(float)
    row, column = random.randint(image.shape[0], size=n), random.randint(image.shape[1] - 1, size=n)
    rows = np.column_stack([row, column, image[row, column], image[row, column + 1]])
    return rows + random.uniform(size=rows.shape)


def divide(X, split):
    """Training rows, and a random fifth for the test."""
    order = np.random.RandomState(split).permutation(len(X))
    n_train = int((1 - TEST_SHARE) * len(X))
    return X[order[:n_train]], X[order[n_train:]]


def measure(config, folder, task, data, split=None, method=None, of=None):
    """Do one run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a candidate that has not converged scores accordingly
        if task == "summary":
            return summary(config, json.loads((folder / "tables.json").read_text())["runs"], of, data)
        return {"density": density, "anomaly": anomaly, "imputation": imputation}[task](config, data, split, method)


def density(config, data, split, method):
    """Mean log-density of the test rows, in nats."""
    train, test = divide(load(config, data)[0], split)
    scaler = StandardScaler().fit(train)
    model, found = estimator(config, "density", method, scaler.transform(train), split)
    scores = model.score_samples(scaler.transform(test))
    return {"score": round(float(scores.mean()), 4), "rows": len(test), **found}


def anomaly(config, data, split, method):
    """Area under the ROC curve: the chance that an unusual row scores lower than a usual one."""
    permuted = data.endswith("_permuted")
    X, classes = load(config, data.removesuffix("_permuted"))
    if permuted:
        train, test = divide(X, split)
        random = np.random.RandomState([split, 1])
        unusual = np.column_stack([random.permutation(column) for column in test.T])
    else:
        held_out = 0 if data == "breast_cancer" else split % (classes.max() + 1)  # 0 is malignant
        train, test = divide(X[classes != held_out], split)
        unusual = X[classes == held_out]
    scale = FunctionTransformer() if method == "made" else StandardScaler()  # made is given the table as it is
    model, found = estimator(config, "anomaly", method, scale.fit_transform(train), split)
    scores = model.score_samples(scale.transform(np.concatenate([test, unusual])))
    area = roc_auc_score(np.arange(len(scores)) < len(test), scores)
    return {"score": round(float(area), 4), "rows": len(test), "unusual": len(unusual), **found}


def estimator(config, task, method, train, seed):
    """A method that has learned from the training rows, its setting, and why its training ended."""
    if method == "made":
        return defaults(config, task, train, seed)
    if method == "isolation_forest":
        return IsolationForest(random_state=seed).fit(train), {"setting": {}, "stopped": "exact"}
    if method == "local_outlier_factor":
        return LocalOutlierFactor(novelty=True).fit(train), {"setting": {}, "stopped": "exact"}
    if method == "kernel_density":
        chosen = tune(KernelDensity(), {"bandwidth": config["bandwidths"]}, train[:4000]).best_params_
        return KernelDensity(**chosen).fit(train), {"setting": chosen, "stopped": "exact"}
    grid = config["large_gaussian_mixture" if len(train) >= LARGE else "gaussian_mixture"]
    names = {"components": "n_components", "covariances": "covariance_type", "regularisations": "reg_covar"}
    search = tune(GaussianMixture(random_state=seed), {names[key]: values for key, values in grid.items()}, train)
    chosen = {**search.best_params_, "n_init": 3}
    model = GaussianMixture(random_state=seed, **chosen).fit(train)
    return model, {"setting": chosen, "stopped": "converged" if model.converged_ else "epochs"}


def defaults(config, task, train, seed):
    """A ``MADEDensity`` that has learned, the settings that suit so many rows, and why its trainings ended."""
    options = config["tasks"][task]["made"]
    model = MADEDensity(random_state=seed, **options).fit(train)
    setting = {**Settings.suitable(len(train), model.n_masks_ != 1)._asdict(), **options}
    falls = {"epochs": "schedule"} if model.schedule == "cosine" else {}  # the learning rate to 0
    histories = model.history_
    found = {
        "stopped": [falls.get(history.stopped, history.stopped) for history in histories],
        "epochs": [len(history.train) for history in histories],
        "best_epoch": [history.best_epoch for history in histories],
    }
    return model, {"setting": setting, **found}


def tune(model, grid, train):
    """Cross-validated likelihood of every setting; those that cannot be fitted are left out."""
    folds = KFold(2 if len(train) >= LARGE else 5, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that settings failed, and that their scores are not finite
        return GridSearchCV(model, grid, cv=folds, refit=False, error_score=-np.inf).fit(train)


def imputation(config, data, split, method):
    """Root mean square error over the missing cells of the test rows, in standard deviations."""
    train, test = divide(load(config, data)[0], split)
    random = np.random.RandomState([split, 1])
    train, holes = hide(train, config["missing"], random)[0], hide(test, config["missing"], random)
    mean, scale = np.nanmean(train, 0), np.nanstd(train, 0)
    train, test, known = (train - mean) / scale, (test - mean) / scale, (holes[0] - mean) / scale
    if method == "made":
        model, found = defaults(config, "imputation", train, split)
        filled = np.mean([np.asarray(draw) for draw in model.impute(known, n_draws=config["draws"])], 0)
    else:
        imputer, chosen = choose(imputers(config, method, split), train, split)
        filled = imputer.fit(train).transform(known)
        found = {"setting": chosen, "stopped": "exact"}
        if method == "iterative":
            found["stopped"] = "converged" if imputer.n_iter_ < imputer.max_iter else "schedule"
    return {"score": round(error(filled, test, holes[1]), 4), "cells": int(holes[1].sum()), **found}


def hide(X, share, random):
    """The rows with a share of what is known made missing, and which cells those are."""
    hidden = (random.uniform(size=X.shape) < share) & ~np.isnan(X)
    return np.where(hidden, np.nan, X), hidden


def error(filled, true, cells):
    """Root mean square error over some cells."""
    return float(np.sqrt(np.mean((filled - true)[cells] ** 2)))


def imputers(config, method, seed):
    """The settings among which to choose."""
    if method == "column_mean":
        return [({}, SimpleImputer())]
    if method == "neighbours":
        return [({"n_neighbors": k}, KNNImputer(n_neighbors=k)) for k in config["neighbours"]]
    trees = ExtraTreesRegressor(30, min_samples_leaf=2, random_state=seed)
    return [
        ({"regression": "linear"}, IterativeImputer(BayesianRidge(), max_iter=30, random_state=seed)),
        ({"regression": "trees"}, IterativeImputer(trees, max_iter=5, random_state=seed)),
    ]


def choose(candidates, train, seed):
    """The imputer that is best at cells of the training rows that are hidden once more."""
    less, hidden = hide(train, 0.1, np.random.RandomState([seed, 2]))
    errors = [error(imputer.fit_transform(less), train, hidden) for _, imputer in candidates]
    chosen, imputer = candidates[int(np.argmin(errors))]
    return imputer, chosen


def summary(config, runs, of, data):
    """Means over the splits with standard errors, and how far the defaults are ahead, paired by split."""
    sign, found, stopped = -1 if of == "imputation" else 1, [], set()
    ours = np.array([row["score"] for row in select(runs, task=of, data=data, method="made")])
    for method in config["tasks"][of]["methods"]:
        rows = select(runs, task=of, data=data, method=method)
        values = np.array([row["score"] for row in rows])
        stopped.update(reasons(rows))
        ahead = mean_over_splits("ahead_", sign * (ours - values))
        found.append({"method": method, **mean_over_splits("", values), **ahead})
    best = max(found[1:], key=lambda row: sign * row["mean"])
    return {"methods": found, "best_other": best["method"], "ahead": best["ahead_mean"], "stopped": sorted(stopped)}


def mean_over_splits(prefix, values):
    """Mean and its standard error; as the splits share rows, the variance of splits counts for more than its share."""
    variance = values.var(ddof=1) * (1 / len(values) + TEST_SHARE / (1 - TEST_SHARE))
    return {f"{prefix}mean": round(float(values.mean()), 4), f"{prefix}stderr": round(math.sqrt(variance), 4)}


def jobs(config, runs):
    """The fields of every run: each method on each split of each table, then what they come to."""
    for task, options in config["tasks"].items():
        for data in options["data"]:
            for method in options["methods"]:
                for split in range(config["fewer_splits"].get(data, options["splits"])):
                    yield {"task": task, "data": data, "method": method, "split": split}
            yield {"task": "summary", "of": task, "data": data}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("tables", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
