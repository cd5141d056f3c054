"""Small networks that draw by themselves, written after the papers: a package of a user's own, in a test.

Each has ten classes, takes images of any shape, and is given its weights by its seed alone.
"""

import random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def pixels(shape: tuple[int, int, int]) -> int:
    """How many values an image has."""
    return int(np.prod(shape))


class Plain(nn.Module):
    """Two layers, nothing of which is random."""

    def __init__(self, shape: tuple[int, int, int], classes: int, units: int = 48):
        super().__init__()
        self.fc1 = nn.Linear(pixels(shape), units)
        self.fc2 = nn.Linear(units, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.relu(self.fc1(x.flatten(1))))


class NoisyLinear(nn.Linear):
    """Noise on the weights, one draw a pass, its size learnt (PNI: He et al. 2019, section 3.1)."""

    noise = True

    def __init__(self, *sizes: int):
        super().__init__(*sizes)
        self.alpha = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.noise:
            weight = weight + self.alpha * weight.std() * torch.randn_like(weight)
        return functional.linear(x, weight, self.bias)


class WeightNoise(Plain):
    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__(shape, classes)
        self.fc1 = NoisyLinear(pixels(shape), 48)
        self.fc2 = NoisyLinear(48, classes)


class MixedNoise(WeightNoise):
    """Noise on the weights, and on each image."""

    sd = 0.1

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.sd * torch.randn_like(x))


class ProjectionFilters(nn.Module):
    """Filters that a method draws anew and writes into ``param.data`` (Dong and Xu 2023, section 3)."""

    def __init__(self, shape: tuple[int, int, int], classes: int, filters: int = 24, drawn: int = 8):
        super().__init__()
        self.drawn = drawn
        self.conv = nn.Conv2d(shape[0], filters, 3, padding=1)
        self.fc = nn.Linear(filters * shape[1] * shape[2], classes)

    def redraw(self) -> None:
        weight = self.conv.weight.data
        weight[: self.drawn] = torch.randn(weight[: self.drawn].shape) / 3
        self.conv.weight.data = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.relu(self.conv(x)).flatten(1))


class Needy(ProjectionFilters):
    """Whose method has to be told something."""

    def redraw_by(self, how: str) -> None:
        self.redraw()


def redrawn(network: ProjectionFilters) -> None:
    """The same, as a function of the network."""
    network.redraw()


class BayesianLinear(nn.Module):
    """Weights drawn anew into buffers, with their divergence (Adv-BNN: Liu et al. 2019)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.mu = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.sigma_weight = nn.Parameter(torch.full((outputs, inputs), -3.0))
        self.register_buffer("eps", torch.zeros(outputs, inputs))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.eps.normal_()
        sigma = torch.exp(self.sigma_weight)
        # from the prior, a standard normal distribution
        kl = (-self.sigma_weight + (sigma**2 + self.mu**2) / 2 - 0.5).sum()
        return functional.linear(x, self.mu + sigma * self.eps), kl


class Bayesian(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__()
        self.one = BayesianLinear(pixels(shape), 48)
        self.two = BayesianLinear(48, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden, first = self.one(x.flatten(1))
        logits, second = self.two(functional.relu(hidden))
        return logits, first + second


class TrainingNoise(nn.Module):
    """Noise in training mode only, added in place."""

    def __init__(self, sd: float):
        super().__init__()
        self.sd = sd

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x.add_(self.sd * torch.randn_like(x))
        return x


class SelfEnsemble(Plain):
    """A layer of noise before each layer, of which several passes are averaged (RSE: Liu et al. 2018)."""

    def __init__(self, shape: tuple[int, int, int], classes: int, sd: float = 0.2, inner: float = 0.1):
        super().__init__(shape, classes)
        self.noise = TrainingNoise(sd)
        self.inner = TrainingNoise(inner)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.fc1(self.noise(x).flatten(1)))
        # what has to be as it was on the way back is no place to write
        return self.fc2(self.inner(hidden.clone()))


class Dropped(Plain):
    """``nn.Dropout``; in evaluation mode ten draws of each image, as ten times as many rows.

    (MC dropout: Gal and Ghahramani 2016.)
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, draws: int = 10):
        super().__init__(shape, classes)
        self.dropout = nn.Dropout(0.4)
        self.draws = draws

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            x = x.repeat(self.draws, 1, 1, 1)
        return self.fc2(self.dropout(functional.relu(self.fc1(x.flatten(1)))))


class Precision(nn.Module):
    """Values rounded to a number of bits, which somebody draws (Double-Win-Quant: Fu et al. 2021).

    It is trained straight through; at test time it has no gradient.
    """

    num_bits = 16

    def forward(self, x: Tensor) -> Tensor:
        levels = 2.0**self.num_bits - 1
        rounded = torch.round(x.clamp(0, 1) * levels) / levels
        return x + (rounded - x).detach() if self.training else rounded


class Quantised(Plain):
    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__(shape, classes)
        self.before = Precision()
        self.between = Precision()

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.fc1(self.before(x).flatten(1)))
        return self.fc2(self.between(hidden / 4) * 4)


class Transformed(Plain):
    """Transformations drawn by NumPy, ``random`` and PyTorch (BaRT: Raff et al. 2019)."""

    on = True

    def forward(self, x: Tensor) -> Tensor:
        if self.on:
            x = x + float(np.random.uniform(-0.1, 0.1))  # noqa: NPY002
            if random.random() < 0.5:
                x = x.roll(1, -1)
            x = x + 0.05 * torch.randn_like(x)
        return super().forward(x)


class OneOfTwo(nn.Module):
    """One of two networks, which one with a probability (BAT: Pinot et al. 2020)."""

    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__()
        self.nets = nn.ModuleList([Plain(shape, classes), Plain(shape, classes, 32)])
        self.active = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.nets[self.active](x)


class Smoothed(Plain):
    """Gaussian noise on each image, of which a vote is taken (Cohen et al. 2019)."""

    sigma = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.sigma * torch.randn_like(x) if self.sigma else x)
