"""The settings of one cell, typed, and every check of them that can be made before work starts.

Here belongs what a key may hold and the one line said when it holds something else. What the
settings make happen does not.
"""

import argparse
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
from omegaconf.errors import OmegaConfBaseException

from bench import fingerprint

KINDS = ("untargeted", "targeted", "topk")


class ConfigError(CompactHydraException):
    """A setting that can't be used: one line that names the key and what is allowed."""


class NotApplicable(ConfigError):
    """Settings that are each fine but have no meaning together; in a sweep such a cell is left out."""


def _named(value: Any) -> Any:
    """The same with words for keys, at any depth, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(name): _named(one) for name, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value


@dataclass
class DatasetConfig:
    """``_target_`` is a loader as ``bench.datasets`` describes; ``name`` defaults to the file's."""

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    train_size: int | None = None
    epochs: int | None = None
    # how many images pass at once; null: the configuration's own
    batch_size: int | None = None

    def __post_init__(self) -> None:
        # YAML reads a folder's name such as 7 as a number, which can't be sorted among words
        self.options = _named(self.options)


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


NO_RESULT = ("device", "data_dir", "output_dir", "name", "transfer", "trusted_modules")
"""Settings that can't change a result, or don't on purpose: they are in no key, no record and no manifest."""


def decides(config: Config) -> dict[str, Any]:
    """The settings that decide a result, as JSON-able values."""
    return {key: value for key, value in dataclasses.asdict(config).items() if key not in NO_RESULT}


@dataclass(frozen=True)
class Reader:
    """Who reads records: what a record can't say by itself, since it must not decide what code runs.

    Attributes:
        trusted: Top-level packages that its ``_target_`` may name.
        data_dir: Where data is; None: the environment variable ``BENCH_DATA_DIR``, or ``data``.
    """

    trusted: tuple[str, ...] = ("bench", "foolbox")
    data_dir: str | None = None

    def config(self, values: Mapping[str, Any]) -> Config:
        """The settings of a record.

        Args:
            values: Its ``config``.

        Raises:
            ConfigError: if they are not of this version.
        """
        rest = {
            "device": "auto",
            "data_dir": self.data_dir or os.environ.get("BENCH_DATA_DIR", "data"),
            "output_dir": "outputs",
            "name": "sweep",
            "transfer": True,
            "trusted_modules": list(self.trusted),
        }
        data = dict(values["dataset"])
        # nor what is fetched, and to where
        data["options"] = {k: v for k, v in data["options"].items() if k not in ("url", "urls")}
        try:
            return typed({**values, **rest, "dataset": data})
        except OmegaConfBaseException as error:
            words = " ".join(str(error).split())
            raise ConfigError(f"its settings are of another version ({words})") from None

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Gives a command the options that ``of`` reads."""
        parser.add_argument("--data-dir", help="where data is (default: BENCH_DATA_DIR, or data)")
        parser.add_argument(
            "--trust",
            action="append",
            default=[],
            metavar="PACKAGE",
            help="a package of yours whose networks and operations may run; may be given again",
        )

    @classmethod
    def of(cls, given: argparse.Namespace) -> "Reader":
        """The reader that a command's options name."""
        return cls((*cls.trusted, *given.trust), given.data_dir)


STRANGER = Reader()
"""Somebody who trusts nothing but this project and Foolbox."""


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


ROOMS = {
    "dataset": ("bench.datasets",),
    "model": ("bench.models",),
    "scheme.operation": ("bench.schemes", "bench.defences"),
    "scheme.training": ("bench.training", "bench.defences"),
    "attack": ("bench.attacks",),
}
"""Where this project's own are, by the key that names them."""


def find(key: str, target: str, trusted: Sequence[str]) -> Any:
    """The class or function that a ``_target_`` names.

    An attack is a subclass of Foolbox's ``Attack``, or is defined in a trusted package. Anything else is
    defined in the trusted package that names it: what a module has merely imported is not its own, and
    Foolbox is trusted for attacks alone. This project's own come from the room of their kind.

    Args:
        key: The settings' section, one of ``ROOMS``.
        target: A dotted name.
        trusted: Top-level packages that may be named.

    Raises:
        ConfigError: if it may not be named, or can't be imported.
    """
    module, _, name = target.rpartition(".")
    package = module.partition(".")[0]
    if package not in trusted:
        raise ConfigError(
            f"{key}._target_: {target} is outside trusted_modules ({', '.join(trusted)}); "
            f"add yours: trusted_modules=[{','.join(trusted)},...]"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    # a module of the user's can raise anything at all, a SyntaxError to begin with
    except Exception as error:
        raise ConfigError(
            f"{key}._target_: can't import {target} ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from None
    refused = _refused(key, found, package, trusted)
    if refused:
        raise ConfigError(f"{key}._target_: {target} {refused}")
    return found


def _refused(key: str, found: Any, package: str, trusted: Sequence[str]) -> str:
    """Why something may not be named by a key; empty where it may."""
    if not callable(found):
        return "is not a class or a function"
    if key == "attack" and isinstance(found, type):
        # not above: settings are checked without attacks too
        from foolbox.attacks.base import Attack

        if issubclass(found, Attack):
            return ""
    if package == "foolbox":
        return "is not one of Foolbox's attacks, for which alone foolbox is trusted"
    home = getattr(found, "__module__", None) or ""
    if package == "bench":
        rooms = ROOMS[key]
        if not any(home == room or home.startswith(f"{room}.") for room in rooms):
            return f"is not defined in {' or '.join(rooms)}"
        return ""
    of = home.partition(".")[0]
    if of != package and not (key == "attack" and of in trusted and of not in ("bench", "foolbox")):
        return f"is defined in {home or 'no module'}, outside the package that names it ({package})"
    return ""


def make(key: str, target: str, options: Mapping[str, Any], trusted: Sequence[str]) -> Any:
    """The instance that ``_target_`` and ``options`` describe.

    Raises:
        ConfigError: as ``find`` does, or for an option that the class doesn't take or refuses.
    """
    found = find(key, target, trusted)
    check_options(key, found, options)
    try:
        made = found(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}.options: {' '.join(str(error).split())}") from None
    except Exception as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{key}: {target} can't be made ({type(error).__name__}: {words})") from None
    if not callable(made):
        raise ConfigError(f"{key}._target_: {target} gives {type(made).__name__}, which can't be called")
    return made


def files(found: Any, options: Mapping[str, Any]) -> Any:
    """What options say, and defaults that name a file, with the content of every file that they name."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    found_in = {p.name: fingerprint.contents(p.default) for p in parameters if p.name not in options}
    return {**fingerprint.with_contents(options), **{name: read for name, read in found_in.items() if read}}


def check_options(key: str, function: Any, options: Mapping[str, Any], given: Sequence[str] = ()) -> None:
    """Raises ConfigError for an option that ``function`` doesn't take, or that it is ``given`` anyway."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # some that are written in C don't say what they take
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    allowed = [p.name for p in parameters if p.name not in given]
    for name in options:
        if name not in allowed:
            raise ConfigError(
                f"{key}.options.{name}: {function.__name__} takes no such option; "
                f"allowed: {', '.join(allowed) or 'none'}"
            )
