import eagerpy as ep
import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from scipy.special import expit, log_expit, softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from bench.attacks import GradientSignAttack, TopKMisclassification
from bench.attacks.base import mean_cross_entropy

CRITERIA = {
    "untargeted": (lambda y: Misclassification(y), lambda y: y, 1),
    "targeted": (lambda y: TargetedMisclassification((y + 3) % 10), lambda y: (y + 3) % 10, -1),
    "top 3": (lambda y: TopKMisclassification(y, 3), lambda y: y, 1),
}


@pytest.mark.parametrize("kind", CRITERIA)
def test_fixed_epsilon_takes_exactly_the_published_step(digits_model, kind):
    model, x, y = digits_model
    make, classes, direction = CRITERIA[kind]
    z = x.clone().requires_grad_()
    F.cross_entropy(model(z), classes(y), reduction="sum").backward()
    expected = (x + direction * 0.25 * z.grad.sign()).clamp(0, 1)
    holds = make(y)(expected, model(expected))

    raw, clipped, success = GradientSignAttack()(model, x, make(y), epsilons=0.25)

    assert 0 < holds.sum() < len(x)
    assert torch.equal(success, holds)
    assert torch.equal(clipped[holds], expected[holds])
    assert torch.equal(clipped[~holds], x[~holds])
    assert torch.equal(raw, clipped)


@pytest.mark.parametrize("kind", CRITERIA)
def test_search_agrees_with_every_epsilon_of_the_grid(digits_model, kind):
    model, x, y = digits_model
    make, classes, direction = CRITERIA[kind]
    z = x.clone().requires_grad_()
    F.cross_entropy(model(z), classes(y), reduction="sum").backward()
    held = torch.stack(
        [
            make(y)(s, model(s))
            for s in ((x + direction * k / 256 * z.grad.sign()).clamp(0, 1) for k in range(1, 257))
        ]
    )
    smallest = torch.where(held.any(0), held.int().argmax(0) + 1, 0)

    raw, _, success = GradientSignAttack()(model, x, make(y), epsilons=None)

    assert torch.equal(success, held.any(0))
    torch.testing.assert_close((raw - x).abs().flatten(1).amax(1) * 256, smallest.float(), atol=1e-3, rtol=0)


class Window(nn.Module):
    """Fools only where the first pixel lies between 0.30 and 0.31: success is not monotone in epsilon."""

    passed = 0

    def forward(self, x):
        self.passed += len(x)
        pixel = x.flatten(1)[:, 0]
        outside = (pixel - 0.305).abs() - 0.005 + 0 * x.flatten(1).sum(1)
        return torch.stack([outside, torch.zeros_like(outside), -2 - pixel], dim=1)


def test_search_finds_a_success_that_larger_epsilons_lose():
    net = Window().eval()
    model = fb.PyTorchModel(net, bounds=(0, 1), device="cpu")
    x = torch.zeros(5, 1, 2, 2)
    criterion = TargetedMisclassification(torch.ones(5, dtype=torch.int64))

    raw, _, success = GradientSignAttack()(model, x, criterion, epsilons=None)

    assert success.all()
    torch.testing.assert_close(raw[:, 0, 0, 0], torch.full((5,), 77 / 256))  # the first k / 256 above 0.30
    assert net.passed <= 5 * (1 + 77 + 64)  # one gradient pass, and less than a pass's room to spare


def test_several_epsilons_share_one_gradient_and_agree_with_single_ones(digits_model):
    model, x, y = digits_model
    attack = GradientSignAttack()
    raws, clippeds, successes = attack(model, x, y, epsilons=[0.1, None, 0.25])
    assert successes.shape == (3, len(x))
    for i, epsilon in enumerate([0.1, None, 0.25]):
        raw, clipped, success = attack(model, x, y, epsilons=epsilon)
        assert torch.equal(raws[i], raw)
        assert torch.equal(clippeds[i], clipped)
        assert torch.equal(successes[i], success)


