"""Colours in other terms: grey, and hue, saturation and value.

The last axis of a picture holds red, green and blue.
"""

from __future__ import annotations

from chainrule.errors import ShapeError
from chainrule.functional.elementwise import abs, clip, maximum, minimum, remainder
from chainrule.functional.manipulation import stack
from chainrule.functional.promotion import ArrayLike, Tensor, finfo, promoted_floats
from chainrule.functional.searching import where

# how bright the three look: ITU-R BT.601, as Keras and PIL round it
SHARES = (0.2989, 0.587, 0.114)


def _planes(where: str, images: ArrayLike) -> tuple[Tensor, Tensor, Tensor]:
    (x,) = promoted_floats(images)
    if x.spec.ndim < 1 or x.spec.shape[-1] != 3:
        raise ShapeError(
            "the last axis holds three numbers of a colour",
            where=where,
            got=x.spec,
            expected="(..., 3)",
        )
    return x[..., 0], x[..., 1], x[..., 2]


def rgb_to_grayscale(images: ArrayLike, /) -> Tensor:
    """How bright each pixel looks, `0.2989 R + 0.587 G + 0.114 B`, `(..., 1)`.

    Pictures of one channel are returned as they are.

    Raises:
        ShapeError: when the last axis has neither 1 nor 3 channels.

    Example:
        >>> round(rgb_to_grayscale([[0.0, 1.0, 0.0]]).item(), 3)
        0.587
    """
    (x,) = promoted_floats(images)
    if x.spec.ndim > 0 and x.spec.shape[-1] == 1:
        return x
    planes = _planes("rgb_to_grayscale", x)
    red, green, blue = (s * plane for s, plane in zip(SHARES, planes, strict=True))
    return (red + green + blue)[..., None]


def rgb_to_hsv(images: ArrayLike, /) -> Tensor:
    """Hue, saturation and value of red, green and blue.

    Hue and saturation are from 0 to 1; the value is the largest of the three, on their
    scale. Smith, "Color gamut transform pairs", SIGGRAPH 1978.

    Raises:
        ShapeError: when the last axis does not have 3 channels.

    Example:
        >>> rgb_to_hsv([0.0, 4.0, 2.0]).tolist()
        [0.4166666865348816, 1.0, 4.0]
    """
    red, green, blue = _planes("rgb_to_hsv", images)
    value = maximum(maximum(red, green), blue)
    spread = value - minimum(minimum(red, green), blue)
    tiny = finfo(value.spec.dtype).eps
    value_or_one = where(value > tiny, value, 1.0)
    saturation = where(value > tiny, spread / value_or_one, 0.0)
    sixth = 1.0 / (6.0 * where(spread > 0, spread, 1.0))
    hue = where(
        value == green,
        sixth * (blue - red) + 2.0 / 6.0,
        sixth * (red - green) + 4.0 / 6.0,
    )
    hue = where(value == red, sixth * (green - blue), hue)
    hue = where(spread > 0, hue, 0.0)
    return stack([where(hue < 0, hue + 1.0, hue), saturation, value], axis=-1)


def hsv_to_rgb(images: ArrayLike, /) -> Tensor:
    """Red, green and blue of hue, saturation and value; see `rgb_to_hsv`.

    Hues beyond 0 to 1 go on around the circle.

    Raises:
        ShapeError: when the last axis does not have 3 channels.

    Example:
        >>> hsv_to_rgb([1 / 3, 1.0, 5.0]).tolist()
        [0.0, 5.0, 0.0]
    """
    hue, saturation, value = _planes("hsv_to_rgb", images)
    turn = 6.0 * remainder(hue, 1.0)
    red = clip(abs(turn - 3.0) - 1.0, 0.0, 1.0)
    green = clip(2.0 - abs(turn - 2.0), 0.0, 1.0)
    blue = clip(2.0 - abs(turn - 4.0), 0.0, 1.0)
    rest = 1.0 - saturation
    planes = [value * (rest + saturation * part) for part in (red, green, blue)]
    return stack(planes, axis=-1)
