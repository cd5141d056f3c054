"""A defence whose draws are shared by all images of a pass: how it is found out, and what follows from it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eagerpy as ep
import foolbox as fb
import numpy as np
import pandas as pd
import pytest
import torch
from owning import Own, writer
from running import Run
from torch import Tensor, nn

import bench
from bench import cli
from bench.attacks.base import pass_draws
from bench.measuring import intervals
from bench.results import fingerprint
from bench.results.store import Store


def one_mask(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Dropout whose mask all images of a pass share."""
    keep = torch.rand(values.shape[1:], generator=generator) >= rate
    return values * keep / (1 - rate)


@pytest.fixture
def defended() -> bench.Defended:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    return bench.Defended(net, {"hidden": "2"}, {"hidden": (one_mask, 0.5)})


@pytest.fixture
def images(defended: bench.Defended) -> tuple[Tensor, Tensor]:
    """Forty images, and what the network without its defence makes of them."""
    images, _ = bench.load_dataset("digits").test(40)
    with defended.twin.model(0) as model, torch.no_grad():
        return images, model(images).argmax(-1)


def by_hand(
    defended: bench.Defended, images: Tensor, labels: Tensor, draws: int, seed: int, of: str = "evaluation"
) -> np.ndarray:
    """Whether each image fools each draw, shape (draws, images)."""
    with defended.model(fingerprint.derive_seed(seed, of)) as model, torch.no_grad():
        return np.stack([(model(images).argmax(-1) != labels).numpy() for _ in range(draws)])


def test_intervals_take_images_and_draws_as_random(
    defended: bench.Defended, images: tuple[Tensor, Tensor]
) -> None:
    result = bench.evaluate(defended, *images, [("pgd", 0.05)], draws=15)
    row = result.table.iloc[0]
    assert row["shared_draws"] == "pass"
    assert "images of a pass share a draw: intervals take draws as random, too" in row["warnings"]
    fooled = by_hand(defended, result.samples["pgd"], images[1], 15, 0)
    assert result.success["pgd"] == pytest.approx(fooled.mean(0))
    expected = intervals.two_way(fooled.sum(0), fooled.sum(1))
    shown = [row[f"fresh_success_pct{end}"] / 100 for end in ("", "_low", "_high")]
    assert shown == pytest.approx(list(expected))
    alone = intervals.estimate(fooled.mean(0))
    assert expected.high - expected.low > 1.2 * (alone.high - alone.low)
    # of the images as they are, too: one pass would tell of one draw alone
    right = ~by_hand(defended, *images, 15, 0, "clean")
    shown = [row[f"clean_accuracy_pct{end}"] / 100 for end in ("", "_low", "_high")]
    assert shown == pytest.approx(list(intervals.two_way(right.sum(0), right.sum(1))))


def test_measuring_takes_draws_as_random_too(defended: bench.Defended, images: tuple[Tensor, Tensor]) -> None:
    found = bench.measure(defended, *images, draws=15, seed=3)
    fooled = by_hand(defended, *images, 15, 3)
    low, high = (found.table[f"fresh_success_pct_{end}"].item() / 100 for end in ("low", "high"))
    assert (low, high) == pytest.approx(tuple(intervals.two_way(fooled.sum(0), fooled.sum(1)))[1:])


def test_draws_of_the_images_own_are_as_before(
    defended: bench.Defended, images: tuple[Tensor, Tensor]
) -> None:
    own = bench.Defended(defended.network, {"hidden": "2"}, {"hidden": 0.5})
    result = bench.evaluate(own, *images, ["deepfool"], draws=15)
    assert "shared_draws" not in result.table
    assert pd.isna(result.table["warnings"].item())
    assert result.records["deepfool"]["draws"]["shared_by"] == "image"
    fooled = by_hand(own, result.samples["deepfool"], images[1], 15, 0)
    low, high = (result.table[f"fresh_success_pct_{end}"].item() / 100 for end in ("low", "high"))
    assert (low, high) == pytest.approx(tuple(intervals.estimate(fooled.mean(0)))[1:])
    still = bench.evaluate(own.twin, *images, ["deepfool"])
    assert still.records["deepfool"]["draws"] == {}


