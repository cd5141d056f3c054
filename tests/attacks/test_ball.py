import eagerpy as ep
import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification
from torch import nn

from bench.attacks import RandomizedPGDAttack, SquareAttack
from bench.attacks.ball import LARGEST_PASS, BallAttack, Loss, Search, draw
from bench.attacks.criteria import margin

ZERO = torch.zeros(1, dtype=torch.int64)


class Shows(BallAttack):
    """Shows iterates that are a given distance from the image, one after the other."""

    def __init__(self, distances, **options):
        given = {"norm": "linf", "steps": 10, "confidence": 0.0, "held_out_draws": 20, "checkpoints": 2}
        super().__init__(**{**given, "leave_draws": 50, "gradient_draws": 1, "accept_draws": 1, **options})
        self.distances, self.seen, self.starts = distances, [], []

    def search(self, search, starts):
        self.starts = starts
        for step, distance in enumerate(self.distances):
            rows = search.rows
            if not len(rows):
                break
            z = search.inside(rows, search.x[rows] + distance)
            look = search.look(rows, z, search.criterion, Loss(margin))
            self.seen.append(look)
            search.tell(step, rows, look, z)


class Coin(nn.Module):
    """Class 1 in a share of the draws of each image that is its first pixel, by ``by`` logits; else class 0, by 1
    and ``slope`` times the pixel."""

    def __init__(self, by=1.0, slope=0.0):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)
        self.by, self.slope = by, slope

    def forward(self, x):
        pixel = x.flatten(1)[:, 0]
        one = torch.rand(len(x), generator=self.generator) < pixel
        return torch.stack([torch.where(one, -self.by, 1.0 + self.slope * pixel), 0 * pixel], dim=1)


class Script(nn.Module):
    """Whether each pass, of one draw, is class 1."""

    def __init__(self, fooled):
        super().__init__()
        self.fooled, self.passes = fooled, 0

    def forward(self, x):
        one = self.fooled[self.passes]
        self.passes += 1
        return torch.tensor([[0.0, 1.0] if one else [1.0, 0.0]]).repeat(len(x), 1) + 0 * x.flatten(1)[:, :1]


def wrapped(net, **said):
    model = fb.PyTorchModel(net.eval(), bounds=(0, 1), device="cpu")
    for name, value in said.items():
        setattr(model, name, value)
    return model


def test_kept_is_the_iterate_that_fools_most_draws_and_every_row_comes_back_at_it():
    # those draws that it doesn't fool it misses by more than the others do
    net = Coin(slope=20.0)
    x, labels = torch.zeros(6, 1, 1, 2), torch.zeros(6, dtype=torch.int64)
    attack = Shows([0.2, 0.6, 0.3, 0.5], held_out_draws=400, accept_draws=8)
    raw, clipped, success = attack(wrapped(net), x, labels, epsilons=0.7)
    torch.testing.assert_close(raw, torch.full_like(x, 0.6))
    assert torch.equal(raw, clipped)
    # 0.6 to the power of 8 is 0.017
    assert not success.all()


def test_of_iterates_that_fool_as_many_the_one_with_the_lowest_mean_loss_is_kept():
    class Slope(nn.Module):
        def forward(self, x):
            pixel = x.flatten(1)[:, 0]
            return torch.stack([1 + (pixel - 0.4).abs(), 0 * pixel], dim=1)

    x = torch.zeros(1, 1, 1, 2)
    raw, _, success = Shows([0.1, 0.35, 0.6])(wrapped(Slope()), x, ZERO, epsilons=1.0)
    assert raw.max() == pytest.approx(0.35)
    assert not success


def test_an_image_leaves_when_50_of_50_draws_are_fooled_and_not_before():
    x = torch.zeros(1, 2)
    net = Script([True] * 50 + [True])
    attack = Shows([0.1, 0.2])
    success = attack(wrapped(net, shared_draws=True), x, ZERO, epsilons=1.0)[2]
    assert success
    assert [look.share.item() for look in attack.seen] == [1.0]
    assert net.passes == 50 + 1

    net = Script([True] * 49 + [False] + [False] * 20 + [True])
    attack = Shows([0.1, 0.2])
    raw, _, _ = attack(wrapped(net, shared_draws=True), x, ZERO, epsilons=1.0)
    # what the other 30 draws said counts
    assert [look.share.item() for look in attack.seen] == [0.98, 0.0]
    assert attack.seen[0].loss.item() == pytest.approx(-0.96)
    assert raw.max() == pytest.approx(0.1)
    assert net.passes == 50 + 20 + 1


