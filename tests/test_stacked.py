"""Networks side by side, as three experiments train them, against networks that stand alone."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import made

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "experiments"))
import augmented
import mnist_many
import mystery
import run
import slips
import stacked
import wide

CPU = torch.device("cpu")
D = 16


def rows(n=40):
    return (torch.rand(n, D, generator=torch.Generator().manual_seed(3)) < 0.4).float()


def training(shape, n_orders=3, kind=wide, **changes):
    config = {**kind.CONFIG, "batch_size": 10, **changes}
    x = rows().to(torch.uint8)
    members = []
    for seed in range(n_orders):
        order = torch.randperm(D, generator=torch.Generator().manual_seed(seed))
        members.append(({"dropout": 0.2 * seed, "reach": 1 + seed % 2, "moved": 0.5}, order))
    return kind.Training(config, made.data.Split(x, x, x), shape, members, CPU, torch.float32)


@pytest.mark.parametrize("kind", [wide, augmented], ids=["wide", "augmented"])
@pytest.mark.parametrize("shape", [{"hidden": [17, 17], "residual": True}, {"hidden": [30, 9], "residual": False}])
def test_each_network_is_a_made_of_the_same_weights(shape, kind):
    found = training(shape, kind=kind, epochs=2)
    found.run(stacked.Clock(1000))
    for k in range(found.n):
        model = found.as_made(k)
        assert torch.allclose(-model.log_prob(rows()).double(), found.losses(rows())[k], atol=1e-5)


def test_gradients_are_those_of_dense_masked_weights():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(2, 20, 12, generator=generator) < 0.5
    mask[:, :4] = False
    layer = stacked.Layer(mask, 2, 1.0, generator)
    x = torch.randn(2, 5, 12, generator=generator, requires_grad=True)
    dense, copy = layer.dense().requires_grad_(), x.detach().clone().requires_grad_()
    out, expected = layer(x), torch.bmm(copy, (dense * mask).transpose(1, 2))
    assert torch.allclose(out, expected, atol=1e-6)
    out.square().sum().backward()
    expected.square().sum().backward()
    assert torch.allclose(x.grad, copy.grad, atol=1e-4)
    for (part, _, reach), weight in zip(layer.cuts, layer.weights, strict=True):
        assert torch.allclose(weight.grad, dense.grad[:, part, :reach], atol=1e-4)


@pytest.mark.parametrize("kind", [wide, augmented], ids=["wide", "augmented"])
def test_images_have_the_probabilities_of_the_networks(kind):
    found = training({"hidden": [17, 17], "residual": True}, n_orders=2, kind=kind)
    with torch.no_grad():
        for weight in [w for layer in [*found.stack.hidden, found.stack.output] for w in layer.weights]:
            weight *= 4  # the variables depend on each other, by way of both layers
    torch.manual_seed(0)
    images = found.sample(4000).view(2, 4000, D)
    for k in range(2):
        model = found.as_made(k)
        other = model.sample(4000, generator=torch.Generator().manual_seed(1))
        assert torch.allclose(images[k].float().mean(0), other.mean(0), atol=0.05)
        pairs = lambda x: x.T.float() @ x.float() / len(x)
        assert torch.allclose(pairs(images[k]), pairs(other), atol=0.05)
        nll = -model.log_prob(images[k].float()).mean().item()
        assert nll == pytest.approx(-model.log_prob(other).mean().item(), abs=0.1)


@pytest.mark.parametrize("direct", [True, False])
def test_units_beyond_all_outputs_can_be_left_out(direct):
    """The whole network of ``slips.py``, with all its units, against a stack that holds only the usable ones."""
    units, seed = [60, 60], 4
    cell = mystery.cell(True, "sigmoid", 0.0, direct, seed)
    stack, usable = mystery.build({**mystery.CONFIG, "range": 5.0}, D, [cell], units, CPU)
    whole = slips.PostNetwork(D, units, True, False, direct, {**slips.CONFIG, "range": 5.0}, seed).eval()
    degrees, low = [torch.arange(1, D + 1)], 1
    generator = torch.Generator().manual_seed(seed)
    for width in units:  # drawn as both draw them
        degrees.append(torch.randint(low, 5 * D, (width,), generator=generator))
        low = int(degrees[-1].min())
    kept = [layer.argsort(stable=True)[: int((layer < D).sum())] for layer in degrees[1:]]
    kept = [torch.arange(D), *kept, torch.arange(D)]
    assert usable == [[len(kept[1]), len(kept[2])]]
    assert len(kept[1]) < 30
    with torch.no_grad():
        for layer, target, before, after in zip(
            whole.layers, [*stack.hidden, stack.output], kept[:-1], kept[1:], strict=True
        ):
            target.weights[0].zero_()  # what fills up a layer is not used
            target.weights[0][0, : len(after), : len(before)] = (layer.weight * layer.mask)[after][:, before]
            target.bias[0, 0, : len(after)] = layer.bias[after]
        if direct:
            stack.direct.weights[0].copy_((whole.direct.weight * whole.direct.mask)[:, : stack.direct.cuts[0][2]])
            stack.direct.bias.copy_(whole.direct.bias)
        assert torch.allclose(stack(rows()[None])[0], whole(rows()), atol=1e-5)


def test_networks_side_by_side_learn_as_they_would_alone():
    x = rows()
    split = made.data.Split(x, x, x)
    config = {**mystery.CONFIG, "batch_size": 20, "epochs": 4, "dropout": 0.0, "range": 3.0}
    cells = [mystery.cell(True, "relu", 0.5, direct, 7) for direct in (True, False)]
    both = mystery.Training(config, split, cells, [20, 20], CPU, torch.float32)
    alone = mystery.Training(config, split, cells[:1], [20, 20], CPU, torch.float32)
    for mine, others in zip(alone.stack.parameters(), both.stack.parameters(), strict=True):
        mine.data.copy_(others[:1])
    both.rate[1] = 0
    frozen = [p[1].clone() for p in both.stack.parameters()]
    step = torch.arange(20)
    for _ in range(3):
        both.step(step)
        alone.step(step)
    for mine, others, before in zip(alone.stack.parameters(), both.stack.parameters(), frozen, strict=True):
        assert torch.allclose(mine[0], others[0], atol=1e-6)
        assert torch.equal(others[1], before)
    assert any(not torch.equal(p[0], before) for p, before in zip(both.stack.parameters(), frozen, strict=True))


def test_the_clipped_loss_is_that_of_the_smaller_experiment():
    out, x = torch.randn(2, 5, D), rows(5)
    p = F.relu(out).clamp(1e-7, 1 - 1e-7)
    clipped = F.binary_cross_entropy(p[0], x, reduction="none").sum(1)
    logistic = F.binary_cross_entropy_with_logits(out[1], x, reduction="none").sum(1)
    found = mystery.losses(out, x, torch.tensor([[True], [False]]), 1e-7)
    assert torch.allclose(found, torch.stack([clipped, logistic]))


def test_shifted_images_are_what_they_say():
    found, maps, contexts = augmented.shifts(D, 2)
    image = torch.arange(1, D + 1)  # no pixel is zero but those that come from outside
    for (down, right), places in zip(found, maps, strict=True):
        moved = torch.cat([image, torch.zeros(1, dtype=torch.int64)])[places].view(4, 4)
        for i in range(4):
            for j in range(4):
                inside = 0 <= i - down < 4 and 0 <= j - right < 4
                assert moved[i, j] == (image.view(4, 4)[i - down, j - right] if inside else 0)
    assert found[0] == (0, 0)
    assert len(set(found)) == len(contexts.unique(dim=0)) == 25
    assert not contexts[0].any()
    assert contexts[1:].any(1).all()


def test_networks_are_given_moved_rows_and_told_by_how_much():
    trained = training({"hidden": [17], "residual": False}, n_orders=2, kind=augmented)
    found, _, contexts = augmented.shifts(D, 2)
    torch.manual_seed(0)
    taken = torch.arange(40).repeat(500)
    given, x = trained.examples(taken)
    assert torch.equal(given[:, :, contexts.shape[1] :], x)
    told = (given[:, :, None, : contexts.shape[1]] == contexts).all(-1).int()
    assert (told.sum(-1) == 1).all()
    told = told.argmax(-1)
    for k, reach in enumerate([1, 2]):
        natural = x[k][:, trained.orders[k].argsort()].view(-1, 4, 4)
        for number, (down, right) in enumerate(found):
            chosen = told[k] == number
            share = 0.5 if number == 0 else 0.5 / ((2 * reach + 1) ** 2 - 1) * (max(abs(down), abs(right)) <= reach)
            assert chosen.float().mean().item() == pytest.approx(share, abs=0.01 if share else 0)
            before = F.pad(rows()[taken[chosen]].view(-1, 4, 4), (2, 2, 2, 2))
            assert torch.equal(natural[chosen], before[:, 2 - down : 6 - down, 2 - right : 6 - right])


def test_images_of_teachers_stay_where_they_are():
    x = rows().to(torch.uint8)
    members = [({"dropout": 0.0, "reach": 1, "moved": 1.0}, torch.arange(D))]
    shape, split = {"hidden": [17], "residual": False}, made.data.Split(x, x, x)
    found = augmented.Training(augmented.CONFIG, split, shape, members, CPU, torch.float32, real=30)
    moved = found.draw(torch.arange(40)) > 0
    assert moved[0, :30].all()
    assert not moved[0, 30:].any()


def test_every_output_hears_the_context_and_no_later_variable():
    trained = training({"hidden": [40, 40], "residual": True}, n_orders=2, kind=augmented)
    C = trained.context
    plain = made.masks.build_masks([torch.arange(1, D + 1), *trained.degrees])
    assert torch.equal(trained.stack.output.dense()[0] != 0, plain[-1])
    assert torch.equal(trained.stack.hidden[0].dense()[0, :, C:] != 0, plain[0])
    given = F.pad(trained.inputs(rows(1)), (C, 0)).requires_grad_()
    for t in range(D):
        (gradient,) = torch.autograd.grad(trained.stack(given)[:, 0, t].sum(), given)
        heard = gradient[:, 0] != 0
        assert heard[:, :C].all()
        assert heard[:, C : C + t].any(1).all() or t == 0
        assert not heard[:, C + t :].any()


def test_orders_by_diagonals_are_orders_of_their_own():
    found = [order for _, order in augmented.orders(D)]
    assert len({tuple(order.tolist()) for order in found}) == 16
    assert all(torch.equal(order.sort().values, torch.arange(D)) for order in found)
    assert found[8].tolist()[:6] == [0, 1, 4, 2, 5, 8]


def test_weights_by_em_are_those_that_a_search_finds():
    costs = torch.rand(2, 50, generator=torch.Generator().manual_seed(0)).double() * 3
    weights = augmented.fitted(costs)
    grid = torch.linspace(0, 1, 2001).double()[1:-1, None, None]
    both = torch.cat([grid.log(), (1 - grid).log()], 1) - costs
    best = grid[both.logsumexp(1).sum(1).argmax()].item()
    assert weights.sum().item() == pytest.approx(1)
    assert weights[0].item() == pytest.approx(best, abs=2e-3)


def test_students_can_be_taught_later_and_the_best_network_is_a_file(tmp_path):
    chosen = argparse.Namespace(device=CPU, precision="float32", seconds=1000, folder=tmp_path, data=["drawn"])
    first = augmented.Experiment(chosen, augmented.TOY)
    split = first.load("drawn")
    first.search("drawn", split)
    trained = first.teachers("drawn", split)
    later = augmented.Experiment(chosen, augmented.TOY)
    kept = later.teachers("drawn", split)
    assert torch.equal(kept.losses(split.valid), trained.losses(split.valid))
    later.students("drawn", split, kept)
    later.mix("drawn", len(split.valid))
    (row,) = [row for row in later.rows if "saved" in row]
    assert row["valid"] == min((r["valid"] for r in later.rows if "test" in r), key=lambda found: found["mean"])
    model = made.MADE.load(tmp_path / row["saved"]["file"]).float()
    assert made.nll(model, split.test.float()).mean == pytest.approx(row["test"]["mean"], abs=0.01)
    assert later.mixtures[-1]["valid"]["mean"] <= row["valid"]["mean"] + 0.001  # as good as the best part, or better


def test_near_the_end_no_image_is_moved_and_the_rate_is_lower():
    found = training({"hidden": [17], "residual": False}, kind=augmented, epochs=3, settle={"share": 1.0, "rate": 0.2})
    found.settle(4, 1.0)
    assert found.settled is None
    assert (found.draw(torch.arange(40)) > 0).any()
    found.run(stacked.Clock(1000))
    assert found.settled == 1
    assert not (found.draw(torch.arange(40)) > 0).any()
    assert [group["lr"].item() for group in found.optimizer.param_groups] == pytest.approx([2e-4, 2e-4])


def test_rounded_pixels_have_the_setting_of_the_drawn_search_and_join_its_rows(tmp_path, monkeypatch):
    chosen = argparse.Namespace(device=CPU, precision="float32", seconds=1000, folder=tmp_path, data=["rounded"])
    monkeypatch.setattr(augmented, "CONFIG", augmented.TOY)
    monkeypatch.setattr(stacked, "options", lambda *_, **__: chosen)
    chosen.toy = False
    with pytest.raises(SystemExit, match="--data drawn"):
        augmented.main()
    first = augmented.Experiment(chosen, augmented.TOY)
    first.search("drawn", first.load("drawn"))
    first.rows[1]["valid"]["mean"] = 0.0  # the winner
    first.mixtures, first.arrays = [{"data": "drawn"}], {"drawn_ensemble": np.ones((2, 3))}
    first.save()
    augmented.main()
    found = augmented.Experiment(chosen, augmented.TOY)
    rounded = found.of("rounded", "ensemble")
    assert [row for row in found.rows if row not in rounded] == first.rows
    assert found.mixtures[0] == {"data": "drawn"}
    assert [m["networks"] for m in found.mixtures[1:]] == [1, 2]
    assert found.arrays.keys() == {"drawn_ensemble", "rounded_ensemble"}
    assert [row["turn"] for row in rounded] == [0, 2]
    for row in rounded:
        assert all(row[key] == value for key, value in augmented.TOY["settings"][0][1].items())
    before = found.path.read_text()
    augmented.main()  # the test rows are used once
    assert found.path.read_text() == before


def test_images_of_rounded_pixels_are_moved_for_longer(tmp_path):
    chosen = argparse.Namespace(device=CPU, precision="float32", seconds=1000, folder=tmp_path, data=["rounded"])
    experiment = augmented.Experiment(chosen, augmented.CONFIG)
    x = rows().to(torch.uint8)
    members = [({"dropout": 0.1, "reach": 2, "moved": 0.9}, torch.arange(D))]
    settled = {}
    for data in ("drawn", "rounded"):
        found = experiment.training(data, made.data.Split(x, x, x), {"hidden": [17], "residual": False}, members)
        for epoch in range(100):
            found.settle(epoch, 1 - (epoch + 0.5) / 100)
        settled[data] = found.settled
    assert settled == {"drawn": 91, "rounded": 97}


def test_only_the_cells_that_are_named_and_not_converged_are_trained_again(tmp_path, monkeypatch):
    config = {**mystery.TOY, "units": [20, 20], "epochs": 2, "wide_seeds": [0]}
    chosen = argparse.Namespace(
        device=CPU, precision="float32", seconds=1000, folder=tmp_path, cells=mystery.CELLS, toy=False
    )
    monkeypatch.setattr(mystery, "CONFIG", config)
    monkeypatch.setattr(mystery, "options", lambda *_, **__: chosen)
    mystery.main()
    path = tmp_path / "mystery.json"
    document = json.loads(path.read_text())
    assert {mystery.cells_of(group) for group in mystery.groups(config)} == set(mystery.CELLS)
    for row in document["runs"]:
        row["stopped"], row["test"] = "budget", "before"
    document["runs"][-1]["stopped"] = "patience"
    path.write_text(json.dumps(document))
    chosen.cells = ["whole-sigmoid"]
    mystery.main()
    after = json.loads(path.read_text())["runs"]
    again = [row for row in after if row["test"] != "before"]
    assert {(row["wide_degrees"], row["output"], row["stopped"]) for row in again} == {(False, "sigmoid", "epochs")}
    assert len(again) == len({(row["direct"], row["dropout_in_evaluation"]) for row in again}) == 4
    kept = lambda rows: [row for row in rows if row["wide_degrees"] or row["output"] == "relu"]
    assert kept(after) == kept(document["runs"])
    assert len(after) == len(document["runs"])
    mystery.main()  # nothing is left to do
    assert json.loads(path.read_text())["runs"] == after


def networks(study):
    """A group of networks of ``mnist_many``, and the rows they learn from."""
    base = {"stage": "final", "study": study, "dropout": 0.0}
    if study == "masks":
        variants = enumerate(mnist_many.VARIANTS.values())
        return [{**base, "width": 9, "direct": True, **v, "seed": k, "lr": 0.01 * (1 + k)} for k, v in variants]
    shapes = [
        (0, True, "natural"),
        (0, True, "random"),
        (5, True, "random"),
        (5, False, "natural"),
        (40, True, "natural"),
    ]
    return [
        {**base, "width": width, "direct": direct, **mnist_many.ONE, "order": order, "seed": k, "lr": 0.01 * (1 + k)}
        for k, (width, direct, order) in enumerate(shapes)
    ]


def many(study, **changes):
    x = rows()
    kind = {"direct": mnist_many.Fixed, "masks": mnist_many.Changing}[study]
    config = {**mnist_many.CONFIG["training"], "batch_size": 10, **changes}
    return kind(config, made.data.Split(x, x, x), networks(study), CPU, torch.float32)


@pytest.mark.parametrize("study", ["direct", "masks"])
def test_networks_of_many_widths_and_masks_learn_as_mades_do(study):
    """Some steps side by side, against AdamW on each alone, under the same connectivities and batches."""
    found = many(study)
    alone = [found.as_made(k).train() for k in range(found.n)]
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=network["lr"], weight_decay=0.0)
        for model, network in zip(alone, found.networks, strict=True)
    ]
    found.begin_epoch(4)
    for step in range(4):
        batch = torch.arange(10 * step, 10 * step + 10)
        for k, (model, optimizer) in enumerate(zip(alone, optimizers, strict=True)):
            if study == "masks":
                inputs, hidden = (degrees[step, k].long() for degrees in found.turns)
                model.use(made.Connectivity(inputs.argsort(), (inputs, hidden)))
            optimizer.zero_grad()
            model.loss(rows()[found.shuffle[k, batch]]).backward()
            optimizer.step()
        found.step(batch)
    for k, model in enumerate(alone):
        model.eval()
        together = found.as_made(k)
        if study == "masks":
            model.use(together.connectivity)
        assert torch.allclose(together.log_prob(rows()), model.log_prob(rows()), atol=1e-3)
        assert (together.log_prob(rows()) - many(study).as_made(k).log_prob(rows())).abs().max() > 0.05


@pytest.mark.parametrize("study", ["direct", "masks"])
def test_many_networks_cost_what_they_cost_as_mades(study):
    found = many(study, epochs=2)
    found.run(stacked.Clock(1000))
    for k, network in enumerate(found.networks):
        model = found.as_made(k)
        assert (
            made.diagnostics.count_parameters(model)
            == len(model.output.bias)
            + sum(int(layer.mask.sum()) for layer in model.modules() if hasattr(layer, "mask"))
            + network["width"]
        )
        if study == "direct":
            assert torch.allclose(-model.log_prob(rows()).double(), found.score(rows())[k], atol=1e-4)
            continue
        for number in (0, 1, 31):
            model.use(mnist_many.connectivity(network, number, D))
            assert torch.allclose(-model.log_prob(rows()).double(), found.under(rows(), number)[k], atol=1e-4)


def test_lists_of_masks_repeat_and_fresh_orders_do_not():
    found = many("masks")
    names = list(mnist_many.VARIANTS)
    first, second = [], []
    for kept in (first, second):
        found.begin_epoch(40)
        kept += [degrees.clone() for degrees in found.turns]
    for k, name in enumerate(names):
        inputs, hidden = (torch.cat([a[:, k], b[:, k]]) for a, b in zip(first, second, strict=True))
        both = torch.cat([inputs, hidden], 1)
        assert torch.equal(inputs.sort(1).values, torch.arange(1, D + 1).expand(80, D).short())
        distinct = len(both.unique(dim=0))
        assert distinct == {"one": 1, "32 ": 32, "fre": 80}[name[:3]]
        if name != "fresh orders":
            assert torch.equal(both[:48], both[32:])
        assert (len(hidden.unique(dim=0)) > 1) == (name in ("32 random masks", "32 orders, random masks"))
        assert (len(inputs.unique(dim=0)) > 1) == ("orders" in name)


def test_a_network_halves_its_rate_and_ends_when_its_score_stays():
    config = {"halve_after": 2, "patience": 4, "min_delta": 0.5, "epochs": 50}
    state, clock, halved = stacked.State((False,)), stacked.Clock(1000), []
    for epoch, score in enumerate([9.0, 8.0, 7.9, 7.8, 8.1, 8.2, 8.3, 8.4]):
        gained = state.add(False, score)
        assert gained == (epoch < 4)
        halved += [epoch] if state.halves(config) else []
        state.stopped = state.ends(config, epoch + 1, clock)
        if state.stopped:
            break
    assert (halved, epoch, state.stopped) == ([5], 5, "patience")
    assert not state.add(False, 0.0)
    assert stacked.State((False,)).curves == {"train": [], False: []}


def test_what_a_budget_ended_is_trained_again_with_the_setting_of_the_search(tmp_path, monkeypatch):
    chosen = argparse.Namespace(device=CPU, precision="float32", seconds=1000, folder=tmp_path, toy=True)
    monkeypatch.setattr(mnist_many, "options", lambda *_: chosen)
    mnist_many.main()
    path = tmp_path / "mnist_many.json"
    document = json.loads(path.read_text())
    assert {row["stopped"] for row in document["runs"]} == {"epochs"}
    searched, ended = (run.select(document["runs"], stage=stage, study="masks") for stage in ("search", "final"))
    for row in ended:
        masks = {name: row[name] for name in ("order", "degrees", "n_masks")}
        best = min(run.select(searched, **masks), key=lambda other: other["valid"]["mean"])
        assert row["setting"]["lr"] == best["lr"]
    assert not any("test" in row for row in searched)
    for row in (searched[0], ended[0], ended[2]):
        row["stopped"], row["valid"] = "budget", {"mean": 0.0}
    path.write_text(json.dumps(document))
    mnist_many.main()
    after = json.loads(path.read_text())["runs"]
    assert [row["valid"] for row in after if row["stopped"] == "budget"] == [{"mean": 0.0}]  # of a search
    key = lambda row: json.dumps({name: row[name] for name in row["setting"] if name in row and name != "epochs"})
    assert sorted(map(key, after)) == sorted(map(key, document["runs"]))
    again = [row for row in after if row not in document["runs"]]
    assert len(again) == 2
    numbered = [row for row in after if "run" in row]
    assert [row for row in after if "test" in row] == numbered
    with np.load(tmp_path / "mnist_many_rows.npz") as stored:
        mixed = [f"mixture_costs_{row['run']}" for row in numbered if "mixture" in row]
        assert sorted(stored) == sorted([*(f"costs_{row['run']}" for row in numbered), *mixed])
        for row in numbered:
            costs = stored[f"costs_{row['run']}"].astype(np.float64)
            assert costs.mean() == pytest.approx(row["test"]["mean"], abs=0.001)
            if "mixture" in row:
                together = stored[f"mixture_costs_{row['run']}"].astype(np.float64)
                assert together.mean() == pytest.approx(row["mixture"]["test"]["mean"], abs=0.001)
                assert (together <= costs + 0.02).all()
