"""One row per function: how it is called, on which arrays, and what NumPy says.

Tests walk the table: values, traced against eager, batched against a loop, gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A function of arrays.

    Attributes:
        name: what failures call it.
        call: the function, of tensors.
        reference: the same, of NumPy arrays; None where tests check values otherwise.
        arrays: float64, integer or boolean arguments.
        smooth: whether central differences make sense at this point.
        batched: whether `vmap` applies to it.
    """

    name: str
    call: Callable[..., Any]
    reference: Callable[..., Any] | None
    arrays: tuple[Array, ...]
    smooth: bool = True
    batched: bool = True

    def outputs(self, *values: Any) -> list[Any]:
        """The results as a list."""
        result = self.call(*values)
        return list(result) if isinstance(result, (list, tuple)) else [result]


def draw(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Array:
    """Numbers at which no function of the table has a kink."""
    random = np.random.default_rng(seed)
    return np.asarray(random.uniform(low, high, shape))


SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (), (0, 4), (2, 1, 7))


def one(
    name: str,
    reference: Callable[..., Any] | None,
    low: float = -2.0,
    high: float = 2.0,
    smooth: bool = True,
    **options: Any,
) -> Iterator[Case]:
    """A function of one array, on several shapes."""

    def call(x: Any) -> Any:
        return getattr(cr, name)(x, **options)

    for shape in SHAPES:
        title = f"{name}{shape}{options or ''}"
        yield Case(title, call, reference, (draw(*shape, low=low, high=high),), smooth)


def two(
    name: str,
    reference: Callable[..., Any],
    first: tuple[float, float] = (-2.0, 2.0),
    second: tuple[float, float] = (-2.0, 2.0),
    smooth: bool = True,
) -> Iterator[Case]:
    """A function of two arrays that broadcast."""
    for a, b in (((3, 5), (5,)), ((), (4,)), ((3, 1), (1, 5)), ((0, 4), (4,))):
        arrays = (
            draw(*a, low=first[0], high=first[1]),
            draw(*b, low=second[0], high=second[1], seed=1),
        )
        yield Case(f"{name}{a}{b}", getattr(cr, name), reference, arrays, smooth)


def row(
    name: str,
    call: Callable[..., Any],
    reference: Callable[..., Any] | None,
    *arrays: Array,
    smooth: bool = True,
    batched: bool = True,
) -> Case:
    """Any function."""
    return Case(name, call, reference, arrays, smooth, batched)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _attention(query: Any, key: Any, value: Any) -> Any:
    """Each key head answers two heads of queries."""
    key, value = np.repeat(key, 2, axis=2), np.repeat(value, 2, axis=2)
    scores = np.einsum("btnh,bsnh->bnts", query, key) / np.sqrt(query.shape[-1])
    return np.einsum("bnts,bsnv->btnv", _softmax(scores), value)


def _sparsemax(x: Any) -> Any:
    """The nearest point of the simplex, found by halving the level."""
    low, high = x.min(-1, keepdims=True) - 1, x.max(-1, keepdims=True)
    for _ in range(80):
        level = (low + high) / 2
        above = np.maximum(x - level, 0).sum(-1, keepdims=True) > 1
        low, high = np.where(above, level, low), np.where(above, high, level)
    return np.maximum(x - low, 0)


