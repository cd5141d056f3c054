"""One call of the library: what it asks of all of its attacks, and a cell of each.

Here belongs the way from checked arguments to a cell, as ``plan`` is the way from settings to one; and what a
call needs of the process meanwhile. What an argument may be is in ``given``.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import attacking, crafting, door, given, parts, probe, process, targets
from bench.attacks import criteria
from bench.checks import ConfigError
from bench.config import (
    AttackConfig,
    Config,
    CriterionConfig,
    DatasetConfig,
    EvaluationConfig,
    ModelConfig,
    SchemeConfig,
    TrainingConfig,
)
from bench.datasets.arrays import Dataset
from bench.defended import Defended, identity_of, of_twin
from bench.given import Images, Named
from bench.plan import Cell
from bench.results import fingerprint, identity
from bench.results.fingerprint import Unidentified
from bench.results.store import key_of
from bench.training.fit import Plan
from bench.training.pretrained import Pretrained

GIVEN = "given"
"""What stands in a table for what has no file of its own."""


@dataclass(frozen=True)
class Call:
    """What one call asks of all of its attacks, checked.

    Attributes:
        defended: The network behind its scheme.
        images: What is attacked, or looked at.
        criterion: What counts as adversarial.
        goals: A target for each image, shape (n,), if they are the criterion's.
        classes: How many outputs the network has.
        draws, seed, batch_size, threads: As the settings of these names.
        store: The folder that results are kept in.
        kept: Whether it outlasts the call.
        progress: Whether a bar is shown.
        twin: The twin of a network that draws by itself, its passes made as they have to be.
    """

    defended: Defended
    images: Images
    criterion: CriterionConfig
    goals: np.ndarray | None
    classes: int
    draws: int
    seed: int
    batch_size: int
    threads: int
    store: Path
    kept: bool
    progress: bool
    twin: Defended | None = None

    def config(self, attack: AttackConfig) -> Config:
        """Its settings, as a record has them."""
        acting = self.defended.scheme
        return Config(
            dataset=DatasetConfig(name=GIVEN, _target_=""),
            model=ModelConfig(name=type(self.defended.network).__name__, _target_=""),
            training=TrainingConfig(name=GIVEN, _target_=""),
            scheme=SchemeConfig(
                name=called(self.defended),
                sites={s: r for s, (_, r) in acting.items()},
                passes=self.defended.passes,
                combine=self.defended.combine,
                own=self.defended.draws_itself,
            ),
            attack=attack,
            criterion=self.criterion,
            seed=self.seed,
            samples=len(self.images.x),
            count="images",
            evaluation=EvaluationConfig(self.draws),
            batch_size=self.batch_size,
            device=str(self.defended.device),
            threads=self.threads,
            data_dir="",
            output_dir=str(self.store),
            name="",
            transfer=False,
            trusted_modules=[],
        )

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the outputs of the network behind its scheme.

        Raises:
            ConfigError: if results are to be kept, and it can't be told from another.
        """
        one = self.defended
        try:
            if self.kept or one.known is not None:
                return one.identity
        except Unidentified as error:
            raise ConfigError(f"store: {error}; or leave store out, and keep nothing") from None
        rates = {site: rate for site, (_, rate) in one.scheme.items()}
        own = {"is": GIVEN} if one.own is not None else None
        return identity_of(
            GIVEN, one.sites, dict.fromkeys(rates, GIVEN), rates, one.preprocessing, one.outputs, own=own
        )

    @functools.cached_property
    def twin_identity(self) -> dict[str, Any] | None:
        """What decides the outputs of the same without its randomness; None where that isn't to be had.

        Raises:
            ConfigError: as ``identity``.
        """
        if not self.defended.draws_itself:
            return of_twin(self.identity)
        if self.twin is None:
            return None
        try:
            if self.kept or self.twin.known is not None:
                return self.twin.identity
        except Unidentified as error:
            raise ConfigError(f"store: {error}; or leave store out, and keep nothing") from None
        return {**self.identity, "own": {"is": f"the twin of what is {GIVEN}"}}

    @property
    def changing(self) -> tuple[str, ...]:
        """Names of tensors that a pass of the network changes."""
        return () if self.defended.handling is None else self.defended.handling.copies

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The images, as a dataset without a training half."""
        x, y = self.images.x, self.images.y
        content = fingerprint.hash_tensors({"x": torch.from_numpy(x), "y": torch.from_numpy(y)})
        return Dataset(x[:0], y[:0], x, y, self.classes, content)

    def cell(self, named: Named) -> Cell:
        """The cell of one attack.

        Raises:
            NotApplicable: for an attack that can't serve the criterion.
            ConfigError: for one that fails for another reason, or can't be told from another.
        """
        config = self.config(named.config)
        door.ask(named.run, named.config, self.criterion, self.dataset.shape)
        identity, where = self.identity, self.images.of
        samples = {
            "defended": identity,
            "attack": [*self.attack_identity(named), named.config.epsilon],
            "criterion": [self.criterion.kind, self.criterion.k, self.criterion.targets],
            "images": [self.dataset.fingerprint, self.classes, None if where is None else where[1].tolist()],
            "goals": None if self.goals is None else self.goals.tolist(),
            "seed": self.seed,
            "how": [self.batch_size, self.threads],
            "versions": fingerprint.versions(),
            **parts.attack_besides(named.config, named.run),
            **({"twin": self.twin_identity} if self.defended.draws_itself else {}),
        }
        asked = {"samples": samples, "draws": self.draws, "config": [config.attack.name, config.scheme.name]}
        network = self.defended.network
        plan = Plan(lambda: network, Defended, Pretrained(), 0, None, None, None, {})
        key = key_of("records", {**asked, "code": fingerprint.code("bench.cell")})
        return Cell(
            config, self.dataset, self.classes, plan, GIVEN, self.defended.scheme, named.run, identity,
            self.twin_identity, samples, key, self.defended, self.goals, self.progress,
            changing=self.changing,
        )  # fmt: skip

    def attack_identity(self, named: Named) -> list[Any]:
        """What stands for an attack, and its code."""
        if not self.kept:
            return [named.config.name]
        try:
            if named.target is None:
                said: Any = identity.thing(named.run, f"attack {named.config.name}")
            else:
                said = [named.config._target_, targets.files(named.target, named.config.options)]
            return [said, fingerprint.code(crafting, type(named.run), *filter(None, [named.target]))]
        except Unidentified as error:
            raise ConfigError(f"store: {error}; or leave store out, and keep nothing") from None


def called(defended: Defended) -> str:
    """What a scheme is called in a table: its sites and rates."""
    words = [f"{site}={rate:g}" for site, (_, rate) in defended.scheme.items()]
    own = defended.own
    if own is not None and defended.draws_itself:
        named = [own.draw, *own.choose, *own.train_mode, *own.on]
        words += [
            "own",
            *(one if isinstance(one, str) else getattr(one, "__name__", "") for one in named if one),
        ]
    return " ".join(filter(None, words)) or "none"


def call_of(
    defended: Defended,
    images: Any,
    labels: Any,
    *,
    draws: int,
    criterion: Any,
    goals: Any,
    seed: int,
    batch_size: int,
    threads: int,
    store: Path,
    kept: bool,
    progress: bool,
    idle: bool = False,
) -> Call:
    """Checks what a call is given, and passes a few of its images through the network.

    ``idle`` says whether what is to be random may be nothing that an output depends on.

    Raises:
        ConfigError: for what can't be used.
    """
    draws, batch_size, threads = (
        given.integer(key, value, 1)
        for key, value in (("draws", draws), ("batch_size", batch_size), ("threads", threads))
    )
    seed = given.integer("seed", seed)
    chosen = given.criterion(criterion, goals)
    checked = Images.of_tensors(images, labels)
    classes, defended, twin = tried(defended, checked, batch_size, idle)
    if chosen.k is not None and chosen.k >= classes:
        raise ConfigError(f"criterion.k: expected less than the {classes} classes, got {chosen.k}")
    aims = _goals(chosen, checked, goals, classes, seed)
    return Call(
        defended,
        checked,
        chosen,
        aims,
        classes,
        draws,
        seed,
        batch_size,
        threads,
        Path(store),
        kept,
        progress,
        twin,
    )


def tried(
    defended: Defended, images: Images, batch_size: int, idle: bool = False
) -> tuple[int, Defended, Defended | None]:
    """How many outputs the network has; it and its scheme are tried on three images.

    Returns:
        That, and a network that draws by itself, its passes made as they have to be, with its twin.

    Raises:
        ConfigError: for what can't be used.
    """
    name = type(defended.network).__name__
    few = torch.from_numpy(images.x[: probe.IMAGES])
    few = few.repeat(probe.IMAGES, 1, 1, 1)[: probe.IMAGES].to(defended.device)
    labelled = int(images.y.max()) + 1
    twin = defended.twin
    if defended.draws_itself:
        labels = torch.from_numpy(images.y).repeat(probe.IMAGES)[: probe.IMAGES].to(defended.device)
        found = probe.own(defended, name, few, labels, 0, batch_size, trained=not idle)
        classes, defended = found.outputs, found.defended
        if twin is not None and found.twin is not None:
            # what passes of the one change is no value of the other, either
            others = found.scheme.changes if twin.network is defended.network else ()
            copies = tuple(sorted({*found.twin.changes, *others}))
            twin = twin.handled(dataclasses.replace(found.twin.handling, copies=copies))
    else:
        assert twin is not None
        classes = probe.network(twin, name, few, 0)
    if labelled > classes:
        raise ConfigError(
            f"labels: {labelled - 1} found, and {name} has {classes} outputs, 0 to {classes - 1}"
        )
    probe.sites(defended, name, few)
    probe.scheme(defended, called(defended), few, idle)
    return classes, defended, twin


def _goals(chosen: CriterionConfig, images: Images, goals: Any, classes: int, seed: int) -> np.ndarray | None:
    if goals is not None:
        found = given.array("targets", goals)
        if found.shape != images.y.shape or not np.issubdtype(found.dtype, np.integer):
            raise ConfigError(
                f"targets: expected {len(images.y)} integers, one an image, got shape {found.shape}"
            )
        if found.min() < 0 or found.max() >= classes or (found == images.y).any():
            raise ConfigError(
                f"targets: expected classes from 0 to {classes - 1}, none of them an image's label"
            )
        return found.astype(np.int64)
    if images.of is None or chosen.targets == "all":
        return None
    # for each image of the dataset, as the command draws them
    size, places = images.of
    labels = np.zeros(size, dtype=np.int64)
    labels[places] = images.y
    return criteria.random_targets(labels, classes, fingerprint.derive_seed(seed, "targets"))[places]


@contextlib.contextmanager
def undisturbed(one: Defended, device: str | torch.device | None, threads: int) -> Iterator[None]:
    """What a call needs of the process and of the network, which are then as they were."""
    if not isinstance(one, Defended):
        raise ConfigError(f"defended: expected a bench.Defended, got {type(one).__name__}")
    threads = given.integer("threads", threads, 1)
    before = one.device
    if before.type == "meta":
        raise ConfigError("defended: its network is on the meta device, where there are no weights")
    where = before if device is None else parts.device_named(str(device))
    with (
        # which lets gradients be taken, too
        torch.inference_mode(False),
        # what is found isn't to depend on where the call stands
        torch.autocast(where.type, enabled=False),
        attacking.settings_kept(),
        process.seeded(0, where),
        process.threads(threads),
    ):
        torch.set_default_dtype(torch.float32)
        try:
            if where != before:
                one.network.to(where)
            yield
        finally:
            if where != before:
                one.network.to(before)
