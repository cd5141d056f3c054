"""What is kept of sweeps for good: small enough for a repository, and enough for every table and report.

Here belongs the portable form: the manifests, the records, and what was seen in looks at samples and
networks, with the counts of each image, but neither samples nor networks. It is a sweep folder with its store
beside it, and read as such. How any of it is computed does not belong here.

    python -m bench keep outputs/testing_phase/targeted outputs/testing_phase/top3 \
        --into outputs/reference/testing_phase

Looks are found there by what was asked, and not by the code and the versions that answered, so that a
reference lasts; those are kept that were made, so make the report first. What takes images can't be made from
it: pictures of samples, and of a gradient's single draws.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.checks import ConfigError
from bench.defended import of_twin
from bench.results.files import Unreadable, write_document
from bench.results.store import LOOKS, MISSING, OK, Kept, Store, key_of
from bench.results.sweep import Sweep

KINDS = (LOOKS, "gradients")
"""What is kept besides records."""
SINGLE_DRAWS = "first"
"""What is left out of a look at gradients: it is larger than all the rest."""
BESIDE = ("result.json", "trace.png")
"""What a search has in its folder, and can't be made again from its cells."""


def keep(sweeps: Sequence[Path], into: Path) -> list[Path]:
    """Copies what lasts of sweeps: each to a folder of its name, all with one store beside them.

    A second call adds to the first.

    Args:
        sweeps: Their folders.
        into: Where to.

    Returns:
        The new folders, the store last.

    Raises:
        ConfigError: for a sweep that can't be read, or isn't whole; for two of one name; or for a folder
            whose store is one that cells are computed in.
        Unreadable: for a record or a look that is damaged.
        OSError: if it can't be written.
    """
    store = Store(into / "store")
    if store.folder.exists() and not store.reference:
        raise ConfigError(f"{store.folder}: is a store of its own; keep into another folder")
    names = [folder.resolve().name for folder in sweeps]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"{sorted(twice)[0]}: two sweeps have this name; keep them into different folders")
    read = [Sweep(folder) for folder in sweeps]
    for sweep in read:
        lost = [record["reason"] for record in sweep.records if record["status"] == MISSING]
        if lost:
            raise ConfigError(
                f"{sweep.folder}: {len(lost)} of {len(sweep.records)} cells have no record ({lost[0]})"
            )
    write_document(store.folder / "kept.json", "kept", "store", {})
    for sweep, name in zip(read, names, strict=True):
        own = []
        for entry in sweep.cells:
            record = sweep.store.read(entry["key"])
            assert record is not None
            # a failed cell's speaks of folders of the machine that it ran on
            record.pop("traceback", None)
            write_document(store.record_path(entry["key"]), "record", entry["key"], record, indent=None)
            if record["status"] == OK:
                own.append(record)
        for kind, look in _looks(sweep.store):
            if _is_of(look.about["asked"], own):
                small = {n: value for n, value in look.values.items() if n != SINGLE_DRAWS}
                store.keep(kind, key_of(kind, look.about["asked"]), Kept(small, look.about))
        content = {"store": os.path.relpath(store.folder, into / name), "cells": list(sweep.cells)}
        write_document(into / name / "cells.json", "sweep", name, content, indent=None)
        for beside in BESIDE:
            if (sweep.folder / beside).exists():
                shutil.copyfile(sweep.folder / beside, into / name / beside)
    return [*(into / name for name in names), store.folder]


def _looks(store: Store) -> Iterator[tuple[str, Kept]]:
    for kind in KINDS:
        # of two that were asked the same, by other code, the later one stays
        paths = (store.folder / kind).glob(store.path(kind, "*").name)
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
            try:
                yield kind, store.kept(kind, path.stem)
            except Unreadable as error:
                # another version's stay where they are
                if not error.earlier:
                    raise


def _is_of(asked: Mapping[str, Any], own: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a look is at networks and samples of these records, and at no others'."""
    networks = [(r["defended"], r["checkpoint"]["sha256"]) for r in own]
    twins = [
        (r.get("twin", of_twin(r["defended"])), r["checkpoint"].get("twin", r["checkpoint"])["sha256"])
        for r in own
    ]
    if (asked["defended"], asked["weights"]) not in [*networks, *twins]:
        return False
    samples = asked.get("samples", "").removeprefix("claimed of ")
    return not samples or samples in [record["samples"]["content"] for record in own]
