"""Every interval of the project, each with its source.

Here belongs what makes a 95 % interval of figures, and what is done with intervals. Where the figures
come from, and what is concluded from them, does not. ``scripts/coverage.py`` simulates how often the
intervals hold the truth.
"""

import math
from collections.abc import Callable, Sequence
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
    return _score(mean, _variance(means, rows), _telling(means), draws, _at_least(rows))


def two_way(by_image: np.ndarray, by_draw: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean share where all images of a pass see one draw, with a 95 % interval for both being random.

    Then not only the draws of an image are alike, but also the images of a draw, and more images tell
    nothing of draws that were not seen. Of ``r`` rows and ``d`` draws, ``N = r d`` passes of a row, and
    deviations ``e`` from their mean ``m``, the variance of ``m`` is taken between images and between
    draws, less what is counted in both::

        V = V_images + V_draws - V_passes
        V_images = n / (n - 1) * sum over n images of (sum of the image's e)^2 / N^2
        V_draws  = d / (d - 1) * sum over d draws of (sum of the draw's e)^2 / N^2
        V_passes = N / (N - 1) * sum of e^2 / N^2 = m (1 - m) / (N - 1)

    Each part has the factor for its own number of clusters. ``V`` counts as no less than the larger of
    ``V_images`` and ``V_draws``: each is right where images, or draws, are all there is of spread, and by
    chance the difference comes out less, even below 0. Several rows of one image count as one cluster of
    images; in ``V_passes`` they are apart, so that ``V`` is too large where they are alike in a pass.

    From ``V`` it is the interval of ``estimate``: Wilson's, for ``m (1 - m) / V (z / t)^2``. Student's
    ``t`` has the degrees of freedom of the fewer clusters, less one, but never more than the sum of
    ``8 y (1 - y)`` over images' shares or over draws'. That number is no more than ``N``, and no less
    than the fewer of images and draws, so that what holds in all of a few draws is not certain of others.

    Where a pass takes a batch of the images, a draw is a pass of each batch: ``V_draws`` is right as it
    is, and ``V_images`` rather too large. No interval knows of a kind of draw that was not seen: if one
    pass of ten is of another network, 20 draws miss it one time in eight, and then so does the interval.

    Args:
        by_image: In how many draws each row is a success, integers from 0 to d, shape (r,).
        by_draw: Of how many rows each draw is one, integers from 0 to r, shape (d,).
        groups: Which image each row is of, shape (r,); None: each is another.

    Returns:
        The estimate; NaN throughout for no images or no draws.

    Raises:
        ValueError: if the two do not have the same sum, as counts of the same successes have.

    Source: Cameron, Gelbach and Miller (2011) for the variance, its factors and its Student's t; Wilson
    (1927) and Korn and Graubard (1998) as for ``estimate``. The bounds are our own, tried by simulation.
    """
    rows, draws = len(by_image), len(by_draw)
    if not rows or not draws:
        return NOTHING
    if by_image.sum() != by_draw.sum():
        raise ValueError(f"{by_image.sum()} successes by image, but {by_draw.sum()} by draw")
    means, of_image = _by_image(by_image / draws, groups)
    shares = by_draw / rows
    passes = rows * draws
    mean = float(by_image.sum() / passes)
    images, between = _variance(means, of_image), _variance(shares, np.ones(draws, int))
    both = mean * (1 - mean) / max(passes - 1, 1)
    variance = max(images + between - both, images, between)
    telling = min(_telling(means), _telling(shares))
    return _score(mean, variance, telling, passes, min(_at_least(of_image), draws))


def _telling(means: np.ndarray) -> float:
    """Degrees of freedom of a variance between clusters of these mean shares."""
    return min(len(means) - 1.0, float((8 * means * (1 - means)).sum()))


def _at_least(rows: np.ndarray) -> float:
    """How many images these are worth at least, of so many rows each: those of few rows weigh less."""
    return float(rows.sum() ** 2 / (rows**2).sum())


def _score(mean: float, variance: float, telling: float, draws: int, least: float) -> Estimate:
    """Wilson's interval for the effective number of images, for a variance of so many degrees of freedom."""
    variance = max(variance, draws**-2)
    # far under one degree of freedom t is more than floats hold, and nothing is known of the spread
    t = float(stats.t.ppf(0.975, telling)) if telling > 0.01 else math.inf
    effective = min(draws, mean * (1 - mean) / variance * (Z / t) ** 2)
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


class Difference(NamedTuple):
    """A mean difference, its 95 % interval, and the two-sided p-value that it is 0."""

    mean: float
    low: float
    high: float
    p: float


def paired(differences: np.ndarray, groups: np.ndarray | None = None, besides: float = 0.0) -> Difference:
    """The mean of differences of two shares of the same images, with a 95 % interval between images.

    As if two images more were there, one without a difference and one with half its weight at 1, half at -1,
    so that it is never of no width; Student's t with one degree of freedom less than images.

    Args:
        differences: Of each image, in [-1, 1], shape (images,); at least 2.
        groups: Of which cluster each image is, shape (images,), at least 2 of them; None: of one of its own.
        besides: The variance of what all images have in common.

    Returns:
        The mean as it is; interval and p-value are of the adjusted one.

    Source: Agresti and Min (2005), section 2, for differences of -1, 0 and 1; for shares it is our own, tried
    by simulation (``scripts/coverage.py``).
    """
    clusters = len(differences) if groups is None else len(np.unique(groups))
    centre, variance = _adjusted(differences, groups)
    return _student(float(np.mean(differences)), centre, variance + besides, clusters - 1)


def paired_by_pass(
    differences: np.ndarray, groups: np.ndarray | None = None, of_one_pass: bool = False
) -> Difference:
    """Likewise where all images of a pass see one draw: images and draws are both random.

    Args:
        differences: Of each pass and image, in [-1, 1], shape (passes, images); at least 2 of each. For a
            figure that is no mean over passes they are jackknife pseudo-values, see ``pseudo_values``.
        groups: As for ``paired``.
        of_one_pass: Whether what each image has elsewhere was seen on one pass, whose draw is random, too.

    Returns:
        As ``paired``: its variance between images, and between passes, less what is counted in both, but no
        less than the larger of the two; Student's t with the degrees of freedom of the fewer.

    Source: Cameron, Gelbach and Miller (2011) for the variance; otherwise as ``paired``.
    """
    passes, images = differences.shape
    centre, between = _adjusted(differences.mean(0), groups)
    clusters = images if groups is None else len(np.unique(groups))
    mean = float(differences.mean())
    by_pass = differences.mean(1)
    of_passes = float(((by_pass - mean) ** 2).sum() / (passes - 1) / passes)
    of_passes *= 1 + passes if of_one_pass else 1
    cells = differences.size
    both = float(((differences - mean) ** 2).sum() / (cells - 1) / cells)
    variance = max(between + of_passes - both, between, of_passes)
    return _student(mean, centre, variance, min(passes, clusters) - 1)


def pseudo_values(figure: Callable[[np.ndarray, int], np.ndarray], right: np.ndarray) -> np.ndarray:
    """What each pass adds to a figure of every image: ``N a - (N - 1) a_-d``, shape (passes, images).

    Args:
        figure: Of counts of wrong draws, shape (images,), and how many draws, a figure of each image.
        right: Whether each image is right on each pass, booleans of shape (passes, images).

    Source: Tukey (1958), the jackknife.
    """
    passes = len(right)
    wrong = (~right).sum(0)
    whole = figure(wrong, passes)
    without = np.stack([figure(wrong - ~one, passes - 1) for one in right])
    return passes * whole - (passes - 1) * without


def _adjusted(differences: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """The mean and its variance, with two images more."""
    n = len(differences) + 2
    values = np.concatenate([differences, [1.0, -1.0, 0.0]])
    weights = np.concatenate([np.ones(len(differences)), [0.5, 0.5, 1.0]])
    centre = float((weights * values).sum() / n)
    squares = float((weights[-3:] * (values[-3:] - centre) ** 2).sum())
    away = differences - centre
    if groups is not None:
        # images of a cluster go together
        away = np.bincount(np.unique(groups, return_inverse=True)[1], away).astype(float)
    return centre, float(((away**2).sum() + squares) / n**2)


def _student(mean: float, centre: float, variance: float, degrees: int) -> Difference:
    half = float(stats.t.ppf(0.975, degrees)) * math.sqrt(variance)
    p = 2 * float(stats.t.sf(abs(centre) / math.sqrt(variance), degrees))
    return Difference(mean, max(-1.0, min(mean, centre - half)), min(1.0, max(mean, centre + half)), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, raised so that one in all is wrong at most as often as its level says.

    Source: Holm (1979).
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, largest = [1.0] * len(p_values), 0.0
    for place, which in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[which]))
        adjusted[which] = largest
    return adjusted


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
