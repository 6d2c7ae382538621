"""One hidden layer on MNIST: when do direct connections matter, and what do many masks change? On a GPU.

    python book/experiments/mnist_many.py           some minutes on a data-centre GPU
    python book/experiments/mnist_many.py --toy     a few seconds, into a temporary folder: only proves that it runs
    python book/experiments/mnist_many.py --device cuda --precision tf32 --seconds 300 --folder somewhere

Networks are trained side by side, each until its own validation score has stopped improving: its rate is halved after
``halve_after`` epochs without gain, and it ends, "patience", after ``patience`` epochs without a gain of ``min_delta``.

Two studies:

* "direct": widths, no hidden layer among them, with and without the direct connection. Also the best setting of one
  width under random orders.
* "masks": one mask, several, and orders, as in ``masks.py``, at two widths. ``test`` is the mean cost of a row over 32
  connectivities, those of training or as many of an endless list; ``costs`` holds it for every test row,
  ``mixture_costs`` that under the mixture of the 32. While training, validation rows are scored under the first few.

For every cell of a study, learning rate and dropout are chosen on validation rows in a search with a seed of its own,
and networks of the chosen setting are trained with other seeds. A search ends sooner: after fewer epochs without gain,
and after 200 epochs at the latest. Networks of the same seed see the same batches.

The studies are cut into parts, in the order of their importance. Started again, the script trains what is missing and
what was ended by "budget". ``as_made`` tells what 500 validation rows cost under the same weights in a ``made.MADE``.
"""

from collections import Counter
from itertools import product

import run
import stacked
import torch
from stacked import Clock, Record, Stack, aligned, cross_entropy, dropping, options, set_precision, show, to_made
from torch import nn

import made

SECONDS = 300
LEAST, SHARE = 20, 0.7  # seconds below which nothing is begun; share of those left that one group may take
EVALUATED, VALIDATED = 32, 4  # connectivities in the end, and while training
ONE = {"order": "natural", "degrees": "even", "n_masks": 1}
VARIANTS = {
    "one mask": ONE,
    "one random mask": {**ONE, "degrees": "random"},
    "one random order": {**ONE, "order": "random"},
    "32 random masks": {**ONE, "degrees": "random", "n_masks": 32},
    "32 orders": {**ONE, "order": "random", "n_masks": 32},
    "32 orders, random masks": {"order": "random", "degrees": "random", "n_masks": 32},
    "fresh orders": {**ONE, "order": "random", "n_masks": None},
}
CONFIG = {
    "data": "mnist",
    "training": {
        "epochs": 2000,
        "halve_after": 6,
        "patience": 20,
        "min_delta": 0.02,
        "start": True,
        "weight_decay": 0.0,
    },
    "search": {"seed": 100, "patience": 12, "epochs": 200},
    "variants": VARIANTS,
    "parts": [
        {
            "study": "direct",
            "cells": [
                {"width": 0, "lr": [1e-3, 3e-3, 1e-2], "dropout": [0.0]},
                {"width": 20, "lr": [3e-4, 1e-3, 3e-3, 1e-2], "dropout": [0.0, 0.1]},
                {"width": 100, "lr": [3e-4, 1e-3, 3e-3, 1e-2], "dropout": [0.0, 0.1]},
            ],
            "batch_size": 250,
            "seeds": [0, 1, 2, 3, 4],
        },
        {
            "study": "direct",
            "cells": [{"width": 500, "lr": [1e-3, 3e-3], "dropout": [0.0, 0.2, 0.4]}],
            "batch_size": 250,
            "seeds": [0, 1, 2, 3, 4],
            "orders": True,
        },
        {
            "study": "direct",
            "cells": [{"width": 1000, "lr": [1e-3, 3e-3], "dropout": [0.2, 0.4, 0.6]}],
            "batch_size": 500,
            "seeds": [0, 1, 2, 3, 4],
        },
        {
            "study": "masks",
            "cells": [{"width": 100, "lr": [1e-3, 3e-3], "dropout": [0.0]}],
            "batch_size": 250,
            "seeds": [0, 1, 2, 3, 4],
        },
        {
            "study": "direct",
            "cells": [{"width": 2000, "lr": [1e-3, 3e-3], "dropout": [0.2, 0.4, 0.6]}],
            "batch_size": 500,
            "seeds": [0, 1, 2, 3, 4],
        },
        {
            "study": "masks",
            "cells": [{"width": 1000, "lr": [1e-3], "dropout": [0.0, 0.2, 0.4]}],
            "batch_size": 500,
            "seeds": [0, 1, 2],
        },
    ],
}
TOY = {
    **CONFIG,
    "data": "digits",
    "training": {**CONFIG["training"], "epochs": 2},
    "search": {**CONFIG["search"], "epochs": 2},
    "parts": [
        {
            "study": "direct",
            "cells": [{"width": width, "lr": [1e-2], "dropout": [0.0]} for width in (0, 20)],
            "batch_size": 200,
            "seeds": [0, 1],
            "orders": True,
        },
        {
            "study": "masks",
            "cells": [{"width": 20, "lr": [1e-2, 1e-3], "dropout": [0.0]}],
            "batch_size": 200,
            "seeds": [0],
        },
    ],
}


