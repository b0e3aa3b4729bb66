"""Access to what kernels written by hand read and write, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.compiler.emit import Emitter, integer
from chainrule.compiler.kernel import LibraryKernel
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.kernels.elementwise import stored_type
from chainrule.compiler.llvm_types import IRValue, ir

SCATTER_LANES = 16


class Lines:
    """Access to a kernel's buffers, element by element."""

    def __init__(self, kernel: LibraryKernel, emitter: Emitter) -> None:
        self.kernel = kernel
        self.emitter = emitter
        self.builder = emitter.builder
        self.params = dict(kernel.params)

    def share(self, count: int) -> tuple[IRValue, IRValue]:
        """This thread's part of `count` pieces."""
        builder, emitter = self.builder, self.emitter
        total, after = integer(count), builder.add(emitter.thread, integer(1))
        start = builder.sdiv(builder.mul(emitter.thread, total), emitter.threads)
        return start, builder.sdiv(builder.mul(after, total), emitter.threads)

    def load(self, buffer: int, place: IRValue) -> IRValue:
        """The element of a buffer, as it is computed with."""
        dtype = self.kernel.dtypes[buffer]
        pointer = self.emitter.address(buffer, place)
        value = self.builder.load(pointer, typ=stored_type(dtype))
        return self.emitter.register(value, dtype)

    def store(self, buffer: int, place: IRValue, value: IRValue) -> None:
        """Write an element of a buffer."""
        dtype = self.kernel.dtypes[buffer]
        pointer = self.emitter.address(buffer, place)
        self.builder.store(self.emitter.memory(value, dtype), pointer)

    def place(
        self, flat: IRValue, shape: Sequence[int], strides: Sequence[int]
    ) -> IRValue:
        """Where the element with row-major number `flat` in `shape` lies."""
        builder, total = self.builder, integer(0)
        for extent, stride in reversed(list(zip(shape, strides, strict=True))):
            position = builder.urem(flat, integer(extent))
            flat = builder.udiv(flat, integer(extent))
            total = builder.add(total, builder.mul(position, integer(stride)))
        return total

    # ---- along a row of memory -------------------------------------------------------

    def along(
        self, share: tuple[IRValue, IRValue], body: Callable[[IRValue, int], None]
    ) -> None:
        """`body(position, lanes)` for whole vectors, then for what is left of a row."""
        builder, (first, last) = self.builder, share
        whole = builder.and_(builder.sub(last, first), integer(-SCATTER_LANES))
        middle = builder.add(first, whole)
        with self.emitter.loop(first, middle, SCATTER_LANES) as position:
            body(position, SCATTER_LANES)
        with self.emitter.loop(middle, last) as position:
            body(position, 1)

    def copy(
        self, buffer: int, rows: Sequence[IRValue], position: IRValue, lanes: int
    ) -> None:
        """Elements of a buffer to the last."""
        source, target = (self.builder.add(row, position) for row in rows)
        self._put(3, target, self._get(buffer, source, lanes))

    def increase(
        self, rows: tuple[IRValue, IRValue], position: IRValue, lanes: int
    ) -> None:
        """Add elements of the third buffer to those of the last."""
        source, target = (self.builder.add(row, position) for row in rows)
        old, update = self._get(3, target, lanes), self._get(2, source, lanes)
        dtype = self.kernel.dtypes[0]
        total = elementwise.ROWS["add"](self.builder, dtype, old, update)
        self._put(3, target, total)

    def _get(self, buffer: int, place: IRValue, lanes: int) -> IRValue:
        dtype = self.kernel.dtypes[buffer]
        kind = stored_type(dtype)
        kind = ir.VectorType(kind, lanes) if lanes > 1 else kind
        pointer = self.emitter.address(buffer, place)
        return self.builder.load(pointer, typ=kind, align=dtype.itemsize)

    def _put(self, buffer: int, place: IRValue, value: IRValue) -> None:
        pointer = self.emitter.address(buffer, place)
        self.builder.store(value, pointer, align=self.kernel.dtypes[buffer].itemsize)


def without(items: Sequence[int], axis: int) -> tuple[int, ...]:
    """The extents or strides of all axes but one."""
    return (*items[:axis], *items[axis + 1 :])
