"""Masked networks, trained side by side: what ``mystery.py``, ``mnist_many.py`` and ``wide.py`` share.

A single network leaves a GPU idle, so n networks are kept in tensors whose first axis counts the networks. The units of
every layer are sorted by degree and the variables by the order in which they are generated. Then every mask is a
staircase: a strip of rows uses only the first inputs, and what lies beyond is neither stored nor multiplied.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import run
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import made

STRIPS = 8  # strips of a layer: more would save more multiplications, but small products run slower
ALIGNED = 16  # strips begin and end at multiples of this, for which a GPU has its fast products
LOOK = 5  # epochs from one look at all training rows to the next
WARM_UP = 3  # steps before a step is recorded


def aligned(number: int) -> int:
    """The next multiple of ``ALIGNED``."""
    return math.ceil(number / ALIGNED) * ALIGNED


def cut(mask: Tensor, strips: int) -> list[tuple[slice, int, int]]:
    """Cut masks (n, out, in) into strips of rows: the rows, the inputs that all of them may use, and that any may."""
    height = aligned(math.ceil(mask.shape[1] / strips))
    cuts = []
    for start in range(0, mask.shape[1], height):
        part = mask[:, start : start + height].flatten(0, 1)
        reach = min(aligned(int(part.any(0).nonzero().max()) + 1 if part.any() else 1), mask.shape[2])
        sure = int(part[:, :reach].all(0).int().cumprod(0).sum())
        cuts.append((slice(start, min(start + height, mask.shape[1])), sure, reach))
    return cuts


class Product(torch.autograd.Function):
    """Inputs (n, B, in) times strips of masked weights: (n, B, out). The gradients are masked, so the weights stay so.

    It is computed in the precision of the inputs; weights and their gradients are float32.
    """

    @staticmethod
    def forward(ctx, x, layer, *weights):
        """Strip by strip."""
        weights = [weight.to(x.dtype) for weight in weights]
        ctx.layer = layer
        ctx.save_for_backward(x, *weights)
        y = x.new_empty(*x.shape[:2], layer.n_outputs)
        for (rows, _, reach), weight in zip(layer.cuts, weights, strict=True):
            y[:, :, rows] = torch.bmm(x[:, :, :reach], weight.transpose(1, 2))
        return y

    @staticmethod
    def backward(ctx, dy):
        """Gradients of the inputs, where they are needed, and of the strips."""
        x, *weights = ctx.saved_tensors
        dx = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        gradients = []
        for (rows, sure, reach), weight, mask in zip(ctx.layer.cuts, weights, ctx.layer.masks(), strict=True):
            part = dy[:, :, rows]
            gradient = torch.bmm(part.transpose(1, 2), x[:, :, :reach]).float()
            gradient[:, :, sure:] *= mask
            gradients.append(gradient)
            if dx is not None:
                dx[:, :, :reach] += torch.bmm(part, weight)
        return dx, None, *gradients


class Layer(nn.Module):
    """A masked linear layer of n networks; masks of shape (n, out, in), or (1, out, in) if all have the same."""

    def __init__(self, mask: Tensor, n: int, bound: float | Tensor, generator: torch.Generator, strips: int = STRIPS):
        super().__init__()
        self.n_outputs, self.n_inputs, self.cuts = *mask.shape[1:], cut(mask, strips)
        self.weights = nn.ParameterList()
        for k, (rows, sure, reach) in enumerate(self.cuts):
            weight = torch.empty(n, rows.stop - rows.start, reach, device=generator.device)
            weight.uniform_(-1, 1, generator=generator).mul_(bound)
            self.register_buffer(f"mask_{k}", mask[:, rows, sure:reach].float().to(generator.device))
            weight[:, :, sure:] *= self.get_buffer(f"mask_{k}")
            self.weights.append(weight)
        self.bias = nn.Parameter(torch.zeros(n, 1, self.n_outputs, device=generator.device))

    def masks(self) -> list[Tensor]:
        """What multiplies the part of every strip that not all rows may use."""
        return [self.get_buffer(f"mask_{k}") for k in range(len(self.cuts))]

    def forward(self, x: Tensor) -> Tensor:
        """(n, B, in) to (n, B, out)."""
        return Product.apply(x, self, *self.weights) + self.bias.to(x.dtype)

    def dense(self) -> Tensor:
        """The weights as one tensor (n, out, in)."""
        whole = self.bias.new_zeros(len(self.bias), self.n_outputs, self.n_inputs)
        for (rows, _, reach), weight in zip(self.cuts, self.weights, strict=True):
            whole[:, rows, :reach] = weight.detach()
        return whole


class Stack(nn.Module):
    """n networks with hidden layers, an output layer and perhaps a direct connection, in order of generation.

    Args:
        masks: of the hidden layers and the output, as from :func:`made.masks.build_masks`, each (n or 1, out, in).
        direct: mask of the direct connection, or None.
        n: number of networks.
        bounds: initial weights are uniform up to these: one number per mask, then one for the direct connection. A
            tensor (n, 1, 1) gives every network its own.
        residual: every hidden layer after the first adds to the one before.
        generator: source of the initial weights, on the device of the stack; the biases start at 0.
    """

    def __init__(self, masks, direct, n, bounds, generator, residual=False, strips=STRIPS):
        super().__init__()
        *hidden, output = [
            Layer(mask, n, bound, generator, strips) for mask, bound in zip(masks, bounds[: len(masks)], strict=True)
        ]
        self.hidden, self.output, self.residual, self.n = nn.ModuleList(hidden), output, residual, n
        self.direct = None if direct is None else Layer(direct, n, bounds[-1], generator, strips)
        if self.direct is not None:
            self.direct.bias.requires_grad_(False)

    def forward(self, x: Tensor, drop: Callable = lambda h: h, drop_direct: Callable = lambda h: h) -> Tensor:
        """Raw outputs (n, B, D) in float32, for x of shape (n, B, D); ``drop`` is applied to hidden layers."""
        h = x
        for number, layer in enumerate(self.hidden):
            new = drop(torch.relu(layer(h)))
            h = h + new if self.residual and number else new
        out = self.output(h).float()
        return out if self.direct is None else out + drop_direct(self.direct(x).float())

    def trained(self) -> list[nn.Parameter]:
        """All parameters that learn."""
        return [p for p in self.parameters() if p.requires_grad]


def dropping(p: Tensor) -> Callable[[Tensor], Tensor]:
    """Dropout with a probability of its own for every network; p has shape (n, 1, 1)."""
    return lambda h: h * (torch.rand(h.shape, device=h.device) >= p).to(h.dtype) / (1 - p).to(h.dtype)


def to_made(
    stack: Stack, k: int, order: Tensor, degrees: Sequence[Tensor], hidden: Sequence[int], context: int = 0
) -> made.MADE:
    """Network number k of a stack as a MADE; ``degrees`` are those of the hidden layers, sorted.

    The first ``context`` inputs are left out: the MADE is the network for a context of zeros. So are units that fill
    up a layer of the stack, which come last.
    """
    model = made.MADE(len(order), hidden, direct=stack.direct is not None, residual=stack.residual)
    inputs = made.masks.degrees_from_order(order)
    model.use(made.Connectivity(order, (inputs, *degrees)))
    place = inputs - 1  # where a variable stands in the order
    with torch.no_grad():
        targets = zip([*stack.hidden, stack.output], [*model.hidden, model.output], strict=True)
        for number, (layer, target) in enumerate(targets):
            weight, bias = layer.dense()[k].cpu(), layer.bias[k, 0].cpu()
            weight = weight[:, context:][:, place] if number == 0 else weight
            last = target is model.output
            rows = place if last else slice(target.out_features)
            target.weight.copy_(weight[rows, : target.in_features])
            target.bias.copy_(bias[rows])
        if stack.direct is not None:
            direct = stack.direct.dense()[k].cpu()[:, context:]
            model.direct.weight.copy_(direct[place][:, place])
    return model.eval()


class Step:
    """A training step for given rows. A GPU records it once and replays it, which spares it the wait for Python."""

    record = True  # --no-graph says no

    def __init__(self, function: Callable[[Tensor], None], batch_size: int, device: torch.device):
        self.function, self.graph, self.calls = function, None, 0
        self.rows = torch.zeros(batch_size, dtype=torch.int64, device=device)
        self.recordable = self.record and device.type == "cuda"

    def __call__(self, rows: Tensor) -> None:
        """Do one step."""
        self.rows.copy_(rows)
        self.calls += 1
        if self.recordable and self.graph is None and self.calls > WARM_UP:
            self.capture()
        if self.graph is not None:
            self.graph.replay()
        elif self.recordable:  # as PyTorch wants it before a recording: in a stream of its own
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self.function(self.rows)
            torch.cuda.current_stream().wait_stream(stream)
        else:
            self.function(self.rows)

    def capture(self) -> None:
        """Record the step; where that fails, say so and go on without."""
        try:
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.function(self.rows)
            self.graph = graph
        except RuntimeError as error:
            print(f"the step is not recorded: {str(error).splitlines()[0]}", flush=True)
            self.recordable = False
            torch.cuda.synchronize()


def adam(parameters: Iterable, lr: float, device: torch.device, **options) -> torch.optim.AdamW:
    """AdamW, fused, whose rate is a tensor that can be changed while a recorded step uses it."""
    rate = torch.tensor(lr, device=device)
    return torch.optim.AdamW(parameters, lr=rate, fused=True, capturable=device.type == "cuda", **options)


def set_precision(name: str) -> torch.dtype:
    """Precision of the products from now on, "float32", "tf32" or "bfloat16"; the dtype of what is multiplied."""
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


class Training:
    """Networks that learn side by side, each with its own rate, its own end, and its own best weights.

    Every network halves its rate after ``halve_after`` epochs without a lower validation score, and ends after
    ``patience`` epochs without one that is lower by ``min_delta``: these and ``batch_size`` and ``epochs`` are entries
    of ``config``. A subclass says what a network is, by ``means`` and ``score``.

    Args:
        config: as above.
        split: the rows.
        stack: the networks, a module whose parameters have them on the first axis; ``trained()`` lists what learns.
        rates: the learning rate of every network.
        seed: of the order of the rows, and of dropout.
        dtype: in which products are computed.
    """

    ways: tuple = (False,)  # how validation rows are scored; each way keeps its own best weights, the first decides
    looks = True  # whether the training rows are scored now and then

    def __init__(self, config, split, stack, rates, seed, device, dtype):
        self.config, self.stack, self.seed, self.device, self.dtype = config, stack, seed, device, dtype
        self.train, self.valid, self.test = (x.to(device) for x in (split.train, split.valid, split.test))
        self.n, self.lr = len(rates), max(rates)
        self.rate = torch.tensor(rates, device=device).view(-1, 1, 1) / self.lr  # 0 for who has ended
        self.total = torch.zeros(self.n, device=device)
        self.optimizer = adam(stack.trained(), self.lr, device, weight_decay=0.0)
        self.best = {way: [p.detach().clone() for p in stack.trained()] for way in self.ways}
        self.states = [State(self.ways) for _ in rates]

    def means(self, rows: Tensor) -> Tensor:
        """Mean loss of training rows with these indices under every network, (n,), with all that is random."""
        raise NotImplementedError

    def score(self, rows: Tensor, way: bool = False) -> Tensor:
        """What every row costs under every network, (n, N)."""
        raise NotImplementedError

    def begin_epoch(self, steps: int) -> None:
        """What changes before an epoch of so many steps: nothing here."""

    def step(self, rows: Tensor) -> None:
        """One step of Adam. What Adam does is proportional to the rate, so a rate of its own scales it afterwards."""
        parameters = self.stack.trained()
        before = [p.detach().clone() for p in parameters] if self.n > 1 else []
        self.optimizer.zero_grad()
        means = self.means(rows)
        means.sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            self.total += means
            for p, old in zip(parameters, before, strict=False):
                torch.lerp(old, p, self.rate, out=p)

    def keep_best(self, way: bool, gained: list[bool]) -> None:
        """Keep the weights of the networks that have gained."""
        chosen = torch.tensor(gained, device=self.device).view(-1, 1, 1)
        for p, best in zip(self.stack.trained(), self.best[way], strict=True):
            best.copy_(torch.where(chosen, p.detach(), best))

    def run(self, clock: "Clock") -> None:
        """Train until all have ended."""
        size = min(self.config["batch_size"], len(self.train))
        generator, step = torch.Generator().manual_seed(self.seed), Step(self.step, size, self.device)
        torch.manual_seed(self.seed)
        steps, started = len(self.train) // size, time.monotonic()
        for epoch in range(self.config["epochs"]):
            if self.n == 1:
                self.optimizer.param_groups[0]["lr"].fill_(self.lr * self.rate.item())
            self.begin_epoch(steps)
            order = torch.randperm(len(self.train), generator=generator).to(self.device)
            for rows in order[: steps * size].view(steps, size):
                step(rows)
            self.end_epoch(epoch, (self.total / steps).tolist(), clock)
            self.total.zero_()
            if all(state.stopped for state in self.states):
                break
        self.recorded, self.seconds = step.graph is not None, round(time.monotonic() - started, 1)

    @torch.no_grad()
    def end_epoch(self, epoch: int, trained: list[float], clock: "Clock") -> None:
        """Score the validation rows, sometimes the training rows, and see who has gained and who has to end."""
        running = [not state.stopped for state in self.states]
        for way in self.ways:
            scores = self.score(self.valid, way).mean(1).tolist()
            gained = [state.add(way, v) and on for on, state, v in zip(running, self.states, scores, strict=True)]
            self.keep_best(way, gained)
        if self.looks and epoch % LOOK == 0:
            self.look(running)
        for k, state in enumerate(self.states):
            if running[k]:
                state.curves["train"].append(trained[k])
                if state.halves(self.config):
                    self.rate[k] /= 2
                state.rate = self.lr * self.rate[k].item()
                state.stopped = state.ends(self.config, epoch + 1, clock)
        ended = [on and bool(state.stopped) for on, state in zip(running, self.states, strict=True)]
        if any(ended):
            if self.looks:
                self.look(ended)
            self.rate *= ~torch.tensor(ended, device=self.device).view(-1, 1, 1)

    @torch.no_grad()
    def look(self, which: list[bool]) -> None:
        """Note the cost of the training rows as the networks are now, without dropout, if it is the lowest so far."""
        costs = self.score(self.train).mean(1).tolist()
        for on, state, cost in zip(which, self.states, costs, strict=True):
            state.lowest_train = min(state.lowest_train, cost) if on else state.lowest_train

    @torch.no_grad()
    def chosen(self, way: bool = False, parts: Sequence[str] = ("train", "valid", "test")) -> dict[str, Tensor]:
        """Take the best weights, in float32; what the rows of some parts cost under them, (n, N)."""
        set_precision("float32")
        self.dtype = torch.float32
        for p, best in zip(self.stack.trained(), self.best[way], strict=True):
            p.copy_(best)
        found = {name: self.score(getattr(self, name), way) for name in parts}
        if not way and "train" in found:
            for state, cost in zip(self.states, found["train"].mean(1).tolist(), strict=True):
                state.lowest_train = min(state.lowest_train, cost)
        return found

    def row(self, k: int, found: dict[str, Tensor], way: bool = False) -> dict:
        """What is recorded of network k."""
        state = self.states[k]
        costs = {"costs": found["test"][k].float().cpu()} if "test" in found else {}
        return {
            "stopped": state.stopped,
            "epochs": len(state.curves[way]),
            "best_epoch": state.curves[way].index(min(state.curves[way])),
            "rate_at_end": state.rate,
            **{name: nats(costs[k]) for name, costs in found.items()},
            **({"lowest_train": round(state.lowest_train, 3)} if self.looks else {}),
            "train_curve": [round(v, 2) for v in state.curves["train"]],
            "valid_curve": [round(v, 2) for v in state.curves[way]],
            "seconds": self.seconds,
            "device": machine(self.device)["device"],
            "side_by_side": self.n,
            "recorded_step": self.recorded,
            **costs,
        }


class State:
    """How far a network is: its curves, and what decides about its rate and its end."""

    def __init__(self, ways: tuple):
        self.curves: dict = {"train": [], **{way: [] for way in ways}}
        self.first = ways[0]
        self.wait, self.long_wait, self.bar = 0, 0, math.inf
        self.rate, self.stopped, self.lowest_train = 0.0, "", math.inf

    def add(self, way: bool, score: float) -> bool:
        """Enter a validation score, of a network that still runs; whether it is the lowest so far."""
        if self.stopped:
            return False
        before = min(self.curves[way], default=math.inf)
        self.curves[way].append(score)
        return score < before

    def halves(self, config: dict) -> bool:
        """Whether it is time to halve the rate."""
        *before, score = self.curves[self.first]
        self.wait = 0 if score < min(before, default=math.inf) - 1e-4 else self.wait + 1
        halves = self.wait >= config["halve_after"]
        self.wait = 0 if halves else self.wait
        return halves

    def ends(self, config: dict, epochs: int, clock: "Clock") -> str:
        """Why the network ends after so many epochs, or nothing."""
        score = self.curves[self.first][-1]
        gained = score < self.bar - config["min_delta"]
        self.long_wait = 0 if gained else self.long_wait + 1
        self.bar = score if gained else self.bar
        if not math.isfinite(score):
            return "not finite"
        if self.long_wait >= config["patience"]:
            return "patience"
        if epochs == config["epochs"]:
            return "epochs"
        return "budget" if clock.left() < 0 else ""


class Clock:
    """Seconds that are left."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the end."""
        return self.end - time.monotonic()


