"""What an audit is asked by a call, what it refuses in one line, and what it keeps and gives back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import truths
from torch import Tensor, nn

import bench
from bench import attacking
from bench.analysis.audit import asking, stages, tables
from bench.analysis.audit.asked import Asked
from bench.analysis.audit.stage import Effort
from bench.attacks import RandomizedPGDAttack
from bench.checks import ConfigError

TINY = Effort(2_000, 6, 1, 4, 3, 3, 1)
"""Enough to see what goes where, and to find nothing much."""


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(stages.EFFORTS, "quick", TINY)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What audits share, so that the plan's attacks are run once."""
    return tmp_path_factory.mktemp("audits")


@pytest.fixture(scope="module")
def first(store: Path) -> bench.Audited:
    """An audit of nothing but the defence."""
    return audit(store=store)


TRUTH = truths.noisy(0.1, "linf", 0.05, count=12)
IMAGES, INDICES = TRUTH.images.numpy(), np.arange(12)


def audit(defended: Any = TRUTH.defended, **options: Any) -> bench.Audited:
    return bench.audit(defended, TRUTH.images, TRUTH.labels, epsilon=0.05, **options)


def left(found: bench.Audited) -> "pd.Series[float]":
    """Accuracy that each attack leaves, by its name."""
    return found.attacks.set_index("attack")["accuracy_left_pct"]


def worst() -> Tensor:
    """The corner of each image's ball in which a linear network of two classes is worst."""
    towards = TRUTH.defended.network.weight[1] - TRUTH.defended.network.weight[0]
    sign = torch.sign(towards).reshape(TRUTH.images.shape[1:]) * (1 - 2 * TRUTH.labels).reshape(-1, 1, 1, 1)
    return (TRUTH.images + 0.05 * sign).clamp(0, 1).detach()


def test_the_tables_have_the_columns_that_are_promised_and_a_folder_holds_them(
    first: bench.Audited, tmp_path: Path
) -> None:
    found = first
    assert list(found.table) == list(tables.COLUMNS)
    assert list(found.checks) == list(tables.OF_CHECKS)
    assert list(found.attacks) == list(tables.OF_ATTACKS)
    wrong = [column for column in found.images if column.startswith("wrong_draws: ")]
    assert list(found.images) == [*(name for name in tables.OF_IMAGES if "NAME" not in name), *wrong]
    row = found.table.iloc[0]
    assert (row["images"], row["draws"]) == (12, 100) == (len(found.images), found.images["scored_draws"][0])
    assert row["worth_points"] == pytest.approx(row["real_pct"] - row["twin_pct"])
    assert set(found.checks["outcome"]) <= {"passes", "fails", "doesn't apply"}
    assert str(found.verdict) == f"{row['verdict']}: {row['why']}"
    found.save(tmp_path / "there")
    for name, frame in (("audit", found.table), ("checks", found.checks), ("attacks", found.attacks)):
        kept = pd.read_csv(tmp_path / "there" / f"{name}.csv", keep_default_na=False, na_values=[""])
        assert list(kept) == list(frame)
        assert len(kept) == len(frame)
    assert pd.read_csv(tmp_path / "there" / "images.csv")["scored_wrong"].tolist() == list(
        found.images["scored_wrong"]
    )
    with pytest.raises(ConfigError, match="^folder: expected a folder, got 3"):
        found.save(3)  # type: ignore[arg-type]


def test_what_is_printed_says_what_it_rests_on(first: bench.Audited) -> None:
    head, row, *rest = repr(first).splitlines()
    titles = ["clean", "naive", f"real ({first.table['attacks'][0]} attacks)", "any of 10", "twin", "fixed"]
    assert " ".join(head.split()) == " ".join([*titles, "worth, one query worth, ten tries verdict"])
    assert row.endswith(f"  {first.verdict}")
    assert "\n".join(rest) == first.said
    assert "knows weights, operation and rates, not the draw; a new draw each query" in first.said
    assert "12 images, scored on 100 draws; " in first.said
    assert "attacks and samples of your own join the others" in first.said


