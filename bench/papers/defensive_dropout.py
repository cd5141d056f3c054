"""Tables 2 to 6 and Figures 3 to 5 of "Defensive Dropout for Hardening Deep Neural Networks ...".

Here belongs what that paper shows, and what of its sweeps' records is set beside it; its sentences are in
``defensive_dropout_claims``. After ``python -m bench.run -m +experiment=defensive_dropout/NAME`` for each
NAME of ``SWEEPS``:

    python -m bench paper defensive_dropout outputs/defensive_dropout

writes ``outputs/defensive_dropout/report/``, from those sweeps that are there, with the gradients, the
game, and the searches of Algorithm 1 that are kept in folders named ``search_*`` beside them.
"""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from bench.analysis import figures, game, gradients
from bench.checks import ConfigError
from bench.command import moved
from bench.measuring.intervals import Estimate, difference
from bench.papers import report
from bench.papers.claims import words
from bench.papers.defensive_dropout_claims import CITED, CURVES, MAX_LOSS_PCT, all_claims
from bench.papers.published import ENDS, Findings, estimate_of
from bench.papers.report import Page, Paper, Row, Swept, Table
from bench.reader import Reader
from bench.results import files as records
from bench.results.store import OK
from bench.results.sweep import Sweep

SWEEPS = {
    "mnist_fgsm": "Table 4",
    "mnist_jsma": "Table 5",
    "mnist_cw": "Table 6 and Fig. 3",
    "cifar10_sap": "Table 2",
    "cifar10_fgsm": "Table 3",
    "cifar10_cw": "Fig. 5, and with Table 2 Fig. 4",
    "defences": "the defences",
    "trainings": "the defences that are ways of training",
    "mnist_game": "the game",
}
_RATES = ("train_rate", "test_rate")
_CLAIMED = ("claimed_success_pct",)
TABLES = {
    "table2": Table(
        "test accuracy, attack success and L2 of C&W against SAP",
        "cifar10_sap", ("quantity", "train_rate"), "value", extra=_CLAIMED,
    ),
    "table3": Table("attack success against FGSM", "cifar10_fgsm", _RATES, "value", extra=_CLAIMED),
    "table4": Table("attack success against FGSM", "mnist_fgsm", _RATES, "value", extra=_CLAIMED),
    "table5": Table("attack success against JSMA", "mnist_jsma", _RATES, "value", extra=_CLAIMED),
    "table6": Table("attack success against C&W", "mnist_cw", _RATES, "value", extra=_CLAIMED),
    "text": Table(
        "figures that only the text gives",
        "", ("data", "attack", *_RATES, "quantity"), "value", ("data", "attack"), (*_CLAIMED, "measured_on"),
    ),
}  # fmt: skip
QUANTITIES = {
    "accuracy_pct": "clean_accuracy_pct",
    "success_pct": "fresh_success_pct",
    "l2": "l2_mean",
}
"""What the paper calls it, and the column of ``results.csv`` that measures it."""
OF_TEXT = ("cifar10_fgsm", "mnist_fgsm", "mnist_jsma", "mnist_cw", "cifar10_cw")
"""The sweeps whose figures the text gives."""
DEFENCES = ("none", *CITED, "sap", "resize_pad", "defensive_dropout")
"""Rows of the table of defences, in its order; others follow."""
WAYS = {"adversarial": "adversarial_training"}
"""What the table calls a way of training, where it isn't the way's own name."""
INFERRED = "the paper doesn't print the rates at which this holds; no defence is inferred"
PREAMBLE = """\
# Defensive dropout: published and measured

Every entry reads *published / measured [95 % interval]*, what is published being of the
paper's own data and size. Success, in %, is measured on fresh draws of each adversarial image;
what the attack claims on the draws that it saw is beside it in the CSV. Intervals are between
images: the nine targets of one image are not independent."""


