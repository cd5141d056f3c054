"""What is kept of sweeps for good: small enough for a repository, and enough for every table and report.

Here belongs the portable form: the manifests, the records, the counts of each attacked image, and what was
seen in looks at samples and networks, but neither samples nor networks. It is a sweep folder with its store
beside it, and read as such. How any of it is computed does not belong here. By itself:

    python -m bench.keep outputs/testing_phase/targeted outputs/testing_phase/top3 \
        --into outputs/reference/testing_phase

Looks are found there by what was asked, and not by the code and the versions that answered, so that a
reference lasts; those are kept that were made, so make the report first. What takes images can't be made from
it: pictures of samples, and of a gradient's single draws.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import cell, evaluation, records
from bench.aggregate import Sweep
from bench.command import Parser, guarded
from bench.config import STRANGER, ConfigError, Reader
from bench.records import MISSING, OK, Store, Unreadable

LEFT = ("records", "samples", "checkpoints", "locks", "counts")
"""Folders of a store that hold no looks."""
SINGLE_DRAWS = "first"
"""What is left out of a look at gradients: it is larger than all the rest."""
BESIDE = ("result.json", "trace.png")
"""What a search has in its folder, and can't be made again from its cells."""
DIGITS = 6
"""Of a distance."""


def keep(sweeps: Sequence[Path], into: Path, reader: Reader = STRANGER) -> list[Path]:
    """Copies what lasts of sweeps: each to a folder of its name, all with one store beside them.

    A second call adds to the first.

    Args:
        sweeps: Their folders.
        into: Where to.
        reader: Whose code may run, and where data is: distances are measured from the originals.

    Returns:
        The new folders, the store last.

    Raises:
        ConfigError: for a sweep that can't be read, or isn't whole; for two of one name; for a folder whose
            store is one that cells are computed in; or where data is missing, or other data.
        Unreadable: for a record, samples or a look that is damaged.
        OSError: if it can't be written.
    """
    store = Store(into / "store")
    if store.folder.exists() and not store.kept:
        raise ConfigError(f"{store.folder}: is a store of its own; keep into another folder")
    names = [folder.resolve().name for folder in sweeps]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"{sorted(twice)[0]}: two sweeps have this name; keep them into different folders")
    read = [Sweep.read(folder) for folder in sweeps]
    rows = [_whole(sweep) for sweep in read]
    records.write_document(store.folder / "kept.json", "kept", "store", {})
    for sweep, own, name in zip(read, rows, names, strict=True):
        for record in own:
            _record(record, sweep.store, store, reader)
        for kind, path in _looks(sweep.store):
            _look(kind, path, own, store)
        content = {"store": os.path.relpath(store.folder, into / name), "cells": list(sweep.cells)}
        records.write_document(into / name / "cells.json", "sweep", name, content, indent=None)
        for beside in BESIDE:
            if (sweep.folder / beside).exists():
                shutil.copyfile(sweep.folder / beside, into / name / beside)
    return [*(into / name for name in names), store.folder]


def counts(
    record: Mapping[str, Any], samples: Mapping[str, np.ndarray], originals: np.ndarray
) -> dict[str, Any]:
    """What is kept of a record's samples, without the images.

    Args:
        record: With status ``ok``.
        samples: As ``Store.samples`` gives them.
        originals: The images that they were made of, shape (rows, channels, height, width).

    Returns:
        ``draws`` and, as ``rows``, of each attacked image: its place in the test set, label and target;
        whether success is ``claimed`` (0 or 1); on how many of the draws there was ``fresh_success``, and
        ``fresh_accuracy``; and its distances, to ``DIGITS`` digits.
    """
    draws = record["metrics"]["fresh_draws"]
    moved = evaluation.distances(originals, samples["perturbed"])
    rows = {name: samples[name].astype(int).tolist() for name in ("indices", "labels", "targets", "claimed")}
    for name in ("fresh_success", "fresh_accuracy"):
        rows[name] = np.rint(samples[name] * draws).astype(int).tolist()
    return {
        "draws": draws,
        "rows": rows | {n: [float(f"{v:.{DIGITS}g}") for v in values] for n, values in moved.items()},
    }


