"""What a ``_target_`` of the settings names: found, checked, made.

Here belongs which code settings may name, and what they say of a name that they may not. What is done
with what was found does not.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from bench.checks import ConfigError
from bench.results import fingerprint

ROOMS = {
    "dataset": ("bench.datasets",),
    "model": ("bench.models",),
    "training": ("bench.training",),
    "scheme.operation": ("bench.schemes",),
    "scheme.draw": ("bench.schemes",),
    "scheme.train_mode": ("bench.schemes",),
    "scheme.stand_ins": ("bench.schemes",),
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
    package = target.partition(".")[0] if "." in target else ""
    if package not in trusted:
        raise ConfigError(
            f"{key}._target_: {target} is outside trusted_modules ({', '.join(trusted)}); "
            f"add yours: trusted_modules=[{','.join(trusted)},...]"
        )
    try:
        found = _imported(target)
    # a module of the user's can raise anything at all, a SyntaxError to begin with
    except Exception as error:
        raise ConfigError(
            f"{key}._target_: can't import {target} ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from None
    refused = _refused(key, found, package, trusted)
    if refused:
        raise ConfigError(f"{key}._target_: {target} {refused}")
    return found


def find_in(room: str, key: str, target: str) -> Any:
    """What a dotted name means in a module that everybody trusts, such as ``torch.nn``.

    Raises:
        ConfigError: if it isn't there, or is of elsewhere.
    """
    try:
        found = _imported(target)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key}: can't import {target} ({' '.join(str(error).split())})") from None
    home = getattr(found, "__module__", None) or ""
    if not (home == room or home.startswith(f"{room}.")):
        raise ConfigError(f"{key}: {target} is defined in {home or 'no module'}, outside {room}")
    return found


def _imported(target: str) -> Any:
    """What a dotted name means: something of a module, or of a class of it."""
    module, _, name = target.rpartition(".")
    names = [name]
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError as error:
            # no module of this name, so that it may be a class: not one that something imports in vain
            if "." not in module or not f"{module}.".startswith(f"{error.name}."):
                raise
            module, _, name = module.rpartition(".")
            names.insert(0, name)
    for name in names:
        found = getattr(found, name)
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
        raise ConfigError(f"{_options(key)}: {' '.join(str(error).split())}") from None
    except Exception as error:
        words = " ".join(str(error).split())
        raise ConfigError(f"{key}: {target} can't be made ({type(error).__name__}: {words})") from None
    if not callable(made):
        raise ConfigError(f"{key}._target_: {target} gives {type(made).__name__}, which can't be called")
    return made


def _options(key: str) -> str:
    """Where options are set: a way of training's stand beside its other settings."""
    return key if key == "training" else f"{key}.options"


def files(found: Any, options: Mapping[str, Any]) -> Any:
    """What options say, and defaults that name a file, with the content of every file that they name."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    found_in = {p.name: fingerprint.contents(p.default) for p in parameters if p.name not in options}
    return {**fingerprint.with_contents(options), **{name: read for name, read in found_in.items() if read}}


def takes(function: Any, option: str) -> bool:
    """Whether a class or a function says that it takes an option of a name."""
    try:
        return option in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


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
                f"{_options(key)}.{name}: {function.__name__} takes no such option; "
                f"allowed: {', '.join(allowed) or 'none'}"
            )
