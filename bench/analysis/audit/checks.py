"""Checks that void what an audit's attacks found, each a small function of what was seen.

Here belongs what is compared, with its source, and from where on it fails. What a failed check means for the
verdict is in ``verdict``; which attacks were run, in ``stages``.

A difference is *beyond* if it is over ``BEYOND`` points and its two-sided p-value, raised after Holm over all
paired tests of the row, is under ``LEVEL``. Both are our own choice.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.audit.figures import Answers, Figures
from bench.analysis.audit.verdict import Check, On
from bench.measuring import intervals
from bench.measuring.intervals import Difference

BEYOND = 2.0
"""Points, ours."""
LEVEL = 0.05

RESUBMISSION = 10.0
"""Points between one query and ten tries from which on it is said that the figure is of one query, ours."""

FLAGGED = 10.0
"""Percent of the images not fooled from which on an indicator fails, ours."""


@dataclass(frozen=True)
class Test:
    """A difference that mustn't be beyond.

    Attributes:
        name: Of the check.
        on: What it was made on.
        difference: Which is over 0 where the check would fail.
        says: What it says then, with ``{}`` for the points.
        least: Points that it has to be over, too, if not ``BEYOND``.
    """

    name: str
    on: On
    difference: Difference
    says: str
    least: float = BEYOND


def decided(tests: Sequence[Test]) -> list[Check]:
    """All paired tests of a row together: each is told whether it is beyond."""
    found = []
    for test, p in zip(tests, intervals.holm([test.difference.p for test in tests]), strict=True):
        points = 100 * test.difference.mean
        fails = points > test.least and p < LEVEL
        evidence = f"{test.says.format(f'{points:.1f} points')} (p = {p:.2g} after Holm)"
        found.append(Check(test.name, test.on, "fails" if fails else "passes", points, test.least, evidence))
    return found


def missing(name: str, on: On, why: str) -> Check:
    """A check that doesn't apply, and why."""
    return Check(name, on, "doesn't apply", math.nan, math.nan, why)


def fixed_randomness(real: Answers, known: np.ndarray, groups: np.ndarray | None) -> Test:
    """V1: an attack that knows the draw leaves less than one that doesn't.

    Args:
        real: Of the row's worst samples.
        known: On which share of known draws each image withstands the attack that knows it, and that alone,
            shape (images,).
        groups: Which images share a known draw.

    Source: Carlini et al. (2019), section 5.3: fix the randomness, and the attack must succeed.
    """
    less = real.less(known, groups=groups)
    turned = Difference(-less.mean, -less.high, -less.low, less.p)
    return Test("V1", "scheme", turned, "attacks that know the draw leave {} more than those that don't")


def gradual_randomness(tenth: Answers, twin: np.ndarray, real: float) -> Test:
    """V2: a tenth of the rate earns less than half of what the whole rate does.

    Args:
        tenth: Of the worst sample at a tenth of the rate.
        twin: Whether each image withstands without randomness.
        real: Accuracy at the whole rate.

    Source: Carlini et al. (2019), section 5.3: turn the randomness on gradually. Tenth and half are ours.
    """
    gain = tenth.less(twin.astype(float))
    half = 50 * (real - float(twin.mean()))
    says = f"a tenth of the rate earns {{}}, and half of what the whole rate does is {half:.1f}"
    return Test("V2", "scheme", gain, says, least=max(BEYOND, half))


def transfer(direct: Answers, of_twin: Answers) -> Test:
    """V3: samples of the twin are no better than those of direct attacks that didn't start from them.

    Source: Croce et al. (2022), section 4; Zhang et al. (2024).
    """
    return Test(
        "V3", "scheme", direct.apart(of_twin), "samples made on the twin leave {} less than direct attacks"
    )


def draws_ladder(rungs: Sequence[Answers]) -> Test:
    """V4: more draws a gradient, at equal passes, no longer help at the last rung.

    Source: Gao et al. (2022), section 4.2.
    """
    return Test(
        "V4", "scheme", rungs[-2].apart(rungs[-1]), "the last rung of draws a gradient leaves {} less"
    )


