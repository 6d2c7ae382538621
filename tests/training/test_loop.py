"""made/training/loop.py and evaluation.py: fit, nll."""

import contextlib
import copy
import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from registry import build, contexts, rows, seeded
from torch import nn

import made
from made import MADE, Autoencoder, Connectivity, Estimate, History, fit, nll

TRAIN = (torch.rand(50, 4, generator=torch.Generator().manual_seed(0)) < 0.4).float()
VALID = (torch.rand(30, 4, generator=torch.Generator().manual_seed(1)) < 0.4).float()


def quiet(model, *data, **options):
    return fit(model, *data, progress=False, **options)


class Scripted(nn.Module):
    """Its weight falls by ``lr`` at every step; its evaluation losses follow a script; it remembers what it saw."""

    def __init__(self, script=(), interrupt_at=None):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(10.0))
        self.script, self.interrupt_at = iter(script), interrupt_at
        self.trained_on, self.evaluated_on, self.weights_at_evaluation = [], [], []

    def loss(self, x):
        if self.training:
            self.trained_on.append(x)
            if len(self.trained_on) == self.interrupt_at:
                raise KeyboardInterrupt
            return self.weight + x.mean() - self.weight.detach()
        self.evaluated_on.append(x)
        self.weights_at_evaluation.append(self.weight.item())
        return torch.tensor(next(self.script))


def numbers(n):
    return torch.arange(1.0, n + 1).unsqueeze(1)


def test_every_row_is_used_once_per_epoch_the_last_small_batch_included():
    model = Scripted()
    history = quiet(model, numbers(8), epochs=3, batch_size=3)
    assert [len(x) for x in model.trained_on] == [3, 3, 2] * 3
    epochs = [torch.cat(model.trained_on[3 * k : 3 * k + 3]).flatten() for k in range(3)]
    for epoch in epochs:
        assert epoch.sort().values.tolist() == list(range(1, 9))
    assert not torch.equal(epochs[0], epochs[1])  # in a new order
    assert history.train == pytest.approx([4.5] * 3)  # rows weigh the same, batches do not


def test_one_step_on_everything_equals_adamw_by_hand():
    model = MADE(4, (5,), seed=2).double()
    twin, x = copy.deepcopy(model), TRAIN.double()
    quiet(model, x, epochs=1, batch_size=50, lr=0.01, weight_decay=0.1)
    twin.loss(x).backward()
    for name, p in model.named_parameters():
        q = twin.get_parameter(name)
        if name.endswith("weight"):  # training under one connectivity sets what the masks forbid to zero
            q.data *= twin.get_submodule(name.removesuffix(".weight")).mask
        step = q.grad / (q.grad.abs() + 1e-8)  # the first step of Adam is the sign of the gradient
        decay = 0.0 if name.endswith("bias") else 0.1
        expected = q * (1 - 0.01 * decay) - 0.01 * step
        assert torch.allclose(p, expected, atol=1e-9)


def test_averaged_weights_are_validated_and_kept():
    """Against the average by hand over the steps of a run without one."""
    x, valid, path = TRAIN.double()[:40], TRAIN.double()[40:], []
    plain, averaged = (MADE(4, (5,), seed=2).double() for _ in range(2))
    options = {"epochs": 3, "batch_size": 10, "lr": 0.05}
    by_hand = [torch.zeros_like(p) for p in plain.parameters()]

    class Watched(torch.optim.AdamW):
        def step(self, *arguments):
            found = super().step(*arguments)
            path.append([p.detach().clone() for p in plain.parameters()])
            return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.optim, "AdamW", Watched)
        quiet(plain, x, **options)
    for t, weights in enumerate(path):
        decay = min(0.9, t / (9 + t))
        by_hand = [decay * a + (1 - decay) * w for a, w in zip(by_hand, weights, strict=True)]
    history = quiet(averaged, x, valid, **options, ema=0.9, patience=3)
    assert (len(path), history.best_epoch) == (12, 2)
    for found, expected in zip(averaged.parameters(), by_hand, strict=True):
        assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert history.valid[-1] == pytest.approx(made.nll(averaged, valid).mean)
    assert (averaged.hidden[0].weight[averaged.hidden[0].mask == 0] == 0).all()


