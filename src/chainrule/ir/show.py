"""Graphs as text that a person can read."""

from __future__ import annotations

from typing import Any

from chainrule.ir.dtype import widen
from chainrule.ir.graph import Graph
from chainrule.ir.value import Node, Value


def show(graph: Graph) -> str:
    """The text of `graph`: one line a node, names in order of making.

    Example:
        >>> from chainrule.ir.dtype import float32
        >>> from chainrule.ir.spec import Spec
        >>> from chainrule.ir.trace import trace
        >>> from chainrule.ops import add, multiply
        >>> square, _ = trace(lambda x: [add(multiply(x, x), 1.0)],
        ...                   [Spec((3,), float32)], name="f")
        >>> print(show(square))
        f(a: float32[3]):
          b = multiply(a, a)      float32[3]
          c = add(b, 1.0)         float32[3]
          return c
    """
    names = _Names()
    header = ", ".join(f"{names[value]}: {value.spec}" for value in graph.inputs)
    rows = [_row(node, names) for node in graph.nodes]
    width = min(60, max((len(text) for text, _ in rows), default=0))
    lines = [f"{graph.name}({header}):"]
    lines += [f"  {text:<{width}}{note}".rstrip() for text, note in rows]
    lines.append(f"  return {', '.join(names[value] for value in graph.outputs)}")
    return "\n".join(lines)


class _Names(dict[int, str]):
    """A short name per value, given at first sight."""

    def __getitem__(self, value: Any) -> str:
        key = id(value)
        if key not in self:
            if value.data is not None:
                return _literal(value)
            super().__setitem__(key, _letters(len(self)))
        return super().__getitem__(key)


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def _literal(value: Value) -> str:
    if value.data is not None and value.spec.size == 1 and value.spec.ndim == 0:
        return str(widen(value.data).item())
    return f"constant {value.spec}"


def _row(node: Node, names: _Names) -> tuple[str, str]:
    operands = [names[value] for value in node.inputs]
    params = [f"{key}={_parameter(item)}" for key, item in node.params.items()]
    results = ", ".join(names[value] for value in node.outputs)
    specs = ", ".join(str(value.spec) for value in node.outputs)
    note = f"      {specs}" + (f"  # {node.scope}" if node.scope else "")
    return f"{results} = {node.primitive.name}({', '.join(operands + params)})", note


def _parameter(item: Any) -> str:
    if isinstance(item, tuple):
        return "(" + ", ".join(map(_parameter, item)) + ")"
    if callable(item):
        return f"<{getattr(item, '__name__', type(item).__name__)}>"
    return str(item)
