"""Kernels as text: for people, and as the key under which compiled code is kept.

Names are given in order of first use, so that equal kernels have equal texts.
"""

from __future__ import annotations

import hashlib
from typing import Any

from chainrule.compiler.expression import Expression, Local, Place, in_order
from chainrule.compiler.index import Atom, Axis, FromData, Index, Quotient
from chainrule.compiler.kernel import (
    ContractKernel,
    Fold,
    Kernel,
    LibraryKernel,
    LoopKernel,
    Operand,
    ScanKernel,
    Write,
)
from chainrule.compiler.passes import inline_calls
from chainrule.ir.graph import Graph
from chainrule.ir.value import Value


def fingerprint(graph: Graph, extra: object = None) -> bytes:
    """A hash of what `graph` computes; names of layers do not count.

    Graphs of one fingerprint give the same results for the same inputs.
    """
    digest = hashlib.blake2b(repr(extra).encode())
    numbers: dict[int, int] = {}

    def name(value: Value) -> str:
        if id(value) not in numbers:
            numbers[id(value)] = len(numbers)
            if value.data is not None:
                digest.update(str(value.spec).encode() + value.data.tobytes())
        return str(numbers[id(value)])

    inline = inline_calls(graph)
    for value in inline.inputs:
        digest.update(f"{name(value)}{value.spec};".encode())
    for node in inline.nodes:
        inputs = ",".join(map(name, node.inputs))
        outputs = ",".join(map(name, node.outputs))
        parts = (node.primitive.name, inputs, outputs, _params_text(node.params))
        digest.update(";".join(parts).encode())
    digest.update(",".join(map(name, inline.outputs)).encode())
    return digest.digest()


def _params_text(params: dict[str, Any]) -> str:
    """Parameters as text that tells what a graph among them computes."""
    plain = {
        key: fingerprint(item).hex() if isinstance(item, Graph) else item
        for key, item in params.items()
    }
    return repr(plain)


def show_kernel(kernel: Kernel) -> str:
    """The text of a kernel; everything that decides its code is in it."""
    return _Printer().kernel(kernel)


