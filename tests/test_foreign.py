"""Attacks, operations and networks of somebody else's: what they do wrong is said, and is in no figure."""

import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from running import Outcome, Run
from standing_in import FILES, peers
from torch import nn

from bench import cell, datasets, probe, process
from bench.checks import ConfigError
from bench.defended import Defended, NotFinite
from bench.measuring import passes
from bench.results.store import Store

QUICK = ("samples=8", "training.epochs=4", "evaluation.draws=3")

ATTACKS = """
import numpy as np, torch

class Base:
    def __call__(self, model, inputs, criterion, epsilons, **kwargs):
        x = self.attack(model, inputs, criterion, epsilons)
        return x if isinstance(x, tuple) else (x, x, criterion(x, model(x)))

class InPlace(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return inputs.add_(0.3 * torch.rand_like(inputs)).clamp_(0, 1)

class Copying(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return (inputs + 0.3 * torch.rand_like(inputs)).clamp(0, 1)

class Over(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return (inputs + 5 * epsilons * torch.sign(torch.randn_like(inputs))).clamp(0, 1)

class OneOver(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        x = inputs.clone()
        x[0] = 1 - x[0]
        return x, x, torch.ones(len(x), dtype=torch.bool)

class Beyond(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        return inputs, inputs, torch.ones(len(inputs), dtype=torch.bool)

class Nan(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        x = inputs * float("nan")
        return x, x, torch.ones(len(x), dtype=torch.bool)

class SomeNan(Base):
    def attack(self, model, inputs, criterion, epsilons):
        x = 1 - inputs
        x[0] = float("nan")
        x[1:2] = 0
        return x, x, torch.ones(len(x), dtype=torch.bool)

class Outside(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return inputs + 0.5

class Just(Base):
    def attack(self, model, inputs, criterion, epsilons):
        x = 1 - inputs
        return x + 1.2e-7 * (x == 1)

class Numpy(Base):
    def attack(self, model, inputs, criterion, epsilons):
        x = 1 - inputs.numpy()
        return x, x, np.ones(len(x), dtype=bool)

class Double(Base):
    def attack(self, model, inputs, criterion, epsilons):
        x = 1 - inputs
        return x, x.double(), criterion(x, model(x))

class Two(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return inputs, torch.ones(len(inputs), dtype=torch.bool)

class ShortSuccess(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return inputs, inputs, torch.tensor(True)

class Shares(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return inputs, inputs, torch.full((len(inputs),), 0.5)

class Fewer(Base):
    def attack(self, model, inputs, criterion, epsilons):
        return inputs[1:], inputs[1:], torch.ones(len(inputs) - 1, dtype=torch.bool)

class NoStart(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        failed = int((inputs.mean((1, 2, 3)) < 0.3).sum())
        if failed:
            raise ValueError(f"init_attack failed for {failed} of {len(inputs)} inputs")
        x = 1 - inputs
        return x, x, torch.ones(len(x), dtype=torch.bool)

class Trains(Base):
    def attack(self, model, inputs, criterion, epsilons):
        held = [cell.cell_contents for cell in model._model.__closure__]
        for module in next(m for m in held if isinstance(m, torch.nn.Module)).modules():
            if hasattr(module, "weight"):
                module.weight.data.mul_(1.5)
        return inputs

class TrainsAndRaises(Trains):
    def attack(self, model, inputs, criterion, epsilons):
        super().attack(model, inputs, criterion, epsilons)
        model(inputs)
        raise RuntimeError("midway")

class Large(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

class Colour(Base):
    def attack(self, model, inputs, criterion, epsilons):
        assert inputs.shape[1] == 3, "needs colour"
        return inputs

class EightByEight(Base):
    def attack(self, model, inputs, criterion, epsilons):
        assert inputs.shape[2:] == (8, 8), "needs 8x8"
        return inputs

class RowByRow(Base):
    def attack(self, model, inputs, criterion, epsilons):
        x = inputs.clone().requires_grad_()
        logits = model(x)
        for i in range(len(x)):
            logits[i, 0].backward(retain_graph=True)
        return (inputs + 0.3 * x.grad.sign()).clamp(0, 1)

class Double64(Copying):
    def attack(self, model, inputs, criterion, epsilons):
        x = super().attack(model, inputs, criterion, epsilons)
        torch.set_default_dtype(torch.float64)
        return x

class Quits(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        raise SystemExit(3)

class Generates(Base):
    def attack(self, model, inputs, criterion, epsilons):
        model(inputs)
        raise GeneratorExit("gone")

class Blind(Base):
    '''A gradient that is zero everywhere, and a step along its sign.'''
    def attack(self, model, inputs, criterion, epsilons):
        x = inputs.clone().requires_grad_()
        (model(x) * 0).sum().backward()
        return (inputs + x.grad.sign()).clamp(0, 1)
"""

