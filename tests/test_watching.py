"""Which tensors a pass changes: they are named, and put back, whatever they are and whatever becomes of them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import watching

IMAGES = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Plain(nn.Module):
    """Ten logits of an image of 16 pixels; a pass changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 16, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def logits(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return functional.linear(x.flatten(1), self.weight if weight is None else weight)


class WeightNoise(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x, self.weight + 0.1 * torch.randn_like(self.weight))


class Written(Plain):
    """Filters that are drawn anew and written into ``param.data``."""

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.randn(10, 16)
        return self.logits(x)


class Buffered(Plain):
    """Buffers, of which one isn't persistent, that are drawn in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("noise", torch.zeros(10, 16), persistent=False)
        self.register_buffer("steady", torch.tensor([1.0, float("nan")]))

    def forward(self, x: Tensor) -> Tensor:
        self.noise.normal_()
        return self.logits(x, self.weight + 0.1 * self.noise)


class Loose(Plain):
    """A tensor that is a plain attribute, drawn in place; and one that is another each time."""

    def __init__(self) -> None:
        super().__init__()
        self.noise, self.other = torch.zeros(10, 16), torch.zeros(3)

    def forward(self, x: Tensor) -> Tensor:
        self.noise.normal_()
        self.other = torch.rand(3)
        return self.logits(x, self.weight + 0.1 * self.noise)


class InPlace(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x.add_(0.1 * torch.randn_like(x)))


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Of one module, those that are plain attributes, too."""
    loose = {name: value for name, value in vars(network).items() if isinstance(value, Tensor)}
    return {**network._parameters, **network._buffers, **loose}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("kind", "names", "written"),
    [
        (Plain, (), False),
        (WeightNoise, (), False),
        (Written, ("weight",), False),
        (Buffered, ("noise",), False),
        (Loose, ("noise", "other"), False),
        (InPlace, (), True),
    ],
)
def test_what_a_pass_changes_is_named_and_put_back(
    kind: type[Plain], names: tuple[str, ...], written: bool
) -> None:
    network = kind()
    before = {name: (t, t.data_ptr(), t.detach().clone()) for name, t in tensors(network).items()}
    images = IMAGES.clone()
    assert watching.changed(network, network, images) == (names, written)
    assert torch.equal(images, IMAGES)
    after = tensors(network)
    assert set(after) == set(before)
    for name, (tensor, where, values) in before.items():
        assert after[name] is tensor
        assert tensor.data_ptr() == where
        torch.testing.assert_close(tensor.detach(), values, rtol=0, atol=0, equal_nan=True)


def test_images_that_one_pass_in_three_writes_into_are_changed() -> None:
    passes: list[int] = []

    def first(x: Tensor) -> Tensor:
        passes.append(0)
        return x.add_(len(passes) == 1).flatten(1)

    assert watching.changed(Plain(), first, IMAGES) == ((), True)


def test_tensors_that_are_replaced_come_or_go_are_changed() -> None:
    class Replaced(Buffered):
        def forward(self, x: Tensor) -> Tensor:
            self.noise = torch.zeros(3)
            self.register_buffer("new", torch.ones(1))
            self._buffers.pop("steady", None)
            return self.logits(x)

    network = Replaced()
    noise = network.noise
    names, _ = watching.changed(network, network, IMAGES)
    assert names == ("new", "noise", "steady")
    assert network.noise is noise
    assert list(network._buffers) == ["noise", "steady"]


def test_a_tensor_of_several_names_is_changed_by_all_of_them_however_late() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
            self.second.weight = self.first.weight
            self.passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            if self.passes == 2:
                self.first.weight.add_(1)
            return self.second(self.first(x.flatten(1)))

    network = Tied()
    weight = network.first.weight.detach().clone()
    assert watching.changed(network, network, IMAGES)[0] == ("first.weight", "second.weight")
    assert torch.equal(network.first.weight, weight)
    assert network.second.weight is network.first.weight


@pytest.mark.parametrize("kind", [Written, Buffered, Loose])
def test_tensors_are_put_back_after_an_error(kind: type[Plain]) -> None:
    network = kind()
    before = {name: (t, t.data_ptr(), t.detach().clone()) for name, t in tensors(network).items()}

    def interrupted() -> None:
        with watching.watched(network):
            network(IMAGES)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for name, (tensor, where, values) in before.items():
        assert tensors(network)[name] is tensor
        assert tensor.data_ptr() == where
        torch.testing.assert_close(tensor.detach(), values, rtol=0, atol=0, equal_nan=True)


def test_an_attribute_that_becomes_a_tensor_stays_and_is_changed() -> None:
    class SetUp(Plain):
        scale: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.scale is None:
                self.scale = torch.ones(())
            return self.scale * self.logits(x)

    network = SetUp()
    assert watching.changed(network, network, IMAGES)[0] == ("scale",)
    scale = network.scale
    assert scale is not None
    # as it would for somebody who passes it himself; from then on nothing changes
    assert watching.changed(network, network, IMAGES)[0] == ()
    assert network.scale is scale


def test_tensors_of_submodules_are_named_by_every_path() -> None:
    inner = Buffered()
    network = nn.ModuleDict({"one": inner, "two": nn.Sequential(inner)})
    assert watching.changed(network, inner, IMAGES)[0] == ("one.noise", "two.0.noise")
    assert not inner.noise.any()


def test_networks_of_torchscript_and_of_inference_mode_are_watched_too() -> None:
    scripted = torch.jit.script(nn.BatchNorm1d(16).train())
    names, _ = watching.changed(scripted, lambda x: scripted(x.flatten(1)), IMAGES)
    assert names == ("num_batches_tracked", "running_mean", "running_var")
    assert scripted.num_batches_tracked == 0
    with torch.inference_mode():
        network = WeightNoise()
    assert watching.changed(network, network, IMAGES) == ((), False)


def test_values_are_equal_where_both_are_no_number_and_of_one_shape_and_type() -> None:
    nan = float("nan")
    one = torch.tensor([1.0, nan])
    assert watching.equal(one, torch.tensor([1.0, nan]))
    for other in (
        torch.tensor([1.0, 2.0]),
        torch.tensor([nan, nan]),
        torch.tensor([[1.0, nan]]),
        one.double(),
    ):
        assert not watching.equal(one, other)
