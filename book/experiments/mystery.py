"""The post's network at its own size, 2 x 8000, with each of its slips on and off: sixteen cells, on a GPU.

    python book/experiments/mystery.py           some minutes on a data-centre GPU
    python book/experiments/mystery.py --toy     a few seconds, into a temporary folder: only proves that it runs
    python book/experiments/mystery.py --device cuda --seconds 260 --folder somewhere
    python book/experiments/mystery.py --cells whole-sigmoid --seconds 90     only these, with all the seconds

The slips are those of ``slips.py``: wide degrees, a ReLU output and dropout in evaluation. As there, the third
changes no gradient, so one training serves both its settings, each with its own best weights: 8 trainings, 16 cells.
The rest follows the public notebook: 8000 units twice, Adam 5e-4, batches of 500, dropout 0.1 of hidden units and of
the direct term, weights uniform as Glorot drew them, all biases 0; the rate is halved after 25 epochs without gain,
training ends after 50 without a gain of 0.1. The rule looks at the validation score without dropout. Two things differ:
10,000 training rows are set apart for validation, and the test rows are used once, at the end. As the output bias of
0 is part of the question, the networks with a ReLU output are also trained with one of 1/2.

With ``wide_degrees`` nine units in ten have a degree of D or more. No output may use them, they feed no unit that an
output may use, and no gradient reaches them. So these networks are trained without them, which is exact, and two seeds
of all variants fit side by side. ``usable`` counts the units that are left, per hidden layer.

Every row says why its training ended: "patience", "epochs" or "budget" (of seconds). A row that ended by budget is not
converged. Started again, the script repeats only such rows, and those that are missing; with ``--cells`` only those of
the kind that is named: "wide" for wide degrees, and for the others "whole-" and their output. All other rows stay as
they are, and ``device`` tells on what a row was made.

``precision`` compares float32 with shorter formats on a small network, same seeds, to show what they change.
"""

import json
import math
import time
from itertools import pairwise

import run
import torch
from stacked import Clock, Stack, Step, adam, cross_entropy, dropping, machine, nats, options, set_precision, show
from torch.nn import functional as F

import made

SECONDS = 260
WAYS = (False, True)  # dropout in evaluation
CELLS = ["wide", "whole-sigmoid", "whole-relu"]
CONFIG = {
    "data": "mnist",
    "units": [8000, 8000],
    "range": 8000 / 784,  # highest degree of a wide layer, in units of D
    "dropout": 0.1,
    "clip": 1e-7,
    "lr": 5e-4,
    "batch_size": 500,
    "epochs": 1000,
    "halve_after": 25,
    "patience": 50,
    "min_delta": 0.1,
    "variants": [["sigmoid", 0.0], ["relu", 0.0], ["relu", 0.5]],  # output and its initial bias
    "wide_seeds": [0, 1],
    "whole_seeds": [0],
    "precision": {"units": [500, 500], "seeds": [0, 1, 2], "epochs": 15, "names": ["float32", "tf32", "bfloat16"]},
}
TOY = {
    **CONFIG,
    "data": "digits",
    "units": [100, 100],
    "range": 100 / 64,
    "epochs": 3,
    "whole_seeds": [0],
    "precision": {"units": [16, 16], "seeds": [0, 1], "epochs": 2, "names": ["float32", "bfloat16"]},
}


def degrees_of(config, n_features, cell, units):
    """Degrees of the hidden layers, sorted; of wide ones only those that an output may use."""
    generator = torch.Generator().manual_seed(cell["seed"])
    highest = round(config["range"] * n_features) - 1 if cell["wide_degrees"] else n_features - 1
    degrees, low = [], 1
    for width in units:
        degrees.append(torch.randint(low, highest + 1, (width,), generator=generator))
        low = int(degrees[-1].min())
    return [layer[layer < n_features].sort().values for layer in degrees]


