"""MNIST: wide networks that also learn from moved copies of the training images, their mixture, and students.

    python book/experiments/augmented.py --precision tf32     ten minutes on a data-centre GPU
    python book/experiments/augmented.py --toy     a few seconds, into a temporary folder: only proves that it runs
    python book/experiments/augmented.py --precision tf32 --device cuda --seconds 100 --data rounded --folder somewhere

The networks of ``wide.py`` overfit: the training images are too few. Here a network also learns from copies of these
same binary images, moved by a few pixels, and it is told by how much: through a context, inputs that every unit may use
(distribution augmentation: Jun et al., Distribution Augmentation for Generative Modeling, ICML 2020). The context of
an image that was not moved is zero. Networks are scored with that context alone, so they give exact probabilities of
the images as they are, and without their context inputs they are plain networks of the same size.

For the drawn pixels:

1. ``search``: how often and how far images are moved, and dropout, in the natural order, all for the same time. The
   setting of the lowest validation score is taken for all that follows. What would win only with more time loses
   here: see ``late_gain``.
2. ``ensemble``: networks of that setting side by side, each under an order of its own: eight ways to read an image line
   by line and eight to read it diagonal by diagonal. Each scores the test rows once; so do the mixtures of the first 1,
   2, 4, ... of them, with equal weights.
3. ``student``: images drawn from the mixture, together with the training rows and their moved copies, teach networks
   without dropout, under the orders of the teachers that score best on validation rows. They are not another view of
   the test rows: the mixture has seen training rows only.

   Mixtures of all have equal weights, or weights that are fitted on validation rows by EM.

For the rounded pixels there is only an ``ensemble`` of four networks. They have the setting of the search with drawn
pixels, and the four orders whose networks had the lowest validation scores there. What else differs is in
``CONFIG["rounded"]``.

Training is as in ``wide.py``, whose fields the rows have, but for its end: for the last part of the time no image is
moved any more, at a fifth of the rate; ``settled`` is the first such epoch. Started again, the script skips what is
recorded; the weights of the teachers are kept in the folder ``unfinished`` for that. The best single network, by
validation rows, is saved in float16 as a plain ``made.MADE``. Log-probabilities of all rows go to
``augmented_rows.npz``.
"""

import math

import stacked
import torch
import wide
from torch.nn import functional as F

import made

SECONDS = 620
CONFIG = {
    "data": "mnist",
    "binarize": {"drawn": "stochastic", "rounded": "threshold"},
    "draw": 0,
    "seed": 0,
    "shapes": [{"hidden": [4000, 4000], "residual": True}],
    "settings": [
        [
            {"reach": 1, "moved": 0.75, "dropout": 0.1},
            {"reach": 1, "moved": 0.9, "dropout": 0.1},
            {"reach": 2, "moved": 0.9, "dropout": 0.1},
            {"reach": 1, "moved": 0.75, "dropout": 0.25},
        ],
    ],
    "reach": 2,
    "orders": list(range(16)),  # of the ensemble: which of those of ``orders``
    "students": {"orders": 4, "dropout": 0.0},
    "images_per_teacher": 100000,
    "real_share": 0.2,
    **{name: wide.CONFIG[name] for name in ("lr", "weight_decay", "batch_size", "ema", "epochs", "patience")},
    "settle": {"share": 0.1, "rate": 0.2},
    "parts": {"drawn search": 0.6, "drawn ensemble": 3.2, "drawn student": 1.4, "rounded ensemble": 1.0},
    "rounded": {"orders": [0, 2, 4, 6], "settle": {"share": 0.04, "rate": 0.2}},  # in place of the above
}
TOY = {
    **CONFIG,
    "data": "digits",
    "shapes": [{"hidden": [70, 70], "residual": True}],
    "students": {"orders": 2, "dropout": 0.0},
    "images_per_teacher": 50,
    "epochs": 3,
    "settle": {"share": 1.0, "rate": 0.2},
    "rounded": {"orders": [0, 2], "settle": {"share": 1.0, "rate": 0.2}},
}


def orders(n_features):
    """Sixteen orders by name: eight ways to read an image line by line, then eight to read it diagonal by diagonal."""
    side = math.isqrt(n_features)
    line, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    diagonal = ((line + column) * side + line).flatten().argsort()
    by_line = wide.orders(n_features, raster=8, random=0)
    return by_line + [({**name, "order": "diagonal"}, order[diagonal]) for name, order in by_line]


def shifts(n_features, reach):
    """All shifts of an image by up to ``reach`` pixels, none first, then near ones before far ones.

    Returns:
        A list of (down, right); for every shift the pixel that each pixel is copied from, (T, D), where D stands for a
        pixel of zero from outside; and the context of every shift, (T, 4 * reach), one-hot in either direction, zero
        for no shift.
    """
    side, steps = math.isqrt(n_features), range(-reach, reach + 1)
    found = sorted(((down, right) for down in steps for right in steps), key=lambda s: (max(map(abs, s)), s))
    image = F.pad(torch.arange(n_features).view(side, side), (reach,) * 4, value=n_features)
    maps = [image[reach - i :, reach - j :][:side, :side].flatten() for i, j in found]
    known = torch.tensor([step for step in steps if step])
    contexts = [torch.cat([known == i, known == j]).float() for i, j in found]
    return found, torch.stack(maps), torch.stack(contexts)