OPERATIONS = """
import torch

class Noise:
    def __call__(self, x, rate, generator):
        return x + rate * torch.randn(x.shape, generator=generator)

class GlobalNoise:
    def __call__(self, x, rate, generator):
        return x + rate * torch.randn_like(x)

class Entropy:
    def __call__(self, x, rate, generator):
        return x + rate * torch.randn(x.shape, generator=torch.Generator().manual_seed(torch.seed()))

class Nans:
    def __call__(self, x, rate, generator):
        keep = torch.rand(x.shape, generator=generator) >= rate
        return x * keep / keep

class OneRow:
    def __call__(self, x, rate, generator):
        return (x + torch.rand(x.shape, generator=generator) * rate)[:1]

class Squeeze:
    def __call__(self, x, rate, generator):
        return (x * 8).round() / 8

class SaidSqueeze(Squeeze):
    random = False

class Liar(Noise):
    random = False

class InPlace:
    def __call__(self, x, rate, generator):
        x += rate * torch.rand(x.shape, generator=generator)
        return x

class Double:
    def __call__(self, x, rate, generator):
        return x + rate * torch.rand(x.shape, generator=generator, dtype=torch.float64)

class Nothing:
    def __call__(self, x, rate, generator):
        pass

class Raises:
    def __call__(self, x, rate, generator):
        raise KeyError("scale")

class Reseeds:
    def __call__(self, x, rate, generator):
        generator.manual_seed(0)
        return x + rate * torch.randn(x.shape, generator=generator)

class Greatest:
    random = False
    def __call__(self, x, rate, generator):
        return (x / x.max() * 4).round() / 4 * x.max()

class Swaps:
    def __call__(self, x, rate, generator):
        return x[torch.randperm(len(x), generator=generator)] + rate * torch.rand(x.shape, generator=generator)

class Sparks:
    '''Gives no numbers where somebody wants a gradient.'''
    def __call__(self, x, rate, generator):
        noisy = x + torch.rand(x.shape, generator=generator)
        return noisy * torch.nan if x.requires_grad else noisy

class Detach:
    def __call__(self, x, rate, generator):
        return ((x + rate * torch.randn(x.shape, generator=generator)) * 8).round() / 8
"""

MODELS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        c, h, w = shape
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, 64), nn.ReLU(), nn.Linear(64, classes))
        self.unused = nn.Identity()
    def forward(self, x):
        self.unused(x)
        return self.layers(x)

class Log(Small):
    def forward(self, x): return self.layers(torch.log(x))

class Softmax(Small):
    def forward(self, x): return self.layers(x).softmax(-1)

class BatchStat(Small):
    def forward(self, x): return self.layers(x - x.mean(0, keepdim=True))

class BatchNorm(Small):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.norm = nn.BatchNorm2d(shape[0], track_running_stats=False)
    def forward(self, x): return self.layers(self.norm(x))

class Tuple(Small):
    def forward(self, x): return self.layers(x), None

class One(Small):
    def __init__(self, shape, classes): super().__init__(shape, 1)

class Own(Small):
    def forward(self, x): return nn.functional.dropout(self.layers(x), 0.5, training=True)

class Fails(Small):
    def forward(self, x): return self.layers(x)["logits"]

class Inner(Small):
    '''Draws from a generator of its own.'''
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.generator = torch.Generator()
    def forward(self, x): return self.layers(x) + torch.rand(1, generator=self.generator)

class Counts(Small):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.register_buffer("passes", torch.zeros(()))
    def forward(self, x):
        self.passes += 1
        return self.layers(x)

