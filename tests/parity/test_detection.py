"""Average precision against COCO's own program."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from chainrule.metrics import MeanAveragePrecision

coco = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")

Array = np.ndarray[Any, Any]
Pictures = list[dict[str, Any]]


def theirs(truth: Pictures, found: Pictures, classes: int) -> tuple[Array, Any]:
    """The twelve figures and the curves of pycocotools; ids begin at 1 there."""
    rows, results = [], []
    for picture, (objects, predictions) in enumerate(zip(truth, found, strict=True)):
        for i, box in enumerate(np.asarray(objects["boxes"], "float64").tolist()):
            size = [box[2] - box[0], box[3] - box[1]]
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": picture + 1,
                    "category_id": int(objects["labels"][i]) + 1,
                    "bbox": box[:2] + size,
                    "area": float(objects.get("areas", {i: size[0] * size[1]})[i]),
                    "iscrowd": int(objects["crowd"][i]),
                }
            )
        for i, box in enumerate(np.asarray(predictions["boxes"], "float64").tolist()):
            results.append(
                {
                    "image_id": picture + 1,
                    "category_id": int(predictions["labels"][i]) + 1,
                    "bbox": [*box[:2], box[2] - box[0], box[3] - box[1]],
                    "score": float(predictions["scores"][i]),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {
            "images": [{"id": i + 1} for i in range(len(truth))],
            "annotations": rows,
            "categories": [{"id": i + 1} for i in range(classes)],
            "info": {},
        }
        known.createIndex()
        evaluation = cocoeval.COCOeval(known, known.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation.eval


def boxes(generator: Any, count: int, whole: bool, size: float) -> Array:
    """Boxes whose sides spread over all of COCO's ranges of areas."""
    low = generator.uniform(0, size, (count, 2))
    side = np.exp(generator.uniform(np.log(4), np.log(300), (count, 2)))
    made: Array = np.concatenate([low, low + side], axis=-1)
    return np.round(made) if whole else made


def draw(
    seed: int,
    pictures: int = 12,
    classes: int = 4,
    objects: int = 8,
    extra: int = 10,
    whole: bool = False,
    crowds: float = 0.15,
    areas: bool = False,
) -> tuple[Pictures, Pictures]:
    generator = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(pictures):
        count = int(generator.integers(0, objects + 1))
        real = boxes(generator, count, whole, 100)
        labels = generator.integers(0, classes, count)
        # The last class has no objects.
        labels[labels == classes - 1] = 0
        truth.append(
            {
                "boxes": real,
                "labels": labels,
                "crowd": generator.uniform(size=count) < crowds,
            }
        )
        if areas:
            truth[-1]["areas"] = np.prod(real[:, 2:] - real[:, :2], -1) * 0.6
        repeated = generator.integers(0, 3, count)
        near = np.repeat(real, repeated, axis=0)
        spread = np.repeat((near[:, 2:] - near[:, :2]) * 0.12, 2, axis=0).reshape(-1, 4)
        near = near + generator.normal(size=near.shape) * spread
        near = np.round(near) if whole else near
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        random = boxes(generator, int(generator.integers(0, extra + 1)), whole, 100)
        everything = np.concatenate([near, random])
        guessed = np.concatenate(
            [np.repeat(labels, repeated), generator.integers(0, classes, len(random))]
        )
        scores = generator.uniform(size=len(everything))
        found.append(
            {
                "boxes": everything,
                "labels": guessed,
                "scores": np.round(scores, 1) if whole else scores,
            }
        )
    return truth, found


def compare(truth: Pictures, found: Pictures, classes: int) -> None:
    expected, curves = theirs(truth, found, classes)
    metric = MeanAveragePrecision(class_names=[str(i) for i in range(classes)])
    middle = len(truth) // 2
    metric.update_state(truth[:middle], found[:middle])
    metric.update_state(truth[middle:], found[middle:])
    report = metric.report()
    np.testing.assert_allclose(list(report.figures.values()), expected, atol=1e-9)
    np.testing.assert_allclose(
        report.precision, curves["precision"][..., -1], atol=1e-9
    )
    np.testing.assert_allclose(report.scores, curves["scores"][..., -1], atol=1e-9)
    np.testing.assert_allclose(report.recall, curves["recall"], atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("whole", [False, True], ids=["", "ties"])
def test_random_pictures(seed: int, whole: bool) -> None:
    compare(*draw(seed, whole=whole), classes=4)


@pytest.mark.parametrize(
    "options",
    [
        {"crowds": 1.0},
        {"crowds": 0.6, "whole": True},
        {"areas": True},
        {"extra": 300, "pictures": 4, "classes": 2},
        {"objects": 60, "pictures": 5, "classes": 2, "crowds": 0},
        {"pictures": 1},
        {"objects": 0},
    ],
    ids=str,
)
def test_extremes(options: dict[str, Any]) -> None:
    classes = options.get("classes", 4)
    compare(*draw(3, **options), classes=classes)


def test_boxes_that_just_reach_a_threshold() -> None:
    """Overlaps of exactly 0.5, 0.75 and 1, empty boxes, areas on the border."""
    real = [[0, 0, 10, 10], [20, 0, 52, 32], [0, 50, 96, 146], [5, 5, 5, 5]]
    close = [[0, 0, 10, 5], [20, 0, 52, 24], [0, 50, 96, 146], [5, 5, 5, 5]]
    truth = [{"boxes": real, "labels": [0, 0, 1, 1], "crowd": [0, 0, 0, 0]}]
    found = [{"boxes": close, "labels": [0, 0, 1, 1], "scores": [0.5] * 4}]
    compare(truth, found, classes=2)


def test_two_objects_of_equal_overlap() -> None:
    real = [[0, 0, 10, 10], [0, 2, 10, 12], [0, 1, 10, 11]]
    close = [[0, 1, 10, 11], [0, 1, 10, 11], [0, 1, 10, 11]]
    for crowd in ([0, 0, 0], [1, 0, 0], [0, 1, 1]):
        truth = [{"boxes": real, "labels": [0, 0, 0], "crowd": crowd}]
        found = [{"boxes": close, "labels": [0, 0, 0], "scores": [0.5, 0.5, 0.9]}]
        compare(truth, found, classes=1)
