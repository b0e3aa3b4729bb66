"""Annotations in the JSON of COCO: one file for many pictures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from chainrule.data.annotated import (
    Annotations,
    Array,
    Problem,
    RawBox,
    RawPicture,
    Report,
)
from chainrule.data.places import ZIP, Finder, Place, decode
from chainrule.errors import ArgumentError, DataError, FormatError, ShapeError

PARTS = ("images", "annotations", "categories")


@dataclass
class _File:
    """What the parts of a file have in common while it is read."""

    where: str
    name: str
    finder: Finder
    problems: Report
    class_of: dict[int, str] = field(default_factory=dict)
    pictures: dict[int, RawPicture] = field(default_factory=dict)

    def report(self, what: str, done: str = "left out") -> None:
        self.problems.append(Problem(self.where, what, done))


def read_coco(
    place: Place, files: Sequence[str], problems: Report
) -> tuple[list[RawPicture], dict[str, int]]:
    """The pictures of COCO files, and the number of each class.

    Files that are not of this form are reported. Where there are several, each is a
    part of the data, named after itself.
    """
    finder = Finder(place.names)
    pictures: list[RawPicture] = []
    numbers: dict[str, int] = {}
    read = 0
    for name in _preferred(files):
        where = str(place.root / name)
        try:
            content = _parse(place.read(name), where, problems)
        except (DataError, FormatError) as error:
            problems.append(Problem(where, error.problem, "left out"))
            continue
        file = _File(where, name, finder, problems)
        _read_categories(content["categories"], file, numbers)
        _read_images(content["images"], file)
        _read_boxes(content["annotations"], file)
        for picture in file.pictures.values():
            picture.splits = (split_name(name),)
        pictures += file.pictures.values()
        read += 1
    if read < 2:
        for picture in pictures:
            picture.splits = ()
    return pictures, numbers


def _preferred(files: Sequence[str]) -> list[str]:
    """Without the key points and captions that COCO keeps of the same pictures."""
    boxes = [x for x in files if PurePosixPath(x).name.startswith("instances")]
    return boxes or list(files)


def split_name(name: str) -> str:
    """The part of the data that a file of annotations is for.

    Example:
        >>> split_name("annotations/instances_train2017.json")
        'train'
        >>> split_name("valid/_annotations.coco.json")
        'valid'
    """
    path = PurePosixPath(name)
    if path.name == "_annotations.coco.json":
        return path.parent.name.removesuffix(ZIP) or "all"
    stem = re.sub(r"^(instances|annotations|labels)[_-]", "", path.stem)
    return re.sub(r"[_-]?\d{4}$", "", stem) or path.stem


def _parse(content: bytes, where: str, problems: Report) -> dict[str, Any]:
    text, is_utf8 = decode(content)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"it is no JSON ({error})", where=where) from None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(part), list) for part in PARTS
    ):
        raise FormatError(
            "it is no COCO file: it lacks a list of " + ", ".join(PARTS), where=where
        )
    if not is_utf8:
        problems.append(Problem(where, "its text is not UTF-8", "read as Latin-1"))
    return found


def _read_categories(items: list[Any], file: _File, numbers: dict[str, int]) -> None:
    for place, item in enumerate(items):
        number = _whole(item.get("id")) if isinstance(item, dict) else None
        label = item.get("name") if isinstance(item, dict) else None
        if number is None or not isinstance(label, str) or not label.strip():
            file.report(f"category {place} lacks a whole id or a name")
            continue
        label = label.strip()
        if number in file.class_of:
            file.report(f"category id {number} is there twice", "the first counts")
            continue
        if label in file.class_of.values():
            file.report(f"two categories are called {label!r}", "taken for one")
        file.class_of[number] = label
        numbers.setdefault(label, number)


def _read_images(items: list[Any], file: _File) -> None:
    for place, item in enumerate(items):
        number = _whole(item.get("id")) if isinstance(item, dict) else None
        wanted = item.get("file_name") if isinstance(item, dict) else None
        if number is None or not isinstance(wanted, str) or not wanted:
            file.report(f"image {place} lacks a whole id or a file_name")
            continue
        if number in file.pictures:
            file.report(f"image id {number} is there twice", "the first counts")
            continue
        size = _whole(item.get("width")), _whole(item.get("height"))
        file.pictures[number] = RawPicture(
            file.where,
            wanted,
            file.finder.find(wanted, file.name) or "",
            (size[0], size[1]) if size[0] and size[1] else None,
            [],
            number,
        )


def _read_boxes(items: list[Any], file: _File) -> None:
    seen: set[int] = set()
    crowds = masks = 0
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            file.report(f"annotation {place} is no object")
            continue
        number = _whole(item.get("id"))
        called = f"annotation {place if number is None else number}"
        if number is not None and number in seen:
            file.report(f"{called}: the id is there twice", "both kept")
        if number is not None:
            seen.add(number)
        masks += isinstance(item.get("segmentation"), dict)
        box = _read_box(item, called, file)
        if box is not None:
            crowds += box.crowd
            file.pictures[int(item["image_id"])].boxes.append(box)
    if masks:
        file.report(f"{masks} masks are coded in runs", "masks ignored, boxes kept")
    if crowds:
        file.report(f"{crowds} boxes are around crowds", "kept, marked as `crowd`")


def _read_box(item: Mapping[str, Any], called: str, file: _File) -> RawBox | None:
    image, category = _whole(item.get("image_id")), _whole(item.get("category_id"))
    if image is None or image not in file.pictures:
        file.report(f"{called}: there is no image {item.get('image_id')!r}"[:200])
        return None
    if category is None or category not in file.class_of:
        file.report(f"{called}: there is no category {item.get('category_id')!r}"[:200])
        return None
    values = item.get("bbox")
    numbers = [_number(x) for x in values] if isinstance(values, list) else []
    known = [x for x in numbers if x is not None]
    if len(numbers) != 4 or len(known) != 4:
        file.report(f"{called}: its bbox is missing or is not four numbers")
        return None
    left, top, width, height = known
    corners = (left, top, left + width, top + height)
    crowd = _number(item.get("iscrowd")) not in (None, 0.0)
    return RawBox(called, corners, file.class_of[category], crowd)


def _number(value: Any) -> float | None:
    """A number, also one in quotes; infinite ones are dealt with as coordinates."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        return None
    return int(value) if isinstance(value, int) else int(number)


