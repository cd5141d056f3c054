"""What the attacks of Carlini and Wagner share: the hinge, and Adam for rows that each go their own pace.

Here belongs what all three of that paper need. Each one's objective and search is in a file of its own.
"""

from abc import ABC

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion
from foolbox.devutils import atleast_kd

from .base import BatchAttack, rowwise
from .criteria import margin

BETA_1, BETA_2, SMALL = 0.9, 0.999, 1e-8  # Adam's


class CarliniWagnerAttack(BatchAttack, ABC):
    """One of the attacks of Carlini and Wagner, whose objectives are a distance plus c times a hinge.

    Args:
        steps: Passes for one setting of what is searched, at most; at least 1.
        confidence: The margin in logits that is asked for, kappa; at least 0.
        gradient_draws: As for ``BatchAttack``.
        accept_draws: As for ``BatchAttack``.
    """

    def __init__(self, *, steps: int, confidence: float, gradient_draws: int, accept_draws: int):
        super().__init__(gradient_draws=gradient_draws, accept_draws=accept_draws)
        if steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {steps}")
        if not 0 <= confidence < np.inf:
            raise ValueError(f"expected confidence to be finite and at least 0, got {confidence}")
        self.steps = steps
        self.confidence = confidence

    def hinge(self, criterion: Criterion, logits: ep.Tensor) -> ep.Tensor:
        """``max(margin + confidence, 0)``, the paper's f_6, shape ``(batch,)``."""
        return ep.maximum(margin(criterion, logits) + self.confidence, 0.0)


class Adam:
    """Adam, each row at its own pace.

    Attributes:
        steps: Of each row since it was last restarted, integers ``(rows,)``.

    Args:
        like: Has the shape of what is moved, ``(rows, ...)``.
    """

    def __init__(self, like: ep.Tensor):
        self.mean, self.square = ep.zeros_like(like), ep.zeros_like(like)
        self.steps = np.zeros(len(like), dtype=int)

    def step(self, slope: ep.Tensor, sizes: np.ndarray) -> ep.Tensor:
        """What to take away from what is moved.

        Args:
            slope: The objective's gradient, shape ``(rows, ...)``.
            sizes: The step size of each row, shape ``(rows,)``.
        """
        self.steps += 1
        self.mean = BETA_1 * self.mean + (1 - BETA_1) * slope
        self.square = BETA_2 * self.square + (1 - BETA_2) * slope.square()
        size = column(slope, sizes / (1 - BETA_1**self.steps), slope.ndim)
        unbiased = column(slope, 1 - BETA_2**self.steps, slope.ndim)
        return size * self.mean / ((self.square / unbiased).sqrt() + SMALL)

    def restart(self, which: np.ndarray) -> None:
        """Lets some rows, booleans, forget all earlier gradients."""
        anew, zeros = ep.from_numpy(self.mean, which), ep.zeros_like(self.mean)
        self.mean, self.square = rowwise(anew, zeros, self.mean), rowwise(anew, zeros, self.square)
        self.steps[which] = 0

    def keep(self, rows: np.ndarray) -> None:
        """Lets all other rows leave."""
        self.mean, self.square, self.steps = self.mean[rows], self.square[rows], self.steps[rows]


def column(x: ep.Tensor, values: np.ndarray, ndim: int) -> ep.Tensor:
    """One number per row, as a tensor beside ``x`` that broadcasts over ``ndim`` dimensions."""
    return atleast_kd(ep.from_numpy(x, values.astype(np.float32)), ndim)
