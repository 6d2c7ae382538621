"""The ledger is complete, and says what the result files say."""

import ast
import inspect
import json

import chapters
import checks
import claims
import evidence
import ledger
import numpy
import pytest
import results


def headings(chapter):
    return {title for _, title in chapters.headings(chapters.prose(chapters.read(chapters.path_of(chapter))))}


def test_the_page_is_what_its_script_writes():
    assert ledger.PAGE.read_text() == ledger.page(), "run: python book/tools/ledger.py"


def test_every_equation_is_listed_once_with_its_check():
    book = "\n\n".join(chapters.prose(chapters.read(path)) for path in chapters.PATHS)
    tags = [tag for found in chapters.equation_tags(book) for tag in found]
    listed = list(ledger.equations())
    assert [tag for tag, *_ in listed] == tags
    for tag, chapter, _, number in listed:
        cells = chapters.code_cells(chapters.read(chapters.path_of(chapter)))
        assert tag in cells[number - 1].source
        assert cells[number - 1].execution_count == number


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.text[:40])
def test_every_claim_leads_somewhere(claim):
    assert claim.heading in headings(claim.chapter)


@pytest.mark.parametrize(
    "note",
    ["direct connection", "bug", "indexes", "random order", "learning phase", "custom layer", "below 90", "99 nats"],
)
def test_every_note_of_the_post_is_taken_up(note):
    assert any(claim.source == claims.POST and note in claim.text.lower() for claim in claims.CLAIMS)


def test_every_network_that_is_shipped_has_its_card():
    assert {name for name, *_ in ledger.networks()} == {
        path.name for path in (chapters.BOOK / "results").glob("*.safetensors")
    }


# ---- what is refused: each kind is planted once --------------------------------------------------------------------


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A function that puts a claim in the place of all others, and writes the file it reads, with two kinds of runs.

    ``changes`` are put into the last run.
    """
    monkeypatch.setattr(results, "RESULTS", tmp_path)

    def planted(measure, verdict="Yes.", gain=1.0, **changes):
        rows, costs = [], {}
        for number in range(4):
            direct, seed = number > 1, number % 2
            setting = {"direct": direct, "lr": 0.1, "seed": seed}
            rows.append({"direct": direct, "seed": seed, "setting": setting, "stopped": "patience", "run": number})
            costs[f"costs_{number}"] = numpy.random.default_rng(number).normal(20 - gain * direct, 1, 100)
        rows[-1] |= changes
        (tmp_path / "trial.json").write_text(json.dumps({"runs": rows}))
        numpy.savez(tmp_path / "trial_rows.npz", **costs)
        monkeypatch.setattr(ledger, "CLAIMS", [claims.CLAIMS[0]._replace(measure=measure, verdict=verdict)])

    # the real files come back from the disk, so what was read of them is forgotten before and after
    for cached in (results.result, evidence._stored):
        cached.cache_clear()
    yield planted
    for cached in (results.result, evidence._stored):
        cached.cache_clear()


def direct_is_better(differs=("direct",)):
    """A claim: the runs with direct connections cost less."""
    saved = evidence.compare("trial", {"direct": False}, {"direct": True}, differs=differs)
    return str(saved), saved.sign == 1


def ended_anyhow():
    return f"{len(evidence.unsettled('trial'))} runs", True


def test_what_is_carried_is_written(plant, monkeypatch):
    plant(direct_is_better)
    assert "(2 seeds)" in ledger.carried(ledger.CLAIMS[0])


def test_a_claim_that_reads_a_run_ended_by_a_limit_is_refused(plant):
    plant(direct_is_better, stopped="epochs")
    with pytest.raises(evidence.NotCarried, match="ended by 'epochs'"):
        ledger.page()


def test_unsettled_runs_carry_no_verdict_but_that_they_are_not_settled(plant):
    plant(ended_anyhow, stopped="budget")
    with pytest.raises(evidence.NotCarried, match="must begin 'Not settled', as it reads trial"):
        ledger.page()
    plant(ended_anyhow, verdict="Not settled: the time was up.", stopped="budget")
    assert ledger.carried(ledger.CLAIMS[0]) == "4 runs"


def test_a_claim_that_compares_rows_which_differ_in_more_than_it_names_is_refused(plant):
    plant(direct_is_better, setting={"direct": True, "lr": 0.2, "seed": 1})
    with pytest.raises(evidence.NotCarried, match="differ in more than is named: lr"):
        ledger.page()
    plant(lambda: direct_is_better(differs=("direct", "lr")), setting={"direct": True, "lr": 0.2, "seed": 1})
    assert ledger.carried(ledger.CLAIMS[0])


@pytest.mark.parametrize("gain", [0.1, -1.0])
def test_a_claim_whose_sign_is_not_carried_by_its_paired_error_is_refused(plant, gain):
    plant(direct_is_better, gain=gain)
    with pytest.raises(ValueError, match="does not hold"):
        ledger.page()


def test_claims_compare_no_scores_and_read_trainings_as_evidence():
    tree = ast.parse(inspect.getsource(claims))
    assert checks.compared_scores(tree) == []
    assert checks.bare_means(tree) == []
    module_level = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    at_import = [call for node in module_level for call in ast.walk(node) if isinstance(call, ast.Call)]
    assert not [call for call in at_import if ast.unparse(call.func).endswith(("unsettled", "runs"))]
    read = [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("result")
    ]
    assert {ast.unparse(argument) for argument in read} <= {
        "'wide'"
    }  # its mixtures; their networks are asked for first


@pytest.mark.parametrize("source", ["a.mean > b.mean", "a.mean < 3", "x['test']['mean'] < y['test']['mean']"])
def test_a_mean_is_compared_with_its_error(source):
    assert checks.bare_means(ast.parse(source)) == [1]
    assert checks.bare_means(ast.parse("a.mean - 2 * a.stderr > b.mean + 2 * b.stderr")) == []
