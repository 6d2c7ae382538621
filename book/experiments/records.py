"""The paper's binary sets again, with six features: one order, many orders, ensembles; bits and groups apart.

    python book/experiments/records.py          an hour and a half on one core
    python book/experiments/records.py --toy    a few seconds, into a temporary folder: only proves that it runs
    python book/experiments/records.py --others the paper's other five sets, downloaded first; not run for the book

A board is a data set with its columns as they are ("bits"), or with its one-hot groups, found on training rows, as
variables ("groups"). For each board:

1. ``search``: every setting that was tried, with one seed, and what it scores on the validation rows.
2. ``final``: the best setting and the board's other parts, each under its orders, as often as ``repetitions`` says and
   with other seeds each time. All parts of one repetition are mixed, with equal weights and with weights fitted to the
   validation rows by EM. Beside it stands one network of the best setting under eight random orders. Where a board says
   so, this network is one more part, in rows that say ``extended``. The test rows are scored here, once.
3. ``ablation``: the best setting against the same without one feature, on validation rows, paired row by row. For the
   bits of Mushrooms it is the setting that was best before the last two were tried.

``records_earlier.json`` has two rows from before a board was changed: the first final of Mushrooms' bits, whose setting
lost to one of the last two, and the first of DNA's groups, without the network of many orders.

Networks that keep their best epoch end by "patience". A part that keeps its last weights ends where its falling
learning rate is zero, "schedule": how long it trains is part of its setting, and validation rows had no say.
CPU seconds are those of one core.
"""

import sys
import time

import torch
from run import main, nats, select

import made

EXPECTED = "an hour and a half"
COMMON = {"direct": True, "input_dropout": 0.0, "lr": 2e-3, "direct_factor": 1, "weight_decay": 0.0, "ema": 0.998}
COMMON |= {"schedule": "constant", "epochs": 1000, "patience": 15, "batch_size": 50, "start": True, "keep": "best"}
LAST = {**COMMON, "ema": 0.0, "schedule": "cosine", "keep": "last"}
NIPS = {**COMMON, "hidden": [1000], "direct": False, "dropout": 0.7, "input_dropout": 0.2, "ema": 0.99}
DNA = {**COMMON, "hidden": [1000], "dropout": 0.5, "input_dropout": 0.3, "weight_decay": 0.01, "direct_factor": 10}
LETTERS = {**COMMON, "hidden": [1000], "dropout": 0.3, "input_dropout": 0.5, "weight_decay": 0.01}
MUSHROOMS = {**COMMON, "hidden": [500, 500], "dropout": 0.3, "weight_decay": 0.1, "batch_size": 25}
LARGER = {**COMMON, "hidden": [1000], "dropout": 0.3, "weight_decay": 0.01, "lr": 1e-3, "batch_size": 100}
MEMORISER = {**LAST, "hidden": [1000], "direct": False, "dropout": 0.0, "lr": 4e-3, "batch_size": 100, "epochs": 150}
BASE = {**LAST, "hidden": [200], "dropout": 0.5, "input_dropout": 0.7, "weight_decay": 0.3, "epochs": 20}
BOARDS = {
    "nips bits": {
        "tried": [NIPS, *({**NIPS, **other} for other in (
            {"hidden": [2000]}, {"dropout": 0.5}, {"dropout": 0.8}, {"input_dropout": 0.4}, {"lr": 1e-3},
            {"direct": True},
        ))],
        "order": "random",
        "parts": [["best", 32]],
    },
    "dna bits": {
        "tried": [DNA, *({**DNA, **other} for other in (
            {"direct_factor": 1}, {"direct_factor": 3}, {"input_dropout": 0.5}, {"hidden": [2000]}, {"dropout": 0.3},
            {"input_dropout": 0.5, "dropout": 0.3}, {"weight_decay": 0.1},
        ))],
        "order": "natural",
        "parts": [["best", 3], [{**BASE, "input_dropout": 0.4, "epochs": 30}, 1], [MEMORISER, 2]],
    },
    "dna groups": {
        "tried": [LETTERS, *({**LETTERS, **other} for other in (
            {"hidden": [2000]}, {"dropout": 0.5}, {"input_dropout": 0.7}, {"weight_decay": 0.1}, {"lr": 4e-3},
            {"lr": 4e-3, "direct_factor": 3},
        ))],
        "order": "natural",
        "parts": [["best", 3], ["best", 2, "random"], [MEMORISER, 3], [BASE, 3]],
        "extended": True,
    },
    "mushrooms bits": {
        "tried": [{**MUSHROOMS, "weight_decay": 0.01, "direct_factor": 10}, *({**MUSHROOMS, **other} for other in (
            {"weight_decay": 0.01}, {}, {"hidden": [500]}, {"dropout": 0.5}, {"lr": 1e-3},
            {"dropout": 0.5, "direct_factor": 10}, {"dropout": 0.5, "weight_decay": 0.01, "direct_factor": 10},
        ))],
        "order": "groups reversed",
        "parts": [["best", 3], ["best", 2, "groups by entropy"]],
        "ablated": {**MUSHROOMS, "weight_decay": 0.01, "direct_factor": 10},
    },
    "mushrooms groups": {
        "tried": [MUSHROOMS, *({**MUSHROOMS, **other} for other in (
            {"hidden": [500]}, {"dropout": 0.5}, {"lr": 1e-3}, {"input_dropout": 0.1}, {"weight_decay": 0.3},
        ))],
        "order": "groups reversed",
        "parts": [["best", 3], ["best", 2, "groups by entropy"]],
    },
}  # fmt: skip
OTHERS = {  # sets that have to be downloaded, with a first guess at what suits them
    f"{data} bits": {
        "tried": [{**LARGER, "dropout": p, "input_dropout": q} for p in (0.2, 0.5) for q in (0.0, 0.1)],
        "order": "natural",
        "parts": [["best", 1], ["best", 3, "random"]],
    }
    for data in ("adult", "connect4", "ocr_letters", "rcv1", "web")
}
FEATURES = {
    "start": {"start": False},
    "input_dropout": {"input_dropout": 0.0},
    "ema": {"ema": 0.0},
    "direct_factor": {"direct_factor": 1},
}
CONFIG = {"boards": BOARDS, "features": FEATURES, "repetitions": 3, "many": 8, "ablations": 3}
SMALL = {**NIPS, "hidden": [20], "epochs": 2}
TOY = {
    **CONFIG,
    "boards": {
        "digits bits": {
            "tried": [SMALL],
            "order": "random",
            "parts": [["best", 2], [{**SMALL, "keep": "last"}, 1]],
            "extended": True,
        },
        "digits groups": {"tried": [SMALL], "order": "groups reversed", "parts": [["best", 1, "groups by entropy"]]},
    },
    "repetitions": 2,
    "many": 2,
    "ablations": 1,
}


