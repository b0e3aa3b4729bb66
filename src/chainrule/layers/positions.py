"""Positions: what tells attention where in a sequence a step stands."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from chainrule import functional, initializers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.functional.recording import PLACEHOLDERS, outlining
from chainrule.layers.core import known_width
from chainrule.layers.embedding import ReversibleEmbedding
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive


def positions_of(length: int, start_index: Any, positions: Any) -> Any:
    """The places of the steps of sequences: `(steps,)`, or `(samples, steps)`.

    Args:
        length: how many steps there are.
        start_index: the place of the first.
        positions: the places themselves; if given, the others are not used.

    Returns:
        An array where the places are known, else a tensor.

    Example:
        >>> positions_of(3, 5, None).tolist()
        [5, 6, 7]
    """
    if positions is not None:
        found = functional.asarray(positions)
        return found if found.data is None else found.data
    start = functional.asarray(start_index)
    if start.data is not None:
        return np.arange(length) + np.asarray(start.data)
    return functional.arange(length, dtype="int32") + functional.astype(start, "int32")


class PositionEmbedding(Layer):
    """A learnt vector for each place of a sequence, to be added to those of words.

    Of the input, only the shape matters. Gehring et al., "Convolutional sequence to
    sequence learning", ICML 2017; Devlin et al., "BERT", NAACL 2019.

    Args:
        sequence_length: how many places there are; no sequence may be longer.
        initializer: of the vectors, of shape `(sequence_length, features)`.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when `sequence_length` is no positive integer.
        ShapeError: for a sequence that goes beyond the last place.

    Example:
        >>> layer = PositionEmbedding(sequence_length=10)
        >>> words = functional.zeros((8, 7, 16))
        >>> (words + layer(words)).shape, layer.count_params()
        ((8, 7, 16), 160)
    """

    supports_masking = True

    def __init__(
        self,
        sequence_length: int,
        initializer: Any = "glorot_uniform",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.sequence_length = check_positive(
            self.name, "sequence_length", sequence_length
        )
        self.initializer = initializers.get(initializer)

    def build(self, input_shape: InputShape) -> None:
        """Make the vectors."""
        self.position_embeddings = self.add_weight(
            "embeddings",
            (self.sequence_length, known_width(self.name, input_shape)),
            self.initializer,
        )

    def call(
        self, inputs: Tensor, start_index: Any = 0, positions: Any = None
    ) -> Tensor:
        """The vectors of the places, in the shape of the input.

        Args:
            inputs: `(samples, steps, features)`.
            start_index: the place of the first step; a number or a tensor.
            positions: the places, `(steps,)` or `(samples, steps)`; if given,
                `start_index` is not used.
        """
        length = inputs.shape[-2]
        if outlining() and length in PLACEHOLDERS:
            return functional.zeros(inputs.shape, dtype=inputs.dtype)
        places = positions_of(length, start_index, positions)
        vectors = self.position_embeddings.value
        self._check(places, length)
        if positions is None and isinstance(places, np.ndarray):
            start = int(places[0]) if length else 0
            found = vectors[start : start + length]
        else:
            found = functional.take(vectors, places, axis=0)
        return functional.broadcast_to(found, inputs.shape)

    def _check(self, places: Any, length: int) -> None:
        """Refuse places that there are not."""
        known = isinstance(places, np.ndarray) and places.size
        last = int(places.max()) if known else length - 1
        if last >= self.sequence_length or (known and places.min() < 0):
            raise ShapeError(
                "the sequence has steps at places that have no vector",
                where=self.name,
                got=f"{length} steps, up to place {last}",
                expected=f"places 0 to {self.sequence_length - 1}",
                fix=f"sequence_length={last + 1}, or shorter sequences",
            )


class TokenAndPositionEmbedding(Layer):
    """The vector of each word plus that of its place.

    Args:
        vocabulary_size: how many words there are.
        sequence_length: how many places there are; no sequence may be longer.
        embedding_dim: the length of a vector.
        tie_weights: whether `token_embedding(x, reverse=True)`, which gives a score
            for each word, has the same weights.
        embeddings_initializer: of the vectors.
        mask_zero: whether word 0 is no word; see `Embedding`.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when a length is no positive integer.
        ShapeError: for a sequence that is too long.

    Example:
        >>> layer = TokenAndPositionEmbedding(1000, 20, 8)
        >>> layer([[4, 8, 15], [16, 23, 42]]).shape, layer.count_params()
        ((2, 3, 8), 8160)
    """

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        embedding_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        mask_zero: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        name = self.name
        self.vocabulary_size = check_positive(name, "vocabulary_size", vocabulary_size)
        self.sequence_length = check_positive(name, "sequence_length", sequence_length)
        self.embedding_dim = check_positive(name, "embedding_dim", embedding_dim)
        self.tie_weights = tie_weights
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        self.token_embedding = ReversibleEmbedding(
            vocabulary_size,
            embedding_dim,
            tie_weights,
            self.embeddings_initializer,
            mask_zero=self.mask_zero,
            dtype=self.dtype_policy,
            name="token_embedding",
        )
        self.position_embedding = PositionEmbedding(
            sequence_length,
            self.embeddings_initializer,
            dtype=self.dtype_policy,
            name="position_embedding",
        )

    def build(self, input_shape: InputShape) -> None:
        """Make the vectors of words and places."""
        self.token_embedding.build_for(input_shape)
        self.position_embedding.build_for((*input_shape, self.embedding_dim))

    def call(
        self, inputs: Tensor, start_index: Any = 0, positions: Any = None
    ) -> Tensor:
        """The sums of both vectors.

        Args:
            inputs: the numbers of words, `(samples, steps)`.
            start_index: the place of the first step; a number or a tensor.
            positions: the places, `(steps,)` or `(samples, steps)`; if given,
                `start_index` is not used.
        """
        words: Tensor = self.token_embedding(inputs)
        places: Tensor = self.position_embedding(
            words, start_index=start_index, positions=positions
        )
        return words + places

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True for every number but 0; None without `mask_zero`."""
        return self.token_embedding.compute_mask(inputs, previous_mask)


