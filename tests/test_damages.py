"""What becomes of a finished sweep when one of its files is damaged: healed, or said; never another figure."""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Run

from bench import cell, cli, composing, config, plan, run
from bench.analysis import figures
from bench.reader import STRANGER
from bench.results import store as stores
from bench.results.store import Store
from bench.results.sweep import write_manifest

ARGUMENTS = ("attack=fgsm", "samples=6", "training.epochs=4", "evaluation.draws=3")
SCHEMES = ("none", "fc")
MEASURED = ["claimed_success_pct", "fresh_success_pct", "fresh_accuracy_pct", "clean_accuracy_pct", "l2_mean"]
CROSSED = ["generated_under", "recognised_by", "accuracy_pct", "single_draw_pct", "samples"]

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole") / "outputs"


@pytest.fixture(scope="module")
def configs() -> list[config.Config]:
    """The sweep's jobs, composed once: what Hydra does takes longer than all the rest."""
    return [composing.compose([*ARGUMENTS, f"scheme={scheme}"]) for scheme in SCHEMES]


def sweep_again(configs: Sequence[config.Config], output_dir: Path) -> bool:
    """What ``bench.run`` does with its jobs, from the manifest to the tables."""
    folder, cells = output_dir / "sweep", {}
    for job in configs:
        ready = plan.prepare(dataclasses.replace(job, output_dir=str(output_dir)))
        cells[ready.key] = ready
    entries = [plan.entry(ready.config, key, ready.checkpoint) for key, ready in cells.items()]
    write_manifest(folder, ready.store, entries)
    for ready in cells.values():
        cell.run(ready)
    run.Command.cells, run.Command.transfer, run.Command.reader = cells, True, STRANGER
    complete = run.tables(folder)
    return run.recognition(folder) and complete


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time, and are made of the tables that are looked at here."""
    monkeypatch.setattr(figures, "heatmaps", lambda table, folder: [])
    monkeypatch.setattr(figures, "transfer", lambda groups, folder: [])


@pytest.fixture
def swept(whole: Path, tmp_path: Path, configs: Sequence[config.Config], undrawn: None) -> Path:
    """A copy of a finished sweep of two cells, with its store."""
    if not whole.exists():
        assert sweep_again(configs, whole)
    copy = tmp_path / "outputs"
    shutil.copytree(whole, copy, symlinks=True)
    forget()
    return copy


def forget() -> None:
    """What a new process wouldn't know."""
    for cache in (cell._networks, cell._warned, stores._unwritable):
        cache.clear()


def named(output_dir: Path, folder: str) -> list[Path]:
    """What is damaged: the manifest, every look, or a file of the store, of scheme fc's cell where each has one."""
    if folder == "cells":
        return [output_dir / "sweep" / "cells.json"]
    store = Store(output_dir / "store")
    if folder == "looks":
        return sorted((store.folder / folder).glob("*.json"))
    entry = json.loads((output_dir / "sweep" / "cells.json").read_text())["cells"][1]
    if folder == "checkpoints":
        return [store.path(folder, entry["checkpoint"])]
    record = store.read(entry["key"])
    assert record is not None
    return [store.record_path(entry["key"]) if folder == "records" else store.samples_path(record)]


def other(path: Path) -> Path:
    return next(p for p in sorted(path.parent.glob(f"*{path.suffix}")) if p != path)


