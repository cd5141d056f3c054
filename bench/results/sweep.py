"""A sweep and its table: the manifest of its cells, their records, one row a cell.

Here belongs how a sweep is found again and laid out. What is said of it to a person is in
``analysis.summary``; what a column is, in ``columns``.

What is in its folder, ``<output_dir>/<name>``:

    cells.json: the manifest: where the store is, and of each cell, in their order, ``key``, ``config`` and
        ``checkpoint``.
    multirun.yaml: Hydra's own, what the command was told.
    results.csv: one row a cell; its columns are described in docs/reference/columns.md.
    heatmap_*.png: success, accuracy and distance of each attack and scheme; one file for each other choice.
    transfer.csv: who recognises whose adversarial samples, one row a pair; ``transfer_*.png`` shows it.
    transfer_*.png: the same as pictures.
    game.csv: by ``python -m bench game``: payoffs and both sides' mixes; ``game_*.png`` shows them.
    game_*.png: the same as a picture.
    equilibrium.json: by ``python -m bench game``: best answers, equilibrium, and bounds of its value.
    gradients.csv: by ``python -m bench gradients``: one row a cell; ``gradient_correlations.csv`` says how
        they rank against success.
    gradient_correlations.csv: rank correlations.
    gradients.png: densities at single values of one image.
    gradient_variance.png: variance against success.
    trace.csv: by ``python -m bench search``: one row a step; ``trace.png`` shows it.
    trace.png: the same as a picture.
    result.json: by ``python -m bench search``: the rates that were chosen.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bench import axes
from bench.axes import AXES, Axis
from bench.checks import ConfigError
from bench.results import files as records
from bench.results.columns import COLUMNS, Column
from bench.results.store import MISSING, NOT_APPLICABLE, OK, Store

SETTLED = (OK, NOT_APPLICABLE)
"""What a cell of a whole sweep has become."""

NOT_RUN = "not run yet"


class Sweep:
    """A sweep that was started, as its manifest tells of it; its records are read once.

    Args:
        folder: Where its manifest is.

    Attributes:
        folder: Where its tables and figures are.
        store: Where its records are.
        cells: For each cell, in their order, its ``key``, the ``config`` that decides its result, and its
            network's ``checkpoint``, or None.

    Raises:
        ConfigError: if none was started there, its manifest is damaged or of another version, or its store
            isn't there.
    """

    def __init__(self, folder: Path):
        try:
            manifest = records.read_document(folder / "cells.json", "sweep")
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
        self.folder = folder
        self.store = Store(_relative(where))
        self.cells: Sequence[Mapping[str, Any]] = manifest["cells"]

    @classmethod
    def of(cls, where: "Path | Sweep") -> "Sweep":
        """The sweep of a folder, or the one that was read already."""
        return where if isinstance(where, Sweep) else cls(where)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """For each cell its record, under the sweep's own names; ``missing`` where none can be read."""
        found = []
        for entry in self.cells:
            named = {"config": entry["config"], "cell": axes.names(entry["config"])}
            lost = {"key": entry["key"], "status": MISSING}
            try:
                record = self.store.read(entry["key"]) or {**lost, "reason": NOT_RUN}
            except records.Unreadable as error:
                record = {**lost, "reason": str(error)}
            # settings that don't decide are whoever's came first; a sweep's table shows its own
            found.append({**record, **named})
        return found

    def table(self) -> "Table":
        """One row a cell, in their order."""
        return Table.of(self.records)


def table(*sweeps: Path | Sweep) -> "Table":
    """One table of several sweeps, in their order: what they don't share are columns of it.

    Raises:
        ConfigError: as ``Sweep``.
    """
    return Table.of([record for where in sweeps for record in Sweep.of(where).records])


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


