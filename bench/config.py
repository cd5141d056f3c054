"""The settings of one cell, typed, and every check of them that can be made before work starts.

Here belongs what a key may hold and the one line said when it holds something else. What the
settings make happen does not.

What stands under "Attributes" is what docs/reference/settings.md says of a key (``scripts/reference.py``).
"""

import dataclasses
import functools
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import MISSING, DictConfig, OmegaConf

from bench.checks import ConfigError, check_at_least, check_choice, check_finite, check_rate, fraction, number
from bench.combining import COMBINE

KINDS = ("untargeted", "targeted", "topk")


def _named(value: Any) -> Any:
    """The same with words for keys, at any depth, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(name): _named(one) for name, one in value.items()}
    return [_named(one) for one in value] if isinstance(value, list) else value


@dataclass
class DatasetConfig:
    """Images and labels.

    Attributes:
        name: What tables call it; by default the file's name.
        _target_: A loader, ``loader(data_dir, **options)``, as ``bench.datasets`` describes.
        options: What the loader is called with.
        train_size: Of how many training images, the first ones, a network is trained; null: of all.
        epochs: Of training, where ``training.epochs`` doesn't say otherwise.
        batch_size: How many images pass at once where ``batch_size`` doesn't say otherwise.
    """

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    train_size: int | None = None
    epochs: int | None = None
    batch_size: int = 500

    def __post_init__(self) -> None:
        # YAML reads a folder's name such as 7 as a number, which can't be sorted among words
        self.options = _named(self.options)


@dataclass
class ModelConfig:
    """A network, and where something can be put into it.

    Attributes:
        name: What tables call it; by default the file's name.
        _target_: A class, a function or a class's method that gives a ``torch.nn.Module``.
        options: What that is called with; ``shape`` and ``classes`` are added if it has parameters of these
            names.
        sites: For each site's name the path of a submodule, or a list of paths; ``""`` is the image.
        preprocessing: ``mean`` and ``std``, a number or one for each channel, of images in [0, 1]; null:
            none.
        outputs: Where the logits are if the network gives more than a tensor: an index, a key, or
            ``{from: PATH}``, a submodule's output, or ``{stacked: 10}``, ten draws of the batch in one
            output, draw by draw, or both; null: what it gives, or ``logits`` in it.
        train_rates: Dropout in training: a rate in [0, 1) for each site's name.
    """

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    sites: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] | None = None
    outputs: Any = None
    train_rates: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        for site, rate in self.train_rates.items():
            check_rate(f"model.train_rates.{site}", rate)
        for name in self.preprocessing or {}:
            check_choice("model.preprocessing", name, ("mean", "std"))
        if isinstance(self.outputs, Mapping):
            for name in self.outputs or ("",):
                check_choice("model.outputs", name, ("from", "stacked"))
            stacked = self.outputs.get("stacked", 1)
            if isinstance(stacked, bool) or not isinstance(stacked, int):
                raise ConfigError(f"model.outputs.stacked: expected an integer, got {stacked!r}")
            check_at_least("model.outputs.stacked", stacked, 1)
        elif not isinstance(self.outputs, int | str | None):
            raise ConfigError(f"model.outputs: expected an index, a key, or from: path, got {self.outputs!r}")


@dataclass
class OperationConfig:
    """``_target_`` is a class whose instances are operations as ``bench.schemes`` describes."""

    _target_: str = "bench.schemes.Dropout"
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, given: Any) -> "OperationConfig":
        """From the short name of one of this project's own, or ``_target_`` and ``options``.

        Raises:
            ConfigError: for anything else.
        """
        if isinstance(given, OperationConfig):
            return given
        if isinstance(given, str):
            check_choice(key, given, tuple(OPERATIONS))
            return cls(OPERATIONS[given])
        if not isinstance(given, Mapping) or not isinstance(given.get("_target_"), str):
            raise ConfigError(f"{key}: expected one of {', '.join(OPERATIONS)}, or a _target_, got {given!r}")
        for name in given:
            check_choice(key, name, ("_target_", "options"))
        options = given.get("options") or {}
        if not isinstance(options, Mapping):
            raise ConfigError(f"{key}.options: expected names and values, got {options!r}")
        return cls(given["_target_"], dict(options))


OPERATIONS = {
    "dropout": "bench.schemes.Dropout",
    "noise": "bench.schemes.Noise",
    "activation_pruning": "bench.schemes.ActivationPruning",
    "resize_pad": "bench.schemes.ResizeAndPad",
}
"""Short names of this project's own operations."""


