"""What an audit leaves in a folder: its tables, and each row's worst samples.

Here belongs which files there are. What is in them is computed elsewhere.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.audit import tables
from bench.analysis.audit.asking import KINDS, Tables


def write(folder: Path, rows: Sequence[Tables]) -> tuple[str, list[Path]]:
    """Writes audit.csv, checks.csv, attacks.csv, images.csv of all rows, and samples/ with a file of each.

    Args:
        folder: Where; it is made.
        rows: At least one.

    Returns:
        What is said, and which files were written.

    Raises:
        OSError: if they can't be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in KINDS:
        path = folder / f"{'audit' if kind == 'table' else kind}.csv"
        pd.concat([getattr(row, kind) for row in rows], ignore_index=True).to_csv(path, index=False)
        written.append(path)
    (folder / "samples").mkdir(exist_ok=True)
    for row in rows:
        path = folder / "samples" / f"{_named(row)}.npz"
        np.savez(path, images=row.worst, indices=np.arange(len(row.worst)))
    written.append(folder / "samples")
    table = pd.concat([row.table for row in rows], ignore_index=True)
    said = dict.fromkeys(row.said for row in rows)
    return "\n".join([tables.terminal(table, list(rows[0].names)), *said]), written


def _named(row: Tables) -> str:
    """A file's name for a row, by what names it."""
    words = [
        f"{value:g}" if isinstance(value, float) else str(value) for value in row.names.values() if value
    ]
    return re.sub(r"[^\w.=-]+", "-", "_".join(words))
