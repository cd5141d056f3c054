"""A key changes with everything that can change a result; the same settings on other data, code or versions
are another cell."""

import dataclasses
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from owning import Own, writer
from running import Run
from standing_in import module, peers
from torch import nn
from torch.nn import functional

import bench
from bench import attacking, cell, choices, composing, datasets, plan, schemes
from bench.defended import Defended
from bench.results import fingerprint
from bench.results.store import Kept, key_of
from bench.training import fit as fitting

QUICK = ("attack=fgsm_fixed", "samples=4", "training.epochs=5", "evaluation.draws=2")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    with writer(tmp_path, monkeypatch) as write:
        yield write


def keys(*arguments: str) -> tuple[str, str]:
    """The key of a cell, and its network's, without running it."""
    ready = plan.prepare(composing.compose([*QUICK, *arguments]))
    return ready.key, ready.checkpoint


ATTACK = """
class Mine:
    def __call__(self, model, inputs, criterion, *, epsilons):
        outputs = model(inputs)
        found = (inputs + {step}).clip(0, 1)
        return found, found, criterion(found, model(found))
"""


def test_an_attack_that_was_edited_is_another_cell_of_the_same_network(own: Own) -> None:
    choice = {"attack/mine": "_target_: myattack.Mine\n"}
    _, found = own("myattack", ATTACK.format(step=0.1), **choice)
    before = keys(*found, "attack=mine")
    assert keys(*found, "attack=mine") == before
    # a comment changes nothing
    own("myattack", "# words\n" + ATTACK.format(step=0.1), **choice)
    assert keys(*found, "attack=mine") == before
    own("myattack", ATTACK.format(step=0.2), **choice)
    after = keys(*found, "attack=mine")
    assert after[0] != before[0]
    assert after[1] == before[1]


NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.{act}(), nn.Linear(32, classes))

    def forward(self, x):
        return self.layers(x)
"""


def test_a_network_that_was_edited_is_another_network_and_another_cell(own: Own) -> None:
    choice = {"model/mine": "_target_: mynetwork.Net\nsites: {fc: layers.2}\n"}
    _, found = own("mynetwork", NETWORK.format(act="ReLU"), **choice)
    before = keys(*found, "model=mine")
    own("mynetwork", NETWORK.format(act="Tanh"), **choice)
    after = keys(*found, "model=mine")
    assert after[1] != before[1]
    assert after[0] != before[0]


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a file of this project say something else, without writing to it."""
    read, home = fingerprint._read, Path(bench.__file__).parent

    def edit(name: str) -> None:
        assert (home / name).is_file()

        def other(path: str, changed_ns: int, package: str) -> tuple[str, tuple[str, ...]]:
            meaning, used = read(path, changed_ns, package)
            return f"{meaning}\nedited = 1" if Path(path) == home / name else meaning, used

        monkeypatch.setattr(fingerprint, "_read", other)

    return edit


def test_samples_outlive_an_edit_of_what_measures_and_of_nothing_else(edited: Callable[[str], None]) -> None:
    config = composing.compose([*QUICK, "scheme=fc", "attack=deepfool"])

    def now() -> tuple[str, str, str]:
        ready = plan.prepare(config)
        return ready.key, key_of("samples", ready.samples), ready.checkpoint

    before = now()
    # it gathers names, and decides nothing
    edited("__init__.py")
    assert now() == before
    for name in (
        "measuring/passes.py",
        "measuring/intervals.py",
        "looks.py",
        "cell.py",
        "plan.py",
        "config.py",
        "results/store.py",
    ):
        edited(name)
        record, *rest = now()
        assert record != before[0], name
        assert rest == [*before[1:]], name
    for name in ("attacks/deepfool.py", "attacks/criteria.py", "attacking.py"):
        edited(name)
        record, samples, checkpoint = now()
        assert record != before[0], name
        assert samples != before[1], name
        assert checkpoint == before[2], name
    for name in ("defended.py", "schemes/dropout.py", "models.py", "training/fit.py"):
        edited(name)
        assert not set(now()) & set(before), name
    # of another attack
    edited("attacks/saliency_map.py")
    assert now() == before


