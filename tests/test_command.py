import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.errors import MissingConfigException
from running import Run, hears_ctrl_c, start

import bench
from bench import choices, cli, command, composing, parts, run
from bench.analysis import search, summary, transfer
from bench.checks import ConfigError
from bench.config import Config
from bench.results.store import Store

QUICK = ("samples=4", "training.epochs=3", "evaluation.draws=2")


@pytest.fixture
def mine(tmp_path: Path) -> Callable[..., str]:
    """Writes files of the user's own, given by group and name, and gives their folder."""

    def write(files: dict[str, str]) -> str:
        for name, text in files.items():
            path = tmp_path / "my" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path / "my")

    return write


@pytest.fixture
def own_signals() -> Iterator[None]:
    """A signal that is sent to this process is the command's; what handled them before does again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # which may have been started by what ignores Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def line_of(bench_run: Run, *arguments: str) -> str:
    """The one line that is said of bad settings, before anything was trained or written."""
    given = next((a for a in arguments if a.startswith("output_dir=")), None)
    outcome = bench_run(*arguments)
    assert outcome.status == 2, (arguments, outcome.err)
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("error: "), line
    if given is not None:
        assert not (Path(given.partition("=")[2]) / "store").exists(), arguments
    return line.removeprefix("error: ")


def test_an_option_needs_no_plus_and_a_typo_still_gets_its_line(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run("-m", "attack=lbfgs", "attack.options.steps=2,3", "name=options", *QUICK)
    assert outcome.status == 0, outcome.err
    assert list(pd.read_csv(output_dir / "options" / "results.csv")["attack.options.steps"]) == [2, 3]
    # as one wrote it until now
    assert bench_run("attack=lbfgs", "+attack.options.steps=2", *QUICK).status == 0
    cases = {
        "attack.options.stpes=2": "attack.options.stpes: LBFGSAttack takes no such option; allowed: search_steps",
        "attack.optoins.steps=2": "attack.optoins: no such key; allowed: name, _target_, options",
        "dataset.options.tset_size=9": "dataset.options.tset_size: digits takes no such option",
        "model.options.widht=9": "model.options.widht: TwoConv takes no such option",
        "scheme.operation.options.scale=2": "scheme.operation.options.scale: Dropout takes no such option",
        "training.epsilon=2": "training.epsilon: Standard takes no such option; allowed: none",
        "model.train_rates.fc9=0.1": "model.train_rates.fc9: two_conv has no such site; allowed: input, feature",
    }
    for override, words in cases.items():
        assert line_of(bench_run, "attack=lbfgs", override).startswith(words)
    assert "attack.options.stpes: " in line_of(bench_run, "-m", "attack=lbfgs", "attack.options.stpes=2,3")


def test_a_search_and_an_experiment_take_options_too(bench_run: Run, mine: Callable[..., str]) -> None:
    config = composing.compose(["attack=cw_l0", "attack.options.channel_axis=1"])
    assert config.attack.options == {"channel_axis": 1}
    assert search.settle(["scheme=fc", "attack.options.a=1"]).attack.options == {"a": 1}
    folder = mine(
        {
            "experiment/steps": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
            "      attack: lbfgs\n      attack.options.steps: 2,3\n"
        }
    )
    outcome = bench_run("--config-dir", folder, "+experiment=steps", "name=options", *QUICK)
    assert outcome.status == 0, outcome.err


def test_a_file_that_is_no_scheme_gets_one_line(
    bench_run: Run, mine: Callable[..., str], tmp_path: Path
) -> None:
    cases = {
        "tabs": ("sites:\n\tfc: 0.5\n", "scheme/tabs.yaml, line 2: not YAML: found character"),
        "dup": (
            "sites:\n  fc: 0.5\n  fc: 0.1\n",
            "scheme/dup.yaml, line 3: not YAML: found duplicate key fc",
        ),
        "empty": ("", "scheme.sites: has to be given, and isn't; sites: {} is a scheme without any"),
        "comment": ("# nothing yet\n", "scheme.sites: has to be given"),
        "nothing": ("sites:\n", "scheme.sites: expected a value, got null"),
        "without": ("sites:\n  fc: null\n", "scheme.sites.fc: expected a value, got null"),
        "listed": ("sites: [fc]\n", "scheme=listed: Invalid type assigned: list is not a subclass of Dict"),
        "list": ("- fc: 0.5\n", "scheme=list: a list stands where names and values belong"),
        "text": ("fc 0.5\n", "scheme.fc 0.5: no such key; allowed: name, sites"),
        "comma": ("sites:\n  fc: 0,5\n", "scheme.sites.fc: Value '0,5' of type 'str' could not be"),
        "operation": (
            "sites:\n  fc: 0.5\noperation: a.B\n",
            "scheme.operation: expected one of dropout, noise, ",
        ),
        "infinite": ("sites:\n  fc: .inf\n", "scheme.sites.fc: expected a finite number, got inf"),
        "undefined": ("sites:\n  fc: ${nothing}\n", "scheme.sites.fc: Interpolation key 'nothing' not found"),
    }
    folder = mine({f"scheme/{name}": text for name, (text, _) in cases.items()})
    out = f"output_dir={tmp_path / 'out'}"
    for name, (_, words) in cases.items():
        assert words in line_of(bench_run, "--config-dir", folder, f"scheme={name}", out)
    # and a line each in a sweep
    outcome = bench_run("-m", "--config-dir", folder, "scheme=tabs,fc,dup,empty", out)
    assert outcome.status == 2
    assert len(outcome.err.strip().splitlines()) == 3


def test_a_name_that_hydra_reads_otherwise_says_how_to_quote_it(
    bench_run: Run, mine: Callable[..., str], output_dir: Path
) -> None:
    names = ("50", "true", "0.5", "a=b", "my,scheme", "Nan")
    folder = mine({f"scheme/{name}": "sites:\n  fc: 0.5\n" for name in names})
    for name in names:
        line = line_of(bench_run, "--config-dir", folder, f"scheme={name}")
        assert line.startswith(f"scheme={name}: ")
        assert line.endswith(f"\"scheme='{name}'\""), line
    swept = bench_run("-m", "--config-dir", folder, "scheme=my,scheme", "attack=fgsm", *QUICK)
    assert swept.status == 2
    assert swept.err.splitlines()[0].endswith("\"scheme='my,scheme'\"")
    quoted = ",".join(f"'{name}'" for name in names)
    outcome = bench_run("-m", "--config-dir", folder, f"scheme={quoted}", "name=quoted", *QUICK)
    assert outcome.status == 0, outcome.err
    found = pd.read_csv(output_dir / "quoted" / "results.csv", dtype=str, keep_default_na=False)["scheme"]
    assert list(found) == list(names)


@pytest.mark.parametrize(
    "override",
    [
        "attack.epsilon=nan",
        "attack.epsilon=inf",
        "attack.options.stepsize=inf",
        "attack.options.deep.down=nan",
        "train_rate=nan",
        "training.learning_rate=-inf",
        "dataset.options.scale=nan",
        "scheme.operation.options.scale=inf",
        "training.scale=nan",
    ],
)
def test_a_setting_that_is_no_finite_number_is_refused(bench_run: Run, override: str) -> None:
    key, _, value = override.partition("=")
    assert line_of(bench_run, "attack=pgd", override) == f"{key}: expected a finite number, got {value}"


@pytest.mark.parametrize("name", [".", "./.", "''", "", "/results", "a/../b"])
def test_a_name_is_a_folder_inside_output_dir(bench_run: Run, name: str) -> None:
    assert line_of(bench_run, f"name={name}").startswith(
        "name: expected a folder's name inside output_dir, got"
    )


@pytest.mark.parametrize("group", ["attack=null", "attack=[fgsm,pgd]", "~attack"])
def test_a_group_has_one_choice(bench_run: Run, group: str) -> None:
    assert line_of(bench_run, group).startswith("attack")


def test_a_sweep_has_one_folder(bench_run: Run, mine: Callable[..., str], tmp_path: Path) -> None:
    here = tmp_path / "here"
    swept = f"output_dir={here},{tmp_path / 'there'}"
    assert line_of(bench_run, "-m", swept).startswith(f"output_dir: a sweep has one folder, got {here}, ")
    out = f"output_dir={here}"
    assert line_of(bench_run, "-m", "name=a,b", out).startswith("name: a sweep has one folder, got a, b")
    folder = mine(
        {
            "experiment/two": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
            "      name: a,b\n"
        }
    )
    line = line_of(bench_run, "--config-dir", folder, "+experiment=two", out)
    assert line.startswith("name: a sweep has one folder")


def test_home_is_found_in_a_folder_name(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for given in ("~/results", "'~/quoted'"):
        assert bench_run("-m", f"output_dir={given}", "data_dir=~/data", *QUICK).status == 0
    assert (tmp_path / "home" / "results" / "sweep" / "results.csv").exists()
    assert (tmp_path / "home" / "quoted" / "sweep" / "results.csv").exists()
    assert not list(tmp_path.glob("*~*"))
    assert composing.compose(["data_dir='~/data'"]).data_dir == str(tmp_path / "home" / "data")
    assert composing.compose(["data_dir=~/data"]).data_dir == str(tmp_path / "home" / "data")


def test_folders_are_relative_to_where_the_command_was_started(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chdir = ("hydra.job.chdir=true", "output_dir=here", *QUICK)
    outcome = bench_run("-m", "attack=pgd", "criterion=topk,untargeted", *chdir)
    assert outcome.status == 0, outcome.err
    frame = pd.read_csv(tmp_path / "here" / "sweep" / "results.csv")
    assert list(frame["status"]) == ["not_applicable", "ok"]
    single = bench_run("attack=pgd", *chdir)
    assert single.status == 0, single.err
    assert Path(single.out.strip().splitlines()[-1]).exists()


def test_a_module_of_the_users_that_breaks_is_one_line_a_job_and_nothing_runs(
    bench_run: Run, mine: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mysyntax.py").write_text("class Noise(:\n")
    (tmp_path / "myvalue.py").write_text("1 / 0\n")
    (tmp_path / "myclass.py").write_text(
        "class Raises:\n    def __init__(self): raise LookupError('in two\\nlines')\n"
        "class Ends:\n    def __init__(self): raise SystemExit(7)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    targets = ("mysyntax.Noise", "myvalue.Noise", "myclass.Raises", "myclass.Ends")
    folder = mine(
        {
            f"scheme/broken{i}": f"sites:\n  fc: 0.5\noperation:\n  _target_: {target}\n"
            for i, target in enumerate(targets)
        }
    )
    given = ("--config-dir", folder, "trusted_modules=[bench,foolbox,mysyntax,myvalue,myclass]")
    out = f"output_dir={tmp_path / 'out'}"
    for i, kind in enumerate(("SyntaxError", "ZeroDivisionError", "in two lines", "SystemExit")):
        assert kind in line_of(bench_run, *given, f"scheme=broken{i}", out)
    outcome = bench_run("-m", *given, "scheme=broken0,fc,broken1,broken2,broken3", out)
    assert outcome.status == 2
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)
    assert not (tmp_path / "out" / "store").exists()


def test_a_launcher_that_is_not_installed_names_its_extra() -> None:
    error = MissingConfigException("no", "hydra/launcher/joblib", ["basic"])
    assert composing.one_line(error) == (
        'hydra/launcher=joblib: not installed; it comes with pip install "bench[launchers]"'
    )


def test_two_sweeps_of_one_name_are_not_run_at_once(bench_run: Run, output_dir: Path) -> None:
    sweep = ("-m", "scheme=none,fc", "name=busy", *QUICK)
    lock = command.hold(output_dir / "busy")
    assert lock is not None
    assert line_of(bench_run, *sweep) == (
        f"name: a sweep is running in {output_dir / 'busy'}; wait for its end, or choose another name"
    )
    assert not (output_dir / "busy" / "cells.json").exists()
    lock.release()
    # one after another is as it was, and holds nothing afterwards
    assert bench_run(*sweep).status == bench_run(*sweep).status == 0
    again = command.hold(output_dir / "busy")
    assert again is not None
    again.release()


def test_a_search_holds_its_folder_too(output_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = command.hold(output_dir / "searched")
    assert lock is not None
    with pytest.raises(SystemExit) as ended:
        cli.main(["search", f"output_dir={output_dir}", "name=searched", "scheme=fc", *QUICK])
    lock.release()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: name: a sweep is running in ")


def test_a_killed_sweep_holds_nothing_and_a_folder_without_a_lock_is_no_error(tmp_path: Path) -> None:
    program = (
        f"from pathlib import Path\nfrom bench.command import hold\nlock = hold(Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program + "print('held', flush=True)\nimport time; time.sleep(60)"],
        env=environment(), text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(SystemExit):
        command.hold(tmp_path)
    process.kill()
    process.communicate()
    lock = command.hold(tmp_path)
    assert lock is not None
    lock.release()
    # as in a folder that is only to be read
    (tmp_path / "other" / ".lock").mkdir(parents=True)
    assert command.hold(tmp_path / "other") is None


def environment(**own: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent), **own}


def alive(root: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def test_sigterm_is_one_line_and_a_table_and_leaves_no_process(
    mine: Callable[..., str], tmp_path: Path
) -> None:
    pgd = "_target_: foolbox.attacks.LinfProjectedGradientDescentAttack\noptions:\n  steps: 300000\nepsilon: 0.3\n"
    arguments = ["-m", "--config-dir", mine({"attack/slow": pgd}), "attack=fgsm,slow", *QUICK]
    process = start([*arguments, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], tmp_path)
    kept, deadline = tmp_path / "outputs" / "store" / "records", time.monotonic() + 120
    while not list(kept.glob("*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers = alive(process.pid)
    assert len(workers) >= 2
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert err == "terminated: what was finished is kept, the same command goes on from there\n"
    frame = pd.read_csv(tmp_path / "outputs" / "sweep" / "results.csv")
    assert list(frame["status"]) == ["ok", "missing"]
    deadline = time.monotonic() + 5
    while left := {pid for pid in workers if Path(f"/proc/{pid}/exe").exists()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("room", [summary, transfer])
@pytest.mark.usefixtures("own_signals")
def test_a_signal_while_tables_are_made_is_one_line(
    bench_run: Run, output_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int, room: object
) -> None:
    write, calls = room.write, []  # type: ignore[attr-defined]

    def signalled(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            os.kill(os.getpid(), number)
        return write(*arguments)

    monkeypatch.setattr(room, "write", signalled)
    table = output_dir / "stopped" / "results.csv"
    table.unlink(missing_ok=True)
    outcome = bench_run("-m", "scheme=none,fc", "name=stopped", *QUICK)
    assert outcome.status == 128 + number
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    assert outcome.err == f"{word}: what was finished is kept, the same command goes on from there\n"
    # the table is a matter of a second, and is made after all; the cross recognition isn't
    assert table.exists()
    assert len(calls) == (2 if room is summary else 1)


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from bench import run\n"
        "from bench.analysis import summary\n"
        "def write(results):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    raise AssertionError('went on')\n"
        "summary.write = write\n"
        "run.main()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, "-m", *QUICK],
        cwd=tmp_path, env=environment(), text=True, capture_output=True, timeout=120,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip
    assert process.returncode == 130, process.stderr
    assert process.stderr == "interrupted: what was finished is kept, the same command goes on from there\n"


def test_a_second_ctrl_c_in_the_middle_of_the_end_is_no_traceback() -> None:
    program = (
        "import os, signal\n"
        "from bench import command\n"
        "signals = [signal.SIGINT] * 2\n"
        "def send():\n"
        "    if signals:\n"
        "        os.kill(os.getpid(), signals.pop())\n"
        "command.end_children = send\n"
        "command.guarded(send)()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], env=environment(), text=True, capture_output=True,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip
    assert process.returncode == 130, process.stderr
    assert process.stderr == "interrupted: what was finished is kept, the same command goes on from there\n"


@pytest.mark.usefixtures("own_signals")
def test_what_a_command_has_started_ends_with_it() -> None:
    # as a launcher's worker, which doesn't listen to SIGTERM and has a process of its own
    worker = "trap '' TERM; sleep 20 & wait"
    started: list[subprocess.Popen[bytes]] = []

    @command.guarded
    def main() -> None:
        started.append(subprocess.Popen(["/bin/sh", "-c", worker], start_new_session=True))
        while len(found := alive(started[0].pid)) < 1:
            time.sleep(0.01)
        processes.update(found | {started[0].pid})
        os.kill(os.getpid(), signal.SIGTERM)

    processes: set[int] = set()
    deadline = time.monotonic() + 15
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 143
    assert len(processes) == 2
    # they weren't waited for
    assert time.monotonic() < deadline
    while left := {pid for pid in processes if Path(f"/proc/{pid}/exe").exists()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "hydra.py").write_text("print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.run"],
        cwd=tmp_path, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_an_error_that_a_library_made_of_a_signal_is_the_signal(
    capsys: pytest.CaptureFixture[str], own_signals: None
) -> None:
    @command.guarded
    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise RuntimeError("of a library that tidied up")

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 143
    assert capsys.readouterr().err.startswith("terminated: ")


def test_a_terminal_of_ascii_that_goes_after_a_line_costs_nothing(
    mine: Callable[..., str], tmp_path: Path
) -> None:
    folder = mine({"scheme/named": "name: 'Schéma 名前 $\\frac{1}$'\nsites:\n  fc: 0.5\n"})
    arguments = ["-m", "--config-dir", folder, "scheme=none,named", *QUICK]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.run", *arguments],
        cwd=tmp_path, env=environment(PYTHONIOENCODING="ascii"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[1] ")
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert (process.wait(timeout=60), err) == (0, "")
    frame = pd.read_csv(tmp_path / "outputs" / "sweep" / "results.csv")
    assert list(frame["scheme"]) == ["none", "Schéma 名前 $\\frac{1}$"]
    assert (tmp_path / "outputs" / "sweep" / "transfer.csv").exists()


def test_it_runs_where_there_is_no_git(tmp_path: Path) -> None:
    without = {k: v for k, v in environment(PATH=str(tmp_path)).items() if k != "GIT_PYTHON_REFRESH"}
    program = "from bench import attacks; from bench.results import store; print(store.git_revision())"
    process = subprocess.run([sys.executable, "-c", program], env=without, text=True, capture_output=True)
    assert (process.returncode, process.stdout) == (0, "None\n"), process.stderr


def test_help_has_a_word_on_every_key_and_its_default(bench_run: Run) -> None:
    outcome = bench_run("--help")
    assert outcome.status == 0
    for key in dataclasses.fields(Config):
        name = "evaluation.draws" if key.name == "evaluation" else key.name
        (line,) = re.findall(rf"^  {name} +(\S.*)", outcome.out, re.MULTILINE)
        assert len(line.split()) > 2, key
    # the choices there are, and what says what they are
    assert re.search("^scheme: .*defensive_dropout, .*noise", outcome.out, re.MULTILINE)
    assert "python -m bench ls " in outcome.out
    given = composing.compose([])
    for name in ("seed", "samples", "count", "batch_size", "device", "threads", "output_dir", "name"):
        assert re.search(rf"^  {name} +{getattr(given, name)} ", outcome.out, re.MULTILINE), name
    assert f"evaluation.draws {given.evaluation.draws} " in outcome.out


def test_a_way_of_training_that_was_a_scheme_says_its_new_form(bench_run: Run, tmp_path: Path) -> None:
    out = f"output_dir={tmp_path / 'out'}"
    for scheme, training in (("distillation", "distillation"), ("adversarial_training", "adversarial")):
        words = f"scheme={scheme}: it is a way of training: training={training} (with scheme=none)"
        assert line_of(bench_run, f"scheme={scheme}", out) == words
        assert composing.compose([f"training={training}", "scheme=none"]).training.name == training
    assert line_of(bench_run, "-m", "scheme=fc,distillation", out).startswith(
        "scheme=distillation: it is a way"
    )
    for old in (
        "scheme.training.options.temperature=3",
        "+scheme.training._target_=bench.training.fit.Standard",
    ):
        assert line_of(bench_run, old, out).startswith(
            "scheme.training: how a network is trained is no part of its scheme: training=WAY, or "
        )


def test_a_fraction_is_a_number(bench_run: Run) -> None:
    config = composing.compose(
        ["training=adversarial", "training.epsilon=8/255", "attack.epsilon=8/255", "scheme=fc",
         "scheme.sites.fc=3/4", "test_rate=1/4"]
    )  # fmt: skip
    assert config.training.options["epsilon"] == config.attack.epsilon == 8 / 255
    assert (config.scheme.sites["fc"], config.test_rate) == (0.75, 0.25)
    assert line_of(bench_run, "attack.epsilon=8/0").startswith(
        "attack.epsilon: Value '8/0' of type 'str' could"
    )


def test_an_operation_has_a_short_name(bench_run: Run, mine: Callable[..., str]) -> None:
    short = "sites:\n  input: 0.1\n  fc: {operation: dropout, rate: 0.5}\noperation: noise\n"
    with_target = (
        "sites: {input: 0.1, fc: {operation: {_target_: bench.schemes.Dropout}, rate: 0.5}}\n"
        "operation: {_target_: bench.schemes.Noise}\n"
    )
    folder = Path(mine({"scheme/short": short, "scheme/long": with_target}))
    one, other = (composing.compose([f"scheme={name}"], folder).scheme for name in ("short", "long"))
    assert one.at() == other.at()
    assert one.at()["input"][0]._target_ == "bench.schemes.Noise"
    assert line_of(bench_run, "scheme=fc", "scheme.operation=nois").endswith("got nois; did you mean noise?")


def test_a_ways_option_stands_beside_the_others(bench_run: Run) -> None:
    cases = {
        "training.temprature=3": "training.temprature: Distillation takes no such option; allowed: temperature",
        "training.temperature=0": "training: expected a temperature over 0, got 0",
    }
    for override, words in cases.items():
        assert line_of(bench_run, "training=distillation", override) == words


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_one_line_with_those_that_are() -> None:
    for device, words in (("cuda:1", "there is no GPU here"), ("mps", "there is no mps here")):
        with pytest.raises(ConfigError) as refused:
            parts.device(Config(device=device))
        assert str(refused.value) == f"device: {words}; allowed: auto, cpu"
    assert parts.device(Config(device="auto")) == torch.device("cpu")


def test_every_scheme_can_be_asked_for_and_what_cannot_be_is_a_hole_with_its_reason(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what the sweep is made of is known before its first job
    monkeypatch.setattr(run.Command, "cells", {})
    monkeypatch.setattr(BasicSweeper, "sweep", lambda self, arguments: None)
    monkeypatch.setattr(run, "tables", lambda results: True)
    outcome = bench_run("-m", "scheme=glob(*)", "transfer=false", *QUICK, f"output_dir={tmp_path}")
    assert outcome.status == 0, outcome.err
    store = Store(tmp_path / "store")
    cells = json.loads((tmp_path / "sweep" / "cells.json").read_text())["cells"]
    every = {path.stem for path in (Path(choices.conf_dir()) / "scheme").glob("*.yaml")}
    assert {cell["config"]["scheme"]["name"] for cell in cells} == every
    holes = {}
    for cell in cells:
        if cell["key"] not in run.Command.cells:
            record = store.read(cell["key"])
            assert record is not None
            assert record["status"] == "not_applicable"
            holes[record["cell"]["scheme"]] = record["reason"]
    lacks = "two_conv has no such site; allowed: input, feature, fc"
    modules = "Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, TwoConv"
    assert holes == {
        "defensive_dropout": f"scheme.sites.fc1: {lacks}",
        "sap": f"scheme.sites.conv: {lacks}",
        "mc_dropout": f"scheme.train_mode: no submodule is a _DropoutNd; there are {modules}",
        "own": "scheme: nothing is random: passes over the same images are equal; say what draws (draw, choose, "
        "train_mode, on), or use scheme=none; scheme=mc_dropout is nn.Dropout on",
    }


def test_a_file_of_ones_own_that_benchs_hides_is_said_once(
    bench_run: Run, mine: Callable[[dict[str, str]], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = mine({"scheme/fc": "sites:\n  fc: 0.9\n", "scheme/other": "sites:\n  fc: 0.9\n"})
    quick = ("samples=3", "training.epochs=1", "attack=fgsm_fixed", f"output_dir={tmp_path / 'out'}")
    for _ in range(2):
        bench_run("--config-dir", folder, "scheme=fc", *quick)
    said = [r.getMessage() for r in caplog.records if "of the same name isn't" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("scheme=fc: ")
    assert f"{folder}/scheme/fc.yaml" in said[0]
    bench_run("--config-dir", folder, "scheme=other", *quick)
    assert len([r for r in caplog.records if "of the same name isn't" in r.getMessage()]) == 1
