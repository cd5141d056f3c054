import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import TargetedMisclassification
from torch import nn

from bench.attacks import RandomizedPGDAttack, SquareAttack, TopKMisclassification
from bench.attacks.square import covered, peaks, signs


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(0)  # noqa: NPY002


class Seen(nn.Module):
    """Another network, of which it keeps what passes, and which it lets nobody differentiate."""

    def __init__(self, net):
        super().__init__()
        self.net, self.passed = net, []

    def forward(self, x):
        assert not x.requires_grad
        self.passed.append(x.clone())
        return self.net(x)


def seen(net, bounds=(0, 1)):
    kept = Seen(net).eval()
    return kept, fb.PyTorchModel(kept, bounds, device="cpu")


def still(**options):
    """As for a deterministic model."""
    return SquareAttack(**{"steps": 300, "redraw": False, "held_out_draws": 1, **options})


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.15), ("l2", 0.9)])
def test_a_network_is_fooled_without_gradients_and_inside_the_ball(digits_model, norm, epsilon):
    model, x, y = digits_model
    net, without = seen(model)
    _, clipped, success = still(norm=norm)(without, x, y, epsilons=epsilon)
    followed = RandomizedPGDAttack(norm=norm, held_out_draws=1)(model, x, y, epsilons=epsilon)[2]
    assert success.sum() > (0.8 if norm == "linf" else 0.65) * followed.sum()
    assert torch.equal(model(clipped).argmax(-1) != y, success)
    # images are told apart by what is nearest to them
    for batch in net.passed:
        assert batch.min() >= 0
        assert batch.max() <= 1
        distances = torch.cdist(batch.flatten(1), x.flatten(1), float("inf") if norm == "linf" else 2.0)
        assert distances.min(1).values.max() <= epsilon * (1 + 1e-4)


@pytest.mark.parametrize("kind", ["targeted", "top 3"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_targeted_and_top_k_go_where_they_are_sent(digits_model, kind, norm):
    model, x, y = digits_model
    criterion = TargetedMisclassification((y + 3) % 10) if kind == "targeted" else TopKMisclassification(y, 3)
    _, clipped, success = still(norm=norm)(model, x, criterion, epsilons=0.25 if norm == "linf" else 1.5)
    assert success.float().mean() > 0.4
    assert torch.equal(criterion(clipped, model(clipped)), success)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_jax_finds_what_pytorch_finds(linear_model, tensor, norm):
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 18)), rng.uniform(0.3, 0.7, size=(2, 2, 3, 3))
    labels = (x.reshape(2, -1) @ w.T).argmax(1)
    found = []
    for backend in ("torch", "jax"):
        np.random.seed(0)  # noqa: NPY002
        attack = still(norm=norm, steps=6)
        model = linear_model(w, np.zeros(3), backend)
        found.append(attack(model, tensor(x, backend), tensor(labels, backend), epsilons=0.05)[1])
    assert np.abs(np.asarray(found[0]) - x).max() > 0.01
    np.testing.assert_allclose(np.asarray(found[0]), np.asarray(found[1]), atol=1e-5)


