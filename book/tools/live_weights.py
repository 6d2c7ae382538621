"""Write the shipped MNIST networks as scripts that a page can load: `python book/tools/live_weights.py`.

`build.py` calls it. Pages opened from disk may not fetch() a file, but they may load a script. So each network becomes
one call of a function of book/static/networks.js, with the weights as base64 text. One drawing is recorded, so that it
can be shown before any network has been loaded.
"""

import base64
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

import made

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))
import pixelcnn

BOOK = Path(__file__).resolve().parents[1]
TARGET = BOOK / "static" / "live_weights"
NETWORKS = ("pixelcnn", "natural", "any_order")
SEED, STARTERS = 1, [12, 13, 14, 23, 27, 38]  # which drawings of the PixelCNN a reader may start from
RECORDED = 13  # the seed of the recorded drawing: that of live_made.js


def kept(model):
    """The masks of the weights worth storing: inputs to hidden, ..., hidden to outputs, and inputs to outputs.

    A model for any order may use every weight of a variable, under one order or another. Only the masks between hidden
    layers never change.
    """
    masks = [*model.connectivity.masks(), model.connectivity.direct_mask()]
    if model.order_agnostic:
        masks = [mask if 0 < layer < len(masks) - 2 else torch.ones_like(mask) for layer, mask in enumerate(masks)]
    return masks


def numbers(model):
    """All weights that are kept and all biases, one after the other, as float16.

    A layer comes column by column: what one unit sends stays together, because that is how the page uses it.
    """
    layers = [*model.hidden, model.output, model.direct]
    weights = [layer.weight.T[mask.T] for layer, mask in zip(layers, kept(model), strict=True)]
    return torch.cat([*weights, *(layer.bias for layer in layers[:-1])]).detach().half()


def made_file(name: str, model: made.MADE) -> tuple[dict, Tensor]:
    """What the page has to know of a MADE, and its numbers."""
    config = model.config
    if config.mask_conditioning:
        raise ValueError(f"{name} has companion weights, which the page does not know: use mask_conditioning=False")
    simple = model.direct is not None and config.activation == "relu" and isinstance(config.likelihood, made.Bernoulli)
    if not simple or config.context_features or config.degrees != "even":
        raise ValueError(f"{name} must be a Bernoulli model of ReLU units, even degrees and direct connections")
    if not (model.order_agnostic or config.order == "natural"):
        raise ValueError(f"{name} must have the natural order or be trained for any, got order={config.order!r}")
    about = {"hidden": config.hidden, "residual": config.residual, "anyOrder": model.order_agnostic}
    return {"features": model.n_features, **about}, numbers(model)


def pixelcnn_file(model: pixelcnn.WidePixelCNN) -> tuple[dict, Tensor]:
    """What the page has to know of a PixelCNN, and its numbers: taps and biases of each layer, then those of places."""
    layers, parts, about = [model.first, *model.hidden, model.output], [], []
    for layer in layers:
        taps = layer.weight.permute(2, 3, 1, 0)[layer.mask]  # (taps, in, out)
        parts += [taps.flatten(), layer.bias]
        sizes = {"inputs": layer.in_channels, "outputs": layer.out_channels, "size": layer.kernel_size[0]}
        about.append({**sizes, "step": layer.dilation[0], "strict": layer is model.first})
    parts.append(model.first.place.permute(2, 3, 1, 0).flatten())  # place by place
    return {"features": len(model.order), "width": model.shape[1], "layers": about}, torch.cat(parts).detach().half()


def script(name, model, starters):
    """The text of a script that hands a network to the page."""
    about, values = pixelcnn_file(model) if isinstance(model, pixelcnn.WidePixelCNN) else made_file(name, model)
    network = {
        **about,
        "starters": ["".join(str(int(v)) for v in row) for row in starters],
        "weights": base64.b64encode(values.numpy().astype("<f2").tobytes()).decode(),
    }
    return f"made.networks.receive({json.dumps(name)}, {json.dumps(network)});\n"


def page_uniforms(seed: int, n: int) -> Tensor:
    """The first n random numbers that a page draws from a seed: those of `made.generator` in book/static/made.js."""
    numbers = []
    for k in range(1, n + 1):
        state = (seed + k * 0x6D2B79F5) % 2**32
        z = (state ^ state >> 15) * (state | 1) % 2**32
        z ^= (z + (z ^ z >> 7) * (z | 61)) % 2**32
        numbers.append(((z ^ z >> 14) + 0.5) / 2**32)
    return torch.tensor(numbers, dtype=torch.float64)


def recording(model: pixelcnn.WidePixelCNN) -> str:
    """The text of a script that holds the logits of one drawing. Its random numbers are those of the seed."""
    model = model.double()
    x = model.draw(page_uniforms(RECORDED, len(model.order))[None])
    with torch.no_grad():
        logits = model(x).flatten().float()
    text = base64.b64encode(logits.numpy().astype("<f4").tobytes()).decode()
    numbers = f'new Float32Array(Uint8Array.from(atob("{text}"), (c) => c.charCodeAt(0)).buffer)'
    return f"made.recording = {{ seed: {RECORDED}, features: {len(logits)}, recorded: {numbers} }};\n"


def load(name: str, results: Path = BOOK / "results") -> made.MADE | pixelcnn.WidePixelCNN:
    """A shipped network in float32."""
    path = results / f"mnist_{name}.safetensors"
    return pixelcnn.load(path) if name == "pixelcnn" else made.MADE.load(path, dtype=torch.float32)


def main(results=BOOK / "results", target=TARGET):
    models = {name: load(name, results) for name in NETWORKS}
    starters = models["pixelcnn"].sample(40, generator=torch.Generator().manual_seed(SEED))[STARTERS]
    target.mkdir(exist_ok=True)
    texts = {name: script(name, model, starters) for name, model in models.items()}
    for name, text in {**texts, "recording": recording(models["pixelcnn"])}.items():
        path = target / f"{name}.js"
        path.write_text(text, encoding="ascii")
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
