"""What must not mix: the attacker's draws and the defender's, one scheme's figures and another's."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from owning import Own, writer
from running import Outcome, Run, fresh
from safetensors.numpy import load_file
from torch.nn import functional

from bench import cell, composing, datasets, plan
from bench.analysis import transfer
from bench.measuring import passes
from bench.results.store import Store
from bench.training.fit import Standard

QUICK = ("training.epochs=5", "evaluation.draws=6")

STILL = """
fails = False
called = []

class Still:
    def __init__(self, passes=1, turned=False):
        self.passes, self.turned = passes, turned

    def __call__(self, model, inputs, criterion, *, epsilons):
        # the first pass of all shows that the criterion is served, and ends there
        outputs = model(inputs)
        called.append(len(inputs))
        if fails:
            raise ArithmeticError("it broke")
        found = 1 - inputs if self.turned else inputs
        for _ in range(self.passes):
            outputs = model(found)
        return found, found, criterion(found, outputs)
"""
"""An attack that hands images back as they are, or as negatives, and claims what its last pass said."""

SWITCH = """
class Switch:
    random = False

    def __call__(self, x, rate, generator):
        return x if rate < 0.5 else 0 * x
"""
"""An operation that is nothing at small rates; at large ones the network answers one class, whatever it sees."""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    with writer(tmp_path, monkeypatch) as write:
        yield write


@pytest.fixture
def still(own: Own) -> tuple[str, ...]:
    _, found = own("mystill", STILL, **{"attack/still": "_target_: mystill.Still\noptions: {passes: 1}\n"})
    return (*found, "attack=still")


@pytest.fixture
def switch(own: Own) -> tuple[str, ...]:
    """A scheme whose rate is 0.1 or 0.9: a network that is bare, or answers one class."""
    text = "sites: {fc: 0.1}\noperation: {_target_: myswitch.Switch}\n"
    return (*own("myswitch", SWITCH, **{"scheme/switch": text})[1], "scheme=switch")


def one(outcome: Outcome, output_dir: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The record of a single cell that was run, its samples, and how they fare on fresh draws."""
    assert outcome.status == 0, outcome.err
    store = Store(output_dir / "store")
    key = Path(outcome.out.strip().splitlines()[-1]).stem
    record = store.read(key)
    assert record is not None
    success, right = fresh(store, record)
    return record, {**store.samples(record), "fresh_success": success, "fresh_accuracy": right}


def answer(record: dict, output_dir: Path) -> int:
    """The class that the network gives when nothing reaches its last layer: that of the largest bias."""
    weights = load_file(output_dir / "store" / "checkpoints" / f"{record['checkpoint']['key']}.safetensors")
    (bias,) = (value for name, value in weights.items() if name.endswith("bias") and value.shape == (10,))
    return int(bias.argmax())


def test_fresh_draws_are_not_those_that_the_attack_saw(
    bench_run: Run, output_dir: Path, still: tuple[str, ...]
) -> None:
    # one pass by the attack, of all images at once as evaluation does, and one by evaluation
    arguments = ("scheme=fc", "test_rate=0.97", "samples=200", "training.epochs=5", "evaluation.draws=1")
    record, samples = one(bench_run(*still, "attack.options.passes=0", *arguments), output_dir)
    claimed, held = samples["claimed"], samples["fresh_success"] == 1
    # the attack's claim is of the pass that it made, on the very images that evaluation passes
    assert 20 < claimed.sum() < 180
    assert np.array_equal(samples["perturbed"], original(samples))
    # of two passes with masks of their own: had they the same, each claim would hold
    expected = held.mean()
    alike = (claimed == held).mean()
    assert alike < 0.98
    assert held[claimed].mean() < 0.98
    assert abs(claimed.mean() - expected) < 0.25
    assert record["metrics"]["fresh_draws"] == 1


def original(samples: dict[str, np.ndarray]) -> np.ndarray:
    return datasets.load(datasets.digits, Path(), {}, None).x_test[samples["indices"]]


