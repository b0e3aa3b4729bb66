"""Pictures with boxes around what they show: what every reader of annotations makes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.places import Place
from chainrule.errors import ArgumentError

Array = np.ndarray[Any, Any]

LARGEST_PICTURE_FILE = 1 << 28


@dataclass(frozen=True)
class Problem:
    """Something in annotations that is not as it should be.

    Attributes:
        file: where it is.
        what: what is wrong.
        done: what was done about it.

    Example:
        >>> print(Problem("a.xml", "object 1 (cat): the box has no area", "left out"))
        a.xml: object 1 (cat): the box has no area: left out
    """

    file: str
    what: str
    done: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}: {self.done}"


Report = list[Problem]


@dataclass(frozen=True, eq=False)
class AnnotatedPicture:
    """A picture and the boxes in it.

    Attributes:
        path: the file; for one in a zip, the zip's path and the name in it.
        width: in pixels, as the picture is shown (turned as its EXIF data says).
        height: in pixels.
        boxes: float32 `(n, 4)`, left, top, right, bottom in pixels, inside the picture.
        labels: int64 `(n,)`, places in the `class_names` of the annotations.
        crowd: bool `(n,)`, boxes around many objects (`iscrowd` of COCO).
        difficult: bool `(n,)`, objects that Pascal VOC does not count.
        id: the number of the picture in a COCO file; else its place.
    """

    path: Path
    width: int
    height: int
    boxes: Array
    labels: Array
    crowd: Array
    difficult: Array
    id: int
    place: Place = field(repr=False)
    name: str = field(repr=False)

    def read(self) -> bytes:
        """The bytes of the file, from the folder or the zip.

        Raises:
            DataError: when it cannot be read any more.
        """
        return self.place.read(self.name, LARGEST_PICTURE_FILE)


@dataclass(frozen=True, eq=False)
class Annotations:
    """Annotated pictures and what was wrong with them.

    Attributes:
        pictures: those that can be used.
        class_names: the names that labels stand for.
        problems: what was found, and what was done about it.
        splits: the places in `pictures` of each named part, `train` or `val`.
        category_ids: the number of each class in a COCO file; 1, 2, ... without one.
    """

    pictures: list[AnnotatedPicture]
    class_names: list[str]
    problems: list[Problem] = field(default_factory=list)
    splits: Mapping[str, list[int]] = field(default_factory=dict)
    category_ids: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def split(self, name: str) -> Annotations:
        """The pictures of a named part.

        Raises:
            ArgumentError: when there is no such part; the message lists the parts.
        """
        if name not in self.splits:
            raise ArgumentError(
                "the annotations have no such part",
                where="split",
                got=name,
                expected=", ".join(sorted(self.splits)) or "none at all",
            )
        return self.subset(self.splits[name])

    def subset(self, places: Iterable[int]) -> Annotations:
        """The pictures at these places; problems stay with the whole."""
        chosen = [self.pictures[place] for place in places]
        return replace(self, pictures=chosen, problems=[], splits={})

    def counts(self) -> dict[str, int]:
        """How many boxes each class has."""
        labels = [picture.labels for picture in self.pictures]
        flat = np.concatenate(labels) if labels else np.zeros(0, "int64")
        numbers = np.bincount(flat, minlength=len(self.class_names))
        return dict(zip(self.class_names, map(int, numbers), strict=True))


@dataclass
class RawBox:
    """A box as a file has it.

    Attributes:
        where: what messages call it.
        corners: left, top, right, bottom.
        label: its class, by name.
        crowd: whether it holds many objects.
        difficult: whether it is marked as hard to tell.
    """

    where: str
    corners: Sequence[float]
    label: str
    crowd: bool = False
    difficult: bool = False


@dataclass
class RawPicture:
    """A picture as a file has it.

    Attributes:
        source: the file of annotations.
        wanted: the name of the picture there.
        name: the file that was found; empty where there is none.
        size: width and height as annotated; None where they are not.
        boxes: its boxes.
        id: its number.
        splits: the parts that it belongs to.
    """

    source: str
    wanted: str
    name: str
    size: tuple[int, int] | None
    boxes: list[RawBox]
    id: int | None = None
    splits: tuple[str, ...] = ()


def mend_box(
    box: RawBox, width: int, height: int
) -> tuple[tuple[float, float, float, float] | None, list[tuple[str, str]]]:
    """The corners that can be used, or None, and what was wrong with what was done.

    Example:
        >>> mend_box(RawBox("box 1", (9, 2, 4, 30), "cat"), 20, 20)[0]
        (4.0, 2.0, 9.0, 20.0)
    """
    if not all(map(math.isfinite, box.corners)):
        return None, [("a coordinate is not a finite number", "left out")]
    left, top, right, bottom = map(float, box.corners)
    found = []
    if left > right or top > bottom:
        found.append(("its corners are swapped", "put in order"))
        left, right = sorted((left, right))
        top, bottom = sorted((top, bottom))
    if left == right or top == bottom:
        return None, [*found, ("it has no area", "left out")]
    inside = (
        min(max(left, 0.0), float(width)),
        min(max(top, 0.0), float(height)),
        min(max(right, 0.0), float(width)),
        min(max(bottom, 0.0), float(height)),
    )
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return None, [*found, ("it lies outside the picture", "left out")]
    if inside != (left, top, right, bottom):
        found.append(("it reaches outside the picture", "cut at the border"))
    kept = np.asarray(inside, "float32")
    if kept[0] >= kept[2] or kept[1] >= kept[3]:
        return None, [*found, ("it has no area in 32 bits", "left out")]
    return inside, found
