"""Attention against its formula written out, whole and block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule.compiler.kernel import ContractKernel, ScanKernel
from chainrule.compiler.program import Program
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import attention_blocks
from chainrule.functional.attention import dot_product_attention
from chainrule.functional.attention_blocks import ALONE, BLOCK
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32
from tests.checks import check_gradients
from tests.tolerances import PARITY, assert_close, assert_compiled

Array = np.ndarray[Any, Any]
LOOSE = PARITY  # sums of other lengths


def written_out(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    scale: float | None = None,
    causal: bool = False,
    cap: float | None = None,
) -> Array:
    """The formula, in float64, with key heads repeated."""
    query, key, value = (x.astype(np.float64) for x in (query, key, value))
    heads = query.shape[2] // key.shape[2]
    key, value = (np.repeat(x, heads, axis=2) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[3]) if scale is None else scale
    scores = np.einsum("btnh,bsnh->bnts", query, key) * scale
    scores = scores if cap is None else np.tanh(scores / cap) * cap
    scores = scores if bias is None else scores + bias
    seen = (
        np.ones(scores.shape, bool)
        if mask is None
        else np.broadcast_to(mask, scores.shape)
    )
    if causal:
        seen = seen & np.tri(*scores.shape[-2:], dtype=bool)
    weights = np.where(seen, np.exp(scores - scores.max(initial=-50)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    y: Array = np.einsum("bnts,bsnv->btnv", weights, value)
    return y.astype(np.float32)


def drawn(
    batch: int, rows: int, length: int, heads: tuple[int, int], size: int, wide: int
) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(rows)
    shapes = (
        (batch, rows, heads[0], size),
        (batch, length, heads[1], size),
        (batch, length, heads[1], wide),
    )
    query, key, value = (random.normal(size=s).astype(np.float32) for s in shapes)
    return query, key, value


LONG = ALONE + BLOCK + 3
SIZES = [
    (2, 1, 1, (1, 1), 3, 2),
    (2, 5, 7, (4, 2), 5, 3),
    (1, 3, 0, (2, 1), 4, 4),
    (0, 3, 2, (2, 1), 4, 4),
    (3, LONG, 33, (2, 2), 7, 9),
    (1, LONG, LONG, (4, 1), 8, 8),
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_formula(sizes: Any, causal: bool) -> None:
    arrays = drawn(*sizes)
    actual = dot_product_attention(*arrays, is_causal=causal)
    assert_close(actual.numpy(), written_out(*arrays, causal=causal), LOOSE)


@pytest.mark.parametrize("rows", [6, LONG])
def test_masks_biases_scales_and_caps(rows: int) -> None:
    random = np.random.default_rng(0)
    arrays = drawn(2, rows, 11, (4, 2), 5, 3)
    bias = random.normal(size=(4, 1, 11)).astype(np.float32)
    moving = random.normal(size=(1, 1, rows, 11)).astype(np.float32)
    mask = random.random((2, 1, 1, 11)) < 0.5
    mask[1] = False  # nothing to see
    every = random.random((2, 4, rows, 11)) < 0.5
    for options in (
        {"bias": bias, "mask": mask},
        {"bias": moving, "mask": every, "causal": True},
        {"scale": 0.3, "cap": 2.0},
    ):
        names = {"causal": "is_causal", "cap": "attn_logits_soft_cap"}
        ours = {names.get(name, name): x for name, x in options.items()}
        actual = dot_product_attention(*arrays, **ours).numpy()
        assert_close(actual, written_out(*arrays, **options), LOOSE, str(options))


def test_a_query_that_sees_nothing_gets_zeros_and_gives_no_gradient() -> None:
    query, key, value = map(chainrule.asarray, drawn(1, 2, 3, (1, 1), 2, 2))
    mask = np.array([[[[True, True, True], [False, False, False]]]])

    def total(query: Any, key: Any, value: Any) -> Any:
        return chainrule.sum(dot_product_attention(query, key, value, mask=mask) ** 2)

    result = dot_product_attention(query, key, value, mask=mask).numpy()
    assert not result[0, 1].any()
    for gradient in chainrule.grad(total, argnums=(0, 1, 2))(query, key, value):
        assert np.isfinite(gradient.numpy()).all()
    gradient = chainrule.grad(total)(query, key, value).numpy()
    assert gradient[0, 0].any()
    assert not gradient[0, 1].any()


@pytest.mark.parametrize("parts", [1, 16])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 1, 1), (2, 4, 2)], ids=str)
def test_gradients_of_blocks_are_those_of_the_formula(
    shape: tuple[int, int, int],
    causal: bool,
    parts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention_blocks, "PARTS", parts)
    batch, heads, groups = shape
    random = np.random.default_rng(1)
    length = LONG + BLOCK  # one part of four blocks, or four of one
    drawn_ones = drawn(batch, length, length, (heads, groups), 4, 4)
    bias = random.normal(size=(1, heads, length, length)).astype(np.float32)
    arrays = [chainrule.asarray(x) for x in (*drawn_ones, bias)]
    row = random.normal(size=(batch, length, heads, 4)).astype(np.float32)
    mask = random.random((batch, heads, 1, length)) < 0.8

    def by_blocks(query: Any, key: Any, value: Any, bias: Any) -> Any:
        y = dot_product_attention(query, key, value, bias, mask, is_causal=causal)
        return chainrule.sum(y * row)

    def at_once(query: Any, key: Any, value: Any, bias: Any) -> Any:
        times = heads // groups
        key, value = (chainrule.repeat(x, times, axis=2) for x in (key, value))
        scores = chainrule.einsum("btnh,bsnh->bnts", query, key) / 2.0 + bias
        seen = mask & (np.tri(length, dtype=bool) if causal else True)
        scores = chainrule.where(seen, scores, -1e9)
        weights = chainrule.where(seen, chainrule.softmax(scores), 0.0)
        return chainrule.sum(chainrule.einsum("bnts,bsnv->btnv", weights, value) * row)

    places = (0, 1, 2, 3)
    expected = chainrule.grad(at_once, argnums=places)(*arrays)
    eager = chainrule.grad(by_blocks, argnums=places)(*arrays)
    compiled = chainrule.jit(chainrule.grad(by_blocks, argnums=places))(*arrays)
    for one, other, wanted in zip(eager, compiled, expected, strict=True):
        assert_close(one.numpy(), wanted.numpy(), LOOSE)
        assert_compiled(other.numpy(), one.numpy())


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "capped": {"attn_logits_soft_cap": 1.5, "scale": 0.9},
    "dropped": {"dropout": 0.3, "is_causal": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_of_blocks_to_second_order(options: dict[str, Any]) -> None:
    rows = ALONE + 3
    random = np.random.default_rng(5)
    shapes = [(1, rows, 2, 3), (1, rows, 1, 3), (1, rows, 1, 2)]
    arrays = [random.normal(size=shape) for shape in shapes]
    if "dropout" in options:
        options = {**options, "dropout_key": chainrule.random.key(3)}
    weights = chainrule.asarray(random.normal(size=(1, rows, 2, 2)))

    def attended(query: Any, key: Any, value: Any) -> list[Any]:
        y = dot_product_attention(query, key, value, **options)
        return [y * weights + y * y]

    check_gradients(attended, arrays, order=2)


def test_what_lies_ahead_of_every_query_gets_no_gradient() -> None:
    """There are more keys than queries, and each query sees none behind itself."""
    query, key, value = map(chainrule.asarray, drawn(1, LONG, LONG + 130, (1, 1), 3, 3))

    def total(query: Any, key: Any, value: Any) -> Any:
        y = dot_product_attention(query, key, value, is_causal=True)
        return chainrule.sum(y**2)

    gradient = chainrule.jit(chainrule.grad(total, argnums=(0, 1, 2)))
    of_query, of_key, of_value = (x.numpy() for x in gradient(query, key, value))
    assert np.isfinite(of_query).all()
    assert of_key[0, :LONG].any(axis=(1, 2)).all()
    assert not of_key[0, LONG:].any()
    assert not of_value[0, LONG:].any()


def test_scores_are_computed_once_forward_and_once_back() -> None:
    specs = [Spec(x.shape, float32) for x in drawn(1, 256, 256, (2, 2), 8, 8)]

    def step(*arrays: Any) -> Any:
        y, pullback = chainrule.vjp(dot_product_attention, *arrays)
        return [y, *pullback(y)]

    whole = Program(trace(step, specs)[0]).plan
    items = [k.plan for s in whole.steps if isinstance(k := s.kernel, ScanKernel)]
    blocks = [
        k.plan for p in items for s in p.steps if isinstance(k := s.kernel, ScanKernel)
    ]
    counts = [
        sum(isinstance(s.kernel, ContractKernel) for s in each.steps) for each in blocks
    ]
    assert counts == [2, 5]


def test_the_same_bits_on_any_threads() -> None:
    specs = [Spec(x.shape, float32) for x in drawn(1, LONG, 70, (2, 1), 5, 5)]
    graph, _ = trace(lambda *x: [dot_product_attention(*x, is_causal=True)], specs)
    arrays = list(drawn(1, LONG, 70, (2, 1), 5, 5))
    first, *others = (Program(graph, threads=n)(arrays)[0] for n in (1, 2, 3))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_memory_grows_with_the_length_and_not_with_its_square() -> None:
    def arena(length: int) -> int:
        specs = [Spec((1, length, 2, 8), float32)] * 3

        def step(*arrays: Any) -> Any:
            def total(*arrays: Any) -> Any:
                return chainrule.sum(dot_product_attention(*arrays) ** 2)

            return list(chainrule.grad(total, argnums=(0, 1, 2))(*arrays))

        return Program(trace(step, specs)[0]).plan.arena.nbytes

    short, long = arena(1024), arena(4096)
    assert long < 5 * short
    assert long < 2 * 4096 * 4096 * 4


def test_dropout_keeps_the_mean_and_follows_its_key() -> None:
    ones = np.ones((1, LONG, 1, 4), np.float32)
    first, again, other = (
        dot_product_attention(
            ones, ones, ones, dropout=0.4, dropout_key=chainrule.random.key(seed)
        ).numpy()
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert abs(first.mean() - 1) < 0.02
    assert len(np.unique(first[0, :, 0, 0].round(4))) > 20  # each query its own


def test_whole_numbers_and_masks_of_ones_and_zeros() -> None:
    x = np.arange(12).reshape(1, 3, 2, 2) % 5
    mask = np.array([[[[1, 0, 1]]]])
    expected = written_out(x, x, x, mask=mask.astype(bool))
    actual = dot_product_attention(x, x, x, mask=mask).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    x = np.zeros((2, 3, 4, 5), np.float32)
    with pytest.raises(ShapeError, match="do not fit one another"):
        dot_product_attention(x, x[:, :, :3], x[:, :, :3])
    with pytest.raises(ShapeError, match="do not fit one another"):
        dot_product_attention(x[0], x, x)
    with pytest.raises(ShapeError, match="does not broadcast"):
        dot_product_attention(x, x, x, mask=np.ones((2, 3), bool))
    with pytest.raises(ArgumentError, match="dropout"):
        dot_product_attention(x, x, x, dropout=0.5)
