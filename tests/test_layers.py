"""made/layers.py: linear layers with masks."""

import copy
import math

import pytest
import torch
from torch import nn

from made.layers import ConditionedLinear, Linear, MaskedLinear, evaluating


def layer(seed=0, kind=MaskedLinear, **options):
    return kind(5, 4, generator=torch.Generator().manual_seed(seed), **options).double()


def some_mask(seed):
    return torch.rand(4, 5, generator=torch.Generator().manual_seed(seed)) < 0.5


X = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def test_output_equals_a_sum_over_unmasked_inputs():
    masked, mask = layer(), some_mask(1)
    masked.set_mask(mask)
    w, b, y = masked.weight.tolist(), masked.bias.tolist(), masked(X)
    for n in range(7):
        for k in range(4):
            expected = b[k] + sum(w[k][j] * X[n, j].item() for j in range(5) if mask[k, j])
            assert y[n, k].item() == pytest.approx(expected, abs=1e-14)


def test_without_a_mask_it_is_a_linear_layer():
    masked = layer()
    assert torch.equal(masked(X), nn.functional.linear(X, masked.weight, masked.bias))


def test_masks_can_be_exchanged_and_come_back():
    """The first mask, the second, the first: weights multiplied in place would be gone."""
    masked, a, b = layer(), some_mask(1), some_mask(2)
    before = masked.weight.detach().clone()
    outputs = []
    for mask in (a, b, a):
        masked.set_mask(mask)
        outputs.append(masked(X))
    assert torch.equal(outputs[0], outputs[2])
    assert not torch.equal(outputs[0], outputs[1])
    assert torch.equal(masked.weight, before)


def test_masked_weight_is_zero_where_forbidden_and_untouched_elsewhere():
    masked, mask = layer(), some_mask(3)
    masked.set_mask(mask)
    assert torch.equal(masked.masked_weight(), torch.where(mask, masked.weight, 0))


def test_forbidden_weights_get_no_gradient():
    masked, mask = layer(), some_mask(4)
    masked.set_mask(mask)
    masked(X).square().sum().backward()
    assert (masked.weight.grad[~mask] == 0).all()
    assert (masked.weight.grad[mask] != 0).all()


def test_the_mask_follows_the_dtype_of_the_weights_and_is_not_saved():
    masked, mask = layer(), some_mask(1)
    masked.set_mask(mask)
    assert masked.mask.dtype == torch.float64
    assert torch.equal(masked.float().mask, mask.float())
    assert set(masked.state_dict()) == {"weight", "bias"}


def test_companion_weights_add_a_number_that_only_the_mask_decides():
    masked, a, b = layer(kind=ConditionedLinear), some_mask(1), some_mask(2)
    u, offsets = masked.companion.tolist(), []
    for mask in (a, b, a.clone()):
        masked.set_mask(mask)
        for k in range(4):
            expected = masked.bias[k].item() + sum(u[k][j] for j in range(5) if mask[k, j]) / 5
            assert masked.offset()[k].item() == pytest.approx(expected, abs=1e-14)
        assert torch.allclose(masked(X), X @ masked.masked_weight().T + masked.offset(), rtol=0, atol=1e-14)
        offsets.append(masked.offset())
    assert (offsets[0] != offsets[1]).all()
    assert torch.equal(offsets[0], offsets[2])


def test_companions_of_forbidden_connections_get_no_gradient():
    masked, mask = layer(kind=ConditionedLinear, bias=False), some_mask(4)
    masked.set_mask(mask)
    masked(X).square().sum().backward()
    assert (masked.companion.grad[~mask] == 0).all()
    assert (masked.companion.grad[mask] != 0).all()


def test_companions_follow_the_generator_and_leave_the_other_weights_alone(untouched_rng):
    a, b, c = layer(1, ConditionedLinear), layer(1, ConditionedLinear), layer(1)
    assert torch.equal(a.companion, b.companion)
    assert torch.equal(a.weight, c.weight)
    assert "companion" not in c.state_dict()
    assert torch.equal(c.offset(), c.bias)
    assert layer(bias=False).offset() is None
    assert set(a.state_dict()) == {"weight", "bias", "companion"}


@pytest.mark.parametrize("shape", [(5, 4), (4,), (4, 6)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"mask must have shape \(4, 5\)"):
        layer().set_mask(torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize("kind", [Linear, MaskedLinear, ConditionedLinear])
def test_initial_weights_follow_the_generator_only(kind, untouched_rng):
    make = lambda seed: kind(100, 50, generator=torch.Generator().manual_seed(seed))
    a, b, c = make(1), make(1), make(2)
    assert torch.equal(a.weight, b.weight)
    assert torch.equal(a.bias, b.bias)
    assert not torch.equal(a.weight, c.weight)
    bound = 1 / math.sqrt(100)
    assert a.weight.abs().max() <= bound
    assert a.weight.abs().max() > 0.99 * bound
    assert a.weight.mean().abs() < 0.005
    assert torch.equal(copy.deepcopy(a).weight, a.weight)  # a layer that kept its generator could not be copied


def test_a_bias_is_optional():
    assert layer(bias=False).bias is None
    assert torch.equal(layer(bias=False)(torch.zeros(1, 5, dtype=torch.float64)), torch.zeros(1, 4).double())


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_switches_and_puts_back(training):
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    module.train(training)
    with evaluating(module):
        assert not module[1].training
        assert not module(torch.ones(1, 2)).requires_grad
    assert module[1].training == training
    assert torch.is_grad_enabled()


def test_evaluating_puts_back_after_an_error():
    module = nn.Dropout()
    with pytest.raises(RuntimeError), evaluating(module):
        raise RuntimeError
    assert module.training
    assert torch.is_grad_enabled()


def test_evaluating_restores_every_part():
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    module[1].eval()
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == [True, True, False]