def draws_itself(scheme: Mapping[str, Any]) -> bool:
    """Whether a scheme's settings say that the network draws by itself."""
    said = any(scheme.get(key) for key in ("own", "draw", "choose", "train_mode", "on"))
    return said or any(scheme.get(key) is not None for key in ("off", "twin"))


@dataclass
class SchemeConfig:
    """A defence: which sites are random at test time, by which operation, and how strongly; or how a network
    draws by itself.

    Attributes:
        name: What tables call it; by default the file's name.
        sites: For each site's name a number, the rate of the scheme's own operation, or ``{operation,
            rate}``. Has to be given, unless the network draws by itself; ``{}`` is a scheme without any.
        operation: ``dropout`` (the default), ``noise``, ``activation_pruning``, ``resize_pad``, or
            ``_target_`` and ``options``: a class whose instances are called with values, rate and generator.
        train_sites: Where ``train_rate`` sets dropout; null: at the scheme's own sites, of its own operation.
        passes: How many passes of the network make one answer, at least 1.
        combine: How they, and stacked outputs, make it: ``mean_probability`` (MC dropout), ``mean_logit`` or
            ``vote`` (randomized smoothing).
        own: Whether the network draws by itself, which ``draw``, ``choose``, ``train_mode``, ``on``, ``off``
            and ``twin`` say, too.
        draw: What draws anew before each pass: a method of the network, or of each submodule that has it, by
            its name; or a function that is called with the network, by its dotted name. null: the pass does.
        choose: Attributes that are set before each pass to one of several values, at random: for each name a
            list, on every module that has it.
        probabilities: Of these values, in their order, for each name or for the only one; null: all are as
            likely.
        each: Whether each module has a draw of ``choose`` of its own; else one is for all.
        train_mode: Modules in training mode at test time, by their class (a dotted name) or their path: their
            own flag alone.
        on: Attributes that are set for the defence before each pass, on every module that has them; a tensor
            is filled.
        off: Attributes that are set for the twin, the network without its randomness, likewise; ``{}`` where
            that is enough; or the path of a submodule that alone is the twin; null: there is no twin.
        twin: Another file of conf/model that is the twin, in place of ``off``; its weights come about as the
            network's do.
        seeded: Whether two passes of one seed must be equal; false for a network that draws from what no
            seed reaches.
        train_draws: Whether the network draws in training as it does at test time; else it is trained as its
            twin, where ``off`` says which attributes that has.
        stand_ins: For a submodule without a gradient, by its path, what the gradient is taken of instead:
            ``identity``, or a module or a function by its dotted name (BPDA).
    """

    name: str = ""
    # to be given: an empty file would be no defence under a defence's name
    sites: dict[str, Any] = MISSING
    # as values, since a short name may stand in their place
    operation: Any = field(default_factory=lambda: dataclasses.asdict(OperationConfig()))
    train_sites: list[str] | None = None
    passes: int = 1
    combine: str = COMBINE[0]
    own: bool = False
    draw: str | None = None
    choose: dict[str, Any] = field(default_factory=dict)
    probabilities: Any = None
    each: bool = False
    train_mode: list[str] = field(default_factory=list)
    on: dict[str, Any] = field(default_factory=dict)
    off: Any = None
    twin: Any = None
    seeded: bool = True
    train_draws: bool = False
    stand_ins: dict[str, str] = field(default_factory=dict)

    @property
    def itself(self) -> bool:
        """Whether the network draws by itself."""
        return draws_itself(dataclasses.asdict(self))

    def check(self) -> None:
        """Raises ConfigError for what is no scheme, and replaces what stands for a number by it."""
        if not self.itself:
            said = {"probabilities": self.probabilities, "each": self.each, "train_draws": self.train_draws}
            for key, given in (*said.items(), ("seeded", not self.seeded)):
                if given:
                    raise ConfigError(f"scheme.{key}: only where the network draws by itself; add own: true")
        if self.off is not None and not isinstance(self.off, str | Mapping):
            raise ConfigError(
                f"scheme.off: expected names and values, or a submodule's path, got {self.off!r}"
            )
        if self.twin is not None:
            if self.off is not None:
                raise ConfigError("scheme.twin: scheme.off says already what the twin is; give one of them")
            if not isinstance(self.twin, Mapping):
                raise ConfigError(f"scheme.twin: expected a file of conf/model, got {self.twin!r}")
            model: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), self.twin))
            model.check()
            self.twin = dataclasses.asdict(model)
        check_at_least("scheme.passes", self.passes, 1)
        check_choice("scheme.combine", self.combine, COMBINE)
        self.operation = OperationConfig.of("scheme.operation", self.operation)
        for site, given in self.sites.items():
            key = f"scheme.sites.{site}"
            if isinstance(given, Mapping):
                for name in given:
                    check_choice(key, name, ("operation", "rate"))
                if "rate" not in given:
                    raise ConfigError(f"{key}.rate: has to be given, and isn't")
                own = given.get("operation", self.operation)
                self.sites[site] = {
                    "operation": OperationConfig.of(f"{key}.operation", own),
                    "rate": number(f"{key}.rate", given["rate"]),
                }
            else:
                self.sites[site] = number(key, given)

    def at(self) -> dict[str, tuple[OperationConfig, float]]:
        """At each site its operation, and how strongly it acts."""
        return {
            site: (given["operation"], given["rate"]) if isinstance(given, dict) else (self.operation, given)
            for site, given in self.sites.items()
        }


