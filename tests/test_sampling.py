"""made/sampling.py: samples against exact probabilities, and the two samplers against each other."""

import pytest
import torch
from registry import build, rows, seeded, sharpen
from scipy import stats

import made
from made import MADE
from made.sampling import sample_incremental, sample_naive, uniforms

METHODS = pytest.mark.parametrize("method", ["incremental", "naive"])
MODELS = {
    "bernoulli": dict(n_features=5, hidden=(6,), order=torch.tensor([2, 0, 3, 4, 1]), seed=1),
    "bernoulli-no-direct": dict(n_features=5, hidden=(4, 8), order=torch.tensor([4, 2, 0, 1, 3]), direct=False),
    "categorical": dict(n_features=3, hidden=(6,), order=torch.tensor([2, 0, 1]), likelihood=made.Categorical(3)),
}


def index_of(model, x):
    """Place of each row in the counting order of diagnostics.states."""
    k = model.likelihood.n_states
    return (x.long() * k ** torch.arange(x.shape[1] - 1, -1, -1)).sum(1)


def p_value(counts, p):
    """Chi-square test of counts against probabilities; states expected fewer than 5 times are pooled."""
    expected = p * counts.sum()
    rare = expected < 5
    if rare.any():
        counts = torch.cat([counts[~rare], counts[rare].sum(0, keepdim=True)])
        expected = torch.cat([expected[~rare], expected[rare].sum(0, keepdim=True)])
    return stats.chisquare(counts.numpy(), (expected * counts.sum() / expected.sum()).numpy()).pvalue


@METHODS
@pytest.mark.parametrize("name", MODELS)
def test_sample_frequencies_match_exact_probabilities(name, method):
    model = sharpen(MADE(**MODELS[name]).double())
    assert not torch.equal(model.connectivity.order, model.connectivity.order.argsort())
    p = model.log_prob(made.diagnostics.states(model)).exp().detach()
    x = model.sample(40_000, generator=seeded(1), method=method)
    assert p_value(torch.bincount(index_of(model, x), minlength=len(p)).double(), p) > 1e-3


@METHODS
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_known", [1, 2])
def test_completions_follow_the_exact_conditional(name, n_known, method):
    model = sharpen(MADE(**MODELS[name]).double())
    states, known = made.diagnostics.states(model), model.connectivity.order[:n_known]
    p = model.log_prob(states).exp().detach()
    for value in range(model.likelihood.n_states):
        given = torch.full((20_000, model.n_features), torch.nan, dtype=torch.float64)
        given[:, known] = float(value)
        fits = (states[:, known] == value).all(1)
        x = model.sample(20_000, given=given, generator=seeded(value), method=method)
        assert (x[:, known] == value).all()
        counts = torch.bincount(index_of(model, x), minlength=len(p)).double()
        assert counts[~fits].sum() == 0
        assert p_value(counts[fits], p[fits] / p[fits].sum()) > 1e-3


@METHODS
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_each_conditional(temperature, method):
    """Exact by enumeration: the product of conditionals raised to 1 / T, each renormalised."""
    model = sharpen(MADE(**MODELS["bernoulli"]).double())
    states = made.diagnostics.states(model)
    log_p = torch.distributions.Bernoulli(logits=model(states)[..., 0] / temperature).log_prob(states).sum(1)
    x = model.sample(40_000, temperature=temperature, generator=seeded(2), method=method)
    p = log_p.exp().detach()
    assert p_value(torch.bincount(index_of(model, x), minlength=len(p)).double(), p) > 1e-3


@pytest.mark.parametrize("sampler", [sample_incremental, sample_naive])
def test_without_a_temperature_the_model_itself_is_sampled(sampler):
    model, u = build("D3-cycle-gaussian"), uniforms(20, 3, seeded(4))
    unknown = torch.full_like(u, torch.nan)
    with torch.no_grad():
        assert torch.equal(sampler(model, u, unknown), sampler(model, u, unknown, 1.0))
        assert not torch.allclose(sampler(model, u, unknown), sampler(model, u, unknown, 1.1))


