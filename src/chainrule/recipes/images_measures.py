"""How well a network tells what pictures show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LEAST = 1e-7  # of a probability, in the loss
FIRST = 5  # the classes that the wider accuracy looks at


@dataclass(frozen=True, eq=False)
class Measures:
    """What was said about labelled pictures, and how right it was.

    Attributes:
        labels: int64 `(n,)`, what they show.
        said: float32 `(n, classes)`, the probabilities of the classes.
    """

    labels: Array
    said: Array

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.said.shape[1])

    @property
    def found(self) -> Array:
        """The likeliest class of each picture."""
        return np.asarray(self.said.argmax(axis=1))

    @property
    def accuracy(self) -> float:
        """The share of pictures whose likeliest class is right."""
        return float((self.found == self.labels).mean())

    @property
    def loss(self) -> float:
        """The cross-entropy."""
        return cross_entropy(self.labels, self.said)

    @property
    def balanced_accuracy(self) -> float:
        """The mean over classes of the share that is found."""
        counts = self.confusion
        there = counts.sum(axis=1) > 0
        return float((np.diag(counts)[there] / counts.sum(axis=1)[there]).mean())

    @property
    def confusion(self) -> Array:
        """Counts: true classes down, found classes across."""
        size = self.classes
        pairs = self.labels * size + self.found
        return np.bincount(pairs, minlength=size * size).reshape(size, size)

    def among_first(self, count: int = FIRST) -> float:
        """The share of pictures whose class is among the likeliest so many."""
        own = self.said[np.arange(len(self.labels)), self.labels]
        before = (self.said > own[:, None]).sum(axis=1)
        return float((before < count).mean())

    def by_class(self) -> list[dict[str, float]]:
        """Precision, recall, F1 and the number of pictures of every class."""
        counts = self.confusion
        right = np.diag(counts).astype(float)
        told, there = counts.sum(axis=0), counts.sum(axis=1)
        precision = right / np.maximum(told, 1)
        recall = right / np.maximum(there, 1)
        both = 2 * right / np.maximum(told + there, 1)
        return [
            {"precision": p, "recall": r, "f1": f, "pictures": n}
            for p, r, f, n in zip(
                *(column.tolist() for column in (precision, recall, both, there)),
                strict=True,
            )
        ]

    def worst(self, count: int) -> list[int]:
        """The mistakes of which the network was surest, the surest first."""
        wrong = np.flatnonzero(self.found != self.labels)
        sure = self.said[wrong].max(axis=1)
        return wrong[np.argsort(-sure, kind="stable")][:count].tolist()

    def mixed_up(self, count: int) -> list[tuple[int, int, int]]:
        """The commonest mistakes: the true class, the one found, and how often."""
        counts = self.confusion
        np.fill_diagonal(counts, 0)
        order = np.argsort(-counts, axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, counts.shape)
        numbers = counts[rows, columns]
        found = zip(rows.tolist(), columns.tolist(), numbers.tolist(), strict=True)
        return [(true, said, number) for true, said, number in found if number]

    def figures(self) -> dict[str, float]:
        """The measures by name."""
        figures = {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "loss": self.loss,
        }
        if self.classes > FIRST:
            figures["top_5_accuracy"] = self.among_first()
        return figures


def measure(labels: Array, said: Array) -> Measures:
    """The measures of what was said about labelled pictures.

    Example:
        >>> said = np.float32([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
        >>> measures = measure(np.array([0, 1, 1]), said)
        >>> round(measures.accuracy, 3), measures.worst(3)
        (0.667, [1])
        >>> measures.confusion.tolist(), measures.mixed_up(5)
        ([[1, 0], [1, 1]], [(1, 0, 1)])
    """
    return Measures(np.asarray(labels, np.int64), said)


def cross_entropy(labels: Array, said: Array) -> float:
    """The mean of the negative logarithm of the true class's probability.

    Example:
        >>> round(cross_entropy(np.array([1]), np.float32([[0.5, 0.5]])), 4)
        0.6931
    """
    own = said[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(own, LEAST)).mean())
