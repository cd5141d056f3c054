"""What the tests of the attacks share: a small trained network, a random one, and linear models.

Here belong models and images that several files need. What a single attack needs stays in its file.
"""

import ctypes
import gc
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import foolbox as fb
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from foolbox.models import Model
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

Trial = tuple[fb.PyTorchModel, Tensor, Tensor]

# every operation is compiled anew for each shape and runs a few times: that is not worth optimising
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is dropped from memory, see below, is read from a folder when it is needed again."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True)
def _memory_of_what_jax_compiles() -> Iterator[None]:
    """Each operation and shape takes over 1 MB, and there are some 2,000: they are dropped when they are many."""
    yield
    memory = Path("/proc/self/statm")
    if memory.exists() and int(memory.read_text().split()[1]) * resource.getpagesize() > 900e6:
        jax.clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


class DigitsNet(nn.Module):
    """Convolution, hidden layer, ten classes. Drops hidden units at ``rate`` in every pass, train or eval."""

    def __init__(self, rate: float, seed: int = 0):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.hidden = nn.Linear(16 * 4 * 4, 64)
        self.out = nn.Linear(64, 10)
        self.rate = rate
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        x = F.relu(self.hidden(x.flatten(1)))
        if self.rate > 0:
            keep = torch.rand(x.shape, generator=self.generator) >= self.rate
            x = x * keep / (1 - self.rate)
        return self.out(x)


@pytest.fixture(scope="session")
def trained() -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Weights of a DigitsNet that was trained with dropout, and 40 held-out digits that it gets right."""
    digits = load_digits()
    images = torch.from_numpy((digits.images / 16).astype(np.float32))[:, None]
    labels = torch.from_numpy(digits.target.astype(np.int64))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = DigitsNet(rate=0.5)
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(15):
            for rows in torch.randperm(1500).split(100):
                optimizer.zero_grad()
                F.cross_entropy(net(images[rows]), labels[rows]).backward()
                optimizer.step()
    net.rate = 0.0
    with torch.no_grad():
        right = (net(images[1500:]).argmax(-1) == labels[1500:]).nonzero()[:40, 0] + 1500
    return net.state_dict(), images[right], labels[right]


def digits_trial(trained: tuple[dict[str, Tensor], Tensor, Tensor], rate: float) -> Trial:
    weights, images, labels = trained
    net = DigitsNet(rate)
    net.load_state_dict(weights)
    net.eval().requires_grad_(False)
    return fb.PyTorchModel(net, bounds=(0, 1), device="cpu"), images.clone(), labels.clone()


@pytest.fixture
def digits_model(trained: tuple[dict[str, Tensor], Tensor, Tensor]) -> Trial:
    """A deterministic model, images (40, 1, 8, 8) float32 that it gets right, and labels int64."""
    return digits_trial(trained, rate=0.0)


@pytest.fixture
def random_digits_model(trained: tuple[dict[str, Tensor], Tensor, Tensor]) -> Trial:
    """The same network, images and labels, with half of the hidden units dropped anew in every pass.

    Each test gets a generator of its own, from the same seed.
    """
    return digits_trial(trained, rate=0.5)


@pytest.fixture
def linear_model() -> Callable[..., Model]:
    """``linear_model(weights, bias, backend="torch", bounds=(0, 1))``: the logits are weights x + bias.

    weights is (classes, pixels) and bias (classes,); images may have any shape of that many pixels.
    """

    def build(weights: Any, bias: Any, backend: str = "torch", bounds: tuple[float, float] = (0, 1)) -> Model:
        w, b = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
        if backend == "jax":
            return fb.JAXModel(lambda x: x.reshape(len(x), -1) @ jnp.asarray(w.T) + jnp.asarray(b), bounds)
        layer = nn.Linear(w.shape[1], w.shape[0])
        layer.weight.data, layer.bias.data = torch.from_numpy(w.copy()), torch.from_numpy(b.copy())
        net = nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)
        return fb.PyTorchModel(net, bounds, device="cpu")

    return build


@pytest.fixture
def tensor() -> Callable[..., Any]:
    """``tensor(array, backend="torch")``: the array as that backend's tensor, floats as float32."""

    def build(array: Any, backend: str = "torch") -> Any:
        a = np.array(array)
        a = a.astype(np.float32 if a.dtype.kind == "f" else np.int64)
        return (
            jnp.asarray(a, np.int32 if a.dtype.kind == "i" else None)
            if backend == "jax"
            else torch.from_numpy(a)
        )

    return build
