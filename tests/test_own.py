"""Randomness of a network's own: how it is drawn, switched and put back, and what is found and said of it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from owning import Own as Write
from owning import writer
from running import Run
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import bench
from bench import attacking, cell, parts, plan
from bench.checks import NotApplicable
from bench.composing import compose
from bench.config import Config
from bench.defended import AS_IT_IS, Defended, Handling
from bench.own import Own, OwnError

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
        # a product remembers the parameter itself for the way back, where linear() does a view of it
        return (x.flatten(1)[:, None] * (self.weight if weight is None else weight)).sum(-1)


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


def failing(network: nn.Module) -> None:
    raise ZeroDivisionError("by zero")


def test_what_draws_and_fails_is_one_line() -> None:
    with pytest.raises(
        bench.ConfigError, match=r"^scheme\.draw: failing fails \(ZeroDivisionError: by zero\)$"
    ):
        bench.evaluate(bench.Defended(Plain(), scheme=Own(draw=failing)), IMAGES, SIDE.argmax(-1), ["pgd"])


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
        ({"probabilities": [0.5, 0.5]}, "probabilities: expected them by name, for 0 names of choose"),
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
    # from the generator that is given, whatever the global one is at
    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(5)
        for _ in range(10):
            with scheme.acting(net, generator):
                found.append((net.one.bits, net.two.bits))
    assert found[:10] == found[10:]
    assert len(set(found)) > 2


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
    with defended.model(0) as model:
        model(IMAGES)
        # for a pass, and no longer
        assert not any(m.training for m in net.modules())
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


def state(network: nn.Module) -> list[Any]:
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
        def forward(self, x: Tensor) -> Tensor:
            met.update((id(self), id(self.noise)))
            return super().forward(x)

        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("copied")

    met: set[int] = set()
    net = Uncopied()
    defended = Defended(net, scheme=Own(on={"sd": 0.1, "weight": 0.5}, off={"sd": 0}))
    passes(defended, 2)
    assert defended.twin is not None
    passes(defended.twin)
    assert met == {id(net), id(net.noise)}


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


# Tensors that a pass changes


class DataReplaced(Plain):
    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.randn(10, 64)
        return self.logits(x)


class DataWritten(Plain):
    def forward(self, x: Tensor) -> Tensor:
        self.weight.data[:8] = torch.randn(8, 64)
        return self.logits(x)


class DataDrawn(Plain):
    """By a method, that something else calls."""

    def redraw(self) -> None:
        self.weight.data = torch.randn(10, 64)


class Buffered(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drawn", torch.zeros(10, 64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.drawn.normal_()
        return self.logits(x, self.drawn)


class ParameterReplaced(Plain):
    def forward(self, x: Tensor) -> Tensor:
        self.weight = nn.Parameter(torch.randn(10, 64))
        return self.logits(x)


class Loose(Plain):
    """A tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = torch.zeros(10, 64)

    def forward(self, x: Tensor) -> Tensor:
        self.drawn.normal_()
        return self.logits(x, self.drawn)


class Late(Plain):
    """One that comes in the first pass."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "drawn"):
            self.drawn = torch.zeros(10, 64)
        self.drawn.normal_()
        return self.logits(x, self.drawn)


class LateBuffer(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if "drawn" not in self._buffers:
            self.register_buffer("drawn", torch.zeros(10, 64))
        self.drawn.normal_()
        return self.logits(x, self.drawn)


class TiedWritten(Tied):
    """What is written under one of two names, of one tensor or of one module, is used under both."""

    def forward(self, x: Tensor) -> Tensor:
        self.two.weight.data[:] = torch.randn(64, 64) / 8
        return super().forward(x)[:, :10]


class Softened(Plain):
    """Of several outputs; the logits are a submodule's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = DataReplaced()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"soft": self.inner(x).softmax(1), "other": x}


class ModuleReplaced(Plain):
    """Draws a submodule anew."""

    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__(weight)
        self.drawn = nn.Linear(10, 10)

    def redraw(self) -> None:
        self.drawn = nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.drawn(self.logits(x).tanh())


class Stacked(DataReplaced):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([x, 1 - x]))


CHANGING: list[tuple[Callable[[], nn.Module], tuple[str, ...], dict[str, Any]]] = [
    (DataReplaced, ("weight",), {}),
    (DataWritten, ("weight",), {}),
    (DataDrawn, ("weight",), {"scheme": Own(draw="redraw")}),
    (Buffered, ("drawn",), {}),
    (ParameterReplaced, ("weight",), {}),
    (Loose, ("drawn",), {}),
    (Late, ("drawn",), {}),
    (LateBuffer, ("drawn",), {}),
    (lambda: TiedWritten(False), ("one.weight", "two.weight"), {}),
    (lambda: TiedWritten(True), ("one.weight", "two.weight"), {}),
    (Softened, ("inner.weight",), {"outputs": {"from": "inner"}}),
    (Stacked, ("weight",), {"outputs": {"stacked": 2}}),
    (ModuleReplaced, ("drawn",), {"scheme": Own(draw="redraw")}),
]
NAMED = [
    "data replaced", "data written", "data drawn by a method", "buffer in place", "parameter replaced",
    "attribute in place", "attribute that comes", "buffer that comes", "tied weights", "a module of two paths",
    "outputs of a submodule", "stacked outputs", "submodule replaced by a method",
]  # fmt: skip


def gradient_of_sum(model: nn.Module, count: int = 4) -> Tensor:
    leaf = IMAGES.clone().requires_grad_()
    total = torch.stack([(model(leaf) * SIDE).sum() for _ in range(count)]).sum()
    return torch.autograd.grad(total, leaf)[0]


def sum_of_gradients(model: nn.Module, count: int = 4) -> Tensor:
    found = []
    for _ in range(count):
        leaf = IMAGES.clone().requires_grad_()
        found += torch.autograd.grad((model(leaf) * SIDE).sum(), leaf)
    return torch.stack(found).sum(0)


