"""Carlini and Wagner's attack for the Linf norm: a penalty on what is beyond tau, and a search over tau.

Here belong that penalty and that search. What the paper's other attacks need too is in ``carlini_wagner``.
"""

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion
from foolbox.devutils import atleast_kd, flatten
from foolbox.distances import linf
from foolbox.models import Model

from .base import Progress, at, put, row_gradients
from .carlini_wagner import Adam, CarliniWagnerAttack, column
from .criteria import take

PENALTY = 0.1
"""The pull back of a pixel that is beyond tau, as a share of the hinge's largest pull on any pixel."""
FIRST = 1.5
"""What the first tau is, as a multiple of the one that would do if the model were linear."""
TINY = 1e-30


class CarliniWagnerLinfAttack(CarliniWagnerAttack):
    """Carlini and Wagner's Linf attack, each image with a tau and an end of its own. [#Carl17]_

    Minimises ``c max(margin(x') + confidence, 0) + sum_i max(|x'_i - x_i| - tau, 0)`` by Adam for one
    tau after the other, and returns the nearest of all points seen that are adversarial by a margin of
    ``confidence``. The margin is that of ``CarliniWagnerL2Attack``, for the same three criteria.

    As published (section VI-C): the objective, Adam, a new tau that starts where the last one ended, and
    a tau that is 0.9 of the distance reached after each success. Otherwise:

    * An image is judged where each pixel's change is cut to tau, and moved where it is not. So the
      first pass that is adversarial is a success for this tau, and nobody waits for the penalty to have
      drawn the last pixel in: with the sum alone the distances are up to a third larger.
    * c follows the gradient: in each pass it is such that the hinge's largest pull on any pixel is ten
      times the penalty's. As pixels beyond tau are cut, no search over c is needed.
    * tau starts at 1.5 times what would do if the model were linear, and doubles until there is a
      success. After failures it is halfway between the largest that failed and the distance
      reached, wherever that is more than 0.9 of it, until these differ by ``tolerance``.
    * The box is kept by clipping (the paper's section V-B has it beside the tanh): a tanh would hold
      back pixels that are at a bound, which here must move as far as all others.

    Args:
        search_steps: Values of tau tried, at least 1. Default 30.
        steps: Passes per value of tau, at most; at least 1. Default 30.
        stepsize: Adam's, as a share of tau; above 0. Default 0.3.
        confidence: The margin in logits that is asked for, kappa; at least 0. Default 0.
        tolerance: Where the search ends: the share of the distance reached by which it is above the
            largest tau that failed, in [0, 1). Default 0.005.
        gradient_draws: Draws of the model that the hinge and its gradient are averaged over, at
            least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Carl17] Nicholas Carlini, David Wagner, "Towards evaluating the robustness of neural
            networks", section VI-C, https://arxiv.org/abs/1608.04644
    """

    distance = linf

    def __init__(
        self,
        *,
        search_steps: int = 30,
        steps: int = 30,
        stepsize: float = 0.3,
        confidence: float = 0.0,
        tolerance: float = 0.005,
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
        if not 0 <= tolerance < 1:
            raise ValueError(f"expected tolerance to be in [0, 1), got {tolerance}")
        self.search_steps = search_steps
        self.stepsize = stepsize
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
        evaluate = row_gradients(model, x, criterion, self.hinge, self.gradient_draws)
        loss, logits, gradient = evaluate(x, np.arange(n), x)
        accepted = self.accept(model, x, criterion, logits, self.confidence)
        best, distance = x, np.where(accepted, 0.0, np.inf)

        # per image: tau, the largest that failed, how many were tried
        slopes = flatten(gradient).abs().sum(axis=-1).numpy().astype(float)
        tau = np.minimum(FIRST * loss.numpy() / np.maximum(slopes, TINY), upper - lower)
        failed, searched = np.zeros(n), np.zeros(n, dtype=int)

        rows = np.flatnonzero(~accepted & np.isfinite(loss.numpy()))
        x0 = w = x[rows]
        adam = Adam(w)
        while len(rows):
            if progress is not None:
                progress(n - len(rows), n)
            r, limit = w - x0, column(x, tau[rows], x.ndim)
            z = ep.clip(x0 + ep.maximum(ep.minimum(r, limit), -limit), lower, upper)
            _, logits, gradient = evaluate(z, rows, best)
            norm = flatten(z - x0).abs().max(axis=-1).numpy()
            nearer = norm < distance[rows]
            there, goal = at(model, best, rows), take(criterion, rows)
            held = self.accept(there, z, goal, logits, self.confidence, wanted=nearer)
            nearer &= held
            best = put(best, rows[nearer], z[np.flatnonzero(nearer)])
            distance[rows[nearer]] = norm[nearer]

            largest = ep.maximum(flatten(gradient).abs().max(axis=-1), TINY)
            beyond = ep.where(r.abs() > limit, r.sign(), 0.0)
            slope = gradient / atleast_kd(largest, x.ndim) + PENALTY * beyond
            w = ep.clip(w - adam.step(slope, self.stepsize * tau[rows]), lower, upper)

            missed = ~nearer & (adam.steps >= self.steps)
            failed[rows[missed]] = np.maximum(failed, tau)[rows[missed]]
            ended = nearer | missed
            those = rows[ended]
            if len(those):
                tau[those] = next_tau(tau[those], failed[those], distance[those], upper - lower)
                searched[those] += 1
                adam.restart(ended)

            left = (searched[rows] < self.search_steps) & (failed[rows] < upper - lower)
            left &= failed[rows] < (1 - self.tolerance) * distance[rows]
            if early_stop is not None:
                left &= distance[rows] > early_stop
            if not left.all():
                kept = np.flatnonzero(left)
                rows, x0, w = rows[kept], x0[kept], w[kept]
                adam.keep(kept)
        if progress is not None:
            progress(n, n)
        return best, ep.from_numpy(x, np.isfinite(distance))


def next_tau(tau: np.ndarray, failed: np.ndarray, reached: np.ndarray, range_: float) -> np.ndarray:
    """Twice as much until a distance is reached, then 0.9 of it, or what is halfway to the failure."""
    known = np.isfinite(reached)
    nearest = np.where(known, reached, 0.0)
    return np.where(known, np.maximum(0.9 * nearest, (failed + nearest) / 2), np.minimum(2 * tau, range_))