def _softmax(x: Array, axis: int = -1) -> Array:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _erf(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(float)


def elementwise() -> Iterator[Case]:
    """Functions of each element."""
    anything = """
        abs ceil cos cosh exp expm1 floor negative positive round sign signbit sin sinh
        square tan tanh trunc isnan isinf isfinite
    """
    for name in anything.split():
        smooth = name not in ("signbit", "isnan", "isinf", "isfinite")
        low, high = (-1.4, 1.4) if name == "tan" else (-2.0, 2.0)
        yield from one(name, getattr(np, name), low, high, smooth)
    for name in ("log", "log2", "log10", "log1p", "sqrt", "reciprocal"):
        yield from one(name, getattr(np, name), 0.3, 4.0)
    for name in ("asin", "acos", "atan", "asinh", "atanh"):
        yield from one(name, getattr(np, name), -0.9, 0.9)
    yield from one("acosh", np.acosh, 1.3, 4.0)
    yield from one("erf", _erf)
    yield from one("clip", lambda x: np.clip(x, -1, 0.5), min=-1, max=0.5)


def pairs() -> Iterator[Case]:
    """Functions of two elements."""
    smooth = "add subtract multiply maximum minimum hypot logaddexp atan2 copysign"
    for name in smooth.split():
        yield from two(name, getattr(np, name))
    yield from two("divide", np.divide, second=(0.4, 2.0))
    yield from two("pow", np.power, first=(0.4, 2.0))
    yield from two("floor_divide", np.floor_divide, second=(0.4, 2.0), smooth=False)
    yield from two("remainder", np.remainder, second=(0.4, 2.0), smooth=False)
    yield from two("nextafter", np.nextafter, smooth=False)
    compare = "equal not_equal less less_equal greater greater_equal"
    for name in (*compare.split(), "logical_and", "logical_or", "logical_xor"):
        yield from two(name, getattr(np, name), smooth=False)


def neural() -> Iterator[Case]:
    """Activations."""
    yield from one("relu", lambda x: np.maximum(x, 0))
    yield from one("relu6", lambda x: np.clip(x, 0, 6), 3.0, 9.0)
    yield from one("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x))
    yield from one("elu", lambda x: np.where(x > 0, x, np.expm1(x)))
    yield from one("celu", lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2)), alpha=2.0)
    yield from one(
        "selu",
        lambda x: (
            1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
        ),
    )
    yield from one("gelu", lambda x: x / 2 * (1 + _erf(x / np.sqrt(2))))
    yield from one(
        "gelu",
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        approximate=True,
    )
    for name in ("silu", "swish"):
        yield from one(name, lambda x: x * _sigmoid(x))
    yield from one("sigmoid", _sigmoid)
    yield from one("log_sigmoid", lambda x: np.log(_sigmoid(x)))
    yield from one("softplus", lambda x: np.logaddexp(x, 0))
    yield from one("softsign", lambda x: x / (1 + np.abs(x)))
    yield from one("mish", lambda x: x * np.tanh(np.logaddexp(x, 0)))
    yield from one("tanh_shrink", lambda x: x - np.tanh(x))
    yield from one("squareplus", lambda x: (x + np.sqrt(x**2 + 4)) / 2)
    yield from one(
        "sparse_plus",
        lambda x: np.where(
            x <= -1, 0, np.where(x >= 1, x, np.square(np.maximum(x, -1) + 1) / 4)
        ),
    )
    yield from one("sparse_sigmoid", lambda x: np.clip((x + 1) / 2, 0, 1))
    yield from one("exponential", np.exp)
    yield from one("linear", lambda x: x)
    yield from one("hard_sigmoid", lambda x: np.clip(x + 3, 0, 6) / 6)
    yield from one("hard_silu", lambda x: x * np.clip(x + 3, 0, 6) / 6)
    yield from one("hard_tanh", lambda x: np.clip(x, -1, 1))
    yield from one("hard_shrink", lambda x: np.where(np.abs(x) > 0.5, x, 0))
    yield from one("soft_shrink", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0))
    yield from one(
        "threshold", lambda x: np.where(x > 0.5, x, -1), threshold=0.5, default_value=-1
    )
    yield from _neural_rows()


def _neural_rows() -> Iterator[Case]:
    """Functions of whole rows."""
    x = draw(3, 6)
    yield row("glu", cr.glu, lambda x: x[:, :3] * _sigmoid(x[:, 3:]), x)
    yield row("softmax", cr.softmax, _softmax, x)
    yield row("softmax 0", lambda x: cr.softmax(x, 0), lambda x: _softmax(x, 0), x)
    yield row("log_softmax", cr.log_softmax, lambda x: np.log(_softmax(x)), x)
    yield row("sparsemax", cr.sparsemax, _sparsemax, x)
    yield row(
        "sparsemax 0", lambda x: cr.sparsemax(x, 0), lambda x: _sparsemax(x.T).T, x
    )
    yield row("logsumexp", cr.logsumexp, lambda x: np.log(np.exp(x).sum()), x)
    yield row(
        "logsumexp 0",
        lambda x: cr.logsumexp(x, 0, keepdims=True),
        lambda x: np.log(np.exp(x).sum(0, keepdims=True)),
        x,
    )
    query, key, value = draw(1, 3, 4, 2), draw(1, 5, 2, 2), draw(1, 5, 2, 3)
    yield row(
        "dot_product_attention", cr.dot_product_attention, _attention, query, key, value
    )
    labels = np.array([[0, 3], [2, 9]])
    yield row("one_hot", lambda i: cr.one_hot(i, 4, dtype="float64"), None, labels)


