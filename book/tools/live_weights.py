"""Write the shipped MNIST networks as scripts that a page can load: `python book/tools/live_weights.py`.

`build.py` calls it. Pages opened from disk may not fetch() a file, but they may load a script. So each network becomes
one call of a function of book/static/live_made.js, with the weights as base64 text.
"""

import base64
import json
from pathlib import Path

import torch

import made

BOOK = Path(__file__).resolve().parents[1]
TARGET = BOOK / "static" / "live_weights"
NETWORKS = ("natural", "any_order")
SEED, STARTERS = 1, [3, 12, 18, 21, 29, 34]  # which of the drawings in samples.png a reader may start from


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


def script(name, model, starters):
    """The text of a script that hands a network to the page."""
    config = model.config
    if config.mask_conditioning:
        raise ValueError(f"{name} has companion weights, which the page does not know: use mask_conditioning=False")
    simple = model.direct is not None and config.activation == "relu" and isinstance(config.likelihood, made.Bernoulli)
    if not simple or config.context_features or config.degrees != "even":
        raise ValueError(f"{name} must be a Bernoulli model of ReLU units, even degrees and direct connections")
    if not (model.order_agnostic or config.order == "natural"):
        raise ValueError(f"{name} must have the natural order or be trained for any, got order={config.order!r}")
    network = {
        "features": model.n_features,
        "hidden": config.hidden,
        "residual": config.residual,
        "anyOrder": model.order_agnostic,
        "starters": ["".join(str(int(v)) for v in row) for row in starters],
        "weights": base64.b64encode(numbers(model).numpy().astype("<f2").tobytes()).decode(),
    }
    return f"liveMade.receive({json.dumps(name)}, {json.dumps(network)});\n"


def main(results=BOOK / "results", target=TARGET):
    models = {name: made.MADE.load(results / f"mnist_{name}.safetensors", dtype=torch.float32) for name in NETWORKS}
    starters = models["natural"].sample(40, generator=torch.Generator().manual_seed(SEED))[STARTERS]
    target.mkdir(exist_ok=True)
    for name, model in models.items():
        path = target / f"{name}.js"
        path.write_text(script(name, model, starters), encoding="ascii")
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
