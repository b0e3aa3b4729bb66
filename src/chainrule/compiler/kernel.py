"""Kernels: loop nests over scalar expressions, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from chainrule.compiler.expression import Expression
from chainrule.compiler.index import Axis, Index
from chainrule.compiler.lower import Store
from chainrule.compiler.memory import Arena
from chainrule.ir.dtype import DType
from chainrule.ir.graph import Graph
from chainrule.ir.value import Node, Value


@dataclass(frozen=True, eq=False)
class Write:
    """A stage that stores an expression at each point of its axes."""

    buffer: int
    offset: Index
    expression: Expression
    axes: tuple[Axis, ...] = ()


@dataclass(frozen=True, eq=False)
class Fold:
    """A stage that folds an expression over its axes into a local value.

    `operation` is the name of a reduction: sum, prod, max, min, any, all, argmax or
    argmin. For positions of extremes, `expression` is compared and the position is that
    along the one axis.
    """

    local: Expression
    operation: str
    expression: Expression
    axes: tuple[Axis, ...]


Stage: TypeAlias = "Write | Fold"


@dataclass(frozen=True, eq=False)
class LoopKernel:
    """`for rows: for lane: stages`; without a lane, each stage has lanes of its own.

    Attributes:
        name: for reports.
        rows: the outer loops, whose iterations are independent and shared by threads.
        lane: the vectorised loop around all stages, or None where each stage is
            vectorised along the last of its own axes.
        stages: what is done at each point, in order.
        dtypes: the dtypes of the buffers.
        inside: loops of few points within those of the folds; each point has sums of
            its own.
        piece: where not 0, threads share the first loop, in pieces of so many.
    """

    name: str
    rows: tuple[Axis, ...]
    lane: Axis | None
    stages: tuple[Stage, ...]
    dtypes: tuple[DType, ...]
    inside: tuple[Axis, ...] = ()
    piece: int = 0


@dataclass(frozen=True, eq=False)
class Operand:
    """A matrix operand of a contraction, as strides in elements of a buffer.

    `row` is the stride along the free axis (rows of a, columns of b); `sums` those of
    the contracted axes, outer first; `outer` those of the loops around the product.
    """

    buffer: int
    offset: int
    row: int
    sums: tuple[int, ...]
    outer: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ContractKernel:
    """Matrix products over the building block, each tile followed by an epilogue.

    Attributes:
        outer: the loops around the product (batch axes).
        m: the row axis of the result.
        n: its column axis.
        sums: extents of the contracted axes, outer first.
        a: the left operand.
        b: the right operand.
        product: the local that stands for an element of the product.
        stages: what is done at each point of the tile.
        dtypes: the dtypes of the buffers.
        run: how many rows of a follow one another, `a.row` elements apart.
        wrap: how far it is from the last row of a run to the first of the next.
        piece: where not 0, threads share the rows, in pieces of so many.
    """

    name: str
    outer: tuple[Axis, ...]
    m: Axis
    n: Axis
    sums: tuple[int, ...]
    a: Operand
    b: Operand
    product: Expression
    stages: tuple[Write, ...]
    dtypes: tuple[DType, ...]
    run: int
    wrap: int
    piece: int = 0


@dataclass(frozen=True, eq=False)
class LibraryKernel:
    """An operation with a hand-written kernel: sorting, scattering, cumulative sums.

    Attributes:
        operation: the name of the primitive.
        shapes: shapes of inputs and output, in the order of the buffers.
        strides: their strides in elements.
        params: the parameters of the operation.
        dtypes: the dtypes of the buffers.
    """

    name: str
    operation: str
    shapes: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    params: tuple[tuple[str, int], ...]
    dtypes: tuple[DType, ...]

    @property
    def domain(self) -> tuple[int, ...]:
        """The extents of what is done: of rows that are put in place, those alone."""
        return self.shapes[2 if self.operation == "put_rows" else -1]


@dataclass(frozen=True)
class Binding:
    """What a value of the step of a scan is, in the buffers of the scan.

    Attributes:
        value: an input or an output of the step.
        buffer: the number of the buffer.
        start: at which byte of it the value lies in the first step.
        stride: how many bytes further it lies in each following step.
    """

    value: Value
    buffer: int
    start: int = 0
    stride: int = 0


@dataclass(frozen=True, eq=False)
class ScanKernel:
    """A plan that runs again and again over a state that it updates in place.

    Attributes:
        length: how often.
        plan: the kernels of one step.
        bindings: where inputs and outputs of the step lie.
        written: the numbers of the buffers that it writes.
        dtypes: the dtypes of the buffers.
        spread: whether its steps need nothing of one another, so that each thread takes
            some of them alone.
    """

    name: str
    length: int
    plan: Plan
    bindings: tuple[Binding, ...]
    written: frozenset[int]
    dtypes: tuple[DType, ...]
    spread: bool = False


Kernel: TypeAlias = "LoopKernel | ContractKernel | LibraryKernel | ScanKernel"


@dataclass(frozen=True)
class Step:
    """One kernel in the program.

    Attributes:
        kernel: what it does.
        values: the values in its buffers.
        work: an estimate of its operations.
        parallel: whether threads share it; otherwise the first does it.
        barrier: whether every thread waits for the others before it.
        chain: how many steps from this one on a thread computes part by part: all of
            them for some samples, then for the next.
        parts: into how many parts all samples are cut.
    """

    kernel: Kernel
    values: tuple[Value, ...]
    work: int
    parallel: bool
    barrier: bool
    chain: int = 1
    parts: int = 1


@dataclass(frozen=True)
class Plan:
    """A program before code is made.

    Attributes:
        graph: the simplified graph.
        steps: kernels in order.
        stores: how each stored value is laid out, by identity.
        arena: where intermediate values lie.
        over: for each value that is written over another, by identity: that other.
        codes: the messages of bounds checks.
        apart: whether threads run all steps without waiting for one another.
    """

    graph: Graph
    steps: tuple[Step, ...]
    stores: dict[int, Store]
    arena: Arena
    over: dict[int, Value]
    codes: list[tuple[Node, int]] = field(default_factory=list)
    apart: bool = False
