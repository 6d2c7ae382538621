"""What experiments share: they run, go on where they were, and write what was run, with what, where, and what came out.

An experiment of many runs keeps them as rows with fields. A run is done if there is a row with its fields.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy
import torch

import made

RESULTS = Path(__file__).parent.parent / "results"


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


def begin(name: str, description: str, expected: str) -> tuple[bool, Path]:
    """The command line of every experiment: whether it is to run at toy size, and the folder for what it finds.

    Checkpoints of long runs are kept in its folder ``unfinished``, which may be removed at the end.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="a few seconds, into a temporary folder")
    toy = parser.parse_args().toy
    folder = Path(tempfile.mkdtemp()) if toy else RESULTS
    (folder / "unfinished").mkdir(exist_ok=True)
    print(f"{name}: all of it takes {'seconds' if toy else expected}", flush=True)
    return toy, folder


def main(
    name: str,
    description: str,
    config: dict,
    toy: dict,
    jobs: Callable[[dict, list[dict]], Iterable[dict]],
    measure: Callable[..., dict],
    expected: str,
) -> None:
    """An experiment that consists of many runs.

    ``jobs(config, runs)`` gives the fields of every run; it may look at the runs that are done already.
    ``measure(config, folder, **fields)`` does one and returns what it found. Every run becomes a row of ``name.json``
    as soon as it is done, and is skipped when the script is started again with the same configuration.
    """
    small, folder = begin(name, description, expected)
    config = toy if small else config
    path = folder / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    known = before.get("config") == json.loads(json.dumps(config))
    runs, seconds = (before["runs"], before["seconds"]) if known else ([], 0.0)
    print(f"{len(runs)} runs are done", flush=True)
    for fields in jobs(config, runs):
        fields = json.loads(json.dumps(fields))  # as they come back from the file
        if not select(runs, **fields):
            started = time.process_time()  # seconds of work, whatever else the machine has to do
            found = measure(config, folder, **fields)
            took = round(time.process_time() - started, 1)
            runs.append({**fields, **found, "seconds": took})
            seconds += took
            write(name, config, time.time() - seconds, folder, runs=runs)
            print(f"{fields}: {took} s", flush=True)
    print(path)


def select(rows: list[dict], /, **fields: object) -> list[dict]:
    """The rows that have these fields."""
    return [row for row in rows if fields.items() <= row.items()]


def each_mask(model: made.MADE, x: torch.Tensor, endless: int) -> torch.Tensor:
    """Log-probability of every row under every mask that was trained, or ``endless`` of them if there is no end."""
    parts = []
    for k in range(model.n_masks or endless):
        under = model.under(model.connectivity_for(k))
        with torch.no_grad():
            parts.append(torch.cat([under.log_prob(rows).double() for rows in x.split(1000)]))
    return torch.stack(parts)  # (masks, N)


def mixture(parts: torch.Tensor) -> torch.Tensor:
    """Log-probability of the rows under the mixture of all parts."""
    return parts.logsumexp(0) - math.log(len(parts))


def nats(log_p: torch.Tensor) -> dict:
    """Mean and standard error of the negative log-likelihood of rows."""
    return {"mean": round(-log_p.mean().item(), 3), "stderr": round(log_p.std().item() / math.sqrt(len(log_p)), 3)}


def checkpoint(folder: Path, *what: object) -> dict:
    """Arguments by which ``made.fit`` can go on where it was; the file is named after all that decides the result."""
    name = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return {"checkpoint": folder / "unfinished" / name, "resume": True}


def train_in_phases(
    config: dict, folder: Path, split: made.data.Split, setting: dict, order: dict
) -> tuple[made.MADE, dict]:
    """Train a MADE by all phases of ``config``; the network, and its training and validation curves.

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
    return model, curves
