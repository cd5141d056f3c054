"""What a cell will do, checked and named before anything is trained, and what a record speaks of.

Here belong the order in which things are checked, and keys. What settings stand for is in ``parts``; doing
it is ``cell``'s.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import crafting, datasets, door, finding, parts, probe, targets
from bench import sites as sites_of
from bench.checks import ConfigError
from bench.config import Config, decides
from bench.datasets.arrays import Dataset
from bench.defended import Defended, Scheme
from bench.reader import STRANGER, Reader
from bench.results import fingerprint
from bench.results.files import Unreadable
from bench.results.store import Store, key_of
from bench.training import fit, kept
from bench.training.fit import Plan
from bench.training.weightfiles import WeightsError


@dataclass(frozen=True)
class Twin:
    """Another network that is the twin.

    Attributes:
        config: Its settings, in which nothing is random.
        training: How its weights come about.
        checkpoint: The key of that.
        identity: What decides its outputs.
    """

    config: Config
    training: Plan
    checkpoint: str
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A checked cell, ready to run.

    Attributes:
        config: Its settings.
        dataset: Its data.
        classes: How many classes there are.
        training: How its network's weights come about.
        checkpoint: The key of that.
        scheme: Operation and strength at test time, by site.
        attack: The attack, made.
        identity: What decides the outputs of its network behind its scheme.
        twin_identity: What decides those of the same without its randomness; None where that isn't to be had.
        samples: Everything that decides its adversarial samples.
        key: Its name in the store: a hash of everything that can change its result.
        given: Its network behind its scheme, where that is an object of somebody's: all images are attacked
            then, whether it gets them right or not.
        goals: A target for each image, shape (n,), where they are given.
        progress: Whether a bar is shown; None: where there is a terminal.
        twin: The twin, where another file of conf/model is named.
        changing: Names of tensors that a pass of its network changes: they take no part in the hash of
            foreign weights.
        idle: Whether what is to be random may be nothing that an output depends on; an audit says so itself.
    """

    config: Config
    dataset: Dataset
    classes: int
    training: Plan
    checkpoint: str
    scheme: Scheme
    attack: Any
    identity: Mapping[str, Any]
    twin_identity: Mapping[str, Any] | None
    samples: Mapping[str, Any]
    key: str
    given: Defended | None = None
    goals: np.ndarray | None = None
    progress: bool | None = None
    twin: Twin | None = None
    changing: tuple[str, ...] = ()
    idle: bool = False

    @property
    def store(self) -> Store:
        """Where its results are kept."""
        return parts.store(self.config)

    @property
    def trains(self) -> str | None:
        """The checkpoint that comes out of it; None where nothing is trained."""
        return None if parts.is_foreign(self.training.way) else self.checkpoint

    @property
    def device(self) -> torch.device:
        """Where it runs; in no key, so that a machine without a GPU can plan for one that has it."""
        return parts.device(self.config)


