"""Hashes of byte strings that are the same on every machine: FarmHash64 and SipHash.

FarmHash64 here is its `Fingerprint64` (G. Pike, farmhash, the variant `na`), SipHash is
SipHash-2-4 (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012).
"""

from __future__ import annotations

MASK = (1 << 64) - 1
K0 = 0xC3A5C85C97CB3127
K1 = 0xB492B66FBE98F273
K2 = 0x9AE16A3B2F90404F
SEED = 81  # of the state for strings of more than 64 bytes


def farmhash64(data: bytes) -> int:
    """The 64-bit fingerprint of a string of bytes.

    Example:
        >>> hex(farmhash64(b"")), farmhash64(b"A") % 3
        ('0x9ae16a3b2f90404f', 1)
    """
    length = len(data)
    if length <= 16:
        return _up_to_16(data)
    if length <= 32:
        return _up_to_32(data)
    if length <= 64:
        return _up_to_64(data)
    return _longer(data)


def _word(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 8], "little")


def _half(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "little")


def _rotate(value: int, shift: int) -> int:
    value &= MASK
    return ((value >> shift) | (value << (64 - shift))) & MASK if shift else value


def _mix(value: int) -> int:
    value &= MASK
    return value ^ (value >> 47)


def _join(first: int, second: int, factor: int) -> int:
    """Two words as one."""
    a = _mix((first ^ second) * factor)
    b = _mix((second ^ a) * factor)
    return b * factor & MASK


def _up_to_16(data: bytes) -> int:
    length = len(data)
    factor = K2 + length * 2
    if length >= 8:
        a = _word(data, 0) + K2
        b = _word(data, length - 8)
        c = _rotate(b, 37) * factor + a
        d = (_rotate(a, 25) + b) * factor
        return _join(c & MASK, d & MASK, factor)
    if length >= 4:
        return _join(length + (_half(data, 0) << 3), _half(data, length - 4), factor)
    if length:
        y = data[0] + (data[length >> 1] << 8)
        z = length + (data[length - 1] << 2)
        return _mix((y * K2) ^ (z * K0)) * K2 & MASK
    return K2


def _up_to_32(data: bytes) -> int:
    length = len(data)
    factor = K2 + length * 2
    a = _word(data, 0) * K1
    b = _word(data, 8)
    c = _word(data, length - 8) * factor
    d = _word(data, length - 16) * K2
    return _join(
        (_rotate(a + b, 43) + _rotate(c, 30) + d) & MASK,
        (a + _rotate(b + K2, 18) + c) & MASK,
        factor,
    )


def _up_to_64(data: bytes) -> int:
    length = len(data)
    factor = K2 + length * 2
    a = _word(data, 0) * K2 & MASK
    b = _word(data, 8)
    c = _word(data, length - 8) * factor & MASK
    d = _word(data, length - 16) * K2 & MASK
    y = (_rotate(a + b, 43) + _rotate(c, 30) + d) & MASK
    z = _join(y, (a + _rotate(b + K2, 18) + c) & MASK, factor)
    e = _word(data, 16) * factor & MASK
    f = _word(data, 24)
    g = (y + _word(data, length - 32)) * factor & MASK
    h = (z + _word(data, length - 24)) * factor & MASK
    return _join(
        (_rotate(e + f, 43) + _rotate(g, 30) + h) & MASK,
        (e + _rotate(f + a, 18) + g) & MASK,
        factor,
    )


def _weak(data: bytes, place: int, a: int, b: int) -> tuple[int, int]:
    """32 bytes and two seeds as two words."""
    w, x, y, z = (_word(data, place + 8 * i) for i in range(4))
    a = (a + w) & MASK
    b = _rotate(b + a + z, 21)
    c = a
    a = (a + x + y) & MASK
    b = (b + _rotate(a, 44)) & MASK
    return (a + z) & MASK, (b + c) & MASK


State = tuple[int, int, int, tuple[int, int], tuple[int, int]]


def _round(data: bytes, place: int, state: State, factor: int, last: bool) -> State:
    """64 more bytes; the last round differs a little."""
    x, y, z, v, w = state
    x = _rotate(x + y + v[0] + _word(data, place + 8), 37) * factor & MASK
    y = _rotate(y + v[1] + _word(data, place + 48), 42) * factor & MASK
    x ^= w[1] * 9 & MASK if last else w[1]
    y = (y + (v[0] * 9 if last else v[0]) + _word(data, place + 40)) & MASK
    z = _rotate(z + w[0], 33) * factor & MASK
    v = _weak(data, place, v[1] * factor & MASK, (x + w[0]) & MASK)
    w = _weak(data, place + 32, (z + w[1]) & MASK, (y + _word(data, place + 16)) & MASK)
    return z, y, x, v, w


def _longer(data: bytes) -> int:
    length = len(data)
    y = (SEED * K1 + 113) & MASK
    state: State = (
        (SEED * K2 + _word(data, 0)) & MASK,
        y,
        _mix(y * K2 + 113) * K2 & MASK,
        (0, 0),
        (0, 0),
    )
    end = (length - 1) // 64 * 64
    for place in range(0, end, 64):
        state = _round(data, place, state, K1, False)
    x, y, z, v, w = state
    factor = (K1 + ((z & 0xFF) << 1)) & MASK
    w = ((w[0] + ((length - 1) & 63)) & MASK, w[1])
    v = ((v[0] + w[0]) & MASK, v[1])
    w = ((w[0] + v[0]) & MASK, w[1])
    x, y, z, v, w = _round(data, length - 64, (x, y, z, v, w), factor, True)
    first = _join(v[0], w[0], factor) + _mix(y) * K0 + z
    second = _join(v[1], w[1], factor) + x
    return _join(first & MASK, second & MASK, factor)


def siphash64(data: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4 of a string of bytes.

    Example:
        >>> key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
        >>> hex(siphash64(bytes(range(15)), key))
        '0xa129ca6149be45e5'
    """
    k0, k1 = key
    state = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    whole = len(data) // 8 * 8
    tail = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    words = [_word(data, place) for place in range(0, whole, 8)]
    for word in (*words, tail):
        state[3] ^= word
        _sip_round(state)
        _sip_round(state)
        state[0] ^= word
    state[2] ^= 0xFF
    for _ in range(4):
        _sip_round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _left(value: int, shift: int) -> int:
    return (value << shift | value >> (64 - shift)) & MASK


def _sip_round(v: list[int]) -> None:
    v[0] = (v[0] + v[1]) & MASK
    v[1] = _left(v[1], 13) ^ v[0]
    v[0] = _left(v[0], 32)
    v[2] = (v[2] + v[3]) & MASK
    v[3] = _left(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & MASK
    v[3] = _left(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & MASK
    v[1] = _left(v[1], 17) ^ v[2]
    v[2] = _left(v[2], 32)