def test_some_parameters_may_learn_faster():
    """The first step of Adam is the sign of the gradient times the rate; decay keeps its pace, and spares biases."""
    model = MADE(4, (5,), seed=2).double()
    twin, x = copy.deepcopy(model), TRAIN.double()
    quiet(model, x, epochs=1, batch_size=50, lr=0.01, lr_factors={"direct": 10, "bias": 0.5}, weight_decay=0.1)
    twin.loss(x).backward()
    for name, p in model.named_parameters():
        q, factor = twin.get_parameter(name), 10 if "direct" in name else 0.5 if "bias" in name else 1
        if name.endswith("weight"):
            q.data *= twin.get_submodule(name.removesuffix(".weight")).mask
        step = q.grad / (q.grad.abs() + 1e-8)
        expected = q * (1 - 0.01 * (0.1 if name.endswith("weight") else 0)) - 0.01 * factor * step
        assert torch.allclose(p, expected, atol=1e-9)
    with pytest.raises(ValueError, match=r"lr_factors must name parts of the names of parameters, got \['dirct'\]"):
        quiet(model, x, lr_factors={"dirct": 10})
    with pytest.raises(ValueError, match="lr_factors must be"):
        quiet(model, x, lr_factors={"direct": 0})
    with pytest.raises(TypeError, match="lr_factors must map parts of names to numbers"):
        quiet(model, x, lr_factors=10)
    with pytest.raises(ValueError, match="ema must be"):
        quiet(model, x, ema=1.0)


def test_the_best_weights_come_back_and_patience_ends_it():
    script = [5.0, 4.0, 3.0, 3.5, 3.2, 3.1, 9.0]
    model = Scripted(script)
    history = quiet(model, numbers(4), numbers(2), epochs=50, batch_size=2, patience=3, lr=0.1)
    assert history.valid == pytest.approx(script[:6])
    assert (history.best_epoch, history.stopped) == (2, "patience")
    assert model.weight.item() == model.weights_at_evaluation[2]
    assert model.weight.item() != model.weights_at_evaluation[-1]
    assert not model.training


def test_an_equal_validation_loss_is_not_a_lower_one():
    model = Scripted([2.0] * 20)
    history = quiet(model, numbers(4), numbers(2), epochs=20, patience=3)
    assert (len(history.valid), history.best_epoch, history.stopped) == (4, 0, "patience")
    assert model.weight.item() == model.weights_at_evaluation[0]


def test_validation_decides_on_validation_rows_in_evaluation_mode():
    model = Scripted([2.0, 1.0])
    history = quiet(model, numbers(4), 100 + numbers(2), epochs=2)
    assert all(torch.equal(x, 100 + numbers(2)) for x in model.evaluated_on)
    assert len(model.evaluated_on) == 2
    assert all(x.max() <= 4 for x in model.trained_on)
    assert (history.best_epoch, history.stopped) == (1, "epochs")


def test_without_validation_the_last_weights_stay():
    model = Scripted()
    history = quiet(model, numbers(4), epochs=5, batch_size=4, lr=0.5)
    assert history.valid == []
    assert (history.best_epoch, history.stopped) == (4, "epochs")
    assert model.weight.item() < 8  # five steps of about 0.5


def test_a_large_validation_set_is_averaged_over_rows():
    model = MADE(4, (5,))
    valid = VALID.repeat(70, 1)[:2050]  # 1000 + 1000 + 50
    valid[2000:] = 1
    history = quiet(model, TRAIN, valid, epochs=1)
    assert history.valid[0] == pytest.approx(-model.log_prob(valid).mean().item(), rel=1e-5)


def test_ctrl_c_keeps_the_best_weights():
    model = Scripted([2.0, 1.0, 3.0], interrupt_at=7)  # in epoch 3, two steps each
    history = quiet(model, numbers(4), numbers(2), batch_size=2, lr=0.1)
    assert history.stopped == "interrupted"
    assert len(history.valid) == 3
    assert model.weight.item() == model.weights_at_evaluation[1]
    assert not model.training


