"""The tables of an audit: a row a defence, a check, an attack, an image.

Here belongs which columns there are and what they say. What is in them is computed in ``row``.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import axes
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


NAMES = (
    "dataset", "model", "training", "scheme", "train_rate", "test_rate", "norm", "epsilon", "effort", "seed",
)  # fmt: skip
"""Settings that name a row, in the order of its columns."""


_ROW = {
    "clean_pct": "accuracy of the defence on images as they are: of the whole test set; from Python of `clean`, else of the audited images",
    "twin_clean_pct": "the same of its twin, the same weights with nothing random",
    "clean_cost_points": "`twin_clean_pct` less `clean_pct`: what the defence costs",
    "naive_pct": "accuracy that the strongest attack leaves of somebody who doesn't know that anything is random, on fresh draws",
    "claimed_pct": "accuracy that this attack's own claims leave",
    "real_pct": "accuracy for one query: of each image's worst sample of the pool, on draws that chose nothing",
    "real_attack": "the attack without which `real_pct` would rise most",
    "any_of_10_pct": "images that stay right on all of ten fresh draws, where the attacker may ask ten times",
    "majority_pct": "images that are right by a vote of eleven fresh draws",
    "twin_pct": "accuracy of the twin: an image counts if it withstands every sample of the same pool",
    "fixed_pct": "accuracy where the attacker knows the draw",
    "baseline_pct": "accuracy of a network that was trained without the scheme; empty without `audit.baseline`",
    "worth_points": "`real_pct` less `twin_pct`: what the randomness is worth for one query",
    "worth_any_of_10_points": "`any_of_10_pct` less `twin_pct`: what it is worth for ten tries",
    "operation_points": "`fixed_pct` less `twin_pct`: what the operation does, its draw known",
    "secrecy_points": "`real_pct` less `fixed_pct`: what not knowing the draw does",
    "over_baseline_points": "`real_pct` less `baseline_pct`",
    "attacks": "how many attacks there were, on the defence and on what it is compared with",
    "images": "how many images were audited: the first of the test set, right or wrong",
    "draws": "how many draws scored each of them; where draws are a short list, how many states that has",
    "passes": "passes of each image, in all; a forward one counts a third",
    "seconds": "wall time of attacks, whenever they were run",
    "verdict": "`refuted`, `suspicious`, `undecided` or `nothing found`; empty where nothing is random",
    "verdict_of": "the claim that it speaks of",
    "why": "why, in a sentence",
}
_ENDS = ("real_pct", *DIFFERENCES)
COLUMNS = {
    column + end: meaning if not end else ""
    for column, meaning in _ROW.items()
    for end in (("", "_low", "_high") if column in _ENDS else ("",))
}
"""Of audit.csv behind those that name a row, and what they mean; of the ends of an interval nothing is said."""

OF_CHECKS = {
    "check": "`V1` to `V13`, or an indicator that an attack failed, `I1` to `I4`",
    "on": "what it was made on: scheme, twin, known draw or baseline",
    "outcome": "`passes`, `fails` or `doesn't apply`",
    "figure": "what was measured; empty where it doesn't apply",
    "threshold": "from where on it fails",
    "evidence": "both in a sentence",
}
"""Of checks.csv."""

OF_ATTACKS = {
    "attack": "what it is called; that of `known draw 2: margin` knows a draw; `brought along` is not the plan's",
    "on": "what it attacked; empty for samples that no attack made",
    "accuracy_left_pct": "accuracy of the defence on its samples, on fresh draws; empty for a ball that isn't the row's",
    "claimed_pct": "on how many images it says to have succeeded",
    "passes": "passes of each image; a forward one counts a third",
    "seconds": "wall time, whenever it was run",
    "images_won": "of how many images its sample is the worst",
    "real_without_it_points": "by how much `real_pct` would rise without it, on the draws that chose",
}
"""Of attacks.csv."""

OF_IMAGES = {
    "image": "its place among those that were audited",
    "label": "its class",
    "worst": "whose sample is its worst",
    "scored_draws": "how many draws scored that",
    "scored_wrong": "on how many of them it was wrong",
    "wrong_draws: NAME": "on how many of the draws that chose it that sample was wrong; one column for each of the pool",
}
"""Of images.csv."""


def names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What names a row.

    Args:
        settings: All that was set for it.
    """
    known = {**settings, **axes.names(settings)}
    return {name: known[name] for name in NAMES}


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
    found = [(c.name, c.on, c.outcome, c.figure, c.threshold, c.evidence) for c in row.checks]
    return pd.DataFrame(found, columns=list(OF_CHECKS))


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


