"""Orders of rows: native code draws what NumPy defines."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import native_orders, random_orders
from chainrule.compiler.native_orders import draw_orders
from chainrule.compiler.orders import reference_orders

KEYS = ((0, 0), (1, 2), (0xFFFFFFFF, 0x80000000))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 15, 16, 17, 31, 33, 1000, 4097])
def test_native_orders_are_those_of_the_definition(rows: int, threads: int) -> None:
    for turns in (range(0), range(1), range(3, 10), range(2**32 - 3, 2**32)):
        for key in KEYS:
            wanted = reference_orders(key, turns, rows)
            found = draw_orders(key, turns, rows, threads)
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found, wanted)


def test_many_rows_share_few_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_orders, "MOST_BITS", 4)
    wanted = reference_orders((5, 6), range(2), 3001)
    np.testing.assert_array_equal(draw_orders((5, 6), range(2), 3001), wanted)


@pytest.mark.parametrize("guard", [7, 8])
def test_nothing_is_written_outside(
    guard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rooms between zones of a known value; 1001 rows leave a part of a vector."""
    rooms: list[np.ndarray] = []

    def zoned(nbytes: int) -> np.ndarray:
        room = np.full(nbytes + 128 * guard, 0xA5, np.uint8)
        rooms.append(room)
        start = 64 * guard - room.ctypes.data % 64
        return room[start : start + nbytes]

    monkeypatch.setattr(native_orders, "aligned", zoned)
    draw_orders((1, 2), range(5), 1001, 2)
    assert len(rooms) == 2
    for room in rooms:
        assert (room[: 64 * guard - 64] == 0xA5).all()
        assert (room[-64 * guard :] == 0xA5).all()


def test_every_order_holds_every_row_once() -> None:
    orders = random_orders((3, 4), range(4), 5000)
    assert (np.sort(orders, axis=1) == np.arange(5000)).all()
    assert len({tuple(order[:8]) for order in orders}) == 4


def test_backends_agree() -> None:
    for rows in (5, 5000):
        one, other = (
            random_orders((3, 4), range(2), rows, backend)
            for backend in ("native", "interpret")
        )
        np.testing.assert_array_equal(one, other)
