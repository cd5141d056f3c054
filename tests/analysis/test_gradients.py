import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from running import Run
from torch import nn

from bench import datasets, plan
from bench.analysis import gradients
from bench.cli import main
from bench.defended import Defended
from bench.measuring import gradients as drawing
from bench.measuring import intervals
from bench.results import fingerprint
from bench.results.store import Store
from bench.results.sweep import Sweep, write_manifest

QUICK = ("-m", "model=two_conv", "criterion=targeted", "samples=6", "training.epochs=2", "evaluation.draws=4")
RATES = ("scheme=fc", "test_rate=0,0.3,0.7")
SHORT = {"draws": 12, "images": 4}


@pytest.fixture
def swept(bench_run: Run, output_dir: Path) -> Path:
    folder = output_dir / "gradients"
    if not folder.exists():
        outcome = bench_run(*QUICK, *RATES, "attack=fgsm,pgd", "name=gradients", "transfer=false")
        assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture
def command() -> Callable[..., None]:
    def call(*arguments: object) -> None:
        main(["gradients", *map(str, arguments)])

    return call


def part_of(folder: Path, into: Path, *wanted: int) -> Path:
    """A sweep of some of another one's cells."""
    sweep = Sweep(folder)
    write_manifest(into, sweep.store, [sweep.cells[i] for i in wanted])
    return into


def linear(rate: float) -> tuple[Defended, torch.Tensor]:
    """Two classes whose logits are linear in the pixels, dropout on these; the gradient without dropout."""
    torch.manual_seed(0)
    layer = nn.Linear(36, 2).requires_grad_(False)
    defended = Defended(nn.Sequential(nn.Flatten(), layer), {"input": ""}, {"input": rate})
    # towards class 1
    return defended, layer.weight[0] - layer.weight[1]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.8])
def test_variance_of_a_linear_network_is_what_dropout_makes_it(rate: float) -> None:
    defended, w = linear(rate)
    images, draws = torch.rand(3, 1, 6, 6), 1000
    with defended.model(1) as model:
        drawn = drawing.draw(model, images, torch.ones(3, dtype=torch.int64), draws, batch_size=2)
    assert drawn.shape == (draws, 3, 1, 6, 6)
    # each value of the gradient is 0 or w / (1 - rate)
    odds = rate / (1 - rate)
    expected = w.double() ** 2 * odds
    found = drawn.flatten(2).double().var(0)
    # five standard errors of a variance, from the fourth moment of a Bernoulli variable
    kurtosis = 3 + (1 - 6 * rate * (1 - rate)) / (rate * (1 - rate))
    tolerance = 5 * expected * math.sqrt((kurtosis - 1) / draws)
    assert ((found - expected).abs() < tolerance).all()
    measured = drawing.measure(drawn.numpy())
    assert measured["variance"] == pytest.approx(expected.mean().item(), rel=0.08)
    assert measured["signal"] == pytest.approx((w**2).mean().item(), rel=0.08)
    assert intervals.ratio(measured["variance"], measured["signal"]).mean == pytest.approx(odds, rel=0.08)


def test_few_draws_are_right_on_average() -> None:
    defended, w = linear(0.8)
    images, targets = torch.rand(800, 1, 6, 6), torch.ones(800, dtype=torch.int64)
    with defended.model(1) as model:
        measured = drawing.measure(drawing.draw(model, images, targets, 3, batch_size=800).numpy())
    for name, expected in (("variance", 4 * (w**2).mean().item()), ("signal", (w**2).mean().item())):
        error = measured[name].std() / math.sqrt(800)
        assert abs(measured[name].mean() - expected) < 5 * error
        assert error < 0.1 * expected


def test_gradient_is_the_objectives_by_finite_differences() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    model.requires_grad_(False)
    image, target = torch.rand(1, 1, 2, 2, dtype=torch.float64), 2

    def f(x: torch.Tensor) -> float:
        z = model(x)[0]
        return (max(z[0], z[1]) - z[target]).item()

    drawn = drawing.draw(model, image, torch.tensor([target]), 2, batch_size=5)
    assert torch.equal(drawn[0], drawn[1])
    for at in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[at] = 1e-6
        slope = (f(image + step.view_as(image)) - f(image - step.view_as(image))) / 2e-6
        assert drawn[0].flatten()[at].item() == pytest.approx(slope, rel=1e-5)


def test_cosine_is_the_mean_over_pairs() -> None:
    drawn = np.random.default_rng(0).normal(size=(5, 2, 7))
    # a draw without any gradient has no direction
    drawn[3, 1] = 0
    pairs = [(a, b) for a in range(5) for b in range(a)]
    for image in range(2):
        cosines = [
            a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)
            for a, b in ((drawn[i, image], drawn[j, image]) for i, j in pairs)
        ]
        assert drawing.measure(drawn)["cosine"][image] == pytest.approx(np.mean(cosines))


