"""One cell of the matrix, from its settings to its record: the one walk down the corridor.

Here belongs the order of things, and what a record says. How each step is done belongs to the rooms
it walks through; Hydra, sweeps and tables are not known here.
"""

import dataclasses
import hashlib
import math
import os
import platform
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import attacking, datasets, evaluation, fingerprint, probe, records, schemes, training
from bench import config as settings
from bench.axes import names
from bench.config import STRANGER, Config, ConfigError, NotApplicable, Reader
from bench.datasets import Dataset
from bench.measure import intervals
from bench.records import Store, Unreadable

SAID = (ConfigError, Unreadable, attacking.AttackError, evaluation.NotFinite, training.TrainingError)
"""Errors whose words say all there is to say; of others their type is said too."""


@dataclass(frozen=True)
class Cell:
    """A checked cell, ready to run.

    Attributes:
        config: Its settings.
        dataset: Its data.
        training: How its network is trained.
        rates: Operation and rate at test time, by site.
        attack: The attack, made.
        read: Hashes of the code and the files that its network and its scheme are made of.
        key: Its name in the store: a hash of everything that can change its result.
    """

    config: Config
    dataset: Dataset
    training: training.Plan
    rates: probe.Rates
    attack: Any
    read: Mapping[str, str]
    key: str

    @property
    def store(self) -> Store:
        """Where its results are kept."""
        return store(self.config)

    @property
    def device(self) -> torch.device:
        """Where it runs; in no key, so that a machine without a GPU can plan for one that has it."""
        return device(self.config)


@dataclass(frozen=True)
class Restored:
    """What a record speaks of, ready to be passed through again.

    Attributes:
        config: Its settings.
        model: Its network, no scheme installed.
        rates: Operation and rate at test time, by site.
        device: Where the network is.
    """

    config: Config
    model: nn.Module
    rates: probe.Rates
    device: torch.device


def store(config: Config) -> Store:
    """The store that a configuration names."""
    return Store(Path(config.output_dir) / "store")


def device(config: Config) -> torch.device:
    """The device that a configuration asks for, of the machine that this is.

    Raises:
        ConfigError: where there is no such device.
    """
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: there is no GPU here; allowed: auto, cpu")
    return torch.device(config.device)


def prepare(config: Config) -> Cell:
    """Checks a cell's settings, its data, its network and its scheme, without training or attacking anything.

    Raises:
        NotApplicable: for an attack that can't serve the criterion, or a rate with no site to set.
        ConfigError: for a setting that can't be used, or data that is missing or damaged.
    """
    trusted = config.trusted_modules
    data = dataset(config)
    network = settings.find("model", config.model._target_, trusted)
    settings.check_options("model", network, config.model.options, given=("shape", "classes"))
    known = getattr(network, "sites", ())
    settings.check_sites("model.train_rates", config.model.train_rates, known, config.model.name)
    settings.check_sites("scheme.sites", config.scheme.sites, known, config.model.name)
    settings.check_sites("scheme.train_sites", config.scheme.train_sites or (), known, config.model.name)
    operation = _operation(config)
    for key, sites in (("train_rate", _train_sites(config)), ("test_rate", config.scheme.sites)):
        if getattr(config, key) is not None and not sites:
            raise NotApplicable(f"{key}: scheme {config.scheme.name} has no site to set a rate at; use null")
    if config.samples > len(data.x_test):
        raise ConfigError(
            f"samples: {config.dataset.name} has {len(data.x_test)} test images, got {config.samples}"
        )
    if config.criterion.k is not None and config.criterion.k >= data.classes:
        raise ConfigError(
            f"criterion.k: expected less than the {data.classes} classes, got {config.criterion.k}"
        )

    plan = _plan(config, data, network, operation)
    rates = {
        site: (operation, rate if config.test_rate is None else config.test_rate)
        for site, rate in config.scheme.sites.items()
    }
    _probe(config, data, plan, rates)
    attack = settings.make("attack", config.attack._target_, config.attack.options, trusted)
    attacking.check(attack, config.attack, config.criterion, data.shape)

    operated = settings.find("scheme.operation", config.scheme.operation._target_, trusted)
    attacked = settings.find("attack", config.attack._target_, trusted)
    decides = settings.decides(config)
    # the rest of it is in the data's fingerprint
    decides["dataset"] = config.dataset.name
    decides["model"]["options"] = settings.files(network, config.model.options)
    decides["scheme"]["operation"]["options"] = settings.files(operated, config.scheme.operation.options)
    # and what is left of the way of training is in the checkpoint's key
    del decides["scheme"]["training"]["options"]
    decides["attack"]["options"] = settings.files(attacked, config.attack.options)
    key = fingerprint.digest(
        {
            "config": decides,
            "checkpoint": plan.key,
            "data": data.fingerprint,
            "versions": fingerprint.versions(),
            "code": fingerprint.code(prepare, operated, type(operation), attacked, type(attack)),
        }
    )[:16]
    return Cell(config, data, plan, rates, attack, read(config), key)