def test_fresh_draws_do_not_depend_on_how_often_the_attack_passed(
    bench_run: Run, output_dir: Path, still: tuple[str, ...]
) -> None:
    found = []
    for times in (1, 3):
        arguments = ("scheme=fc", "test_rate=0.97", "samples=40", f"attack.options.passes={times}", *QUICK)
        found.append(one(bench_run(*still, *arguments), output_dir))
    (few, after_few), (many, after_many) = found
    assert few["metrics"]["forward_passes_per_image"] < many["metrics"]["forward_passes_per_image"]
    assert not np.array_equal(after_few["claimed"], after_many["claimed"])
    assert np.array_equal(after_few["perturbed"], after_many["perturbed"])
    # the same images under the same defence and seed: what an attack has drawn is none of evaluation's business
    assert 0 < after_few["fresh_success"].mean() < 1
    assert np.array_equal(after_few["fresh_success"], after_many["fresh_success"])


def test_only_images_that_the_network_gets_right_are_attacked(
    bench_run: Run, output_dir: Path, still: tuple[str, ...]
) -> None:
    record, samples = one(bench_run(*still, "scheme=none", "samples=500", "training.epochs=2"), output_dir)
    right = record["metrics"]["clean_accuracy_no_scheme"]["mean"]
    assert 0.2 < right < 0.99
    # nothing was moved: what is wrong now was wrong before
    assert (samples["fresh_success"] == 0).all()
    assert (samples["fresh_accuracy"] == 1).all()
    assert not samples["claimed"].any()
    assert len(samples["indices"]) == record["images"]["count"] == round(500 * right)
    few, _ = one(bench_run(*still, "scheme=none", "samples=9", "training.epochs=2"), output_dir)
    # the first ones, in their order
    assert few["images"]["indices"] == samples["indices"][:9].tolist()


def test_accuracy_is_measured_under_the_scheme_and_beside_it_without(
    bench_run: Run, output_dir: Path, switch: tuple[str, ...]
) -> None:
    arguments = (*switch, "attack=fgsm_fixed", "samples=40", *QUICK)
    bare, _ = one(bench_run(*arguments, "test_rate=0.1"), output_dir)
    blind, _ = one(bench_run(*arguments, "test_rate=0.9"), output_dir)
    assert bare["checkpoint"] == blind["checkpoint"]
    labels = datasets.load(datasets.digits, Path(), {}, None).y_test
    share = (labels == answer(blind, output_dir)).mean()
    assert blind["metrics"]["clean_accuracy"]["mean"] == pytest.approx(share)
    without = [r["metrics"]["clean_accuracy_no_scheme"]["mean"] for r in (bare, blind)]
    assert without[0] == without[1] == bare["metrics"]["clean_accuracy"]["mean"]
    assert without[0] > share + 0.3


def test_a_target_missed_is_not_the_true_label_given(
    bench_run: Run, output_dir: Path, switch: tuple[str, ...]
) -> None:
    arguments = ("attack=fgsm_fixed", "criterion=targeted", "samples=60", "test_rate=0.9")
    record, samples = one(bench_run(*switch, *arguments, *QUICK), output_dir)
    given = answer(record, output_dir)
    assert samples["fresh_accuracy"].tolist() == (samples["labels"] == given).tolist()
    assert samples["fresh_success"].tolist() == (samples["targets"] == given).tolist()
    assert record["metrics"]["fresh_accuracy"]["mean"] == (samples["labels"] == given).mean()
    assert record["metrics"]["fresh_success"]["mean"] == (samples["targets"] == given).mean()


