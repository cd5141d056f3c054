import eagerpy as ep
import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import nn

from bench.attacks import (
    CarliniWagnerL0Attack,
    CarliniWagnerL2Attack,
    CarliniWagnerLinfAttack,
    GradientSignAttack,
    SaliencyMapAttack,
    TopKMisclassification,
)
from bench.attacks.criteria import margin


def targets(y):
    return (y + 3) % 10


CRITERIA = {
    "untargeted": Misclassification,
    "targeted": lambda y: TargetedMisclassification(targets(y)),
    "top 3": lambda y: TopKMisclassification(y, 3),
}


all_norms = pytest.mark.parametrize(
    "attack_of", [CarliniWagnerL0Attack, CarliniWagnerL2Attack, CarliniWagnerLinfAttack]
)
all_criteria = pytest.mark.parametrize("kind", CRITERIA)


def norms(raw, x):
    return (raw - x).flatten(1).norm(dim=1)


def distances(attack_of, raw, x):
    return attack_of.distance(x, raw)


def short(attack_of, **options):
    """Little search, for tests of what it claims rather than of how near it gets."""
    few = {"misses": 1} if attack_of is CarliniWagnerL0Attack else {"search_steps": 6}
    return attack_of(**few, **options)


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


def rows(backend, many):
    """How many images: JAX compiles every operation anew when one of several is done."""
    return 1 if backend == "jax" else many


@pytest.mark.parametrize(("backend", "confidence"), [("torch", 0.0), ("torch", 2.0), ("jax", 2.0)])
def test_linear_model_needs_the_distance_to_the_plane(linear_model, tensor, backend, confidence):
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(2, 30)), rng.uniform(0.4, 0.6, size=(rows(backend, 2), 30))
    b = np.array([((w[1] - w[0]) @ x.T).max() + 1.0, 0.0])  # class 0, by at least 1
    expected = (x @ (w[0] - w[1]) + b[0] + confidence) / np.linalg.norm(w[0] - w[1])
    criterion = TargetedMisclassification(tensor(np.ones(len(x), int), backend))
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


@all_norms
@all_criteria
def test_every_image_succeeds_inside_the_bounds(digits_model, attack_of, kind):
    model, x, y = digits_model
    criterion = CRITERIA[kind](y)
    raw, clipped, success = attack_of()(model, x, criterion, epsilons=None)
    assert success.all()
    assert raw.dtype == torch.float32
    assert torch.equal(raw, clipped)
    assert criterion(raw, model(raw)).all()
    assert raw.min() >= 0
    assert raw.max() <= 1


@all_norms
@all_criteria
def test_confidence_is_the_margin_that_is_reached(digits_model, attack_of, kind):
    model, x, y = digits_model
    x, criterion = x[:20], CRITERIA[kind](y[:20])
    near = attack_of()(model, x, criterion, epsilons=None)[0]
    raw, _, success = attack_of(confidence=4.0)(model, x, criterion, epsilons=None)
    assert success.all()
    reached = margin(criterion, ep.astensor(model(raw))).raw
    assert (reached <= -4).all()
    farther = distances(attack_of, raw, x) - distances(attack_of, near, x)
    if attack_of is CarliniWagnerL0Attack:  # whose pixels are whole
        assert (farther >= 0).float().mean() > 0.9
        assert farther.mean() > 0.5
    else:
        assert reached.median() > -4.3
        assert (farther > 0).all()


@pytest.mark.parametrize("initial_c", [1e-3, 1e3])
def test_search_finds_its_way_from_a_poor_first_c(digits_model, initial_c):
    model, x, y = digits_model
    best = CarliniWagnerL2Attack()(model, x, y, epsilons=None)[0]
    raw, _, success = CarliniWagnerL2Attack(initial_c=initial_c)(model, x, y, epsilons=None)
    assert success.all()
    assert norms(raw, x).mean() < 1.25 * norms(best, x).mean()


class Kink(nn.Module):
    """Steep at mid-grey and flat soon after: its gradient there says nothing of how far the boundary is."""

    def __init__(self, steep, kink, boundary):
        super().__init__()
        self.steep, self.kink, self.boundary = steep, kink, boundary

    def forward(self, x):
        along = (x.flatten(1) - 0.5) @ (torch.tensor([1.0, -1.0]).repeat(32) / 8)
        gain = self.steep * along - (self.steep - 1) * (along - self.kink).relu()
        margin = gain - (self.steep * self.kink + self.boundary - self.kink)
        return torch.stack([torch.zeros_like(margin), margin], 1)


