"""The papers' networks, each with named sites at which a scheme may act.

Here belong architectures and where their sites are. What happens at a site is a scheme's business,
fitting the weights is training's.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Site(nn.Module):
    """A named place in a network where a scheme may act; without a scheme it does nothing.

    It holds its own switch, rate and generator, and never looks at ``self.training``: many attacks
    call ``eval()`` first, which would silently switch off a defence made of ``nn.Dropout``.

    Args:
        name: The name by which schemes reach it; several sites may share one.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.operation: Callable[[Tensor, float, torch.Generator], Tensor] | None = None
        self.rate = 0.0
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.operation is None or self.generator is None:
            return x
        return self.operation(x, self.rate, self.generator)


class TwoConv(nn.Module):
    """The network of "Dropout in Testing Phase" (its Fig. 1): two convolution blocks, one hidden layer.

    5x5x32 and 5x5x64 convolutions, each with ReLU and 2x2 max-pooling, 1024 fully connected units
    with ReLU, one output a class. Convolutions keep the size (28x28 ends in 7x7x64, as the paper
    says). Sites: ``input``, ``feature`` (after each convolution block), ``fc`` (after the 1024 ReLU).

    Args:
        shape: (channels, height, width) of an image; height and width at least 4.
        classes: How many outputs.

    Raises:
        ValueError: for an image so small that nothing of it is left.
    """

    sites = ("input", "feature", "fc")

    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__()
        channels, height, width = shape
        if min(height, width) < 4:
            raise ValueError(f"images of {height}x{width} are too small; expected at least 4x4")
        self.layers = nn.Sequential(
            Site("input"),
            *(nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), Site("feature")),
            *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), Site("feature")),
            nn.Flatten(),
            *(nn.Linear(64 * (height // 4) * (width // 4), 1024), nn.ReLU(), Site("fc")),
            nn.Linear(1024, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (batch, classes) for images in [0, 1] of shape (batch, *shape)."""
        return self.layers(x)


class FourConv(nn.Module):
    """The networks of "Defensive Dropout" (its Table 1), those of Carlini and Wagner (2017).

    Two blocks of two 3x3 convolutions with ReLU and 2x2 max-pooling, the second block twice as wide,
    then two hidden layers with ReLU and one output a class. Convolutions are unpadded as Carlini and
    Wagner's (28x28 ends in 4x4, 32x32 in 5x5). Sites: ``input``, ``conv`` (after each convolution's
    ReLU), ``fc1``, ``fc2`` (after the ReLU of each hidden layer).

    Args:
        shape: (channels, height, width) of an image.
        classes: How many outputs.
        width: Filters in the first block: 32 for MNIST, 64 for CIFAR-10.
        units: Units of each hidden layer: 200 for MNIST, 256 for CIFAR-10.
        padding: Pixels of zeros around what each convolution sees: 0 as published; 1 keeps the size,
            for images smaller than 16x16.

    Raises:
        ValueError: for an image so small that nothing of it is left.
    """

    sites = ("input", "conv", "fc1", "fc2")

    def __init__(
        self, shape: tuple[int, int, int], classes: int, width: int = 32, units: int = 200, padding: int = 0
    ):
        super().__init__()
        channels, *sides = shape
        lost = 4 - 4 * padding
        height, left = (((side - lost) // 2 - lost) // 2 for side in sides)
        if min(height, left) < 1:
            raise ValueError(f"images of {sides[0]}x{sides[1]} are too small for padding {padding}; use 1")

        def convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
            return nn.Conv2d(inputs, outputs, 3, padding=padding), nn.ReLU(), Site("conv")

        self.layers = nn.Sequential(
            Site("input"),
            *convolution(channels, width),
            *convolution(width, width),
            nn.MaxPool2d(2),
            *convolution(width, 2 * width),
            *convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *(nn.Linear(2 * width * height * left, units), nn.ReLU(), Site("fc1")),
            *(nn.Linear(units, units), nn.ReLU(), Site("fc2")),
            nn.Linear(units, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (batch, classes) for images in [0, 1] of shape (batch, *shape)."""
        return self.layers(x)
