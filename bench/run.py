"""The command ``python -m bench.run``: Hydra composes a configuration, cells run, records are written.

Here belongs what Hydra asks for, what is printed, and the exit status. What a cell is and does is in
``cell``; tables and figures are made by ``aggregate``.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from bench import config as settings
from bench.config import Config, NotApplicable, Reader
from bench.records import OK, Store, Unreadable, log

GROUPS = ("dataset", "model", "scheme", "attack", "criterion")


def conf_dir() -> str:
    """The folder of ``config.yaml``: inside the package where it was installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return str(next(d for d in (here / "conf", here.parent / "conf") if (d / "config.yaml").exists()))


def typed(composed: DictConfig) -> Config:
    """A composed configuration as a checked ``Config``; each choice is named after its file.

    Raises:
        As ``config.typed``.
    """
    chosen = composed.hydra.runtime.choices if "hydra" in composed else HydraConfig.get().runtime.choices
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    with open_dict(own):
        for group in GROUPS:
            own[group].name = own[group].name or str(chosen[group])
    return settings.typed(own)


def compose(overrides: Sequence[str]) -> Config:
    """The settings that the command would be given by these overrides, for a process that isn't the command.

    Raises:
        As ``config.typed``, and HydraException for what can't be composed.
    """
    with hydra.initialize_config_dir(conf_dir(), version_base="1.3"):
        return typed(hydra.compose("config", overrides=list(overrides), return_hydra_config=True))


def one_line(error: BaseException) -> str:
    """What an error says, in one line that names the key and what is allowed."""
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        allowed = [option for option in error.options if option != "null"]
        hint = f"; allowed: {', '.join(allowed)}" if allowed else ""
        return f"{group}={choice}: no such choice{hint}"
    # Hydra's outer error says that something can't be composed, OmegaConf's inner one which key and why
    inner = error
    while not isinstance(inner, OmegaConfBaseException) and (inner.__cause__ or inner.__context__):
        inner = inner.__cause__ or inner.__context__ or inner
    if isinstance(inner, OmegaConfBaseException) and inner.full_key:
        if isinstance(inner, ConfigKeyError | ConfigAttributeError):
            if dataclasses.is_dataclass(inner.object_type):
                allowed = [f.name for f in dataclasses.fields(inner.object_type)]
                return f"{inner.full_key}: no such key; allowed: {', '.join(allowed)}"
            return f"{inner.full_key}: not set before; write +{inner.full_key}=... to add it"
        return f"{inner.full_key}: {str(inner.msg).splitlines()[0]}"
    return " ".join(str(error).split()).partition(" Config search path")[0]


class SweepCallback(Callback):
    """Checks every job of a sweep before the first one starts, and writes down which cells it is made of."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Ends the process with status 2 if any job is bad, naming every bad one."""
        from bench import aggregate, cell

        problems, cells = [], []
        Command.cells = {}
        for overrides in expand(config):
            try:
                composed = loader().load_sweep_config(config, overrides)
                job = typed(composed)
                try:
                    if here(config):
                        cell.device(job)
                    ready = cell.prepare(job)
                    key, network = ready.key, ready.training.key
                    Command.cells[key] = ready
                except NotApplicable as reason:
                    key, network = cell.not_applicable(job, str(reason))["key"], None
                cells.append(cell.entry(job, key, network))
            except (HydraException, OmegaConfBaseException) as error:
                problems.append(one_line(error))
        if problems:
            for problem in dict.fromkeys(problems):
                print(f"error: {problem}", file=sys.stderr)
            raise SystemExit(2)
        results = Path(config.output_dir) / config.name
        open_store(cell.store(job))
        try:
            aggregate.write_manifest(results, cell.store(job), cells)
        except OSError as error:
            fail(f"output_dir: {error.filename or results}: can't be written ({error.strerror or error})")
        Command.sweep, Command.transfer = results, config.transfer
        Command.reader = Reader(tuple(job.trusted_modules), job.data_dir)


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


def here(config: DictConfig) -> bool:
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
    from bench import aggregate, cell

    hydra_config = HydraConfig.get()
    if hydra_config.mode is not RunMode.MULTIRUN:
        try:
            config = typed(composed)
            cell.device(config)
            ready = cell.prepare(config)
        except (HydraException, OmegaConfBaseException) as error:
            fail(one_line(error))
        open_store(ready.store)
        record = cell.run(ready)
        print(aggregate.terminal(aggregate.frame_of([record])))
        print(ready.store.record_path(record["key"]))
        if record["status"] != OK:
            fail(record["reason"], 1)
        return
    config = typed(composed)
    try:
        record = cell.run(cell.prepare(config))
    except NotApplicable as reason:
        record = cell.not_applicable(config, str(reason))
    progress = aggregate.progress(Path(config.output_dir) / config.name)
    print(f"[{hydra_config.job.num + 1}] {aggregate.summary(record)}; {progress}", flush=True)


class Command:
    """What the sweep that this process runs has told it.

    Attributes:
        sweep: The folder of its tables and figures, once its jobs were found good.
        transfer: Whether it ends in its cross recognition.
        reader: Whose code may run in it.
        cells: Its checked cells by their keys.
    """

    sweep: Path | None = None
    transfer: bool = True
    reader: Reader = Reader()
    cells: ClassVar[dict[str, Any]] = {}


def main() -> None:
    """The command: runs the cell or the sweep, and writes a sweep's tables whatever happened.

    Exit status: 0 if every cell is done or can't be, 1 if one failed or is missing, 2 for a setting
    that can't be used, 130 after Ctrl-C.
    """
    # else Hydra prints errors itself, in several lines
    os.environ["HYDRA_FULL_ERROR"] = "1"
    Command.sweep = None
    status = 0
    try:
        job()
    except (HydraException, OmegaConfBaseException) as error:
        fail(one_line(error))
    except KeyboardInterrupt:
        print("interrupted: what was finished is kept, the same command goes on from there", file=sys.stderr)
        status = 130
    except Exception as error:
        # a launcher that broke down, a worker that was killed
        if Command.sweep is None:
            raise
        print(f"error: {one_line(error)}", file=sys.stderr)
        status = 1
    finally:
        if Command.sweep is not None:
            complete = finish(Command.sweep, interrupted=status == 130)
            status = status or (0 if complete else 1)
    raise SystemExit(status)


def finish(results: Path, interrupted: bool) -> bool:
    """Writes a sweep's tables and its cross recognition; what turns out to be damaged is computed again.

    Returns:
        Whether every cell is done or can't be, and everything could be written.
    """
    from bench import aggregate, cell, transfer

    complete = aggregate.write(results)
    if interrupted:
        return complete
    if not Command.transfer:
        transfer.remove(results)
        return complete
    healed = []

    def again(key: str, error: Unreadable) -> None:
        if key not in Command.cells:
            raise error
        healed.append(cell.heal(Command.cells[key], error))

    try:
        print(*transfer.write(results, Command.reader, again), sep="\n")
    except OSError as error:
        log.warning("%s: can't be written (%s)", error.filename or results, error.strerror or error)
        complete = False
    return aggregate.write(results) and complete if healed else complete


def fail(problem: str, status: int = 2) -> NoReturn:
    """Says one line and ends the command."""
    print(f"error: {problem}", file=sys.stderr)
    raise SystemExit(status)


settings.register()

if __name__ == "__main__":
    # launchers send the job to other processes by its module's name, which is not "__main__"
    from bench.run import main as command

    command()
