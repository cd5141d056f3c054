"""The digits that are inside scikit-learn: nothing to fetch.

Here belongs this one dataset. Files of one's own, and the checks that every dataset passes, do not.
"""

from pathlib import Path

import numpy as np

from bench.datasets.arrays import Arrays, DataError


def digits(data_dir: Path, *, test_size: int = 500, shuffle_seed: int = 0) -> Arrays:
    """scikit-learn's embedded digits: 1,797 real 8x8 images of ten classes, values 0 to 16.

    They lie in the order of their writers, so they are shuffled before they are split.

    Args:
        data_dir: Not used: the images are inside scikit-learn.
        test_size: How many of the shuffled images are for testing, the last ones.
        shuffle_seed: Seed of the shuffle.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    if not 1 <= test_size < len(images):
        raise DataError(f"dataset.options.test_size: expected 1 to {len(images) - 1}, got {test_size}")
    order = np.random.default_rng(shuffle_seed).permutation(len(images))
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)[order]
    labels = labels.astype(np.int64)[order]
    return Arrays(images[:-test_size], labels[:-test_size], images[-test_size:], labels[-test_size:])
