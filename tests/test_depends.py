"""What a table and a record depend on: on what decides a result, and on nothing else."""

import importlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from running import Outcome, Run

from bench import axes, cell, cli, composing, config, plan, run, targets
from bench.analysis import game, gradients, transfer
from bench.checks import ConfigError
from bench.reader import Reader
from bench.results import files, fingerprint
from bench.results import store as stores
from bench.results.store import Kept, Store
from bench.results.sweep import Sweep, swept, table, write_manifest

QUICK = ("samples=6", "training.epochs=2", "attack=fgsm_fixed")
DRAWS = ("evaluation.draws=3",)


def record_of(outcome: Outcome, output_dir: Path) -> dict:
    assert outcome.status == 0, outcome.err
    found = Store(output_dir / "store").read(Path(outcome.out.strip().splitlines()[-1]).stem)
    assert found is not None
    return found


def test_a_table_does_not_depend_on_what_ran_before(bench_run: Run, tmp_path: Path) -> None:
    here = f"output_dir={tmp_path}"
    assert bench_run("scheme=fc", *DRAWS, "name=x", *QUICK, here).status == 0
    swept = ("-m", "scheme=none,fc", "evaluation.draws=3,4", *QUICK)
    assert bench_run(*swept, "name=y", here).status == 0
    frame = pd.read_csv(tmp_path / "y" / "results.csv")
    assert [c for c in table(tmp_path / "y").names if c not in axes.NAMES] == ["evaluation.draws"]
    assert len(pd.read_csv(tmp_path / "y" / "transfer.csv")) == 8
    # in a store of its own it is the same, but for times
    assert bench_run(*swept, "name=z", f"output_dir={tmp_path / 'fresh'}").status == 0
    alone = pd.read_csv(tmp_path / "fresh" / "z" / "results.csv")
    timed = ["attack_seconds", "total_seconds"]
    pd.testing.assert_frame_equal(frame.drop(columns=timed), alone.drop(columns=timed))
    for name in config.NO_RESULT:
        assert all(name not in r["config"] for r in stored(tmp_path))


def stored(output_dir: Path) -> list[dict]:
    return [json.loads(p.read_text()) for p in (output_dir / "store" / "records").glob("*.json")]


def test_settings_that_differ_between_sweeps_are_columns_on_their_side(
    bench_run: Run, output_dir: Path
) -> None:
    arguments = (*DRAWS, "transfer=false", "samples=6", "attack=fgsm_fixed,deepfool")
    assert bench_run("-m", "scheme=none", "training.epochs=5", "name=long", *arguments).status == 0
    assert bench_run("-m", "scheme=fc", "training.epochs=4", "name=short", *arguments).status == 0
    both = table(output_dir / "long", output_dir / "short")
    assert list(both.frame["training.epochs"]) == [5, 5, 4, 4]
    (found,) = game.games(both)
    # how long a network is trained is the defender's
    assert list(found.payoffs.columns) == ["none training.epochs=5", "fc training.epochs=4"]
    assert list(found.payoffs.index) == ["fgsm_fixed", "deepfool"]
    assert bench_run("-m", "scheme=none", "training.epochs=4", "samples=7", "name=more",
                     *arguments[:2], "attack=deepfool").status == 0  # fmt: skip
    both = table(output_dir / "short", output_dir / "more")
    # how many images are attacked is neither's: another game
    assert [g.name["samples"] for g in game.games(both)] == [6, 7]


def test_a_datasets_own_epochs_are_named_by_the_dataset() -> None:
    def settings(dataset: str, own: int, epochs: int) -> dict:
        named = {g: {"name": g} for g in ("model", "scheme", "attack", "criterion")}
        rest = {
            "train_rate": None,
            "test_rate": None,
            "seed": 0,
            "training": {"name": "standard", "epochs": epochs},
        }
        return {"dataset": {"name": dataset, "epochs": own}, **named, **rest}

    one, other = settings("digits", 40, 40), settings("mnist", 4, 4)
    assert swept([one, other]) == []
    assert swept([one, settings("mnist", 4, 40)]) == ["training.epochs"]
    assert swept([one, settings("digits", 3, 3)]) == ["dataset.epochs"]
    assert axes.side("training.epochs") == axes.side("dataset.epochs") == "defender"
    assert axes.side("attack.options.steps") == "attacker"
    assert axes.side("samples") is axes.side("evaluation.draws") is None