def thresholds(found, reach, moved):
    """Where a uniform number chooses the next shift, (T,): none has 1 - moved, those in reach have equal chances."""
    near = torch.tensor([max(map(abs, shift)) <= reach for shift in found]).double()
    near[0] = 0
    chances = moved * near / near.sum().clamp(min=1)
    chances[0] = 1 - moved
    upto = chances.cumsum(0)
    return torch.where(upto > 1 - 1e-9, 2.0, upto).float()  # no number reaches the last


class Training(wide.Training):
    """Networks that are told how each training image was moved; "reach" and "moved" are in the names of the members."""

    def __init__(self, config, split, shape, members, device, dtype, real=None):
        found, maps, contexts = shifts(members[0][1].numel(), config["reach"])
        super().__init__(config, split, shape, members, device, dtype, real, context=contexts.shape[1])
        self.maps = maps.to(device)[:, self.orders]  # (T, n, D): in the order of each network
        self.contexts = contexts.to(device, dtype)
        self.upto = torch.stack([thresholds(found, name["reach"], name["moved"]) for name in self.names]).to(device)
        self.numbers = torch.arange(self.n, device=device)[:, None]
        self.settled = None

    def settle(self, epoch, left):
        """Near the end, from the next epoch on: no image is moved any more, and the learning rate is lower."""
        if self.settled is None and left < self.config["settle"]["share"]:
            self.settled = epoch + 1
            self.upto.fill_(2.0)  # in place, as a recorded step reads it; so is the rate
            for group in self.optimizer.param_groups:
                group["lr"].fill_(self.config["lr"] * self.config["settle"]["rate"])

    def results(self, clock, phase, data):
        """As in ``wide.py``, with the first epoch in which no image was moved."""
        rows, valid = super().results(clock, phase, data)
        return [{**row, "settled": self.settled} for row in rows], valid

    def draw(self, rows):
        """The number of a shift for every network and row, (n, B). Images of teachers stay where they are."""
        u = torch.rand(self.n, len(rows), 1, device=self.device)
        return (u >= self.upto[:, None, :]).sum(2) * (rows < self.real)

    def examples(self, rows):
        """Moved training rows in each network's order, after their contexts; and without."""
        chosen = self.draw(rows)
        images = F.pad(self.split.train[rows], (0, 1)).expand(self.n, -1, -1)
        x = images.gather(2, self.maps[chosen, self.numbers]).to(self.dtype)
        return torch.cat([self.contexts[chosen], x], 2), x


def fitted(valid):
    """Weights of a mixture, by EM on the costs (n, N) of validation rows; sums to one."""
    log_weights = valid.new_full((len(valid), 1), -math.log(len(valid)))
    for _ in range(300):
        log_weights = (log_weights - valid).log_softmax(0).logsumexp(1, keepdim=True) - math.log(valid.shape[1])
    return log_weights.exp()


