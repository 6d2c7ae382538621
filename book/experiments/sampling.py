"""Time the two samplers at MNIST's size: D full passes against the incremental one.

    python book/experiments/sampling.py          about 3 minutes on two cores
    python book/experiments/sampling.py --toy    seconds, into a temporary folder: only proves that it runs

Three contenders draw from the same weights with the same uniforms, in turn, and the median counts:
"naive" is ``method="naive"`` of the package; "naive, weights masked once" is the same loop over plain linear layers
whose weights were masked beforehand, so that no time is spent on masks; "incremental" is the package's default.
The weights are those of the trained MNIST network (one hidden layer) and of an untrained one with two.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import record
import torch

import made
from made.sampling import uniforms

CONFIG = {
    "D": 784,
    "hidden": [500, 500],
    "batches": [1, 100],
    "repeats": 3,
    "blocks": [1, 8, 32, 64, 128, 784],
    "seed": 0,
}


def plain_sampler(model):
    """D passes over ordinary linear layers that hold the masked weights."""
    linear = [torch.nn.Linear(*reversed(layer.weight.shape)) for layer in [*model.hidden, model.output]]
    for plain, layer in zip(linear, [*model.hidden, model.output], strict=True):
        plain.weight.data, plain.bias.data = layer.masked_weight().data, layer.bias.data
    direct = model.direct.masked_weight().data

    @torch.no_grad()
    def sample(n, generator):
        u = uniforms(n, model.n_features, generator)
        x = torch.zeros(n, model.n_features)
        for i in model.connectivity.order.tolist():
            h = x
            for layer in linear[:-1]:
                h = torch.relu(layer(h))
            logits = linear[-1](h) + x @ direct.T
            x[:, i] = (u[:, i] < torch.sigmoid(logits[:, i])).float()
        return x

    return sample


def contest(model, batch, repeats):
    """Median seconds of each contender, and whether their samples agree."""
    plain = plain_sampler(model)
    contenders = {
        "naive": lambda g: model.sample(batch, generator=g, method="naive"),
        "naive, weights masked once": lambda g: plain(batch, g),
        "incremental": lambda g: model.sample(batch, generator=g),
    }
    times, drawn = {name: [] for name in contenders}, {}
    for repeat in range(repeats + 1):  # the first round warms up and is not counted
        for name, draw in contenders.items():
            start = time.perf_counter()
            drawn[name] = draw(torch.Generator().manual_seed(repeat))
            if repeat:
                times[name].append(time.perf_counter() - start)
    differing = max((drawn[name] != drawn["naive"]).any(1).float().mean().item() for name in contenders)
    return {name: statistics.median(t) for name, t in times.items()}, differing


@torch.no_grad()
def time_blocks(model, config):
    """Median seconds of the incremental sampler for each block size, at the largest batch."""
    u = uniforms(max(config["batches"]), model.n_features, torch.Generator().manual_seed(0))
    unknown = torch.full(u.shape, torch.nan)
    times = {block: [] for block in config["blocks"]}
    for _ in range(config["repeats"] + 1):
        for block, taken in times.items():
            start = time.perf_counter()
            made.sampling.sample_incremental(model.eval(), u, unknown, block=block)
            taken.append(time.perf_counter() - start)
    return {str(block): statistics.median(taken[1:]) for block, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    toy = parser.parse_args().toy
    started, config, folder = time.time(), CONFIG, record.RESULTS
    if toy:
        config, folder = {**CONFIG, "D": 20, "hidden": [16, 16], "repeats": 1}, Path(tempfile.mkdtemp())
    models = {"two hidden layers, untrained": made.MADE(config["D"], config["hidden"], seed=config["seed"])}
    trained = record.RESULTS / "mnist_natural.safetensors"
    if trained.exists() and not toy:
        models["one hidden layer, trained on MNIST"] = made.MADE.load(trained).float()
    rows = []
    for name, model in models.items():
        for batch in config["batches"]:
            seconds, differing = contest(model, batch, config["repeats"])
            rows.append({"model": name, "batch": batch, "seconds": seconds, "rows_that_differ": differing})
            print(rows[-1])
    blocks = time_blocks(model, config)
    print(blocks)
    print(record.write("sampling", config, started, folder, rows=rows, blocks=blocks))


if __name__ == "__main__":
    main()
