from itertools import pairwise

import eagerpy as ep
import foolbox as fb
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from scipy.stats import norm
from torch import nn

from bench.attacks import RandomizedPGDAttack, TopKMisclassification
from bench.attacks.randomized_pgd import Path, difference_of_logits_ratio

DUAL = {"linf": 1, "l2": 2}


def model_of(function, backend="torch", bounds=(-5, 5), **said):
    """A Foolbox model of a function of raw images and of the module that computes with them."""
    if backend == "jax":
        model = fb.JAXModel(lambda x: function(x, jnp), bounds)
    else:

        class Net(nn.Module):
            def forward(self, x):
                return function(x, torch)

        model = fb.PyTorchModel(Net().eval(), bounds, device="cpu")
    for name, value in said.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["margin", "cross_entropy", "dlr"])
def test_worst_margin_of_a_linear_model_is_reached(linear_model, tensor, backend, ball, loss):
    rng = np.random.default_rng(0)
    # JAX compiles every operation anew when one of several is done
    rows = 1 if backend == "jax" else 5
    w, x = np.zeros((3, 12)), rng.normal(size=(rows, 12))
    w[0] = rng.normal(size=12)
    # the third class is a long way behind
    b = np.array([np.abs(x @ w[0]).max() + 5, 0.0, -50.0])
    attack = RandomizedPGDAttack(norm=ball, loss=loss, steps=20, held_out_draws=1)
    epsilon = 0.3
    raw, _, success = attack(
        linear_model(w, b, backend, (-9, 9)),
        tensor(x, backend),
        tensor(np.zeros(rows, int), backend),
        epsilons=epsilon,
    )
    assert not np.asarray(success).any()
    worst = x @ w[0] + b[0] - epsilon * np.linalg.norm(w[0], DUAL[ball])
    np.testing.assert_allclose(np.asarray(raw) @ w[0] + b[0], worst, atol=1e-3)


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("ball", ["linf", "l2"])
@pytest.mark.parametrize("at_best", [1.0, 0.2, -1.0])
def test_share_fooled_of_a_noisy_linear_model_is_that_of_the_best_perturbation(
    tensor, backend, ball, at_best
):
    rng = np.random.default_rng(1)
    w, x, sigma, epsilon = rng.normal(size=8).astype(np.float32), rng.normal(size=(1, 8)), 0.4, 0.3
    deviation = sigma * np.linalg.norm(w)
    b = float(at_best * deviation + epsilon * np.linalg.norm(w, DUAL[ball]) - (x @ w).item())

    def noisy(z, m):
        noise, weights = (m.asarray(a) for a in (rng.normal(scale=sigma, size=z.shape).astype(np.float32), w))
        return m.stack([(z + noise) @ weights + b, 0 * z[:, 0]], -1)

    model, labels = model_of(noisy, backend), tensor([0], backend)
    steps, checkpoints = (30, 3) if backend == "jax" else (100, 15)
    attack = RandomizedPGDAttack(norm=ball, steps=steps, checkpoints=checkpoints)
    found = attack(model, tensor(x, backend), labels, epsilons=epsilon)[1]
    expected, draws = norm.cdf(-at_best), 20000
    assert abs(fooled_afresh(model, found, labels, draws) - expected) < 4 * (expected / draws) ** 0.5 + 0.005


def mixture(seed=0):
    """One of two linear classifiers a draw; one perturbation fools both, the mean margin's minimum only one."""
    rng = np.random.default_rng(seed)

    def two(z, m):
        a, b = z[:, 0], z[:, 1]
        first = m.asarray(rng.random(len(z)) < 0.5)
        margin = m.where(first, 0.9 - 2 * a - b, 10 * (0.9 + a - 2 * b))
        return m.stack([margin, 0 * a], -1)

    return two


def fooled_afresh(model, images, labels, draws=300):
    """The share of fresh draws that each image fools: here a draw is each image's own."""
    outputs = np.asarray(model(ep.astensor(images).tile((draws,) + (1,) * (images.ndim - 1)).raw))
    return (outputs.argmax(-1) != np.tile(np.asarray(labels), draws)).reshape(draws, -1).mean(axis=0)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_clipped_margin_fools_a_mixture_that_the_mean_margin_fools_half_of_the_time(tensor, backend):
    n = 1 if backend == "jax" else 10
    model = model_of(mixture(), backend)
    x, labels = tensor(np.zeros((n, 2)), backend), tensor(np.zeros(n, int), backend)
    steps = 25 if backend == "jax" else 100
    for confidence, expected in ((0.0, 1.0), (1e6, 0.5)):
        attack = RandomizedPGDAttack(
            steps=steps, confidence=confidence, gradient_draws=50, checkpoints=5 if backend == "jax" else 15
        )
        found = attack(model, x, labels, epsilons=1.0)[1]
        np.testing.assert_allclose(
            fooled_afresh(model, found, labels), expected, atol=0.13 if expected < 1 else 0
        )
    found = RandomizedPGDAttack(steps=steps)(model, x, labels, epsilons=1.0)[1]
    assert (fooled_afresh(model, found, labels) == 1).all()


