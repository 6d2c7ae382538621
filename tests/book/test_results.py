"""Recorded results: the scripts still run, and shipped networks score what the records say."""

import json
import os
import subprocess
import sys

import pytest
from checks import ROOT

import made

RESULTS = ROOT / "book" / "results"
SCRIPTS = sorted(path for path in (ROOT / "book" / "experiments").glob("*.py") if "--toy" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_run_at_toy_size_and_leave_the_records_alone(script, tmp_path):
    before = {path: path.read_bytes() for path in RESULTS.iterdir()}
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, script, "--toy"], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (written,) = tmp_path.rglob("*.json")
    recorded = json.loads((RESULTS / written.name).read_text())
    assert json.loads(written.read_text()).keys() == recorded.keys()
    assert {path: path.read_bytes() for path in RESULTS.iterdir()} == before


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
