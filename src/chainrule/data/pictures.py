"""Pictures from files: any size and any kind of colour, as bytes in one form."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.picture_sizes import (
    INTERPOLATIONS,
    as_array,
    enough_pixels,
    read_size,
    resize_picture,
)
from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    DependencyError,
    FormatError,
)

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
# Only those that are decoded within Pillow: its reader of EPS starts a program.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG"),
    *("PPM", "SGI", "TGA", "TIFF", "WEBP"),
)
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
DEEPEST = 65535  # the brightest value of 16 bits
ORIENTATION = 0x0112  # the tag in EXIF


def load_picture(
    source: Any,
    *,
    size: int | Sequence[int] | None = None,
    color_mode: str = "rgb",
    interpolation: str = "bilinear",
    antialias: bool = True,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
) -> Array:
    """A picture as an array of bytes.

    The picture is turned upright as its EXIF data says. Palettes become colours, 16
    bits a channel become 8, inks (CMYK) become light, and of an animation the first
    frame is taken. What is transparent shows white, unless `color_mode` keeps it.

    Args:
        source: a path, the bytes of a file, or a file that is open for reading.
        size: height and width wanted, one number for a square, or None as it is.
        color_mode: `"rgb"`, `"grayscale"` or `"rgba"`.
        interpolation: how pixels are made where the size changes: `nearest`,
            `bilinear`, `bicubic`, `area`, `lanczos3`, `lanczos5`, `gaussian`,
            `mitchellcubic`.
        antialias: whether a pixel of a smaller picture takes in all that it covers.
        crop_to_aspect_ratio: whether to cut the sides off that do not fit, rather than
            distort.
        pad_to_aspect_ratio: whether to add black borders, rather than distort.

    Returns:
        uint8 `(height, width, channels)`; 1, 3 or 4 channels.

    Raises:
        FormatError: names the file when it is no picture, is damaged or cut off, or
            announces more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
        ArgumentError: for other arguments than those.
        DependencyError: when Pillow is not installed.

    Example:
        >>> page = b"P2 2 1 255 0 255"  # the portable graymap of two pixels
        >>> load_picture(page, color_mode="grayscale").tolist()
        [[[0], [255]]]
        >>> load_picture(page, size=(2, 4)).shape
        (2, 4, 3)
    """
    check_options(
        color_mode=color_mode,
        interpolation=interpolation,
        crop_to_aspect_ratio=crop_to_aspect_ratio,
        pad_to_aspect_ratio=pad_to_aspect_ratio,
    )
    wanted = None if size is None else read_size(size)
    window = (crop_to_aspect_ratio, pad_to_aspect_ratio)
    enough = (0, 0) if wanted is None or not antialias else wanted
    image = open_picture(source, color_mode, enough, window)
    if wanted is not None:
        return resize_picture(image, wanted, interpolation, antialias, window)
    return as_array(image)


def check_options(
    *,
    color_mode: str = "rgb",
    interpolation: str = "bilinear",
    antialias: bool = True,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
) -> None:
    """Refuse what `load_picture` does not know.

    Raises:
        ArgumentError: with what it knows.
    """
    known = {"color_mode": tuple(MODES), "interpolation": INTERPOLATIONS}
    given = {"color_mode": color_mode, "interpolation": interpolation}
    for name, value in given.items():
        if value not in known[name]:
            raise ArgumentError(
                f"unknown {name}",
                where=name,
                got=repr(value),
                expected=", ".join(known[name]),
            )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError(
            "a picture is cropped or padded, not both",
            where="crop_to_aspect_ratio",
            got="crop_to_aspect_ratio=True, pad_to_aspect_ratio=True",
        )


def pillow() -> Any:
    """The package Pillow, as `PIL.Image`.

    Raises:
        DependencyError: when it is not installed.
    """
    try:
        from PIL import Image  # noqa: PLC0415 - an optional package, at its door
    except ImportError:
        raise DependencyError(
            "reading pictures needs Pillow", fix="pip install 'chainrule[data]'"
        ) from None
    Image.init()
    return Image


def open_picture(
    source: Any,
    color_mode: str,
    enough: tuple[int, int] = (0, 0),
    window: tuple[bool, bool] = (False, False),
) -> Image:
    """The picture as Pillow's image of mode L, RGB or RGBA, upright.

    Args:
        source: a path, bytes, or an open file.
        color_mode: a key of `MODES`.
        enough: height and width that will be asked for: a JPEG several times as large
            is decoded at half its size or less, which is much faster. Zeros ask for
            all.
        window: whether it will be cropped, and whether padded.

    Raises:
        FormatError: names the file.
    """
    package = pillow()
    name = name_of(source)
    opened = _open(source, name)
    try:
        with opened as file:
            return _decode(package, file, name, color_mode, enough, window)
    except ChainruleError:
        raise
    except MemoryError:
        raise FormatError("the picture does not fit in memory", where=name) from None
    except Exception as error:  # decoders of damaged bytes raise whatever they like
        raise FormatError(
            "this is no picture, or it is damaged",
            where=name,
            got=_reason(error),
            expected=f"a picture: {', '.join(FORMATS)}",
        ) from None


def _reason(error: Exception) -> str:
    kind, text = type(error).__name__, str(error)
    # Pillow names objects in memory, which says nothing to the reader
    return kind if not text or "<_io" in text else f"{kind}: {text}"


def name_of(source: Any) -> str:
    """What messages call a picture."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    return str(getattr(source, "name", "the bytes of a picture"))


