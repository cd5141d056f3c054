"""The figures of one row of an audit: accuracies of a defence and of what it is compared with; differences.

Here belongs what is computed from answers that were seen, with its intervals. Which samples they are of, and
what is concluded, does not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.measuring import intervals, tries
from bench.measuring.intervals import Difference, Estimate

TRIES = 10
"""How often the attacker may ask in ``any_of_10``."""
VOTERS = 11
"""How many answers ``majority`` is of."""

Figure = Callable[[np.ndarray, int], np.ndarray]
"""Of the counts of an image's wrong draws, shape (images,), and how many draws there were, a share."""


def one_query(wrong: np.ndarray, draws: int) -> np.ndarray:
    """The share of draws on which an image is right."""
    return 1 - wrong / draws


def any_of(count: int) -> Figure:
    """The chance that it is right on all of so many fresh draws."""
    return lambda wrong, draws: tries.withstands(wrong, draws, count)


def majority_of(voters: int) -> Figure:
    """The chance that it is right on most of so many fresh draws."""
    return lambda wrong, draws: tries.majority(wrong, draws, voters)


@dataclass(frozen=True)
class Answers:
    """What a defence answered to one sample of each image, on draws that chose nothing.

    Attributes:
        right: Whether it was the label, booleans of shape (draws, images).
        shared: Whether all images of a pass see one draw.
    """

    right: np.ndarray
    shared: bool

    @property
    def wrong(self) -> np.ndarray:
        """On how many draws each image is wrong, shape (images,)."""
        found: np.ndarray = (~self.right).sum(0)
        return found

    @property
    def draws(self) -> int:
        """How many there were."""
        return len(self.right)

    def of_images(self, figure: Figure = one_query) -> np.ndarray:
        """A figure of each image, shape (images,)."""
        return figure(self.wrong, self.draws)

    def accuracy(self) -> Estimate:
        """The share of right answers, with its interval."""
        if self.shared:
            return intervals.two_way(self.right.sum(0), self.right.sum(1))
        return intervals.estimate(self.right.mean(0))

    def less(
        self, other: np.ndarray, figure: Figure = one_query, groups: np.ndarray | None = None
    ) -> Difference:
        """A figure less what the same images have elsewhere.

        Args:
            other: Of each image, in [0, 1], shape (images,).
            figure: Which.
            groups: Which images saw one draw there, shape (images,); None: each its own, or none at all.
        """
        if not self.shared:
            return intervals.paired(self.of_images(figure) - other, groups)
        by_pass = (
            self.right.astype(float) if figure is one_query else intervals.pseudo_values(figure, self.right)
        )
        return intervals.paired_by_pass(by_pass - other, groups)


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
        fixed: Whether each known draw withstands every sample, and the attacks that know it, booleans of
            shape (known draws, images).
        baseline: Whether the baseline withstands, as ``twin``.
        groups: Which images share a known draw, shape (images,); None: each has its own.
    """
    known = None if fixed is None else fixed.mean(0)
    alone = None if twin is None else twin.astype(float)
    other = None if baseline is None else baseline.astype(float)
    ten = any_of(TRIES)

    def less(
        than: np.ndarray | None, figure: Figure, clusters: np.ndarray | None = None
    ) -> Difference | None:
        return None if than is None else answers.less(than, figure, clusters)

    operation = None if known is None or alone is None else intervals.paired(known - alone, groups)
    return Figures(
        real=answers.accuracy(),
        any_of_10=float(answers.of_images(ten).mean()),
        majority=float(answers.of_images(majority_of(VOTERS)).mean()),
        twin=_mean(alone),
        fixed=_mean(known),
        baseline=_mean(other),
        worth=less(alone, one_query),
        worth_any_of_10=less(alone, ten),
        operation=operation,
        secrecy=less(known, one_query, groups),
        any_of_10_less_fixed=less(known, ten, groups),
        over_baseline=less(other, one_query),
    )


def _mean(values: np.ndarray | None) -> float | None:
    return None if values is None else float(values.mean())
