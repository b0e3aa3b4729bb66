"""Transformations of functions: gradients, products with Jacobians, whole Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.batching import vmap
from chainrule.autodiff.levels import Level
from chainrule.autodiff.reverse import ones_like, reverse, zeros_like
from chainrule.autodiff.rows import RowGradient, no_rows
from chainrule.errors import ArgumentError, GradientError, ShapeError
from chainrule.ir import tree
from chainrule.ir.dtype import as_array
from chainrule.ir.trace import as_value, constant
from chainrule.ir.value import Value
from chainrule.ops import reshape

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


class _Arguments:
    """The arguments of a function, with those at `argnums` as flat lists of values."""

    def __init__(self, args: Sequence[Any], argnums: Argnums) -> None:
        self.single = isinstance(argnums, int)
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        if any(not -len(args) <= n < len(args) for n in numbers):
            raise ArgumentError(
                "argnums names an argument that was not given",
                got=argnums,
                expected=f"0 to {len(args) - 1}",
            )
        self.args = list(args)
        self.numbers = tuple(n % len(args) for n in numbers)
        leaves, self.structure = tree.flatten([args[n] for n in self.numbers])
        self.leaves = [as_value(leaf) for leaf in leaves]
        for leaf in self.leaves:
            if not leaf.spec.dtype.is_float:
                raise GradientError(
                    "a gradient is taken with respect to floating-point values only",
                    got=leaf.spec,
                    expected="float32 or float64",
                    fix="cast it first: chainrule.astype(x, 'float32')",
                )

    def call(self, function: Function, leaves: Sequence[Any], kwargs: Any) -> Any:
        args = list(self.args)
        parts = tree.unflatten(self.structure, leaves)
        for number, part in zip(self.numbers, parts, strict=True):
            args[number] = part
        return function(*args, **kwargs)

    def restore(self, leaves: Sequence[Any]) -> Any:
        parts = tree.unflatten(self.structure, leaves)
        return parts[0] if self.single else tuple(parts)


def _filled(cotangents: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
    """Zeros where nothing depends on a leaf."""
    pairs = zip(cotangents, leaves, strict=True)
    return [zeros_like(leaf) if g is None else g for g, leaf in pairs]


def value_and_grad(
    function: Function, argnums: Argnums = 0, has_aux: bool = False
) -> Function:
    """A function that returns the value of `function` and its gradient.

    Args:
        function: returns a scalar, or `(scalar, anything)` with `has_aux`.
        argnums: the arguments to differentiate; each may be a tree.
        has_aux: whether the function returns more beside the scalar.

    Returns:
        A function of the same arguments that returns `(value, gradient)`, the gradient
        of the structure of the argument (a tuple of them where `argnums` is a tuple).

    Raises:
        GradientError: when the result is not a floating-point scalar.

    Example:
        >>> import chainrule
        >>> f = chainrule.value_and_grad(lambda x: chainrule.sum(x * x))
        >>> value, gradient = f(chainrule.asarray([1.0, 2.0]))
        >>> value.item(), gradient.numpy().tolist()
        (5.0, [2.0, 4.0])
    """

    return value_and_row_grad(function, (), argnums, has_aux)


def value_and_row_grad(
    function: Function,
    tables: Sequence[bool],
    argnums: Argnums = 0,
    has_aux: bool = False,
) -> Function:
    """`value_and_grad` with gradients by rows, where a table was only taken from.

    Args:
        function: see `value_and_grad`.
        tables: for the first leaves of the arguments, whether their gradients may be
            rows. Such a gradient is a `RowGradient`, or a tensor where the function did
            more with the table than to take rows of it.
        argnums: see `value_and_grad`.
        has_aux: see `value_and_grad`.

    Example:
        >>> import chainrule
        >>> table = chainrule.ones((1000, 2))
        >>> f = lambda tables: chainrule.sum(chainrule.take(tables[0], [7, 7], axis=0))
        >>> value, (gradient,) = value_and_row_grad(f, [True])([table])
        >>> gradient.indices.tolist(), gradient.values.tolist()
        ([7, 7], [[1.0, 1.0], [1.0, 1.0]])
    """

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(args, argnums)
        level = Level()
        tracked = [level.track(leaf) for leaf in arguments.leaves]
        chosen = {
            id(t) for t, is_table in zip(tracked, tables, strict=False) if is_table
        }
        result = arguments.call(function, tracked, kwargs)
        value, aux = _split_aux(result, function) if has_aux else (result, None)
        value = _check_scalar(value, function)
        with level.walking():
            cotangents = reverse([value], [ones_like(value)], tracked, chosen)
            filled = [
                (no_rows if id(leaf) in chosen else zeros_like)(leaf)
                if g is None
                else g
                for g, leaf in zip(cotangents, tracked, strict=True)
            ]
        gradient = arguments.restore([_released(level, g) for g in filled])
        value = level.release(value)
        if has_aux:
            aux = tree.tree_map(lambda leaf: _release(level, leaf), aux)
            return (value, aux), gradient
        return value, gradient

    return differentiated


def _released(level: Level, gradient: Any) -> Any:
    if isinstance(gradient, RowGradient):
        return gradient.map(level.release)
    return level.release(gradient)


def _split_aux(result: Any, function: Function) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise GradientError(
            "with has_aux=True the function returns (scalar, anything)",
            where=_name(function),
            got=type(result).__name__,
            fix="return loss, predictions",
        )
    return result


def _name(function: Function) -> str:
    return getattr(function, "__name__", "function")


def _release(level: Level, leaf: Any) -> Any:
    return level.release(leaf) if isinstance(leaf, Value) else leaf


def _check_scalar(value: Any, function: Function) -> Any:
    name = _name(function)
    if not isinstance(value, Value):
        if isinstance(value, (float, np.floating)):
            return as_value(float(value))
        raise GradientError(
            "the differentiated function must return a tensor",
            where=name,
            got=type(value).__name__,
            fix="return the loss as a tensor; has_aux=True allows more beside it",
        )
    if value.spec.shape != () or not value.spec.dtype.is_float:
        raise GradientError(
            "the gradient of a function needs a floating-point scalar result",
            where=name,
            got=value.spec,
            expected="float32[]",
            fix="reduce it: chainrule.sum(y) or chainrule.mean(y); "
            "for all derivatives use chainrule.jacobian",
        )
    return value


def grad(function: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of the scalar `function`.

    `grad(f)(x)[i] = df/dx[i]`. Nests to any order. See `value_and_grad` for arguments.

    Example:
        >>> import chainrule
        >>> chainrule.grad(chainrule.grad(lambda x: x**3))(2.0).item()
        12.0
    """
    both = value_and_grad(function, argnums, has_aux)

    def gradient_of(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return gradient_of


def vjp(function: Function, *primals: Any) -> tuple[Any, Function]:
    """The value of `function` at `primals`, and its pullback.

    The pullback maps a cotangent `u` of the result to `u @ J`, a tuple with one
    cotangent per primal, where `J` is the Jacobian at `primals`. In `u`, None stands
    for zeros.

    Example:
        >>> import chainrule
        >>> y, pullback = chainrule.vjp(chainrule.sin, chainrule.asarray(0.0))
        >>> pullback(chainrule.asarray(2.0))[0].item()
        2.0
    """
    arguments = _Arguments(primals, tuple(range(len(primals))))
    level = Level()
    tracked = [level.track(leaf) for leaf in arguments.leaves]
    leaves, structure = tree.flatten(arguments.call(function, tracked, {}))
    outputs = [as_value(leaf) for leaf in leaves]

    def pullback(cotangent: Any) -> Any:
        given = tree.leaves_like(cotangent, structure)
        values = [_cotangent_for(g, y) for g, y in zip(given, outputs, strict=True)]
        with level.walking():
            found = reverse(outputs, values, tracked)
            filled = _filled(found, arguments.leaves)
        return arguments.restore([level.release(g) for g in filled])

    return tree.unflatten(structure, map(level.release, outputs)), pullback


def _cotangent_for(leaf: Any, output: Value) -> Any:
    """A cotangent, or tangent, checked against its value; None is zeros."""
    if leaf is None:
        return zeros_like(output)
    g = leaf if isinstance(leaf, Value) else constant(np.array(leaf), like=output)
    if g.spec != output.spec:
        raise ShapeError(
            "a cotangent or tangent must have the shape and dtype of its value",
            got=g.spec,
            expected=output.spec,
        )
    return g


def jvp(
    function: Function, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """The value of `function` at `primals`, and its derivative along `tangents`.

    Computes `J @ t` as the reverse of the reverse: the pullback `u -> u @ J` is linear
    in u, and its own pullback at t is `J @ t`. Integer results have zeros as tangents.

    Example:
        >>> import chainrule
        >>> y, t = chainrule.jvp(chainrule.exp, [chainrule.asarray(0.0)], [3.0])
        >>> y.item(), t.item()
        (1.0, 3.0)
    """
    value, pullback = vjp(function, *primals)
    outputs, structure = tree.flatten(value)
    zeros = [zeros_like(y) for y in outputs]
    floats = [i for i, y in enumerate(outputs) if y.spec.dtype.is_float]

    def linear(*cotangents: Any) -> Any:
        filled = _with(zeros, floats, cotangents)
        return pullback(tree.unflatten(structure, filled))

    _, forward = vjp(linear, *[zeros[i] for i in floats])
    leaves, primal_structure = tree.flatten(tuple(primals))
    given = tree.leaves_like(tuple(tangents), primal_structure)
    pairs = zip(given, map(as_value, leaves), strict=True)
    fitted = [_cotangent_for(t, x) for t, x in pairs]
    found = forward(tree.unflatten(primal_structure, fitted))
    return value, tree.unflatten(structure, _with(zeros, floats, found))


def _with(items: Sequence[Any], places: Sequence[int], new: Sequence[Any]) -> list[Any]:
    """`items` with `new` at `places`."""
    result = list(items)
    for place, item in zip(places, new, strict=True):
        result[place] = item
    return result


def jacobian(function: Function, argnums: Argnums = 0) -> Function:
    """A function that returns all derivatives of `function`.

    For a result of shape `m` and an argument of shape `n` the Jacobian has shape
    `m + n`: `J[i, j] = dy[i] / dx[j]`. Trees give trees: for each leaf of the result,
    one of the structure of the argument.

    Example:
        >>> import chainrule
        >>> chainrule.jacobian(lambda x: x**2)(chainrule.asarray([1.0, 3.0])).numpy()
        array([[2., 0.],
               [0., 6.]], dtype=float32)
    """

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(args, argnums)

        def flat(*leaves: Any) -> Any:
            return arguments.call(function, leaves, kwargs)

        value, pullback = vjp(flat, *arguments.leaves)
        outputs, structure = tree.flatten(value)
        rows = [_rows(pullback, structure, outputs, i) for i in range(len(outputs))]
        return tree.unflatten(structure, [arguments.restore(row) for row in rows])

    return differentiated


def _rows(
    pullback: Function, structure: tree.Structure, outputs: Sequence[Any], index: int
) -> list[Any]:
    """The Jacobian of output `index` with respect to each leaf: a pullback per row."""
    spec = outputs[index].spec

    def pull(direction: Any) -> Any:
        cotangents = [zeros_like(y) for y in outputs]
        cotangents[index] = direction
        return pullback(tree.unflatten(structure, cotangents))

    basis = as_array(np.eye(spec.size), spec.dtype).reshape((spec.size, *spec.shape))
    found = vmap(pull)(constant(basis))
    return [reshape(g, shape=(*spec.shape, *g.spec.shape[1:])) for g in found]


def hessian(function: Function, argnums: Argnums = 0) -> Function:
    """A function that returns the second derivatives of the scalar `function`.

    `H[i, j] = d2f / dx[i] dx[j]`, the Jacobian of the gradient.

    Example:
        >>> import chainrule
        >>> f = lambda x: chainrule.sum(x**3)
        >>> chainrule.hessian(f)(chainrule.asarray([1.0, 2.0])).numpy()
        array([[ 6.,  0.],
               [ 0., 12.]], dtype=float32)
    """
    return jacobian(grad(function, argnums), argnums)


def hvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of the scalar `function` at `primals`, times `tangents`.

    `H @ v` is the gradient of `grad(f) . v`; the Hessian is never formed (Pearlmutter,
    "Fast exact multiplication by the Hessian", 1994). Costs a few gradients.

    Example:
        >>> import chainrule
        >>> f = lambda x: chainrule.sum(x**3)
        >>> x, v = chainrule.asarray([1.0, 2.0]), chainrule.asarray([1.0, 0.0])
        >>> chainrule.hvp(f, [x], [v])[0].numpy().tolist()
        [6.0, 0.0]
    """
    numbers = tuple(range(len(primals)))
    _, products = jvp(grad(function, numbers), primals, tangents)
    return products
