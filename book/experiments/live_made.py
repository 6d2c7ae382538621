"""Draw the picture that stands for the page "Live MADE" where no script runs: python book/experiments/live_made.py"""

from pathlib import Path

import torch

import made

BOOK = Path(__file__).parent.parent
SEED = 12
MOMENTS = (224, 308, 392, 504, 784)  # pixels drawn


def main() -> None:
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
