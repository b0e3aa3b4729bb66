"""What every layer keeps to, generated from one list of cases."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import functional, layers
from chainrule.autodiff import vjp
from chainrule.configurable import parameters
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.jit import jit
from chainrule.layers import Layer
from chainrule.variable import current_values, substitute
from tests.tolerances import DIFFERENCES, assert_close, assert_compiled

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A layer and the shape of one sample for it; of several inputs, those of each."""

    make: Callable[..., Layer]
    sample: Any
    name: str
    # where the inputs are whole numbers, how many there are
    numbers: int = 0

    def shape(self, rows: int | None) -> Any:
        """The shape of a batch, or a list of shapes."""
        if isinstance(self.sample, list):
            return [(rows, *shape) for shape in self.sample]
        return (rows, *self.sample)


def case(
    kind: type[Layer],
    *args: Any,
    sample: Any = (6,),
    numbers: int = 0,
    **kwargs: Any,
) -> Case:
    def make(**options: Any) -> Layer:
        return kind(*args, **kwargs, **options)

    parts = [*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())]
    return Case(make, sample, f"{kind.__name__}({', '.join(parts)})", numbers)


GRU_CELLS = [
    {"class_name": "GRUCell", "config": {"units": n, "name": f"cell_{n}"}}
    for n in (3, 4)
]
GRU_LAYER = {
    "class_name": "GRU",
    "config": {"units": 3, "return_sequences": True, "name": "in"},
}
DENSE = {"class_name": "Dense", "config": {"units": 5, "name": "in"}}
FLIP = {"class_name": "RandomFlip", "config": {"mode": "vertical", "name": "in"}}

