"""How every command of bench begins and ends.

Here belongs what ``python -m bench.…`` have in common: an error is one line and a status, Ctrl-C and SIGTERM
too, whatever they come in the middle of; a terminal that can't show a letter, or that has gone, is no error;
two commands don't write into one sweep's folder at a time. What a command does is not known here.
"""

import argparse
import contextlib
import functools
import io
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TextIO

from filelock import FileLock, Timeout

from bench.checks import ConfigError

P = ParamSpec("P")


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
            except ConfigError as error:
                fail(" ".join(str(error).split()))
            except OSError as error:
                fail(of_file(error), 1)
            finally:
                # while errors of it can still be borne
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()

    return command


def fail(problem: str, status: int = 2) -> NoReturn:
    """Says one line and ends the command."""
    print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(status)


def moved(module: str, command: str) -> NoReturn:
    """Says what the command of a module is called now, with the arguments given, and ends it with status 2.

    Args:
        module: What stood behind ``python -m``.
        command: What stands behind ``python -m bench`` now.
    """
    arguments = "".join(f" {shlex.quote(given)}" for given in sys.argv[1:])
    fail(f"python -m {module} is now python -m bench {command}{arguments}")


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


def of_file(error: OSError) -> str:
    """What an error of the file system says: the file, and what is wrong with it."""
    return ": ".join([*([str(error.filename)] if error.filename else []), error.strerror or str(error)])
