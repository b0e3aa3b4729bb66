"""Policies: weights in one type, computation in another, in every layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import functional, layers, losses
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.jit import jit
from chainrule.layers import Layer
from chainrule.precision import DTypePolicy, as_policy
from chainrule.variable import Variable, current_values, reading_as, substitute
from tests.layers.test_contract import CASES, Case, make_input, run

MIXED = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
# numbers of 8 or 11 bits, after some operations; and a little where terms cancel
NEAR = {"mixed_bfloat16": 0.06, "mixed_float16": 0.01}


@pytest.fixture(autouse=True)
def the_policy_is_put_back() -> Iterator[None]:
    yield
    cr.set_dtype_policy("float32")


def test_names_and_types() -> None:
    for name, compute in MIXED.items():
        policy = DTypePolicy(name)
        assert policy.variable_dtype == "float32"
        assert policy.compute_dtype == compute
    for name in ("float32", "float64", "bfloat16", "float16"):
        policy = as_policy(name)
        assert policy.variable_dtype == policy.compute_dtype == name
    assert as_policy(np.float16).name == "float16"
    assert DTypePolicy.from_config(policy.get_config()) == policy
    written = {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}
    assert as_policy(written) == DTypePolicy("mixed_bfloat16")


@pytest.mark.parametrize("wrong", ["mixed_int8", "int32", "nonsense", 3])
def test_what_is_no_policy_is_refused(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="mixed_bfloat16"):
        cr.set_dtype_policy(wrong)
    with pytest.raises(ArgumentError, match="mixed_bfloat16"):
        layers.Dense(3, dtype=wrong)


def test_the_global_policy_is_that_of_layers_made_later() -> None:
    before = layers.Dense(2)
    cr.set_dtype_policy("mixed_bfloat16")
    after, own = layers.Dense(2), layers.Dense(2, dtype="float32")
    assert cr.dtype_policy().name == "mixed_bfloat16"
    x = np.ones((1, 3), np.float32)
    found = [layer(x).dtype.name for layer in (before, after, own)]
    assert found == ["float32", "bfloat16", "float32"]
    assert after.dtype == after.variable_dtype == after.kernel.dtype == "float32"
    assert after.get_config()["dtype"] == "mixed_bfloat16"
    cr.set_dtype_policy("float32")
    again = layers.Dense.from_config(after.get_config())
    assert again(x).dtype == "bfloat16"
    assert "mixed_bfloat16" in repr(again)


def test_weights_are_read_in_the_type_of_the_layer() -> None:
    weight = Variable(np.float32([1.001]))
    with reading_as(as_policy("mixed_bfloat16").compute_dtype):
        assert weight.value.dtype == "bfloat16"
        assert weight.value.item() == 1.0
    assert weight.value.item() == np.float32(1.001)


def test_a_layer_within_has_its_own_policy() -> None:
    class Outer(Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.inner = layers.Dense(2, dtype="float32")

        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight("scale", (2,), "ones")

        def call(self, inputs: Any) -> Any:
            assert inputs.dtype == self.scale.value.dtype == "bfloat16"
            inside = self.inner(inputs)
            assert inside.dtype == "float32"
            assert self.scale.value.dtype == "bfloat16"
            return functional.astype(inside, "bfloat16") * self.scale.value

    assert Outer(dtype="mixed_bfloat16")([[1.0, 2.0]]).dtype == "bfloat16"


def floats(values: Any) -> list[Any]:
    return [x for x in tree.flatten(values)[0] if x.dtype.is_float]


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_layer_computes_in_16_bits(case: Case, name: str) -> None:
    functional.random.set_seed(3)
    wide = case.make(name="layer")
    x = make_input(case)
    expected = run(wide, x)
    functional.random.set_seed(3)
    if case.name.startswith("InputLayer"):
        pytest.skip("the type of an input is that of the data")
    mixed = case.make(name="layer", dtype=name)
    given = run(mixed, x)
    if mixed.host:
        return
    assert all(not v.dtype.is_half for v in mixed.weights)
    pairs = list(zip(floats(given), floats(expected), strict=True))
    for actual, _ in pairs:
        assert actual.dtype in (mixed.compute_dtype, "float32")
        assert mixed.full or mixed.compute_dtype == MIXED[name]

    def called(x: Any, values: Any) -> Any:
        with substitute(mixed.weights, values):
            return run(mixed, x)

    compiled = jit(called)(x, current_values(mixed.weights))
    for actual, right in zip(floats(compiled), floats(given), strict=True):
        assert actual.dtype == right.dtype
        far = np.abs(actual.numpy() - right.numpy())
        size = np.abs(right.numpy()) + np.abs(right.numpy()).mean()
        assert (far <= NEAR[name] * size).all()
    if not getattr(mixed, "seed_state", None):
        for actual, right in pairs:
            far = np.abs(actual.numpy() - right.numpy()).mean()
            assert far <= NEAR[name] * np.abs(right.numpy()).mean() + 1e-6


@pytest.mark.parametrize("name", MIXED)
def test_losses_are_float32(name: str) -> None:
    predicted = functional.astype([[0.25, 0.75]], MIXED[name])
    loss = losses.SparseCategoricalCrossentropy()([1], predicted)
    assert loss.dtype == "float32"
    assert abs(loss.item() + np.log(0.75)) < 1e-6


def test_statistics_are_float32() -> None:
    """Numbers far from 0: in bfloat16 the mean of 300.0 to 301.9 could not be told."""
    x = np.float32(300) + np.linspace(0, 2, 64, dtype=np.float32).reshape(1, 64)
    layer = layers.LayerNormalization(dtype="mixed_bfloat16")
    exact = x.astype(np.float64)
    expected = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-3)
    given = layer(x)
    assert given.dtype == "bfloat16"
    np.testing.assert_allclose(given.numpy(), expected, rtol=0.01, atol=0.01)
    batch = layers.BatchNormalization(momentum=0.999, dtype="mixed_bfloat16")
    for _ in range(20):
        batch(np.full((4, 1), 1.0, np.float32), training=True)
    # steps of a thousandth are lost where the moving mean has 8 bits
    assert abs(batch.moving_mean.numpy().item() - (1 - 0.999**20)) < 1e-5
    shares = functional.softmax(functional.zeros((1, 1000), dtype="bfloat16"))
    assert abs(functional.astype(shares, "float64").sum().item() - 1) < 0.01


def network(policy: str) -> Any:
    cr.set_dtype_policy(policy)
    cr.set_seed(5)
    model = cr.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(32, activation="gelu"),
            layers.LayerNormalization(),
            layers.Dense(24, activation="relu"),
            layers.Dense(4),
        ]
    )
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def problem() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 12)).astype(np.float32)
    return x, np.abs(x[:, :4]).argmax(-1)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_training_goes_as_in_float32(policy: str) -> None:
    x, y = problem()
    histories = []
    for name in ("float32", policy):
        model = network(name)
        history = model.fit(x, y, epochs=12, batch_size=32, verbose=0, seed=1)
        histories.append(history.history["loss"])
        kept = "bfloat16" if name == "bfloat16" else "float32"
        assert {v.dtype.name for v in model.weights} == {kept}
    wide, narrow = histories
    assert narrow[-1] < 0.75 * narrow[0]
    far = np.abs(np.subtract(wide, narrow))
    assert far.max() < (0.15 if policy == "bfloat16" else 0.03)
    predicted = model.predict(x, verbose=0)
    assert predicted.dtype == ("float16" if policy == "mixed_float16" else "float32")


def test_gradients_reach_the_weights_in_float32() -> None:
    """A step so small that bfloat16 weights would not move: those of float32 do."""
    model = network("mixed_bfloat16")
    model.compile(cr.optimizers.SGD(1e-5), model.loss)
    x, y = problem()
    before = model.get_weights()
    model.fit(x, y, epochs=1, batch_size=64, verbose=0)
    moved = [
        float(np.mean(a != b)) for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert min(moved) > 0.5


def test_names_of_older_scripts() -> None:
    cr.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    assert cr.keras.mixed_precision.global_policy() == cr.dtype_policy()
    assert cr.dtype_policy() == cr.mixed_precision.Policy("mixed_bfloat16")
    assert cr.keras.layers.Dense(2).compute_dtype == "bfloat16"


def test_numbers_with_bits_of_their_own_type_are_data() -> None:
    """Arrays of bfloat16 go into `fit` as those of other types do."""
    x, _ = problem()
    model = network("float32")
    narrow = functional.astype(x, "bfloat16")
    given = model.predict(narrow.data, verbose=0)
    wide = functional.astype(narrow, "float32").numpy()
    np.testing.assert_array_equal(given, model.predict(wide, verbose=0))
