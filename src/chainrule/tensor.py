"""The tensor: what users hold, with operators, indexing and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

import chainrule.functional as functional
from chainrule.autodiff.backward import backward
from chainrule.autodiff.levels import TAPE_BIT
from chainrule.errors import ArgumentError, GradientError, ShapeError, TraceError
from chainrule.functional.indexing import At
from chainrule.functional.promotion import check_device
from chainrule.ir.dtype import DType, bfloat16, widen
from chainrule.ir.value import Value, new_value, use_value_class
from chainrule.operators import Operators
from chainrule.ops import stop_gradient

_CPU = (1, 0)  # DLPack's number of the device


class Tensor(Operators, Value):
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
        return widen(self.data) if self.dtype is bfloat16 else self.data

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy of the elements as a NumPy array; of bfloat16, which NumPy lacks, in
        float32.
        """
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
        if self.dtype is bfloat16:
            raise BufferError("NumPy has no bfloat16: export x.astype('float32')")
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

    def flatten(self) -> Tensor:
        """The elements along one axis, in row-major order."""
        return functional.reshape(self, (self.size,))

    def __contains__(self, element: Any) -> bool:
        return bool(functional.any(functional.equal(self, element)))

    def __repr__(self) -> str:
        rest = f"{self.dtype}{', requires_grad=True' if self.requires_grad else ''})"
        if self.data is None:
            return f"Tensor(<traced {self.spec}>)"
        text = np.array2string(
            widen(self.data), separator=", ", prefix="Tensor(", threshold=200
        )
        shape = f", shape={self.shape}" if self.size == 0 and self.ndim != 1 else ""
        return f"Tensor({text}{shape}, {rest}"


use_value_class(Tensor)
