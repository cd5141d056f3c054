"""The library: what a script or a notebook asks of a network of its own."""

import logging
import os
import random
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foolbox as fb
import numpy as np
import pandas as pd
import pytest
import torch
from running import Run
from torch import Tensor, nn

import bench
from bench import attacking
from bench.measuring import intervals
from bench.results import fingerprint

SITES = {"hidden": "2"}


@pytest.fixture(scope="session")
def weights() -> dict[str, Tensor]:
    """Of a small network that knows the digits."""
    made = layers()
    x, y = bench.load_dataset("digits").train()
    generator = torch.Generator().manual_seed(0)
    for part in made.parameters():
        nn.init.normal_(part, std=0.1, generator=generator)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.003)
    for _ in range(15):
        for rows in torch.randperm(len(x), generator=generator).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(made(x[rows]), y[rows]).backward()
            optimiser.step()
    return {name: value.detach() for name, value in made.state_dict().items()}


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))


@pytest.fixture
def net(weights: dict[str, Tensor]) -> nn.Sequential:
    made = layers()
    made.load_state_dict(weights)
    return made


@pytest.fixture
def some(net: nn.Module) -> tuple[Tensor, Tensor]:
    """Twelve test images that it gets right, and their labels."""
    return bench.load_dataset("digits").test(12, right_by=net)


def defended(net: nn.Module, rate: float = 0.5) -> bench.Defended:
    return bench.Defended(net, sites=SITES, scheme={"hidden": rate})


def test_the_public_names_are_a_dozen() -> None:
    assert sorted(bench.__all__) == [
        "Audited", "ConfigError", "Dataset", "Defended", "Measurement", "Own", "Result", "Sweep", "WorstCase", "__version__",
        "audit", "evaluate", "load_dataset", "measure", "open_sweep",
    ]  # fmt: skip
    assert all(getattr(bench, name).__doc__ for name in bench.__all__)
    assert set(bench.__all__) <= set(dir(bench))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        bench.evalute  # noqa: B018


def test_images_come_as_tensors_that_the_network_gets_right(net: nn.Module) -> None:
    data = bench.load_dataset("digits")
    images, labels = data.test(100, right_by=net)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.shape == (100, *data.shape) == (100, 1, 8, 8)
    assert images.min() == 0
    assert images.max() == 1
    everything, truth = data.test()
    with torch.no_grad():
        right = net(everything).argmax(-1) == truth
    assert torch.equal(images, everything[right][:100])
    assert torch.equal(labels, truth[right][:100])
    assert len(data.test(500, right_by=net)[0]) == right.sum() < 500
    assert len(data.test(3)[0]) == 3
    assert len(data.train(7)[1]) == 7
    # nobody's change is the next one's data
    everything += 1
    assert data.test(1)[0].max() <= 1


CELLS = [
    ("attack=deepfool", "criterion=untargeted"),
    ("attack=pgd", "criterion=untargeted", "attack.epsilon=0.1"),
    ("attack=cw_l2", "criterion=targeted", "seed=3"),
    ("attack=fgsm", "criterion=all_targets"),
    ("attack=lbfgs", "criterion=topk"),
]


@pytest.mark.parametrize("settings", CELLS, ids=[cell[0] for cell in CELLS])
def test_the_library_finds_what_the_command_finds(
    settings: tuple[str, ...], bench_run: Run, output_dir: Path
) -> None:
    chosen = dict(word.split("=") for word in settings)
    name = f"library_{chosen['attack']}"
    run = (
        "scheme=fc",
        "samples=5",
        "training.epochs=2",
        "batch_size=3",
        "evaluation.draws=7",
        f"name={name}",
    )
    assert bench_run("-m", *run, *settings).status == 0
    sweep = bench.open_sweep(output_dir / name)
    (theirs,) = sweep.cells
    behind = sweep.defended(theirs["key"])
    images, labels = bench.load_dataset("digits").test(5, right_by=behind)
    epsilon = (float(chosen["attack.epsilon"]),) if "attack.epsilon" in chosen else ()
    ours = bench.evaluate(
        behind, images, labels, [(chosen["attack"], *epsilon)], criterion=chosen["criterion"], draws=7,
        batch_size=3, seed=int(chosen.get("seed", 0)),
    )  # fmt: skip
    assert torch.equal(ours.samples[chosen["attack"]], sweep.samples[theirs["key"]])
    same = [
        c
        for c in sweep.table
        if c.startswith(("claimed", "fresh", "mad", "l0", "l1", "l2", "linf")) or c.endswith("_per_image")
    ]
    assert len(same) > 20
    pd.testing.assert_frame_equal(ours.table[same], sweep.table[same])
    assert ours.records[chosen["attack"]]["images"]["targets"] == theirs["images"]["targets"]


