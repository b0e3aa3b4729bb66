"""The layers of networks. Names, arguments and defaults are those of Keras 3."""

from collections.abc import Mapping
from typing import Any

from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.layers.activation_layers import ELU, LeakyReLU, PReLU, ReLU, Softmax
from chainrule.layers.core import Activation, Dense, Identity, Lambda
from chainrule.layers.einsum_dense import EinsumDense
from chainrule.layers.host import HostLayer
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.inputs import Input, InputLayer
from chainrule.layers.layer import Layer
from chainrule.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from chainrule.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from chainrule.layers.preprocessing import Rescaling
from chainrule.layers.preprocessing_table import TableEncoder, TableFeatures
from chainrule.layers.registry import REGISTRY as REGISTRY
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
from chainrule.layers.shaping import Flatten, Permute, RepeatVector, Reshape
from chainrule.layers.wrapper import SpectralNormalization, Wrapper

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "HostLayer",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "StochasticDepth",
    "Subtract",
    "TableEncoder",
    "TableFeatures",
    "UnitNormalization",
    "Wrapper",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]

for _each in (
    Activation,
    ActivityRegularization,
    Add,
    AlphaDropout,
    Average,
    BatchNormalization,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    EinsumDense,
    ELU,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNormalization,
    Identity,
    InputLayer,
    Lambda,
    LayerNormalization,
    LeakyReLU,
    Maximum,
    Minimum,
    Multiply,
    Permute,
    PReLU,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    SpectralNormalization,
    StochasticDepth,
    Subtract,
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
