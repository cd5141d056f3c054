"""The MNIST family: IDX files, gzipped or not.

Here belongs reading that format. How a file is fetched, and the checks that every dataset passes, do not.
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.datasets.arrays import Arrays, DataError
from bench.datasets.fetching import fetched, put

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
    with fetched(path, urls, sha256) as temporary:
        put(temporary, path)
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
