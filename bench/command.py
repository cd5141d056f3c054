"""How every command of bench begins and ends.

Here belongs what ``python -m bench.…`` have in common: an error is one line and a status, Ctrl-C and SIGTERM
too, whatever they come in the middle of; a terminal that can't show a letter, or that has gone, is no error;
two commands don't write into one sweep's folder at a time. What a command does is not known here.
"""

import argparse
import contextlib
import dataclasses
import functools
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TextIO

from filelock import FileLock, Timeout

from bench.axes import GROUPS
from bench.checks import ConfigError

if TYPE_CHECKING:
    # imported where one of its errors is to be said: most commands compose nothing
    from omegaconf.errors import OmegaConfBaseException

P = ParamSpec("P")

WAYS = {"distillation": "distillation", "adversarial_training": "adversarial"}
"""Schemes of old that are ways of training, and what they are called as such."""

EXTRA = {"joblib": "launchers", "submitit_local": "launchers", "submitit_slurm": "launchers"}
"""Hydra's launchers that come with an extra of bench's, and which."""


class Stop(KeyboardInterrupt):
    """Ctrl-C or SIGTERM.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all of bench's are; ``--help`` says the rest."""

    def error(self, message: str) -> NoReturn:
        """Says the line and ends the command with status 2."""
        fail(message)


class _Signal:
    """The first signal that came while the command ran, and whether the line on it was said."""

    number: int | None = None
    said: bool = False


def guarded(main: Callable[P, None]) -> Callable[P, None]:
    """Makes a function a command: whatever ends it is at most one line on stderr, and an exit status.

    Exit status: its own; 2 for a setting that can't be used, 1 for a file that can't be read or written,
    130 after Ctrl-C, 143 after SIGTERM.
    """

    @functools.wraps(main)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        _Signal.number, _Signal.said = None, False
        bear_output()
        with _signals():
            try:
                try:
                    main(*args, **kwargs)
                except Exception:
                    lost_signal()
                    raise
            except KeyboardInterrupt as stop:
                raise SystemExit(stopped(stop)) from None
            except _of_settings() as error:
                fail(one_line(error))
            except OSError as error:
                fail(one_line(error), 1)
            finally:
                # while errors of it can still be borne
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()

    return command


def _of_settings() -> tuple[type[Exception], ...]:
    """The errors of settings that can't be used."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return ConfigError, HydraException, OmegaConfBaseException


def fail(problem: str, status: int = 2) -> NoReturn:
    """Says one line and ends the command."""
    print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(status)


def stopped(stop: KeyboardInterrupt) -> int:
    """Says that the command was stopped, and ends the processes that it started.

    Returns:
        The exit status.
    """
    number = stop.number if isinstance(stop, Stop) else signal.SIGINT
    if not _Signal.said:
        _Signal.said = True
        print(_said(number), file=sys.stderr)
    end_children()
    return 128 + number


def lost_signal() -> None:
    """Raises Stop if a signal came: a library that it went through may have made another error of it."""
    if _Signal.number is not None:
        raise Stop(_Signal.number) from None


def _said(number: int) -> str:
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    return f"{word}: what was finished is kept, the same command goes on from there"


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does; what is ignored (a shell's background job ignores Ctrl-C) stays so."""
    before = {}

    def stop(number: int, frame: object) -> None:
        if _Signal.number is not None:
            # the second one waits for nothing, and may have come in the middle of a write
            if not _Signal.said:
                os.write(2, f"{_said(_Signal.number)}\n".encode())
            end_children()
            os._exit(128 + _Signal.number)
        _Signal.number = number
        raise Stop(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            # not possible, nor needed, outside the main thread
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        # a process that a signal came to ends, and a second one is to find this handler
        if _Signal.number is None:
            for number, handler in before.items():
                signal.signal(number, handler)


def end_children() -> None:
    """Ends every process that this one, or one of those, has started: launchers' workers would outlive it."""
    for pid in _descendants():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Python's own helper, which ends with what it tidies up after
            if b"resource_tracker" in stat.with_name("cmdline").read_bytes():
                continue
            # the command's name, in brackets, may hold anything
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


class _Output:
    """A text stream that shows what a terminal can't, and is silent once its reader has gone.

    What has been begun is finished: ``| head -1`` loses lines, not results.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        with self._bearing():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._bearing():
            self._stream.flush()

    @contextlib.contextmanager
    def _bearing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Warnings(logging.StreamHandler[TextIO]):
    """Says a line on whatever is stderr at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def bear_output() -> None:
    """Makes this process's output as ``_Output`` is, and what is logged a line of it.

    For a launcher's worker too, which has an output of its own.
    """
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _Output):
            setattr(sys, name, _Output(getattr(sys, name)))
    # of the root, since Foolbox's attacks would give that one a handler of their own
    log = logging.getLogger()
    if not any(isinstance(handler, _Warnings) for handler in log.handlers):
        handler = _Warnings()
        handler.setLevel(logging.WARNING)
        handler.setFormatter(logging.Formatter("warning: %(message)s"))
        log.addHandler(handler)


def hold(folder: Path) -> FileLock | None:
    """Holds a sweep's folder for as long as the lock isn't released, nor the process at its end.

    Returns:
        The lock; None where there can't be one, as in a folder that is only to be read.

    Raises:
        SystemExit: with status 2 and one line if another process holds it.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        fail(f"name: a sweep is running in {folder}; wait for its end, or choose another name")
    except (OSError, NotImplementedError):
        return None
    return lock


def one_line(error: BaseException, overrides: Sequence[str] = ()) -> str:
    """What an error says, in one line that names the key and what is allowed.

    Args:
        error: Of any kind.
        overrides: The settings given where it came up, named by errors that don't know of a key.
    """
    import yaml
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

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
        return f"{found[1]}={found[2]}: {found[3]}"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return text
    if text.startswith("Config group override must be"):
        for override in overrides:
            if kind := _no_name(override):
                return f"{override}: expected a name, got {kind}; {_quoting(override)}"
    if isinstance(error, OSError) and error.strerror:
        return ": ".join([*([str(error.filename)] if error.filename else []), error.strerror])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    text = f"{type(error).__name__}: {text}" + "".join(
        f" ({f.filename}, line {f.lineno})" for f in frames[-1:]
    )
    return ": ".join([*([" ".join(overrides)] if overrides else []), text])


def _of_key(error: "OmegaConfBaseException") -> str:
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError

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
    return f"{error.full_key}: " + ("expected a value, got null" if "is not Optional" in problem else problem)


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
    from hydra.core.override_parser.overrides_parser import OverridesParser

    key, given, _ = override.partition("=")
    # among them may be a flag and its value
    if not given or (key.strip("+") not in GROUPS and not re.fullmatch(r"[+]*\w+(/\w+)+", key)):
        return None
    read = OverridesParser.create().parse_override(override).value()
    return None if isinstance(read, str | list) else "null" if read is None else f"a {type(read).__name__}"
