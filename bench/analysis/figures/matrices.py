"""Pictures that are matrices: heatmaps, cross recognition, games, a table as printed and as measured.

Here belongs what has rows, columns and a value in each cell. Curves, densities and images are in ``plots``.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.analysis.figures.drawing import empty, file, heatmap, plain, save
from bench.axes import GROUPS, RATES
from bench.results.columns import TITLES
from bench.results.store import NOT_APPLICABLE, OK
from bench.results.sweep import Table

PANELS = {
    "fresh_success_pct": ("rocket_r", 100.0),
    "fresh_accuracy_pct": ("mako_r", 100.0),
    "mad_255_mean": ("flare", None),
}
"""Columns of a sweep's heatmaps: colours, and the top of the scale (None: the largest value)."""

OF_A_GAME = (
    *("attacker", "defender", "payoff_pct", "payoff_pct_low", "payoff_pct_high"),
    *("accuracy_pct", "attacker_share", "defender_share"),
)
"""What a game's table says of a pair of strategies; its other columns name the game."""


def heatmaps(table: Table, folder: Path) -> list[Path]:
    """Draws a sweep: scheme by attack, or train by test rate for each of those where rates were swept.

    Several seeds are averaged. A cell without a result shows why.

    Args:
        table: Of one sweep, or several.
        folder: Where the pictures go; pictures of an earlier call are removed.

    Returns:
        The pictures' paths.
    """
    settings = [c for c in table.names if c != "seed"]
    swept = {c for c in table.varying if c != "seed"}
    frame = table.frame.copy()
    for rate in RATES:
        # a default rate is a value like any other, and so must have a name of its own
        frame[rate] = frame[rate].map(lambda v: "default" if pd.isna(v) else f"{v:g}")
    paths = []
    kinds: list[tuple[str, ...]] = [RATES] if swept & set(RATES) else []
    if not kinds or swept & {"attack", "scheme"}:
        kinds.insert(0, ("attack", "scheme"))
    for rows, columns in kinds:
        fixed = [c for c in settings if c not in (rows, columns)]
        named = [c for c in fixed if c in swept or c in ("dataset", "model", "criterion")]
        for values, group in frame.groupby(fixed, sort=False, dropna=False):
            chosen = dict(zip(fixed, values, strict=True))
            words = [chosen[c] if c in GROUPS else f"{c}={chosen[c]}" for c in named]
            path = file(folder, f"heatmap_{rows}_{columns}", words)
            title = ", ".join(f"{c.replace('_', ' ')} {chosen[c]}" for c in named)
            _draw(group, rows, columns, title, path)
            paths.append(path)
    for old in set(folder.glob("heatmap_*.png")) - set(paths):
        old.unlink()
    return paths


def transfer(
    groups: Sequence[tuple[Mapping[str, Any], pd.DataFrame, pd.DataFrame]], folder: Path
) -> list[Path]:
    """Draws the cross recognition of each attack and criterion: row, who recognises; column, whose samples.

    Args:
        groups: For each what names it, its rows of ``transfer.table``, and its ``transfer.matrix``.
        folder: Where the pictures go.

    Returns:
        The pictures' paths.
    """
    varying = {k for name, *_ in groups for k in name if len({str(g[0][k]) for g in groups}) > 1}
    paths = []
    for name, pairs, square in groups:
        shown = {k: v for k, v in name.items() if k in varying or k in ("dataset", "attack", "criterion")}
        words = [v if k in GROUPS else f"{k}={v}" for k, v in shown.items()]
        path = file(folder, "transfer", words)
        size = 1.1 * len(square) + 1
        figure = empty((size + 1, 0.75 * size))
        axis = figure.subplots()
        _recognition(axis, pairs, square)
        named = plain(", ".join(f"{k} {v}" for k, v in shown.items()))
        axis.set_title(f"{named}\naccuracy on adversarial samples, %", fontsize=10)
        save(figure, path)
        paths.append(path)
    return paths


