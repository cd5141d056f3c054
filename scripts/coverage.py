"""How often the project's 95 % intervals hold the truth, simulated: a table in Markdown.

    python scripts/coverage.py

takes about two minutes. Shares are simulated for images that all agree (each of the same true share) and for
images of their own difficulty (Beta distributed, of mean p and the given concentration: the smaller it is,
the more images are all or nothing), at 1, 5 or 20 draws of 1 row or of 9 rows (targets) an image. "mean"
is over true shares from 0.02 to 0.98, "lowest" the least of them, and "1/2" at 0.5. At 200 samples a share
"mean" has a standard error of 0.4 points, "1/2" one of 0.7.

Draws that all images of a pass share are simulated for images of their own difficulty and draws of their own
strength, both normal in logits, of the given standard deviations; the truth is the mean over both. "two-way"
takes both as random, at 1000 samples and a standard error of 0.7; "one-way" the images alone, at 200.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from bench.measuring import intervals
from bench.measuring.intervals import Estimate

IMAGES = (10, 30, 100)
TRUTHS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class Setting:
    """What the shares of a simulation are made of.

    Attributes:
        concentration: Of the Beta distribution of images' own shares; None: each is the truth.
        draws: Passes of each row.
        rows: Rows, such as targets, of each image.
    """

    concentration: float | None
    draws: int
    rows: int

    def __str__(self) -> str:
        how = "agree" if self.concentration is None else f"Beta, {self.concentration:g}"
        return f"{how}; {self.draws} x {self.rows}"


SETTINGS = (
    Setting(None, 1, 1),
    Setting(None, 5, 1),
    *(Setting(c, d, r) for d, r in ((20, 1), (1, 9), (20, 9)) for c in (None, 50.0, 10.0, 2.0, 0.5)),
)


def shares(
    setting: Setting, truth: float, images: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One sample of ``images``: the rows' shares, and which image each row is of."""
    c = setting.concentration
    own = np.full(images, truth) if c is None else rng.beta(c * truth, c * (1 - truth), images)
    rows = rng.binomial(setting.draws, np.repeat(own, setting.rows)) / setting.draws
    return rows, np.repeat(np.arange(images), setting.rows)


def held(interval: Callable[[], Estimate], truth: float, repeats: int) -> float:
    """How many of ``repeats`` intervals hold the truth, in %."""
    found = (interval() for _ in range(repeats))
    return 100 * float(np.mean([e.low <= truth <= e.high for e in found]))


