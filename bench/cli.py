"""What ``python -m bench`` is told, and what it prints.

Here belong subcommands: their arguments, and how what they find is said. What they do is done elsewhere.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.checks import ConfigError
from bench.command import Parser, fail, guarded, lost_signal


@guarded
def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's docstring; exit status 2 for a setting that can't be used."""
    parser = Parser(prog="python -m bench", description="Everything but running cells (python -m bench.run).")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    ls = commands.add_parser("ls", help="list what there is")
    kinds = ls.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    sites = kinds.add_parser(
        "sites",
        help="a network's submodules, by the paths that sites are named by",
        description="Prints the path of each submodule of a network, and the shape of what it gives for one "
        "image. Those are the paths that `sites:` of a model's file names.",
    )
    sites.add_argument("overrides", nargs="*", help="settings as python -m bench.run takes them: model=mine")
    sites.add_argument(
        "--config-dir", "-cd", type=Path, help="folder of files of your own, as for python -m bench.run"
    )
    sites.set_defaults(do=lambda given: print(list_sites(given.overrides, given.config_dir)))
    keep = commands.add_parser(
        "keep",
        help="keep what lasts of sweeps",
        description="Copies the records of sweeps and what was seen in looks, without samples and networks: "
        "small enough for a repository, and enough for every table and report.",
    )
    keep.add_argument("sweeps", type=Path, nargs="+", help="folders of sweeps, such as outputs/sweep")
    keep.add_argument("--into", type=Path, required=True, help="such as outputs/reference/NAME")
    keep.set_defaults(do=lambda given: print(*_keep(given.sweeps, given.into), sep="\n"))
    given = parser.parse_args(arguments)
    given.do(given)


def _keep(sweeps: Sequence[Path], into: Path) -> list[Path]:
    from bench.analysis.keep import keep
    from bench.results.files import Unreadable

    try:
        return keep(sweeps, into)
    except Unreadable as error:
        raise ConfigError(str(error)) from None


def list_sites(overrides: Sequence[str], config_dir: Path | None = None) -> str:
    """A network's submodules, a line each: path, shape of the output for one image, and what it is.

    Args:
        overrides: As ``python -m bench.run`` takes them.
        config_dir: A folder whose files are choices too.

    Raises:
        SystemExit: with status 2 and one line, for settings that can't be used.
    """
    from bench import plan
    from bench.composing import compose, one_line

    try:
        config = compose(overrides, config_dir)
        found = plan.submodules(config)
    # foreign code may raise anything when it is imported or made
    except Exception as error:
        lost_signal()
        fail(one_line(error, overrides))
    named: dict[str, str] = {}
    for site, paths in found.sites.items():
        for path in paths:
            named[path] = f"{named[path]}, {site}" if path in named else site
    rows: list[tuple[str, str, str, str]] = [("path", "output", "what it is", "site")]
    rows.append(('""', _shape(found.shape), "the image, before preprocessing", named.get("", "")))
    for path, kind, outputs in found.reached:
        times = f", {len(outputs)} times in a pass: a site acts as often" if len(outputs) > 1 else ""
        output = _shape(outputs[0]) if outputs else "-"
        reached = times if outputs else ", never reached in a pass"
        rows.append((path, output, f"{kind}{reached}", named.get(path, "")))
    there = {row[0] for row in rows}
    rows += [(path, "-", "no such submodule", named[path]) for path in named if path and path not in there]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )


def _shape(given: Any) -> str:
    """``32x8x8`` for a tensor of one image; what isn't a tensor by its type."""
    return "x".join(map(str, given)) if isinstance(given, tuple) else f"({given})"
