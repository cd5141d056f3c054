"""NumPy's .npz files.

Here belongs reading that format. The checks that every dataset passes do not.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.datasets.arrays import Arrays, DataError, line, meant
from bench.datasets.fetching import SET_DATA_DIR

NAMES = Arrays._fields


def npz(data_dir: Path, *, file: str) -> Arrays:
    """Arrays x_train, y_train, x_test and y_test of one .npz file, or the two test arrays alone.

    What is pickled, as arrays of objects are, is never read.

    Args:
        data_dir: Folder under which ``file`` lies.
        file: For example ``flowers.npz``.

    Raises:
        DataError: for a file that is missing, damaged or something else, an array that is missing, unknown
            or of objects.
    """
    path = data_dir / file
    if not path.is_file():
        known = [found.name for found in sorted(path.parent.glob("*.npz"))]
        raise DataError(f"{path}: missing{meant(path.name, known)}; {SET_DATA_DIR}")
    with opened(path, NAMES) as archive:
        for name in archive.files:
            if name not in NAMES:
                allowed = f"allowed: {', '.join(NAMES)}{meant(name, NAMES)}"
                raise DataError(f"{path}: holds an array {name!r}; {allowed}")
        # the test arrays may be alone, the training ones may not, nor one without the other
        trained = [name for name in NAMES[:2] if name in archive.files]
        needed = (*(NAMES[:2] if trained else ()), *NAMES[2:])
        arrays = {name: array(path, archive, name) for name in dict.fromkeys((*needed, *archive.files))}
    return Arrays(*(arrays.get(name) for name in NAMES))  # type: ignore[arg-type]


def opened(path: Path, names: Sequence[str]) -> np.lib.npyio.NpzFile:
    """A .npz file that is there, to be closed; nothing that is pickled is read from it.

    Args:
        path: The file.
        names: Of the arrays that it should have.

    Raises:
        DataError: for a file that is damaged or something else.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    # what is wrong with a damaged archive is said by errors of a dozen kinds
    except Exception as error:
        raise DataError(f"{path}: not an .npz file, or a damaged one ({line(error)})") from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path}: holds a single array; use numpy.savez with {', '.join(names)}")
    return archive


def array(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    """An array of a file that was opened.

    Raises:
        DataError: where there is none of that name, or it is of objects or damaged.
    """
    if name not in archive.files:
        raise DataError(f"{path}: no array {name}; found: {', '.join(archive.files) or 'none'}")
    try:
        found: np.ndarray = archive[name]
    except Exception as error:
        if "Object arrays" in str(error):
            raise DataError(f"{path}: {name} is an array of objects, not of numbers") from None
        raise DataError(f"{path}: {name} can't be read ({line(error)}): damaged") from None
    return found