class Experiment(wide.Experiment):
    """All phases; what is found is written after each."""

    name = "augmented"

    def config_of(self, data):
        """The configuration, with what is different for these data."""
        return {**self.config, **self.config.get(data, {})}

    def training(self, data, split, shape, members, real=None):
        """Networks to train."""
        dtype = stacked.set_precision(self.chosen.precision)
        return Training(self.config_of(data), split, shape, members, self.chosen.device, dtype, real)

    def search(self, data, split):
        """Shapes one after another, the settings of a shape side by side, in the natural order, by validation rows."""
        shapes, found = self.config["shapes"], []
        seconds = self.seconds_for(data, "search") / len(shapes)
        name, natural = orders(split.train.shape[1])[0]
        for shape, settings in zip(shapes, self.config["settings"], strict=True):
            training = self.training(data, split, shape, [({**name, **setting}, natural) for setting in settings])
            rows, _ = training.results(stacked.Clock(seconds), "search", data)
            del training
            found += rows
            shown = ("hidden", "reach", "moved", "dropout", "valid", "epochs", "late_gain", "seconds", "recorded_step")
            stacked.show(rows, *shown)
        self.rows += found
        self.save()

    def setting(self):
        """The shape, and the shifts and dropout, that validation rows prefer."""
        tried = [row for row in self.rows if row["phase"] == "search"]
        if not tried:
            raise SystemExit(f"no search is recorded in {self.path}: it is part of --data drawn, which comes first")
        best = min(tried, key=lambda row: row["valid"]["mean"])
        return [{key: best[key] for key in keys} for keys in (("hidden", "residual"), ("reach", "moved", "dropout"))]

    def score(self, data, phase, training, seconds):
        """As in ``wide.py``; the best network so far is kept."""
        before = [row["valid"]["mean"] for row in self.rows if row["data"] == data and "test" in row]
        rows, valid, test = super().score(data, phase, training, seconds)
        best = min(range(len(rows)), key=lambda k: rows[k]["valid"]["mean"])
        if rows[best]["valid"]["mean"] < min(before, default=math.inf):
            for row in self.of(data, "ensemble"):
                row.pop("saved", None)
            rows[best]["saved"] = self.keep(data, training, best)
            self.save()
        return rows, valid, test

    def keep(self, data, training, k):
        """Save network k in float16, unless the file would be large; what it scores then on 500 validation rows."""
        model, path = training.as_made(k).half(), self.chosen.folder / f"augmented_{data}.safetensors"
        megabytes = sum(p.numel() for p in model.parameters()) * 2 / 1e6
        if megabytes < 60:
            model.save(path)
        rows = training.split.valid[:500].float().cpu()
        return {
            "file": path.name if megabytes < 60 else None,
            "megabytes": round(megabytes, 1),
            "rows": len(rows),
            "float16": round(made.nll(model.float(), rows).mean, 4),
        }

    def teachers(self, data, split):
        """One network per order: trained, or read if that was done before."""
        (shape, setting), known = self.setting(), orders(split.train.shape[1])
        members = [({**known[k][0], **setting}, known[k][1]) for k in self.config_of(data)["orders"]]
        teachers = self.training(data, split, shape, members)
        path = self.chosen.folder / "unfinished" / f"augmented_{data}.pt"
        path.parent.mkdir(exist_ok=True)
        if self.of(data, "ensemble") and path.exists():
            teachers.load(torch.load(path, map_location=self.chosen.device))
        else:
            self.rows = [r for r in self.rows if (r["data"], r["phase"]) != (data, "ensemble")]
            self.mixtures = [m for m in self.mixtures if m["data"] != data]
            self.score(data, "ensemble", teachers, self.seconds_for(data, "ensemble"))
            torch.save(teachers.stack.trained(), path)
        return teachers

    def drawn(self, teachers):
        """Images from the mixture of the teachers."""
        stacked.set_precision("tf32")
        torch.manual_seed(1)
        count = self.config["images_per_teacher"]
        chunk = min(4000, count)
        return torch.cat([teachers.sample(chunk) for _ in range(count // chunk)])

    def students(self, data, split, teachers):
        """Networks that learn from images of the mixture, under the orders of the best teachers."""
        clock, number = stacked.Clock(self.seconds_for(data, "student")), self.config["students"]["orders"]
        images = self.drawn(teachers)
        taught = made.data.Split(torch.cat([split.train, images]), split.valid, split.test)
        print(f"{len(images)} images are drawn; {clock.left():.1f} s are left for students", flush=True)
        best = sorted(self.of(data, "ensemble"), key=lambda row: row["valid"]["mean"])[:number]
        keys = ("order", "turn", "mirrored", "reach", "moved")
        dropout = self.config["students"]["dropout"]
        named = {tuple(name.values()): order for name, order in orders(split.train.shape[1])}
        names = [{**{key: row[key] for key in keys}, "dropout": dropout} for row in best]
        members = [(name, named[name["order"], name["turn"], name["mirrored"]]) for name in names]
        students = self.training(data, taught, teachers.shape, members, real=len(split.train))
        return self.score(data, "student", students, clock.left())

    def mix(self, data, n_valid):
        """Mixtures of all teachers, and of all networks, with fitted weights."""
        costs = {phase: -torch.from_numpy(self.arrays[f"{data}_{phase}"]).double() for phase in ("ensemble", "student")}
        for phase, parts in (("ensemble", [costs["ensemble"]]), ("ensemble and student", list(costs.values()))):
            valid, test = torch.cat(parts).split([n_valid, parts[0].shape[1] - n_valid], 1)
            weights = fitted(valid)
            scores = {
                name: stacked.nats(-(weights.log() - x).logsumexp(0)) for name, x in (("valid", valid), ("test", test))
            }
            shown = [round(weight, 4) for weight in weights.flatten().tolist()]
            self.mixtures.append({"data": data, "phase": phase, "networks": len(valid), "weights": shown, **scores})
        self.save()
        stacked.show(self.mixtures[-2:], "data", "phase", "networks", "valid", "test", "weights")


def main():
    """Go on where the last call has stopped."""
    chosen = stacked.options(__doc__, SECONDS, data=list(CONFIG["binarize"]))
    experiment = Experiment(chosen, TOY if chosen.toy else CONFIG)
    for data in chosen.data:
        phases = [part.split()[1] for part in experiment.config["parts"] if part.split()[0] == data]
        if experiment.clock.left() < 0 or experiment.of(data, phases[-1]):
            continue
        split = experiment.load(data)
        if "search" in phases and not experiment.of(data, "search"):
            experiment.search(data, split)
        teachers = experiment.teachers(data, split)
        if "student" in phases:
            experiment.students(data, split, teachers)
            experiment.mix(data, len(split.valid))
    print(experiment.path, f"{experiment.clock.left():.0f} s left")


if __name__ == "__main__":
    main()
