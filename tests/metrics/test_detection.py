"""Average precision of boxes; `tests/parity` has the comparison with COCO's program."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.metrics import MeanAveragePrecision, matching


def far(*places: float) -> list[list[float]]:
    """Boxes of 10 x 10 that do not meet."""
    return [[20 * x, 0, 20 * x + 10, 10] for x in places]


def measure(truth: Any, found: Any, **options: Any) -> Any:
    metric = MeanAveragePrecision(**options)
    metric.update_state([truth], [found])
    return metric.report()


def test_a_curve_worked_by_hand() -> None:
    # Right, wrong, right, right, wrong: of four objects three are found.
    truth = {"boxes": far(0, 1, 2, 3), "labels": [0] * 4}
    found = {
        "boxes": far(0, 9, 1, 2, 8),
        "labels": [0] * 5,
        "scores": [0.9, 0.8, 0.7, 0.6, 0.5],
    }
    report = measure(truth, found)
    curve = report.curve(0, 0.5)
    expected = np.select(
        [curve["recall"] <= 0.25, curve["recall"] <= 0.75], [1.0, 0.75], 0.0
    )
    np.testing.assert_allclose(curve["precision"], expected)
    assert report.figures["AP"] == pytest.approx((26 * 1 + 50 * 0.75) / 101)
    assert report.figures["AR1"] == 0.25
    assert report.figures["AR10"] == 0.75
    assert report.figures["AP_small"] == report.figures["AP"]
    assert report.figures["AP_large"] == -1
    assert set(curve["score"][expected > 0]) == {0.9, 0.7, 0.6}
    assert np.isin(curve["score"][:26], [0.9]).all()


def test_overlap_decides_from_which_threshold_on() -> None:
    truth = {"boxes": [[0, 0, 10, 10]], "labels": [0]}
    found = {"boxes": [[0, 0, 10, 7.2]], "labels": [0], "scores": [1]}
    figures = measure(truth, found).figures
    assert (figures["AP50"], figures["AP75"]) == (pytest.approx(1), 0)
    assert figures["AP"] == pytest.approx(0.5)
    few = measure(truth, found, iou_thresholds=[0.3, 0.8]).figures
    assert few["AP"] == pytest.approx(0.5)
    assert few["AP50"] == -1


def test_crowds_and_difficult_objects_count_neither_way() -> None:
    truth = {
        "boxes": [*far(0, 1), [40, 0, 80, 40]],
        "labels": [0, 0, 0],
        "difficult": [False, True, False],
        "crowd": [False, False, True],
    }
    inside = [[41, 1, 51, 11], [60, 20, 70, 30]]
    found = {
        "boxes": [*far(1, 1), *inside, *far(0)],
        "labels": [0] * 5,
        "scores": [0.9, 0.8, 0.7, 0.6, 0.5],
    }
    report = measure(truth, found)
    assert report.figures["AP"] == pytest.approx(1)
    assert report.by_class["0"]["objects"] == 1
    counted = {**truth, "difficult": [False] * 3, "crowd": [False] * 3}
    assert measure(counted, found).figures["AP"] < 0.6


def test_classes_are_apart_and_have_names() -> None:
    truth = {"boxes": far(0, 1), "labels": [0, 2]}
    found = {"boxes": far(0, 1), "labels": [0, 1], "scores": [0.5, 0.5]}
    report = measure(truth, found, class_names=["cat", "dog", "eel", "fox"])
    names = {name: row["AP"] for name, row in report.by_class.items()}
    assert names == {"cat": pytest.approx(1), "dog": -1, "eel": 0, "fox": -1}
    assert report.figures["AP"] == pytest.approx(0.5)
    with pytest.raises(ArgumentError, match="no such curve"):
        report.curve(9)


def test_pictures_may_come_in_batches_with_padding() -> None:
    truth = {
        "boxes": np.asarray([[*far(0), [0, 0, 0, 0]], far(1, 2)]),
        "labels": np.asarray([[0, -1], [0, 0]]),
    }
    found = {**truth, "scores": np.ones((2, 2)), "counts": np.asarray([1, 2])}
    metric = MeanAveragePrecision()
    metric.update_state(truth, found)
    assert metric.result()["AP"] == pytest.approx(1)
    assert metric.report().by_class["0"]["objects"] == 3
    metric.reset_state()
    assert metric.result()["AP"] == -1


def test_boxes_of_another_format() -> None:
    truth = {"boxes": [[5, 5, 10, 10]], "labels": [0]}
    found = {"boxes": [[5, 5, 10, 10]], "labels": [0], "scores": [1]}
    report = measure(truth, found, bounding_box_format="center_xywh")
    assert report.figures["AP"] == pytest.approx(1)


def test_the_order_of_pairs_does_not_hang_on_how_many_are_made_at_once() -> None:
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 20, (60, 2))
    boxes = np.concatenate([low, low + 20], axis=-1)
    truth = {"boxes": boxes[:30], "labels": generator.integers(0, 2, 30)}
    found = {
        "boxes": boxes[30:],
        "labels": generator.integers(0, 2, 30),
        "scores": generator.uniform(size=30),
    }
    whole = measure(truth, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "PAIRS_AT_ONCE", 7)
        pieces = measure(truth, found)
    assert 0 < whole.figures["AP"] < 1
    assert whole.figures == pieces.figures


def test_wrong_input_is_refused() -> None:
    good = {"boxes": far(0), "labels": [0], "scores": [1.0]}
    metric = MeanAveragePrecision()
    for bad, problem in [
        ({**good, "scores": [1, 2]}, "one of scores"),
        ({**good, "scores": [np.nan]}, "scores must be finite"),
        ({**good, "boxes": far(0, 1)}, "differ in number"),
        ({**good, "boxes": [[5, 0, 4, 1]]}, "ends before it begins"),
        ({**good, "boxes": [[5, 0, np.inf, 1]]}, "not finite"),
        ({"boxes": [], "labels": []}, "need scores"),
        ({"boxes": []}, "boxes and labels are needed"),
    ]:
        with pytest.raises((ShapeError, DataError), match=problem):
            metric.update_state([good], [bad])
    with pytest.raises(ShapeError, match="one prediction for each picture"):
        metric.update_state([good], [])
    with pytest.raises(ShapeError, match="axis for the pictures"):
        metric.update_state(good, good)
    with pytest.raises(ArgumentError, match="three limits"):
        MeanAveragePrecision(max_detections=(100,))
    assert metric.result()["AP"] == -1


def test_config_makes_an_equal_metric() -> None:
    metric = MeanAveragePrecision(["cat"], iou_thresholds=[0.5], name="map")
    config = json.loads(json.dumps(metric.get_config()))
    assert MeanAveragePrecision.from_config(config).get_config() == config
