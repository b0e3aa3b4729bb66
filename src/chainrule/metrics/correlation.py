"""How predictions go along with labels."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.losses.shapes import align
from chainrule.functional.promotion import ArrayLike, Tensor
from chainrule.metrics.base import MetricOptions, Shape, State, divide, zeros
from chainrule.metrics.moments import OfMoments, merge_moments, row_weights
from chainrule.metrics.reduction import weighted

NAMES = ("weight", "mean_true", "mean_pred", "true", "both", "pred")


def pearson_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> Tensor:
    """`covariance / (deviation * deviation)` along `axis`; 0 where one is constant.

    Example:
        >>> pearson_correlation([[0.0, 1.0, 2.0]], [[5.0, 3.0, 1.0]]).numpy().round(4)
        array([-1.], dtype=float32)
    """
    true, both, predicted, _, _ = _moments(y_true, y_pred, axis)
    return _pearson(true, both, predicted)


def concordance_correlation(
    y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1
) -> Tensor:
    """`2 * covariance / (variance + variance + (mean - mean)**2)` along `axis`.

    Lin, "A concordance correlation coefficient to evaluate reproducibility", 1989.

    Example:
        >>> found = concordance_correlation([[0.0, 1.0, 2.0]], [[1.0, 2.0, 3.0]])
        >>> found.numpy().round(4)
        array([0.5714], dtype=float32)
    """
    true, both, predicted, mean, other = _moments(y_true, y_pred, axis)
    return divide(2.0 * both, true + predicted + functional.square(mean - other))


def _moments(
    y_true: ArrayLike, y_pred: ArrayLike, axis: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Variance, covariance, variance, mean and mean along `axis`."""
    true, predicted = align(y_true, y_pred)
    mean = functional.mean(true, axis=axis, keepdims=True)
    other = functional.mean(predicted, axis=axis, keepdims=True)
    a, b = true - mean, predicted - other
    products = (functional.mean(x, axis=axis) for x in (a * a, a * b, b * b))
    return (*products, functional.squeeze(mean, axis), functional.squeeze(other, axis))


def _pearson(true: Tensor, both: Tensor, predicted: Tensor) -> Tensor:
    return divide(both, functional.sqrt(true) * functional.sqrt(predicted))


class PearsonCorrelation(OfMoments):
    """The linear correlation of predictions and labels, from -1 to 1.

    Args:
        axis: -1 correlates along the numbers of each sample, and takes the mean of the
            samples, as in Keras. 0 correlates over all samples, whatever their
            batches, and takes the mean of the outputs: for a regression.
        **options: see `MetricOptions`.

    Example:
        >>> metric = PearsonCorrelation(axis=0)
        >>> metric.update_state([[1.0], [2.0]], [[2.0], [3.0]])
        >>> metric.update_state([[3.0]], [[5.0]])
        >>> round(metric.result().item(), 4)
        0.982
    """

    direction = "up"

    def __init__(self, axis: int = -1, **options: Unpack[MetricOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Learn how many outputs there are."""
        if self.axis == 0:
            super().build(y_true_shape, y_pred_shape)
        elif len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
            name = type(self).__name__
            raise ShapeError(
                "one number a sample cannot be correlated along the sample",
                where=self.name,
                got=f"predictions of shape {tuple(y_pred_shape)}, axis={self.axis}",
                expected="several numbers a sample, or axis=0",
                fix=f"{name}(axis=0) correlates over the samples",
            )

    def init(self) -> State:
        """Nothing seen."""
        if self.axis == 0:
            return {name: zeros(self.width()) for name in NAMES}
        return {"total": zeros(), "count": zeros()}

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Add the samples of a batch, weighted where weights are given."""
        if self.axis != 0:
            predicted = self.as_predictions(y_pred)
            values = self.along(y_true, predicted, self.axis)
            total, count = weighted(values, sample_weight)
            return {"total": state["total"] + total, "count": state["count"] + count}
        true, predicted = self.columns(y_true, y_pred)
        weights = row_weights(true, sample_weight)
        before = [state[name] for name in NAMES]
        merged = merge_moments(before, (true, predicted), weights)
        return dict(zip(NAMES, merged, strict=True))

    def along(self, y_true: Any, y_pred: Any, axis: int) -> Tensor:
        """The correlation of each sample."""
        return pearson_correlation(y_true, y_pred, axis)

    def over(self, state: State) -> Tensor:
        """The correlation of each output over the samples."""
        return _pearson(state["true"], state["both"], state["pred"])

    def compute(self, state: State) -> Tensor:
        """The mean of the correlations."""
        if self.axis == 0:
            return functional.mean(self.over(state))
        return divide(state["total"], state["count"])


class ConcordanceCorrelation(PearsonCorrelation):
    """The correlation that also asks for equal means and deviations.

    `2 * covariance / (variance + variance + (mean - mean)**2)`. Lin, 1989.

    Args:
        axis: as for `PearsonCorrelation`.
        **options: see `MetricOptions`.

    Example:
        >>> metric = ConcordanceCorrelation(axis=0)
        >>> round(metric([[0.0], [1.0], [2.0]], [[1.0], [2.0], [3.0]]).item(), 4)
        0.5714
    """

    def along(self, y_true: Any, y_pred: Any, axis: int) -> Tensor:
        """The correlation of each sample."""
        return concordance_correlation(y_true, y_pred, axis)

    def over(self, state: State) -> Tensor:
        """The correlation of each output over the samples."""
        apart = functional.square(state["mean_true"] - state["mean_pred"])
        spread = state["true"] + state["pred"] + state["weight"] * apart
        return divide(2.0 * state["both"], spread)