def entry(config: Config, key: str, checkpoint: str | None) -> dict[str, Any]:
    """What a sweep's manifest says of a cell: its key, what decides its result, and its network."""
    return {"key": key, "config": settings.decides(config), "checkpoint": checkpoint}


def read(config: Config) -> dict[str, str]:
    """Hashes of what a network and its scheme are made of, to be compared before a record is looked at again.

    Returns:
        ``code``, and ``files``: the content of those that the options of either name.

    Raises:
        ConfigError: as ``config.find``.
    """
    network = settings.find("model", config.model._target_, config.trusted_modules)
    named = config.scheme.operation
    operation = settings.find("scheme.operation", named._target_, config.trusted_modules)
    return {
        "code": fingerprint.code(schemes, network, operation),
        "files": fingerprint.digest(
            [settings.files(network, config.model.options), settings.files(operation, named.options)]
        ),
    }


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
            **_header(cell.config, records.FAILED, cell.key),
            "reason": f"can't be kept ({_reason(error)})",
        }


def _compute(cell: Cell) -> dict[str, Any]:
    start = time.perf_counter()
    samples = None
    header = {"read": dict(cell.read)}
    try:
        measured, samples = _walk(cell)
        record = {**_header(cell.config, records.OK, cell.key), **header, **measured}
        warn(record["warnings"])
    except KeyboardInterrupt:
        raise
    # an attack of the user's can raise anything at all
    except BaseException as error:
        record = {
            **_header(cell.config, records.FAILED, cell.key),
            **header,
            "reason": _reason(error),
            "traceback": traceback.format_exc(),
        }
    record["seconds"] = {"total": time.perf_counter() - start, **record.get("seconds", {})}
    cell.store.write(cell.key, record, samples)
    return cell.store.read(cell.key) or record


def _done(cell: Cell) -> dict[str, Any] | None:
    try:
        return cell.store.done(cell.key)
    except Unreadable as error:
        records.set_aside(error)
        return None


