"""made/model.py: the model as a whole, its arguments, its files."""

import copy
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from registry import CONFIGS, CYCLE_7, CYCLE_8, allowed, build, column, contexts, rows, seeded
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import made
from made import MADE, Connectivity
from made.layers import ConditionedLinear
from made.model import ACTIVATIONS

PLAIN = {
    "relu": lambda v: np.maximum(v, 0),
    "tanh": np.tanh,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "elu": lambda v: np.where(v > 0, v, np.expm1(np.minimum(v, 0))),
    "gelu": lambda v: np.vectorize(lambda z: z * torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(z)).item())(v),
}


def plain_code(model, x):
    """Every variable as network input, one value at a time."""
    coded = []
    for row in x.tolist():
        coded.append([])
        for i, value in enumerate(row):
            kind = column(model, i)
            if type(kind) is made.Categorical:
                coded[-1] += [float(c == value) for c in range(kind.k)]
            else:
                coded[-1] += [2 * value / (kind.k - 1) - 1 if type(kind) is made.DiscretizedLogistic else value]
    return np.array(coded)


def plain_layer(layer, h, mask):
    """A masked layer and, where there are any, its companion weights, which act like weights from inputs 1 / n."""
    numbers = lambda p: p.detach().numpy()
    out = h @ (numbers(layer.weight) * mask).T
    if layer.bias is not None:
        out = out + numbers(layer.bias)
    if isinstance(layer, ConditionedLinear):
        out = out + (numbers(layer.companion) * mask) @ np.full(mask.shape[1], 1 / mask.shape[1])
    return out


def plain_forward(model, x, context=None):
    """The network written out in numpy, its masks taken from the degrees by comparison of two numbers at a time."""
    E, K = ([getattr(column(model, i), n) for i in range(model.n_features)] for n in ("n_inputs", "n_params"))
    degrees = [d.tolist() for d in model.connectivity.degrees]
    outputs = np.repeat(degrees[0], K)
    code, inputs = plain_code(model, x), [0] * model.context_features + np.repeat(degrees[0], E).tolist()
    if context is not None:
        code = np.concatenate([context.numpy(), code], 1)
    h, before = code, inputs
    for number, (layer, after) in enumerate(zip(model.hidden, degrees[1:], strict=True)):
        new = plain_layer(layer, h, np.array([[a >= b for b in before] for a in after]))
        new = PLAIN[model.config.activation](new)
        h, before = h + new if model.residual and number > 0 else new, after
    out = plain_layer(model.output, h, np.array([[a > b for b in before] for a in outputs]))
    if model.direct is not None:
        out = out + plain_layer(model.direct, code, np.array([[a > b for b in inputs] for a in outputs]))
    return out if isinstance(model.likelihood, made.Columns) else out.reshape(len(x), model.n_features, K[0])


@pytest.mark.parametrize("name", CONFIGS)
def test_raw_outputs_equal_a_network_written_out(name):
    model = build(name)
    x, c = rows(model, 6), contexts(model, 6)
    for k in range(len(model.connectivities)):
        model.use(k)
        assert model(x, c).detach().numpy() == pytest.approx(plain_forward(model, x, c), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_applied(activation):
    model = MADE(5, (7, 6), order=torch.tensor([2, 0, 1, 4, 3]), activation=activation).double().eval()
    x = rows(model, 8)
    assert model(x).detach().numpy() == pytest.approx(plain_forward(model, x), abs=1e-6)
    assert torch.equal(model.sample(20, generator=seeded()), model.sample(20, generator=seeded(), method="naive"))
    assert made.diagnostics.total_probability(model) == pytest.approx(1, abs=1e-9)


def test_hidden_layers_make_it_nonlinear():
    """XOR of two variables: no logit that is linear in them can express it."""
    x = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float32).repeat(25, 1)
    model = MADE(3, (16, 16), seed=1)
    made.fit(model, x, epochs=80, batch_size=50, lr=0.03, progress=False)
    assert made.nll(model, x).mean < np.log(4) + 0.05


def test_gradients_equal_finite_differences():
    model = MADE(3, (4,), order=torch.tensor([2, 0, 1]), activation="tanh", likelihood=made.Gaussian()).double()
    x = rows(model, 5)
    names, parameters = zip(*model.named_parameters(), strict=True)

    def loss(*values):
        params = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,))
        return model.likelihood.log_prob(params, x)

    assert torch.autograd.gradcheck(loss, parameters)


def test_conditionals_log_prob_and_loss_fit_together():
    model = build("D7-categorical")
    x = rows(model, 11)
    d = model.conditionals(x)
    assert d.batch_shape == (11, 7)
    assert torch.allclose(d.log_prob(x).sum(-1), model.log_prob(x))
    assert model.loss(x).item() == pytest.approx(-model.log_prob(x).mean().item(), abs=1e-14)
    assert model.loss(x).shape == ()


