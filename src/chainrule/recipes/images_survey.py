"""What labelled pictures are like: sizes, colours, damage; and all in one form."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.data.picture_folder import made_ahead
from chainrule.data.picture_sizes import resize_picture
from chainrule.data.pictures import FORMATS, ORIENTATION, load_picture, pillow
from chainrule.errors import ChainruleError
from chainrule.recipes.detection_pictures import free_memory
from chainrule.recipes.images_data import ArrayOrigin, Origin

Array = np.ndarray[Any, Any]

AHEAD = 64  # pictures that threads decode in advance
SQUARE = 1.25  # sides of this proportion are taken for equal
SMALL = 40  # pixels up to which pictures are taken as they are
USUAL = 96  # the side of larger ones
MULTIPLE = 8  # of the sides of larger ones
LOOKED_AT = 300  # pictures whose colours are looked at
FAINT = 16  # levels between channels that are not yet a colour
RARE = 1e-3  # the share of pixels with colours that is not counted
TURNED = 5  # from this orientation of EXIF on, height and width are swapped
GREY_MODES = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True)
class Form:
    """The one form that all pictures are given.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 3 for colours, 1 for shades of grey.
    """

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def bytes(self) -> int:
        """Of one picture."""
        return math.prod(self.shape)

    def read(self, picture: Any) -> Array:
        """A picture in this form, as uint8: from bytes, a path, or pixels.

        Raises:
            FormatError: when it is damaged.
        """
        mode = "rgb" if self.channels == 3 else "grayscale"
        size = (self.height, self.width)
        if not isinstance(picture, np.ndarray):
            return load_picture(picture, size=size, color_mode=mode)
        if picture.shape == self.shape:
            return picture
        plain = picture[..., 0] if picture.shape[-1] == 1 else picture
        image = pillow().fromarray(plain).convert("RGB" if mode == "rgb" else "L")
        return resize_picture(image, size, "bilinear", True, (False, False))


@dataclass(frozen=True)
class Survey:
    """What pictures are like.

    Attributes:
        sizes: `(n, 2)`, height and width, 0 where a picture could not be read.
        grey: whether they have no colours.
        problems: why pictures could not be read, by their places.
    """

    sizes: Array
    grey: bool
    problems: dict[int, str]

    def describe(self) -> str:
        """The sizes in words."""
        found = self.sizes[self.sizes.min(axis=1) > 0]
        low, high = found.min(axis=0), found.max(axis=0)
        kind = "shades of grey" if self.grey else "colours"
        if (low == high).all():
            return f"{low[1]} x {low[0]} pixels, {kind}"
        middle = np.median(found, axis=0)
        return (
            f"{low[1]} to {high[1]} pixels wide, {low[0]} to {high[0]} high, half of "
            f"them above {middle[1]:.0f} x {middle[0]:.0f}; {kind}"
        )


def survey(origin: Origin, count: int) -> Survey:
    """Look at `count` pictures: the headers of all, the colours of some."""
    if isinstance(origin, ArrayOrigin):
        height, width, channels = origin.pixels.shape[1:]
        sizes = np.tile([height, width], (count, 1))
        return Survey(sizes, channels == 1 or _is_grey(origin.pixels[:LOOKED_AT]), {})
    pillow()
    sizes = np.zeros((count, 2), np.int64)
    problems: dict[int, str] = {}
    coloured = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = made_ahead(lambda row: _header(origin, row), range(count), AHEAD)
        for row, (size, has_colours, problem) in enumerate(found):
            sizes[row] = size
            if problem:
                problems[row] = problem
            elif has_colours:
                coloured.append(row)
    grey = not coloured or _look_grey(origin, coloured)
    return Survey(sizes, grey, problems)


def _header(origin: Origin, row: int) -> tuple[tuple[int, int], bool, str]:
    """The size of a picture, whether it may have colours, and what is wrong."""
    try:
        content = origin.read(row)
        if isinstance(content, str):
            with open(content, "rb") as file:
                return _opened(file)
        return _opened(io.BytesIO(content))
    except ChainruleError as error:
        return (0, 0), False, error.problem
    except OSError as error:
        return (0, 0), False, error.strerror or "this is no picture"
    except Exception as error:  # decoders of damaged bytes raise whatever they like
        return (0, 0), False, f"this is no picture ({type(error).__name__})"


def _opened(file: Any) -> tuple[tuple[int, int], bool, str]:
    package = pillow()
    known = [form for form in FORMATS if form in package.OPEN]
    with package.open(file, formats=known) as image:
        width, height = image.size
        turned = _orientation(image) >= TURNED
        size = (width, height) if turned else (height, width)
        grey = image.mode in GREY_MODES or image.mode.startswith("I;16")
        return size, not grey, ""


def _orientation(image: Any) -> int:
    """How a picture is to be turned, as far as that can be told without decoding."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode it to look behind its pixels
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not make the picture unreadable
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _look_grey(origin: Origin, rows: Sequence[int]) -> bool:
    """Whether pictures with channels for colours show none."""
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).round()
    form = Form(32, 32, 3)
    for place in dict.fromkeys(chosen.astype(int).tolist()):
        try:
            pixels = form.read(origin.read(rows[place]))
        except ChainruleError:
            continue
        if not _is_grey(pixels[None]):
            return False
    return True


