"""Sheets of the mistakes that a detector makes, cut out of the pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.boxes.drawing import class_color
from chainrule.data.annotations import Annotations
from chainrule.data.pictures import load_picture
from chainrule.recipes.detection_augment import GREY
from chainrule.recipes.detection_mistakes import MISSED, MISTAKES, Judged, worst
from chainrule.training.files import write_atomically

Array = np.ndarray[Any, Any]

SHOWN = 12  # mistakes of a kind
COLUMNS = 4
CELL, CAPTION = 208, 34  # pixels
AROUND = 1.8  # how much more than the boxes a cut-out shows
LEAST = 40  # pixels of the picture that it shows at least
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def write_sheets(
    folder: Path, annotations: Annotations, judged: Sequence[Judged]
) -> dict[str, Path]:
    """Write a sheet for each kind of mistake that occurs; the files by kind.

    A true box is white, what was found has the colour of its class.
    """
    written = {}
    for kind in MISTAKES:
        chosen = worst(judged, kind, SHOWN)
        if not chosen:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        written[kind] = folder / f"{kind.replace(' ', '_')}.jpg"
        file = io.BytesIO()
        draw_sheet(annotations, chosen).save(file, "JPEG", quality=88)
        write_atomically(written[kind], file.getvalue())
    return written


def draw_sheet(annotations: Annotations, chosen: Sequence[Judged]) -> Any:
    """Mistakes side by side, each with a caption."""
    # optional: who draws needs it, nobody else
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    size = (columns * CELL, rows * (CELL + CAPTION))
    sheet = Image.new("RGB", size, WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, each in enumerate(chosen):
        down, across = divmod(number, columns)
        x, y = across * CELL, down * (CELL + CAPTION)
        picture = annotations.pictures[each.picture]
        cell = cut_out(load_picture(picture.read()), each)
        sheet.paste(Image.fromarray(cell), (x + 2, y + 2))
        lines = (caption(each, annotations.class_names), Path(picture.name).name)
        for line, text in enumerate(lines):
            pen.text((x + 3, y + CELL + 15 * line), shorten(text), BLACK, font=font)
    return sheet


def caption(each: Judged, names: Sequence[str]) -> str:
    """What was said, and what is true.

    Example:
        >>> caption(Judged("mislabelled", 0, 1, None, None, 0, 0.9), ["cat", "dog"])
        'cat 90%, truly dog'
    """
    if each.kind == MISSED:
        return f"{names[each.label]}, missed"
    text = f"{names[each.said]} {each.score:.0%}"
    if each.said != each.label:
        return f"{text}, truly {names[each.label]}"
    return f"{text}, overlap {each.overlap:.2f}" if each.truth is not None else text


def shorten(text: str, most: int = 32) -> str:
    """A text of at most so many letters.

    Example:
        >>> shorten("a long name", 6)
        'a lon…'
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_out(pixels: Array, each: Judged) -> Array:
    """The surroundings of a mistake, enlarged, with the boxes on it."""
    # optional: who draws needs it, nobody else
    from PIL import Image, ImageDraw  # noqa: PLC0415

    boxes = np.stack([x for x in (each.truth, each.box) if x is not None])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = max(float((high - low).max()) * AROUND, LEAST)
    corner = (low + high - side) / 2
    inner = CELL - 4
    scale = inner / side
    box = (*corner.tolist(), *(corner + side).tolist())
    image = Image.fromarray(pixels).convert("RGB")
    size, beyond = (inner, inner), (round(GREY),) * 3
    cell = image.transform(size, Image.Transform.EXTENT, box, 2, fillcolor=beyond)
    pen = ImageDraw.Draw(cell)
    for corners, color in ((each.truth, WHITE), (each.box, class_color(each.said))):
        if corners is not None:
            ends = (corners - np.tile(corner, 2)) * scale
            pen.rectangle(ends.tolist(), outline=color, width=2)
    return np.asarray(cell)


def as_counts(counts: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """All classes together.

    Example:
        >>> as_counts({"missed": [1, 2]})
        {'missed': 3}
    """
    return {kind: sum(numbers) for kind, numbers in counts.items()}
