"""The saliency map attack against brute force over all pairs, and its budget of pixels."""

from itertools import combinations

import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification

from bench.attacks import SaliencyMapAttack, TopKMisclassification


class Passes(torch.nn.Module):
    """Keeps what went through a network, and counts the images that went back."""

    def __init__(self, net):
        super().__init__()
        self.net, self.images, self.logits, self.backward = net, [], [], 0

    def forward(self, x):
        logits = self.net(x)
        self.images.append(x.detach().clone())
        self.logits.append(logits.detach().clone())
        if logits.requires_grad:
            logits.register_hook(self.count)
        return logits

    def count(self, grad):
        self.backward += len(grad)


def spied(model):
    spy = Passes(model._model).eval()
    return fb.PyTorchModel(spy, bounds=model.bounds, device="cpu"), spy


def changes(images, perturbed):
    difference = np.asarray(perturbed) != np.asarray(images)
    return difference.reshape(len(images), -1).sum(axis=1)


def best_of_all_pairs(target, others, movable):
    """The published score, pair by pair."""
    scores = {
        (p, q): -(target[p] + target[q]) * (others[p] + others[q])
        for p, q in combinations(np.flatnonzero(movable), 2)
        if target[p] + target[q] > 0 and others[p] + others[q] < 0
    }
    return max(scores, key=scores.get)


@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_a_step_takes_the_best_of_all_pairs(digits_model, theta):
    model, images, labels = digits_model
    images, targets = images[:10], (labels[:10] + 1) % 10
    spied_model, spy = spied(model)
    SaliencyMapAttack(theta=theta)(spied_model, images, TargetedMisclassification(targets), epsilons=None)
    stepped = spy.images[1]

    # in float64 from the logits on: the others' derivatives all but cancel
    outputs_of = model(images).double().softmax(-1).numpy()
    for i, target in enumerate(targets):
        slopes = torch.autograd.functional.jacobian(lambda x: model(x)[0], images[i : i + 1])
        slopes, outputs = slopes.flatten(1).double().numpy(), outputs_of[i]
        jacobian = outputs[:, None] * (slopes - outputs @ slopes)
        others = np.delete(jacobian, target, axis=0).sum(axis=0)
        movable = (images[i] < 1 if theta > 0 else images[i] > 0).flatten().numpy()
        expected = best_of_all_pairs(np.sign(theta) * jacobian[target], np.sign(theta) * others, movable)
        taken = np.flatnonzero((stepped[i] != images[i]).flatten())
        assert tuple(taken) == expected
        assert (stepped[i].flatten()[taken] == (1 if theta > 0 else 0)).all()


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize(("k", "gap"), [(1, 5.0), (3, 1.0)])
def test_a_topk_step_follows_the_most_probable_wrong_classes(linear_model, tensor, backend, k, gap):
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(6, 12)), np.array([gap, 0.0, 0.0, 0.0, 0.0, 0.0])
    images = rng.uniform(0.1, 0.4, size=(8, 1, 3, 4)).astype(np.float32)
    logits = images.reshape(8, -1) @ weights.T + bias
    labels = logits.argmax(axis=1)
    criterion = TopKMisclassification(tensor(labels, backend), k)
    model = linear_model(weights, bias, backend)
    attack = SaliencyMapAttack(gamma=2 / 12)
    xp, _, success = attack(model, tensor(images, backend), criterion, epsilons=None)

    reached = 0
    for i, y in enumerate(labels):
        wrong = [j for j in np.argsort(-logits[i]) if j != y][:k]
        shares = np.exp(logits[i][y] - logits[i][wrong])
        slope = shares @ (weights[wrong] - weights[y]) / shares.sum()
        expected = images[i].flatten()
        expected[np.argsort(-slope)[:2]] = 1
        stepped = expected @ weights.T + bias
        holds = (stepped > stepped[y]).sum() >= k
        assert success[i] == holds
        np.testing.assert_array_equal(np.asarray(xp)[i].flatten(), expected if holds else images[i].flatten())
        reached += holds
    assert 0 < reached < 8


def test_k_of_one_is_untargeted(digits_model):
    model, images, labels = digits_model
    untargeted, _, _ = SaliencyMapAttack()(model, images, Misclassification(labels), epsilons=None)
    top1, _, _ = SaliencyMapAttack()(model, images, TopKMisclassification(labels, 1), epsilons=None)
    assert torch.equal(untargeted, top1)