def test_a_class_whose_gradient_the_margin_does_not_see_is_found_by_going_for_each():
    # the second class is nearest and doesn't move; the third needs all pixels
    def hidden(z, m):
        return m.stack([0 * z[:, 0], 0 * z[:, 0] - 0.1, z.mean(1) * 2 - 1], -1)

    model = model_of(hidden)
    x, labels = torch.zeros(6, 100), torch.zeros(6, dtype=torch.int64)
    for loss, found in (("margin", False), ("multi_targeted", True)):
        attack = RandomizedPGDAttack(loss=loss, restarts=2, steps=30, held_out_draws=1)
        success = attack(model, x, labels, epsilons=1.0)[2]
        assert (success == found).all()
    # the first restart goes for the likeliest
    assert not RandomizedPGDAttack(loss="multi_targeted", steps=30)(model, x, labels, epsilons=1.0)[2].any()


def test_the_likeliest_class_is_the_first_one_gone_for_and_then_it_starts_over():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.moved = []

        def forward(self, x):
            # each pixel is a class; the label's is far ahead
            if x.requires_grad:
                self.moved.append(x.detach().clone())
            return torch.cat([torch.full_like(x[:, :1], 50.0), x], dim=1)

    net = Net().eval()
    model = fb.PyTorchModel(net, (0, 1), device="cpu")
    x = torch.tensor([[0.5, 0.3, 0.4], [0.3, 0.4, 0.5]])
    RandomizedPGDAttack(loss="multi_targeted", restarts=4, steps=2, rel_stepsize=1e-3)(
        model, x, torch.zeros(2, dtype=torch.int64), epsilons=0.1
    )
    steps = torch.stack(net.moved).reshape(4, 2, 2, 3)
    pixels = (steps[:, 1] - steps[:, 0]).abs().argmax(-1)
    assert pixels.T.tolist() == [[0, 2, 1, 0], [2, 1, 0, 2]]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_difference_of_logits_ratio_is_the_published_one_at_any_scale(tensor, backend):
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(50, 6)), rng.integers(0, 6, 50)
    ordered, own = np.sort(z, axis=1), z[range(50), labels]
    others = np.where(np.eye(6)[labels] > 0, -np.inf, z).max(1)
    published = -(own - others) / (ordered[:, -1] - ordered[:, -3])
    targeted = -(others - own) / (ordered[:, -1] - (ordered[:, -3] + ordered[:, -4]) / 2)
    for scale in (1.0, 1e4, 1e-3):
        logits = ep.astensor(tensor(scale * z, backend))
        got = difference_of_logits_ratio(Misclassification(tensor(labels, backend)), logits).numpy()
        np.testing.assert_allclose(got, -published, rtol=2e-3, atol=1e-5)
        got = difference_of_logits_ratio(TargetedMisclassification(tensor(labels, backend)), logits).numpy()
        np.testing.assert_allclose(got, -targeted, rtol=2e-3, atol=1e-5)


def test_too_few_classes_for_the_ratio_are_refused(linear_model, tensor):
    zeros = tensor([0])
    for classes, criterion in ((2, Misclassification(zeros)), (3, TargetedMisclassification(zeros))):
        model = linear_model(np.eye(classes, 4), np.zeros(classes))
        with pytest.raises(
            ValueError, match=f"expected at least {classes + 1} classes for dlr, got {classes}"
        ):
            RandomizedPGDAttack(loss="dlr")(model, tensor(np.full((1, 4), 0.5)), criterion, epsilons=0.1)


def test_a_criterion_that_the_loss_is_not_meant_for_is_refused(digits_model):
    model, x, y = digits_model
    top, targeted = TopKMisclassification(y, 3), TargetedMisclassification(y)
    for loss, criterion in (("dlr", top), ("multi_targeted", top), ("multi_targeted", targeted)):
        with pytest.raises(ValueError, match=f"unsupported criterion {type(criterion).__name__}"):
            RandomizedPGDAttack(loss=loss)(model, x, criterion, epsilons=0.1)


