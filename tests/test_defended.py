import dataclasses
import gc
import random
import threading
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.defended import Defended, NotFinite, Preprocessing, check_finite
from bench.models import TwoConv
from bench.schemes import Dropout, Noise, strength_of
from bench.sites import SiteError, trace, unwrapped

SITES = {"input": "", "feature": ["layers.pool1", "layers.pool2"], "fc": "layers.relu3"}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> TwoConv:
    torch.manual_seed(0)
    return TwoConv((1, 8, 8), 10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_two_conv_is_the_papers_network_at_every_size(shape: tuple[int, int, int]) -> None:
    model = TwoConv(shape, 10)
    assert model(torch.zeros(2, *shape)).shape == (2, 10)
    channels, height, width = shape
    flat = 64 * (height // 4) * (width // 4)
    expected = (25 * channels + 1) * 32 + (25 * 32 + 1) * 64 + (flat + 1) * 1024 + 1025 * 10
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("site", SITES)
def test_passes_differ_whatever_train_or_eval_was_called(
    model: TwoConv, images: torch.Tensor, site: str, training: bool
) -> None:
    with Defended(model, SITES, {site: 0.3}).model(0) as behind:
        behind.train(training)
        first, second = behind(images), behind(images)
        assert not torch.equal(first, second)
        # each image of a batch has a mask of its own
        same = behind(images[:1].expand(6, -1, -1, -1))
        assert len(same.unique(dim=0)) == 6


@pytest.mark.parametrize("rates", [{}, {"fc": 0.0}, {"input": 0.0, "feature": 0.0, "fc": 0.0}])
def test_rate_zero_changes_nothing(model: TwoConv, images: torch.Tensor, rates: dict[str, float]) -> None:
    bare = model(images)
    defended = Defended(model, SITES, rates)
    with defended.model(0) as behind:
        assert torch.equal(behind(images), bare)
        assert torch.equal(behind(images), bare)
    assert not defended.random


def test_sites_are_the_image_and_the_outputs_of_submodules(model: TwoConv, images: torch.Tensor) -> None:
    layers = model.layers

    def halve(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        return x / 2

    half = {site: (halve, 0.5) for site in SITES}
    hidden = (
        layers.pool2(layers.relu2(layers.conv2(layers.pool1(layers.relu1(layers.conv1(images / 2))) / 2))) / 2
    )
    expected = layers.fc2(layers.relu3(layers.fc1(hidden.flatten(1))) / 2)
    with Defended(model, SITES, half).model(0) as behind:
        torch.testing.assert_close(behind(images), expected)


def test_nothing_is_left_behind(model: TwoConv, images: torch.Tensor) -> None:
    model.train()
    model.layers.conv1.eval().requires_grad_(False)
    modes = [m.training for m in model.modules()]
    needed = [p.requires_grad for p in model.parameters()]
    bare = model(images)

    def interrupted() -> None:
        with Defended(model, SITES, {"fc": 0.5}).model(0) as behind:
            assert not any(m.training for m in model.modules())
            assert not any(p.requires_grad for p in model.parameters())
            assert not torch.equal(behind(images), bare)
            # nobody's pass but its own is random
            assert torch.equal(model(images), bare)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == needed
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model(images), bare)


def test_masks_come_from_the_seed_alone(model: TwoConv, images: torch.Tensor) -> None:
    defended = Defended(model, SITES, {"fc": 0.5, "input": 0.1})

    def passed(seed: int) -> torch.Tensor:
        with defended.model(seed) as behind:
            return behind(images)

    first, state = passed(7), torch.get_rng_state()
    torch.manual_seed(99)
    assert torch.equal(passed(7), first)
    assert not torch.equal(passed(8), first)
    torch.set_rng_state(state)
    passed(7)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_twin_and_its_scheme_over_one_network_never_mix(model: TwoConv, images: torch.Tensor) -> None:
    defended = Defended(model, SITES, {"feature": 0.3, "fc": 0.5})
    bare = model(images)
    with defended.model(1) as alone:
        expected = [alone(images) for _ in range(3)]
    with (
        defended.model(1) as one,
        defended.twin.model(2) as twin,
        Defended(model, SITES, {"fc": 0.9}).model(3) as other,
    ):
        seen = []
        for _ in range(3):
            seen.append(one(images))
            assert torch.equal(twin(images), bare)
            assert not torch.equal(other(images), bare)
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_a_network_that_is_no_longer_needed_goes() -> None:
    model = TwoConv((1, 8, 8), 10)
    gone = weakref.ref(model)
    with Defended(model, SITES, {"fc": 0.5}).model(0) as behind:
        behind(torch.zeros(1, 1, 8, 8))
    del model, behind
    gc.collect()
    assert gone() is None


def test_a_module_that_is_used_twice_acts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.act(x))

    def one_more(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        return x + 1

    x = torch.zeros(2, 3)
    with Defended(Twice(), {"site": "act"}, {"site": (one_more, 0.5)}).model(0) as behind:
        assert torch.equal(behind(x), x + 2)
    assert trace(Twice(), x) == {"act": [(2, 3), (2, 3)]}


def test_the_image_is_acted_on_before_it_is_preprocessed(images: torch.Tensor) -> None:
    class Shift:
        strength = ("shift", 0, 1, "[]", 0.0)

        def __init__(self, clip: bool):
            self.clip = clip

        def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
            return x + rate

    before = Preprocessing([0.5], [0.25])
    assert torch.equal(before(images), (images - 0.5) / 0.25)
    for clip in (False, True):
        defended = Defended(nn.Flatten(), {"input": ""}, {"input": (Shift(clip), 0.75)}, preprocessing=before)
        moved = (images + 0.75).clamp(0, 1) if clip else images + 0.75
        with defended.model(0) as behind:
            assert torch.equal(behind(images), ((moved - 0.5) / 0.25).flatten(1))
    with pytest.raises(ValueError, match="std over 0, got 0"):
        Preprocessing(0.5, 0)
    with pytest.raises(ValueError, match="as many values of std as of mean, got 2, 3"):
        Preprocessing([0.1, 0.2, 0.3], [1, 1])
    assert (Preprocessing(0.5, [1, 2, 3]).channels, Preprocessing(0.5).channels) == (3, 1)


def test_an_operation_on_the_image_may_change_its_size() -> None:
    def crop(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        return x[..., 1:-1, 1:-1]

    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.rand(2, 3, 6, 6)
    with Defended(pooled, {"input": ""}, {"input": (crop, 0.5)}).model(0) as behind:
        torch.testing.assert_close(behind(x), x[..., 1:-1, 1:-1].mean((2, 3)))


@dataclasses.dataclass
class Output:
    logits: torch.Tensor


class Answers(nn.Module):
    """Gives its logits in one of many ways."""

    def __init__(self, form: str):
        super().__init__()
        self.fc, self.softmax, self.form = nn.Linear(4, 3), nn.Softmax(1), form

    def forward(self, x: torch.Tensor) -> object:
        z = self.fc(x)
        forms = {
            "output": Output(z),
            "tuple": (x, z),
            "dict": {"out": z},
            "named": {"logits": z},
            "soft": self.softmax(z),
        }
        return forms[self.form]


@pytest.mark.parametrize(
    ("form", "outputs"),
    [("output", None), ("named", None), ("tuple", 1), ("dict", "out"), ("soft", {"from": "fc"})],
)
def test_logits_are_found_in_what_a_network_gives(form: str, outputs: object) -> None:
    model, x = Answers(form), torch.rand(2, 4)
    with Defended(model, outputs=outputs).model(0) as behind:
        assert torch.equal(behind(x), model.fc(x))
    assert not model.fc._forward_hooks


def test_what_lets_no_gradient_through_has_a_gradient_of_zero(model: TwoConv, images: torch.Tensor) -> None:
    def elsewhere(x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
        """As JPEG by Pillow."""
        return torch.from_numpy((x.detach().numpy() * 8).round() / 8)

    with Defended(model, SITES, {"input": (elsewhere, 0.5)}).model(0) as behind:
        given = images.clone().requires_grad_()
        logits = behind(given)
        (gradient,) = torch.autograd.grad(logits.sum(), given)
        assert torch.equal(logits, model((images * 8).round() / 8))
    assert not gradient.any()


def test_two_threads_that_pass_at_once_are_each_given_their_own_outputs(images: torch.Tensor) -> None:
    both = threading.Barrier(2)

    class Meet(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            both.wait(10)
            return x

    net = nn.Sequential(Meet(), nn.Flatten(), Meet(), nn.Softmax(-1))
    defended, found = Defended(net, outputs={"from": "1"}), {}

    def look(which: int) -> None:
        with defended.model(0) as model:
            found[which] = model(images[which : which + 1])

    threads = [threading.Thread(target=look, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[which], images[which].reshape(1, -1)) for which in range(2))


def test_outputs_that_are_not_there_are_one_line() -> None:
    with pytest.raises(SiteError, match=r"^outputs: no submodule 'fd'; did you mean fc\?$"):
        Defended(Answers("soft"), outputs={"from": "fd"})
    for form, outputs, words in (
        (
            "tuple",
            2,
            r"outputs: the network gives tuple, in which there is no 2 \(IndexError\); allowed: 0, 1$",
        ),
        (
            "dict",
            "logit",
            r"outputs: the network gives dict, in which there is no 'logit' \(KeyError\); allowed: out$",
        ),
    ):
        with (
            Defended(Answers(form), outputs=outputs).model(0) as behind,
            pytest.raises(SiteError, match=words),
        ):
            behind(torch.rand(2, 4))


def test_a_site_that_is_not_there_is_one_line(model: TwoConv, images: torch.Tensor) -> None:
    for sites, scheme, words in (
        ({"fc": "layers.relu33"}, {}, r"^fc: no submodule 'layers.relu33'; did you mean layers.relu3"),
        ({"fc": []}, {}, r"^fc: expected a path of a submodule, or several, got \[\]$"),
        (SITES, {"fc9": 0.5}, r"^fc9: the network has no such site; did you mean fc\?$"),
        ({}, {"fc": 0.5}, r"^fc: the network has no such site; allowed: none$"),
    ):
        with pytest.raises(SiteError, match=words):
            Defended(model, sites, scheme)
    with pytest.raises(ValueError, match=r"^fc: expected a rate in \[0, 1\), got 1$"):
        Defended(model, SITES, {"fc": 1})
    pair = nn.LSTM(8, 4)
    with (
        Defended(nn.Sequential(nn.Flatten(1, 2), pair), {"lstm": "1"}, {"lstm": 0.5}).model(0) as behind,
        pytest.raises(
            SiteError, match="^lstm: submodule '1' gives tuple, expected a tensor; name one inside it$"
        ),
    ):
        behind(images)


def test_a_deterministic_operation_is_as_welcome(model: TwoConv, images: torch.Tensor) -> None:
    class Round:
        strength = ("levels", 2, 256, "[]", None, False)
        random = False

        def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
            return (x * (rate - 1)).round() / (rate - 1)

    rounded = {"input": (Round(), 4.0)}
    expected = model((images * 3).round() / 3)
    defended = Defended(model, SITES, rounded)
    with defended.model(0) as behind:
        assert torch.equal(behind(images), expected)
        assert torch.equal(behind(images), expected)
    assert not defended.random
    assert Defended(model, SITES, {**rounded, "fc": (Dropout(), 0.5)}).random
    strength_of(Round).check("scheme.sites.input", 4)


def test_data_parallel_is_taken_by_its_module(model: TwoConv, images: torch.Tensor) -> None:
    wrapped = nn.DataParallel(nn.DataParallel(model))
    assert unwrapped(wrapped) is model
    with (
        Defended(wrapped, SITES, {"fc": 0.5}).model(3) as one,
        Defended(model, SITES, {"fc": 0.5}).model(3) as other,
    ):
        assert torch.equal(one(images), other(images))


def test_identity_tells_networks_and_schemes_apart(model: TwoConv) -> None:
    torch.manual_seed(0)
    again = TwoConv((1, 8, 8), 10)
    assert Defended(model, SITES, {"fc": 0.5}).identity == Defended(again, SITES, {"fc": 0.5}).identity
    # what its sites are called, and where nothing acts, changes nothing
    renamed = Defended(model, {"hidden": "layers.relu3"}, {"hidden": 0.5})
    assert renamed.identity == Defended(model, SITES, {"fc": 0.5, "input": 0.0}).identity
    other = TwoConv((1, 8, 8), 10)
    alike = Defended(model, SITES, {"fc": 0.5})
    for differing in (
        alike.twin,
        Defended(other, SITES, {"fc": 0.5}),
        Defended(model, SITES, {"fc": 0.4}),
        Defended(model, SITES, {"feature": 0.5}),
        Defended(model, SITES, {"fc": (Noise(), 0.5)}),
        Defended(model, SITES, {"fc": 0.5}, preprocessing=Preprocessing(0.5)),
        Defended(model, SITES, {"fc": 0.5}, outputs={"from": "layers"}),
    ):
        assert differing.identity != alike.identity


def test_logits_that_are_no_numbers_are_refused() -> None:
    check_finite(torch.ones(3, 2))
    outputs = torch.ones(3, 2)
    outputs[1, 0] = torch.nan
    with pytest.raises(NotFinite, match="for 1 of 3 images in one pass, first for image 1"):
        check_finite(outputs)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = checkpoint(self.hidden, x.flatten(1), use_reentrant=False)
        return self.second(hidden)

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x).exp()


def test_a_site_that_is_passed_again_on_the_way_back_is_refused() -> None:
    images = torch.ones(3, 1, 2, 2, requires_grad=True)
    defended = Defended(Checkpointed(), {"hidden": "first"}, {"hidden": (Noise(), 1.0)})
    with defended.model(0) as behind:
        total = behind(images).sum()
        with pytest.raises(SiteError, match=r"^hidden: the network passes 'first' again on the way back"):
            total.backward()
    with defended.twin.model(0) as behind:
        behind(images).sum().backward()
    assert images.grad is not None


def everywhere(values: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """An operation that draws from all global generators, and not from the one that it is given."""
    return values + rate * (torch.randn(values.shape) + np.random.rand() + random.random())  # noqa: NPY002


def test_what_an_operation_draws_from_the_global_generators_is_of_the_seed_and_the_pass() -> None:
    network, images = nn.Flatten(), torch.rand(3, 1, 2, 2)
    defended = Defended(network, {"image": ""}, {"image": (everywhere, 0.5)})
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    def passes(seed: int) -> list[Tensor]:
        with defended.model(seed) as model:
            return [model(images) for _ in range(3)]

    first, again, other = passes(1), passes(1), passes(2)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    drawn = [*first, *other]
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(6) for j in range(i))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_known_draw_is_the_same_in_every_answer() -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    defended = Defended(network, {"input": ""}, {"input": 0.5}, passes=3)
    with defended.model(3) as model:
        first, second = model(x), model(x)
    assert not torch.equal(first, second)
    with defended.model(3, known=True) as model:
        known = [model(x) for _ in range(3)]
    assert all(torch.equal(one, first) for one in known)
    with defended.model(4, known=True) as model:
        assert not torch.equal(model(x), first)