def prepare(config: Config, idle: bool = False) -> Cell:
    """Checks a cell's settings, its data, its network and its scheme, without training or attacking anything.

    Args:
        config: The settings.
        idle: Whether what is to be random may be nothing that an output depends on.

    Raises:
        NotApplicable: for an attack that can't serve the criterion, a site that the network lacks, or a
            rate that can't be set.
        ConfigError: for a setting that can't be used, data that is missing or damaged, or a store that was
            kept for good.
    """
    if (store := parts.store(config)).reference:
        raise ConfigError(
            f"output_dir: {store.folder} is what was kept of sweeps, in which nothing is computed; "
            "choose another"
        )
    data = parts.dataset(config)
    scheme = parts.scheme(config)
    _check_images(config, data)
    training = parts.plan(config, data)
    other = parts.twin(config)
    twin_training = None if other is None else parts.plan(other, data)
    found = _tried_out(config, data, training, scheme, other, twin_training, idle)
    foreign = found.weights is not None
    classes = found.outputs if foreign else data.classes
    assert classes is not None
    if config.criterion.k is not None and config.criterion.k >= classes:
        raise ConfigError(f"criterion.k: expected less than the {classes} classes, got {config.criterion.k}")
    if (largest := int(data.y_test.max())) >= classes:
        raise ConfigError(
            f"dataset={config.dataset.name}: label {largest} found, and {config.model.name} has {classes} "
            f"outputs, 0 to {classes - 1}"
        )
    if foreign:
        settings = {**training.settings, "weights": found.weights}
        training = dataclasses.replace(training, settings=settings)
    checkpoint = key_of("checkpoints", training.settings)
    identity = parts.identity(config, scheme, checkpoint)
    twin = None
    if other is not None and twin_training is not None:
        settings = {**twin_training.settings, **({"weights": found.twin_weights} if foreign else {})}
        twin_training = dataclasses.replace(twin_training, settings=settings)
        of_twin = key_of("checkpoints", settings)
        twin = Twin(other, twin_training, of_twin, parts.identity(other, {}, of_twin))
    twin_identity = parts.twin_identity(config, identity, None if twin is None else dict(twin.identity))

    trusted = config.trusted_modules
    attack = parts.attack(config.attack, trusted)
    door.ask(attack, config.attack, config.criterion, data.shape)
    attacked = targets.find("attack", config.attack._target_, trusted)
    options = targets.files(attacked, config.attack.options)
    samples = {
        "defended": identity,
        "attack": [config.attack._target_, options, config.attack.epsilon],
        "criterion": [config.criterion.kind, config.criterion.k, config.criterion.targets],
        "images": [config.count, config.samples, data.fingerprint, classes],
        "seed": config.seed,
        "how": [config.batch_size, config.threads],
        "versions": fingerprint.versions(),
        "code": fingerprint.code(crafting, attacked, type(attack)),
        **parts.attack_besides(config.attack, attack),
        # which images are attacked is the twin's choice, which elsewhere is told by what acts
        **({"twin": twin_identity} if config.scheme.itself else {}),
    }
    settings = decides(config)
    # what is left of these is in the samples' key
    for group in ("dataset", "model", "scheme", "attack"):
        settings[group] = settings[group]["name"]
    settings["training"] = [config.training.name, targets.files(type(training.way), config.training.options)]
    # of what measures and says it: by name, since it is above this
    code = fingerprint.code("bench.cell")
    key = key_of("records", {"config": settings, "samples": samples, "code": code})
    return Cell(
        config, data, classes, training, checkpoint, scheme, attack, identity, twin_identity, samples, key,
        twin=twin, changing=found.changing, idle=idle,
    )  # fmt: skip


def entry(config: Config, key: str, checkpoint: str | None) -> dict[str, Any]:
    """What a sweep's manifest says of a cell: its key, what decides its result, and its network."""
    return {"key": key, "config": decides(config), "checkpoint": checkpoint}


def _check_images(config: Config, data: Dataset) -> None:
    if config.samples > len(data.x_test):
        raise ConfigError(
            f"samples: {config.dataset.name} has {len(data.x_test)} test images, got {config.samples}"
        )
    given = parts.preprocessing(config)
    if given is not None and given.channels not in (1, data.shape[0]):
        raise ConfigError(
            f"model.preprocessing: {given.channels} channels, and images of {config.dataset.name} have "
            f"{data.shape[0]}"
        )


@dataclass(frozen=True)
class _Found:
    """What was found when a network was tried.

    Attributes:
        outputs: How many it has.
        weights: Foreign weights' hash; None: they are no foreign ones.
        twin_weights: Likewise, of another network that is the twin.
        changing: Names of tensors that its passes change.
    """

    outputs: int
    weights: str | None
    twin_weights: str | None
    changing: tuple[str, ...]


_tried: dict[str, _Found] = {}


