"""Making a network by somebody's factory, so that no network sees what the making of another has left behind.

Here belongs what a factory changes in its own modules: it is put back, and the network made once more by
modules that are imported afresh for it alone. Which factory, and from which draws, is the caller's business.
"""

import importlib
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.results.imports import distributions


def alone(factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """What a factory makes, with modules of its own if making it changes them.

    Looked at are the globals, and the attributes of classes, of the factory's module, and of every module of
    its package where that isn't an installed distribution's: by value, where there is one.

    Args:
        factory: A class or a function of a module, or a method of a class.
        options: What it is called with.
    """
    name = getattr(factory, "__module__", None) or ""
    if name.partition(".")[0] in ("bench", "torch", "builtins", "__main__") or name not in sys.modules:
        return factory(**options)
    before, draws = _Globals(_package(name)), _draws()
    try:
        made = factory(**options)
        changed = before.changed()
    finally:
        before.put_back()
    if not changed or "<" in factory.__qualname__:
        return made
    with _afresh(name) as module:
        same: Any = module
        for part in factory.__qualname__.split("."):
            same = getattr(same, part)
        _draw_again(draws)
        return same(**options)


def _package(name: str) -> list[str]:
    """The module, or all of its package that were imported; a distribution's may be hundreds."""
    top = name.partition(".")[0]
    if distributions(top):
        return [name]
    return [other for other in sys.modules if other == top or other.startswith(f"{top}.")]


@contextmanager
def _afresh(name: str) -> Iterator[ModuleType]:
    kept = {other: sys.modules.pop(other) for other in _package(name)}
    try:
        yield importlib.import_module(name)
    finally:
        for other in _package(name):
            del sys.modules[other]
        sys.modules.update(kept)


def _draws() -> tuple[Any, ...]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _draw_again(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


class _Globals:
    """What modules hold at a moment: names, and what values are like.

    Args:
        names: Of modules that were imported.
    """

    def __init__(self, names: list[str]):
        modules = [sys.modules[name] for name in names]
        classes = [
            one
            for m in modules
            for one in vars(m).values()
            if isinstance(one, type) and one.__module__ in names
        ]
        self.held = [(one, _values(one)) for one in dict.fromkeys([*modules, *classes])]
        self.states = [{name: _state(value) for name, value in values.items()} for _, values in self.held]

    def changed(self) -> bool:
        """Whether any of it is another now."""
        return any(self._differing(*three) for three in self._now())

    def put_back(self) -> None:
        """Every value as it was, and nothing that wasn't there."""
        for holder, values, states in self._now():
            for name in self._differing(holder, values, states):
                if name not in values:
                    delattr(holder, name)
                    continue
                setattr(holder, name, values[name])
                if _state(values[name]) != states[name]:
                    _refill(values[name], pickle.loads(states[name] or b""))

    def _now(self) -> list[tuple[Any, dict[str, Any], dict[str, bytes | None]]]:
        return [(holder, values, s) for (holder, values), s in zip(self.held, self.states, strict=True)]

    @staticmethod
    def _differing(holder: Any, values: dict[str, Any], states: dict[str, bytes | None]) -> list[str]:
        now = _values(holder)
        # what can't be told by value is told by being the same
        return [
            name
            for name in {**values, **now}
            if name not in values
            or name not in now
            or (now[name] is not values[name] if states[name] is None else _state(now[name]) != states[name])
        ]


def _values(holder: Any) -> dict[str, Any]:
    """What of a module, or of a class, isn't Python's own."""
    return {name: value for name, value in vars(holder).items() if name[:2] != "__"}


def _state(value: Any) -> bytes | None:
    """What a value is like; None for code, and for what can't be told."""
    if isinstance(value, ModuleType | type) or callable(value):
        return None
    if isinstance(value, torch.Generator):
        value = value.get_state().numpy()
    try:
        found = pickle.dumps(value)
        # what says something else each time says nothing
        return found if found == pickle.dumps(value) else None
    # whatever is in it may raise anything at all
    except Exception:
        return None


def _refill(value: Any, before: Any) -> None:
    """Puts into an object what was in it before."""
    if isinstance(value, list):
        value[:] = before
    elif isinstance(value, dict | set):
        value.clear()
        value.update(before)
    elif isinstance(value, Tensor):
        value.data = before.data
    elif isinstance(value, np.ndarray):
        value[...] = before
    elif isinstance(value, np.random.Generator):
        value.bit_generator.state = before.bit_generator.state
    elif isinstance(value, random.Random):
        value.setstate(before.getstate())
    elif isinstance(value, torch.Generator):
        value.set_state(torch.from_numpy(before))
    elif hasattr(value, "__dict__"):
        vars(value).clear()
        vars(value).update(vars(before))