@dataclass
class AttackConfig:
    """An attack.

    Attributes:
        name: What tables call it; by default the file's name.
        _target_: A class whose instances follow Foolbox's call, ``attack(model, inputs, criterion,
            epsilons=...)``.
        options: What it is made with.
        epsilon: The size of the perturbation in the attack's own norm, over 0; null: the smallest that
            succeeds.
        criteria: The kinds of criterion that it can serve (``untargeted``, ``targeted``, ``topk``), for
            attacks that don't refuse the others themselves; null: whatever it doesn't refuse.
        eot: Expectation over transformation: how many draws of the defence make one gradient, at least 1. An
            attack with an option ``gradient_draws`` averages by itself; of Foolbox's gradient descents (PGD,
            BIM, FGM) it is the mean of so many gradients; any other attack sees the mean of so many draws'
            log-probabilities in place of logits. null: what its options say.
    """

    name: str = ""
    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)
    epsilon: Any = None
    criteria: list[str] | None = None
    eot: int | None = None

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        if self.epsilon is not None:
            self.epsilon = number("attack.epsilon", self.epsilon)
        if self.epsilon is not None and self.epsilon <= 0:
            raise ConfigError(f"attack.epsilon: expected a number over 0, or null, got {self.epsilon}")
        for kind in self.criteria or ():
            check_choice("attack.criteria", kind, KINDS)
        if self.eot is not None:
            check_at_least("attack.eot", self.eot, 1)