@dataclass(frozen=True)
class Table:
    """Records laid out, one row each.

    Attributes:
        frame: The columns that name a cell, and those of ``COLUMNS``.
        names: Those that name a cell: the axes, and every other setting that was swept.
    """

    frame: pd.DataFrame
    names: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column] = COLUMNS) -> "Table":
        """The table of records.

        Args:
            rows: Records, of whatever age.
            columns: What is read off them, the axes first.
        """
        settings = swept([record["config"] for record in rows])
        flat: list[dict[str, Any]] = []
        for record in rows:
            row = {name: value for column in columns for name, value in column.read(record)}
            row.update({key: value for key, value in flatten(record["config"]) if key in settings})
            flat.append(row)
        frame = pd.DataFrame(flat)
        shown: list[str] = []
        for column in columns:
            first, *ends = column.parts
            count = frame[first].nunique() if first in frame else 0
            least = {"always": 0, "any": 1, "differing": 2}[column.shown]
            shown += [first] * (count >= least) + [end for end in ends if end in frame]
        names = [*(name for name in axes.NAMES if name in shown), *settings]
        return cls(frame.reindex(columns=[*names, *(c for c in shown if c not in names)]), tuple(names))

    @property
    def varying(self) -> list[str]:
        """What names a cell, and isn't the same for all."""
        return [name for name in self.names if len(self.frame[name].unique()) > 1]

    def say_missing(self, *where: Path | Sweep) -> None:
        """Logs how many cells of these sweeps have no record, which can't be read, and what to do."""
        gone = int((self.frame["reason"] == NOT_RUN).sum())
        if gone:
            folders = [str(one.folder if isinstance(one, Sweep) else one) for one in where]
            records.log.warning(
                "%s: %d of %d cells have no record (not run yet, or removed); the sweep's command computes "
                "them", " and ".join(folders), gone, len(self.frame),
            )  # fmt: skip
        self.say_damaged()

    def say_damaged(self) -> None:
        """Logs which records can't be read."""
        lost = (self.frame["status"] == MISSING) & (self.frame["reason"] != NOT_RUN)
        for reason in self.frame.loc[lost, "reason"]:
            records.log.warning("%s; the sweep's command computes it again", reason)


def labels(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """One name for each row: the first column's value, and the others as ``column=value``."""
    return frame[list(columns)].apply(_label, axis=1)


def _label(row: pd.Series) -> str:
    first, *others = row.items()
    words = [str(first[1]), *(f"{k}={'default' if pd.isna(v) else v}" for k, v in others)]
    return " ".join(words)


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Settings by their whole keys, lists as JSON."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value) if isinstance(value, list) else value


def swept(configs: Sequence[Mapping[str, Any]], known: Sequence[Axis] = AXES) -> list[str]:
    """Settings that differ between cells, and that no name stands for.

    What stands in a group's file comes with the choice of it, so that the choice names it: it is compared
    between cells of the same choice. Every other setting, in a section of a group or not, is
    compared between all cells: beside two names it may differ for a reason of its own.
    """
    groups = {axis.name: axis for axis in known if axis.group}
    cells: Counter[tuple[str, str]] = Counter()
    seen: dict[tuple[str, str, str], Counter[str]] = {}
    without: Counter[str] = Counter()
    for config in configs:
        chosen = {name: str(config.get(name, {}).get("name")) for name in groups}
        cells.update([*chosen.items(), ("", "")])
        own = dict(flatten(config))
        # nor has every choice what is common to most
        lacking = {key for key, value in own.items() if value is None}
        for ours, dataset in (("training.epochs", "dataset.epochs"), ("batch_size", "dataset.batch_size")):
            if own.get(ours) == own.get(dataset):
                # the dataset's own come with the choice of the dataset
                own[ours] = None
        for key, value in own.items():
            section, _, setting = key.partition(".")
            if (section in groups and setting == "name") or key in axes.NAMES:
                continue
            of_file = section in groups and setting not in groups[section].common
            if section in groups and not of_file and key in lacking:
                without[key] += 1
                continue
            of = (section, chosen[section]) if of_file else ("", "")
            seen.setdefault((*of, key), Counter())[json.dumps(value)] += 1
    found = set()
    for (group, choice, key), values in seen.items():
        if len(values) > 1 or values.total() + without[key] < cells[group, choice]:
            found.add(key)
    return sorted(found)
