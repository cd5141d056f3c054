"""The L-BFGS attack, and the box-constrained L-BFGS that it runs for a whole batch at once.

Here belong that optimiser and the line search over c. Other ways to minimise the same penalty do not.
"""

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, TargetedMisclassification
from foolbox.devutils import flatten
from foolbox.distances import l2
from foolbox.models import Model

from .base import BatchAttack, Progress, at, put, row_gradients, rowwise
from .criteria import cross_entropy, margin, softplus, take

SUFFICIENT_DECREASE = 1e-4
"""Share of the decrease that the gradient promises with which a step is content (Armijo)."""
TRIES = 7
"""Shorter and shorter steps along one direction before it is given up."""
CONVEX_SHARE = 0.1
"""Curvature below this share of the squared distance's own is not believed."""
TINY = 1e-30


class LBFGSAttack(BatchAttack):
    """Box-constrained L-BFGS attack, minimising the L2 norm of the perturbation r. [#Szeg14]_

    Minimises ``c |r|^2 + loss(x + r)`` with ``x + r`` inside the bounds, and searches for the largest
    c whose minimiser succeeds: c grows or shrinks tenfold until both a success and a failure are
    known, and is then bisected, geometrically. Of all the points seen on the way that succeed, the
    nearest one to ``x`` is returned.

    The loss is the published one for ``TargetedMisclassification``, the target's cross-entropy. For
    ``Misclassification`` and ``TopKMisclassification`` it is ``log(1 + exp(margin))``, where the
    margin is the label's logit less the largest, or the k-th largest, of the others: the
    cross-entropy of having to choose between these two.

    Two things are done otherwise than in the paper, which minimised image by image from ``x`` for
    each c: all images share the passes while each follows its own c, and a new c goes on from where
    the last one ended, since what is known of the loss and of its curvature holds for any c.

    On a random model a step that no shortening makes better is taken at its shortest, with the value
    and the gradient of that new draw: a draw that was lucky would otherwise stop the search for good.

    Args:
        search_steps: Values of c tried, at least 1. Default 9.
        steps: Passes per value of c, at most; at least 1. Default 100.
        initial_c: The first c, for distances in units of the bounds' range; above 0. Default 0.3.
        memory: Pairs of steps and gradient changes that L-BFGS keeps, at least 1. Default 6.
        tolerance: The relative decrease of the objective at which a minimisation ends, in (0, 1).
            Smaller ones get a little nearer for many more passes. Default 3e-4.
        gradient_draws: Draws of the model that loss and gradient are averaged over, at least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Szeg14] Christian Szegedy, Wojciech Zaremba, Ilya Sutskever, Joan Bruna, Dumitru Erhan,
            Ian Goodfellow, Rob Fergus, "Intriguing properties of neural networks",
            https://arxiv.org/abs/1312.6199
    """

    distance = l2

    def __init__(
        self,
        *,
        search_steps: int = 9,
        steps: int = 100,
        initial_c: float = 0.3,
        memory: int = 6,
        tolerance: float = 3e-4,
        gradient_draws: int = 1,
        accept_draws: int = 1,
    ):
        super().__init__(gradient_draws=gradient_draws, accept_draws=accept_draws)
        for name, count in (("search_steps", search_steps), ("steps", steps), ("memory", memory)):
            if count < 1:
                raise ValueError(f"expected {name} to be at least 1, got {count}")
        if not 0 < initial_c < np.inf:
            raise ValueError(f"expected initial_c to be finite and above 0, got {initial_c}")
        if not 0 < tolerance < 1:
            raise ValueError(f"expected tolerance to be in (0, 1), got {tolerance}")
        self.search_steps = search_steps
        self.steps = steps
        self.initial_c = initial_c
        self.memory = memory
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
        n, shape = len(x), x.shape
        flat = flatten(x)
        evaluate = row_gradients(model, x, criterion, smooth_loss, self.gradient_draws)
        loss, logits, slope = evaluate(flat, np.arange(n), x)
        accepted = self.accept(model, x, criterion, logits)
        best, distance = flat, np.where(accepted, 0.0, np.inf)

        # per image: c, the largest one that succeeded, the smallest that failed, how many were tried
        c = np.full(n, float(self.initial_c))
        succeeded, failed, searched = np.zeros(n), np.full(n, np.inf), np.zeros(n, dtype=int)
        passes, fooled = np.zeros(n, dtype=int), np.zeros(n, dtype=bool)

        rows = np.flatnonzero(~accepted & np.isfinite(loss.numpy()))
        solver = BoxLBFGS(
            flat[rows], loss[rows], slope[rows], self._weights(model, x, c[rows]), model.bounds, self.memory
        )
        while len(rows):
            if progress is not None:
                progress(n - len(rows), n)
            trial = solver.propose()
            batch = best.reshape(shape)
            loss, logits, slope = evaluate(trial, rows, batch)
            norm = (trial - solver.x0).square().sum(axis=-1).sqrt().numpy()
            nearer = norm < distance[rows]
            images = trial.reshape((len(rows), *shape[1:]))
            there = at(model, batch, rows)
            held = self.accept(there, images, take(criterion, rows), logits, wanted=nearer)
            nearer &= held
            best = put(best, rows[nearer], trial[np.flatnonzero(nearer)])
            distance[rows[nearer]] = norm[nearer]

            moved, ended = solver.observe(loss, slope, self.tolerance)
            fooled[rows] = np.where(moved, held, fooled[rows])
            passes[rows] += 1
            ended = np.flatnonzero(ended | (passes[rows] >= self.steps))
            if len(ended):
                those = rows[ended]
                succeeded[those] = np.where(fooled[those], c[those], succeeded[those])
                failed[those] = np.where(fooled[those], failed[those], c[those])
                searched[those] += 1
                passes[those] = 0
                c[those] = next_c(c[those], succeeded[those], failed[those])
                solver.weigh(ended, self._weights(model, x, c[those]))

            left = searched[rows] < self.search_steps
            left &= (
                failed[rows] > 1.05 * succeeded[rows]
            )  # nearer values of c move the result by less than 1 %
            if early_stop is not None:
                left &= distance[rows] > early_stop
            if not left.all():
                rows = rows[left]
                solver.keep(np.flatnonzero(left))
        if progress is not None:
            progress(n, n)
        return best.reshape(shape), ep.from_numpy(x, np.isfinite(distance))

    @staticmethod
    def _weights(model: Model, x: ep.Tensor, c: np.ndarray) -> ep.Tensor:
        lower, upper = model.bounds
        return ep.from_numpy(x, (c / (upper - lower) ** 2).astype(np.float32))


