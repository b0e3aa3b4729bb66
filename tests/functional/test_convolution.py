"""Convolution, pooling and resizing against sums written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import layers
from chainrule.errors import ArgumentError, ChainruleError, ShapeError
from chainrule.functional.convolution import (
    conv,
    conv_transpose,
    padding_widths,
)
from chainrule.functional.pooling import avg_pool, max_pool
from chainrule.functional.resize import resize

RANDOM = np.random.default_rng(0)


def written_out(
    x: Any, kernel: Any, stride: int, dilation: int, groups: int
) -> np.ndarray[Any, Any]:
    """A convolution of images without padding, window by window."""
    samples, height, width = x.shape[:3]
    tall, wide, each, filters = kernel.shape
    rows = (height - (tall - 1) * dilation - 1) // stride + 1
    columns = (width - (wide - 1) * dilation - 1) // stride + 1
    result = np.zeros((samples, rows, columns, filters))
    for f in range(filters):
        group = f // (filters // groups)
        part = x[..., group * each : (group + 1) * each]
        for i in range(rows):
            for j in range(columns):
                window = part[
                    :,
                    i * stride : i * stride + (tall - 1) * dilation + 1 : dilation,
                    j * stride : j * stride + (wide - 1) * dilation + 1 : dilation,
                ]
                result[:, i, j, f] = (window * kernel[..., f]).sum(axis=(1, 2, 3))
    return result


@pytest.mark.parametrize(
    ("stride", "dilation", "groups"),
    [(1, 1, 1), (2, 1, 1), (1, 2, 1), (3, 2, 2), (1, 1, 4)],
)
def test_a_convolution_is_the_sum_of_weighted_windows(
    stride: int, dilation: int, groups: int
) -> None:
    x = RANDOM.normal(size=(2, 9, 11, 4))
    kernel = RANDOM.normal(size=(3, 2, 4 // groups, 8))
    got = conv(x, kernel, strides=stride, dilation=dilation, groups=groups)
    expected = written_out(x, kernel, stride, dilation, groups)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("stride", "size"), [(1, 3), (2, 3), (3, 2), (2, 4)])
def test_a_transposed_convolution_is_the_adjoint(
    padding: str, stride: int, size: int
) -> None:
    # <conv(a), b> = <a, conv_transpose(b)>
    b = RANDOM.normal(size=(2, 5, 6, 3))
    kernel = RANDOM.normal(size=(size, size, 4, 3))
    spread = conv_transpose(b, kernel, strides=stride, padding=padding).numpy()
    a = RANDOM.normal(size=spread.shape)
    folded = conv(a, kernel, strides=stride, padding=padding).numpy()
    assert folded.shape == b.shape
    np.testing.assert_allclose((folded * b).sum(), (a * spread).sum(), rtol=1e-10)


def test_same_padding_keeps_the_length_divided_by_the_stride() -> None:
    for length in range(1, 9):
        for stride in (1, 2, 3):
            y = conv(
                np.ones((1, length, 1)),
                np.ones((3, 1, 1)),
                padding="same",
                strides=stride,
            )
            assert y.shape == (1, -(-length // stride), 1)


def test_causal_windows_do_not_look_ahead() -> None:
    x = RANDOM.normal(size=(1, 8, 2))
    later = x.copy()
    later[:, 5:] += 1
    kernel = RANDOM.normal(size=(3, 2, 4))
    first, second = (
        conv(each, kernel, padding="causal", dilation=2).numpy() for each in (x, later)
    )
    np.testing.assert_array_equal(first[:, :5], second[:, :5])
    assert (first[:, 5:] != second[:, 5:]).all()


def test_padding_is_never_the_largest_and_does_not_count_in_a_mean() -> None:
    x = -np.ones((1, 3, 1))
    assert max_pool(x, 3, 1, "same").numpy().ravel().tolist() == [-1.0] * 3
    assert avg_pool(x, 3, 1, "same").numpy().ravel().tolist() == [-1.0] * 3


@pytest.mark.parametrize(
    "interpolation", ["bilinear", "bicubic", "lanczos3", "nearest"]
)
def test_even_images_stay_even_when_they_are_resized(interpolation: str) -> None:
    x = np.full((1, 5, 7, 2), 3.0)
    for antialias in (False, True):
        got = resize(x, (3, 11), interpolation, antialias).numpy()
        assert got.shape == (1, 3, 11, 2)
        np.testing.assert_allclose(got, 3.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: conv(np.ones((1, 2, 1)), np.ones((3, 1, 1))), "longer than the input"),
        (lambda: conv(np.ones((1, 5, 3)), np.ones((3, 2, 4))), "channels do not fit"),
        (lambda: conv(np.ones((5, 3)), np.ones((3, 2, 4))), "axis for each axis"),
        (lambda: max_pool(np.ones((1, 2, 1)), 3), "longer than the input"),
        (lambda: padding_widths("full", (3,), (2,), (1,)), "unknown padding"),
        (lambda: resize(np.ones((1, 2, 2, 1)), (3, 3), "cubic"), "interpolation"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, word: str) -> None:
    with pytest.raises((ShapeError, ArgumentError), match=word):
        call()


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, 3, name="small"),
        layers.DepthwiseConv2D(3, name="small"),
        layers.SeparableConv2D(4, 3, name="small"),
        layers.MaxPooling2D(3, name="small"),
        layers.AveragePooling2D(3, name="small"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_refuse_images_smaller_than_their_windows(layer: layers.Layer) -> None:
    with pytest.raises(ChainruleError) as caught:
        layer.compute_output_shape((None, 2, 2, 3))
    assert caught.value.where == "small"
    assert "(2, 2) positions" in str(caught.value)
