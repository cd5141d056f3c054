"""V10: what an attack finds of adversarial examples that are known to exist, by networks trained on digits."""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import foolbox as fb
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from bench.analysis.audit import binarisation
from bench.analysis.audit.binarisation import Binarised, binarised, check
from bench.attacks import RandomizedPGDAttack
from bench.defended import Behind, Defended, Handling
from bench.finding import Findings
from bench.own import Own

DIGITS = load_digits()
IMAGES = (DIGITS.images / 16).astype(np.float32)[:, None]
LABELS = DIGITS.target.astype(np.int64)
FEW = 12
SITES = {"input": "", "hidden": "2", "logits": "3"}


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    """A hidden layer, trained with dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10))
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        x, y = torch.from_numpy(IMAGES[:1500]), torch.from_numpy(LABELS[:1500])
        for _ in range(8):
            for rows in torch.randperm(1500).split(100):
                hidden = functional.dropout(net[:3](x[rows]), 0.5)
                optimizer.zero_grad()
                functional.cross_entropy(net[3](hidden), y[rows]).backward()
                optimizer.step()
    return net


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of what takes long on a random network."""
    for name, value in {"INNER_RANDOM": 50, "FITTED": 12, "TRIES": 8, "JUDGED": 100}.items():
        monkeypatch.setattr(binarisation, name, value)


class After(nn.Module):
    """A network, and what follows its last layer."""

    def __init__(self, network: nn.Module, after: Any):
        super().__init__()
        self.network, self.after = network, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.network(x))


def good(norm: str = "linf", random: bool = False, **others: Any) -> RandomizedPGDAttack:
    return RandomizedPGDAttack(norm=norm, steps=20, held_out_draws=10 if random else 1, **others)


def made(
    defended: Defended, attack: Any, norm: str = "linf", epsilon: float = 0.1, few: int = FEW, **others: Any
) -> Binarised:
    rest = slice(1500, 1500 + few)
    given: dict[str, Any] = {"seed": 0, "batch_size": 50, "drawn": None, **others}
    return binarised(defended, IMAGES[rest], LABELS[rest], norm=norm, epsilon=epsilon, attack=attack, **given)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5)])
def test_a_good_attack_finds_what_is_planted_and_chance_does_not(
    network: nn.Module, norm: str, epsilon: float
) -> None:
    found = made(Defended(network), good(norm), norm, epsilon)
    assert (found.prepared, found.found) == (found.images, 1.0)
    assert found.by_chance < 0.5
    assert found.inner == 150
    assert found.close == 0.999
    # it goes as far beyond the surface point as it can
    assert found.beyond > 10
    assert check(found).outcome == "passes"
    assert not network[3]._forward_hooks  # type: ignore[index]


def test_a_weak_attack_fails(network: nn.Module) -> None:
    found = made(Defended(network), RandomizedPGDAttack(steps=1, rel_stepsize=1e-3, held_out_draws=1))
    assert found.found == 0
    failed = check(found, "twin")
    assert (failed.name, failed.on, failed.outcome, failed.threshold) == ("V10", "twin", "fails", 95)
    assert "finds 0 %" in failed.evidence


def test_an_attack_whose_gradient_is_masked_fails_and_one_that_sees_through_it_passes(
    network: nn.Module,
) -> None:
    masked = Defended(After(network, lambda logits: 1e4 * logits))
    cross_entropy = fb.attacks.LinfPGD(steps=20, random_start=False)
    assert check(made(masked, cross_entropy)).outcome == "fails"
    assert check(made(Defended(network), cross_entropy)).outcome == "passes"
    assert check(made(masked, good())).outcome == "passes"


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("scheme", [{"hidden": 0.2}, {"logits": 0.2}])
def test_a_random_network_is_tested_with_its_randomness(network: nn.Module, scheme: dict[str, float]) -> None:
    defended = Defended(network, SITES, scheme)
    found = made(defended, good("l2", random=True), "l2", 1.0, few=8, seed=1)
    assert (found.close, found.inner) == (0.5, 50)
    assert found.images == found.prepared + found.not_separated + found.not_known == 8
    assert check(found).outcome == "passes"
    weak = RandomizedPGDAttack(norm="l2", steps=1, rel_stepsize=1e-3, held_out_draws=10)
    assert check(made(defended, weak, "l2", 1.0, few=8, seed=1)).outcome == "fails"