def steps_ladder(on: On, half: Answers, whole: Answers) -> Test:
    """V5: twice the steps no longer help.

    Source: Carlini et al. (2019), section 4.3: doubling the iterations mustn't help.
    """
    return Test("V5", on, half.apart(whole), "twice the steps leave {} less")


def unbounded(on: On, left: Answers, clean: float) -> Test:
    """V6: in a ball in which another class's image lies, next to nothing is left.

    Args:
        on: What was attacked.
        left: Answers to what was found there.
        clean: Its accuracy, in [0, 1].

    Source: Athalye et al. (2018), section 3.1; indicator I6 of Pintor et al. (2022).
    """
    least = max(0.01, 1 - clean)
    over = left.less(np.full(left.right.shape[1], least))
    return Test("V6", on, over, f"without a bound {{}} more are left than {100 * least:.1f} %", least=BEYOND)


def monotone(on: On, half: Answers, whole: Answers, twice: Answers) -> list[Test]:
    """V7: a larger ball leaves no more.

    Source: Carlini et al. (2019), section 4.3.
    """
    return [
        Test("V7", on, whole.apart(half), "the whole ball leaves {} more than half of it"),
        Test("V7", on, twice.apart(whole), "twice the ball leaves {} more than the whole"),
    ]


def gradient_free(on: On, direct: Answers, without: Answers) -> Test:
    """V8: an attack without gradients is no better than those with them.

    Source: Athalye et al. (2018), section 3.1; AutoAttack's flag (Croce and Hein 2020).
    """
    return Test("V8", on, direct.apart(without), "an attack without gradients leaves {} less")


def luck(name: str, claimed: np.ndarray, answers: Answers) -> Test:
    """V9: what an attack claims holds on fresh draws; where it doesn't the claim is struck out.

    Args:
        name: The attack's.
        claimed: Booleans of shape (images,).
        answers: To its samples, on fresh draws.

    Source: Zhang et al. (2024), whose own log has 15.6 points of luck.
    """
    # a claim is made on a draw or few
    less = answers.less(1.0 - claimed, of_one_pass=True)
    return Test("V9", "scheme", less, f"{name} claims {{}} more than fresh draws bear out")


def resubmission(figures: Figures) -> Check:
    """V11: how much of the accuracy is there only while the attacker may ask once. A remark.

    Source: DiffHammer (Wang et al. 2024); DiffBreak (Kassis et al. 2025).
    """
    points = 100 * (figures.real.mean - figures.any_of_10)
    evidence = f"ten tries leave {points:.1f} points less than one query"
    if points > RESUBMISSION:
        evidence += ": it depends on an attacker who asks once"
    return Check(
        "V11", "scheme", "fails" if points > RESUBMISSION else "passes", points, RESUBMISSION, evidence
    )


def randomness_present(spread: float, of_twin: float, changing: float) -> Check:
    """V12: passes over the same images differ, by more than the twin's do.

    Args:
        spread: The largest difference of logits over passes, relative to their size.
        of_twin: Likewise of the twin; 0 where there is none.
        changing: Share of images whose label ever changes.

    Source: ``checks.py`` of AutoAttack (Croce and Hein 2020).
    """
    evidence = (
        f"logits differ by {spread:.2g} of their size from pass to pass, the twin's by {of_twin:.2g}; "
        f"the label changes for {100 * changing:.1f} % of images"
    )
    return Check("V12", "scheme", "passes" if spread > of_twin else "fails", spread, of_twin, evidence)


def no_benefit(figures: Figures, margin: float) -> Check:
    """V13: what the randomness is worth may be over the margin. Rule 2 of the verdict.

    Source: Pinot et al. (2022); Lucas et al. (2023).
    """
    if figures.worth is None:
        return missing("V13", "scheme", "there is no twin to compare with")
    high = 100 * figures.worth.high
    evidence = f"it is worth at most {high:.1f} points for one query"
    return Check("V13", "scheme", "fails" if high < margin else "passes", high, margin, evidence)


