"""made/likelihoods.py, against scipy, numerical integration, torch and formulas written out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from made import Bernoulli, Categorical, Gaussian
from made.likelihoods import Likelihood

G = torch.Generator().manual_seed(0)
LIKELIHOODS = [Bernoulli(), Categorical(2), Categorical(5), Gaussian(), Gaussian(min_scale=0.5)]
every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=str)
logits = st.floats(-30, 30)
GRID = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000  # uniforms without luck


def raw(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def values(likelihood, *shape):
    if likelihood.n_states is None:
        return raw(*shape)
    return torch.randint(likelihood.n_states, shape, generator=torch.Generator().manual_seed(2)).double()


def as_scipy(likelihood, params):
    """The scipy distribution of one variable with raw outputs ``params``."""
    if isinstance(likelihood, Bernoulli):
        return stats.bernoulli(1 / (1 + math.exp(-params[0])))
    if isinstance(likelihood, Categorical):
        p = np.exp(params - params.max())
        return stats.rv_discrete(values=(range(likelihood.k), p / p.sum()))
    return stats.norm(params[0], likelihood.min_scale + math.exp(params[1]))


@every_likelihood
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


@every_likelihood
def test_one_variable_sums_or_integrates_to_one(likelihood):
    params = raw(1, likelihood.n_params)
    density = lambda v: math.exp(likelihood.log_prob(params, torch.tensor([float(v)], dtype=torch.float64)))
    if likelihood.n_states is None:
        total = integrate.quad(density, -60, 60, points=[float(params[0, 0])], limit=200, epsabs=1e-10)[0]
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
    params = torch.stack([mean, torch.full_like(mean, math.log(1 - 1e-3))], -1)
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
    params, x = raw(2, 3, 4, likelihood.n_params).to(dtype), values(likelihood, 2, 3, 4).to(dtype)
    assert likelihood.distribution(params).batch_shape == (2, 3, 4)
    assert likelihood.log_prob(params, x).shape == (2, 3)
    assert likelihood.log_prob(params, x).dtype == dtype
    code = likelihood.encode(x)
    assert (code.shape, code.dtype) == ((2, 3, 4, likelihood.n_inputs), dtype)
    drawn = likelihood.sample(params, torch.rand(2, 3, 4, dtype=torch.float64, generator=G))
    assert (drawn.shape, drawn.dtype) == ((2, 3, 4), dtype)
    assert not likelihood.violations(drawn).any()
    # the distribution that is handed out gives the same numbers
    assert torch.allclose(likelihood.distribution(params).log_prob(x).sum(-1), likelihood.log_prob(params, x))


def test_encodings():
    x = torch.tensor([2.0, 0.0])
    assert Categorical(3).encode(x).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert Bernoulli().encode(torch.tensor([1.0, 0.0])).tolist() == [[1], [0]]
    assert Gaussian().encode(x).tolist() == [[2], [0]]


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
    scale = 0.5 + math.exp(-0.3)
    params = torch.tensor([1.5, -0.3], dtype=torch.float64).expand(20_000, 2)
    drawn = Gaussian(min_scale=0.5).sample(params, GRID, temperature)
    expected = stats.norm.ppf(GRID.numpy(), 1.5, scale * math.sqrt(temperature))
    assert drawn.numpy() == pytest.approx(expected, abs=1e-9)


@every_likelihood
def test_extreme_uniforms_and_logits_give_values_in_the_support(likelihood):
    u = torch.tensor([torch.finfo(torch.float64).tiny, 0.5, 1 - 2**-53], dtype=torch.float64)
    for scale in (0.0, 80.0, -80.0):
        for dtype in (torch.float32, torch.float64):
            params = torch.full((3, likelihood.n_params), scale, dtype=dtype)
            params[:, 0] = -scale
            assert not likelihood.violations(likelihood.sample(params, u)).any()


@pytest.mark.parametrize(
    ("likelihood", "good", "bad"),
    [
        (Bernoulli(), [0, 1], [0.5, -1, 2, math.nan, math.inf]),
        (Categorical(3), [0, 1, 2], [-1, 3, 0.5, math.nan, math.inf, -math.inf]),
        (Gaussian(), [0, -7.5, 1e30], [math.nan, math.inf, -math.inf]),
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


@pytest.mark.parametrize("k", [1, 0, -3, 2.0, "3", None])
def test_categorical_needs_two_values(k):
    with pytest.raises(ValueError, match="k must be an int of at least 2"):
        Categorical(k)


@pytest.mark.parametrize("min_scale", [0, -1, math.inf, math.nan])
def test_gaussian_needs_a_positive_floor(min_scale):
    with pytest.raises(ValueError, match="min_scale must be a positive number"):
        Gaussian(min_scale)


def test_likelihoods_are_plain_values():
    assert Categorical(3) == Categorical(3)
    assert Categorical(3) != Categorical(4)
    assert repr(Gaussian()) == "Gaussian(min_scale=0.001)"
    assert len({Bernoulli(), Bernoulli(), Gaussian(0.1), Gaussian(0.1)}) == 2


@pytest.mark.parametrize("call", ["distribution", "sample", "violations"])
def test_the_base_class_leaves_the_rest_to_its_children(call):
    with pytest.raises(NotImplementedError):
        getattr(Likelihood(), call)(*[torch.zeros(1)] * (2 if call == "sample" else 1))
