"""From records to tables: the manifest of a sweep, its tidy CSV, the table on the terminal.

Here belongs everything that reads many records, short of drawing (``figures``). Nothing here runs an
attack. By itself: ``python -m bench.aggregate outputs/sweep`` writes a sweep's tables and figures
again, from whatever of it is done.
"""

import argparse
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.axes import GROUPS, IDENTITY
from bench.command import guarded
from bench.config import ConfigError
from bench.plan import names
from bench.results import files as records
from bench.results.files import write_text
from bench.results.store import MISSING, NOT_APPLICABLE, OK, Store

COLUMNS = {
    "dataset": "the data: a file in conf/dataset, or its name",
    "model": "the network: a file in conf/model",
    "training": "how its weights came about: a file in conf/training",
    "scheme": "what is random at test time: a file in conf/scheme",
    "attack": "the attack: a file in conf/attack",
    "criterion": "what counts as adversarial: a file in conf/criterion",
    "train_rate": "rate at the scheme's sites in training; empty: the model's own rates",
    "test_rate": "rate at the scheme's sites at test time; empty: the scheme's own rates",
    "seed": "seed of targets, attack and evaluation",
    "status": "ok, not_applicable (the attack can't serve the criterion), failed, or missing (or unreadable)",
    "reason": "why the status is not ok",
    "device": "cpu or cuda, where a table mixes both: a cell's key doesn't hold it",
    "warnings": "what has to be said of a result, where there is anything",
    "images": "images attacked: the first test images that the network gets right without a scheme",
    "given_up": "attacked images that came back as no image (not finite, all zeros): they count as not found",
    "too_far": "attacked images that came back further away than epsilon: they count as not found",
    "without_start": "attacked images without a point for the attack to start from: they count as not found",
    "zero_gradient": "attacked images whose first gradient was zero everywhere; empty: that can't be told",
    "fresh_draws": "passes of each adversarial image on fresh draws (1 where nothing is random)",
    "clean_accuracy_no_scheme_pct": "accuracy on the whole test set without the scheme, %",
    "clean_accuracy_pct": "accuracy on the whole test set under the scheme, %; _low and _high: 95 % interval",
    "claimed_success_pct": "images for which the attack claims success, on the draws that it saw, %",
    "fresh_success_pct": "fresh draws on which the criterion holds, over all attacked images, %",
    "fresh_accuracy_pct": "fresh draws on which the true label is output, over all attacked images, %",
    "mad_255_mean": "mean absolute difference a value on the 0-255 scale, mean over the claimed successes",
    "l0_values_mean": "values (pixels x channels) changed, mean over the claimed successes",
    "l1_mean": "L1 norm of the perturbation, values in [0, 1], mean over the claimed successes",
    "l2_mean": "L2 norm of the perturbation, values in [0, 1], mean over the claimed successes",
    "l2_median": "the median of the same L2 norms; the other distances have theirs too",
    "linf_mean": "Linf norm of the perturbation, values in [0, 1], mean over the claimed successes",
    "forward_passes_per_image": "images passed forward by the attack, for each attacked image",
    "backward_passes_per_image": "images passed backward by the attack, for each attacked image",
    "attack_seconds": "wall time of the attack on all images, s",
    "total_seconds": "wall time of the cell, training included where it was this cell that trained, s",
    "key": "the record: store/records/<key>.json; its samples: store/samples/<key>.safetensors",
}
"""Every column of ``results.csv`` and what it means; a swept setting adds one of its own name."""

SETTLED = (OK, NOT_APPLICABLE)

NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Sweep:
    """A sweep that was started, as its manifest tells of it.

    Attributes:
        folder: Where its tables and figures are.
        store: Where its records are.
        cells: For each cell, in their order, its ``key``, the ``config`` that decides its result, and its
            network's ``checkpoint``, or None.
    """

    folder: Path
    store: Store
    cells: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "Sweep":
        """The sweep of a folder.

        Raises:
            ConfigError: if none was started there, its manifest is damaged or of another version, or its
                store isn't there.
        """
        path = folder / "cells.json"
        try:
            manifest = records.read_document(path, "sweep")
        except records.Unreadable as error:
            raise ConfigError(f"{error}; the sweep's command writes it anew") from None
        if manifest is None:
            raise ConfigError(f"{folder}: no sweep was started there (it has no cells.json)")
        # the folder may be a link: beside the link, or beside what it leads to
        beside = [
            Path(os.path.normpath(f.absolute() / manifest["store"])) for f in (folder, folder.resolve())
        ]
        where = next((place for place in beside if place.is_dir()), None)
        if where is None:
            what = "is not a folder" if beside[0].exists() else "is not there"
            raise ConfigError(
                f"{folder}: its store, {_relative(beside[0])}, {what}: the records are kept in it; "
                "copy or move both together, or run the sweep again"
            )
        return cls(folder, Store(_relative(where)), manifest["cells"])

    def rows(self) -> list[dict[str, Any]]:
        """For each cell its record, under the sweep's own names; ``missing`` where none can be read."""
        found = []
        for entry in self.cells:
            named = {"config": entry["config"], "cell": names(entry["config"])}
            lost = {"key": entry["key"], "status": MISSING}
            try:
                record = self.store.read(entry["key"]) or {**lost, "reason": NOT_RUN}
            except records.Unreadable as error:
                record = {**lost, "reason": str(error)}
            # settings that don't decide are whoever's came first; a sweep's table shows its own
            found.append({**record, **named})
        return found


def _relative(path: Path) -> Path:
    """As short as it can be said from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def write_manifest(results: Path, store: Store, cells: Sequence[Mapping[str, Any]]) -> None:
    """Writes down which cells a sweep is made of, in their order, so that a missing one is seen.

    Args:
        results: The sweep's folder.
        store: Where the records are.
        cells: For each cell its ``key``, its ``config`` and its network's ``checkpoint``, or None.

    Raises:
        OSError: if it can't be written, and isn't there already.
    """
    path = results / "cells.json"
    content = {"store": os.path.relpath(store.folder, results), "cells": list(cells)}
    try:
        records.read_document(path, "sweep")
    except records.Unreadable as error:
        if path.is_dir():
            records.set_aside(error)
        elif error.earlier and not (kept := path.with_name("cells.earlier.json")).exists():
            # what an earlier version can still find its records by
            kept.write_bytes(path.read_bytes())
    try:
        records.write_document(path, "sweep", results.name, content)
    except OSError:
        try:
            there = records.read_document(path, "sweep")
        except records.Unreadable:
            there = None
        # where nothing can be written, a sweep that is done can still be read
        if there is None or {name: there[name] for name in content} != content:
            raise


def write(results: Path) -> bool:
    """Writes ``results.csv`` and the heatmaps of a sweep, and prints its table.

    Args:
        results: The sweep's folder, with its manifest.

    Returns:
        Whether every cell is done or can't be, and everything could be written.

    Raises:
        ConfigError: as ``Sweep.read``.
    """
    from bench import figures

    frame = table(results)
    print(terminal(frame))
    try:
        write_text(results / "results.csv", frame.to_csv(index=False))
        written = [results / "results.csv", *figures.heatmaps(frame, results)]
    except OSError as error:
        where = error.filename or results
        records.log.warning("%s: can't be written (%s)", where, error.strerror or error)
        return False
    for path in written:
        print(path)
    return bool(frame["status"].isin(SETTLED).all())


def say_missing(frame: pd.DataFrame, *results: Path) -> None:
    """Logs how many cells of a table have no record, which records can't be read, and what to do."""
    gone = int((frame["reason"] == NOT_RUN).sum())
    if gone:
        records.log.warning(
            "%s: %d of %d cells have no record (not run yet, or removed); the sweep's command computes them",
            " and ".join(map(str, results)), gone, len(frame),
        )  # fmt: skip
    say_damaged(frame)


def say_damaged(frame: pd.DataFrame) -> None:
    """Logs which records of a table can't be read."""
    for reason in frame.loc[(frame["status"] == MISSING) & (frame["reason"] != NOT_RUN), "reason"]:
        records.log.warning("%s; the sweep's command computes it again", reason)


