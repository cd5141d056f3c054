"""What every attack here shares: Foolbox's call, claims that survive a random model, rows that leave.

Here belongs what two attacks would otherwise copy. An attack's own algorithm does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import eagerpy as ep
import numpy as np
from foolbox.attacks.base import (
    MinimizationAttack,
    T,
    get_criterion,
    raise_if_kwargs,
    verify_input_bounds,
)
from foolbox.criteria import Criterion
from foolbox.devutils import atleast_kd
from foolbox.models import Model
from foolbox.types import Bounds

from .criteria import check_rows, holds, softplus, take

Progress = Callable[[int, int], None]
"""Called with how many images are finished, and how many there are."""

# Of float32's 87 logits the network's own derivatives need their share.
FAINT = -60.0


class BatchAttack(MinimizationAttack, ABC):
    """A minimisation attack that keeps its claim apart from any later draw of a random model.

    Foolbox's own ``__call__`` passes the result through the model once more and calls that success.
    On a random model this is one more throw of the dice: it drops samples that the attack saw
    succeed. Here a row is claimed when the attack saw its criterion hold on ``accept_draws`` draws
    (one: the papers' protocol), and only a row that clipping to ``epsilon`` changes is passed
    again. On a deterministic model the two are the same. A row that the attack fails on comes back
    as it was, with success False.

    Of a model that says ``whole_batches = True`` every pass is of the whole batch, see ``at``. There a
    claim is of the batch that comes back, all of it: it held on ``accept_draws`` draws of that, and a row
    that the search saw succeed beside others and that no longer does keeps its image without a claim, since
    to take it back would change the batch once more.

    What a claim means: with ``accept_draws=1`` that one draw of the defence was fooled, which the
    search has picked among many, so that fresh draws may well be fooled far less often. With more,
    all of that many independent draws of the same image were fooled.

    Args:
        gradient_draws: Draws of the model that each gradient is averaged over (expectation over
            transformation; Athalye et al. 2018), at least 1.
        accept_draws: Draws on which the criterion must hold, every one, before a row is accepted,
            at least 1.
    """

    def __init__(self, *, gradient_draws: int = 1, accept_draws: int = 1):
        for name, draws in (("gradient_draws", gradient_draws), ("accept_draws", accept_draws)):
            if draws < 1:
                raise ValueError(f"expected {name} to be at least 1, got {draws}")
        self.gradient_draws = gradient_draws
        self.accept_draws = accept_draws

    def check_criterion(self, criterion: Criterion) -> None:
        """Raises ValueError for a criterion that this attack can't serve. Subclasses narrow it."""

    @abstractmethod
    def minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        *,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        """The algorithm.

        Args:
            model: Any Foolbox model.
            x: Images inside the model's bounds, shape ``(batch, ...)``.
            criterion: One of the criteria in ``bench.attacks.criteria``, for these images.
            early_stop: A distance below which nothing better is needed, or None.
            progress: Called as rows finish, or None.

        Returns:
            The perturbed images, inside the bounds, each failed row equal to its original; and
            which rows were accepted, booleans of shape ``(batch,)``.
        """

    def run(
        self,
        model: Model,
        inputs: T,
        criterion: Any,
        *,
        early_stop: float | None = None,
        progress: Progress | None = None,
        **kwargs: Any,
    ) -> T:
        raise_if_kwargs(kwargs)
        x, restore_type = ep.astensor_(inputs)
        return restore_type(self._minimize(model, x, criterion, early_stop, progress)[0])

    def __call__(  # type: ignore[misc]  # final in Foolbox; the class says why not here
        self,
        model: Model,
        inputs: T,
        criterion: Any,
        *,
        epsilons: Any,
        progress: Progress | None = None,
        **kwargs: Any,
    ) -> Any:
        x, restore_type = ep.astensor_(inputs)
        was_iterable = isinstance(epsilons, Iterable)
        each = list(epsilons) if was_iterable else [epsilons]
        results = self._attack(model, x, criterion, each, progress, **kwargs)
        if not was_iterable:
            raw, clipped, success = results[0]
            return restore_type(raw), restore_type(clipped), restore_type(success)
        return (
            [restore_type(raw) for raw, _, _ in results],
            [restore_type(clipped) for _, clipped, _ in results],
            restore_type(ep.stack([success for _, _, success in results])),
        )

    def _attack(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Any,
        epsilons: list[float | None],
        progress: Progress | None,
    ) -> list[tuple[ep.Tensor, ep.Tensor, ep.Tensor]]:
        """Per epsilon: the perturbed images, the same clipped to it, and which of the clipped are claimed."""
        criterion = self._checked(model, x, criterion)
        # the smallest epsilon is met only by the smallest perturbation
        limits = [epsilon for epsilon in epsilons if epsilon is not None]
        early_stop = min(limits) if limits and len(limits) == len(epsilons) else None
        xp, accepted = self._minimize(model, x, criterion, early_stop, progress)
        results = []
        for epsilon in epsilons:
            clipped, kept, changed = self._clip(model, x, xp, accepted, epsilon)
            results.append((xp, clipped, self._claimed(model, clipped, criterion, kept, changed)))
        return results

    def _clip(
        self,
        model: Model,
        x: ep.Tensor,
        xp: ep.Tensor,
        accepted: ep.Tensor,
        epsilon: float | None,
    ) -> tuple[ep.Tensor, np.ndarray, np.ndarray]:
        """The images within epsilon, which are still accepted, and which have to be judged anew."""
        kept, changed = accepted.numpy().copy(), np.zeros(len(x), dtype=bool)
        if epsilon is None:
            return xp, kept, changed
        beyond = np.flatnonzero(~(self.distance(x, xp) <= epsilon).numpy())
        if not len(beyond):
            return xp, kept, changed
        clipped = x[beyond]
        try:
            clipped = self.distance.clip_perturbation(clipped, xp[beyond], epsilon)
            clipped = ep.clip(clipped, *model.bounds)
            changed[beyond] = True
        except (
            NotImplementedError
        ):  # Foolbox can't shrink an L0 norm, and which pixel to give up is anyone's guess
            kept[beyond] = False
        return put(xp, beyond, clipped), kept, changed

    def _claimed(
        self, model: Model, xp: ep.Tensor, criterion: Criterion, accepted: np.ndarray, changed: np.ndarray
    ) -> ep.Tensor:
        """Which rows of what comes back are claimed: those accepted, once more where they have changed."""
        if whole_batches(model):
            # the search has seen each beside what the others were at that time
            changed = accepted | changed
        held = confirm(model, xp, criterion, changed, self.accept_draws)
        return ep.from_numpy(xp, np.where(changed, held, accepted))

    def _minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Any,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        criterion = self._checked(model, x, criterion)
        xp, accepted = self.minimize(model, x, criterion, early_stop=early_stop, progress=progress)
        assert xp.shape == x.shape
        assert accepted.shape == (len(x),)
        return xp, accepted

    def _checked(self, model: Model, x: ep.Tensor, criterion: Any) -> Criterion:
        criterion = get_criterion(criterion)
        check_rows(criterion, len(x))
        self.check_criterion(criterion)
        verify_input_bounds(x, model)
        return criterion

    def accept(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Criterion,
        logits: ep.Tensor,
        confidence: float = 0.0,
        wanted: np.ndarray | None = None,
    ) -> np.ndarray:
        """Which rows hold on ``accept_draws`` draws.

        The draws that are there already count; more are made only where these are too few, and only
        of rows that held on all of them and are wanted.

        Args:
            model: The model that gave the logits, at these rows where they are some of a batch.
            x: Images, shape ``(batch, ...)``.
            criterion: Their criterion.
            logits: What ``draws`` passes gave for them, as ``pass_draws`` returns it.
            confidence: As for ``holds``.
            wanted: Rows worth more draws, booleans; None for all. For the others the draws that are
                there must do, so that they mustn't be claimed.

        Returns:
            Booleans, shape ``(batch,)``.
        """
        n = len(x)
        draws = len(logits) // n
        drawn = holds(repeat(criterion, n, draws), logits, confidence).numpy().reshape(draws, n)
        held: np.ndarray = drawn[: self.accept_draws].all(axis=0)
        asked = held if wanted is None else held & wanted
        confirmed = confirm(model, x, criterion, asked, self.accept_draws - draws, confidence)
        return np.where(asked, confirmed, held)


def whole_batches(model: Model) -> bool:
    """Whether the model says that a row's logits depend on the other rows of its batch."""
    return getattr(model, "whole_batches", False)


def at(model: Model, x: ep.Tensor, rows: np.ndarray) -> Model:
    """What takes images of some rows of a batch and gives their logits, in the order of the rows.

    It is the model itself, to which only these rows are passed. Of a model that says ``whole_batches =
    True`` it passes the whole batch, with these rows in their places and the others as they are in ``x``.
    So an attack passes through this all that isn't the batch that it was given, and never a row twice.

    Args:
        model: The model, or what this gave for a batch of which ``x`` are the rows.
        x: The batch, shape ``(batch, ...)``. An attack gives it as it would come back by now: each row at
            its best so far, or its original. What a row that is finished last tried isn't seen again, and
            the others are to succeed beside what is.
        rows: Which, integers, each once.
    """
    return _Rows(model, x, rows) if whole_batches(model) else model


class _Rows(Model):
    """A model of some rows of a batch, for which the whole of it passes."""

    whole_batches = True

    def __init__(self, model: Model, x: ep.Tensor, rows: np.ndarray):
        self.model, self.x, self.rows = model, x, rows

    @property
    def bounds(self) -> Bounds:
        return self.model.bounds

    def __call__(self, inputs: Any) -> Any:
        return self.model(put(self.x, self.rows, inputs))[self.rows]


def draws_are_passes(model: Model) -> bool:
    """Whether a pass has only one draw of each row to give, see ``pass_draws``."""
    return getattr(model, "shared_draws", False) or whole_batches(model)


def pass_draws(model: Model, x: ep.Tensor, draws: int) -> ep.Tensor:
    """Logits of ``draws`` draws, shape ``(draws * batch, classes)``: all rows, then again.

    They are of one pass, since every row of a batch has a draw of its own. Of a model that says
    ``shared_draws = True`` they are of as many passes: there all rows of a pass share one draw, and more of
    them would be no more draws. So they are with ``whole_batches``, where a pass is of the batch as it is.
    """
    if draws == 1:
        return model(x)
    if draws_are_passes(model):
        return ep.concatenate([model(x) for _ in range(draws)], axis=0)
    return model(ep.tile(x, (draws,) + (1,) * (x.ndim - 1)))


def repeat(criterion: Criterion, n: int, draws: int) -> Criterion:
    """The criterion of ``n`` rows, for the logits that ``pass_draws`` returns for them."""
    return criterion if draws == 1 else take(criterion, np.tile(np.arange(n), draws))


def mean_draws(values: ep.Tensor, draws: int) -> ep.Tensor:
    """The mean over draws of what was computed from ``pass_draws``, shape ``(batch,)``."""
    return values if draws == 1 else values.reshape((draws, -1)).mean(axis=0)


def mean_cross_entropy(odds: ep.Tensor, draws: int) -> ep.Tensor:
    """The mean over draws of the cross-entropies with these log odds, or something that rises with it.

    Where every draw is so confident that the cross-entropy, by then the exponential of the log odds,
    nears the smallest number there is, it is the logarithm of their sum instead.

    Args:
        odds: As ``odds_against`` gives them for ``pass_draws``, shape ``(draws * batch,)``.
        draws: How many draws.

    Returns:
        Shape ``(batch,)``.
    """
    by_draw = odds.reshape((draws, -1))
    largest = by_draw.max(axis=0)
    logarithm = (by_draw - largest).exp().sum(axis=0).log() + largest
    return ep.where(largest < FAINT, logarithm, mean_draws(softplus(odds), draws))


def row_gradients(
    model: Model,
    x: ep.Tensor,
    criterion: Criterion,
    loss: Callable[[Criterion, ep.Tensor], ep.Tensor],
    draws: int,
    mean: Callable[[ep.Tensor, int], ep.Tensor] = mean_draws,
) -> Callable[[ep.Tensor, np.ndarray, ep.Tensor], tuple[ep.Tensor, ep.Tensor, ep.Tensor]]:
    """A function that gives each row's loss and its gradient, averaged over draws, from one pass.

    Args:
        model: The model.
        x: Images, of which the function takes perturbed versions.
        criterion: Their criterion.
        loss: Of a criterion and logits, the loss of each row.
        draws: How many draws to average over.
        mean: Of the losses of every draw and ``draws``, the loss of each row.

    Returns:
        A function of some perturbed images, in any shape, of the rows they belong to, and of the batch that
        these are of, as ``at`` takes it. It returns losses ``(rows,)``, logits as ``pass_draws`` does, and
        gradients in the shape of the images, 0 where they aren't a number: those of the sum of these rows'
        losses, where a row's depends on others.
    """

    def summed(
        z: ep.Tensor, rows: np.ndarray, batch: ep.Tensor
    ) -> tuple[ep.Tensor, tuple[ep.Tensor, ep.Tensor]]:
        logits = pass_draws(at(model, batch, rows), z.reshape((len(rows), *x.shape[1:])), draws)
        losses = mean(loss(repeat(take(criterion, rows), len(rows), draws), logits), draws)
        return losses.sum(), (losses, logits)

    value_and_grad = ep.value_and_grad_fn(x, summed, has_aux=True)

    def evaluate(z: ep.Tensor, rows: np.ndarray, batch: ep.Tensor) -> tuple[ep.Tensor, ep.Tensor, ep.Tensor]:
        _, (losses, logits), gradient = value_and_grad(z, rows, batch)
        return losses, logits, ep.where(gradient.isnan(), 0.0, gradient)

    return evaluate


def confirm(
    model: Model,
    x: ep.Tensor,
    criterion: Criterion,
    held: np.ndarray,
    draws: int,
    confidence: float = 0.0,
) -> np.ndarray:
    """Which of the rows that held so far hold on ``draws`` fresh passes too, booleans ``(batch,)``.

    A row that fails once isn't asked about again.
    """
    held = held.copy()
    for _ in range(draws):
        rows = np.flatnonzero(held)
        if not len(rows):
            break
        held[rows] = holds(take(criterion, rows), at(model, x, rows)(x[rows]), confidence).numpy()
    return held


def rowwise(which: ep.Tensor, a: ep.Tensor, b: ep.Tensor) -> ep.Tensor:
    """Rows of ``a`` where ``which`` holds, of ``b`` elsewhere."""
    return ep.where(atleast_kd(which, a.ndim), a, b)


def put(x: ep.Tensor, rows: np.ndarray, values: ep.Tensor) -> ep.Tensor:
    """A copy of ``x`` with ``values`` in its ``rows``, which must differ.

    EagerPy's own ``index_update`` calls a function that JAX no longer has.
    """
    source = np.arange(len(x))
    source[rows] = len(x) + np.arange(len(rows))
    return ep.concatenate([x, values])[source]
