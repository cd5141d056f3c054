from pathlib import Path

import numpy as np
import pytest

from bench import records
from bench.records import Store


def test_a_record_and_its_samples_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.read("k") is None
    samples = {"perturbed": np.arange(6, dtype=np.float32).reshape(2, 3), "claimed": np.array([True, False])}
    store.write("k", {"status": "ok", "x": 1}, samples)
    found = store.done("k")
    assert (found["status"], found["x"]) == ("ok", 1)
    back = store.samples("k")
    assert np.array_equal(back["perturbed"], samples["perturbed"])
    assert back["claimed"].tolist() == [True, False]


def test_only_a_finished_cell_with_its_samples_counts_as_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("failed", {"status": "failed"}, None)
    assert store.done("failed") is None
    assert store.read("failed")["status"] == "failed"
    store.write("lost", {"status": "ok"}, {"x": np.zeros(3)})
    store.samples_path("lost").unlink()
    assert store.done("lost") is None
    # neither are samples that were cut off, whatever else is in the store
    store.write("cut", {"status": "ok"}, {"x": np.zeros(3)})
    for left in (b"", store.samples_path("cut").read_bytes()[:-1]):
        store.samples_path("cut").write_bytes(left)
        with pytest.raises(records.Unreadable, match="cut.safetensors: damaged"):
            store.done("cut")
    store.record_path("torn").write_text('{"status": "o')
    with pytest.raises(records.Unreadable, match="torn.json: damaged"):
        store.read("torn")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "results.csv"
    records.write_text(path, "old")

    def broken(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        records.write_text(path, "new")
    assert path.read_text() == "old"
