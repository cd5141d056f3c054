"""What a sweep's command says: its table, one line on a cell; and the files that it leaves.

Here belongs what a person reads of a sweep. How it is read from disk is in ``results``; how far a
running one is, in ``progress``; pictures are drawn by ``figures``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.axes import NAMES
from bench.checks import ConfigError
from bench.results import files as records
from bench.results.columns import COLUMNS
from bench.results.files import write_text
from bench.results.store import MISSING, OK
from bench.results.sweep import NOT_RUN, SETTLED, Sweep, Table

SHORT = {column.name: column.short for column in COLUMNS if column.short}
"""The columns that matter most, and what the terminal calls them."""


def write(results: Path | Sweep) -> tuple[str, bool]:
    """Writes ``results.csv`` and the heatmaps of a sweep.

    Args:
        results: The sweep, or its folder.

    Returns:
        Its table as a person reads it, and the files that were written; and whether every cell is done or
        can't be, and everything could be written.

    Raises:
        ConfigError: as ``Sweep``.
    """
    from bench.analysis import figures

    sweep = Sweep.of(results)
    folder, table = sweep.folder, sweep.table()
    said = terminal(table)
    try:
        write_text(folder / "results.csv", table.frame.to_csv(index=False))
        written = [folder / "results.csv", *figures.heatmaps(table, folder)]
    except OSError as error:
        where = error.filename or folder
        records.log.warning("%s: can't be written (%s)", where, error.strerror or error)
        return said, False
    whole = bool(table.frame["status"].isin(SETTLED).all())
    return "\n".join([said, *map(str, written)]), whole


def check_found(sweep: Sweep) -> None:
    """Logs which of a sweep's records are missing or can't be read.

    Raises:
        ConfigError: if all of them are.
    """
    found = sweep.table()
    if (found.frame["status"] == MISSING).all():
        # a copy of a sweep beside another store would lose its table
        first = found.frame["reason"].iloc[0]
        why = "has none of its records" if first == NOT_RUN else f"has none that can be read ({first})"
        raise ConfigError(f"{sweep.folder}: its store {why}; nothing was written")
    found.say_missing(sweep)


def terminal(table: Table) -> str:
    """The table as a person reads it: the columns that vary, and the figures that matter most."""
    frame, shown = table.frame, table.varying or ["scheme", "attack"]
    text = (
        frame[[*shown, *SHORT]]
        .rename(columns=SHORT)
        .to_string(index=False, float_format=lambda v: f"{v:.2f}" if v < 10 else f"{v:.1f}", na_rep="-")
    )
    same = [f"{c}={frame[c].iloc[0]}" for c in NAMES if c not in shown and pd.notna(frame[c].iloc[0])]
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
