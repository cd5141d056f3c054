"""Getting a published file to where it belongs: whole and checked, or not at all.

Here belongs what is the same for every format. What is in the file does not.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.datasets.arrays import DataError

SET_DATA_DIR = "set data_dir=... or the environment variable BENCH_DATA_DIR to the folder that holds it"


@contextmanager
def fetched(path: Path, urls: Sequence[str], sha256: str | None) -> Iterator[Path]:
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


def put(temporary: Path, path: Path) -> None:
    """Renames; whoever was faster is left alone, since both were checked."""
    if not path.exists():
        temporary.rename(path)
