"""Values of metrics by other means: scikit-learn, or NumPy in float64.

Each is a function of labels, predictions and weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics as scikit

Array = np.ndarray[Any, Any]
Value = Callable[[Array, Array, Array], Any]


def mean(values: Callable[[Array, Array], Array]) -> Value:
    """The weighted mean of one value per sample, in float64."""

    def value(true: Array, predicted: Array, weights: Array) -> Any:
        with np.errstate(all="ignore"):
            each = values(true.astype(float), predicted.astype(float))
        return np.average(each.reshape(len(weights), -1).mean(1), weights=weights)

    return value


def by_scikit(score: Callable[..., Any], **options: Any) -> Value:
    """A score of scikit-learn on labels and predictions as they are."""

    def value(true: Array, predicted: Array, weights: Array) -> Any:
        return score(
            np.squeeze(true), np.squeeze(predicted), sample_weight=weights, **options
        )

    return value


def decided(score: Callable[..., Any], threshold: float = 0.5, **options: Any) -> Value:
    """A score of scikit-learn on decisions: above the threshold is a yes."""

    def value(true: Array, predicted: Array, weights: Array) -> Any:
        yes = (predicted > np.float32(threshold)).astype(int)
        return score(
            np.squeeze(true), np.squeeze(yes), sample_weight=weights, **options
        )

    return value


def largest(score: Callable[..., Any], **options: Any) -> Value:
    """A score of scikit-learn on the classes of the largest predictions."""

    def value(true: Array, predicted: Array, weights: Array) -> Any:
        labels = true.argmax(1) if true.shape == predicted.shape else np.squeeze(true)
        said = predicted.argmax(1)
        return score(labels, said, sample_weight=weights, **options)

    return value


def count(true_is: int, said_is: int, threshold: float = 0.5) -> Value:
    def value(true: Array, predicted: Array, weights: Array) -> Any:
        said = predicted > np.float32(threshold)
        hits = (np.squeeze(true) == true_is) & (np.squeeze(said) == said_is)
        return (hits * weights).sum()

    return value


def among_columns(true: Array, predicted: Array, weights: Array, k: int) -> Any:
    """Precision and recall of the k largest columns, one sample at a time."""
    hits = said = wanted = 0.0
    for labels, scores, weight in zip(true, predicted, weights, strict=True):
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
        hits += weight * labels[best].sum()
        said += weight * k
        wanted += weight * labels.sum()
    return hits / said, hits / wanted


def best_point(rate: str, least: float, value: str, thresholds: int = 200) -> Value:
    """The best of `value` over even thresholds at which `rate` is at least `least`."""

    def found(true: Array, predicted: Array, weights: Array) -> Any:
        true, predicted = np.squeeze(true), np.squeeze(predicted)
        best = 0.0
        for level in np.arange(thresholds) / (thresholds - 1):
            said = predicted > np.float32(level)
            tp, fp = (weights * said * true).sum(), (weights * said * (1 - true)).sum()
            fn = (weights * ~said * true).sum()
            tn = (weights * ~said * (1 - true)).sum()
            rates = {
                "precision": tp / max(tp + fp, 1e-30),
                "recall": tp / max(tp + fn, 1e-30),
                "specificity": tn / max(tn + fp, 1e-30),
            }
            if rates[rate] >= least:
                best = max(best, rates[value])
        return best

    return found


def pearson(a: Array, b: Array, weights: Array) -> Any:
    a, b = a.astype(float), b.astype(float)
    matrices = [
        np.cov(a[:, i], b[:, i], aweights=weights, ddof=0) for i in range(a.shape[1])
    ]
    return np.mean([c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in matrices])


def concordance(a: Array, b: Array, weights: Array) -> Any:
    found = []
    a, b = a.astype(float), b.astype(float)
    for i in range(a.shape[1]):
        c = np.cov(a[:, i], b[:, i], aweights=weights, ddof=0)
        apart = np.average(a[:, i] - b[:, i], weights=weights)
        found.append(2 * c[0, 1] / (c[0, 0] + c[1, 1] + apart**2))
    return np.mean(found)


def along(true: Array, predicted: Array) -> Array:
    return np.array(
        [np.corrcoef(a, b)[0, 1] for a, b in zip(true, predicted, strict=True)]
    )


def along_concordance(true: Array, predicted: Array) -> Array:
    apart = (true.mean(1) - predicted.mean(1)) ** 2
    both = 2 * along(true, predicted) * true.std(1) * predicted.std(1)
    found: Array = both / (true.var(1) + predicted.var(1) + apart)
    return found


def logs(labels: Array, p: Array) -> Array:
    return -(labels * np.log(p) + (1 - labels) * np.log(1 - p))


def cosine(a: Array, b: Array) -> Array:
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: Array = (a * b).sum(1) / sizes
    return found


def jaccard(classes: list[int]) -> Value:
    def value(true: Array, predicted: Array, weights: Array) -> Any:
        scores = scikit.jaccard_score(
            true, predicted, labels=classes, average=None, sample_weight=weights
        )
        return np.mean(scores)

    return value


def of_classes(value: Value) -> Value:
    """A value of class numbers, for one-hot labels and scores."""
    return lambda t, p, w: value(t.argmax(1), p.argmax(1), w)
