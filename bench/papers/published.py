"""The papers' printed tables with their errata, and what was measured beside them.

Here belongs how printed figures are read and compared; what is claimed of them is in ``claims``, what is
written of them in ``report``. Which paper it is for is not known here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.measuring.intervals import FULL_DEPENDENCE, Estimate, mean_of

TABLES = Path(__file__).parent / "tables"
ENDS = ("", "_low", "_high")
"""Of the columns of a figure and its interval."""
MEAN = "mean"
"""What tables call the row and the column of means."""


def errata(paper: str) -> pd.DataFrame:
    """A paper's known misprints, one a row, in the columns of its ``errata.csv``.

    ``value`` is what a comparison uses; empty: nothing usable was printed. ``*``: the whole of it.
    """
    return pd.read_csv(TABLES / paper / "errata.csv", dtype=str, keep_default_na=False)


def table(paper: str, name: str, row: str, column: str) -> pd.DataFrame:
    """A printed table, tidy, with ``printed`` as it stands there, ``value`` as a number, and a ``note``.

    Args:
        paper: A folder of ``tables/``.
        name: A file of it, such as ``table3``.
        row, column: Which of its columns an erratum's ``row`` and ``column`` mean.
    """
    frame = pd.read_csv(TABLES / paper / f"{name}.csv", dtype=str, keep_default_na=False)
    frame["value"] = pd.to_numeric(frame["printed"], errors="coerce")
    frame["note"] = ""
    for slip in errata(paper).query("table == @name").to_dict("records"):
        hit = pd.Series(True, frame.index)
        for key, found in (("attack", "attack"), (row, slip["row"]), (column, slip["column"])):
            wanted = slip["attack"] if key == "attack" else found
            if wanted != "*" and key in frame.columns:
                hit &= frame[key] == wanted
        if not hit.any():
            raise ValueError(f"{paper}: erratum of {name} matches no entry: {slip}")
        frame.loc[hit, "value"] = float(slip["value"]) if slip["value"] else math.nan
        frame.loc[hit, "note"] = slip["note"]
    return frame


def beside(
    reference: pd.DataFrame,
    measured: pd.DataFrame,
    keys: Sequence[str],
    value: str,
    extra: Sequence[str] = ("single_draw_pct", "interval", "reason"),
) -> pd.DataFrame:
    """Published and measured, side by side: one row an entry of the printed table.

    Args:
        reference: As ``table`` gives it.
        measured: With the same ``keys``, ``value`` and, where there are any, its bounds.
        keys: What names an entry.
        value: The measured column.
        extra: Measured columns that are shown as they are, where there are any.
    """
    columns = {value: "measured", f"{value}_low": "measured_low", f"{value}_high": "measured_high"}
    kept = measured.rename(columns=columns)
    kept = kept[[*keys, *(c for c in (*columns.values(), *extra) if c in kept)]]
    both = reference.rename(columns={"value": "published"}).merge(kept, on=list(keys), how="left")
    both["difference"] = both["measured"] - both["published"]
    return both[
        [
            *keys,
            "published",
            *(c for c in both if c not in (*keys, "published", "printed", "note")),
            "printed",
            "note",
        ]
    ]


def with_means(
    frame: pd.DataFrame, keys: Mapping[str, Sequence[str]], value: str, plain: Sequence[str] = ()
) -> pd.DataFrame:
    """Measured entries of a square, and the means of its rows and columns, as printed tables have them.

    ``interval`` says how the bounds were made: cells of one table are of the same images, which a mean over
    cells has to allow for. A mean over a missing cell is NaN.

    Args:
        frame: With a row for each entry that was measured.
        keys: The two columns that name an entry, and the names that the square, and so a mean, has to hold.
        value: The measured column, its bounds beside it.
        plain: Columns without bounds that have means too.
    """
    names = [f"{value}{end}" for end in ENDS]
    frame = frame.reindex(columns=[*keys, *names, *plain])
    frame = frame[frame[[*keys]].isin({key: list(those) for key, those in keys.items()}).all(axis=1)]
    cells = {tuple(row[key] for key in keys): row for row in frame.to_dict("records")}
    hole = dict.fromkeys([*names, *plain], math.nan)
    means = []
    for turned, (along, edge) in enumerate((tuple(keys), tuple(keys)[::-1])):
        for name in keys[along]:
            of = [cells.get((other, name) if turned else (name, other), hole) for other in keys[edge]]
            mean = mean_of([estimate_of(entry, value) for entry in of])
            singles = {column: np.mean([entry[column] for entry in of]) for column in plain}
            means.append({along: name, edge: MEAN, **dict(zip(names, mean, strict=True)), **singles})
    whole = pd.concat([frame, pd.DataFrame(means)], ignore_index=True)
    edges = (whole[list(keys)] == MEAN).any(axis=1)
    return whole.assign(interval=np.where(edges, FULL_DEPENDENCE, "between images"))


@dataclass(frozen=True)
class Findings:
    """Everything measured for a paper.

    Attributes:
        tables: Each of its tables, as ``beside`` makes them.
        frames: What else was measured, by name.
        data: For each sweep the data that its records are of; empty where it wasn't run.
    """

    tables: Mapping[str, pd.DataFrame]
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    def as_printed(self) -> "Findings":
        """The paper's own numbers in the place of the measured ones: without intervals, and nothing else."""
        tables = {
            name: frame.assign(**{f"measured{end}": frame["published"] for end in ENDS})
            for name, frame in self.tables.items()
        }
        return Findings(tables, {name: frame.iloc[:0] for name, frame in self.frames.items()}, self.data)

    def value(self, table: str, **entry: object) -> Estimate:
        """One measured entry of a table; NaN where it wasn't measured.

        Raises:
            IndexError: for an entry that isn't printed.
        """
        frame = self.tables[table]
        hit = np.logical_and.reduce([frame[key].to_numpy() == wanted for key, wanted in entry.items()])
        at = np.flatnonzero(hit)[0]
        return Estimate(*(float(frame[f"measured{end}"].to_numpy()[at]) for end in ENDS))


def estimate_of(row: Any, column: str) -> Estimate:
    """A figure of a table's row, whichever way it was taken from it, with the bounds that stand beside it."""
    return Estimate(*(float(row[f"{column}{end}"]) for end in ENDS))
