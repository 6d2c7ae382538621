"""What experiments share: they run, go on where they were, and write what was run, with what, where, and what came out.

An experiment of many runs keeps them as rows with fields. A run is done if there is a row with its fields. Every row
says why its training ended and with which setting it was made: ``evidence.py`` asks for that where a verdict is to rest
on it.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy
import torch
from torch import Tensor

import made

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from evidence import nested, reasons
from results import RESULTS, select


def write(name: str, config: dict, started: float, folder: Path, **results: object) -> Path:
    """Write ``folder/name.json``; ``started`` is the ``time.time()`` at which the experiment began."""
    document = {
        "experiment": name,
        "config": config,
        "versions": {"made": made.__version__, "torch": torch.__version__, "numpy": numpy.__version__},
        "machine": {"cpu": processor(), "threads": torch.get_num_threads(), "cores": os.cpu_count()},
        "seconds": round(time.time() - started, 1),
        **results,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(_text(document))
    return path


def _text(document: dict) -> str:
    """The document as JSON, a list of numbers on one line."""
    text = json.dumps(document, indent=1)
    return re.sub(r"\[\s+([^]\[{}\"]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def processor() -> str:
    """Name of the processor, as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def begin(name: str, description: str, expected: str, **options: dict) -> tuple[argparse.Namespace, Path]:
    """The command line of every experiment: whether it is to run at toy size, and the folder for what it finds.

    Checkpoints of long runs are kept in its folder ``unfinished``, which may be removed at the end.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="a few seconds, into a temporary folder")
    parser.add_argument("--folder", type=Path, help="where results are, and go")
    for option, how in options.items():
        parser.add_argument(f"--{option}", **how)
    chosen = parser.parse_args()
    folder = chosen.folder or (Path(tempfile.mkdtemp()) if chosen.toy else RESULTS)
    (folder / "unfinished").mkdir(parents=True, exist_ok=True)
    print(f"{name}: all of it takes {'seconds' if chosen.toy else expected}", flush=True)
    return chosen, folder


WORKERS = {"type": int, "default": 1, "help": "so many runs at a time, each in a process of its own, on one core"}
SECONDS = {"type": float, "default": math.inf, "help": "start no run after so many seconds"}


def main(
    name: str,
    description: str,
    config: dict,
    toy: dict,
    jobs: Callable[[dict, list[dict]], Iterable[dict]],
    measure: Callable[..., dict],
    expected: str,
    contains: Callable[[dict], Iterable[tuple[dict, dict]]] | None = None,
) -> None:
    """An experiment that consists of many runs.

    ``jobs(config, runs)`` gives the fields of every run; it may look at the runs that are done already, and is asked
    again until it knows no more. ``measure(config, folder, **fields)`` does one and returns what it found: why its
    training ended (``stopped``), the ``setting`` it was made with, scores; tensors whose name ends in ``costs`` hold a
    number for every test row and go to ``name_rows.npz``. Every run becomes a row of ``name.json`` as soon as it is
    done, and is skipped when the script is started again with the same configuration. ``contains(config)`` gives pairs
    of fields, the second of networks that contain those of the first: where they are worse on training rows, the file
    says so under ``violations``.
    """
    chosen, folder = begin(name, description, expected, workers=WORKERS, seconds=SECONDS)
    config, end = toy if chosen.toy else config, time.monotonic() + chosen.seconds
    path = folder / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    known = before.get("config") == json.loads(json.dumps(config))
    rows, seconds = (before["runs"], before["seconds"]) if known else ([], 0.0)
    print(f"{len(rows)} runs are done", flush=True)
    work = partial(timed, measure, config, folder)
    while todo := [fields for fields in map(plain, jobs(config, rows)) if not select(rows, **fields)]:
        for fields, found in each(work, todo, chosen.workers, end):
            seconds += found["seconds"]
            rows.append(keep_costs(folder / f"{name}_rows.npz", as_row(fields, found), rows))
            write_runs(name, config, seconds, folder, rows, contains)
            print(f"{fields}: {found['seconds']} s", flush=True)
        if time.monotonic() > end:
            return
    order = [select(rows, **fields)[0] for fields in map(plain, jobs(config, rows))]
    write_runs(name, config, seconds, folder, order, contains)
    print(path)


def plain(fields: dict) -> dict:
    """Fields as they come back from a file."""
    return json.loads(json.dumps(fields))


def as_row(fields: dict, found: dict) -> dict:
    """A row of the file: the fields of a run and what was found; its ``setting`` is complete."""
    if not list(reasons(found)):
        raise ValueError(f"the run {fields} does not say why its training ended: 'stopped' is missing")
    setting = {"setting": plain({**fields, **found["setting"]})} if "setting" in found else {}
    return {**fields, **found, **setting}


def timed(measure: Callable[..., dict], config: dict, folder: Path, fields: dict) -> dict:
    """What a run found, and its seconds of work, whatever else the machine has to do."""
    started = time.process_time()
    found = measure(config, folder, **fields)
    return {**found, "seconds": round(time.process_time() - started, 1)}


def each(work: Callable[[dict], dict], todo: list[dict], workers: int, end: float) -> Iterator[tuple[dict, dict]]:
    """Fields and findings of runs, as they get done; none is begun after ``end``."""
    if workers == 1:
        for fields in todo:
            if time.monotonic() < end:
                yield fields, work(fields)
        return
    todo, running = todo[::-1], {}
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        while running or (todo and time.monotonic() < end):
            while todo and len(running) < workers and time.monotonic() < end:
                fields = todo.pop()
                running[pool.submit(work, fields)] = fields
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()


def without_costs(row: dict, rows: list[dict]) -> tuple[dict, dict]:
    """The row with a number of its own instead of its tensors, and these as arrays, named after the number."""
    costs = {name: row.pop(name) for name in list(row) if name.endswith("costs")}
    if not costs:
        return row, {}
    number = 1 + max((other.get("run", -1) for other in rows), default=-1)
    arrays = {f"{name}_{number}": numpy.asarray(values, numpy.float16) for name, values in costs.items()}
    return {**row, "run": number}, arrays


def keep_costs(path: Path, row: dict, rows: list[dict]) -> dict:
    """The row without its tensors, which are added to the file under the number of the run."""
    row, arrays = without_costs(row, rows)
    if arrays:
        kept = {}
        if rows and path.exists():
            with numpy.load(path) as stored:
                kept = dict(stored)
        numpy.savez_compressed(path, **kept, **arrays)
    return row


def write_runs(name: str, config: dict, seconds: float, folder: Path, rows: list[dict], contains) -> None:
    """Write the file of an experiment of many runs, with the pairs of nested networks that are the wrong way round."""
    found = {} if contains is None else {"violations": violations(rows, contains(config))}
    write(name, config, time.time() - seconds, folder, runs=rows, **found)


def violations(rows: list[dict], pairs: Iterable[tuple[dict, dict]]) -> list[dict]:
    """Pairs in which the network that contains the other is worse on training rows, beyond what seeds vary."""
    found = []
    for smaller, larger in pairs:
        sides = [sorted(select(rows, **plain(fields)), key=lambda run: run["seed"]) for fields in (smaller, larger)]
        if len(sides[0]) == len(sides[1]) > 0 and (worse := nested(*sides)).sign > 0:
            found.append({"smaller": smaller, "larger": larger, "worse_by": round(worse.mean, 3)})
    return found


def each_mask(model: made.MADE, x: Tensor, endless: int) -> Tensor:
    """Log-probability of every row under every mask that was trained, or ``endless`` of them if there is no end."""
    parts = []
    for k in range(model.n_masks or endless):
        under = model.under(model.connectivity_for(k))
        with torch.no_grad():
            parts.append(torch.cat([under.log_prob(rows).double() for rows in x.split(1000)]))
    return torch.stack(parts)  # (masks, N)


def mixture(parts: Tensor) -> Tensor:
    """Log-probability of the rows under the mixture of all parts."""
    return parts.logsumexp(0) - math.log(len(parts))


def nats(log_p: Tensor) -> dict:
    """Mean and standard error of the negative log-likelihood of rows."""
    return {"mean": round(-log_p.mean().item(), 3), "stderr": round(log_p.std().item() / math.sqrt(len(log_p)), 3)}


def checkpoint(folder: Path, *what: object) -> dict:
    """Arguments by which ``made.fit`` can go on where it was; the file is named after all that decides the result."""
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return {"checkpoint": folder / "unfinished" / name, "resume": True}


def train_in_phases(
    config: dict, folder: Path, split: made.data.Split, setting: dict, order: dict
) -> tuple[made.MADE, dict]:
    """Train a MADE by all phases of ``config``; the network, its curves, and why its last training ended.

    Every phase has its own checkpoint. So a run that is interrupted goes on where it was, and one that is done already
    is read.
    """
    model = made.MADE(split.train.shape[1], **setting, **order)
    rest = {"patience": config["patience"], "batch_size": config["batch_size"], "seed": order["seed"]}
    curves, done = {"train": [], "valid": []}, []
    for phase in config["phases"]:
        done.append(phase)
        resume = checkpoint(folder, config["data"], config["binarize"], setting, order, rest, done)
        history = made.fit(model, split.train, split.valid, **phase, **rest, **resume, progress=False)
        for name, curve in curves.items():
            curve += [round(loss, 2) for loss in getattr(history, name)]
        print(setting, order, phase, curves["valid"][-1], flush=True)
    return model, {**curves, "stopped": history.stopped}


def fitted(
    stage: str,
    model: made.MADE,
    split: made.data.Split,
    seed: int,
    training: dict,
    noted: dict | None = None,
    **chosen: float,
) -> dict:
    """Train a network by fixed and by chosen settings. Returns what its row says, which is less in a search.

    The fixed settings, and what else is noted, are recorded; those that are chosen are fields of the run.
    """
    history = made.fit(model, split.train, split.valid, seed=seed, progress=False, **chosen, **training)
    found, final = trained(model, history, split, {**(noted or {}), **training})
    return found if stage == "search" else {**found, **final}


def trained(model: made.MADE, history: made.History, split: made.data.Split, setting: dict) -> tuple[dict, dict]:
    """What a row says of a network that was trained; and what it adds where test rows count, not in a search."""
    with torch.no_grad():
        log_p = {name: model.log_prob(getattr(split, name)).double() for name in ("train", "valid", "test")}
    scores = {name: nats(values) for name, values in log_p.items()}
    found = {
        "setting": {**setting, "train_rows": len(split.train)},
        "stopped": history.stopped,
        "epochs": len(history.valid),
        "best_epoch": history.best_epoch,
        "parameters": made.diagnostics.count_parameters(model),
        "train": scores["train"],
        "valid": scores["valid"],
        "lowest_train": round(min(*history.train, scores["train"]["mean"]), 3),
    }
    curves = {f"{name}_curve": [round(loss, 2) for loss in getattr(history, name)] for name in ("train", "valid")}
    return found, {"test": scores["test"], **curves, "costs": -log_p["test"]}