def reductions() -> Iterator[Case]:
    """Functions over axes."""
    x = draw(3, 4, 5)
    for name in ("sum", "prod", "max", "min", "mean", "var", "std", "any", "all"):
        for axis, keepdims in ((None, False), (1, True), ((0, -1), False), ((), True)):
            smooth = name not in ("any", "all")
            if name in ("std", "var") and axis == ():
                continue
            yield row(
                f"{name}({axis}, {keepdims})",
                lambda x, n=name, a=axis, k=keepdims: getattr(cr, n)(x, a, keepdims=k),
                lambda x, n=name, a=axis, k=keepdims: getattr(np, n)(
                    x, axis=a, keepdims=k
                ),
                x,
                smooth=smooth,
            )
    yield row(
        "var corrected",
        lambda x: cr.var(x, 1, correction=1),
        lambda x: np.var(x, axis=1, ddof=1),
        x,
    )
    empty = np.zeros((0, 4))
    yield row("sum empty", lambda x: cr.sum(x, 0), lambda x: x.sum(0), empty)
    yield row("prod empty", lambda x: cr.prod(x, 0), lambda x: x.prod(0), empty)
    yield row(
        "count_nonzero",
        lambda x: cr.count_nonzero(x, 0),
        lambda x: np.count_nonzero(x, axis=0),
        x,
        smooth=False,
    )
    for name in ("cumulative_sum", "cumulative_prod"):
        for initial in (False, True):
            yield row(
                f"{name} {initial}",
                lambda x, n=name, i=initial: getattr(cr, n)(
                    x, axis=1, include_initial=i
                ),
                lambda x, n=name, i=initial: getattr(np, n)(
                    x, axis=1, include_initial=i
                ),
                x,
            )
    yield row("diff", lambda x: cr.diff(x, n=2), lambda x: np.diff(x, n=2), x)
    yield row(
        "diff ends",
        lambda x: cr.diff(x, axis=0, prepend=x[:1], append=x[:2]),
        lambda x: np.diff(x, axis=0, prepend=x[:1], append=x[:2]),
        x,
    )


def movement() -> Iterator[Case]:
    """Functions that move elements."""
    x, y = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    same: list[tuple[str, Callable[[Any, Any], Any]]] = [
        ("reshape", lambda m, x: m.reshape(x, (4, -1))),
        ("permute_dims", lambda m, x: m.permute_dims(x, (2, 0, -2))),
        ("moveaxis", lambda m, x: m.moveaxis(x, (0, 2), (-1, 0))),
        ("expand_dims", lambda m, x: m.expand_dims(x, axis=(0, -1))),
        ("squeeze", lambda m, x: m.squeeze(x[:1, :, :1], axis=(0, -1))),
        ("flip", lambda m, x: m.flip(x, axis=1)),
        ("flip all", lambda m, x: m.flip(x)),
        ("roll", lambda m, x: m.roll(x, 2)),
        ("roll axes", lambda m, x: m.roll(x, (7, -1), axis=(0, 2))),
        ("repeat", lambda m, x: m.repeat(x, 3, axis=1)),
        ("repeat flat", lambda m, x: m.repeat(x, 2)),
        ("repeat each", lambda m, x: m.repeat(x, np.array([0, 2, 1]), axis=0)),
        ("tile", lambda m, x: m.tile(x, (2, 1, 1, 3))),
        ("tile short", lambda m, x: m.tile(x, (2,))),
        ("broadcast_to", lambda m, x: m.broadcast_to(x[:, :1], (2, 3, 4, 5))),
        ("concat none", lambda m, x: m.concat([x, x[0]], axis=None)),
        ("unstack", lambda m, x: m.unstack(x, axis=1)),
        ("split", lambda m, x: m.split(x, 2, axis=1)),
        ("split at", lambda m, x: m.split(x, [1, 1, 4], axis=2)),
        ("pad", lambda m, x: m.pad(x, [(0, 1), (2, 0), (1, 1)])),
        (
            "pad reflect",
            lambda m, x: m.pad(x, [(2, 1), (0, 3), (0, 0)], mode="reflect"),
        ),
        ("pad edge", lambda m, x: m.pad(x, [(2, 1), (0, 3), (0, 0)], mode="edge")),
        ("tril", lambda m, x: m.tril(x, k=1)),
        ("triu", lambda m, x: m.triu(x, k=-1)),
        ("sort", lambda m, x: m.sort(x, axis=1)),
        ("take", lambda m, x: m.take(x, np.array([[2, -1], [0, 0]]), axis=1)),
    ]
    for name, both in same:
        yield row(name, lambda x, b=both: b(cr, x), lambda x, b=both: b(np, x), x)
    yield row(
        "concat",
        lambda *p: cr.concat(p, axis=-1),
        lambda *p: np.concat(p, axis=-1),
        x,
        y,
    )
    yield row(
        "stack", lambda *p: cr.stack(p, axis=-1), lambda *p: np.stack(p, axis=-1), x, y
    )
    yield row(
        "broadcast_arrays",
        lambda *p: cr.broadcast_arrays(*p),
        lambda *p: np.broadcast_arrays(*p),
        draw(3, 1),
        draw(1, 4),
    )
    yield row(
        "meshgrid", cr.meshgrid, lambda *p: np.meshgrid(*p), draw(3), draw(4), draw(2)
    )


