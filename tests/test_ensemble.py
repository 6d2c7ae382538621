"""made/ensemble.py: averages, marginals and imputing against enumeration."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from registry import CYCLE_7, contexts, rows, seeded, sharpen
from test_sampling import index_of, p_value

import made
from made import MADE, Connectivity, Ensemble, Mixture, conditional, disagreement, impute, marginal_log_prob
from made.diagnostics import states, total_probability
from made.ensemble import prefix_log_prob
from made.patterns import by_pattern

NAN = torch.nan
MODELS = {
    "bernoulli": dict(n_features=5, hidden=(6,), n_masks=3, seed=1),
    "categorical": dict(n_features=3, hidden=(6,), n_masks=2, likelihood=made.Categorical(3), seed=2),
    "context": dict(n_features=4, hidden=(7, 7), n_masks=None, degrees="random", context_features=2, residual=True),
    "companions": dict(n_features=4, hidden=(8,), n_masks=4, mask_conditioning=True, direct=False, seed=5),
}
every_model = pytest.mark.parametrize("name", MODELS)


def agnostic(name, **options):
    """A model for many orders, the first three of which differ from each other and from their inverses."""
    return sharpen(MADE(**MODELS[name], order="random", dropout=0.4, **options).double()).eval()


def mixed(name):
    """Its mixture over three connectivities."""
    model = agnostic(name)
    return Mixture(model, [model.draw(k) for k in range(3)])


def one_context(model):
    c = contexts(model, 1)
    return None if c is None else c[0]


def repeated(context, n):
    return None if context is None else context.expand(n, -1)


def probabilities(model, connectivity, context):
    """Exact probability of every state under one connectivity."""
    before = model.connectivity
    model.use(connectivity)
    p = model.log_prob(states(model), context).exp().detach()
    model.use(before)
    return p


def counted(model, x, n):
    return torch.bincount(index_of(model, x), minlength=n).double()


# mixtures


@every_model
def test_a_mixture_is_the_mean_of_probabilities(name):
    mixture = mixed(name)
    model, context = mixture.model, one_context(mixture.model)
    by_hand = torch.stack([probabilities(model, c, context) for c in mixture.connectivities]).mean(0)
    assert torch.allclose(mixture.log_prob(states(model), context), by_hand.log(), rtol=0, atol=1e-12)
    assert by_hand.sum().item() == pytest.approx(1, abs=1e-9)
    assert total_probability(mixture, context) == pytest.approx(1, abs=1e-9)


def test_averages_of_logits_are_no_distribution():
    """What looks like an average but is none: the conditionals' logits, or their probabilities, over the orders."""
    mixture = mixed("bernoulli")
    model, x, logits = mixture.model, states(mixture.model), []
    for connectivity in mixture.connectivities:
        logits.append(model.under(connectivity)(x)[..., 0].detach())
    logits = torch.stack(logits)
    for average in (logits.mean(0), torch.sigmoid(logits).mean(0).logit()):
        total = torch.distributions.Bernoulli(logits=average).log_prob(x).sum(1).exp().sum()
        assert abs(total - 1) > 1e-3
    assert total_probability(mixture) == pytest.approx(1, abs=1e-9)


def test_a_mixture_of_one_is_that_model():
    model = agnostic("bernoulli")
    x = states(model)
    mixture = Mixture(model, model.connectivities[1:2])
    assert torch.equal(mixture.log_prob(x), model.under(1).log_prob(x))
    twice = Mixture(model, [model.connectivities[1]] * 2)
    assert torch.allclose(twice.log_prob(x), mixture.log_prob(x), rtol=0, atol=1e-12)


def test_a_mixture_takes_the_models_own_connectivities():
    model = agnostic("bernoulli")
    mixture = Mixture(model)
    assert mixture.connectivities == model.connectivities
    assert (mixture.n_features, mixture.likelihood, mixture.context_features) == (5, model.likelihood, 0)
    assert mixture.log_prob(rows(model, 6).reshape(2, 3, 5)).shape == (2, 3)
    mixture.log_prob(rows(model, 6)).sum().backward()
    assert model.output.weight.grad.isfinite().all()


@every_model
@pytest.mark.parametrize("method", ["incremental", "naive"])
def test_mixture_samples_match_exact_probabilities(name, method):
    mixture = mixed(name)
    context = one_context(mixture.model)
    p = mixture.log_prob(states(mixture.model), context).exp().detach()
    x = mixture.sample(30_000, context, generator=seeded(1), method=method)
    assert p_value(counted(mixture, x, len(p)), p) > 1e-3


