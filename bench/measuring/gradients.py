"""The attacker's gradient through a random defence, draw by draw, and what draws have in common.

Here belongs what is measured of one network's gradients. Whose they are, and tables of them, does not.

The gradient is that of C&W's objective f ("Defensive Dropout", equation 5, kappa 0) with respect to the
image, at the original image. f is taken without its clamp at ``-kappa``, which acts only on a draw that
outputs the target there already.
"""

import eagerpy as ep
import numpy as np
import torch
from foolbox.criteria import TargetedMisclassification
from torch import Tensor, nn

from bench.attacks import criteria


def draw(model: nn.Module, images: Tensor, targets: Tensor, draws: int, batch_size: int) -> Tensor:
    """Gradients of ``max{Z_i: i != t} - Z_t`` with respect to the image, each of a pass of its own.

    Args:
        model: A network whose parameters are frozen, its scheme installed.
        images: In [0, 1], shape (images, channels, height, width).
        targets: The classes t, shape (images,).
        draws: How often each image is passed.
        batch_size: Images a pass.

    Returns:
        Shape (draws, images, channels, height, width), in logits a unit pixel, on the CPU.

    Source: "Defensive Dropout", equation (5).
    """

    def once(x: Tensor, t: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        f = criteria.margin(TargetedMisclassification(t), ep.astensor(model(x)))
        return torch.autograd.grad(f.raw.sum(), x)[0].cpu()

    batches = list(zip(images.split(batch_size), targets.split(batch_size), strict=True))
    return torch.stack([torch.cat([once(*batch) for batch in batches]) for _ in range(draws)])


def measure(drawn: np.ndarray) -> dict[str, np.ndarray]:
    """What an image's gradients have in common, and what not.

    Args:
        drawn: Gradients, shape (draws, images, ...); at least 2 draws.

    Returns:
        For each image: ``variance`` over draws, unbiased, mean over its values; ``signal``, the square
        of the mean gradient, mean over its values, less what the variance adds to it over this
        many draws, so that it is unbiased too (and may be under 0 where there is no mean to be seen);
        ``cosine`` between two different draws, mean over all pairs, a gradient of zero counting as
        at a right angle to any other. Shape (images,) each.
    """
    draws = len(drawn)
    flat = drawn.reshape(*drawn.shape[:2], -1).astype(np.float64)
    variance = flat.var(0, ddof=1).mean(1)
    lengths = np.linalg.norm(flat, axis=2, keepdims=True)
    units = flat / np.where(lengths > 0, lengths, 1)
    pairs = (units.sum(0) ** 2).sum(1) - (units**2).sum((0, 2))
    return {
        "variance": variance,
        "signal": (flat.mean(0) ** 2).mean(1) - variance / draws,
        "cosine": pairs / (draws * (draws - 1)),
    }
