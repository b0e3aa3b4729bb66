"""Scalar expressions as LLVM code, each at the outermost loop where it can stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from chainrule.compiler.engine import Target, set_attributes
from chainrule.compiler.expression import Expression, in_order
from chainrule.compiler.index import Atom, Axis, FromData, Index, Quotient
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.kernels.elementwise import element_type, number, stored_type
from chainrule.compiler.kernels.halves import narrowed, widened
from chainrule.compiler.llvm_types import IRBuilder, IRType, IRValue, ir
from chainrule.errors import GraphError
from chainrule.ir.dtype import DType, int64

I64 = ir.IntType(64)
I32 = ir.IntType(32)
BYTE = ir.IntType(8)
POINTER = ir.PointerType()
# a share's number and, from this bit on, that of the thread that computes it
SHARE_BITS = 32
SHARE_MASK = (1 << SHARE_BITS) - 1


def integer(value: int) -> IRValue:
    """A 64-bit constant."""
    return ir.Constant(I64, value)


class Emitted(NamedTuple):
    """A value in the code, and how deep in the loops it stands."""

    value: IRValue
    level: int

    @property
    def is_vector(self) -> bool:
        """Whether it has a value per lane."""
        return isinstance(self.value.type, ir.VectorType)


@dataclass(eq=False)
class Scope:
    """A loop level: the variables it defines and what was computed in it.

    Attributes:
        positions: the position of each axis, a scalar; of the lane axis, of lane 0.
        lane: the axis whose positions lie side by side in a vector, if any.
        mask: which lanes are inside the loop; None where all are.
        block: where code that belongs to this level is put.
        memo: what was computed at this level.
    """

    positions: dict[Axis, IRValue]
    block: IRValue
    lane: Axis | None = None
    mask: IRValue | None = None
    memo: dict[Expression, Emitted] = field(default_factory=dict)


class Emitter:
    """Writes one kernel function `void kernel(ptr arguments, i64 thread, i64 threads)`.

    The arguments are the addresses of the buffers, then that of the status words, one
    for each thread, then that of the scratch memory. The low bits of `thread` say which
    of `threads` shares is to be computed, those from `SHARE_BITS` on by which thread.
    """

    def __init__(self, name: str, dtypes: Sequence[DType], target: Target, lanes: int):
        self.target = target
        self.lanes = lanes
        self.dtypes = tuple(dtypes)
        self.module = ir.Module(name)
        self.module.triple = target.triple
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
        self.function = ir.Function(self.module, kind, name)
        set_attributes(self.function, target)
        # loops stay loops: a call of memset or memcpy would need the C library
        set.add(self.function.attributes, '"no-builtins"')
        self.function.args[0].add_attribute("noalias")
        arguments, who, self.threads = self.function.args
        entry = self.function.append_basic_block("entry")
        self.builder: IRBuilder = ir.IRBuilder(entry)
        self.thread = self.builder.and_(who, integer(SHARE_MASK))
        self.worker = self.builder.lshr(who, integer(SHARE_BITS))
        self.arguments = arguments
        self.buffers = [self._argument(i) for i in range(len(dtypes))]
        self.scopes = [Scope({}, entry)]

    def _argument(self, position: int) -> IRValue:
        place = self.builder.gep(
            self.arguments, [integer(position)], source_etype=POINTER
        )
        return self.builder.load(place, typ=POINTER)

    def status_argument(self) -> IRValue:
        """The status word of this thread."""
        base = self._argument(len(self.dtypes))
        return self.builder.gep(base, [self.worker], source_etype=I64)

    def extra_argument(self, position: int) -> IRValue:
        """The address behind buffers and status at `position`."""
        return self._argument(len(self.dtypes) + 1 + position)

    def finish(self) -> str:
        """Close the function; the text of its module."""
        self.builder.ret_void()
        return str(self.module)

    # ---- shares ----------------------------------------------------------------------

    def part(self, extent: int, unit: int) -> tuple[IRValue, IRValue]:
        """This thread's positions of `extent`, cut into pieces of `unit`."""
        builder, bounds = self.builder, []
        pieces = -(-extent // unit)
        for who in (self.thread, builder.add(self.thread, integer(1))):
            piece = builder.sdiv(builder.mul(who, integer(pieces)), self.threads)
            bounds.append(self.least(builder.mul(piece, integer(unit)), extent))
        return bounds[0], bounds[1]

    def least(self, value: IRValue, limit: IRValue | int) -> IRValue:
        """The smaller of two numbers."""
        most = integer(limit) if isinstance(limit, int) else limit
        inside = self.builder.icmp_signed("<", value, most)
        return self.builder.select(inside, value, most)

    # ---- loops -----------------------------------------------------------------------

    @property
    def scope(self) -> Scope:
        """The innermost level."""
        return self.scopes[-1]

    @contextmanager
    def loop(self, start: IRValue, stop: IRValue, step: int = 1) -> Iterator[IRValue]:
        """A counted loop around what is emitted in the block; the counter."""
        self.scope.block = before = self.builder.block
        head = self.function.append_basic_block("loop")
        body = self.function.append_basic_block("body")
        done = self.function.append_basic_block("done")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        counter = self.builder.phi(I64)
        counter.add_incoming(start, before)
        inside = self.builder.icmp_signed("<", counter, stop)
        self.builder.cbranch(inside, body, done)
        self.builder.position_at_end(body)
        depth = len(self.scopes)
        yield counter
        del self.scopes[depth:]
        following = self.builder.add(counter, integer(step))
        counter.add_incoming(following, self.builder.block)
        self.builder.branch(head)
        self.builder.position_at_end(done)
        self.scope.block = done

    @contextmanager
    def level(
        self,
        positions: dict[Axis, IRValue],
        lane: Axis | None = None,
        mask: IRValue | None = None,
    ) -> Iterator[Scope]:
        """A level at which these axes have positions."""
        scope = Scope(positions, self.builder.block, lane, mask)
        self.scopes.append(scope)
        yield scope
        if self.scopes and self.scopes[-1] is scope:
            self.scopes.pop()
            self.scope.block = self.builder.block

    @contextmanager
    def abreast(self, count: int) -> Iterator[None]:
        """Vectors `count` times as long, in what is emitted in the block."""
        before, self.lanes = self.lanes, self.lanes * count
        yield
        self.lanes = before

    @contextmanager
    def only_if(self, condition: IRValue) -> Iterator[None]:
        """Code that runs where `condition` holds."""
        self.scope.block = self.builder.block
        body = self.function.append_basic_block("then")
        done = self.function.append_basic_block("after")
        self.builder.cbranch(condition, body, done)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(done)
        self.builder.position_at_end(done)
        self.scope.block = done

    def _at(self, level: int) -> None:
        """Move to where code of `level` is put."""
        if level >= len(self.scopes) - 1:
            return
        block = self.scopes[level].block
        if block.is_terminated:
            self.builder.position_before(block.terminator)
        else:
            self.builder.position_at_end(block)

    @contextmanager
    def hoisted(self, level: int) -> Iterator[None]:
        """Emit at `level`, then go on where the code was."""
        here = self.builder.block
        self._at(level)
        yield
        self.builder.position_at_end(here)

    # ---- expressions -----------------------------------------------------------------

    def emit(self, expression: Expression) -> Emitted:
        """The value of `expression` at the present point."""
        for part in in_order(expression, lambda e: self._emitted(e) is not None):
            result = self._make(part)
            self.scopes[result.level].memo[part] = result
        emitted = self._emitted(expression)
        assert emitted is not None
        return emitted

    def _emitted(self, expression: Expression) -> Emitted | None:
        """The value of `expression` where it was emitted before."""
        for scope in reversed(self.scopes):
            if expression in scope.memo:
                return scope.memo[expression]
        return None

    def vector(self, expression: Expression) -> IRValue:
        """The value of `expression` in every lane."""
        return self.splat(self.emit(expression))

    def splat(self, emitted: Emitted) -> IRValue:
        """A scalar repeated in every lane; a vector as it is."""
        if emitted.is_vector:
            return emitted.value
        if isinstance(emitted.value, ir.Constant):
            kind = ir.VectorType(emitted.value.type, self.lanes)
            return number(kind, emitted.value.constant)
        level = emitted.level
        with self.hoisted(level):
            return self.repeat(emitted.value)

    def repeat(self, scalar: IRValue) -> IRValue:
        """`scalar` in every lane, emitted here."""
        kind = ir.VectorType(scalar.type, self.lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
        mask = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, mask)

    def set_local(self, local: Expression, value: IRValue) -> None:
        """Name the value of an earlier stage, at the present level."""
        level = len(self.scopes) - 1
        self.scopes[level].memo[local] = Emitted(value, level)

    def _make(self, expression: Expression) -> Emitted:
        kind = expression.kind
        if kind == "number":
            value = expression.detail[2]
            return Emitted(number(element_type(expression.dtype), value), 0)
        if kind == "load":
            return self._load(expression)
        if kind == "position":
            return self._position(expression)
        if kind == "bounded":
            return self._bounded(expression)
        if kind == "local":
            raise GraphError("a local is read before its stage", got=expression.detail)
        return self._operation(expression)

    def _operation(self, expression: Expression) -> Emitted:
        parts = [self.emit(part) for part in expression.inputs]
        level = max((part.level for part in parts), default=0)
        if any(part.is_vector for part in parts):
            values = tuple(self.splat(part) for part in parts)
        else:
            values = tuple(part.value for part in parts)
        sources = tuple(part.dtype for part in expression.inputs)
        with self.hoisted(level):
            value = elementwise.emit(
                self.builder, expression.kind, expression.dtype, sources, values
            )
        return Emitted(value, level)

    def _position(self, expression: Expression) -> Emitted:
        dtype = expression.dtype
        base, offsets, stride = self.split(expression.detail)
        if offsets is None and stride and dtype.is_integer:
            return self._lane_position(base, stride, dtype)
        index = self.index(expression.detail)
        with self.hoisted(index.level):
            value = elementwise.convert(self.builder, int64, dtype, index.value)
        return Emitted(value, index.level)

    def _lane_position(self, base: Emitted, stride: int, dtype: DType) -> Emitted:
        """Positions `stride` apart, counted in their own dtype: lanes of 64 bits would
        take twice the vectors."""
        with self.hoisted(base.level):
            first = elementwise.convert(self.builder, int64, dtype, base.value)
        kind = ir.VectorType(first.type, self.lanes)
        wrap = 1 << dtype.bits
        steps = [lane * stride % wrap for lane in range(self.lanes)]
        splat = self.splat(Emitted(first, base.level))
        value = self.builder.add(splat, ir.Constant(kind, steps))
        return Emitted(value, len(self.scopes) - 1)

    def _bounded(self, expression: Expression) -> Emitted:
        """An index from data: reported where it is outside, and brought inside."""
        detail = dict(expression.detail)
        extent, code = detail["extent"], detail["code"]
        part = self.emit(expression.inputs[0])
        value, b = part.value, self.builder
        # a check belongs where the element is used: hoisted, it might run for nothing
        low = b.icmp_signed("<", value, number(value.type, -extent))
        high = b.icmp_signed(">=", value, number(value.type, extent))
        wrong = b.or_(low, high)
        level = len(self.scopes) - 1
        self._report(wrong, code)
        negative = b.icmp_signed("<", value, number(value.type, 0))
        wrapped = b.select(negative, b.add(value, number(value.type, extent)), value)
        return Emitted(b.select(wrong, number(value.type, 0), wrapped), level)

    def _report(self, wrong: IRValue, code: int) -> None:
        b = self.builder
        if isinstance(wrong.type, ir.VectorType):
            mask = self.mask()
            if mask is not None:
                wrong = b.and_(wrong, mask)
            bits = b.bitcast(wrong, ir.IntType(wrong.type.count))
            wrong = b.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))
        status = self.status_argument()
        old = b.load(status, typ=I64)
        b.store(b.select(wrong, integer(code), old), status)

    def mask(self) -> IRValue | None:
        """Which lanes are inside the present loop."""
        for scope in reversed(self.scopes):
            if scope.lane is not None:
                return scope.mask
        return None

    def lane(self) -> Axis | None:
        """The axis along the lanes of the present loop."""
        for scope in reversed(self.scopes):
            if scope.lane is not None:
                return scope.lane
        return None

    # ---- indices ---------------------------------------------------------------------

    def index(self, index: Index) -> Emitted:
        """The value of an index: a scalar, or one per lane."""
        base, offsets, stride = self.split(index)
        if offsets is None and not stride:
            return base
        level = len(self.scopes) - 1
        lanes = self.lane_offsets(offsets, stride)
        return Emitted(self.builder.add(self.splat(base), lanes), level)

    def lane_offsets(self, offsets: IRValue | None, stride: int) -> IRValue:
        """What each lane adds to the scalar part of an index."""
        kind = ir.VectorType(I64, self.lanes)
        steps = ir.Constant(kind, [lane * stride for lane in range(self.lanes)])
        return steps if offsets is None else self.builder.add(offsets, steps)

    def split(self, index: Index) -> tuple[Emitted, IRValue | None, int]:
        """An index as a scalar, a part for each lane, and a stride between lanes."""
        total = Emitted(integer(index.constant), 0)
        offsets: IRValue | None = None
        stride, lane = 0, self.lane()
        for atom, coefficient in index.terms:
            if atom is lane:
                stride += coefficient
            part = self._atom(atom)
            if part.is_vector:
                scaled = self.builder.mul(
                    part.value, number(part.value.type, coefficient)
                )
                offsets = (
                    scaled if offsets is None else self.builder.add(offsets, scaled)
                )
            else:
                total = self._add_scaled(total, part, coefficient)
        return total, offsets, stride

    def _add_scaled(self, total: Emitted, part: Emitted, factor: int) -> Emitted:
        level = max(total.level, part.level)
        with self.hoisted(level):
            scaled = self.builder.mul(part.value, integer(factor))
            return Emitted(self.builder.add(total.value, scaled), level)

    def _atom(self, atom: Atom) -> Emitted:
        if isinstance(atom, Axis):
            return self.position_of(atom)
        if isinstance(atom, FromData):
            return self.emit(atom.expression)
        inner = self.index(atom.index)
        divide = self.builder.udiv if isinstance(atom, Quotient) else self.builder.urem
        with self.hoisted(inner.level):
            value = divide(inner.value, number(inner.value.type, atom.divisor))
        return Emitted(value, inner.level)

    def position_of(self, axis: Axis) -> Emitted:
        """The position of an axis: a scalar, of lane 0 along the lanes."""
        for level in reversed(range(len(self.scopes))):
            if axis in self.scopes[level].positions:
                return Emitted(self.scopes[level].positions[axis], level)
        raise GraphError("an axis is used outside its loop")

    # ---- memory ----------------------------------------------------------------------

    def _load(self, expression: Expression) -> Emitted:
        place, dtype = expression.detail, expression.dtype
        condition = self.emit(expression.inputs[0]) if expression.inputs else None
        base, offsets, stride = self.split(place.offset)
        varies = offsets is not None or stride != 0
        if not varies and not (condition is not None and condition.is_vector):
            return self._load_scalar(place.buffer, dtype, base, condition)
        return self._load_lanes(place.buffer, dtype, base, (offsets, stride), condition)

    def _load_scalar(
        self, buffer: int, dtype: DType, offset: Emitted, condition: Emitted | None
    ) -> Emitted:
        level = (
            offset.level if condition is None else max(offset.level, condition.level)
        )
        with self.hoisted(level):
            place = offset.value
            if condition is not None:
                place = self.builder.select(condition.value, place, integer(0))
            pointer = self.address(buffer, place)
            value = self.builder.load(pointer, typ=stored_type(dtype))
            return Emitted(self.register(value, dtype), level)

    def _load_lanes(
        self,
        buffer: int,
        dtype: DType,
        base: Emitted,
        lanes: tuple[IRValue | None, int],
        condition: Emitted | None,
    ) -> Emitted:
        mask = self._both(self.mask(), condition)
        kind = ir.VectorType(stored_type(dtype), self.lanes)
        level = len(self.scopes) - 1
        if lanes == (None, 1):
            pointer = self.address(buffer, base.value)
            if mask is None:
                value = self.builder.load(pointer, typ=kind, align=dtype.itemsize)
            else:
                value = self.masked_load(pointer, kind, mask, dtype.itemsize)
        else:
            places = self.builder.add(self.splat(base), self.lane_offsets(*lanes))
            value = self._gather(buffer, places, kind, mask, dtype.itemsize)
        return Emitted(self.register(value, dtype), level)

    def _both(self, mask: IRValue | None, condition: Emitted | None) -> IRValue | None:
        if condition is None:
            return mask
        wide = self.splat(condition)
        return wide if mask is None else self.builder.and_(mask, wide)

    def address(self, buffer: int, offset: IRValue) -> IRValue:
        """The address of an element of a buffer."""
        kind = stored_type(self.dtypes[buffer])
        return self.builder.gep(self.buffers[buffer], [offset], source_etype=kind)

    def prefetch(self, pointer: IRValue) -> None:
        """Ask for a line of memory that is to be read, and written, soon."""
        name = "llvm.prefetch.p0"
        function = self._declare(name, ir.VoidType(), [POINTER, I32, I32, I32])
        how = [ir.Constant(I32, word) for word in (0, 3, 1)]  # read, keep, data
        self.builder.call(function, [pointer, *how])

    def register(self, value: IRValue, dtype: DType) -> IRValue:
        """A value as loaded, as it is computed with."""
        if dtype.is_half:
            return widened(self.builder, dtype, value)
        if not dtype.is_bool:
            return value
        return self.builder.icmp_unsigned("!=", value, number(value.type, 0))

    def memory(self, value: IRValue, dtype: DType) -> IRValue:
        """A value as computed with, as it is stored."""
        if dtype.is_half:
            return narrowed(self.builder, dtype, value)
        if not dtype.is_bool:
            return value
        return self.builder.zext(value, elementwise.like(value, BYTE))

    def _declare(self, name: str, result: IRType, arguments: list[IRType]) -> IRValue:
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(
                self.module, ir.FunctionType(result, arguments), name
            )
        return function

    def masked_load(
        self, pointer: IRValue, kind: IRType, mask: IRValue, align: int
    ) -> IRValue:
        """A vector load of the lanes in `mask`; the others are zero."""
        name = f"llvm.masked.load.{elementwise.suffix(kind)}.p0"
        function = self._declare(name, kind, [POINTER, I32, mask.type, kind])
        zero = number(kind, 0)
        arguments = [pointer, ir.Constant(I32, align), mask, zero]
        return self.builder.call(function, arguments)

    def masked_store(
        self, value: IRValue, pointer: IRValue, mask: IRValue, align: int
    ) -> None:
        """A vector store of the lanes in `mask`."""
        name = f"llvm.masked.store.{elementwise.suffix(value.type)}.p0"
        kinds = [value.type, POINTER, I32, mask.type]
        function = self._declare(name, ir.VoidType(), kinds)
        self.builder.call(function, [value, pointer, ir.Constant(I32, align), mask])

    def _pointers(self, buffer: int, places: IRValue) -> IRValue:
        kind = stored_type(self.dtypes[buffer])
        size = max(kind.width // 8, 1) if isinstance(kind, ir.IntType) else 0
        size = size or (4 if isinstance(kind, ir.FloatType) else 8)
        base = self.builder.ptrtoint(self.buffers[buffer], I64)
        scaled = self.builder.mul(places, number(places.type, size))
        wide = self.builder.add(self.repeat(base), scaled)
        return self.builder.inttoptr(wide, ir.VectorType(POINTER, self.lanes))

    def _gather(
        self,
        buffer: int,
        places: IRValue,
        kind: IRType,
        mask: IRValue | None,
        align: int,
    ) -> IRValue:
        pointers = self._pointers(buffer, places)
        bits = ir.VectorType(ir.IntType(1), self.lanes)
        mask = number(bits, 1) if mask is None else mask
        name = f"llvm.masked.gather.{elementwise.suffix(kind)}.v{self.lanes}p0"
        function = self._declare(name, kind, [pointers.type, I32, bits, kind])
        arguments = [pointers, ir.Constant(I32, align), mask, number(kind, 0)]
        return self.builder.call(function, arguments)

    def store(self, buffer: int, offset: Index, expression: Expression) -> None:
        """Write the value of `expression` at the present point."""
        dtype = self.dtypes[buffer]
        base, offsets, stride = self.split(offset)
        if self.lane() is None or (offsets is None and not stride):
            emitted = self.emit(expression)
            if emitted.is_vector:
                raise GraphError("a vector is stored where one element is meant")
            pointer = self.address(buffer, base.value)
            self.builder.store(self.memory(emitted.value, dtype), pointer)
            return
        value = self.memory(self.vector(expression), dtype)
        mask = self.mask()
        if offsets is None and stride == 1:
            pointer = self.address(buffer, base.value)
            if mask is None:
                self.builder.store(value, pointer, align=dtype.itemsize)
            else:
                self.masked_store(value, pointer, mask, dtype.itemsize)
            return
        places = self.builder.add(self.splat(base), self.lane_offsets(offsets, stride))
        self._scatter(buffer, places, value, mask, dtype.itemsize)

    def _scatter(
        self,
        buffer: int,
        places: IRValue,
        value: IRValue,
        mask: IRValue | None,
        align: int,
    ) -> None:
        pointers = self._pointers(buffer, places)
        bits = ir.VectorType(ir.IntType(1), self.lanes)
        mask = number(bits, 1) if mask is None else mask
        kind = elementwise.suffix(value.type)
        name = f"llvm.masked.scatter.{kind}.v{self.lanes}p0"
        kinds = [value.type, pointers.type, I32, bits]
        function = self._declare(name, ir.VoidType(), kinds)
        self.builder.call(function, [value, pointers, ir.Constant(I32, align), mask])
