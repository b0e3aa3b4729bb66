"""Rotary positions: queries and keys turned by angles that grow with their place."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import Layer, LayerOptions
from chainrule.layers.positions import check_wavelength, positions_of, waves

Array = np.ndarray[Any, Any]
TYPES = ("linear", "dynamic", "yarn")


class RotaryEmbedding(Layer):
    """Turns pairs of features by an angle that grows with the place of the step.

    With the features in two halves `a` and `b`, and `t = place * frequency`,

    ```
    y = (a * cos(t) - b * sin(t), b * cos(t) + a * sin(t))
    ```

    so that the product of a turned query and a turned key depends on how far they are
    apart. It is applied to queries and keys by heads, before they meet; see
    `docs/attention.md`. Su et al., "RoFormer", arXiv 2104.09864; for longer sequences
    than were trained on, Peng et al., "YaRN", ICLR 2024.

    Args:
        max_wavelength: the largest wave length, in turns of 2 pi.
        scaling_factor: how much slower angles grow.
        rope_type: what is made slower: all (`linear`), by a change of the wave lengths
            (`dynamic`), or the slow ones alone (`yarn`).
        beta_fast: for `yarn`: the turns over the original length of what is fast.
        beta_slow: for `yarn`: the turns of what is slow.
        original_max_position_embeddings: for `yarn`: the length that was trained on.
        truncate: for `yarn`: whether to round the range between fast and slow.
        sequence_axis: the axis of the steps.
        feature_axis: the axis of the features.
        denominator_dim: what exponents are divided by; the number of features when
            None.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: for an unknown type, or axes that are one.
        ShapeError: for an odd number of features.

    Example:
        >>> turned = RotaryEmbedding()(functional.ones((1, 2, 1, 2)))
        >>> [[round(x, 2) for x in step] for step in turned[0, :, 0].tolist()]
        [[1.0, 1.0], [-0.3, 1.38]]
    """

    supports_masking = True

    def __init__(
        self,
        max_wavelength: float = 10000,
        scaling_factor: float = 1.0,
        rope_type: str = "linear",
        beta_fast: float = 32.0,
        beta_slow: float = 1.0,
        original_max_position_embeddings: int = 4096,
        truncate: bool = True,
        sequence_axis: int = 1,
        feature_axis: int = -1,
        denominator_dim: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.max_wavelength = check_wavelength(self.name, max_wavelength)
        self.scaling_factor = scaling_factor
        self.rope_type = rope_type
        if rope_type not in TYPES:
            raise ArgumentError(
                "unknown way of making angles grow slower",
                where=self.name,
                got=f"rope_type={rope_type!r}",
                expected=", ".join(map(repr, TYPES)),
            )
        self.beta_fast = beta_fast
        self.beta_slow = beta_slow
        self.original_max_position_embeddings = original_max_position_embeddings
        self.truncate = truncate
        self.sequence_axis = sequence_axis
        self.feature_axis = feature_axis
        self.denominator_dim = denominator_dim

    def call(
        self, inputs: Tensor, start_index: Any = 0, positions: Any = None
    ) -> Tensor:
        """The turned input.

        Args:
            inputs: such as `(samples, steps, heads, size)`, or without heads.
            start_index: the place of the first step; a number or a tensor.
            positions: the places, `(steps,)` or `(samples, steps)`; if given,
                `start_index` is not used.
        """
        sequence, feature = self._axes(inputs)
        half = inputs.shape[feature] // 2
        places = positions_of(inputs.shape[sequence], start_index, positions)
        sine, cosine = waves(places, self._frequencies(2 * half), inputs.dtype)
        if self.rope_type == "yarn":
            stretch = 1 + 0.1 * math.log(self.scaling_factor)
            sine, cosine = sine * stretch, cosine * stretch
        sine, cosine = (
            self._spread(wave, inputs, sequence, feature) for wave in (sine, cosine)
        )
        a, b = functional.split(inputs, 2, axis=feature)
        turned = [a * cosine - b * sine, b * cosine + a * sine]
        return functional.concat(turned, axis=feature)

    def _spread(self, wave: Tensor, x: Tensor, sequence: int, feature: int) -> Tensor:
        """Waves `(samples or none, steps, half)` with the axes of the input."""
        shape = [1] * x.ndim
        shape[sequence], shape[feature] = wave.shape[-2:]
        if wave.ndim == 3:
            shape[0] = wave.shape[0]
        if sequence > feature:
            wave = functional.matrix_transpose(wave)
        return functional.reshape(wave, tuple(shape))

    def _axes(self, x: Tensor) -> tuple[int, int]:
        """The axes of steps and features, counted from the left."""
        asked = self.sequence_axis, self.feature_axis
        found = tuple(axis + x.ndim if axis < 0 else axis for axis in asked)
        if found[0] == found[1] or not all(0 <= axis < x.ndim for axis in found):
            raise ArgumentError(
                "the input has no such axes of steps and features",
                where=self.name,
                got=f"sequence_axis={asked[0]}, feature_axis={asked[1]} for {x.shape}",
            )
        if x.shape[found[1]] % 2:
            raise ShapeError(
                "features are turned in pairs",
                where=self.name,
                got=f"{x.shape[found[1]]} features",
                expected="an even number",
            )
        return found[0], found[1]

    def _frequencies(self, features: int) -> Array:
        """How fast each pair turns, in radians for a step."""
        number = np.arange(0, features, 2)
        if self.rope_type == "yarn":
            return self._yarn(features, number)
        found = self.max_wavelength ** (-number / (self.denominator_dim or features))
        if self.rope_type == "dynamic":
            exponent = features / max(1, features - 2)
            return found / self.scaling_factor**exponent
        return found / self.scaling_factor

    def _yarn(self, features: int, number: Array) -> Array:
        """Fast pairs as they are, slow ones slower, and a ramp in between."""
        fast = self.max_wavelength ** (-number / max(features, 1))
        length = self.original_max_position_embeddings

        def pair_of(turns: float) -> float:
            """The pair that turns so often over the original length."""
            ratio = math.log(length / (turns * 2 * math.pi))
            return features * ratio / (2 * math.log(self.max_wavelength))

        low, high = pair_of(self.beta_fast), pair_of(self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, features - 1)
        ramp = (np.arange(features // 2) - low) / max(high - low, 0.001)
        slow = np.clip(ramp, 0, 1)
        return fast / self.scaling_factor * slow + fast * (1 - slow)
