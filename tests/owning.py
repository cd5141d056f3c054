"""A package of a user's own, written where a test needs one."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

Own = Callable[..., tuple[ModuleType, tuple[str, ...]]]


@contextmanager
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    """Gives ``write(name, source, **{"group/choice": yaml})``: the module, and overrides that find it all.

    A second call with the same name is an edit.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    written: set[str] = set()

    def write(name: str, source: str, **choices: str) -> tuple[ModuleType, tuple[str, ...]]:
        (tmp_path / f"{name}.py").write_text(source)
        for choice, text in choices.items():
            path = tmp_path / "my" / f"{choice}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        # two edits within a second, of one size, would look alike to what Python has compiled
        sys.modules.pop(name, None)
        importlib.import_module(name)
        written.add(name)
        found = (f"hydra.searchpath=[file://{tmp_path / 'my'}]", f"trusted_modules=[bench,foolbox,{name}]")
        return sys.modules[name], found

    yield write
    for name in written:
        sys.modules.pop(name, None)
