"""Recorded results: the scripts still run, and shipped networks score what the records say."""

import importlib
import json
import os
import subprocess
import sys

import pytest
from checks import ROOT

import made

RESULTS = ROOT / "book" / "results"
SCRIPTS = sorted(path for path in (ROOT / "book" / "experiments").glob("*.py") if "\nCONFIG = " in path.read_text())


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
    assert recorded["config"] == json.loads(json.dumps(configuration(script)))
    assert recorded["experiment"] == script.stem
    assert recorded["seconds"] > 0
    assert recorded["machine"]["cpu"]
    assert recorded["versions"].keys() >= {"made", "torch", "numpy"}


def configuration(script):
    """The value of CONFIG in a script."""
    if str(script.parent) not in sys.path:
        sys.path.insert(0, str(script.parent))
    return importlib.import_module(script.stem).CONFIG


def test_records_of_many_runs_are_complete():
    for script in SCRIPTS:
        module = importlib.import_module(script.stem)
        if hasattr(module, "jobs"):
            runs = json.loads((RESULTS / f"{script.stem}.json").read_text())["runs"]
            assert list(runs) == [key for key, _ in module.jobs(module.CONFIG, runs)]


@pytest.mark.parametrize("name", ["natural", "random"])
def test_shipped_networks_score_what_is_recorded(name):
    folder = made.data.cache_folder()
    if not all((folder / file.name).exists() for file in made.data.FILES["mnist"]):
        pytest.skip(f"MNIST is not in {folder}")
    model = made.MADE.load(RESULTS / f"mnist_{name}.safetensors").float()
    measured = made.nll(model, made.data.load("mnist", cache_dir=folder).test)
    recorded = json.loads((RESULTS / "mnist.json").read_text())["models"][name]["test_nll"]
    assert measured.n == recorded["n"] == 10000
    assert measured.mean == pytest.approx(recorded["mean"], abs=0.01)
    assert measured.stderr == pytest.approx(recorded["stderr"], abs=0.001)


def test_the_network_for_any_order_scores_what_is_recorded():
    folder = made.data.cache_folder()
    if not all((folder / file.name).exists() for file in made.data.FILES["mnist"]):
        pytest.skip(f"MNIST is not in {folder}")
    model = made.MADE.load(RESULTS / "mnist_any_order.safetensors").float()
    recorded = json.loads((RESULTS / "any_order.json").read_text())
    with made.ensemble.using(model, model.draw(7)):
        measured = made.nll(model, made.data.load("mnist", cache_dir=folder).test)
    assert measured.mean == pytest.approx(recorded["test_each"][7], abs=0.01)