@pytest.mark.parametrize(("make", "names", "more"), CHANGING, ids=NAMED)
def test_the_gradient_of_several_passes_is_the_sum_of_theirs_and_the_network_as_it_was(
    make: Callable[[], nn.Module], names: tuple[str, ...], more: dict[str, Any]
) -> None:
    net = make()
    defended = Defended(net, **{"scheme": Own(), **more})
    before = state(net)
    # found out of the first pass, without anybody having looked before
    with defended.model(3) as model:
        together = gradient_of_sum(model)
    with defended.model(3) as model:
        one_by_one = sum_of_gradients(model)
    torch.testing.assert_close(together, one_by_one)
    assert together.abs().max() > 0
    assert defended.handling == Handling(copies=names)
    if isinstance(net, Late):
        # it is set up once, and what is drawn into it stays the pass's
        assert not torch.equal(*passes(defended, 2))
        vars(net).pop("drawn")
    assert state(net) == before


@pytest.mark.parametrize("module", [False, True])
def test_what_is_written_under_one_of_two_names_is_read_under_both(module: bool) -> None:
    told: list[bool] = []

    class Told(TiedWritten):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            told.append(torch.equal(self.one.weight, self.two.weight))
            return logits

    passes(Defended(Told(module), scheme=Own()), 2)
    assert told == [True] * len(told)


def test_one_pass_would_else_get_the_gradient_of_another_ones_draw() -> None:
    for make, right in ((DataReplaced, False), (DataWritten, False), (Noisy, True)):
        with Defended(make(), scheme=Own()).model(3, as_it_is=True) as model:
            together = gradient_of_sum(model)
        with Defended(make(), scheme=Own()).model(3) as model:
            assert torch.allclose(together, sum_of_gradients(model), atol=1e-4) == right


def test_each_of_several_passes_of_an_answer_has_the_gradient_of_its_own_draw() -> None:
    with Defended(DataReplaced(), scheme=Own(), passes=4, combine="mean_logit").model(5) as model:
        together = gradient_of_sum(model, 1)
    with Defended(DataReplaced(), scheme=Own()).model(5) as model:
        torch.testing.assert_close(4 * together, sum_of_gradients(model))


def test_a_pass_starts_from_the_networks_own_values_whatever_the_last_one_left() -> None:
    class Walk(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("at", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.at.add_(1)
            return self.logits(x) + self.at

    net = Walk()
    found = passes(Defended(net, scheme=Own()), 3)
    assert all(torch.equal(one, net.logits(IMAGES) + 1) for one in found)
    assert net.at == 0


# Images


OUTSIDE = torch.ones(10)
"""A tensor of the code's own."""


class Hidden(Plain):
    """Draws into a tensor that no module has by itself, or makes a new one there."""

    def __init__(self, where: str, how: str) -> None:
        super().__init__(drawn_weight())
        self.where, self.how = where, how
        self.listed = [torch.ones(10)]
        self.named = {"scale": torch.ones(10)}

    def forward(self, x: Tensor) -> Tensor:
        held: Any = {"list": self.listed, "dict": self.named, "globals": globals()}[self.where]
        name = {"list": 0, "dict": "scale", "globals": "OUTSIDE"}[self.where]
        if self.how == "new":
            held[name] = torch.rand(10)
        elif self.how == "data":
            held[name].data.uniform_()
        else:
            held[name].uniform_()
        return self.logits(x) * held[name]


@pytest.mark.parametrize("how", ["data", "in place", "new"])
@pytest.mark.parametrize("where", ["list", "dict", "globals"])
def test_a_draw_into_a_tensor_that_no_copy_can_be_made_of_is_refused(where: str, how: str) -> None:
    defended = bench.Defended(Hidden(where, how), scheme=Own())
    if how == "new":
        assert bench.evaluate(defended, IMAGES, SIDE.argmax(-1), [("pgd", 0.1)]).table["status"].tolist() == [
            "ok"
        ]
        return
    # also where the passes of one answer are in each other's way
    for one in (defended, bench.Defended(Hidden(where, how), scheme=Own(), passes=4)):
        with pytest.raises(
            bench.ConfigError, match=r"^scheme\.own: each pass writes into a tensor that the way back"
        ):
            bench.evaluate(one, IMAGES, SIDE.argmax(-1), [("pgd", 0.1)])


class RandomWayBack(Noisy):
    """Its gradient is noisy by itself, which is nothing that a later pass does."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        if logits.requires_grad:
            logits.register_hook(lambda g: g + torch.randn_like(g))
        return logits


def test_a_gradient_that_is_random_itself_is_let_pass() -> None:
    defended = bench.Defended(RandomWayBack(), scheme=Own())
    assert bench.evaluate(defended, IMAGES, SIDE.argmax(-1), [("pgd", 0.1)]).table["status"].tolist() == [
        "ok"
    ]


class InPlace(Plain):
    """Writes noise into its images."""

    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__(weight)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.data_ptr())
        x.add_(0.1 * torch.randn_like(x))
        return self.logits(x)


class Reading(InPlace):
    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.data_ptr())
        return self.logits(x + 0.1 * torch.randn_like(x))


def test_a_pass_that_writes_into_its_images_gets_copies_and_no_other_does() -> None:
    for make, copied in ((InPlace, True), (Reading, False)):
        net = make()
        defended = Defended(net, scheme=Own())
        # a leaf that wants a gradient can't be written into
        leaf = IMAGES.clone().requires_grad_()
        with defended.model(0) as model:
            logits = model(leaf)
            (gradient,) = torch.autograd.grad((logits * SIDE).sum(), leaf)
        assert torch.equal(leaf, IMAGES)
        torch.testing.assert_close(gradient.flatten(1), SIDE @ net.weight)
        assert defended.handling == Handling(copy_images=copied)
        assert (net.seen[-1] != leaf.data_ptr()) == copied


# Batches


class Centred(Plain):
    """Its logits are less their mean over the batch; notes how many images came."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        logits = self.logits(x)
        return logits - logits.mean(0)


def test_batches_are_padded_to_the_size_that_passes_and_each_image_has_its_own_logits() -> None:
    net = Centred()
    defended = Defended(net, scheme=Own()).handled(Handling(size=4))
    (found,) = passes(defended)
    assert net.sizes == [4, 4]
    last = IMAGES[[4, 5, 4, 5]]
    torch.testing.assert_close(found, torch.cat([net(IMAGES[:4]), net(last)[:2]]))
    (alone,) = passes(defended, images=IMAGES[:1])
    assert torch.equal(alone, net(IMAGES[:1].repeat(4, 1, 1, 1))[:1])
    assert len(alone) == 1
    (whole,) = passes(defended, images=IMAGES[:4])
    assert torch.equal(whole, net(IMAGES[:4]))


# Stand-ins


class Steps(nn.Module):
    """Rounds, which has no gradient."""

    levels = 4

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.levels).round() / self.levels


class InPlaceSteps(Steps):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.levels).round_().div_(self.levels)