def table(*results: Path) -> pd.DataFrame:
    """One row a cell, in the sweeps' order: ``COLUMNS``, and a column for each other swept setting.

    Raises:
        ConfigError: as ``Sweep.read``.
    """
    return frame_of([row for folder in results for row in Sweep.read(folder).rows()])


def store_of(results: Path) -> Store:
    """The store that holds a sweep's records.

    Raises:
        ConfigError: as ``Sweep.read``.
    """
    return Sweep.read(results).store


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Records as a tidy table."""
    flat = [_row(record) for record in rows]
    swept = _swept([record["config"] for record in rows])
    for row, record in zip(flat, rows, strict=True):
        row.update({key: value for key, value in _flatten(record["config"]) if key in swept})
    columns = [*COLUMNS]
    columns[len(IDENTITY) : len(IDENTITY)] = swept
    frame = pd.DataFrame(flat)
    rest = [c for c in frame.columns if c not in columns]
    for column in rest:
        # an interval's bounds and the medians stand beside the figure that they belong to
        stem = column.removesuffix("_low").removesuffix("_high").replace("_median", "_mean")
        at = max(i for i, c in enumerate(columns) if c == stem or c.startswith(f"{stem}_"))
        columns.insert(at + 1, column)
    frame = frame.reindex(columns=columns)
    if frame["device"].nunique() < 2:
        frame = frame.drop(columns="device")
    return frame


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {**record["cell"], "status": record["status"], "reason": record.get("reason"), "key": record["key"]}
    row["total_seconds"] = record.get("seconds", {}).get("total")
    if record["status"] != OK:
        return row
    metrics = record["metrics"]
    row["device"] = record["device_kind"]
    row["warnings"] = "; ".join(record["warnings"]) or None
    row["images"] = record["images"]["count"]
    for name in ("given_up", "too_far", "without_start", "zero_gradient"):
        row[name] = metrics[name]
    row["fresh_draws"] = metrics["fresh_draws"]
    row["clean_accuracy_no_scheme_pct"] = 100 * metrics["clean_accuracy_no_scheme"]["mean"]
    for name in ("clean_accuracy", "claimed_success", "fresh_success", "fresh_accuracy"):
        for key, value in metrics[name].items():
            row[f"{name}_pct" + ("" if key == "mean" else f"_{key}")] = 100 * value
    for name, values in metrics["distance"].items():
        for key, value in values.items():
            row[f"{name}_mean_{key}" if key in ("low", "high") else f"{name}_{key}"] = value
    for name in ("forward_passes_per_image", "backward_passes_per_image"):
        row[name] = metrics[name]
    row["attack_seconds"] = record["seconds"]["attack"]
    return row


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value) if isinstance(value, list) else value


def _swept(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings that differ between cells, and aren't in their names.

    Those of a group's file differ between cells that chose the same file, since what comes with another
    file is named by that choice. All others differ between any two cells.
    """
    cells: Counter[tuple[str, str]] = Counter()
    seen: dict[tuple[str, str], Counter[str]] = {}
    for config in configs:
        chosen = {group: str(config[group]["name"]) for group in GROUPS}
        cells.update([*chosen.items(), ("", "")])
        own = dict(_flatten(config))
        if own.get("training.epochs") == own.get("dataset.epochs"):
            # the dataset's own come with the choice of the dataset
            own["training.epochs"] = None
        for key, value in own.items():
            section = key.partition(".")[0]
            if key not in IDENTITY and not (section in GROUPS and key == f"{section}.name"):
                of = chosen.get(section, "")
                seen.setdefault((of, key), Counter())[json.dumps(value)] += 1
    swept = set()
    for (of, key), values in seen.items():
        section = key.partition(".")[0]
        whole = cells[section if section in GROUPS else "", of]
        if len(values) > 1 or values.total() < whole:
            swept.add(key)
    return sorted(swept)


