"""The tables of an audit: a row a defence, a check, an attack, an image.

Here belongs which columns there are and what they say. What is in them is computed in ``row``.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.audit.row import Row
from bench.measuring.intervals import Difference

SHARES = ("any_of_10", "majority", "twin", "fixed", "baseline")
DIFFERENCES = {
    "worth_points": "worth",
    "worth_any_of_10_points": "worth_any_of_10",
    "operation_points": "operation",
    "secrecy_points": "secrecy",
    "over_baseline_points": "over_baseline",
}


def of_row(row: Row, clean: float | None = None, twin_clean: float | None = None) -> dict[str, Any]:
    """The columns of ``audit.csv`` for one row, but for those that name it.

    Args:
        row: What was found.
        clean, twin_clean: Accuracy in [0, 1] on more images than were audited; None: on these.
    """
    found = row.figures
    clean = row.clean if clean is None else clean
    twin_clean = row.twin_clean if twin_clean is None else twin_clean
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
        "images": images,
        "draws": draws,
        "passes": round(row.passes),
        "seconds": round(row.seconds, 1),
        "verdict": row.verdict.name,
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


def samples(row: Row) -> Mapping[str, np.ndarray]:
    """Each image's worst sample, in the form in which others bring theirs: ``images`` and ``indices``."""
    return {"images": row.worst, "indices": np.arange(len(row.which))}


def _pct(share: float | None) -> float:
    return math.nan if share is None else 100 * share


def _points(column: str, difference: Difference | None) -> dict[str, float]:
    values = (math.nan,) * 3 if difference is None else tuple(100 * value for value in difference[:3])
    return dict(zip((column, f"{column}_low", f"{column}_high"), values, strict=True))