@dataclass
class CriterionConfig:
    """What counts as adversarial.

    Attributes:
        name: What tables call it; by default the file's name.
        kind: ``untargeted``, ``targeted`` or ``topk``.
        k: For ``topk`` alone: among how many of the largest outputs the true label must not be; at least 1.
        targets: For ``targeted`` alone: ``random`` (one wrong class an image, the default) or ``all`` (each
            of them in turn).
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
    """How the network's weights come about: by Adam, its learning rate falling to 0 along a cosine.

    Attributes:
        name: What tables call it; by default the file's name.
        _target_: A class whose instances train a network, as ``bench.training`` says.
        epochs: At least 1; the dataset's own by default.
        batch_size: Of a step, at least 1.
        learning_rate: The first one, over 0, up to 1.
        seed: Of initial weights, the order of images, and dropout in training.
        options: What ``_target_`` is made with; on the command line and in files they stand beside the
            others.
    """

    name: str = ""
    _target_: str = MISSING
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        if self.epochs is not None:
            check_at_least("training.epochs", self.epochs, 1)
        if self.batch_size is not None:
            check_at_least("training.batch_size", self.batch_size, 1)
        if self.learning_rate is not None and not 0 < self.learning_rate <= 1:
            raise ConfigError(f"training.learning_rate: expected over 0, up to 1, got {self.learning_rate}")
        self.options = {key: fraction(value) for key, value in self.options.items()}


@dataclass
class EvaluationConfig:
    """How results are measured.

    Attributes:
        draws: Fresh passes of each adversarial image, at least 1.
    """

    draws: int = MISSING

    def check(self) -> None:
        """Raises ConfigError for a value that is out of its range."""
        check_at_least("evaluation.draws", self.draws, 1)


@dataclass
class Config:
    """One cell of the matrix, and where its results go.

    Attributes:
        dataset: A file of conf/dataset, or of your own folder.
        model: A file of conf/model.
        training: A file of conf/training.
        scheme: A file of conf/scheme.
        attack: A file of conf/attack.
        criterion: A file of conf/criterion.
        train_rate: The rate at the scheme's sites in training; null: the model's own rates.
        test_rate: The rate at the scheme's sites at test time; null: the scheme's own rates.
        seed: Of targets, attack and evaluation; training has its own.
        samples: How many images are attacked, at least 1: the first test images that the network gets right
            without its scheme.
        count: What ``samples`` counts: ``images``, or ``successes`` (an image on which the attack fails is
            left out, and the next one is tried).
        evaluation: How results are measured.
        batch_size: Images attacked or passed at a time, at least 1; part of the result, and never changed
            silently.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: Of one cell, at least 1; part of the result, since sums in another order differ in the last
            bit.
        data_dir: Where the files of datasets are; may begin with ``~``.
        output_dir: Where the store and the sweeps' folders are; may begin with ``~``.
        name: Of the sweep's folder in ``output_dir``, which gets its tables and figures; not ``store``.
        transfer: Whether a sweep ends in its cross recognition: ``true`` or ``false``.
        trusted_modules: The top-level packages that a ``_target_`` may name.
    """

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    scheme: SchemeConfig = field(default_factory=SchemeConfig)
    attack: AttackConfig = field(default_factory=AttackConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    train_rate: Any = None
    test_rate: Any = None
    seed: int = MISSING
    samples: int = MISSING
    count: str = MISSING
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
        for key, value in _as_set(self).items():
            if key == "scheme":
                # an attribute may well be set to an infinity: the logarithm of no noise
                value = {name: v for name, v in value.items() if name not in ("choose", "on", "off")}
            check_finite(key, value)
        for part in (self.model, self.training, self.scheme, self.attack, self.criterion, self.evaluation):
            part.check()
        for key in ("train_rate", "test_rate"):
            if getattr(self, key) is not None:
                setattr(self, key, number(key, getattr(self, key)))
        check_at_least("samples", self.samples, 1)
        check_choice("count", self.count, ("images", "successes"))
        if self.criterion.targets == "all" and self.count != "images":
            raise ConfigError(f"count: expected images where criterion.targets is all, got {self.count}")
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("threads", self.threads, 1)
        if not re.fullmatch(r"cuda:\d+", self.device):
            check_choice("device", self.device, ("auto", "cpu", "cuda", "mps"))
        parts = Path(self.name).parts
        if not parts or Path(self.name).is_absolute() or ".." in parts:
            raise ConfigError(f"name: expected a folder's name inside output_dir, got {self.name!r}")
        if parts[0] == "store":
            raise ConfigError("name: 'store' is where records and checkpoints are; choose another")


MARGIN = 5.0
"""Points that a gain must be worth to count in an audit: our own choice."""

LARGEST = {"linf": 1.0, "l2": math.inf}
"""An audit's norms, and the largest ball of each: a larger one holds no other image."""

EFFORTS = ("quick", "standard", "thorough")
"""How much an audit does."""


@dataclass
class AuditConfig:
    """What an audit asks of a defence, beside the settings of its cell.

    Attributes:
        norm: Of the ball, ``linf`` or ``l2``.
        epsilon: Its radius, over 0; for ``linf`` up to 1.
        effort: ``quick`` (at most 2,000 passes an image), ``standard`` (20,000) or ``thorough`` (200,000).
        claim: An accuracy that somebody states, %, which is refuted where less was found; null: none.
        margin: Points from which on a gain counts, over 0; our own choice.
        passes: Of an image, at most; what there are none for is left out, and said; null: what the effort
            takes.
        minutes: Of a row, at most, by passes that are timed first; null: whatever it takes.
    """

    norm: str = "linf"
    epsilon: Any = 0.1
    effort: str = "quick"
    claim: Any = None
    margin: Any = MARGIN
    passes: Any = None
    minutes: Any = None

    def check(self, section: str = "") -> None:
        """Replaces what stands for a number by it.

        Args:
            section: What stands before the keys of a section, with its dot.

        Raises:
            ConfigError: for a value that is out of its range.
        """
        for key, choices in (("norm", tuple(LARGEST)), ("effort", EFFORTS)):
            if not isinstance(getattr(self, key), str):
                raise ConfigError(f"{key}: expected one of {', '.join(choices)}, got {getattr(self, key)!r}")
            check_choice(key, getattr(self, key), choices)
        self.epsilon = number("epsilon", self.epsilon)
        largest = LARGEST[self.norm]
        if not 0 < self.epsilon < math.inf or self.epsilon > largest:
            upper = "" if math.isinf(largest) else f", up to {largest:g} for {self.norm}"
            raise ConfigError(f"epsilon: expected a number over 0{upper}, got {self.epsilon:g}")
        for key in ("claim", "margin", "passes", "minutes"):
            given = getattr(self, key)
            if given is None and key != "margin":
                continue
            value = number(f"{section}{key}", given)
            setattr(self, key, value)
            if key == "claim" and not 0 <= value <= 100:
                raise ConfigError(f"{section}claim: expected an accuracy in %, 0 to 100, got {value:g}")
            if key != "claim" and not 0 < value < math.inf:
                raise ConfigError(f"{section}{key}: expected a number over 0, got {value:g}")


