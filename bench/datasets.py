"""Images and labels, checked and fingerprinted: the embedded digits, IDX files, CIFAR-10's binary version.

Here belongs everything between a file and an array. A dataset in another format needs a function
``loader(data_dir, **options)`` that returns ``Arrays``, wherever it lives. Models, schemes and
attacks are not known here.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np


class DataError(Exception):
    """Data that can't be used: one line that names the file, and what to do."""


class Arrays(NamedTuple):
    """What a loader returns.

    Attributes:
        x_train, x_test: Images, shape (n, channels, height, width), uint8 in [0, 255] or floats in [0, 1].
        y_train, y_test: Classes, integers from 0, shape (n,).
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Checked data, ready for use.

    Attributes:
        x_train, x_test: float32 in [0, 1], shape (n, channels, height, width).
        y_train, y_test: int64, shape (n,).
        classes: How many classes there are.
        fingerprint: SHA-256 over every array as loaded, and the part used for training.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    fingerprint: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.x_test.shape[1:]
        return channels, height, width


def load(
    loader: Callable[..., Arrays], data_dir: Path, options: Mapping[str, object], train_size: int | None
) -> Dataset:
    """Calls a loader and checks what it returns.

    Args:
        loader: A function as the module's docstring describes.
        data_dir: Folder that holds the data files.
        options: The loader's own keyword arguments.
        train_size: Training uses the first ``train_size`` images; None: all of them.

    Raises:
        DataError: if an array has a wrong shape, type or range, or there are fewer than ``train_size``.
    """
    arrays = Arrays(*loader(data_dir, **options))
    digest = hashlib.sha256()
    for name, array in zip(Arrays._fields, arrays, strict=True):
        _check(name, array)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    for split in ("train", "test"):
        images, labels = getattr(arrays, f"x_{split}"), getattr(arrays, f"y_{split}")
        if len(images) != len(labels):
            raise DataError(f"{len(images)} {split} images but {len(labels)} {split} labels")
    if arrays.x_train.shape[1:] != arrays.x_test.shape[1:]:
        raise DataError(f"train images are {arrays.x_train.shape[1:]}, test images {arrays.x_test.shape[1:]}")
    if train_size is None:
        train_size = len(arrays.x_train)
    if not 1 <= train_size <= len(arrays.x_train):
        raise DataError(f"train_size: expected 1 to {len(arrays.x_train)} images, got {train_size}")
    digest.update(f"train_size {train_size}".encode())
    return Dataset(
        x_train=_unit(arrays.x_train[:train_size]),
        y_train=arrays.y_train[:train_size].astype(np.int64),
        x_test=_unit(arrays.x_test),
        y_test=arrays.y_test.astype(np.int64),
        classes=int(max(arrays.y_train.max(), arrays.y_test.max())) + 1,
        fingerprint=digest.hexdigest(),
    )


def _check(name: str, array: np.ndarray) -> None:
    dimensions = 4 if name.startswith("x") else 1
    if array.ndim != dimensions or not len(array):
        raise DataError(
            f"{name}: expected a filled array of {dimensions} dimensions, got shape {array.shape}"
        )
    if name.startswith("y"):
        if not np.issubdtype(array.dtype, np.integer) or array.min() < 0:
            raise DataError(f"{name}: expected classes as integers from 0, got {array.dtype}")
    elif array.dtype != np.uint8 and not (
        np.issubdtype(array.dtype, np.floating) and array.min() >= 0 and array.max() <= 1
    ):
        raise DataError(f"{name}: expected uint8, or floats in [0, 1], got {array.dtype}")


def _unit(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32)


def digits(data_dir: Path, *, test_size: int = 500, shuffle_seed: int = 0) -> Arrays:
    """scikit-learn's embedded digits: 1,797 real 8x8 images of ten classes, values 0 to 16.

    They lie in the order of their writers, so they are shuffled before they are split.

    Args:
        data_dir: Not used: the images are inside scikit-learn.
        test_size: How many of the shuffled images are for testing, the last ones.
        shuffle_seed: Seed of the shuffle.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    if not 1 <= test_size < len(images):
        raise DataError(f"dataset.options.test_size: expected 1 to {len(images) - 1}, got {test_size}")
    order = np.random.default_rng(shuffle_seed).permutation(len(images))
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)[order]
    labels = labels.astype(np.int64)[order]
    return Arrays(images[:-test_size], labels[:-test_size], images[-test_size:], labels[-test_size:])


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(
    data_dir: Path,
    *,
    folder: str,
    files: Sequence[str] = IDX_FILES,
    classes: int = 10,
    sha256: Mapping[str, str] | None = None,
    urls: Sequence[str] = (),
    download_md5: Mapping[str, str] | None = None,
) -> Arrays:
    """The MNIST family: four IDX files, each plain or with ``.gz``, in torchvision's layout.

    Args:
        data_dir: Folder under which ``folder`` lies.
        folder: For example ``MNIST/raw``.
        files: Names of training images, training labels, test images, test labels, without ``.gz``.
        classes: A label of this value or more is refused.
        sha256: For each file name, the SHA-256 of its decompressed bytes; what is listed is checked
            at every load, however the file was compressed.
        urls: Where a missing ``NAME.gz`` is fetched from, the first that answers.
        download_md5: For each file name, the published MD5 of ``NAME.gz``, checked when it is fetched.

    Raises:
        DataError: for a file that is missing and can't be fetched, damaged, or not what its name says.

    Source: Y. LeCun, C. Cortes, C. Burges, the MNIST database (the IDX format).
    """
    arrays = []
    for name, dimensions in zip(files, (3, 1, 3, 1), strict=True):
        path = _find_idx(data_dir / folder, name, urls, (download_md5 or {}).get(name))
        arrays.append(_read_idx(path, dimensions, (sha256 or {}).get(name)))
        if dimensions == 1 and arrays[-1].max() >= classes:
            raise DataError(f"{path}: label {arrays[-1].max()} found, expected 0 to {classes - 1}")
        if dimensions == 1 and len(arrays[-1]) != len(arrays[-2]):
            raise DataError(f"{path}: {len(arrays[-1])} labels for {len(arrays[-2])} images")
    x_train, y_train, x_test, y_test = arrays
    return Arrays(x_train[:, None], y_train, x_test[:, None], y_test)


