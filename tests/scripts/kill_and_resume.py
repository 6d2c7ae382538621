"""Run by training/test_run.py: kill a training run again and again, resume it, compare it with an undisturbed one.

    python tests/scripts/kill_and_resume.py FOLDER KIND...

Every attempt is a fork, or two that train together, so that PyTorch is imported once. The processes end themselves with
SIGKILL, at calls that are chosen beforehand: nothing here depends on time. Prints a line of JSON for every kind of run.
"""

import json
import sys
from itertools import count
from pathlib import Path

import numpy as np
import torch
from killing import MOMENTS, die, die_at, forked, waited
from torch import distributed
from torch.utils.data import DataLoader, TensorDataset

import made
from made.training import checkpoint as checkpoints

torch.set_num_threads(1)
GENERATOR = torch.Generator()
SETTINGS = {"epochs": 3, "batch_size": 10, "lr": 0.01, "progress": False, "seed": 3}


class Mortal(torch.nn.Module):
    """A model that dies at a call of ``loss``, counted from 1; with None it lives."""

    def __init__(self, dies_at, **options):
        super().__init__()
        self.model = made.MADE(20, (30,), dropout=0.3, **options)
        self.dies_at, self.calls = dies_at, 0

    def loss(self, x):
        self.calls += 1
        if self.calls == self.dies_at:
            die()
        return self.model.loss(x)


def bits(n, seed):
    return (torch.rand(n, 20, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def train(kind, folder, result, checkpoint=None, dies_at=None):
    """One call of fit; what it ends with is put into a file."""
    model = Mortal(dies_at, **({"order": "random", "n_masks": 4} if kind == "masks" else {}))
    rows = bits(43, 0)  # five batches, the last of three rows
    if kind == "memmap":
        rows = np.memmap(folder / "rows", dtype=np.float32, mode="r", shape=(43, 20))
    if kind == "loader":
        rows = DataLoader(TensorDataset(rows), batch_size=10, shuffle=True)
    if kind == "seeded loader":
        GENERATOR.manual_seed(5)
        rows = DataLoader(TensorDataset(rows), batch_size=10, shuffle=True, generator=GENERATOR)
    resume = {} if checkpoint is None else {"checkpoint": checkpoint, "checkpoint_seconds": 0.0, "resume": True}
    history = made.fit(model, rows, bits(50, 1), **SETTINGS, **resume)
    torch.save({"model": model.state_dict(), "history": vars(history)}, result)


def train_together(rank, store, *arguments):
    """The same as one of two processes."""
    distributed.init_process_group("gloo", store=distributed.FileStore(str(store), 2), rank=rank, world_size=2)
    train(*arguments)


def die_in_write(number, moment):
    """Die in a writing of the checkpoint, counted from 1."""
    numbers, write = count(1), checkpoints.write_whole

    def write_whole(path, *parts):
        if next(numbers) == number:
            die_at(moment)
        write(path, *parts)

    checkpoints.write_whole = write_whole


def train_to_a_death(kind, number, folder, checkpoint):
    """Attempt number 0, 1, ...: die in a writing of the checkpoint, or at a step."""
    if kind == "writes":
        moment = MOMENTS[number % len(MOMENTS)]
        die_in_write(1 if number < len(MOMENTS) else 2, moment)
        train(kind, folder, folder / "resumed 0", checkpoint)
    else:
        train(kind, folder, folder / "resumed 0", checkpoint, dies_at=1 if number == 0 else 2)


def attempt(kind, number, folder, checkpoint):
    """One attempt, to its death or to the end. Returns how its processes ended."""
    if kind != "two processes":
        return [waited(forked(train_to_a_death, kind, number, folder, checkpoint))]
    victims = [(0,), (1,), (0, 1)][number % 3]
    store, children = folder / f"store {number}", []
    for rank in range(2):
        dies_at = (1 if number == 0 else 2) if rank in victims else None
        result = folder / f"resumed {rank}"
        children.append(forked(train_together, rank, store, kind, folder, result, checkpoint, dies_at))
    return list(map(waited, children))


def undisturbed(kind, folder, name, checkpoint=None):
    """A run that nobody kills."""
    if kind != "two processes":
        children = [forked(train, kind, folder, folder / f"{name} 0", checkpoint)]
    else:
        children = [
            forked(train_together, rank, folder / f"store {name}", kind, folder, folder / f"{name} {rank}", checkpoint)
            for rank in range(2)
        ]
    assert {waited(child) for child in children} == {"done"}
    return [torch.load(folder / f"{name} {rank}", weights_only=True) for rank in range(len(children))]


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def killed_and_resumed(kind, folder):
    """What is to be known of one kind of run."""
    bits(43, 0).numpy().tofile(folder / "rows")
    checkpoint, steps, left, endings = folder / "checkpoint", [], [], []
    for number in range(100):
        endings.append(attempt(kind, number, folder, checkpoint))
        if "killed" not in endings[-1]:
            break
        steps.append(checkpoints.read(checkpoint)["step"] if checkpoint.exists() else None)  # whole, after any kill
        left.append(len(list(folder.glob("*.partial"))))
    whole = undisturbed(kind, folder, "whole")
    resumed = [torch.load(folder / f"resumed {rank}", weights_only=True) for rank in range(len(whole))]
    # the sampler state: an undisturbed run that writes a checkpoint ends with the same file, but for the clock
    undisturbed(kind, folder, "watched", folder / "watched checkpoint")
    same = equal(*(checkpoints.read(folder / name) for name in ("checkpoint", "watched checkpoint")))
    found = {
        "kind": kind,
        "endings": endings,
        "steps": steps,
        "left": left,
        "left at the end": len(list(folder.glob("*.partial"))),
        "equal": equal(whole, resumed),
        "same checkpoint": same,
    }
    if kind == "two processes":
        try:
            train(kind, folder, None, checkpoint)
        except ValueError as error:
            found["alone"] = str(error)
    return found


def main(folder, kinds):
    made.fit(
        made.MADE(2), torch.eye(2), epochs=1, progress=False
    )  # brings all that PyTorch imports late, for all forks
    for kind in kinds:
        (folder / kind).mkdir()
        print(json.dumps(killed_and_resumed(kind, folder / kind)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