@pytest.fixture
def weighted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose network, operation and way of training each read a file."""
    (tmp_path / "weighted.py").write_text(
        "import numpy as np, torch\n"
        "from bench.models import TwoConv\n"
        "class Scaled(TwoConv):\n"
        "    def __init__(self, shape, classes, scale):\n"
        "        super().__init__(shape, classes)\n"
        "        self.scale = float(np.loadtxt(scale['file']))\n"
        "    def forward(self, x): return self.scale * super().forward(x)\n"
        "class Noise:\n"
        "    def __init__(self, files): self.scale = float(np.loadtxt(files[0]))\n"
        "    def __call__(self, x, rate, generator):\n"
        "        return x + self.scale * rate * torch.randn(x.shape, generator=generator)\n"
        "class Way:\n"
        "    def __init__(self, folder): self.scale = float(np.loadtxt(folder + '/w.txt'))\n"
        "    def __call__(self, train):\n"
        "        from torch.nn import functional\n"
        "        return train(lambda m, x, y: functional.cross_entropy(self.scale * m(x), y))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "w.txt").write_text("1.0")
    return tmp_path / "deep" / "w.txt"


def test_files_that_options_name_count_by_their_content(
    bench_run: Run, output_dir: Path, weighted: Path
) -> None:
    trust = "trusted_modules=[bench,foolbox,weighted]"
    cases = {
        "model": ("model._target_=weighted.Scaled", f"+model.options.scale.file={weighted}"),
        "scheme": ("scheme=fc", "scheme.operation._target_=weighted.Noise", f"+scheme.operation.options.files=[{weighted}]"),
        "training": ("training._target_=weighted.Way", f"+training.folder={weighted.parent}"),
    }  # fmt: skip
    for name, case in cases.items():
        weighted.write_text("1.0")
        one = record_of(bench_run(*case, *QUICK, *DRAWS, trust), output_dir)
        weighted.write_text("2.5")
        other = record_of(bench_run(*case, *QUICK, *DRAWS, trust), output_dir)
        assert one["key"] != other["key"], name
        if name == "scheme":
            assert one["checkpoint"] == other["checkpoint"]
        else:
            assert one["checkpoint"]["key"] != other["checkpoint"]["key"], name
        assert record_of(bench_run(*case, *QUICK, *DRAWS, trust), output_dir)["key"] == other["key"], name
        # the same content elsewhere is the same
        moved = weighted.parent.parent / f"moved-{name}"
        shutil.copytree(weighted.parent, moved)
        again = tuple(a.replace(str(weighted.parent), str(moved)) for a in case)
        assert record_of(bench_run(*again, *QUICK, *DRAWS, trust), output_dir)["key"] == other["key"], name


def test_files_that_defaults_name_count_too(tmp_path: Path) -> None:
    weights = tmp_path / "w.txt"

    def made(
        one: str = str(weights), path: Path = weights, deep: object = ({"in": [weights]},), other: int = 3
    ) -> None:
        pass

    found = []
    for text in ("1.0", "2.0"):
        weights.write_text(text)
        found.append(targets.files(made, {}))
    assert found[0].keys() == {"one", "path", "deep"}
    for name in found[0]:
        assert found[0][name] != found[1][name], name
    # an option in the place of a default
    assert targets.files(made, {"one": "x", "path": "y", "deep": 1}) == {"one": "x", "path": "y", "deep": 1}
    # what a folder's link leads to is in it
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w.txt").write_text("1.0")
    before = targets.files(made, {"one": str(tmp_path / "folder")})
    (tmp_path / "elsewhere" / "w.txt").write_text("2.0")
    assert targets.files(made, {"one": str(tmp_path / "folder")}) != before


def test_gradients_and_recognition_of_changed_files_are_left_empty_with_a_reason(
    bench_run: Run, output_dir: Path, weighted: Path
) -> None:
    trust = "trusted_modules=[bench,foolbox,weighted]"
    noise = (
        "scheme=fc",
        "scheme.operation._target_=weighted.Noise",
        f"+scheme.operation.options.files=[{weighted}]",
    )
    swept = ("-m", *noise, "test_rate=0.5,0.9", "criterion=targeted", "name=files", *QUICK, *DRAWS, trust)
    assert bench_run(*swept).status == 0
    mine = Reader(("bench", "foolbox", "weighted"))
    assert transfer.table(output_dir / "files", mine)["accuracy_pct"].notna().all()
    weighted.write_text("3.0")
    pairs = transfer.table(output_dir / "files", mine)
    assert pairs["accuracy_pct"].isna().all()
    assert pairs["reason"].str.contains("the files of its network or scheme changed").all()
    drawn = gradients.table([output_dir / "files"], 5, 2, reader=mine)
    assert drawn["variance"].isna().all()
    assert drawn["reason"].str.contains("the files of its network or scheme changed").all()


def test_a_record_of_other_versions_is_not_looked_at_with_these(
    bench_run: Run, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench_run("-m", "scheme=none,fc", "name=versions", *QUICK, *DRAWS).status == 0
    versions = fingerprint.versions()
    monkeypatch.setattr(fingerprint, "versions", lambda: {**versions, "torch": "9.9"})
    pairs = transfer.table(output_dir / "versions")
    assert pairs["accuracy_pct"].isna().all()
    assert (
        pairs["reason"].str.contains(f"was made with torch {versions['torch']}, not 9.9", regex=False).all()
    )


def test_code_is_trusted_by_whoever_reads_and_never_by_the_record(
    bench_run: Run, output_dir: Path, tmp_path: Path
) -> None:
    asked = ("-m", "scheme=none,fc", "name=foreign", "criterion=targeted", *QUICK, *DRAWS)
    assert bench_run(*asked).status == 0
    sweep = Sweep(output_dir / "foreign")
    called = tmp_path / "called"
    cells = []
    for number, entry in enumerate(sweep.cells):
        record = sweep.store.read(entry["key"])
        # whoever forges a record can give it a hash that is right
        record["config"]["scheme"]["operation"] = {
            "_target_": "subprocess.Popen",
            "options": {"args": ["touch", str(called)]},
        }
        record["config"]["trusted_modules"] = ["bench", "foolbox", "subprocess"]
        forged = Store(tmp_path / "store")
        forged.write(f"{number}" * 16, record)
        forged.keep(
            "samples", record["samples"]["key"], sweep.store.kept("samples", record["samples"]["key"])
        )
        cells.append({**entry, "key": f"{number}" * 16, "config": record["config"]})
    write_manifest(tmp_path / "sweep", forged, cells)
    pairs = transfer.table(tmp_path / "sweep")
    assert pairs["accuracy_pct"].isna().all()
    drawn = gradients.table([tmp_path / "sweep"], 5, 2)
    assert drawn["variance"].isna().all()
    assert not called.exists()
    # without the key that can't be there, it is refused by name
    for entry in cells:
        record = forged.read(entry["key"])
        del record["config"]["trusted_modules"], entry["config"]["trusted_modules"]
        forged.write(entry["key"], record)
    write_manifest(tmp_path / "sweep", forged, cells)
    pairs = transfer.table(tmp_path / "sweep")
    assert pairs["reason"].str.contains("subprocess.Popen is outside trusted_modules").all()
    assert not called.exists()


def test_a_package_of_ones_own_is_named_on_the_command_line(
    bench_run: Run, output_dir: Path, weighted: Path
) -> None:
    noise = (
        "scheme=fc",
        "scheme.operation._target_=weighted.Noise",
        f"+scheme.operation.options.files=[{weighted}]",
    )
    trust = "trusted_modules=[bench,foolbox,weighted]"
    assert bench_run("-m", *noise, "test_rate=0.5,0.9", "name=trusted", *QUICK, *DRAWS, trust).status == 0
    folder = output_dir / "trusted"
    for arguments, known in (((), False), (("--trust", "weighted"), True)):
        shutil.rmtree(output_dir / "store" / "transfer", ignore_errors=True)
        cli.main(["transfer", str(folder), *arguments])
        assert pd.read_csv(folder / "transfer.csv")["accuracy_pct"].notna().all() == known


@pytest.mark.parametrize(("key", "target", "words"), [
    ("attack", "bench.results.files.read_document", "is not defined in bench.attacks"),
    ("attack", "bench.results.files.write_text", "is not defined in bench.attacks"),
    ("attack", "foolbox.zoo.get_model", "is not one of Foolbox's attacks"),
    ("dataset", "foolbox.zoo.get_model", "is not one of Foolbox's attacks"),
    ("attack", "weighted.torch.load", "outside trusted_modules"),
    ("attack", "weighted.np", "is not a class or a function"),
    ("scheme.operation", "weighted.TwoConv", "is defined in bench.models, outside the package that names it"),
    ("model", "bench.schemes.Dropout", "is not defined in bench.models"),
    ("scheme.operation", "bench.attacks.DeepFoolAttack", "is not defined in bench.schemes"),
    ("training", "bench.cell.run", "is not defined in bench.training"),
    ("dataset", "bench.run.main", "is not defined in bench.datasets"),
])  # fmt: skip
def test_a_target_is_what_its_package_has_defined(weighted: Path, key: str, target: str, words: str) -> None:
    # a module's module is no module of the package
    trusted = (
        ["bench", "foolbox"] if target.startswith("weighted.torch") else ["bench", "foolbox", "weighted"]
    )
    with pytest.raises(ConfigError) as refused:
        targets.find(key, target, trusted)
    assert str(refused.value).startswith(f"{key}._target_: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_may_be_named_is_found(weighted: Path) -> None:
    trusted = ["bench", "foolbox", "weighted"]
    for key, target in (
        ("attack", "foolbox.attacks.DDNAttack"), ("attack", "bench.attacks.DeepFoolAttack"),
        ("scheme.operation", "weighted.Noise"), ("model", "weighted.Scaled"),
        ("scheme.operation", "bench.schemes.ResizeAndPad"),
        ("training", "bench.training.distillation.Distillation"),
        ("dataset", "bench.datasets.digits"), ("model", "bench.models.TwoConv"),
    ):  # fmt: skip
        assert targets.find(key, target, trusted).__name__ == target.rpartition(".")[2]


def test_a_module_of_ones_own_that_breaks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in (("slip", "def f(:\n"), ("needy", "import not_there\n"), ("rude", "1 / 0\n")):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(ConfigError, match=f"can't import {name}.Thing") as refused:
            targets.find("model", f"{name}.Thing", [name])
        assert "\n" not in str(refused.value)
    (tmp_path / "picky.py").write_text(
        "class Attack:\n    def __init__(self): raise ImportError('needs numba')\n"
    )
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match="picky.Attack can't be made .ImportError: needs numba"):
        targets.make("attack", "picky.Attack", {}, ["picky"])


def test_the_device_is_in_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = plan.prepare(composing.compose(["samples=6"]))
    asked = plan.prepare(composing.compose(["samples=6", "device=cuda"]))
    assert (plain.key, plain.checkpoint) == (asked.key, asked.checkpoint)
    # what only plans for another machine needn't have its GPU
    slurm = OmegaConf.create({"hydra": {"launcher": {"_target_": "hydra_plugins.x.SlurmLauncher"}}})
    local = OmegaConf.create(
        {"hydra": {"launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}}}
    )
    assert not run.runs_here(slurm)
    assert run.runs_here(local)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_by_the_machine_that_runs(bench_run: Run, tmp_path: Path) -> None:
    for arguments in (("device=cuda",), ("-m", "device=cuda", "scheme=none,fc")):
        outcome = bench_run(*arguments, f"output_dir={tmp_path}")
        assert outcome.status == 2
        assert outcome.err.strip() == "error: device: there is no GPU here; allowed: auto, cpu"
    record = cell.run(plan.prepare(composing.compose(["device=cuda", "samples=6", f"output_dir={tmp_path}"])))
    assert (record["status"], record["reason"]) == (
        "failed",
        "device: there is no GPU here; allowed: auto, cpu",
    )


def test_a_table_that_mixes_devices_says_so(bench_run: Run, output_dir: Path, tmp_path: Path) -> None:
    assert bench_run("-m", "scheme=none,fc", "name=devices", *QUICK, *DRAWS).status == 0
    sweep = Sweep(output_dir / "devices")
    assert "device" not in sweep.table().frame
    store = Store(tmp_path / "store")
    for entry, kind in zip(sweep.cells, ("cpu", "cuda"), strict=True):
        store.write(entry["key"], {**sweep.store.read(entry["key"]), "device_kind": kind})
    write_manifest(tmp_path / "sweep", store, sweep.cells)
    assert list(table(tmp_path / "sweep").frame["device"]) == ["cpu", "cuda"]


def test_files_follow_the_umask_and_nothing_is_left_of_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for umask, mode in ((0o022, 0o644), (0o077, 0o600), (0o002, 0o664)):
        before = os.umask(umask)
        try:
            store = Store(tmp_path / oct(umask))
            store.write("k", {"status": "ok"})
            store.keep("samples", "k", Kept({"x": torch.zeros(3)}))
        finally:
            os.umask(before)
        samples = store.path("samples", "k")
        for path in (store.record_path("k"), samples):
            assert stat.S_IMODE(path.stat().st_mode) == mode

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_tensors(store.path("samples", "other"), "samples", "other", {"x": torch.zeros(3)})
    assert [p.name for p in samples.parent.iterdir()] == ["k.safetensors"]
    old, new = (store.folder / "records" / f".{n}.tmp" for n in ("old", "new"))
    for path, age in ((old, 2 * stores.FORGOTTEN_SECONDS), (new, 60)):
        path.touch()
        os.utime(path, (time.time() - age, time.time() - age))
    store.tidy()
    assert new.exists()
    assert not old.exists()


def test_a_full_disk_is_one_line_and_the_table_is_printed(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ("-m", "scheme=none,fc", "name=full", *QUICK, *DRAWS, f"output_dir={tmp_path}")
    write = files.write_whole

    def full(path: Path, content: Callable[[Path], object]) -> None:
        if path.name != "cells.json":
            raise OSError(28, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_whole", full)
    outcome = bench_run(*arguments)
    assert outcome.status == 1
    assert "can't be kept (OSError: [Errno 28] No space left on device" in outcome.out
    assert "results.csv: can't be written (No space left on device)" in caplog.text
    assert "scheme" in outcome.out
    assert "Traceback" not in outcome.err + outcome.out


def test_what_is_done_can_be_read_where_nothing_can_be_written(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("-m", "scheme=none,fc", "name=done", *QUICK, *DRAWS, f"output_dir={tmp_path}")
    assert bench_run(*arguments).status == 0

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files, "write_whole", refuse)
    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    outcome = bench_run(*arguments)
    assert outcome.status == 1
    assert "Traceback" not in outcome.err
    assert outcome.out.count(" ok ") == 2


def test_an_output_folder_that_cannot_be_is_one_line(bench_run: Run) -> None:
    outcome = bench_run("-m", "scheme=none,fc", *QUICK, *DRAWS, "output_dir=/dev/null")
    assert outcome.status == 2
    assert len(outcome.err.strip().splitlines()) == 1
    assert outcome.err.startswith("error: output_dir: ")


def test_a_sweep_behind_a_link_finds_its_store(bench_run: Run, output_dir: Path, tmp_path: Path) -> None:
    assert bench_run("-m", "scheme=none,fc", "name=linked", *QUICK, *DRAWS).status == 0
    out = tmp_path / "out"
    shutil.copytree(output_dir / "store", out / "store")
    shutil.copytree(output_dir / "linked", tmp_path / "elsewhere" / "linked")
    (out / "linked").symlink_to(tmp_path / "elsewhere" / "linked")
    assert (table(out / "linked").frame["status"] == "ok").all()
    # the other way round: from a link to the sweep where it is
    (tmp_path / "mine").symlink_to(output_dir / "linked")
    assert (table(tmp_path / "mine").frame["status"] == "ok").all()


def test_a_sweep_without_its_store_keeps_its_table(
    bench_run: Run,
    output_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench_run("-m", "scheme=none,fc", "name=copied", *QUICK, *DRAWS).status == 0
    shutil.copytree(output_dir / "copied", tmp_path / "a" / "copied")
    before = (tmp_path / "a" / "copied" / "results.csv").read_bytes()
    for words in ("its store, ", "its store has none of its records; nothing was written"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["table", str(tmp_path / "a" / "copied")])
        assert ended.value.code == 2
        said = capsys.readouterr().err.strip()
        assert words in said
        assert len(said.splitlines()) == 1
        (tmp_path / "a" / "store" / "records").mkdir(parents=True, exist_ok=True)
    assert (tmp_path / "a" / "copied" / "results.csv").read_bytes() == before


def test_an_old_cross_recognition_stays_until_there_is_a_new_one_and_goes_if_none_is_wanted(
    bench_run: Run, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("-m", "scheme=none,fc", "name=stays", *QUICK, *DRAWS)
    assert bench_run(*arguments).status == 0
    folder = output_dir / "stays"
    pictures = sorted(folder.glob("transfer_*.png"))
    assert pictures

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        transfer.write(folder)
    assert (folder / "transfer.csv").exists()
    assert sorted(folder.glob("transfer_*.png")) == pictures
    monkeypatch.undo()
    assert bench_run(*arguments, "transfer=false").status == 0
    assert not (folder / "transfer.csv").exists()
    assert not list(folder.glob("transfer_*.png"))


def test_a_sweep_of_holes_alone_is_a_table_of_holes(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run(
        "-m", "scheme=none,fc", "attack=deepfool", "criterion=targeted", "name=hole", "samples=6"
    )
    assert outcome.status == 0, outcome.err
    pairs = pd.read_csv(output_dir / "hole" / "transfer.csv")
    assert len(pairs) == 4
    assert pairs["accuracy_pct"].isna().all()
    assert pairs["reason"].str.contains("deepfool can't serve targeted").all()


def test_records_of_an_earlier_version_are_said_once_and_stay(
    bench_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store" / "records"
    store.mkdir(parents=True)
    old = store / f"{'a' * 16}.json"
    old.write_text(json.dumps({"key": "a" * 16, "status": "ok", "config": {}, "cell": {}}))
    (tmp_path / "sweep").mkdir()
    manifest = json.dumps({"store": "../store", "cells": [{"key": "a" * 16, "config": {}}]})
    (tmp_path / "sweep" / "cells.json").write_text(manifest)
    before = old.read_bytes()
    with pytest.raises(ConfigError, match="cells.json: of another version .format 1, this one reads 2"):
        Sweep(tmp_path / "sweep")
    arguments = ("-m", "scheme=none", *QUICK, *DRAWS, f"output_dir={tmp_path}")
    assert bench_run(*arguments).status == 0
    assert caplog.text.count("1 records of another version stay as they are") == 1
    assert bench_run(*arguments).status == 0
    assert caplog.text.count("of another version") == 1
    assert old.read_bytes() == before
    assert (tmp_path / "sweep" / "cells.earlier.json").read_text() == manifest


def test_without_git_the_package_imports(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(Path(run.__file__).parent.parent)}
    environment.pop("GIT_PYTHON_REFRESH", None)
    found = subprocess.run(
        [sys.executable, "-c", "import bench, foolbox; print('fine')"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == "fine", found.stderr
