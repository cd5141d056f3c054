"""What images and labels must be like, and the one line that is said when they aren't.

Here belongs what can be said of one array, or of the labels of both halves. What a loader does, and how
its arrays are kept, does not.
"""

import itertools

import numpy as np

from bench.datasets.arrays import LEVELS, DataError

ROUNDING = 1e-6
"""Floats may leave [0, 1] by this much, a few roundings of float32 and 1/4000 of a grey level."""

LISTED = 5
"""How many classes a line names."""

LOADER_RETURNS = "a loader returns (x_train, y_train, x_test, y_test), arrays or tensors, in this order"


def check_images(name: str, array: np.ndarray) -> None:
    """Raises DataError for images of another shape, type or range than ``Arrays`` says, or of one value."""
    if array.ndim != 4 or not array.size:
        raise DataError(
            f"{name}: expected images of shape (n, channels, height, width), at least one, "
            f"got shape {array.shape}; {LOADER_RETURNS}"
        )
    if (array.shape[3] in (1, 3) and array.shape[1] not in (1, 3)) or array.shape[3] <= 4 < array.shape[1]:
        raise DataError(
            f"{name}: got shape {array.shape}, whose last axis looks like channels; expected "
            "(n, channels, height, width): transpose(0, 3, 1, 2)"
        )
    allowed = "expected uint8 in 0 to 255, or floats in [0, 1]"
    if np.iscomplexobj(array):
        raise DataError(f"{name}: {allowed}, got {array.dtype}")
    if np.issubdtype(array.dtype, np.floating):
        finite = np.isfinite(array)
        if not finite.all():
            found = f", the others {spread(array[finite])}" if finite.any() else ""
            raise DataError(
                f"{name}: {allowed}, found {array.size - finite.sum()} values that are not finite{found}"
            )
        if array.min() < -ROUNDING or array.max() > 1 + ROUNDING:
            raise DataError(f"{name}: {allowed}, found {array.dtype} {spread(array)}")
    elif array.dtype != np.uint8:
        raise DataError(f"{name}: {allowed}, found {array.dtype} {spread(array)}")
    # nothing above one of 255 grey levels: black to the eye and to a network
    if brightest(array) <= 1 / 255 + ROUNDING:
        raise DataError(
            f"{name}: {allowed}, found {array.dtype} {spread(array)}"
            + (", which would be divided by 255: give images of 0 and 1 as floats"
               if array.dtype == np.uint8 else ", which looks like divided by 255 twice")
        )  # fmt: skip
    if array.min() == array.max():
        raise DataError(f"{name}: every value is {array.min():.9g}")


def brightest(images: np.ndarray) -> float:
    """The largest value once it is scaled to [0, 1]."""
    return float(images.max()) / (LEVELS if images.dtype == np.uint8 else 1)


def check_labels(name: str, array: np.ndarray) -> None:
    """Raises DataError for labels that are not integers of shape (n,), at least one."""
    if array.ndim != 1 or not len(array):
        hint = ""
        if array.ndim == 2 and array.shape[1]:
            hint = ": use labels[:, 0]" if array.shape[1] == 1 else ": if one-hot, use labels.argmax(1)"
        raise DataError(
            f"{name}: expected labels of shape (n,), at least one, got shape {array.shape}{hint}; "
            f"{LOADER_RETURNS}"
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{name}: expected classes as integers from 0, got {array.dtype} {spread(array)}")


def count_classes(y_train: np.ndarray, y_test: np.ndarray) -> int:
    """How many classes there are: the labels are exactly 0, 1, 2, ..., each of them in training.

    Raises:
        DataError: for a label below 0, one that never occurs below the largest, a single class, or a
            test label that training doesn't have.
    """
    found = np.unique(y_train)
    said = f"found {len(found)} classes, {spread(found)}"
    if found[0] < 0:
        raise DataError(f"y_train: expected classes 0, 1, 2, ..., {said}")
    classes = int(found[-1]) + 1
    if len(found) < classes:
        raise DataError(
            f"y_train: expected classes 0, 1, 2, ..., {said}: class {listed(absent(found, classes))} "
            "never occurs"
        )
    if classes < 2:
        raise DataError(f"y_train: expected at least two classes, {said}")
    unseen = np.setdiff1d(y_test, found)
    if len(unseen):
        raise DataError(
            f"y_test: expected classes of the training labels, 0 to {classes - 1}, "
            f"found class {listed(unseen.tolist())}"
        )
    return classes


def count_outputs(**labels: np.ndarray) -> int:
    """How many outputs a network needs for labels, by their names, to be among them: the largest, and 1.

    Raises:
        DataError: for a label below 0.
    """
    for name, array in labels.items():
        if array.min() < 0:
            raise DataError(f"{name}: expected classes from 0, found {spread(array)}")
    return 1 + max(int(array.max()) for array in labels.values())


def absent(labels: np.ndarray, classes: int) -> list[int]:
    """The first few classes that never occur; a label may be huge."""
    found = set(labels.tolist())
    return list(itertools.islice((c for c in range(classes) if c not in found), LISTED + 1))


def listed(values: list[int]) -> str:
    """As a line names them, the first few."""
    return ", ".join(map(str, values[:LISTED])) + (", ..." if len(values) > LISTED else "")


def spread(array: np.ndarray) -> str:
    """What range an array's values have, in words."""
    # floats of 9 digits tell 1.0000001 from 1
    return f"from {array.min():.9g} to {array.max():.9g}" if array.dtype != bool else "of true and false"