def _open(source: Any, name: str) -> Any:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        try:
            return open(source, "rb")
        except (OSError, ValueError) as error:
            raise FormatError(
                "the picture cannot be opened",
                where=name,
                got=getattr(error, "strerror", None) or str(error),
            ) from None
    if hasattr(source, "read"):
        return io.BytesIO(source.read())
    raise ArgumentError(
        "a picture comes from a path, bytes, or an open file",
        where="load_picture",
        got=type(source).__name__,
    )


def _decode(
    package: Any,
    file: Any,
    name: str,
    color_mode: str,
    enough: tuple[int, int],
    window: tuple[bool, bool],
) -> Image:
    known = [form for form in FORMATS if form in package.OPEN]
    image = package.open(file, formats=known)
    most = package.MAX_IMAGE_PIXELS
    width, height = image.size
    if most is not None and width * height > most:
        raise FormatError(
            "the picture announces more pixels than are read",
            where=name,
            got=f"{width:,} x {height:,} pixels",
            expected=f"at most {most:,} pixels",
            fix="make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS",
        )
    turn = _orientation(image)
    if all(enough):
        turned = turn >= 5  # orientations that swap height and width
        least = enough_pixels((height, width), enough, window, turned)
        image.draft(None, (least[1], least[0]))
    image.load()
    return _upright(package, _colored(package, image, color_mode, name), turn)


def _orientation(image: Image) -> int:
    """How the picture is to be turned, 1 to 8, as EXIF counts; 1 is upright."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not make the picture unreadable
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(package: Any, image: Image, turn: int) -> Image:
    kinds = package.Transpose
    moves = (
        kinds.FLIP_LEFT_RIGHT,
        kinds.ROTATE_180,
        kinds.FLIP_TOP_BOTTOM,
        kinds.TRANSPOSE,
        kinds.ROTATE_270,
        kinds.TRANSVERSE,
        kinds.ROTATE_90,
    )
    return image if turn == 1 else image.transpose(moves[turn - 2])


def _colored(package: Any, image: Image, color_mode: str, name: str) -> Image:
    """The image in the mode wanted, with 8 bits a channel."""
    mode = MODES[color_mode]
    if image.mode[0] == "I" or image.mode == "F":
        image = package.fromarray(_eight_bits(image, name))
    see_through = (
        image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    )
    if mode == "RGBA" or not see_through:
        return image.convert(mode)
    if image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    paper = package.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return paper.convert(mode)


def _eight_bits(image: Image, name: str) -> Array:
    """Grey of 16 bits as grey of 8.

    Raises:
        FormatError: for wider numbers, of which nobody knows where white is.
    """
    deep = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    values = np.asarray(image)
    if not deep or values.dtype.kind not in "iu":
        raise FormatError(
            "the pixels are numbers of 32 bits, which have no agreed white",
            where=name,
            got=f"mode {image.mode}",
            expected="8 or 16 bits",
            fix="numpy.asarray(PIL.Image.open(path)), scaled to 0..255 by you",
        )
    whole = np.clip(values.astype(np.int64), 0, DEEPEST)
    return ((whole + 128) // 257).astype(np.uint8)
