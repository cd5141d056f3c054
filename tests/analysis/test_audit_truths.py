"""An audit finds what is known to be true of planted defences, and a verdict says so."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import truths
from scipy.stats import binom
from torch import nn
from truths import Truth

import bench

FOUND = 4.0
"""Points that an audit's figure may be off at quick."""


@functools.cache
def audited(make: Callable[[], Truth]) -> tuple[Truth, bench.Audited]:
    truth = make()
    return truth, truth.audit()


def fails(found: bench.Audited) -> set[str]:
    rows = found.checks[found.checks["outcome"] == "fails"]
    return {f"{row.check} {row.on}" for row in rows.itertuples()} - {"V11 scheme", "V13 scheme"}


def small_noise() -> Truth:
    return truths.noisy(0.05, "linf", 0.04)


def large_noise() -> Truth:
    return truths.noisy(0.2, "l2", 0.25, "own", seed=5)


def shared_noise() -> Truth:
    return truths.noisy(0.3, "linf", 0.04, "pass")


def a_mixture_of_three() -> Truth:
    return truths.mixture([[1, 0, 0], [0, 1, 0], [-1, -1, 0.5]], [0.05] * 3, 0.1, [0.5, 0.3, 0.2], count=60)


def contradicting() -> Truth:
    return truths.contradicting()


def hidden() -> Truth:
    return truths.mixture([[-2, -1], [10, -20]], [0.09, 0.9], 0.1, hidden=True, count=40)


@pytest.mark.parametrize(
    "make",
    [small_noise, large_noise, shared_noise, truths.dropped, contradicting, hidden, a_mixture_of_three,
     truths.a_real_gain, truths.loud, truths.a_worse_twin],
)  # fmt: skip
def test_figures_come_near_the_truth(make: Callable[[], Truth]) -> None:
    truth, found = audited(make)
    row = found.table.iloc[0]
    assert row["real_pct"] == pytest.approx(truth.real, abs=FOUND)
    if truth.any_of_10 is not None:
        assert row["any_of_10_pct"] == pytest.approx(truth.any_of_10, abs=FOUND)
    if truth.twin is None:
        assert np.isnan(row["twin_pct"])
        assert np.isnan(row["worth_points"])
    else:
        assert row["twin_pct"] == pytest.approx(truth.twin, abs=FOUND)
        assert row["worth_points"] == pytest.approx(truth.real - truth.twin, abs=FOUND)
    assert row["real_pct_low"] <= truth.real + 1 <= row["real_pct_high"] + 2
    # of a sum of what the operation does and what not knowing the draw does
    if truth.twin is not None:
        both = row["operation_points"] + row["secrecy_points"]
        assert both == pytest.approx(row["worth_points"], abs=1e-6)
    assert row["passes"] <= 2000
    # V9 strikes out an attack's own claim, no more
    assert {one for one in fails(found) if not one.startswith("V9")} == set()


@pytest.mark.parametrize(
    ("make", "name", "of"),
    [
        (large_noise, "refuted", "ten tries"),
        (truths.dropped, "refuted", "the gain"),
        (a_mixture_of_three, "refuted", "ten tries"),
        (truths.a_real_gain, "nothing found", "the gain"),
        (truths.loud, "refuted", "the gain"),
        (truths.a_worse_twin, "refuted", "the randomness"),
        (hidden, "undecided", "the randomness"),
    ],
)
def test_the_verdict_is_that_of_the_truth(make: Callable[[], Truth], name: str, of: str) -> None:
    found = audited(make)[1]
    assert (found.verdict.name, found.verdict.claim) == (name, of)
    assert str(found.verdict).startswith(name)


def test_where_draws_are_a_short_list_figures_are_exact_sums() -> None:
    truth, found = audited(truths.a_real_gain)
    row = found.table.iloc[0]
    assert row["draws"] == 10
    assert row["real_pct"] == pytest.approx(90)
    assert row["any_of_10_pct"] == pytest.approx(100 * 0.9**10)
    assert row["majority_pct"] == pytest.approx(100 * binom.sf(5, 11, 0.9))
    assert (row["fixed_pct"], row["secrecy_points"]) == pytest.approx((0, 90))
    truth, found = audited(a_mixture_of_three)
    assert found.table["real_pct"].iloc[0] == pytest.approx(truth.real)
    assert found.table["fixed_pct"].iloc[0] == 0


@pytest.mark.parametrize("by", [truths.Scaled, truths.Rounded, truths.Misleading])
def test_what_hides_gradients_is_broken_or_suspicious_and_never_nothing(
    by: Callable[[nn.Module], nn.Module],
) -> None:
    truth = truths.masked(by)
    found = truth.audit()
    real = found.table["real_pct"].iloc[0]
    assert found.verdict.name == "suspicious" or real <= truth.real + FOUND
    assert found.verdict.name != "nothing found"
    if by is truths.Rounded:
        assert {"I1 scheme", "I1 twin"} <= fails(found)
    if by is truths.Misleading:
        # there are gradients, and they lead nowhere
        assert {"V6 scheme", "V8 twin"} <= fails(found)
        assert "I1 scheme" not in fails(found)