def games(answers: Sequence[tuple[Mapping[str, Any], pd.DataFrame]], folder: Path) -> list[Path]:
    """Draws the payoffs of games, with both sides' mixes and the defences' accuracy beside the names.

    Args:
        answers: For each game what ``game.answer`` gives.
        folder: Where the pictures go.

    Returns:
        The pictures' paths.
    """
    if not answers:
        return []
    own = [str(c) for c in answers[0][1] if c not in OF_A_GAME]
    named = [c for c in own if c in GROUPS or len({str(e[c]) for e, _ in answers}) > 1]
    paths = []
    for equilibrium, pairs in answers:
        words = [equilibrium[c] if c in GROUPS else f"{c}={equilibrium[c]}" for c in named]
        path = file(folder, "game", words)
        attackers, defenders = (
            pairs.drop_duplicates(side).to_dict("records") for side in ("attacker", "defender")
        )
        values, low, high = (
            pairs[f"payoff_pct{end}"].to_numpy(float).reshape(len(attackers), -1).T
            for end in ("", "_low", "_high")
        )
        text = np.vectorize("{:.1f}\n{:.0f} to {:.0f}".format)(values, low, high)
        down = [
            f"{d['defender']}\naccuracy {d['accuracy_pct']:.1f} %\nplayed {100 * d['defender_share']:.0f} %"
            for d in defenders
        ]
        across = [f"{a['attacker']}\nplayed {100 * a['attacker_share']:.0f} %" for a in attackers]
        size = (1.3 * len(across) + 3.4, 0.72 * len(down) + 1.8)
        figure = empty(size)
        axis = figure.subplots()
        heatmap(axis, values, text, down, across, "rocket_r", 100.0)
        axis.set_xlabel("attacker")
        axis.set_ylabel("defender")
        axis.set_title(
            plain(", ".join(f"{c.replace('_', ' ')} {equilibrium[c]}" for c in named))
            + f"\nattack success on fresh draws, %; value {equilibrium['value_pct']:.1f}"
            f" ({equilibrium['value_pct_low']:.1f} to {equilibrium['value_pct_high']:.1f})",
            fontsize=10,
        )
        save(figure, path)
        paths.append(path)
    return paths


def pair(
    frame: pd.DataFrame,
    rows: str,
    columns: str,
    path: Path,
    title: str,
    across: Sequence[str],
    down: Sequence[str] | None,
    decimals: int = 1,
    bottom: float = 0.0,
) -> None:
    """Draws a published table and the measured one beside it, on one scale.

    Args:
        frame: With ``published``, ``measured``, and the measured bounds.
        rows, columns: Which of its columns name a row and a column.
        path: Where the picture goes.
        title: What stands over both.
        across, down: Order of columns and rows; rows None: as they come.
        decimals: How many are shown.
        bottom: Where the scale of colours starts.
    """
    across, down = list(across), list(down or dict.fromkeys(frame[rows]))
    squares = {c: frame.pivot(index=rows, columns=columns, values=c) for c in ("published", "measured")}
    bounds = [frame.pivot(index=rows, columns=columns, values=f"measured_{end}") for end in ("low", "high")]
    arrays = {c: s.reindex(index=down, columns=across).to_numpy(float) for c, s in squares.items()}
    low, high = (b.reindex(index=down, columns=across).to_numpy(float) for b in bounds)
    top = max((np.nanmax(a) for a in arrays.values() if np.isfinite(a).any()), default=1.0)
    size = (2 * (1.0 * len(across) + 1.6), 0.62 * len(down) + 1.8)
    figure = empty(size)
    axes = figure.subplots(1, 2)
    for axis, (name, values) in zip(axes, arrays.items(), strict=True):
        words = np.full(values.shape, "", dtype=object)
        for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
            words[i, j] = f"{values[i, j]:.{decimals}f}"
            if name == "measured" and np.isfinite(low[i, j]):
                words[i, j] += f"\n{low[i, j]:.{decimals}f} to {high[i, j]:.{decimals}f}"
        heatmap(axis, values, words, down, across, "mako_r", top, bottom)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(columns.replace("_", " "))
        axis.set_ylabel(rows.replace("_", " "))
    figure.suptitle(plain(title), fontsize=11)
    save(figure, path)


