"""Operators and methods: what tensors, and symbols that stand for them, have alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import chainrule.functional as functional
from chainrule.functional.manipulation import Axis
from chainrule.functional.promotion import Tensor, is_scalar
from chainrule.functional.recording import Symbol
from chainrule.ir.dtype import DTypeLike
from chainrule.ir.value import Value
from chainrule.variable import Variable


def _operand(x: object) -> bool:
    """Whether an operator accepts `x` beside a tensor."""
    arrays = (Value, Symbol, Variable, np.ndarray, np.generic, list, tuple)
    return is_scalar(x) or isinstance(x, arrays)


def _binary(function: Any, swapped: bool = False) -> Any:
    def operator(self: Operators, other: Any) -> Any:
        if not _operand(other):
            return NotImplemented
        return function(other, self) if swapped else function(self, other)

    return operator


def _unary(function: Any) -> Any:
    def operator(self: Operators) -> Any:
        return function(self)

    return operator


class Operators:
    """Operators, indexing, and the methods that are functions of the library."""

    __slots__ = ()
    # NumPy arrays leave operators with one of these on the right to it.
    __array_ufunc__ = None

    @property
    def mT(self) -> Tensor:
        """The matrices in the last two axes transposed."""
        return functional.matrix_transpose(self)

    def __getitem__(self, key: Any) -> Tensor:
        return functional.index(self, key)

    # ---- methods that are functions ------------------------------------------------

    def astype(self, dtype: DTypeLike) -> Tensor:
        """See `chainrule.astype`."""
        return functional.astype(self, dtype)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """See `chainrule.reshape`; lengths may be given one by one."""
        wanted: Any = shape[0] if len(shape) == 1 else shape
        return functional.reshape(self, wanted)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """See `chainrule.squeeze`."""
        return functional.squeeze(self, axis)

    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.sum`."""
        return functional.sum(self, axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.prod`."""
        return functional.prod(self, axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.mean`."""
        return functional.mean(self, axis, keepdims=keepdims)

    def var(
        self, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False
    ) -> Tensor:
        """See `chainrule.var`."""
        return functional.var(self, axis, correction=correction, keepdims=keepdims)

    def std(
        self, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False
    ) -> Tensor:
        """See `chainrule.std`."""
        return functional.std(self, axis, correction=correction, keepdims=keepdims)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.max`."""
        return functional.max(self, axis, keepdims=keepdims)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.min`."""
        return functional.min(self, axis, keepdims=keepdims)

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.any`."""
        return functional.any(self, axis, keepdims=keepdims)

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.all`."""
        return functional.all(self, axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.argmax`."""
        return functional.argmax(self, axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """See `chainrule.argmin`."""
        return functional.argmin(self, axis, keepdims=keepdims)

    # ---- operators -----------------------------------------------------------------
    # In-place forms (`x += 1`) bind the name to a new tensor.

    __add__ = _binary(functional.add)
    __radd__ = _binary(functional.add, swapped=True)
    __sub__ = _binary(functional.subtract)
    __rsub__ = _binary(functional.subtract, swapped=True)
    __mul__ = _binary(functional.multiply)
    __rmul__ = _binary(functional.multiply, swapped=True)
    __truediv__ = _binary(functional.divide)
    __rtruediv__ = _binary(functional.divide, swapped=True)
    __floordiv__ = _binary(functional.floor_divide)
    __rfloordiv__ = _binary(functional.floor_divide, swapped=True)
    __mod__ = _binary(functional.remainder)
    __rmod__ = _binary(functional.remainder, swapped=True)
    __pow__ = _binary(functional.pow)
    __rpow__ = _binary(functional.pow, swapped=True)
    __matmul__ = _binary(functional.matmul)
    __rmatmul__ = _binary(functional.matmul, swapped=True)
    __and__ = _binary(functional.bitwise_and)
    __rand__ = _binary(functional.bitwise_and, swapped=True)
    __or__ = _binary(functional.bitwise_or)
    __ror__ = _binary(functional.bitwise_or, swapped=True)
    __xor__ = _binary(functional.bitwise_xor)
    __rxor__ = _binary(functional.bitwise_xor, swapped=True)
    __lshift__ = _binary(functional.bitwise_left_shift)
    __rlshift__ = _binary(functional.bitwise_left_shift, swapped=True)
    __rshift__ = _binary(functional.bitwise_right_shift)
    __rrshift__ = _binary(functional.bitwise_right_shift, swapped=True)
    __eq__ = _binary(functional.equal)
    __ne__ = _binary(functional.not_equal)
    __lt__ = _binary(functional.less)
    __le__ = _binary(functional.less_equal)
    __gt__ = _binary(functional.greater)
    __ge__ = _binary(functional.greater_equal)
    __neg__ = _unary(functional.negative)
    __pos__ = _unary(functional.positive)
    __abs__ = _unary(functional.abs)
    __invert__ = _unary(functional.bitwise_invert)
    # Equality is element by element, so sets and dicts find each by identity.
    __hash__ = object.__hash__
