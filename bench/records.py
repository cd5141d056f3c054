"""The store: one record a cell, content-addressed, written whole or not at all.

Here belongs how results are kept and found again. What a record says is decided in ``cell``; tables
of many records are made in ``aggregate``.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors.numpy import load_file, save_file

OK, NOT_APPLICABLE, FAILED, MISSING = "ok", "not_applicable", "failed", "missing"
"""What can have become of a cell."""


class Store:
    """A folder of records, adversarial samples and checkpoints.

    Args:
        folder: Where it lies; it is made when something is written.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def checkpoints(self) -> Path:
        """Where trained networks are kept."""
        return self.folder / "checkpoints"

    def record_path(self, key: str) -> Path:
        """Where the record of a key is, or would be."""
        return self.folder / "records" / f"{key}.json"

    def samples_path(self, key: str) -> Path:
        """Where the adversarial samples of a key are, or would be."""
        return self.folder / "samples" / f"{key}.safetensors"

    def lock(self, key: str) -> FileLock:
        """A lock between processes that want the same cell."""
        path = self.folder / "locks" / f"{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)

    def read(self, key: str) -> dict[str, Any] | None:
        """The record of a key, or None where there is none that can be read."""
        try:
            record: dict[str, Any] = json.loads(self.record_path(key).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record

    def done(self, key: str) -> dict[str, Any] | None:
        """The record of a key if its cell was finished, and its samples are there."""
        record = self.read(key)
        if record and record["status"] == OK and self.samples_path(key).exists():
            return record
        return None

    def write(self, key: str, record: Mapping[str, Any], samples: Mapping[str, np.ndarray] | None) -> None:
        """Keeps a record and the samples it speaks of, the samples first."""
        if samples is not None:
            path = self.samples_path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            save_file({name: np.ascontiguousarray(array) for name, array in samples.items()}, temporary)
            temporary.replace(path)
        write_text(self.record_path(key), json.dumps(record, indent=1) + "\n")

    def samples(self, key: str) -> dict[str, np.ndarray]:
        """The arrays kept with a record."""
        return load_file(self.samples_path(key))


def write_text(path: Path, text: str) -> None:
    """Writes a file so that it is there whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def git_revision() -> str | None:
    """The commit that this code was checked out from, with ``-dirty`` if it was changed since; else None."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", Path(__file__).name], cwd=here, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    # an installed copy may lie inside somebody else's checkout
    return described.stdout.strip() if tracked.returncode == 0 else None
