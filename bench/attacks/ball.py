"""What attacks in a ball of a given epsilon share: which iterate is kept, by draws that only judge.

Here belong the ball, the looks at iterates on held-out draws, which rows leave, and what is claimed. How an
attack moves does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion
from foolbox.devutils import flatten
from foolbox.distances import l2, linf
from foolbox.models import Model

from .base import BatchAttack, Progress, at, draws_are_passes, mean_draws, pass_draws, put, repeat
from .criteria import holds, margin, take

Trace = Callable[[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, Any], object]
"""Called at each checkpoint: how many steps there were by then, all restarts together; rows of the batch; of
each the mean loss, the share of draws fooled, and the mean margin, unclipped, on the draws of that look; and
their iterates, of the shape and kind of the inputs."""

NORMS = {"linf": linf, "l2": l2}

# A look at many draws is cut into passes of so many images, or of the batch where that is more: more memory
# at once gains nothing.
LARGEST_PASS = 256


class Loss(NamedTuple):
    """What is descended.

    Attributes:
        each: Of a criterion and logits, the loss of each row.
        mean: Of the losses of every draw, and how many draws there are, the loss of each row.
    """

    each: Callable[[Criterion, ep.Tensor], ep.Tensor]
    mean: Callable[[ep.Tensor, int], ep.Tensor] = mean_draws


class Look(NamedTuple):
    """What draws said of some rows, arrays of shape ``(rows,)``.

    Attributes:
        share: Of the draws, how many were fooled, in [0, 1].
        loss: Mean loss; infinite where it isn't a number.
        error: The standard error of the mean loss; 0 for one draw.
        tie: The same by the attack's own criterion, where the loss is that of another goal.
        margin: Mean margin in logits, unclipped.
    """

    share: np.ndarray
    loss: np.ndarray
    error: np.ndarray
    tie: np.ndarray
    margin: np.ndarray


class BallAttack(BatchAttack, ABC):
    """An attack in a ball of fixed epsilon that keeps of each image the iterate that fools most draws.

    An iterate is judged on *held-out* draws: fresh ones, which no gradient and no comparison has used. A
    search that keeps what succeeded on the draws it searched with keeps what was lucky. Of each image the
    iterate is kept that fools most of ``held_out_draws``; of those that fool as many, the one with the
    lowest mean loss. An image leaves once ``leave_draws`` of ``leave_draws`` are fooled.

    Every row comes back at its kept iterate, claimed or not, since it is fresh draws that score it: on a
    random model most images are fooled by a share of the draws. A row is claimed where its kept iterate holds
    on ``accept_draws`` draws, fresh once more, every one.

    With ``held_out_draws=1`` every iterate is judged by its own pass, none is passed twice, an image leaves
    at its first success, and with ``accept_draws=1`` that pass is the claim: all of which is right for a
    deterministic model, and luck on a random one.

    At the call it takes, besides what Foolbox's attacks do:

    * ``starting_points``: images to start from, of the shape of the inputs, or with one more leading axis
      for several. Each is a restart; they are first drawn into the ball and the bounds.
    * ``trace``: a function called at each checkpoint, see ``Trace``.

    It draws from NumPy's global generator, on every backend.

    Args:
        norm: ``linf`` or ``l2``: that of the ball.
        held_out_draws: Draws that an iterate is judged on, at least 1.
        checkpoints: How many iterates of each restart are, evenly spaced, the first and the last of them
            included; at least 2.
        leave_draws: Draws that must all be fooled before an image leaves, at least 1.
        gradient_draws: As for ``BatchAttack``.
        accept_draws: As for ``BatchAttack``.
    """

    distance = linf

    def __init__(
        self,
        *,
        norm: str,
        steps: int,
        confidence: float,
        held_out_draws: int,
        checkpoints: int,
        leave_draws: int,
        gradient_draws: int,
        accept_draws: int,
    ):
        super().__init__(gradient_draws=gradient_draws, accept_draws=accept_draws)
        if norm not in NORMS:
            raise ValueError(f"expected norm to be one of {', '.join(NORMS)}, got {norm}")
        for name, count, least in (
            ("steps", steps, 1),
            ("held_out_draws", held_out_draws, 1),
            ("checkpoints", checkpoints, 2),
            ("leave_draws", leave_draws, 1),
        ):
            if count < least:
                raise ValueError(f"expected {name} to be at least {least}, got {count}")
        if not 0 <= confidence < np.inf:
            raise ValueError(f"expected confidence to be finite and at least 0, got {confidence}")
        self.norm = norm
        self.distance = NORMS[norm]
        self.steps = steps
        self.confidence = confidence
        self.held_out_draws = held_out_draws
        self.leave_draws = leave_draws
        self.looks = frozenset(np.linspace(0, steps, checkpoints).round().astype(int).tolist())

    @property
    def own_pass(self) -> bool:
        """Whether every iterate is judged by its own pass."""
        return self.held_out_draws == 1

    @abstractmethod
    def search(self, search: "Search", starts: list[ep.Tensor]) -> None:
        """The algorithm: shows iterates to ``search``, which keeps the best and says who has left.

        Args:
            search: The images, and what is kept of each.
            starts: What to start from, each of the shape of the images; may be empty.
        """

    def minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        *,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        raw, _, claimed = self._attack(model, x, criterion, [early_stop], progress)[0]
        return raw, claimed

    def _attack(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Any,
        epsilons: list[float | None],
        progress: Progress | None,
        starting_points: Any = None,
        trace: Trace | None = None,
    ) -> list[tuple[ep.Tensor, ep.Tensor, ep.Tensor]]:
        criterion = self._checked(model, x, criterion)
        starts = several(x, starting_points)
        results = []
        for epsilon in epsilons:
            if epsilon is None:
                raise ValueError(f"{type(self).__name__} does not support None in epsilons")
            if not 0 <= epsilon < np.inf:
                raise ValueError(f"expected epsilons to be finite and at least 0, got {epsilon}")
            search = Search(self, model, x, criterion, epsilon, progress, trace)
            self.search(search, starts)
            search.done()
            fooled = search.share > 0
            again = fooled & (not self.own_pass or self.accept_draws > 1)
            claimed = self._claimed(model, search.images, criterion, fooled, again)
            results.append((search.images, search.images, claimed))
        return results


class Search:
    """Of each image the iterate that fools most held-out draws, and which images have left.

    Attributes:
        x: The images, shape ``(batch, ...)``.
        images: The kept iterates, of the same shape; those of the images where none was shown yet.
        share: Of the draws that a kept iterate was judged on, how many it fooled; -1 where none was shown.
        loss: Its mean loss on them.
        finished: Which images have left, booleans ``(batch,)``.
    """

    def __init__(
        self,
        attack: BallAttack,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        epsilon: float,
        progress: Progress | None,
        trace: Trace | None,
    ):
        self.attack, self.model, self.x, self.criterion = attack, model, x, criterion
        self.epsilon, self.progress, self.trace = epsilon, progress, trace
        self.images = x
        self.share, self.loss = np.full(len(x), -1.0), np.full(len(x), np.inf)
        self.finished = np.zeros(len(x), dtype=bool)

    @property
    def rows(self) -> np.ndarray:
        """Which images are left."""
        return np.flatnonzero(~self.finished)

    def at(self, rows: np.ndarray) -> Model:
        """What gives the logits of images of these rows, as ``base.at`` does."""
        return at(self.model, self.images, rows)

    def inside(self, rows: np.ndarray, z: ep.Tensor) -> ep.Tensor:
        """Images of these rows, drawn into the ball and the bounds."""
        return ep.clip(
            self.attack.distance.clip_perturbation(self.x[rows], z, self.epsilon), *self.model.bounds
        )

    def random(self, rows: np.ndarray) -> ep.Tensor:
        """Points that are uniform in the ball around these rows, clipped to the bounds."""
        x = self.x[rows]
        shape = flatten(x).shape
        if self.attack.norm == "linf":
            r = np.random.uniform(-1, 1, shape)  # noqa: NPY002  # what a caller can seed on every backend
        else:
            # of a sphere with two more dimensions any n coordinates are uniform in the ball
            sphere = np.random.normal(size=(shape[0], shape[1] + 2))  # noqa: NPY002
            r = (sphere / np.linalg.norm(sphere, axis=1, keepdims=True))[:, :-2]
        return self.inside(rows, x + self.epsilon * beside(x, r.reshape(x.shape)))

    def look(
        self,
        rows: np.ndarray,
        z: ep.Tensor,
        goal: Criterion,
        loss: Loss,
        logits: ep.Tensor | None = None,
    ) -> Look:
        """Judges iterates, keeps them where they are the best so far, and lets rows leave.

        Args:
            rows: Which, integers.
            z: An iterate of each, shape ``(rows, ...)``.
            goal: What the loss is of, for the whole batch.
            loss: What is descended.
            logits: What to judge by, as ``pass_draws`` returns it, with one draw or more; None: held-out
                draws are made.
        """
        model = self.at(rows)
        if logits is not None:
            look = self._figures(rows, logits, goal, loss)
        else:
            draws = self.attack.held_out_draws
            look = self._figures(rows, draw(model, z, draws), goal, loss)
            sure, more = np.flatnonzero(look.share == 1), self.attack.leave_draws - draws
            if len(sure) and more > 0:
                there = at(model, z, sure)
                again = self._figures(rows[sure], draw(there, z[sure], more), goal, loss)
                for first, second in zip(look, again, strict=True):
                    first[sure] = (draws * first[sure] + more * second) / (draws + more)
        self._keep(rows, z, look)
        return look

    def tell(self, step: int, rows: np.ndarray, look: Look, z: ep.Tensor) -> None:
        """Tells who follows the search of a look at iterates."""
        if self.trace is not None:
            self.trace(step, rows, look.loss, look.share, look.margin, z.raw)

    def done(self) -> None:
        """Says that all are finished."""
        if self.progress is not None:
            self.progress(len(self.x), len(self.x))

    def _figures(self, rows: np.ndarray, logits: ep.Tensor, goal: Criterion, loss: Loss) -> Look:
        n = len(rows)
        draws = len(logits) // n
        own, aim = (repeat(take(c, rows), n, draws) for c in (self.criterion, goal))
        each = loss.each(aim, logits)
        lost = loss.mean(each, draws).numpy().astype(float)
        tie = loss.mean(loss.each(own, logits), draws).numpy().astype(float)
        spread = each.numpy().reshape(draws, n).std(axis=0, ddof=1) if draws > 1 else np.zeros(n)
        return Look(
            share=holds(own, logits).numpy().reshape(draws, n).mean(axis=0),
            loss=np.where(np.isnan(lost), np.inf, lost),
            error=spread / np.sqrt(draws),
            tie=np.where(np.isnan(tie), np.inf, tie),
            margin=mean_draws(margin(own, logits), draws).numpy().astype(float),
        )

    def _keep(self, rows: np.ndarray, z: ep.Tensor, look: Look) -> None:
        better = beats(look.share, look.tie, self.share[rows], self.loss[rows])
        self.images = put(self.images, rows[better], z[np.flatnonzero(better)])
        self.share[rows] = np.where(better, look.share, self.share[rows])
        self.loss[rows] = np.where(better, look.tie, self.loss[rows])
        self.finished[rows] |= look.share == 1
        if self.progress is not None:
            self.progress(int(self.finished.sum()), len(self.x))


def beats(share: np.ndarray, loss: np.ndarray, than_share: np.ndarray, than_loss: np.ndarray) -> np.ndarray:
    """Where more draws are fooled, or as many at a lower loss."""
    return (share > than_share) | ((share == than_share) & (loss < than_loss))


def draw(model: Model, x: ep.Tensor, draws: int) -> ep.Tensor:
    """What ``pass_draws`` gives, in passes that aren't larger than they need be."""
    at_once = draws if draws_are_passes(model) else max(1, LARGEST_PASS // len(x))
    counts = [min(at_once, draws - done) for done in range(0, draws, at_once)]
    return ep.concatenate([pass_draws(model, x, count) for count in counts])


def several(x: ep.Tensor, starting_points: Any) -> list[ep.Tensor]:
    """The starting points one by one, each of the shape of the images.

    Raises:
        ValueError: if they are of another shape.
    """
    if starting_points is None:
        return []
    points = ep.astensor(starting_points)
    if points.shape == x.shape:
        return [points]
    if points.shape[1:] == x.shape:
        return [points[i] for i in range(len(points))]
    raise ValueError(
        f"expected starting_points to have shape {tuple(x.shape)}, or one more leading axis, "
        f"got {tuple(points.shape)}"
    )


def beside(x: ep.Tensor, values: np.ndarray) -> ep.Tensor:
    """An array as a tensor of the kind and precision of ``x``."""
    return ep.from_numpy(x, values.astype(np.float32)).astype(x.dtype)
