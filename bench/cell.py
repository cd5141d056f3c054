"""One cell of the matrix, run: the one walk from a checked cell to its record.

Here belongs the order of things, and what a record says. How each step is done belongs to the rooms
it walks through; settings, sweeps and tables are not known here.
"""

import dataclasses
import os
import time
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench import looks, parts, probe, process
from bench.attacking import AttackError
from bench.checks import ConfigError
from bench.config import Config
from bench.crafting import Order, craft
from bench.defended import Defended, NotFinite
from bench.finding import Findings
from bench.looks import Looker
from bench.plan import Cell, not_applicable_key
from bench.record import header, joined, seed_of
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
    peers = cell.samples.get("peers")
    try:
        with process.threads(cell.config.threads):
            measured = _walk(cell)
        record = {**header(cell.config, stores.OK, cell.key, peers), **measured}
        warn(record["warnings"])
    except KeyboardInterrupt:
        raise
    # an attack of the user's can raise anything at all
    except BaseException as error:
        record = {
            **header(cell.config, stores.FAILED, cell.key, peers),
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
    if _out_of_memory(error):
        return _lower("batch_size", config.batch_size, error)
    return words if isinstance(error, SAID) else f"{type(error).__name__}: {words}"


def _out_of_memory(error: BaseException) -> bool:
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return not isinstance(error, SAID) and (known or any(said in str(error) for said in OUT_OF_MEMORY))


def _lower(key: str, size: int | None, error: BaseException) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return f"out of memory with {key} {size}: set a lower one ({words[:200]})"


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


@dataclasses.dataclass(frozen=True)
class Seen:
    """A cell's network behind its scheme, and its twin, who looks at each, and what draws are like.

    Attributes:
        trained: The network.
        defended, looker: It behind its scheme.
        drawn: What its draws are like; None where that isn't known yet, or nothing is random.
        twin, twin_looker, twin_drawn: Likewise; None where there is none.
    """

    trained: Trained
    defended: Defended
    looker: Looker
    drawn: Findings | None
    twin: Defended | None
    twin_looker: Looker | None
    twin_drawn: Findings | None


def seen_of(cell: Cell) -> Seen:
    """The cell's network, trained first if need be; one that draws by itself is looked into before all else.

    Raises:
        ConfigError: for one that is refused then.
    """
    config, data = cell.config, cell.dataset
    trained, defended, of_twin = _network(cell)
    looker = Looker(cell.identity, trained.sha256, config.batch_size, config.threads)
    twin_looker = None
    if cell.twin_identity is not None:
        twin_looker = dataclasses.replace(looker, identity=cell.twin_identity, weights=of_twin)
    if not defended.draws_itself:
        return Seen(trained, defended, looker, None, defended.twin, twin_looker, None)

    def found(one: Defended, who: Looker) -> tuple[Defended, Findings]:
        seen = looks.draws(cell.store, who, one, data.x_test, data.y_test)
        assert seen is not None
        probe.check_draws(one, seen, not cell.idle)
        return one.handled(seen.handling), seen

    defended, drawn = found(defended, looker)
    twin, twin_drawn = defended.twin, None
    if twin is not None and twin_looker is not None:
        twin, twin_drawn = found(twin, twin_looker)
    return Seen(trained, defended, looker, drawn, twin, twin_looker, twin_drawn)


def _walk(cell: Cell) -> dict[str, Any]:
    config, data = cell.config, cell.dataset
    seen = seen_of(cell)
    defended, looker, drawn = seen.defended, seen.looker, seen.drawn
    bare = None
    if seen.twin is not None and seen.twin_looker is not None:
        bare = _clean(cell, seen.twin_looker, seen.twin)
    if cell.given is None and bare is not None:
        # without a scheme: which images are worth attacking
        _check_worth(cell, seen, bare.right)
    behind = _clean(cell, looker, defended) if bare is None or defended.random or defended.scheme else bare
    if cell.given is None and bare is None:
        # without a twin those that the defence gets right on a draw
        _check_worth(cell, seen, behind.right)
    right = (behind if bare is None else bare).right
    attacked = right if cell.given is None else np.ones_like(right)
    if drawn is None:
        drawn = looks.draws(cell.store, looker, defended, data.x_test, data.y_test)
    samples = _samples(cell, seen.trained, defended, np.flatnonzero(attacked), drawn)
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
    whole = _clean_draws(cell, looker, defended) if drawn is not None and drawn.shared else None
    return joined(
        cell, seen.trained, defended.random, bare, behind, samples, fresh, drawn, seen.twin_drawn, whole,
        None if seen.twin_looker is None else seen.twin_looker.weights,
    )  # fmt: skip


def _clean_draws(cell: Cell, looker: Looker, defended: Defended) -> looks.Fresh:
    """The test images on several draws: where they share one, a single pass tells of that one alone."""
    data = cell.dataset
    images, labels = (torch.from_numpy(part) for part in (data.x_test, data.y_test))
    return looks.fresh(
        cell.store,
        looker,
        lambda: defended,
        f"test images of {data.fingerprint}",
        lambda: [images, labels, labels],
        None,
        cell.config.evaluation.draws,
        seed_of(cell, "clean"),
    )


def draws(cell: Cell) -> tuple[Findings | None, Findings | None]:
    """What the draws of a cell's scheme, and its twin, are like; its network is trained first if need be.

    Returns:
        Of the scheme, None where nothing is random; and of the twin of a network that draws by itself.

    Raises:
        ConfigError: for a network that draws by itself, and is refused.
        TrainingError: for a network that can't be trained.
        NotFinite: for logits that are not numbers.
    """
    with process.threads(cell.config.threads):
        seen, data = seen_of(cell), cell.dataset
        if seen.drawn is not None:
            return seen.drawn, seen.twin_drawn
        return looks.draws(cell.store, seen.looker, seen.defended, data.x_test, data.y_test), None


def clean(cell: Cell) -> tuple[np.ndarray, float]:
    """Which test images a cell's network gets right without its scheme; it is trained first if need be.

    Returns:
        Booleans of shape (images,), and how long its training took, whenever that was.

    Raises:
        ConfigError: for a defence without a twin.
        TrainingError: for a network of which nothing could be learnt.
    """
    with process.threads(cell.config.threads):
        seen = seen_of(cell)
        if seen.twin is None or seen.twin_looker is None:
            raise ConfigError(
                "scheme.off: has to be given, since the network without its randomness is asked for"
            )
        right = _clean(cell, seen.twin_looker, seen.twin).right
        _check_worth(cell, seen, right)
    return right, seen.trained.seconds


def accuracies(cell: Cell, seen: Seen) -> tuple[float, float | None]:
    """Accuracy on all test images, of a cell's defence and of its twin, in [0, 1]; None where there is none.

    Args:
        cell: The cell.
        seen: Its network behind its scheme.

    Raises:
        NotFinite: for logits that are not numbers.
    """
    with process.threads(cell.config.threads):
        bare = None
        if seen.twin is not None and seen.twin_looker is not None:
            bare = float(_clean(cell, seen.twin_looker, seen.twin).right.mean())
        if bare is not None and not seen.defended.random:
            return bare, bare
        if seen.drawn is not None and seen.drawn.shared:
            # a single pass would tell of one draw alone
            whole = _clean_draws(cell, seen.looker, seen.defended)
            return float((whole.right / whole.draws).mean()), bare
        return float(_clean(cell, seen.looker, seen.defended).right.mean()), bare


def _samples(
    cell: Cell, trained: Trained, defended: Defended, right: np.ndarray, drawn: Findings | None
) -> Kept:
    """The cell's adversarial samples: those that were made with these very weights before, or made now."""
    store, config, data = cell.store, cell.config, cell.dataset
    order = Order(
        attack=cell.attack,
        name=config.attack.name,
        epsilon=config.attack.epsilon,
        kind=config.criterion.kind,
        k=config.criterion.k,
        targets=config.criterion.targets,
        count=config.count,
        samples=config.samples,
        seed=config.seed,
        batch_size=config.batch_size,
        goals=cell.goals,
        progress=cell.progress,
        shared_draws=drawn is not None and drawn.shared,
        whole_batches=drawn is not None and bool(drawn.company),
    )

    def make() -> Kept:
        try:
            arrays, about = craft(order, defended, data.x_test, data.y_test, cell.classes, right)
        except BaseException:
            # whatever it was, it may have come after the attack changed the network, which later cells share
            _networks.clear()
            raise
        return Kept(stores.tensors(arrays), {**about, "weights": trained.sha256})

    found = store.remember("samples", cell.samples, make)
    if found.about["weights"] != trained.sha256:
        set_aside(Unreadable(found.path, "of other weights than its network has now"))
        found = store.remember("samples", cell.samples, make)
    if not found.path.is_file():
        # a record names its samples
        raise Unreadable(found.path, "can't be written")
    return found


def _clean(cell: Cell, looker: Looker, defended: Defended) -> looks.Clean:
    names = (cell.config.model.name, cell.config.scheme.name)
    # where nothing draws, the cells of every seed see the same
    seed = seed_of(cell, "clean") if defended.random else 0
    return looks.clean(cell.store, looker, defended, names, cell.dataset, cell.classes, seed, cell.idle)


def _check_worth(cell: Cell, seen: Seen, right: np.ndarray) -> None:
    """Refuses a network of which nothing could be learnt.

    Raises:
        TrainingError: if it learnt nothing, or isn't what it is said to be, or has no image to attack.
    """
    config, data = cell.config, cell.dataset
    if not parts.is_foreign(cell.training.way):
        kept.check_learnt(right, data.y_test)
    elif (published := getattr(cell.training.way, "clean_pct", None)) is not None:

        def without() -> float:
            assert seen.twin_looker is not None
            raw = Defended(seen.defended.network, outputs=seen.defended.outputs)
            identity = {**seen.twin_looker.identity, "preprocessing": None}
            return 100 * float(
                _clean(cell, dataclasses.replace(seen.twin_looker, identity=identity), raw).right.mean()
            )

        plain = not seen.defended.draws_itself and seen.defended.preprocessing is not None
        kept.check_published(published, right, config.dataset.name, without if plain else None)
    if not right.any():
        raise TrainingError("the network gets no test image right, so that there is none to attack")


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
    with process.threads(cell.config.threads):
        _networks.clear()
        trained = _trained(cell)
    record = _done(cell)
    if record is not None and record["checkpoint"]["sha256"] != trained.sha256:
        set_aside(Unreadable(cell.store.record_path(cell.key), "of other weights than its network has now"))
    return run(cell)


def _network(cell: Cell) -> tuple[Trained, Defended, str]:
    """The network, behind its scheme, and the hash of its twin's weights."""
    if cell.given is not None:
        network, twin = cell.given.network, cell.given.twin
        sha256 = kept.hash_of(network, cell.changing)
        other = twin is not None and twin.network is not network
        of_twin = kept.hash_of(twin.network) if twin is not None and other else sha256
        return Trained(network, cell.checkpoint, sha256, 0.0), cell.given, of_twin
    trained = _trained(cell)
    named, of_twin = None, trained.sha256
    if (one := cell.twin) is not None:
        apart = dataclasses.replace(
            cell, config=one.config, training=one.training, checkpoint=one.checkpoint, twin=None
        )
        found = _trained(apart)
        named, of_twin = parts.behind(one.config, found.network, {}, one.identity["network"]), found.sha256
    known = cell.identity["network"]
    defended = parts.behind(cell.config, trained.network, cell.scheme, known, named)
    return trained, defended, of_twin


_networks: dict[tuple[str, str, str], Trained] = {}


def _trained(cell: Cell) -> Trained:
    """A network is loaded once a process, however many cells need it."""
    name = (str(cell.store.folder), cell.checkpoint, str(cell.device))
    if name not in _networks:
        if parts.is_foreign(cell.training.way):
            loaded = kept.foreign(cell.training, cell.dataset.shape, cell.device, cell.changing)
            if loaded.sha256 != cell.training.settings["weights"]:
                raise WeightsError(
                    f"weights of {cell.config.model.name}: others than a moment ago: their file was written "
                    "to meanwhile, or the network draws them from what nobody has seeded"
                )
            _networks[name] = loaded
        else:
            _networks[name] = _fitted(cell)
    return _networks[name]


def _fitted(cell: Cell) -> Trained:
    plan = cell.training
    try:
        return kept.trained(plan, cell.dataset, cell.store, cell.device)
    except Exception as error:
        if not _out_of_memory(error):
            raise
        raise TrainingError(_lower("training.batch_size", plan.batch_size, error)) from error
