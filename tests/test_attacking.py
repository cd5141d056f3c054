import io
import threading
from typing import Any

import numpy as np
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import nn
from tqdm import tqdm

from bench import attacking
from bench.attacks import DeepFoolAttack, LBFGSAttack, VotedHopSkipJumpAttack
from bench.crafting import Order, craft
from bench.datasets.arrays import unit
from bench.defended import Defended

CPU = torch.device("cpu")


def crafted(
    run: Any, network: nn.Module, images: torch.Tensor, batch_size: int = 2, **settings: Any
) -> attacking.Attacked:
    labels = torch.zeros(len(images), dtype=torch.int64)
    with Defended(network).model(0) as model:
        return attacking.attack(
            run, "mine", None, lambda rows: Misclassification(labels[rows]), model, images,
            device=CPU, seed=0, batch_size=batch_size, **settings,
        )  # fmt: skip


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_grey_levels_are_scaled_a_batch_at_a_time(network: nn.Module, images: torch.Tensor) -> None:
    seen = []

    def run(model: Any, inputs: torch.Tensor, criterion: Any, *, epsilons: None) -> tuple[torch.Tensor, ...]:
        seen.append(inputs)
        return inputs, inputs, torch.ones(len(inputs), dtype=torch.bool)

    found = crafted(run, network, images)
    assert [len(batch) for batch in seen] == [2, 2, 1]
    assert torch.equal(torch.cat(seen), unit(images))
    assert torch.equal(found.images, unit(images))
    # floats are what they are
    assert torch.equal(crafted(run, network, unit(images)).images, unit(images))


