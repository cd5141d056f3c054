import pandas as pd

from bench.measuring.intervals import NOTHING, Estimate
from bench.papers import claims, report
from bench.papers.claims import Claim
from bench.papers.published import Findings


def test_order_is_judged_by_intervals_and_not_by_eye() -> None:
    low, middle, high = Estimate(1, 0.9, 1.1), Estimate(1.1, 0.9, 1.3), Estimate(2, 1.9, 2.1)
    assert claims.ordered([("a", low, "b", high)])[0] == "holds"
    assert claims.ordered([("a", high, "b", low)])[0] == "does not hold"
    assert claims.ordered([("a", low, "b", middle)])[0] == "undecided"
    # a step on the way that is clearly reversed contradicts the whole
    assert claims.ordered([("a", low, "c", high), ("a", high, "b", low)])[0] == "does not hold"
    assert "b - a +1 " in claims.ordered([("a", low, "b", high)])[1]


def test_a_small_difference_is_judged_by_its_interval() -> None:
    assert claims.small(Estimate(0.1, -0.2, 0.4), 0.5) == "holds"
    assert claims.small(Estimate(0.1, -0.2, 0.6), 0.5) == "undecided"
    assert claims.small(Estimate(-2, -3, -1), 0.5) == "does not hold"


def test_what_is_missing_is_not_measured_whatever_is_asked_of_it() -> None:
    there = Estimate(1, 0.9, 1.1)
    assert claims.ordered([("a", there, "b", NOTHING)]) == ("not measured", "")
    # not even where another step is clearly reversed
    assert (
        claims.ordered([("a", there, "c", NOTHING), ("a", Estimate(2, 2, 2), "b", there)])[0]
        == "not measured"
    )
    assert claims.small(NOTHING, 0.5) == "not measured"
    assert claims.over(NOTHING, 0.5) == claims.cheap(NOTHING, 0.5) == "not measured"
    assert claims.combined(["holds", "not measured", "undecided"]) == "not measured"
    assert claims.combined(["does not hold", "not measured"]) == "does not hold"
    assert claims.words(NOTHING) == "not measured"


def test_a_figure_without_an_interval_decides_nothing() -> None:
    # such as the L2 of a single success
    single = Estimate(2.0, float("nan"), float("nan"))
    verdict, evidence = claims.ordered([("a", Estimate(1, 0.9, 1.1), "b", single)])
    assert verdict == "undecided"
    assert evidence == "b - a +1 (no interval)"
    assert claims.words(single, ".2f") == "2.00 (no interval)"
    assert claims.small(single, 5) == "undecided"


def test_over_a_limit_takes_the_whole_interval() -> None:
    assert claims.over(Estimate(2, 1.1, 3), 1) == "holds"
    assert claims.over(Estimate(2, 0.9, 3), 1) == "undecided"
    assert claims.over(Estimate(0.5, 0.1, 0.9), 1) == "does not hold"


def test_a_gain_is_no_loss_and_a_loss_is_judged_by_its_interval() -> None:
    assert claims.cheap(Estimate(-3, -4, -2), 1) == "holds"
    assert claims.cheap(Estimate(0.5, -2, 0.9), 1) == "holds"
    # more than is allowed, but not with the whole interval
    assert claims.cheap(Estimate(1.5, 0.5, 2.5), 1) == "undecided"
    assert claims.cheap(Estimate(3, 2, 4), 1) == "does not hold"


def at(value: float) -> Estimate:
    return Estimate(value, value - 1, value + 1)


EMPTY = Findings({})


def test_what_rises_on_the_way_does_not_fall() -> None:
    def falling(*values: Estimate) -> tuple[str, str]:
        return claims.falls_along(lambda _: [(str(i), v) for i, v in enumerate(values)])(EMPTY)

    assert falling(at(50), at(30), at(10))[0] == "holds"
    assert falling(at(50), at(90), at(10))[0] == "does not hold"
    assert falling(at(50)) == falling() == ("not measured", "")
    # a point that is missing may have risen
    assert falling(at(50), NOTHING, at(10)) == ("not measured", "")


def test_growing_is_judged_at_each_step_and_falling_is_growing_backwards() -> None:
    def value(_: Findings, name: str) -> Estimate:
        return at({"none": 10, "some": 20, "all": 30}[name])

    steps = [("none", "all"), ("none", "some"), ("some", "all")]
    assert claims.grows(value, steps)(EMPTY)[0] == "holds"
    assert claims.falls(value, steps)(EMPTY)[0] == "does not hold"
    # the first step decides, and the others may contradict
    assert claims.grows(value, [("none", "all"), ("all", "some")])(EMPTY)[0] == "does not hold"
    assert claims.grows(value, [("none", "none"), ("none", "some")])(EMPTY)[0] == "undecided"


def test_an_order_holds_only_between_neighbours() -> None:
    def value(_: Findings, name: str) -> Estimate:
        return {"a": at(10), "b": at(11), "c": at(30)}.get(name, NOTHING)

    assert claims.ranked(value, ["a", "c"], names={"a": "A"})(EMPTY) == (
        "holds", "A 10.0 [9.0, 11.0]; c 30.0 [29.0, 31.0]",
    )  # fmt: skip
    assert claims.ranked(value, ["a", "b", "c"])(EMPTY)[0] == "undecided"
    assert claims.ranked(value, ["a", "c", "b"])(EMPTY)[0] == "does not hold"
    verdict, evidence = claims.ranked(value, ["a", "d"], shown=["c", "d"])(EMPTY)
    assert verdict == "not measured"
    assert evidence == "c 30.0 [29.0, 31.0]; d not measured"


def test_verdicts_on_printed_figures_stand_beside_those_that_have_them() -> None:
    # printed 1 and 2, measured 2 and 1; and a frame of which nothing is printed
    table = pd.DataFrame({"scheme": ["none", "all"], "published": [1.0, 2.0], "measured": [2.0, 1.0]})
    table = table.assign(measured_low=table["measured"] - 0.1, measured_high=table["measured"] + 0.1)
    findings = Findings({"table1": table}, {"curve": pd.DataFrame({"value": [3.0, 2.0]})})

    def curve(findings: Findings) -> list[tuple[str, Estimate]]:
        return [("", Estimate(v, v, v)) for v in findings.frames["curve"]["value"]]

    found = report.judged(
        [
            Claim("1", "grows", claims.grows(lambda f, s: f.value("table1", scheme=s), [("none", "all")])),
            Claim("2", "a curve falls", claims.falls_along(curve)),
        ],
        findings,
    )
    assert list(found["as_printed"]) == ["holds", ""]
    assert list(found["verdict"]) == ["does not hold", "holds"]
    assert found["evidence"][0] == "all - none -1 [-1.14, -0.859]"
