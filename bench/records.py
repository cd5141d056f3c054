"""The store: whatever was computed, content-addressed, written whole or not at all, checked when it is read.

Here belongs how results are kept and found again, and what is said of a file that can't be read. What a
record says is decided in ``cell``; tables of many records are made in ``aggregate``.

Every file carries its format and a hash of all that it holds, its own kind and key included, so that a
changed number, a flipped bit, or another file under this name is noticed. Records, looks and manifests
are JSON documents; samples, gradients and checkpoints are safetensors.
"""

import contextlib
import hashlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bench import fingerprint

log = logging.getLogger("bench")

OK, NOT_APPLICABLE, FAILED, MISSING = "ok", "not_applicable", "failed", "missing"
"""What can have become of a cell."""

FORMAT = 2
"""Of every file that is kept. Before format 2 files carried neither format nor hash."""

FORGOTTEN_SECONDS = 24 * 3600
"""A temporary file of this age is nobody's any more."""


_unwritable: set[Path] = set()
"""Folders of which it was said in this process."""


class Unreadable(Exception):
    """A file that can't be used: one line that names it and says why.

    Args:
        path: The file.
        why: What is wrong with it, such as ``damaged (...)``.
        earlier: Whether nothing is wrong with it but its version, so that it is left as it is.
    """

    def __init__(self, path: Path, why: str, earlier: bool = False):
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why
        self.earlier = earlier


