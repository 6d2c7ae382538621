"""Recorded results: the scripts still run, and shipped networks score what the records say."""

import importlib
import json
import os
import re
import subprocess
import sys

import numpy
import pytest
import torch
from chapters import BOOK

import made

RESULTS = BOOK / "results"
SCRIPTS = sorted(path for path in (BOOK / "experiments").glob("*.py") if "\nCONFIG = " in path.read_text())


@pytest.mark.processes
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_run_at_toy_size_and_leave_the_records_alone(script, tmp_path):
    before = {path: path.read_bytes() for path in RESULTS.iterdir() if path.is_file()}
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, script, "--toy"], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (written,) = tmp_path.rglob("*.json")
    recorded = json.loads((RESULTS / written.name).read_text())
    assert json.loads(written.read_text()).keys() == recorded.keys()
    assert {path: path.read_bytes() for path in RESULTS.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_records_were_made_with_the_configuration_of_their_script(script):
    recorded = json.loads((RESULTS / f"{script.stem}.json").read_text())
    assert recorded["config"] == json.loads(json.dumps(module(script.stem).CONFIG))
    assert recorded["experiment"] == script.stem
    assert recorded["seconds"] > 0
    assert recorded["machine"]["cpu"]
    assert recorded["versions"].keys() >= {"made", "torch", "numpy"}


def module(name):
    """A script of the folder of experiments, imported."""
    if str(BOOK / "experiments") not in sys.path:
        sys.path.insert(0, str(BOOK / "experiments"))
    return importlib.import_module(name)


def test_records_of_many_runs_are_complete():
    for script in SCRIPTS:
        experiment = module(script.stem)
        if hasattr(experiment, "jobs"):
            runs = json.loads((RESULTS / f"{script.stem}.json").read_text())["runs"]
            wanted = list(experiment.jobs(experiment.CONFIG, runs))
            assert [{key: row[key] for key in fields} for row, fields in zip(runs, wanted, strict=True)] == wanted


def keys(document):
    """All keys of a document, at any depth."""
    if isinstance(document, dict):
        yield from document
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from keys(part)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_no_key_has_to_be_parsed(path):
    """What tells rows apart are fields; a key is a name."""
    assert [key for key in keys(json.loads(path.read_text())) if re.search(r"\||^\d+$", key)] == []


def test_an_experiment_goes_on_where_it_was(tmp_path, monkeypatch):
    """Of four runs one fails; started again, only the runs that are missing are done, by their fields."""
    runner = module("run")
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["trial"])
    jobs = lambda config, runs: ({"data": data, "hidden": (seed,), "seed": seed} for data in "ab" for seed in (0, 1))
    done = []

    def measure(config, folder, data, hidden, seed):
        if len(done) == 2 and config["breaks"]:
            raise KeyboardInterrupt
        done.append((data, seed))
        return {"found": len(done), "stopped": "patience"}

    config = {"breaks": True}
    with pytest.raises(KeyboardInterrupt):
        runner.main("trial", "", config, {}, jobs, measure, "no time")
    document = json.loads((tmp_path / "trial.json").read_text())
    assert [row["found"] for row in document["runs"]] == [1, 2]
    monkeypatch.setitem(config, "breaks", False)
    (tmp_path / "trial.json").write_text(json.dumps({**document, "config": config}))
    runner.main("trial", "", config, {}, jobs, measure, "no time")
    assert done == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert len(json.loads((tmp_path / "trial.json").read_text())["runs"]) == 4
    runner.main("trial", "", {"breaks": False, "other": 1}, {}, jobs, measure, "no time")
    assert len(done) == 8  # another configuration starts afresh


def trial(config, folder, hidden, seed):
    """A run of an experiment: the wide network is worse on training rows, which is a violation."""
    found = {"setting": {"lr": 0.1}, "stopped": config["stopped"], "lowest_train": hidden + 0.01 * seed}
    return {**found, "costs": torch.full((3,), hidden + seed / 4), "mixture_costs": torch.zeros(3)}


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.processes)])
def test_rows_of_an_experiment_are_complete(tmp_path, monkeypatch, workers):
    runner = module("run")
    monkeypatch.setattr(sys, "argv", ["trial", "--folder", str(tmp_path), "--workers", workers])

    def jobs(config, runs):
        """Seed 2 only when the others are done."""
        for seed in (0, 1) if len(runs) < 4 else (0, 1, 2):
            yield from ({"hidden": hidden, "seed": seed} for hidden in (1, 2))

    pairs = lambda config: [({"hidden": 1}, {"hidden": 2}), ({"hidden": 2}, {"hidden": 1})]
    runner.main("trial", "", {"stopped": "patience"}, {}, jobs, trial, "no time", pairs)
    document = json.loads((tmp_path / "trial.json").read_text())
    fields = [(run["hidden"], run["seed"]) for run in document["runs"]]
    assert fields == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]
    assert document["violations"] == [{"smaller": {"hidden": 1}, "larger": {"hidden": 2}, "worse_by": 1.0}]
    with numpy.load(tmp_path / "trial_rows.npz") as costs:
        assert len(costs) == 12
        for run in document["runs"]:
            assert run["setting"] == {"hidden": run["hidden"], "seed": run["seed"], "lr": 0.1}
            assert costs[f"costs_{run['run']}"].tolist() == [run["hidden"] + run["seed"] / 4] * 3
    with pytest.raises(ValueError, match="does not say why its training ended"):
        runner.as_row({"seed": 0}, {"test": 1.0})


