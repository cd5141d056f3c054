"""An audit of a checked call of the library, or of a checked cell: who is audited, compared with what.

Here belongs the way from these to what a row is asked. What it finds then is in ``analysis.audit``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import cell, door, parts, plan, process, targets
from bench.analysis.audit import asking, stages, tables
from bench.analysis.audit.asked import Asked, Subject
from bench.analysis.audit.asking import BROUGHT, Found
from bench.calling import Call
from bench.checks import ConfigError, check_at_least
from bench.config import AttackConfig, AuditConfig, AuditSettings, Config, CriterionConfig, decides
from bench.given import Named
from bench.plan import Cell
from bench.results import fingerprint
from bench.results.store import Store

UNTARGETED = CriterionConfig("untargeted", "untargeted")

LEAST = 2
"""Images, at least: of one there is no interval."""


@dataclass(frozen=True)
class Ready:
    """A row, checked before anything is trained or attacked.

    Attributes:
        cell: The defence, on its data.
        asked: What is asked.
        baseline: A cell whose network is compared, without what is random in it; None: none is.
        clean: A cell whose test images clean accuracies are of; None: they are of those that are audited.
        attacks: Further attacks, by what they are called: each with Foolbox's call, and what stands for it in
            a key.
        samples: Further samples, and which images they are of; None: there are none.
        settings: All that was set, as JSON-able values, by which rows are told apart.
        section: What stands before keys of what is asked, with its dot.
    """

    cell: Cell
    asked: AuditConfig
    baseline: Cell | None
    clean: Cell | None
    attacks: Mapping[str, tuple[Any, Any]]
    samples: tuple[np.ndarray, np.ndarray] | None
    settings: Mapping[str, Any]
    section: str = ""

    @property
    def store(self) -> Store:
        """Where everything is kept."""
        return self.cell.store

    @property
    def name(self) -> str:
        """In one line."""
        named = tables.names(self.settings).items()
        return " ".join(f"{key}={value}" for key, value in named if value is not None)


NOT_NAMED = ("attack", "criterion", "count", "evaluation", "samples")
"""Settings of a cell that an audit has no use for, or that stand in a column of their own."""


def of_call(
    call: Call,
    config: AuditConfig,
    attacks: Sequence[Named],
    baseline: Call | None,
    samples: Any,
    clean: Call | None,
) -> Ready:
    """The row of one call.

    Args:
        call: What is audited, checked.
        config: What is asked.
        attacks: Further attacks.
        baseline: The same images before a network of which nothing is random; None: there is none.
        samples: Further samples, as ``asking.brought`` takes them; None: none.
        clean: Further images before the same defence; None: none.

    Raises:
        ConfigError: for what can't be used.
    """
    if len(call.images.x) < LEAST:
        raise ConfigError(f"images: expected at least {LEAST}, got {len(call.images.x)}")
    if baseline is not None and baseline.classes != call.classes:
        raise ConfigError(f"baseline: it has {baseline.classes} outputs, and the network has {call.classes}")
    bare = call.bare
    extra = {one.config.name: (one, call.attack_identity(one)) for one in attacks}
    brought = None if samples is None else asking.brought(samples, call.images.x)
    return Ready(
        bare, config, None if baseline is None else baseline.bare, None if clean is None else clean.bare,
        _extra(extra, config, bare), brought, {},
    )  # fmt: skip


def _extra(
    attacks: Mapping[str, tuple[Named, Any]], config: AuditConfig, one: Cell
) -> dict[str, tuple[Any, Any]]:
    """Attacks that are brought along, by names that no stage has.

    Raises:
        ConfigError: for one that refuses the audit's criterion, its ball or its images.
    """
    found = {}
    for name, (named, said) in attacks.items():
        named.config.epsilon = config.epsilon
        try:
            door.ask(named.run, named.config, UNTARGETED, one.dataset.shape)
        except ConfigError as error:
            raise ConfigError(f"attacks: {str(error).partition(': ')[2]}") from None
        found[f"{BROUGHT}: {name}"] = named.run, said
    return found


def prepare(
    config: Config, settings: AuditSettings, baseline: Config | None, attacks: Sequence[AttackConfig]
) -> Ready:
    """Checks a row, its cell and its baseline, without training or attacking anything.

    Raises:
        NotApplicable, ConfigError: as ``plan.prepare``, and for what else can't be used.
    """
    check_at_least("samples", config.samples, LEAST)
    one, trusted = plan.prepare(config, idle=True), config.trusted_modules
    other = None if baseline is None else _baseline(baseline, one)
    extra: dict[str, tuple[Named, Any]] = {}
    for attack in attacks:
        if attack.name in extra:
            raise ConfigError(f"attacks: two are called {attack.name}")
        target = targets.find("attack", attack._target_, trusted)
        named = Named(attack, parts.attack(attack, trusted), target)
        options, code = targets.files(target, attack.options), fingerprint.code(target, type(named.run))
        extra[attack.name] = named, [attack._target_, options, code, parts.attack_besides(attack, named.run)]
    samples = settings.samples
    brought = None if samples is None else asking.brought(samples, one.dataset.x_test[: config.samples])
    said = {key: value for key, value in decides(config).items() if key not in NOT_NAMED}
    return Ready(
        one, settings.asked, other, one, _extra(extra, settings.asked, one), brought,
        {**said, **settings.said}, "audit.",
    )  # fmt: skip


def _baseline(config: Config, one: Cell) -> Cell:
    try:
        found = plan.prepare(config)
    except ConfigError as error:
        raise ConfigError(f"audit.baseline: {error}") from None
    if found.twin_identity is None:
        raise ConfigError(
            "audit.baseline: expected a network of which nothing is random, and it isn't said how that of "
            f"scheme {config.scheme.name} is switched off; name another in it, {{scheme: none, ...}}"
        )
    if found.dataset.fingerprint != one.dataset.fingerprint or found.classes != one.classes:
        raise ConfigError("audit.baseline: expected a network for the same data, of as many outputs")
    return found


def run(ready: Ready, progress: Callable[[str], None]) -> Found:
    """Audits a row: from the store, or now.

    Args:
        ready: The row.
        progress: Called with what is being done, a line each; the first is an estimate.

    Raises:
        ConfigError, TrainingError, AttackError, NotFinite: in one line each.
    """
    one, config = ready.cell, ready.asked
    with process.threads(one.config.threads):
        accuracies = None if ready.clean is None else cell.accuracies(ready.clean)
        seen = cell.seen_of(one)
        count = one.config.samples
        asked = Asked(
            one.store,
            Subject(seen.defended, seen.looker),
            _twin(seen),
            None if ready.baseline is None else _twin(cell.seen_of(ready.baseline)),
            cell.drawn_of(one, seen),
            one.dataset.x_test[:count],
            one.dataset.y_test[:count],
            one.classes,
            config.norm,  # type: ignore[arg-type]
            config.epsilon,
            stages.EFFORTS[config.effort],
            one.config.seed,
            config.claim,
            config.margin,
            ready.attacks,
            {} if ready.samples is None else {BROUGHT: ready.samples},
            progress,
            config.passes,
            config.minutes,
        )
        asking.say_outside(asked)
        try:
            return asking.found(asked, accuracies)
        except ConfigError as error:
            raise ConfigError(f"{ready.section}{error}") from None


def _twin(seen: cell.Seen) -> Subject | None:
    """A network without its randomness; None where that isn't to be had."""
    if seen.twin is None or seen.twin_looker is None:
        return None
    return Subject(seen.twin, seen.twin_looker)