def build(config, n_features, cells, units, device):
    """A stack of all cells, which differ in anything but ``wide_degrees``; and the usable units of each."""
    degrees = [degrees_of(config, n_features, cell, units) for cell in cells]
    usable = [[len(layer) for layer in layers] for layers in degrees]
    inputs = torch.arange(1, n_features + 1, device=device)  # the masks are made there, which is faster
    beyond = n_features  # a unit of degree D fills up, unused
    widths = [max(counts) for counts in zip(*usable, strict=True)]
    padded = [
        [
            F.pad(layer, (0, width - len(layer)), value=beyond).to(device)
            for layer, width in zip(layers, widths, strict=True)
        ]
        for layers in degrees
    ]
    masks = [torch.stack(same) for same in zip(*(made.masks.build_masks([inputs, *p]) for p in padded), strict=True)]
    direct = None
    if any(cell["direct"] for cell in cells):
        full = made.masks.build_masks([inputs])[0]
        direct = torch.stack([full if cell["direct"] else torch.zeros_like(full) for cell in cells])
    sizes = [n_features, *units, n_features]  # of the whole network: Glorot's bounds know nothing of masks
    glorot = [math.sqrt(6 / (a + b)) for a, b in [*pairwise(sizes), (n_features, n_features)]]
    generator = torch.Generator(device).manual_seed(cells[0]["seed"])
    stack = Stack(masks, direct, len(cells), glorot, generator, strips=1 if cells[0]["wide_degrees"] else 8)
    biases = torch.tensor([cell["output_bias"] for cell in cells])
    stack.output.bias.data += biases.view(-1, 1, 1).to(device)
    return stack, usable


def losses(out, x, relu, clip):
    """What each row costs under each network, in nats: (n, B). ``relu`` tells the networks with the slip, (n, 1)."""
    p = torch.relu(out).clamp(clip, 1 - clip)
    clipped = F.binary_cross_entropy(p, x.expand_as(out), reduction="none").sum(-1)
    return torch.where(relu, clipped, cross_entropy(out, x))


