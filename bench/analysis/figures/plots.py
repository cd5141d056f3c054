"""Pictures that are no matrices: curves over rates, densities of gradients, grids of images.

Here belongs what has axes with numbers on them, or none. Heatmaps are in ``matrices``.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from bench.analysis.figures.drawing import empty, plain, save
from bench.axes import GROUPS
from bench.results.columns import TITLES

CURVES = ("clean_accuracy_pct", "fresh_success_pct", "l2_mean")
"""Columns that are drawn against the test rate."""


def curves(frame: pd.DataFrame, path: Path, title: str) -> None:
    """Draws accuracy, success and L2 against the test rate, as in "Defensive Dropout", Figs. 3 and 5.

    Each training rate is a curve, with its 95 % intervals where there are any.

    Args:
        frame: Rows of a sweep's table, finished cells only.
        path: Where the picture goes.
        title: What stands over it.
    """
    trained = sorted(frame["train_rate"].dropna().unique())
    colours = sns.color_palette("viridis", max(len(trained), 1))
    figure = empty((4.2 * len(CURVES), 3.6))
    axes = figure.subplots(1, len(CURVES))
    for axis, column in zip(axes, CURVES, strict=True):
        for rate, colour in zip(trained, colours, strict=True):
            line = frame[frame["train_rate"] == rate].sort_values("test_rate")
            axis.plot(line["test_rate"], line[column], "o-", color=colour, label=f"train {rate:g}")
            if f"{column}_low" in line:
                low, high = (line[f"{column}_{end}"].astype(float) for end in ("low", "high"))
                axis.fill_between(line["test_rate"], low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set(xlabel="test rate", title=TITLES[column])
        axis.title.set_fontsize(10)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(plain(title), fontsize=11)
    save(figure, path)


def audited(frame: pd.DataFrame, path: Path, title: str) -> None:
    """Draws what is left of a defence, and of its twin, against the ball's radius and the attacker's tries.

    Args:
        frame: Points of curves.csv of one scheme; those of several balls make one curve against the radius,
            and one each against tries.
        path: Where the picture goes.
        title: What stands over it.
    """
    figure = empty((9.2, 3.6))
    axes = figure.subplots(1, 2, sharey=True)
    colours = dict(zip(("scheme", "twin"), sns.color_palette("colorblind", 2), strict=True))
    tries = frame[frame["against"] == "tries"]
    balls = sorted(tries["epsilon"].unique())
    for on, colour in colours.items():
        line = frame[(frame["against"] == "epsilon") & (frame["on"] == on)].sort_values("x")
        # the whole of one ball may be half of another: what was found there by more passes counts
        _band(axes[0], line.drop_duplicates("x", keep="last"), colour, on, "o-")
        for epsilon, style in zip(balls, itertools.cycle(("-", "--", ":", "-.")), strict=False):
            one = tries[(tries["on"] == on) & (tries["epsilon"] == epsilon)]
            _band(axes[1], one, colour, f"{on}, {epsilon:g}", style)
    axes[0].set(xlabel="epsilon", ylabel="accuracy, %", ylim=(0, 102))
    axes[1].set(xlabel="tries", xticks=[1, 5, 10, 15, 20])
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle(plain(title), fontsize=11)
    save(figure, path)


def _band(axis: Axes, line: pd.DataFrame, colour: Any, label: str, style: str) -> None:
    if not len(line):
        return
    axis.plot(line["x"], line["accuracy_pct"], style, color=colour, label=label)
    low, high = (line[f"accuracy_pct_{end}"].astype(float) for end in ("low", "high"))
    axis.fill_between(line["x"], low, high, color=colour, alpha=0.15, linewidth=0)


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
    figure = empty(size)
    axes = figure.subplots(len(rows), count, squeeze=False)
    for (name, images), line in zip(rows.items(), axes, strict=True):
        for image, axis in zip(images, line, strict=True):
            # channels last, and none of a single one
            axis.imshow(np.moveaxis(image, 0, -1).squeeze(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(plain(name), rotation=0, ha="right", va="center", fontsize=9)
    for axis, label in zip(axes[0], grid["labels"], strict=True):
        axis.set_title(f"true {label}", fontsize=9)
    if targeted:
        for axis, target in zip(axes[-1], grid["targets"], strict=True):
            axis.set_xlabel(f"target {target}", fontsize=9)
    save(figure, path)


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
    whole = empty(size)
    parts = whole.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, (network, group) in zip(parts, rows, strict=True):
        axes = part.subplots(1, across, sharex=True, squeeze=False)[0]
        part.suptitle(plain(network), fontsize=10)
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
            axis.set_title(plain(defence), fontsize=9)
            axis.tick_params(labelsize=7)
    save(whole, path)


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
    named = [c for c in (*GROUPS, "train_rate") if len(frame[c].unique()) > 1] or ["scheme"]
    series = list(frame.groupby(named, sort=False, dropna=False))
    colours = sns.color_palette("husl", len(series))
    figure = empty((13.5, 4))
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (column, name) in zip(axes, panels.items(), strict=True):
        for (values, group), colour in zip(series, colours, strict=True):
            bars = {}
            for way, which in (("x", column), ("y", "fresh_success_pct")):
                ends = (group[which] - group[f"{which}_low"], group[f"{which}_high"] - group[which])
                bars[f"{way}err"] = np.nan_to_num(np.array(ends, float)).clip(min=0)
            label = ", ".join(
                str(v) if c in GROUPS else f"train {v:g}" for c, v in zip(named, values, strict=True)
            )
            style = {"fmt": "o", "markersize": 4, "color": colour, "elinewidth": 0.6, "label": plain(label)}
            axis.errorbar(group[column], group["fresh_success_pct"], **bars, **style)
        positive = frame.loc[(frame[column] > 0) & np.isfinite(frame[column]), column]
        if column != "cosine" and len(positive):
            # nothing varies without a defence: a place for 0 beside the decades
            axis.set_xscale("symlog", linthresh=positive.min())
        axis.set_xlabel(name)
    axes[0].set_ylabel(TITLES["fresh_success_pct"])
    axes[-1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, path)
