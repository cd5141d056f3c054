"""The store: whatever was computed, under a hash of everything that decides it.

Here belongs how results are kept and found again: ``Store.remember`` is the one place where anything is
kept, as checkpoints, samples, or looks at either. What a record says is decided in ``record``; tables of
many records are made elsewhere.

What is in the folder, ``<output_dir>/store``:

    records/KEY.json: what became of a cell: its settings, figures, and the keys of all that it is made of.
    checkpoints/KEY.safetensors: a trained network's weights, under a hash of data, architecture and training.
    samples/KEY.safetensors: adversarial images of an attack (``perturbed``, n x channels x height x width,
        floats in [0, 1]), and of each row its ``indices`` (place among the test images), ``labels``,
        ``targets`` and ``claimed``; and, where they can be told, ``given_up``, ``too_far``,
        ``without_start``, ``zero_gradient``.
    looks/KEY.json: what was seen of a defended network: ``clean`` and ``accuracy`` (which images it gets
        right, as a word of 0 and 1), ``fresh draws`` (of each sample, on how many draws the criterion holds
        and the true label is given). ``about`` says what was asked, ``value`` what was seen.
    gradients/KEY.safetensors: the attacker's gradients through a defence: their variance, and single draws.
    audits/KEY.safetensors: what a row of an audit has found: ``worst``, each image's worst sample, and in
        ``about`` its tables.
    locks/KEY.lock: held by the process that trains or attacks; may be removed when nothing runs.
    format.json: the format of the store's files, so that those of an earlier version are counted once.
    kept.json: only where ``python -m bench keep`` made the store: nothing is computed in it.

A file that was damaged is renamed to ``NAME.damaged-1`` and made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import process
from bench.results import fingerprint
from bench.results.files import (
    FORMAT,
    Unreadable,
    locked,
    log,
    read_document,
    read_tensors,
    set_aside,
    write_document,
    write_tensors,
    write_text,
)

if TYPE_CHECKING:
    # imported where tensors are: records, and tables of them, have none
    import numpy as np
    import torch

OK, NOT_APPLICABLE, FAILED, MISSING = "ok", "not_applicable", "failed", "missing"
"""What can have become of a cell."""

FORGOTTEN_SECONDS = 24 * 3600
"""A temporary file of this age is nobody's any more."""

LOOKS = "looks"
"""What is kept as JSON values; every other kind is of tensors."""

_unwritable: set[Path] = set()
"""Folders of which it was said in this process."""


@dataclass(frozen=True)
class Kept:
    """Something that is kept, or is to be.

    Attributes:
        values: By name: JSON-able ones of a look; else tensors, on the CPU.
        about: JSON-able values about the tensors.
        key: Its name.
        path: Its file.
        content: The hash of all that it holds.
    """

    values: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    path: Path = Path()
    content: str = ""


def key_of(kind: str, decides: Mapping[str, Any]) -> str:
    """The name under which something is kept.

    Args:
        kind: Of what it is: ``checkpoints``, ``samples``, ``looks``, ...
        decides: Everything that decides it, as JSON-able values.
    """
    return fingerprint.digest({"format": FORMAT, "kind": kind, **decides})[:16]


