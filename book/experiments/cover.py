"""Draw the pictures that no chapter draws: python book/experiments/cover.py"""

from pathlib import Path

import pixelcnn
import torch

import made

BOOK = Path(__file__).parent.parent


def main() -> None:
    one_layer = made.MADE.load(BOOK / "results" / "mnist_natural.safetensors", dtype=torch.float32)
    convolutions = pixelcnn.load(BOOK / "results" / "mnist_pixelcnn.safetensors")
    samples = [model.sample(20, generator=torch.Generator().manual_seed(1)) for model in (one_layer, convolutions)]
    fig = made.show.images(torch.cat(samples), columns=10, scale=0.8)
    save(fig, "samples.png")  # README and landing page

    # What the mask explorer shows first, for readers without JavaScript.
    connectivity = made.Connectivity.create(5, (6, 6), order=torch.tensor([3, 0, 4, 1, 2]))
    save(made.show.network(connectivity, highlight=1), "mask_explorer.png")


def save(fig, name: str) -> None:
    fig.savefig(BOOK / "static" / name, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
