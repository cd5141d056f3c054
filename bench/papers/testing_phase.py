"""Tables 1 to 5 and Figures 2 and 3 of "Dropout in Testing Phase Makes Adversarial Samples ...".

Here belongs what that paper says and how its sentences are tested, from the records of its two
sweeps. After ``python -m bench.run -m +experiment=testing_phase/targeted`` and ``.../top3``:

    python -m bench.papers.testing_phase outputs/testing_phase

writes ``outputs/testing_phase/report/``.
"""

import copy
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench import aggregate, cell, evaluation, fingerprint, records, schemes, transfer
from bench.analysis import figures
from bench.command import Parser, guarded
from bench.config import STRANGER, ConfigError, Reader
from bench.datasets import unit
from bench.measure import intervals, ranks
from bench.measure.intervals import NOTHING, Estimate, difference, mean_of
from bench.papers import published
from bench.papers.published import Verdict, beside, combined, ordered, small, words
from bench.results.store import OK

PAPER = "testing_phase"
SCHEMES = ("none", "input", "feature", "fc", "all")
SWEEPS = {"targeted": ("lbfgs", "fgsm", "jsma"), "top3": ("lbfgs", "fgsm", "jsma", "deepfool")}
TABLE_OF = {"targeted": ("table2", "table3"), "top3": ("table4", "table5")}
GOAL = {"targeted": "target", "top3": "top-3"}
NAMES = {"lbfgs": "L-BFGS", "fgsm": "FGSM", "jsma": "JSMA", "deepfool": "DeepFool"}
# more dropout: each step adds a site, or all of them at once
STEPS = (
    ("none", "all"), ("none", "input"), ("none", "feature"), ("none", "fc"),
    ("input", "all"), ("feature", "all"), ("fc", "all"),
)  # fmt: skip
TINY_LOSS_PCT = 1.0
"""Accuracy that conclusion (1) calls tiny; the paper loses 0.51 points at most."""
TREND_PCT = 20.0
"""Change of a MAD, in % of that without dropout, that is no obvious trend: of the figures in Table 4 that the
paper says have none, the largest change is 19.4 % (FGSM under feature)."""
OWN_SAMPLES = (
    "none gets all of its own samples wrong by construction: what it is compared with has to be another "
    "network without dropout, or noise of equal size, and was not measured"
)
"""Why nothing can be compared with the entry none/none of a recognition table."""


def accuracies(results: Path, reader: Reader = STRANGER) -> pd.DataFrame:
    """Table 1: accuracy on training and test set under each scheme, one draw for each image.

    Args:
        results: A sweep's folder.
        reader: Whose code may run, and where data is.

    Returns:
        Columns ``data_set``, ``scheme``, ``accuracy_pct`` with ``_low`` and ``_high``, ``images``; no rows,
        which is logged, of a network that can't be restored.
    """
    frame = aggregate.table(results)
    store = aggregate.store_of(results)
    rows = []
    for scheme, group in frame[frame["status"] == OK].groupby("scheme", sort=False):
        record = store.read(group["key"].iloc[0])
        assert record is not None
        try:
            cell.check_alike(record, reader)
            decides = {name: record[name] for name in ("checkpoint", "test_rates", "data", "read")}
            decides |= {"code": fingerprint.code(evaluation, schemes), "versions": fingerprint.versions()}
            decides["operation"] = record["config"]["scheme"]["operation"]
            decides["how"] = [record["config"][name] for name in ("seed", "batch_size", "threads")]
            make = functools.partial(_accuracy, record, store, reader)
            found = store.remember("accuracy", decides, make)
        except (ConfigError, records.Unreadable) as error:
            records.log.warning("Table 1, %s: %s", scheme, " ".join(str(error).split()))
            continue
        rows += [{"data_set": data_set, "scheme": scheme, **figures_} for data_set, figures_ in found.items()]
    return pd.DataFrame(rows, columns=["data_set", "scheme", *ACCURACY, "images"])


ACCURACY = ("accuracy_pct", "accuracy_pct_low", "accuracy_pct_high")


