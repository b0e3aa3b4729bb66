"""Compilation: trace a function once, run its graph from then on.

What was compiled is kept by the specs of the arguments.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.autodiff.checkpoint import call
from chainrule.compiler import Runs, compile_graph
from chainrule.errors import RetraceWarning, TraceError
from chainrule.ir import tree
from chainrule.ir.show import show
from chainrule.ir.trace import constant, is_eager, recorded_levels
from chainrule.tracing import (
    Dynamic,
    Signature,
    Traced,
    as_argument,
    kind_of,
    trace_function,
)

MANY_TRACES = 16


class Jit:
    """A compiled function; what `jit` returns.

    Attributes:
        traces: how often the function was traced, once per signature.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnames: tuple[str, ...] = (),
        max_traces: int | None = None,
        backend: str | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.static_argnames = static_argnames
        self.max_traces = max_traces
        self.backend = backend
        self.name = getattr(function, "__name__", "function").strip("<>")
        self._cache: dict[Signature, Traced] = {}
        self._programs: dict[Traced, Runs] = {}
        self._last: Signature | None = None

    @property
    def traces(self) -> int:
        """How many signatures were traced."""
        return len(self._cache)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns for these arguments."""
        if not is_eager():
            return self.function(*args, **kwargs)
        args, kwargs = self._normalize(args, kwargs)
        traced, values = self._lookup(args, kwargs)
        inputs = [*values, *traced.outer()]
        if recorded_levels(inputs):
            outputs = call(*inputs, graph=traced.graph, rule=None)
        else:
            program = self._program(traced)
            arrays = program([value.data for value in inputs])
            outputs = [constant(array) for array in arrays]
        return tree.unflatten(traced.structure, outputs)

    def _program(self, traced: Traced) -> Runs:
        if traced not in self._programs:
            self._programs[traced] = compile_graph(traced.graph, self.backend)
        return self._programs[traced]

    def program(self, *args: Any, **kwargs: Any) -> Runs:
        """What runs for these arguments; native ones have `report()` and `show()`."""
        args, kwargs = self._normalize(args, kwargs)
        return self._program(self._lookup(args, kwargs)[0])

    def show(self, *args: Any, **kwargs: Any) -> str:
        """The traced graph for these arguments, as text."""
        args, kwargs = self._normalize(args, kwargs)
        return show(self._lookup(args, kwargs)[0].graph)

    def _normalize(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Static arguments by keyword, so that a name finds them however given."""
        if not self.static_argnames:
            return args, kwargs
        names = list(inspect.signature(self.function).parameters)
        by_name = dict(zip(names, args, strict=False))
        moved = {n: by_name[n] for n in self.static_argnames if n in by_name}
        if not moved:
            return args, kwargs
        return (), {**by_name, **kwargs}

    def _lookup(self, args: Any, kwargs: Any) -> tuple[Traced, list[Any]]:
        leaves, structure = tree.flatten((args, kwargs))
        static = self._static_flags(args, kwargs)
        kinds = tuple(kind_of(x, s) for x, s in zip(leaves, static, strict=True))
        signature = Signature(structure, kinds)
        traced = self._cache.get(signature)
        if traced is None:
            self._guard(signature, args, kwargs)
            traced = trace_function(self.function, signature, self.name)
            self._cache[signature] = traced
        self._last = signature
        values = [
            as_argument(leaf, kind)
            for leaf, kind in zip(leaves, kinds, strict=True)
            if isinstance(kind, Dynamic)
        ]
        return traced, values

    def _static_flags(self, args: Any, kwargs: Any) -> list[bool]:
        flags = [False] * sum(len(tree.flatten(arg)[0]) for arg in args)
        for key, arg in kwargs.items():
            flags += [key in self.static_argnames] * len(tree.flatten(arg)[0])
        return flags

    def _guard(self, signature: Signature, args: Any, kwargs: Any) -> None:
        """Say which argument changed when the function is traced again and again."""
        count, limit = len(self._cache), self.max_traces
        if limit is not None and count >= limit:
            raise TraceError(
                f"traced {count} times, and max_traces allows no more",
                where=self.name,
                got=self._difference(signature, args, kwargs),
                fix="give the argument one shape and dtype, or raise max_traces",
            )
        if limit is None and count and count % MANY_TRACES == 0:
            warnings.warn(
                f"'{self.name}' has been traced {count} times; "
                f"{self._difference(signature, args, kwargs)}. Each trace is compiled "
                "anew: keep shapes and dtypes the same, or pad to a few sizes.",
                RetraceWarning,
                stacklevel=5,
            )

    def _difference(self, signature: Signature, args: Any, kwargs: Any) -> str:
        if self._last is None or self._last.structure != signature.structure:
            return "the structure of the arguments changed"
        names = _argument_names(self.function, args, kwargs)
        pairs = zip(names, self._last.leaves, signature.leaves, strict=True)
        changes = [
            f"argument {name} changed from {old} to {new}"
            for name, old, new in pairs
            if old != new
        ]
        return "; ".join(changes)


def _argument_names(function: Callable[..., Any], args: Any, kwargs: Any) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for position, arg in enumerate(args):
        known = position < len(parameters) and parameters[position].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        root = parameters[position].name if known else f"args[{position}]"
        names += tree.leaf_names(arg, root)
    for key, arg in kwargs.items():
        names += tree.leaf_names(arg, key)
    return names


def jit(
    function: Callable[..., Any] | None = None,
    *,
    static_argnames: str | Sequence[str] = (),
    max_traces: int | None = None,
    backend: str | None = None,
) -> Any:
    """Compile `function`: it is traced at the first call with arguments of new specs.

    Args:
        function: a pure function of tensors, NumPy arrays, Python numbers and trees of
            them; other hashable arguments are static.
        static_argnames: names of arguments whose values are part of the compiled code.
        max_traces: how many traces are allowed before an error; None warns every 16.
        backend: `native` or `interpret`; `CHAINRULE_BACKEND` where None.

    Returns:
        A `Jit`, called like the function. Inside other transformations it is traced
        through; where gradients are recorded it counts as one operation.

    Raises:
        TraceError: beyond `max_traces`, naming the argument that changed.

    Example:
        >>> import chainrule
        >>> @chainrule.jit
        ... def f(x, scale):
        ...     return chainrule.sum(x * scale)
        >>> f(chainrule.asarray([1.0, 2.0]), 3).item(), f.traces
        (9.0, 1)
    """
    names = (static_argnames,) if isinstance(static_argnames, str) else static_argnames
    if function is None:
        return functools.partial(
            jit, static_argnames=names, max_traces=max_traces, backend=backend
        )
    return Jit(function, tuple(names), max_traces, backend)
