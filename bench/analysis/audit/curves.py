"""The curves of an audit: accuracy against the size of the ball, and against how often the attacker may ask.

Here belongs which points there are, and their intervals. How they are drawn is in ``analysis.figures``.
"""

from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.audit import pool
from bench.analysis.audit.asked import Asked
from bench.analysis.audit.checks import worst_of
from bench.analysis.audit.figures import Answers, any_of
from bench.analysis.audit.row import Row
from bench.measuring import intervals

TRIES = tuple(range(1, 21))
"""How often the attacker may ask."""

COLUMNS = {
    "against": "`epsilon` or `tries`: what `x` is",
    "x": "the radius of the ball, 0 being the images as they are; or how often the attacker may ask",
    "on": "scheme or twin",
    "accuracy_pct": "accuracy, with its 95 % interval: at a ball of the worst of all samples that lie in it",
    "accuracy_pct_low": "",
    "accuracy_pct_high": "",
}
"""Of curves.csv."""


def of_row(row: Row, asked: Asked) -> pd.DataFrame:
    """``curves.csv`` of one row, without the columns that name it.

    Args:
        row: What was found.
        asked: What was asked.
    """
    points: list[dict[str, Any]] = []

    def add(against: str, x: float, on: str, given: tuple[float, float, float]) -> None:
        values = dict(zip(list(COLUMNS)[3:], (100 * share for share in given), strict=True))
        points.append({"against": against, "x": x, "on": on, **values})

    for share in (0.0, 0.5):
        radius = share * asked.epsilon
        inside = _inside(row, asked, radius)
        add("epsilon", radius, "scheme", worst_of(inside, list(inside)).accuracy()[:3])
        if row.twin is not None:
            add("epsilon", radius, "twin", intervals.estimate(_withstands(row, asked, radius))[:3])
    add("epsilon", asked.epsilon, "scheme", row.figures.real[:3])
    twin = None if row.twin is None else intervals.estimate(row.twin.all(0).astype(float))[:3]
    if twin is not None:
        add("epsilon", asked.epsilon, "twin", twin)
    for tries in TRIES:
        mean, low, high = row.right.less(np.zeros(len(row.which)), any_of(tries))[:3]
        add("tries", tries, "scheme", (mean, max(0.0, low), min(1.0, high)))
        if twin is not None:
            add("tries", tries, "twin", twin)
    return pd.DataFrame(points)


def _near(row: Row, asked: Asked, radius: float) -> np.ndarray:
    """Which samples of which images lie in a ball, booleans (samples, images)."""
    far = np.stack([pool.distances(one, asked.originals, asked.norm) for one in row.pool])
    near: np.ndarray = far <= radius * (1 + 1e-4) + 1e-6
    return near


def _inside(row: Row, asked: Asked, radius: float) -> dict[str, Answers]:
    """Answers to each sample where it lies in the ball, and to the image as it is where it doesn't."""
    plain = row.answers[row.names[0]]
    return {
        name: Answers(np.where(near, row.answers[name].right, plain.right), plain.shared, plain.chances)
        for name, near in zip(row.names, _near(row, asked, radius), strict=True)
    }


def _withstands(row: Row, asked: Asked, radius: float) -> np.ndarray:
    """Whether the twin withstands all samples of a ball, shape (images,)."""
    assert row.twin is not None
    found: np.ndarray = (row.twin | ~_near(row, asked, radius)).all(0).astype(float)
    return found
