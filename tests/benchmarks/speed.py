"""Time training, scoring, sampling and completion, and take the memory, beside public packages and rivals by hand.

    python tests/benchmarks/speed.py                       everything: about 10 minutes with one thread
    python tests/benchmarks/speed.py --only step sampling  some sections; the others stay as they are
    python tests/benchmarks/speed.py --toy                 seconds, into a temporary folder: only proves that it runs

All contenders are the same function: packages get the masks and weights of our network. Samplers draw from trained
networks: two that ship with the book, and one that is trained here, until its validation score stops improving (about
5 minutes, once: its state is kept in ``book/results/unfinished``). Contenders take turns in every round, so that a slow
moment of the machine meets them all; the first round warms up. Times are medians over rounds with quartiles, in
milliseconds. Ratios are taken within rounds, and have a median and quartiles of their own.
"""

import argparse
import copy
import hashlib
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
from torch.utils.flop_counter import FlopCounterMode

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "book" / "experiments")]
import networks
import rivals
from run import RESULTS, processor, write

import made
from made.sampling import sample_incremental, uniforms
from made.training import kept_masked

FULL = {
    "D": 784,
    "batch": 100,
    "hidden": [[500], [500, 500], [2000, 2000]],
    "rounds": 11,
    "slow_rounds": 4,
    "turn_ms": 30,
    "epoch_rows": 5000,
    "until": {"data": "mnist", "nats": 115.0, "lr": 1e-3, "every": 25},
    "log_prob_batches": [1, 100, 1000],
    "sample_batches": [1, 100, 1000],
    "growth_D": [64, 196, 784, 3072],
    "growth_width": [250, 500, 1000, 2000],
    "growth_batch": [1, 10, 100, 1000, 10000],
    "floor_D": [64, 784, 3072],
    "floor_batches": [1, 100, 1000],
    "draws": 20,
    "blocks": [1, 8, 25, 50, 100, 150, 784],
    "networks": ["1 x 500, natural order", "1 x 500, random order", "2 x 500, natural order"],
}
TOY = {
    "D": 12,
    "batch": 5,
    "hidden": [[16], [16, 16]],
    "rounds": 2,
    "slow_rounds": 1,
    "turn_ms": 0,
    "epoch_rows": 20,
    "until": {"data": None, "nats": 1000.0, "lr": 1e-3, "every": 2},
    "log_prob_batches": [1, 5],
    "sample_batches": [1, 5],
    "growth_D": [6, 12],
    "growth_width": [8, 16],
    "growth_batch": [1, 10],
    "floor_D": [6],
    "floor_batches": [1, 5],
    "draws": 2,
    "blocks": [1, 12],
    "networks": ["toy"],
}
LOOP, ONCE, FLOOR = "a bare loop of D unmasked passes", "each unit once, by hand", "one forward pass"


def bits(n, n_features):
    """Random binary rows."""
    return (torch.rand(n, n_features, generator=torch.Generator().manual_seed(0)) < 0.3).float()


def contest(contenders, rounds, turn_ms=0):
    """Milliseconds per call of every contender in every round, after one round to warm up.

    A turn is as many calls as fill ``turn_ms``, by the time of the round to warm up.
    """
    times, calls = {name: [] for name in contenders}, dict.fromkeys(contenders, 1)
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                run()
            taken = 1000 * (time.perf_counter() - start) / calls[name]
            if turn:
                times[name].append(taken)
            else:
                calls[name] = max(1, math.ceil(turn_ms / taken))
    return times


