from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Run

from bench.analysis import accuracy, transfer
from bench.analysis.keep import keep
from bench.measuring.intervals import FULL_DEPENDENCE, mean_interval
from bench.papers import published, report, testing_phase
from bench.papers.published import Findings
from bench.papers.testing_phase_claims import SCHEMES
from bench.results.sweep import Sweep

# batches of 12: with ten successes wanted, 50 at a time would attack 40 images too many
QUICK = ("dataset=digits", "samples=10", "batch_size=12", "training.epochs=5", "evaluation.draws=3")


@pytest.fixture(scope="module")
def swept() -> list[Path]:
    """Filled by the first test: both sweeps take a while."""
    return []


@pytest.fixture
def folder(bench_run: Run, output_dir: Path, swept: list[Path]) -> Path:
    if not swept:
        for sweep in testing_phase.PAPER.sweeps:
            outcome = bench_run("-m", f"+experiment=testing_phase/{sweep}", *QUICK)
            assert outcome.status == 0, outcome.err
        swept.append(output_dir / "testing_phase")
    return swept[0]


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Filled by the first test: so does a report."""
    return []


@pytest.fixture
def written(folder: Path, files: list[Path]) -> list[Path]:
    """What the report of both sweeps is made of."""
    if not files:
        files.extend(report.write(testing_phase.PAPER, folder))
    return files


def test_the_sweeps_are_the_papers(folder: Path) -> None:
    targeted = pd.read_csv(folder / "targeted" / "results.csv")
    assert list(targeted["scheme"].unique()) == list(SCHEMES)
    assert list(targeted["attack"].unique()) == ["lbfgs", "fgsm", "jsma"]
    assert (targeted["criterion"] == "targeted").all()
    top3 = pd.read_csv(folder / "top3" / "results.csv")
    assert len(top3) == 20
    for frame in (targeted, top3):
        successes = frame["claimed_success_pct"] * frame["images"] / 100
        # a failed attack is left out, and the next image is tried
        assert np.allclose(successes, 10)


def test_report_has_every_table_and_figure(folder: Path, written: list[Path]) -> None:
    names = {p.name for p in written}
    assert {f"table{i}.csv" for i in range(1, 6)} <= names
    assert {"verdicts.csv", "correlations.csv", "README.md", "figure2.png", "figure3.png"} <= names
    assert {"table1.png", "table2.png", "table4.png"} <= names
    assert {f"table5_{a}.png" for a in ("lbfgs", "fgsm", "jsma", "deepfool")} <= names
    for name in names:
        assert (folder / "report" / name).stat().st_size > 0
    three = pd.read_csv(folder / "report" / "table3.csv")
    assert len(three) == 105
    own = three.query("recognised_by == 'none' and generated_under == 'none'")
    assert (own["measured"] == 0).all()
    assert (own["published"] == 0).all()
    assert np.allclose(three["difference"].dropna(), (three["measured"] - three["published"]).dropna())
    text = (folder / "report" / "README.md").read_text()
    assert "no usable reference" in text
    assert "10 successes a cell" in text


@pytest.mark.usefixtures("written")
def test_the_report_can_be_made_from_what_is_kept_of_the_sweeps(folder: Path, tmp_path: Path) -> None:
    keep([folder / sweep for sweep in testing_phase.PAPER.sweeps], tmp_path)
    store, away = folder.parent / "store", folder.parent / "away"
    store.rename(away)
    try:
        again = report.write(testing_phase.PAPER, tmp_path)
    finally:
        away.rename(store)
    names = {path.name for path in (folder / "report").iterdir()}
    # the pictures of samples take samples
    assert {path.name for path in again} == names - {"figure2.png", "figure3.png"}
    for path in again:
        assert path.read_bytes() == (folder / "report" / path.name).read_bytes(), path.name


def test_table_1_is_the_accuracy_under_each_scheme(folder: Path) -> None:
    found = accuracy.table(folder / "targeted").set_index(["data_set", "scheme"])
    results = pd.read_csv(folder / "targeted" / "results.csv").set_index("scheme")
    assert found.loc[("training", "none"), "images"] == 1297
    assert found.loc[("testing", "none"), "accuracy_pct"] == pytest.approx(
        results.loc["none", "clean_accuracy_no_scheme_pct"].iloc[0]
    )
    # other draws of the same thing
    for scheme in ("fc", "all"):
        low, high = found.loc[("testing", scheme), ["accuracy_pct_low", "accuracy_pct_high"]]
        width = high - low
        assert low - width < results.loc[scheme, "clean_accuracy_pct"].iloc[0] < high + width


def test_means_are_of_the_measured_entries(folder: Path) -> None:
    pairs = transfer.table(folder / "targeted")
    table = testing_phase.recognition_table(pairs, ["jsma", "fgsm"])
    for attack in ("jsma", "fgsm"):
        entries = table[(table["attack"] == attack) & (table["interval"] == "between images")]
        assert list(entries["accuracy_pct"]) == list(pairs[pairs["attack"] == attack]["accuracy_pct"])
    table = table[table["attack"] == "fgsm"]
    inner = table[(table["recognised_by"] != "mean") & (table["generated_under"] != "mean")]
    mean = table.query("recognised_by == 'mean' and generated_under == 'fc'").iloc[0]
    column = inner[inner["generated_under"] == "fc"]
    assert len(column) == 5
    assert mean["accuracy_pct"] == pytest.approx(column["accuracy_pct"].mean())
    assert mean["single_draw_pct"] == pytest.approx(column["single_draw_pct"].mean())
    mad = testing_phase.mad_table(Sweep(folder / "targeted").table().frame, ["fgsm", "jsma"])
    fgsm = mad[(mad["attack"] == "fgsm") & (mad["scheme"] != "mean")]["mad_255_mean"]
    assert mad.query("attack == 'fgsm' and scheme == 'mean'")["mad_255_mean"].item() == pytest.approx(
        fgsm.mean()
    )


def with_measured(values: dict[str, pd.DataFrame], width: float = 0.1) -> Findings:
    """Findings whose measured tables are given, each value with an interval of ``width`` on either side."""
    return Findings(
        {
            name: frame.assign(
                measured_low=frame["measured"] - width, measured_high=frame["measured"] + width
            )
            for name, frame in values.items()
        }
    )


def judged(findings: Findings, words: str = "") -> pd.DataFrame:
    claims = [c for c in testing_phase.PAPER.claims(findings) if words in c.sentence]
    return report.judged(claims, findings).set_index("sentence")


def papers_own() -> dict[str, pd.DataFrame]:
    tables = {"table1": published.table("testing_phase", "table1", "data_set", "scheme")}
    for name in ("table2", "table4"):
        tables[name] = published.table("testing_phase", name, "attack", "scheme")
    for name in ("table3", "table5"):
        tables[name] = published.table("testing_phase", name, "recognised_by", "generated_under")
        # the repeated entries are the only ones without a value; what is printed will do here
        tables[name]["value"] = tables[name]["value"].fillna(
            pd.to_numeric(tables[name]["printed"], errors="coerce")
        )
    return {
        name: frame.assign(measured=frame["value"], published=frame["value"])
        for name, frame in tables.items()
    }


def test_the_papers_own_numbers_bear_out_what_they_clearly_say() -> None:
    findings = with_measured(papers_own())
    found = judged(findings)
    verdicts, printed = found["verdict"].to_dict(), found["as_printed"].to_dict()
    for sentence in (
        "more dropout makes target samples harder to generate for L-BFGS (MAD grows)",
        "more dropout makes target samples harder to generate for FGSM (MAD grows)",
        "JSMA has the least MAD, then L-BFGS, FGSM the most (mean over the schemes)",
        "more dropout makes top-3 samples easier to generate with JSMA (MAD falls)",
        "more dropout makes the network more robust, target JSMA (row means grow)",
        "tiny performance loss: each scheme costs less than 1 point in testing",
    ):
        assert verdicts[sentence] == "holds", sentence
        assert printed[sentence] == "holds", sentence
    # and not what they do not: Table 3's FGSM column means fall from 38.5 without dropout to 16.7 with all
    assert (
        verdicts[
            "samples generated with more dropout are easier to recognise, target FGSM (column means grow)"
        ]
        == "does not hold"
    )
    # what the text says of layers is in Table 2's last row (27.5 < 30.7 < 34.6), and not in the accuracies
    efficient = {s: v for s, v in verdicts.items() if "most efficient" in s}
    assert list(efficient.values()) == ["does not hold", "holds"]
    assert "Table 2's last row" in list(efficient)[1]
    assert [v for s, v in printed.items() if "no obvious trend" in s] == ["holds"] * 3
    correlations = report.correlations(testing_phase.PAPER, findings)
    assert np.allclose(correlations["spearman"].dropna(), 1)


def test_a_verdict_turns_when_the_figures_do() -> None:
    tables = papers_own()
    mad = tables["table2"]
    hit = (mad["attack"] == "lbfgs") & (mad["scheme"] == "all")
    tables["table2"] = mad.assign(measured=mad["measured"].where(~hit, 5.0))
    verdicts = judged(with_measured(tables))["verdict"]
    assert (
        verdicts["more dropout makes target samples harder to generate for L-BFGS (MAD grows)"]
        == "does not hold"
    )


def verdicts_of(findings: Findings, words: str) -> list[tuple[str, str]]:
    found = judged(findings, words)
    return list(zip(found["verdict"], found["evidence"], strict=True))


def test_nothing_is_held_against_a_network_that_is_wrong_by_construction() -> None:
    own = verdicts_of(with_measured(papers_own()), "generated without dropout are recognised better")
    assert [verdict for verdict, _ in own] == ["not tested"] * 7
    assert all("by construction" in evidence for _, evidence in own)


@pytest.mark.parametrize("key", ["generated_under", "recognised_by"])
def test_means_that_are_judged_leave_out_what_is_0_by_construction(key: str) -> None:
    # all that dropout does: none's samples, or none itself, do as well as the rest but for none/none
    tables = papers_own()
    for name in ("table3", "table5"):
        frame = tables[name]
        own = (frame["generated_under"] == "none") & (frame["recognised_by"] == "none")
        tables[name] = frame.assign(measured=np.where(own, 0.0, 50.0))
    findings = with_measured(tables)
    what = "easier to recognise" if key == "generated_under" else "network more robust"
    found = verdicts_of(findings, what)
    assert len(found) == 7
    assert {verdict for verdict, _ in found} == {"undecided"}
    assert all(evidence.startswith("all - none +0 [") for _, evidence in found)


def test_no_trend_takes_more_than_too_few_images_to_see_one() -> None:
    rng, tables = np.random.default_rng(0), papers_own()
    true = tables["table4"]
    found = {}
    for n in (5, 2000):
        bounds = []
        for _ in true.index:
            # the same distances under every scheme
            bounds.append(mean_interval(rng.gamma(4, 2.5, n)))
        frame = pd.DataFrame(bounds, columns=["measured", "measured_low", "measured_high"], index=true.index)
        findings = Findings({**with_measured(tables).tables, "table4": true.assign(**frame)})
        found[n] = [verdict for verdict, _ in verdicts_of(findings, "no obvious trend")]
    assert found == {5: ["undecided"] * 3, 2000: ["holds"] * 3}


def test_a_change_beyond_the_margin_is_a_trend() -> None:
    tables = papers_own()
    mad = tables["table4"]
    # up under feature, down under fc: in no order, but not alike
    hit = (mad["attack"] == "lbfgs") & (mad["scheme"] == "feature")
    tables["table4"] = mad.assign(measured=mad["measured"].where(~hit, 60.0))
    assert verdicts_of(with_measured(tables), "no obvious trend for L-BFGS")[0][0] == "does not hold"


@pytest.mark.parametrize("scheme", ["none", "fc", "all"])
def test_a_cell_that_is_missing_is_not_measured(scheme: str) -> None:
    tables = papers_own()
    for name in ("table2", "table3", "table4", "table5"):
        frame = tables[name]
        keys = [k for k in ("scheme", "recognised_by", "generated_under") if k in frame]
        lost = (frame["attack"] == "jsma") & (frame[keys] == scheme).any(axis=1)
        tables[name] = frame.assign(measured=frame["measured"].mask(lost))
    found = judged(with_measured(tables))
    compared = found[found.index.str.contains("JSMA") & found.index.str.contains("more dropout")]
    assert len(compared) == 5
    assert set(compared["verdict"]) == {"not measured"}
    # no dropout and all of it are compared here
    assert found.filter(like="top-3 JSMA becomes easier", axis=0)["verdict"].item() == (
        "holds" if scheme == "fc" else "not measured"
    )
    assert not found["evidence"].str.contains("nan").any()


@pytest.mark.usefixtures("written")
def test_intervals_of_means_are_marked_as_a_bound(folder: Path) -> None:
    for name, keys in (("table2", ["attack", "scheme"]), ("table3", ["recognised_by", "generated_under"])):
        frame = pd.read_csv(folder / "report" / f"{name}.csv")
        mean = (frame[keys] == "mean").any(axis=1)
        assert set(frame.loc[mean, "interval"]) == {FULL_DEPENDENCE}
        assert set(frame.loc[~mean, "interval"]) == {"between images"}
    # ten images under five schemes are ten images
    mad = testing_phase.mad_table(Sweep(folder / "targeted").table().frame, ["fgsm"])
    width = mad["mad_255_mean_high"] - mad["mad_255_mean_low"]
    mean = mad["scheme"] == "mean"
    assert width[mean].item() == pytest.approx(width[~mean].mean())
    assert FULL_DEPENDENCE in (folder / "report" / "README.md").read_text()


@pytest.mark.usefixtures("written")
def test_the_report_names_the_data_of_its_records(folder: Path) -> None:
    text = (folder / "report" / "README.md").read_text()
    assert "MNIST" not in text
    assert text.count("measured on digits") == 5
    assert "nan" not in text


def test_a_mean_over_a_cell_that_failed_is_not_measured() -> None:
    cells = pd.DataFrame([{"attack": "fgsm", "scheme": s, "status": "ok"} for s in SCHEMES])
    cells = cells.assign(mad_255_mean=10.0, mad_255_mean_low=9.0, mad_255_mean_high=11.0)
    cells.loc[cells["scheme"] == "fc", ["status", "mad_255_mean"]] = "failed", np.nan
    mad = testing_phase.mad_table(cells, ["fgsm"]).set_index(["attack", "scheme"])["mad_255_mean"]
    # the mean of four schemes is not that of five
    assert ("fgsm", "fc") not in mad
    assert mad.index[mad.isna()].tolist() == [("fgsm", "mean"), ("mean", "fc")]
    pairs = pd.DataFrame(
        [{"attack": "fgsm", "generated_under": g, "recognised_by": r} for g in SCHEMES for r in SCHEMES]
    ).assign(accuracy_pct=50.0, accuracy_pct_low=40.0, accuracy_pct_high=60.0, single_draw_pct=50.0)
    for hole in (pairs.iloc[1:], pairs.assign(accuracy_pct=pairs["accuracy_pct"].where(pairs.index > 0))):
        found = testing_phase.recognition_table(hole, ["fgsm"])
        means = found[(found[["generated_under", "recognised_by"]] == "mean").any(axis=1)]
        lost = means[means["accuracy_pct"].isna()]
        assert sorted(lost[["generated_under", "recognised_by"]].to_numpy().tolist()) == [
            ["mean", "none"],
            ["none", "mean"],
        ]
    # nothing at all: every pair is a hole, and says why
    nothing = pairs[["attack", "generated_under", "recognised_by"]]
    assert testing_phase.recognition_table(nothing, ["fgsm"])["accuracy_pct"].isna().all()


def test_order_is_compared_without_the_means() -> None:
    found = report.correlations(testing_phase.PAPER, with_measured(papers_own()))
    entries = found.set_index(["table", "attack"])["entries"]
    # two sets, or attacks, under five schemes; five schemes by five for each attack
    assert entries["table1", "all"] == 10
    assert entries["table2", "all"] == 15
    assert entries["table4", "deepfool"] == 5
    assert entries["table3", "all"] == 75
    assert entries["table5", "jsma"] == 25