CASES = [
    case(layers.Activation, "tanh"),
    case(layers.Activation, "softmax", sample=(3, 4)),
    case(layers.AveragePooling1D, sample=(7, 3)),
    case(layers.AveragePooling2D, 3, strides=2, padding="same", sample=(5, 7, 2)),
    case(layers.AveragePooling3D, sample=(4, 5, 6, 1)),
    case(layers.BoxDecoder, [8, 16], sample=[(4, 6, 7), (2, 3, 7)]),
    case(layers.CenterCrop, 3, 4, sample=(5, 6, 2)),
    case(layers.CenterCrop, 6, 4, sample=(5, 6, 2)),
    case(layers.Conv1D, 4, 3, padding="causal", dilation_rate=2, sample=(7, 3)),
    case(layers.Conv1DTranspose, 4, 3, strides=2, sample=(5, 3)),
    case(layers.Conv2D, 4, 3, activation="relu", sample=(5, 6, 2)),
    case(layers.Conv2D, 4, (3, 2), strides=2, padding="same", sample=(5, 6, 2)),
    case(layers.Conv2D, 4, 3, groups=2, use_bias=False, sample=(5, 6, 2)),
    case(layers.Conv2D, 3, 3, data_format="channels_first", sample=(2, 5, 6)),
    case(layers.Conv2DTranspose, 3, 3, strides=2, padding="same", sample=(3, 4, 2)),
    case(layers.Conv3D, 3, 2, sample=(3, 4, 5, 2)),
    case(layers.Conv3DTranspose, 2, 2, strides=2, sample=(2, 3, 2, 2)),
    case(layers.Cropping1D, 1, sample=(5, 2)),
    case(layers.Cropping2D, ((1, 0), (2, 1)), sample=(4, 5, 2)),
    case(layers.Cropping3D, (1, 0, 1), sample=(3, 2, 4, 2)),
    case(layers.DepthwiseConv1D, 3, strides=2, sample=(8, 3)),
    case(layers.DepthwiseConv2D, 3, depth_multiplier=2, sample=(5, 6, 3)),
    case(layers.GlobalAveragePooling1D, sample=(5, 3)),
    case(layers.GlobalAveragePooling2D, keepdims=True, sample=(4, 5, 3)),
    case(layers.GlobalAveragePooling3D, sample=(2, 3, 4, 3)),
    case(layers.GlobalMaxPooling1D, sample=(5, 3)),
    case(layers.GlobalMaxPooling2D, data_format="channels_first", sample=(3, 4, 5)),
    case(layers.GlobalMaxPooling3D, sample=(2, 3, 4, 3)),
    case(layers.MaxPooling1D, 3, strides=1, padding="same", sample=(7, 3)),
    case(layers.MaxPooling2D, sample=(5, 6, 3)),
    case(layers.MaxPooling3D, sample=(2, 4, 3, 2)),
    # of inputs around 0; far from where values are cut, and gradients with them
    case(layers.AugMix, (-9, 9), num_chains=2, chain_depth=1, sample=(4, 5, 3)),
    case(layers.RandAugment, (-9, 9), 2, (0.1, 0.3), seed=1, sample=(4, 5, 3)),
    case(layers.AutoContrast, (-9, 9), sample=(5, 6, 2)),
    case(layers.Equalization, (-3, 3), 16, sample=(5, 6, 2)),
    case(layers.RandomBrightness, 0.3, (-9, 9), seed=1, sample=(5, 6, 2)),
    case(
        layers.RandomColorDegeneration,
        (0.2, 0.9),
        (-9, 9),
        data_format="channels_first",
        sample=(3, 5, 4),
    ),
    case(
        layers.RandomColorJitter,
        [-9, 9],
        brightness_factor=0.1,
        contrast_factor=(0.2, 0.3),
        saturation_factor=(0.2, 0.5),
        hue_factor=0.2,
        sample=(4, 3, 3),
    ),
    case(layers.RandomContrast, 0.3, (-9, 9), sample=(5, 6, 2)),
    case(layers.RandomContrast, (0.1, 0.3), value_range=(-9, 9), sample=(4, 3, 1)),
    case(layers.RandomCrop, 3, 4, seed=1, sample=(5, 6, 2)),
    case(layers.RandomCrop, 3, 4, data_format="channels_first", sample=(2, 2, 6)),
    case(layers.RandomFlip, sample=(5, 6, 2)),
    case(layers.RandomFlip, "horizontal", seed=2, sample=(5, 6, 2)),
    case(layers.CutMix, seed=1, sample=(6, 5, 2)),
    case(layers.CutMix, (0.3, 0.9), data_format="channels_first", sample=(2, 6, 5)),
    case(layers.MixUp, sample=(6, 5, 2)),
    case(layers.MixUp, 3.0, seed=2, sample=(6, 5, 2)),
    case(layers.RandomErasing, value_range=(-9, 9), sample=(6, 5, 2)),
    case(
        layers.RandomErasing,
        (0.4, 0.9),
        (0.2, 0.3),
        [1.0, 2.0],
        seed=2,
        sample=(6, 5, 2),
    ),
    case(layers.Pipeline, [FLIP], sample=(4, 5, 2)),
    case(layers.RandomGaussianBlur, value_range=(-9, 9), sample=(5, 6, 2)),
    case(
        layers.RandomGaussianBlur,
        (0.5, 0.8),
        (5, 3),
        (0.5, 2.0),
        (-9, 9),
        sample=(5, 6, 3),
    ),
    case(layers.RandomGrayscale, 0.7, sample=(4, 5, 3)),
    case(layers.RandomGrayscale, sample=(4, 5, 1)),
    case(layers.RandomHue, 0.4, (-9, 9), seed=1, sample=(4, 5, 3)),
    case(layers.RandomInvert, (0.4, 0.6), (-9, 9), sample=(4, 5, 3)),
    case(layers.RandomPosterization, 6, (-9, 9), sample=(4, 5, 3)),
    case(layers.RandomSaturation, (0.3, 0.5), (-9, 9), sample=(4, 5, 3)),
    case(layers.RandomSharpness, 0.9, (-99, 99), sample=(4, 5, 3)),
    case(layers.Solarization, 0.1, (0.4, 0.6), (-9, 9), sample=(4, 5, 3)),
    case(layers.RandomPerspective, scale=0.3, seed=1, sample=(5, 6, 2)),
    case(layers.RandomRotation, 0.2, "constant", fill_value=0.5, sample=(5, 6, 2)),
    case(layers.RandomRotation, (-0.1, 0.3), interpolation="nearest", sample=(5, 6, 2)),
    case(layers.RandomShear, 0.3, (0.1, 0.2), seed=1, sample=(5, 6, 2)),
    case(layers.RandomTranslation, 0.3, (-0.2, 0.4), "wrap", sample=(5, 6, 2)),
    case(
        layers.RandomTranslation,
        0.3,
        0.2,
        data_format="channels_first",
        bounding_box_format="xywh",
        sample=(2, 5, 6),
    ),
    case(layers.RandomZoom, 0.3, fill_mode="nearest", sample=(5, 6, 2)),
    case(layers.RandomZoom, (-0.5, 0.2), 0.4, sample=(5, 6, 2)),
    case(layers.Resizing, 3, 7, sample=(5, 4, 2)),
    case(layers.Resizing, 4, 4, "bicubic", antialias=True, sample=(9, 5, 1)),
    case(layers.Resizing, 3, 3, "nearest", crop_to_aspect_ratio=True, sample=(4, 6, 1)),
    case(layers.SeparableConv1D, 4, 3, padding="same", sample=(6, 3)),
    case(layers.SeparableConv2D, 4, 3, depth_multiplier=2, sample=(5, 5, 2)),
    case(layers.UpSampling1D, 3, sample=(4, 2)),
    case(layers.UpSampling2D, (2, 3), sample=(3, 2, 2)),
    case(layers.UpSampling2D, interpolation="bilinear", sample=(3, 2, 2)),
    case(layers.UpSampling3D, sample=(2, 2, 3, 1)),
    case(layers.ZeroPadding1D, (2, 0), sample=(4, 2)),
    case(layers.ZeroPadding2D, ((1, 0), (0, 2)), sample=(3, 4, 2)),
    case(layers.ZeroPadding3D, sample=(2, 2, 2, 1)),
    case(layers.Dense, 5),
    case(layers.Dense, 5, "relu", use_bias=False),
    case(layers.Dense, 4, activation="gelu", kernel_initializer="he_normal"),
    case(
        layers.Dense,
        3,
        kernel_initializer={"class_name": "Orthogonal", "config": {"gain": 2.0}},
        bias_initializer="ones",
        sample=(2, 3, 5),
    ),
    case(layers.Dropout, 0.4),
    case(layers.Dropout, 0.25, noise_shape=(None, 1, 6), seed=3, sample=(4, 6)),
    case(layers.ELU, 0.7),
    case(layers.Flatten, sample=(3, 4, 2)),
    case(layers.Flatten, sample=()),
    case(layers.InputLayer, (3, 4), sample=(3, 4)),
    case(layers.LeakyReLU, 0.2),
    case(layers.ReLU),
    case(layers.ReLU, max_value=1.0, negative_slope=0.1, threshold=0.2),
    case(layers.Rescaling, 1 / 255, offset=-0.5),
    case(layers.Reshape, (3, -1), sample=(2, 6)),
    case(layers.BatchNormalization),
    case(
        layers.BatchNormalization,
        axis=1,
        momentum=0.5,
        epsilon=0.1,
        gamma_regularizer="l2",
        beta_constraint="non_neg",
        sample=(3, 4),
    ),
    case(layers.BatchNormalization, center=False, scale=False, sample=(3, 4)),
    case(layers.LayerNormalization),
    case(
        layers.LayerNormalization, axis=[1, 2], beta_initializer="ones", sample=(3, 4)
    ),
    case(layers.LayerNormalization, rms_scaling=True, sample=(3, 4)),
    case(layers.GroupNormalization, groups=2),
    case(layers.GroupNormalization, groups=-1, axis=1, sample=(3, 4)),
    case(layers.GroupNormalization, groups=3, scale=False, sample=(2, 5, 6)),
    case(layers.RMSNormalization),
    case(layers.RMSNormalization, axis=[1, 2], epsilon=0.1, sample=(3, 4)),
    case(layers.UnitNormalization),
    case(layers.UnitNormalization, axis=[1, 2], sample=(3, 4)),
    case(layers.AlphaDropout, 0.3, seed=2),
    case(layers.GaussianNoise, 0.3),
    case(layers.GaussianDropout, 0.3, seed=2),
    case(layers.SpatialDropout1D, 0.3, sample=(3, 4)),
    case(layers.SpatialDropout2D, 0.3, data_format="channels_first", sample=(4, 3, 2)),
    case(layers.SpatialDropout3D, 0.3, seed=3, sample=(2, 3, 2, 4)),
    case(layers.StochasticDepth, 0.3, sample=(3, 4)),
    case(layers.ActivityRegularization, l1=0.1, l2=0.2),
    case(layers.Add, sample=[(3, 4), (3, 4), (4,)]),
    case(layers.Subtract, sample=[(6,), (6,)]),
    case(layers.Multiply, sample=[(6,), (1,), (6,)]),
    case(layers.Average, sample=[(6,), (6,), (6,)]),
    case(layers.Maximum, sample=[(6,), (6,)]),
    case(layers.Minimum, sample=[(6,), (6,)]),
    case(layers.Concatenate, sample=[(3, 4), (3, 2)]),
    case(layers.Concatenate, axis=1, sample=[(3, 4), (5, 4), (1, 4)]),
    case(layers.Dot, axes=1, sample=[(6,), (6,)]),
    case(layers.Dot, axes=[1, -1], normalize=True, sample=[(3, 4), (5, 3)]),
    case(layers.StochasticDepth, 0.3, seed=4, sample=[(6,), (6,)]),
    case(layers.Flatten, data_format="channels_first", sample=(3, 4, 2)),
    case(layers.Permute, (3, 1, 2), sample=(3, 4, 2)),
    case(layers.RepeatVector, 3),
    case(layers.Identity),
    case(layers.PReLU, alpha_initializer=0.25),
    case(layers.PReLU, shared_axes=[1], alpha_regularizer="l1", sample=(3, 4)),
    case(layers.Softmax, axis=[1, 2], sample=(3, 4)),
    case(layers.EinsumDense, "ab,bc->ac", 5, activation="relu", bias_axes="c"),
    case(layers.EinsumDense, "...x,xy->...y", (5,), sample=(3, 4)),
    case(
        layers.EinsumDense,
        "abc,cde->abde",
        (None, 2, 5),
        bias_axes="de",
        kernel_regularizer="l2",
        sample=(3, 4),
    ),
    case(layers.EinsumDense, "ab...,bc->ac...", (5,), bias_axes="c", sample=(4, 3)),
    case(layers.SpectralNormalization, DENSE, sample=(4,)),
    case(
        layers.SpectralNormalization,
        DENSE,
        power_iterations=3,
        sample=(2, 4),
    ),
    case(layers.Softmax, axis=1, sample=(3, 4)),
    case(layers.CategoryEncoding, 5, output_mode="count"),
    case(layers.Discretization, [-0.5, 0.75], output_mode="one_hot"),
    case(layers.Normalization, mean=0.5, variance=2.0),
    case(layers.Normalization, axis=None, invert=True),
    case(layers.Embedding, 7, 3, embeddings_regularizer="l2", sample=(4,), numbers=7),
    case(layers.Embedding, 7, 3, mask_zero=True, sample=(), numbers=7),
    case(layers.Embedding, 7, 3, sparse=True, sample=(4,), numbers=7),
    case(layers.ReversibleEmbedding, 7, 3, tie_weights=False, sample=(2, 3), numbers=7),
    case(layers.Masking, 0.5, sample=(4, 2)),
    case(layers.MultiHeadAttention, 2, 3, sample=(5, 4)),
    case(
        layers.MultiHeadAttention,
        3,
        2,
        4,
        dropout=0.3,
        use_bias=False,
        output_shape=(2, 3),
        sliding_window=2,
        kernel_regularizer="l2",
        use_gate=True,
        seed=1,
        sample=(5, 4),
    ),
    case(layers.MultiHeadAttention, 2, 3, attention_axes=(2,), sample=(2, 3, 4)),
    case(layers.MultiHeadAttention, 2, 3, sample=(2, 3, 4)),
    case(layers.CachedMultiHeadAttention, 2, 3, sample=(5, 4)),
    case(layers.GroupedQueryAttention, 3, 4, 2, dropout=0.2, sample=(5, 4)),
    case(layers.Attention, True, dropout=0.3, seed=1, sample=[(5, 4), (3, 4)]),
    case(
        layers.Attention,
        score_mode="concat",
        dropout=0.1,
        sample=[(5, 4), (3, 2), (3, 4)],
    ),
    case(layers.AdditiveAttention, sample=[(5, 4), (3, 4)]),
    case(layers.PositionEmbedding, 7, sample=(5, 4)),
    case(layers.SinePositionEncoding, sample=(5, 4)),
    case(layers.RotaryEmbedding, sample=(5, 2, 4)),
    case(layers.RotaryEmbedding, 100.0, 2.0, "yarn", sample=(5, 6)),
    case(
        layers.RotaryEmbedding,
        rope_type="dynamic",
        scaling_factor=3.0,
        sequence_axis=-1,
        feature_axis=1,
        sample=(6, 5),
    ),
    case(layers.TokenAndPositionEmbedding, 7, 6, 3, sample=(4,), numbers=7),
    case(
        layers.TokenAndPositionEmbedding,
        7,
        6,
        3,
        tie_weights=False,
        mask_zero=True,
        sample=(4,),
        numbers=7,
    ),
    case(layers.TransformerEncoder, 7, 2, sample=(5, 4)),
    case(
        layers.TransformerEncoder,
        7,
        2,
        0.3,
        "gelu",
        normalize_first=True,
        sample=(5, 4),
    ),
    case(layers.TransformerDecoder, 7, 2, dropout=0.2, sample=(5, 4)),
    case(
        layers.TransformerDecoder,
        7,
        2,
        activation="tanh",
        layer_norm_epsilon=0.1,
        kernel_initializer="he_normal",
        bias_initializer="ones",
        normalize_first=True,
        sample=(5, 4),
    ),
    case(layers.SimpleRNN, 3, "relu", return_sequences=True, sample=(5, 4)),
    case(layers.SimpleRNN, 3, unroll=True, dropout=0.3, sample=(4, 2)),
    case(layers.LSTM, 3, sample=(5, 4)),
    case(layers.LSTM, 4, dropout=0.2, recurrent_dropout=0.3, seed=4, sample=(5, 2)),
    case(layers.LSTM, 3, return_sequences=True, go_backwards=True, sample=(5, 4)),
    case(
        layers.GRU, 3, kernel_regularizer="l2", bias_initializer="ones", sample=(5, 4)
    ),
    case(layers.GRU, 3, reset_after=False, recurrent_dropout=0.2, sample=(4, 2)),
    case(layers.RNN, GRU_CELLS[0], return_sequences=True, sample=(5, 4)),
    case(
        layers.RNN,
        {"class_name": "StackedRNNCells", "config": {"cells": GRU_CELLS, "name": "in"}},
        sample=(4, 2),
    ),
    case(layers.Bidirectional, GRU_LAYER, sample=(5, 4)),
    case(layers.Bidirectional, GRU_LAYER, "sum", sample=(3, 2)),
    case(layers.TimeDistributed, DENSE, sample=(3, 4)),
    case(layers.TableFeatures, 2, 1, [50, 3], [[-0.3, 0.4, 2.1]], sample=(5,)),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def make_input(case: Case, rows: int = 4, dtype: str = "float32") -> Any:
    """An array, or a list of them."""
    generator = np.random.default_rng(5)
    shape = case.shape(rows)
    if case.numbers:
        return generator.integers(0, case.numbers, shape).astype("int32")
    if isinstance(shape, list):
        return [generator.normal(size=each).astype(dtype) for each in shape]
    return generator.normal(size=shape).astype(dtype)


def run(layer: Layer, x: Any, training: bool = False) -> Any:
    """A call whose random numbers are those of one key."""
    with random.stream(random.key(7)):
        return layer(x, training=training)


def test_every_layer_has_a_case() -> None:
    classes = {
        entry
        for entry in vars(layers).values()
        if isinstance(entry, type) and issubclass(entry, Layer)
    }
    compiled = {kind for kind in classes if not kind.host}
    # a Lambda has no config; test_layers.py tests it
    others = {Layer, layers.Wrapper, layers.Lambda}
    # cells are called with states; test_recurrent.py tests them
    others |= {layers.SimpleRNNCell, layers.LSTMCell, layers.GRUCell}
    others |= {layers.StackedRNNCells}
    assert {type(case.make()) for case in CASES} == compiled - others


@every_case
def test_config_makes_an_equal_layer(case: Case) -> None:
    layer = case.make(name="here")
    config = json.loads(json.dumps(layer.get_config()))
    assert set(config) == set(parameters(type(layer)))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    described = json.loads(json.dumps(layers.serialize(layer)))
    assert layers.deserialize(described).get_config() == layer.get_config()


@every_case
def test_repr_is_code_that_makes_an_equal_layer(case: Case) -> None:
    layer = case.make(name="here")
    names: dict[str, Any] = {}
    for module in ("initializers", "regularizers", "constraints", "layers"):
        names.update(vars(getattr(chainrule, module)))
    assert eval(repr(layer), names).get_config() == layer.get_config()


@every_case
def test_arguments_are_stored_under_their_names(case: Case) -> None:
    layer = case.make()
    for name in parameters(type(layer)):
        assert hasattr(layer, name), name


@every_case
@pytest.mark.parametrize("training", [False, True])
def test_compiled_agrees_with_eager(case: Case, training: bool) -> None:
    """The output, and what the layer makes of its variables."""
    layer = case.make()
    x = make_input(case)
    layer.build_for(case.shape(4))
    variables = layer.weights
    before = [variable.value for variable in variables]

    def called(x: Any, values: Any) -> Any:
        with substitute(variables, values):
            return run(layer, x, training), current_values(variables)

    eager, changed = called(x, before)
    compiled, compiled_changed = jit(called)(x, before)
    assert_compiled(compiled.numpy(), eager.numpy())
    for one, two in zip(compiled_changed, changed, strict=True):
        assert_compiled(one.numpy(), two.numpy())


@every_case
def test_output_shape_is_foretold(case: Case) -> None:
    layer = case.make()
    foretold = layer.compute_output_shape(case.shape(None))
    assert foretold[0] is None
    for rows in (1, 5):
        assert run(layer, make_input(case, rows)).shape == (rows, *foretold[1:])
        fixed = layer.compute_output_shape(case.shape(rows))
        assert fixed == (rows, *foretold[1:])


@every_case
def test_no_rows_give_no_rows(case: Case) -> None:
    assert run(case.make(), make_input(case, 0)).shape[0] == 0


@every_case
def test_arrays_lists_and_tensors_are_alike(case: Case) -> None:
    layer = case.make()
    x = make_input(case)
    expected = run(layer, tree.tree_map(functional.asarray, x)).numpy()
    np.testing.assert_array_equal(run(layer, x).numpy(), expected)
    wide = tree.tree_map(lambda a: a.astype("float64"), x)
    np.testing.assert_array_equal(run(layer, wide).numpy(), expected)
    assert expected.dtype == np.float32
    if isinstance(x, np.ndarray):
        np.testing.assert_array_equal(run(layer, x.tolist()).numpy(), expected)


@every_case
def test_weights_carry_all_that_was_learnt(case: Case) -> None:
    layer = case.make()
    x = make_input(case)
    expected = run(layer, x).numpy()
    other = case.make()
    other.build_for(case.shape(4))
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(run(other, x).numpy(), expected)
    assert other.count_params() == sum(w.size for w in layer.get_weights())


@every_case
def test_a_seed_decides_the_weights(case: Case) -> None:
    def weights(seed: int) -> list[Array]:
        chainrule.set_seed(seed)
        layer = case.make()
        layer.build_for(case.shape(None))
        return layer.get_weights()

    first, again, other = weights(1), weights(1), weights(2)
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        several = one.ndim > 1 or case.name.startswith("AdditiveAttention")
        drawn = several and one.min() != one.max()
        assert np.any(one != three) == drawn


@every_case
def test_paths_name_the_layer(case: Case) -> None:
    layer = case.make(name="here")
    layer.build_for(case.shape(None))
    owners = {id(v): inner.name for inner in layer.walk() for v in inner._weights}
    for variable in layer.weights:
        owner = owners[id(variable)]
        if owner == "here":
            assert variable.path == f"here/{variable.name}"
        else:
            assert variable.path.startswith("here/")
            assert variable.path.endswith(f"/{owner}/{variable.name}") or (
                variable.path == f"here/{owner}/{variable.name}"
            )


@every_case
def test_copies_share_nothing(case: Case) -> None:
    layer = case.make()
    run(layer, make_input(case))
    before = layer.get_weights()
    twin = copy.deepcopy(layer)
    for variable in twin.weights:
        variable.assign(variable.value + 1)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(twin.weights) == len(before)


WRAPPERS = ("Spectral", "RNN(", "Bidirectional", "TimeDistributed", "Pipeline")


@pytest.mark.parametrize(
    "case",
    # the vectors of spectral normalization count as constants: test_normalization.py
    # has its gradient; a layer inside another has a dtype of its own; whole numbers
    # have no gradient
    [case for case in CASES if not (case.numbers or case.name.startswith(WRAPPERS))],
    ids=lambda case: case.name,
)
def test_gradients_are_those_of_differences(case: Case) -> None:
    """In float64, along a random direction of the input and all weights."""
    layer = case.make(dtype="float64")
    x = make_input(case, dtype="float64")
    run(layer, x)
    variables = layer.trainable_weights
    inputs, structure = tree.flatten(x)
    points = [*inputs, *(variable.numpy() for variable in variables)]
    generator = np.random.default_rng(8)
    direction = [generator.normal(size=np.shape(p)) for p in points]
    weight = generator.normal(size=run(layer, x).shape)
    frozen = layer.non_trainable_weights
    before = [variable.value for variable in frozen]

    def function(*values: Any) -> Any:
        given = tree.unflatten(structure, values[: len(inputs)])
        learnt = values[len(inputs) :]
        with substitute([*variables, *frozen], [*learnt, *before]):
            return functional.sum(run(layer, given, True) * weight)

    def value(step: float) -> float:
        pairs = zip(points, direction, strict=True)
        moved = [np.asarray(p + step * d) for p, d in pairs]
        return float(function(*map(functional.asarray, moved)))

    _, pullback = vjp(function, *map(functional.asarray, points))
    slopes = pullback(functional.asarray(1.0, dtype="float64"))
    pairs = zip(slopes, direction, strict=True)
    exact = sum(float(np.sum(g.numpy() * d)) for g, d in pairs)
    small = 1e-6
    difference = (value(small) - value(-small)) / (2 * small)
    assert_close(np.float64(exact), np.float64(difference), DIFFERENCES)
