"""One cell of the matrix, run: the one walk from a checked cell to its record.

Here belongs the order of things, and what a record says. How each step is done belongs to the rooms
it walks through; settings, sweeps and tables are not known here.
"""

import dataclasses
import hashlib
import math
import os
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bench import attacking, fingerprint, looks, parts, probe, process
from bench.attacking import AttackError
from bench.attacks import criteria
from bench.axes import names
from bench.config import Config, ConfigError, decides
from bench.datasets.arrays import unit
from bench.defended import Defended, NotFinite
from bench.looks import Looker
from bench.measure import intervals, passes
from bench.plan import Cell, not_applicable_key
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
            **_header(cell.config, stores.FAILED, cell.key),
            "reason": f"can't be kept ({_reason(error, cell.config)})",
        }


def _compute(cell: Cell) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        with process.threads(cell.config.threads):
            measured = _walk(cell)
        record = {**_header(cell.config, stores.OK, cell.key), **measured}
        warn(record["warnings"])
    except KeyboardInterrupt:
        raise
    # an attack of the user's can raise anything at all
    except BaseException as error:
        record = {
            **_header(cell.config, stores.FAILED, cell.key),
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
    record = {**_header(config, stores.NOT_APPLICABLE, key), "reason": reason}
    try:
        if where.read(key) is not None:
            return record
    except Unreadable as error:
        set_aside(error)
    where.write(key, record)
    return record


def _header(config: Config, status: str, key: str) -> dict[str, Any]:
    settings = decides(config)
    return {
        "key": key,
        "status": status,
        "cell": names(settings),
        "config": settings,
        "versions": {**fingerprint.versions(), "python": platform.python_version()},
        "git_revision": stores.git_revision(),
    }


def _walk(cell: Cell) -> dict[str, Any]:
    config, data = cell.config, cell.dataset
    trained = _trained(cell)
    defended = parts.behind(config, trained.network, cell.scheme, cell.identity["network"])
    looker = Looker(cell.identity, trained.sha256, config.batch_size, config.threads)
    bare = _clean(cell, looker.twin, defended.twin)
    # without a scheme: which images are worth attacking
    _check_worth(cell, looker, defended, bare.right)
    behind = _clean(cell, looker, defended) if defended.scheme else bare

    kept_samples = _samples(cell, trained, defended, np.flatnonzero(bare.right))
    samples = {name: tensor.numpy() for name, tensor in kept_samples.values.items()}
    content = fingerprint.hash_tensors(kept_samples.values)
    indices = samples["indices"]
    draws = config.evaluation.draws if defended.random else 1
    fresh = looks.fresh(
        cell.store,
        looker,
        lambda: defended,
        content,
        lambda: tuple(kept_samples.values[n] for n in ("perturbed", "labels", "targets")),
        (config.criterion.kind, config.criterion.k),
        draws,
        _seed(cell, "evaluation"),
    )
    about, repeats = kept_samples.about, _repeats(cell)
    count = len(indices) // repeats
    fewer = config.count == "images" and count < config.samples
    originals, claimed = _images(cell, indices), samples["claimed"]
    moved = {n: v[claimed] for n, v in passes.distances(originals, samples["perturbed"]).items()}
    path = cell.store.path("samples", kept_samples.key)
    return {
        "device": about["device"],
        "device_kind": about["device_kind"],
        "defended": cell.identity,
        "seeds": {name: _seed(cell, name) for name in ("targets", "attack", "clean", "evaluation")},
        "data": {
            "fingerprint": data.fingerprint,
            "shape": list(data.shape),
            "classes": cell.classes,
            "classes_of_labels": data.classes,
        },
        "checkpoint": {"key": cell.checkpoint, "sha256": trained.sha256},
        "test_rates": {site: rate for site, (_, rate) in cell.scheme.items()},
        "images": {
            "count": count,
            "targets_each": repeats,
            "indices": indices.tolist(),
            "targets": samples["targets"].tolist(),
            "claimed": looks.flags(claimed),
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest()[:16] for image in originals],
        },
        "samples": {
            "key": kept_samples.key,
            "file": f"samples/{path.name}",
            "bytes": path.stat().st_size,
            "content": content,
            "sha256": hashlib.sha256(samples["perturbed"].tobytes()).hexdigest(),
        },
        "looks": {"clean_no_scheme": bare.key, "clean": behind.key, "fresh": fresh.key},
        "metrics": {
            "clean_accuracy_no_scheme": intervals.estimate(bare.right.astype(float))._asdict(),
            "clean_accuracy": intervals.estimate(behind.right.astype(float))._asdict(),
            "claimed_success": intervals.estimate(claimed.astype(float), indices)._asdict(),
            "fresh_success": intervals.estimate(fresh.success / draws, indices)._asdict(),
            "fresh_accuracy": intervals.estimate(fresh.right / draws, indices)._asdict(),
            "fresh_draws": draws,
            **{name: int(samples[name].sum()) if name in samples else None for name in attacking.REMARKS},
            "distance": {name: _moved(v, indices[claimed]) for name, v in moved.items() if len(v)},
            "forward_passes_per_image": about["forward"] / about["tried"],
            "backward_passes_per_image": about["backward"] / about["tried"],
        },
        "warnings": [
            *([_PROBABILITIES.format(config.model.name)] if bare.probabilities else []),
            *_of_scheme(cell, behind),
            *(
                [f"only {count} test images that the network gets right, not {config.samples}"]
                if fewer
                else []
            ),
            *_of_attack(config.attack.name, samples),
            *_disagreeing(config.attack.name, claimed, fresh.success, defended.random),
        ],
        "seconds": {"attack": about["seconds"], "training": trained.seconds},
    }


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
        chosen = np.repeat(chosen, _repeats(cell))
    else:
        goals = criteria.random_targets(data.y_test, cell.classes, _seed(cell, "targets"))[chosen]
    images, labels, targets = (
        torch.from_numpy(part).to(where) for part in (_images(cell, chosen), data.y_test[chosen], goals)
    )

    def goal(rows: slice) -> Any:
        kind, k = config.criterion.kind, config.criterion.k
        return criteria.criterion(kind, labels[rows].clone(), targets[rows].clone(), k)

    try:
        with defended.model(_seed(cell, "attack")) as model:
            attacked = attacking.attack(
                cell.attack,
                config.attack.name,
                config.attack.epsilon,
                goal,
                model,
                images,
                seed=_seed(cell, "attack"),
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


def _images(cell: Cell, indices: np.ndarray) -> np.ndarray:
    """Test images in [0, 1], shape (images, channels, height, width)."""
    found: np.ndarray = unit(cell.dataset.x_test[indices])
    return found


def _repeats(cell: Cell) -> int:
    """How often each image is attacked."""
    return cell.classes - 1 if cell.config.criterion.targets == "all" else 1


def _seed(cell: Cell, purpose: str) -> int:
    return fingerprint.derive_seed(cell.config.seed, purpose)


def _clean(cell: Cell, looker: Looker, defended: Defended) -> looks.Clean:
    names = (cell.config.model.name, cell.config.scheme.name)
    classes = cell.classes
    return looks.clean(cell.store, looker, defended, names, cell.dataset, classes, _seed(cell, "clean"))


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


def _moved(values: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """A distance's mean and median; of a single success there is no interval."""
    mean = intervals.mean_interval(values, groups)._asdict()
    return {**{k: m for k, m in mean.items() if math.isfinite(m)}, "median": float(np.median(values))}


_PROBABILITIES = (
    "outputs of {} look like probabilities (each row is at least 0 and sums to 1), where attacks expect "
    "logits: leave out its softmax, or name what comes before it, model.outputs={{from: PATH}}"
)


def _of_scheme(cell: Cell, clean: looks.Clean) -> list[str]:
    key = f"scheme {cell.config.scheme.name}"
    said = [
        f"{probe.MIXES.format(f'scheme: {cell.config.scheme.name}: the operation at site {site}')}: "
        "results may depend on batch_size"
        for site in clean.mixing
    ]
    return [*said, *([f"{key}: at its rates two passes over 100 images are equal"] if clean.alike else [])]


def _of_attack(name: str, samples: Mapping[str, np.ndarray]) -> list[str]:
    """What has to be said of what an attack gave, a line each."""
    rows = len(samples["claimed"])
    counts = {kind: int(samples[kind].sum()) for kind in attacking.REMARKS if kind in samples}
    return [
        f"attack {name}: {count} of {rows} images {attacking.REMARKS[kind]}"
        for kind, count in counts.items()
        if count
    ]


def _disagreeing(name: str, claimed: np.ndarray, success: np.ndarray, random_scheme: bool) -> list[str]:
    """Where nothing is random, a claim and an evaluation must agree."""
    beyond = int((claimed & (success < 1)).sum())
    if random_scheme or not beyond:
        return []
    return [
        f"attack {name}: claims {beyond} of {len(claimed)} images on which the criterion doesn't hold in "
        "another pass, although nothing is random"
    ]


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
