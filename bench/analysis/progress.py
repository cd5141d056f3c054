"""How far a running sweep is, and about how long the rest takes.

Here belongs the estimate: from the times that the records of the sweep's cells hold, and what the manifest
says is left. What is said of a cell that is done is in ``summary``.
"""

import functools
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import axes
from bench.config import draws_itself
from bench.results import files as records
from bench.results.store import Store
from bench.results.sweep import Sweep

PASSES = {
    "LBFGSAttack": 136,
    "GradientSignAttack": 46,
    "SaliencyMapAttack": 30,
    "DeepFoolAttack": 65,
    "CarliniWagnerL0Attack": 650,
    "CarliniWagnerL2Attack": 420,
    "CarliniWagnerLinfAttack": 254,
    "L2CarliniWagnerAttack": 1627,
    "LinfProjectedGradientDescentAttack": 80,
}
"""Passes an image, forward and backward, as ``scripts/benchmark_attacks.py`` counts them on MNIST: about how
long attacks take beside each other, where a sweep has not come to one yet."""

DRAWING_SECONDS = 3.0
"""About how long a sweep's pictures take."""


class Times(NamedTuple):
    """Where the time of a cell went, in seconds; without training, which others may have waited for."""

    attack: float
    evaluation: float
    other: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


Entry = Mapping[str, Any]
"""Of a manifest: a cell's ``key``, ``config`` and ``checkpoint``."""


def progress(results: Path, transfer: bool) -> str:
    """How many cells of a running sweep are done, and about how long the rest takes.

    Args:
        results: The sweep's folder.
        transfer: Whether it ends in its cross recognition.

    Returns:
        As in ``3 of 16 done, about 40 s left``; without a time where nothing of this run is done yet.
    """
    start = (results / "cells.json").stat().st_mtime
    sweep = Sweep(results)
    store, entries = sweep.store, sweep.cells
    stamps = {e["key"]: path.stat() for e in entries if (path := store.record_path(e["key"])).exists()}
    left = [e for e in entries if e["key"] not in stamps]
    words = f"{len(entries) - len(left)} of {len(entries)} done"
    # those that an earlier sweep has left took no time
    now = {key for key, stamp in stamps.items() if stamp.st_mtime >= start}
    if not now:
        return words
    done = sorted((e for e in entries if e["key"] in stamps), key=lambda e: stamps[e["key"]].st_mtime_ns)
    times = {e["key"]: _times(store, e, stamps[e["key"]].st_mtime_ns) for e in done}
    expected = Expected([(e, times[e["key"]]) for e in done])
    networks = Networks(store, entries, start)
    spent = max(0.0, time.time() - start - networks.spent)
    known = sum(times[key].total for key in now)
    if spent < known:
        # several at a time
        seconds = expected.cells(left) * spent / known
    else:
        # what lies between them
        seconds = expected.cells(left) + len(left) * (spent - known) / len(now)
    seconds += DRAWING_SECONDS + (expected.passes(_pairs(entries)) if transfer else 0.0)
    words += f", about {_rounded(seconds + (networks.left or 0.0))} left"
    if networks.left is None:
        words += f" and {networks.untrained} network{'s' * (networks.untrained > 1)} to train"
    return words


class Networks:
    """The networks of a sweep, and how long it takes to train them.

    Args:
        store: Where they are.
        entries: The sweep's.
        start: When it was started.

    Attributes:
        untrained: How many are not there yet.
        spent: For how long this run has trained, seconds.
        left: How long the others will take, seconds; None where there are some, and nothing is known of it.
    """

    def __init__(self, store: Store, entries: Sequence[Entry], start: float):
        paths = [store.path("checkpoints", name) for name in {e["checkpoint"] for e in entries} - {None}]
        there = [path for path in paths if path.exists()]
        self.untrained = len(paths) - len(there)
        spans = [_fitting(path) for path in there]
        now = [span for span in spans if span[1] >= start]
        self.spent = _covered(now)
        alone = sum(end - begin for begin, end in now)
        each = sum(end - begin for begin, end in spans) / max(1, len(spans))
        # they may be trained side by side
        self.left: float | None = self.untrained * each * (self.spent / alone if alone else 1.0)
        if self.untrained and not spans:
            self.left = None


