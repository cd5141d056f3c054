import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from recording import record, settings

from bench.analysis import summary
from bench.results.store import Store
from bench.results.sweep import Sweep, Table, write_manifest


def test_every_cell_of_a_sweep_is_a_row_whatever_became_of_it(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, whole = summary.write(sweep)
    assert not whole
    frame = pd.read_csv(sweep / "results.csv")
    assert list(frame["status"]) == ["ok", "not_applicable", "failed", "missing"]
    assert list(frame["reason"].fillna("")) == ["", "can't serve", "it broke", "not run yet"]
    assert frame["fresh_success_pct"][0] == 50
    assert frame["fresh_success_pct_low"][0] == pytest.approx(40)
    assert frame["fresh_success_pct"][1:].isna().all()
    assert len(list(sweep.glob("heatmap_*.png"))) == 1
    assert "it broke" in said
    assert said.splitlines()[-2] == str(sweep / "results.csv")
    # that is the command's to print
    assert capsys.readouterr().out == ""


def test_a_sweep_is_whole_when_the_rest_cannot_be(sweep: Path) -> None:
    cells = json.loads((sweep / "cells.json").read_text())["cells"]
    write_manifest(sweep, Store(sweep.parent / "store"), cells[:2])
    assert summary.write(sweep)[1]


def test_an_attack_that_never_succeeds_has_no_distance() -> None:
    table = Table.of([record("a", settings(), success=0.1, mad=None), record("b", settings("none"))])
    assert math.isnan(table.frame["mad_255_mean"][0])
    assert table.frame["mad_255_mean"][1] == 10
    assert "-" in summary.terminal(table)


def test_a_table_is_printed_without_what_runs_attacks_or_draws(sweep: Path) -> None:
    # seconds that everybody who looks at a table would wait
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bench.results.sweep import Sweep\n"
        "from bench.analysis import summary\n"
        "print(summary.terminal(Sweep(Path(sys.argv[1])).table()))\n"
        "assert not {'torch', 'foolbox', 'matplotlib', 'seaborn', 'scipy', 'hydra'} & set(sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", program, str(sweep)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "it broke" in found.stdout


def test_the_readmes_table_is_that_of_the_sweep_that_was_kept() -> None:
    root = Path(__file__).parents[2]
    printed = summary.terminal(Sweep(root / "outputs" / "reference" / "digits" / "sweep").table())
    assert printed in (root / "README.md").read_text()
