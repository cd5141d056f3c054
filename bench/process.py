"""What a computation changes of the process that it runs in, and puts back: generators, threads.

Here belongs nothing else: which seed, and how many threads, is the caller's business.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # imported where tensors are: the store, which has none, waits its turn too
    import torch

alone = threading.RLock()
"""Held by whoever changes what there is once a process, or looks whether somebody did.

Of several threads that compute, one does at a time. It is taken before any lock between processes, so that no
two wait for each other.
"""


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and PyTorch, the device's own too; then as they were.

    Args:
        seed: Of 63 bits, as ``fingerprint.derive_seed`` gives.
        device: Whose generator, besides the CPU's.
    """
    import numpy as np
    import torch

    cuda = device.type == "cuda"
    index = [torch.cuda.current_device() if device.index is None else device.index] if cuda else []
    with alone, torch.random.fork_rng(devices=index):
        before = random.getstate(), np.random.get_state()  # noqa: NPY002
        own = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            # torch.manual_seed would seed every GPU, and fork_rng puts back only those it was given
            torch.default_generator.manual_seed(seed)
            for i in index:
                torch.cuda.default_generators[i].manual_seed(seed)
            if own is not None:
                torch.mps.manual_seed(seed)
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
            if own is not None:
                torch.mps.set_rng_state(own)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Lets PyTorch use so many threads, at least 1; then as many as before."""
    import torch

    with alone:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