def options(description: str, seconds: float, **choices: Sequence[str]) -> argparse.Namespace:
    """The command line: device, seconds, precision, folder; ``--toy`` for a few seconds in a temporary folder.

    Every one of ``choices`` is an option of its own, that names the parts to run in this call; all if it is left out.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="a few seconds: only proves that it runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=seconds, help="when to stop whatever is running")
    for name, values in choices.items():
        parser.add_argument(f"--{name}", nargs="+", choices=values, default=values, help="only these, in this call")
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default=None)
    parser.add_argument("--folder", type=Path, default=None, help="where results go; default book/results")
    parser.add_argument(
        "--no-graph", action="store_true", help="do not record steps on a GPU: slower, never needed yet"
    )
    chosen = parser.parse_args()
    Step.record = not chosen.no_graph
    chosen.device = torch.device(chosen.device)
    if chosen.precision is None:
        chosen.precision = "bfloat16" if chosen.device.type == "cuda" else "float32"
    if chosen.folder is None:
        chosen.folder = Path(tempfile.mkdtemp()) if chosen.toy else run.RESULTS
    chosen.folder.mkdir(parents=True, exist_ok=True)
    return chosen


class Record:
    """What an experiment has found so far: rows in ``NAME.json``, the costs of their test rows in ``NAME_rows.npz``.

    A row that was trained says under ``run`` which array is its own. With another configuration all starts anew.
    ``pairs`` are fields of networks and of others that contain them, as in ``run.main``.
    """

    def __init__(self, name: str, config: dict, chosen: argparse.Namespace, pairs: Sequence[tuple[dict, dict]] = ()):
        self.pairs = pairs
        self.name, self.config, self.chosen, self.started = name, config, chosen, time.time()
        self.path, self.arrays_path = chosen.folder / f"{name}.json", chosen.folder / f"{name}_rows.npz"
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        same = known.get("config") == json.loads(json.dumps(config))
        self.runs, self.before = (known["runs"], known["seconds"]) if same else ([], 0.0)
        self.arrays: dict = {}
        if self.runs and self.arrays_path.exists():
            with np.load(self.arrays_path) as file:
                self.arrays = dict(file)

    def replace(self, old: list[dict], found: list[tuple[dict, dict]]) -> list[dict]:
        """Put rows, of their fields and what was found, in the place of those that have fields of ``old``; save."""
        self.runs = [row for row in self.runs if not any(row.items() >= fields.items() for fields in old)]
        new = []
        for fields, what in found:
            row, arrays = run.without_costs(run.as_row(fields, what), self.runs + new)
            self.arrays |= arrays
            new.append(row)
        self.runs += new
        kept = {str(row["run"]) for row in self.runs if "run" in row}
        self.arrays = {name: array for name, array in self.arrays.items() if name.split("_")[-1] in kept}
        self.save()
        return new

    def save(self) -> None:
        """Write both files."""
        run.write(
            self.name,
            self.config,
            self.started - self.before,
            self.chosen.folder,
            gpu=machine(self.chosen.device),
            products_in=self.chosen.precision,
            runs=self.runs,
            **({"violations": run.violations(self.runs, self.pairs)} if self.pairs else {}),
        )
        np.savez_compressed(self.arrays_path, **self.arrays)


def show(rows: Iterable[dict], *names: str) -> None:
    """Print the named entries of rows."""
    for row in rows:
        print(*(f"{name}={row[name]}" for name in names if name in row), flush=True)


def machine(device: torch.device) -> dict:
    """What the networks were trained on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else run.processor()
    return {"device": name, "cores": os.cpu_count()}


def nats(losses: Tensor) -> dict:
    """Mean and standard error of losses of rows."""
    return {"mean": round(losses.mean().item(), 3), "stderr": round(losses.std().item() / len(losses) ** 0.5, 3)}


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """Negative log-likelihood of every row, summed over the variables."""
    return F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
