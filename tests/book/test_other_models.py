"""The relatives of MADE: they are enumerated, what they hear is differentiated, fast samplers meet the slow."""

import importlib
import itertools
import sys

import pytest
import torch
from chapters import BOOK

import made

ORDER = [3, 0, 4, 1, 5, 2]  # its inverse is another order, so the two cannot be taken for each other
DIAMOND = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1], [0, 1, 0, 0]], dtype=torch.bool)  # 1, {0, 3}, 2
GRAPH = torch.zeros(6, 6, dtype=torch.bool)
GRAPH[:4, :4], GRAPH[4, 2], GRAPH[5, [0, 4]] = DIAMOND, True, True


@pytest.fixture(scope="module")
def other():
    """The module, imported."""
    sys.path.insert(0, str(BOOK / "experiments"))
    yield importlib.import_module("other_models")
    sys.path.remove(str(BOOK / "experiments"))


def build(other, name, seed=0):
    """A small model of six variables in float64, whose weights are large enough to matter everywhere."""
    model = {
        "PixelCNN": lambda: other.seeded(other.PixelCNN, 2, 3, channels=16, layers=2, first=5, dropout=0.5, seed=seed),
        "CausalTransformer": lambda: other.seeded(other.CausalTransformer, ORDER, 8, 2, 2, dropout=0.5, seed=seed),
        "AnyOrderTransformer": lambda: other.seeded(other.AnyOrderTransformer, 6, 8, 2, 2, dropout=0.5, seed=seed),
        "GraphMLP": lambda: other.seeded(other.GraphMLP, GRAPH, [40, 40], seed=seed),
    }[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model.double().eval()


NAMES = ["PixelCNN", "CausalTransformer", "AnyOrderTransformer", "GraphMLP"]


def rows(n_features):
    """All rows of zeros and ones."""
    return torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * n_features)


def slopes(outputs, x):
    """Which output depends on which input anywhere among the rows x, bool (outputs, inputs)."""
    return torch.stack([torch.autograd.functional.jacobian(outputs, row[None])[0, :, 0] for row in x]).ne(0).any(0)


def before(order):
    """Whom each variable may hear under an order."""
    place = torch.as_tensor(order).argsort()
    return place[:, None] > place


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_sum_to_one(other, name):
    model = build(other, name)
    assert model.log_prob(rows(6)).exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert model.log_prob(rows(6)).std() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_hears_those_before_it_and_all_of_them(other, name):
    model, x = build(other, name), torch.rand(20, 6, generator=torch.Generator().manual_seed(0)).double()
    allowed = {"GraphMLP": GRAPH}.get(name, before(model.order))
    assert torch.equal(slopes(model, x), allowed)
    assert not torch.equal(before(ORDER), before(torch.tensor(ORDER).argsort()))


def test_a_pixelcnn_with_a_small_window_is_blind_to_a_corner(other):
    """It reaches one to the right in the row above; layers after it one more each, but in rows further up."""
    model = other.seeded(other.PixelCNN, 3, 5, channels=4, layers=2, first=3).double()
    heard = slopes(model, torch.rand(20, 15, generator=torch.Generator().manual_seed(0)).double())
    row, column = torch.arange(15) // 5, torch.arange(15) % 5
    up, right = row[:, None] - row, column - column[:, None]
    assert torch.equal(heard, ((up > 0) & (right <= up) & (right >= -3)) | ((up == 0) & (right < 0) & (right >= -3)))


