"""What ``python -m bench`` is told, what it prints, and how it ends.

Here belong how a command is called with its arguments, how what it finds is said, and the exit status.
What it takes, and what its help says, is in ``manual``; what ``ls`` prints is made in ``listing``. What
commands do is done in ``analysis`` and ``papers``, which are imported where one needs them, so that help
takes no time.
"""

import contextlib
import difflib
import math
import shlex
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import __version__, listing, manual
from bench.checks import ConfigError, check_at_least, check_rate
from bench.command import fail, guarded, hold, lost_signal
from bench.manual import COMMANDS

if TYPE_CHECKING:
    from bench.reader import Reader


@guarded
def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m bench``.

    Exit status: 0; 1 if something failed, is missing, or can't be read or written; 2 for an argument that
    can't be used; 130 after Ctrl-C, 143 after SIGTERM.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given[0] if given else ""
    if name in COMMANDS:
        RUNS[name](manual.parser(name).parse_intermixed_args(given[1:]))
    elif name == "--version":
        print(f"bench {__version__}")
    elif name in ("", "-h", "--help"):
        print(manual.usage())
        raise SystemExit(0 if name else 2)
    else:
        fail(_no_such(given))


def _no_such(given: Sequence[str]) -> str:
    name = given[0]
    if name == "run" or name.startswith("-") or "=" in name:
        rest = given[1:] if name == "run" else given
        return f"{name}: cells and sweeps are run by {shlex.join(['python', '-m', 'bench.run', *rest])}"
    close = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(COMMANDS)}"
    return f"{name}: no such command; {hint}"


def _reader(given: Namespace) -> "Reader":
    from bench.reader import Reader

    return Reader((*Reader.trusted, *given.trust), given.data_dir)


@contextlib.contextmanager
def _composing(settings: Sequence[str]) -> Iterator[None]:
    """Whatever is wrong with settings is one line; foreign code may raise anything when it is made."""
    try:
        yield
    except Exception as error:
        from bench.composing import one_line

        lost_signal()
        fail(one_line(error, settings))


def _table(given: Namespace) -> None:
    from bench.analysis import summary
    from bench.results.sweep import Sweep

    sweeps = [Sweep(folder) for folder in given.sweeps]
    for sweep in sweeps:
        summary.check_found(sweep)
    complete = True
    for sweep in sweeps:
        said, whole = summary.write(sweep)
        print(said)
        complete &= whole
    raise SystemExit(0 if complete else 1)


def _transfer(given: Namespace) -> None:
    from bench.analysis import transfer

    for folder in given.sweeps:
        written = transfer.write(folder, _reader(given))
        print("\n".join(map(str, written)) or f"{folder}: fewer than two schemes, nothing to compare")


def _game(given: Namespace) -> None:
    from bench.analysis import game

    if given.max_loss is not None:
        _check_loss(given.max_loss)
    said, written = game.write(given.sweeps, given.max_loss)
    print(said)
    if not written:
        fail("no game has an attack and a defence left", 1)
    print(*written, sep="\n")


def _check_loss(points: float) -> None:
    if not 0 < points < math.inf:
        raise ConfigError(f"--max-loss: expected points of accuracy over 0, got {points:g}")


def _gradients(given: Namespace) -> None:
    for name, least in (("draws", 2), ("images", 1), ("pixels", 1)):
        check_at_least(f"--{name}", getattr(given, name), least)
    from bench.analysis import gradients

    many = (given.draws, given.images, given.pixels, given.seed)
    for folders, into in [(given.sweeps, given.folder)] if given.folder else [([f], f) for f in given.sweeps]:
        said, written = gradients.write(folders, into, *many, reader=_reader(given))
        print(said, *written, sep="\n")


def _search(given: Namespace) -> None:
    train_rates = list(dict.fromkeys(given.train_rates))
    for rate in train_rates:
        check_rate("--train-rates", rate)
    if not 0.001 <= given.step < 1:
        raise ConfigError(f"--step: expected a number in [0.001, 1), got {given.step:g}")
    _check_loss(given.max_loss)
    with _composing(given.settings):
        from bench.analysis import search

        settled = search.settle(given.settings, given.config_dir)
        cells = search.Cells(settled, train_rates, given.step, say=lambda line: print(line, flush=True))
    lock = hold(cells.folder)
    try:
        found = search.search(cells.accuracy, cells.evaluate, train_rates, given.max_loss, given.step)
        said, written = search.write(found, given.max_loss, given.step, cells.folder)
        print(said, *written, sep="\n")
    except search.Failed as error:
        fail(str(error), 1)
    finally:
        if lock is not None:
            lock.release()


def _paper(given: Namespace) -> None:
    from importlib import import_module

    from bench.papers import report

    paper = import_module(f"bench.papers.{given.name}").PAPER
    folder = given.folder or Path("outputs") / given.name
    print(*report.write(paper, folder, _reader(given)), sep="\n")


def _keep(given: Namespace) -> None:
    from bench.analysis.keep import keep
    from bench.results.files import Unreadable

    try:
        print(*keep(given.sweeps, given.into), sep="\n")
    except Unreadable as error:
        raise ConfigError(str(error)) from None


def _audit(given: Namespace) -> None:
    from bench import run_audit

    run_audit.main(given)


def _ls(given: Namespace) -> None:
    if given.what not in ("sites", "draws"):
        if given.settings:
            fail(f"{given.settings[0]}: ls {given.what} takes no settings")
        print(listing.of(given.what, given.config_dir))
        return
    with _composing(given.settings):
        from bench.composing import compose

        config = compose(given.settings, given.config_dir)
        said = listing.sites(config) if given.what == "sites" else listing.draws(config)
    print(said)


RUNS: dict[str, Callable[[Namespace], None]] = {
    "ls": _ls,
    "audit": _audit,
    "table": _table,
    "transfer": _transfer,
    "game": _game,
    "gradients": _gradients,
    "search": _search,
    "paper": _paper,
    "keep": _keep,
}
"""What does what each command of ``manual`` says."""
