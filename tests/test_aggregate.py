import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from bench import aggregate, figures, records
from bench.records import Store


def settings(scheme: str = "fc", attack: str = "fgsm", **changes: Any) -> dict[str, Any]:
    config = {
        "dataset": {"name": "digits"}, "model": {"name": "two_conv"}, "scheme": {"name": scheme},
        "attack": {"name": attack, "options": {}}, "criterion": {"name": "untargeted"},
        "train_rate": None, "test_rate": None, "seed": 0, "samples": 10,
    }  # fmt: skip
    return {**config, **changes}


def record(
    key: str, config: dict[str, Any], success: float = 0.5, mad: float | None = 10.0
) -> dict[str, Any]:
    share = {"mean": success, "low": success - 0.1, "high": success + 0.1}
    names = ("mad_255", "l0_values", "l1", "l2", "linf") if mad is not None else ()
    distance = {name: {"mean": mad, "low": mad - 1, "high": mad + 1, "median": mad} for name in names}
    return {
        "key": key, "status": "ok", "config": config, "cell": aggregate.names(config),
        "images": {"count": 10}, "warnings": [], "device_kind": "cpu",
        "metrics": {
            "clean_accuracy_no_scheme": share, "clean_accuracy": share, "claimed_success": share,
            "fresh_success": share, "fresh_accuracy": share, "fresh_draws": 20, "distance": distance,
            "forward_passes_per_image": 3.0, "backward_passes_per_image": 1.0,
            "given_up": 0, "too_far": 0, "without_start": 0, "zero_gradient": 0,
        },
        "seconds": {"total": 2.0, "attack": 1.0},
    }  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four cells: one done, one that can't be, one failed, one not run yet."""
    store = Store(tmp_path / "store")
    configs = {
        k: settings(s, a)
        for k, s, a in (("a", "none", "fgsm"), ("b", "none", "df"), ("c", "fc", "fgsm"), ("d", "fc", "df"))
    }
    store.write("a", record("a", configs["a"]), None)
    for key, status, reason in (("b", "not_applicable", "can't serve"), ("c", "failed", "it broke")):
        header = {"key": key, "status": status, "config": configs[key], "cell": aggregate.names(configs[key])}
        store.write(key, {**header, "reason": reason}, None)
    aggregate.write_manifest(
        tmp_path / "sweep", store, [{"key": k, "config": c, "checkpoint": None} for k, c in configs.items()]
    )
    return tmp_path / "sweep"


