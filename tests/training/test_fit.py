import dataclasses
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench import datasets, schemes
from bench.defended import Defended
from bench.measuring import passes
from bench.models import TwoConv
from bench.results import files
from bench.results.store import Store
from bench.training import fit as training
from bench.training import kept

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> datasets.Dataset:
    return datasets.load(datasets.digits, Path(), {}, None)


def dropping(path: str, operation: schemes.Operation, rate: float) -> Callable[[nn.Module], Defended]:
    """What acts in training."""
    return lambda network: Defended(network, {"site": path}, {"site": (operation, rate)})


def trained(plan: training.Plan, data: datasets.Dataset, folder: Path) -> kept.Trained:
    return kept.trained(plan, data, Store(folder), CPU)


def plan(epochs: int = 1, seed: int = 0, rate: float = 0.5) -> training.Plan:
    settings = {"epochs": epochs, "seed": seed, "rate": rate}
    return training.Plan(
        build=lambda: TwoConv((1, 8, 8), 10), behind=dropping("layers.relu3", schemes.Dropout(), rate),
        way=training.Standard(),
        epochs=epochs, batch_size=128, learning_rate=1e-3, seed=seed, settings=settings,
    )  # fmt: skip


def test_digits_are_learnt(data: datasets.Dataset, tmp_path: Path) -> None:
    network = trained(plan(epochs=40), data, tmp_path)
    right = passes.correct(network.network, torch.from_numpy(data.x_test), torch.from_numpy(data.y_test), 500)
    assert right.mean() >= 0.97


def test_training_is_done_once_and_repeatable(data: datasets.Dataset, tmp_path: Path) -> None:
    first = trained(plan(), data, tmp_path / "a")
    stamp = (tmp_path / "a" / "checkpoints" / f"{first.key}.safetensors").stat().st_mtime_ns
    assert trained(plan(), data, tmp_path / "a").sha256 == first.sha256
    assert (tmp_path / "a" / "checkpoints" / f"{first.key}.safetensors").stat().st_mtime_ns == stamp
    assert trained(plan(), data, tmp_path / "b").sha256 == first.sha256
    assert trained(plan(seed=1), data, tmp_path / "b").sha256 != first.sha256
    assert trained(plan(rate=0.1), data, tmp_path / "b").sha256 != first.sha256


def test_a_parallel_network_is_trained_as_its_module(data: datasets.Dataset, tmp_path: Path) -> None:
    alone = plan()
    wrapped = dataclasses.replace(alone, build=lambda: nn.DataParallel(alone.build()), settings={"other": 1})
    for _ in range(2):  # trained, and found again
        assert trained(wrapped, data, tmp_path).sha256 == trained(alone, data, tmp_path).sha256