class Rounded(Plain):
    def __init__(self, steps: type[Steps] = Steps) -> None:
        super().__init__()
        self.steps = steps()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.steps(2 * x))


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


def third(x: Tensor) -> Tensor:
    return x / 3


def logits_and_gradient(model: nn.Module) -> tuple[Tensor, Tensor]:
    leaf = IMAGES.clone().requires_grad_()
    logits = model(leaf)
    return logits.detach(), torch.autograd.grad((logits * SIDE).sum(), leaf)[0]


@pytest.mark.parametrize("steps", [Steps, InPlaceSteps])
@pytest.mark.parametrize(
    ("stand_in", "slope"),
    [
        ("identity", lambda x: torch.full_like(x, 2)),
        (Sine(), lambda x: 2 * (2 * x).cos()),
        (Sine, lambda x: 2 * (2 * x).cos()),
        (third, lambda x: torch.full_like(x, 2 / 3)),
    ],
    ids=["identity", "module", "class", "function"],
)
def test_a_stand_in_leaves_the_logits_and_gives_its_gradient(
    steps: type[Steps], stand_in: Any, slope: Callable[[Tensor], Tensor]
) -> None:
    net = Rounded(steps)
    defended = bench.Defended(net, scheme=Own(stand_ins={"steps": stand_in}))
    assert not defended.random
    with defended.model(0) as model, Defended(net).model(0) as plain:
        logits, gradient = logits_and_gradient(model)
        # of nobody else's passes
        bare, zero = logits_and_gradient(plain)
    assert torch.equal(logits, bare)
    assert not zero.any()
    expected = (SIDE @ net.weight).view_as(IMAGES) * slope(IMAGES)
    torch.testing.assert_close(gradient, expected)
    assert not net.steps._forward_hooks
    assert not net.steps._forward_pre_hooks


def test_a_twin_that_is_the_same_network_has_its_stand_ins_too() -> None:
    net = Rounded()
    scheme = Own(choose={"levels": [2, 3]}, off={"levels": 8}, stand_ins={"steps": "identity"})
    defended = Defended(net, scheme=scheme)
    assert defended.twin is not None
    for one, levels in ((defended, (2, 3)), (defended.twin, (8,))):
        with one.model(0) as model:
            logits, gradient = logits_and_gradient(model)
        allowed = [net.logits((2 * IMAGES * n).round() / n) for n in levels]
        assert any(torch.equal(logits, one) for one in allowed)
        torch.testing.assert_close(gradient.flatten(1), 2 * SIDE @ net.weight)


def test_a_stand_in_of_another_shape_is_one_line() -> None:
    scheme = Own(stand_ins={"steps": torch.flatten})
    with Defended(Rounded(), scheme=scheme).model(0) as model:
        # without a gradient nobody asks it
        model(IMAGES)
        with pytest.raises(OwnError) as error:
            logits_and_gradient(model)
    words = "scheme.stand_ins: submodule 'steps' gives (6, 1, 8, 8), its stand-in (384,)"
    assert error.value.line == words


def not_for_gradients(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy().round())


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        (
            {"stand_ins": {"steps": torch.flatten}},
            "scheme.stand_ins: submodule 'steps' gives (3, 1, 8, 8), its stand-in (192,)",
        ),
        (
            {"stand_ins": {"steps": not_for_gradients}},
            "scheme.stand_ins: what stands in for submodule 'steps' fails (RuntimeError: Can't call numpy() on ",
        ),
    ],
    ids=["shape", "error"],
)
def test_what_can_not_stand_in_is_said_before_anything_is_attacked(
    scheme: dict[str, Any], words: str
) -> None:
    defended = bench.Defended(Rounded(), scheme=Own(choose={"levels": [2, 3]}, off={"levels": 8}, **scheme))
    with pytest.raises(bench.ConfigError) as error:
        bench.evaluate(defended, IMAGES, SIDE.argmax(-1), ["pgd"])
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


class ByKeyword(Rounded):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.steps(x=x))


def test_a_stand_in_for_what_is_called_by_keyword_is_one_line() -> None:
    scheme = Own(choose={"levels": [2, 3]}, off={"levels": 8}, stand_ins={"steps": "identity"})
    with pytest.raises(
        bench.ConfigError, match=r"^scheme\.stand_ins: submodule 'steps' is called without a tensor"
    ):
        bench.evaluate(bench.Defended(ByKeyword(), scheme=scheme), IMAGES, SIDE.argmax(-1), ["pgd"])


# Threads, and passes on the way back


