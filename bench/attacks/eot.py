"""Expectation over transformation (Athalye et al. 2018) for attacks that know nothing of random models.

Here belongs how an attack of somebody else's is made to see the mean of several draws. Of this project's own
those with gradients need none of it: they average by themselves, as ``gradient_draws`` says.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

import eagerpy as ep
from foolbox.attacks.base import Attack, Repeated
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.models import Model
from foolbox.types import Bounds

from .base import draws_are_passes, pass_draws

Loss = Callable[[ep.Tensor], ep.Tensor]


def averaged(attack: Callable[..., Any], draws: int) -> Callable[..., Any]:
    """The same attack, for which ``draws`` draws of the model count as one.

    Of a gradient descent of Foolbox's (PGD, BIM, FGM, MI-FGSM, and whatever is derived from them) each
    gradient is the mean of the gradients of so many draws, and nothing else changes. To any other the model
    gives the mean of so many draws' log-probabilities in place of logits, in every pass. The attack that is
    given is left as it is.

    Args:
        attack: With Foolbox's call.
        draws: At least 1, with which nothing is averaged.

    Raises:
        ValueError: for fewer draws.
    """
    if draws < 1:
        raise ValueError(f"expected draws to be at least 1, got {draws}")
    if draws == 1:
        return attack
    if not isinstance(attack, BaseGradientDescent):
        return Averaged(attack, draws)
    made = copy.copy(attack)
    made.get_loss_fn = functools.partial(_mean_loss, attack.get_loss_fn, draws)  # type: ignore[method-assign]
    return made


def _mean_loss(of: Callable[[Model, ep.Tensor], Loss], draws: int, model: Model, labels: ep.Tensor) -> Loss:
    """The mean of the losses of several draws, whose gradient is the mean of their gradients.

    In one pass, where each row has a draw of its own; see ``pass_draws``.
    """
    if draws_are_passes(model):
        one = of(model, labels)
        return lambda x: ep.stack([one(x) for _ in range(draws)]).mean()
    every = of(model, ep.tile(labels, (draws,)))
    return lambda x: every(ep.tile(x, (draws,) + (1,) * (x.ndim - 1))) / draws


class Averaged(Attack):
    """An attack that sees, in place of logits, the mean of several draws' log-probabilities.

    Args:
        attack: The attack.
        draws: How many.
    """

    def __init__(self, attack: Callable[..., Any], draws: int):
        self.attack = attack
        self.draws = draws

    @property
    def distance(self) -> Any:
        """The attack's own, where it is one of Foolbox's kind; else None."""
        return getattr(self.attack, "distance", None) if isinstance(self.attack, Attack) else None

    def __call__(
        self,
        model: Model,
        inputs: Any,
        criterion: Any,
        *,
        epsilons: Any,
        progress: Any = None,
        **kwargs: Any,
    ) -> Any:
        try:
            return self.attack(_Mean(model, self.draws), inputs, criterion, epsilons=epsilons, **kwargs)
        except AssertionError as error:
            if type(self.attack).__module__.partition(".")[0] != "foolbox":
                raise
            # what it says itself where it asserts nothing: another draw has lost the point it started from
            raise ValueError("starting_points are not adversarial") from error

    def __getattr__(self, name: str) -> Any:
        # what else the attack says of itself
        if name == "attack":
            raise AttributeError(name)
        return getattr(self.attack, name)

    def repeat(self, times: int) -> Attack:
        """The attack, so many times, of which the best result counts."""
        return Repeated(self, times)  # type: ignore[arg-type]


class _Mean(Model):
    """A model of which the mean of several draws' log-probabilities is one answer."""

    def __init__(self, model: Model, draws: int):
        self.model = model
        self.draws = draws

    @property
    def bounds(self) -> Bounds:
        return self.model.bounds

    def __call__(self, inputs: Any) -> Any:
        x, restore_type = ep.astensor_(inputs)
        logits = pass_draws(self.model, x, self.draws)
        return restore_type(logits.log_softmax(axis=-1).reshape((self.draws, len(x), -1)).mean(axis=0))

    def __getattr__(self, name: str) -> Any:
        # what else it says of itself, such as that a row's logits depend on the others
        if name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)
