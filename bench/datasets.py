"""Images and labels, checked and fingerprinted: the embedded digits, IDX files, CIFAR-10's binary version.

Here belongs everything between a file and an array. A dataset in another format needs a function
``loader(data_dir, **options)`` that returns ``Arrays``, wherever it lives. Models, schemes and
attacks are not known here.
"""

import gzip
import hashlib
import itertools
import logging
import math
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

log = logging.getLogger("bench")

ROUNDING = 1e-6
"""Floats may leave [0, 1] by this much, a few roundings of float32 and 1/4000 of a grey level."""

DARK = 0.5
"""Images that stay below this share of the full range are usable, but look like scaled twice."""

LISTED = 5
"""How many classes a line names."""

LOADER_RETURNS = "a loader returns (x_train, y_train, x_test, y_test), arrays or tensors, in this order"


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

    Arrays of any layout, byte order and floating type will do, and so will tensors and regular lists.
    Floats that leave [0, 1] by rounding alone (``ROUNDING``) are clipped. What is allowed but looks
    like a mistake (dark images, a class that the first ``train_size`` images lack) is logged.

    Args:
        loader: A function as the module's docstring describes.
        data_dir: Folder that holds the data files.
        options: The loader's own keyword arguments.
        train_size: Training uses the first ``train_size`` images; None: all of them.

    Raises:
        DataError: if the loader fails or gives other data when asked again, if an array has a wrong
            shape, type or range, if the classes are not 0, 1, 2, ... with all of them in the training
            labels, or if there are fewer images than ``train_size``.
    """
    arrays, digest = _checked(loader, data_dir, options)
    # ours draw nothing that isn't seeded; another's may, and then no two runs would speak of the same data
    if not _name(loader).startswith("bench."):
        again = _checked(loader, data_dir, options)[1]
        if again.digest() != digest.digest():
            raise DataError(f"loader {_name(loader)} gives other data each time: let it seed what it draws")
    classes = count_classes(arrays.y_train, arrays.y_test)
    if train_size is None:
        train_size = len(arrays.x_train)
    if not 1 <= train_size <= len(arrays.x_train):
        raise DataError(f"train_size: expected 1 to {len(arrays.x_train)} images, got {train_size}")
    for name, images in (("x_train", arrays.x_train), ("x_test", arrays.x_test)):
        if (brightest := _brightest(images)) < DARK:
            found = f"{images.dtype} {_range(images)}"
            log.warning("%s: %s, at most %.3g of the full range", name, found, brightest)
    y_train = arrays.y_train[:train_size].astype(np.int64)
    if len(unused := _absent(y_train, classes)):
        log.warning("train_size: none of the first %d images is of class %s", train_size, _listed(unused))
    digest.update(f"train_size {train_size}".encode())
    return Dataset(
        x_train=_unit(arrays.x_train[:train_size]),
        y_train=y_train,
        x_test=_unit(arrays.x_test),
        y_test=arrays.y_test.astype(np.int64),
        classes=classes,
        fingerprint=digest.hexdigest(),
    )


def _checked(
    loader: Callable[..., Arrays], data_dir: Path, options: Mapping[str, object]
) -> tuple[Arrays, Any]:
    """What a loader returns, checked but for the labels' meaning, and SHA-256 over it."""
    arrays = _called(loader, data_dir, options)
    digest = hashlib.sha256()
    for name, array in zip(Arrays._fields, arrays, strict=True):
        if name.startswith("x"):
            _check_images(name, array)
        else:
            _check_labels(name, array)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    for split in ("train", "test"):
        images, labels = getattr(arrays, f"x_{split}"), getattr(arrays, f"y_{split}")
        if len(images) != len(labels):
            raise DataError(f"{len(images)} {split} images but {len(labels)} {split} labels")
    if arrays.x_train.shape[1:] != arrays.x_test.shape[1:]:
        raise DataError(f"train images are {arrays.x_train.shape[1:]}, test images {arrays.x_test.shape[1:]}")
    return arrays, digest


