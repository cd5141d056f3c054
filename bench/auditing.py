"""An audit of a checked call of the library, or of a checked cell: who is audited, compared with what.

Here belongs the way from these to a ``Defence``. What is made of one is in ``analysis.audit``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import cell, looks, parts, plan, probe, process, targets
from bench.analysis.audit import asking
from bench.analysis.audit.asked import Subject
from bench.analysis.audit.asking import Defence, Tables
from bench.calling import Call, called
from bench.checks import ConfigError
from bench.config import AttackConfig, AuditConfig, AuditSettings, Config
from bench.defended import Defended
from bench.finding import Findings
from bench.given import Images, Named
from bench.looks import Looker
from bench.measuring import passes
from bench.plan import Cell
from bench.results import fingerprint
from bench.results.fingerprint import Unidentified, derive_seed
from bench.results.store import Store
from bench.training import kept

NAMES = (
    "dataset",
    "model",
    "training",
    "scheme",
    "train_rate",
    "test_rate",
    "norm",
    "epsilon",
    "effort",
    "seed",
)
"""Columns that name a row."""

CLEAN_DRAWS = 20
"""Passes of more images by which clean accuracy is told, where one draw is all images'."""


def of_call(
    call: Call,
    config: AuditConfig,
    attacks: Sequence[Named],
    baseline: Defended | None,
    samples: Any,
    clean: tuple[Any, Any] | None,
    progress: Callable[[str], None],
) -> Tables:
    """The audit of one call.

    Args:
        call: What is audited, checked.
        config: What is asked.
        attacks: Further attacks.
        baseline: What it is compared with, beside its twin.
        samples: Further samples, an npz or a mapping; None: none.
        clean: Further images and labels; None: accuracies are of those that are audited.
        progress: Called with what is being done.

    Raises:
        ConfigError: for what can't be used.
    """
    store = Store(call.store / "store")
    scheme, drawn = _drawn(call, store)
    twin = call.twin if call.defended.draws_itself else scheme.defended.twin
    of_twin = call.twin_identity
    subject = None
    if twin is not None and of_twin is not None:
        same = twin.network is call.defended.network
        weights = scheme.looker.weights if same else kept.hash_of(twin.network)
        subject = Subject(twin, Looker(of_twin, weights, call.batch_size, call.threads))
    names = ("", type(call.defended.network).__name__, "", called(call.defended), None, None)
    asked = (config.norm, config.epsilon, config.effort, call.seed)
    defence = Defence(
        store, scheme, subject, _baseline(call, baseline), drawn, call.images.x, call.images.y, call.classes,
        call.seed, dict(zip(NAMES, (*names, *asked), strict=True)), _extra(call, attacks),
        _brought(samples, call.images.x), _accuracies(call, scheme, twin, drawn, clean),
    )  # fmt: skip
    return asking.tables_of(defence, config, progress)


def _drawn(call: Call, store: Store) -> tuple[Subject, Findings | None]:
    """The defence, its passes made as they have to be, and what its draws are like."""
    defended = call.defended
    weights = kept.hash_of(defended.network, call.changing)
    looker = Looker(call.identity, weights, call.batch_size, call.threads)
    drawn = looks.draws(store, looker, defended, call.images.x, call.images.y)
    if drawn is not None and defended.draws_itself:
        probe.check_draws(defended, drawn, trained=False)
        defended = defended.handled(drawn.handling)
    return Subject(defended, looker), drawn


def _baseline(call: Call, baseline: Any) -> Subject | None:
    if baseline is None:
        return None
    if not isinstance(baseline, Defended) or baseline.random:
        given = "one that is random" if isinstance(baseline, Defended) else type(baseline).__name__
        raise ConfigError(f"baseline: expected a bench.Defended of which nothing is random, got {given}")
    if baseline.device != call.defended.device:
        raise ConfigError(
            f"baseline: expected its network where the other is, {call.defended.device}, it is on "
            f"{baseline.device}"
        )
    few = torch.from_numpy(call.images.x[: probe.IMAGES]).to(baseline.device)
    outputs = probe.network(baseline, type(baseline.network).__name__, few, 0)
    if outputs != call.classes:
        raise ConfigError(f"baseline: it has {outputs} outputs, and the network has {call.classes}")
    try:
        identity: Mapping[str, Any] = baseline.identity if call.kept else {"is": "the baseline"}
    except Unidentified as error:
        raise ConfigError(f"store: {error}; or leave store out, and keep nothing") from None
    weights = kept.hash_of(baseline.network)
    return Subject(baseline, Looker(identity, weights, call.batch_size, call.threads))


def _extra(call: Call, attacks: Sequence[Named]) -> dict[str, tuple[Any, Any]]:
    """Attacks that are brought along, each with what stands for it in a key."""
    found = {}
    for one in attacks:
        if "untargeted" not in (one.config.criteria or ["untargeted"]):
            raise ConfigError(f"attacks: {one.config.name} can't serve an audit, which is untargeted")
        found[one.config.name] = (one.run, call.attack_identity(one))
    return found