@pytest.mark.parametrize("fresh", [True, False])
def test_a_claim_is_judged_on_fresh_passes_of_the_kept_iterate(fresh):
    net = Script([True] * 10 + [False] * 10 + [True, True, fresh])
    attack = Shows([0.1], accept_draws=3)
    raw, _, success = attack(wrapped(net, shared_draws=True), torch.zeros(1, 2), ZERO, epsilons=1.0)
    assert success.item() is fresh
    assert raw.max() == pytest.approx(0.1)
    assert net.passes == 23


def test_a_look_says_what_its_draws_said():
    attack = Shows([0.3], held_out_draws=5000)
    seen = []
    attack(
        wrapped(Coin(by=3.0)), torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64), epsilons=1.0,
        trace=lambda *said: seen.append(said),
    )  # fmt: skip
    ((step, rows, loss, share, mean_margin, images),) = seen
    assert (step, rows.tolist()) == (0, [0, 1])
    assert torch.equal(images, torch.full((2, 2), 0.3))
    np.testing.assert_allclose(share, 0.3, atol=0.03)
    np.testing.assert_allclose(loss, 0.7 - 0.3 * 3, atol=0.12)
    np.testing.assert_allclose(mean_margin, loss, atol=1e-6)
    np.testing.assert_allclose(attack.seen[0].error, 4 * (0.3 * 0.7 / 5000) ** 0.5, rtol=0.05)


def test_outputs_that_are_not_numbers_are_kept_last():
    class Broken(nn.Module):
        def forward(self, x):
            pixel = x.flatten(1)[:, :1]
            return torch.cat([torch.where(pixel > 0.15, torch.nan, 1.0), 0 * pixel], dim=1)

    x = torch.zeros(1, 2)
    for distances in ([0.2, 0.1], [0.1, 0.2]):
        raw, _, success = Shows(distances)(wrapped(Broken()), x, ZERO, epsilons=1.0)
        assert raw.max() == pytest.approx(0.1)
        assert not success


def test_many_draws_are_cut_into_passes_and_none_is_lost():
    sizes = []

    def model(x):
        sizes.append(len(x))
        return x

    x = ep.astensor(torch.arange(100.0)[:, None])
    assert draw(model, x, 7).numpy()[:, 0].tolist() == list(range(100)) * 7
    assert sum(sizes) == 700
    assert max(sizes) <= LARGEST_PASS
    # a batch that is larger passes as it is
    sizes.clear()
    draw(model, ep.astensor(torch.zeros(300, 1)), 2)
    assert sizes == [300, 300]


def test_starting_points_are_drawn_into_the_ball_and_the_bounds(tensor):
    x = torch.full((3, 1, 2, 2), 0.1)
    points = torch.stack([torch.zeros_like(x), torch.ones_like(x)])
    for given, shapes in ((points[0], 1), (points, 2)):
        attack = Shows([])
        attack(wrapped(Coin()), x, torch.zeros(3, dtype=torch.int64), epsilons=0.2, starting_points=given)
        assert [tuple(start.shape) for start in attack.starts] == [(3, 1, 2, 2)] * shapes
    for wrong in (points[0, :2], points[:, :2], points[None]):
        with pytest.raises(
            ValueError, match=r"expected starting_points to have shape \(3, 1, 2, 2\), or one more"
        ):
            Shows([])(
                wrapped(Coin()), x, torch.zeros(3, dtype=torch.int64), epsilons=0.2, starting_points=wrong
            )

    search = at_half(Shows([]), torch.full((1, 1, 2, 2), 0.1), 0.2)
    inside = search.inside(np.array([0]), ep.astensor(torch.tensor([[[[-1.0, 0.2], [0.5, 0.1]]]]))).numpy()
    np.testing.assert_allclose(inside.reshape(-1), [0.0, 0.2, 0.3, 0.1], atol=1e-6)


def at_half(attack, x, epsilon):
    goal = Misclassification(torch.zeros(len(x), dtype=torch.int64))
    return Search(attack, wrapped(Coin()), ep.astensor(x), goal, epsilon, None, None)


