"""The papers' networks, as plain modules whose parts have names.

Here belong architectures. Where their sites are is said in ``conf/model``; what happens at a site is a
scheme's business, fitting the weights is training's.
"""

from collections import OrderedDict

from torch import Tensor, nn


class TwoConv(nn.Module):
    """The network of "Dropout in Testing Phase" (its Fig. 1): two convolution blocks, one hidden layer.

    5x5x32 and 5x5x64 convolutions, each with ReLU and 2x2 max-pooling, 1024 fully connected units
    with ReLU, one output a class. Convolutions keep the size (28x28 ends in 7x7x64, as the paper
    says). Parts: ``conv1``, ``relu1``, ``pool1``, ``conv2``, ``relu2``, ``pool2``, ``flatten``, ``fc1``,
    ``relu3``, ``fc2``.

    Args:
        shape: (channels, height, width) of an image; height and width at least 4.
        classes: How many outputs.

    Raises:
        ValueError: for an image so small that nothing of it is left.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__()
        channels, height, width = shape
        if min(height, width) < 4:
            raise ValueError(f"images of {height}x{width} are too small; expected at least 4x4")
        self.layers = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, 32, 5, padding=2),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(32, 64, 5, padding=2),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                fc1=nn.Linear(64 * (height // 4) * (width // 4), 1024),
                relu3=nn.ReLU(),
                fc2=nn.Linear(1024, classes),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (batch, classes) for images in [0, 1] of shape (batch, *shape)."""
        return self.layers(x)


class FourConv(nn.Module):
    """The networks of "Defensive Dropout" (its Table 1), those of Carlini and Wagner (2017).

    Two blocks of two 3x3 convolutions with ReLU and 2x2 max-pooling, the second block twice as wide,
    then two hidden layers with ReLU and one output a class. Convolutions are unpadded as Carlini and
    Wagner's (28x28 ends in 4x4, 32x32 in 5x5). Parts: ``conv1`` and ``relu1`` to ``conv4`` and ``relu4``,
    ``pool1``, ``pool2``, ``flatten``, ``fc1``, ``relu5``, ``fc2``, ``relu6``, ``fc3``.

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

    def __init__(
        self, shape: tuple[int, int, int], classes: int, width: int = 32, units: int = 200, padding: int = 0
    ):
        super().__init__()
        channels, *sides = shape
        lost = 4 - 4 * padding
        height, left = (((side - lost) // 2 - lost) // 2 for side in sides)
        if min(height, left) < 1:
            raise ValueError(f"images of {sides[0]}x{sides[1]} are too small for padding {padding}; use 1")
        self.layers = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, width, 3, padding=padding),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(width, width, 3, padding=padding),
                relu2=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv3=nn.Conv2d(width, 2 * width, 3, padding=padding),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(2 * width, 2 * width, 3, padding=padding),
                relu4=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                fc1=nn.Linear(2 * width * height * left, units),
                relu5=nn.ReLU(),
                fc2=nn.Linear(units, units),
                relu6=nn.ReLU(),
                fc3=nn.Linear(units, classes),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (batch, classes) for images in [0, 1] of shape (batch, *shape)."""
        return self.layers(x)