def _accuracy(record: Mapping[str, Any], store: records.Store, reader: Reader) -> dict[str, dict[str, float]]:
    network = cell.restore(record, store, reader)
    data = cell.dataset(network.config)
    if data.fingerprint != record["data"]["fingerprint"]:
        raise ConfigError(
            f"dataset={network.config.dataset.name}: not the data that the record was made with"
        )
    torch.set_num_threads(network.config.threads)
    found = {}
    for name, images, labels in (
        ("training", data.x_train, data.y_train),
        ("testing", data.x_test, data.y_test),
    ):
        seed = fingerprint.derive_seed(record["config"]["seed"], f"accuracy {name}")
        schemes.install(network.model, network.rates, torch.Generator(network.device).manual_seed(seed))
        inputs, truth = (torch.from_numpy(a).to(network.device) for a in (images, labels))
        right = evaluation.correct(network.model, inputs, truth, network.config.batch_size)
        estimate = (100 * v for v in intervals.estimate(right.astype(float)))
        found[name] = {**dict(zip(ACCURACY, estimate, strict=True)), "images": len(right)}
    return found


def mad_table(results: Path, attacks: Sequence[str]) -> pd.DataFrame:
    """Tables 2 and 4: mean absolute difference by attack and scheme, with the means at the edges.

    ``interval`` says how the bounds were made: cells of one table are of the same images, which a mean
    over cells has to allow for. A mean over a missing cell is NaN.
    """
    frame = aggregate.table(results)
    names = ["mad_255_mean", "mad_255_mean_low", "mad_255_mean_high"]
    cells = {
        (r["attack"], r["scheme"]): Estimate(*(r.get(n, math.nan) for n in names))
        for r in frame.to_dict("records")
        if r["status"] == OK
    }
    rows = [(a, s, cells.get((a, s), NOTHING)) for a in attacks for s in SCHEMES]
    inner = list(rows)
    rows += [(attack, "mean", mean_of([e for a, _, e in inner if a == attack])) for attack in attacks]
    rows += [("mean", scheme, mean_of([e for _, s, e in inner if s == scheme])) for scheme in SCHEMES]
    return pd.DataFrame(
        [
            {"attack": a, "scheme": s, **dict(zip(names, e, strict=True)), "interval": _interval(a, s)}
            for a, s, e in rows
        ]
    )


def _interval(*entry: str) -> str:
    return intervals.FULL_DEPENDENCE if "mean" in entry else "between images"


def recognition_table(results: Path, attacks: Sequence[str], reader: Reader = STRANGER) -> pd.DataFrame:
    """Tables 3 and 5: accuracy of each scheme on each scheme's samples, with the means at the edges.

    The means are the paper's, of all five entries, none/none among them, and NaN over a missing one.
    ``interval`` as in ``mad_table``.
    """
    names = ["accuracy_pct", "accuracy_pct_low", "accuracy_pct_high"]
    keys = ["attack", "recognised_by", "generated_under"]
    # a sweep without a single pair has no such columns
    pairs = transfer.table(results, reader).reindex(columns=[*keys, *names, "single_draw_pct"])
    rows = []
    for attack in attacks:
        entries = pairs[pairs["attack"] == attack].to_dict("records")
        rows += [{**e, "interval": _interval(e["recognised_by"], e["generated_under"])} for e in entries]
        for along, edge in (("recognised_by", "generated_under"), ("generated_under", "recognised_by")):
            for scheme in SCHEMES:
                of = {e[edge]: e for e in entries if e[along] == scheme}
                there = [of[other] for other in SCHEMES if other in of]
                whole = len(there) == len(SCHEMES)
                mean = mean_of([Estimate(*(e[n] for n in names)) for e in there]) if whole else NOTHING
                rows.append(
                    {
                        "attack": attack,
                        along: scheme,
                        edge: "mean",
                        **dict(zip(names, mean, strict=True)),
                        "single_draw_pct": np.mean([e["single_draw_pct"] for e in there])
                        if whole
                        else math.nan,
                        "interval": _interval("mean"),
                    }
                )
    return pd.DataFrame(rows)


def _data(results: Path) -> str:
    """The data of a sweep's cells."""
    return ", ".join(map(str, aggregate.table(results)["dataset"].unique()))


