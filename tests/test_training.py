import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import datasets, evaluation, schemes, training
from bench.models import TwoConv

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> datasets.Dataset:
    return datasets.load(datasets.digits, Path(), {}, None)


def plan(epochs: int = 1, seed: int = 0, rate: float = 0.5) -> training.Plan:
    settings = {"epochs": epochs, "seed": seed, "rate": rate}
    return training.Plan(
        build=lambda: TwoConv((1, 8, 8), 10),
        rates={"fc": (schemes.Dropout(), rate)}, way=training.Plain(),
        epochs=epochs, batch_size=128, learning_rate=1e-3, seed=seed, settings=settings,
    )  # fmt: skip


def test_digits_are_learnt(data: datasets.Dataset, tmp_path: Path) -> None:
    network = training.trained(plan(epochs=40), data, tmp_path, CPU)
    right = evaluation.correct(
        network.model, torch.from_numpy(data.x_test), torch.from_numpy(data.y_test), 500
    )
    assert right.mean() >= 0.97


def test_training_is_done_once_and_repeatable(data: datasets.Dataset, tmp_path: Path) -> None:
    first = training.trained(plan(), data, tmp_path / "a", CPU)
    stamp = (tmp_path / "a" / f"{first.key}.safetensors").stat().st_mtime_ns
    assert training.trained(plan(), data, tmp_path / "a", CPU).sha256 == first.sha256
    assert (tmp_path / "a" / f"{first.key}.safetensors").stat().st_mtime_ns == stamp
    assert training.trained(plan(), data, tmp_path / "b", CPU).sha256 == first.sha256
    assert training.trained(plan(seed=1), data, tmp_path / "b", CPU).sha256 != first.sha256
    assert training.trained(plan(rate=0.1), data, tmp_path / "b", CPU).sha256 != first.sha256


def test_two_that_ask_at_once_train_once(
    data: datasets.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a: (fitted.append(1), fit(*a))[1])
    hashes: list[str] = []
    threads = [
        threading.Thread(target=lambda: hashes.append(training.trained(plan(), data, tmp_path, CPU).sha256))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fitted) == 1
    assert hashes[0] == hashes[1]


def test_network_comes_back_frozen_and_silent(data: datasets.Dataset, tmp_path: Path) -> None:
    model = training.trained(plan(), data, tmp_path, CPU).model
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    images = torch.from_numpy(data.x_test[:50])
    assert torch.equal(model(images), model(images))


def test_damaged_checkpoint_is_refused_by_name(data: datasets.Dataset, tmp_path: Path) -> None:
    network = training.trained(plan(), data, tmp_path, CPU)
    path = tmp_path / f"{network.key}.safetensors"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-10] ^= 64
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b""):
        path.write_bytes(damaged)
        with pytest.raises(training.CheckpointError, match="delete it") as refused:
            training.trained(plan(), data, tmp_path, CPU)
        assert path.name in str(refused.value)
        assert "\n" not in str(refused.value)
    other = training.trained(plan(seed=1), data, tmp_path, CPU)
    (tmp_path / f"{other.key}.safetensors").rename(path)
    with pytest.raises(training.CheckpointError, match="other settings"):
        training.trained(plan(), data, tmp_path, CPU)


def test_masks_act_in_training(data: datasets.Dataset) -> None:
    seen: list[torch.Tensor] = []

    class Spy:
        def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
            dropped = schemes.Dropout()(x, rate, generator)
            seen.append((dropped == 0).float().mean())
            return dropped

    small = dataclasses.replace(data, x_train=data.x_train[:256], y_train=data.y_train[:256])
    training.fit(dataclasses.replace(plan(), rates={"input": (Spy(), 0.9)}), small, CPU)
    assert len(seen) == 2
    assert np.mean(seen) > 0.9


def test_a_network_leaves_training_without_its_dropout(data: datasets.Dataset) -> None:
    """A teacher gives its labels before it is ever saved and loaded."""
    model = training.fit(
        plan(), dataclasses.replace(data, x_train=data.x_train[:256], y_train=data.y_train[:256]), CPU
    )
    images = torch.from_numpy(data.x_test[:50])
    assert torch.equal(model(images), model(images))