def _name(loader: Callable[..., Arrays]) -> str:
    return f"{loader.__module__}.{getattr(loader, '__qualname__', type(loader).__qualname__)}"


def _called(loader: Callable[..., Arrays], data_dir: Path, options: Mapping[str, object]) -> Arrays:
    name = _name(loader)
    try:
        returned: Any = loader(data_dir, **options)
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(f"loader {name} raised {type(error).__name__}: {_line(error)}") from error
    if not isinstance(returned, tuple | list) or len(returned) != len(Arrays._fields):
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)} ({', '.join(type(value).__name__ for value in returned)})"
        raise DataError(f"loader {name} returned {got}; {LOADER_RETURNS}")
    arrays = []
    for field, value in zip(Arrays._fields, returned, strict=True):
        if isinstance(value, np.ma.MaskedArray):
            raise DataError(f"{field}: a masked array; fill it, or leave such images out")
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = value.float() if value.dtype == torch.bfloat16 else value
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{field}: not an array ({_line(error)}); {LOADER_RETURNS}") from None
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
            raise DataError(
                f"{field}: a {type(value).__name__} of {array.dtype}, not of numbers; {LOADER_RETURNS}"
            )
        arrays.append(array)
    return Arrays(*arrays)


def _check_images(name: str, array: np.ndarray) -> None:
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
            found = f", the others {_range(array[finite])}" if finite.any() else ""
            raise DataError(
                f"{name}: {allowed}, found {array.size - finite.sum()} values that are not finite{found}"
            )
        if array.min() < -ROUNDING or array.max() > 1 + ROUNDING:
            raise DataError(f"{name}: {allowed}, found {array.dtype} {_range(array)}")
    elif array.dtype != np.uint8:
        raise DataError(f"{name}: {allowed}, found {array.dtype} {_range(array)}")
    # nothing above one of 255 grey levels: black to the eye and to a network
    if _brightest(array) <= 1 / 255 + ROUNDING:
        raise DataError(
            f"{name}: {allowed}, found {array.dtype} {_range(array)}"
            + (", which would be divided by 255: give images of 0 and 1 as floats"
               if array.dtype == np.uint8 else ", which looks like divided by 255 twice")
        )  # fmt: skip
    if array.min() == array.max():
        raise DataError(f"{name}: every value is {array.min():.9g}")


def _brightest(images: np.ndarray) -> float:
    """The largest value once it is scaled to [0, 1]."""
    return float(images.max()) / (255 if images.dtype == np.uint8 else 1)


def _check_labels(name: str, array: np.ndarray) -> None:
    if array.ndim != 1 or not len(array):
        hint = ""
        if array.ndim == 2 and array.shape[1]:
            hint = ": use labels[:, 0]" if array.shape[1] == 1 else ": if one-hot, use labels.argmax(1)"
        raise DataError(
            f"{name}: expected labels of shape (n,), at least one, got shape {array.shape}{hint}; "
            f"{LOADER_RETURNS}"
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{name}: expected classes as integers from 0, got {array.dtype} {_range(array)}")


def count_classes(y_train: np.ndarray, y_test: np.ndarray) -> int:
    """How many classes there are: the labels are exactly 0, 1, 2, ..., each of them in training.

    Raises:
        DataError: for a label below 0, one that never occurs below the largest, a single class, or a
            test label that training doesn't have.
    """
    found = np.unique(y_train)
    range_ = f"found {len(found)} classes, {_range(found)}"
    if found[0] < 0:
        raise DataError(f"y_train: expected classes 0, 1, 2, ..., {range_}")
    classes = int(found[-1]) + 1
    if len(found) < classes:
        raise DataError(
            f"y_train: expected classes 0, 1, 2, ..., {range_}: class {_listed(_absent(found, classes))} "
            "never occurs"
        )
    if classes < 2:
        raise DataError(f"y_train: expected at least two classes, {range_}")
    unseen = np.setdiff1d(y_test, found)
    if len(unseen):
        raise DataError(
            f"y_test: expected classes of the training labels, 0 to {classes - 1}, "
            f"found class {_listed(unseen.tolist())}"
        )
    return classes


def _absent(labels: np.ndarray, classes: int) -> list[int]:
    """The first few classes that never occur; a label may be huge."""
    found = set(labels.tolist())
    return list(itertools.islice((c for c in range(classes) if c not in found), LISTED + 1))


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:LISTED])) + (", ..." if len(values) > LISTED else "")


