"""What the library's calls give back: tables, samples, and how each image fared.

Here belongs what can be asked of results that are there. How they come about does not.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench import given, looks
from bench.analysis import summary
from bench.analysis.audit import tables, writing
from bench.analysis.audit.asking import KINDS, Found
from bench.analysis.audit.verdict import Verdict
from bench.calling import Call
from bench.checks import ConfigError
from bench.config import AttackConfig
from bench.measuring import intervals
from bench.record import header
from bench.results import sweep
from bench.results.store import OK

V = TypeVar("V")


class OfAttack(dict[str, V]):
    """What is there of each attack that didn't fail, by its name."""

    def __init__(self, found: Mapping[str, V], records: Mapping[str, Mapping[str, Any]]):
        super().__init__(found)
        self._records = records

    def __missing__(self, name: str) -> V:
        if name in self._records:
            raise KeyError(f"{name}: {self._records[name]['status']}: {self._records[name]['reason']}")
        raise KeyError(f"{name}: no such attack; there are {', '.join(self._records)}")


class Shown(pd.DataFrame):
    """A table that prints the columns that matter most, as the command's terminal does."""

    _metadata = ["_names"]  # noqa: RUF012
    _names: tuple[str, ...]

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    @classmethod
    def of(cls, table: sweep.Table) -> "Shown":
        made = cls(table.frame)
        made._names = table.names
        return made

    def __repr__(self) -> str:
        return summary.terminal(sweep.Table(pd.DataFrame(self), self._names))

    def _repr_html_(self) -> str:
        shown = [c for c in (*self._names, *summary.SHORT) if c in self and self[c].nunique(dropna=False)]
        html: str = pd.DataFrame(self)[shown].rename(columns=summary.SHORT).to_html(index=False)
        return html


@dataclass(frozen=True, repr=False, eq=False)
class Measurement:
    """How images fare on draws of the defence.

    Attributes:
        draws: Passes of each image; 1 where nothing is random.
        success: On which share of them the criterion holds (untargeted: the label isn't given), for each
            image, shape (n,).
        accuracy: On which share of them the label is given, for each image, shape (n,).
        table: One row: both as means in %, with 95 % intervals over images, under the names of results.csv.
    """

    draws: int
    success: np.ndarray
    accuracy: np.ndarray
    table: pd.DataFrame

    def __repr__(self) -> str:
        row = self.table.iloc[0]
        said = [
            f"{name} {row[at]:.1f} % [{row[f'{at}_low']:.1f}, {row[f'{at}_high']:.1f}]"
            for name, at in (("success", "fresh_success_pct"), ("accuracy", "fresh_accuracy_pct"))
        ]
        draws = "1 draw" if self.draws == 1 else f"{self.draws} draws"
        return f"{', '.join(said)}: {len(self.success)} images, {draws} each"


