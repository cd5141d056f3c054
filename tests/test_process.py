import contextlib
import random
import threading
from pathlib import Path

import numpy as np
import torch

from bench import process
from bench.results.store import Store


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


def test_what_one_thread_has_seeded_no_other_draws_from() -> None:
    cpu, entered, found = torch.device("cpu"), threading.Event(), []

    def other() -> None:
        with process.seeded(2, cpu):
            entered.set()
            draws()

    with process.seeded(1, cpu):
        expected = [draws(), draws()]
    thread = threading.Thread(target=other)
    with process.seeded(1, cpu):
        found.append(draws())
        thread.start()
        # it has its time, and its turn only later
        assert not entered.wait(0.1)
        found.append(draws())
    thread.join()
    assert entered.is_set()
    assert found == expected


def test_threads_that_want_one_lock_and_their_turn_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store, started = Store(tmp_path), threading.Barrier(2)

    def computes_first() -> None:
        with process.threads(1):
            meet(started)
            with store.lock("k"):
                pass

    def locks_first() -> None:
        with store.lock("k"):
            meet(started)
            with process.threads(1):
                pass

    both = [threading.Thread(target=way, daemon=True) for way in (computes_first, locks_first)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(10)
    assert not any(thread.is_alive() for thread in both)


def meet(barrier: threading.Barrier) -> None:
    """Waits for the other one, which may well be waiting for its turn."""
    with contextlib.suppress(threading.BrokenBarrierError):
        barrier.wait(0.1)