def test_exactly_the_images_given_are_attacked_and_wrong_ones_counted(net: nn.Module) -> None:
    images, labels = bench.load_dataset("digits").test(40)
    labels[:3] = (labels[:3] + 1) % 10
    with torch.no_grad():
        wrong = int((net(images).argmax(-1) != labels).sum())
    result = bench.evaluate(defended(net), images, labels, ["deepfool"], draws=2)
    assert result.table["wrong"].item() == wrong >= 3
    assert result.table["images"].item() == len(result.samples["deepfool"]) == 40
    assert result.table["clean_accuracy_no_scheme_pct"].item() == pytest.approx(100 * (1 - wrong / 40))
    # what is wrong already takes no perturbation
    assert torch.equal(result.samples["deepfool"][:3], images[:3])


def test_success_is_the_share_of_draws_that_each_image_fools(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    images, labels = some
    result = bench.evaluate(defended(net), images, labels, ["deepfool", ("pgd", 0.1)], draws=30)
    assert list(result.table["attack"]) == list(result.samples) == ["deepfool", "pgd"]
    for name in ("deepfool", "pgd"):
        fooled = torch.zeros(len(images))
        with defended(net).model(fingerprint.derive_seed(0, "evaluation")) as model, torch.no_grad():
            for _ in range(30):
                fooled += model(result.samples[name]).argmax(-1) != labels
        assert result.success[name] == pytest.approx(fooled.numpy() / 30)
        row = result.table.set_index("attack").loc[name]
        assert row["fresh_success_pct"] == pytest.approx(100 * result.success[name].mean())
    moved = (result.samples["pgd"] - images).abs().flatten(1).max(1).values
    assert moved.max() <= 0.1 + 1e-6


def test_measuring_the_samples_gives_what_evaluating_gave(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    images, labels = some
    result = bench.evaluate(defended(net), images, labels, ["deepfool"], draws=9, seed=4)
    again = bench.measure(defended(net), result.samples["deepfool"], labels, draws=9, seed=4)
    assert np.array_equal(again.success, result.success["deepfool"])
    for column in ("fresh_success_pct", "fresh_success_pct_low", "fresh_accuracy_pct", "fresh_draws"):
        assert again.table[column].item() == result.table[column].item()
    assert again.accuracy == pytest.approx(1 - again.success)
    more = bench.measure(defended(net), result.samples["deepfool"], labels, draws=200)
    low, high = (again.table[f"fresh_success_pct_{end}"].item() for end in ("low", "high"))
    assert low <= more.table["fresh_success_pct"].item() <= high


def test_what_is_measured_without_randomness_is_one_pass(net: nn.Module) -> None:
    images, labels = bench.load_dataset("digits").test(60)
    found = bench.measure(bench.Defended(net), images, labels, draws=50)
    with torch.no_grad():
        right = net(images).argmax(-1) == labels
    assert found.draws == 1
    assert repr(found).endswith(": 60 images, 1 draw each")
    assert repr(found).startswith(f"success {100 * (1 - right.float().mean()):.1f} % [")
    assert np.array_equal(found.accuracy, right.numpy())
    expected = intervals.estimate(right.numpy().astype(float), np.arange(60))
    shown = [found.table[f"fresh_accuracy_pct{end}"].item() / 100 for end in ("", "_low", "_high")]
    assert shown == pytest.approx([expected.mean, expected.low, expected.high])
    target = (labels + 1) % 10
    aimed = bench.measure(bench.Defended(net), images, labels, criterion="targeted", targets=target)
    with torch.no_grad():
        assert np.array_equal(aimed.success, (net(images).argmax(-1) == target).numpy())


class Halfway:
    """An attack that goes a step from every image in its own direction, and claims nothing."""

    def __init__(self, seed: int, size: float):
        self.seed, self.size = seed, size

    def __call__(self, model: Any, inputs: Tensor, criterion: Any, *, epsilons: Any) -> Any:
        generator = torch.Generator().manual_seed(self.seed)
        moved = (inputs + self.size * torch.randn(inputs.shape, generator=generator)).clamp(0, 1)
        return moved, moved, torch.zeros(len(inputs), dtype=torch.bool)


def test_the_worst_case_is_chosen_on_one_half_of_the_draws_and_scored_on_the_other(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    images, labels = some
    attacks = {f"step {seed}": Halfway(seed, 0.25) for seed in range(3)}
    result = bench.evaluate(defended(net), images, labels, attacks, draws=11)
    worst = result.worst_case()
    fooled = np.zeros((3, 11, len(images)), dtype=bool)
    for which, name in enumerate(attacks):
        with defended(net).model(fingerprint.derive_seed(0, "evaluation")) as model, torch.no_grad():
            for draw in range(11):
                fooled[which, draw] = (model(result.samples[name]).argmax(-1) != labels).numpy()
    chosen = fooled[:, :5].sum(1).argmax(0)
    assert worst.attacks == [f"step {one}" for one in chosen]
    assert len(set(worst.attacks)) > 1
    assert worst.draws == 6
    assert worst.success == pytest.approx(fooled[chosen, 5:, range(len(images))].mean(1))
    assert worst.accuracy == pytest.approx(1 - worst.success)
    assert worst.table["fresh_success_pct"].item() == pytest.approx(100 * worst.success.mean())
    for row, name in enumerate(worst.attacks):
        assert torch.equal(worst.images[row], result.samples[name][row])


def test_the_worst_case_needs_draws_to_choose_by(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    one = bench.evaluate(defended(net), *some, ["deepfool"], draws=1)
    with pytest.raises(bench.ConfigError, match="draws of at least 2"):
        one.worst_case()
    # nothing is random: the one pass does for both
    still = bench.evaluate(bench.Defended(net), *some, {"near": Halfway(0, 0.0), "far": Halfway(0, 0.9)})
    worst = still.worst_case()
    assert np.array_equal(worst.success, np.maximum(still.success["near"], still.success["far"]))
    assert worst.success.mean() > 0.5


def test_all_targets_leave_the_strongest_of_each_image(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    images, labels = (part[:3] for part in some)
    result = bench.evaluate(
        bench.Defended(net), images, labels, ["fgsm_fixed"], criterion="all_targets", batch_size=50
    )
    assert result.samples["fgsm_fixed"].shape == (27, 1, 8, 8)
    each, worst = result.success["fgsm_fixed"].reshape(3, 9), result.worst_case()
    assert np.array_equal(worst.success, each.max(1))
    strongest = result.samples["fgsm_fixed"].reshape(3, 9, 1, 8, 8)[range(3), each.argmax(1)]
    assert torch.equal(worst.images, strongest)


def scale(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """An operation of somebody's: it turns the sign of some activations."""
    return values * (1 - 2 * (torch.rand(values.shape, generator=generator) < rate).float())


def test_a_scheme_is_rates_operations_or_a_name(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    def outputs(scheme: Any, sites: Any = SITES) -> Tensor:
        with bench.Defended(net, sites=sites, scheme=scheme).model(1) as model:
            return model(some[0])

    assert torch.equal(outputs({"hidden": 0.5}), outputs({"hidden": ("dropout", 0.5)}))
    # conf/scheme/fc.yaml
    assert torch.equal(outputs({"hidden": 0.5}), outputs("fc", {"fc": "2"}))
    assert torch.equal(outputs(None), net(some[0]))
    assert torch.equal(outputs("none"), net(some[0]))
    with torch.no_grad():
        hidden = scale(net[:3](some[0]), 0.3, torch.Generator().manual_seed(1))
        assert torch.equal(outputs({"hidden": (scale, 0.3)}), net[3](hidden))
    assert not torch.equal(outputs({"hidden": ("noise", 2.0)}), net(some[0]))


def test_another_range_goes_by_preprocessing(weights: dict[str, Tensor], some: tuple[Tensor, Tensor]) -> None:
    centred = layers()
    centred.load_state_dict(weights)
    with torch.no_grad():
        centred[1].bias += 0.5 * centred[1].weight.sum(1)
        centred[1].weight *= 0.25
    # sees images in [-2, 2], (x - 0.5) / 0.25, and is else the same network
    one = bench.Defended(centred, SITES, {"hidden": 0.5}, preprocessing={"mean": 0.5, "std": 0.25})
    plain = layers()
    plain.load_state_dict(weights)
    found = [bench.evaluate(d, *some, ["deepfool"], draws=5) for d in (one, defended(plain))]
    assert torch.allclose(found[0].samples["deepfool"], found[1].samples["deepfool"], atol=1e-4)


def test_the_twin_is_the_network_without_its_randomness(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    images, labels = some
    both = defended(net)
    assert isinstance(both.twin, bench.Defended)
    transferred = bench.evaluate(both.twin, images, labels, ["deepfool"])
    assert transferred.success["deepfool"].tolist() == [1.0] * len(images)
    found = bench.measure(both, transferred.samples["deepfool"], labels, draws=40)
    assert 0.1 < found.success.mean() < 0.9


def test_attacks_are_names_objects_and_pairs(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    pgd = fb.attacks.LinfPGD(steps=5)
    result = bench.evaluate(
        defended(net),
        *some,
        [(pgd, 0.2), "fgsm", ("fgsm_fixed", 0.05), fb.attacks.DDNAttack(steps=5)],
        draws=2,
    )
    assert list(result.samples) == [type(pgd).__name__, "fgsm", "fgsm_fixed", "DDNAttack"]
    moved = [
        (result.samples[name] - some[0]).abs().max().item() for name in (type(pgd).__name__, "fgsm_fixed")
    ]
    assert moved == pytest.approx([0.2, 0.05], abs=1e-5)
    twice = bench.evaluate(defended(net), *some, {"near": (pgd, 0.05), "far": (pgd, 0.3)}, draws=2)
    assert list(twice.table["attack"]) == ["near", "far"]
    assert twice.success["near"].mean() < twice.success["far"].mean()
    with pytest.raises(bench.ConfigError, match="two are called fgsm; give a mapping"):
        bench.evaluate(defended(net), *some, ["fgsm", ("fgsm", 0.1)])


class Broken:
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args[1].shape[0] > 1:
            raise RuntimeError("a\nbug")
        # as the door asks
        args[0](args[1])


def test_an_attack_that_fails_is_a_row_with_its_reason(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    result = bench.evaluate(defended(net), *some, {"mine": Broken(), "fgsm": "fgsm"}, draws=2)
    assert list(result.table["status"]) == ["failed", "ok"]
    assert "RuntimeError: a bug" in repr(result.table)
    assert list(result.samples) == ["fgsm"]
    with pytest.raises(KeyError, match="mine: failed: RuntimeError: a bug"):
        result.success["mine"]
    with pytest.raises(KeyError, match="df: no such attack; there are mine, fgsm"):
        result.samples["df"]
    assert set(result.worst_case().attacks) == {"fgsm"}
    alone = bench.evaluate(defended(net), *some, {"mine": Broken()}, draws=2)
    with pytest.raises(bench.ConfigError, match="every attack failed"):
        alone.worst_case()


def test_targets_are_random_ones_or_those_given(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    images, labels = some
    targets = (labels + 3) % 10
    result = bench.evaluate(
        bench.Defended(net), images, labels, [("pgd", 0.3)], criterion="targeted", targets=targets
    )
    with torch.no_grad():
        reached = net(result.samples["pgd"]).argmax(-1) == targets
    assert np.array_equal(result.success["pgd"], reached.numpy())
    assert reached.float().mean() > 0.5
    free = bench.evaluate(bench.Defended(net), images.clone(), labels.clone(), ["fgsm"], criterion="targeted")
    drawn = torch.tensor(free.records["fgsm"]["images"]["targets"])
    assert (drawn != labels).all()
    assert len(set(((drawn - labels) % 10).tolist())) > 2
    second = bench.evaluate(
        bench.Defended(net), images, labels, ["lbfgs"], criterion={"kind": "topk", "k": 2}
    )
    with torch.no_grad():
        top = net(second.samples["lbfgs"]).topk(2).indices
    assert (top != labels[:, None]).all(1).numpy().mean() == second.success["lbfgs"].mean()


def test_a_folder_keeps_and_the_second_call_makes_no_pass_of_an_attack(
    net: nn.Module, some: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacks = ["deepfool", (fb.attacks.LinfPGD(steps=3), 0.1)]
    first = bench.evaluate(defended(net), *some, attacks, draws=4, store=tmp_path)
    made: list[str] = []
    attack = attacking.attack

    def counted(run: Any, name: str, *rest: Any, **more: Any) -> Any:
        made.append(name)
        return attack(run, name, *rest, **more)

    monkeypatch.setattr(attacking, "attack", counted)
    attacks[1] = (fb.attacks.LinfPGD(steps=3), 0.1)
    second = bench.evaluate(defended(net), *some, attacks, draws=4, store=tmp_path)
    assert not made
    pd.testing.assert_frame_equal(pd.DataFrame(first.table), pd.DataFrame(second.table))
    # more draws are passes of the samples that are there
    more = bench.evaluate(defended(net), *some, attacks, draws=8, store=tmp_path)
    assert not made
    assert torch.equal(more.samples["deepfool"], first.samples["deepfool"])
    # another step, other weights, other images, another rate are other samples
    bench.evaluate(defended(net), *some, [(fb.attacks.LinfPGD(steps=2), 0.1)], draws=4, store=tmp_path)
    with torch.no_grad():
        net[3].bias += 0.01
    bench.evaluate(defended(net), *some, attacks[:1], draws=4, store=tmp_path)
    bench.evaluate(defended(net), some[0][:5], some[1][:5], attacks[:1], draws=4, store=tmp_path)
    bench.evaluate(defended(net, 0.4), *some, attacks[:1], draws=4, store=tmp_path)
    assert made == [type(fb.attacks.LinfPGD()).__name__, *["deepfool"] * 3]


def test_what_can_not_be_told_apart_is_not_kept(
    net: nn.Module, some: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    anything = bench.Defended(net, SITES, {"hidden": (lambda v, rate, g: scale(v, rate, g), 0.2)})
    with pytest.raises(bench.ConfigError, match="store: the operation at hidden: a lambda can't be told"):
        bench.evaluate(anything, *some, ["fgsm"], store=tmp_path)
    assert bench.evaluate(anything, *some, ["fgsm"], draws=3).table["status"].item() == "ok"


GLOBALS = """
import sys, torch, bench
OPTIONS = {"times": 1}

class Size:
    value = float(sys.argv[1])

def noisy(values, rate, generator):
    return values + helper() * torch.randn(values.shape, generator=generator)

def helper():
    return Size.value * OPTIONS["times"]

net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
torch.nn.init.constant_(net[1].weight, 0)
net[1].bias.data = torch.arange(10.0)
images, labels = bench.load_dataset("digits").test(20)
for OPTIONS["times"] in (1, 100):
    defended = bench.Defended(net, {"fc": "1"}, {"fc": (noisy, 0.5)})
    found = bench.evaluate(defended, images, labels, {"blur": "fgsm_fixed"}, draws=20, store="kept")
    print(found.table["clean_accuracy_pct"].item(), found.table["total_seconds"].item())
"""


def test_what_a_script_sets_is_no_other_runs_result(tmp_path: Path) -> None:
    first, second, again = (
        [tuple(line.split()) for line in script(GLOBALS, tmp_path, size).stdout.splitlines()]
        for size in ("0.001", "3", "0.001")
    )
    assert len({accuracy for accuracy, _ in (*first, *second)}) > 1
    assert len({seconds for _, seconds in (*first, *second)}) == 4
    assert again == first


def state(net: nn.Module) -> list[Any]:
    import matplotlib

    return [
        torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), os.getcwd(),
        matplotlib.get_backend(),
        [(part.training, len(part._forward_hooks), len(part._forward_pre_hooks)) for part in net.modules()],
        [(p.requires_grad, p.device, None if p.grad is None else p.grad.tolist()) for p in net.parameters()],
    ]  # fmt: skip


def test_everything_is_as_it_was(net: nn.Sequential, some: tuple[Tensor, Tensor]) -> None:
    net.train()
    net[1].eval()
    net[3].weight.requires_grad_(False)
    net[1].weight.grad = torch.ones_like(net[1].weight)
    net[2].register_forward_hook(lambda *_: None)
    torch.set_num_threads(2)
    torch.manual_seed(5)
    before = state(net)
    given = [part.clone() for part in some]
    with torch.no_grad():
        found = bench.evaluate(defended(net), *some, ["deepfool", ("pgd", 0.1)], draws=2)
        assert list(found.table["status"]) == ["ok", "ok"]
        bench.measure(defended(net), *some)
        bench.load_dataset("digits").test(5, right_by=net)
    with torch.inference_mode():
        bench.evaluate(defended(net), *some, ["fgsm"], draws=2)
    with pytest.raises(bench.ConfigError):
        bench.evaluate(defended(net), some[0], some[1] + 10, ["fgsm"])
    assert state(net) == before
    assert all(torch.equal(one, other) for one, other in zip(given, some, strict=True))
    torch.set_num_threads(1)


def test_everything_is_as_it_was_in_double_precision(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    expected = bench.evaluate(defended(net), *some, ["deepfool"], draws=2)
    torch.set_default_dtype(torch.float64)
    try:
        found = bench.evaluate(defended(net), *some, ["deepfool"], draws=2)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.samples["deepfool"], expected.samples["deepfool"])


def test_a_call_inside_autocast_finds_what_it_finds_outside(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    attacks = ["deepfool", ("pgd", 0.1)]
    outside = bench.evaluate(defended(net), *some, attacks, draws=20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = bench.evaluate(defended(net), *some, attacks, draws=20)
        measured = bench.measure(defended(net), outside.samples["pgd"], some[1])
        assert torch.is_autocast_enabled("cpu")
    for name in ("deepfool", "pgd"):
        assert torch.equal(inside.samples[name], outside.samples[name])
        assert np.array_equal(inside.success[name], outside.success[name])
    assert np.array_equal(measured.success, outside.success["pgd"])


class Scaled(nn.Module):
    """An operation that is a module, with a weight, and another mode for training."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(100)

    def forward(self, values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        kept: Tensor = torch.rand(values.shape, generator=generator) >= rate
        return self.norm(values) * kept


def test_an_operation_that_is_a_module_is_still_too_and_then_as_it_was(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    operation = Scaled()
    one = bench.Defended(net, SITES, {"hidden": (operation, 0.3)})
    assert bench.evaluate(one, *some, ["deepfool"], draws=2).table["status"].item() == "ok"
    with one.model(0) as model:
        alone, together = model(some[0][:1]), model(some[0])
        assert alone.shape != together.shape
        assert not operation.training
    assert operation.training
    assert operation.norm.training
    assert operation.norm.running_mean is not None
    assert not operation.norm.running_mean.any()
    assert operation.norm.weight.requires_grad
    assert operation.norm.weight.grad is None


def test_an_attack_that_logs_leaves_no_handler_that_prints(
    net: nn.Module, some: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest has its own
    monkeypatch.setattr(logging.root, "handlers", [])
    # Foolbox's says how many classes it tries
    bench.evaluate(defended(net), *some, [fb.attacks.L2DeepFoolAttack(steps=2)], draws=2)
    assert logging.root.handlers == []


def test_a_network_that_fails_to_be_frozen_is_left_as_it_was(net: nn.Module) -> None:
    class Stubborn(nn.Sequential):
        def train(self, mode: bool = True) -> "Stubborn":
            super().train(mode)
            if not mode:
                raise RuntimeError("no")
            return self

    stubborn = Stubborn(*net)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="^no$"), bench.Defended(stubborn).model(0):
            pass
        assert all(part.training for part in stubborn.modules())
        assert all(weight.requires_grad for weight in stubborn.parameters())


def test_networks_compiled_to_torchscript_and_of_inference_mode_are_measured(
    net: nn.Module, some: tuple[Tensor, Tensor], weights: dict[str, Tensor]
) -> None:
    with torch.inference_mode():
        other = layers()
        other.load_state_dict(weights)
    for network in (torch.jit.script(net), other):
        noisy = bench.Defended(network, {"image": ""}, {"image": 0.2})
        expected = bench.measure(bench.Defended(net, {"image": ""}, {"image": 0.2}), *some)
        assert np.array_equal(bench.measure(noisy, *some).success, expected.success)
        assert all(weight.requires_grad for weight in network.parameters())


def test_a_module_of_two_names_is_a_site_by_either(net: nn.Sequential, some: tuple[Tensor, Tensor]) -> None:
    expected = bench.measure(defended(net), *some).success
    both = nn.Sequential(*net)
    both.again = both[2]
    both.forward = lambda x: net(x)  # type: ignore[method-assign]
    found = bench.measure(bench.Defended(both, {"hidden": "again"}, {"hidden": 0.5}), *some)
    assert np.array_equal(found.success, expected)


def test_functions_are_attacks_by_their_names(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    def stay(model: Any, inputs: Tensor, criterion: Any, *, epsilons: Any) -> Any:
        return inputs, inputs, torch.zeros(len(inputs), dtype=torch.bool)

    def leave(model: Any, inputs: Tensor, criterion: Any, *, epsilons: Any) -> Any:
        return 1 - inputs, 1 - inputs, torch.ones(len(inputs), dtype=torch.bool)

    result = bench.evaluate(defended(net), *some, [stay, leave], draws=2)
    assert list(result.samples) == ["stay", "leave"]
    assert torch.equal(result.samples["stay"], some[0])


class Noisy(nn.Module):
    """Draws from PyTorch's generator, whatever its mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10] + torch.randn(len(x), 10)


def test_a_network_that_draws_by_itself_is_refused_and_draws_nothing(some: tuple[Tensor, Tensor]) -> None:
    before = torch.get_rng_state()
    with pytest.raises(bench.ConfigError, match="Noisy draws by itself although no site is random"):
        bench.evaluate(bench.Defended(Noisy()), *some, ["fgsm"])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bar_is_shown_where_it_is_asked_for(
    net: nn.Module, some: tuple[Tensor, Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    bench.evaluate(defended(net), *some, ["fgsm"], draws=2)
    assert capfd.readouterr() == ("", "")
    bench.evaluate(defended(net), *some, ["fgsm"], draws=2, progress=True)
    assert "fgsm:" in capfd.readouterr().err


QUIET = """
import logging, sys, torch, bench
net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.Softmax(-1))
images, labels = bench.load_dataset("digits").test(4)
with bench.Defended(net).model(0) as model:
    labels = model(images).argmax(-1)
result = bench.evaluate(bench.Defended(net, {"in": ""}, {"in": 0.1}), images, labels, ["fgsm"], draws=2)
assert "look like probabilities" in result.table["warnings"].item()
assert "matplotlib.pyplot" not in sys.modules
"""


def test_nothing_is_printed_not_even_a_warning(tmp_path: Path) -> None:
    ran = script(QUIET, tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def script(text: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    (folder / "script.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(Path(bench.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "script.py", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


APPLICATION = """
import hydra, torch, bench
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path=None)
def main(config):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    images, labels = bench.load_dataset("digits").test(4)
    found = bench.evaluate(bench.Defended(net, {"fc": "1"}, "fc"), images, labels, ["fgsm"], draws=2)
    print(found.table["status"].item(), config.mine, HydraConfig.get().job.name)
    print(hydra.core.global_hydra.GlobalHydra.instance().is_initialized())

main()
"""


def test_it_works_inside_an_application_of_hydras(tmp_path: Path) -> None:
    ran = script(APPLICATION, tmp_path, "+mine=7")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-2:] == ["ok 7 script", "True"]


def test_two_contexts_of_one_network_never_see_each_other(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    net.train()
    one, other = defended(net, 0.2).model(1), defended(net, 0.7).model(1)
    expected = []
    for rate in (0.2, 0.7):
        with defended(net, rate).model(1) as alone:
            expected.append(alone(some[0]))
    first = one.__enter__()
    second = other.__enter__()
    assert torch.equal(second(some[0]), expected[1])
    assert torch.equal(first(some[0]), expected[0])
    # not in the opposite order
    one.__exit__(None, None, None)
    assert not any(part.training or any(p.requires_grad for p in part.parameters()) for part in net.modules())
    second(some[0])
    other.__exit__(None, None, None)
    assert all(part.training for part in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    assert not any(part._forward_hooks for part in net.modules())


def test_two_threads_evaluate_one_network_at_once(net: nn.Module, some: tuple[Tensor, Tensor]) -> None:
    alone = {rate: bench.evaluate(defended(net, rate), *some, ["deepfool"], draws=3) for rate in (0.2, 0.6)}
    found: dict[float, bench.Result] = {}

    def run(rate: float) -> None:
        found[rate] = bench.evaluate(defended(net, rate), *some, ["deepfool"], draws=3)

    threads = [threading.Thread(target=run, args=(rate,)) for rate in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rate, result in alone.items():
        assert torch.equal(found[rate].samples["deepfool"], result.samples["deepfool"])
        assert np.array_equal(found[rate].success["deepfool"], result.success["deepfool"])
    assert not any(part._forward_hooks for part in net.modules())


def test_a_sweep_is_opened_with_its_cells_table_and_samples(bench_run: Run, output_dir: Path) -> None:
    run = ("scheme=none,fc", "attack=fgsm,cw", "criterion=topk", "samples=4", "training.epochs=2")
    assert bench_run("-m", *run, "evaluation.draws=3", "name=opened").status == 0
    sweep = bench.open_sweep(str(output_dir / "opened"))
    written = pd.read_csv(output_dir / "opened" / "results.csv")
    assert [cell["status"] for cell in sweep.cells] == ["ok", "not_applicable"] * 2
    assert list(sweep.table["key"]) == list(written["key"]) == [cell["key"] for cell in sweep.cells]
    assert (
        sweep.table["fresh_success_pct"].dropna().tolist() == written["fresh_success_pct"].dropna().tolist()
    )
    assert list(sweep.samples) == [sweep.cells[0]["key"], sweep.cells[2]["key"]]
    assert len(sweep.samples) == 2
    cell = sweep.cells[2]
    arrays = sweep.arrays(cell["key"])
    assert torch.equal(arrays["perturbed"], sweep.samples[cell["key"]])
    assert arrays["indices"].tolist() == cell["images"]["indices"]
    seen = bench.measure(
        sweep.defended(cell["key"]), arrays["perturbed"], arrays["labels"], draws=3, criterion="topk"
    )
    assert 100 * seen.success.mean() == pytest.approx(sweep.table["fresh_success_pct"].iloc[2])
    with pytest.raises(KeyError, match="no finished cell"):
        sweep.samples[sweep.cells[1]["key"]]
    with pytest.raises(bench.ConfigError, match="no sweep was started there"):
        bench.open_sweep(output_dir / "nowhere")


def test_the_printed_table_is_the_terminals_and_the_frame_is_whole(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    result = bench.evaluate(defended(net), *some, ["deepfool", "fgsm"], draws=3)
    header, names, *rows = str(result.table).splitlines()
    assert header == (
        "dataset=given, model=Sequential, training=given, scheme=hidden=0.5, criterion=untargeted, seed=0"
    )
    assert names.split()[:2] == ["attack", "status"]
    assert [row.split()[0] for row in rows] == ["deepfool", "fgsm"]
    assert repr(result) == repr(result.table)
    assert {"fresh_success_pct_low", "linf_median", "key", "total_seconds"} <= set(result.table)
    assert "success %" in result.table._repr_html_()
    # what is made of it is pandas' own
    assert type(result.table[["attack", "status"]]) is pd.DataFrame


class Stateful(nn.Sequential):
    """Keeps what is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}


class Scores(nn.Sequential):
    """Gives an object."""

    def forward(self, x: Tensor) -> Any:
        return types.SimpleNamespace(scores=super().forward(x))


class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :10].bfloat16()


def test_integers_of_numpy_and_compiled_networks_are_as_good(
    net: nn.Module, some: tuple[Tensor, Tensor]
) -> None:
    plain = bench.measure(defended(net), *some, draws=4, seed=2)
    ours = bench.measure(defended(torch.compile(net)), *some, draws=np.int64(4), seed=np.int32(2))
    assert np.array_equal(plain.success, ours.success)


BAD: dict[str, tuple[Callable[[nn.Module, Tensor, Tensor], Any], str]] = {
    "store": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], store=5), "^store: expected a folder, got 5"),
    "no store": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], store=""), "^store: expected a folder, got ''"),
    "folder": (lambda n, x, y: bench.open_sweep(3), "^folder: expected a folder, got 3"),
    "half": (lambda n, x, y: bench.measure(bench.Defended(Half()), x, y), "gives logits of torch.bfloat16, .* logits.float"),
    "bounds": (lambda n, x, y: bench.Defended(n, bounds=(-1, 1)), r"^bounds: expected \(0, 1\), got \(-1, 1\)"),
    "no module": (lambda n, x, y: bench.Defended("net"), "^network: expected a torch.nn.Module, got str"),
    "path": (lambda n, x, y: bench.Defended(n, {"a": "9"}), "^sites.a: no submodule '9'; allowed: 0, 1, 2, 3$"),
    "site": (lambda n, x, y: bench.Defended(n, SITES, {"hiden": 0.5}), "hiden: the network has no such site; did"),
    "rate": (lambda n, x, y: bench.Defended(n, SITES, {"hidden": 1.5}), r"hidden: expected a rate in \[0, 1\), got 1.5"),
    "no rate": (lambda n, x, y: bench.Defended(n, SITES, {"hidden": "much"}), "^scheme.hidden: .*much"),
    "operation": (lambda n, x, y: bench.Defended(n, SITES, {"hidden": ("nose", 0.5)}), "nose.*did you mean noise"),
    "class": (lambda n, x, y: bench.Defended(n, SITES, {"hidden": (nn.ReLU, 0.5)}), "expected a rate, or"),
    "scheme": (lambda n, x, y: bench.Defended(n, SITES, "fcc"), "^scheme=fcc: no such choice; allowed: .*fc"),
    "preprocessing": (lambda n, x, y: bench.Defended(n, preprocessing={"std": 0}), "^preprocessing: expected a std"),
    "outputs": (lambda n, x, y: bench.Defended(n, outputs={"from": "head"}), "^outputs: no submodule 'head'"),
    "dataset": (lambda n, x, y: bench.load_dataset("digit"), "^dataset=digit: no such choice; allowed: .*digits"),
    "option": (lambda n, x, y: bench.load_dataset("digits", size=3), "^dataset.options.size: digits takes no such"),
    "count": (lambda n, x, y: bench.load_dataset("digits").test(501), "^count: digits has 500 test images, got 501"),
    "no count": (lambda n, x, y: bench.load_dataset("digits").test(0), "^count: expected at least 1, got 0"),
    "attack": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["deepfol"]), "^attack=deepfol: no such choice; all"),
    "one attack": (lambda n, x, y: bench.evaluate(defended(n), x, y, "deepfool"), "^attacks: expected a list"),
    "no attacks": (lambda n, x, y: bench.evaluate(defended(n), x, y, []), "^attacks: .*of at least one, got"),
    "right_by": (lambda n, x, y: bench.load_dataset("digits").test(5, right_by=nn.Identity()), "^model: Identity gives torch.float32 of shape"),
    "no attack": (lambda n, x, y: bench.evaluate(defended(n), x, y, [7]), "^attacks: expected names of conf/attack"),
    "sites": (lambda n, x, y: bench.Defended(n, ["2"], {"2": 0.5}), r"^sites: expected a mapping from names to paths"),
    "normalise": (lambda n, x, y: bench.Defended(n, preprocessing=nn.Identity()), "^preprocessing: expected a mapping"),
    "means": (lambda n, x, y: bench.Defended(n, preprocessing={"means": 0}), "^preprocessing: expected one of mean, std"),
    "lazy": (lambda n, x, y: bench.measure(bench.Defended(nn.Sequential(nn.Flatten(), nn.LazyLinear(10))), x, y), "has no size yet; pass images"),
    "meta": (lambda n, x, y: bench.measure(bench.Defended(nn.Sequential(*n).to("meta")), x, y), "^defended: .* on the meta device"),
    "state": (lambda n, x, y: bench.measure(bench.Defended(Stateful(n)), x, y), "^model: Stateful: _extra_state is a dict"),
    "attribute": (lambda n, x, y: bench.measure(bench.Defended(Scores(n), outputs="scores"), x, y), "^model.outputs: the network gives SimpleNamespace, in which there is no 'scores'"),
    "no epsilon": (lambda n, x, y: bench.evaluate(defended(n), x, y, [fb.attacks.LinfPGD()]), "^attack: LinfProjectedGradientDescentAttack needs an epsilon"),
    "one name": (lambda n, x, y: bench.evaluate(defended(n), x, y, {1: "fgsm", "1": "deepfool"}), "^attacks: two are called 1"),
    "k as text": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], criterion={"kind": "topk", "k": "2"}), "^criterion.k: expected an integer, got '2'"),
    "epsilon": (lambda n, x, y: bench.evaluate(defended(n), x, y, [("pgd", -1)]), "epsilon: expected a number over 0"),
    "criterion": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["cw"], criterion="topk"), "can't serve topk"),
    "kind": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["cw"], criterion="top"), "^criterion=top: no such"),
    "k": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], criterion={"kind": "topk", "k": 10}), "than the 10 cl"),
    "key": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], criterion={"kind": "topk", "kk": 1}), "criterion: expected one of kind, k"),
    "targets": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], targets=y), "^targets: only for criterion targeted"),
    "own_label": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], criterion="targeted", targets=y), "none of them an image's label"),
    "draws": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], draws=0), "^draws: expected at least 1, got 0"),
    "threads": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], threads=0.5), "^threads: expected an integer"),
    "seed": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], seed="a"), "^seed: expected an integer, got 'a'"),
    "device": (lambda n, x, y: bench.evaluate(defended(n), x, y, ["fgsm"], device="tpu"), "^device: there is no tpu here; allowed: auto, cpu"),
    "module": (lambda n, x, y: bench.evaluate(n, x, y, ["fgsm"]), "^defended: expected a bench.Defended, got Sequential"),
    "range": (lambda n, x, y: bench.evaluate(defended(n), 255 * x, y, ["fgsm"]), r"^images: expected values in \[0, 1\], got 0 to 255"),
    "nan": (lambda n, x, y: bench.measure(defended(n), x * float("nan"), y), r"^images: expected values in \[0, 1\]"),
    "shape": (lambda n, x, y: bench.measure(defended(n), x[0], y), r"^images: expected floats in \[0, 1\] of shape"),
    "bytes": (lambda n, x, y: bench.measure(defended(n), (255 * x).byte(), y), "^images: expected floats"),
    "labels": (lambda n, x, y: bench.measure(defended(n), x, y[:3]), r"^labels: expected integers from 0 of shape \(12,\)"),
    "classes": (lambda n, x, y: bench.measure(defended(n), x, y + 10), "^labels: 1[0-9] found, and Sequential has 10 outputs"),
    "aimless": (lambda n, x, y: bench.measure(defended(n), x, y.clone(), criterion="targeted"), "^targets: has to be given"),
    "size": (lambda n, x, y: bench.measure(defended(n), x[..., :4], y), "fails on images of shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, net: nn.Module) -> None:
    call, words = BAD[case]
    images, labels = bench.load_dataset("digits").test(12)
    with pytest.raises(bench.ConfigError, match=words) as said:
        call(net, images, labels)
    assert "\n" not in str(said.value)
