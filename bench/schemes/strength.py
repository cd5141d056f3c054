"""How strongly an operation acts: what the number is called, which numbers it may be, and which is off.

Here belongs what an operation says of its strength, and the one line said of a number that it can't
take. What an operation does with the number does not.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import torch
from torch import Tensor

Operation = Callable[[Tensor, float, torch.Generator], Tensor]
"""What a scheme does at a site: called with values (batch, ...), a rate, its strength, and a generator."""


@dataclass(frozen=True)
class Strength:
    """What an operation takes as its second argument; as it stands, dropout's rate.

    Attributes:
        name: What the number is called, in the singular or the plural, without an article.
        low, high: Between which numbers it is; either may be infinite.
        ends: Which of the two are allowed themselves: "[]", "[)", "(]" or "()".
        off: The value at which the operation does nothing; None: there is none.
        grows: Whether a larger value changes more.

    Raises:
        ValueError: for a statement that makes no sense, in one line.
    """

    name: str = "rate"
    low: float = 0.0
    high: float = 1.0
    ends: str = "[)"
    off: float | None = 0.0
    grows: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"name: expected a few words, got {_said(self.name)}")
        for key in ("low", "high"):
            if not _is_number(getattr(self, key)):
                raise ValueError(f"{key}: expected a number, got {_said(getattr(self, key))}")
        if not self.low < self.high:
            raise ValueError(f"high: expected over low ({self.low:g}), got {_said(self.high)}")
        if not isinstance(self.ends, str) or self.ends not in ("[]", "[)", "(]", "()"):
            raise ValueError(f"ends: expected one of [], [), (], (), got {_said(self.ends)}")
        if self.off is not None and not self._holds(self.off):
            raise ValueError(f"off: expected {self._expected()}, or None, got {_said(self.off)}")
        if not isinstance(self.grows, bool):
            raise ValueError(f"grows: expected True or False, got {_said(self.grows)}")

    def check(self, key: str, value: Any) -> None:
        """Raises ValueError, of one line that begins with ``key``, unless ``value`` is a number in range."""
        if not self._holds(value):
            raise ValueError(f"{key}: expected {self._expected()}, got {_said(value)}")

    def acts(self, value: float) -> bool:
        """Whether the operation does anything at this value."""
        return value != self.off

    def _holds(self, value: Any) -> bool:
        if not _is_number(value) or not math.isfinite(value):
            return False
        over = value >= self.low if self.ends[0] == "[" else value > self.low
        under = value <= self.high if self.ends[1] == "]" else value < self.high
        return over and under

    def _expected(self) -> str:
        # "a rate", "an angle", "draws per activation"
        plural = self.name.split()[0].endswith("s")
        what = self.name if plural else f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"
        opening, closing = self.ends[0], self.ends[1]
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{what} in {opening}{self.low:g}, {self.high:g}{closing}"
        if math.isfinite(self.low):
            return f"{what} {'of at least' if opening == '[' else 'over'} {self.low:g}"
        if math.isfinite(self.high):
            return f"{what} {'of at most' if closing == ']' else 'below'} {self.high:g}"
        return f"{what}, a finite number"


def strength_of(operation: Any) -> Strength:
    """What an operation, or its class, says of its strength by an attribute ``strength``.

    That is a ``Strength``, or a mapping or a sequence of its fields, for an operation that doesn't import
    this project; without it the strength is dropout's: a rate in [0, 1), of which 0 is off.

    Raises:
        ValueError: of one line, for a statement that can't be understood.
    """
    stated = getattr(operation, "strength", Strength())
    name = getattr(operation, "__name__", type(operation).__name__)
    try:
        if isinstance(stated, Strength):
            return stated
        if isinstance(stated, Mapping):
            unknown = [str(key) for key in stated if key not in _FIELDS]
            if unknown:
                raise ValueError(f"no such field as {', '.join(unknown)}; allowed: {', '.join(_FIELDS)}")
            return Strength(**stated)
        if isinstance(stated, Sequence) and not isinstance(stated, str) and len(stated) <= len(_FIELDS):
            return Strength(*stated)
        raise ValueError(f"expected a Strength, or its {', '.join(_FIELDS)}; got {_said(stated)}")
    except ValueError as error:
        raise ValueError(f"{name}.strength: {' '.join(str(error).split())}") from None


_FIELDS = [field.name for field in fields(Strength)]


def _is_number(value: Any) -> bool:
    """Whether it is a real number that a float can hold; true and false aren't numbers here."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return not math.isnan(value)
    except OverflowError:
        return False


def _said(value: Any) -> str:
    return f"{value}" if isinstance(value, Real) else " ".join(repr(value).split())
