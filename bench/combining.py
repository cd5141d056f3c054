"""Several passes that make one answer.

Here belongs how logits of several draws become those of one answer, with a gradient. How the draws come about
is in ``defended``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # imported where tensors are: settings name the ways, too
    from torch import Tensor

COMBINE = ("mean_probability", "mean_logit", "vote")
"""How passes may be combined."""


def combined(logits: Tensor, how: str) -> Tensor:
    """The logits of one answer, shape (batch, classes).

    Args:
        logits: Of each pass, shape (passes, batch, classes).
        how: ``mean_probability``: the logarithm of the mean probability, as MC dropout averages (Gal and
            Ghahramani 2016); ``mean_logit``: the mean; ``vote``: the logarithm of the share of passes whose
            largest logit is the class's, of a class without any as of half a pass, with the gradient of the
            mean probability in place of its own, which is 0 (Salman et al. 2019, equation 6).

    Raises:
        ValueError: for another way.
    """
    import torch
    from torch.nn import functional

    if how == "mean_logit":
        return logits.mean(0)
    soft = torch.logsumexp(functional.log_softmax(logits, -1), 0) - math.log(len(logits))
    if how == "mean_probability":
        return soft
    if how != "vote":
        raise ValueError(f"combine: expected one of {', '.join(COMBINE)}, got {how}")
    votes = functional.one_hot(logits.argmax(-1), logits.shape[-1]).sum(0).to(logits.dtype)
    hard = (votes.clamp(min=0.5) / len(logits)).log()
    # the value of the one, the gradient of the other
    return hard + (soft - soft.detach())
