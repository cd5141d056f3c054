"""Which checks a row makes, and on what: what was made and seen is handed to each of them.

Here belongs what each check is given. What it finds of that is in ``checks``, what that means in ``verdict``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.analysis.audit import binarisation, checks, stages
from bench.analysis.audit.asked import Asked
from bench.analysis.audit.checks import Test
from bench.analysis.audit.figures import Answers, Figures
from bench.analysis.audit.making import Made
from bench.analysis.audit.seeing import Seeing
from bench.analysis.audit.stage import RANDOMIZED_PGD, On
from bench.analysis.audit.stages import (
    HALF,
    LARGER,
    MAIN,
    SMALLER,
    SQUARE_NAME,
    TENTH_OF_RATE,
    UNBOUNDED,
    VOTED,
)
from bench.analysis.audit.verdict import Check

UNPERTURBED = "unperturbed"

ORDER = [*(f"V{i}" for i in range(1, 14)), *(f"I{i}" for i in range(1, 5))]


@dataclass(frozen=True)
class Seen:
    """What was seen of the pool.

    Attributes:
        names: Of its samples, in order.
        answers: The scheme's to each, on the draws that chose.
        right: Its answers to each image's worst.
        twin, baseline: Whether each withstands each sample, booleans (samples, images); None: there is none.
        known: Whether each sample is right on each known draw, booleans (draws, samples, images).
        shares: How likely each known draw is, shape (draws,).
    """

    names: Sequence[str]
    answers: Mapping[str, Answers]
    right: Answers
    twin: np.ndarray | None
    baseline: np.ndarray | None
    known: np.ndarray
    shares: np.ndarray

    def of(self, name: str) -> int:
        """The place of a sample in the pool."""
        return self.names.index(name)


class Checking:
    """The checks of one row.

    Args:
        asked: What it is asked.
        made: Its stages.
        seeing: Who looks.
        seen: What was seen of its pool.
        figures: Its figures.
        left_out: Stages that there were no passes for.
    """

    def __init__(
        self,
        asked: Asked,
        made: Mapping[str, Made],
        seeing: Seeing,
        seen: Seen,
        figures: Figures,
        left_out: Sequence[str],
    ):
        self.asked, self.made, self.seeing, self.seen = asked, made, seeing, seen
        self.figures, self.left_out = figures, left_out

    def all(self) -> list[Check]:
        """All of them, in order."""
        tests: list[Test] = []
        rest: list[Check] = []
        for found in self._made():
            (tests if isinstance(found, Test) else rest).append(found)  # type: ignore[arg-type]
        return sorted([*checks.decided(tests), *rest], key=lambda check: ORDER.index(check.name))

    def _made(self) -> Iterator[Test | Check]:
        if self.asked.random:
            yield from self._of_randomness()
            yield from self._compared("scheme", "", self.seen.answers)
            clean = float(self.seen.known[0, 0].mean())
            yield self._unbounded("known draw", f"{stages.known(0)}{UNBOUNDED}", clean)
            yield self._planted()
            yield checks.resubmission(self.figures)
            yield self._present()
            yield checks.no_benefit(self.figures, self.asked.margin)
        for on, right in (("twin", self.seen.twin), ("baseline", self.seen.baseline)):
            if right is not None:
                answers = {
                    name: Answers(one[None], False) for name, one in zip(self.seen.names, right, strict=True)
                }
                yield from self._compared(on, f"{on}: ", answers)  # type: ignore[arg-type]
        for name, made in self.made.items():
            # of what doesn't draw a claim holds or doesn't, which is no luck
            if made.stage.on == "scheme" and name in self.seen.answers and made.stage.strength == 1:
                drawn = self.seen.answers[name]
                # of a minimal attack what lay outside the ball was not claimed, and isn't what it had found
                found = replace(drawn, right=drawn.right | ~made.inside)
                yield checks.luck(name, made.claimed, found)
        yield from self._indicators()

    def _missing(self, name: str, on: On, *needed: str) -> Check | None:
        gone = [one for one in needed if one not in self.made]
        if not gone:
            return None
        budget = "there were no passes for" if gone[0] in self.left_out else "there is no"
        return checks.missing(name, on, f"{budget} {gone[0]}")

    def _if(self, name: str, on: On, needed: Sequence[str], make: Callable[[], Test]) -> Test | Check:
        return self._missing(name, on, *needed) or make()

    def _of_randomness(self) -> Iterator[Test | Check]:
        """V1 to V4: what knowing the draw, less of it, the twin, and more draws a gradient find."""
        seen, answers = self.seen, self.seen.answers
        own = np.stack([
            one[seen.of(f"{stages.known(draw)}{MAIN}")] for draw, one in enumerate(seen.known)
        ])  # fmt: skip
        yield checks.fixed_randomness(seen.right, seen.shares @ own, self.asked.groups)
        if seen.twin is None:
            for name in ("V2", "V3"):
                yield checks.missing(name, "scheme", "there is no twin")
        else:
            twin = np.asarray(seen.twin.all(0))
            yield self._if(
                "V2", "scheme", [TENTH_OF_RATE],
                lambda: checks.gradual_randomness(
                    self.seeing.of_stage(self.made[TENTH_OF_RATE]), twin, self.figures.real.mean
                ),
            )  # fmt: skip
            transferred = [name for name in seen.names if name.startswith("twin: ")]
            yield checks.transfer(
                checks.worst_of(answers, self._direct()), checks.worst_of(answers, transferred)
            )
        rungs = [name for name in map(stages.rung, stages.LADDER) if name in self.made]
        if len(rungs) < 2:
            yield checks.missing("V4", "scheme", "there were no passes for a second rung")
        else:
            yield checks.draws_ladder([answers[name] for name in rungs])

    def _direct(self) -> list[str]:
        """Attacks by gradients of the defence itself, its draws known or not, that started at the images."""
        return [
            name
            for name, made in self.made.items()
            if made.stage.target == RANDOMIZED_PGD
            and made.stage.on in ("scheme", "known draw")
            and not made.stage.starts
            and made.stage.times == made.stage.strength == 1
        ]

    def _compared(self, on: On, prefix: str, answers: Mapping[str, Answers]) -> Iterator[Test | Check]:
        """V5 to V8, which are made on the defence and on what it is compared with."""
        main, half, smaller, larger, square = (
            prefix + name for name in (MAIN, HALF, SMALLER, LARGER, SQUARE_NAME)
        )
        yield self._if("V5", on, [half], lambda: checks.steps_ladder(on, answers[half], answers[main]))
        clean = float(answers[UNPERTURBED].chance.mean())
        yield self._unbounded(on, prefix + UNBOUNDED, clean)
        missing = self._missing("V7", on, half, smaller, larger)
        if missing is not None:
            yield missing
        else:
            beyond = self.seeing.of_stage(self.made[larger])
            yield from checks.monotone(on, answers[smaller], answers[half], beyond)

        def without() -> Test:
            if on != "scheme":
                return checks.gradient_free(on, answers[main], answers[square])
            direct = checks.worst_of(answers, self._direct())
            blind = [name for name in (square, VOTED) if name in answers]
            return checks.gradient_free(on, direct, checks.worst_of(answers, blind))

        yield self._if("V8", on, [square], without)

    def _unbounded(self, on: On, stage: str, clean: float) -> Test | Check:
        return self._if(
            "V6", on, [stage],
            lambda: checks.unbounded(on, self.seeing.of_stage(self.made[stage]), clean),
        )  # fmt: skip

    def _planted(self) -> Check:
        """V10, which takes too long where an effort is short."""
        if self.asked.effort.restarts == 1:
            return checks.missing("V10", "scheme", "it isn't made at this effort")
        return binarisation.check(self.seeing.binarised())

    def _present(self) -> Check:
        """V12: that passes differ."""
        spread, changing = self.seeing.present(self.asked.scheme)
        of_twin = 0.0 if self.asked.twin is None else self.seeing.present(self.asked.twin)[0]
        # sums in another order are no draw
        return checks.randomness_present(spread, max(of_twin, 1e-5), changing)

    def _indicators(self) -> Iterator[Check]:
        for on, name in (("scheme", MAIN), ("twin", f"twin: {MAIN}"), ("baseline", f"baseline: {MAIN}")):
            made = self.made.get(name)
            if made is not None:
                yield from self._of_failure(on, made, self._chances(on)[:, self.seen.of(name)])  # type: ignore[arg-type]

    def _chances(self, on: str) -> np.ndarray:
        """How often each sample of each image is right, shape (images, samples)."""
        if on == "scheme":
            return np.stack([self.seen.answers[name].chance for name in self.seen.names], axis=1)
        right = self.seen.twin if on == "twin" else self.seen.baseline
        assert right is not None
        return right.T.astype(float)

    def _of_failure(self, on: On, made: Made, right: np.ndarray) -> Iterator[Check]:
        clean = self._chances(on)[:, self.seen.of(UNPERTURBED)] > 0.5
        zero = self.seeing.no_gradient(self.asked.subject(on))
        says = "the gradient of {} of the images that are right is zero"
        yield checks.indicator("I1", on, zero, clean, says)
        if self.asked.effort.restarts > 1:
            yield checks.unstable(on, *self.seeing.around(self.asked.subject(on)), clean)
        else:
            yield checks.missing("I2", on, "it isn't made at this effort")
        assert made.losses is not None
        assert made.shares is not None
        assert made.errors is not None
        standing = right > 0.5
        says = "{} of the images not fooled were, on the way"
        way = stages.on_its_way(made.stage.name)
        # on the draws that those returned are judged by, or chance would tell
        shares = (
            made.shares if way not in self.seen.names else 1 - self._chances(on)[:, [self.seen.of(way)]].T
        )
        yield checks.indicator("I3", on, checks.silent(shares, 1 - right), standing, says)
        says = "the loss of {} of the images not fooled still fell at the end"
        yield checks.indicator("I4", on, checks.unfinished(made.losses, made.errors), standing, says)
