"""The command ``python -m bench.run``: Hydra composes a configuration, cells run, records are written.

Here belongs what Hydra asks for, what is printed, and the exit status. What a cell is and does is in
``cell``; tables and figures are made in ``analysis``; how any command ends is in ``command``.
"""

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import hydra
from filelock import FileLock
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig
from tqdm import tqdm

from bench.checks import NotApplicable
from bench.choices import conf_dir
from bench.command import bear_output, fail, guarded, hold, lost_signal, stopped
from bench.composing import at_home, one_line, typed
from bench.config import Config
from bench.reader import STRANGER, Reader
from bench.results.files import Unreadable, log
from bench.results.store import OK, Store

if TYPE_CHECKING:
    from bench.plan import Cell

T = TypeVar("T")

COMPOSED = 1000
"""Settings of as many jobs are kept from their check until they run: 0.1 s each, and 0.1 MB."""


class SweepCallback(Callback):
    """Checks every job of a sweep before the first one starts, and writes down which cells it is made of."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Ends the process with status 2 if any job is bad, naming every bad one."""
        try:
            prepare_sweep(config)
        except Exception as error:
            lost_signal()
            # Hydra would make it a warning, and go on
            fail(one_line(error))


def prepare_sweep(config: DictConfig) -> None:
    """Does what ``SweepCallback`` says.

    Raises:
        SystemExit: with status 2 for a bad job, or a folder that another sweep is writing to.
    """
    from bench import cell, parts, plan
    from bench.results.sweep import write_manifest

    ready: dict[str, Cell] = {}

    def check(composed: DictConfig) -> tuple[Config, dict[str, Any]]:
        job = typed(composed)
        try:
            if runs_here(config):
                parts.device(job)
            one = plan.prepare(job)
            ready[one.key] = one
            return job, plan.entry(job, one.key, one.trains)
        except NotApplicable as reason:
            return job, plan.entry(job, cell.not_applicable(job, str(reason))["key"], None)

    found = checked(config, check)
    job, _ = found[-1]
    results = begin([one for one, _ in found])
    try:
        write_manifest(results, parts.store(job), [entry for _, entry in found])
    except OSError as error:
        fail(f"output_dir: {error.filename or results}: can't be written ({error.strerror or error})")
    Command.sweep, Command.transfer, Command.cells = results, job.transfer, ready
    Command.reader = Reader(tuple(job.trusted_modules), job.data_dir)


def checked(config: DictConfig, check: Callable[[DictConfig], T]) -> list[T]:
    """What a check makes of each job of a sweep, which Hydra then composes no more.

    Args:
        config: The sweep's.
        check: Is given a job as it was composed, and raises whatever is wrong with it.

    Raises:
        SystemExit: with status 2, naming every bad job.
    """
    # what was imported stays, and needn't be gone through for garbage at every job that is composed
    gc.freeze()
    problems, found = [], []
    composed: dict[tuple[str, ...], DictConfig] = {}
    for overrides in expand(config):
        try:
            one = loader().load_sweep_config(config, overrides)
            found.append(check(one))
            if len(composed) < COMPOSED:
                composed[tuple(overrides)] = one
        # foreign code may raise anything when it is imported or made
        except (Exception, SystemExit) as error:
            problems.append(one_line(error, overrides))
    if problems:
        for problem in dict.fromkeys(problems):
            print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2)
    if not found:
        fail("a sweep without a job: one of its settings has no value")
    # each was composed and found good here; Hydra would compose it once more, to see whether it can be
    Sweeper.validate_batch_is_legal = lambda self, batch: None  # type: ignore[method-assign]
    if str(config.hydra.launcher._target_).endswith("BasicLauncher"):
        compose_once(composed)
    return found


def begin(jobs: Sequence[Config]) -> Path:
    """Takes the folder of all jobs for this process, and opens their store.

    Raises:
        SystemExit: with status 2 if they have several, or another process holds it.
    """
    from bench import parts

    for key in ("output_dir", "name"):
        if len(folders := {getattr(job, key): None for job in jobs}) > 1:
            fail(f"{key}: a sweep has one folder, got {', '.join(folders)}; start one for each")
    job = jobs[-1]
    results = Path(job.output_dir) / job.name
    Command.lock = hold(results)
    open_store(parts.store(job))
    return results


def compose_once(composed: dict[tuple[str, ...], DictConfig]) -> None:
    """Gives Hydra a job's settings as they were composed, each once; others it composes itself."""
    hydras = loader()
    anew = hydras.load_sweep_config

    def load(master: DictConfig, overrides: list[str]) -> DictConfig:
        return composed.pop(tuple(overrides), None) or anew(master, overrides)

    hydras.load_sweep_config = load  # type: ignore[assignment]


def open_store(store: Store) -> None:
    """Clears away what killed processes have left, and says once what an earlier version has kept there."""
    with contextlib.suppress(OSError):
        store.tidy()
        earlier = store.earlier()
        if earlier:
            log.warning(
                "%s: %d records of another version stay as they are; what is asked for is computed anew",
                store.folder, earlier,
            )  # fmt: skip


def runs_here(config: DictConfig) -> bool:
    """Whether a sweep's jobs run on this machine; another one may have another device."""
    return not str(config.hydra.launcher._target_).endswith("SlurmLauncher")


def loader() -> ConfigLoader:
    """Hydra's own loader, of the command that is running."""
    return GlobalHydra.instance().config_loader()


