"""What an audit attacks, and by what: a fixed plan for each effort, so that it can be resumed and repeated.

Here belongs which attacks are run on what, with how many passes, and which are left out if there are fewer.
How one is run, and what is made of its samples, does not.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from bench.analysis.audit.stage import KNOWN, RANDOMIZED_PGD, SQUARE, Effort, Norm, On, Stage
from bench.checks import ConfigError

GRADIENT_SIGN = "bench.attacks.GradientSignAttack"
DEEPFOOL = "bench.attacks.DeepFoolAttack"
CARLINI_WAGNER = "bench.attacks.CarliniWagnerL2Attack"
HOP_SKIP_JUMP = "bench.attacks.VotedHopSkipJumpAttack"
DDN = "foolbox.attacks.DDNAttack"
FMN = {"linf": "foolbox.attacks.LInfFMNAttack", "l2": "foolbox.attacks.L2FMNAttack"}

FEW = 20
"""Images of the attack that goes by decisions alone."""

VOTES = 5
"""Passes that make one of these decisions."""

STARTS = 8
"""Known draws, at most, whose samples an attack on the scheme starts from."""

TENTH = 0.1
"""The share of a rate at which most of the gain mustn't be there already."""

EFFORTS = {
    "quick": Effort(2_000, 44, 1, 10, 6, 24, 3),
    "standard": Effort(20_000, 500, 3, 20, 15, 500, 5),
    "thorough": Effort(200_000, 5_000, 5, 20, 15, 5_000, 10),
}


MAIN, HALF, UNBOUNDED, CONTINUED = "margin", "margin, half the steps", "unbounded", "continued"
CROSS_ENTROPY, SMALLER, LARGER, TENTH_OF_RATE = (
    "cross-entropy", "half the ball", "twice the ball", "a tenth of the rate"
)  # fmt: skip
SQUARE_NAME, VOTED = "square", "HopSkipJump"
LADDER = (1, 5, 10, 20)
"""Draws that a gradient is averaged over, at equal passes; as far as eight steps are left."""


def on_its_way(name: str) -> str:
    """What an attack's best iterates are called, by draws that it hasn't seen."""
    return f"{name}, on its way"


def rung(draws: int) -> str:
    """What a rung of the ladder is called."""
    return MAIN if draws == 1 else f"{MAIN}, {draws} draws"