def shared_prefix():
    """Three orders that begin with variables 0 and 2, one way or the other: these may be known in each of them."""
    orders = [torch.tensor(order) for order in ([2, 0, 1, 3], [0, 2, 3, 1], [2, 0, 3, 1])]
    model = sharpen(sharpen(MADE(4, (7,), order="random", n_masks=None, seed=45).double())).eval()
    return Mixture(model, [model.connectivity.reordered(order) for order in orders])


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
def test_known_values_choose_among_connectivities_by_their_posterior(values):
    mixture, values = shared_prefix(), torch.tensor(values, dtype=torch.float64)
    x = states(mixture.model)
    parts = torch.stack([probabilities(mixture.model, c, None) for c in mixture.connectivities])
    fits = (x[:, [0, 2]] == values).all(1)
    marginal = parts[:, fits].sum(1)
    assert marginal.max() / marginal.min() > 1.5
    p = parts.mean(0)[fits] / parts.mean(0)[fits].sum()
    prior = (parts[:, fits] / marginal[:, None]).mean(0)
    assert (p - prior).abs().max() > 0.05  # choosing without regard to what is known would show
    given = torch.full((40_000, 4), NAN, dtype=torch.float64)
    given[:, [0, 2]] = values
    drawn = mixture.sample(40_000, given=given, generator=seeded(2))
    counts = counted(mixture, drawn, len(x))
    assert counts[~fits].sum() == 0
    assert p_value(counts[fits], p) > 1e-3


def test_the_temperature_of_a_mixture_acts_within_each_connectivity():
    mixture = shared_prefix()
    x, total = states(mixture.model), 0
    for connectivity in mixture.connectivities:
        logits = mixture.model.under(connectivity)(x)[..., 0].detach() / 0.5
        total = total + torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(1).exp() / 3
    drawn = mixture.sample(30_000, temperature=0.5, generator=seeded(3))
    assert p_value(counted(mixture, drawn, 16), total) > 1e-3


@every_model
def test_a_mixture_leaves_no_trace(name, untouched_rng):
    mixture = mixed(name)
    model, c = mixture.model.train(), contexts(mixture.model, 6)
    connectivity = model.connectivity
    a, b = (mixture.sample(6, c, generator=seeded(4)) for _ in range(2))
    assert torch.equal(a, b)
    assert not model.likelihood.outside_support(a).any()
    assert model.training
    total_probability(mixture, one_context(model))
    assert model.connectivity is connectivity
    assert mixture.sample(0, None if c is None else c[:0]).shape == (0, model.n_features)


def test_every_row_of_a_mixture_has_its_own_context():
    mixture = mixed("context")
    context = torch.tensor([[3.0, -2.0], [-3.0, 2.0]], dtype=torch.float64)
    drawn = mixture.sample(20_000, context.repeat(10_000, 1), generator=seeded(5))
    for k in range(2):
        p = mixture.log_prob(states(mixture.model), context[k]).exp().detach()
        assert p_value(counted(mixture, drawn[k::2], 16), p) > 1e-3


@pytest.mark.parametrize(
    ("connectivities", "message"),
    [
        ([], "connectivities must hold at least one connectivity"),
        ([Connectivity.create(4, (6,))], "connectivity must have n_features, hidden"),
        ([Connectivity.create(5, (7,))], "connectivity must have n_features, hidden"),
    ],
)
def test_a_mixture_of_nothing_or_of_what_does_not_fit_is_refused(connectivities, message):
    model = agnostic("bernoulli")
    with pytest.raises(ValueError, match=message):
        Mixture(model, connectivities)
    assert model.connectivity is model.connectivities[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": -1}, ValueError, "n must be an int of at least 0, got -1"),
        ({"n": 2.0}, ValueError, "n must be an int of at least 0, got 2.0"),
        ({"temperature": 0.0}, ValueError, "temperature must be a positive number"),
        ({"method": "fast"}, ValueError, "method must be one of"),
        ({"context": torch.zeros(2, 3).double()}, ValueError, "context must be None"),
        ({"given": torch.zeros(3, 4).double()}, ValueError, r"given must have shape \(2, 4\)"),
        ({"given": torch.zeros(2, 4)}, TypeError, "given must be a tensor of the model's dtype"),
        (
            {"given": torch.tensor([[0, NAN, NAN, NAN], [NAN, NAN, 0, NAN]]).double()},
            ValueError,
            "given must know the first variables",
        ),
        ({"given": torch.tensor([[NAN, 0, 0, NAN]] * 2).double()}, ValueError, "given must know the first variables"),
        ({"given": torch.tensor([[NAN, NAN, 0.5, NAN]] * 2).double()}, ValueError, "given must be 0 or 1"),
    ],
)
def test_bad_arguments_of_a_mixture_are_refused(arguments, error, message):
    mixture = shared_prefix()
    before = mixture.model.connectivity
    with pytest.raises(error, match=message):
        mixture.sample(**({"n": 2} | arguments))
    assert mixture.model.connectivity is before


# marginals


@every_model
def test_prefix_log_prob_is_the_enumerated_marginal(name):
    """Every number of known first variables, and what is known after a gap must not count."""
    model = agnostic(name)
    context, x = one_context(model), states(model)
    order, p = model.connectivity.order, probabilities(model, model.connectivity, context)
    for m in range(model.n_features + 1):
        partial = rows(model, 8, seed=m)
        partial[:, order[m:]] = NAN
        beyond = partial.clone()
        beyond[:, order[m + 1 :]] = rows(model, 8, seed=90 + m)[:, order[m + 1 :]]
        expected = [p[(x[:, order[:m]] == row[order[:m]]).all(1)].sum().log().item() for row in partial]
        for given in (partial, beyond):
            found = prefix_log_prob(model, given, repeated(context, 8))
            assert found.tolist() == pytest.approx(expected, abs=1e-9)


