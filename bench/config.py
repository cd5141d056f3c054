"""The settings of one cell, typed, and every check of them that can be made before work starts.

Here belongs what a key may hold and the one line said when it holds something else. What the
settings make happen does not.
"""

import dataclasses
import difflib
import importlib
import inspect
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from omegaconf import MISSING, DictConfig, OmegaConf

GROUPS = ("dataset", "model", "scheme", "attack", "criterion")
"""What is chosen by the name of a file."""

KINDS = ("untargeted", "targeted", "topk")


class ConfigError(CompactHydraException):
    """A setting that can't be used: one line that names the key and what is allowed."""


class NotApplicable(ConfigError):
    """Settings that are each fine but have no meaning together; in a sweep such a cell is left out."""


@dataclass
class DatasetConfig:
    """``_target_`` is a loader as ``bench.datasets`` describes; ``name`` defaults to the file's."""

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    train_size: int | None = None
    epochs: int = MISSING


@dataclass
class ModelConfig:
    """``_target_`` is a class called with (shape, classes, **options) that lists its ``sites``."""

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    # dropout in training, by site
    train_rates: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        for site, rate in self.train_rates.items():
            check_rate(f"model.train_rates.{site}", rate)


@dataclass
class OperationConfig:
    """``_target_`` is a class whose instances are operations as ``bench.schemes`` describes."""

    _target_: str = "bench.schemes.Dropout"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class WayConfig:
    """``_target_`` is a class whose instances are ways of training as ``bench.training`` describes."""

    _target_: str = "bench.training.Plain"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class SchemeConfig:
    """A defence: which sites are random at test time, at which rate, by which operation; how it is trained.

    ``train_sites`` are where ``train_rate`` sets dropout; null: the scheme's own sites and operation.
    """

    name: str = ""
    # to be given, as {} where nothing is random: an empty file would be no defence under a defence's name
    sites: dict[str, float] = MISSING
    operation: OperationConfig = field(default_factory=OperationConfig)
    train_sites: list[str] | None = None
    training: WayConfig = field(default_factory=WayConfig)

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        for site, rate in self.sites.items():
            check_rate(f"scheme.sites.{site}", rate)


@dataclass
class AttackConfig:
    """``_target_`` is an attack that follows Foolbox's call, made with ``options``.

    ``epsilon`` null asks for the smallest perturbation. ``criteria`` lists the kinds it can serve,
    for attacks that don't refuse the others themselves; null: whatever it doesn't refuse.
    """

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    epsilon: float | None = None
    criteria: list[str] | None = None

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        if self.epsilon is not None and self.epsilon <= 0:
            raise ConfigError(f"attack.epsilon: expected a number over 0, or null, got {self.epsilon}")
        for kind in self.criteria or ():
            check_choice("attack.criteria", kind, KINDS)


@dataclass
class CriterionConfig:
    """What counts as adversarial; ``k`` is for ``topk`` alone, ``targets`` for ``targeted`` alone.

    ``targets`` is ``random`` (one wrong class an image, the default) or ``all`` (each of them in turn).
    """

    name: str = ""
    kind: str = MISSING
    k: int | None = None
    targets: str | None = None

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        check_choice("criterion.kind", self.kind, KINDS)
        if self.kind == "topk" and (self.k is None or self.k < 1):
            raise ConfigError(f"criterion.k: expected at least 1 for topk, got {self.k}")
        if self.kind != "topk" and self.k is not None:
            raise ConfigError(f"criterion.k: only for kind topk, got {self.k} for {self.kind}; use null")
        if self.targets is not None:
            check_choice("criterion.targets", self.targets, ("random", "all"))
            if self.kind != "targeted":
                raise ConfigError(
                    f"criterion.targets: only for kind targeted, got {self.targets} for {self.kind}; use null"
                )


@dataclass
class TrainingConfig:
    """How the network is fitted: Adam, its rate falling to 0 along a cosine."""

    epochs: int = MISSING
    batch_size: int = MISSING
    learning_rate: float = MISSING
    seed: int = MISSING

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        check_at_least("training.epochs", self.epochs, 1)
        check_at_least("training.batch_size", self.batch_size, 1)
        if not 0 < self.learning_rate <= 1:
            raise ConfigError(f"training.learning_rate: expected over 0, up to 1, got {self.learning_rate}")


@dataclass
class EvaluationConfig:
    """How results are measured: ``draws`` fresh passes of each adversarial image."""

    draws: int = MISSING

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        check_at_least("evaluation.draws", self.draws, 1)


