"""Randomness of a network's own: how it is drawn, switched and put back, and what is found and said of it."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import bench
from bench.checks import NotApplicable
from bench.defended import AS_IT_IS, Defended, Handling
from bench.own import Own, OwnError
from bench.sites import SiteError

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SIDE = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
"""A direction of the logits, of which gradients are taken."""


def drawn_weight(seed: int = 2) -> Tensor:
    return torch.randn(10, 64, generator=torch.Generator().manual_seed(seed)) / 8


class Plain(nn.Module):
    """Ten logits, linear in an image of 64 pixels; nothing of it is random."""

    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn_weight() if weight is None else weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def logits(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return functional.linear(x.flatten(1), self.weight if weight is None else weight)


class Noise(nn.Module):
    """Adds noise of its own to whatever passes, of a standard deviation that is its class's."""

    sd = 0.3

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sd * torch.randn_like(x)


class Noisy(Plain):
    """Noise on each image."""

    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__(weight)
        self.noise = Noise()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.noise(x))


OF_NOISE = Own(on={"sd": 0.3}, off={"sd": 0.0})


def passes(defended: Defended, count: int = 1, seed: int = 0, images: Tensor = IMAGES) -> list[Tensor]:
    """What so many passes of one seed give."""
    with defended.model(seed) as model:
        return [model(images) for _ in range(count)]


def refused(network: nn.Module, scheme: Own, **more: Any) -> str:
    """What is said of a scheme that a network can't have, which is one line."""
    with pytest.raises(bench.ConfigError) as error:
        bench.Defended(network, scheme=scheme, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


# What draws


class Shift(nn.Module):
    """Adds what a method has drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.shift: float | Tensor = 0.0
        self.drawn: list[float] = []

    def redraw(self) -> None:
        self.shift = float(torch.randn(()))
        self.drawn.append(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


class TwoShifts(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = Shift(), Shift()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.logits(self.before(x)))


class Redrawn(TwoShifts):
    """A network that has the method itself."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def redraw(self) -> None:
        self.calls += 1
        self.after.redraw()


def draw_after(network: nn.Module) -> None:
    """A function that draws."""
    network.get_submodule("after").redraw()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("network", "draw", "counts"),
    [(TwoShifts, "redraw", (3, 3)), (Redrawn, "redraw", (0, 3)), (TwoShifts, draw_after, (0, 3))],
    ids=["of each submodule", "of the network", "a function"],
)
def test_what_draws_is_called_before_each_pass(
    network: type[TwoShifts], draw: Any, counts: tuple[int, int]
) -> None:
    net = network()
    found = passes(Defended(net, scheme=Own(draw=draw)).handled(AS_IT_IS), 3)
    before, after = net.before.drawn, net.after.drawn
    assert (len(before), len(after)) == counts
    assert len({*before, *after}) == sum(counts)
    for logits, first, second in zip(found, before or [0.0] * 3, after, strict=True):
        assert torch.equal(logits, net.logits(IMAGES + first) + second)
    if isinstance(net, Redrawn):
        assert net.calls == 3


def test_a_twin_draws_nothing() -> None:
    net = TwoShifts()
    twin = Defended(net, scheme=Own(draw="redraw", off={})).twin
    assert twin is not None
    assert not twin.random
    assert torch.equal(passes(twin)[0], net.logits(IMAGES))
    assert not net.before.drawn