def test_the_last_variable_of_a_cycle_really_listens_to_the_others():
    model = build("D3-cycle")  # order 2, 0, 1
    x = torch.tensor([[0.0, 0, 0], [0, 0, 1], [1, 0, 1]], dtype=torch.float64)
    a = model(x)[..., 0]
    assert a[0, 2] == a[1, 2] == a[2, 2]  # comes first
    assert a[0, 0] != a[1, 0]  # listens to 2
    assert a[1, 0] == a[2, 0]  # not to itself
    assert a[1, 1] != a[2, 1]  # listens to 0


def test_weights_follow_the_seed(untouched_rng):
    a, b, c = MADE(4, (5,), seed=1), MADE(4, (5,), seed=1), MADE(4, (5,), seed=2)
    for p, q, r in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not torch.equal(p, r)


def test_what_is_not_said_has_the_documented_value():
    said = dict(likelihood=made.Bernoulli(), order="natural", degrees="even", n_masks=1, direct=True, residual=False,
                context_features=0, activation="relu", dropout=0.0, mask_conditioning=False, seed=0)  # fmt: skip
    a, b = MADE(3), MADE(3, (500,), **said)
    x = rows(a, 6)
    assert torch.equal(a(x), b(x))
    assert repr(a) == repr(b)


def test_several_masks_follow_seeds_one_after_the_other():
    model = MADE(8, (9,), order="random", degrees="random", n_masks=3, seed=5)
    expected = [Connectivity.create(8, (9,), "random", "random", seed) for seed in (5, 6, 7)]
    assert model.connectivities == expected
    assert len(set(expected)) == 3
    assert model.connectivity == expected[0]


def test_use_switches_masks_and_back():
    model = build("D8-several-orders")
    x = rows(model, 20)
    answers = []
    for k in (0, 1, 2, 0, 1, 2):
        model.use(k)
        assert model.connectivity is model.connectivities[k]
        answers.append(model.log_prob(x))
    for k in range(3):
        assert torch.equal(answers[k], answers[k + 3])
        assert not torch.equal(answers[k], answers[(k + 1) % 3])


def test_a_forward_pass_never_changes_the_connectivity():
    for training in (True, False):
        model = build("D8-several-degrees").train(training)
        before = [layer.mask.clone() for layer in [*model.hidden, model.output, model.direct]]
        for _ in range(5):
            model.loss(rows(model, 4)).backward()
        after = [layer.mask for layer in [*model.hidden, model.output, model.direct]]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_connectivities_without_end_are_drawn_with_one_seed_after_the_other():
    model = MADE(8, (9,), order="random", degrees="random", n_masks=None, seed=5)
    expected = [Connectivity.create(8, (9,), "random", "random", seed) for seed in (5, 6, 7, 8)]
    assert [model.connectivity_for(step) for step in range(4)] == expected
    assert len(set(expected)) == 4
    assert model.connectivities == expected[:1]
    assert model.connectivity is model.connectivities[0]
    finite = MADE(8, (9,), order="random", n_masks=3)
    assert [finite.connectivity_for(step) for step in range(7)] == [finite.connectivities[k % 3] for k in range(7)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"order": "random"}, False),
        ({"order": "random", "n_masks": 2}, True),
        ({"order": "random", "n_masks": None}, True),
        ({"degrees": "random", "n_masks": None}, False),
    ],
)
def test_who_was_made_for_many_orders(options, expected):
    assert MADE(4, (3,), **options).order_agnostic == expected


def test_companion_weights_tell_masks_apart():
    """All inputs and weights zero: what is left of a mask is what its companions say."""
    told, silent = (MADE(8, (9,), order="random", n_masks=2, mask_conditioning=on).double() for on in (True, False))
    x = torch.zeros(1, 8, dtype=torch.float64)
    for model in (told, silent):
        for layer in [*model.hidden, model.output, model.direct]:
            layer.weight.data.zero_()
        same = Connectivity.create(8, (9,), model.connectivities[0].order)  # made anew, but equal
        answers = []
        for connectivity in (0, 1, same):
            model.use(connectivity)
            answers.append(model(x))
        assert torch.equal(answers[0], answers[2])
        assert torch.equal(answers[0], answers[1]) == (model is silent)


def test_residual_layers_share_their_degrees():
    model = MADE(8, (9, 9, 9), degrees="random", residual=True, n_masks=2)
    for connectivity in model.connectivities:
        assert len({tuple(d.tolist()) for d in connectivity.degrees[1:]}) == 1
    assert model.connectivities[0] != model.connectivities[1]
    other = Connectivity.create(8, (9, 9, 9), degrees="random")
    assert not torch.equal(other.degrees[1], other.degrees[2])
    with pytest.raises(ValueError, match="connectivity must have the same degrees in every hidden layer"):
        model.use(other)
    assert model.connectivity is model.connectivities[0]
    MADE(8, (9, 9, 9)).use(other)  # anything goes without residual layers


