"""Random defences of which the truth is known, by closed form or enumeration: for the audit to find.

Each function gives a ``Truth``: a defence, images, a ball, and what an attacker can do there at best.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.stats import norm as gauss
from torch import Tensor, nn

import bench


@dataclass(frozen=True)
class Truth:
    """A defence, and what is known of it.

    Attributes:
        defended: It.
        images, labels: What is attacked.
        norm, epsilon: The ball.
        real: Accuracy for one query at the best perturbation, in %.
        any_of_10: For ten; None: not known.
        twin: Without randomness; None: there is no twin, or it isn't known.
        baseline: What it is compared with besides.
    """

    defended: bench.Defended
    images: Tensor
    labels: Tensor
    norm: str
    epsilon: float
    real: float
    any_of_10: float | None = None
    twin: float | None = None
    baseline: Any = None

    def audit(self, effort: str = "quick", **options: Any) -> bench.Audited:
        """What an audit finds."""
        return bench.audit(
            self.defended, self.images, self.labels, self.norm, self.epsilon, effort, **options
        )  # type: ignore[arg-type]


class Linear(nn.Module):
    """Logits that are linear in the pixels: ``weight x + bias``."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float32))
        self.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def around(count: int, pixels: int, spread: float, seed: int) -> np.ndarray:
    """Images near the middle, where bounds don't bind, shape (count, pixels)."""
    return 0.5 + spread * np.random.default_rng(seed).uniform(-1, 1, (count, pixels))


def tensors(x: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """As a call takes them: images of one row."""
    return torch.tensor(x[:, None, None], dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)


def noisy(
    sigma: float, norm: str, epsilon: float, how: str = "site", count: int = 60, seed: int = 0
) -> Truth:
    """Truth 1: a linear classifier of two classes, with noise at the image.

    Args:
        sigma: The noise's standard deviation.
        norm, epsilon: The ball.
        how: ``site``: a scheme's noise at the image; ``own``: the network's own, each image's; ``pass``: its
            own, one draw for all images of a pass.
        count, seed: Of images.
    """
    rng = np.random.default_rng(seed)
    w = rng.normal(size=8)
    x = around(count, 8, 0.15, seed + 1)
    b = -float(w @ np.full(8, 0.5))
    margins = x @ w + b
    labels = (margins < 0).astype(int)
    net: nn.Module = Linear(np.stack([w, 0 * w]), np.array([b, 0.0]))
    size = np.abs(w).sum() if norm == "linf" else np.linalg.norm(w)
    left = np.abs(margins) - epsilon * size
    right = gauss.cdf(left / (sigma * np.linalg.norm(w)))
    if how == "site":
        defended = bench.Defended(net, {"image": ""}, {"image": (_noise, sigma)})
    else:
        defended = bench.Defended(Noisy(net, sigma, how == "pass"), scheme=bench.Own(off={"on": False}))
    return Truth(
        defended, *tensors(x, labels), norm, epsilon,
        100 * right.mean(), 100 * (right**10).mean(), 100 * float((left > 0).mean()),
    )  # fmt: skip


def _noise(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    return values + rate * torch.randn(values.shape, generator=generator)


class Noisy(nn.Module):
    """A network with noise of its own at the image."""

    on = True

    def __init__(self, net: nn.Module, sigma: float, shared: bool):
        super().__init__()
        self.net, self.sigma, self.shared = net, sigma, shared

    def forward(self, x: Tensor) -> Tensor:
        if not self.on:
            return self.net(x)
        drawn = torch.randn(x.shape[1:] if self.shared else x.shape, dtype=x.dtype)
        return self.net(x + self.sigma * drawn)


def dropped(rate: float = 0.4, epsilon: float = 0.1, count: int = 60) -> Truth:
    """Truth 2: dropout at six hidden units of a linear network on two pixels, all 64 masks summed."""
    rng = np.random.default_rng(3)
    first, second, bias = rng.normal(size=(6, 2)), rng.normal(size=6), 0.15
    x = around(count, 2, 0.3, 4)
    margins = (x - 0.5) @ first.T @ second + bias
    labels = (margins < 0).astype(int)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(2, 6), nn.Identity(), nn.Linear(6, 2)
    )  # fmt: skip
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(first))
        net[1].bias.copy_(torch.tensor(-first @ np.full(2, 0.5)))
        net[3].weight.copy_(torch.tensor(np.stack([second, 0 * second])))
        net[3].bias.copy_(torch.tensor([bias, 0.0]))
    masks = np.array(list(itertools.product([0, 1], repeat=6)))
    chances = (1 - rate) ** masks.sum(1) * rate ** (6 - masks.sum(1))
    # each mask is linear; the best perturbation is bounded by a grid
    weights = (masks / (1 - rate) * second) @ first
    grid = np.linspace(-epsilon, epsilon, 61)
    moves = np.array(list(itertools.product(grid, grid)))
    sign = 1 - 2 * labels
    real = []
    for one, way in zip(x, sign, strict=True):
        given = way * (weights @ (one - 0.5 + moves).T + bias)
        right = given > 0 if way > 0 else given >= 0
        real.append((chances @ right).min())
    left = sign * margins - epsilon * np.abs(second @ first).sum()
    defended = bench.Defended(net, {"hidden": "2"}, {"hidden": rate})
    return Truth(
        defended, *tensors(x, labels), "linf", epsilon, 100 * float(np.mean(real)), None,
        100 * float((left > 0).mean()),
    )  # fmt: skip


