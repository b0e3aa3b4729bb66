"""What happens to pictures and boxes within the step that trains a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import functional, random
from chainrule.boxes import compute_iou
from chainrule.recipes import detection_augment
from chainrule.recipes.detection_augment import Changes, change
from chainrule.recipes.detection_losses import detection_losses
from chainrule.recipes.detection_targets import ANSWERING, assign
from chainrule.recipes.detection_training import points_of

Array = np.ndarray[Any, Any]
STILL = Changes((1.0, 1.0), 1.0, False, False, 0.0, 0.0, 0.0)


def make_case(seed: int, samples: int = 2, boxes: int = 5) -> tuple[Array, ...]:
    """What a network says at random about random boxes, and the points."""
    numbers = np.random.default_rng(seed)
    points = points_of((32, 48), [4, 8])
    reach = numbers.uniform(1, 16, (samples, len(points), 4))
    middle = points[:, [0, 1, 0, 1]]
    predicted = (middle + reach * [-1, -1, 1, 1]).astype(np.float32)
    logits = numbers.normal(size=(samples, len(points), 3)).astype(np.float32)
    corner = numbers.uniform(0, 24, (samples, boxes, 2))
    side = numbers.uniform(1, 16, (samples, boxes, 2))
    true = np.concatenate([corner, corner + side], -1).astype(np.float32)
    labels = numbers.integers(0, 3, (samples, boxes)).astype(np.int32)
    labels[0, -2:] = -1
    true[labels < 0] = 0
    return predicted, logits, true, labels, points


def slowly(
    predicted: Array, logits: Array, boxes: Array, labels: Array, points: Array
) -> tuple[Array, Array]:
    """Owner (-1 for none) and score of each place of one sample, box by box."""
    overlap = np.asarray(compute_iou(boxes, predicted))
    score = 1 / (1 + np.exp(-logits))
    finest = points[:, 2].min()
    wanted: dict[int, list[int]] = {}
    alignment = np.zeros_like(overlap)
    for box, label in enumerate(labels):
        if label < 0:
            continue
        middle = (boxes[box, :2] + boxes[box, 2:]) / 2
        half = np.maximum((boxes[box, 2:] - boxes[box, :2]) / 2, finest / 2)
        inside = (np.abs(points[:, :2] - middle) <= half).all(1)
        alignment[box] = np.sqrt(score[:, label]) * overlap[box] ** 6
        order = np.argsort(-np.where(inside, alignment[box] + 1e-9, 0), kind="stable")
        for place in order[:ANSWERING]:
            if inside[place]:
                wanted.setdefault(int(place), []).append(box)
    owner = np.full(len(points), -1)
    for place, candidates in wanted.items():
        owner[place] = max(candidates, key=lambda box: overlap[box, place])
    weight = np.zeros(len(points))
    for box in range(len(boxes)):
        mine = owner == box
        if mine.any():
            top = max(alignment[box, mine].max(), 1e-9)
            weight[mine] = alignment[box, mine] / top * overlap[box, mine].max()
    return owner, weight


@pytest.mark.parametrize("seed", range(4))
def test_places_are_assigned_as_one_by_one(seed: int) -> None:
    case = make_case(seed)
    made = assign(*map(functional.asarray, case[:4]), case[4])
    for sample in range(2):
        predicted, logits, boxes, labels = (part[sample] for part in case[:4])
        owner, weight = slowly(predicted, logits, boxes, labels, case[4])
        assert (owner >= 0).sum() > 5
        np.testing.assert_allclose(made.weight.numpy()[sample], weight, atol=2e-5)
        expected = np.where(owner[:, None] >= 0, boxes[owner], 0)
        np.testing.assert_allclose(made.boxes.numpy()[sample], expected, atol=1e-4)
        kinds = np.where(owner[:, None] >= 0, np.eye(3)[labels[owner]], 0)
        scores = made.scores.numpy()[sample]
        np.testing.assert_allclose(scores, kinds * weight[:, None], atol=2e-5)


def test_a_box_between_the_places_still_has_one() -> None:
    points = points_of((16, 16), [8])
    box = functional.asarray([[[7.5, 7.5, 8.5, 8.5]]])
    said = functional.asarray(points[None][..., [0, 1, 0, 1]]) + functional.asarray(
        [-6.0, -6.0, 6.0, 6.0]
    )
    logits = functional.zeros((1, 4, 1))
    made = assign(said, logits, box, functional.asarray([[0]], dtype="int32"), points)
    assert (made.weight.numpy() > 0).sum() == 4


def test_nothing_answers_in_a_picture_without_boxes() -> None:
    predicted, logits, boxes, labels, points = make_case(0)
    labels[:] = -1
    made = assign(*map(functional.asarray, (predicted, logits, boxes, labels)), points)
    assert not made.weight.numpy().any()
    found = functional.asarray(np.concatenate([predicted, logits], -1))
    losses = detection_losses(
        found, functional.asarray(boxes), functional.asarray(labels), points
    )
    assert losses["box_loss"].item() == 0
    assert 0 < losses["class_loss"].item() < 1e4


def test_right_boxes_and_sure_classes_lose_nothing() -> None:
    points = points_of((32, 48), [8])
    box = np.float32([8, 4, 40, 28])
    boxes = np.broadcast_to(box, (1, len(points), 4))
    inside = (points[:, :2] > box[:2]).all(1) & (points[:, :2] < box[2:]).all(1)
    logits = np.full((1, len(points), 2), -30, np.float32)
    logits[0, np.flatnonzero(inside)[:ANSWERING], 1] = 30
    found = functional.asarray(np.concatenate([boxes, logits], -1))
    target = functional.asarray(box[None, None]), functional.asarray([[1]])
    losses = detection_losses(found, *target, points)
    assert losses["box_loss"].item() < 1e-4
    assert losses["class_loss"].item() < 1e-4


# ---- pictures changed at random ------------------------------------------------------


def one_square(size: int = 48) -> tuple[Array, Array]:
    """A grey picture with a white square, and its box."""
    picture = np.full((8, size, size, 3), 114, np.uint8)
    picture[:, 12:28, 20:30] = 255
    boxes = np.tile(np.float32([[[20, 12, 30, 28], [0, 0, 0, 0]]]), (8, 1, 1))
    return picture, boxes


def changed(changes: Changes, seed: int = 0) -> tuple[Array, Array, Array]:
    picture, boxes = one_square()
    labels = functional.asarray(np.tile(np.int32([[3, -1]]), (8, 1)))
    with random.stream(random.key(seed)):
        parts = change(
            functional.asarray(picture), functional.asarray(boxes), labels, changes
        )
    return tuple(part.numpy() for part in parts)  # type: ignore[return-value]


def test_no_change_leaves_all_as_it_is() -> None:
    picture, boxes, labels = changed(STILL)
    np.testing.assert_allclose(picture, one_square()[0], atol=1e-3)
    np.testing.assert_allclose(boxes, one_square()[1], atol=1e-4)
    assert (labels == [3, -1]).all()


def test_boxes_stay_around_what_they_hold() -> None:
    changes = Changes((0.6, 1.6), 1.3, True, True, 0.0, 0.0, 0.0)
    picture, boxes, labels = changed(changes)
    assert len(np.unique(boxes[:, 0].round(2), axis=0)) == 8
    for pixels, box, label in zip(picture, boxes[:, 0], labels[:, 0], strict=True):
        bright = pixels[..., 0] > (114 + 255) / 2
        if label < 0:
            continue
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(box, seen, atol=1.01)
    assert (labels[:, 0] == 3).sum() > 4


def test_flips_are_exact() -> None:
    mirrored = Changes((1.0, 1.0), 1.0, True, False, 0.0, 0.0, 0.0)
    picture, boxes, _ = changed(mirrored)
    flipped = boxes[:, 0, 0] == 48 - 30
    assert 0 < flipped.sum() < 8
    expected = one_square()[0][0][:, ::-1]
    np.testing.assert_allclose(picture[flipped][0], expected, atol=1e-3)


def test_boxes_that_leave_the_picture_are_dropped() -> None:
    moved, left = detection_augment._move(
        *map(functional.asarray, (np.float32([[[20, 12, 30, 28]]]), np.float32([1.0]))),
        functional.asarray([15.0]),
        functional.asarray([1.0]),
        functional.asarray([0.0]),
        (48, 48),
    )
    assert moved.numpy().tolist() == [[[35, 12, 45, 28]]]
    assert left.numpy().tolist() == [[1.0]]
    _, boxes, labels = changed(Changes((4.0, 4.0), 1.0, False, False))
    gone = labels[:, 0] < 0
    assert gone.any()
    assert not boxes[gone].any()


def test_colours_stay_in_range_and_differ_between_samples() -> None:
    colours = Changes((1.0, 1.0), 1.0, False, False, 0.3, 0.5, 0.5)
    picture, _, _ = changed(colours)
    assert picture.min() >= 0
    assert picture.max() <= 255
    assert len(np.unique(picture[:, 0, 0, 0].round(2))) == 8