def expand(config: DictConfig) -> list[list[str]]:
    """The overrides of every job of a sweep, in the order in which they run.

    Raises:
        SystemExit: for a sweeper other than Hydra's own, whose jobs can't be known beforehand.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if config.hydra.sweeper._target_ != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
        fail("hydra/sweeper: expected basic: other sweepers' jobs can't be checked before they start")
    arguments = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parser = OverridesParser.create(config_loader=loader())
    overrides = parser.parse_overrides([*arguments, *config.hydra.overrides.task])
    return BasicSweeper.split_arguments(overrides, None)[0]


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="config")
def job(composed: DictConfig) -> None:
    """One cell. In a sweep it never raises, so that the others go on."""
    from bench import cell, parts, plan
    from bench.analysis import progress, summary
    from bench.results.sweep import Table

    hydra_config, sweeping = at_work()
    try:
        config = typed(composed)
        try:
            if not sweeping:
                parts.device(config)
            ready = plan.prepare(config)
            if not sweeping:
                open_store(ready.store)
            record = cell.run(ready)
        except NotApplicable as reason:
            if not sweeping:
                raise
            record = cell.not_applicable(config, str(reason))
    except (Exception, SystemExit) as error:
        # what the parent could check, and a worker can't: the cell is missing then
        say(one_line(error, hydra_config.overrides.task), sweeping)
        return
    # else a cell that a signal made fail would be followed by the next one
    lost_signal()
    if sweeping:
        rest = progress.progress(Path(config.output_dir) / config.name, config.transfer)
        print(f"[{hydra_config.job.num + 1}] {summary.summary(record)}; {rest}", flush=True)
        return
    print(summary.terminal(Table.of([record])))
    print(ready.store.record_path(record["key"]))
    if record["status"] != OK:
        fail(record["reason"], 1)


def at_work() -> tuple[HydraConf, bool]:
    """What every job does first, in whichever process: Hydra's own settings, and whether it is a sweep's."""
    bear_output()
    # a bar's lock between processes would be left behind by a worker that is killed
    tqdm.set_lock(threading.RLock())
    hydra_config = HydraConfig.get()
    # folders that are given relative are so to where the command was started, in every process
    os.chdir(hydra_config.runtime.cwd)
    return hydra_config, hydra_config.mode is RunMode.MULTIRUN


def say(problem: str, sweeping: bool, status: int = 2) -> None:
    """Says what is wrong with a job, and ends the command unless others are to go on.

    Raises:
        SystemExit: with that status, for a job that isn't a sweep's.
    """
    lost_signal()
    if not sweeping:
        fail(problem, status)
    print(f"error: {problem}", file=sys.stderr, flush=True)


class Command:
    """What the sweep that this process runs has told it.

    Attributes:
        sweep: The folder of its tables and figures, once its jobs were found good.
        transfer: Whether it ends in its cross recognition.
        lock: What keeps other sweeps out of its folder meanwhile.
        reader: Whose code may run in its cross recognition.
        cells: Its checked cells by their keys.
    """

    sweep: Path | None = None
    transfer: bool = True
    lock: FileLock | None = None
    reader: Reader = STRANGER
    cells: ClassVar[dict[str, "Cell"]] = {}


@guarded
def main() -> None:
    """The command: runs the cell or the sweep, and writes a sweep's tables whatever happened.

    Exit status: 0 if every cell is done or can't be, 1 if one failed or is missing, 2 for a setting
    that can't be used, 130 after Ctrl-C, 143 after SIGTERM.
    """
    raise SystemExit(carry_out(job, sys.argv[1:], tables, recognition))


def carry_out(job: Callable[[], None], arguments: Sequence[str], *finish: Callable[[Path], bool]) -> int:
    """Runs a job of Hydra's, or the sweep that it is told, and then what belongs to its end.

    Args:
        job: What Hydra made of a function.
        arguments: What it is told.
        finish: What is done then with the sweep's folder, whatever happened; each says whether all is well.
            The first is done for a sweep that was stopped, too.

    Returns:
        The exit status.
    """
    # else Hydra prints errors itself, in several lines
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = [at_home(argument) for argument in arguments]
    Command.sweep = Command.lock = None
    status, written = 0, False
    try:
        try:
            job()
        except Exception as error:
            lost_signal()
            if Command.sweep is None:
                fail(one_line(error, sys.argv[1:]))
            # a launcher that broke down, a worker that was killed
            print(f"error: {one_line(error)}", file=sys.stderr)
            status = 1
        if Command.sweep is not None:
            for step in finish:
                complete, written = step(Command.sweep), True
                status = status or (0 if complete else 1)
    except KeyboardInterrupt as stop:
        status = stopped(stop)
        # of what is done; a second signal ends this too
        if Command.sweep is not None and not written:
            finish[0](Command.sweep)
    finally:
        if Command.lock is not None:
            Command.lock.release()
    return status


def tables(results: Path) -> bool:
    """Writes a sweep's tables and figures; whether every cell is done or can't be."""
    from bench.analysis import summary

    said, complete = summary.write(results)
    print(said)
    return complete


def recognition(results: Path) -> bool:
    """Writes a sweep's cross recognition, if asked for; what turns out to be damaged is computed again.

    Returns:
        Whether it could be written.
    """
    from bench import cell
    from bench.analysis import transfer

    if not Command.transfer:
        transfer.remove(results)
        return True
    healed = []

    def again(key: str, error: Unreadable) -> None:
        if key not in Command.cells:
            raise error
        healed.append(cell.heal(Command.cells[key], error))

    try:
        print(*transfer.write(results, Command.reader, again), sep="\n")
    except OSError as error:
        log.warning("%s: can't be written (%s)", error.filename or results, error.strerror or error)
        return False
    return tables(results) if healed else True


if __name__ == "__main__":
    # launchers send the job to other processes by its module's name, which is not "__main__"
    from bench.run import main as command

    command()