def _is_grey(pixels: Array) -> bool:
    if pixels.shape[-1] == 1:
        return True
    levels = pixels.astype(np.int16)
    return bool((np.abs(levels - levels[..., :1]) > FAINT).mean() < RARE)


def choose_form(found: Survey, size: tuple[int, ...] | None = None) -> Form:
    """The form for pictures like these.

    Small ones keep their size, the median where they differ; larger ones get an area of
    96 x 96 pixels, or what they have, in their median proportion.

    Args:
        found: what they are like.
        size: a longer side, or height and width, where they are given.

    Example:
        >>> photographs = Survey(np.array([[480, 640], [480, 640]]), False, {})
        >>> choose_form(photographs), choose_form(photographs, (64,)).shape
        (Form(height=80, width=112, channels=3), (48, 64, 3))
    """
    channels = 1 if found.grey else 3
    if size is not None and len(size) == 2:
        return Form(size[0], size[1], channels)
    usable = found.sizes[found.sizes.min(axis=1) > 0]
    height, width = (float(side) for side in np.median(usable, axis=0))
    proportion = float(np.median(usable[:, 0] / usable[:, 1]))
    if 1 / SQUARE <= proportion <= SQUARE:
        proportion = 1.0
    if size is not None:
        tall = size[0] if proportion >= 1 else _whole(size[0] * proportion)
        wide = size[0] if proportion <= 1 else _whole(size[0] / proportion)
        return Form(tall, wide, channels)
    if max(height, width) <= SMALL:
        return Form(round(height), round(width), channels)
    side = min(math.sqrt(height * width), USUAL)
    root = math.sqrt(proportion)
    return Form(_whole(side * root), _whole(side / root), channels)


def _whole(length: float) -> int:
    """The nearest multiple that a side may have."""
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)


class Stream:
    """Pictures that are read when they are needed, with their labels.

    It has a length and gives samples by their numbers, so that `fit` can take it.

    Args:
        origin: where they come from.
        labels: of all.
        places: those that count.
        form: what they are given.
    """

    def __init__(
        self, origin: Origin, labels: Array, places: Array, form: Form
    ) -> None:
        self.origin = origin
        self.labels = labels
        self.places = places
        self.form = form

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[Array, Any]:
        return self.pixels(number), self.labels[self.places[number]]

    def pixels(self, number: int) -> Array:
        """A picture in the form of all."""
        return self.form.read(self.origin.read(int(self.places[number])))


def decode(
    origin: Origin, places: Any, form: Form, keep: bool = True
) -> tuple[Array, dict[int, str]]:
    """Decode pictures once, by several threads.

    Args:
        origin: where they come from.
        places: which, whole numbers.
        form: what they are given.
        keep: whether to return them; else it is only seen whether they can be read.

    Returns:
        uint8 `(n, height, width, channels)`, of zeros where one could not be read, or
        an empty array; and why, by place.
    """
    if isinstance(origin, ArrayOrigin) and origin.pixels.shape[1:] == form.shape:
        return origin.pixels[np.asarray(places, np.int64)], {}
    pixels = np.zeros((len(places) if keep else 0, *form.shape), np.uint8)
    problems: dict[int, str] = {}

    def read(place: int) -> Array | str:
        try:
            return form.read(origin.read(place))
        except ChainruleError as error:
            return f"{error.problem}: {error.got}" if error.got else error.problem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row, made in enumerate(made_ahead(read, places, AHEAD)):
            if isinstance(made, str):
                problems[int(places[row])] = made
            elif keep:
                pixels[row] = made
    return pixels, problems


def fits_in_memory(count: int, form: Form) -> bool:
    """Whether a quarter of the free memory holds so many pictures.

    Training holds those to learn from a second time.
    """
    return count * form.bytes < free_memory() // 4