def _range(array: np.ndarray) -> str:
    # floats of 9 digits tell 1.0000001 from 1
    return f"from {array.min():.9g} to {array.max():.9g}" if array.dtype != bool else "of true and false"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _unit(images: np.ndarray) -> np.ndarray:
    unit = np.array(images, dtype=np.float32, order="C")
    if images.dtype == np.uint8:
        return np.divide(unit, np.float32(255), out=unit)
    return np.clip(unit, 0, 1, out=unit)


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
    download_sha256: Mapping[str, str] | None = None,
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
        download_sha256: For each file name, the published SHA-256 of ``NAME.gz``, checked when it is
            fetched.

    Raises:
        DataError: for a file that is missing and can't be fetched, damaged, or not what its name says.

    Source: Y. LeCun, C. Cortes, C. Burges, the MNIST database (the IDX format).
    """
    arrays = []
    for name, dimensions in zip(files, (3, 1, 3, 1), strict=True):
        path = _find_idx(data_dir / folder, name, urls, (download_sha256 or {}).get(name))
        arrays.append(_read_idx(path, dimensions, (sha256 or {}).get(name)))
        if dimensions == 1 and arrays[-1].max() >= classes:
            raise DataError(f"{path}: label {arrays[-1].max()} found, expected 0 to {classes - 1}")
        if dimensions == 1 and len(arrays[-1]) != len(arrays[-2]):
            raise DataError(f"{path}: {len(arrays[-1])} labels for {len(arrays[-2])} images")
    x_train, y_train, x_test, y_test = arrays
    return Arrays(x_train[:, None], y_train, x_test[:, None], y_test)


def _find_idx(folder: Path, name: str, urls: Sequence[str], sha256: str | None) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    path = folder / f"{name}.gz"
    with _fetched(path, urls, sha256) as temporary:
        _put(temporary, path)
    return path


GZIP_RATIO = 1032
"""Deflate can't make more than this many bytes of one (zlib's technical details)."""


def _read_idx(path: Path, dimensions: int, sha256: str | None) -> np.ndarray:
    """The array of an IDX file; no more is read than its header promises, and one byte."""
    kind = {1: "labels", 3: "images"}[dimensions]
    zipped = path.suffix == ".gz"
    try:
        held = path.stat().st_size * (GZIP_RATIO if zipped else 1)
        with gzip.open(path) if zipped else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(
                    f"{path}: not an IDX file of {kind} (it starts with {header[:4].hex() or 'nothing'}, "
                    f"expected 0000080{dimensions})"
                )
            shape = np.frombuffer(header, ">u4", offset=4).tolist()
            promised = math.prod(shape)
            if not promised:
                raise DataError(f"{path}: holds no {kind}")
            data = b"" if promised > held else file.read(promised + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); delete it to have it fetched again") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if len(data) != promised:
        found = "more" if len(data) > promised else "less"
        raise DataError(
            f"{path}: holds {found} than the {promised} bytes that its header promises: truncated or damaged"
        )
    digest = hashlib.sha256(header)
    digest.update(data)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise DataError(
            f"{path}: content differs from the published file (SHA-256); delete it to fetch it again"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


CIFAR10_FILES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def cifar10(
    data_dir: Path,
    *,
    folder: str = "cifar-10-batches-bin",
    images_per_file: int = 10_000,
    url: str | None = None,
    download_sha256: str | None = None,
) -> Arrays:
    """CIFAR-10's binary version: 50,000 training and 10,000 test images of 32x32x3.

    Args:
        data_dir: Folder under which ``folder`` lies.
        folder: Holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``.
        images_per_file: A file of another size is refused.
        url: Where the ``.tar.gz`` that holds the folder is fetched from when it is missing.
        download_sha256: The published SHA-256 of that archive, checked when it is fetched.

    Raises:
        DataError: for a file that is missing and can't be fetched, of a wrong size, or with a label over 9.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
    """
    if url is not None and not (data_dir / folder).exists():
        _fetch_cifar10(data_dir / folder, images_per_file * 3073, url, download_sha256)
    images, labels = [], []
    for name in CIFAR10_FILES:
        path = data_dir / folder / f"{name}.bin"
        if not path.exists():
            raise DataError(f"{path}: missing; {SET_DATA_DIR}")
        size = path.stat().st_size
        if size != images_per_file * 3073:
            raise DataError(
                f"{path}: {size} bytes, expected {images_per_file * 3073} "
                f"({images_per_file} records of 3073): truncated or damaged"
            )
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DataError(f"{path}: can't be read ({error.strerror})") from None
        records = data.reshape(images_per_file, 3073)
        if records[:, 0].max() > 9:
            raise DataError(f"{path}: label {records[:, 0].max()} found, expected 0 to 9: damaged")
        labels.append(records[:, 0])
        images.append(records[:, 1:].reshape(-1, 3, 32, 32))
    return Arrays(np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


def _fetch_cifar10(folder: Path, size: int, url: str, sha256: str | None) -> None:
    """Fetches the archive and puts its six files into ``folder``, all of them or none."""
    with _fetched(folder.parent / url.rsplit("/", 1)[1], [url.rsplit("/", 1)[0] + "/"], sha256) as archive:
        unpacked = archive.parent / folder.name
        unpacked.mkdir()
        try:
            with tarfile.open(archive) as tar:
                for name in (f"{name}.bin" for name in CIFAR10_FILES):
                    member = tar.getmember(f"cifar-10-batches-bin/{name}")
                    content = tar.extractfile(member) if member.size == size else None
                    if content is None:
                        raise DataError(f"{url}: {name} holds {member.size} bytes, expected {size}")
                    (unpacked / name).write_bytes(content.read())
        except (KeyError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"{url}: not CIFAR-10's binary version ({_line(error)})") from None
        _put(unpacked, folder)


SET_DATA_DIR = "set data_dir=... or the environment variable BENCH_DATA_DIR to the folder that holds it"


@contextmanager
def _fetched(path: Path, urls: Sequence[str], sha256: str | None) -> Iterator[Path]:
    """The file that belongs at ``path``, from the first address that serves it, checked.

    It lies in a folder of its own beside ``path``, which is gone after the block.
    """
    if not urls:
        raise DataError(f"{path}: missing; {SET_DATA_DIR}")
    import pooch
    import requests

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            failures = []
            for url in urls:
                try:
                    pooch.HTTPDownloader(progressbar=True)(url + path.name, str(temporary), None)
                except (requests.RequestException, ValueError) as error:
                    failures.append(f"{url} did not serve it ({type(error).__name__})")
                    continue
                with temporary.open("rb") as file:
                    got = hashlib.file_digest(file, "sha256").hexdigest()
                if sha256 is None or got == sha256:
                    break
                failures.append(f"what {url} served is not the published file (SHA-256 {got})")
            else:
                raise DataError(f"{path}: missing, and {', '.join(failures)}; {SET_DATA_DIR}")
            yield temporary
    except OSError as error:
        raise DataError(f"{path}: missing, and can't be kept there ({error.strerror or error})") from None


def _put(temporary: Path, path: Path) -> None:
    """Renames; whoever was faster is left alone, since both were checked."""
    if not path.exists():
        temporary.rename(path)
