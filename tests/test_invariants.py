"""Every configuration of the registry must keep every promise."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from registry import (
    CONFIGS,
    CONTEXT,
    FINITE,
    GAUSSIAN,
    REAL,
    SEVERAL,
    allowed,
    build,
    column,
    contexts,
    every_connectivity,
    reachable_by_paths,
    rows,
    seeded,
)
from scipy import stats

import made
from made import diagnostics
from made.layers import ConditionedLinear
from made.sampling import sample_incremental, sample_naive, uniforms

every_config = pytest.mark.parametrize("name", CONFIGS)


def test_the_registry_covers_what_it_promises():
    models = {name: build(name) for name in CONFIGS}
    assert {m.n_features for m in models.values()} == {1, 2, 3, 7, 8}
    assert {len(m.hidden) for m in models.values()} == {0, 1, 2, 3}
    assert {type(m.likelihood) for m in models.values()} == set(made.likelihoods.LIKELIHOODS)
    kinds = [(m.residual, m.context_features > 0, m.config.mask_conditioning, len(m.connectivities) > 1,
              isinstance(m.likelihood, made.Columns), m.dropout.p > 0) for m in models.values()]  # fmt: skip
    assert all(any(kind) for kind in zip(*kinds, strict=True))
    assert (True,) * 6 in kinds
    for name, model in models.items():  # natural orders hide mistakes: most must differ from their own inverse
        order = model.connectivity.order
        if "cycle" in name or (name in SEVERAL and CONFIGS[name]["order"] == "random"):
            assert not torch.equal(order, order.argsort())


def some_contexts(model):
    """Three single contexts, or None for a model without."""
    c = contexts(model, 3, seed=9)
    return [None] if c is None else list(c)


@pytest.mark.parametrize("name", FINITE)
def test_probabilities_sum_to_one(name):
    model = build(name)
    for _ in every_connectivity(model):
        for context in some_contexts(model):
            assert diagnostics.total_probability(model, context) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in SEVERAL if name in FINITE])
def test_a_mixture_of_connectivities_sums_to_one(name):
    model = build(name)
    mixture = made.Mixture(model, [model.draw(k) for k in range(3)])
    for context in some_contexts(model):
        assert diagnostics.total_probability(mixture, context) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in REAL if CONFIGS[name]["n_features"] <= 3])
def test_densities_integrate_to_one(name):
    """Variable after variable: sums over all values, or trapezoids on a grid around each conditional mean."""
    model = build(name)
    step = 0.1 if model.n_features < 3 else 0.25
    z = torch.arange(-10, 10 + step, step, dtype=torch.float64)
    for context in some_contexts(model):
        x, weight = torch.zeros(1, model.n_features, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        for i in model.connectivity.order.tolist():
            kind = column(model, i)
            if kind.n_states:
                points = torch.arange(kind.n_states, dtype=torch.float64).expand(len(x), -1)
            else:
                with torch.no_grad():
                    own = model.likelihood.take(model(x, context), [i]).flatten(1)
                    d = kind.distribution(own)
                points = d.mean[:, None] + d.stddev[:, None] * z
                weight = weight * d.stddev * step
            weight, x = weight.repeat_interleave(points.shape[1]), x.repeat_interleave(points.shape[1], 0)
            x[:, i] = points.flatten()
        with torch.no_grad():
            total = (model.log_prob(x, context).exp() * weight).sum()
        assert float(total) == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_log_prob_is_a_sum_of_normal_log_densities(name):
    model = build(name)
    x, c = rows(model, 20), contexts(model, 20)
    with torch.no_grad():
        mean, raw = model(x, c).numpy().T
        scale = model.likelihood.min_scale + np.logaddexp(0, raw)
        expected = stats.norm.logpdf(x.numpy().T, mean, scale).sum(0)
        assert model.log_prob(x, c).numpy() == pytest.approx(expected, abs=1e-10)


@every_config
def test_three_proofs_of_who_sees_whom_agree(name):
    model = build(name)
    for _ in every_connectivity(model):
        by_masks = diagnostics.structural_dependencies(model)
        assert torch.equal(by_masks, diagnostics.jacobian_dependencies(model))
        assert torch.equal(by_masks, diagnostics.flip_dependencies(model))
        may_see = allowed(model.connectivity.order)
        by_paths = reachable_by_paths(model.connectivity.degrees)
        assert not (by_masks & ~may_see).any()
        if model.direct is not None:
            by_paths |= may_see
        assert torch.equal(by_masks, by_paths)


@pytest.mark.parametrize("name", CONTEXT)
def test_a_context_reaches_every_conditional(name):
    """The first one included, whatever the hidden layers and with or without direct connections."""
    model = build(name)
    model.activation = torch.nn.functional.elu  # unlike a ReLU it is never off
    for _ in every_connectivity(model):
        context = contexts(model, 30).requires_grad_()
        log_prob = model.conditionals(rows(model, 30), context).log_prob(rows(model, 30, seed=1))
        for i in range(model.n_features):
            slopes = torch.autograd.grad(log_prob[:, i].sum(), context, retain_graph=True)[0]
            assert (slopes != 0).any(0).all()


@pytest.mark.parametrize("name", CONTEXT)
def test_a_context_for_all_is_that_context_for_each(name):
    model = build(name)
    x, context = rows(model, 6), contexts(model, 1)[0]
    with torch.no_grad():
        assert torch.equal(model.log_prob(x, context), model.log_prob(x, context.expand(6, -1)))
    a, b = (model.sample(6, c, generator=seeded()) for c in (context, context.expand(6, -1)))
    assert torch.equal(a, b)


@every_config
def test_even_degrees_see_all_they_may_when_layers_are_wide_enough(name):
    config, model = CONFIGS[name], build(name)
    if config.get("degrees") == "random":
        assert model.connectivity.coverage() <= 1
        return
    lowest = 0 if name in CONTEXT else 1
    wide = all(width >= config["n_features"] - lowest for width in config["hidden"])
    reach = model.connectivity.reachable()
    assert torch.equal(reach, allowed(model.connectivity.order)) == wide


@every_config
def test_coverage_equals_counted_paths(name):
    model = build(name)
    for connectivity in model.connectivities:
        may_see = int(allowed(connectivity.order).sum())
        paths = int(reachable_by_paths(connectivity.degrees).sum())
        assert connectivity.coverage() == pytest.approx(paths / may_see if may_see else 1.0)
        assert connectivity.coverage(direct=True) == 1.0


@every_config
def test_log_prob_is_the_chain_rule_whatever_the_future_holds(name):
    """Conditional t is taken from a row whose variable t and everything after it are random."""
    model = build(name)
    context = contexts(model, 16)
    for k in every_connectivity(model):
        x, total, order = rows(model, 16), torch.zeros(16, dtype=torch.float64), model.connectivity.order.tolist()
        for t, i in enumerate(order):
            hidden_future = x.clone()
            hidden_future[:, order[t:]] = rows(model, 16, seed=100 * k + t + 1)[:, order[t:]]
            with torch.no_grad():
                total += model.conditionals(hidden_future, context).log_prob(x)[:, i]
        with torch.no_grad():
            assert torch.allclose(model.log_prob(x, context), total, rtol=0, atol=1e-12)


def assert_same_samples(model, a, b):
    if model.likelihood.n_states is None:
        assert torch.allclose(a, b, rtol=0, atol=1e-9)
    else:
        assert torch.equal(a, b)


def known_prefixes(model, n):
    """Rows of which the first t variables of the order are known, for all t from 0 to D in turn."""
    given, n_features = rows(model, n, seed=7), model.n_features
    for row in range(n):
        given[row, model.connectivity.order[row % (n_features + 1) :]] = torch.nan
    return given


@every_config
@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
def test_incremental_samples_equal_naive_samples(name, temperature):
    model = build(name)
    context = contexts(model, 40)
    for _ in every_connectivity(model):
        for given in (None, known_prefixes(model, 40)):
            a, b = (
                model.sample(40, context, given, temperature=temperature, generator=seeded(3), method=method)
                for method in ("incremental", "naive")
            )
            assert_same_samples(model, a, b)
            if given is not None:
                assert torch.equal(a[~given.isnan()], given[~given.isnan()])


@every_config
def test_the_block_size_never_changes_samples(name):
    model = build(name)
    context = contexts(model, 30)
    for _ in every_connectivity(model):
        u, given = uniforms(30, model.n_features, seeded(5)), known_prefixes(model, 30)
        with torch.no_grad():
            expected = sample_naive(model, u, given, 1.3, context)
            for block in (1, 2, 3, 64):
                found = sample_incremental(model, u, given, 1.3, context, block)
                assert_same_samples(model, found, expected)


@every_config
def test_float32_and_float64_agree(name):
    single, double = build(name, torch.float32), build(name)
    x, c = rows(double, 10), contexts(double, 10)
    with torch.no_grad():
        found = single.log_prob(x.float(), contexts(single, 10)).double()
        assert torch.allclose(found, double.log_prob(x, c), rtol=1e-4, atol=1e-3)
    for model in (single, double):
        for method in ("incremental", "naive"):
            c = contexts(model, 3)
            sample = model.sample(3, c, generator=seeded(), method=method)
            dtypes = {t.dtype for t in (sample, model.log_prob(sample, c), model(sample, c), model.output.weight)}
            assert len(dtypes) == 1
            assert sample.shape == (3, model.n_features)


@every_config
def test_a_row_does_not_depend_on_its_batch(name):
    model = build(name)
    x, c = rows(model, 23), contexts(model, 23)
    with torch.no_grad():
        together = model.log_prob(x, c)
        alone = torch.stack([model.log_prob(x[n], None if c is None else c[n]) for n in range(23)])
        folded = model.log_prob(x[:20].reshape(2, 5, 2, -1), None if c is None else c[:20].reshape(2, 5, 2, -1))
    assert folded.shape == (2, 5, 2)
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)
    assert torch.allclose(together[:20], folded.flatten(), rtol=0, atol=1e-12)
    a, b = made.nll(model, x, batch_size=4, context=c), made.nll(model, x, context=c)
    assert a == pytest.approx(b, abs=1e-12)
    assert a.mean == pytest.approx(-float(together.mean()), abs=1e-12)


@every_config
def test_no_rows_are_no_problem(name):
    model = build(name)
    x, c = rows(model, 0), contexts(model, 0)
    assert model.log_prob(x, c).shape == made.Mixture(model).log_prob(x, c).shape == (0,)
    for method in ("incremental", "naive"):
        assert model.sample(0, c, method=method).shape == (0, model.n_features)
        assert made.Mixture(model).sample(0, c, x, method=method).shape == (0, model.n_features)


@every_config
def test_evaluation_is_deterministic_and_leaves_no_trace(name):
    model = build(name)
    x, c = rows(model, 9), contexts(model, 9)
    state = json.dumps([p.tolist() for p in model.parameters()])
    connectivity = model.connectivity
    sample = lambda: model.sample(9, c, generator=seeded(1))
    nll = lambda: torch.tensor(made.nll(model, x, context=c))
    first, again = ([model(x, c), model.log_prob(x, c), sample(), nll()] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert json.dumps([p.tolist() for p in model.parameters()]) == state
    assert model.connectivity is connectivity
    model.train()  # samples and scores are taken in evaluation mode, and the mode is put back
    assert torch.equal(sample(), first[2])
    assert torch.equal(nll(), first[3])
    assert model.training


@every_config
def test_masked_weights_have_no_gradient_and_others_a_finite_one(name):
    model = build(name)
    model.loss(rows(model, 32), contexts(model, 32)).backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
    layers = [*model.hidden, model.output] + ([model.direct] if model.direct is not None else [])
    for layer in layers:
        assert (layer.weight.grad[layer.mask == 0] == 0).all()
        if isinstance(layer, ConditionedLinear):
            assert (layer.companion.grad[layer.mask == 0] == 0).all()
    # the first variable of the order is a bias; every other one must have a way to learn from those before it
    moved = (model.output.bias.grad != 0).split(model.likelihood.sizes(model.n_features)[1])
    for own in moved:
        assert own.sum() >= len(own) - 1  # the logit of a single component moves nothing
        assert own.any()
    if model.n_features > 1 and model.direct is not None:
        assert (model.direct.weight.grad != 0).any()


@every_config
def test_the_global_generator_stays_untouched(name, untouched_rng):
    model = made.MADE(**CONFIGS[name])
    x, c = rows(model, 12), contexts(model, 12)
    both = None if c is None else (c, c)
    made.fit(model, x, x, context=both, epochs=1, batch_size=5, progress=False)
    for method in ("incremental", "naive"):
        model.sample(12, c, generator=seeded(), method=method)
    model.log_prob(x, c)
    made.nll(model, x, context=c)
    if name in FINITE:
        diagnostics.total_probability(model, None if c is None else c[0])
    mixture = made.Mixture(model)
    mixture.sample(12, c, generator=seeded())
    if model.order_agnostic:
        made.impute(model, x, generator=seeded(), context=c)
    diagnostics.flip_dependencies(model)
    diagnostics.jacobian_dependencies(model)


@every_config
def test_a_state_dict_carries_everything(name):
    """Into a model built with another seed: other weights, and other random orders and degrees."""
    model = build(name)
    model.use(len(model.connectivities) - 1)
    other = build(name, seed=77)
    x, c = rows(model, 10), contexts(model, 10)
    assert not torch.equal(other.log_prob(x, c), model.log_prob(x, c))
    other.load_state_dict(model.state_dict())
    for k in [None, *range(len(model.connectivities))]:
        if k is not None:
            model.use(k)
            other.use(k)
        assert other.connectivity == model.connectivity
        assert torch.equal(other.log_prob(x, c), model.log_prob(x, c))
        assert torch.equal(other.sample(10, c, generator=seeded(1)), model.sample(10, c, generator=seeded(1)))


READER = """
import sys, torch, made
folder, result = sys.argv[1:]
torch.set_num_threads(1)
answers = {}
for name, (x, context) in torch.load(folder + "/rows.pt", weights_only=True).items():
    model = made.MADE.load(f"{folder}/{name}.safetensors")
    assert not model.training
    with torch.no_grad():
        generator = torch.Generator().manual_seed(4)
        answers[name] = [model.log_prob(x, context), model.sample(6, context, generator=generator)]
