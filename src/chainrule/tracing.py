"""Functions traced for arguments of a kind: what `jit` and `Loop` compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.ir.dtype import DEFAULT_FLOAT
from chainrule.ir.graph import Graph
from chainrule.ir.spec import Spec
from chainrule.ir.trace import constant, trace
from chainrule.ir.value import Value
from chainrule.ops import cast


@dataclass(frozen=True, slots=True)
class Static:
    """An argument whose value decides what is traced: part of the compiled code."""

    value: Any

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Dynamic:
    """An argument whose numbers may change between calls."""

    spec: Spec
    weak: bool = False

    def __str__(self) -> str:
        return f"{self.spec}{' (a Python number)' if self.weak else ''}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a compiled function depends on: the structure and kinds of its arguments."""

    structure: tree.Structure
    leaves: tuple[Static | Dynamic, ...]


@dataclass(frozen=True, eq=False)
class Traced:
    """A traced function: its graph, what it captured, and the structure it returns."""

    graph: Graph
    captured: tuple[Any, ...]
    structure: tree.Structure

    def outer(self) -> list[Any]:
        """What the captured values and variables are now."""
        return [s if isinstance(s, Value) else s.value for s in self.captured]


def kind_of(leaf: Any, static: bool) -> Static | Dynamic:
    """What a leaf of the arguments is to the compiled function.

    Raises:
        ArgumentError: when it is neither an array nor hashable.

    Example:
        >>> str(kind_of(True, static=False)), str(kind_of("relu", static=False))
        ('bool[] (a Python number)', "'relu'")
    """
    if not static and isinstance(leaf, (bool, int, float)):
        return Dynamic(constant(leaf).spec, weak=True)
    if not static and isinstance(leaf, Value):
        return Dynamic(leaf.spec, leaf.weak)
    if not static and isinstance(leaf, (np.ndarray, np.generic)):
        return Dynamic(constant(leaf).spec)
    try:
        hash(leaf)
    except TypeError:
        raise ArgumentError(
            "an argument of a compiled function must be an array, a number, a tree of "
            "them, or hashable",
            got=type(leaf).__name__,
            fix="convert it: chainrule.asarray(x)",
        ) from None
    return Static(leaf)


def as_argument(leaf: Any, kind: Dynamic) -> Any:
    """A leaf of the arguments as a value of its own."""
    # a copy: a result may be a view of its argument, which the caller may write to
    value = leaf if isinstance(leaf, Value) else constant(np.array(leaf))
    if kind.weak and not value.weak:
        value.weak = True
    return value


def trace_function(
    function: Callable[..., Any], signature: Signature, name: str
) -> Traced:
    """Trace `function` for arguments of this signature, given as `(args, kwargs)`."""
    dynamic = [kind for kind in signature.leaves if isinstance(kind, Dynamic)]
    structure: list[tree.Structure] = []

    def flat(*values: Any) -> Sequence[Any]:
        source = iter(values)
        leaves = [
            kind.value if isinstance(kind, Static) else next(source)
            for kind in signature.leaves
        ]
        args, kwargs = tree.unflatten(signature.structure, leaves)
        results, found = tree.flatten(function(*args, **kwargs))
        structure.append(found)
        return [_result(leaf) for leaf in results]

    graph, captured = trace(
        flat, [k.spec for k in dynamic], name=name, weak=[k.weak for k in dynamic]
    )
    return Traced(graph, captured, structure[0])


def _result(leaf: Any) -> Any:
    """A leaf of what a traced function returns; Python numbers take default dtypes."""
    value = leaf if isinstance(leaf, Value) else constant(leaf)
    plain = value.weak or isinstance(leaf, float)
    if plain and value.spec.dtype.is_float:
        return cast(value, dtype=DEFAULT_FLOAT)
    return value