def test_other_data_is_another_network_and_another_cell(own: Own, tmp_path: Path) -> None:
    whole = keys()
    part = keys("dataset.train_size=700")
    assert part[1] != whole[1]
    assert part[0] != whole[0]
    # the same settings, and other files under the same names
    source = (
        "from bench import datasets\n"
        "def load(data_dir):\n"
        "    return datasets.digits(data_dir, shuffle_seed=int((data_dir / 'seed.txt').read_text()))\n"
    )
    _, found = own("mydata", source, **{"dataset/mine": "_target_: mydata.load\nepochs: 5\n"})
    both = []
    for seed in (1, 2):
        folder = tmp_path / f"data{seed}"
        folder.mkdir()
        (folder / "seed.txt").write_text(str(seed))
        both.append(keys(*found, "dataset=mine", f"data_dir={folder}"))
    assert both[0][0] != both[1][0]
    assert both[0][1] != both[1][1]


@pytest.mark.parametrize("package", ["torch", "foolbox", "eagerpy", "numpy"])
def test_another_version_is_another_network_and_another_cell(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    before, versions = keys(), fingerprint.versions()
    assert package in versions
    monkeypatch.setattr(fingerprint, "versions", lambda: {**versions, package: "0.0.1"})
    after = keys()
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_versions_are_the_installed_ones() -> None:
    import eagerpy
    import foolbox
    import numpy

    modules = {"foolbox": foolbox, "numpy": numpy, "eagerpy": eagerpy}
    found = fingerprint.versions()
    assert {name: found[name] for name in modules} == {n: m.__version__ for n, m in modules.items()}
    assert torch.__version__.startswith(found["torch"].partition("+")[0])


def test_every_setting_that_can_change_a_result_is_another_cell() -> None:
    before = keys()
    found = [before[0]]
    for change in ("seed=1", "samples=5", "evaluation.draws=3", "batch_size=50", "attack.epsilon=0.2",
                   "criterion=targeted", "scheme=fc", "count=successes", "threads=2"):  # fmt: skip
        found.append(keys(change)[0])
    assert len(set(found)) == len(found)
    # and one that can't isn't
    assert keys("name=another", "transfer=false") == before


def test_several_draws_to_a_gradient_are_another_cell_and_none_are_the_one_that_it_was() -> None:
    of = {}
    for eot in ("null", "1", "2", "3"):
        ready = plan.prepare(composing.compose([*QUICK, "attack=pgd", f"attack.eot={eot}"]))
        of[eot] = ready
    assert (
        len({ready.key for ready in of.values()})
        == len({key_of("samples", r.samples) for r in of.values()})
        == 4
    )
    assert len({ready.checkpoint for ready in of.values()}) == 1
    # what decides samples is said as ever where there is neither this nor another library
    said = {"defended", "attack", "criterion", "images", "seed", "how", "versions", "code"}
    assert set(of["null"].samples) == said
    assert set(of["2"].samples) == {*said, "eot"}


def test_draws_to_a_gradient_are_averaged_by_code_that_stands_in_the_key(
    edited: Callable[[str], None],
) -> None:
    def now(*arguments: str) -> str:
        return key_of("samples", plan.prepare(composing.compose([*QUICK, "attack=pgd", *arguments])).samples)

    before = now(), now("attack.eot=2")
    edited("attacks/eot.py")
    assert now() == before[0]
    assert now("attack.eot=2") != before[1]


def test_another_version_of_the_library_of_an_attack_is_another_cell_of_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_dir: Path
) -> None:
    def ready() -> plan.Cell:
        return plan.prepare(composing.compose([*QUICK, "attack=advlib_apgd", f"output_dir={output_dir}"]))

    with peers(tmp_path, monkeypatch, "adv_lib"):
        first = ready()
        assert first.samples["peers"] == {"adv-lib": "9.1"}
        record = cell.run(first)
        assert record["status"] == "ok", record["reason"]
        assert record["versions"] == {
            **fingerprint.versions(),
            "python": platform.python_version(),
            "adv-lib": "9.1",
        }
        monkeypatch.setattr(module("adv_lib"), "__version__", "9.2")
        second = ready()
        assert second.key != first.key
        assert key_of("samples", second.samples) != key_of("samples", first.samples)
        assert second.checkpoint == first.checkpoint
        # a record of what went wrong says it, too
        monkeypatch.setattr(module("adv_lib.attacks"), "step", None)
        record = cell.run(second)
        assert record["status"] == "failed"
        assert record["versions"]["adv-lib"] == "9.2"


