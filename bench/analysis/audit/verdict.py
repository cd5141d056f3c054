"""What an audit concludes, and why: rules over figures and checks, the first that applies.

Here belong the rules. How figures and checks come about does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.audit.figures import Figures
from bench.measuring.intervals import Difference

On = Literal["scheme", "twin", "known draw", "baseline"]
Outcome = Literal["passes", "fails", "doesn't apply"]
Name = Literal["refuted", "suspicious", "undecided", "nothing found", ""]


@dataclass(frozen=True)
class Check:
    """What was found when an audit was looked at for what would make it void.

    Attributes:
        name: ``V1`` to ``V13``, or an indicator, ``I1`` to ``I4``.
        on: What it was made on.
        outcome: Whether it passes.
        figure, threshold: What was measured, and from where on it fails; NaN where it doesn't apply.
        evidence: A sentence that says both.
    """

    name: str
    on: On
    outcome: Outcome
    figure: float
    threshold: float
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """What is concluded of one row.

    Attributes:
        name: ``refuted``, ``suspicious``, ``undecided`` or ``nothing found``; empty where nothing is random
            by construction, of which there is nothing to say.
        claim: Which claim it speaks of, such as ``the gain``.
        why: One sentence.
    """

    name: Name
    claim: str
    why: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.name, self.why) if part)


ATTACK_CHECKS = ("V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V10", "I1", "I3", "I4")
"""Any of which voids what attacks found. V9 strikes out a claim, V11 is a remark, V13 a rule of its own."""

OF_COMPARISON = ("V5", "V6", "V7", "V8", "V10", "I1", "I3", "I4")
"""Those that are made on what a defence is compared with: where one fails there, that may well be weaker."""


def verdict(
    figures: Figures,
    checks: Sequence[Check],
    images: int,
    *,
    random: bool,
    claim: float | None,
    margin: float,
) -> Verdict:
    """The first of the rules that applies.

    Args:
        figures: Of the row.
        checks: All that were made.
        images: How many were audited.
        random: Whether something acts; else nothing is to be said.
        claim: A stated accuracy, %; None: there is none.
        margin: Points that a gain must be worth.

    Returns:
        ``refuted`` where the claim can't be held; ``suspicious`` where an attack may have been too weak to
        tell; ``undecided`` with the images that would decide; otherwise ``nothing found``, which is never a
        proof.
    """
    if not random:
        return Verdict("", "", "nothing is random: it is its own twin")
    failed = [check for check in checks if check.outcome == "fails"]
    if any(check.name == "V12" for check in failed):
        return Verdict("suspicious", "the randomness", "nothing is random when it is evaluated (V12)")
    if claim is not None and claim > 100 * figures.real.high:
        return Verdict(
            "refuted",
            "the figure",
            f"the figure: {claim:g} % is claimed, and at most {100 * figures.real.high:.1f} % was found",
        )
    gain, other = _compared(figures)
    for difference, where, said in (
        (gain, other, _NO_GAIN[other]),
        (figures.over_baseline, "baseline", "no gain over a network that was trained without it"),
    ):
        void = [check for check in failed if check.on == where and check.name in OF_COMPARISON]
        if difference is not None and 100 * difference.high < margin and not void:
            of = "the gain over the baseline" if where == "baseline" else _CLAIM[other]
            upper = [c.name for c in failed if c.on == "scheme" and c.name in ATTACK_CHECKS]
            note = f" (its own accuracy is an upper bound: {', '.join(upper)})" if upper else ""
            return Verdict("refuted", of, f"{said}{note}")
    void = [check for check in failed if check.name in ATTACK_CHECKS]
    if void:
        said = "; ".join(f"{check.name} on the {check.on}: {check.evidence}" for check in void)
        return Verdict("suspicious", "the attack", said)
    if gain is None and figures.over_baseline is None:
        return _ALONE
    for difference, of in ((gain, _CLAIM[other]), (figures.over_baseline, "the gain over the baseline")):
        if difference is not None and difference.low <= 0:
            return _undecided(difference, of, images, margin)
    return _of_many(figures, other, margin, images)


def _of_many(figures: Figures, other: On, margin: float, images: int) -> Verdict:
    """Where one query gains something: what ten tries, and a known draw, leave of it."""
    ten = figures.worth_any_of_10 if other == "twin" else figures.any_of_10_less_fixed
    secret = figures.secrecy if other == "twin" else None
    for difference, of, said in (
        (ten, "ten tries", "ten tries take the gain back"),
        (
            secret,
            "the randomness",
            "a known draw withstands as much: what holds is the operation, not its secrecy",
        ),
    ):
        if difference is not None and 100 * difference.high < margin:
            return Verdict("refuted", of, said)
    for difference, of in ((ten, "ten tries"), (secret, "the randomness")):
        if difference is not None and difference.low <= 0:
            return _undecided(difference, of, images, margin)
    if other != "twin" and figures.over_baseline is None:
        return _ALONE
    return Verdict("nothing found", "the gain", "no attack here takes it back, which is no proof")


def _compared(figures: Figures) -> tuple[Difference | None, On]:
    """What a gain is over: the twin, or where there is none a known draw."""
    return (figures.worth, "twin") if figures.twin is not None else (figures.secrecy, "known draw")


_NO_GAIN: dict[On, str] = {
    "twin": "no gain over the same network without randomness",
    "known draw": "no gain over a draw that the attacker knows",
}
_CLAIM: dict[On, str] = {"twin": "the gain", "known draw": "the randomness"}


def _points(difference: Difference) -> str:
    mean, low, high = (100 * value for value in difference[:3])
    return f"{mean:+.1f} points [{low:.1f}, {high:.1f}]"


def _undecided(difference: Difference, of: str, images: int, margin: float) -> Verdict:
    """With how many images would decide, if what was seen is what there is: widths fall with their root."""
    half = 100 * (difference.high - difference.low) / 2
    apart = max(100 * difference.mean, margin - 100 * difference.mean)
    needed = math.ceil(images * (half / apart) ** 2)
    return Verdict("undecided", of, f"{of}: {_points(difference)}, about {needed} images would decide")


_ALONE = Verdict("undecided", "the gain", "nothing to compare with: there is neither a twin nor a baseline")