@every_model
def test_marginal_log_prob_is_a_sum_over_all_completions(name):
    model = agnostic(name)
    before, context, partial = model.connectivity, one_context(model), rows(model, 40)
    partial[torch.rand(partial.shape, generator=seeded(6)) < 0.5] = NAN
    found = marginal_log_prob(model, partial, repeated(context, 40))
    assert model.connectivity is before
    x = states(model)
    for row, log_p in zip(partial, found.tolist(), strict=True):
        known = ~row.isnan()
        order = [i for i in before.order.tolist() if known[i]] + [i for i in before.order.tolist() if not known[i]]
        p = probabilities(model, before.reordered(torch.tensor(order)), context)
        fits = (x[:, known] == row[known]).all(1)
        assert log_p == pytest.approx(p[fits].sum().log().item(), abs=1e-9)


def test_marginals_of_a_fixed_order_need_its_first_variables():
    model = sharpen(MADE(3, (5,), order=torch.tensor([2, 0, 1])).double())
    x = states(model)
    p = model.log_prob(x).exp().detach()
    partial = torch.tensor([[NAN, NAN, 1.0], [0, NAN, 1], [0, 1, 1], [NAN, NAN, NAN]], dtype=torch.float64)
    expected = [p[x[:, 2] == 1].sum(), p[(x[:, 2] == 1) & (x[:, 0] == 0)].sum(), p[3], 1.0]
    assert marginal_log_prob(model, partial).exp().tolist() == pytest.approx([float(e) for e in expected], abs=1e-12)
    with pytest.raises(ValueError, match="model must be order-agnostic to put any known variables first"):
        marginal_log_prob(model, torch.tensor([[0.0, NAN, NAN]], dtype=torch.float64))


def test_a_marginal_density_of_real_columns_is_its_integral():
    likelihood = made.Columns([made.Gaussian(0.3), made.Bernoulli(), made.MixtureOfGaussians(2, 0.3)])
    model = MADE(3, (6,), order="random", n_masks=None, likelihood=likelihood, seed=2).double().eval()
    grid = torch.arange(-25, 25, 0.01, dtype=torch.float64)
    for known_value in (-0.7, 0.4):
        partial = torch.tensor([[NAN, 1.0, known_value]], dtype=torch.float64)
        ((connectivity, _),) = by_pattern(model, partial.isnan().int())
        full = partial.repeat(len(grid), 1)
        full[:, 0] = grid
        integral = (model.under(connectivity).log_prob(full).exp() * 0.01).sum()
        assert marginal_log_prob(model, partial).exp().item() == pytest.approx(integral.item(), abs=1e-9)


# imputing


@every_model
def test_patterns_put_what_is_known_first(name):
    model = agnostic(name)
    x = rows(model, 60)
    x[torch.rand(x.shape, generator=seeded(7)) < 0.5] = NAN
    groups, order = by_pattern(model, x.isnan().int()), model.connectivity.order.tolist()
    assert torch.cat([found for _, found in groups]).sort().values.tolist() == list(range(60))
    for connectivity, found in groups:
        for row, its_own in zip(x[found], connectivity.order.expand(len(found), -1).tolist(), strict=True):
            known = ~row.isnan()
            assert its_own == [i for i in order if known[i]] + [i for i in order if not known[i]]
        assert all(
            torch.equal(a, b) for a, b in zip(connectivity.degrees[1:], model.connectivity.degrees[1:], strict=True)
        )


@every_model
def test_imputed_values_follow_the_exact_conditional(name):
    """For several patterns at once; the conditional is enumerated under the order that has the known values first."""
    model = agnostic(name)
    before, context = model.connectivity, one_context(model)
    partial = rows(model, 4, seed=3)
    for n, missing in enumerate([[0, 1], [1], [2, 0], list(range(model.n_features))]):
        partial[n, missing] = NAN
    drawn = impute(model, partial, n_samples=20_000, generator=seeded(8), context=repeated(context, 4))
    assert drawn.shape == (20_000, 4, model.n_features)
    assert model.connectivity is before
    x = states(model)
    for n, row in enumerate(partial):
        known = ~row.isnan()
        assert (drawn[:, n, known] == row[known]).all()
        order = [i for i in before.order.tolist() if known[i]] + [i for i in before.order.tolist() if not known[i]]
        p = probabilities(model, before.reordered(torch.tensor(order)), context)
        fits = (x[:, known] == row[known]).all(1)
        counts = counted(model, drawn[:, n], len(x))
        assert counts[~fits].sum() == 0
        assert p_value(counts[fits], p[fits] / p[fits].sum()) > 1e-3


