"""What a loader returns, and what the rest of the project gets of it.

Here belong these types and how grey levels become numbers. Where arrays come from, and what they must be
like, does not.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch

LEVELS = 255
"""The brightest of uint8's grey levels, which stands for 1."""

Images = TypeVar("Images", np.ndarray, torch.Tensor)


class DataError(Exception):
    """Data that can't be used: one line that names the file, and what to do."""


class Arrays(NamedTuple):
    """What a loader returns.

    Attributes:
        x_train, x_test: Images, shape (n, channels, height, width), uint8 in [0, 255] or floats in [0, 1].
        y_train, y_test: Classes, integers from 0, shape (n,).

    ``x_train`` and ``y_train`` are both None where there is no training half.
    """

    x_train: np.ndarray | None
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Checked data, ready for use.

    Attributes:
        x_train, x_test: Shape (n, channels, height, width); uint8 where the loader gave both so, which
            ``unit`` turns into what a network is given, a batch at a time; else float32 in [0, 1].
        y_train, y_test: int64, shape (n,).
        classes: How many classes there are; where the network's outputs decide that, how many the labels
            speak of at least, the largest of them and 1.
        fingerprint: SHA-256 over every array as loaded, and the part used for training.

    Without a training half ``x_train`` and ``y_train`` are of no images.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    fingerprint: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        channels, height, width = self.x_test.shape[1:]
        return channels, height, width


def unit(images: Images) -> Images:
    """Images as a network is given them: float32 in [0, 1].

    Args:
        images: uint8 in [0, 255], each of which is divided by 255, or floats in [0, 1], which are given back
            as they are. An array or a tensor, of any shape.
    """
    if isinstance(images, torch.Tensor):
        if images.dtype != torch.uint8:
            return images
        # by a plain number a GPU would multiply with its reciprocal, which is another float now and then
        return images.float().div_(torch.tensor(float(LEVELS), device=images.device))
    if images.dtype != np.uint8:
        return images
    scaled = images.astype(np.float32)
    return np.divide(scaled, np.float32(LEVELS), out=scaled)


def line(error: BaseException) -> str:
    """What an error says, in one line; of one that says nothing, its kind."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a line about an unknown name: which one may have been meant; empty if none is near."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