class Unmade(nn.Module):
    def __init__(self, shape, classes): raise RuntimeError("no such width")

class Depth(Small):
    '''Reads values in its constructor.'''
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.rates = [r.item() for r in torch.linspace(0, 0.1, 3)]

class Array(Small):
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.layers[1].weight.data = torch.from_numpy(self.layers[1].weight.detach().numpy() * 0.5)

class Tied(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        c, h, w = shape
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, 64), nn.ReLU())
        self.head = nn.Linear(64, classes)
        self.whole = nn.Sequential(self.trunk, self.head)
    def forward(self, x): return self.whole(x)

function = lambda shape, classes: 3
"""

SITES = {"Small": "{fc: layers.2, unused: unused}", "Tied": "{fc: trunk.2}", "Unmade": "{}", "function": "{}"}
"""Of each network, where they aren't those of most."""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package of somebody's own, and a folder of configuration that names what is in it."""
    folder = tmp_path_factory.mktemp("mine")
    package = folder / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in (("attacks", ATTACKS), ("ops", OPERATIONS), ("models", MODELS)):
        (package / f"{name}.py").write_text(text)
    (folder / "conf" / "model").mkdir(parents=True)
    for name in re.findall(r"^class (\w+)\(|^(function)", MODELS, re.MULTILINE):
        (folder / "conf" / "model" / f"{max(name)}.yaml").write_text(
            f"_target_: theirs.models.{max(name)}\nsites: {SITES.get(max(name), '{fc: layers.2}')}\n"
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


@pytest.fixture
def foreign(bench_run: Run, mine: Path) -> Callable[..., Outcome]:
    own = (f"hydra.searchpath=[file://{mine / 'conf'}]", "trusted_modules=[bench,foolbox,theirs]")

    def run(*arguments: str) -> Outcome:
        cell._warned.clear()
        given = {argument.partition("=")[0] for argument in arguments}
        quick = [setting for setting in QUICK if setting.partition("=")[0] not in given]
        return bench_run(*arguments, *quick, *own)

    return run


def attack(name: str, epsilon: str = "null") -> tuple[str, ...]:
    return (
        "attack=fgsm",
        f"attack.name={name}",
        f"attack._target_=theirs.attacks.{name}",
        f"attack.epsilon={epsilon}",
    )


def operation(name: str, site: str = "fc", rate: float = 0.3) -> tuple[str, ...]:
    return (
        f"scheme.name={name}",
        f"scheme={site}",
        f"test_rate={rate}",
        f"scheme.operation._target_=theirs.ops.{name}",
    )


def model(name: str) -> tuple[str, ...]:
    return (f"model={name}",)


def record_of(outcome: Outcome, output_dir: Path) -> dict:
    return Store(output_dir / "store").read(Path(outcome.out.strip().splitlines()[-1]).stem)


def forget(record: dict, output_dir: Path) -> None:
    """Removes all that is kept of a cell, but its network's checkpoint."""
    store = Store(output_dir / "store")
    store.record_path(record["key"]).unlink()
    store.samples_path(record).unlink()
    shutil.rmtree(store.folder / "looks")


def refused(outcome: Outcome) -> str:
    """The one line of a run that was refused before anything was trained."""
    assert outcome.status == 2, outcome
    assert len(outcome.err.strip().splitlines()) == 1, outcome.err
    return outcome.err.strip()


def failed(outcome: Outcome) -> str:
    """The reason of a cell that failed."""
    assert outcome.status == 1, outcome
    last = outcome.err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    return last


