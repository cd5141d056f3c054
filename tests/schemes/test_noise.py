import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from bench.schemes import Noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    """200 of the embedded digits, in [0, 1]."""
    return torch.tensor(load_digits().images[:200] / 16, dtype=torch.float32).unsqueeze(1)


def is_chi_square(total: float, degrees: int) -> bool:
    return 1e-5 < stats.chi2.cdf(total, degrees) < 1 - 1e-5


@pytest.mark.parametrize("deviation", [0.1, 3.0])
def test_it_is_normal_of_that_standard_deviation_at_every_value(
    digits: torch.Tensor, deviation: float
) -> None:
    found = Noise()(digits, deviation, generator()).double() - digits.double()
    noise = (found / deviation).flatten(1).numpy()
    images, pixels = noise.shape
    # sums of squares and squared means, each of an exact distribution
    assert is_chi_square((noise**2).sum(), images * pixels)
    assert is_chi_square(images * (noise.mean(0) ** 2).sum(), pixels)
    assert is_chi_square(pixels * (noise.mean(1) ** 2).sum(), images)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-5


def test_it_is_not_clipped_even_at_the_image(digits: torch.Tensor) -> None:
    # a pixel at a bound leaves it half of the time, by the sign test
    for bound, beyond in ((0.0, torch.lt), (1.0, torch.gt)):
        at = digits == bound
        left = int(beyond(Noise()(digits, 0.1, generator()), bound)[at].sum())
        assert stats.binomtest(left, int(at.sum())).pvalue > 1e-5


def test_each_value_of_each_image_has_a_draw_of_its_own_fresh_at_each_pass(digits: torch.Tensor) -> None:
    draws = generator()
    same = digits[:1].expand(8, -1, -1, -1)
    first, second = (Noise()(same, 0.5, draws) for _ in range(2))
    assert len(torch.cat([first, second]).unique(dim=0)) == 16
    noise = first - same
    assert len(noise.unique()) > 0.99 * noise.numel()


def test_draws_come_from_the_given_generator_alone(digits: torch.Tensor) -> None:
    before = digits.clone()
    first = Noise()(digits, 0.5, generator(3))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(Noise()(digits, 0.5, generator(3)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(Noise()(digits, 0.5, generator(4)), first)
    assert torch.equal(digits, before)


def test_gradients_pass_through_as_they_are() -> None:
    x = torch.rand(4, 10, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(4, 10, dtype=torch.float64, generator=generator(1))
    (Noise()(x, 2.0, generator()) * weights).sum().backward()
    assert torch.equal(x.grad, weights)


def test_clipping_is_asked_for_and_is_true_or_false() -> None:
    assert not Noise().clip
    assert Noise(clip=True).clip
    with pytest.raises(ValueError, match="^expected clip to be true or false, got 'no'$"):
        Noise(clip="no")  # type: ignore[arg-type]