def _reason(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words if isinstance(error, SAID) else f"{type(error).__name__}: {words}"


_warned: set[str] = set()


def warn(warnings: Sequence[str]) -> None:
    """Logs what has not been said in this process yet."""
    for words in warnings:
        if words not in _warned:
            _warned.add(words)
            records.log.warning("%s", words)


def not_applicable(config: Config, reason: str) -> dict[str, Any]:
    """The record of a cell that can't be, kept like any other so that its hole in a table is explained.

    Raises:
        OSError: if it can't be kept.
    """
    decides = settings.decides(config)
    key = fingerprint.digest({"not applicable": decides, "reason": reason, "format": records.FORMAT})[:16]
    record = {**_header(config, records.NOT_APPLICABLE, key), "reason": reason}
    try:
        if store(config).read(key) is not None:
            return record
    except Unreadable as error:
        records.set_aside(error)
    store(config).write(key, record, None)
    return record


def _header(config: Config, status: str, key: str) -> dict[str, Any]:
    decides = settings.decides(config)
    return {
        "key": key,
        "status": status,
        "cell": names(decides),
        "config": decides,
        "versions": {**fingerprint.versions(), "python": platform.python_version()},
        "git_revision": records.git_revision(),
    }


def _walk(cell: Cell) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config, data, where = cell.config, cell.dataset, cell.device
    torch.set_num_threads(config.threads)
    network = _trained(cell)
    model = network.model
    everything = torch.from_numpy(data.x_test).to(where)
    truth = torch.from_numpy(data.y_test).to(where)

    # without a scheme: which images are worth attacking
    bare = _clean(cell, network, {}, everything, truth)
    training.check_learnt(bare.right, data.y_test)
    chosen = np.flatnonzero(bare.right)
    if not len(chosen):
        raise training.TrainingError("the network gets no test image right, so that there is none to attack")
    if config.count == "images":
        chosen = chosen[: config.samples]
    fewer = config.count == "images" and len(chosen) < config.samples
    random_scheme = schemes.is_random(cell.rates)
    behind = _clean(cell, network, cell.rates, everything, truth)

    if config.criterion.targets == "all":
        goals, repeats = evaluation.all_targets(data.y_test[chosen], data.classes), data.classes - 1
        chosen = np.repeat(chosen, repeats)
    else:
        target_seed = fingerprint.derive_seed(config.seed, "targets")
        goals, repeats = evaluation.random_targets(data.y_test, data.classes, target_seed)[chosen], 1
    images, labels, targets = everything[chosen], truth[chosen], torch.from_numpy(goals).to(where)

    def goal(rows: slice) -> Any:
        kind, k = config.criterion.kind, config.criterion.k
        return evaluation.criterion(kind, labels[rows].clone(), targets[rows].clone(), k)

    schemes.install(model, cell.rates, _generator(cell, "attack"))
    try:
        attacked = attacking.attack(
            cell.attack,
            config.attack,
            goal,
            model,
            images,
            seed=fingerprint.derive_seed(config.seed, "attack"),
            batch_size=config.batch_size,
            successes=config.samples if config.count == "successes" else None,
        )
    except BaseException:
        # whatever it was, it may have come after the attack changed the network, which later cells share
        _cached_networks.clear()
        raise
    count = len(attacked.images)
    chosen, images, labels, targets = chosen[:count], images[:count], labels[:count], targets[:count]

    draws = config.evaluation.draws if random_scheme else 1
    schemes.install(model, cell.rates, _generator(cell, "evaluation"))
    fresh = evaluation.fresh_draws(
        model, attacked.images, goal(slice(count)), labels, draws, config.batch_size
    )
    schemes.install(model, {}, _generator(cell, "none"))

    originals, perturbed = images.cpu().numpy(), attacked.images.cpu().numpy()
    claimed = attacked.claimed
    moved = {name: values[claimed] for name, values in evaluation.distances(originals, perturbed).items()}
    measured = {
        "device": _device_name(where),
        "device_kind": where.type,
        "seeds": {
            name: fingerprint.derive_seed(config.seed, name)
            for name in ("targets", "attack", "clean", "evaluation")
        },
        "data": {"fingerprint": data.fingerprint, "shape": list(data.shape), "classes": data.classes},
        "checkpoint": {"key": network.key, "sha256": network.sha256},
        "train_rates": {site: rate for site, (_, rate) in cell.training.rates.items()},
        "test_rates": {site: rate for site, (_, rate) in cell.rates.items()},
        "images": {
            "count": count // repeats,
            "targets_each": repeats,
            "indices": chosen.tolist(),
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest()[:16] for image in originals],
        },
        "samples": {"sha256": hashlib.sha256(perturbed.tobytes()).hexdigest()},
        "metrics": {
            "clean_accuracy_no_scheme": intervals.estimate(bare.right.astype(float))._asdict(),
            "clean_accuracy": intervals.estimate(behind.right.astype(float))._asdict(),
            "claimed_success": intervals.estimate(claimed.astype(float), chosen)._asdict(),
            "fresh_success": intervals.estimate(fresh.success, chosen)._asdict(),
            "fresh_accuracy": intervals.estimate(fresh.accuracy, chosen)._asdict(),
            "fresh_draws": draws,
            "given_up": attacked.given_up,
            "too_far": attacked.too_far,
            "without_start": attacked.without_start,
            "zero_gradient": attacked.zero_gradient,
            "distance": {
                # of a single success there is no interval
                name: {
                    **{
                        k: m
                        for k, m in intervals.mean_interval(v, chosen[claimed])._asdict().items()
                        if math.isfinite(m)
                    },
                    "median": float(np.median(v)),
                }
                for name, v in moved.items()
                if len(v)
            },
            "forward_passes_per_image": attacked.passes.forward / attacked.tried,
            "backward_passes_per_image": attacked.passes.backward / attacked.tried,
        },
        "warnings": [
            *(_PROBABILITIES.format(config.model.name) for _ in range(bare.probabilities)),
            *behind.warnings,
            *(f"only {count // repeats} test images that the network gets right, not {config.samples}"
              for _ in range(fewer)),
            *attacked.warnings(config.attack.name),
            *_disagreeing(config.attack.name, claimed, fresh.success, random_scheme),
        ],
        "seconds": {"attack": attacked.seconds, "training": network.seconds},
    }  # fmt: skip
    samples = {
        "perturbed": perturbed,
        "indices": chosen.astype(np.int64),
        "labels": data.y_test[chosen],
        "targets": targets.cpu().numpy(),
        "claimed": claimed,
        "fresh_success": fresh.success,
        "fresh_accuracy": fresh.accuracy,
    }
    return measured, samples


