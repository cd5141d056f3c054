"""What a cell's settings stand for: its data, its network, its scheme, and how its weights come about.

Here belongs the way from checked settings to objects, and to what stands for them in a key. The order in
which things are checked, and keys, are ``plan``'s business.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from bench import building, datasets, targets
from bench import sites as paths_of
from bench.attacks import eot
from bench.checks import ConfigError, NotApplicable
from bench.config import AttackConfig, Config, ModelConfig, OperationConfig, SchemeConfig
from bench.datasets.arrays import Dataset
from bench.defended import (
    AS_IT_IS,
    Defended,
    Preprocessing,
    Scheme,
    identity_of,
    is_random,
    of_twin,
    own_identity,
)
from bench.own import IDENTITY, Own, OwnError
from bench.results import fingerprint
from bench.results.store import Store
from bench.schemes import Dropout, Operation, strength_of
from bench.training import fit
from bench.training.fit import Plan


def store(config: Config) -> Store:
    """The store that a configuration names."""
    return Store(Path(config.output_dir) / "store")


def device(config: Config) -> torch.device:
    """The device that a configuration asks for, of the machine that this is.

    Raises:
        ConfigError: where there is no such device.
    """
    return device_named(config.device)


def device_named(name: str) -> torch.device:
    """The device of a name: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        ConfigError: where there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        asked = torch.device(name)
    except RuntimeError:
        asked = torch.device("meta")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["auto", "cpu", *(f"cuda:{i}" for i in range(gpus))]
    if torch.backends.mps.is_available():
        there.append("mps")
    if asked.type == "cuda" and (asked.index or 0) >= gpus:
        which = "GPU" if not gpus else name
        raise ConfigError(f"device: there is no {which} here; allowed: {', '.join(there)}")
    if asked.type not in ("cpu", "cuda", "mps") or (asked.type == "mps" and "mps" not in there):
        raise ConfigError(f"device: there is no {name} here; allowed: {', '.join(there)}")
    return asked


def way(config: Config) -> Any:
    """How weights come about, made.

    Raises:
        ConfigError: for a setting that it needs and hasn't got, or has and doesn't take.
    """
    chosen = config.training
    made = targets.make("training", chosen._target_, chosen.options, config.trusted_modules)
    for name in ("epochs", "batch_size", "learning_rate"):
        given = getattr(chosen, name)
        if is_foreign(made):
            if given is not None:
                raise ConfigError(f"training.{name}: {chosen.name} fits nothing; leave it out")
        elif given is None:
            raise ConfigError(f"training.{name}: has to be given, and isn't")
    return made


def is_foreign(made: Any) -> bool:
    """Whether a way of training fits nothing: the weights are somebody else's."""
    return bool(getattr(made, "foreign", False))


def sites(config: Config) -> dict[str, tuple[str, ...]]:
    """Each site's paths.

    Raises:
        ConfigError: for a site without any, or a rate in training at one that there isn't.
        NotApplicable: for a scheme's site that there isn't.
    """
    try:
        found = paths_of.normalised(config.model.sites)
    except paths_of.SiteError as error:
        raise ConfigError(f"model.sites.{error}") from None
    for site in config.model.train_rates:
        if site not in found:
            raise ConfigError(_no_site(f"model.train_rates.{site}", config, found))
    for key, named in (("sites", config.scheme.sites), ("train_sites", config.scheme.train_sites or ())):
        for site in named:
            if site not in found:
                raise NotApplicable(_no_site(f"scheme.{key}.{site}", config, found))
    return found


def _no_site(key: str, config: Config, known: Collection[str]) -> str:
    allowed = ", ".join(known) or "none, its file gives no sites"
    return f"{key}: {config.model.name} has no such site; allowed: {allowed}"


def scheme(config: Config) -> Scheme:
    """What acts at test time; one rate for all of its sites only where it means the same at each.

    Raises:
        ConfigError: for an operation that can't be made, or a strength out of its range.
        NotApplicable: for ``train_rate`` or ``test_rate`` where there is no site, or sites differ.
    """
    at = config.scheme.at()
    own = config.scheme.train_sites is None
    for key, named in (("train_rate", at if own else config.scheme.train_sites), ("test_rate", at)):
        if getattr(config, key) is None:
            continue
        if not named:
            raise NotApplicable(f"{key}: scheme {config.scheme.name} has no site to set a rate at; use null")
        if (key == "test_rate" or own) and any(o != next(iter(at.values()))[0] for o, _ in at.values()):
            raise NotApplicable(
                f"{key}: the sites of scheme {config.scheme.name} have different operations; use null, and "
                "scheme.sites.SITE.rate"
            )
    if config.scheme.operation not in [operation for operation, _ in at.values()]:
        # a setting that no site is affected by is looked at all the same
        _operation("scheme.operation", config.scheme.operation, config)
    made: dict[str, tuple[Operation, float]] = {}
    for site, (operation, rate) in at.items():
        inside = isinstance(config.scheme.sites[site], dict)
        key = f"scheme.sites.{site}.operation" if inside else "scheme.operation"
        acting = _operation(key, operation, config)
        _check_strength(f"scheme.sites.{site}{'.rate' if inside else ''}", acting, rate)
        if config.test_rate is not None:
            _check_strength("test_rate", acting, config.test_rate)
        made[site] = acting, rate if config.test_rate is None else config.test_rate
    return made


