import json
import re
from typing import Any

import pandas as pd
from recording import record, settings

from bench import axes
from bench.results.columns import COLUMNS, Column
from bench.results.sweep import Table

# what scripts of users' own read: results.csv of a sweep in which every attack succeeded
HEADER = (
    "dataset,model,training,scheme,attack,criterion,train_rate,test_rate,seed,status,reason,warnings,images,given_up,"
    "too_far,without_start,zero_gradient,fresh_draws,clean_accuracy_no_scheme_pct,clean_accuracy_pct,"
    "clean_accuracy_pct_low,clean_accuracy_pct_high,claimed_success_pct,claimed_success_pct_low,"
    "claimed_success_pct_high,fresh_success_pct,fresh_success_pct_low,fresh_success_pct_high,"
    "fresh_accuracy_pct,fresh_accuracy_pct_low,fresh_accuracy_pct_high,mad_255_mean,mad_255_mean_low,"
    "mad_255_mean_high,mad_255_median,l0_values_mean,l0_values_mean_low,l0_values_mean_high,l0_values_median,"
    "l1_mean,l1_mean_low,l1_mean_high,l1_median,l2_mean,l2_mean_low,l2_mean_high,l2_median,linf_mean,"
    "linf_mean_low,linf_mean_high,linf_median,forward_passes_per_image,backward_passes_per_image,"
    "attack_seconds,total_seconds,key"
)


def test_the_columns_of_a_finished_cell_and_their_order() -> None:
    assert ",".join(Table.of([record("a", settings())]).frame) == HEADER
    # what says how sure a figure is, and medians but one, need a figure
    hole = {**record("a", settings()), "status": "failed", "metrics": {}}
    left = re.sub(r"\b(?!l2_median)\w+_(low|high|median),", "", HEADER)
    assert ",".join(Table.of([hole]).frame) == left
    swept = Table.of([record(str(n), settings(samples=n, train_rate=n / 10)) for n in (1, 2)])
    assert ",".join(swept.frame) == HEADER.replace("seed,", "seed,samples,")
    assert swept.names == (*axes.NAMES, "samples")
    assert swept.varying == ["train_rate", "samples"]


def test_a_new_column_is_one_line() -> None:
    mine = (
        Column("worst_pct", "metrics.worst", "the worst image's share of draws, %", scale=100, interval=True),
        Column("version", "git_revision", "the code that it was made with"),
    )
    old, new = record("a", settings("none")), record("b", settings())
    new["metrics"]["worst"] = {"mean": 0.25, "low": 0.125, "high": 0.5}
    new["git_revision"] = "abc"
    table = Table.of([old, new], [*COLUMNS, *mine])
    before = Table.of([old, new])
    assert list(table.frame)[len(before.frame.columns) :] == [
        "worst_pct",
        "worst_pct_low",
        "worst_pct_high",
        "version",
    ]
    assert table.names == before.names
    # the record of before has nothing to say of it
    assert table.frame.iloc[0, -4:].isna().all()
    assert list(table.frame.iloc[1, -4:]) == [25.0, 12.5, 50.0, "abc"]
    pd.testing.assert_frame_equal(table.frame[before.frame.columns], before.frame)


def without(path: str) -> dict[str, Any]:
    """A record that lacks one path."""
    found = json.loads(json.dumps(record("a", settings())))
    *way, last = path.split(".")
    inner = found
    for key in way:
        inner = inner.get(key, {})
    inner.pop(last, None)
    return found


def test_a_record_of_before_a_column_leaves_it_empty_and_no_other() -> None:
    whole = Table.of([record("b", settings())])
    for column in COLUMNS:
        frame = Table.of([without(column.path)]).frame
        assert column.shown != "always" or frame[column.name].isna().all(), column.name
        # a distance that isn't there has no median either
        gone = [c.name for c in COLUMNS if f"{c.path}.".startswith(f"{column.path}.")]
        others = [c for c in frame if c not in (*column.parts, *gone, "key")]
        pd.testing.assert_frame_equal(frame[others], whole.frame[others])
    # nor is a value an error where others have a section
    flat = {**record("a", settings()), "metrics": None, "images": 3}
    assert Table.of([flat]).frame["images"].isna().all()


def test_what_is_said_of_a_result_is_one_text() -> None:
    said = {**record("a", settings()), "warnings": ["one thing", "another"]}
    first, other = Table.of([said, record("b", settings())]).frame["warnings"]
    assert first == "one thing; another"
    assert pd.isna(other)
