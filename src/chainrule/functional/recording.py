"""Symbols: values that models are drawn with before there is data.

`Input` makes the first symbols. What is done with them (a layer called, an operator, a
function of chainrule) is noted down as a `Call`, and gives new symbols; a `Model` made
of such symbols does the same with numbers. A symbol knows its dtype and its shape, in
which a length may be None: how many rows there are is not known yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.ir.dtype import DType
from chainrule.ir.spec import Spec
from chainrule.ir.trace import trace
from chainrule.variable import Variable

PartialShape = tuple[int | None, ...]

# Two lengths that stand for an unknown one: what differs between the results depends on
# it. Both are divisible by 1 to 10, so that windows and groups fit.
PLACEHOLDERS = (2520, 5040)

FEW = 1000  # a longer list of lists is data

_outlining: ContextVar[bool] = ContextVar("outlining", default=False)

P = ParamSpec("P")
R = TypeVar("R")


class Symbol:
    """A value without numbers, and without a length for the rows.

    Attributes:
        shape: the lengths of its axes, rows first; None where one is not known.
        dtype: of the values that it stands for.
        call: what made it.
        position: which output of the call it is.
    """

    __slots__ = ("__weakref__", "call", "dtype", "position", "shape")

    shape: PartialShape
    dtype: DType
    call: Call
    position: int

    def __init__(
        self, shape: PartialShape, dtype: DType, call: Call, position: int
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.call = call
        self.position = position

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class Call:
    """One thing done with symbols, to be done again with numbers.

    Attributes:
        target: a layer, or a function in the table `FUNCTIONS`.
        name: what messages and pictures call it.
        args: the arguments, symbols among them.
        kwargs: the arguments by keyword.
        outputs: the symbols that it gave, as a tree.
    """

    __slots__ = ("args", "kwargs", "name", "outputs", "target")

    def __init__(
        self, target: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.target = target
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.outputs: Any = ()

    @property
    def inputs(self) -> list[Any]:
        """The symbols among the arguments, in order."""
        return symbols_in((self.args, self.kwargs))


class _Factory:
    """The class of the symbols that users hold."""

    symbol: type[Symbol] = Symbol


def use_symbol_class(symbol_class: type[Symbol]) -> None:
    """Name the class that users hold (`chainrule.symbolic.SymbolicTensor`)."""
    _Factory.symbol = symbol_class


def new_symbol(shape: PartialShape, dtype: DType, call: Call, position: int = 0) -> Any:
    """A symbol of the class that users hold."""
    return _Factory.symbol(shape, dtype, call, position)


def leaves_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The leaves of arguments, in order."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Symbol):
        return [args[0]]
    return tree.flatten((args, kwargs))[0]


def symbols_in(arguments: Any) -> list[Any]:
    """The symbols in a tree, in order."""
    if isinstance(arguments, Symbol):
        return [arguments]
    return [leaf for leaf in tree.flatten(arguments)[0] if isinstance(leaf, Symbol)]


def has_symbol(arguments: Iterable[Any]) -> bool:
    """Whether an argument is a symbol, or a list, tuple or dict with one inside."""
    for argument in arguments:
        if isinstance(argument, Symbol):
            return True
        if isinstance(argument, (list, tuple)):
            # by types: a list may have a million numbers
            kinds = set(map(type, argument))
            if any(issubclass(kind, Symbol) for kind in kinds):
                return True
            if kinds & {list, tuple, dict} and len(argument) < FEW:
                return bool(symbols_in(argument))
        elif isinstance(argument, dict) and symbols_in(argument):
            return True
    return False


def record(
    call: Call,
    function: Callable[..., Any],
    trace_outline: Callable[..., Any] | None = None,
) -> Any:
    """Note a call down.

    Args:
        call: what is done.
        function: takes the arguments of the call; shapes and dtypes are found with it.
        trace_outline: finds them in the place of `outline`.

    Returns:
        The symbols that the call gives.

    Raises:
        ArgumentError: for an argument that a model could not keep.
    """
    for leaf in leaves_of(call.args, call.kwargs):
        if isinstance(leaf, Variable):
            raise ArgumentError(
                "a variable outside of layers would not be trained or saved",
                where=call.name,
                got=leaf,
                fix="make it in a layer: self.add_weight(...)",
            )
    find = trace_outline or outline
    found, structure = find(function, call.args, call.kwargs)
    made = [
        new_symbol(shape, dtype, call, position)
        for position, (shape, dtype) in enumerate(found)
    ]
    call.outputs = tree.unflatten(structure, made)
    return call.outputs


def outline(
    function: Callable[..., Any], args: Any, kwargs: Any
) -> tuple[list[tuple[PartialShape, DType]], tree.Structure]:
    """Shapes and dtypes of what a function gives for arguments with symbols.

    It is traced, not computed; where lengths are not known, twice, with two lengths.

    Returns:
        A shape and a dtype for each leaf of the result, and the result's structure.
    """
    leaves, structure = tree.flatten((args, kwargs))
    unknown = any(None in x.shape for x in leaves if isinstance(x, Symbol))
    lengths = PLACEHOLDERS if unknown else PLACEHOLDERS[:1]
    traced = [_traced(function, leaves, structure, length) for length in lengths]
    (specs, outputs), (others, _) = traced[0], traced[-1]
    pairs = zip(specs, others, strict=True)
    return [(_common(a.shape, b.shape), a.dtype) for a, b in pairs], outputs


def _traced(
    function: Callable[..., Any],
    leaves: Sequence[Any],
    structure: tree.Structure,
    length: int,
) -> tuple[tuple[Spec, ...], tree.Structure]:
    """Specs and structure of the results, with unknown lengths as given."""
    shapes = [x for x in leaves if isinstance(x, Symbol)]
    specs = [
        Spec(tuple(length if n is None else n for n in x.shape), x.dtype)
        for x in shapes
    ]
    outputs: list[tree.Structure] = []

    def run(*values: Any) -> list[Any]:
        source = iter(values)
        filled = [next(source) if isinstance(x, Symbol) else x for x in leaves]
        args, kwargs = tree.unflatten(structure, filled)
        results, found = tree.flatten(function(*args, **kwargs))
        outputs.append(found)
        return results

    token = _outlining.set(None in [n for x in shapes for n in x.shape])
    try:
        graph, _ = trace(run, specs, name="outline")
    finally:
        _outlining.reset(token)
    return graph.output_specs, outputs[0]


def outlining() -> bool:
    """Whether lengths in force are `PLACEHOLDERS`, which stand for unknown ones.

    A layer with a largest length must not refuse them.

    Example:
        >>> outlining()
        False
    """
    return _outlining.get()


def _common(first: tuple[int, ...], second: tuple[int, ...]) -> PartialShape:
    pairs = zip(first, second, strict=True)
    return tuple(a if a == b else None for a, b in pairs)


# ---- functions that can be called with symbols ---------------------------------------

# By name, as saved models name them.
FUNCTIONS: dict[str, Callable[..., Any]] = {}
_doors: dict[Any, Any] = {}


def recordable(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which notes down that it was called where it is given symbols.

    Example:
        >>> from chainrule import Input, functional
        >>> x = Input((3,))
        >>> y = functional.concat([x, x], axis=-1)
        >>> y.shape, y.call.name
        ((None, 6), 'concat')
    """
    if function in _doors:
        found: Callable[P, R] = _doors[function]
        return found
    name = function.__name__

    @wraps(function)
    def door(*args: P.args, **kwargs: P.kwargs) -> R:
        if has_symbol(args) or (kwargs and has_symbol(kwargs.values())):
            made: R = record(Call(door, name, args, kwargs), function)
            return made
        return function(*args, **kwargs)

    FUNCTIONS[name] = _doors[function] = door
    return door
