"""What becomes of a paper's sentences: the forms that its claims take, each a verdict with its evidence.

Here belongs what judges figures by their intervals, whichever paper asks. What a paper claims is in its own
module; how verdicts are laid out is in ``report``.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measuring.intervals import Estimate, difference
from bench.papers.published import Findings

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_MEASURED = "not measured"
"""Where a figure is missing that a sentence is about."""
NOT_TESTED = "not tested"
"""Where the figures can't tell, whatever they are."""

Judged = tuple[str, str]
"""A verdict and its evidence: the figures, or why there are none."""
Test = Callable[[Findings], Judged]
At = Callable[[Findings, Any], Estimate]
"""The figure at one of the things that a claim compares, such as a scheme or an attack."""
Show = Callable[[Estimate], str]


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper.

    Attributes:
        where: Section or table.
        sentence: What the paper says, and how it is tested.
        test: Gives ``HOLDS``, ``FAILS``, ``UNDECIDED`` where the intervals don't tell, ``NOT_MEASURED`` or
            ``NOT_TESTED``, and the evidence.
    """

    where: str
    sentence: str
    test: Test


def measured(value: Estimate) -> bool:
    """Whether there is a figure, with an interval or without."""
    return not math.isnan(value.mean)


def words(value: Estimate, mean: str = ".1f", bounds: str = "") -> str:
    """A figure and its interval; ``not measured`` where there is none, and no interval where that is missing.

    Args:
        value: A figure and its bounds.
        mean: Format of the figure.
        bounds: Format of the bounds; empty: the figure's.
    """
    if not measured(value):
        return NOT_MEASURED
    if math.isnan(value.low) or math.isnan(value.high):
        return f"{value.mean:{mean}} (no interval)"
    return f"{value.mean:{mean}} [{value.low:{bounds or mean}}, {value.high:{bounds or mean}}]"


def decided(values: Sequence[Estimate], holds: bool, fails: bool) -> str:
    """A verdict: the one place where a missing figure is ``not measured``."""
    if not all(map(measured, values)):
        return NOT_MEASURED
    return HOLDS if holds else FAILS if fails else UNDECIDED


def ordered(steps: Sequence[tuple[str, Estimate, str, Estimate]]) -> Judged:
    """Whether each later value is larger than the earlier one, from intervals.

    Args:
        steps: Earlier name and value, later name and value; at least one. The first step decides; the others
            may only contradict.

    Returns:
        ``holds`` if the first difference is over 0 with its whole interval and no other
        step is reversed with its whole interval; ``does not hold`` if the first difference is at or
        under 0 with its whole interval, or another step is reversed; else ``undecided``. And the figures.
        ``not measured``, without figures, if any value is missing.
    """
    differences = [(f"{b} - {a}", difference(y, x)) for a, x, b, y in steps]
    first, others = differences[0][1], differences[1:]
    reversed_ = any(d.high < 0 for _, d in others)
    values = [value for _, one, _, other in steps for value in (one, other)]
    verdict = decided(values, first.low > 0 and not reversed_, first.high <= 0 or reversed_)
    return verdict, "" if verdict == NOT_MEASURED else "; ".join(
        f"{name} {words(d, '+.3g', '.3g')}" for name, d in differences
    )


def small(value: Estimate, limit: float) -> str:
    """``holds`` if the magnitude is under a limit with the whole interval."""
    inside = max(abs(value.low), abs(value.high)) < limit
    return decided([value], inside, value.low > limit or value.high < -limit)


def over(value: Estimate, limit: float) -> str:
    """``holds`` if a figure is over a limit with the whole interval."""
    return decided([value], value.low > limit, value.high < limit)


def cheap(loss: Estimate, limit: float) -> str:
    """``holds`` if a loss is under a limit with the whole interval; a gain is no loss."""
    return small(Estimate(loss.mean, max(loss.low, 0.0), max(loss.high, 0.0)), limit)


def combined(verdicts: Sequence[str]) -> str:
    """The verdict on a sentence that says several things at once; ``not measured`` for one that says none."""
    for verdict in (FAILS, NOT_MEASURED, UNDECIDED):
        if verdict in verdicts:
            return verdict
    return HOLDS if verdicts else NOT_MEASURED


def listed(values: Mapping[str, Estimate], show: Show = words, names: Mapping[str, str] | None = None) -> str:
    """Figures as evidence, each under its name."""
    return "; ".join(f"{(names or {}).get(name, name)} {show(value)}" for name, value in values.items())


def grows(at: At, steps: Sequence[tuple[str, str]]) -> Test:
    """Claims that a figure is larger at the second of each two; the first step decides, as in ``ordered``."""
    return lambda findings: ordered([(a, at(findings, a), b, at(findings, b)) for a, b in steps])


def falls(at: At, steps: Sequence[tuple[str, str]]) -> Test:
    """Claims that a figure is smaller at the second of each two."""
    return grows(at, [(b, a) for a, b in steps])


def falls_along(points: Callable[[Findings], Sequence[tuple[str, Estimate]]]) -> Test:
    """Claims that a figure falls from the first point to the last, without rising on the way.

    Args:
        points: Gives names and values, in their order; fewer than two are no measurement.
    """

    def test(findings: Findings) -> Judged:
        there = points(findings)
        if len(there) < 2:
            return NOT_MEASURED, ""
        steps = [(there[-1], there[0]), *((after, before) for before, after in itertools.pairwise(there))]
        return ordered([(a, x, b, y) for (a, x), (b, y) in steps])

    return test


def ranked(
    at: At,
    order: Sequence[str],
    show: Show = words,
    names: Mapping[str, str] | None = None,
    shown: Sequence[str] = (),
) -> Test:
    """Claims that figures rise in an order.

    Args:
        at: The figures.
        order: The names, that of the least first.
        show: A figure as evidence.
        names: What evidence calls a name.
        shown: Whose figures are the evidence; empty: those of ``order``.
    """

    def test(findings: Findings) -> Judged:
        values = {name: at(findings, name) for name in dict.fromkeys([*shown, *order])}
        pairs = [ordered([(a, values[a], b, values[b])])[0] for a, b in itertools.pairwise(order)]
        return combined(pairs), listed({name: values[name] for name in shown or order}, show, names)

    return test
