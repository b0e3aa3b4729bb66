"""Annotations in the XML of Pascal VOC: a file for each picture.

Coordinates are taken as they stand, as most tools that write such files mean them:
`xmin` to `xmax` is the width. (The original sets count pixels from 1, which shifts
their boxes by one pixel.)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from chainrule.data.annotated import Problem, RawBox, RawPicture, Report
from chainrule.data.places import ZIP, Finder, Place, decode
from chainrule.errors import DataError, FormatError

LARGEST_XML = 1 << 24
DEEPEST = 32
CORNERS = ("xmin", "ymin", "xmax", "ymax")
# Folders that mean a part of the data where the files lie in them.
PART_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}


class _Refused(Exception):
    """A document that is not read on."""


def parse_xml(content: bytes, where: str, problems: Report) -> Element:
    """The tree of a document; entities are refused, none is ever looked up or expanded.

    Raises:
        FormatError: when it is no XML, declares entities, or is nested too deep.

    Example:
        >>> parse_xml(b"<a><b>1</b></a>", "a.xml", []).findtext("b")
        '1'
    """
    text, is_utf8 = decode(content)
    try:
        return _build_tree(content, None)
    except (expat.ExpatError, LookupError, ValueError) as error:
        problem: Exception = error
    except _Refused as refused:
        raise FormatError(str(refused), where=where) from None
    if is_utf8 and not text.strip():
        raise FormatError("the file is empty", where=where)
    try:
        # A wrong declaration, or none and not UTF-8: the bytes decide.
        tree = _build_tree(text.encode("utf-8"), "utf-8")
    except (expat.ExpatError, _Refused):
        raise FormatError(
            "the file is no well-formed XML", where=where, got=problem
        ) from None
    encoding = "UTF-8" if is_utf8 else "Latin-1"
    what = "its text is not in the encoding that it declares"
    problems.append(Problem(where, what, f"read as {encoding}"))
    return tree


def _build_tree(content: bytes, encoding: str | None) -> Element:
    parser = expat.ParserCreate(encoding)
    builder = TreeBuilder()
    depth = 0

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise _Refused("the elements are nested too deep")
        builder.start(name, dict(attributes))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: Any) -> int:
        raise _Refused("the document declares entities, which are refused")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.Parse(content, True)
    return builder.close()


def read_voc(place: Place, files: Sequence[str], problems: Report) -> list[RawPicture]:
    """The pictures that these XML files are about."""
    finder = Finder(place.names)
    splits = _read_splits(place, files, problems)
    pictures = []
    for name in files:
        where = str(place.root / name)
        try:
            root = parse_xml(place.read(name, LARGEST_XML), where, problems)
        except (DataError, FormatError) as error:
            problems.append(Problem(where, _one_line(error), "left out"))
            continue
        if root.tag != "annotation":
            what = f"it holds <{root.tag[:40]}> and no <annotation>"
            problems.append(Problem(where, what, "left out"))
            continue
        picture = _read_picture(root, name, where, finder, problems)
        picture.splits = splits.get(name) or splits.get(PurePosixPath(name).stem, ())
        pictures.append(picture)
    return pictures


def _one_line(error: DataError | FormatError) -> str:
    got = f" ({str(error.got)[:200]})" if error.got is not None else ""
    return f"{error.problem}{got}"


def _read_picture(
    root: Element, name: str, where: str, finder: Finder, problems: Report
) -> RawPicture:
    stem = PurePosixPath(name).stem
    wanted = (root.findtext("filename") or "").strip()
    found = finder.find(wanted, name) if wanted else None
    if found == name:
        found = None
    if found is None:
        found = _beside(stem, name, finder)
        if found and wanted and PurePosixPath(wanted).stem != stem:
            what = f"there is no picture {wanted!r}"
            problems.append(Problem(where, what, f"{found} taken by its name"))
    boxes = []
    for number, item in enumerate(root.iter("object"), 1):
        box = _read_box(item, number, where, problems)
        if box is not None:
            boxes.append(box)
    size = _read_size(root.find("size"))
    return RawPicture(where, wanted or stem, found or "", size, boxes)


def _beside(stem: str, name: str, finder: Finder) -> str | None:
    """The picture that has the name of the XML file, with another ending."""
    for ending in (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".webp"):
        found = finder.find(stem + ending, name)
        if found is not None:
            return found
    return None


def _read_size(size: Element | None) -> tuple[int, int] | None:
    if size is None:
        return None
    values = [_number(size.findtext(key)) for key in ("width", "height")]
    if any(value is None or not 0 < value < 1e6 for value in values):
        return None
    return int(values[0] or 0), int(values[1] or 0)


def _read_box(
    item: Element, number: int, where: str, problems: Report
) -> RawBox | None:
    label = (item.findtext("name") or "").strip()
    called = f"object {number}" + (f" ({label})" if label else "")
    if not label:
        problems.append(Problem(where, f"{called}: it has no name", "left out"))
        return None
    bounds = item.find("bndbox")
    if bounds is None:
        problems.append(Problem(where, f"{called}: it has no <bndbox>", "left out"))
        return None
    corners = [_number(bounds.findtext(key)) for key in CORNERS]
    known = [value for value in corners if value is not None]
    if len(known) < 4:
        missing = ", ".join(
            key for key, value in zip(CORNERS, corners, strict=True) if value is None
        )
        what = f"{called}: {missing} is missing or no number"
        problems.append(Problem(where, what, "left out"))
        return None
    difficult = (item.findtext("difficult") or "0").strip() not in ("0", "")
    return RawBox(called, known, label, difficult=difficult)


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").strip())
    except ValueError:
        return None


def _read_splits(
    place: Place, files: Sequence[str], problems: Report
) -> dict[str, tuple[str, ...]]:
    """The parts of each picture: by its XML file, or by the stem that lists have."""
    stems = {PurePosixPath(name).stem for name in files}
    found: dict[str, list[str]] = defaultdict(list)
    for name in place.names:
        path = PurePosixPath(name)
        in_sets = any(part.lower() == "imagesets" for part in path.parts[:-1])
        # `cat_train.txt` lists a class; its lines have a flag beside the name.
        if not in_sets or path.suffix.lower() != ".txt" or path.parent.name == "Layout":
            continue
        _read_list(place, name, stems, found, problems)
    if not found:
        for name in files:
            part = PurePosixPath(name).parent.name.lower().removesuffix(ZIP)
            if part in PART_FOLDERS:
                found[name].append(part)
    return {stem: tuple(dict.fromkeys(parts)) for stem, parts in found.items()}


def _read_list(
    place: Place,
    name: str,
    stems: set[str],
    found: dict[str, list[str]],
    problems: Report,
) -> None:
    where = str(place.root / name)
    try:
        text, _ = decode(place.read(name, LARGEST_XML))
    except DataError as error:
        problems.append(Problem(where, _one_line(error), "left out"))
        return
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and all(re.fullmatch(r".*\s(-1|0|1)", line) for line in lines):
        return
    split = PurePosixPath(name).stem
    unknown = []
    for line in lines:
        stem = PurePosixPath(line).stem if line not in stems else line
        if stem in stems:
            found[stem].append(split)
        else:
            unknown.append(line)
    if unknown:
        what = f"{len(unknown)} pictures have no annotation, {unknown[0][:60]!r} first"
        problems.append(Problem(where, what, "left out"))
