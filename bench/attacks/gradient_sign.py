"""The gradient sign attack, with a given epsilon or the smallest one that succeeds.

Here belongs the single step along the sign of one gradient. Iterated steps do not.
"""

from typing import Any

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, TargetedMisclassification
from foolbox.devutils import atleast_kd
from foolbox.distances import linf
from foolbox.models import Model

from .base import BatchAttack, Progress, at, mean_cross_entropy, put, row_gradients, whole_batches
from .criteria import odds_against, take

# Smaller passes than this waste the machine, so a small batch tries several epsilons in one.
SMALLEST_PASS = 64


class GradientSignAttack(BatchAttack):
    """Fast gradient sign method, targeted or not, with or without a search for epsilon. [#Good14]_

    ``x' = clip(x + epsilon sign(gradient))``, the gradient taken once, at ``x``: of the label's
    cross-entropy upwards (``Misclassification``, ``TopKMisclassification``), or of the target's
    downwards (``TargetedMisclassification``).

    A network may be so confident that its cross-entropy and the gradient of it underflow: there the
    gradient is that of its logarithm, which points the same way.

    ``epsilons`` of the call decides what is done, for each of its entries:

    * A number: the published attack. The step has exactly that size, and there is no search.
    * None: the smallest epsilon that succeeds, on the grid of ``1 / epsilon_steps`` of the bounds'
      range up to ``max_epsilon`` of it. Success need not be monotone in epsilon, so the grid is
      searched upwards without a gap; an image leaves at its first success, and the room that it
      leaves in a pass is given to more epsilons of the others, but of a model with ``whole_batches``.

    An image that is adversarial before any step stays as it is, in both. On a random model each
    epsilon of the search is judged on draws of its own.

    Args:
        epsilon_steps: How many epsilons the grid has per range of the bounds, at least 1. Default 256.
        max_epsilon: Where the search ends, as a share of the bounds' range, in (0, 1]. Default 1.
        gradient_draws: Draws of the model that the gradient is averaged over, at least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Good14] Ian J. Goodfellow, Jonathon Shlens, Christian Szegedy,
            "Explaining and harnessing adversarial examples", https://arxiv.org/abs/1412.6572
    """

    distance = linf

    def __init__(
        self,
        *,
        epsilon_steps: int = 256,
        max_epsilon: float = 1.0,
        gradient_draws: int = 1,
        accept_draws: int = 1,
    ):
        super().__init__(gradient_draws=gradient_draws, accept_draws=accept_draws)
        if epsilon_steps < 1:
            raise ValueError(f"expected epsilon_steps to be at least 1, got {epsilon_steps}")
        if not 0 < max_epsilon <= 1:
            raise ValueError(f"expected max_epsilon to be in (0, 1], got {max_epsilon}")
        self.epsilon_steps = epsilon_steps
        self.max_epsilon = max_epsilon

    def minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        *,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        return self._attack(model, x, criterion, [early_stop], progress)[0][1:]

    def _attack(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Any,
        epsilons: list[float | None],
        progress: Progress | None,
    ) -> list[tuple[ep.Tensor, ep.Tensor, ep.Tensor]]:
        criterion = self._checked(model, x, criterion)
        lower, upper = model.bounds
        count = int(self.max_epsilon * self.epsilon_steps)
        grid = (upper - lower) * np.arange(1, count + 1) / self.epsilon_steps

        sign, start = self._direction(model, x, criterion)
        results, unclipped = [], np.zeros(len(x), dtype=bool)
        for epsilon in epsilons:
            steps = grid if epsilon is None else np.array([epsilon])
            xp, accepted = self._search(model, x, criterion, sign, start, steps, progress)
            results.append((xp, xp, self._claimed(model, xp, criterion, accepted, unclipped)))
        return results

    def _direction(self, model: Model, x: ep.Tensor, criterion: Criterion) -> tuple[ep.Tensor, np.ndarray]:
        """The signs to step along, and which images are adversarial before any step."""
        targeted = isinstance(criterion, TargetedMisclassification)

        def loss(criterion: Criterion, logits: ep.Tensor) -> ep.Tensor:
            classes = criterion.target_classes if targeted else criterion.labels  # type: ignore[attr-defined]
            return odds_against(logits, classes)

        evaluate = row_gradients(model, x, criterion, loss, self.gradient_draws, mean_cross_entropy)
        _, logits, gradient = evaluate(x, np.arange(len(x)), x)
        sign = gradient.sign()
        return (-sign if targeted else sign), self.accept(model, x, criterion, logits)

    def _search(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        sign: ep.Tensor,
        start: np.ndarray,
        epsilons: np.ndarray,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, np.ndarray]:
        """The first of ``epsilons`` that succeeds, per image: perturbed images, and which there are."""
        xp, accepted, rows = x, start.copy(), np.flatnonzero(~start)
        while len(rows) and len(epsilons):
            here = 1 if whole_batches(model) else max(1, max(len(x), SMALLEST_PASS) // len(rows))
            chunk, epsilons = epsilons[:here], epsilons[here:]
            # all rows at the first epsilon, then all at the next
            tried = np.tile(rows, len(chunk))
            sizes = ep.from_numpy(x, np.repeat(chunk, len(rows)).astype(np.float32))
            stepped = ep.clip(x[tried] + atleast_kd(sizes, x.ndim) * sign[tried], *model.bounds)
            there = at(model, xp, tried)
            held = self.accept(there, stepped, take(criterion, tried), there(stepped))
            held = held.reshape(len(chunk), len(rows))

            succeeded = held.any(axis=0)
            first = held.argmax(axis=0) * len(rows) + np.arange(len(rows))
            xp = put(xp, rows[succeeded], stepped[first[succeeded]])
            accepted[rows[succeeded]] = True
            rows = rows[~succeeded]
            if progress is not None:
                progress(len(x) - len(rows), len(x))
        if progress is not None:
            progress(len(x), len(x))
        return xp, accepted
