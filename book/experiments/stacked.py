"""Masked networks of one shape, trained side by side: what ``mystery.py`` and ``wide.py`` share.

A single network leaves a GPU idle, so n networks are kept in tensors whose first axis counts the networks. The units of
every layer are sorted by degree and the variables by the order in which they are generated. Then every mask is a
staircase: a strip of rows uses only the first inputs, and what lies beyond is neither stored nor multiplied.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import run
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import made

STRIPS = 8  # strips of a layer: more would save more multiplications, but small products run slower
WARM_UP = 3  # steps before a step is recorded


def cut(mask: Tensor, strips: int) -> list[tuple[slice, int, int]]:
    """Cut masks (n, out, in) into strips of rows: the rows, the inputs that all of them may use, and that any may."""
    height = math.ceil(mask.shape[1] / strips)
    cuts = []
    for start in range(0, mask.shape[1], height):
        part = mask[:, start : start + height].flatten(0, 1)
        reach = int(part.any(0).nonzero().max()) + 1 if part.any() else 1
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

    def __init__(self, mask: Tensor, n: int, bound: float, generator: torch.Generator, strips: int = STRIPS):
        super().__init__()
        self.n_outputs, self.cuts = mask.shape[1], cut(mask, strips)
        self.weights = nn.ParameterList()
        for k, (rows, sure, reach) in enumerate(self.cuts):
            weight = torch.empty(n, rows.stop - rows.start, reach, device=generator.device)
            weight.uniform_(-bound, bound, generator=generator)
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

    def dense(self, n_inputs: int) -> Tensor:
        """The weights as one tensor (n, out, in)."""
        whole = self.bias.new_zeros(len(self.bias), self.n_outputs, n_inputs)
        for (rows, _, reach), weight in zip(self.cuts, self.weights, strict=True):
            whole[:, rows, :reach] = weight.detach()
        return whole


class Stack(nn.Module):
    """n networks with hidden layers, an output layer and perhaps a direct connection, in order of generation.

    Args:
        masks: of the hidden layers and the output, as from :func:`made.masks.build_masks`, each (n or 1, out, in).
        direct: mask of the direct connection, or None.
        n: number of networks.
        bounds: initial weights are uniform up to these: one number per mask, then one for the direct connection.
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

    The first ``context`` inputs are left out: the MADE is the network for a context of zeros.
    """
    model = made.MADE(len(order), hidden, direct=stack.direct is not None, residual=stack.residual)
    inputs = made.masks.degrees_from_order(order)
    model.use(made.Connectivity(order, (inputs, *degrees)))
    place = inputs - 1  # where a variable stands in the order
    widths = [context + len(order), *hidden]
    with torch.no_grad():
        targets = zip([*stack.hidden, stack.output], [*model.hidden, model.output], strict=True)
        for number, (layer, target) in enumerate(targets):
            weight, bias = layer.dense(widths[number])[k].cpu(), layer.bias[k, 0].cpu()
            weight = weight[:, context:][:, place] if number == 0 else weight
            last = target is model.output
            target.weight.copy_(weight[place] if last else weight)
            target.bias.copy_(bias[place] if last else bias)
        if stack.direct is not None:
            direct = stack.direct.dense(widths[0])[k].cpu()[:, context:]
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
