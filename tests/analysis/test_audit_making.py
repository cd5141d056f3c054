"""Samples of an audit's stages: what attacks are given, what is drawn into the ball, and iterates on their way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import truths
from torch import Tensor

import bench
from bench import attacking, attacks, looks
from bench.analysis.audit import making, pool
from bench.analysis.audit.asked import Asked, Subject
from bench.analysis.audit.making import Making
from bench.analysis.audit.seeing import Seeing
from bench.analysis.audit.stage import RANDOMIZED_PGD, Stage
from bench.analysis.audit.stages import EFFORTS
from bench.looks import Looker
from bench.results.store import Store

OPTIONS = {"norm": "linf", "steps": 12, "held_out_draws": 5, "checkpoints": 4}


def asked(truth: truths.Truth, folder: Path, **others: Any) -> Asked:
    x, y = truth.images.numpy(), truth.labels.numpy()
    store = Store(folder)
    looker = Looker({"is": "planted"}, "its weights", 500, 1)
    drawn = looks.draws(store, looker, truth.defended, x, y)
    twin = truth.defended.twin
    given = {
        "store": store, "scheme": Subject(truth.defended, looker), "baseline": None, "drawn": drawn, "x": x,
        "twin": None if twin is None else Subject(twin, Looker({"is": "its twin"}, "its weights", 500, 1)),
        "y": y, "classes": 2, "norm": truth.norm, "epsilon": truth.epsilon, "effort": EFFORTS["quick"],
        "seed": 0, "claim": None, "margin": 5.0, "extra": {}, "samples": {}, "progress": lambda _: None,
    }  # fmt: skip
    return Asked(**{**given, **others})


NOISY = truths.noisy(0.2, "linf", 0.05, count=30)


def test_a_stage_is_made_once_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("margin", "scheme", RANDOMIZED_PGD, OPTIONS, followed=True)
    first, again = Making(asked(NOISY, tmp_path)), Making(asked(NOISY, tmp_path))
    first.make(stage)
    monkeypatch.setattr(attacking, "attack", None)
    again.make(stage)
    one, other = first.made["margin"], again.made["margin"]
    assert np.array_equal(one.images, other.images)
    assert (one.passes, one.seconds, one.content) == (other.passes, other.seconds, other.content)
    moved = np.abs(one.images - NOISY.images.numpy()).max()
    assert moved == pytest.approx(0.05, abs=1e-6)
    with pytest.raises(TypeError):
        Making(asked(NOISY, tmp_path, seed=1)).make(stage)


def test_a_stage_starts_where_another_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Making(asked(NOISY, tmp_path))
    one.make(Stage("twin: margin", "twin", RANDOMIZED_PGD, {**OPTIONS, "held_out_draws": 1}))
    seen: list[Any] = []
    attack = attacking.attack
    monkeypatch.setattr(
        attacking, "attack",
        lambda *given, more, **rest: seen.append(more(slice(0, 30))) or attack(*given, more=more, **rest),
    )  # fmt: skip
    one.make(Stage("continued", "scheme", RANDOMIZED_PGD, OPTIONS, starts=("twin: margin",)))
    assert torch.equal(seen[0]["starting_points"][0], torch.from_numpy(one.made["twin: margin"].images))


def test_iterates_are_followed_on_draws_that_all_of_them_see(tmp_path: Path) -> None:
    one = Making(asked(NOISY, tmp_path))
    one.make(Stage("margin", "scheme", RANDOMIZED_PGD, OPTIONS, followed=True))
    made = one.made["margin"]
    assert made.losses is not None
    assert made.shares is not None
    assert made.losses.shape == made.shares.shape == (4, 30)
    # a linear loss falls at each look, for every image: on fresh draws each time chance would raise some
    assert (np.diff(made.losses, axis=0) <= 1e-5).all()
    assert made.on_its_way is not None
    one.make(Stage("not followed", "scheme", RANDOMIZED_PGD, OPTIONS))
    assert one.made["not followed"].losses is None
    assert one.made["not followed"].on_its_way is None


def test_a_minimal_attack_is_drawn_into_the_ball_and_claims_what_lay_there(tmp_path: Path) -> None:
    truth = truths.noisy(1e-6, "l2", 0.1, count=30)
    one = Making(asked(truth, tmp_path))
    one.make(Stage("DeepFool", "scheme", "bench.attacks.DeepFoolAttack", minimal=True, naive=True))
    made = one.made["DeepFool"]
    far = pool.distances(made.images, truth.images.numpy(), "l2")
    w = truth.defended.network.weight[0].detach().numpy()
    # the way to the boundary of a linear classifier, and a fiftieth more
    way = np.abs(truth.images.numpy().reshape(30, -1) @ w + truth.defended.network.bias[0].item())
    away = 1.02 * way / np.linalg.norm(w)
    assert (made.inside == (away <= 0.1)).mean() > 0.9
    assert np.array_equal(made.claimed, made.inside)
    np.testing.assert_allclose(far, np.minimum(away, 0.1), rtol=0.05, atol=2e-4)
    assert not made.inside.all()


def test_an_attack_on_the_first_images_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    one = Making(asked(NOISY, tmp_path))
    one.make(Stage("few", "scheme", RANDOMIZED_PGD, OPTIONS, images=5))
    made = one.made["few"]
    assert np.array_equal(made.images[5:], NOISY.images.numpy()[5:])
    assert not made.claimed[5:].any()
    assert (made.images[:5] != NOISY.images.numpy()[:5]).any((1, 2, 3)).all()


def test_of_a_short_list_of_draws_the_iterate_is_kept_by_the_exact_sum(tmp_path: Path) -> None:
    truth = truths.contradicting()
    one = Making(asked(truth, tmp_path))
    assert one.asked.states is not None
    assert [share for share, _ in one.asked.states] == [0.5, 0.5]
    one.make(Stage("margin", "scheme", RANDOMIZED_PGD, {**OPTIONS, "steps": 40}))
    right = Seeing(one.asked).of_stage(one.made["margin"])
    assert right.chances is not None
    assert right.accuracy().mean == 0


def test_of_what_an_attack_shows_on_its_way_the_best_is_kept_whatever_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = truths.contradicting()
    # which fools both
    best = truth.images + torch.tensor([0.05, -0.1 + 1e-3]).view(1, 1, 1, 2)

    class Forgets(attacks.RandomizedPGDAttack):
        def __call__(self, model, inputs, criterion, *, epsilons, trace, **kwargs):
            for step, shown in enumerate((inputs, -best + 1, inputs)):
                trace(step, np.arange(len(inputs)), None, None, None, shown)
            return inputs, inputs, torch.zeros(len(inputs), dtype=torch.bool)

    monkeypatch.setattr(attacks, "RandomizedPGDAttack", Forgets)
    one = Making(asked(truth, tmp_path))
    one.make(Stage("margin", "scheme", RANDOMIZED_PGD, OPTIONS))
    right = Seeing(one.asked).of_stage(one.made["margin"])
    both = [
        Seeing(one.asked)._exact(torch.tensor(x)).mean() for x in (truth.images.numpy(), (1 - best).numpy())
    ]
    assert both[1] < both[0]
    assert right.accuracy().mean == both[1]


def test_states_are_no_short_list_where_anything_else_draws(tmp_path: Path) -> None:
    class Both(truths.OneOf):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0.01 * torch.randn_like(x))

    truth = truths.contradicting()
    net = Both(np.array([[-2, -1], [10, -20]]), np.array([0.09, 0.9]))
    own = bench.Own(choose={"which": [0, 1]})
    one = asked(
        truths.Truth(bench.Defended(net, scheme=own), truth.images, truth.labels, "linf", 0.1, 0), tmp_path
    )
    assert one.scheme.defended.states(64) is not None
    assert one.states is None
    assert asked(truth, tmp_path).states is not None


def test_a_known_draw_is_the_same_at_every_pass_and_another_for_each_of_three(tmp_path: Path) -> None:
    one = asked(NOISY, tmp_path)
    seen = []
    for draw in range(3):
        with making.known(one, draw, 0) as model, torch.no_grad():
            both = [model(NOISY.images) for _ in range(2)]
        assert torch.equal(*both)
        seen.append(both[0])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    shared = asked(truths.noisy(0.2, "linf", 0.05, "pass", count=30), tmp_path / "shared")
    assert [len(part) for part in shared.parts(known=True)] == [10, 10, 10]
    assert [len(part) for part in shared.parts(known=True, first=15)] == [10, 5]
    assert [len(part) for part in one.parts(known=True)] == [30]


def test_whether_passes_differ_is_asked_where_it_can_be_seen(tmp_path: Path) -> None:
    # at the images all ten margins are alike
    spread, changing = Seeing(asked(truths.a_real_gain(), tmp_path)).present(
        asked(truths.a_real_gain(), tmp_path).scheme
    )
    assert spread > 0.01
    assert changing == 0
    loud, _ = Seeing(one := asked(truths.loud(), tmp_path / "loud")).present(one.scheme)
    assert loud > 0.5
    assert one.twin is not None
    assert Seeing(one).present(one.twin) == (0, 0)


def test_a_gradient_of_nothing_is_found_image_by_image(tmp_path: Path) -> None:
    one = asked(truths.masked(truths.Rounded), tmp_path)
    assert Seeing(one).no_gradient(one.scheme).all()
    other = asked(NOISY, tmp_path / "other")
    assert not Seeing(other).no_gradient(other.scheme).any()


def test_margins_are_of_the_largest_other_logit() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0], [3.0, 1.0, 2.0]])
    assert making.margin(logits, torch.tensor([1, 2])).tolist() == [2, -1]
