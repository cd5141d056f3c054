"""DeepFool against closed forms, SciPy and Foolbox."""

from itertools import combinations

import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from scipy.optimize import minimize

from bench.attacks import DeepFoolAttack, TopKMisclassification

ROOMY = (-100.0, 100.0)


def linear_problem(classes, pixels=12, n=6):
    rng = np.random.default_rng(classes)
    weights, bias = rng.normal(size=(classes, pixels)), rng.normal(size=classes)
    images = rng.normal(size=(n, 1, 3, pixels // 3)).astype(np.float32)
    logits = images.reshape(n, -1) @ weights.T + bias
    return weights, bias, images, logits, logits.argmax(axis=1)


def shortest(ahead, normals):
    """The length of the smallest r with ``ahead + normals r >= 0``."""
    constraint = {"type": "ineq", "fun": lambda r: ahead + normals @ r, "jac": lambda r: normals}
    start = np.linalg.lstsq(normals, -ahead, rcond=None)[0]
    found = minimize(lambda r: r @ r / 2, start, jac=lambda r: r, constraints=constraint, tol=1e-10)
    assert found.success
    return np.linalg.norm(found.x)


def lengths(images, perturbed):
    difference = np.asarray(perturbed) - np.asarray(images)
    return np.linalg.norm(difference.reshape(len(images), -1), axis=1)


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("overshoot", [0.0, 0.02])
def test_untargeted_distance_is_the_one_to_the_nearest_boundary(linear_model, tensor, backend, overshoot):
    weights, bias, images, logits, labels = linear_problem(classes=5)
    expected = [
        min((f[y] - f[j]) / np.linalg.norm(weights[y] - weights[j]) for j in range(5) if j != y)
        for f, y in zip(logits, labels, strict=True)
    ]
    model = linear_model(weights, bias, backend, ROOMY)
    xp, _, success = DeepFoolAttack(overshoot=overshoot)(
        model, tensor(images, backend), tensor(labels, backend), epsilons=None
    )
    assert success.all()
    np.testing.assert_allclose(
        lengths(images, xp), (1 + overshoot) * np.array(expected), rtol=1e-3, atol=2e-4
    )


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("k", [2, 3])
def test_topk_distance_is_the_one_to_the_nearest_of_all_regions(linear_model, tensor, backend, k):
    weights, bias, images, logits, labels = linear_problem(classes=6)
    expected = [
        min(
            shortest(f[list(chosen)] - f[y], weights[list(chosen)] - weights[y])
            for chosen in combinations([j for j in range(6) if j != y], k)
        )
        for f, y in zip(logits, labels, strict=True)
    ]
    model = linear_model(weights, bias, backend, ROOMY)
    criterion = TopKMisclassification(tensor(labels, backend), k)
    xp, _, success = DeepFoolAttack(overshoot=0.0, spare=None)(
        model, tensor(images, backend), criterion, epsilons=None
    )
    assert success.all()
    np.testing.assert_allclose(lengths(images, xp), expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_targeted_distance_is_the_one_to_the_target_region(linear_model, tensor, backend):
    weights, bias, images, logits, _ = linear_problem(classes=6)
    targets = logits.argmin(axis=1)
    expected = [
        shortest(np.delete(f[t] - f, t), np.delete(weights[t] - weights, t, axis=0))
        for f, t in zip(logits, targets, strict=True)
    ]
    model = linear_model(weights, bias, backend, ROOMY)
    criterion = TargetedMisclassification(tensor(targets, backend))
    xp, _, success = DeepFoolAttack(overshoot=0.0)(model, tensor(images, backend), criterion, epsilons=None)
    assert success.all()
    np.testing.assert_allclose(lengths(images, xp), expected, rtol=1e-3, atol=2e-4)


def test_a_target_passes_classes_that_were_no_candidates_at_first(linear_model, tensor):
    weights, bias, images, logits, _ = linear_problem(classes=20)
    model, targets = linear_model(weights, bias, bounds=ROOMY), logits.argmin(axis=1)
    criterion = TargetedMisclassification(tensor(targets))
    _, _, success = DeepFoolAttack(candidates=3)(model, tensor(images), criterion, epsilons=None)
    assert success.all()


def test_only_candidates_are_considered(linear_model, tensor):
    # class 1 is the more probable one, class 2 the nearer one
    weights, bias = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 10.0]]), np.array([2.0, 1.0, 0.0])
    model, images, labels = (
        linear_model(weights, bias, bounds=ROOMY),
        np.zeros((1, 1, 1, 2)),
        np.zeros(1, int),
    )
    for candidates, expected in ((2, 10.0), (3, 0.2)):
        attack = DeepFoolAttack(candidates=candidates, overshoot=0.0)
        xp, _, success = attack(model, tensor(images), tensor(labels), epsilons=None)
        assert success.all()
        np.testing.assert_allclose(lengths(images, xp), expected, rtol=2e-3)


