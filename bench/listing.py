"""What ``python -m bench ls`` prints: what there is to choose from, and where in a network something may act.

Here belongs what is said of each. Where choices come from is in ``choices``; how a network is looked
through, in ``plan``, and what its draws are like, in ``finding``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import choices
from bench.checks import ConfigError
from bench.choices import Choice
from bench.config import draws_itself

if TYPE_CHECKING:
    from bench.config import Config

GROUPS = {
    "datasets": "dataset",
    "models": "model",
    "trainings": "training",
    "schemes": "scheme",
    "attacks": "attack",
    "criteria": "criterion",
}
"""What can be listed without a network being made, and the key that each is chosen by."""


def of(what: str, config_dir: Path | None = None) -> str:
    """The choices of a group, a line each: name, what of its settings tells it from others, and what it is.

    Args:
        what: One of ``GROUPS``.
        config_dir: A folder whose files are choices too.

    Raises:
        ConfigError: if it isn't there.
    """
    group = GROUPS[what]
    rows = [(group, *_HEADS.get(group, ()), "what it is")]
    rows += [(one.name, *_columns(group, one), one.words) for one in choices.of(group, config_dir)]
    return _aligned(rows)


NETWORK = "the network itself"
"""Where a scheme acts whose network draws by itself."""

_HEADS = {"model": ("sites",), "scheme": ("acts at",), "attack": ("perturbation", "criteria")}


def _columns(group: str, one: Choice) -> tuple[str, ...]:
    settings = one.settings
    sites = settings.get("sites")
    sites = sites if isinstance(sites, Mapping) else {}
    if group == "model":
        return (", ".join(map(str, sites)) or "-",)
    if group == "scheme":
        rates = {site: rate["rate"] if isinstance(rate, Mapping) else rate for site, rate in sites.items()}
        where = [NETWORK] if draws_itself(settings) else []
        return (", ".join([*where, *(f"{site} {rate}" for site, rate in rates.items())]) or "-",)
    if group == "attack":
        epsilon, criteria = settings.get("epsilon"), settings.get("criteria")
        size = "smallest" if epsilon is None else f"epsilon {epsilon}"
        return size, ", ".join(map(str, criteria)) if isinstance(criteria, list) else "all that it takes"
    return ()


def sites(config: "Config") -> str:
    """A network's submodules, a line each: path, shape of the output for one image, and what it is.

    Args:
        config: Names the model, and the dataset whose images it is for.

    Raises:
        ConfigError: for settings that can't be used; or whatever a foreign network raises.
    """
    from bench import plan

    found = plan.submodules(config)
    named: dict[str, str] = {}
    for site, paths in found.sites.items():
        for path in paths:
            named[path] = f"{named[path]}, {site}" if path in named else site
    rows = [("path", "output", "what it is", "site")]
    rows.append(('""', _shape(found.shape), "the image, before preprocessing", named.get("", "")))
    for path, kind, outputs in found.reached:
        times = f", {len(outputs)} times in a pass: a site acts as often" if len(outputs) > 1 else ""
        output = _shape(outputs[0]) if outputs else "-"
        reached = times if outputs else ", never reached in a pass"
        rows.append((path, output, f"{kind}{reached}", named.get(path, "")))
    there = {row[0] for row in rows}
    rows += [(path, "-", "no such submodule", named[path]) for path in named if path and path not in there]
    return _aligned(rows)


def draws(config: "Config") -> str:
    """What the draws of a scheme are like in a network, a line for each thing that was found out.

    Args:
        config: Names the network, which is trained first if need be, and the scheme.

    Raises:
        ConfigError: for settings that can't be used, or a network that can't be looked at.
    """
    from bench import cell, plan

    try:
        found, twin = cell.draws(plan.prepare(config))
    except cell.SAID as error:
        raise ConfigError(" ".join(str(error).split())) from None
    if found is None:
        return f"scheme={config.scheme.name}: nothing is random"
    of_twin = twin.lines() if twin else [_NO_TWIN] if config.scheme.itself else []
    return "\n".join([*found.lines(), *(f"twin: {line}" for line in of_twin)])


_NO_TWIN = "there is none, since nothing says how its randomness is switched off (scheme.off, scheme.twin)"


def _shape(given: Any) -> str:
    """``32x8x8`` for a tensor of one image; what isn't a tensor by its type."""
    return "x".join(map(str, given)) if isinstance(given, tuple) else f"({given})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