def test_labels_that_never_change_are_said_where_logits_do() -> None:
    found = audited(truths.loud)[1]
    said = found.checks.set_index("check").loc["V12"]
    assert said["outcome"] == "passes"
    assert said["evidence"].endswith("the label changes for 0.0 % of images")


def test_a_site_that_no_output_depends_on_is_no_randomness() -> None:
    truth = truths.noisy(0.1, "linf", 0.05)
    net = truths.Idle(truth.defended.network)
    defended = bench.Defended(net, {"idle": "idle"}, {"idle": 0.5})
    found = bench.audit(defended, truth.images[:20], truth.labels[:20], epsilon=0.05)
    assert found.verdict.name == "suspicious"
    assert "nothing is random" in found.verdict.why
    assert "V12 scheme" in fails(found)
    assert found.table["worth_points"].iloc[0] == 0
    # of a random scheme it is an estimate, though it is 0
    assert found.table["worth_points_high"].iloc[0] > 0


@pytest.mark.parametrize("rate", [None, {"image": (truths._noise, 0.0)}])
def test_where_nothing_is_random_worth_is_nothing_by_construction(rate: object) -> None:
    truth = truths.noisy(0.1, "linf", 0.05)
    defended = bench.Defended(truth.defended.network, {"image": ""}, rate)  # type: ignore[arg-type]
    found = bench.audit(defended, truth.images, truth.labels, epsilon=0.05)
    row = found.table.iloc[0]
    assert [row[f"worth_points{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    assert row["real_pct"] == row["twin_pct"] == pytest.approx(truth.twin)
    # one pass of each sample is all there is to see
    assert row["draws"] == 1
    assert (found.verdict.name, found.verdict.why) == ("", "nothing is random: it is its own twin")


def test_an_attack_that_asks_until_it_is_lucky_is_struck_out() -> None:
    truth = truths.noisy(0.3, "linf", 0.04, count=40)

    class Lucky:
        def __call__(self, model, inputs, criterion, *, epsilons, **kwargs):
            fooled = torch.zeros(len(inputs), dtype=torch.bool)
            for _ in range(50):
                fooled |= model(inputs).argmax(-1) != criterion.labels.raw
            return inputs, inputs, fooled

    found = truth.audit(attacks={"lucky": Lucky()})
    row = found.attacks.set_index("attack").loc["brought along: lucky"]
    assert row["claimed_pct"] == 100
    assert row["accuracy_left_pct"] > 40
    struck = found.checks[(found.checks["check"] == "V9") & (found.checks["outcome"] == "fails")]
    assert any("lucky claims" in words for words in struck["evidence"])
    assert found.table["real_pct"].iloc[0] == pytest.approx(truth.real, abs=FOUND)


@pytest.mark.parametrize("make", [small_noise, truths.dropped, a_mixture_of_three])
def test_no_random_perturbation_does_better_than_a_truth_says(make: Callable[[], Truth]) -> None:
    truth = audited(make)[0]
    rng = np.random.default_rng(0)
    moves = truth.epsilon * rng.choice([-1.0, 0.0, 1.0], (40, *truth.images.shape))
    seen = []
    for move in torch.tensor(moves, dtype=torch.float32):
        with torch.no_grad(), truth.defended.model(1) as model:
            seen.append(
                torch.stack([model(truth.images + move).argmax(1) == truth.labels for _ in range(100)])
            )
    right = torch.stack(seen).float()
    # chosen on some draws, scored on others
    worst = right[:, :50].mean(1).argmin(0)
    left = right[:, 50:].mean(1)[worst, torch.arange(len(worst))]
    assert 100 * left.mean() > truth.real - 2


def test_curves_run_along_the_truth() -> None:
    found = audited(small_noise)[1].curves
    balls = [truths.noisy(0.05, "linf", epsilon) for epsilon in (1e-9, 0.02, 0.04)]
    for on, figure in (("scheme", "real"), ("twin", "twin")):
        line = found[(found["against"] == "epsilon") & (found["on"] == on)]
        assert line["x"].tolist() == [0, 0.02, 0.04]
        assert line["accuracy_pct"].tolist() == pytest.approx([getattr(b, figure) for b in balls], abs=FOUND)
        assert (line["accuracy_pct_low"] < line["accuracy_pct_high"]).all()
    tries = found[(found["against"] == "tries") & (found["on"] == "scheme")]
    assert tries["x"].tolist() == list(range(1, 21))
    assert tries["accuracy_pct"].iloc[9] == pytest.approx(balls[2].any_of_10, abs=FOUND)
    assert (tries["accuracy_pct_low"] <= tries["accuracy_pct"]).all()
    # of exact sums, too
    exact = audited(truths.a_real_gain)[1].curves
    line = exact[(exact["against"] == "tries") & (exact["on"] == "scheme")]["accuracy_pct"]
    assert line.tolist() == pytest.approx([100 * 0.9**tries for tries in range(1, 21)])
