"""One cell of the matrix, run: the one walk from a checked cell to its record.

Here belongs the order of things, and what a record says. How each step is done belongs to the rooms
it walks through; settings, sweeps and tables are not known here.
"""

import dataclasses
import os
import platform
import time
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench import attacking, looks, parts, process
from bench.attacking import AttackError
from bench.attacks import criteria
from bench.checks import ConfigError
from bench.config import Config
from bench.defended import Defended, NotFinite
from bench.looks import Looker
from bench.plan import Cell, not_applicable_key
from bench.record import header, images_of, joined, repeats_of, seed_of
from bench.results import fingerprint
from bench.results import store as stores
from bench.results.files import Unreadable, log, set_aside
from bench.results.store import Kept
from bench.training import kept
from bench.training.fit import TrainingError
from bench.training.kept import Trained
from bench.training.weightfiles import WeightsError

SAID = (ConfigError, Unreadable, AttackError, NotFinite, TrainingError, WeightsError)
"""Errors whose words say all there is to say; of others their type is said too."""


def run(cell: Cell) -> dict[str, Any]:
    """The cell's record: from the store, or computed now and kept.

    An error on the way becomes a record with status ``failed``, which is computed again next time. A
    damaged record, or damaged samples, are said, set aside and computed again.

    Returns:
        The record, as JSON-able values; with status ``failed`` if it can't be kept, and then it isn't.
    """
    try:
        record = _done(cell)
        if record is not None:
            return record
        with cell.store.lock(cell.key):
            # another process may have been faster
            return _done(cell) or _compute(cell)
    except (Unreadable, OSError) as error:
        return {
            **header(cell.config, stores.FAILED, cell.key),
            "reason": f"can't be kept ({_reason(error, cell.config)})",
        }


def _compute(cell: Cell) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        with process.threads(cell.config.threads):
            measured = _walk(cell)
        record = {**header(cell.config, stores.OK, cell.key), **measured}
        warn(record["warnings"])
    except KeyboardInterrupt:
        raise
    # an attack of the user's can raise anything at all
    except BaseException as error:
        record = {
            **header(cell.config, stores.FAILED, cell.key),
            "reason": _reason(error, cell.config),
            "traceback": traceback.format_exc(),
        }
    record["seconds"] = {"total": time.perf_counter() - start, **record.get("seconds", {})}
    cell.store.write(cell.key, record)
    return cell.store.read(cell.key) or record


def _done(cell: Cell) -> dict[str, Any] | None:
    try:
        return cell.store.done(cell.key)
    except Unreadable as error:
        set_aside(error)
        return None


OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def _reason(error: BaseException, config: Config) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        said in words for said in OUT_OF_MEMORY
    ):
        return f"out of memory with batch_size {config.batch_size}: set a lower one ({words[:200]})"
    return words if isinstance(error, SAID) else f"{type(error).__name__}: {words}"


_warned: set[str] = set()


def warn(warnings: Sequence[str]) -> None:
    """Logs what has not been said in this process yet."""
    for words in warnings:
        if words not in _warned:
            _warned.add(words)
            log.warning("%s", words)


def not_applicable(config: Config, reason: str) -> dict[str, Any]:
    """The record of a cell that can't be, kept like any other so that its hole in a table is explained.

    Raises:
        OSError: if it can't be kept.
    """
    key, where = not_applicable_key(config, reason), parts.store(config)
    record = {**header(config, stores.NOT_APPLICABLE, key), "reason": reason}
    try:
        if where.read(key) is not None:
            return record
    except Unreadable as error:
        set_aside(error)
    where.write(key, record)
    return record


def _walk(cell: Cell) -> dict[str, Any]:
    config = cell.config
    trained = _trained(cell)
    defended = parts.behind(config, trained.network, cell.scheme, cell.identity["network"])
    looker = Looker(cell.identity, trained.sha256, config.batch_size, config.threads)
    bare = _clean(cell, looker.twin, defended.twin)
    # without a scheme: which images are worth attacking
    _check_worth(cell, looker, defended, bare.right)
    behind = _clean(cell, looker, defended) if defended.scheme else bare
    samples = _samples(cell, trained, defended, np.flatnonzero(bare.right))
    fresh = looks.fresh(
        cell.store,
        looker,
        lambda: defended,
        fingerprint.hash_tensors(samples.values),
        lambda: [samples.values[name] for name in ("perturbed", "labels", "targets")],
        (config.criterion.kind, config.criterion.k),
        config.evaluation.draws if defended.random else 1,
        seed_of(cell, "evaluation"),
    )
    return joined(cell, trained, defended.random, bare, behind, samples, fresh)


def clean(cell: Cell) -> tuple[np.ndarray, float]:
    """Which test images a cell's network gets right without its scheme; it is trained first if need be.

    Returns:
        Booleans of shape (images,), and how long its training took, whenever that was.

    Raises:
        TrainingError: for a network of which nothing could be learnt.
    """
    with process.threads(cell.config.threads):
        trained = _trained(cell)
        defended = parts.behind(cell.config, trained.network, cell.scheme, cell.identity["network"])
        looker = Looker(cell.identity, trained.sha256, cell.config.batch_size, cell.config.threads)
        right = _clean(cell, looker.twin, defended.twin).right
        _check_worth(cell, looker, defended, right)
    return right, trained.seconds