@pytest.mark.usefixtures("fewer")
def test_where_draws_drown_a_ball_nothing_can_be_planted(network: nn.Module) -> None:
    found = made(Defended(network, SITES, {"input": 0.5}), good(random=True), few=6)
    assert found.prepared < 3
    assert check(found).outcome == "doesn't apply"
    assert f"{found.not_separated} weren't separated" in check(found).evidence


@pytest.mark.usefixtures("fewer")
def test_draws_of_a_pass_and_answers_of_several_passes_are_tested_too(network: nn.Module) -> None:
    class OnePass:
        """Dropout whose mask all images of a pass share."""

        def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
            keep = torch.rand(x.shape[1:], generator=generator) >= rate
            return x * keep / (1 - rate)

    drawn = Findings("pass", 0.001, True, (), False, {}, False, "ok")
    defended = Defended(network, SITES, {"hidden": (OnePass(), 0.2)}, passes=2)
    found = made(defended, good("l2", random=True), "l2", 1.0, few=6, drawn=drawn)
    assert found.prepared > 3
    assert check(found).outcome == "passes"


def test_images_of_a_batch_are_each_attacked_on_their_own_readout(network: nn.Module) -> None:
    class Alone:
        """The same attack, of which it isn't known what it passes."""

        steps = 20

        def __call__(self, model: Any, inputs: Tensor, criterion: Any, *, epsilons: float) -> Any:
            assert len(inputs) == 1
            return good()(model, inputs, criterion, epsilons=epsilons)

    together, alone = made(Defended(network), good()), made(Defended(network), Alone())
    assert together.found == alone.found == 1
    assert together.beyond == pytest.approx(alone.beyond, rel=1e-3)
    # as where few pass at a time, and passes are filled up
    filled = Defended(network).handled(Handling(size=5))
    assert made(filled, good()).found == 1
    assert made(filled, good()).beyond == pytest.approx(together.beyond, rel=0.5)


@pytest.mark.usefixtures("fewer")
def test_no_draw_that_chooses_scores(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    class Seen(Defended):
        @contextmanager
        def model(self, seed: int, *more: Any, **others: Any) -> Iterator[Behind]:
            opened.append(seed)
            with super().model(seed, *more, **others) as model:
                yield model  # type: ignore[misc]

    found = made(Seen(network, SITES, {"logits": 0.2}), good("l2", random=True), "l2", 1.0, few=2)
    assert found.prepared == 2
    # the sample, the best of a search at random, and the surface point, on the same draws
    scoring, choosing = opened[-3:], opened[:-3]
    assert len(set(scoring)) == 1
    assert scoring[0] not in choosing
    # which images are right, the layer, the fit, whether it holds on others, a try, what is known, two searches
    assert len(set(choosing)) == 8


def test_a_last_layer_that_is_a_convolution_is_one(network: nn.Sequential) -> None:
    conv = nn.Conv2d(300, 10, 1)
    conv.load_state_dict({"weight": network[3].weight[:, :, None, None], "bias": network[3].bias})
    same = nn.Sequential(*network[:3], nn.Unflatten(1, (300, 1, 1)), conv, nn.Flatten())
    one, other = made(Defended(network), good()), made(Defended(same), good())
    assert one.by_chance == other.by_chance
    assert one.beyond == pytest.approx(other.beyond, rel=0.1)


class NoLayer(nn.Module):
    def __init__(self, network: nn.Sequential):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.network[:3](x), self.network[3].weight)


