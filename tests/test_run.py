import gzip
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig
from running import Run, fresh, start
from standing_in import FILES, peers

from bench import axes, checks, choices, config, run
from bench.results.store import Store

QUICK = ("samples=8", "training.epochs=3", "evaluation.draws=4")


def records(output_dir: Path) -> dict[str, dict]:
    return {p.stem: json.loads(p.read_text()) for p in (output_dir / "store" / "records").glob("*.json")}


def results(output_dir: Path, name: str = "sweep") -> pd.DataFrame:
    return pd.read_csv(output_dir / name / "results.csv")


def without_times(record: dict) -> dict:
    # the hash is of the times too
    return {k: v for k, v in record.items() if k not in ("seconds", "sha256")}


def trained_with(output_dir: Path, record: dict) -> list[tuple[list[str], float]]:
    """At which paths a record's network was trained with a rate, and with which, as its checkpoint says."""
    about = Store(output_dir / "store").kept("checkpoints", record["checkpoint"]["key"]).about
    return [(paths, rate) for paths, _, rate in about["settings"]["rates"]]


@pytest.fixture
def own_schemes(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a scheme into a folder of the user's own, and gives the folder."""

    def write(name: str, text: str) -> str:
        folder = tmp_path / "my" / "scheme"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(text)
        return str(folder.parent)

    return write


def test_one_cell_prints_its_result_and_keeps_its_record(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run("scheme=fc", "attack=fgsm", "seed=11", *QUICK)
    assert outcome.status == 0
    path = Path(outcome.out.strip().splitlines()[-1])
    record = json.loads(path.read_text())
    assert record["cell"]["scheme"] == "fc"
    assert record["test_rates"] == {"fc": 0.5}
    assert trained_with(output_dir, record) == [(["layers.relu3"], 0.5)]
    assert record["metrics"]["fresh_draws"] == 4
    assert len(record["images"]["sha256"]) == len(record["images"]["indices"]) == 8
    assert set(record["versions"]) >= {"torch", "foolbox", "eagerpy", "numpy"}
    for key in ("git_revision", "device", "data", "checkpoint", "seeds"):
        assert key in record


def test_saved_samples_are_what_the_record_measures(bench_run: Run, output_dir: Path) -> None:
    from bench import datasets
    from bench.measuring import passes

    outcome = bench_run("scheme=none", "attack=pgd", "attack.epsilon=0.1", *QUICK)
    key = Path(outcome.out.strip().splitlines()[-1]).stem
    record = records(output_dir)[key]
    samples = Store(output_dir / "store").samples(record)
    data = datasets.load(datasets.digits, Path(), {"test_size": 500}, None)
    originals = data.x_test[samples["indices"]]
    assert np.abs(samples["perturbed"] - originals).max() <= 0.1 + 1e-6
    moved = passes.distances(originals, samples["perturbed"])["l2"][samples["claimed"]]
    assert record["metrics"]["distance"]["l2"]["mean"] == pytest.approx(moved.mean())
    assert record["metrics"]["claimed_success"]["mean"] == samples["claimed"].mean()
    # nothing is random, so that what the attacker saw is what is measured
    success, _ = fresh(Store(output_dir / "store"), record)
    assert np.array_equal(success, samples["claimed"].astype(float))


def test_sweep_writes_a_tidy_table_and_pictures(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run("-m", "scheme=none,fc", "attack=fgsm,pgd", "name=pair", *QUICK)
    assert outcome.status == 0
    frame = results(output_dir, "pair")
    assert list(zip(frame["scheme"], frame["attack"], strict=True)) == [
        ("none", "fgsm"), ("none", "pgd"), ("fc", "fgsm"), ("fc", "pgd")
    ]  # fmt: skip
    assert (frame["status"] == "ok").all()
    assert frame["fresh_success_pct"].between(0, 100).all()
    assert (frame["fresh_success_pct_low"] <= frame["fresh_success_pct"]).all()
    assert (
        output_dir / "pair" / "heatmap_attack_scheme_digits_two-conv_untargeted.png"
    ).stat().st_size > 10_000


def test_a_job_of_a_sweep_is_composed_once(
    bench_run: Run, output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose, asked = ConfigLoaderImpl.load_sweep_config, []

    def counted(self: ConfigLoaderImpl, master: DictConfig, overrides: list[str]) -> DictConfig:
        asked.append(overrides)
        return compose(self, master, overrides)

    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", counted)
    monkeypatch.setattr(run, "COMPOSED", 2)
    outcome = bench_run("-m", "scheme=none,fc,all", "name=once", *QUICK)
    assert outcome.status == 0, outcome.err
    assert list(results(output_dir, "once")["scheme"]) == ["none", "fc", "all"]
    # but for the one that there was no room for
    assert [one[0] for one in asked] == [f"scheme={name}" for name in ("none", "fc", "all", "all")]


def test_a_second_call_computes_nothing(bench_run: Run, output_dir: Path) -> None:
    arguments = ("-m", "scheme=none,fc", "attack=pgd", "name=again", *QUICK)
    bench_run(*arguments)
    folders = [output_dir / "store" / f for f in ("records", "samples", "looks", "checkpoints")]
    before = {p: p.stat().st_mtime_ns for f in folders for p in f.iterdir() if p.suffix != ".lock"}
    table = (output_dir / "again" / "results.csv").read_bytes()
    assert bench_run(*arguments).status == 0
    after = {p: p.stat().st_mtime_ns for f in folders for p in f.iterdir() if p.suffix != ".lock"}
    assert after == before
    assert (output_dir / "again" / "results.csv").read_bytes() == table


def test_a_scheme_is_one_file(
    bench_run: Run, output_dir: Path, own_schemes: Callable[[str, str], str]
) -> None:
    folder = own_schemes("mine", "sites:\n  input: 0.05\n  fc: 0.3\n")
    outcome = bench_run("-m", "--config-dir", folder, "scheme=mine,none", "attack=fgsm", "name=own", *QUICK)
    assert outcome.status == 0, outcome.err
    frame = results(output_dir, "own")
    assert list(frame["scheme"]) == ["mine", "none"]
    record = records(output_dir)[frame["key"][0]]
    assert record["test_rates"] == {"input": 0.05, "fc": 0.3}


def test_a_scheme_may_name_an_operation_of_its_own(
    bench_run: Run,
    output_dir: Path,
    own_schemes: Callable[[str, str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mynoise.py").write_text(
        "import torch\n"
        "class Noise:\n"
        "    def __init__(self, scale): self.scale = scale\n"
        "    def __call__(self, x, rate, generator):\n"
        "        return x + self.scale * rate * torch.randn(x.shape, generator=generator)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "sites: {fc: 0.5}\noperation:\n  _target_: mynoise.Noise\n  options: {scale: 2.0}\n"
    arguments = ("--config-dir", own_schemes("mine", text), "scheme=mine", "attack=pgd", *QUICK)
    refused = bench_run(*arguments)
    assert refused.status == 2
    assert "mynoise.Noise is outside trusted_modules (bench, foolbox)" in refused.err
    outcome = bench_run(*arguments, "trusted_modules=[bench,foolbox,mynoise]")
    assert outcome.status == 0, outcome.err
    record = records(output_dir)[Path(outcome.out.strip().splitlines()[-1]).stem]
    # a rate in training brings the scheme's own operation there, and so another network
    noisy = bench_run(*arguments, "trusted_modules=[bench,foolbox,mynoise]", "train_rate=0.5")
    other = records(output_dir)[Path(noisy.out.strip().splitlines()[-1]).stem]
    assert other["checkpoint"]["sha256"] != record["checkpoint"]["sha256"]


def test_an_attack_of_foolbox_is_one_file(bench_run: Run, output_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my" / "attack"
    folder.mkdir(parents=True)
    (folder / "ddn.yaml").write_text("_target_: foolbox.attacks.DDNAttack\noptions: {steps: 20}\n")
    arguments = ("-m", "--config-dir", str(folder.parent), "attack=ddn", "name=ddn", *QUICK)
    outcome = bench_run(*arguments, "criterion=untargeted,targeted,topk")
    assert outcome.status == 0, outcome.err
    # nobody told the harness which criteria it serves: the attack itself refused one
    assert list(results(output_dir, "ddn")["status"]) == ["ok", "ok", "not_applicable"]


def test_rates_sweep_in_training_and_at_test_time(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run(
        "-m", "scheme=fc", "attack=pgd", "train_rate=0,0.5", "test_rate=null,0.9", "name=rates", *QUICK
    )
    assert outcome.status == 0
    frame = results(output_dir, "rates")
    kept = records(output_dir)
    # at rate 0 nothing acts
    half = [(["layers.relu3"], 0.5)]
    assert [trained_with(output_dir, kept[k]) for k in frame["key"]] == [[], [], half, half]
    assert [kept[k]["test_rates"]["fc"] for k in frame["key"]] == [0.5, 0.9, 0.5, 0.9]
    assert len({kept[k]["checkpoint"]["key"] for k in frame["key"]}) == 2
    # the model's own rate, written out, is the same network
    default = bench_run("scheme=fc", "attack=pgd", *QUICK)
    record = kept | records(output_dir)
    assert (
        record[Path(default.out.strip().splitlines()[-1]).stem]["checkpoint"]
        == record[frame["key"][2]]["checkpoint"]
    )
    assert list((output_dir / "rates").glob("heatmap_train_rate_test_rate_*.png"))


def test_a_swept_setting_is_a_column(bench_run: Run, output_dir: Path) -> None:
    bench_run("-m", "attack=pgd", "attack.options.steps=2,20", "seed=0,1", "name=steps", *QUICK)
    frame = results(output_dir, "steps")
    assert list(frame["attack.options.steps"]) == [2, 2, 20, 20]
    assert list(frame["seed"]) == [0, 1, 0, 1]
    # the seeds are averaged into one picture for each other setting
    assert len(list((output_dir / "steps").glob("heatmap_*.png"))) == 2


def test_every_launcher_gives_the_same_records(bench_run: Run, output_dir: Path, tmp_path: Path) -> None:
    arguments = ("-m", "scheme=all,none", "attack=pgd,fgsm", "criterion=targeted", *QUICK)
    here, there = tmp_path / "basic", tmp_path / "joblib"
    assert bench_run(*arguments, f"output_dir={here}").status == 0
    outcome = bench_run(*arguments, f"output_dir={there}", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert outcome.status == 0, outcome.err
    one, two = records(here), records(there)
    assert one.keys() == two.keys()
    assert len(one) == 4
    for key in one:
        assert without_times(one[key]) == without_times(two[key])


def test_bad_settings_get_one_line_and_no_training(
    bench_run: Run, own_schemes: Callable[[str, str], str], tmp_path: Path
) -> None:
    folder = own_schemes("conv9", "sites:\n  conv9: 0.5\n")
    own_schemes("typo", "sties:\n  fc: 0.5\n")
    cases = {
        ("scheme=fcc",): "scheme=fcc: no such choice; allowed: all, defensive_dropout, fc",
        (
            "scheme=defensive_dropout",
        ): "scheme.sites.fc1: two_conv has no such site; allowed: input, feature, fc",
        ("model=four_conv",): "model.options: four_conv: images of 8x8 are too small for padding 0; use 1",
        ("scheme=fc", "test_rate=1.2"): "test_rate: expected a rate in [0, 1), got 1.2",
        ("scheme=noise", "test_rate=-1"): "test_rate: expected a standard deviation of at least 0, got -1.0",
        ("scheme=fc", "train_rate=-0.1"): "train_rate: expected a rate in [0, 1), got -0.1",
        ("sampels=3",): "sampels: no such key; allowed: dataset, model, training, scheme",
        ("samples=0",): "samples: expected at least 1, got 0",
        ("samples=501",): "samples: digits has 500 test images, got 501",
        ("samples=many",): "samples: Value 'many'",
        ("device=tpu",): "device: expected one of auto, cpu, cuda, mps, got tpu",
        ("scheme=none", "test_rate=0.5"): "test_rate: scheme none has no site",
        (
            "attack=deepfool",
            "criterion=targeted",
        ): "attack deepfool can't serve targeted; allowed: untargeted, topk",
        ("attack=cw", "criterion=topk"): "attack cw can't serve topk",
        ("attack=pgd", "attack.epsilon=null"): "attack: pgd needs an epsilon",
        (
            "attack=pgd",
            "+attack.options.stpes=3",
        ): "attack.options.stpes: LinfProjectedGradientDescentAttack takes no",
        ("attack=pgd", "attack._target_=os.system"): "attack._target_: os.system is outside trusted_modules",
        (
            "attack=pgd",
            "attack._target_=foolbox.attacks.Pgd",
        ): "attack._target_: can't import foolbox.attacks.Pgd",
        ("criterion=topk", "criterion.k=10"): "criterion.k: expected less than the 10 classes, got 10",
        ("criterion=targeted", "criterion.k=2"): "criterion.k: only for kind topk",
        ("dataset.train_size=5000",): "dataset=digits: train_size: expected 1 to 1297 images",
        ("name=../elsewhere",): "name: expected a folder's name",
        (
            "--config-dir",
            folder,
            "scheme=conv9",
        ): "scheme.sites.conv9: two_conv has no such site; allowed: input,",
        ("--config-dir", folder, "scheme=typo"): "scheme.sties: no such key; allowed: name, sites, operation",
        ("-m", "test_rate=0.5,1.2", "scheme=fc"): "test_rate: expected a rate in [0, 1), got 1.2",
        ("-m", "scheme=fc,fcc"): "scheme=fcc: no such choice",
        ("-m", "hydra/sweeper=nothing"): "hydra/sweeper=nothing: no such choice",
    }
    for arguments, words in cases.items():
        outcome = bench_run(*arguments, f"output_dir={tmp_path / 'out'}")
        assert outcome.status == 2, arguments
        lines = outcome.err.strip().splitlines()
        assert len(lines) == 1, (arguments, outcome.err)
        assert lines[0].startswith(f"error: {words}") or words in lines[0], (arguments, lines[0])
        assert not (tmp_path / "out" / "store").exists(), arguments


def test_a_sweep_names_every_bad_job_at_once(bench_run: Run, tmp_path: Path) -> None:
    outcome = bench_run(
        "-m", "scheme=fc,fcc", "test_rate=0.5,1.5", "attack=fgsm,nope", f"output_dir={tmp_path / 'out'}"
    )
    assert outcome.status == 2
    assert "scheme=fcc" in outcome.err
    assert "got 1.5" in outcome.err
    assert "attack=nope" in outcome.err
    assert not (tmp_path / "out" / "store").exists()


def test_damaged_data_is_refused_before_training(bench_run: Run, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(b"\0\0\x08\x03" + bytes([0, 0, 0, 70, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(70 * 64))[:-9]
    )
    for arguments in ((), ("-m", "scheme=none,fc")):
        outcome = bench_run(
            *arguments, "dataset=mnist", f"data_dir={tmp_path}", f"output_dir={tmp_path / 'out'}"
        )
        assert outcome.status == 2
        assert len(outcome.err.strip().splitlines()) == 1
        assert "train-images-idx3-ubyte.gz: damaged gzip file" in outcome.err
    assert not (tmp_path / "out" / "store").exists()


def test_what_cannot_be_is_a_hole_in_a_sweep_not_a_failure(bench_run: Run, output_dir: Path) -> None:
    outcome = bench_run("-m", "attack=cw,pgd", "criterion=topk,untargeted", "name=holes", *QUICK)
    assert outcome.status == 0
    frame = results(output_dir, "holes")
    assert list(frame["status"]) == ["not_applicable", "ok", "not_applicable", "ok"]
    assert frame["reason"][0] == "criterion: attack cw can't serve topk; allowed: untargeted, targeted"


def test_a_failing_cell_is_recorded_and_the_others_go_on(
    bench_run: Run, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mybroken.py").write_text(
        "class Broken:\n"
        "    def __call__(self, model, inputs, criterion, *, epsilons):\n"
        "        model(inputs)\n"
        "        raise ArithmeticError('it broke\\nin two lines')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "my" / "attack"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("_target_: mybroken.Broken\n")
    arguments = ("--config-dir", str(folder.parent), "trusted_modules=[bench,foolbox,mybroken]", *QUICK)
    outcome = bench_run("-m", *arguments, "attack=broken,pgd", "name=broken")
    assert outcome.status == 1
    frame = results(output_dir, "broken")
    assert list(frame["status"]) == ["failed", "ok"]
    assert frame["reason"][0] == "ArithmeticError: it broke in two lines"
    single = bench_run(*arguments, "attack=broken")
    assert single.status == 1
    assert single.err.strip().splitlines()[-1] == "error: ArithmeticError: it broke in two lines"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_sweep_goes_on_where_it_stopped(
    bench_run: Run, tmp_path: Path, how: signal.Signals
) -> None:
    from bench.analysis import summary

    # the first cells are quick, the last ones slow enough to be interrupted
    arguments = [
        "-m",
        "attack=pgd",
        "attack.options.steps=1,2,3,30000,30001",
        "samples=8",
        "training.epochs=1",
    ]
    process = start(arguments, tmp_path)
    kept = tmp_path / "outputs" / "store" / "records"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(kept.glob("*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    before = {p: p.stat().st_mtime_ns for p in kept.glob("*.json")}
    assert len(before) == 3
    if how is signal.SIGINT:
        assert process.returncode == 130, err
        assert "Traceback" not in err
    else:
        assert not summary.write(tmp_path / "outputs" / "sweep")[1]
    # either way the table is whole: what is not done yet is in it
    frame = results(tmp_path / "outputs")
    assert list(frame["status"]) == ["ok", "ok", "ok", "missing", "missing"]

    quick = [a.replace(",30000,30001", "") for a in arguments]
    assert bench_run(*quick, f"output_dir={tmp_path / 'outputs'}").status == 0
    assert {p: p.stat().st_mtime_ns for p in kept.glob("*.json")} == before
    assert list(results(tmp_path / "outputs")["status"]) == ["ok", "ok", "ok"]


def test_config_is_found_beside_the_package_or_inside_it() -> None:
    assert (Path(choices.conf_dir()) / "scheme" / "all.yaml").exists()


FEW_STEPS = {"hopskipjump": 1, **dict.fromkeys(("cw", "cw_l0", "cw_l2", "cw_l2_confident", "cw_linf"), 5)}
"""Of attacks that take many, since what they find isn't looked at."""


def test_every_choice_in_conf_composes(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the schema or the model refuses would only be seen by its first user."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "dropped.yaml").write_text("_target_: defences.Dropped\noutputs: {stacked: 10}\n")
    for group in axes.GROUPS:
        for path in sorted((Path(choices.conf_dir()) / group).glob("*.yaml")):
            if group == "dataset" and path.stem != "digits":
                continue
            small = ["samples=2", "training.epochs=6", "evaluation.draws=2"]
            if path.stem in FEW_STEPS:
                small.append(f"attack.options.steps={FEW_STEPS[path.stem]}")
            if path.stem != "two_conv" and (group != "scheme" or path.stem in ("sap", "defensive_dropout")):
                # made small it is trained in no time; 8x8 is small for it, and other schemes' sites aren't its
                small += ["model.options.width=8", "model.options.units=32", "model.options.padding=1"]
                small += ["training.learning_rate=1e-2"] if path.stem != "pretrained" else []
                small += ["model=four_conv"] if group != "model" else []
            if path.stem == "distillation":
                small += ["training.epochs=8"]
            if path.stem in ("own", "mc_dropout"):
                # none of conf/model draws by itself
                small += [
                    "model=dropped",
                    f"hydra.searchpath=[file://{tmp_path}]",
                    "trusted_modules=[bench,foolbox,defences]",
                ]
                small += ["scheme.train_mode=[dropout]"] if path.stem == "own" else []
            if path.stem == "pretrained":
                # it keeps the network's first weights
                small.remove("training.epochs=6")
            # no library of attacks is needed
            with peers(tmp_path, monkeypatch, *FILES):
                outcome = bench_run(f"{group}={path.stem}", *small)
            assert outcome.status == 0, (path, outcome.err)


def test_check_choice_suggests_the_closest() -> None:
    with pytest.raises(checks.ConfigError, match="did you mean targeted"):
        checks.check_choice("criterion.kind", "targetted", config.KINDS)
