"""What tests of several rooms share: the command, and one store, so that the network is trained once."""

import gc
import sys
from pathlib import Path

import pytest
import torch
from recording import four_cells
from running import Outcome, Run

from bench import run as command


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Passes this small are slowed by threads, and far more so where other work has the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def output_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that tests may share: a cell is the same whoever asks for it."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="session", autouse=True)
def imported() -> None:
    """What was imported stays, and is not gone through for garbage while configurations are composed."""
    gc.freeze()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep of records that nobody had to compute."""
    return four_cells(tmp_path)


@pytest.fixture
def bench_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output_dir: Path) -> Run:
    """Runs ``python -m bench.run`` in this process; without an ``output_dir`` it uses the shared one."""

    def run(*arguments: str) -> Outcome:
        given = list(arguments)
        if not any(a.startswith("output_dir=") for a in given):
            given.append(f"output_dir={output_dir}")
        monkeypatch.setattr(sys, "argv", ["bench.run", *given])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            command.main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return run