def _find_idx(folder: Path, name: str, urls: Sequence[str], md5: str | None) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    return _fetch(folder, f"{name}.gz", urls, md5)


def _read_idx(path: Path, dimensions: int, sha256: str | None) -> np.ndarray:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); delete it to have it fetched again") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    header = 4 + 4 * dimensions
    kind = {1: "labels", 3: "images"}[dimensions]
    if len(data) < header or data[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"{path}: not an IDX file of {kind} (it starts with {data[:4].hex() or 'nothing'}, "
            f"expected 0000080{dimensions})"
        )
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4).tolist()
    if len(data) != header + math.prod(shape):
        raise DataError(
            f"{path}: {len(data)} bytes, but its header promises {header + math.prod(shape)}: "
            "truncated or damaged"
        )
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{path}: content differs from the published file (SHA-256); delete it to fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


CIFAR10_FILES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def cifar10(
    data_dir: Path,
    *,
    folder: str = "cifar-10-batches-bin",
    images_per_file: int = 10_000,
    url: str | None = None,
    download_md5: str | None = None,
) -> Arrays:
    """CIFAR-10's binary version: 50,000 training and 10,000 test images of 32x32x3.

    Args:
        data_dir: Folder under which ``folder`` lies.
        folder: Holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``.
        images_per_file: A file of another size is refused.
        url: Where the ``.tar.gz`` that holds the folder is fetched from when it is missing.
        download_md5: The published MD5 of that archive.

    Raises:
        DataError: for a file that is missing and can't be fetched, of a wrong size, or with a label over 9.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    if url is not None and not (data_dir / folder).exists():
        _fetch(data_dir, url.rsplit("/", 1)[1], [url.rsplit("/", 1)[0] + "/"], download_md5, unpack=True)
    images, labels = [], []
    for name in CIFAR10_FILES:
        path = data_dir / folder / f"{name}.bin"
        if not path.exists():
            raise DataError(f"{path}: missing; {SET_DATA_DIR}")
        data = np.fromfile(path, np.uint8)
        if data.size != images_per_file * 3073:
            raise DataError(
                f"{path}: {data.size} bytes, expected {images_per_file * 3073} "
                f"({images_per_file} records of 3073): truncated or damaged"
            )
        records = data.reshape(images_per_file, 3073)
        if records[:, 0].max() > 9:
            raise DataError(f"{path}: label {records[:, 0].max()} found, expected 0 to 9: damaged")
        labels.append(records[:, 0])
        images.append(records[:, 1:].reshape(-1, 3, 32, 32))
    return Arrays(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


SET_DATA_DIR = "set data_dir=... or the environment variable BENCH_DATA_DIR to the folder that holds it"


def _fetch(folder: Path, name: str, urls: Sequence[str], md5: str | None, unpack: bool = False) -> Path:
    """Fetches ``name`` into ``folder`` from the first address that serves it, with a progress bar."""
    if not urls:
        raise DataError(f"{folder / name}: missing; {SET_DATA_DIR}")
    import pooch
    import requests

    for url in urls:
        try:
            pooch.retrieve(
                url + name,
                known_hash=f"md5:{md5}" if md5 else None,
                fname=name,
                path=folder,
                processor=pooch.Untar(extract_dir=".") if unpack else None,
                progressbar=True,
            )
            return folder / name
        except (requests.RequestException, OSError, ValueError) as error:
            reason = type(error).__name__
    raise DataError(f"{folder / name}: missing, and {url} did not serve it ({reason}); {SET_DATA_DIR}")
