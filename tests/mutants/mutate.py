"""Do the tests have teeth? Make small mistakes in the lesson, one at a time, and see a test go red for each.

Run by hand, with ``make mutants`` or for a part of it::

    python tests/mutants/mutate.py                        # all of the lesson: hours
    python tests/mutants/mutate.py masks sampling         # some modules of the package ("training.loop" is one, too)
    python tests/mutants/mutate.py --only build_masks     # functions whose name holds a word
    python tests/mutants/mutate.py --sample 100 --seed 1  # some mutants, drawn at random
    python tests/mutants/mutate.py --survivors            # once more those that no test noticed, with new tests perhaps
    python tests/mutants/mutate.py --equivalent           # those said to change nothing: does no test notice them?

What was judged is kept in ``tests/mutants/judged.jsonl``, so that a run that was stopped goes on where it was. A run
over the lesson, or a sample of it, writes ``results.json``: what is known by then of all mutants of the lesson. Mutants
that change nothing a test could see are named in ``equivalent.toml``, with the reason.

Every mutant is judged in a process of its own, which is forked when the slow libraries are loaded already. It puts the
changed package into a folder and runs first the module's own tests, then all others of the lesson, up to the first
that fails. A test that needs more than a minute of the processor's time has failed as well.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
from operators import Mutant, mutants_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTS = ROOT / "tests"
LESSON = ["masks", "likelihoods", "layers", "model", "sampling", "ensemble", "autoencoder", "diagnostics"]
LIBRARIES = ["torch", "numpy", "scipy.stats", "matplotlib.pyplot", "safetensors.torch", "sklearn.utils"]
FEW = ["D1", "D3-cycle", "D3-cycle-categorical", "D3-cycle-context", "D7-residual-random-degrees", "D3-cycle-columns",
       "D8-several-orders", "D8-everything", "D7-everything-real"]  # configurations that notice most  # fmt: skip
SECONDS_PER_TEST, SECONDS_PER_MUTANT = 60, 3600  # the first of the processor, the second of the clock
LOG, RESULTS = HERE / "judged.jsonl", HERE / "results.json"


class Verdict(NamedTuple):
    """What became of a mutant: "killed" or "survived", by which test, and in how many seconds of the processor."""

    result: str
    by: str
    seconds: float


def source_file(module: str) -> Path:
    """Where a module of the package is."""
    return ROOT / "made" / f"{module.replace('.', '/')}.py"


def stages(module: str) -> list[list[str]]:
    """Test files to run one after the other: the module's own, then the lesson's, or for another module all others."""
    *folder, name = module.split(".")
    own = TESTS.joinpath(*folder, f"test_{name}.py")
    lesson = [TESTS / f"test_{name}.py" for name in ["invariants", *LESSON]]
    others = lesson if module in LESSON else sorted([*own.parent.glob("test_*.py"), *TESTS.glob("test_*.py")])
    left_out = [own, *(TESTS / f"test_{name}.py" for name in ["mistakes", "project", "package", "architecture"])]
    rest = list(dict.fromkeys(str(path) for path in others if path not in left_out))
    return [[str(own)], rest] if own.exists() else [rest]


class Watch:
    """A pytest plugin: likely tests first, a limit to each, and the name of the first that fails."""

    def __init__(self, folder: Path, first: list[str]) -> None:
        self.folder, self.first = folder, {name: place for place, name in enumerate(first)}

    def pytest_sessionstart(self) -> None:
        """Hypothesis need not look for the simplest example that fails."""
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("mutants", hypothesis.settings.default, phases=phases)
        hypothesis.settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """First what noticed a mutant before, then configurations that notice most, then the others."""
        few = lambda item: getattr(getattr(item, "callspec", None), "params", {}).get("name") in FEW
        items.sort(key=lambda item: (self.first.get(item.nodeid, len(self.first)), not few(item)))

    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """End the process if the test takes too much of the processor's time."""
        (self.folder / "running").write_text(item.nodeid)
        signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_TEST)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down which test failed."""
        if report.failed:
            (self.folder / "failed").write_text(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Write down which file could not even be imported."""
        if report.failed:
            (self.folder / "failed").write_text(report.nodeid)


