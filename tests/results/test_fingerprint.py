"""What makes a key change, and what doesn't: code, versions, tensors, settings."""

import importlib
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import bench
from bench.results import fingerprint, imports

Package = Callable[[dict[str, str]], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """Writes files, those of a package ``mine`` among them, where they can be imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()

    yield write
    for name in [m for m in sys.modules if m.partition(".")[0] in ("mine", "sibling", "stranger")]:
        del sys.modules[name]


def of_thing() -> str:
    return fingerprint.code(importlib.import_module("mine.thing").Thing)


THING = "class Thing:\n    pass\n"


def test_comments_docstrings_and_layout_are_no_code(package: Package) -> None:
    package(
        {
            "mine/__init__.py": "",
            "mine/thing.py": '"""Words."""\nclass Thing:\n    """More."""\n    limit = 1\n',
        }
    )
    before = of_thing()
    package({"mine/thing.py": '# a comment\n"""Better words."""\n\nclass Thing:\n    limit = (1)\n'})
    assert of_thing() == before
    package({"mine/thing.py": "class Thing:\n    limit = 2\n"})
    assert of_thing() != before


FILES = ("mine/__init__.py", "mine/a.py", "mine/sub/__init__.py", "mine/sub/b.py", "sibling.py")


@pytest.mark.parametrize(
    ("statement", "counts"),
    [
        ("from mine import a", {"mine/a.py"}),
        ("from . import a", {"mine/a.py"}),
        ("from .a import X", {"mine/a.py"}),
        ("import mine.a", {"mine/a.py"}),
        ("import mine.sub.b as other", {"mine/sub/b.py"}),
        ("import mine.sub.b\nY = mine.sub.b.X", {"mine/sub/b.py"}),
        ("from .sub import b", {"mine/sub/b.py"}),
        ("from . import sub\nY = sub.b.X", {"mine/sub/__init__.py", "mine/sub/b.py"}),
        # what is used of the package itself is in its __init__
        ("from . import X", {"mine/__init__.py"}),
        ("from . import a, X", {"mine/__init__.py", "mine/a.py"}),
        ("from mine import *", {"mine/__init__.py"}),
        ("import mine\nY = mine.X", {"mine/__init__.py"}),
        ("import mine.a\nY = mine.X", {"mine/__init__.py", "mine/a.py"}),
        # wherever they are, and one's own modules beside the package too
        ("def f():\n    from mine import a", {"mine/a.py"}),
        ("import sibling", {"sibling.py"}),
        ("import json, missing", set()),
    ],
)
def test_of_a_package_the_modules_count_that_are_used_and_no_others(
    package: Package, statement: str, counts: set[str]
) -> None:
    package({**dict.fromkeys(FILES, "X = 1\n"), "mine/thing.py": THING})
    importlib.import_module("mine.thing")
    package({"mine/thing.py": f"{statement}\n{THING}"})
    before = of_thing()
    seen = set()
    for name in FILES:
        package({name: "X = 20\n"})
        if of_thing() != before:
            seen.add(name)
        package({name: "X = 1\n"})
    assert seen == counts


def test_an_init_counts_with_what_it_imports_and_where_it_hides_a_module(package: Package) -> None:
    helper = {"mine/sub/__init__.py": "", "mine/sub/b.py": "def helper():\n    return 1\n"}
    package({**helper, "mine/__init__.py": "from .sub.b import helper\n"})
    package({"mine/thing.py": f"import mine\nY = mine.helper()\n{THING}"})
    before = of_thing()
    package({"mine/sub/b.py": "def helper():\n    return 20\n"})
    assert of_thing() != before
    # as foolbox's attacks are, a function under its module's name
    package({"mine/__init__.py": "from .a import a\nfrom . import other\n", "mine/a.py": "def a(): ...\n"})
    package({"mine/other.py": "", "mine/thing.py": f"from mine import a\n{THING}"})
    before = of_thing()
    package({"mine/__init__.py": "from .a import a\nfrom . import other\na = None\n"})
    hidden = of_thing()
    assert hidden != before
    # but the module itself may be had from there too
    package({"mine/thing.py": f"from mine import other\n{THING}"})
    before = of_thing()
    package({"mine/__init__.py": "from . import other\n"})
    assert of_thing() == before


def test_an_installed_package_stands_by_its_version_and_one_in_development_by_its_source(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(name: str, version: str) -> None:
        about = f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: {version}\n"
        record = f"{name}/__init__.py,,\n{name}_dist-1.dist-info/METADATA,,\n"
        folder = f"site-packages/{name}_dist-1.dist-info"
        package({f"{folder}/METADATA": about, f"{folder}/RECORD": record, f"{folder}/top_level.txt": name})
        imports._installed.cache_clear()
        imports.installed_version.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    package({"site-packages/stranger/__init__.py": "class Thing:\n    x = 1\n"})
    package({"mine/__init__.py": "", "mine/thing.py": f"import stranger\n{THING}"})
    # put there by hand, it is nobody's
    by_source = of_thing()
    install("stranger", "1.0")
    before = of_thing(), fingerprint.code(importlib.import_module("stranger").Thing)
    assert before[0] != by_source
    package({"site-packages/stranger/__init__.py": "class Thing:\n    x = 200\n"})
    assert (of_thing(), fingerprint.code(sys.modules["stranger"])) == before
    install("stranger", "1.1")
    after = of_thing(), fingerprint.code(sys.modules["stranger"])
    assert after[0] != before[0]
    assert after[1] != before[1]
    # whereas bench is what results are about, installed or not
    by_source = fingerprint.code(fingerprint)
    monkeypatch.setattr(imports, "_INSTALLED", {Path(bench.__file__).parent.parent.name})
    monkeypatch.setattr(imports, "_installed", lambda path: {"bench": ["bench"]})
    assert imports.distributions("bench")
    assert fingerprint.code(fingerprint) == by_source


def test_what_no_installed_package_is_asked_of_costs_no_look_at_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bench import attacks, cell

    monkeypatch.setattr(imports, "packages_distributions", lambda: pytest.fail("looked through all of them"))
    imports._installed.cache_clear()
    fingerprint.code(cell, *(getattr(attacks, name) for name in attacks.__all__))


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What a script, a console or a notebook is to Python."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_a_script_stands_by_its_source(main: ModuleType, tmp_path: Path) -> None:
    found = []
    for name, text in (("one", "X = 1\n"), ("two", "X = 1 # words\n"), ("three", "X = 2\n")):
        main.__file__ = str(tmp_path / f"{name}.py")
        (tmp_path / f"{name}.py").write_text(text + THING)
        exec(text + THING, vars(main))
        found.append(fingerprint.code(main.Thing))
    assert found[0] == found[1] != found[2]


def test_what_was_typed_is_refused_by_name_unless_its_source_is_kept(main: ModuleType) -> None:
    def said() -> str:
        with pytest.raises(fingerprint.Unidentified) as caught:
            fingerprint.code(main.Thing)
        return str(caught.value)

    exec(THING, vars(main))
    assert said() == "__main__.Thing: its source isn't to be had; put it into a module of its own"

    # a notebook keeps its cells
    def cell(text: str) -> None:
        name = f"<cell {len(linecache.cache)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), vars(main))

    uses = "class Thing:\n    def f(self):\n        return helper(LIMIT)\n"
    cell("LIMIT = 3\ndef helper(x):\n    return x\n")
    cell(uses)
    first = fingerprint.code(main.Thing)
    cell(uses + "# words")
    assert fingerprint.code(main.Thing) == first
    cell("LIMIT = 4")
    constant = fingerprint.code(main.Thing)
    cell("LIMIT = 3\ndef helper(x):\n    return x + 1\n")
    assert len({first, constant, fingerprint.code(main.Thing)}) == 3
    cell("LIMIT = object()")
    assert said() == "__main__.Thing: it uses LIMIT, a object; put both into a module of their own"


def test_the_hash_of_tensors_sees_names_types_shapes_and_values() -> None:
    one = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    found = [fingerprint.hash_tensors(one)]
    assert fingerprint.hash_tensors({name: one[name].clone() for name in ("b", "a")}) == found[0]
    for other in (
        {"c": one["a"]},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3).int()},
        {"a": -one["a"]},
    ):
        found.append(fingerprint.hash_tensors({"b": one["b"], **other}))
    assert len(set(found)) == len(found)


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint.digest({"a": 1, "b": [2]}) == fingerprint.digest({"b": [2], "a": 1})
    assert fingerprint.digest({"a": 1}) != fingerprint.digest({"a": 2})


def test_no_two_purposes_share_a_seed() -> None:
    seeds = {fingerprint.derive_seed(s, p) for s in range(50) for p in ("attack", "evaluation", "targets")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert fingerprint.derive_seed(3, "attack") == fingerprint.derive_seed(3, "attack")


def test_a_cells_code_does_not_hold_other_attacks() -> None:
    """Else work on one attack would throw away every other one's results."""
    from bench import cell
    from bench.attacks import DeepFoolAttack, GradientSignAttack

    assert fingerprint.code(cell) != fingerprint.code(cell, DeepFoolAttack)
    assert fingerprint.code(cell, GradientSignAttack) != fingerprint.code(cell, DeepFoolAttack)
