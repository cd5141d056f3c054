"""Pictures of results: heatmaps, curves, grids of samples.

Here belongs all drawing, and nothing else does: figures are made from tables and never from a
network. The one module that imports seaborn.
"""

import contextlib
import hashlib
import re
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.results.store import NOT_APPLICABLE, OK

PANELS = (
    ("fresh_success_pct", "attack success on fresh draws, %", "rocket_r", 100.0),
    ("fresh_accuracy_pct", "accuracy on adversarial samples, %", "mako_r", 100.0),
    ("mad_255_mean", "mean absolute difference (0-255)", "flare", None),
)
"""Column, title, colours, top of the scale (None: the largest value)."""

CURVES = (
    ("clean_accuracy_pct", "test accuracy, %"),
    ("fresh_success_pct", "attack success on fresh draws, %"),
    ("l2_mean", "L2 norm over the claimed successes"),
)
"""Column and title of what is drawn against the test rate."""

RATES = ("train_rate", "test_rate")
NAMES = ("dataset", "model", "scheme", "attack", "criterion")


def heatmaps(frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Draws a sweep: scheme by attack, or train by test rate for each of those where rates were swept.

    Several seeds are averaged. A cell without a result shows why.

    Args:
        frame: A table as ``aggregate.table`` makes it.
        folder: Where the pictures go; pictures of an earlier call are removed.

    Returns:
        The pictures' paths.
    """
    settings = [str(c) for c in frame.columns[: frame.columns.get_loc("status")] if c != "seed"]
    swept = {c for c in settings if len(frame[c].unique()) > 1}
    frame = frame.copy()
    for rate in RATES:
        # a default rate is a value like any other, and so must have a name of its own
        frame[rate] = frame[rate].map(lambda v: "default" if pd.isna(v) else f"{v:g}")
    paths = []
    kinds = [RATES] if swept & set(RATES) else []
    if not kinds or swept & {"attack", "scheme"}:
        kinds.insert(0, ("attack", "scheme"))
    for rows, columns in kinds:
        fixed = [c for c in settings if c not in (rows, columns)]
        named = [c for c in fixed if c in swept or c in ("dataset", "model", "criterion")]
        for values, group in frame.groupby(fixed, sort=False, dropna=False):
            chosen = dict(zip(fixed, values, strict=True))
            words = [chosen[c] if c in NAMES else f"{c}={chosen[c]}" for c in named]
            path = _file(folder, f"heatmap_{rows}_{columns}", words)
            title = ", ".join(f"{c.replace('_', ' ')} {chosen[c]}" for c in named)
            _draw(group, rows, columns, title, path)
            paths.append(path)
    for old in set(folder.glob("heatmap_*.png")) - set(paths):
        old.unlink()
    return paths


def curves(frame: pd.DataFrame, path: Path, title: str) -> None:
    """Draws accuracy, success and L2 against the test rate, as in "Defensive Dropout", Figs. 3 and 5.

    Each training rate is a curve, with its 95 % intervals where there are any.

    Args:
        frame: Rows of a table as ``aggregate.table`` makes it, finished cells only.
        path: Where the picture goes.
        title: What stands over it.
    """
    trained = sorted(frame["train_rate"].dropna().unique())
    colours = sns.color_palette("viridis", max(len(trained), 1))
    figure = _figure((4.2 * len(CURVES), 3.6))
    axes = figure.subplots(1, len(CURVES))
    for axis, (column, name) in zip(axes, CURVES, strict=True):
        for rate, colour in zip(trained, colours, strict=True):
            line = frame[frame["train_rate"] == rate].sort_values("test_rate")
            axis.plot(line["test_rate"], line[column], "o-", color=colour, label=f"train {rate:g}")
            if f"{column}_low" in line:
                low, high = (line[f"{column}_{end}"].astype(float) for end in ("low", "high"))
                axis.fill_between(line["test_rate"], low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set(xlabel="test rate", title=name)
        axis.title.set_fontsize(10)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(_plain(title), fontsize=11)
    _save(figure, path)


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
        words = [v if k in NAMES else f"{k}={v}" for k, v in shown.items()]
        path = _file(folder, "transfer", words)
        size = 1.1 * len(square) + 1
        figure = _figure((size + 1, 0.75 * size))
        axis = figure.subplots()
        _recognition(axis, pairs, square)
        named = _plain(", ".join(f"{k} {v}" for k, v in shown.items()))
        axis.set_title(f"{named}\naccuracy on adversarial samples, %", fontsize=10)
        _save(figure, path)
        paths.append(path)
    return paths


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
    _cells(axis, values, words, order, order, "mako_r", 100.0)
    axis.axhline(len(order) - 1, color="white", linewidth=4)
    axis.axvline(len(order) - 1, color="white", linewidth=4)
    axis.set_xlabel("samples generated under")
    axis.set_ylabel("recognised by")


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
    figure = _figure(size)
    axes = figure.subplots(1, 2)
    for axis, (name, values) in zip(axes, arrays.items(), strict=True):
        words = np.full(values.shape, "", dtype=object)
        for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
            words[i, j] = f"{values[i, j]:.{decimals}f}"
            if name == "measured" and np.isfinite(low[i, j]):
                words[i, j] += f"\n{low[i, j]:.{decimals}f} to {high[i, j]:.{decimals}f}"
        _cells(axis, values, words, down, across, "mako_r", top, bottom)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(columns.replace("_", " "))
        axis.set_ylabel(rows.replace("_", " "))
    figure.suptitle(_plain(title), fontsize=11)
    _save(figure, path)


def samples(grid: Mapping[str, Any], targeted: bool, path: Path) -> None:
    """Draws images and what attacks made of them, as in "Dropout in Testing Phase", Figs. 2 and 3.

    Args:
        grid: As ``papers.testing_phase.grid`` makes it.
        targeted: Whether to print the target labels at the bottom.
        path: Where the picture goes.
    """
    rows = {"original": grid["originals"], **grid["rows"]}
    count = len(grid["labels"])
    size = (0.95 * count + 1.4, 0.95 * len(rows) + 0.6)
    figure = _figure(size)
    axes = figure.subplots(len(rows), count, squeeze=False)
    for (name, images), line in zip(rows.items(), axes, strict=True):
        for image, axis in zip(images, line, strict=True):
            # channels last, and none of a single one
            axis.imshow(np.moveaxis(image, 0, -1).squeeze(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(_plain(name), rotation=0, ha="right", va="center", fontsize=9)
    for axis, label in zip(axes[0], grid["labels"], strict=True):
        axis.set_title(f"true {label}", fontsize=9)
    if targeted:
        for axis, target in zip(axes[-1], grid["targets"], strict=True):
            axis.set_xlabel(f"target {target}", fontsize=9)
    _save(figure, path)


def gradient_densities(points: pd.DataFrame, path: Path) -> None:
    """Draws the densities of some values' gradients, as in "Defensive Dropout", Fig. 4.

    Each network is a row, each defence a panel, each value a colour: the histogram of its draws and
    the normal density of their mean and variance. Where the draws don't differ there is a line.

    Args:
        points: As ``gradients.points`` gives them.
        path: Where the picture goes.
    """
    rows = list(points.groupby("network", sort=False))
    across = max(group["defence"].nunique() for _, group in rows)
    size = (2.5 * across + 0.6, 2.4 * len(rows))
    # a title of its own for each row, since each is another image
    whole = _figure(size)
    parts = whole.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (network, group) in zip(parts, rows, strict=True):
        axes = part.subplots(1, across, sharex=True, squeeze=False)[0]
        part.suptitle(_plain(network), fontsize=10)
        part.supxlabel("gradient of f, logits a unit pixel", fontsize=8)
        pixels = group["pixel"].unique()
        # ten that are easily told apart, where they do
        palette = sns.color_palette("deep" if len(pixels) <= 10 else "husl", len(pixels))
        colours = dict(zip(pixels, palette, strict=True))
        for axis in axes[group["defence"].nunique() :]:
            axis.set_visible(False)
        for axis, (defence, panel) in zip(axes, group.groupby("defence", sort=False), strict=False):
            for pixel, draws in panel.groupby("pixel", sort=False)["gradient"]:
                mean, spread = draws.mean(), draws.std()
                # what remains of sums in another order is no spread
                if spread <= 1e-6 * draws.abs().max():
                    axis.axvline(mean, color=colours[pixel])
                    continue
                axis.hist(draws, density=True, color=colours[pixel], alpha=0.25)
                x = np.linspace(mean - 4 * spread, mean + 4 * spread, 200)
                y = np.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
                axis.plot(x, y, color=colours[pixel], linewidth=1.2)
            axis.set_title(_plain(defence), fontsize=9)
            axis.tick_params(labelsize=7)
    _save(whole, path)


def gradient_measures(frame: pd.DataFrame, path: Path) -> None:
    """Draws the success of attacks on fresh draws against what ``gradients`` measures, with 95 % intervals.

    Args:
        frame: Rows of a table as ``gradients.table`` makes it, those with gradients only.
        path: Where the picture goes.
    """
    panels = {
        "variance": "variance of the gradient",
        "noise_to_signal": "variance over squared mean",
        "cosine": "cosine between two draws",
    }
    named = [c for c in (*NAMES, "train_rate") if len(frame[c].unique()) > 1] or ["scheme"]
    series = list(frame.groupby(named, sort=False, dropna=False))
    colours = sns.color_palette("husl", len(series))
    figure = _figure((13.5, 4))
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (column, name) in zip(axes, panels.items(), strict=True):
        for (values, group), colour in zip(series, colours, strict=True):
            bars = {}
            for way, which in (("x", column), ("y", "fresh_success_pct")):
                ends = (group[which] - group[f"{which}_low"], group[f"{which}_high"] - group[which])
                bars[f"{way}err"] = np.nan_to_num(np.array(ends, float)).clip(min=0)
            label = ", ".join(
                str(v) if c in NAMES else f"train {v:g}" for c, v in zip(named, values, strict=True)
            )
            style = {"fmt": "o", "markersize": 4, "color": colour, "elinewidth": 0.6, "label": _plain(label)}
            axis.errorbar(group[column], group["fresh_success_pct"], **bars, **style)
        positive = frame.loc[(frame[column] > 0) & np.isfinite(frame[column]), column]
        if column != "cosine" and len(positive):
            # nothing varies without a defence: a place for 0 beside the decades
            axis.set_xscale("symlog", linthresh=positive.min())
        axis.set_xlabel(name)
    axes[0].set_ylabel(PANELS[0][1])
    axes[-1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, path)


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
    own = [str(c) for c in answers[0][1].columns[: answers[0][1].columns.get_loc("attacker")]]
    named = [c for c in own if c in NAMES or len({str(e[c]) for e, _ in answers}) > 1]
    paths = []
    for equilibrium, pairs in answers:
        words = [equilibrium[c] if c in NAMES else f"{c}={equilibrium[c]}" for c in named]
        path = _file(folder, "game", words)
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
        figure = _figure(size)
        axis = figure.subplots()
        _cells(axis, values, text, down, across, "rocket_r", 100.0)
        axis.set_xlabel("attacker")
        axis.set_ylabel("defender")
        axis.set_title(
            _plain(", ".join(f"{c.replace('_', ' ')} {equilibrium[c]}" for c in named))
            + f"\nattack success on fresh draws, %; value {equilibrium['value_pct']:.1f}"
            f" ({equilibrium['value_pct_low']:.1f} to {equilibrium['value_pct_high']:.1f})",
            fontsize=10,
        )
        _save(figure, path)
        paths.append(path)
    return paths


def _draw(group: pd.DataFrame, rows: str, columns: str, title: str, path: Path) -> None:
    down, across = _ordered(group[rows], rows), _ordered(group[columns], columns)
    width, height = 1.15 * len(across) + 1.6, 0.75 * len(down) + 1.6
    figure = _figure((len(PANELS) * width, height))
    axes = figure.subplots(1, len(PANELS))
    for axis, (column, name, colours, top) in zip(axes, PANELS, strict=True):
        _panel(axis, group, (rows, down), (columns, across), column, colours, top)
        axis.set_title(name, fontsize=10)
    count = group.loc[group["status"] == OK, "images"]
    images = f", {int(count.max())} images" if len(count) else ""
    seeds = group["seed"].nunique()
    figure.suptitle(_plain(title) + images + (f", mean of {seeds} seeds" if seeds > 1 else ""), fontsize=11)
    _save(figure, path)


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
    _cells(axis, values, words, rows[1], columns[1], colours, top)
    axis.set_xlabel(columns[0].replace("_", " "))
    axis.set_ylabel(rows[0].replace("_", " "))


def _cells(
    axis: Axes,
    values: np.ndarray,
    words: np.ndarray,
    down: Sequence[Hashable],
    across: Sequence[Hashable],
    colours: str,
    top: float | None,
    bottom: float = 0.0,
) -> None:
    """A heatmap with words in its cells; a cell without a value is grey, its words too."""
    empty = np.isnan(values)
    written = np.vectorize(_plain, otypes=[object])(words)
    largest = 1.0 if empty.all() else np.nanmax(values)
    with _no_warnings():
        sns.heatmap(
            values,
            mask=empty,
            vmin=bottom,
            vmax=top or largest,
            cmap=colours,
            ax=axis,
            linewidths=1,
            annot=np.where(empty, "", written),
            fmt="",
            annot_kws={"fontsize": 8},
            cbar=False,
            xticklabels=[_plain(c) for c in across],
            yticklabels=[_plain(r) for r in down],
        )
    axis.set_facecolor("0.93")
    for i, j in zip(*np.nonzero(empty), strict=True):
        axis.text(j + 0.5, i + 0.5, written[i, j], ha="center", va="center", fontsize=8, color="0.4")
    axis.tick_params(axis="both", rotation=0)


def _hole(cell: pd.DataFrame) -> str:
    if not len(cell):
        return "not asked"
    status = str(cell["status"].iloc[0])
    return {NOT_APPLICABLE: "n/a", OK: "no success"}.get(status, status)


def _ordered(values: pd.Series, name: str) -> list[Any]:
    """In the sweep's order; rates by size, the default first."""
    found = list(dict.fromkeys(values))
    if name.endswith("_rate"):
        found.sort(key=lambda v: -1.0 if v == "default" else float(v))
    return found


def _hole_of(reason: str) -> str:
    """The status in a reason of cross recognition's, as ``samples: failed: it broke``."""
    whose, _, why = reason.partition(":")
    return (why or whose).split(":")[0].strip()


def _figure(size: tuple[float, float]) -> Figure:
    """An empty picture; the backend that a notebook has chosen stays its own."""
    figure = Figure(figsize=size, layout="constrained")
    # seaborn draws on it, to see whether its labels overlap
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with _no_warnings():
        figure.savefig(path, dpi=130)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """A letter that the font lacks is a box, a name too long for its place is cut: no more to be said."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph |constrained_layout not applied|Tight layout not applied")
        yield


def _plain(text: object) -> str:
    """Names as they are: between two ``$`` matplotlib would see a formula."""
    return str(text).replace("$", r"\$")


def _file(folder: Path, kind: str, words: Sequence[object]) -> Path:
    """A picture's path, another one for other words, that any file system can hold."""
    name = "_".join([kind, *(_slug(word) for word in words)])
    if len(name) > 200:
        name = f"{name[:190]}-{_hash(name)}"
    return folder / f"{name}.png"


def _slug(value: object) -> str:
    """A name as a part of a file's; what other names could be changed into as well ends in a hash of it."""
    slug = re.sub(r"[^A-Za-z0-9.=-]+", "-", str(value)).strip("-").lower()
    if slug.replace("-", "_") == str(value):
        return slug
    return f"{slug}-{_hash(str(value))}".strip("-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
