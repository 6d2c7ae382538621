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
    FINITE,
    GAUSSIAN,
    allowed,
    build,
    every_connectivity,
    reachable_by_paths,
    rows,
    seeded,
)
from scipy import stats

import made
from made import diagnostics
from made.sampling import sample_incremental, sample_naive, uniforms

every_config = pytest.mark.parametrize("name", CONFIGS)


def test_the_registry_covers_what_it_promises():
    models = {name: build(name) for name in CONFIGS}
    assert {m.n_features for m in models.values()} == {1, 2, 3, 7, 8}
    assert {len(m.hidden) for m in models.values()} == {0, 1, 2, 3}
    assert {type(m.likelihood) for m in models.values()} == {made.Bernoulli, made.Categorical, made.Gaussian}
    for name, model in models.items():  # natural orders hide mistakes: most must differ from their own inverse
        order = model.connectivity.order
        if "cycle" in name or CONFIGS[name].get("n_masks"):
            assert not torch.equal(order, order.argsort())


@pytest.mark.parametrize("name", FINITE)
def test_probabilities_sum_to_one(name):
    model = build(name)
    for _ in every_connectivity(model):
        assert diagnostics.total_probability(model) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in GAUSSIAN if CONFIGS[name]["n_features"] <= 3])
def test_gaussian_densities_integrate_to_one(name):
    """Trapezoids, variable after variable, on a grid around each conditional mean."""
    model, z = build(name), torch.arange(-9, 9.01, 0.3, dtype=torch.float64)
    x, weight = torch.zeros(1, model.n_features, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for i in model.connectivity.order.tolist():
        with torch.no_grad():
            normal = model.conditionals(x)
        points = normal.loc[:, i, None] + normal.scale[:, i, None] * z
        weight = (weight[:, None] * normal.scale[:, i, None] * 0.3).expand(-1, len(z)).flatten()
        x = x.repeat_interleave(len(z), 0)
        x[:, i] = points.flatten()
    with torch.no_grad():
        total = (model.log_prob(x).exp() * weight).sum()
    assert float(total) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_log_prob_is_a_sum_of_normal_log_densities(name):
    model = build(name)
    x = rows(model, 20)
    with torch.no_grad():
        mean, log_scale = model(x).numpy().T
        scale = model.likelihood.min_scale + np.exp(log_scale)
        expected = stats.norm.logpdf(x.numpy().T, mean, scale).sum(0)
        assert model.log_prob(x).numpy() == pytest.approx(expected, abs=1e-10)


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


@every_config
def test_even_degrees_see_all_they_may_when_layers_are_wide_enough(name):
    config, model = CONFIGS[name], build(name)
    if config.get("degrees") == "random":
        assert model.connectivity.coverage() <= 1
        return
    wide = all(width >= config["n_features"] - 1 for width in config["hidden"])
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
    for k in every_connectivity(model):
        x, total, order = rows(model, 16), torch.zeros(16, dtype=torch.float64), model.connectivity.order.tolist()
        for t, i in enumerate(order):
            hidden_future = x.clone()
            hidden_future[:, order[t:]] = rows(model, 16, seed=100 * k + t + 1)[:, order[t:]]
            with torch.no_grad():
                total += model.conditionals(hidden_future).log_prob(x)[:, i]
        with torch.no_grad():
            assert torch.allclose(model.log_prob(x), total, rtol=0, atol=1e-12)


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
    for _ in every_connectivity(model):
        for given in (None, known_prefixes(model, 40)):
            a, b = (
                model.sample(40, given=given, temperature=temperature, generator=seeded(3), method=method)
                for method in ("incremental", "naive")
            )
            assert_same_samples(model, a, b)
            if given is not None:
                assert torch.equal(a[~given.isnan()], given[~given.isnan()])


@every_config
def test_the_block_size_never_changes_samples(name):
    model = build(name)
    for _ in every_connectivity(model):
        u, given = uniforms(30, model.n_features, seeded(5)), known_prefixes(model, 30)
        with torch.no_grad():
            expected = sample_naive(model, u, given, 1.3)
            for block in (1, 2, 3, 64):
                assert_same_samples(model, sample_incremental(model, u, given, 1.3, block=block), expected)


@every_config
def test_float32_and_float64_agree(name):
    single, double = build(name, torch.float32), build(name)
    x = rows(double, 10)
    with torch.no_grad():
        assert torch.allclose(single.log_prob(x.float()).double(), double.log_prob(x), rtol=1e-4, atol=1e-3)
    for model in (single, double):
        for method in ("incremental", "naive"):
            sample = model.sample(3, generator=seeded(), method=method)
            assert sample.dtype == model.log_prob(sample).dtype == model(sample).dtype == model.output.weight.dtype
            assert sample.shape == (3, model.n_features)


@every_config
def test_a_row_does_not_depend_on_its_batch(name):
    model = build(name)
    x = rows(model, 23)
    with torch.no_grad():
        together = model.log_prob(x)
        alone = torch.stack([model.log_prob(row) for row in x])
        folded = model.log_prob(x[:20].reshape(2, 5, 2, -1))
    assert folded.shape == (2, 5, 2)
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)
    assert torch.allclose(together[:20], folded.flatten(), rtol=0, atol=1e-12)
    a, b = made.nll(model, x, batch_size=4), made.nll(model, x)
    assert a == pytest.approx(b, abs=1e-12)
    assert a.mean == pytest.approx(-float(together.mean()), abs=1e-12)


