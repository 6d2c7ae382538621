"""MNIST, drawn and rounded: wide regularised networks under many orders, their mixture, and students of the mixture.

    python book/experiments/wide.py           some minutes on a data-centre GPU
    python book/experiments/wide.py --toy     a few seconds, into a temporary folder: only proves that it runs
    python book/experiments/wide.py --device cuda --seconds 280 --folder somewhere

For the drawn pixels, then for the rounded ones:

1. ``search`` (drawn only): shapes and dropout rates in the natural order, each shape for the same time. The setting of
   the lowest validation score is taken for all that follows.
2. ``ensemble``: networks of that setting side by side, each under an order of its own: the natural one, the seven other
   ways to read an image line by line, and random ones. Each scores the test rows once; so do the mixtures of the first
   1, 2, 4, ... of them, with equal weights.
3. ``student``: images drawn from the mixture, together with the training rows, teach networks that read line by line,
   with less dropout. They are not another view of the test rows: the mixture has seen training rows only.

All use AdamW at a constant rate, averaged weights (EMA), which are what is scored, an output bias that starts at the
marginal log-odds, and direct weights that start ten times smaller. Training ends when the validation score has not
improved for ``patience`` epochs, "patience", or when the seconds are used up, "budget": such a row is not converged,
and ``late_gain`` says what the last tenth of its epochs still gained. Of every network the best epoch is kept.

Started again, the script goes on after the last data set whose students are recorded; seconds that are left are shared
among what is missing. Log-probabilities of all rows under all scored networks go to ``wide_rows.npz``, for comparisons
row by row.
"""

import json
import math
import time

import numpy as np
import run
import torch
from stacked import (
    Clock,
    Stack,
    Step,
    adam,
    cross_entropy,
    dropping,
    machine,
    nats,
    options,
    set_precision,
    show,
    to_made,
)
from torch.nn import functional as F

import made

SECONDS = 280
CONFIG = {
    "data": "mnist",
    "binarize": {"drawn": "stochastic", "rounded": "threshold"},
    "draw": 0,
    "shapes": [
        {"hidden": [4000, 4000], "residual": True},
        {"hidden": [2000, 2000, 2000, 2000], "residual": True},
        {"hidden": [8000], "residual": False},
    ],
    "rates": [{"dropout": p, "input_dropout": 0.0} for p in (0.3, 0.4, 0.5, 0.65)],
    "orders": {"raster": 8, "random": 8},
    "students": [
        {"turn": turn, "dropout": p, "input_dropout": 0.0} for turn, p in ((0, 0.0), (0, 0.1), (0, 0.2), (1, 0.1))
    ],
    "images_per_teacher": 32000,
    "real_share": 0.3,
    "lr": 1e-3,
    "weight_decay": 0.01,
    "batch_size": 200,
    "ema": {"decay": 0.9995, "every": 5},
    "epochs": 1000,
    "patience": 15,
    "parts": {
        "drawn search": 1.5,
        "drawn ensemble": 3.0,
        "drawn student": 1.5,
        "rounded ensemble": 3.0,
        "rounded student": 1.5,
    },
}
TOY = {
    **CONFIG,
    "data": "digits",
    "shapes": [{"hidden": [70, 70], "residual": True}, {"hidden": [70], "residual": False}],
    "rates": CONFIG["rates"][:2],
    "orders": {"raster": 2, "random": 1},
    "students": CONFIG["students"][:2],
    "images_per_teacher": 50,
    "epochs": 2,
}


def orders(n_features, raster, random):
    """Orders by name: ways to read an image line by line, then random ones."""
    side = math.isqrt(n_features)
    image, found = torch.arange(n_features).view(side, side), []
    for turn in range(raster):
        turned = torch.rot90(image.flip(1) if turn >= 4 else image, turn % 4)
        found.append(({"order": "raster", "turn": turn % 4, "mirrored": turn >= 4}, turned.flatten()))
    for seed in range(1, random + 1):
        generator = torch.Generator().manual_seed(seed)
        found.append(({"order": "random", "seed": seed}, torch.randperm(n_features, generator=generator)))
    return found


