"""Run by test_files.py: kill a process while it writes a file, at several moments, and look at what is there.

    python tests/scripts/kill_writers.py FOLDER

Prints a line of JSON for every writer and moment.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
from killing import MOMENTS, die_at, forked, waited

import made
from made.training import checkpoint

torch.set_num_threads(1)
CONTENT = {which: which.encode() * 1000 for which in ("old", "new")}
MODELS = {which: made.MADE(5, (40,), seed=seed) for seed, which in enumerate(CONTENT)}


def write_model(path, which):
    MODELS[which].save(path)


def read_model(path):
    weight = made.MADE.load(path).output.weight
    return next(which for which, model in MODELS.items() if torch.equal(model.output.weight, weight))


def write_checkpoint(path, which):
    checkpoint.write(path, {"which": which, "weights": torch.zeros(500)})


def write_data(path, which):
    made.data._download = lambda url: CONTENT[which]
    made.data.fetch(made.data.File(path.name, hashlib.sha256(CONTENT[which]).hexdigest(), ("an address",)), path.parent)


def read_data(path):
    return next(which for which, content in CONTENT.items() if path.read_bytes() == content)


WRITERS = {
    "a model": (write_model, read_model),
    "a checkpoint": (write_checkpoint, lambda path: checkpoint.read(path)["which"]),
    "data": (write_data, read_data),
}


def killed(path, write, moment):
    """How a process ended that was to be killed at that moment."""

    def attempt():
        die_at(moment)
        write(path, "new")

    return waited(forked(attempt))


def main(folder):
    for name, (write, read) in WRITERS.items():
        for moment in MOMENTS:
            for before in ("nothing",) if name == "data" else ("nothing", "old"):  # data that are there stay
                path = folder / f"{name} {moment} {before}" / "file"
                path.parent.mkdir()
                if before == "old":
                    write(path, "old")
                found = {"writer": name, "moment": moment, "before": before, "ending": killed(path, write, moment)}
                found["content"] = read(path) if path.exists() else "nothing"
                found["left"] = [file.name for file in path.parent.iterdir() if file != path]
                write(path, "new")  # whatever was left is in nobody's way
                print(json.dumps({**found, "again": read(path)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
