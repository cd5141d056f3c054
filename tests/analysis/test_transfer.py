import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from running import Run

from bench import plan
from bench.analysis import gradients, transfer
from bench.checks import ConfigError
from bench.measuring import passes
from bench.reader import Reader
from bench.results import fingerprint
from bench.results.files import write_document
from bench.results.store import Store
from bench.results.sweep import Sweep, write_manifest

QUICK = ("samples=12", "training.epochs=5", "evaluation.draws=6")


@pytest.fixture
def crossed(bench_run: Run, output_dir: Path) -> pd.DataFrame:
    path = output_dir / "crossed" / "transfer.csv"
    if not path.exists():
        outcome = bench_run("-m", "scheme=none,fc,all", "attack=fgsm,deepfool", "name=crossed", *QUICK)
        assert outcome.status == 0, outcome.err
    return pd.read_csv(path)


def test_every_scheme_looks_at_every_schemes_samples(crossed: pd.DataFrame, output_dir: Path) -> None:
    assert len(crossed) == 2 * 3 * 3
    own = crossed[(crossed["generated_under"] == "none") & (crossed["recognised_by"] == "none")]
    # nothing is random there: what the attack claims is misclassified, and nothing else was kept
    assert (own["accuracy_pct"] == 0).all()
    assert (own["draws"] == 1).all()
    assert (crossed[crossed["recognised_by"] != "none"]["draws"] == 6).all()
    for attack in ("fgsm", "deepfool"):
        assert (output_dir / "crossed" / f"transfer_digits_{attack}_untargeted.png").exists()


def test_a_cell_is_what_passing_the_samples_by_hand_gives(crossed: pd.DataFrame, output_dir: Path) -> None:
    store = Store(output_dir / "store")
    results = pd.read_csv(output_dir / "crossed" / "results.csv")
    fgsm = results[results["attack"] == "fgsm"].set_index("scheme")
    record = store.read(fgsm.loc["none", "key"])
    other = store.read(fgsm.loc["fc", "key"])
    assert record is not None
    assert other is not None
    samples = store.samples(other)
    network = plan.restore(record, store).defended.network
    claimed = samples["claimed"]
    images, labels = (torch.from_numpy(samples[k][claimed]) for k in ("perturbed", "labels"))
    expected = 100 * (network(images).argmax(-1) == labels).float().mean().item()
    row = crossed.query("attack == 'fgsm' and generated_under == 'fc' and recognised_by == 'none'").iloc[0]
    assert row["accuracy_pct"] == pytest.approx(expected)
    assert row["single_draw_pct"] == pytest.approx(expected)
    assert row["samples"] == claimed.sum()


