"""Folders of image files: a folder a class, in any format that Pillow reads.

Here belongs how files become images of one size, and folders labels. The checks that every dataset passes,
and what a network subtracts and divides by, do not.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from bench.datasets.arrays import Arrays, DataError, line, meant
from bench.datasets.fetching import SET_DATA_DIR

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def image_folder(
    data_dir: Path,
    *,
    test: str,
    train: str | None = None,
    classes: Mapping[Any, int] | None = None,
    resize: int | None = None,
    interpolation: str = "bilinear",
    crop: int | Sequence[int] | None = None,
    limit: int | None = None,
    grey: bool = False,
) -> Arrays:
    """Images in folders, ``TEST/CLASS/*``, at any depth below a class; without ``train`` for testing alone.

    Images come in turn: the first of each class's folder, then the second of each, and so on; folders in
    the order of their classes and names, files in the order of their paths. So the first few are of many
    classes. Files beside the classes' folders, and names that start with a dot, are left alone.

    Args:
        data_dir: Folder under which ``test`` and ``train`` lie.
        test: Folder of the test images' folders, such as ``imagenet/val``.
        train: Folder of the training images' folders; None: there is no training half.
        classes: The class of each folder by its name, such as ``{n01440764: 0, n01443537: 1}``; folders
            that it doesn't name are left out. None: the folders sorted by name are 0, 1, 2, ...; both halves
            have the same then.
        resize: Pixels of the shorter side after Pillow's resizing, which smoothes when it shrinks; the
            longer side is in proportion, rounded down. None: as it is.
        interpolation: ``bilinear`` or ``bicubic``, how it is resized.
        crop: Pixels [height, width], or a square's side, that are cut out of the middle after that; where
            as much can't be left on both sides, the half is rounded to even. None: nothing is cut.
        limit: Keeps that many test images, the first in the order above; None: all.
        grey: One channel instead of red, green and blue.

    Returns:
        Images as uint8, without transparency; how a camera was held (EXIF) is not looked at.

    Raises:
        DataError: for a folder that is missing or empty, a file that is no image or has more than 8 bits a
            channel, images of several sizes, or an option out of its range.
    """
    for name, value in (("resize", resize), ("limit", limit)):
        if value is not None:
            _check_count(name, value)
    if interpolation not in FILTERS:
        allowed = f"expected one of {', '.join(FILTERS)}, got {interpolation}"
        raise DataError(f"dataset.options.interpolation: {allowed}{meant(str(interpolation), FILTERS)}")
    cut = _sides(crop)
    labels = _labels(data_dir, test, train, classes)

    def read(folder: str, most: int | None) -> tuple[np.ndarray, np.ndarray]:
        files = _in_turn(data_dir / folder, labels)[:most]
        decode = partial(
            _read, resize=resize, method=FILTERS[interpolation], crop=cut, mode="L" if grey else "RGB"
        )
        return _stacked([path for path, _ in files], decode), np.array([label for _, label in files])

    x_test, y_test = read(test, limit)
    x_train, y_train = (None, None) if train is None else read(train, None)
    return Arrays(x_train, y_train, x_test, y_test)


def _labels(
    data_dir: Path, test: str, train: str | None, classes: Mapping[Any, int] | None
) -> dict[str, int]:
    """The class of each folder, by its name."""
    if classes is not None:
        if not isinstance(classes, Mapping) or not classes:
            raise DataError(f"dataset.options.classes: expected {{folder: class}}, got {classes}")
        for name, index in classes.items():
            if type(index) is not int or index < 0:
                expected = "expected a class, an integer from 0"
                raise DataError(f"dataset.options.classes.{name}: {expected}, got {index}")
        # YAML reads a name like 7 as a number
        return {str(name): index for name, index in classes.items()}
    names = _folders(data_dir / test)
    if train is not None and (odd := sorted(set(names) ^ set(_folders(data_dir / train)))):
        raise DataError(
            f"{data_dir / test}: a folder {odd[0]} is either here or in {data_dir / train}, not in both; "
            "name those of use in dataset.options.classes"
        )
    return {name: i for i, name in enumerate(names)}


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise DataError(f"dataset.options.{name}: expected an integer of at least 1, got {value}")


def _sides(crop: Any) -> tuple[int, int] | None:
    if crop is None:
        return None
    sides = list(crop) if isinstance(crop, list | tuple) else [crop, crop]
    if len(sides) != 2:
        raise DataError(f"dataset.options.crop: expected a side or [height, width], got {crop}")
    for side in sides:
        _check_count("crop", side)
    return sides[0], sides[1]


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted."""
    if not folder.is_dir():
        known = [f.name for f in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise DataError(f"{folder}: missing{meant(folder.name, known)}; {SET_DATA_DIR}")
    found = sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: holds no folders; expected one for each class")
    return found


def _in_turn(folder: Path, labels: Mapping[str, int]) -> list[tuple[Path, int]]:
    """Each image's file and label: the first of every folder, then the second of every folder, ..."""
    known = _folders(folder)
    lists = []
    for name, label in sorted(labels.items(), key=lambda item: (item[1], item[0])):
        if name not in known:
            raise DataError(f"{folder}: no folder {name}, a class's{meant(name, known)}")
        below = (f.relative_to(folder) for f in (folder / name).rglob("*") if f.is_file())
        files = sorted(f for f in below if not any(part.startswith(".") for part in f.parts))
        if not files:
            raise DataError(f"{folder / name}: holds no images")
        lists.append([(folder / f, label) for f in files])
    return [one for turn in itertools.zip_longest(*lists) for one in turn if one is not None]


def _stacked(files: Sequence[Path], decode: Callable[[Path], np.ndarray]) -> np.ndarray:
    """The images of files, all of one size, in one array that is made once."""
    first = decode(files[0])
    images = np.empty((len(files), *first.shape), np.uint8)
    for i, path in enumerate(tqdm(files, desc="images", unit="image", disable=None)):
        image = decode(path)
        if image.shape != first.shape:
            sizes = [f"{width}x{height}" for _, height, width in (image.shape, first.shape)]
            raise DataError(
                f"{path}: {sizes[0]} pixels where {files[0]} has {sizes[1]}; "
                "give dataset.options.resize and .crop"
            )
        images[i] = image
    return images


def _read(
    path: Path, resize: int | None, method: Image.Resampling, crop: tuple[int, int] | None, mode: str
) -> np.ndarray:
    """One image, shape (channels, height, width), uint8."""
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith(("I", "F")):
                raise DataError(f"{path}: more than 8 bits a channel (Pillow's mode {opened.mode})")
            image = opened.convert(mode)
    except DataError:
        raise
    # what is wrong with a damaged file is said by errors of a dozen kinds
    except Exception as error:
        said = line(error).replace(str(path), "it")
        raise DataError(
            f"{path}: not an image that can be read ({said}); take it out of the folder"
        ) from None
    width, height = image.size
    if resize is not None:
        shorter = min(width, height)
        # integers all along, so that no float rounds a side the other way
        width, height = (side * resize // shorter for side in (width, height))
        image = image.resize((width, height), method)
    if crop is not None:
        if crop[0] > height or crop[1] > width:
            raise DataError(
                f"{path}: {width}x{height} pixels{' once it is resized' if resize else ''}, less than the "
                f"{crop[1]}x{crop[0]} of dataset.options.crop"
            )
        top, left = round((height - crop[0]) / 2), round((width - crop[1]) / 2)
        image = image.crop((left, top, left + crop[1], top + crop[0]))
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
