"""Values and gradients of every operation that PyTorch has too, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import vjp
from chainrule.ir import PRIMITIVES, Sample, constant
from tests.checks import float_function, function_of, run_eagerly, variants
from tests.tolerances import PARITY, assert_close

torch = pytest.importorskip("torch")

Parameters = dict[str, Any]
TORCH_DTYPES = {
    name: getattr(torch, name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "float32", "float64"),
        *("uint8", "uint16", "uint32", "uint64"),
    )
}


def _plain(name: str) -> Callable[..., Any]:
    return lambda *x, **_: getattr(torch, name)(*x)


def _reduced(name: str) -> Callable[..., Any]:
    def apply(x: Any, axes: tuple[int, ...]) -> Any:
        return getattr(torch, name)(x, dim=axes) if axes else x

    return apply


def _product(x: Any, axes: tuple[int, ...]) -> Any:
    for axis in reversed(axes):
        x = torch.prod(x, dim=axis)
    return x


def _contract(a: Any, b: Any, sums: Any, batch: Any) -> Any:
    left, right = list(range(a.ndim)), [a.ndim + i for i in range(b.ndim)]
    for i, j in (*zip(*sums, strict=True), *zip(*batch, strict=True)):
        right[j] = left[i]
    both = [left[i] for i in batch[0]]
    gone = {left[i] for i in sums[0]}
    rows = [i for i in left if i not in gone and i not in both]
    columns = [j for j in right if j not in gone and j not in both]
    return torch.einsum(a, left, b, right, [*both, *rows, *columns])


def _slice(x: Any, start: Any, stop: Any, step: Any) -> Any:
    return x[tuple(map(slice, start, stop, step))]


def _pad(x: Any, fill: Any, low: Any, high: Any, interior: Any) -> Any:
    widths = list(zip(x.shape, low, high, interior, strict=True))
    shape = [a + n + max(n - 1, 0) * inner + b for n, a, b, inner in widths]
    places = tuple(
        slice(a, a + max((n - 1) * (inner + 1) + 1, 0), inner + 1)
        for n, a, _, inner in widths
    )
    result = fill.expand(shape).clone()
    result[places] = x
    return result


def _to_windows(x: Any, axis: int, count: int, stride: int, dilation: int) -> Any:
    steps = torch.arange(count) * stride
    taps = [
        torch.index_select(x[..., tap], axis, steps + tap * dilation)
        for tap in range(x.shape[-1])
    ]
    return torch.stack(taps, -1)


def _from_windows(x: Any, axis: int, length: int, stride: int, dilation: int) -> Any:
    shape = (*x.shape[:axis], length, *x.shape[axis + 1 : -1])
    count = x.shape[axis]
    taps = []
    for tap in range(x.shape[-1]):
        places = torch.arange(count) * stride + tap * dilation
        taps.append(torch.index_add(x.new_zeros(shape), axis, places, x[..., tap]))
    return torch.stack(taps, -1)


def _positive(indices: Any, length: int) -> Any:
    return torch.where(indices < 0, indices + length, indices)


def _take(x: Any, indices: Any, axis: int) -> Any:
    flat = _positive(indices, x.shape[axis]).reshape(-1)
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    return torch.index_select(x, axis, flat).reshape(shape)


def _take_along(x: Any, indices: Any, axis: int) -> Any:
    return torch.take_along_dim(x, _positive(indices, x.shape[axis]), axis)


def _scatter_add(x: Any, indices: Any, updates: Any, axis: int) -> Any:
    flat = _positive(indices, x.shape[axis]).reshape(-1)
    shape = (*x.shape[:axis], flat.shape[0], *x.shape[axis + 1 :])
    return torch.index_add(x, axis, flat, updates.reshape(shape))


def _put_rows(x: Any, indices: Any, rows: Any) -> Any:
    # one row more, for the index that is that of no row
    lines = [*x.unbind(0), torch.zeros(x.shape[1:], dtype=x.dtype)]
    places = _positive(indices, x.shape[0]).tolist()
    for place, row in zip(places, rows.unbind(0), strict=True):
        lines[place] = row
    return torch.stack(lines)[:-1]


def _argsort(x: Any, axis: int, descending: bool) -> Any:
    return torch.argsort(x, dim=axis, descending=descending, stable=True)


def _concatenate(*parts: Any, axis: int) -> Any:
    return torch.concatenate(parts, dim=axis)


SAME_NAME = [
    *("absolute", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh"),
    *("ceil", "cos", "cosh", "divide", "erf", "exp", "expm1", "floor", "floor_divide"),
    *("log", "log1p", "maximum", "minimum", "multiply", "negative", "remainder"),
    *("round", "sigmoid", "sign", "sin", "sinh", "sqrt", "subtract", "tan", "tanh"),
    *("trunc", "less", "less_equal", "not_equal", "logical_and", "logical_not"),
    *("logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "where"),
]
TABLE: dict[str, Callable[..., Any]] = {
    **{name: _plain(name) for name in SAME_NAME},
    "all": _reduced("all"),
    "any": _reduced("any"),
    "argmax": lambda x, axis: torch.argmax(x, dim=axis),
    "argmin": lambda x, axis: torch.argmin(x, dim=axis),
    "argsort": _argsort,
    "bitcast": lambda x, dtype: x.view(TORCH_DTYPES[dtype.name]),
    "bitwise_invert": _plain("bitwise_not"),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "from_windows": _from_windows,
    "to_windows": _to_windows,
    "cast": lambda x, dtype: x.to(TORCH_DTYPES[dtype.name]),
    "concatenate": _concatenate,
    "contract": _contract,
    "cumulative_sum": lambda x, axis: torch.cumsum(x, dim=axis, dtype=x.dtype),
    "equal": _plain("eq"),
    "flip": lambda x, axes: torch.flip(x, axes),
    "identity": lambda x: x.clone(),
    "iota": lambda shape, axis, dtype: torch.broadcast_to(
        torch.arange(shape[axis], dtype=TORCH_DTYPES[dtype.name]).reshape(
            [-1 if i == axis else 1 for i in range(len(shape))]
        ),
        shape,
    ),
    "max": _reduced("amax"),
    "min": _reduced("amin"),
    "pad": _pad,
    "permute_dims": lambda x, axes: torch.permute(x, axes),
    "power": _plain("pow"),
    "prod": _product,
    "put_rows": _put_rows,
    "reshape": lambda x, shape: torch.reshape(x, shape),
    "scatter_add": _scatter_add,
    "shift_left": _plain("bitwise_left_shift"),
    "shift_right": _plain("bitwise_right_shift"),
    "slice": _slice,
    "stop_gradient": lambda x: x.detach(),
    "sum": lambda x, axes: torch.sum(x, dim=axes, dtype=x.dtype) if axes else x,
    "take": _take,
    "take_along_axis": _take_along,
}
WITHOUT: dict[str, str] = {
    "call": "a call of a graph; its nodes are compared one by one",
    "random_bits": "PyTorch has another generator",
    "scan": "a loop over a graph; tests/autodiff holds it to the loop written out",
}
# the dtypes for which PyTorch has every operation
COMMON = {"float32", "float64", "int32", "int64", "bool"}


def test_the_table_is_complete() -> None:
    assert set(TABLE) | set(WITHOUT) == set(PRIMITIVES)
    assert not set(TABLE) & set(WITHOUT)


def _samples(name: str) -> list[Sample]:
    primitive = PRIMITIVES[name]
    return [
        variant
        for sample in primitive.samples()
        for variant in variants(primitive, sample)
        if all(str(a.dtype) in COMMON for a in variant.arrays)
        and _makes_arrays(variant)
        and not _undefined(name, variant)
    ]


def _makes_arrays(sample: Sample) -> bool:
    """Whether NumPy has the dtype of the result; `test_bfloat16` is about the other."""
    dtype = sample.params.get("dtype")
    return dtype is None or dtype.name in TORCH_DTYPES


def _undefined(name: str, sample: Sample) -> bool:
    """Whether PyTorch leaves the result open or raises, where we define it."""
    integers = all(a.dtype.kind in "ib" for a in sample.arrays[:1])
    if name in {"floor_divide", "remainder"} and integers:
        return bool(np.any(sample.arrays[1] == 0))  # an error there
    if name == "power" and integers:
        return bool(np.any(sample.arrays[1] < 0))
    if name == "prod" and sample.arrays[0].dtype.kind == "i":
        return True  # widened to int64 there
    target = sample.params.get("dtype")
    # unsigned numbers have few operations there
    return name in {"cast", "iota"} and target is not None and target.kind == "u"


@pytest.mark.parametrize("name", sorted(TABLE))
def test_values(name: str) -> None:
    samples = _samples(name)
    assert samples
    for sample in samples:
        (actual,) = run_eagerly(
            function_of(PRIMITIVES[name], sample.params), sample.arrays
        )
        expected = TABLE[name](*map(torch.tensor, sample.arrays), **sample.params)
        assert_close(actual, expected.numpy(), PARITY, name)


DIFFERENTIABLE = [
    name
    for name in sorted(TABLE)
    if PRIMITIVES[name].vjp is not None
    and any(s.smooth for s in PRIMITIVES[name].samples())
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name: str, dtype: str) -> None:
    random = np.random.default_rng(0)
    for sample in PRIMITIVES[name].samples():
        result = run_eagerly(
            function_of(PRIMITIVES[name], sample.params), sample.arrays
        )
        if not sample.smooth or result[0].dtype != np.float64:
            continue
        if name == "cast" and dtype == "float32":
            continue
        arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in sample.arrays]
        cotangent = random.normal(size=result[0].shape).astype(dtype)
        ours = _our_gradients(name, Sample(tuple(arrays), sample.params), cotangent)
        theirs = _their_gradients(name, arrays, sample.params, cotangent)
        for actual, expected in zip(ours, theirs, strict=True):
            assert_close(actual, expected, PARITY, name)


def _our_gradients(name: str, sample: Sample, cotangent: Any) -> list[Any]:
    function, arrays = float_function(PRIMITIVES[name], sample)
    _, pullback = vjp(function, *arrays)
    return [g.data for g in pullback([cotangent])]


def _their_gradients(
    name: str, arrays: list[Any], params: Parameters, cotangent: Any
) -> list[Any]:
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    result = TABLE[name](*tensors, **params)
    wanted = [t for t in tensors if t.requires_grad]
    found = torch.autograd.grad(
        result, wanted, torch.tensor(cotangent), allow_unused=True
    )
    return [
        np.zeros(t.shape, t.detach().numpy().dtype) if g is None else g.numpy()
        for g, t in zip(found, wanted, strict=True)
    ]


# ---- gradients where they are a matter of convention ---------------------------------

NAN, INF = np.nan, np.inf
AT_EDGES: dict[str, list[tuple[float, ...]]] = {
    "absolute": [(0.0,), (-0.0,), (-INF,)],
    "sign": [(0.0,), (-1.0,)],
    "sqrt": [(0.0,), (-1.0,), (INF,)],
    "log": [(0.0,), (-1.0,), (INF,)],
    "log1p": [(-1.0,), (-2.0,)],
    "sigmoid": [(1e4,), (-1e4,), (NAN,)],
    "tanh": [(1e4,), (-1e4,)],
    "exp": [(-INF,), (1e4,), (NAN,)],
    "asin": [(1.0,), (-1.0,), (1.5,)],
    "acos": [(1.0,), (-1.0,), (1.5,)],
    "acosh": [(1.0,)],
    "atanh": [(1.0,), (-1.0,)],
    "maximum": [(1.0, 1.0), (NAN, 1.0), (1.0, NAN), (INF, 1.0), (0.0, -0.0)],
    "minimum": [(1.0, 1.0), (NAN, 1.0), (1.0, NAN), (-INF, 1.0), (0.0, -0.0)],
    "power": [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, -1.0), (-2.0, 3.0), (2.0, 0.0)],
    "divide": [(1.0, 0.0), (0.0, 0.0), (1.0, INF)],
    "remainder": [(5.5, 2.0), (-5.5, 2.0), (5.5, -2.0)],
    "atan2": [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0)],
    "floor_divide": [(5.5, 2.0)],
    "round": [(0.5,), (1.5,)],
    "trunc": [(-0.5,)],
}


@pytest.mark.parametrize(
    ("name", "point"), [(name, p) for name, points in AT_EDGES.items() for p in points]
)
def test_gradients_at_edges(name: str, point: tuple[float, ...]) -> None:
    sample = Sample(tuple(np.array(x) for x in point))
    one = np.array(1.0)
    try:
        theirs = _their_gradients(name, list(sample.arrays), {}, one)
    except RuntimeError:  # floor_divide: no gradient at all
        theirs = [np.array(0.0) for _ in point]
    ours = _our_gradients(name, sample, one)
    for actual, expected in zip(ours, theirs, strict=True):
        assert_close(actual, expected, PARITY, f"{name} at {point}")


@pytest.mark.parametrize("name", ["max", "min", "prod"])
def test_gradients_of_reductions_at_ties_and_zeros(name: str) -> None:
    rows = [[1.0, 1.0, 0.0], [0.0, 0.0, 3.0], [2.0, 0.0, -1.0], [NAN, 1.0, 2.0]]
    x = np.array(rows)
    ours = _our_gradients(name, Sample((x,), {"axes": (1,)}), np.ones(4))
    theirs = _their_gradients(name, [x], {"axes": (1,)}, np.ones(4))
    assert_close(ours[0], theirs[0], PARITY, name)


def test_second_order_of_a_product_with_zeros() -> None:
    x = np.array([0.0, 2.0, 0.0, 3.0])
    ours = vjp(
        lambda x: vjp(lambda x: ops.reduce_prod(x, axes=(0,)), x)[1](constant(1.0))[0],
        x,
    )[1](np.ones(4))[0]
    point = torch.tensor(x, requires_grad=True)
    (first,) = torch.autograd.grad(torch.prod(point), point, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), point)
    assert_close(ours.data, second.numpy(), PARITY)