@pytest.mark.parametrize("loss", ["margin", "cross_entropy", "dlr"])
def test_targeted_and_top_k_go_where_they_are_sent(digits_model, loss):
    model, x, y = digits_model
    wanted = (y + 3) % 10
    attack = RandomizedPGDAttack(loss=loss, steps=30, held_out_draws=1)
    _, clipped, success = attack(model, x, TargetedMisclassification(wanted), epsilons=0.3)
    assert success.float().mean() > 0.6
    assert torch.equal(model(clipped).argmax(-1) == wanted, success)
    if loss != "dlr":
        criterion = TopKMisclassification(y, 3)
        _, clipped, success = attack(model, x, criterion, epsilons=0.3)
        assert success.float().mean() > 0.5
        assert torch.equal(criterion(clipped, model(clipped)), success)


@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_on_a_deterministic_model_it_fools_what_foolbox_fools_at_as_many_steps(digits_model, ball):
    model, x, y = digits_model
    foolboxes, epsilons = {
        "linf": (fb.attacks.LinfProjectedGradientDescentAttack, [0.06, 0.1, 0.15]),
        "l2": (fb.attacks.L2ProjectedGradientDescentAttack, [0.3, 0.5, 0.8]),
    }[ball]
    torch.manual_seed(0)
    theirs = foolboxes(steps=40)(model, x, y, epsilons=epsilons)[2].sum(-1)
    ours = RandomizedPGDAttack(norm=ball, steps=40, held_out_draws=1)(model, x, y, epsilons=epsilons)[2].sum(
        -1
    )
    assert (ours >= theirs).all()
    assert 0 < ours[0] < ours[2]


def test_more_draws_are_fooled_than_by_foolbox_at_as_many_gradients(random_digits_model):
    model, x, y = random_digits_model
    torch.manual_seed(0)
    theirs = fb.attacks.LinfProjectedGradientDescentAttack(steps=40)(model, x, y, epsilons=0.08)[1]
    ours = RandomizedPGDAttack(steps=40, checkpoints=5)(model, x, y, epsilons=0.08)[1]
    assert fooled_afresh(model, ours, y, 100).mean() > fooled_afresh(model, theirs, y, 100).mean() + 0.02


def test_a_network_so_confident_that_its_cross_entropy_underflows_hides_nothing(digits_model):
    model, x, y = digits_model
    confident = model_of(lambda z, m: 1e4 * model(z), bounds=(0, 1))
    for loss in ("cross_entropy", "margin"):
        attack = RandomizedPGDAttack(loss=loss, steps=30, held_out_draws=1)
        plain = attack(model, x, y, epsilons=0.1)[2].sum()
        assert attack(confident, x, y, epsilons=0.1)[2].sum() >= plain - 1
        assert plain > 3


class Recorded(nn.Module):
    """Never fooled; keeps the size of each pass, and whether it was for a gradient."""

    def __init__(self):
        super().__init__()
        self.passed = []

    def forward(self, x):
        self.passed.append((len(x), x.requires_grad))
        return torch.stack([5 + x.flatten(1).sum(1), 0 * x.flatten(1)[:, 0]], dim=1)


@pytest.mark.parametrize("shared", [False, True])
def test_held_out_draws_are_none_of_the_gradients_and_each_are_as_many_as_asked_for(shared):
    net = Recorded().eval()
    model = fb.PyTorchModel(net, (0, 1), device="cpu")
    model.shared_draws = shared
    attack = RandomizedPGDAttack(steps=6, gradient_draws=3, held_out_draws=5, checkpoints=4)
    attack(model, torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.int64), epsilons=0.1)
    look, gradient = ([(2, False)] * 5, [(2, True)] * 3) if shared else ([(10, False)], [(6, True)])
    # looks at the iterates after 0, 2, 4 and 6 steps; nothing is fooled, so that nothing is claimed
    assert net.passed == 3 * (look + gradient * 2) + look


def test_of_a_deterministic_model_nothing_is_passed_twice():
    net = Recorded().eval()
    model = fb.PyTorchModel(net, (0, 1), device="cpu")
    RandomizedPGDAttack(steps=6, held_out_draws=1)(
        model, torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.int64), epsilons=0.1
    )
    assert net.passed == [(2, True)] * 6 + [(2, False)]


