"""The running value of a fold: of one number, of lanes, of positions of extremes."""

from __future__ import annotations

import math

from chainrule.compiler.emit import I32, I64, Emitter
from chainrule.compiler.kernel import Fold
from chainrule.compiler.kernels import elementwise
from chainrule.compiler.kernels.elementwise import element_type, number
from chainrule.compiler.kernels.halves import rounded
from chainrule.compiler.llvm_types import IRValue, ir
from chainrule.ir.dtype import DType


class FoldState:
    """The running value of a fold, in memory that LLVM turns into registers."""

    def __init__(self, emitter: Emitter, stage: Fold, wide: bool) -> None:
        self.emitter = emitter
        self.operation = stage.operation
        self.dtype: DType = stage.expression.dtype
        self.wide = wide
        self.kind = self._shaped(element_type(self.dtype))
        self.is_position = stage.operation.startswith("arg")
        self.start = number(self.kind, identity_of(self.operation, self.dtype))
        self.value = self._cell(self.kind, self.start)
        where = self._shaped(I64)
        self.position = (
            self._cell(where, number(where, 0)) if self.is_position else None
        )
        flag = self._shaped(ir.IntType(1))
        self.any = self._cell(flag, number(flag, 0)) if self.is_position else None

    def _shaped(self, element: IRValue) -> IRValue:
        return ir.VectorType(element, self.emitter.lanes) if self.wide else element

    def _cell(self, kind: IRValue, start: IRValue) -> IRValue:
        builder = self.emitter.builder
        with builder.goto_entry_block():
            cell = builder.alloca(kind)
        builder.store(start, cell)
        return cell

    def add(
        self, value: IRValue, position: IRValue | None, mask: IRValue | None = None
    ) -> None:
        """Fold in a value; only the lanes in `mask` count."""
        b = self.emitter.builder
        old = b.load(self.value, typ=self.kind)
        if self.is_position:
            value = rounded(b, self.dtype, value)  # equals are equal as they are stored
            self._add_position(value, position, mask, old)
            return
        if mask is not None:
            value = b.select(mask, value, self.start)
        b.store(self.combine(old, value), self.value)

    def _add_position(
        self, value: IRValue, position: IRValue, mask: IRValue | None, old: IRValue
    ) -> None:
        b = self.emitter.builder
        assert self.position is not None
        assert self.any is not None
        seen = b.load(self.any, typ=self._shaped(ir.IntType(1)))
        better = b.or_(b.not_(seen), self._better(value, old))
        if mask is not None:
            better = b.and_(better, mask)
        where = b.load(self.position, typ=self._shaped(I64))
        b.store(b.select(better, value, old), self.value)
        b.store(b.select(better, position, where), self.position)
        b.store(b.or_(seen, better), self.any)

    def _better(self, value: IRValue, old: IRValue) -> IRValue:
        """Whether `value` comes before `old`, which stands earlier."""
        b = self.emitter.builder
        pair = (value, old) if self.operation == "argmin" else (old, value)
        better = elementwise.ROWS["less"](b, self.dtype, *pair)
        if not self.dtype.is_float:
            return better
        missing = b.fcmp_unordered("uno", value, value)
        return b.or_(better, b.and_(missing, b.fcmp_ordered("ord", old, old)))

    def combine(self, a: IRValue, b: IRValue) -> IRValue:
        """Two partial results as one."""
        name = COMBINE[self.operation]
        return elementwise.ROWS[name](self.emitter.builder, self.dtype, a, b)

    def result(self) -> IRValue:
        """The value now."""
        if self.position is not None:
            return self.emitter.builder.load(self.position, typ=self._shaped(I64))
        return self.emitter.builder.load(self.value, typ=self.kind)

    def fold_lanes(self) -> IRValue:
        """The lanes folded into one value, in halves."""
        b = self.emitter.builder
        value = b.load(self.value, typ=self.kind)
        if self.position is not None:
            return self._fold_positions(value)
        width = self.emitter.lanes
        while width > 1:
            width //= 2
            low, high = (_half(b, value, width, side) for side in (0, 1))
            value = self.combine(low, high)
        return b.extract_element(value, ir.Constant(I32, 0))

    def _fold_positions(self, value: IRValue) -> IRValue:
        b = self.emitter.builder
        assert self.position is not None
        assert self.any is not None
        where = b.load(self.position, typ=self._shaped(I64))
        seen = b.load(self.any, typ=self._shaped(ir.IntType(1)))
        width = self.emitter.lanes
        while width > 1:
            width //= 2
            values = [_half(b, value, width, side) for side in (0, 1)]
            places = [_half(b, where, width, side) for side in (0, 1)]
            flags = [_half(b, seen, width, side) for side in (0, 1)]
            # of equals the one with the smaller position is first
            better = self._better(values[1], values[0])
            equal = b.not_(b.or_(better, self._better(values[0], values[1])))
            earlier = b.and_(equal, b.icmp_signed("<", places[1], places[0]))
            take = b.and_(flags[1], b.or_(b.or_(better, earlier), b.not_(flags[0])))
            value = b.select(take, values[1], values[0])
            where = b.select(take, places[1], places[0])
            seen = b.or_(flags[0], flags[1])
        return b.extract_element(where, ir.Constant(I32, 0))


def _half(builder: IRValue, value: IRValue, width: int, side: int) -> IRValue:
    """The lower or upper `width` lanes of a vector of twice as many."""
    undefined = ir.Constant(value.type, ir.Undefined)
    lanes = [side * width + lane for lane in range(width)]
    mask = ir.Constant(ir.VectorType(I32, width), lanes)
    return builder.shuffle_vector(value, undefined, mask)


COMBINE = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "any": "logical_or",
    "all": "logical_and",
}


def identity_of(operation: str, dtype: DType) -> float | int:
    """What a fold starts from."""
    if operation in ("sum", "any"):
        return 0
    if operation in ("prod", "all"):
        return 1
    if operation.startswith("arg"):
        return 0
    if dtype.is_float:
        return -math.inf if operation == "max" else math.inf
    unsigned = dtype.kind == "u"
    least = 0 if unsigned else -(2 ** (dtype.bits - 1))
    most = 2**dtype.bits - 1 if unsigned else 2 ** (dtype.bits - 1) - 1
    return least if operation == "max" else most
