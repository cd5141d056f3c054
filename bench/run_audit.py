"""The command ``python -m bench audit``: Hydra composes rows, each is audited, tables are written.

Here belongs what Hydra asks for, what is printed, and the exit status, as in ``run``, whose ways these are.
What a row asks is made in ``auditing``; what it is made of is in ``analysis.audit``.
"""

import contextlib
import json
import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import hydra
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig

from bench.checks import ConfigError
from bench.choices import conf_dir
from bench.command import bear_output, fail, hold, lost_signal
from bench.composing import again, at_home, audited, one_line, typed
from bench.config import AuditSettings, Config
from bench.results.store import Store
from bench.run import expand, loader, open_store, runs_here

FOREIGN = {
    "attack": "an audit has a plan of its own, to which attacks=+NAME adds one",
    "criterion": "an audit is untargeted",
    "count": "an audit is of the first images of the test set, right or wrong",
    "evaluation": "an audit scores on draws of its plan",
    "transfer": "an audit compares a scheme with its twin",
}
"""Settings of a cell that an audit has no use for, and what is said of them."""


class AuditCallback(Callback):
    """Checks every row of a sweep before the first one starts."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Ends the process with status 2 if any row is bad, naming every bad one."""
        try:
            prepare(config)
        except Exception as error:
            lost_signal()
            # Hydra would make it a warning, and go on
            fail(one_line(error))


def prepare(config: DictConfig) -> None:
    """Does what ``AuditCallback`` says.

    Raises:
        SystemExit: with status 2 for a bad row, or a folder that another sweep is writing to.
    """
    problems: list[str] = []
    Command.rows = 0
    folders: dict[str, None] = {}
    store: Store | None = None
    for overrides in expand(config):
        try:
            composed = loader().load_sweep_config(config, overrides)
            ready = checked(composed, here=runs_here(config))
            folders[str(results_of(ready.config))] = None
            store = ready.store
            Command.rows += 1
        # foreign code may raise anything when it is imported or made
        except (Exception, SystemExit) as error:
            problems.append(one_line(error, overrides))
    if problems:
        for problem in dict.fromkeys(problems):
            print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2)
    if store is None:
        fail("a sweep without a row: one of its settings has no value")
    if len(folders) > 1:
        fail(f"output_dir, name: a sweep has one folder, got {', '.join(folders)}; start one for each")
    begin(Path(next(iter(folders))), store)
    # each was composed and found good here; Hydra would compose it once more, to see whether it can be
    Sweeper.validate_batch_is_legal = lambda self, batch: None  # type: ignore[method-assign]


def results_of(config: Config) -> Path:
    """Where tables go."""
    return Path(config.output_dir) / config.name


def rows_of(results: Path) -> Path:
    """Where it is written down which rows are done, until the tables are."""
    return results / ".rows"


def begin(results: Path, store: Store) -> None:
    """Takes the folder for this process, and says what is lying about."""
    Command.lock = hold(results)
    Command.results, Command.store = results, store
    open_store(store)
    shutil.rmtree(rows_of(results), ignore_errors=True)


def checked(composed: DictConfig, here: bool = True) -> Any:
    """A row that was composed, checked before anything is trained.

    Args:
        composed: By Hydra.
        here: Whether it runs on this machine.

    Raises:
        ConfigError: for a setting that can't be used.
    """
    from bench import auditing, parts

    hydras = composed.hydra if "hydra" in composed else HydraConfig.get()
    given = [str(override) for override in hydras.overrides.task]
    for override in given:
        if said := FOREIGN.get(_group(override)):
            raise ConfigError(f"{_group(override)}: {said}")
    config, settings = audited(composed)
    if here:
        parts.device(config)
    kept = [one for one in given if _group(one) not in AuditSettings.KEYS]
    baseline = None
    if settings.baseline is not None:
        changes = [f"{key}={json.dumps(value)}" for key, value in settings.baseline.items()]
        # nothing of it acts; what acts in training is the scheme's, unless the settings say otherwise
        still = ["test_rate=0"]
        if config.scheme.itself or not config.scheme.sites:
            kept = [one for one in kept if _group(one) != "scheme"]
            still = ["scheme=none"]
        try:
            baseline = typed(again(composed, [*kept, *still, *changes]))
        except Exception as error:
            raise ConfigError(f"audit.baseline: {one_line(error, changes)}") from None
    attacks = []
    for name in settings.attacks:
        try:
            attacks.append(typed(again(composed, [f"attack='{name}'"])).attack)
        except Exception as error:
            raise ConfigError(f"attacks: {one_line(error)}") from None
    return auditing.prepare(config, settings, baseline, attacks)


