"""What an audit is asked by a call, what it refuses in one line, and what it keeps and gives back."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import truths
from torch import nn

import bench
from bench import attacking
from bench.analysis.audit import asking
from bench.analysis.audit.stage import Effort
from bench.attacks import RandomizedPGDAttack
from bench.checks import ConfigError

TINY = Effort(2_000, 6, 1, 4, 3, 3, 1)
"""Enough to see what goes where, and to find nothing much."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(asking.EFFORTS, "quick", TINY)


TRUTH = truths.noisy(0.1, "linf", 0.05, count=12)


def audit(defended: Any = TRUTH.defended, **options: Any) -> bench.Audited:
    return bench.audit(defended, TRUTH.images, TRUTH.labels, epsilon=0.05, **options)


def test_the_tables_have_the_columns_that_are_promised(tmp_path: Path) -> None:
    found = audit()
    ends = [f"{c}{end}" for c in (
        "real_pct", "worth_points", "worth_any_of_10_points", "operation_points", "secrecy_points",
        "over_baseline_points") for end in ("", "_low", "_high")]  # fmt: skip
    others = [
        "clean_pct", "twin_clean_pct", "clean_cost_points", "naive_pct", "claimed_pct", "real_attack",
        "any_of_10_pct", "majority_pct", "twin_pct", "fixed_pct", "baseline_pct", "images", "draws", "passes",
        "seconds", "verdict", "why",
    ]  # fmt: skip
    assert {*ends, *others} <= set(found.table.columns)
    assert set(found.checks["outcome"]) <= {"passes", "fails", "doesn't apply"}
    wanted = [f"V{i}" for i in range(1, 14) if i != 10] + ["I1", "I3", "I4"]
    assert list(dict.fromkeys(c for c in found.checks["check"] if c not in ("V10", "I2"))) == wanted
    assert (found.images["scored_draws"] == 100).all()
    assert len(found.images) == len(found.samples) == 12
    found.save(tmp_path / "there")
    for name in ("audit", "checks", "attacks", "images"):
        assert len(pd.read_csv(tmp_path / "there" / f"{name}.csv"))
    text = repr(found)
    assert f"real ({len(found.attacks) - 2} attacks)" in text
    assert "knows weights, operation and rates, not the draw" in text


def test_samples_that_an_audit_writes_join_another_one(tmp_path: Path) -> None:
    strong = TRUTH.images + 0.05 * torch.sign(torch.tensor(TRUTH.defended.network.weight[0]))
    weak = audit()
    brought = audit(samples={"images": strong.clamp(0, 1), "indices": np.arange(12)})
    weak.save(tmp_path)
    assert np.load(tmp_path / "samples.npz")["images"].dtype == np.float32
    again = audit(samples=tmp_path / "samples.npz")
    won = again.attacks.set_index("attack")["accuracy_left_pct"]["brought along"]
    assert won == pytest.approx(weak.table["real_pct"].iloc[0], abs=8)
    # what lies outside the ball counts as the image itself
    far = audit(samples={"images": 1 - TRUTH.images, "indices": np.arange(12)})
    left = far.attacks.set_index("attack")["accuracy_left_pct"]
    assert left["brought along"] == left["unperturbed"]
    assert "brought along" in set(brought.attacks["attack"])
    assert "--samples" not in brought.said


IMAGES, INDICES = TRUTH.images.numpy(), np.arange(12)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"norm": "l1"}, "norm: expected one of linf, l2, got l1"),
        ({"effort": "fast"}, "effort: expected one of quick, standard, thorough, got fast"),
        ({"epsilon": 0}, "epsilon: expected a number over 0, up to 1 for linf, got 0"),
        ({"epsilon": 1.5}, "epsilon: expected a number over 0, up to 1 for linf, got 1.5"),
        ({"claim": 101}, "claim: expected an accuracy in %, 0 to 100, got 101"),
        ({"margin": 0}, "margin: expected a number over 0, got 0"),
        ({"minutes": -1}, "minutes: expected a number over 0, got -1"),
        ({"passes": 5}, "passes: expected at least "),
        ({"baseline": nn.Flatten()}, "baseline: expected a bench.Defended of which nothing is random, got Flatten"),
        ({"baseline": TRUTH.defended}, "baseline: expected a bench.Defended of which nothing is random, got one"),
        ({"samples": "nowhere.npz"}, "samples: nowhere.npz: can't be read as npz"),
        ({"samples": {"images": IMAGES}}, "samples: expected the path of an npz, or a mapping of images and"),
        ({"samples": {"images": IMAGES[:, :, :, :3], "indices": INDICES}}, r"samples: expected images of float32"),
        ({"samples": {"images": IMAGES.astype(float), "indices": INDICES}}, "samples: expected images of float32"),
        ({"samples": {"images": IMAGES, "indices": INDICES[:3]}}, r"samples: expected indices of integers and"),
        ({"samples": {"images": IMAGES + 1, "indices": INDICES}}, r"samples: expected images in \[0, 1\], got 1"),
        ({"samples": {"images": IMAGES, "indices": INDICES + 1}}, "samples: expected indices from 0 to 11"),
        ({"samples": {"images": IMAGES, "indices": 0 * INDICES}}, "samples: expected each index once"),
        ({"clean": 3}, "clean: expected images and their labels"),
        ({"clean": (IMAGES, INDICES)}, "clean: expected images of shape"),
        ({"attacks": []}, "attacks: expected a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(options: dict[str, Any], line: str) -> None:
    given = {"epsilon": 0.05, **options}
    with pytest.raises(ConfigError, match=f"^{line}"):
        bench.audit(TRUTH.defended, TRUTH.images, TRUTH.labels, **given)
    with pytest.raises(ConfigError, match="^images: expected at least 2, got 1"):
        bench.audit(TRUTH.defended, TRUTH.images[:1], TRUTH.labels[:1])


def test_a_file_without_its_arrays_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES)
    with pytest.raises(
        ConfigError, match=r"^samples: .*x.npz has no indices; expected images and indices, found"
    ):
        audit(samples=tmp_path / "x.npz")