def own(config: Config, twin: Any = None) -> Own | None:
    """How the network draws by itself, and what stands in for its submodules; None where nothing is said.

    Args:
        config: The settings.
        twin: The network that is the twin, where another file of conf/model is named.

    Raises:
        ConfigError: for a name that can't be used, or what contradicts itself.
    """
    scheme = config.scheme
    if not scheme.itself and not scheme.stand_ins:
        return None
    draw: Any = scheme.draw
    if draw is not None and "." in draw:
        draw = _named("draw", draw, config)
    train_mode = [
        _named("train_mode", one, config) if _is_dotted(one, config) else one for one in scheme.train_mode
    ]
    for one in train_mode:
        if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, nn.Module)):
            raise ConfigError(f"scheme.train_mode: {getattr(one, '__name__', one)} is not a class of modules")
    stand_ins = {path: _stand_in(path, name, config) for path, name in scheme.stand_ins.items()}
    keys = ("choose", "probabilities", "each", "on", "off", "seeded")
    try:
        return Own(
            draw=draw,
            train_mode=train_mode,
            stand_ins=stand_ins,
            twin=twin,
            own=scheme.itself,
            **{key: getattr(scheme, key) for key in keys},
        )
    except ValueError as error:
        raise ConfigError(f"scheme.{' '.join(str(error).split())}") from None


FREE = "torch.nn"
"""Whose classes may be named though no file says that they are trusted: they are modules and nothing else."""


def _is_dotted(name: str, config: Config) -> bool:
    """Whether it is a class's name rather than a path in the network."""
    top, _, rest = name.partition(".")
    return bool(rest) and (top == "torch" or top in config.trusted_modules)


def _named(key: str, name: str, config: Config) -> Any:
    try:
        if key != "draw" and name.startswith(f"{FREE}."):
            return targets.find_in(FREE, f"scheme.{key}", name)
        return targets.find(f"scheme.{key}", name, config.trusted_modules)
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"scheme.{key}._target_", f"scheme.{key}", 1)) from None


def _stand_in(path: str, name: str, config: Config) -> Any:
    if name == IDENTITY:
        return name
    key = f"scheme.stand_ins.{path}"
    if "." not in name:
        raise ConfigError(
            f"{key}: expected {IDENTITY}, or the dotted name of a module or a function, got {name}"
        )
    found = _named("stand_ins", name, config)
    if not isinstance(found, type):
        return found
    try:
        made = found()
    except Exception as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{key}: {name} can't be made ({type(error).__name__}: {words})") from None
    if not callable(made):
        raise ConfigError(f"{key}: {name} gives {type(made).__name__}, which can't be called")
    return made


def twin(config: Config) -> Config | None:
    """The settings of the twin, where another file of conf/model is named; None where none is."""
    if config.scheme.twin is None:
        return None
    model = ModelConfig(**config.scheme.twin)
    none = SchemeConfig(name="none", sites={})
    # a rate in training is at the scheme's sites, which the twin hasn't got
    return dataclasses.replace(config, model=model, scheme=none, train_rate=None, test_rate=None)


def _operation(key: str, operation: OperationConfig, config: Config) -> Operation:
    section = "scheme.operation"
    try:
        made: Operation = targets.make(section, operation._target_, operation.options, config.trusted_modules)
    except ConfigError as error:
        raise ConfigError(str(error).replace(section, key, 1)) from None
    return made


