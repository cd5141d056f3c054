"""What happens at a network's sites, in training and at test time.

Here belong operations and how they are put into a network. An operation is called with activations
(batch, ...), a rate in [0, 1) and a generator, and returns activations of the same shape. Which
sites there are is the model's business; which rates, the configuration's.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.models import Operation, Site


class Dropout:
    """Inverted dropout: each activation is zero with probability ``rate``, the others grow by 1 / (1 - rate).

    Every activation of every image has a mask of its own, fresh at each pass. Sources: Srivastava
    et al. (2014); "Defensive Dropout for Hardening Deep Neural Networks", section 3.2, for the scale.
    """

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        keep = torch.rand(x.shape, generator=generator, device=x.device) >= rate
        return x * keep / (1 - rate)


def install(
    model: nn.Module, rates: Mapping[str, tuple[Operation, float]], generator: torch.Generator
) -> None:
    """Puts operations into a network's sites; a site that is not named, or has rate 0, does nothing.

    Args:
        model: A network of ``Site`` modules.
        rates: For each site's name, its operation and its rate in [0, 1).
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
