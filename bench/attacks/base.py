"""What every attack here shares: Foolbox's call, claims that survive a random model, rows that leave.

Here belongs what two attacks would otherwise copy. An attack's own algorithm does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import eagerpy as ep
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

from .criteria import check_rows

Progress = Callable[[int, int], None]
"""Called with how many images are finished, and how many there are."""


class BatchAttack(MinimizationAttack, ABC):
    """A minimisation attack that keeps its claim apart from any later draw of a random model.

    Foolbox's own ``__call__`` passes the result through the model once more and calls that success.
    On a random model this is one more throw of the dice: it drops samples that the attack saw
    succeed. Here a row is claimed when the attack saw its criterion hold on ``accept_draws`` draws
    (one: the papers' protocol), and only a row that clipping to ``epsilon`` changes is passed
    again. On a deterministic model the two are the same. A row that the attack fails on comes back
    as it was, with success False.

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
        raise_if_kwargs(kwargs)
        x, restore_type = ep.astensor_(inputs)
        criterion = get_criterion(criterion)
        was_iterable = isinstance(epsilons, Iterable)
        all_epsilons = list(epsilons) if was_iterable else [epsilons]
        # the smallest epsilon is met only by the smallest perturbation
        early_stop = None if None in all_epsilons else min(all_epsilons)
        xp, accepted = self._minimize(model, x, criterion, early_stop, progress)

        clipped, successes = [], []
        for epsilon in all_epsilons:
            xpc, success = xp, accepted
            if epsilon is not None:
                within = self.distance(x, xp) <= epsilon
                if not within.all():
                    xpc = ep.where(
                        atleast_kd(within, x.ndim), xp, self.distance.clip_perturbation(x, xp, epsilon)
                    )
                    success = ep.where(within, accepted, criterion(xpc, model(xpc)))
            clipped.append(xpc)
            successes.append(success)

        if not was_iterable:
            return restore_type(xp), restore_type(clipped[0]), restore_type(successes[0])
        return (
            [restore_type(xp)] * len(clipped),
            [restore_type(c) for c in clipped],
            restore_type(ep.stack(successes)),
        )

    def _minimize(
        self,
        model: Model,
        x: ep.Tensor,
        criterion: Any,
        early_stop: float | None,
        progress: Progress | None,
    ) -> tuple[ep.Tensor, ep.Tensor]:
        criterion = get_criterion(criterion)
        check_rows(criterion, len(x))
        self.check_criterion(criterion)
        verify_input_bounds(x, model)
        xp, accepted = self.minimize(model, x, criterion, early_stop=early_stop, progress=progress)
        assert xp.shape == x.shape
        assert accepted.shape == (len(x),)
        return xp, accepted


def accepts(model: Model, x: ep.Tensor, criterion: Criterion, draws: int) -> ep.Tensor:
    """Whether the criterion holds on every one of ``draws`` fresh passes, booleans ``(batch,)``."""
    held = criterion(x, model(x))
    for _ in range(draws - 1):
        held = ep.logical_and(held, criterion(x, model(x)))
    return held
