"""The saliency map attack: the most salient pair of pixels, step after step, until the model gives in.

Here belongs the choice of a pair and the budget of pixels. What other attacks need too is in ``base``.
"""

import math

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, TargetedMisclassification
from foolbox.devutils import flatten
from foolbox.distances import l0
from foolbox.models import Model

from .base import BatchAttack, Progress, at, mean_draws, pass_draws, put, repeat
from .criteria import TopKMisclassification, best_other, log_sum_others, take


class SaliencyMapAttack(BatchAttack):
    """Jacobian-based saliency map attack (JSMA) for the L0 norm. [#Pape15]_

    Each step changes the two pixels p, q with the largest ``-(a_p + a_q) (b_p + b_q)`` of those with
    ``a_p + a_q > 0`` and ``b_p + b_q < 0`` (the other way round where pixels decrease), a being the
    derivative of the target's output and b that of the sum of all others. A pixel is one entry of the
    image, so a colour image has three in a place. Pixels that can't move leave the search; an image
    leaves it at its first success, or when there is no such pair.

    The outputs are the softmax's, as in the paper and in CleverHans (ART takes what the model returns,
    so usually logits). They sum to 1, hence ``b = -a``: the best pair of all is that of the two
    largest ``a``, and one forward and one backward pass a step is all it takes. The derivative is that
    of the target's log odds, a positive multiple of ``a`` that doesn't vanish where the softmax
    saturates.

    The criteria:

    * ``TargetedMisclassification``: as published.
    * ``Misclassification`` (k = 1) and ``TopKMisclassification``: the targets of a step are the k most
      probable wrong classes, and a is the derivative of ``-log sum_j exp(f_label - f_j)`` over these,
      f being the logits. This is a smooth minimum of their leads over the label, of the same form as
      the target's log odds, which are its lead over all others: classes that lead already count little.

    On a random model each step has new draws. Those that the derivative is averaged over are the first
    of those that an image is judged on.

    With a number as epsilon, an image that takes more changed pixels than that comes back as it was,
    without success: nobody says which of its changes to give up.

    Args:
        theta: What a step adds to a pixel before clipping, as a share of the bounds' range, in
            [-1, 1] but not 0. Negative decreases pixels. Default 1.
        gamma: Largest share of the pixels that may be changed, in (0, 1]. Default 0.145, the paper's.
        gradient_draws: Draws of the model that each gradient is averaged over, at least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Pape15] Nicolas Papernot, Patrick McDaniel, Somesh Jha, Matt Fredrikson, Z. Berkay Celik,
            Ananthram Swami, "The limitations of deep learning in adversarial settings",
            https://arxiv.org/abs/1511.07528
    """

    distance = l0

    def __init__(
        self,
        *,
        theta: float = 1.0,
        gamma: float = 0.145,
        gradient_draws: int = 1,
        accept_draws: int = 1,
    ):
        super().__init__(gradient_draws=gradient_draws, accept_draws=accept_draws)
        if not 0 < abs(theta) <= 1:
            raise ValueError(f"expected theta to be in [-1, 1] but not 0, got {theta}")
        if not 0 < gamma <= 1:
            raise ValueError(f"expected gamma to be in (0, 1], got {gamma}")
        self.theta = theta
        self.gamma = gamma

    def minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        *,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        lower, upper = model.bounds
        change = self.theta * (upper - lower)
        # the share of a whole number of pixels may come out just below it
        budget = int(self.gamma * math.prod(x.shape[1:]) + 1e-6)
        result, accepted = x, np.zeros(len(x), dtype=bool)
        rows, xp = np.arange(len(x)), x
        while len(rows):
            remaining, there = take(criterion, rows), at(model, result, rows)
            logits, gradient = self._saliency(there, xp, remaining)
            held = self.accept(there, xp, remaining, logits)
            result = put(result, rows[held], xp[np.flatnonzero(held)])
            accepted[rows[held]] = True

            left = np.flatnonzero(~held)
            rows, now, start = rows[left], flatten(xp)[left], flatten(x)[rows[left]]
            moved, changed = ep.clip(now + change, lower, upper), now != start
            affordable = changed.sum(axis=-1, keepdims=True) + 2 <= budget
            movable = ep.logical_and(moved != now, ep.logical_or(changed, affordable))
            pair, found = best_pair(ep.where(movable, flatten(gradient)[left] * self.theta, -ep.inf))
            xp = ep.where(pair, moved, now).reshape((len(left), *x.shape[1:]))[found]
            rows = rows[found]
            if progress is not None:
                progress(len(x) - len(rows), len(x))
        return result, ep.from_numpy(x, accepted)

    def _saliency(self, model: Model, x: ep.Tensor, criterion: Criterion) -> tuple[ep.Tensor, ep.Tensor]:
        """Logits of every draw, as ``pass_draws`` returns them, and the gradient of ``lead``."""
        draws = self.gradient_draws
        repeated = repeat(criterion, len(x), draws)

        def mean_lead(x: ep.Tensor) -> tuple[ep.Tensor, ep.Tensor]:
            logits = pass_draws(model, x, draws)
            return mean_draws(lead(repeated, logits), draws).sum(), logits

        _, logits, gradient = ep.value_and_grad_fn(x, mean_lead, has_aux=True)(x)
        return logits, gradient


def lead(criterion: Criterion, logits: ep.Tensor) -> ep.Tensor:
    """By how much the wanted classes lead, as a smooth minimum, shape ``(batch,)``."""
    if isinstance(criterion, TargetedMisclassification):
        targets = criterion.target_classes
        return logits[range(len(logits)), targets] - log_sum_others(logits, targets)
    labels = criterion.labels  # type: ignore[attr-defined]
    k = criterion.k if isinstance(criterion, TopKMisclassification) else 1
    least = best_other(logits, labels, k)
    own = logits[range(len(logits)), labels]
    if k == 1:
        return least - own
    # relative to the least of the k, so that no exponential overflows
    least_ = least.expand_dims(axis=-1)
    wanted = ep.logical_and(logits >= least_, ep.onehot_like(logits, labels) == 0)
    behind = ep.where(wanted, (least_ - ep.where(wanted, logits, least_)).exp(), 0.0)
    return least - own - behind.sum(axis=-1).log()


def best_pair(scores: ep.Tensor) -> tuple[ep.Tensor, np.ndarray]:
    """The two largest scores of each row, which needn't both be positive as long as their sum is.

    Args:
        scores: Shape ``(batch, pixels)``, minus infinity where a pixel can't be taken.

    Returns:
        Where they are, booleans ``(batch, pixels)``; and the rows that have such a pair, integers.
    """
    pixels = ep.arange(scores, scores.shape[-1])
    first = pixels == scores.argmax(axis=-1).expand_dims(axis=-1)
    others = ep.where(first, -ep.inf, scores)
    second = pixels == others.argmax(axis=-1).expand_dims(axis=-1)
    total = scores.max(axis=-1) + others.max(axis=-1)  # not a number where a score isn't one
    return ep.logical_or(first, second), np.flatnonzero((total > 0).numpy())
