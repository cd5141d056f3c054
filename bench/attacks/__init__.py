"""Attacks and criteria that Foolbox 3 lacks, native to it: they know Foolbox and EagerPy, nothing else.

One file an attack; those of other libraries are asked in ``others``, and know theirs. Each is called as
Foolbox's are, ``attack(model, inputs, criterion, epsilons=...)``, on any model that Foolbox wraps.
"""

from .carlini_wagner_l0 import CarliniWagnerL0Attack
from .carlini_wagner_l2 import CarliniWagnerL2Attack
from .carlini_wagner_linf import CarliniWagnerLinfAttack
from .criteria import TopKMisclassification
from .deepfool import DeepFoolAttack
from .gradient_sign import GradientSignAttack
from .lbfgs import LBFGSAttack
from .randomized_pgd import RandomizedPGDAttack
from .saliency_map import SaliencyMapAttack
from .square import SquareAttack
from .voting import VotedHopSkipJumpAttack

__all__ = [
    "CarliniWagnerL0Attack",
    "CarliniWagnerL2Attack",
    "CarliniWagnerLinfAttack",
    "DeepFoolAttack",
    "GradientSignAttack",
    "LBFGSAttack",
    "RandomizedPGDAttack",
    "SaliencyMapAttack",
    "SquareAttack",
    "TopKMisclassification",
    "VotedHopSkipJumpAttack",
]
