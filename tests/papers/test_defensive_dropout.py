import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from running import Run

from bench.choices import conf_dir
from bench.measuring.intervals import estimate
from bench.papers import defensive_dropout, defensive_dropout_claims, published, report
from bench.papers.published import Findings
from bench.papers.report import Swept
from bench.reader import STRANGER

QUICK = (
    "dataset=digits", "model.options.padding=1", "model.options.width=8", "model.options.units=32",
    "samples=2", "training.epochs=4", "training.learning_rate=1e-2", "evaluation.draws=3",
)  # fmt: skip
FASTER = ("+attack.options.search_steps=2", "+attack.options.steps=15")


@pytest.fixture(scope="module")
def swept() -> list[Path]:
    """Filled by the first test: the sweeps take a while."""
    return []


@pytest.fixture
def folder(bench_run: Run, output_dir: Path, swept: list[Path]) -> Path:
    if not swept:
        for sweep, *more in (
            ("mnist_fgsm",),
            ("mnist_cw", "train_rate=0.3", *FASTER),
            ("cifar10_cw", "train_rate=0,0.7", "test_rate=0,0.7", *FASTER),
            ("cifar10_sap", "train_rate=0.7", *FASTER),
            # distillation, hot as it is, takes more epochs than others to get above chance
            ("defences", "attack=fgsm_fixed,jsma", "training.epochs=8"),
        ):
            outcome = bench_run("-m", f"+experiment=defensive_dropout/{sweep}", *QUICK, *more)
            assert outcome.status == 0, outcome.err
        swept.append(output_dir / "defensive_dropout")
    return swept[0]


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Filled by the first test: so does a report."""
    return []


@pytest.fixture
def written(folder: Path, files: list[Path]) -> list[Path]:
    if not files:
        files.extend(report.write(defensive_dropout.PAPER, folder))
    return files


def rates(sweep: str, key: str) -> set[float]:
    params = OmegaConf.load(Path(conf_dir()) / "experiment" / "defensive_dropout" / f"{sweep}.yaml")
    return {float(rate) for rate in str(params.hydra.sweeper.params[key]).split(",")}


@pytest.mark.parametrize(
    ("name", "sweep"),
    [(name, table.sweep) for name, table in defensive_dropout.TABLES.items() if table.sweep],
)
def test_the_sweeps_have_every_printed_entry(name: str, sweep: str) -> None:
    for key in ("train_rate", "test_rate"):
        frame = published.table(
            "defensive_dropout", name, "train_rate", "test_rate" if name != "table2" else "quantity"
        )
        if key in frame:
            assert set(frame[key].astype(float)) <= rates(sweep, key)


def test_every_attack_is_at_all_nine_targets(folder: Path) -> None:
    frame = pd.read_csv(folder / "mnist_fgsm" / "results.csv")
    assert (frame["criterion"] == "all_targets").all()
    assert (frame["images"] == 2).all()
    record = json.loads((folder.parent / "store" / "records" / f"{frame['key'][0]}.json").read_text())
    assert len(record["images"]["indices"]) == 18
    assert record["config"]["attack"]["epsilon"] == 0.25


def test_the_report_sets_the_records_beside_the_paper(folder: Path, written: list[Path]) -> None:
    names = {path.name for path in written}
    assert {f"table{i}.csv" for i in range(2, 7)} | {"text.csv", "verdicts.csv", "README.md"} <= names
    assert {"figure3.png", "figure5.png", "gradients.csv", "gradients.png", "defences.csv"} <= names
    for name in names:
        assert (folder / "report" / name).stat().st_size > 0
    results = pd.read_csv(folder / "mnist_fgsm" / "results.csv").set_index(["train_rate", "test_rate"])
    four = pd.read_csv(folder / "report" / "table4.csv").set_index(["train_rate", "test_rate"])
    assert list(four["published"]) == [22.74, 21.89, 20.67, 19.56, 16.44]
    for rates_, row in four.iterrows():
        assert row["measured"] == pytest.approx(results.loc[rates_, "fresh_success_pct"])
        assert row["claimed_success_pct"] == pytest.approx(results.loc[rates_, "claimed_success_pct"])
    # what was not run is empty, and said to be
    five = pd.read_csv(folder / "report" / "table5.csv")
    assert five["measured"].isna().all()
    text = (folder / "report" / "README.md").read_text()
    assert "`mnist_jsma` (Table 5): not run" in text
    assert "fits no n/900" in text
    assert "n = 2 images x 9 targets, 3 fresh draws" in text
    verdicts = pd.read_csv(folder / "report" / "verdicts.csv").set_index("sentence")
    jsma = verdicts.loc[[s for s in verdicts.index if "JSMA" in s]].iloc[0]
    assert jsma["verdict"] == "not measured"
    # the paper's own JSMA numbers do fall
    assert jsma["as_printed"] == "holds"


def test_accuracy_that_a_rate_costs_is_against_the_same_network(folder: Path) -> None:
    frame = defensive_dropout.done(Swept.read(folder / "cifar10_cw"))
    found = defensive_dropout.measured(frame, "cifar10").query("quantity == 'accuracy_loss_pct'")
    of = frame.set_index(["train_rate", "test_rate"])["clean_accuracy_pct"]
    for row in found.to_dict("records"):
        expected = of[row["train_rate"], 0.0] - of[row["train_rate"], row["test_rate"]]
        assert row["value"] == pytest.approx(expected)
        assert row["value_low"] <= row["value"] <= row["value_high"]


@pytest.mark.usefixtures("written")
def test_the_report_names_the_data_of_its_records(folder: Path) -> None:
    text = (folder / "report" / "README.md").read_text()
    assert "MNIST" not in text
    assert "CIFAR-10" not in text
    assert "## Table 4: attack success against FGSM on digits" in text
    assert "| 3.3 | mnist | digits | cw_l2 | 0.3 | 0.5 | accuracy_loss_pct | 0.8 / " in text
    # what was not run is of no data
    assert "## Table 5: attack success against JSMA\n" in text
    verdicts = pd.read_csv(folder / "report" / "verdicts.csv", keep_default_na=False)
    assert (
        not verdicts[["sentence", "evidence"]].apply(lambda c: c.str.contains("MNIST|CIFAR")).any(axis=None)
    )
    assert "attack success against FGSM on digits: falls as r' rises (train rate 0.7)" in set(
        verdicts["sentence"]
    )


@pytest.mark.usefixtures("written")
def test_what_was_not_measured_is_said_to_be(folder: Path) -> None:
    assert "nan" not in (folder / "report" / "README.md").read_text()
    verdicts = pd.read_csv(folder / "report" / "verdicts.csv", keep_default_na=False).set_index("sentence")
    loss = verdicts.loc["r' 0.7 at train rate 0.7 costs under 1 points of accuracy (JSMA)"]
    assert (loss["verdict"], loss["evidence"]) == ("not measured", "")
    assert not verdicts["evidence"].str.contains("nan").any()


def vulnerable(frame: pd.DataFrame) -> tuple[str, str]:
    return defensive_dropout_claims._vulnerable("distillation")(Findings({}, {"defences": frame}))


def distilled(successes: int, images: int) -> tuple[str, str]:
    found = estimate(np.repeat([100.0, 0.0], [successes, images - successes]) / 100)
    row = {"defence": "distillation", "attack": "cw_l2", "images": images}
    row |= {f"fresh_success_pct{end}": 100 * v for end, v in zip(("", "_low", "_high"), found, strict=True)}
    return vulnerable(pd.DataFrame([row]))


def test_totally_vulnerable_takes_35_images_and_the_right_bound() -> None:
    # Wilson's lower bound of n successes of n is n / (n + 1.96^2): over 0.9 from 35 on
    assert distilled(34, 34)[0] == "undecided"
    assert "34 images can't tell, it takes 35" in distilled(34, 34)[1]
    assert distilled(35, 35)[0] == "holds"
    # under 100 %, but not under 90 %
    assert distilled(92, 100) == ("undecided", "92.0 [85.0, 95.9]")
    assert distilled(50, 100)[0] == "does not hold"
    assert vulnerable(pd.DataFrame(columns=["defence", "attack"])) == ("not measured", "")


@pytest.mark.usefixtures("written")
def test_figures_whose_rates_are_inferred_carry_a_note(folder: Path) -> None:
    text = pd.read_csv(folder / "report" / "text.csv", keep_default_na=False)
    assert list(text.loc[text["note"] != "", "printed"].astype(float)) == [40.67, 91.89]
    assert "doesn't print the rates" in (folder / "report" / "README.md").read_text()


def test_a_defence_is_a_way_of_training_a_scheme_or_both() -> None:
    # a table of records that know no ways of training as an axis
    assert defensive_dropout.defence({"scheme": "none"}) == "none"
    assert defensive_dropout.defence({"scheme": "distillation"}) == "distillation"
    for training, scheme, name in (
        ("standard", "none", "none"),
        (float("nan"), "sap", "sap"),
        ("adversarial", "none", "adversarial_training"),
        ("distillation", "none", "distillation"),
        ("adversarial", "sap", "adversarial_training, sap"),
    ):
        assert defensive_dropout.defence({"training": training, "scheme": scheme}) == name


def test_defences_of_both_sweeps_are_one_table() -> None:
    def swept(name: str, training: str, schemes: list[str]) -> Swept:
        frame = pd.DataFrame({"scheme": schemes}).assign(training=training, attack="jsma", status="ok")
        frame = frame.assign(claimed_success_pct=0.0, clean_accuracy_pct=90.0, fresh_success_pct=1.0)
        return Swept(name, Path(name), frame.reindex(columns=dict.fromkeys([*report.COLUMNS, *frame])), None)

    sweeps = {name: Swept.read(Path("nowhere") / name) for name in defensive_dropout.SWEEPS}
    sweeps["trainings"] = swept("trainings", "adversarial", ["none"])
    plain = swept("trainings", "standard", ["none"]).frame
    sweeps["trainings"].frame.loc[len(plain)] = plain.iloc[0]
    sweeps["defences"] = swept("defences", "standard", ["sap", "none"])
    findings = defensive_dropout.measure(sweeps, STRANGER)
    assert list(findings.frames["defences"]["defence"]) == ["none", "adversarial_training", "sap"]
    table = defensive_dropout._defences(findings.frames["defences"]).splitlines()[-3:]
    assert [row.split(" | ")[0] for row in table] == ["| none", "| adversarial_training", "| sap"]
