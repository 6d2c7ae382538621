"""What does not carry a verdict is refused: each kind is planted once, in a result file of its own."""

import json
import math
import operator

import evidence
import numpy
import pytest
import results
from scipy import stats

N = 50


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of results."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget():
    """Forget the files that were read."""
    for cached in (results.result, evidence._stored):
        cached.cache_clear()


def plant(folder, gain=1.0, seeds=(0, 1, 2), noise=0.5, **changes):
    """Runs of two widths; the wide ones cost ``gain`` less. ``changes`` are put into the last run."""
    generator = numpy.random.default_rng(0)
    rows, costs, base = [], {}, generator.normal(20, 4, N)
    for hidden in ([8], [32]):
        for seed in seeds:
            number = len(rows)
            setting = {"hidden": hidden, "seed": seed, "lr": 0.01}
            row = {"hidden": hidden, "seed": seed, "setting": setting, "stopped": "patience", "run": number}
            rows.append(
                {**row, "lowest_train": 18.0 - 0.1 * hidden[0] + 0.01 * seed, "test": {"mean": 20.0, "stderr": 0.5}}
            )
            costs[f"costs_{number}"] = base - gain * (hidden == [32]) + generator.normal(0, noise, N)
    rows[-1] |= changes
    (folder / "trial.json").write_text(json.dumps({"runs": rows}))
    numpy.savez(folder / "trial_rows.npz", **costs)
    forget()
    return costs


def compare(**options):
    return evidence.compare("trial", {"hidden": [8]}, {"hidden": [32]}, **{"differs": ["hidden"], **options})


def test_the_mean_and_the_error_are_those_of_paired_rows(folder):
    costs = plant(folder)
    found = compare(contains=True)
    d = numpy.stack([costs[f"costs_{k}"] - costs[f"costs_{k + 3}"] for k in range(3)])
    assert found.mean == pytest.approx(d.mean())
    assert found.stderr == pytest.approx(math.hypot(stats.sem(d.mean(0)), stats.sem(d.mean(1))))
    assert found.seeds == pytest.approx(d.mean(1), abs=1e-4)
    assert (found.sign, found.differs) == (1, ("hidden",))
    unpaired = stats.sem(costs["costs_0"])
    assert found.stderr < unpaired / 3  # that is what pairing is for


@pytest.mark.parametrize(
    "reason", ["epochs", "budget", "interrupted", "not finite", None, "time", "max_epochs", "epoch 7 ended in nan"]
)
def test_a_run_that_a_limit_ended_is_refused(folder, reason):
    plant(folder, stopped=reason)
    with pytest.raises(evidence.NotCarried, match="ended"):
        compare()
    with pytest.raises(evidence.NotCarried, match="ended"):
        evidence.runs("trial")
    with pytest.raises(evidence.NotCarried, match="ended"):
        evidence.score("trial", hidden=[32])
    assert len(evidence.runs("trial", hidden=[8])) == 3
    before = len(evidence.read_unsettled)
    assert len(evidence.unsettled("trial")) == 6
    assert evidence.read_unsettled[before:] == ["trial"]


def test_a_part_that_a_limit_ended_is_refused(folder):
    plant(folder, parts=[{"stopped": "patience"}, {"stopped": "epochs"}])
    with pytest.raises(evidence.NotCarried, match="'epochs'"):
        evidence.runs("trial")


@pytest.mark.parametrize(
    "setting", [{"hidden": [32], "seed": 2, "lr": 0.1}, {"hidden": [32], "seed": 2, "lr": 0.01, "dropout": 0.5}]
)
def test_what_differs_has_to_be_named(folder, setting):
    plant(folder, setting=setting)
    with pytest.raises(evidence.NotCarried, match=r"differ in more than is named: (lr|dropout)"):
        compare()
    assert compare(differs=["hidden", "lr", "dropout"]).sign == 1
    plant(folder, setting=None)
    forget()
    with pytest.raises(evidence.NotCarried, match="does not say with which setting"):
        compare()


@pytest.mark.parametrize(("gain", "noise", "sign"), [(0.02, 1.0, 0), (0.0, 0.5, 0), (-1.0, 0.5, -1), (1.0, 0.5, 1)])
def test_a_sign_that_the_error_does_not_carry_is_none(folder, gain, noise, sign):
    plant(folder, gain=gain, noise=noise)
    assert compare().sign == sign


def test_seeds_have_to_agree():
    assert evidence.Difference(1.0, 0.1, (1.9, 1.5, -0.4)).sign == 0
    assert evidence.Difference(1.0, 0.1, (1.9, 1.5, 0.4)).sign == 1


def test_a_network_that_contains_the_other_may_not_be_worse_on_training_rows(folder):
    plant(folder)
    document = json.loads((folder / "trial.json").read_text())
    for row in document["runs"][3:]:
        row["lowest_train"] += 10
    (folder / "trial.json").write_text(json.dumps(document))
    forget()
    assert compare().sign == 1
    with pytest.raises(evidence.NotCarried, match=r"worse on training rows by 7\.60"):
        compare(contains=True)