def _draw(group: pd.DataFrame, rows: str, columns: str, title: str, path: Path) -> None:
    down, across = _ordered(group[rows], rows), _ordered(group[columns], columns)
    width, height = 1.15 * len(across) + 1.6, 0.75 * len(down) + 1.6
    figure = empty((len(PANELS) * width, height))
    axes = figure.subplots(1, len(PANELS))
    for axis, (column, (colours, top)) in zip(axes, PANELS.items(), strict=True):
        _panel(axis, group, (rows, down), (columns, across), column, colours, top)
        axis.set_title(TITLES[column], fontsize=10)
    count = group.loc[group["status"] == OK, "images"]
    images = f", {int(count.max())} images" if len(count) else ""
    seeds = group["seed"].nunique()
    figure.suptitle(plain(title) + images + (f", mean of {seeds} seeds" if seeds > 1 else ""), fontsize=11)
    save(figure, path)


def _panel(
    axis: Axes,
    group: pd.DataFrame,
    rows: tuple[str, Sequence[Hashable]],
    columns: tuple[str, Sequence[Hashable]],
    column: str,
    colours: str,
    top: float | None,
) -> None:
    values = np.full((len(rows[1]), len(columns[1])), np.nan)
    words = np.full(values.shape, "", dtype=object)
    for i, row in enumerate(rows[1]):
        for j, col in enumerate(columns[1]):
            cell = group[(group[rows[0]] == row) & (group[columns[0]] == col)]
            done = cell[cell["status"] == OK]
            if len(done) and done[column].notna().any():
                values[i, j] = done[column].mean()
                words[i, j] = f"{values[i, j]:.1f}"
                if len(done) == 1 and f"{column}_low" in done:
                    low, high = (done[f"{column}_{end}"].iloc[0] for end in ("low", "high"))
                    words[i, j] += f"\n{low:.0f} to {high:.0f}"
            else:
                words[i, j] = _hole(cell)
    heatmap(axis, values, words, rows[1], columns[1], colours, top)
    axis.set_xlabel(columns[0].replace("_", " "))
    axis.set_ylabel(rows[0].replace("_", " "))


def _recognition(axis: Axes, pairs: pd.DataFrame, square: pd.DataFrame) -> None:
    """One matrix with its means at the edges, as in "Dropout in Testing Phase", Tables 3 and 5."""
    order = list(square.index)
    values = square.to_numpy(float)
    words = np.vectorize(lambda v: f"{v:.1f}")(values).astype(object)
    for row in pairs.to_dict("records"):
        i, j = order.index(row["recognised_by"]), order.index(row["generated_under"])
        if np.isfinite(row.get("accuracy_pct", np.nan)):
            words[i, j] += f"\n{row['accuracy_pct_low']:.0f} to {row['accuracy_pct_high']:.0f}"
        else:
            words[i, j] = _hole_of(str(row["reason"]))
    words[-1, -1] = ""
    heatmap(axis, values, words, order, order, "mako_r", 100.0)
    axis.axhline(len(order) - 1, color="white", linewidth=4)
    axis.axvline(len(order) - 1, color="white", linewidth=4)
    axis.set_xlabel("samples generated under")
    axis.set_ylabel("recognised by")


def _hole(cell: pd.DataFrame) -> str:
    if not len(cell):
        return "not asked"
    status = str(cell["status"].iloc[0])
    return {NOT_APPLICABLE: "n/a", OK: "no success"}.get(status, status)


def _hole_of(reason: str) -> str:
    """The status in a reason of cross recognition's, as ``samples: failed: it broke``."""
    whose, _, why = reason.partition(":")
    return (why or whose).split(":")[0].strip()


def _ordered(values: pd.Series, name: str) -> list[Any]:
    """In the sweep's order; rates by size, the default first."""
    found = list(dict.fromkeys(values))
    if name in RATES:
        found.sort(key=lambda v: -1.0 if v == "default" else float(v))
    return found
