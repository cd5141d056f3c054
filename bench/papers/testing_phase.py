"""Tables 1 to 5 and Figures 2 and 3 of "Dropout in Testing Phase Makes Adversarial Samples ...".

Here belongs what that paper says and how its sentences are tested, from the records of its two
sweeps. After ``python -m bench.run -m +experiment=testing_phase/targeted`` and ``.../top3``:

    python -m bench paper testing_phase outputs/testing_phase

writes ``outputs/testing_phase/report/``.
"""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bench.analysis import accuracy, figures, transfer
from bench.checks import ConfigError
from bench.command import moved
from bench.papers import pictures
from bench.papers.published import MEAN, Findings, with_means
from bench.papers.report import Page, Paper, Swept, Table
from bench.papers.testing_phase_claims import ATTACKS, CLAIMS, NAMES, RECOGNITION, SCHEMES
from bench.reader import Reader
from bench.results import files as records
from bench.results.store import OK

MADS = {"table2": "targeted", "table4": "top3"}
_MAD_KEYS = ("attack", "scheme")
_SQUARE = ("recognised_by", "generated_under")
TABLES = {
    "table1": Table(
        "accuracy for each dropout scheme, %", "targeted", ("data_set", "scheme"), "accuracy_pct",
    ),
    "table2": Table(
        "mean absolute difference between target adversarial and original samples (0-255)",
        "targeted", _MAD_KEYS, "mad_255_mean",
    ),
    "table3": Table(
        "cross recognition accuracy on target adversarial samples, %",
        "targeted", ("attack", *_SQUARE), "accuracy_pct",
    ),
    "table4": Table(
        "mean absolute difference between top-3 adversarial and original samples (0-255)",
        "top3", _MAD_KEYS, "mad_255_mean",
    ),
    "table5": Table(
        "cross recognition accuracy on top-3 adversarial samples, %",
        "top3", ("attack", *_SQUARE), "accuracy_pct",
    ),
}  # fmt: skip
PREAMBLE = """\
# Dropout in testing phase: published and measured

Every entry reads *published / measured*. Measured values are means over fresh draws; their
95 % intervals, and the figure of a single draw, are in the CSV beside this page. The intervals of
the means over attacks or schemes are the bound of full dependence, since the cells are of the
same images: each half-width is the mean of the cells'. The means of Tables 3 and 5 hold none/none,
as the paper's do, which is 0 by construction; sentences on more dropout are judged by means over
the others alone."""


def mad_table(frame: pd.DataFrame, attacks: Sequence[str]) -> pd.DataFrame:
    """Tables 2 and 4: mean absolute difference by attack and scheme, with the means at the edges.

    Args:
        frame: As ``Table.frame`` has it.
        attacks: Its rows.
    """
    return with_means(frame[frame["status"] == OK], {"attack": attacks, "scheme": SCHEMES}, "mad_255_mean")


def recognition_table(pairs: pd.DataFrame, attacks: Sequence[str]) -> pd.DataFrame:
    """Tables 3 and 5: accuracy of each scheme on each scheme's samples, with the means at the edges.

    The means are the paper's, of all five entries, none/none among them.

    Args:
        pairs: As ``transfer.table`` gives them.
        attacks: Whose samples.
    """
    # a sweep without a single pair has no such columns
    pairs = pairs.reindex(columns=[*pairs, *({"attack", *_SQUARE} - {*pairs})])
    keys = dict.fromkeys(_SQUARE, SCHEMES)
    parts = [
        with_means(pairs[pairs["attack"] == attack], keys, "accuracy_pct", ("single_draw_pct",)).assign(
            attack=attack
        )
        for attack in attacks
    ]
    return pd.concat(parts, ignore_index=True)


def measure(sweeps: Mapping[str, Swept], reader: Reader) -> Findings:
    """All five tables, from the sweeps ``targeted`` and ``top3``; as ``frames`` each sweep's pairs."""
    pairs = {s: transfer.table(w.folder, reader) if w.run else pd.DataFrame() for s, w in sweeps.items()}
    first = sweeps["targeted"]
    found = {
        "table1": accuracy.table(first.folder, reader)
        if first.run
        else pd.DataFrame(columns=[*TABLES["table1"].keys, *accuracy.COLUMNS])
    }
    found |= {name: mad_table(sweeps[s].frame, ATTACKS[s]) for name, s in MADS.items()}
    found |= {name: recognition_table(pairs[s], ATTACKS[s]) for name, s in RECOGNITION.items()}
    tables = {
        name: table.beside(table.printed(PAPER.name, name), found[name]) for name, table in TABLES.items()
    }
    return Findings(tables, pairs, {name: swept.data for name, swept in sweeps.items()})


