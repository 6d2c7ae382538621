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
import rivals

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
        assert section["versions"].keys() >= {"made", "torch", *rivals.PACKAGES}
        assert "not installed" not in section["versions"].values()
        assert section["company"].keys() == {"load", "niceness", "seconds", "waited"}


@pytest.mark.parametrize("field", ["machine", "versions", "code"])
def test_all_sections_of_the_record_are_of_one_machine_and_one_state_of_the_package(field):
    sections = json.loads(RESULT.read_text())["sections"].values()
    assert len({json.dumps(section[field]) for section in sections}) == 1


def test_every_row_of_the_record_says_whether_its_network_is_trained():
    for name, section in json.loads(RESULT.read_text())["sections"].items():
        kinds = {row["trained"] for row in section["rows"]}
        assert kinds <= {True, False}
        assert True in kinds or name in ("log_prob", "epoch", "until", "floor", "growth", "memory")


def model_of(order="natural", **options):
    """A network whose conditionals are far from uniform, so that a wrong sample would show."""
    model = made.MADE(9, (16, 16), order=order, seed=2, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("order", ["natural", "random"])
@pytest.mark.parametrize("name", rivals.PEERS)
def test_a_peer_is_the_same_function_and_draws_the_same_rows(name, order, direct):
    model = model_of(order, direct=direct)
    networks, absent = rivals.build_peers(model)
    if name in absent:
        pytest.skip(absent[name])
    x = made.diagnostics.states(model)
    with torch.no_grad():
        torch.testing.assert_close(rivals.logits(networks[name], x), model(x).squeeze(-1))
    u = made.sampling.uniforms(50, 9, torch.Generator().manual_seed(0))
    drawn = rivals.sample(networks[name], model.connectivity.order.tolist(), u)
    assert torch.equal(drawn, model.sample(50, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("direct", [True, False])
def test_an_unmasked_pass_is_a_forward_pass(direct):
    model = model_of(direct=direct)
    x = made.diagnostics.states(model)
    with torch.no_grad():
        torch.testing.assert_close(rivals.unmasked_pass(model)(x), model(x).squeeze(-1))


@pytest.mark.parametrize("start", [0, 1, 5, 8])
@pytest.mark.parametrize(("order", "direct"), [("natural", True), ("natural", False), ("random", True)])
def test_the_rival_by_hand_draws_the_same_rows(order, direct, start):
    model = model_of(order, direct=direct)
    u, given = made.sampling.uniforms(50, 9, torch.Generator().manual_seed(0)), None
    if start:
        given = model.sample(50, generator=torch.Generator().manual_seed(1))
        given[:, model.connectivity.order[start:]] = torch.nan
    wanted = model.sample(50, given=given, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rivals.EachUnitOnce(model)(u, given, start), wanted)
    assert wanted.unique(dim=0).shape[0] > 2
    if start:
        order = model.connectivity.order.tolist()
        assert torch.equal(rivals.sample(rivals.unmasked_pass(model), order, u, given, start), wanted)


def test_the_rival_by_hand_takes_a_pass_of_multiplications_at_most():
    """It is no straw man: every weight that masks leave is used once, or a little more in products of several units."""
    import speed

    model = model_of(direct=True)
    u = made.sampling.uniforms(10, 9, torch.Generator().manual_seed(0))
    rival = rivals.EachUnitOnce(model)
    layers = [*model.hidden, model.output, model.direct]
    used = speed.multiplications(lambda: rival(u))
    left = 10 * sum(int(layer.mask.sum()) for layer in layers)
    assert left <= used < 1.3 * left


def test_multiplications_are_counted():
    import speed

    a, b = torch.ones(2, 5), torch.ones(5, 3)
    assert speed.multiplications(lambda: torch.addmm(torch.zeros(3), a, b)) == 30
    assert speed.multiplications(lambda: torch.zeros(2, 3).addmm_(a, b)) == 30
    assert speed.multiplications(lambda: a @ b) == 30
