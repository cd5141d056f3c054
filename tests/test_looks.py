import contextlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

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
from bench.results.store import Kept, Store

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


class Coins(nn.Module):
    """Class 0 or 1, by a throw that all images of a pass share."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = (torch.rand(1, generator=self.generator) < 0.5).float()
        return torch.stack([1 - heads, heads], 1).expand(len(x), 2)


def test_what_each_draw_did_is_kept_of_a_look(tmp_path: Path) -> None:
    labels = torch.zeros(14, dtype=torch.int64)

    def fresh() -> looks.Fresh:
        behind = SimpleNamespace(device="cpu", model=lambda _: contextlib.nullcontext(Coins()))
        return looks.fresh(
            Store(tmp_path),
            Looker({"network": "coins"}, "weights", 14, 1),
            lambda: cast(Defended, behind),
            "samples",
            lambda: (torch.zeros(14, 1, 2, 2), labels, labels + 1),
            ("untargeted", None),
            20,
            0,
        )

    made, kept = fresh(), fresh()
    for found in (made, kept):
        assert found.by_draw is not None
        success, right = found.by_draw
        assert set(success) == {0, 14}
        assert (success + right == 14).all()
        assert (success.sum(), right.sum()) == (found.success.sum(), found.right.sum())
    assert made.by_draw.tolist() == kept.by_draw.tolist()


def test_a_look_of_before_has_no_counts_by_draw() -> None:
    before = {"draws": 2, "success": [1, 2], "right": [1, 0], "right_first": "10", "seconds": 0.1}
    found = looks.fresh_of(Kept(before))
    assert found.by_draw is None
    assert found.success.tolist() == [1, 2]
