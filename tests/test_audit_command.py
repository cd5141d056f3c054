"""The command ``python -m bench audit``: its rows, its tables, and what it refuses before anything is trained."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Outcome

from bench import attacking, cli
from bench.analysis.audit import asking
from bench.analysis.audit.stage import Effort

Audit = Callable[..., Outcome]

TINY = Effort(2_000, 6, 1, 4, 3, 3, 1)


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output_dir: Path) -> Audit:
    """Runs it in this process, at an effort of a second."""
    monkeypatch.setitem(asking.EFFORTS, "quick", TINY)

    def run(*arguments: str) -> Outcome:
        given = list(arguments)
        if not any(one.startswith("output_dir=") for one in given):
            given.append(f"output_dir={output_dir}")
        # Hydra reads what the process was called with
        monkeypatch.setattr(sys, "argv", ["bench"])
        capsys.readouterr()
        try:
            cli.main(["audit", *given])
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


def test_a_sweep_of_rows_gives_tables_samples_and_what_is_read(
    audit: Audit, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["-m", "scheme=fc,none", "epsilon=0.1", "samples=20"]
    outcome = audit(*arguments)
    assert (outcome.status, outcome.err) == (0, "")
    where = output_dir / "audit"
    table = pd.read_csv(where / "audit.csv")
    assert table["scheme"].tolist() == ["fc", "none"]
    assert (table["images"] == 20).all()
    assert table["worth_points"][1] == 0
    # of the whole test set
    assert table["twin_clean_pct"][0] == table["clean_pct"][1] == pytest.approx(98.75, abs=1)
    assert table["clean_pct"][0] != table["twin_clean_pct"][0]
    for name in ("checks", "attacks", "images"):
        found = pd.read_csv(where / f"{name}.csv")
        assert set(found["scheme"]) == {"fc", "none"}
        assert set(found["epsilon"]) == {0.1}
    files = sorted((where / "samples").iterdir())
    assert len(files) == 2
    assert np.load(files[0])["images"].shape == (20, 1, 8, 8)
    assert "worth, one query" in outcome.out
    assert "at most" in outcome.out
    assert "knows weights, operation and rates, not the draw" in outcome.out

    # the same rows again pass nothing, alone or in another order, and with the samples of before
    def never(*given: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr(attacking, "attack", never)
    again = audit("scheme=fc", "epsilon=0.1", "samples=20", "name=other")
    assert again.status == 0
    one = pd.read_csv(output_dir / "other" / "audit.csv")
    pd.testing.assert_frame_equal(one, table[:1], check_dtype=False)
    assert audit("scheme=fc", "samples=20", "name=brought", "--samples", str(files[0])).status == 0
    attacks = pd.read_csv(output_dir / "brought" / "attacks.csv").set_index("attack")
    left = attacks["accuracy_left_pct"]["brought along"]
    assert left == pytest.approx(table["real_pct"][0], abs=10)


def test_another_launcher_gives_the_same_rows(audit: Audit, output_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["-m", "scheme=fc,none", "epsilon=0.1", "samples=12"]
    assert audit(*arguments, "name=here").status == 0
    # the networks alone are there
    shutil.copytree(output_dir / "store" / "checkpoints", tmp_path / "store" / "checkpoints")
    parallel = ["hydra/launcher=joblib", "hydra.launcher.backend=threading", "hydra.launcher.n_jobs=1"]
    assert audit(*arguments, *parallel, "name=there", f"output_dir={tmp_path}").status == 0
    here, there = (pd.read_csv(f / "audit.csv") for f in (output_dir / "here", tmp_path / "there"))
    pd.testing.assert_frame_equal(here.drop(columns="seconds"), there.drop(columns="seconds"))


def test_further_attacks_and_a_baseline_join(audit: Audit, output_dir: Path) -> None:
    given = ["scheme=fc", "epsilon=0.1", "samples=20", "name=more"]
    outcome = audit(*given, "attacks=+fgsm_fixed", "audit.baseline={train_rate: 0}", "audit.claim=99")
    assert outcome.status == 0, outcome.err
    row = pd.read_csv(output_dir / "more" / "audit.csv").iloc[0]
    assert not np.isnan(row["baseline_pct"])
    assert not np.isnan(row["over_baseline_points_low"])
    assert (row["verdict"], row["verdict_of"]) == ("refuted", "the figure")
    attacks = set(pd.read_csv(output_dir / "more" / "attacks.csv")["attack"])
    assert {"fgsm_fixed", "baseline: margin"} <= attacks


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["norm=l1"], "norm: expected one of linf, l2, got l1"),
        (["epsilon=2"], "epsilon: expected a number over 0, up to 1 for linf, got 2"),
        (["epsilon=much"], "epsilon: Value 'much' of type 'str' could not be converted"),
        (["effort=3"], "effort: expected a name, got 3"),
        (
            ["audit.clam=3"],
            "audit.clam: no such key; allowed: claim, margin, baseline, passes, minutes, samples",
        ),
        (["audit.claim=101"], "audit.claim: expected an accuracy in %, 0 to 100, got 101"),
        (["audit.margin=null"], "audit.margin: expected a value, got null"),
        (["audit.passes=0"], "audit.passes: expected a number over 0, got 0"),
        (["audit.baseline=3"], "audit.baseline: expected settings that differ"),
        (["audit.baseline={train_rte: 0}"], "audit.baseline: train_rte: no such key"),
        (["audit.baseline={dataset: mnits}"], "audit.baseline: dataset=mnits: no such choice"),
        (["attacks=+nosuch"], "attacks: attack=nosuch: no such choice; allowed: "),
        (["attacks=[fgsm, fgsm]"], "attacks: expected each name once, got fgsm, fgsm"),
        (["attacks=3"], "attacks: expected names of conf/attack"),
        (["attack=pgd"], "attack: an audit has a plan of its own"),
        (["criterion=targeted"], "criterion: an audit is untargeted"),
        (["evaluation.draws=3"], "evaluation: an audit scores on draws of its plan"),
        (["scheme=nosuch"], "scheme=nosuch: no such choice"),
        (["samples=100000"], "samples: digits has"),
        (["--samples", "nowhere.npz"], "samples: "),
    ],
)
def test_bad_input_is_one_line_before_anything_is_trained(
    audit: Audit, tmp_path: Path, arguments: list[str], line: str
) -> None:
    outcome = audit(*arguments, f"output_dir={tmp_path}")
    assert outcome.status == 2
    assert outcome.err.startswith(f"error: {line}")
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def test_every_bad_row_of_a_sweep_is_named(audit: Audit, tmp_path: Path) -> None:
    outcome = audit("-m", "scheme=fc,none", "epsilon=0.1,-1,3", f"output_dir={tmp_path}")
    assert outcome.status == 2
    assert outcome.err.splitlines() == [
        "error: epsilon: expected a number over 0, up to 1 for linf, got -1",
        "error: epsilon: expected a number over 0, up to 1 for linf, got 3",
    ]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_row_that_fails_is_said_and_the_others_go_on(
    audit: Audit, output_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "store").symlink_to(output_dir / "store")
    outcome = audit("-m", "scheme=fc,none", "samples=12", "audit.passes=200", f"output_dir={tmp_path}")
    assert outcome.status == 1
    assert outcome.err.startswith("error: audit.passes: expected at least ")
    assert pd.read_csv(tmp_path / "audit" / "audit.csv")["scheme"].tolist() == ["none"]
    alone = audit("scheme=fc", "samples=12", "audit.passes=200", f"output_dir={tmp_path}")
    assert (alone.status, alone.err.count("\n")) == (2, 1)
