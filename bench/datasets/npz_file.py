"""NumPy's .npz files.

Here belongs reading that format. The checks that every dataset passes do not.
"""

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
    try:
        archive = np.load(path, allow_pickle=False)
    # what is wrong with a damaged archive is said by errors of a dozen kinds
    except Exception as error:
        raise DataError(f"{path}: not an .npz file, or a damaged one ({line(error)})") from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path}: holds a single array; use numpy.savez with {', '.join(NAMES)}")
    with archive:
        for name in archive.files:
            if name not in NAMES:
                allowed = f"allowed: {', '.join(NAMES)}{meant(name, NAMES)}"
                raise DataError(f"{path}: holds an array {name!r}; {allowed}")
        # the test arrays may be alone, the training ones may not, nor one without the other
        trained = [name for name in NAMES[:2] if name in archive.files]
        for name in (*(NAMES[:2] if trained else ()), *NAMES[2:]):
            if name not in archive.files:
                found = ", ".join(archive.files) or "none"
                raise DataError(f"{path}: no array {name}; found: {found}")
        arrays = {name: _read(path, archive, name) for name in archive.files}
    return Arrays(*(arrays.get(name) for name in NAMES))  # type: ignore[arg-type]


def _read(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    try:
        array: np.ndarray = archive[name]
    except Exception as error:
        if "Object arrays" in str(error):
            raise DataError(f"{path}: {name} is an array of objects, not of numbers") from None
        raise DataError(f"{path}: {name} can't be read ({line(error)}): damaged") from None
    return array
