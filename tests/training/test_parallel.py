"""made/training/parallel.py: two processes that torchrun starts train as one process would."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from made.training.parallel import Group

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_in_parallel.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
SAME = ["plain", "masks", "fresh masks", "accumulate", "amp", "context", "dataset", "memmap", "loader", "single rows"]
CASES = [*SAME, "patience", "noise", "diverges"]

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch without gloo")


def start(command, folder, *cases):
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
    with open(folder / "errors", "w") as errors:
        return subprocess.Popen([*command, SCRIPT, folder, *cases], env=environment, stdout=errors, stderr=errors)


def finish(process, folder, seconds=180):
    """Wait for the end, and return what was printed."""
    try:
        process.wait(seconds)
    finally:
        kill(process)
    return (folder / "errors").read_text()


def kill(process):
    """Kill a process and all that it started, at once; torchrun puts its workers into sessions of their own."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for victim in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
    process.wait()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What came out of every case, in one process and in each of two."""
    alone, together = (tmp_path_factory.mktemp(name) for name in ("alone", "together"))
    processes = [start([sys.executable], alone, *CASES), start(TORCHRUN, together, *CASES)]
    for process, folder in zip(processes, (alone, together), strict=True):
        errors = finish(process, folder)
        assert process.returncode == 0, errors
    return {case: [torch.load(folder / f"{case}.pt") for folder in (alone, together)] for case in CASES}


@pytest.mark.processes
@pytest.mark.parametrize("case", [*SAME, "patience"])
def test_two_processes_train_as_one(case, trained):
    (one,), two = trained[case]
    assert (one["world"], [found["world"] for found in two]) == (1, [2, 2])
    tolerance = 1e-3 if case == "amp" else 1e-10
    for found in two:
        assert found["history"]["stopped"] == one["history"]["stopped"]
        assert found["history"]["best_epoch"] == one["history"]["best_epoch"]
        for part in ("train", "valid"):
            assert found["history"][part] == pytest.approx(one["history"][part], abs=tolerance)
        assert found["weights"].keys() == one["weights"].keys()
        for name, weight in found["weights"].items():
            assert torch.allclose(weight, one["weights"][name], rtol=0, atol=10 * tolerance), name
    assert two[0]["history"] == two[1]["history"]
    for name, weight in two[0]["weights"].items():
        assert torch.equal(weight, two[1]["weights"][name])  # processes never drift apart


@pytest.mark.processes
def test_the_cases_differ(trained):
    losses = [tuple(trained[case][0][0]["history"]["train"]) for case in ("plain", "masks", "context", "loader", "amp")]
    assert len(set(losses)) == len(losses)
    assert trained["patience"][0][0]["history"]["stopped"] == "patience"


@pytest.mark.processes
def test_rows_are_divided_and_noise_is_not_shared(trained):
    (one,), (first, second) = trained["noise"]
    assert one["sizes"] == [10, 10, 10, 10, 1] * 4
    assert first["sizes"] == [5, 5, 5, 5, 1] * 4
    assert second["sizes"] == [5, 5, 5, 5] * 4  # nothing left of the last row
    assert not set(first["noise"]) & set(second["noise"])


@pytest.mark.processes
def test_the_global_generator_is_left_alone(trained):
    assert all(found["same_generator"] for case in SAME for both in trained[case] for found in both)


@pytest.mark.processes
def test_all_processes_notice_that_training_diverges(trained):
    (one,), two = trained["diverges"]
    assert "the training loss of epoch" in one["error"]
    assert [found["error"] for found in two] == [one["error"]] * 2
    assert [found["rank"] for found in two] == [0, 1]


def test_alone_nothing_is_exchanged():
    model = torch.nn.Linear(2, 1)
    group = Group.join()
    assert (group.rank, group.world) == (0, 1)
    assert group.sum(1.5, 2) == [1.5, 2]
    assert group.gather("x") == ["x"]
    group.share(model)
    group.add_gradients(model)
    assert model.weight.grad is None
