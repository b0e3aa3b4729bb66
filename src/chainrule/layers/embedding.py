"""Embeddings: a learnt vector for each word, or whatever numbers stand for."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import constraints, functional, initializers, regularizers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.ir.dtype import DTypeLike, as_dtype
from chainrule.layers.layer import InputShape, Layer, LayerOptions, check_positive


class Embedding(Layer):
    """A learnt vector for each of so many numbers: `embeddings[inputs]`.

    Args:
        input_dim: how many there are; the largest number is one less.
        output_dim: the length of a vector.
        embeddings_initializer: of the vectors, of shape `(input_dim, output_dim)`.
        embeddings_regularizer: a penalty on the vectors.
        embeddings_constraint: a limit of the vectors.
        mask_zero: whether 0 stands for no word, so that layers behind skip such steps.
        weights: the vectors to begin with, an array, or a list of one.
        sparse: whether training moves only the vectors that a batch used. The time of a
            step then depends on the batch, and not on `input_dim`. Optimizers move what
            they remember of other vectors neither: see `Optimizer`. By default all are
            moved, by gradients of 0.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when a length is no positive integer, or a number is out of
            range; the latter is found where numbers are there: outside of compiled
            steps.
            Also when `sparse` vectors have a regularizer or a constraint, for these
            are about all vectors at every step.
        ShapeError: when `weights` has another shape.

    Example:
        >>> layer = Embedding(1000, 64)
        >>> layer([[4, 20, 0], [7, 7, 1]]).shape
        (2, 3, 64)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim = check_positive(self.name, "input_dim", input_dim)
        self.output_dim = check_positive(self.name, "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        self.sparse = bool(sparse)
        self._check_sparse()
        if weights is not None:
            self.build_for((None, None))
            listed = isinstance(weights, (list, tuple)) and len(weights) == 1
            self.set_weights(weights if listed else [weights])

    def build(self, input_shape: InputShape) -> None:
        """Make the vectors."""
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.embeddings.sparse = self.sparse

    def call(self, inputs: Tensor) -> Tensor:
        """A vector for each number."""
        self._check_range(inputs)
        if inputs.dtype.is_float or inputs.dtype.name == "bool":
            inputs = functional.astype(inputs, "int32")
        shape = (*inputs.shape, self.output_dim)
        flat = functional.reshape(inputs, (-1,))
        return functional.reshape(self._look_up(flat), shape)

    def _look_up(self, flat: Tensor) -> Tensor:
        if not self.sparse:
            return functional.take(self.embeddings.value, flat, axis=0)
        # what was taken is cast, and not the table: its gradient is that of rows
        found = functional.take(self.embeddings.held, flat, axis=0)
        return functional.astype(found, self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True for every number but 0; None without `mask_zero`.

        Example:
            >>> Embedding(9, 2, mask_zero=True).compute_mask([[3, 0]]).tolist()
            [[True, False]]
        """
        return functional.not_equal(inputs, 0) if self.mask_zero else None

    def _check_sparse(self) -> None:
        """Refuse what is about all vectors at every step."""
        for name in ("embeddings_regularizer", "embeddings_constraint"):
            if self.sparse and getattr(self, name) is not None:
                raise ArgumentError(
                    f"{name} is about all vectors at every step, and sparse=True moves "
                    "only those that a batch used",
                    where=self.name,
                    got=f"sparse=True, {name}={getattr(self, name)!r}",
                    fix=f"sparse=False, or {name}=None",
                )

    def _check_range(self, inputs: Tensor) -> None:
        """Refuse numbers without a vector, where there are numbers."""
        if inputs.data is None or not inputs.data.size:
            return
        least, most = inputs.data.min(), inputs.data.max()
        if least < 0 or most >= self.input_dim:
            raise ArgumentError(
                "there is no vector for this number",
                where=self.name,
                got=least if least < 0 else most,
                expected=f"0 to {self.input_dim - 1}, as input_dim={self.input_dim}",
                fix=f"Embedding({int(most) + 1}, {self.output_dim})"
                if least >= 0
                else None,
            )

    def _argument(self, name: str) -> Any:
        """The vectors of the beginning are weights by now."""
        return None if name == "weights" else super()._argument(name)


class ReversibleEmbedding(Embedding):
    """An embedding that also leads back, from vectors to a score for each number.

    Called with `reverse=True` it gives `inputs @ embeddings.T`: the same weights at
    both ends of a language model. Press, Wolf, "Using the output embedding to improve
    language models", EACL 2017.

    Args:
        input_dim: see `Embedding`.
        output_dim: see `Embedding`.
        tie_weights: whether the way back has the same weights, and not its own.
        embeddings_initializer: see `Embedding`.
        embeddings_regularizer: see `Embedding`.
        embeddings_constraint: see `Embedding`.
        mask_zero: see `Embedding`.
        sparse: see `Embedding`; only with `tie_weights=False`, for the way back uses
            all vectors.
        reverse_dtype: the dtype of the way back; that of the layer by default.
        logit_soft_cap: if given, scores are `tanh(score / cap) * cap`.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: see `Embedding`.
        ShapeError: when the vectors that lead back have another length.

    Example:
        >>> layer = ReversibleEmbedding(100, 8)
        >>> vectors = layer([[1, 2, 3]])
        >>> layer(vectors, reverse=True).shape, layer.count_params()
        ((1, 3, 100), 800)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: DTypeLike | None = None,
        logit_soft_cap: float | None = None,
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            sparse=sparse,
            **options,
        )
        self.tie_weights = tie_weights
        if self.sparse and tie_weights:
            raise ArgumentError(
                "the way back uses all vectors, so that training moves all of them",
                where=self.name,
                got="sparse=True, tie_weights=True",
                fix="sparse=False, or tie_weights=False",
            )
        self.reverse_dtype = None if reverse_dtype is None else as_dtype(reverse_dtype)
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: InputShape) -> None:
        """Make the vectors, and those of the way back where they are others."""
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                "reverse_embeddings",
                (self.output_dim, self.input_dim),
                self.embeddings_initializer,
            )

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        """A vector for each number; or with `reverse` scores for each vector."""
        if not reverse:
            return super().call(inputs)
        if inputs.shape[-1] != self.output_dim:
            raise ShapeError(
                "the vectors have another length",
                where=self.name,
                got=inputs.shape,
                expected=f"(..., {self.output_dim})",
            )
        if self.tie_weights:
            kernel = functional.matrix_transpose(self.embeddings.value)
        else:
            kernel = self.reverse_embeddings.value
        if self.reverse_dtype is not None:
            inputs = functional.astype(inputs, self.reverse_dtype)
            kernel = functional.astype(kernel, self.reverse_dtype)
        scores = functional.matmul(inputs, kernel)
        if self.logit_soft_cap is not None:
            cap = self.logit_soft_cap
            scores = functional.tanh(scores / cap) * cap
        return scores

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the numbers; scores keep the mask of the vectors."""
        floats = getattr(inputs, "dtype", None) is self.compute_dtype
        return previous_mask if floats else super().compute_mask(inputs)
