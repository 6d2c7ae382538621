"""The post's network with each of its slips as a switch, with and without the direct connection, on digits.

    python book/experiments/slips.py          19 minutes when recorded, on one core
    python book/experiments/slips.py --toy   a few seconds, into a temporary folder: only proves that it runs

The slips: degrees are drawn up to the number of units instead of the number of variables; the output is a ReLU with a
clipped cross-entropy; dropout stays active in evaluation. The third changes no gradient, so one training serves both
its settings: after every epoch the validation rows are scored with and without dropout, each way keeps its own best
weights, and at the end each scores the test rows once. A training ends when neither score has improved for 50 epochs.

As in the post, weights begin as Glorot drew them and all biases at 0. The networks with a ReLU output are also trained
with an output bias of 1/2. One thing is scaled down: instead of 2 x 8000 units there are 653, as many times D as there.
So as many units in a hundred are lost. The same network at its own size is ``mystery.py``. A control has as few units
as slip 1 leaves alive here, about 63 in each layer, and no slip.

The learning rate is chosen for every kind of network on the validation rows, with a seed of its own.
"""

import copy
import math
from itertools import product

import run
import torch
from results import reported
from torch import nn
from torch.nn import functional as F

import made
from made.layers import MaskedLinear

EXPECTED = "19 minutes"
CONFIG = {
    "data": "digits",
    "hidden": [653, 653],
    "few": [63, 63],  # as many as slip 1 leaves alive
    "range": reported("keng_notebook", metric="hidden_units") / 784,
    "dropout": reported("keng_notebook", metric="dropout"),
    "clip": 1e-7,
    "variants": [[False, 0.0], [True, 0.0], [True, 0.5]],  # ReLU output or not, and the initial output bias
    "lr": [1e-3, 3e-3, 1e-2],
    "batch_size": 100,
    "patience": 50,
    "epochs": 3000,
    "search_seed": 100,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {**CONFIG, "hidden": [16, 16], "few": [4, 4], "lr": [1e-3], "patience": 1, "epochs": 2, "seeds": [0, 1]}


class PostNetwork(nn.Module):
    """MADE with two slips as switches; the third is to score with dropout."""

    def __init__(self, n_features, hidden, wide_degrees, relu_output, direct, config, seed):
        super().__init__()
        self.relu_output, self.clip = relu_output, config["clip"]
        self.dropout = nn.Dropout(config["dropout"])
        generator = torch.Generator().manual_seed(seed)
        highest = round(config["range"] * n_features) - 1 if wide_degrees else n_features - 1
        degrees = [torch.arange(1, n_features + 1)]
        for width in hidden:
            degrees.append(torch.randint(int(degrees[-1].min()), highest + 1, (width,), generator=generator))
        self.dead = [layer >= n_features for layer in degrees[1:]]
        self.layers = nn.ModuleList()
        for mask in made.masks.build_masks(degrees):
            self.layers.append(masked(mask, generator))
        self.direct = masked(made.masks.build_masks(degrees[:1])[0], generator) if direct else None

    def forward(self, x):
        h = x
        for layer in self.layers[:-1]:
            h = self.dropout(torch.relu(layer(h)))
        out = self.layers[-1](h)
        return out if self.direct is None else out + self.dropout(self.direct(x))

    def losses(self, x):
        """What each row costs, in nats."""
        out = self(x)
        if not self.relu_output:
            return F.binary_cross_entropy_with_logits(out, x, reduction="none").sum(1)
        p = torch.relu(out).clamp(self.clip, 1 - self.clip)
        return F.binary_cross_entropy(p, x, reduction="none").sum(1)


def masked(mask, generator):
    layer = MaskedLinear(mask.shape[1], mask.shape[0], generator=generator)
    layer.set_mask(mask)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def without_dead(network):
    """The network without its dead units, which are on no path to an output: a smaller one that does all the same."""
    alive = [slice(None), *(~dead for dead in network.dead), slice(None)]
    smaller = copy.deepcopy(network)
    for layer, inputs, outputs in zip(smaller.layers, alive, alive[1:], strict=False):
        layer.mask = layer.mask[outputs][:, inputs]
        layer.weight = nn.Parameter(layer.weight.data[outputs][:, inputs])
        layer.bias = nn.Parameter(layer.bias.data[outputs])
    return smaller


def score(network, x, with_dropout):
    """The cost of every row; dropout, where it is left on, is the same in every call."""
    network.train(with_dropout)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.cat([network.losses(rows).double() for rows in x.split(1000)])


def silent(network, x):
    """The share of outputs whose gradient is zero: a pre-activation below 0 or above 1 gives none through the clip."""
    if not network.relu_output:
        return 0.0
    network.eval()
    with torch.no_grad():
        out = network(x)
    return ((out <= network.clip) | (out >= 1 - network.clip)).double().mean().item()


class Best:
    """The weights of lowest validation score so far, of evaluation with or without dropout."""

    def __init__(self, with_dropout):
        self.with_dropout, self.curve = with_dropout, []

    def end_epoch(self, network, valid):
        """Score the validation rows, and keep the weights if no score was better."""
        self.curve.append(score(network, valid, self.with_dropout).mean().item())
        if self.curve[-1] <= min(self.curve):
            self.weights, self.epoch = copy.deepcopy(network.state_dict()), len(self.curve) - 1

    def scores(self, network, split):
        """The cost of every row under the weights that were kept."""
        network.load_state_dict(self.weights)
        return {name: score(network, getattr(split, name), self.with_dropout) for name in ("train", "valid", "test")}


def train(network, split, config, lr, seed):
    """Train until neither way of evaluation has improved; both, the training scores, and why it ended."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr, fused=True)
    generator, ways, losses = torch.Generator().manual_seed(seed), [Best(False), Best(True)], []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch in range(config["epochs"]):
            network.train()
            total = 0.0
            for rows in torch.randperm(len(split.train), generator=generator).split(config["batch_size"]):
                optimizer.zero_grad()
                loss = network.losses(split.train[rows]).mean()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
            losses.append(total / len(split.train))
            for way in ways:
                way.end_epoch(network, split.valid)
            if not math.isfinite(losses[-1]):
                return ways, losses, "not finite"
            if epoch - max(way.epoch for way in ways) >= config["patience"]:
                return ways, losses, "patience"
    return ways, losses, "epochs"


def measure(config, folder, stage, hidden, wide_degrees, relu_output, output_bias, direct, lr, seed):
    """Train one network; scores without dropout, and with it."""
    split = made.data.load(config["data"])
    whole = PostNetwork(split.train.shape[1], hidden, wide_degrees, relu_output, direct, config, seed)
    nn.init.constant_(whole.layers[-1].bias, output_bias)
    network = without_dead(whole)
    silent_at_start = silent(network, split.valid)
    ways, losses, stopped = train(network, split, config, lr, seed)
    silent_at_end = silent(network, split.valid)
    quiet, noisy = (way.scores(network, split) for way in ways)
    limits = {key: config[key] for key in ("dropout", "clip", "batch_size", "patience", "epochs")}
    nats = {name: run.nats(-costs) for name, costs in quiet.items()}
    found = {
        "setting": {"data": config["data"], "train_rows": len(split.train), **limits},
        "stopped": stopped,
        "epochs": len(losses),
        "best_epoch": ways[0].epoch,
        "parameters": made.diagnostics.count_parameters(whole),
        "dead": [round(layer.double().mean().item(), 3) for layer in whole.dead],
        "silent_at_start": round(silent_at_start, 3),
        "silent_at_end": round(silent_at_end, 3),
        "train": nats["train"],
        "valid": nats["valid"],
        "lowest_train": round(min(*losses, nats["train"]["mean"]), 3),
    }
    if stage == "search":
        return found
    return {
        **found,
        "test": nats["test"],
        "dropout_test": run.nats(-noisy["test"]),
        "valid_curve": [round(loss, 2) for loss in ways[0].curve],
        "costs": quiet["test"],
        "dropout_costs": noisy["test"],
    }


def networks(config):
    """The fields of every kind of network."""
    few = {"hidden": config["few"], "wide_degrees": False, "relu_output": False, "output_bias": 0.0}
    for direct in (True, False):
        yield {**few, "direct": direct}
        for wide, (relu, bias) in product((True, False), config["variants"]):
            same = {"hidden": config["hidden"], "wide_degrees": wide, "direct": direct}
            yield {**same, "relu_output": relu, "output_bias": bias}


def jobs(config, runs):
    """The fields of every run: all learning rates with one seed, then the best one of each network with the others."""
    search = {"stage": "search", "seed": config["search_seed"]}
    wanted = [{**network, "lr": lr, **search} for network in networks(config) for lr in config["lr"]]
    yield from wanted
    if all(run.select(runs, **fields) for fields in wanted):
        for seed, network in product(config["seeds"], networks(config)):
            best = min(run.select(runs, **network, stage="search"), key=lambda row: row["valid"]["mean"])
            yield {**network, "lr": best["lr"], "stage": "final", "seed": seed}


def contains(config):
    """Networks with the direct connection contain those without it."""
    for network in networks(config):
        if network["direct"]:
            yield {**network, "direct": False, "stage": "final"}, {**network, "stage": "final"}


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("slips", __doc__, CONFIG, TOY, jobs, measure, EXPECTED, contains)