class Findings:
    """Everything measured, and the paper's sentences judged by it.

    Args:
        folder: Holds the sweeps' folders ``targeted`` and ``top3``.
        reader: Whose code may run, and where data is.

    Attributes:
        tables: Each of the paper's tables, published beside measured.
        data: For each of them the data that it was measured on.
    """

    def __init__(self, folder: Path, reader: Reader = STRANGER):
        self.tables: dict[str, pd.DataFrame] = {}
        self.data = {"table1": _data(folder / "targeted")}
        first = folder / "targeted"
        reference = published.table(PAPER, "table1", "data_set", "scheme")
        found = accuracies(first, reader)
        self.tables["table1"] = beside(reference, found, ["data_set", "scheme"], "accuracy_pct")
        for sweep, attacks in SWEEPS.items():
            mad, recognition = TABLE_OF[sweep]
            self.data[mad] = self.data[recognition] = _data(folder / sweep)
            self.tables[mad] = beside(
                published.table(PAPER, mad, "attack", "scheme"),
                mad_table(folder / sweep, attacks),
                ["attack", "scheme"],
                "mad_255_mean",
            )
            keys = ["attack", "recognised_by", "generated_under"]
            self.tables[recognition] = beside(
                published.table(PAPER, recognition, "recognised_by", "generated_under"),
                recognition_table(folder / sweep, attacks, reader),
                keys,
                "accuracy_pct",
            )

    def as_printed(self) -> "Findings":
        """The paper's own numbers in the place of the measured ones; they have no intervals."""
        printed = copy.copy(self)
        printed.tables = {
            name: frame.assign(**{f"measured{end}": frame["published"] for end in ("", "_low", "_high")})
            for name, frame in self.tables.items()
        }
        return printed

    def value(self, table: str, **entry: str) -> Estimate:
        """One measured entry of a table."""
        frame = self.tables[table]
        for key, wanted in entry.items():
            frame = frame[frame[key] == wanted]
        mean, low, high = frame[["measured", "measured_low", "measured_high"]].iloc[0]
        return Estimate(mean, low, high)

    def correlations(self) -> pd.DataFrame:
        """Spearman's rank correlation of each table with the published one, means left out."""
        rows = []
        for name, frame in self.tables.items():
            edges = [c for c in ("attack", "scheme", "recognised_by", "generated_under") if c in frame]
            inner = frame[~(frame[edges] == "mean").any(axis=1)]
            parts = [("all", inner)]
            if "attack" in frame:
                parts += [(str(a), g) for a, g in inner.groupby("attack", sort=False)]
            for attack, part in parts:
                rho, entries = ranks.rank_correlation(part["published"], part["measured"])
                rows.append({"table": name, "attack": attack, "spearman": rho, "entries": entries})
        return pd.DataFrame(rows)

    def more_dropout(
        self, table: str, attack: str, *, mean_over: str = "", falls: bool = False
    ) -> tuple[str, str]:
        """Whether a figure grows (or ``falls``) with dropout, as ``published.ordered`` judges it.

        From no dropout to all of it decides; adding one site, or the others to one, may not go the
        other way. ``mean_over`` says along which key of a recognition table the means are taken. They
        leave out that key's ``none``, so that none/none, 0 by construction, is in no mean, and all
        means are of the same schemes.
        """
        values = {}
        for scheme in SCHEMES:
            if mean_over:
                key = "generated_under" if mean_over == "recognised_by" else "recognised_by"
                others = [{mean_over: other, key: scheme} for other in SCHEMES[1:]]
                values[scheme] = mean_of([self.value(table, attack=attack, **entry) for entry in others])
            else:
                values[scheme] = self.value(table, attack=attack, scheme=scheme)
        steps = [(b, a) if falls else (a, b) for a, b in STEPS]
        return ordered([(a, values[a], b, values[b]) for a, b in steps])

    def _no_trend(self, table: str, attack: str) -> tuple[str, str]:
        """Whether no scheme's MAD is further than ``TREND_PCT`` from that without dropout, from intervals.

        It does not hold where the MAD grows or falls with dropout, however little.
        """
        changes = {s: self._relative_change(table, attack, s) for s in SCHEMES[1:]}
        alike = combined([small(change, TREND_PCT) for change in changes.values()])
        trends = [self.more_dropout(table, attack, falls=falls)[0] for falls in (False, True)]
        verdict = "does not hold" if "holds" in trends else alike
        return verdict, "" if verdict == "not measured" else "; ".join(
            f"{s} {_pct(change)}" for s, change in changes.items()
        )

    def verdicts(self) -> list[Verdict]:
        """The paper's conclusions (1) to (3), and every sentence of section 4 on more dropout, tested."""
        found: list[Verdict] = []

        def add(where: str, sentence: str, verdict: str, evidence: str) -> None:
            found.append(Verdict(where, sentence, verdict, evidence))

        for attack in ("lbfgs", "fgsm"):
            add(
                "4.2, Table 2",
                f"more dropout makes target samples harder to generate for {NAMES[attack]} (MAD grows)",
                *self.more_dropout("table2", attack),
            )
        change = self._relative_change("table2", "jsma")
        others = [self._relative_change("table2", a) for a in ("lbfgs", "fgsm")]
        there = all(map(published.measured, (change, *others)))
        add(
            "4.2, Table 2",
            "JSMA is less affected (its MAD changes from none to all by less than L-BFGS's and FGSM's)",
            small(change, min(abs(other.mean) for other in others)) if there else "not measured",
            f"JSMA {_pct(change)}; L-BFGS {_pct(others[0])}; FGSM {_pct(others[1])}" if there else "",
        )
        add(
            *self._ranking(
                "4.2, Table 2",
                "table2",
                ("jsma", "lbfgs", "fgsm"),
                "JSMA has the least MAD, then L-BFGS, FGSM the most",
            )
        )
        for sweep in SWEEPS:
            recognition = TABLE_OF[sweep][1]
            where = f"4.{2 if sweep == 'targeted' else 3}, Table {recognition[-1]}"
            for attack in SWEEPS[sweep]:
                add(
                    where,
                    "samples generated with more dropout are easier to recognise, "
                    f"{GOAL[sweep]} {NAMES[attack]} (column means grow)",
                    *self.more_dropout(recognition, attack, mean_over="recognised_by"),
                )
            for attack in SWEEPS[sweep]:
                add(
                    where,
                    f"more dropout makes the network more robust, {GOAL[sweep]} {NAMES[attack]} "
                    "(row means grow)",
                    *self.more_dropout(recognition, attack, mean_over="generated_under"),
                )
        add(
            "4.3, Table 4",
            "more dropout makes top-3 samples easier to generate with JSMA (MAD falls)",
            *self.more_dropout("table4", "jsma", falls=True),
        )
        for attack in ("lbfgs", "fgsm", "deepfool"):
            add(
                "4.3, Table 4",
                f"there is no obvious trend for {NAMES[attack]} (MAD neither grows nor falls with dropout, "
                f"and none's changes by under {TREND_PCT:g} %)",
                *self._no_trend("table4", attack),
            )
        add(
            *self._ranking(
                "4.3, Table 4",
                "table4",
                ("deepfool", "lbfgs", "jsma"),
                "DeepFool has the least MAD, then L-BFGS; JSMA is poor",
            )
        )
        add(
            *self._ranking(
                "4.3, Table 4",
                "table4",
                ("deepfool", "lbfgs", "fgsm"),
                "DeepFool has the least MAD, then L-BFGS; FGSM is poor",
            )
        )
        found += self._conclusions()
        return found

    def _conclusions(self) -> list[Verdict]:
        losses = {
            s: difference(
                self.value("table1", data_set="testing", scheme="none"),
                self.value("table1", data_set="testing", scheme=s),
            )
            for s in SCHEMES[1:]
        }
        tiny = combined([small(Estimate(v.mean, v.mean, v.high), TINY_LOSS_PCT) for v in losses.values()])
        found = [
            Verdict(
                "5, (1)",
                f"tiny performance loss: each scheme costs less than {TINY_LOSS_PCT:g} point in testing",
                tiny,
                "; ".join(f"{s} {words(v, '+.2f', '.2f')}" for s, v in losses.items()),
            )
        ]
        own: list[dict[str, Estimate]] = []
        for sweep, attack in ((s, a) for s in SWEEPS for a in SWEEPS[s]):
            table = TABLE_OF[sweep][1]
            of_none = {
                s: self.value(table, attack=attack, generated_under="none", recognised_by=s)
                for s in SCHEMES[1:]
            }
            found.append(
                Verdict(
                    "5, (1)",
                    "samples generated without dropout are recognised better with it, "
                    f"{GOAL[sweep]} {NAMES[attack]}",
                    "not tested",
                    f"{OWN_SAMPLES}; " + "; ".join(f"{s} {words(v)}" for s, v in of_none.items()),
                )
            )
            means = {
                s: self.value(table, attack=attack, generated_under="mean", recognised_by=s)
                for s in SCHEMES[1:]
            }
            # an attack that wasn't run, or has no usable reference, as FGSM in Table 5
            if any(map(published.measured, means.values())):
                own.append(means)
        means = {s: mean_of([values[s] for values in own]) for s in SCHEMES[1:]}
        mads = {s: self.value("table2", attack="mean", scheme=s) for s in SCHEMES}
        for reading, values_, digits in (
            ("mean accuracy over the attacks' samples", means, ".1f"),
            ("Table 2's last row, the mean MAD over the attacks", mads, ".2f"),
        ):
            steps = [("feature", "fc"), ("input", "feature")]
            verdict = combined([ordered([(a, values_[a], b, values_[b])])[0] for a, b in steps])
            found.append(
                Verdict(
                    "5, (2)",
                    "dropout on the fully connected layer is the most efficient, then feature, then input "
                    f"({reading})",
                    verdict,
                    "; ".join(f"{s} {words(v, digits)}" for s, v in values_.items()),
                )
            )
        changes = {a: self._relative_change("table2", a) for a in SWEEPS["targeted"]}
        apart = [difference(changes[a], changes["jsma"]) for a in ("lbfgs", "fgsm")]
        found.append(
            Verdict(
                "5, (3)",
                "the impact differs between attacks: target L-BFGS and FGSM are hindered "
                "(MAD grows by more than JSMA's)",
                combined([_over_zero(d) for d in apart]),
                "; ".join(f"{NAMES[a]} {_pct(c)}" for a, c in changes.items()),
            )
        )
        changes = {a: self._relative_change("table4", a) for a in SWEEPS["top3"]}
        jsma = changes["jsma"]
        others = max(abs(changes[a].mean) for a in ("lbfgs", "fgsm", "deepfool"))
        there = all(map(published.measured, changes.values()))
        verdict = "holds" if jsma.high < -others else "does not hold" if jsma.low > -others else "undecided"
        found.append(
            Verdict(
                "5, (3)",
                "top-3 JSMA becomes easier (its MAD falls), with less impact on L-BFGS, FGSM and DeepFool",
                verdict if there else "not measured",
                "; ".join(f"{NAMES[a]} {_pct(c)}" for a, c in changes.items()),
            )
        )
        return found

    def _relative_change(self, table: str, attack: str, scheme: str = "all") -> Estimate:
        """How much the MAD changes from none to a scheme, in % of none's."""
        none = self.value(table, attack=attack, scheme="none")
        change = difference(self.value(table, attack=attack, scheme=scheme), none)
        return Estimate(*(100 * v / none.mean for v in change))

    def _ranking(
        self, where: str, table: str, order: Sequence[str], sentence: str
    ) -> tuple[str, str, str, str]:
        means = {a: self.value(table, attack=a, scheme="mean") for a in order}
        judged = [ordered([(a, means[a], b, means[b])])[0] for a, b in itertools.pairwise(order)]
        figures_ = "; ".join(f"{NAMES[a]} {words(m)}" for a, m in means.items())
        return where, f"{sentence} (mean over the schemes)", combined(judged), figures_


