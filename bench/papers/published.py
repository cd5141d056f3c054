"""What two papers' reports share: printed tables with their errata, verdicts.

Here belongs what does not know which paper it serves.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.measure.intervals import Estimate, difference

TABLES = Path(__file__).parent / "tables"


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


@dataclass(frozen=True)
class Verdict:
    """Whether a sentence of a paper holds here.

    Attributes:
        where: Section or table.
        sentence: What the paper says, and how it is tested.
        verdict: ``holds``; ``does not hold``; ``undecided`` where the intervals don't tell;
            ``not measured`` where a figure is missing; ``not tested`` where the figures can't tell.
        evidence: The figures, or why there are none.
    """

    where: str
    sentence: str
    verdict: str
    evidence: str


def measured(value: Estimate) -> bool:
    """Whether there is a figure, with an interval or without."""
    return not math.isnan(value.mean)


def words(value: Estimate, mean: str = ".1f", bounds: str = "") -> str:
    """A figure and its interval; ``not measured`` where there is none, and no interval where that is missing.

    Args:
        value: A figure and its bounds.
        mean: Format of the figure.
        bounds: Format of the bounds; empty: the figure's.
    """
    if not measured(value):
        return "not measured"
    if math.isnan(value.low) or math.isnan(value.high):
        return f"{value.mean:{mean}} (no interval)"
    return f"{value.mean:{mean}} [{value.low:{bounds or mean}}, {value.high:{bounds or mean}}]"


def ordered(steps: Sequence[tuple[str, Estimate, str, Estimate]]) -> tuple[str, str]:
    """Whether each later value is larger than the earlier one, from intervals.

    Args:
        steps: Earlier name and value, later name and value. The first step decides; the others may
            only contradict.

    Returns:
        ``holds`` if the first difference is over 0 with its whole interval and no other
        step is reversed with its whole interval; ``does not hold`` if the first difference is at or
        under 0 with its whole interval, or another step is reversed; else ``undecided``. And the figures.
        ``not measured``, without figures, if any value is missing.
    """
    if not all(measured(value) for _, one, _, other in steps for value in (one, other)):
        return "not measured", ""
    differences = [(f"{b} - {a}", difference(y, x)) for a, x, b, y in steps]
    (_, first), *others = differences
    reversed_ = [name for name, d in others if d.high < 0]
    if first.low > 0 and not reversed_:
        verdict = "holds"
    elif first.high <= 0 or reversed_:
        verdict = "does not hold"
    else:
        verdict = "undecided"
    return verdict, "; ".join(f"{name} {words(d, '+.3g', '.3g')}" for name, d in differences)


def small(estimate: Estimate, limit: float) -> str:
    """``holds`` if the magnitude is under a limit with the whole interval, ``not measured`` if missing."""
    if not measured(estimate):
        return "not measured"
    if max(abs(estimate.low), abs(estimate.high)) < limit:
        return "holds"
    if estimate.low > limit or estimate.high < -limit:
        return "does not hold"
    return "undecided"


def combined(verdicts: Sequence[str]) -> str:
    """The verdict on a sentence that says several things at once."""
    for verdict in ("does not hold", "not measured", "undecided"):
        if verdict in verdicts:
            return verdict
    return "holds" if verdicts else "undecided"


def markdown(frame: pd.DataFrame, words: Callable[[float], str] = str) -> str:
    """A table in Markdown, its index first."""
    head = ["", *map(str, frame.columns)]
    rows = [
        [str(name), *(words(v) for v in row)] for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return "\n".join(
        [
            "| " + " | ".join(head) + " |",
            "|---" * len(head) + "|",
            *("| " + " | ".join(r) + " |" for r in rows),
        ]
    )


def notes(frame: pd.DataFrame) -> str:
    """What is to be said of entries that are misprinted or missing, for the foot of a table."""
    named = list(frame.columns[: list(frame.columns).index("published")])
    lines: dict[str, list[str]] = {}
    for row in frame[frame["note"] != ""].to_dict("records"):
        lines.setdefault(row["note"], []).append("/".join(str(row[c]) for c in named))
    return "\n".join(
        f"\\* {places[0] if len(places) == 1 else f'{len(places)} entries'}: {note}"
        for note, places in lines.items()
    )


def verdicts_beside(measured: Sequence[Verdict], printed: Sequence[Verdict]) -> pd.DataFrame:
    """Fields of the verdicts on what was measured, and ``as_printed``: those on the printed numbers.

    ``as_printed`` is empty where the sentence is about figures that aren't printed.
    """
    frame = pd.DataFrame(map(dataclasses.asdict, measured))
    of = {(v.where, v.sentence): v.verdict for v in printed if v.verdict != "not measured"}
    frame.insert(2, "as_printed", [of.get((v.where, v.sentence), "") for v in measured])
    return frame


def verdict_table(verdicts: pd.DataFrame) -> str:
    """Verdicts in Markdown, those on the printed numbers beside those on the measured ones.

    Args:
        verdicts: As ``verdicts_beside`` makes them.
    """
    lines = [
        "What the paper says, and whether it holds: in its own printed numbers, taken as they are, and",
        "here, judged by 95 % intervals. The evidence is what was measured. The intervals of differences",
        "take both sides as independent, though they are of the same images: too wide where these find the",
        "same images hard, so that a verdict errs towards *undecided*. *Not tested*: no figure of the tables",
        "can tell.",
        "",
        "| where | sentence, and its test | as printed | measured | evidence |\n|---|---|---|---|---|",
    ]
    lines += [
        f"| {v['where']} | {v['sentence']} | {v['as_printed']} | **{v['verdict']}** | {v['evidence']} |"
        for v in verdicts.to_dict("records")
    ]
    return "\n".join(lines)
