"""DeepFool: step after step to the nearest linearised boundary, for all three criteria.

Here belongs the projection on linearised boundaries. What other attacks need too is in ``base``.
"""

from itertools import combinations

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, TargetedMisclassification
from foolbox.distances import l2
from foolbox.models import Model

from .base import BatchAttack, Progress, at, draws_are_passes, put, whole_batches
from .criteria import TopKMisclassification, holds, take

# A pass for gradients holds one copy of an image per class. It is cut at this many, or at the size of
# the batch where that is more: more memory at once gains nothing, and on a CPU costs time.
LARGEST_PASS = 256
# How far behind a boundary to aim, in L2: a step exactly onto it may round to no step at all.
PAST = 1e-4
# Of the constraints of a region, where they don't settle before. They do in about ten; they never do
# where the constraints contradict each other.
SWEEPS = 100


class DeepFoolAttack(BatchAttack):
    """DeepFool for the L2 norm: untargeted, top-k and targeted. [#Moos15]_

    Each step replaces the logits f by their linearisation at the current image x_i and adds the
    smallest r_i that reaches the region wanted there:

    * ``Misclassification``: the nearest of the half-spaces where a wrong class k passes the label's,
      ``f_k - f_label >= 0``. This is the published attack.
    * ``TopKMisclassification``: the nearest of the regions where k wrong classes pass the label's at
      the same time. A class that has passed already is a constraint that holds, so it costs nothing
      and isn't visited again, but no step for another class takes it back either.
    * ``TargetedMisclassification``: the region where the target passes every other class.

    As in the authors' code each step overshoots, ``x_{i+1} = clip(x_i + (1 + overshoot) * r_i)``, and an
    image leaves at its first success. What clipping cuts off is forgotten: Foolbox, which carries it
    along, ends a little farther away.

    A step costs one pass for the logits, and a forward and a backward pass per class that is still
    considered, of the images that are left. EagerPy can't keep a graph for several backward passes,
    so the classes lie along the batch axis, or have passes of their own with ``whole_batches``, and where
    several draws of each have to be passes.

    On a random model an image is left alone as soon as it holds on ``accept_draws`` draws. Otherwise
    the step answers the draw on which it failed: that draw says for all classes at once how far they
    are from passing, so there is always something to correct. The gradients come from draws of their
    own, one set per class. The class to leave is the criterion's, whatever a draw says.

    Args:
        steps: Largest number of steps, at least 1. Default 50.
        candidates: How many of the most probable classes are considered, the label's or the target's
            included, at least 2, or None for all. Default 10. Top-k considers no fewer than it needs.
            They are the most probable ones of the first step, targeted those of each step.
        spare: Untargeted and top-k: from the second step on, only the k + ``spare`` classes whose
            boundaries were nearest at the first step are considered, at least 0, or None for all
            candidates, which is the published attack. Default 2. Which are nearest hardly changes from
            step to step, unless the model is random: there None ends a little closer. With many
            candidates and None, top-k tries every choice of k among them.
        overshoot: How much further than the boundaries to go, as a share of the perturbation, at
            least 0. Default 0.02.
        gradient_draws: Draws of the model that each gradient is averaged over, at least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Moos15] Seyed-Mohsen Moosavi-Dezfooli, Alhussein Fawzi, Pascal Frossard,
            "DeepFool: a simple and accurate method to fool deep neural networks",
            https://arxiv.org/abs/1511.04599
    """

    distance = l2

    def __init__(
        self,
        *,
        steps: int = 50,
        candidates: int | None = 10,
        spare: int | None = 2,
        overshoot: float = 0.02,
        gradient_draws: int = 1,
        accept_draws: int = 1,
    ):
        super().__init__(gradient_draws=gradient_draws, accept_draws=accept_draws)
        if steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {steps}")
        if candidates is not None and candidates < 2:
            raise ValueError(f"expected candidates to be at least 2 or None, got {candidates}")
        if spare is not None and spare < 0:
            raise ValueError(f"expected spare to be at least 0 or None, got {spare}")
        if not 0 <= overshoot < np.inf:
            raise ValueError(f"expected overshoot to be finite and at least 0, got {overshoot}")
        self.steps = steps
        self.candidates = candidates
        self.spare = spare
        self.overshoot = overshoot

    def minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        *,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        targeted = isinstance(criterion, TargetedMisclassification)
        own = (criterion.target_classes if targeted else criterion.labels).numpy()  # type: ignore[attr-defined]
        k = criterion.k if isinstance(criterion, TopKMisclassification) else 1
        result, accepted = x, np.zeros(len(x), dtype=bool)

        # the rows that are left: which they are, and where they stand
        rows, xp = np.arange(len(x)), x
        stuck, classes = np.zeros(len(x), dtype=bool), None
        for step in range(self.steps + 1):
            held, logits = self._judge(at(model, result, rows), xp, take(criterion, rows))
            result = put(result, rows[held], xp[np.flatnonzero(held)])
            accepted[rows[held]] = True
            left = np.flatnonzero(~(held | stuck))
            if progress is not None:
                progress(len(x) - len(left), len(x))
            if step == self.steps or not len(left):
                break

            rows, xp, logits = rows[left], xp[left], logits[left]
            # a target has to pass whichever class is on top by now
            classes = self._candidates(logits, own[rows], k) if classes is None or targeted else classes[left]
            ahead = pick(logits, classes) - pick(logits, own[rows, None])
            there, limit = at(model, result, rows), max(len(x), LARGEST_PASS)
            gradients = self._gradients(there, xp, own[rows], classes, limit)
            if targeted:  # the others have to fall behind
                ahead, gradients = -ahead, -gradients
            distances, normals = boundaries(ahead, gradients)

            if step == 0 and not targeted and self.spare is not None:
                nearest = np.argsort(-distances, axis=1, kind="stable")[:, : k + self.spare]
                classes, distances = pick(classes, nearest), pick(distances, nearest)
                normals = normals[np.arange(len(rows))[:, None], nearest]
            weights, stuck = nearest_region(distances, normals, classes.shape[1] if targeted else k)
            weights_ = ep.from_numpy(x, weights.astype(np.float32))
            r = (normals * weights_.expand_dims(axis=-1)).sum(axis=1).reshape(xp.shape)
            xp = ep.clip(xp + (1 + self.overshoot) * r, *model.bounds)
        return result, ep.from_numpy(x, accepted)

    def _judge(self, model: Model, x: ep.Tensor, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
        """Which rows hold on every draw, and the logits of the draw on which each was last judged."""
        logits = model(x)
        held, last = holds(criterion, logits).numpy().copy(), logits.numpy().copy()
        for _ in range(self.accept_draws - 1):
            again = np.flatnonzero(held)
            if not len(again):
                break
            logits = at(model, x, again)(x[again])
            held[again], last[again] = holds(take(criterion, again), logits).numpy(), logits.numpy()
        return held, last

    def _candidates(self, logits: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
        """The most probable classes that aren't a row's own, shape ``(batch, classes)``."""
        others = logits.shape[1] - 1
        count = others if self.candidates is None else min(max(self.candidates - 1, k), others)
        without_own = np.where(np.arange(logits.shape[1]) == own[:, None], -np.inf, logits)
        order: np.ndarray = np.argsort(-without_own, axis=1, kind="stable")
        return order[:, :count]

    def _gradients(
        self, model: Model, x: ep.Tensor, own: np.ndarray, classes: np.ndarray, limit: int
    ) -> ep.Tensor:
        """Gradients of ``f_class - f_own``, shape ``(batch, classes, pixels)``, ``limit`` images a pass."""

        def difference(x: ep.Tensor, classes: np.ndarray, own: np.ndarray) -> ep.Tensor:
            logits, rows = model(x), np.arange(len(x))
            return (logits[rows, classes] - logits[rows, own]).sum()

        gradient = ep.value_and_grad_fn(x, difference)
        copies = classes.shape[1] * self.gradient_draws
        rows, classes_ = np.repeat(np.arange(len(x)), copies), np.repeat(classes, self.gradient_draws)
        apart = whole_batches(model) or (self.gradient_draws > 1 and draws_are_passes(model))
        if apart:  # every row once a pass
            parts = [slice(start, None, copies) for start in range(copies)]
        else:
            parts = [slice(start, start + limit) for start in range(0, len(rows), limit)]
        gradients = [gradient(x[rows[part]], classes_[part], own[rows[part]])[1] for part in parts]
        every = ep.stack(gradients, axis=1) if apart else ep.concatenate(gradients)
        every = every.reshape((*classes.shape, self.gradient_draws, -1))
        return every.squeeze(axis=2) if self.gradient_draws == 1 else every.mean(axis=2)


def pick(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, columns, axis=1)


def boundaries(ahead: np.ndarray, gradients: ep.Tensor) -> tuple[np.ndarray, ep.Tensor]:
    """Signed distances to the linearised boundaries and their unit normals.

    Args:
        ahead: By how much each class has passed, negative where it hasn't, shape ``(batch, classes)``.
        gradients: Of the same, shape ``(batch, classes, pixels)``.

    Returns:
        Distances, negative where the class hasn't passed, minus infinity where no finite step gets
        there; and normals, zero at these.
    """
    norms = gradients.norms.l2(axis=-1)
    norms_ = norms.numpy().astype(np.float64)
    usable = np.isfinite(ahead) & np.isfinite(norms_) & (norms_ > 0)
    distances = np.where(usable, ahead, -np.inf) / np.where(usable, norms_, 1.0)
    usable_ = ep.from_numpy(gradients, usable).expand_dims(axis=-1)
    norms = ep.where(ep.from_numpy(norms, usable), norms, 1.0)
    return distances, ep.where(usable_, gradients, 0.0) / norms.expand_dims(axis=-1)


def nearest_region(distances: np.ndarray, normals: ep.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest step after which ``k`` of the linearised boundaries are passed at the same time.

    Tries every choice of k boundaries.

    Args:
        distances: Signed distances to the boundaries, negative before them, shape ``(batch, classes)``.
        normals: Their unit normals, shape ``(batch, classes, pixels)``.
        k: How many have to be passed, at most all.

    Returns:
        The step as weights of the normals, shape ``(batch, classes)``; and where there is no such
        step, booleans ``(batch,)``.
    """
    batch, classes = distances.shape
    cosines = [(normals * normals[:, c : c + 1]).sum(axis=-1).numpy() for c in range(classes)]
    choices = np.array(list(combinations(range(classes), k)))
    distance = distances[:, choices]
    cosine = np.stack(cosines, axis=1)[:, choices[:, :, None], choices[:, None, :]].astype(np.float64)

    reachable = np.isfinite(distance).all(axis=-1)
    multipliers = least_multipliers(np.where(reachable[:, :, None], distance - PAST, 0.0), cosine)
    lengths = np.einsum("bsi,bsij,bsj->bs", multipliers, cosine, multipliers)
    best = np.where(reachable, lengths, np.inf).argmin(axis=1)

    rows, weights = np.arange(batch), np.zeros((batch, classes))
    weights[rows[:, None], choices[best]] = multipliers[rows, best]
    return weights, ~reachable[rows, best]


def least_multipliers(distances: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Multipliers of the smallest r with ``distances + normals r >= 0``, by Hildreth's method.

    Minimises ``|r|^2 / 2`` over ``r = normals' multipliers``, one multiplier after the other: each is
    the exact one given the others. A single constraint is solved by the first sweep.

    Args:
        distances: Shape ``(..., k)``.
        cosines: The products of the constraints' unit normals, shape ``(..., k, k)``.

    Returns:
        Multipliers, at least 0, shape ``(..., k)``.
    """
    multipliers = np.zeros_like(distances)
    k = distances.shape[-1]
    for _ in range(SWEEPS if k > 1 else 1):
        before = multipliers.copy()
        for i in range(k):
            slack = distances[..., i] + (cosines[..., i, :] * multipliers).sum(axis=-1)
            multipliers[..., i] = np.maximum(0.0, multipliers[..., i] - slack)
        if np.abs(multipliers - before).max() <= 1e-6 * multipliers.max():
            break
    return multipliers