def run_tests(folder: Path, module: str, files: list[str], first: list[str]) -> int:
    """Run tests on the package in a folder, in this process; pytest's exit code."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS_PER_TEST)
    sys.dont_write_bytecode = True
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "book" / "tools")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    sys.path[:0] = [str(folder), str(TESTS)]
    os.chdir(folder)
    options = ["-q", "-x", "--tb=no", "-p", "no:cacheprovider", "-p", "no:nbval", "-o", "addopts="]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # libraries are loaded already
    options += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    if len(files) == 1:
        files = [*files, "--doctest-modules", str(folder / "made" / source_file(module).relative_to(ROOT / "made"))]
    code = int(pytest.main([*options, *files], plugins=[Watch(folder, first)]))
    package = sys.modules.get("made")
    if package is not None and Path(package.__file__).parent != folder / "made":
        raise SystemExit(f"the package tested is {package.__file__}")
    return code


def fork(folder: Path, module: str, files: list[str], first: list[str]) -> int:
    """Start a process that runs tests and exits with pytest's code; its number."""
    for name in ("failed", "running", "output"):
        (folder / name).unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setpgid(0, 0)
        output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.alarm(SECONDS_PER_MUTANT)
        code = run_tests(folder, module, files, first)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Trial:
    """A mutant that is being judged, in a folder of its own."""

    def __init__(self, mutant: Mutant, killers: list[str]) -> None:
        self.mutant, self.killers, self.seconds = mutant, killers, 0.0
        self.folder = Path(tempfile.mkdtemp(prefix="mutant-"))
        shutil.copytree(ROOT / "made", self.folder / "made", ignore=shutil.ignore_patterns("__pycache__"))
        changed = self.folder / source_file(mutant.module).relative_to(ROOT)
        changed.write_text(mutant.source)
        self.stages = stages(mutant.module)
        self.start()

    def start(self) -> None:
        """Run the next stage."""
        self.pid = fork(self.folder, self.mutant.module, self.stages.pop(0), self.killers[-40:][::-1])

    def read(self, name: str) -> str:
        """What the process has left in a file."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def ended(self, status: int, seconds: float) -> Verdict | None:
        """What follows from the end of a stage; None if another one was started."""
        self.seconds += seconds
        self.kill()  # what the tests have started and not ended
        code = os.waitstatus_to_exitcode(status)
        if code == 0 and self.stages:
            self.start()
            return None
        if code < 0:
            return Verdict("killed", f"{self.read('running') or 'import'} (ended by signal {-code})", self.seconds)
        if code == 0:
            return Verdict("survived", "", self.seconds)
        if not self.read("failed"):
            raise SystemExit(f"pytest ended with {code} for {self.mutant.key}:\n{self.read('output')[-3000:]}")
        return Verdict("killed", self.read("failed"), self.seconds)

    def kill(self) -> None:
        """End the process and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def judge(mutants: list[Mutant], workers: int) -> Iterator[tuple[Mutant, Verdict]]:
    """Judge mutants, several at a time; yields each with its verdict as soon as there is one."""
    killers: dict[str, list[str]] = {}  # of each module, the latest last
    waiting, running = mutants[::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                mutant = waiting.pop()
                trial = Trial(mutant, killers.setdefault(mutant.module, []))
                running[trial.pid] = trial
            pid, status, usage = os.wait4(-1, 0)
            trial = running.pop(pid)
            verdict = trial.ended(status, usage.ru_utime + usage.ru_stime)
            if verdict is None:
                running[trial.pid] = trial
                continue
            trial.clear()
            known = killers[trial.mutant.module]
            known[:] = [test for test in known if test != verdict.by] + [verdict.by]
            yield trial.mutant, verdict
    finally:
        for trial in running.values():
            trial.kill()
            trial.clear()


def equivalents() -> dict[tuple[str, str, str, str], str]:
    """Mutants that change nothing a test could see, with the reason."""
    groups = tomllib.loads((HERE / "equivalent.toml").read_text())["group"]
    return {tuple(mutant): group["why"] for group in groups for mutant in group["mutants"]}


def identity(mutant: Mutant) -> tuple[str, str, str, str]:
    """How equivalent.toml names a mutant: robust to changes elsewhere."""
    return mutant.module, mutant.function, mutant.before, mutant.after


@functools.cache
def digest(module: str) -> str:
    """Changes with every change of a module, between runs: what was judged before is then judged again."""
    return hashlib.sha256(source_file(module).read_bytes()).hexdigest()[:16]


def judged_before() -> dict[str, dict[str, Any]]:
    """The verdicts in the log that still hold, by the key of the mutant; the latest counts."""
    lines = LOG.read_text().splitlines() if LOG.exists() else []
    entries = [json.loads(line) for line in lines]
    return {e["key"]: e for e in entries if source_file(e["module"]).exists() and e["digest"] == digest(e["module"])}


def write_down(mutant: Mutant, verdict: Verdict) -> None:
    """One more line in the log."""
    entry = {"key": mutant.key, "module": mutant.module, "digest": digest(mutant.module), **verdict._asdict()}
    with LOG.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=LESSON, help="modules of the package; default: the lesson")
    parser.add_argument("--only", default="", metavar="WORD", help="functions whose name holds this")
    parser.add_argument("--sample", type=int, metavar="N", help="that many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--survivors", action="store_true", help="those that survived, once more")
    parser.add_argument("--equivalent", action="store_true", help="those named in equivalent.toml")
    parser.add_argument("--fresh", action="store_true", help="forget what was judged before")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    return parser.parse_args()