class Passes(torch.nn.Module):
    """Keeps what went through a network."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.seen = []
        self.backward = 0

    def forward(self, x):
        logits = self.net(x)
        self.seen.append((x.detach().clone(), logits.detach().clone()))
        if logits.requires_grad:
            logits.register_hook(self.count)
        return logits

    def count(self, grad):
        self.backward += len(grad)


def spied(model):
    spy = Passes(model._model).eval()
    return fb.PyTorchModel(spy, bounds=model.bounds, device="cpu"), spy


def test_is_as_good_as_foolbox_with_less_than_half_the_passes(digits_model):
    model, images, labels = digits_model
    theirs_model, theirs = spied(model)
    ours_model, ours = spied(model)
    foolbox, _, foolbox_success = fb.attacks.L2DeepFoolAttack()(theirs_model, images, labels, epsilons=None)
    xp, _, success = DeepFoolAttack()(ours_model, images, labels, epsilons=None)
    assert success.float().mean() >= foolbox_success.float().mean()
    assert np.median(lengths(images, xp)) <= 1.001 * np.median(lengths(images, foolbox))
    assert ours.backward < theirs.backward / 2
    assert sum(len(x) for x, _ in ours.seen) < sum(len(x) for x, _ in theirs.seen) / 2


@pytest.mark.parametrize("k", [3, 5])
def test_topk_gets_past_classes_that_passed_already(digits_model, k):
    model, images, labels = digits_model
    criterion = TopKMisclassification(labels, k)
    xp, _, success = DeepFoolAttack()(model, images, criterion, epsilons=None)
    assert success.all()
    assert criterion(xp, model(xp)).all()
    thorough, _, _ = DeepFoolAttack(spare=None)(model, images, criterion, epsilons=None)
    assert np.median(lengths(images, xp)) <= 1.05 * np.median(lengths(images, thorough))


def test_targeted_ends_in_the_target_class(digits_model):
    model, images, labels = digits_model
    targets = (labels + 1) % 10
    xp, _, success = DeepFoolAttack()(model, images, TargetedMisclassification(targets), epsilons=None)
    assert success.all()
    assert (model(xp).argmax(-1) == targets).all()


def test_images_do_not_depend_on_their_batch(digits_model):
    model, images, labels = digits_model
    together, _, _ = DeepFoolAttack()(model, images, labels, epsilons=None)
    alone = [
        DeepFoolAttack()(model, images[i : i + 1], labels[i : i + 1], epsilons=None)[0] for i in range(8)
    ]
    torch.testing.assert_close(torch.cat(alone), together[:8], rtol=0, atol=1e-4)


def test_results_stay_inside_the_bounds_and_are_float32(digits_model):
    model, images, labels = digits_model
    xp, _, _ = DeepFoolAttack(overshoot=0.5)(model, images, TopKMisclassification(labels, 3), epsilons=None)
    assert xp.dtype == torch.float32
    assert xp.min() == 0
    assert xp.max() <= 1


def test_the_class_to_leave_is_the_label_not_the_prediction(digits_model):
    model, images, labels = digits_model
    wrong = labels.clone()
    wrong[:5] = (labels[:5] + 1) % 10
    xp, _, success = DeepFoolAttack()(model, images, wrong, epsilons=None)
    assert success.all()
    assert torch.equal(xp[:5], images[:5])
    assert (lengths(images, xp)[5:] > 0).all()


def test_failed_images_come_back_as_they_were(digits_model):
    model, images, labels = digits_model
    xp, _, success = DeepFoolAttack(steps=1)(model, images, TopKMisclassification(labels, 3), epsilons=None)
    assert success.any()
    assert not success.all()
    assert torch.equal(xp[~success], images[~success])
    assert model(xp[success]).isfinite().all()


@pytest.mark.parametrize(("backend", "value"), [("torch", 0.0), ("torch", np.nan), ("jax", np.nan)])
def test_a_model_without_a_way_out_fails_cleanly(linear_model, tensor, backend, value):
    model = linear_model(np.full((4, 12), value), np.array([1.0, 0.0, 0.0, 0.0]), backend)
    images, labels = np.random.default_rng(0).random((3, 1, 3, 4)).astype(np.float32), np.zeros(3, int)
    for criterion in (
        Misclassification(tensor(labels, backend)),
        TopKMisclassification(tensor(labels, backend), 2),
        TargetedMisclassification(tensor(labels + 1, backend)),
    ):
        xp, _, success = DeepFoolAttack()(model, tensor(images, backend), criterion, epsilons=None)
        assert not success.any()
        assert np.array_equal(np.asarray(xp), images)


class OneBoundary(torch.nn.Module):
    """Class 1 can pass class 0; 2 has the same gradient, 3 has no logit and 4 an infinite gradient."""

    def forward(self, x):
        a, b = x[:, 0, 0, 0], x[:, 0, 0, 1]
        return torch.stack([a + 5, b, a + 4, a - torch.inf, a * 1e30 * 1e30 - 1], dim=1)


def test_classes_without_a_boundary_do_not_spoil_the_others():
    model = fb.PyTorchModel(OneBoundary().eval(), bounds=ROOMY, device="cpu")
    images = torch.zeros(1, 1, 1, 2)
    xp, _, success = DeepFoolAttack(overshoot=0.0, spare=None)(
        model, images, torch.tensor([0]), epsilons=None
    )
    assert success.all()
    np.testing.assert_allclose(lengths(images, xp), 5 / np.sqrt(2), rtol=1e-3)


def test_a_claim_on_a_random_model_is_a_draw_that_held_and_ends_the_search(random_digits_model):
    model, images, labels = random_digits_model
    spied_model, spy = spied(model)
    xp, _, success = DeepFoolAttack()(spied_model, images, labels, epsilons=None)
    assert success.all()
    for i in range(len(images)):
        draws = [logits[(x == xp[i]).all(-1).all(-1).all(-1)] for x, logits in spy.seen]
        last = torch.cat(draws)[-1]
        assert last.argmax() != labels[i]


def test_more_draws_to_accept_make_claims_that_last(random_digits_model):
    model, images, labels = random_digits_model
    criterion = Misclassification(labels)
    lasting = []
    for draws in (1, 8):
        xp, _, success = DeepFoolAttack(accept_draws=draws)(model, images, criterion, epsilons=None)
        assert success.float().mean() > 0.9
        fresh = torch.stack([criterion(xp, model(xp)).float() for _ in range(20)]).mean(0)
        lasting.append(fresh[success].mean().item())
    assert lasting[1] > 0.8
    assert lasting[1] > lasting[0] + 0.15


def test_averaging_over_draws_does_not_change_a_model_that_stands_still(digits_model):
    model, images, labels = digits_model
    once, _, _ = DeepFoolAttack()(model, images, labels, epsilons=None)
    averaged, _, success = DeepFoolAttack(gradient_draws=3, accept_draws=3)(
        model, images, labels, epsilons=None
    )
    assert success.all()
    torch.testing.assert_close(averaged, once, rtol=0, atol=1e-4)


def test_progress_counts_up_to_all(digits_model):
    model, images, labels = digits_model
    seen = []
    DeepFoolAttack()(
        model, images, labels, epsilons=None, progress=lambda done, total: seen.append((done, total))
    )
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (40, 40)
    assert len(set(done)) > 2


class AnotherCriterion(fb.criteria.Criterion):
    def __repr__(self):
        return "AnotherCriterion()"

    def __call__(self, perturbed, outputs):
        raise AssertionError("not reached")


def test_other_criteria_are_refused(digits_model):
    model, images, _ = digits_model
    with pytest.raises(ValueError, match="unsupported criterion"):
        DeepFoolAttack()(model, images, AnotherCriterion(), epsilons=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("candidates", 1), ("spare", -1), ("overshoot", -0.1), ("overshoot", float("nan"))],
)
def test_parameters_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*at least .* got {value}"):
        DeepFoolAttack(**{name: value})
