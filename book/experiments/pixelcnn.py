"""Train the small PixelCNN of the page "Live MADE": MNIST rounded to 0/1, row by row.

    python book/experiments/pixelcnn.py          28 minutes when recorded, on one core
    python book/experiments/pixelcnn.py --toy    a few seconds, into a temporary folder: only proves that it runs

Validation rows chose the setting; the test rows are used once, at the end, for this network and for the MADE of
``mnist.py`` with the same order. The shipped file holds weights rounded to float16, and the recorded likelihoods are
those of the rounded weights. A run that is interrupted goes on where it was, from a checkpoint in the folder
``book/results/unfinished``.
"""

import math
import time
from pathlib import Path

import run
import torch
from other_models import MaskedConv, PixelCNN, parameters_that_count, seeded
from torch import Tensor, nn
from torch.nn import functional as F

import made
from made.files import read_tensors, write_tensors

EXPECTED = "28 minutes"
FORMAT = "PixelCNN/1"
CONFIG = {
    "data": "mnist",
    "binarize": "threshold",
    "setting": {"channels": 32, "dilations": [1, 2, 4, 1, 2, 4], "first": 15},
    "training": {"batch_size": 25, "lr": 2e-3, "ema": 0.9998, "patience": 5, "seed": 0, "amp": True},
    "epochs": 13,
}
TOY = {
    **CONFIG,
    "data": "digits",
    "setting": {"channels": 4, "dilations": [1, 2], "first": 5},
    "epochs": 1,
}


class PlacedConv(MaskedConv):
    """The first layer: strict, and with a bias of its own for every place. So the network knows where it is."""

    def __init__(self, channels: int, size: int, height: int, width: int) -> None:
        super().__init__(1, channels, size, strict=True)
        self.place = nn.Parameter(torch.zeros(1, channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.place

    def at(self, padded: Tensor, row: int, column: int) -> Tensor:
        return super().at(padded, row, column) + self.place[:, :, row, column]


class DilatedConv(MaskedConv):
    """A layer of 3 x 3 weights for places that are ``step`` apart, so that few layers see far."""

    def __init__(self, channels: int, step: int) -> None:
        super().__init__(channels, channels, 3, strict=False)
        self.dilation = self.padding = (step, step)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding, dilation=self.dilation)

    def at(self, padded: Tensor, row: int, column: int) -> Tensor:
        step = self.dilation[0]
        return super().at(padded[:, :, row : row + 2 * step + 1 : step, column : column + 2 * step + 1 : step], 0, 0)


class WidePixelCNN(PixelCNN):
    """A PixelCNN whose layers see far, and which knows where it is."""

    def __init__(self, height: int, width: int, channels: int, dilations: list[int], first: int) -> None:
        super().__init__(height, width, channels, len(dilations))
        self.first = PlacedConv(channels, first, height, width)
        self.hidden = nn.ModuleList(DilatedConv(channels, step) for step in dilations)


def square(n_features: int, setting: dict, seed: int = 0) -> WidePixelCNN:
    """A network for square images, with its weights where convolutions on a CPU are fast."""
    side = math.isqrt(n_features)
    return seeded(WidePixelCNN, side, side, **setting, seed=seed).to(memory_format=torch.channels_last)


def save(model: WidePixelCNN, setting: dict, path: Path) -> None:
    """Write the weights that masks let through, and the biases, rounded to float16."""
    tensors = {name: parameter.detach().half().contiguous() for name, parameter in model.named_parameters()}
    for name, layer in model.named_modules():
        if isinstance(layer, MaskedConv):
            tensors[f"{name}.weight"] *= layer.mask
    write_tensors(path, tensors, FORMAT, {"n_features": len(model.order), **setting})


def load(path: Path) -> WidePixelCNN:
    """The network of a file that ``save`` has written, in float32 and evaluation mode."""
    _, setting, tensors = read_tensors(path, FORMAT)
    model = square(setting.pop("n_features"), setting)
    model.load_state_dict({**model.state_dict(), **tensors})
    return model.eval()


def main() -> None:
    chosen, folder = run.begin("pixelcnn", __doc__, EXPECTED)
    config, started = TOY if chosen.toy else CONFIG, time.process_time()
    split = made.data.load(config["data"], binarize=config["binarize"])
    model = square(split.train.shape[1], config["setting"], config["training"]["seed"])
    options = {**config["training"], **run.checkpoint(folder, "pixelcnn", {**config, "epochs": "any"})}
    history = made.fit(model, split.train, split.valid, epochs=config["epochs"], **options, progress=False)
    path = folder / "mnist_pixelcnn.safetensors"
    save(model, config["setting"], path)
    model = load(path)  # what is shipped is what is measured
    rival = made.MADE(64, (16,)) if chosen.toy else made.MADE.load(folder / "mnist_natural.safetensors").float()
    with torch.no_grad():
        ours, its = (torch.cat([m.log_prob(x).double() for x in split.test.split(500)]) for m in (model, rival))
    found = {
        "parameters": parameters_that_count(model),
        "stopped": history.stopped,
        "valid": made.nll(model, split.valid, batch_size=500)._asdict(),
        "test": run.nats(ours),
        "test_first_2000": round(-ours[:2000].mean().item(), 3),  # which a test repeats
        "test_minus_made": run.nats(ours - its),
        "best_epoch": history.best_epoch,
        **{f"{name}_curve": [round(v, 3) for v in getattr(history, name)] for name in ("train", "valid")},
    }
    print(found["test"], found["test_minus_made"])
    seconds = time.process_time() - started  # of work, whatever else the machine has to do
    print(run.write("pixelcnn", config, time.time() - seconds, folder, **found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