def test_a_residual_layer_whose_weights_are_zero_changes_nothing():
    deep, flat = (MADE(4, hidden, residual=True, seed=1).double() for hidden in [(6, 6), (6,)])
    state = flat.state_dict()
    del state["_extra_state"]
    deep.load_state_dict(state, strict=False)
    deep.hidden[1].weight.data.zero_()
    deep.hidden[1].bias.data.zero_()
    x = rows(flat, 5)
    assert torch.equal(deep.log_prob(x), flat.log_prob(x))


@pytest.mark.parametrize("n_masks", [3, None])
def test_a_step_of_training_has_its_connectivity_and_validation_the_first(n_masks):
    model = MADE(8, (9,), order="random", n_masks=n_masks, seed=5)
    for step in (4, 1, None, 2):
        model.take_turn(step)
        k = 0 if step is None else step if n_masks is None else step % n_masks
        assert model.connectivity == Connectivity.create(8, (9,), "random", seed=5 + k)


def test_a_model_of_one_connectivity_keeps_what_it_uses():
    model, own = MADE(7, (6,)), Connectivity.create(7, (6,), CYCLE_7)
    model.use(own)
    for step in (0, 1, None):
        model.take_turn(step)
        assert model.connectivity is own


def test_a_connectivity_of_ones_own_can_be_used():
    model = MADE(7, (6,)).double().eval()
    model.use(Connectivity.create(7, (6,), CYCLE_7))
    assert torch.equal(made.diagnostics.flip_dependencies(model), allowed(CYCLE_7))
    assert made.diagnostics.total_probability(model) == pytest.approx(1, abs=1e-9)


def test_use_refuses_what_does_not_fit():
    model = build("D8-several-orders")
    for k in (-1, 3):
        with pytest.raises(IndexError, match=rf"connectivity must be in 0\.\.2, got {k}"):
            model.use(k)
    for other in (Connectivity.create(7, (12,)), Connectivity.create(8, (11,)), Connectivity.create(8, (12, 12))):
        with pytest.raises(ValueError, match="connectivity must have n_features, hidden"):
            model.use(other)
    assert model.connectivity is model.connectivities[0]


def test_dropout_acts_in_training_only():
    model = build("D8-dropout").train()
    x = rows(model, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    assert model(x).detach().numpy() == pytest.approx(plain_forward(model, x), abs=1e-12)


def test_dropout_keeps_the_autoregressive_property_in_training():
    model = build("D8-dropout").train()
    x, order = rows(model, 1).repeat(2, 1), CYCLE_8.tolist()
    x[1] = 1 - x[1]
    for t, i in enumerate(order):  # same dropped units, another future
        changed = x[:1].clone()
        changed[0, order[t:]] = x[1, order[t:]]
        outputs = []
        for row in (x[:1], changed):
            with torch.random.fork_rng():
                torch.manual_seed(t)
                outputs.append(model(row)[0, i])
        assert torch.equal(*outputs)


def test_one_row_and_no_rows():
    model = build("D3-cycle")
    assert model.log_prob(torch.zeros(3, dtype=torch.float64)).shape == ()
    assert model.log_prob(torch.zeros(0, 3, dtype=torch.float64)).shape == (0,)


def test_a_model_can_be_copied_and_printed():
    model = build("D3-cycle")
    x = rows(model, 5)
    assert torch.equal(copy.deepcopy(model).log_prob(x), model.log_prob(x))
    assert "n_features=3" in repr(model)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_features": 0}, ValueError, "n_features"),
        ({"n_features": "3"}, TypeError, "n_features"),
        ({"hidden": (0,)}, ValueError, "hidden"),
        ({"hidden": (2.5,)}, TypeError, "hidden"),
        ({"hidden": 5}, TypeError, "hidden"),
        ({"likelihood": "bernoulli"}, TypeError, "likelihood"),
        ({"likelihood": made.Bernoulli}, TypeError, "likelihood"),
        ({"order": "backwards"}, ValueError, "order"),
        ({"order": torch.tensor([0, 1])}, ValueError, "order must have 3 entries"),
        ({"order": torch.tensor([0, 1, 1])}, ValueError, "order must be a permutation"),
        ({"order": torch.tensor([-1, 0, 1])}, ValueError, "order must be a permutation"),
        ({"degrees": "odd"}, ValueError, "degrees"),
        ({"n_masks": 0}, ValueError, "n_masks must be an int of at least 1"),
        ({"n_masks": 1.5}, ValueError, "n_masks must be an int of at least 1"),
        ({"n_masks": 2}, ValueError, "n_masks=2 needs"),
        ({"n_masks": None}, ValueError, "n_masks=None needs"),
        ({"hidden": (4, 5), "residual": True}, ValueError, "residual needs hidden layers of one width"),
        ({"context_features": -1}, ValueError, "context_features must be an int of at least 0, got -1"),
        ({"context_features": 1.0}, ValueError, "context_features must be an int of at least 0, got 1.0"),
        ({"likelihood": made.Columns([made.Gaussian()] * 2)}, ValueError, "likelihood must have 3 columns, .* got 2"),
        ({"activation": "softplus"}, ValueError, "activation must be one of"),
        ({"dropout": 1.0}, ValueError, "dropout"),
        ({"dropout": -0.1}, ValueError, "dropout"),
        ({"dropout": float("nan")}, ValueError, "dropout"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        MADE(**({"n_features": 3} | arguments))


@pytest.mark.parametrize("call", ["__call__", "log_prob", "loss", "conditionals"])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 4), ValueError, r"x must have shape \(..., 3\), got \(2, 4\)"),
        (torch.tensor(0.0), ValueError, "x must have shape"),
        (torch.tensor([[0, torch.nan, 1]]), ValueError, r"x must be 0 or 1 .*, got nan at position \(0, 1\)"),
        (torch.tensor([[0, 1, 0.5]]), ValueError, r"x must be 0 or 1 .*, got 0.5 at position \(0, 2\)"),
        (torch.zeros(2, 3, dtype=torch.int64), TypeError, "x must be .* dtype torch.float32, got .* torch.int64"),
        (torch.zeros(2, 3, dtype=torch.float64), TypeError, "x must be .* dtype torch.float32, got .* torch.float64"),
        ("000", TypeError, "x must be a tensor of the model's dtype torch.float32, or numbers in .*, got str"),
    ],
)
def test_bad_rows_are_refused(call, x, error, message):
    with pytest.raises(error, match=message):
        getattr(MADE(3, (4,)), call)(x)


