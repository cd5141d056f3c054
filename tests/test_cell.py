import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import Run, fresh

from bench import datasets
from bench.results.store import Store

QUICK = ("training.epochs=2", "evaluation.draws=3")
SMALL = (
    "model=four_conv", "model.options.width=8", "model.options.units=32", "model.options.padding=1",
    # with fewer it doesn't get above chance
    "training.learning_rate=1e-2", "training.epochs=4",
)  # fmt: skip


def one(outcome: object, output_dir: Path) -> dict:
    """The record of a single cell that was run."""
    assert outcome.status == 0, outcome.err
    return Store(output_dir / "store").read(Path(outcome.out.strip().splitlines()[-1]).stem)


def test_all_targets_attacks_each_image_once_for_every_wrong_class(bench_run: Run, output_dir: Path) -> None:
    record = one(bench_run("criterion=all_targets", "attack=fgsm_fixed", "samples=10", *QUICK), output_dir)
    samples = Store(output_dir / "store").samples(record)
    assert record["images"]["count"] == 10
    assert record["images"]["targets_each"] == 9
    assert len(samples["targets"]) == len(samples["perturbed"]) == 90
    assert len(set(samples["indices"])) == 10
    labels = datasets.load(datasets.digits, Path(), {}, None).y_test
    for index in set(samples["indices"]):
        of = samples["indices"] == index
        assert (samples["labels"][of] == labels[index]).all()
        assert sorted(samples["targets"][of]) == [c for c in range(10) if c != labels[index]]
    # the images are those that would be attacked once each
    single = one(bench_run("criterion=targeted", "attack=fgsm_fixed", "samples=10", *QUICK), output_dir)
    assert list(dict.fromkeys(record["images"]["indices"])) == single["images"]["indices"]
    # what is claimed at one target is what an attack at that target alone claims
    shared = Store(output_dir / "store").samples(single)
    for i, (index, target) in enumerate(zip(shared["indices"], shared["targets"], strict=True)):
        row = np.flatnonzero((samples["indices"] == index) & (samples["targets"] == target))
        assert samples["claimed"][row] == shared["claimed"][i]


def test_all_targets_intervals_are_between_images(bench_run: Run, output_dir: Path) -> None:
    from bench.measuring import intervals

    record = one(
        bench_run("criterion=all_targets", "attack=fgsm", "samples=12", "scheme=fc", *QUICK), output_dir
    )
    samples = Store(output_dir / "store").samples(record)
    found = record["metrics"]["fresh_success"]
    success, _ = fresh(Store(output_dir / "store"), record)
    assert found["mean"] == pytest.approx(success.mean())
    by_image = intervals.estimate(success, samples["indices"])
    assert found == pytest.approx(by_image._asdict())


def test_all_targets_cannot_count_successes(bench_run: Run, tmp_path: Path) -> None:
    for arguments, words in (
        (
            ("criterion=all_targets", "count=successes"),
            "count: expected images where criterion.targets is all, got successes",
        ),
        (
            ("criterion=untargeted", "criterion.targets=all"),
            "criterion.targets: only for kind targeted, got all for untargeted; use null",
        ),
        (
            ("criterion=targeted", "criterion.targets=some"),
            "criterion.targets: expected one of random, all, got some",
        ),
    ):
        outcome = bench_run(*arguments, f"output_dir={tmp_path / 'out'}")
        assert outcome.status == 2
        assert outcome.err.strip() == f"error: {words}"
    assert not (tmp_path / "out" / "store").exists()


def test_train_rate_of_a_scheme_with_train_sites_is_dropout_there(bench_run: Run, output_dir: Path) -> None:
    def run(*arguments: str) -> dict:
        return one(bench_run(*QUICK, *SMALL, "attack=fgsm_fixed", "samples=4", *arguments), output_dir)

    sap, dropout, bare = (
        run("scheme=sap", "train_rate=0.5"),
        run("scheme=defensive_dropout", "train_rate=0.5"),
        run("scheme=sap"),
    )
    made = Store(output_dir / "store").kept("checkpoints", sap["checkpoint"]["key"]).about["settings"]
    ((paths, (operation, *_), rate),) = made["rates"]
    assert (paths, operation, rate) == (["layers.relu5"], "bench.schemes.Dropout", 0.5)
    assert set(sap["test_rates"]) == {"conv", "fc1", "fc2"}
    # one network, two defences
    assert sap["checkpoint"] == dropout["checkpoint"]
    assert sap["key"] != dropout["key"]
    assert bare["checkpoint"] != sap["checkpoint"]
    # at rate 0 nothing is dropped in training, whoever says so
    assert run("scheme=sap", "train_rate=0")["checkpoint"] == bare["checkpoint"]
    # a rate at test time is set at the sites that are random then, and changes no network
    other = run("scheme=sap", "train_rate=0.5", "test_rate=0.1")
    assert other["test_rates"] == {"conv": 0.1, "fc1": 0.1, "fc2": 0.1}
    assert other["checkpoint"] == sap["checkpoint"]


