"""Annotated pictures read from Pascal VOC XML and COCO JSON, in folders or zips."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from chainrule.data.annotated import (
    LARGEST_PICTURE_FILE,
    AnnotatedPicture,
    Annotations,
    Problem,
    RawBox,
    RawPicture,
    Report,
    mend_box,
)
from chainrule.data.coco import read_coco, to_coco, to_coco_results
from chainrule.data.places import (
    ZIP,
    FolderPlace,
    Place,
    TreePlace,
    ZipPlace,
    open_place,
)
from chainrule.data.voc import read_voc
from chainrule.errors import DataError, DependencyError

__all__ = [
    "ANNOTATION_ENDINGS",
    "AnnotatedPicture",
    "Annotations",
    "Problem",
    "open_annotated",
    "read_annotations",
    "to_coco",
    "to_coco_results",
]

EXIF_ORIENTATION = 0x0112
ANNOTATION_ENDINGS = {".json", ".xml"}
PICTURE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
QUICK = (1, 1)  # decode JPEG at an eighth: all of the file is read all the same


def read_annotations(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    decode: bool = True,
) -> Annotations:
    """Pictures and boxes from a folder, a zip, a COCO file or an XML file.

    XML files of Pascal VOC are looked for first, then COCO files; pictures are found by
    name wherever they lie. Zips in a folder are read as folders where annotations or
    pictures are in them alone. What is wrong is mended or left out, and reported in
    `problems`: damaged and missing files, boxes without area, outside the picture or
    with swapped corners, missing fields, wrong sizes and encodings, numbers used twice.
    Lists in `ImageSets`, several COCO files, or folders called `train`, `val`, `test`
    make `splits`.

    Args:
        path: the folder or file.
        split: read this part only.
        class_names: the classes and their order; others are left out. As found by
            default: COCO's by their numbers, VOC's by the alphabet.
        decode: whether each picture is decoded once, to find damaged ones; else only
            its size is read.

    Raises:
        DataError: when nothing is there, or no annotation or no picture can be used.
        FormatError: when a zip is damaged.
        ArgumentError: when there is no such part.
        DependencyError: without Pillow.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (64, 48)).save(folder / "a.png")
        >>> box = "<xmin>8</xmin><ymin>4</ymin><xmax>90</xmax><ymax>20</ymax>"
        >>> object = f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        >>> xml = f"<annotation><filename>a.png</filename>{object}</annotation>"
        >>> (folder / "a.xml").write_text(xml) > 0
        True
        >>> annotations = read_annotations(folder)
        >>> annotations.pictures[0].boxes.tolist(), annotations.class_names
        ([[8.0, 4.0, 64.0, 20.0]], ['cat'])
        >>> annotations.problems[1].what
        'object 1 (cat): it reaches outside the picture'
    """
    place, only = _open(Path(path).expanduser())
    problems: Report = []
    raw, numbers = _read_raw(place, only, problems)
    names = list(class_names) if class_names is not None else _class_names(raw, numbers)
    ids = [numbers[name] for name in names if name in numbers]
    usable = _without_repeats(raw, problems)
    checks = _check_pictures([x.name for x in usable], place, decode)
    maker = _Maker(place, {name: i for i, name in enumerate(names)}, problems)
    pictures: list[AnnotatedPicture] = []
    splits: dict[str, list[int]] = {}
    for found, check in zip(usable, checks, strict=True):
        if check.problem:
            problems.append(
                Problem(str(place.root / found.name), check.problem, "left out")
            )
            continue
        for part in found.splits:
            splits.setdefault(part, []).append(len(pictures))
        pictures.append(maker.make(found, check))
    maker.report_difficult()
    if not pictures:
        raise _nothing(place, "none of the annotated pictures can be used", problems)
    complete = ids if len(set(ids)) == len(names) else ()
    whole = Annotations(pictures, names, problems, splits, complete)
    return whole if split is None else replace(whole.split(split), problems=problems)


def _open(path: Path) -> tuple[Place, str | None]:
    """Where the files are, and the only file of annotations if one was named."""
    if path.is_dir():
        return open_annotated(path), None
    if not path.is_file():
        raise DataError(
            "there is no such file or folder",
            where=str(path),
            expected="a folder, a zip, a .json of COCO or a .xml of Pascal VOC",
        )
    if path.suffix.lower() not in ANNOTATION_ENDINGS:
        return ZipPlace(path), None
    # The pictures lie beside the folder of annotations, in COCO's layout and VOC's.
    folder = path.parent
    apart = folder.resolve().name.lower() == "annotations"
    place = FolderPlace(folder.resolve().parent if apart else folder)
    return place, path.resolve().relative_to(place.root.resolve()).as_posix()


def open_annotated(path: str | os.PathLike[str]) -> Place:
    """A zip; or a folder, with its zips where annotations or pictures lack beside them.

    A zip beside what was unpacked from it would say everything twice.

    Raises:
        DataError: when nothing is there.
        FormatError: when a zip is damaged.

    Example:
        >>> import tempfile
        >>> open_annotated(tempfile.mkdtemp()).names
        []
    """
    place = open_place(path)
    if isinstance(place, ZipPlace):
        return place
    assert isinstance(place, FolderPlace)
    endings = {PurePosixPath(name).suffix.lower() for name in place.names}
    complete = endings & ANNOTATION_ENDINGS and endings & PICTURE_ENDINGS
    return TreePlace(place) if ZIP in endings and not complete else place


def _read_raw(
    place: Place, only: str | None, problems: Report
) -> tuple[list[RawPicture], dict[str, int]]:
    names = place.names if only is None else [only]
    xml = [name for name in names if name.lower().endswith(".xml")]
    raw = read_voc(place, xml, problems) if xml else []
    if raw:
        return raw, {}
    files = [name for name in names if name.lower().endswith(".json")]
    raw, numbers = read_coco(place, files, problems)
    if not raw:
        raise _nothing(
            place, "there are no annotations here that can be read", problems
        )
    return raw, numbers


def _nothing(place: Place, what: str, problems: Report) -> DataError:
    shown = "\n".join(map(str, problems[:5]))
    more = f"\nand {len(problems) - 5} more" if len(problems) > 5 else ""
    return DataError(
        what,
        where=str(place.root),
        got=shown + more if shown else None,
        expected="XML of Pascal VOC or JSON of COCO, and the pictures that they name",
    )


def _class_names(raw: Sequence[RawPicture], numbers: dict[str, int]) -> list[str]:
    if numbers:
        return sorted(numbers, key=lambda name: (numbers[name], name))
    return sorted({box.label for picture in raw for box in picture.boxes})


def _without_repeats(raw: Sequence[RawPicture], problems: Report) -> list[RawPicture]:
    """The pictures that have a file, each file once."""
    first: dict[str, str] = {}
    kept = []
    for picture in raw:
        if not picture.name:
            what = f"the picture {picture.wanted!r} is missing"
            problems.append(Problem(picture.source, what, "left out"))
        elif picture.name in first:
            what = f"{picture.name} is annotated twice, first in {first[picture.name]}"
            problems.append(Problem(picture.source, what, "the second left out"))
        else:
            first[picture.name] = picture.source
            kept.append(picture)
    return kept


@dataclass(frozen=True)
class _Check:
    """What a picture file turned out to be.

    Attributes:
        size: width and height as it is stored.
        orientation: how it is turned to be shown, from 1 to 8 as in EXIF.
        problem: why it cannot be used, or nothing.
    """

    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    problem: str = ""


def _check_pictures(names: Sequence[str], place: Place, decode: bool) -> list[_Check]:
    image = _pillow()
    # Decoding leaves the interpreter's lock, so that threads help.
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(pool.map(lambda x: _check(x, place, decode, image), names))


def _pillow() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - optional: pictures need it, nothing else
    except ImportError:
        raise DependencyError(
            "Pillow reads pictures, and is not installed",
            where="read_annotations",
            fix="pip install 'chainrule[data]'",
        ) from None
    return Image


def _check(name: str, place: Place, decode: bool, image: Any) -> _Check:
    try:
        content = place.read(name, LARGEST_PICTURE_FILE)
    except DataError as error:
        return _Check(problem=error.problem)
    try:
        with image.open(io.BytesIO(content)) as picture:
            size = picture.size
            orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
            if decode:
                picture.draft(picture.mode, QUICK)
                picture.load()
    # A damaged file may make a decoder raise anything.
    except Exception as error:
        # Pillow names the object that it reads from, which says nothing.
        what = re.sub(r" <[\w.]+ object at \w+>", "", str(error))
        return _Check(problem=f"the picture is damaged ({what})"[:300])
    valid = isinstance(orientation, int) and 1 <= orientation <= 8
    return _Check(size, orientation if valid else 1)


class _Maker:
    """Makes annotated pictures of raw ones; boxes are mended, and what was is noted."""

    def __init__(self, place: Place, labels: dict[str, int], problems: Report) -> None:
        self.place = place
        self.labels = labels
        self.problems = problems
        self.ids: set[int] = set()
        self.difficult = 0

    def make(self, raw: RawPicture, check: _Check) -> AnnotatedPicture:
        """The picture; its boxes are those that can be used."""
        width, height = check.size
        turned = check.orientation >= 5
        if turned:
            width, height = height, width
        flat = self._compare_sizes(raw, check, (width, height))
        kept: list[RawBox] = []
        corners: list[Sequence[float]] = []
        for box in raw.boxes:
            if flat:
                box.corners = _turn(box.corners, check)
            mended = self._mend(raw, box, width, height)
            if mended is not None:
                kept.append(box)
                corners.append(mended)
        difficult = np.asarray([box.difficult for box in kept], bool)
        self.difficult += int(difficult.sum())
        return AnnotatedPicture(
            path=self.place.root / raw.name,
            width=width,
            height=height,
            boxes=np.asarray(corners, "float32").reshape(-1, 4),
            labels=np.asarray([self.labels[box.label] for box in kept], "int64"),
            crowd=np.asarray([box.crowd for box in kept], bool),
            difficult=difficult,
            id=self._new_id(raw),
            place=self.place,
            name=raw.name,
        )

    def _compare_sizes(
        self, raw: RawPicture, check: _Check, shown: tuple[int, int]
    ) -> bool:
        """Report a size that is not the picture's; whether boxes must be turned.

        A camera may store a picture on its side, and the boxes be drawn on it so.
        """
        if raw.size is None:
            self._report(
                raw, "the size of the picture is missing", "read from its file"
            )
            return False
        if raw.size == shown:
            return False
        if raw.size == check.size:
            self._report(raw, "the boxes are those of the unturned picture", "turned")
            return True
        what = (
            f"the picture is {shown[0]} x {shown[1]}, not {raw.size[0]} x {raw.size[1]}"
        )
        self._report(raw, what, "its own size counts")
        return False

    def _mend(
        self, raw: RawPicture, box: RawBox, width: int, height: int
    ) -> Sequence[float] | None:
        called = (
            f"{box.where} ({box.label})" if box.label not in box.where else box.where
        )
        if box.label not in self.labels:
            self._report(raw, f"{called}: it is of no class asked for", "left out")
            return None
        mended, found = mend_box(box, width, height)
        for what, done in found:
            self._report(raw, f"{called}: {what}", done)
        return mended

    def _report(self, raw: RawPicture, what: str, done: str) -> None:
        self.problems.append(Problem(raw.source, what, done))

    def report_difficult(self) -> None:
        """Say once how many objects are marked as hard to tell."""
        if self.difficult:
            what = f"{self.difficult} objects are marked difficult"
            done = "kept, marked as `difficult`"
            self.problems.append(Problem(str(self.place.root), what, done))

    def _new_id(self, raw: RawPicture) -> int:
        """The picture's number, or the next free one."""
        number = len(self.ids) if raw.id is None else raw.id
        while number in self.ids:
            number = max(self.ids) + 1
        self.ids.add(number)
        return number


def _turn(corners: Sequence[float], check: _Check) -> Sequence[float]:
    """A box of the stored picture in the picture as it is shown, on its side before."""
    left, top, right, bottom = corners
    width, height = check.size
    if check.orientation in (7, 8):
        left, right = width - right, width - left
    if check.orientation in (6, 7):
        top, bottom = height - bottom, height - top
    return top, left, bottom, right