def _brought(samples: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    if samples is None:
        return None
    if isinstance(samples, str | Path):
        return asking.brought_along(Path(samples).expanduser(), x)
    if not isinstance(samples, Mapping) or set(samples) != {"images", "indices"}:
        raise ConfigError("samples: expected the path of an npz, or a mapping of images and indices")
    images, indices = (
        part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
        for part in (samples["images"], samples["indices"])
    )
    return asking.brought(images, indices, x)


def _accuracies(
    call: Call, scheme: Subject, twin: Defended | None, drawn: Findings | None, clean: Any
) -> tuple[float, float | None] | None:
    """Clean accuracies of the defence and its twin on images that are given for that; None: none are."""
    if clean is None:
        return None
    if not isinstance(clean, Sequence) or len(clean) != 2:
        raise ConfigError("clean: expected images and their labels")
    try:
        more = Images.of_tensors(*clean)
    except ConfigError as error:
        raise ConfigError(f"clean: {error}") from None
    if more.x.shape[1:] != call.images.x.shape[1:] or more.y.max() >= call.classes:
        raise ConfigError(
            f"clean: expected images of shape (n, {', '.join(map(str, call.images.x.shape[1:]))}) and labels "
            f"from 0 to {call.classes - 1}"
        )
    draws = CLEAN_DRAWS if drawn is not None and drawn.shared else 1

    def accuracy(one: Defended, count: int) -> float:
        images, labels = (torch.from_numpy(part).to(one.device) for part in (more.x, more.y))
        with torch.no_grad(), one.model(derive_seed(call.seed, "clean")) as model:
            right = [passes.correct(model, images, labels, call.batch_size) for _ in range(count)]
        return float(np.mean(right))

    return accuracy(scheme.defended, draws), None if twin is None else accuracy(twin, 1)


@dataclass(frozen=True)
class Ready:
    """A row of the command, checked before anything is trained.

    Attributes:
        cell: The defence, on its data.
        asked: What is asked.
        baseline: A network without the scheme; None: there is none.
        attacks: Further attacks.
        samples: Further samples; None: none.
    """

    cell: Cell
    asked: AuditConfig
    baseline: Cell | None
    attacks: Sequence[Named]
    samples: tuple[np.ndarray, np.ndarray] | None

    @property
    def config(self) -> Config:
        """The cell's settings."""
        return self.cell.config

    @property
    def store(self) -> Store:
        """Where everything is kept."""
        return self.cell.store

    @property
    def names(self) -> dict[str, Any]:
        """The columns that name the row."""
        config, asked = self.config, self.asked
        of = (
            config.dataset.name, config.model.name, config.training.name, config.scheme.name,
            config.train_rate, config.test_rate, asked.norm, asked.epsilon, asked.effort, config.seed,
        )  # fmt: skip
        return dict(zip(NAMES, of, strict=True))

    @property
    def name(self) -> str:
        """In one line."""
        return " ".join(f"{key}={value}" for key, value in self.names.items() if value is not None)


def prepare(
    config: Config, settings: AuditSettings, baseline: Config | None, attacks: Sequence[AttackConfig]
) -> Ready:
    """Checks a row, its cell and its baseline, without training or attacking anything.

    Raises:
        ConfigError: for what can't be used.
    """
    ready = plan.prepare(config, idle=True)
    x, _ = _first(ready)
    other = None
    if baseline is not None:
        try:
            other = plan.prepare(baseline)
        except ConfigError as error:
            raise ConfigError(f"audit.baseline: {error}") from None
        if other.dataset.fingerprint != ready.dataset.fingerprint or other.classes != ready.classes:
            raise ConfigError("audit.baseline: expected a network for the same data")
    named = [_named(one, config) for one in attacks]
    names = [one.config.name for one in named]
    if len(set(names)) < len(names):
        raise ConfigError(f"attacks: expected each name once, got {', '.join(names)}")
    samples = None if settings.samples is None else asking.brought_along(Path(settings.samples), x)
    return Ready(ready, settings.asked, other, named, samples)


def _named(attack: AttackConfig, config: Config) -> Named:
    made = parts.attack(attack, config.trusted_modules)
    if "untargeted" not in (attack.criteria or ["untargeted"]):
        raise ConfigError(f"attacks: {attack.name} can't serve an audit, which is untargeted")
    return Named(attack, made, targets.find("attack", attack._target_, config.trusted_modules))


def _first(ready: Cell) -> tuple[np.ndarray, np.ndarray]:
    count = ready.config.samples
    return ready.dataset.x_test[:count], ready.dataset.y_test[:count]


def run(ready: Ready, progress: Callable[[str], None]) -> Tables:
    """Audits a row: from the store, or now.

    Args:
        ready: The row.
        progress: Called with what is being done.

    Raises:
        ConfigError, TrainingError, AttackError, NotFinite: in one line each.
    """
    one = ready.cell
    with process.threads(one.config.threads):
        seen = cell.seen_of(one)
        drawn = seen.drawn
        if drawn is None:
            data = one.dataset
            drawn = looks.draws(one.store, seen.looker, seen.defended, data.x_test, data.y_test)
        twin = None
        if seen.twin is not None and seen.twin_looker is not None:
            twin = Subject(seen.twin, seen.twin_looker)
        baseline = None
        if ready.baseline is not None:
            other = cell.seen_of(ready.baseline)
            if other.defended.random:
                raise ConfigError("audit.baseline: expected a network of which nothing is random")
            baseline = Subject(other.defended, other.looker)
        extra = {
            named.config.name: (
                named.run,
                [
                    named.config._target_,
                    targets.files(named.target, named.config.options),
                    fingerprint.code(named.target, type(named.run)),
                    parts.attack_besides(named.config, named.run),
                ],
            )
            for named in ready.attacks
        }
        defence = Defence(
            one.store, Subject(seen.defended, seen.looker), twin, baseline, drawn, *_first(one), one.classes,
            one.config.seed, ready.names, extra, ready.samples, cell.accuracies(one, seen),
        )  # fmt: skip
        try:
            return asking.tables_of(defence, ready.asked, progress)
        except ConfigError as error:
            raise ConfigError(f"audit.{error}") from None
