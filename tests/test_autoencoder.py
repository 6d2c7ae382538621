"""made/autoencoder.py: encode, decode, noise."""

import math

import pytest
import torch
from torch import nn

import made
from made import Autoencoder

X = (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) < 0.5).double()


def autoencoder(*arguments, **options):
    return Autoencoder(*arguments, **options).double()


def test_shapes_of_an_undercomplete_autoencoder():
    model = autoencoder(6, hidden=(5, 4), code_features=2)
    assert [m.weight.shape for m in model.encoder if isinstance(m, nn.Linear)] == [(5, 6), (4, 5), (2, 4)]
    assert [m.weight.shape for m in model.decoder if isinstance(m, nn.Linear)] == [(4, 2), (5, 4), (6, 5)]
    assert model.encode(X).shape == (40, 2)
    assert model.decode(model.encode(X)).shape == model(X).shape == (40, 6, 1)
    assert torch.equal(model(X), model.decode(model.encode(X)))
    assert model(X[0]).shape == (6, 1)


def test_a_code_wider_than_the_input_and_no_hidden_layer():
    model = autoencoder(6, hidden=(), code_features=20)
    assert model.encode(X).shape == (40, 20)
    encoder, decoder = model.encoder[0], model.decoder[0]
    expected = (X @ encoder.weight.T + encoder.bias) @ decoder.weight.T + decoder.bias
    assert torch.allclose(model(X)[..., 0], expected)


def test_forward_equals_a_formula_with_relu_between_but_not_on_the_code():
    model = autoencoder(6, hidden=(5,), code_features=8)
    w = [m for m in [*model.encoder, *model.decoder] if isinstance(m, nn.Linear)]
    code = (X @ w[0].weight.T + w[0].bias).clamp(min=0) @ w[1].weight.T + w[1].bias
    assert torch.allclose(model.encode(X), code)
    assert (code < 0).any()
    expected = (code @ w[2].weight.T + w[2].bias).clamp(min=0) @ w[3].weight.T + w[3].bias
    assert torch.allclose(model(X)[..., 0], expected)


def test_loss_equals_the_summed_cross_entropy_per_row():
    model = autoencoder(6, hidden=(5,), code_features=3).eval()
    p = torch.sigmoid(model(X)[..., 0])
    expected = -(X * p.log() + (1 - X) * (1 - p).log()).sum(-1).mean()
    assert model.loss(X).item() == pytest.approx(expected.item(), abs=1e-12)


def test_loss_with_other_likelihoods():
    reals = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = autoencoder(4, likelihood=made.Gaussian()).eval()
    mean, scale = model(reals)[..., 0], 1e-3 + (1 + model(reals)[..., 1].exp()).log()
    expected = (0.5 * ((reals - mean) / scale) ** 2 + scale.log() + 0.5 * math.log(2 * math.pi)).sum(-1).mean()
    assert model.loss(reals).item() == pytest.approx(expected.item(), abs=1e-12)
    digits = torch.randint(3, (9, 4), generator=torch.Generator().manual_seed(1)).double()
    model = autoencoder(4, likelihood=made.Categorical(3)).eval()
    assert model(digits).shape == (9, 4, 3)
    entropy = nn.functional.cross_entropy(model(digits).transpose(1, 2), digits.long(), reduction="sum") / 9
    assert model.loss(digits).item() == pytest.approx(entropy.item(), abs=1e-12)


@pytest.mark.parametrize("noise", [("mask", 0.5), ("gaussian", 0.7)])
def test_noise_enters_in_training_only(noise):
    clean, noisy = autoencoder(6), autoencoder(6, noise=noise)
    assert torch.equal(clean(X), noisy(X))  # forward and encode never add noise
    assert torch.equal(clean.encode(X), noisy.encode(X))
    assert clean.loss(X) == clean.loss(X)
    assert noisy.loss(X) != noisy.loss(X)
    g = lambda: torch.Generator().manual_seed(3)
    assert noisy.loss(X, g()) == noisy.loss(X, g())
    noisy.eval()
    assert noisy.loss(X) == noisy.loss(X) == clean.eval().loss(X)


@pytest.mark.parametrize("noise", [("mask", 0.5), ("gaussian", 0.7)])
def test_the_noisy_loss_is_that_of_corrupted_input_and_clean_target(noise):
    model, g = autoencoder(6, noise=noise), lambda: torch.Generator().manual_seed(3)
    params = model.decode(model.encoder(model.corrupt(X, g())))
    expected = -made.Bernoulli().log_prob(params, X).mean()
    assert model.loss(X, g()).item() == pytest.approx(expected.item(), abs=1e-14)