def rungs(effort: Effort) -> list[int]:
    """The ladder's rungs."""
    return [draws for draws in LADDER if draws == 1 or effort.steps // draws >= 8]


def known(draw: int) -> str:
    """What stands before the names of attacks that know a draw."""
    return f"known draw {draw + 1}: "


def plan(
    effort: Effort,
    norm: Norm,
    *,
    classes: int,
    twin: bool,
    baseline: bool = False,
    random: bool = False,
    rates: bool = False,
    draws: int = KNOWN,
) -> list[Stage]:
    """The attacks of a row, in an order in which each comes after those that it starts from.

    Args:
        effort: How much is done.
        norm: Of the ball.
        classes: How many: DLR takes three.
        twin, baseline: Whether there is one.
        random: Whether the scheme is.
        rates: Whether something acts at a rate, of which a tenth can be tried.
        draws: How many draws are attacked by who knows them: all that there are, where that is a short list.
    """
    return [
        *(_still(effort, norm, "twin", classes) if twin else ()),
        *(_still(effort, norm, "baseline", classes) if baseline else ()),
        *(_known(effort, norm, draws) if random else ()),
        *(_random(effort, norm, twin, rates, classes, draws) if random else ()),
        *_minimal(effort, norm),
    ]


def within(
    stages: Sequence[Stage], passes: float, besides: float, pooled: float, images: int, several: int = 1
) -> list[Stage]:
    """As many of them as so many passes allow: of the highest rank the last are left out first.

    Args:
        stages: The plan.
        passes: Of an image.
        besides: What is needed whatever the plan.
        pooled: What each sample that joins the pool costs more.
        images: How many there are.
        several: Passes that make one answer of the scheme.

    Raises:
        ConfigError: if not even those of rank 0 fit.
    """

    def cost(some: Sequence[Stage]) -> float:
        return besides + sum(stage.of(images, several) + pooled * stage.pool for stage in some)

    left = list(stages)
    while cost(left) > passes:
        worst = max(left, key=lambda stage: stage.rank)
        if worst.rank == 0:
            raise ConfigError(
                f"passes: expected at least {math.ceil(cost(left))}, which the shortest plan of this "
                f"effort takes, got {math.floor(passes)}"
            )
        last = [stage for stage in left if stage.rank == worst.rank][-1]
        left = [stage for stage in left if stage is not last and last.name not in stage.starts]
    return left


def _pgd(effort: Effort, norm: Norm, steps: int, random: bool, **options: Any) -> dict[str, Any]:
    """Options of an attack by gradients; where nothing is random each iterate tells by itself."""
    held_out = effort.held_out if random else 1
    kept = {"held_out_draws": held_out, "checkpoints": effort.checkpoints}
    return {"norm": norm, "steps": max(1, steps), **kept, **options}


def planted(effort: Effort, norm: Norm, random: bool) -> dict[str, Any]:
    """Options of the attack that looks for what is planted: a tenth of the longest one's steps."""
    return _pgd(effort, norm, effort.steps // 10, random)


def _still(effort: Effort, norm: Norm, on: On, classes: int) -> Iterator[Stage]:
    def pgd(name: str, steps: int, rank: int, **others: Any) -> Stage:
        of = {key: others.pop(key) for key in ("loss", "restarts") if key in others}
        options = _pgd(effort, norm, steps, random=False, **of)
        return Stage(f"{on}: {name}", on, RANDOMIZED_PGD, options, rank, **others)

    steps = effort.steps
    yield pgd(MAIN, steps, 0, followed=True)
    yield pgd(HALF, steps // 2, 2)
    yield pgd(CROSS_ENTROPY, steps // 2, 1, loss="cross_entropy")
    if effort.restarts > 1:
        yield pgd("margin, from random points", steps // 2, 3, restarts=1 + effort.restarts)
    if classes > 2:
        if effort.restarts > 1:
            yield pgd("DLR", steps // 2, 3, loss="dlr")
        yield pgd("multi-targeted", steps // 5, 1, loss="multi_targeted", restarts=min(4, classes - 1))
    yield pgd(SMALLER, steps // 2, 2, times=0.5)
    yield pgd(LARGER, steps // 2, 2, times=2.0, pool=False)
    yield pgd(UNBOUNDED, max(20, steps // 4), 2, times=math.inf, pool=False)
    options = {
        "norm": norm, "steps": effort.square, "draws": 1, "redraw": False,
        "held_out_draws": 1, "checkpoints": effort.checkpoints,
    }  # fmt: skip
    yield Stage(f"{on}: {SQUARE_NAME}", on, SQUARE, options, 2)


def _known(effort: Effort, norm: Norm, draws: int) -> Iterator[Stage]:
    # of a long list each draw has fewer
    steps = min(effort.steps // 2, math.ceil(KNOWN * effort.steps / draws))
    for draw in range(draws):
        of = _pgd(effort, norm, steps, random=False)
        yield Stage(f"{known(draw)}{MAIN}", "known draw", RANDOMIZED_PGD, of, 0, known=draw)
    of = _pgd(effort, norm, max(20, effort.steps // 4), random=False)
    yield Stage(
        f"{known(0)}{UNBOUNDED}", "known draw", RANDOMIZED_PGD, of, 2, times=math.inf, known=0, pool=False
    )


def _random(effort: Effort, norm: Norm, twin: bool, rates: bool, classes: int, draws: int) -> Iterator[Stage]:
    def pgd(name: str, steps: int, rank: int, **others: Any) -> Stage:
        given = ("loss", "gradient_draws", "restarts", "rel_stepsize", "checkpoints")
        of = {key: others.pop(key) for key in given if key in others}
        options = _pgd(effort, norm, steps, random=True, **of)
        return Stage(name, "scheme", RANDOMIZED_PGD, options, rank, **others)

    steps = effort.steps
    yield pgd(MAIN, steps, 0, followed=True)
    yield pgd(HALF, steps // 2, 2)
    for many in rungs(effort)[1:]:
        yield pgd(rung(many), steps // many, 2, gradient_draws=many)
    yield pgd(CROSS_ENTROPY, steps // 2, 1, loss="cross_entropy")
    if effort.restarts > 1:
        yield pgd("margin, from random points", steps // 2, 3, restarts=1 + effort.restarts)
    if classes > 2 and effort.restarts > 1:
        yield pgd("multi-targeted", steps // 4, 3, loss="multi_targeted", restarts=min(4, classes - 1))
    if twin:
        yield pgd(CONTINUED, steps, 1, starts=(f"twin: {MAIN}",))
    if not twin or draws != KNOWN or effort.restarts > 1:
        # where some draws are fooled together, others may be, too
        from_known = tuple(f"{known(draw)}{MAIN}" for draw in range(min(draws, STARTS)))
        yield pgd(f"{CONTINUED} from known draws", steps // 3, 1, starts=from_known)
    yield pgd(SMALLER, steps // 2, 2, times=0.5)
    yield pgd(LARGER, steps // 2, 2, times=2.0, pool=False)
    # in so large a ball a step is a leap, which one draw's gradient would leave to chance
    leaps = {"gradient_draws": 3, "rel_stepsize": 0.1, "checkpoints": 10}
    yield pgd(UNBOUNDED, max(20, min(steps // 5, 100)), 2, times=math.inf, pool=False, **leaps)
    if rates:
        yield pgd(TENTH_OF_RATE, steps // 2, 2, strength=TENTH)
    options = {
        "norm": norm, "steps": effort.square, "draws": effort.square_draws,
        "held_out_draws": effort.held_out, "checkpoints": effort.checkpoints,
    }  # fmt: skip
    yield Stage(SQUARE_NAME, "scheme", SQUARE, options, 2)
    if effort.restarts > 1:
        # by votes of passes, which takes so many that a few images have to do
        options = {"votes": VOTES, "constraint": norm, "steps": 20, "initial_gradient_eval_steps": 60}
        of = {"minimal": True, "images": FEW, "costs": 1500.0}
        yield Stage(VOTED, "scheme", HOP_SKIP_JUMP, options, 3, **of)  # type: ignore[arg-type]


def _minimal(effort: Effort, norm: Norm) -> Iterator[Stage]:
    """Attacks on the scheme by who doesn't know that it is random; of minimal ones what lies in the ball."""

    def naive(name: str, target: str, costs: float, rank: int, **options: Any) -> Stage:
        return Stage(name, "scheme", target, options, rank, minimal=True, costs=costs, naive=True)

    if norm == "linf":
        yield Stage("FGSM", "scheme", GRADIENT_SIGN, rank=0, naive=True)
    else:
        yield naive("DeepFool", DEEPFOOL, 20, 0)
    if effort.restarts > 1:
        steps = effort.steps // 5
        yield naive("FMN", FMN[norm], steps + 10, 3, steps=steps)
        if norm == "l2":
            yield naive("DDN", DDN, steps, 3, steps=steps)
            options = {"search_steps": 4, "steps": steps, "confidence": 1.0, "accept_draws": 5}
            of = {"minimal": True, "costs": 4.0 * steps + 10}
            yield Stage("C&W", "scheme", CARLINI_WAGNER, options, 3, **of)  # type: ignore[arg-type]