def _pct(change: Estimate) -> str:
    return words(change, "+.0f", ".0f").replace(" [", " % [")


def _over_zero(value: Estimate) -> str:
    if not published.measured(value):
        return "not measured"
    return "holds" if value.low > 0 else "does not hold" if value.high < 0 else "undecided"


def grid(
    results: Path, attacks: Sequence[str], count: int = 8, reader: Reader = STRANGER
) -> dict[str, Any] | None:
    """Figures 2 and 3: images that every attack fooled without dropout and with all of it.

    Returns:
        ``originals`` (count, height, width[, 3]), ``labels``, ``targets``, and ``rows``: for each
        attack and scheme its samples; None if no image serves.

    Raises:
        ConfigError, Unreadable: where data or samples aren't those that the records were made with.
    """
    frame = aggregate.table(results)
    store = aggregate.store_of(results)
    kept: dict[tuple[str, str], dict[int, int]] = {}
    found = {}
    for attack, scheme in itertools.product(attacks, ("none", "all")):
        hit = frame[(frame["attack"] == attack) & (frame["scheme"] == scheme) & (frame["status"] == OK)]
        if hit.empty:
            return None
        samples = found[attack, scheme] = store.samples(hit["key"].iloc[0])
        kept[attack, scheme] = {
            int(samples["indices"][i]): int(i) for i in np.flatnonzero(samples["claimed"])
        }
    shared = sorted(set.intersection(*(set(k) for k in kept.values())))
    # labels and targets are the image's, whoever attacked it
    of = dict(zip(samples["indices"], zip(samples["labels"], samples["targets"], strict=True), strict=True))
    chosen: list[int] = []
    for index in shared:
        # one image a class, as in the paper's figures
        if of[index][0] not in [of[i][0] for i in chosen]:
            chosen.append(index)
    chosen = sorted(chosen[:count], key=lambda i: of[i][0])
    if not chosen:
        return None
    record = store.read(hit["key"].iloc[0])
    assert record is not None
    config = reader.config(record["config"])
    data = cell.dataset(config)
    if data.fingerprint != record["data"]["fingerprint"]:
        raise ConfigError(f"dataset={config.dataset.name}: not the data that the record was made with")
    return {
        "originals": unit(data.x_test[chosen]),
        "labels": [int(of[i][0]) for i in chosen],
        "targets": [int(of[i][1]) for i in chosen],
        "rows": {
            f"{NAMES[a]}\n{'no dropout' if s == 'none' else s}": found[a, s]["perturbed"][
                [kept[a, s][i] for i in chosen]
            ]
            for a, s in kept
        },
    }


