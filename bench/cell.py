"""One cell of the matrix, from its settings to its record: the one walk down the corridor.

Here belongs the order of things, and what a record says. How each step is done belongs to the rooms
it walks through; Hydra, sweeps and tables are not known here.
"""

import dataclasses
import hashlib
import math
import platform
import random
import time
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from foolbox.models import PyTorchModel
from torch import nn
from tqdm import tqdm

from bench import config as settings
from bench import datasets, evaluation, fingerprint, records, schemes, training
from bench.config import Config, ConfigError, NotApplicable
from bench.datasets import Dataset
from bench.measure import intervals
from bench.records import Store

IDENTITY = ("dataset", "model", "scheme", "attack", "criterion", "train_rate", "test_rate", "seed")
"""What names a cell to a person."""

NO_RESULT = ("data_dir", "output_dir", "name", "transfer", "trusted_modules")
"""Settings that can't change a result, and so are not part of a key."""


@dataclass(frozen=True)
class Cell:
    """A checked cell, ready to run.

    Attributes:
        config: Its settings.
        dataset: Its data.
        training: How its network is trained.
        rates: Operation and rate at test time, by site.
        attack: The attack, made.
        device: Where it runs.
        key: Its name in the store: a hash of everything that can change its result.
    """

    config: Config
    dataset: Dataset
    training: training.Plan
    rates: Mapping[str, tuple[schemes.Operation, float]]
    attack: Any
    device: torch.device
    key: str

    @property
    def store(self) -> Store:
        """Where its results are kept."""
        return store(self.config)


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
    rates: Mapping[str, tuple[schemes.Operation, float]]
    device: torch.device


def store(config: Config) -> Store:
    """The store that a configuration names."""
    return Store(Path(config.output_dir) / "store")


def names(config: Mapping[str, Any]) -> dict[str, Any]:
    """What names a cell to a person: the chosen files' names, the rates and the seed."""
    return {n: config[n]["name"] if isinstance(config[n], Mapping) else config[n] for n in IDENTITY}


def prepare(config: Config) -> Cell:
    """Checks a cell's settings and its data, without training or attacking anything.

    Raises:
        NotApplicable: for an attack that can't serve the criterion, or a rate with no site to set.
        ConfigError: for a setting that can't be used, or data that is missing or damaged.
    """
    trusted = config.trusted_modules
    device = _device(config.device)
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

    plan = _plan(config, data, network, operation, device)
    try:
        with torch.device("meta"):
            plan.build()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model.options: {config.model.name}: {error}") from None
    rates = {
        site: (operation, rate if config.test_rate is None else config.test_rate)
        for site, rate in config.scheme.sites.items()
    }
    attack = settings.make("attack", config.attack._target_, config.attack.options, trusted)
    _check_criterion(config, attack)

    decides = dataclasses.asdict(config)
    for name in NO_RESULT:
        del decides[name]
    key = fingerprint.digest(
        {
            "config": decides,
            "checkpoint": plan.key,
            "data": data.fingerprint,
            "device": device.type,
            "versions": fingerprint.versions(),
            "code": fingerprint.code(prepare, operation.__class__, attack.__class__),
        }
    )[:16]
    return Cell(config, data, plan, rates, attack, device, key)


def run(cell: Cell) -> dict[str, Any]:
    """The cell's record: from the store, or computed now and kept.

    An error on the way becomes a record with status ``failed``, which is computed again next time.

    Returns:
        The record, as JSON-able values.
    """
    with cell.store.lock(cell.key):
        record = cell.store.done(cell.key)
        if record is not None:
            return record
        start = time.perf_counter()
        samples = None
        try:
            measured, samples = _walk(cell)
            record = {**_header(cell.config, records.OK, cell.key), **measured}
        except Exception as error:
            record = {
                **_header(cell.config, records.FAILED, cell.key),
                "reason": " ".join(f"{type(error).__name__}: {error}".split()),
                "traceback": traceback.format_exc(),
            }
        record["seconds"] = {"total": time.perf_counter() - start, **record.get("seconds", {})}
        cell.store.write(cell.key, record, samples)
    return record


