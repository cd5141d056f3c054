"""Randomisation of the image itself by resizing and padding, an operation at the site of the pixels."""

import torch
from torch import Tensor
from torch.nn import functional

from bench.schemes.strength import Strength


class ResizeAndPad:
    """Shrinks each image to a random size and puts it at a random place among zeros.

    The side is a whole number of pixels, each equally likely from ``(1 - rate)`` of the full side
    upwards, and so is the place. Every image has its own, fresh at each pass. Xie et al. enlarge to
    a fixed larger canvas, for networks that take any size; here the canvas is the image's own
    size, which is the one that the network takes. Interpolation is bilinear.

    "Defensive Dropout" calls it migration through randomization (MTR). Source: Xie et al. (2018),
    "Mitigating Adversarial Effects Through Randomization", section 3.
    """

    strength = Strength("share of the side", 0.0, 1.0, "[)")

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        n, _, height, width = x.shape

        def uniform() -> Tensor:
            return torch.rand(n, generator=generator, device=x.device, dtype=x.dtype)

        least = (torch.tensor([height, width]) * (1 - rate)).ceil()
        # one draw decides both sides, so that the shape stays
        u = uniform()
        theta = x.new_zeros(n, 2, 3)
        for axis, side, smallest in ((0, width, least[1]), (1, height, least[0])):
            size = smallest + (u * (side - smallest + 1)).floor()
            before = (uniform() * (side - size + 1)).floor()
            # from a place in the output to one in the input, both from -1 to 1
            theta[:, axis, axis] = side / size
            theta[:, axis, 2] = (side - 2 * before - size) / size
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        return functional.grid_sample(x, grid, align_corners=False)
