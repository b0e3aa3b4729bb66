"""The intermediate representation: values, primitives, nodes, graphs and tracing."""

from chainrule.ir.graph import Graph, evaluate
from chainrule.ir.primitive import PRIMITIVES, Primitive, Sample, Trait, per_input
from chainrule.ir.show import show
from chainrule.ir.spec import Spec, broadcast_shapes, normalize_axes, normalize_axis
from chainrule.ir.trace import bind, constant, interpret_with, recording, replay, trace
from chainrule.ir.value import Node, Value
from chainrule.ir.verify import verify

__all__ = [
    "PRIMITIVES",
    "Graph",
    "Node",
    "Primitive",
    "Sample",
    "Spec",
    "Trait",
    "Value",
    "bind",
    "broadcast_shapes",
    "constant",
    "evaluate",
    "interpret_with",
    "normalize_axes",
    "normalize_axis",
    "per_input",
    "recording",
    "replay",
    "show",
    "trace",
    "verify",
]
