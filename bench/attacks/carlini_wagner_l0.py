"""Carlini and Wagner's attack for the L0 norm: the L2 objective on fewer and fewer pixels.

Here belongs which pixels may still change. What the paper's other attacks need too is in ``carlini_wagner``.
"""

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion
from foolbox.devutils import flatten
from foolbox.distances import l0
from foolbox.models import Model

from .base import Progress, at, put, row_gradients, rowwise
from .carlini_wagner import Adam, CarliniWagnerAttack, column
from .criteria import take

WEIGHT = 3.0
"""What c is, as a multiple of the one that would do if the model were linear in the allowed pixels."""
LARGEST_GROWTH = 1e4
"""By how much c may grow until an image succeeds for the first time."""
LARGEST_C = 1e10
"""What c is where the gradient vanishes, for distances in units of the bounds' range."""
WINDOWS = 4
"""How often the hinge is looked at during ``steps`` passes, to give up sets that make no progress."""
PROGRESS = 0.98
"""What the hinge must fall below from one look to the next, as a share of itself."""


class CarliniWagnerL0Attack(CarliniWagnerAttack):
    """Carlini and Wagner's L0 attack, each image with a set of pixels and an end of its own. [#Carl17]_

    Minimises ``|x' - x|^2 + c max(margin(x') + confidence, 0)`` by Adam over the pixels that may still
    change, takes those away whose ``|g_i (x'_i - x_i)|`` is least, g being the margin's gradient, and
    starts again from there, until no smaller set succeeds. Returns the smallest set's image: of all
    images that the L2 attack on a set found, the one with the fewest changes. The margin is that of
    ``CarliniWagnerL2Attack``, for the same three criteria.

    As published (section VI-B): the objective, that choice, and the start where the last one ended.
    Otherwise:

    * A share of the pixels is taken at once, which halves where what is left fails; what was taken is
      then given back. Once it is a single pixel, the one that was missed stays for good and the next
      one is tried, until ``misses`` in a row have failed.
    * A set has succeeded at its first adversarial image, and ``settle`` more passes find out which of
      its pixels matter. It has failed when its hinge makes no progress, or after ``steps`` passes.
    * c is computed for each set, since fewer pixels need more of it. It grows tenfold after failures
      until the image has succeeded once.
    * The box is kept by clipping (the paper's section V-B has it beside the tanh): it leaves pixels
      exactly at a bound, where most of the last few end, and lets them return at once.

    What a pixel is, ``channel_axis`` says. By default it is one entry of the image, which is what the L0
    distance counts, Foolbox's and that of this attack's ``epsilons``. With an axis it is all entries
    along that axis, as in the paper and for colour images: these are fixed together, by the sum of
    their ``|g_i (x'_i - x_i)|``, and the smallest set is that of the fewest such pixels.

    With a number as epsilon, an image that takes more changed entries than that comes back as it was,
    without success: nobody says which of its changes to give up.

    Args:
        steps: Passes for one set of pixels, at most; at least 1. Default 60.
        settle: Passes for one set from its first success on, at least 1. Default 10; more find smaller
            sets, slowly.
        share: The share of the changed pixels that is taken first, in (0, 1]. Default 0.3.
        misses: Single pixels in a row without which an image must fail before it is given back,
            at least 1. Default 4.
        stepsize: Adam's, as a share of the bounds' range; above 0. Default 0.05.
        confidence: The margin in logits that is asked for, kappa; at least 0. Default 0.
        channel_axis: The images' axis of colour, counted as for Foolbox with the batch as axis 0, so
            that it is 1 for PyTorch's; or None. Default None.
        gradient_draws: Draws of the model that the hinge and its gradient are averaged over, at
            least 1. Default 1.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, and for any other criterion.

    References:
        .. [#Carl17] Nicholas Carlini, David Wagner, "Towards evaluating the robustness of neural
            networks", section VI-B, https://arxiv.org/abs/1608.04644
    """

    distance = l0

    def __init__(
        self,
        *,
        steps: int = 60,
        settle: int = 10,
        share: float = 0.3,
        misses: int = 4,
        stepsize: float = 0.05,
        confidence: float = 0.0,
        channel_axis: int | None = None,
        gradient_draws: int = 1,
        accept_draws: int = 1,
    ):
        super().__init__(
            steps=steps, confidence=confidence, gradient_draws=gradient_draws, accept_draws=accept_draws
        )
        for name, count in (("settle", settle), ("misses", misses)):
            if count < 1:
                raise ValueError(f"expected {name} to be at least 1, got {count}")
        if not 0 < share <= 1:
            raise ValueError(f"expected share to be in (0, 1], got {share}")
        if not 0 < stepsize < np.inf:
            raise ValueError(f"expected stepsize to be finite and above 0, got {stepsize}")
        if channel_axis is not None and channel_axis < 1:
            raise ValueError(f"expected channel_axis to be None or at least 1, got {channel_axis}")
        self.settle = settle
        self.share = share
        self.misses = misses
        self.stepsize = stepsize
        self.channel_axis = channel_axis

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
        if self.channel_axis is not None and self.channel_axis >= x.ndim:
            raise ValueError(f"expected channel_axis to be below {x.ndim}, got {self.channel_axis}")
        lower, upper = model.bounds
        range_ = upper - lower
        evaluate = row_gradients(model, x, criterion, self.hinge, self.gradient_draws)
        loss, logits, gradient = evaluate(x, np.arange(n), x)
        accepted = self.accept(model, x, criterion, logits, self.confidence)
        hinge = loss.numpy()

        sets = PixelSets(self._pixels(x.numpy()), self.share, self.misses)
        best, size, entries = x, np.where(accepted, 0.0, np.inf), np.where(accepted, 0.0, np.inf)
        # of the present set: by how much c has grown, c, the distance of the nearest success, passes
        # since the first one, the hinge when last looked at
        growth, c = np.ones(n), self._weights(hinge, gradient, range_)
        nearest, since = np.full(n, np.inf), np.zeros(n, dtype=int)
        before = np.full(n, np.inf)
        window = max(1, self.steps // WINDOWS)

        rows = np.flatnonzero(~accepted & np.isfinite(hinge))
        # start: where the present set's search began; found: its nearest success; slopes: the last
        # gradient that wasn't 0, which the hinge's is wherever it is satisfied
        x0 = w = start = found = x[rows]
        slopes, adam = gradient[rows], Adam(w)
        while len(rows):
            if progress is not None:
                progress(n - len(rows), n)
            mask = ep.from_numpy(x, sets.allowed[rows].reshape(len(rows), *self._shape(x.shape[1:])))
            z = ep.where(mask, w, x0)
            loss, logits, gradient = evaluate(z, rows, best)
            slopes = rowwise(loss > 0, gradient, slopes)
            r = z - x0
            norm = flatten(r).square().sum(axis=-1).sqrt().numpy()
            nearer = norm < nearest[rows]
            there, goal = at(model, best, rows), take(criterion, rows)
            held = self.accept(there, z, goal, logits, self.confidence, wanted=nearer)
            nearer &= held
            nearest[rows[nearer]] = norm[nearer]
            found = rowwise(ep.from_numpy(x, nearer), z, found)
            since[rows] += np.isfinite(nearest[rows])

            slope = ep.where(mask, 2 * r + column(x, c[rows], x.ndim) * gradient, 0.0)
            w = ep.clip(z - adam.step(slope, np.full(len(rows), self.stepsize * range_)), lower, upper)

            over, checked = adam.steps >= self.steps, adam.steps % window == 0
            stalled = checked & ~(loss.numpy() < PROGRESS * before[rows])
            before[rows] = np.where(checked, loss.numpy(), before[rows])
            done = np.isfinite(nearest[rows])
            succeeded = done & (over | (since[rows] >= self.settle))
            failed = ~done & (over | stalled)
            ended = succeeded | failed
            left = np.ones(len(rows), dtype=bool)
            if ended.any():
                fewer = self._record(rows, succeeded, found, x0, slopes, sets, size, entries)
                best = put(best, rows[fewer], found[np.flatnonzero(fewer)])
                start = rowwise(ep.from_numpy(x, succeeded), found, start)
                w = rowwise(ep.from_numpy(x, ended), start, w)

                first = failed & np.isinf(size[rows])
                growth[rows[first]] *= 10
                left[first] = growth[rows[first]] <= LARGEST_GROWTH
                sets.give_back(rows[failed & ~first])
                shrunk = ended & ~first
                left[shrunk] = sets.shrink(rows[shrunk])
                allowed = ep.from_numpy(x, sets.allowed[rows].reshape(mask.shape))
                weights = self._weights(hinge[rows], ep.where(allowed, slopes, 0.0), range_)
                c[rows[ended]] = (growth[rows] * weights)[ended]
                nearest[rows[ended]], since[rows[ended]], before[rows[ended]] = np.inf, 0, np.inf
                adam.restart(ended)

            if early_stop is not None:
                left &= entries[rows] > early_stop
            if not left.all():
                kept = np.flatnonzero(left)
                rows = rows[kept]
                x0, w, start, found, slopes = (t[kept] for t in (x0, w, start, found, slopes))
                adam.keep(kept)
        if progress is not None:
            progress(n, n)
        return best, ep.from_numpy(x, np.isfinite(size))

    def _record(
        self,
        rows: np.ndarray,
        succeeded: np.ndarray,
        found: ep.Tensor,
        x0: ep.Tensor,
        slopes: ep.Tensor,
        sets: "PixelSets",
        size: np.ndarray,
        entries: np.ndarray,
    ) -> np.ndarray:
        """Takes note of the sets that succeeded; which of the rows have fewer pixels than ever, booleans."""
        fewer, those = np.zeros(len(rows), dtype=bool), np.flatnonzero(succeeded)
        if len(those):
            r = found[those].numpy() - x0[those].numpy()
            changed = self._pixels(r != 0) > 0
            sets.succeed(rows[those], changed, self._pixels(np.abs(r * slopes[those].numpy())))
            fewer[those] = changed.sum(axis=-1) < size[rows[those]]
            size[rows[fewer]] = changed.sum(axis=-1)[fewer[those]]
            entries[rows[fewer]] = (r != 0).reshape(len(r), -1).sum(axis=-1)[fewer[those]]
        return fewer

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """An image's shape, with 1 for the axis whose entries are one pixel."""
        return tuple(1 if axis == self.channel_axis else size for axis, size in enumerate(shape, 1))

    def _pixels(self, values: np.ndarray) -> np.ndarray:
        """The sum over each pixel's entries, shape ``(rows, pixels)``."""
        if self.channel_axis is not None:
            values = values.sum(axis=self.channel_axis)
        return values.reshape(len(values), -1)

    @staticmethod
    def _weights(hinge: np.ndarray, slopes: ep.Tensor, range_: float) -> np.ndarray:
        """c for pixels with this gradient."""
        squared = np.maximum(flatten(slopes).square().sum(axis=-1).numpy().astype(float), 1e-30)
        return np.minimum(WEIGHT * 2 * hinge / squared, LARGEST_C * range_**2)


class PixelSets:
    """Which pixels of each image may change, and which to take away next.

    Attributes:
        allowed: Pixels that may change now, booleans ``(images, pixels)``.

    Args:
        like: Has the shape ``(images, pixels)``.
        share: The share of the pixels that is taken first.
        misses: How many single pixels in a row may turn out to be needed.
    """

    def __init__(self, like: np.ndarray, share: float, misses: int):
        self.allowed = np.ones(like.shape, dtype=bool)
        self.proven, self.needed = self.allowed.copy(), ~self.allowed
        self.importance = np.zeros(like.shape)
        self.share, self.missed = np.full(len(like), share), np.zeros(len(like), dtype=int)
        self.misses = misses

    def succeed(self, rows: np.ndarray, changed: np.ndarray, importance: np.ndarray) -> None:
        """The allowed pixels of these images do; of them, these changed, and mattered that much."""
        self.proven[rows], self.importance[rows] = changed, importance
        self.missed[rows] = 0

    def give_back(self, rows: np.ndarray) -> None:
        """The allowed pixels of these images don't do, so that fewer are taken next."""
        taken = self.proven[rows] & ~self.allowed[rows]
        single = taken.sum(axis=-1) == 1
        self.needed[rows[single]] |= taken[single]
        self.missed[rows] += single
        self.share[rows] = np.where(single, self.share[rows], self.share[rows] / 2)

    def shrink(self, rows: np.ndarray) -> np.ndarray:
        """Takes the least important pixels of these images; whether there are any to be tried, booleans."""
        candidates = self.proven[rows] & ~self.needed[rows]
        count = np.maximum(1, (self.share[rows] * self.proven[rows].sum(axis=-1)).astype(int))
        ranks = np.where(candidates, self.importance[rows], np.inf).argsort(axis=-1).argsort(axis=-1)
        taken = candidates & (ranks < count[:, None])
        self.allowed[rows] = self.proven[rows] & ~taken
        possible: np.ndarray = taken.any(axis=-1) & (self.missed[rows] < self.misses)
        return possible