_PROBABILITIES = (
    "outputs of {} look like probabilities (each row is at least 0 and sums to 1), where attacks expect "
    "logits: leave out its softmax"
)


def _disagreeing(name: str, claimed: np.ndarray, success: np.ndarray, random_scheme: bool) -> list[str]:
    """Where nothing is random, a claim and an evaluation must agree."""
    beyond = int((claimed & (success < 1)).sum())
    if random_scheme or not beyond:
        return []
    return [
        f"attack {name}: claims {beyond} of {len(claimed)} images on which the criterion doesn't hold in "
        "another pass, although nothing is random"
    ]


@dataclass(frozen=True)
class _Clean:
    right: np.ndarray
    probabilities: bool
    warnings: tuple[str, ...]


_cached_clean: dict[str, _Clean] = {}


def _clean(
    cell: Cell, network: training.Trained, rates: probe.Rates, images: torch.Tensor, labels: torch.Tensor
) -> _Clean:
    """Which test images are given their label in one pass; looked at once a process, whatever the attack."""
    config = cell.config
    decides = {
        "checkpoint": [network.key, network.sha256],
        "data": cell.dataset.fingerprint,
        "rates": {site: rate for site, (_, rate) in rates.items()},
        "operation": dataclasses.asdict(config.scheme.operation),
        "read": dict(cell.read),
        "seed": config.seed,
        "how": [config.batch_size, config.threads, cell.device.type],
    }
    name = fingerprint.digest(decides)
    if name not in _cached_clean:
        few = images[: probe.IMAGES]
        probe.network(network.model, config.model.name, few, cell.dataset.classes)
        warnings = probe.scheme(network.model, config.scheme.name, rates, few)
        schemes.install(network.model, rates, _generator(cell, "clean"))
        if schemes.is_random(rates) and not evaluation.passes_differ(network.model, images[:100]):
            warnings.append(f"scheme {config.scheme.name}: at its rates two passes over 100 images are equal")
        outputs = evaluation.logits(network.model, images, config.batch_size)
        right = (outputs.argmax(-1) == labels).cpu().numpy()
        _cached_clean[name] = _Clean(right, evaluation.look_like_probabilities(outputs), tuple(warnings))
    return _cached_clean[name]