def connectivity(network, number, n_features):
    """Connectivity ``number`` of a network, of a list that may be endless. Those of different seeds are far apart."""
    hidden, turn = (network["width"],) if network["width"] else (), number % (network["n_masks"] or number + 1)
    seed = 1_000_000 * network["seed"] + turn
    return made.Connectivity.create(n_features, hidden, network["order"], network["degrees"], seed=seed)


class Training(stacked.Training):
    """Networks of a study; each a dict of its fields and its ``lr`` and ``dropout``.

    ``self.shuffle`` gives every seed an order of its own for the rows.
    """

    def __init__(self, config, split, networks, device, dtype):
        self.networks, self.D = networks, split.train.shape[1]
        self.looks = networks[0]["stage"] == "final"
        rates = [network["lr"] for network in networks]
        super().__init__(config, split, self.build(split, device), rates, 0, device, dtype)
        seeds = sorted({network["seed"] for network in networks})
        orders = [torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        self.shuffle = torch.stack([orders[seeds.index(network["seed"])] for network in networks]).to(device)
        self.drop = dropping(torch.tensor([network["dropout"] for network in networks], device=device).view(-1, 1, 1))

    def build(self, split, device):
        """The networks; sets what is known of them from the start."""
        raise NotImplementedError

    def bounds(self, device):
        """Of initial weights: of the hidden layer, the output, the direct connection, as ``made.MADE.start`` has them.

        They depend on the widths of the networks, so each has its own.
        """
        fan_in = torch.tensor([max(network["width"], 1) for network in self.networks], device=device)
        return [self.D**-0.5, 0.1 * fan_in.view(-1, 1, 1) ** -0.5, 0.1 * self.D**-0.5]

    def log_odds(self, split, device):
        """What the output biases start from, per variable."""
        return made.Bernoulli().start(split.train).to(device)

    def scored(self):
        """The parts of the data that are scored in the end: while searching the validation rows only."""
        return ("train", "valid", "test") if self.looks else ("valid",)

    def rows_of(self, k, found):
        """The fields of network k, and all that is recorded of it."""
        network, what = dict(self.networks[k]), self.row(k, found)
        setting = {name: network[name] for name in ("lr", "dropout")} | self.config | {"rows": len(self.train)}
        if network["stage"] == "final":
            del network["lr"], network["dropout"]
        else:
            del what["train_curve"], what["valid_curve"]
        return network, {"setting": setting, "parameters": made.diagnostics.count_parameters(self.as_made(k)), **what}

    @torch.no_grad()
    def check(self, k, costs):
        """What the first 500 validation rows cost under network k, here and as a ``made.MADE``."""
        log_p = self.as_made(k).log_prob(self.valid[:500].float().cpu())
        return {
            "as_made": {
                "rows": len(log_p),
                "here": round(costs[:500].mean().item(), 4),
                "made": round(-log_p.mean().item(), 4),
            }
        }


class Fixed(Training):
    """Networks with one connectivity each, which are stored in strips."""

    def build(self, split, device):
        orders, degrees = [], []
        widest = aligned(max(1, *(network["width"] for network in self.networks)))
        for network in self.networks:
            drawn = connectivity(network, 0, self.D)
            orders.append(drawn.order)
            own = torch.cat(drawn.degrees[1:]).sort().values if network["width"] else torch.zeros(0, dtype=torch.int64)
            degrees.append(nn.functional.pad(own, (0, widest - len(own)), value=self.D))  # fills up, unused
        self.natural = all(network["order"] == "natural" for network in self.networks)
        self.orders, hidden = torch.stack(orders).to(device), torch.stack(degrees).to(device)
        inputs = torch.arange(1, self.D + 1, device=device)
        masks = [hidden[:, :, None] >= inputs, inputs[:, None] > hidden[:, None, :]]
        direct = torch.tensor([network["direct"] for network in self.networks], device=device)
        direct = (inputs[:, None] > inputs) & direct[:, None, None] if direct.any() else None
        generator = torch.Generator(device).manual_seed(self.networks[0]["seed"])
        stack = Stack(
            masks, direct, len(self.networks), self.bounds(device), generator, strips=2 if widest < 200 else 4
        )
        stack.output.bias.data[:, 0] = self.log_odds(split, device)[self.orders]
        return stack

    def ordered(self, x):
        """Rows (n or 1, B, D), each network's in its own order, and without copies if that is the natural one."""
        x = x.expand(self.n, *x.shape[1:])
        return x if self.natural else x.gather(2, self.orders[:, None, :].expand_as(x))

    def means(self, rows):
        x = self.ordered(self.train[self.shuffle[:, rows]]).float()
        return cross_entropy(self.stack(x.to(self.dtype), self.drop), x).mean(1)

    @torch.no_grad()
    def score(self, rows, way=False):
        parts = []
        for part in rows.split(2000):
            x = self.ordered(part[None]).float()
            parts.append(cross_entropy(self.stack(x.to(self.dtype)), x).double())
        return torch.cat(parts, 1)

    def as_made(self, k):
        """Network k as a ``made.MADE``."""
        network = self.networks[k]
        drawn = connectivity(network, 0, self.D)
        if network["width"]:
            hidden = [torch.cat(drawn.degrees[1:]).sort().values]
            model = to_made(self.stack, k, drawn.order, hidden, [network["width"]])
            if not network["direct"]:
                model.direct = None
            return model
        model, place = made.MADE(self.D, (), order=drawn.order, direct=False), drawn.degrees[0] - 1
        with torch.no_grad():
            model.output.weight.copy_(self.stack.direct.dense()[k].cpu()[place][:, place])
            model.output.bias.copy_(self.stack.output.bias[k, 0].cpu()[place])
        return model.eval()

    def results(self, clock):
        """Train; rows and their fields."""
        self.run(clock)
        found = self.chosen(parts=self.scored())
        rows = [self.rows_of(k, found) for k in range(self.n)]
        rows[0][1].update(self.check(0, found["valid"][0]))
        return rows


class Masked(nn.Module):
    """n networks of one hidden layer of the same width, whose masks come with every call, by degrees."""

    def __init__(self, n, D, width, bounds, generator):
        super().__init__()
        shapes = [(n, width, D), (n, D, width), (n, D, D)]
        draw = lambda shape: torch.empty(shape, device=generator.device).uniform_(-1, 1, generator=generator)
        weights = [draw(shape) * bound for shape, bound in zip(shapes, bounds, strict=True)]
        self.hidden, self.output, self.direct = (nn.Parameter(weight) for weight in weights)
        self.hidden_bias = nn.Parameter(torch.zeros(n, 1, width, device=generator.device))
        self.output_bias = nn.Parameter(torch.zeros(n, 1, D, device=generator.device))

    def masked(self, inputs, hidden):
        """The weights that count, for degrees (n, D) of the inputs and (n, width) of the hidden units."""
        m = self.hidden * (hidden[:, :, None] >= inputs[:, None, :])
        v = self.output * (inputs[:, :, None] > hidden[:, None, :])
        a = self.direct * (inputs[:, :, None] > inputs[:, None, :])
        return [weight.transpose(1, 2) for weight in (m, v, a)]

    def forward(self, x, masked, drop=lambda h: h):
        """Raw outputs (n, B, D) for x of shape (n, B, D)."""
        m, v, a = (weight.to(x.dtype) for weight in masked)
        h = drop(torch.relu(torch.bmm(x, m) + self.hidden_bias.to(x.dtype)))
        return torch.bmm(h, v).float() + torch.bmm(x, a).float() + self.output_bias

    def trained(self):
        """All parameters that learn."""
        return list(self.parameters())


class Changing(Training):
    """Networks with another connectivity at every step: the next one of a list, or a fresh one."""

    def build(self, split, device):
        drawn = [[connectivity(network, k, self.D) for k in range(EVALUATED)] for network in self.networks]
        take = lambda layer: (
            torch.stack([torch.stack([c.degrees[layer] for c in cs]) for cs in drawn]).short().to(device)
        )
        self.inputs, self.hidden = take(0), take(1)  # degrees, (n, EVALUATED, units)
        fresh = [k for k, network in enumerate(self.networks) if network["n_masks"] is None]
        self.fresh, self.passed = torch.tensor(fresh, device=device, dtype=torch.int64), 0
        self.turn, self.turns = torch.zeros(1, dtype=torch.int64, device=device), None
        generator = torch.Generator(device).manual_seed(self.networks[0]["seed"])
        n, width = len(self.networks), self.networks[0]["width"]
        stack = Masked(n, self.D, width, self.bounds(device), generator)
        stack.output_bias.data += self.log_odds(split, device)
        return stack

    def begin_epoch(self, steps):
        """Lay out the degrees of all steps of the epoch, (steps, n, units)."""
        now = torch.arange(self.passed, self.passed + steps, device=self.device) % EVALUATED
        turns = [degrees[:, now].transpose(0, 1).contiguous() for degrees in (self.inputs, self.hidden)]
        if len(self.fresh):
            drawn = torch.rand(steps, len(self.fresh), self.D, device=self.device).argsort(-1) + 1
            turns[0][:, self.fresh] = drawn.short()
        if self.turns is None:
            self.turns = turns
        for place, new in zip(self.turns, turns, strict=True):  # where a recorded step looks for them
            place.copy_(new)
        self.passed += steps
        self.turn.zero_()

    def means(self, rows):
        x = self.train[self.shuffle[:, rows]].float()
        inputs, hidden = (degrees.index_select(0, self.turn)[0] for degrees in self.turns)
        self.turn += 1
        return cross_entropy(self.stack(x.to(self.dtype), self.stack.masked(inputs, hidden), self.drop), x).mean(1)

    @torch.no_grad()
    def under(self, rows, number):
        """What every row costs under connectivity ``number`` of each network, (n, N)."""
        masked, parts = self.stack.masked(self.inputs[:, number], self.hidden[:, number]), []
        for part in rows.split(2000):
            x = part.float().expand(self.n, *part.shape)
            parts.append(cross_entropy(self.stack(x.to(self.dtype), masked), x).double())
        return torch.cat(parts, 1)

    def score(self, rows, way=False):
        return torch.stack([self.under(rows, number) for number in range(VALIDATED)]).mean(0)

    def as_made(self, k):
        """Network k as a ``made.MADE`` under its first connectivity."""
        network = self.networks[k]
        model = made.MADE(self.D, (network["width"],))
        model.use(connectivity(network, 0, self.D))
        stack = self.stack
        with torch.no_grad():
            for target, weight in (
                (model.hidden[0], stack.hidden),
                (model.output, stack.output),
                (model.direct, stack.direct),
            ):
                target.weight.copy_(weight[k].cpu())
            model.hidden[0].bias.copy_(stack.hidden_bias[k, 0].cpu())
            model.output.bias.copy_(stack.output_bias[k, 0].cpu())
        return model.eval()

    def results(self, clock):
        """Train; rows and their fields. The final rows are scored under all connectivities."""
        self.run(clock)
        found = self.chosen(parts=self.scored())
        each = {}
        if "test" in found:
            parts = [("valid", self.valid), ("test", self.test)]
            each = {name: torch.stack([self.under(x, j) for j in range(EVALUATED)]) for name, x in parts}
        found |= {name: costs.mean(0) for name, costs in each.items()}
        rows = [self.rows_of(k, found) for k in range(self.n)]
        for k, (_, what) in enumerate(rows):
            what.update(mixtures({name: costs[:, k] for name, costs in each.items()}) if each else {})
        rows[0][1].update(self.check(0, self.under(self.valid[:500], 0)[0]))
        return rows


def mixtures(each):
    """What is recorded of the mixtures of a network's connectivities; ``each`` has costs (connectivities, N)."""
    mixed = {name: -run.mixture(-costs) for name, costs in each.items()}
    sizes = [2**j for j in range(6) if 2**j <= EVALUATED]
    by_size = [-run.mixture(-each["test"][:size]).mean().item() for size in sizes]
    return {
        "test_each": [round(v, 3) for v in each["test"].mean(1).tolist()],
        "mixture": {name: stacked.nats(costs) for name, costs in mixed.items()},
        "mixtures": [{"members": size, "nll": round(nll, 3)} for size, nll in zip(sizes, by_size, strict=True)],
        "mixture_costs": mixed["test"].float().cpu(),
    }


def cells(config, part):
    """The cells of a part: the fields of its networks, without stage and seed, and the settings to be searched."""
    for cell in part["cells"]:
        settings = [{"lr": lr, "dropout": p} for lr, p in product(cell["lr"], cell["dropout"])]
        fields = {"study": part["study"], "width": cell["width"]}
        if part["study"] == "masks":
            for masks in config["variants"].values():
                yield {**fields, "direct": True, **masks}, settings
        else:
            for direct in (True, False) if cell["width"] else (True,):
                yield {**fields, "direct": direct, **ONE}, settings


def search(config, part):
    """The networks of a search."""
    for fields, settings in cells(config, part):
        for setting in settings:
            yield {"stage": "search", **fields, "seed": config["search"]["seed"], **setting}


def final(config, part, runs):
    """The networks of the settings that the validation rows have chosen."""
    for fields, settings in cells(config, part):
        scores = [run.select(runs, stage="search", **fields, **setting)[0]["valid"]["mean"] for setting in settings]
        best = settings[scores.index(min(scores))]
        orders = ["natural", "random"] if part.get("orders") and fields["direct"] else [fields["order"]]
        for order, seed in product(orders, part["seeds"]):
            yield {"stage": "final", **fields, "order": order, "seed": seed, **best}


def missing(networks, runs):
    """The networks that have not been trained to an end; that of a search may be a budget."""
    for network in networks:
        fields = {name: value for name, value in network.items() if name not in ("lr", "dropout")}
        found = run.select(runs, **(network if network["stage"] == "search" else fields))
        if not found or (found[0]["stopped"] == "budget" and network["stage"] == "final"):
            yield network


def contained(config):
    """Pairs of networks of which the second contains the first: no layer, a layer beside the direct connection."""
    fields = {"study": "direct", "stage": "final", **ONE}
    for part in config["parts"]:
        for width in (cell["width"] for cell in part["cells"] if part["study"] == "direct" and cell["width"]):
            both = {**fields, "width": width, "direct": True}
            yield {**fields, "width": width, "direct": False}, both
            yield {**fields, "width": 0, "direct": True}, both


def main():
    """Go on where the last call has stopped."""
    chosen = options(__doc__, SECONDS)
    config, clock = TOY if chosen.toy else CONFIG, Clock(chosen.seconds)
    record, split = Record("mnist_many", config, chosen, list(contained(config))), made.data.load(config["data"])
    for part, stage in product(config["parts"], ("search", "final")):
        networks = search(config, part) if stage == "search" else final(config, part, record.runs)
        networks = list(missing(networks, record.runs))
        if not networks:
            continue
        if clock.left() < LEAST:
            break
        kind = Changing if part["study"] == "masks" else Fixed
        setting = config["training"] | {"batch_size": part["batch_size"]}
        if stage == "search":
            setting |= {name: config["search"][name] for name in ("patience", "epochs")}
        training = kind(setting, split, networks, chosen.device, set_precision(chosen.precision))
        found = training.results(Clock(clock.left() * SHARE))
        del training
        new = record.replace([fields for fields, _ in found], found)
        ends = dict(Counter(row["stopped"] for row in new))
        print(
            part["study"],
            [cell["width"] for cell in part["cells"]],
            stage,
            ends,
            f"{clock.left():.0f} s left",
            flush=True,
        )
        show(new[:1], "epochs", "valid", "seconds", "side_by_side", "recorded_step", "as_made")
    print(record.path, f"{clock.left():.0f} s left")


if __name__ == "__main__":
    main()
