"""The paper's data sets of binary rows, and digits: settings chosen on validation rows, test rows scored once.

    python book/experiments/scoreboard.py          50 minutes when recorded, on one core
    python book/experiments/scoreboard.py --toy    a few seconds, into a temporary folder: only proves that it runs

For each data set and each kind of training, one mask or many, a random search tries settings with one seed and writes
down their validation scores; so do a few settings that looked promising then. The best is trained again with five
seeds, and only these see the test rows: in one pass (the mean over the masks that were trained), as a mixture of these
masks (32 if there is no end of them), and as a mixture of all five networks. Every run is kept as soon as it is done;
started again, the script goes on.
"""

import random

import torch
from run import each_mask, main, mixture, nats, select

import made

EXPECTED = "50 minutes"
GRID = {
    "hidden": [[100], [500], [1000], [500, 500]],
    "order": ["natural", "random"],
    "direct": [True, False],
    "dropout": [0.0, 0.3, 0.5, 0.7],
    "weight_decay": [0.0, 0.1, 1.0, 3.0],
    "lr": [5e-4, 1e-3, 2e-3],
    "batch_size": [50, 100],
}
MANY = {
    "order": ["random"],
    "degrees": ["even"],
    "n_masks": [2, 8, 32, None],
}
LARGE = {"hidden": [1000], "order": "random", "direct": True, "dropout": 0.7, "weight_decay": 0.3, "lr": 2e-3}
LARGE |= {"batch_size": 50}
BARE = {**LARGE, "hidden": [500], "dropout": 0.0, "weight_decay": 0.0, "lr": 1e-3}
SPARSE = {**LARGE, "direct": False, "weight_decay": 0.0, "batch_size": 100}
FOLLOW_UPS = [  # settings that the random ones made look promising
    {"data": "nips", "kind": "many masks", "setting": {**SPARSE, "n_masks": 2}},
    {"data": "nips", "kind": "many masks", "setting": {**SPARSE, "n_masks": 16}},
    {"data": "nips", "kind": "many masks", "setting": {**SPARSE, "n_masks": 32}},
    {"data": "dna", "kind": "one mask", "setting": {**LARGE, "lr": 1e-3}},
    {"data": "dna", "kind": "one mask", "setting": {**LARGE, "weight_decay": 1.0}},
    {"data": "dna", "kind": "many masks", "setting": {**LARGE, "n_masks": 2}},
    {"data": "dna", "kind": "many masks", "setting": {**LARGE, "dropout": 0.5, "weight_decay": 1.0, "n_masks": 2}},
    {
        "data": "dna",
        "kind": "many masks",
        "setting": {**LARGE, "dropout": 0.5, "weight_decay": 0.1, "lr": 1e-3, "batch_size": 100, "n_masks": 8},
    },
    {"data": "dna", "kind": "many masks", "setting": {**LARGE, "dropout": 0.5, "weight_decay": 1.0, "n_masks": 32}},
    {"data": "mushrooms", "kind": "one mask", "setting": {**BARE, "order": "natural"}},
    {"data": "mushrooms", "kind": "one mask", "setting": {**BARE, "order": "natural", "weight_decay": 0.1, "lr": 5e-4}},
    {
        "data": "mushrooms",
        "kind": "one mask",
        "setting": {**BARE, "order": "natural", "hidden": [500, 500], "dropout": 0.3, "weight_decay": 0.1},
    },
    {"data": "mushrooms", "kind": "many masks", "setting": {**BARE, "n_masks": 2}},
    {"data": "mushrooms", "kind": "many masks", "setting": {**BARE, "n_masks": 8}},
    {
        "data": "mushrooms",
        "kind": "many masks",
        "setting": {**BARE, "hidden": [1000], "weight_decay": 0.1, "n_masks": 8},
    },
    {"data": "mushrooms", "kind": "many masks", "setting": {**BARE, "dropout": 0.3, "weight_decay": 0.1, "n_masks": 4}},
]
CONFIG = {
    "data": {"nips": {"epochs": 200}, "digits": {"epochs": 200}, "dna": {"epochs": 200}, "mushrooms": {"epochs": 200}},
    "kinds": {"one mask": GRID, "many masks": {**GRID, **MANY}},
    "tried": 8,
    "follow_ups": FOLLOW_UPS,
    "patience": 20,
    "evaluated": 32,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {**CONFIG, "data": {"digits": {"epochs": 1}}, "tried": 2, "follow_ups": [], "evaluated": 4, "seeds": [0, 1]}


def settings(grid, number, seed):
    """Different settings drawn from a grid."""
    dice, drawn = random.Random(seed), []
    while len(drawn) < number:
        setting = {name: dice.choice(values) for name, values in grid.items()}
        if setting not in drawn:
            drawn.append(setting)
    return drawn


def train(config, data, setting, seed):
    """One model and its history."""
    split = made.data.load(data)
    names = ("hidden", "direct", "dropout", "order", "degrees", "n_masks")
    model = made.MADE(split.train.shape[1], seed=seed, **{key: setting[key] for key in names if key in setting})
    options = {key: setting[key] for key in ("lr", "weight_decay", "batch_size")}
    options |= {"epochs": config["data"][data]["epochs"], "patience": config["patience"]}
    return model, made.fit(model, split.train, split.valid, seed=seed, progress=False, **options)


def measure(config, folder, stage, data, kind, setting):
    """Try a setting, or train and score the chosen one."""
    return {"search": search, "final": final}[stage](config, data, setting)


def search(config, data, setting):
    """What a setting scores on the validation rows."""
    model, history = train(config, data, setting, seed=config["seeds"][0])
    parts = each_mask(model, made.data.load(data).valid, config["evaluated"])
    return {
        "valid": {"single": nats(parts.mean(0)), "mixture": nats(mixture(parts))},
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "valid_curve": [round(v, 2) for v in history.valid],
    }


def final(config, data, setting):
    """Train the chosen setting with every seed, and score the test rows."""
    split, networks, curves = made.data.load(data), [], []
    for seed in config["seeds"]:
        model, history = train(config, data, setting, seed)
        networks.append(each_mask(model, split.test, config["evaluated"]))
        curves.append([round(v, 2) for v in history.valid])
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "test_rows": len(split.test),
        "single": [nats(parts.mean(0)) for parts in networks],
        "mixture": [nats(mixture(parts)) for parts in networks],
        "all networks": nats(mixture(torch.cat(networks))),
        "valid_curves": curves,
    }


def jobs(config, runs):
    """The fields of every run: for each data set and kind of training a search among settings, then the best."""
    for data in config["data"]:
        for kind, grid in config["kinds"].items():
            follow_ups = [row["setting"] for row in select(config["follow_ups"], data=data, kind=kind)]
            for setting in settings(grid, config["tried"], seed=0) + follow_ups:
                yield {"stage": "search", "data": data, "kind": kind, "setting": setting}
            tried = select(runs, stage="search", data=data, kind=kind)
            best = min(tried, key=lambda row: row["valid"]["mixture"]["mean"])
            yield {"stage": "final", "data": data, "kind": kind, "setting": best["setting"]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("scoreboard", __doc__, CONFIG, TOY, jobs, measure, EXPECTED)
