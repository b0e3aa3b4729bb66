"""From groups of roots to kernels."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from chainrule.compiler.blocks import in_blocks
from chainrule.compiler.collapse import collapse, join_rows
from chainrule.compiler.engine import host_target
from chainrule.compiler.expression import Expression
from chainrule.compiler.fuse import UPDATES, Group, express, is_fold
from chainrule.compiler.index import Axis, of
from chainrule.compiler.inside import with_inside
from chainrule.compiler.kernel import (
    ContractKernel,
    Fold,
    Kernel,
    LibraryKernel,
    LoopKernel,
    Operand,
    Write,
)
from chainrule.compiler.lower import Indices, Lowering, Store
from chainrule.compiler.scan import PlanStep, scan_kernel
from chainrule.compiler.view import view_of
from chainrule.errors import GraphError
from chainrule.ir.dtype import DType
from chainrule.ir.value import Node, Value
from chainrule.ops.contract import free_axes

LONG_ROW = 64  # elements of a row from which on it is read again, not computed again


class KernelBuilder:
    """Builds the kernel of one group.

    Args:
        stores: the values kept in memory.
        kept: the ids of the values that somebody outside of their group reads.
        codes: messages of bounds checks; their positions plus one are status codes.
        copies: the ids of operands that were copied into an order of their own.
        plan_step: plans the step of a scan.
    """

    def __init__(
        self,
        stores: dict[int, Store],
        kept: set[int],
        codes: list[tuple[Node, int]],
        copies: Container[int] = (),
        *,
        plan_step: PlanStep,
    ) -> None:
        self.stores = stores
        self.kept = kept
        self.codes = codes
        self.copies = copies
        self.plan_step = plan_step

    def build(self, group: Group) -> tuple[Kernel, list[Value]]:
        """The kernel, and the values in its buffers."""
        name = _name(group)
        if group.kind == "library":
            return self._library(group, name)
        if group.kind == "scan":
            node = group.roots[0].node
            assert node is not None
            return scan_kernel(node, name, self.stores, self.plan_step)
        low = Lowering(self.stores, codes=self.codes)
        product: Expression | None = None
        operands: tuple[Operand, Operand] | None = None
        roots = group.roots
        if group.kind == "contract":
            root, *roots = group.roots
            dtype = root.spec.dtype
            product = low.pool.local("product", dtype, group.rows)
            operands = self._operands(low, group, root)
        stages: list[Write | Fold] = []
        if product is not None:
            self._member(low, group, group.roots[0], product, (), stages)
        for root in roots:
            self._root(low, group, root, stages)
        dtypes = tuple(value.spec.dtype for value in low.buffers)
        if product is not None and operands is not None:
            kernel: Kernel = join_rows(
                self._contract(name, group, product, operands, stages, dtypes),
                low.pool,
            )
        else:
            rows, lane = _split_rows(group)
            kernel = LoopKernel(name, rows, lane, tuple(stages), dtypes)
            kernel = in_blocks(collapse(kernel, low.pool), low.pool, host_target())
            kernel = with_inside(kernel)
        return kernel, low.buffers

    # ---- loops -----------------------------------------------------------------------

    def _root(
        self, low: Lowering, group: Group, root: Value, stages: list[Write | Fold]
    ) -> None:
        expression, axes = express(low, group, root)
        if not is_fold(root):
            self._member(low, group, root, expression, axes, stages)
            return
        node = root.node
        assert node is not None
        local = low.pool.local(f"fold{len(stages)}", root.spec.dtype, group.rows)
        operation = "sum" if node.primitive.name == "contract" else node.primitive.name
        stages.append(Fold(local, operation, expression, axes))
        self._member(low, group, root, local, (), stages)

    def _member(
        self,
        low: Lowering,
        group: Group,
        root: Value,
        expression: Expression,
        axes: tuple[Axis, ...],
        stages: list[Write | Fold],
    ) -> None:
        """Store `root` if somebody else reads it, and let later stages know it."""
        stored = id(root) in self.kept
        if stored:
            point = tuple(map(of, group.rows + axes))
            offset = self.stores[id(root)].place(point)
            stages.append(Write(low.buffer(root), offset, expression, axes))
        again = stored and axes and axes[-1].extent > LONG_ROW

        def known(indices: Indices) -> Expression | None:
            return None if again else expression

        low.members[id(root)] = known

    # ---- contractions ----------------------------------------------------------------

    def _operands(
        self, low: Lowering, group: Group, root: Value
    ) -> tuple[Operand, Operand]:
        node = root.node
        assert node is not None
        sums, batch = node.params["sums"], node.params["batch"]
        left, right = node.inputs
        count = len(batch[0])
        rows = free_axes(left.spec.ndim, sums[0], batch[0])
        columns = free_axes(right.spec.ndim, sums[1], batch[1])
        shape = count, len(rows), len(columns)
        return (
            self._operand(low, left, (sums[0], batch[0], rows), shape, 0),
            self._operand(low, right, (sums[1], batch[1], columns), shape, 1),
        )

    def _operand(
        self,
        low: Lowering,
        value: Value,
        axes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
        shape: tuple[int, int, int],
        side: int,
    ) -> Operand:
        sums, batch, free = axes
        view = view_of(value, self.copies, self.stores)
        strides = view.strides
        extents = value.spec.shape
        summed = merge([(extents[axis], strides[axis]) for axis in sums])
        _, rows, columns = shape
        own = [strides[axis] for axis in free]
        # the loops around the product: batch axes, all rows but the last, all columns
        # but the last
        outer = [strides[axis] for axis in batch]
        other_rows, other_columns = max(rows - 1, 0), max(columns - 1, 0)
        if side == 0:
            outer += own[:-1] + [0] * other_columns
        else:
            outer += [0] * other_rows + own[:-1]
        row = own[-1] if own else 0
        number = low.buffer(view.base)
        return Operand(
            number, view.offset, row, tuple(s for _, s in summed), tuple(outer)
        )

    def _contract(
        self,
        name: str,
        group: Group,
        product: Expression,
        operands: tuple[Operand, Operand],
        stages: list[Write | Fold],
        dtypes: tuple[DType, ...],
    ) -> ContractKernel:
        root = group.roots[0]
        node = root.node
        assert node is not None
        sums, batch = node.params["sums"], node.params["batch"]
        left, right = node.inputs
        count = len(batch[0])
        rows = len(free_axes(left.spec.ndim, sums[0], batch[0]))
        row_axes = group.rows[count : count + rows]
        column_axes = group.rows[count + rows :]
        m = row_axes[-1] if row_axes else Axis(1)
        n = column_axes[-1] if column_axes else Axis(1)
        outer = group.rows[:count] + row_axes[:-1] + column_axes[:-1]
        extents = [left.spec.shape[axis] for axis in sums[0]]
        both = zip(
            extents,
            self._sum_strides(left, sums[0]),
            self._sum_strides(right, sums[1]),
            strict=True,
        )
        merged = merge_pairs(list(both))
        a = replace(operands[0], sums=tuple(pair[1] for pair in merged))
        b = replace(operands[1], sums=tuple(pair[2] for pair in merged))
        writes = tuple(stage for stage in stages if isinstance(stage, Write))
        lengths = tuple(pair[0] for pair in merged)
        if n.extent == 1 and m.extent > 1 and 1 in (a.row, a.sums[-1]):
            # a single column is computed as a row, so that lanes lie along it
            a, b, m, n = b, a, n, m
        if n.extent > 1 and 1 not in (b.row, b.sums[-1]):
            raise GraphError("a right operand lies along no axis", where=name, got=b)
        return ContractKernel(
            name, outer, m, n, lengths, a, b, product, writes, dtypes, m.extent, a.row
        )

    def _sum_strides(self, value: Value, axes: Sequence[int]) -> list[int]:
        strides = view_of(value, self.copies, self.stores).strides
        return [strides[axis] for axis in axes]

    # ---- library ---------------------------------------------------------------------

    def _library(self, group: Group, name: str) -> tuple[Kernel, list[Value]]:
        root = group.roots[0]
        node = root.node
        assert node is not None
        values = [*node.inputs, root]
        params = tuple((key, int(item)) for key, item in node.params.items())
        if node.primitive.name in UPDATES:
            axis = node.params.get("axis", 0)
            self.codes.append((node, node.inputs[0].spec.shape[axis]))
            params += (("code", len(self.codes)),)
        kernel = LibraryKernel(
            name,
            node.primitive.name,
            tuple(value.spec.shape for value in values),
            tuple(self.stores[id(value)].strides for value in values),
            params,
            tuple(value.spec.dtype for value in values),
        )
        return kernel, values


def _name(group: Group) -> str:
    """A readable name: what is computed first, and in which layer."""
    node = group.roots[0].node
    assert node is not None
    places = dict.fromkeys(r.node.scope for r in group.roots if r.node and r.node.scope)
    scope = next(iter(places), "")
    return f"{scope}:{node.primitive.name}" if scope else node.primitive.name


def _split_rows(group: Group) -> tuple[tuple[Axis, ...], Axis | None]:
    """Outer loops and lane of a group; axes of one position need no loop."""
    rows = tuple(axis for axis in group.rows if axis.extent != 1)
    if group.kind == "row" or not rows:
        return rows, None
    return rows[:-1], rows[-1]


def merge(axes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Extents and strides, with axes that follow one another in memory made one."""
    triples = [(extent, stride, stride) for extent, stride in axes]
    return [(extent, stride) for extent, stride, _ in merge_pairs(triples)]


def merge_pairs(axes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Extents and two strides each, merged where both sides allow it."""
    merged: list[tuple[int, int, int]] = []
    for extent, left, right in axes:
        if extent == 1 and len(axes) > 1:
            continue
        if merged:
            before = merged[-1]
            if before[1] == left * extent and before[2] == right * extent:
                merged[-1] = (before[0] * extent, left, right)
                continue
        merged.append((extent, left, right))
    return merged or [(1, 0, 0)]
