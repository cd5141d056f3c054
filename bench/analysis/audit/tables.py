"""The tables of an audit: a row a defence, a check, an attack, an image.

Here belongs which columns there are and what they say. What is in them is computed in ``row``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.audit.asked import Asked
from bench.analysis.audit.row import Row
from bench.analysis.audit.stage import RANDOMIZED_PGD
from bench.measuring.intervals import Difference

SHARES = ("any_of_10", "majority", "twin", "fixed", "baseline")
DIFFERENCES = {
    "worth_points": "worth",
    "worth_any_of_10_points": "worth_any_of_10",
    "operation_points": "operation",
    "secrecy_points": "secrecy",
    "over_baseline_points": "over_baseline",
}


def of_row(row: Row, accuracies: tuple[float, float | None] | None = None) -> dict[str, Any]:
    """The columns of ``audit.csv`` for one row, but for those that name it.

    Args:
        row: What was found.
        accuracies: Of the defence and its twin in [0, 1] on more images than were audited; None: on these.
    """
    found = row.figures
    clean, twin_clean = (row.clean, row.twin_clean) if accuracies is None else accuracies
    naive, claimed = row.naive
    of: dict[str, Any] = {
        "clean_pct": 100 * clean,
        "twin_clean_pct": _pct(twin_clean),
        "clean_cost_points": math.nan if twin_clean is None else 100 * (twin_clean - clean),
        "naive_pct": 100 * naive,
        "claimed_pct": 100 * claimed,
        "real_pct": 100 * found.real.mean,
        "real_pct_low": 100 * found.real.low,
        "real_pct_high": 100 * found.real.high,
        "real_attack": row.strongest,
        **{f"{name}_pct": _pct(getattr(found, name)) for name in SHARES},
    }
    for column, name in DIFFERENCES.items():
        of |= _points(column, getattr(found, name))
    draws, images = row.right.right.shape
    return {
        **of,
        "attacks": len(row.made),
        "images": images,
        "draws": draws,
        "passes": round(row.passes),
        "seconds": round(row.seconds, 1),
        "verdict": row.verdict.name,
        "verdict_of": row.verdict.claim,
        "why": row.verdict.why,
    }


def of_checks(row: Row) -> pd.DataFrame:
    """``checks.csv``, without the columns that name the row."""
    named = ["check", "on", "outcome", "figure", "threshold", "evidence"]
    found = [(c.name, c.on, c.outcome, c.figure, c.threshold, c.evidence) for c in row.checks]
    return pd.DataFrame(found, columns=named)


def of_attacks(row: Row) -> pd.DataFrame:
    """``attacks.csv``: what each attack left, and what the row would be without it."""
    brought = [name for name in row.names if name not in row.made]
    found = []
    for name in [*row.made, *brought]:
        made, answers = row.made.get(name), row.answers.get(name)
        found.append(
            {
                "attack": name,
                "on": "" if made is None else made.stage.on,
                "accuracy_left_pct": math.nan if answers is None else 100 * float(answers.chance.mean()),
                "claimed_pct": math.nan if made is None else 100 * float(made.claimed.mean()),
                "passes": math.nan if made is None else round(made.passes, 1),
                "seconds": math.nan if made is None else made.seconds,
                "images_won": sum(row.names[place] == name for place in row.which),
                "real_without_it_points": row.without.get(name, math.nan),
            }
        )
    return pd.DataFrame(found)


def of_images(row: Row, labels: np.ndarray) -> pd.DataFrame:
    """``images.csv``: on how many draws each sample of each image was wrong, and which is its worst."""
    frame = pd.DataFrame({f"wrong_draws: {name}": row.answers[name].wrong for name in row.names})
    worst = [row.names[place] for place in row.which]
    first = pd.DataFrame(
        {
            "image": np.arange(len(labels)),
            "label": labels,
            "worst": worst,
            "scored_draws": row.right.draws,
            "scored_wrong": row.right.wrong,
        }
    )
    return pd.concat([first, frame], axis=1)


def said(row: Row, asked: Asked) -> str:
    """What stands below a row: the threat model, how much was done, and what was not tried."""
    gradients = sum(made.stage.target == RANDOMIZED_PGD for made in row.made.values())
    draws = "all states of its draws" if row.right.chances is not None else f"{row.right.draws} draws"
    words = [
        "the attacker knows weights, operation and rates, not the draw; a new draw each query",
        f"{asked.norm} {asked.epsilon:g}, {len(row.which)} images, scored on {draws}, "
        f"{len(row.made)} attacks ({gradients} by gradients), {row.passes:.0f} passes of each image",
        "not tried: attacks that adapt to this defence by more than its gradients and its twin"
        + ("" if asked.extra or asked.samples else " (--samples and attacks=+mine bring them)"),
    ]
    if row.left_out:
        words.append(f"left out, for want of passes: {', '.join(row.left_out)}")
    return "; ".join(words)


TERMINAL = {
    "scheme": "scheme",
    "clean_pct": "clean",
    "naive_pct": "naive",
    "real": "real",
    "any_of_10_pct": "any of 10",
    "twin_pct": "twin",
    "fixed_pct": "fixed",
    "baseline_pct": "baseline",
    "worth": "worth, one query",
    "worth_any_of_10": "worth, ten tries",
    "verdict": "verdict",
}


def terminal(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """``audit.csv`` as a person reads it: what names rows where they differ, and what matters most.

    Args:
        frame: The table.
        names: Of its columns those that name a row.
    """
    varying = [n for n in names if n != "scheme" and len(set(map(str, frame[n]))) > 1]
    shown = frame[[*varying]].copy()
    for column, title in TERMINAL.items():
        if column in ("real", "worth", "worth_any_of_10"):
            key = "real_pct" if column == "real" else f"{column}_points"
            if column == "real" and len(set(frame["attacks"])) == 1:
                title = f"real ({frame['attacks'].iloc[0]} attacks)"
            shown[title] = [_with_ends(*row) for row in frame[[key, f"{key}_low", f"{key}_high"]].to_numpy()]
        elif column == "verdict":
            both = zip(frame["verdict"], frame["why"], strict=True)
            shown[title] = [": ".join(filter(None, one)) for one in both]
        elif column in frame and (frame[column].notna().any() or column == "scheme"):
            values = frame[column]
            shown[title] = values if column == "scheme" else [_one(value) for value in values]
    same = [f"{n}={frame[n].iloc[0]}" for n in names if n not in varying and n != "scheme"]
    kept = [one for one in same if not one.endswith(("=nan", "=None", "="))]
    return "\n".join([", ".join(kept), shown.to_string(index=False)])


def _one(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _with_ends(mean: float, low: float, high: float) -> str:
    return "-" if math.isnan(mean) else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _pct(share: float | None) -> float:
    return math.nan if share is None else 100 * share


def _points(column: str, difference: Difference | None) -> dict[str, float]:
    values = (math.nan,) * 3 if difference is None else tuple(100 * value for value in difference[:3])
    return dict(zip((column, f"{column}_low", f"{column}_high"), values, strict=True))
