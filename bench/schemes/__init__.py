"""What happens at a network's sites, in training and at test time: one operation a file.

Here belong operations. Which sites there are is the model's business; how strongly what acts where, the
configuration's; how they are put into a network, ``defended``'s.

An operation is called with values (batch, ...), its strength and a generator, and returns values of the
same shape and type, without changing what it was given; at the network's own input, the site "", it may
change an image's size where the network takes that. It draws from that generator, or from the
global ones, which each pass seeds. Its class may say, each by an attribute:

- ``strength``: what the strength is called and which numbers it may be, as ``strength_of`` reads it;
  else it is a rate in [0, 1), of which 0 is off.
- ``random = False``: that it draws nothing.
- ``clip = True``: that what it makes of an image is clipped to the image's bounds; else it is left as it is.
"""

from bench.schemes.activation_pruning import ActivationPruning
from bench.schemes.dropout import Dropout
from bench.schemes.noise import Noise
from bench.schemes.resize_pad import ResizeAndPad
from bench.schemes.strength import Operation, Strength, strength_of

__all__ = [
    "ActivationPruning",
    "Dropout",
    "Noise",
    "Operation",
    "ResizeAndPad",
    "Strength",
    "strength_of",
]