class Training:
    """Networks of one shape that learn side by side.

    Args:
        config: as above.
        split: the rows, on the device; ``train`` may have more rows than ``real``, which come first.
        shape: "hidden" and "residual".
        members: for every network its "dropout" and "input_dropout", the name of its order, and the order.
        real: how many of the training rows are no images of teachers.
        context: how many inputs come before the variables. They are 0 wherever a network is scored or sampled.
    """

    def __init__(self, config, split, shape, members, device, dtype, real=None, context=0):
        self.config, self.split, self.shape, self.dtype, self.device = config, split, shape, dtype, device
        self.context = context
        self.names = [name for name, _ in members]
        self.orders = torch.stack([order for _, order in members]).to(device)
        self.n, D = self.orders.shape
        self.degrees = made.masks.even_degrees(D, shape["hidden"])
        if shape["residual"]:
            self.degrees = self.degrees[:1] * len(self.degrees)
        inputs = torch.arange(1 - context, D + 1, device=device).clamp(min=0)
        degrees = [layer.to(device) for layer in self.degrees]
        *hidden, output = made.masks.build_masks([inputs, *degrees])
        masks = [mask[None] for mask in (*hidden, output[context:])]
        direct = made.masks.build_masks([inputs])[0][None, context:]
        bounds = [1 / math.sqrt(width) for width in (D, *shape["hidden"])] + [0.1 / math.sqrt(D)]
        self.seed = config.get("seed", 0)
        generator = torch.Generator(device).manual_seed(self.seed)
        self.stack = Stack(masks, direct, self.n, bounds, generator, residual=shape["residual"])
        self.real = len(split.train) if real is None else real
        counts, N = split.train[: self.real].sum(0, dtype=torch.float32), self.real
        self.stack.output.bias.data[:, 0] = ((counts + 1) / (N - counts + 1)).log()[self.orders]
        rate = lambda key: torch.tensor([name.get(key, 0.0) for name in self.names], device=device).view(-1, 1, 1)
        self.drop, self.drop_input = dropping(rate("dropout")), dropping(rate("input_dropout"))
        self.any_input_dropout = any(name.get("input_dropout") for name in self.names)
        biases = [p for p in self.stack.trained() if p.shape[1] == 1]
        weights = [p for p in self.stack.trained() if p.shape[1] > 1]
        groups = [{"params": weights, "weight_decay": config["weight_decay"]}, {"params": biases, "weight_decay": 0.0}]
        self.optimizer = adam(groups, config["lr"], device)
        self.total, self.steps = torch.zeros(self.n, device=device), 0
        self.average = [p.detach().clone() for p in self.stack.trained()]
        self.best = [p.detach().clone() for p in self.stack.trained()]

    def inputs(self, rows):
        """Rows (B, D) as each network takes them, in its own order: (n, B, D)."""
        return rows[:, self.orders].transpose(0, 1).to(self.dtype).contiguous()

    def examples(self, rows):
        """What the networks are given of training rows, (n, B, context + D), and what they have to tell."""
        x = self.inputs(self.split.train[rows])
        return x, x

    def step(self, rows):
        """One step of AdamW."""
        given, x = self.examples(rows)
        self.optimizer.zero_grad()
        out = self.stack(self.drop_input(given) if self.any_input_dropout else given, self.drop)
        losses = cross_entropy(out, x.float()).mean(1)
        losses.sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            self.total += losses

    @torch.no_grad()
    def move_average(self):
        """Move the averaged weights towards the weights, once for several steps."""
        decay, every = self.config["ema"]["decay"], self.config["ema"]["every"]
        decay = min(decay, (1 + self.steps) / (10 + self.steps)) ** every
        for average, p in zip(self.average, self.stack.trained(), strict=True):
            average.lerp_(p, 1 - decay)

    @torch.no_grad()
    def load(self, weights):
        """Exchange the weights of the networks with others."""
        for p, other in zip(self.stack.trained(), weights, strict=True):
            kept = p.clone()
            p.copy_(other)
            other.copy_(kept)

    @torch.no_grad()
    def losses(self, rows):
        """What each row costs under each network, in nats: (n, N)."""
        parts = []
        for part in rows.split(1000):
            x = self.inputs(part)
            parts.append(cross_entropy(self.stack(F.pad(x, (self.context, 0))), x.float()).double())
        return torch.cat(parts, 1)

    def batches(self, generator):
        """Indices of the rows of all batches of an epoch: one pass over the real rows, the rest images of teachers."""
        N, size = self.real, self.config["batch_size"]
        images = len(self.split.train) - N
        real = size if images == 0 else round(size * self.config["real_share"])
        order = torch.randperm(N, generator=generator)[: N // real * real].view(-1, real)
        if images:
            drawn = torch.randint(N, N + images, (len(order), size - real), generator=generator)
            order = torch.cat([order, drawn], 1)
        return order.to(self.device)

    def settle(self, epoch, left):
        """What changes after an epoch, when this share of the time is left: nothing here."""

    def run(self, clock):
        """Train until no network improves any more, or the time is up; then hold the best weights. Why it ended."""
        curves, best = {"train": [], "valid": []}, [math.inf] * self.n
        generator = torch.Generator().manual_seed(self.seed)
        torch.manual_seed(self.seed)
        step, last_gain, stopped = Step(self.step, self.config["batch_size"], self.device), 0, "epochs"
        seconds = clock.left()
        for epoch in range(self.config["epochs"]):
            before = self.steps
            for rows in self.batches(generator):
                step(rows)
                self.steps += 1
                if self.steps % self.config["ema"]["every"] == 0:
                    self.move_average()
            curves["train"].append((self.total / (self.steps - before)).tolist())
            self.total.zero_()
            self.load(self.average)
            curves["valid"].append(self.losses(self.split.valid).mean(1).tolist())
            gained = [new < old for new, old in zip(curves["valid"][-1], best, strict=True)]
            chosen = torch.tensor(gained, device=self.device).view(-1, 1, 1)
            for p, kept in zip(self.stack.trained(), self.best, strict=True):
                kept.copy_(torch.where(chosen, p.detach(), kept))
            self.load(self.average)
            best = [min(pair) for pair in zip(best, curves["valid"][-1], strict=True)]
            last_gain = epoch if any(gained) else last_gain
            if epoch - last_gain >= self.config["patience"]:
                stopped = "patience"
                break
            if clock.left() < 0:
                stopped = "budget"
                break
            self.settle(epoch, clock.left() / seconds)
        self.load(self.best)
        self.recorded_step = step.graph is not None
        return curves, stopped

    def results(self, clock, phase, data):
        """Train; one row per network, and the cost of validation and test rows in float32."""
        started = time.monotonic()
        curves, stopped = self.run(clock)
        seconds = round(time.monotonic() - started, 1)
        set_precision("float32")
        self.dtype = torch.float32
        valid, rows = self.losses(self.split.valid), []
        for k, name in enumerate(self.names):
            train, curve = ([epoch[k] for epoch in curves[key]] for key in ("train", "valid"))
            early = curve[: max(1, len(curve) - math.ceil(len(curve) / 10))]
            rows.append(
                {
                    "data": data,
                    "phase": phase,
                    **self.shape,
                    **name,
                    "valid": nats(valid[k]),
                    "best_epoch": curve.index(min(curve)),
                    "epochs": len(curve),
                    "stopped": stopped,
                    "late_gain": round(min(early) - min(curve), 3),
                    "train_curve": [round(v, 2) for v in train],
                    "valid_curve": [round(v, 2) for v in curve],
                    "seconds": seconds,
                    "side_by_side": self.n,
                    "recorded_step": self.recorded_step,
                }
            )
        return rows, valid

    def as_made(self, k):
        """Network k as a ``made.MADE``."""
        return to_made(self.stack, k, self.orders[k].cpu(), self.degrees, self.shape["hidden"], self.context)

    def checked(self, k=0):
        """The cost of 500 validation rows under network k, here and as a ``made.MADE`` of the same weights."""
        model = self.as_made(k)
        rows = self.split.valid[:500]
        return {
            "rows": len(rows),
            "here": round(self.losses(rows)[k].mean().item(), 4),
            "as_made": round(made.nll(model, rows.float().cpu()).mean, 4),
        }

    @torch.no_grad()
    def sample(self, count):
        """Images drawn from the networks, ``count`` from each: (n * count, D), in the natural order of the pixels.

        A unit of degree m is final once m variables are drawn, and is computed then.
        """
        D, stack = self.orders.shape[1], self.stack
        weights = [layer.dense() for layer in [*stack.hidden, stack.output]]
        weights[0] = weights[0][:, :, self.context :]
        direct, known = stack.direct.dense()[:, :, self.context :], [0] * len(stack.hidden)
        x = torch.zeros(self.n, count, D, device=self.device)
        h = [torch.zeros(self.n, count, width, device=self.device) for width in self.shape["hidden"]]
        for t in range(D):
            out = h[-1][:, :, : known[-1]] @ weights[-1][:, t, : known[-1], None] + stack.output.bias[:, :, t, None]
            out = out + x[:, :, :t] @ direct[:, t, :t, None]
            x[:, :, t] = torch.bernoulli(torch.sigmoid(out[:, :, 0]))
            for number, layer in enumerate(stack.hidden):
                start, end = known[number], int((self.degrees[number] <= t + 1).sum())
                below = h[number - 1][:, :, : known[number - 1]] if number else x[:, :, : t + 1]
                weight = weights[number][:, start:end, : below.shape[2]]
                new = torch.relu(below @ weight.transpose(1, 2) + layer.bias[:, :, start:end])
                add = h[number - 1][:, :, start:end] if stack.residual and number else 0
                h[number][:, :, start:end] = new + add
                known[number] = end
        images = torch.empty_like(x).scatter_(2, self.orders[:, None, :].expand_as(x), x)
        return images.flatten(0, 1).to(torch.uint8)


def mixtures(data, phase, rows, valid, test):
    """Mixtures of the first 1, 2, 4, ... networks and of all: their scores and their gains over a single one."""
    found, n = [], len(rows)
    for k in sorted({2**j for j in range(n.bit_length()) if 2**j <= n} | {n}):
        mixed = {name: math.log(k) - (-losses[:k]).logsumexp(0) for name, losses in (("valid", valid), ("test", test))}
        found.append(
            {
                "data": data,
                "phase": phase,
                "networks": k,
                **{name: nats(losses) for name, losses in mixed.items()},
                "over_mean": nats(mixed["test"] - test[:k].mean(0)),  # paired, row by row
                "stopped": sorted({row["stopped"] for row in rows[:k]}),
            }
        )
    return found


class Experiment:
    """All phases; what is found is written after each."""

    name = "wide"

    def __init__(self, chosen, config):
        self.chosen, self.config, self.started = chosen, config, time.time()
        self.clock, self.path = Clock(chosen.seconds), chosen.folder / f"{self.name}.json"
        self.arrays, self.rows_path = {}, chosen.folder / f"{self.name}_rows.npz"
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        if known.get("config") != json.loads(json.dumps(config)):
            known = {"seconds": 0.0, "rows": [], "mixtures": []}
        elif self.rows_path.exists():
            with np.load(self.rows_path) as file:
                self.arrays = dict(file)
        self.before, self.rows, self.mixtures = known["seconds"], known["rows"], known["mixtures"]

    def save(self):
        """Write all that is known."""
        run.write(
            self.name,
            self.config,
            self.started - self.before,
            self.chosen.folder,
            gpu=machine(self.chosen.device),
            products_in=self.chosen.precision,
            rows=self.rows,
            mixtures=self.mixtures,
        )
        np.savez(self.rows_path, **self.arrays)

    def of(self, data, phase):
        """The rows of a phase."""
        return [row for row in self.rows if (row["data"], row["phase"]) == (data, phase)]

    def seconds_for(self, data, phase):
        """A share of the time that is left: this phase's part among the parts of all phases to come."""
        parts = self.config["parts"]
        names = list(parts)
        to_come = names[names.index(f"{data} {phase}") :]
        wanted = [name for name in to_come if name.split()[0] in self.chosen.data]
        missing = [name for name in wanted if name == f"{data} {phase}" or not self.of(*name.split())]
        return self.clock.left() * parts[f"{data} {phase}"] / sum(parts[name] for name in missing)

    def load(self, data):
        """The rows on the device, one byte per pixel."""
        config = self.config
        split = made.data.load(config["data"], binarize=config["binarize"][data], seed=config["draw"])
        put = lambda x: x.to(self.chosen.device, torch.uint8)
        return made.data.Split(put(split.train), put(split.valid), put(split.test))

    def training(self, split, shape, members, **options):
        """Networks to train."""
        dtype = set_precision(self.chosen.precision)
        return Training(self.config, split, shape, members, self.chosen.device, dtype, **options)

    def search(self, data, split):
        """Shapes and dropout rates, in the natural order, by validation rows alone."""
        shapes, found = self.config["shapes"], []
        seconds = self.seconds_for(data, "search") / len(shapes)
        ((name, natural),) = orders(split.train.shape[1], 1, 0)
        for shape in shapes:
            members = [({**name, **rates}, natural) for rates in self.config["rates"]]
            training = self.training(split, shape, members)
            rows, _ = training.results(Clock(seconds), "search", data)
            del training
            found += rows
            show(rows, "hidden", "dropout", "input_dropout", "valid", "epochs", "late_gain", "seconds", "recorded_step")
        self.rows += found
        self.save()

    def setting(self):
        """The shape and the rates that validation rows prefer."""
        tried = [row for row in self.rows if row["phase"] == "search"]
        best = min(tried, key=lambda row: row["valid"]["mean"])
        return [{key: best[key] for key in keys} for keys in (("hidden", "residual"), ("dropout", "input_dropout"))]

    def score(self, data, phase, training, seconds):
        """Train, use the test rows once, mix, and write everything."""
        rows, valid = training.results(Clock(seconds), phase, data)
        test = training.losses(training.split.test)
        for row, losses in zip(rows, test, strict=True):
            row["test"] = nats(losses)
        rows[0]["check"] = training.checked()
        self.rows += rows
        self.arrays[f"{data}_{phase}"] = (-torch.cat([valid, test], 1)).float().cpu().numpy()
        self.mixtures += mixtures(data, phase, rows, valid, test)
        self.save()
        show(
            rows, "data", "phase", "order", "turn", "mirrored", "seed", "dropout", "valid", "test", "epochs", "stopped"
        )
        show(rows[:1], "late_gain", "seconds", "recorded_step", "check")
        show([m for m in self.mixtures if m["data"] == data], "phase", "networks", "valid", "test", "over_mean")
        return rows, valid, test

    def ensemble(self, data, split):
        """One network per order, then students of their mixture, then the mixture of all."""
        config, D, N = self.config, split.train.shape[1], len(split.train)
        shape, rates = self.setting()
        members = [({**name, **rates}, order) for name, order in orders(D, **config["orders"])]
        teachers = self.training(split, shape, members)
        teacher = self.score(data, "ensemble", teachers, self.seconds_for(data, "ensemble"))

        clock = Clock(self.seconds_for(data, "student"))
        set_precision("tf32")
        torch.manual_seed(1)
        chunk = min(4000, config["images_per_teacher"])
        images = [teachers.sample(chunk) for _ in range(config["images_per_teacher"] // chunk)]
        del teachers
        taught = made.data.Split(torch.cat([split.train, *images]), split.valid, split.test)
        print(f"{len(taught.train) - N} images are drawn; {clock.left():.1f} s are left for students", flush=True)
        by_line = orders(D, 8, 0)
        members = [
            ({**by_line[setting["turn"]][0], **setting}, by_line[setting["turn"]][1]) for setting in config["students"]
        ]
        students = self.training(taught, shape, members, real=N)
        student = self.score(data, "student", students, clock.left())
        rows, valid, test = (
            a + b if isinstance(a, list) else torch.cat([a, b]) for a, b in zip(student, teacher, strict=True)
        )
        self.mixtures.append(mixtures(data, "ensemble and student", rows, valid, test)[-1])
        self.save()
        show(self.mixtures[-1:], "data", "phase", "networks", "valid", "test", "over_mean")


def main():
    """Go on where the last call has stopped."""
    chosen = options(__doc__, SECONDS, data=list(CONFIG["binarize"]))
    experiment = Experiment(chosen, TOY if chosen.toy else CONFIG)
    for data in chosen.data:
        if experiment.clock.left() < 0:
            break
        split = experiment.load(data)
        if data == "drawn" and not experiment.of(data, "search"):
            experiment.search(data, split)
        if not experiment.of(data, "student"):
            experiment.rows = [r for r in experiment.rows if (r["data"], r["phase"]) != (data, "ensemble")]
            experiment.mixtures = [m for m in experiment.mixtures if m["data"] != data]
            experiment.ensemble(data, split)
    print(experiment.path, f"{experiment.clock.left():.0f} s left")


if __name__ == "__main__":
    main()
