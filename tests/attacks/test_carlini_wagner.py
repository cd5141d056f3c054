import eagerpy as ep
import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import nn

from bench.attacks import CarliniWagnerL2Attack, TopKMisclassification
from bench.attacks.criteria import margin


def targets(y):
    return (y + 3) % 10


CRITERIA = {
    "untargeted": Misclassification,
    "targeted": lambda y: TargetedMisclassification(targets(y)),
    "top 3": lambda y: TopKMisclassification(y, 3),
}


def norms(raw, x):
    return (raw - x).flatten(1).norm(dim=1)


class Recording(fb.models.Model):
    """Passes on to a model and keeps what went in and what came out."""

    def __init__(self, model):
        self.model, self.passes = model, []

    @property
    def bounds(self):
        return self.model.bounds

    def __call__(self, images):
        outputs = self.model(images)
        self.passes.append((ep.astensor(images).raw.detach(), ep.astensor(outputs).raw.detach()))
        return outputs


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("confidence", [0.0, 2.0])
def test_linear_model_needs_the_distance_to_the_plane(linear_model, tensor, backend, confidence):
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(2, 30)), rng.uniform(0.4, 0.6, size=(2, 30))
    b = np.array([((w[1] - w[0]) @ x.T).max() + 1.0, 0.0])  # class 0, by at least 1
    expected = (x @ (w[0] - w[1]) + b[0] + confidence) / np.linalg.norm(w[0] - w[1])
    criterion = TargetedMisclassification(tensor(np.ones(2, int), backend))
    attack = CarliniWagnerL2Attack(confidence=confidence)

    raw, _, success = attack(linear_model(w, b, backend), tensor(x, backend), criterion, epsilons=None)

    assert np.asarray(success).all()
    assert np.asarray(raw).dtype == np.float32
    distance = np.linalg.norm(np.asarray(raw) - x, axis=1)
    assert (distance > expected * 0.9999).all()
    assert (distance < expected * 1.01).all()


