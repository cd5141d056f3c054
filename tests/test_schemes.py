import pytest
import torch

from bench import schemes
from bench.models import Site, TwoConv


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 1, 8, 8, generator=generator())


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
    assert {s.name for s in model.modules() if isinstance(s, Site)} == set(TwoConv.sites)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("site", TwoConv.sites)
def test_passes_differ_whatever_train_or_eval_was_called(
    model: TwoConv, images: torch.Tensor, site: str, training: bool
) -> None:
    model.train(training)
    schemes.install(model, {site: (schemes.Dropout(), 0.3)}, generator())
    first, second = model(images), model(images)
    assert not torch.equal(first, second)
    # each image of a batch has a mask of its own
    same = model(images[:1].expand(6, -1, -1, -1))
    assert len(same.unique(dim=0)) == 6


@pytest.mark.parametrize("rates", [{}, {"fc": 0.0}, {"input": 0.0, "feature": 0.0, "fc": 0.0}])
def test_rate_zero_changes_nothing(model: TwoConv, images: torch.Tensor, rates: dict[str, float]) -> None:
    bare = model(images)
    installed = {site: (schemes.Dropout(), rate) for site, rate in rates.items()}
    schemes.install(model, installed, generator())
    assert torch.equal(model(images), bare)
    assert torch.equal(model(images), bare)
    assert not schemes.is_random(installed)


def test_a_scheme_can_be_taken_out_again(model: TwoConv, images: torch.Tensor) -> None:
    bare = model(images)
    schemes.install(model, {"fc": (schemes.Dropout(), 0.5)}, generator())
    assert not torch.equal(model(images), bare)
    schemes.install(model, {}, generator())
    assert torch.equal(model(images), bare)


def test_masks_come_from_the_given_generator_alone(model: TwoConv, images: torch.Tensor) -> None:
    rates = {"fc": (schemes.Dropout(), 0.5)}
    schemes.install(model, rates, generator(7))
    first = model(images)
    torch.manual_seed(99)
    schemes.install(model, rates, generator(7))
    assert torch.equal(model(images), first)
    schemes.install(model, rates, generator(8))
    assert not torch.equal(model(images), first)


def test_a_deterministic_operation_is_as_welcome(model: TwoConv, images: torch.Tensor) -> None:
    class Round:
        strength = ("levels", 2, 256, "[]", None, False)
        random = False

        def __call__(self, x: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
            return (x * (rate - 1)).round() / (rate - 1)

    installed = {"input": (Round(), 4.0)}
    expected = model((images * 3).round() / 3)
    schemes.install(model, installed, generator())
    assert torch.equal(model(images), expected)
    assert torch.equal(model(images), expected)
    assert not schemes.is_random(installed)
    assert schemes.is_random({**installed, "fc": (schemes.Dropout(), 0.5)})
    schemes.strength_of(Round).check("scheme.sites.input", 4)


def test_unknown_site_is_refused(model: TwoConv) -> None:
    with pytest.raises(ValueError, match="no site conv9"):
        schemes.install(model, {"conv9": (schemes.Dropout(), 0.5)}, generator())