torch.save(answers, result)
"""


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    """Every configuration saved here, loaded and used in one fresh process: (expected, found) by name."""
    folder = tmp_path_factory.mktemp("saved")
    inputs, expected = {}, {}
    for name in CONFIGS:
        for dtype in (torch.float64, torch.float32):
            model, key = build(name, dtype), f"{name}-{dtype}"
            model.use(len(model.connectivities) - 1)
            model.save(folder / f"{key}.safetensors")
            x, c = inputs[key] = rows(model, 6), contexts(model, 6)
            with torch.no_grad():
                expected[key] = [model.log_prob(x, c), model.sample(6, c, generator=seeded(4))]
    torch.save(inputs, folder / "rows.pt")
    subprocess.run([sys.executable, "-c", READER, str(folder), str(folder / "found.pt")], check=True)
    assert not list(Path(folder).glob("*.partial"))
    return expected, torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.processes
@every_config
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_saved_model_is_the_same_in_a_fresh_process(name, dtype, reloaded):
    expected, found = (answers[f"{name}-{dtype}"] for answers in reloaded)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


# an order for every row


@every_config
def test_rows_with_orders_of_their_own_get_what_each_gets_alone(name):
    """Log-probabilities, gradients and samples; with two rows of the same order among six."""
    model = build(name)
    orders = torch.rand(6, model.n_features, generator=seeded(3)).argsort(1)
    orders[4] = orders[1]
    x, c, u = rows(model, 6), contexts(model, 6), uniforms(6, model.n_features, seeded(4))
    together = model.under(model.connectivity.reordered(orders))
    found, gradients = together.log_prob(x, c), torch.autograd.grad(together.loss(x, c), [*model.parameters()])
    expected_gradients = [torch.zeros_like(p) for p in model.parameters()]
    unknown = torch.full_like(x, torch.nan)
    with torch.no_grad():
        drawn = made.sampling.sample_by_row(together, u, unknown, 0.8, c)
        assert drawn.numpy() == pytest.approx(sample_naive(together, u, unknown, 0.8, c).numpy(), abs=1e-9)
    for n, order in enumerate(orders):
        alone, one = model.under(model.connectivity.reordered(order)), slice(n, n + 1)
        context = None if c is None else c[one]
        assert found[n].item() == pytest.approx(alone.log_prob(x[one], context).item(), rel=1e-10, abs=1e-10)
        grown = torch.autograd.grad(alone.loss(x[one], context) / 6, [*model.parameters()])
        expected_gradients = [a + b for a, b in zip(expected_gradients, grown, strict=True)]
        with torch.no_grad():
            one_row = sample_naive(alone, u[one], unknown[one], 0.8, context)
        assert drawn[one].numpy() == pytest.approx(one_row.numpy(), abs=1e-9)
    for a, b in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


@every_config
def test_a_view_answers_under_its_connectivity_and_touches_nothing(name):
    model = build(name).train()
    before, state = model.connectivity, {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    other = model.connectivity.reordered(model.connectivity.order.flip(0))
    masks = [layer.mask.clone() for layer in (*model.hidden, model.output)]
    x, c = rows(model, 5), contexts(model, 5)
    asked = model.under(other).eval().log_prob(x, c)
    assert model.connectivity is before
    assert all(torch.equal(a, layer.mask) for a, layer in zip(masks, (*model.hidden, model.output), strict=True))
    assert all(part.training for part in model.modules())
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in state.items())
    model.use(other)
    assert torch.equal(model.eval().log_prob(x, c), asked)