@pytest.mark.parametrize("kind", ["untargeted", "top 3", "targeted"])
def test_finds_samples_within_the_budget_at_one_pass_a_pair(digits_model, kind):
    model, images, labels = digits_model
    criterion = {
        "untargeted": Misclassification(labels),
        "top 3": TopKMisclassification(labels, 3),
        "targeted": TargetedMisclassification((labels + 1) % 10),
    }[kind]
    spied_model, spy = spied(model)
    xp, _, success = SaliencyMapAttack(gamma=0.5)(spied_model, images, criterion, epsilons=None)
    assert success.all()
    assert criterion(xp, model(xp)).all()
    assert changes(images, xp).max() <= 32
    expected = (changes(images, xp) / 2 + 1).sum()
    assert sum(len(x) for x in spy.images) == expected
    assert spy.backward == expected


def test_a_smooth_minimum_needs_fewer_pixels_than_one_class_at_a_time(digits_model):
    model, images, labels = digits_model
    criterion = TopKMisclassification(labels, 3)
    xp, _, success = SaliencyMapAttack(gamma=1.0)(model, images, criterion, epsilons=None)
    assert success.all()
    # going for the third most probable class alone
    naive = images.clone()
    left = np.arange(len(images))
    while len(left):
        x = naive[left].requires_grad_()
        logits = model(x)
        left_ = ~(logits > logits.gather(1, labels[left, None])).sum(1).ge(3)
        others = logits.scatter(1, labels[left, None], -torch.inf)
        (others.sort(-1).values[:, -3] - logits[range(len(left)), labels[left]]).sum().backward()
        scores = torch.where(x < 1, x.grad, -torch.inf).flatten(1)
        x = x.detach().flatten(1).scatter(1, scores.topk(2).indices, 1.0).view_as(x)
        left, x = left[left_.numpy()], x[left_]
        naive[left] = x
    assert changes(images, xp).mean() <= changes(images, naive).mean()


def test_gamma_bounds_the_share_of_changed_pixels(digits_model):
    model, images, labels = digits_model
    found = []
    for gamma in (0.01, 0.1, 0.2, 0.4):
        xp, _, success = SaliencyMapAttack(gamma=gamma)(
            model, images, TopKMisclassification(labels, 3), epsilons=None
        )
        assert changes(images, xp).max() <= gamma * 64
        assert torch.equal(xp[~success], images[~success])
        found.append(success.sum().item())
    assert found[0] == 0
    assert found == sorted(found)
    assert len(set(found)) == 4


def test_gamma_of_a_whole_number_of_pixels_allows_them_all(linear_model, tensor):
    # 0.58 * 100 is less than 58 in floating point
    model = linear_model(np.stack([np.zeros(100), np.ones(100)]), np.array([57.5, 0.0]))
    images, labels = np.zeros((1, 1, 10, 10)), np.zeros(1, int)
    for gamma, expected in ((0.57, False), (0.58, True)):
        _, _, success = SaliencyMapAttack(gamma=gamma)(model, tensor(images), tensor(labels), epsilons=None)
        assert success.item() == expected


def test_a_pair_that_does_more_harm_than_good_is_not_taken(linear_model, tensor):
    model, spy = spied(linear_model(np.array([[0.0, 0.0, 0.0], [3.0, -4.0, -5.0]]), np.array([5.0, 0.0])))
    images, labels = np.zeros((1, 1, 1, 3)), np.zeros(1, int)
    xp, _, success = SaliencyMapAttack(gamma=1.0)(model, tensor(images), tensor(labels), epsilons=None)
    assert not success.any()
    assert torch.equal(xp, tensor(images))
    assert len(spy.images) == 1


@pytest.mark.parametrize("theta", [0.25, -0.25])
def test_small_steps_move_a_pixel_more_than_once_and_one_way(digits_model, theta):
    model, images, labels = digits_model
    xp, _, success = SaliencyMapAttack(theta=theta, gamma=0.3)(model, images, labels, epsilons=None)
    assert success.float().mean() > 0.8
    assert changes(images, xp).max() <= 0.3 * 64
    moved = (xp - images) * np.sign(theta)
    assert moved.min() == 0
    assert moved.max() > 0.26
    assert xp.min() >= 0
    assert xp.max() <= 1
    unclipped = (xp > 0) & (xp < 1)
    steps = moved[unclipped] / 0.25
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)


