"""made/likelihoods.py, against scipy, numerical integration, torch and formulas written out."""

import json
import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

import made
from made import Bernoulli, Categorical, Columns, DiscretizedLogistic, Gaussian, MixtureOfGaussians
from made.formats import from_config, to_config
from made.likelihoods import LIKELIHOODS, Likelihood

G = torch.Generator().manual_seed(0)
COLUMNS = [Categorical(3), Gaussian(), DiscretizedLogistic(5, components=2), Gaussian()]
EXAMPLES = [
    Bernoulli(),
    Categorical(2),
    Categorical(5),
    Gaussian(),
    Gaussian(min_scale=0.5),
    Gaussian(min_scale=0.1, scale_map="exp"),
    MixtureOfGaussians(1),
    MixtureOfGaussians(3, min_scale=0.2),
    DiscretizedLogistic(2, components=1),
    MixtureOfGaussians(2, scale_map="exp"),
    DiscretizedLogistic(6, components=3, min_scale=0.1),
    DiscretizedLogistic(5, components=2, scale_map="exp"),
    Columns(COLUMNS),
]
ALIKE = EXAMPLES[:-1]  # all variables alike
every_likelihood = pytest.mark.parametrize("likelihood", EXAMPLES, ids=str)
logits = st.floats(-30, 30)
GRID = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000  # uniforms without luck


