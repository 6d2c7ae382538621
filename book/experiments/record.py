"""Write the result of an experiment: what was run, with what, where, for how long, and what came out."""

import json
import os
import platform
import time
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
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def processor() -> str:
    """Name of the processor, as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
