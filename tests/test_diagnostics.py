"""made/diagnostics.py: what proves models right must also prove broken ones wrong."""

from itertools import pairwise

import pytest
import torch
from registry import CONFIGS, allowed, build

import made
from made import MADE, diagnostics
from made.diagnostics import flip_dependencies, jacobian_dependencies, states, structural_dependencies

ORDER = torch.tensor([2, 0, 3, 1])


def leaky(*, row, column):
    """A model of order 2, 0, 3, 1 in which one forbidden direct connection is open."""
    model = MADE(4, (6,), order=ORDER).double()
    with torch.no_grad():
        model.direct.weight[row, column] = 3.0
    mask = model.direct.mask.bool()
    assert not mask[row, column]
    mask[row, column] = True
    model.direct.set_mask(mask)
    return model


@pytest.mark.parametrize(("row", "column"), [(2, 0), (2, 1), (0, 3), (0, 0), (1, 1), (3, 1)])
def test_a_leak_is_found_wherever_it_is(row, column):
    model, expected = leaky(row=row, column=column), allowed(ORDER)
    assert torch.equal(structural_dependencies(model), expected)  # what the connectivity says
    expected[row, column] = True
    assert torch.equal(jacobian_dependencies(model), expected)  # what the network does
    assert torch.equal(flip_dependencies(model), expected)
    assert diagnostics.total_probability(model) != pytest.approx(1, abs=1e-3)


def test_a_leak_through_hidden_units_is_found():
    model = MADE(4, (6,), order=ORDER, direct=False).double()
    model.hidden[0].set_mask(torch.ones(6, 4, dtype=torch.bool))
    for found in (jacobian_dependencies(model), flip_dependencies(model)):
        assert (found & ~allowed(ORDER)).any()


def test_a_leak_of_one_category_only_is_found():
    model = MADE(2, (3,), likelihood=made.Categorical(3))
    mask = model.direct.mask.bool()
    mask[1, 5] = True  # output 0, category 1, sees the last indicator of variable 1
    model.direct.set_mask(mask)
    expected = torch.tensor([[False, True], [True, False]])
    assert torch.equal(jacobian_dependencies(model), expected)
    assert torch.equal(flip_dependencies(model), expected)


def test_a_missing_connection_is_found():
    model = MADE(4, (), order=ORDER)
    mask = model.direct.mask.bool()
    mask[1, 2] = False
    model.direct.set_mask(mask)
    model.output.set_mask(mask)
    expected = allowed(ORDER)
    expected[1, 2] = False
    for found in (jacobian_dependencies(model), flip_dependencies(model)):
        assert torch.equal(found, expected)


def test_violations_are_named_one_by_one():
    assert diagnostics.violations(allowed(ORDER), ORDER) == []
    broken = allowed(ORDER)
    broken[0, 0] = broken[2, 1] = True
    assert diagnostics.violations(broken, ORDER) == [
        "output 0 sees variable 0 itself",
        "output 2 sees variable 1, which is generated later",
    ]
    assert len(diagnostics.violations(torch.ones(4, 4, dtype=torch.bool), ORDER)) == 4 + 6


def test_proofs_leave_the_model_alone(untouched_rng):
    model = build("D8-dropout", torch.float32).train()
    before = [p.clone() for p in model.parameters()]
    for proof in (structural_dependencies, jacobian_dependencies, flip_dependencies):
        assert proof(model).dtype == torch.bool
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert model.training
    assert model.output.weight.dtype == torch.float32


def test_proofs_do_not_depend_on_the_weights():
    model = MADE(4, (6,), order=ORDER)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert torch.equal(jacobian_dependencies(model), allowed(ORDER))
    assert torch.equal(flip_dependencies(model), allowed(ORDER))


def test_an_autoencoder_is_no_distribution():
    """The same sum over all inputs, taken over its reconstruction losses."""
    model = made.Autoencoder(4, (8,), 4, seed=1).double()
    model.log_prob = lambda x: model.likelihood.log_prob(model(x), x)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    assert abs(diagnostics.total_probability(model) - 1) > 0.01


def test_total_probability_sums_what_log_prob_says():
    model = build("D3-cycle")
    model.log_prob = lambda x: torch.full((len(x),), -1.0)
    assert diagnostics.total_probability(model) == pytest.approx(8 * 2.718281828**-1)


def test_total_probability_in_several_parts_and_in_evaluation_mode():
    model = MADE(15, (4,), dropout=0.5).double().train()  # 32768 states, two parts
    assert diagnostics.total_probability(model) == pytest.approx(1, abs=1e-9)
    assert model.training