@pytest.mark.parametrize(("steep", "kink"), [(50, 0.02), (100, 0.01)])
def test_l2_boundary_is_reached_where_the_first_gradient_misleads(steep, kink):
    model = fb.PyTorchModel(Kink(steep, kink, boundary=2.0).eval(), bounds=(0, 1), device="cpu")
    x = torch.full((1, 1, 8, 8), 0.5)
    raw, _, success = CarliniWagnerL2Attack()(
        model, x, TargetedMisclassification(torch.tensor([1])), epsilons=None
    )
    assert success.all()
    assert norms(raw, x).item() == pytest.approx(2.0, rel=0.01)


@all_norms
def test_image_does_not_depend_on_its_batch(digits_model, attack_of):
    model, x, y = digits_model
    together = attack_of()(model, x[:6], y[:6], epsilons=None)[0]
    alone = torch.cat([attack_of()(model, x[i : i + 1], y[i : i + 1], epsilons=None)[0] for i in range(6)])
    torch.testing.assert_close(
        distances(attack_of, together, x[:6]), distances(attack_of, alone, x[:6]), rtol=0.03, atol=0
    )


@all_norms
def test_bounds_are_those_of_the_model(digits_model, attack_of):
    model, x, y = digits_model
    wide, x_wide = model.transform_bounds((-10, 30)), x * 40 - 10
    raw, _, success = attack_of()(model, x, y, epsilons=None)
    raw_wide, _, success_wide = attack_of()(wide, x_wide, y, epsilons=None)
    assert success.all()
    assert success_wide.all()
    assert raw_wide.min() >= -10
    assert raw_wide.max() <= 30
    ratio = distances(attack_of, raw_wide, x_wide).mean() / distances(attack_of, raw, x).mean()
    expected = 1 if attack_of is CarliniWagnerL0Attack else 40
    assert abs(ratio / expected - 1) < 0.02


@all_norms
@all_criteria
def test_random_model_is_fooled_with_one_draw(random_digits_model, attack_of, kind):
    model, x, y = random_digits_model
    raw, _, success = short(attack_of)(model, x, CRITERIA[kind](y), epsilons=None)
    assert success.float().mean() >= 0.95
    assert torch.equal(raw[~success], x[~success])


class Noisy(Recording):
    """Passes on to a model and adds seeded noise to what comes out."""

    def __init__(self, model, seed):
        super().__init__(model)
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, images):
        outputs = super().__call__(images)
        return outputs + ep.astensor(torch.randn(outputs.shape, generator=self.generator))


