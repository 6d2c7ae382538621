"""Draw the picture of samples for the README and the landing page: python book/experiments/cover.py"""

from pathlib import Path

import torch

import made

BOOK = Path(__file__).parent.parent


def main() -> None:
    model = made.MADE.load(BOOK / "results" / "mnist_natural.safetensors").float()
    samples = model.sample(40, generator=torch.Generator().manual_seed(1))
    fig = made.show.images(samples, columns=10, scale=0.8)
    fig.savefig(BOOK / "static" / "samples.png", dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
