"""Cross recognition: every scheme's network looks at every scheme's adversarial samples.

Here belongs who recognises whose samples, from records and saved samples; no attack is run here.
The idea is that of "Dropout in Testing Phase", Tables 3 and 5: column, the scheme that samples were
generated under; row, the scheme that recognises them; each cell, how often the true label is output.
By itself: ``python -m bench transfer outputs/sweep``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from bench import axes, looks, plan
from bench.checks import ConfigError
from bench.defended import Defended
from bench.reader import STRANGER, Reader
from bench.results import files as records
from bench.results import fingerprint
from bench.results.files import Unreadable
from bench.results.store import OK
from bench.results.sweep import Sweep, labels

T = TypeVar("T")

PAIR = ("generated_under", "recognised_by")
MEASURED = (
    *("accuracy_pct", "accuracy_pct_low", "accuracy_pct_high"),
    *("single_draw_pct", "samples", "draws", "seconds"),
)
"""What stands in a table of pairs behind what names the attack."""


def table(
    results: Path | Sweep, reader: Reader = STRANGER, again: Callable[[str, Unreadable], None] | None = None
) -> pd.DataFrame:
    """Cross recognition of a sweep, one row for each pair of schemes and each attack and criterion.

    What was looked at before is read from the store.

    Args:
        results: A sweep, or its folder.
        reader: Whose code may run.
        again: Called with a cell's key and what can't be read of it, has it computed again; None: where
            something can't be read there is a hole with its reason.

    Returns:
        Columns ``dataset``, ``attack``, ``criterion``, ``seed`` (and other swept settings of the
        attack), ``generated_under``, ``recognised_by``, ``accuracy_pct`` with ``_low`` and ``_high``,
        ``single_draw_pct``, ``samples``, ``draws``, ``seconds``, and ``reason`` for a hole. Empty
        where the sweep has fewer than two schemes.

    Raises:
        ConfigError: as ``Sweep``.
    """
    sweep = Sweep.of(results)
    whole = sweep.table()
    if again is None:
        whole.say_missing(sweep)
    frame = whole.frame
    defence, attack = axes.split(whole.names)
    shown = [c for c in defence if len(frame[c].unique()) > 1] or ["scheme"]
    frame["defence"] = labels(frame, shown)
    if len(frame["defence"].unique()) < 2:
        return pd.DataFrame()
    rows = []
    looked = _Pairs(sweep, reader, again)
    pairs = sum(len(g) ** 2 for _, g in frame.groupby(attack, dropna=False))
    with tqdm(total=pairs, desc="cross recognition", unit="pair", disable=None, leave=False) as bar:
        for values, group in frame.groupby(attack, sort=False, dropna=False):
            cells = [dict(zip(group.columns, row, strict=True)) for row in group.itertuples(index=False)]
            for generated in cells:
                for recogniser in cells:
                    rows.append(
                        {
                            **dict(zip(attack, values, strict=True)),
                            "generated_under": generated["defence"],
                            "recognised_by": recogniser["defence"],
                            **looked.look(generated, recogniser),
                        }
                    )
                    bar.update()
                # nobody asks for them again, and many large images are much
                looked.samples.clear()
    found = pd.DataFrame(rows)
    # where there are holes alone, the columns are there all the same
    return found.reindex(columns=[*attack, *PAIR, *MEASURED, *(["reason"] if "reason" in found else [])])


class _Pairs:
    """Looks at samples once for each pair, however often it is asked."""

    def __init__(self, sweep: Sweep, reader: Reader, again: Callable[[str, Unreadable], None] | None):
        self.store = sweep.store
        # a file that settings name may have been moved since somebody else's came first
        self.configs = {cell["key"]: cell["config"] for cell in sweep.cells}
        self.reader = reader
        self.again = again
        self.networks: dict[str, plan.Restored | str] = {}
        self.samples: dict[str, dict[str, np.ndarray] | str] = {}
        self.unlike: dict[str, str] = {}

    def look(self, generated: Mapping[str, Any], recogniser: Mapping[str, Any]) -> dict[str, Any]:
        for who, what in ((generated, "samples"), (recogniser, "recogniser")):
            if who["status"] != OK:
                return {"reason": f"{what}: {who['status']}: {who['reason']}"}
        try:
            (one, _), (other, looker) = (self._record(who["key"]) for who in (generated, recogniser))
        except ConfigError as error:
            return {"reason": str(error)}
        unlike = "" if self.store.reference else self._unlike(other)
        if unlike:
            return {"reason": f"recogniser: {unlike}"}
        claimed = looks.unflagged(one["images"]["claimed"])
        if not claimed.any():
            return {"reason": "samples: the attack never succeeded"}

        def images() -> tuple[torch.Tensor, ...]:
            samples = self._once(self.samples, one["key"], lambda: self.store.samples(one))
            if isinstance(samples, str):
                raise _Hole(f"samples: {samples}")
            return tuple(torch.from_numpy(samples[n][claimed]) for n in ("perturbed", "labels", "targets"))

        def defended() -> Defended:
            restored = self._once(
                self.networks, other["key"], lambda: plan.restore(other, self.store, self.reader)
            )
            if isinstance(restored, str):
                raise _Hole(f"recogniser: {restored}")
            return restored.defended

        try:
            seen = looks.fresh(
                self.store,
                looker,
                defended,
                f"claimed of {one['samples']['content']}",
                images,
                None,
                other["metrics"]["fresh_draws"],
                fingerprint.derive_seed(
                    other["config"]["seed"], f"cross recognition of {one['samples']['sha256']}"
                ),
            )
        except (_Hole, Unreadable) as hole:
            return {"reason": str(hole)}
        indices = np.array(one["images"]["indices"])[claimed]
        accuracy = seen.rate("right", "shared" in other.get("draws", {}), indices)
        return {
            "accuracy_pct": 100 * accuracy.mean,
            "accuracy_pct_low": 100 * accuracy.low,
            "accuracy_pct_high": 100 * accuracy.high,
            "single_draw_pct": 100 * float(seen.right_first.mean()),
            "samples": len(indices),
            "draws": seen.draws,
            "seconds": seen.seconds,
        }

    def _record(self, key: str) -> tuple[dict[str, Any], looks.Looker]:
        found = self.store.read(key)
        assert found is not None
        record = {**found, "config": self.configs[key]}
        return record, looks.Looker.of(record)

    def _unlike(self, record: Mapping[str, Any]) -> str:
        """Why what a record was made with is not what would look now; empty where it is."""
        if record["key"] not in self.unlike:
            try:
                plan.check_alike(record, self.reader)
                self.unlike[record["key"]] = ""
            except ConfigError as error:
                self.unlike[record["key"]] = " ".join(str(error).split())
                records.log.warning("%s", self.unlike[record["key"]])
        return self.unlike[record["key"]]

    def _once(self, kept: dict[str, T | str], key: str, get: Callable[[], T]) -> T | str:
        """What was got for a key, or why it can't be; computed again if need be and there is a way."""
        if key not in kept:
            try:
                try:
                    kept[key] = get()
                except Unreadable as error:
                    if self.again is None:
                        raise
                    self.again(key, error)
                    kept[key] = get()
            except (ConfigError, Unreadable) as error:
                kept[key] = " ".join(str(error).split())
                records.log.warning("%s", kept[key])
        return kept[key]


