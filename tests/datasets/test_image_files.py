"""Folders of image files, written from scikit-learn's digits."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import datasets
from bench.config import DatasetConfig
from bench.datasets import DataError

DIGITS = datasets.digits(Path())
IMAGES = (DIGITS.x_test[:, 0] * 255).astype(np.uint8)
NAMES = ("cat", "dog", "eel")
FEW = 4


def of(digit: int) -> np.ndarray:
    """The first few images of a digit."""
    return IMAGES[DIGITS.y_test == digit][:FEW]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Digits 0, 1 and 2 under ``val`` as the classes cat, dog and eel."""
    for digit, name in enumerate(NAMES):
        (tmp_path / "val" / name).mkdir(parents=True)
        for i, image in enumerate(of(digit)):
            Image.fromarray(image).save(tmp_path / "val" / name / f"{i}.png")
    return tmp_path


def load(folder: Path, **options: Any) -> datasets.Dataset:
    return datasets.load(datasets.image_folder, folder, {"test": "val", **options}, None, labels="outputs")


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        load(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_is_a_class_and_images_come_from_each_in_turn(folder: Path) -> None:
    (folder / "val" / "labels.csv").write_text("beside the folders")
    (folder / "val" / ".cache").mkdir()
    (folder / "val" / "cat" / ".DS_Store").write_text("hidden")
    (folder / "val" / "eel" / "3.png").unlink()
    data = load(folder)
    # the first of each, the second of each, ...; the eel has one less
    assert data.y_test.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]
    assert data.x_test.dtype == np.uint8
    assert data.shape == (3, 8, 8)
    expected = [of(digit)[i] for i in range(FEW) for digit in range(3)][:-1]
    for channel in range(3):
        assert np.array_equal(data.x_test[:, channel], expected)
    assert np.array_equal(load(folder, grey=True).x_test[:, 0], expected)
    first = load(folder, limit=4)
    assert first.y_test.tolist() == [0, 1, 2, 0]
    assert np.array_equal(first.x_test, data.x_test[:4])


def test_channels_are_red_green_and_blue_whatever_the_format(tmp_path: Path) -> None:
    (tmp_path / "val" / "a" / "deeper").mkdir(parents=True)
    colours = np.zeros((5, 6, 3), np.uint8)
    colours[1, 2] = (10, 20, 30)
    image = Image.fromarray(colours)
    image.save(tmp_path / "val" / "a" / "1.bmp")
    image.save(tmp_path / "val" / "a" / "deeper" / "2.webp", lossless=True)
    image.quantize(8).save(tmp_path / "val" / "a" / "3.gif")
    seen = Image.fromarray(np.dstack([colours, np.full((5, 6), 7, np.uint8)]))
    seen.save(tmp_path / "val" / "a" / "4.png")
    data = load(tmp_path)
    assert data.shape == (3, 5, 6)
    assert data.x_test[:, :, 1, 2].tolist() == [[10, 20, 30]] * 4
    # an eye's brightness, as ITU-R 601 weighs it: 0.299 R + 0.587 G + 0.114 B
    assert load(tmp_path, grey=True).x_test[0, 0, 1, 2] == round(0.299 * 10 + 0.587 * 20 + 0.114 * 30)


def test_classes_name_folders_by_the_networks_outputs(folder: Path) -> None:
    data = load(folder, classes={"eel": 390, "cat": 281, "dog": 281})
    # two folders of one class, in the order of their names, and a gap before the next
    assert data.y_test.tolist() == [281, 281, 390] * FEW
    assert np.array_equal(data.x_test[:3, 0], [of(0)[0], of(1)[0], of(2)[0]])
    # others are left out
    assert load(folder, classes={"dog": 0}).y_test.tolist() == [0] * FEW
    # YAML reads a folder's name as a number, which a key can't sort among words
    (folder / "val" / "dog").rename(folder / "val" / "7")
    assert load(folder, classes={7: 0}).y_test.tolist() == [0] * FEW
    named = DatasetConfig(options={"classes": {"cat": 0, 7: 1}}).options
    assert named == {"classes": {"cat": 0, "7": 1}}


