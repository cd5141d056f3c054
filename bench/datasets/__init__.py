"""Images and labels, checked and fingerprinted: digits, IDX files, CIFAR-10, npz files, folders of images.

Here belongs everything between a file and an array, one file a format. A dataset in another format needs
a function ``loader(data_dir, **options)`` that returns ``Arrays``, wherever it lives. Models, schemes and
attacks are not known here.
"""

from bench.datasets.arrays import Arrays, DataError, Dataset, unit
from bench.datasets.cifar_binary import CIFAR10_FILES, cifar10
from bench.datasets.embedded import digits
from bench.datasets.idx_format import idx
from bench.datasets.image_files import image_folder
from bench.datasets.loading import load
from bench.datasets.npz_file import npz

__all__ = [
    "CIFAR10_FILES",
    "Arrays",
    "DataError",
    "Dataset",
    "cifar10",
    "digits",
    "idx",
    "image_folder",
    "load",
    "npz",
    "unit",
]
