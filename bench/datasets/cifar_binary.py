"""CIFAR-10's binary version.

Here belongs reading that format. How a file is fetched, and the checks that every dataset passes, do not.
"""

import tarfile
import zlib
from pathlib import Path

import numpy as np

from bench.datasets.arrays import Arrays, DataError, line
from bench.datasets.fetching import SET_DATA_DIR, fetched, put

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
    with fetched(folder.parent / url.rsplit("/", 1)[1], [url.rsplit("/", 1)[0] + "/"], sha256) as archive:
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
            raise DataError(f"{url}: not CIFAR-10's binary version ({line(error)})") from None
        put(unpacked, folder)