def to_coco(annotations: Annotations) -> dict[str, Any]:
    """Annotations as the content of a COCO file.

    Example:
        >>> to_coco(Annotations([], ["cat"]))["categories"]
        [{'id': 1, 'name': 'cat'}]
    """
    ids = category_ids(annotations)
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for picture in annotations.pictures:
        images.append(
            {
                "id": picture.id,
                "file_name": picture.name,
                "width": picture.width,
                "height": picture.height,
            }
        )
        rows = zip(picture.boxes, picture.labels, picture.crowd, strict=True)
        for corners, label, crowd in rows:
            corner = _as_bbox(corners)
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": picture.id,
                    "category_id": ids[int(label)],
                    "bbox": corner,
                    "area": corner[2] * corner[3],
                    "iscrowd": int(crowd),
                }
            )
    names = zip(ids, annotations.class_names, strict=True)
    categories = [{"id": number, "name": name} for number, name in names]
    return {"images": images, "annotations": boxes, "categories": categories}


def to_coco_results(
    annotations: Annotations, predictions: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Predictions as the content of a COCO file of results.

    Args:
        annotations: the pictures, and the numbers of the classes.
        predictions: for each picture `boxes` `(n, 4)` in corners, `scores` `(n,)` and
            `labels` `(n,)`.

    Raises:
        ShapeError: when there is not one prediction for each picture.

    Example:
        >>> to_coco_results(Annotations([], ["cat"]), [])
        []
    """
    if len(predictions) != len(annotations):
        raise ShapeError(
            "there must be one prediction for each picture",
            where="predictions",
            got=len(predictions),
            expected=len(annotations),
        )
    ids = category_ids(annotations)
    rows = []
    for picture, found in zip(annotations.pictures, predictions, strict=True):
        parts = zip(found["boxes"], found["scores"], found["labels"], strict=True)
        for corners, score, label in parts:
            rows.append(
                {
                    "image_id": picture.id,
                    "category_id": ids[int(label)],
                    "bbox": _as_bbox(np.asarray(corners)),
                    "score": float(score),
                }
            )
    return rows


def category_ids(annotations: Annotations) -> list[int]:
    """The number of each class in COCO files: as read, or from 1.

    Raises:
        ArgumentError: when there is not one for each class, or one twice.
    """
    ids = list(annotations.category_ids)
    if not ids:
        return list(range(1, len(annotations.class_names) + 1))
    if len(set(ids)) != len(annotations.class_names):
        raise ArgumentError(
            "each class needs a number of its own",
            where="category_ids",
            got=ids,
            expected=f"{len(annotations.class_names)} different numbers",
        )
    return ids


def _as_bbox(corners: Array) -> list[float]:
    left, top, right, bottom = map(float, corners)
    return [left, top, right - left, bottom - top]