def test_settings_of_training_are_another_network() -> None:
    found = [keys()]
    for change in ("training.seed=1", "training.epochs=6", "training.batch_size=99", "training.learning_rate=2e-3",
                   "model.train_rates.fc=0.4"):  # fmt: skip
        found.append(keys(change))
    # and so another cell
    for which in zip(*found, strict=True):
        assert len(set(which)) == len(found)
    # what is random at test time only is none of the network's business
    assert keys("scheme=fc", "test_rate=0.3", "seed=4")[1] == found[0][1]


def fit(seed: int, way: object, scheme: dict, learning_rate: float = 1e-3) -> nn.Module:
    data = datasets.load(datasets.digits, Path(), {}, 256)
    plan = fitting.Plan(
        build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        behind=lambda network: Defended(network, {"input": ""}, scheme),
        way=way, epochs=1, batch_size=128, learning_rate=learning_rate, seed=seed, settings={},
    )  # fmt: skip
    return fitting.fit(plan, data, torch.device("cpu"))


def test_the_seed_of_training_decides_first_weights_order_and_masks() -> None:
    # next to no step: the weights are still the first ones
    first = [fit(seed, fitting.Standard(), {}, 1e-12)[1].weight for seed in (0, 0, 1)]
    torch.testing.assert_close(first[0], first[1], rtol=0, atol=0)
    assert (first[0] - first[2]).abs().mean() > 0.01

    def order(seed: int) -> list[int]:
        seen: list[int] = []

        def way(train: object) -> nn.Module:
            def loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
                seen.extend(labels.tolist())
                return functional.cross_entropy(model(images), labels)

            return train(loss)

        fit(seed, way, {})
        return seen

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))

    def masks(seed: int) -> torch.Tensor:
        seen: list[torch.Tensor] = []

        class Spy:
            def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
                seen.append(schemes.Dropout()(torch.ones_like(x), rate, generator))
                return x

        fit(seed, fitting.Standard(), {"input": (Spy(), 0.5)})
        return torch.stack(seen)

    assert torch.equal(masks(0), masks(0))
    assert not torch.equal(masks(0), masks(1))


def test_the_networks_of_two_seeds_differ(bench_run: Run, output_dir: Path) -> None:
    hashes = set()
    for seed in (0, 1):
        outcome = bench_run(*QUICK, f"training.seed={seed}")
        assert outcome.status == 0, outcome.err
        hashes.add(json.loads(Path(outcome.out.strip().splitlines()[-1]).read_text())["checkpoint"]["sha256"])
    assert len(hashes) == 2