def test_masking_sets_whole_variables_to_zero():
    ones, g = torch.ones(1000, 24), torch.Generator().manual_seed(0)
    three_each = made.Categorical(3)
    out = autoencoder(8, noise=("mask", 0.3), likelihood=three_each).corrupt(ones, g).view(1000, 8, 3)
    assert torch.equal(out[..., 0], out[..., 1])
    assert torch.equal(out[..., 0], out[..., 2])
    assert set(out.unique().tolist()) == {0, 1}
    assert (out == 0).double().mean().item() == pytest.approx(0.3, abs=0.02)
    mixed = made.Columns([made.Categorical(4), made.Bernoulli()])
    out = autoencoder(2, noise=("mask", 0.3), likelihood=mixed).corrupt(torch.ones(1000, 5), g)
    assert (out[:, :1] == out[:, :4]).all()
    assert (out[:, 0] != out[:, 4]).any()
    for level, kept in [(0.0, 1.0), (1.0, 0.0)]:
        assert (autoencoder(8, noise=("mask", level), likelihood=three_each).corrupt(ones) == kept).all()


def test_gaussian_noise_has_the_asked_spread():
    model, ones = autoencoder(8, noise=("gaussian", 0.4)), torch.ones(2000, 8)
    noise = model.corrupt(ones, torch.Generator().manual_seed(0)) - ones
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.4, abs=0.01)


def test_without_noise_nothing_is_corrupted():
    inputs = X.unsqueeze(-1)
    assert torch.equal(autoencoder(6).corrupt(inputs), inputs)


def test_it_is_no_distribution_and_says_so():
    """Every output sees every input, the one it scores included; hence no log_prob to mistake it for."""
    model = autoencoder(4, hidden=(8,), code_features=8)
    assert made.diagnostics.jacobian_dependencies(model).all()
    assert made.diagnostics.flip_dependencies(model).all()
    assert not hasattr(model, "log_prob")


def test_a_narrow_code_cannot_copy_and_a_wide_one_can():
    losses = []
    for width in (1, 12):
        model = autoencoder(6, hidden=(), code_features=width)
        losses.append(made.fit(model, X, epochs=150, lr=0.05, progress=False).train[-1])
    assert losses[1] < 0.1 < 1.0 < losses[0]


def test_weights_follow_the_seed(untouched_rng):
    a, b, c = (Autoencoder(6, seed=seed) for seed in (1, 1, 2))
    x = X.float()
    assert torch.equal(a(x), b(x))
    assert not torch.equal(a(x), c(x))


def test_what_is_not_said_has_the_documented_value():
    a, b = Autoencoder(6), Autoencoder(6, (100,), 32, made.Bernoulli(), None, seed=0)
    assert repr(a) == repr(b)
    assert a.noise is None
    x = X.float()
    assert torch.equal(a(x), b(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_features": 0}, ValueError, "n_features"),
        ({"n_features": 2.0}, TypeError, "n_features"),
        ({"hidden": (0,)}, ValueError, "hidden"),
        ({"hidden": 3}, TypeError, "hidden"),
        ({"hidden": (1.5,)}, TypeError, "hidden"),
        ({"code_features": 0}, ValueError, "code_features"),
        ({"code_features": 1.5}, ValueError, "code_features"),
        ({"likelihood": "bernoulli"}, TypeError, "likelihood"),
        ({"noise": "mask"}, ValueError, "noise"),
        ({"noise": ("mask", 1.5)}, ValueError, "noise"),
        ({"noise": ("mask", -0.1)}, ValueError, "noise"),
        ({"noise": ("gaussian", -1)}, ValueError, "noise"),
        ({"noise": ("gaussian", math.inf)}, ValueError, "noise"),
        ({"noise": ("salt", 0.5)}, ValueError, "noise"),
        ({"noise": ("mask",)}, ValueError, "noise"),
        ({"noise": ("mask", "much")}, ValueError, "noise"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{message} (sizes )?must "):
        Autoencoder(**({"n_features": 4} | arguments))


@pytest.mark.parametrize("call", ["__call__", "encode", "loss"])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 5), ValueError, r"x must have shape \(..., 6\)"),
        (torch.tensor(0.0), ValueError, "x must have shape"),
        (torch.full((2, 6), torch.nan), ValueError, "x must be 0 or 1"),
        (torch.full((2, 6), 0.5), ValueError, "x must be 0 or 1"),
        (torch.zeros(2, 6, dtype=torch.int64), TypeError, "x must be a .*tensor.*got .*torch.int64"),
        (torch.zeros(2, 6, dtype=torch.float64), TypeError, "x must be a .*tensor.*got .*torch.float64"),
        ("000000", TypeError, "x must be a .*tensor.*, got str"),
    ],
)
def test_bad_rows_are_refused(call, x, error, message):
    with pytest.raises(error, match=message):
        getattr(Autoencoder(6), call)(x)
