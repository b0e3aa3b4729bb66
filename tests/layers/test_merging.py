"""What the contract of a layer does not say: merging, Einstein's notation, Lambda."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from tests.tolerances import assert_close

A, B = (np.random.default_rng(n).normal(size=(6, 4)).astype("f4") for n in (0, 1))


def test_functions_are_layers_called_at_once() -> None:
    expected = {
        "add": A + B,
        "subtract": A - B,
        "multiply": A * B,
        "average": (A + B) / 2,
        "maximum": np.maximum(A, B),
        "minimum": np.minimum(A, B),
        "concatenate": np.concatenate([A, B], 1),
        "dot": (A * B).sum(1, keepdims=True),
    }
    for name, value in expected.items():
        assert_close(getattr(layers, name)([A, B]).numpy(), value)


def test_merging_inside_a_model() -> None:
    x = chainrule.Input((4,))
    left, right = layers.Dense(3)(x), layers.Dense(3)(x)
    model = chainrule.Model(x, layers.Dense(1)(layers.concatenate([left, right])))
    model.compile("adam", "mse")
    history = model.fit(A, A[:, :1], epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize(
    ("layer", "inputs", "error"),
    [
        (layers.Add(), A, ArgumentError),
        (layers.Subtract(), [A, B, B], ArgumentError),
        (layers.Dot(axes=1), [A], ArgumentError),
        (layers.Add(), [A, B[:3]], ShapeError),
        (layers.Add(), [A, B[:, :3]], ShapeError),
        (layers.Concatenate(axis=0), [A, B], ShapeError),
        (layers.Concatenate(), [A, B[:, :, None]], ShapeError),
        (layers.Dot(axes=1), [A, B[:, :3]], ShapeError),
        (layers.Dot(axes=0), [A, B], ShapeError),
    ],
)
def test_what_cannot_be_merged_is_refused(layer: Any, inputs: Any, error: Any) -> None:
    with pytest.raises(error):
        layer(inputs)


@pytest.mark.parametrize("axes", ["1", [1], [1, 2, 3]])
def test_axes_are_one_or_two(axes: Any) -> None:
    with pytest.raises(ArgumentError):
        layers.Dot(axes=axes)


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes"),
    [
        ("ab,bc", 3, None),
        ("ab,bc->ad", 3, None),
        ("ab,cd->ad", 3, None),
        ("...ab,bc->ac", 3, None),
        ("...ab...,bc->...ac...", 3, None),
        ("ab,bc->ac", 3, "d"),
    ],
)
def test_equations_that_say_nothing_are_refused(
    equation: str, output_shape: Any, bias_axes: Any
) -> None:
    with pytest.raises(ArgumentError):
        layers.EinsumDense(equation, output_shape, bias_axes=bias_axes)


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape"),
    [
        ("ab,bc->ac", 3, (5, 4, 2)),
        ("abc,cd->abd", 3, (5, 4, 2)),
        ("abc,cd->abd", (7, 3), (5, 4, 2)),
        ("abc,cd->abd", (None, None), (5, 4, 2)),
        ("abc,cd->abd", (None, 3), (5, 4, None)),
    ],
)
def test_shapes_that_do_not_fit_an_equation_are_refused(
    equation: str, output_shape: Any, shape: Any
) -> None:
    with pytest.raises(ShapeError):
        layers.EinsumDense(equation, output_shape).build_for(shape)


def test_kernels_over_axes_have_the_spread_of_flat_ones() -> None:
    """Fans are counted over what is summed and what comes of it, as in `Dense`."""
    chainrule.set_seed(3)
    layer = layers.EinsumDense(
        "abc,bcde->ade", (20, 30), kernel_initializer="he_normal"
    )
    layer.build_for((None, 10, 40))
    spread = layer.kernel.numpy().std()
    assert abs(spread / np.sqrt(2 / 400) - 1) < 0.02


def test_a_lambda_trains_and_is_compiled() -> None:
    scale = layers.Lambda(lambda x, by: x * by, arguments={"by": 2.0})
    model = chainrule.Sequential([layers.Input((4,)), scale, layers.Dense(1)])
    model.compile("adam", "mse")
    assert scale.compute_output_shape((None, 4)) == (None, 4)
    history = model.fit(A, A[:, :1], epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    modes = layers.Lambda(lambda x, training, mask: (training, mask), mask="m")
    assert modes(A, training=True) == (True, "m")
    assert layers.Lambda(functional.exp)(A).shape == A.shape


def test_a_lambda_is_not_saved(tmp_path: Any) -> None:
    model = chainrule.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x)])
    with pytest.raises(ArgumentError, match="Lambda cannot be saved"):
        model.save(tmp_path / "model.chainrule")
    with pytest.raises(ArgumentError, match="function"):
        layers.Lambda("relu")


def test_residuals_are_dropped_by_the_sample() -> None:
    ones = np.ones((2000, 3), "f4")
    with random.stream(random.key(1)):
        found = layers.StochasticDepth(0.25)([ones, ones], training=True).numpy()
    assert np.all(found == found[:, :1])
    assert set(np.unique(found.round(4))) == {np.float32(1.0), np.float32(2.3333)}
    assert abs((found[:, 0] == 1).mean() - 0.25) < 0.03
    with pytest.raises(ArgumentError, match="shortcut"):
        layers.StochasticDepth(0.25)([ones, ones, ones])


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.AlphaDropout(1.0),
        lambda: layers.GaussianDropout(-0.1),
        lambda: layers.GaussianNoise(-0.1),
        lambda: layers.SpatialDropout1D(40),
        lambda: layers.SpatialDropout2D(0.5, data_format="first"),
        lambda: layers.Permute((0, 1)),
        lambda: layers.Permute((1, 3)),
        lambda: layers.RepeatVector(0),
        lambda: layers.PReLU(shared_axes=[0])(A),
        lambda: layers.ActivityRegularization(l1=-1.0),
    ],
)
def test_wrong_arguments_are_refused(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


class Pair(layers.Layer):
    """Two inputs, in a list or by name."""

    def build(self, input_shape: Any) -> None:
        specs = [layers.InputSpec(ndim=2), layers.InputSpec(shape=(None, 4))]
        named = isinstance(input_shape, dict)
        self.input_spec = dict(zip("ab", specs, strict=True)) if named else specs

    def call(self, inputs: Any) -> Any:
        first, second = inputs.values() if isinstance(inputs, dict) else inputs
        return first + second


def test_several_inputs_are_held_against_several_demands() -> None:
    expected = A + B
    assert_close(Pair()([A, B]).numpy(), expected)
    assert_close(Pair()({"a": A, "b": B}).numpy(), expected)
    layer = Pair()
    layer([A, B])
    with pytest.raises(ShapeError, match="axis 1"):
        layer([A, B[:, :3]])
    with pytest.raises(ShapeError, match="axes"):
        layer([A[:, :, None], B])
    with pytest.raises(ArgumentError, match="several inputs"):
        layer([A, B, B])
    with pytest.raises(ArgumentError, match="several inputs"):
        layer(A)
    x = chainrule.Input((3,))
    with pytest.raises(ShapeError, match="axis 1"):
        layer([x, x])


@pytest.mark.parametrize(
    ("demand", "error"),
    [
        (layers.InputSpec(max_ndim=1), ShapeError),
        (layers.InputSpec(min_ndim=3), ShapeError),
        (layers.InputSpec(shape=(6, 5)), ShapeError),
        (layers.InputSpec(dtype="float64"), chainrule.errors.DTypeError),
    ],
)
def test_demands_of_an_input(demand: Any, error: Any) -> None:
    layer = layers.Identity()
    layer(A)
    layer.input_spec = layers.InputSpec("float32", (None, 4), 2, 2, 2, {-1: 4})
    layer(A)
    layer.input_spec = demand
    with pytest.raises(error):
        layer(A)