def rewritten(folder: str, change: Callable[[dict], object]) -> Damage:
    """A JSON document with something changed in it, its hash left as it was."""

    def write(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return at(folder, write)


def replaced(folder: str, make: Callable[[bytes], bytes]) -> Damage:
    return at(folder, lambda path: path.write_bytes(make(path.read_bytes())))


def at(folder: str, do: Callable[[Path], object]) -> Damage:
    def damage(output_dir: Path) -> None:
        for path in named(output_dir, folder):
            do(path)

    return damage


def flipped(position: int) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        found = bytearray(data)
        found[position] ^= 4
        return bytes(found)

    return flip


def into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def into_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def into_link(target: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(path.name if target == "itself" else target)

    return link


def into_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def another_dtype(path: Path) -> None:
    """Tensors of the right names with a self-made header: a stranger's file."""
    from safetensors.numpy import save_file

    save_file({"perturbed": np.zeros((6, 1, 8, 8)), "claimed": np.ones(6, bool)}, path)


def gone(key: str) -> Callable[[dict], object]:
    def remove(record: dict) -> None:
        section, _, name = key.rpartition(".")
        del (record[section] if section else record)[name]

    return remove


def said(section: str, name: str, value: object) -> Callable[[dict], object]:
    return lambda record: record["metrics"][section].update({name: value})


NUL, DEEP = b"\0" * 300, b"[" * 100_000
FILES = {
    "empty": lambda d: b"",
    "cut off": lambda d: d[: len(d) // 2],
    "last byte gone": lambda d: d[:-1],
    "not UTF-8": lambda d: b"\xff\xfe" + d,
    "NULs": lambda d: NUL,
    "{}": lambda d: b"{}",
    "[1]": lambda d: b"[1]",
    "null": lambda d: b"null",
    "nested": lambda d: DEEP,
}
DAMAGES: dict[str, Damage] = {
    **{f"record: {n}": replaced("records", f) for n, f in FILES.items()},
    **{f"cells.json: {n}": replaced("cells", f) for n, f in FILES.items()},
    **{f"looks: {n}": replaced("looks", f) for n, f in FILES.items()},
    **{
        f"{kind}: {n}": replaced(kind, f)
        for kind in ("samples", "checkpoints")
        for n, f in {
            "empty": FILES["empty"],
            "cut off": FILES["cut off"],
            "last byte gone": FILES["last byte gone"],
            "bit flipped": flipped(-10),
            "bit of the header flipped": flipped(40),
            "bit of what it says flipped": flipped(120),
            "huge header": lambda d: b"\xff" * 7 + b"\0" + d[8:],
            "garbage": lambda d: bytes(range(256)) * 9,
        }.items()
    },
    **{
        f"{kind}: {n}": at(kind, f)
        for kind in ("records", "samples", "checkpoints", "looks", "cells")
        for n, f in {
            "deleted": Path.unlink,
            "a folder": into_folder,
            "a pipe": into_pipe,
            "a link to a device": into_link("/dev/zero"),
            "a dangling link": into_link("nowhere"),
            "a link to itself": into_link("itself"),
        }.items()
    },
    **{
        f"{kind}: another's": at(kind, lambda path: shutil.copyfile(other(path), path))
        for kind in ("records", "samples", "looks")
    },
    "samples: a stranger's": at("samples", another_dtype),
    "checkpoints: a stranger's": at("checkpoints", another_dtype),
    **{
        f"record: no {key}": rewritten("records", gone(key))
        for key in (
            "metrics", "cell", "config", "images", "seconds.attack", "checkpoint", "samples.sha256",
            "samples.bytes", "samples.key", "samples.content", "images.claimed", "defended", "looks", "test_rates", "status", "key", "sha256", "format", "warnings",
        )
    },
    "record: a word for a number": rewritten("records", said("fresh_success", "mean", "many")),
    "record: null for a number": rewritten("records", said("fresh_success", "mean", None)),
    "record: 750 %": rewritten("records", said("fresh_success", "mean", 7.5)),
    "record: another number": rewritten("records", said("fresh_accuracy", "mean", 0.123)),
    "record: another status": rewritten("records", lambda r: r.update(status="done")),
    "record: failed": rewritten("records", lambda r: r.update(status="failed")),
    "record: another key": rewritten("records", lambda r: r.update(key="0" * 16)),
    "record: another format": rewritten("records", lambda r: r.update(format=1)),
    "record: another setting": rewritten("records", lambda r: r["config"].update(samples=9)),
    "record: a checkpoint elsewhere": rewritten("records", lambda r: r["checkpoint"].update(key="../../x")),
    "cells.json: no store": rewritten("cells", gone("store")),
    "cells.json: another store": rewritten("cells", lambda m: m.update(store="../elsewhere")),
    "cells.json: no cells": rewritten("cells", lambda m: m.update(cells=[])),
    "cells.json: a cell without key": rewritten("cells", lambda m: m["cells"][0].pop("key")),
    "cells.json: a cell twice": rewritten("cells", lambda m: m["cells"].append(m["cells"][0])),
    "looks: another number": rewritten("looks", lambda r: r["value"].update(right="0", draws=1)),
    "looks: all gone": lambda o: shutil.rmtree(o / "store" / "looks"),
    "locks: gone": lambda o: shutil.rmtree(o / "store" / "locks"),
    "records: a file": lambda o: into_file(o / "store" / "records"),
    "results.csv: deleted": lambda o: (o / "sweep" / "results.csv").unlink(),
    "results.csv: a folder": lambda o: into_folder(o / "sweep" / "results.csv"),
    "store: deleted": lambda o: shutil.rmtree(o / "store"),
}  # fmt: skip


def ended(*arguments: str) -> None:
    """Runs a command that reads, to its end, whichever that is."""
    forget()
    with contextlib.suppress(SystemExit):
        cli.main(arguments)


def same_or_hole(frame: pd.DataFrame, truth: pd.DataFrame, names: list[str]) -> bool:
    """Whether a table is the true one; a row may be a hole, but nothing may be another figure."""
    assert len(frame) == len(truth)
    equal = True
    for row, right in zip(frame.to_dict("records"), truth.to_dict("records"), strict=True):
        for name in names:
            if pd.isna(row[name]):
                equal = equal and pd.isna(right[name])
            else:
                assert row[name] == right[name] or row[name] == pytest.approx(right[name]), (name, row, right)
    return equal


@pytest.mark.parametrize("name", DAMAGES, ids=lambda name: name.replace(" ", "-").replace(":", ""))
def test_a_damage_is_said_or_healed_and_changes_no_figure(
    name: str,
    swept: Path,
    configs: Sequence[config.Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = swept / "sweep"
    results, crossed = pd.read_csv(sweep / "results.csv"), pd.read_csv(sweep / "transfer.csv")
    DAMAGES[name](swept)
    before = snapshot(swept)

    for command, file, truth, names in (
        ("table", "results.csv", results, MEASURED),
        ("transfer", "transfer.csv", crossed, CROSSED),
    ):
        ended(command, str(sweep))
        words = capsys.readouterr().err
        assert all(line.startswith(("error: ", "warning: ")) for line in words.splitlines()), words
        if (sweep / file).is_file() and not same_or_hole(pd.read_csv(sweep / file), truth, names):
            assert str(swept) in words, words
    # what only reads has moved and removed nothing that was computed
    after = snapshot(swept)
    lost = {p for p in before if p not in after and "/looks/" not in p}
    assert not lost

    forget()
    complete = sweep_again(configs, swept)
    if name == "results.csv: a folder":
        assert not complete
        assert "results.csv: can't be written" in capsys.readouterr().err
        return
    if name == "records: a file":
        assert not complete
        return
    assert complete
    assert same_or_hole(pd.read_csv(sweep / "results.csv"), results, MEASURED)
    assert same_or_hole(pd.read_csv(sweep / "transfer.csv"), crossed, CROSSED)


@pytest.mark.parametrize("name", ["samples: bit flipped", "checkpoints: cut off", "cells.json: empty"])
def test_the_command_heals_it_too(name: str, swept: Path, bench_run: Run) -> None:
    truth = pd.read_csv(swept / "sweep" / "transfer.csv")
    DAMAGES[name](swept)
    shutil.rmtree(swept / "store" / "looks")
    outcome = bench_run("-m", "scheme=none,fc", *ARGUMENTS, f"output_dir={swept}")
    assert outcome.status == 0, outcome.err
    assert same_or_hole(pd.read_csv(swept / "sweep" / "transfer.csv"), truth, CROSSED)
    lines = outcome.err.strip().splitlines()
    assert all(line.startswith("warning: ") for line in lines)
    assert any("set aside as" in line for line in lines) == name.startswith(("samples", "checkpoints"))


def snapshot(folder: Path) -> set[str]:
    return {str(p) for p in folder.rglob("*") if not p.name.endswith(".lock") and os.path.lexists(p)}
