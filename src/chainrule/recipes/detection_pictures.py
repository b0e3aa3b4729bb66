"""Annotated pictures as arrays of one size, and boxes back on the pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.boxes.drawing import as_picture
from chainrule.data.annotations import AnnotatedPicture
from chainrule.data.picture_sizes import resize_picture
from chainrule.data.pictures import load_picture
from chainrule.recipes.detection_augment import GREY

Array = np.ndarray[Any, Any]


def load_pixels(source: Any, size: tuple[int, int] | None = None) -> Array:
    """A picture, uint8 `(height, width, 3)`: what `load_picture` takes, or pixels.

    Raises:
        ShapeError: when pixels are no picture.
        FormatError: see `load_picture`.

    Example:
        >>> load_pixels(np.zeros((4, 6), np.uint8), (2, 3)).shape
        (2, 3, 3)
    """
    if not isinstance(source, np.ndarray):
        return load_picture(source, size=size)
    # optional: pictures need it, nothing else
    from PIL import Image  # noqa: PLC0415

    image = Image.fromarray(as_picture(source)).convert("RGB")
    if size is None:
        return np.asarray(image)
    return resize_picture(image, size, "bilinear", True, (False, False))


@dataclass(frozen=True)
class Frame:
    """Where a picture lies in the middle of a frame, as large as fits.

    Attributes:
        height: of the frame.
        width: of the frame.
        picture: height and width of the picture.

    Example:
        >>> frame = Frame(256, 320, (480, 640))
        >>> frame.inner, frame.scale, frame.corner
        ((240, 320), (0.5, 0.5), (8, 0))
        >>> frame.enter(np.float32([[64, 48, 640, 480]])).tolist()
        [[32.0, 32.0, 320.0, 248.0]]
    """

    height: int
    width: int
    picture: tuple[int, int]

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the picture in the frame."""
        height, width = self.picture
        factor = min(self.height / height, self.width / width)
        return max(1, round(height * factor)), max(1, round(width * factor))

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the frame for one of the picture, down and across."""
        height, width = self.inner
        return height / self.picture[0], width / self.picture[1]

    @property
    def corner(self) -> tuple[int, int]:
        """The first row and column of the picture in the frame."""
        height, width = self.inner
        return (self.height - height) // 2, (self.width - width) // 2

    def fill(self, source: Any) -> Array:
        """The picture in its frame, grey around it: uint8 `(height, width, 3)`."""
        inner, (top, left) = self.inner, self.corner
        frame = np.full((self.height, self.width, 3), round(GREY), np.uint8)
        pixels = load_pixels(source, inner)
        frame[top : top + inner[0], left : left + inner[1]] = pixels
        return frame

    def enter(self, boxes: Array) -> Array:
        """Boxes of the picture in pixels of the frame."""
        scale, offset = self._sides()
        return np.asarray(boxes * scale + offset, np.float32)

    def leave(self, boxes: Array) -> Array:
        """Boxes of the frame in pixels of the picture, cut at its border."""
        scale, offset = self._sides()
        height, width = self.picture
        limits = np.array([width, height, width, height], np.float32)
        return np.asarray(np.clip((boxes - offset) / scale, 0, limits), np.float32)

    def _sides(self) -> tuple[Array, Array]:
        (down, across), (top, left) = self.scale, self.corner
        scale = np.array([across, down, across, down], np.float32)
        return scale, np.array([left, top, left, top], np.float32)


def frame_of(picture: AnnotatedPicture, size: tuple[int, int]) -> Frame:
    """The frame of an annotated picture."""
    return Frame(*size, (picture.height, picture.width))


class Examples:
    """Annotated pictures in frames of one size, with as many boxes each.

    It has a length and gives samples by their numbers, so that `fit` can read them from
    the disk; `arrays` holds all in memory.

    Args:
        pictures: what to read.
        size: height and width of the frames.
    """

    def __init__(
        self, pictures: Sequence[AnnotatedPicture], size: tuple[int, int]
    ) -> None:
        self.pictures = list(pictures)
        self.size = size
        self.most = max([1, *(int((~p.crowd).sum()) for p in self.pictures)])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> tuple[dict[str, Array]]:
        return ({"pictures": self.frame(place), **self.boxes(place)},)

    @property
    def bytes(self) -> int:
        """How much memory the pictures take."""
        return len(self) * self.size[0] * self.size[1] * 3

    def frame(self, place: int) -> Array:
        """A picture in its frame."""
        picture = self.pictures[place]
        return frame_of(picture, self.size).fill(picture.read())

    def boxes(self, place: int) -> dict[str, Array]:
        """Its boxes and labels, in rows of equal length; crowds are left out."""
        picture = self.pictures[place]
        single = ~picture.crowd
        boxes = np.zeros((self.most, 4), np.float32)
        labels = np.full(self.most, -1, np.int32)
        found = frame_of(picture, self.size).enter(picture.boxes[single])
        boxes[: len(found)] = found
        labels[: len(found)] = picture.labels[single]
        return {"boxes": boxes, "labels": labels}

    def arrays(self) -> dict[str, Array]:
        """All of them: `pictures`, `boxes` and `labels`, read by several threads."""
        count = len(self)
        boxes = [self.boxes(place) for place in range(count)]
        frames = np.empty((count, *self.size, 3), np.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for place, frame in enumerate(threads.map(self.frame, range(count))):
                frames[place] = frame
        return {
            "pictures": frames,
            "boxes": np.stack([each["boxes"] for each in boxes]),
            "labels": np.stack([each["labels"] for each in boxes]),
        }


def free_memory() -> int:
    """Bytes that the system can still give; a quarter of all where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":", 1) for line in file)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return _all_memory() // 4


def _all_memory() -> int:
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 1 << 32