def test_samples_that_an_audit_writes_join_another_one(
    first: bench.Audited, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.save(tmp_path)
    again = audit(samples=tmp_path / "samples.npz", store=store)
    assert again.table["real_pct"][0] == pytest.approx(first.table["real_pct"][0], abs=8)
    assert left(again)["brought along"] == pytest.approx(first.table["real_pct"][0], abs=8)
    assert "of your own" not in again.said
    # as a pair, of tensors and of lists too
    some = (torch.from_numpy(first.samples["images"][3:5]), [3, 4])
    few = audit(samples=some, store=store)
    wrong, before = (few.images[f"wrong_draws: {name}"] for name in ("brought along", "unperturbed"))
    assert wrong[[3, 4]].tolist() == again.images["wrong_draws: brought along"][[3, 4]].tolist()
    assert wrong.drop([3, 4]).tolist() == before.drop([3, 4]).tolist()
    # as a mapping the same row, which is there
    monkeypatch.setattr("bench.measuring.passes.correct", None)
    assert (audit(samples=first.samples, store=store).samples["images"] == again.samples["images"]).all()


def test_samples_are_scored_on_the_defence_and_on_its_twin_and_count_only_in_the_ball(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = audit(samples=(worst(), INDICES), store=store)
    assert left(found)["brought along"] == pytest.approx(TRUTH.real, abs=4)
    assert found.table["twin_pct"][0] == TRUTH.twin
    assert not caplog.records
    far = audit(samples=(1 - TRUTH.images, INDICES), store=store)
    assert left(far)["brought along"] == left(far)["unperturbed"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("samples: 12 of 12 lie outside the ball of linf 0.05; ")


class Mine:
    """An attack of somebody's own, with Foolbox's call."""

    def __init__(self, images: Tensor):
        self.images = images
        self.epsilons: list[Any] = []

    def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any, **options: Any) -> Any:
        self.epsilons.append(epsilons)
        if len(inputs) == len(self.images):
            inputs = self.images
        return inputs, inputs, torch.ones(len(inputs), dtype=torch.bool)


def test_attacks_that_are_brought_along_are_asked_for_the_ball_and_scored(store: Path) -> None:
    mine = Mine(worst())
    attacks = {"mine": mine, "square": RandomizedPGDAttack(steps=40), "theirs": "fgsm_fixed"}
    found = audit(attacks=attacks, store=store)
    assert set(mine.epsilons) == {0.05}
    assert left(found)["brought along: mine"] == pytest.approx(TRUTH.real, abs=4)
    assert left(found)["brought along: square"] == pytest.approx(TRUTH.real, abs=4)
    rows = found.attacks.set_index("attack")
    assert rows["on"]["brought along: theirs"] == "scheme"
    # a name of the plan's stays the plan's
    assert rows["passes"]["square"] < rows["passes"]["brought along: square"]
    assert "of your own" not in found.said


def test_an_attack_that_cannot_be_told_from_another_needs_no_store(tmp_path: Path) -> None:
    mine = Mine(worst())
    attacks = {"mine": lambda *given, **options: mine(*given, **options)}
    assert left(audit(attacks=attacks))["brought along: mine"] == pytest.approx(TRUTH.real, abs=4)
    with pytest.raises(ConfigError, match="^store: .*; or leave store out, and keep nothing"):
        audit(attacks=attacks, store=tmp_path)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"norm": "l1"}, "norm: expected one of linf, l2, got l1"),
        ({"norm": 3}, "norm: expected one of linf, l2, got 3"),
        ({"effort": "fast"}, "effort: expected one of quick, standard, thorough, got fast"),
        ({"epsilon": 0}, "epsilon: expected a number over 0, up to 1 for linf, got 0"),
        ({"epsilon": 1.5}, "epsilon: expected a number over 0, up to 1 for linf, got 1.5"),
        ({"norm": "l2", "epsilon": float("inf")}, "epsilon: expected a number over 0, got inf"),
        ({"epsilon": "much"}, "epsilon: Value 'much'"),
        ({"claim": 101}, "claim: expected an accuracy in %, 0 to 100, got 101"),
        ({"margin": 0}, "margin: expected a number over 0, got 0"),
        ({"minutes": -1}, "minutes: expected a number over 0, got -1"),
        ({"passes": 5}, "passes: expected at least [0-9]+, which the shortest plan of this effort takes, got 5"),
        ({"baseline": nn.Flatten()}, "baseline: expected a bench.Defended, got Flatten"),
        ({"baseline": TRUTH.defended}, "baseline: expected a network of which nothing is random"),
        ({"baseline": bench.Defended(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))}, "baseline: model: Sequential fails on"),
        ({"baseline": bench.Defended(nn.Sequential(nn.Flatten(), nn.Linear(IMAGES[0].size, 5)))}, "baseline: it has 5 outputs, and"),
        ({"samples": "nowhere.npz"}, "samples: nowhere.npz: missing"),
        ({"samples": __file__}, "samples: .*: not an .npz file, or a damaged one"),
        ({"samples": 3}, "samples: expected the path of an npz, or a mapping of images and indices, got 3"),
        ({"samples": {"images": IMAGES}}, "samples: no indices; found: images"),
        ({"samples": (IMAGES[:, :, :, :1], INDICES)}, r"samples: expected images, float32 of shape \(m, "),
        ({"samples": (IMAGES.astype(float), INDICES)}, "samples: expected images, float32 of .* got float64 of"),
        ({"samples": (IMAGES[:0], INDICES[:0])}, r"samples: expected images, float32 of .*, at least one, got"),
        ({"samples": (IMAGES, INDICES[:3])}, r"samples: expected indices, integers of shape \(12,\), one for each"),
        ({"samples": (IMAGES, INDICES / 1)}, r"samples: expected indices, integers of .* got float64 of"),
        ({"samples": (IMAGES + 1, INDICES)}, r"samples: expected images in \[0, 1\], got values from 1"),
        ({"samples": (np.nan * IMAGES, INDICES)}, r"samples: expected images in \[0, 1\], got values from nan"),
        ({"samples": (IMAGES, INDICES + 1)}, "samples: expected indices of the 12 audited images, 0 to 11, got 1 to 12"),
        ({"samples": (IMAGES, INDICES - 1)}, "samples: expected indices of the 12 audited images, 0 to 11, got -1 to 10"),
        ({"samples": (IMAGES, INDICES // 3)}, "samples: expected one sample of an image, got 3 of 0"),
        ({"clean": 3}, "clean: expected a pair, images and their labels, got int"),
        ({"clean": (IMAGES, INDICES)}, "clean: labels: 11 found"),
        ({"attacks": []}, "attacks: expected a list"),
        ({"attacks": [("pgd", 0.3)]}, "attacks: expected no epsilon but the audit's, 0.05, got 0.3"),
        ({"attacks": [lambda model, inputs, criterion, **rest: 1 / 0]}, "attacks: <lambda> refuses its settings"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}") as error:
        bench.audit(TRUTH.defended, TRUTH.images, TRUTH.labels, **{"epsilon": 0.05, **options})
    assert "\n" not in str(error.value)


def test_an_audit_of_one_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="^images: expected at least 2, got 1"):
        bench.audit(TRUTH.defended, TRUTH.images[:1], TRUTH.labels[:1])


def test_a_file_of_samples_without_an_array_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES)
    with pytest.raises(ConfigError, match=r"^samples: .*x.npz: no array indices; found: images"):
        audit(samples=tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(
        ConfigError, match=r"^samples: .*x.npy: holds a single array; use numpy.savez with images, i"
    ):
        audit(samples=tmp_path / "x.npy")


def test_a_row_goes_on_where_it_was_stopped_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, made, stop = attacking.attack, [], [True]

    def spied(run: Any, name: str, *given: Any, **options: Any) -> Any:
        if stop[0] and len(made) == 5:
            raise KeyboardInterrupt
        made.append(name)
        return attack(run, name, *given, **options)

    monkeypatch.setattr(attacking, "attack", spied)
    with pytest.raises(KeyboardInterrupt):
        audit(store=tmp_path)
    stop[0] = False
    whole = audit(store=tmp_path)
    count = len(made)
    assert len(set(made)) == count > 5
    # a row that is there is only read, and one that asks for something else has the same samples
    monkeypatch.setattr("bench.measuring.passes.correct", None)
    again = audit(store=tmp_path)
    for one in ("table", "checks", "attacks", "images"):
        pd.testing.assert_frame_equal(getattr(again, one), getattr(whole, one))
    assert (again.samples["images"] == whole.samples["images"]).all()
    assert str(again.verdict) == str(whole.verdict)
    other = audit(store=tmp_path, claim=100)
    assert len(made) == count
    assert other.table["real_pct"][0] == whole.table["real_pct"][0]
    assert str(other.verdict).startswith("refuted: the figure: 100 % is claimed")


def test_clean_accuracies_are_of_the_images_that_are_given_for_them(
    first: bench.Audited, store: Path
) -> None:
    more = truths.noisy(0.1, "linf", 0.05, count=200)
    found = audit(clean=(more.images, more.labels), store=store)
    row = found.table.iloc[0]
    assert row["twin_clean_pct"] == 100
    # on twenty draws each, so within a point
    assert row["clean_pct"] == pytest.approx(truths.noisy(0.1, "linf", 1e-9, count=200).real, abs=1.5)
    assert row["clean_cost_points"] == pytest.approx(100 - row["clean_pct"])
    assert first.table["clean_pct"][0] != row["clean_pct"]


def test_a_baseline_is_attacked_as_the_twin_is(first: bench.Audited, store: Path) -> None:
    # one that is wrong wherever the other is right
    weight, bias = (-part.detach().numpy() for part in TRUTH.defended.network.parameters())
    net = truths.Linear(weight, bias)
    found = audit(baseline=bench.Defended(net), store=store)
    assert {"baseline: margin", "twin: margin"} <= set(found.attacks["attack"])
    row = found.table.iloc[0]
    assert row["baseline_pct"] < 20
    assert row["over_baseline_points"] == pytest.approx(row["real_pct"] - row["baseline_pct"])
    assert {"V5", "V6", "I1"} <= set(found.checks["check"][found.checks["on"] == "baseline"])
    assert "over the baseline" in repr(found)
    assert np.isnan(first.table["over_baseline_points"][0])


def test_what_there_were_no_passes_for_is_said(first: bench.Audited, store: Path) -> None:
    lines: list[str] = []
    less = audit(passes=0.8 * first.table["passes"][0], store=store, progress=lines.append)
    assert lines[0].startswith("at most ")
    assert lines[0].endswith("minutes by 5 passes that were timed")
    assert "left out" not in first.said
    assert less.said.splitlines()[-1].startswith("left out, for want of passes: ")
    assert less.table["attacks"][0] < first.table["attacks"][0]
    gone = less.checks[less.checks["evidence"].str.startswith("there were no passes for")]
    assert len(gone)
    assert (gone["outcome"] == "doesn't apply").all()


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_said_on_stderr_where_it_is_asked_for(
    progress: bool, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Audit:
        def __init__(self, asked: Asked):
            asked.progress("at most")

        def run(self) -> None:
            raise ConfigError("passes: that is all")

    monkeypatch.setattr(asking, "Audit", Audit)
    with pytest.raises(ConfigError, match="^passes: that is all"):
        audit(progress=progress, seed=3, store=store)
    assert capsys.readouterr() == ("", "at most\n" * progress)
