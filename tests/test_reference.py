"""The reference pages: that they are what the code says, and that one that isn't is noticed."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench.axes import GROUPS
from bench.choices import conf_dir
from bench.results.columns import COLUMNS


@pytest.fixture
def reference() -> Iterator[ModuleType]:
    path = Path(__file__).parents[1] / "scripts" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["reference"]


@pytest.mark.parametrize("name", ["settings.md", "columns.md", "store.md", "audit.md"])
def test_a_page_is_what_the_code_says(reference: ModuleType, name: str) -> None:
    assert (reference.FOLDER / name).read_text() == reference.PAGES[name]()


def test_a_page_that_is_of_an_older_code_is_named(
    reference: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main([], tmp_path) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(reference.PAGES)
    assert reference.main(["--check"], tmp_path) == 0
    (tmp_path / "columns.md").write_text("# Columns\n")
    (tmp_path / "store.md").unlink()
    capsys.readouterr()
    assert reference.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        f"{tmp_path / name}" for name in ("columns.md", "store.md")
    ]


def test_every_choice_and_every_column_has_a_line(reference: ModuleType) -> None:
    settings, columns = reference.PAGES["settings.md"](), reference.PAGES["columns.md"]()
    for group in GROUPS:
        for path in (Path(conf_dir()) / group).glob("*.yaml"):
            assert f"\n| `{path.stem}` | " in settings, path
    assert [line.split("`")[1] for line in columns.splitlines() if line.startswith("| `")] == [
        column.name for column in COLUMNS
    ]


def test_a_key_without_an_explanation_is_refused(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = reference.settings.AttackConfig
    monkeypatch.setattr(
        attack, "__doc__", (attack.__doc__ or "").replace("        epsilon:", "        size:")
    )
    with pytest.raises(AssertionError, match="AttackConfig: its Attributes are not its fields"):
        reference.settings_page()
