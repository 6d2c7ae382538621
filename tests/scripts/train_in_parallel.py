"""Run by test_parallel.py, alone or under torchrun: train, and let process 0 write down what came out.

python tests/scripts/train_in_parallel.py FOLDER CASE...
torchrun --standalone --nproc_per_node=2 tests/scripts/train_in_parallel.py FOLDER CASE...
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import made

torch.set_num_threads(1)
RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def bits(n, seed):
    return (torch.rand(n, 12, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


ROWS, VALID, CONTEXT = bits(41, 0), bits(23, 1), torch.linspace(-1, 1, 41).double()[:, None]  # 41 = 4 * 10 + 1
SETTINGS = {"epochs": 4, "batch_size": 10, "lr": 0.02, "weight_decay": 0.1, "seed": 3, "progress": False}


class AllRows(torch.nn.Module):
    """A model that notes how many rows it is given, and what noise it draws."""

    def __init__(self):
        super().__init__()
        self.model, self.sizes, self.noise = made.MADE(12, (8,)).double(), [], []

    def loss(self, x):
        if self.training:
            self.sizes.append(len(x))
            self.noise.append(torch.rand(()).item())
        return self.model.loss(x)


def loader():
    """Each process its own rows, in an order that changes with the epoch; 41 rows are filled up to an even number."""
    data = TensorDataset(bits(40, 0))
    sampler = DistributedSampler(data, num_replicas=WORLD, rank=RANK, seed=5)
    return DataLoader(data, batch_size=10 // WORLD, sampler=sampler)


def dataset(folder):
    return TensorDataset(ROWS)


def memmap(folder):
    ROWS.numpy().tofile(folder / f"rows{RANK}")
    return np.memmap(folder / f"rows{RANK}", dtype=np.float64, mode="r", shape=tuple(ROWS.shape))


def train(case, folder):
    """One call of fit; what came out, as plain numbers and tensors."""
    options, settings, data, valid = {"seed": 10 * RANK}, {**SETTINGS}, ROWS, VALID  # weights differ until shared
    if case == "masks":
        options |= {"order": "random", "n_masks": 3}
    if case == "fresh masks":
        options |= {"order": "random", "n_masks": None, "mask_conditioning": True}
    if case in ("masks", "fresh masks"):
        options["seed"] = 0  # connectivities follow the seed: all processes must make the same
    if case == "accumulate":
        settings["accumulate"] = 2
    if case == "amp":
        settings["amp"], data, valid = True, ROWS.float(), VALID.float()  # float64 would stay float64
    if case == "context":
        options["context_features"], settings["context"], valid = 1, CONTEXT, None
    if case == "dataset":
        data = dataset(folder)
    if case == "memmap":
        data = memmap(folder)
    if case == "loader":
        data = loader()
    if case == "single rows":
        settings["batch_size"], settings["epochs"] = 1, 1
    if case == "patience":
        settings |= {"epochs": 60, "patience": 2, "lr": 0.3}
    if case == "diverges":
        settings |= {"lr": 1e30, "epochs": 3}
    model = made.MADE(12, (16, 8), **options).to(data.dtype if case == "amp" else torch.float64)
    if case == "noise":
        model = AllRows()
    before = torch.get_rng_state()
    try:
        history = made.fit(model, data, valid, **settings)
    except FloatingPointError as error:
        return {"error": str(error), "rank": RANK}
    found = {
        "world": made.training.parallel.Group.join().world,
        "history": vars(history),
        "weights": {name: p.detach() for name, p in model.named_parameters()},
        "same_generator": torch.equal(before, torch.get_rng_state()),
    }
    if case == "noise":
        found["sizes"], found["noise"] = model.sizes, model.noise
    return found


def main(folder, cases):
    for case in cases:
        found = made.training.parallel.Group.join().gather(train(case, folder))
        if RANK == 0:
            torch.save(found, folder / f"{case}.partial")
            os.replace(folder / f"{case}.partial", folder / f"{case}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
