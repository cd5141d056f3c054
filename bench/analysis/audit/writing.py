"""What an audit leaves in a folder: its tables, and each row's worst samples.

Here belongs which files there are, and which rows stand in them. What is in them is computed elsewhere.

What is in the folder, ``<output_dir>/<name>``:

    audit.csv: one row a scheme and ball; its columns are described in docs/reference/audit.md.
    checks.csv: one row a check, beside the columns that name a row of audit.csv.
    attacks.csv: one row an attack, likewise.
    images.csv: one row an image, likewise.
    curves.csv: one row a point of accuracy against epsilon or tries, likewise.
    curves_*.png: these points of each scheme, and of its twin.
    audit.tex: the table as LaTeX has it (booktabs).
    method.txt: a paragraph for a section on method: plan, passes, draws, versions.
    samples/: for each row each image's worst sample: ``images`` and ``indices``, as ``--samples`` takes them.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.audit import latex, tables
from bench.analysis.audit.asking import KINDS, Found
from bench.results import fingerprint, sweep
from bench.results.files import write_text, write_whole


@dataclass(frozen=True)
class Named:
    """A row that is done.

    Attributes:
        settings: All that was set for it.
        found: What it has found.
    """

    settings: Mapping[str, Any]
    found: Found


def write(folder: Path, rows: Sequence[Named]) -> tuple[str, list[Path]]:
    """Writes all of an audit.

    Args:
        folder: Where; it is made.
        rows: At least one.

    Returns:
        What is said, and which files were written.

    Raises:
        OSError: if they can't be.
    """
    named = _names([row.settings for row in rows])
    frames = {
        kind: pd.concat(
            [_named(getattr(row.found, kind), name) for row, name in zip(rows, named, strict=True)],
            ignore_index=True,
        )
        for kind in KINDS
    }
    written = write_tables(folder, frames)
    for place, (row, name) in enumerate(zip(rows, named, strict=True)):
        path = folder / "samples" / f"{_file(name)}.npz"
        if path in written:
            # of two rows of one name
            path = path.with_stem(f"{path.stem}_{place + 1}")
        write_samples(path, row.found.samples)
        written.append(path)
    written += _pictures(folder, frames["curves"], list(named[0]))
    written += _for_a_paper(folder, frames["table"], list(named[0]))
    return tables.terminal(frames["table"], [row.found.notes for row in rows], list(named[0])), written


def _pictures(folder: Path, points: pd.DataFrame, names: Sequence[str]) -> list[Path]:
    """One for all balls of a norm of what else names rows."""
    # not where tables alone are written: whoever imports the library has no use for seaborn
    from bench.analysis import figures
    from bench.analysis.figures import drawing

    others = [name for name in names if name != "epsilon"]
    written = []
    for _, one in points.groupby(others, dropna=False, sort=False):
        shown = list(one[others].iloc[0].dropna())
        path = drawing.file(folder, "curves", shown)
        figures.audited(one, path, " ".join(map(str, shown)))
        written.append(path)
    return written


def _for_a_paper(folder: Path, table: pd.DataFrame, names: Sequence[str]) -> list[Path]:
    varying = [name for name in names if name == "scheme" or len(set(map(str, table[name]))) > 1]
    versions = [f"{name} {version}" for name, version in fingerprint.versions().items()]
    written = [folder / "audit.tex", folder / "method.txt"]
    write_text(written[0], latex.table(table, varying))
    settings = " ".join(
        f"{name}={','.join(dict.fromkeys(map(latex.value, table[name])))}"
        for name in names
        if table[name].notna().all()
    )
    write_text(written[1], latex.method(table, f"python -m bench audit -m {settings}", versions))
    return written


def write_tables(folder: Path, frames: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Writes a row's tables, or those of several, by ``KINDS``.

    Raises:
        OSError: if they can't be written.
    """
    written = []
    for kind in KINDS:
        path = folder / f"{'audit' if kind == 'table' else kind}.csv"
        write_text(path, frames[kind].to_csv(index=False))
        written.append(path)
    return written


def write_samples(path: Path, samples: Mapping[str, np.ndarray]) -> None:
    """Writes samples as ``asking.brought`` reads them.

    Raises:
        OSError: if they can't be written.
    """
    held = io.BytesIO()
    np.savez(held, images=samples["images"], indices=samples["indices"])
    write_whole(path, lambda temporary: temporary.write_bytes(held.getvalue()))


def _names(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What names each row: what always does, and every other setting that was swept."""
    flat = [dict(sweep.flatten(one)) for one in settings]
    others = [key for key in sweep.swept(settings) if key not in tables.NAMES]
    return [
        {**tables.names(one), **{key: values.get(key) for key in others}}
        for one, values in zip(settings, flat, strict=True)
    ]


def _named(frame: pd.DataFrame, names: Mapping[str, Any]) -> pd.DataFrame:
    before = pd.DataFrame({name: [value] * len(frame) for name, value in names.items()}, index=frame.index)
    return pd.concat([before, frame], axis=1)


def _file(names: Mapping[str, Any]) -> str:
    """A file's name for a row, by what names it."""
    said = {name: value for name, value in names.items() if value is not None}
    words = [str(value) if isinstance(value, str) else f"{name}={value}" for name, value in said.items()]
    return re.sub(r"[^\w.=-]+", "-", "_".join(words))
