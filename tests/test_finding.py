"""What is found out of a random network: each finding fires where it should, and not where it shouldn't."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from bench import finding, process
from bench.defended import NotFinite

CPU = torch.device("cpu")
IMAGES = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 3, 9, 1])


class Linear(nn.Module):
    """Ten logits of an image of 16 pixels; nothing of it is random."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(10, 16, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def logits(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return functional.linear(x.flatten(1), self.weight if weight is None else weight)


class WeightNoise(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x, self.weight + 0.1 * torch.randn_like(self.weight))


class ImageNoise(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x + 0.1 * torch.randn_like(x))


class BothNoises(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x + 0.1 * torch.randn_like(x), self.weight + 0.1 * torch.randn_like(self.weight))


class Written(Linear):
    """Filters that a method draws anew and writes into ``param.data``."""

    def draw(self) -> None:
        self.weight.data = torch.randn(10, 16)

    def forward(self, x: Tensor) -> Tensor:
        self.draw()
        return self.logits(x)


class Buffered(Linear):
    """Buffers, of which one isn't persistent, that are drawn in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("noise", torch.zeros(10, 16), persistent=False)
        self.register_buffer("steady", torch.tensor([1.0, float("nan")]))

    def forward(self, x: Tensor) -> Tensor:
        self.noise.normal_()
        return self.logits(x, self.weight + 0.1 * self.noise)


class InPlace(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.add_(0.1 * torch.randn_like(x)))


class Precision(Linear):
    """A number of bits that NumPy chooses."""

    def forward(self, x: Tensor) -> Tensor:
        steps = 2 ** np.random.choice([2, 3, 4])  # noqa: NPY002
        return self.logits(x, (self.weight * steps).round() / steps)


class Transformed(Linear):
    """Draws of all three global generators at once, for each image."""

    def forward(self, x: Tensor) -> Tensor:
        shift = [random.random() + np.random.rand() for _ in x]  # noqa: NPY002
        return self.logits(x + torch.tensor(shift).float().view(-1, 1, 1, 1) * torch.rand(len(x), 1, 1, 1))


class OneOfTwo(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x, self.weight if random.random() < 0.5 else -self.weight)


class Dropped(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(functional.dropout(x, 0.5, training=True))


Open = Callable[[int], AbstractContextManager[finding.Model]]


def opened(network: finding.Model) -> Open:
    """A seed is that of the global generators."""

    @contextmanager
    def open(seed: int) -> Iterator[finding.Model]:
        with process.seeded(seed, CPU):
            yield network

    return open


KINDS = {
    Linear: "nothing",
    WeightNoise: "pass",
    Written: "pass",
    Buffered: "pass",
    Precision: "pass",
    OneOfTwo: "pass",
    ImageNoise: "image",
    InPlace: "image",
    Transformed: "image",
    Dropped: "image",
    BothNoises: "both",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_a_draw_is_shared_by_is_found_out(kind: type[Linear]) -> None:
    by, p = finding.shared(opened(kind()), IMAGES[0])
    assert by == KINDS[kind]
    if by == "nothing":
        assert p is None
    else:
        assert p is not None
        assert (p >= 0.01) == (by == "image")


def drawn(draw: Callable[[int], Tensor]) -> Open:
    """Logits that are drawn, for so many images, whatever they are."""
    return opened(lambda x: draw(len(x)))


def test_images_that_are_told_apart_by_their_place_alone_are_not_random() -> None:
    assert finding.shared(drawn(lambda n: torch.arange(3.0 * n).view(n, 3)), IMAGES[0]) == ("nothing", None)


def test_logits_that_differ_in_their_last_bits_are_alike() -> None:
    steady = torch.tensor([12.0, -7.0, 0.5])

    def rounded(n: int) -> Tensor:
        return steady + 1e-6 * torch.randn(n, 3)

    assert finding.shared(drawn(rounded), IMAGES[0]) == ("nothing", None)
    by, _ = finding.shared(drawn(lambda n: rounded(n) + torch.randn(1, 3)), IMAGES[0])
    assert by == "pass"
    by, _ = finding.shared(drawn(lambda n: rounded(n) + 1e-3 * torch.randn(n, 3)), IMAGES[0])
    assert by == "image"


def test_last_bits_are_of_one_rank() -> None:
    passes: list[int] = []

    # two passes in 32 act on three images each; all else is rounding
    def seldom(n: int) -> Tensor:
        passes.append(0)
        acts = (torch.arange(n) < 3)[:, None] * (len(passes) in (5, 20))
        return 10 + 1e-6 * torch.randn(n, 3) + acts

    assert finding.shared(drawn(seldom), IMAGES[0]) == ("both", 1 / 2000)


def test_classes_that_never_vary_do_not_count() -> None:
    constant = torch.tensor([0.0, -1e9, 3.0]).expand(8, 3)

    def beside(draw: Callable[[int], Tensor]) -> Open:
        return drawn(lambda n: torch.cat([constant, draw(n)], 1))

    assert finding.shared(beside(lambda n: torch.randn(n, 1)), IMAGES[0])[0] == "image"
    assert finding.shared(beside(lambda n: torch.randn(1, 1).expand(n, 1)), IMAGES[0])[0] == "pass"
    assert finding.shared(beside(lambda n: torch.ones(n, 1)), IMAGES[0])[0] == "nothing"


def test_a_class_masked_by_a_huge_number_does_not_hide_the_others() -> None:
    def masked(n: int) -> Tensor:
        return torch.cat([1e7 * (1 + torch.rand(n, 1)), torch.randn(n, 2)], 1)

    assert finding.rounding(masked(100)) < 1e-3
    assert finding.rounding(masked(100).half()) > finding.rounding(masked(100).float())


def test_heavy_tails_hide_no_part_of_the_passes() -> None:
    heavy = torch.distributions.StudentT(1.0)

    def logits(n: int) -> Tensor:
        return torch.randn(1, 10) + heavy.sample((n, 10))

    assert finding.shared(drawn(logits), IMAGES[0])[0] == "both"
    assert finding.shared(drawn(lambda n: heavy.sample((n, 10))), IMAGES[0])[0] == "image"


def test_the_p_value_is_that_of_an_analysis_of_variance() -> None:
    generator = np.random.default_rng(3)
    values = generator.standard_normal((32, 8, 1)) + 0.2 * generator.standard_normal((32, 1, 1))
    # of one class it is the test of Kruskal and Wallis
    ranks = stats.rankdata(values[..., 0]).reshape(32, 8)
    p = finding.p_value(values, 9999)
    assert 0.01 < p < 0.5
    assert p == pytest.approx(stats.f_oneway(*ranks).pvalue, abs=0.02)
    assert p == pytest.approx(stats.kruskal(*values[..., 0]).pvalue, abs=0.02)
    permuted = stats.permutation_test(
        list(ranks),
        lambda *groups, axis: sum(g.mean(axis) ** 2 for g in groups),
        vectorized=True,
        permutation_type="independent",
        n_resamples=2999,
        alternative="greater",
        rng=np.random.default_rng(4),
    )
    assert p == pytest.approx(permuted.pvalue, abs=0.03)


def test_the_least_p_value_is_that_of_no_permutation() -> None:
    apart = np.arange(32.0).repeat(8).reshape(32, 8, 1)
    assert finding.p_value(apart, 199) == 1 / 200
    # two of two are dealt out like this, or the other way round, in one case of three
    assert finding.p_value(np.array([[[0.1], [0.1]], [[0.7], [0.7]]])) == pytest.approx(1 / 3, abs=0.05)
    # groups that are as alike as can be
    assert finding.p_value(np.tile(np.arange(8.0), (32, 1))[..., None], 199) == 1.0


def test_false_alarms_are_rare_and_a_small_part_of_the_passes_is_found() -> None:
    alarms = found = 0
    for seed in range(300):
        own = np.random.default_rng(seed).standard_normal((32, 8, 10))
        alarms += finding.p_value(own, 499) < finding.SIGNIFICANT
    for seed in range(60):
        generator = np.random.default_rng(seed)
        own, together = generator.standard_normal((32, 8, 10)), generator.standard_normal((32, 1, 10))
        found += finding.p_value(0.9**0.5 * own + 0.1**0.5 * together, 499) < finding.SIGNIFICANT
    assert alarms <= stats.binom.ppf(0.999, 300, 0.01)
    assert found >= 58


def test_a_network_without_numbers_is_no_finding() -> None:
    with pytest.raises(NotFinite):
        finding.shared(drawn(lambda n: torch.full((n, 3), float("nan"))), IMAGES[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_draws_of_the_global_generators_repeat(kind: type[Linear]) -> None:
    assert finding.repeats(opened(kind()), IMAGES)


def test_draws_that_no_seed_reaches_do_not_repeat() -> None:
    own = np.random.default_rng(0)
    assert not finding.repeats(opened(lambda x: x.flatten(1) + own.random()), IMAGES)
    torch_own = torch.Generator().manual_seed(0)
    assert not finding.repeats(opened(lambda x: x.flatten(1) + torch.rand((), generator=torch_own)), IMAGES)


def test_a_first_pass_that_is_another_is_seen() -> None:
    kept: list[Tensor] = []

    def lazy(x: Tensor) -> Tensor:
        # drawn in the first pass of all, and kept
        kept.append(torch.rand(()))
        return x.flatten(1) + torch.rand(()) + kept[0] * (len(kept) > 1)

    assert not finding.repeats(opened(lazy), IMAGES)
    assert finding.repeats(opened(lazy), IMAGES)


def test_what_goes_on_by_turns_does_not_repeat() -> None:
    turns: list[int] = []

    def turned(x: Tensor) -> Tensor:
        turns.append(0)
        return x.flatten(1) + len(turns) % 2

    assert not finding.repeats(opened(turned), IMAGES)


def test_a_second_pass_that_is_another_is_seen() -> None:
    passes: list[int] = []

    def third(x: Tensor) -> Tensor:
        passes.append(0)
        return x.flatten(1) + (len(passes) == 5)

    assert not finding.repeats(opened(third), IMAGES)


def test_sizes_of_batches_that_fail_are_told_by_their_error() -> None:
    def even(x: Tensor) -> Tensor:
        if len(x) % 2:
            raise AssertionError("even batches\nonly")
        return x.flatten(1)

    assert finding.batches(opened(Linear()), IMAGES, (1, 3, 10, 7)) == {}
    failing = finding.batches(opened(even), IMAGES, (7, 1, 4, 10, 7))
    assert failing == {1: "AssertionError: even batches only", 7: "AssertionError: even batches only"}
    squeezed = finding.batches(opened(lambda x: x.flatten(1).squeeze(0)), IMAGES, (1, 3))
    assert squeezed == {1: "it gives logits of shape (16,) for 1 images"}
    # the spread of one is 0
    spread = opened(lambda x: (x / x.std(0, correction=0)).flatten(1))
    normed = finding.batches(spread, IMAGES, (1, 3))
    assert list(normed) == [1]
    assert normed[1].startswith("NotFinite: logits that are not finite numbers")


def test_whether_other_images_matter_is_found_out() -> None:
    def normed(x: Tensor) -> Tensor:
        return functional.batch_norm(x, None, None, training=True).flatten(1)

    def quantised(x: Tensor) -> Tensor:
        # in steps of the batch's largest value
        step = x.abs().max() / 8
        return (x / step).round().flatten(1) * step

    for coupled in (
        normed,
        quantised,
        lambda x: x.cumsum(0).flatten(1),
        lambda x: x.flip(0).cumsum(0).flatten(1),
    ):
        assert finding.company(opened(coupled), IMAGES)
    for kind in KINDS:
        assert not finding.company(opened(kind()), IMAGES)
    assert not finding.company(opened(lambda x: x.flatten(1) + 1e-7 * x.sum()), IMAGES)


def test_whether_there_is_a_gradient_is_found_out() -> None:
    root = nn.Parameter(torch.zeros(()))
    cases: dict[str, finding.Model] = {
        "ok": Linear(),
        "none": lambda x: Linear()(x.detach()).detach(),
        # what has a gradient, but not at the image
        "none ": lambda x: Linear()(x.detach()),
        "zero": lambda x: (x * 8).round().flatten(1),
        "not finite": lambda x: x.flatten(1) + root.sqrt() * 0 + (x * 0).sqrt().flatten(1),
    }
    for state, model in cases.items():
        assert finding.gradient(opened(model), IMAGES, LABELS) == (state.strip(), "")
    for kind in (InPlace, Written, Buffered):
        network = kind().requires_grad_(False)
        assert finding.gradient(opened(network), IMAGES, LABELS)[0] == "ok"


def test_a_gradient_is_there_where_the_network_is_sure_or_one_draw_has_none() -> None:
    labels = Linear()(IMAGES).argmax(1)
    assert finding.gradient(opened(lambda x: 1e4 * Linear()(x)), IMAGES, labels)[0] == "ok"
    turns: list[int] = []

    def by_turns(x: Tensor) -> Tensor:
        turns.append(0)
        return Linear()(x if len(turns) % 4 == 0 else x.detach())

    assert finding.gradient(opened(by_turns), IMAGES, LABELS)[0] == "ok"


def test_a_pass_that_fails_with_a_gradient_is_told_by_its_error() -> None:
    state, line = finding.gradient(
        opened(lambda x: torch.from_numpy(x.numpy() * 2).flatten(1)), IMAGES, LABELS
    )
    assert state == "none"
    assert line.startswith("RuntimeError: Can't call numpy() on Tensor that requires grad")


def test_what_is_found_is_said_a_line_each_and_can_be_kept() -> None:
    network = Written()
    before = network.weight.detach().clone()
    found = finding.find(opened(network), network, IMAGES, LABELS, (1, 3, 4))
    assert torch.equal(network.weight, before)
    assert found.lines() == [
        "draws: one for all images of a pass (a part that is a pass's: p = 0.0005)",
        "seeds: two passes of one seed are equal",
        "network: is changed by a pass: weight",
        "images: are left as they were",
        "batches: every size that was tried passes",
        "other images of a batch: change nothing of an image's logits",
        "gradient at the image: there, finite and not zero",
    ]
    assert json.loads(json.dumps(found.as_dict())) == {
        "shared_by": "pass",
        "p_value": 0.0005,
        "repeats": True,
        "changes": ["weight"],
        "changes_images": False,
        "sizes": {},
        "company": False,
        "gradient": "ok",
        "gradient_error": "",
        "tried": [1, 3, 4],
    }


def test_what_is_wrong_is_said_too() -> None:
    own = torch.Generator().manual_seed(0)
    calls: list[int] = []

    class Wrong(Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            if len(x) not in (4, 6):
                raise ValueError("a batch of four")
            x.add_(torch.rand(x.shape, generator=own))
            return self.logits(torch.from_numpy(x.numpy()))

    network = Wrong()
    found = finding.find(opened(network), network, IMAGES, LABELS, (1, 6))
    draws, *others = found.lines()
    assert draws.startswith("draws: each image has its own (a part that is a pass's: p = 0.")
    assert others == [
        "seeds: two passes of one seed differ",
        "network: is left as it was",
        "images: are written into by a pass",
        "batches of 1: fail: ValueError: a batch of four",
        "other images of a batch: passes of one seed differ, so that it can't be told",
        "gradient at the image: there is none (RuntimeError: Can't call numpy() on Tensor that requires grad. "
        "Use tensor.detach().numpy() instead.)",
    ]
    assert found.as_dict()["sizes"] == {"1": "ValueError: a batch of four"}
    assert found.as_dict()["company"] is None
    # the first of all is one of those that are to repeat
    assert calls[:5] == [4] * 5


def test_the_first_pass_of_all_is_one_that_is_to_repeat() -> None:
    class Lazy(Linear):
        shift: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.shift is None:
                self.shift = torch.rand(())
            return self.logits(x + torch.rand(len(x), 1, 1, 1))

    network = Lazy()
    assert not finding.find(opened(network), network, IMAGES, LABELS, (4,)).repeats


def test_what_a_pass_leaves_in_a_buffer_is_no_draw_that_no_seed_reaches() -> None:
    class Counted(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.passes.add_(1)
            return self.logits(x) + self.passes

    network = Counted()
    found = finding.find(opened(network), network, IMAGES, LABELS, (4,))
    assert found.repeats
    assert found.changes == ("passes",)
    assert network.passes == 0


def test_what_one_pass_in_many_changes_is_named() -> None:
    class Seldom(Linear):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))
            self.passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            if self.passes == 40:
                self.mean.add_(1)
            return self.logits(x + torch.rand(len(x), 1, 1, 1))

    network = Seldom()
    assert finding.find(opened(network), network, IMAGES, LABELS, (4,)).changes == ("mean",)
    assert network.mean == 0
