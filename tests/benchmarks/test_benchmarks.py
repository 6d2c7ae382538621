"""The benchmarks run, compare like with like, and the recorded result is complete."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import made

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
import peers

RESULT = FOLDER.parents[1] / "book" / "results" / "speed.json"


@pytest.mark.processes
def test_the_suite_runs_at_toy_size_and_leaves_the_record_alone(tmp_path):
    before = RESULT.read_bytes()
    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, FOLDER / "speed.py", "--toy"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (written,) = tmp_path.rglob("*.json")
    toy, recorded = json.loads(written.read_text()), json.loads(before)
    assert toy.keys() == recorded.keys()
    assert toy["sections"].keys() == recorded["sections"].keys()
    for name, section in recorded["sections"].items():
        assert section.keys() == toy["sections"][name].keys()
        assert section["rows"][0].keys() == toy["sections"][name]["rows"][0].keys()
    assert RESULT.read_bytes() == before


def test_the_record_names_machine_and_versions_of_every_peer():
    for section in json.loads(RESULT.read_text())["sections"].values():
        assert section["machine"]["cpu"]
        assert section["versions"].keys() >= {"made", "torch", *peers.PACKAGES}
        assert "not installed" not in section["versions"].values()


@pytest.mark.parametrize("name", peers.PEERS)
def test_contenders_compute_the_same_kind_of_function(name):
    try:
        network = peers.PEERS[name](8, [16, 16]).double().eval()
    except ImportError as error:
        pytest.skip(str(error))
    x = (torch.rand(8, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    jacobian = torch.autograd.functional.jacobian(lambda row: peers.logits(network, row[None])[0], x)
    assert not jacobian.triu().any()  # no output sees its own variable or a later one
    assert jacobian.tril(-1).any()
    widths = sorted({p.shape[0] for p in network.parameters() if p.dim() == 2})
    assert widths == [8, 16]


def test_weights_masked_once_are_the_same_model():
    model = made.MADE(8, (16, 16), direct=False).double()
    x = made.diagnostics.states(model)
    with torch.no_grad():
        assert torch.allclose(peers.masked_once(model).double()(x), model(x).squeeze(-1))


@pytest.mark.parametrize("direct", [True, False])
def test_an_unmasked_pass_is_a_forward_pass(direct):
    model = made.MADE(8, (16,), direct=direct)
    x = made.diagnostics.states(model)
    with torch.no_grad():
        assert torch.allclose(peers.unmasked_pass(model)(x), model(x).squeeze(-1), atol=1e-6)
