"""Several draws for one: which gradient an attack of Foolbox's follows, what any other sees, and how often it passes."""

from collections.abc import Callable
from typing import Any

import eagerpy as ep
import foolbox as fb
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from foolbox.criteria import TargetedMisclassification
from torch import Tensor, nn
from torch.nn import functional as F

from bench.attacks.eot import averaged

CLASSES, PIXELS, IMAGES = 3, 4, 2
WEIGHTS = np.random.default_rng(0).normal(size=(64, CLASSES, PIXELS)).astype(np.float32)
X = np.random.default_rng(1).uniform(0.4, 0.6, size=(IMAGES, 1, 2, 2)).astype(np.float32)
Y = np.array([0, 2])


class Drawn(fb.models.Model):
    """Linear in the image, with the next of the weights for each row, or for each pass where draws are shared."""

    def __init__(self, shared: bool = False, whole: bool = False):
        self.shared_draws, self.whole_batches = shared, whole
        self.made = 0
        self.rows: list[int] = []

    @property
    def bounds(self) -> Any:
        return fb.types.Bounds(0, 1)

    def __call__(self, inputs: Any) -> Any:
        x, restore = ep.astensor_(inputs)
        self.rows.append(len(x))
        apart = not (self.shared_draws or self.whole_batches)
        taken = np.arange(len(x)) if apart else np.zeros(len(x), int)
        weights = ep.from_numpy(x, WEIGHTS[self.made + taken])
        self.made += len(x) if apart else 1
        return restore((weights * x.reshape((len(x), 1, PIXELS))).sum(axis=-1))


def gradients(draws: int, shared: bool, labels: np.ndarray = Y) -> np.ndarray:
    """Of the cross-entropy, by hand: for each draw and image W' (softmax(W x) - one-hot)."""
    found = np.zeros((draws, IMAGES, PIXELS))
    for k in range(draws):
        for i in range(IMAGES):
            w = WEIGHTS[k if shared else k * IMAGES + i].astype(float)
            z = np.exp(w @ X[i].ravel())
            found[k, i] = w.T @ (z / z.sum() - np.eye(CLASSES)[labels[i]])
    return found.reshape(draws, *X.shape)


class Spy(fb.attacks.L2ProjectedGradientDescentAttack):
    """Keeps its gradients."""

    def normalize(self, gradients: ep.Tensor, **kwargs: Any) -> ep.Tensor:
        self.seen = [*getattr(self, "seen", []), gradients.numpy()]
        return super().normalize(gradients, **kwargs)


def tensors(backend: str) -> tuple[Any, Any]:
    if backend == "jax":
        return jnp.asarray(X), jnp.asarray(Y)
    return torch.from_numpy(X.copy()), torch.from_numpy(Y.copy())


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("how", ["own", "shared", "whole"])
def test_the_gradient_is_the_mean_of_the_gradients_of_four_draws(how: str, backend: str) -> None:
    model = Drawn(shared=how == "shared", whole=how == "whole")
    attack = averaged(Spy(steps=1, random_start=False), 4)
    x, y = tensors(backend)
    attack(model, x, y, epsilons=0.1)
    expected = gradients(4, shared=how != "own")
    np.testing.assert_allclose(attack.seen[0], expected.mean(axis=0), atol=1e-6)
    # and none of the four
    assert min(np.abs(attack.seen[0] - one).max() for one in expected) > 0.01
    # one pass, where a row has a draw of its own; then the attack's look at its result, which is one draw
    assert model.rows == ([4 * IMAGES, IMAGES] if how == "own" else [IMAGES] * 5)


