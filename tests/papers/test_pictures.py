from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import parts
from bench.checks import ConfigError
from bench.papers import pictures
from bench.papers.report import Swept
from bench.results.fingerprint import hash_tensors
from bench.results.store import Kept, Store, tensors

LABELS = np.array([3, 3, 1, 2, 2])
CLAIMED = {"fgsm": [True, True, True, False, True], "jsma": [False, True, True, True, True]}


class Reads:
    """A reader of records whose settings don't matter."""

    def config(self, config: Any) -> SimpleNamespace:
        return SimpleNamespace(dataset=SimpleNamespace(name="digits"))


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Swept:
    """Two attacks on five images, of which the third was attacked as number 7 of the test set."""
    store = Store(tmp_path)
    indices = np.array([0, 1, 7, 3, 4])
    for attack, claimed in CLAIMED.items():
        samples = {
            "indices": indices, "labels": LABELS, "targets": LABELS + 1, "claimed": np.array(claimed),
            "perturbed": np.full((5, 1, 2, 2), 0.5) + indices[:, None, None, None],
        }  # fmt: skip
        kept = store.keep("samples", attack, Kept(tensors(samples)))
        named = {"key": attack, "content": hash_tensors(kept.values)}
        store.write(attack, {"config": {}, "data": {"fingerprint": "these"}, "samples": named})
    data = SimpleNamespace(x_test=np.arange(8.0)[:, None, None, None], fingerprint="these")
    monkeypatch.setattr(parts, "dataset", lambda config: data)
    frame = pd.DataFrame({"attack": [*CLAIMED], "key": [*CLAIMED]}).assign(scheme="none", status="ok")
    return Swept("top3", tmp_path, frame, None, SimpleNamespace(store=store))  # type: ignore[arg-type]


def fooled(swept: Swept, *attacks: str) -> dict[str, Any] | None:
    return pictures.fooled(swept, {a: a.upper() for a in attacks}, {"none": "no"}, reader=Reads())  # type: ignore[arg-type]


def test_images_are_those_that_every_attack_fooled_one_of_a_class(swept: Swept) -> None:
    grid = fooled(swept, "fgsm", "jsma")
    assert grid is not None
    # images 1, 4 and 7, in the order of their classes; 0 and 3 withstood one of both
    assert grid["labels"] == [1, 2, 3]
    assert grid["targets"] == [2, 3, 4]
    assert grid["originals"].ravel().tolist() == [7, 4, 1]
    assert {name: rows[:, 0, 0, 0].tolist() for name, rows in grid["rows"].items()} == {
        "FGSM\nno": [7.5, 4.5, 1.5],
        "JSMA\nno": [7.5, 4.5, 1.5],
    }
    alone = fooled(swept, "fgsm")
    assert alone is not None
    # of the two of class 3 the first
    assert alone["originals"].ravel().tolist() == [7, 4, 0]


def test_what_failed_fools_nobody(swept: Swept) -> None:
    swept.frame.loc[1, "status"] = "failed"
    assert fooled(swept, "fgsm", "jsma") is None
    assert fooled(swept, "deepfool") is None


def test_originals_are_of_the_records_data(swept: Swept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "dataset", lambda config: SimpleNamespace(fingerprint="others"))
    with pytest.raises(ConfigError, match="not the data"):
        fooled(swept, "fgsm")
