"""Counting samples by cells: what histograms, confusion matrices and curves rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import functional, ops
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.losses.shapes import line_up_weights, same_rank
from chainrule.functional.promotion import Tensor
from chainrule.ir.trace import constant

# Up to here comparing each sample with every cell is faster than one addition to its
# own: a comparison takes 0.12 ns of a core, an addition 2.9.
COMPARED = 20


def count_cells(counts: Tensor, cells: Tensor, weights: Tensor | None) -> Tensor:
    """`counts` with each sample's weight added at its cell.

    Args:
        counts: a sum for each cell, float64.
        cells: int64, the cell of each sample, from 0.
        weights: a weight for each sample; 1 by default.

    Example:
        >>> from chainrule.metrics.base import zeros
        >>> count_cells(zeros(3), functional.asarray([2, 0, 2]), None).tolist()
        [1.0, 0.0, 2.0]
    """
    cells = functional.reshape(cells, (cells.size,))
    if weights is None:
        weights = functional.ones(cells.shape, dtype="float64")
    else:
        weights = functional.astype(functional.reshape(weights, cells.shape), "float64")
    if counts.size > COMPARED:
        return ops.scatter_add(counts, cells, weights, axis=0)
    places = functional.arange(counts.size, dtype="int64")
    own = functional.where(cells[None, :] == places[:, None], weights[None, :], 0.0)
    return counts + functional.sum(own, axis=1)


def spread_weights(values: Tensor, sample_weight: Any | None) -> Tensor | None:
    """A weight for each element of `values`; None where all count alike.

    Raises:
        ShapeError: when there is not one weight per sample.
    """
    if sample_weight is None:
        return None
    lined, weights = line_up_weights(values, sample_weight)
    spread = functional.broadcast_to(weights, lined.shape)
    return functional.reshape(spread, values.shape)


def labels_like(y_true: Any, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Yes-or-no labels as booleans, and predictions, of equal shapes.

    A label above 0.5 is a yes.

    Raises:
        ShapeError: when the shapes differ.
    """
    true, predicted = same_rank(functional.asarray(y_true), predicted)
    if true.shape != predicted.shape:
        raise ShapeError(
            "labels and predictions differ in shape",
            where="metrics",
            got=f"y_true {true.shape}, y_pred {predicted.shape}",
            expected="equal shapes",
        )
    yes = (
        true if str(true.dtype) == "bool" else functional.astype(true, "float32") > 0.5
    )
    return yes, predicted


def levels_passed(predicted: Tensor, thresholds: Sequence[float]) -> Tensor:
    """How many of the ascending thresholds each prediction is above, int64.

    Not-a-number is above none.
    """
    levels = np.asarray(thresholds, predicted.dtype.numpy)
    if len(levels) > COMPARED:
        known = functional.where(predicted == predicted, predicted, float("-inf"))
        return functional.searchsorted(constant(levels), known)
    above = predicted[..., None] > constant(levels)
    return functional.sum(functional.astype(above, "int64"), axis=-1)


def check_thresholds(
    thresholds: float | Sequence[float], where: str
) -> tuple[float, ...]:
    """Thresholds in ascending order.

    Raises:
        ArgumentError: for one that is not from 0 to 1.
    """
    several = isinstance(thresholds, Sequence)
    found = list(thresholds) if isinstance(thresholds, Sequence) else [thresholds]
    if not found or any(t is None or not 0 <= t <= 1 for t in found):
        raise ArgumentError(
            "thresholds lie between the probabilities",
            where=where,
            got=f"thresholds={thresholds!r}",
            expected="numbers from 0 to 1" if several else "a number from 0 to 1",
        )
    return tuple(found)


def exceeding(counts: Tensor) -> Tensor:
    """Along the last axis, for each threshold the sum of the cells above it.

    Cell `i` counts what is above `i` thresholds; there is one cell more than
    thresholds.

    Example:
        >>> exceeding(functional.asarray([5.0, 2.0, 1.0])).tolist()
        [3.0, 1.0]
    """
    turned = functional.flip(counts, axis=-1)
    summed = functional.cumulative_sum(turned, axis=-1)
    return functional.flip(summed, axis=-1)[..., 1:]
