"""Where modules come from and which others they use, found out without importing any.

Here belong imports, as a module's source states them, and whether a module is somebody's own or installed.
What is made of the sources that are found does not.
"""

import ast
import contextlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from pathlib import Path

VERSIONED = ("torch", "foolbox", "eagerpy", "numpy")
"""Packages whose version can change a result, and so stands for their source."""

_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})


def is_standard(path: str) -> bool:
    """Whether a file is of Python's own library."""
    return path.startswith(_STANDARD) and _INSTALLED.isdisjoint(Path(path).parts)


@cache
def installed_version(package: str) -> str:
    """The version of an installed distribution."""
    return version(package)


def distributions(top: str) -> list[str]:
    """The installed distributions of a top-level package, with versions; none for what stands by source."""
    if top in VERSIONED:
        return [f"{top}=={installed_version(top)}"]
    spec = spec_of(top)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    if not any(_INSTALLED.intersection(Path(place).parts) for place in places if place):
        return []
    names = _installed(tuple(sys.path)).get(top, ())
    return sorted({f"{name}=={installed_version(name)}" for name in names if name})


@cache
def _installed(path: tuple[str, ...]) -> Mapping[str, list[str]]:
    # reads what every distribution says of itself: only for whoever needs it, and once
    return packages_distributions()


def spec_of(name: str) -> ModuleSpec | None:
    """Where a module is found, without importing anything: a package's ``__init__`` may take seconds."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if module is not None and (spec is not None or name == "__main__"):
        return spec
    parent = name.rpartition(".")[0]
    path = None
    if parent:
        path = getattr(sys.modules.get(parent), "__path__", None)
        if path is None:
            above = spec_of(parent)
            path = None if above is None else above.submodule_search_locations
        if path is None:
            return None
    for finder in sys.meta_path:
        if spec := finder.find_spec(name, path):
            return spec
    return None


def located(name: str) -> tuple[str | None, str]:
    """The file of a module, or None, and the package that its relative imports start from."""
    spec = spec_of(name)
    if spec is not None:
        package = spec.name if spec.submodule_search_locations is not None else spec.name.rpartition(".")[0]
        return spec.origin if spec.has_location else None, package
    path = getattr(sys.modules.get(name), "__file__", None)
    # a script, which has a file and no spec
    return path if path and Path(path).is_file() else None, ""


def imports(tree: ast.Module, package: str) -> set[str]:
    """The modules whose code a module uses; of ``bench``'s own modules only those of ``bench``."""
    found: set[str] = set()
    called: dict[str, str] = {}
    attributes: list[ast.Attribute] = []
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            # of a.b.c the whole is met first
            inside.add(node.value)
            if node not in inside:
                attributes.append(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found.add(alias.name)
                top = alias.name.partition(".")[0]
                called[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                # beyond the top there is nothing that could be imported
                with contextlib.suppress(ImportError):
                    base = importlib.util.resolve_name("." * node.level + base, package)
            if is_bench(package) and not is_bench(base):
                continue
            for alias in node.names:
                name = f"{base}.{alias.name}"
                if module := _is_module(name):
                    found.add(name)
                    called[alias.asname or alias.name] = name
                if not module or _says(base, alias.name):
                    found.add(base)
    if is_bench(package):
        found, called = set(filter(is_bench, found)), {k: v for k, v in called.items() if is_bench(v)}
    for node in attributes:
        # of "import a.b", a.b.f is of a.b, and a.f is of a
        words, of = [node.attr], node.value
        while isinstance(of, ast.Attribute):
            words.append(of.attr)
            of = of.value
        if isinstance(of, ast.Name) and of.id in called:
            name = called[of.id]
            while words and _is_module(f"{name}.{words[-1]}"):
                name = f"{name}.{words.pop()}"
            found.add(name)
    return found


def is_bench(name: str) -> bool:
    """Whether a module or package is of this project."""
    return name.partition(".")[0] == "bench"


def _is_module(name: str) -> bool:
    parent = spec_of(name.rpartition(".")[0])
    return parent is not None and parent.submodule_search_locations is not None and spec_of(name) is not None


def _says(package: str, name: str) -> bool:
    """Whether a package's ``__init__`` may give a name something else than the module of that name."""
    path, _ = located(package)
    if path is None or not path.endswith(".py") or distributions(package.partition(".")[0]):
        return False
    return not {name, "__getattr__"}.isdisjoint(_bound(path, Path(path).stat().st_mtime_ns, package))


@cache
def _bound(path: str, changed_ns: int, package: str) -> frozenset[str]:
    """The names that a package's ``__init__`` gives to anything but its own modules."""
    found = set()
    for node in ast.walk(ast.parse(Path(path).read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom) and (node.module, node.level) not in ((None, 1), (package, 0)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname for alias in node.names if alias.asname}
    return frozenset(found)