def test_a_spent_budget_still_lets_changed_pixels_move(linear_model, tensor):
    # class 1 takes over only when its two pixels have moved three times
    model = linear_model(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 0.5]]), np.array([1.2, 0.0]))
    images, labels = np.zeros((1, 1, 1, 3)), np.zeros(1, int)
    attack = SaliencyMapAttack(theta=0.25, gamma=2 / 3)
    xp, _, success = attack(model, tensor(images), tensor(labels), epsilons=None)
    assert success.all()
    np.testing.assert_array_equal(xp.flatten(), [0.75, 0.75, 0.0])


class Scaled(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((x + 128) / 255)


def test_theta_is_a_share_of_the_bounds(digits_model):
    model, images, labels = digits_model
    wide = fb.PyTorchModel(Scaled(model._model).eval(), bounds=(-128, 127), device="cpu")
    attack = SaliencyMapAttack(theta=0.5)
    narrow, _, success = attack(model, images, labels, epsilons=None)
    xp, _, wide_success = attack(wide, images * 255 - 128, labels, epsilons=None)
    assert torch.equal(success, wide_success)
    torch.testing.assert_close((xp + 128) / 255, narrow, rtol=0, atol=1e-5)


def test_pixels_at_their_bound_are_left_alone(linear_model, tensor):
    # the first pixel is the most salient one but can't rise
    weights = np.array([[0.0, 0.0, 0.0, 0.0], [9.0, 1.0, 2.0, 3.0]])
    model = linear_model(weights, np.array([12.0, 0.0]))
    images, labels = np.array([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]])[:, None, None], np.zeros(2, int)
    xp, _, success = SaliencyMapAttack(gamma=1.0)(model, tensor(images), tensor(labels), epsilons=None)
    assert success.tolist() == [True, False]
    # the second image starts out at a tie, with one pixel to move, which isn't a pair
    np.testing.assert_array_equal(xp[:, 0, 0], [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]])


def test_the_derivative_survives_a_saturated_softmax(linear_model, tensor):
    model = linear_model(np.array([[0.0, 0.0, 0.0], [200.0, 150.0, -1.0]]), np.array([300.0, 0.0]))
    images, targets = np.zeros((1, 1, 1, 3)), np.ones(1, int)
    for criterion in (TargetedMisclassification(tensor(targets)), Misclassification(tensor(1 - targets))):
        xp, _, success = SaliencyMapAttack(gamma=1.0)(model, tensor(images), criterion, epsilons=None)
        assert success.all()
        np.testing.assert_array_equal(xp.flatten(), [1.0, 1.0, 0.0])


def test_an_epsilon_gives_up_images_that_need_more_pixels(digits_model):
    model, images, labels = digits_model
    (xp, *_), (_, few, many), (all_, few_success, many_success) = SaliencyMapAttack(gamma=0.5)(
        model, images, labels, epsilons=[None, 4, 64]
    )
    within = torch.from_numpy(changes(images, xp)) <= 4
    assert all_.all()
    assert torch.equal(few_success, within)
    assert torch.equal(few[within], xp[within])
    assert torch.equal(few[~within], images[~within])
    assert torch.equal(many, xp)
    assert many_success.all()
    assert within.any()
    assert not within.all()


def test_images_do_not_depend_on_their_batch(digits_model):
    model, images, labels = digits_model
    together, _, _ = SaliencyMapAttack()(model, images, labels, epsilons=None)
    for i in range(8):
        alone, _, _ = SaliencyMapAttack()(model, images[i : i + 1], labels[i : i + 1], epsilons=None)
        assert torch.equal(alone[0], together[i])


def test_an_adversarial_original_stays_as_it_is(digits_model):
    model, images, labels = digits_model
    wrong = labels.clone()
    wrong[:5] = (labels[:5] + 1) % 10
    xp, _, success = SaliencyMapAttack(gamma=0.5)(model, images, wrong, epsilons=None)
    assert success.all()
    assert torch.equal(xp[:5], images[:5])
    assert (changes(images, xp)[5:] >= 2).all()


