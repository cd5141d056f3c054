"""A paper's report: its sweeps, each printed table beside what was measured, its claims and their verdicts.

Here belongs how a report is laid out and written, whichever paper it is of; what is a paper's own is in its
``Paper``. How anything is measured or judged does not belong here.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.checks import ConfigError
from bench.measuring import ranks
from bench.papers import published
from bench.papers.claims import NOT_MEASURED, Claim
from bench.papers.published import Findings
from bench.reader import STRANGER, Reader
from bench.results import files as records
from bench.results.columns import COLUMNS as _COLUMNS
from bench.results.store import OK
from bench.results.sweep import Sweep

COLUMNS = tuple(column.name for column in _COLUMNS)

Row = Mapping[Any, Any]
"""Of a table, by column."""


@dataclass(frozen=True)
class Swept:
    """One of a paper's sweeps, as far as it was run.

    Attributes:
        name: The experiment's.
        folder: Where it lies.
        frame: Its cells, as ``Table.frame``; without rows where it wasn't run.
        record: Of the first cell that is done, or None.
        sweep: The sweep, or None.
    """

    name: str
    folder: Path
    frame: pd.DataFrame
    record: Mapping[str, Any] | None
    sweep: Sweep | None = None

    @classmethod
    def read(cls, folder: Path) -> "Swept":
        """The sweep of a folder, which may be missing.

        Raises:
            ConfigError: as ``Sweep``, but for a sweep that was not started.
        """
        if not (folder / "cells.json").exists():
            return cls(folder.name, folder, pd.DataFrame(columns=[*COLUMNS]), None)
        sweep = Sweep(folder)
        done = [record for record in sweep.records if record["status"] == OK]
        return cls(folder.name, folder, sweep.table().frame, done[0] if done else None, sweep)

    @property
    def run(self) -> bool:
        """Whether there is anything of it."""
        return not self.frame.empty

    @property
    def done(self) -> pd.DataFrame:
        """The cells that are done."""
        return self.frame[self.frame["status"] == OK]

    @property
    def data(self) -> str:
        """The data of its cells."""
        return ", ".join(map(str, self.frame["dataset"].unique()))


@dataclass(frozen=True)
class Table:
    """How one of a paper's tables is measured and laid out.

    Attributes:
        caption: What it shows.
        sweep: Which sweep measures it; empty: several.
        keys: The columns that name an entry; the last two are the row and the column where it is printed, and
            what is before them tells several squares apart.
        value: The measured column.
        slips: Which columns an erratum's ``row`` and ``column`` mean; empty: the last two keys.
        extra: Measured columns that are shown as they are.
    """

    caption: str
    sweep: str
    keys: tuple[str, ...]
    value: str
    slips: tuple[str, ...] = ()
    extra: tuple[str, ...] = ("single_draw_pct", "interval", "reason")

    def printed(self, paper: str, name: str) -> pd.DataFrame:
        """The printed table, with its errata, as ``published.table`` gives it."""
        return published.table(paper, name, *(self.slips or self.keys[-2:]))

    def beside(self, printed: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
        """The printed table and what was measured, as ``published.beside`` gives them."""
        return published.beside(printed, measured, self.keys, self.value, self.extra)


@dataclass(frozen=True)
class Paper:
    """What is one paper's own.

    Attributes:
        name: Of its folders in ``tables/`` and conf/experiment.
        preamble: The head of its page.
        sweeps: Each of its experiments, and what it is for.
        between: What separates what is said of two sweeps.
        tables: Its tables by name.
        on: How a caption names the data that was measured.
        names: What the paper calls an attack.
        measure: Everything measured.
        told: What is said of a sweep that was run.
        figure: A measured entry of a table, as it is shown; ``-`` where there is none.
        parts: The parts of a table whose order is compared with the printed one, and what they are parts by.
        part: The column that names such a part.
        claims: Its claims, in the words that fit what was measured.
        layout: Markdown of a table that is not laid out by its keys, by name.
        more: Adds to a page what else there is.
    """

    name: str
    preamble: str
    sweeps: Mapping[str, str]
    between: str
    tables: Mapping[str, Table]
    on: str
    measure: Callable[[Mapping[str, Swept], Reader], Findings]
    told: Callable[[Swept, Findings], str]
    figure: Callable[[str, Row], str]
    part: str
    parts: Callable[[str, pd.DataFrame], Iterable[tuple[str, pd.DataFrame]]]
    claims: Callable[[Findings], Sequence[Claim]]
    more: Callable[["Page", Mapping[str, Swept], Findings, Reader], None]
    names: Mapping[str, str] = field(default_factory=dict)
    layout: Mapping[str, Callable[[pd.DataFrame], str]] = field(default_factory=dict)

    def caption(self, table: str, findings: Findings) -> str:
        """What a table shows, and the data that it was measured on."""
        about = self.tables[table]
        data = findings.data.get(about.sweep)
        return about.caption + (self.on.format(data) if data else "")


class Page:
    """A page that grows, and the files that lie beside it.

    Args:
        folder: Where they go.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.written: list[Path] = []
        self.text: list[str] = []

    def say(self, *text: str) -> None:
        """Adds paragraphs; an empty one is none."""
        self.text += [t for t in text if t]

    def csv(self, name: str, frame: pd.DataFrame) -> None:
        """Writes a table beside the page."""
        path = self.file(f"{name}.csv")
        records.write_text(path, frame.to_csv(index=False))

    def file(self, name: str) -> Path:
        """The path of another file, which the caller writes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.written.append(self.folder / name)
        return self.written[-1]

    def close(self) -> list[Path]:
        """Writes the page, and gives all that was written."""
        records.write_text(self.file("README.md"), "\n\n".join(self.text) + "\n")
        return self.written


def write(paper: Paper, folder: Path, reader: Reader = STRANGER) -> list[Path]:
    """Writes every table, figure and verdict of a paper into ``folder/report``.

    Args:
        paper: Which.
        folder: Holds the sweeps' folders; those that are missing are said to be.
        reader: Whose code may run, and where data is.

    Returns:
        What was written.

    Raises:
        ConfigError: for a sweep that can't be read, or if none of the paper's was run.
    """
    if not any((folder / name / "cells.json").exists() for name in paper.sweeps):
        first = next(iter(paper.sweeps))
        raise ConfigError(f"{folder}: no sweep; run python -m bench.run -m +experiment={paper.name}/{first}")
    sweeps = {name: Swept.read(folder / name) for name in paper.sweeps}
    findings = paper.measure(sweeps, reader)
    page = Page(folder / "report")
    page.say(_heading(paper, sweeps, findings))
    for name, frame in findings.tables.items():
        page.csv(name, frame)
        title = f"Table {name[-1]}" if name[-1].isdigit() else f"The {name}"
        layout = paper.layout.get(name)
        page.say(
            f"## {title}: {paper.caption(name, findings)}",
            layout(frame) if layout else _squares(paper, name, frame),
            _notes(frame),
        )
    paper.more(page, sweeps, findings, reader)
    related, verdicts = correlations(paper, findings), judged(paper.claims(findings), findings)
    page.csv("correlations", related)
    page.csv("verdicts", verdicts)
    page.say("## Summary", _summary(related, verdicts))
    return page.close()


def entry(paper: Paper, table: str, row: Row) -> str:
    """An entry of a table: *published / measured*."""
    left: str = row["printed"] if pd.isna(row["published"]) else f"{row['published']:g}"
    right: str = "-" if pd.isna(row["measured"]) else paper.figure(table, row)
    return f"{left}{'*' if row['note'] else ''} / {right}"


def square(frame: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    """Entries of ``words`` as they are printed, rows and columns in the order of the frame."""
    table = frame.pivot(index=rows, columns=columns, values="words")
    order = [list(dict.fromkeys(frame[c])) for c in (rows, columns)]
    return table.reindex(index=order[0], columns=order[1]).fillna("")


def markdown(frame: pd.DataFrame) -> str:
    """A table of words in Markdown, its index first."""
    head = ["", *map(str, frame.columns)]
    rows = [[str(name), *map(str, row)] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return "\n".join(
        [
            "| " + " | ".join(head) + " |",
            "|---" * len(head) + "|",
            *("| " + " | ".join(r) + " |" for r in rows),
        ]
    )


def correlations(paper: Paper, findings: Findings) -> pd.DataFrame:
    """Spearman's rank correlation of each table's parts with the published ones."""
    rows = []
    for name, frame in findings.tables.items():
        for part, group in paper.parts(name, frame):
            rho, entries = ranks.rank_correlation(group["published"], group["measured"])
            rows.append({"table": name, paper.part: part, "spearman": rho, "entries": entries})
    return pd.DataFrame(rows)


def judged(claims: Sequence[Claim], findings: Findings) -> pd.DataFrame:
    """The verdicts on claims, one a row: on what was measured and, ``as_printed``, on the printed numbers.

    ``as_printed`` is empty where the sentence is about figures that aren't printed.
    """
    printed = findings.as_printed()
    rows = []
    for claim in claims:
        (verdict, evidence), (own, _) = claim.test(findings), claim.test(printed)
        as_printed = "" if own == NOT_MEASURED else own
        rows.append((claim.where, claim.sentence, as_printed, verdict, evidence))
    return pd.DataFrame(rows, columns=["where", "sentence", "as_printed", "verdict", "evidence"])


def _heading(paper: Paper, sweeps: Mapping[str, Swept], findings: Findings) -> str:
    said = [
        paper.told(swept, findings) if swept.record else f"- `{name}` ({paper.sweeps[name]}): not run"
        for name, swept in sweeps.items()
    ]
    return f"{paper.preamble}\n\n{paper.between.join(said)}"


def _squares(paper: Paper, name: str, frame: pd.DataFrame) -> str:
    """A table laid out by its keys, or one table for each value of what comes before the last two."""
    *by, rows, columns = paper.tables[name].keys
    frame = frame.assign(words=[entry(paper, name, row) for row in frame.to_dict("records")])
    if not by:
        table = square(frame, rows, columns)
        return markdown(table.set_axis(_labels(rows, table.index)).set_axis(_labels(columns, table), axis=1))
    parts = []
    for part, group in frame.groupby(*by, sort=False):
        of = f"(row: {rows.replace('_', ' ')}; column: {columns.replace('_', ' ')})"
        called = paper.names[str(part)]
        parts += [f"{called} {of}\n", markdown(square(group, rows, columns)) + "\n"]
    return "\n".join(parts)


def _labels(key: str, values: Iterable[Any]) -> list[str]:
    """Names as they are, numbers with the first word of what they are."""
    return [v if isinstance(v, str) else f"{key.partition('_')[0]} {v:g}" for v in values]


def _notes(frame: pd.DataFrame) -> str:
    """What is to be said of entries that are misprinted or missing, for the foot of a table."""
    named = list(itertools.takewhile(lambda c: c != "published", frame.columns))
    lines: dict[str, list[str]] = {}
    for row in frame[frame["note"] != ""].to_dict("records"):
        lines.setdefault(row["note"], []).append("/".join(str(row[c]) for c in named))
    return "\n".join(
        f"\\* {places[0] if len(places) == 1 else f'{len(places)} entries'}: {note}"
        for note, places in lines.items()
    )


def _summary(related: pd.DataFrame, verdicts: pd.DataFrame) -> str:
    shown = related[related["spearman"].notna()]
    part = related.columns[1]
    lines = [
        "Rank correlation (Spearman) of what was measured with what was published:",
        "",
        f"| table | {part} | Spearman | entries |\n|---|---|---|---|",
        *(
            f"| {r['table']} | {r[part]} | {r['spearman']:.2f} | {r['entries']} |"
            for r in shown.to_dict("records")
        ),
        "",
        "What the paper says, and whether it holds: in its own printed numbers, taken as they are, and",
        "here, judged by 95 % intervals. The evidence is what was measured. The intervals of differences",
        "take both sides as independent, though they are of the same images: too wide where these find the",
        "same images hard, so that a verdict errs towards *undecided*. *Not tested*: no figure of the tables",
        "can tell.",
        "",
        "| where | sentence, and its test | as printed | measured | evidence |\n|---|---|---|---|---|",
        *(
            f"| {v['where']} | {v['sentence']} | {v['as_printed']} | **{v['verdict']}** | {v['evidence']} |"
            for v in verdicts.to_dict("records")
        ),
    ]
    return "\n".join(lines)
