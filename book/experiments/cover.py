"""Draw the pictures that no chapter draws: python book/experiments/cover.py"""

from pathlib import Path

import pixelcnn
import torch
from matplotlib.figure import Figure
from pixelcnn import WidePixelCNN

import made

BOOK = Path(__file__).parent.parent


def main() -> None:
    convolutions = pixelcnn.load(BOOK / "results" / "mnist_pixelcnn.safetensors")
    drawn = convolutions.sample(40, generator=torch.Generator().manual_seed(1))  # as they come, none is left out
    save(made.show.images(drawn, columns=10, scale=0.8), "samples.png")  # README and landing page

    test = made.data.load("mnist", binarize="threshold").test[[0, 1, 3, 4, 6, 7]]
    save(completed(convolutions, test), "use_complete.png")
    save(scored(convolutions, test), "use_score.png")

    # What the mask explorer shows first, for readers without JavaScript.
    connectivity = made.Connectivity.create(5, (6, 6), order=torch.tensor([3, 0, 4, 1, 2]))
    save(made.show.network(connectivity, highlight=1), "mask_explorer.png")


def completed(model: WidePixelCNN, digits: torch.Tensor) -> Figure:
    """The upper halves of test digits, and what the network makes of them, three times."""
    given = digits.clone()
    given[:, 392:] = torch.nan
    panel, generator = [given], torch.Generator().manual_seed(0)
    for _ in range(3):
        u = torch.rand(digits.shape, generator=generator)
        u[:, :392] = 1 - digits[:, :392]  # a pixel is ink if u < p: these are drawn as they are given
        panel.append(model.draw(u))
    labels = ["given", "completed", "again", "and again"]
    return made.show.images(torch.cat(panel), columns=len(digits), scale=0.6, rows=labels)


def scored(model: WidePixelCNN, digits: torch.Tensor) -> Figure:
    """Test digits and their mirror images, each with its cost in nats."""
    panel = torch.cat([digits, digits.reshape(-1, 28, 28).flip(-1).reshape(digits.shape)])
    with torch.no_grad():
        costs = [f"{cost:.0f} nats" for cost in -model.log_prob(panel)]
    return made.show.images(panel, columns=len(digits), scale=0.6, titles=costs, rows=["as written", "mirrored"])


def save(fig, name: str) -> None:
    fig.savefig(BOOK / "static" / name, dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
