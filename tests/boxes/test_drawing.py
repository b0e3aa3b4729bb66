import numpy as np
import pytest

from chainrule.boxes import draw_boxes
from chainrule.boxes.drawing import class_color
from chainrule.errors import ShapeError

pytest.importorskip("PIL")


def test_outlines_lie_where_the_boxes_are():
    image = np.zeros((100, 200, 3), "uint8")
    drawn = draw_boxes(image, [[0.1, 0.5, 0.5, 0.9]], bounding_box_format="rel_xyxy")
    rows, columns = np.nonzero(drawn.any(-1))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (20, 100, 50, 90)
    assert drawn[50, 60].tolist() == list(class_color(0))
    assert not drawn[70, 60].any()
    assert not image.any()


@pytest.mark.parametrize("shape", [(1, 1), (5, 300, 1), (2000, 3, 3)])
def test_any_box_on_any_picture(shape):
    image = np.zeros(shape, "uint8")
    boxes = [[-9, -9, 999, 999], [3, 3, 1, 1], [0, 0, 0, 0], [9e9, 0, np.nan, 1]]
    names = ["a name longer than the picture", "b"]
    drawn = draw_boxes(image, boxes, [0, 1, 2, -1], [0.5, 0.5, 1, 0], names)
    assert drawn.shape == (*shape[:2], 3)
    assert drawn.any()


def test_padding_is_left_out_and_names_are_written():
    image = np.full((100, 100, 3), 255, "uint8")
    assert (draw_boxes(image, [[9, 9, 50, 50]], [-1]) == 255).all()
    assert (draw_boxes(image, []) == 255).all()
    plain = draw_boxes(image, [[20, 40, 80, 90]])
    named = draw_boxes(image, [[20, 40, 80, 90]], [0], class_names=["cat"])
    assert (named != plain)[20:40].any()
    assert len({class_color(i) for i in range(100)}) > 90


def test_wrong_input_is_refused():
    with pytest.raises(ShapeError, match="no picture"):
        draw_boxes(np.zeros((4, 4, 3)), [])
    with pytest.raises(ShapeError, match="differ in number"):
        draw_boxes(np.zeros((4, 4, 3), "uint8"), [[0, 0, 1, 1]], [1, 2])