def _group(override: str) -> str:
    """The first part of an override's key."""
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="audit")
def job(composed: DictConfig) -> None:
    """One row. In a sweep it never raises, so that the others go on."""
    from bench import auditing
    from bench.analysis.audit.verdict import Verdict

    bear_output()
    hydra_config = HydraConfig.get()
    # folders that are given relative are so to where the command was started, in every process
    os.chdir(hydra_config.runtime.cwd)
    sweeping = hydra_config.mode is RunMode.MULTIRUN
    number = hydra_config.job.num if sweeping else 0
    try:
        ready = checked(composed)
        results = results_of(ready.config)
        if not sweeping:
            begin(results, ready.store)
        name = f"[{number + 1}] {ready.name}"
        found = auditing.run(ready, _Said(name))
        row = found.table.iloc[0]
        said = Verdict(row["verdict"] or "", row["verdict_of"] or "", row["why"])
        print(f"{name}: real {row['real_pct']:.1f} %: {said}", flush=True)
        rows_of(results).mkdir(parents=True, exist_ok=True)
        (rows_of(results) / f"{number:06}.json").write_text(json.dumps({"key": found.key}))
    except (Exception, SystemExit) as error:
        lost_signal()
        problem = one_line(error, hydra_config.overrides.task)
        if not sweeping:
            fail(problem, 2 if isinstance(error, ConfigError) else 1)
        Command.failed = True
        print(f"error: {problem}", file=sys.stderr, flush=True)
    lost_signal()


class _Said:
    """Says what is estimated before the first attack, and nothing of the rest."""

    def __init__(self, name: str):
        self.name, self.begun = name, False

    def __call__(self, words: str) -> None:
        if not self.begun:
            self.begun = True
            print(f"{self.name}: {words}", flush=True)


class Command:
    """What this process knows of its rows.

    Attributes:
        results: The folder of the tables, once all rows were found good.
        store: Where the rows are kept.
        lock: What keeps others out of that folder meanwhile.
        failed: Whether a row failed, as far as this process knows.
        rows: How many there are.
    """

    results: Path | None = None
    store: Store | None = None
    lock: FileLock | None = None
    failed: bool = False
    rows: int = 1


def run(given: Namespace) -> None:
    """The command.

    Args:
        given: Its arguments, as ``manual`` parses them.

    Raises:
        SystemExit: with status 1 if a row failed.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"
    arguments = [at_home(one) for one in given.settings]
    if given.samples is not None:
        path = str(given.samples.expanduser().resolve()).replace("'", "\\'")
        arguments.append(f"audit.samples='{path}'")
    if given.config_dir is not None:
        arguments = ["--config-dir", str(given.config_dir), *arguments]
    sys.argv[1:] = [*(["-m"] if given.multirun else []), *arguments]
    Command.results, Command.store, Command.lock, Command.failed = None, None, None, False
    Command.rows, done = 1, 0
    try:
        try:
            job()
        except Exception as error:
            lost_signal()
            if Command.results is None:
                fail(one_line(error, sys.argv[1:]))
            # a launcher that broke down, a worker that was killed
            print(f"error: {one_line(error)}", file=sys.stderr)
            Command.failed = True
    finally:
        with contextlib.ExitStack() as last:
            if Command.lock is not None:
                last.callback(Command.lock.release)
            if Command.results is not None and Command.store is not None:
                done = _tables(Command.results, Command.store)
    if Command.failed or done < Command.rows:
        raise SystemExit(1)


def _tables(results: Path, store: Store) -> int:
    """Writes and prints the tables of the rows that are done; how many these are."""
    from bench.analysis.audit import asking, writing

    found = []
    for file in sorted(rows_of(results).glob("*.json")):
        found.append(asking.Tables.of(store.kept(asking.AUDITS, json.loads(file.read_text())["key"])))
    if not found:
        return 0
    said, written = writing.write(results, found)
    shutil.rmtree(rows_of(results), ignore_errors=True)
    print(said, *written, sep="\n")
    return len(found)