def test_bad_rows_of_other_likelihoods_are_refused():
    with pytest.raises(ValueError, match="x must be a whole number from 0 to 2"):
        MADE(2, likelihood=made.Categorical(3)).log_prob(torch.tensor([[0.0, 3.0]]))
    with pytest.raises(ValueError, match="x must be a finite number"):
        MADE(2, likelihood=made.Gaussian()).log_prob(torch.tensor([[0.0, torch.nan]]))


@pytest.mark.parametrize("call", ["__call__", "log_prob", "loss", "conditionals", "sample"])
@pytest.mark.parametrize(
    ("context", "error", "message"),
    [
        (None, ValueError, "context must be given: the model has 2 context features"),
        (torch.zeros(5, 3), ValueError, r"context must have shape \(2,\) or \(5, 2\), got \(5, 3\)"),
        (torch.zeros(4, 2), ValueError, r"context must have shape \(2,\) or \(5, 2\), got \(4, 2\)"),
        (torch.zeros(1, 2), ValueError, "context must have shape"),
        (torch.tensor(0.0), ValueError, "context must have shape"),
        (torch.tensor([1.0, torch.nan]), ValueError, "context must be finite numbers"),
        (torch.tensor([0.0, torch.inf]), ValueError, "context must be finite numbers"),
        (torch.zeros(2, dtype=torch.float64), TypeError, "context must be .* torch.float32, got .* torch.float64"),
        ("00", TypeError, "context must be a tensor of the model's dtype torch.float32, or numbers in .*, got str"),
    ],
)
def test_bad_contexts_are_refused(call, context, error, message):
    model = MADE(3, (4,), context_features=2)
    with pytest.raises(error, match=message):
        getattr(model, call)(5 if call == "sample" else torch.zeros(5, 3), context)


@pytest.mark.parametrize("call", ["__call__", "log_prob", "loss", "conditionals", "sample"])
def test_a_context_that_nobody_asked_for_is_refused(call):
    with pytest.raises(ValueError, match="context must be None: the model has 0 context features"):
        getattr(MADE(3, (4,)), call)(5 if call == "sample" else torch.zeros(5, 3), torch.zeros(5, 2))


# files


def test_a_file_holds_the_choice_of_connectivity_even_a_foreign_one(model_file):
    model = MADE(7, (6,), order="random", n_masks=2, seed=1).eval()
    x = rows(model, 10)
    for choice in (0, 1, Connectivity.create(7, (6,), CYCLE_7)):
        model.use(choice)
        model.save(model_file)
        again = MADE.load(model_file)
        assert again.connectivity == model.connectivity
        assert again.connectivities == model.connectivities
        assert torch.equal(again.log_prob(x), model.log_prob(x))


def test_a_file_keeps_connectivities_that_no_seed_would_give(model_file):
    """Weights belong to their masks: what was trained must come back, whatever the random generator does one day."""
    model = MADE(7, (6,), order="random", n_masks=2)
    model.connectivities[1] = Connectivity.create(7, (6,), CYCLE_7)
    model.save(model_file)
    again = MADE.load(model_file)
    again.use(1)
    assert again.connectivity.order.tolist() == CYCLE_7.tolist()