def test_the_bar_moves_while_a_batch_is_attacked(
    network: nn.Module, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            moved = super().update(n)
            seen.append(self.n)
            return moved

    monkeypatch.setattr(
        attacking, "tqdm", lambda **given: Bar(**{**given, "disable": False, "file": io.StringIO()})
    )
    crafted(LBFGSAttack(), network, images)
    # of batches of two
    assert {1, 3} & set(seen)
    assert seen == sorted(seen)
    assert seen[-1] == len(images)


def test_hooks_that_an_attack_leaves_or_takes_away_change_nothing_later(
    network: nn.Module, images: torch.Tensor
) -> None:
    doubled = network[3].register_forward_hook(lambda module, inputs, output: 2 * output)
    before = network(unit(images))

    def run(model: Any, inputs: torch.Tensor, criterion: Any, *, epsilons: None) -> tuple[torch.Tensor, ...]:
        network[3]._forward_hooks.clear()
        network[2].register_forward_hook(lambda module, inputs, output: output + 1)
        network[1].register_forward_pre_hook(lambda module, inputs: (-inputs[0],))
        network[2].register_full_backward_hook(lambda module, inputs, outputs: inputs)
        return inputs, inputs, criterion(inputs, model(inputs))

    crafted(run, network, images)
    assert torch.equal(network(unit(images)), before)
    assert not network[2]._backward_hooks
    doubled.remove()
    assert torch.equal(2 * network(unit(images)), before)


def test_what_another_thread_opens_or_closes_while_an_attack_runs_is_as_it_left_it(
    network: nn.Module, images: torch.Tensor
) -> None:
    defended = Defended(network, {"hidden": "2"}, {"hidden": 0.5})
    attacks, opened, ended = threading.Event(), threading.Event(), threading.Event()
    differ = []

    def other() -> None:
        with defended.model(1):
            attacks.wait()
        with defended.model(2) as model:
            opened.set()
            ended.wait()
            differ.append(not torch.equal(model(unit(images)), model(unit(images))))

    def run(model: Any, inputs: torch.Tensor, criterion: Any, *, epsilons: None) -> tuple[torch.Tensor, ...]:
        attacks.set()
        opened.wait()
        return inputs, inputs, criterion(inputs, model(inputs))

    thread = threading.Thread(target=other)
    thread.start()
    crafted(run, network, images)
    ended.set()
    thread.join()
    assert differ == [True]
    assert not any(part._forward_hooks for part in network.modules())


def test_an_attack_that_puts_another_module_into_the_network_is_said(
    network: nn.Module, images: torch.Tensor
) -> None:
    def run(model: Any, inputs: torch.Tensor, criterion: Any, *, epsilons: None) -> tuple[torch.Tensor, ...]:
        network[2] = nn.Softplus()
        return inputs, inputs, criterion(inputs, model(inputs))

    with pytest.raises(attacking.AttackError, match="^attack mine put other modules into the network$"):
        crafted(run, network, images)


def test_a_random_start_is_not_the_masks_own_draws() -> None:
    class Asks:
        """Draws as a random start does, and looks at what the masks were drawn from."""

        def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any) -> Any:
            starts.append(torch.rand(inputs.shape))
            found = inputs.clone()
            model(found)
            return found, found, criterion(found, model(found))

    def watched(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        masks.append(torch.rand(x.shape, generator=generator))
        return x

    starts: list[torch.Tensor] = []
    masks: list[torch.Tensor] = []
    x = np.random.default_rng(0).random((4, 1, 5, 5), dtype=np.float32)
    defended = Defended(nn.Flatten(), {"input": ""}, {"input": (watched, 0.5)})
    order = Order(Asks(), "asks", None, "untargeted", None, None, "images", 4, seed=0, batch_size=4)
    craft(order, defended, x, np.zeros(4, np.int64), 25, np.arange(4))
    assert starts[0].shape == masks[0].shape
    assert not torch.equal(starts[0], masks[0])


class Sizes:
    """An attack that looks at its batches and whether its model is passed whole ones; fails on the first."""

    def __init__(self, error: str = ""):
        self.error, self.seen, self.whole = error, [], []

    def __call__(self, model: Any, inputs: torch.Tensor, criterion: Any, *, epsilons: Any) -> Any:
        self.seen.append(len(inputs))
        self.whole.append(model.whole_batches)
        if self.error and len(self.seen) == 1:
            raise ValueError(self.error)
        return inputs, inputs, torch.ones(len(inputs), dtype=torch.bool)


def test_a_batch_without_a_point_to_start_from_is_attacked_again_one_by_one_or_as_a_whole_given_up(
    network: nn.Module, images: torch.Tensor
) -> None:
    error = "init_attack failed for 1 of 3 inputs"
    one_by_one, whole = Sizes(error), Sizes(error)
    found = crafted(one_by_one, network, images, 3)
    assert one_by_one.seen == [3, 1, 1, 1, 2]
    assert not any(one_by_one.whole)
    assert not found.without_start.any()
    found = crafted(whole, network, images, 3, whole_batches=True)
    assert whole.seen == [3, 2]
    assert all(whole.whole)
    assert found.without_start.tolist() == [True] * 3 + [False] * 2
    assert found.claimed.tolist() == [False] * 3 + [True] * 2
    assert torch.equal(found.images, unit(images))


def test_whole_batches_are_of_one_size_while_successes_are_counted(
    network: nn.Module, images: torch.Tensor
) -> None:
    many = images.repeat(40, 1, 1, 1)
    some, whole = Sizes(), Sizes()
    crafted(some, network, many, 60, successes=70)
    assert some.seen == [60, 50]
    found = crafted(whole, network, many, 60, successes=70, whole_batches=True)
    assert whole.seen == [60, 60]
    assert len(found.images) == 70


def test_an_attack_is_told_that_batches_are_whole(network: nn.Module) -> None:
    x = np.random.default_rng(0).random((4, 1, 4, 4), dtype=np.float32)
    for whole in (False, True):
        asks = Sizes()
        order = Order(
            asks,
            "asks",
            None,
            "untargeted",
            None,
            None,
            "images",
            4,
            seed=0,
            batch_size=4,
            whole_batches=whole,
        )
        craft(order, Defended(network), x, np.zeros(4, np.int64), 3, np.arange(4))
        assert asks.whole == [whole]


class Blind(nn.Module):
    """Sees some images alone, by their first pixel: of the others every gradient is 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(16, 3)
        # all are of the first class
        self.last.bias.data[0] += 5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = (x[:, 0, 0, 0] > 0.5).float()[:, None]
        return self.last(x.flatten(1)) * seen + torch.eye(3)[0] * (1 - seen)


class InAnyOrder:
    """Looks at the gradients of these rows of the batch, and moves none; or from where it has gone first."""

    def __init__(self, rows: list[int], gone: float = 0.0):
        self.rows, self.gone = rows, gone

    def __call__(self, model: Any, inputs: torch.Tensor, criterion: Any, *, epsilons: None) -> Any:
        x = (inputs[self.rows] + self.gone).requires_grad_()
        model(x).square().sum().backward()
        return inputs, inputs, criterion(inputs, model(inputs))


def test_a_gradient_of_zero_is_its_own_images_in_whatever_order_they_pass() -> None:
    images = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    images[:, 0, 0, 0] = torch.tensor([0.9, 0.1, 0.8, 0.2])
    blind = [False, True, False, True]

    def found(run: Any) -> Any:
        zero = crafted(run, Blind(), images, batch_size=4).zero_gradient
        return None if zero is None else zero.tolist()

    # draw by draw, image by image, and as they come
    for rows in ([0, 1, 2, 3, 0, 1, 2, 3], [0, 0, 1, 1, 2, 2, 3, 3], [3, 1, 0, 2]):
        assert found(InAnyOrder(rows)) == blind
    # those that have moved stand at their places
    assert found(InAnyOrder([0, 1, 2, 3] * 2, gone=0.01)) == blind
    # of an image that is missing nothing is known; nor who is who, of fewer that have moved
    assert found(InAnyOrder([1, 3, 1, 3])) is None
    assert found(InAnyOrder([1, 2, 3], gone=0.01)) is None
    # this project's own passes an image's classes beside each other
    assert found(DeepFoolAttack(steps=1)) == blind


def test_images_without_a_start_count_as_not_found_also_where_that_is_all_of_them() -> None:
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    class Never(nn.Module):
        """Gives the third class to nothing."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ahead = x.flatten(1).mean(1) - 0.5
            return torch.stack([ahead, -ahead, torch.full_like(ahead, -9)], 1)

    run = VotedHopSkipJumpAttack(votes=3, steps=1, initial_gradient_eval_steps=2)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    for targets in ([2, 0, 1], [2, 2, 2]):
        goal = torch.tensor(targets)
        with Defended(Never()).model(0) as model:
            found = attacking.attack(
                run, "mine", None, lambda rows, goal=goal: TargetedMisclassification(goal[rows]), model, images,  # type: ignore[misc]
                device=CPU, seed=0, batch_size=3,
            )  # fmt: skip
        assert found.without_start.tolist() == [target == 2 for target in targets]
        assert torch.equal(found.images[found.without_start], images[found.without_start])
        assert not found.claimed[found.without_start].any()