class Lacking(Plain):
    def redraw(self, how: str) -> None:
        """Can't be called without an argument."""

    def anew(self) -> None:
        """Draws nothing."""


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        (Own(draw="redrew"), "scheme.draw: no module has a method 'redrew'; did you mean redraw?"),
        (Own(draw="redraw"), "scheme.draw: redraw can't be called (missing a required argument: 'how'); name a function that is called with the network"),
        (Own(choose={"bits": [1]}), "scheme.choose.bits: no module has such an attribute; allowed: sd, weight"),
        (Own(on={"ds": 1}), "scheme.on.ds: no module has such an attribute; did you mean sd?"),
        (Own(off={"training": False}), "scheme.off.training: no module has such an attribute; allowed: sd, weight"),
        (Own(off="nois"), "scheme.off: no submodule 'nois'; did you mean noise?"),
        (Own(stand_ins={"noises": "identity"}), "scheme.stand_ins: no submodule 'noises'; did you mean noise?"),
        (Own(train_mode=["body"]), "scheme.train_mode: no submodule 'body'; allowed: noise"),
        (Own(train_mode=[nn.Dropout]), "scheme.train_mode: no submodule is a Dropout; there are Lacking, Noise"),
        (Own(sites={"fc": 0.5}), "sites.fc: the network has no such site; allowed: none"),
        (Own(sites={"fc": 1.5}), "scheme.fc: expected a rate in [0, 1), got 1.5"),
        (Own(twin=5), "scheme.twin: expected a torch.nn.Module or a bench.Defended, got 5"),
        (Own(stand_ins={"noise": nn.Linear}), "scheme.stand_ins.noise: Linear can't be made (TypeError: Linear.__init__() missing 2 required positional arguments: 'in_features' and 'out_features')"),
    ],
)  # fmt: skip
def test_what_a_network_has_not_got_is_one_line(scheme: Own, words: str) -> None:
    net = Lacking()
    net.noise = Noise()
    assert refused(net, scheme) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"draw": 5}, "draw: expected a method's name, or a function, got 5"),
        ({"choose": ["bits"]}, "choose: expected names and values, got ['bits']"),
        ({"choose": {"bits": 4}}, "choose.bits: expected a list of values, got 4"),
        ({"choose": {"bits": []}}, "choose.bits: expected a list of values, got []"),
        ({"probabilities": [0.5, 0.5]}, "probabilities: there is nothing to choose from; give choose"),
        ({"choose": {"a": [1], "b": [2]}, "probabilities": [1]}, "probabilities: expected them by name, for 2 names of choose"),
        ({"choose": {"a": [1, 2]}, "probabilities": {"b": [1]}}, "probabilities: expected those of a, got b"),
        ({"choose": {"a": [1, 2]}, "probabilities": [0.9, 0.2]}, "probabilities: expected 2 numbers from 0 that sum to 1, got [0.9, 0.2]"),
        ({"choose": {"a": [1, 2]}, "probabilities": [1.5, -0.5]}, "probabilities: expected 2 numbers from 0 that sum to 1, got [1.5, -0.5]"),
        ({"choose": {"a": [1, 2]}, "probabilities": [1.0]}, "probabilities: expected 2 numbers from 0 that sum to 1, got [1.0]"),
        ({"choose": {"a": [1, 2]}, "probabilities": 0.5}, "probabilities: expected 2 numbers from 0 that sum to 1, got 0.5"),
        ({"train_mode": nn.Dropout}, f"train_mode: expected a list of classes or paths, got {nn.Dropout!r}"),
        ({"train_mode": [nn.Dropout(0.5)]}, "train_mode: expected classes of modules, or paths, got Dropout(p=0.5, inplace=False)"),
        ({"on": 3}, "on: expected names and values, got 3"),
        ({"off": 3}, "off: expected names and values, or a submodule's path, got 3"),
        ({"off": {}, "twin": nn.Flatten()}, "twin: off says already what the twin is; give one of them"),
        ({"stand_ins": {"a": "identiti"}}, "stand_ins.a: expected identity, or a module, got 'identiti'"),
        ({"own": False, "off": {}}, "off: the network draws nothing by itself"),
        ({"own": False, "seeded": False}, "seeded: the network draws nothing by itself"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_a_value_error_of_one_line(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        bench.Own(**given)
    assert str(error.value) == words


def test_a_network_draws_by_itself_unless_sites_and_stand_ins_are_all_that_is_said() -> None:
    assert Own().itself
    assert Own(off={}).itself
    assert not Own(stand_ins={"a": "identity"}).itself
    assert not Own(sites={"fc": 0.5}).itself
    assert Own(sites={"fc": 0.5}, off={}).itself
    assert Own(sites={"fc": 0.5}, own=True).itself
    assert not Own().has_twin
    assert Own(sites={"fc": 0.5}).has_twin


# Values that are chosen


class Bits(nn.Module):
    bits = 16


class Levels(nn.Module):
    """Its logits tell to what two modules were set."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Bits(), Bits()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([[float(self.one.bits), float(self.two.bits)]]).expand(len(x), 2)


def chosen(scheme: Own, count: int, seed: int = 0) -> list[tuple[float, float]]:
    defended = Defended(Levels(), scheme=scheme).handled(AS_IT_IS)
    return [(float(one[0, 0]), float(one[0, 1])) for one in passes(defended, count, seed, IMAGES[:1])]


def test_values_are_chosen_as_often_as_their_probabilities_say() -> None:
    found = chosen(Own(choose={"bits": [4, 8, 16]}, probabilities=[0.7, 0.2, 0.1]), 600)
    # one draw is for all modules
    assert all(one == two for one, two in found)
    counts = Counter(one for one, _ in found)
    assert stats.chisquare([counts[b] for b in (4, 8, 16)], [420, 120, 60]).pvalue > 0.01
    alike = Counter(one for one, _ in chosen(Own(choose={"bits": [4, 8, 16]}), 600))
    assert stats.chisquare([alike[b] for b in (4, 8, 16)]).pvalue > 0.01


def test_each_module_may_have_a_draw_of_its_own() -> None:
    found = chosen(Own(choose={"bits": [4, 8]}, probabilities={"bits": [0.25, 0.75]}, each=True), 600)
    pairs = Counter(found)
    expected = {(4, 4): 37.5, (4, 8): 112.5, (8, 4): 112.5, (8, 8): 337.5}
    assert stats.chisquare([pairs[p] for p in expected], list(expected.values())).pvalue > 0.01


def test_what_is_chosen_comes_from_the_seed_and_is_put_back() -> None:
    scheme = Own(choose={"bits": [4, 8, 16]}, each=True)
    before = torch.get_rng_state()
    first = chosen(scheme, 20, 7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert chosen(scheme, 20, 7) == first != chosen(scheme, 20, 8)
    net = Levels()
    passes(Defended(net, scheme=scheme))
    assert "bits" not in vars(net.one)
    assert net.one.bits == 16


def test_a_tensor_is_filled_with_what_is_chosen() -> None:
    class Filled(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("shift", torch.zeros(10))

        def forward(self, x: Tensor) -> Tensor:
            return self.logits(x) + self.shift

    net = Filled()
    bare = net.logits(IMAGES)
    found = passes(Defended(net, scheme=Own(choose={"shift": [-1, 1]})), 20)
    assert {round(float((one - bare).detach().mean())) for one in found} == {-1, 1}
    assert not net.shift.any()


# Modules in training mode


class Flags(nn.Module):
    """Notes its own flag, and its child's, in each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dropout(0.5)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, self.inner.training))
        return self.inner(x)


class Flagged(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.body = Flags()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.body(x))


@pytest.mark.parametrize(
    ("train_mode", "flags"),
    [
        ([Flags], (True, False)),
        (["body"], (True, False)),
        ([nn.Dropout], (False, True)),
        (["body.inner"], (False, True)),
        ([nn.modules.dropout._DropoutNd, "body", "body.inner"], (True, True)),
    ],
)
def test_modules_in_training_mode_are_so_by_their_own_flag_alone(
    train_mode: list[Any], flags: tuple[bool, bool]
) -> None:
    net = Flagged()
    net.body.inner.eval()
    defended = Defended(net, scheme=Own(train_mode=train_mode, off={})).handled(AS_IT_IS)
    passes(defended)
    assert net.body.seen == [flags]
    assert defended.twin is not None
    passes(defended.twin.handled(AS_IT_IS))
    assert net.body.seen[1:] == [(False, False)]
    # as they were before, each by itself
    assert (net.training, net.body.training, net.body.inner.training) == (True, True, False)


class Stubborn(nn.Dropout):
    """Drops out whatever it is told, as MC dropout does."""

    def train(self, mode: bool = True) -> "Stubborn":
        super().train()
        return self


class Deaf(nn.Dropout):
    """Isn't told."""

    def train(self, mode: bool = True) -> "Deaf":
        return self


class Asleep(Deaf):
    """As that, and was made in evaluation mode."""

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.training = False


@pytest.mark.parametrize("kind", [Stubborn, Deaf, Asleep])
def test_a_network_whose_eval_is_its_own_is_on_for_the_scheme_and_off_for_its_twin(
    kind: type[nn.Dropout],
) -> None:
    net = nn.Sequential(kind(0.5), Plain())
    before = net[0].training
    defended = Defended(net, scheme=Own(train_mode=[nn.Dropout], off={}))
    one, other = passes(defended, 2)
    assert not torch.equal(one, other)
    assert defended.twin is not None
    assert torch.equal(passes(defended.twin)[0], net[1](IMAGES))
    assert net[0].training == before


# Attributes that are set


class Kinds(nn.Module):
    """An attribute of each kind, and a note of what they are in a pass."""

    of_class = 1.0

    def __init__(self, fails: BaseException | None = None) -> None:
        super().__init__()
        self.of_instance = 1.0
        self._inner = 1.0
        self.register_buffer("buffer", torch.ones(2, 3))
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.parameter = nn.Parameter(torch.ones(4))
        self.loose = torch.ones(5, dtype=torch.float64)
        self.fails = fails
        self.seen: list[dict[str, Any]] = []

    @property
    def prop(self) -> float:
        return self._inner

    @prop.setter
    def prop(self, value: float) -> None:
        self._inner = value

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append({name: getattr(self, name) for name in NAMES})
        if self.fails is not None:
            raise self.fails
        # a parameter that is filled must be one that a pass can use
        return x + self.parameter.sum() - 4 + torch.rand(())


NAMES = ("of_class", "of_instance", "prop", "buffer", "passing", "parameter", "loose")


class Nested(Plain):
    def __init__(self, fails: BaseException | None = None) -> None:
        super().__init__()
        self.first = Kinds()
        self.deeper = nn.Sequential(Kinds(fails))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.deeper(self.first(x)))

    @property
    def kinds(self) -> list[Kinds]:
        return [m for m in self.modules() if isinstance(m, Kinds)]


def state(network: Nested) -> list[Any]:
    """All that mustn't be another after a pass: which objects there are, where their values are, and these."""
    found: list[Any] = []
    for path, module in network.named_modules(remove_duplicate=False):
        found += [path, id(module), sorted(vars(module))]
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            if isinstance(value, Tensor):
                found += [name, id(value), value.data_ptr(), value.tolist(), value.requires_grad]
            elif isinstance(value, float | bool):
                found += [name, value]
    return found


def is_all(value: Any, number: float) -> bool:
    return bool((value == number).all()) if isinstance(value, Tensor) else bool(value == number)


def test_attributes_of_every_kind_are_set_for_a_pass_on_every_module_and_put_back() -> None:
    net = Nested()
    scheme = Own(on=dict.fromkeys(NAMES, 2), off=dict.fromkeys(NAMES, "1/2"))
    defended = Defended(net, scheme=scheme).handled(AS_IT_IS)
    before = state(net)
    passes(defended)
    assert state(net) == before
    assert defended.twin is not None
    passes(defended.twin.handled(AS_IT_IS))
    assert state(net) == before
    for kinds in net.kinds:
        for seen, number in zip(kinds.seen, (2, 0.5), strict=True):
            assert [name for name in NAMES if not is_all(seen[name], number)] == []
            for name in ("buffer", "passing", "parameter", "loose"):
                assert seen[name].shape == getattr(kinds, name).shape
                assert seen[name].dtype == getattr(kinds, name).dtype
                # what is filled is another tensor than the network's own
                assert seen[name].data_ptr() != getattr(kinds, name).data_ptr()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_everything_is_put_back_after_an_error_in_the_pass_and_after_ctrl_c(error: BaseException) -> None:
    net = Nested(error)
    scheme = Own(on=dict.fromkeys(NAMES, 2), choose={"of_instance": [3]}, train_mode=[Kinds], off={})
    handling = Handling(copies=("weight", "deeper.0.buffer", "deeper.0.loose"))
    before = state(net)
    with pytest.raises(type(error)), Defended(net, scheme=scheme).handled(handling).model(0) as model:
        model(IMAGES)
    assert is_all(net.deeper[0].seen[0]["of_class"], 2)
    assert state(net) == before
    # found out of a pass that fails, too
    with pytest.raises(type(error)), Defended(net, scheme=scheme).model(0) as model:
        model(IMAGES)
    assert state(net) == before


def test_what_can_not_be_set_is_one_line() -> None:
    class Odd(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("bits", torch.tensor([4]))

        @property
        def fixed(self) -> float:
            return 1.0

    for on, words in (
        ({"fixed": 2}, "on.fixed: can't be set to 2"),
        ({"weight": "much"}, "on.weight: is a tensor of torch.float32, which can't be filled by 'much'"),
        ({"bits": 2.5}, "on.bits: is a tensor of torch.int64, which can't be filled by 2.5"),
    ):
        net = Odd()
        with pytest.raises(bench.ConfigError) as error:
            bench.evaluate(
                bench.Defended(net, scheme=Own(on=on)), IMAGES, torch.zeros(6, dtype=torch.int64), ["fgsm"]
            )
        assert str(error.value).startswith(f"scheme.{words}")
        assert "\n" not in str(error.value)


def test_nothing_is_deep_copied() -> None:
    class Uncopied(Noisy):
        met: set[int] = set()

        def forward(self, x: Tensor) -> Tensor:
            self.met.update((id(self), id(self.noise)))
            return super().forward(x)

        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("copied")

    net = Uncopied()
    defended = Defended(net, scheme=Own(on={"sd": 0.1, "weight": 0.5}, off={"sd": 0}))
    passes(defended, 2)
    assert defended.twin is not None
    passes(defended.twin)
    assert Uncopied.met == {id(net), id(net.noise)}


class Tied(nn.Module):
    """One weight under two names; or one module, at two paths."""

    def __init__(self, module: bool) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
        self.two.weight = self.one.weight
        if module:
            self.two = self.one

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.flatten(1)))


@pytest.mark.parametrize("module", [False, True])
def test_a_tensor_of_two_names_may_be_filled(module: bool) -> None:
    net = Tied(module)
    weight = net.one.weight
    twin = Defended(net, scheme=Own(off={"weight": 0.25})).twin
    assert twin is not None
    # of what a pass changes, too
    for one in (twin, twin.handled(Handling(copies=("one.weight", "two.weight")))):
        expected = (16 * IMAGES.flatten(1).sum(1, keepdim=True) / 4).expand(6, 64)
        torch.testing.assert_close(passes(one)[0], expected)
        assert net.one.weight is net.two.weight is weight