def test_fixed_epsilon_agrees_with_foolbox(digits_model):
    model, x, y = digits_model
    _, theirs, fooled = fb.attacks.LinfFastGradientAttack()(model, x, y, epsilons=0.2)
    _, ours, success = GradientSignAttack()(model, x, y, epsilons=0.2)
    assert torch.equal(success, fooled)
    torch.testing.assert_close(ours[success], theirs[success])


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_linear_model_needs_the_margin_over_the_gradients_l1_norm(linear_model, tensor, backend):
    rng = np.random.default_rng(0)
    # JAX compiles every operation anew when one of several is done
    rows = 1 if backend == "jax" else 4
    w, x = rng.normal(size=(2, 30)), rng.uniform(0.4, 0.6, size=(rows, 30))
    b = np.array([0.0, 0.0])
    b[0] = ((w[1] - w[0]) @ x.T).max() + 0.5  # every image is class 0, by at least 0.5
    margin = x @ (w[0] - w[1]) + b[0]
    expected = np.ceil(margin / np.abs(w[0] - w[1]).sum() * 1000) / 1000
    attack = GradientSignAttack(epsilon_steps=1000)

    raw, _, success = attack(
        linear_model(w, b, backend), tensor(x, backend), tensor(np.zeros(rows, int), backend), epsilons=None
    )

    assert np.asarray(success).all()
    np.testing.assert_allclose(np.abs(np.asarray(raw) - x).max(1), expected, atol=1e-4)


def test_step_is_right_where_the_softmax_has_rounded_to_one(linear_model, tensor):
    # class 0 leads by 25 logits, so that in float32 its own term drops out of softmax less one-hot; the
    # step that follows w[1] alone instead of w[1] - w[0] would go up in both pixels
    model = linear_model([[10.0, 100.0], [20.0, 50.0], [0.0, 0.0]], [0.0, 0.0, -90.0])
    x = tensor([[0.0, 0.5]])
    raw, _, success = GradientSignAttack()(model, x, tensor([0]), epsilons=None)
    assert success.all()
    np.testing.assert_allclose(raw, [[107 / 256, 0.5 - 107 / 256]], atol=1e-6)  # the first above 25 / 60


def test_original_that_is_adversarial_stays_as_it_is(digits_model):
    model, x, y = digits_model
    wrong = (y + 1) % 10
    for epsilons in (None, 0.25):
        raw, _, success = GradientSignAttack()(model, x, wrong, epsilons=epsilons)
        assert success.all()
        assert torch.equal(raw, x)


def test_bounds_are_those_of_the_model(digits_model):
    model, x, y = digits_model
    wide = model.transform_bounds((-10, 30))
    raw, _, success = GradientSignAttack()(model, x, y, epsilons=None)
    raw_wide, _, success_wide = GradientSignAttack()(wide, x * 40 - 10, y, epsilons=None)
    assert torch.equal(success, success_wide)
    assert raw_wide.min() >= -10
    assert raw_wide.max() <= 30
    torch.testing.assert_close(raw_wide, raw * 40 - 10, atol=1e-4, rtol=0)


def test_more_draws_make_claims_that_last(random_digits_model):
    model, x, y = random_digits_model
    fresh = {}
    for draws in (1, 12):
        attack = GradientSignAttack(gradient_draws=draws, accept_draws=draws)
        raw, _, success = attack(model, x, y, epsilons=None)
        assert success.sum() > 10
        assert torch.equal(raw[~success], x[~success])
        fooled = torch.stack([model(raw).argmax(-1) != y for _ in range(50)]).float().mean(0)
        fresh[draws] = fooled[success].mean()
    assert fresh[1] < 0.6
    assert fresh[12] > 0.85


def test_model_of_not_a_number_fails_cleanly(digits_model):
    _, x, y = digits_model

    class Broken(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] * float("nan")

    model = fb.PyTorchModel(Broken().eval(), bounds=(0, 1), device="cpu")
    for epsilons in (None, 0.25):
        raw, _, success = GradientSignAttack()(model, x, y, epsilons=epsilons)
        assert not success.any()
        assert torch.equal(raw, x)


