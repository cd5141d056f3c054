"""The plan of an audit: what it attacks, in which order, and what is left out for want of passes."""

import dataclasses

import pytest

from bench.analysis.audit.stage import RANDOMIZED_PGD, SQUARE, Stage
from bench.analysis.audit.stages import CONTINUED, EFFORTS, MAIN, plan, rungs, within
from bench.checks import ConfigError
from bench.config import EFFORTS as NAMES


def planned(effort: str = "standard", norm: str = "linf", **options: object) -> list[Stage]:
    given = {"classes": 10, "twin": True, "random": True, "rates": True, **options}
    return plan(EFFORTS[effort], norm, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("effort", NAMES)
def test_a_plan_keeps_to_its_effort_and_no_stage_takes_over_a_quarter(effort: str, norm: str) -> None:
    stages = planned(effort, norm)
    passes = EFFORTS[effort].passes
    assert sum(stage.of(100) for stage in stages) < passes
    assert max(stage.of(100) for stage in stages) <= passes / 4
    assert set(EFFORTS) == set(NAMES)


def test_each_stage_comes_after_those_that_it_starts_from() -> None:
    names: set[str] = set()
    for stage in planned(baseline=True):
        assert set(stage.starts) <= names
        assert stage.name not in names
        names.add(stage.name)


def test_what_there_is_no_twin_no_rate_or_no_third_class_for_is_left_out() -> None:
    whole, alone = ({s.name for s in planned(**o)} for o in ({}, {"twin": False}))
    assert {name for name in whole if name.startswith("twin: ")}
    assert not {name for name in alone if name.startswith("twin: ")}
    assert CONTINUED in whole - alone
    assert "a tenth of the rate" not in {s.name for s in planned(rates=False)}
    losses = [{s.options.get("loss") for s in planned(classes=n)} for n in (2, 3)]
    assert losses[1] - losses[0] == {"dlr", "multi_targeted"}


def test_of_what_is_not_random_only_the_twin_is_attacked_and_what_a_naive_person_runs() -> None:
    stages = planned(random=False)
    assert {stage.on for stage in stages if not stage.naive} == {"twin"}
    assert next(stage.on for stage in stages if stage.naive) == "scheme"


def test_every_known_draw_of_a_short_list_is_attacked_with_as_many_passes_in_all() -> None:
    three, many = ([s for s in planned(draws=n) if s.on == "known draw" and s.times == 1] for n in (3, 64))
    assert [s.known for s in many] == list(range(64))
    assert sum(s.passes for s in many) < 2.5 * sum(s.passes for s in three)


@pytest.mark.parametrize("effort", NAMES)
def test_a_ladder_of_draws_takes_as_many_gradients_at_each_rung(effort: str) -> None:
    stages = {stage.name: stage for stage in planned(effort)}
    for draws in rungs(EFFORTS[effort]):
        options = stages[MAIN if draws == 1 else f"{MAIN}, {draws} draws"].options
        assert options.get("gradient_draws", 1) == draws
        assert abs(options["steps"] * draws - EFFORTS[effort].steps) < draws
    assert len(rungs(EFFORTS[effort])) > 1


def test_with_fewer_passes_what_matters_least_is_left_out_and_what_starts_from_it() -> None:
    stages = planned()
    most = within(stages, 1e9, 0, 0, 100)
    assert most == stages
    total = sum(s.of(100) for s in stages)
    less = within(stages, total / 3, 0, 0, 100)
    assert 0 < sum(s.of(100) for s in less) <= total / 3
    left_out = [s for s in stages if s not in less]
    assert min(s.rank for s in left_out) >= max(s.rank for s in less)
    assert [s for s in stages if s.rank == 0] == [s for s in less if s.rank == 0]
    # each sample of the pool costs, and so does what has to be done anyway
    assert len(within(stages, total / 2, 0, 50, 100)) < len(within(stages, total / 2, 0, 0, 100))
    assert len(within(stages, total / 2, total / 4, 0, 100)) < len(within(stages, total / 2, 0, 0, 100))
    with pytest.raises(ConfigError, match=r"^passes: expected at least \d+, .*, got 10$"):
        within(stages, 10, 0, 0, 100)
    some = Stage("a", "scheme", "", rank=3), Stage("b", "scheme", "", rank=0, starts=("a",))
    assert within(some, 3, 0, 0, 1) == []


def test_a_stage_tells_what_it_costs() -> None:
    options = {"steps": 30, "held_out_draws": 10, "checkpoints": 6}
    one = Stage("x", "scheme", RANDOMIZED_PGD, options)
    # steps, a last pass, looks, and those before an image leaves
    assert one.passes == pytest.approx(30 + 1 / 3 + 10 * 6 / 3 + 50 / 3)
    more = dataclasses.replace(one, options={**options, "gradient_draws": 4, "restarts": 2})
    assert more.passes == pytest.approx(2 * (120 + 1 / 3 + 20) + 50 / 3)
    alone = dataclasses.replace(one, options={**options, "held_out_draws": 1})
    assert alone.passes == pytest.approx(30 + 1 / 3)
    square = Stage("x", "scheme", SQUARE, {**options, "draws": 3})
    assert square.passes == pytest.approx(2 * 30 * 3 / 3 + 20 + 50 / 3)
    assert dataclasses.replace(one, images=20).of(80) == pytest.approx(one.passes / 4)
    assert dataclasses.replace(one, images=20).of(10) == one.passes
    # of the scheme an answer may take several, of its twin never
    assert one.of(10, several=5) == 5 * one.passes
    assert dataclasses.replace(one, on="twin").of(10, several=5) == one.passes
    assert dataclasses.replace(one, followed=True).passes == pytest.approx(one.passes + 20 * 7 / 3)