@METHODS
def test_gaussian_samples_have_the_right_distribution(method):
    """Back through each conditional's cumulative distribution, samples must be uniform and independent."""
    model = build("D3-cycle-gaussian")
    x = model.sample(20_000, generator=seeded(3), method=method)
    u = model.conditionals(x).cdf(x).detach().numpy()
    for i in range(3):
        assert stats.kstest(u[:, i], "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(u[:, 0], u[:, 2]).statistic) < 0.02


@METHODS
def test_the_uniform_of_a_variable_decides_that_variable(method):
    """Reproduce a sample by hand: order 2, 0, 1, one conditional after the other."""
    model, u = build("D3-cycle"), uniforms(50, 3, seeded(8))
    x = torch.zeros(50, 3, dtype=torch.float64)
    for i in (2, 0, 1):
        x[:, i] = (u[:, i] < torch.sigmoid(model(x)[:, i, 0])).double()
    assert torch.equal(model.sample(50, generator=seeded(8), method=method), x)


def test_a_wide_model_samples_the_same_by_both_methods():
    """More variables than one block holds."""
    for likelihood in (made.Bernoulli(), made.Categorical(3)):
        model = sharpen(MADE(150, (40, 60), order="random", likelihood=likelihood, direct=False, seed=4).double())
        a, b = (model.sample(5, generator=seeded(1), method=method) for method in ("incremental", "naive"))
        assert torch.equal(a, b)
        assert 0.02 < (a == 0).double().mean() < 0.98


def copying_chain(n, direct):
    """Each variable repeats the one before it; the first is a fair coin."""
    model = MADE(n, () if direct else (n - 1,), direct=direct).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for i in range(1, n):
            model.output.bias[i] = -50
            if direct:
                model.direct.weight[i, i - 1] = 100
            else:  # through the one hidden unit of degree i
                model.hidden[0].weight[i - 1, i - 1] = 1
                model.output.weight[i, i - 1] = 100
    return model


@pytest.mark.parametrize("direct", [True, False])
def test_a_copying_chain_needs_every_round(direct):
    """Guesses become right one variable per round."""
    n = 10
    model, u = copying_chain(n, direct), torch.full((2, n), 0.5, dtype=torch.float64)
    u[0, 0] = 0.1
    for block in (1, 2, 3, n, 64):
        x = sample_incremental(model, u, torch.full_like(u, torch.nan), block=block)
        assert x.tolist() == [[1.0] * n, [0.0] * n]


def test_rows_that_are_final_are_left_behind(monkeypatch):
    """One stubborn row needs every round; the others, of which some know their first values, do not wait for it."""
    n, sizes = 20, []
    model, u = copying_chain(n, direct=True), torch.full((6, n), 0.5, dtype=torch.float64)
    u[3, 0] = 0.1
    given = torch.full_like(u, torch.nan)
    given[4, : n - 3] = torch.tensor([1.0, 0.0] * n)[: n - 3]  # which the chain would not say
    params = made.sampling.Block.params
    counted = lambda part, guess, past: sizes.append(len(guess)) or params(part, guess, past)
    monkeypatch.setattr(made.sampling.Block, "params", counted)
    x = sample_incremental(model, u, given, block=n)
    assert torch.equal(x, sample_naive(model, u, given))
    assert x[:, -1].tolist() == [0, 0, 0, 1, 1, 0]
    assert sizes == [6] * 4 + [1] * 16


def test_samples_do_not_depend_on_what_was_sampled_before():
    """Where units stand is found once for every connectivity; weights may change in any way."""
    model, u = MADE(9, (8,), order="random", seed=2).double(), uniforms(30, 9, seeded())
    unknown = torch.full_like(u, torch.nan)
    for _ in range(2):
        assert torch.equal(sample_incremental(model, u, unknown), sample_naive(model, u, unknown))
        for parameter in model.parameters():
            parameter.data.mul_(-3)  # which leaves no trace in autograd's counts of versions
    for order in (torch.arange(9), torch.arange(9).flip(0)):
        model.use(made.Connectivity.create(9, (8,), order))
        assert torch.equal(sample_incremental(model, u, unknown), sample_naive(model, u, unknown))


def test_wild_guesses_never_spoil_a_sample():
    """While variables of a block are still guesses they may overflow; the sample itself is harmless."""
    model = MADE(3, (), likelihood=made.Gaussian()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.output.bias[0] = 10  # mean of the first variable
        model.output.bias[3] = 1000  # log-scale of the second: 1000 - 100 x, infinite scale if x were still 0
        model.direct.weight[3, 0] = -100
    a, b = (model.sample(20, generator=seeded(), method=method) for method in ("naive", "incremental"))
    assert a.isfinite().all()
    assert torch.allclose(a, b, rtol=0, atol=1e-9)


def test_uniforms_are_open_double_and_seeded(untouched_rng):
    u = uniforms(1000, 3, seeded(1))
    assert u.dtype == torch.float64
    assert u.min() > 0
    assert u.max() < 1
    assert torch.equal(u, uniforms(1000, 3, seeded(1)))
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3


def test_uniforms_are_never_zero(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: torch.zeros(*shape, dtype=options["dtype"]))
    u = uniforms(2, 2)
    assert (u > 0).all()
    assert made.Gaussian().sample(torch.zeros(2, 2, 2), u).isfinite().all()


def test_without_a_generator_the_global_seed_counts():
    model = build("D8")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        a = model.sample(20)
        b = model.sample(20)
        torch.manual_seed(5)
        assert torch.equal(model.sample(20), a)
    assert not torch.equal(a, b)


@METHODS
def test_edge_sizes(method):
    model = build("D3-cycle")
    assert model.sample(0, method=method).shape == (0, 3)
    known = rows(model, 4)
    assert torch.equal(model.sample(4, given=known, method=method), known)
    assert not model.sample(2, method=method).requires_grad


@METHODS
def test_sampling_leaves_given_and_model_as_they_were(method):
    model = build("D8-dropout").train()
    given = torch.full((3, 8), torch.nan, dtype=torch.float64)
    model.sample(3, given=given, method=method)
    assert given.isnan().all()
    assert model.training
    assert all(p.grad is None for p in model.parameters())


NAN = torch.nan


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": -1}, ValueError, "n must be an int of at least 0"),
        ({"n": 2.0}, ValueError, "n must be an int of at least 0"),
        ({"temperature": 0}, ValueError, "temperature"),
        ({"temperature": -1.0}, ValueError, "temperature"),
        ({"temperature": NAN}, ValueError, "temperature"),
        ({"method": "fast"}, ValueError, "method must be one of"),
        ({"given": [[NAN, NAN, NAN]] * 3}, ValueError, r"given must have shape \(2, 3\), got \(3, 3\)"),
        ({"given": [NAN, NAN, NAN]}, ValueError, r"given must have shape \(2, 3\), got \(3,\)"),
        ({"given": [[NAN, NAN]] * 2}, ValueError, "given must have shape"),
        ({"given": [[0.0, NAN, NAN]] * 2}, ValueError, "given must know the first variables of the order"),
        ({"given": [[NAN, NAN, 1.0], [NAN, 1.0, 1.0]]}, ValueError, "given must know the first variables"),
        ({"given": [[NAN, NAN, 0.5]] * 2}, ValueError, "given must be 0 or 1"),
        ({"given": [[NAN, NAN, torch.inf]] * 2}, ValueError, "given must be 0 or 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    model = MADE(3, (4,), order=torch.tensor([2, 0, 1]))
    arguments = {"n": 2} | arguments
    if "given" in arguments:
        arguments["given"] = torch.tensor(arguments["given"])
    with pytest.raises(error, match=message):
        model.sample(**arguments)


@pytest.mark.parametrize("given", [torch.zeros(2, 3, dtype=torch.float64), "000"])
def test_given_of_another_type_is_refused(given):
    with pytest.raises(TypeError, match="given must be a tensor of the model's dtype"):
        MADE(3, (4,)).sample(2, given=given)


@pytest.mark.parametrize("block", [0, -1, 2.0, True])
def test_a_block_has_at_least_one_variable(block):
    model, unknown = made.MADE(3), torch.full((2, 3), torch.nan)
    with pytest.raises(ValueError, match=f"block must be an int of at least 1, got {block}"):
        sample_incremental(model, uniforms(2, 3, seeded()), unknown, block=block)