def test_a_row_goes_on_where_it_was_stopped_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, made = attacking.attack, []

    def spied(run: Any, name: str, *given: Any, **options: Any) -> Any:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(name)
        return attack(run, name, *given, **options)

    monkeypatch.setattr(attacking, "attack", spied)
    with pytest.raises(KeyboardInterrupt):
        audit(store=tmp_path)
    first = made.copy()
    monkeypatch.setattr(
        attacking, "attack", lambda run, name, *g, **o: made.append(name) or attack(run, name, *g, **o)
    )
    whole = audit(store=tmp_path)
    assert len(set(made)) == len(made)
    assert made[: len(first)] == first
    count = len(made)
    again = audit(store=tmp_path)
    # a row that is there is only read, and one that asks for something else has the same samples
    other = audit(store=tmp_path, claim=99)
    assert len(made) == count
    pd.testing.assert_frame_equal(again.table, whole.table)
    assert other.table["real_pct"].iloc[0] == whole.table["real_pct"].iloc[0]
    assert str(other.verdict).startswith("refuted: the figure: 99 % is claimed")


def test_attacks_that_are_brought_along_are_scored_and_named() -> None:
    found = audit(attacks={"mine": RandomizedPGDAttack(steps=40), "theirs": "fgsm_fixed"})
    rows = found.attacks.set_index("attack")
    assert rows["on"]["mine"] == "scheme"
    assert rows["accuracy_left_pct"]["mine"] == pytest.approx(TRUTH.real, abs=4)
    assert "theirs" in rows.index
    assert "--samples" not in found.said


def test_clean_accuracies_are_of_the_images_that_are_given_for_them() -> None:
    more = truths.noisy(0.1, "linf", 0.05, count=200)
    found = audit(clean=(more.images, more.labels))
    row = found.table.iloc[0]
    assert row["twin_clean_pct"] == 100
    assert row["clean_pct"] == pytest.approx(truths.noisy(0.1, "linf", 1e-9, count=200).real, abs=5)
    assert row["clean_cost_points"] == pytest.approx(100 - row["clean_pct"])


def test_a_baseline_is_attacked_as_the_twin_is() -> None:
    # one that is right by chance of its sign alone
    net = truths.Linear(*(-part.detach().numpy() for part in TRUTH.defended.network.parameters()))
    found = audit(baseline=bench.Defended(net))
    assert {"baseline: margin", "twin: margin"} <= set(found.attacks["attack"])
    row = found.table.iloc[0]
    assert row["baseline_pct"] < 20
    assert row["over_baseline_points"] == pytest.approx(row["real_pct"] - row["baseline_pct"])
    assert {"V5", "V6", "I1"} <= set(found.checks["check"][found.checks["on"] == "baseline"])


def test_what_there_were_no_passes_for_is_said() -> None:
    lines: list[str] = []
    whole, less = audit(progress=lines.append), audit(passes=0.9 * audit().table["passes"].iloc[0])
    assert lines[0].startswith("at most ")
    assert "minutes by 5 passes that were timed" in lines[0]
    assert "left out" not in whole.said
    left_out = less.said.rpartition("left out, for want of passes: ")[2].split(", ")
    assert left_out
    assert less.table["attacks"].iloc[0] < whole.table["attacks"].iloc[0]
    gone = less.checks[less.checks["evidence"].str.startswith("there were no passes for")]
    assert (gone["outcome"] == "doesn't apply").all()
    assert len(gone)