class _Printer:
    """Prints one kernel."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[object, str] = {}
        self.count = 0

    def kernel(self, kernel: Kernel) -> str:
        if isinstance(kernel, ScanKernel):
            return _scan_text(kernel)
        buffers = ", ".join(f"b{i}: {d.name}" for i, d in enumerate(kernel.dtypes))
        if isinstance(kernel, LibraryKernel):
            params = ", ".join(f"{key}={value}" for key, value in kernel.params)
            layout = f"shapes {kernel.shapes}, strides {kernel.strides}"
            return f"{kernel.operation}({buffers}; {params}): {layout}"
        self.lines.append(f"kernel({buffers}):")
        if isinstance(kernel, LoopKernel):
            self._loops(kernel)
        else:
            self._product(kernel)
        for stage in kernel.stages:
            self._stage(stage)
        return "\n".join(self.lines)

    def _loops(self, kernel: LoopKernel) -> None:
        for axis in kernel.rows:
            self.lines.append(f"  for {self.axis(axis)} in {axis.extent}")
        if kernel.lane is not None:
            lane = kernel.lane
            self.lines.append(f"  lanes {self.axis(lane)} in {lane.extent}")
        for axis in kernel.inside:
            self.lines.append(f"  inside {self.axis(axis)} in {axis.extent}")
        self._pieces(kernel.piece)

    def _product(self, kernel: ContractKernel) -> None:
        for axis in kernel.outer:
            self.lines.append(f"  for {self.axis(axis)} in {axis.extent}")
        m, n = kernel.m, kernel.n
        runs = f" in runs of {kernel.run}, {kernel.wrap} apart"
        runs = "" if kernel.run == m.extent else runs
        self.lines.append(
            f"  product {self.axis(m)} in {m.extent}{runs}, "
            f"{self.axis(n)} in {n.extent}, "
            f"sum over {kernel.sums} of {_operand(kernel.a)} times {_operand(kernel.b)}"
        )
        self._pieces(kernel.piece)

    def _pieces(self, piece: int) -> None:
        if piece:
            self.lines.append(f"  shared in pieces of {piece}")

    def _stage(self, stage: Write | Fold) -> None:
        axes = ", ".join(f"{self.axis(a)} in {a.extent}" for a in stage.axes)
        loops = f" for {axes}" if axes else ""
        value = self.expression(stage.expression)
        if isinstance(stage, Write):
            place = f"b{stage.buffer}[{self.index(stage.offset)}]"
            self.lines.append(f"  {place} = {value}{loops}")
        else:
            local = self._local(stage.local)
            self.lines.append(f"  {local} = {stage.operation}({value}){loops}")

    def _local(self, local: Expression) -> str:
        name: Local = local.detail
        return name.name

    def axis(self, axis: Axis) -> str:
        """The name of a loop variable."""
        if axis not in self.names:
            number = sum(isinstance(key, Axis) for key in self.names)
            self.names[axis] = f"i{number}"
        return self.names[axis]

    def index(self, index: Index) -> str:
        """An index as a sum."""
        parts = [
            self.atom(atom) + (f"*{factor}" if factor != 1 else "")
            for atom, factor in index.terms
        ]
        # a sum has no order: print it by name, whatever the order of making was
        parts.sort()
        if index.constant or not parts:
            parts.append(str(index.constant))
        return " + ".join(parts)

    def atom(self, atom: Atom) -> str:
        """A loop variable, a quotient, a remainder, or an index from data."""
        if isinstance(atom, Axis):
            return self.axis(atom)
        if isinstance(atom, FromData):
            return f"[{self.expression(atom.expression)}]"
        sign = "//" if isinstance(atom, Quotient) else "%"
        return f"(({self.index(atom.index)}) {sign} {atom.divisor})"

    def expression(self, expression: Expression) -> str:
        """The name of an expression; its line is printed at first use."""
        if expression.kind == "number":
            return f"{expression.detail[1]}:{expression.dtype.name}"
        if expression.kind == "local":
            return self._local(expression)
        for part in in_order(expression, self._is_named):
            text = self._line(part)
            self.names[part] = f"v{self.count}"
            self.lines.append(f"  v{self.count}: {part.dtype.name} = {text}")
            self.count += 1
        return self.names[expression]

    def _is_named(self, expression: Expression) -> bool:
        return expression.kind in ("number", "local") or expression in self.names

    def _line(self, expression: Expression) -> str:
        inputs = [self.expression(part) for part in expression.inputs]
        if expression.kind == "load":
            place: Place = expression.detail
            condition = f" if {inputs[0]}" if inputs else ""
            return f"b{place.buffer}[{self.index(place.offset)}]{condition}"
        if expression.kind == "position":
            return self.index(expression.detail)
        params = [f"{key}={value}" for key, value in expression.detail or ()]
        return f"{expression.kind}({', '.join(inputs + params)})"


def _scan_text(kernel: ScanKernel) -> str:
    """The kernels of a step, indented."""
    spread = ", spread over threads" if kernel.spread else ""
    lines = [f"scan of {kernel.length} steps{spread}:"]
    for binding in kernel.bindings:
        place = f"b{binding.buffer}"
        if binding.stride:
            place += f", from byte {binding.start} on by {binding.stride}"
        lines.append(f"  {binding.value.spec} in {place}")
    for step in kernel.plan.steps:
        after = ", after a barrier" if step.barrier else ""
        lines.append(f"  # {step.kernel.name}{after}")
        lines += [f"  {line}" for line in show_kernel(step.kernel).splitlines()]
    return "\n".join(lines)


def _operand(operand: Operand) -> str:
    return (
        f"b{operand.buffer}[row {operand.row}, sum {operand.sums}, "
        f"outer {operand.outer}, offset {operand.offset}]"
    )