class Store:
    """A folder of records, and of the checkpoints, adversarial samples and looks that they are made of.

    Args:
        folder: Where it lies; it is made when something is written.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, kind: str, key: str) -> Path:
        """Where something of a kind is kept, or would be."""
        suffix = "json" if kind in (LOOKS, "records") else "safetensors"
        return self.folder / kind / f"{key}.{suffix}"

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """A lock between processes that want the same thing; of this one's threads one computes at a time."""
        with process.alone, locked(self.folder / "locks" / f"{key}.lock"):
            yield

    @property
    def reference(self) -> bool:
        """Whether ``keep`` made it: without samples and networks, and nothing is computed in it."""
        return (self.folder / "kept.json").exists()

    def remember(
        self,
        kind: str,
        decides: Mapping[str, Any],
        make: Callable[[], Kept],
        how: Mapping[str, Any] | None = None,
    ) -> Kept:
        """What was made before of the same things, or is made now and kept.

        What is kept and can't be read is said, set aside and made again. What can't be kept is said,
        and given all the same. Of two processes that want the same tensors, one waits for the other.

        Args:
            kind: The folder's name.
            decides: Everything that decides what is made, as JSON-able values.
            make: Gives values, and what is said about them.
            how: What else decides it, such as the code and the versions of now; not asked for in a reference,
                which says what was seen then.

        Raises:
            Unreadable: for what is in the way and can't be set aside; in a reference for what isn't there.
        """
        if self.reference:
            return self.kept(kind, key_of(kind, decides))
        key = key_of(kind, {**decides, **(how or {})})
        kept = self._found(kind, key)
        if kept is not None:
            return kept
        with contextlib.nullcontext() if kind == LOOKS else self.lock(key):
            # another process may have been faster
            return self._found(kind, key) or self.keep(kind, key, make())

    def keep(self, kind: str, key: str, made: Kept) -> Kept:
        """Keeps what was made; what can't be kept is said, and given all the same."""
        path = self.path(kind, key)
        content = ""
        try:
            if kind == LOOKS:
                write_document(
                    path, kind, key, {"about": dict(made.about), "value": dict(made.values)}, indent=None
                )
            else:
                content = write_tensors(path, kind, key, made.values, made.about)
        except OSError as error:
            if path.parent not in _unwritable:
                _unwritable.add(path.parent)
                log.warning("%s: can't be written (%s)", path.parent, error.strerror or error)
        return replace(made, key=key, path=path, content=content)

    def kept(self, kind: str, key: str) -> Kept:
        """What is kept under a key.

        Raises:
            Unreadable: where there is nothing, or it is damaged, another's, or of another version.
        """
        path = self.path(kind, key)
        if kind == LOOKS:
            found = read_document(path, kind, key)
            if found is None:
                raise Unreadable(path, "missing: it was not kept" if self.reference else "missing")
            return Kept(found["value"], found["about"], key, path)
        values, about, content = read_tensors(path, kind, key)
        return Kept(values, about, key, path, content)

    def _found(self, kind: str, key: str) -> Kept | None:
        if not os.path.lexists(self.path(kind, key)):
            return None
        try:
            return self.kept(kind, key)
        except Unreadable as error:
            set_aside(error)
            return None

    def record_path(self, key: str) -> Path:
        """Where the record of a key is, or would be."""
        return self.path("records", key)

    def read(self, key: str) -> dict[str, Any] | None:
        """The record of a key, or None where there is none.

        Raises:
            Unreadable: for a record that is damaged, another's, or of another version.
        """
        return read_document(self.record_path(key), "record", key)

    def write(self, key: str, record: Mapping[str, Any]) -> None:
        """Keeps a record.

        Raises:
            OSError: if it can't be written.
        """
        write_document(self.record_path(key), "record", key, record)

    def done(self, key: str) -> dict[str, Any] | None:
        """The record of a key if its cell was finished, and its samples have the size that it names.

        Raises:
            Unreadable: for a damaged record, or samples of another size.
        """
        record = self.read(key)
        if record is None or record["status"] != OK:
            return None
        path, size = self.samples_path(record), record["samples"]["bytes"]
        try:
            found = path.stat().st_size if path.is_file() else None
        except OSError:
            found = None
        if found is None and not os.path.lexists(path):
            return None
        if found != size:
            raise Unreadable(path, f"damaged ({found} bytes, its record says {size})")
        return record

    def samples_path(self, record: Mapping[str, Any]) -> Path:
        """Where the adversarial samples of a record are, or would be."""
        return self.path("samples", record["samples"].get("key", record["key"]))

    def samples(self, record: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The arrays that a record speaks of.

        Raises:
            Unreadable: where there are none, or they are damaged, or not those that the record names.
        """
        path = self.samples_path(record)
        kept = self.kept("samples", path.stem)
        if record["samples"]["content"] != fingerprint.hash_tensors(kept.values):
            raise Unreadable(path, f"not the samples that record {record['key']} names")
        return {name: tensor.numpy() for name, tensor in kept.values.items()}

    def earlier(self) -> int:
        """How many records of an earlier format there are, once: a store that was looked through is marked.

        Raises:
            OSError: if the store can't be written to.
        """
        mark, looked_through = self.folder / "format.json", json.dumps({"format": FORMAT}) + "\n"
        if mark.is_file() and mark.read_bytes() == looked_through.encode():
            return 0
        found = 0
        for path in (self.folder / "records").glob("*.json"):
            try:
                read_document(path, "record", path.stem)
            except Unreadable as error:
                found += error.earlier
        write_text(mark, looked_through)
        return found

    def tidy(self) -> None:
        """Removes temporary files that a process which was killed has left long ago."""
        for path in self.folder.glob("*/.*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                    path.unlink()


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Arrays as they are kept."""
    import numpy as np
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


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