LAST = made.MixtureOfGaussians(2)


@pytest.mark.parametrize("n_masks", [2, None])
@pytest.mark.parametrize(
    "likelihood",
    [
        made.Bernoulli(),
        made.Categorical(4),
        made.Gaussian(min_scale=0.1),
        made.MixtureOfGaussians(3, min_scale=0.2),
        made.DiscretizedLogistic(9, components=2, min_scale=0.3),
        made.Columns([made.Gaussian(0.5), made.Bernoulli(), made.Categorical(3), made.DiscretizedLogistic(4), LAST]),
    ],
    ids=lambda likelihood: type(likelihood).__name__,
)
def test_a_file_keeps_every_argument(likelihood, n_masks, model_file):
    config = dict(likelihood=likelihood, direct=False, activation="elu", dropout=0.3, degrees="random", n_masks=n_masks)
    config |= dict(residual=True, context_features=2, mask_conditioning=True)
    model = MADE(5, (4, 4), order=torch.tensor([4, 0, 3, 1, 2]), seed=9, **config)
    model.save(model_file)
    again = MADE.load(model_file)
    assert again.config == model.config
    assert again.likelihood == likelihood
    assert (again.n_masks, again.residual, again.context_features) == (n_masks, True, 2)
    assert torch.equal(again.output.companion, model.output.companion)
    assert again.connectivity_for(5) == model.connectivity_for(5)
    assert again.activation is model.activation
    assert again.dropout.p == 0.3
    assert again.direct is None
    assert not again.training


def test_a_file_without_pickle_written_whole_or_not_at_all(model_file):
    model = MADE(3, (4,))
    model.save(model_file)
    good = model_file.read_bytes()
    assert [p.name for p in model_file.parent.iterdir()] == [model_file.name]
    with safe_open(model_file, framework="pt") as file:
        assert json.loads(file.metadata()["config"])["n_features"] == 3
    object.__setattr__(model.config, "seed", object())  # no JSON holds that
    with pytest.raises(TypeError):
        model.save(model_file)
    assert model_file.read_bytes() == good
    with pytest.raises(Exception, match="No such file"):
        MADE(3).save(model_file.parent / "nowhere" / "model")


def test_damaged_and_foreign_files_are_refused(model_file):
    MADE(3, (4,)).save(model_file)
    whole = model_file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1], whole[:5], b"", b"hello", b"just some text\n" * 100):
        model_file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{model_file.name} is damaged or no model file"):
            MADE.load(model_file)
    save_file({"w": torch.zeros(2)}, model_file)
    with pytest.raises(ValueError, match=r"holds no made\.MADE/2 or made\.MADE/1 model, its format is None"):
        MADE.load(model_file)
    save_file({"w": torch.zeros(2)}, model_file, metadata={"format": "made.MADE/99"})
    with pytest.raises(ValueError, match=r"its format is 'made\.MADE/99'"):
        MADE.load(model_file)