def notes(row: Row, asked: Asked) -> dict[str, Any]:
    """What is said below a table and stands in none of its columns, as JSON-able values."""
    return {
        "exact": row.right.chances is not None,
        "gradients": sum(made.stage.target == RANDOMIZED_PGD for made in row.made.values()),
        "brought": bool(asked.extra or asked.samples),
        "left_out": list(row.left_out),
    }


TERMINAL = {
    "clean_pct": "clean",
    "naive_pct": "naive",
    "real_pct": "real",
    "any_of_10_pct": "any of 10",
    "twin_pct": "twin",
    "fixed_pct": "fixed",
    "baseline_pct": "baseline",
    "worth_points": "worth, one query",
    "worth_any_of_10_points": "worth, ten tries",
    "over_baseline_points": "over the baseline",
}
"""What a person reads first, and what it is called there; before it stands what names a row, behind it the
verdict."""


def terminal(frame: pd.DataFrame, notes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """``audit.csv`` as a person reads it: what names rows where they differ, what matters most, and on what
    all of it rests.

    Args:
        frame: The table.
        notes: Of each row.
        names: Of its columns those that name a row.
    """
    varying = [name for name in names if name == "scheme" or len(set(map(str, frame[name]))) > 1]
    shown = frame[varying].copy()
    for column, title in TERMINAL.items():
        if frame[column].isna().all():
            continue
        if column == "real_pct":
            title = f"real ({_span(frame['attacks'])} attacks)"
        ends = [f"{column}_low", f"{column}_high"]
        columns = [column, *(ends if ends[0] in frame else ())]
        shown[title] = [_with_ends(*row) for row in frame[columns].to_numpy()]
    lines = shown.to_string(index=False).splitlines()
    both = zip(frame["verdict"], frame["why"], strict=True)
    # which is as long as it is, and moves nothing
    verdicts = ["verdict", *(": ".join(filter(None, one)) for one in both)]
    same = {name: frame[name].iloc[0] for name in names if name not in varying}
    return "\n".join(
        [
            ", ".join(f"{name}={value}" for name, value in same.items() if pd.notna(value)),
            *(f"{line}  {verdict}" for line, verdict in zip(lines, verdicts, strict=True)),
            *below(frame, notes, varying),
        ]
    ).lstrip("\n")


def below(frame: pd.DataFrame, notes: Sequence[Mapping[str, Any]], varying: Sequence[str]) -> list[str]:
    """The threat model, how much was done, and what was not tried, a line each.

    Args:
        frame, notes: As for ``terminal``.
        varying: Of the columns those that tell rows apart.
    """
    some = [draws for draws, one in zip(frame["draws"], notes, strict=True) if not one["exact"]]
    draws = [f"{_span(some)} draws"] if some else []
    draws += ["all states that draws can be in"] if len(some) < len(notes) else []
    lines = [
        "the attacker knows weights, operation and rates, not the draw; a new draw each query",
        f"{_span(frame['images'])} images, scored on {' or '.join(draws)}; "
        f"{_span(frame['attacks'])} attacks, {_span([one['gradients'] for one in notes])} of them by "
        f"gradients, {_span(frame['passes'])} passes of each image",
    ]
    untried = "not tried: attacks that adapt to this defence by more than its gradients and its twin"
    if not any(one["brought"] for one in notes):
        untried += "; attacks and samples of your own join the others (attacks, samples)"
    lines.append(untried)
    for (_, row), one in zip(frame.iterrows(), notes, strict=True):
        if one["left_out"]:
            of = " ".join(f"{name}={row[name]}" for name in varying)
            lines.append(
                f"{of}{': ' if of else ''}left out, for want of passes: {', '.join(one['left_out'])}"
            )
    return lines


def _span(values: Iterable[float]) -> str:
    found = sorted(set(values))
    return " to ".join(f"{value:,g}" for value in dict.fromkeys((found[0], found[-1])))


def _with_ends(mean: float, low: float = math.nan, high: float = math.nan) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.1f}" if math.isnan(low) else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _pct(share: float | None) -> float:
    return math.nan if share is None else 100 * share


def _points(column: str, difference: Difference | None) -> dict[str, float]:
    values = (math.nan,) * 3 if difference is None else tuple(100 * value for value in difference[:3])
    return dict(zip((column, f"{column}_low", f"{column}_high"), values, strict=True))
