"""What "Defensive Dropout for Hardening Deep Neural Networks ..." claims, and its tests.

Here belongs each of the paper's sentences with its test, in the words that fit what was measured; its tables
are in ``defensive_dropout``.
"""

import math
from collections.abc import Iterator

import pandas as pd

from bench.measuring.intervals import NOTHING, Estimate
from bench.papers import claims
from bench.papers.claims import Claim, Judged, Test, words
from bench.papers.published import Findings, estimate_of

CURVES = {"figure3": "mnist_cw", "figure5": "cifar10_cw"}
CITED = ("adversarial_training", "distillation")
"""Defences that the paper calls totally vulnerable."""
CHOSEN = {
    "mnist_fgsm": ("FGSM", 0.7, 0.7),
    "mnist_jsma": ("JSMA", 0.7, 0.7),
    "mnist_cw": ("C&W", 0.3, 0.5),
    "cifar10_cw": ("C&W", 0.7, 0.7),
}
"""The rates in training and at test time that the paper chooses, by sweep."""
MAX_LOSS_PCT = {"mnist": 1.0, "cifar10": 4.0}
"""Accuracy that the defence may cost, in points (section 4.2)."""
TOTAL_SUCCESS_PCT = 90.0
"""Success that is taken for *totally vulnerable* (section 3.3), with its whole interval."""
TOTAL_IMAGES = 35
"""Fewer images, all of which succeed, have a lower bound under it."""


def all_claims(findings: Findings) -> Iterator[Claim]:
    """The paper's claims, and its sentences on what it sees.

    Args:
        findings: With ``frames`` as ``defensive_dropout.measure`` gives them.
    """
    yield from _falls(findings)
    for sweep, (attack, train, test) in CHOSEN.items():
        limit = MAX_LOSS_PCT[sweep.partition("_")[0]]
        yield Claim(
            "4.2",
            f"r' {test:g} at train rate {train:g} costs under {limit:g} points of accuracy "
            f"({attack}{on(findings, sweep)})",
            _loss(sweep, train, test),
        )
    where = "4.2, Table 2, Fig. 5"
    sentence = "at r = r' = 0.7 C&W succeeds less often than against SAP, each within 4 points of accuracy"
    yield Claim(where, sentence, _against_sap("success_pct", larger=False))
    yield Claim(where, "and needs a larger L2", _against_sap("l2", larger=True))
    sentence = f"train rate 0.7 raises the accuracy{on(findings, 'cifar10_cw')} (by 7.5 points, it says)"
    yield Claim("3.3", sentence, _training)
    for defence in CITED:
        sentence = f"{defence.replace('_', ' ')} is totally vulnerable to C&W"
        yield Claim("3.3", f"{sentence} (success over {TOTAL_SUCCESS_PCT:g} %)", _vulnerable(defence))
    where = "3.3, Fig. 4"
    sentence = "the gradients' variance rises with r' (train rate 0.7)"
    yield Claim(f"{where} (a) to (e)", sentence, claims.falls_along(_variances))
    sentence = "SAP's variance is small beside that of r' = 0.7 (train rate 0.7)"
    yield Claim(f"{where} (f)", sentence, _beside_sap)


def on(findings: Findings, sweep: str) -> str:
    """The data of a sweep as a sentence names it; empty where it wasn't run."""
    data = findings.data.get(sweep)
    return f" on {data}" if data else ""


def _falls(findings: Findings) -> Iterator[Claim]:
    for name, attack, sweep in (
        ("table3", "FGSM", "cifar10_fgsm"),
        ("table4", "FGSM", "mnist_fgsm"),
        ("table5", "JSMA", "mnist_jsma"),
        ("table6", "C&W", "mnist_cw"),
    ):
        rate = findings.tables[name]["train_rate"].iloc[-1]
        yield Claim(
            f"4.2, Table {name[-1]}",
            f"attack success against {attack}{on(findings, sweep)}: falls as r' rises (train rate {rate:g})",
            _table_falls(name, rate),
        )
    for name, sweep in CURVES.items():
        for rate in findings.frames[name]["train_rate"].unique():
            yield Claim(
                f"3.3, Fig. {name[-1]} (b)",
                f"success of C&W{on(findings, sweep)} falls as r' rises (train rate {rate:g})",
                _curve_falls(name, rate),
            )


def _table_falls(table: str, rate: float) -> Test:
    return claims.falls_along(lambda findings: _points(findings.tables[table], rate, "measured"))


