"""What happens at a network's sites, in training and at test time: one operation a file.

Here belong operations and how they are put into a network. Which sites there are is the model's
business; how strongly what acts where, the configuration's.

An operation is called with values (batch, ...), its strength and a generator, and returns values of the
same shape and type, without changing what it was given; at the network's own input, the site "", it may
change an image's size where the network takes that. It draws from that generator alone. Its class may
say, each by an attribute:

- ``strength``: what the strength is called and which numbers it may be, as ``strength_of`` reads it;
  else it is a rate in [0, 1), of which 0 is off.
- ``random = False``: that it draws nothing.
- ``clip = True``: that what it makes of an image is clipped to the image's bounds; else it is left as it is.
"""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from bench.models import Site
from bench.schemes.activation_pruning import ActivationPruning
from bench.schemes.dropout import Dropout
from bench.schemes.noise import Noise
from bench.schemes.resize_pad import ResizeAndPad
from bench.schemes.strength import Operation, Strength, strength_of

__all__ = [
    "NAMED",
    "ActivationPruning",
    "Dropout",
    "Noise",
    "Operation",
    "ResizeAndPad",
    "Strength",
    "install",
    "is_random",
    "strength_of",
]

NAMED: Mapping[str, Callable[..., Operation]] = {
    "dropout": Dropout,
    "noise": Noise,
    "activation_pruning": ActivationPruning,
    "resize_pad": ResizeAndPad,
}
"""This project's own operations, by the names that a scheme may give for them."""


def install(
    model: nn.Module, rates: Mapping[str, tuple[Operation, float]], generator: torch.Generator
) -> None:
    """Puts operations into a network's sites; a site that is not named, or has rate 0, does nothing.

    Args:
        model: A network of ``Site`` modules.
        rates: For each site's name, its operation and its strength.
        generator: Where every mask is drawn from, on the model's device.

    Raises:
        ValueError: if the network has no site of a given name.
    """
    found = [module for module in model.modules() if isinstance(module, Site)]
    unknown = set(rates) - {site.name for site in found}
    if unknown:
        raise ValueError(f"no site {', '.join(sorted(unknown))}")
    for site in found:
        operation, rate = rates.get(site.name, (None, 0.0))
        site.operation = operation if rate > 0 else None
        site.rate = rate
        site.generator = generator


def is_random(rates: Mapping[str, tuple[Operation, float]]) -> bool:
    """Whether two passes over the same image must differ under these rates.

    An operation that draws nothing says so with an attribute ``random = False``.
    """
    return any(rate > 0 and getattr(operation, "random", True) for operation, rate in rates.values())
