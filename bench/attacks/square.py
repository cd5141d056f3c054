"""The Square attack: a random search that changes one square of the image at a time, without gradients.

Here belong its squares and their schedule. How iterates are judged and kept is in ``ball``.
"""

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, TargetedMisclassification
from foolbox.devutils import flatten

from .ball import BallAttack, Loss, Search, beside, draw
from .base import mean_cross_entropy, repeat, rowwise
from .criteria import margin, odds_against, take

SCHEDULE = (
    (10, 2), (50, 4), (200, 8), (500, 16), (1000, 32), (2000, 64), (4000, 128), (6000, 256), (8000, 512)
)  # fmt: skip
"""After so many of 10,000 steps, the share of the image that a square covers is divided by so much."""
TINY = 1e-10
SAME = 1e-4
"""By how much of epsilon rounding may make a square differ from what was there."""


class SquareAttack(BallAttack):
    """Square attack in a ball, for random models and others. [#Andr20]_

    As published: each step proposes a change in one square at a random place, with a random sign for each
    colour, and takes it if the loss is lower. In the Linf ball (Algorithm 2) the square is set to plus or
    minus epsilon, and the search starts from vertical stripes of that. In the L2 ball (Algorithm 3) a
    square takes the budget of another, in a pattern of two halves with a peak each, and the search starts
    from a grid of such. The side of the square shrinks with the published schedule, whatever ``steps``.
    Otherwise:

    * The incumbent is drawn again whenever it is compared, ``redraw``: on a random model one that was kept
      for a lucky draw would stay for good.
    * The margin is clipped from below at ``-confidence`` on each draw, as for ``RandomizedPGDAttack``. On a
      deterministic model that changes nothing, since an image leaves when it is fooled.
    * Each image has a square and a pattern of its own, at any place where it fits. A square that would
      change nothing has its signs turned.
    * Each search begins with a look at the image itself.

    The loss is that margin, of the criterion; targeted it is the target's cross-entropy. The search has one
    restart for each starting point, if there are any, from there instead of the stripes.

    Which iterate is kept, when images leave, what is claimed, what comes back of images without a claim,
    and what else the call takes: see ``BallAttack``.

    Args:
        norm: ``linf`` or ``l2``. Default ``linf``.
        steps: Proposals for each image, at least 1. Default 1000.
        draws: Draws of the model that a loss is the mean of, at least 1. Default 1.
        p_init: The share of the image that the first square covers, in (0, 1]. Default 0.8.
        redraw: Whether the incumbent is drawn again for each comparison; False for a deterministic model,
            where it doubles the passes for nothing. Default True.
        confidence: Where the margin is clipped, in logits, at least 0. Default 0.
        channel_axis: The images' axis of colour, 1 or 3. Default 1.
        held_out_draws: Draws that an iterate is judged on, at least 1, and 1 for a deterministic model.
            Default 20.
        checkpoints: How many iterates of each restart are, at least 2. Default 15.
        leave_draws: Draws that must all be fooled before an image leaves, at least 1. Default 50.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, for inputs that aren't images of three axes, for any
            other criterion, and for None in epsilons.

    References:
        .. [#Andr20] Maksym Andriushchenko, Francesco Croce, Nicolas Flammarion, Matthias Hein, "Square
            attack: a query-efficient black-box adversarial attack via random search",
            https://arxiv.org/abs/1912.00049
    """

    def __init__(
        self,
        *,
        norm: str = "linf",
        steps: int = 1000,
        draws: int = 1,
        p_init: float = 0.8,
        redraw: bool = True,
        confidence: float = 0.0,
        channel_axis: int = 1,
        held_out_draws: int = 20,
        checkpoints: int = 15,
        leave_draws: int = 50,
        accept_draws: int = 1,
    ):
        super().__init__(
            norm=norm,
            steps=steps,
            confidence=confidence,
            held_out_draws=held_out_draws,
            checkpoints=checkpoints,
            leave_draws=leave_draws,
            gradient_draws=1,
            accept_draws=accept_draws,
        )
        if draws < 1:
            raise ValueError(f"expected draws to be at least 1, got {draws}")
        if not 0 < p_init <= 1:
            raise ValueError(f"expected p_init to be in (0, 1], got {p_init}")
        if channel_axis not in (1, 3):
            raise ValueError(f"expected channel_axis to be 1 or 3, got {channel_axis}")
        self.draws = draws
        self.p_init = p_init
        self.redraw = redraw
        self.channel_axis = channel_axis

    def search(self, search: Search, starts: list[ep.Tensor]) -> None:
        if search.x.ndim != 4:
            raise ValueError(f"expected images of three axes, got inputs of shape {tuple(search.x.shape)}")
        loss = self._loss(search.criterion)
        every = search.rows
        logits = draw(search.model, search.x, 1) if self.own_pass else None
        search.look(every, search.x, search.criterion, loss, logits)
        for restart, start in enumerate(starts or [None]):
            rows = search.rows
            if not len(rows):
                break
            squares = Squares(search, self.norm, self.channel_axis)
            z = squares.first(rows) if start is None else search.inside(rows, start[rows])
            self._climb(search, squares, rows, z, loss, restart * self.steps)

    def _climb(
        self, search: Search, squares: "Squares", rows: np.ndarray, best: ep.Tensor, loss: Loss, before: int
    ) -> None:
        """One restart, from ``best``, after so many steps of others."""
        tried, lowest = best, None
        for step in range(self.steps + 1):
            if step:
                tried = squares.proposed(rows, best, covered(self.p_init, step - 1, self.steps))
            losses, logits = self._losses(search, rows, tried, loss)
            if lowest is None:
                lowest = losses
            else:
                if self.redraw:
                    lowest = self._losses(search, rows, best, loss)[0]
                better = losses < lowest
                best = rowwise(ep.from_numpy(best, better), tried, best)
                lowest = np.where(better, losses, lowest)
            shown = tried if self.own_pass else best
            if self.own_pass or step in self.looks:
                look = search.look(rows, shown, search.criterion, loss, logits if self.own_pass else None)
                if step in self.looks:
                    search.tell(before + step, rows, look, shown)
            left = np.flatnonzero(~search.finished[rows])
            if not len(left):
                break
            if len(left) < len(rows):
                rows, best, lowest = rows[left], best[left], lowest[left]

    def _losses(
        self, search: Search, rows: np.ndarray, z: ep.Tensor, loss: Loss
    ) -> tuple[np.ndarray, ep.Tensor]:
        """The mean loss of each row on draws of this pass, and their logits."""
        logits = draw(search.at(rows), z, self.draws)
        criterion = repeat(take(search.criterion, rows), len(rows), self.draws)
        return loss.mean(loss.each(criterion, logits), self.draws).numpy(), logits

    def _loss(self, criterion: Criterion) -> Loss:
        if isinstance(criterion, TargetedMisclassification):
            return Loss(lambda goal, logits: odds_against(logits, goal.target_classes), mean_cross_entropy)  # type: ignore[attr-defined]
        return Loss(lambda goal, logits: ep.maximum(margin(goal, logits), -self.confidence))


