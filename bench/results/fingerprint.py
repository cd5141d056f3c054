"""Short names for exactly what was computed: hashes of settings, source code and versions; derived seeds.

Here belongs what makes a key change when a result could. What is stored under a key does not.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import inspect
import json
import linecache
import os
import textwrap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from bench.results.imports import (
    VERSIONED,
    distributions,
    imports,
    installed_version,
    is_standard,
    located,
    spec_of,
)

if TYPE_CHECKING:
    # imported where tensors are: keys of most things have none
    import torch


def versions() -> dict[str, str]:
    """The installed version of every package that can change a result."""
    return {name: installed_version(name) for name in VERSIONED}


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


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, whatever their order."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@cache
def _content(path: str, *changed: int) -> str:
    """SHA-256 of a file; read once, until it changes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def derive_seed(seed: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose, so that no two purposes share their draws."""
    return int(hashlib.sha256(f"{seed} {purpose}".encode()).hexdigest()[:16], 16) >> 1


class Unidentified(Exception):
    """What can't stand in a key: one line that names it and the remedy."""


def code(*objects: Any) -> str:
    """SHA-256 of the code that classes, functions or modules (by name too) are made of.

    That is their own modules and every module that these use, wherever in a module they import it: by source
    where it is ``bench``'s or somebody's own, by name and version where it is of an installed distribution.
    What ``bench`` imports from elsewhere is not looked at: ``VERSIONED`` names what of it can matter. Of
    ``from package import module`` and ``import package.module`` the module counts, the package's
    ``__init__`` only where something of it is used; that of ``bench`` itself, which merely gathers names,
    never. The standard library doesn't count. Comments, docstrings and layout are left out, so that an edit
    of words loses no result.

    Of what was typed into a notebook or a console its own source counts, and what it uses of the globals.

    Raises:
        Unidentified: for an object whose source isn't to be had.
    """
    pending: list[str] = []
    sources: dict[str, str] = {}
    for o in objects:
        _begin(o, pending, sources)
    while pending:
        name = pending.pop()
        if name in sources or name == "bench":
            continue
        top = name.partition(".")[0]
        if top != "bench" and (found := distributions(top)):
            sources[top] = " ".join(found)
            continue
        path, package = located(name)
        if path is None or is_standard(path):
            continue
        if not path.endswith(".py"):
            sources[name] = _content(path, *_stamp(Path(path)))
            continue
        sources[name], used = _read(path, Path(path).stat().st_mtime_ns, package)
        pending += used
    return digest(sources)


def _begin(o: Any, pending: list[str], sources: dict[str, str]) -> None:
    """Puts the module of an object among those to be read; what has none is read here."""
    name = o.__name__ if inspect.ismodule(o) else o if isinstance(o, str) else getattr(o, "__module__", None)
    if not isinstance(name, str):
        name = "?"
    spec = spec_of(name)
    if spec is not None or located(name)[0]:
        # of "python -m package.module" the name is known all the same
        pending.append(spec.name if spec is not None and name == "__main__" else name)
        return
    said = name if inspect.ismodule(o) else f"{name}.{getattr(o, '__qualname__', type(o).__qualname__)}"
    if said in sources:
        return
    try:
        sources[said] = _meaning(ast.parse(_typed(o)))
    except (OSError, TypeError, SyntaxError):
        raise Unidentified(f"{said}: its source isn't to be had; put it into a module of its own") from None
    for other in o.__mro__[1:-1] if inspect.isclass(o) else ():
        _begin(other, pending, sources)
    for function in _functions(o):
        for word in words(function.__code__) & set(function.__globals__):
            value = function.__globals__[word]
            if inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value):
                _begin(value, pending, sources)
                continue
            try:
                sources[f"{name}.{word}"] = digest(value)
            except (TypeError, ValueError):
                raise Unidentified(
                    f"{said}: it uses {word}, a {type(value).__name__}; put both into a module of their own"
                ) from None


def _functions(o: Any) -> list[FunctionType]:
    inside = vars(o).values() if inspect.isclass(o) else [o]
    return [f for f in map(inspect.unwrap, inside) if isinstance(f, FunctionType)]


def _typed(o: Any) -> str:
    """The source of a function or class without a module's file; a class's methods know the cell it is of."""
    try:
        return textwrap.dedent(inspect.getsource(o))
    except (OSError, TypeError):
        for function in _functions(o) if inspect.isclass(o) else ():
            if lines := linecache.getlines(function.__code__.co_filename):
                return "".join(lines)
        raise


def words(code: CodeType) -> set[str]:
    """The globals that a piece of code asks for, those of the functions inside it too."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(words(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


@cache
def _read(path: str, changed_ns: int, package: str) -> tuple[str, tuple[str, ...]]:
    """What a module means, and what it imports; read once, until the file changes."""
    text = Path(path).read_bytes()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        # of a package's modules one for another Python may be among those that are never imported
        return hashlib.sha256(text).hexdigest(), ()
    return _meaning(tree), tuple(imports(tree, package))


def _meaning(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # a bare string is a docstring, or a comment in another form
            kept = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)