@dataclass
class Config:
    """One cell of the matrix, and where its results go."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    scheme: SchemeConfig = field(default_factory=SchemeConfig)
    attack: AttackConfig = field(default_factory=AttackConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    train_rate: float | None = None
    test_rate: float | None = None
    seed: int = MISSING
    samples: int = MISSING
    count: str = MISSING
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    batch_size: int = MISSING
    device: str = MISSING
    threads: int = MISSING
    data_dir: str = MISSING
    output_dir: str = MISSING
    name: str = MISSING
    transfer: bool = MISSING
    trusted_modules: list[str] = MISSING

    def check(self) -> None:
        """Raises ConfigError for the first value that is out of its range."""
        for key, value in dataclasses.asdict(self).items():
            check_finite(key, value)
        for part in (self.model, self.scheme, self.attack, self.criterion, self.training, self.evaluation):
            part.check()
        check_rate("train_rate", self.train_rate)
        check_rate("test_rate", self.test_rate)
        check_at_least("samples", self.samples, 1)
        check_choice("count", self.count, ("images", "successes"))
        if self.criterion.targets == "all" and self.count != "images":
            raise ConfigError(f"count: expected images where criterion.targets is all, got {self.count}")
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("threads", self.threads, 1)
        check_choice("device", self.device, ("auto", "cpu", "cuda"))
        parts = Path(self.name).parts
        if not parts or Path(self.name).is_absolute() or ".." in parts:
            raise ConfigError(f"name: expected a folder's name inside output_dir, got {self.name!r}")
        if parts[0] == "store":
            raise ConfigError("name: 'store' is where records and checkpoints are; choose another")


def register() -> None:
    """Makes the schema known to Hydra, as the first entry of the defaults list, and ``~`` to its folders."""
    schema = OmegaConf.structured(Config)
    _open(schema)
    ConfigStore.instance().store(name="schema", node=schema)
    OmegaConf.register_new_resolver("bench.expanduser", os.path.expanduser, replace=True)


def _open(node: DictConfig) -> None:
    """Lets options, sites and rates have entries that no file names, which Hydra else asks a ``+`` for.

    A typo is still found: what takes the options is asked which ones they are, and the model for its sites.
    """
    for key in node:
        part = node._get_node(key)
        if isinstance(part, DictConfig):
            if dataclasses.is_dataclass(OmegaConf.get_type(part)):
                _open(part)
            else:
                OmegaConf.set_struct(part, False)


def typed(values: Mapping[str, Any] | DictConfig) -> Config:
    """Settings that were composed, or that a record holds, typed and checked.

    Raises:
        OmegaConfBaseException: for an unknown key, or a value of the wrong type.
        ConfigError: for a value that is out of its range, or that has to be given and isn't.
    """
    merged = OmegaConf.merge(OmegaConf.structured(Config), values)
    for key in sorted(OmegaConf.missing_keys(merged)):
        empty = "; sites: {} is a scheme without any" if key == "scheme.sites" else ""
        raise ConfigError(f"{key}: has to be given, and isn't{empty}")
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    config.check()
    for key in ("data_dir", "output_dir"):
        setattr(config, key, os.path.expanduser(getattr(config, key)))
    return config


def check_finite(key: str, value: Any) -> None:
    """Raises ConfigError for a number, at any depth of ``value``, that is infinite or not a number."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            check_finite(f"{key}.{name}", part)
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            check_finite(f"{key}.{place}", part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}: expected a finite number, got {value}")


def check_rate(key: str, rate: float | None) -> None:
    """Raises ConfigError unless ``rate`` is None or in [0, 1)."""
    if rate is not None and not 0 <= rate < 1:
        raise ConfigError(f"{key}: expected a rate in [0, 1), got {rate}")


def check_at_least(key: str, value: int, least: int) -> None:
    """Raises ConfigError unless ``value`` is at least ``least``."""
    if value < least:
        raise ConfigError(f"{key}: expected at least {least}, got {value}")


def check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Raises ConfigError unless ``value`` is one of ``choices``."""
    if value not in choices:
        close = difflib.get_close_matches(value, choices, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"{key}: expected one of {', '.join(choices)}, got {value}{hint}")


def check_sites(key: str, sites: Iterable[str], known: Sequence[str], model: str) -> None:
    """Raises ConfigError for a site that the model doesn't have."""
    for site in sites:
        if site not in known:
            allowed = ", ".join(known) or "none, the class lists no sites"
            raise ConfigError(f"{key}.{site}: {model} has no such site; allowed: {allowed}")


def find(key: str, target: str, trusted: Sequence[str]) -> Any:
    """The object that a ``_target_`` names.

    Raises:
        ConfigError: if its top-level module is not among ``trusted``, or it can't be imported.
    """
    module, _, name = target.rpartition(".")
    if module.partition(".")[0] not in trusted:
        raise ConfigError(
            f"{key}._target_: {target} is outside trusted_modules ({', '.join(trusted)}); "
            f"add yours: trusted_modules=[{','.join(trusted)},...]"
        )
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key}._target_: can't import {target} ({error})") from None


def make(key: str, target: str, options: Mapping[str, Any], trusted: Sequence[str]) -> Any:
    """The instance that ``_target_`` and ``options`` describe.

    Raises:
        ConfigError: as ``find`` does, or for an option that the class doesn't take or refuses.
    """
    found = find(key, target, trusted)
    check_options(key, found, options)
    try:
        return found(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}.options: {error}") from None


def check_options(key: str, function: Any, options: Mapping[str, Any], given: Sequence[str] = ()) -> None:
    """Raises ConfigError for an option that ``function`` doesn't take, or that it is ``given`` anyway."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    allowed = [p.name for p in parameters if p.name not in given]
    for name in options:
        if name not in allowed:
            raise ConfigError(
                f"{key}.options.{name}: {function.__name__} takes no such option; "
                f"allowed: {', '.join(allowed) or 'none'}"
            )
