"""Stochastic activation pruning, an operation at sites."""

import math

import torch
from torch import Tensor

from bench.schemes.strength import Strength


class ActivationPruning:
    """Keeps the activations that are drawn, with replacement, in proportion to their magnitude (SAP).

    From the ``a`` activations of a layer, ``r`` are drawn with the probabilities ``p_j = |h_j| / sum |h|``.
    What was never drawn is zero; what was drawn is divided by ``q_j = 1 - (1 - p_j)^r``, its chance of
    being drawn at all, so that each activation keeps its mean. The backward pass holds the draw and the
    q_j fixed.

    The rate is draws per activation: ``r = a * rate``, rounded, at least one; at 1 there are as many
    draws as activations ("SAP-100"). More draws keep more, and no number of them keeps all for certain.
    Were all activations alike, exp(-rate) of them would be pruned; since most magnitude is in few of
    them, the share of magnitude that is lost is smaller.

    Source: "Defensive Dropout", equations (7) and (8); Dhillon et al. (2018), Algorithm 1.
    """

    strength = Strength("draws per activation", 0.0, math.inf, "()", off=None, grows=False)

    def __call__(self, x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
        # counts need the precision that half floats lack
        h = x.detach().flatten(1).abs().to(torch.promote_types(x.dtype, torch.float32))
        total = h.sum(1, keepdim=True)
        # a layer that is all zeros stays so, whatever is drawn
        p = torch.where(total > 0, h / total, 1 / h.shape[1])
        draws = max(1, round(h.shape[1] * rate))
        drawn = _drawn(p, draws, generator)
        q = -torch.expm1(draws * torch.log1p(-p))
        return x * torch.where(drawn, 1 / q, 0).view(x.shape).to(x.dtype)


def _drawn(p: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Which columns of each row come up in ``draws`` draws with replacement: booleans, shape of ``p``.

    Nearly all of the draws at once, as Poisson counts, whose total is itself random but a little less
    than ``draws``, then the few that are missing one by one: given their total, Poisson counts are
    multinomial. That they exceed ``draws`` has a chance of 1e-9.
    """
    at_once = max(0.0, draws - 6 * math.sqrt(draws))
    counts = torch.poisson(at_once * p, generator)
    missing = (draws - counts.sum(1)).clamp(min=0).long()
    most = int(missing.max())
    drawn = counts > 0
    if most:
        more = torch.multinomial(p, most, replacement=True, generator=generator)
        asked = torch.arange(most, device=p.device) < missing.unsqueeze(1)
        # of those that weren't asked for, nothing changes
        more = torch.where(asked, more, p.shape[1])
        padded = torch.cat([drawn, drawn.new_zeros(len(drawn), 1)], 1)
        drawn = padded.scatter(1, more, True)[:, :-1]
    return drawn
