"""What surrounds training, with layers that compute in 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.errors import NonFiniteWarning

X = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
Y = X[:, :2].argmax(-1)
POLICIES = ("mixed_bfloat16", "mixed_float16", "bfloat16")


@pytest.fixture(autouse=True)
def the_policy_is_put_back() -> Iterator[None]:
    yield
    cr.set_dtype_policy("float32")


def network(policy: str) -> Any:
    cr.set_dtype_policy(policy)
    cr.set_seed(1)
    model = cr.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(2),
        ]
    )
    loss = cr.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


@pytest.mark.parametrize("policy", POLICIES)
def test_a_step_is_shown_in_numbers(policy: str) -> None:
    trace = cr.trace_step(network(policy), X[:8], Y[:8])
    assert "hidden" in str(trace)
    for layer in trace.layers:
        assert layer.output.dtype.kind == "f"
        assert np.isfinite(layer.output).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_resumed_run_comes_to_the_same_bits(tmp_path: Path, policy: str) -> None:
    options: dict[str, Any] = {"batch_size": 16, "verbose": 0, "seed": 1}
    network(policy).fit(X, Y, epochs=2, resume=tmp_path, **options)
    resumed, whole = network(policy), network(policy)
    resumed.fit(X, Y, epochs=4, resume=tmp_path, **options)
    whole.fit(X, Y, epochs=4, **options)
    for ours, theirs in zip(resumed.weights, whole.weights, strict=True):
        assert ours.stored().tobytes() == theirs.stored().tobytes()


@pytest.mark.parametrize("policy", POLICIES[:2])
def test_what_is_not_finite_is_found_where_it_began(policy: str) -> None:
    model = network(policy)
    model.compile(cr.optimizers.SGD(1e38), model.loss)
    with pytest.warns(NonFiniteWarning, match="hidden|dense|batch"):
        model.fit(100 * X, Y, epochs=3, verbose=0)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_interpreter_trains_as_native_code_does(policy: str) -> None:
    losses = []
    for eager in (False, True):
        model = network(policy)
        model.compile("adam", model.loss, run_eagerly=eager)
        history = model.fit(X, Y, epochs=3, batch_size=16, verbose=0, seed=1)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.03)
