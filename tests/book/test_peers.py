"""Public packages under the six tests: what is recorded is what is found, where they are installed."""

import importlib
import re
import sys

import pytest
import torch
from chapters import BOOK
from results import result, select

from made.diagnostics import report

TESTS = ["slopes", "flips", "total", "entropy", "sampler", "hearing"]
PACKAGES = ["zuko", "nflows", "normflows", "pyro-ppl"]


@pytest.fixture(scope="module")
def peers():
    if str(BOOK / "experiments") not in sys.path:
        sys.path.insert(0, str(BOOK / "experiments"))
    return importlib.import_module("peers")


def need(peers, package):
    """Skip the test without the package."""
    if peers.installed(package) is None:
        pytest.skip(f"{package} is not installed: `make test` installs it")


def stable(row):
    """A row without the version, and without numbers that may differ in the last digits on another processor."""
    said = re.sub(r"chi-squared .* p = [\d.e-]+|rows cost .* nats|chance [\d.]+", "...", row["said"])
    return {**row, "said": said, "version": None}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_fresh_run_finds_what_is_recorded(peers, package):
    need(peers, package)
    fresh = list(peers.rows(peers.CONFIG, package))
    recorded = select(result("peers")["rows"], package=package)
    if fresh[0]["version"] != recorded[0]["version"]:
        pytest.skip(f"{package} is {fresh[0]['version']}, recorded is {recorded[0]['version']}")
    assert list(map(stable, fresh)) == list(map(stable, recorded))


def test_the_record_holds_all_tests_of_all_models_of_all_packages(peers):
    wanted = [
        (package, name, heard, test)
        for package in peers.PACKAGES
        for name, (owner, _, _) in peers.MODELS.items()
        if owner == package
        for heard in (False, True)
        if heard or name != "MixtureOfGaussiansMADE"
        for test in TESTS
    ]
    rows = result("peers")["rows"]
    assert [(row["package"], row["model"], row["context"], row["test"]) for row in rows] == wanted
    assert list(peers.PACKAGES) == PACKAGES


def test_all_are_distributions_and_two_packages_do_not_tell_the_first_variable_the_context():
    rows = result("peers")["rows"]
    failed = [row for row in rows if row["passed"] is False]
    assert failed == [
        row
        for row in select(rows, context=True, test="hearing")
        if row["package"] in ("nflows", "normflows")
    ]  # fmt: skip
    assert {row["said"] for row in failed} == {
        f"output {row['order'][0]}, the first generated, does not hear the context" for row in failed
    }
    networks = ("MaskedMLP", "MADE", "MADE, permute_mask=True", "AutoRegressiveNN")  # they have no sampler
    assert {(row["model"], row["test"]) for row in select(rows, passed=None)} == {(n, "sampler") for n in networks}


def test_orders_are_not_their_own_inverses_where_the_package_allows_it():
    for row in result("peers")["rows"]:
        own_inverse = [row["order"][i] for i in row["order"]] == list(range(len(row["order"])))
        natural_only = row["package"] in ("nflows", "normflows") and row["model"] not in (
            "MaskedAffineAutoregressiveTransform",
            "MADE, permute_mask=True",
        )
        assert own_inverse == natural_only


@pytest.mark.parametrize(("package", "build"), [("zuko", "zuko_network"), ("pyro-ppl", "pyro_network")])
def test_an_order_taken_for_its_inverse_would_show(peers, package, build):
    need(peers, package)
    model = peers.model_of(peers.CONFIG, getattr(peers, build), heard=False)
    model["order"] = torch.tensor(model["order"]).argsort().tolist()
    found = report(**model)
    assert [finding.name for finding in found.findings if finding.passed is False] == ["slopes", "flips", "hearing"]


def test_a_package_that_is_missing_is_left_out_of_a_toy_run_only(peers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers, "installed", lambda package: None)
    monkeypatch.setattr(sys, "argv", ["peers.py", "--toy", "--folder", str(tmp_path)])
    peers.main()
    assert capsys.readouterr().out.count("is not installed") == 4
    assert '"rows": []' in (tmp_path / "peers.json").read_text()