def test_a_second_look_passes_nothing(
    crossed: pd.DataFrame, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passed(*args: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(passes, "fresh_draws", passed)
    again = transfer.table(output_dir / "crossed")
    assert np.allclose(again["accuracy_pct"], crossed["accuracy_pct"])


def test_means_stand_at_the_edges(crossed: pd.DataFrame) -> None:
    (name, pairs), _ = transfer.groups(crossed)
    assert name["attack"] == "fgsm"
    square = transfer.matrix(pairs)
    assert list(square.columns) == ["none", "fc", "all", "mean"]
    assert list(square.index) == ["none", "fc", "all", "mean"]
    value = pairs.query("generated_under == 'all' and recognised_by == 'fc'")["accuracy_pct"].item()
    assert square.loc["fc", "all"] == value
    inner = square.iloc[:3, :3]
    assert np.allclose(square.loc["mean"][:3], inner.mean(axis=0))
    assert np.allclose(square["mean"][:3], inner.mean(axis=1))


def test_a_missing_cell_is_a_hole_with_its_reason(
    crossed: pd.DataFrame, output_dir: Path, tmp_path: Path
) -> None:
    cells = [dict(entry) for entry in Sweep(output_dir / "crossed").cells]
    next(c for c in cells if c["config"]["scheme"]["name"] == "fc")["key"] = "nobody's"
    write_manifest(tmp_path, Store(output_dir / "store"), cells)
    pairs = transfer.table(tmp_path)
    holes = pairs[pairs["accuracy_pct"].isna()]
    # its row and its column, for one attack of two
    assert len(holes) == 5
    assert set(holes["reason"]) == {"samples: missing: not run yet", "recogniser: missing: not run yet"}
    assert transfer.write(tmp_path)


def test_it_runs_across_networks(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run("-m", "scheme=fc", "attack=fgsm", "train_rate=0,0.5", "name=networks", *QUICK)
    assert outcome.status == 0
    pairs = pd.read_csv(output_dir / "networks" / "transfer.csv")
    assert set(pairs["generated_under"]) == {"0.0", "0.5"} or set(pairs["generated_under"]) == {0.0, 0.5}
    assert pairs["accuracy_pct"].notna().all()


def test_one_scheme_alone_has_nothing_to_compare(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run("-m", "scheme=fc", "attack=fgsm,deepfool", "name=alone", *QUICK)
    assert outcome.status == 0
    assert not (output_dir / "alone" / "transfer.csv").exists()


def test_an_edited_operation_looks_at_nothing_until_its_cells_are_computed_again(
    bench_run: Run, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "mysign.py"
    code = "class Sign:\n    random = False\n    def __call__(self, x, rate, generator): return {}x\n"
    source.write_text(code.format("1.0 * "))
    (tmp_path / "scheme").mkdir()
    (tmp_path / "scheme" / "sign.yaml").write_text("sites: {fc: 0.5}\noperation: {_target_: mysign.Sign}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = (
        "-m", "--config-dir", str(tmp_path), "trusted_modules=[bench,foolbox,mysign]", "name=sign",
        "scheme=sign,none", "attack=fgsm", *QUICK,
    )  # fmt: skip
    outcome = bench_run(*arguments)
    assert outcome.status == 0, outcome.err
    mine = Reader(trusted=("bench", "foolbox", "mysign"))
    pairs = ["generated_under", "recognised_by"]
    before = transfer.table(output_dir / "sign", mine).set_index(pairs)
    assert before.loc[("none", "sign"), "accuracy_pct"] == 0

    # the same hidden layer upside down
    source.write_text(code.format("-"))
    importlib.reload(importlib.import_module("mysign"))
    edited = transfer.table(output_dir / "sign", mine).set_index(pairs)
    of_sign = edited.index.get_level_values("recognised_by") == "sign"
    assert edited.loc[of_sign, "accuracy_pct"].isna().all()
    assert edited.loc[of_sign, "reason"].str.contains("the code of its network or scheme changed").all()
    # what the edit can't have changed is as it was
    assert edited.loc[~of_sign, "accuracy_pct"].equals(before.loc[~of_sign, "accuracy_pct"])

    assert bench_run(*arguments).status == 0
    after = transfer.table(output_dir / "sign", mine).set_index(pairs)
    assert after["accuracy_pct"].notna().all()
    clean = pd.read_csv(output_dir / "sign" / "results.csv").set_index("scheme")["clean_accuracy_pct"]
    assert clean["sign"] < 50 < clean["none"]


def test_a_record_is_read_under_the_settings_of_the_sweep_that_names_it(
    crossed: pd.DataFrame, output_dir: Path
) -> None:
    whole = Sweep(output_dir / "crossed")
    # of a file that was moved the content is in the key, and the path is whoever's came first
    moved = [{**c, "config": {**c["config"], "model": {"options": {"weights": "here"}}}} for c in whole.cells]
    write_manifest(output_dir / "moved", whole.store, moved)
    sweep = Sweep(output_dir / "moved")
    key = moved[0]["key"]
    for record in (transfer._Pairs(sweep, Reader(), None)._record(key)[0], gradients._found([sweep], key)[1]):
        assert record["metrics"] == whole.records[0]["metrics"]
        assert record["config"] == moved[0]["config"]


def test_records_of_before_there_were_looks_are_holes_with_their_reason(
    crossed: pd.DataFrame, output_dir: Path, tmp_path: Path
) -> None:
    whole, store = Sweep(output_dir / "crossed"), Store(tmp_path / "store")
    for record in whole.records[:3]:
        old = {name: value for name, value in record.items() if name not in ("defended", "looks")}
        store.write(record["key"], old)
    write_manifest(tmp_path / "old", store, whole.cells[:3])
    for kept in (False, True):
        if kept:
            write_document(store.folder / "kept.json", "kept", "store", {})
        for table in (transfer.table(tmp_path / "old"), gradients.table([tmp_path / "old"])):
            assert (
                table["reason"].str.fullmatch("record .* is of an earlier version; run the sweep again").all()
            )


def test_tables_of_records_that_are_outdated_stay_as_they_are(
    bench_run: Run, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = bench_run(
        "-m", "scheme=none,fc", "attack=fgsm", "name=outdated", "samples=4", "training.epochs=5"
    )
    assert outcome.status == 0
    table = output_dir / "outdated" / "transfer.csv"
    before = table.read_bytes()
    monkeypatch.setattr(fingerprint, "versions", lambda: {"torch": "99"})
    with pytest.raises(
        ConfigError, match="its tables stay as they are, since none of it can be looked at now: "
    ):
        transfer.write(output_dir / "outdated")
    assert table.read_bytes() == before