def test_an_attack_that_changes_its_input_in_place_is_measured_from_the_image_as_it_was(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    one, two = (record_of(foreign(*attack(n), "scheme=fc"), output_dir) for n in ("InPlace", "Copying"))
    assert one["metrics"]["distance"] == two["metrics"]["distance"]
    assert one["metrics"]["distance"]["linf"]["mean"] > 0.2
    assert one["images"]["sha256"] == two["images"]["sha256"]
    originals = datasets.load(datasets.digits, Path(), {}, None).x_test[one["images"]["indices"]]
    moved = np.abs(Store(output_dir / "store").samples(one)["perturbed"] - originals)
    assert moved.max() > 0.2


def test_a_step_beyond_epsilon_finds_nothing(foreign: Callable[..., Outcome], output_dir: Path) -> None:
    outcome = foreign(*attack("Over", "0.1"), "scheme=none")
    assert "gave nothing that can be used for any of 8 images (too far 8)" in failed(outcome)
    # nor does one that moves what it was given along
    assert "(too far 8)" in failed(foreign(*attack("InPlace", "0.1"), "scheme=none"))
    record = record_of(foreign(*attack("OneOver", "0.1"), "scheme=none"), output_dir)
    assert record["metrics"]["too_far"] == 1
    samples = Store(output_dir / "store").samples(record)
    assert samples["claimed"].tolist() == [False] + [True] * 7
    assert any("1 of 8 images came back further away than epsilon" in w for w in record["warnings"])


def test_epsilon_is_meant_in_the_attacks_own_norm(foreign: Callable[..., Outcome], output_dir: Path) -> None:
    l2 = (
        "attack=pgd",
        "attack._target_=foolbox.attacks.L2ProjectedGradientDescentAttack",
        "attack.epsilon=1.5",
    )
    record = record_of(foreign(*l2, "scheme=none"), output_dir)
    # further than 0.1 in single pixels, and no further than 1.5 as a whole
    assert record["metrics"]["distance"]["linf"]["mean"] > 0.3
    assert record["metrics"]["too_far"] == 0


def test_claims_that_nothing_confirms_are_said_where_nothing_is_random(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    record = record_of(foreign(*attack("Beyond"), "scheme=none"), output_dir)
    assert record["metrics"]["claimed_success"]["mean"] == 1
    assert record["metrics"]["fresh_success"]["mean"] == 0
    (said,) = record["warnings"]
    assert "claims 8 of 8 images on which the criterion doesn't hold" in said
    # an honest attack on the same network has nothing to say
    assert record_of(foreign("attack=deepfool", "scheme=none"), output_dir)["warnings"] == []


def test_images_that_an_attack_spoils_are_counted_in_the_table(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    assert "(given up 8)" in failed(foreign(*attack("Nan"), "scheme=none"))
    outcome = foreign("-m", *attack("SomeNan"), "scheme=none", "name=spoilt")
    assert outcome.status == 0
    row = pd.read_csv(output_dir / "spoilt" / "results.csv").iloc[0]
    assert row["given_up"] == 2
    assert "2 of 8 images came back as no image" in row["warnings"]
    assert "2 of 8 images came back as no image" in outcome.out
    store = Store(output_dir / "store")
    record = store.read(row["key"])
    assert record is not None
    samples = store.samples(record)
    assert samples["claimed"].tolist() == [False, False] + [True] * 6
    assert np.isfinite(samples["perturbed"]).all()


@pytest.mark.parametrize(("name", "words"), [
    ("Outside", "attack Outside left the bounds [0, 1]: "),
    ("Two", "attack Two returned 2 values, expected (raw, clipped, success)"),
    ("ShortSuccess", "returned success of shape () and type torch.bool, expected (8,) and booleans"),
    ("Shares", "returned success of shape (8,) and type torch.float32, expected (8,) and booleans"),
    ("Fewer", "returned images of shape (7, 1, 8, 8)"),
    ("Trains", "attack Trains changed the network's weights or buffers"),
    ("Large", "error: out of memory with batch_size 500: set a lower one (CUDA out of memory. Tried to allocate 2"),
])  # fmt: skip
def test_what_cannot_be_used_fails_the_cell_in_one_line(
    foreign: Callable[..., Outcome], name: str, words: str
) -> None:
    assert words in failed(foreign(*attack(name), "scheme=none"))


def test_an_attack_that_changed_the_network_leaves_it_to_no_other_cell(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    before = record_of(foreign("attack=fgsm_fixed", "scheme=none", "seed=5"), output_dir)
    for name, words in (("Trains", "changed"), ("TrainsAndRaises", "midway")):
        assert words in failed(foreign(*attack(name), "scheme=none"))
    forget(before, output_dir)
    after = record_of(foreign("attack=fgsm_fixed", "scheme=none", "seed=5"), output_dir)
    assert after["metrics"] == before["metrics"]


@pytest.mark.parametrize("name", ["Just", "Numpy", "Double"])
def test_what_is_only_of_another_type_or_off_by_rounding_is_taken(
    foreign: Callable[..., Outcome], output_dir: Path, name: str
) -> None:
    record = record_of(foreign(*attack(name), "scheme=none"), output_dir)
    samples = Store(output_dir / "store").samples(record)["perturbed"]
    assert samples.dtype == np.float32
    originals = datasets.load(datasets.digits, Path(), {}, None).x_test[record["images"]["indices"]]
    assert np.allclose(samples, 1 - originals, atol=1e-6)
    assert samples.max() <= 1


def test_an_attack_is_tried_on_the_datasets_own_shape(foreign: Callable[..., Outcome]) -> None:
    assert "attack: Colour refuses its settings (AssertionError: needs colour)" in refused(
        foreign(*attack("Colour"))
    )
    assert foreign(*attack("EightByEight"), "scheme=none").status == 0


def test_images_without_a_start_count_as_not_found(foreign: Callable[..., Outcome], output_dir: Path) -> None:
    hsj = ("attack=fgsm", "attack.name=hsj", "attack._target_=foolbox.attacks.HopSkipJumpAttack")
    small = (
        "+attack.options.steps=1",
        "+attack.options.initial_gradient_eval_steps=2",
        "+attack.options.max_gradient_eval_steps=3",
    )
    record = record_of(foreign(*hsj, *small, "scheme=all", "seed=2"), output_dir)
    metrics = record["metrics"]
    samples = Store(output_dir / "store").samples(record)
    assert 0 < metrics["without_start"] < 8
    originals = datasets.load(datasets.digits, Path(), {}, None).x_test[record["images"]["indices"]]
    as_it_was = (samples["perturbed"] == originals).all((1, 2, 3))
    assert as_it_was.sum() >= metrics["without_start"] >= 8 - samples["claimed"].sum()
    # where it is known which they are
    record = record_of(foreign(*attack("NoStart"), "scheme=none"), output_dir)
    images = datasets.load(datasets.digits, Path(), {}, None).x_test[record["images"]["indices"]]
    dark = images.mean((1, 2, 3)) < 0.3
    assert 0 < dark.sum() < 8
    assert record["metrics"]["without_start"] == dark.sum()
    assert (Store(output_dir / "store").samples(record)["claimed"] == ~dark).all()


def test_images_without_a_gradient_are_counted_and_said(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    record = record_of(foreign(*attack("Blind"), "scheme=none"), output_dir)
    assert record["metrics"]["zero_gradient"] == 8
    assert "8 of 8 images had a gradient of zero everywhere" in record["warnings"][0]
    # a rounded image has no gradient, whoever attacks it
    rounded = record_of(foreign(*operation("Detach", "input", 0.1), "attack=fgsm_fixed"), output_dir)
    assert rounded["metrics"]["zero_gradient"] == 8
    assert record_of(foreign("attack=fgsm_fixed", "scheme=fc"), output_dir)["metrics"]["zero_gradient"] == 0
    # row by row, each backward pass leaves the other rows at zero
    assert record_of(foreign(*attack("RowByRow"), "scheme=none"), output_dir)["metrics"]["zero_gradient"] == 0
    # one that takes no gradient at all
    assert record_of(foreign(*attack("Copying"), "scheme=fc"), output_dir)["metrics"]["zero_gradient"] is None


@pytest.mark.parametrize(("name", "words"), [
    ("Entropy", "draws from what no seed reaches: two passes of one seed differ"),
    ("Nans", "gives logits that are not finite numbers, for 3 of 3 images"),
    ("OneRow", "returns torch.float32 of shape (1, 1024), expected torch.float32 of shape (3, 1024)"),
    ("Squeeze", "give the operation's class an attribute random = False"),
    ("Liar", "says random = False, but two passes over the same images differ"),
    ("InPlace", "changes what it is given, in place; expected a new tensor"),
    ("Double", "returns torch.float64 of shape (3, 1024), expected torch.float32"),
    ("Nothing", "returns NoneType, expected torch.float32"),
    ("Reseeds", "sets its generator back, so that no draw is a fresh one"),
    ("Greatest", "depends on the other images of its batch, so that results would depend on batch_size"),
    ("Raises", "fails on images of shape (3, 1, 8, 8) (KeyError: 'scale')"),
])  # fmt: skip
def test_a_bad_operation_is_refused_before_training(
    foreign: Callable[..., Outcome], name: str, words: str
) -> None:
    said = refused(foreign(*operation(name)))
    assert said.startswith(f"error: scheme: {name}")
    assert words in said


def test_an_operation_that_draws_from_a_global_generator_runs_and_repeats(
    foreign: Callable[..., Outcome], output_dir: Path, tmp_path: Path
) -> None:
    given = (*operation("GlobalNoise"), "attack=pgd", "attack.options.steps=3")
    first = record_of(foreign(*given), output_dir)
    # in a store of its own nothing is found again
    again = record_of(foreign(*given, f"output_dir={tmp_path}"), tmp_path)
    assert first["metrics"] == again["metrics"]
    assert first["samples"]["content"] == again["samples"]["content"]
    assert first["metrics"]["fresh_draws"] == 3


def test_a_small_rate_and_a_deterministic_operation_are_accepted(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    tiny = record_of(foreign("scheme=fc", "test_rate=1e-6", "attack=fgsm_fixed"), output_dir)
    assert tiny["metrics"]["fresh_draws"] == 3
    assert tiny["warnings"] == ["scheme fc: at its rates two passes over 100 images are equal"]
    squeezed = record_of(foreign(*operation("SaidSqueeze"), "attack=fgsm_fixed"), output_dir)
    assert squeezed["metrics"]["fresh_draws"] == 1


def test_what_another_thread_draws_meanwhile_is_not_held_against_a_network() -> None:
    passing, drawn = threading.Event(), threading.Event()

    class Waits(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            passing.set()
            drawn.wait(0.2)
            return x.flatten(1)

    def attacks(inside: threading.Event) -> None:
        with process.seeded(0, torch.device("cpu")):
            inside.set()
            passing.wait(0.2)
            torch.rand(1)
            drawn.set()

    other = threading.Thread(target=attacks, args=[inside := threading.Event()])
    other.start()
    inside.wait()
    assert probe.network(Defended(Waits()), "waits", torch.rand(3, 1, 2, 2), 4) == 4
    other.join()


def test_a_site_that_no_output_depends_on_is_refused(foreign: Callable[..., Outcome]) -> None:
    said = refused(foreign(*model("Small"), "scheme=fc", "+scheme.sites.unused=0.5", "~scheme.sites.fc"))
    assert "the operation at site unused draws nothing that an output depends on" in said


def test_a_site_that_no_pass_reaches_or_that_gives_no_tensor_is_refused() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Identity()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            return self.one(x), None

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.pair, self.spare = nn.Flatten(), Pair(), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.flat(self.pair(x)[0])

    net, images = Net(), torch.zeros(3, 1, 2, 2)
    probe.sites(Defended(net, {"image": "", "fc": "flat", "one": "pair.one"}), "Net", images)
    for path, words in (
        ("spare", "submodule 'spare' of Net is never reached in a pass; some that are: flat, pair.one"),
        ("pair", "submodule 'pair' of Net gives tuple, expected a tensor; inside it: pair.one"),
    ):
        with pytest.raises(ConfigError) as refused:
            probe.sites(Defended(net, {"fc": ["flat", path]}), "Net", images)
        assert str(refused.value) == f"model.sites.fc: {words}"


@pytest.mark.parametrize(("name", "words"), [
    ("Log", "model: Log gives logits that are not finite numbers, for 3 of 3 images"),
    ("BatchStat", "model: BatchStat: an image's logits depend on the other images of its batch"),
    ("BatchNorm", "model: BatchNorm: an image's logits depend on the other images of its batch"),
    ("Tuple", "model: Tuple gives tuple, expected a tensor of logits (batch, classes)"),
    ("One", "model: One has 1 outputs, expected one for each of at least 10 classes"),
    ("Own", "model: Own draws by itself although no site is random (torch's global generator)"),
    ("Inner", "model: Inner draws by itself although no site is random (two passes over the same images differ)"),
    ("Counts", "model: Counts changes its own weights or buffers in a pass, in evaluation mode"),
    ("Fails", "model: Fails fails on images of shape (3, 1, 8, 8) (IndexError: "),
    ("Unmade", "model.options: Unmade: RuntimeError: no such width"),
    ("function", "model.options: function: made int, expected a torch.nn.Module"),
])  # fmt: skip
def test_a_bad_network_is_refused_before_training(
    foreign: Callable[..., Outcome], name: str, words: str
) -> None:
    assert words in refused(foreign(*model(name)))


@pytest.mark.parametrize("name", ["Depth", "Array", "Tied", "Small"])
def test_a_usual_network_trains_and_is_kept(
    foreign: Callable[..., Outcome], output_dir: Path, name: str
) -> None:
    arguments = (*model(name), "scheme=fc", "attack=fgsm_fixed")
    record = record_of(foreign(*arguments), output_dir)
    assert record["status"] == "ok"
    # from its checkpoint it is the same
    cell._networks.clear()
    forget(record, output_dir)
    again = record_of(foreign(*arguments), output_dir)
    assert again["checkpoint"] == record["checkpoint"]
    assert again["metrics"] == record["metrics"]


def test_probabilities_are_said_once_in_record_table_and_log(
    foreign: Callable[..., Outcome], output_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "bench"):
        outcome = foreign(
            "-m", *model("Softmax"), "attack=fgsm_fixed,deepfool", "name=softmax", "training.epochs=15"
        )
    assert outcome.status == 0, outcome.err
    words = "outputs of Softmax look like probabilities"
    frame = pd.read_csv(output_dir / "softmax" / "results.csv")
    assert frame["warnings"].str.contains(words).all()
    assert outcome.out.count(words) == 1
    assert caplog.text.count(words) == 1
    assert record_ok_without_warning(foreign, output_dir)


def record_ok_without_warning(foreign: Callable[..., Outcome], output_dir: Path) -> bool:
    return record_of(foreign(*model("Small"), "attack=fgsm_fixed"), output_dir)["warnings"] == []


def test_training_that_does_not_get_above_chance_is_a_failed_cell(foreign: Callable[..., Outcome]) -> None:
    said = failed(foreign("training.learning_rate=1", "training.epochs=2", "attack=fgsm_fixed"))
    assert "training" in said
    assert "training.learning_rate" in said


def test_what_an_attack_sets_for_its_process_changes_no_figure(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    one, two = (record_of(foreign(*attack(n), "scheme=fc"), output_dir) for n in ("Copying", "Double64"))
    assert torch.get_default_dtype() is torch.float32
    for name in ("fresh_success", "fresh_accuracy", "clean_accuracy"):
        assert one["metrics"][name] == two["metrics"][name]


@pytest.mark.parametrize(
    ("name", "words"), [("Quits", "SystemExit: 3"), ("Generates", "GeneratorExit: gone")]
)
def test_an_attack_that_ends_the_process_is_a_failed_cell_and_the_others_go_on(
    foreign: Callable[..., Outcome], output_dir: Path, name: str, words: str
) -> None:
    outcome = foreign("-m", *attack(name), "scheme=none", "seed=0,1", f"name=ends-{name}")
    assert outcome.status == 1
    frame = pd.read_csv(output_dir / f"ends-{name}" / "results.csv")
    assert list(frame["status"]) == ["failed", "failed"]
    assert (frame["reason"] == words).all()


def test_an_operation_that_mixes_the_images_of_a_batch_is_said(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    record = record_of(foreign(*operation("Swaps"), "attack=fgsm_fixed"), output_dir)
    assert any("depends on the other images of its batch" in words for words in record["warnings"])
    assert record_of(foreign("scheme=fc", "attack=fgsm_fixed"), output_dir)["warnings"] == []


def test_a_pass_of_the_attack_without_numbers_fails_the_cell(foreign: Callable[..., Outcome]) -> None:
    said = failed(foreign(*operation("Sparks"), "attack=fgsm_fixed"))
    assert said.startswith("error: logits that are not finite numbers, in 8 of the ")
    assert said.endswith("passes of an image by attack fgsm_fixed")


def test_fewer_right_images_than_were_asked_for_are_said(
    foreign: Callable[..., Outcome], output_dir: Path
) -> None:
    record = record_of(
        foreign("attack=fgsm_fixed", "scheme=none", "samples=500", "+attack.options.max_epsilon=0.5"),
        output_dir,
    )
    right = round(500 * record["metrics"]["clean_accuracy_no_scheme"]["mean"])
    assert record["warnings"] == [f"only {right} test images that the network gets right, not 500"]


def test_logits_that_stop_being_numbers_fail_an_evaluation() -> None:
    class Sometimes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x.flatten(1)[:, :2] > 0.5, torch.nan, x.flatten(1)[:, :2])

    images = torch.zeros(4, 1, 2, 2)
    images[2] = 1
    with pytest.raises(NotFinite, match="for 1 of 4 images in one pass, first for image 2"):
        passes.logits(Sometimes(), images, 3)


def test_a_library_of_attacks_that_is_missing_is_one_line_before_anything_is_trained(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with peers(tmp_path, monkeypatch):
        outcome = bench_run(
            "attack=torchattacks_eotpgd", "training.seed=71", f"output_dir={tmp_path / 'o'}", *QUICK
        )
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        "error: attack: bench.attacks.others.TorchAttacks can't be made (ImportError: it needs torchattacks: "
        "pip install --no-deps torchattacks; No module named 'torchattacks')\n"
    )
    assert not (tmp_path / "o" / "store").exists()


def test_attacks_of_other_libraries_are_swept_as_others_are(
    bench_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_dir: Path
) -> None:
    attacks = "autoattack,autoattack_rand,torchattacks_eotpgd,art_pgd,advlib_apgd"
    with peers(tmp_path, monkeypatch, *FILES):
        outcome = bench_run(
            "-m", f"attack={attacks}", "criterion=untargeted,targeted", "scheme=fc", "attack.epsilon=0.2",
            "attack.eot=2", "name=libraries", "transfer=false", *QUICK,
        )  # fmt: skip
    assert outcome.status == 0, outcome.err
    # none of what they print, or warn of
    assert "talking" not in outcome.out
    assert "randomized" not in outcome.err
    frame = pd.read_csv(output_dir / "libraries" / "results.csv").set_index(["attack", "criterion"])
    holes = frame.index[frame["status"] != "ok"].tolist()
    assert holes == [("autoattack", "targeted"), ("autoattack_rand", "targeted")]
    assert set(frame.loc[holes, "status"]) == {"not_applicable"}
    found = frame.drop(index=holes)
    assert (found["linf_mean"] <= 0.2 + 1e-6).all()
    assert found["linf_mean"].max() > 0.19
    # two draws to a gradient: each step passes twice, and so does the look at the result
    assert found.loc[("advlib_apgd", "untargeted"), "forward_passes_per_image"] == 4


def test_an_attack_that_averages_by_itself_is_told_how_many_draws_and_the_others_are_made_to(
    bench_run: Run, output_dir: Path
) -> None:
    outcome = bench_run(
        "-m", "attack=fgsm_fixed,pgd", "attack.eot=null,3", "scheme=fc", "name=eot", "transfer=false", *QUICK
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert "attack.eot" in outcome.out
    frame = pd.read_csv(output_dir / "eot" / "results.csv").set_index(["attack", "attack.eot"])
    backward = frame["backward_passes_per_image"].to_dict()
    assert {(attack, draws): n for (attack, draws), n in backward.items() if draws == 3} == {
        ("fgsm_fixed", 3): 3,
        ("pgd", 3): 3 * 40,
    }
    assert sorted(backward.values()) == [1, 3, 40, 120]
    # of its options, either says it
    outcome = bench_run("attack=fgsm_fixed", "attack.eot=3", "+attack.options.gradient_draws=4", *QUICK)
    assert (outcome.status, outcome.err) == (
        2,
        "error: attack.eot: attack.options.gradient_draws says already how many draws make a gradient; give one of "
        "them\n",
    )
    outcome = bench_run("attack=pgd", "attack.eot=0", *QUICK)
    assert (outcome.status, outcome.err) == (2, "error: attack.eot: expected at least 1, got 0\n")
