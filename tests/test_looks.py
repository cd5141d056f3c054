from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import bench
from bench import looks
from bench.checks import ConfigError
from bench.datasets import digits
from bench.defended import Defended
from bench.looks import Looker
from bench.results import fingerprint
from bench.results.store import Store

LOOKER = Looker({"network": "net", "acting": []}, "weights", 7, 1)


class Net(nn.Module):
    """Remembers how many images were passed at a time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(64, 10)
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        return self.layer(x.flatten(1))


@pytest.mark.parametrize("rates", [{}, {"input": 0.5}, {"input": 1e-9}])
def test_no_more_images_are_passed_at_a_time_than_was_said(tmp_path: Path, rates: dict[str, float]) -> None:
    given = digits(Path(), test_size=100)
    data = SimpleNamespace(x_test=given.x_test, y_test=given.y_test, fingerprint="digits")
    network = Net()
    found = looks.clean(
        Store(tmp_path), LOOKER, Defended(network, {"input": ""}, rates), ("net", "scheme"), data, 10, 0
    )
    assert max(network.seen) == LOOKER.batch_size
    assert found.alike == (rates == {"input": 1e-9})


@pytest.mark.parametrize("name", ["looks.py", "defended.py", "measuring/passes.py", "attacks/criteria.py"])
def test_what_was_seen_by_other_code_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made: list[int] = []

    def make() -> dict[str, int]:
        made.append(1)
        return {"seen": len(made)}

    def look() -> int:
        seen: int = looks.look(Store(tmp_path), LOOKER, "mine", {"seed": 0}, make).values["seen"]
        return seen

    assert [look(), look()] == [1, 1]
    read: Callable[..., tuple[str, tuple[str, ...]]] = fingerprint._read
    edited = Path(bench.__file__).parent / name

    def other(path: str, changed_ns: int, package: str) -> tuple[str, tuple[str, ...]]:
        meaning, used = read(path, changed_ns, package)
        return f"{meaning}\nedited = 1" if Path(path) == edited else meaning, used

    monkeypatch.setattr(fingerprint, "_read", other)
    assert [look(), look()] == [2, 2]


def test_a_record_of_before_there_were_looks_is_one_line() -> None:
    with pytest.raises(ConfigError, match="^record old is of an earlier version; run the sweep again$"):
        Looker.of({"key": "old", "status": "ok", "config": {"batch_size": 1, "threads": 1}})
