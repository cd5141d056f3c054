import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.results import files
from bench.results.files import write_text
from bench.results.fingerprint import hash_tensors
from bench.results.store import Kept, Store, tensors


def written(store: Store, key: str, arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """A finished record, and samples that it names."""
    kept = store.keep("samples", f"of-{key}", Kept(tensors(arrays)))
    named = {"key": kept.key, "bytes": kept.path.stat().st_size, "content": hash_tensors(kept.values)}
    store.write(key, {"status": "ok", "samples": named, "x": 1})
    return store.read(key)


def test_a_record_and_its_samples_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.read("k") is None
    samples = {"perturbed": np.arange(6, dtype=np.float32).reshape(2, 3), "claimed": np.array([True, False])}
    written(store, "k", samples)
    found = store.done("k")
    assert (found["status"], found["x"]) == ("ok", 1)
    back = store.samples(found)
    assert np.array_equal(back["perturbed"], samples["perturbed"])
    assert back["claimed"].tolist() == [True, False]


def test_only_a_finished_cell_with_its_samples_counts_as_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write("failed", {"status": "failed"})
    assert store.done("failed") is None
    assert store.read("failed")["status"] == "failed"
    store.samples_path(written(store, "lost", {"x": np.zeros(3)})).unlink()
    assert store.done("lost") is None
    # neither are samples that were cut off, whatever else is in the store
    path = store.samples_path(written(store, "cut", {"x": np.zeros(3)}))
    for left in (b"", path.read_bytes()[:-1]):
        path.write_bytes(left)
        with pytest.raises(files.Unreadable, match="cut.safetensors: damaged"):
            store.done("cut")
    store.record_path("torn").write_text('{"status": "o')
    with pytest.raises(files.Unreadable, match="torn.json: damaged"):
        store.read("torn")


def test_samples_that_a_record_does_not_name_are_not_its_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = written(store, "k", {"x": np.zeros(3)})
    store.keep("samples", "of-k", Kept(tensors({"x": np.ones(3)})))
    with pytest.raises(files.Unreadable, match=r"of-k\.safetensors: not the samples that record k names"):
        store.samples(record)


def test_what_was_made_of_the_same_things_is_not_made_again(tmp_path: Path) -> None:
    store, made = Store(tmp_path), []

    def make() -> Kept:
        made.append(1)
        return Kept({"count": len(made)})

    first = store.remember("looks", {"of": "a"}, make)
    assert store.remember("looks", {"of": "a"}, make).values == first.values == {"count": 1}
    assert store.remember("looks", {"of": "b"}, make).values == {"count": 2}
    first.path.write_text("{}")
    assert store.remember("looks", {"of": "a"}, make).values == {"count": 3}
    assert len(list(tmp_path.glob("looks/*.damaged-1"))) == 1


def test_of_two_that_want_the_same_tensors_one_waits_for_the_other(tmp_path: Path) -> None:
    made, begun = [], threading.Barrier(2)

    def make() -> Kept:
        made.append(1)
        time.sleep(0.05)
        return Kept({"x": torch.tensor(len(made))})

    def ask() -> None:
        begun.wait()
        found.append(int(Store(tmp_path).remember("samples", {"of": "a"}, make).values["x"]))

    found: list[int] = []
    both = [threading.Thread(target=ask) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert (made, found) == ([1], [1, 1])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "results.csv"
    files.write_text(path, "old")

    def broken(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(path, "new")
    assert path.read_text() == "old"


def test_records_of_an_earlier_format_are_counted_once_by_every_version_that_comes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_text(store.record_path("old"), json.dumps({"key": "old", "status": "ok", "config": {}}))
    assert [store.earlier(), store.earlier()] == [1, 0]
    # as an earlier version has left it, which looked for others
    write_text(tmp_path / "format.json", json.dumps({"format": 1}) + "\n")
    assert [store.earlier(), store.earlier()] == [1, 0]
