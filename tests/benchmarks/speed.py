"""Time training, scoring, sampling and completion, and take the memory, beside public packages of the same size.

    python tests/benchmarks/speed.py                       everything: about 15 minutes on two cores
    python tests/benchmarks/speed.py --only step sampling  some sections; the others stay as they are
    python tests/benchmarks/speed.py --toy                 seconds, into a temporary folder: only proves that it runs

Contenders take turns in every round, so that a slow moment of the machine meets them all. The first round warms up.
Times are medians over rounds with quartiles, in milliseconds; ratios are medians of the ratios of single rounds.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import torch
from torch.utils.data import DataLoader, TensorDataset

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "book" / "experiments")]
import peers
from run import RESULTS, processor, write

import made
from made.sampling import sample_incremental, uniforms
from made.training import kept_masked

FULL = {
    "D": 784,
    "batch": 100,
    "hidden": [[500], [500, 500], [2000, 2000]],
    "rounds": 15,
    "slow_rounds": 3,
    "epoch_rows": 2000,
    "log_prob_batches": [1, 100, 1000],
    "sample_batches": [1, 100],
    "growth_D": [64, 196, 784, 3072],
    "growth_width": [250, 500, 1000, 2000],
    "growth_batch": [1, 10, 100, 1000, 10000],
    "floor_D": [64, 784, 3072],
    "floor_batches": [1, 100, 10000],
    "blocks": [1, 8, 25, 50, 100, 150, 784],
    "networks": ["natural", "random"],
    "network_batches": [1, 100, 1000],
}
TOY = {
    "D": 12,
    "batch": 5,
    "hidden": [[16], [16, 16]],
    "rounds": 2,
    "slow_rounds": 1,
    "epoch_rows": 20,
    "log_prob_batches": [1, 5],
    "sample_batches": [1, 5],
    "growth_D": [6, 12],
    "growth_width": [8, 16],
    "growth_batch": [1, 10],
    "floor_D": [6],
    "floor_batches": [1, 5],
    "blocks": [1, 12],
    "networks": ["toy"],
    "network_batches": [1, 5],
}


def bits(n, n_features):
    """Random binary rows."""
    return (torch.rand(n, n_features, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def contest(contenders, rounds, calls=1):
    """Milliseconds per call of every contender in every round, after one round to warm up."""
    times = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            for _ in range(calls):
                run()
            if turn:
                times[name].append(1000 * (time.perf_counter() - start) / calls)
    return times


def summary(values):
    """Median and quartiles."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {name: round(v, 4) for name, v in {"ms": statistics.median(values), "low": low, "high": high}.items()}


def ratio(times, slower, faster="made"):
    """How many times longer one contender takes than another."""
    return summary([a / b for a, b in zip(times[slower], times[faster], strict=True)])["ms"]


