"""Tables and files in memory as data: the same numbers as from arrays."""

import numpy as np
import pytest

import chainrule
from chainrule import Input, Model, Sequential
from chainrule.errors import DataError
from chainrule.layers import Dense
from chainrule.training.data import to_array

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = X.sum(axis=1)
NAMES = ["a", "b", "c"]


def fit(x, y):
    chainrule.set_seed(0)
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0, seed=0)
    return [weight.tobytes() for weight in model.get_weights()]


def frame(**options):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=NAMES, **options)


def test_pandas_tables_and_columns():
    pandas = pytest.importorskip("pandas")
    expected = fit(X, Y)
    assert fit(frame(), pandas.Series(Y)) == expected
    shuffled = frame(index=range(100, 140))  # the index says nothing
    assert fit(shuffled, pandas.DataFrame({"y": Y})) == expected
    nullable = frame().astype("Float32")
    assert fit(nullable, pandas.Series(Y, dtype="Float32")) == expected


def test_missing_values_of_pandas_are_told():
    table = frame().astype("Float32")
    table.iloc[3, 1] = None
    with pytest.raises(DataError, match="1 NaN"):
        fit(table, Y)


def test_arrow_tables_and_columns():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({name: X[:, i] for i, name in enumerate(NAMES)})
    target = arrow.chunked_array([Y[:25], Y[25:]])
    assert fit(table, target) == fit(X, Y)
    assert fit(table.to_batches()[0], arrow.array(Y)) == fit(X, Y)


def test_files_in_memory_are_not_copied(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    mapped = np.load(path, mmap_mode="r")
    assert to_array(mapped, "x")[0].base is not None
    assert np.shares_memory(to_array(mapped, "x")[0], mapped)
    assert fit(mapped, Y) == fit(X, Y)


def test_columns_are_inputs_by_name():
    pytest.importorskip("pandas")
    inputs = {name: Input((1,), name=name) for name in NAMES}
    total = inputs["a"] + inputs["b"] + inputs["c"]
    model = Model(inputs, Dense(1)(total))
    model.compile("adam", "mse")
    losses = model.fit(dict(frame()), Y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.predict(dict(frame()), verbose=0).shape == (40, 1)