class OneOf(nn.Module):
    """Two classes; the margin is one of several, linear in the pixels, that ``which`` chooses."""

    which = 0

    def __init__(self, weights: np.ndarray, biases: np.ndarray, hidden: np.ndarray | None = None):
        super().__init__()
        self.weights = torch.tensor(weights, dtype=torch.float32)
        self.biases = torch.tensor(biases, dtype=torch.float32)
        self.hidden = None if hidden is None else torch.tensor(hidden, dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        which = self.which if self.hidden is None else int(torch.multinomial(self.hidden, 1))
        margin = (x.flatten(1) - 0.5) @ self.weights[which] + self.biases[which]
        return torch.stack([margin, 0 * margin], 1)


def worst_mixture(weights: np.ndarray, biases: np.ndarray, chances: np.ndarray, epsilon: float) -> float:
    """Least chance of a right answer over a Linf ball at the middle, by a linear programme for each set fooled."""
    count, pixels = weights.shape
    best = 1.0
    for fooled in itertools.product([False, True], repeat=count):
        some = np.array(fooled)
        if not some.any() or 1 - chances[some].sum() >= best:
            continue
        # the largest margin that all of these can be below zero by
        found = linprog(
            np.r_[np.zeros(pixels), -1.0],
            A_ub=np.c_[weights[some], np.ones(some.sum())],
            b_ub=-biases[some],
            bounds=[(-epsilon, epsilon)] * pixels + [(None, None)],
        )
        if found.x[-1] > 1e-9:
            best = 1 - chances[some].sum()
    return float(best)


def mixture(
    weights: Any,
    biases: Any,
    epsilon: float,
    chances: Any = None,
    hidden: bool = False,
    count: int = 20,
) -> Truth:
    """Truth 3: one of several linear classifiers a pass.

    Args:
        weights, biases: Of their margins, around the middle.
        epsilon: Of a Linf ball.
        chances: How likely each is; None: all alike.
        hidden: Whether the network draws by itself, which one nobody is told.
        count: Of images, all alike.
    """
    w, b = np.array(weights, dtype=float), np.array(biases, dtype=float)
    p = np.full(len(b), 1 / len(b)) if chances is None else np.array(chances)
    real = worst_mixture(w, b, p, epsilon)
    if hidden:
        defended = bench.Defended(OneOf(w, b, p), scheme=bench.Own(own=True))
    else:
        own = bench.Own(choose={"which": list(range(len(b)))}, probabilities=p.tolist(), off={"which": 0})
        defended = bench.Defended(OneOf(w, b), scheme=own)
    twin = 100.0 * float(b[0] - epsilon * np.abs(w[0]).sum() > 0)
    images, labels = tensors(np.full((count, w.shape[1]), 0.5), np.zeros(count, dtype=int))
    return Truth(
        defended, images, labels, "linf", epsilon, 100 * real, 100 * real**10, None if hidden else twin
    )


def contradicting() -> Truth:
    """The mixture of Dbouk and Shanbhag: one perturbation fools both, the lowest mean margin only one."""
    return mixture([[-2, -1], [10, -20]], [0.9 / 10, 0.9], 0.1)


def a_real_gain(count: int = 40) -> Truth:
    """Truth 8: ten classifiers on a pixel of their own each, of which the ball reaches one, never two."""
    c = 0.1
    images, labels = tensors(np.full((count, 10), 0.5), np.zeros(count, dtype=int))
    weights = -np.eye(10)
    net, first = OneOf(weights, np.full(10, c)), OneOf(weights[:1], np.array([c]))
    own = bench.Own(choose={"which": list(range(10))}, twin=first)
    defended = bench.Defended(net, scheme=own)
    return Truth(defended, images, labels, "l2", 1.2 * c, 90.0, 100 * 0.9**10, 0.0)


def masked(by: Callable[[nn.Module], nn.Module], count: int = 40) -> Truth:
    """Truth 4: what hides gradients, over truth 1, whose answers it doesn't change."""
    plain = noisy(0.1, "linf", 0.05, "own", count)
    net = plain.defended.network
    net.net = by(net.net)
    defended = bench.Defended(net, scheme=bench.Own(off={"on": False}))
    return Truth(defended, plain.images, plain.labels, "linf", 0.05, plain.real, plain.any_of_10, plain.twin)


class Scaled(nn.Module):
    """Logits by ten thousand."""

    def __init__(self, net: nn.Module, by: float = 1e4):
        super().__init__()
        self.net, self.by = net, by

    def forward(self, x: Tensor) -> Tensor:
        return self.by * self.net(x)


class Rounded(nn.Module):
    """Logits in eight levels, which have no gradient; their order is kept by a tie's first."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        margin = logits[:, 0] - logits[:, 1]
        level = torch.sign(margin) * torch.ceil(margin.abs().clamp(max=1.0) * 8) / 8
        return torch.stack([level, torch.zeros_like(level)], 1)


class Flipped(torch.autograd.Function):
    """Itself, with the gradient turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


class Misleading(nn.Module):
    """A network whose gradient points the other way."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(Flipped.apply(x))


class Loud(nn.Module):
    """Logits by ten to the power of what is drawn, 0 to 4: no label ever depends on it."""

    on = True

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        return logits * 10 ** (4 * torch.rand(len(x), 1)) if self.on else logits


def loud(count: int = 40) -> Truth:
    """The last of truth 4: worth nothing, since labels never change."""
    plain = noisy(0.1, "linf", 0.05, "own", count)
    net = Loud(plain.defended.network.net)
    defended = bench.Defended(net, scheme=bench.Own(off={"on": False}))
    assert plain.twin is not None
    return Truth(defended, plain.images, plain.labels, "linf", 0.05, plain.twin, plain.twin, plain.twin)


class Idle(nn.Module):
    """A branch that no output depends on."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.idle = net, nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + 0 * self.idle(x).flatten(1)[:, :1]


class Shortcut(nn.Module):
    """Two pixels of sense and a fragile one, which is left out when the operation is on."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) - 0.5
        margin = z[:, 0] + z[:, 1] + self.gate(20 * z[:, 2:3])[:, 0]
        return torch.stack([margin, 0 * margin], 1)


def removed(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Takes twice the rate's share of the values, and adds a little noise, which decides nothing."""
    return (1 - 2 * rate) * values + 1e-3 * torch.randn(values.shape, generator=generator)


def a_worse_twin(count: int = 40) -> Truth:
    """Truth 7: the operation takes away what an attacker can use of the twin; its draws matter to nobody."""
    x = np.full((count, 3), 0.5)
    x[:, 0] = 0.8
    images, labels = tensors(x, np.zeros(count, dtype=int))
    defended = bench.Defended(Shortcut(), {"gate": "gate"}, {"gate": (removed, 0.5)})
    return Truth(defended, images, labels, "linf", 0.1, 100.0, 100.0, 0.0)