def write(folder: Path, reader: Reader = STRANGER) -> list[Path]:
    """Writes every table, figure and verdict into ``folder/report``.

    Args:
        folder: Holds the sweeps' folders ``targeted`` and ``top3``.
        reader: Whose code may run, and where data is.

    Returns:
        What was written.
    """
    report = folder / "report"
    written = write_findings(Findings(folder, reader), _heading(folder, reader), report)
    for number, (sweep, attacks) in zip((2, 3), SWEEPS.items(), strict=True):
        try:
            samples = grid(folder / sweep, attacks, reader=reader)
        except (ConfigError, records.Unreadable) as error:
            records.log.warning("Figure %d is left out: %s", number, " ".join(str(error).split()))
            continue
        if samples is not None:
            path = report / f"figure{number}.png"
            figures.samples(samples, sweep == "targeted", path)
            written.append(path)
    return written


def write_findings(findings: Findings, heading: str, report: Path) -> list[Path]:
    """Writes the tables, their pictures, the verdicts, and the page that shows them under ``heading``."""
    written = []
    text = [heading]
    for name, frame in findings.tables.items():
        path = report / f"{name}.csv"
        records.write_text(path, frame.to_csv(index=False))
        data = findings.data[name]
        text += [
            f"## Table {name[-1]}: {CAPTIONS[name]}; measured on {data}",
            _layout(name, frame),
            published.notes(frame),
        ]
        written += [path, *_pictures(name, frame, data, report)]
    correlations = findings.correlations()
    verdicts = published.verdicts_beside(findings.verdicts(), findings.as_printed().verdicts())
    for name, table in (("correlations", correlations), ("verdicts", verdicts)):
        path = report / f"{name}.csv"
        records.write_text(path, table.to_csv(index=False))
        written.append(path)
    text += ["## Summary", _summary(correlations, verdicts)]
    path = report / "README.md"
    records.write_text(path, "\n\n".join(t for t in text if t) + "\n")
    return [*written, path]