def test_box_is_used_as_well_as_kept(linear_model, tensor):
    # the first pixel is best by far but has only 0.1 to go: the other two must make up for the rest
    model = linear_model([[3.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [-1.5, 0.0])
    x = tensor([[0.1, 1.0, 1.0]])
    raw, _, success = CarliniWagnerL2Attack(steps=300, tolerance=0.0)(model, x, tensor([0]), epsilons=None)
    assert success.all()
    assert raw.min() >= 0
    np.testing.assert_allclose(raw - x, [[-0.1, -0.25, -0.25]], atol=0.02)


@pytest.mark.parametrize("kind", CRITERIA)
def test_every_image_succeeds_as_near_as_with_foolbox_in_far_fewer_passes(digits_model, kind):
    model, x, y = digits_model
    criterion, ours, theirs = CRITERIA[kind](y), Recording(model), Recording(model)
    raw, clipped, success = CarliniWagnerL2Attack()(ours, x, criterion, epsilons=None)
    assert success.all()
    assert torch.equal(raw, clipped)
    assert criterion(raw, model(raw)).all()
    assert raw.min() >= 0
    assert raw.max() <= 1
    if kind != "top 3":  # which Foolbox can't do
        attack = fb.attacks.L2CarliniWagnerAttack(binary_search_steps=10, steps=100, stepsize=0.1)
        foolbox, _, found = attack(theirs, x, criterion, epsilons=None)
        assert found.all()
        assert norms(raw, x).median() <= norms(foolbox, x).median()
        assert norms(raw, x).mean() <= norms(foolbox, x).mean()
        passed = [sum(len(images) for images, _ in model.passes) for model in (ours, theirs)]
        assert 2.5 * passed[0] < passed[1]


@pytest.mark.parametrize("kind", CRITERIA)
def test_confidence_is_the_margin_that_is_reached(digits_model, kind):
    model, x, y = digits_model
    x, criterion = x[:20], CRITERIA[kind](y[:20])
    near = CarliniWagnerL2Attack()(model, x, criterion, epsilons=None)[0]
    raw, _, success = CarliniWagnerL2Attack(confidence=4.0)(model, x, criterion, epsilons=None)
    assert success.all()
    reached = margin(criterion, ep.astensor(model(raw))).raw
    assert (reached <= -4).all()
    assert reached.median() > -4.3
    assert (norms(raw, x) > norms(near, x)).all()


@pytest.mark.parametrize("initial_c", [1e-3, 1e3])
def test_search_finds_its_way_from_a_poor_first_c(digits_model, initial_c):
    model, x, y = digits_model
    best = CarliniWagnerL2Attack()(model, x, y, epsilons=None)[0]
    raw, _, success = CarliniWagnerL2Attack(initial_c=initial_c)(model, x, y, epsilons=None)
    assert success.all()
    assert norms(raw, x).mean() < 1.25 * norms(best, x).mean()


def test_image_does_not_depend_on_its_batch(digits_model):
    model, x, y = digits_model
    together = CarliniWagnerL2Attack()(model, x[:6], y[:6], epsilons=None)[0]
    alone = torch.cat(
        [CarliniWagnerL2Attack()(model, x[i : i + 1], y[i : i + 1], epsilons=None)[0] for i in range(6)]
    )
    torch.testing.assert_close(norms(together, x[:6]), norms(alone, x[:6]), rtol=0.03, atol=0)


def test_bounds_are_those_of_the_model(digits_model):
    model, x, y = digits_model
    wide = model.transform_bounds((-10, 30))
    raw, _, success = CarliniWagnerL2Attack()(model, x, y, epsilons=None)
    raw_wide, _, success_wide = CarliniWagnerL2Attack()(wide, x * 40 - 10, y, epsilons=None)
    assert success.all()
    assert success_wide.all()
    assert raw_wide.min() >= -10
    assert raw_wide.max() <= 30
    assert abs(norms(raw_wide, x * 40 - 10).mean() / norms(raw, x).mean() - 40) < 0.8


@pytest.mark.parametrize("kind", CRITERIA)
def test_random_model_is_fooled_with_one_draw(random_digits_model, kind):
    model, x, y = random_digits_model
    raw, _, success = CarliniWagnerL2Attack(search_steps=5)(model, x, CRITERIA[kind](y), epsilons=None)
    assert success.float().mean() >= 0.95
    assert torch.equal(raw[~success], x[~success])


def test_more_draws_and_confidence_make_claims_that_last(random_digits_model):
    model, x, y = random_digits_model
    x, y = x[:20], targets(y[:20])
    fresh = {}
    for draws, confidence in ((1, 0.0), (12, 0.0), (12, 3.0)):
        attack = CarliniWagnerL2Attack(
            search_steps=6, confidence=confidence, gradient_draws=draws, accept_draws=draws
        )
        raw, _, success = attack(model, x, TargetedMisclassification(y), epsilons=None)
        assert success.float().mean() >= 0.9
        fooled = torch.stack([model(raw).argmax(-1) == y for _ in range(50)]).float().mean(0)
        fresh[draws, confidence] = fooled[success].mean()
    assert fresh[1, 0.0] < 0.4
    assert fresh[12, 0.0] > 0.7
    assert fresh[12, 3.0] > 0.9


@pytest.mark.parametrize(("gradient_draws", "accept_draws"), [(1, 3), (4, 3)])
def test_claim_was_seen_to_hold_with_confidence_on_every_accepting_draw(
    random_digits_model, gradient_draws, accept_draws
):
    model, x, y = random_digits_model
    x, criterion, recording = x[:8], TargetedMisclassification(targets(y[:8])), Recording(model)
    attack = CarliniWagnerL2Attack(
        search_steps=4, confidence=2.0, gradient_draws=gradient_draws, accept_draws=accept_draws
    )
    raw, _, success = attack(recording, x, criterion, epsilons=None)
    assert success.all()
    inputs = torch.cat([images for images, _ in recording.passes])
    outputs = torch.cat([logits for _, logits in recording.passes])
    for i in range(8):
        seen = outputs[(inputs == raw[i]).flatten(1).all(1)]
        drawn = margin(TargetedMisclassification(targets(y[i]).repeat(len(seen))), ep.astensor(seen)).raw
        assert (drawn[:accept_draws] <= -2).all()
        assert len(drawn) >= accept_draws


def test_early_stop_spares_passes(digits_model):
    model, x, y = digits_model
    free, stopped = Recording(model), Recording(model)
    CarliniWagnerL2Attack()(free, x, y, epsilons=None)
    _, clipped, success = CarliniWagnerL2Attack()(stopped, x, y, epsilons=1.5)
    assert success.float().mean() > 0.9
    assert (norms(clipped, x) <= 1.5 + 1e-6).all()
    assert sum(len(i) for i, _ in stopped.passes) < 0.5 * sum(len(i) for i, _ in free.passes)


def test_original_that_is_adversarial_stays_as_it_is(digits_model):
    model, x, y = digits_model
    wrong = torch.where(torch.arange(40) % 2 == 0, y, (y + 1) % 10)
    raw, _, success = CarliniWagnerL2Attack(search_steps=3)(model, x, wrong, epsilons=None)
    assert success.all()
    assert torch.equal(raw[1::2], x[1::2])
    assert (norms(raw, x)[::2] > 0).all()


class Stubborn(nn.Module):
    """Always class 0; not a number where ``broken``."""

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
        elif self.broken == "flat":
            z = z * 0
        return torch.cat([5 + z, 1 - z, -z], dim=1)


@pytest.mark.parametrize("broken", ["", "everywhere", "off the original", "in the gradient", "flat"])
def test_failed_images_come_back_as_they_were(broken):
    model = fb.PyTorchModel(Stubborn(broken).eval(), bounds=(0, 1), device="cpu")
    x, y = torch.full((3, 1, 4, 4), 0.5), torch.ones(3, dtype=torch.int64)
    attack = CarliniWagnerL2Attack(steps=20)
    raw, clipped, success = attack(model, x, TargetedMisclassification(y), epsilons=[None, 1.0])
    assert not success.any()
    assert torch.equal(raw[0], x)
    assert torch.equal(clipped[1], x)


def test_progress_ends_with_all_images(digits_model):
    model, x, y = digits_model
    calls = []
    attack = CarliniWagnerL2Attack(search_steps=3)
    attack(model, x, y, epsilons=None, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (40, 40)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("search_steps", 0),
        ("steps", 0),
        ("stepsize", 0.0),
        ("confidence", -1.0),
        ("initial_c", 0.0),
        ("tolerance", 1.0),
        ("gradient_draws", 0),
    ],
)
def test_parameter_outside_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        CarliniWagnerL2Attack(**{name: value})
