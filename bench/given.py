"""What the library is given as objects, checked: a network behind a defence, images, attacks, a criterion.

Here belongs what an argument may be, and the one line said when it is something else. What is done with all
of them together is in ``calling``.
"""

import copy
import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from bench import defended, parts, targets
from bench.checks import ConfigError, check_at_least, check_choice, number
from bench.choices import conf_dir
from bench.combining import COMBINE
from bench.composing import compose, one_line
from bench.config import AttackConfig, Config, CriterionConfig, OperationConfig, SchemeConfig
from bench.defended import Preprocessing
from bench.own import Own, OwnError
from bench.reader import STRANGER
from bench.schemes.strength import Operation, strength_of
from bench.sites import SiteError


class Defended(defended.Defended):
    """A network behind a random defence.

    Args:
        network: Any module that gives logits, shape (n, classes), for images in [0, 1], shape (n, channels,
            height, width); used as it is, and left as it is.
        sites: For each site's name the path of a submodule, whose output is replaced there, or several;
            ``""`` is the image.
        scheme: For each site's name a rate of dropout in [0, 1), or ``(operation, rate)``: an operation is
            called with values (n, ...), the rate and a ``torch.Generator``, from which alone it draws, and
            returns values of the same shape; or it is one of ``"dropout"``, ``"noise"``,
            ``"activation_pruning"``, ``"resize_pad"``. Or the name of a scheme of conf/scheme, whose sites
            have to be named. Or a ``bench.Own``: the network draws by itself. None: nothing is random.
        bounds: Of the images: (0, 1) is all there is for now; other ranges go by ``preprocessing``.
        preprocessing: ``{"mean": …, "std": …}``, numbers or one for each channel: what the network sees is
            ``(image - mean) / std``.
        outputs: Where the logits are, if the network gives more: an index, a key, or ``{"from": path}``;
            ``{"stacked": n}``, or both, where n draws of the batch are in one output, draw by draw.
        passes: How many passes make one answer where something is random; None: as many as the named scheme
            says, or one.
        combine: How they, or stacked draws, make it: ``mean_probability``, as MC dropout averages,
            ``mean_logit``, or ``vote``, as randomized smoothing does; None: as the named scheme says, or the
            first.

    Attributes:
        twin: The same network without its randomness, a ``Defended``; None where a ``bench.Own`` doesn't say
            how that is switched off.

    Raises:
        ConfigError: for a path that isn't there, a site that isn't named, or a rate out of its range.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Mapping[str, str | Sequence[str]] | None = None,
        scheme: Mapping[str, float | tuple[Operation | str, float]] | Own | str | None = None,
        *,
        bounds: tuple[float, float] = (0, 1),
        preprocessing: Mapping[str, Any] | Preprocessing | None = None,
        outputs: Any = None,
        passes: int | None = None,
        combine: str | None = None,
    ):
        if not isinstance(network, nn.Module):
            raise ConfigError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
        if not isinstance(bounds, Sequence) or tuple(bounds) != (0, 1):
            raise ConfigError(
                f"bounds: expected (0, 1), got {bounds}: for a network of images in another range, give "
                'images in [0, 1] and preprocessing={"mean": ..., "std": ...}'
            )
        if sites is not None and not isinstance(sites, Mapping):
            raise ConfigError(f"sites: expected a mapping from names to paths of submodules, got {sites!r}")
        acting = named_scheme(scheme)
        said = settings("scheme", scheme).scheme if isinstance(scheme, str) else SchemeConfig()
        passes = said.passes if passes is None else passes
        combine = said.combine if combine is None else combine
        passes = integer("passes", passes, 1)
        check_choice("combine", combine, COMBINE)
        if not isinstance(preprocessing, Mapping | Preprocessing | None):
            raise ConfigError(
                f'preprocessing: expected a mapping such as {{"mean": 0.5, "std": 1}}, got {preprocessing!r}'
            )
        try:
            if isinstance(preprocessing, Mapping):
                for key in preprocessing:
                    check_choice("preprocessing", str(key), ("mean", "std"))
                preprocessing = Preprocessing(**preprocessing)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"preprocessing: {' '.join(str(error).split())}") from None
        try:
            super().__init__(
                network, sites, acting, preprocessing=preprocessing, outputs=outputs, passes=passes,
                combine=combine,
            )  # fmt: skip
        except SiteError as error:
            where = "" if str(error).startswith("outputs:") else "sites."
            line = error.line if isinstance(error, OwnError) else f"{where}{error}"
            raise ConfigError(line) from None

    @classmethod
    def of(cls, one: defended.Defended) -> "Defended":
        """One that was made from settings."""
        made = cls.__new__(cls)
        vars(made).update(vars(one))
        return made


@dataclass(frozen=True)
class Images:
    """Images and labels, checked.

    Attributes:
        x: float32 in [0, 1], shape (n, channels, height, width).
        y: int64, shape (n,).
        of: How many images the dataset has that they are of, and their places in it; None: not known.
    """

    x: np.ndarray
    y: np.ndarray
    of: tuple[int, np.ndarray] | None = None

    @classmethod
    def of_tensors(cls, images: Any, labels: Any) -> "Images":
        """Of tensors or arrays.

        Raises:
            ConfigError: for anything else, or another shape, type or range.
        """
        x, y = array("images", images), array("labels", labels)
        if x.ndim != 4 or not x.size or not np.issubdtype(x.dtype, np.floating):
            raise ConfigError(
                "images: expected floats in [0, 1] of shape (n, channels, height, width), at least one, "
                f"got {x.dtype} of shape {x.shape}"
            )
        if not np.isfinite(x).all() or x.min() < 0 or x.max() > 1:
            raise ConfigError(f"images: expected values in [0, 1], got {x.min():.9g} to {x.max():.9g}")
        if y.shape != x.shape[:1] or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
            raise ConfigError(
                f"labels: expected integers from 0 of shape ({len(x)},), one for each image, "
                f"got {y.dtype} of shape {y.shape}"
            )
        place = getattr(labels, PLACE, None)
        return cls(np.ascontiguousarray(x, dtype=np.float32), y.astype(np.int64), place)


PLACE = "_place"
"""An attribute of labels that come from a dataset: its size, and their places in it."""


def array(key: str, given: Any) -> np.ndarray:
    try:
        return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        words = " ".join(str(error).split())
        raise ConfigError(
            f"{key}: expected a tensor or an array, got {type(given).__name__} ({words})"
        ) from None


@dataclass(frozen=True)
class Named:
    """An attack and what it is called.

    Attributes:
        config: Its name, its epsilon, and the criteria that it can serve.
        run: The attack, with Foolbox's call.
        target: What it was made from; None: it was given as an object.
    """

    config: AttackConfig
    run: Any
    target: Any = None


def attacks(given: Any, epsilon: float | None = None) -> list[Named]:
    """The attacks of a call: a sequence, or a mapping from names of one's own.

    Args:
        given: They.
        epsilon: That of all of them; None: each has its own.

    Raises:
        ConfigError: for what is no attack, two of one name, or a pair with another epsilon than all have.
    """
    if isinstance(given, str) or not isinstance(given, Sequence | Mapping) or not given:
        raise ConfigError(
            f"attacks: expected a list, or a mapping from names, of at least one, got {given!r}"
        )
    if isinstance(given, Mapping):
        found = [_attack(one, str(name)) for name, one in given.items()]
    else:
        found = [_attack(one) for one in given]
    names = [one.config.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"attacks: two are called {name}; give a mapping with names of your own")
    if epsilon is not None:
        for one in given.values() if isinstance(given, Mapping) else given:
            if isinstance(one, tuple) and one[1] not in (None, epsilon):
                raise ConfigError(f"attacks: expected no epsilon but the audit's, {epsilon:g}, got {one[1]}")
    return found


def _attack(given: Any, name: str | None = None) -> Named:
    attack, *epsilon = given if isinstance(given, tuple) else (given,)
    if len(epsilon) > 1:
        raise ConfigError(f"attacks: expected an attack, or a pair of one and its epsilon, got {given!r}")
    if isinstance(attack, str):
        config = settings("attack", attack).attack
        made = parts.attack(config, STRANGER.trusted)
        target = targets.find("attack", config._target_, STRANGER.trusted)
    elif isinstance(attack, type) or not callable(attack):
        raise ConfigError(
            f"attacks: expected names of conf/attack or attacks with Foolbox's call, got {attack!r}"
        )
    else:
        # a function is called by its own name, not by that of all functions
        called = getattr(attack, "__name__", type(attack).__name__)
        config = AttackConfig(called, f"{type(attack).__module__}.{type(attack).__qualname__}")
        made, target = attack, None
    if epsilon:
        config.epsilon = epsilon[0]
    config.name = name or config.name
    config.check()
    return Named(config, made, target)


def criterion(given: Any, goals: Any) -> CriterionConfig:
    """What counts as adversarial: a name of conf/criterion, or a mapping of its settings.

    Raises:
        ConfigError: for anything else, or targets beside another kind than ``targeted``.
    """
    if isinstance(given, str):
        found = settings("criterion", given).criterion
    elif isinstance(given, Mapping):
        for key in given:
            check_choice("criterion", str(key), ("kind", "k", "targets"))
        if given.get("k") is not None:
            integer("criterion.k", given["k"])
        found = CriterionConfig(name=str(given.get("kind", "")), **{"kind": "", **given})
        found.check()
    else:
        raise ConfigError(f"criterion: expected a name of conf/criterion, or a mapping, got {given!r}")
    if goals is not None and (found.kind != "targeted" or found.targets == "all"):
        raise ConfigError(f"targets: only for criterion targeted, got them for {found.name}")
    return found


def settings(group: str, name: str) -> Config:
    """The settings of a choice of conf/; a copy of one's own.

    Raises:
        ConfigError: for a name that isn't there.
    """
    if not name or name != Path(name).name:
        raise ConfigError(f"{group}: expected a name of conf/{group}, got {name!r}")
    try:
        # a file that was written to since is another one
        stamps = tuple(path.stat().st_mtime_ns for path in sorted(Path(conf_dir(), group).glob("*.yaml")))
        return copy.deepcopy(_composed(group, name, os.environ.get("BENCH_DATA_DIR"), stamps))
    except Exception as error:
        raise ConfigError(one_line(error)) from None


@functools.cache
def _composed(group: str, name: str, data_dir: str | None, stamps: tuple[int, ...]) -> Config:
    # a tenth of a second, which many calls would add up
    return compose([f"{group}='{name}'"])


def named_scheme(given: Any) -> dict[str, tuple[Operation, float]] | Own:
    """What acts where: a scheme's name, or from sites' names to rates, or to operations and rates.

    Of a network that draws by itself it is an ``Own``, of which ``sites`` says that.

    Raises:
        ConfigError: for anything else.
    """
    if given is None:
        return {}
    if isinstance(given, Own):
        sites = named_scheme(given.sites)
        assert not isinstance(sites, Own)
        if not isinstance(given.twin, nn.Module | defended.Defended | None):
            raise ConfigError(
                f"scheme.twin: expected a torch.nn.Module or a bench.Defended, got {given.twin!r}"
            )
        stand_ins = {path: _stand_in(path, one) for path, one in given.stand_ins.items()}
        return dataclasses.replace(given, sites=sites, stand_ins=stand_ins, own=given.itself)
    if isinstance(given, str):
        config = settings("scheme", given)
        drawn, at = parts.own(config), dict(parts.scheme(config))
        return at if drawn is None else dataclasses.replace(drawn, sites=at)
    if not isinstance(given, Mapping):
        raise ConfigError(f"scheme: expected a name of conf/scheme, or a mapping from sites, got {given!r}")
    found = {}
    for site, one in given.items():
        key = f"scheme.{site}"
        operation, rate = one if isinstance(one, tuple | list) and len(one) == 2 else ("dropout", one)
        if isinstance(operation, str):
            named = OperationConfig.of(key, operation)
            operation = targets.make("scheme.operation", named._target_, {}, STRANGER.trusted)
        if isinstance(operation, type) or not callable(operation):
            raise ConfigError(f"{key}: expected a rate, or (operation, rate), got {one!r}")
        strength = number(key, rate)
        try:
            strength_of(operation).check(key, strength)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        found[str(site)] = operation, strength
    return found


def _stand_in(path: str, given: Any) -> Any:
    if not isinstance(given, type):
        return given
    try:
        return given()
    except Exception as error:
        words = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"scheme.stand_ins.{path}: {given.__name__} can't be made ({words})") from None


def integer(key: str, value: Any, least: int | None = None) -> int:
    """An integer, of NumPy's too.

    Raises:
        ConfigError: for anything else, or one less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{key}: expected an integer, got {value!r}")
    if least is not None:
        check_at_least(key, int(value), least)
    return int(value)


def pair(key: str, value: Any) -> tuple[Any, Any]:
    """Images and their labels, each yet to be checked.

    Raises:
        ConfigError: for anything else than two.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ConfigError(f"{key}: expected a pair, images and their labels, got {type(value).__name__}")
    first, second = value
    return first, second


def not_random(key: str, value: Any) -> None:
    """Raises ConfigError unless it is a network behind a scheme of which nothing is random."""
    if not isinstance(value, defended.Defended):
        raise ConfigError(f"{key}: expected a bench.Defended, got {type(value).__name__}")
    if value.random:
        raise ConfigError(f"{key}: expected a network of which nothing is random")


def folder(key: str, value: Any) -> Path:
    """A folder, which may begin with ``~``.

    Raises:
        ConfigError: for what is no path.
    """
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{key}: expected a folder, got {value!r}")
    return Path(value).expanduser()
