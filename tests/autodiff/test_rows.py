"""Gradients that are kept by rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff import checkpoint, value_and_grad
from chainrule.autodiff.rows import RowGradient, dense
from chainrule.autodiff.transforms import value_and_row_grad
from chainrule.errors import ChainruleError
from tests.tolerances import assert_close

IDS = np.array([[3, 1], [3, -1]])
TABLE = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")


def looked_up(table: Any) -> Any:
    return cr.sum(cr.take(table, cr.asarray(IDS), axis=0) ** 3)


def twice(table: Any) -> Any:
    return looked_up(table) + cr.sum(cr.sin(cr.take(table, cr.asarray([0, 3]), axis=0)))


def with_all(table: Any) -> Any:
    return looked_up(table) + cr.sum(table**2)


def in_another_order(table: Any) -> Any:
    return cr.sum(table**2) + looked_up(table)


def columns(table: Any) -> Any:
    return cr.sum(cr.take(table, cr.asarray([0, 0]), axis=1) ** 2)


def by_checkpoint(table: Any) -> Any:
    return checkpoint(looked_up)(table)


def not_at_all(table: Any) -> Any:
    return cr.sum(cr.asarray([1.0, 2.0]))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("function", "by_rows"),
    [
        (looked_up, 4),
        (twice, 6),
        (not_at_all, 0),
        (with_all, None),
        (in_another_order, None),
        (columns, None),
        (by_checkpoint, None),
    ],
)
def test_rows_are_the_gradient_of_a_table(
    function: Any, by_rows: int | None, compiled: bool
) -> None:
    def both(table: Any) -> Any:
        value, (gradient,) = value_and_row_grad(lambda t: function(t[0]), [True])(
            [table]
        )
        assert isinstance(gradient, RowGradient) == (by_rows is not None)
        if isinstance(gradient, RowGradient):
            assert gradient.values.shape == (by_rows, 2)
            assert gradient.shape == (6, 2)
        return value, dense(gradient)

    run = cr.jit(both) if compiled else both
    value, gradient = run(cr.asarray(TABLE))
    wanted, whole = value_and_grad(function)(cr.asarray(TABLE))
    assert_close(value.numpy(), wanted.numpy())
    assert_close(gradient.numpy(), whole.numpy())


def test_others_get_whole_gradients() -> None:
    def function(tables: Any) -> Any:
        return looked_up(tables[0]) + looked_up(tables[1])

    tables = [cr.asarray(TABLE), cr.asarray(TABLE)]
    _, (rows, whole) = value_and_row_grad(function, [True])(tables)
    assert isinstance(rows, RowGradient)
    assert_close(rows.dense().numpy(), whole.numpy())


def test_a_gradient_by_rows_has_a_gradient_itself() -> None:
    def slope(table: Any) -> Any:
        _, (gradient,) = value_and_row_grad(lambda t: looked_up(t[0]), [True])([table])
        return cr.sum(gradient.values**2)

    def wanted(table: Any) -> Any:
        rows = cr.take(table, cr.asarray(IDS), axis=0)
        return cr.sum((3 * rows**2) ** 2)

    found = cr.grad(slope)(cr.asarray(TABLE))
    assert_close(found.numpy(), cr.grad(wanted)(cr.asarray(TABLE)).numpy())


def test_it_is_multiplied_by_numbers() -> None:
    _, (g,) = value_and_row_grad(lambda t: looked_up(t[0]), [True])([TABLE])
    whole = g.dense().numpy()
    two = cr.asarray(2.0)
    for found, wanted in (
        (2 * g, 2 * whole),
        (g * two, 2 * whole),
        (two * g, 2 * whole),
        (np.float32(2) * g, 2 * whole),
        (g / 2, whole / 2),
        (-g, -whole),
    ):
        assert isinstance(found, RowGradient)
        assert found.dtype is g.dtype
        assert_close(found.dense().numpy(), wanted)
    for other in (cr.ones((6, 2)), g, np.ones(2)):
        with pytest.raises(ChainruleError, match="by numbers only"):
            g * other
    for function in (cr.sum, np.asarray, cr.square):
        with pytest.raises(ChainruleError, match=r"gradient\.dense\(\)"):
            function(g)
    assert repr(g) == "<RowGradient of 4 rows for float32[6, 2]>"