def test_train_sites_are_checked(bench_run: Run, tmp_path: Path) -> None:
    for arguments, words in (
        (
            ("scheme=sap", "scheme.train_sites=[fc9]"),
            "scheme.train_sites.fc9: four_conv has no such site; allowed: input, conv, fc1, fc2",
        ),
        (
            ("scheme=sap", "scheme.train_sites=[]", "train_rate=0.5"),
            "train_rate: scheme sap has no site to set a rate at; use null",
        ),
    ):
        outcome = bench_run(*SMALL, *arguments, f"output_dir={tmp_path / 'out'}")
        assert outcome.status == 2
        assert outcome.err.strip() == f"error: {words}"
    folder = tmp_path / "my" / "scheme"
    folder.mkdir(parents=True)
    (folder / "typo.yaml").write_text("sites: {fc1: 0.5}\ntrain_site: [fc1]\n")
    outcome = bench_run("--config-dir", str(folder.parent), "scheme=typo", *SMALL)
    assert outcome.status == 2
    assert outcome.err.startswith("error: scheme.train_site: no such key; allowed: name, sites, operation")
    assert len(outcome.err.strip().splitlines()) == 1


@pytest.mark.parametrize(("training", "way"), [
    ("adversarial", "AdversarialTraining"), ("distillation", "Distillation")
])  # fmt: skip
def test_a_way_of_training_is_part_of_the_network(
    bench_run: Run, output_dir: Path, training: str, way: str
) -> None:
    arguments = (*QUICK, *SMALL, "attack=fgsm_fixed", "samples=4", "scheme=none")
    plain = one(bench_run(*arguments), output_dir)
    # at its default temperature distillation takes more epochs to get above chance
    cooler = ["training.temperature=5"] if training == "distillation" else []
    record = one(bench_run(f"training={training}", *arguments, *cooler), output_dir)
    assert record["config"]["training"]["_target_"].endswith(way)
    assert record["checkpoint"] != plain["checkpoint"]
    # nothing is random at test time
    assert record["metrics"]["fresh_draws"] == 1


def test_bad_options_of_a_way_of_training_get_one_line(bench_run: Run, tmp_path: Path) -> None:
    for arguments, words in (
        (
            ("training=distillation", "training.temperature=0"),
            "training: expected a temperature over 0, got 0",
        ),
        (
            ("training=adversarial", "training.epsilon=2"),
            "training: expected epsilon over 0, up to 1, got 2",
        ),
        (
            ("training=adversarial", "training.step=2"),
            "training.step: AdversarialTraining takes no such option; allowed: epsilon, steps",
        ),
    ):
        outcome = bench_run(*SMALL, *arguments, f"output_dir={tmp_path / 'out'}")
        assert outcome.status == 2
        assert outcome.err.strip() == f"error: {words}"


def test_cross_recognition_can_be_left_out(bench_run: Run, output_dir: Path) -> None:
    from bench.analysis import transfer

    arguments = ("-m", "scheme=none,fc", "attack=fgsm_fixed", "samples=6", "name=uncrossed", *QUICK)
    folder = output_dir / "uncrossed"
    assert bench_run(*arguments, "transfer=false").status == 0
    assert not (folder / "transfer.csv").exists()
    keys = list(pd.read_csv(folder / "results.csv")["key"])
    # it can be had later, by itself or with the same sweep, whose cells it doesn't change
    assert transfer.write(folder)
    (folder / "transfer.csv").unlink()
    assert bench_run(*arguments).status == 0
    assert (folder / "transfer.csv").exists()
    assert [c["key"] for c in json.loads((folder / "cells.json").read_text())["cells"]] == keys
