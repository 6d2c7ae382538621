"""Times of MADE and its relatives: to score rows, to draw rows, and to score rows of which half is unknown.

    python book/experiments/relatives_speed.py          3 minutes when recorded, one thread
    python book/experiments/relatives_speed.py --toy    a few seconds, into a temporary folder: only proves that it runs

Networks are those of ``relatives.py`` with the first seed, as trained; where their weights are not at hand, they are
trained again. Contenders of a task take turns in every round, so that a slow moment of the machine meets them all; the
first round warms up. Times are those of work, whatever else the machine has to do, in milliseconds: medians over rounds
with quartiles. To draw, ``naive`` is a full pass for every variable, ``fast`` computes once what is final. The task
``half`` is the exact log-probability of 32 pixels of a row whose other pixels are unknown. ``relatives_drawn.npz`` gets
a few rows of each network, from equal uniforms.
"""

import json
import os
import statistics
import time

import numpy
import other_models
import relatives
import run
import torch

import made

EXPECTED = "3 minutes"
CONFIG = {"relatives": relatives.CONFIG, "rounds": 7, "draw": [1, 100], "turn_ms": 50, "shown": 10}
TOY = {"relatives": relatives.TOY, "rounds": 1, "draw": [1], "turn_ms": 0, "shown": 1}


def trained(config, folder, model, runs):
    """The network of the first seed: read, or trained again with the setting that was chosen."""
    seed, path = config["seeds"][0], relatives.kept(folder, model)
    chosen = run.select(runs, stage="final", model=model, seed=seed)[0] if runs else {"lr": 1e-2, "dropout": 0.0}
    if path.exists():
        network = relatives.build(config, model, chosen["dropout"], seed)
        network.load_state_dict(torch.load(path))
        return network.eval()
    split = made.data.load(config["data"])
    return relatives.train(config, split, model, chosen["lr"], chosen["dropout"], seed)[0]


def asks_for_unknown(network):
    """Whether a network takes variables as unknown, and so needs a pass for every step."""
    return isinstance(network, other_models.AnyOrderTransformer)


def scoring(networks, x):
    """Ways to score rows, as functions without arguments, by model and way; one order is as good as another."""
    order = relatives.drawn({"seed": 0, "n": 1})
    return {
        (model, f"{x.shape[1]} passes" if asks_for_unknown(network) else "one pass"): (
            lambda network=network: relatives.scored(network, x, order)
        )
        for model, network in networks.items()
    }


def drawing(networks, u):
    """Ways to draw the rows that uniforms stand for."""
    found = {}
    for model, network in networks.items():
        if isinstance(network, made.MADE):
            found[model, "naive"] = lambda network=network: network.sample(len(u), method="naive")
            found[model, "fast"] = lambda network=network: network.sample(len(u))
        elif asks_for_unknown(network):  # what a unit says changes with all that gets known, so nothing is final
            found[model, "naive"] = lambda network=network: network.draw(u)
        else:
            found[model, "naive"] = lambda network=network: other_models.sample_naive(network, u)
            found[model, "fast"] = lambda network=network: network.draw(u)
    return found


def half(networks, x):
    """Ways to the exact log-probability of half of the variables of a row, which come first in an order."""
    order = relatives.drawn({"seed": 1, "n": 1})
    known = x.clone()
    known[:, order[0, x.shape[1] // 2 :]] = torch.nan
    found = {}
    for model, network in networks.items():
        if asks_for_unknown(network):
            found[model, f"{x.shape[1] // 2} passes"] = lambda network=network: first_half(network, x, order[0])
        elif relatives.for_any_order(network):
            found[model, "one pass"] = lambda network=network: made.ensemble.marginal_log_prob(network, known)
    return found


def first_half(network, x, order):
    """Log-probability of the first half of an order under an any-order transformer."""
    place, log_p = order.argsort(), 0.0
    for t, i in enumerate(order[: len(order) // 2].tolist()):
        logits = network.conditionals(x, (place < t).expand_as(x))[:, i]
        log_p = log_p - torch.nn.functional.binary_cross_entropy_with_logits(logits, x[:, i], reduction="none")
    return log_p


@torch.no_grad()
def contest(contenders, config):
    """Milliseconds of work per call of every contender in every round; a turn is as many calls as fill ``turn_ms``."""
    times, calls = {name: [] for name in contenders}, dict.fromkeys(contenders, 1)
    for turn in range(config["rounds"] + 1):
        for name, work in contenders.items():
            started = time.process_time()
            for _ in range(calls[name]):
                work()
            taken = 1000 * (time.process_time() - started) / calls[name]
            if turn:
                times[name].append(taken)
            else:
                calls[name] = max(1, round(config["turn_ms"] / taken))
    return times


def table(contenders, config, **about):
    """A row for each contender, printed on the way."""
    rows = []
    for (model, way), values in contest(contenders, config).items():
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
        times = {"ms": round(middle, 4), "low": round(low, 4), "high": round(high, 4)}
        rows.append({**about, "model": model, "way": way, **times, "us_per_row": round(1000 * middle / about["n"], 2)})
        print(*(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    return rows


def shown(networks, n):
    """Some rows of every network as arrays of small integers; equal uniforms for all."""
    drawn = {
        model: network.sample(n, generator=torch.Generator().manual_seed(0)) for model, network in networks.items()
    }
    return {f"drawn_{model}": rows.to(torch.uint8).numpy() for model, rows in drawn.items()}


def main():
    chosen, folder = run.begin("relatives_speed", __doc__, EXPECTED)
    config, started = TOY if chosen.toy else CONFIG, time.time()
    runs = [] if chosen.toy else json.loads((folder / "relatives.json").read_text())["runs"]
    networks = {name: trained(config["relatives"], folder, name, runs) for name in config["relatives"]["models"]}
    x = made.data.load(config["relatives"]["data"]).test
    numpy.savez_compressed(folder / "relatives_drawn.npz", **shown(networks, config["shown"]))
    load, wall, work = os.getloadavg()[0], time.perf_counter(), time.process_time()
    rows = table(scoring(networks, x), config, task="score", n=len(x))
    for n in config["draw"]:
        u = made.sampling.uniforms(n, x.shape[1], torch.Generator().manual_seed(0))
        rows += table(drawing(networks, u), config, task="draw", n=n)
    rows += table(half(networks, x), config, task="half", n=len(x))
    wall, work = time.perf_counter() - wall, time.process_time() - work
    company = {"load": [round(load, 1), round(os.getloadavg()[0], 1)], "niceness": os.nice(0)}
    # the share of the time in which this process had no core: near 0 on a quiet machine
    company |= {"seconds": round(wall, 1), "waited": round(max(0.0, 1 - work / wall), 3)}
    print(run.write("relatives_speed", config, started, folder, company=company, rows=rows))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
