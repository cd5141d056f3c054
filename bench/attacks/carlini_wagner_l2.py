"""Carlini and Wagner's attack for the L2 norm: the distance plus c times the hinge, and a search over c.

Here belong that objective and that search. What the paper's other attacks need too is in ``carlini_wagner``.
"""

import math

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion
from foolbox.devutils import flatten
from foolbox.distances import l2
from foolbox.models import Model

from .base import Progress, at, put, row_gradients
from .carlini_wagner import Adam, CarliniWagnerAttack, column
from .criteria import take

SPAN = 0.99
"""Where a pixel's tanh is when the pixel is at its bound."""
EARLY = 0.4
"""What the first c is, as a share of the one that would do if the model were linear."""
LARGEST_C = 1e10
"""The first c where the gradient vanishes."""
LARGEST_STEP = 0.2
"""A step size of tanh's argument beyond which Adam loses its way, however far it has to go."""
DECAY = 0.7
"""By which the step size shrinks from one c to the next."""
GROWTH = 3.0
"""By which c grows until one succeeds, and with it, once ``LOST``, the step size."""
LOST = 4
"""How many c in a row may fail before the linear model counts as wrong about the step size too."""


class CarliniWagnerL2Attack(CarliniWagnerAttack):
    """Carlini and Wagner's L2 attack, each image with a search and an end of its own. [#Carl17]_

    Minimises ``|x' - x|^2 + c max(margin(x') + confidence, 0)`` by Adam for one c after the other, and
    returns the nearest of all points seen that are adversarial by a margin of ``confidence``. The
    margin is that of ``TargetedMisclassification`` (the largest other logit less the target's),
    ``Misclassification`` (the label's less the largest other) or ``TopKMisclassification`` (the
    label's less the k-th largest other).

    As published: the objective, tanh in place of the box constraint, Adam, ``search_steps`` values
    of c with ``steps`` passes each at most, and an end to those that make no progress. Otherwise:

    * Each image is judged by itself. Its passes for one c end when their mean loss over a twelfth
      of ``steps`` is not lower than over the twelfth before by a share of ``tolerance``.
    * A new c starts where the last one ended, with a step size that is 0.7 of the last. It has
      succeeded if an image was adversarial in the last of those twelfths.
    * c grows threefold until one succeeds, from an estimate of where that will be that is made to be
      low: to be driven across the boundary by too large a c ends farther away. Between a failure and
      a success the next c is ``failure^0.3 success^0.7``. After four failures in a row the estimate
      was wrong, and the step size, which comes from the same one, grows threefold with c.
    * The tanh reaches the bounds at 0.99, and stays there, instead of at 1, so that pixels that are
      at a bound don't need dozens of steps before they show.

    Args:
        search_steps: Values of c tried, at least 1. Default 10.
        steps: Passes per value of c, at most; at least 1. Default 100.
        stepsize: Adam's, for the first c, in units of the change per pixel (root mean square) that a
            model as linear as it looks from ``x`` would need; above 0. Default 1.
        confidence: The margin in logits that is asked for, kappa; at least 0. Default 0.
        initial_c: The first c, for distances in units of the bounds' range; above 0. Default None: 0.4
            of the c at which that linear model would succeed.
        tolerance: Progress that is worth going on for, in [0, 1). Default 0.02; smaller ones
            get a little nearer for many more passes.
        gradient_draws: Draws of the model that the hinge and its gradient are averaged over, at
            least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Carl17] Nicholas Carlini, David Wagner, "Towards evaluating the robustness of neural
            networks", https://arxiv.org/abs/1608.04644
    """

    distance = l2

    def __init__(
        self,
        *,
        search_steps: int = 10,
        steps: int = 100,
        stepsize: float = 1.0,
        confidence: float = 0.0,
        initial_c: float | None = None,
        tolerance: float = 0.02,
        gradient_draws: int = 1,
        accept_draws: int = 1,
    ):
        super().__init__(
            steps=steps, confidence=confidence, gradient_draws=gradient_draws, accept_draws=accept_draws
        )
        if search_steps < 1:
            raise ValueError(f"expected search_steps to be at least 1, got {search_steps}")
        if not 0 < stepsize < np.inf:
            raise ValueError(f"expected stepsize to be finite and above 0, got {stepsize}")
        if initial_c is not None and not 0 < initial_c < np.inf:
            raise ValueError(f"expected initial_c to be None, or finite and above 0, got {initial_c}")
        if not 0 <= tolerance < 1:
            raise ValueError(f"expected tolerance to be in [0, 1), got {tolerance}")
        self.search_steps = search_steps
        self.stepsize = stepsize
        self.initial_c = initial_c
        self.tolerance = tolerance

    def minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        *,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        n = len(x)
        lower, upper = model.bounds
        middle, half = (lower + upper) / 2, (upper - lower) / 2 / SPAN
        edge = math.atanh(SPAN)
        evaluate = row_gradients(model, x, criterion, self.hinge, self.gradient_draws)
        loss, logits, gradient = evaluate(x, np.arange(n), x)
        accepted = self.accept(model, x, criterion, logits, self.confidence)
        best, distance = x, np.where(accepted, 0.0, np.inf)

        # per image: c, the largest that failed, the smallest that succeeded, how many were tried
        c, sizes = self._first(loss, gradient, upper - lower)
        failed, succeeded, searched = np.zeros(n), np.full(n, np.inf), np.zeros(n, dtype=int)
        # of the present window, whether any succeeded and the summed loss; that of the window before
        found = np.zeros(n, dtype=bool)
        window = max(1, self.steps // 12)
        total, before = np.zeros(n), np.full(n, np.inf)

        rows = np.flatnonzero(~accepted & np.isfinite(loss.numpy()))
        x0 = x[rows]
        w = ((x0 - middle) / half).arctanh()
        adam = Adam(w)
        while len(rows):
            if progress is not None:
                progress(n - len(rows), n)
            tanh = w.tanh()
            z = ep.clip(middle + half * tanh, lower, upper)
            loss, logits, gradient = evaluate(z, rows, best)
            r = z - x0
            norm2 = flatten(r).square().sum(axis=-1)
            norm = norm2.sqrt().numpy()
            nearer = norm < distance[rows]
            there, goal = at(model, best, rows), take(criterion, rows)
            held = self.accept(there, z, goal, logits, self.confidence, wanted=nearer)
            nearer &= held
            best = put(best, rows[nearer], z[np.flatnonzero(nearer)])
            distance[rows[nearer]] = norm[nearer]
            found[rows] |= held

            weight = column(x, c[rows], x.ndim)
            slope = (2 * r + weight * gradient) * (1 - tanh.square())
            w = ep.clip(w - adam.step(slope, sizes[rows] * DECAY ** searched[rows]), -edge, edge)

            total[rows] += norm2.numpy() + c[rows] * loss.numpy()
            checked = adam.steps % window == 0
            stalled = checked & ~(total[rows] < (1 - self.tolerance) * before[rows])
            before[rows] = np.where(checked, total[rows], before[rows])
            total[rows] = np.where(checked, 0.0, total[rows])
            ended = stalled | (adam.steps >= self.steps)
            those = rows[ended]
            if len(those):
                succeeded[those] = np.where(found[those], c[those], succeeded[those])
                failed[those] = np.where(found[those], failed[those], c[those])
                c[those] = next_c(c[those], failed[those], succeeded[those])
                searched[those] += 1
                lost = np.isinf(succeeded[those]) & (searched[those] >= LOST)
                larger = np.minimum(GROWTH * sizes[those], LARGEST_STEP / DECAY ** searched[those])
                sizes[those] = np.where(lost, larger, sizes[those])
                found[those], total[those], before[those] = False, 0.0, np.inf
                adam.restart(ended)

            found[rows[checked]] = False
            left = searched[rows] < self.search_steps
            if early_stop is not None:
                left &= distance[rows] > early_stop
            if not left.all():
                rows = rows[left]
                kept = np.flatnonzero(left)
                x0, w = x0[kept], w[kept]
                adam.keep(kept)
        if progress is not None:
            progress(n, n)
        return best, ep.from_numpy(x, np.isfinite(distance))

    def _first(self, loss: ep.Tensor, gradient: ep.Tensor, range_: float) -> tuple[np.ndarray, np.ndarray]:
        """The first c and step size of each image, by what a linear model would need."""
        slopes = flatten(gradient)
        squared = np.maximum(slopes.square().sum(axis=-1).numpy().astype(float), 1e-30)
        hinge = loss.numpy()
        # |r|^2 + c (hinge + gradient r) has its minimum where the hinge ends for this c
        c = np.minimum(EARLY * 2 * hinge / squared, LARGEST_C * range_**2)
        if self.initial_c is not None:
            c = np.full(len(hinge), self.initial_c * range_**2)
        typical = hinge / np.sqrt(squared * slopes.shape[-1])
        return c, np.minimum(self.stepsize * typical / (range_ / 2 / SPAN), LARGEST_STEP)


def next_c(c: np.ndarray, failed: np.ndarray, succeeded: np.ndarray) -> np.ndarray:
    """Three times as much until one succeeds, then between the two, nearer to the success."""
    known = np.where(np.isinf(succeeded), c, succeeded)
    between = np.where(failed > 0, failed**0.3 * known**0.7, known / GROWTH)
    return np.where(np.isinf(succeeded), GROWTH * c, between)
