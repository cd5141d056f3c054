"""Every interval of the project, each with its source.

Here belongs what makes a 95 % interval of figures, and what is done with intervals. Where the figures
come from, and what is concluded from them, does not. ``scripts/coverage.py`` simulates how often the
intervals hold the truth.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

FULL_DEPENDENCE = "bound of full dependence"
"""What tables call an interval of ``mean_of``."""
Z = float(stats.norm.ppf(0.975))
MOST_DRAWS = 1000
"""Draws of one row that are told from shares; of more, this many are believed."""


class Estimate(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)
"""What was not measured."""


def estimate(shares: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean share, with a 95 % interval for images and draws like these.

    Wilson's score interval for the effective number of images, ``m (1 - m) / V`` of a mean ``m`` with
    variance ``V``. Draws of one image are alike, and so are attacks on it at several targets, so that
    ``V`` is taken between images. That number is

    * lessened by ``(z / t)^2``, since ``V`` is itself estimated. Student's ``t`` has ``n - 1`` degrees of
      freedom, but never more than the sum of ``8 y (1 - y)`` over the images' shares ``y``: only an image
      whose draws differ among themselves tells that it is worth more than one draw, and near 0 and 1 few
      do. That sum is our own, chosen by simulation;
    * no more than all the draws there are, which is what images of one and the same share are worth.
      ``V`` counts as no less than one draw more or less would make it: images that agree exactly have a
      ``V`` of 0, but no interval of no width;
    * no less than the images, since no spread of shares is larger than that of 0 and 1.

    For shares of 0 and 1 alone, each of its own image, it is Wilson's interval for a proportion.

    Args:
        shares: For each attacked image the share of its draws, in [0, 1], shape (rows,).
        groups: Which image each row is of, shape (rows,); None: each is another.

    Returns:
        The estimate; NaN throughout for no images.

    Source: Wilson (1927); Korn and Graubard (1998) for the effective sample size and its Student's t.
    """
    if not len(shares):
        return NOTHING
    means, rows = _by_image(shares, groups)
    mean = float(np.mean(shares))
    draws = len(shares) * _draws(shares)
    variance = max(_variance(means, rows), draws**-2)
    telling = min(len(rows) - 1.0, float((8 * means * (1 - means)).sum()))
    # far under one degree of freedom t is more than floats hold, and nothing is known of the spread
    t = float(stats.t.ppf(0.975, telling)) if telling > 0.01 else math.inf
    effective = min(draws, mean * (1 - mean) / variance * (Z / t) ** 2)
    # images of few rows weigh less
    least = len(shares) ** 2 / float((rows**2).sum())
    return _wilson(mean, max(effective, least))


def _wilson(mean: float, n: float) -> Estimate:
    centre = (mean + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
    # at 0 and 1 the bound is exact, but not in floating point
    return Estimate(mean, min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half)))


def _draws(shares: np.ndarray) -> int:
    """The fewest draws a row that give these shares: they are counts over it."""
    different = np.unique(shares)
    for draws in range(1, MOST_DRAWS):
        if np.allclose(different * draws, np.round(different * draws), rtol=0, atol=1e-9 * draws):
            return draws
    return MOST_DRAWS


def mean_interval(values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean of any figure, with Student's 95 % interval between images; NaN where there is none.

    It has no width where the figure is the same for every image, as Linf at a fixed epsilon is.

    Args:
        values: Shape (rows,).
        groups: Which image each row is of, shape (rows,); None: each is another.

    Source: Student (1908); Cochran (1977), section 9A, for several rows an image.
    """
    if not len(values):
        return NOTHING
    means, rows = _by_image(values, groups)
    mean, n = float(np.mean(values)), len(means)
    half = float(stats.t.ppf(0.975, n - 1) * math.sqrt(_variance(means, rows))) if n > 1 else math.nan
    return Estimate(mean, mean - half, mean + half)


def ratio(noise: np.ndarray, signal: np.ndarray) -> Estimate:
    """The mean of ``noise`` over that of ``signal``, with a 95 % interval between images.

    A ratio of means, since single images' ratios have no mean where their signal comes near 0.

    Args:
        noise, signal: Of each image, shape (images,).

    Returns:
        The estimate; infinite, without an interval, where the mean of ``signal`` is not over 0.

    Source: Cochran (1977), section 6.4, the linearised variance of a ratio.
    """
    below = signal.mean()
    if below <= 0:
        return Estimate(math.inf, math.nan, math.nan)
    mean = noise.mean() / below
    return mean_interval(mean + (noise - mean * signal) / below)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates that may depend on each other, with the bound of full dependence.

    Cells of one table are measured on the same images, and the deviation of a mean of any figures is at
    most the mean of their deviations; it is that where they vary together. So each half-width is the mean
    of theirs: right for figures that rise and fall together, too wide for others.

    Returns:
        The estimate; NaN throughout for none.

    Source: Minkowski's inequality, in the place of the root of the sum of squares by which Zou and
    Donner (2008) recover the interval of a sum of independent estimates.
    """
    if not estimates:
        return NOTHING
    return Estimate(*(float(np.mean(ends)) for ends in zip(*estimates, strict=True)))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """``one - other``, with the interval that theirs imply if they are independent.

    Two schemes measured on the same images are not: where both find the same images hard the interval
    is too wide, and a verdict by it errs towards ``undecided``.

    Source: Newcombe (1998), method 10.
    """
    centre = one.mean - other.mean
    return Estimate(
        centre,
        centre - math.hypot(one.mean - one.low, other.high - other.mean),
        centre + math.hypot(one.high - one.mean, other.mean - other.low),
    )


def _by_image(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Each image's mean, and how many rows it has, shape (images,)."""
    if groups is None:
        return values, np.ones(len(values), int)
    of = np.unique(groups, return_inverse=True)[1]
    rows = np.bincount(of)
    return np.bincount(of, values) / rows, rows


def _variance(means: np.ndarray, rows: np.ndarray) -> float:
    """The variance of the mean of all rows, those of one image being alike; 0 for a single image.

    Source: Cochran (1977), section 9A, clusters of unequal sizes; with one row an image it is the
    variance over n.
    """
    n, total = len(means), rows.sum()
    residuals = rows * (means - (rows * means).sum() / total)
    return float(n / max(n - 1, 1) * (residuals**2).sum() / total**2)
