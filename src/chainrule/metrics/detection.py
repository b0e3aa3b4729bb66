"""Average precision of detected objects, by COCO's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.boxes import convert_format
from chainrule.configurable import Configurable
from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.metrics.matching import Matches, Predictions, Truth, match

Array = np.ndarray[Any, Any]
Pictures = Sequence[Mapping[str, Any]] | Mapping[str, Any]

BOOLS = ("crowd", "difficult")
ABSENT = -1.0  # a figure of something that does not occur
SMALL, LARGE, ENDLESS = 32.0**2, 96.0**2, 1e5**2
AREAS = {
    "all": (0.0, ENDLESS),
    "small": (0.0, SMALL),
    "medium": (SMALL, LARGE),
    "large": (LARGE, ENDLESS),
}


@dataclass(frozen=True)
class DetectionReport:
    """How well objects were found.

    Attributes:
        figures: the twelve figures of COCO by name, from 0 to 1; -1 where there are no
            such objects.
        by_class: for each class `AP`, `AP50`, `AP75`, `AR100`, and the numbers of
            `objects` and `predictions`.
        precision: `(thresholds, recalls, classes, areas)`, the precision at each
            recall; -1 for classes without objects.
        recall: `(thresholds, classes, areas, limits)`, the recall with at most so many
            predictions for a picture and class.
        scores: as `precision`: the least score of the predictions counted there.
        classes: the label of each class.
        iou_thresholds: the least overlaps.
        recall_thresholds: the recalls of `precision`.
    """

    figures: dict[str, float]
    by_class: dict[str, dict[str, float]]
    precision: Array
    recall: Array
    scores: Array
    classes: list[int]
    iou_thresholds: Array
    recall_thresholds: Array

    def curve(self, label: int, iou_threshold: float = 0.5) -> dict[str, Array]:
        """`recall`, `precision` and `score` along the curve of a class.

        Raises:
            ArgumentError: for a class or a threshold that was not evaluated.
        """
        near = np.isclose(self.iou_thresholds, iou_threshold)
        if label not in self.classes or not near.any():
            raise ArgumentError(
                "there is no such curve",
                where="curve",
                got=f"label={label}, iou_threshold={iou_threshold}",
                expected=f"one of {self.classes}, one of {self.iou_thresholds}",
            )
        at = int(np.flatnonzero(near)[0]), slice(None), self.classes.index(label), 0
        return {
            "recall": self.recall_thresholds,
            "precision": self.precision[at],
            "score": self.scores[at],
        }


class MeanAveragePrecision(Configurable):
    """Mean average precision of boxes, equal to that of COCO's own program.

    Predictions of a picture and class choose objects, the best score first; what finds
    an object not yet found, with at least the overlap asked for, is right. Average
    precision is the mean of the precision at recalls 0, 0.01, ..., 1; it is averaged
    over classes and, as `AP`, over the overlaps 0.5, 0.55, ..., 0.95. Lin et al., arXiv
    1405.0312.

    It is computed on the host, from whole pictures: it is no metric for `compile`.

    Args:
        class_names: names of the classes in reports; their numbers by default.
        iou_thresholds: the least overlaps; COCO's ten by default.
        recall_thresholds: where precision is read; COCO's 101 by default.
        max_detections: how many predictions of a picture and class count at most; three
            numbers, of which the last holds for precision.
        bounding_box_format: of all boxes; see `chainrule.boxes.convert_format`. A
            relative one has no small, medium and large: give pixels.
        name: the name in reports.

    Raises:
        ArgumentError: when there are not three limits, or no thresholds.

    Example:
        >>> truth = {"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "labels": [0, 0]}
        >>> found = {"boxes": [[0, 0, 10, 9]], "scores": [0.8], "labels": [0]}
        >>> metric = MeanAveragePrecision()
        >>> metric.update_state([truth], [found])
        >>> round(metric.result()["AP50"], 4)
        0.505
    """

    direction = "up"

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        iou_thresholds: Sequence[float] | None = None,
        recall_thresholds: Sequence[float] | None = None,
        max_detections: Sequence[int] = (1, 10, 100),
        bounding_box_format: str = "xyxy",
        name: str | None = None,
    ) -> None:
        self.class_names = class_names
        self.iou_thresholds = iou_thresholds
        self.recall_thresholds = recall_thresholds
        self.max_detections = max_detections
        self.bounding_box_format = bounding_box_format
        self.name = name or self.default_name()
        empty = any(
            x is not None and not len(x) for x in (iou_thresholds, recall_thresholds)
        )
        if len(max_detections) != 3 or min(max_detections) < 1 or empty:
            raise ArgumentError(
                "three limits and some thresholds are needed",
                where=self.name,
                got=f"max_detections={max_detections}, "
                f"iou_thresholds={iou_thresholds}, "
                f"recall_thresholds={recall_thresholds}",
                fix="max_detections=(1, 10, 100)",
            )
        self.reset_state()

    def reset_state(self) -> None:
        """Forget all pictures."""
        self._truth: list[dict[str, Array]] = []
        self._predictions: list[dict[str, Array]] = []

    def update_state(self, y_true: Pictures, y_pred: Pictures) -> None:
        """Take pictures into account.

        Args:
            y_true: for each picture a dict of `boxes` `(n, 4)` and `labels` `(n,)`, and
                perhaps `crowd` (bool), `difficult` (bool), `areas` (of masks, where
                these decide what is small). Or one dict of arrays for all pictures, in
                which boxes with label -1 are padding.
            y_pred: likewise `boxes`, `labels` and `scores`.

        Raises:
            ShapeError: when pictures, boxes, labels or scores differ in number.
            DataError: when a box or a score is not a finite number, or something is
                missing.
        """
        truth, predictions = _pictures(y_true), _pictures(y_pred)
        if len(truth) != len(predictions):
            raise ShapeError(
                "there must be one prediction for each picture",
                where=self.name,
                got=f"{len(truth)} pictures, {len(predictions)} predictions",
            )
        source = self.bounding_box_format.lower().removeprefix("rel_")
        made = [_check_truth(x, source, self.name) for x in truth]
        self._predictions += [_check_found(x, source, self.name) for x in predictions]
        self._truth += made

    def result(self) -> dict[str, float]:
        """The twelve figures: `AP`, `AP50`, `AP75`, and `AP` of small, medium and large
        objects; `AR1`, `AR10`, `AR100`, and `AR` of the three sizes.

        `AR10` is the recall with at most 10 predictions for a picture and class,
        averaged as `AP` is.
        """
        return self.report().figures

    def report(self) -> DetectionReport:
        """All figures, those of each class, and the curves."""
        iou = np.asarray(
            np.linspace(0.5, 0.95, 10)
            if self.iou_thresholds is None
            else self.iou_thresholds,
            "float64",
        )
        recalls = np.asarray(
            np.linspace(0.0, 1.0, 101)
            if self.recall_thresholds is None
            else self.recall_thresholds,
            "float64",
        )
        limits = sorted(self.max_detections)
        classes = self._classes()
        truth, found = self._sorted(classes, limits[-1])
        ranges = np.asarray(list(AREAS.values()))
        matches = match(found, truth, ranges, iou)
        sums = _Accumulated(iou, recalls, limits, len(classes))
        for place in range(len(classes)):
            sums.add(place, matches, truth, found, len(self._truth))
        names = [self._class_name(label) for label in classes]
        return DetectionReport(
            sums.figures(),
            {x: sums.class_figures(i) for i, x in enumerate(names)},
            sums.precision,
            sums.recall,
            sums.scores,
            classes,
            iou,
            recalls,
        )

    def _classes(self) -> list[int]:
        """The classes that occur, and those that have names."""
        labels = [x["labels"] for x in (*self._truth, *self._predictions)]
        named = np.arange(len(self.class_names or ()))
        return np.unique(np.concat([named, *labels])).astype(int).tolist()

    def _class_name(self, label: int) -> str:
        names = self.class_names or ()
        return names[label] if 0 <= label < len(names) else str(label)

    def _sorted(self, classes: list[int], limit: int) -> tuple[Truth, Predictions]:
        """All objects and predictions, sorted by class, then picture, then score."""
        truth, found = _joined(self._truth), _joined(self._predictions)
        count = len(self._truth)
        for part in (truth, found):
            place = np.searchsorted(classes, part["labels"])
            part["group"] = place * count + part["picture"]
        order = np.argsort(truth["group"], kind="stable")
        truth = {name: part[order] for name, part in truth.items()}
        order = np.lexsort((-found["scores"], found["group"]))
        group = found["group"][order]
        rank = np.arange(len(group)) - np.searchsorted(group, group, "left")
        order, rank = order[rank < limit], rank[rank < limit]
        found = {name: part[order] for name, part in found.items()}
        return (
            Truth(
                truth["group"],
                truth["boxes"],
                truth["areas"],
                truth["crowd"],
                truth["difficult"],
            ),
            Predictions(
                found["group"], found["boxes"], found["areas"], found["scores"], rank
            ),
        )


class _Accumulated:
    """Precision and recall of each class, and the figures made of them."""

    def __init__(
        self, iou: Array, recalls: Array, limits: Sequence[int], classes: int
    ) -> None:
        self.iou, self.recalls, self.limits = iou, recalls, limits
        areas = len(AREAS)
        self.precision = np.full((len(iou), len(recalls), classes, areas), ABSENT)
        self.scores = self.precision.copy()
        self.recall = np.full((len(iou), classes, areas, len(limits)), ABSENT)
        self.objects = np.zeros(classes)
        self.predictions = np.zeros(classes)

    def add(
        self,
        place: int,
        matches: Matches,
        truth: Truth,
        found: Predictions,
        pictures: int,
    ) -> None:
        """Take the class at `place` into account."""
        ends = (place * pictures, (place + 1) * pictures)
        objects = slice(*np.searchsorted(truth.group, ends))
        predicted = slice(*np.searchsorted(found.group, ends))
        score, rank = found.score[predicted], found.rank[predicted]
        order = np.argsort(-score, kind="stable")
        self.predictions[place] = len(order)
        for area in range(len(AREAS)):
            count = int(matches.counted[area, objects].sum())
            if area == 0:
                self.objects[place] = count
            if not count:
                continue
            counts = ~matches.ignored[area, :, predicted]
            hits = matches.found[area, :, predicted]
            right, wrong = hits & counts, ~hits & counts
            for i, limit in enumerate(self.limits):
                within = right[:, rank < limit].sum(-1)
                self.recall[:, place, area, i] = within / count
            precision, reached = _curve(
                right[:, order], wrong[:, order], count, self.recalls
            )
            self.precision[:, :, place, area] = precision
            self.scores[:, :, place, area] = np.append(score[order], 0)[reached]

    def figures(self) -> dict[str, float]:
        """The twelve figures of COCO."""
        named = {"AP": self._precision()}
        named |= {f"AP{round(100 * x)}": self._precision(iou=x) for x in (0.5, 0.75)}
        for i, area in list(enumerate(AREAS))[1:]:
            named[f"AP_{area}"] = self._precision(area=i)
        for i, limit in enumerate(self.limits):
            named[f"AR{limit}"] = _mean(self.recall[:, :, 0, i])
        for i, area in list(enumerate(AREAS))[1:]:
            named[f"AR_{area}"] = _mean(self.recall[:, :, i, -1])
        return named

    def class_figures(self, place: int) -> dict[str, float]:
        """The figures of one class."""
        one = slice(place, place + 1)
        return {
            "AP": self._precision(one),
            "AP50": self._precision(one, iou=0.5),
            "AP75": self._precision(one, iou=0.75),
            f"AR{self.limits[-1]}": _mean(self.recall[:, one, 0, -1]),
            "objects": float(self.objects[place]),
            "predictions": float(self.predictions[place]),
        }

    def _precision(
        self, classes: slice = slice(None), area: int = 0, iou: float | None = None
    ) -> float:
        at = slice(None) if iou is None else np.isclose(self.iou, iou)
        return _mean(self.precision[at, :, classes, area])


def _mean(values: Array) -> float:
    """The mean of what there is; -1 of nothing."""
    there = values[values > ABSENT]
    return float(there.mean()) if there.size else ABSENT


def _curve(
    right: Array, wrong: Array, count: int, recalls: Array
) -> tuple[Array, Array]:
    """The best precision at each recall or beyond, and after how many predictions.

    Args:
        right: `(thresholds, n)`, the best prediction first.
        wrong: of the same shape.
        count: how many objects there are.
        recalls: the recalls asked for.

    Returns:
        Precision `(thresholds, recalls)`, and the place of the prediction that reaches
        the recall: `n`, with a precision of 0, where none does.
    """
    hits = np.cumsum(right, axis=-1).astype(float)
    misses = np.cumsum(wrong, axis=-1).astype(float)
    precision = hits / (misses + hits + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=-1)[:, ::-1]
    best = np.concat([best, np.zeros((len(best), 1))], axis=-1)
    recall = hits / count
    reached = np.stack([np.searchsorted(row, recalls, side="left") for row in recall])
    return np.take_along_axis(best, reached, axis=-1), reached


def _pictures(given: Pictures) -> list[Mapping[str, Any]]:
    """One dict for each picture, of one dict for all as well."""
    if not isinstance(given, Mapping):
        return list(given)
    parts = {name: _numpy(part) for name, part in given.items() if name != "counts"}
    labels = parts.get("labels")
    if labels is None or labels.ndim != 2:
        raise ShapeError(
            "one dict for all pictures needs labels with an axis for the pictures",
            where="MeanAveragePrecision",
            got=None if labels is None else labels.shape,
            expected="(pictures, n); or a list with a dict for each picture",
        )
    return [
        {name: part[i][row >= 0] for name, part in parts.items()}
        for i, row in enumerate(labels)
    ]


def _numpy(value: Any) -> Array:
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def _check_truth(given: Mapping[str, Any], source: str, where: str) -> dict[str, Array]:
    made = _check_boxes(given, source, where)
    count = len(made["labels"])
    for name in BOOLS:
        made[name] = _column(given.get(name, np.zeros(count)), count, name, where) != 0
    if given.get("areas") is not None:
        made["areas"] = _column(given["areas"], count, "areas", where)
    return made


def _check_found(given: Mapping[str, Any], source: str, where: str) -> dict[str, Array]:
    made = _check_boxes(given, source, where)
    if "scores" not in given:
        raise DataError("predictions need scores", where=where, got=sorted(given))
    made["scores"] = _column(given["scores"], len(made["labels"]), "scores", where)
    return made


def _check_boxes(given: Mapping[str, Any], source: str, where: str) -> dict[str, Array]:
    missing = [name for name in ("boxes", "labels") if name not in given]
    if missing:
        raise DataError(
            "boxes and labels are needed for each picture",
            where=where,
            got=sorted(given),
        )
    boxes = _numpy(given["boxes"]).astype("float64")
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    labels = _numpy(given["labels"])
    if boxes.ndim != 2 or labels.shape != boxes.shape[:1]:
        raise ShapeError(
            "boxes and labels of a picture differ in number",
            where=where,
            got=f"boxes {boxes.shape}, labels {labels.shape}",
            expected="(n, 4) and (n,)",
        )
    corners = convert_format(boxes, source, "xyxy")
    size = corners[:, 2:] - corners[:, :2]
    if not np.isfinite(corners).all() or (size < 0).any():
        bad = int(
            np.flatnonzero(~((size >= 0).all(-1) & np.isfinite(corners).all(-1)))[0]
        )
        raise DataError(
            "a box is not finite, or ends before it begins",
            where=where,
            got=f"box {bad}: {boxes[bad].tolist()}",
            expected=source,
        )
    areas = size[:, 0] * size[:, 1]
    return {"boxes": corners, "labels": labels.astype("int64"), "areas": areas}


def _column(values: Any, count: int, name: str, where: str) -> Array:
    column = _numpy(values).astype("float64")
    if column.shape != (count,):
        raise ShapeError(
            f"there must be one of {name} for each box",
            where=where,
            got=column.shape,
            expected=(count,),
        )
    if not np.isfinite(column).all():
        raise DataError(f"{name} must be finite numbers", where=where, got=values)
    return column


def _joined(pictures: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """The columns of all pictures in one, and the picture of each row."""
    empty = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, "int64")}
    names = (
        pictures[0] if pictures else (*empty, "areas", "scores", "crowd", "difficult")
    )
    columns = {
        name: np.concat([x[name] for x in pictures])
        if pictures
        else empty.get(name, np.zeros(0, bool if name in BOOLS else float))
        for name in names
    }
    counts = [len(x["labels"]) for x in pictures]
    columns["picture"] = np.repeat(np.arange(len(pictures)), counts)
    return columns
