"""Layers around another layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional import normalization
from chainrule.functional.promotion import Tensor
from chainrule.initializers import TruncatedNormal
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive
from chainrule.layers.registry import REGISTRY
from chainrule.variable import Variable, current_values, substitute


class Wrapper(Layer):
    """Base of layers that change what another layer does.

    Args:
        layer: the layer inside.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when it is no layer.

    Example:
        >>> from chainrule.layers import Dense
        >>> class Twice(Wrapper):
        ...     def call(self, inputs):
        ...         return self.layer(inputs) * 2
        >>> Twice(Dense(3))(functional.zeros((4, 2))).shape
        (4, 3)
    """

    def __init__(self, layer: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if isinstance(layer, Mapping):
            layer = REGISTRY.get(layer)
        if not isinstance(layer, Layer):
            raise ArgumentError(
                "what is wrapped is a layer",
                where=self.name,
                got=repr(layer),
                fix=f"{type(self).__name__}(Dense(10))",
            )
        self.layer = layer

    def build(self, input_shape: InputShape) -> None:
        """Build the layer inside."""
        self.layer.build_for(input_shape)

    def call(self, inputs: Any) -> Any:
        """The layer inside."""
        return self.layer(inputs)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the layer inside."""
        if not self.layer.hands_masks_on:
            return None
        return self.layer.compute_mask(inputs, previous_mask)


class SpectralNormalization(Wrapper):
    """Divides the kernel of a layer by its largest singular value.

    The layer inside computes with `kernel / sigma`, so that it never stretches its
    input; the kernel itself is left as training makes it, and gradients flow through
    `sigma = v kernel u`. The vectors come from a power iteration that makes
    `power_iterations` steps at each training step and keeps u from one to the next.
    Miyato, Kataoka, Koyama, Yoshida, "Spectral normalization for generative adversarial
    networks", ICLR 2018. (Keras writes the divided kernel back instead.)

    Args:
        layer: a layer with a `kernel`, or with `embeddings`.
        power_iterations: how many steps.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `power_iterations` is no positive number, or the layer has
            no kernel.

    Example:
        >>> import numpy as np
        >>> from chainrule.layers import Dense
        >>> layer = SpectralNormalization(Dense(2, use_bias=False), power_iterations=20)
        >>> eye = functional.eye(2)
        >>> kernel = layer(eye, training=True).numpy()
        >>> round(float(np.linalg.svd(kernel)[1].max()), 3)
        1.0
    """

    def __init__(
        self, layer: Any, power_iterations: int = 1, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(layer, **options)
        self.power_iterations = check_positive(
            self.name, "power_iterations", power_iterations
        )

    def build(self, input_shape: InputShape) -> None:
        """Build the layer inside, and make the vector that the iteration keeps."""
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", getattr(self.layer, "embeddings", None))
        if not isinstance(kernel, Variable):
            raise ArgumentError(
                "the layer inside has no kernel to normalize",
                where=self.name,
                got=repr(self.layer),
                expected="a layer with a kernel, such as Dense",
            )
        self.kernel = kernel
        self.vector_u = self.add_weight(
            "vector_u",
            (1, kernel.shape[-1]),
            TruncatedNormal(stddev=0.02),
            trainable=False,
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The layer inside, with its kernel divided."""
        if not self.kernel.spec.size:
            return self.layer(inputs)
        steps = self.power_iterations if training and self.trainable else 0
        normal, u = self._normalized(steps)
        if steps:
            self.vector_u.assign(u)
        others = [weight for weight in self.layer.weights if weight is not self.kernel]
        with substitute([self.kernel], [normal]):
            outputs = self.layer(inputs)
            after = current_values(others)
        for variable, value in zip(others, after, strict=True):
            if not variable.trainable and variable.value is not value:
                variable.assign(value)
        return outputs

    def _normalized(self, steps: int) -> tuple[Tensor, Tensor]:
        """The divided kernel, and the vector u after these steps."""
        value = self.kernel.value
        matrix = functional.reshape(value, (-1, self.kernel.shape[-1]))
        fixed = functional.stop_gradient(matrix)
        u = self.vector_u.value
        v = _unit(functional.matmul(u, functional.matrix_transpose(fixed)))
        for step in range(steps):
            u = _unit(functional.matmul(v, fixed))
            if step < steps - 1:
                v = _unit(functional.matmul(u, functional.matrix_transpose(fixed)))
        stretched = functional.matmul(v, matrix)
        sigma = functional.sum(stretched * _unit(u))
        # a kernel of zeros stretches nothing
        divisor = functional.where(sigma == 0, 1.0, sigma)
        return value / divisor, u


def _unit(vector: Tensor) -> Tensor:
    return normalization.unit(vector, (0, 1))
