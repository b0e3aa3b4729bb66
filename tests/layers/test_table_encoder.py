"""Tables at the front of a model: encoding, models around it, saving."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.errors import ArgumentError, ChainruleError, DataError, TraceError

ROWS = {
    "age": [20, 30, None, 40],
    "job": ["cook", "nurse", "cook", None],
    "since": ["2020-01-01", "2021-06-15", None, "2022-12-31"],
}


def adapted(data: Any = None, **kinds: str) -> layers.TableEncoder:
    encoder = layers.TableEncoder(name="rows")
    encoder.adapt(ROWS if data is None else data, kinds or None)
    return encoder


def test_numbers_flags_and_codes() -> None:
    encoder = adapted(age="number", job="category")
    assert (encoder.numbers, encoder.flags, encoder.cardinalities) == (1, 1, [4])
    found = encoder({"job": ["nurse", "pilot", None], "age": [40, None, 1000]})
    half = np.sqrt(1.5)
    np.testing.assert_allclose(
        found, [[half, 0, 3], [0, 1, 1], [half, 0, 0]], rtol=1e-6
    )


def test_names_decide_not_order_and_kinds_of_data_do_not_matter() -> None:
    encoder = adapted()
    expected = encoder(ROWS)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS)[["since", "job", "age"]].assign(more=1)
    np.testing.assert_array_equal(encoder(frame), expected)
    text = {
        name: [None if v is None else str(v) for v in column]
        for name, column in ROWS.items()
    }
    np.testing.assert_array_equal(encoder(text), expected)


def test_dates_become_parts_that_differ() -> None:
    encoder = adapted(since="date")
    names = [part["name"] for part in encoder.columns[0]["parts"]]
    assert "elapsed" in names
    assert not any(name.startswith("hour") for name in names)
    assert np.isfinite(encoder({"since": [None, "2031-01-01", "nonsense"]})).all()


def test_skewed_numbers_become_normal_ones() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=2000) * 2)
    encoder = adapted({"x": values})
    found = encoder({"x": values})[:, 0]
    assert abs(found.mean()) < 1e-3
    assert abs(found.std() - 1) < 1e-3
    assert np.abs(found).max() < 5
    assert np.all(np.diff(encoder({"x": np.sort(values)})[:, 0]) >= 0)


def test_far_and_infinite_numbers_stay_in_the_range() -> None:
    encoder = adapted({"x": [1.0, 2.0, 3.0]})
    low, high = encoder({"x": [-np.inf, 1e300]})[:, 0]
    assert (low, high) == tuple(encoder({"x": [1.0, 3.0]})[:, 0])


def test_columns_without_any_value_are_zeros() -> None:
    encoder = adapted({"x": [np.nan, np.nan], "t": [None, None]})
    assert np.isfinite(encoder({"x": [np.nan, 5.0], "t": [None, "new"]})).all()


def test_missing_columns_and_other_things_are_refused() -> None:
    encoder = adapted()
    with pytest.raises(DataError, match="lacks 2 of the columns") as caught:
        encoder({"age": [1]})
    assert "job, since" in str(caught.value)
    with pytest.raises(DataError):
        encoder(3)
    with pytest.raises(ArgumentError, match="of no kind"):
        adapted(age="shape")
    with pytest.raises(ArgumentError, match="describes no column"):
        layers.TableEncoder([{"name": "x", "kind": "shape"}])
    with pytest.raises(TraceError):
        cr.jit(lambda x: encoder(x))(np.zeros(3))


def test_the_config_is_all_that_was_learnt() -> None:
    encoder = adapted()
    config = json.loads(json.dumps(layers.serialize(encoder)))
    again = layers.deserialize(config)
    np.testing.assert_array_equal(again(ROWS), encoder(ROWS))
    assert layers.serialize(again) == layers.serialize(encoder)


def network() -> cr.Sequential:
    encoder = adapted()
    features = layers.TableFeatures(
        encoder.numbers,
        encoder.flags,
        encoder.cardinalities,
        edges=[[-1.0, 0.0, 1.0]] * encoder.numbers,
    )
    return cr.Sequential([encoder, features, layers.Dense(1, "sigmoid")])


def test_a_model_takes_raw_rows_and_keeps_that_when_saved(tmp_path: Path) -> None:
    model = network()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    before = model.predict(ROWS, verbose=0)
    history = model.fit(
        ROWS, [0, 1, 0, 1], epochs=3, validation_data=(ROWS, [0, 1, 0, 1]), verbose=0
    )
    assert len(history.history["val_loss"]) == 3
    after = model.predict(ROWS, verbose=0)
    assert np.any(before != after)
    np.testing.assert_allclose(model(ROWS).numpy(), after, rtol=1e-6)
    assert len(model.evaluate(ROWS, [0, 1, 0, 1], verbose=0)) == 2
    loaded = cr.load_model(model.save(tmp_path / "m.chainrule"))
    np.testing.assert_array_equal(loaded.predict(ROWS, verbose=0), after)


def test_host_layers_lead_also_in_nested_models() -> None:
    inner = network()
    outer = cr.Sequential([inner, layers.Dense(2)])
    expected = outer.predict(ROWS, verbose=0)
    np.testing.assert_allclose(outer(ROWS).numpy(), expected, rtol=1e-6)
    with pytest.raises(ChainruleError, match="comes first"):
        cr.Sequential([layers.Dense(2, input_shape=(3,)), adapted()])


def test_tables_of_many_categories_are_learnt() -> None:
    features = layers.TableFeatures(0, cardinalities=[100, 4], most_indicators=32)
    found = features([[7.0, 3.0], [0.0, 0.0]]).numpy()
    width = features.weights[0].shape[1]
    np.testing.assert_array_equal(found[:, :3], [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found[0, 3:], features.weights[0].numpy()[7])
    assert found.shape == (2, 3 + width)