def chosen(options: argparse.Namespace, named: dict[tuple[str, str, str, str], str]) -> list[Mutant]:
    """The mutants asked for, equivalent ones included."""
    mutants = [m for module in options.modules for m in mutants_of(module, source_file(module).read_text())]
    mutants = [m for m in mutants if options.only in m.function]
    if options.equivalent:
        mutants = [m for m in mutants if identity(m) in named]
    if options.sample is not None:
        mutants = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    return mutants


def report(mutants: list[Mutant], named: dict[tuple[str, str, str, str], str]) -> dict[str, Any]:
    """Counts per module, and the mutants that no test noticed."""
    verdicts = judged_before()
    modules: dict[str, dict[str, int]] = {}
    survivors = []
    for mutant in mutants:
        result = "equivalent" if identity(mutant) in named else verdicts.get(mutant.key, {}).get("result", "open")
        counts = modules.setdefault(mutant.module, dict.fromkeys(("mutants", "killed", "survived", "equivalent"), 0))
        counts["mutants"] += 1
        counts[result] = counts.get(result, 0) + 1
        if result == "survived":
            survivors.append(mutant._asdict() | {"source": None})
    for survivor in survivors:
        del survivor["source"], survivor["number"]
    return {"modules": modules, "survivors": survivors}


def show(found: dict[str, Any]) -> None:
    """Print survivors and the table."""
    for survivor in found["survivors"]:
        print("\n{module}.py, line {line}, in {function}\n  - {before}\n  + {after}".format(**survivor))
    names = ["mutants", "killed", "survived", "equivalent"]
    print("\nmodule      " + "".join(f"{name:>12}" for name in names))
    for module, counts in found["modules"].items():
        print(f"{module:<12}" + "".join(f"{counts[name]:>12}" for name in names), end="")
        print(f"   ({counts['open']} not judged)" if counts.get("open") else "")
    total = {name: sum(counts[name] for counts in found["modules"].values()) for name in names}
    print(f"{'all':<12}" + "".join(f"{total[name]:>12}" for name in names))


def stale(modules: list[str], named: dict[tuple[str, str, str, str], str]) -> list[tuple[str, str, str, str]]:
    """Entries of equivalent.toml that are no mutants (any more)."""
    there = {identity(m) for module in modules for m in mutants_of(module, source_file(module).read_text())}
    return [entry for entry in named if entry[0] in modules and entry not in there]


def must_be_green(modules: set[str]) -> None:
    """Stop if a test is red without any mistake. All modules with the same tests are looked at together."""
    one_for_all = {tuple(sorted(chain(*stages(module)))): module for module in sorted(modules)}.values()
    untouched = [Mutant(module, "", 0, "", "", source_file(module).read_text()) for module in one_for_all]
    for mutant, verdict in judge(untouched, 1):
        if verdict.result != "survived":
            raise SystemExit(f"red without any mistake in {mutant.module}: {verdict.by}")


def main() -> int:
    """Judge the mutants asked for; 1 if some survived."""
    options, named = arguments(), equivalents()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left behind
    if options.fresh:
        LOG.unlink(missing_ok=True)
    mutants, before = chosen(options, named), judged_before()
    again = lambda m: options.equivalent or (options.survivors and before[m.key]["result"] == "survived")
    todo = [m for m in mutants if m.key not in before or again(m)]
    todo = [m for m in todo if options.equivalent or identity(m) not in named]
    if options.survivors:
        todo = [m for m in todo if m.key in before]
    print(f"{len(mutants)} mutants, {len(todo)} to judge", flush=True)
    for name in LIBRARIES:
        importlib.import_module(name)
    must_be_green({m.module for m in todo})
    start, spent, unexpected = time.monotonic(), 0.0, 0
    for n, (mutant, verdict) in enumerate(judge(todo, options.workers), start=1):
        write_down(mutant, verdict)
        spent += verdict.seconds
        unexpected += options.equivalent and verdict.result == "killed"
        place = f"{mutant.module}:{mutant.line}"
        print(f"{n}/{len(todo)} {place:<18} {verdict.result:<9} {verdict.seconds:5.1f} s  {verdict.by}", flush=True)
    if todo:
        print(f"{time.monotonic() - start:.0f} s, {spent / len(todo):.1f} s of the processor's time per mutant")
    found = report(mutants, named)
    show(found)
    for entry in stale(options.modules, named):
        print(f"equivalent.toml names what is no mutant: {entry}")
    if options.modules == LESSON and not options.only:
        options.sample, options.equivalent = None, False
        RESULTS.write_text(json.dumps(report(chosen(options, named), named), indent=1) + "\n")
    return int(bool(found["survivors"]) or unexpected > 0)


if __name__ == "__main__":
    sys.exit(main())