@pytest.mark.parametrize("options", [{}, {"direct": False}, {"context_features": 3}])
def test_parameters_that_a_mask_forbids_do_not_count(options):
    """Those that count have a gradient."""
    model = made.MADE(4, (5,), activation="tanh", degrees="random", n_masks=2, mask_conditioning=True, **options)
    context = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)) if options.get("context_features") else None
    out = model(torch.ones(9, 4), context)
    (out * torch.arange(1.0, 5).view(4, 1)).sum().backward()
    learning = sum(int(p.grad.count_nonzero()) for p in model.parameters())
    assert made.diagnostics.count_parameters(model) == learning < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("direct", [True, False])
def test_slips_are_trained_without_dead_units_which_changes_nothing(direct):
    """Outputs are the same, and so are all gradients that are not zero."""
    slips = module("slips")
    x = torch.rand(20, 16, generator=torch.Generator().manual_seed(0)).round()
    whole = slips.PostNetwork(16, [60, 60], True, False, direct, slips.CONFIG, 0).eval()
    smaller, gradients = slips.without_dead(whole), []
    assert torch.allclose(whole(x), smaller(x), atol=1e-6)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in whole.parameters()) / 5
    for network in (whole, smaller):
        network.losses(x).mean().backward()
        gradients.append([p.grad[p.grad != 0] for p in network.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", ["natural", "random"])
def test_shipped_networks_score_what_is_recorded(name):
    folder = made.data.cache_folder()
    if not all((folder / file.name).exists() for file in made.data.DATASETS["mnist"].files):
        pytest.skip(f"MNIST is not in {folder}")
    model = made.MADE.load(RESULTS / f"mnist_{name}.safetensors").float()
    measured = made.nll(model, made.data.load("mnist", cache_dir=folder).test)
    recorded = json.loads((RESULTS / "mnist.json").read_text())["models"][name]["test_nll"]
    assert measured.n == recorded["n"] == 10000
    assert measured.mean == pytest.approx(recorded["mean"], abs=0.01)
    assert measured.stderr == pytest.approx(recorded["stderr"], abs=0.001)


def test_the_pixelcnn_scores_what_is_recorded():
    folder = made.data.cache_folder()
    if not all((folder / file.name).exists() for file in made.data.DATASETS["mnist"].files):
        pytest.skip(f"MNIST is not in {folder}")
    network = module("pixelcnn").load(RESULTS / "mnist_pixelcnn.safetensors")
    recorded = json.loads((RESULTS / "pixelcnn.json").read_text())
    measured = made.nll(network, made.data.load("mnist", cache_dir=folder).test[:2000], batch_size=500)
    assert measured.mean == pytest.approx(recorded["test_first_2000"], abs=0.01)
    assert module("other_models").parameters_that_count(network) == recorded["parameters"]


def test_a_pixelcnn_comes_back_from_its_file_without_what_its_masks_forbid(tmp_path):
    experiment = module("pixelcnn")
    setting = {"channels": 3, "dilations": [1, 2], "first": 5}
    model = experiment.square(16, setting, seed=1)
    torch.nn.init.constant_(model.first.place, 0.1)
    model = model.half().float().eval()
    experiment.save(model, setting, tmp_path / "small")
    again, x = experiment.load(tmp_path / "small"), torch.eye(16)
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    assert (again.first.weight[:, :, ~again.first.mask] == 0).all()


def test_a_wide_pixelcnn_is_a_distribution_and_its_sampler_is_exact():
    """Dilated layers and biases of places keep what other_models.py is tested for."""
    model = module("pixelcnn").square(9, {"channels": 6, "dilations": [1, 2], "first": 3}, seed=1).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
        model.first.place.copy_(torch.arange(54.0).view(1, 6, 3, 3).sin())
        states = torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * 9)
        assert model.log_prob(states).exp().sum().item() == pytest.approx(1)
    u = made.sampling.uniforms(200, 9, torch.Generator().manual_seed(0))
    assert torch.equal(model.draw(u), module("other_models").sample_naive(model, u))
    slopes = torch.autograd.functional.jacobian(lambda x: model(x)[0], states[300:301])[:, 0]
    assert torch.equal(slopes.triu(), torch.zeros(9, 9).double())
    assert (slopes[1:, 0] != 0).any()


def test_the_network_for_any_order_scores_what_is_recorded():
    folder = made.data.cache_folder()
    if not all((folder / file.name).exists() for file in made.data.DATASETS["mnist"].files):
        pytest.skip(f"MNIST is not in {folder}")
    model = made.MADE.load(RESULTS / "mnist_any_order.safetensors").float()
    recorded = json.loads((RESULTS / "any_order.json").read_text())
    measured = made.nll(model.under(model.draw(7)), made.data.load("mnist", cache_dir=folder).test)
    assert measured.mean == pytest.approx(recorded["test_each"][7], abs=0.01)