def test_a_targeted_attack_goes_to_its_targets() -> None:
    attack = averaged(Spy(steps=1, random_start=False, abs_stepsize=0.01), 4)
    x, _ = tensors("torch")
    goals = np.array([1, 0])
    moved, _, _ = attack(Drawn(), x, TargetedMisclassification(torch.from_numpy(goals)), epsilons=0.1)
    mean = gradients(4, False, goals).mean(axis=0)
    norms = np.linalg.norm(mean.reshape(IMAGES, -1), axis=1)[:, None, None, None]
    np.testing.assert_allclose(moved.numpy(), X - 0.01 * mean / norms, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: fb.attacks.LinfPGD(steps=3),
        lambda: fb.attacks.LinfBasicIterativeAttack(steps=3),
        lambda: fb.attacks.L1PGD(steps=3),
        lambda: fb.attacks.LinfAdamPGD(steps=3),
        lambda: fb.attacks.LinfMomentumIterativeFastGradientMethod(steps=3),
        lambda: fb.attacks.FGSM(),
    ],
)
def test_each_step_makes_so_many_passes_forward_and_backward(make: Callable[[], Any]) -> None:
    net, forward, backward = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES)).eval(), [], []

    def passed(module: nn.Module, inputs: Any, output: Tensor) -> None:
        forward.append(len(output))
        if output.requires_grad:
            output.register_hook(lambda gradient: backward.append(len(gradient)))

    net.register_forward_hook(passed)
    net.requires_grad_(False)
    attack = make()
    x, y = tensors("torch")
    averaged(attack, 5)(fb.PyTorchModel(net, (0, 1), device="cpu"), x, y, epsilons=0.1)
    assert sum(backward) == 5 * attack.steps * IMAGES
    assert sum(forward) == 5 * attack.steps * IMAGES + IMAGES
    forward.clear()
    # which is left as it was
    attack(fb.PyTorchModel(net, (0, 1), device="cpu"), x, y, epsilons=0.1)
    assert sum(forward) == attack.steps * IMAGES + IMAGES


class Looker:
    """An attack of nobody's kind: keeps what it sees."""

    distance = fb.distances.l2
    steps = 7

    def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any, **kwargs: Any) -> Any:
        assert not kwargs
        self.model, self.seen = model, model(inputs)
        return inputs, inputs, criterion(inputs, self.seen)


@pytest.mark.parametrize("how", ["own", "shared", "whole"])
def test_any_other_attack_sees_the_mean_of_the_log_probabilities(how: str) -> None:
    looker = Looker()
    model = Drawn(shared=how == "shared", whole=how == "whole")
    x, y = tensors("torch")
    attack = averaged(looker, 3)
    # a word that this project's own attacks get is none of theirs
    attack(model, x, fb.criteria.Misclassification(y), epsilons=0.1, progress=print)
    draws = Drawn(shared=how == "shared", whole=how == "whole")
    logits = torch.stack([draws(x) for _ in range(3)])
    expected = F.log_softmax(logits, dim=-1).mean(dim=0)
    torch.testing.assert_close(looker.seen, expected)
    assert model.rows == ([3 * IMAGES] if how == "own" else [IMAGES] * 3)
    # what the model, and the attack, say of themselves
    assert (looker.model.shared_draws, looker.model.whole_batches) == (how == "shared", how == "whole")
    assert attack.steps == 7
    # a distance that Foolbox knows nothing of is none
    assert attack.distance is None
    assert averaged(fb.attacks.L2CarliniWagnerAttack(), 3).distance == fb.distances.l2


def test_one_draw_changes_nothing_and_less_is_refused() -> None:
    attack = fb.attacks.LinfPGD()
    assert averaged(attack, 1) is attack
    with pytest.raises(ValueError, match="expected draws to be at least 1, got 0"):
        averaged(attack, 0)


def test_a_start_that_another_draw_loses_is_said_as_foolbox_says_it_elsewhere() -> None:
    x, y = tensors("torch")

    def asserts(*arguments: Any, **named: Any) -> Any:
        raise AssertionError

    class OfFoolbox(Looker):
        __call__ = asserts

    OfFoolbox.__module__ = "foolbox.attacks.boundary_attack"
    with pytest.raises(ValueError, match="^starting_points are not adversarial$"):
        averaged(OfFoolbox(), 3)(Drawn(), x, y, epsilons=0.1)
    # of somebody else's it is an error
    with pytest.raises(AssertionError):
        averaged(asserts, 3)(Drawn(), x, y, epsilons=0.1)