class Expected:
    """What is to be expected of cells, from those that are done.

    Args:
        done: Manifest entries and their times, in the order in which they were done.
    """

    def __init__(self, done: Sequence[tuple[Entry, Times]]):
        self.done = [(entry["config"], times) for entry, times in done]
        self.defences: set[str] = set()
        others: dict[bool, list[float]] = {True: [], False: []}
        for config, times in self.done:
            others[_is_new(config, self.defences)].append(times.other)
        # a defence's first cell passes the test set; of the others nothing may be known yet
        self.other = {new: sum(seconds) / max(1, len(seconds)) for new, seconds in others.items()}
        passes = sum(_draws(config) * config["samples"] for config, _ in self.done)
        self.a_pass = sum(times.evaluation for _, times in self.done) / passes

    def cells(self, left: Iterable[Entry]) -> float:
        """Seconds of the cells that are left, in their order, without training."""
        seen, seconds = set(self.defences), 0.0
        for entry in left:
            config = entry["config"]
            seconds += self.attack(config) + self.passes(_draws(config) * config["samples"])
            seconds += self.other[_is_new(config, seen)]
        return seconds

    def attack(self, config: Mapping[str, Any]) -> float:
        """Seconds of a cell's attack: as of the same one on the same data, else by the passes of others."""
        alike = [one for one in self.done if _order(one[0]) == _order(config)]
        if alike:
            return _scaled(config, alike, lambda c: c["samples"] * _each(c))
        known = [one for one in self.done if _passes(one[0])]
        if known and _passes(config):
            return _scaled(config, known, lambda c: c["samples"] * _each(c) * _passes(c))
        return _scaled(config, self.done, lambda c: c["samples"] * _each(c))

    def passes(self, count: float) -> float:
        """Seconds of so many passes of an image, as a measurement makes them."""
        return count * self.a_pass


def _scaled(
    config: Mapping[str, Any],
    among: Sequence[tuple[Mapping[str, Any], Times]],
    work: Callable[[Mapping[str, Any]], float],
) -> float:
    return work(config) * sum(times.attack for _, times in among) / sum(work(one) for one, _ in among)


def _is_new(config: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether a cell is the first of its defence; it isn't any more, then."""
    defence = _part(config, "defender")
    new = defence not in seen
    seen.add(defence)
    return new


def _part(config: Mapping[str, Any], side: str | None) -> str:
    """The settings of the defender, or of all others."""
    return json.dumps({k: v for k, v in config.items() if (axes.side(k) == "defender") == bool(side)})


def _order(config: Mapping[str, Any]) -> str:
    return json.dumps([config["dataset"]["name"], config["attack"], config["criterion"]["name"]])


def _passes(config: Mapping[str, Any]) -> int:
    """Of an image, in an attack of which it is known; else 0."""
    return PASSES.get(config["attack"]["_target_"].rpartition(".")[2], 0)


def _draws(config: Mapping[str, Any]) -> int:
    """Passes of each adversarial image on fresh draws: one, where nothing is random."""
    scheme = config["scheme"]
    fixed = not scheme["sites"] or config["test_rate"] == 0
    return 1 if fixed and not draws_itself(scheme) else int(config["evaluation"]["draws"]) * _each(config)


def _each(config: Mapping[str, Any]) -> int:
    """Passes of one answer; records of before there could be several don't say."""
    return int(config["scheme"].get("passes", 1))


def _pairs(entries: Sequence[Entry]) -> int:
    """Passes of an image in a sweep's cross recognition: every defence looks at the samples of every one."""
    groups = defaultdict(list)
    for entry in entries:
        groups[_part(entry["config"], None)].append(entry["config"])
    return sum(
        len(group) * sum(_draws(config) * config["samples"] for config in group)
        for group in groups.values()
        if len(group) > 1
    )


def _times(store: Store, entry: Entry, changed: int) -> Times:
    return _read(str(store.folder), entry["key"], entry["checkpoint"], changed)


@functools.cache
def _read(folder: str, key: str, checkpoint: str | None, changed: int) -> Times:
    """The times of a record, read once a process; ``changed`` is when it was written, in ns."""
    store = Store(Path(folder))
    try:
        seconds = (store.read(key) or {}).get("seconds", {})
    except records.Unreadable:
        seconds = {}
    total = float(seconds.get("total", 0.0))
    if checkpoint is not None:
        begin, end = _fitting(store.path("checkpoints", checkpoint))
        total -= max(0.0, min(end, changed / 1e9) - max(begin, changed / 1e9 - total))
    evaluation = float(seconds.get("evaluation", 0.0))
    # of a cell that failed nobody knows where its time went
    attack = float(seconds.get("attack", total))
    return Times(attack, evaluation, max(0.0, total - attack - evaluation))


def _fitting(checkpoint: Path) -> tuple[float, float]:
    """When the fitting of a network began and ended; two equal times where it isn't there."""
    end = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
    return end - float(records.about_tensors(checkpoint).get("seconds", 0)), end


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """For how long at least one of the spans lasted: networks may be trained side by side."""
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def _rounded(seconds: float) -> str:
    if seconds >= 120:
        return f"{round(seconds / 60)} min"
    step = 5 if seconds > 20 else 1
    return f"{max(1, step * round(seconds / step))} s"
