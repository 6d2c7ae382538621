"""Trees and probabilistic circuits on the binary sets: exact likelihoods without a neural network.

    python book/experiments/circuits.py          a quarter of an hour on one core, with SPFlow 1.1.0
    python book/experiments/circuits.py --toy    a few seconds, into a temporary folder: only proves that it runs

A board is a data set with its columns as they are ("bits"), or with its one-hot groups, found on training rows, as
variables ("groups"). For each board:

1. ``tree``: the Chow-Liu tree, in closed form; its pseudo-count is chosen on the validation rows.
2. ``search``: hidden Chow-Liu trees (HCLT) of SPFlow, by its constructor and its trainers: every setting that was
   tried, with one seed, and what it scores on the validation rows, which also choose the epoch.
3. ``final``: the best setting with other seeds. The test rows are scored here, once.

SPFlow smooths no parameters: its pseudo-count only shapes the tree. What regularises a circuit here is the number of
hidden states, the epoch that is kept, and the weight decay of an optimizer that we hand to its trainer. Bits are
categories with two states: with SPFlow's Bernoulli leaves, EM ends in NaN as soon as a hidden state always sees a 1.
All variables of a circuit have as many states as the one that has most; those that never occur have to be unlearned.
EM on groups is not recorded: in a first trial it stood still from random weights, and from uniform ones it did not
come as far as Adam with as many hidden states. The grids are small, and the widest circuit of most is the best one.

SPFlow is needed by this script only, in an environment of its own (``pip install --no-deps SPFlow==1.1.0``, and einops,
fast-pytorch-kmeans, pydot). Without it the toy only fits trees. CPU seconds are those of one core.
"""

import importlib.metadata
import importlib.util
import math
import sys
import time

import numpy as np
import torch
from records import Board
from run import main, nats, select
from scipy.sparse.csgraph import minimum_spanning_tree

EXPECTED = "a quarter of an hour"
INSTALLED = importlib.util.find_spec("spflow") is not None
ADAM = {"hidden": 8, "trainer": "Adam", "lr": 0.1, "weight_decay": 0.0, "batch_size": 100, "init": "uniform"}
ADAM |= {"pseudocount": 1.0, "epochs": 40, "patience": 3}
EM = {"hidden": 8, "trainer": "EM", "batch_size": 200, "init": "uniform", "pseudocount": 1.0}
EM |= {"epochs": 25, "patience": 10}  # EM stands still for some epochs
WIDE = {**ADAM, "batch_size": 200, "lr": 0.2}
NIPS = {**ADAM, "hidden": 2, "lr": 0.2, "epochs": 25}
GROUPS = [{**ADAM, **other} for other in ({}, {"hidden": 16}, {"hidden": 32}, {"lr": 0.3}, {"weight_decay": 0.03})]
BOARDS = {
    "nips bits": [
        NIPS,
        {**NIPS, "hidden": 4},
        {**NIPS, "hidden": 4, "weight_decay": 0.3},
        {**NIPS, "hidden": 8, "weight_decay": 0.3},
        {**EM, "hidden": 2},
    ],
    "dna bits": [WIDE, {**WIDE, "hidden": 16}, {**WIDE, "hidden": 16, "weight_decay": 0.1}, EM],
    "mushrooms bits": [],  # only the tree: no circuit has been trained on these
    "dna groups": GROUPS,
    "mushrooms groups": GROUPS,
    "ocr_letters bits": [],  # nor on these
}
CONFIG = {"boards": BOARDS, "pseudocounts": [0.01, 0.1, 1, 10, 30, 100, 300, 1000], "repetitions": 3}
SMALL = [{**ADAM, "hidden": 2, "epochs": 1}, {**EM, "hidden": 2, "epochs": 1}] if INSTALLED else []
TOY = {"boards": {"digits bits": SMALL, "digits groups": SMALL}, "pseudocounts": [1, 10], "repetitions": 1}


class Tree:
    """The Chow-Liu tree of rows (N, D) of whole numbers, variable i having ``states[i]`` of them.

    All tables of pairs are (count + pseudocount / cells) / (N + pseudocount). So they agree on the tables of single
    variables, and the tree has no root:

    log p(x) = sum over variables of log p(x_i) + sum over edges of log p(x_i, x_j) / (p(x_i) p(x_j)).
    """

    def __init__(self, rows, states, pseudocount):
        self.starts = np.cumsum([0, *states[:-1]])
        of = np.repeat(np.arange(len(states)), states)
        hot = np.zeros((len(rows), len(of)))
        np.put_along_axis(hot, self.cells(rows), 1, 1)
        share = 1 / np.repeat(states, states)
        table = (hot.T @ hot + pseudocount * np.outer(share, share)) / (len(rows) + pseudocount)
        single = (hot.sum(0) + pseudocount * share) / (len(rows) + pseudocount)
        self.log_single, self.log_ratio = np.log(single), np.log(table / np.outer(single, single))
        information = np.add.reduceat(np.add.reduceat(table * self.log_ratio, self.starts, 0), self.starts, 1)
        weights = 1 + information.max() - information  # positive: a 0 would mean that there is no edge
        self.edges = np.argwhere(minimum_spanning_tree(np.triu(weights, 1)).toarray())

    def cells(self, rows):
        """Where the values of rows stand among all states of all variables."""
        return np.asarray(rows).astype(int) + self.starts

    def log_prob(self, rows):
        """Log-probability of every row."""
        cells = self.cells(rows)
        a, b = self.edges.T
        return torch.from_numpy(self.log_single[cells].sum(1) + self.log_ratio[cells[:, a], cells[:, b]].sum(1))