@dataclass(frozen=True, repr=False, eq=False)
class WorstCase(Measurement):
    """The strongest attack for each image, as chosen on one half of the draws and scored on the other.

    Attributes:
        attacks: Its name, for each image.
        images: Its adversarial images, shape (n, channels, height, width).
    """

    attacks: list[str] = field(default_factory=list)
    images: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """What ``evaluate`` found.

    Attributes:
        table: A row for each attack, with the columns of results.csv; printed, those that matter most.
        samples: For each attack's name its images, float32 in [0, 1], in the order of those given; under
            ``all_targets`` each image once for every wrong class, in order.
        success: For each attack's name the share of fresh draws on which each image fools the network.
        records: For each attack's name all that a record says.
    """

    table: pd.DataFrame
    samples: Mapping[str, Tensor]
    success: Mapping[str, np.ndarray]
    records: Mapping[str, Mapping[str, Any]]
    _fresh: Mapping[str, looks.Fresh]
    _call: Call

    def __repr__(self) -> str:
        return repr(self.table)

    def worst_case(self) -> WorstCase:
        """The strongest attack for each image.

        It is the one that fools the most of the first half of its fresh draws, of equal ones the first; what
        is scored are the others. Chosen and scored on the same draws, the best of several lucky ones would
        count. Where nothing is random one pass does for both. Where images of a pass share a draw there is
        no interval.

        Raises:
            ConfigError: if no attack is left, or there is a single draw.
        """
        if not self.samples:
            raise ConfigError("worst_case: every attack failed")
        call = self._call
        count, draws = len(call.images.y), next(iter(self._fresh.values())).draws
        if call.defended.random and draws < 2:
            raise ConfigError("worst_case: needs draws of at least 2, some to choose by and some to score")
        best, fooled = [("", 0)] * count, np.full(count, -1)
        scored: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, fresh in self._fresh.items():
            both = np.stack([fresh.success, fresh.right])
            half = fresh.first_half if call.defended.random else both
            assert half is not None
            scored[name] = tuple(both - half if call.defended.random else both)
            for row, image in enumerate(self.records[name]["images"]["indices"]):
                if half[0, row] > fooled[image]:
                    best[image], fooled[image] = (name, row), half[0, row]
        left = draws - draws // 2 if call.defended.random else 1
        success, accuracy = (
            np.array([scored[name][kind][row] for name, row in best]) / left for kind in (0, 1)
        )
        images = torch.stack([self.samples[name][row] for name, row in best])
        names = [name for name, _ in best]
        spread = [intervals.estimate(shares) for shares in (success, accuracy)]
        if any("shared" in record.get("draws", {}) for record in self.records.values()):
            # which draws of a pass each image's attack fooled isn't kept, without which draws can't be random
            spread = [intervals.Estimate(one.mean, math.nan, math.nan) for one in spread]
        table = measured(call, "worst case", left, *spread)
        return WorstCase(left, success, accuracy, table, names, images)


@dataclass(frozen=True, repr=False, eq=False)
class Audited:
    """What ``audit`` found.

    Attributes:
        table: One row, with the columns of audit.csv.
        checks: A row for each check that was made.
        attacks: A row for each attack.
        images: A row for each image.
        curves: Points of accuracy against epsilon, and against tries.
        verdict: ``refuted``, ``suspicious``, ``undecided`` or ``nothing found``, and why; where nothing is
            random, why alone.
        samples: Each image's worst sample: ``images``, float32 in [0, 1], shape (n, channels, height, width),
            and ``indices``, shape (n,), as ``audit`` takes samples.
    """

    table: pd.DataFrame
    checks: pd.DataFrame
    attacks: pd.DataFrame
    images: pd.DataFrame
    curves: pd.DataFrame
    verdict: Verdict
    samples: Mapping[str, np.ndarray]
    _notes: Mapping[str, Any]

    @classmethod
    def of(cls, found: Found) -> "Audited":
        """Of what a row has found."""
        frames = {kind: getattr(found, kind) for kind in KINDS}
        return cls(**frames, verdict=found.verdict, samples=found.samples, _notes=found.notes)

    def __repr__(self) -> str:
        return tables.terminal(self.table, [self._notes], [])

    @property
    def said(self) -> str:
        """The threat model, how much was done, and what was not tried."""
        return "\n".join(tables.below(self.table, [self._notes], []))

    def save(self, folder: str | Path) -> None:
        """Writes audit.csv and its other tables, and samples.npz, which ``audit`` takes.

        Raises:
            ConfigError: for what is no folder.
            OSError: if they can't be written.
        """
        where = given.folder("folder", folder)
        writing.write_tables(where, {kind: getattr(self, kind) for kind in KINDS})
        writing.write_samples(where / "samples.npz", self.samples)


def measured(
    call: Call, attack: str, draws: int, success: intervals.Estimate, accuracy: intervals.Estimate
) -> pd.DataFrame:
    """One row of what was measured, under the names of results.csv."""
    record = {
        **header(call.config(AttackConfig(attack, "")), OK, ""),
        "images": {"count": len(call.images.y)},
        "metrics": {
            "fresh_draws": draws,
            "fresh_success": success._asdict(),
            "fresh_accuracy": accuracy._asdict(),
        },
    }
    frame = sweep.Table.of([record]).frame
    said = ["model", "scheme", "criterion", "images", *(c for c in frame if str(c).startswith("fresh_"))]
    return frame[said]