class Slow(nn.Module):
    """Reads what it is set to, and what is filled, before and after others had their turn."""

    bits = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filled", torch.zeros(()))
        self.register_buffer("drawn", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.drawn.normal_()
        first = [self.bits, float(self.filled), float(self.drawn)]
        time.sleep(0.002)
        return torch.tensor([[*first, self.bits, float(self.filled), float(self.drawn)]]).expand(len(x), 6)


def test_models_and_twins_of_one_network_in_several_threads_each_get_their_own_outputs() -> None:
    net = Slow()
    scheme = Own(choose={"bits": [2.0, 3.0]}, on={"filled": 1}, off={"filled": -1})

    def opened() -> dict[str, Defended]:
        one, other = (Defended(net, scheme=scheme) for _ in range(2))
        assert one.twin is not None
        return {"one": one, "other": other, "twin": one.twin}

    expected = {name: passes(one, 20, len(name)) for name, one in opened().items()}
    before = state(net)
    found: dict[str, list[Tensor]] = {}

    def look(name: str, one: Defended) -> None:
        found[name] = passes(one, 20, len(name))

    threads = [threading.Thread(target=look, args=item) for item in opened().items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # what a twin draws is of no seed, and changes nothing
    for name, values in expected.items():
        for one, two in zip(values, found[name], strict=True):
            assert torch.equal(two[:, :3], two[:, 3:])
            assert torch.equal(one, two) or name == "twin"
    assert {float(one[0, 1]) for one in found["twin"]} == {-1.0}
    assert state(net) == before


class Checkpointed(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 64)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = checkpoint(self.hidden, x.flatten(1), use_reentrant=False)
        return self.logits(hidden)

    def hidden(self, x: Tensor) -> Tensor:
        return self.inner(self.dropout(x)).exp()


def test_a_network_that_is_passed_again_on_the_way_back_is_refused() -> None:
    words = r"^own: the network passes a Dropout again on the way back \(checkpointing\), where it draws otherwise"
    with Defended(Checkpointed(), scheme=Own(train_mode=[nn.Dropout])).model(0) as model:
        model(IMAGES)
        with pytest.raises(OwnError, match=words):
            gradient_of_sum(model)
    # and before anything is attacked
    defended = bench.Defended(Checkpointed(), scheme=Own(train_mode=[nn.Dropout], off={}))
    with pytest.raises(bench.ConfigError, match=words.replace("^", "^scheme.")):
        bench.evaluate(defended, IMAGES, SIDE.argmax(-1), ["pgd"])


# Seeds


class Everything(Plain):
    """Draws from every global generator."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x) + random.random() + float(np.random.rand()) + torch.rand(())  # noqa: NPY002


def global_states() -> list[Any]:
    drawn = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return [torch.get_rng_state().tolist(), random.getstate(), drawn["key"].tolist(), drawn["pos"]]


def test_passes_repeat_by_seed_and_number_and_the_generators_are_put_back() -> None:
    before = global_states()
    first = passes(Defended(Everything(), scheme=Own()), 3, 1)
    assert global_states() == before
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    # whether or not anybody found something out before
    again = passes(Defended(Everything(), scheme=Own()).handled(AS_IT_IS), 3, 1)
    other = passes(Defended(Everything(), scheme=Own()), 3, 2)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    drawn = [*first, *other]
    assert not any(torch.equal(drawn[i], drawn[j]) for i in range(6) for j in range(i))


# What is found out, and said of it


@pytest.fixture(scope="session")
def weight() -> Tensor:
    """Of a network without hidden layers that knows the digits."""
    images, labels = bench.load_dataset("digits").train()
    layer = nn.Linear(64, 10, bias=False)
    nn.init.zeros_(layer.weight)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        functional.cross_entropy(layer(images.flatten(1)), labels).backward()
        optimiser.step()
    return layer.weight.detach()


@pytest.fixture(scope="session")
def some(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Eleven test images that it gets right."""
    return bench.load_dataset("digits").test(11, right_by=Plain(weight))


FGSM: list[Any] = [("fgsm_fixed", 0.05)]


def evaluated(
    network: nn.Module, scheme: Any, some: tuple[Tensor, Tensor], attacks: Any = FGSM, **more: Any
) -> dict[str, Any]:
    """The record of one attack on a network behind a scheme."""
    result = bench.evaluate(bench.Defended(network, scheme=scheme), *some, attacks, **{"draws": 6, **more})
    (record,) = result.records.values()
    assert record["status"] == "ok", record
    return dict(record)


def not_evaluated(network: nn.Module, scheme: Any, some: tuple[Tensor, Tensor], **more: Any) -> str:
    """Why none is made, which is one line."""
    with pytest.raises(bench.ConfigError) as error:
        evaluated(network, scheme, some, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


class Stepped(Plain):
    """Noise, and a step that has no gradient."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.noise, self.steps = Noise(), Steps()

    def half(self) -> None:
        """Draws nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.steps(self.noise(x)))


class Coupled(Noisy):
    """The noise of an image depends on its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.noise(x)) - 0.1 * x.mean()


class WeightNoise(Plain):
    """One draw a pass, into a buffer."""

    sd = 0.2

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.register_buffer("drawn", torch.zeros(10, 64))

    def forward(self, x: Tensor) -> Tensor:
        if self.sd:
            self.drawn.normal_()
        return self.logits(x, self.weight + self.sd * self.drawn)


class BothNoises(WeightNoise):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.sd * torch.randn_like(x))


class Unseeded(Plain):
    """Draws from a generator of its own."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x + 0.3 * torch.randn(x.shape, generator=self.generator))


class First(Noisy):
    """The first pass of all has a draw that stays."""

    shift: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.shift is None:
            self.shift = torch.rand(())
        return super().forward(x + self.shift)


KINDS: list[tuple[Callable[[Tensor], nn.Module], Own, dict[str, Any], list[str]]] = [
    (Noisy, OF_NOISE, {"shared_by": "image", "changes": [], "changes_images": False, "company": False, "gradient": "ok"}, []),
    (WeightNoise, OF_NOISE, {"shared_by": "pass", "changes": ["drawn"], "company": False}, ["images of a pass share a draw: intervals take draws as random, too"]),
    (BothNoises, OF_NOISE, {"shared_by": "both"}, ["images of a pass share a draw, in part: intervals take draws as random, too"]),
    (InPlace, Own(), {"shared_by": "image", "changes_images": True, "changes": []}, ["a pass writes into its images, and gets copies of them", "there is no twin to compare with"]),
    (Coupled, OF_NOISE, {"company": True}, ["an image's logits depend on the other images of its batch: batches stay as they are during an attack"]),
    (Unseeded, Own(seeded=False), {"repeats": False, "company": None}, ["no seed reaches its draws, so that the same cell gives another result each time", "there is no twin to compare with"]),
    (Stepped, OF_NOISE, {"gradient": "zero"}, ["there is no gradient at the image (zero), so that attacks that need one find nothing; name what stands in for the submodule that has none: scheme.stand_ins"]),
    (Stepped, Own(on={"sd": 0.3}, off={"sd": 0}, stand_ins={"steps": "identity"}), {"gradient": "ok"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("make", "scheme", "drawn", "said"), KINDS)
def test_what_is_found_of_the_draws_stands_in_the_record_and_is_said(
    make: Callable[[Tensor], nn.Module],
    scheme: Own,
    drawn: dict[str, Any],
    said: list[str],
    weight: Tensor,
    some: tuple[Tensor, Tensor],
) -> None:
    record = evaluated(make(weight), scheme, some)
    repeats = {"repeats": True, "sizes": {}, "tried": [1, 3, 11]}
    expected = {**repeats, **drawn}
    assert {name: record["draws"][name] for name in expected} == expected
    warnings = [one for one in record["warnings"] if one.startswith("scheme ")]
    assert len(warnings) == len(said)
    for words in said:
        assert [one for one in warnings if words in one], words
    # of a network whose randomness can't be switched off there is nothing to say
    assert ("twin" in record["draws"]) == (scheme.off is not None) == (record["twin"] is not None)
    if scheme.off is not None:
        twin = record["draws"]["twin"]
        assert (twin["shared_by"], twin["repeats"], twin["p_value"]) == ("nothing", True, None)
        assert twin["gradient"] == record["draws"]["gradient"]
        assert twin["changes"] == []


REFUSED: list[tuple[Callable[[Tensor], nn.Module], Any, str]] = [
    (Noisy, None, "model: Noisy draws by itself although no site is random (torch's global generator); scheme=own is for a network that does, scheme=mc_dropout for one with nn.Dropout on"),
    (Unseeded, None, "model: Unseeded draws by itself although no site is random (two passes over the same images differ); scheme=own is for a network that does, scheme=mc_dropout for one with nn.Dropout on"),
    (Plain, Own(off={}), "scheme: nothing is random: passes over the same images are equal; say what draws (draw, choose, train_mode, on), or use scheme=none; scheme=mc_dropout is nn.Dropout on"),
    (Noisy, Own(on={"sd": 0}), "scheme: nothing is random: passes over the same images are equal"),
    (Noisy, Own(off={}), "scheme.off: the twin is random: two passes over the same images differ; switch off by attributes what draws"),
    (Noisy, Own(twin=Noisy()), "scheme.twin: the twin is random: two passes over the same images differ; name a network that is not"),
    (Noisy, Own(twin=nn.Sequential(nn.Flatten(), nn.Linear(64, 12))), "scheme.twin: it has 12 outputs, and Noisy has 10"),
    (Noisy, Own(off="noise"), "model: Noisy, the twin gives torch.float32 of shape (3, 1, 8, 8) for 3 images, expected logits of shape (3, classes)"),
    (Unseeded, Own(), "scheme.seeded: two passes of one seed differ, with the generators of PyTorch, NumPy and Python seeded before each"),
    (First, OF_NOISE, "scheme.seeded: two passes of one seed differ"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "scheme", "words"), REFUSED)
def test_what_would_give_a_wrong_result_is_refused_in_one_line(
    make: Callable[[Tensor], nn.Module],
    scheme: Any,
    words: str,
    weight: Tensor,
    some: tuple[Tensor, Tensor],
) -> None:
    assert not_evaluated(make(weight), scheme, some).startswith(words)
    with pytest.raises(bench.ConfigError) as error:
        bench.measure(bench.Defended(make(weight), scheme=scheme), *some, draws=2)
    assert str(error.value).startswith(words)


class Sized(Noisy):
    """Takes batches of some sizes alone, and counts them."""

    def __init__(self, weight: Tensor, *sizes: int) -> None:
        super().__init__(weight)
        self.takes = sizes
        self.passed: list[int] = []
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count.add_(1)
        if len(x) not in self.takes:
            raise ValueError(f"{len(x)} at a time")
        self.passed.append(len(x))
        return super().forward(x)


def test_a_network_that_takes_batches_of_one_size_gets_no_others(
    weight: Tensor, some: tuple[Tensor, Tensor]
) -> None:
    for batch_size, images, failing in ((4, 11, (1, 3)), (16, 11, (1, 3, 11)), (4, 4, (1, 3))):
        given = (some[0][:images], some[1][:images])
        net = Sized(weight, batch_size)
        record = evaluated(net, OF_NOISE, given, ["deepfool"], batch_size=batch_size)
        assert set(net.passed) == {batch_size}
        padded = f"every batch is padded to {batch_size}"
        for size in failing:
            words = f"batches of {size} images fail: ValueError: {size} at a time"
            assert [one for one in record["warnings"] if words in one and one.endswith(padded)], record[
                "warnings"
            ]
        assert record["images"]["count"] == images
        # whatever was tried
        assert net.count == 0


def test_fewer_images_than_fit_are_padded_to_a_full_batch_if_need_be(
    weight: Tensor, some: tuple[Tensor, Tensor]
) -> None:
    net = Sized(weight, *range(2, 17, 2))
    record = evaluated(net, OF_NOISE, (some[0][:11], some[1][:11]), ["deepfool"], batch_size=16)
    assert set(net.passed[-20:]) == {16}
    assert [size for size in record["draws"]["sizes"]] == ["1", "3", "11"]


def test_a_network_that_takes_no_single_image_gets_none(weight: Tensor, some: tuple[Tensor, Tensor]) -> None:
    net = Sized(weight, *range(2, 600))
    record = evaluated(net, OF_NOISE, some, ["deepfool"], batch_size=5)
    # what is looked for comes first
    assert set(net.passed[-50:]) == {5}
    assert [size for size in record["draws"]["sizes"]] == ["1"]


def test_a_batch_size_that_fails_is_one_line(weight: Tensor, some: tuple[Tensor, Tensor]) -> None:
    words = not_evaluated(Sized(weight, 4), OF_NOISE, some, batch_size=7)
    assert words == "model: Sized fails on images of shape (3, 1, 8, 8) (ValueError: 3 at a time)"
    net = Sized(weight, 1, 2, 3, 4)
    result = bench.evaluate(bench.Defended(net, scheme=OF_NOISE), *some, FGSM, batch_size=8)
    (record,) = result.records.values()
    assert record["status"] == "failed"
    assert record["reason"] == (
        "batch_size: batches of 8 images fail (ValueError: 8 at a time); that pass: 1, 3"
    )
    with pytest.raises(bench.ConfigError, match="^batch_size: batches of 8 images fail"):
        bench.measure(bench.Defended(net, scheme=OF_NOISE), *some, batch_size=8)


class Notes:
    """An attack that notes what its model says, and goes nowhere."""

    def __init__(self) -> None:
        self.said: list[tuple[bool, bool]] = []

    def __call__(self, model: Any, inputs: Tensor, criterion: Any, *, epsilons: Any) -> Any:
        self.said.append((getattr(model, "shared_draws", False), getattr(model, "whole_batches", False)))
        model(inputs)
        return inputs, inputs, torch.zeros(len(inputs), dtype=torch.bool)


class Normed(Noisy):
    """In training mode it norms by its batch, and keeps a running mean."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.norm(self.noise(x)))


def test_attacks_are_told_of_draws_that_are_shared_and_of_company(
    weight: Tensor, some: tuple[Tensor, Tensor]
) -> None:
    normed = Own(on={"sd": 0.3}, train_mode=[nn.BatchNorm2d], off={"sd": 0})
    for make, scheme, said in (
        (Noisy, OF_NOISE, (False, False)),
        (Normed, OF_NOISE, (False, False)),
        (WeightNoise, OF_NOISE, (True, False)),
        (Normed, normed, (False, True)),
    ):
        net, notes = make(weight), Notes()
        record = evaluated(net, scheme, some, {"notes": notes}, batch_size=5)
        # once it is asked whether it can serve the criterion at all
        assert notes.said[1:] == [said] * 3
        assert record["draws"]["company"] == said[1]
    # statistics that a pass keeps are the pass's
    assert record["draws"]["changes"] == ["norm.num_batches_tracked", "norm.running_mean", "norm.running_var"]
    assert net.norm.num_batches_tracked == 0


# The library


def test_success_is_that_of_a_plain_loop(weight: Tensor, some: tuple[Tensor, Tensor]) -> None:
    """Of the passes of a model, which a loop over the network itself gives in distribution."""
    images, labels = some
    net = WeightNoise(weight)
    defended = bench.Defended(net, scheme=Own(on={"sd": 0.3}, off={"sd": 0}))
    result = bench.evaluate(defended, images, labels, FGSM, draws=100)
    row = result.table.iloc[0]
    torch.manual_seed(0)
    net.sd = 0.3  # type: ignore[misc]
    with torch.no_grad():
        wrong = torch.stack(
            [net(result.samples["fgsm_fixed"]).argmax(-1) != labels for _ in range(400)]
        ).float()
    low, high = row["fresh_success_pct_low"], row["fresh_success_pct_high"]
    assert low <= 100 * wrong.mean() <= high
    assert high - low < 60
    assert 0.05 < wrong.mean() < 0.95


def test_a_folder_finds_it_again_though_passes_were_made_in_between(
    weight: Tensor, some: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    attack = attacking.attack

    def counted(run: Any, name: str, *rest: Any, **more: Any) -> Any:
        made.append(name)
        return attack(run, name, *rest, **more)

    monkeypatch.setattr(attacking, "attack", counted)
    net = WeightNoise(weight)
    first = evaluated(net, OF_NOISE, some, store=tmp_path)
    assert not net.drawn.any()
    # one's own pass leaves its draw in the buffer
    net(some[0])
    assert net.drawn.any()
    assert evaluated(net, OF_NOISE, some, store=tmp_path) == first
    assert evaluated(WeightNoise(weight), OF_NOISE, some, store=tmp_path) == first
    # nor is it another network that made the samples
    assert evaluated(net, OF_NOISE, some, store=tmp_path, draws=7)["metrics"]["fresh_draws"] == 7
    assert made == ["fgsm_fixed"]
    # what is set, how it is drawn, the twin and the weights are another network's
    others = [
        Own(on={"sd": 0.4}, off={"sd": 0}),
        Own(on={"sd": 0.3}, off={"sd": 0, "weight": 0.1}),
        Own(on={"sd": 0.3}, twin=Plain(weight)),
        Own(on={"sd": 0.3}),
        Own(choose={"sd": [0.2, 0.3]}, off={"sd": 0}),
        Own(choose={"sd": [0.2, 0.3]}, probabilities=[0.3, 0.7], off={"sd": 0}),
    ]
    for scheme in others:
        evaluated(net, scheme, some, store=tmp_path)
    evaluated(WeightNoise(1.01 * weight), OF_NOISE, some, store=tmp_path)
    assert len(made) == 2 + len(others)
    with pytest.raises(bench.ConfigError, match="^store: scheme.*: a lambda can't be told from another"):
        evaluated(net, Own(draw=lambda n: None, off={"sd": 0}), some, store=tmp_path)


def test_without_a_twin_there_is_no_accuracy_without_the_scheme(
    weight: Tensor, some: tuple[Tensor, Tensor]
) -> None:
    images, labels = some
    defended = bench.Defended(Noisy(weight), scheme=Own())
    assert defended.twin is None
    result = bench.evaluate(defended, images, labels, FGSM, draws=3)
    (record,) = result.records.values()
    assert "clean_accuracy_no_scheme" not in record["metrics"]
    assert "clean_accuracy" in record["metrics"]
    assert np.isnan(result.table["clean_accuracy_no_scheme_pct"].item())
    with pytest.raises(bench.ConfigError, match="^right_by: its randomness can't be switched off; give"):
        bench.load_dataset("digits").test(5, right_by=defended)


class Bayesian(Plain):
    """Draws in every pass, even where what it draws is of size 0."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.sigma = nn.Parameter(torch.full((10, 64), -1.5))
        self.register_buffer("drawn", torch.zeros(10, 64))

    def forward(self, x: Tensor) -> Tensor:
        self.drawn.normal_()
        return self.logits(x, self.weight + self.sigma.exp() * self.drawn)


BAYES = Own(off={"sigma": float("-inf")})


@pytest.mark.parametrize(
    ("make", "scheme"),
    [
        (Noisy, OF_NOISE),
        (Bayesian, BAYES),
        (lambda weight: nn.Sequential(Plain(weight), Noise()), Own(off="0")),
        (Noisy, "twin"),
    ],
    ids=["attributes", "what goes on drawing", "a submodule", "another network"],
)
def test_images_are_those_that_the_twin_gets_right(
    make: Callable[[Tensor], nn.Module], scheme: Any, weight: Tensor
) -> None:
    scheme = Own(twin=Plain(weight)) if scheme == "twin" else scheme
    data = bench.load_dataset("digits")
    everything, truth = data.test(300)
    with torch.no_grad():
        right = Plain(weight)(everything).argmax(-1) == truth
    images, labels = data.test(int(right.sum()), right_by=bench.Defended(make(weight), scheme=scheme))
    assert torch.equal(images, everything[right])
    assert torch.equal(labels, truth[right])
    record = evaluated(make(weight), scheme, (everything[:20], truth[:20]))
    assert record["metrics"]["clean_accuracy_no_scheme"]["mean"] == right[:20].float().mean()


def test_measuring_gives_what_evaluating_gave(weight: Tensor, some: tuple[Tensor, Tensor]) -> None:
    for make, scheme in ((WeightNoise, OF_NOISE), (InPlace, Own()), (Bayesian, BAYES)):
        defended = bench.Defended(make(weight), scheme=scheme)
        result = bench.evaluate(defended, *some, FGSM, draws=9, seed=4)
        again = bench.measure(defended, result.samples["fgsm_fixed"], some[1], draws=9, seed=4)
        assert np.array_equal(again.success, result.success["fgsm_fixed"])
        for column in ("fresh_success_pct", "fresh_success_pct_low", "fresh_accuracy_pct", "fresh_draws"):
            assert again.table[column].item() == result.table[column].item()


def test_the_library_finds_what_the_command_finds(bench_run: Run, tmp_path: Path) -> None:
    for choice, text in (
        ("model/mine", "_target_: defences.MixedNoise\n"),
        ("scheme/mine", "on: {noise: true}\noff: {noise: false, sd: 0}\n"),
    ):
        path = tmp_path / "my" / f"{choice}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    ran = bench_run(
        "-m", f"hydra.searchpath=[file://{tmp_path / 'my'}]", "trusted_modules=[bench,foolbox,defences]",
        "model=mine", "scheme=mine", "samples=7", "training.epochs=4", "batch_size=3", "evaluation.draws=8",
        "attack=fgsm_fixed", "seed=3", "name=own", f"output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    sweep = bench.open_sweep(tmp_path / "out" / "own", trust=["defences"])
    (theirs,) = sweep.cells
    restored = sweep.defended(theirs["key"])
    assert restored.draws_itself
    assert restored.handling == Handling()
    # the network as it is, and the same words
    scheme = bench.Own(on={"noise": True}, off={"noise": False, "sd": 0})
    behind = bench.Defended(restored.network, scheme=scheme)
    images, labels = bench.load_dataset("digits").test(7, right_by=behind)
    epsilon = theirs["config"]["attack"]["epsilon"]
    for one in (behind, restored):
        ours = bench.evaluate(one, images, labels, [("fgsm_fixed", epsilon)], draws=8, batch_size=3, seed=3)
        assert torch.equal(ours.samples["fgsm_fixed"], sweep.samples[theirs["key"]])
        same = [
            c
            for c in sweep.table
            if c.startswith(("claimed", "fresh", "mad", "l0", "l1", "l2", "linf")) or c.endswith("_per_image")
        ]
        assert len(same) > 20
        pd.testing.assert_frame_equal(ours.table[same], sweep.table[same])
        assert ours.records["fgsm_fixed"]["draws"]["shared"] == theirs["draws"]["shared"] == "both"


# Settings

NETS = """
import torch
from torch import nn
from defences import Plain

class Idle(Plain):
    '''Noise of a size that is learnt, and none at first.'''
    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.alpha = nn.Parameter(torch.tensor(0.0))
    def forward(self, x):
        return super().forward(x + self.alpha * torch.randn_like(x))

class Five(Idle):
    '''Takes five images at a time.'''
    def forward(self, x):
        if len(x) % 5:
            raise ValueError("five at a time")
        return super().forward(x)

class Soft(nn.Module):
    def forward(self, x):
        return x

class Hard(nn.Module):
    def __init__(self, how):
        super().__init__()

def draw(network):
    network.drawn = True

def rounded(x):
    return x
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    with writer(tmp_path, monkeypatch) as one:
        yield one


def settings(write: Write, scheme: str, *overrides: str, model: str = "defences.WeightNoise") -> Config:
    """Those of a scheme's file."""
    files = {
        "scheme/mine": scheme,
        "model/mine": f"_target_: {model}\n",
        "model/still": "_target_: defences.Plain\n",
    }
    _, found = write("ownnets", NETS, **files)
    trusted = [one.replace("]", ",defences]") for one in found if one.startswith("trusted")]
    return compose(
        ["model=mine", "scheme=mine", "samples=5", "training.epochs=3", *found[:1], *trusted, *overrides]
    )


def test_a_file_says_the_same_words(write: Write) -> None:
    module, _ = write("ownnets", NETS)
    found = parts.own(
        settings(
            write,
            "draw: ownnets.draw\nchoose: {bits: [1, 2], on: [a]}\nprobabilities: {bits: [0.5, 0.5]}\neach: true\n"
            "train_mode: [torch.nn.Dropout, ownnets.Soft, body.0]\non: {sigma: -.inf, on: true}\noff: {off: 1}\n"
            "seeded: false\nstand_ins: {a: identity, b: ownnets.rounded, c: ownnets.Soft, d: torch.nn.Tanh}\n",
        )
    )
    assert found is not None
    assert found.draw.__name__ == "draw"  # type: ignore[union-attr]
    assert (found.choose, found.probabilities) == ({"bits": [1, 2], "on": ["a"]}, {"bits": [0.5, 0.5]})
    assert (found.each, found.seeded, found.itself) == (True, False, True)
    assert [one if isinstance(one, str) else one.__name__ for one in found.train_mode] == [
        "Dropout",
        "Soft",
        "body.0",
    ]
    assert (found.on, found.off) == ({"sigma": float("-inf"), "on": True}, {"off": 1})
    assert [type(one).__name__ for one in found.stand_ins.values()] == ["str", "function", "Soft", "Tanh"]
    assert module.__name__ == "ownnets"
    assert parts.own(settings(write, "sites: {}\n")) is None
    stands = parts.own(settings(write, "sites: {}\nstand_ins: {a: identity}\n"))
    assert stands is not None
    assert not stands.itself
    assert parts.own(settings(write, "own: true\n")) == Own(own=True, train_mode=[])


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        ("draw: os.getcwd", "scheme.draw: "),
        ("train_mode: [ownnets.draw]", "scheme.train_mode: draw is not a class of modules"),
        ("train_mode: [torch.nn.Dropuot]", "scheme.train_mode: "),
        ("sites: {}\nstand_ins: {fc1: rounded}", "scheme.stand_ins.fc1: expected identity, or the dotted name of a module or a function, got rounded"),
        ("sites: {}\nstand_ins: {fc1: ownnets.Hard}", "scheme.stand_ins.fc1: ownnets.Hard can't be made (TypeError: "),
        ("choose: {bits: 4}", "scheme.choose.bits: expected a list of values, got 4"),
        ("on: {bits: 4}", "scheme.on.bits: no module has such an attribute; "),
        ("draw: redraw", "scheme.draw: no module has a method 'redraw'; "),
        ("on: {noise: false}", "scheme: nothing is random: passes over the same images are equal; "),
        ("on: {noise: true}\noff: {}", "scheme.off: the twin is random: "),
        ("own: true\ntwin: nobody", "scheme.twin: nobody: no such choice; allowed: "),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_is_one_line_before_anything_runs(
    write: Write, scheme: str, words: str
) -> None:
    with pytest.raises(bench.ConfigError) as error:
        plan.prepare(settings(write, f"{scheme}\n"))
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)
    # in a sweep over networks it is a hole, as a site that one hasn't got
    assert isinstance(error.value, NotApplicable) == any(
        w in words for w in ("no module has", "nothing is random:")
    )


def test_what_may_be_nothing_yet_before_training_needs_only_to_be_drawn(write: Write) -> None:
    assert plan.prepare(settings(write, "own: true\n", model="ownnets.Idle")).twin_identity is None
    # in batches that pass, too
    plan.prepare(settings(write, "own: true\n", "batch_size=5", model="ownnets.Five"))
    with pytest.raises(NotApplicable, match="^scheme: nothing is random"):
        plan.prepare(settings(write, "own: true\n", model="defences.Plain"))


def test_a_network_draws_in_training_where_its_scheme_says_so(write: Write) -> None:
    noise = "on: {noise: true}\noff: {noise: false}\n"
    config = settings(write, noise)
    drawing = settings(write, f"{noise}train_draws: true\n")
    data = parts.dataset(config)
    net = parts.builder(config, data.shape, data.classes)()
    images = torch.from_numpy(data.x_train[:3]).float()

    def alike(of: Config) -> bool:
        generator = torch.Generator().manual_seed(0)
        with parts.plan(of, data).behind(net).acting(generator) as model:
            return torch.equal(model(images), model(images))

    assert alike(config)
    assert not alike(drawing)
    keys = {plan.prepare(one).checkpoint for one in (config, drawing)}
    assert len(keys) == 2
    # what is only in another mode is trained as ever
    mode = settings(write, "train_mode: [torch.nn.Dropout]\noff: {}\n", model="defences.Dropped")
    other = settings(write, "sites: {}\n", model="defences.Dropped")
    assert parts.plan(mode, data).settings == parts.plan(other, data).settings
    # and modules that draw in training are in training mode there anyhow
    one, another = (
        settings(write, f"train_mode: [{name}]\ntrain_draws: true\n", model="defences.Dropped")
        for name in ("torch.nn.Dropout", "dropout")
    )
    assert parts.plan(one, data).settings == parts.plan(another, data).settings


def test_another_file_is_the_twin(write: Write, tmp_path: Path) -> None:
    out = f"output_dir={tmp_path / 'out'}"
    ready = plan.prepare(settings(write, "own: true\ntwin: still\n", out, "attack=fgsm_fixed"))
    assert ready.twin is not None
    record = cell.run(ready)
    assert record["status"] == "ok", record["reason"]
    twin = record["checkpoint"]["twin"]
    assert twin["key"] == ready.twin.checkpoint != record["checkpoint"]["key"]
    assert twin["sha256"] != record["checkpoint"]["sha256"]
    assert record["twin"] == ready.twin_identity == ready.twin.identity
    # it is the very network that nothing is random of
    alone = plan.prepare(settings(write, "sites: {}\n", out, "attack=fgsm_fixed", model="defences.Plain"))
    still = cell.run(alone)
    assert still["checkpoint"]["sha256"] == twin["sha256"]
    for one in (record, still):
        assert one["metrics"]["clean_accuracy_no_scheme"] == still["metrics"]["clean_accuracy"]
    first = np.flatnonzero(cell.clean(ready)[0])[:5]
    assert record["images"]["indices"] == first.tolist()
    assert record["draws"]["twin"]["shared_by"] == "nothing"


def test_without_a_twin_images_are_attacked_that_are_right_on_a_draw(write: Write, tmp_path: Path) -> None:
    ready = plan.prepare(
        settings(write, "own: true\n", f"output_dir={tmp_path / 'out'}", "attack=fgsm_fixed")
    )
    record = cell.run(ready)
    assert record["status"] == "ok", record["reason"]
    assert "clean_accuracy_no_scheme" not in record["metrics"]
    assert [
        one
        for one in record["warnings"]
        if one.endswith("attacked are images that it gets right on one draw")
    ]
    assert "clean_no_scheme" not in record["looks"]
    with pytest.raises(bench.ConfigError, match="^scheme.off: has to be given"):
        cell.clean(ready)


def test_which_images_are_attacked_is_the_twins_choice(write: Write) -> None:
    schemes = ("own: true\n", "own: true\noff: {noise: false}\n", "own: true\ntwin: still\n")
    ready = [plan.prepare(settings(write, f"{scheme}train_draws: true\n")) for scheme in schemes]
    assert ready[0].identity == ready[1].identity == ready[2].identity
    assert len({one.key for one in ready}) == len({str(one.samples) for one in ready}) == 3


def test_identity_tells_apart_how_a_network_draws() -> None:
    def said(**words: Any) -> str:
        return str(Defended(Stepped(drawn_weight()), scheme=Own(**words)).identity)

    alike = said(own=True)
    # which twin it has is no matter of its own outputs
    assert said(own=True, off={}) == said(own=True, off={"sd": 0}) == alike
    assert str(Defended(Stepped(drawn_weight())).identity) != alike
    different = [
        alike,
        said(on={"sd": 0.1}),
        said(on={"sd": 0.2}),
        said(choose={"levels": [3, 4]}),
        said(choose={"levels": [3, 5]}),
        said(choose={"levels": [3, 4]}, probabilities=[0.1, 0.9]),
        said(choose={"levels": [3, 4]}, each=True),
        said(train_mode=[Noise]),
        said(train_mode=["noise"]),
        said(draw="half"),
        said(draw=draw_after),
        said(own=True, stand_ins={"steps": "identity"}),
        said(own=True, stand_ins={"steps": third}),
    ]
    assert len(set(different)) == len(different)
    twins = [Defended(Stepped(drawn_weight()), scheme=Own(off={"sd": value})).twin for value in (0.0, 0.1)]
    assert len({str(one.identity) for one in twins if one is not None}) == 2
