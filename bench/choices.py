"""What there is to choose from: the files of conf/, bench's own and those of a user's folder.

Here belongs where they are, and what they say by themselves, read without Hydra and in no time. How they are
put together is in ``composing``; what is printed of them, in ``listing``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.checks import ConfigError
from bench.command import fail


def conf_dir() -> str:
    """The folder of ``config.yaml``: inside the package where it was installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parent / "conf"):
        if (folder / "config.yaml").exists():
            return str(folder)
    fail(f"{here / 'conf'}: no config.yaml there, nor in {here.parent / 'conf'}; install bench again")


def check_folder(config_dir: Path) -> None:
    """Raises ConfigError unless ``--config-dir`` names a folder."""
    if not config_dir.is_dir():
        raise ConfigError(f"--config-dir: no folder {config_dir}")


@dataclass(frozen=True)
class Choice:
    """One file of a group.

    Attributes:
        name: What it is chosen by.
        words: Its first line, if that is a comment.
        settings: What it sets, as it stands there; nothing for a file that can't be read as settings.
    """

    name: str
    words: str
    settings: Mapping[str, Any]


def of(group: str, config_dir: Path | None = None) -> list[Choice]:
    """The choices of a group, bench's own first, each in the order of their names.

    Args:
        group: A folder of conf/.
        config_dir: A folder whose files are choices too, but for names that bench has itself.

    Raises:
        ConfigError: if it isn't there.
    """
    folders = [Path(conf_dir())]
    if config_dir is not None:
        check_folder(config_dir)
        folders.append(config_dir)
    found: dict[str, Choice] = {}
    for folder in folders:
        for path in sorted((folder / group).glob("*.yaml")):
            found.setdefault(path.stem, _read(path))
    return list(found.values())


WORDS = {True: "on", False: "off"}
"""What YAML takes for booleans, as keys."""


def switches(value: Any) -> Any:
    """The same, its keys the words that stand in the file: YAML takes ``on`` and ``off`` for booleans.

    What the command line says of them, which is words, goes before and is merged into what the file does.
    """
    if not isinstance(value, dict):
        return value
    of_file = {WORDS[key]: switches(one) for key, one in value.items() if isinstance(key, bool)}
    found = {key: switches(one) for key, one in value.items() if not isinstance(key, bool)}
    # where nothing is given
    found = {key: one for key, one in found.items() if key not in WORDS.values() or one != "???"}
    return _merged(of_file, found)


def _merged(under: Any, over: Any) -> Any:
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    both = {key: _merged(under[key], over[key]) for key in under if key in over}
    return {**under, **over, **both}


def _read(path: Path) -> Choice:
    text = path.read_text(encoding="utf-8", errors="replace")
    first = text.partition("\n")[0]
    words = first.lstrip("# ").rstrip() if first.startswith("#") else ""
    try:
        settings = switches(yaml.safe_load(text))
    except yaml.YAMLError:
        return Choice(path.stem, "not YAML", {})
    return Choice(path.stem, words, settings if isinstance(settings, Mapping) else {})
