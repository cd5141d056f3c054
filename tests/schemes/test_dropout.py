import pytest
import torch

from bench.config import OPERATIONS
from bench.schemes import Dropout
from bench.targets import find

NAMED = {name: find("scheme.operation", target, ["bench"]) for name, target in OPERATIONS.items()}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_keeps_the_expected_activation() -> None:
    x = torch.full((100_000,), 2.0)
    for rate in (0.1, 0.5, 0.9):
        dropped = Dropout()(x, rate, generator())
        kept = dropped[dropped != 0]
        assert torch.allclose(kept, torch.tensor(2.0 / (1 - rate)))
        # five standard errors of a proportion
        assert abs(len(kept) / len(x) - (1 - rate)) < 5 * (rate * (1 - rate) / len(x)) ** 0.5


def test_gradients_pass_through_the_same_mask() -> None:
    x = torch.ones(1000, requires_grad=True)
    dropped = Dropout()(x, 0.5, generator())
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMED)
def test_every_operation_keeps_shape_type_and_what_it_was_given_and_draws_afresh(
    name: str, dtype: torch.dtype
) -> None:
    operation = NAMED[name]()
    x = torch.rand(4, 3, 8, 8, dtype=dtype, generator=generator())
    before, draws = x.clone(), generator(1)
    first, second = (operation(x, 0.6, draws) for _ in range(2))
    assert (first.shape, first.dtype) == (x.shape, dtype)
    assert torch.equal(x, before)
    assert not torch.equal(first, second)
    assert torch.equal(operation(x, 0.6, generator(1)), first)


@pytest.mark.parametrize("name", ["dropout", "noise"])
def test_layers_of_half_precision_are_taken_as_they_are(name: str) -> None:
    x = torch.rand(2, 40_000, generator=generator()).to(torch.bfloat16)
    found = NAMED[name]()(x, 0.5, generator(1))
    assert found.dtype == torch.bfloat16
    # means are kept, to the precision of half floats
    torch.testing.assert_close(found.float().mean(1), x.float().mean(1), rtol=0.03, atol=0)
