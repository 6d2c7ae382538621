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
from record import each_mask, main, mixture, nats

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
FOLLOW_UPS = {  # settings that the random ones made look promising
    "nips | many masks": [{**SPARSE, "n_masks": 2}, {**SPARSE, "n_masks": 16}, {**SPARSE, "n_masks": 32}],
    "dna | one mask": [{**LARGE, "lr": 1e-3}, {**LARGE, "weight_decay": 1.0}],
    "dna | many masks": [
        {**LARGE, "n_masks": 2},
        {**LARGE, "dropout": 0.5, "weight_decay": 1.0, "n_masks": 2},
        {**LARGE, "dropout": 0.5, "weight_decay": 0.1, "lr": 1e-3, "batch_size": 100, "n_masks": 8},
        {**LARGE, "dropout": 0.5, "weight_decay": 1.0, "n_masks": 32},
    ],
    "mushrooms | one mask": [
        {**BARE, "order": "natural"},
        {**BARE, "order": "natural", "weight_decay": 0.1, "lr": 5e-4},
        {**BARE, "order": "natural", "hidden": [500, 500], "dropout": 0.3, "weight_decay": 0.1},
    ],
    "mushrooms | many masks": [
        {**BARE, "n_masks": 2},
        {**BARE, "n_masks": 8},
        {**BARE, "hidden": [1000], "weight_decay": 0.1, "n_masks": 8},
        {**BARE, "dropout": 0.3, "weight_decay": 0.1, "n_masks": 4},
    ],
}
CONFIG = {
    "data": {"nips": {"epochs": 200}, "digits": {"epochs": 200}, "dna": {"epochs": 200}, "mushrooms": {"epochs": 200}},
    "kinds": {"one mask": GRID, "many masks": {**GRID, **MANY}},
    "tried": 8,
    "follow_ups": FOLLOW_UPS,
    "patience": 20,
    "evaluated": 32,
    "seeds": [0, 1, 2, 3, 4],
}
TOY = {**CONFIG, "data": {"digits": {"epochs": 1}}, "tried": 2, "follow_ups": {}, "evaluated": 4, "seeds": [0, 1]}


def settings(grid, number, seed):
    """Different settings drawn from a grid."""
    dice, drawn = random.Random(seed), []
    while len(drawn) < number:
        setting = {name: dice.choice(values) for name, values in grid.items()}
        if setting not in drawn:
            drawn.append(setting)
    return drawn


def train(config, name, setting, seed):
    """One model and its history."""
    split = made.data.load(name)
    names = ("hidden", "direct", "dropout", "order", "degrees", "n_masks")
    model = made.MADE(split.train.shape[1], seed=seed, **{key: setting[key] for key in names if key in setting})
    options = {key: setting[key] for key in ("lr", "weight_decay", "batch_size")}
    options |= {"epochs": config["data"][name]["epochs"], "patience": config["patience"]}
    return model, made.fit(model, split.train, split.valid, seed=seed, progress=False, **options)


def search(config, name, setting):
    """What a setting scores on the validation rows."""
    model, history = train(config, name, setting, seed=config["seeds"][0])
    parts = each_mask(model, made.data.load(name).valid, config["evaluated"])
    return {
        "setting": setting,
        "valid": {"single": nats(parts.mean(0)), "mixture": nats(mixture(parts))},
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "valid_curve": [round(v, 2) for v in history.valid],
    }


def final(config, name, setting):
    """Train the chosen setting with every seed, and score the test rows."""
    split, networks, curves = made.data.load(name), [], []
    for seed in config["seeds"]:
        model, history = train(config, name, setting, seed)
        networks.append(each_mask(model, split.test, config["evaluated"]))
        curves.append([round(v, 2) for v in history.valid])
    return {
        "setting": setting,
        "parameters": sum(p.numel() for p in model.parameters()),
        "test_rows": len(split.test),
        "single": [nats(parts.mean(0)) for parts in networks],
        "mixture": [nats(mixture(parts)) for parts in networks],
        "all networks": nats(mixture(torch.cat(networks))),
        "valid_curves": curves,
    }


def jobs(config, runs):
    """Every run: its name and what does it."""
    for name in config["data"]:
        for kind, grid in config["kinds"].items():
            tried = []
            drawn = settings(grid, config["tried"], seed=0)
            for number, setting in enumerate(drawn + config["follow_ups"].get(f"{name} | {kind}", [])):
                tried.append(f"{name} | {kind} | {number}")
                yield tried[-1], lambda name=name, setting=setting: search(config, name, setting)
            best = min(tried, key=lambda key: runs[key]["valid"]["mixture"]["mean"])
            setting = runs[best]["setting"]
            yield f"{name} | {kind} | chosen", lambda name=name, setting=setting: final(config, name, setting)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main("scoreboard", __doc__, CONFIG, TOY, jobs, EXPECTED)
