"""Pictures whose light, colours and levels are changed."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from chainrule import functional, layers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.functional.colors import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from chainrule.layers import Layer
from tests.tolerances import assert_close

Array = np.ndarray[Any, Any]

VALUED: dict[str, Callable[..., Layer]] = {
    "AutoContrast": layers.AutoContrast,
    "Equalization": layers.Equalization,
    "RandomBrightness": partial(layers.RandomBrightness, 0.5),
    "RandomColorDegeneration": partial(layers.RandomColorDegeneration, 0.5),
    "RandomColorJitter": partial(
        layers.RandomColorJitter,
        brightness_factor=0.2,
        contrast_factor=0.3,
        saturation_factor=0.7,
        hue_factor=0.4,
    ),
    "RandomContrast": partial(layers.RandomContrast, 0.5),
    "RandomGaussianBlur": layers.RandomGaussianBlur,
    "RandomHue": partial(layers.RandomHue, 0.5),
    "RandomInvert": layers.RandomInvert,
    "RandomPosterization": partial(layers.RandomPosterization, 4),
    "RandomSaturation": partial(layers.RandomSaturation, 0.8),
    "RandomSharpness": partial(layers.RandomSharpness, 0.8),
    "Solarization": partial(layers.Solarization, 0.2, (0.3, 0.8)),
}
every = pytest.mark.parametrize("make", VALUED.values(), ids=VALUED)


def pictures(*shape: int, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).integers(0, 256, shape)
    return values.astype("float32")


def change(layer: Layer, x: Any, key: int = 1) -> Array:
    with random.stream(random.key(key)):
        made: Array = layer(x, training=True).numpy()
    return made


@every
def test_the_scale_of_values_makes_no_difference(make: Callable[..., Layer]) -> None:
    x = pictures(8, 5, 6, 3)
    expected = change(make(), x)
    small = change(make(value_range=(0, 1)), x / 255) * 255
    levels = make is VALUED["RandomPosterization"] or make is VALUED["Equalization"]
    # a level that rounding makes a little smaller falls into the one below
    wrong = np.abs(small - expected) > (1e-2 if levels else 1e-3)
    assert wrong.mean() < (0.1 if levels else 1e-9)
    # from -1 to 1, as many networks have it; blurs have the 0 around elsewhere
    if "Blur" not in repr(make()) and "Sharp" not in repr(make()):
        middle = change(make(value_range=(-1, 1)), x / 127.5 - 1)
        wrong = np.abs((middle + 1) * 127.5 - expected) > 0.02
        assert wrong.mean() < (0.1 if levels else 0.01)


@every
def test_values_stay_within_their_range(make: Callable[..., Layer]) -> None:
    made = change(make(), pictures(40, 5, 6, 3))
    assert made.min() >= 0
    assert made.max() <= 255
    assert np.isfinite(made).all()


@every
def test_grey_pictures_have_one_channel(make: Callable[..., Layer]) -> None:
    x = pictures(20, 5, 6, 1)
    made = change(make(), x)
    assert made.shape == x.shape
    colours = ("RandomColorDegeneration", "RandomHue", "RandomSaturation")
    same = type(make()).__name__ in colours
    assert (made == x).all() == same


@every
def test_a_flat_picture_is_not_torn(make: Callable[..., Layer]) -> None:
    """Black, white and grey, of which some rules divide by 0."""
    for value in (0.0, 128.0, 255.0):
        made = change(make(), np.full((6, 5, 5, 3), value, "float32"))
        assert np.isfinite(made).all()
        inner = made[:, 2:3, 2:3]
        np.testing.assert_allclose(made[:, 1:-1, 1:-1], inner + 0 * made[:, 1:-1, 1:-1])


def test_colours_are_those_of_the_standard_library() -> None:
    x = np.concatenate([np.random.default_rng(0).uniform(0, 1, (50, 3)), np.eye(3)])
    x = np.concatenate([x, 1 - np.eye(3), [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]])
    expected = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in x])
    found = rgb_to_hsv(x)
    assert_close(found.numpy(), expected)
    assert_close(hsv_to_rgb(found).numpy(), x)
    turned = found.numpy() + np.array([3.25, 0, 0])
    expected = np.array([colorsys.hsv_to_rgb(*p) for p in turned % [1, 2, 2]])
    assert_close(hsv_to_rgb(turned).numpy(), expected)
    grey = rgb_to_grayscale(x).numpy()[:, 0]
    assert_close(grey, x @ np.array([0.2989, 0.587, 0.114]))


def test_light_is_added_alike_to_all_of_a_picture() -> None:
    x = np.full((2000, 2, 2, 3), 100, "float32")
    added = change(layers.RandomBrightness((-0.2, 0.4)), x) - 100
    assert np.ptp(added, axis=(1, 2, 3)).max() == 0
    share = added[:, 0, 0, 0] / 255
    assert -0.2 <= share.min() < -0.19
    assert 0.39 < share.max() < 0.4 + 1e-6
    white = change(layers.RandomBrightness((1.0, 1.0)), pictures(2, 3, 3, 3))
    assert (white == 255).all()


def test_contrast_keeps_the_mean_of_each_channel() -> None:
    x = 100 + np.random.default_rng(0).uniform(-20, 20, (800, 4, 4, 3))
    x = x.astype("float32")
    mean = x.mean(axis=(1, 2), keepdims=True)
    for factor, ends in ((0.4, (0.6, 1.4)), ((0.1, 0.3), (0.9, 1.3))):
        made = change(layers.RandomContrast(factor), x)
        np.testing.assert_allclose(
            made.mean(axis=(1, 2), keepdims=True), mean, atol=1e-3
        )
        scale = (made - mean) / (x - mean)
        scale = np.median(scale, axis=(1, 2, 3))
        assert ends[0] - 1e-3 < scale.min() < ends[0] + 0.02
        assert ends[1] - 0.02 < scale.max() < ends[1] + 1e-3


def hsv(x: Array) -> Array:
    flat = x.reshape(-1, 3) / 255
    return np.array([colorsys.rgb_to_hsv(*p) for p in flat]).reshape(x.shape)


def test_saturation_is_scaled_up_to_pure_colours() -> None:
    x = pictures(4, 5, 6, 3)
    for factor in (0.0, 0.2, 0.5, 0.9, 1.0):
        made = change(layers.RandomSaturation((factor, factor)), x)
        expected = hsv(x)
        scale = factor / (1 - factor) if factor < 1 else 1e9
        expected[..., 1] = np.minimum(expected[..., 1] * scale, 1)
        rgb = [colorsys.hsv_to_rgb(*p) for p in expected.reshape(-1, 3)]
        np.testing.assert_allclose(
            made, np.array(rgb).reshape(x.shape) * 255, atol=2e-3
        )


def test_hues_turn_either_way() -> None:
    red = np.zeros((3000, 1, 1, 3), "float32")
    red[..., 0] = 200
    made = hsv(change(layers.RandomHue(0.5), red))[:, 0, 0]
    np.testing.assert_allclose(made[:, 1], 1, atol=1e-5)
    np.testing.assert_allclose(made[:, 2] * 255, 200, atol=1e-3)
    turn = (made[:, 0] + 0.5) % 1 - 0.5
    assert -0.25 - 1e-5 < turn.min() < -0.245
    assert 0.245 < turn.max() < 0.25 + 1e-5
    assert abs(turn.mean()) < 0.01


def test_jitter_is_its_parts_one_after_another() -> None:
    x = pictures(6, 5, 6, 3)
    parts = [
        layers.RandomBrightness((0.2, 0.2)),
        layers.RandomContrast((0.0, 0.0)),
        layers.RandomSaturation((0.3, 0.3)),
    ]
    expected: Any = x
    for part in parts:
        expected = change(part, expected)
    jitter = layers.RandomColorJitter(
        brightness_factor=(0.2, 0.2),
        contrast_factor=(0.0, 0.0),
        saturation_factor=(0.3, 0.3),
    )
    np.testing.assert_allclose(change(jitter, x), expected, atol=1e-3)
    np.testing.assert_array_equal(change(layers.RandomColorJitter(), x), x)


def test_shares_of_the_pictures_are_changed() -> None:
    x = pictures(1000, 3, 3, 3)
    for layer, low, high in (
        (layers.RandomGrayscale(0.3), 250, 350),
        (layers.RandomInvert((0.8, 0.8)), 760, 840),
        (layers.RandomInvert(), 450, 550),  # a chance drawn from 0 to 1
        (layers.RandomGaussianBlur((0.4, 0.4)), 350, 450),
        (layers.RandomGrayscale(0.0), 0, 0),
        (layers.RandomInvert((0.0, 0.0)), 0, 0),
    ):
        made = change(layer, x)
        assert low <= (made != x).any(axis=(1, 2, 3)).sum() <= high


def test_bits_are_kept_from_the_first() -> None:
    x = pictures(300, 5, 5, 3)
    made = change(layers.RandomPosterization((2, 4)), x).astype(int)
    seen = set()
    for old, new in zip(x.astype(int), made, strict=True):
        ways = [
            bits for bits in (2, 3, 4) if (new == old >> 8 - bits << 8 - bits).all()
        ]
        assert ways
        seen.add(ways[0])
    assert seen == {2, 3, 4}
    np.testing.assert_array_equal(change(layers.RandomPosterization((8, 8)), x), x)


def test_what_is_bright_is_inverted() -> None:
    x = np.arange(256, dtype="float32").reshape(1, 16, 16, 1)
    made = change(layers.Solarization((0.1, 0.1), (0.5, 0.5)), x)
    light = np.minimum(x + 25.5, 255)
    np.testing.assert_allclose(made, np.where(light < 127.5, light, 255 - light))
    np.testing.assert_array_equal(change(layers.Solarization(), x), 255 - x)


def test_contrast_fills_the_range() -> None:
    x = pictures(5, 6, 7, 3) / 4 + 60
    x[0, ..., 1] = 77
    layer = layers.AutoContrast()
    made = change(layer, x)
    np.testing.assert_array_equal(layer(x).numpy(), made)
    np.testing.assert_array_equal(made[0, ..., 1], x[0, ..., 1])
    np.testing.assert_allclose(made[1:].min(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(made[1:].max(axis=(1, 2)), 255, atol=1e-4)
    order = np.argsort(x[2, ..., 0].ravel(), kind="stable")
    assert (np.diff(made[2, ..., 0].ravel()[order]) >= 0).all()


def test_levels_become_equally_frequent() -> None:
    x = np.random.default_rng(0).gamma(2.0, 15.0, (3, 64, 64, 2)).clip(0, 255)
    x = np.floor(x).astype("float32")
    x[1, ..., 0] = 9
    made = change(layers.Equalization(), x)
    np.testing.assert_array_equal(made[1, ..., 0], x[1, ..., 0])
    for i, j in ((0, 0), (0, 1), (1, 1), (2, 0)):
        old, new = x[i, ..., j].ravel(), made[i, ..., j].ravel()
        first = (old <= old.min()).sum()
        rank = np.array([(old <= value).sum() for value in old])
        expected = np.round((rank - first) * 255 / (old.size - first))
        np.testing.assert_allclose(new, expected, atol=1)
    alone = change(layers.Equalization(), x[2:])
    np.testing.assert_array_equal(alone[0], made[2])  # whatever else is in the batch


def test_a_blur_is_a_sum_over_both_axes() -> None:
    x = pictures(3, 7, 8, 2)
    layer = layers.RandomGaussianBlur((1.0, 1.0), (3, 5), (1.5, 1.5))
    expected = x.astype("float64")
    for axis, size in ((1, 3), (2, 5)):
        weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / 1.5) ** 2)
        weights /= weights.sum()
        expected = np.apply_along_axis(np.convolve, axis, expected, weights, "same")
    np.testing.assert_allclose(change(layer, x), expected, atol=1e-3)


def test_sharpness_is_a_distance_from_a_mean() -> None:
    x = pictures(2, 6, 7, 3) / 2 + 60
    wide = np.pad(x.astype("float64"), ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = sum(wide[:, i : i + 6, j : j + 7] for i in range(3) for j in range(3))
    smooth = (around + 4 * x) / 13
    for factor in (0.0, 0.5, 0.8):
        made = change(layers.RandomSharpness((factor, factor)), x)
        expected = np.clip(x + (1 - 2 * factor) * (smooth - x), 0, 255)
        np.testing.assert_allclose(made, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: layers.RandomBrightness(1.5), "factor"),
        (lambda: layers.RandomBrightness(0.5, value_range=(0, 0)), "value_range"),
        (lambda: layers.RandomContrast(-0.2), "factor"),
        (lambda: layers.RandomContrast(0.2, 255), "value_range"),
        (lambda: layers.RandomHue(2.0), "factor"),
        (lambda: layers.RandomSaturation(None), "factor"),
        (lambda: layers.RandomColorJitter(hue_factor=3), "factor"),
        (lambda: layers.RandomGrayscale(1.5), "factor"),
        (lambda: layers.RandomPosterization(0), "factor"),
        (lambda: layers.RandomGaussianBlur(kernel_size=4), "kernel_size"),
        (lambda: layers.RandomGaussianBlur(kernel_size=(3, 5, 7)), "kernel_size"),
        (lambda: layers.RandomGaussianBlur(sigma=-1.0), "sigma"),
        (lambda: layers.Equalization(bins=0), "bins"),
        (lambda: layers.Solarization(2.0), "addition_factor"),
    ],
)
def test_mistakes_are_named(make: Callable[[], Layer], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        make()


def test_colours_are_three() -> None:
    x = functional.zeros((1, 4, 4, 4))
    for layer in (layers.RandomHue(0.1), layers.RandomGrayscale()):
        with pytest.raises(ShapeError, match="red, green and blue"):
            layer(x, training=True)
    with pytest.raises(ShapeError, match="three numbers"):
        rgb_to_hsv(x)