class Board:
    """The rows of a board, what they are to be modelled by, and its orders."""

    def __init__(self, name):
        self.data, kind = name.split()
        split = made.data.load(self.data)
        self.groups = made.data.groups(split.train)
        encode = self.groups.encode if kind == "groups" else lambda rows: rows
        self.train, self.valid, test = encode(split.train), encode(split.valid), split.test
        self.violations = int(self.groups.violations(test).sum())
        self.test = encode(test)
        states = {k.n_states for k in self.groups.likelihood.columns}
        alike = made.Categorical(*states) if states != {2} and len(states) == 1 else self.groups.likelihood
        self.likelihood = alike if kind == "groups" else made.Bernoulli()
        self.letters = [self.groups.encode(rows) for rows in (split.train, test)]

        starts, widths = self.groups.starts, self.groups.widths
        shares = [part.mean(0) for part in split.train.double().split(widths, 1)]
        entropies = [torch.special.entr(torch.cat([p, 1 - p.sum(0, keepdim=True)]).clamp(min=0)).sum() for p in shares]
        columns = torch.arange(split.train.shape[1]).split(widths)
        self.columns = [[k] if kind == "groups" else part.tolist() for k, part in enumerate(columns)]
        self.by_group = {
            "groups reversed": [*range(len(starts))][::-1],
            "groups by entropy": sorted(range(len(starts)), key=entropies.__getitem__),
        }

    def order(self, name):
        """An order by its name."""
        return (
            torch.tensor([i for k in self.by_group[name] for i in self.columns[k]]) if name in self.by_group else name
        )