def test_every_imputed_row_has_its_own_context():
    model = agnostic("context")
    context = torch.tensor([[3.0, -2.0], [-3.0, 2.0]], dtype=torch.float64)
    drawn = impute(model, torch.full((2, 4), NAN).double(), 20_000, seeded(9), context)
    for n in range(2):
        p = probabilities(model, model.connectivity, context[n])
        assert p_value(counted(model, drawn[:, n], 16), p) > 1e-3


def test_nothing_missing_and_no_rows():
    model = agnostic("bernoulli")
    x = rows(model, 5)
    assert torch.equal(impute(model, x, n_samples=3), x.expand(3, 5, 5))
    assert torch.allclose(marginal_log_prob(model, x), model.log_prob(x), rtol=0, atol=1e-12)
    assert impute(model, x[:0]).shape == (1, 0, 5)
    assert marginal_log_prob(model, x[:0]).shape == (0,)


def test_real_columns_are_imputed():
    likelihood = made.Columns([made.Gaussian(), made.Bernoulli(), made.Categorical(3)])
    model = MADE(3, (6,), order="random", n_masks=2, likelihood=likelihood)
    x = torch.tensor([[NAN, 1.0, 2.0], [0.25, NAN, NAN]])
    drawn = impute(model, x, 50, seeded())
    assert (drawn[:, 0, 1:] == x[0, 1:]).all()
    assert (drawn[:, 1, 0] == 0.25).all()
    assert drawn[:, 0, 0].unique().numel() == 50
    assert not likelihood.outside_support(drawn).any()


def test_one_model_is_imputed_with_the_samples_it_would_draw():
    model, x = agnostic("bernoulli"), torch.tensor([[NAN, 1.0, NAN, 0.0, 1.0]], dtype=torch.float64)
    [(connectivity, _)] = by_pattern(model, x.isnan().int())
    drawn = model.under(connectivity).sample(50, given=x.expand(50, 5), generator=seeded(3))
    assert torch.equal(impute(model, x, n_samples=50, generator=seeded(3))[:, 0], drawn)


def test_imputing_follows_its_generator_and_leaves_no_trace(untouched_rng):
    model = agnostic("bernoulli").train()
    x = rows(model, 5)
    x[:, 1:3] = NAN
    before = x.clone()
    a, b, c = (impute(model, x, 4, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(x.isnan(), before.isnan())
    assert model.training


@pytest.mark.parametrize(
    "options", [{}, {"order": "random"}, {"order": CYCLE_7, "degrees": "random", "n_masks": 2}], ids=str
)
def test_a_model_of_one_order_cannot_impute(options):
    model, x = MADE(7, (5,), **options), torch.zeros(2, 7)
    x[:, model.connectivity.order[-1]] = NAN
    assert not impute(model, x).isnan().any()  # what comes last in its order is no question of orders
    x[:, model.connectivity.order[-2]] = 0
    x[:, model.connectivity.order[0]] = NAN
    for ask in (impute, marginal_log_prob):
        with pytest.raises(ValueError, match="model must be order-agnostic"):
            ask(model, x)


@pytest.mark.parametrize("call", [impute, marginal_log_prob, prefix_log_prob])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ("010", TypeError, "x must be a tensor"),
        (torch.zeros(3), ValueError, r"x must have shape \(N, 3\), got \(3,\)"),
        (torch.zeros(2, 4), ValueError, r"x must have shape \(N, 3\), got \(2, 4\)"),
        (torch.tensor([[NAN, 0.5, 0.0]]), ValueError, r"x must be 0 or 1 .*, got 0.5 at position \(0, 1\)"),
        (torch.tensor([[NAN, math.inf, 0.0]]), ValueError, "x must be 0 or 1"),
        (torch.zeros(2, 3, dtype=torch.float64), TypeError, "x must be a tensor of the model's dtype"),
        (torch.zeros(2, 3, dtype=torch.int64), TypeError, "x must be a tensor of the model's dtype"),
    ],
)
def test_bad_rows_are_refused(call, x, error, message):
    with pytest.raises(error, match=message):
        call(MADE(3, (4,), order="random", n_masks=None), x)


@pytest.mark.parametrize("call", [impute, marginal_log_prob, prefix_log_prob])
def test_bad_contexts_are_refused(call):
    model, x = MADE(3, (4,), order="random", n_masks=None, context_features=2), torch.zeros(5, 3)
    for context, message in [(None, "context must be given"), (torch.zeros(4, 2), "context must have shape")]:
        with pytest.raises(ValueError, match=message):
            call(model, x, context=context)
    with pytest.raises(ValueError, match="context must be None"):
        call(MADE(3, (4,), order="random", n_masks=None), x, context=torch.zeros(5, 2))


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "3"])
def test_a_number_of_samples_that_is_none_is_refused(n_samples):
    with pytest.raises(ValueError, match="n_samples must be an int of at least 1"):
        impute(MADE(3, (4,), order="random", n_masks=None), torch.zeros(2, 3), n_samples)


# views


