"""Variables: the only mutable thing. Weights and moving statistics are variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.errors import ShapeError, TraceError
from chainrule.ir.dtype import DType, DTypeLike, as_dtype
from chainrule.ir.spec import Shape, Spec
from chainrule.ir.trace import constant, staging
from chainrule.ir.value import Value
from chainrule.ops import cast

_cast_to: ContextVar[DType | None] = ContextVar("cast_to", default=None)
_substituted: ContextVar[dict[int, Any] | None] = ContextVar(
    "substituted", default=None
)


class Variable:
    """A tensor that can be replaced by another of its shape and dtype.

    Args:
        value: the initial value, an array or a tensor.
        name: a readable name, unique within its layer, such as `kernel`.
        trainable: whether training changes it.
        dtype: the dtype; that of `value` when None.
        regularizer: a function of the value, added to the loss in training.
        constraint: a function from an updated value to the one that is kept.

    Attributes:
        carried: whether evaluation changes it too.
        sparse: whether training moves only those rows that a batch used; see
            `Embedding`.

    Example:
        >>> counter = Variable([0.0, 1.0], name="counter")
        >>> counter.assign(counter.value + 1).numpy().tolist()
        [1.0, 2.0]
    """

    def __init__(
        self,
        value: Any,
        name: str = "variable",
        trainable: bool = True,
        dtype: DTypeLike | None = None,
        regularizer: Callable[[Any], Any] | None = None,
        constraint: Callable[[Any], Any] | None = None,
    ) -> None:
        if dtype is None and isinstance(value, (list, float)):
            dtype = "float32"
        data = value.data if isinstance(value, Value) else value
        # one attribute, so that threads that read need no lock
        self._kept: Any = constant(
            np.array(data), dtype=None if dtype is None else as_dtype(dtype)
        )
        self._spec: Spec = self._kept.spec
        self.name = name
        self.path = name
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self.carried = False
        self.sparse = False

    @property
    def spec(self) -> Spec:
        """Shape and dtype."""
        return self._spec

    @property
    def shape(self) -> Shape:
        """Shape."""
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        """Data type."""
        return self.spec.dtype

    @property
    def value(self) -> Any:
        """The tensor it holds now.

        While a function is traced this is a placeholder, so that the compiled function
        reads the variable anew at every call. Inside a layer that computes in another
        floating-point type (see `chainrule.DTypePolicy`) it is in that type.
        """
        held, dtype = self.held, _cast_to.get()
        if dtype is None or dtype is held.spec.dtype or not held.spec.dtype.is_float:
            return held
        return cast(held, dtype=dtype)

    @property
    def held(self) -> Any:
        """The tensor it holds now, in its own type."""
        mapping = _substituted.get()
        if mapping is not None and id(self) in mapping:
            return mapping[id(self)]
        trace = staging()
        return self._value if trace is None else trace.capture(self, self.spec)

    def assign(self, value: Any) -> Variable:
        """Replace the value.

        Raises:
            ShapeError: when the new value has another shape.
            TraceError: inside a compiled function, which cannot change it.
        """
        new = value if isinstance(value, Value) else constant(value, dtype=self.dtype)
        if new.spec.shape != self.shape:
            raise ShapeError(
                "a variable keeps its shape",
                where=self.path,
                got=new.spec,
                expected=self.spec,
            )
        mapping = _substituted.get()
        if mapping is not None and id(self) in mapping:
            other = new.spec.dtype is not self.dtype
            mapping[id(self)] = cast(new, dtype=self.dtype) if other else new
        elif new.data is None:
            raise TraceError(
                "a compiled function cannot change a variable",
                where=self.path,
                fix="return the new value and assign it outside",
            )
        else:
            self._value = constant(np.array(new.data), dtype=self.dtype)
        return self

    def adopt(self, value: Any) -> None:
        """Hold `value`, of the same shape and dtype, without a copy of its numbers."""
        self._value = value

    def lie_in(self, source: Callable[[], Any]) -> None:
        """Hold what `source` gives, which is not asked before somebody asks for it."""
        self._kept = source

    @property
    def kept(self) -> Any:
        """What stands for its numbers: their tensor, or where they are read from."""
        return self._kept

    @property
    def _value(self) -> Any:
        kept = self._kept
        return kept if isinstance(kept, Value) else kept()

    @_value.setter
    def _value(self, value: Any) -> None:
        self._kept = value

    def __getstate__(self) -> dict[str, Any]:
        """All attributes, for copies, which need numbers of their own."""
        return {**vars(self), "_kept": self._value}

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the numbers."""
        data: np.ndarray[Any, Any] = np.array(self._value.numpy())
        return data

    def stored(self) -> np.ndarray[Any, Any]:
        """A copy of the numbers as they are kept, bits of bfloat16 too."""
        kept: np.ndarray[Any, Any] = np.array(self._value.data)
        return kept

    def __repr__(self) -> str:
        return f"<Variable {self.path}: {self.spec}>"


@contextmanager
def reading_as(dtype: DType | None) -> Iterator[None]:
    """Within the block, floating-point variables are read in this type; None: in their
    own.

    Example:
        >>> from chainrule.ir.dtype import bfloat16
        >>> scale = Variable([1.0])
        >>> with reading_as(bfloat16):
        ...     scale.value.dtype
        chainrule.bfloat16
    """
    token = _cast_to.set(dtype)
    try:
        yield
    finally:
        _cast_to.reset(token)


def reads_as() -> DType | None:
    """The type of the innermost `reading_as` in force; None for their own."""
    return _cast_to.get()


def values_of(variables: Sequence[Variable]) -> list[Any]:
    """What variables hold outside of any function that is traced.

    Example:
        >>> counter = Variable(3, dtype="int32")
        >>> values_of([counter])[0].item()
        3
    """
    return [variable._value for variable in variables]


@contextmanager
def substitute(
    variables: Sequence[Variable], values: Sequence[Any]
) -> Iterator[dict[int, Any]]:
    """Within the block, `variables` hold `values`, and assignments replace those.

    The block's result is a mapping; `current_values` reads what the variables hold.
    """
    pairs = zip(variables, values, strict=True)
    mapping = {id(variable): value for variable, value in pairs}
    outer = _substituted.get()
    token = _substituted.set(mapping if outer is None else {**outer, **mapping})
    try:
        inside = _substituted.get()
        assert inside is not None
        yield inside
    finally:
        _substituted.reset(token)


def current_values(variables: Sequence[Variable]) -> list[Any]:
    """What `variables` hold now."""
    return [variable.value for variable in variables]