def test_a_variable_whose_code_is_negative_is_seen_nevertheless():
    """Levels of a discretized logistic are coded from -1 to 1, and where all are low a ReLU would be off."""
    model = MADE(4, (6, 6), order=ORDER, likelihood=made.DiscretizedLogistic(9), direct=False)
    assert torch.equal(flip_dependencies(model), allowed(ORDER))
    assert torch.equal(jacobian_dependencies(model), allowed(ORDER))


def test_a_leak_of_the_context_is_none_and_one_beside_it_is_found():
    """The first inputs are the context; whoever forgets them looks at the wrong columns."""
    model = MADE(4, (), order=ORDER, context_features=3)
    for found in (jacobian_dependencies(model), flip_dependencies(model)):
        assert torch.equal(found, allowed(ORDER))
    mask = model.direct.mask.bool()
    mask[2, 3 + 1] = True  # output 2, which comes first, sees variable 1
    model.direct.set_mask(mask)
    expected = allowed(ORDER)
    expected[2, 1] = True
    for found in (jacobian_dependencies(model), flip_dependencies(model)):
        assert torch.equal(found, expected)


def test_total_probability_belongs_to_a_context():
    model = MADE(3, (), context_features=1)
    model.log_prob = lambda x, context: torch.full((len(x),), context.item())
    assert diagnostics.total_probability(model, torch.tensor([-1.0])) == pytest.approx(8 * 2.718281828**-1)
    with pytest.raises(ValueError, match="context must be given"):
        diagnostics.total_probability(MADE(3, (), context_features=1))


def test_states_of_columns_take_every_value_of_every_column():
    columns = [made.Bernoulli(), made.Categorical(3), made.DiscretizedLogistic(4), made.Bernoulli()]
    x = states(MADE(4, (), likelihood=made.Columns(columns)))
    assert x.tolist() == [[a, b, c, d] for a in range(2) for b in range(3) for c in range(4) for d in range(2)]
    with pytest.raises(ValueError, match="model must have a finite support"):
        states(MADE(2, (), likelihood=made.Columns([made.Bernoulli(), made.Gaussian()])))


def test_states_count_up():
    x = states(MADE(3, (), likelihood=made.Categorical(3)))
    assert x.shape == (27, 3)
    assert (x @ torch.tensor([9.0, 3, 1])).tolist() == list(range(27))
    assert states(MADE(1, ()).double()).tolist() == [[0], [1]]
    assert states(MADE(1, ()).double()).dtype == torch.float64


@pytest.mark.parametrize("call", [states, diagnostics.total_probability])
def test_too_many_states_are_refused(call):
    with pytest.raises(ValueError, match=r"model has 2097152 states, more than the 1048576"):
        call(MADE(21, ()))
    with pytest.raises(ValueError, match=r"model has 1594323 states"):
        call(MADE(13, (), likelihood=made.Categorical(3)))
    with pytest.raises(ValueError, match="model must have a finite support"):
        call(MADE(2, (), likelihood=made.Gaussian()))


def test_exactly_the_most_states_are_allowed():
    assert len(states(MADE(20, ()))) == 2**20


def weights_by_hand(model):
    """How many weights the degrees allow, pair by pair; companion weights and biases stand beside them."""
    inputs, outputs = model.likelihood.sizes(model.n_features)
    degrees = [layer.tolist() for layer in model.connectivity.degrees]
    encoded = [-1] * model.context_features  # the context comes before everything
    encoded += [degree for degree, size in zip(degrees[0], inputs, strict=True) for _ in range(size)]
    described = [degree for degree, size in zip(degrees[0], outputs, strict=True) for _ in range(size)]
    layers = [encoded, *degrees[1:]]
    count = sum(b <= a for before, after in pairwise(layers) for b in before for a in after)
    to_outputs = [layers[-1]] + ([encoded] if model.direct is not None else [])
    count += sum(b < a for before in to_outputs for b in before for a in described)
    biased = sum(map(len, degrees[1:])) + len(described)
    return count * (2 if isinstance(model.output, made.layers.ConditionedLinear) else 1) + biased


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_counted_without_masked_weights(name):
    model = build(name)
    for connectivity in model.connectivities[:2]:
        assert diagnostics.count_parameters(model.under(connectivity)) == weights_by_hand(model.under(connectivity))
    if model.n_features > 1:
        assert diagnostics.count_parameters(model) < sum(p.numel() for p in model.parameters())
