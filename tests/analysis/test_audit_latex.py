"""What a paper takes from an audit says what its table does."""

import math

import pandas as pd

from bench.analysis.audit import latex

POINTS = ("real_pct", "worth_points", "worth_any_of_10_points")
ROW = {
    "scheme": "my_scheme", "epsilon": 0.1, "norm": "linf", "effort": "quick", "clean_pct": 97.84,
    "any_of_10_pct": 46.25, "twin_pct": math.nan, "fixed_pct": 61.0, "images": 100, "attacks": 23,
    "passes": 1654, "draws": 100, "verdict": "refuted",
    **{f"{c}{end}": 10.04 + i for c in POINTS for i, end in enumerate(("", "_low", "_high"))},
}  # fmt: skip
FRAME = pd.DataFrame([ROW, {**ROW, "epsilon": 0.2, "passes": 12345, "verdict": None}])


def test_a_table_has_a_line_for_each_row_and_nothing_for_what_was_not_measured() -> None:
    lines = latex.table(FRAME, ["scheme", "epsilon"]).splitlines()
    assert lines[0] == r"\begin{tabular}{llrrrrrrrl}"
    assert lines[4] == (
        r"my\_scheme & 0.1 & 97.8 & 10.0 [11.0, 12.0] & 46.2 &  & 61.0 & 10.0 [11.0, 12.0] & "
        r"10.0 [11.0, 12.0] & refuted \\"
    )
    assert lines[5].startswith(r"my\_scheme & 0.2 & ")
    assert lines[5].endswith(r" &  \\")
    assert all(line.count("&") == lines[2].count("&") for line in lines[4:6])


def test_a_paragraph_says_the_plan_its_size_and_how_to_come_by_it() -> None:
    said = latex.method(FRAME, "python -m bench audit scheme=x", ["torch 2.13.0"])
    assert "L-infinity 0.1, L-infinity 0.2; 100 test images" in said
    assert "23 attacks" in said
    assert "1,654 to 12,345 passes an image" in said
    assert "with torch 2.13.0: python -m bench audit scheme=x" in said
    assert "not the draw" in said


def test_letters_that_latex_reads_otherwise_are_escaped() -> None:
    assert latex.escaped("50 % of a_b & {c}") == r"50 \% of a\_b \& \{c\}"
