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
of all variants of an output fit side by side. ``usable`` counts the units that are left, per hidden layer.

Every row says why its training ended: "patience", "epochs" or "budget" (of seconds). A row that ended by budget is not
converged. Started again, the script repeats only such rows, and those without costs of the test rows; with ``--cells``
only those of the kind that is named: "wide-" for wide degrees, "whole-" for others, and their output. All other rows
stay as they are, and ``device`` tells on what a row was made.

The study "precision" compares float32 with shorter formats on a small network, same seeds, to show what they change.
"""

import math
from itertools import pairwise

import run
import stacked
import torch
from stacked import Clock, Record, Stack, aligned, cross_entropy, dropping, options, set_precision, show
from torch.nn import functional as F

import made

SECONDS = 260
WEIGHTS = {"wide-sigmoid": 3, "wide-relu": 5, "whole-sigmoid": 2, "whole-relu": 4}  # shares of the time
CELLS = ["wide-sigmoid", "wide-relu", "whole-sigmoid", "whole-relu"]
SETTING = ["units", "dropout", "lr", "batch_size", "epochs", "halve_after", "patience", "min_delta"]
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
    widths = [aligned(max(counts)) for counts in zip(*usable, strict=True)]
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


class Training(stacked.Training):
    """The networks of some cells, scored with and without dropout."""

    ways = (False, True)  # dropout in evaluation

    def __init__(self, config, split, cells, units, device, dtype):
        self.cells, n = cells, len(cells)
        stack, self.usable = build(config, split.train.shape[1], cells, units, device)
        self.relu = torch.tensor([[cell["output"] == "relu"] for cell in cells], device=device)
        self.drop = dropping(torch.full((n, 1, 1), config["dropout"], device=device))
        super().__init__(config, split, stack, [config["lr"]] * n, cells[0]["seed"], device, dtype)

    def out(self, rows, with_dropout):
        """Raw outputs of rows."""
        x = rows.to(self.dtype).expand(self.n, *rows.shape)
        return self.stack(x, self.drop, self.drop) if with_dropout else self.stack(x)

    def means(self, rows):
        """Mean loss of training rows under each network."""
        x = self.train[rows]
        return losses(self.out(x, True), x, self.relu, self.config["clip"]).mean(1)

    @torch.no_grad()
    def score(self, rows, way=False):
        """The cost of every row; dropout, where it is left on, is the same in every call."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            parts = [losses(self.out(x, way), x, self.relu, self.config["clip"]).double() for x in rows.split(2500)]
        return torch.cat(parts, 1)

    @torch.no_grad()
    def silent(self):
        """Of each network, the share of outputs whose gradient the clip takes away, on validation rows."""
        out, clip = self.out(self.valid[:2000], False), self.config["clip"]
        share = ((out <= clip) | (out >= 1 - clip)).double().mean((1, 2))
        return [round(s, 3) for s in (share * self.relu[:, 0]).tolist()]

    def results(self, clock):
        """Train, then score: two rows for every network."""
        silent = self.silent()
        self.run(clock)
        silent_at_end, rows = self.silent(), []
        setting = {name: self.config[name] for name in SETTING} | {"rows": len(self.train)}
        for way in self.ways:
            found = self.chosen(way)
            for k, cell in enumerate(self.cells):
                units = {"usable": self.usable[k], "silent_at_start": silent[k], "silent_at_end": silent_at_end[k]}
                what = {"setting": setting, **self.row(k, found, way), **units}
                rows.append(({"study": "cells", **cell, "dropout_in_evaluation": way}, what))
        return rows


def cell(wide, output, bias, direct, seed):
    """One training."""
    return {"wide_degrees": wide, "output": output, "output_bias": bias, "direct": direct, "seed": seed}


def groups(config):
    """What is trained side by side: the wide networks of an output; the others one by one, those in question first."""
    variants, both = config["variants"], (True, False)
    for output in ("sigmoid", "relu"):
        same = [variant for variant in variants if variant[0] == output]
        yield [cell(True, *v, direct, seed) for seed in config["wide_seeds"] for v in same for direct in both]
    for seed in config["whole_seeds"]:
        for variant in variants:
            for direct in both:
                yield [cell(False, *variant, direct, seed)]


def cells_of(group):
    """Which of ``CELLS`` the networks of a group are."""
    return f"{'wide' if group[0]['wide_degrees'] else 'whole'}-{group[0]['output']}"


def compare_precisions(config, split, device):
    """A small correct network in each precision, same seeds: what the shorter formats change."""
    small, rows = config["precision"], []
    settings = {**config, "epochs": small["epochs"], "units": small["units"]}
    for name in small["names"]:
        cells = [cell(False, "sigmoid", 0.0, False, seed) for seed in small["seeds"]]
        training = Training(settings, split, cells, small["units"], device, set_precision(name))
        for fields, what in training.results(Clock(math.inf)):
            if not fields["dropout_in_evaluation"]:
                rows.append(({**fields, "study": "precision", "precision": name}, what))
    return rows


def is_done(group, rows):
    """Whether all networks of a group have been trained to an end, and the cost of every test row was kept."""
    ended = [row for row in run.select(rows, study="cells") if row["stopped"] != "budget" and "run" in row]
    return all(any(row.items() >= network.items() for row in ended) for network in group)


def main():
    """Go on where the last call has stopped."""
    chosen = options(__doc__, SECONDS, cells=CELLS)
    config, clock = TOY if chosen.toy else CONFIG, Clock(chosen.seconds)
    record = Record("mystery", config, chosen)
    split = made.data.load(config["data"])
    if not any("run" in row for row in run.select(record.runs, study="precision")):
        record.replace([{"study": "precision"}], compare_precisions(config, split, chosen.device))
    todo = [group for group in groups(config) if cells_of(group) in chosen.cells and not is_done(group, record.runs)]
    for number, group in enumerate(todo):
        weights = [WEIGHTS[cells_of(g)] for g in todo[number:]]
        seconds = clock.left() * weights[0] / sum(weights)
        if seconds < 1:
            break
        training = Training(config, split, group, config["units"], chosen.device, set_precision(chosen.precision))
        found = record.replace([{"study": "cells", **network} for network in group], training.results(Clock(seconds)))
        del training
        names = ("wide_degrees", "output", "output_bias", "direct", "seed", "dropout_in_evaluation")
        show(found, *names, "test", "epochs", "stopped", "seconds", "recorded_step")
    print(record.path, f"{clock.left():.0f} s left")


if __name__ == "__main__":
    main()
