"""Loops joined: neighbouring axes that every index moves along as along one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from chainrule.compiler.expression import Expression, Place, Pool, in_order
from chainrule.compiler.index import Axis, FromData, Index, of
from chainrule.compiler.kernel import ContractKernel, Fold, LoopKernel, Write

_Kernel: TypeAlias = "LoopKernel | ContractKernel"
_T = TypeVar("_T")


def collapse(kernel: LoopKernel, pool: Pool) -> LoopKernel:
    """Neighbouring loops made one where every index moves along both evenly."""
    axes = [*kernel.rows, kernel.lane] if kernel.lane is not None else [*kernel.rows]
    position = len(axes) - 2
    while position >= 0:
        outer, inner = axes[position], axes[position + 1]
        assert outer is not None
        assert inner is not None
        if all(_even(index, outer, inner) for index in _indices(kernel)):
            joint = Axis(outer.extent * inner.extent)
            mapping = {outer: Index(), inner: of(joint)}
            stages, _ = substituted(kernel, mapping, pool)
            kernel = replace(kernel, stages=stages)
            axes[position : position + 2] = [joint]
        position -= 1
    rows = tuple(axis for axis in axes if axis is not None)
    if kernel.lane is None:
        return replace(kernel, rows=rows)
    return replace(kernel, rows=rows[:-1], lane=rows[-1])


def _even(index: Index, outer: Axis, inner: Axis) -> bool:
    if not (index.is_affine_in(outer) and index.is_affine_in(inner)):
        return False
    return index.coefficient(outer) == index.coefficient(inner) * inner.extent


def _indices(kernel: _Kernel) -> Iterable[Index]:
    """Every index in the kernel."""
    seen: set[int] = set()
    stack = [stage.expression for stage in kernel.stages]
    for stage in kernel.stages:
        if isinstance(stage, Write):
            yield stage.offset
    while stack:
        expression = stack.pop()
        if id(expression) in seen:
            continue
        seen.add(id(expression))
        stack.extend(expression.inputs)
        index = _index_of(expression)
        if index is not None:
            yield index
            stack.extend(atom.expression for atom in _read_from_data(index))


def _index_of(expression: Expression) -> Index | None:
    if isinstance(expression.detail, Place):
        return expression.detail.offset
    return expression.detail if isinstance(expression.detail, Index) else None


def _read_from_data(index: Index) -> list[FromData]:
    """The parts of an index that are read from data."""
    found: list[FromData] = []
    for atom, _ in index.terms:
        if isinstance(atom, FromData):
            found.append(atom)
        elif not isinstance(atom, Axis):
            found += _read_from_data(atom.index)
    return found


def substituted(
    kernel: _Kernel, mapping: dict[Axis, Index], pool: Pool
) -> tuple[tuple[Write | Fold, ...], Expression | None]:
    """The stages of a kernel with loop variables replaced; locals follow their stages.

    Of a contraction, its product as well.
    """
    memo: dict[int, Expression] = {}
    moves: dict[Any, Index] = dict(mapping)

    def moved(index: Index) -> Index:
        for atom in _read_from_data(index):
            if atom not in moves:
                read = FromData(visit(atom.expression), atom.extent)
                moves[atom] = Index(((read, 1),))
        return index.substitute(moves)

    def visit(e: Expression) -> Expression:
        for part in in_order(e, lambda known: id(known) in memo):
            inputs = tuple(memo[id(source)] for source in part.inputs)
            index = _index_of(part)
            if index is not None:
                memo[id(part)] = _at(part, inputs, moved(index), pool)
                continue
            axes = _mapped_axes(part.axes, mapping) if part.kind == "local" else ()
            memo[id(part)] = pool.make(part.kind, part.dtype, inputs, part.detail, axes)
        return memo[id(e)]

    stages: list[Write | Fold] = []
    for stage in kernel.stages:
        expression = visit(stage.expression)
        if isinstance(stage, Write):
            offset = moved(stage.offset)
            stages.append(replace(stage, offset=offset, expression=expression))
        else:
            stages.append(
                replace(stage, local=visit(stage.local), expression=expression)
            )
    product = visit(kernel.product) if isinstance(kernel, ContractKernel) else None
    return tuple(stages), product


def _at(
    e: Expression, inputs: tuple[Expression, ...], index: Index, pool: Pool
) -> Expression:
    """What reads at a place, or is one, at another."""
    axes = tuple(dict.fromkeys(index.axes()))
    if isinstance(e.detail, Place):
        return pool.make(e.kind, e.dtype, inputs, Place(e.detail.buffer, index), axes)
    return pool.make(e.kind, e.dtype, inputs, index, axes)


def _mapped_axes(axes: Sequence[Axis], mapping: dict[Axis, Index]) -> tuple[Axis, ...]:
    result: dict[Axis, None] = {}
    for axis in axes:
        for new in mapping[axis].axes() if axis in mapping else (axis,):
            result[new] = None
    return tuple(result)


# ---- rows of products ----------------------------------------------------------------


def join_rows(kernel: ContractKernel, pool: Pool) -> ContractKernel:
    """A product whose outer loops are rows or columns of it, as far as may be.

    The pixels of a picture become rows of one product, in runs that are its lines.
    """
    done = False
    while not done:
        done = True
        for number in reversed(range(len(kernel.outer))):
            joined = _joined(kernel, number, pool)
            if joined is not None:
                kernel, done = joined, False
                break
            if not kernel.b.outer[number]:
                break  # rows further out do not follow these
    return kernel


def _joined(kernel: ContractKernel, number: int, pool: Pool) -> ContractKernel | None:
    """The product with an outer loop as rows or columns; None if it cannot be."""
    outer, a, b = kernel.outer[number], kernel.a, kernel.b
    made = None
    if not b.outer[number]:
        made = _as_rows(kernel, outer, a.outer[number])
    elif not a.outer[number]:
        made = _as_columns(kernel, outer, b.outer[number])
    if made is None:
        return None
    changed, mapping = made
    stages, product = substituted(kernel, mapping, pool)
    writes = tuple(stage for stage in stages if isinstance(stage, Write))
    assert product is not None
    return replace(
        changed,
        outer=_without(kernel.outer, number),
        a=replace(changed.a, outer=_without(a.outer, number)),
        b=replace(b, outer=_without(b.outer, number)),
        stages=writes,
        product=product,
    )


def _without(items: Sequence[_T], number: int) -> tuple[_T, ...]:
    return (*items[:number], *items[number + 1 :])


_Made: TypeAlias = "tuple[ContractKernel, dict[Axis, Index]] | None"


def _as_rows(kernel: ContractKernel, outer: Axis, step: int) -> _Made:
    """The loops of a product whose rows are repeated `step` elements apart."""
    m, a, rows = kernel.m, kernel.a, kernel.m.extent
    even = rows == 1 or all(_even(index, outer, m) for index in _indices(kernel))
    joint = Axis(outer.extent * rows)
    if rows == 1:
        row, wrap, run = step, step, joint.extent
    elif kernel.run == rows:
        row, wrap, run = a.row, step - a.row * (rows - 1), rows
        if even and wrap == row:
            run = joint.extent
    else:
        row, wrap, run = a.row, kernel.wrap, kernel.run
        apart = (wrap + row * (run - 1)) * (rows // run)
        if not even or step != apart:
            return None
    if kernel.n.extent == 1 and run != joint.extent:
        return None  # a single column is best as one row, without runs
    changed = replace(kernel, m=joint, run=run, wrap=wrap, a=replace(a, row=row))
    return changed, _mapping(outer, m, joint, even)


def _as_columns(kernel: ContractKernel, outer: Axis, step: int) -> _Made:
    """The loops of a product whose columns are repeated `step` elements apart."""
    n = kernel.n
    if step != kernel.b.row * n.extent:
        return None
    if not all(_even(index, outer, n) for index in _indices(kernel)):
        return None
    joint = Axis(outer.extent * n.extent)
    return replace(kernel, n=joint), _mapping(outer, n, joint, even=True)


def _mapping(outer: Axis, inner: Axis, joint: Axis, even: bool) -> dict[Axis, Index]:
    """Where the positions of two axes are along the joint one."""
    if inner.extent == 1:
        return {outer: of(joint)}
    if even:
        return {outer: Index(), inner: of(joint)}
    return {outer: of(joint) // inner.extent, inner: of(joint) % inner.extent}
