"""Weights that somebody else has fitted, a way of training in which nothing is.

Here belongs which weights; how a file of them is read is in ``weights``.
"""

from collections.abc import Mapping
from numbers import Real
from pathlib import Path

from torch import nn

from bench.training.weightfiles import read
from bench.training.weights import load_into, load_several


class Pretrained:
    """Takes weights from a file, or those that the network was made with.

    Args:
        weights: A safetensors file, or one of a plain state dict; or for each path of a submodule its own.
            None: the network keeps what it has.
        key: Where in the file the state dict is, if that isn't told by itself.
        prefix: What its names begin with and the network's don't.
        clean_pct: Accuracy on the test images as published, in %, from 0 to 100; None: not known.

    Raises:
        ValueError: for a value out of its range.
    """

    foreign = True

    def __init__(
        self,
        weights: str | Mapping[str, str] | None = None,
        key: str | None = None,
        prefix: str | None = None,
        clean_pct: float | None = None,
    ):
        number = isinstance(clean_pct, Real) and not isinstance(clean_pct, bool)
        if clean_pct is not None and not (number and 0 <= clean_pct <= 100):
            raise ValueError(f"expected clean_pct from 0 to 100, got {clean_pct}")
        if not isinstance(weights, str | Mapping | None):
            raise ValueError(f"expected weights to name a file, or one for each submodule, got {weights}")
        if weights is None and (key is not None or prefix is not None):
            raise ValueError("key and prefix are of a file: give weights, too")
        self.weights = weights
        self.key = key
        self.prefix = prefix
        self.clean_pct = clean_pct

    def __call__(self, network: nn.Module) -> nn.Module:
        """The network with these weights.

        Raises:
            WeightsError: for a file that can't be read, or is of another network.
        """
        if isinstance(self.weights, Mapping):
            named = {path: Path(file).expanduser() for path, file in self.weights.items()}
            load_several(network, named, self.key, self.prefix)
        elif self.weights is not None:
            file = Path(self.weights).expanduser()
            load_into(network, read(file, self.key), self.prefix, name=str(file))
        return network