def test_a_file_with_a_tensor_missing_is_refused(model_file):
    MADE(3, (4,)).save(model_file)
    with safe_open(model_file, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(model_file)
    del tensors["direct.weight"]
    save_file(tensors, model_file, metadata=metadata)
    with pytest.raises(ValueError, match=r"is damaged: (.|\n)*direct\.weight"):
        MADE.load(model_file)


def test_a_model_is_loaded_onto_the_device_asked_for(model_file):
    MADE(3, (4,)).save(model_file)
    assert {p.device.type for p in MADE.load(model_file, device="meta").parameters()} == {"meta"}
    assert {p.device.type for p in MADE.load(model_file).parameters()} == {"cpu"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_model_is_loaded_in_the_dtype_asked_for(model_file, dtype):
    model = MADE(3, (4,), likelihood=made.Categorical(5)).half()
    model.save(model_file)
    assert MADE.load(model_file).output.weight.dtype == torch.float16
    for part, expected in zip(MADE.load(model_file, dtype=dtype).parameters(), model.parameters(), strict=True):
        assert part.dtype == dtype
        assert torch.equal(part, expected.to(dtype))
    assert MADE.load(model_file, dtype=dtype).hidden[0].mask.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", torch.int64, torch.complex64, float, torch.float32.itemsize])
def test_a_dtype_that_is_not_floating_is_refused(model_file, dtype):
    MADE(3, (4,)).save(model_file)
    with pytest.raises(TypeError, match=r"dtype must be a floating dtype of PyTorch, such as torch\.float32, got"):
        MADE.load(model_file, dtype=dtype)


def test_a_dtype_in_which_values_would_merge_is_refused(model_file):
    MADE(2, (4,), likelihood=made.Categorical(260)).save(model_file)
    with pytest.raises(TypeError, match=r"torch.bfloat16 holds the whole numbers from 0 to 256 only"):
        MADE.load(model_file, dtype=torch.bfloat16)


def test_sampling_in_half_precision_on_a_cpu_warns_once():
    half, others = [MADE(3, (4,)).to(dtype) for dtype in (torch.bfloat16, torch.float16)], [MADE(3), MADE(3).double()]
    made.checks._warn_of_half.cache_clear()
    for model in others:
        model.sample(2)
    half[0].log_prob(torch.zeros(1, 3, dtype=torch.bfloat16))
    with pytest.warns(UserWarning, match=r"half precision on a CPU .* dtype=torch.float32") as caught:
        half[0].sample(2)
    assert caught[0].filename == __file__  # it points to the line that asks
    for model in half:
        assert model.sample(2).dtype == model.output.weight.dtype  # a second warning would be an error


def test_a_missing_file_is_named(model_file):
    with pytest.raises(FileNotFoundError, match=model_file.name):
        MADE.load(model_file)


def test_paths_may_be_strings(model_file):
    MADE(3, (4,)).save(str(model_file))
    assert MADE.load(str(model_file), device="cpu").n_features == 3


def test_a_state_dict_survives_torch_save_without_pickled_classes(tmp_path):
    model, other = build("D8-several-degrees"), build("D8-several-degrees", seed=3)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    x = rows(model, 4)
    assert torch.equal(other.log_prob(x), model.log_prob(x))


# other ways to compute


class Sharper(MADE):
    """A subclass that computes something else than its layers say."""

    def forward(self, x, context=None):
        return 3 * super().forward(x, context)


class Louder(MADE):
    def network(self, inputs):
        return super().network(inputs) + 1


def hooked(part):
    model = MADE(6, (20,), seed=1).eval()
    chosen = model if part == "model" else model.hidden[0]
    chosen.register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def with_a_layer_of_its_own():
    class Doubled(made.layers.MaskedLinear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = MADE(6, (20,), seed=1).eval()
    layer = Doubled(6, 20, generator=seeded())
    layer.set_mask(model.connectivity.masks()[0])
    model.hidden[0] = layer
    return model


def replaced_forward():
    model = MADE(6, (20,), seed=1).eval()
    right = model.forward
    model.forward = lambda x, context=None: 3 * right(x, context)
    return model


def parametrized():
    model = MADE(6, (20,), seed=1).eval()
    torch.nn.utils.parametrizations.weight_norm(model.hidden[0])
    return model


@pytest.mark.parametrize(
    "make",
    [lambda: Sharper(6, (20,), seed=1).eval(), lambda: Louder(6, (20,), seed=1).eval(), lambda: hooked("model"),
     lambda: hooked("layer"), with_a_layer_of_its_own, replaced_forward, parametrized],
    ids=["forward", "network", "hook", "hook of a layer", "layer", "replaced forward", "parametrized"],
)  # fmt: skip
def test_samples_are_those_of_what_the_model_computes(make):
    """Whoever changes what a model computes gets samples of that, by the default method too."""
    model = make()
    x = made.diagnostics.states(model)
    p = model.log_prob(x).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    drawn = model.sample(20_000, generator=seeded())
    assert torch.equal(drawn[:500], model.sample(20_000, generator=seeded(), method="naive")[:500])
    found = torch.bincount((drawn @ (2.0 ** torch.arange(5, -1, -1))).long(), minlength=64) / 20_000
    assert (found - p).abs().max() < 0.015


def test_only_a_model_as_written_is_sampled_incrementally(monkeypatch):
    monkeypatch.setattr(made.model, "sample_incremental", lambda *_: pytest.fail("incremental"))
    for model in (Sharper(3), Louder(3), hooked("layer"), with_a_layer_of_its_own(), replaced_forward()):
        model.sample(2, generator=seeded())
    for model in (MADE(3), MADE(3, mask_conditioning=True, order="random", n_masks=2).under(1)):
        with pytest.raises(pytest.fail.Exception):
            model.sample(2, generator=seeded())


# without checks


@pytest.mark.parametrize("name", ["D8", "D7-categorical", "D7-gaussian", "D3-cycle-logistic", "D7-columns-real"])
def test_without_checks_a_model_can_be_mapped_differentiated_row_by_row_and_exported(name):
    model = build(name)
    x = rows(model, 5)
    expected = model.log_prob(x)
    model.validate = False
    assert torch.equal(model.log_prob(x), expected)
    assert torch.allclose(torch.func.vmap(model.log_prob)(x), expected)

    parameters = {k: p.detach() for k, p in model.named_parameters()}

    def loss(parameters, row):
        return -torch.func.functional_call(model, parameters, (row,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for n, row in enumerate(x):
        alone = torch.autograd.grad(-model(row).square().sum(), [*model.parameters()])
        for (key, _), gradient in zip(model.named_parameters(), alone, strict=True):
            assert torch.allclose(each[key][n], gradient, atol=1e-9), key

    exported = torch.export.export(model, (x,)).module()
    assert torch.allclose(exported(x), model(x))


def test_checks_are_on_unless_switched_off(model_file):
    with pytest.raises(ValueError, match="x must be 0 or 1"):
        MADE(2).log_prob(torch.tensor([[0.5, 0.0]]))
    off = MADE(2, validate=False)
    assert off.log_prob(torch.tensor([[0.5, 0.0]])).isfinite().all()
    off.save(model_file)
    assert MADE.load(model_file).validate
    with pytest.raises(TypeError, match="validate must be True or False, got 0"):
        MADE(2, validate=0)


# other devices, other numbers


EVERYTHING = ["D8-everything", "D7-everything-real", "D7-gaussian", "D3-cycle"]


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_model_works_while_the_default_device_is_another(name, model_file):
    """Nothing inside may be created where PyTorch happens to create: "meta" holds no numbers at all."""
    model = build(name)
    x, c = rows(model, 6), contexts(model, 6)
    gaps = x.clone()
    gaps[:, model.connectivity.order[-1]] = torch.nan
    ask = lambda: [
        model.log_prob(x, c),
        model.sample(6, c, generator=seeded()),
        model.sample(6, c, generator=seeded(), method="naive"),
        model.under(model.connectivity.reordered(model.connectivity.order.flip(0))).log_prob(x, c),
        made.marginal_log_prob(model, gaps, c),
        made.impute(model, gaps, 2, seeded(), c),
        made.Mixture(model).sample(6, c, generator=seeded()),
        made.diagnostics.jacobian_dependencies(model),
        made.diagnostics.flip_dependencies(model),
        torch.tensor(made.nll(model, x, context=c).mean, device="cpu"),
    ]
    expected = ask()
    model.save(model_file)
    with torch.device("meta"):
        found = ask()
        loaded = MADE.load(model_file, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert torch.equal(loaded.log_prob(x, c), expected[0])


def test_a_model_is_made_where_pytorch_makes_things(model_file):
    with torch.device("meta"):
        model = MADE(4, (5,), likelihood=made.Columns([made.Gaussian(), made.Bernoulli()] * 2), mask_conditioning=True)
        assert {p.device.type for p in model.parameters()} == {"meta"}
        made.Autoencoder(4)
        real = model.to_empty(device="cpu")
    assert real.output.weight.shape == (6, 5)
    MADE(4, seed=1).save(model_file)
    with torch.device("meta"):
        assert MADE.load(model_file).output.weight.device.type == "meta"


def test_numbers_may_be_numpys(model_file):
    """What a grid search hands over becomes plain Python, so that it can be saved."""
    model = MADE(
        np.int64(3), np.array([4, 5]), likelihood=made.MixtureOfGaussians(np.int32(2), np.float32(0.5)),
        n_masks=np.int64(2), order="random", direct=np.bool_(True), residual=np.bool_(False),
        context_features=np.int8(1), dropout=np.float32(0.25), mask_conditioning=np.bool_(False), seed=np.int64(3),
    )  # fmt: skip
    plain = {type(v) for v in vars(model.config).values()}
    assert plain <= {int, float, bool, str, tuple, made.MixtureOfGaussians}
    model.save(model_file)
    assert MADE.load(model_file).config == model.config
    assert model.under(np.int64(1)).connectivity == model.connectivities[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_masks": True}, "n_masks must be an int"), ({"context_features": True}, "context_features must be an int"),
     ({"seed": True}, "seed must be an int"), ({"seed": 1.5}, "seed must be an int"),
     ({"hidden": (True,)}, "hidden must"),
     ({"n_features": True}, "n_features must"), ({"dropout": True}, "dropout must be a number in"),
     ({"direct": 1}, "direct must be True or False, got 1"), ({"residual": "no"}, "residual must be True or False"),
     ({"mask_conditioning": None}, "mask_conditioning must be True or False")],
    ids=str,
)  # fmt: skip
def test_true_is_no_number_and_one_no_switch(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MADE(**({"n_features": 3} | options))


@pytest.mark.parametrize("likelihood", ["Gaussian", "MixtureOfGaussians", "Columns", "exp"])
@pytest.mark.parametrize("hidden", [(), (9,), (9, 9, 9)], ids=str)
@given(data=st.data())
def test_a_model_is_finite_for_every_finite_row(likelihood, hidden, data):
    """Densities, gradients of all weights, and samples given anything, in float32 as it comes."""
    mixture = made.MixtureOfGaussians(3)
    kinds = {"Gaussian": made.Gaussian(), "MixtureOfGaussians": mixture, "exp": made.Gaussian(scale_map="exp")}
    kinds["Columns"] = made.Columns([made.Gaussian(), mixture, made.Gaussian(0.1), mixture])
    activation = data.draw(st.sampled_from(sorted(ACTIVATIONS)))
    model = MADE(4, hidden, likelihood=kinds[likelihood], activation=activation, seed=data.draw(st.integers(0, 5)))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    x = torch.tensor([data.draw(st.lists(numbers, min_size=4, max_size=4))])
    found = model.log_prob(x)
    assert found.isfinite().all()
    assert all(
        g.isfinite().all()
        for g in torch.autograd.grad(found.sum(), [*model.parameters()], allow_unused=True)
        if g is not None
    )
    x[:, 2:] = torch.nan
    drawn = model.sample(1, given=x, generator=seeded())
    assert drawn.isfinite().all()
    assert model.log_prob(drawn).isfinite().all()


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.double().numpy(),
        lambda x: x.numpy() > 0,
        lambda x: pd.DataFrame(x.int().numpy()),
        lambda x: x.tolist(),
    ],
    ids=["float64", "bool", "DataFrame", "list"],
)
def test_rows_and_contexts_may_be_arrays_tables_and_lists(convert):
    """Where nothing is lost by it; that of a context is float64, and rounded."""
    x, context = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]), torch.rand(2, 2, dtype=torch.float64)
    model = MADE(3, (5,), context_features=2)
    expected = model.log_prob(x, context.float())
    assert torch.equal(model.log_prob(convert(x), context.numpy()), expected)
    assert torch.equal(model.log_prob(convert(x), context.tolist()), expected)
    assert torch.equal(model(convert(x), context.tolist()), model(x, context.float()))
    assert model.loss(convert(x), context.numpy()) == -expected.mean()
    given = torch.tensor([[0.0, 1.0, torch.nan]] * 2)
    for known in (given.double().numpy(), given.tolist(), pd.DataFrame(given.numpy())):
        found = model.sample(2, context.numpy(), known, generator=torch.Generator().manual_seed(0))
        assert torch.equal(found, model.sample(2, context.float(), given, generator=torch.Generator().manual_seed(0)))


# a start, and variables hidden in training


def test_training_starts_from_independent_variables():
    """With nothing coming in, every conditional is the marginal of the rows; weights of outputs begin small."""
    likelihood = made.Columns([made.Bernoulli(), made.Categorical(3), made.Gaussian()])
    model = MADE(3, (9,), likelihood=likelihood, order=torch.tensor([2, 0, 1]), seed=1).double()
    x = torch.tensor([[0.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, torch.nan, torch.nan]], dtype=torch.float64)
    before = copy.deepcopy(model)
    model.start(x)
    assert torch.equal(model.output.bias, likelihood.start(x))
    assert torch.allclose(model.direct.weight, before.direct.weight / 10)
    assert torch.allclose(model.output.weight, before.output.weight / 10)
    assert torch.equal(model.hidden[0].weight, before.hidden[0].weight)
    with torch.no_grad():
        model.output.weight.zero_()
        model.direct.weight.zero_()
    rows = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    expected = math.log(3 / 5) + math.log(3 / 5) - 0.5 * math.log(2 * math.pi)  # mean 2, deviation 1
    assert model.log_prob(rows).item() == pytest.approx(expected)
    model.start(torch.full((2, 3), torch.nan, dtype=torch.float64))  # nothing known
    assert model.output.bias.isfinite().all()
    for wrong, message in (
        (x[:0], "x must have at least one row"),
        (x[:, :2], "x must have shape"),
        (x + 5, "x must be"),
    ):
        with pytest.raises(ValueError, match=message):
            model.start(wrong)
    with pytest.raises(TypeError, match="x must"):
        model.start(x.float())


@pytest.mark.parametrize("name", ["D8-input-dropout", "D3-input-dropout-columns"])
def test_in_training_whole_variables_are_hidden(name):
    """All inputs of a variable, as often as asked for, the others scaled up; the context never, and nothing after."""
    model = MADE(**CONFIGS[name], validate=False).double()
    x, c = rows(model, 400), contexts(model, 400)
    seen, p, sizes = [], model.config.input_dropout, model.likelihood.sizes(model.n_features)[0]
    model.hidden[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()(x, c)
    model.eval()(x, c)
    hidden, plain = (values[:, model.context_features :].split(sizes, 1) for values in seen)
    assert torch.equal(seen[0][:, : model.context_features], seen[1][:, : model.context_features])
    kept = []
    for some, all_of_it in zip(hidden, plain, strict=True):
        gone = (some == 0).all(1)
        assert torch.allclose(some, torch.where(gone[:, None], 0.0, all_of_it / (1 - p)))
        kept.append((some != 0).any(1)[(all_of_it != 0).any(1)])
    share = torch.cat(kept).double().mean().item()
    n = sum(map(len, kept))
    assert abs(share - (1 - p)) < 4 * math.sqrt(p * (1 - p) / n)
