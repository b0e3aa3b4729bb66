"""Networks as users of Keras write them, for the libraries that have its names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.networks import (
    BatchNorm,
    Beside,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Enlarge,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    Relu,
    Residual,
    Widen,
    branches,
)
from benchmarks.sequence_layers import (
    NORM_EPSILON,
    Block,
    Embedding,
    Gru,
    LayerNorm,
    Lstm,
    Recurrent,
)
from benchmarks.workloads import (
    BETA_1,
    BETA_2,
    BORDER,
    EPSILON,
    GLOBAL_CLIPNORM,
    LEARNING_RATE,
    VARIANCE_EPSILON,
    WEIGHT_DECAY,
    Workload,
)

LOSSES: dict[str, Callable[[Any], Any]] = {
    "classes": lambda losses: losses.SparseCategoricalCrossentropy(from_logits=True),
    "binary": lambda losses: losses.BinaryCrossentropy(from_logits=True),
    "squared": lambda losses: losses.MeanSquaredError(),
}


class Style:
    """A library with the names of Keras.

    Args:
        library: its module.
        pad: its function that pads as `numpy.pad` does with zeros.
        blocks: where the blocks of Transformers are.
    """

    def __init__(
        self, library: Any, pad: Callable[[Any, Any], Any], blocks: Any
    ) -> None:
        self.library, self.pad, self.blocks = library, pad, blocks
        self.layers = library.layers

    def network(self, workload: Workload) -> Any:
        """A `Sequential`, or a functional model where the network branches."""
        kind = "int32" if workload.words else "float32"
        shape = (None,) if workload.generates else workload.shape
        start = self.layers.Input(shape, dtype=kind)
        if branches(workload.layers):
            end = self._joined(workload.layers, start)
            return self.library.Model(start, end)
        dimensions = 1 if workload.words else len(workload.shape) - 1
        parts = [x for y in workload.layers for x in self._plain(y, dimensions)]
        return self.library.Sequential([start, *parts])

    def optimizer(self, workload: Workload) -> Any:
        """Adam, or AdamW with a schedule and clipping."""
        optimizers = self.library.optimizers
        if not workload.scheduled:
            return optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
        steps = workload.cosine_steps
        return optimizers.AdamW(
            optimizers.schedules.CosineDecay(LEARNING_RATE, steps),
            WEIGHT_DECAY,
            BETA_1,
            BETA_2,
            EPSILON,
            global_clipnorm=GLOBAL_CLIPNORM,
        )

    def loss(self, workload: Workload) -> Any:
        """The loss of scores."""
        return LOSSES[workload.loss](self.library.losses)

    def augmentation(self, workload: Workload) -> list[Any]:
        """Layers that change pictures while training."""
        if not workload.augmented:
            return []
        height, width, _ = workload.shape
        return [
            self.layers.ZeroPadding2D(BORDER),
            self.layers.RandomCrop(height, width),
            self.layers.RandomFlip("horizontal"),
        ]

    def _joined(self, layers: Sequence[Layer], x: Any) -> Any:
        """What layers give for the symbol `x`."""
        for layer in layers:
            match layer:
                case Residual(inside, shortcut):
                    both = self._joined(inside, x), self._joined(shortcut, x)
                    x = self.layers.Add()(list(both))
                case Beside(inside):
                    x = self.layers.Concatenate()([x, self._joined(inside, x)])
                case Widen():
                    none = [(0, 0)] * (len(x.shape) - 1)
                    channels = layer.sides(tuple(x.shape[1:]))
                    x = self.pad(x[:, ::2, ::2], [*none, channels])
                case _:
                    for part in self._plain(layer, len(x.shape) - 2):
                        x = part(x)
        return x

    def _plain(self, layer: Layer, dimensions: int) -> list[Any]:
        """A layer that others may follow, as one of the library or several."""
        match layer:
            case Dense(units, activation):
                return [self.layers.Dense(units, activation=activation)]
            case Dropout(rate):
                return [self.layers.Dropout(rate)]
            case BatchNorm(momentum):
                options = {"momentum": momentum, "epsilon": VARIANCE_EPSILON}
                return [self.layers.BatchNormalization(**options)]
            case Relu():
                return [self.layers.ReLU()]
            case Conv() | Depthwise():
                return self._convolution(layer, dimensions)
            case Enlarge(filters):
                kind = self._kind("Conv{}DTranspose", dimensions)
                return [kind(filters, 2, strides=2)]
            case MaxPool(size):
                return [self._kind("MaxPooling{}D", dimensions)(size)]
            case GlobalAverage():
                return [self._kind("GlobalAveragePooling{}D", dimensions)()]
            case Flatten():
                return [self.layers.Flatten()]
            case Embedding() | LayerNorm() | Recurrent() | Block():
                return [self._sequential(layer)]
        raise TypeError(f"no such layer: {layer}")

    def _sequential(self, layer: Layer) -> Any:
        """A layer of sequences."""
        match layer:
            case Embedding(words, units, mask_zero, places) if places:
                kind = self.blocks.TokenAndPositionEmbedding
                return kind(words, places, units, mask_zero=mask_zero)
            case Embedding(words, units, mask_zero):
                return self.layers.Embedding(words, units, mask_zero=mask_zero)
            case LayerNorm():
                return self.layers.LayerNormalization(epsilon=NORM_EPSILON)
            case Block(heads, hidden, activation, causal, normalize_first):
                name = "TransformerDecoder" if causal else "TransformerEncoder"
                return getattr(self.blocks, name)(
                    hidden,
                    heads,
                    activation=activation,
                    normalize_first=normalize_first,
                    layer_norm_epsilon=NORM_EPSILON,
                )
        assert isinstance(layer, Recurrent)
        return self._recurrent(layer)

    def _recurrent(self, layer: Recurrent) -> Any:
        kind = {Lstm: self.layers.LSTM, Gru: self.layers.GRU}[type(layer)]
        made = kind(layer.units, return_sequences=layer.sequences)
        return self.layers.Bidirectional(made) if layer.both_ways else made

    def _convolution(self, layer: Conv | Depthwise, dimensions: int) -> list[Any]:
        """With strides the border is a layer of its own, as in Keras's ResNet."""
        stepping = layer.strides > 1 and layer.border > 0
        before = []
        if stepping:
            before = [self._kind("ZeroPadding{}D", dimensions)(layer.border)]
        options: dict[str, Any] = {
            "strides": layer.strides,
            "padding": "same" if layer.border and not stepping else "valid",
        }
        if isinstance(layer, Depthwise):
            kind = self._kind("DepthwiseConv{}D", dimensions)
            return [*before, kind(layer.kernel_size, use_bias=False, **options)]
        options |= {"activation": layer.activation, "use_bias": layer.use_bias}
        kind = self._kind("Conv{}D", dimensions)
        return [*before, kind(layer.filters, layer.kernel_size, **options)]

    def _kind(self, name: str, dimensions: int) -> Any:
        return getattr(self.layers, name.format(dimensions))