def states(board, name):
    """How many states every variable of a board has."""
    if name.endswith("bits"):
        return [2] * board.train.shape[1]
    return [kind.n_states for kind in board.groups.likelihood.columns]


def measure(config, folder, stage, board, **fields):
    """Do one run."""
    return {"tree": tree, "search": search, "final": final}[stage](config, Board(board), board, **fields)


def tree(config, board, name):
    """The tree with the pseudo-count that suits the validation rows best, and what they say of the others."""
    started = time.process_time()
    trees = {alpha: Tree(board.train, states(board, name), alpha) for alpha in config["pseudocounts"]}
    tried = [{"pseudocount": alpha, "valid": nats(t.log_prob(board.valid))} for alpha, t in trees.items()]
    best = min(tried, key=lambda row: row["valid"]["mean"])
    test = nats(trees[best["pseudocount"]].log_prob(board.test))
    return {
        "tried": tried,
        **best,
        "test": test,
        "stopped": "exact",
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def log_prob(circuit, rows):
    """Log-probability of every row."""
    with torch.no_grad():
        return torch.cat([circuit.log_likelihood(some).flatten().double() for some in rows.split(1000)])


def trainer(circuit, rows, setting):
    """What does one epoch."""
    from spflow.learn import expectation_maximization_batched, train_gradient_descent

    data = torch.utils.data.TensorDataset(rows)
    loader = torch.utils.data.DataLoader(data, batch_size=setting["batch_size"], shuffle=True)
    if setting["trainer"] == "EM":
        return lambda: expectation_maximization_batched(circuit, loader, num_epochs=1)
    options = {"lr": setting["lr"], "weight_decay": setting["weight_decay"], "fused": True}
    optimizer = torch.optim.AdamW(circuit.parameters(), **options)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    return lambda: train_gradient_descent(circuit, loader, epochs=1, optimizer=optimizer, scheduler=constant)


def train(board, name, setting, seed):
    """A circuit as it was at its best epoch, how it went, and its CPU seconds."""
    from spflow.zoo.hclt import learn_hclt_categorical

    started = time.process_time()
    torch.manual_seed(seed)  # SPFlow draws from the global generator
    options = {"num_hidden_cats": setting["hidden"], "pseudocount": setting["pseudocount"], "init": setting["init"]}
    circuit = learn_hclt_categorical(board.train, num_cats=max(states(board, name)), **options)
    epoch, curve, best, stopped = trainer(circuit, board.train, setting), [], None, "epochs"
    for _ in range(setting["epochs"]):
        epoch()
        loss = -log_prob(circuit, board.valid).mean().item()
        if not math.isfinite(loss):
            stopped = f"epoch {len(curve) + 1} ended in {loss}"
            break
        if loss < min(curve, default=math.inf):
            best = {name: value.clone() for name, value in circuit.state_dict().items()}
        curve.append(loss)
        if len(curve) - curve.index(min(curve)) > setting["patience"]:
            stopped = "patience"
            break
    if best:
        circuit.load_state_dict(best)
    return circuit, {
        "package": f"SPFlow {importlib.metadata.version('SPFlow')}",
        "parameters": sum(p.numel() for p in circuit.parameters()),
        "stopped": stopped,
        "best_epoch": curve.index(min(curve)) + 1 if curve else None,
        "valid_curve": [round(loss, 2) for loss in curve],
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def search(config, board, name, setting):
    """What a setting scores on the validation rows; nothing, if not one epoch ended in a number."""
    circuit, how = train(board, name, setting, seed=0)
    return {"valid": nats(log_prob(circuit, board.valid)) if how["best_epoch"] else None, **how}


def final(config, board, name, setting, seed):
    """What the best setting scores with another seed."""
    circuit, how = train(board, name, setting, 1000 + seed)
    return {"valid": nats(log_prob(circuit, board.valid)), "test": nats(log_prob(circuit, board.test)), **how}


def jobs(config, runs):
    """The fields of every run."""
    for board in config["boards"]:
        yield {"stage": "tree", "board": board}
    for board, tried in config["boards"].items():
        for setting in tried:
            yield {"stage": "search", "board": board, "setting": setting}
        searched = select(runs, stage="search", board=board)
        scored = [row for row in searched if row["valid"]] if len(searched) == len(tried) else []
        for seed in range(config["repetitions"] if scored else 0):
            best = min(scored, key=lambda row: row["valid"]["mean"])["setting"]
            yield {"stage": "final", "board": board, "setting": best, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.setrecursionlimit(20_000)  # SPFlow descends its trees by recursion
    if not INSTALLED:
        print("SPFlow is not installed: --toy fits trees only, and the experiment stops at its first circuit")
    main("circuits", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
