from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import datasets
from bench.defended import Defended
from bench.training import fit as training
from bench.training.distillation import Distillation

TEMPERATURE = 10.0


class Kept:
    """A way of training that keeps every network that it asked for."""

    def __init__(self, way: training.Way):
        self.way = way
        self.networks: list[nn.Module] = []

    def __call__(self, train: training.Fitting) -> nn.Module:
        def kept(loss: training.Loss) -> nn.Module:
            self.networks.append(train(loss))
            return self.networks[-1]

        return self.way(kept)


def fit(way: training.Way, data: datasets.Dataset) -> nn.Module:
    plan = training.Plan(
        build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        behind=Defended, way=way, epochs=40, batch_size=64, learning_rate=1e-2, seed=0, settings={},
    )  # fmt: skip
    return training.fit(plan, data, torch.device("cpu"))


@pytest.fixture(scope="module")
def data() -> datasets.Dataset:
    return datasets.load(datasets.digits, Path(), {}, None)


@pytest.fixture(scope="module")
def distilled(data: datasets.Dataset) -> tuple[nn.Module, nn.Module]:
    """Teacher and student."""
    way = Kept(Distillation(TEMPERATURE))
    student = fit(way, data)
    assert len(way.networks) == 2
    assert student is way.networks[1].network
    return way.networks[0], student


def soft(model: nn.Module, images: np.ndarray, temperature: float) -> torch.Tensor:
    return functional.softmax(model(torch.from_numpy(images)) / temperature, 1)


def test_student_gives_the_teachers_soft_labels(
    distilled: tuple[nn.Module, nn.Module], data: datasets.Dataset
) -> None:
    teacher, student = distilled
    labels, given = (soft(model, data.x_train, TEMPERATURE) for model in (teacher, student))
    hard = functional.one_hot(torch.from_numpy(data.y_train), 10)
    distance = [(one - labels).abs().sum(1).mean() / 2 for one in (given, hard)]
    # total variation; on the labels that the teacher saw it would have become the teacher itself
    assert 0 < distance[0] < 0.03
    assert distance[0] < distance[1] / 2
    right = soft(student, data.x_test, 1).argmax(1) == torch.from_numpy(data.y_test)
    assert right.float().mean() > 0.93


def test_without_the_temperature_it_is_nearly_certain(
    distilled: tuple[nn.Module, nn.Module], data: datasets.Dataset
) -> None:
    plain, student = fit(training.Standard(), data), distilled[1]
    spread = [model(torch.from_numpy(data.x_test)).std(1).mean() for model in (plain, student)]
    assert spread[1] > 4 * spread[0]
    doubt = [1 - soft(model, data.x_test, 1).amax(1).double().mean() for model in (plain, student)]
    assert doubt[1] < doubt[0] / 2


def test_losses_are_of_the_tempered_softmax() -> None:
    losses: list[training.Loss] = []
    teacher = nn.Linear(3, 3, bias=False).requires_grad_(False)
    teacher.weight.data = torch.eye(3) * 2
    student = nn.Identity()

    def train(loss: training.Loss) -> nn.Module:
        losses.append(loss)
        return teacher if len(losses) == 1 else student

    assert Distillation(5)(train) is student
    x, y = torch.tensor([[3.0, 1.0, -2.0], [0.0, 4.0, 1.0]]), torch.tensor([0, 2])

    def tempered(z: torch.Tensor) -> np.ndarray:
        e = np.exp(z.double().numpy() / 5)
        return e / e.sum(1, keepdims=True)

    hard = -np.log(tempered(x)[[0, 1], y]).mean()
    assert losses[0](student, x, y).item() == pytest.approx(hard)
    imitation = -(tempered(2 * x) * np.log(tempered(x))).sum(1).mean()
    # the labels themselves no longer matter
    assert losses[1](student, x, y).item() == pytest.approx(imitation)
    assert losses[1](student, x, 1 - y).item() == pytest.approx(imitation)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_bad_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"expected a temperature over 0, got {temperature}"):
        Distillation(temperature)