class SinePositionEncoding(Layer):
    """Sines and cosines of each place, of wave lengths from 2 pi up.

    ```
    y[p, 2 i]     = sin(p / max_wavelength ** (2 i / features))
    y[p, 2 i + 1] = cos(p / max_wavelength ** (2 i / features))
    ```

    To be added to the vectors of words; of the input, only the shape matters. Vaswani
    et al., "Attention is all you need", NeurIPS 2017.

    Args:
        max_wavelength: the largest wave length, in turns of 2 pi.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when the wave length is not positive.

    Example:
        >>> encoding = SinePositionEncoding()(functional.zeros((1, 3, 4)))
        >>> encoding[0, 0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """

    supports_masking = True

    def __init__(
        self, max_wavelength: float = 10000, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.max_wavelength = check_wavelength(self.name, max_wavelength)

    def call(
        self, inputs: Tensor, start_index: Any = 0, positions: Any = None
    ) -> Tensor:
        """The waves at the places, in the shape of the input.

        Args:
            inputs: `(samples, steps, features)`.
            start_index: the place of the first step; a number or a tensor.
            positions: the places, `(steps,)` or `(samples, steps)`; if given,
                `start_index` is not used.
        """
        length, features = inputs.shape[-2:]
        places = positions_of(length, start_index, positions)
        number = np.arange(features)
        exponent = 2 * (number // 2) / max(features, 1)
        scales = float(self.max_wavelength) ** -exponent
        sine, cosine = waves(places, scales, inputs.dtype)
        found = functional.where(number % 2 == 0, sine, cosine)
        return functional.broadcast_to(found, inputs.shape)


def waves(places: Any, scales: Any, dtype: Any) -> tuple[Tensor, Tensor]:
    """Sines and cosines of `place * scale`, `(..., steps, scales)`.

    Where the places are numbers they are computed in float64, and are constants of a
    compiled step.

    Args:
        places: an array or a tensor, `(steps,)` or `(samples, steps)`.
        scales: an array, `(scales,)`.
        dtype: of the result.

    Example:
        >>> sine, cosine = waves(np.arange(2), np.array([0.0]), "float32")
        >>> sine.tolist(), cosine.tolist()
        ([[0.0], [0.0]], [[1.0], [1.0]])
    """
    if isinstance(places, np.ndarray):
        angles = places[..., None] * scales
        both = [functional.asarray(f(angles), dtype=dtype) for f in (np.sin, np.cos)]
        return both[0], both[1]
    turned = functional.astype(places, dtype)[..., None]
    angles = turned * functional.asarray(scales, dtype=dtype)
    return functional.sin(angles), functional.cos(angles)


def check_wavelength(where: str, value: Any) -> float:
    """A wave length, which is positive.

    Raises:
        ArgumentError: when it is not.
    """
    if not isinstance(value, (int, float)) or not value > 0:
        raise ArgumentError(
            "a wave length is positive",
            where=where,
            got=f"max_wavelength={value!r}",
            expected="such as 10000",
        )
    return value