def terminal(frame: pd.DataFrame) -> str:
    """The table as a person reads it: the columns that vary, and the figures that matter most."""
    shown = [c for c in frame.columns[: frame.columns.get_loc("status")] if len(frame[c].unique()) > 1]
    shown = shown or ["scheme", "attack"]
    figures = {
        "status": "status",
        "clean_accuracy_pct": "clean %",
        "claimed_success_pct": "claimed %",
        "fresh_success_pct": "success %",
        "fresh_accuracy_pct": "accuracy %",
        "mad_255_mean": "MAD (0-255)",
        "l2_mean": "L2",
        "forward_passes_per_image": "forward",
        "backward_passes_per_image": "backward",
        "attack_seconds": "attack s",
    }
    short = frame[shown + list(figures)].rename(columns=figures)
    text = short.to_string(
        index=False, float_format=lambda v: f"{v:.2f}" if v < 10 else f"{v:.1f}", na_rep="-"
    )
    same = [f"{c}={frame[c].iloc[0]}" for c in IDENTITY if c not in shown and pd.notna(frame[c].iloc[0])]
    said = [
        *frame.loc[frame["status"] != OK, "reason"].dropna().unique(),
        *frame["warnings"].dropna().unique(),
    ]
    return "\n".join([", ".join(same), text, *(f"  {words}" for words in said)])


def summary(record: Mapping[str, Any]) -> str:
    """One line on one cell."""
    name = " ".join(f"{key}={value}" for key, value in record["cell"].items() if value is not None)
    if record["status"] != OK:
        return f"{name}: {record['status']}: {record['reason']}"
    metrics = record["metrics"]
    return (
        f"{name}: claimed {100 * metrics['claimed_success']['mean']:.0f} %, "
        f"on fresh draws success {100 * metrics['fresh_success']['mean']:.0f} %, "
        f"accuracy {100 * metrics['fresh_accuracy']['mean']:.0f} %, "
        f"{record['seconds']['total']:.1f} s"
    )


def progress(results: Path) -> str:
    """How far a running sweep is, and about how long the rest takes.

    A cell is expected to take as long as those before it, and a network as long as those that this sweep
    has trained; of the first ones to be trained nothing is known.
    """
    start = (results / "cells.json").stat().st_mtime
    sweep = Sweep.read(results)
    store, entries = sweep.store, sweep.cells
    paths = [store.record_path(entry["key"]) for entry in entries]
    written = [path.stat().st_mtime for path in paths if path.exists()]
    left = len(paths) - len(written)
    words = f"{len(written)} of {len(paths)} done"
    # those that an earlier sweep has left took no time
    now = sum(stamp >= start for stamp in written)
    if not left or not now:
        return words
    networks = {entry["checkpoint"] for entry in entries} - {None}
    checkpoints = [store.path("checkpoints", name) for name in networks]
    fitted = [path for path in checkpoints if path.exists() and path.stat().st_mtime >= start]
    untrained = sum(not path.exists() for path in checkpoints)
    training = _covered([_fitting(path) for path in fitted])
    seconds = max(0.0, time.time() - start - training) / now * left
    if fitted:
        seconds += training / len(fitted) * untrained
    words += f", about {max(1, round(seconds / 60))} min left"
    if untrained and not fitted:
        words += f" and {untrained} network{'s' * (untrained > 1)} to train"
    return words


def _fitting(checkpoint: Path) -> tuple[float, float]:
    """When the fitting of a network began and ended."""
    end = checkpoint.stat().st_mtime
    return end - float(records.about_tensors(checkpoint).get("seconds", 0)), end


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """For how long at least one of the spans lasted: networks may be trained side by side."""
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


@guarded
def main() -> None:
    """The command of the module's docstring; exit status 0 if the sweep is whole, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.aggregate", description="Write a sweep's tables and figures again."
    )
    parser.add_argument("results", type=Path, nargs="+", help="folders of sweeps, such as outputs/sweep")
    folders = parser.parse_args().results
    for folder in folders:
        frame = table(folder)
        if (frame["status"] == MISSING).all():
            # a copy of a sweep beside another store would lose its table
            first = frame["reason"].iloc[0]
            why = "has none of its records" if first == NOT_RUN else f"has none that can be read ({first})"
            raise ConfigError(f"{folder}: its store {why}; nothing was written")
        say_missing(frame, folder)
    raise SystemExit(0 if all([write(folder) for folder in folders]) else 1)


if __name__ == "__main__":
    main()