def _check_strength(key: str, operation: Operation, rate: float) -> None:
    try:
        strength_of(operation).check(key, rate)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def dataset(config: Config, foreign: bool | None = None) -> Dataset:
    """A dataset is loaded once a process, however many cells need it.

    Args:
        config: The settings.
        foreign: Whether the network says which classes there are, and nothing is trained; None: as its way
            of training says.

    Raises:
        ConfigError: for data that is missing, damaged, or can't be used.
    """
    foreign = is_foreign(way(config)) if foreign is None else foreign
    name = fingerprint.digest([dataclasses.asdict(config.dataset), config.data_dir, foreign])
    if name not in _datasets:
        loader = targets.find("dataset", config.dataset._target_, config.trusted_modules)
        targets.check_options("dataset", loader, config.dataset.options, given=("data_dir",))
        labels: Literal["outputs", "dense"] = "outputs" if foreign else "dense"
        try:
            _datasets[name] = datasets.load(
                loader,
                Path(config.data_dir),
                config.dataset.options,
                config.dataset.train_size,
                labels=labels,
            )
        except datasets.DataError as error:
            raise ConfigError(f"dataset={config.dataset.name}: {error}") from None
    return _datasets[name]


_datasets: dict[str, Dataset] = {}


def preprocessing(config: Config) -> Preprocessing | None:
    """What a model's settings say of it.

    Raises:
        ConfigError: for what is no mean and std.
    """
    if config.model.preprocessing is None:
        return None
    try:
        return Preprocessing(**config.model.preprocessing)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"model.preprocessing: {' '.join(str(error).split())}") from None


def described(key: str, one: Any, config: Config) -> list[Any]:
    """What stands for a ``_target_`` and its options: files by their content, code by its meaning."""
    found = targets.find(key, one._target_, config.trusted_modules)
    return [one._target_, targets.files(found, one.options), fingerprint.code(found)]


def attack(config: AttackConfig, trusted: Sequence[str]) -> Any:
    """An attack, made; of several draws to a gradient, where ``eot`` says so.

    Raises:
        ConfigError: for one that can't be made, or whose options say already how many draws.
    """
    if config.eot is None:
        return targets.make("attack", config._target_, config.options, trusted)
    if not targets.takes(targets.find("attack", config._target_, trusted), GRADIENT_DRAWS):
        return eot.averaged(targets.make("attack", config._target_, config.options, trusted), config.eot)
    if GRADIENT_DRAWS in config.options:
        raise ConfigError(
            f"attack.eot: attack.options.{GRADIENT_DRAWS} says already how many draws make a gradient; "
            "give one of them"
        )
    options = {**config.options, GRADIENT_DRAWS: config.eot}
    return targets.make("attack", config._target_, options, trusted)


GRADIENT_DRAWS = "gradient_draws"
"""The option of an attack that averages by itself."""


def attack_besides(config: AttackConfig, made: Any) -> dict[str, Any]:
    """What stands for how many draws make a gradient of an attack, and for the library that it is of.

    Each only where there is one: keys of what was kept without stay as they are. The library's version is
    what the attack says in ``peers``.
    """
    peers = getattr(made, "peers", None)
    return {
        **({} if config.eot is None else {"eot": [config.eot, fingerprint.code(eot)]}),
        **({"peers": dict(peers)} if isinstance(peers, Mapping) else {}),
    }


def operations(config: Config) -> dict[str, Any]:
    """What stands for the operation at each of a scheme's sites."""
    at = config.scheme.at().items()
    return {site: described("scheme.operation", operation, config) for site, (operation, _) in at}


def identity(config: Config, acting: Scheme, checkpoint: str) -> dict[str, Any]:
    """What decides the outputs of a network behind its scheme, as ``Defended.identity`` gives it."""
    target, files, code = described("model", config.model, config)
    network = {"checkpoint": checkpoint, "target": target, "files": files, "code": code}
    rates = {site: rate for site, (operation, rate) in acting.items() if strength_of(operation).acts(rate)}
    before, outputs = preprocessing(config), config.model.outputs
    drawn = own(config)
    passes = config.scheme.passes if is_random(acting) or config.scheme.itself else 1
    at, made = sites(config), operations(config)
    return identity_of(
        network, at, made, rates, before, outputs, passes, config.scheme.combine, own_identity(drawn)
    )


def twin_identity(config: Config, identity: dict[str, Any], named: dict[str, Any] | None) -> Any:
    """What decides the outputs of a defence's twin; None where it has none.

    Args:
        config: The settings.
        identity: Of the defence.
        named: Of the twin, where another file of conf/model is named.
    """
    drawn = own(config)
    if drawn is None or not drawn.itself:
        return of_twin(identity)
    if named is not None or drawn.off is None:
        return named
    before, outputs = preprocessing(config), config.model.outputs
    if isinstance(drawn.off, str):
        part = {"of": identity["network"], "part": drawn.off}
        return identity_of(part, {}, {}, {}, before, None)
    return identity_of(
        identity["network"], {}, {}, {}, before, outputs, 1, config.scheme.combine, own_identity(drawn, True)
    )


