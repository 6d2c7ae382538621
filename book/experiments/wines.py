"""The wines of chapter 8: MADE beside a Gaussian, regressions, naive Bayes and independent columns, on equal questions.

    python book/experiments/wines.py          2 minutes when recorded, on one core
    python book/experiments/wines.py --toy    a few seconds, into a temporary folder: only proves that it runs

Every wine is in the test rows of one of five folds, so there is one cost per wine; a run is one method with one
division into folds (``seed``). The questions, each with its costs: ``density``, the negative log-density of the whole
row in nats, the grower included; ``grower``, the negative log-probability of the true grower given the measurements, in
nats; ``wrong``, 1 where another grower is the most probable; ``alcohol``, the squared error of its mean given all other
columns, in variances of the column; ``gaps``, the summed squared error of the measurements, one in five, that were
hidden, given the others, in variances of their columns.

``made`` has the settings of the page. ``gaussian`` is one multivariate
normal distribution for each grower, with a mean of its own and a common full covariance, whose shrinkage to the
diagonal cross-validation chose on the training rows. ``regression`` is linear for alcohol and logistic for the grower;
its penalties are chosen alike. ``naive_bayes`` has independent measurements for each grower, ``independent`` takes all
columns as independent.
"""

import numpy as np
import run
import torch
from scipy import stats
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from made.estimator import MADEDensity

