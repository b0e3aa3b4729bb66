"""Losses that learn a distance: like samples close, unlike samples apart."""

from __future__ import annotations

import math

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.losses.shapes import as_float
from chainrule.functional.promotion import ArrayLike, Tensor


def circle(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    ref_labels: ArrayLike | None = None,
    ref_embeddings: ArrayLike | None = None,
    remove_diagonal: bool = True,
    gamma: float = 80.0,
    margin: float = 0.4,
) -> Tensor:
    """The circle loss of each sample against all others (Sun et al., arXiv 2002.10857).

    `softplus(logsumexp(-gamma * (m + d_p) * (m - d_p)) +
    logsumexp(gamma * (1 + m - d_n) * (1 - m - d_n)))`, with cosine distances `d_p` to
    the samples of the same label, `d_n` to the others, and the margin `m`. A sample
    without its like, or without any other, has a loss of 0.

    Args:
        y_true: integer labels, one per sample.
        y_pred: embeddings of length 1, one row per sample.
        ref_labels: labels of the samples compared with; the batch itself by default.
        ref_embeddings: their embeddings.
        remove_diagonal: whether a sample is not compared with the one in its own place.
        gamma: how steeply the loss rises.
        margin: how far like and unlike are to be apart.

    Raises:
        ShapeError: unless there is one label for each row of embeddings.

    Example:
        >>> embeddings = [[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]
        >>> [round(x, 4) for x in circle([0, 0, 1], embeddings, gamma=1.0).tolist()]
        [1.5568, 1.3427, 0.0]
    """
    embeddings = as_float(y_pred)
    labels = _labels(y_true, embeddings)
    others, their_labels = embeddings, labels
    if ref_embeddings is not None and ref_labels is not None:
        others = functional.astype(ref_embeddings, embeddings.dtype)
        their_labels = _labels(ref_labels, others)
    products = functional.matmul(embeddings, functional.matrix_transpose(others))
    distance = functional.maximum(1.0 - products, 0.0)
    alike = labels[:, None] == their_labels[None, :]
    unlike = functional.logical_not(alike)
    if remove_diagonal:
        alike = functional.logical_and(alike, functional.logical_not(_eye(alike)))
    near = -gamma * (margin + distance) * (margin - distance)
    slack = functional.maximum(1.0 + margin - distance, 0.0)
    far = gamma * slack * (1.0 - margin - distance)
    return functional.softplus(_log_sum(near, alike) + _log_sum(far, unlike))


def _labels(labels: ArrayLike, embeddings: Tensor) -> Tensor:
    found = functional.astype(functional.asarray(labels), "int64")
    if found.ndim == 2 and found.shape[-1] == 1:
        found = functional.reshape(found, found.shape[:1])
    if embeddings.ndim != 2 or found.shape != embeddings.shape[:1]:
        raise ShapeError(
            "there must be one label for each row of embeddings",
            where="circle",
            got=f"labels {found.shape}, embeddings {embeddings.shape}",
            expected="labels (rows,), embeddings (rows, width)",
        )
    return found


def _eye(mask: Tensor) -> Tensor:
    return functional.eye(mask.shape[0], mask.shape[1], dtype="bool")


def _log_sum(x: Tensor, mask: Tensor) -> Tensor:
    return functional.logsumexp(functional.where(mask, x, -math.inf), axis=1)
