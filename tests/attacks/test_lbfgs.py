import eagerpy as ep
import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from scipy.optimize import minimize
from torch import nn
from torch.nn import functional as F

from bench.attacks import LBFGSAttack, TopKMisclassification
from bench.attacks.lbfgs import BoxLBFGS


def targets(y):
    return (y + 3) % 10


CRITERIA = {
    "untargeted": Misclassification,
    "targeted": lambda y: TargetedMisclassification(targets(y)),
    "top 3": lambda y: TopKMisclassification(y, 3),
}


def norms(raw, x):
    return (raw - x).flatten(1).norm(dim=1)


@pytest.mark.parametrize("c", [0.3, 3.0])
def test_optimiser_gets_as_low_as_scipy(digits_model, c):
    model, x, y = digits_model
    x, y = x[:5], targets(y[:5])

    def losses(z):
        z = z.requires_grad_()
        loss = F.cross_entropy(model(z.reshape(-1, 1, 8, 8)), y[: len(z)], reduction="none")
        return loss, torch.autograd.grad(loss.sum(), z)[0]

    flat = x.flatten(1)
    loss, slope = losses(flat.clone())
    solver = BoxLBFGS(
        *(ep.astensor(v.detach()) for v in (flat, loss, slope, torch.full((5,), c))), bounds=(0, 1), memory=6
    )
    for _ in range(100):
        loss, slope = losses(solver.propose().raw.clone())
        solver.observe(ep.astensor(loss.detach()), ep.astensor(slope), 1e-6)
        assert solver.x.min() >= 0
        assert solver.x.max() <= 1
    ours = c * (solver.x.raw - flat).square().sum(1) + solver.loss.raw

    scipys = []
    for i in range(5):

        def objective(z, i=i):
            z = torch.tensor(z, dtype=torch.float32, requires_grad=True)
            loss = F.cross_entropy(model(z.reshape(1, 1, 8, 8)), y[i : i + 1])
            f = c * (z - flat[i]).square().sum() + loss
            return f.item(), torch.autograd.grad(f, z)[0].double().numpy()

        found = minimize(objective, flat[i].numpy(), jac=True, method="L-BFGS-B", bounds=[(0, 1)] * 64)
        scipys.append(found.fun)
    ratio = ours.numpy() / np.array(scipys)  # of local minima, of which either may find the better one
    assert np.median(ratio) < 1.001
    assert ratio.max() < 1.03


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("targeted", [False, True])
def test_linear_model_needs_the_distance_to_the_plane(linear_model, tensor, backend, targeted):
    rng = np.random.default_rng(1)
    # JAX compiles every operation anew when one of several is done
    rows = 1 if backend == "jax" else 2
    w, x = rng.normal(size=(2, 30)), rng.uniform(0.4, 0.6, size=(rows, 30))
    b = np.array([((w[1] - w[0]) @ x.T).max() + 1.0, 0.0])  # class 0, by at least 1
    expected = (x @ (w[0] - w[1]) + b[0]) / np.linalg.norm(w[0] - w[1])
    classes = tensor(np.full(rows, int(targeted)), backend)
    criterion = TargetedMisclassification(classes) if targeted else Misclassification(classes)

    raw, _, success = LBFGSAttack()(linear_model(w, b, backend), tensor(x, backend), criterion, epsilons=None)

    assert np.asarray(success).all()
    assert np.asarray(raw).dtype == np.float32
    distance = np.linalg.norm(np.asarray(raw) - x, axis=1)
    assert (distance > expected * 0.9999).all()
    assert (distance < expected * 1.02).all()


