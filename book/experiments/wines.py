"""The wines of chapter 9: MADE beside a Gaussian, regressions, naive Bayes and independent columns, on equal questions.

The chapter imports this. Every wine is in the test rows of one of five folds, so there is one cost per wine. The
questions are: ``density``, the negative log-density of the whole row in nats, the grower included; ``grower``, the
negative log-probability of the true grower given the measurements, in nats; ``wrong``, 1 where another grower is the
most probable; ``alcohol``, the squared error of its mean given all other columns, in variances of the column; ``gaps``,
the summed squared error of the measurements, one in five, that were hidden, given the others, in variances of their
columns.

``made`` is a ``MADEDensity``. ``gaussian`` is one multivariate normal distribution for each grower, with a mean of its
own and a common full covariance, whose shrinkage to the diagonal cross-validation chose on the training rows.
``regression`` is linear for alcohol and logistic for the grower; its penalties are chosen alike. ``naive_bayes`` has
independent measurements for each grower, ``independent`` takes all columns as independent.
"""

import numpy as np
from scipy import stats
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from made.estimator import MADEDensity

SHRINKAGES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
PENALTIES = [10.0**j for j in range(-3, 5)]
FOLDS, MISSING, DRAWS = 5, 0.2, 50
GROWERS, ALCOHOL = 3, 1  # the grower is column 0


def wines():
    """The grower and 13 measurements of 178 wines."""
    wine = load_wine()
    return np.column_stack([wine.target, wine.data])


class Made:
    """A ``MADEDensity`` that answers any question."""

    def __init__(self, train, settings):
        self.density = MADEDensity(kinds={0: "categorical"}, n_masks=None, **settings).fit(train)
        self.stopped = [history.stopped for history in self.density.history_]

    def log_prob(self, x):
        return self.density.score_samples(x)

    def growers(self, x):
        return self.density.predict_proba(x, target=0)

    def alcohol(self, x):
        return self.density.predict(x, target=ALCOHOL)

    def fill(self, x):
        return np.mean(self.density.impute(x, n_draws=DRAWS), 0)


class Normal:
    """A normal distribution for each grower, by their means and covariances, in columns of standard deviation 1."""

    stopped = ("exact",)

    def __init__(self, train, frequencies, means, covariances):
        self.shift, self.scale = train[:, 1:].mean(0), train[:, 1:].std(0)
        self.frequencies, self.means, self.covariances = frequencies, means, covariances

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
        covariances = [shrunk] * GROWERS
    else:
        covariances = [np.diag(part.var(0)) for part in parts]
    return Normal(train, np.bincount(growers) / len(train), means, covariances)


def best_shrinkage(train):
    """The one whose density is highest in cross-validation on the training rows."""
    folds = list(KFold(FOLDS, shuffle=True, random_state=0).split(train))

    def score(shrinkage):
        return np.mean([normal(train[a], "gaussian", shrinkage).log_prob(train[b]).mean() for a, b in folds])

    return max(SHRINKAGES, key=score)


class Regression:
    """One regression for alcohol and one for the grower; it knows no density, and takes no gaps."""

    stopped = ("exact",)

    def __init__(self, train):
        grid = {"C": [1 / penalty for penalty in PENALTIES]}
        logistic = GridSearchCV(LogisticRegression(max_iter=5000), grid, scoring="neg_log_loss", cv=FOLDS)
        self.logistic = make_pipeline(StandardScaler(), logistic).fit(train[:, 1:], train[:, 0].astype(int))
        self.ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(self.others(train), train[:, ALCOHOL])

    def others(self, x):
        """All columns but alcohol, the grower as indicators."""
        return np.column_stack([np.eye(GROWERS)[x[:, 0].astype(int)], np.delete(x[:, 1:], ALCOHOL - 1, 1)])

    def growers(self, x):
        return self.logistic.predict_proba(x[:, 1:])

    def alcohol(self, x):
        return self.ridge.predict(self.others(x))


def learned(train, method, settings):
    """A method that has learned from the training rows."""
    if method == "made":
        return Made(train, settings)
    if method == "regression":
        return Regression(train)
    return normal(train, method, best_shrinkage(train) if method == "gaussian" else 1.0)


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


def costs(method, seed=0, **settings):
    """The costs of every wine, for each question that the method can answer, and why its trainings ended."""
    x, random = wines(), np.random.RandomState([seed, 1])
    gaps = random.uniform(size=x.shape) < MISSING
    gaps[:, 0] = False
    found, stopped = {"hidden": gaps.sum(1)}, []
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(x):
        model = learned(x[train], method, settings)
        stopped += model.stopped
        for question, values in answers(model, x[test], gaps[test], x.std(0)).items():
            found.setdefault(question, np.empty(len(x)))[test] = values
    return found, stopped