def test_the_worst_case_has_no_interval_there(
    defended: bench.Defended, images: tuple[Tensor, Tensor]
) -> None:
    table = bench.evaluate(defended, *images, ["deepfool", ("pgd", 0.05)], draws=6).worst_case().table
    assert table["fresh_success_pct"].notna().all()
    assert table[["fresh_success_pct_low", "fresh_success_pct_high"]].isna().all(axis=None)


class Asking:
    """An attack that looks what its model says of itself."""

    said: bool | None = None

    def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any) -> Any:
        model(inputs)
        self.said = model.shared_draws
        return inputs, inputs, torch.zeros(len(inputs), dtype=torch.bool)


def test_an_attack_is_told_and_averages_over_passes(
    defended: bench.Defended, images: tuple[Tensor, Tensor]
) -> None:
    own = bench.Defended(defended.network, {"hidden": "2"}, {"hidden": 0.5})
    for one, expected in ((defended, True), (own, False)):
        asking = Asking()
        bench.evaluate(one, *images, {"asking": asking}, draws=2)
        assert asking.said is expected
    x, _ = ep.astensor_(images[0][:3])
    with defended.model(0) as network:
        model = fb.PyTorchModel(network, bounds=(0, 1))
        # copies in a batch are one draw, and so no average of several
        copies = pass_draws(model, x, 4).raw.reshape(4, 3, 10)
        assert torch.allclose(copies[0], copies[3])
        model.shared_draws = True  # type: ignore[attr-defined]
        passes = pass_draws(model, x, 4).raw.reshape(4, 3, 10)
        assert not any(torch.allclose(passes[i], passes[j]) for i in range(4) for j in range(i))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    with writer(tmp_path, monkeypatch) as write:
        yield write


OPERATION = """
import torch

class OneMask:
    def __call__(self, values, rate, generator):
        return values * (torch.rand(values.shape[1:], generator=generator) >= rate) / (1 - rate)
"""


def test_a_sweep_says_it_in_its_tables_and_before_it(
    bench_run: Run,
    own: Own,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scheme = "sites: {fc: 0.5}\noperation: {_target_: onemask.OneMask}\n"
    _, found = own("onemask", OPERATION, **{"scheme/mine": scheme})
    run = ("attack=fgsm", "samples=12", "training.epochs=3", "evaluation.draws=10", f"output_dir={tmp_path}")
    outcome = bench_run("-m", "scheme=none,mine", *run, *found)
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(tmp_path / "sweep" / "results.csv")
    assert table["shared_draws"].fillna("").tolist() == ["", "pass"]
    # who recognises samples under it: on draws that are random as well
    pairs = pd.read_csv(tmp_path / "sweep" / "transfer.csv")
    under = pairs[pairs["recognised_by"] == "mine"].set_index("generated_under")
    store = Store(tmp_path / "store")
    kept = [store.kept("looks", path.stem) for path in (tmp_path / "store" / "looks").glob("*.json")]
    seen = [one for one in kept if str(one.about["asked"].get("samples")).startswith("claimed of")]
    expected = {
        round(100 * float(np.mean(one.values["right"])) / one.values["draws"], 6): intervals.two_way(
            np.array(one.values["right"]), np.array(one.values["by_draw"][1])
        )
        for one in seen
        if one.values["draws"] == 10
    }
    for _, row in under.iterrows():
        other = expected[round(row["accuracy_pct"], 6)]
        shown = (row["accuracy_pct_low"], row["accuracy_pct_high"])
        assert shown == pytest.approx((100 * other.low, 100 * other.high))
    record = store.read(table["key"].iloc[1])
    assert record is not None
    capsys.readouterr()
    cli.main(["ls", "draws", "scheme=mine", *run, *found])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("draws: one for all images of a pass (a part that is a pass's: p = 0.0005")
    assert lines[1] == "seeds: two passes of one seed are equal"
    assert json.dumps(record["draws"]["shared_by"]) == '"pass"'
    cli.main(["ls", "draws", "scheme=none", *run])
    assert capsys.readouterr().out == "scheme=none: nothing is random\n"