@every_config
def test_evaluation_is_deterministic_and_leaves_no_trace(name):
    model = build(name)
    x = rows(model, 9)
    state = json.dumps([p.tolist() for p in model.parameters()])
    connectivity = model.connectivity
    first = [model(x), model.log_prob(x), model.sample(4, generator=seeded(1)), torch.tensor(made.nll(model, x))]
    again = [model(x), model.log_prob(x), model.sample(4, generator=seeded(1)), torch.tensor(made.nll(model, x))]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert json.dumps([p.tolist() for p in model.parameters()]) == state
    assert model.connectivity is connectivity
    model.train()  # samples and scores are taken in evaluation mode, and the mode is put back
    assert torch.equal(model.sample(4, generator=seeded(1)), first[2])
    assert torch.equal(torch.tensor(made.nll(model, x)), first[3])
    assert model.training


@every_config
def test_masked_weights_have_no_gradient_and_others_a_finite_one(name):
    model = build(name)
    model.loss(rows(model, 32)).backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()
    layers = [*model.hidden, model.output] + ([model.direct] if model.direct is not None else [])
    for layer in layers:
        assert (layer.weight.grad[layer.mask == 0] == 0).all()
    # the first variable of the order is a bias; every other one must have a way to learn from those before it
    assert (model.output.bias.grad != 0).all()
    if model.n_features > 1 and model.direct is not None:
        assert (model.direct.weight.grad != 0).any()


@every_config
def test_the_global_generator_stays_untouched(name, untouched_rng):
    model = made.MADE(**CONFIGS[name])
    x = rows(model, 12)
    made.fit(model, x, x, epochs=1, batch_size=5, progress=False)
    for method in ("incremental", "naive"):
        model.sample(2, generator=seeded(), method=method)
    model.log_prob(x)
    made.nll(model, x)
    if model.likelihood.n_states is not None:
        diagnostics.total_probability(model)
    diagnostics.flip_dependencies(model)
    diagnostics.jacobian_dependencies(model)


@every_config
def test_a_state_dict_carries_everything(name):
    """Into a model built with another seed: other weights, and other random orders and degrees."""
    model = build(name)
    model.use(len(model.connectivities) - 1)
    other = build(name, seed=77)
    x = rows(model, 10)
    assert not torch.equal(other.log_prob(x), model.log_prob(x))
    other.load_state_dict(model.state_dict())
    for k in [None, *range(len(model.connectivities))]:
        if k is not None:
            model.use(k)
            other.use(k)
        assert other.connectivity == model.connectivity
        assert torch.equal(other.log_prob(x), model.log_prob(x))
        assert torch.equal(other.sample(5, generator=seeded(1)), model.sample(5, generator=seeded(1)))


READER = """
import sys, torch, made
folder, result = sys.argv[1:]
torch.set_num_threads(1)
answers = {}
for name, x in torch.load(folder + "/rows.pt").items():
    model = made.MADE.load(f"{folder}/{name}.safetensors")
    assert not model.training
    with torch.no_grad():
        answers[name] = [model.log_prob(x), model.sample(6, generator=torch.Generator().manual_seed(4))]
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
            inputs[key] = rows(model, 6)
            with torch.no_grad():
                expected[key] = [model.log_prob(inputs[key]), model.sample(6, generator=seeded(4))]
    torch.save(inputs, folder / "rows.pt")
    subprocess.run([sys.executable, "-c", READER, str(folder), str(folder / "found.pt")], check=True)
    assert not list(Path(folder).glob("*.partial"))
    return expected, torch.load(folder / "found.pt")


@every_config
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_saved_model_is_the_same_in_a_fresh_process(name, dtype, reloaded):
    expected, found = (answers[f"{name}-{dtype}"] for answers in reloaded)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