@pytest.mark.parametrize("order", [ORDER, [5, 0, 1, 2, 3, 4]])
def test_an_any_order_transformer_keeps_every_order(other, order):
    model, order = build(other, "AnyOrderTransformer"), torch.tensor(order)
    x = torch.rand(9, 6, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(slopes(lambda x: model(x, order), x), before(order))
    assert model.log_prob(rows(6), order).exp().sum().item() == pytest.approx(1, abs=1e-12)
    each = torch.stack([order, torch.tensor(ORDER)])
    torch.testing.assert_close(model.log_prob(x[:2].round(), each)[0], model.log_prob(x[:2].round(), order)[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_fast_samples_are_those_of_the_definition(other, name, seed):
    model = build(other, name, seed)
    u = made.sampling.uniforms(200, 6, torch.Generator().manual_seed(seed))
    drawn = model.draw(u)
    assert torch.equal(drawn, other.sample_naive(model, u))
    assert len(drawn.unique(dim=0)) > 5


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_probabilities_of_the_model(other, name):
    """Chi-squared over 64 states; one in 100 000 right samplers would fail."""
    model, n = build(other, name), 20_000
    drawn = model.sample(n, torch.Generator().manual_seed(0)) @ (2.0 ** torch.arange(5, -1, -1).double())
    counts, expected = torch.bincount(drawn.long(), minlength=64), n * model.log_prob(rows(6)).exp()
    large = expected > 5
    chi2 = ((counts - expected).square() / expected)[large].sum().item()
    assert chi2 < torch.distributions.Chi2(63).mean + 5.5 * (2 * 63) ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_they_train_and_nothing_but_the_seed_matters(other, name):
    x = rows(6)[torch.arange(64) % 5 == 0].float().repeat(4, 1)
    losses = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        model = build(other, name).float()
        state = torch.get_rng_state()
        history = made.fit(model, x, x, epochs=8, batch_size=10, lr=1e-2, progress=False)
        assert torch.equal(torch.get_rng_state(), state)
        losses.append(history.train + history.valid)
        assert history.train[-1] < history.train[0]
    assert losses[0] == losses[1]


def test_a_seed_leaves_the_global_generator_alone(other):
    state = torch.get_rng_state()
    a, b, c = (other.seeded(other.PixelCNN, 2, 2, seed=seed).first.weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_any_order_cost_is_the_mean_over_all_orders(other):
    """All 24 orders and 4 steps of four variables, counted; and the bound of masked diffusion, by its integral."""
    model = other.seeded(other.AnyOrderTransformer, 4, 8, 1, 2).double().eval()
    x = torch.tensor([[1.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    orders = torch.tensor(list(itertools.permutations(range(4))))
    expected = -torch.stack([model.log_prob(x, order)[0] for order in orders])
    steps = [other.any_order_cost(model, x.expand(24, -1), orders.argsort(1), torch.full((24, 1), t)) for t in range(4)]
    torch.testing.assert_close(torch.stack(steps).mean(), expected.mean())
    assert expected.std() > 1e-3
    torch.testing.assert_close(diffusion_bound(model, x), expected.mean())


def diffusion_bound(model, x):
    """Every variable is unknown with probability t; costs of the unknown ones over t, integrated over t from 0 to 1.

    The integral over t of t^(k-1) (1-t)^(D-k), for a set of k unknown ones, is 1 / (k binomial(D, k)).
    """
    D, total = x.shape[1], 0.0
    for unknown in rows(D)[1:].bool():
        k = int(unknown.sum())
        logits = model.conditionals(x, ~unknown[None])
        costs = torch.nn.functional.softplus(logits) - x * logits
        total = total + (costs[0] * unknown).sum() / (k * len(list(itertools.combinations(range(D), k))))
    return total


def test_the_loss_is_an_estimate_of_that_mean(other):
    """In training it varies; in evaluation it is always the same; both lie around the mean over all orders."""
    model = other.seeded(other.AnyOrderTransformer, 4, 8, 1, 2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
        x = torch.tensor([[1.0, 0.0, 0.0, 1.0]], dtype=torch.float64).repeat(20_000, 1)
        orders = list(itertools.permutations(range(4)))
        expected = -torch.stack([model.log_prob(x[:1], torch.tensor(order)) for order in orders]).mean()
        torch.manual_seed(0)
        noisy = [model.train().loss(x).item() for _ in range(2)]
        fixed = [model.eval().loss(x).item() for _ in range(2)]
    assert noisy[0] != noisy[1]
    assert fixed[0] == fixed[1]
    for found in noisy + fixed:
        assert found == pytest.approx(expected.item(), rel=0.02)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("acyclic", [True, False])
def test_masks_multiply_to_the_graph(other, seed, acyclic):
    """Where every distinct row has a unit. Where none has, nothing forbidden gets through."""
    draw = torch.Generator().manual_seed(seed)
    graph = torch.rand(7, 7, generator=draw) < torch.rand(1, generator=draw)
    if acyclic:
        shuffle = torch.randperm(7, generator=draw)
        graph = graph.tril(-1)[shuffle][:, shuffle]
    for hidden in ([], [7], [9, 7, 12], [2], [3, 9], [8, 2]):
        masks = other.masks_from_graph(graph, hidden)
        assert [tuple(mask.shape) for mask in masks] == list(zip([*hidden, 7], [7, *hidden], strict=True))
        paths = torch.eye(7)
        for mask in masks:
            paths = mask.float() @ paths
        heard = paths > 0
        assert torch.equal(heard, graph) if min(hidden, default=7) >= 7 else not (heard & ~graph).any()
    narrow = other.masks_from_graph(graph, [2])
    assert narrow[1].any() or not graph.any()


def test_the_masks_of_an_order_are_those_of_made(other):
    """Rows of a strict triangle are a chain, and the units the even degrees of MADE."""
    triangle = torch.ones(5, 5).tril(-1).bool()
    expected = made.masks.Connectivity.create(5, (8, 4), "natural", "even", seed=0).masks()
    for ours, theirs in zip(other.masks_from_graph(triangle, [8, 4]), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_an_order_of_a_graph_has_everyone_after_those_it_hears(other):
    assert not (GRAPH & ~before(other.order_of_graph(GRAPH))).any()
    assert other.order_of_graph(DIAMOND).tolist() == [1, 0, 3, 2]
    with pytest.raises(ValueError, match="cycle"):
        other.order_of_graph(DIAMOND | DIAMOND.T)


def test_a_gaussian_made_is_a_flow(other):
    """There and back; the log-determinant by autograd; the change of variables gives the log-probability."""
    model = made.MADE(4, (9,), likelihood=made.Gaussian(), order=[2, 0, 3, 1], seed=0, activation="tanh").double()
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    noise, log_det = other.to_noise(model, x)
    torch.testing.assert_close(other.from_noise(model, noise), x)
    by_hand = [torch.autograd.functional.jacobian(lambda r: other.to_noise(model, r[None])[0][0], row) for row in x]
    torch.testing.assert_close(torch.stack(by_hand).det().abs().log(), log_det)
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(1)
    torch.testing.assert_close(standard + log_det, model.log_prob(x))
    assert log_det.std() > 0.01


def test_parameters_that_a_mask_forbids_do_not_count(other):
    """Those that count have a gradient where no unit is at rest."""
    model = made.diagnostics.positive_copy(other.PixelCNN(5, 5, channels=3, layers=2, first=5), seed=0)
    x = torch.rand(40, 25, generator=torch.Generator().manual_seed(0)).double()
    (model(x) * torch.rand(40, 25, generator=torch.Generator().manual_seed(1))).sum().backward()
    learning = sum(int(p.grad.count_nonzero()) for p in model.parameters())
    assert other.parameters_that_count(model) == learning < sum(p.numel() for p in model.parameters())


def test_networks_for_any_order_are_scored_under_the_same_orders(other):
    """Of a MADE made for an order, the same weights say the same; averages over orders are those over its views."""
    relatives = importlib.import_module("relatives")
    network, orders = relatives.build(relatives.CONFIG, "MADE, any order", 0.0, 0), relatives.drawn({"seed": 3, "n": 2})
    alone = made.MADE(64, (500,), order=orders[1])
    with torch.no_grad():
        for ours, theirs in zip(alone.parameters(), network.parameters(), strict=True):
            ours.copy_(theirs)
    x = torch.rand(5, 64, generator=torch.Generator().manual_seed(0)).round()
    log_p = relatives.scored(network, x, orders)
    torch.testing.assert_close(log_p[1].float(), alone.log_prob(x))
    assert (log_p[0] - log_p[1]).abs().max() > 1e-3
    transformer = other.seeded(other.AnyOrderTransformer, 64, 4, 1, 1)
    torch.testing.assert_close(relatives.scored(transformer, x, orders)[1].float(), transformer.log_prob(x, orders[1]))


def test_half_of_a_row_is_scored_exactly(other):
    """The first three variables of an order, against the sum over all values of the others."""
    speed, model = importlib.import_module("relatives_speed"), build(other, "AnyOrderTransformer")
    x, order = rows(6), torch.tensor(ORDER)
    together = model.log_prob(x, order).exp()
    same = (x[:, None, order[:3]] == x[None, :, order[:3]]).all(-1)
    torch.testing.assert_close(speed.first_half(model, x, order).exp(), same.double() @ together)