def _told(swept: Swept, findings: Findings) -> str:
    record, done = swept.record or {}, swept.done
    config = record["config"]
    wanted = config["samples"]
    looks = findings.frames[swept.name].get("seconds", pd.Series(dtype=float)).sum()
    seconds = done.groupby("attack", sort=False)["attack_seconds"].sum()
    lines = [
        f"`{swept.name}`: {swept.data}, {config['training']['epochs']} epochs, "
        f"{wanted} successes a cell, {len(done)} of {len(swept.frame)} cells done, "
        f"{config['evaluation']['draws']} fresh draws; on {record['device']}, "
        f"threads a cell: {config['threads']}; "
        f"torch {record['versions']['torch']}, foolbox {record['versions']['foolbox']}, "
        f"revision {record['git_revision']}.",
        "",
        f"Where the time went: training {record['seconds']['training'] / 60:.1f} min; attacks "
        + ", ".join(f"{NAMES[str(a)]} {t / 60:.1f} min" for a, t in seconds.items())
        + f"; all of the cells, evaluation included, and training where it was a cell of this sweep "
        f"that trained, {done['total_seconds'].sum() / 60:.1f} min; "
        f"cross recognition {looks / 60:.1f} min.",
    ]
    for row in done.to_dict("records"):
        found = round(row["claimed_success_pct"] * row["images"] / 100)
        if found < wanted:
            lines.append(
                f"- {row['attack']} under {row['scheme']}: only {found} successes among the "
                f"{row['images']:.0f} test images that the network gets right"
            )
    return "\n".join(lines)


def _parts(table: str, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All of a table and each attack's, means left out."""
    inner = frame[~(frame[list(TABLES[table].keys)] == MEAN).any(axis=1)]
    yield "all", inner
    if "attack" in frame:
        yield from ((str(attack), group) for attack, group in inner.groupby("attack", sort=False))


def _pictures(page: Page, sweeps: Mapping[str, Swept], findings: Findings, reader: Reader) -> None:
    for name, frame in findings.tables.items():
        *by, rows, columns = TABLES[name].keys
        on = f"measured on {findings.data[TABLES[name].sweep]}"
        if by:
            for attack, group in frame.groupby("attack", sort=False):
                title = f"Table {name[-1]}, {NAMES[str(attack)]}: accuracy on adversarial samples, %; {on}"
                pictures.pair(page, f"{name}_{attack}", group, (rows, columns), title, SCHEMES)
        else:
            title = f"Table {name[-1]}: {SHORT.get(name, 'mean absolute difference (0-255)')}; {on}"
            pictures.pair(page, name, frame, (rows, columns), title, SCHEMES, whole=name not in SHORT)
    called = {"none": "no dropout", "all": "all"}
    for number, (sweep, attacks) in zip((2, 3), ATTACKS.items(), strict=True):
        try:
            grid = pictures.fooled(sweeps[sweep], {a: NAMES[a] for a in attacks}, called, reader=reader)
        except (ConfigError, records.Unreadable) as error:
            records.log.warning("Figure %d is left out: %s", number, " ".join(str(error).split()))
            continue
        if grid is not None:
            figures.samples(grid, sweep == "targeted", page.file(f"figure{number}.png"))


SHORT = {"table1": "accuracy under each scheme, %"}

PAPER = Paper(
    name="testing_phase",
    preamble=PREAMBLE,
    sweeps={"targeted": "Tables 1 to 3 and Fig. 2", "top3": "Tables 4 and 5 and Fig. 3"},
    between="\n\n",
    tables=TABLES,
    on="; measured on {}",
    names=NAMES,
    measure=measure,
    told=_told,
    figure=lambda table, row: f"{row['measured']:.{2 if table == 'table1' else 1}f}",
    part="attack",
    parts=_parts,
    claims=lambda findings: CLAIMS,
    more=_pictures,
)


if __name__ == "__main__":
    moved("bench.papers.testing_phase", "paper testing_phase")
