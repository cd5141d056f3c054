import numpy as np
import pandas as pd
import pytest

from bench.papers import published

SCHEMES = ["none", "input", "feature", "fc", "all"]


def means(frame: pd.DataFrame, rows: str, columns: str, decimals: int) -> list[tuple[str, str]]:
    """Every printed mean that is not the mean of what it is printed beside."""
    wrong = []
    square = frame.pivot(index=rows, columns=columns, values="value")
    for axis, table in ((1, square), (0, square.T)):
        for name in table.index.drop("mean"):
            entries = table.loc[name].drop("mean")
            printed = table.loc[name, "mean"]
            if not np.isnan(printed) and abs(entries.mean() - printed) > 0.5 * 10**-decimals + 1e-9:
                wrong.append((name, "mean") if axis == 1 else ("mean", name))
    return wrong


@pytest.mark.parametrize(("name", "rows", "decimals"), [("table2", "attack", 3), ("table4", "attack", 3)])
def test_testing_phase_mad_means_are_means(name: str, rows: str, decimals: int) -> None:
    frame = published.table("testing_phase", name, "attack", "scheme")
    assert means(frame, rows, "scheme", decimals) == []


@pytest.mark.parametrize("name", ["table3", "table5"])
def test_testing_phase_recognition_means_are_means_but_for_the_errata(name: str) -> None:
    frame = published.table("testing_phase", name, "recognised_by", "generated_under")
    errata = published.errata("testing_phase").query("table == @name and row != '*'")
    for attack, group in frame.groupby("attack"):
        if group["value"].isna().all():
            # repeated from another table: its means are that table's
            group = group.assign(value=pd.to_numeric(group["printed"]))
        known = errata[(errata["attack"] == attack) & errata["note"].str.contains("mean of the printed")]
        wrong = means(group, "recognised_by", "generated_under", 2)
        assert sorted(wrong) == sorted(zip(known["row"], known["column"], strict=True))


def test_testing_phase_fgsm_of_table_5_repeats_lbfgs_of_table_3() -> None:
    three = published.table("testing_phase", "table3", "recognised_by", "generated_under")
    five = published.table("testing_phase", "table5", "recognised_by", "generated_under")
    assert list(three.query("attack == 'lbfgs'")["printed"]) == list(
        five.query("attack == 'fgsm'")["printed"]
    )
    fgsm = five[five["attack"] == "fgsm"]
    assert fgsm["value"].isna().all()
    assert fgsm["note"].str.contains("copying slip").all()


def test_a_misprint_is_carried_with_its_note_and_not_silently_mended() -> None:
    three = published.table("testing_phase", "table3", "recognised_by", "generated_under")
    slip = three.query("attack == 'jsma' and recognised_by == 'all' and generated_under == 'none'").iloc[0]
    assert slip["printed"] == "579,"
    assert slip["value"] == 57.9
    assert "579" in slip["note"]
    # what is printed as a number is that number
    others = three[three["printed"] != "579,"]
    assert (pd.to_numeric(others["printed"]) == others["value"]).all()


def test_every_table_is_complete() -> None:
    for name, attacks in (("table3", 3), ("table5", 4)):
        frame = published.table("testing_phase", name, "recognised_by", "generated_under")
        assert len(frame) == attacks * 35
        assert set(frame["generated_under"]) == {*SCHEMES, "mean"}
    assert len(published.table("testing_phase", "table1", "", "")) == 10
    assert len(published.table("testing_phase", "table2", "", "")) == 3 * 6 + 5
    assert len(published.table("testing_phase", "table4", "", "")) == 4 * 6 + 5


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table5", "table6"])
def test_defensive_dropout_success_counts_attacks_but_for_the_errata(name: str) -> None:
    keys = ("quantity", "train_rate") if name == "table2" else ("train_rate", "test_rate")
    frame = published.table("defensive_dropout", name, *keys)
    if name == "table2":
        frame = frame[frame["quantity"] == "success_pct"]
    # Table 2's are all of 10 images, the others' of 100, at nine targets each
    attacks = 90 if name == "table2" else 900
    counts = frame["value"] * attacks / 100
    # rounded, or cut off: 24.66 is 222 of 900
    off = (frame["value"] - 100 * counts.round() / attacks).abs() > 0.0101 * attacks / 900
    off &= (frame["value"] - 100 * counts.round() / attacks).abs() > 0.0051
    assert list(frame["note"].str.contains("fits no n/900")) == list(off)
    assert frame["value"].notna().all()


def test_rates_that_the_paper_does_not_print_are_marked_as_inferred() -> None:
    text = published.table("defensive_dropout", "text", "data", "attack")
    inferred = text[text["rates"] == "inferred"]
    # 40.67 and 91.89 % are printed without their rates; C&W's 100 % is Table 6's, at train rate 0.3
    assert list(zip(inferred["attack"], inferred["printed"], strict=True)) == [
        ("fgsm_fixed", "40.67"),
        ("jsma", "91.89"),
    ]
    assert "100" not in set(text["printed"])
    assert set(text["rates"]) == {"printed", "inferred"}