def test_cross_recognition_is_under_the_recognisers_scheme_and_rate(
    bench_run: Run, output_dir: Path, switch: tuple[str, ...]
) -> None:
    arguments = ("attack=fgsm", "samples=60", "test_rate=0.1,0.9", "name=switched")
    outcome = bench_run("-m", *switch, *arguments, *QUICK)
    assert outcome.status == 0, outcome.err
    pairs = pd.read_csv(output_dir / "switched" / "transfer.csv")
    pairs = pairs.set_index(["generated_under", "recognised_by"])["accuracy_pct"]
    results = pd.read_csv(output_dir / "switched" / "results.csv").set_index("test_rate")
    record = of(output_dir).read(results.loc[0.1, "key"])
    assert record is not None
    samples = of(output_dir).samples(record)
    share = 100 * (samples["labels"][samples["claimed"]] == answer(record, output_dir)).mean()
    # the bare network is wrong about all that fools it, the blind one is right about one class
    assert share > 0
    assert pairs[(0.1, 0.1)] == 0
    assert pairs[(0.1, 0.9)] == pytest.approx(share)


def of(output_dir: Path) -> Store:
    return Store(output_dir / "store")


def test_cross_recognition_is_of_the_samples_that_are_there(
    bench_run: Run, tmp_path: Path, still: tuple[str, ...]
) -> None:
    """An attack that takes a time limit, say, finds other samples when it is run again, under the same key."""
    import mystill

    folder = tmp_path / "out"
    arguments = ("-m", *still, "scheme=none,feature", "samples=40", "attack.options.passes=1", *QUICK)
    seen = []
    for turned in (False, True):
        mystill.Still.__init__.__defaults__ = (1, turned)
        for kind in ("records", "samples"):
            shutil.rmtree(folder / "store" / kind, ignore_errors=True)
        outcome = bench_run(*arguments, f"output_dir={folder}")
        assert outcome.status == 0, outcome.err
        results = pd.read_csv(folder / "sweep" / "results.csv").set_index("scheme")
        pairs = transfer.table(folder / "sweep").set_index(["generated_under", "recognised_by"])
        kept = {scheme: of(folder).read(results.loc[scheme, "key"]) for scheme in ("none", "feature")}
        claims = {scheme: of(folder).samples(record)["claimed"].sum() for scheme, record in kept.items()}
        assert claims["feature"] > 0
        for scheme in ("none", "feature"):
            if claims[scheme]:
                assert (pairs.loc[scheme]["samples"] == claims[scheme]).all()
        seen.append((results["key"].tolist(), claims))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1]["feature"] != seen[1][1]["feature"]


