"""What all pictures have in common: an empty one, a heatmap with words in it, a file's name, plain text.

Here belongs what knows nothing of records. What is drawn, and of which table, is its neighbours' business.
"""

import contextlib
import hashlib
import re
import warnings
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def empty(size: tuple[float, float]) -> Figure:
    """An empty picture; the backend that a notebook has chosen stays its own."""
    figure = Figure(figsize=size, layout="constrained")
    # seaborn draws on it, to see whether its labels overlap
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    with _no_warnings():
        figure.savefig(path, dpi=130)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """A letter that the font lacks is a box, a name too long for its place is cut: no more to be said."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph |constrained_layout not applied|Tight layout not applied")
        yield


def heatmap(
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
    written = np.vectorize(plain, otypes=[object])(words)
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
            xticklabels=[plain(c) for c in across],
            yticklabels=[plain(r) for r in down],
        )
    axis.set_facecolor("0.93")
    for i, j in zip(*np.nonzero(empty), strict=True):
        axis.text(j + 0.5, i + 0.5, written[i, j], ha="center", va="center", fontsize=8, color="0.4")
    axis.tick_params(axis="both", rotation=0)


def plain(text: object) -> str:
    """Names as they are: between two ``$`` matplotlib would see a formula."""
    return str(text).replace("$", r"\$")


def file(folder: Path, kind: str, words: Sequence[object]) -> Path:
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
