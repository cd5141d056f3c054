"""What an audit attacks, and by what: a fixed plan for each effort, so that it can be resumed and repeated.

Here belongs which attacks are run on what, with how many passes. How one is run, and what is made of its
samples, does not.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Norm = Literal["linf", "l2"]
On = Literal["scheme", "twin", "known draw", "baseline"]

RANDOMIZED_PGD = "bench.attacks.RandomizedPGDAttack"
SQUARE = "bench.attacks.SquareAttack"
GRADIENT_SIGN = "bench.attacks.GradientSignAttack"
DEEPFOOL = "bench.attacks.DeepFoolAttack"

KNOWN = 3
"""How many known draws each image has."""

TENTH = 0.1
"""The share of a rate at which most of the gain mustn't be there already."""

FULL = {"linf": 1.0, "l2": math.inf}
"""A ball in which another class's image lies: there an attack has to find one."""


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        passes: Of an image, at most; a forward one counts a third, and one with a gradient the rest.
        steps: Of the longest attack; others take parts of it.
        restarts: Of the longest attack on what isn't random.
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


EFFORTS = {
    "quick": Effort(2_000, 60, 1, 10, 6, 60, 3),
    "standard": Effort(20_000, 600, 3, 20, 15, 600, 5),
    "thorough": Effort(200_000, 6_000, 10, 20, 15, 6_000, 10),
}


@dataclass(frozen=True)
class Stage:
    """One attack on one thing.

    Attributes:
        name: What it is called in tables.
        on: What it attacks.
        target: The attack's class.
        options: What it is made with.
        times: Its ball, in units of epsilon; infinite for one in which an attack can't but succeed.
        starts: A stage, or several, whose samples it starts from.
        known: Which known draw it attacks; None: none.
        strength: By what share of their rates the scheme's operations act.
        pool: Whether its samples join the row's pool.
        naive: Whether it is what somebody would have run who didn't know that the defence is random.
    """

    name: str
    on: On
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    times: float = 1.0
    starts: tuple[str, ...] = ()
    known: int | None = None
    strength: float = 1.0
    pool: bool = True
    naive: bool = False

    def epsilon(self, epsilon: float, norm: Norm) -> float:
        """The radius of its ball."""
        return FULL[norm] if math.isinf(self.times) else self.times * epsilon


MAIN, HALF, UNBOUNDED, CONTINUED = "margin", "margin, half the steps", "unbounded", "continued"
LADDER = (1, 5, 10, 20)
"""Draws that a gradient is averaged over, at equal passes."""


def plan(effort: Effort, norm: Norm, *, twin: bool, baseline: bool, rates: bool, classes: int) -> list[Stage]:
    """The attacks of a row, in an order in which each comes after those that it starts from.

    Args:
        effort: How much is done.
        norm: Of the ball.
        twin, baseline: Whether there is one.
        rates: Whether something acts at a rate, of which a tenth can be tried.
        classes: How many: DLR takes three.
    """
    return [
        *(_still(effort, norm, "twin", classes) if twin else ()),
        *(_still(effort, norm, "baseline", classes) if baseline else ()),
        *_known(effort, norm),
        *_random(effort, norm, twin, rates),
        *_naive(norm),
    ]


def _pgd(effort: Effort, norm: Norm, steps: int, random: bool, **options: Any) -> dict[str, Any]:
    """Options of an attack by gradients; where nothing is random each iterate tells by itself."""
    kept = (
        {"held_out_draws": effort.held_out, "checkpoints": effort.checkpoints}
        if random
        else {"held_out_draws": 1}
    )
    return {"norm": norm, "steps": max(1, steps), **kept, **options}


def _still(effort: Effort, norm: Norm, on: On, classes: int) -> Iterator[Stage]:
    def pgd(name: str, steps: int, times: float = 1.0, pool: bool = True, **options: Any) -> Stage:
        of = _pgd(effort, norm, steps, random=False, **options)
        return Stage(f"{on}: {name}", on, RANDOMIZED_PGD, of, times=times, pool=pool)

    yield pgd(MAIN, effort.steps, restarts=effort.restarts)
    yield pgd(HALF, effort.steps // 2)
    yield pgd("cross-entropy", effort.steps // 2, loss="cross_entropy")
    if classes > 2:
        yield pgd("DLR", effort.steps // 2, loss="dlr")
        yield pgd("multi-targeted", effort.steps // 4, loss="multi_targeted", restarts=min(4, classes - 1))
    yield pgd("half the ball", effort.steps // 2, times=0.5)
    yield pgd("twice the ball", effort.steps // 2, times=2, pool=False)
    yield pgd(UNBOUNDED, max(20, effort.steps // 4), times=math.inf, pool=False)
    options = {"norm": norm, "steps": effort.square, "draws": 1, "redraw": False}
    yield Stage(f"{on}: square", on, SQUARE, options)


def _known(effort: Effort, norm: Norm) -> Iterator[Stage]:
    for draw in range(KNOWN):
        steps = effort.steps // 2
        of = _pgd(effort, norm, steps, random=False)
        yield Stage(f"known draw {draw + 1}: {MAIN}", "known draw", RANDOMIZED_PGD, of, known=draw)
    of = _pgd(effort, norm, max(20, effort.steps // 4), random=False)
    yield Stage(
        f"known draw 1: {UNBOUNDED}", "known draw", RANDOMIZED_PGD, of, times=math.inf, known=0, pool=False
    )


def _random(effort: Effort, norm: Norm, twin: bool, rates: bool) -> Iterator[Stage]:
    def pgd(name: str, steps: int, **others: Any) -> Stage:
        of = {key: others.pop(key) for key in ("loss", "gradient_draws", "restarts") if key in others}
        return Stage(name, "scheme", RANDOMIZED_PGD, _pgd(effort, norm, steps, random=True, **of), **others)

    yield pgd(MAIN, effort.steps)
    yield pgd(HALF, effort.steps // 2)
    for draws in LADDER[1:]:
        yield pgd(f"margin, {draws} draws", effort.steps // draws, gradient_draws=draws)
    yield pgd("cross-entropy", effort.steps // 2, loss="cross_entropy")
    start = f"twin: {MAIN}" if twin else f"known draw 1: {MAIN}"
    yield pgd(CONTINUED, effort.steps, starts=(start,))
    yield pgd("half the ball", effort.steps // 2, times=0.5)
    yield pgd("twice the ball", effort.steps // 2, times=2.0, pool=False)
    yield pgd(UNBOUNDED, max(20, effort.steps // 4), times=math.inf, pool=False)
    if rates:
        yield pgd("a tenth of the rate", effort.steps // 2, strength=TENTH)
    options = {"norm": norm, "steps": effort.square, "draws": effort.square_draws}
    yield Stage("square", "scheme", SQUARE, options)


def _naive(norm: Norm) -> Iterator[Stage]:
    if norm == "linf":
        yield Stage("FGSM", "scheme", GRADIENT_SIGN, naive=True)
    else:
        yield Stage("DeepFool", "scheme", DEEPFOOL, naive=True)
