from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.kernels.lanes import Lanes
from chainrule.compiler.kernels.threefry import emit_threefry2x32
from tests.compiler.elementwise import Elementwise

# Known answers published with Random123: key, counter, words.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
    (
        (0x13198A2E, 0x03707344),
        (0x243F6A88, 0x85A308D3),
        (0xC4923A9C, 0x483DF7A0),
    ),
]


def word(index: int, lanes: int) -> Elementwise:
    def encrypt(*inputs: Lanes) -> Lanes:
        builder = inputs[0].builder
        words = emit_threefry2x32(builder, *(lane.value for lane in inputs))
        return Lanes(builder, words[index])

    return Elementwise(encrypt, 4, np.uint32, lanes)


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("index", [0, 1])
def test_known_answers(index: int, lanes: int) -> None:
    rows = np.array([key + counter for key, counter, _ in KNOWN] * 16, np.uint32)
    expected = np.array([words[index] for _, _, words in KNOWN] * 16, np.uint32)
    got = word(index, lanes)(*rows.T)
    np.testing.assert_array_equal(got, expected)


def test_neighbouring_counters_share_half_their_bits() -> None:
    counters = np.arange(1 << 14, dtype=np.uint32)
    zeros = np.zeros_like(counters)
    words = word(0, 16)(zeros, zeros, counters, zeros)
    changed = np.bitwise_count(words[1:] ^ words[:-1]).mean()
    assert abs(changed - 16) < 0.2
