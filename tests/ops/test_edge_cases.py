"""Cases that samples drawn at random do not meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import ops
from chainrule.autodiff import grad, jacobian, vmap
from chainrule.errors import DTypeError, OutOfBoundsError, ShapeError
from chainrule.ir import constant
from chainrule.ir.dtype import SIGNED, UNSIGNED, DType, float64
from tests.checks import check_gradients
from tests.tolerances import assert_close

NAN, INF = np.nan, np.inf
INTEGERS = (*SIGNED, *UNSIGNED)


def _double(*numbers: float) -> Any:
    return constant(np.array(numbers, np.float64))


def _gradients(function: Callable[..., Any], *args: Any) -> list[Any]:
    total = grad(
        lambda *x: ops.reduce_sum(function(*x), axes=(0,)), tuple(range(len(args)))
    )
    return [g.data.tolist() for g in total(*args)]


# ---- elementwise ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extreme_shares_a_tie_and_shows_not_a_number(name: str) -> None:
    a, b = _double(1.0, 2.0, 3.0, NAN, 0.0), _double(1.0, 3.0, 2.0, 0.0, NAN)
    left, right = _gradients(getattr(ops, name), a, b)
    wins = [0.5, 0.0, 1.0] if name == "maximum" else [0.5, 1.0, 0.0]
    assert left == [*wins, 1.0, 1.0]
    assert right == [1 - w for w in wins] + [1.0, 1.0]


def test_power_of_zero() -> None:
    base, exponent = _double(0.0, 0.0, 0.0, 0.0), _double(0.0, 1.0, 2.0, 0.5)
    left, right = _gradients(ops.power, base, exponent)
    assert left == [0.0, 1.0, 0.0, INF]
    assert right == [0.0, 0.0, 0.0, 0.0]


def test_power_of_a_negative_number_has_no_derivative_by_its_exponent() -> None:
    left, right = _gradients(ops.power, _double(-2.0), _double(3.0))
    assert left == [12.0]
    assert np.isnan(right[0])


def test_higher_derivatives_of_a_power_at_zero() -> None:
    x, derivatives = constant(0.0, dtype=float64), []
    function: Callable[..., Any] = lambda x: ops.power(x, 3.0)  # noqa: E731
    for _ in range(4):
        function = grad(function)
        derivatives.append(function(x).data.item())
    assert derivatives == [0.0, 0.0, 6.0, 0.0]


def test_second_derivative_of_a_power_is_symmetric_where_the_exponent_is_zero() -> None:
    check_gradients(
        lambda a, b: [ops.power(a, b)], [np.array([2.0, 0.7]), np.zeros(2)], order=3
    )


@pytest.mark.parametrize("dtype", SIGNED, ids=str)
def test_integer_power_division_and_remainder(dtype: DType) -> None:
    a = constant(np.array([7, -7, 7, -7, 5, 1, -1, 2, -1], dtype.numpy))
    b = constant(np.array([2, 2, -2, -2, 0, -3, -3, -1, -2], dtype.numpy))
    assert ops.floor_divide(a, b).data.tolist() == [3, -4, -4, 3, 0, -1, 0, -2, 0]
    assert ops.remainder(a, b).data.tolist() == [1, 1, -1, -1, 0, -2, -1, 0, -1]
    assert ops.power(a, b).data.tolist() == [49, 49, 0, 0, 1, 1, -1, 0, 1]
    assert ops.power(a, b).data.dtype == dtype.numpy


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts_to_the_width_and_beyond(dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    x = constant(np.array([info.max, info.min, 3], dtype.numpy))
    for count in (0, 1, dtype.bits - 1, dtype.bits, dtype.bits + 1):
        by = constant(np.array(count, dtype.numpy))
        left = [(int(v) << count) % 2**dtype.bits for v in x.data]
        assert ops.shift_left(x, by).data.astype(f"u{dtype.itemsize}").tolist() == left
        assert ops.shift_right(x, by).data.tolist() == [int(v) >> count for v in x.data]
        assert ops.shift_left(x, by).data.dtype == dtype.numpy


def test_remainder_takes_the_sign_of_the_divisor() -> None:
    a, b = _double(5.5, -5.5, 5.5, -5.5, 1.0), _double(2.0, 2.0, -2.0, -2.0, 0.0)
    actual = ops.remainder(a, b).data
    np.testing.assert_array_equal(actual, [1.5, 0.5, -0.5, -1.5, NAN])


# ---- reductions ----------------------------------------------------------------------


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2)])
def test_product_with_zeros_to_third_order(zeros: tuple[int, ...]) -> None:
    x = np.array([0.7, -1.3, 2.1, 0.4])
    x[list(zeros)] = 0.0
    check_gradients(lambda x: [ops.reduce_prod(x, axes=(0,))], [x], order=3)


def test_extremes_share_among_ties() -> None:
    x = constant(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]))
    found = grad(lambda x: ops.reduce_sum(ops.reduce_max(x, axes=(1,)), axes=(0,)))(
        x
    ).data
    np.testing.assert_allclose(found, [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-15)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "argmax", "argmin"])
def test_extreme_of_nothing_is_refused(name: str) -> None:
    params: dict[str, Any] = {"axis": 0} if name.startswith("arg") else {"axes": (0,)}
    with pytest.raises(ShapeError, match="of no elements"):
        getattr(ops, name)(constant(np.zeros((0, 3))), **params)


def test_position_of_extremes_among_ties_and_not_a_number() -> None:
    x = constant(np.array([[1.0, 5.0, 5.0], [NAN, 9.0, NAN], [2.0, NAN, 1.0]]))
    assert ops.argmax(x, axis=1).data.tolist() == [1, 0, 1]
    assert ops.argmin(x, axis=1).data.tolist() == [0, 0, 1]


# ---- order ---------------------------------------------------------------------------


def test_argsort_is_stable_both_ways_with_not_a_number_last() -> None:
    x = constant(np.array([2.0, NAN, 1.0, 2.0, INF, NAN, -INF, 1.0]))
    ascending = ops.argsort(x, axis=0, descending=False).data.tolist()
    descending = ops.argsort(x, axis=0, descending=True).data.tolist()
    assert ascending == [6, 2, 7, 0, 3, 4, 1, 5]
    assert descending == [4, 0, 3, 2, 7, 6, 1, 5]


@pytest.mark.parametrize("descending", [False, True])
def test_argsort_of_every_integer_type(descending: bool) -> None:
    for dtype in INTEGERS:
        info = np.iinfo(dtype.numpy)
        x = np.array([info.max, 3, info.min, 3], dtype.numpy)
        order = ops.argsort(constant(x), axis=0, descending=descending).data
        assert order.dtype == np.int64
        expected = sorted(range(4), key=lambda i: int(x[i]), reverse=descending)
        assert order.tolist() == expected


# ---- indices -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_indices_of_every_integer_type(dtype: DType) -> None:
    x = np.arange(12.0).reshape(4, 3)
    numbers = [3, 0, 3] if dtype in UNSIGNED else [3, -4, -1]
    indices = constant(np.array(numbers, dtype.numpy))
    expected = x[np.array(numbers)]
    assert_close(ops.take(constant(x), indices, axis=0).data, expected)
    added = ops.scatter_add(constant(x), indices, constant(np.ones((3, 3))), axis=0)
    assert_close(added.data, x + np.array([[1.0], [0], [0], [2]]))
    column = constant(np.array(numbers, dtype.numpy)[:, None])
    along = ops.take_along_axis(constant(x[:, :1]), column, axis=0)
    assert_close(along.data, expected[:, :1])
    check_gradients(lambda x: [ops.take(x, indices, axis=0)], [x])
    check_gradients(lambda x: [ops.take_along_axis(x, column, axis=0)], [x[:, :1]])


@pytest.mark.parametrize("index", [4, -5])
def test_index_outside_is_refused(index: int) -> None:
    x, indices = constant(np.zeros((4, 1))), constant(np.array([[index]]))
    with pytest.raises(OutOfBoundsError, match="-4 to 3"):
        ops.take(x, indices, axis=0)
    with pytest.raises(OutOfBoundsError, match="-4 to 3"):
        ops.take_along_axis(x, indices, axis=0)
    with pytest.raises(OutOfBoundsError, match="-4 to 3"):
        ops.scatter_add(x, indices, constant(np.zeros((1, 1, 1))), axis=0)
    with pytest.raises(DTypeError, match="must be integers"):
        ops.take(x, constant(0.5), axis=0)


@pytest.mark.parametrize(
    ("shape", "axis"), list(itertools.product([(), (2,), (2, 3)], [0, 1, 2]))
)
def test_index_rules_with_both_batched(shape: tuple[int, ...], axis: int) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(5, 4, 3, 2))
    length = x.shape[1 + axis]
    indices = random.integers(-length, length, (5, *shape))
    taken = vmap(lambda x, i: ops.take(x, i, axis=axis))(x, indices)
    rows = [np.take(a, i, axis=axis) for a, i in zip(x, indices, strict=True)]
    assert_close(taken.data, np.stack(rows))
    updates = random.normal(size=np.stack(rows).shape)
    added = vmap(lambda x, i, u: ops.scatter_add(x, i, u, axis=axis))(
        x, indices, updates
    )
    expected = x.copy()
    for row, i, u in zip(expected, indices, updates, strict=True):
        np.add.at(row, (slice(None),) * axis + (i,), u)
    assert_close(added.data, expected)


def test_scatter_adds_duplicates_in_order() -> None:
    x, updates = np.zeros(2, np.float32), np.array([1e8, 1.0, -1e8], np.float32)
    added = ops.scatter_add(
        constant(x), constant(np.array([1, 1, -1])), constant(updates), axis=0
    )
    assert added.data.tolist() == [0.0, 0.0]  # 1e8 + 1 is 1e8 in float32


# ---- movement ------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 2, 5])
@pytest.mark.parametrize("low", [0, 2])
@pytest.mark.parametrize("high", [0, 3])
@pytest.mark.parametrize("interior", [0, 1, 3])
def test_padding_of_every_kind(length: int, low: int, high: int, interior: int) -> None:
    x = np.arange(1.0, length + 1)
    widths = {"low": (low,), "high": (high,), "interior": (interior,)}
    between = [[number, *[9.0] * interior] for number in x]
    middle = [n for part in between for n in part][
        : max((interior + 1) * length - interior, 0)
    ]
    expected = [9.0] * low + middle + [9.0] * high
    actual = ops.pad(constant(x), constant(9.0), **widths)
    assert actual.data.tolist() == expected
    check_gradients(lambda x, f: [ops.pad(x, f, **widths)], [x, np.array(9.0)])


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 1, 4])
@pytest.mark.parametrize("stop", [4, 5, 7])
def test_gradient_of_every_slice(start: int, stop: int, step: int) -> None:
    x = np.arange(7.0)
    found = jacobian(
        lambda x: ops.slice_(x, start=(start,), stop=(stop,), step=(step,))
    )(constant(x)).data
    np.testing.assert_array_equal(found, np.eye(7)[start:stop:step])


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (lambda x: ops.reshape(x, shape=(5,)), "keeps the number"),
        (lambda x: ops.reshape(x, shape=(-2, -3)), "keeps the number"),
        (lambda x: ops.permute_dims(x, axes=(0, 0)), "every axis once"),
        (lambda x: ops.broadcast_to(x, shape=(3, 3)), "broadcast"),
        (lambda x: ops.broadcast_to(x, shape=(3,)), "broadcast"),
        (lambda x: ops.slice_(x, start=(0, 0), stop=(3, 3), step=(1, 1)), "length"),
        (lambda x: ops.slice_(x, start=(0,), stop=(2,), step=(1,)), "every axis"),
        (lambda x: ops.pad(x, 0.0, low=(1,), high=(1,), interior=(1,)), "every axis"),
        (
            lambda x: ops.pad(x, 0.0, low=(-1, 0), high=(0, 0), interior=(0, 0)),
            "negative",
        ),
        (
            lambda x: ops.concatenate(x, ops.reshape(x, shape=(6,)), axis=0),
            "may differ",
        ),
        (lambda x: ops.add(x, constant(np.zeros(2))), "broadcast"),
        (lambda x: ops.contract(x, x, sums=((1,), (0,)), batch=((), ())), "different"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    apply: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        apply(constant(np.zeros((2, 3))))


def test_dtypes_that_do_not_fit_are_refused() -> None:
    whole, real = constant(np.arange(3)), constant(np.zeros(3))
    for apply in (
        lambda: ops.add(whole, real),
        lambda: ops.exp(whole),
        lambda: ops.bitwise_and(real, real),
        lambda: ops.where(real, real, real),
        lambda: ops.logical_not(whole),
        lambda: ops.bitcast(real, dtype=whole.spec.dtype.__class__("int32", "i", 32)),
        lambda: ops.concatenate(whole, real, axis=0),
    ):
        with pytest.raises(DTypeError):
            apply()


# ---- products ------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_contraction_pairs_axes_in_any_order(order: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    a = random.normal(size=(2, 3, 4, 5, 6))  # axes: i, j, k, l, m
    b = random.normal(size=(7, *(a.shape[1 + axis] for axis in order), 6))
    right = tuple(1 + order.index(axis) for axis in range(3))
    sums, batch = ((1, 2, 3), right), ((4,), (4,))
    letters = "jkl"
    text = f"ijklm,n{''.join(letters[axis] for axis in order)}m->min"
    actual = ops.contract(constant(a), constant(b), sums=sums, batch=batch).data
    assert_close(actual, np.einsum(text, a, b))
    shuffled = tuple(
        zip(*sorted(zip(*sums, strict=True), key=lambda pair: pair[1]), strict=True)
    )
    check_gradients(
        lambda a, b: [ops.contract(a, b, sums=shuffled, batch=batch)], [a, b]
    )