def _tried_out(
    config: Config,
    data: Dataset,
    training: Plan,
    scheme: Scheme,
    other: Config | None,
    twin_training: Plan | None,
    idle: bool,
) -> _Found:
    """Tries a network before it is trained, and the scheme in it, once a process."""
    foreign = parts.is_foreign(training.way)
    rates = {site: rate for site, (_, rate) in scheme.items()}
    given = targets.files(type(training.way), config.training.options)
    settings = [dataclasses.asdict(part) for part in (config.model, config.scheme)]
    # of foreign weights the plan's settings don't name the images, whose shape a network may be made for
    name = fingerprint.digest(
        [training.settings, data.fingerprint, given, rates, settings, config.batch_size, idle]
    )
    if name in _tried:
        return _tried[name]
    some = [np.concatenate(both) for both in ((data.x_test, data.x_train), (data.y_test, data.y_train))]
    images, labels = (torch.from_numpy(part[: probe.IMAGES]) for part in some)
    images = datasets.unit(images)
    network = _made(config, training, data.shape)
    twin = None
    if other is not None and twin_training is not None:
        twin = parts.behind(other, _made(other, twin_training, data.shape), {})
    behind = parts.behind(config, network, scheme, twin=twin)
    model, least = config.model.name, 0 if foreign else data.classes or 0
    changing: tuple[str, ...] = ()
    if behind.draws_itself:
        # before training what a network draws by may well be nothing yet
        surely = foreign and not idle
        found = probe.own(behind, model, images, labels, least, config.batch_size, trained=surely)
        outputs, changing, behind = found.outputs, found.scheme.changes, found.defended
    else:
        bare = behind.twin
        assert bare is not None
        outputs = probe.network(bare, model, images, least)
    probe.sites(behind, model, images)
    probe.scheme(behind, config.scheme.name, images, idle)

    def weights(of: nn.Module) -> str | None:
        return kept.hash_of(of, changing) if foreign else None

    of_twin = None if twin is None else weights(twin.network)
    _tried[name] = _Found(outputs, weights(network), of_twin, changing)
    return _tried[name]


def _made(config: Config, training: Plan, shape: tuple[int, int, int]) -> nn.Module:
    """A network that isn't trained yet, or one with foreign weights."""

    def make() -> nn.Module:
        if parts.is_foreign(training.way):
            return kept.foreign(training, shape, torch.device("cpu")).network
        return fit.untrained(training, shape)

    try:
        return probe.build(make, config.model.name)
    except WeightsError as error:
        raise ConfigError(f"training.weights: {str(error).removeprefix('weights: ')}") from None


@dataclass(frozen=True)
class Submodules:
    """A network's submodules.

    Attributes:
        shape: (channels, height, width) of an image.
        sites: Each site's paths.
        reached: For each submodule its path, its class, and what it gives each time that it is reached in a
            pass of one image: a shape without the batch, or the name of a type.
    """

    shape: tuple[int, int, int]
    sites: Mapping[str, tuple[str, ...]]
    reached: list[tuple[str, str, list[Any]]]


def submodules(config: Config) -> Submodules:
    """Passes one image through a network that nothing is asked of but that it can be passed through.

    Raises:
        ConfigError: for a network that can't be made or passed through.
    """
    data = parts.dataset(config, foreign=True)
    build = parts.builder(config, data.shape, data.classes)
    network = probe.build(lambda: fit.built(build, config.training.seed, data.shape), config.model.name)
    image = datasets.unit(torch.from_numpy(data.x_test[:1]))
    before = parts.preprocessing(config)
    found = probe.traced(network, config.model.name, image if before is None else before(image))
    kinds = {path: type(part).__name__ for path, part in network.named_modules(remove_duplicate=False)}
    reached = [
        (p, kinds[p], [o[1:] if isinstance(o, tuple) else o for o in given]) for p, given in found.items()
    ]
    try:
        sites = sites_of.normalised(config.model.sites)
    except sites_of.SiteError as error:
        raise ConfigError(f"model.sites.{error}") from None
    return Submodules(data.shape, sites, reached)