@pytest.mark.parametrize(("backend", "value"), [("torch", 0.0), ("torch", np.nan), ("jax", np.nan)])
def test_a_model_without_a_way_out_fails_cleanly(linear_model, tensor, backend, value):
    model = linear_model(np.full((4, 12), value), np.array([1.0, 0.0, 0.0, 0.0]), backend)
    images, labels = np.random.default_rng(0).random((3, 1, 3, 4)).astype(np.float32), np.zeros(3, int)
    for criterion in (
        Misclassification(tensor(labels, backend)),
        TopKMisclassification(tensor(labels, backend), 2),
        TargetedMisclassification(tensor(labels + 1, backend)),
    ):
        xp, _, success = SaliencyMapAttack()(model, tensor(images, backend), criterion, epsilons=None)
        assert not success.any()
        assert np.array_equal(np.asarray(xp), images)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_targeted_runs_on_both_backends(linear_model, tensor, backend):
    rng = np.random.default_rng(3)
    model = linear_model(rng.normal(size=(4, 12)), np.zeros(4), backend)
    images = rng.uniform(0.1, 0.3, size=(2, 1, 3, 4)).astype(np.float32)
    targets = np.asarray(model(tensor(images, backend))).argsort(axis=1)[:, -2]
    xp, _, success = SaliencyMapAttack(gamma=0.5)(
        model, tensor(images, backend), TargetedMisclassification(tensor(targets, backend)), epsilons=None
    )
    assert (np.asarray(model(xp)).argmax(axis=1) == targets).all()
    assert success.all()
    assert np.asarray(xp).dtype == np.float32


def test_a_claim_on_a_random_model_is_a_draw_that_held_and_ends_the_search(random_digits_model):
    model, images, labels = random_digits_model
    spied_model, spy = spied(model)
    xp, _, success = SaliencyMapAttack(gamma=0.5)(spied_model, images, labels, epsilons=None)
    assert success.all()
    for i in range(len(images)):
        draws = [
            logits[(x == xp[i]).flatten(1).all(1)] for x, logits in zip(spy.images, spy.logits, strict=True)
        ]
        draws = torch.cat(draws)
        assert len(draws) == 1
        assert draws[0].argmax() != labels[i]


def test_more_draws_to_accept_make_claims_that_last(random_digits_model):
    model, images, labels = random_digits_model
    criterion = Misclassification(labels)
    lasting = []
    for draws in (1, 8):
        attack = SaliencyMapAttack(gamma=0.5, accept_draws=draws)
        xp, _, success = attack(model, images, criterion, epsilons=None)
        assert success.float().mean() > 0.9
        fresh = torch.stack([criterion(xp, model(xp)).float() for _ in range(20)]).mean(0)
        lasting.append(fresh[success].mean().item())
    assert lasting[1] > 0.85
    assert lasting[1] > lasting[0] + 0.15


def test_averaging_over_draws_does_not_change_a_model_that_stands_still(digits_model):
    model, images, labels = digits_model
    once, _, _ = SaliencyMapAttack()(model, images, labels, epsilons=None)
    averaged, _, _ = SaliencyMapAttack(gradient_draws=3, accept_draws=5)(model, images, labels, epsilons=None)
    assert torch.equal(averaged, once)


def test_progress_counts_up_to_all(digits_model):
    model, images, labels = digits_model
    seen = []

    def progress(done, total):
        seen.append(done)
        assert total == 40

    SaliencyMapAttack()(model, images, labels, epsilons=None, progress=progress)
    assert seen == sorted(seen)
    assert seen[-1] == 40
    assert len(set(seen)) > 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("theta", 0.0), ("theta", 1.5), ("theta", float("nan")), ("gamma", 0.0), ("gamma", 1.1)],
)
def test_parameters_outside_their_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be in .* got {value}"):
        SaliencyMapAttack(**{name: value})


@pytest.mark.parametrize("pixels", [3, 5, 7])
def test_half_a_pair_is_not_in_the_budget(digits_model, pixels):
    model, images, labels = digits_model
    xp, _, success = SaliencyMapAttack(gamma=pixels / 64)(model, images, labels, epsilons=None)
    assert changes(images, xp).max() == pixels - 1
    assert not success.all()