def test_a_question_under_another_connectivity_leaves_the_model_as_it_is():
    model = agnostic("bernoulli")
    foreign = Connectivity.create(5, (6,))
    x = states(model)
    before = model.log_prob(x)
    other = model.under(foreign)
    assert other.connectivity is foreign
    assert not torch.equal(other.log_prob(x), before)
    assert model.connectivity is model.connectivities[0]
    assert torch.equal(model.log_prob(x), before)
    with pytest.raises(ValueError, match="connectivity must have"):
        model.under(Connectivity.create(4, (6,)))
    with pytest.raises(TypeError, match=r"connectivity must be an index or a made\.Connectivity, got True"):
        model.under(True)
    assert torch.equal(model.log_prob(x), before)


@pytest.mark.parametrize("training", [True, False])
def test_scoring_and_sampling_leave_the_mode_of_the_model(training):
    """A mixture around a model in evaluation mode must not switch its dropout on again."""
    model = made.MADE(8, (12,), order="random", n_masks=2, dropout=0.5).train(training)
    mixture = made.Mixture(model)
    assert mixture.training == training
    x = torch.ones(4, 8)
    made.nll(mixture, x)
    mixture.sample(2, generator=torch.Generator().manual_seed(0))
    assert all(part.training == training for part in mixture.modules())


# any question


def answers_by_enumeration(model, order, row, targets, context):
    """p(targets | known of the row) for every combination of values, by summing probabilities of whole rows."""
    x, p = states(model), probabilities(model, model.connectivity.reordered(torch.tensor(order)), context)
    known = ~row.isnan()
    known[targets] = False
    p = torch.where((x[:, known] == row[known]).all(1), p, 0)
    sizes = [model.likelihood.select([i]).n_states for i in targets]
    table = torch.zeros(sizes, dtype=torch.float64)
    table.index_put_(tuple(x[:, targets].long().T), p, accumulate=True)
    return (table / table.sum()).flatten()


def known_targets_rest(model, row, targets):
    order = model.connectivity.order.tolist()
    rank = lambda i: 1 if i in targets else 2 * bool(row[i].isnan())
    return sorted(order, key=rank)


@every_model
@pytest.mark.parametrize("targets", [[0], [2, 1]], ids=str)
def test_conditionals_are_those_of_enumeration(name, targets):
    model = agnostic(name).train()
    context = one_context(model)
    partial = rows(model, 5, seed=3)
    for n, missing in enumerate([[0, 1], [1], [2, 0], [], list(range(model.n_features))]):
        partial[n, missing] = NAN
    before = partial.clone()
    found = conditional(model, partial, targets[0] if len(targets) == 1 else targets, repeated(context, 5)).probs
    assert model.training
    assert torch.equal(partial.isnan(), before.isnan())
    model.eval()
    for row, probs in zip(partial, found, strict=True):
        expected = answers_by_enumeration(model, known_targets_rest(model, row, targets), row, targets, context)
        assert torch.allclose(probs, expected, rtol=0, atol=1e-12)


def test_more_patterns_than_are_worth_masks_of_their_own():
    """Fifty rows, all with other gaps, among them rows that share one: the answers are those of row after row."""
    model = sharpen(MADE(9, (12,), order="random", n_masks=None, seed=4).double()).eval()
    x = rows(model, 160)
    x[:50][torch.rand(50, 9, generator=seeded(5)) < 0.5] = NAN
    x[50:, 2] = NAN
    groups = by_pattern(model, x.isnan().int())
    assert {c.order.dim() for c, _ in groups} == {1, 2}
    assert torch.cat([found for _, found in groups]).sort().values.tolist() == list(range(160))
    each = torch.cat([marginal_log_prob(model, row[None]) for row in x])
    assert torch.allclose(marginal_log_prob(model, x), each, rtol=0, atol=1e-12)
    drawn = impute(model, x, 3, seeded())
    assert (drawn == x)[:, ~x.isnan()].all()
    probs = torch.cat([conditional(model, row[None], 4).probs for row in x])
    assert torch.allclose(conditional(model, x, 4).probs, probs, rtol=0, atol=1e-12)


def test_one_order_answers_what_needs_no_other():
    """Where all else is known Bayes' rule answers under any order; where the order fits, the conditional itself."""
    model = sharpen(MADE(4, (6,), order=torch.tensor([2, 0, 3, 1]), likelihood=made.Categorical(3)).double()).eval()
    x = rows(model, 3)
    order = model.connectivity.order.tolist()
    for target in range(4):
        for row, probs in zip(x, conditional(model, x, target).probs, strict=True):
            assert torch.allclose(probs, answers_by_enumeration(model, order, row, [target], None), rtol=0, atol=1e-12)
    x[:, [3, 1]] = NAN
    for row, probs in zip(x, conditional(model, x, [3]).probs, strict=True):
        assert torch.allclose(probs, answers_by_enumeration(model, order, row, [3], None), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="model must be order-agnostic"):
        conditional(model, x, 1)