class Either(nn.Module):
    """One of two last layers."""

    second = False

    def __init__(self, network: nn.Sequential):
        super().__init__()
        self.first, (self.one, self.other) = network[:3], (network[3], nn.Linear(300, 10))
        self.other.load_state_dict(self.one.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        return (self.other if self.second else self.one)(self.first(x))


def of_another(network: nn.Sequential) -> dict[str, Defended]:
    other = After(network, lambda logits: logits + torch.linspace(0, 1e-3, 10))
    either = Own(choose={"second": [False, True]}, off={})
    return {
        "no single linear layer": Defended(NoLayer(network)),
        "no single linear layer that gives the logits of every pass": Defended(Either(network), None, either),
        "takes no two classes (RuntimeError": Defended(other),
        "not two classes": Defended(After(network, lambda x: functional.pad(x, (0, 10 - x.shape[1])))),
    }


@pytest.mark.parametrize("place", range(4))
def test_networks_without_such_a_layer_are_left_out_with_the_reason(
    network: nn.Sequential, place: int
) -> None:
    why, defended = list(of_another(network).items())[place]
    found = check(made(defended, good(), few=4))
    assert found.outcome == "doesn't apply"
    assert why in found.evidence


def test_what_acts_at_the_logits_acts_on_those_of_the_readout(network: nn.Module) -> None:
    class Turned:
        """Swaps classes: what the readout calls 1 comes out as 0."""

        random = False

        def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
            return x.flip(1)

    turned = Defended(network, SITES, {"logits": (Turned(), 0.5)})
    found = binarised(
        turned, IMAGES[:FEW], 9 - LABELS[:FEW], norm="linf", epsilon=0.1, seed=0, batch_size=9,
        drawn=None, attack=good(),
    )  # fmt: skip
    assert found.not_known == found.images > 8


def test_images_that_depend_on_others_or_are_wrong_are_not_tested(network: nn.Module) -> None:
    beside = Findings("image", 0.5, True, (), False, {}, True, "ok")
    found = made(Defended(network), good(), drawn=beside)
    assert (found.images, check(found).outcome) == (0, "doesn't apply")
    assert "others of its batch" in found.why
    wrong = (LABELS + 1) % 10
    none = binarised(
        Defended(network), IMAGES[:3], wrong[:3], norm="linf", epsilon=0.1, seed=0, batch_size=9,
        drawn=None, attack=good(),
    )  # fmt: skip
    assert none.why == "no image is right on most draws"
    half = np.where(np.arange(len(LABELS)) % 2, LABELS, wrong)
    some = binarised(
        Defended(network), IMAGES[:100], half[:100], norm="linf", epsilon=0.1, seed=0, batch_size=9,
        drawn=None, attack=good(),
    )  # fmt: skip
    assert some.images == binarisation.IMAGES


def test_the_outcome_is_by_shares_that_the_docs_say() -> None:
    of = Binarised(30, 20, 6, 4, 1.0, 0.0, 3.0, 0.5, 100, 1e4)
    for changed, outcome in (
        ({}, "passes"),
        ({"found": 0.95}, "passes"),
        ({"found": 0.949}, "fails"),
        ({"found": 0.5, "by_chance": 0.49}, "fails"),
        ({"found": 0.5, "by_chance": 0.5}, "doesn't apply"),
        ({"prepared": 15}, "passes"),
        ({"prepared": 14}, "doesn't apply"),
        ({"prepared": 0, "found": math.nan, "by_chance": math.nan}, "doesn't apply"),
    ):
        assert check(dataclasses.replace(of, **changed)).outcome == outcome, changed


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_points_of_the_surface_are_at_epsilon_whatever_the_bounds_cut_off(norm: str) -> None:
    rng = np.random.default_rng(0)
    images = IMAGES[:20]
    for epsilon in (0.05, 0.3, 0.8):
        direction = rng.uniform(-1, 1, images.shape)
        found = binarisation.at_distance(images, direction, norm, epsilon)
        moved = (found - images).reshape(20, -1)
        far = np.abs(moved).max(1) if norm == "linf" else np.linalg.norm(moved, axis=1)
        np.testing.assert_allclose(far, epsilon, rtol=1e-4)
        assert (far <= epsilon + 1e-6).all()
        assert found.min() >= 0
        assert found.max() <= 1
        assert (np.sign(moved) * np.sign(direction.reshape(20, -1)) >= 0).all()
