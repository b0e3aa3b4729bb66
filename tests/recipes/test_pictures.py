from __future__ import annotations

import numpy as np
import pytest

from chainrule.recipes.pictures import (
    MOST_ROWS,
    PLAIN_SHADES,
    SHADES,
    curve_line,
    draw_image,
    shades_for,
    shown_epochs,
)


@pytest.mark.parametrize(
    ("encoding", "shades"),
    [
        ("utf-8", SHADES),
        ("cp437", SHADES),
        ("ascii", PLAIN_SHADES),
        ("latin-1", PLAIN_SHADES),
        ("no such one", PLAIN_SHADES),
        (None, PLAIN_SHADES),
    ],
)
def test_only_characters_that_can_be_shown(encoding: str | None, shades: str) -> None:
    assert shades_for(encoding) == shades


def test_the_lightest_and_the_darkest_pixel() -> None:
    lines = draw_image(np.array([[0.0, 16.0], [8.0, 4.0]]))
    assert lines == ["  ##", "::.."]


def test_an_empty_image_is_blank() -> None:
    assert draw_image(np.zeros((2, 2))) == ["    ", "    "]


@pytest.mark.parametrize("loss", [np.nan, np.inf, 100.0])
def test_bars_stay_within_their_width(loss: float) -> None:
    assert curve_line(1, loss, 0.5, largest=2.0).count("#") == 40


@pytest.mark.parametrize("count", [1, 5, 16, 17, 100, 999])
def test_first_and_last_epoch_are_shown(count: int) -> None:
    shown = shown_epochs(count)
    assert {1, count} <= shown <= set(range(1, count + 1))
    assert len(shown) == min(count, MOST_ROWS)