def not_applicable_key(config: Config, reason: str) -> str:
    """The key of a cell that can't be."""
    return key_of("records", {"not applicable": decides(config), "reason": reason})


AGAIN = "run the sweep again"
"""What helps where a record was made with other code, files or versions."""


def check_not_outdated(folder: Path, reasons: Sequence[Any]) -> None:
    """Raises ConfigError if every row of a table is a hole for that reason: what it was before is better."""
    if reasons and all(str(reason).endswith(AGAIN) for reason in reasons):
        raise ConfigError(
            f"{folder}: its tables stay as they are, since none of it can be looked at now: {reasons[0]}"
        )


@dataclass(frozen=True)
class Restored:
    """What a record speaks of, ready to be passed through again.

    Attributes:
        config: Its settings.
        defended: Its network behind its scheme.
    """

    config: Config
    defended: Defended


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
    network = _network(config, record, record["checkpoint"], where)
    twin = None
    if (other := parts.twin(config)) is not None:
        of_twin = _network(other, record, record["checkpoint"]["twin"], where)
        twin = parts.behind(other, of_twin, {}, record["twin"]["network"])
    scheme = parts.scheme(config)
    defended = parts.behind(config, network, scheme, record["defended"]["network"], twin)
    if defended.draws_itself:
        drawn = {name: found for name, found in record["draws"].items() if name not in ("shared", "twin")}
        defended = defended.handled(finding.Findings.of(drawn).handling)
    return Restored(config, defended)


def _network(
    config: Config, record: Mapping[str, Any], checkpoint: Mapping[str, Any], where: Store
) -> nn.Module:
    """The network of a record, or of its twin, with the very weights that it was made with."""
    here, shape, of = (
        parts.device(config),
        tuple(record["data"]["shape"]),
        record["data"]["classes_of_labels"],
    )
    build, way = parts.builder(config, shape, of), parts.way(config)
    if parts.is_foreign(way):
        training = Plan(build, Defended, way, config.training.seed, None, None, None, {})
        try:
            trained = kept.foreign(training, shape, here, record.get("draws", {}).get("changes", ()))
        except WeightsError as error:
            raise ConfigError(f"training.weights: {str(error).removeprefix('weights: ')}") from None
    else:
        trained = kept.found(checkpoint["key"], where, build, here)
    if trained.sha256 != checkpoint["sha256"]:
        path = where.path("checkpoints", checkpoint["key"])
        raise Unreadable(path, f"not the weights that record {record['key']} was made with")
    return trained.network


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
    then = record.get("defended")
    if then is None:
        raise ConfigError(f"record {record['key']} is of an earlier version; {AGAIN}")
    now = [parts.identity(config, parts.scheme(config), record["checkpoint"]["key"])]
    before = [then]
    if (other := parts.twin(config)) is not None:
        now.append(parts.identity(other, {}, record["checkpoint"]["twin"]["key"]))
        before.append(record["twin"])

    def of(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        networks = [one["network"] for one in some]
        acting = [operation for one in some for _, operation, _ in one["acting"]]
        return {
            "code": [*(one["code"] for one in networks), *(code for _, _, code in acting)],
            "files": [*(one["files"] for one in networks), *(files for _, files, _ in acting)],
        }

    changed = [name for name, value in of(now).items() if value != of(before)[name]]
    if changed or now != before:
        raise ConfigError(
            f"the {' and the '.join(changed) or 'description'} of its network or scheme changed since record "
            f"{record['key']}; {AGAIN}"
        )
    versions = record["versions"]
    others = [
        f"{n} {versions.get(n)}, not {v}" for n, v in fingerprint.versions().items() if versions.get(n) != v
    ]
    if others:
        raise ConfigError(f"record {record['key']} was made with {'; '.join(others)}; {AGAIN}")
    return config
