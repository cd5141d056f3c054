"""What passes through a network while somebody else has it: how many images, forward and back.

Here belongs what can be seen of passes from outside. Whose passes they are is the caller's business.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn


@dataclass
class Passes:
    """How many images went through a network, forward and backward.

    Attributes:
        forward, backward: One for every image of a batch.
        first: For each image of the first pass that a gradient came back through, whether all that did were
            zero everywhere, shape (rows,); None before there was one.
        images: That pass's, shape (rows, ...).
        not_finite: How many outputs were no numbers although the image was made of numbers.
    """

    forward: int = 0
    backward: int = 0
    first: np.ndarray | None = None
    images: np.ndarray | None = None
    not_finite: int = 0


@contextmanager
def counted(model: nn.Module) -> Iterator[Passes]:
    """Counts the passes that a network makes inside the block, and looks at the first gradients."""
    passes = Passes()
    # of one answer: a pass is one of the network
    each = getattr(model, "passes", 1)
    looked_at: list[Tensor] = []

    def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        image = inputs[0]
        if passes.first is None and image.requires_grad:
            image.register_hook(lambda gradient: look(image, gradient))

    def look(image: Tensor, gradient: Tensor) -> None:
        if passes.first is None:
            looked_at.append(image)
            passes.images = image.detach().cpu().numpy().copy()
        if looked_at[0] is image:
            flat = gradient.detach().flatten(1)
            # what isn't a number is no direction either
            zero = ~((flat != 0) & flat.isfinite()).any(1).cpu().numpy()
            passes.first = zero if passes.first is None else passes.first & zero

    def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        passes.forward += len(output) * each
        bad = ~output.detach().isfinite().flatten(1).all(1)
        if bad.any() and len(inputs[0]) == len(output):
            passes.not_finite += int((bad & inputs[0].detach().isfinite().flatten(1).all(1)).sum())
        if output.requires_grad:
            output.register_hook(backward)

    def backward(gradient: Tensor) -> None:
        passes.backward += len(gradient) * each

    handles = [model.register_forward_pre_hook(enter), model.register_forward_hook(leave)]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
