"""Projected gradient descent for models that draw: gradients of a draw or a few, and looks at many.

Here belong its losses, its momentum and its step sizes. How iterates are judged and kept is in ``ball``.
"""

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, Misclassification, TargetedMisclassification
from foolbox.devutils import atleast_kd, flatten

from .ball import BallAttack, Look, Loss, Search, beats, draw
from .base import mean_cross_entropy, pass_draws, row_gradients, rowwise
from .carlini_wagner import column
from .criteria import Overtaken, margin, odds_against, unsupported, without

LOSSES = ("margin", "multi_targeted", "cross_entropy", "dlr")
TINY = 1e-12
CHANCE = 2.0
"""By how many standard errors a mean loss must be above the lowest before that isn't chance."""


class RandomizedPGDAttack(BallAttack):
    """Projected gradient descent in a ball, for random models and others. [#Madr17]_

    ``x' = project(x + size * direction)``, the direction being the sign of the velocity (Linf), or the
    velocity at length 1 (L2). The velocity is the mean of several, ``v_i = mu_i v_i + g``, one for each of
    ``momenta`` [#Luca18]_, as Sitawarin et al. use it against random transformations [#Sita22]_; g is the
    gradient, each image's scaled to a sum of absolute values of 1. On a random model a velocity is a mean
    over the draws of many steps, so that many steps with one draw each do as well as few with many.

    The loss is that of the criterion, descended:

    * ``margin``: how far in logits the criterion is from holding, but no less than ``-confidence`` on each
      draw: a draw that is fooled already pulls no more. Without that the mean over draws may be lowest
      where a few are fooled by far, and what fools them all is missed.
    * ``multi_targeted``: restart r descends the margin to the r-th likeliest other class of the image, by
      the mean log-probability of ``held_out_draws``, and starts over with the first where there are no
      more; for ``Misclassification``. [#Gowa19]_
    * ``cross_entropy``: the label's upwards or the target's downwards. Where a model is so confident that
      it underflows, its logarithm.
    * ``dlr``: the margin, unclipped, over the difference of the largest and the third largest output;
      targeted, over that of the largest and the mean of the third and the fourth [#Croc20]_, the margin
      then being to the largest other class instead of the label's. Not for top-k; of three classes at
      least, targeted four.

    Restart r starts at the r-th starting point, or the first at the image if there are none, and all others
    uniformly in the ball. Where at a checkpoint an image's mean loss on held-out draws is no lower than the
    lowest of its restart by more than chance (two standard errors), its step size halves, and it goes on
    from the restart's best iterate with its velocities at 0.

    Which iterate is kept, when images leave, what is claimed, what comes back of images without a claim,
    and what else the call takes: see ``BallAttack``.

    Args:
        norm: ``linf`` or ``l2``. Default ``linf``.
        loss: ``margin``, ``multi_targeted``, ``cross_entropy`` or ``dlr``. Default ``margin``.
        steps: Gradient steps of each restart, at least 1. Default 200.
        restarts: At least 1; more where more starting points are given. Default 1.
        rel_stepsize: The first step size, as a share of epsilon; above 0. Default 0.25.
        momenta: Of each velocity mu, in [0, 1); at least one. Default 0, 0.9 and 0.99.
        confidence: Where the margin is clipped, in logits, at least 0. Default 0.
        gradient_draws: Draws of the model that each gradient is averaged over, at least 1. Default 1.
        held_out_draws: Draws that an iterate is judged on, at least 1, and 1 for a deterministic model.
            Default 20.
        checkpoints: How many iterates of each restart are, at least 2. Default 15.
        leave_draws: Draws that must all be fooled before an image leaves, at least 1. Default 50.
        accept_draws: Draws on which an image must be adversarial, every one, at least 1. Default 1.

    Raises:
        ValueError: for a parameter outside its range, for a criterion that the loss isn't meant for, for
            too few classes, and for None in epsilons.

    References:
        .. [#Madr17] Aleksander Madry et al., "Towards deep learning models resistant to adversarial
            attacks", https://arxiv.org/abs/1706.06083
        .. [#Luca18] James Lucas, Shengyang Sun, Richard Zemel, Roger Grosse, "Aggregated momentum:
            stability through passive damping", https://arxiv.org/abs/1804.00325
        .. [#Sita22] Chawin Sitawarin, Zachary Golan-Strieb, David Wagner, "Demystifying the adversarial
            robustness of random transformation defenses", https://arxiv.org/abs/2207.03574
        .. [#Gowa19] Sven Gowal et al., "An alternative surrogate loss for PGD-based adversarial testing",
            https://arxiv.org/abs/1910.09338
        .. [#Croc20] Francesco Croce, Matthias Hein, "Reliable evaluation of adversarial robustness with an
            ensemble of diverse parameter-free attacks", https://arxiv.org/abs/2003.01690
    """

    def __init__(
        self,
        *,
        norm: str = "linf",
        loss: str = "margin",
        steps: int = 200,
        restarts: int = 1,
        rel_stepsize: float = 0.25,
        momenta: tuple[float, ...] = (0.0, 0.9, 0.99),
        confidence: float = 0.0,
        gradient_draws: int = 1,
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
            gradient_draws=gradient_draws,
            accept_draws=accept_draws,
        )
        if loss not in LOSSES:
            raise ValueError(f"expected loss to be one of {', '.join(LOSSES)}, got {loss}")
        if restarts < 1:
            raise ValueError(f"expected restarts to be at least 1, got {restarts}")
        if not 0 < rel_stepsize < np.inf:
            raise ValueError(f"expected rel_stepsize to be finite and above 0, got {rel_stepsize}")
        if not len(momenta) or not all(0 <= mu < 1 for mu in momenta):
            raise ValueError(f"expected momenta to be in [0, 1), at least one, got {momenta}")
        self.loss = loss
        self.restarts = restarts
        self.rel_stepsize = rel_stepsize
        self.momenta = tuple(momenta)

    def check_criterion(self, criterion: Criterion) -> None:
        allowed: tuple[type[Criterion], ...] = (Criterion,)
        if self.loss == "multi_targeted":
            allowed = (Misclassification,)
        elif self.loss == "dlr":
            allowed = (Misclassification, TargetedMisclassification)
        if not isinstance(criterion, allowed):
            raise unsupported(criterion)

    def search(self, search: Search, starts: list[ep.Tensor]) -> None:
        x, loss = search.x, self._loss(search.criterion)
        starts = starts or [x]
        rivals = self._rivals(search) if self.loss == "multi_targeted" else None
        for restart in range(max(self.restarts, len(starts))):
            rows = search.rows
            if not len(rows):
                break
            given = restart < len(starts)
            z = search.inside(rows, starts[restart][rows]) if given else search.random(rows)
            goal = search.criterion
            if rivals is not None:
                rival = ep.from_numpy(x, rivals[:, restart % rivals.shape[1]])
                goal = Overtaken(search.criterion.labels, rival)  # type: ignore[attr-defined]
            self._descend(search, rows, z, goal, loss, restart * self.steps)

    def _descend(
        self, search: Search, rows: np.ndarray, z: ep.Tensor, goal: Criterion, loss: Loss, before: int
    ) -> None:
        """One restart, from ``z``, after so many steps of others."""
        evaluate = row_gradients(search.model, search.x, goal, loss.each, self.gradient_draws, loss.mean)
        path = Path(rows, z, len(self.momenta), self.rel_stepsize * search.epsilon)
        for step in range(self.steps + 1):
            checkpoint, last = step in self.looks, step == self.steps
            logits = gradient = None
            if self.own_pass and last:
                logits = pass_draws(search.at(path.rows), path.z, 1)
            elif self.own_pass:
                _, logits, gradient = evaluate(path.z, path.rows, search.images)
            if self.own_pass or checkpoint:
                look = search.look(path.rows, path.z, goal, loss, logits)
                path.note(look, gradient)
                if checkpoint:
                    search.tell(before + step, path.rows, look, path.z)
                path.keep(np.flatnonzero(~search.finished[path.rows]))
            if last or not len(path.rows):
                break
            if checkpoint:
                path.halve()
            if not self.own_pass:
                path.gradient = evaluate(path.z, path.rows, search.images)[2]
            path.z = search.inside(path.rows, path.z + path.step(self.momenta, self.norm))

    def _loss(self, criterion: Criterion) -> Loss:
        if self.loss == "dlr":
            return Loss(difference_of_logits_ratio)
        if self.loss != "cross_entropy":
            return Loss(lambda goal, logits: ep.maximum(margin(goal, logits), -self.confidence))
        targeted = isinstance(criterion, TargetedMisclassification)

        def odds(goal: Criterion, logits: ep.Tensor) -> ep.Tensor:
            return odds_against(logits, goal.target_classes if targeted else goal.labels)  # type: ignore[attr-defined]

        sign = 1 if targeted else -1
        return Loss(odds, lambda values, draws: sign * mean_cross_entropy(values, draws))

    def _rivals(self, search: Search) -> np.ndarray:
        """Of each image the other classes, the likeliest first, shape ``(batch, classes - 1)``."""
        logits = draw(search.model, search.x, self.held_out_draws)
        labels = search.criterion.labels  # type: ignore[attr-defined]
        without(logits[: len(search.x)], labels)  # refuses what has no other class
        log = logits.log_softmax(axis=-1).reshape((self.held_out_draws, len(search.x), -1))
        mean = log.mean(axis=0).numpy().copy()
        mean[np.arange(len(mean)), labels.numpy()] = -np.inf
        return np.argsort(-mean, axis=1, kind="stable")[:, :-1].astype(labels.numpy().dtype)


