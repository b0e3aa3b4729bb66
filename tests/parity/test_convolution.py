"""Convolutions, pooling and resizing against PyTorch and Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule
from chainrule import layers
from chainrule.autodiff import vjp
from chainrule.functional.convolution import conv
from chainrule.functional.pooling import avg_pool, max_pool
from chainrule.functional.resize import resize
from tests.tolerances import PARITY, assert_close

torch = pytest.importorskip("torch")
with pytest.MonkeyPatch.context() as patched:
    patched.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")

# Keras hands weights to NumPy in a way that NumPy 2 warns of
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

Array = np.ndarray[Any, Any]


def _first(x: Array) -> Any:
    """Channels first, as PyTorch has them, with a gradient."""
    return torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)


def _last(x: Any) -> Array:
    moved: Array = np.moveaxis(x.detach().numpy(), 1, -1)
    return moved


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    each = st.integers(1, 3)
    taps = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilation = [draw(st.integers(1, 2)) for _ in range(rank)]
    padding = [draw(st.integers(0, 2)) for _ in range(rank)]
    lengths = [
        max((k - 1) * d + 1 - 2 * p, 1) + draw(st.integers(0, 5))
        for k, d, p in zip(taps, dilation, padding, strict=True)
    ]
    return {
        "x": (draw(st.integers(1, 3)), *lengths, groups * draw(each)),
        "taps": taps,
        "filters": groups * draw(each),
        "groups": groups,
        "strides": strides,
        "dilation": dilation,
        "padding": padding,
    }


@given(drawn=convolutions(), compiled=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_convolution_is_that_of_pytorch(
    drawn: dict[str, Any], compiled: bool
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=drawn["x"])
    groups, rank = drawn["groups"], len(drawn["taps"])
    shape = (*drawn["taps"], x.shape[-1] // groups, drawn["filters"])
    kernel = random.normal(size=shape)

    def ours(x: Any, kernel: Any) -> Any:
        return conv(
            x,
            kernel,
            strides=drawn["strides"],
            dilation=drawn["dilation"],
            padding=[(p, p) for p in drawn["padding"]],
            groups=groups,
        )

    def with_gradients(x: Any, kernel: Any, g: Any) -> Any:
        y, pullback = vjp(ours, x, kernel)
        return y, *pullback(g)

    tx = _first(x)
    order = (rank + 1, rank, *range(rank))
    tk = torch.tensor(np.transpose(kernel, order).copy(), requires_grad=True)
    apply = getattr(torch.nn.functional, f"conv{rank}d")
    ty = apply(
        tx,
        tk,
        stride=drawn["strides"],
        padding=drawn["padding"],
        dilation=drawn["dilation"],
        groups=groups,
    )
    g = random.normal(size=_last(ty).shape)
    ty.backward(torch.tensor(np.moveaxis(g, -1, 1).copy()))
    function = chainrule.jit(with_gradients) if compiled else with_gradients
    y, gx, gk = function(*map(chainrule.asarray, (x, kernel, g)))
    assert_close(y.numpy(), _last(ty), PARITY)
    assert_close(gx.numpy(), _last(tx.grad), PARITY)
    back = np.transpose(tk.grad.numpy(), (*range(2, rank + 2), 1, 0))
    assert_close(gk.numpy(), back, PARITY)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)]
)
def test_the_first_of_the_largest_gets_the_gradient(
    size: int, stride: int, padding: int
) -> None:
    random = np.random.default_rng(1)
    x = np.maximum(random.normal(size=(2, 8, 9, 3)).round(1), 0)  # with ties
    tx = _first(x)
    ty = torch.nn.functional.max_pool2d(tx, size, stride, padding)
    g = random.normal(size=_last(ty).shape)
    ty.backward(torch.tensor(np.moveaxis(g, -1, 1).copy()))
    widths = [(padding, padding)] * 2
    y, pullback = vjp(lambda x: max_pool(x, size, stride, widths), chainrule.asarray(x))
    assert_close(y.numpy(), _last(ty), PARITY)
    assert_close(pullback(chainrule.asarray(g))[0].numpy(), _last(tx.grad), PARITY)


def test_the_mean_of_a_window_leaves_padding_out() -> None:
    x = np.random.default_rng(4).normal(size=(2, 8, 9, 3))
    expected = torch.nn.functional.avg_pool2d(
        _first(x), 3, 2, 1, count_include_pad=False
    )
    assert_close(avg_pool(x, 3, 2, [(1, 1), (1, 1)]).numpy(), _last(expected), PARITY)


LAYERS = [
    ("Conv1D", (4, 3), {"padding": "same", "strides": 2}, (9, 3)),
    ("Conv1D", (4, 3), {"padding": "causal", "dilation_rate": 2}, (9, 3)),
    ("Conv2D", (4, 3), {"padding": "same", "strides": 2}, (8, 7, 3)),
    ("Conv2D", (6, (2, 3)), {"groups": 3, "activation": "relu"}, (8, 7, 3)),
    ("Conv3D", (2, 2), {"padding": "same"}, (4, 5, 3, 2)),
    ("Conv1DTranspose", (4, 3), {"strides": 2}, (5, 3)),
    ("Conv2DTranspose", (4, 3), {"strides": 2, "padding": "same"}, (5, 4, 3)),
    ("Conv2DTranspose", (4, 2), {"strides": 3}, (5, 4, 3)),
    ("Conv2DTranspose", (4, 4), {"strides": 2, "padding": "same"}, (5, 4, 3)),
    ("Conv3DTranspose", (2, 2), {"strides": 2}, (2, 3, 2, 2)),
    ("DepthwiseConv1D", (3,), {"padding": "same"}, (9, 3)),
    ("DepthwiseConv2D", (3,), {"depth_multiplier": 2, "strides": 2}, (9, 8, 3)),
    ("SeparableConv1D", (5, 3), {}, (9, 3)),
    ("SeparableConv2D", (5, 3), {"depth_multiplier": 2, "padding": "same"}, (6, 7, 3)),
    ("MaxPooling1D", (3,), {"strides": 2, "padding": "same"}, (9, 3)),
    ("MaxPooling2D", (2,), {}, (7, 6, 3)),
    ("MaxPooling3D", (2,), {}, (4, 5, 4, 2)),
    ("AveragePooling1D", (2,), {}, (9, 3)),
    ("AveragePooling2D", (3,), {"strides": 2}, (7, 6, 3)),
    ("AveragePooling3D", (2,), {}, (4, 5, 4, 2)),
    ("GlobalMaxPooling1D", (), {}, (9, 3)),
    ("GlobalAveragePooling2D", (), {"keepdims": True}, (7, 6, 3)),
    ("GlobalMaxPooling3D", (), {}, (2, 3, 2, 3)),
    ("UpSampling1D", (3,), {}, (4, 2)),
    ("UpSampling2D", ((2, 3),), {}, (3, 4, 2)),
    ("UpSampling2D", (2,), {"interpolation": "bilinear"}, (3, 4, 2)),
    ("UpSampling3D", (2,), {}, (2, 3, 2, 1)),
    ("ZeroPadding1D", ((1, 2),), {}, (4, 2)),
    ("ZeroPadding2D", (((1, 0), (2, 1)),), {}, (3, 4, 2)),
    ("ZeroPadding2D", ((1, 2),), {}, (3, 4, 2)),
    ("ZeroPadding3D", (1,), {}, (2, 2, 2, 1)),
    ("Cropping1D", ((1, 0),), {}, (4, 2)),
    ("Cropping2D", (((1, 0), (2, 1)),), {}, (3, 5, 2)),
    ("Cropping3D", ((1, 0, 1),), {}, (3, 2, 4, 1)),
    ("CenterCrop", (2, 3), {}, (5, 6, 2)),
    ("Resizing", (6, 5), {}, (4, 8, 2)),
]


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "sample"), LAYERS, ids=lambda value: str(value)
)
def test_layers_agree_with_keras(
    name: str, args: Any, kwargs: dict[str, Any], sample: tuple[int, ...]
) -> None:
    x = np.random.default_rng(2).normal(size=(2, *sample)).astype("float32")
    theirs, ours = getattr(keras.layers, name), getattr(layers, name)
    reference, layer = theirs(*args, **kwargs), ours(*args, **kwargs)
    reference(x)
    layer(x)
    layer.set_weights(reference.get_weights())
    # both built with zeros for biases: give them numbers
    shaken = [
        w + 0.1 * np.arange(w.size).reshape(w.shape) / w.size
        for w in layer.get_weights()
    ]
    layer.set_weights(shaken)
    reference.set_weights(shaken)
    expected = keras.ops.convert_to_numpy(reference(x).detach())
    assert_close(layer(x).numpy(), expected, PARITY)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(3, 4), (9, 11)])
def test_bilinear_resizing_is_that_of_pytorch(
    size: tuple[int, int], antialias: bool
) -> None:
    x = np.random.default_rng(3).normal(size=(2, 7, 8, 3))
    expected = torch.nn.functional.interpolate(
        _first(x), size, mode="bilinear", antialias=antialias, align_corners=False
    )
    assert_close(resize(x, size, antialias=antialias).numpy(), _last(expected), PARITY)
