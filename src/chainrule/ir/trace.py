"""Applying primitives: the interpreter in force decides what that means.

The interpreter is chosen by context, never by what the arguments carry. `Eager`
computes at once with the NumPy reference and keeps a node where a gradient may be asked
for; `Staging` computes nothing and records every node. Neither knows any derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from chainrule.errors import TraceError
from chainrule.ir.dtype import DEFAULT_FLOAT, as_array, as_dtype
from chainrule.ir.graph import Graph
from chainrule.ir.primitive import Primitive
from chainrule.ir.spec import Spec, spec_of
from chainrule.ir.value import Node, Value, new_value

EVERY_LEVEL = -1  # a mask with all bits set


class LevelsInProgress:
    """The gradient levels that still need nodes, as a mask.

    A value may outlive a level that it belonged to; it must not keep nodes for it.
    """

    mask: int = 0


class Interpreter(Protocol):
    """Gives a meaning to the application of a primitive."""

    def bind(
        self, primitive: Primitive, inputs: tuple[Value, ...], params: dict[str, Any]
    ) -> Any:
        """Apply `primitive`; return a value, or a tuple if it has several outputs."""


class Eager:
    """Computes at once; keeps nodes only for the gradient levels now recording."""

    def bind(
        self, primitive: Primitive, inputs: tuple[Value, ...], params: dict[str, Any]
    ) -> Any:
        """Run the reference of `primitive` on the data of `inputs`."""
        arrays = [_data(value, primitive) for value in inputs]
        spec = primitive.spec(*[value.spec for value in inputs], **params)
        with np.errstate(all="ignore"):
            result = primitive.compute(arrays, params)
        tape = recorded_levels(inputs)
        specs = spec if isinstance(spec, tuple) else (spec,)
        many = result if primitive.multiple else (result,)
        node = Node(primitive, inputs, params, _scope.get()) if tape else None
        outputs = tuple(
            new_value(s, np.asarray(array), node=node, index=index, tape=tape)
            for index, (s, array) in enumerate(zip(specs, many, strict=True))
        )
        return outputs if primitive.multiple else outputs[0]


class Staging:
    """Records every node of a function and computes nothing.

    A value that comes from outside is a constant where it is a plain number; a traced
    or tracked one, and a variable, becomes a further input, listed in `captured`.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.captured: list[tuple[Value, Any]] = []
        self._lifted: dict[int, Value] = {}

    def input(self, spec: Spec, weak: bool = False) -> Value:
        """A new input of the graph."""
        value: Value = new_value(spec, owner=self, weak=weak)
        return value

    def lift(self, value: Value) -> Value:
        """`value` as this graph sees it."""
        if value.owner is self or (value.data is not None and not value.tape):
            return value
        return self.capture(value, value.spec, value.weak)

    def capture(self, source: Any, spec: Spec, weak: bool = False) -> Value:
        """A further input that stands for `source`: a value or a variable."""
        if id(source) not in self._lifted:
            inner = self.input(spec, weak)
            self._lifted[id(source)] = inner
            self.captured.append((inner, source))
        return self._lifted[id(source)]

    def bind(
        self, primitive: Primitive, inputs: tuple[Value, ...], params: dict[str, Any]
    ) -> Any:
        """Record the application and return values without data."""
        lifted = tuple(self.lift(value) for value in inputs)
        spec = primitive.spec(*[value.spec for value in lifted], **params)
        node = Node(primitive, lifted, params, _scope.get())
        specs = spec if isinstance(spec, tuple) else (spec,)
        # every node is kept here, but an interpreter around this one asks by the levels
        tape = recorded_levels(lifted)
        node.outputs = tuple(
            new_value(s, node=node, index=index, owner=self, tape=tape)
            for index, s in enumerate(specs)
        )
        self.nodes.append(node)
        return node.outputs if primitive.multiple else node.outputs[0]


_EAGER = Eager()
_current: ContextVar[Interpreter] = ContextVar("interpreter", default=_EAGER)
_recording: ContextVar[int] = ContextVar("recording", default=EVERY_LEVEL)
_scope: ContextVar[str] = ContextVar("scope", default="")


class _Nothing:
    """A block in which nothing is other than around it."""

    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...


_NOTHING = _Nothing()


def bind(primitive: Primitive, *inputs: Any, **params: Any) -> Any:
    """Apply `primitive` under the interpreter in force.

    Plain numbers among `inputs` become constants of the dtype of the last value.
    """
    last = next((value for value in reversed(inputs) if isinstance(value, Value)), None)
    values = tuple(
        value if isinstance(value, Value) else constant(value, like=last)
        for value in inputs
    )
    return _current.get().bind(primitive, values, params)