def raw(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def values(likelihood, *shape):
    x, g = raw(*shape), torch.Generator().manual_seed(2)
    for i in range(shape[-1]):
        if n_states := likelihood.select([i]).n_states:
            x[..., i] = torch.randint(n_states, shape[:-1], generator=g).double()
    return x


def raw_for(likelihood, *shape, draw=raw):
    """Raw outputs for rows of that shape: columns have theirs one after the other."""
    if isinstance(likelihood, Columns):
        return draw(*shape[:-1], likelihood.n_params)
    return draw(*shape, likelihood.n_params)


def softmax(a):
    return np.exp(a - np.logaddexp.reduce(a))


def scale(likelihood, s):
    """What the documentation says of scales, by another way to compute it."""
    grown = np.exp(s) if likelihood.scale_map == "exp" else np.logaddexp(0, s)
    return likelihood.min_scale + grown


def three_lists(params):
    """Logits, means and raw scales of a mixture's components."""
    k = len(params) // 3
    return params[:k], params[k : 2 * k], params[2 * k :]


class ScipyMixture:
    """A mixture of scipy's normal distributions, with the temperature on weights and variances."""

    def __init__(self, likelihood, params, temperature=1.0):
        logits, means, scales = three_lists(params)
        self.p = softmax(logits / temperature)
        self.parts = stats.norm(means, scale(likelihood, scales) * math.sqrt(temperature))

    def logpdf(self, x):
        return special.logsumexp(np.log(self.p) + self.parts.logpdf(float(x)))

    def cdf(self, x):
        return (self.p * self.parts.cdf(np.asarray(x)[:, None])).sum(1)


def logistic_masses(likelihood, params):
    """Differences of scipy's cumulative logistic distribution; the first and the last interval have no end."""
    edges = (2 * np.arange(likelihood.k + 1) - 1) / (likelihood.k - 1) - 1
    edges[0], edges[-1] = -np.inf, np.inf
    logits, means, scales = three_lists(params)
    parts = [stats.logistic(m, scale(likelihood, s)) for m, s in zip(means, scales, strict=True)]
    return sum(p * np.diff(part.cdf(edges)) for p, part in zip(softmax(logits), parts, strict=True))


def as_scipy(likelihood, params):
    """The scipy distribution of one variable with raw outputs ``params``."""
    if isinstance(likelihood, Bernoulli):
        return stats.bernoulli(1 / (1 + math.exp(-params[0])))
    if isinstance(likelihood, DiscretizedLogistic):
        return stats.rv_discrete(values=(range(likelihood.k), logistic_masses(likelihood, params)))
    if isinstance(likelihood, Categorical):
        return stats.rv_discrete(values=(range(likelihood.k), softmax(params)))
    if isinstance(likelihood, MixtureOfGaussians):
        return ScipyMixture(likelihood, params)
    return stats.norm(params[0], scale(likelihood, params[1]))


@pytest.mark.parametrize("likelihood", ALIKE, ids=str)
def test_log_prob_is_scipys_summed_over_variables(likelihood):
    params, x = raw(6, 4, likelihood.n_params), values(likelihood, 6, 4)
    found = likelihood.log_prob(params, x)
    assert found.shape == (6,)
    for n in range(6):
        expected = 0
        for i in range(4):
            d = as_scipy(likelihood, params[n, i].numpy())
            expected += d.logpdf(x[n, i]) if likelihood.n_states is None else d.logpmf(x[n, i])
        assert found[n].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("likelihood", ALIKE, ids=str)
def test_one_variable_sums_or_integrates_to_one(likelihood):
    params = raw(1, likelihood.n_params)
    density = lambda v: math.exp(likelihood.log_prob(params, torch.tensor([float(v)], dtype=torch.float64)))
    if likelihood.n_states is None:
        total = integrate.quad(density, -60, 60, points=params[0].tolist(), limit=400, epsabs=1e-10)[0]
    else:
        total = sum(density(v) for v in range(likelihood.n_states))
    assert total == pytest.approx(1, abs=1e-9)


@given(st.lists(st.tuples(logits, st.integers(0, 1)), min_size=1, max_size=5))
def test_bernoulli_is_the_binary_cross_entropy(pairs):
    a, x = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(a, x, reduction="sum")
    assert Bernoulli().log_prob(a.unsqueeze(-1), x).item() == pytest.approx(-bce.item(), rel=1e-12)
    naive = sum(math.log(1 / (1 + math.exp(-a)) if x else 1 / (1 + math.exp(a))) for a, x in pairs)
    assert -bce.item() == pytest.approx(naive, rel=1e-9, abs=1e-12)


@given(st.lists(logits, min_size=2, max_size=6), st.data())
def test_categorical_is_the_cross_entropy(a, data):
    x = data.draw(st.integers(0, len(a) - 1))
    found = Categorical(len(a)).log_prob(torch.tensor([a], dtype=torch.float64), torch.tensor([float(x)]).double())
    assert found.item() == pytest.approx(a[x] - np.logaddexp.reduce(a), abs=1e-9)


def test_two_categories_are_a_bernoulli_with_the_difference_of_logits():
    params, x = raw(9, 3, 2), values(Bernoulli(), 9, 3)
    difference = (params[..., 1] - params[..., 0]).unsqueeze(-1)
    assert torch.allclose(Categorical(2).log_prob(params, x), Bernoulli().log_prob(difference, x), atol=1e-12)


def test_gaussian_is_half_a_squared_error_when_the_scale_is_one():
    x, mean = raw(5, 3), raw(5, 3) + 1
    params = torch.stack([mean, torch.full_like(mean, math.log(math.expm1(1 - 1e-3)))], -1)
    expected = -0.5 * ((x - mean) ** 2).sum(-1) - 1.5 * math.log(2 * math.pi)
    assert torch.allclose(Gaussian().log_prob(params, x), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite_and_exact(dtype):
    a = torch.tensor([1000.0, -1000.0], dtype=dtype, requires_grad=True)
    for x, expected in [([1, 0], 0), ([0, 0], -1000), ([1, 1], -1000), ([0, 1], -2000)]:
        found = Bernoulli().log_prob(a.unsqueeze(-1), torch.tensor(x, dtype=dtype))
        assert found.item() == expected
        assert torch.autograd.grad(found, a)[0].isfinite().all()
    c = torch.tensor([[1000.0, 0.0, -1000.0]], dtype=dtype, requires_grad=True)
    for x, expected in [(0, 0), (1, -1000), (2, -2000)]:
        found = Categorical(3).log_prob(c, torch.tensor([x], dtype=dtype))
        assert found.item() == expected
        assert torch.autograd.grad(found, c)[0].isfinite().all()


def test_a_gaussian_scale_has_a_floor():
    params = torch.tensor([[2.0, -1000.0]], dtype=torch.float64)
    found = Gaussian(min_scale=0.01).log_prob(params, torch.tensor([2.0], dtype=torch.float64))
    assert found.item() == pytest.approx(stats.norm.logpdf(0, scale=0.01))
    assert Gaussian().distribution(params).scale.item() == pytest.approx(1e-3)


@every_likelihood
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(likelihood, dtype):
    params, x = raw_for(likelihood, 2, 3, 4).to(dtype), values(likelihood, 2, 3, 4).to(dtype)
    assert likelihood.distribution(params).batch_shape == (2, 3, 4)
    assert likelihood.log_prob(params, x).shape == (2, 3)
    assert likelihood.log_prob(params, x).dtype == dtype
    code = likelihood.inputs(x)
    assert (code.shape, code.dtype) == ((2, 3, sum(likelihood.sizes(4)[0])), dtype)
    if not isinstance(likelihood, Columns):
        assert torch.equal(likelihood.encode(x), code.view(2, 3, 4, likelihood.n_inputs))
    drawn = likelihood.sample(params, torch.rand(2, 3, 4, dtype=torch.float64, generator=G))
    assert (drawn.shape, drawn.dtype) == ((2, 3, 4), dtype)
    assert not likelihood.outside_support(drawn).any()
    # the distribution that is handed out gives the same numbers
    assert torch.allclose(likelihood.distribution(params).log_prob(x).sum(-1), likelihood.log_prob(params, x))


def test_encodings():
    x = torch.tensor([2.0, 0.0])
    assert Categorical(3).encode(x).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Bernoulli().encode(torch.tensor([1.0, 0.0])).tolist() == [[1], [0]]
    assert Gaussian().encode(x).tolist() == [[2], [0]]
    assert MixtureOfGaussians(4).encode(x).tolist() == [[2], [0]]
    assert DiscretizedLogistic(5).encode(torch.arange(5.0)).tolist() == [[-1], [-0.5], [0], [0.5], [1]]
    mixed = Columns([Gaussian(), Categorical(3), Bernoulli(), DiscretizedLogistic(3), Categorical(2)])
    code = mixed.inputs(torch.tensor([7.5, 2, 1, 0, 1]))
    assert code.tolist() == [7.5, 0, 0, 1, 1, -1, 0, 1]
    assert torch.equal(mixed.encode(torch.tensor([7.5, 2, 1, 0, 1])), code)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_bernoulli_samples_invert_the_cdf(temperature):
    p = 1 / (1 + math.exp(-0.7 / temperature))
    drawn = Bernoulli().sample(torch.full((20_000, 1), 0.7, dtype=torch.float64), GRID, temperature)
    assert drawn.mean().item() == pytest.approx(p, abs=1e-4)
    assert torch.equal(drawn, (p > GRID).double())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_categorical_samples_invert_the_cdf(temperature):
    a = torch.tensor([0.5, -1.0, 1.2, 0.0], dtype=torch.float64)
    p = np.exp(a.numpy() / temperature)
    p /= p.sum()
    drawn = Categorical(4).sample(a.expand(20_000, 4), GRID, temperature)
    assert torch.equal(drawn, drawn.sort().values)  # larger uniforms, larger values
    found = torch.bincount(drawn.long(), minlength=4) / 20_000
    assert found.numpy() == pytest.approx(p, abs=1.1e-4)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_gaussian_samples_invert_the_cdf(temperature):
    scale = 0.5 + math.log1p(math.exp(-0.3))
    params = torch.tensor([1.5, -0.3], dtype=torch.float64).expand(20_000, 2)
    drawn = Gaussian(min_scale=0.5).sample(params, GRID, temperature)
    expected = stats.norm.ppf(GRID.numpy(), 1.5, scale * math.sqrt(temperature))
    assert drawn.numpy() == pytest.approx(expected, abs=1e-9)


@every_likelihood
def test_without_a_temperature_the_distribution_itself_is_sampled(likelihood):
    D = likelihood.n_features or 1
    params = raw_for(likelihood, 200, D)
    u = torch.rand(200, D, dtype=torch.float64, generator=G)
    assert torch.equal(likelihood.sample(params, u), likelihood.sample(params, u, 1.0))
    assert not torch.equal(likelihood.sample(params, u), likelihood.sample(params, u, 2.0))


@every_likelihood
def test_extreme_uniforms_and_logits_give_values_in_the_support(likelihood):
    u = torch.tensor([torch.finfo(torch.float64).tiny, 0.5, 1 - 2**-53], dtype=torch.float64)
    u = u.unsqueeze(-1).expand(3, likelihood.n_features or 1)
    for scale in (0.0, 80.0, -80.0):
        for dtype in (torch.float32, torch.float64):
            params = raw_for(likelihood, *u.shape, draw=torch.zeros).to(dtype) + scale
            params[..., 0] = -scale
            assert not likelihood.outside_support(likelihood.sample(params, u)).any()


@pytest.mark.parametrize(
    ("likelihood", "good", "bad"),
    [
        (Bernoulli(), [0, 1], [0.5, -1, 2, math.nan, math.inf]),
        (Categorical(3), [0, 1, 2], [-1, 3, 0.5, math.nan, math.inf, -math.inf]),
        (Gaussian(), [0, -7.5, 1e30], [math.nan, math.inf, -math.inf]),
        (MixtureOfGaussians(2), [0, -7.5, 1e30], [math.nan, math.inf, -math.inf]),
        (DiscretizedLogistic(3), [0, 1, 2], [-1, 3, 0.5, math.nan, math.inf, -math.inf]),
    ],
    ids=str,
)
def test_values_outside_the_support_are_refused_with_their_place(likelihood, good, bad):
    likelihood.check(torch.tensor(good, dtype=torch.float32))
    params = torch.zeros(2, 2, likelihood.n_params)
    for value in bad:
        x = torch.tensor([[0, 0], [0, value]], dtype=torch.float32)
        message = rf"x must be {likelihood.support} for .*, got {float(value)} at position \(1, 1\)"
        with pytest.raises(ValueError, match=message):
            likelihood.check(x)
        with pytest.raises(ValueError, match=message):
            likelihood.log_prob(params, x)


@pytest.mark.parametrize("kind", [Categorical, DiscretizedLogistic])
@pytest.mark.parametrize("k", [1, 0, -3, 2.0, "3", None])
def test_a_finite_variable_needs_two_values(kind, k):
    with pytest.raises(ValueError, match="k must be an int of at least 2"):
        kind(k)


@pytest.mark.parametrize("k", [0, -3, 2.0, "3", None])
def test_a_mixture_needs_a_component(k):
    with pytest.raises(ValueError, match="k must be an int of at least 1"):
        MixtureOfGaussians(k)
    with pytest.raises(ValueError, match="components must be an int of at least 1"):
        DiscretizedLogistic(3, components=k)


@pytest.mark.parametrize("min_scale", [0, -1, math.inf, math.nan])
@pytest.mark.parametrize("kind", [Gaussian, lambda s: MixtureOfGaussians(2, s), lambda s: DiscretizedLogistic(3, 1, s)])
def test_a_scale_needs_a_positive_floor(kind, min_scale):
    with pytest.raises(ValueError, match="min_scale must be a positive number"):
        kind(min_scale)


@pytest.mark.parametrize("columns", [[], 5, None, [Gaussian], [Bernoulli(), "gaussian"], [Columns([Gaussian()])]])
def test_columns_must_be_likelihoods(columns):
    with pytest.raises(TypeError, match="columns must be likelihoods"):
        Columns(columns)


def test_a_mixture_of_one_is_a_gaussian():
    params, x = raw(9, 3, 2), values(Gaussian(), 9, 3)
    with_logit = torch.cat([raw(9, 3, 1) + 3, params], -1)
    one = MixtureOfGaussians(1, min_scale=0.1)
    assert torch.allclose(one.log_prob(with_logit, x), Gaussian(0.1).log_prob(params, x), rtol=0, atol=1e-12)
    u = torch.rand(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(one.sample(with_logit, u, 0.7), Gaussian(0.1).sample(params, u, 0.7), rtol=0, atol=1e-9)


MIXTURE = np.array([0.3, -0.5, 0.9, -3.0, 0.5, 4.0, -0.4, 0.2, -1.5])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_mixture_samples_have_the_mixtures_distribution(temperature):
    """Uniforms on a grid: the sorted samples must lie where the cumulative distribution says."""
    likelihood = MixtureOfGaussians(3, min_scale=0.1)
    drawn = likelihood.sample(torch.tensor(MIXTURE).expand(20_000, 9), GRID, temperature)
    exact = ScipyMixture(likelihood, MIXTURE, temperature)
    assert exact.cdf(drawn.sort().values.numpy()) == pytest.approx(GRID.numpy(), abs=2e-4)
    assert drawn.mean().item() == pytest.approx((exact.p * exact.parts.mean()).sum(), abs=2e-3)
    second = exact.p * (exact.parts.var() + exact.parts.mean() ** 2)
    assert drawn.square().mean().item() == pytest.approx(second.sum(), rel=2e-3)


def test_a_component_without_weight_is_never_chosen():
    """Not even where rounding leaves the sum of the others below the largest uniform."""
    params, g = torch.zeros(500, 15, dtype=torch.float64), torch.Generator().manual_seed(0)
    params[:, :4] = torch.randn(500, 4, generator=g)
    params[:, 4], params[:, 9] = -2000, 1e9  # the last one: no weight, and far away
    drawn = MixtureOfGaussians(5).sample(params, torch.full((500,), 1 - 2**-53, dtype=torch.float64))
    assert (drawn.abs() < 1e3).all()


def test_what_is_left_of_a_uniform_never_reaches_0_or_1():
    """Not even where rounding takes it there: here the uniform itself is at an end of the open interval."""
    params = torch.zeros(2, 3, dtype=torch.float64)
    params[:, 1] = 5.0
    drawn = MixtureOfGaussians(1).sample(params, torch.tensor([0.0, 1.0], dtype=torch.float64))
    ends = stats.norm.ppf([np.finfo(float).tiny, 1 - 2**-53])
    assert drawn.numpy() == pytest.approx(5 + (math.log(2) + 1e-3) * ends, rel=1e-12)


@pytest.mark.parametrize("k", [2, 3, 17, 256])
def test_discretized_logistic_masses_are_scipys_and_sum_to_one(k):
    likelihood, params = DiscretizedLogistic(k, components=2, min_scale=0.01), raw(8, 6)
    found = likelihood.log_masses(params).exp().numpy()
    assert found.sum(-1) == pytest.approx(np.ones(8), abs=1e-12)
    for n in range(8):
        assert found[n] == pytest.approx(logistic_masses(likelihood, params[n].numpy()), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("likelihood", [DiscretizedLogistic(256, 2), MixtureOfGaussians(2)], ids=str)
def test_extreme_raw_outputs_of_mixtures_stay_finite(likelihood, dtype):
    for logit in (0.0, 1000.0, -1000.0):
        for mean in (0.0, 300.0, -300.0):
            for log_scale in (0.0, -1000.0, 20.0):
                params = torch.tensor([logit, 0.0, mean, 0.5, log_scale, -3.0], dtype=dtype, requires_grad=True)
                x = torch.tensor([0.0, 1, 100, 255], dtype=dtype)
                found = likelihood.log_prob(params.expand(4, 6), x)
                assert found.isfinite()
                assert torch.autograd.grad(found, params)[0].isfinite().all()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_discretized_logistic_samples_invert_the_cdf(temperature):
    likelihood = DiscretizedLogistic(6, components=2)
    params = torch.tensor([0.4, -0.2, -0.5, 0.7, -1.0, -0.6], dtype=torch.float64)
    p = logistic_masses(likelihood, params.numpy()) ** (1 / temperature)
    drawn = likelihood.sample(params.expand(20_000, 6), GRID, temperature)
    assert torch.equal(drawn, drawn.sort().values)
    assert (torch.bincount(drawn.long(), minlength=6) / 20_000).numpy() == pytest.approx(p / p.sum(), abs=1.1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_columns_do_what_each_of_them_does_alone(temperature):
    """Kinds that come back, and kinds between them: nothing may change places."""
    mixed = Columns([*COLUMNS, Bernoulli(), MixtureOfGaussians(2), Categorical(3)])
    params, x, u = raw(5, mixed.n_params), values(mixed, 5, 7), torch.rand(5, 7, dtype=torch.float64, generator=G)
    assert (mixed.n_params, mixed.n_inputs, mixed.n_features, mixed.n_states) == (
        3 + 2 + 6 + 2 + 1 + 6 + 3,
        11,
        7,
        None,
    )
    assert mixed.sizes(7) == ([3, 1, 1, 1, 1, 1, 3], [3, 2, 6, 2, 1, 6, 3])
    total, d = torch.zeros(5, dtype=torch.float64), mixed.distribution(params)
    codes, drawn = mixed.inputs(x).split(mixed.sizes(7)[0], 1), mixed.sample(params, u, temperature)
    for i, (kind, own) in enumerate(zip(mixed.columns, params.split(mixed.sizes(7)[1], 1), strict=True)):
        assert torch.equal(mixed.take(params, [i]), own)
        own = own.unsqueeze(1)
        alone = kind.log_prob(own, x[:, i : i + 1])
        total += alone
        assert torch.allclose(d.log_prob(x)[:, i], alone, rtol=0, atol=1e-12)
        assert torch.equal(codes[i], kind.encode(x[:, i]))
        assert torch.equal(drawn[:, i], kind.sample(own, u[:, i : i + 1], temperature)[:, 0])
        one = torch.full((5,), i)
        assert torch.equal(mixed.sample_one(params, one, u[:, i], temperature), drawn[:, i])
    assert torch.allclose(mixed.log_prob(params, x), total, rtol=0, atol=1e-12)
    each = torch.tensor([4, 0, 5, 2, 6])
    assert torch.equal(mixed.sample_one(params, each, u[range(5), each], temperature), drawn[range(5), each])


def test_a_row_may_ask_for_a_variable_of_its_own():
    for likelihood in ALIKE:
        params, u = raw(6, 4, likelihood.n_params), torch.rand(6, 4, dtype=torch.float64, generator=G)
        each = torch.tensor([3, 0, 1, 1, 2, 0])
        found = likelihood.sample_one(params, each, u[range(6), each])
        assert torch.allclose(found, likelihood.sample(params, u)[range(6), each], rtol=0, atol=1e-12)
        assert torch.equal(likelihood.take(params, [2, 0]), params[:, [2, 0]])
        flat = params.flatten(1)
        assert torch.equal(likelihood.unflatten(flat, 4), params)


def test_some_of_the_columns():
    mixed = Columns(COLUMNS)
    some = mixed.select([3, 0])
    assert some.columns == (Gaussian(), Categorical(3))
    assert (some.n_inputs, some.n_params, some.n_features) == (1 + 3, 2 + 3, 2)
    params, u = raw(4, mixed.n_params), torch.rand(4, 4, dtype=torch.float64, generator=G)
    assert torch.equal(some.sample(mixed.take(params, [3, 0]), u[:, [3, 0]]), mixed.sample(params, u)[:, [3, 0]])
    assert Columns([Bernoulli(), Categorical(4)]).n_states == 4
    assert Bernoulli().select([2]) == Bernoulli()


def test_columns_cost_the_sum_of_their_widths():
    """One column of 1,000 levels among 50 of two: nothing grows with the number of columns times the widest."""
    likelihood = Columns([Categorical(1000)] + [Bernoulli()] * 50)
    model = made.MADE(51, hidden=(100,), likelihood=likelihood)
    n, H = 1050, 100
    assert sum(p.numel() for p in model.parameters()) == H * n + H + n * H + n + n * n
    assert model(torch.zeros(2, 51)).shape == (2, n)


def test_columns_hand_out_a_distribution_that_can_be_sampled():
    mixed = Columns(COLUMNS)
    params = raw(mixed.n_params)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = mixed.distribution(params).sample((20_000,))
    assert drawn.shape == (20_000, 4)
    assert not mixed.outside_support(drawn).any()
    assert drawn[:, 1].mean().item() == pytest.approx(params[3].item(), abs=0.1)
    expected = logistic_masses(COLUMNS[2], params[5:11].numpy())
    assert (torch.bincount(drawn[:, 2].long()) / 20_000).numpy() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("place", "value", "kind"),
    [(0, 3.0, "a whole number from 0 to 2 for .*Categorical"), (1, math.nan, "a finite number for .*Gaussian"),
     (2, 2.5, "a whole number from 0 to 4 for .*DiscretizedLogistic"), (3, math.inf, "a finite number for .*Gaussian")],
)  # fmt: skip
def test_a_bad_value_in_a_column_is_refused_by_that_column(place, value, kind):
    x = torch.zeros(2, 4)
    Columns(COLUMNS).check(x)
    x[1, place] = value
    with pytest.raises(ValueError, match=rf"x must be {kind}.*, got {value} at position \(1, {place}\)"):
        Columns(COLUMNS).check(x)


@every_likelihood
def test_a_likelihood_survives_being_written_down(likelihood):
    config = json.loads(json.dumps(to_config(likelihood)))
    again = from_config(config)
    assert again == likelihood
    assert type(again) is type(likelihood)
    assert (again.n_params, again.n_inputs) == (likelihood.n_params, likelihood.n_inputs)
    assert again.sizes(4) == likelihood.sizes(4)
    assert {type(one) for one in EXAMPLES} == set(LIKELIHOODS)


def test_likelihoods_are_plain_values():
    assert Categorical(3) == Categorical(3)
    assert Categorical(3) != Categorical(4)
    assert repr(Gaussian()) == "Gaussian(min_scale=0.001)"
    assert MixtureOfGaussians(2) == MixtureOfGaussians(2, 1e-3)
    assert DiscretizedLogistic(3) == DiscretizedLogistic(3, 5, 1e-3)
    assert Gaussian() != Gaussian(scale_map="exp")
    assert len({Bernoulli(), Bernoulli(), Gaussian(0.1), Gaussian(0.1)}) == 2


@pytest.mark.parametrize("missing", ["distribution", "sample", "outside_support"])
def test_a_likelihood_that_lacks_a_method_cannot_be_made(missing):
    methods = {name: getattr(Bernoulli, name) for name in ("distribution", "sample", "outside_support")}
    whole = type("Own", (Likelihood,), {**methods, "n_params": 1, "support": "0 or 1"})
    assert whole().outside_support(torch.tensor([0.5])).all()
    del methods[missing]
    with pytest.raises(TypeError, match=f"abstract.* {missing}"):
        type("Own", (Likelihood,), methods)()


@pytest.mark.parametrize("likelihood", [DiscretizedLogistic(256), Columns([DiscretizedLogistic(256), Gaussian()])])
def test_a_log_probability_computes_only_the_level_that_is_asked_for(likelihood, monkeypatch):
    model, x = made.MADE(2, (4,), likelihood=likelihood), torch.tensor([[3.0, 7.0]])
    expected = model.conditionals(x).log_prob(x).sum(-1)
    monkeypatch.delattr(DiscretizedLogistic, "log_masses")
    assert torch.allclose(model.log_prob(x), expected)
    assert torch.allclose(likelihood.log_prob(model(x), x), expected)


class Ordinal(Categorical):
    """Counts whose network sees a number and whose outputs are fewer than its values: everything is defined anew."""

    n_inputs = 1
    support = "a grade"

    @property
    def n_params(self):
        return 1

    def distribution(self, params, validate_args=None):
        logits = -params * torch.arange(self.k)
        return torch.distributions.Categorical(logits=logits, validate_args=validate_args)

    def sample(self, params, u, temperature=1.0):
        return super().sample(-params * torch.arange(self.k), u, temperature)

    def encode(self, x):
        return x.unsqueeze(-1)


def test_what_a_subclass_defines_itself_stays():
    likelihood = Ordinal(np.int64(5))
    assert (likelihood.k, likelihood.n_params, likelihood.n_inputs, likelihood.n_states) == (5, 1, 1, 5)
    with pytest.raises(ValueError, match="x must be a grade for"):
        likelihood.check(torch.tensor([7.0]))
    model = made.MADE(4, (6,), likelihood=likelihood).double()
    assert made.diagnostics.total_probability(model) == pytest.approx(1, abs=1e-12)
    drawn = model.sample(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, model.sample(20, generator=torch.Generator().manual_seed(0), method="naive"))
    assert drawn.unique().tolist() == [0, 1, 2, 3, 4]


# ----------------------------------------------------------------- numbers that stay finite and right


SCALED = [Gaussian(), MixtureOfGaussians(1), MixtureOfGaussians(3), DiscretizedLogistic(7, 2)]
SCALED += [
    type(one)(**{**vars_of, "scale_map": "exp"})
    for one in SCALED
    for vars_of in [to_config(one)]
    if vars_of.pop("name")
]
any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("likelihood", SCALED, ids=lambda one: f"{one} {one.scale_map}")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(data=st.data())
def test_every_finite_number_gives_finite_densities_gradients_and_samples(likelihood, dtype, data):
    numbers = any_float32 if dtype == torch.float32 else st.floats(allow_nan=False, allow_infinity=False)
    params = data.draw(st.lists(numbers, min_size=2 * likelihood.n_params, max_size=2 * likelihood.n_params))
    params = torch.tensor(params, dtype=dtype).unflatten(0, (2, -1)).requires_grad_()
    if likelihood.n_states is None:
        x = torch.tensor(data.draw(st.lists(numbers, min_size=2, max_size=2)), dtype=dtype)
    else:
        x = torch.tensor(data.draw(st.lists(st.integers(0, 6), min_size=2, max_size=2)), dtype=dtype)
    found = likelihood.log_prob(params, x)
    assert found.isfinite()
    assert torch.autograd.grad(found, params)[0].isfinite().all()
    u = torch.tensor(data.draw(st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), min_size=2, max_size=2)))
    drawn = likelihood.sample(params.detach(), u.double())
    assert not likelihood.outside_support(drawn).any()
    assert likelihood.inputs(x).isfinite().all()


@given(st.floats(-1e6, 1e6), st.floats(-5, 5), st.floats(-20, 20), st.floats(-5, 5))
def test_densities_are_those_of_mpmath_up_to_a_million_standard_deviations(z, mean, s, other):
    """In float32, from numbers as float32 holds them, compared with 50 digits."""
    params = torch.tensor([[mean, s]])
    mean, s = params[0].tolist()
    sigma = mpmath.mpf(1e-3) + mpmath.log1p(mpmath.exp(s))
    x = torch.tensor([mean + z * float(sigma)])

    def log_normal(m, sigma):
        return -((x.item() - mpmath.mpf(m)) ** 2) / (2 * sigma**2) - mpmath.log(sigma) - mpmath.log(2 * mpmath.pi) / 2

    expected = log_normal(mean, sigma)
    assert Gaussian().log_prob(params, x).item() == pytest.approx(float(expected), rel=1e-5, abs=1e-5)
    two = torch.tensor([[0.5, -0.5, mean, other, s, -s]])
    a, b, m1, m2, s1, s2 = map(mpmath.mpf, two[0].tolist())
    sigma_2 = mpmath.mpf(1e-3) + mpmath.log1p(mpmath.exp(s2))
    terms = [(a, log_normal(m1, mpmath.mpf(1e-3) + mpmath.log1p(mpmath.exp(s1)))), (b, log_normal(m2, sigma_2))]
    total = mpmath.log(sum(mpmath.exp(w + t) for w, t in terms)) - mpmath.log(mpmath.exp(a) + mpmath.exp(b))
    found = MixtureOfGaussians(2).log_prob(two, x).item()
    assert found == pytest.approx(float(total), rel=1e-5, abs=1e-5)


def test_a_dtype_that_would_merge_levels_is_refused():
    for dtype, k in [(torch.bfloat16, 257), (torch.float16, 2049)]:
        x = torch.arange(float(k))
        assert torch.equal(x.to(dtype).float(), x)  # as many as can be told apart
        made.MADE(2, (3,), likelihood=Categorical(k)).to(dtype)
        among = [Columns([other, Categorical(k + 1)]) for other in (Bernoulli(), Gaussian())]
        for one in (Categorical(k + 1), DiscretizedLogistic(k + 1), *among):
            for model in (made.MADE(2, (3,), likelihood=one), made.Autoencoder(2, (3,), 2, one)):
                with pytest.raises(
                    TypeError, match=f"{dtype} holds the whole numbers from 0 to {k - 1} only, too few for"
                ):
                    model.to(dtype)
                assert next(model.parameters()).dtype == torch.float32  # nothing has been converted


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_samples_have_the_right_frequencies(dtype):
    """256 equally likely levels: sums of 256 rounded numbers must not lose any."""
    drawn = Categorical(256).sample(
        torch.zeros(25_600, 256, dtype=dtype), ((torch.arange(25_600) + 0.5) / 25_600).double()
    )
    assert torch.bincount(drawn.long(), minlength=256).tolist() == [100] * 256


@pytest.mark.parametrize(
    ("dtype", "temperature"), [(torch.float16, 1e-4), (torch.bfloat16, 1e-38), (torch.float32, 1e-38)]
)
def test_the_coldest_sample_is_the_mode(dtype, temperature):
    u = torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)
    logits = torch.tensor([1.0, 8.0, 3.0], dtype=dtype).expand(3, 3)
    assert Categorical(3).sample(logits, u, temperature).tolist() == [1, 1, 1]


# where training may start


def test_finite_variables_start_at_their_frequencies():
    """With one more row of every value; missing values do not count."""
    x = torch.tensor([[0.0, 2.0], [1.0, 2.0], [1.0, torch.nan], [1.0, 0.0], [torch.nan, 2.0]], dtype=torch.float64)
    found = Bernoulli().distribution(Bernoulli().start(x[:, :1]).view(1, 1)).probs
    assert found.tolist() == pytest.approx([4 / 6])
    three = Categorical(3)
    found = three.distribution(three.start(x[:, 1:]).view(1, 3)).probs
    assert found[0].tolist() == pytest.approx([2 / 7, 1 / 7, 4 / 7])
    columns = Columns([Bernoulli(), Gaussian(), three])
    mixed = torch.cat([x[:, :1], torch.tensor([[-1.0], [3.0], [3.0], [-1.0], [torch.nan]]).double(), x[:, 1:]], 1)
    parts = [Bernoulli().start(mixed[:, :1]), Gaussian().start(mixed[:, 1:2]), three.start(mixed[:, 2:])]
    assert torch.equal(columns.start(mixed), torch.cat(parts))


@pytest.mark.parametrize("scale_map", ["softplus", "exp"])
def test_real_variables_start_at_their_moments_and_quantiles(scale_map):
    z = torch.from_numpy(np.random.default_rng(0).normal([-3, 0, 4], 0.3, (500, 3)).reshape(-1, 1))
    gaussian = Gaussian(0.01, scale_map)
    found = gaussian.distribution(gaussian.start(z).view(1, 2))
    assert found.mean.item() == pytest.approx(z.mean().item())
    assert found.stddev.item() == pytest.approx(z.std(correction=0).item())
    three = MixtureOfGaussians(3, scale_map=scale_map)
    found = three.distribution(three.start(z).view(1, 9))
    np.testing.assert_allclose(found.component_distribution.loc[0], [-3, 0, 4], atol=0.1)
    assert found.mixture_distribution.probs[0].tolist() == pytest.approx([1 / 3] * 3)
    one = MixtureOfGaussians(1, scale_map=scale_map)
    found = one.distribution(one.start(z).view(1, 3))
    assert found.mean.item() == pytest.approx(z.median().item(), abs=0.1)
    assert found.stddev.item() == pytest.approx(z.std().item(), rel=0.4)


def test_counts_start_at_their_quantiles():
    counts = torch.from_numpy(np.random.default_rng(0).binomial(20, 0.3, (1000, 1))).double()
    likelihood = DiscretizedLogistic(21, components=5)
    found = likelihood.distribution(likelihood.start(counts).view(1, -1)).probs[0]
    observed = torch.bincount(counts.flatten().long(), minlength=21) / 1000
    assert (found - observed).abs().sum() / 2 < 0.15


@every_likelihood
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_rows_are_a_finite_start(likelihood, dtype):
    x = values(likelihood, 7, 4).to(dtype)
    largest = torch.finfo(dtype).max
    for rows in (
        x,
        x[:1],
        likelihood.filled(torch.full_like(x, torch.nan)),
        x * (largest / 10 if likelihood.n_states is None else 1),
    ):
        if isinstance(likelihood, Columns):  # not all of which can be scaled
            rows = torch.where(likelihood.outside_support(rows), x[: len(rows)], rows)
        started = likelihood.start(rows)
        assert started.shape == (sum(likelihood.sizes(4)[1]),)
        assert started.dtype == dtype
        assert started.isfinite().all()
        params = likelihood.unflatten(started, 4)
        assert likelihood.log_conditionals(params, rows[0]).isfinite().all()


def test_a_likelihood_of_ones_own_starts_at_zero():
    class Own(Bernoulli):
        start = Likelihood.start

    assert torch.equal(Own().start(torch.ones(3, 2)), torch.zeros(2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_only_0_and_1_are_bits(dtype):
    """Also beside the numbers that are next to them, where x - x^2 is hardly more than zero."""
    info, likelihood = torch.finfo(dtype), made.Bernoulli()
    near = [info.tiny, -info.tiny, info.smallest_normal * info.eps, 1 + info.eps, 1 - info.eps / 2]
    good = torch.tensor([[0.0, 1.0, -0.0]], dtype=dtype)
    for x in (good, good[:0], good[0, 0], good.bool(), good.long()):
        likelihood.check(x)
    for value in [*near, 0.5, -1.0, 2.0, info.max, info.min, torch.inf, -torch.inf, torch.nan]:
        x = good.clone()
        x[0, 2] = value
        assert likelihood.outside_support(x).tolist() == [[False, False, True]]
        with pytest.raises(ValueError, match=r"x must be 0 or 1 for Bernoulli\(\), got .* at position \(0, 2\)"):
            likelihood.check(x)
