"""What an audit concludes: every rule is reached, and none where another comes before it."""

import dataclasses
from typing import Any

import pytest

from bench.analysis.audit.figures import Figures
from bench.analysis.audit.verdict import Check, Verdict, verdict
from bench.config import MARGIN
from bench.measuring.intervals import Difference, Estimate


def points(low: float, high: float) -> Difference:
    return Difference((low + high) / 200, low / 100, high / 100, 0.5)


GAIN = points(10, 20)
SAME = points(-3, 3)
UNSURE = points(-3, 11)

WITH_TWIN = Figures(
    real=Estimate(0.6, 0.5, 0.7),
    any_of_10=0.5,
    majority=0.6,
    twin=0.45,
    fixed=0.47,
    baseline=None,
    worth=GAIN,
    worth_any_of_10=GAIN,
    operation=SAME,
    secrecy=GAIN,
    any_of_10_less_fixed=GAIN,
    over_baseline=None,
)
ALONE = dataclasses.replace(WITH_TWIN, twin=None, worth=None, worth_any_of_10=None, operation=None)


def said(figures: Figures, *checks: Check, random: bool = True, claim: float | None = None) -> Verdict:
    return verdict(figures, checks, 100, random=random, claim=claim, margin=MARGIN)


def check(name: str, on: Any = "scheme", outcome: Any = "fails") -> Check:
    return Check(name, on, outcome, 1.0, 0.5, f"{name} was seen")


def of(figures: Figures = WITH_TWIN, **others: Any) -> Figures:
    return dataclasses.replace(figures, **others)


def test_where_nothing_is_random_there_is_nothing_to_say() -> None:
    assert said(WITH_TWIN, check("V1"), random=False, claim=100).name == ""


def test_a_defence_that_is_off_is_suspicious_whatever_else_was_found() -> None:
    found = said(of(worth=SAME), check("V12"), claim=100)
    assert (found.name, found.claim) == ("suspicious", "the randomness")


def test_a_claim_over_what_was_found_is_refuted_whatever_the_checks_say() -> None:
    found = said(WITH_TWIN, check("V1"), claim=70.5)
    assert (found.name, found.claim) == ("refuted", "the figure")
    assert "70.5 % is claimed, and at most 70.0 %" in str(found)
    assert said(WITH_TWIN, claim=69.9).name == "nothing found"


@pytest.mark.parametrize("high", [4.9, 5.1])
def test_no_gain_over_the_twin_is_refuted_within_the_margin(high: float) -> None:
    found = said(of(worth=points(-3, high)))
    assert (found.name == "refuted") == (high < MARGIN)
    assert found.claim == "the gain"


def test_a_weak_attack_on_the_scheme_saves_no_claim_but_one_on_the_twin_does() -> None:
    found = said(of(worth=SAME), check("V3"), check("V9"))
    assert found.name == "refuted"
    assert "no gain over the same network without randomness" in found.why
    assert "upper bound: V3" in found.why
    for name in ("V5", "V6", "V7", "V8", "V10", "I1", "I3", "I4"):
        assert said(of(worth=SAME), check(name, "twin")).name == "suspicious"
        assert said(of(worth=SAME), check(name, "twin", "passes")).name == "refuted"
    # what isn't made on the twin doesn't save it there either
    assert said(of(worth=SAME), check("V9", "twin")).name == "refuted"


def test_no_gain_over_a_baseline_is_refuted_unless_a_check_fails_on_it() -> None:
    figures = of(baseline=0.6, over_baseline=SAME)
    assert said(figures).claim == "the gain over the baseline"
    assert said(figures, check("V6", "baseline")).name == "suspicious"
    # though one that fails on the twin doesn't matter to it
    assert said(figures, check("V6", "twin")).claim == "the gain over the baseline"


@pytest.mark.parametrize("name", ["V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8", "V10", "I1", "I3", "I4"])
def test_a_check_that_fails_makes_a_gain_suspicious(name: str) -> None:
    found = said(WITH_TWIN, check(name))
    assert found.name == "suspicious"
    assert found.why == f"{name} on the scheme: {name} was seen"
    assert said(WITH_TWIN, check(name, outcome="passes")).name == "nothing found"
    assert said(WITH_TWIN, check(name, outcome="doesn't apply")).name == "nothing found"


@pytest.mark.parametrize("name", ["V9", "V11", "V13", "I2"])
def test_remarks_make_nothing_suspicious(name: str) -> None:
    assert said(WITH_TWIN, check(name)).name == "nothing found"


def test_a_gain_that_may_be_none_is_undecided_with_the_images_that_would_decide() -> None:
    found = said(of(worth=UNSURE))
    assert (found.name, found.claim) == ("undecided", "the gain")
    # half-width 7, mean 4: 100 (7 / 4)^2
    assert "+4.0 points [-3.0, 11.0], about 307 images would decide" in found.why
    found = said(of(baseline=0.5, over_baseline=UNSURE))
    assert (found.name, found.claim) == ("undecided", "the gain over the baseline")


def test_ten_tries_and_a_known_draw_may_take_a_gain_back() -> None:
    assert said(of(worth_any_of_10=SAME)).claim == "ten tries"
    assert said(of(worth_any_of_10=SAME)).name == "refuted"
    found = said(of(secrecy=SAME))
    assert (found.name, found.claim) == ("refuted", "the randomness")
    assert said(of(worth_any_of_10=UNSURE)).name == "undecided"
    assert said(of(secrecy=UNSURE)).name == "undecided"
    # of which one is refuted comes before another that is undecided
    assert said(of(worth_any_of_10=UNSURE, secrecy=SAME)).name == "refuted"


def test_without_a_twin_a_known_draw_stands_in_its_place() -> None:
    found = said(of(ALONE, secrecy=SAME))
    assert (found.name, found.claim) == ("refuted", "the randomness")
    assert "a draw that the attacker knows" in found.why
    assert said(of(ALONE, secrecy=SAME), check("V6", "known draw")).name == "suspicious"
    assert said(of(ALONE, secrecy=SAME), check("V6")).name == "refuted"
    assert said(of(ALONE, secrecy=UNSURE)).name == "undecided"
    assert said(of(ALONE, any_of_10_less_fixed=SAME)).claim == "ten tries"


def test_with_neither_a_twin_nor_a_baseline_nothing_is_ever_found_to_hold() -> None:
    found = said(ALONE)
    assert (found.name, found.claim) == ("undecided", "the gain")
    assert "nothing to compare with" in found.why
    assert said(of(ALONE, secrecy=None, any_of_10_less_fixed=None)).name == "undecided"
    assert said(of(ALONE, baseline=0.4, over_baseline=GAIN)).name == "nothing found"


def test_otherwise_nothing_was_found_and_that_is_no_proof() -> None:
    found = said(WITH_TWIN, check("V1", outcome="passes"))
    assert found.name == "nothing found"
    assert "robust" not in str(found)
