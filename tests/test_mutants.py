"""The script that plants faults: what it says of one that is caught, one that isn't, and one that can't be planted."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def mutants() -> Iterator[ModuleType]:
    path = Path(__file__).parent.parent / "scripts" / "mutants.py"
    spec = importlib.util.spec_from_file_location("mutants", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mutants"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A module of one function, of which one line is never reached, and its test."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "thing.py").write_text(
        "def double(x):\n    if x != x + 0:\n        return 7\n    return 2 * x\n"
    )
    (tmp_path / "tests" / "test_thing.py").write_text(
        "from thing import double\n\n\ndef test_two():\n    assert double(2) == 4\n"
    )
    return tmp_path


def test_what_is_caught_what_survives_and_what_is_gone_are_told_apart(
    mutants: ModuleType, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = ("tests/test_thing.py",)
    caught = mutants.Fault("thing.py", "thrice", "return 2 * x", "return 3 * x", tests)
    survivor = mutants.Fault("thing.py", "never reached", "return 7", "return 8", tests)
    gone = mutants.Fault("thing.py", "of an older text", "return 4 * x", "return 5 * x", tests)
    twice = mutants.Fault("thing.py", "of two places", "return", "yield", tests)
    untested = mutants.Fault("thing.py", "without a test", "2 * x", "5 * x", ("tests/test_nothing.py",))
    before = (tree / "thing.py").read_text()

    assert mutants.main([], [caught], tree) == 0
    assert "| thing.py: thrice | `tests/test_thing.py::test_two` | " in capsys.readouterr().out

    assert mutants.main(["--workers", "2"], [caught, survivor], tree) == 1
    out = capsys.readouterr().out
    assert "| thing.py: never reached | **survives** | " in out
    assert out.endswith("1 of 2 faults are caught\nsurvives: thing.py: never reached\n")

    assert mutants.main([], [gone, twice, untested], tree) == 2
    out, err = capsys.readouterr()
    assert out.endswith("0 of 3 faults are caught\n")
    first, second, third = err.strip().splitlines()
    assert first == "error: thing.py: of an older text: expected its text once, found it 0 times"
    assert second == "error: thing.py: of two places: expected its text once, found it 2 times"
    assert third.startswith("error: thing.py: without a test: its tests can't be run: ")
    # it is a copy that they are planted in
    assert (tree / "thing.py").read_text() == before


def test_every_fault_can_be_planted_and_names_its_tests(mutants: ModuleType) -> None:
    assert len({(f.file, f.name) for f in mutants.FAULTS}) == len(mutants.FAULTS)
    for fault in mutants.FAULTS:
        assert mutants.planted(fault, mutants.ROOT) != (mutants.ROOT / fault.file).read_text(), fault.name
        for test in fault.tests:
            # a test of several cases may be asked for one of them
            file, _, name = test.partition("[")[0].partition("::")
            assert f"def {name}(" in (mutants.ROOT / file).read_text() or not name, test


def test_every_module_has_three_faults(mutants: ModuleType) -> None:
    files = [f.file for f in mutants.FAULTS]
    for path in sorted((mutants.ROOT / "bench").rglob("*.py")):
        # a door has nothing of its own
        if any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text()).body):
            name = path.relative_to(mutants.ROOT).as_posix()
            assert files.count(name) >= 3, name


def test_a_sample_is_the_same_for_the_same_seed(
    mutants: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = []
    for seed in ("0", "0", "1"):
        assert mutants.main(["--list", "--sample", "10", "--seed", seed]) == 0
        drawn.append(capsys.readouterr().out.splitlines())
    assert len(drawn[0]) == 10
    assert drawn[0] == drawn[1] != drawn[2]