class Squares:
    """What is proposed to the images of one search, from NumPy's global generator.

    Changes are arrays with the axis of colour second, of length 1 where all colours share them.
    """

    def __init__(self, search: Search, norm: str, channel_axis: int):
        self.search, self.linf, self.axis = search, norm == "linf", channel_axis
        self.places = (2, 3) if channel_axis == 1 else (1, 2)
        self.channels = search.x.shape[channel_axis]
        self.height, self.width = (search.x.shape[axis] for axis in self.places)

    def first(self, rows: np.ndarray) -> ep.Tensor:
        """Vertical stripes (Linf), or a grid of peaks (L2), around the images of these rows."""
        x, n = self.search.x[rows], len(rows)
        if self.linf:
            stripes = signs(n, self.channels, 1, self.width)
            return self._set(rows, x, np.ones((n, 1, self.height, self.width)), stripes)
        side = max(1, min(self.height, self.width) // 5)
        grid = np.zeros((n, self.channels, self.height, self.width))
        for top in range((self.height % side) // 2, self.height - side + 1, side):
            for left in range((self.width % side) // 2, self.width - side + 1, side):
                placed = self._placed(np.full(n, top), np.full(n, left), turned(peaks(side), n))
                grid += placed * signs(n, self.channels, 1, 1)
        return self._at_epsilon(rows, self._tensor(grid))

    def proposed(self, rows: np.ndarray, best: ep.Tensor, share: float) -> ep.Tensor:
        """The incumbents of these rows with a change of one square, which covers this share of the image."""
        side = round((share * self.height * self.width) ** 0.5)
        return self._flipped(rows, best, side) if self.linf else self._shifted(rows, best, side)

    def _flipped(self, rows: np.ndarray, best: ep.Tensor, side: int) -> ep.Tensor:
        side = max(1, min(side, self.height - 1, self.width - 1))
        window, sign = self._window(len(rows), side), signs(len(rows), self.channels, 1, 1)
        tried = self._set(rows, best, window, sign)
        idle = flatten(tried - best).abs().max(axis=-1) <= SAME * self.search.epsilon
        return rowwise(idle, self._set(rows, best, window, -sign), tried) if idle.any() else tried

    def _set(self, rows: np.ndarray, best: ep.Tensor, window: np.ndarray, sign: np.ndarray) -> ep.Tensor:
        """The incumbents with what is in the window at epsilon from the images, by these signs."""
        moved = self.search.x[rows] + self.search.epsilon * self._tensor(sign)
        return self.search.inside(rows, ep.where(self._tensor(window) > 0, moved, best))

    def _shifted(self, rows: np.ndarray, best: ep.Tensor, side: int) -> ep.Tensor:
        side = min(max(3, side + 1 - side % 2), self.height, self.width)
        n, epsilon = len(rows), self.search.epsilon
        tops, lefts = self._corners(n, side)
        there = self._tensor(self._placed(tops, lefts, np.ones((n, side, side))))
        other = self._tensor(self._window(n, side))
        peak = self._placed(tops, lefts, turned(peaks(side), n)) * signs(n, self.channels, 1, 1)

        delta = best - self.search.x[rows]
        new = self._tensor(peak) + delta * there / (self._size(delta * there) + TINY)
        # what the image has left of its budget, and what both squares have of it
        budget = ep.maximum(epsilon**2 - delta.square().sum(axis=(1, 2, 3), keepdims=True), 0.0)
        both = self._size(delta * ep.maximum(there, other))
        new = new / (self._size(new) + TINY) * (budget / self.channels + both.square()).sqrt()
        return self._at_epsilon(rows, new + delta * (1 - there) * (1 - other))

    def _at_epsilon(self, rows: np.ndarray, delta: ep.Tensor) -> ep.Tensor:
        """The images of these rows, moved so far in these directions."""
        norm = delta.square().sum(axis=(1, 2, 3), keepdims=True).sqrt()
        return self.search.inside(rows, self.search.x[rows] + self.search.epsilon * delta / (norm + TINY))

    def _size(self, delta: ep.Tensor) -> ep.Tensor:
        """The L2 norm of each colour."""
        return delta.square().sum(axis=self.places, keepdims=True).sqrt()

    def _window(self, n: int, side: int) -> np.ndarray:
        return self._placed(*self._corners(n, side), np.ones((n, side, side)))

    def _corners(self, n: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        tops = np.random.randint(0, self.height - side + 1, n)  # noqa: NPY002
        return tops, np.random.randint(0, self.width - side + 1, n)  # noqa: NPY002

    def _placed(self, tops: np.ndarray, lefts: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """Squares ``(rows, side, side)`` at these corners of zeros, shape ``(rows, 1, height, width)``."""
        n, along = len(squares), np.arange(squares.shape[-1])
        placed = np.zeros((n, 1, self.height, self.width))
        across, down = lefts[:, None, None] + along, tops[:, None, None] + along[:, None]
        placed[np.arange(n)[:, None, None], 0, down, across] = squares
        return placed

    def _tensor(self, values: np.ndarray) -> ep.Tensor:
        return beside(self.search.x, np.moveaxis(values, 1, self.axis))


def signs(*shape: int) -> np.ndarray:
    """Minus or plus one, at random."""
    return np.random.choice([-1.0, 1.0], size=shape)  # noqa: NPY002


def turned(square: np.ndarray, n: int) -> np.ndarray:
    """The square, or itself transposed, at random, so many times: shape ``(n, side, side)``."""
    return np.where(np.random.random((n, 1, 1)) < 0.5, square, square.T)  # noqa: NPY002


def peaks(side: int) -> np.ndarray:
    """A square of two halves, of opposite signs and with a peak in each, at L2 norm 1."""
    half = side // 2
    values = np.concatenate([peak(half, side), -peak(side - half, side)])
    return values / np.linalg.norm(values)


def peak(height: int, width: int) -> np.ndarray:
    """Rectangles around the middle, each 1 / k^2 for the k-th, at L2 norm 1: shape ``(height, width)``."""
    values = np.zeros((height, width))
    for k in range(max(height, width) // 2 + 1):
        top, left = height // 2 - k, width // 2 - k
        values[max(top, 0) : top + 2 * k + 1, max(left, 0) : left + 2 * k + 1] += 1 / (k + 1) ** 2
    return values / max(float(np.linalg.norm(values)), TINY)


def covered(p_init: float, step: int, steps: int) -> float:
    """The share of the image that a step's square covers, by the published schedule for 10,000 steps."""
    at = step * 10_000 // steps
    return p_init / max([1, *(divisor for after, divisor in SCHEDULE if at > after)])