class Store:
    """A folder of records, adversarial samples, checkpoints, and looks at them.

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

    def lock(self, key: str) -> AbstractContextManager[None]:
        """A lock between processes that want the same cell."""
        return locked(self.folder / "locks" / f"{key}.lock")

    def read(self, key: str) -> dict[str, Any] | None:
        """The record of a key, or None where there is none.

        Raises:
            Unreadable: for a record that is damaged, another's, or of another version.
        """
        return read_document(self.record_path(key), "record", key)

    def done(self, key: str) -> dict[str, Any] | None:
        """The record of a key if its cell was finished, and its samples have the size that it names.

        Raises:
            Unreadable: for a damaged record, or samples of another size.
        """
        record = self.read(key)
        if record is None or record["status"] != OK:
            return None
        path, size = self.samples_path(key), record["samples"]["bytes"]
        try:
            found = path.stat().st_size if path.is_file() else None
        except OSError:
            found = None
        if found is None and not os.path.lexists(path):
            return None
        if found != size:
            raise Unreadable(path, f"damaged ({found} bytes, its record says {size})")
        return record

    def write(self, key: str, record: Mapping[str, Any], samples: Mapping[str, np.ndarray] | None) -> None:
        """Keeps a record and the samples it speaks of, the samples first, whose size and hash it names.

        Raises:
            OSError: if they can't be written.
        """
        if samples is not None:
            path = self.samples_path(key)
            tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in samples.items()}
            content = write_tensors(path, "samples", key, tensors)
            kept = {"file": f"samples/{path.name}", "bytes": path.stat().st_size, "content": content}
            record = {**record, "samples": {**record.get("samples", {}), **kept}}
        write_document(self.record_path(key), "record", key, record)

    def samples(self, key: str) -> dict[str, np.ndarray]:
        """The arrays kept with a record.

        Raises:
            Unreadable: where there are none, or they are damaged, or not those that the record names.
        """
        path = self.samples_path(key)
        record = self.read(key)
        tensors, _, content = read_tensors(path, "samples", key)
        if record is not None and record.get("samples", {}).get("content") != content:
            raise Unreadable(path, f"not the samples that record {key} names")
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    @property
    def kept(self) -> bool:
        """Whether ``keep`` made it: without samples and networks, and nothing is computed in it."""
        return (self.folder / "kept.json").exists()

    def attacked(self, key: str) -> dict[str, np.ndarray]:
        """What is kept with a record of each attacked image, which may be without the images themselves.

        Returns:
            ``indices``, ``labels``, ``targets`` and ``claimed``, shape (rows,); and more.

        Raises:
            Unreadable: as ``samples``.
        """
        if not self.kept:
            return self.samples(key)
        path = self.folder / "counts" / f"{key}.json"
        counts = read_document(path, "counts", key)
        if counts is None:
            raise Unreadable(path, "missing")
        return {name: np.array(values) for name, values in counts["rows"].items()}

    def remember(
        self,
        kind: str,
        asked: Mapping[str, Any],
        make: Callable[[], Mapping[str, Any]],
        how: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """What was made before of the same things, or is made now and kept.

        What is kept and can't be read is said, set aside and made again. What can't be kept is said,
        and given all the same.

        Args:
            kind: The folder's name.
            asked: What is asked of what, as JSON-able values that last: a samples' hash, a checkpoint, rates,
                draws, seeds. ``keep`` knows a sweep's own by their ``checkpoint``, ``rates`` and ``samples``.
            make: Gives JSON-able values by name, or arrays by name, which are kept as such.
            how: What else decides what is made, such as the code and versions of now: not asked for in a
                store that was kept, which says what was seen then.

        Raises:
            Unreadable: in a store that was kept, for what it doesn't hold.
        """
        named = asked if self.kept else {**asked, **(how or {})}
        key = look_key(kind, named)
        for path in (self.folder / kind / f"{key}.json", self.folder / kind / f"{key}.safetensors"):
            if not os.path.lexists(path):
                continue
            try:
                if path.suffix == ".json":
                    found = read_document(path, kind, key)
                    if found is not None:
                        return dict(found["value"])
                else:
                    return {n: t.numpy() for n, t in read_tensors(path, kind, key)[0].items()}
            except Unreadable as error:
                if self.kept:
                    raise
                set_aside(error)
        if self.kept:
            raise Unreadable(self.folder / kind / f"{key}.json", "missing: it was not kept")
        made = dict(make())
        try:
            if made and all(isinstance(value, np.ndarray) for value in made.values()):
                tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in made.items()}
                path = self.folder / kind / f"{key}.safetensors"
                write_tensors(path, kind, key, tensors, {"asked": dict(asked)})
            else:
                path = self.folder / kind / f"{key}.json"
                write_document(path, kind, key, {"asked": dict(asked), "value": made})
        except OSError as error:
            if self.folder / kind not in _unwritable:
                _unwritable.add(self.folder / kind)
                log.warning("%s: can't be written (%s)", self.folder / kind, error.strerror or error)
        return made

    def earlier(self) -> int:
        """How many records of an earlier format there are, once: a store that was looked through is marked.

        Raises:
            OSError: if the store can't be written to.
        """
        mark = self.folder / "format.json"
        if mark.exists():
            return 0
        found = 0
        for path in (self.folder / "records").glob("*.json"):
            try:
                read_document(path, "record", path.stem)
            except Unreadable as error:
                found += error.earlier
        write_text(mark, json.dumps({"format": FORMAT}) + "\n")
        return found

    def tidy(self) -> None:
        """Removes temporary files that a process which was killed has left long ago."""
        for path in self.folder.glob("*/.*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
                    path.unlink()


def look_key(kind: str, named: Mapping[str, Any]) -> str:
    """The name of a look, by what decides it."""
    return fingerprint.digest({"format": FORMAT, "kind": kind, **named})[:16]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock between processes; where none can be made, which is said, it goes on without."""
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    except OSError as error:
        log.warning("%s: can't be locked (%s)", path, error.strerror or error)
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def set_aside(error: Unreadable) -> None:
    """Says what is wrong with a file, and gives it another name, so that it can be computed again.

    A file of another version is not damaged, and stays.

    Raises:
        Unreadable: where the file has to stay: what was to be computed can't be kept under its name.
    """
    if error.earlier:
        raise error
    for number in range(1, 1000):
        aside = error.path.with_name(f"{error.path.name}.damaged-{number}")
        if not os.path.lexists(aside):
            break
    try:
        error.path.rename(aside)
    except FileNotFoundError:
        # another process was faster
        return
    except OSError as problem:
        raise Unreadable(error.path, f"{error.why}, and can't be set aside ({problem.strerror})") from None
    log.warning("%s; set aside as %s, computed again", error, aside.name)


def write_document(
    path: Path, kind: str, key: str, content: Mapping[str, Any], indent: int | None = 1
) -> None:
    """Writes JSON-able values with their format, kind, key and hash; without an indent, as short as can be.

    Raises:
        OSError: if it can't be written.
    """
    about = {"format": FORMAT, "kind": kind, "key": key}
    whole = {**about, **content, **about}
    short = (",", ":") if indent is None else None
    text = json.dumps({**whole, "sha256": fingerprint.digest(whole)}, indent=indent, separators=short)
    write_text(path, text + "\n")