def table(times, **about):
    """Rows for the result file, printed on the way."""
    rows = []
    for name, values in times.items():
        rows.append({**about, "contender": name, **summary(values)})
        if "made" in times and name != "made":
            rows[-1]["times_made"] = ratio(times, name)
        print(" ", *(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    return rows


def step_of(model, loss, optimizer):
    """One training step, as a function without arguments."""

    def step():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def step(config, keep):
    """A training step: peers with Adam as it is and with fused Adam; made as ``made.fit`` does it, and plain."""
    x, rows = bits(config["batch"], config["D"]), []
    for hidden in config["hidden"]:
        contenders = {}
        for fused in (False, True):
            for name, network in peers.build_peers(config["D"], hidden)[0].items():
                optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, **({"fused": True} if fused else {}))
                contenders[name + (", fused" if fused else "")] = step_of(
                    network, lambda network=network: peers.nll(network, x), optimizer
                )
        variants = {"made": False, "made, product with masks": False, "made, with direct connections": True}
        for name, direct in variants.items():
            model = made.MADE(config["D"], hidden, direct=direct)
            if "product" not in name:
                keep.enter_context(kept_masked(model))
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
            contenders[name] = step_of(model, lambda model=model: model.loss(x), optimizer)
        rows += table(contest(contenders, config["rounds"], 3), hidden=hidden, batch=config["batch"])
    return rows


def epoch(config, keep):
    """A pass over the rows as people write it (a loader that collates row by row, plain Adam), against ``made.fit``."""
    x, hidden = bits(config["epoch_rows"], config["D"]), config["hidden"][0]

    def usual(network):
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        loader = DataLoader(TensorDataset(x), batch_size=config["batch"], shuffle=True)

        def run():
            for (rows,) in loader:
                optimizer.zero_grad()
                peers.nll(network, rows).backward()
                optimizer.step()

        return run

    contenders = {name: usual(network) for name, network in peers.build_peers(config["D"], hidden)[0].items()}
    model = made.MADE(config["D"], hidden, direct=False)
    contenders["made"] = lambda: made.fit(model, x, epochs=1, batch_size=config["batch"], progress=False)
    return table(contest(contenders, config["slow_rounds"] + 2), hidden=hidden, rows=config["epoch_rows"])


@torch.no_grad()
def log_prob(config, keep):
    """Log-probabilities of a batch of rows."""
    rows, hidden = [], config["hidden"][1]
    for batch in config["log_prob_batches"]:
        x, contenders = bits(batch, config["D"]), {}
        for name, network in peers.build_peers(config["D"], hidden)[0].items():
            contenders[name] = lambda network=network, x=x: peers.nll(network, x)
        model = made.MADE(config["D"], hidden, direct=False).eval()
        contenders["made"] = lambda model=model, x=x: model.log_prob(x)
        rows += table(contest(contenders, config["rounds"], 3), hidden=hidden, batch=batch)
    return rows


@torch.no_grad()
def sampling(config, keep):
    """Samples: peers variable by variable, our own naive sampler, and the incremental one."""
    rows = []
    for hidden in config["hidden"][:2]:
        for batch in config["sample_batches"]:
            models = {direct: made.MADE(config["D"], hidden, direct=direct).eval() for direct in (False, True)}
            networks = peers.build_peers(config["D"], hidden)[0] | {
                "weights masked once": peers.masked_once(models[False])
            }
            contenders = {
                name: lambda network=network, n=batch: peers.sample(network, n, config["D"])
                for name, network in networks.items()
            }
            contenders["made, naive"] = lambda m=models[False], n=batch: m.sample(n, method="naive")
            contenders["made"] = lambda m=models[False], n=batch: m.sample(n)
            contenders["made, with direct connections"] = lambda m=models[True], n=batch: m.sample(n)
            rows += table(contest(contenders, config["slow_rounds"]), hidden=hidden, batch=batch)
    return rows


@torch.no_grad()
def completion(config, keep):
    """The second half of each row, given the first."""
    hidden, start, n = config["hidden"][1], config["D"] // 2, config["batch"]
    given = bits(n, config["D"])
    given[:, start:] = torch.nan
    model = made.MADE(config["D"], hidden, direct=False).eval()
    networks = peers.build_peers(config["D"], hidden)[0] | {"weights masked once": peers.masked_once(model)}
    contenders = {
        name: lambda network=network: peers.sample(network, n, config["D"], start, given)
        for name, network in networks.items()
    }
    contenders["made"] = lambda: model.sample(n, given=given)
    return table(contest(contenders, config["slow_rounds"]), hidden=hidden, batch=n)


def memory(config, keep):
    """Peak memory of a process that takes 20 training steps, above one that only makes the data (on Linux)."""
    rows, base = [], None
    for name in ["nothing", *peers.PEERS, "made"]:
        command = [sys.executable, __file__, "--memory-of", name, "--config", json.dumps(config)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
        base = float(found) if base is None else base
        if found != "absent":
            rows.append({"hidden": config["hidden"][-1], "contender": name, "MiB": round(float(found) - base, 1)})
            print(" ", rows[-1], flush=True)
    return rows[1:]


def memory_of(name, config):
    """What a subprocess of :func:`memory` does and prints."""
    x, hidden = bits(config["batch"], config["D"]), config["hidden"][-1]
    if name == "made":
        made.fit(
            made.MADE(config["D"], hidden, direct=False), x.repeat(20, 1), epochs=1, batch_size=len(x), progress=False
        )
    elif name != "nothing":
        try:
            network = peers.PEERS[name](config["D"], hidden)
        except (ImportError, ValueError):
            print("absent")
            return
        one = step_of(network, lambda: peers.nll(network, x), torch.optim.Adam(network.parameters(), lr=1e-3))
        for _ in range(20):
            one()
    # not getrusage: what it reports as the peak includes that of the process that started this one
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)


def growth(config, keep):
    """How cost grows with D, width and batch: times and the exponent of the best power law."""
    base = {"D": config["D"], "width": config["hidden"][1][0], "batch": config["batch"]}
    rows = []
    for axis in ("D", "width", "batch"):
        for task in ("step", "log_prob", "sampling"):
            found = []
            for value in config[f"growth_{axis}"]:
                size = base | {axis: value}
                x = bits(size["batch"], size["D"])
                model = made.MADE(size["D"], [size["width"]] * 2, direct=False).train(task == "step")
                with torch.set_grad_enabled(task == "step"), ExitStack() as local:
                    if task == "step":
                        local.enter_context(kept_masked(model))
                        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
                        run = step_of(model, lambda model=model, x=x: model.loss(x), optimizer)
                    elif task == "log_prob":
                        run = lambda model=model, x=x: model.log_prob(x)
                    else:
                        run = lambda model=model, x=x: model.sample(len(x))
                    rounds = config["slow_rounds"] + 2 if value < 10000 else 1
                    found.append({"size": value, "ms": summary(contest({"made": run}, rounds)["made"])["ms"]})
            logs = [(math.log(time["size"]), math.log(time["ms"])) for time in found]
            slope = statistics.linear_regression(*zip(*logs, strict=True)).slope
            rows.append({"task": task, "axis": axis, "times": found, "exponent": round(slope, 2)})
            print(" ", rows[-1], flush=True)
    return rows


def copy_bandwidth():
    """Bytes per second that the machine reads and writes when it copies a large tensor."""
    source = torch.zeros(32_000_000)
    target = torch.empty_like(source)
    times = contest({"copy": lambda: target.copy_(source)}, 5)["copy"]
    return 2 * source.numel() * 4 / (statistics.median(times) / 1000)


@torch.no_grad()
def floor(config, keep):
    """The incremental sampler beside what it cannot beat: one masked forward pass, and reading all weights once."""
    bandwidth, rows = copy_bandwidth(), []
    wide = config["hidden"][0][0]
    others = {
        "Categorical(4)": made.Categorical(4),
        "Gaussian": made.Gaussian(),
        "MixtureOfGaussians(5)": made.MixtureOfGaussians(5),
        "DiscretizedLogistic(256, 5)": made.DiscretizedLogistic(256, 5),
    }
    cases = [
        (D, depth, batch, "Bernoulli", {})
        for D in config["floor_D"]
        for depth in (1, 2, 3)
        for batch in config["floor_batches"]
    ]
    last, middle = config["floor_batches"][-1], config["floor_batches"][1]
    cases += [(config["D"], 2, batch, "Bernoulli", {"direct": True}) for batch in config["floor_batches"]]
    cases += [(config["D"], 2, middle, "Bernoulli", {"order": "random", "n_masks": 4})]
    cases += [(config["floor_D"][0], 2, b, name, {}) for name in others for b in config["floor_batches"] if b < last]
    cases += [(config["D"], 2, middle, "Gaussian", {})]
    for D, depth, batch, name, options in cases:
        likelihood = others.get(name)
        model = made.MADE(D, [wide] * depth, likelihood=likelihood, **{"direct": False, **options}).eval()
        layers = [*model.hidden, model.output, *([model.direct] if model.direct is not None else [])]
        once, inputs = peers.unmasked_pass(model), torch.zeros(batch, model.hidden[0].in_features)
        run = {
            "sample": lambda model=model, n=batch: model.sample(n),
            "forward": lambda once=once, inputs=inputs: once(inputs),
        }
        times = contest(run, config["slow_rounds"] if batch < 10000 else 1)
        rows.append(
            {"D": D, "depth": depth, "batch": batch, "likelihood": name, "options": options}
            | {"ms": summary(times["sample"])["ms"], "forward_ms": summary(times["forward"])["ms"]}
            | {"allowed_multiplications": batch * int(sum(layer.mask.sum() for layer in layers))}
            | {"read_weights_ms": round(1000 * 4 * sum(layer.weight.numel() for layer in layers) / bandwidth, 4)}
        )
        print(" ", rows[-1], flush=True)
    return rows


def shipped(name, config):
    """One of the trained networks of the book, or for a toy an untrained one; and whether it is trained."""
    path = RESULTS / f"mnist_{name}.safetensors"
    if config["D"] == 784 and path.exists():
        return made.MADE.load(path, dtype=torch.float32), True
    return made.MADE(config["D"], config["hidden"][0]).eval(), False


def rounds_of_repair(model, u, given, block=None):
    """How many rounds of guess and repair every block of the incremental sampler takes."""
    counts = []

    class Counted(made.sampling.Block):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            counts.append(0)

        def params(self, guess, past):
            counts[-1] += 1
            return super().params(guess, past)

    with mock.patch.object(made.sampling, "Block", Counted):
        sample_incremental(model, u, given, block=block)
    return counts


@torch.no_grad()
def trained(config, keep):
    """Trained networks: samples and completions, beside a bare loop of D unmasked passes and an untrained network."""
    rows = []
    for name in config["networks"]:
        model, learned = shipped(name, config)
        fresh, once = made.MADE(**vars(model.config)).eval(), peers.unmasked_pass(model)
        for batch in config["network_batches"]:
            u = uniforms(batch, config["D"], torch.Generator().manual_seed(0))
            unknown = torch.full(u.shape, torch.nan)
            half = sample_incremental(model, u, unknown)
            half[:, model.connectivity.order[config["D"] // 2 :]] = torch.nan
            inputs = torch.zeros(batch, config["D"])

            def passes(once=once, inputs=inputs):
                for _ in range(config["D"]):
                    once(inputs)

            contenders = {
                "a bare loop of D unmasked passes": passes,
                "made, untrained": lambda batch=batch, fresh=fresh: fresh.sample(batch),
                "made, completion of a half": lambda batch=batch, model=model, half=half: model.sample(
                    batch, given=half
                ),
                "made": lambda batch=batch, model=model: model.sample(batch),
            }
            if batch > 100:
                del contenders["a bare loop of D unmasked passes"]  # minutes
            about = {"network": name, "trained": learned, "hidden": list(model.config.hidden), "batch": batch}
            counts = {
                "rounds": rounds_of_repair(model, u, unknown),
                "rounds_untrained": rounds_of_repair(fresh, u, unknown),
                "rounds_before": rounds_of_repair(model, u, unknown, 100 if batch > 10 else 200),  # blocks of 0.1.0
            }
            rows += table(contest(contenders, config["slow_rounds"] + 2), **about, **counts)
    return rows


@torch.no_grad()
def blocks(config, keep):
    """The incremental sampler with blocks of other sizes, on a trained network if there is one of this size."""
    model, learned = shipped("natural", config)
    rows = []
    for batch in config["network_batches"]:
        u = uniforms(batch, config["D"], torch.Generator().manual_seed(0))
        unknown = torch.full(u.shape, torch.nan)
        contenders = {
            block: lambda u=u, unknown=unknown, block=block: sample_incremental(model, u, unknown, block=block)
            for block in config["blocks"]
        }
        for block, values in contest(contenders, config["slow_rounds"] + 2).items():
            counts = rounds_of_repair(model, u, unknown, block)
            rows.append({"trained": learned, "batch": batch, "block": block, "rounds": sum(counts), **summary(values)})
            print(" ", rows[-1], flush=True)
    return rows


SECTIONS = {
    f.__name__: f for f in (step, epoch, log_prob, sampling, completion, memory, growth, floor, blocks, trained)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.memory_of:
        memory_of(chosen.memory_of, json.loads(chosen.config))
        return
    started, config = time.time(), TOY if chosen.toy else FULL
    folder = Path(tempfile.mkdtemp()) if chosen.toy else RESULTS
    old = folder / "speed.json"
    sections = json.loads(old.read_text())["sections"] if old.exists() else {}
    for name in chosen.only:
        print(name, flush=True)
        machine = {"cpu": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
        with ExitStack() as keep:
            rows = SECTIONS[name](config, keep)
        sections[name] = {"machine": machine, "versions": peers.versions(), "rows": rows}
    absent = peers.build_peers(config["D"], config["hidden"][0])[1]
    sections = {name: sections[name] for name in SECTIONS if name in sections}
    print(write("speed", config, started, folder, absent=absent, sections=sections))


if __name__ == "__main__":
    main()
