"""HopSkipJump that believes the majority of several passes."""

from typing import Any

import foolbox as fb
import numpy as np
import pytest
import torch
from foolbox.attacks import HopSkipJumpAttack
from torch import Tensor, nn

from bench.attacks import VotedHopSkipJumpAttack
from bench.attacks.voting import _Voting

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


def test_it_votes_of_each_point_once() -> None:
    counts = []
    for votes in (1, 5):
        net = Sum()
        attacked(VotedHopSkipJumpAttack(votes=votes, **OPTIONS), net)
        counts.append(net.passes)
    # the pass that the claim is made by is one in both
    asked = (counts[1] - len(X)) / 5
    assert asked == int(asked)
    assert asked < counts[0] - len(X)


def test_fewer_votes_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="expected votes to be at least 1, got 0"):
        VotedHopSkipJumpAttack(votes=0)


class Coin(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), 2)


def test_what_was_voted_of_a_point_stands() -> None:
    # each step would else lose the point that it ends at by a coin's chance
    for _ in range(5):
        attacked(VotedHopSkipJumpAttack(votes=3, **OPTIONS), Coin())


def test_where_logits_depend_on_the_batch_each_vote_is_a_new_one() -> None:
    model = fb.PyTorchModel(Coin().eval(), (0, 1))
    model.whole_batches = True  # type: ignore[attr-defined]
    voting = _Voting(model, 3)
    torch.manual_seed(0)
    assert len({tuple(voting(X)[0].tolist()) for _ in range(20)}) > 1
    model.whole_batches = False  # type: ignore[attr-defined]
    assert len({tuple(voting(X)[0].tolist()) for _ in range(20)}) == 1


def test_a_start_that_is_lost_is_said_as_foolbox_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*given: Any, **options: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(HopSkipJumpAttack, "run", run)
    with pytest.raises(ValueError, match="starting_points are not adversarial"):
        attacked(VotedHopSkipJumpAttack(**OPTIONS), Sum())