def test_a_real_target_has_a_density():
    likelihood = made.Columns([made.Gaussian(), made.Bernoulli(), made.MixtureOfGaussians(2)])
    one, two = (
        MADE(3, (6,), order="random", n_masks=None, likelihood=likelihood, seed=seed).double().eval() for seed in (0, 1)
    )
    x = torch.tensor([[0.3, NAN, NAN], [0.3, 1.0, NAN], [NAN, NAN, NAN]], dtype=torch.float64)
    grid = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    for model in (one, Ensemble([one, two])):
        d = conditional(model, x, 2)
        assert d.batch_shape == (3,)
        density = d.log_prob(grid[:, None].expand(-1, 3)).exp()
        assert torch.allclose(density.sum(0) * 0.01, torch.ones(3).double(), atol=1e-6)
        value = torch.tensor([0.7, -0.2, 1.5], dtype=torch.float64)
        joint = x.clone()
        joint[:, 2] = value
        exact = marginal_log_prob(model, joint) - marginal_log_prob(model, x)
        same_order = torch.tensor([1, 2]) if model is one else torch.tensor([2])  # where the target is the last known
        last = d.log_prob(value)
        order = one.connectivity.order.tolist()
        for n in same_order:
            known = [i for i in order if not joint[n, i].isnan()]
            if model is one and known[-1] == 2:
                assert last[n].item() == pytest.approx(exact[n].item(), abs=1e-10)
    with pytest.raises(ValueError, match="target must be one variable unless all have finitely many values"):
        conditional(one, x, [1, 2])


@pytest.mark.parametrize("target", [[], 5, -1, [0, 0], 1.5, True, [0, 7]], ids=str)
def test_a_target_must_be_variables(target):
    model = agnostic("bernoulli")
    with pytest.raises((ValueError, TypeError), match=r"target must be|float|bool"):
        conditional(model, rows(model, 2), target)


def test_several_models_are_mixed_by_what_they_know():
    """Against enumeration of the mixture: probabilities, marginals, conditionals and imputed values."""
    models = [sharpen(MADE(4, (7,), order="random", n_masks=None, seed=seed).double()).eval() for seed in (0, 1, 2)]
    mixture = Ensemble(models)
    x = states(models[0])
    p = torch.stack([model.log_prob(x).exp() for model in models]).mean(0).detach()
    assert torch.allclose(mixture.log_prob(x).exp(), p, rtol=0, atol=1e-14)
    assert total_probability(mixture) == pytest.approx(1, abs=1e-12)
    partial = torch.tensor([[1.0, NAN, 0.0, NAN]], dtype=torch.float64)
    under = [known_targets_rest(model, partial[0], [3]) for model in models]
    parts = torch.stack(
        [probabilities(m, m.connectivity.reordered(torch.tensor(o)), None) for m, o in zip(models, under, strict=True)]
    )
    fits = (x[:, 0] == 1) & (x[:, 2] == 0)
    marginals = parts[:, fits].sum(1)
    assert marginal_log_prob(mixture, partial).exp().item() == pytest.approx(marginals.mean().item(), abs=1e-12)
    expected = torch.stack([parts[:, fits & (x[:, 3] == v)].sum() for v in (0, 1)])
    assert torch.allclose(conditional(mixture, partial, 3).probs[0], expected / expected.sum(), rtol=0, atol=1e-12)
    drawn = impute(mixture, partial, 40_000, seeded(2))[:, 0]
    by_missing_last = [sorted(m.connectivity.order.tolist(), key=lambda i: bool(partial[0, i].isnan())) for m in models]
    weights = torch.stack(
        [
            probabilities(m, m.connectivity.reordered(torch.tensor(o)), None)
            for m, o in zip(models, by_missing_last, strict=True)
        ]
    ).sum(0)
    assert p_value(counted(models[0], drawn, 16)[fits], weights[fits] / weights[fits].sum()) > 1e-3
    assert p_value(counted(models[0], mixture.sample(40_000, generator=seeded(3)), 16), p) > 1e-3