def test_two_that_ask_at_once_train_once(
    data: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    fit = training.fit
    monkeypatch.setattr(kept, "fit", lambda *a: (fitted.append(1), fit(*a))[1])
    hashes: list[str] = []
    threads = [
        threading.Thread(target=lambda: hashes.append(trained(plan(), data, tmp_path).sha256))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fitted) == 1
    assert hashes[0] == hashes[1]


def test_network_comes_back_frozen_and_silent(data: datasets.Dataset, tmp_path: Path) -> None:
    images = torch.from_numpy(data.x_test[:50])
    for _ in ("trained", "from its checkpoint"):
        model = trained(plan(), data, tmp_path).network
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
        assert torch.equal(model(images), model(images))


def test_damaged_checkpoint_is_set_aside_and_trained_again(
    data: datasets.Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = trained(plan(), data, tmp_path)
    path = tmp_path / "checkpoints" / f"{network.key}.safetensors"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-10] ^= 64
    for number, damaged in enumerate((whole[: len(whole) // 2], bytes(flipped), b""), 1):
        path.write_bytes(damaged)
        with pytest.raises(files.Unreadable, match="damaged") as refused:
            kept.found(network.key, Store(tmp_path), plan().build, CPU)
        assert path.name in str(refused.value)
        assert "\n" not in str(refused.value)
        caplog.clear()
        assert trained(plan(), data, tmp_path).sha256 == network.sha256
        assert f"set aside as {path.name}.damaged-{number}" in caplog.text
        assert path.with_name(f"{path.name}.damaged-{number}").read_bytes() == damaged
    other = trained(plan(seed=1), data, tmp_path)
    (tmp_path / "checkpoints" / f"{other.key}.safetensors").rename(path)
    with pytest.raises(files.Unreadable, match="under another's name"):
        kept.found(network.key, Store(tmp_path), plan().build, CPU)


def test_masks_act_in_training(data: datasets.Dataset) -> None:
    seen: list[torch.Tensor] = []

    class Spy:
        def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
            dropped = schemes.Dropout()(x, rate, generator)
            seen.append((dropped == 0).float().mean())
            return dropped

    small = dataclasses.replace(data, x_train=data.x_train[:256], y_train=data.y_train[:256])
    training.fit(dataclasses.replace(plan(), behind=dropping("", Spy(), 0.9)), small, CPU)
    assert len(seen) == 2
    assert np.mean(seen) > 0.9


def test_a_network_leaves_training_without_its_dropout(data: datasets.Dataset) -> None:
    """A teacher gives its labels before it is ever saved and loaded."""
    small = dataclasses.replace(data, x_train=data.x_train[:256], y_train=data.y_train[:256])
    images = torch.from_numpy(data.x_test[:50])
    given: list[torch.Tensor] = []

    def way(train: training.Fitting) -> nn.Module:
        teacher = training.Standard()(train)
        given.extend(teacher(images) for _ in range(2))
        return teacher

    for path in ("layers.relu3", ""):
        behind = dropping(path, schemes.Dropout(), 0.5)
        kept_one = training.fit(dataclasses.replace(plan(), behind=behind, way=way), small, CPU)
        assert torch.equal(given[-2], given[-1])
        assert torch.equal(given[-1], kept_one(images))


@pytest.fixture(scope="module")
def few(data: datasets.Dataset) -> datasets.Dataset:
    """The first 161 images: two batches of 80, and one more image."""
    return dataclasses.replace(data, x_train=data.x_train[:161], y_train=data.y_train[:161])


def plan_for(build: Callable[[], nn.Module], **changes: object) -> training.Plan:
    settings = {"network": getattr(build, "__name__", "")}
    made = dataclasses.replace(plan(), build=build, behind=Defended, batch_size=80, settings=settings)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def hidden() -> nn.Linear:
    return nn.Linear(64, 32)


class Tied(nn.Module):
    """The usual trunk and head, and the whole of them registered too."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), hidden(), nn.ReLU())
        self.head = nn.Linear(32, 10)
        self.whole = nn.Sequential(self.trunk, self.head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.whole(x)


class Spectral(nn.Sequential):
    def __init__(self) -> None:
        normed = nn.utils.parametrizations.spectral_norm
        super().__init__(nn.Flatten(), normed(hidden()), nn.ReLU(), normed(nn.Linear(32, 10)))


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.LazyLinear(32), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(10))


class Normalised(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), hidden(), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


class Dropping(nn.Sequential):
    """Draws from the global generator in training."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), hidden(), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))


class Projecting(nn.Module):
    """Projects at random first, and doesn't count this among its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(64, 32), persistent=False)
        self.numpy_projection = torch.from_numpy(np.random.normal(size=(32, 32)).astype(np.float32))  # noqa: NPY002
        self.out = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out((x.flatten(1) @ self.projection @ self.numpy_projection / 32).relu())


class HalfPrecise(nn.Module):
    """Keeps some of its weights in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = hidden(), nn.Linear(32, 10, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x.flatten(1)).relu().bfloat16()).float()


NETWORKS = [Tied, Spectral, Lazy, Normalised, Dropping, Projecting, HalfPrecise]


@pytest.mark.parametrize("network", NETWORKS)
def test_network_of_any_build_is_the_same_trained_kept_and_trained_again(
    data: datasets.Dataset, few: datasets.Dataset, tmp_path: Path, network: type[nn.Module]
) -> None:
    images = torch.from_numpy(data.x_test)
    fitted = training.fit(plan_for(network, epochs=20, learning_rate=1e-2), few, CPU)
    assert (fitted(images).argmax(1).numpy() == data.y_test).mean() > 0.5

    torch.manual_seed(1)  # another state of the generators than before
    for _ in ("trained again", "from its checkpoint"):
        found = trained(plan_for(network, epochs=20, learning_rate=1e-2), few, tmp_path)
        assert torch.equal(found.network(images), fitted(images))
        assert not any(p.requires_grad for p in found.network.parameters())
    assert not list(tmp_path.glob("*/.*.tmp"))


def test_generators_of_the_caller_are_left_as_they_were(few: datasets.Dataset, tmp_path: Path) -> None:
    for _ in ("trained", "from its checkpoint"):
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)
        expected = random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)
        trained(plan_for(Projecting), few, tmp_path)
        assert (random.random(), np.random.random(), torch.rand(1)) == expected  # noqa: NPY002


def test_seed_decides_what_a_network_draws_by_itself(few: datasets.Dataset) -> None:
    outputs = [
        training.fit(plan_for(Dropping, seed=seed), few, CPU)(torch.from_numpy(few.x_test))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_weights_of_two_conv_are_those_of_plain_pytorch(few: datasets.Dataset) -> None:
    from bench.results.fingerprint import derive_seed

    few = dataclasses.replace(few, x_train=few.x_train[:160], y_train=few.y_train[:160])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, "weights"))
        expected = TwoConv((1, 8, 8), 10)
    order = torch.randperm(160, generator=torch.Generator().manual_seed(derive_seed(0, "order")))
    optimizer = torch.optim.Adam(expected.parameters(), 1e-3)
    for step, rows in enumerate(order.split(80)):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 + np.cos(np.pi * step / 2)) / 2
        optimizer.zero_grad()
        images, labels = torch.from_numpy(few.x_train)[rows], torch.from_numpy(few.y_train)[rows]
        nn.functional.cross_entropy(expected(images), labels).backward()
        optimizer.step()
    fitted = training.fit(plan_for(lambda: TwoConv((1, 8, 8), 10)), few, CPU)
    for got, wanted in zip(fitted.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(got, wanted.detach(), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (161, 80, [80, 81]),
        (162, 80, [80, 80, 2]),
        (160, 80, [80, 80]),
        (3, 1, [1, 1, 1]),
        (1, 80, [1]),
        (79, 80, [79]),
    ],
)
def test_a_last_batch_of_one_image_joins_the_one_before(count: int, size: int, expected: list[int]) -> None:
    assert training.batch_sizes(count, size) == expected