@pytest.fixture
def attacked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the attacks that were run, in their order; the first is quick, the others are not."""
    run, seen = attacking.attack, []

    def spy(attack: object, name: str, *arguments: object, **named: object) -> attacking.Attacked:
        seen.append(name)
        found = run(attack, name, *arguments, **named)
        return dataclasses.replace(found, seconds=12345678.125 if len(seen) > 1 else 0.5)

    monkeypatch.setattr(attacking, "attack", spy)
    return seen


def test_whatever_leaves_samples_as_they_are_attacks_nothing(
    own: Own, output_dir: Path, attacked: list[str]
) -> None:
    text = (Path(choices.conf_dir()) / "scheme" / "fc.yaml").read_text()
    _, found = own("mynothing", "", **{"scheme/namesake": text})

    def run(*arguments: str) -> dict:
        shared = (
            *QUICK,
            *found,
            f"output_dir={output_dir}",
            "samples=6",
            "evaluation.draws=3",
            "test_rate=0.8",
        )
        record = cell.run(plan.prepare(composing.compose([*shared, *arguments])))
        assert record["status"] == "ok", record["reason"]
        return record

    looks = output_dir / "store" / "looks"
    first = run("scheme=fc")
    assert attacked == ["fgsm_fixed"]
    before = set(looks.iterdir())
    # more draws: the same samples, looked at more often
    more = run("scheme=fc", "evaluation.draws=5")
    assert more["metrics"]["fresh_draws"] == 5
    assert more["key"] != first["key"]
    assert more["samples"] == first["samples"]
    (new,) = set(looks.iterdir()) - before
    assert new.stem == more["looks"]["fresh"]
    # the same scheme under another name: another record, of the same samples and looks
    namesake = run("scheme=namesake")
    assert namesake["cell"]["scheme"] == "namesake"
    assert namesake["key"] != first["key"]
    assert [namesake[n] for n in ("samples", "looks", "metrics")] == [
        first[n] for n in ("samples", "looks", "metrics")
    ]
    assert attacked == ["fgsm_fixed"]
    # another attack: other samples, and no look at clean images that was made before
    before = set(looks.iterdir())
    other = run("scheme=fc", "attack=fgsm")
    assert attacked == ["fgsm_fixed", "fgsm"]
    assert other["samples"]["key"] != first["samples"]["key"]
    (new,) = set(looks.iterdir()) - before
    assert new.stem == other["looks"]["fresh"]
    # and what does change them attacks again; without the scheme nothing depends on the seed
    before = set(looks.iterdir())
    reseeded = run("scheme=fc", "seed=1")
    assert len(attacked) == 3
    assert {path.stem for path in set(looks.iterdir()) - before} == {
        reseeded["looks"]["clean"],
        reseeded["looks"]["fresh"],
    }


def test_a_network_that_nobody_trains_stands_by_its_seed_whatever_was_tried_before(
    monkeypatch: pytest.MonkeyPatch, output_dir: Path, tmp_path: Path
) -> None:
    given = ("training=pretrained", "training.epochs=null", f"output_dir={output_dir}")
    monkeypatch.setattr(plan, "_tried", {})
    first, other = (keys(*given, f"training.seed={seed}") for seed in (0, 1))
    assert first[0] != other[0]
    assert first[1] != other[1]
    # as the network of images of another size does
    values = np.random.default_rng(0).random((8, 1, 12, 12), dtype=np.float32)
    np.savez(tmp_path / "large.npz", x_test=values, y_test=np.arange(8))
    large = (*given, "dataset=npz", "dataset.options.file=large.npz", f"data_dir={tmp_path}")
    of_large = keys(*large)
    plan._tried.clear()
    assert keys(*given, "training.seed=1") == other
    plan._tried.clear()
    assert keys(*large) == of_large
    # and weights that are others than those that were seen are no result of this cell
    ready = plan.prepare(composing.compose([*QUICK, *given]))
    seen = dataclasses.replace(ready.training, settings={**ready.training.settings, "weights": "0" * 64})
    record = cell.run(dataclasses.replace(ready, training=seen, key="seen-here-alone"))
    assert record["status"] == "failed"
    assert record["reason"].startswith("weights of two_conv: others than a moment ago")


def test_samples_of_other_weights_are_set_aside_and_made_again(
    output_dir: Path, attacked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ready = plan.prepare(composing.compose([*QUICK, f"output_dir={output_dir}", "samples=3", "seed=2"]))
    first, store = cell.run(ready), ready.store
    assert first["status"] == "ok"
    kept = store.kept("samples", first["samples"]["key"])
    assert kept.about["weights"] == first["checkpoint"]["sha256"]
    # as when a network was trained again elsewhere, and came out otherwise
    values = {**kept.values, "perturbed": 1 - kept.values["perturbed"]}
    store.keep("samples", kept.key, Kept(values, {**kept.about, "weights": "0" * 64}))
    store.record_path(ready.key).unlink()
    again = cell.run(ready)
    assert len(attacked) == 2
    # the same file but for its times, which other records may name too
    assert again["samples"] == first["samples"]
    assert again["seconds"]["attack"] == 12345678.125
    assert again["metrics"] == first["metrics"]
    assert "of other weights than its network has now; set aside as" in caplog.text
    assert kept.path.with_name(f"{kept.path.name}.damaged-1").exists()
