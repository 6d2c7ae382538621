"""made/layers.py: linear layers with masks."""

import copy
import math

import pytest
import torch
from torch import nn

from made.layers import ConditionedLinear, Linear, MaskedLinear, evaluation_view, multiply_by_row, view


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


def test_a_view_in_evaluation_mode_leaves_every_part_as_it_is():
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Sequential(nn.Dropout()))
    module[1].eval()
    other = evaluation_view(module)
    assert not any(part.training for part in other.modules())
    assert [part.training for part in module.modules()] == [True, True, False, True, True]
    assert other[0].weight is module[0].weight
    assert evaluation_view(module.eval()) is module


def test_a_view_shares_weights_and_hooks_but_no_mask():
    one = nn.Sequential(layer(), nn.Dropout())
    seen = []
    one[0].register_forward_hook(lambda *_: seen.append(1))
    other = view(one)
    before = one[0].mask.clone()
    other[0].set_mask(torch.zeros(4, 5, dtype=torch.bool))
    other(torch.ones(1, 5, dtype=torch.float64)).sum().backward()
    assert seen == [1]
    assert torch.equal(one[0].mask, before)
    assert one[0].bias.grad.tolist() == [2.0 if kept else 0.0 for kept in one[0].bias.grad]
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in one.named_parameters()]
    assert other.state_dict().keys() == one.state_dict().keys()


def test_a_view_does_not_call_what_was_compiled_for_the_module():
    one = layer()
    one.compile(backend="eager")
    other = view(one)
    other.set_mask(torch.zeros(4, 5, dtype=torch.bool))
    assert torch.equal(other(torch.ones(1, 5, dtype=torch.float64))[0], one.bias)


@pytest.mark.parametrize("kind", [MaskedLinear, ConditionedLinear])
@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [2, 2], [1, 3]])
def test_a_mask_for_every_row_does_what_each_does_alone(kind, sizes):
    one = kind(5, 4, generator=torch.Generator().manual_seed(0)).double()
    masks = torch.rand(6, len(sizes), 5, generator=torch.Generator().manual_seed(1)) < 0.5
    x = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    rows, gradients = [], torch.zeros(4, 5).double()
    for mask, row in zip(masks, x, strict=True):
        one.set_mask(mask, sizes)
        rows.append(one(row))
        gradients += torch.autograd.grad(rows[-1].square().sum(), one.weight)[0]
    one.set_mask(masks, sizes)
    together = one(x)
    assert torch.allclose(together, torch.stack(rows), rtol=0, atol=1e-12)
    found = torch.autograd.grad(together.square().sum(), one.weight)[0]
    assert torch.allclose(found, gradients, rtol=0, atol=1e-12)
    assert torch.allclose(
        multiply_by_row(one.weight, x, masks.double(), sizes), together - one.offset(), rtol=0, atol=1e-12
    )


def test_masks_of_another_shape_are_refused():
    for mask, sizes in [(torch.ones(4, 4), None), (torch.ones(2, 5), [2, 2, 2]), (torch.ones(3, 2, 4), [2, 2])]:
        with pytest.raises(ValueError, match="mask must have shape"):
            layer().set_mask(mask.bool(), sizes)