def cells(swept: Swept) -> pd.DataFrame:
    """The cells of a sweep with every column that a report asks for; those that are missing are empty."""
    wanted = [f"{c}{end}" for c in (*QUANTITIES.values(), *_CLAIMED) for end in ENDS]
    columns = list(dict.fromkeys([*swept.frame.columns, *report.COLUMNS, *wanted]))
    return swept.frame.reindex(columns=columns)


def done(swept: Swept) -> pd.DataFrame:
    """Those of them that are done."""
    frame = cells(swept)
    return frame[frame["status"] == OK]


def measured(frame: pd.DataFrame, data: str) -> pd.DataFrame:
    """One row a cell and quantity: ``data``, ``attack``, both rates, ``quantity``, ``value`` and its bounds.

    Besides the quantities of ``QUANTITIES`` there is ``accuracy_loss_pct``, against test rate 0 of the
    same network, in points; and, without an attack or a training rate, the best accuracy of all.
    """
    rows = []

    def add(attack: str, train: float, test: float, quantity: str, value: Estimate, claimed: float) -> None:
        rows.append((data, attack, train, test, quantity, *value, claimed))

    for row in frame.to_dict("records"):
        where = (row["attack"], row["train_rate"], row["test_rate"])
        for quantity, column in QUANTITIES.items():
            claimed = row["claimed_success_pct"] if quantity == "success_pct" else math.nan
            add(*where, quantity, estimate_of(row, column), claimed)
        same = frame[(frame["attack"] == row["attack"]) & (frame["train_rate"] == row["train_rate"])]
        for without in same[same["test_rate"] == 0].to_dict("records"):
            loss = difference(*(estimate_of(r, "clean_accuracy_pct") for r in (without, row)))
            add(*where, "accuracy_loss_pct", loss, math.nan)
    bare = frame[frame["test_rate"] == 0]
    if len(bare):
        best = bare.sort_values("clean_accuracy_pct").iloc[-1]
        add("", math.nan, 0.0, "accuracy_pct", estimate_of(best, "clean_accuracy_pct"), math.nan)
    names = ["data", "attack", "train_rate", "test_rate", "quantity", *(f"value{end}" for end in ENDS)]
    found = pd.DataFrame(rows, columns=[*names, "claimed_success_pct"])
    return found.astype({"train_rate": float, "test_rate": float})


def defence(row: Row) -> str:
    """What a cell defends by: its way of training, its scheme, or both."""
    # a table without ways of training is of the plain one
    way = row.get("training")
    way = "standard" if way is None or pd.isna(way) else str(way)
    parts = [
        WAYS.get(way, way) if way != "standard" else "",
        "" if row["scheme"] == "none" else row["scheme"],
    ]
    return ", ".join(filter(None, parts)) or "none"


def measure(sweeps: Mapping[str, Swept], reader: Reader) -> Findings:
    """The paper's tables, and what else its sentences are about.

    As ``frames``: each sweep's finished cells; each figure's cells, finished or not; the ``defences``, of
    both sweeps; the ``gradients``; and the ``losses`` of accuracy.
    """
    frames = {name: done(swept) for name, swept in sweeps.items()}
    of = {name: measured(frame, name.partition("_")[0]).assign(sweep=name) for name, frame in frames.items()}
    losses = pd.concat([of[name] for name in OF_TEXT])
    frames["losses"] = losses[losses["quantity"] == "accuracy_loss_pct"]
    frames |= {figure: cells(sweeps[name]) for figure, name in CURVES.items()}
    both = pd.concat([f for f in (frames["defences"], frames["trainings"]) if len(f)] or [frames["defences"]])
    named = [defence(row) for row in both.to_dict("records")]
    order = list(dict.fromkeys([*DEFENCES, *named]))
    both = both.assign(defence=named).sort_values("defence", key=lambda c: c.map(order.index), kind="stable")
    # no defence at all may be in both sweeps
    frames["defences"] = both.drop_duplicates(["defence", "attack"])
    drawn = [sweeps[name].folder for name in ("cifar10_cw", "cifar10_sap") if sweeps[name].run]
    frames["gradients"] = gradients.table(drawn, reader=reader) if drawn else pd.DataFrame()

    tables = {}
    for name, table in TABLES.items():
        printed = table.printed(PAPER.name, name)
        for rate in {*_RATES} & {*printed}:
            printed[rate] = pd.to_numeric(printed[rate])
        if name == "text":
            printed.loc[printed["rates"] == "inferred", "note"] = INFERRED
            found = pd.concat([of[s].assign(measured_on=sweeps[s].data) for s in OF_TEXT])
            # the best accuracy is the same whatever attacked the network
            found = found.sort_values("value", ascending=False).drop_duplicates([*table.keys])
        else:
            found = of[table.sweep]
            if "quantity" not in table.keys:
                found = found[found["quantity"] == "success_pct"]
        tables[name] = table.beside(printed, found)
    return Findings(tables, frames, {name: swept.data for name, swept in sweeps.items()})


