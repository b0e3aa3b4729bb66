"""Single batches are answered fast, and never by what has changed since."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import layers
from chainrule.errors import DataError

Array = np.ndarray[Any, Any]


def made(*parts: Any) -> Any:
    model = chainrule.Sequential([layers.Input((4,)), *parts])
    model.compile("sgd", "mse")
    return model


def rows(count: int) -> Array:
    return np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)


def check(model: Any, x: Array) -> None:
    """The answer is what the layers give now."""
    expected = x
    for layer in model.layers:
        expected = layer(expected)
    np.testing.assert_allclose(model.predict_on_batch(x), expected.numpy(), rtol=1e-5)


def test_the_second_answer_looks_at_nothing_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = made(layers.Dense(3, "tanh"), layers.Dense(2))
    check(model, rows(1))
    first = model._answers
    monkeypatch.setattr(
        "chainrule.models.batches.Preparation", lambda *_: pytest.fail("prepared again")
    )
    for count in (1, 5, 1):
        check(model, rows(count))
    assert model._answers is first


def test_weights_that_changed_are_seen() -> None:
    model = made(layers.Dense(3), layers.BatchNormalization(), layers.Dense(2))
    check(model, rows(2))
    model.layers[0].kernel.assign(np.ones((4, 3), np.float32))
    check(model, rows(2))
    model.fit(rows(8), np.ones((8, 2), np.float32), epochs=2, verbose=0)
    check(model, rows(2))
    model.set_weights([w * 2 for w in model.get_weights()])
    check(model, rows(2))


def test_layers_that_changed_are_seen() -> None:
    model = made(layers.Dense(3), layers.Dense(2))
    check(model, rows(2))
    model.add(layers.Dense(5))
    check(model, rows(2))
    model.pop()
    check(model, rows(2))


def test_other_arrays_are_prepared_as_ever() -> None:
    model = made(layers.Dense(2))
    kept = model.predict_on_batch(rows(3))
    for other in (rows(3).astype(np.float64), rows(3).tolist(), rows(6)[::2]):
        model.predict_on_batch(rows(1))
        model.predict_on_batch(other)
    np.testing.assert_array_equal(model.predict_on_batch(rows(3)), kept)
    for wrong in (np.full((1, 4), np.nan, np.float32), rows(3)[:, :2]):
        with pytest.raises((DataError, chainrule.errors.ShapeError)):
            model.predict_on_batch(wrong)
    np.testing.assert_array_equal(model.predict_on_batch(rows(3)), kept)


def test_several_threads_get_their_own_answers() -> None:
    model = made(layers.Dense(16, "relu"), layers.Dense(2))
    given = [rows(count) for count in (1, 2, 3, 4)]
    expected = [model.predict_on_batch(x) for x in given]
    wrong: list[int] = []

    def ask(place: int) -> None:
        for _ in range(30):
            if not np.array_equal(
                model.predict_on_batch(given[place]), expected[place]
            ):
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
