"""Windows that overlap are views: they are trained on without being copied."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import chainrule as cr
from chainrule import layers
from chainrule.loops import Columns, Loop


def windows_of(shape: tuple[int, ...], length: int, dtype: str) -> Any:
    """All windows of so many steps, steps in front of what each step has."""
    series = np.random.default_rng(0).integers(0, 50, shape).astype(dtype)
    return np.moveaxis(sliding_window_view(series, length, axis=0), -1, 1)


@pytest.mark.parametrize("backend", ["native", "interpret"])
@pytest.mark.parametrize(
    ("shape", "length", "dtype"),
    [((23,), 5, "uint8"), ((40, 3), 7, "float32"), ((9, 2, 2), 2, "int64")],
)
def test_rows_are_those_of_a_copy(
    shape: tuple[int, ...], length: int, dtype: str, backend: str
) -> None:
    view = windows_of(shape, length, dtype)[2:]
    assert Columns.of(view)[1].window == length
    order = np.array([3, 0, len(view) - 1, 1, 1])
    found = []
    for data in (view, np.ascontiguousarray(view)):
        loop = Loop(lambda count, row: (count + 1, row), backend=backend)
        loop.begin(cr.asarray(0), data)
        found.append(loop.run(order, 2).numpy())
    assert (found[0] == view[order]).all()
    assert (found[1] == found[0]).all()


def test_other_arrays_are_taken_as_they_are() -> None:
    series = np.arange(12.0)
    plain = [
        series,
        series.reshape(3, 4),
        series.reshape(3, 4).T,
        np.broadcast_to(series, (5, 12)),
        sliding_window_view(series, 1),
        sliding_window_view(series, 12),
        sliding_window_view(series, 4)[::2],
        sliding_window_view(series, 4)[:, ::-1],
        sliding_window_view(series, 4)[:0],
    ]
    assert all(Columns.of(array)[1].window == 0 for array in plain)
    cut = sliding_window_view(series, 4)[2:7, :3]
    array, columns = Columns.of(cut)
    assert (array.tolist(), columns.window) == (series[2:9].tolist(), 3)


def network() -> Any:
    """From each token to logits of the next."""
    with cr.random.stream(cr.random.key(0)):
        tokens = layers.Input((64,), dtype="int32")
        model = cr.Sequential([tokens, layers.Embedding(50, 4), layers.Dense(50)])
    loss = cr.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def test_fit_on_windows_is_fit_on_copies() -> None:
    text = np.random.default_rng(1).integers(0, 50, 500).astype(np.uint8)
    view = sliding_window_view(text, 65)
    histories = []
    for data in (view, view.copy()):
        x, y = data[:, :-1], data[:, 1:]
        options: Any = {"batch_size": 32, "epochs": 2, "seed": 0, "verbose": 0}
        found = network().fit(x, y, validation_split=0.1, **options)
        histories.append(found.history)
    assert histories[0] == histories[1]


def test_windows_take_no_memory() -> None:
    text = np.random.default_rng(1).integers(0, 50, 300_000).astype(np.uint8)
    view = sliding_window_view(text, 65)
    x, y = view[:, :-1], view[:, 1:]
    model = network()
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=4, steps_per_epoch=2, seed=0, verbose=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 2