def summary(values, *names):
    """Median and quartiles."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return dict(zip(names, (round(v, 4) for v in (statistics.median(values), low, high)), strict=True))


def table(times, **about):
    """Rows for the result file, printed on the way: times, and how many times longer than "made" a contender takes."""
    rows = []
    for name, values in times.items():
        rows.append({**about, "contender": name, **summary(values, "ms", "low", "high")})
        rows[-1]["trained"] = about.get("trained", False) and "untrained" not in name
        if "made" in times and name != "made":
            ratios = [a / b for a, b in zip(values, times["made"], strict=True)]
            rows[-1] |= summary(ratios, "times_made", "times_low", "times_high")
        print(" ", *(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    return rows


def adam(network, fused=True, lr=1e-3):
    """Adam, of the same kind for all: fused, or as PyTorch gives it by default."""
    return torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.0, fused=fused or None)


def step_of(loss, optimizer):
    """One training step, as a function without arguments."""

    def step():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def step(config, keep):
    """A training step: packages with Adam as it is and with fused Adam; made as ``made.fit`` does it, and plain."""
    x, rows = bits(config["batch"], config["D"]), []
    for hidden in config["hidden"]:
        contenders, model = {}, made.MADE(config["D"], hidden, direct=False)
        for fused in (False, True):
            for name, network in rivals.build_peers(model)[0].items():
                loss = lambda network=network: rivals.nll(network, x)
                contenders[name + (", fused" if fused else "")] = step_of(loss, adam(network, fused))
        variants = {
            "made": model,
            "made, product with masks": made.MADE(config["D"], hidden, direct=False),
            "made, with direct connections": made.MADE(config["D"], hidden, direct=True),
        }
        for known in config["networks"]:
            trained = networks.load(known, config)
            if list(trained.config.hidden) == hidden and trained.direct is None:
                variants["made, trained"] = copy.deepcopy(trained)
        for name, variant in variants.items():
            if "product" not in name:
                keep.enter_context(kept_masked(variant.train()))
            contenders[name] = step_of(lambda variant=variant: variant.loss(x), adam(variant))
        times = contest(contenders, config["rounds"] if hidden[0] < 1000 else config["rounds"] // 2, config["turn_ms"])
        rows += table(times, hidden=hidden, batch=config["batch"])
    for row in rows:
        row["trained"] = row["contender"] == "made, trained"
    return rows


def epoch(config, keep):
    """A pass over the rows: as people write it (a loader that collates row by row, plain Adam), and at its best."""
    x, hidden, size = bits(config["epoch_rows"], config["D"]), config["hidden"][0], config["batch"]
    model = made.MADE(config["D"], hidden, direct=False)

    def run(network, batches, optimizer):
        for rows in batches():
            optimizer.zero_grad()
            rivals.nll(network, rows).backward()
            optimizer.step()

    loader = DataLoader(TensorDataset(x), batch_size=size, shuffle=True)
    ways = {
        ", as usual": (lambda: (rows for (rows,) in loader), False),
        ", fused": (lambda: x[torch.randperm(len(x))].split(size), True),
    }
    contenders = {}
    for way, (batches, fused) in ways.items():
        for name, network in rivals.build_peers(model)[0].items():
            optimizer = adam(network, fused)
            contenders[name + way] = lambda a=network, b=batches, c=optimizer: run(a, b, c)
    contenders["made"] = lambda: made.fit(model, x, epochs=1, batch_size=size, progress=False)
    return table(contest(contenders, config["slow_rounds"]), hidden=hidden, rows=len(x), trained=False)


def until(config, keep):
    """Training until the validation score is low enough: all from the same weights, with the same rows and fused Adam.

    Contenders take turns of a few steps. Only steps are timed.
    """
    given, hidden = config["until"], config["hidden"][0]
    x = valid = bits(config["epoch_rows"], config["D"])
    if given["data"]:
        split = made.data.load(given["data"], binarize="threshold")
        x, valid = split.train, split.valid[:1000]
    model, draw = made.MADE(config["D"], hidden, direct=False, seed=0), torch.Generator().manual_seed(0)
    racers = {name: (network, rivals.nll) for name, network in rivals.build_peers(model)[0].items()}
    keep.enter_context(kept_masked(model))
    racers["made"] = (model, lambda model, rows: model.loss(rows))
    optimizers = {name: adam(network, lr=given["lr"]) for name, (network, _) in racers.items()}
    seconds, found, steps = {name: [] for name in racers}, {}, 0
    while racers.keys() - found.keys():
        chunk = [x[torch.randint(len(x), (config["batch"],), generator=draw)] for _ in range(given["every"])]
        steps += len(chunk)
        for name, (network, loss) in racers.items():
            start = time.perf_counter()
            for rows in chunk:
                step_of(lambda a=network, b=loss, c=rows: b(a, c), optimizers[name])()
            seconds[name].append(time.perf_counter() - start)
            with torch.no_grad():
                nats = loss(network, valid).item()
            if nats <= given["nats"] and name not in found:
                found[name] = {"steps": steps, "seconds": round(sum(seconds[name]), 3), "valid": round(nats, 2)}
    rows = table({name: [1000 * t for t in times] for name, times in seconds.items()}, hidden=hidden, lr=given["lr"])
    return [
        {**row, "steps_per_turn": given["every"], "until": given["nats"], **found[row["contender"]]} for row in rows
    ]


@torch.no_grad()
def log_prob(config, keep):
    """Log-probabilities of a batch of rows."""
    rows, hidden = [], config["hidden"][1]
    for batch in config["log_prob_batches"]:
        x, model = bits(batch, config["D"]), made.MADE(config["D"], hidden, direct=False).eval()
        contenders = {
            name: lambda network=network, x=x: rivals.nll(network, x)
            for name, network in rivals.build_peers(model)[0].items()
        }
        contenders["made"] = lambda model=model, x=x: model.log_prob(x)
        times = contest(contenders, config["rounds"], config["turn_ms"])
        rows += table(times, hidden=hidden, batch=batch, trained=False)
    return rows


def samplers(model, batch, given=None):
    """All ways to draw rows from one network, or with ``given`` what comes last in the order, as functions."""
    order, start = model.connectivity.order.tolist(), 0
    u = uniforms(batch, model.n_features, torch.Generator().manual_seed(0))
    fresh, once, floor = made.MADE(**vars(model.config)).eval(), rivals.EachUnitOnce(model), rivals.unmasked_pass(model)
    inputs = torch.zeros(batch, model.hidden[0].in_features)
    contenders = {}
    if given is not None:
        start = int((~given[0].isnan()).sum())
    if batch <= 100:  # more would take minutes
        packages = rivals.build_peers(model)[0] if order == sorted(order) else {}  # an order changes no time of theirs
        for name, network in (packages | {"weights masked once": rivals.unmasked_pass(model)}).items():
            contenders[name] = lambda network=network: rivals.sample(network, order, u, given, start)
        contenders["made, naive"] = lambda: model.sample(batch, given=given, method="naive")
        contenders[LOOP] = rivals.bare_loop(model, batch, model.n_features - start)
    contenders[ONCE] = lambda: once(u, given, start)
    contenders[FLOOR] = lambda: floor(inputs)
    contenders["made, untrained"] = lambda: fresh.sample(batch, given=given)
    contenders["made"] = lambda: model.sample(batch, given=given)
    return contenders


@torch.no_grad()
def sampling(config, keep):
    """Samples from trained networks."""
    rows = []
    for name in config["networks"]:
        model, about = networks.load(name, config), networks.about(name, config)
        for batch in config["sample_batches"]:
            times = contest(samplers(model, batch), config["slow_rounds"], config["turn_ms"])
            rows += table(times, **about, batch=batch)
    return rows


@torch.no_grad()
def completion(config, keep):
    """The second half of each row, given the first, for natural orders."""
    rows = []
    for name in config["networks"]:
        if "random" in name:
            continue
        model, about = networks.load(name, config), networks.about(name, config)
        for batch in config["sample_batches"][:2]:
            given = model.sample(batch, generator=torch.Generator().manual_seed(0))
            given[:, model.connectivity.order[config["D"] // 2 :]] = torch.nan
            times = contest(samplers(model, batch, given), config["slow_rounds"], config["turn_ms"])
            rows += table(times, **about, batch=batch, known=config["D"] // 2)
    return rows


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


def multiplications(run):
    """How many multiplications the products of matrices take."""
    flops = lambda _, a, b, **rest: 2 * a[0] * a[1] * b[1]  # of shapes; the counter does not know this one by itself
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops}) as counter:
        run()
    return counter.get_total_flops() // 2


@torch.no_grad()
def rounds(config, keep):
    """Counted, not timed: rounds of repair per block, and multiplications, for trained networks and untrained ones."""
    rows = []
    for name in config["networks"]:
        model = networks.load(name, config)
        layers = [*model.hidden, model.output, *([] if model.direct is None else [model.direct])]
        allowed, weights = (sum(int(count(layer)) for layer in layers) for count in (_allowed, _weights))
        for trained, network in {True: model, False: made.MADE(**vars(model.config)).eval()}.items():
            for batch in config["sample_batches"]:
                about = {**networks.about(name, config), "trained": trained and networks.trained(name), "batch": batch}
                rows.append({**about, **counted_draws(network, batch, config["draws"])})
                rows[-1] |= {"of_a_pass": weights * batch, "that_masks_leave": allowed * batch}
                print(" ", rows[-1], flush=True)
    return rows


def counted_draws(model, batch, draws):
    """Rounds of every block and multiplications, means over some draws; and the most rounds of any block."""
    generator, unknown = torch.Generator().manual_seed(0), torch.full((batch, model.n_features), torch.nan)
    counts, used = [], []
    for _ in range(draws):
        u = uniforms(batch, model.n_features, generator)
        counts.append(rounds_of_repair(model, u, unknown))
        used.append(multiplications(lambda u=u: sample_incremental(model, u, unknown)))
    means = [round(statistics.mean(of_block), 2) for of_block in zip(*counts, strict=True)]
    return {"draws": draws, "rounds": means, "most": max(map(max, counts)), "multiplications": statistics.mean(used)}


def _allowed(layer):
    return layer.mask.sum()


def _weights(layer):
    return layer.weight.numel()


def memory(config, keep):
    """Peak memory of a process that takes 20 training steps, above one that only makes the data (on Linux)."""
    rows, base = [], None
    for name in ["nothing", *rivals.PEERS, "made"]:
        command = [sys.executable, __file__, "--memory-of", name, "--config", json.dumps(config)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
        base = float(found) if base is None else base
        if found != "absent":
            about = {"hidden": config["hidden"][-1], "contender": name, "trained": False}
            rows.append({**about, "MiB": round(float(found) - base, 1)})
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
            network = rivals.PEERS[name](config["D"], hidden)
        except (ImportError, ValueError):
            print("absent")
            return
        one = step_of(lambda: rivals.nll(network, x), adam(network))
        for _ in range(20):
            one()
    # not getrusage: what it reports as the peak includes that of the process that started this one
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)


def task_of(task, model, x, local):
    """A task of :func:`growth`, as a function without arguments."""
    if task == "step":
        local.enter_context(kept_masked(model))
        return step_of(lambda: model.loss(x), adam(model))
    return (lambda: model.log_prob(x)) if task == "log_prob" else (lambda: model.sample(len(x)))


def growth(config, keep):
    """How cost grows with D, width and batch, for untrained networks: times and the exponent of the best power law."""
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
                    run = task_of(task, model, x, local)
                    times = contest({"made": run}, config["slow_rounds"] if value < 10000 else 1)["made"]
                found.append({"size": value, "ms": summary(times, "ms", "low", "high")["ms"]})
            logs = [(math.log(time["size"]), math.log(time["ms"])) for time in found]
            slope = statistics.linear_regression(*zip(*logs, strict=True)).slope
            rows.append({"task": task, "axis": axis, "trained": False, "times": found, "exponent": round(slope, 2)})
            print(" ", rows[-1], flush=True)
    return rows


def copy_bandwidth():
    """Bytes per second that the machine reads and writes when it copies a large tensor."""
    source = torch.zeros(32_000_000)
    target = torch.empty_like(source)
    times = contest({"copy": lambda: target.copy_(source)}, 5)["copy"]
    return 2 * source.numel() * 4 / (statistics.median(times) / 1000)


def floor_cases(config):
    """D, depth, batch, likelihood and options of the networks of :func:`floor`."""
    cases = [
        (D, depth, batch, "Bernoulli", {})
        for D in config["floor_D"]
        for depth in (1, 2, 3)
        for batch in config["floor_batches"]
    ]
    last, middle = config["floor_batches"][-1], config["floor_batches"][1]
    cases += [(config["D"], 2, batch, "Bernoulli", {"direct": True}) for batch in config["floor_batches"]]
    cases += [(config["D"], 2, middle, "Bernoulli", {"order": "random", "n_masks": 4})]
    cases += [(config["floor_D"][0], 2, b, name, {}) for name in OTHERS for b in config["floor_batches"] if b < last]
    return [*cases, (config["D"], 2, middle, "Gaussian", {})]


OTHERS = {
    "Categorical(4)": made.Categorical(4),
    "Gaussian": made.Gaussian(),
    "MixtureOfGaussians(5)": made.MixtureOfGaussians(5),
    "DiscretizedLogistic(256, 5)": made.DiscretizedLogistic(256, 5),
}


@torch.no_grad()
def floor(config, keep):
    """Untrained networks of many kinds: the incremental sampler beside the floor, the time of one forward pass."""
    bandwidth, rows = copy_bandwidth(), []
    for D, depth, batch, name, options in floor_cases(config):
        options_of_all = {"likelihood": OTHERS.get(name), "direct": False, **options}
        model = made.MADE(D, [config["hidden"][0][0]] * depth, **options_of_all).eval()
        layers = [*model.hidden, model.output, *([model.direct] if model.direct is not None else [])]
        once, inputs = rivals.unmasked_pass(model), torch.zeros(batch, model.hidden[0].in_features)
        run = {
            "sample": lambda model=model, n=batch: model.sample(n),
            "forward": lambda once=once, inputs=inputs: once(inputs),
        }
        ms = {key: summary(t, "ms", "low", "high")["ms"] for key, t in contest(run, config["slow_rounds"]).items()}
        rows.append(
            {"D": D, "depth": depth, "batch": batch, "likelihood": name, "options": options, "trained": False}
            | {"ms": ms["sample"], "forward_ms": ms["forward"]}
            | {"allowed_multiplications": batch * int(sum(layer.mask.sum() for layer in layers))}
            | {"read_weights_ms": round(1000 * 4 * sum(layer.weight.numel() for layer in layers) / bandwidth, 4)}
        )
        print(" ", rows[-1], flush=True)
    return rows


@torch.no_grad()
def blocks(config, keep):
    """The incremental sampler with blocks of other sizes, on trained networks."""
    rows = []
    for name in config["networks"]:
        model = networks.load(name, config)
        for batch in config["sample_batches"]:
            u = uniforms(batch, config["D"], torch.Generator().manual_seed(0))
            unknown = torch.full(u.shape, torch.nan)
            contenders = {
                block: lambda u=u, unknown=unknown, block=block, model=model: sample_incremental(
                    model, u, unknown, block=block
                )
                for block in config["blocks"]
            }
            for block, values in contest(contenders, config["slow_rounds"], config["turn_ms"]).items():
                counts = sum(rounds_of_repair(model, u, unknown, block))
                about = {**networks.about(name, config), "batch": batch, "block": block, "rounds": counts}
                rows.append({**about, **summary(values, "ms", "low", "high")})
                print(" ", rows[-1], flush=True)
    return rows


def trained(config, keep):
    """The networks that are sampled: how they were trained, and what they score on test rows."""
    rows = [{**networks.about(name, config), **networks.history(name, config)} for name in config["networks"]]
    print(*rows, sep="\n")
    return rows


TIMED = (sampling, completion, step, log_prob, epoch, until, blocks, floor, growth, memory)
SECTIONS = {f.__name__: f for f in (trained, rounds, *TIMED)}


def code():
    """A digest of the package: all sections of the record are of the same one."""
    sources = sorted(Path(made.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def measured(name, config):
    """A section of the record: its rows, and where, with what and in which company it was measured."""
    load, wall, work = os.getloadavg()[0], time.perf_counter(), sum(os.times()[:4])
    with ExitStack() as keep:
        rows = SECTIONS[name](config, keep)
    wall, work = time.perf_counter() - wall, sum(os.times()[:4]) - work
    machine = {"cpu": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    company = {"load": [round(load, 1), round(os.getloadavg()[0], 1)], "niceness": os.nice(0)}
    # the share of the time in which this process, and those it started, had no core: near 0 on a quiet machine
    company |= {"seconds": round(wall, 1), "waited": round(max(0.0, 1 - work / wall), 3)}
    return {"machine": machine, "versions": rivals.versions(), "code": code(), "company": company, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--config", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # fastest for networks of this size, and no thread waits for one that the machine took
    if chosen.memory_of:
        memory_of(chosen.memory_of, json.loads(chosen.config))
        return
    started, config = time.time(), TOY if chosen.toy else FULL
    folder = Path(tempfile.mkdtemp()) if chosen.toy else RESULTS
    old = folder / "speed.json"
    sections = json.loads(old.read_text())["sections"] if old.exists() else {}
    for name in chosen.only:
        print(name, flush=True)
        sections[name] = measured(name, config)
    absent = rivals.build_peers(made.MADE(config["D"], config["hidden"][0]))[1]
    sections = {name: sections[name] for name in SECTIONS if name in sections}
    print(write("speed", config, started, folder, absent=absent, sections=sections))


if __name__ == "__main__":
    main()
