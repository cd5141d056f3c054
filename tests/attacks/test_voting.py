"""HopSkipJump that believes the majority of several passes."""

from typing import Any

import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.attacks import HopSkipJumpAttack
from torch import Tensor, nn

from bench.attacks import VotedHopSkipJumpAttack

X = torch.full((4, 1, 2, 2), 0.3)
Y = torch.zeros(4, dtype=torch.int64)
OPTIONS: dict[str, Any] = {"steps": 4, "initial_gradient_eval_steps": 10}


class Sum(nn.Module):
    """Class 1 where the pixels' sum is over 2, except by a chance."""

    def __init__(self, wrong: float = 0.0):
        super().__init__()
        self.wrong, self.passes = wrong, 0
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        self.passes += len(x)
        margin = x.flatten(1).sum(1) - 2
        turned = torch.rand(len(x), generator=self.generator) < self.wrong
        return torch.stack([0 * margin, torch.where(turned, -margin, margin)], 1)


def attacked(attack: Any, net: nn.Module, shared: bool = False) -> tuple[Tensor, Tensor]:
    model = fb.PyTorchModel(net.eval(), (0, 1))
    model.shared_draws = shared  # type: ignore[attr-defined]
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    raw, _, success = attack(model, X, Y, epsilons=None)
    return raw, success


def test_with_one_vote_or_nothing_random_it_is_foolboxs() -> None:
    expected, _ = attacked(HopSkipJumpAttack(**OPTIONS), Sum())
    for votes in (1, 3):
        raw, success = attacked(VotedHopSkipJumpAttack(votes=votes, **OPTIONS), Sum())
        assert torch.equal(raw, expected)
        assert success.all()


@pytest.mark.parametrize("shared", [False, True])
def test_the_majority_is_believed(shared: bool) -> None:
    net = Sum(wrong=0.2)
    raw, _ = attacked(VotedHopSkipJumpAttack(votes=25, **OPTIONS), net, shared)
    # found where the network itself changes its mind, not where a draw did
    assert (raw.flatten(1).sum(1) > 2 - 1e-4).all()
    assert (raw - X).flatten(1).norm(dim=1).max() < 1.0


def test_it_passes_as_often_as_it_votes() -> None:
    counts = []
    for votes in (1, 5):
        net = Sum()
        attacked(VotedHopSkipJumpAttack(votes=votes, **OPTIONS), net)
        counts.append(net.passes)
    # the pass that the claim is made by is one in both
    assert counts[1] - len(X) == 5 * (counts[0] - len(X))
    # what is asked for again needs no pass
    foolboxs = Sum()
    attacked(HopSkipJumpAttack(**OPTIONS), foolboxs)
    assert counts[0] < foolboxs.passes


def test_fewer_votes_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="expected votes to be at least 1, got 0"):
        VotedHopSkipJumpAttack(votes=0)


def test_an_answer_stands_so_that_no_image_is_lost_on_the_boundary() -> None:
    class Slope(Sum):
        """The less sure the nearer the sum is to 2: a coin, there."""

        def forward(self, x: Tensor) -> Tensor:
            self.passes += len(x)
            margin = x.flatten(1).sum(1) - 2 + 0.3 * torch.randn(len(x), generator=self.generator)
            return torch.stack([0 * margin, margin], 1)

    # Foolbox's asks again, and is told otherwise
    with pytest.raises((AssertionError, ValueError)):
        attacked(HopSkipJumpAttack(**OPTIONS), Slope())
    for votes in (1, 15):
        raw, _ = attacked(VotedHopSkipJumpAttack(votes=votes, **OPTIONS), Slope())
    # where most of many draws change their mind
    assert (raw.flatten(1).sum(1) - 2).abs().max() < 0.3


def test_a_start_that_is_asked_for_anew_is_lost_in_foolboxs_words() -> None:
    class Twice(HopSkipJumpAttack):
        def run(self, model: Any, inputs: Any, criterion: Any, **options: Any) -> Any:
            raise AssertionError

    class Voted(VotedHopSkipJumpAttack, Twice):
        pass

    with pytest.raises(ValueError, match="^starting_points are not adversarial$"):
        Voted()(fb.PyTorchModel(Sum().eval(), (0, 1)), X, Y, epsilons=None)
