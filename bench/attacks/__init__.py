"""Attacks and criteria that Foolbox 3 lacks, native to it: they know Foolbox and EagerPy, nothing else.

One file an attack. Each is called as Foolbox's are, ``attack(model, inputs, criterion, epsilons=...)``,
on any model that Foolbox wraps.
"""

from .criteria import TopKMisclassification

__all__ = ["TopKMisclassification"]
