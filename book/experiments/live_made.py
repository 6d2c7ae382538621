"""Draw the pictures that stand for "Live MADE", and for its small drawing on the first page, where no script runs:

python book/experiments/live_made.py
"""

import sys
from pathlib import Path

import torch

import made

BOOK = Path(__file__).parent.parent
sys.path.append(str(BOOK / "tools"))
from live_weights import RECORDED, load, page_uniforms  # noqa: E402

SEED = 12
MOMENTS = (224, 308, 392, 504, 784)  # pixels drawn


def small() -> None:
    """The recorded drawing, and the probabilities it was drawn with."""
    model = load("pixelcnn").double()
    digit = model.draw(page_uniforms(RECORDED, 784)[None])
    with torch.no_grad():
        p = torch.sigmoid(model(digit))
    fig, axes = made.show.figure(1, 2, (2.88, 1.4))
    for ax, values, colours in zip(axes.flat, (digit, p), ("Greys", "Oranges"), strict=True):
        ax.imshow(values.reshape(28, 28).numpy(), cmap=colours, vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    fig.savefig(BOOK / "static" / "drawing.png", dpi=100, metadata={"Software": None})


def main() -> None:
    small()
    model = made.MADE.load(BOOK / "results" / "mnist_natural.safetensors", dtype=torch.float32)
    digit = model.sample(1, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        p = torch.sigmoid(model(digit).squeeze(-1))
    fig, axes = made.show.figure(2, len(MOMENTS), (8, 3.5))
    for t, column in zip(MOMENTS, axes.T, strict=True):
        for ax, values, colours in zip(column, (digit, p), ("Greys", "Oranges"), strict=True):
            drawn = torch.full((784,), torch.nan)
            drawn[:t] = values[0, :t]
            ax.imshow(drawn.reshape(28, 28).numpy(), cmap=colours, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], facecolor="#e9edf1")
            for spine in ax.spines.values():
                spine.set(visible=True, color="#c8c8c8")
        column[0].set_title(f"{t} pixels")
    axes[0, 0].set_ylabel("drawn")
    axes[1, 0].set_ylabel("probability")
    fig.savefig(BOOK / "static" / "live_made.png", dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