def test_box_is_used_as_well_as_kept(linear_model, tensor):
    # the first pixel is best by far but has only 0.1 to go: the other two must make up for the rest
    model = linear_model([[3.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [-2.0, 0.0])
    x = tensor([[0.1, 1.0, 1.0]])  # class 0 by 0.3 + 2 - 2 = 0.3, all of it in the first pixel
    raw, _, success = LBFGSAttack()(model, x, tensor([0]), epsilons=None)
    assert success.all()
    np.testing.assert_allclose(raw - x, [[-0.3 * 3 / 11, -0.3 / 11, -0.3 / 11]], atol=2e-3)

    x = tensor([[0.1, 1.0, 1.0]])
    model = linear_model([[3.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [-1.5, 0.0])  # class 0 by 0.8
    raw, _, success = LBFGSAttack()(model, x, tensor([0]), epsilons=None)
    assert success.all()
    assert raw[0, 0] == 0
    np.testing.assert_allclose(raw - x, [[-0.1, -0.25, -0.25]], atol=5e-3)


@pytest.mark.parametrize("kind", CRITERIA)
def test_every_image_succeeds_nearer_than_foolbox_does(digits_model, kind):
    model, x, y = digits_model
    criterion = CRITERIA[kind](y)
    raw, clipped, success = LBFGSAttack()(model, x, criterion, epsilons=None)
    assert success.all()
    assert torch.equal(raw, clipped)
    assert criterion(raw, model(raw)).all()
    assert raw.min() >= 0
    assert raw.max() <= 1
    if kind != "top 3":  # which Foolbox can't do
        attack = fb.attacks.L2CarliniWagnerAttack(binary_search_steps=9, steps=100, stepsize=0.05)
        theirs, _, found = attack(model, x, criterion, epsilons=None)
        assert found.all()
        assert norms(raw, x).median() < 1.01 * norms(theirs, x).median()


@pytest.mark.parametrize("initial_c", [1e-2, 1e2])
def test_search_finds_its_way_from_a_poor_first_c(digits_model, initial_c):
    model, x, y = digits_model
    best = LBFGSAttack()(model, x, y, epsilons=None)[0]
    raw, _, success = LBFGSAttack(initial_c=initial_c)(model, x, y, epsilons=None)
    assert success.all()
    assert norms(raw, x).mean() < 1.03 * norms(best, x).mean()


def test_image_does_not_depend_on_its_batch(digits_model):
    model, x, y = digits_model
    together = LBFGSAttack()(model, x[:6], y[:6], epsilons=None)[0]
    alone = torch.cat([LBFGSAttack()(model, x[i : i + 1], y[i : i + 1], epsilons=None)[0] for i in range(6)])
    torch.testing.assert_close(norms(together, x[:6]), norms(alone, x[:6]), rtol=0.02, atol=0)


def test_bounds_are_those_of_the_model(digits_model):
    model, x, y = digits_model
    wide = model.transform_bounds((-10, 30))
    raw, _, success = LBFGSAttack()(model, x, y, epsilons=None)
    raw_wide, _, success_wide = LBFGSAttack()(wide, x * 40 - 10, y, epsilons=None)
    assert success.all()
    assert success_wide.all()
    assert raw_wide.min() >= -10
    assert raw_wide.max() <= 30
    assert abs(norms(raw_wide, x * 40 - 10).mean() / norms(raw, x).mean() - 40) < 0.8


@pytest.mark.parametrize("kind", CRITERIA)
def test_random_model_is_fooled_with_one_draw(random_digits_model, kind):
    model, x, y = random_digits_model
    raw, _, success = LBFGSAttack()(model, x, CRITERIA[kind](y), epsilons=None)
    assert success.float().mean() >= 0.95
    assert torch.equal(raw[~success], x[~success])


def test_more_draws_make_claims_that_last(random_digits_model):
    model, x, y = random_digits_model
    x, y = x[:20], targets(y[:20])
    fresh = {}
    for draws in (1, 12):
        attack = LBFGSAttack(gradient_draws=draws, accept_draws=draws)
        raw, _, success = attack(model, x, TargetedMisclassification(y), epsilons=None)
        assert success.float().mean() >= 0.9
        fooled = torch.stack([model(raw).argmax(-1) == y for _ in range(50)]).float().mean(0)
        fresh[draws] = fooled[success].mean()
    assert fresh[1] < 0.6
    assert fresh[12] > 0.8


def test_early_stop_spares_passes(digits_model):
    model, x, y = digits_model
    passed = {}
    for epsilons in (None, 1.5):
        passed[epsilons] = 0

        def count(images, epsilons=epsilons):
            passed[epsilons] += len(images)
            return model(images)

        counting = type(
            "Counting", (fb.models.Model,), {"bounds": model.bounds, "__call__": lambda _, z: count(z)}
        )
        _, clipped, success = LBFGSAttack()(counting(), x, y, epsilons=epsilons)
        assert success.float().mean() > 0.9
        if epsilons is not None:
            assert (norms(clipped, x) <= epsilons + 1e-6).all()
    assert passed[1.5] < 0.7 * passed[None]


def test_original_that_is_adversarial_stays_as_it_is(digits_model):
    model, x, y = digits_model
    wrong = torch.where(torch.arange(40) % 2 == 0, y, (y + 1) % 10)
    raw, _, success = LBFGSAttack()(model, x, wrong, epsilons=None)
    assert success.all()
    assert torch.equal(raw[1::2], x[1::2])
    assert (norms(raw, x)[::2] > 0).all()


class Stubborn(nn.Module):
    """Always class 0, by a margin that some pixels can lower; not a number where ``broken``."""

    def __init__(self, broken):
        super().__init__()
        self.broken = broken

    def forward(self, x):
        z = x.flatten(1).mean(1, keepdim=True)
        if self.broken == "everywhere":
            z = z * float("nan")
        elif self.broken == "off the original":
            z = torch.where((x != 0.5).flatten(1).any(1, keepdim=True), float("nan"), z)
        elif self.broken == "in the gradient":
            z = z + (x - 0.5).abs().sqrt().flatten(1).sum(1, keepdim=True) * 0
        return torch.cat([5 + z, 1 - z, -z], dim=1)


@pytest.mark.parametrize("broken", ["", "everywhere", "off the original", "in the gradient"])
@pytest.mark.parametrize("label", [0, 1])
def test_failed_images_come_back_as_they_were(broken, label):
    model = fb.PyTorchModel(Stubborn(broken).eval(), bounds=(0, 1), device="cpu")
    x, y = torch.full((3, 1, 4, 4), 0.5), torch.full((3,), label)
    raw, clipped, success = LBFGSAttack(steps=20)(
        model, x, TargetedMisclassification(y + 1), epsilons=[None, 1.0]
    )
    assert not success.any()
    assert torch.equal(raw[0], x)
    assert torch.equal(clipped[1], x)


def test_progress_ends_with_all_images(digits_model):
    model, x, y = digits_model
    calls = []
    LBFGSAttack()(model, x, y, epsilons=None, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (40, 40)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("search_steps", 0),
        ("steps", 0),
        ("memory", 0),
        ("initial_c", 0.0),
        ("tolerance", 1.0),
        ("accept_draws", 0),
    ],
)
def test_parameter_outside_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        LBFGSAttack(**{name: value})


def test_optimiser_learns_curvature(tensor):
    # sum k (x - t)^2 / 2 + c |x|^2, whose steepest direction is 10,000 times the flattest
    k, t, c = np.logspace(0, 4, 8), np.linspace(-1, 1, 8), 0.5
    expected = (k * t**2 / 2).sum() - ((k * t) ** 2 / (k + 2 * c) / 2).sum()
    curvature, goal = (torch.tensor(v, dtype=torch.float32) for v in (k, t))

    def losses(x):
        return (curvature * (x - goal) ** 2 / 2).sum(1), curvature * (x - goal)

    start = torch.zeros(1, 8)
    loss, slope = losses(start)
    solver = BoxLBFGS(
        *(ep.astensor(v) for v in (start, loss, slope, torch.full((1,), c))), bounds=(-9, 9), memory=8
    )
    for _ in range(55):
        loss, slope = losses(solver.propose().raw)
        solver.observe(ep.astensor(loss), ep.astensor(slope), 0.0)
    assert (c * solver.x.square().sum(-1) + solver.loss).item() == pytest.approx(expected, rel=1e-3)