def _samples(cell: Cell, trained: Trained, defended: Defended, right: np.ndarray) -> Kept:
    """The cell's adversarial samples: those that were made with these very weights before, or made now."""
    store = cell.store
    found = store.remember("samples", cell.samples, lambda: _attack(cell, trained, defended, right))
    if found.about["weights"] != trained.sha256:
        set_aside(Unreadable(found.path, "of other weights than its network has now"))
        found = store.remember("samples", cell.samples, lambda: _attack(cell, trained, defended, right))
    if not found.path.is_file():
        # a record names its samples
        raise Unreadable(found.path, "can't be written")
    return found


def _attack(cell: Cell, trained: Trained, defended: Defended, right: np.ndarray) -> Kept:
    """Attacks the first images that the network gets right, once or once for each wrong class."""
    config, data, where = cell.config, cell.dataset, defended.device
    chosen = right[: config.samples] if config.count == "images" else right
    if config.criterion.targets == "all":
        goals = criteria.all_targets(data.y_test[chosen], cell.classes)
        chosen = np.repeat(chosen, repeats_of(cell))
    else:
        goals = criteria.random_targets(data.y_test, cell.classes, seed_of(cell, "targets"))[chosen]
    images, labels, targets = (
        torch.from_numpy(part).to(where) for part in (images_of(cell, chosen), data.y_test[chosen], goals)
    )

    def goal(rows: slice) -> Any:
        kind, k = config.criterion.kind, config.criterion.k
        return criteria.criterion(kind, labels[rows].clone(), targets[rows].clone(), k)

    try:
        with defended.model(seed_of(cell, "attack")) as model:
            attacked = attacking.attack(
                cell.attack,
                config.attack.name,
                config.attack.epsilon,
                goal,
                model,
                images,
                seed=seed_of(cell, "attack"),
                batch_size=config.batch_size,
                successes=config.samples if config.count == "successes" else None,
            )
    except BaseException:
        # whatever it was, it may have come after the attack changed the network, which later cells share
        _networks.clear()
        raise
    count = len(attacked.images)
    arrays = {
        "perturbed": attacked.images.cpu().numpy(),
        "indices": chosen[:count].astype(np.int64),
        "labels": data.y_test[chosen[:count]],
        "targets": goals[:count],
        "claimed": attacked.claimed,
        **{name: getattr(attacked, name) for name in attacking.REMARKS},
    }
    about = {
        "weights": trained.sha256,
        "device": _device_name(where),
        "device_kind": where.type,
        "tried": attacked.tried,
        "forward": attacked.passes.forward,
        "backward": attacked.passes.backward,
        "seconds": attacked.seconds,
    }
    return Kept(stores.tensors({n: a for n, a in arrays.items() if a is not None}), about)


def _clean(cell: Cell, looker: Looker, defended: Defended) -> looks.Clean:
    names = (cell.config.model.name, cell.config.scheme.name)
    classes = cell.classes
    return looks.clean(cell.store, looker, defended, names, cell.dataset, classes, seed_of(cell, "clean"))


def _check_worth(cell: Cell, looker: Looker, defended: Defended, right: np.ndarray) -> None:
    """Refuses a network of which nothing could be learnt.

    Raises:
        TrainingError: if it learnt nothing, or isn't what it is said to be, or has no image to attack.
    """
    config, data = cell.config, cell.dataset
    if not parts.is_foreign(cell.training.way):
        kept.check_learnt(right, data.y_test)
    elif (published := getattr(cell.training.way, "clean_pct", None)) is not None:

        def without() -> float:
            raw = Defended(defended.network, outputs=defended.outputs)
            seen = dataclasses.replace(looker, identity={**looker.twin.identity, "preprocessing": None})
            return 100 * float(_clean(cell, seen, raw).right.mean())

        kept.check_published(
            published, right, config.dataset.name, without if defended.preprocessing is not None else None
        )
    if not right.any():
        raise TrainingError("the network gets no test image right, so that there is none to attack")


def _device_name(where: torch.device) -> str:
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    return f"{where.type} ({platform.machine()})"


def heal(cell: Cell, error: Unreadable) -> dict[str, Any]:
    """The cell's record, after a file that it needs was found to be damaged: that one is computed again.

    Args:
        cell: The cell.
        error: What was said of its samples or its checkpoint.

    Returns:
        As ``run``; computed again with it, if a network that was trained again has other weights.
    """
    if os.path.lexists(error.path):
        set_aside(error)
    _networks.clear()
    trained = _trained(cell)
    record = _done(cell)
    if record is not None and record["checkpoint"]["sha256"] != trained.sha256:
        set_aside(Unreadable(cell.store.record_path(cell.key), "of other weights than its network has now"))
    return run(cell)


_networks: dict[tuple[str, str, str], Trained] = {}


def _trained(cell: Cell) -> Trained:
    """A network is loaded once a process, however many cells need it."""
    name = (str(cell.store.folder), cell.checkpoint, str(cell.device))
    if name not in _networks:
        if parts.is_foreign(cell.training.way):
            _networks[name] = kept.foreign(cell.training, cell.dataset.shape, cell.device)
        else:
            _networks[name] = kept.trained(cell.training, cell.dataset, cell.store, cell.device)
    return _networks[name]
