"""The command ``python -m bench audit``: Hydra composes rows, each is audited, tables are written.

Here belongs what an audit does otherwise than ``run``, whose ways it goes: what its settings may be, what is
said of a row, and what is left of all rows at the end. What a row asks is made in ``auditing``, what it finds
in ``analysis.audit``.
"""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench import axes, run
from bench.checks import ConfigError, NotApplicable
from bench.choices import conf_dir
from bench.command import fail, lost_signal
from bench.composing import again, audited, one_line, typed
from bench.config import AuditSettings, Config
from bench.results.files import Unreadable, log
from bench.results.store import Store

if TYPE_CHECKING:
    from bench.auditing import Ready

FOREIGN = {
    "attack": "an audit has a plan of its own; attacks=+NAME adds one to it",
    "criterion": "an audit is untargeted; leave it out",
    "count": "an audit is of the first test images, right or wrong; samples says how many",
    "evaluation": "how many draws there are is the plan's; effort=standard and thorough do more",
    "transfer": "an audit has no cross recognition; python -m bench.run has",
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

    def check(composed: DictConfig) -> Config:
        try:
            return checked(composed, here=run.runs_here(config)).cell.config
        except NotApplicable:
            # said in its turn
            return audited(composed)[0]

    jobs = run.checked(config, check)
    begin(jobs)


def begin(jobs: list[Config]) -> None:
    """Takes the folder of all rows, in which none is done yet."""
    Rows.expected = len(jobs)
    Rows.store = Store(Path(jobs[-1].output_dir) / "store")
    results = run.begin(jobs)
    shutil.rmtree(rows_of(results), ignore_errors=True)
    run.Command.sweep = results


def rows_of(results: Path) -> Path:
    """Where it is written down what became of each row, in whichever process, until there are tables."""
    return results / ".rows"


def checked(composed: DictConfig, here: bool = True) -> "Ready":
    """A row that was composed, checked before anything is trained.

    Args:
        composed: By Hydra.
        here: Whether it runs on this machine.

    Raises:
        NotApplicable, ConfigError, HydraException: for settings that can't be used.
    """
    from bench import auditing, parts

    hydras = composed.hydra if "hydra" in composed else HydraConfig.get()
    given = [str(override) for override in hydras.overrides.task]
    for group in map(_group, given):
        if group in FOREIGN:
            raise ConfigError(f"{group}: {FOREIGN[group]}")
    config, settings = audited(composed)
    if here:
        parts.device(config)
    # of a cell alone
    given = [one for one in given if _group(one) not in AuditSettings.KEYS]
    baseline = None
    if settings.baseline is not None:
        changes = []
        for key, value in settings.baseline.items():
            if axes.side(key) != "defender":
                raise ConfigError(
                    f"audit.baseline.{key}: expected a setting of the defender's: model, training, scheme, "
                    "train_rate, or one in their sections"
                )
            changes.append(f"{key}={json.dumps(value)}")
        try:
            baseline = typed(again(composed, [*given, *changes]))
        except Exception as error:
            raise ConfigError(f"audit.baseline: {one_line(error, changes)}") from None
    attacks = []
    for name in settings.attacks:
        try:
            attacks.append(typed(again(composed, [*given, f"attack='{name}'"])).attack)
        except Exception as error:
            raise ConfigError(f"attacks: {one_line(error)}") from None
    return auditing.prepare(config, settings, baseline, attacks)


def _group(override: str) -> str:
    """The first part of an override's key."""
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="audit")
def job(composed: DictConfig) -> None:
    """One row. In a sweep it never raises, so that the others go on."""
    from bench import auditing, cell

    hydra_config, sweeping = run.at_work()
    number = hydra_config.job.num if sweeping else 0
    try:
        config, _ = audited(composed)
        results = Path(config.output_dir) / config.name
        ready = checked(composed)
        if not sweeping:
            begin([config])
    except NotApplicable as reason:
        if not sweeping:
            run.say(one_line(reason), sweeping)
        words = " ".join([*hydra_config.overrides.task, f"is left out: {reason}"])
        _write_down(results, number, {"left out": words})
        print(f"[{number + 1}] {words}", flush=True)
        return
    except (Exception, SystemExit) as error:
        run.say(one_line(error, hydra_config.overrides.task), sweeping)
        return
    name = f"[{number + 1}] {ready.name}"
    try:
        found = auditing.run(ready, _Estimate(name))
    # an attack of the user's can raise anything at all
    except (Exception, SystemExit) as error:
        problem = cell.reason(error, config)
        run.say(f"{ready.name}: {problem}", sweeping, 2 if isinstance(error, ConfigError) else 1)
        return
    lost_signal()
    print(f"{name}: real {found.table['real_pct'].iloc[0]:.1f} %: {found.verdict}", flush=True)
    _write_down(results, number, {"key": found.key, "settings": ready.settings})


def _write_down(results: Path, number: int, what: dict[str, Any]) -> None:
    rows_of(results).mkdir(parents=True, exist_ok=True)
    (rows_of(results) / f"{number:06}.json").write_text(json.dumps(what))


class _Estimate:
    """Says the first line, which is what is estimated before the first attack, and nothing of the rest.

    Args:
        name: Of the row.
    """

    def __init__(self, name: str):
        self.name, self.said = name, False

    def __call__(self, words: str) -> None:
        if not self.said:
            print(f"{self.name}: {words}", flush=True)
        self.said = True


class Rows:
    """What this process knows of its rows, once they were found good.

    Attributes:
        expected: How many there are.
        store: Where they are kept.
    """

    expected: int = 0
    store: Store = Store(Path())


def main(given: Namespace) -> None:
    """The command.

    Args:
        given: Its arguments, as ``manual`` parses them.

    Raises:
        SystemExit: with status 0 if every row is done or can't be, 1 if one failed, 2 for a setting that
            can't be used, 130 after Ctrl-C, 143 after SIGTERM.
    """
    arguments = list(given.settings)
    if given.samples is not None:
        # in whichever folder a row runs
        path = str(given.samples.expanduser().absolute()).replace("\\", r"\\").replace("'", r"\'")
        arguments.append(f"audit.samples='{path}'")
    if given.config_dir is not None:
        arguments = ["--config-dir", str(given.config_dir), *arguments]
    raise SystemExit(run.carry_out(job, ["-m"] * given.multirun + arguments, tables))


def tables(results: Path) -> bool:
    """Writes and prints the tables of the rows that are done; whether all of them are, or can't be."""
    from bench.analysis.audit import writing
    from bench.analysis.audit.asking import AUDITS, Found

    rows, left_out, complete = [], [], True
    files = sorted(rows_of(results).glob("*.json"))
    for row in (json.loads(file.read_text()) for file in files):
        if "left out" in row:
            left_out.append(row["left out"])
            continue
        try:
            found = Found.of(Rows.store.kept(AUDITS, row["key"]))
        except Unreadable as error:
            # a store that can't be written to was said
            log.warning("%s", error)
            complete = False
            continue
        rows.append(writing.Named(row["settings"], found))
    if rows:
        try:
            said, written = writing.write(results, rows)
        except OSError as error:
            log.warning("%s: can't be written (%s)", error.filename or results, error.strerror or error)
            return False
        print(said)
        print(*left_out, *written, sep="\n")
    shutil.rmtree(rows_of(results), ignore_errors=True)
    return complete and len(files) == Rows.expected