class Training:
    """Networks that learn side by side, each with its own rate, its own end, and its own best weights."""

    def __init__(self, config, split, cells, units, device, dtype):
        self.config, self.cells, self.dtype, self.device = config, cells, dtype, device
        self.stack, self.usable = build(config, split.train.shape[1], cells, units, device)
        self.train, self.valid, self.test = (x.to(device) for x in (split.train, split.valid, split.test))
        self.relu = torch.tensor([[cell["output"] == "relu"] for cell in cells], device=device)
        self.drop = dropping(torch.full((len(cells), 1, 1), config["dropout"], device=device))
        self.rate = torch.ones(len(cells), 1, 1, device=device)  # in units of the initial rate; 0 for who has ended
        self.total = torch.zeros(len(cells), device=device)
        self.optimizer = adam(self.stack.trained(), config["lr"], device, weight_decay=0.0)
        self.best = {way: [p.detach().clone() for p in self.stack.trained()] for way in WAYS}

    def out(self, rows, with_dropout):
        """Raw outputs and the rows themselves."""
        x = rows.to(self.dtype).expand(len(self.cells), *rows.shape)
        return self.stack(x, self.drop, self.drop) if with_dropout else self.stack(x)

    def step(self, rows):
        """One step of Adam. What Adam does is proportional to the rate, so a rate of its own scales it afterwards."""
        x, parameters = self.train[rows], self.stack.trained()
        before = [p.detach().clone() for p in parameters] if len(self.cells) > 1 else []
        self.optimizer.zero_grad()
        means = losses(self.out(x, True), x, self.relu, self.config["clip"]).mean(1)
        means.sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            self.total += means
            for p, old in zip(parameters, before, strict=False):
                p.copy_(torch.lerp(old, p, self.rate))

    @torch.no_grad()
    def score(self, rows, with_dropout):
        """The cost of every row; dropout, where it is left on, is the same in every call."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            parts = [
                losses(self.out(x, with_dropout), x, self.relu, self.config["clip"]).double() for x in rows.split(2500)
            ]
        return torch.cat(parts, 1)

    @torch.no_grad()
    def silent(self):
        """Of each network, the share of outputs whose gradient the clip takes away, on validation rows."""
        out, clip = self.out(self.valid[:2000], False), self.config["clip"]
        share = ((out <= clip) | (out >= 1 - clip)).double().mean((1, 2))
        return [round(s, 3) for s in (share * self.relu[:, 0]).tolist()]

    def keep_best(self, way, gained):
        """Keep the weights of the networks that have gained."""
        chosen = torch.tensor(gained, device=self.device).view(-1, 1, 1)
        for p, best in zip(self.stack.trained(), self.best[way], strict=True):
            best.copy_(torch.where(chosen, p.detach(), best))

    def run(self, clock):
        """Train until all have ended; the state of each network."""
        config, batch_size = self.config, min(self.config["batch_size"], len(self.train))
        names = ("train", *WAYS)
        states = [
            {"curves": {name: [] for name in names}, "wait": 0, "long_wait": 0, "bar": math.inf, "stopped": ""}
            for _ in self.cells
        ]
        generator, step = torch.Generator().manual_seed(self.cells[0]["seed"]), Step(self.step, batch_size, self.device)
        torch.manual_seed(self.cells[0]["seed"])
        for epoch in range(config["epochs"]):
            order, steps = torch.randperm(len(self.train), generator=generator).to(self.device), 0
            for rows in order.split(batch_size):
                if len(rows) == batch_size:
                    step(rows)
                    steps += 1
            scores = {"train": (self.total / steps).tolist()}
            self.total.zero_()
            for way in WAYS:
                scores[way] = self.score(self.valid, way).mean(1).tolist()
                lowest = [min(state["curves"][way], default=math.inf) for state in states]
                running = [not state["stopped"] for state in states]
                self.keep_best(way, [on and v < low for on, v, low in zip(running, scores[way], lowest, strict=True)])
            for k, state in enumerate(states):
                if not state["stopped"]:
                    self.end_epoch(k, state, {name: scores[name][k] for name in names}, epoch)
            if clock.left() < 0:
                for state in states:
                    state["stopped"] = state["stopped"] or "budget"
            if all(state["stopped"] for state in states):
                break
            if len(self.cells) == 1:
                self.optimizer.param_groups[0]["lr"].fill_(config["lr"] * self.rate.item())
        self.recorded = step.graph is not None
        return states

    def end_epoch(self, k, state, scores, epoch):
        """Enter the scores of network k; halve its rate or end it, as the notebook's two callbacks do."""
        config, curves = self.config, state["curves"]
        before = min(curves[False], default=math.inf)
        for name, value in scores.items():
            curves[name].append(value)
        state["wait"] = 0 if scores[False] < before - 1e-4 else state["wait"] + 1
        gained = scores[False] < state["bar"] - config["min_delta"]
        state["long_wait"] = 0 if gained else state["long_wait"] + 1
        state["bar"] = scores[False] if gained else state["bar"]
        if state["wait"] >= config["halve_after"]:
            self.rate[k] /= 2
            state["wait"] = 0
        state["rate_at_end"] = config["lr"] * self.rate[k].item()
        if state["long_wait"] >= config["patience"]:
            state["stopped"] = "patience"
        elif epoch + 1 == config["epochs"]:
            state["stopped"] = "epochs"
        elif not math.isfinite(scores["train"]):
            state["stopped"] = "not finite"
        if state["stopped"]:
            self.rate[k] = 0

    def results(self, clock):
        """Train, then score: two rows for every network."""
        started, silent = time.monotonic(), self.silent()
        states, silent_at_end = self.run(clock), self.silent()
        seconds = round(time.monotonic() - started, 1)
        set_precision("float32")
        self.dtype, rows = torch.float32, []
        for way in WAYS:
            for p, best in zip(self.stack.trained(), self.best[way], strict=True):
                p.data.copy_(best)
            tested = self.score(self.test, way)
            for k, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
                curve = state["curves"][way]
                rows.append(
                    {
                        **cell,
                        "dropout_in_evaluation": way,
                        "test": nats(tested[k]),
                        "valid": round(min(curve), 3),
                        "best_epoch": curve.index(min(curve)),
                        "epochs": len(curve),
                        "stopped": state["stopped"],
                        "rate_at_end": state["rate_at_end"],
                        "usable": self.usable[k],
                        "silent_at_start": silent[k],
                        "silent_at_end": silent_at_end[k],
                        "train_curve": [round(v, 2) for v in state["curves"]["train"]],
                        "valid_curve": [round(v, 2) for v in curve],
                        "seconds": seconds,
                        "device": machine(self.device)["device"],
                        "side_by_side": len(self.cells),
                        "recorded_step": self.recorded,
                    }
                )
        return rows


