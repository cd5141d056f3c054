"""What the axes of the matrix are, and whose choice each is.

Here belongs what a setting means in a table of many cells. What a setting may hold is in ``config``.
"""

from collections.abc import Sequence
from typing import Literal

Side = Literal["defender", "attacker"]

IDENTITY = (
    "dataset",
    "model",
    "training",
    "scheme",
    "attack",
    "criterion",
    "train_rate",
    "test_rate",
    "seed",
)
"""What names a cell to a person."""

GROUPS = ("dataset", "model", "training", "scheme", "attack", "criterion")
"""Those of them that are files of conf/, each with settings of its own."""

DEFENDER = ("model", "training", "scheme", "train_rate", "test_rate")
"""What of a cell's name says who defends."""

_OF_TRAINING = ("dataset.epochs", "dataset.train_size")


def side(column: str) -> Side | None:
    """Whose choice a setting is: how a network comes about is the defender's; None: neither's."""
    section = column.partition(".")[0]
    if section == "attack":
        return "attacker"
    if column in DEFENDER or section in ("model", "scheme", "training") or column in _OF_TRAINING:
        return "defender"
    return None


def split(columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The defender's columns, those of ``DEFENDER`` first; and the others: what was attacked, and how."""
    own = [c for c in columns if side(c) == "defender" and c not in DEFENDER]
    return [*DEFENDER, *own], [c for c in columns if side(c) != "defender"]