def test_weights_that_a_record_was_not_made_with_are_not_used(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training may differ from machine to machine under the same settings, and checkpoints get copied."""
    arguments = ("-m", "scheme=none,fc", "attack=fgsm_fixed", "samples=10", *QUICK)
    here, there = tmp_path / "here", tmp_path / "there"
    assert bench_run(*arguments, f"output_dir={here}").status == 0

    def otherwise(self: Standard, train: object) -> torch.nn.Module:
        return train(lambda m, x, y: functional.cross_entropy(m(x), y, label_smoothing=0.2))

    monkeypatch.setattr(Standard, "__call__", otherwise)
    assert bench_run(*arguments, f"output_dir={there}").status == 0
    (mine,), (theirs,) = ((f / "store" / "checkpoints").glob("*.safetensors") for f in (here, there))
    assert mine.name == theirs.name
    assert mine.read_bytes() != theirs.read_bytes()
    shutil.copy(theirs, mine)
    shutil.rmtree(here / "store" / "looks")
    pairs = transfer.table(here / "sweep")
    assert pairs["accuracy_pct"].isna().all() if "accuracy_pct" in pairs else pairs["reason"].notna().all()
    assert pairs["reason"].notna().all()


def test_what_is_no_image_is_given_up_and_not_claimed(bench_run: Run, output_dir: Path, own: Own) -> None:
    source = (
        "import torch\n"
        "class Broken:\n"
        "    def __call__(self, model, inputs, criterion, *, epsilons):\n"
        "        model(inputs)\n"
        "        found = 1 - inputs\n"
        "        found[0::3] = float('nan')\n"
        "        found[1::3] = 0\n"
        "        held = criterion(found, model(found.nan_to_num()))\n"
        "        held[0::3] = held[1::3] = True\n"
        "        return found, found, held\n"
    )
    _, found = own("mynoimage", source, **{"attack/noimage": "_target_: mynoimage.Broken\n"})
    record, samples = one(
        bench_run(*found, "attack=noimage", "scheme=none", "samples=12", *QUICK), output_dir
    )
    given_up = np.arange(12) % 3 < 2
    assert np.isfinite(samples["perturbed"]).all()
    assert np.array_equal(samples["perturbed"][given_up], original(samples)[given_up])
    assert not samples["claimed"][given_up].any()
    assert (samples["fresh_success"][given_up] == 0).all()
    assert np.allclose(samples["perturbed"][~given_up], 1 - original(samples)[~given_up])
    assert record["metrics"]["given_up"] == 8


def test_as_many_successes_as_were_asked_for_and_none_after(bench_run: Run, output_dir: Path) -> None:
    for wanted in (1, 7):
        arguments = ("attack=fgsm_fixed", "scheme=none", "count=successes", f"samples={wanted}")
        record, samples = one(bench_run(*arguments, *QUICK), output_dir)
        assert samples["claimed"].sum() == wanted
        assert samples["claimed"][-1]
        assert len(samples["claimed"]) == record["images"]["count"] == len(samples["fresh_success"])


def test_two_that_want_one_cell_attack_once(
    tmp_path: Path, still: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mystill

    arguments = (*still, "samples=10", f"output_dir={tmp_path / 'out'}", *QUICK)
    # the last one wants the same samples, for a record of its own
    ready = [
        plan.prepare(composing.compose((*arguments, f"evaluation.draws={draws}"))) for draws in (6, 6, 7)
    ]
    assert ready[0].key == ready[1].key != ready[2].key
    mystill.called.clear()
    records: list[dict] = []
    write, written = Store.write, []
    monkeypatch.setattr(
        Store, "write", lambda store, key, record: (written.append(key), write(store, key, record))
    )
    threads = [threading.Thread(target=lambda c=c: records.append(cell.run(c))) for c in ready]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for record in records:
        assert record["status"] == "ok", record.get("traceback", record["reason"])
    assert len(records) == 3
    assert len(mystill.called) == 1
    assert sorted(written) == sorted({r["key"] for r in records})
    one, two = (r for r in records if r["key"] == ready[0].key)
    assert json.dumps(one["metrics"]) == json.dumps(two["metrics"])


def test_a_failed_cell_is_computed_again(
    bench_run: Run, tmp_path: Path, still: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mystill

    def broken(*arguments: object) -> None:
        raise ArithmeticError("it broke")

    arguments = (*still, "scheme=none", "samples=10", f"output_dir={tmp_path / 'out'}", *QUICK)
    record, _ = one(bench_run(*arguments), tmp_path / "out")
    store = of(tmp_path / "out")
    # once at the attack, and once after it, where its samples stay
    for where in ("attack", "measuring"):
        store.record_path(record["key"]).unlink()
        with monkeypatch.context() as patch:
            if where == "attack":
                store.samples_path(record).unlink()
                patch.setattr(mystill, "fails", True)
            else:
                patch.setattr(passes, "distances", broken)
            assert bench_run(*arguments).status == 1
        failed = store.read(record["key"])
        assert failed is not None
        assert failed["status"] == "failed"
        again, _ = one(bench_run(*arguments), tmp_path / "out")
        assert again["status"] == "ok"
        assert again["metrics"] == record["metrics"]


def test_a_record_never_speaks_of_samples_that_are_not_there(tmp_path: Path, still: tuple[str, ...]) -> None:
    ready = plan.prepare(
        composing.compose((*still, "scheme=none", "samples=10", f"output_dir={tmp_path / 'out'}", *QUICK))
    )
    ready.store.folder.mkdir(parents=True)
    # no folder can be made of this name
    (ready.store.folder / "samples").write_text("")
    record = cell.run(ready)
    assert record["status"] == "failed"
    assert record["reason"].endswith(".safetensors: can't be written")
    assert ready.store.done(ready.key) is None
