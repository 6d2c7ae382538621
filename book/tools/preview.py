"""Draw the picture that others show beside a link to the book: `python book/tools/preview.py`.

Drawings of the PixelCNN, of those that live MADE starts from, and the masks of a small MADE.
"""

import sys

import torch
from live_weights import BOOK, SEED, STARTERS, load
from matplotlib import pyplot as plt

import made

TARGET = BOOK / "static" / "preview.png"
TITLE = "Masked autoencoders\nas probability distributions"
SUBTITLE = "MADE explained from the ground up: a book to run, a package to use"
INK, ERASED, PAPER = "#1f2328", "#e6ebf0", "#ffffff"


def squares(axes, matrix, colours, gap=0.0):
    """A matrix of zeros and ones as squares of two colours."""
    rows, columns = matrix.shape
    for i in range(rows):
        for j in range(columns):
            colour = colours[int(matrix[i, j])]
            axes.add_patch(plt.Rectangle((j + gap / 2, i + gap / 2), 1 - gap, 1 - gap, facecolor=colour, linewidth=0))
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    axes.axis("off")


def draw():
    """The picture, 1200 x 630 pixels, the size that is cropped nowhere."""
    digits = load("pixelcnn").sample(40, generator=torch.Generator().manual_seed(SEED))[STARTERS[2:]]
    masks = made.Connectivity.create(6, (6, 6)).masks()
    fig = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
    fig.text(0.06, 0.83, TITLE, fontsize=41, weight="bold", color=INK, va="center", linespacing=1.25)
    fig.text(0.06, 0.645, SUBTITLE, fontsize=18.5, color=INK)
    for k, row in enumerate(digits):
        squares(fig.add_axes((0.055 + 0.126 * k, 0.06, 0.12, 0.5)), row.reshape(28, 28), (PAPER, INK))
    for k, mask in enumerate(masks):
        squares(fig.add_axes((0.59 + 0.121 * k, 0.06, 0.108, 0.5)), mask, (ERASED, made.show.BLUE), gap=0.14)
    return fig


def main():
    draw().savefig(TARGET, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
