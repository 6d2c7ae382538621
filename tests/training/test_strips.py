"""Weights that are kept masked, and products by strips, beside the plain product with masks."""

import contextlib
import copy
import pickle

import pytest
import torch
from registry import CONFIGS, build, contexts, rows
from torch.nn import functional as F

import made
from made.layers import ConditionedLinear, MaskedLinear
from made.training import strips
from made.training.strips import StripProduct, cut_mask, kept_masked

SINGLE = [name for name, config in CONFIGS.items() if config.get("n_masks", 1) == 1]


@pytest.fixture(autouse=True)
def every_layer(monkeypatch):
    """Strips for layers of any size."""
    monkeypatch.setattr(strips, "ENOUGH", 0)


def staircase(height, width, seed=0):
    """A mask of rows sorted by how far they reach."""
    reach = torch.randint(0, width + 1, (height,), generator=torch.Generator().manual_seed(seed)).sort().values
    return (torch.arange(width) < reach[:, None]).double()


def some_mask(height, width, seed=0):
    return (torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def masked_layers(model):
    return [part for part in model.modules() if isinstance(part, MaskedLinear)]


def by_strips(layer):
    return isinstance(layer.faster, strips.StripForward)


MASKS = {
    "staircase": staircase(13, 9),
    "tall": staircase(40, 3, 1),
    "random": some_mask(13, 9),
    "unsorted": staircase(13, 9)[torch.randperm(13, generator=torch.Generator().manual_seed(2))],
    "ones": torch.ones(6, 4, dtype=torch.float64),
    "zeros": torch.zeros(6, 4, dtype=torch.float64),
    "one row": torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64),
    "leading zeros": F.pad(staircase(8, 6), (2, 0)),
    "diagonal": torch.ones(10, 10, dtype=torch.float64).tril(-1),
}


@pytest.mark.parametrize("height", [1, 3, 100])
@pytest.mark.parametrize("name", MASKS)
def test_strips_cover_every_row_once_and_every_allowed_weight(name, height):
    mask = MASKS[name]
    cut = cut_mask(mask, height)
    assert [i for part, _, _ in cut for i in range(part.start, part.stop)] == list(range(len(mask)))
    for part, sure, reach in cut:
        assert 0 <= sure <= reach <= mask.shape[1]
        assert mask[part, :sure].all()
        assert not mask[part, reach:].any()
        assert reach == 0 or mask[part, reach - 1].any()  # no further than needed
        assert sure == mask.shape[1] or not mask[part, sure].all()


def test_a_staircase_is_cut_and_a_full_mask_is_not():
    mask = torch.ones(8, 8).tril()
    assert cut_mask(mask, 2) == [(slice(0, 2), 1, 2), (slice(2, 4), 3, 4), (slice(4, 6), 5, 6), (slice(6, 8), 7, 8)]
    assert cut_mask(mask.flip(0), 2)[0] == (slice(0, 2), 7, 8)
    assert cut_mask(torch.ones(8, 8), 2) == [(slice(0, 8), 8, 8)]


@pytest.mark.parametrize("height", [1, 3, 100])
@pytest.mark.parametrize("name", MASKS)
def test_the_product_and_its_gradients_are_those_of_a_masked_weight(name, height):
    mask, generator = MASKS[name], torch.Generator().manual_seed(3)
    x = torch.randn(5, mask.shape[1], dtype=torch.float64, generator=generator, requires_grad=True)
    weight = (torch.randn(mask.shape, dtype=torch.float64, generator=generator) * mask).requires_grad_()
    dy = torch.randn(5, len(mask), dtype=torch.float64, generator=generator)
    y = StripProduct.apply(x, weight, mask, cut_mask(mask, height))
    expected = F.linear(x, weight * mask)
    assert torch.allclose(y, expected, rtol=0, atol=1e-14)
    for found, wanted in zip(
        torch.autograd.grad(y, (x, weight), dy), torch.autograd.grad(expected, (x, weight), dy), strict=True
    ):
        assert torch.allclose(found, wanted, rtol=0, atol=1e-13)


