"""Draw the pictures that no chapter draws: python book/experiments/cover.py"""

from pathlib import Path

import torch

import made

BOOK = Path(__file__).parent.parent


def main() -> None:
    model = made.MADE.load(BOOK / "results" / "mnist_natural.safetensors", dtype=torch.float32)
    samples = model.sample(40, generator=torch.Generator().manual_seed(1))
    fig = made.show.images(samples, columns=10, scale=0.8)
    save(fig, "samples.png")  # README and landing page

    # What the mask explorer shows first, for readers without JavaScript.
    connectivity = made.Connectivity.create(5, (6, 6), order=torch.tensor([3, 0, 4, 1, 2]))
    save(made.show.network(connectivity, highlight=1), "mask_explorer.png")


def save(fig, name: str) -> None:
    fig.savefig(BOOK / "static" / name, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