@dataclass
class AuditSettings:
    """An audit's settings beside those of its cell, as the command takes them.

    Attributes:
        asked: What is asked.
        attacks: Names of conf/attack, or of your own folder, whose samples join the plan's: ``+mine``, or
            ``[mine,other]``; they are asked for the audit's ball. null: none.
        baseline: Settings of the defender's that differ, such as ``{train_rate: 0}``, of a network that is
            compared besides, with nothing random in it; null: there is none.
        samples: A file of further samples, which ``--samples`` names: an npz of ``images`` (float32 in
            [0, 1], shape (m, channels, height, width)) and ``indices`` into the audited images; null: there
            is none.
    """

    asked: AuditConfig
    attacks: list[str]
    baseline: dict[str, Any] | None
    samples: str | None

    KEYS: ClassVar[tuple[str, ...]] = ("norm", "epsilon", "effort", "attacks", "audit")
    """What it is made of."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "AuditSettings":
        """From what was composed under ``KEYS``.

        Raises:
            ConfigError: for a value that is out of its range.
        """
        section = dict(given["audit"])
        baseline, samples = section.pop("baseline"), section.pop("samples")
        asked = AuditConfig(given["norm"], given["epsilon"], given["effort"], **section)
        asked.check("audit.")
        named = given["attacks"]
        named = [named] if isinstance(named, str) else [] if named is None else named
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            raise ConfigError(f"attacks: expected names of conf/attack, such as +mine, got {named!r}")
        if baseline is not None and not isinstance(baseline, Mapping):
            raise ConfigError(
                f"audit.baseline: expected settings that differ, such as {{train_rate: 0}}, got {baseline!r}"
            )
        if samples is not None and not isinstance(samples, str):
            raise ConfigError(f"audit.samples: expected a file, got {samples!r}")
        attacks = [one.removeprefix("+") for one in named]
        return cls(asked, attacks, None if baseline is None else dict(baseline), samples)

    @property
    def said(self) -> dict[str, Any]:
        """They, under the keys by which they are given."""
        found = dataclasses.asdict(self.asked)
        section = {key: found.pop(key) for key in ("claim", "margin", "passes", "minutes")}
        section |= {"baseline": self.baseline, "samples": self.samples}
        return {**found, "attacks": list(self.attacks), "audit": section}


@functools.cache
def _schema() -> DictConfig:
    schema: DictConfig = OmegaConf.structured(Config)
    return schema


def typed(values: Mapping[str, Any] | DictConfig) -> Config:
    """Settings that were composed, or that a record holds, typed and checked.

    Raises:
        OmegaConfBaseException: for an unknown key, or a value of the wrong type.
        ConfigError: for a value that is out of its range, or that has to be given and isn't.
    """
    plain: Any = OmegaConf.to_container(values, resolve=True) if isinstance(values, DictConfig) else values
    given = dict(plain)
    training = dict(given.get("training") or {})
    own = {f.name for f in dataclasses.fields(TrainingConfig)} - {"options"}
    options = {key: training.pop(key) for key in list(training) if key not in own}
    given["training"] = {**training, "options": options}
    scheme = dict(given.get("scheme") or {})
    if draws_itself(scheme) and scheme.get("sites", "???") == "???":
        given["scheme"] = {**scheme, "sites": {}}
    merged = OmegaConf.merge(_schema(), given)
    for key in sorted(OmegaConf.missing_keys(merged)):
        empty = "; sites: {} is a scheme without any, own: true a network that draws by itself"
        empty = empty if key == "scheme.sites" else ""
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
    return {key: value for key, value in _as_set(config).items() if key not in NO_RESULT}


def _as_set(config: Config) -> dict[str, Any]:
    """All settings under the keys by which they are given."""
    found = dataclasses.asdict(config)
    found["training"] |= found["training"].pop("options")
    return found