class _Hole(Exception):
    """Why there is nothing to see."""


def matrix(pairs: pd.DataFrame) -> pd.DataFrame:
    """The paper's form: row, who recognises; column, whose samples; with the means at the edges.

    Args:
        pairs: Rows of ``table`` for one attack and criterion.

    Returns:
        A table with a last row and a last column named ``mean``. A hole is NaN, and a mean over a
        hole is a mean of what there is.
    """
    order = list(dict.fromkeys(pairs["generated_under"]))
    square = pairs.pivot(index="recognised_by", columns="generated_under", values="accuracy_pct")
    square = square.loc[order, order]
    square["mean"] = square.mean(axis=1)
    square.loc["mean"] = square.mean(axis=0)
    # the paper leaves the corner empty
    square.loc["mean", "mean"] = math.nan
    return square


def groups(pairs: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """What names each attack and criterion of a table, and its rows."""
    named = [str(c) for c in pairs if c not in (*PAIR, *MEASURED, "reason")]
    return [
        (dict(zip(named, values, strict=True)), group)
        for values, group in pairs.groupby(named, sort=False, dropna=False)
    ]


def write(
    results: Path | Sweep, reader: Reader = STRANGER, again: Callable[[str, Unreadable], None] | None = None
) -> Sequence[Path]:
    """Writes ``transfer.csv`` and a heatmap for each attack and criterion, if there are two schemes or more.

    Those of an earlier sweep of this name are removed, once the new ones are there.

    Args:
        results: A sweep, or its folder.
        reader, again: As for ``table``.

    Returns:
        What was written.

    Raises:
        ConfigError: as ``Sweep``; or where there is one already, and nothing of it could be made again.
        OSError: if they can't be written.
    """
    from bench.analysis import figures

    sweep = Sweep.of(results)
    folder = sweep.folder
    path = folder / "transfer.csv"
    pairs = table(sweep, reader, again)
    written: list[Path] = []
    if path.exists():
        plan.check_not_outdated(folder, list(pairs.get("reason", [])))
    if not pairs.empty:
        records.write_text(path, pairs.to_csv(index=False))
        written = [path, *figures.transfer([(*g, matrix(g[1])) for g in groups(pairs)], folder)]
    remove(folder, but=written)
    return written


def remove(results: Path, but: Sequence[Path] = ()) -> None:
    """Removes a sweep's cross recognition, but for some files."""
    for old in (results / "transfer.csv", *results.glob("transfer_*.png")):
        if old not in but:
            old.unlink(missing_ok=True)