def _whole(sweep: Sweep) -> list[dict[str, Any]]:
    found = sweep.rows()
    lost = [row["reason"] for row in found if row["status"] == MISSING]
    if lost:
        raise ConfigError(f"{sweep.folder}: {len(lost)} of {len(found)} cells have no record ({lost[0]})")
    return found


def _record(row: Mapping[str, Any], source: Store, store: Store, reader: Reader) -> None:
    """Copies a record, and what is kept of its samples."""
    key = row["key"]
    record = source.read(key)
    assert record is not None
    # a failed cell's speaks of folders of the machine that it ran on
    record.pop("traceback", None)
    records.write_document(store.record_path(key), "record", key, record, indent=None)
    if record["status"] != OK:
        return
    if source.kept:
        found = records.read_document(source.folder / "counts" / f"{key}.json", "counts", key) or {}
    else:
        samples = source.samples(key)
        data = cell.dataset(reader.config(record["config"]))
        if data.fingerprint != record["data"]["fingerprint"]:
            name = record["config"]["dataset"]["name"]
            raise ConfigError(f"dataset={name}: not the data that record {key} was made with")
        found = counts(record, samples, data.x_test[samples["indices"]])
    records.write_document(store.folder / "counts" / f"{key}.json", "counts", key, found, indent=None)


def _looks(store: Store) -> Iterator[tuple[str, Path]]:
    for folder in sorted(path for path in store.folder.iterdir() if path.is_dir() and path.name not in LEFT):
        for path in sorted(folder.iterdir()):
            if path.suffix in (".json", ".safetensors") and not path.name.startswith("."):
                yield folder.name, path


def _look(kind: str, path: Path, own: Sequence[Mapping[str, Any]], store: Store) -> None:
    """Copies a look, if it is one at the networks and the samples of these records, under what was asked."""
    value: dict[str, Any] = {}
    try:
        if path.suffix == ".json":
            found = records.read_document(path, kind) or {}
            asked, value = found.get("asked"), found["value"]
        else:
            tensors, about, _ = records.read_tensors(path, kind, path.stem)
            asked = about.get("asked")
    except Unreadable as error:
        if error.earlier:
            return
        raise
    done = [record for record in own if record["status"] == OK]
    # one that an earlier version left doesn't say what it is of
    if asked is None or [asked["checkpoint"], asked["rates"]] not in [
        [r["checkpoint"], r["test_rates"]] for r in done
    ]:
        return
    if "samples" in asked and asked["samples"] not in [r["samples"]["content"] for r in done]:
        return
    key = records.look_key(kind, asked)
    if path.suffix == ".json":
        content = {"asked": asked, "value": value}
        records.write_document(store.folder / kind / f"{key}.json", kind, key, content, indent=None)
    else:
        small = {name: tensor for name, tensor in tensors.items() if name != SINGLE_DRAWS}
        records.write_tensors(store.folder / kind / f"{key}.safetensors", kind, key, small, {"asked": asked})


@guarded
def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's docstring."""
    parser = Parser(prog="python -m bench.keep", description="Keep what lasts of sweeps.")
    parser.add_argument("sweeps", type=Path, nargs="+", help="folders of sweeps, such as outputs/sweep")
    parser.add_argument("--into", type=Path, required=True, help="such as outputs/reference/NAME")
    Reader.add_arguments(parser)
    given = parser.parse_args(arguments)
    try:
        print(*keep(given.sweeps, given.into, Reader.of(given)), sep="\n")
    except Unreadable as error:
        raise ConfigError(str(error)) from None


if __name__ == "__main__":
    main()