def test_models_are_averaged_by_their_weights():
    """Against enumeration, with an average among the models: probabilities, marginals, conditionals and samples."""
    first = sharpen(MADE(4, (7,), order="random", n_masks=None, seed=0).double()).eval()
    second = sharpen(MADE(4, (7,), order="random", n_masks=2, seed=1).double()).eval()
    ensemble = Ensemble([first, Mixture(second)], weights=[1, 4])
    x = states(first)
    parts = torch.stack([first.log_prob(x), second.under(0).log_prob(x), second.under(1).log_prob(x)]).exp().detach()
    weights = torch.tensor([0.2, 0.4, 0.4], dtype=torch.float64)
    p = (weights[:, None] * parts).sum(0)
    assert torch.allclose(ensemble.log_prob(x).exp(), p, rtol=0, atol=1e-14)
    assert total_probability(ensemble) == pytest.approx(1, abs=1e-12)
    assert p_value(counted(first, ensemble.sample(40_000, generator=seeded(3)), 16), p) > 1e-3
    partial = torch.tensor([[1.0, NAN, 0.0, NAN]], dtype=torch.float64)
    fits, members = (x[:, 0] == 1) & (x[:, 2] == 0), [first, second.under(0), second.under(1)]
    under = [known_targets_rest(member, partial[0], [3]) for member in members]
    masses = torch.stack(
        [probabilities(m, m.connectivity.reordered(torch.tensor(o)), None) for m, o in zip(members, under, strict=True)]
    )
    expected = torch.stack([(weights[:, None] * masses)[:, fits & (x[:, 3] == v)].sum() for v in (0, 1)])
    assert torch.allclose(conditional(ensemble, partial, 3).probs[0], expected / expected.sum(), rtol=0, atol=1e-12)
    known = torch.stack([marginal_log_prob(member, partial)[0] for member in members]).exp()
    assert marginal_log_prob(ensemble, partial).exp().item() == pytest.approx((weights * known).sum().item(), abs=1e-12)
    last = [sorted(m.connectivity.order.tolist(), key=lambda i: bool(partial[0, i].isnan())) for m in members]
    masses = torch.stack(
        [probabilities(m, m.connectivity.reordered(torch.tensor(o)), None) for m, o in zip(members, last, strict=True)]
    )
    drawn = impute(ensemble, partial, 40_000, seeded(2))[:, 0]
    mass = (weights[:, None] * masses).sum(0)[fits]
    assert p_value(counted(first, drawn, 16)[fits], mass / mass.sum()) > 1e-3
    asked = disagreement(Ensemble([first, first], [1, 0]), x[:3], n_orders=3)
    assert torch.allclose(asked.answers, disagreement(first, x[:3], n_orders=3).answers)


class Coins(torch.nn.Module):
    """A distribution that is no MADE: four fair coins."""

    def log_prob(self, x):
        return torch.full(x.shape[:-1], -4 * math.log(2), dtype=torch.float64)

    def sample(self, n, generator=None):
        return torch.bernoulli(torch.full((n, 4), 0.5, dtype=torch.float64), generator=generator)


def test_models_of_any_kind_are_averaged():
    model = sharpen(MADE(4, (7,)).double()).eval()
    ensemble, x = Ensemble([Coins(), model], weights=torch.tensor([3.0, 1.0])), states(model)
    p = 0.75 / 16 + 0.25 * model.log_prob(x).exp().detach()
    assert torch.allclose(ensemble.log_prob(x).exp(), p, rtol=0, atol=1e-14)
    assert total_probability(ensemble) == pytest.approx(1, abs=1e-12)
    assert p_value(counted(model, ensemble.sample(40_000, generator=seeded(3)), 16), p) > 1e-3
    assert ensemble.sample(0).shape == (0, 4)
    for ask in (marginal_log_prob, impute, lambda m, x: m.sample(len(x), given=x)):
        with pytest.raises(TypeError, match="model must be a MADE or an average of such for this, got Coins"):
            ask(ensemble, torch.full((2, 4), NAN, dtype=torch.float64))


def test_weights_are_those_of_the_highest_likelihood():
    """Against a search among all weights, in steps of a thousandth; and a model that helps nobody has none."""
    one, two = (sharpen(MADE(5, (9,), seed=seed).double()).eval() for seed in (0, 1))
    x = torch.cat([one.sample(70, generator=seeded(0)), two.sample(30, generator=seeded(1))])
    ensemble = Ensemble([one, two], weights=[0, 1])
    found = ensemble.fit_weights(x)
    grid = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:-1]
    a, b = one.log_prob(x).detach(), two.log_prob(x).detach()
    likelihoods = torch.logaddexp(a + grid.log()[:, None], b + (1 - grid).log()[:, None]).mean(1)
    assert found[0].item() == pytest.approx(grid[likelihoods.argmax()].item(), abs=2e-3)
    assert found is ensemble.weights
    assert found.sum().item() == pytest.approx(1, abs=1e-12)
    assert -ensemble.log_prob(x).mean().item() == pytest.approx(-likelihoods.max().item(), abs=1e-5)
    hopeless = MADE(5, (9,)).double()
    with torch.no_grad():
        hopeless.output.bias.fill_(-20)
    assert Ensemble([one, hopeless]).fit_weights(torch.ones(10, 5).double())[1] < 1e-9
    again = Ensemble([one, two])
    again.load_state_dict(ensemble.state_dict())
    assert torch.equal(again.log_prob(x), ensemble.log_prob(x))


@pytest.mark.parametrize(
    ("models", "weights", "error", "message"),
    [
        ([], None, ValueError, "models must hold at least one model"),
        ([MADE(3), MADE(4)], None, ValueError, "models must agree in n_features"),
        ([MADE(3), MADE(3, likelihood=made.Gaussian())], None, ValueError, "models must agree in likelihood"),
        ([MADE(3), MADE(3, context_features=1)], None, ValueError, "models must agree in context_features"),
        ([MADE(3), 5], None, TypeError, "models must be modules with log_prob and sample, got int"),
        ([torch.nn.Linear(1, 1)], None, TypeError, "models must be modules with log_prob and sample, got Linear"),
        ([MADE(3), MADE(3)], [1.0], ValueError, "weights must be 2 numbers of at least 0, not all 0"),
        ([MADE(3), MADE(3)], [2, -1], ValueError, "weights must be 2 numbers"),
        ([MADE(3), MADE(3)], [0, 0], ValueError, "weights must be 2 numbers"),
        ([MADE(3), MADE(3)], [NAN, 1], ValueError, "weights must be 2 numbers"),
    ],
)
def test_models_and_weights_that_do_not_fit_are_refused(models, weights, error, message):
    with pytest.raises(error, match=message):
        Ensemble(models, weights)