def _told(swept: Swept, findings: Findings) -> str:
    record, frame = swept.record or {}, swept.done
    training, best = record["config"]["training"], frame["clean_accuracy_no_scheme_pct"].max()
    return (
        f"- `{swept.name}` ({SWEEPS[swept.name]}): {record['config']['dataset']['name']}, "
        f"{training['epochs']} epochs in batches of {training['batch_size']}, "
        f"accuracy up to {best:.2f} %, n = {frame['images'].max():.0f} images x "
        f"{record['images']['targets_each']} targets, "
        f"{frame['fresh_draws'].max():.0f} fresh draws, {len(frame)} of {len(swept.frame)} cells, "
        f"attacks {frame['attack_seconds'].sum() / 60:.1f} min; {record['device']}, "
        f"torch {record['versions']['torch']}, revision {record['git_revision']}"
    )


def _parts(table: str, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if "quantity" not in frame:
        yield "success_pct", frame
    elif table != "text":
        yield from ((str(quantity), group) for quantity, group in frame.groupby("quantity"))


def _figure(table: str, row: Row) -> str:
    return words(estimate_of(row, "measured"), ".3f" if row.get("quantity") == "l2" else ".1f")


def _text(frame: pd.DataFrame) -> str:
    rows = [
        f"| {r['where']} | {r['data']} | {'-' if pd.isna(r['measured_on']) else r['measured_on']} | "
        f"{r['attack']} | {r['train_rate']:g} | {r['test_rate']:g} | {r['quantity']} | "
        f"{report.entry(PAPER, 'text', r)} |"
        for r in frame.to_dict("records")
    ]
    head = (
        "| section | published on | measured on | attack | train rate | test rate | quantity | |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows]).replace("| nan |", "| best |")


def _more(page: Page, sweeps: Mapping[str, Swept], findings: Findings, reader: Reader) -> None:
    for name, sweep in CURVES.items():
        frame = findings.frames[sweep]
        if len(frame):
            page.csv(name, frame)
            heading = f"Fig. {name[-1]}: C&W on {frame['dataset'].iloc[0]}"
            title = f"{heading}, n = {frame['images'].max():.0f}"
            figures.curves(frame, page.file(f"{name}.png"), title)
            page.say(f"## {heading}", f"![{title}]({name}.png)")
    drawn = [sweeps[name].folder for name in ("cifar10_cw", "cifar10_sap") if sweeps[name].run]
    if drawn:
        page.written += gradients.write(drawn, page.folder, reader=reader)[1]
        page.say(
            "## Fig. 4: the attacker's gradient, draw by draw",
            "![gradients at five values of one image](gradients.png)",
            "![variance of the gradients against success](gradient_variance.png)",
        )
    # the searches are beside the sweeps
    for trace in sorted(page.folder.parent.glob("search_*/result.json")):
        page.say("## Algorithm 1: " + trace.parent.name.removeprefix("search_"), *_search(trace.parent, page))
    if sweeps["mnist_game"].run:
        page.say("## The game", *_game(sweeps["mnist_game"], page))
    defences = findings.frames["defences"]
    if len(defences):
        page.csv("defences", defences.drop(columns="defence"))
        page.say("## The defences that the paper only cites", _defences(defences))


def _search(trace: Path, page: Page) -> list[str]:
    """The answer of a search, its trace and its picture, which is copied; nothing of a damaged one."""
    name = trace.name
    try:
        result = records.read_document(trace / "result.json", "search")
        frame = Sweep(trace).table().frame
        page.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trace / "trace.png", page.folder / f"{name}.png")
    except (records.Unreadable, ConfigError, OSError) as error:
        records.log.warning("%s is left out: %s", trace, " ".join(str(error).split()))
        return ["It is left out: something of it can't be read."]
    assert result is not None
    page.written.append(page.folder / f"{name}.png")
    page.csv(name, frame)
    shown = frame.set_index("test_rate")[
        ["clean_accuracy_pct", "claimed_success_pct", "fresh_success_pct", "l2_mean"]
    ]
    candidates = ", ".join(f"{c['train_rate']:g} ({c['accuracy_pct']:.2f} %)" for c in result["candidates"])
    return [
        f"Of r = {candidates} it takes r = {result['train_rate']:g}; the largest r' that costs less than "
        f"{result['max_loss']:g} points is **{result['test_rate']:g}** (steps of {result['step']:g}). "
        f"Attack success on fresh draws: {result['undefended']['fresh_success_pct']:.1f} % undefended, "
        f"{result['fresh_success_pct']:.1f} % at r'.",
        report.markdown(shown.map(lambda v: "-" if math.isnan(v) else f"{v:.2f}")),
        f"![trace]({name}.png)",
    ]


def _game(swept: Swept, page: Page) -> list[str]:
    """The game without and with a limit on what the defence may cost; a picture of the first."""
    text, answers = [], []
    assert swept.sweep is not None
    table = swept.sweep.table()
    for max_loss in (None, MAX_LOSS_PCT["mnist"]):
        allowed = "whatever it costs" if max_loss is None else f"less than {max_loss:g} points of accuracy"
        for one in game.games(table, max_loss):
            if one.payoffs.size:
                equilibrium, pairs = game.answer(one)
                answers.append(({**equilibrium, "max_loss": max_loss}, pairs.assign(max_loss=max_loss)))
                text.append(f"{one}; {allowed}:\n\n```text\n{game.printed(equilibrium, pairs)}\n```")
    if answers:
        page.csv("game", pd.concat([p for _, p in answers]))
        records.write_text(
            page.file("equilibrium.json"),
            json.dumps([e for e, _ in answers], indent=1, default=lambda value: value.item()) + "\n",
        )
        drawn = figures.games(answers[:1], page.folder)
        page.written += drawn
        text += [f"![payoffs and mixes]({path.name})" for path in drawn]
    return text


def _defences(frame: pd.DataFrame) -> str:
    def entry(row: Row) -> str:
        claimed = row["claimed_success_pct"]
        # of no success there is no distance
        moved = f", L2 {row['l2_mean']:.2f}" if claimed > 0 else ""
        return f"{words(estimate_of(row, 'fresh_success_pct'))} ({claimed:.0f} claimed{moved})"

    frame = frame.assign(words=[entry(row) for row in frame.to_dict("records")])
    square = report.square(frame, "defence", "attack")
    accuracy = frame.groupby("defence")["clean_accuracy_pct"].first()
    square.insert(0, "test accuracy, %", [f"{accuracy[s]:.2f}" for s in square.index])
    return "Success on fresh draws, %, all of it measured here:\n\n" + report.markdown(square)


PAPER = Paper(
    name="defensive_dropout",
    preamble=PREAMBLE,
    sweeps=SWEEPS,
    between="\n",
    tables=TABLES,
    on=" on {}",
    measure=measure,
    told=_told,
    figure=_figure,
    part="quantity",
    parts=_parts,
    claims=lambda findings: list(all_claims(findings)),
    layout={"text": _text},
    more=_more,
)


if __name__ == "__main__":
    moved("bench.papers.defensive_dropout", "paper defensive_dropout")
