import random

import numpy as np
import torch

from bench import process


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(1))  # noqa: NPY002


def test_generators_are_seeded_in_the_block_and_as_they_were_after_it() -> None:
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    expected = [draws() for _ in range(2)]
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    assert draws() == expected[0]
    inside = []
    for seed in (2**63 - 1, 2**63 - 1, 5):
        with process.seeded(seed, torch.device("cpu")):
            inside.append(draws())
    assert inside[0] == inside[1]
    assert all(one != other for one, other in zip(inside[0], inside[2], strict=True))
    assert draws() == expected[1]


def test_threads_are_as_many_as_asked_for_and_then_as_before() -> None:
    before = torch.get_num_threads()
    with process.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