def _device_name(where: torch.device) -> str:
    return torch.cuda.get_device_name(where) if where.type == "cuda" else f"cpu ({platform.machine()})"


def _generator(cell: Cell, purpose: str) -> torch.Generator:
    seed = fingerprint.derive_seed(cell.config.seed, purpose)
    return torch.Generator(cell.device).manual_seed(seed)


def _operation(config: Config) -> schemes.Operation:
    named = config.scheme.operation
    made: schemes.Operation = settings.make(
        "scheme.operation", named._target_, named.options, config.trusted_modules
    )
    return made


def _train_sites(config: Config) -> Collection[str]:
    return config.scheme.sites if config.scheme.train_sites is None else config.scheme.train_sites


def _plan(config: Config, data: Dataset, network: Any, operation: schemes.Operation) -> training.Plan:
    rates: dict[str, tuple[schemes.Operation, float]] = {
        site: (schemes.Dropout(), rate) for site, rate in config.model.train_rates.items() if rate > 0
    }
    named = {site: settings.OperationConfig() for site in rates}
    if config.train_rate is not None:
        own = config.scheme.train_sites is None
        for site in _train_sites(config):
            rates[site] = (operation if own else schemes.Dropout(), config.train_rate)
            named[site] = config.scheme.operation if own else settings.OperationConfig()

    def described(key: str, one: Any) -> list[Any]:
        return [
            one._target_,
            settings.files(settings.find(key, one._target_, config.trusted_modules), one.options),
        ]

    way = settings.make(
        "scheme.training",
        config.scheme.training._target_,
        config.scheme.training.options,
        config.trusted_modules,
    )
    how = dataclasses.asdict(config.training)
    acting = {site: (operation, rate) for site, (operation, rate) in rates.items() if rate > 0}
    decides = {
        **how,
        "way": described("scheme.training", config.scheme.training),
        "model": described("model", config.model),
        "rates": {s: [*described("scheme.operation", named[s]), rate] for s, (_, rate) in acting.items()},
        "data": data.fingerprint,
        "threads": config.threads,
        "versions": fingerprint.versions(),
        "code": fingerprint.code(
            training,
            network,
            type(way),
            settings.find("scheme.training", config.scheme.training._target_, config.trusted_modules),
            *(type(o) for o, _ in acting.values()),
        ),
    }
    return training.Plan(
        build=lambda: network(data.shape, data.classes, **config.model.options),
        rates=rates,
        way=way,
        settings=decides,
        **how,
    )


_probed: set[str] = set()


def _probe(config: Config, data: Dataset, plan: training.Plan, rates: probe.Rates) -> None:
    """Tries an untrained network, and the scheme in it, once a process."""
    strengths = {site: rate for site, (_, rate) in rates.items()}
    tried = fingerprint.digest(
        [plan.key, strengths, config.scheme.name, dataclasses.asdict(config.scheme.operation)]
    )
    if tried in _probed:
        return
    images = torch.from_numpy(np.concatenate([data.x_test[: probe.IMAGES], data.x_train[: probe.IMAGES]]))
    images = images[: probe.IMAGES]
    model = probe.build(lambda: training.untrained(plan, data.shape), config.model.name, images, data.classes)
    probe.scheme(model, config.scheme.name, rates, images)
    _probed.add(tried)