def searching() -> Iterator[Case]:
    """Choice and order."""
    x, y = draw(3, 4), draw(3, 4, seed=1)
    for name in ("argmax", "argmin"):
        for axis, keepdims in ((None, False), (None, True), (1, False), (0, True)):
            yield row(
                f"{name}({axis}, {keepdims})",
                lambda x, n=name, a=axis, k=keepdims: getattr(cr, n)(x, a, keepdims=k),
                lambda x, n=name, a=axis, k=keepdims: getattr(np, n)(
                    x, axis=a, keepdims=k
                ),
                x,
                smooth=False,
            )
    yield row("where", cr.where, np.where, x > 0, x, y)
    yield row(
        "argsort",
        lambda x: cr.argsort(x, axis=0),
        lambda x: np.argsort(x, axis=0),
        x,
        smooth=False,
    )
    yield row(
        "sort down",
        lambda x: cr.sort(x, descending=True),
        lambda x: np.flip(np.sort(x), -1),
        x,
    )
    yield row(
        "top_k",
        lambda x: cr.top_k(x, 2),
        lambda x: [np.flip(np.sort(x), -1)[:, :2], np.argsort(-x)[:, :2]],
        x,
    )
    yield from finding(x)


def finding(x: Array) -> Iterator[Case]:
    """Looking up."""
    ordered = np.array([-1.0, 0.0, 0.0, 0.5, 2.0])
    wanted = np.array([[-3.0, 0.0, 0.1], [2.0, 9.0, -1.0]])
    for side in ("left", "right"):
        yield row(
            f"searchsorted {side}",
            lambda a, b, s=side: cr.searchsorted(a, b, side=s),
            lambda a, b, s=side: np.searchsorted(a, b, side=s),
            ordered,
            wanted,
            smooth=False,
            batched=False,
        )
    yield row(
        "isin",
        cr.isin,
        np.isin,
        np.array([[1, 2], [3, 4]]),
        np.array([4, 1]),
        smooth=False,
    )
    indices = np.array([[1, 0, -1, 2]])
    yield row(
        "take_along_axis",
        lambda x, i: cr.take_along_axis(x, i, axis=0),
        lambda x, i: np.take_along_axis(x, i, axis=0),
        x,
        indices,
    )


def products() -> Iterator[Case]:
    """Linear algebra."""
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (6, 4, 5)),
        ((2, 3, 4), (4,)),
        ((4,), (2, 4, 5)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
    ]
    for a, b in shapes:
        arrays = draw(*a), draw(*b, seed=1)
        yield row(f"matmul{a}{b}", cr.matmul, np.matmul, *arrays)
    x, y = draw(3, 4, 5), draw(4, 5, 2, seed=1)
    pair = ((1, 2), (0, 1))
    for axes in (0, 2, pair):
        yield row(
            f"tensordot {axes}",
            lambda a, b, n=axes: cr.tensordot(a, b, axes=n),
            lambda a, b, n=axes: np.tensordot(a, b, axes=n),
            x if axes else x[0],
            y,
        )
    yield row(
        "vecdot",
        lambda a, b: cr.vecdot(a, b, axis=-2),
        lambda a, b: (a * b).sum(-2),
        x,
        draw(4, 5, seed=2),
    )
    yield row("outer", cr.outer, np.outer, draw(3), draw(4, seed=1))
    yield row("cross", cr.cross, np.cross, draw(4, 3), draw(4, 3, seed=1))
    yield row("matrix_transpose", cr.matrix_transpose, np.matrix_transpose, x)
    for offset in (-5, -2, 0, 1, 3, 9):
        yield row(
            f"diagonal {offset}",
            lambda x, k=offset: cr.diagonal(x, offset=k),
            lambda x, k=offset: np.linalg.diagonal(x, offset=k),
            x,
        )
        yield row(
            f"trace {offset}",
            lambda x, k=offset: cr.trace(x, offset=k),
            lambda x, k=offset: np.linalg.trace(x, offset=k),
            x,
        )
    yield from norms(x)
    yield from sums_of_einstein()


