"""Pictures made of characters: images and learning curves for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SHADES = " \u2591\u2592\u2593\u2588"  # from empty to a full block
PLAIN_SHADES = " .:*#"
BAR_WIDTH = 40
MOST_ROWS = 16


def shades_for(encoding: str | None) -> str:
    """Characters from light to dark that an output of this encoding can show.

    Example:
        >>> shades_for("ascii")
        ' .:*#'
    """
    try:
        SHADES.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN_SHADES
    return SHADES


def draw_image(image: Array, shades: str = PLAIN_SHADES) -> list[str]:
    """An image as lines of text; two characters a pixel make it square.

    Example:
        >>> draw_image(np.array([[0.0, 1.0], [0.5, 0.25]]))
        ['  ##', '::..']
    """
    span = float(image.max()) or 1.0
    levels = np.clip(image / span * (len(shades) - 1), 0, len(shades) - 1)
    return ["".join(shades[round(v)] * 2 for v in row) for row in levels.tolist()]


def beside(pictures: Sequence[Sequence[str]], gap: str = "   ") -> list[str]:
    """Pictures of the same height, side by side.

    Example:
        >>> beside([["ab", "c"], ["1", "2"]])
        ['ab   1', 'c    2']
    """
    widths = [max(map(len, picture)) for picture in pictures]
    return [
        gap.join(
            line.ljust(width) for line, width in zip(lines, widths, strict=True)
        ).rstrip()
        for lines in zip(*pictures, strict=True)
    ]


def curve_head() -> str:
    """The heading above the lines of a learning curve."""
    return f"epoch    loss  {'':<{BAR_WIDTH}}  accuracy"


def curve_line(epoch: int, loss: float, accuracy: float, largest: float) -> str:
    """One epoch of a learning curve: its loss as a bar, its accuracy behind it.

    Example:
        >>> curve_line(1, 1.0, 0.75, largest=8.0)
        '    1  1.0000  #####                                       75.0%'
    """
    share = min(loss / largest, 1.0) if np.isfinite(loss) and largest > 0 else 1.0
    bar = "#" * max(1, round(share * BAR_WIDTH))
    return f"{epoch:>5}  {loss:.4f}  {bar:<{BAR_WIDTH}}  {accuracy:>7.1%}"


def shown_epochs(count: int) -> set[int]:
    """Epochs to show of a curve, counted from 1: first, last, and some between.

    Example:
        >>> sorted(shown_epochs(4)), len(shown_epochs(1000))
        ([1, 2, 3, 4], 16)
    """
    places = np.linspace(1, count, min(count, MOST_ROWS))
    return {round(place) for place in places.tolist()}