def test_an_image_that_is_fooled_leaves_and_the_others_go_on(digits_model):
    model, x, y = digits_model
    y[:5] = (y[:5] + 1) % 10
    seen = []
    attack = RandomizedPGDAttack(steps=20, checkpoints=5, restarts=2)
    _, clipped, _ = attack(model, x, y, epsilons=0.1, trace=lambda *said: seen.append(said))
    assert torch.equal(clipped[:5], x[:5])
    steps = [said[0] for said in seen]
    assert steps == [0, 5, 10, 15, 20, 20, 25, 30, 35, 40]
    for earlier, later in pairwise(seen):
        assert set(later[1]) == set(earlier[1][earlier[3] < 1])
        assert len(later[2]) == len(later[3]) == len(later[4]) == len(later[1])
    assert seen[0][3][:5].tolist() == [1] * 5
    assert (seen[0][2] == np.maximum(seen[0][4], 0)).all()
    # what is descended falls
    assert seen[4][4].mean() < seen[0][4][seen[4][1]].mean()


def test_it_goes_on_from_starting_points_and_from_the_image_without():
    # a step at 0.5 that no gradient tells of
    model = model_of(
        lambda z, m: m.stack([1.0 - 2 * (z[:, 0] > 0.5), 0 * z[:, 0]], -1) + 0 * z[:, :1], bounds=(0, 1)
    )
    x, labels = torch.full((4, 2), 0.4), torch.zeros(4, dtype=torch.int64)
    attack = RandomizedPGDAttack(steps=3)
    raw, _, success = attack(model, x, labels, epsilons=0.2)
    assert torch.equal(raw, x)
    assert not success.any()
    point = x.clone()
    point[1:, 0] = 0.9
    for points in (point, torch.stack([x, point])):
        raw, _, success = attack(model, x, labels, epsilons=0.2, starting_points=points)
        assert success.tolist() == [False, True, True, True]
        torch.testing.assert_close(raw[1:, 0], torch.full((3,), 0.6))
    # what isn't given a point starts anywhere
    np.random.seed(0)  # noqa: NPY002
    assert RandomizedPGDAttack(steps=1, restarts=12)(model, x, labels, epsilons=0.2)[2].all()


def test_step_sizes_halve_where_nothing_is_gained_and_go_on_from_the_best():
    # the minimum is off the grid of the first step size
    model = model_of(lambda z, m: m.stack([1 + (z - 0.0137).abs().sum(1), 0 * z[:, 0]], -1), bounds=(-1, 1))
    x, labels = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)
    found = []
    for momenta in ((0.0,), (0.0, 0.9, 0.99)):
        attack = RandomizedPGDAttack(steps=150, held_out_draws=1, momenta=momenta)
        found.append((attack(model, x, labels, epsilons=0.1)[0] - 0.0137).abs().max().item())
    assert max(found) < 1e-3


def test_momentum_is_the_mean_of_velocities():
    # noise turns single gradients round; a velocity adds them up
    rng = np.random.default_rng(0)

    def noisy(z, m):
        slope = torch.as_tensor(0.2 + rng.normal(size=z.shape), dtype=torch.float32)
        return torch.stack([50 + (z * slope).sum(1), 0 * z[:, 0]], -1)

    x, labels = torch.zeros(20, 30), torch.zeros(20, dtype=torch.int64)
    ends = {}
    for momenta in ((0.0,), (0.0, 0.9), (0.0, 0.9, 0.99)):
        attack = RandomizedPGDAttack(
            steps=60, rel_stepsize=0.1, momenta=momenta, held_out_draws=400, checkpoints=2
        )
        ends[momenta] = attack(model_of(noisy), x, labels, epsilons=1.0)[1].mean().item()
    assert ends[(0.0, 0.9, 0.99)] < ends[(0.0, 0.9)] < ends[(0.0,)] < -0.3


def test_chance_does_not_halve_the_step(monkeypatch):
    # every look says the same, and more or less by luck
    rng, halved, halve = np.random.default_rng(0), [], Path.halve

    def watched(path):
        halved.append(~path.improved)
        halve(path)

    def lucky(z, m):
        return torch.stack([5 + torch.as_tensor(rng.normal(size=len(z))).float() - z.sum(1), 0 * z[:, 0]], -1)

    monkeypatch.setattr(Path, "halve", watched)
    RandomizedPGDAttack(steps=60)(
        model_of(lucky), torch.zeros(40, 3), torch.zeros(40, dtype=torch.int64), epsilons=1e-6
    )
    # without regard to luck, four looks of five
    assert 0 < np.mean(halved) < 0.4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "hinge"), ("restarts", 0), ("rel_stepsize", 0.0), ("momenta", ()), ("momenta", (0.0, 1.0)),
        ("gradient_draws", 0),
    ],
)  # fmt: skip
def test_parameter_outside_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be "):
        RandomizedPGDAttack(**{name: value})
