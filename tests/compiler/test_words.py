"""Random words: native code draws what the primitive defines."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule
from chainrule import compiler, initializers
from chainrule.compiler import native_words, random_pair, random_words
from chainrule.compiler.native_words import draw_pair, draw_words
from chainrule.ops.random import random_bits

REFERENCE = random_bits.primitive.reference
SHAPES = ((), (0,), (1,), (3, 5), (16,), (17,), (2, 0, 3), (31, 33), (1000,))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_native_words_are_those_of_the_primitive(
    shape: tuple[int, ...], threads: int
) -> None:
    for key in ((0, 0), (1, 2), (0xFFFFFFFF, 0x80000000)):
        wanted = REFERENCE(np.array(key, np.uint32), shape=shape)
        found = draw_words(key, shape, threads)
        assert (found.dtype, found.shape) == (np.uint32, shape)
        np.testing.assert_array_equal(found, wanted)


def test_nothing_is_written_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms: list[np.ndarray] = []

    def zoned(nbytes: int) -> np.ndarray:
        room = np.full(nbytes + 512, 0xA5, np.uint8)
        rooms.append(room)
        start = 256 - room.ctypes.data % 64
        return room[start : start + nbytes]

    monkeypatch.setattr(native_words, "aligned", zoned)
    draw_words((1, 2), (1001,), 2)
    (room,) = rooms
    assert (room[:192] == 0xA5).all()
    assert (room[-192:] == 0xA5).all()


def test_words_are_the_same_before_and_after_code_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = np.array([5, 6], np.uint32)
    monkeypatch.setattr(compiler, "_drawn", [0])
    before = random_words(key, (300,))
    monkeypatch.setattr(compiler, "_drawn", [compiler.WORDS_BEFORE])
    np.testing.assert_array_equal(random_words(key, (300,)), before)
    np.testing.assert_array_equal(random_words(key, (300,), "interpret"), before)


@pytest.mark.parametrize("key", [(0, 0), (1, 2), (0xFFFFFFFF, 0x80000000)])
def test_pairs_are_words_of_the_primitive(
    key: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = REFERENCE(np.array(key, np.uint32), shape=(9,)).tolist()
    for first in (0, 1, 7):
        assert list(draw_pair(key, first)) == wanted[first : first + 2]
        for drawn in (0, compiler.WORDS_BEFORE):
            monkeypatch.setattr(compiler, "_drawn", [drawn])
            assert list(random_pair(key, first)) == wanted[first : first + 2]


def test_keys_are_the_same_before_and_after_code_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = chainrule.random.key(11)

    def keys() -> list[object]:
        folded = [chainrule.random.fold_in(key, n) for n in (0, 5, -1, 2**40)]
        parts = chainrule.random.split(key)
        return [each.tolist() for each in (*folded, *parts)]

    monkeypatch.setattr(compiler, "_drawn", [0])
    before = keys()
    monkeypatch.setattr(compiler, "_drawn", [compiler.WORDS_BEFORE])
    assert keys() == before
    traced = chainrule.jit(lambda key, n: chainrule.random.fold_in(key, n))
    assert traced(key, 5).tolist() == before[1]
    assert chainrule.jit(chainrule.random.split)(key).tolist() == before[4:]


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-0.3, 0.3), (2.0, 5.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_and_compiled_numbers_agree(
    ends: tuple[float, float], dtype: str
) -> None:
    def draw(key: object) -> object:
        return chainrule.random.uniform(key, (3, 37), dtype, *ends)

    key = chainrule.random.key(9)
    one, other = draw(key), chainrule.jit(draw)(key)
    np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_weights_are_drawn_within_their_limits() -> None:
    drawn = initializers.GlorotUniform(seed=3)((40, 60)).numpy()
    unit = chainrule.random.uniform(chainrule.random.key(3), (40, 60)).numpy()
    limit = np.sqrt(6 / 100)
    wanted = unit * np.float32(2 * limit) - np.float32(limit)
    np.testing.assert_array_equal(drawn, wanted)
