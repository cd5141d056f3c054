"""What counts as adversarial, and how far a model's output is from it.

Here belong criteria that Foolbox lacks, which criterion and which targets are meant by a name, and what
every attack asks of a criterion: that of some of its rows, and a margin to minimise. Attacks, data and
configuration do not.
"""

from typing import Any, TypeVar

import eagerpy as ep
import numpy as np
from foolbox.criteria import Criterion, Misclassification, TargetedMisclassification

T = TypeVar("T")


class TopKMisclassification(Criterion):
    """Adversarial where the true label is not among the ``k`` largest outputs.

    A tie counts as being among them, so ``k=1`` is stricter than Foolbox's ``Misclassification``
    where two outputs are equal. It is deliberately not a subclass of ``Misclassification``: attacks
    that know only that one (C&W, EAD) would stop at the first wrong class instead of refusing.

    Args:
        labels: True classes, integers of shape ``(batch,)``.
        k: How many of the largest outputs must all be wrong, at least 1.

    Raises:
        ValueError: if ``k`` is less than 1, or when called with no more than ``k`` classes.

    Source: "Dropout in Testing Phase Makes Adversarial Samples Generation Difficult", section 4.1
    (k = 3); Foolbox 0.8 called the same thing ``TopKMisclassification``.
    """

    def __init__(self, labels: Any, k: int):
        super().__init__()
        if k < 1:
            raise ValueError(f"expected k to be at least 1, got {k}")
        self.labels: ep.Tensor = ep.astensor(labels)
        self.k = k

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.labels!r}, k={self.k})"

    def __call__(self, perturbed: T, outputs: T) -> T:
        outputs_, restore_type = ep.astensor_(outputs)
        del perturbed, outputs
        classes = outputs_.shape[-1]
        if classes <= self.k:
            raise ValueError(f"expected k to be less than the {classes} classes, got {self.k}")
        assert outputs_.shape[:-1] == self.labels.shape
        true_outputs = outputs_[range(len(outputs_)), self.labels].expand_dims(axis=-1)
        larger = (outputs_ > true_outputs).sum(axis=-1)
        return restore_type(larger >= self.k)


class Overtaken(Criterion):
    """Adversarial where the output of one given class, the rival, is larger than the label's.

    It is what a multi-targeted attack goes for in one of its restarts, not what an attack is asked for.

    Args:
        labels: True classes, integers of shape ``(batch,)``.
        rivals: Of each another class, integers of shape ``(batch,)``.
    """

    def __init__(self, labels: Any, rivals: Any):
        super().__init__()
        self.labels: ep.Tensor = ep.astensor(labels)
        self.rivals: ep.Tensor = ep.astensor(rivals)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.labels!r}, {self.rivals!r})"

    def __call__(self, perturbed: T, outputs: T) -> T:
        outputs_, restore_type = ep.astensor_(outputs)
        del perturbed, outputs
        return restore_type(margin(self, outputs_) < 0)


def take(criterion: Criterion, rows: np.ndarray) -> Criterion:
    """The same criterion for some rows of its batch.

    Args:
        criterion: One of the criteria known here.
        rows: Integer indices into the batch, shape ``(m,)``.

    Raises:
        ValueError: if the criterion is of another kind (a subclass included, since its rows may hold more).
    """
    if type(criterion) is Misclassification:
        return Misclassification(criterion.labels[rows])
    if type(criterion) is TargetedMisclassification:
        return TargetedMisclassification(criterion.target_classes[rows])
    if type(criterion) is TopKMisclassification:
        return TopKMisclassification(criterion.labels[rows], criterion.k)
    if type(criterion) is Overtaken:
        return Overtaken(criterion.labels[rows], criterion.rivals[rows])
    raise unsupported(criterion)


def check_rows(criterion: Criterion, n: int) -> None:
    """Raises ValueError unless the criterion is one of the three known here and holds ``n`` rows."""
    if type(criterion) is TargetedMisclassification:
        name, classes = "target_classes", criterion.target_classes
    elif type(criterion) in (Misclassification, TopKMisclassification):
        name, classes = "labels", criterion.labels  # type: ignore[attr-defined]
    else:
        raise unsupported(criterion)
    if classes.shape != (n,):
        raise ValueError(f"expected {name} to have shape ({n},), got {classes.shape}")


def unsupported(criterion: Criterion) -> ValueError:
    """The error of an attack that can't serve a criterion, in Foolbox's words."""
    return ValueError(f"unsupported criterion {type(criterion).__name__}")


