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

from .base import pass_draws


class VotedHopSkipJumpAttack(HopSkipJumpAttack):
    """HopSkipJump [#Chen20]_, which asks a random model several times and believes the majority.

    On a random model one answer near the boundary is a coin, and both the search along a line and the
    estimate of the gradient go by such answers. Each is the class here that most of ``votes`` passes give,
    the first of those with as many: the simplest remedy that Simon-Gabriel et al. compare theirs with
    [#Simo21]_. An answer stands: who asks for the same image again is told the same, without a pass.
    Foolbox's attack looks once more at each point that its searches end at, on the boundary, and gives up
    where it is told otherwise, which few images outlast. On a deterministic model it is Foolbox's attack. A
    claim is of one more pass, as Foolbox's are.

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
        try:
            return super().run(_Voting(model, self.votes), inputs, criterion, **kwargs)
        except AssertionError as error:
            # rounding has led past the point that was asked for, and there the vote was another
            raise ValueError("starting_points are not adversarial") from error


class _Voting(Model):
    """A model whose logits are the votes of so many passes for each class, shape (batch, classes)."""

    def __init__(self, model: Model, votes: int):
        self.model = model
        self.votes = votes
        # of each image that was asked for, by its content
        self.known: dict[bytes, np.ndarray] = {}

    @property
    def bounds(self) -> Bounds:
        return self.model.bounds

    def __call__(self, inputs: Any) -> Any:
        x, restore_type = ep.astensor_(inputs)
        asked = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in x.numpy()]
        if not all(image in self.known for image in asked):
            # all of the batch, on whose rows a row may depend
            for image, counts in zip(asked, self._counts(x), strict=True):
                self.known.setdefault(image, counts)
        return restore_type(ep.from_numpy(x, np.stack([self.known[image] for image in asked])))

    def _counts(self, x: ep.Tensor) -> np.ndarray:
        logits = pass_draws(self.model, x, self.votes)
        given = logits.argmax(axis=-1).numpy().reshape(self.votes, len(x))
        counts: np.ndarray = (given[..., None] == np.arange(logits.shape[-1])).sum(0).astype(np.float32)
        return counts