def train(board, setting, order, seed, **more):
    """One network, how it went, and its CPU seconds."""
    started = time.process_time()
    shape = {name: setting[name] for name in ("hidden", "direct", "dropout", "input_dropout")}
    model = made.MADE(
        board.train.shape[1], likelihood=board.likelihood, order=board.order(order), seed=seed, **shape, **more
    )
    if setting["start"]:
        model.start(board.train)
    names = ("lr", "weight_decay", "ema", "schedule", "epochs", "patience", "batch_size")
    options = {name: setting[name] for name in names}
    factors = {"direct": setting["direct_factor"]} if setting["direct"] else {}
    valid = board.valid if setting["keep"] == "best" else None
    history = made.fit(model, board.train, valid, seed=seed, lr_factors=factors, progress=False, **options)
    falls = history.stopped == "epochs" and setting["schedule"] == "cosine"
    return model, {
        "stopped": "schedule" if falls else history.stopped,
        "epochs": len(history.train),
        "best_epoch": history.best_epoch,
        "train_curve": [round(loss, 2) for loss in history.train],
        "valid_curve": [round(loss, 2) for loss in history.valid],
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def log_prob(model, rows):
    """Log-probability of every row."""
    with torch.no_grad():
        return torch.cat([model.log_prob(some).double() for some in rows.split(1000)])


def measure(config, folder, stage, board, **fields):
    """Do one run."""
    return {"search": search, "final": final, "ablation": ablation}[stage](config, Board(board), board, **fields)


def search(config, board, name, setting):
    """What a setting scores on the validation rows."""
    model, how = train(board, setting, config["boards"][name]["order"], seed=0)
    return {"valid": nats(log_prob(model, board.valid)), **how}


def final(config, board, name, setting, repetition, extended=False):
    """All parts of the ensemble, the ensemble, and one network under many orders."""
    wanted, seed = config["boards"][name], 1000 * (repetition + 1)
    plans = [
        (of, order[0] if order else wanted["order"]) for of, count, *order in wanted["parts"] for _ in range(count)
    ]
    parts, models = [], []
    for k, (of, order) in enumerate(plans):
        model, how = train(board, setting if of == "best" else of, order, seed + k)
        parts.append({"of": of, "order": order, "seed": seed + k, **how})
        models.append(model)
    for part, model in zip(parts, models, strict=True):
        part |= {"valid": nats(log_prob(model, board.valid)), "test": nats(log_prob(model, board.test))}
    many, how = train(board, setting, "random", seed, n_masks=config["many"])
    mixture = made.Mixture(many)
    found = {"parts": parts}
    single = log_prob(models[0], board.test)
    ensemble = made.Ensemble([*models, mixture] if extended else models)
    for weights in ("equal", "EM"):
        if weights == "EM":
            found["weights"] = [round(w, 4) for w in ensemble.fit_weights(board.valid).tolist()]
        test = log_prob(ensemble, board.test)
        found[weights] = {
            "valid": nats(log_prob(ensemble, board.valid)),
            "test": nats(test),
            "over one": nats(test - single),  # paired; as a negative log-likelihood
            **({"by distance": by_distance(board, test)} if board.data == "dna" else {}),
        }
    found["many orders"] = {
        **how,
        "one pass": nats(torch.stack([log_prob(member, board.test) for member in mixture.members()]).mean(0)),
        "valid": nats(log_prob(mixture, board.valid)),
        "test": nats(log_prob(mixture, board.test)),
        "over one": nats(log_prob(mixture, board.test) - single),
    }
    return {**found, "violations": board.violations, "one": nats(single)}


def by_distance(board, log_p):
    """The cost of test rows that lie near a training row, and of those that do not: variables that differ."""
    train_rows, test_rows = board.letters
    nearest = torch.stack([(train_rows != row).sum(1).min() for row in test_rows])
    bounds = ((0, 5), (6, 15), (16, train_rows.shape[1]))
    inside = [(low, high, (nearest >= low) & (nearest <= high)) for low, high in bounds]
    return [{"from": a, "to": b, "rows": int(some.sum()), **nats(log_p[some])} for a, b, some in inside]


def ablation(config, board, name, setting, seed):
    """What validation rows cost more without each feature, paired row by row; with a factor of 1 for direct weights."""
    order, found = config["boards"][name]["order"], {}
    whole, how = train(board, setting, order, 100 + seed)
    score = log_prob(whole, board.valid)
    for feature, off in config["features"].items():
        if off.items() <= setting.items() or (feature == "direct_factor" and not setting["direct"]):
            continue
        less, how_less = train(board, {**setting, **off}, order, 100 + seed)
        found[feature] = {**nats(log_prob(less, board.valid) - score), **how_less}
    return {"valid": nats(score), **how, "without": found}


def jobs(config, runs):
    """The fields of every run."""
    for board, wanted in config["boards"].items():
        for setting in wanted["tried"]:
            yield {"stage": "search", "board": board, "setting": setting}
    best = {}
    for board, wanted in config["boards"].items():
        tried = select(runs, stage="search", board=board)
        if len(tried) < len(wanted["tried"]):
            return  # what follows needs all of them
        best[board] = min(tried, key=lambda row: row["valid"]["mean"])["setting"]
    for repetition in range(config["repetitions"]):
        for board, setting in best.items():
            fields = {"stage": "final", "board": board, "setting": setting, "repetition": repetition}
            yield {**fields, "extended": True} if config["boards"][board].get("extended") else fields
    for seed in range(config["ablations"]):
        for board, setting in best.items():
            ablated = config["boards"][board].get("ablated", setting)
            yield {"stage": "ablation", "board": board, "setting": ablated, "seed": seed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    others = "--others" in sys.argv
    if others:
        sys.argv.remove("--others")
    config = {**CONFIG, "boards": OTHERS} if others else CONFIG
    main("others" if others else "records", __doc__, config, TOY, jobs, measure, EXPECTED)