def test_training_that_diverges_keeps_nothing(few: datasets.Dataset, tmp_path: Path) -> None:
    def diverging(train: training.Fitting) -> nn.Module:
        return train(
            lambda model, x, y: nn.functional.cross_entropy(model(x), y) * torch.tensor(float("nan"))
        )

    def spoiling(train: training.Fitting) -> nn.Module:
        model = training.Standard()(train)
        model.network[1].weight[0, 0] = torch.inf
        return model

    for way, words in (
        (
            diverging,
            "loss is nan before the first step: the untrained network's outputs are not finite, or the loss of them isn't",
        ),
        (spoiling, "training diverged: 1.weight is not finite; lower training.learning_rate"),
    ):
        with pytest.raises(training.TrainingError) as error:
            trained(plan_for(Normalised, way=way), few, tmp_path)
        assert str(error.value) == words
    diverged = "^training diverged: loss is (nan|inf) after epoch [1-5]; lower training.learning_rate$"
    with pytest.raises(training.TrainingError, match=diverged):
        trained(plan_for(lambda: TwoConv((1, 8, 8), 10), learning_rate=1e15, epochs=5), few, tmp_path)
    assert not list(tmp_path.glob("*/*.safetensors"))
    assert not list(tmp_path.glob("*/.*.tmp"))


def test_infinities_that_a_network_was_built_with_are_its_own(few: datasets.Dataset, tmp_path: Path) -> None:
    class Masking(Normalised):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    trained(plan_for(Masking), few, tmp_path)


def test_way_that_returns_something_else_is_one_line(few: datasets.Dataset, tmp_path: Path) -> None:
    class Wrong:
        def __init__(self, returned: object):
            self.returned = returned

        def __call__(self, train: training.Fitting) -> nn.Module:
            return self.returned  # type: ignore[return-value]

    for returned, words in (
        (None, "way of training .*Wrong returned NoneType, expected the network"),
        (Dropping(), "way of training .*Wrong returned a Dropping with other weights"),
    ):
        with pytest.raises(training.TrainingError, match=words):
            trained(plan_for(Normalised, way=Wrong(returned)), few, tmp_path)
    assert not list(tmp_path.glob("*/*.safetensors"))


def test_state_that_is_not_a_tensor_is_one_line(few: datasets.Dataset, tmp_path: Path) -> None:
    class Extra(Normalised):
        def get_extra_state(self) -> dict[str, int]:
            return {"version": 1}

        def set_extra_state(self, state: object) -> None:
            pass

    with pytest.raises(training.TrainingError, match="_extra_state is a dict, and only tensors can be kept"):
        trained(plan_for(Extra), few, tmp_path)


def test_a_network_whose_checkpoint_cannot_be_written_is_used_and_nothing_is_left_of_it(
    few: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(state: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    found = trained(plan_for(Normalised), few, tmp_path / "kept")
    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert trained(plan_for(Normalised), few, tmp_path / "lost").sha256 == found.sha256
    assert "can't be written (No space left on device)" in caplog.text
    assert [path.suffix for path in (tmp_path / "lost").glob("*/*")] == [".lock"]


def test_checkpoint_of_another_network_under_this_name_is_refused(
    few: datasets.Dataset, tmp_path: Path
) -> None:
    key = trained(plan_for(Normalised), few, tmp_path).key
    with pytest.raises(files.Unreadable, match="of another network") as error:
        kept.found(key, Store(tmp_path), Tied, CPU)
    assert "\n" not in str(error.value)


def test_network_that_names_one_class_for_all_has_learnt_nothing(data: datasets.Dataset) -> None:
    for always in range(10):
        with pytest.raises(
            training.TrainingError, match="training didn't get above chance: .* lower"
        ) as error:
            kept.check_learnt(data.y_test == always, data.y_test)
        assert "\n" not in str(error.value)
    share = np.bincount(data.y_test).max() / 500
    assert f"always naming class {np.bincount(data.y_test).argmax()} gives {share:.1%}" in str(error.value)
    kept.check_learnt(data.y_test < 2, data.y_test)
    # a test set may be a single image, or of a single class
    kept.check_learnt(np.array([True]), data.y_test[:1])


def test_learning_rate_far_too_large_is_noticed(data: datasets.Dataset) -> None:
    fitted = training.fit(
        dataclasses.replace(plan(epochs=2), behind=Defended, learning_rate=1.0, batch_size=32), data, CPU
    )
    right = fitted(torch.from_numpy(data.x_test)).argmax(1).numpy() == data.y_test
    with pytest.raises(training.TrainingError, match="above chance"):
        kept.check_learnt(right, data.y_test)
