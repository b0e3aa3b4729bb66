"""Infinities, kinks, ties and large arguments: values and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from tests.tolerances import assert_close

INF = math.inf
BIG = 1e30


def slopes(function: Any, *points: float) -> list[float]:
    """The derivative at each point."""
    x = cr.asarray(list(points))
    gradient: list[float] = cr.grad(lambda x: cr.sum(function(x)))(x).tolist()
    return gradient


def second(function: Any, point: float) -> float:
    """The second derivative."""
    return float(cr.grad(cr.grad(function))(cr.asarray(point, dtype="float64")))


def test_softmax_family_with_infinities_and_large_numbers() -> None:
    rows = cr.asarray([[0.0, -INF], [1000.0, 1000.0], [-1000.0, 0.0]])
    assert_close(cr.softmax(rows), np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32))
    half = math.log(0.5)
    expected = np.array([[0, -INF], [half, half], [-1000, 0]], np.float32)
    assert_close(cr.log_softmax(rows), expected)
    assert_close(
        cr.logsumexp(rows, axis=1), np.array([0, 1000 + math.log(2), 0], np.float32)
    )
    gradient = cr.grad(lambda x: cr.sum(cr.log_softmax(x)[:, 1][1:]))(rows)
    assert np.isfinite(gradient.numpy()).all()


def test_logsumexp_of_minus_infinities() -> None:
    rows = cr.asarray([[-INF, -INF], [0.0, -INF], [INF, 0.0]])
    assert cr.logsumexp(rows, axis=1).tolist() == [-INF, 0.0, INF]
    gradient = cr.grad(lambda x: cr.logsumexp(x, axis=1)[:2].sum())(rows)
    assert gradient[:2].tolist() == [[0, 0], [1, 0]]
    assert cr.logsumexp(cr.asarray([INF, -INF])).item() == INF


def test_logaddexp_and_hypot_at_the_ends() -> None:
    pairs = [(-INF, -INF), (INF, INF), (INF, -INF), (0.0, -INF), (BIG, -BIG)]
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        assert_close(cr.logaddexp(a, b), np.logaddexp(a, b))
    assert_close(cr.hypot(a, b), np.hypot(a, b))
    nan = math.nan
    assert cr.hypot([nan, nan, 0.0], [1.0, INF, 0.0]).numpy().tolist()[1:] == [INF, 0.0]
    assert math.isnan(cr.logaddexp(nan, 1.0).item())
    both = cr.grad(lambda x, y: cr.logaddexp(x, y), argnums=(0, 1))
    assert [g.item() for g in both(-INF, 0.0)] == [0, 1]
    assert [g.item() for g in both(0.0, 0.0)] == [0.5, 0.5]
    length = cr.grad(lambda x, y: cr.hypot(x, y), argnums=(0, 1))
    assert [g.item() for g in length(0.0, 0.0)] == [0, 0]
    assert [round(g.item(), 6) for g in length(3.0, -4.0)] == [0.6, -0.8]
    equal = [round(g.item(), 6) for g in length(2.0, 2.0)]
    assert equal == [round(math.sqrt(0.5), 6)] * 2


@pytest.mark.parametrize(
    ("function", "left", "at_0", "right"),
    [
        (cr.relu, 0.0, 0.0, 1.0),
        (cr.leaky_relu, 0.2, 0.2, 1.0),
        (cr.abs, -1.0, 0.0, 1.0),
        (cr.softsign, 0.25, 1.0, 0.25),
        (cr.relu6, 0.0, 0.0, 1.0),
        (lambda x: cr.clip(x, 0, 5), 0.0, 1.0, 1.0),
        (lambda x: cr.maximum(x, 0.0), 0.0, 0.5, 1.0),
    ],
)
def test_slopes_at_a_kink(
    function: Any, left: float, at_0: float, right: float
) -> None:
    assert slopes(function, -1.0, 0.0, 1.0) == pytest.approx([left, at_0, right])


@pytest.mark.parametrize(
    "function",
    [
        cr.sigmoid,
        cr.log_sigmoid,
        cr.softplus,
        cr.tanh,
        cr.silu,
        cr.mish,
        cr.gelu,
        lambda x: cr.gelu(x, approximate=True),
        cr.elu,
        cr.selu,
        cr.celu,
        cr.softsign,
        cr.hard_silu,
        cr.erf,
    ],
)
def test_activations_far_out_have_no_nan(function: Any) -> None:
    points = [-BIG, -1e4, -100.0, 100.0, 1e4]
    assert not np.isnan(cr.asarray(function(cr.asarray(points))).numpy()).any()
    assert np.isfinite(slopes(function, *points)).all()


def test_second_derivatives_at_0_where_formulas_branch() -> None:
    assert second(cr.softplus, 0.0) == pytest.approx(0.25)
    assert second(cr.log_sigmoid, 0.0) == pytest.approx(-0.25)
    assert second(lambda x: cr.logaddexp(x, 0.0), 0.0) == pytest.approx(0.25)
    assert second(lambda x: cr.logaddexp(x, x), 0.0) == pytest.approx(0.0)
    assert second(cr.square, 0.0) == pytest.approx(2.0)
    assert second(lambda x: cr.pow(x, 2), 0.0) == pytest.approx(2.0)


def test_roots_of_0() -> None:
    zero = cr.zeros(3)
    for function in (
        cr.vector_norm,
        lambda x: cr.vector_norm(x, ord=3),
        lambda x: cr.vector_norm(x, ord=1),
        lambda x: cr.matrix_norm(cr.reshape(x, (1, 3))),
        cr.std,
    ):
        assert function(zero).item() == 0
        assert cr.grad(function)(zero).tolist() == [0, 0, 0]
    # the root itself keeps its infinite slope
    assert slopes(cr.sqrt, 0.0) == [INF]


def test_norms_of_numbers_whose_squares_overflow() -> None:
    x = cr.asarray([3e30, 4e30])
    assert cr.vector_norm(x).item() == pytest.approx(5e30)
    assert cr.grad(cr.vector_norm)(x).tolist() == pytest.approx([0.6, 0.8])
    assert cr.vector_norm(cr.asarray([3e-30, 4e-30])).item() == pytest.approx(5e-30)
    assert cr.vector_norm([1.0, INF]).item() == INF
    assert cr.vector_norm(cr.zeros((2, 0)), axis=1).tolist() == [0, 0]
    assert cr.vector_norm([0.0, 2.0], ord=-1).item() == 0


def test_where_keeps_gradients_of_what_is_not_chosen_out() -> None:
    def f(x: Any) -> Any:
        return cr.where(x > 0, cr.log(cr.where(x > 0, x, 1)), 0)

    assert slopes(f, 0.0, -1.0, 2.0) == [0, 0, 0.5]


def test_not_a_number_is_not_hidden() -> None:
    nan = cr.asarray([math.nan, 1.0])
    for function in (cr.relu, cr.relu6, cr.leaky_relu, cr.abs, cr.sign, cr.hard_tanh):
        assert math.isnan(function(nan)[0].item()), function
    for reduction in (cr.max, cr.min, cr.sum, cr.mean, cr.prod):
        assert math.isnan(reduction(nan).item()), reduction
    assert math.isnan(cr.clip(nan, 0, 1)[0].item())
    assert math.isnan(cr.maximum(nan, 0)[0].item())


def test_products_and_extremes_share_their_gradients() -> None:
    x = cr.asarray([0.0, 3.0, 5.0])
    assert cr.grad(cr.prod)(x).tolist() == [15, 0, 0]
    assert cr.grad(cr.prod)(cr.asarray([0.0, 0.0, 5.0])).tolist() == [0, 0, 0]
    ties = cr.asarray([2.0, 2.0, 1.0])
    assert cr.grad(cr.max)(ties).tolist() == [0.5, 0.5, 0]
    last = cr.grad(lambda x: cr.cumulative_prod(x)[-1])(x)
    assert last.tolist() == [15, 0, 0]


def test_variance_far_from_0_is_exact() -> None:
    x = cr.asarray([1e6 + 1, 1e6 + 3])
    assert cr.var(x).item() == 1.0
    assert math.isnan(cr.var(cr.ones(1), correction=1).item())
    assert math.isnan(cr.mean(cr.zeros(0)).item())


def test_logarithms_of_powers_are_whole() -> None:
    powers = 2.0 ** np.arange(-20, 21)
    for dtype in (np.float32, np.float64):
        assert_close(cr.log2(powers.astype(dtype)), np.arange(-20, 21).astype(dtype))


def test_neighbours_in_floating_point() -> None:
    edges = [0.0, -0.0, 1.0, -1.0, INF, -INF, 5e-324, 1.7976931348623157e308, math.nan]
    a, b = (x.ravel() for x in np.meshgrid(edges, edges))
    for dtype in (np.float32, np.float64):
        with np.errstate(all="ignore"):
            x, y = a.astype(dtype), b.astype(dtype)
            found, right = cr.nextafter(x, y).numpy(), np.nextafter(x, y)
            np.testing.assert_array_equal(found, right)
            known = ~np.isnan(right)
            np.testing.assert_array_equal(
                np.signbit(found)[known], np.signbit(right)[known]
            )
            np.testing.assert_array_equal(cr.signbit(x)[known], np.signbit(x)[known])
            copied = cr.copysign(x, y).numpy()
            np.testing.assert_array_equal(copied[known], np.copysign(x, y)[known])


def test_integers_pass_through_rounding_and_questions() -> None:
    x = cr.asarray([-3, 0, 2], dtype="int8")
    for function in (cr.floor, cr.ceil, cr.trunc, cr.round):
        assert function(x).dtype == "int8"
    assert cr.isnan(x).tolist() == cr.isinf(x).tolist() == [False] * 3
    assert cr.isfinite(x).tolist() == [True] * 3
    assert cr.signbit(x).tolist() == [True, False, False]
    assert cr.square(x).tolist() == [9, 0, 4]


def test_one_hot() -> None:
    assert cr.one_hot([[1], [0]], 2, axis=0).shape == (2, 2, 1)
    assert cr.one_hot([-1, 3], 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    narrow = cr.asarray([255], dtype="uint8")
    assert cr.argmax(cr.one_hot(narrow, 300)).item() == 255
    assert cr.one_hot([1], 2, dtype="bool").tolist() == [[False, True]]


def test_sorting_with_ties_and_nan() -> None:
    x = cr.asarray([2.0, math.nan, 1.0, 2.0])
    assert cr.argsort(x).tolist() == [2, 0, 3, 1]
    assert cr.argsort(x, descending=True).tolist() == [0, 3, 2, 1]
    gradient = cr.grad(lambda x: cr.sum(cr.sort(x) * cr.arange(3)))
    assert gradient(cr.asarray([3.0, 1.0, 2.0])).tolist() == [2, 0, 1]
    positions = cr.searchsorted([5, 1, 3], [2, 9], sorter=[1, 2, 0])
    assert positions.tolist() == [1, 3]
    assert cr.searchsorted(cr.zeros(0), [1.0]).tolist() == [0]
