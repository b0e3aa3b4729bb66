"""Which tokens may be drawn, and how often they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError
from chainrule.generation import (
    GreedySampler,
    RandomSampler,
    Sampler,
    TopKSampler,
    TopPSampler,
)
from chainrule.generation.sampling import choose, keys_of, limit, step_keys

LOGITS = np.log(np.array([0.05, 0.4, 0.3, 0.05, 0.2], np.float32))


def draws(sampler: Sampler, count: int = 4000, seen: Any = None) -> Any:
    """How often each token is drawn."""
    keys = cr.asarray(keys_of(np.array([1, 0], np.uint32), range(count)))
    rows = cr.asarray(np.tile(LOGITS, (count, 1)))
    mask = None if seen is None else cr.asarray(np.tile(np.array(seen), (count, 1)))

    @cr.jit
    def draw(rows: Any, keys: Any, mask: Any) -> Any:
        return choose(rows, sampler, sampler.numbers(), keys, mask)

    return np.bincount(draw(rows, keys, mask).numpy(), minlength=5) / count


def expected_limit(logits: Any, k: int, p: float) -> list[bool]:
    """Token by token: the definition of top-k and top-p."""
    order = np.argsort(-logits, kind="stable")[:k]
    shares = np.exp(logits[order] - logits[order].max())
    shares = shares / shares.sum()
    total, kept = 0.0, []
    for token, share in zip(order, shares, strict=True):
        if total >= p:
            break
        kept.append(token)
        total += share
    least = min(logits[token] for token in kept)
    return [bool(x >= least) for x in logits]


def test_tokens_are_drawn_by_their_probability() -> None:
    np.testing.assert_allclose(draws(RandomSampler()), np.exp(LOGITS), atol=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    for temperature in (0.5, 2.0):
        shares = np.exp(LOGITS / temperature)
        found = draws(RandomSampler(temperature))
        np.testing.assert_allclose(found, shares / shares.sum(), atol=0.03)
    for certain in (Sampler(0), GreedySampler(), TopKSampler(1)):
        assert draws(certain).tolist() == [0, 1, 0, 0, 0]


def test_top_k_keeps_the_likeliest() -> None:
    found = draws(TopKSampler(2))
    np.testing.assert_allclose(found, [0, 4 / 7, 3 / 7, 0, 0], atol=0.03)
    np.testing.assert_allclose(draws(TopKSampler(99)), np.exp(LOGITS), atol=0.03)


def test_top_p_keeps_the_fewest_that_sum_up_to_it() -> None:
    found = draws(TopPSampler(0.65))
    np.testing.assert_allclose(found, [0, 4 / 7, 3 / 7, 0, 0], atol=0.03)
    assert draws(TopPSampler(0.01)).tolist() == [0, 1, 0, 0, 0]
    np.testing.assert_allclose(draws(TopPSampler(1.0)), np.exp(LOGITS), atol=0.03)


def test_a_repetition_penalty_takes_from_what_was_there() -> None:
    there = [False, True, False, False, False]
    logits = np.where(there, LOGITS * 2, LOGITS)
    found = draws(RandomSampler(repetition_penalty=2.0), seen=there)
    np.testing.assert_allclose(found, np.exp(logits) / np.exp(logits).sum(), atol=0.03)
    greedy = GreedySampler(repetition_penalty=2.0)
    keys = cr.asarray(np.zeros((1, 2), np.uint32))
    positive, seen = cr.asarray([[2.0, 1.5]]), cr.asarray([[True, False]])
    assert choose(positive, greedy, greedy.numbers(), keys, seen).tolist() == [1]


@pytest.mark.parametrize("seed", range(3))
def test_limits_are_those_of_the_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(6, 37)).astype(np.float32)
    logits[0] = np.round(logits[0])  # equal ones
    compiled = cr.jit(limit)
    for k, p in ((5, 2.0), (37, 0.7), (9, 0.4), (1, 2.0), (99, 0.999), (99, 1e-6)):
        found = compiled(cr.asarray(logits), np.int32(k), np.float32(p)).numpy()
        for row, kept in zip(logits, found, strict=True):
            assert np.isfinite(kept).tolist() == expected_limit(row, k, p)
            assert (kept[np.isfinite(kept)] == row[np.isfinite(kept)]).all()


def test_keys_depend_on_the_sample_and_the_step_alone() -> None:
    key = np.array([3, 4], np.uint32)
    keys = keys_of(key, [0, 5, 0])
    assert (keys[0] == keys[2]).all()
    assert (keys[0] != keys[1]).any()
    assert (keys_of(key, [5]) == keys[1]).all()
    numbers = [cr.asarray(np.int64(n)) for n in (0, 1)]
    first, second = (step_keys(cr.asarray(keys), n).numpy() for n in numbers)
    assert (first != second).any()
    alone = step_keys(cr.asarray(keys[1:2]), numbers[1]).numpy()
    assert (alone[0] == second[1]).all()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options: Any, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"this is no {name}"):
        Sampler(**options)
