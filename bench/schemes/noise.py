"""Gaussian noise, an operation at sites."""

import math

import torch
from torch import Tensor

from bench.schemes.strength import Strength


class Noise:
    """Adds to each value a normal draw of its own, of mean 0, fresh at each pass.

    The rate is the standard deviation, in the units of what it is given: of activations at a layer, of the
    bounds [0, 1] at the image, where noise may leave them, as randomised smoothing's does.

    Args:
        clip: Whether a noisy image is clipped to its bounds; at a layer nothing ever is.

    Raises:
        ValueError: for a ``clip`` that is neither true nor false.

    Sources: Cohen et al. (2019), "Certified Adversarial Robustness via Randomized Smoothing", section 3,
    at the image; Liu et al. (2018), "Towards Robust Neural Networks via Random Self-ensemble", section 3,
    before convolutions.
    """

    strength = Strength("standard deviation", 0.0, math.inf, "[)")

    def __init__(self, clip: bool = False):
        if not isinstance(clip, bool):
            raise ValueError(f"expected clip to be true or false, got {clip!r}")
        self.clip = clip

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        return x + rate * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
