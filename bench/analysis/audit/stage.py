"""What one attack of an audit is: on what, made with what, in which ball.

Here belongs what a stage says of itself. Which there are is in ``stages``, how one is made in ``making``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Norm = Literal["linf", "l2"]
On = Literal["scheme", "twin", "known draw", "baseline"]

RANDOMIZED_PGD = "bench.attacks.RandomizedPGDAttack"
SQUARE = "bench.attacks.SquareAttack"

KNOWN = 3
"""How many known draws each image has, where there is no short list of them."""


FULL = {"linf": 1.0, "l2": math.inf}
"""A ball in which another class's image lies: there an attack has to find one."""

FOLLOWED = 20
"""Draws, the same for all of them, on which iterates of a random model are looked at on their way."""

LEAVE = 50
"""Held-out draws that have to be fooled before an image leaves."""


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        passes: Of an image, at most; a forward one counts a third, and one with a gradient the rest.
        steps: Of the longest attack; others take parts of it.
        restarts: Of attacks that start at random, on the scheme and on what isn't random.
        held_out: Draws that keep an iterate.
        checkpoints: At how many iterates.
        square: Steps of the attack without gradients.
        square_draws: Draws that its loss is averaged over.
    """

    passes: int
    steps: int
    restarts: int
    held_out: int
    checkpoints: int
    square: int
    square_draws: int


@dataclass(frozen=True)
class Stage:
    """One attack on one thing.

    Attributes:
        name: What it is called in tables.
        on: What it attacks.
        target: The attack's class.
        options: What it is made with.
        rank: What is left out first where there are fewer passes: the highest; 0 never is.
        times: Its ball, in units of epsilon; infinite for one in which an attack can't but succeed.
        starts: Stages whose samples it starts from, in turn; none: at the images.
        known: Which known draw it attacks; None: none.
        strength: By what share of their rates the scheme's operations act.
        pool: Whether its samples join the row's pool.
        minimal: Whether it looks for the smallest perturbation, whose sample is drawn into the ball then.
        images: How many images are attacked, the first ones; None: all.
        costs: Passes of each of these images, about, where its options don't tell.
        naive: Whether it is what somebody would have run who didn't know that the defence is random.
        followed: Whether its iterates are looked at on their way, for what tells that it failed.
    """

    name: str
    on: On
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 3
    times: float = 1.0
    starts: tuple[str, ...] = ()
    known: int | None = None
    strength: float = 1.0
    pool: bool = True
    minimal: bool = False
    images: int | None = None
    costs: float = 2.0
    naive: bool = False
    followed: bool = False

    def epsilon(self, epsilon: float, norm: Norm) -> float:
        """The radius of its ball."""
        return FULL[norm] if math.isinf(self.times) else self.times * epsilon

    @property
    def passes(self) -> float:
        """Of an image that it attacks, at most; a forward one counts a third."""
        options = self.options
        each_look = FOLLOWED if options.get("held_out_draws", 1) > 1 else 1
        followed = each_look * (options["checkpoints"] + 1) / 3 if self.followed else 0.0
        if self.target == RANDOMIZED_PGD:
            each = options["steps"] * options.get("gradient_draws", 1)
            return (
                max(options.get("restarts", 1), len(self.starts)) * (each + self._looks + 1 / 3)
                + self._leaving
                + followed
            )
        if self.target == SQUARE:
            return (2 if options.get("redraw", True) else 1) * options["steps"] * options["draws"] / 3 + (
                self._looks + self._leaving
            )
        return self.costs

    def of(self, images: int, several: int = 1) -> float:
        """Passes of one of so many images, at most.

        Args:
            images: How many, some of which it may not attack.
            several: Passes that make one answer of the scheme.
        """
        each = several if self.on in ("scheme", "known draw") else 1
        return each * self.passes * min(1.0, (self.images or images) / images)

    @property
    def _looks(self) -> float:
        held_out: int = self.options["held_out_draws"]
        return 0.0 if held_out == 1 else held_out * self.options["checkpoints"] / 3

    @property
    def _leaving(self) -> float:
        return 0.0 if self.options["held_out_draws"] == 1 else LEAVE / 3
