"""Run by test_resume.py: kill a training run again and again with SIGKILL, resume it, compare with an undisturbed one.

    python tests/kill_and_resume.py KIND KILLS FOLDER

Every attempt is a fork, so that PyTorch is imported once. Prints one line of JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

import made

torch.set_num_threads(1)
GENERATOR = torch.Generator()


class Slow(torch.nn.Module):
    """A model whose steps take a while, so that a kill finds it at work."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def loss(self, x):
        time.sleep(0.001)
        return self.model.loss(x)


def bits(n, seed):
    return (torch.rand(n, 20, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def train(kind, folder, checkpoint):
    """One call of fit; what it ends with."""
    options = {"order": "random", "n_masks": 4} if kind == "masks" else {}
    model, rows = Slow(made.MADE(20, (30,), dropout=0.3, **options)), bits(203, 0)
    if kind == "memmap":
        rows = np.memmap(folder / "rows", dtype=np.float32, mode="r", shape=(203, 20))
    if kind == "loader":
        rows = DataLoader(TensorDataset(rows), batch_size=10, shuffle=True)
    if kind == "seeded loader":
        GENERATOR.manual_seed(5)
        rows = DataLoader(TensorDataset(rows), batch_size=10, shuffle=True, generator=GENERATOR)
    settings = {"epochs": 8 if kind == "plain" else 4, "batch_size": 10, "lr": 0.01, "progress": False, "seed": 3}
    if checkpoint is not None:
        settings |= {"checkpoint": checkpoint, "checkpoint_seconds": 0.0, "resume": True}
    history = made.fit(model, rows, bits(50, 1), **settings)
    return {"model": model.state_dict(), "history": vars(history)}


def attempt(kind, folder, checkpoint, seconds):
    """Train in a fork and kill it after some time. True if it was still training then."""
    child = os.fork()
    if child == 0:
        torch.save(train(kind, folder, checkpoint), folder / "resumed")
        os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, status
            return False
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def main(kind, wanted, folder):
    bits(203, 0).numpy().tofile(folder / "rows")
    checkpoint, dice = folder / "checkpoint", random.Random(0)
    whole, kills, steps, patience = train(kind, folder, None), 0, [], 0.03
    while attempt(kind, folder, checkpoint, patience * dice.random()):
        kills += 1
        if checkpoint.exists():
            steps.append(made.training.checkpoint.read(checkpoint)["step"])  # whole, whenever the kill came
        if len(steps) > 1 and steps[-1] == steps[-2]:
            patience *= 1.3  # too short to get anywhere: be kinder
        elif kills > 2 * wanted:
            patience *= 2
    resumed = torch.load(folder / "resumed", weights_only=True)
    found = {"kills": kills, "steps": steps, "equal": equal(whole, resumed)}
    # the sampler state: an undisturbed run that writes a checkpoint ends with the same file, but for the clock
    train(kind, folder, folder / "undisturbed")
    found["same_checkpoint"] = equal(
        made.training.checkpoint.read(checkpoint), made.training.checkpoint.read(folder / "undisturbed")
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