class Lucky(nn.Module):
    """Fooled by all but a few pixels up at once; and a draw in twenty is, whatever the image."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        luck = torch.rand(len(x), generator=self.generator) < 0.05
        margin = 0.7 - (x.flatten(1).mean(1) - 0.5) / 0.1 - 2 * luck
        return torch.stack([margin, torch.zeros_like(margin)], dim=1)


def test_a_lucky_draw_freezes_the_search_unless_the_incumbent_is_drawn_again():
    model = fb.PyTorchModel(Lucky().eval(), bounds=(0, 1), device="cpu")
    x, labels = torch.full((40, 1, 6, 6), 0.5), torch.zeros(40, dtype=torch.int64)
    claimed = [
        SquareAttack(steps=400, redraw=redraw, accept_draws=20)(model, x, labels, epsilons=0.1)[2].sum()
        for redraw in (True, False)
    ]
    assert claimed[0] > 36
    assert claimed[1] < 30


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # the image itself, the stripes, and each proposal
        ({"redraw": False, "held_out_draws": 1}, [1] + [1] + [1] * 6),
        ({"held_out_draws": 1}, [1] + [1] + [1, 1] * 6),
        # in a look 5, after 0, 3 and 6 steps
        ({"redraw": False, "draws": 3}, [5] + [3, 5] + [3, 3, 3, 5] * 2),
        ({"draws": 3}, [5] + [3, 5] + [3, 3, 3, 3, 3, 3, 5] * 2),
    ],
)
def test_passes_are_those_of_proposals_incumbents_and_looks(options, expected):
    net, model = seen(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))
    net.net[1].weight.data.zero_()
    net.net[1].bias.data = torch.tensor([5.0, 0.0])
    attack = SquareAttack(**{"steps": 6, "checkpoints": 3, "held_out_draws": 5, **options})
    attack(model, torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64), epsilons=0.1)
    assert [len(batch) for batch in net.passed] == [2 * draws for draws in expected]


@pytest.mark.parametrize("channel_axis", [1, 3])
def test_linf_search_starts_from_stripes_and_proposes_squares_of_a_sign(channel_axis):
    net, model = seen(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)))
    # no proposal is better, so that each is one change of the stripes
    net.net[1].weight.data.zero_()
    net.net[1].bias.data = torch.tensor([5.0, 0.0])
    x = torch.full((4, 3, 8, 8), 0.5).movedim(1, channel_axis)
    still(steps=40, channel_axis=channel_axis)(model, x, torch.zeros(4, dtype=torch.int64), epsilons=0.1)
    passed = [(batch.movedim(channel_axis, 1) - 0.5) / 0.1 for batch in net.passed]
    image, stripes, *proposals = passed
    assert torch.equal(image, 0 * image)
    torch.testing.assert_close(stripes.abs(), torch.ones_like(stripes))
    assert (stripes == stripes[:, :, :1]).all()
    assert (stripes != stripes[:, :, :, :1]).any()
    sides = []
    for step, tried in enumerate(proposals):
        changed = (tried - stripes).abs() > 0.1
        # a square, of one sign in each colour, and at least a pixel of it is new
        assert changed.flatten(1).any(1).all()
        side = min(7, max(1, round((covered(0.8, step, 40) * 64) ** 0.5)))
        for one, which in zip(tried, changed, strict=True):
            down, across = which.any(0).nonzero().T
            assert down.max() - down.min() < side
            assert across.max() - across.min() < side
            for colour, new in zip(one, which, strict=True):
                assert len(colour[new].round().unique()) <= 1
        sides.append(side)
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] < sides[0]


def test_l2_search_uses_all_of_epsilon_and_moves_it_into_a_square():
    net, model = seen(nn.Sequential(nn.Flatten(), nn.Linear(2 * 100, 2)), bounds=(-9, 9))
    net.net[1].weight.data.zero_()
    net.net[1].bias.data = torch.tensor([5.0, 0.0])
    x = torch.zeros(3, 2, 10, 10)
    still(norm="l2", steps=30, p_init=0.1)(model, x, torch.zeros(3, dtype=torch.int64), epsilons=2.0)
    _, grid, *proposals = net.passed
    for batch in (grid, *proposals):
        torch.testing.assert_close(batch.flatten(1).norm(dim=1), torch.full((3,), 2.0))
    # tiles of a fifth, each a pattern of two signs
    tiles = grid.unfold(2, 2, 2).unfold(3, 2, 2)
    torch.testing.assert_close(tiles.sum((-1, -2)), torch.zeros(3, 2, 5, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(tiles.flatten(-2).norm(dim=-1), torch.full((3, 2, 5, 5), 2 / 50**0.5))
    for batch in proposals:
        for one, before in zip(batch, grid, strict=True):
            changed = (one - before).abs().amax(0) > 1e-3 * before.abs().max()
            emptied = (one.abs().amax(0) < 1e-5).sum()
            # two squares of three, where they don't overlap
            assert 9 <= changed.sum() <= 18
            assert emptied <= 9


def test_peaks_are_two_halves_with_a_peak_in_each():
    for side in (1, 2, 3, 5, 7):
        square = peaks(side)
        assert square.shape == (side, side)
        assert np.linalg.norm(square) == pytest.approx(1)
        if side > 1:
            assert (square[: side // 2] > 0).all()
            assert (square[side // 2 :] < 0).all()
    five = peaks(5)
    # a half of three rows: 1 + 1/4 + 1/9 in the middle, 1/4 + 1/9 around it, 1/9 at the ends
    expected = np.array([[1 / 9, 13 / 36, 13 / 36, 13 / 36, 1 / 9]] * 3)
    expected[1, 2] = 49 / 36
    np.testing.assert_allclose(-five[2:] / -five[2, 0] / 9, expected)


def test_schedule_is_the_published_one_whatever_the_steps():
    published = {
        0: 1,
        10: 1,
        11: 2,
        50: 2,
        51: 4,
        200: 4,
        201: 8,
        501: 16,
        1001: 32,
        2001: 64,
        4001: 128,
        6001: 256,
        9999: 512,
    }
    for step, divisor in published.items():
        assert covered(0.8, step, 10_000) == 0.8 / divisor
        assert covered(0.8, step // 10, 1000) >= 0.8 / divisor
    assert covered(0.8, 999, 1000) == 0.8 / 512
    assert set(np.unique(signs(1000))) == {-1, 1}


def test_starting_points_take_the_place_of_the_stripes(digits_model):
    model, x, y = digits_model
    adversarial = still()(model, x, y, epsilons=0.3)[1]
    net, without = seen(model)
    attack = still(steps=1)
    # what fools leaves at once, and the image itself is looked at first
    success = attack(without, x, y, epsilons=0.3, starting_points=adversarial)[2]
    assert success.float().mean() > 0.9
    assert torch.equal(net.passed[0], x)
    torch.testing.assert_close(net.passed[1], adversarial)
    # several are tried one after the other
    net.passed.clear()
    attack(without, x, y, epsilons=0.3, starting_points=torch.stack([x, adversarial]))
    assert [len(batch) for batch in net.passed[:3]] == [40, 40, 40]
    torch.testing.assert_close(net.passed[1], x)


def test_each_checkpoint_is_told(digits_model):
    model, x, y = digits_model
    told = []
    SquareAttack(steps=40, checkpoints=5)(
        model, x, y, epsilons=0.1, starting_points=torch.stack([x, x]), trace=lambda *said: told.append(said)
    )
    assert [said[0] for said in told] == [0, 10, 20, 30, 40, 40, 50, 60, 70, 80]
    assert told[4][4].mean() < told[0][4].mean()


def test_what_has_no_places_is_refused(linear_model, tensor):
    model = linear_model(np.eye(2, 4), np.zeros(2))
    with pytest.raises(ValueError, match=r"expected images of three axes, got inputs of shape \(1, 4\)"):
        SquareAttack()(model, tensor(np.full((1, 4), 0.5)), tensor([0]), epsilons=0.1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (1, 2, 2), (3, 4, 9)])
def test_images_may_be_as_small_as_a_pixel(linear_model, tensor, norm, shape):
    pixels = int(np.prod(shape))
    x = tensor(np.full((2, *shape), 0.5))
    model = linear_model([np.zeros(pixels), np.ones(pixels)], [0.55 * pixels, 0.0])
    raw, _, success = still(norm=norm, steps=60)(
        model, x, tensor([0, 0]), epsilons=0.2 * (pixels**0.5 if norm == "l2" else 1)
    )
    assert torch.isfinite(raw).all()
    assert (raw != x).any()
    # a pattern of two signs can't lift all pixels
    if norm == "linf" or pixels < 3:
        assert success.all()


@pytest.mark.parametrize(
    ("name", "value"), [("draws", 0), ("p_init", 0.0), ("p_init", 1.5), ("channel_axis", 2)]
)
def test_parameter_outside_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {value}"):
        SquareAttack(**{name: value})
