"""From a loader to a dataset: its arrays asked for, checked, fingerprinted and kept.

Here belongs what is done alike with every loader's arrays, whoever wrote it. What one array must be
like, and any format of files, does not.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bench.datasets import checks
from bench.datasets.arrays import Arrays, DataError, Dataset, line, unit

log = logging.getLogger("bench")

DARK = 0.5
"""Images that stay below this share of the full range are usable, but look like scaled twice."""


def load(
    loader: Callable[..., Arrays],
    data_dir: Path,
    options: Mapping[str, object],
    train_size: int | None,
    *,
    labels: Literal["dense", "outputs"] = "dense",
) -> Dataset:
    """Calls a loader and checks what it returns.

    Arrays of any layout, byte order and floating type will do, and so will tensors and regular lists.
    Floats that leave [0, 1] by rounding alone (``checks.ROUNDING``) are clipped. What is allowed but looks
    like a mistake (dark images, a class that the first ``train_size`` images lack) is logged.

    Args:
        loader: A function as the package's docstring describes.
        data_dir: Folder that holds the data files.
        options: The loader's own keyword arguments.
        train_size: Training uses the first ``train_size`` images; None: all of them.
        labels: What a label means. ``dense``, where a network is to be trained: the classes are those of the
            training labels, 0, 1, 2, ... without a gap. ``outputs``, where there is one already: a label is
            the index of one of its outputs, so that there may be gaps, and no training half.

    Raises:
        DataError: if the loader fails or gives other data when asked again, if an array has a wrong
            shape, type or range, if the labels are not as ``labels`` says, if the training half is missing
            where it is needed, or if it has fewer images than ``train_size``.
    """
    given, digest = _checked(loader, data_dir, options)
    # ours draw nothing that isn't seeded; another's may, and then no two runs would speak of the same data
    if not _name(loader).startswith("bench."):
        again = _checked(loader, data_dir, options)[1]
        if again.digest() != digest.digest():
            raise DataError(f"loader {_name(loader)} gives other data each time: let it seed what it draws")
    x_test, y_test = given["x_test"], given["y_test"]
    x_train, y_train = given.get("x_train", x_test[:0]), given.get("y_train", y_test[:0])
    if labels == "dense" and not len(x_train):
        raise DataError(
            "the training half is missing (x_train, y_train), on which a network is trained; "
            "training=pretrained does without it"
        )
    if labels == "dense":
        classes = checks.count_classes(y_train, y_test)
    else:
        classes = checks.count_outputs(**{name: given[name] for name in given if name.startswith("y")})
    if not len(x_train) and train_size is not None:
        raise DataError(f"train_size: there is no training half, got {train_size}; use null")
    if train_size is None:
        train_size = len(x_train)
    elif not 1 <= train_size <= len(x_train):
        raise DataError(f"train_size: expected 1 to {len(x_train)} images, got {train_size}")
    for name in (name for name in given if name.startswith("x")):
        images = given[name]
        if (brightest := checks.brightest(images)) < DARK:
            found = f"{images.dtype} {checks.spread(images)}"
            log.warning("%s: %s, at most %.3g of the full range", name, found, brightest)
    # one kind for both halves, so that images of either can stand in one batch
    if (x_train.dtype == np.uint8) != (x_test.dtype == np.uint8):
        x_train, x_test = unit(x_train), unit(x_test)
    y_train = y_train[:train_size].astype(np.int64)
    if labels == "dense" and len(unused := checks.absent(y_train, classes)):
        log.warning(
            "train_size: none of the first %d images is of class %s", train_size, checks.listed(unused)
        )
    digest.update(f"train_size {train_size}".encode())
    return Dataset(
        x_train=_kept(x_train[:train_size]),
        y_train=y_train,
        x_test=_kept(x_test),
        y_test=y_test.astype(np.int64),
        classes=classes,
        fingerprint=digest.hexdigest(),
    )


def _kept(images: np.ndarray) -> np.ndarray:
    """A copy of nobody else's: grey levels as they are, floats as float32 in [0, 1]."""
    if images.dtype == np.uint8:
        return np.array(images, order="C")
    kept = np.array(images, dtype=np.float32, order="C")
    return np.clip(kept, 0, 1, out=kept)


def _checked(
    loader: Callable[..., Arrays], data_dir: Path, options: Mapping[str, object]
) -> tuple[dict[str, np.ndarray], Any]:
    """A loader's arrays by name, checked but for the labels' meaning, and SHA-256 over them."""
    given = _called(loader, data_dir, options)
    digest = hashlib.sha256()
    for name, array in given.items():
        if name.startswith("x"):
            checks.check_images(name, array)
        else:
            checks.check_labels(name, array)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    for split in ("train", "test") if "x_train" in given else ("test",):
        images, labels = given[f"x_{split}"], given[f"y_{split}"]
        if len(images) != len(labels):
            raise DataError(f"{len(images)} {split} images but {len(labels)} {split} labels")
        if images.shape[1:] != given["x_test"].shape[1:]:
            test = given["x_test"].shape[1:]
            raise DataError(f"train images are {images.shape[1:]}, test images {test}")
    return given, digest


def _name(loader: Callable[..., Arrays]) -> str:
    return f"{loader.__module__}.{getattr(loader, '__qualname__', type(loader).__qualname__)}"


def _called(
    loader: Callable[..., Arrays], data_dir: Path, options: Mapping[str, object]
) -> dict[str, np.ndarray]:
    """Arrays by name; without a training half, those of the test half."""
    name = _name(loader)
    try:
        returned: Any = loader(data_dir, **options)
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"loader {name} raised {type(error).__name__}: {line(error)}") from error
    if not isinstance(returned, tuple | list) or len(returned) != len(Arrays._fields):
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)} ({', '.join(type(value).__name__ for value in returned)})"
        raise DataError(f"loader {name} returned {got}; {checks.LOADER_RETURNS}")
    fields = dict(zip(Arrays._fields, returned, strict=True))
    if fields["x_train"] is None and fields["y_train"] is None:
        del fields["x_train"], fields["y_train"]
    arrays = {}
    for field, value in fields.items():
        if isinstance(value, np.ma.MaskedArray):
            raise DataError(f"{field}: a masked array; fill it, or leave such images out")
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = value.float() if value.dtype == torch.bfloat16 else value
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{field}: not an array ({line(error)}); {checks.LOADER_RETURNS}") from None
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
            raise DataError(
                f"{field}: a {type(value).__name__} of {array.dtype}, not of numbers; {checks.LOADER_RETURNS}"
            )
        arrays[field] = array
    return arrays