class Path:
    """Where one restart stands: of each row that is left its iterate, its velocities and its best iterate.

    Attributes:
        rows: Which rows of the batch, integers.
        z: Their iterates, shape ``(rows, ...)``.
        gradient: Of the loss at the iterates, in their shape.
        sizes: Their step sizes, shape ``(rows,)``.
    """

    def __init__(self, rows: np.ndarray, z: ep.Tensor, velocities: int, size: float):
        self.rows, self.z = rows, z
        self.gradient = self.best_gradient = zeros = ep.zeros_like(z)
        self.velocities = [zeros] * velocities
        self.sizes = np.full(len(rows), size)
        # the best iterate by the share fooled, then the loss; and the lowest loss, which may be another's
        self.best, self.share, self.loss = z, np.full(len(rows), -1.0), np.full(len(rows), np.inf)
        self.lowest, self.improved = np.full(len(rows), np.inf), np.zeros(len(rows), dtype=bool)

    def note(self, look: Look, gradient: ep.Tensor | None) -> None:
        """What a look says of the iterates, and the gradient there, where it is known by then."""
        better = beats(look.share, look.loss, self.share, self.loss)
        self.share = np.where(better, look.share, self.share)
        self.loss = np.where(better, look.loss, self.loss)
        # a mean is above the lowest of many by luck alone, and to go back for that costs what was gained
        self.improved |= look.loss < self.lowest + CHANCE * look.error
        self.lowest = np.minimum(self.lowest, look.loss)
        which = ep.from_numpy(self.z, better)
        self.best = rowwise(which, self.z, self.best)
        if gradient is not None:
            self.gradient = gradient
            self.best_gradient = rowwise(which, gradient, self.best_gradient)

    def halve(self) -> None:
        """Halves the step of rows without progress since the last checkpoint, which go back to their best."""
        stalled = ep.from_numpy(self.z, ~self.improved)
        self.sizes = np.where(self.improved, self.sizes, self.sizes / 2)
        self.z = rowwise(stalled, self.best, self.z)
        self.gradient = rowwise(stalled, self.best_gradient, self.gradient)
        self.velocities = [rowwise(stalled, ep.zeros_like(v), v) for v in self.velocities]
        self.improved[:] = False

    def step(self, momenta: tuple[float, ...], norm: str) -> ep.Tensor:
        """By how much to move."""
        gradient = scaled(self.gradient, 1)
        self.velocities = [mu * v + gradient for mu, v in zip(momenta, self.velocities, strict=True)]
        mean = ep.stack(self.velocities).mean(axis=0)
        direction = mean.sign() if norm == "linf" else scaled(mean, 2)
        return -column(self.z, self.sizes, self.z.ndim) * direction

    def keep(self, which: np.ndarray) -> None:
        """Lets all other rows leave."""
        if len(which) == len(self.rows):
            return
        for name in ("rows", "z", "gradient", "best_gradient", "sizes", "best", "share", "loss", "lowest"):
            setattr(self, name, getattr(self, name)[which])
        self.improved = self.improved[which]
        self.velocities = [v[which] for v in self.velocities]