@pytest.mark.parametrize(("norm", "power"), [("linf", 3), ("l2", 3)])
def test_random_points_are_uniform_in_the_ball(norm, power):
    np.random.seed(0)  # noqa: NPY002
    x = torch.full((20000, 3), 0.5)
    search = at_half(Shows([], norm=norm), x, 0.4)
    r = search.random(np.arange(20000)).numpy() - 0.5
    distance = np.abs(r).max(1) if norm == "linf" else np.linalg.norm(r, axis=1)
    assert distance.max() <= 0.4 + 1e-6
    for share in (0.5, 0.8):
        assert (distance < share * 0.4).mean() == pytest.approx(share**power, abs=0.015)
    np.testing.assert_allclose(r.mean(0), 0, atol=0.01)


@pytest.mark.parametrize("attack", [RandomizedPGDAttack, SquareAttack])
def test_an_epsilon_is_needed_and_finite(attack, digits_model):
    model, x, y = digits_model
    with pytest.raises(ValueError, match="does not support None in epsilons"):
        attack()(model, x, y, epsilons=None)
    with pytest.raises(ValueError, match="does not support None in epsilons"):
        attack(steps=1)(model, x, y, epsilons=[0.1, None])
    for epsilon in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected epsilons to be finite and at least 0"):
            attack()(model, x, y, epsilons=epsilon)


@pytest.mark.parametrize("attack", [RandomizedPGDAttack, SquareAttack])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm", "l1"), ("steps", 0), ("confidence", -1.0), ("held_out_draws", 0), ("checkpoints", 1),
        ("leave_draws", 0), ("accept_draws", 0),
    ],
)  # fmt: skip
def test_parameter_outside_its_range_is_refused(attack, name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        attack(**{name: value})


@pytest.mark.parametrize(
    "attack", [RandomizedPGDAttack(steps=1, restarts=4, rel_stepsize=0.01), SquareAttack(steps=20)]
)
def test_numpys_seed_settles_what_is_found(attack, digits_model):
    model, x, y = digits_model
    found = []
    for seed in (1, 1, 2):
        np.random.seed(seed)  # noqa: NPY002
        found.append(attack(model, x[:10], y[:10], epsilons=0.05)[1])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("attack", [RandomizedPGDAttack, SquareAttack])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_several_epsilons_are_searched_one_by_one(attack, norm, digits_model):
    model, x, y = digits_model
    calls, epsilons = [], [0.0, 0.1, 0.3] if norm == "linf" else [0.0, 0.3, 1.5]
    raws, clippeds, success = attack(norm=norm, steps=15)(
        model, x, y, epsilons=epsilons, progress=lambda done, total: calls.append((done, total))
    )
    assert success.shape == (3, 40)
    assert not success[0].any()
    assert success[2].sum() > success[1].sum()
    distance = fb.distances.linf if norm == "linf" else fb.distances.l2
    for epsilon, raw, clipped, claimed in zip(epsilons, raws, clippeds, success, strict=True):
        assert torch.equal(raw, clipped)
        assert distance(x, raw).max() <= epsilon * (1 + 1e-5)
        assert raw.min() >= 0
        assert raw.max() <= 1
        assert torch.equal(model(raw).argmax(-1) != y, claimed)
    assert calls[-1] == (40, 40)


@pytest.mark.parametrize("attack", [RandomizedPGDAttack, SquareAttack])
def test_bounds_are_those_of_the_model(attack, digits_model):
    model, x, y = digits_model
    wide = model.transform_bounds((-10, 30))
    found = {}
    for name, net, images, epsilon in (("as it is", model, x, 0.1), ("wide", wide, x * 40 - 10, 4.0)):
        np.random.seed(0)  # noqa: NPY002
        found[name] = attack(steps=10, held_out_draws=1)(net, images, y, epsilons=epsilon)
    assert torch.equal(found["wide"][2], found["as it is"][2])
    assert found["wide"][1].min() >= -10
    assert found["wide"][1].max() <= 30
    moved = (found["wide"][1] - (x * 40 - 10)).abs().flatten(1).amax(1)
    assert moved.max() <= 4.0 + 1e-4
    assert moved.max() > 3.0