def test_ctrl_c_before_the_first_epoch_ends_keeps_the_initial_weights():
    model = Scripted(interrupt_at=2)
    history = quiet(model, numbers(4), batch_size=2)
    assert (history.best_epoch, history.stopped, model.weight.item()) == (-1, "interrupted", 10.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MADE(4, (8,), dropout=0.3, order="random", n_masks=2),
        lambda: Autoencoder(4, (8,), 2, noise=("mask", 0.3)),
        lambda: Autoencoder(4, (8,), 2, noise=("gaussian", 0.3)),
    ],
    ids=["made", "mask", "gaussian"],
)
def test_the_same_seed_gives_the_same_fit_whatever_the_global_generator(make, untouched_rng):
    results = []
    for seed, disturb in [(1, 11), (1, 22), (2, 11)]:
        model = make()
        with torch.random.fork_rng():
            torch.manual_seed(disturb)
            before = torch.get_rng_state()
            history = quiet(model, TRAIN, VALID, epochs=3, batch_size=16, seed=seed)
            assert torch.equal(torch.get_rng_state(), before)
        results.append((history, [p.tolist() for p in model.parameters()]))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_validation_does_not_disturb_training():
    """Neither the rows' order nor dropout may depend on whether somebody looks."""
    alone, watched = (MADE(4, (8,), dropout=0.5, seed=1) for _ in range(2))
    a = quiet(alone, TRAIN, epochs=4, batch_size=20)
    b = quiet(watched, TRAIN, VALID, epochs=4, batch_size=20)
    assert a.train == b.train


def test_connectivities_take_turns_in_training_and_number_0_is_evaluated():
    class Noting(MADE):
        def loss(self, x):
            k = next(k for k, c in enumerate(self.connectivities) if c is self.connectivity)
            (trained if self.training else evaluated).append(k)
            return super().loss(x)

    trained, evaluated = [], []
    model = Noting(6, (5,), order="random", n_masks=3)
    x = rows(model, 40)
    quiet(model, x, x, epochs=3, batch_size=10)
    assert trained == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert evaluated == [0, 0, 0]
    assert model.connectivity == model.connectivities[0]


def test_evaluation_does_not_advance_the_cycle():
    model = build("D8-several-degrees")
    model.use(2)
    x = rows(model, 30)
    first = nll(model, x, batch_size=7)
    assert model.connectivity is model.connectivities[2]
    assert nll(model, x, batch_size=7) == first


