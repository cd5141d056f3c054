"""The figures of one row of an audit: accuracies of a defence and of what it is compared with; differences.

Here belongs what is computed from answers that were seen, with its intervals. Which samples they are of, and
what is concluded, does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from bench.measuring import intervals, tries
from bench.measuring.intervals import Difference, Estimate

TRIES = 10
"""How often the attacker may ask in ``any_of_10``."""
VOTERS = 11
"""How many answers ``majority`` is of."""


class Figure(NamedTuple):
    """A share of an image, of what was seen of it.

    Attributes:
        of_draws: Of the counts of wrong draws, shape (images,), and how many draws there were.
        of_chance: Of the chance that one draw is right, shape (images,), where that is known exactly.
    """

    of_draws: Callable[[np.ndarray, int], np.ndarray]
    of_chance: Callable[[np.ndarray], np.ndarray]


ONE_QUERY = Figure(lambda wrong, draws: 1 - wrong / draws, lambda right: right)
"""The share of draws on which an image is right."""


def any_of(count: int) -> Figure:
    """The chance that it is right on all of so many fresh draws."""
    return Figure(lambda wrong, draws: tries.withstands(wrong, draws, count), lambda right: right**count)


def majority_of(voters: int) -> Figure:
    """The chance that it is right on most of so many fresh draws."""
    return Figure(
        lambda wrong, draws: tries.majority(wrong, draws, voters),
        lambda right: binom.sf(voters // 2, voters, np.clip(right, 0, 1)),
    )


@dataclass(frozen=True)
class Answers:
    """What a defence answered to one sample of each image, on draws that chose nothing.

    Attributes:
        right: Whether it was the label, booleans of shape (draws, images), or (states, images).
        shared: Whether all images of a pass see one draw.
        chances: How likely each state is, shape (states,), where these are all that there are; None:
            ``right`` is of draws.
    """

    right: np.ndarray
    shared: bool
    chances: np.ndarray | None = None

    @property
    def wrong(self) -> np.ndarray:
        """On how many draws each image is wrong, shape (images,)."""
        found: np.ndarray = (~self.right).sum(0)
        return found

    @property
    def draws(self) -> int:
        """How many there were."""
        return len(self.right)

    @property
    def chance(self) -> np.ndarray:
        """How often each image is right, in [0, 1], shape (images,)."""
        return self.of_images()

    def of_images(self, figure: Figure = ONE_QUERY) -> np.ndarray:
        """A figure of each image, shape (images,)."""
        if self.chances is not None:
            # sums of chances may be off by rounding
            return figure.of_chance(np.clip(self.chances @ self.right, 0, 1))
        return figure.of_draws(self.wrong, self.draws)

    def accuracy(self) -> Estimate:
        """The share of right answers, with its interval."""
        if self.shared:
            return intervals.two_way(self.right.sum(0), self.right.sum(1))
        return intervals.estimate(self.chance)

    def halves(self) -> "tuple[Answers, Answers]":
        """The first half of the draws, to choose by, and the rest; both are all where that is exact."""
        if self.chances is not None:
            return self, self
        half = self.draws // 2
        return Answers(self.right[:half], self.shared), Answers(self.right[half:], self.shared)

    def less(
        self,
        other: np.ndarray,
        figure: Figure = ONE_QUERY,
        groups: np.ndarray | None = None,
        of_one_pass: bool = False,
    ) -> Difference:
        """A figure less what the same images have elsewhere.

        Args:
            other: Of each image, in [0, 1], shape (images,).
            figure: Which.
            groups: Which images saw one draw there, shape (images,); None: each its own, or none at all.
            of_one_pass: Whether they saw a single draw there, where images share one.
        """
        if not self.shared:
            besides = 0.0
            if of_one_pass and self.chances is not None:
                # all images may have seen one of the states there
                by_state = self.right.mean(1)
                besides = float(self.chances @ (by_state - self.chances @ by_state) ** 2)
            return intervals.paired(self.of_images(figure) - other, groups, besides)
        one = figure is ONE_QUERY
        by_pass = self.right.astype(float) if one else intervals.pseudo_values(figure.of_draws, self.right)
        return intervals.paired_by_pass(by_pass - other, groups, of_one_pass)

    def apart(self, other: "Answers") -> Difference:
        """The accuracy that this sample leaves less that of another, on the same draws."""
        if self.shared:
            return intervals.paired_by_pass(self.right.astype(float) - other.right)
        return intervals.paired(self.chance - other.chance)


@dataclass(frozen=True)
class Figures:
    """Of one row; what wasn't measured is None.

    Attributes:
        real: Accuracy for one query, of each image's worst sample.
        any_of_10, majority: Shares, for ten tries and of a vote of eleven.
        twin, fixed, baseline: Shares: without randomness, with a known draw, of a network trained without.
        worth: ``real`` less ``twin``; ``worth_any_of_10`` likewise for ten tries.
        operation, secrecy: ``fixed`` less ``twin``, and ``real`` less ``fixed``.
        any_of_10_less_fixed: For ten tries less ``fixed``, for a defence without a twin.
        over_baseline: ``real`` less ``baseline``.
    """

    real: Estimate
    any_of_10: float
    majority: float
    twin: float | None
    fixed: float | None
    baseline: float | None
    worth: Difference | None
    worth_any_of_10: Difference | None
    operation: Difference | None
    secrecy: Difference | None
    any_of_10_less_fixed: Difference | None
    over_baseline: Difference | None


def figures(
    answers: Answers,
    twin: np.ndarray | None,
    fixed: np.ndarray | None,
    baseline: np.ndarray | None,
    groups: np.ndarray | None,
) -> Figures:
    """The figures of a row.

    Args:
        answers: Of the defence, to each image's worst sample.
        twin: Whether the twin withstands every sample of the pool, booleans of shape (images,).
        fixed: On which share of known draws each image withstands every sample, and the attacks that know it,
            shape (images,).
        baseline: Whether the baseline withstands, as ``twin``.
        groups: Which images share a known draw, shape (images,); None: each has its own.
    """
    alone = None if twin is None else twin.astype(float)
    other = None if baseline is None else baseline.astype(float)
    ten = any_of(TRIES)

    def less(
        than: np.ndarray | None, figure: Figure, clusters: np.ndarray | None = None
    ) -> Difference | None:
        return None if than is None else answers.less(than, figure, clusters)

    operation = None if fixed is None or alone is None else intervals.paired(fixed - alone, groups)
    return Figures(
        real=answers.accuracy(),
        any_of_10=float(answers.of_images(ten).mean()),
        majority=float(answers.of_images(majority_of(VOTERS)).mean()),
        twin=_mean(alone),
        fixed=_mean(fixed),
        baseline=_mean(other),
        worth=less(alone, ONE_QUERY),
        worth_any_of_10=less(alone, ten),
        operation=operation,
        secrecy=less(fixed, ONE_QUERY, groups),
        any_of_10_less_fixed=less(fixed, ten, groups),
        over_baseline=less(other, ONE_QUERY),
    )


def _mean(values: np.ndarray | None) -> float | None:
    return None if values is None else float(values.mean())
