from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from recording import record, settings

from bench import axes
from bench.results.store import Store
from bench.results.sweep import Sweep, Table, swept, table


def test_folders_can_be_moved_together(sweep: Path, tmp_path: Path) -> None:
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    assert Sweep(moved / "sweep").table().frame["status"][0] == "ok"


def test_a_sweep_reads_each_record_once(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, keys = Store.read, []
    monkeypatch.setattr(Store, "read", lambda store, key: (keys.append(key), read(store, key))[1])
    one = Sweep(sweep)
    frames = [one.table().frame, one.table().frame, table(one).frame, table(sweep).frame]
    # the last one is of the folder, which may have changed
    assert keys == ["a", "b", "c", "d"] * 2
    # nor does it matter what somebody does to a table
    frames[0]["status"] = "changed"
    for frame in (frames[2], one.table().frame):
        pd.testing.assert_frame_equal(frames[3], frame)


def test_a_swept_setting_becomes_a_column_and_others_do_not() -> None:
    few, many = settings(samples=10), settings(samples=20)
    assert list(Table.of([record("a", few), record("b", many)]).frame["samples"]) == [10, 20]
    other = settings("none", attack="pgd")
    other["attack"] = {"name": "pgd", "options": {"steps": 3}}
    # what comes with another choice is not a sweep of its own
    assert "attack.options.steps" not in Table.of([record("a", few), record("b", other)]).frame


def test_what_differs_together_with_a_name_and_is_not_of_its_file_is_a_column() -> None:
    def cell(scheme: str, way: str, epochs: int, seed: int = 0) -> dict[str, Any]:
        options = {"plain": {}, "adversarial": {"epsilon": 0.1}}[way]
        training = {"name": way, **options, "epochs": epochs, "seed": seed}
        return settings(scheme, training=training)

    one = [cell("none", "plain", 3), cell("fc", "plain", 1)]
    assert swept(one) == ["training.epochs"]
    two = [cell("none", "plain", 3), cell("none", "adversarial", 1)]
    # its options are what the name stands for, how long it took is not
    assert swept(two) == ["training.epochs"]
    assert swept([cell("none", "plain", 3), cell("none", "adversarial", 3)]) == []
    three = [*two, cell("none", "adversarial", 3, seed=1)]
    three[-1]["training"]["epsilon"] = 0.2
    assert swept(three) == ["training.epochs", "training.epsilon", "training.seed"]


def test_every_axis_is_somebodys_choice_or_nobodys() -> None:
    sides = {name: axes.side(name) for name in axes.NAMES}
    assert [n for n, who in sides.items() if who == "defender"] == [
        "model",
        "training",
        "scheme",
        "train_rate",
        "test_rate",
    ]
    assert [n for n, who in sides.items() if who == "attacker"] == ["attack"]
    columns = [*axes.NAMES, "dataset.epochs", "samples", "scheme.sites.fc", "attack.epsilon", "training.seed"]
    defence, rest = axes.split(columns)
    settings = ["dataset.epochs", "scheme.sites.fc", "training.seed"]
    assert defence == ["model", "training", "scheme", "train_rate", "test_rate", *settings]
    assert rest == ["dataset", "attack", "criterion", "seed", "samples", "attack.epsilon"]
    # what a network that is trained may be given: its gradients are compared
    assert [c for c in columns if axes.at_test(c)] == ["scheme", "test_rate", "scheme.sites.fc"]
    assert axes.names(settings_of("digits", None)) == {
        **dict.fromkeys(axes.NAMES), "dataset": "digits", "test_rate": 0.5
    }  # fmt: skip


def settings_of(dataset: str, name: str | None) -> dict[str, Any]:
    """Settings of which some are not there yet."""
    return {"dataset": {"name": dataset}, "model": {}, "test_rate": 0.5, "seed": name}
