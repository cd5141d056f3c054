"""What a value of the settings may be, and the one line said of one that can't be used.

Here belong errors and checks that know of no particular setting. Which setting may be what is in ``config``.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any


class ConfigError(Exception):
    """A setting that can't be used: one line that names the key and what is allowed."""


class NotApplicable(ConfigError):
    """Settings that are each fine but have no meaning together; in a sweep such a cell is left out."""


def check_finite(key: str, value: Any) -> None:
    """Raises ConfigError for a number, at any depth of ``value``, that is infinite or not a number."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_finite(f"{key}.{name}", part)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            check_finite(f"{key}.{place}", part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}: expected a finite number, got {value}")


def check_rate(key: str, rate: float | None) -> None:
    """Raises ConfigError unless ``rate`` is None or dropout's, in [0, 1)."""
    if rate is not None and not 0 <= rate < 1:
        raise ConfigError(f"{key}: expected a rate in [0, 1), got {rate}")


def number(key: str, value: Any) -> float:
    """A number, or a fraction such as ``8/255``.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if value is None:
        raise ConfigError(f"{key}: expected a value, got null")
    try:
        found = fraction(value)
        return float(found)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ConfigError(
            f"{key}: Value {str(value)!r} of type {type(value).__name__!r} could not be converted to Float; "
            "expected a number, or a fraction such as 8/255"
        ) from None


def fraction(value: Any) -> Any:
    """What a fraction comes to; of anything else, itself."""
    if not isinstance(value, str) or not re.fullmatch(r"\s*[\d.]+\s*/\s*[\d.]+\s*", value):
        return value
    over, under = value.split("/")
    return float(over) / float(under)


def check_at_least(key: str, value: int, least: int) -> None:
    """Raises ConfigError unless ``value`` is at least ``least``."""
    if value < least:
        raise ConfigError(f"{key}: expected at least {least}, got {value}")


def check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Raises ConfigError unless ``value`` is one of ``choices``."""
    if value not in choices:
        close = difflib.get_close_matches(value, choices, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"{key}: expected one of {', '.join(choices)}, got {value}{hint}")
