"""Each check of an audit fires on what was planted for it, and doesn't on what it should pass."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.analysis.audit import checks, seeing
from bench.analysis.audit.checks import Test, decided
from bench.analysis.audit.figures import Answers, figures
from bench.analysis.audit.verdict import Check
from bench.defended import Defended
from bench.measuring.intervals import Difference

IMAGES, DRAWS = 100, 50


def left(accuracy: float, seed: int = 0, shared: bool = False) -> Answers:
    """Answers of which so many are right, the same images being hard for all of them."""
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(7).permutation(IMAGES) >= accuracy * IMAGES
    chances = np.where(hard, 0.02, 0.98)
    return Answers(rng.random((DRAWS, IMAGES)) < chances, shared)


def still(accuracy: float) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(7).permutation(IMAGES) < accuracy * IMAGES
    return found


def one(test: Test) -> Check:
    (found,) = decided([test])
    return found


def fires(test: Test) -> bool:
    return one(test).outcome == "fails"


@pytest.mark.parametrize("shared", [False, True])
def test_v1_fires_where_an_attack_that_knows_the_draw_leaves_more(shared: bool) -> None:
    known = still(0.6)
    groups = np.arange(IMAGES) // 10 if shared else None
    assert fires(checks.fixed_randomness(left(0.4, shared=shared), known, groups))
    assert not fires(checks.fixed_randomness(left(0.6, shared=shared), known, groups))
    assert not fires(checks.fixed_randomness(left(0.8, shared=shared), known, groups))
    evidence = one(checks.fixed_randomness(left(0.4), known, None)).evidence
    assert evidence.startswith("attacks that know the draw leave 1")


def test_v2_fires_where_a_tenth_of_the_rate_earns_over_half() -> None:
    twin = still(0.2)
    assert fires(checks.gradual_randomness(left(0.5), twin, real=0.6))
    assert not fires(checks.gradual_randomness(left(0.35), twin, real=0.6))
    # a gain that is no gain is none
    assert not fires(checks.gradual_randomness(left(0.2), twin, real=0.2))


@pytest.mark.parametrize("shared", [False, True])
def test_v3_v4_v5_and_v8_fire_where_what_should_be_weaker_is_stronger(shared: bool) -> None:
    weak, strong = left(0.6, 1, shared), left(0.3, 2, shared)
    same = left(0.6, 3, shared)
    for made in (
        checks.transfer,
        lambda one, other: checks.draws_ladder([one, one, one, other]),
        lambda one, other: checks.steps_ladder("scheme", one, other),
        lambda one, other: checks.gradient_free("scheme", one, other),
    ):
        assert fires(made(weak, strong))
        assert not fires(made(weak, same))
        assert not fires(made(strong, weak))


def test_v6_fires_where_more_is_left_than_was_wrong_from_the_start() -> None:
    assert fires(checks.unbounded("twin", left(0.2), clean=0.95))
    assert not fires(checks.unbounded("twin", left(0.0), clean=0.95))
    # what is wrong before any attack may well be right after it
    assert not fires(checks.unbounded("twin", left(0.2), clean=0.75))


def test_v7_fires_where_a_larger_ball_leaves_more() -> None:
    one, other, third = left(0.6, 1), left(0.4, 2), left(0.2, 3)
    assert not any(fires(test) for test in checks.monotone("scheme", one, other, third))
    assert [fires(test) for test in checks.monotone("scheme", other, one, third)] == [True, False]
    assert [fires(test) for test in checks.monotone("scheme", one, third, other)] == [False, True]


def test_v9_fires_where_claims_do_not_hold() -> None:
    claimed = np.ones(IMAGES, dtype=bool)
    assert fires(checks.luck("pgd", claimed, left(0.5)))
    assert not fires(checks.luck("pgd", ~still(0.5), left(0.5)))
    assert "pgd claims 5" in one(checks.luck("pgd", claimed, left(0.5))).evidence


def test_v11_says_when_a_figure_is_of_one_query() -> None:
    certain = figures(Answers(np.tile(still(0.5), (DRAWS, 1)), False), None, None, None, None)
    assert checks.resubmission(certain).outcome == "passes"
    rng = np.random.default_rng(0)
    coin = figures(Answers(rng.random((DRAWS, IMAGES)) < 0.5, False), None, None, None, None)
    found = checks.resubmission(coin)
    assert found.outcome == "fails"
    assert found.figure == pytest.approx(100 * (coin.real.mean - coin.any_of_10))
    assert "depends on an attacker who asks once" in found.evidence
    assert "depends" not in checks.resubmission(certain).evidence


def test_v12_fires_where_nothing_differs() -> None:
    assert checks.randomness_present(0.0, 1e-5, 0.0).outcome == "fails"
    assert checks.randomness_present(0.1, 1e-5, 0.25).outcome == "passes"
    assert checks.randomness_present(0.1, 0.2, 0.25).outcome == "fails"
    assert "changes for 25.0 % of images" in checks.randomness_present(0.1, 1e-5, 0.25).evidence


def test_v13_is_about_the_margin() -> None:
    twin = still(0.5)
    same = figures(left(0.5), twin, None, None, None)
    better = figures(left(0.9), twin, None, None, None)
    assert checks.no_benefit(same, 5).outcome == "fails"
    assert checks.no_benefit(better, 5).outcome == "passes"
    assert checks.no_benefit(figures(left(0.5), None, None, None, None), 5).outcome == "doesn't apply"


def test_indicators_speak_of_images_that_are_not_fooled() -> None:
    standing = still(0.5)
    for share, outcome in ((0.05, "passes"), (0.15, "fails")):
        flagged = np.zeros(IMAGES, dtype=bool)
        flagged[np.flatnonzero(standing)[: round(share * 50)]] = True
        # of those that are fooled it says nothing
        flagged[~standing] = True
        found = checks.indicator("I1", "scheme", flagged, standing, "the gradient of {} is zero")
        assert found.outcome == outcome
        assert found.evidence == f"the gradient of {found.figure:.1f} % is zero"
    assert checks.indicator("I1", "scheme", flagged, ~standing & standing, "").outcome == "doesn't apply"


def test_i2_flags_images_around_which_the_loss_changes_by_over_a_tenth() -> None:
    losses = np.array([2.0, -2.0, 0.0, 2.0, 0.0, 1.0])
    away = np.array([0.19, 0.19, 0.09, 0.21, 0.11, 1e6])
    moved = losses + np.outer([1, -1, 1, -1], away)
    every = np.ones(6, dtype=bool)
    found = checks.unstable("twin", losses, moved, every)
    assert (found.name, found.on, found.outcome) == ("I2", "twin", "fails")
    assert found.figure == pytest.approx(50)
    # it speaks of those that are right alone
    assert checks.unstable("twin", losses, moved, np.arange(6) < 3).outcome == "passes"
    assert "no image is right" in checks.unstable("twin", losses, moved, ~every).evidence


class Rough(nn.Module):
    """A margin of 1, with noise at each pass that is far larger, or with ripples over the pixels."""

    def __init__(self, ripples: float):
        super().__init__()
        self.ripples = ripples
        self.fc = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = 1 + 0.02 * self.fc(x.flatten(1))[:, 0] + self.ripples * torch.sin(1e4 * x.flatten(1).sum(1))
        return torch.stack([first, 0 * first], 1)


def noisy(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    return x + 400 * rate * torch.randn(x.shape, generator=generator)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_loss_around_images_is_compared_on_the_same_draws(norm: str) -> None:
    images = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(30, dtype=torch.int64)
    for ripples, outcome in ((0.0, "passes"), (0.5, "fails")):
        defended = Defended(Rough(ripples), {"fc": "fc"}, {"fc": (noisy, 0.5)})
        found = seeing.around(
            defended.model, images, labels, norm, 0.1, seed=0, batch_size=7, draws=3, offsets=10
        )  # type: ignore[arg-type]
        assert [one.shape for one in found] == [(30,), (10, 30)]
        # the noise is there, and of one kind for an image and what is around it
        assert found[0].std() > 1
        losses, moved = np.ones(30), 1 + found[1] - found[0]
        assert checks.unstable("scheme", losses, moved, np.ones(30, dtype=bool)).outcome == outcome


@pytest.mark.parametrize(("norm", "length"), [("linf", 0.1 * (64 / 12) ** 0.5), ("l2", 0.05)])
def test_offsets_are_as_long_as_the_ball_says(norm: str, length: float) -> None:
    seen: list[Tensor] = []

    class Seen(Rough):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    images = torch.full((9, 1, 8, 8), 0.5)
    labels = torch.zeros(9, dtype=torch.int64)
    seeing.around(
        Defended(Seen(0.0)).model, images, labels, norm, 0.1, seed=0, batch_size=9, draws=1, offsets=20
    )  # type: ignore[arg-type]
    far = torch.cat([(x - images).flatten(1).norm(dim=1) for x in seen[:20]])
    assert float(far.mean()) == pytest.approx(length, rel=0.05)
    # and what all of them are compared with
    assert torch.equal(seen[20], images)


def test_a_loss_that_still_falls_is_unfinished() -> None:
    looks = np.arange(15)[:, None]
    falling, settled, flat = 10.0 - 0.1 * looks, np.exp(-2.0 * looks), 5 + 1e-4 * np.sin(looks)
    rising = looks * 1.0
    # it fell long ago, and not since
    fell = np.where(looks < 13, 10.0 - looks, -2.0)
    losses = np.hstack([falling, settled, flat, rising, fell])
    assert checks.unfinished(losses, 0 * losses).tolist() == [True, False, False, False, False]
    # of a single look nothing is
    assert not checks.unfinished(losses[:1], losses[:1]).any()
    # where so much is chance nothing is known
    assert not checks.unfinished(losses, 0 * losses + 1).any()
    # nor where all left at once
    assert not checks.unfinished(losses[:1], 0 * losses[:1]).any()


def test_success_on_the_way_that_is_not_returned_is_silent() -> None:
    shares = np.array([[0.9, 0.9, 0.2, 0.55], [0.1, 0.9, 0.2, 0.55]])
    assert checks.silent(shares, np.array([0.1, 0.9, 0.2, 0.45])).tolist() == [True, False, False, False]


def test_the_worst_of_several_is_chosen_on_draws_that_do_not_score() -> None:
    rng = np.random.default_rng(0)
    coins = {str(i): Answers(rng.random((DRAWS, 2000)) < 0.5, False) for i in range(10)}
    found = checks.worst_of(coins, list(coins))
    assert found.draws == DRAWS - DRAWS // 2
    assert found.right.mean() == pytest.approx(0.5, abs=0.01)
    each = {"a": left(0.6), "b": left(0.2)}
    np.testing.assert_array_equal(checks.worst_of(each, ["a"]).right, each["a"].right[25:])
    assert checks.worst_of(each, ["a", "b"]).right.mean() == pytest.approx(
        each["b"].right[25:].mean(), abs=0.02
    )


def test_many_tests_of_one_row_are_judged_together() -> None:
    # one in twenty is that unlikely by chance
    alone = Test("V5", "scheme", Difference(0.05, 0.0, 0.1, 0.04), "{}")
    assert one(alone).outcome == "fails"
    assert [check.outcome for check in decided([alone] * 5)] == ["passes"] * 5
    # and a difference of under two points is none, however sure it is
    small = Test("V5", "scheme", Difference(0.019, 0.018, 0.02, 1e-9), "{}")
    assert one(small).outcome == "passes"


def test_right_audits_fail_hardly_any_check_over_twenty_seeds() -> None:
    failed = 0
    for seed in range(20):
        same = [left(0.5, 100 * seed + i) for i in range(8)]
        tests = [
            checks.transfer(same[0], same[1]),
            checks.draws_ladder(same[:4]),
            checks.steps_ladder("scheme", same[4], same[5]),
            checks.gradient_free("scheme", same[6], same[7]),
            checks.luck("pgd", ~still(0.5), same[0]),
        ]
        failed += sum(check.outcome == "fails" for check in decided(tests))
    assert failed <= 1
