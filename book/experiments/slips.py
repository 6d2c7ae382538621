"""The post's network with each of its slips as a switch, with and without the direct connection, on digits and MNIST.

    python book/experiments/slips.py          49 minutes when recorded, on one core
    python book/experiments/slips.py --toy   a few seconds, into a temporary folder: only proves that it runs

The slips: ``degrees`` are drawn up to the number of units instead of the number of variables; the output is a ``relu``
with a clipped cross-entropy; dropout stays active in ``evaluation``. The third changes no gradient, so one training run
serves both its settings: after every epoch the validation rows are scored with and without dropout, each way keeps its
own best weights, and at the end each scores the test rows once.

Two things are scaled down. The post had 2 x 8000 units; here there are 653 for digits and 500 for MNIST, and MNIST has
20,000 training rows. The slip in the degrees still draws from a range 8000/784 times too wide, so that as many units in
a hundred are lost as in the post. Every run is kept as soon as it is done; started again, the script goes on.
"""

import copy
import json
from itertools import product

import run
import torch
from torch import nn
from torch.nn import functional as F

import made
from made.layers import MaskedLinear

EXPECTED = "49 minutes"
REPORTED = json.loads((run.RESULTS / "reported.json").read_text())["rows"]
POST = {row["metric"]: row["value"] for row in run.select(REPORTED, source="keng_notebook")}
CONFIG = {
    "data": {
        "digits": {"hidden": [653, 653], "epochs": 60, "rows": 1197},
        "mnist": {"hidden": [500, 500], "epochs": 12, "rows": 20000},
    },
    "range": POST["hidden_units"] / 784,
    "dropout": POST["dropout"],
    "clip": 1e-7,
    "lr": 1e-3,
    "batch_size": 100,
    "seeds": [0, 1, 2],
}
TOY = {**CONFIG, "data": {"digits": {"hidden": [16, 16], "epochs": 2, "rows": 100}}, "seeds": [0]}


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
        self.dead = [(layer >= n_features).double().mean().item() for layer in degrees[1:]]
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
    return layer


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


def measure(config, folder, data, wide_degrees, relu_output, direct, seed):
    """Train one network; scores by the state of dropout in evaluation."""
    options, split = config["data"][data], made.data.load(data)
    train, valid = split.train[: options["rows"]], split.valid[:2000]
    D = train.shape[1]
    network = PostNetwork(D, options["hidden"], wide_degrees, relu_output, direct, config, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=config["lr"], fused=True)
    generator, silent_at_start = torch.Generator().manual_seed(seed), silent(network, valid)
    curves, best = {False: [], True: []}, {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(options["epochs"]):
            network.train()
            for batch in torch.randperm(len(train), generator=generator).split(config["batch_size"]):
                optimizer.zero_grad()
                network.losses(train[batch]).mean().backward()
                optimizer.step()
            for with_dropout, curve in curves.items():
                curve.append(round(score(network, valid, with_dropout).mean().item(), 3))
                if curve[-1] == min(curve):
                    best[with_dropout] = copy.deepcopy(network.state_dict())
    result = {"dead": [round(share, 3) for share in network.dead], "silent_at_start": round(silent_at_start, 3)}
    result["silent_at_end"] = round(silent(network, valid), 3)
    for with_dropout, weights in best.items():
        network.load_state_dict(weights)
        losses, curve = score(network, split.test, with_dropout), curves[with_dropout]
        result["with dropout" if with_dropout else "without dropout"] = {
            "test": round(losses.mean().item(), 3),
            "stderr": round(losses.std().item() / len(losses) ** 0.5, 3),
            "best_epoch": curve.index(min(curve)),
            "valid_curve": curve,
        }
    return result


def jobs(config, runs):
    """The fields of every run."""
    for data in config["data"]:
        for seed, wide, relu, direct in product(config["seeds"], (False, True), (False, True), (True, False)):
            yield {"data": data, "wide_degrees": wide, "relu_output": relu, "direct": direct, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    run.main("slips", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
