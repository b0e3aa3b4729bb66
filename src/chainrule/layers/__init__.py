"""The layers of networks. Names, arguments and defaults are those of Keras 3."""

from collections.abc import Mapping
from typing import Any

from chainrule.configurable import Registry, serialize
from chainrule.errors import ArgumentError
from chainrule.layers.activation_layers import ELU, LeakyReLU, ReLU, Softmax
from chainrule.layers.core import Activation, Dense
from chainrule.layers.host import HostLayer
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.inputs import Input, InputLayer
from chainrule.layers.layer import Layer
from chainrule.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from chainrule.layers.preprocessing import Rescaling
from chainrule.layers.preprocessing_table import TableEncoder, TableFeatures
from chainrule.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    StochasticDepth,
)
from chainrule.layers.shaping import Flatten, Reshape

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "HostLayer",
    "Input",
    "InputLayer",
    "InputSpec",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StochasticDepth",
    "TableEncoder",
    "TableFeatures",
    "UnitNormalization",
    "deserialize",
    "serialize",
]

REGISTRY = Registry("layer", "layer")
for _each in (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    ELU,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNormalization,
    InputLayer,
    LayerNormalization,
    LeakyReLU,
    ReLU,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    StochasticDepth,
    TableEncoder,
    TableFeatures,
    UnitNormalization,
):
    REGISTRY.add(_each)


def deserialize(config: Mapping[str, Any]) -> Layer:
    """The layer that `serialize` described.

    Raises:
        ArgumentError: when the class is unknown. Classes of your own are made known by
            `chainrule.configurable.custom_object_scope`.

    Example:
        >>> deserialize(serialize(Dense(10, name="out")))
        Dense(10, name='out')
    """
    layer = REGISTRY.get(dict(config))
    if not isinstance(layer, Layer):
        raise ArgumentError("this is no layer", where="layer", got=layer)
    return layer