def next_c(c: np.ndarray, succeeded: np.ndarray, failed: np.ndarray) -> np.ndarray:
    """Ten times more or less until both sides are known, their geometric mean from then on."""
    middle = np.sqrt(succeeded * np.where(np.isinf(failed), 0.0, failed))
    return np.where(succeeded == 0, c / 10, np.where(np.isinf(failed), c * 10, middle))


class BoxLBFGS:
    """Minimises ``c |x - x0|^2 + loss(x)`` over a box, each row by itself and at its own pace.

    Projected L-BFGS: pixels at a bound that the gradient pushes outwards are held, the quasi-Newton
    direction is taken in the others, and the step along it is projected onto the box. Whoever uses
    it evaluates what ``propose`` returns and hands the outcome to ``observe``, over and over; whether
    that is a new step of a row or a shorter one of its last, one pass serves all rows.

    The loss must not be negative. No direction is made longer than a parabola that ends at 0 allows:
    this scales the first step, and keeps steps sane after gradients that are mostly noise.

    Args:
        x0: Where the distance is measured from and the search starts, shape ``(rows, pixels)``.
        loss: Its loss, shape ``(rows,)``.
        slope: Its loss's gradient, shape ``(rows, pixels)``.
        c: Weight of the squared distance, shape ``(rows,)``.
        bounds: The box.
        memory: How many pairs of steps and gradient changes are kept.
    """

    def __init__(
        self,
        x0: ep.Tensor,
        loss: ep.Tensor,
        slope: ep.Tensor,
        c: ep.Tensor,
        bounds: tuple[float, float],
        memory: int,
    ):
        self.x0, self.x, self.loss, self.slope, self.c = x0, x0, loss, slope, c
        self.bounds, self.memory = bounds, memory
        # of steps and of the changes in slope, not in the whole gradient: these hold for any c
        self.pairs: list[tuple[ep.Tensor, ep.Tensor]] = []
        self.tries = np.zeros(len(x0), dtype=int)
        self.step, self.trial = ep.zeros_like(x0), x0

    def propose(self) -> ep.Tensor:
        """Where to evaluate the loss next, shape ``(rows, pixels)``."""
        anew = ep.from_numpy(self.x, self.tries == 0)
        self.step = rowwise(anew, self._direction(), self.step)
        self.trial = ep.clip(self.x + self.step, *self.bounds)
        return self.trial

    def observe(self, loss: ep.Tensor, slope: ep.Tensor, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Takes the losses and their gradients at what was proposed.

        Returns:
            Which rows moved there, and which are done: their last step brought less than
            ``tolerance`` of the objective, or no step brings anything.
        """
        s = self.trial - self.x
        f, f_trial = self._objective(self.x, self.loss), self._objective(self.trial, loss)
        promised = (self._gradient() * s).sum(axis=-1)
        lower = f_trial <= f + SUFFICIENT_DECREASE * promised
        settled = ep.logical_and(lower, f - f_trial <= tolerance * f)

        self.tries = np.where(lower.numpy(), 0, self.tries + 1)
        stuck = ep.from_numpy(self.x, self.tries >= TRIES)
        moved = ep.logical_or(lower, ep.logical_and(stuck, f_trial < ep.inf))  # not where it isn't a number
        self._remember(s, slope - self.slope, lower)
        if stuck.any():  # and what is remembered is what led here
            zeros = ep.zeros_like(s)
            self.pairs = [(rowwise(stuck, zeros, s), rowwise(stuck, zeros, y)) for s, y in self.pairs]
        self.x = rowwise(moved, self.trial, self.x)
        self.loss = ep.where(moved, loss, self.loss)
        self.slope = rowwise(moved, slope, self.slope)

        # the parabola through both values and the slope between them has its minimum there
        shorter = ep.clip(-promised / ep.maximum(2 * (f_trial - f - promised), TINY), 0.1, 0.5)
        shorter = ep.where(f_trial < ep.inf, shorter, 0.1)
        self.step = self.step * shorter.expand_dims(axis=-1)
        done = ep.logical_or(settled, stuck).numpy()
        self.tries[done] = 0
        return moved.numpy(), done

    def weigh(self, rows: np.ndarray, c: ep.Tensor) -> None:
        """Gives some rows another ``c``; they go on from where they are."""
        self.c = put(self.c, rows, c)
        self.tries[rows] = 0

    def keep(self, rows: np.ndarray) -> None:
        """Lets all other rows leave."""
        for name in ("x0", "x", "loss", "slope", "c", "tries", "step"):
            setattr(self, name, getattr(self, name)[rows])
        self.pairs = [(s[rows], y[rows]) for s, y in self.pairs]

    def _objective(self, x: ep.Tensor, loss: ep.Tensor) -> ep.Tensor:
        return self.c * (x - self.x0).square().sum(axis=-1) + loss

    def _gradient(self) -> ep.Tensor:
        return 2 * self.c.expand_dims(axis=-1) * (self.x - self.x0) + self.slope

    def _remember(self, s: ep.Tensor, y: ep.Tensor, lower: ep.Tensor) -> None:
        """Adds a pair where the objective got lower; the other rows keep theirs in their places."""
        if len(self.pairs) < self.memory:
            zeros = ep.zeros_like(s)
            self.pairs = [(zeros, zeros), *self.pairs]
        later = [*self.pairs[1:], (s, y)]
        self.pairs = [
            (rowwise(lower, s, s_old), rowwise(lower, y, y_old))
            for (s, y), (s_old, y_old) in zip(later, self.pairs, strict=True)
        ]

    def _direction(self) -> ep.Tensor:
        """L-BFGS's two loops, in the pixels that are free to move."""
        c, g = self.c.expand_dims(axis=-1), self._gradient()
        lower, upper = self.bounds
        outwards = ep.logical_or(
            ep.logical_and(self.x <= lower, g > 0), ep.logical_and(self.x >= upper, g < 0)
        )
        free = ep.where(outwards, 0.0, ep.ones_like(g))
        g = g * free
        f = self._objective(self.x, self.loss)
        steepest = f / ep.maximum(g.square().sum(axis=-1), TINY)

        q, scale, pairs = g, steepest, []
        for s, y in self.pairs:  # oldest first, so that the newest pair sets the scale
            s = s * free
            y = y * free + 2 * c * s
            sy = (s * y).sum(axis=-1)
            good = sy > 2 * CONVEX_SHARE * self.c * s.square().sum(axis=-1)
            rho = ep.where(good, 1 / ep.maximum(sy, TINY), 0.0)
            scale = ep.where(good, sy / ep.maximum(y.square().sum(axis=-1), TINY), scale)
            pairs.append((s, y, rho))
        alphas = []
        for s, y, rho in reversed(pairs):
            alpha = (rho * (s * q).sum(axis=-1)).expand_dims(axis=-1)
            q = q - alpha * y
            alphas.append(alpha)
        q = q * scale.expand_dims(axis=-1)
        for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
            q = q + (alpha - (rho * (y * q).sum(axis=-1)).expand_dims(axis=-1)) * s

        q = rowwise((g * q).sum(axis=-1) > 0, q, steepest.expand_dims(axis=-1) * g)
        longest = 2 * f / ep.maximum((g * q).sum(axis=-1), TINY)
        return -ep.minimum(longest, 1.0).expand_dims(axis=-1) * q


def smooth_loss(criterion: Criterion, logits: ep.Tensor) -> ep.Tensor:
    """The attack's loss, shape ``(batch,)``."""
    if isinstance(criterion, TargetedMisclassification):
        return cross_entropy(logits, criterion.target_classes)
    return softplus(margin(criterion, logits))
