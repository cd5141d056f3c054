"""Arrays from one .npz file, written from scikit-learn's digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import datasets
from bench.datasets import DataError

DIGITS = datasets.digits(Path())
GREY = {name: values[:40] for name, values in DIGITS._asdict().items()}
GREY |= {name: (GREY[name] * 255).astype(np.uint8) for name in ("x_train", "x_test")}
TEST = {name: GREY[name] for name in ("x_test", "y_test")}


def load(folder: Path, file: str = "data.npz", **more: Any) -> datasets.Dataset:
    return datasets.load(datasets.npz, folder, {"file": file}, None, **more)


def refused(folder: Path, file: str = "data.npz") -> str:
    with pytest.raises(DataError) as error:
        load(folder, file, labels="outputs")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_npz_file_is_the_arrays_that_are_in_it_compressed_or_not(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **GREY)
    (tmp_path / "below").mkdir()
    np.savez_compressed(tmp_path / "below" / "data.npz", **GREY)
    plain, zipped = load(tmp_path), load(tmp_path, "below/data.npz")
    for name, expected in GREY.items():
        assert np.array_equal(getattr(plain, name), expected)
    assert plain.x_test.dtype == np.uint8
    assert plain.classes == 10
    assert zipped.fingerprint == plain.fingerprint


def test_test_arrays_alone_will_do_for_a_network_that_is_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **TEST)
    data = load(tmp_path, labels="outputs")
    assert np.array_equal(data.x_test, TEST["x_test"])
    assert len(data.x_train) == 0
    with pytest.raises(DataError, match="training=pretrained does without it"):
        load(tmp_path)


def test_arrays_that_are_missing_unknown_or_pickled_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    misspelt = {"x_tset" if name == "x_test" else name: values for name, values in GREY.items()}
    objects = np.array([{"a": 1}, None], object)
    for arrays, words in (
        (
            misspelt,
            "holds an array 'x_tset'; allowed: x_train, y_train, x_test, y_test; did you mean x_test?",
        ),
        (
            {**TEST, "names": np.arange(3)},
            "holds an array 'names'; allowed: x_train, y_train, x_test, y_test",
        ),
        ({"x_test": TEST["x_test"]}, "no array y_test; found: x_test"),
        ({**TEST, "x_train": GREY["x_train"]}, "no array y_train; found: x_test, y_test, x_train"),
        ({name: GREY[name] for name in ("x_train", "y_train")}, "no array x_test; found: x_train, y_train"),
        ({}, "no array x_test; found: none"),
        ({**TEST, "y_test": objects}, "y_test is an array of objects, not of numbers"),
    ):
        np.savez(path, **arrays)  # type: ignore[arg-type]
        assert refused(tmp_path) == f"{path}: {words}"


def test_npz_files_that_are_missing_damaged_or_something_else_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **TEST)
    assert refused(tmp_path, "dta.npz").startswith(
        f"{tmp_path / 'dta.npz'}: missing; did you mean data.npz?; set data_dir"
    )
    assert refused(tmp_path, "nowhere/data.npz").startswith(
        f"{tmp_path / 'nowhere/data.npz'}: missing; set data_dir"
    )
    whole = path.read_bytes()
    pixels = whole.index(TEST["x_test"].tobytes())
    for content, words in (
        (whole[: len(whole) // 2], "not an .npz file, or a damaged one"),
        (b"", "not an .npz file, or a damaged one"),
        (b"x,y\n1,2\n", "not an .npz file, or a damaged one"),
        (whole[:pixels] + bytes([whole[pixels] ^ 1]) + whole[pixels + 1 :], "x_test can't be read"),
    ):
        path.write_bytes(content)
        assert refused(tmp_path).startswith(f"{path}: {words}")
    with path.open("wb") as file:
        np.save(file, TEST["x_test"])
    assert "holds a single array" in refused(tmp_path)