def test_every_cell_of_a_sweep_is_a_row_whatever_became_of_it(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not aggregate.write(sweep)
    frame = pd.read_csv(sweep / "results.csv")
    assert list(frame["status"]) == ["ok", "not_applicable", "failed", "missing"]
    assert list(frame["reason"].fillna("")) == ["", "can't serve", "it broke", "not run yet"]
    assert frame["fresh_success_pct"][0] == 50
    assert frame["fresh_success_pct_low"][0] == pytest.approx(40)
    assert frame["fresh_success_pct"][1:].isna().all()
    assert len(list(sweep.glob("heatmap_*.png"))) == 1
    assert "it broke" in capsys.readouterr().out


def test_a_sweep_is_whole_when_the_rest_cannot_be(sweep: Path) -> None:
    cells = json.loads((sweep / "cells.json").read_text())["cells"]
    aggregate.write_manifest(sweep, Store(sweep.parent / "store"), cells[:2])
    assert aggregate.write(sweep)


def test_folders_can_be_moved_together(sweep: Path, tmp_path: Path) -> None:
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    assert aggregate.table(moved / "sweep")["status"][0] == "ok"


def test_every_column_is_described() -> None:
    frame = aggregate.frame_of([record("a", settings())])
    for column in frame.columns:
        stem = column.removesuffix("_low").removesuffix("_high").replace("_median", "_mean")
        assert column in aggregate.COLUMNS or stem in aggregate.COLUMNS, column
    assert set(aggregate.COLUMNS) - {"device"} <= set(frame.columns)


def test_readme_explains_every_column() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for column, meaning in aggregate.COLUMNS.items():
        assert f"| `{column}` | {meaning} |" in readme


def test_a_swept_setting_becomes_a_column_and_others_do_not() -> None:
    few, many = settings(samples=10), settings(samples=20)
    frame = aggregate.frame_of([record("a", few), record("b", many)])
    assert list(frame["samples"]) == [10, 20]
    other = settings("none", attack="pgd")
    other["attack"] = {"name": "pgd", "options": {"steps": 3}}
    frame = aggregate.frame_of([record("a", few), record("b", other)])
    # what comes with another choice is not a sweep of its own
    assert "attack.options.steps" not in frame.columns


def test_an_attack_that_never_succeeds_has_no_distance() -> None:
    frame = aggregate.frame_of(
        [record("a", settings(), success=0.1, mad=None), record("b", settings("none"))]
    )
    assert math.isnan(frame["mad_255_mean"][0])
    assert frame["mad_255_mean"][1] == 10
    assert "-" in aggregate.terminal(frame)


def drawn(
    monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame, folder: Path
) -> dict[str, list[list[list[str]]]]:
    """What stands in the cells of each picture, panel by panel, row by row."""
    found: dict[str, list[list[list[str]]]] = {}

    def look(figure: Any, path: Path, **kwargs: Any) -> None:
        panels = []
        for axis in figure.axes:
            rows, columns = len(axis.get_yticklabels()), len(axis.get_xticklabels())
            words = [["" for _ in range(columns)] for _ in range(rows)]
            for text in axis.texts:
                x, y = text.get_position()
                words[int(y)][int(x)] += text.get_text()
            panels.append(words)
        found[path.name] = panels
        found[f"{path.name} axes"] = [
            [
                [t.get_text() for t in figure.axes[0].get_yticklabels()],
                [t.get_text() for t in figure.axes[0].get_xticklabels()],
            ]
        ]

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", look)
    figures.heatmaps(frame, folder)
    return found


def test_heatmap_shows_each_value_in_its_place_and_each_hole_with_its_reason(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drawn(monkeypatch, aggregate.table(sweep), sweep)
    name = "heatmap_attack_scheme_digits_two-conv_untargeted.png"
    assert found[f"{name} axes"] == [[["fgsm", "df"], ["none", "fc"]]]
    success, accuracy, mad = found[name]
    assert success == [["50.0\n40 to 60", "failed"], ["n/a", "missing"]]
    assert accuracy[0][0] == "50.0\n40 to 60"
    assert mad == [["10.0\n9 to 11", "failed"], ["n/a", "missing"]]


def test_heatmap_of_rates_is_ordered_by_size_with_the_default_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for test in (0.9, None, 0.1):
        for train in (0.5, 0.0):
            config = settings(train_rate=train, test_rate=test)
            rows.append(record(f"{train}{test}", config, success=0.1 + 0.5 * train + 0.1 * (test or 0)))
    found = drawn(monkeypatch, aggregate.frame_of(rows), tmp_path)
    name = "heatmap_train_rate_test_rate_digits_two-conv_untargeted.png"
    assert found[f"{name} axes"] == [[["0", "0.5"], ["default", "0.1", "0.9"]]]
    assert [cell.split("\n")[0] for cell in found[name][0][1]] == ["35.0", "36.0", "44.0"]


def test_progress_counts_what_is_there_and_expects_the_rest_to_go_on_alike(tmp_path: Path) -> None:
    store, results = Store(tmp_path / "store"), tmp_path / "sweep"
    networks = {"a": "old", "b": "old", "c": "old", "d": "old", "e": "new", "f": "later", "n/a": None}
    cells = [{"key": key, "config": settings(), "checkpoint": network} for key, network in networks.items()]
    store.write("a", record("a", settings()), None)
    os.utime(store.record_path("a"), (0, 0))
    checkpoint(store, "old", seconds=5.0, at=0)
    aggregate.write_manifest(results, store, cells)
    # nothing of this sweep is done yet, what an earlier one left says nothing of the time
    assert aggregate.progress(results) == "1 of 7 done"
    store.write("b", record("b", settings()), None)
    started = time.time() - 600
    os.utime(results / "cells.json", (started, started))
    assert aggregate.progress(results) == "2 of 7 done, about 50 min left and 2 networks to train"
    # 8 of the 10 minutes went into a network: 2 for each of the 5 cells that are left, and 8 for another one
    checkpoint(store, "new", seconds=480.0, at=time.time())
    assert aggregate.progress(results) == "2 of 7 done, about 18 min left"


def checkpoint(store: Store, key: str, seconds: float, at: float) -> None:
    store.checkpoints.mkdir(parents=True, exist_ok=True)
    path = store.checkpoints / f"{key}.safetensors"
    records.write_tensors(path, "checkpoint", key, {"weights": torch.zeros(1)}, {"seconds": seconds})
    os.utime(path, (at, at))


def test_pictures_of_an_earlier_call_are_removed(tmp_path: Path) -> None:
    (tmp_path / "kept.png").touch()
    figures.heatmaps(aggregate.frame_of([record("a", settings())]), tmp_path)
    (first,) = tmp_path.glob("heatmap_*.png")
    other = settings(criterion={"name": "targeted"})
    figures.heatmaps(aggregate.frame_of([record("b", other)]), tmp_path)
    (second,) = tmp_path.glob("heatmap_*.png")
    assert second.name != first.name
    assert (tmp_path / "kept.png").exists()
