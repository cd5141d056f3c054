"""Settings as Hydra composes them, from files and overrides; and what an error on the way says.

Here belongs what is asked of Hydra short of running jobs. What settings may hold is in ``config``.
"""

import dataclasses
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from bench import config as settings
from bench import process
from bench.axes import GROUPS
from bench.checks import ConfigError
from bench.choices import WORDS, check_folder, conf_dir, switches
from bench.command import of_file
from bench.config import MARGIN, AuditSettings, Config, SchemeConfig
from bench.results.files import log

EXTRA = {"joblib": "launchers", "submitit_local": "launchers", "submitit_slurm": "launchers"}
"""Hydra's launchers that come with an extra of bench's, and which."""

WAYS = {"distillation": "distillation", "adversarial_training": "adversarial"}
"""Schemes of old that are ways of training, and what they are called as such."""


def register() -> None:
    """Makes the schema known to Hydra, as the first entry of the defaults list, and ``~`` to its folders."""
    schema = OmegaConf.structured(_Composed)
    _open(schema)
    ConfigStore.instance().store(name="bench_schema", node=schema)
    audited = OmegaConf.structured(_ComposedAudit)
    _open(audited)
    ConfigStore.instance().store(name="audit_schema", node=audited)
    OmegaConf.register_new_resolver("bench.expanduser", os.path.expanduser, replace=True)


@dataclass
class _Composed(Config):
    """While it is composed: a way of training's own options stand beside the others.

    And of a scheme's file, ``on:`` and ``off:`` are yet what YAML takes them for, true and false; as words
    they are what the command line says of them.
    """

    training: dict[str, Any] = field(default_factory=dict)  # type: ignore[assignment]
    scheme: dict[Any, Any] = field(  # type: ignore[assignment]
        default_factory=lambda: {
            **dataclasses.asdict(SchemeConfig()),
            **dict.fromkeys(("sites", *WORDS.values()), MISSING),
        }
    )


@dataclass
class _Section:
    """What ``AuditSettings`` has, before it is checked."""

    claim: Any = None
    margin: Any = MARGIN
    baseline: Any = None
    passes: Any = None
    minutes: Any = None
    samples: Any = None


@dataclass
class _ComposedAudit(_Composed):
    """Of an audit, before it is checked."""

    norm: Any = "linf"
    epsilon: Any = 0.1
    effort: Any = "quick"
    attacks: Any = None
    audit: _Section = field(default_factory=_Section)


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


def typed(composed: DictConfig, besides: Sequence[str] = ()) -> Config:
    """A composed configuration as a checked ``Config``; each choice is named after its file.

    Args:
        composed: By Hydra.
        besides: Keys that are no settings of a cell.

    Raises:
        As ``config.typed``.
    """
    hydras = composed.hydra if "hydra" in composed else HydraConfig.get()
    chosen = hydras.runtime.choices
    _say_hidden(chosen, [source.path for source in hydras.runtime.config_sources if source.schema == "file"])
    own = OmegaConf.masked_copy(composed, [str(k) for k in composed if k not in ("hydra", *besides)])
    with open_dict(own):
        for group in GROUPS:
            if group not in chosen:
                raise ConfigError(f"{group}: expected one choice")
            own[group].name = own[group].get("name") or str(chosen[group])
        own.scheme = switches(OmegaConf.to_container(own.scheme))
        twin = own.scheme.get("twin")
        if isinstance(twin, str):
            own.scheme.twin = _model(twin, composed)
    try:
        return settings.typed(own)
    except OmegaConfBaseException as error:
        if error.full_key:
            raise
        # of the other groups it would have come up when they were composed
        words = str(error.msg).splitlines()[0]
        raise ConfigError(f"scheme={chosen['scheme']}: {words}") from None


def audited(composed: DictConfig) -> tuple[Config, AuditSettings]:
    """A composed configuration of an audit: its cell's, and what it asks.

    Raises:
        As ``config.typed``.
    """
    plain: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(composed, list(AuditSettings.KEYS)), resolve=True
    )
    return typed(composed, AuditSettings.KEYS), AuditSettings.of(plain)


