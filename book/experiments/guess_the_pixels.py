"""Write the images of the game "Guess the pixels" into a script, and draw the picture that stands for it where no
script runs:

python book/experiments/guess_the_pixels.py

The images are the first three of each digit among the test rows of MNIST, rounded to 0/1, in the order of the data.
"""

import base64
from pathlib import Path

import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import Tensor

import made

STATIC = Path(__file__).parent.parent / "static"
PER_DIGIT = 3
SHOWN = (8, 453)  # which image the picture shows, and as far as which pixel
HEAD = """\
/* Images of the game (guess.js), written by book/experiments/guess_the_pixels.py: the first three of each digit among
   the test rows of MNIST (Y. LeCun, C. Cortes, C. Burges), rounded to 0/1, eight pixels a byte. */
"use strict";
"""


def chosen(split: made.data.Split) -> Tensor:
    """The images, in the order of the data."""
    labels = split.test_labels
    firsts = [(labels == digit).nonzero().flatten()[:PER_DIGIT] for digit in range(10)]
    return split.test[torch.cat(firsts).sort().values]


def packed(x: Tensor) -> str:
    """An image as text: eight pixels a byte, the first one highest, in base64."""
    return base64.b64encode(np.packbits(x.numpy().astype(bool)).tobytes()).decode()


def script(split: made.data.Split) -> str:
    images = "".join(f'    "{packed(x)}",\n' for x in chosen(split))
    share = f"  share: {split.train.mean().item():.4f}, // of ink among all pixels of the training rows\n"
    return f"{HEAD}\nmade.digits = {{\n{share}  images: [\n{images}  ],\n}};\n"


def picture(x: Tensor, shown: int) -> None:
    """An image as far as some pixel, which is framed."""
    fig, ax = made.show.figure(1, 1, (3.2, 3.2))
    seen = x.clone()
    seen[shown:] = torch.nan
    ax.imshow(seen.reshape(28, 28).numpy(), cmap="Blues", vmin=-0.15, vmax=1.15)
    corner = (shown % 28 - 0.5, shown // 28 - 0.5)
    ax.add_patch(Rectangle(corner, 1, 1, fill=False, color=made.show.ORANGE, lw=2))
    ax.set(xticks=[], yticks=[], facecolor="#e9edf1")
    fig.savefig(STATIC / "guess_the_pixels.png", dpi=100, metadata={"Software": None})


def main() -> None:
    split = made.data.load("mnist", binarize="threshold")
    (STATIC / "guess_digits.js").write_text(script(split), encoding="ascii")
    image, shown = SHOWN
    picture(chosen(split)[image], shown)


if __name__ == "__main__":
    main()
