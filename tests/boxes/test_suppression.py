import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.boxes import (
    batched_non_max_suppression,
    convert_format,
    non_max_suppression,
    suppression,
)
from chainrule.errors import ArgumentError, ShapeError
from tests.boxes.reference import random_boxes, suppress, suppress_softly


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 40),
    classes=st.integers(1, 3),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    whole=st.booleans(),
    block=st.sampled_from([1, 7, 256]),
)
def test_it_keeps_what_one_box_at_a_time_keeps(
    seed, count, classes, threshold, whole, block
):
    generator = np.random.default_rng(seed)
    boxes = random_boxes(generator, count, whole=whole)
    scores = np.round(generator.uniform(size=count), 1 if whole else 8)
    labels = generator.integers(0, classes, count)
    expected = suppress(boxes, scores, labels, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suppression, "BLOCK", block)
        kept = non_max_suppression(boxes, scores, labels, iou_threshold=threshold)
        few = non_max_suppression(
            boxes, scores, labels, iou_threshold=threshold, max_output_size=3
        )
    assert kept.indices.tolist() == expected
    np.testing.assert_array_equal(kept.scores, scores[expected])
    assert few.indices.tolist() == expected[:3]
    high = non_max_suppression(
        boxes, scores, labels, iou_threshold=threshold, score_threshold=0.5
    )
    assert high.indices.tolist() == [i for i in expected if scores[i] > 0.5]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 25),
    method=st.sampled_from(["linear", "gaussian"]),
    whole=st.booleans(),
)
def test_soft_suppression_lowers_scores(seed, count, method, whole):
    generator = np.random.default_rng(seed)
    boxes = random_boxes(generator, count, whole=whole)
    scores, labels = generator.uniform(size=count), generator.integers(0, 2, count)
    expected = suppress_softly(boxes, scores, labels, 0.3, 0.05, method, 0.4)
    kept = non_max_suppression(
        boxes,
        scores,
        labels,
        iou_threshold=0.3,
        score_threshold=0.05,
        method=method,
        sigma=0.4,
    )
    assert kept.indices.tolist() == [place for place, _ in expected]
    np.testing.assert_allclose(kept.scores, [score for _, score in expected])


def test_what_is_no_number_is_left_out():
    boxes = [[0, 0, 1, 1], [0, 0, np.nan, 1], [5, 5, 6, 6], [0, 0, np.inf, 1]]
    scores = [np.nan, 1, 0.5, 1]
    assert non_max_suppression(boxes, scores).indices.tolist() == [2]


@pytest.mark.parametrize("form", ["center_xywh", "rel_yxyx"])
def test_formats(form):
    generator = np.random.default_rng(0)
    boxes, scores = random_boxes(generator, 30), generator.uniform(size=30)
    there = convert_format(boxes, "xyxy", form, 100, 100)
    kept = non_max_suppression(there, scores, bounding_box_format=form)
    assert kept.indices.tolist() == suppress(boxes, scores, [0] * 30, 0.5)


def test_a_batch_gives_results_of_one_size():
    generator = np.random.default_rng(0)
    boxes = np.stack([random_boxes(generator, 40) for _ in range(3)])
    scores = generator.uniform(size=(3, 40, 4))
    scores[2] = 0
    found = batched_non_max_suppression(
        boxes, scores, score_threshold=0.3, max_output_size=60
    )
    assert found["boxes"].shape == (3, 60, 4)
    for picture in range(3):
        place, label = np.nonzero(scores[picture] > 0.3)
        values = scores[picture][place, label]
        kept = suppress(boxes[picture][place], values, label, 0.5)[:60]
        count = found["counts"][picture]
        assert count == len(kept)
        np.testing.assert_array_equal(found["labels"][picture, :count], label[kept])
        np.testing.assert_array_equal(found["scores"][picture, :count], values[kept])
        assert (found["labels"][picture, count:] == -1).all()
        assert not found["boxes"][picture, count:].any()
    few = batched_non_max_suppression(
        boxes, scores, score_threshold=0.3, max_output_size=60, max_candidates=5
    )
    assert few["counts"].max() <= 5
    assert few["scores"][0, 0] == scores[0].max()


def test_boxes_of_all_classes_meet_if_asked_to():
    boxes = [[[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]]]
    scores = [[[0.9, 0.1], [0.2, 0.8], [0.0, 0.3]]]
    found = batched_non_max_suppression(
        boxes, scores, per_class=False, max_output_size=4
    )
    assert found["labels"].tolist() == [[0, 1, -1, -1]]
    apart = batched_non_max_suppression(boxes, scores, max_output_size=5)
    assert apart["labels"].tolist() == [[0, 1, 1, -1, -1]]


def test_arguments_are_checked():
    box = [[0, 0, 1, 1]]
    with pytest.raises(ShapeError, match="differ in number"):
        non_max_suppression(box, [1, 2])
    with pytest.raises(ShapeError, match="differ in number"):
        non_max_suppression(box, [1], [1, 2])
    with pytest.raises(ArgumentError, match="iou_threshold"):
        non_max_suppression(box, [1], iou_threshold=2)
    with pytest.raises(ArgumentError, match="no such way"):
        non_max_suppression(box, [1], method="fast")
    with pytest.raises(ShapeError, match="do not go together"):
        batched_non_max_suppression([box], [[1]])
    assert len(non_max_suppression([], []).indices) == 0
