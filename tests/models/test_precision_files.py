"""Models and weights of 16 bits in files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.ir.dtype import as_array, bfloat16, widen
from chainrule.training.saving import pack_arrays, unpack_arrays

X = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
Y = X[:, :2].argmax(-1)


@pytest.fixture(autouse=True)
def the_policy_is_put_back() -> Iterator[None]:
    yield
    cr.set_dtype_policy("float32")


def network(policy: str) -> Any:
    cr.set_dtype_policy(policy)
    cr.set_seed(1)
    hidden = layers.Dense(8, activation="relu", name="hidden")
    last = layers.Dense(2, name="last")
    model = cr.Sequential([layers.Input((5,)), hidden, last])
    loss = cr.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_a_loaded_model_goes_on_with_the_same_bits(tmp_path: Path, policy: str) -> None:
    model = network(policy)
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0, seed=1)
    path = model.save(tmp_path / "model.chainrule")
    cr.set_dtype_policy("float32")
    again = cr.load_model(path)
    assert [x.dtype_policy.name for x in again.layers] == [policy] * 2
    assert [v.dtype for v in again.weights] == [v.dtype for v in model.weights]
    for each in (model, again):
        each.fit(X, Y, epochs=2, batch_size=16, verbose=0, seed=2)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        assert ours.stored().tobytes() == theirs.stored().tobytes()
    np.testing.assert_array_equal(
        model.predict(X, verbose=0), again.predict(X, verbose=0)
    )


def test_safetensors_say_what_they_are() -> None:
    arrays = {
        "half": as_array([[1.0, 2.5], [np.inf, 1e-40]], bfloat16),
        "other": np.array([1.5], np.float16),
        "none": as_array(np.zeros((0, 3)), bfloat16),
        "mask": np.array([True, False]),
        "wide": np.arange(3.0),
    }
    packed = pack_arrays(arrays)
    header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
    kinds = {name: part["dtype"] for name, part in header.items()}
    assert kinds == {
        "half": "BF16",
        "other": "F16",
        "none": "BF16",
        "mask": "BOOL",
        "wide": "F64",
    }
    found = unpack_arrays(packed, "file")
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_weights_of_16_bits_load_into_float32(tmp_path: Path) -> None:
    narrow, wide = network("bfloat16"), network("float32")
    path = narrow.save_weights(tmp_path / "w.safetensors")
    wide.load_weights(path)
    for variable, other in zip(wide.weights, narrow.weights, strict=True):
        assert variable.dtype == "float32"
        np.testing.assert_array_equal(variable.numpy(), widen(other.stored()))
    back = network("bfloat16")
    back.load_weights(wide.save_weights(tmp_path / "f.safetensors"))
    for variable, other in zip(back.weights, narrow.weights, strict=True):
        assert variable.stored().tobytes() == other.stored().tobytes()