def cell(wide, output, bias, direct, seed):
    """One training."""
    return {"wide_degrees": wide, "output": output, "output_bias": bias, "direct": direct, "seed": seed}


def groups(config):
    """What is trained side by side: all wide networks, then the others one by one, those in question first."""
    variants, both = config["variants"], (True, False)
    yield [cell(True, *v, direct, seed) for seed in config["wide_seeds"] for v in variants for direct in both]
    for seed in config["whole_seeds"]:
        for variant in variants:
            for direct in both:
                yield [cell(False, *variant, direct, seed)]


def cells_of(group):
    """Which of ``CELLS`` the networks of a group are."""
    return "wide" if group[0]["wide_degrees"] else f"whole-{group[0]['output']}"


def compare_precisions(config, split, device):
    """A small correct network in each precision, same seeds: what the shorter formats change."""
    small, rows = config["precision"], []
    settings = {**config, "epochs": small["epochs"]}
    for name in small["names"]:
        cells = [cell(False, "sigmoid", 0.0, False, seed) for seed in small["seeds"]]
        training = Training(settings, split, cells, small["units"], device, set_precision(name))
        rows += [
            {"precision": name, "units": small["units"], **row}
            for row in training.results(Clock(math.inf))
            if not row["dropout_in_evaluation"]
        ]
    return rows


def is_done(group, rows):
    """Whether all networks of a group have been trained to an end."""
    ended = [row for row in rows if row["stopped"] != "budget"]
    return all(any(row.items() >= network.items() for row in ended) for network in group)


def main():
    """Go on where the last call has stopped."""
    chosen = options(__doc__, SECONDS, cells=CELLS)
    config, started, clock = TOY if chosen.toy else CONFIG, time.time(), Clock(chosen.seconds)
    path = chosen.folder / "mystery.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("config") != json.loads(json.dumps(config)):
        known = {"rows": [], "precision": [], "seconds": 0.0}
    rows, precision, before = known["rows"], known["precision"], known["seconds"]

    def save():
        run.write(
            "mystery",
            config,
            started - before,
            chosen.folder,
            gpu=machine(chosen.device),
            products_in=chosen.precision,
            precision=precision,
            rows=rows,
        )

    split = made.data.load(config["data"])
    if not precision:
        precision += compare_precisions(config, split, chosen.device)
        save()
    todo = [group for group in groups(config) if cells_of(group) in chosen.cells and not is_done(group, rows)]
    for number, group in enumerate(todo):
        weights = [6 if len(g) > 1 else 1 for g in todo[number:]]
        seconds = clock.left() * weights[0] / sum(weights)
        if seconds < 1:
            break
        training = Training(config, split, group, config["units"], chosen.device, set_precision(chosen.precision))
        found = training.results(Clock(seconds))
        del training
        rows = [row for row in rows if not any(row.items() >= network.items() for network in group)] + found
        save()
        names = ("wide_degrees", "output", "output_bias", "direct", "seed", "dropout_in_evaluation")
        show(found, *names, "test", "epochs", "stopped", "seconds", "recorded_step")
    print(path, f"{clock.left():.0f} s left")


if __name__ == "__main__":
    main()
