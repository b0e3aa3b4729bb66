"""Drawn for reports: sheets of mistakes, filters, what is confused with what."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

PAPER, INK, FAINT = (255, 255, 255), (30, 30, 30), (200, 200, 200)
DARK = (8, 69, 148)  # where every picture of a class is told to be of another
MISTAKE = (165, 30, 40)
TILE = 112  # pixels of a side of a picture on a sheet
LINE = 13  # pixels of a line of text
GAP = 10
ACROSS = 6  # pictures of a sheet, side by side
LARGEST, SMALLEST = 44, 4  # pixels of a cell
SIDE = 900  # pixels that all cells together may take
READABLE = 12  # pixels of a cell beside which a name fits
NAME = 24  # characters of a name that are drawn
FILTER = 48  # pixels of a side of a filter
FILTERS_ACROSS = 16


def _pillow() -> Any:
    """Image, ImageDraw and ImageFont; None where Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return Image, ImageDraw, ImageFont


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def short(name: str, length: int = NAME) -> str:
    """A name that fits: its beginning where it is long.

    Example:
        >>> short("a very long name", 8)
        'a very..'
    """
    return name if len(name) <= length else name[: length - 2] + ".."


def draw_confusion(counts: Array, class_names: Sequence[str]) -> bytes | None:
    """What is taken for what, as a PNG; None without Pillow.

    A row for every true class, a column for every class that was told; the darker, the
    larger the share of the row. Shares on the diagonal are right, blue; others red.
    """
    found = _pillow()
    if found is None:
        return None
    package, pens, fonts = found
    size = len(class_names)
    cell = max(SMALLEST, min(LARGEST, SIDE // size))
    font = fonts.load_default(size=min(LINE, max(9, cell - 2)))
    names = [short(name) for name in class_names] if cell >= READABLE else []
    margin = GAP + max((round(font.getlength(name)) for name in names), default=0)
    image = package.new("RGB", [margin + size * cell + GAP] * 2, PAPER)
    pen = pens.Draw(image)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in np.ndindex(size, size):
        left, top = margin + column * cell, margin + row * cell
        color = DARK if row == column else MISTAKE
        fill = _mixed(color, float(shares[row, column]) ** 0.5)
        box = (left, top, left + cell - 1, top + cell - 1)
        pen.rectangle(box, fill=fill, outline=FAINT if cell >= READABLE else None)
        if counts[row, column] and cell >= 2 * READABLE:
            ink = PAPER if shares[row, column] > 0.3 else INK
            text = str(int(counts[row, column]))
            middle = (left + cell / 2, top + cell / 2)
            pen.text(middle, text, fill=ink, font=font, anchor="mm")
    for place, name in enumerate(names):
        at = margin + place * cell + cell / 2
        pen.text((margin - 4, at), name, fill=INK, font=font, anchor="rm")
        _write_up(package, pens, image, (at, margin - 4), name, font)
    return _png(image)


def _mixed(color: Sequence[int], share: float) -> tuple[int, ...]:
    pairs = zip(PAPER, color, strict=True)
    return tuple(round(p + (c - p) * min(share, 1.0)) for p, c in pairs)


def _write_up(
    package: Any,
    pens: Any,
    image: Any,
    place: tuple[float, float],
    name: str,
    font: Any,
) -> None:
    """Write a name upward, its middle above the place."""
    width, height = round(font.getlength(name)) + 2, LINE + 3
    label = package.new("RGB", (width, height), PAPER)
    pens.Draw(label).text((0, height / 2), name, fill=INK, font=font, anchor="lm")
    turned = label.rotate(90, expand=True)
    image.paste(turned, (round(place[0] - height / 2), round(place[1] - width)))


def draw_sheet(
    pictures: Sequence[Array], captions: Sequence[Sequence[str]]
) -> bytes | None:
    """Pictures in rows, lines of text below each, as a PNG; None without Pillow.

    Args:
        pictures: uint8 `(height, width, 1 or 3)`.
        captions: lines for each.
    """
    found = _pillow()
    if found is None or not len(pictures):
        return None
    package, pens, fonts = found
    font = fonts.load_default(size=LINE - 2)
    lines = max(map(len, captions))
    step = (TILE + GAP, TILE + LINE * lines + GAP)
    across = min(ACROSS, len(pictures))
    down = -(-len(pictures) // across)
    size = (across * step[0] + GAP, down * step[1] + GAP)
    image = package.new("RGB", size, PAPER)
    pen = pens.Draw(image)
    for number, (pixels, texts) in enumerate(zip(pictures, captions, strict=True)):
        left = GAP + number % across * step[0]
        top = GAP + number // across * step[1]
        image.paste(_tile(package, pixels, TILE), (left, top))
        for line, text in enumerate(texts):
            fitted = _fitted(text, font)
            place = (left, top + TILE + 2 + line * LINE)
            pen.text(place, fitted, fill=INK, font=font)
    return _png(image)


def _fitted(text: str, font: Any) -> str:
    while len(text) > 3 and font.getlength(text) > TILE:
        text = short(text, len(text) - 1) if text[-2:] != ".." else text[:-3] + ".."
    return text


def _tile(package: Any, pixels: Array, side: int) -> Any:
    """A picture as large as fits into a square; small ones keep their pixels."""
    plain = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    picture = package.fromarray(np.ascontiguousarray(plain)).convert("RGB")
    factor = side / max(picture.size)
    size = tuple(max(1, round(length * factor)) for length in picture.size)
    kind = package.Resampling.NEAREST if factor > 1 else package.Resampling.BILINEAR
    tile = package.new("RGB", (side, side), PAPER)
    tile.paste(
        picture.resize(size, kind), ((side - size[0]) // 2, (side - size[1]) // 2)
    )
    return tile


def filters_as_pixels(kernel: Array) -> list[Array]:
    """The filters of a first convolution as pictures, each in its own range.

    Args:
        kernel: `(height, width, channels, filters)`; of channels other than 1 and 3
            the mean is shown.

    Returns:
        uint8 `(height, width, 1 or 3)` for each filter; a weight of 0 is grey.

    Example:
        >>> filters_as_pixels(np.float32([[[[-1.0]], [[0.0]], [[1.0]]]]))[0].ravel()
        array([  0, 128, 255], dtype=uint8)
    """
    if kernel.shape[2] not in (1, 3):
        kernel = kernel.mean(axis=2, keepdims=True)
    largest = np.abs(kernel).max(axis=(0, 1, 2), keepdims=True)
    scaled = kernel / np.where(largest > 0, largest, 1)
    pixels = np.round((scaled + 1) * 127.5).astype(np.uint8)
    return [pixels[..., number] for number in range(pixels.shape[-1])]


def draw_filters(kernel: Array, responses: Array | None = None) -> bytes | None:
    """The filters of a first convolution in rows, as a PNG; None without Pillow.

    Args:
        kernel: `(height, width, channels, filters)`.
        responses: `(height, width, filters)`, what they find in a picture, drawn below
            each: the darker, the more.
    """
    found = _pillow()
    if found is None:
        return None
    package = found[0]
    rows = [filters_as_pixels(kernel)]
    if responses is not None:
        rows.append(responses_as_pixels(responses))
    count = len(rows[0])
    across = min(count, FILTERS_ACROSS)
    step, block = FILTER + 4, (FILTER + 4) * len(rows) + 6
    size = (across * step + 4, -(-count // across) * block + 4)
    image = package.new("RGB", size, PAPER)
    for row, pictures in enumerate(rows):
        for number, pixels in enumerate(pictures):
            left, top = number % across * step, number // across * block + row * step
            image.paste(_tile(package, pixels, FILTER), (left + 4, top + 4))
    return _png(image)


def responses_as_pixels(responses: Array) -> list[Array]:
    """Maps as pictures, each in its own range; what is not positive is white.

    Example:
        >>> responses_as_pixels(np.float32([[[-1.0], [1.0], [2.0]]]))[0].ravel()
        array([255, 128,   0], dtype=uint8)
    """
    largest = np.maximum(responses.max(axis=(0, 1)), 1e-12)
    shares = np.clip(responses / largest, 0, 1)
    pixels = np.round(255 * (1 - shares)).astype(np.uint8)
    return [pixels[..., number, None] for number in range(pixels.shape[-1])]