EXPECTED = "2 minutes"
CONFIG = {
    "methods": ["made", "gaussian", "regression", "naive_bayes", "independent"],
    "made": {"hidden": [32], "n_models": 2, "epochs": 2000, "patience": 50, "schedule": "constant"},
    "shrinkages": [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0],
    "penalties": [round(10 ** (j / 2), 4) for j in range(-6, 9)],
    "folds": 5,
    "missing": 0.2,
    "draws": 50,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {
    **CONFIG,
    "made": {"hidden": [4], "n_models": 2, "epochs": 1},
    "folds": 2,
    "draws": 2,
    "seeds": [0, 1],
}
GROWERS, ALCOHOL = 3, 1  # the grower is column 0
QUESTIONS = ("density", "grower", "wrong", "alcohol", "gaps")


def wines():
    """The grower and 13 measurements of 178 wines."""
    wine = load_wine()
    return np.column_stack([wine.target, wine.data])


class Made:
    """A ``MADEDensity`` that answers any question."""

    def __init__(self, config, train, seed):
        self.draws = config["draws"]
        options = {**config["made"], "kinds": {0: "categorical"}, "n_masks": None, "random_state": seed}
        self.density = MADEDensity(**options).fit(train)
        self.stopped = [history.stopped for history in self.density.history_]
        self.chosen = {"best_epoch": [history.best_epoch for history in self.density.history_]}

    def log_prob(self, x):
        return self.density.score_samples(x)

    def growers(self, x):
        return self.density.predict_proba(x, target=0)

    def alcohol(self, x):
        return self.density.predict(x, target=ALCOHOL)

    def fill(self, x):
        return np.mean(self.density.impute(x, n_draws=self.draws), 0)


class Normal:
    """A normal distribution for each grower, by their means and covariances, in columns of standard deviation 1."""

    stopped = "exact"

    def __init__(self, train, frequencies, means, covariances, chosen):
        self.shift, self.scale = train[:, 1:].mean(0), train[:, 1:].std(0)
        self.frequencies, self.means, self.covariances, self.chosen = frequencies, means, covariances, chosen

    def log_joint(self, x):
        """Log-density of the measurements with every grower: (N, growers)."""
        z = (x[:, 1:] - self.shift) / self.scale
        parts = [stats.multivariate_normal(*each).logpdf(z) for each in zip(self.means, self.covariances, strict=True)]
        return np.stack(parts, 1) + np.log(self.frequencies) - np.log(self.scale).sum()

    def log_prob(self, x):
        return self.log_joint(x)[np.arange(len(x)), x[:, 0].astype(int)]

    def growers(self, x):
        joint = self.log_joint(x)
        return np.exp(joint - np.logaddexp.reduce(joint, 1)[:, None])

    def alcohol(self, x):
        unknown = x.copy()
        unknown[:, ALCOHOL] = np.nan
        return self.fill(unknown)[:, ALCOHOL]

    def fill(self, x):
        """The conditional mean of what is missing, given the grower and what is known."""
        filled = x.copy()
        for row in filled:
            mean, covariance = self.means[int(row[0])], self.covariances[int(row[0])]
            z = (row[1:] - self.shift) / self.scale
            gap, known = np.isnan(z), ~np.isnan(z)
            weights = np.linalg.solve(covariance[np.ix_(known, known)], z[known] - mean[known])
            z[gap] = mean[gap] + covariance[np.ix_(gap, known)] @ weights
            row[1:] = z * self.scale + self.shift
        return filled


def normal(train, method, shrinkage=1.0):
    """A ``Normal`` that has learned: what the growers share depends on the method."""
    growers = train[:, 0].astype(int)
    z = (train[:, 1:] - train[:, 1:].mean(0)) / train[:, 1:].std(0)
    parts = [z if method == "independent" else z[growers == g] for g in range(GROWERS)]
    means = [part.mean(0) for part in parts]
    if method == "gaussian":
        covariance = np.cov((z - np.stack(means)[growers]).T, bias=True)
        shrunk = (1 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
        covariances, chosen = [shrunk] * GROWERS, {"shrinkage": shrinkage}
    else:
        covariances, chosen = [np.diag(part.var(0)) for part in parts], {}
    return Normal(train, np.bincount(growers) / len(train), means, covariances, chosen)


def best_gaussian(config, train):
    """With the shrinkage whose density is highest in cross-validation on the training rows."""
    folds = list(KFold(config["folds"], shuffle=True, random_state=0).split(train))

    def score(shrinkage):
        return np.mean([normal(train[a], "gaussian", shrinkage).log_prob(train[b]).mean() for a, b in folds])

    return normal(train, "gaussian", max(config["shrinkages"], key=score))


class Regression:
    """One regression for alcohol and one for the grower; it knows no density, and takes no gaps."""

    stopped = "exact"

    def __init__(self, config, train):
        penalties = config["penalties"]
        grid = {"C": [1 / penalty for penalty in penalties]}
        logistic = GridSearchCV(LogisticRegression(max_iter=5000), grid, scoring="neg_log_loss", cv=config["folds"])
        self.logistic = make_pipeline(StandardScaler(), logistic).fit(train[:, 1:], train[:, 0].astype(int))
        self.ridge = make_pipeline(StandardScaler(), RidgeCV(penalties)).fit(self.others(train), train[:, ALCOHOL])
        self.chosen = {"ridge": float(self.ridge[-1].alpha_), "logistic": 1 / self.logistic[-1].best_params_["C"]}

    def others(self, x):
        """All columns but alcohol, the grower as indicators."""
        return np.column_stack([np.eye(GROWERS)[x[:, 0].astype(int)], np.delete(x[:, 1:], ALCOHOL - 1, 1)])

    def growers(self, x):
        return self.logistic.predict_proba(x[:, 1:])

    def alcohol(self, x):
        return self.ridge.predict(self.others(x))


def learned(config, train, method, seed):
    """A method that has learned from the training rows."""
    if method == "made":
        return Made(config, train, seed)
    if method == "regression":
        return Regression(config, train)
    return best_gaussian(config, train) if method == "gaussian" else normal(train, method)


def answers(model, x, gaps, spread):
    """The costs of every question that the method can answer."""
    grower = x[:, 0].astype(int)
    p = model.growers(x)
    found = {
        "grower": -np.log(p[np.arange(len(x)), grower]),
        "wrong": p.argmax(1) != grower,
        "alcohol": ((model.alcohol(x) - x[:, ALCOHOL]) / spread[ALCOHOL]) ** 2,
    }
    if hasattr(model, "fill"):
        found["density"] = -model.log_prob(x)
        filled = model.fill(np.where(gaps, np.nan, x))
        found["gaps"] = np.where(gaps, ((filled - x) / spread) ** 2, 0).sum(1)
    return found


def measure(config, folder, method, seed):
    """Train on all folds but one, ask about that one, five times."""
    x, random = wines(), np.random.RandomState([seed, 1])
    gaps = random.uniform(size=x.shape) < config["missing"]
    gaps[:, 0] = False
    costs = {question: np.full(len(x), np.nan) for question in QUESTIONS}
    stopped, chosen = [], []
    for train, test in KFold(config["folds"], shuffle=True, random_state=seed).split(x):
        model = learned(config, x[train], method, seed)
        for question, values in answers(model, x[test], gaps[test], x.std(0)).items():
            costs[question][test] = values
        stopped += [model.stopped] if isinstance(model.stopped, str) else model.stopped
        chosen.append(model.chosen)
    known = {question: torch.from_numpy(values) for question, values in costs.items() if not np.isnan(values).any()}
    return {
        "setting": {"folds": config["folds"], "rows": len(x), "options": config.get(method, {})},
        "stopped": stopped,
        "chosen": chosen,
        "gaps": int(gaps.sum()),
        **{question: run.nats(-values) for question, values in known.items() if question != "gaps"},
        **({"gap": round(float(known["gaps"].sum() / gaps.sum()), 4)} if "gaps" in known else {}),
        **{f"{question}_costs": values for question, values in known.items()},
    }


def jobs(config, runs):
    """The fields of every run."""
    for method in config["methods"]:
        yield from ({"method": method, "seed": seed} for seed in config["seeds"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("wines", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