def test_gradients_equal_finite_differences():
    mask = MASKS["staircase"]
    x = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.randn(13, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * mask
    full = cut_mask(torch.ones(13, 9), 4)  # every weight may move: gradcheck does not know about masks
    ones = torch.ones_like(mask)
    assert torch.autograd.gradcheck(lambda x, w: StripProduct.apply(x, w, ones, full), (x, weight.requires_grad_()))
    cut = cut_mask(mask, 4)
    assert len(cut) == 4
    assert torch.autograd.gradcheck(
        lambda x, w: StripProduct.apply(x, w * mask, mask, cut), (x, weight.detach().clone().requires_grad_())
    )


def test_a_second_derivative_is_refused_rather_than_wrong():
    mask = MASKS["staircase"]
    weight = mask.clone().requires_grad_()
    y = StripProduct.apply(torch.ones(2, 9, dtype=torch.float64), weight, mask, cut_mask(mask, 4))
    (first,) = torch.autograd.grad(y.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.parametrize("shape", [(5,), (1, 5), (2, 3, 5), (0, 5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [MaskedLinear, ConditionedLinear])
def test_a_layer_kept_masked_takes_what_a_layer_takes(shape, bias, kind):
    layer = kind(5, 7, bias, generator=torch.Generator().manual_seed(0)).double()
    layer.set_mask(staircase(7, 5).bool())
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = layer(x)
    with kept_masked(layer):
        found = layer(x)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=0, atol=1e-14)


def test_forbidden_weights_are_zero_afterwards_and_the_others_untouched():
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    layer.set_mask(staircase(7, 5).bool())
    expected = layer.masked_weight().detach().clone()
    with kept_masked(layer):
        assert by_strips(layer)
    assert not by_strips(layer)
    assert torch.equal(layer.weight, expected)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("more", [0, 1])
def test_small_layers_go_on_masking(more, threads, monkeypatch):
    """Small for every thread that works on them."""
    monkeypatch.setattr(strips, "ENOUGH", 448 * 448 // threads)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    layer = MaskedLinear(448, 447 + more, generator=torch.Generator().manual_seed(0))
    layer.set_mask(torch.ones(447 + more, 448).tril().bool())
    with kept_masked(layer):
        assert by_strips(layer) == bool(more)
        assert not more or len(layer.faster.strips) == 4
        assert torch.equal(layer.weight, layer.masked_weight())


def test_another_mask_ends_it_for_good():
    """Also when the first one, the very same object, comes back: meanwhile other weights have moved."""
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    first, x = staircase(7, 5).float(), torch.ones(2, 5)
    layer.set_mask(first)
    with kept_masked(layer):
        layer.weight.data.fill_(1)
        layer.set_mask(torch.eye(7, 5).bool())
        assert torch.equal(layer(x), F.linear(x, torch.eye(7, 5), layer.bias))
        layer.set_mask(first)
        assert layer.mask is first
        assert torch.equal(layer(x), F.linear(x, first, layer.bias))


def test_a_layer_that_changes_its_dtype_goes_on():
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    layer.set_mask(staircase(7, 5).bool())
    with kept_masked(layer):
        layer.double()
        x = torch.ones(2, 5, dtype=torch.float64)
        assert torch.equal(layer(x), F.linear(x, layer.weight * staircase(7, 5), layer.bias))


def test_after_an_exception_layers_mask_again():
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    with contextlib.suppress(ZeroDivisionError), kept_masked(layer):
        raise ZeroDivisionError
    assert not by_strips(layer)


def test_an_exception_on_the_way_in_leaves_no_strips(monkeypatch):
    layers = [MaskedLinear(5, 7, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    real, calls = strips.cut_mask, []

    def fails_the_second_time(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(strips, "cut_mask", fails_the_second_time)
    with pytest.raises(MemoryError), kept_masked(torch.nn.Sequential(*layers)):
        raise AssertionError("not reached")
    assert not any(map(by_strips, layers))


def test_one_inside_the_other():
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    layer.set_mask(staircase(7, 5).bool())
    with kept_masked(layer):
        with kept_masked(layer):
            assert by_strips(layer)
        assert torch.equal(layer(torch.eye(5)), F.linear(torch.eye(5), layer.masked_weight(), layer.bias))
    assert not by_strips(layer)


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
@pytest.mark.parametrize("kind", ["a layer", "a model"])
def test_a_copy_masks_its_own_weights(way, kind):
    """A copy is nobody's to keep masked: whatever its weights become, its masks hold; the original stays as it is."""
    part = build("D8-as-wide-deep") if kind == "a model" else MaskedLinear(8, 7, generator=torch.Generator()).double()
    if kind == "a layer":
        part.set_mask(staircase(7, 8).bool())
    x = torch.eye(8, dtype=torch.float64)
    with kept_masked(part):
        twin = copy.deepcopy(part) if way == "deepcopy" else pickle.loads(pickle.dumps(part))
        assert not any(map(by_strips, masked_layers(twin)))
        assert all(map(by_strips, masked_layers(part)))
        assert torch.allclose(twin(x), part(x), rtol=0, atol=1e-14)
    before = part(x)
    for layer in masked_layers(twin):
        layer.weight.data += 1
    for layer in masked_layers(part):
        layer.weight.data += 1
    assert torch.equal(twin(x), part(x))
    assert not torch.equal(twin(x), before)
    with kept_masked(twin):
        assert all(map(by_strips, masked_layers(twin)))
    assert torch.equal(twin(x), part(x))


def test_a_class_of_its_own_keeps_its_forward_for_another_mask():
    class Doubled(MaskedLinear):
        def forward(self, x):
            return 2 * super().forward(x)

    layer = Doubled(5, 7, generator=torch.Generator().manual_seed(0))
    with kept_masked(layer):
        layer.set_mask(staircase(7, 5).bool())
        assert torch.equal(layer(torch.eye(5)), 2 * F.linear(torch.eye(5), layer.masked_weight(), layer.bias))


def trained(model, x, context, plain, decay):
    """Ten steps of AdamW written out, with the product W * M in every call (plain), or with weights kept masked."""
    model, parts = copy.deepcopy(model).train(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=decay)
    with contextlib.nullcontext() if plain else kept_masked(model), torch.random.fork_rng():
        torch.manual_seed(5)
        for step in range(10):
            optimizer.zero_grad()
            loss = model.loss(x[step::3], None if context is None else context[step::3])
            loss.backward()
            optimizer.step()
            parts.append(loss.detach())
    return model.eval(), torch.stack(parts)


@pytest.mark.parametrize("height", [2, strips.HEIGHT])
@pytest.mark.parametrize("name", SINGLE)
def test_training_with_weights_kept_masked_equals_training_with_products(name, height, monkeypatch):
    monkeypatch.setattr(strips, "HEIGHT", height)
    model = build(name)
    x, context = rows(model, 40), contexts(model, 40)
    (plain, expected), (kept, found) = (trained(model, x, context, plain, 0.1) for plain in (True, False))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert torch.allclose(kept(x, context), plain(x, context), rtol=0, atol=1e-12)
    for layer, other in zip(masked_layers(kept), masked_layers(plain), strict=True):
        assert torch.allclose(layer.weight, other.masked_weight(), rtol=0, atol=1e-12)
        assert torch.equal(layer.weight, layer.masked_weight())  # nothing forbidden came back


def test_adam_would_divide_by_next_to_nothing_if_gradients_were_not_masked():
    """The gradients matter: without their mask, forbidden weights move."""
    mask = MASKS["staircase"]
    weight = mask.clone().requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    F.linear(torch.ones(2, 9, dtype=torch.float64), weight).sum().backward()
    optimizer.step()
    assert weight[mask == 0].any()


@pytest.mark.parametrize(
    "name", ["D8-dropout", "D7-wide-deep", "D7-gaussian", "D8-several-orders", "D7-context-no-direct"]
)
def test_fit_equals_a_loop_written_out(name):
    """The plain version of fit: a hand-written loop over a plain network."""
    model = build(name)
    x, context = rows(model, 35), contexts(model, 35)
    twin = copy.deepcopy(model)
    history = made.fit(model, x, context=context, epochs=3, batch_size=10, lr=0.01, seed=7, progress=False)
    generator, losses, steps = torch.Generator().manual_seed(7), [], 0
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0)
    twin.train()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        for _ in range(3):
            total = 0.0
            for batch in torch.randperm(35, generator=generator).split(10):
                twin.use(steps % len(twin.connectivities))
                loss = twin.loss(x[batch], None if context is None else context[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total, steps = total + loss.item() * len(batch), steps + 1
            losses.append(total / 35)
    twin.use(0)
    assert history.train == pytest.approx(losses, abs=1e-12)
    assert torch.allclose(model(x, context), twin.eval()(x, context), rtol=0, atol=1e-12)


@pytest.mark.parametrize("wide", [True, False])
def test_a_forward_that_a_user_has_put_on_a_layer_is_called_and_stays(wide, monkeypatch):
    monkeypatch.setattr(strips, "ENOUGH", 0 if wide else 10**9)
    model, calls = made.MADE(6, (8,)), []
    own = model.output.forward

    def watched(x):
        calls.append(len(x))
        return own(x)

    model.output.forward = watched
    made.fit(model, torch.ones(10, 6), epochs=1, batch_size=5, progress=False)
    assert calls == [5, 5]
    assert model.output.forward is watched


def test_a_shallow_copy_computes_with_its_own_weights(monkeypatch):
    """As the replicas of nn.DataParallel, which share all attributes but the parameters."""
    monkeypatch.setattr(strips, "ENOUGH", 0)
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    with kept_masked(layer):
        replica = layer._replicate_for_data_parallel()
        replica.mask, replica.weight, replica.bias = layer.mask, 2 * layer.weight, torch.zeros(7)
        assert torch.allclose(replica(x), x @ (2 * layer.weight).T)
        replica.mask = layer.mask.clone()
        assert torch.allclose(replica(x), x @ (2 * layer.weight).T)
        assert layer.faster is not None


def test_a_copy_made_meanwhile_bears_no_trace(monkeypatch):
    monkeypatch.setattr(strips, "ENOUGH", 0)
    layer = MaskedLinear(5, 7, generator=torch.Generator().manual_seed(0))
    with kept_masked(layer):
        again = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    assert all(one.faster is None and "forward" not in vars(one) for one in again)