@all_norms
def test_random_model_is_attacked_the_same_under_the_same_seed(digits_model, attack_of):
    model, x, y = digits_model
    attack = short(attack_of, gradient_draws=2)
    found = [attack(Noisy(model, seed), x[:8], y[:8], epsilons=None)[0] for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@all_norms
def test_more_draws_and_confidence_make_claims_that_last(random_digits_model, attack_of):
    model, x, y = random_digits_model
    x, y = x[:20], targets(y[:20])
    fresh = {}
    for draws, confidence in ((1, 0.0), (12, 0.0), (12, 3.0)):
        attack = short(attack_of, confidence=confidence, gradient_draws=draws, accept_draws=draws)
        raw, _, success = attack(model, x, TargetedMisclassification(y), epsilons=None)
        assert success.float().mean() >= 0.9
        fooled = torch.stack([model(raw).argmax(-1) == y for _ in range(50)]).float().mean(0)
        fresh[draws, confidence] = fooled[success].mean()
    assert fresh[1, 0.0] < 0.4
    assert fresh[12, 0.0] > 0.7
    assert fresh[12, 3.0] > 0.9


@all_norms
@pytest.mark.parametrize(("gradient_draws", "accept_draws"), [(1, 3), (4, 3)])
def test_claim_was_seen_to_hold_with_confidence_on_every_accepting_draw(
    random_digits_model, attack_of, gradient_draws, accept_draws
):
    model, x, y = random_digits_model
    x, criterion, recording = x[:8], TargetedMisclassification(targets(y[:8])), Recording(model)
    attack = short(attack_of, confidence=2.0, gradient_draws=gradient_draws, accept_draws=accept_draws)
    raw, _, success = attack(recording, x, criterion, epsilons=None)
    assert success.all()
    inputs = torch.cat([images for images, _ in recording.passes])
    outputs = torch.cat([logits for _, logits in recording.passes])
    for i in range(8):
        seen = outputs[(inputs == raw[i]).flatten(1).all(1)]
        drawn = margin(TargetedMisclassification(targets(y[i]).repeat(len(seen))), ep.astensor(seen)).raw
        # an image whose pixels are all at their bounds may be passed again: any draws in a row will do
        in_a_row = (drawn <= -2).float().unfold(0, accept_draws, 1)
        assert in_a_row.mean(dim=1).max() == 1


@pytest.mark.parametrize(
    ("attack_of", "epsilon"),
    [(CarliniWagnerL0Attack, 6), (CarliniWagnerL2Attack, 1.5), (CarliniWagnerLinfAttack, 0.25)],
)
def test_early_stop_spares_passes(digits_model, attack_of, epsilon):
    model, x, y = digits_model
    free, stopped = Recording(model), Recording(model)
    attack_of()(free, x, y, epsilons=None)
    _, clipped, success = attack_of()(stopped, x, y, epsilons=epsilon)
    assert success.float().mean() > 0.9
    assert (distances(attack_of, clipped, x) <= epsilon + 1e-6).all()
    assert sum(len(i) for i, _ in stopped.passes) < 0.6 * sum(len(i) for i, _ in free.passes)


@all_norms
def test_original_that_is_adversarial_stays_as_it_is(digits_model, attack_of):
    model, x, y = digits_model
    wrong = torch.where(torch.arange(40) % 2 == 0, y, (y + 1) % 10)
    raw, _, success = short(attack_of)(model, x, wrong, epsilons=None)
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


@all_norms
@pytest.mark.parametrize("broken", ["", "everywhere", "off the original", "in the gradient", "flat"])
def test_failed_images_come_back_as_they_were(attack_of, broken):
    model = fb.PyTorchModel(Stubborn(broken).eval(), bounds=(0, 1), device="cpu")
    x, y = torch.full((3, 1, 4, 4), 0.5), torch.ones(3, dtype=torch.int64)
    attack = attack_of(steps=20)
    raw, clipped, success = attack(model, x, TargetedMisclassification(y), epsilons=[None, 1.0])
    assert not success.any()
    assert torch.equal(raw[0], x)
    assert torch.equal(clipped[1], x)


@all_norms
def test_progress_ends_with_all_images(digits_model, attack_of):
    model, x, y = digits_model
    calls = []
    attack = short(attack_of)
    attack(model, x, y, epsilons=None, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (40, 40)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


@all_norms
def test_criterion_of_another_kind_is_refused(digits_model, attack_of):
    class Mine(Misclassification):
        pass

    model, x, y = digits_model
    with pytest.raises(ValueError, match="unsupported criterion Mine"):
        attack_of()(model, x, Mine(y), epsilons=None)


COMMON = {"steps": 0, "stepsize": 0.0, "confidence": -1.0, "gradient_draws": 0}
OWN = {
    CarliniWagnerL0Attack: {"settle": 0, "share": 0.0, "misses": 0, "channel_axis": 0},
    CarliniWagnerL2Attack: {"search_steps": 0, "initial_c": 0.0, "tolerance": 1.0},
    CarliniWagnerLinfAttack: {"search_steps": 0, "tolerance": 1.0},
}


@pytest.mark.parametrize(
    ("attack_of", "name", "value"),
    [(attack_of, *item) for attack_of, own in OWN.items() for item in {**COMMON, **own}.items()],
)
def test_parameter_outside_its_range_is_refused(attack_of, name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        attack_of(**{name: value})


# what the Linf attack alone should do


def least_epsilon(gap, slope, x):
    """The smallest epsilon for which clip(x + epsilon sign(slope), 0, 1) closes the gap, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        gained = (np.clip(x + middle * np.sign(slope), 0, 1) - x) @ slope
        low, high = (low, middle) if gained >= gap else (middle, high)
    return high


@pytest.mark.parametrize(
    ("backend", "confidence", "spread"),  # without and with pixels that meet their bounds
    [("torch", 0.0, 0.1), ("torch", 2.0, 0.5), ("jax", 2.0, 0.5)],
)
def test_linf_of_a_linear_model_is_exact(linear_model, tensor, backend, confidence, spread):
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(2, 30)), rng.uniform(0.5 - spread, 0.5 + spread, size=(rows(backend, 2), 30))
    b = np.array([((w[1] - w[0]) @ x.T).max() + 3.0, 0.0])  # class 0, by at least 3
    slope, gaps = w[1] - w[0], x @ (w[0] - w[1]) + b[0] + confidence
    expected = np.array([least_epsilon(gap, slope, row) for gap, row in zip(gaps, x, strict=True)])
    if spread < 0.5 and confidence == 0:
        np.testing.assert_allclose(expected, gaps / np.abs(slope).sum())  # the closed form
    criterion = TargetedMisclassification(tensor(np.ones(len(x), int), backend))
    attack = CarliniWagnerLinfAttack(confidence=confidence)

    raw, _, success = attack(linear_model(w, b, backend), tensor(x, backend), criterion, epsilons=None)

    assert np.asarray(success).all()
    assert np.asarray(raw).dtype == np.float32
    assert np.asarray(raw).min() >= 0
    assert np.asarray(raw).max() <= 1
    reached = np.abs(np.asarray(raw) - x).max(axis=1)
    assert (reached > expected * 0.9999).all()
    assert (reached < expected * 1.01).all()


def test_linf_is_smaller_than_that_of_iterated_signs_at_every_epsilon(digits_model):
    model, x, y = digits_model
    criterion, grid = TargetedMisclassification(targets(y)), np.arange(1, 41) / 100
    raw, _, success = CarliniWagnerLinfAttack()(model, x, criterion, epsilons=None)
    assert success.all()
    ours = distances(CarliniWagnerLinfAttack, raw, x)
    attack = fb.attacks.LinfBasicIterativeAttack(steps=10)
    held = attack(model, x, criterion, epsilons=list(grid))[2]
    theirs = torch.from_numpy(grid)[held.int().argmax(dim=0)]
    assert held.any(dim=0).all()
    assert (ours < theirs).float().mean() > 0.9
    signs, _, found = GradientSignAttack()(model, x, criterion, epsilons=None)
    assert (ours < distances(CarliniWagnerLinfAttack, signs, x))[found].all()


def test_linf_search_finds_its_way_without_a_first_gradient(tensor):
    class Plateau(nn.Module):
        """Class 1 from a mean of 0.6 on, and without a slope at 0.5."""

        def forward(self, x):
            z = (x.flatten(1).mean(1, keepdim=True) - 0.5).pow(3)
            return torch.cat([z * 0 + 0.001, z], dim=1)

    model = fb.PyTorchModel(Plateau().eval(), bounds=(0, 1), device="cpu")
    x = torch.full((2, 1, 3, 3), 0.501)
    raw, _, success = CarliniWagnerLinfAttack()(model, x, tensor([0, 0]), epsilons=None)
    assert success.all()
    np.testing.assert_allclose(raw, 0.6, atol=0.001)


# what the L0 attack alone should do


@pytest.mark.parametrize(("backend", "confidence"), [("torch", 0.0), ("torch", 3.0), ("jax", 3.0)])
def test_l0_of_a_linear_model_is_the_fewest_largest_gains(linear_model, tensor, backend, confidence):
    rng = np.random.default_rng(2)
    w, x = rng.normal(size=(2, 40)), rng.uniform(0.45, 0.55, size=(rows(backend, 8), 40))
    b = np.array([((w[1] - w[0]) @ x.T).max() + 2.0, 0.0])  # class 0, by at least 2
    slope, gaps = w[1] - w[0], x @ (w[0] - w[1]) + b[0] + confidence
    gains = -np.sort(-np.abs(slope) * np.where(slope > 0, 1 - x, x), axis=1)
    expected = (gains.cumsum(axis=1) < gaps[:, None]).sum(axis=1) + 1
    assert (expected > 1).all()
    criterion = TargetedMisclassification(tensor(np.ones(len(x), int), backend))
    attack = CarliniWagnerL0Attack(confidence=confidence)

    raw, _, success = attack(linear_model(w, b, backend), tensor(x, backend), criterion, epsilons=None)

    assert np.asarray(success).all()
    assert np.asarray(raw).dtype == np.float32
    changed = (np.asarray(raw) != x.astype(np.float32)).sum(axis=1)
    assert changed.tolist() == expected.tolist()


def test_l0_needs_no_more_pixels_than_other_attacks(digits_model):
    model, x, y = digits_model
    criterion, recording = TargetedMisclassification(targets(y)), Recording(model)
    raw, _, success = CarliniWagnerL0Attack()(recording, x, criterion, epsilons=None)
    assert success.all()
    ours = distances(CarliniWagnerL0Attack, raw, x)
    salient, _, found = SaliencyMapAttack(gamma=1.0)(model, x, criterion, epsilons=None)
    assert found.all()
    assert ours.median() < distances(CarliniWagnerL0Attack, salient, x).median()
    fast, _, found = fb.attacks.L0FMNAttack(steps=300)(model, x, criterion, epsilons=None)
    assert found.all()
    assert ours.mean() <= distances(CarliniWagnerL0Attack, fast, x).mean()
    assert sum(len(i) for i, _ in recording.passes) < 300 * len(x)


def test_l0_set_can_do_without_none_of_its_last_pixels(digits_model):
    model, x, y = digits_model
    raw, _, success = CarliniWagnerL0Attack(misses=64)(model, x[:10], y[:10], epsilons=None)
    assert success.all()
    for i in range(10):
        changed = (raw[i] != x[i]).nonzero()
        assert len(changed)
        for place in changed:
            fewer = raw[i].clone()
            fewer[tuple(place)] = x[i][tuple(place)]
            assert model(fewer[None]).argmax() == y[i]


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize(
    ("channel_axis", "entries", "places"),
    [(None, [4, 8], [1, 2]), (1, [0, 3, 6], [0])],
)
def test_pixel_is_an_entry_or_all_channels_of_a_place(
    linear_model, tensor, backend, channel_axis, entries, places
):
    # 3 channels of 3 places: two entries in two places do, and so do all three of the first place
    slope = np.zeros(9)
    slope[[0, 3, 6]], slope[[4, 8]] = 1.0, 1.3
    model = linear_model([np.zeros(9), slope], [2.5, 0.0], backend)
    x, y = np.zeros((rows(backend, 2), 3, 3, 1)), np.zeros(rows(backend, 2), int)
    attack = CarliniWagnerL0Attack(channel_axis=channel_axis)
    raw, _, success = attack(model, tensor(x, backend), tensor(y, backend), epsilons=None)
    assert np.asarray(success).all()
    for image in np.asarray(raw):
        assert np.flatnonzero(image).tolist() == entries
        assert np.flatnonzero(image.any(axis=(0, 2))).tolist() == places


def test_channel_axis_that_images_lack_is_refused(digits_model):
    model, x, y = digits_model
    with pytest.raises(ValueError, match="expected channel_axis to be below 4, got 4"):
        CarliniWagnerL0Attack(channel_axis=4)(model, x, y, epsilons=None)


def test_l0_more_misses_find_smaller_sets(digits_model):
    model, x, y = digits_model
    criterion = TargetedMisclassification(targets(y))
    few, many = (
        distances(
            CarliniWagnerL0Attack, CarliniWagnerL0Attack(misses=m)(model, x, criterion, epsilons=None)[0], x
        )
        for m in (1, 8)
    )
    assert many.mean() < few.mean() - 0.1


@pytest.mark.parametrize(("steep", "kink"), [(50, 0.02), (100, 0.01)])
def test_linf_boundary_is_reached_where_the_first_gradient_misleads(steep, kink):
    model = fb.PyTorchModel(Kink(steep, kink, boundary=2.0).eval(), bounds=(0, 1), device="cpu")
    x = torch.full((1, 1, 8, 8), 0.5)
    criterion = TargetedMisclassification(torch.tensor([1]))
    raw, _, success = CarliniWagnerLinfAttack()(model, x, criterion, epsilons=None)
    assert success.all()
    # all 64 pixels move alike, an eighth of each along the direction that counts
    assert (raw - x).abs().max().item() == pytest.approx(2.0 / 8, rel=0.01)