def test_progress_ends_with_all_images(digits_model):
    model, x, y = digits_model
    calls = []
    GradientSignAttack()(model, x, y, epsilons=None, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (40, 40)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epsilon_steps", 0), ("max_epsilon", 0.0), ("max_epsilon", 1.5), ("gradient_draws", 0)],
)
def test_parameter_outside_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        GradientSignAttack(**{name: value})


@pytest.mark.parametrize(
    ("backend", "scale"), [("torch", 1.0), ("torch", 30.0), ("torch", 1e4), ("jax", 1e4)]
)
@pytest.mark.parametrize("kind", CRITERIA)
def test_confidence_hides_nothing_from_a_regression_on_digits(
    trained, linear_model, tensor, backend, scale, kind
):
    images, labels = trained[1].flatten(1).double().numpy(), trained[2].numpy()
    digits = load_digits()
    fitted = LogisticRegression(C=10, max_iter=200).fit(digits.data[:1500] / 16, digits.target[:1500])
    w, b = scale * fitted.coef_, scale * fitted.intercept_
    right = (images @ w.T + b).argmax(1) == labels
    images, labels = images[right], labels[right]
    make, classes, direction = CRITERIA[kind]
    own, rows = classes(labels), np.arange(len(labels))

    # a linear model's cross-entropy rises along sum_j p_j w_j - w_own, p being the softmax of the others
    logits = images @ w.T + b
    logits[rows, own] = -np.inf
    sign = np.sign(softmax(logits, axis=1) @ w - w[own])
    logits = np.clip(images + direction * 0.15 * sign, 0, 1) @ w.T + b
    if kind == "targeted":
        held = logits.argmax(1) == own
    else:
        held = (logits > logits[rows, labels][:, None]).sum(1) >= (3 if kind == "top 3" else 1)
    assert 3 < held.sum() < len(held)

    _, _, success = GradientSignAttack()(
        linear_model(w, b, backend), tensor(images, backend), make(tensor(labels, backend)), epsilons=0.15
    )
    assert np.asarray(success).tolist() == held.tolist()


@pytest.mark.parametrize("kind", CRITERIA)
def test_network_ten_thousand_times_as_confident_is_claimed_as_often(digits_model, kind):
    model, x, y = digits_model
    make, classes, direction = CRITERIA[kind]

    class Confident(nn.Module):
        def forward(self, z):
            return 1e4 * model(z)

    # the direction of the cross-entropy in float64, where its exponent doesn't run out if taken by logarithm
    z = x.clone().requires_grad_()
    logits = 1e4 * model(z).double()
    others = logits.masked_fill(F.one_hot(classes(y), 10).bool(), -torch.inf)
    (others.logsumexp(1) - logits[range(40), classes(y)]).sum().backward()
    expected = (x + direction * 0.15 * z.grad.sign()).clamp(0, 1)
    holds = make(y)(expected, model(expected))

    confident = fb.PyTorchModel(Confident().eval(), bounds=(0, 1), device="cpu")
    _, clipped, success = GradientSignAttack()(confident, x, make(y), epsilons=0.15)
    assert torch.equal(success, holds)
    assert torch.equal(clipped[holds], expected[holds])

    claimed = GradientSignAttack()(model, x, make(y), epsilons=None)[2].float().mean()
    assert GradientSignAttack()(confident, x, make(y), epsilons=None)[2].float().mean() >= claimed - 0.05


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_draws_weigh_by_their_own_cross_entropy_however_small(tensor, backend):
    odds = np.array([[-2.0, 3.0, -30.0, -200.0, -1e5], [-1.0, -70.0, -90.0, -201.5, -2e5]])

    def loss(z):
        return mean_cross_entropy(z, 2).sum()

    _, gradient = ep.value_and_grad(loss, ep.astensor(tensor(odds.reshape(-1), backend)))
    got = gradient.numpy().reshape(2, 5).astype(np.float64)
    weights = np.exp(log_expit(odds) - log_expit(odds).max(0))  # d softplus = the logistic function
    np.testing.assert_allclose(got / got.max(0), weights, rtol=1e-5, atol=1e-20)
    # and where nothing is small, the mean itself
    np.testing.assert_allclose(got[:, :2], expit(odds[:, :2]) / 2, rtol=1e-5, atol=1e-20)