def behind(
    config: Config, network: nn.Module, acting: Scheme, known: Any = None, twin: Defended | None = None
) -> Defended:
    """A network behind a scheme, at the sites that its settings name.

    Args:
        config: Its settings.
        network: The network.
        acting: What acts at test time.
        known: What stands for the network in ``identity``; None: not known yet.
        twin: The twin, where another file of conf/model is named.

    Raises:
        ConfigError: for a path that isn't there.
        NotApplicable: for something to draw by that the network hasn't got.
    """
    if known is not None:
        known = {"network": known, "operations": operations(config)}
    before, outputs = preprocessing(config), config.model.outputs
    drawn = own(config, twin)
    try:
        return Defended(
            network,
            sites(config),
            acting if drawn is None else dataclasses.replace(drawn, sites=acting),
            preprocessing=before,
            outputs=outputs,
            passes=config.scheme.passes,
            combine=config.scheme.combine,
            known=known,
        )
    except OwnError as error:
        # as a site that another network has
        raise NotApplicable(error.line) from None
    except paths_of.SiteError as error:
        raise ConfigError(error.line) from None


def plan(config: Config, data: Dataset) -> Plan:
    """How a network's weights come about, and everything that decides them.

    What decides foreign weights is their content, which is added when they are there.

    Raises:
        NotApplicable: for ``train_rate`` where nothing is trained.
        ConfigError: for what can't be used.
    """
    given, made = config.training, way(config)
    build = builder(config, data.shape, data.classes)
    if is_foreign(made):
        if config.train_rate is not None:
            raise NotApplicable(f"train_rate: {given.name} fits nothing; use null")
        # the seed, too, since not all that a network draws need be in its weights
        foreign = {"model": described("model", config.model, config), "seed": given.seed}
        return Plan(build, Defended, made, given.seed, None, None, None, foreign)
    at = sites(config)
    acting: dict[str, tuple[Operation, float]] = {
        site: (Dropout(), rate) for site, rate in config.model.train_rates.items()
    }
    named = dict.fromkeys(acting, OperationConfig())
    if config.train_rate is not None:
        its_own = config.scheme.train_sites is None
        for site in config.scheme.sites if its_own else config.scheme.train_sites or ():
            named[site] = config.scheme.at()[site][0] if its_own else OperationConfig()
            acting[site] = _operation("scheme.operation", named[site], config), config.train_rate
            _check_strength("train_rate", *acting[site])
    before, outputs = preprocessing(config), config.model.outputs
    how = {key: getattr(given, key) for key in ("epochs", "batch_size", "learning_rate", "seed")}
    target = targets.find("training", given._target_, config.trusted_modules)
    settings: dict[str, Any] = {
        **how,
        "model": described("model", config.model, config),
        "way": [given._target_, targets.files(target, given.options)],
        "rates": [
            [list(at[site]), described("scheme.operation", named[site], config), rate]
            for site, (operation, rate) in sorted(acting.items(), key=lambda item: item[0])
            if strength_of(operation).acts(rate)
        ],
        "preprocessing": before and before.identity,
        "outputs": outputs,
        "data": data.fingerprint,
        "threads": config.threads,
        "versions": fingerprint.versions(),
        "code": fingerprint.code(fit, type(made), target),
    }
    drawn, off = own(config), not config.scheme.train_draws
    if drawn is None or not drawn.itself or (off and not isinstance(drawn.off, Mapping)):
        drawn = None
    else:
        # in training its modules are in training mode anyhow
        drawn = dataclasses.replace(drawn, sites=acting, stand_ins={}, train_mode=())
        said = own_identity(drawn, off)
        # a network whose attributes are as ever is the same as under any other scheme
        settings |= {} if said is None else {"own": said}

    def behind(network: nn.Module) -> Defended:
        found = Defended(
            network, at, acting if drawn is None else drawn, preprocessing=before, outputs=outputs
        ).handled(AS_IT_IS)
        found.off = drawn is not None and off
        return found

    return Plan(build, behind, made, settings=settings, **how)


def builder(config: Config, shape: tuple[int, int, int], classes: int | None) -> Callable[[], nn.Module]:
    """Makes the untrained network; ``shape`` and ``classes`` are given only to what asks for them.

    Raises:
        ConfigError: for an option that it doesn't take.
    """
    network = targets.find("model", config.model._target_, config.trusted_modules)
    targets.check_options("model", network, config.model.options)
    try:
        asked = set(inspect.signature(network).parameters)
    except (TypeError, ValueError):
        asked = set()
    ours: dict[str, Any] = {"shape": shape, "classes": classes}
    given = {name: v for name, v in ours.items() if name in asked and name not in config.model.options}
    return functools.partial(building.alone, network, {**given, **config.model.options})