def test_measures_follow_the_rate(swept: Path) -> None:
    frame = gradients.table([swept], **SHORT)
    assert frame["test_rate"].tolist() == [0, 0, 0.3, 0.3, 0.7, 0.7]
    still = frame[frame["test_rate"] == 0]
    assert (still["variance"] == 0).all()
    assert (still["noise_to_signal"] == 0).all()
    assert still["cosine"].tolist() == pytest.approx([1.0] * len(still), abs=1e-12)
    for _, group in frame.groupby("attack"):
        group = group.sort_values("test_rate")
        assert group["variance"].is_monotonic_increasing
        assert group["noise_to_signal"].is_monotonic_increasing
        assert group["cosine"].is_monotonic_decreasing
        assert (group["variance"].diff().iloc[1:] > 0).all()
    assert (frame["gradient_images"] == 4).all()
    results = pd.read_csv(swept / "results.csv").set_index("key")
    for column in gradients.OUTCOMES:
        assert frame.set_index("key")[column].tolist() == pytest.approx(results[column].tolist())


def test_a_row_is_what_its_record_gives_by_hand(swept: Path, output_dir: Path) -> None:
    row = gradients.table([swept], **SHORT).query("attack == 'pgd' and test_rate == 0.7").iloc[0]
    store = Store(output_dir / "store")
    record = store.read(row["key"])
    assert record is not None
    samples, defended = store.samples(record), plan.restore(record, store).defended
    data = datasets.load(datasets.digits, Path(), {}, None)
    seed = fingerprint.derive_seed(0, "gradients")
    images, targets = torch.from_numpy(data.x_test[samples["indices"][:4]]), samples["targets"][:4]
    drawn = []
    with defended.model(seed) as model:
        for _ in range(12):
            x = images.clone().requires_grad_()
            z = model(x)
            own = z[range(4), targets]
            others = z.masked_fill(nn.functional.one_hot(torch.from_numpy(targets), 10).bool(), -math.inf)
            drawn.append(torch.autograd.grad((others.amax(1) - own).sum(), x)[0])
    assert row["variance"] == pytest.approx(torch.stack(drawn).double().var(0).mean().item(), rel=1e-6)


def test_a_row_does_not_depend_on_its_neighbours_nor_on_what_is_kept(swept: Path, tmp_path: Path) -> None:
    whole = gradients.table([swept], **SHORT)
    kept = Store(swept.parent / "store").folder / "gradients"
    for path in kept.glob("*.safetensors"):
        path.unlink()
    alone = gradients.table([part_of(swept, tmp_path / "alone", 4, 1)], **SHORT)
    names = [*gradients.MEASURES, "key"]
    pd.testing.assert_frame_equal(alone[names], whole.loc[[4, 1], names].reset_index(drop=True))
    other = gradients.table([tmp_path / "alone"], **SHORT, seed=1)
    moved = other["test_rate"] > 0
    assert (other.loc[moved, "variance"] != alone.loc[moved, "variance"]).all()


