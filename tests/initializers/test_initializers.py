"""Initializers: their distributions, their seeds, their configs."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import initializers
from chainrule.errors import ArgumentError, ShapeError
from chainrule.initializers import Initializer, RandomInitializer

BASES = {Initializer, RandomInitializer, initializers.FanInitializer}
CLASSES = sorted(
    {
        entry
        for entry in vars(initializers).values()
        if isinstance(entry, type) and issubclass(entry, Initializer)
    }
    - BASES,
    key=lambda entry: entry.__name__,
)
RANDOM = [entry for entry in CLASSES if issubclass(entry, RandomInitializer)]
every_class = pytest.mark.parametrize("kind", CLASSES)
SHAPE = (300, 200)


@every_class
def test_config_makes_an_equal_initializer(kind: type[Initializer]) -> None:
    made = kind(seed=3) if kind in RANDOM else kind()
    config = json.loads(json.dumps(made.get_config()))
    np.testing.assert_array_equal(
        kind.from_config(config)(SHAPE).numpy(), made(SHAPE).numpy()
    )


@every_class
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shape_and_dtype_are_those_asked_for(
    kind: type[Initializer], dtype: str
) -> None:
    values = kind()((7, 5), dtype=dtype)
    assert values.shape == (7, 5)
    assert values.dtype == dtype


@every_class
def test_names_are_those_of_keras(kind: type[Initializer]) -> None:
    assert type(initializers.get(kind.__name__)) is kind
    assert type(initializers.get({"class_name": kind.__name__, "config": {}})) is kind


@pytest.mark.parametrize("kind", RANDOM)
def test_a_seed_gives_the_same_numbers(kind: type[RandomInitializer]) -> None:
    seeded = kind(seed=4)
    first = seeded(SHAPE).numpy()
    np.testing.assert_array_equal(seeded(SHAPE).numpy(), first)
    assert np.any(kind(seed=5)(SHAPE).numpy() != first)


@pytest.mark.parametrize("kind", RANDOM)
def test_without_a_seed_the_stream_goes_on(kind: type[RandomInitializer]) -> None:
    chainrule.set_seed(1)
    first, second = kind()(SHAPE).numpy(), kind()(SHAPE).numpy()
    assert np.any(first != second)
    chainrule.set_seed(1)
    np.testing.assert_array_equal(kind()(SHAPE).numpy(), first)


FANS = {
    "glorot_uniform": (2 / 500, math.sqrt(6 / 500)),
    "glorot_normal": (2 / 500, 2 * math.sqrt(2 / 500) / 0.8796),
    "he_uniform": (2 / 300, math.sqrt(6 / 300)),
    "he_normal": (2 / 300, 2 * math.sqrt(2 / 300) / 0.8796),
    "lecun_uniform": (1 / 300, math.sqrt(3 / 300)),
    "lecun_normal": (1 / 300, 2 * math.sqrt(1 / 300) / 0.8796),
    "random_uniform": (0.05**2 / 3, 0.05),
    "random_normal": (0.05**2, math.inf),
    "truncated_normal": ((0.05 * 0.8796) ** 2, 0.1),
}


@pytest.mark.parametrize("name", FANS)
def test_mean_variance_and_limit(name: str) -> None:
    variance, limit = FANS[name]
    chainrule.set_seed(0)
    values = initializers.get(name)(SHAPE).numpy().astype("float64")
    spread = math.sqrt(variance)
    # 60,000 numbers: four standard errors
    assert abs(values.mean()) < 4 * spread / math.sqrt(values.size)
    assert abs(values.var() / variance - 1) < 4 * math.sqrt(2 / values.size)
    assert np.abs(values).max() <= limit * 1.0001
    if limit < math.inf:
        assert np.abs(values).max() > 0.97 * limit


def test_windows_count_in_the_fans() -> None:
    values = initializers.HeNormal(seed=0)((3, 3, 64, 100)).numpy()
    assert abs(values.var() * (9 * 64) / 2 - 1) < 0.03


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (2, 3, 4)])
def test_orthogonal_keeps_lengths(shape: tuple[int, ...]) -> None:
    matrix = initializers.Orthogonal(gain=2.0, seed=1)(shape).numpy()
    matrix = matrix.reshape(-1, shape[-1])
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    product = tall.T @ tall
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-5)


def test_arrays_and_functions_are_initializers() -> None:
    array = np.arange(6.0).reshape(2, 3)
    values = initializers.get(array)((2, 3))
    np.testing.assert_array_equal(values.numpy(), array.astype("float32"))
    again = initializers.Constant.from_config(initializers.get(array).get_config())
    np.testing.assert_array_equal(again((2, 3)).numpy(), array)

    def sevens(shape: Any, dtype: Any) -> Any:
        return chainrule.full(shape, 7, dtype=dtype)

    assert initializers.get(sevens)((2,), dtype="float32").tolist() == [7.0, 7.0]


LESSONS = {
    "name": (lambda: initializers.get("glorot_unifrm"), "'glorot_uniform'"),
    "mode": (lambda: initializers.VarianceScaling(mode="fan"), "'fan_in'"),
    "distribution": (
        lambda: initializers.VarianceScaling(distribution="normal"),
        "'truncated_normal'",
    ),
    "scale": (lambda: initializers.VarianceScaling(0.0), "scale > 0"),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_wrong_arguments_are_refused(lesson: str) -> None:
    make, text = LESSONS[lesson]
    with pytest.raises(ArgumentError, match=text):
        make()


@pytest.mark.parametrize("name", ["identity", "orthogonal"])
def test_matrices_have_two_axes(name: str) -> None:
    with pytest.raises(ShapeError, match="axes"):
        initializers.get(name)((3,))