def not_applicable(config: Config, reason: str) -> dict[str, Any]:
    """The record of a cell that can't be, kept like any other so that its hole in a table is explained."""
    key = fingerprint.digest({"not applicable": dataclasses.asdict(config)})[:16]
    record = {**_header(config, records.NOT_APPLICABLE, key), "reason": reason}
    store(config).write(key, record, None)
    return record


def _header(config: Config, status: str, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "status": status,
        "cell": names(dataclasses.asdict(config)),
        "config": dataclasses.asdict(config),
        "versions": {**fingerprint.versions(), "python": platform.python_version()},
        "git_revision": records.git_revision(),
    }


def _walk(cell: Cell) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    config, data, device = cell.config, cell.dataset, cell.device
    torch.set_num_threads(config.threads)
    network = _trained(cell)
    model = network.model
    everything = torch.from_numpy(data.x_test).to(device)
    truth = torch.from_numpy(data.y_test).to(device)

    # without a scheme: which images are worth attacking
    right = _clean(cell, network, {}, everything, truth)
    chosen = np.flatnonzero(right)
    if config.count == "images":
        chosen = chosen[: config.samples]
    if not len(chosen):
        raise RuntimeError("the network gets no test image right")
    random_scheme = schemes.is_random(cell.rates)
    right_with_scheme = _clean(cell, network, cell.rates, everything, truth)

    if config.criterion.targets == "all":
        goals, repeats = evaluation.all_targets(data.y_test[chosen], data.classes), data.classes - 1
        chosen = np.repeat(chosen, repeats)
    else:
        target_seed = fingerprint.derive_seed(config.seed, "targets")
        goals, repeats = evaluation.random_targets(data.y_test, data.classes, target_seed)[chosen], 1
    images, labels, targets = everything[chosen], truth[chosen], torch.from_numpy(goals).to(device)
    attacked = _attack(cell, model, images, labels, targets)
    count = len(attacked.images)
    chosen, images, labels, targets = chosen[:count], images[:count], labels[:count], targets[:count]

    draws = config.evaluation.draws if random_scheme else 1
    schemes.install(model, cell.rates, _generator(cell, "evaluation"))
    goal = evaluation.criterion(config.criterion.kind, labels, targets, config.criterion.k)
    fresh = evaluation.fresh_draws(model, attacked.images, goal, labels, draws, config.batch_size)
    schemes.install(model, {}, _generator(cell, "none"))

    originals, perturbed = images.cpu().numpy(), attacked.images.cpu().numpy()
    claimed = attacked.claimed
    moved = {name: values[claimed] for name, values in evaluation.distances(originals, perturbed).items()}
    measured = {
        "device": _device_name(device),
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
        "samples": {
            "file": str(cell.store.samples_path(cell.key).relative_to(cell.store.folder)),
            "sha256": hashlib.sha256(perturbed.tobytes()).hexdigest(),
        },
        "metrics": {
            "clean_accuracy_no_scheme": intervals.estimate(right.astype(float))._asdict(),
            "clean_accuracy": intervals.estimate(right_with_scheme.astype(float))._asdict(),
            "claimed_success": intervals.estimate(claimed.astype(float), chosen)._asdict(),
            "fresh_success": intervals.estimate(fresh.success, chosen)._asdict(),
            "fresh_accuracy": intervals.estimate(fresh.accuracy, chosen)._asdict(),
            "fresh_draws": draws,
            "given_up": attacked.given_up,
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
        "seconds": {"attack": attacked.seconds, "training": network.seconds},
    }
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


_cached_clean: dict[str, np.ndarray] = {}


def _clean(
    cell: Cell,
    network: training.Trained,
    rates: Mapping[str, tuple[schemes.Operation, float]],
    images: torch.Tensor,
    labels: torch.Tensor,
) -> np.ndarray:
    """Which test images are given their label in one pass; looked at once a process, whatever the attack."""
    config = cell.config
    decides = {
        "checkpoint": [network.key, network.sha256],
        "data": cell.dataset.fingerprint,
        "rates": {site: rate for site, (_, rate) in rates.items()},
        "operation": dataclasses.asdict(config.scheme.operation),
        "seed": config.seed,
        "how": [config.batch_size, config.threads, cell.device.type],
    }
    name = fingerprint.digest(decides)
    if name not in _cached_clean:
        schemes.install(network.model, rates, _generator(cell, "clean"))
        expected = schemes.is_random(rates)
        evaluation.check_randomness(network.model, images[:100], expected, config.scheme.name)
        _cached_clean[name] = evaluation.correct(network.model, images, labels, config.batch_size)
    return _cached_clean[name]


@dataclass(frozen=True)
class _Attacked:
    images: torch.Tensor
    claimed: np.ndarray
    tried: int
    given_up: int
    passes: evaluation.Passes
    seconds: float


def _attack(
    cell: Cell, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor
) -> _Attacked:
    config = cell.config
    generator = _generator(cell, "attack")
    schemes.install(model, cell.rates, generator)
    # Foolbox's own attacks draw from the global generators
    seed = fingerprint.derive_seed(config.seed, "attack")
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    victim = PyTorchModel(model, bounds=(0, 1), device=cell.device)
    perturbed, claimed, given_up = [], [], []
    start = time.perf_counter()
    tried = succeeded = 0
    bar = tqdm(
        total=len(images) if config.count == "images" else config.samples,
        desc=config.attack.name,
        unit=config.count,
        disable=None,
        leave=False,
    )
    with evaluation.counted(model) as passes, bar:
        while tried < len(images) and (config.count == "images" or succeeded < config.samples):
            # few are tried too many, and the last ones are not tried one by one
            wanted = len(images) if config.count == "images" else max(config.samples - succeeded, 50)
            batch = slice(tried, tried + min(wanted, config.batch_size))
            goal = evaluation.criterion(
                config.criterion.kind, labels[batch], targets[batch], config.criterion.k
            )
            _, clipped, success = cell.attack(victim, images[batch], goal, epsilons=config.attack.epsilon)
            if clipped.shape != images[batch].shape:
                raise RuntimeError(f"attack {config.attack.name} returned shape {tuple(clipped.shape)}")
            # Foolbox's C&W and EAD hand back an image of zeros for a row that they fail on, and sometimes
            # call it a success; an attack that diverged hands back NaN. Neither is an adversarial sample.
            flat = clipped.detach().flatten(1)
            blank = (flat == 0).all(1) & (images[batch].flatten(1) != 0).any(1)
            given_up.append(blank | ~flat.isfinite().all(1))
            perturbed.append(torch.where(given_up[-1].view(-1, 1, 1, 1), images[batch], clipped.detach()))
            claimed.append(success & ~given_up[-1])
            tried += len(flat)
            succeeded += int(claimed[-1].sum())
            bar.update((tried if config.count == "images" else min(succeeded, config.samples)) - bar.n)
    seconds = time.perf_counter() - start
    result, success = torch.cat(perturbed), torch.cat(claimed)
    if config.count == "successes" and succeeded > config.samples:
        enough = int(torch.nonzero(success)[config.samples - 1]) + 1
        result, success = result[:enough], success[:enough]
    if result.min() < 0 or result.max() > 1:
        raise RuntimeError(
            f"attack {config.attack.name} left the bounds [0, 1]: "
            f"{result.min().item()} to {result.max().item()}"
        )
    return _Attacked(
        images=result,
        claimed=success.cpu().numpy(),
        tried=tried,
        given_up=int(torch.cat(given_up)[: len(result)].sum()),
        passes=passes,
        seconds=seconds,
    )


class _Reached(Exception):
    """The attack let the criterion in."""


def _check_criterion(config: Config, attack: Any) -> None:
    """Lets the attack see the criterion and refuse it, without a pass through any network."""
    kind = config.criterion.kind
    if config.attack.criteria is not None and kind not in config.attack.criteria:
        raise NotApplicable(
            f"criterion: attack {config.attack.name} can't serve {kind}; "
            f"allowed: {', '.join(config.attack.criteria)}"
        )

    class Door(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise _Reached

    zero = torch.zeros(1, dtype=torch.int64)
    goal = evaluation.criterion(kind, zero, zero, config.criterion.k)
    try:
        victim = PyTorchModel(Door().eval(), bounds=(0, 1), device="cpu")
        attack(victim, torch.zeros(1, 1, 8, 8), goal, epsilons=config.attack.epsilon)
    except _Reached:
        pass
    except (TypeError, ValueError, NotImplementedError) as error:
        words = " ".join(str(error).split())
        if "criterion" in words:
            raise NotApplicable(
                f"criterion: attack {config.attack.name} can't serve {kind} ({words})"
            ) from None
        raise ConfigError(f"attack: {config.attack.name} refuses its settings ({words})") from None


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: there is no GPU here; allowed: auto, cpu")
    return torch.device(name)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


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


def _plan(
    config: Config, data: Dataset, network: Any, operation: schemes.Operation, device: torch.device
) -> training.Plan:
    rates: dict[str, tuple[schemes.Operation, float]] = {
        site: (schemes.Dropout(), rate) for site, rate in config.model.train_rates.items() if rate > 0
    }
    described: dict[str, Any] = {
        site: [settings.OperationConfig(), rate] for site, (_, rate) in rates.items()
    }
    if config.train_rate is not None:
        own = config.scheme.train_sites is None
        for site in _train_sites(config):
            rates[site] = (operation if own else schemes.Dropout(), config.train_rate)
            described[site] = [
                config.scheme.operation if own else settings.OperationConfig(),
                config.train_rate,
            ]
    named = config.scheme.training
    way = settings.make("scheme.training", named._target_, named.options, config.trusted_modules)
    how = dataclasses.asdict(config.training)
    decides = {
        **how,
        "way": dataclasses.asdict(named),
        "model": [config.model._target_, config.model.options],
        "rates": {s: [dataclasses.asdict(o), rate] for s, (o, rate) in described.items() if rate > 0},
        "data": data.fingerprint,
        "device": device.type,
        "threads": config.threads,
        "versions": fingerprint.versions(),
        "code": fingerprint.code(
            training, network, type(way), *(type(o) for o, rate in rates.values() if rate > 0)
        ),
    }
    return training.Plan(
        build=lambda: network(data.shape, data.classes, **config.model.options),
        rates=rates,
        way=way,
        settings=decides,
        **how,
    )


def restore(record: Mapping[str, Any], where: Store) -> Restored:
    """The network and the scheme that a record speaks of, from its checkpoint; nothing is trained.

    Args:
        record: A record with status ``ok``.
        where: The store that it came from.

    Raises:
        ConfigError, OmegaConfBaseException: if its settings are not of this version.
        CheckpointError: if its checkpoint is missing, damaged or another.
    """
    config = settings.typed(record["config"])
    device = _device(config.device)
    network = settings.find("model", config.model._target_, config.trusted_modules)
    operation = _operation(config)
    trained = training.load(
        where.checkpoints / f"{record['checkpoint']['key']}.safetensors",
        lambda: network(tuple(record["data"]["shape"]), record["data"]["classes"], **config.model.options),
        device,
    )
    if trained.sha256 != record["checkpoint"]["sha256"]:
        raise training.CheckpointError(
            f"{trained.key}: not the weights that record {record['key']} was made with"
        )
    rates = {site: (operation, rate) for site, rate in record["test_rates"].items()}
    return Restored(config, trained.model, rates, device)


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
    """A dataset is loaded once a process, however many cells need it."""
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
