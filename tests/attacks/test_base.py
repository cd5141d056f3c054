import eagerpy as ep
import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.distances import l0, l2
from torch import nn
from torch.nn import functional as F

import bench.attacks
from bench.attacks import TopKMisclassification
from bench.attacks.base import BatchAttack, at, confirm, mean_draws, pass_draws, put, repeat, row_gradients
from bench.attacks.criteria import Overtaken, cross_entropy, holds, margin, take

LOGITS = [[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 2.0], [0.0, 5.0, 5.0, 5.0]]


class Found(BatchAttack):
    """Returns what it was built with."""

    def __init__(self, found, accepted, distance=l2, **draws):
        super().__init__(**draws)
        self.found, self.accepted, self.distance = found, accepted, distance

    distance = None

    def minimize(self, model, x, criterion, *, early_stop, progress):
        self.early_stop = early_stop
        return ep.astensor(self.found), ep.astensor(self.accepted)


class Coin(nn.Module):
    """Outputs class 1 in a share of the passes of each image that is its first pixel, class 0 otherwise."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)
        self.passed = 0

    def forward(self, x):
        self.passed += len(x)
        one = torch.rand(len(x), generator=self.generator) < x.flatten(1)[:, 0]
        return F.one_hot(one.long(), 2).float() + 0 * x.flatten(1)[:, :1]


def coin():
    net = Coin().eval()
    return net, fb.PyTorchModel(net, bounds=(0, 1), device="cpu")


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize(
    ("labels", "k", "expected"),
    [
        ([0, 1, 0], 1, [False, True, True]),
        ([2, 0, 0], 2, [False, False, True]),
        ([3, 2, 0], 3, [True, True, True]),
        ([3, 1, 1], 2, [True, False, False]),  # a tie at the k-th place counts as being among the k
    ],
)
def test_top_k_misclassification(tensor, backend, labels, k, expected):
    logits = tensor(LOGITS, backend)
    held = TopKMisclassification(tensor(labels, backend), k)(logits, logits)
    assert np.asarray(held).tolist() == expected


@pytest.mark.parametrize("k", [0, -1])
def test_top_k_needs_a_positive_k(tensor, k):
    with pytest.raises(ValueError, match=f"expected k to be at least 1, got {k}"):
        TopKMisclassification(tensor([0]), k)


def test_top_k_needs_more_classes_than_k(tensor):
    with pytest.raises(ValueError, match="expected k to be less than the 4 classes, got 4"):
        TopKMisclassification(tensor([0, 0, 0]), 4)(tensor(LOGITS), tensor(LOGITS))


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_margin_is_negative_exactly_where_the_criterion_holds(tensor, backend):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 6))
    classes = rng.integers(0, 6, 200)
    logits, labels = ep.astensor(tensor(values, backend)), tensor(classes, backend)
    rivals = (classes + 1) % 6
    overtaken = Overtaken(labels, tensor(rivals, backend))
    by_hand = values[range(200), classes] - values[range(200), rivals]
    np.testing.assert_allclose(margin(overtaken, logits).numpy(), by_hand, atol=1e-5)
    assert (overtaken(logits, logits).numpy() == (by_hand < 0)).all()
    for criterion, rank in (
        (Misclassification(labels), 1),
        (TopKMisclassification(labels, 3), 3),
        (TargetedMisclassification(labels), None),
    ):
        own = values[range(200), classes]
        others = -np.sort(-np.delete(values.reshape(-1), np.arange(200) * 6 + classes).reshape(200, 5))
        expected = others[:, 0] - own if rank is None else own - others[:, rank - 1]
        got = margin(criterion, logits).numpy()
        np.testing.assert_allclose(got, expected, atol=1e-5)
        assert ((got < 0) == criterion(logits, logits).numpy()).all()
        # confidence asks for a margin of that much
        assert (holds(criterion, logits, 0.5).numpy() == (expected <= -0.5)).all()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_margin_has_a_finite_gradient_of_plus_and_minus_one(tensor, backend):
    logits, labels = ep.astensor(tensor(LOGITS, backend)), tensor([0, 0, 0], backend)
    for criterion in (TargetedMisclassification(labels), TopKMisclassification(labels, 2)):
        gradient = ep.value_and_grad(lambda z, c=criterion: margin(c, z).sum(), logits)[1].numpy()
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(np.abs(gradient).sum(axis=1), 2.0)
        np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-6)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_cross_entropy_keeps_the_gradient_that_the_softmax_rounds_away(tensor, backend):
    values = np.array([[30.0, 1.0, 0.0], [1.0, 2.0, 3.0], [-50.0, 0.0, 1.0]])
    labels = ep.astensor(tensor([0, 0, 0], backend))

    def loss(z):
        return cross_entropy(z, labels).sum()

    value, gradient = ep.value_and_grad(loss, ep.astensor(tensor(values, backend)))
    z = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    expected = F.cross_entropy(z, torch.zeros(3, dtype=torch.int64), reduction="sum")
    expected.backward()
    np.testing.assert_allclose(value.numpy(), expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient.numpy(), z.grad.numpy(), rtol=1e-4)


def test_outputs_that_are_not_numbers_hold_nothing(tensor):
    logits = tensor([[np.nan, np.nan, np.nan], [0.0, np.nan, 1.0]])
    labels = tensor([1, 2])
    for criterion in (
        Misclassification(labels),
        TargetedMisclassification(tensor([0, 1])),
        TopKMisclassification(labels, 2),
    ):
        assert not holds(criterion, ep.astensor(logits)).any()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_take_gives_the_criterion_of_its_rows(tensor, backend):
    logits, labels = tensor(LOGITS, backend), tensor([0, 1, 2], backend)
    rows = np.array([2, 0])
    for criterion in (
        Misclassification(labels),
        TargetedMisclassification(labels),
        TopKMisclassification(labels, 2),
        Overtaken(labels, tensor([3, 0, 0], backend)),
    ):
        whole = np.asarray(criterion(logits, logits))
        assert np.asarray(take(criterion, rows)(logits[rows], logits[rows])).tolist() == whole[rows].tolist()


def test_criteria_that_are_not_known_are_refused(tensor):
    class Mine(Misclassification):
        pass

    with pytest.raises(ValueError, match="unsupported criterion Overtaken"):
        Found(torch.zeros(1, 1), torch.tensor([False]))(
            coin()[1], torch.zeros(1, 1), Overtaken(tensor([0]), tensor([1])), epsilons=None
        )
    with pytest.raises(ValueError, match="unsupported criterion Mine"):
        take(Mine(tensor([0])), np.array([0]))
    _, model = coin()
    attack = Found(torch.zeros(1, 1), torch.tensor([False]))
    with pytest.raises(ValueError, match="unsupported criterion Mine"):
        attack(model, torch.zeros(1, 1), Mine(tensor([0])), epsilons=None)
    with pytest.raises(ValueError, match=r"expected labels to have shape \(1,\)"):
        attack(model, torch.zeros(1, 1), tensor([0, 0]), epsilons=None)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_put_replaces_rows_in_a_copy(tensor, backend):
    x = ep.astensor(tensor(np.arange(8.0).reshape(4, 2), backend))
    got = put(x, np.array([3, 1]), ep.astensor(tensor([[30.0, 31.0], [10.0, 11.0]], backend)))
    assert got.numpy().tolist() == [[0, 1], [10, 11], [4, 5], [30, 31]]
    assert x.numpy()[1].tolist() == [2, 3]


def test_draws_stay_with_their_images(tensor):
    x = ep.astensor(tensor([[0.0], [1.0], [2.0]]))
    outputs = pass_draws(lambda z: ep.concatenate([z, z + 10], axis=-1), x, 4)
    assert outputs.shape == (12, 2)
    assert mean_draws(outputs[:, 1], 4).numpy().tolist() == [10, 11, 12]
    labels = repeat(Misclassification(tensor([5, 6, 7])), 3, 4).labels
    assert labels.numpy().tolist() == [5, 6, 7] * 4


def test_accepted_means_that_every_draw_held():
    net, model = coin()
    x = ep.astensor(torch.full((4000, 1), 0.8))
    criterion = Misclassification(torch.zeros(4000, dtype=torch.int64))
    held = confirm(model, x, criterion, np.ones(4000, dtype=bool), 5)
    assert abs(held.mean() - 0.8**5) < 0.03
    # a row that has failed once isn't passed again
    assert abs(net.passed / 4000 - (1 - 0.8**5) / 0.2) < 0.1


def test_draws_made_for_the_gradient_count_as_accepting_ones():
    net, model = coin()
    x = ep.astensor(torch.full((2000, 1), 0.9))
    criterion = Misclassification(torch.zeros(2000, dtype=torch.int64))
    for draws, accept_draws in ((4, 2), (4, 4), (2, 6)):
        attack = Found(None, None, gradient_draws=draws, accept_draws=accept_draws)
        logits = pass_draws(model, x, draws)
        net.passed = 0
        accepted = attack.accept(model, x, criterion, logits)
        assert abs(accepted.mean() - 0.9**accept_draws) < 0.04
        assert (net.passed == 0) == (accept_draws <= draws)


def test_confirm_leaves_what_had_not_held():
    net, model = coin()
    x = ep.astensor(torch.ones(3, 1))
    criterion = Misclassification(torch.zeros(3, dtype=torch.int64))
    held = np.array([True, False, True])
    assert confirm(model, x, criterion, held, 3).tolist() == held.tolist()
    assert net.passed == 6


def test_claim_is_not_drawn_again_unless_clipping_changes_the_image():
    net, model = coin()
    x, labels = torch.zeros(3, 1, 1, 2), torch.zeros(3, dtype=torch.int64)
    found = torch.tensor([[0.0, 0.3], [0.0, 0.3], [0.0, 0.0]]).reshape(3, 1, 1, 2)
    attack = Found(found, torch.tensor([True, True, False]))  # class 1 never comes out of these

    raw, clipped, success = attack(model, x, labels, epsilons=0.5)
    assert success.tolist() == [True, True, False]
    assert torch.equal(raw, found)
    assert torch.equal(clipped, found)
    assert net.passed == 0

    raws, clippeds, successes = attack(model, x, labels, epsilons=[0.1, 0.3, None])
    assert successes.tolist() == [[False] * 3, [True, True, False], [True, True, False]]
    torch.testing.assert_close(clippeds[0].flatten(1).amax(1), torch.tensor([0.1, 0.1, 0.0]))
    assert all(torch.equal(r, found) for r in raws)
    assert net.passed == 2


def test_clipped_image_must_hold_on_every_accepting_draw():
    _, model = coin()
    x, found = torch.zeros(3000, 1), torch.ones(3000, 1)
    labels = torch.zeros(3000, dtype=torch.int64)
    attack = Found(found, torch.ones(3000, dtype=torch.bool), accept_draws=4)
    success = attack(model, x, labels, epsilons=0.8)[2]
    assert abs(success.float().mean() - 0.8**4) < 0.04


def test_l0_budget_gives_up_the_images_beyond_it(tensor):
    _, model = coin()
    x = torch.zeros(2, 3)
    found = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    attack = Found(found, torch.tensor([True, True]), distance=l0)
    raw, clipped, success = attack(model, x, tensor([0, 0]), epsilons=1)
    assert success.tolist() == [True, False]
    assert torch.equal(raw, found)
    assert torch.equal(clipped, torch.stack([found[0], x[1]]))


@pytest.mark.parametrize(
    ("epsilons", "expected"), [(None, None), ([0.5, 0.2], 0.2), ([0.5, None], None), (1, 1)]
)
def test_early_stop_is_the_smallest_epsilon(tensor, epsilons, expected):
    _, model = coin()
    attack = Found(torch.zeros(1, 2), torch.tensor([False]))
    attack(model, torch.zeros(1, 2), tensor([0]), epsilons=epsilons)
    assert attack.early_stop == expected


def test_unknown_keyword_is_refused(tensor):
    _, model = coin()
    attack = Found(torch.zeros(1, 2), torch.tensor([False]))
    with pytest.raises(TypeError, match="unexpected keyword argument 'epsilon'"):
        attack(model, torch.zeros(1, 2), tensor([0]), epsilons=None, epsilon=1)


@pytest.mark.parametrize("name", ["gradient_draws", "accept_draws"])
def test_number_of_draws_must_be_positive(name):
    with pytest.raises(ValueError, match=f"expected {name} to be at least 1, got 0"):
        Found(None, None, **{name: 0})


ATTACKS = [
    attack
    for attack in (getattr(bench.attacks, name) for name in bench.attacks.__all__)
    # one of Foolbox's does as that does
    if isinstance(attack, type) and issubclass(attack, BatchAttack)
]


BALLS = [bench.attacks.RandomizedPGDAttack, bench.attacks.SquareAttack]


def short(attack, **draws):
    """An attack of few steps; one in a ball as for a deterministic model, and by what name its draws go."""
    if attack is bench.attacks.SquareAttack:
        draws["draws"] = draws.pop("gradient_draws", 1)
        return attack(steps=60, redraw=False, held_out_draws=1, **draws)
    searches = attack is bench.attacks.LBFGSAttack or attack.__name__.startswith("Carlini")
    ball = {"steps": 20, "held_out_draws": 1} if attack in BALLS else {}
    return attack(**({"steps": 20} if searches else ball), **draws)


def size(attack, in_a_ball):
    """No epsilon, but for attacks that need one."""
    return in_a_ball if attack in BALLS else None


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_network_of_a_single_class_is_refused(linear_model, tensor, attack, backend):
    model = linear_model(np.ones((1, 4)), [0.0], backend)
    x, zeros = tensor(np.full((3, 1, 2, 2), 0.5), backend), tensor([0, 0, 0], backend)
    for criterion in (Misclassification(zeros), TargetedMisclassification(zeros)):
        with pytest.raises(ValueError, match=r"expected at least two classes, got outputs of shape \(3, 1\)"):
            short(attack)(model, x, criterion, epsilons=size(attack, 0.1))


def test_outputs_that_are_not_rows_of_classes_are_refused(tensor):
    for shape in ((3,), (3, 4, 5)):
        outputs = ep.astensor(tensor(np.zeros(shape)))
        with pytest.raises(ValueError, match="expected outputs of shape"):
            holds(Misclassification(tensor([0, 0, 0])), outputs)


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        ("CarliniWagnerL0Attack", "confidence"),
        ("CarliniWagnerL2Attack", "stepsize"),
        ("CarliniWagnerL2Attack", "initial_c"),
        ("CarliniWagnerLinfAttack", "stepsize"),
        ("DeepFoolAttack", "overshoot"),
        ("LBFGSAttack", "initial_c"),
        ("RandomizedPGDAttack", "rel_stepsize"),
        ("RandomizedPGDAttack", "confidence"),
        ("SquareAttack", "confidence"),
    ],
)
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_settings_that_are_not_finite_are_refused(attack, name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*finite.*, got {value}"):
        getattr(bench.attacks, attack)(**{name: value})


class Company(nn.Module):
    """A digits network on images less half of what their batch's mean is above 0.3; keeps what passes.

    It doesn't see the first pixel, so that no attack moves it.
    """

    def __init__(self, net):
        super().__init__()
        self.net, self.passed = net, []

    def forward(self, x):
        self.passed.append(x.detach().clone())
        seen = x.clone()
        seen[:, 0, 0, 0] = 0.3
        return self.net(seen - 0.5 * (seen.mean(0, keepdim=True) - 0.3))


MARKS = torch.arange(8) / 8
START = np.array([1, 4])


@pytest.fixture
def company(digits_model):
    """The network, its model, eight images marked by their first pixel, and labels, two of them wrong."""
    net, x = Company(digits_model[0]).eval(), digits_model[1][:8]
    x[:, 0, 0, 0] = MARKS
    labels = net(x).argmax(-1)
    labels[START] = (labels[START] + 1) % 10
    net.passed.clear()
    return net, fb.PyTorchModel(net, bounds=(0, 1), device="cpu"), x, labels


@pytest.mark.parametrize("attack", ATTACKS)
def test_in_whole_batches_every_pass_has_every_image_at_its_place(company, attack):
    net, model, x, labels = company
    model.whole_batches = True
    # a random search moves pixels that the network doesn't see, so far
    epsilon, moved = (0.05, 0.051) if attack is bench.attacks.SquareAttack else (0.2, 1e-3)
    short(attack, gradient_draws=2, accept_draws=3)(
        model, x, labels, epsilons=[size(attack, epsilon), epsilon]
    )
    assert len(net.passed) > 3
    for batch in net.passed:
        assert batch.shape == x.shape
        torch.testing.assert_close(batch[:, 0, 0, 0], MARKS, atol=moved, rtol=0)
        # adversarial as they are, and so never moved
        assert torch.equal(batch[START], x[START])


@pytest.mark.parametrize("attack", ATTACKS)
def test_in_whole_batches_claims_hold_in_the_batch_that_comes_back(company, attack):
    net, model, x, labels = company
    model.whole_batches = True
    _, clipped, success = short(attack)(model, x, labels, epsilons=[size(attack, 0.5), 0.2])
    for images, claimed in zip(clipped, success, strict=True):
        assert claimed.any()
        assert (net(images).argmax(-1) != labels)[claimed].all()
    assert success[0].sum() > len(START)


@pytest.mark.parametrize("attack", ["DeepFoolAttack", "GradientSignAttack", "SaliencyMapAttack"])
def test_in_whole_batches_an_image_that_is_finished_stays_as_it_comes_back(company, attack):
    net, model, x, labels = company
    model.whole_batches = True
    found, _, success = getattr(bench.attacks, attack)()(model, x, labels, epsilons=None)
    last = []
    for row in success.nonzero()[:, 0].tolist():
        there = [torch.equal(batch[row], found[row]) for batch in net.passed]
        last.append(there.index(True))
        assert all(there[last[-1] :])
    # some are passed while others still move
    assert len(set(last)) > 2


@pytest.mark.parametrize("attack", ATTACKS)
def test_in_whole_batches_images_that_do_not_depend_on_others_come_out_the_same(attack):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.Tanh(), nn.Linear(20, 10))
    # of double precision, since a batch of another size rounds otherwise, which a search may blow up
    model = fb.PyTorchModel(net.double().eval().requires_grad_(False), bounds=(0, 1), device="cpu")
    x = torch.rand(8, 1, 6, 6, dtype=torch.float64)
    labels = net(x).argmax(-1)
    found = []
    for whole in (False, True):
        model.whole_batches = whole
        np.random.seed(0)  # noqa: NPY002
        found.append(short(attack, gradient_draws=2)(model, x, labels, epsilons=size(attack, 0.3)))
    assert found[1][2].any()
    assert torch.equal(found[0][2], found[1][2])
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_model_that_says_nothing_is_not_passed_what_is_finished(company, attack):
    net, model, x, labels = company
    short(attack)(model, x, labels, epsilons=size(attack, 0.05))
    assert torch.equal(net.passed[0], x)
    finished = MARKS[START]
    for batch in net.passed[1:]:
        assert not torch.isclose(batch[:, 0, 0, 0, None], finished, atol=1e-3).any()
    assert at(model, ep.astensor(x), START) is model


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_gradient_over_draws_that_a_pass_shares_is_of_several_passes(company, attack):
    net, model, x, labels = company
    model.shared_draws = True
    # one step size, since several may share a draw
    short(attack, gradient_draws=2)(model, x, labels, epsilons=0.05)
    for batch in net.passed:
        assert len(batch[:, 0, 0, 0].mul(8).round().unique()) == len(batch)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_in_whole_batches_the_loss_of_the_rows_asked_about_is_differentiated(tensor, backend):
    rng = np.random.default_rng(0)
    weights, batch, z = rng.normal(size=(4, 3)), rng.random((3, 4)), rng.random((2, 4))
    rows, draws = np.array([2, 0]), 2
    w = ep.astensor(tensor(weights, backend))

    def model(x):
        return ep.matmul((x - x.mean(axis=0, keepdims=True)).square(), w)

    model.whole_batches = True
    whole, labels = batch.copy(), np.array([0, 1, 2])
    whole[rows] = z
    x, moved = ep.astensor(tensor(batch, backend)), ep.astensor(tensor(z, backend))
    # an attack's images are others by now than when it started
    evaluate = row_gradients(model, 0 * x, Misclassification(tensor(labels, backend)), margin, draws)
    losses, logits, gradient = evaluate(moved, rows, x)

    leaf = torch.tensor(whole, requires_grad=True)
    expected = ((leaf - leaf.mean(0)) ** 2 @ torch.tensor(weights))[rows]
    own = expected[range(2), labels[rows]]
    other = expected.masked_fill(F.one_hot(torch.tensor(labels[rows]), 3).bool(), -np.inf).amax(1)
    (own - other).sum().backward()
    np.testing.assert_allclose(losses.numpy(), (own - other).detach(), rtol=1e-4)
    np.testing.assert_allclose(logits.numpy(), np.tile(expected.detach(), (draws, 1)), rtol=1e-4)
    np.testing.assert_allclose(gradient.numpy(), leaf.grad[rows], rtol=1e-4, atol=1e-5)


def test_in_whole_batches_draws_are_passes():
    passed = []

    def model(x):
        passed.append(len(x))
        return x

    model.whole_batches = True
    assert pass_draws(model, ep.astensor(torch.zeros(3, 2)), 4).shape == (12, 2)
    assert passed == [3] * 4
