"""Pictures as Pillow's images, and arrays as pictures, under the names of Keras."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.picture_sizes import crop_window, read_size
from chainrule.data.pictures import MODES, check_options, open_picture, pillow
from chainrule.errors import ArgumentError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]

# Pillow's numbers for them; the values of Resampling
RESAMPLING = {
    "nearest": 0,
    "lanczos": 1,
    "bilinear": 2,
    "bicubic": 3,
    "box": 4,
    "hamming": 5,
}
BRIGHTEST = 255


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: int | Sequence[int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """A picture from a file, as Pillow's image of 8 bits a channel, upright.

    Args:
        path: a path, the bytes of a file, or an open file.
        color_mode: `"rgb"`, `"grayscale"` or `"rgba"`.
        target_size: height and width wanted; None leaves it as it is.
        interpolation: `nearest`, `bilinear`, `bicubic`, `lanczos`, `box` or `hamming`.
        keep_aspect_ratio: whether to crop rather than distort.

    Raises:
        FormatError: names the file when it is damaged or no picture.
        ArgumentError: for other arguments than those.

    Example:
        >>> load_img(b"P2 2 1 255 0 255", target_size=(4, 4)).size
        (4, 4)
    """
    check_options(color_mode=color_mode)
    if interpolation not in RESAMPLING:
        raise ArgumentError(
            "unknown interpolation",
            where="interpolation",
            got=repr(interpolation),
            expected=", ".join(RESAMPLING),
        )
    wanted = None if target_size is None else read_size(target_size)
    image = open_picture(path, color_mode)
    size = image.height, image.width
    if wanted is None or size == wanted:
        return image
    top, left = 0, 0
    if keep_aspect_ratio:
        top, left, size = crop_window(size, wanted)
    window = (left, top, left + size[1], top + size[0])
    return image.resize((wanted[1], wanted[0]), RESAMPLING[interpolation], window)


def img_to_array(
    img: Image, data_format: str | None = None, dtype: Any = None
) -> Array:
    """Pillow's image as an array `(height, width, channels)`.

    Args:
        img: the image.
        data_format: `"channels_last"`, the default, or `"channels_first"`.
        dtype: float32 by default.

    Raises:
        ShapeError: when this has neither two axes nor three.

    Example:
        >>> img_to_array(load_img(b"P2 2 1 255 0 255", "grayscale")).tolist()
        [[[0.0], [255.0]]]
    """
    first = _is_first(data_format)
    x = np.array(img, np.float32 if dtype is None else dtype)
    if x.ndim == 2:
        x = x[:, :, None]
    if x.ndim != 3:
        raise ShapeError(
            "an image has two axes, or three with its channels",
            where="img_to_array",
            got=f"shape {x.shape}",
        )
    return np.ascontiguousarray(np.moveaxis(x, -1, 0)) if first else x


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Image:
    """An array of three axes as Pillow's image.

    Args:
        x: `(height, width, channels)`, with 1, 3 or 4 channels.
        data_format: `"channels_last"`, the default, or `"channels_first"`.
        scale: whether to spread the values so that they reach from 0 to 255.
        dtype: in which to compute; float32 by default.

    Raises:
        ShapeError: for other shapes.
        ArgumentError: for values that are no numbers, or, unscaled, beyond 0 to 255.

    Example:
        >>> image = array_to_img(np.array([[[0.0], [0.5]]]))
        >>> image.mode, image.getpixel((1, 0))
        ('L', 255)
    """
    package = pillow()
    first = _is_first(data_format)
    x = np.array(x, np.float32 if dtype is None else dtype)
    if x.ndim == 3 and first:
        x = np.moveaxis(x, 0, -1)
    if x.ndim != 3 or x.shape[2] not in (1, 3, 4) or x.size == 0:
        raise ShapeError(
            "an image has height, width, and 1, 3 or 4 channels",
            where="array_to_img",
            got=f"shape {x.shape}, {'channels_first' if first else 'channels_last'}",
        )
    if not np.isfinite(x).all():
        raise ArgumentError(
            "the pixels of an image are finite", where="array_to_img", got="NaN or inf"
        )
    if scale:
        x = x - x.min()
        x = x / (x.max() or 1) * BRIGHTEST
    if x.min() < 0 or x.max() > BRIGHTEST:
        raise ArgumentError(
            "the pixels of an image lie between 0 and 255",
            where="array_to_img",
            got=f"{x.min():g} to {x.max():g}",
            fix="scale=True, or numpy.clip(x, 0, 255)",
        )
    pixels = np.ascontiguousarray(x.astype(np.uint8))
    modes = {1: "grayscale", 3: "rgb", 4: "rgba"}
    shown = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    image = package.fromarray(shown)
    assert image.mode == MODES[modes[pixels.shape[2]]]
    return image


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Save an array as a picture.

    Args:
        path: where to, or a file open for writing.
        x: see `array_to_img`.
        data_format: see `array_to_img`.
        file_format: such as `"png"`; by default what the name ends in.
        scale: see `array_to_img`.
        **kwargs: for `PIL.Image.Image.save`.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save_img(file, np.zeros((2, 2, 3)), file_format="png")
        >>> file.getvalue()[1:4]
        b'PNG'
    """
    image = array_to_img(x, data_format, scale)
    name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    kind = (file_format or os.path.splitext(name)[1].removeprefix(".")).lower()
    if kind in ("jpg", "jpeg", "jfif"):
        file_format = "jpeg"
        if image.mode == "RGBA":
            warnings.warn(
                "JPEG keeps no transparency: it is left out", UserWarning, stacklevel=2
            )
            image = image.convert("RGB")
    image.save(path, format=file_format, **kwargs)


def _is_first(data_format: str | None) -> bool:
    if data_format not in (None, "channels_last", "channels_first"):
        raise ArgumentError(
            "unknown data_format",
            where="data_format",
            got=repr(data_format),
            expected="channels_last or channels_first",
        )
    return data_format == "channels_first"
