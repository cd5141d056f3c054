"""Adversarial training, a way of training."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.training.fit import Fitting


class AdversarialTraining:
    """Trains on each batch as it is and as an attack leaves it, with the correct labels, half and half.

    The attack climbs the cross-entropy by the gradient's sign inside the Linf ball, against the network
    as it is at that step, dropout included: with one step it is the fast gradient sign method.

    Args:
        epsilon: The ball's radius, pixels in [0, 1]; over 0.
        steps: How many steps, each of ``1.25 epsilon / steps`` except a single one, which is of
            ``epsilon``; at least 1.

    Raises:
        ValueError: for a value out of its range.

    Source: Goodfellow et al. (2015), section 6; for several steps, Madry et al. (2018).
    """

    def __init__(self, epsilon: float, steps: int = 1):
        if not 0 < epsilon <= 1:
            raise ValueError(f"expected epsilon over 0, up to 1, got {epsilon}")
        if steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {steps}")
        self.epsilon = epsilon
        self.steps = steps

    def __call__(self, train: Fitting) -> nn.Module:
        return train(self.loss)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The mean of the two cross-entropies."""
        attacked = self.attack(model, images, labels)
        both = model(torch.cat([images, attacked]))
        return functional.cross_entropy(both, labels.repeat(2))

    def attack(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The perturbed images, inside the ball and in [0, 1]."""
        step = self.epsilon if self.steps == 1 else 1.25 * self.epsilon / self.steps
        attacked = images
        for _ in range(self.steps):
            attacked = attacked.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(functional.cross_entropy(model(attacked), labels), attacked)
            moved = attacked.detach() + step * gradient.sign()
            attacked = (images + (moved - images).clamp(-self.epsilon, self.epsilon)).clamp(0, 1)
        return attacked
