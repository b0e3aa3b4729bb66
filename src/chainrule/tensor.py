"""The tensor: what users hold, with operators, indexing and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

import chainrule.functional as functional
from chainrule.autodiff.backward import backward
from chainrule.autodiff.levels import TAPE_BIT
from chainrule.errors import ArgumentError, GradientError, ShapeError, TraceError
from chainrule.functional.indexing import At, index
from chainrule.functional.manipulation import Axis
from chainrule.functional.promotion import check_device, is_scalar
from chainrule.ir.dtype import DType, DTypeLike
from chainrule.ir.value import Value, new_value, use_value_class
from chainrule.ops import stop_gradient
from chainrule.variable import Variable

_CPU = (1, 0)  # DLPack's number of the device


def _operand(x: object) -> bool:
    """Whether an operator accepts `x` beside a tensor."""
    arrays = (Value, Variable, np.ndarray, np.generic, list, tuple)
    return is_scalar(x) or isinstance(x, arrays)


def _binary(function: Any, swapped: bool = False) -> Any:
    def operator(self: Tensor, other: Any) -> Any:
        if not _operand(other):
            return NotImplemented
        return function(other, self) if swapped else function(self, other)

    return operator


def _unary(function: Any) -> Any:
    def operator(self: Tensor) -> Any:
        return function(self)

    return operator


class Tensor(Value):
    """An immutable array of numbers of one dtype, with gradients.

    Made by `chainrule.asarray` and the other functions; operators, indexing and methods
    give new tensors. While a function is traced a tensor stands for numbers to come.

    Example:
        >>> import chainrule
        >>> w = chainrule.asarray([1.0, 2.0], requires_grad=True)
        >>> loss = (w * w).sum()
        >>> loss.backward()
        >>> w.grad
        Tensor([2., 4.], float32)
    """

    __slots__ = ()
    # NumPy arrays leave operators with a tensor on the right to the tensor.
    __array_ufunc__ = None

    # ---- description ---------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        """Data type of the elements."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.spec.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.spec.size

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, stored densely."""
        return self.spec.nbytes

    @property
    def device(self) -> str:
        """Where the elements are: "cpu"."""
        return "cpu"

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """The tensor itself; there is no device but "cpu"."""
        check_device(device)
        return self

    @property
    def T(self) -> Tensor:
        """The matrix transposed; for 2-d tensors only."""
        if self.ndim != 2:
            raise ShapeError(
                "T is for matrices",
                where="Tensor.T",
                got=self.spec,
                fix="x.mT for the last two axes, or permute_dims(x, axes)",
            )
        return self.mT

    @property
    def mT(self) -> Tensor:
        """The matrices in the last two axes transposed."""
        return functional.matrix_transpose(self)

    def __array_namespace__(self, /, *, api_version: str | None = None) -> ModuleType:
        """The module with the functions of the array API standard."""
        supported = ("2021.12", "2022.12", "2023.12", "2024.12")
        if api_version is not None and api_version not in supported:
            raise ArgumentError(
                "this version of the standard is not supported",
                got=api_version,
                expected=", ".join(supported),
            )
        return functional

    # ---- numbers -------------------------------------------------------------------

    def _numbers(self, where: str) -> np.ndarray[Any, Any]:
        if self.data is None:
            raise TraceError(
                "a traced tensor has no numbers yet: they come when the function runs",
                where=where,
                got=f"a placeholder {self.spec}",
                expected="a tensor outside jit, vmap and other traces",
                fix="choose with chainrule.where(condition, a, b), "
                "or return the tensor and look at it outside",
            )
        return self.data

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the elements as a NumPy array."""
        return np.array(self._numbers("Tensor.numpy"))

    def item(self) -> bool | int | float:
        """The only element, as a Python number."""
        data = self._numbers("Tensor.item")
        if self.size != 1:
            raise ShapeError(
                "only a tensor of one element is a number",
                where="Tensor.item",
                got=self.spec,
                fix="reduce it first: x.sum().item(), or use x.tolist()",
            )
        number: bool | int | float = data.item()
        return number

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._numbers("Tensor.tolist").tolist()

    def __bool__(self) -> bool:
        self._numbers("bool(tensor)")
        return bool(self.item())

    def __int__(self) -> int:
        self._numbers("int(tensor)")
        return int(self.item())

    def __float__(self) -> float:
        self._numbers("float(tensor)")
        return float(self.item())

    def __index__(self) -> int:
        self._numbers("a tensor as an index")
        if self.ndim or not self.dtype.is_integer:
            raise TypeError(f"only a 0-d integer tensor is an index, not {self.spec}")
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(float(self))

    def __format__(self, specification: str) -> str:
        if specification and self.size == 1 and self.data is not None:
            return format(self.item(), specification)
        return format(str(self), specification)

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        """For NumPy: the elements, not to be written to unless they are copied."""
        data = self._numbers("numpy.asarray(tensor)")
        if copy or (dtype is not None and np.dtype(dtype) != data.dtype):
            if copy is False:
                raise ValueError("another dtype cannot be had without a copy")
            return np.array(data, dtype=dtype)
        view = data.view()
        view.flags.writeable = False
        return view

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """For other libraries: a DLPack capsule.

        The memory is shared where the consumer understands that it is not to be written
        to (DLPack 1.0), else it is copied.
        """
        data = self._numbers("Tensor.__dlpack__")
        if dl_device not in (None, _CPU):
            raise BufferError("the elements are in the memory of the CPU")
        if copy is False and max_version is None:
            raise BufferError("sharing needs DLPack 1.0, which can say 'read-only'")
        if copy or max_version is None:
            return np.array(data).__dlpack__(max_version=max_version)
        return self.__array__().__dlpack__(max_version=max_version)

    def __dlpack_device__(self) -> tuple[int, int]:
        """For other libraries: the memory of the CPU."""
        return _CPU

    # ---- gradients -----------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether `backward()` reaches it; may be set on a tensor made from numbers."""
        return bool(self.tape & TAPE_BIT)

    @requires_grad.setter
    def requires_grad(self, required: bool) -> None:
        if required and not self.dtype.is_float:
            raise GradientError(
                "only floating-point tensors have gradients",
                where="Tensor.requires_grad",
                got=self.spec,
                fix="x = x.astype('float32')",
            )
        if self.node is not None or self.owner is not None:
            raise GradientError(
                "this tensor is the result of an operation",
                where="Tensor.requires_grad",
                fix="x = x.detach(), then x.requires_grad = True",
            )
        self.tape = self.tape | TAPE_BIT if required else self.tape & ~TAPE_BIT

    @property
    def is_leaf(self) -> bool:
        """Whether it was made from numbers, not by an operation on tracked tensors."""
        return self.node is None

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to `.grad` of all it was computed from.

        Gradients are left on the tensors that require them; they accumulate until
        `.grad` is set to None.

        Args:
            gradient: the cotangent to start from; 1 for a scalar.
            retain_graph: whether the tape is kept for a further call; else it is freed.

        Raises:
            GradientError: when nothing requires a gradient, when the tape is freed, and
                for a tensor that is no scalar without `gradient`.
        """
        backward(self, gradient, retain_graph)

    def detach(self) -> Tensor:
        """The same numbers, cut off from what they were computed from."""
        if self.owner is not None or self.data is None:
            return stop_gradient(self)
        return new_value(self.spec, self.data)

    # ---- indexing ------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Tensor:
        return index(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            "tensors are immutable\n"
            "  got:      x[index] = values\n"
            "  fix:      x = x.at[index].set(values), or .add, .multiply, ..."
        )

    @property
    def at(self) -> At:
        """`x.at[index].set(values)`, `.add`, `.multiply`, ...: a changed copy."""
        return At(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("a 0-d tensor cannot be iterated over")
        return iter(functional.unstack(self))

    def __contains__(self, element: Any) -> bool:
        return bool(functional.any(functional.equal(self, element)))

    # ---- methods that are functions ------------------------------------------------

    def astype(self, dtype: DTypeLike) -> Tensor:
        """See `chainrule.astype`."""
        return functional.astype(self, dtype)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """See `chainrule.reshape`; lengths may be given one by one."""
        wanted: Any = shape[0] if len(shape) == 1 else shape
        return functional.reshape(self, wanted)

    def flatten(self) -> Tensor:
        """The elements along one axis, in row-major order."""
        return functional.reshape(self, (self.size,))

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
    # Equality is element by element, so sets and dicts find a tensor by identity.
    __hash__ = Value.__hash__

    def __repr__(self) -> str:
        rest = f"{self.dtype}{', requires_grad=True' if self.requires_grad else ''})"
        if self.data is None:
            return f"Tensor(<traced {self.spec}>)"
        text = np.array2string(
            self.data, separator=", ", prefix="Tensor(", threshold=200
        )
        shape = f", shape={self.shape}" if self.size == 0 and self.ndim != 1 else ""
        return f"Tensor({text}{shape}, {rest}"


use_value_class(Tensor)
