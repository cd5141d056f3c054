"""One row of an audit: a defence in one ball, attacked by its plan, its samples pooled, scored and checked.

Here belongs the order of things, and what is found. How samples are made is in ``making``, who looks at them
in ``seeing``, what is computed in ``figures`` and ``checks``, what it means in ``verdict``.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bench.analysis.audit import figures, making, pool, stages, verdict
from bench.analysis.audit.asked import Asked
from bench.analysis.audit.checking import UNPERTURBED, Checking, Seen
from bench.analysis.audit.figures import Answers, Figures
from bench.analysis.audit.making import Made, Making
from bench.analysis.audit.seeing import Seeing
from bench.analysis.audit.stage import KNOWN, Stage
from bench.analysis.audit.stages import plan, within
from bench.analysis.audit.verdict import Check, Verdict
from bench.measuring.intervals import Difference

TIMED = 5
"""Passes with a gradient by which it is estimated how long a row takes."""


@dataclass(frozen=True)
class Row:
    """What an audit found of one defence in one ball.

    Attributes:
        figures: Accuracies and differences.
        verdict: What is concluded.
        checks: All that were made.
        made: Every stage's samples.
        answers: Of the scheme to each pooled sample, on the draws that chose.
        names: Of the samples of the pool, in its order.
        which: Each image's worst sample, a place in the pool.
        right: The scheme's answers to these.
        worst: That sample of each image, shape (images, channels, height, width).
        strongest: The attack without which the accuracy would rise most.
        without: For each attack by how many points it would, on the draws that chose.
        naive: What the strongest attack of somebody who didn't know leaves on fresh draws, and what its own
            claims leave, in [0, 1].
        clean, twin_clean: Accuracy on the images as they are, in [0, 1].
        left_out: Stages that there were no passes for.
        passes: Of an image, in all; a forward one counts a third.
        seconds: Wall time of attacks, whenever they were run.
    """

    figures: Figures
    verdict: Verdict
    checks: list[Check]
    made: dict[str, Made]
    answers: dict[str, Answers]
    names: list[str]
    which: np.ndarray
    right: Answers
    worst: np.ndarray
    strongest: str
    without: dict[str, float]
    naive: tuple[float, float]
    clean: float
    twin_clean: float | None
    left_out: list[str]
    passes: float
    seconds: float


class Audit:
    """One row, being worked out.

    Args:
        asked: What is asked.
    """

    def __init__(self, asked: Asked):
        self.asked = asked
        self.making = Making(asked)
        self.seeing = Seeing(asked)

    def run(self) -> Row:
        """All of it.

        Raises:
            ConfigError: if there are fewer passes than the shortest plan takes.
            AttackError, NotFinite: as ``attacking.attack`` does.
        """
        asked = self.asked
        every = self._plan()
        chosen = self._within(every)
        left_out = [stage.name for stage in every if stage not in chosen]
        for stage in chosen:
            asked.progress(stage.name)
            self.making.make(stage)
        for name, (run, said_of_it) in asked.extra.items():
            asked.progress(name)
            self.making.bring(name, run, said_of_it)
        asked.progress("choosing and scoring")
        seen, which, tensors = self._seen()
        found = self._figures(seen)
        all_checks = Checking(asked, self.making.made, self.seeing, seen, found, left_out).all()
        said = verdict.verdict(
            found, all_checks, len(asked.x),
            random=asked.scheme.defended.random, claim=asked.claim, margin=asked.margin,
        )  # fmt: skip
        return Row(
            found, said, all_checks, self.making.made, dict(seen.answers), list(seen.names), which,
            seen.right, pool.picked(tensors, which).cpu().numpy(), *self._strongest(seen.answers),
            self._naive(seen.answers),
            float(seen.answers[UNPERTURBED].chance.mean()),
            None if seen.twin is None else float(seen.twin[0].mean()),
            left_out,
            self._choosing(len(tensors)) + sum(one.passes for one in self.making.made.values()),
            sum(one.seconds for one in self.making.made.values()),
        )  # fmt: skip

    # the plan

    def _plan(self) -> list[Stage]:
        asked = self.asked
        if not asked.random:
            # it is its own twin
            return plan(asked.effort, asked.norm, twin=True, baseline=False, classes=asked.classes)
        return plan(
            asked.effort, asked.norm, random=True,
            twin=asked.twin is not None, baseline=asked.baseline is not None,
            rates=bool(asked.scheme.defended.scheme), classes=asked.classes,
            draws=KNOWN if asked.states is None else len(asked.states),
        )  # fmt: skip

    def _choosing(self, samples: int) -> float:
        """Passes of an image that choosing and scoring so many samples takes, at most."""
        others = sum(one is not None for one in (self.asked.twin, self.asked.baseline))
        if self.asked.states is not None:
            return samples * (len(self.asked.states) + others) / 3
        best = min(pool.BEST, samples)
        answers = samples * (pool.FIRST + KNOWN) + pool.SECOND * best + pool.SCORED
        return (self.several * answers + others * samples) / 3

    @property
    def several(self) -> int:
        """Passes that make one answer of the scheme."""
        return self.asked.scheme.defended.passes

    def _within(self, every: Sequence[Stage]) -> list[Stage]:
        """The stages that there are passes for, and says how long they will take."""
        asked = self.asked
        started = time.perf_counter()
        self._timed()
        each = (time.perf_counter() - started) / TIMED / self.several
        in_time = None if asked.minutes is None else 60 * asked.minutes / each
        # an effort is of answers: else there would be none of many passes
        effort = self.several * asked.effort.passes
        allowed = min(limit for limit in (effort, asked.passes, in_time) if limit is not None)
        # beside the stages' the images as they are, and the best on an attack's way
        many = len(asked.samples) + len(asked.extra) + 2
        # of every sample more than the best few alike
        few = many + pool.BEST
        pooled = self._choosing(few + 1) - self._choosing(few)
        besides = self._choosing(few) - pool.BEST * pooled
        chosen = within(every, allowed, besides, pooled, len(asked.x), self.several)
        passes = besides + sum(stage.of(len(asked.x), self.several) + pooled * stage.pool for stage in chosen)
        asked.progress(
            f"at most {passes:.0f} passes of {len(asked.x)} images, {passes * each / 60:.1f} minutes by "
            f"{TIMED} passes that were timed"
        )
        return chosen

    def _timed(self) -> None:
        """Passes of all images with a gradient, as an attack makes them."""
        asked, subject = self.asked, self.asked.scheme
        images = torch.from_numpy(asked.originals).to(asked.labels.device)
        size = subject.looker.batch_size
        with subject.defended.model(0) as model:
            for _ in range(TIMED):
                for part, labels in zip(images.split(size), asked.labels.split(size), strict=True):
                    given = part.clone().requires_grad_()
                    torch.autograd.grad(making.margin(model(given), labels).sum(), given)

    # the pool and its figures

    def _pool(self) -> dict[str, np.ndarray]:
        """Every sample that counts: in the ball, or the image as it is in its place."""
        asked = self.asked
        found = {UNPERTURBED: asked.originals}
        for name, made in self.making.made.items():
            if made.stage.pool:
                found[name] = pool.inside(made.images, asked.originals, asked.norm, asked.epsilon)
            if made.on_its_way is not None:
                way = pool.inside(made.on_its_way, asked.originals, asked.norm, asked.epsilon)
                found[stages.on_its_way(name)] = way
        for name, (images, rows) in asked.samples.items():
            brought = asked.originals.copy()
            brought[rows] = images
            found[name] = pool.inside(brought, asked.originals, asked.norm, asked.epsilon)
        return found

    def _seen(self) -> tuple[Seen, np.ndarray, list[Tensor]]:
        asked, seeing = self.asked, self.seeing
        named = self._pool()
        tensors = [torch.from_numpy(one).to(asked.labels.device) for one in named.values()]
        first = seeing.first(tensors)
        which, right = seeing.scored(tensors, first)
        known = seeing.known(tensors, first)
        seen = Seen(
            names=list(named),
            answers={name: seeing.answers(one) for name, one in zip(named, first, strict=True)},
            right=seeing.answers(right),
            twin=None if asked.twin is None else seeing.withstands(asked.twin, tensors),
            baseline=None if asked.baseline is None else seeing.withstands(asked.baseline, tensors),
            known=known,
            shares=np.full(len(known), 1 / len(known)) if seeing.chances is None else seeing.chances,
        )
        return seen, which, tensors

    def _figures(self, seen: Seen) -> Figures:
        found = figures.figures(
            seen.right,
            None if seen.twin is None else np.asarray(seen.twin.all(0)),
            seen.shares @ seen.known.all(1),
            None if seen.baseline is None else np.asarray(seen.baseline.all(0)),
            self.asked.groups,
        )
        if self.asked.random:
            return found
        # it is its own twin, by construction
        zero = Difference(0.0, 0.0, 0.0, 1.0)
        return replace(found, worth=zero, worth_any_of_10=zero, operation=zero, secrecy=zero)

    def _strongest(self, answers: Mapping[str, Answers]) -> tuple[str, dict[str, float]]:
        """The attack without which the accuracy would rise most, and for each by how many points."""
        names = list(answers)
        left = np.stack([answers[name].chance for name in names])
        without = {
            name: 100 * float((np.delete(left, place, axis=0).min(0) - left.min(0)).mean())
            for place, name in enumerate(names)
            if name != UNPERTURBED
        }
        return max(without, key=lambda name: without[name]), without

    def _naive(self, answers: Mapping[str, Answers]) -> tuple[float, float]:
        """Of the strongest attack of somebody who didn't know, chosen on half of the draws."""
        found = {}
        for name, made in self.making.made.items():
            if made.stage.naive:
                # what it found outside the ball is no sample of it
                right = np.where(made.inside, answers[name].right, answers[UNPERTURBED].right)
                found[name] = self.seeing.answers(right).halves(), made.claimed
        strongest = min(found, key=lambda name: float(found[name][0][0].chance.mean()))
        (_, rest), claimed = found[strongest]
        return float(rest.chance.mean()), float(1 - claimed.mean())
