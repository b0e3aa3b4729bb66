"""Gradients of tables of which only some rows were read.

The cotangent of a table is zero but for the rows that were taken from it. Here it is
kept as those rows and their numbers, as long as nothing else was done with the table.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from chainrule.errors import ArgumentError
from chainrule.ir.dtype import DType, int64
from chainrule.ir.spec import Shape
from chainrule.ir.trace import constant
from chainrule.ir.value import Node, Value
from chainrule.ops import broadcast_to, cast, concatenate, reshape, scatter_add


class RowGradient:
    """The gradient of a table by the rows that were read; it is 0 in all others.

    `gradient[indices[i]]` is the sum of `values[i]` over every i with this index. It
    can be multiplied and divided by numbers, and `dense()` makes a tensor of it.

    Args:
        indices: the numbers of rows, in the order in which they were read: (n,).
        values: what comes to each: (n, ...).
        shape: of the table.

    Example:
        >>> import chainrule
        >>> values = chainrule.asarray([[1.0], [2.0], [3.0]])
        >>> gradient = RowGradient(chainrule.asarray([2, 0, 2]), values, (4, 1))
        >>> (0.5 * gradient).dense().tolist()
        [[1.0], [0.0], [2.0], [0.0]]
    """

    # arrays of NumPy and tensors leave products with it to its own methods
    __array_ufunc__ = None

    def __init__(self, indices: Any, values: Any, shape: Shape) -> None:
        self.indices = indices
        self.values = values
        self.shape = tuple(shape)

    @property
    def dtype(self) -> DType:
        """The dtype of the gradient."""
        dtype: DType = self.values.spec.dtype
        return dtype

    def dense(self) -> Any:
        """The same as a tensor of the shape of the table."""
        zeros = broadcast_to(constant(0, dtype=self.dtype), shape=self.shape)
        return scatter_add(zeros, self.indices, self.values, axis=0)

    def map(self, function: Callable[[Any], Any]) -> RowGradient:
        """The gradient with `function` applied to its values."""
        return RowGradient(self.indices, function(self.values), self.shape)

    def __mul__(self, factor: Any) -> RowGradient:
        return self.map(lambda values: values * _number(factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> RowGradient:
        return self.map(lambda values: values / _number(divisor))

    def __neg__(self) -> RowGradient:
        return self.map(lambda values: -values)

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise ArgumentError(
            "a gradient that is kept by rows is no tensor",
            where="RowGradient",
            got=self,
            fix="gradient.dense()",
        )

    def __repr__(self) -> str:
        count = self.values.spec.shape[0]
        return f"<RowGradient of {count} rows for {self.dtype}{list(self.shape)}>"


def dense(gradient: Any) -> Any:
    """A gradient as a tensor, however it is kept."""
    return gradient.dense() if isinstance(gradient, RowGradient) else gradient


def _number(factor: Any) -> Any:
    shape = getattr(factor, "shape", ())
    if isinstance(factor, RowGradient) or shape != ():
        raise ArgumentError(
            "a gradient that is kept by rows is multiplied by numbers only",
            where="RowGradient",
            got=factor if isinstance(factor, RowGradient) else f"shape {shape}",
            fix="gradient.dense() is a tensor; or use Embedding(..., sparse=False)",
        )
    return factor


class Rows:
    """Cotangents of rows that meet at one table.

    Args:
        table: what the rows were taken from.
    """

    def __init__(self, table: Value) -> None:
        self.table = table.spec
        self.parts: list[tuple[Any, Any]] = []

    def add(self, indices: Any, rows: Any) -> None:
        """Rows that were taken, by numbers of any shape, and their cotangents."""
        count = indices.spec.size
        flat = reshape(cast(indices, dtype=int64), shape=(count,))
        values = reshape(rows, shape=(count, *self.table.shape[1:]))
        self.parts.append((flat, values))

    def total(self) -> RowGradient:
        """The sum, by rows."""
        indices, values = zip(*self.parts, strict=True)
        if len(self.parts) == 1:
            return RowGradient(indices[0], values[0], self.table.shape)
        return RowGradient(
            concatenate(*indices, axis=0),
            concatenate(*values, axis=0),
            self.table.shape,
        )


def no_rows(table: Value) -> RowGradient:
    """The gradient of a table of which nothing was read."""
    spec = table.spec
    indices = broadcast_to(constant(0, dtype=int64), shape=(0,))
    zero = constant(0, dtype=spec.dtype)
    return RowGradient(
        indices, broadcast_to(zero, shape=(0, *spec.shape[1:])), spec.shape
    )


def takes_rows(node: Node, tables: Container[int]) -> bool:
    """Whether `node` takes rows of one of these values, given by identity."""
    named = node.primitive.name == "take" and node.params["axis"] == 0
    return named and id(node.inputs[0]) in tables
