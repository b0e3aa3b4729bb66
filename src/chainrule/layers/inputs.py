"""Where data enters a model: `Input`, and the layer behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.errors import ArgumentError, DTypeError
from chainrule.functional.masks import mask_of, with_mask
from chainrule.functional.promotion import Tensor
from chainrule.functional.recording import Call, new_symbol
from chainrule.ir.dtype import DType, DTypeLike, as_dtype
from chainrule.layers.input_spec import InputSpec
from chainrule.layers.layer import InputShape, Layer, as_tensors, check_shape
from chainrule.symbolic import SymbolicTensor


class InputLayer(Layer):
    """Says what one sample looks like; hands its input on.

    Args:
        shape: the shape of one sample; None for a length that varies.
        batch_size: the number of samples, where it is fixed.
        dtype: of the samples, such as `int32`; `float32` when None.
        batch_shape: shape and number of samples in one, instead of both.
        name: its name.

    Raises:
        ArgumentError: when the shape is not told, or told twice.

    Example:
        >>> InputLayer(shape=(784,)).batch_shape
        (None, 784)
    """

    supports_masking = True

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: DTypeLike | None = None,
        batch_shape: Sequence[int | None] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._input_dtype = as_dtype("float32" if dtype is None else dtype)
        self.batch_shape = _batch_shape(self.name, shape, batch_size, batch_shape)
        self.batch_size, self.shape = self.batch_shape[0], self.batch_shape[1:]
        self.input_shape = self.shape
        known = {i: n for i, n in enumerate(self.batch_shape) if n is not None}
        self.input_spec = InputSpec(ndim=len(self.batch_shape), axes=known)
        self.built = True
        call = Call(self, self.name, (), {})
        call.outputs = new_symbol(self.batch_shape, self.dtype, call)
        self._calls.append(call)

    def call(self, inputs: Tensor) -> Tensor:
        """The input."""
        return inputs

    def _argument(self, name: str) -> Any:
        """The shape is told in one of the two ways."""
        if name == "dtype":
            return self._input_dtype
        return None if name == "batch_shape" else super()._argument(name)

    @property
    def dtype(self) -> DType:
        """The type of the samples."""
        return self._input_dtype

    @property
    def compute_dtype(self) -> DType:
        """The type of the samples."""
        return self._input_dtype

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer, fit for JSON."""
        return {**super().get_config(), "dtype": self._input_dtype.name}

    def _convert(self, inputs: Any) -> Any:
        """The input in the dtype that was told, where no number changes by that."""
        value = as_tensors(inputs)
        if value.dtype is self.dtype:
            return value
        if value.dtype.is_float and not self.dtype.is_float:
            raise DTypeError(
                "fractions would be cut off",
                where=self.name,
                got=value.spec,
                expected=self.dtype.name,
                fix=f"x = x.astype('{self.dtype.name}')",
            )
        return with_mask(value.astype(self.dtype), mask_of(value))


def _batch_shape(
    where: str,
    shape: Sequence[int | None] | None,
    batch_size: int | None,
    batch_shape: Sequence[int | None] | None,
) -> InputShape:
    """The shape with the axis of the samples, from either way to tell it."""
    if (shape is None) == (batch_shape is None) or (batch_shape and batch_size):
        raise ArgumentError(
            "the shape is told once: as that of a sample, or with the rows in front",
            where=where,
            got=f"shape={shape}, batch_size={batch_size}, batch_shape={batch_shape}",
            fix="Input(shape=(784,)), or Input(batch_shape=(None, 784))",
        )
    if batch_shape is not None:
        return check_shape(where, batch_shape)
    return check_shape(where, (batch_size, *check_shape(where, shape)))


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: DTypeLike | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
) -> SymbolicTensor:
    """What one sample looks like: where data enters a model.

    Args:
        shape: the shape of one sample; None for a length that varies.
        batch_size: the number of samples, where it is fixed.
        dtype: of the samples, such as `int32`; `float32` when None.
        batch_shape: shape and number of samples in one, instead of both.
        name: the name of the input.

    Returns:
        A symbol: call layers and functions with it, and make a `Model` of what comes
        out. It may also stand first in a `Sequential`.

    Example:
        >>> Input(shape=(28, 28)).shape
        (None, 28, 28)
    """
    layer = InputLayer(shape, batch_size, dtype, batch_shape, name)
    symbol: SymbolicTensor = layer.output
    return symbol
