"""Write the shipped MNIST networks as scripts that a page can load: `python book/tools/live_weights.py`.

`build.py` calls it. Pages opened from disk may not fetch() a file, but they may load a script. So each network becomes
scripts that call a function of book/static/networks.js with the weights as text. They are several, so that a page can
say how much has arrived: `natural.0.js` says what the network is, and all have a piece of the text. One drawing is
recorded, so that it can be shown before any network has been loaded.

The text has one character per number, and every number is a whole multiple of one step: 2**-8 for the MADEs, 2**-12 for
the PixelCNN. So the text of a MADE is half as long as float16 numbers in base64, and little more than half as long when
a server compresses it. What this changes, over the first 1000 test digits of MNIST, rounded to 0 and 1, against the
weights in book/results:

===========================  =================================  ============================
network, order               change of log p(x) of a digit      largest change of any logit
===========================  =================================  ============================
pixelcnn, rows               0.01 root mean square, 0.04 most   0.05
natural, rows                0.10 root mean square, 0.34 most   0.42
any_order, random orders     0.09 root mean square, 0.41 most   0.21
any_order, rows              0.36 root mean square, 1.36 most   0.19
===========================  =================================  ============================

log p(x) is in nats. In row order the any-order network is least sure of itself, and rounding matters most.
"""

import base64
import json
import shutil
import sys
from pathlib import Path

import torch
from torch import Tensor

import made

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))
import pixelcnn

BOOK = Path(__file__).resolve().parents[1]
TARGET = BOOK / "static" / "live_weights"
BITS = {"pixelcnn": 12, "natural": 8, "any_order": 8}  # a network's numbers are multiples of 2**-BITS
FIRST, LAST = ord("#"), 0xD7FF  # the character of 0, after those that have a meaning in a script, and the last one
PIECE = 150_000  # characters of a script at most
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
    """All weights that are kept and all biases, one after the other.

    A layer comes column by column: what one unit sends stays together, because that is how the page uses it.
    """
    layers = [*model.hidden, model.output, model.direct]
    weights = [layer.weight.T[mask.T] for layer, mask in zip(layers, kept(model), strict=True)]
    return torch.cat([*weights, *(layer.bias for layer in layers[:-1])]).detach()


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
    return {"features": len(model.order), "width": model.shape[1], "layers": about}, torch.cat(parts).detach()


def as_text(values: Tensor, bits: int) -> str:
    """One character per number: multiples of the step, in the order 0, -1, 1, -2, 2 ... so that small ones take a byte.

    >>> as_text(torch.tensor([0.0, -0.5, 0.5, -1.0]), bits=1)
    '#$%&'
    """
    steps = (values.double() * 2**bits).round().long()
    codes = FIRST + torch.where(steps < 0, -2 * steps - 1, 2 * steps)
    if codes.max() > LAST:
        raise ValueError(f"a number of size {values.abs().max():.3g} is no character, at {bits} bits: use fewer")
    return "".join(map(chr, codes.tolist()))


def scripts(name, model, starters, bits=8, piece=PIECE):
    """The texts of the scripts that hand a network to the page."""
    about, values = pixelcnn_file(model) if isinstance(model, pixelcnn.WidePixelCNN) else made_file(name, model)
    text = as_text(values, bits)
    parts = [{"step": 2**-bits, "at": at, "weights": text[at : at + piece]} for at in range(0, len(text), piece)]
    drawn = ["".join(str(int(v)) for v in row) for row in starters]
    parts[0] = {**about, "starters": drawn, "pieces": len(parts), "count": len(text), **parts[0]}
    words = [json.dumps(part, ensure_ascii=False) for part in parts]
    return [f"made.networks.receive({json.dumps(name)}, {k}, {part});\n" for k, part in enumerate(words)]


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


def original(name: str, results: Path = BOOK / "results") -> made.MADE | pixelcnn.WidePixelCNN:
    """A shipped network in float32."""
    path = results / f"mnist_{name}.safetensors"
    return pixelcnn.load(path) if name == "pixelcnn" else made.MADE.load(path, dtype=torch.float32)


def load(name: str, results: Path = BOOK / "results") -> made.MADE | pixelcnn.WidePixelCNN:
    """A shipped network in float32 as the pages have it: its numbers are multiples of a step."""
    model, step = original(name, results), 2.0 ** -BITS[name]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter.double() / step).round() * step)
    return model


def main(results=BOOK / "results", target=TARGET):
    models = {name: load(name, results) for name in BITS}
    starters = models["pixelcnn"].sample(40, generator=torch.Generator().manual_seed(SEED))[STARTERS]
    texts = {"recording.js": recording(load("pixelcnn", results))}
    for name, model in models.items():
        pieces = scripts(name, model, starters, BITS[name])
        texts |= {f"{name}.{k}.js": text for k, text in enumerate(pieces)}
        print(f"{name}: {sum(len(text.encode()) for text in pieces) / 1e6:.2f} MB in {len(pieces)} scripts")
    shutil.rmtree(target, ignore_errors=True)  # an older build may have had more scripts
    target.mkdir()
    for file, text in texts.items():
        (target / file).write_text(text, encoding="utf8")


if __name__ == "__main__":
    main()
