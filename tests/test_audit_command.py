"""The command ``python -m bench audit``: its rows, its tables, and what it refuses before anything is trained."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Outcome

from bench import attacking, auditing, choices, cli
from bench.analysis import figures
from bench.analysis.audit import stages, tables
from bench.analysis.audit.stage import Effort

Audit = Callable[..., Outcome]

TINY = Effort(2_000, 6, 1, 4, 3, 3, 1)

QUICK = ("samples=8", "training.epochs=3")
"""What other tests train, too."""


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output_dir: Path) -> Audit:
    """Runs it in this process, at an effort of a second."""
    monkeypatch.setitem(stages.EFFORTS, "quick", TINY)
    # drawn in tests/analysis
    monkeypatch.setattr(figures, "audited", lambda points, path, title: path.touch())

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


def table(where: Path, name: str = "audit") -> pd.DataFrame:
    return pd.read_csv(where / f"{name}.csv")


def test_a_sweep_of_rows_gives_tables_samples_and_what_is_read(
    audit: Audit, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = audit("-m", "scheme=fc,none", "epsilon=0.1", *QUICK)
    assert (outcome.status, outcome.err) == (0, "")
    where = output_dir / "audit"
    rows = table(where)
    assert list(rows) == [*tables.NAMES, *tables.COLUMNS]
    assert rows["scheme"].tolist() == ["fc", "none"]
    assert (rows["images"] == 8).all()
    assert rows["worth_points"][1] == 0
    # of the whole test set
    assert rows["twin_clean_pct"][0] == rows["clean_pct"][1]
    assert 5 * rows["clean_pct"][1] % 5 != 0
    assert rows["clean_pct"][0] != rows["clean_pct"][1]
    for name, columns in (("checks", tables.OF_CHECKS), ("attacks", tables.OF_ATTACKS)):
        found = table(where, name)
        assert list(found) == [*tables.NAMES, *columns]
        assert set(found["scheme"]) == {"fc", "none"}
        assert set(found["epsilon"]) == {0.1}
    assert table(where, "images")["image"].tolist() == [*range(8), *range(8)]
    lines = outcome.out.splitlines()
    first = (
        "dataset=digits model=two_conv training=standard scheme=fc norm=linf epsilon=0.1 effort=quick seed=0"
    )
    # the estimate stands before the first attack
    assert lines[0].startswith(f"[1] {first}: at most ")
    assert lines[1].startswith(f"[1] {first}: real {rows['real_pct'][0]:.1f} %: ")
    head = " ".join(next(line for line in lines if line.startswith("scheme ")).split())
    assert head.startswith("scheme clean naive real (")
    assert head.endswith(" attacks) any of 10 twin fixed worth, one query worth, ten tries verdict")
    assert any("knows weights, operation and rates, not the draw" in line for line in lines)
    samples = sorted((where / "samples").iterdir())
    pictures = [f"curves_digits_two-conv_standard_{n}_linf_quick_0.png" for n in ("fc", "none")]
    papers = [*pictures, "audit.tex", "method.txt"]
    frames = [f"{n}.csv" for n in ("audit", "checks", "attacks", "images", "curves")]
    assert lines[-11:] == [
        *(str(where / name) for name in frames),
        *(
            str(where / "samples" / f"digits_two_conv_standard_{n}_linf_epsilon=0.1_quick_seed=0.npz")
            for n in ("fc", "none")
        ),
        *(str(where / name) for name in papers),
    ]
    assert [np.load(file)["images"].shape for file in samples] == [(8, 1, 8, 8)] * 2
    assert {path.name for path in where.iterdir()} - {".lock", "multirun.yaml"} == {
        *frames, *papers, "samples"
    }  # fmt: skip
    # what a paper takes says what was found, and how one comes by it again
    latex = (where / "audit.tex").read_text()
    assert f"fc & {rows['clean_pct'][0]:.1f} & {rows['real_pct'][0]:.1f} [" in latex
    method = (where / "method.txt").read_text()
    assert "8 test images" in method
    assert "scheme=fc,none norm=linf epsilon=0.1" in method
    # accuracy falls with the ball and with tries, and begins with the images as they are
    curves = table(where, "curves")
    fc = curves[(curves["scheme"] == "fc") & (curves["on"] == "scheme")]
    ball, tries = (fc[fc["against"] == one]["accuracy_pct"].tolist() for one in ("epsilon", "tries"))
    assert [ball[-1], tries[0]] == pytest.approx([rows["real_pct"][0]] * 2)
    assert tries[9] == pytest.approx(rows["any_of_10_pct"][0])
    assert tries == sorted(tries, reverse=True)
    assert len(ball) == 3
    assert ball == sorted(ball, reverse=True)
    assert ball[0] > ball[-1]

    # the same row again, alone, is only read; with samples of before it has the plan's of before
    monkeypatch.setattr(attacking, "attack", None)
    with monkeypatch.context() as patch:
        patch.setattr("bench.measuring.passes.correct", None)
        assert audit("scheme=fc", "epsilon=0.1", "name=other", *QUICK).status == 0
    pd.testing.assert_frame_equal(table(output_dir / "other"), rows[:1], check_dtype=False)
    assert audit("scheme=none", "name=brought", "--samples", str(samples[1]), *QUICK).status == 0
    left = table(output_dir / "brought", "attacks").set_index("attack")["accuracy_left_pct"]
    assert left["brought along"] == rows["real_pct"][1]


def test_whatever_else_is_swept_is_a_column_and_no_row_is_lost(audit: Audit, output_dir: Path) -> None:
    outcome = audit("-m", "audit.claim=null,100", "batch_size=4,500", "name=swept", *QUICK)
    assert outcome.status == 0
    rows = table(output_dir / "swept")
    assert rows["audit.claim"].fillna(0).tolist() == [0, 0, 100, 100]
    assert rows["batch_size"].tolist() == [4, 500, 4, 500]
    assert list(rows)[:12] == [*tables.NAMES, "audit.claim", "batch_size"]
    assert len(list((output_dir / "swept" / "samples").iterdir())) == 4
    assert " audit.claim " in next(line for line in outcome.out.splitlines() if line.startswith("scheme "))
    # of two rows that nothing tells apart both are there
    assert audit("-m", "scheme=none,none", "name=twice", *QUICK).status == 0
    assert len(list((output_dir / "twice" / "samples").iterdir())) == len(table(output_dir / "twice")) == 2


def test_another_launcher_gives_the_same_rows(audit: Audit, output_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["-m", "epsilon=0.1,0.2", *QUICK]
    assert audit(*arguments, "name=here").status == 0
    # the networks alone are there
    shutil.copytree(output_dir / "store" / "checkpoints", tmp_path / "store" / "checkpoints")
    parallel = ["hydra/launcher=joblib", "hydra.launcher.backend=threading", "hydra.launcher.n_jobs=1"]
    assert audit(*arguments, *parallel, "name=there", f"output_dir={tmp_path}").status == 0
    here, there = table(output_dir / "here"), table(tmp_path / "there")
    pd.testing.assert_frame_equal(here.drop(columns="seconds"), there.drop(columns="seconds"))


def test_attacks_of_ones_own_and_a_baseline_join(
    audit: Audit, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[auditing.Ready] = []
    ran = auditing.run
    monkeypatch.setattr(auditing, "run", lambda ready, said: asked.append(ready) or ran(ready, said))
    (tmp_path / "my" / "attack").mkdir(parents=True)
    text = (Path(choices.conf_dir()) / "attack" / "fgsm_fixed.yaml").read_text()
    (tmp_path / "my" / "attack" / "mine.yaml").write_text(text.replace("epsilon: ", "epsilon: 9  # was "))
    given = ["--config-dir", str(tmp_path / "my"), "scheme=fc", "train_rate=0.5", "name=more", *QUICK]
    outcome = audit(*given, "attacks=[mine,+fgsm_fixed]", "audit.baseline={train_rate: 0}", "audit.claim=100")
    assert outcome.status == 0, outcome.err
    row = table(output_dir / "more").iloc[0]
    assert row["over_baseline_points"] == pytest.approx(row["real_pct"] - row["baseline_pct"])
    attacks = table(output_dir / "more", "attacks").set_index("attack")
    assert {"brought along: mine", "brought along: fgsm_fixed", "baseline: margin"} <= set(attacks.index)
    assert (row["verdict"], row["verdict_of"]) == ("refuted", "the figure")
    # whatever epsilon its file names, it is asked for the ball
    assert attacks["accuracy_left_pct"]["brought along: mine"] < attacks["accuracy_left_pct"]["unperturbed"]
    # the other network was trained at another rate, and nothing of it is random
    (ready,) = asked
    assert ready.baseline is not None
    assert [[rate for *_, rate in one.training.settings["rates"]] for one in (ready.cell, ready.baseline)] == [
        [0.5], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["norm=l1"], "norm: expected one of linf, l2, got l1"),
        (["epsilon=2"], "epsilon: expected a number over 0, up to 1 for linf, got 2"),
        (["epsilon=much"], "epsilon: Value 'much' of type 'str' could not be converted"),
        (["effort=3"], "effort: expected one of quick, standard, thorough, got 3"),
        (["efort=quick"], "efort: no such key; allowed: dataset, "),
        (["audit.clam=3"], "audit.clam: no such key; allowed: claim, margin, baseline, passes, minutes, samples"),
        (["audit.claim=101"], "audit.claim: expected an accuracy in %, 0 to 100, got 101"),
        (["audit.margin=null"], "audit.margin: expected a value, got null"),
        (["audit.passes=0"], "audit.passes: expected a number over 0, got 0"),
        (["audit.baseline=3"], "audit.baseline: expected settings that differ"),
        (["audit.baseline={train_rte: 0}"], "audit.baseline.train_rte: expected a setting of the defender's: "),
        (["audit.baseline={seed: 1}"], "audit.baseline.seed: expected a setting of the defender's: model, "),
        (["audit.baseline={model.optns: 1}"], "audit.baseline: model.optns: no such key"),
        (["audit.baseline={model: lenet}"], "audit.baseline: model=lenet: no such choice"),
        (["audit.baseline={train_rate: 0}"], "audit.baseline: train_rate: scheme none has no site to set a rate"),
        (["attacks=+nosuch"], "attacks: attack=nosuch: no such choice; allowed: "),
        (["attacks=[fgsm, fgsm]"], "attacks: two are called fgsm"),
        (["attacks=3"], "attacks: expected names of conf/attack"),
        (["attack=pgd"], "attack: an audit has a plan of its own; attacks=+NAME adds one to it"),
        (["attack.options.steps=3"], "attack: an audit has a plan of its own"),
        (["criterion=targeted"], "criterion: an audit is untargeted"),
        (["count=successes"], "count: an audit is of the first test images, right or wrong; samples says how"),
        (["evaluation.draws=3"], "evaluation: how many draws there are is the plan's; effort=standard and"),
        (["scheme=nosuch"], "scheme=nosuch: no such choice"),
        (["scheme=fc,all"], "scheme=fc,all: several values are a sweep, and need -m"),
        (["test_rate=0.5"], "test_rate: scheme none has no site to set a rate at; use null"),
        (["samples=100000"], "samples: digits has"),
        (["samples=1"], "samples: expected at least 2, got 1"),
        (["--samples", "no where.npz"], "samples: "),
        (["--config-dir", "nowhere"], ""),
    ],
)  # fmt: skip
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
    assert audit("-m", "name=a,b", f"output_dir={tmp_path}").err == (
        "error: name: a sweep has one folder, got a, b; start one for each\n"
    )
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_row_that_fails_is_said_and_the_others_go_on(
    audit: Audit, output_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "store").symlink_to(output_dir / "store")
    given = (*QUICK, "audit.passes=200", f"output_dir={tmp_path}")
    outcome = audit("-m", "scheme=fc,none", *given)
    assert outcome.status == 1
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: dataset=digits model=two_conv training=standard scheme=fc norm=linf ")
    assert " seed=0: audit.passes: expected at least " in line
    assert table(tmp_path / "audit")["scheme"].tolist() == ["none"]
    before = (tmp_path / "audit" / "audit.csv").read_bytes()
    alone = audit("scheme=fc", *given)
    assert (alone.status, alone.err) == (2, line + "\n")
    # what was there isn't lost for it
    assert (tmp_path / "audit" / "audit.csv").read_bytes() == before


def test_what_an_attack_of_ones_own_raises_is_a_line(
    audit: Audit, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **options: object) -> None:
        raise RuntimeError("no\nmemory left")

    monkeypatch.setattr(attacking, "attack", broken)
    outcome = audit("scheme=fc", "seed=5", "name=broken", *QUICK)
    assert outcome.status == 1
    assert outcome.err.endswith(" seed=5: RuntimeError: no memory left\n")
    assert outcome.err.count("\n") == 1
    assert not (output_dir / "broken" / "audit.csv").exists()


def test_a_row_that_cannot_be_is_left_out_and_said(audit: Audit, output_dir: Path) -> None:
    outcome = audit("-m", "scheme=none,fc", "test_rate=0.5", "name=left", *QUICK)
    assert (outcome.status, outcome.err) == (0, "")
    assert table(output_dir / "left")["scheme"].tolist() == ["fc"]
    words = "is left out: test_rate: scheme none has no site to set a rate at; use null"
    # in its turn, and below the table
    assert [line.endswith(words) for line in outcome.out.splitlines()].count(True) == 2


def test_a_sweep_that_is_stopped_leaves_the_tables_of_what_is_done(
    audit: Audit, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = auditing.run

    def once(ready: auditing.Ready, progress: Callable[[str], None]) -> object:
        if ready.settings["scheme"]["name"] == "fc":
            raise KeyboardInterrupt
        return ran(ready, progress)

    monkeypatch.setattr(auditing, "run", once)
    monkeypatch.setattr("bench.command.end_children", lambda: None)
    outcome = audit("-m", "scheme=none,fc", "name=stopped", *QUICK)
    assert outcome.status == 130
    assert outcome.err == "interrupted: what was finished is kept, the same command goes on from there\n"
    assert table(output_dir / "stopped")["scheme"].tolist() == ["none"]


def test_the_settings_that_a_cell_has_too_have_its_defaults() -> None:
    import yaml

    folder = Path(choices.conf_dir())
    cell, audited = (yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("config", "audit"))
    assert audited["defaults"][1:] == cell["defaults"][1:]
    shared = set(cell) - {"defaults", "name", "transfer", "hydra"}
    assert json.dumps({k: audited[k] for k in shared}) == json.dumps({k: cell[k] for k in shared})