def test_how_far_orders_disagree():
    """One network trained under many orders contradicts itself a little; tables of one distribution would not."""
    model = agnostic("categorical")
    x = rows(model, 4)
    x[1, 0] = NAN
    whole = disagreement(model, x, n_orders=6, seed=1)
    again = disagreement(model, x, n_orders=6, seed=1)
    assert torch.equal(whole.answers, again.answers)
    assert whole.answers.shape == (6, 4)
    assert torch.allclose(whole.spread, whole.answers.std(0))
    generator = seeded(1)
    for found in whole.answers:
        order = torch.randperm(3, generator=generator)
        assert torch.equal(found, marginal_log_prob(model.under(model.connectivity.reordered(order)), x))
    asked = disagreement(model, x, target=2, n_orders=6)
    assert asked.answers.shape == (6, 4, 3)
    p = asked.answers.exp()
    assert torch.allclose(p.sum(-1), torch.ones(6, 4).double())
    by_hand = torch.stack([0.5 * (one - p.mean(0)).abs().sum(-1) for one in p]).mean(0)
    assert torch.allclose(asked.spread, by_hand)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # sees nothing: one answer
    assert disagreement(model, x).spread.abs().max() < 1e-12
    with pytest.raises(ValueError, match="model must be order-agnostic"):
        disagreement(MADE(3), torch.zeros(1, 3))


# many threads, and modes that must not leak


def test_eight_threads_get_what_one_gets():
    model = sharpen(MADE(6, (20,), order="random", n_masks=3, dropout=0.3, seed=1)).train()
    mixture = Mixture(model)
    x = rows(model, 60)
    gaps = x.clone()
    gaps[torch.rand(60, 6, generator=seeded(2)) < 0.4] = NAN

    def ask(k):
        return [
            marginal_log_prob(model.under(k % 3).eval(), gaps),
            impute(model, gaps, 2, seeded(k)),
            mixture.sample(20, generator=seeded(k)),
            model.sample(20, generator=seeded(k)),
            conditional(model, gaps, k % 6).probs,
            torch.tensor(made.nll(mixture, x).mean),
            torch.tensor(total_probability(model)),
            disagreement(model, gaps, n_orders=3, seed=k).spread,
        ]

    before = model.connectivity
    alone = [ask(k) for k in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = [*pool.map(ask, range(24))]
    for a, b in zip(alone, together, strict=True):
        assert all(torch.allclose(one, other, rtol=0, atol=1e-6) for one, other in zip(a, b, strict=True))
    assert all(part.training for part in model.modules())
    assert model.connectivity is before


def test_questions_in_inference_mode_leave_a_model_that_trains_on():
    model = agnostic("bernoulli").train()
    mixture, x = Mixture(model, [model.draw(1), model.draw(2)]), rows(model, 8)
    gaps = x.clone()
    gaps[:, 1] = NAN
    with torch.inference_mode():
        mixture.log_prob(x)
        impute(model, gaps)
        marginal_log_prob(model, gaps)
        conditional(model, gaps, 0)
        disagreement(model, gaps)
        model.use(model.draw(3))
        model.sample(3)
        made.nll(model, x)
    for loss in (model.loss(x), -mixture.log_prob(x).mean(), -marginal_log_prob(model, gaps).mean()):
        loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_loaded_mixture_has_the_masks_it_was_saved_with():
    saved, other = (Mixture(MADE(4, order="random", n_masks=3, seed=seed).double()) for seed in (0, 9))
    x = states(saved.model)
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other.log_prob(x), saved.log_prob(x))


def test_a_view_of_many_orders_takes_its_rows_and_no_others():
    model = agnostic("bernoulli")
    x = rows(model, 3)
    each = model.under(model.connectivity.reordered(torch.rand(3, 5, generator=seeded()).argsort(1)))
    for wrong in (x[:1], x[0], rows(model, 4)):
        with pytest.raises(ValueError, match=r"x must have shape \(3, 5\), a row for each order"):
            each.log_prob(wrong)
    for ask in (marginal_log_prob, impute, lambda m, x: conditional(m, x, 0)):
        with pytest.raises(ValueError, match="model must have one order to start from"):
            ask(each, x)


def test_orders_cannot_be_asked_for_the_probabilities_of_a_real_target():
    model = MADE(2, order="random", n_masks=None, likelihood=made.Gaussian())
    with pytest.raises(ValueError, match="target must have finitely many values, got 1"):
        disagreement(model, torch.zeros(1, 2), target=1)