def of_shares(setting: Setting, truth: float, images: int, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``estimate``, in %."""
    return held(lambda: intervals.estimate(*shares(setting, truth, images, rng)), truth, repeats)


@dataclass(frozen=True)
class Shared:
    """What is simulated where all images of a pass see one draw.

    Attributes:
        images, draws: How many.
        image_effect, draw_effect: Standard deviations, in logits.
    """

    images: int
    draws: int
    image_effect: float
    draw_effect: float

    def __str__(self) -> str:
        return f"{self.images} x {self.draws}; {self.image_effect:g}, {self.draw_effect:g}"


SHARED = (
    *(Shared(100, 100, a, b) for a in (0.0, 1.0, 3.0) for b in (0.0, 0.5, 2.0)),
    *(Shared(n, d, 1.0, b) for n, d in ((100, 20), (10, 100), (10, 20)) for b in (0.0, 0.5, 2.0)),
)
SHARED_TRUTHS = (0.02, 0.1, 0.5, 0.9)
NORMAL = stats.norm.ppf((np.arange(10000) + 0.5) / 10000)
"""Of the standard normal distribution, as many quantiles as its means of logistic functions take."""


def counts(
    setting: Shared, truth: float, repeats: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples: in how many draws each image is a success, and of how many images each draw is one."""
    a, b = setting.image_effect, setting.draw_effect
    # Brent's bracket: 30 deviations, beyond which nothing is left to be seen
    far = 30 * (1 + math.hypot(a, b))
    centre = optimize.brentq(lambda c: special.expit(c + math.hypot(a, b) * NORMAL).mean() - truth, -far, far)
    for _ in range(repeats):
        images = centre + a * rng.standard_normal((setting.images, 1), np.float32)
        draws = b * rng.standard_normal(setting.draws, np.float32)
        chances = special.expit(images + draws)
        successes = rng.random(chances.shape, np.float32) < chances
        yield successes.sum(1), successes.sum(0)


def of_shared(setting: Shared, truth: float, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``two_way``, in %."""
    samples = counts(setting, truth, repeats, rng)
    return held(lambda: intervals.two_way(*next(samples)), truth, repeats)


def of_images_alone(setting: Shared, truth: float, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``estimate``, which takes draws as each image's own, in %."""
    samples = counts(setting, truth, repeats, rng)
    return held(lambda: intervals.estimate(next(samples)[0] / setting.draws), truth, repeats)


def of_paired(
    images: int, shape: tuple[float, float], twin: float, repeats: int, rng: np.random.Generator
) -> float:
    """Coverage of ``paired``, in %: 100 draws of each image, less whether the twin is right.

    Args:
        images: How many.
        shape: Of the beta distribution of the chance of an image that the twin gets right; of others it is
            turned around.
        twin: The share of images that the twin gets right.
        repeats, rng: As elsewhere.
    """
    a, b = shape
    truth = (twin * a + (1 - twin) * b) / (a + b) - twin

    def one() -> Estimate:
        right = rng.random(images) < twin
        chances = np.where(right, rng.beta(a, b, images), rng.beta(b, a, images))
        found = intervals.paired(rng.binomial(100, chances) / 100 - right)
        return Estimate(found.mean, found.low, found.high)

    return held(one, truth, repeats)


def of_paired_by_pass(setting: Shared, truth: float, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``paired_by_pass``, in %, against a twin that gets every other image right."""
    a, b = setting.image_effect, setting.draw_effect
    far = 30 * (1 + math.hypot(a, b))
    centre = optimize.brentq(lambda c: special.expit(c + math.hypot(a, b) * NORMAL).mean() - truth, -far, far)

    def one() -> Estimate:
        images = centre + a * rng.standard_normal((1, setting.images))
        chances = special.expit(images + b * rng.standard_normal((setting.draws, 1)))
        twin = rng.random(setting.images) < 0.5
        found = intervals.paired_by_pass((rng.random(chances.shape) < chances) - 1.0 * twin)
        return Estimate(found.mean, found.low, found.high)

    return held(one, truth - 0.5, repeats)


def of_means(images: int, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``mean_interval`` for figures as skewed as distances are (Gamma, shape 4), in %."""
    return held(lambda: intervals.mean_interval(rng.gamma(4, 0.25, images)), 1.0, repeats)


def of_ratios(images: int, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``ratio`` where noise is twice the signal on average, both skewed, in %."""
    return held(lambda: intervals.ratio(rng.gamma(4, 0.5, images), rng.gamma(4, 0.25, images)), 2.0, repeats)


def of_column_means(images: int, repeats: int, rng: np.random.Generator) -> float:
    """Coverage of ``mean_of`` for 5 cells, each a noisy reading of the same images, in %."""

    def one() -> Estimate:
        own = rng.gamma(4, 0.25, images)
        return intervals.mean_of(
            [intervals.mean_interval(own * rng.gamma(16, 1 / 16, images)) for _ in range(5)]
        )

    return held(one, 1.0, repeats)


def table(repeats: int, seed: int) -> str:
    """All of it, in Markdown."""
    rng = np.random.default_rng(seed)
    heads = [f"{n} images, {what}" for n in IMAGES for what in ("mean", "lowest", "1/2")]
    lines = [
        "| " + " | ".join(["shares: images; draws x rows", *heads]) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for setting in SETTINGS:
        row = [str(setting)]
        for images in IMAGES:
            # more at 1/2, which is judged by itself
            found = {p: of_shares(setting, p, images, repeats * (5 if p == 0.5 else 1), rng) for p in TRUTHS}
            row += [f"{v:.1f}" for v in (np.mean(list(found.values())), min(found.values()), found[0.5])]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "| other figures | " + " | ".join(f"{n} images" for n in IMAGES) + " |"]
    lines.append("|---" * (len(IMAGES) + 1) + "|")
    others: Sequence[tuple[str, Callable[[int, int, np.random.Generator], float]]] = (
        ("means of skewed figures", of_means),
        ("ratios of means", of_ratios),
        ("means over 5 cells of the same images", of_column_means),
    )
    for name, coverage in others:
        row = [f"{coverage(images, 5 * repeats, rng):.1f}" for images in IMAGES]
        lines.append("| " + " | ".join([name, *row]) + " |")
    return "\n".join([*lines, "", *shared_table(repeats, rng)])


def shared_table(repeats: int, rng: np.random.Generator) -> list[str]:
    """The lines for draws that are shared."""
    heads = [f"{p:g}, {way}" for p in SHARED_TRUTHS for way in ("two-way", "one-way")]
    lines = [
        "| " + " | ".join(["shared: images x draws; effects of images, of draws", *heads]) + " |",
        "|---" * (len(heads) + 1) + "|",
    ]
    for setting in SHARED:
        row = [str(setting)]
        for truth in SHARED_TRUTHS:
            # fewer of what is known to fail, which takes longer
            row.append(f"{of_shared(setting, truth, 5 * repeats, rng):.1f}")
            row.append(f"{of_images_alone(setting, truth, repeats, rng):.0f}")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def main() -> None:
    """The command of the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python scripts/coverage.py", description="Coverage of intervals, %."
    )
    parser.add_argument(
        "--repeats", type=int, default=200, help="samples a true share (200; five times as many at 1/2)"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(table(given.repeats, given.seed))


if __name__ == "__main__":
    main()