def test_runs_are_paired_by_seed(folder):
    plant(folder, seed=7)
    with pytest.raises(evidence.NotCarried, match="the seeds differ"):
        compare()
    plant(folder, seed=0)
    forget()
    with pytest.raises(ValueError, match="several runs have the same seed"):
        compare()


def test_without_costs_of_rows_there_is_no_paired_error(folder):
    plant(folder, run=99)
    with pytest.raises(evidence.NotCarried, match="no costs of its test rows"):
        compare()


@pytest.mark.parametrize(
    "operation", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, operator.sub]
)
def test_scores_are_not_compared_by_themselves(folder, operation):
    plant(folder)
    first, second = (evidence.score("trial", hidden=hidden) for hidden in ([8], [32]))
    assert f"{first:.1f} {second:.1f}" == "20.0 20.0"
    with pytest.raises(evidence.NotCarried, match="use compare"):
        operation(first, second)


def test_a_history_is_settled_only_by_patience():
    import made

    x = made.data.load("digits").train[:50, :4]
    ended, cut = (made.fit(made.MADE(4, (3,)), x, x, epochs=n, patience=1, lr=0.5, progress=False) for n in (200, 1))
    assert evidence.settled(ended) is ended
    with pytest.raises(evidence.NotCarried, match="'epochs'"):
        evidence.settled(cut)


def test_recorded_differences_join_the_errors_of_rows_and_of_seeds():
    rows = [{"stopped": "patience", "saved": {"by": {"mean": mean, "stderr": 0.3}}} for mean in (1.0, 1.2, 1.4)]
    found = evidence.recorded(rows, "saved", "by")
    assert found.mean == pytest.approx(1.2)
    assert found.stderr == pytest.approx(math.hypot(0.3, stats.sem([1.0, 1.2, 1.4])))
    assert found.sign == 1
    with pytest.raises(evidence.NotCarried, match="ended by 'budget'"):
        evidence.recorded([*rows, {**rows[0], "stopped": "budget"}], "saved", "by")


def test_scores_on_other_rows_have_both_errors():
    first, second = evidence.Score(80.0, 0.3, 2), evidence.Score(81.0, 0.4, 2)
    assert evidence.against(first, second) == (1.0, pytest.approx(0.5), (1.0, 1.0), ("rows",))
    assert (evidence.against(first, second).sign, evidence.against(first, 81.0).sign) == (0, 1)


@pytest.mark.parametrize("cost", [math.nan, math.inf, 70000.0])
def test_costs_that_are_not_finite_are_refused(folder, cost):
    costs = plant(folder)
    costs["costs_4"][0] = cost
    with numpy.errstate(over="ignore"):
        numpy.savez(folder / "trial_rows.npz", **{key: value.astype(numpy.float16) for key, value in costs.items()})
    forget()
    with pytest.raises(evidence.NotCarried, match="not finite"):
        compare()


def test_costs_of_other_rows_are_not_paired(folder):
    with pytest.raises(evidence.NotCarried, match="are not paired"):
        evidence.paired([[1.0, 2.0, 3.0]], [[1.0]])


def test_a_seed_that_changed_nothing_does_not_count_twice(folder):
    costs = plant(folder)
    costs["costs_1"], costs["costs_4"] = costs["costs_0"], costs["costs_3"]
    numpy.savez(folder / "trial_rows.npz", **costs)
    forget()
    with pytest.raises(evidence.NotCarried, match="the same costs"):
        compare()


def test_a_violation_that_the_file_reports_is_seen(folder):
    plant(folder)
    document = json.loads((folder / "trial.json").read_text())
    violation = {"smaller": {"hidden": [8]}, "larger": {"hidden": [32]}, "worse_by": 1.0}
    (folder / "trial.json").write_text(json.dumps({**document, "violations": [violation]}))
    forget()
    with pytest.raises(evidence.NotCarried, match="worse on training rows"):
        compare()  # which does not say contains=True
    with pytest.raises(evidence.NotCarried, match="worse on training rows"):
        evidence.compare("trial", {"hidden": [32]}, {"hidden": [8]}, differs=["hidden"])


def test_runs_of_one_side_differ_in_their_seeds_only(folder):
    plant(folder)
    document = json.loads((folder / "trial.json").read_text())
    for row in document["runs"][2::3]:  # both sides alike: no pair differs in it
        row["setting"]["lr"] = 0.1
    (folder / "trial.json").write_text(json.dumps(document))
    forget()
    with pytest.raises(evidence.NotCarried, match="more than their seeds: lr"):
        evidence.score("trial", hidden=[8])


def test_the_error_of_a_score_is_that_of_seeds_too(folder):
    plant(folder, test={"mean": 26.0, "stderr": 0.5})  # the others score 20
    found = evidence.score("trial", hidden=[32])
    assert found.stderr == pytest.approx(math.hypot(0.5, stats.sem([20, 20, 26])))
    assert evidence.against(found, 24.0).sign == 0
