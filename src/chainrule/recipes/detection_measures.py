"""How well objects are found in annotated pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.annotations import Annotations
from chainrule.metrics import DetectionReport, MeanAveragePrecision
from chainrule.recipes.detection_use import Found

Array = np.ndarray[Any, Any]

USUAL_SCORE = 0.3  # from which boxes are shown, where nothing was measured


@dataclass(frozen=True)
class Balance:
    """The point of a class's curve where precision and recall go best together.

    Attributes:
        score: boxes from here on count.
        precision: the share of them that are right.
        recall: the share of the objects that they find.
    """

    score: float
    precision: float
    recall: float


def measure(annotations: Annotations, found: Sequence[Found]) -> DetectionReport:
    """The figures of COCO for what was found in the pictures, one by one."""
    metric = MeanAveragePrecision(class_names=annotations.class_names)
    truth = [
        {
            "boxes": picture.boxes,
            "labels": picture.labels,
            "crowd": picture.crowd,
            "difficult": picture.difficult,
        }
        for picture in annotations.pictures
    ]
    metric.update_state(truth, [vars(each) for each in found])
    return metric.report()


def balance(report: DetectionReport, label: int) -> Balance | None:
    """Where `2 * precision * recall / (precision + recall)` of a class is largest.

    Boxes are right from an overlap of one half on. None for a class without objects.
    """
    curve = report.curve(label)
    precision, recall = curve["precision"], curve["recall"]
    if precision.max() < 0:
        return None
    both = precision * recall / np.maximum(precision + recall, 1e-9)
    at = int(both.argmax())
    return Balance(float(curve["score"][at]), float(precision[at]), float(recall[at]))


def fair_scores(report: DetectionReport) -> list[float]:
    """The score of each class where it is balanced: from there on boxes are shown."""
    found = [balance(report, label) for label in report.classes]
    return [
        round(each.score, 3) if each is not None and each.precision > 0 else USUAL_SCORE
        for each in found
    ]


def scores_of(network: Any) -> Array:
    """From which score on a network's boxes are shown, for each class."""
    names = network.notes["class_names"]
    return np.asarray(network.notes.get("scores", [USUAL_SCORE] * len(names)))