def test_a_training_half_has_the_classes_of_the_test_half(folder: Path) -> None:
    for name in reversed(NAMES):
        (folder / "train" / name).mkdir(parents=True)
        for i, image in enumerate(of(NAMES.index(name))[::-1]):
            Image.fromarray(image).save(folder / "train" / name / f"{i}.png")
    data = datasets.load(datasets.image_folder, folder, {"test": "val", "train": "train", "limit": 3}, None)
    assert data.y_train.tolist() == [0, 1, 2] * FEW
    assert len(data.x_test) == 3
    assert np.array_equal(data.x_train[4, 0], of(1)[FEW - 2])
    (folder / "train" / "eel").rename(folder / "train" / "fox")
    words = refused(folder, train="train")
    assert words.startswith(
        f"{folder / 'val'}: a folder eel is either here or in {folder / 'train'}, not in both"
    )
    assert (
        refused(folder, train="train", classes={"cat": 0, "eel": 1})
        == f"{folder / 'train'}: no folder eel, a class's"
    )


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        # (width, height), and channels' height and width; the shorter side is 16, the longer 50 * 16 / 30 = 26.7
        ((50, 30), {"resize": 16}, (16, 26)),
        ((30, 50), {"resize": 16}, (26, 16)),
        ((30, 50), {"resize": 60}, (100, 60)),
        ((50, 30), {"crop": 20}, (20, 20)),
        ((50, 30), {"crop": [30, 12]}, (30, 12)),
        ((13, 15), {"crop": 8}, (8, 8)),
        ((50, 30), {"resize": 16, "crop": [16, 20], "interpolation": "bicubic"}, (16, 20)),
    ],
)  # fmt: skip
def test_images_are_resized_by_the_shorter_side_and_cut_from_the_middle(
    tmp_path: Path, size: tuple[int, int], options: dict[str, Any], expected: tuple[int, int]
) -> None:
    (tmp_path / "val" / "a").mkdir(parents=True)
    width, height = size
    # brightness rises along both axes, so that a mean says where the middle is
    ramp = 2 * np.arange(width)[None] + 2 * np.arange(height)[:, None]
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "val" / "a" / "0.png")
    found = load(tmp_path, grey=True, **options).x_test[0, 0]
    assert found.shape == expected
    # the middle stays the middle, but for half a pixel where as much can't be cut on both sides
    assert found.mean() == pytest.approx(ramp.mean(), abs=3)
    if "resize" not in options:
        # of 7 rows and 5 columns, whose halves are 3.5 and 2.5, 4 and 2 are above and to the left
        top, left = {13: (4, 2), 50: ((height - expected[0]) // 2, (width - expected[1]) // 2)}[width]
        assert np.array_equal(found, ramp[top : top + expected[0], left : left + expected[1]])


def test_shrinking_smoothes_and_the_interpolations_differ(tmp_path: Path) -> None:
    (tmp_path / "val" / "a").mkdir(parents=True)
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    edge = np.where(np.arange(32) < 16, 51, 204).astype(np.uint8)[None].repeat(32, 0)
    Image.fromarray(board).save(tmp_path / "val" / "a" / "0.png")
    Image.fromarray(edge).save(tmp_path / "val" / "a" / "1.png")
    linear = load(tmp_path, resize=8, grey=True).x_test[:, 0]
    # pixels of a board that are picked would be 0 or 255
    assert np.ptp(linear[0, 2:6, 2:6].astype(int)) <= 1
    assert linear[0, 4, 4] == pytest.approx(127.5, abs=3)
    # a mean is never beyond what it is of, a cubic is
    assert (linear[1].min(), linear[1].max()) == (51, 204)
    cubic = load(tmp_path, resize=8, grey=True, interpolation="bicubic").x_test[1, 0]
    assert cubic.min() < 51
    assert cubic.max() > 204


def test_image_files_and_folders_that_can_not_be_used_are_one_line_that_names_them(folder: Path) -> None:
    val = folder / "val"
    (val / "dog" / "notes.txt").write_text("no image")
    words = refused(folder)
    assert words.startswith(
        f"{val / 'dog' / 'notes.txt'}: not an image that can be read (cannot identify image file"
    )
    assert words.endswith("; take it out of the folder")
    (val / "dog" / "notes.txt").unlink()

    whole = (val / "dog" / "1.png").read_bytes()
    (val / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    assert refused(folder).startswith(f"{val / 'dog' / '1.png'}: not an image that can be read")
    Image.fromarray(of(1)[1][:, :5]).save(val / "dog" / "1.png")
    assert refused(folder) == (
        f"{val / 'dog' / '1.png'}: 5x8 pixels where {val / 'cat' / '0.png'} has 8x8; "
        "give dataset.options.resize and .crop"
    )
    assert load(folder, resize=8, crop=8).shape == (3, 8, 8)
    assert refused(folder, crop=[8, 6]) == (
        f"{val / 'dog' / '1.png'}: 5x8 pixels, less than the 6x8 of dataset.options.crop"
    )
    Image.fromarray(of(1)[1].astype(np.uint16) * 257).save(val / "dog" / "1.png")
    assert "dog/1.png: more than 8 bits a channel (Pillow's mode I" in refused(folder)

    (val / "fox").mkdir()
    assert refused(folder) == f"{val / 'fox'}: holds no images"
    assert (
        refused(folder, classes={"cat": 0, "dogs": 1})
        == f"{val}: no folder dogs, a class's; did you mean dog?"
    )
    assert refused(folder, test="vall").startswith(
        f"{folder / 'vall'}: missing; did you mean val?; set data_dir"
    )
    assert refused(folder, test="val/cat") == f"{val / 'cat'}: holds no folders; expected one for each class"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resize": 0}, "resize: expected an integer of at least 1, got 0"),
        ({"limit": 2.5}, "limit: expected an integer of at least 1, got 2.5"),
        ({"crop": [8, 0]}, "crop: expected an integer of at least 1, got 0"),
        ({"crop": [8, 8, 3]}, "crop: expected a side or [height, width], got [8, 8, 3]"),
        ({"crop": "centre"}, "crop: expected an integer of at least 1, got centre"),
        ({"interpolation": "bicubik"}, "interpolation: expected one of bilinear, bicubic, got bicubik; did you mean bicubic?"),
        ({"classes": {"cat": -1}}, "classes.cat: expected a class, an integer from 0, got -1"),
        ({"classes": {"cat": "zero"}}, "classes.cat: expected a class, an integer from 0, got zero"),
        ({"classes": {}}, "classes: expected {folder: class}, got {}"),
        ({"classes": ["cat"]}, "classes: expected {folder: class}, got ['cat']"),
    ],
)  # fmt: skip
def test_options_out_of_their_range_are_one_line(folder: Path, options: dict[str, Any], words: str) -> None:
    assert refused(folder, **options) == f"dataset.options.{words}"


def test_large_images_take_a_byte_a_value_and_are_never_made_floats_at_loading(folder: Path) -> None:
    load(folder)  # what Pillow and tqdm keep for good
    tracemalloc.start()
    data = load(folder, resize=224)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.x_test.nbytes == 3 * FEW * 3 * 224 * 224
    # the loader's and the copy; as floats they would be four times as much
    assert peak < 3 * data.x_test.nbytes