CAPTIONS = {
    "table1": "accuracy for each dropout scheme, %",
    "table2": "mean absolute difference between target adversarial and original samples (0-255)",
    "table3": "cross recognition accuracy on target adversarial samples, %",
    "table4": "mean absolute difference between top-3 adversarial and original samples (0-255)",
    "table5": "cross recognition accuracy on top-3 adversarial samples, %",
}


def _heading(folder: Path, reader: Reader) -> str:
    lines = ["# Dropout in testing phase: published and measured", ""]
    lines += [
        "Every entry reads *published / measured*. Measured values are means over fresh draws; their",
        "95 % intervals, and the figure of a single draw, are in the CSV beside this page. The intervals of",
        "the means over attacks or schemes are the bound of full dependence, since the cells are of the",
        "same images: each half-width is the mean of the cells'. The means of Tables 3 and 5 hold none/none,",
        "as the paper's do, which is 0 by construction; sentences on more dropout are judged by means over",
        "the others alone.",
    ]
    for sweep in SWEEPS:
        frame = aggregate.table(folder / sweep)
        done = frame[frame["status"] == OK]
        if done.empty:
            continue
        record = aggregate.store_of(folder / sweep).read(done["key"].iloc[0])
        assert record is not None
        config = record["config"]
        wanted = config["samples"]
        lines += [
            "",
            f"`{sweep}`: {config['dataset']['name']}, {config['training']['epochs']} epochs, "
            f"{wanted} successes a cell, {len(done)} of {len(frame)} cells done, "
            f"{config['evaluation']['draws']} fresh draws; on {record['device']}, "
            f"threads a cell: {config['threads']}; "
            f"torch {record['versions']['torch']}, foolbox {record['versions']['foolbox']}, "
            f"revision {record['git_revision']}.",
        ]
        looks = transfer.table(folder / sweep, reader).get("seconds", pd.Series(dtype=float)).sum()
        seconds = done.groupby("attack", sort=False)["attack_seconds"].sum()
        lines += [
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


def _layout(name: str, frame: pd.DataFrame) -> str:
    def entry(row: pd.Series) -> str:
        left = row["printed"] if pd.isna(row["published"]) else f"{row['published']:g}"
        right = (
            "-"
            if pd.isna(row["measured"])
            else f"{row['measured']:.2f}"
            if name == "table1"
            else f"{row['measured']:.1f}"
        )
        return f"{left}{'*' if row['note'] else ''} / {right}"

    frame = frame.assign(words=frame.apply(entry, axis=1))
    order = [*SCHEMES, "mean"]
    if name in ("table3", "table5"):
        parts = []
        for attack, group in frame.groupby("attack", sort=False):
            square = group.pivot(index="recognised_by", columns="generated_under", values="words")
            parts.append(f"{NAMES[str(attack)]} (row: recognised by; column: generated under)\n")
            parts.append(published.markdown(square.reindex(index=order, columns=order).fillna("")) + "\n")
        return "\n".join(parts)
    rows = "data_set" if name == "table1" else "attack"
    square = frame.pivot(index=rows, columns="scheme", values="words")
    square = square.reindex(index=list(dict.fromkeys(frame[rows])), columns=[c for c in order if c in square])
    return published.markdown(square.fillna(""))


def _summary(correlations: pd.DataFrame, verdicts: pd.DataFrame) -> str:
    table = correlations.pivot(index="table", columns="attack", values="spearman")
    table = table[[c for c in ("all", *NAMES) if c in table]]
    lines = ["Rank correlation (Spearman) of the measured table with the published one:", ""]
    lines.append(published.markdown(table, lambda v: "" if math.isnan(v) else f"{v:.2f}"))
    lines += ["", published.verdict_table(verdicts)]
    return "\n".join(lines)


def _pictures(name: str, frame: pd.DataFrame, data: str, report: Path) -> list[Path]:
    order = [*SCHEMES, "mean"]
    on = f"measured on {data}"
    if name == "table1":
        path = report / "table1.png"
        lowest = float(np.nanmin(frame[["published", "measured"]].to_numpy(float)))
        title = f"Table 1: accuracy under each scheme, %; {on}"
        figures.pair(frame, "data_set", "scheme", path, title, SCHEMES, None, decimals=2, bottom=lowest)
        return [path]
    if name in ("table2", "table4"):
        path = report / f"{name}.png"
        title = f"Table {name[-1]}: mean absolute difference (0-255); {on}"
        figures.pair(frame, "attack", "scheme", path, title, order, None)
        return [path]
    paths = []
    for attack, group in frame.groupby("attack", sort=False):
        path = report / f"{name}_{attack}.png"
        title = f"Table {name[-1]}, {NAMES[str(attack)]}: accuracy on adversarial samples, %; {on}"
        figures.pair(group, "recognised_by", "generated_under", path, title, order, order)
        paths.append(path)
    return paths


@guarded
def main() -> None:
    """The command of the module's docstring."""
    parser = Parser(prog="python -m bench.papers.testing_phase", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("outputs/testing_phase"))
    Reader.add_arguments(parser)
    given = parser.parse_args()
    folder = given.folder
    for sweep in SWEEPS:
        if not (folder / sweep / "cells.json").exists():
            parser.error(
                f"{folder / sweep}: no sweep; run python -m bench.run -m +experiment={PAPER}/{sweep}"
            )
    print("\n".join(map(str, write(folder, Reader.of(given)))))


if __name__ == "__main__":
    main()
