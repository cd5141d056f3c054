"""Files that are written whole or not at all, and checked when they are read.

Here belongs how anything is kept in a file, and what is said of one that can't be read. What is kept, and
under which key, is the store's business.

Every file carries its format and a hash of all that it holds, its own kind and key included, so that a
changed number, a flipped bit, or another file under this name is noticed. Records, looks and manifests
are JSON documents; samples, gradients and checkpoints are safetensors.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from bench.results import fingerprint

if TYPE_CHECKING:
    # imported where tensors are: records, and tables of them, have none
    import torch

log = logging.getLogger("bench")

FORMAT = 2
"""Of every file that is kept. Before format 2 files carried neither format nor hash."""


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
    """Writes JSON-able values with their format, kind, key and hash.

    Args:
        indent: For people who read it; None: as short as can be.

    Raises:
        OSError: if it can't be written.
    """
    about = {"format": FORMAT, "kind": kind, "key": key}
    whole = {**about, **content, **about}
    write_text(path, json.dumps({**whole, "sha256": fingerprint.digest(whole)}, indent=indent) + "\n")


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
    from safetensors.torch import save_file

    # tensors that share their memory, as those of a module that is registered twice, are each kept whole
    whole = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    held = {"format": FORMAT, "kind": kind, "key": key, "about": dict(about or {})}
    content = fingerprint.digest({**held, "tensors": fingerprint.hash_tensors(whole)})

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
        matches = content == fingerprint.digest({**held, "tensors": fingerprint.hash_tensors(tensors)})
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
