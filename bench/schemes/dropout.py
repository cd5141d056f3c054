"""Dropout, an operation at sites."""

import torch
from torch import Tensor

from bench.schemes.strength import Strength


class Dropout:
    """Inverted dropout: each activation is zero with probability ``rate``, the others grow by 1 / (1 - rate).

    Every activation of every image has a mask of its own, fresh at each pass. Sources: Srivastava
    et al. (2014); "Defensive Dropout for Hardening Deep Neural Networks", section 3.2, for the scale.
    """

    strength = Strength("rate", 0.0, 1.0, "[)")

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        keep = torch.rand(x.shape, generator=generator, device=x.device) >= rate
        return x * keep / (1 - rate)
