"""Defensive distillation, a way of training."""

from math import inf

from torch import Tensor, nn
from torch.nn import functional

from bench.training.fit import Fitting


class Distillation:
    """Trains a teacher and then, on its soft labels, the student that is kept.

    Both see logits divided by a temperature; the network that is kept is used without it, which makes
    its softmax nearly certain and its gradients nearly vanish. Teacher and student are alike in
    architecture, initial weights and dropout in training; the teacher gives its labels without dropout.

    Args:
        temperature: T of the softmax, over 0 and finite.

    Raises:
        ValueError: for a temperature that is not.

    Source: Papernot et al. (2016), "Distillation as a Defense"; "Defensive Dropout", equation (6).
    """

    def __init__(self, temperature: float):
        if not 0 < temperature < inf:
            raise ValueError(f"expected a temperature over 0, got {temperature}")
        self.temperature = temperature

    def __call__(self, train: Fitting) -> nn.Module:
        t = self.temperature
        teacher = train(lambda model, images, labels: functional.cross_entropy(model(images) / t, labels))

        def imitate(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            return functional.cross_entropy(model(images) / t, functional.softmax(teacher(images) / t, dim=1))

        return train(imitate)
