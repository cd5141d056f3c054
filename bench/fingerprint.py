"""Short names for exactly what was computed: hashes of settings, source code and versions; derived seeds.

Here belongs what makes a key change when a result could. What is stored under a key does not.
"""

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSIONED = ("torch", "foolbox", "eagerpy", "numpy")
"""Packages whose version can change a result, and so stands for their source."""


def versions() -> dict[str, str]:
    """The installed version of every package that can change a result."""
    return {name: _version(name) for name in VERSIONED}


@cache
def _version(package: str) -> str:
    return version(package)


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def with_contents(value: Any) -> Any:
    """A JSON-able value in which each string that names an existing file or folder is its content's hash.

    So that other weights under the same path are something else, and the same ones elsewhere are not.

    Raises:
        OSError: for a file that can't be read.
    """
    if isinstance(value, Mapping):
        return {key: with_contents(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [with_contents(one) for one in value]
    content = _named(value)
    return value if content is None else {"content": content}


def contents(value: Any) -> list[Any]:
    """The hashes of the files and folders that a value of any kind names, at any depth of it."""
    if isinstance(value, Mapping):
        return [found for one in value.values() for found in contents(one)]
    if isinstance(value, list | tuple | set | frozenset):
        return [found for one in value for found in contents(one)]
    content = _named(value)
    return [] if content is None else [content]


def _named(value: Any) -> Any:
    """What is in the file or the folder that a string or a path names; None if it names none."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        return None
    path = Path(value).expanduser()
    try:
        if path.is_file():
            return _content(str(path), *_stamp(path))
        if not path.is_dir():
            return None
    except (OSError, ValueError):
        # too long for a name, or with characters that no name has
        return None
    found, seen = {}, set()
    for folder, below, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        for file in (Path(folder, name) for name in files):
            if file.is_file():
                found[str(file.relative_to(path))] = _content(str(file), *_stamp(file))
    return found


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


@cache
def _content(path: str, *changed: int) -> str:
    """SHA-256 of a file; read once, until it changes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def derive_seed(seed: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose, so that no two purposes share their draws."""
    return int(hashlib.sha256(f"{seed} {purpose}".encode()).hexdigest()[:16], 16) >> 1


def code(*objects: Any) -> str:
    """SHA-256 of the source that classes, functions or modules are made of.

    That is their own modules and every module of the same top-level package that these import,
    wherever in the module they do. Comments, docstrings and layout are left out, so that an edit
    of words loses no result.
    """
    pending = [o.__name__ if inspect.ismodule(o) else o.__module__ for o in objects]
    sources: dict[str, str] = {}
    while pending:
        name = pending.pop()
        if name in sources or name.partition(".")[0] in VERSIONED:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue
        package = name if spec.submodule_search_locations else name.rpartition(".")[0]
        sources[name], imports = _read(spec.origin, Path(spec.origin).stat().st_mtime_ns, package)
        pending += [i for i in imports if i.partition(".")[0] == name.partition(".")[0]]
    return digest(sources)


def source(function: Any) -> str:
    """SHA-256 of what one function says, without its comments, docstrings and layout."""
    return digest(_meaning(ast.parse(textwrap.dedent(inspect.getsource(function)))))


@cache
def _read(path: str, changed_ns: int, package: str) -> tuple[str, tuple[str, ...]]:
    """What a module means, and what it imports; read once, until the file changes."""
    tree = ast.parse(Path(path).read_bytes())
    imports = tuple(_imports(tree, package))
    return _meaning(tree), imports


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            for alias in node.names:
                # "from package import name" may mean a module; a name that isn't one has no spec
                with contextlib.suppress(ModuleNotFoundError):
                    if importlib.util.find_spec(f"{base}.{alias.name}"):
                        yield f"{base}.{alias.name}"


def _meaning(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # a bare string is a docstring, or a comment in another form
            kept = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)