_said: set[str] = set()


def _say_hidden(chosen: Mapping[str, Any], folders: Sequence[str]) -> None:
    """Says once which file of somebody's own isn't read, since bench has one of that name."""
    for group in GROUPS:
        files = [
            path
            for path in (Path(folder, group, f"{chosen.get(group)}.yaml") for folder in folders)
            if path.is_file()
        ]
        for hidden in files[1:]:
            words = (
                f"{group}={chosen[group]}: {files[0]} is read, and {hidden} of the same name isn't; rename it"
            )
            if not hidden.samefile(files[0]) and words not in _said:
                _said.add(words)
                log.warning("%s", words)


def again(composed: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes besides, with files from the same folders.

    Args:
        composed: What it has composed.
        overrides: As on the command line.

    Raises:
        HydraException: for what can't be composed.
    """
    hydras = composed.hydra if "hydra" in composed else HydraConfig.get()
    running = GlobalHydra.instance().hydra
    assert running is not None
    return running.compose_config(
        "config",
        overrides=[*(o for o in hydras.overrides.hydra if "searchpath" in o), *overrides],
        run_mode=RunMode.RUN,
        with_log_configuration=False,
    )


def _model(name: str, composed: DictConfig) -> dict[str, Any]:
    """The settings of a file of conf/model, for the twin of a scheme.

    Raises:
        ConfigError: if there is no such file.
    """
    try:
        found = again(composed, [f"model='{name}'"])
    except MissingConfigException as error:
        words = one_line(error)
        raise ConfigError(f"scheme.twin: {words.removeprefix('model=')}") from None
    model: Any = OmegaConf.to_container(found.model, resolve=True)
    return {**model, "name": model.get("name") or name}


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> Config:
    """The settings that the command would be given by these overrides, for a process that isn't the command.

    Args:
        overrides: As on the command line.
        config_dir: What ``--config-dir`` names there: a folder whose files are choices too.

    Raises:
        As ``config.typed``, and HydraException for what can't be composed.
    """
    if config_dir is not None:
        check_folder(config_dir)
        overrides = [f"hydra.searchpath=['file://{config_dir.resolve()}']", *overrides]
    overrides = [at_home(override) for override in overrides]
    # of Hydra there is one a process, and somebody else's application may be running it
    with process.alone:
        outer = GlobalHydra.instance()
        running, outer.hydra = outer.hydra, None
        try:
            with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
                return typed(hydra.compose("config", overrides=overrides, return_hydra_config=True))
        finally:
            GlobalHydra.instance().hydra = running


def at_home(override: str) -> str:
    """A folder's override as bash hands it on: other shells leave the ``~``, which Hydra can't read."""
    found = re.fullmatch(r"([+]*(?:output_dir|data_dir)=)(~.*)", override)
    return found[1] + os.path.expanduser(found[2]) if found else override


def one_line(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """What an error says, in one line that names the key and what is allowed.

    Args:
        error: Of any kind.
        overrides: The settings given where it came up, named by errors that don't know of a key.
    """
    if isinstance(error, ConfigError):
        return " ".join(str(error).split())
    if isinstance(error, OverrideParseException) and error.override:
        hint = f"; {_quoting(error.override)}" if "=" in error.override else ""
        return f"{error.override}: can't be read as key=value{hint}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _no_such_choice(*error.missing_cfg_file.rpartition("/")[::2], error.options or [])
    # Hydra's outer error says that something can't be composed, the inner one which key or line, and why
    chain: list[BaseException] = [error]
    while inner := chain[-1].__cause__ or (not chain[-1].__suppress_context__ and chain[-1].__context__):
        chain.append(inner)
    for inner in chain:
        if isinstance(inner, yaml.MarkedYAMLError) and inner.problem_mark is not None:
            mark = inner.problem_mark
            return f"{mark.name}, line {mark.line + 1}: not YAML: {inner.problem}"
        if isinstance(inner, OmegaConfBaseException) and inner.full_key:
            return _of_key(inner)
    text = " ".join(str(error).split()).partition(" Config search path")[0]
    if found := re.match(r"Ambiguous value for argument '(.*?)' 1\.", text):
        return f"{found[1]}: several values are a sweep, and need -m; {_quoting(found[1])}"
    if found := re.match(
        r"In '(.*)/(.*?)': \w+ raised while composing config: (.*?)( full_key:| value:|$)", text
    ):
        return f"{found[1]}={found[2]}: {found[3]}".replace(_MERGED, _of_kinds(found[1]))
    if isinstance(error, HydraException | OmegaConfBaseException):
        return text
    if text.startswith("Config group override must be"):
        for override in overrides:
            if kind := _no_name(override):
                return f"{override}: expected a name, got {kind}; {_quoting(override)}"
    if isinstance(error, OSError) and error.strerror:
        return of_file(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    text = f"{type(error).__name__}: {text}" + "".join(
        f" ({f.filename}, line {f.lineno})" for f in frames[-1:]
    )
    return ": ".join([*([" ".join(overrides)] if overrides else []), text])


def _of_key(error: OmegaConfBaseException) -> str:
    if error.full_key == "scheme.training":
        return (
            "scheme.training: how a network is trained is no part of its scheme: training=WAY, or "
            "training._target_=..., and its options beside: training.temperature=100"
        )
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        if dataclasses.is_dataclass(error.object_type):
            allowed = [f.name for f in dataclasses.fields(error.object_type)]
            return f"{error.full_key}: no such key; allowed: {', '.join(allowed)}"
        return f"{error.full_key}: not set before; write +{error.full_key}=... to add it"
    problem = str(error.msg).splitlines()[0]
    if "is not Optional" in problem:
        problem = "expected a value, got null"
    elif "is not a ListConfig" in problem or (problem == _MERGED and error.object_type is list):
        problem = "expected a list, [VALUE, ...]"
    elif problem == _MERGED or re.match(r"Cannot assign \w+ to Dict", problem):
        problem = "expected names and values, {NAME: VALUE, ...}"
    return f"{error.full_key}: {problem}"


_MERGED = "Cannot merge DictConfig with ListConfig"
"""What OmegaConf says of a list where names and values belong, and the other way round."""


def _of_kinds(group: str) -> str:
    """What is said of a file in which a value is of the wrong kind; OmegaConf doesn't say which."""
    hint = "; choose, on, stand_ins and sites take names and values, train_mode a list"
    words = "a list stands where names and values belong, or names and values where a list does"
    return words + (hint if group == "scheme" else "")


def _no_such_choice(group: str, choice: str, options: Sequence[str]) -> str:
    if group == "hydra/launcher" and choice in EXTRA:
        return f'{group}={choice}: not installed; it comes with pip install "bench[{EXTRA[choice]}]"'
    if group == "scheme" and choice in WAYS:
        return f"scheme={choice}: it is a way of training: training={WAYS[choice]} (with scheme=none)"
    if not group:
        return f"--config-name: no {choice} in bench's conf"
    allowed = [option for option in options if option != "null"]
    problem = f"{group}={choice}: no such choice" + (f"; allowed: {', '.join(allowed)}" if allowed else "")
    for option in allowed:
        # what a sweep takes for several names
        if "," in option and choice in option.split(","):
            return f"{problem}; {_quoting(f'{group}={option}')}"
    return problem


def _quoting(override: str) -> str:
    key, _, value = override.partition("=")
    return f"a value that Hydra reads otherwise is quoted, for the shell too: \"{key}='{value}'\""


def _no_name(override: str) -> str | None:
    """What kind of value is given for a group where a choice's name belongs; None where one is."""
    key, given, _ = override.partition("=")
    # among them may be a flag and its value
    if not given or (key.strip("+") not in GROUPS and not re.fullmatch(r"[+]*\w+(/\w+)+", key)):
        return None
    read = OverridesParser.create().parse_override(override).value()
    return None if isinstance(read, str | list) else "null" if read is None else f"a {type(read).__name__}"


register()
