"""Decision-based attacks on random models: what they are told is the vote of several passes.

Here belongs the vote. The attack itself is Foolbox's.
"""

import hashlib
from typing import Any

import eagerpy as ep
import numpy as np
from foolbox.attacks import HopSkipJumpAttack
from foolbox.models import Model
from foolbox.types import Bounds

from .base import pass_draws, whole_batches


class VotedHopSkipJumpAttack(HopSkipJumpAttack):
    """HopSkipJump [#Chen20]_, which asks a random model several times and believes the majority.

    On a random model one answer near the boundary is a coin, and both the search along a line and the
    estimate of the gradient go by such answers. Each is the class here that most of ``votes`` passes give,
    the first of those with as many: the simplest remedy that Simon-Gabriel et al. compare theirs with
    [#Simo21]_. What was voted of a point stands, however often it is asked for: the attack ends each step on
    the boundary, asserts that it is still on the right side, and would lose nearly every image on the way.
    With ``votes=1`` it is Foolbox's attack. A claim is of one more pass, as Foolbox's are.

    Args:
        votes: Passes of the model that make one answer, at least 1. Default 5.
        options: Those of ``foolbox.attacks.HopSkipJumpAttack``.

    Raises:
        ValueError: for fewer votes; and where an image has no point to start from.

    References:
        .. [#Chen20] Jianbo Chen, Michael I. Jordan, Martin J. Wainwright, "HopSkipJumpAttack: A
            query-efficient decision-based attack", https://arxiv.org/abs/1904.02144
        .. [#Simo21] Carl-Johann Simon-Gabriel, Noman Ahmed Sheikh, Andreas Krause, "PopSkipJump:
            decision-based attack for probabilistic classifiers", https://arxiv.org/abs/2106.07445
    """

    def __init__(self, *, votes: int = 5, **options: Any):
        super().__init__(**options)
        if votes < 1:
            raise ValueError(f"expected votes to be at least 1, got {votes}")
        self.votes = votes

    def run(self, model: Model, inputs: Any, criterion: Any, *, progress: Any = None, **kwargs: Any) -> Any:
        """As Foolbox's, which says nothing of its progress."""
        asked = model if self.votes == 1 else _Voting(model, self.votes)
        try:
            return super().run(asked, inputs, criterion, **kwargs)
        except AssertionError as error:
            # the point that it started from is lost, if by rounding alone, which Foolbox asserts
            raise ValueError("starting_points are not adversarial") from error


class _Voting(Model):
    """A model whose logits are the votes of so many passes for each class, shape (batch, classes).

    A point is voted of once, but where logits depend on the others of a batch, and there is no such thing.
    """

    def __init__(self, model: Model, votes: int):
        self.model = model
        self.votes = votes
        self.voted: dict[bytes, np.ndarray] = {}

    @property
    def bounds(self) -> Bounds:
        return self.model.bounds

    def __call__(self, inputs: Any) -> Any:
        x, restore_type = ep.astensor_(inputs)
        if whole_batches(self.model):
            return restore_type(ep.from_numpy(x, self._votes(x)))
        points = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in x.numpy()]
        new = {point: row for row, point in enumerate(points) if point not in self.voted}
        if new:
            self.voted.update(zip(new, self._votes(x[np.array(list(new.values()))]), strict=True))
        return restore_type(ep.from_numpy(x, np.stack([self.voted[point] for point in points])))

    def _votes(self, x: ep.Tensor) -> np.ndarray:
        logits = pass_draws(self.model, x, self.votes)
        given = logits.argmax(axis=-1).numpy().reshape(self.votes, len(x))
        counts: np.ndarray = (given[..., None] == np.arange(logits.shape[-1])).sum(0).astype(np.float32)
        return counts

    def __getattr__(self, name: str) -> Any:
        # what else it says of itself, such as that a row's logits depend on the others
        if name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)