@pytest.mark.parametrize("n_masks", [3, None])
@pytest.mark.parametrize("watched", [False, True])
def test_training_equals_a_loop_by_hand_that_takes_one_connectivity_per_step(n_masks, watched):
    """With and without validation between the epochs: looking must not use up a connectivity."""
    make = lambda: MADE(6, (9,), order="random", degrees="random", n_masks=n_masks, seed=4).double()
    model, twin = make(), make()
    x, valid = rows(model, 35), rows(model, 10, seed=1)
    if watched:
        fit(model, x, valid, epochs=3, patience=3, batch_size=10, lr=0.01, seed=5, progress=False)
    else:
        fit(model, x, epochs=3, batch_size=10, lr=0.01, seed=5, progress=False)
    optimizer, generator, best = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0), seeded(5), []
    for epoch in range(3):
        for number, batch in enumerate(torch.randperm(35, generator=generator).split(10)):
            k = 4 * epoch + number
            drawn = Connectivity.create(6, (9,), "random", "random", seed=4 + (k if n_masks is None else k % 3))
            twin.use(drawn)
            loss = twin.loss(x[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        twin.use(0)
        best.append((twin.loss(valid).item() if watched else -epoch, copy.deepcopy(list(twin.parameters()))))
    expected = min(best, key=lambda pair: pair[0])[1]
    assert all(torch.allclose(p, q, rtol=0, atol=1e-10) for p, q in zip(model.parameters(), expected, strict=True))
    assert model.connectivity == Connectivity.create(6, (9,), "random", "random", seed=4)


def test_a_module_around_a_model_has_its_masks_changed_too():
    class Around(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.seen = model, []

        def loss(self, x):
            self.seen.append(self.model.connectivity)
            return self.model.loss(x)

    around = Around(MADE(6, (5,), order="random", n_masks=None, seed=2))
    quiet(around, rows(around.model, 20), epochs=2, batch_size=10)
    assert around.seen == [around.model.draw(k) for k in range(4)]


def test_all_modules_that_take_turns_take_theirs():
    """Two models in one module: each has its own number of masks; what has one mask, or is no model, is left alone."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.models = nn.ModuleList(
                MADE(6, (5,), order="random", n_masks=n_masks, seed=n_masks or 0) for n_masks in (2, None, 3, 1)
            )
            self.seen = {True: [], False: []}

        def loss(self, x):
            self.seen[self.training].append([model.connectivity for model in self.models])
            return sum(model.loss(x) for model in self.models)

    both = Both()
    chosen = both.models[3].draw(7)
    both.models[3].use(chosen)
    x = rows(both.models[0], 20)
    quiet(both, x, x, epochs=2, batch_size=10)
    two, fresh, three, _ = both.models
    expected = [[two.connectivities[k % 2], fresh.draw(k), three.connectivities[k % 3], chosen] for k in range(4)]
    evaluated = [two.connectivities[0], fresh.draw(0), three.connectivities[0], chosen]
    assert both.seen == {True: expected, False: [evaluated] * 2}
    assert [model.connectivity for model in both.models] == evaluated


def test_any_module_can_take_turns():
    class Turning(Scripted):
        n_masks = None

        def __init__(self):
            super().__init__([2.0, 1.0])
            self.turns = []

        def take_turn(self, step):
            self.turns.append(step)

    model = Turning()
    assert isinstance(model, made.training.TakesTurns)
    quiet(model, numbers(4), numbers(2), epochs=2, batch_size=2)
    assert model.turns == [0, 1, None, 2, 3, None]


def test_a_turn_of_a_model_with_one_connectivity_changes_nothing():
    model = MADE(6, (5,), order="random")
    chosen = model.draw(3)
    model.use(chosen)
    for step in (0, 5, None):
        model.take_turn(step)
        assert model.connectivity is chosen


@pytest.mark.parametrize("direct", [True, False])
def test_a_conditional_model_learns_what_the_context_says(direct):
    """Two contexts, two distributions over three binary variables, all counts known."""
    states, g = torch.cartesian_prod(*[torch.arange(2.0)] * 3), seeded(1)
    counts = torch.randint(1, 20, (2, 8), generator=g)
    x, context = [], []
    for c in range(2):
        x.append(states.repeat_interleave(counts[c], 0))
        context.append(torch.eye(2)[c].expand(len(x[-1]), 2))
    x, context = torch.cat(x), torch.cat(context)
    model = MADE(3, (24,), order=torch.tensor([2, 0, 1]), context_features=2, direct=direct, activation="tanh")
    history = quiet(model, x, x, context=(context, context), epochs=300, patience=300, batch_size=40, lr=0.03)
    assert nll(model, x, context=context).mean == pytest.approx(min(history.valid), abs=1e-5)
    for c in range(2):
        p = counts[c] / counts[c].sum()
        assert model.log_prob(states, torch.eye(2)[c]).exp().tolist() == pytest.approx(p.tolist(), abs=0.03)


def test_rows_and_contexts_stay_together():
    """Shuffled, split, validated: every row must meet its own context."""

    class Checking(Scripted):
        def loss(self, x, context):
            assert torch.equal(context, 10 * x)
            return super().loss(x)

    valid = 100 + numbers(3)
    model = Checking([1.0, 2.0])
    quiet(model, numbers(8), valid, context=(10 * numbers(8), 10 * valid), epochs=2, batch_size=3)
    assert len(model.trained_on) == 6
    assert len(model.evaluated_on) == 2
    quiet(Checking(), numbers(8), context=10 * numbers(8), epochs=1, batch_size=3)


def test_nll_takes_a_context_per_row():
    model = build("D3-cycle-context")
    x, c = rows(model, 23), contexts(model, 23)
    losses = torch.stack([-model.log_prob(x[n], c[n]) for n in range(23)])
    assert nll(model, x, 5, c).mean == pytest.approx(losses.mean().item(), abs=1e-12)
    assert nll(model, x, 5, c).stderr == pytest.approx(losses.std().item() / math.sqrt(23), abs=1e-12)
    for bad in (c[:22], c[0], torch.tensor(0.0)):
        with pytest.raises(ValueError, match="context must have 23 rows, one per row of x"):
            nll(model, x, context=bad)
    with pytest.raises(ValueError, match="context must be given"):
        nll(model, x)


@pytest.mark.parametrize(
    ("valid", "context", "error", "message"),
    [
        (None, None, ValueError, "context must be given"),
        (None, (torch.zeros(50, 2), torch.zeros(30, 2)), ValueError, "context must be a pair"),
        (None, torch.zeros(49, 2), ValueError, "context must have 50 rows, one per row of train"),
        (None, torch.zeros(50, 3), ValueError, "context must have shape"),
        (None, torch.zeros(2), ValueError, "context must have 50 rows, one per row of train"),
        (None, torch.full((50, 2), torch.nan), ValueError, "context must be finite"),
        (None, torch.zeros(50, 2, dtype=torch.float64), TypeError, "context must be a tensor of the model's dtype"),
        (None, [["0", 0.0]] * 50, TypeError, "context must be a list of numbers, got one of str"),
        (None, 0.0, TypeError, "context must be a tensor"),
        (VALID, torch.zeros(50, 2), ValueError, "context must be a pair, for train and for valid"),
        (VALID, (torch.zeros(50, 2),), ValueError, "context must be a pair, for train and for valid"),
        (VALID, (torch.zeros(50, 2), torch.zeros(50, 2)), ValueError, "context must have 30 rows, .* of valid"),
        (VALID, (torch.zeros(30, 2), torch.zeros(50, 2)), ValueError, "context must have 50 rows, .* of train"),
    ],
)
def test_bad_contexts_are_refused(valid, context, error, message):
    with pytest.raises(error, match=message):
        quiet(MADE(4, (5,), context_features=2), TRAIN, valid, context=context)


def test_a_context_that_the_model_has_no_use_for_is_refused():
    with pytest.raises(ValueError, match="context must be None: the model has 0 context features"):
        quiet(MADE(4, (5,)), TRAIN, context=torch.zeros(50, 2))


def test_training_with_several_connectivities_stays_a_distribution():
    model = MADE(6, (10,), order="random", degrees="random", n_masks=3).double()
    quiet(model, rows(model, 60), epochs=3, batch_size=10, lr=0.05)
    for k in range(3):
        model.use(k)
        assert made.diagnostics.total_probability(model) == pytest.approx(1, abs=1e-9)


def test_fit_finds_the_distribution():
    """Three binary variables, all counts known: the best mean loss is the entropy of the empirical distribution."""
    counts = torch.tensor([5, 1, 2, 8, 1, 3, 12, 4])
    states = torch.cartesian_prod(*[torch.arange(2.0)] * 3)
    x, p = states.repeat_interleave(counts, 0), counts / counts.sum()
    model = MADE(3, (16,), order=torch.tensor([2, 0, 1]))
    quiet(model, x, epochs=300, batch_size=36, lr=0.03)
    assert nll(model, x).mean == pytest.approx(-(p * p.log()).sum().item(), abs=0.01)
    assert model.log_prob(states).exp().tolist() == pytest.approx(p.tolist(), abs=0.02)


def test_a_history_is_plain_data():
    history = quiet(MADE(4, (5,)), TRAIN, VALID, epochs=3)
    assert [len(history.train), len(history.valid)] == [3, 3]
    assert json.loads(json.dumps(dataclasses.asdict(history))) == dataclasses.asdict(history)
    assert all(type(v) is float for v in history.train + history.valid)
    assert History() == History([], [], -1, "epochs")
    assert history.plot().get_xlabel() == "epoch"


def test_the_best_epoch_is_that_of_the_restored_weights():
    model = MADE(4, (64,))
    history = quiet(model, TRAIN[:10], VALID, epochs=60, lr=0.05, patience=15)
    assert history.stopped == "patience"
    assert history.best_epoch == len(history.valid) - 16
    assert history.valid[history.best_epoch] == min(history.valid)
    assert nll(model, VALID).mean == pytest.approx(min(history.valid), abs=1e-5)


@pytest.mark.parametrize("batch_size", [10, 50])
def test_a_loss_that_is_no_number_any_more_is_reported(batch_size):
    with pytest.raises(FloatingPointError, match="try a smaller lr"):
        quiet(MADE(4, (8,)), TRAIN, epochs=5, lr=1e30, batch_size=batch_size)


class Diverging(Scripted):
    """Its training loss is NaN from a step on; it has parts in both modes."""

    def __init__(self, script=(), nan_at=10**9, error=None):
        super().__init__(script)
        self.parts, self.nan_at, self.error = nn.ModuleList([nn.Dropout(), nn.Dropout().eval()]), nan_at, error

    def loss(self, x):
        loss = super().loss(x)
        if self.training and len(self.trained_on) >= self.nan_at:
            if self.error is not None:
                raise self.error
            return loss * math.nan
        return loss

    def modes(self):
        return [part.training for part in self.modules()]


FAR = torch.tensor([[1.0], [-4254.0], [2.0], [3.0]])


@pytest.mark.parametrize(
    "form", [torch.Tensor.numpy, lambda x: x, torch.Tensor.tolist], ids=["array", "tensor", "list"]
)
@pytest.mark.parametrize(
    ("train", "message"),
    [
        (FAR, "the training loss of epoch 3 of 9 is nan, the largest absolute value is 4254 in train: "
              "standardise real-valued columns; if that is not enough, try a smaller lr"),
        (numbers(4), "the training loss of epoch 3 of 9 is nan, the largest absolute value is 4 in train: "
                     "try a smaller lr"),
    ],
    ids=["large", "small"],
)  # fmt: skip
def test_a_training_loss_that_is_no_number_is_explained(form, train, message):
    model = Diverging([3.0, 2.0], nan_at=6)  # in epoch 3, two steps each
    before = model.modes()
    with pytest.raises(FloatingPointError) as caught:
        quiet(model, form(train), numbers(4), epochs=9, batch_size=2, lr=0.1)
    assert str(caught.value) == message
    assert model.weight.item() == model.weights_at_evaluation[1]  # of the best epoch, and a number
    assert model.modes() == before == [True, True, True, False]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_validation_loss_that_is_no_number_is_explained(loss):
    model = Diverging([2.0, 3.0, loss])
    with pytest.raises(FloatingPointError) as caught:
        quiet(model, numbers(4), 1e4 * numbers(2).numpy(), epochs=9, batch_size=2, lr=0.1)
    assert str(caught.value) == (
        f"the validation loss of epoch 3 of 9 is {loss}, the largest absolute value is 4 in train, 2e+04 in valid: "
        "standardise real-valued columns; if that is not enough, try a smaller lr"
    )
    assert model.weight.item() == model.weights_at_evaluation[0]


def test_of_a_loader_no_largest_value_is_known():
    with pytest.raises(FloatingPointError, match=r"^the training loss of epoch 1 of 50 is nan: try a smaller lr$"):
        quiet(Diverging(nan_at=1), torch.utils.data.DataLoader(FAR))


@pytest.mark.parametrize("error", [ValueError("own"), RuntimeError("own"), SystemExit("own")], ids=repr)
@pytest.mark.parametrize("training", [True, False])
def test_after_any_error_the_best_weights_and_the_modes_are_back(error, training):
    model = Diverging([3.0, 2.0, 2.5], nan_at=7, error=error).train(training)
    model.parts[1].train(not training)
    before = model.modes()
    with pytest.raises(type(error), match="own"):
        quiet(model, numbers(4), numbers(4), epochs=9, batch_size=2, lr=0.1)
    assert model.weight.item() == model.weights_at_evaluation[1]
    assert model.modes() == before


def test_an_error_before_the_first_epoch_ends_gives_the_initial_weights_back():
    model = MADE(4, (8,)).train()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(FloatingPointError, match="epoch 1 of 5"):
        quiet(model, TRAIN, epochs=5, lr=1e30, batch_size=10)
    assert all(torch.equal(model.state_dict()[name], p) for name, p in before.items() if isinstance(p, torch.Tensor))
    assert model.training


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("n_masks", [1, None])
def test_it_trains_where_gradients_are_off(off, n_masks, tmp_path):
    results = []
    for context in (contextlib.nullcontext, off):
        model = MADE(6, (8,), order="random", n_masks=n_masks, dropout=0.2)
        x = rows(MADE(6), 40).float()
        with context():
            x = x.clone()  # in inference_mode a tensor that autograd would not save
            path = tmp_path / context.__name__
            history = quiet(model, x, x, epochs=2, batch_size=10, lr=0.01, checkpoint=path)
            history = quiet(model, x, x, epochs=4, batch_size=10, lr=0.01, checkpoint=path, resume=True)
            assert torch.is_grad_enabled() == (context is contextlib.nullcontext)
            results.append((history, nll(model, x), [p.tolist() for p in model.parameters()]))
        quiet(model, TRAIN.repeat(1, 2)[:, :6], epochs=1)  # and outside it trains on
    assert results[0] == results[1]
    assert results[0][0].train[0] > results[0][0].train[-1]


def test_a_model_is_moved_outside_inference_mode():
    """Otherwise its weights would become tensors that cannot be trained."""

    class Moved(MADE):
        def to(self, *arguments):
            modes.append(torch.is_inference_mode_enabled())
            return super().to(*arguments)

    model, modes = Moved(4), []
    with torch.inference_mode():
        quiet(model, TRAIN, epochs=1, device="cpu")
    assert modes == [False]


def test_what_was_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = MADE(4, (5,))
    with pytest.raises(ValueError, match=r"^model was made in torch.inference_mode\(\)"):
        quiet(model, TRAIN)


def test_nll_from_many_threads_is_the_same_and_leaves_the_model_in_training(untouched_rng):
    model = MADE(16, (64,), dropout=0.5).train()
    x = rows(MADE(16), 200).float()
    model.dropout.eval()
    before = [part.training for part in model.modules()]
    expected = nll(copy.deepcopy(model).eval(), x, batch_size=20)
    seen = []

    def watch(*_):
        seen.append([part.training for part in model.modules()])

    model.output.register_forward_hook(watch)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: nll(model, x, batch_size=20), range(40))) == {expected}
    assert all(modes == before for modes in [*seen, [part.training for part in model.modules()]])
    assert len(seen) == 400


@pytest.mark.parametrize("batch_size", [0, True, 2.5, "9"])
def test_nll_refuses_what_is_no_batch_size(batch_size):
    with pytest.raises(ValueError, match="batch_size must be an int of at least 1, got"):
        nll(MADE(4), TRAIN, batch_size=batch_size)
    assert nll(MADE(4), TRAIN, batch_size=np.int64(7)).n == 50


def test_progress_is_a_switch():
    with pytest.raises(TypeError, match="progress must be True or False, got 'no'"):
        fit(MADE(4), TRAIN, progress="no")
    assert fit(MADE(4), TRAIN, epochs=1, progress=np.False_).stopped == "epochs"


@pytest.fixture(params=["meta", "float64"])
def elsewhere(request):
    """Another default device or dtype than the one under which model and rows were made."""
    if request.param == "meta":
        with torch.device("meta"):
            yield
    else:
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def made_here():
    """Six models with rows, and what training each gives where nothing is unusual."""
    found = []
    for options in ({}, {"order": "random", "n_masks": 2}, {"dropout": 0.3}, {"context_features": 2}):
        for convert in (lambda x: x, lambda x: x.double().numpy(), torch.Tensor.tolist):
            side = torch.rand(50, 2, generator=seeded(0)) if "context_features" in options else None
            data = [None if x is None else convert(x) for x in (TRAIN, side)]
            model = MADE(4, (6,), **options)
            found.append((model, *data, trained(copy.deepcopy(model), *data)))
    return found


def trained(model, x, context, **options):
    contexts = None if context is None else (context, context)
    history = quiet(model, x, x, context=contexts, epochs=2, batch_size=20, **options)
    return history, nll(model, x, 17, context), [(p.dtype, p.device.type, p.tolist()) for p in model.parameters()]


def test_the_default_device_and_dtype_do_not_matter(made_here, elsewhere, tmp_path):
    for number, (model, x, context, expected) in enumerate(made_here):
        path = tmp_path / str(number)
        again = copy.deepcopy(model)
        assert trained(model, x, context, checkpoint=path) == expected
        assert trained(again, x, context, checkpoint=path, resume=True) == expected  # the run was complete


def test_it_trains_in_double_precision_and_shows_progress_on_stderr(capsys):
    model = MADE(4, (5,)).double()
    history = fit(model, TRAIN.double(), VALID.double(), epochs=2, device="cpu")
    assert len(history.train) == 2
    assert model.output.weight.dtype == torch.float64
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
    quiet(model, TRAIN.double(), epochs=1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train": "rows"}, TypeError, "train must be a tensor, array, DataFrame or list of shape"),
        ({"train": torch.zeros(4)}, ValueError, "train must have shape"),
        ({"train": torch.zeros(0, 4)}, ValueError, "train must have shape"),
        ({"valid": torch.zeros(0, 4)}, ValueError, "valid must have shape"),
        ({"valid": 3}, TypeError, "valid must be a tensor"),
        ({"train": torch.zeros(5, 3)}, ValueError, r"^train must have shape \(..., 4\), got \(5, 3\)"),
        ({"train": torch.full((5, 4), torch.nan)}, ValueError, r"^row \d of train must be 0 or 1 .* position \(0,\)"),
        ({"train": torch.zeros(5, 4, dtype=torch.int64)}, TypeError, "^train must be a tensor of the model's dtype"),
        ({"train": TRAIN.double()}, TypeError, "^train must be a tensor of the model's dtype .* torch.float64$"),
        ({"valid": VALID.double()}, TypeError, "^valid must be a tensor of the model's dtype .* torch.float64$"),
        ({"valid": 2 * VALID}, ValueError, r"^row 0 of valid must be 0 or 1 .* got 2.0 at position \(\d,\)"),
        ({"train": TRAIN.double().numpy() / 2}, ValueError, r"^row \d+ of train must be 0 or 1 .* got 0.5 at"),
        ({"epochs": 0}, ValueError, "epochs must be an int of at least 1"),
        ({"epochs": 1.5}, ValueError, "epochs must be an int of at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"patience": 0}, ValueError, "patience"),
        ({"lr": 0}, ValueError, "lr must be a positive number"),
        ({"lr": -1.0}, ValueError, "lr"),
        ({"lr": math.inf}, ValueError, "lr"),
        ({"lr": math.nan}, ValueError, "lr"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay"),
        ({"weight_decay": math.nan}, ValueError, "weight_decay"),
        ({"epochs": True}, ValueError, "epochs must be an int of at least 1, got True"),
        ({"batch_size": True}, ValueError, "batch_size must be an int of at least 1, got True"),
        ({"patience": np.True_}, ValueError, "patience must be an int of at least 1, got"),
        ({"accumulate": True}, ValueError, "accumulate must be an int of at least 1, got True"),
        ({"seed": True}, ValueError, "seed must be an int of at most 64 bits, got True"),
        ({"seed": 1.5}, ValueError, "seed must be an int of at most 64 bits, got 1.5"),
        ({"seed": 2**64}, ValueError, "seed must be an int of at most 64 bits, got 18446744073709551616"),
        ({"lr": True}, ValueError, "lr must be a positive number, got True"),
        ({"weight_decay": False}, ValueError, r"weight_decay must be a number in \[0, inf\), got False"),
        ({"checkpoint_seconds": True}, ValueError, "checkpoint_seconds must be a number"),
        ({"resume": 1}, TypeError, "resume must be True or False, got 1"),
        ({"amp": 1}, TypeError, "amp must be True or False, got 1"),
        ({"amp": None}, TypeError, "amp must be True or False, got None"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        quiet(**({"model": MADE(4, (5,)), "train": TRAIN} | arguments))


def test_nll_is_a_mean_with_its_standard_error():
    model = build("D8")
    x = rows(model, 57)
    losses = [-model.log_prob(row).item() for row in x]
    mean = sum(losses) / 57
    spread = math.sqrt(sum((v - mean) ** 2 for v in losses) / 56)
    assert nll(model, x, batch_size=10) == pytest.approx(Estimate(mean, spread / math.sqrt(57), 57), abs=1e-12)


def test_nll_of_one_row_has_no_standard_error():
    estimate = nll(build("D8"), torch.zeros(1, 8, dtype=torch.float64))
    assert math.isnan(estimate.stderr)
    assert estimate.n == 1


def test_nll_ignores_dropout_and_leaves_the_mode():
    model = build("D8-dropout")
    x = rows(model, 20)
    expected = nll(model, x)
    model.train()
    assert nll(model, x) == expected
    assert model.training


@pytest.mark.parametrize(
    ("x", "error"),
    [(torch.zeros(4), ValueError), (torch.zeros(0, 4), ValueError), ([[0.0]], ValueError), ({0.0}, TypeError)],
)
def test_nll_refuses_what_is_no_matrix(x, error):
    with pytest.raises(error, match="x must"):
        nll(MADE(4, (5,)), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_rows_of_any_floating_type_are_trained_on(dtype):
    x = torch.eye(4).repeat(5, 1).to(dtype)
    history = made.fit(made.MADE(4, (6,)).to(dtype), x, epochs=2, progress=False)
    assert len(history.train) == 2