def norms(x: Array) -> Iterator[Case]:
    """Norms of every order, over some axes."""
    for order in (0, 1, 2, 3, 0.5, -1, -2, math.inf, -math.inf):
        for axis in (None, 1, (0, 2)):
            yield row(
                f"vector_norm {order} {axis}",
                lambda x, o=order, a=axis: cr.vector_norm(x, ord=o, axis=a),
                lambda x, o=order, a=axis: np.linalg.vector_norm(x, ord=o, axis=a),
                x,
            )
    for order in ("fro", 1, -1, math.inf, -math.inf):
        for keepdims in (False, True):
            yield row(
                f"matrix_norm {order} {keepdims}",
                lambda x, o=order, k=keepdims: cr.matrix_norm(x, ord=o, keepdims=k),
                lambda x, o=order, k=keepdims: np.linalg.matrix_norm(
                    x, ord=o, keepdims=k
                ),
                x,
            )


def sums_of_einstein() -> Iterator[Case]:
    """Equations for einsum, with the shapes of their operands."""
    table: Sequence[tuple[str, tuple[tuple[int, ...], ...]]] = (
        ("ij,jk->ik", ((3, 4), (4, 5))),
        ("ij,jk", ((3, 4), (4, 5))),
        ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5))),
        ("ij->ji", ((3, 4),)),
        ("ij->", ((3, 4),)),
        ("ii->i", ((4, 4),)),
        ("ii", ((4, 4),)),
        ("iij->j", ((3, 3, 4),)),
        ("i,j->ij", ((3,), (4,))),
        ("i,i->", ((3,), (3,))),
        ("i,i->i", ((3,), (3,))),
        ("ij,k->jk", ((3, 4), (2,))),
        ("ij,jk,kl->il", ((3, 4), (4, 5), (5, 2))),
        ("...ij,...jk->...ik", ((2, 3, 4), (4, 5))),
        ("...i,...i", ((2, 3), (2, 3))),
        ("i...,i->...", ((3, 2, 4), (3,))),
        ("bij,bij->b", ((2, 3, 4), (2, 3, 4))),
        ("ij,ij->ij", ((3, 1), (3, 4))),
        ("ij,jk->ik", ((3, 0), (0, 2))),
    )
    for equation, shapes in table:
        arrays = tuple(draw(*shape, seed=i) for i, shape in enumerate(shapes))
        yield row(
            f"einsum {equation} {shapes}",
            lambda *p, e=equation: cr.einsum(e, *p),
            lambda *p, e=equation: np.einsum(e, *p),
            *arrays,
        )


def indexing() -> Iterator[Case]:
    """Reading and updating at an index."""
    x = draw(3, 4, 5)
    array = np.array([[0, -1], [2, 1]])
    keys: list[Any] = [
        1,
        (slice(None, None, -2), ..., 1),
        (None, slice(1, 3), None, -1),
        (array, 1),
        (array, slice(None), array),
        (slice(None), array, array),
    ]
    for key in keys:
        yield row(f"index {key}", lambda x, k=key: x[k], lambda x, k=key: x[k], x)

        def put(x: Any, k: Any = key) -> Any:
            copy = np.array(x)
            copy[k] = 7
            return copy

        yield row(f"set {key}", lambda x, k=key: x.at[k].set(7), put, x)
    values = draw(2, 5, seed=3)
    rows = np.array([2, 2])

    def added(x: Array, values: Array) -> Array:
        copy = np.array(x)
        np.add.at(copy, (rows, 1), values)
        return copy

    yield row("add at", lambda x, v: x.at[rows, 1].add(v), added, x, values)
    yield row(
        "traced index",
        lambda x, i: x[i, :, i],
        lambda x, i: x[i, :, i],
        x,
        np.array([0, 2, 1]),
    )
    yield row(
        "set at a traced index",
        lambda x, i, v: x.at[i].set(v),
        lambda x, i, v: _last_wins(x, i, v),
        draw(4, 3),
        np.array([1, 3, 1]),
        draw(3, 3, seed=5),
    )


def _last_wins(x: Array, places: Array, values: Array) -> Array:
    copy = np.array(x)
    for place, value in zip(places, values, strict=True):
        copy[place] = value
    return copy


CASES: list[Case] = [
    *elementwise(),
    *pairs(),
    *neural(),
    *reductions(),
    *movement(),
    *searching(),
    *products(),
    *indexing(),
]