def test_attacks_share_gradients_and_nothing_is_drawn_twice(
    swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = drawing.draw

    def spy(*arguments: object) -> torch.Tensor:
        drawn.append(1)
        return draw(*arguments)

    for path in (swept.parent / "store" / "gradients").glob("*.safetensors"):
        path.unlink()
    monkeypatch.setattr(drawing, "draw", spy)
    first = gradients.table([swept], **SHORT)
    assert len(first) == 6
    assert len(drawn) == 3
    pd.testing.assert_frame_equal(gradients.table([swept], **SHORT), first)
    assert len(drawn) == 3


def test_every_wrong_class_leaves_one_target_an_image(bench_run: Run, output_dir: Path) -> None:
    quick = [a.replace("criterion=targeted", "criterion=all_targets") for a in QUICK]
    bench_run(*quick, "scheme=fc", "test_rate=0.3,0.7", "attack=fgsm_fixed", "name=each", "transfer=false")
    frame = gradients.table([output_dir / "each"], draws=3, images=5)
    assert (frame["gradient_images"] == 5).all()
    store = Store(output_dir / "store")
    record = store.read(frame["key"][0])
    assert record is not None
    samples = store.samples(record)
    rows = gradients._rows(samples["indices"], 5, 0)
    assert len(set(samples["indices"][rows])) == 5
    # not the first class each time
    assert len(set(samples["targets"][rows])) > 1
    assert (samples["targets"][rows] != samples["labels"][rows]).all()


def test_correlations_are_within_an_attack_and_need_three_rows() -> None:
    frame = pd.DataFrame({
        "dataset": "d", "scheme": ["a"] * 3 + ["b"] * 2 + ["a"] * 2, "attack": ["x"] * 5 + ["y"] * 2,
        "test_rate": 0.1, "checkpoint": "c", "gradient_images": 9,
        "variance": [1.0, 2.0, 3.0, 4.0, 0.5, 1.0, 2.0],
        "noise_to_signal": [3.0, 1.0, 2.0, 4.0, math.inf, 1.0, 2.0],
        "cosine": 1.0,
        "fresh_success_pct": [30.0, 20.0, 10.0, 40.0, 35.0, 5.0, 6.0],
    })  # fmt: skip
    found = gradients.correlations(frame).set_index(["attack", "schemes", "measure"])
    assert found.index.unique("attack").tolist() == ["x"]
    assert found.index.unique("schemes").tolist() == ["a b", "a"]
    assert found.loc[("x", "a", "variance"), "spearman"] == pytest.approx(-1)
    # ranks 1 to 5 against 3 2 1 5 4, and so on
    assert found.loc[("x", "a b", "variance"), "spearman"] == pytest.approx(0, abs=1e-9)
    assert found.loc[("x", "a b", "variance"), "rows"] == 5
    assert math.isnan(found.loc[("x", "a", "cosine"), "spearman"])


def test_one_images_values_are_the_same_for_every_defence(swept: Path) -> None:
    points = gradients.points([swept], draws=12, images=4, pixels=3)
    assert len(points["network"].unique()) == 1
    assert points["defence"].unique().tolist() == ["fc 0.0", "fc 0.3", "fc 0.7"]
    for _, panel in points.groupby("defence"):
        assert (panel.groupby("pixel").size() == 12).all()
        assert panel["pixel"].unique().tolist() == points["pixel"].unique().tolist()
    assert points["pixel"].nunique() == 3
    spread = points.groupby(["defence", "pixel"])["gradient"].std()
    assert (spread["fc 0.0"] == 0).all()
    assert (spread["fc 0.7"] > 0).all()
    # a value that no draw moves says nothing
    assert (points.groupby(["defence", "pixel"])["gradient"].apply(lambda g: (g != 0).any())).all()
    # nor does one with next to no gradient: of the digits' 64 values the larger half, and no other
    several = gradients.points([swept], draws=12, images=4, pixels=64)
    assert several["pixel"].nunique() == 32
    sizes = several["gradient"].abs().groupby(several["pixel"]).mean()
    assert sizes.min() > 0.1 * sizes.max()


def test_command_writes_tables_and_pictures(
    swept: Path, tmp_path: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(swept, part_of(swept, tmp_path / "one", 0), "--folder", tmp_path, "--draws", 12, "--images", 4)
    written = capsys.readouterr().out
    assert "spearman" in written
    for name in ("gradients.csv", "gradient_correlations.csv", "gradients.png", "gradient_variance.png"):
        assert str(tmp_path / name) in written
        assert (tmp_path / name).stat().st_size > 100
    # what two sweeps share is one cell
    assert len(pd.read_csv(tmp_path / "gradients.csv")) == 6
    related = pd.read_csv(tmp_path / "gradient_correlations.csv")
    assert set(related["attack"]) == {"fgsm", "pgd"}
    assert related["spearman"].dropna().between(-1, 1).all()
    # without a folder each sweep has its own
    command(tmp_path / "one", "--draws", 12, "--images", 4)
    assert len(pd.read_csv(tmp_path / "one" / "gradients.csv")) == 1


def test_what_cannot_be_restored_is_a_row_with_its_reason(
    swept: Path, tmp_path: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(swept.parent / "store")
    folder = part_of(swept, tmp_path / "holes", 0, 1, 2, 3)
    # what is kept of these is not of those that they are made into
    gradients.table([folder], **SHORT)
    cells = [dict(entry) for entry in Sweep(folder).cells]
    cells[0]["key"] = "0" * 16
    first = store.read(cells[1]["key"])
    assert first is not None
    gone = {**first["defended"]["network"], "checkpoint": "gone"}
    for at, key, change in (
        (1, "1" * 16, {"checkpoint": {"key": "gone"}, "defended": {"network": gone}}),
        (2, "2" * 16, {"data": {"fingerprint": "other"}}),
        (3, "3" * 16, {"checkpoint": {"sha256": "0" * 64}}),
    ):
        record = store.read(cells[at]["key"])
        assert record is not None
        changed = {name: {**record[name], **values} for name, values in change.items()}
        store.write(key, {**record, **changed, "key": key})
        cells[at]["key"] = key
    write_manifest(folder, store, cells)
    try:
        command(folder, "--draws", 12, "--images", 4)
    finally:
        for digit in "123":
            store.record_path(digit * 16).unlink()
    frame = pd.read_csv(folder / "gradients.csv")
    assert frame["variance"].isna().all()
    assert frame["reason"][0] == "missing: not run yet"
    assert "gone.safetensors" in frame["reason"][1]
    assert frame["reason"][2] == "dataset=digits: not the data that the record was made with"
    assert "not the weights that record 3333" in frame["reason"][3]
    assert "not run yet" in capsys.readouterr().out
    assert not (folder / "gradients.png").exists()


def test_bad_options_are_refused(
    swept: Path, tmp_path: Path, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        ((swept, "--draws", 1), "--draws: expected at least 2, got 1"),
        ((swept, "--images", 0), "--images: expected at least 1, got 0"),
        ((tmp_path,), "no sweep was started there"),
    ):
        with pytest.raises(SystemExit) as ended:
            command(*arguments)
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