def read_document(path: Path, kind: str, key: str | None = None) -> dict[str, Any] | None:
    """What ``write_document`` wrote, without the hash; None where there is no file.

    Args:
        path: The file.
        kind: Which it must be of.
        key: Which it must be of; None: whichever.

    Raises:
        Unreadable: if it is damaged, of another kind or key, or of another version.
    """
    _check_regular(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(path, f"can't be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(path, f"damaged ({_short(error)})") from None
    if not isinstance(found, dict):
        raise Unreadable(path, "damaged (not what is kept here)")
    # what was kept before there were formats
    earlier = ({"key", "status", "config"}, {"store", "cells"})
    if not {"format", "sha256"} & set(found) and any(names <= set(found) for names in earlier):
        raise Unreadable(path, _version(1), earlier=True)
    kept = found.get("format")
    if found.pop("sha256", None) != fingerprint.digest(found):
        raise Unreadable(path, "damaged (its content doesn't match its hash)")
    if kept != FORMAT:
        raise Unreadable(path, _version(kept), earlier=True)
    if found["kind"] != kind or (key is not None and found["key"] != key):
        raise Unreadable(path, f"damaged (it is {found['kind']} {found['key']}, under another's name)")
    return found


def write_tensors(
    path: Path,
    kind: str,
    key: str,
    tensors: Mapping[str, torch.Tensor],
    about: Mapping[str, Any] | None = None,
) -> str:
    """Writes tensors, and JSON-able values about them, with their format, kind, key and hash.

    Returns:
        The hash of all of it.

    Raises:
        OSError: if it can't be written.
    """
    # tensors that share their memory, as those of a module that is registered twice, are each kept whole
    whole = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    held = {"format": FORMAT, "kind": kind, "key": key, "about": dict(about or {})}
    content = fingerprint.digest({**held, "tensors": hash_tensors(whole)})

    def save(temporary: Path) -> None:
        try:
            save_file(whole, temporary, {"bench": json.dumps({**held, "sha256": content})})
        except SafetensorError as error:
            # what it makes of a full disk
            raise OSError(None, _short(error)) from None

    write_whole(path, save)
    return content


def read_tensors(path: Path, kind: str, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any], str]:
    """What ``write_tensors`` wrote: the tensors, on the CPU, what it says about them, and its hash.

    Raises:
        Unreadable: if there is no such file, or it is damaged, of another kind or key, or of another version.
    """
    if not os.path.lexists(path):
        raise Unreadable(path, "missing")
    _check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        held = json.loads(metadata["bench"])
        content = held.pop("sha256")
        matches = content == fingerprint.digest({**held, "tensors": hash_tensors(tensors)})
    except OSError as error:
        raise Unreadable(path, f"damaged ({error.strerror or _short(error)})") from None
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise Unreadable(path, f"damaged ({_short(error)})") from None
    if not matches:
        raise Unreadable(path, "damaged (its content doesn't match its hash)")
    if held["format"] != FORMAT:
        raise Unreadable(path, _version(held["format"]), earlier=True)
    if held["kind"] != kind or held["key"] != key:
        raise Unreadable(path, f"damaged (it is {held['kind']} {held['key']}, under another's name)")
    return tensors, held["about"], content


def _check_regular(path: Path) -> None:
    """Raises Unreadable for what is no file: a pipe would be waited for, a device read for ever."""
    if path.exists() and not path.is_file():
        raise Unreadable(path, "damaged (not a file)")


def about_tensors(path: Path) -> dict[str, Any]:
    """What ``write_tensors`` was told about them, read without them and so unchecked; empty if damaged."""
    try:
        _check_regular(path)
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})["bench"])["about"]
    except (Unreadable, OSError, SafetensorError, ValueError, KeyError, TypeError):
        return {}
    return about if isinstance(about, dict) else {}


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _short(error: BaseException) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) < 120 else words[:117] + "..."


def _version(kept: object) -> str:
    return f"of another version (format {kept}, this one reads {FORMAT}); it is left as it is"


def write_text(path: Path, text: str) -> None:
    """Writes a file so that it is there whole, or as it was before.

    Raises:
        OSError: if it can't be written; nothing is left of the attempt.
    """
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Has a file written under another name first, with the permissions that the umask gives.

    Raises:
        OSError: if it can't be written; nothing is left of the attempt.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}-{time.monotonic_ns()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        # safetensors makes the file anew, for its owner alone
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        # of the file that was wanted, not of the one that nobody knows of
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
