from collections.abc import Callable
from pathlib import Path

import foolbox as fb
import numpy as np
import pytest
import torch
from torch import nn

from bench import datasets
from bench.defended import Defended
from bench.training import fit as training
from bench.training.adversarial import AdversarialTraining

EPSILON = 0.15


@pytest.fixture(scope="module")
def data() -> datasets.Dataset:
    return datasets.load(datasets.digits, Path(), {}, None)


@pytest.fixture
def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 4))


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(1)
    x = torch.rand(9, 3, 2, 2)
    # some at the bounds
    x[0], x[1] = 0, 1
    return x


def test_one_step_is_the_fast_gradient_sign_method(linear: nn.Sequential, images: torch.Tensor) -> None:
    labels = np.arange(9) % 4
    x, w = images.flatten(1).numpy().astype(np.float64), linear[1].weight.detach().numpy()
    z = x @ w.T + linear[1].bias.detach().numpy()
    softmax = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    # of the cross-entropy of a softmax of a linear network
    gradient = (softmax - np.eye(4)[labels]) @ w
    expected = np.clip(x + 0.1 * np.sign(gradient), 0, 1)
    attacked = AdversarialTraining(0.1).attack(linear, images, torch.from_numpy(labels))
    assert attacked.flatten(1).numpy() == pytest.approx(expected, abs=1e-6)
    assert not attacked.requires_grad


def test_loss_is_of_both_halves_and_reaches_the_weights(linear: nn.Sequential, images: torch.Tensor) -> None:
    labels = torch.arange(9) % 4
    way = AdversarialTraining(0.1)
    halves = [
        nn.functional.cross_entropy(linear(x), labels).item()
        for x in (images, way.attack(linear, images, labels))
    ]
    loss = way.loss(linear, images, labels)
    assert loss.item() == pytest.approx(np.mean(halves), rel=1e-6)
    assert halves[1] > halves[0]
    assert all(p.grad is None for p in linear.parameters())
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in linear.parameters())


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_it_stays_in_the_ball_and_in_the_bounds(images: torch.Tensor, steps: int) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 4))
    labels = torch.arange(9) % 4
    attacked = AdversarialTraining(0.1, steps).attack(model, images, labels)
    assert (attacked - images).abs().max() <= 0.1 + 1e-6
    # it goes as far as it may
    assert (attacked - images).abs().max() >= 0.1 - 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1


def test_steps_climb_higher_than_a_single_one(images: torch.Tensor) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 4)
    )
    for layer in model[1::2]:
        layer.weight.data *= 6
    labels = torch.arange(9) % 4
    single, many = (
        nn.functional.cross_entropy(
            model(AdversarialTraining(0.4, steps).attack(model, images, labels)), labels
        )
        for steps in (1, 20)
    )
    assert many > single


def test_it_makes_digits_harder_to_attack(data: datasets.Dataset) -> None:
    def accuracies(way: training.Way) -> tuple[float, float]:
        plan = training.Plan(
            build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
            behind=Defended, way=way, epochs=20, batch_size=64, learning_rate=5e-3, seed=0, settings={},
        )  # fmt: skip
        model = fb.PyTorchModel(training.fit(plan, data, torch.device("cpu")), bounds=(0, 1), device="cpu")
        images, labels = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
        _, _, fooled = fb.attacks.FGSM()(model, images, labels, epsilons=EPSILON)
        return fb.utils.accuracy(model, images, labels), 1 - fooled.float().mean().item()

    plain, hard = accuracies(training.Standard()), accuracies(AdversarialTraining(EPSILON))
    assert min(plain[0], hard[0]) > 0.95
    assert hard[1] > plain[1] + 0.25


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AdversarialTraining(0), "expected epsilon over 0, up to 1, got 0"),
        (lambda: AdversarialTraining(-0.1), "got -0.1"),
        (lambda: AdversarialTraining(1.5), "got 1.5"),
        (lambda: AdversarialTraining(float("nan")), "got nan"),
        (lambda: AdversarialTraining(0.1, steps=0), "expected steps to be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
