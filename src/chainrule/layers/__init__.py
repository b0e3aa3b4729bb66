"""The layers of networks. Names, arguments and defaults are those of Keras 3."""

from collections.abc import Mapping
from typing import Any

from chainrule.configurable import serialize
from chainrule.errors import ArgumentError
from chainrule.layers.activation_layers import ELU, LeakyReLU, PReLU, ReLU, Softmax
from chainrule.layers.attention import MultiHeadAttention
from chainrule.layers.attention_cached import CachedMultiHeadAttention
from chainrule.layers.attention_grouped import GroupedQueryAttention
from chainrule.layers.attention_plain import AdditiveAttention, Attention
from chainrule.layers.augmentation import RandomCrop, RandomFlip
from chainrule.layers.augmentation_color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomSaturation,
)
from chainrule.layers.augmentation_erasing import RandomErasing
from chainrule.layers.augmentation_filters import (
    RandomGaussianBlur,
    RandomSharpness,
)
from chainrule.layers.augmentation_geometry import (
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from chainrule.layers.augmentation_levels import (
    AutoContrast,
    Equalization,
    RandomInvert,
    RandomPosterization,
    Solarization,
)
from chainrule.layers.augmentation_mix import CutMix, MixUp
from chainrule.layers.augmentation_policy import AugMix, RandAugment
from chainrule.layers.bidirectional import Bidirectional
from chainrule.layers.borders import (
    CenterCrop,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Resizing,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from chainrule.layers.convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
)
from chainrule.layers.core import Activation, Dense, Identity, Lambda
from chainrule.layers.detection import BoxDecoder
from chainrule.layers.einsum_dense import EinsumDense
from chainrule.layers.embedding import Embedding, ReversibleEmbedding
from chainrule.layers.host import HostLayer
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.inputs import Input, InputLayer
from chainrule.layers.layer import Layer
from chainrule.layers.masking import Masking
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
from chainrule.layers.pipeline import Pipeline
from chainrule.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from chainrule.layers.positions import (
    PositionEmbedding,
    SinePositionEncoding,
    TokenAndPositionEmbedding,
)
from chainrule.layers.preprocessing import (
    CategoryEncoding,
    Discretization,
    Normalization,
    Rescaling,
)
from chainrule.layers.preprocessing_lookup import Hashing, IntegerLookup, StringLookup
from chainrule.layers.preprocessing_table import TableEncoder, TableFeatures
from chainrule.layers.recurrent import RNN, StackedRNNCells
from chainrule.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from chainrule.layers.recurrent_layers import GRU, LSTM, SimpleRNN
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
from chainrule.layers.rotary import RotaryEmbedding
from chainrule.layers.separable import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from chainrule.layers.shaping import Flatten, Permute, RepeatVector, Reshape
from chainrule.layers.text_encoder import TextEncoder
from chainrule.layers.text_vectorization import TextVectorization
from chainrule.layers.time_distributed import TimeDistributed
from chainrule.layers.transformer import TransformerDecoder, TransformerEncoder
from chainrule.layers.wrapper import SpectralNormalization, Wrapper

# The other names that Keras has for some of them.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
Convolution3D = Conv3D
Convolution3DTranspose = Conv3DTranspose
GroupQueryAttention = GroupedQueryAttention
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "AugMix",
    "AutoContrast",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "BoxDecoder",
    "CachedMultiHeadAttention",
    "CategoryEncoding",
    "CenterCrop",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Convolution3DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CutMix",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Discretization",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Equalization",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "Hashing",
    "HostLayer",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "IntegerLookup",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "MixUp",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "Pipeline",
    "PositionEmbedding",
    "RMSNormalization",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "ReversibleEmbedding",
    "RotaryEmbedding",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "SinePositionEncoding",
    "Softmax",
    "Solarization",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "StackedRNNCells",
    "StochasticDepth",
    "StringLookup",
    "Subtract",
    "TableEncoder",
    "TableFeatures",
    "TextEncoder",
    "TextVectorization",
    "TimeDistributed",
    "TokenAndPositionEmbedding",
    "TransformerDecoder",
    "TransformerEncoder",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Wrapper",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
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
    AdditiveAttention,
    Attention,
    GroupedQueryAttention,
    CachedMultiHeadAttention,
    MultiHeadAttention,
    PositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
    TokenAndPositionEmbedding,
    TransformerDecoder,
    TransformerEncoder,
    Bidirectional,
    TimeDistributed,
    Embedding,
    Masking,
    ReversibleEmbedding,
    GRU,
    GRUCell,
    LSTM,
    LSTMCell,
    RNN,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    CenterCrop,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    DepthwiseConv1D,
    DepthwiseConv2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Resizing,
    SeparableConv1D,
    SeparableConv2D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
    Activation,
    ActivityRegularization,
    Add,
    AlphaDropout,
    Average,
    BatchNormalization,
    BoxDecoder,
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
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomSaturation,
    RandomGaussianBlur,
    RandomSharpness,
    AutoContrast,
    Equalization,
    RandomInvert,
    RandomPosterization,
    Solarization,
    CutMix,
    MixUp,
    Pipeline,
    RandomErasing,
    AugMix,
    RandAugment,
    RandomCrop,
    RandomFlip,
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    ReLU,
    RepeatVector,
    CategoryEncoding,
    Discretization,
    Hashing,
    IntegerLookup,
    Normalization,
    StringLookup,
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
    TextEncoder,
    TextVectorization,
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