def indicator(name: str, on: On, flagged: np.ndarray, of: np.ndarray, says: str) -> Check:
    """An indicator of attack failure: it fails where it flags over ``FLAGGED`` percent of the images.

    Args:
        name: ``I1``: gradients that are zero; ``I2``: a loss that jumps about, a remark; ``I3``: success on
            the way that isn't returned; ``I4``: a loss that is still falling at the end.
        on: What was attacked.
        flagged: Which images it flags, booleans of shape (images,).
        of: Of which it speaks: those not fooled; of I1 and I2 those that are right as they are.
        says: What it says, with ``{}`` for the percentage.

    Source: Pintor et al. (2022), section 3.
    """
    if not of.any():
        return missing(name, on, "no image is right" if name in ("I1", "I2") else "every image was fooled")
    share = 100 * float(flagged[of].mean())
    said = says.format(f"{share:.1f} %")
    return Check(name, on, "fails" if share > FLAGGED else "passes", share, FLAGGED, said)


UNSTABLE = 0.1


def unstable(on: On, losses: np.ndarray, moved: np.ndarray, of: np.ndarray) -> Check:
    """I2: the loss around an image is, on the average, within a tenth of its size of that at the image.

    A remark: it says that gradients may lead nowhere, and voids nothing. An image near a boundary, where the
    loss is next to 0, is flagged though nothing is wrong there.

    Args:
        on: What was attacked.
        losses: At each image, averaged over draws, shape (images,).
        moved: At each offset of it, averaged over the same draws, shape (offsets, images): on others it would
            be the defence's own noise that is measured.
        of: Of which images it speaks: those that are right, booleans of shape (images,).

    Source: Pintor et al. (2022), and the code beside it; a tenth is what uses it there. That over ``FLAGGED``
    percent of the images have to be flagged is ours.
    """
    size = np.where(losses == 0, 1.0, np.abs(losses))
    changes = np.minimum(1, (np.abs(moved - losses) / size).mean(0))
    says = "the loss around {} of the images that are right changes by over a tenth"
    return indicator("I2", on, changes > UNSTABLE, of, says)


UNFINISHED = 0.05
FLAT = 1e-3
"""Of a loss whose whole range is smaller nothing can be told; ours."""


SURE = 2.0
"""By how many standard errors a loss on a few draws has to fall before that isn't chance; ours."""


def unfinished(losses: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """I4: for which images the loss, scaled to its own range, still fell by over 0.05 at the end.

    Args:
        losses: At each look, lower being better, on the same draws at all of them, shape (looks, images).
        errors: The standard error of each of them less the least before it, of the same shape.

    Source: Pintor et al. (2022), and the code beside it; the running minimum as there. The end are the last
    ten steps there, and here what lies between the last two looks: of fifteen a fourteenth of the steps.
    """
    if len(losses) < 2:
        # every image was fooled at once
        return np.zeros(losses.shape[1], dtype=bool)
    low, high = losses.min(0), losses.max(0)
    range_ = np.where(high - low > FLAT, high - low, np.inf)
    scaled = np.minimum.accumulate((losses - low) / range_, axis=0)
    # of a single look, as where every image leaves at once, nothing fell
    fell = losses[:-1].min(0) - losses[-1] if len(losses) > 1 else 0 * low
    flagged: np.ndarray = (scaled[-2:].max(0) - scaled[-1] > UNFINISHED) & (fell > SURE * errors[-1])
    return flagged


def silent(shares: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """I3: which images were fooled on most held-out draws at some look, but aren't by the sample returned.

    Args:
        shares: Of draws that were fooled at each look, shape (looks, images).
        kept: The share of fresh draws that the sample returned fools, shape (images,).

    Source: Pintor et al. (2022); that it is most draws is ours, since else chance would flag it.
    """
    found: np.ndarray = (shares.max(0) > 0.5) & (kept < 0.5) & (shares.max(0) - kept > 0.25)
    return found


def worst_of(answers: Mapping[str, Answers], names: Sequence[str]) -> Answers:
    """Answers to the worst of several samples of each image: chosen on half of the draws, given on the rest.

    Args:
        answers: Of each sample, on the same draws.
        names: Which of them.
    """
    first, rest = zip(*(answers[name].halves() for name in names), strict=True)
    which = np.stack([one.chance for one in first]).argmin(0)
    given = np.stack([one.right for one in rest])
    return dataclasses.replace(rest[0], right=given[which, :, np.arange(given.shape[2])].T)
