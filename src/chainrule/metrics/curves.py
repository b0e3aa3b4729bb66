"""What is read off a curve over all thresholds: areas, and best points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError, DataError
from chainrule.functional.promotion import Tensor
from chainrule.metrics.base import (
    Metric,
    MetricOptions,
    Shape,
    State,
    divide,
    unbuilt,
    zeros,
)
from chainrule.metrics.counting import (
    check_thresholds,
    count_cells,
    exceeding,
    labels_like,
    levels_passed,
    spread_weights,
)

Counts = tuple[Tensor, Tensor, Tensor, Tensor]


class Curve(Metric):
    """Base of metrics of a curve: predictions counted between thresholds from 0 to 1.

    The state holds, for each column and for labels of no and of yes, how many
    predictions lie between two thresholds, and in its last cells what is no
    probability: the value of a metric that has seen such is refused.

    Attributes:
        levels: the inner thresholds, in ascending order.
        even: whether they divide the range from 0 to 1 evenly.
        columns: how many columns are counted apart; None for all together.
        lowest: what a probability of 0 counts as: above no threshold, or above the
            lowest, as where that lies a little below 0.
    """

    levels: Sequence[float] = ()
    even = True
    columns: int | None = None
    lowest = 0

    @property
    def cells(self) -> int:
        """Cells for each column and label: one for each number of thresholds passed."""
        return len(self.levels) + 4

    def init(self) -> State:
        """Nothing seen."""
        return {"counts": zeros((self.columns or 1) * 2 * self.cells)}

    def add(
        self, state: State, yes: Tensor, predicted: Tensor, weights: Tensor | None
    ) -> State:
        """The state with labels, probabilities and weights of one shape added."""
        inside = functional.logical_and(predicted >= 0.0, predicted <= 1.0)
        safe = functional.where(inside, predicted, 0.0)
        cells = functional.where(inside, self._passed(safe), self.cells - 1)
        cells = cells + functional.where(yes, self.cells, 0)
        if self.columns is not None:
            column = functional.arange(self.columns, dtype="int64") * (2 * self.cells)
            cells = cells + column[None, :]
        return {"counts": count_cells(state["counts"], cells, weights)}

    def _passed(self, probability: Tensor) -> Tensor:
        """How many thresholds each is above, those at the ends included."""
        count = len(self.levels) + 1
        if self.even:
            scaled = functional.ceil(probability * float(count))
            passed = functional.astype(scaled, "int64")
        else:
            passed = 1 + levels_passed(probability, self.levels)
        return functional.maximum(passed, self.lowest)

    def rates(self, state: State) -> Counts:
        """True and false positives, true and false negatives, at each threshold.

        The thresholds stand on the last axis, after that of the columns.

        Raises:
            DataError: when a prediction was no probability.
        """
        shape = (*(() if self.columns is None else (self.columns,)), 2, self.cells)
        counts = functional.reshape(state["counts"], shape)
        outside = functional.sum(counts[..., -1])
        if outside.data is not None and outside.item() > 0:
            raise DataError(
                "predictions must be probabilities",
                where=self.name,
                got=f"{outside.item():g} outside of 0 to 1, or not numbers",
                expected="numbers from 0 to 1",
                fix=self.remedy(),
            )
        sides = counts[..., :-1]
        positives = exceeding(sides)
        negatives = functional.sum(sides, axis=-1, keepdims=True) - positives
        yes, no = (..., 1, slice(None)), (..., 0, slice(None))
        return positives[yes], positives[no], negatives[no], negatives[yes]

    def remedy(self) -> str:
        """The corrected line for predictions that are no probabilities."""
        return "end the network with activation='sigmoid' or 'softmax'"


def even_levels(num_thresholds: int) -> list[float]:
    """Thresholds that divide the range from 0 to 1, without its ends."""
    return [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]


class AUC(Curve):
    """The area under a curve, from predictions counted between thresholds.

    As many thresholds as `num_thresholds`, evenly from 0 to 1, or those given, and one
    at each end. Of the predictions between two neighbours the order is not kept. With
    interpolation, the area under the ROC curve is wrong by at most
    `sum(p * n) / (2 * P * N)`, where `p` and `n` count the positives and negatives
    between two neighbours, `P` and `N` all of them; 200 thresholds serve predictions
    that are spread out. `ExactAUC` keeps the order.

    Args:
        num_thresholds: how many thresholds.
        curve: `ROC`: true positives over false positives. `PR`: precision over recall.
            `PRGAIN`: their gains over guessing (Flach and Kull, 2015).
        summation_method: `interpolation` takes the middle of each piece of the curve
            (for `PR`, the interpolation of Davis and Goadrich, 2006), `minoring` its
            lower end, `majoring` its upper.
        thresholds: the thresholds between 0 and 1, instead of `num_thresholds`.
        multi_label: whether each column has a curve of its own; the value is then the
            mean of the areas.
        num_labels: the number of columns; that of the predictions by default.
        label_weights: how much each column counts.
        from_logits: whether predictions are logits.
        **options: see `MetricOptions`.

    Example:
        >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).item()
        0.75
    """

    direction = "up"
    lowest = 1

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        self.num_thresholds = num_thresholds
        self.curve = _one_of("curve", curve, ("ROC", "PR", "PRGAIN"), str.upper)
        self.summation_method = _one_of(
            "summation_method",
            summation_method,
            ("interpolation", "minoring", "majoring"),
            str.lower,
        )
        self.thresholds = thresholds
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = label_weights
        self.from_logits = from_logits
        self.columns = num_labels
        if thresholds is not None:
            self.even = False
            self.levels = sorted(check_thresholds(list(thresholds), "AUC"))
        else:
            _check_count(num_thresholds, 2)
            self.levels = even_levels(num_thresholds)
        if num_labels is not None and not multi_label:
            raise ArgumentError(
                "columns are counted together unless the labels are many",
                where="AUC",
                got=f"num_labels={num_labels}, multi_label=False",
                fix=f"AUC(multi_label=True, num_labels={num_labels})",
            )

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Learn how many columns there are."""
        if self.multi_label and self.num_labels is None:
            self.columns = y_pred_shape[-1] if len(y_pred_shape) == 2 else None
            if self.columns is None:
                raise ArgumentError(
                    "many labels are columns of predictions",
                    where=self.name,
                    got=f"predictions of shape {tuple(y_pred_shape)}",
                    expected="(rows, labels)",
                )

    def init(self) -> State:
        """Nothing seen."""
        if self.multi_label and self.columns is None:
            raise unbuilt(self, "label", "num_labels")
        return super().init()

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Count the predictions of a batch, weighted where weights are given."""
        predicted = self.as_predictions(y_pred)
        if self.from_logits:
            predicted = functional.sigmoid(predicted)
        yes, predicted = labels_like(y_true, predicted)
        weights = spread_weights(predicted, sample_weight)
        if self.label_weights is not None and not self.multi_label:
            each = functional.asarray(list(self.label_weights), dtype="float64")
            each = functional.broadcast_to(each, predicted.shape)
            weights = each if weights is None else each * weights
        return self.add(state, yes, predicted, weights)

    def compute(self, state: State) -> Tensor:
        """The area; the mean of the areas for many labels."""
        counts = self.rates(state)
        if (self.curve, self.summation_method) == ("PR", "interpolation"):
            pieces = _precision_recall_pieces(*counts)
        else:
            pieces = self._pieces(*_curve_points(self.curve, *counts))
        areas = functional.sum(pieces, axis=-1)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return functional.mean(areas)
        each = functional.asarray(list(self.label_weights), dtype="float64")
        return divide(functional.sum(areas * each), functional.sum(each))

    def _pieces(self, x: Tensor, y: Tensor) -> Tensor:
        """The area of each piece between two points."""
        before, after = y[..., :-1], y[..., 1:]
        if self.summation_method == "interpolation":
            heights = (before + after) / 2.0
        elif self.summation_method == "minoring":
            heights = functional.minimum(before, after)
        else:
            heights = functional.maximum(before, after)
        return (x[..., :-1] - x[..., 1:]) * heights

    def remedy(self) -> str:
        """The corrected line for predictions that are no probabilities."""
        return "AUC(from_logits=True), where the predictions are logits"


def _one_of(name: str, given: str, allowed: Sequence[str], spell: Any) -> str:
    found: str = spell(given)
    if found not in allowed:
        raise ArgumentError(
            f"unknown {name}",
            where="AUC",
            got=f"{name}={given!r}",
            expected=", ".join(map(repr, allowed)),
        )
    return found


def _check_count(num_thresholds: int, least: int) -> None:
    if num_thresholds < least:
        raise ArgumentError(
            "too few thresholds",
            got=f"num_thresholds={num_thresholds}",
            expected=f"num_thresholds >= {least}",
        )


def _curve_points(
    curve: str, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor
) -> tuple[Tensor, Tensor]:
    """Abscissa and ordinate of the curve at each threshold."""
    recall = divide(tp, tp + fn)
    if curve == "ROC":
        return divide(fp, fp + tn), recall
    if curve == "PR":
        return recall, divide(tp, tp + fp)
    odds = divide(tp + fn, tn + fp)
    none = tp == 0
    recall_gain = functional.where(none, 0.0, 1.0 - odds * divide(fn, tp))
    precision_gain = functional.where(none, 1.0, 1.0 - odds * divide(fp, tp))
    return functional.maximum(recall_gain, 0.0), precision_gain


def _precision_recall_pieces(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    """Areas under pieces along which true positives grow linearly with positives."""
    positives = tp + fp
    more, less = positives[..., :-1], positives[..., 1:]
    gained = tp[..., :-1] - tp[..., 1:]
    slope = divide(gained, more - less)
    intercept = tp[..., 1:] - slope * less
    both = functional.logical_and(more > 0, less > 0)
    ratio = functional.where(both, divide(more, less), 1.0)
    area = slope * (gained + intercept * functional.log(ratio))
    return divide(area, (tp + fn)[..., 1:])


class BestPoint(Curve):
    """Base of metrics that look for the best of one rate where another is high enough.

    Args:
        num_thresholds: how many thresholds are tried, evenly from 0 to 1.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.
    """

    direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        class_id: int | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(**options)
        _check_count(num_thresholds, 1)
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        if num_thresholds == 1:
            self.even, self.levels = False, [0.5]
        else:
            self.levels = even_levels(num_thresholds)

    def update(
        self, state: State, y_true: Any, y_pred: Any, sample_weight: Any | None = None
    ) -> State:
        """Count the predictions of a batch, weighted where weights are given."""
        yes, predicted = labels_like(y_true, self.as_predictions(y_pred))
        weights = spread_weights(predicted, sample_weight)
        if self.class_id is not None:
            column = (..., self.class_id)
            yes, predicted = yes[column], predicted[column]
            weights = None if weights is None else weights[column]
        return self.add(state, yes, predicted, weights)

    def bound_and_value(
        self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor
    ) -> tuple[Tensor, float, Tensor]:
        """The rate that must be high enough, how high, and the one to be best."""
        raise NotImplementedError

    def compute(self, state: State) -> Tensor:
        """The best value; 0 where the bound is never reached."""
        counts: Any = self.rates(state)
        if self.num_thresholds == 1:  # no thresholds at the ends
            counts = [count[1:2] for count in counts]
        rate, least, value = self.bound_and_value(*counts)
        return functional.max(functional.where(rate >= least, value, 0.0))


def _check_rate(name: str, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ArgumentError(
            "a rate lies between 0 and 1", got=f"{name}={rate}", expected="0 to 1"
        )


class SensitivityAtSpecificity(BestPoint):
    """The best sensitivity at thresholds where the specificity is at least that given.

    Args:
        specificity: the specificity to be reached.
        num_thresholds: how many thresholds are tried, evenly from 0 to 1.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.

    Example:
        >>> metric = SensitivityAtSpecificity(0.5)
        >>> metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]).item()
        0.5
    """

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(num_thresholds, class_id, **options)
        _check_rate("specificity", specificity)
        self.specificity = specificity

    def bound_and_value(
        self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor
    ) -> tuple[Tensor, float, Tensor]:
        """Specificity bounds sensitivity."""
        return divide(tn, tn + fp), self.specificity, divide(tp, tp + fn)


class SpecificityAtSensitivity(BestPoint):
    """The best specificity at thresholds where the sensitivity is at least that given.

    Args:
        sensitivity: the sensitivity to be reached.
        num_thresholds: how many thresholds are tried, evenly from 0 to 1.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.

    Example:
        >>> metric = SpecificityAtSensitivity(0.5)
        >>> round(metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]).item(), 4)
        0.6667
    """

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(num_thresholds, class_id, **options)
        _check_rate("sensitivity", sensitivity)
        self.sensitivity = sensitivity

    def bound_and_value(
        self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor
    ) -> tuple[Tensor, float, Tensor]:
        """Sensitivity bounds specificity."""
        return divide(tp, tp + fn), self.sensitivity, divide(tn, tn + fp)


class PrecisionAtRecall(BestPoint):
    """The best precision at thresholds where the recall is at least that given.

    Args:
        recall: the recall to be reached.
        num_thresholds: how many thresholds are tried, evenly from 0 to 1.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.

    Example:
        >>> metric = PrecisionAtRecall(0.5)
        >>> metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]).item()
        0.5
    """

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(num_thresholds, class_id, **options)
        _check_rate("recall", recall)
        self.recall = recall

    def bound_and_value(
        self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor
    ) -> tuple[Tensor, float, Tensor]:
        """Recall bounds precision."""
        return divide(tp, tp + fn), self.recall, divide(tp, tp + fp)


class RecallAtPrecision(BestPoint):
    """The best recall at thresholds where the precision is at least that given.

    Args:
        precision: the precision to be reached.
        num_thresholds: how many thresholds are tried, evenly from 0 to 1.
        class_id: only this column of labels and predictions is looked at.
        **options: see `MetricOptions`.

    Example:
        >>> metric = RecallAtPrecision(0.5)
        >>> metric([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]).item()
        1.0
    """

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        **options: Unpack[MetricOptions],
    ) -> None:
        super().__init__(num_thresholds, class_id, **options)
        _check_rate("precision", precision)
        self.precision = precision

    def bound_and_value(
        self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor
    ) -> tuple[Tensor, float, Tensor]:
        """Precision bounds recall."""
        return divide(tp, tp + fp), self.precision, divide(tp, tp + fn)
