import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Run

from bench import plan
from bench.analysis import accuracy, gradients, transfer
from bench.analysis.keep import keep
from bench.checks import ConfigError
from bench.cli import main
from bench.composing import compose
from bench.measuring.intervals import estimate
from bench.results import fingerprint
from bench.results.files import write_document
from bench.results.store import Kept, Store, key_of
from bench.results.sweep import Sweep, write_manifest

QUICK = (
    "dataset=digits", "samples=4", "training.epochs=3", "evaluation.draws=3", "attack=fgsm",
    "criterion=targeted", "transfer=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def made() -> list[Path]:
    """Filled by the first test: a sweep takes a while."""
    return []


@pytest.fixture
def sweep(bench_run: Run, tmp_path_factory: pytest.TempPathFactory, made: list[Path]) -> Path:
    """A sweep of two schemes, looked at in every way, whose store holds one of another scheme too."""
    if not made:
        folder = tmp_path_factory.mktemp("original")
        outcome = bench_run("-m", "scheme=none,input,fc", "name=other", f"output_dir={folder}", *QUICK)
        assert outcome.status == 0, outcome.err
        whole = Sweep(folder / "other")
        write_manifest(folder / "mine", whole.store, [whole.cells[0], whole.cells[2]])
        for name in ("other", "mine"):
            tables(folder / name)
        made.append(folder / "mine")
    return made[0]


def tables(folder: Path) -> list[pd.DataFrame]:
    """Whatever is said of a sweep."""
    return [
        Sweep(folder).table().frame,
        transfer.table(folder),
        accuracy.table(folder),
        gradients.table([folder], draws=3, images=2),
    ]


def test_what_is_kept_gives_the_same_tables_without_samples_and_networks_whatever_the_version(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(sweep)
    keep([sweep], tmp_path / "kept")
    # a copy elsewhere, the original gone
    shutil.move(tmp_path / "kept", tmp_path / "clone")
    store, away = sweep.parent / "store", sweep.parent / "away"
    store.rename(away)
    # and the code has moved on
    monkeypatch.setattr(fingerprint, "versions", lambda: {"torch": "99"})
    monkeypatch.setattr(fingerprint, "code", lambda *objects: "other")
    try:
        after = tables(tmp_path / "clone" / "mine")
    finally:
        away.rename(store)
    # the single draws are not kept, which are most of it
    assert gradients.points([tmp_path / "clone" / "mine"], draws=3, images=2).empty
    for one, other in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(one, other)
    kinds = {path.name for path in (tmp_path / "clone" / "store").iterdir()}
    assert not kinds & {"samples", "checkpoints"}
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size < 40_000
    # of the other sweep's in the same store only those that are this one's too
    for folder, schemes in ((store, 3), (tmp_path / "clone" / "store", 2)):
        whats = [
            json.loads(path.read_text())["about"]["asked"]["what"] for path in (folder / "looks").iterdir()
        ]
        # draws of each scheme's own samples, and of all schemes' by each
        assert whats.count("fresh draws") == schemes + schemes**2
        assert (whats.count("clean"), whats.count("accuracy")) == (schemes, 2 * schemes)
        assert len(list((folder / "gradients").iterdir())) == schemes


def test_the_counts_of_each_image_give_the_records_figures(sweep: Path, tmp_path: Path) -> None:
    keep([sweep], tmp_path)
    store = Store(tmp_path / "store")
    looks = [store.kept("looks", path.stem) for path in (tmp_path / "store" / "looks").iterdir()]
    for record in Sweep(tmp_path / "mine").records:
        images, metrics = record["images"], record["metrics"]
        (seen,) = [
            look for look in looks if look.about["asked"].get("samples") == record["samples"]["content"]
        ]
        indices = np.array(images["indices"])
        for name, counts in (("fresh_success", "success"), ("fresh_accuracy", "right")):
            found = estimate(np.array(seen.values[counts]) / seen.values["draws"], indices)
            assert found == pytest.approx(tuple(metrics[name].values()))
        claimed = [int(flag) for flag in images["claimed"]]
        assert np.mean(claimed) == metrics["claimed_success"]["mean"]
        assert len(images["targets"]) == len(indices) == len(claimed)


def test_what_was_changed_since_it_was_kept_is_noticed(sweep: Path, tmp_path: Path) -> None:
    keep([sweep], tmp_path)
    for path in (tmp_path / "store" / "looks").iterdir():
        if '"what":"accuracy"' in path.read_text().replace(" ", ""):
            path.write_text(path.read_text().replace("111", "110"))
    assert set(accuracy.table(tmp_path / "mine")["scheme"]) != {"none", "fc"}
    for path in (tmp_path / "store" / "looks").iterdir():
        path.unlink()
    holes = transfer.table(tmp_path / "mine")
    assert holes["reason"].str.contains("was not kept").all()


def test_a_kept_sweep_can_be_kept_again_beside_others(sweep: Path, tmp_path: Path) -> None:
    main(["keep", str(sweep), "--into", str(tmp_path / "one")])
    main(["keep", str(tmp_path / "one" / "mine"), "--into", str(tmp_path / "both")])
    main(["keep", str(sweep.parent / "other"), "--into", str(tmp_path / "both")])
    for name in ("mine", "other"):
        one, other = (transfer.table(folder / name) for folder in (sweep.parent, tmp_path / "both"))
        pd.testing.assert_frame_equal(one, other)


def test_of_two_looks_that_were_asked_the_same_the_later_one_is_kept(sweep: Path, tmp_path: Path) -> None:
    store = Sweep(sweep).store
    look = store.kept("looks", Sweep(sweep).records[0]["looks"]["fresh"])
    # as code of before has seen it
    old = [store.keep("looks", name * 16, Kept({**look.values, "draws": 99}, look.about)) for name in "0f"]
    try:
        for other in old:
            os.utime(other.path, (0, 0))
        keep([sweep], tmp_path / "kept")
        kept = Store(tmp_path / "kept" / "store")
        assert kept.kept("looks", key_of("looks", look.about["asked"])).values == look.values
    finally:
        for other in old:
            other.path.unlink()


def test_nothing_is_computed_in_what_was_kept(sweep: Path, tmp_path: Path) -> None:
    keep([sweep], tmp_path / "kept")
    with pytest.raises(
        ConfigError, match=r"^output_dir: .*store is what was kept of sweeps, .*; choose another$"
    ):
        plan.prepare(compose([*QUICK, f"output_dir={tmp_path / 'kept'}"]))


def test_what_cannot_be_kept_is_one_line(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="store of its own"):
        keep([sweep], sweep.parent)
    with pytest.raises(ConfigError, match="two sweeps have this name"):
        keep([sweep, sweep], tmp_path / "kept")
    copied = tmp_path / "copy"
    shutil.copytree(sweep.parent, copied)
    key = Sweep(copied / "mine").table().frame["key"][0]
    Store(copied / "store").record_path(key).unlink()
    with pytest.raises(ConfigError, match="1 of 2 cells have no record"):
        keep([copied / "mine"], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_failed_cell_is_kept_without_what_speaks_of_its_machine(sweep: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(sweep.parent, copied)
    key = Sweep(copied / "mine").table().frame["key"][0]
    path = Store(copied / "store").record_path(key)
    failed = {**json.loads(path.read_text()), "status": "failed", "reason": "as it is", "traceback": "/home"}
    write_document(path, "record", key, {k: v for k, v in failed.items() if k != "sha256"})
    keep([copied / "mine"], tmp_path / "kept")
    kept = Store(tmp_path / "kept" / "store").read(key)
    assert kept is not None
    assert kept["reason"] == "as it is"
    assert "traceback" not in kept
