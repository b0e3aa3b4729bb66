"""Running means and sums of squares, merged batch by batch without cancellation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.losses.shapes import align, line_up_weights
from chainrule.functional.promotion import Tensor
from chainrule.metrics.base import Metric, Shape, divide, unbuilt


class OfMoments(Metric):
    """Base of metrics whose state has a number for each output."""

    _width: int | None = None

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Learn how many outputs there are."""
        if len(y_pred_shape) > 2:
            raise ShapeError(
                "labels and predictions are vectors",
                where=self.name,
                got=f"predictions of shape {tuple(y_pred_shape)}",
                expected="(rows,) or (rows, outputs)",
            )
        self._width = y_pred_shape[1] if len(y_pred_shape) == 2 else 1

    def width(self) -> int:
        """How many outputs there are.

        Raises:
            ArgumentError: before that is known.
        """
        if self._width is None:
            raise unbuilt(self, "output")
        return self._width

    def columns(self, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
        """Labels and predictions in float64, of shape (rows, outputs)."""
        true, predicted = align(y_true, self.as_predictions(y_pred))
        shape = (true.shape[0], self.width())
        true, predicted = (functional.astype(x, "float64") for x in (true, predicted))
        return functional.reshape(true, shape), functional.reshape(predicted, shape)


def row_weights(values: Tensor, sample_weight: Any | None) -> Tensor:
    """A weight for each element of `values`, float64."""
    if sample_weight is None:
        return functional.ones(values.shape, dtype="float64")
    _, weights = line_up_weights(values, sample_weight)
    return functional.broadcast_to(weights, values.shape)


def merge_moments(
    before: Sequence[Tensor], values: Sequence[Tensor], weights: Tensor
) -> list[Tensor]:
    """Weight, means and centred sums of products, with one more batch.

    The sums of a batch are taken about its own mean, and merged with those before by
    the distance of the means: Chan, Golub and LeVeque, "Updating formulae", 1979.
    Sums of raw squares would lose the digits of labels far from 0.

    Args:
        before: the sum of the weights; the mean of each of `values`; the sum of the
            products of each pair of them, each with itself first: for `a, b` those of
            `aa, ab, bb`.
        values: one or two arrays of shape (rows, outputs).
        weights: of the same shape.
    """
    weight, *rest = before
    means, products = rest[: len(values)], rest[len(values) :]
    added = functional.sum(weights, axis=0)
    whole = weight + added
    own = [divide(functional.sum(weights * x, axis=0), added) for x in values]
    apart = [mine - mean for mine, mean in zip(own, means, strict=True)]
    centred = [x - mean for x, mean in zip(values, own, strict=True)]
    pairs = [(i, j) for i in range(len(values)) for j in range(i, len(values))]
    overlap = divide(weight * added, whole)
    merged = [
        product
        + functional.sum(weights * centred[i] * centred[j], axis=0)
        + apart[i] * apart[j] * overlap
        for product, (i, j) in zip(products, pairs, strict=True)
    ]
    share = divide(added, whole)
    moved = [mean + step * share for mean, step in zip(means, apart, strict=True)]
    return [whole, *moved, *merged]