def constant(number: Any, like: Value | None = None, dtype: Any = None) -> Any:
    """A value that holds `number`, with the dtype of `like` unless one is given."""
    if dtype is None and like is not None:
        dtype = like.spec.dtype
    kind = None if dtype is None else as_dtype(dtype)
    if kind is not None and kind.is_half:
        array = as_array(number, kind)
    else:
        array = np.asarray(number, None if kind is None else kind.numpy)
    return new_value(spec_of(array.shape, kind or as_dtype(array.dtype)), array)


def as_value(leaf: Any) -> Any:
    """A leaf of an argument tree as a value.

    The numbers of an array are copied, so that writing to it later changes nothing.
    Python floats become float32.
    """
    if isinstance(leaf, Value):
        return leaf
    if isinstance(leaf, np.ndarray):
        return constant(leaf.copy())
    return constant(leaf, dtype=DEFAULT_FLOAT if type(leaf) is float else None)


def _data(value: Value, primitive: Primitive) -> np.ndarray[Any, Any]:
    if value.data is None:
        raise TraceError(
            "a traced value was used outside the function that was traced",
            where=primitive.name,
            got=f"a placeholder {value.spec} without numbers",
            expected="a tensor with numbers",
            fix="return the value from the traced function instead of storing it",
        )
    return value.data


def current() -> Interpreter:
    """The interpreter in force."""
    return _current.get()


def staging() -> Staging | None:
    """The trace in progress, also from within a batch; None when computing at once."""
    interpreter: Any = _current.get()
    while interpreter is not None and not isinstance(interpreter, Staging):
        interpreter = getattr(interpreter, "outer", None)
    return interpreter


def is_eager() -> bool:
    """Whether operations compute at once."""
    return _current.get() is _EAGER


@contextmanager
def interpret_with(interpreter: Interpreter) -> Iterator[Interpreter]:
    """Make `interpreter` the one in force within the block."""
    token = _current.set(interpreter)
    try:
        yield interpreter
    finally:
        _current.reset(token)


def eagerly() -> AbstractContextManager[object]:
    """Compute at once within the block, whatever is being traced around it."""
    return _NOTHING if _current.get() is _EAGER else interpret_with(_EAGER)


@contextmanager
def recording(mask: int) -> Iterator[None]:
    """Keep eager nodes only for the gradient levels in `mask` within the block."""
    token = _recording.set(_recording.get() & mask)
    try:
        yield
    finally:
        _recording.reset(token)


def recorded_levels(inputs: Sequence[Value]) -> int:
    """The mask of the recording levels that `inputs` belong to."""
    tape = 0
    for value in inputs:
        tape |= value.tape
    return tape & LevelsInProgress.mask & _recording.get() if tape else 0


class scope:
    """Mark nodes made within the block as belonging to the layer `name`."""

    __slots__ = ("_name", "_token")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        outer = _scope.get()
        self._token = _scope.set(f"{outer}/{self._name}" if outer else self._name)

    def __exit__(self, *exception: object) -> None:
        _scope.reset(self._token)


def trace(
    function: Callable[..., Sequence[Value]],
    specs: Sequence[Spec],
    *,
    name: str = "graph",
    weak: Sequence[bool] = (),
) -> tuple[Graph, tuple[Any, ...]]:
    """Record what `function` does with values of these specs.

    Args:
        function: takes one value per spec, returns a sequence of values.
        specs: the specs of the arguments.
        name: the name of the graph.
        weak: which arguments stand for Python scalars.

    Returns:
        The graph, and the outer values and variables that the function captured; they
        are the graph's last inputs, in this order.
    """
    staging = Staging()
    weak = weak or [False] * len(specs)
    inputs = [staging.input(spec, w) for spec, w in zip(specs, weak, strict=True)]
    with interpret_with(staging):
        outputs = tuple(staging.lift(value) for value in function(*inputs))
    extra = tuple(inner for inner, _ in staging.captured)
    graph = Graph(name, (*inputs, *extra), tuple(staging.nodes), outputs)
    return graph, tuple(outer for _, outer in staging.captured)


def replay(graph: Graph, inputs: Sequence[Value]) -> tuple[Any, ...]:
    """Apply the nodes of `graph` again, under the interpreter now in force."""
    environment: dict[int, Any] = {
        id(old): new for old, new in zip(graph.inputs, inputs, strict=True)
    }
    interpreter = _current.get()
    for node in graph.nodes:
        operands = tuple(environment.get(id(value), value) for value in node.inputs)
        with scope(node.scope) if node.scope else _NOTHING:
            result = interpreter.bind(node.primitive, operands, node.params)
        many = result if node.primitive.multiple else (result,)
        environment.update(zip(map(id, node.outputs), many, strict=True))
    return tuple(environment.get(id(value), value) for value in graph.outputs)
