"""The reference backend: a graph run by the NumPy reference of each node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.ir.graph import Graph, evaluate


class InterpretedProgram:
    """A graph as something to call with arrays.

    Example:
        >>> from chainrule.ir import Spec, trace
        >>> from chainrule.ir.dtype import float32
        >>> from chainrule.ops import multiply
        >>> graph, _ = trace(lambda x: [multiply(x, x)], [Spec((2,), float32)])
        >>> InterpretedProgram(graph)([np.array([1, 3], np.float32)])[0].tolist()
        [1.0, 9.0]
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def __call__(
        self, arrays: Sequence[np.ndarray[Any, Any]]
    ) -> tuple[np.ndarray[Any, Any], ...]:
        return evaluate(self.graph, arrays)