def restore(record: Mapping[str, Any], where: Store, reader: Reader = STRANGER) -> Restored:
    """The network and the scheme that a record speaks of, from its checkpoint; nothing is trained.

    Args:
        record: A record with status ``ok``.
        where: The store that it came from.
        reader: Whose code may run.

    Raises:
        ConfigError: if its settings are not of this version, or its network or scheme is not what it was
            made with: other code, other files, other versions.
        Unreadable: if its checkpoint is missing, damaged or another.
    """
    config = check_alike(record, reader)
    here = device(config)
    network = settings.find("model", config.model._target_, config.trusted_modules)
    operation = _operation(config)
    path = where.checkpoints / f"{record['checkpoint']['key']}.safetensors"
    shape, classes = tuple(record["data"]["shape"]), record["data"]["classes"]
    trained = training.load(path, lambda: network(shape, classes, **config.model.options), here)
    if trained.sha256 != record["checkpoint"]["sha256"]:
        raise Unreadable(path, f"not the weights that record {record['key']} was made with")
    rates = {site: (operation, rate) for site, rate in record["test_rates"].items()}
    return Restored(config, trained.model, rates, here)


def check_alike(record: Mapping[str, Any], reader: Reader) -> Config:
    """Compares what a record's network and scheme were made of with what would be made now.

    Args:
        record: A record with status ``ok``.
        reader: Whose code may run.

    Returns:
        The record's settings.

    Raises:
        ConfigError: if its settings are not of this version, or its network or scheme is not what it was
            made with: other code, other files, other versions.
    """
    config = reader.config(record["config"])
    changed = [name for name, hashed in read(config).items() if record["read"][name] != hashed]
    if changed:
        raise ConfigError(
            f"the {' and the '.join(changed)} of its network or scheme changed since record {record['key']}; "
            "run the sweep again"
        )
    then = record["versions"]
    other = [f"{n} {then.get(n)}, not {v}" for n, v in fingerprint.versions().items() if then.get(n) != v]
    if other:
        raise ConfigError(f"record {record['key']} was made with {'; '.join(other)}; run the sweep again")
    return config


def heal(cell: Cell, error: Unreadable) -> dict[str, Any]:
    """The cell's record, after a file that it needs was found to be damaged: that one is computed again.

    Args:
        cell: The cell.
        error: What was said of its samples or its checkpoint.

    Returns:
        As ``run``; computed again with it, if a network that was trained again has other weights.
    """
    if os.path.lexists(error.path):
        records.set_aside(error)
    network = training.trained(cell.training, cell.dataset, cell.store.checkpoints, cell.device)
    record = _done(cell)
    if record is not None and record["checkpoint"]["sha256"] != network.sha256:
        records.set_aside(
            Unreadable(cell.store.record_path(cell.key), "of other weights than its network has now")
        )
    return run(cell)


_cached_networks: dict[tuple[str, str], training.Trained] = {}


def _trained(cell: Cell) -> training.Trained:
    """A network is loaded once a process, however many cells need it."""
    name = (str(cell.store.folder), cell.training.key)
    if name not in _cached_networks:
        _cached_networks[name] = training.trained(
            cell.training, cell.dataset, cell.store.checkpoints, cell.device
        )
    return _cached_networks[name]


_cached_datasets: dict[str, Dataset] = {}


def dataset(config: Config) -> Dataset:
    """A dataset is loaded once a process, however many cells need it.

    Raises:
        ConfigError: for data that is missing, damaged, or can't be used.
    """
    name = fingerprint.digest([dataclasses.asdict(config.dataset), config.data_dir])
    if name not in _cached_datasets:
        loader = settings.find("dataset", config.dataset._target_, config.trusted_modules)
        settings.check_options("dataset", loader, config.dataset.options, given=("data_dir",))
        try:
            _cached_datasets[name] = datasets.load(
                loader, Path(config.data_dir), config.dataset.options, config.dataset.train_size
            )
        except datasets.DataError as error:
            raise ConfigError(f"dataset={config.dataset.name}: {error}") from None
    return _cached_datasets[name]