def margin(criterion: Criterion, outputs: ep.Tensor) -> ep.Tensor:
    """How far each row is from being adversarial: negative where it is, differentiable elsewhere.

    Untargeted: the true output less the largest other one. Targeted: the largest other output less
    the target's. Top k: the true output less the k-th largest other one. The three are f_6 of
    Carlini and Wagner (2017, section V-A) and its extension to k classes. Overtaken: the true output
    less the rival's.

    Args:
        criterion: One of the criteria known here.
        outputs: Logits, shape ``(batch, classes)``.

    Returns:
        Margins in the unit of the logits, shape ``(batch,)``.

    Raises:
        ValueError: for outputs of another shape, or of a single class.
    """
    rows = range(len(outputs))
    if isinstance(criterion, TargetedMisclassification):
        own = outputs[rows, criterion.target_classes]
        return best_other(outputs, criterion.target_classes) - own
    if isinstance(criterion, Misclassification):
        return outputs[rows, criterion.labels] - best_other(outputs, criterion.labels)
    if isinstance(criterion, TopKMisclassification):
        own = outputs[rows, criterion.labels]
        return own - best_other(outputs, criterion.labels, criterion.k)
    if isinstance(criterion, Overtaken):
        return outputs[rows, criterion.labels] - outputs[rows, criterion.rivals]
    raise unsupported(criterion)


def holds(criterion: Criterion, outputs: ep.Tensor, confidence: float = 0.0) -> ep.Tensor:
    """Whether each row is adversarial, by a margin of at least ``confidence``; booleans ``(batch,)``.

    Outputs that are not a number hold nothing, whatever their argmax happens to be.

    Args:
        criterion: One of the three criteria known here.
        outputs: Logits, shape ``(batch, classes)``.
        confidence: The kappa of Carlini and Wagner, in the unit of the logits, at least 0.

    Raises:
        ValueError: as ``margin`` does.
    """
    check_outputs(outputs)
    return ep.logical_and(criterion(outputs, outputs), margin(criterion, outputs) <= -confidence)


def cross_entropy(outputs: ep.Tensor, classes: ep.Tensor) -> ep.Tensor:
    """Cross-entropy of ``classes``, shape ``(batch,)``, with a gradient that doesn't vanish early.

    The usual gradient, softmax less one-hot, loses the class's own term where its probability rounds
    to 1, which in float32 is 17 logits above the others. This form loses nothing up to 87. Who climbs
    it from beyond that follows ``odds_against``, of which it is the ``softplus``.
    """
    return softplus(odds_against(outputs, classes))


def odds_against(outputs: ep.Tensor, classes: ep.Tensor) -> ep.Tensor:
    """The log odds of all other classes against ``classes``, shape ``(batch,)``.

    Its gradient points where the cross-entropy's does, and never vanishes for being confident.
    """
    return log_sum_others(outputs, classes) - outputs[range(len(outputs)), classes]


def log_sum_others(outputs: ep.Tensor, classes: ep.Tensor) -> ep.Tensor:
    """The logarithm of the summed exponentials of all outputs but those of ``classes``, ``(batch,)``."""
    others = without(outputs, classes)
    largest = others.max(axis=-1)
    return (others - largest.expand_dims(axis=-1)).exp().sum(axis=-1).log() + largest


def softplus(x: ep.Tensor) -> ep.Tensor:
    """``log(1 + exp(x))``, without overflow."""
    return ep.maximum(x, 0.0) + (-x.abs()).exp().log1p()


def best_other(outputs: ep.Tensor, classes: ep.Tensor, k: int = 1) -> ep.Tensor:
    """The ``k``-th largest output that is not the one of ``classes``, shape ``(batch,)``."""
    others = without(outputs, classes)
    if k == 1:
        return others.max(axis=-1)
    return others.sort(axis=-1)[:, -k]


def without(outputs: ep.Tensor, classes: ep.Tensor) -> ep.Tensor:
    """The outputs with minus infinity in place of those of ``classes``, shape ``(batch, classes)``."""
    check_outputs(outputs)
    return ep.where(ep.onehot_like(outputs, classes) > 0, -ep.inf, outputs)


def check_outputs(outputs: ep.Tensor) -> None:
    """Raises ValueError unless the shape is ``(batch, classes)``, of at least two classes."""
    if outputs.ndim != 2:
        raise ValueError(f"expected outputs of shape (batch, classes), got {tuple(outputs.shape)}")
    if outputs.shape[-1] < 2:
        raise ValueError(f"expected at least two classes, got outputs of shape {tuple(outputs.shape)}")


def criterion(kind: str, labels: Any, targets: Any, k: int | None) -> Criterion:
    """The Foolbox criterion of a kind, for a batch of images.

    Args:
        kind: ``untargeted``, ``targeted`` or ``topk``.
        labels: True classes, shape (batch,).
        targets: Target classes, shape (batch,); for ``targeted``.
        k: For ``topk``.
    """
    if kind == "untargeted":
        return Misclassification(labels)
    if kind == "targeted":
        return TargetedMisclassification(targets)
    if kind == "topk" and k is not None:
        return TopKMisclassification(labels, k)
    raise ValueError(f"unknown criterion {kind}")


def random_targets(labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """For each image a wrong class, each of them equally likely: shape and type of ``labels``."""
    offsets = np.random.default_rng(seed).integers(1, classes, size=len(labels))
    return (labels + offsets) % classes


def all_targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """For each label every wrong class, in order: shape (images * (classes - 1),)."""
    return np.array([c for label in labels for c in range(classes) if c != label], dtype=np.int64)
