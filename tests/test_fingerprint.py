import importlib
import sys
from pathlib import Path

import pytest

from bench import fingerprint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three modules: ``thing`` imports a constant of ``helper``; ``other`` is on its own."""
    folder = tmp_path / "fingerprinted"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "helper.py").write_text("LIMIT = 3\n")
    (folder / "other.py").write_text("X = 1\n")
    (folder / "thing.py").write_text(
        '"""Words."""\nimport numpy\nfrom .helper import LIMIT\n\nclass Thing:\n    """More."""\n    limit = LIMIT\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [m for m in sys.modules if m.startswith("fingerprinted")]:
        del sys.modules[name]


def of_thing() -> str:
    importlib.invalidate_caches()
    return fingerprint.code(importlib.import_module("fingerprinted.thing").Thing)


def test_code_sees_what_can_change_a_result_and_nothing_else(package: Path) -> None:
    before = of_thing()
    (package / "other.py").write_text("X = 2\n")
    assert of_thing() == before
    text = (package / "thing.py").read_text()
    (package / "thing.py").write_text(
        "# a comment\n" + text.replace("Words", "Better words").replace("More.", "")
    )
    assert of_thing() == before
    # a constant that is imported by name
    (package / "helper.py").write_text("LIMIT = 4\n")
    assert of_thing() != before


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