def _curve_falls(figure: str, rate: float) -> Test:
    return claims.falls_along(lambda findings: _points(findings.frames[figure], rate, "fresh_success_pct"))


def _points(frame: pd.DataFrame, train_rate: float, column: str) -> list[tuple[str, Estimate]]:
    """A figure at each test rate, of the networks of one train rate."""
    rows = frame[frame["train_rate"] == train_rate].sort_values("test_rate").to_dict("records")
    return [(f"r' {row['test_rate']:g}", estimate_of(row, column)) for row in rows]


def _loss(sweep: str, train: float, test: float) -> Test:
    data = sweep.partition("_")[0]

    def judge(findings: Findings) -> Judged:
        rows = findings.frames["losses"]
        hit = rows[(rows["sweep"] == sweep) & (rows["train_rate"] == train) & (rows["test_rate"] == test)]
        loss = estimate_of(hit.iloc[0], "value") if len(hit) else NOTHING
        if sweep == "mnist_cw" and not len(findings.frames[sweep]):
            loss = findings.value("text", data=data, quantity="accuracy_loss_pct")
        there = f"loss {words(loss, '.2f')}" if claims.measured(loss) else ""
        return claims.cheap(loss, MAX_LOSS_PCT[data]), there

    return judge


def _against_sap(quantity: str, larger: bool) -> Test:
    def judge(findings: Findings) -> Judged:
        own = findings.value("text", data="cifar10", attack="cw_l2", quantity=quantity)
        table = findings.tables["table2"]
        accuracy = table[table["quantity"] == "accuracy_pct"].set_index("train_rate")["measured"]
        # the paper allows 4 points off the network's 80 %; here off the best that was measured
        best = findings.value("text", data="cifar10", attack="", quantity="accuracy_pct").mean
        allowed = accuracy[accuracy > best - MAX_LOSS_PCT["cifar10"]].index
        successes = table[(table["quantity"] == "success_pct") & table["train_rate"].isin(allowed)]
        successes = successes.dropna(subset="measured").sort_values("measured")
        rate = math.nan if successes.empty else float(successes["train_rate"].iloc[0])
        sap = findings.value("table2", quantity=quantity, train_rate=rate) if len(successes) else NOTHING
        there, other = ("dropout", own), (f"SAP at its best, train rate {rate:g}", sap)
        (a, x), (b, y) = (other, there) if larger else (there, other)
        return claims.ordered([(a, x, b, y)])

    return judge


def _training(findings: Findings) -> Judged:
    frame = findings.frames["cifar10_cw"]
    bare = frame[frame["test_rate"] == 0].set_index("train_rate")
    low = high = NOTHING
    if {0.0, 0.7} <= set(bare.index):
        low, high = (estimate_of(bare.loc[rate], "clean_accuracy_pct") for rate in (0.0, 0.7))
    return claims.ordered([("train 0", low, "train 0.7", high)])


def _vulnerable(defence: str) -> Test:
    def judge(findings: Findings) -> Judged:
        frame = findings.frames["defences"]
        hit = frame[(frame["defence"] == defence) & (frame["attack"] == "cw_l2")]
        success = estimate_of(hit.iloc[0], "fresh_success_pct") if len(hit) else NOTHING
        verdict = claims.over(success, TOTAL_SUCCESS_PCT)
        if verdict == claims.NOT_MEASURED:
            return verdict, ""
        images = int(hit["images"].iloc[0])
        few = f"; {images} images can't tell, it takes {TOTAL_IMAGES}" if images < TOTAL_IMAGES else ""
        return verdict, f"{words(success)}{few}"

    return judge


def _of_gradients(findings: Findings, scheme: str) -> pd.DataFrame:
    frame = findings.frames["gradients"]
    if frame.empty:
        return frame
    return frame[(frame["train_rate"] == 0.7) & (frame["scheme"] == scheme)]


def _variances(findings: Findings) -> list[tuple[str, Estimate]]:
    frame = _of_gradients(findings, "defensive_dropout")
    return [] if frame.empty else _points(frame[frame["test_rate"] > 0], 0.7, "variance")[::-1]


def _beside_sap(findings: Findings) -> Judged:
    sap, dropout = (_of_gradients(findings, scheme) for scheme in ("sap", "defensive_dropout"))
    if len(dropout):
        dropout = dropout[dropout["test_rate"] == 0.7]
    pruned, dropped = (
        estimate_of(frame.iloc[0], "variance") if len(frame) else NOTHING for frame in (sap, dropout)
    )
    return claims.ordered([("SAP", pruned, "dropout", dropped)])
