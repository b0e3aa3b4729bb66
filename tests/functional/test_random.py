"""Random numbers: reproducible, independent, of the right distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule import random
from chainrule.errors import ArgumentError, DTypeError, ShapeError, TraceError
from tests.tolerances import assert_close

KEY = random.key(11)
COUNT = 20_000

DRAWS: dict[str, Any] = {
    "bits": lambda key: random.bits(key, (3, 5)),
    "wide bits": lambda key: random.bits(key, (3, 5), "uint64"),
    "uniform": lambda key: random.uniform(key, (3, 5)),
    "uniform64": lambda key: random.uniform(key, (3, 5), "float64", -2, 3),
    "normal": lambda key: random.normal(key, (3, 5)),
    "truncated_normal": lambda key: random.truncated_normal(key, (3, 5)),
    "truncated_normal64": lambda key: random.truncated_normal(key, (3, 5), "float64"),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (3, 5)),
    "gamma": lambda key: random.gamma(key, (3, 5), 0.7),
    "beta": lambda key: random.beta(key, (3, 5), 0.4, 2.0),
    "randint": lambda key: random.randint(key, (3, 5), -4, 9),
    "permutation": lambda key: random.permutation(key, 7),
    "gumbel": lambda key: random.gumbel(key, (3, 5)),
    "categorical": lambda key: random.categorical(key, cr.zeros((3, 5))),
    "split": random.split,
    "fold_in": lambda key: random.fold_in(key, 5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_key_gives_the_same_numbers_in_every_way(name: str) -> None:
    draw = DRAWS[name]
    first, again = draw(KEY), draw(random.key(11))
    assert_close(first, again)
    assert_close(cr.jit(draw)(KEY), first)
    keys = random.split(KEY, 3)
    batch = cr.vmap(draw)(keys)
    for i in range(3):
        assert_close(batch[i], draw(keys[i]))
    if first.size > 2:
        assert draw(random.key(12)).tolist() != first.tolist()


def near(sample: Any, mean: float, deviation: float) -> None:
    """Mean and spread within four standard errors."""
    numbers = np.asarray(sample, np.float64)
    assert abs(numbers.mean() - mean) < 4 * deviation / math.sqrt(COUNT)
    assert abs(numbers.std() / deviation - 1) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype: str) -> None:
    near(random.uniform(KEY, COUNT, dtype), 0.5, math.sqrt(1 / 12))
    near(random.uniform(KEY, COUNT, dtype, -1, 3), 1, 4 * math.sqrt(1 / 12))
    near(random.normal(KEY, COUNT, dtype), 0, 1)
    near(random.normal(KEY, COUNT, dtype, 5.0, 2.0), 5, 2)
    # the standard normal cut off at two standard deviations
    near(random.truncated_normal(KEY, COUNT, dtype), 0, 0.8796256610342398)
    near(random.gumbel(KEY, COUNT, dtype), 0.5772156649, math.pi / math.sqrt(6))
    assert random.normal(KEY, 3, dtype).dtype == dtype


def test_integers_and_truths() -> None:
    near(random.randint(KEY, COUNT, 10, 20), 14.5, math.sqrt(99 / 12))
    near(random.bernoulli(KEY, 0.2, COUNT), 0.2, 0.4)
    chances = cr.asarray([0.0, 1.0])
    assert random.bernoulli(KEY, chances).tolist() == [False, True]
    drawn = random.randint(KEY, 1000, -2, 3, "int8")
    assert drawn.dtype == "int8"
    assert set(drawn.tolist()) == {-2, -1, 0, 1, 2}
    counts = np.bincount(random.bits(KEY, COUNT, "uint8").numpy(), minlength=256)
    assert ((counts - COUNT / 256) ** 2 / (COUNT / 256)).sum() < 350  # chi squared, 255


def test_categories_are_drawn_by_their_probability() -> None:
    logits = cr.log(cr.asarray([0.5, 0.2, 0.3]))
    drawn = random.categorical(KEY, cr.broadcast_to(logits, (COUNT, 3)))
    shares = np.bincount(drawn.numpy()) / COUNT
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3], atol=0.02)


def test_a_permutation_keeps_all_parts() -> None:
    order = random.permutation(KEY, 50)
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() != list(range(50))
    rows = cr.reshape(cr.arange(12), (2, 6))
    shuffled = random.permutation(KEY, rows, axis=1).numpy()
    assert sorted(map(tuple, shuffled.T)) == sorted(map(tuple, rows.numpy().T))


def test_bounds_hold() -> None:
    x = random.uniform(KEY, 100_000)
    assert 0 <= x.min().item() < 1e-3
    assert 0.999 < x.max().item() < 1
    y = random.truncated_normal(KEY, COUNT, "float32", 0.5, 1.0)
    assert y.min().item() >= 0.5
    assert y.max().item() <= 1.0
    assert np.isfinite(random.normal(KEY, 100_000).numpy()).all()


def test_the_inverse_of_the_error_function() -> None:
    x = np.linspace(-3, 3, 101)
    for dtype, limit in (("float64", 1e-9), ("float32", 3e-3)):
        # at 3 the error function is flat: float32 cannot tell more
        found = random.inverse_erf(cr.erf(cr.asarray(x, dtype=dtype))).numpy()
        np.testing.assert_allclose(found, x, atol=limit)
    assert random.inverse_erf([-1.0, 0.0, 1.0]).tolist() == [-math.inf, 0, math.inf]


whole = st.integers(-(2**63), 2**63 - 1)


@given(whole, whole)
def test_folding_in_different_numbers_gives_different_keys(a: int, b: int) -> None:
    first, second = random.fold_in(KEY, a), random.fold_in(KEY, b)
    assert (first.tolist() == second.tolist()) == (a == b)


def test_derived_keys_are_not_what_was_drawn() -> None:
    drawn = random.bits(KEY, 2).tolist()
    keys = [*random.split(KEY, 3), *(random.fold_in(KEY, i) for i in range(3)), KEY]
    words = [tuple(key.tolist()) for key in keys]
    assert len({*words, tuple(drawn)}) == 8
    traced = cr.jit(random.fold_in)
    assert traced(KEY, 3).tolist() == random.fold_in(KEY, 3).tolist()


def test_seeds() -> None:
    assert random.key(2**40 + 3).tolist() == [3, 256]
    assert random.key(-1).tolist() == [2**32 - 1] * 2
    with pytest.raises(ArgumentError, match="64 bits"):
        random.key(2**64)


def test_streams_and_the_global_seed() -> None:
    with random.stream(KEY):
        first, second = random.next_key().tolist(), random.next_key().tolist()
        with random.stream(random.key(1)):
            other = random.next_key().tolist()
        third = random.next_key().tolist()
    assert len({tuple(k) for k in (first, second, third, other)}) == 4
    with random.stream(KEY):
        assert random.next_key().tolist() == first
    cr.set_seed(5)
    drawn = [random.next_key().tolist() for _ in range(2)]
    assert drawn[0] != drawn[1]
    cr.set_seed(5)
    assert [random.next_key().tolist() for _ in range(2)] == drawn


def test_compiled_functions_need_a_key_of_their_own() -> None:
    def noisy(x: Any) -> Any:
        return x + random.normal(random.next_key(), x.shape)

    with pytest.raises(TraceError, match=r"random\.stream"):
        cr.jit(noisy)(cr.zeros(3))

    @cr.jit
    def with_key(key: Any, x: Any) -> Any:
        with random.stream(key):
            return noisy(x)

    first, second = random.split(KEY)
    assert (
        with_key(first, cr.zeros(3)).tolist() != with_key(second, cr.zeros(3)).tolist()
    )
    with random.stream(first):
        assert_close(with_key(first, cr.zeros(3)), noisy(cr.zeros(3)))


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(ArgumentError, match="empty"):
        random.randint(KEY, 3, 5, 5)
    with pytest.raises(ArgumentError, match="empty"):
        random.truncated_normal(KEY, 3, lower=1, upper=1)
    with pytest.raises(DTypeError, match="floating-point"):
        random.uniform(KEY, 3, "int32")
    with pytest.raises(DTypeError, match="unsigned"):
        random.bits(KEY, 3, "int32")
    with pytest.raises(ShapeError, match="32-bit words"):
        random.normal(cr.asarray([1, 2, 3]), 3)


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 2.5, 40.0])
def test_gamma_has_the_moments_of_its_shape(alpha: float) -> None:
    drawn = random.gamma(random.key(4), (40_000,), alpha, "float64").numpy()
    assert drawn.min() >= 0
    assert abs(drawn.mean() - alpha) < 5 * np.sqrt(alpha / 40_000)
    # the variance of a variance: alpha * (2 alpha + 6)
    spread = np.sqrt(alpha * (2 * alpha + 6) / 40_000)
    assert abs(drawn.var() - alpha) < 5 * spread
    below = (drawn < 1).mean()
    if alpha == 1.0:
        assert abs(below - (1 - np.exp(-1))) < 0.005


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1), (1.0, 1.0), (2.0, 5.0), (30.0, 3.0)])
def test_beta_has_the_moments_of_its_shapes(a: float, b: float) -> None:
    drawn = random.beta(random.key(5), (40_000,), a, b).numpy()
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    mean, variance = a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
    assert abs(drawn.mean() - mean) < 5 * np.sqrt(variance / 40_000)
    assert abs(drawn.var() - variance) < 0.04 * variance + 1e-5


def test_beta_takes_shapes_too_small_for_any_gamma() -> None:
    drawn = random.beta(random.key(6), (4000,), 1e-6, 1e-6).numpy()
    assert np.isfinite(drawn).all()
    assert ((drawn < 1e-6) | (drawn > 1 - 1e-6)).mean() > 0.999
    assert abs((drawn > 0.5).mean() - 0.5) < 0.05


def test_each_number_has_a_shape_of_its_own() -> None:
    shapes = np.array([[0.2], [3.0], [50.0]])
    drawn = random.gamma(random.key(7), (3, 20_000), shapes).numpy()
    np.testing.assert_allclose(drawn.mean(axis=1), shapes[:, 0], rtol=0.1)
