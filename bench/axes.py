"""What the axes of the matrix are, and whose choice each is.

Here belongs what a setting means in a table of many cells. What a setting may hold is in ``config``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["defender", "attacker"]


@dataclass(frozen=True)
class Axis:
    """One of the choices that name a cell.

    Attributes:
        name: Its key in the settings, and its column in a table.
        meaning: What the column says.
        side: Whose choice it is, and that of the settings in its section; None: neither's.
        group: Whether it is a file of conf/, with settings of its own, that its name stands for.
        common: Settings in its section that come with no choice of a file: they are no part of the name.
        rate: Whether it is a rate, which may be empty: the choice's own.
        at_test: Whether it changes a network that is trained, as what is random at test time does.
    """

    name: str
    meaning: str
    side: Side | None = None
    group: bool = False
    common: tuple[str, ...] = ()
    rate: bool = False
    at_test: bool = False


COMMON = ("epochs", "batch_size", "learning_rate", "seed")
"""Settings of training that come with no choice of a file."""

AXES = (
    Axis("dataset", "the data: a file in conf/dataset, or its name", group=True),
    Axis("model", "the network: a file in conf/model", "defender", group=True),
    Axis("training", "how its weights came about: a file in conf/training", "defender", group=True, common=COMMON),
    Axis("scheme", "what is random at test time: a file in conf/scheme", "defender", group=True, at_test=True),
    Axis("attack", "the attack: a file in conf/attack", "attacker", group=True),
    Axis("criterion", "what counts as adversarial: a file in conf/criterion", group=True),
    Axis("train_rate", "rate at the scheme's sites in training; empty: the model's own rates", "defender", rate=True),
    Axis("test_rate", "rate at the scheme's sites at test time; empty: the scheme's own rates", "defender", rate=True, at_test=True),
    Axis("seed", "seed of targets, attack and evaluation"),
)  # fmt: skip
"""What names a cell to a person, in the order of a table's columns; a line here is one more."""

NAMES = tuple(axis.name for axis in AXES)
GROUPS = tuple(axis.name for axis in AXES if axis.group)
RATES = tuple(axis.name for axis in AXES if axis.rate)

_OF_TRAINING = ("dataset.epochs", "dataset.train_size")
"""What else decides how a network comes about."""

_OF_SECTION = {axis.name: axis for axis in AXES}


def names(config: Mapping[str, Any]) -> dict[str, Any]:
    """What names the cell of a configuration: the chosen files' names, the rates and the seed."""
    found = {}
    for axis in AXES:
        value = config.get(axis.name)
        found[axis.name] = value.get("name") if isinstance(value, Mapping) else value
    return found


def side(column: str) -> Side | None:
    """Whose choice a setting is: how a network comes about is the defender's; None: neither's."""
    section = column.partition(".")[0]
    if column in _OF_TRAINING:
        return "defender"
    return _OF_SECTION[section].side if section in _OF_SECTION else None


def at_test(column: str) -> bool:
    """Whether a setting changes a network that is trained: the scheme, and its rate at test time."""
    section = column.partition(".")[0]
    return section in _OF_SECTION and _OF_SECTION[section].at_test


def split(columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The defender's columns, axes first; and the others: what was attacked, and how."""
    own = [c for c in columns if side(c) == "defender"]
    own.sort(key=lambda c: c not in NAMES)
    return own, [c for c in columns if side(c) != "defender"]