def scaled(x: ep.Tensor, p: int) -> ep.Tensor:
    """Each row at a p-norm of 1; zeros as they are, as where the norm isn't finite."""
    norms = flatten(x).norms.lp(p, axis=-1)
    usable = ep.logical_and(norms > 0, norms < ep.inf)
    factors = ep.where(usable, 1 / ep.where(usable, norms, 1.0), 0.0)
    return x * atleast_kd(factors, x.ndim)


def difference_of_logits_ratio(criterion: Criterion, outputs: ep.Tensor) -> ep.Tensor:
    """The margin in units of how far apart the largest outputs are, shape ``(batch,)``.

    It is Croce and Hein's DLR, with its sign turned: negative where the criterion holds.

    Raises:
        ValueError: for fewer than three classes, targeted four.
    """
    targeted = isinstance(criterion, TargetedMisclassification)
    ahead, least = margin(criterion, outputs), 4 if targeted else 3
    if outputs.shape[-1] < least:
        raise ValueError(f"expected at least {least} classes for dlr, got {outputs.shape[-1]}")
    ordered = outputs.sort(axis=-1)
    third = (ordered[:, -3] + ordered[:, -4]) / 2 if targeted else ordered[:, -3]
    return ahead / (ordered[:, -1] - third + TINY)
