"""Whether an attack takes a criterion and images of a shape, asked without a pass through any network.

Here belongs how it is asked. Which criteria there are is in ``attacks.criteria``.
"""

from collections.abc import Callable
from typing import Any

import torch
from foolbox.models import PyTorchModel
from torch import Tensor, nn

from bench.attacking import settings_kept
from bench.attacks import criteria
from bench.checks import ConfigError, NotApplicable
from bench.config import AttackConfig, CriterionConfig


class _Reached(Exception):
    """The attack let the criterion in."""


def ask(
    run: Callable[..., Any], named: AttackConfig, criterion: CriterionConfig, shape: tuple[int, ...]
) -> None:
    """Lets an attack see the criterion and an image's shape, and refuse, without a pass through any network.

    Raises:
        NotApplicable: if it can't serve the criterion.
        ConfigError: if it fails for another reason.
    """
    kind = criterion.kind
    if named.criteria is not None and kind not in named.criteria:
        raise NotApplicable(
            f"criterion: attack {named.name} can't serve {kind}; allowed: {', '.join(named.criteria)}"
        )

    class Door(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise _Reached

    zero = torch.zeros(1, dtype=torch.int64)
    goal = criteria.criterion(kind, zero, zero, criterion.k)
    try:
        victim = PyTorchModel(Door().eval(), bounds=(0, 1), device="cpu")
        with settings_kept():
            run(victim, torch.zeros(1, *shape), goal, epsilons=named.epsilon)
    except _Reached:
        pass
    except Exception as error:
        words = " ".join(str(error).split())
        if "criterion" in words and isinstance(error, TypeError | ValueError | NotImplementedError):
            raise NotApplicable(f"criterion: attack {named.name} can't serve {kind} ({words})") from None
        if named.epsilon is None and "None in epsilons" in words:
            raise ConfigError(f"attack: {named.name} needs an epsilon; give it one over 0") from None
        said = words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"
        raise ConfigError(f"attack: {named.name} refuses its settings ({said})") from None
