"""Measure the error of float32 functions over all 2^32 arguments.

    python -m tests.compiler.exhaustive [FUNCTION ...]

Prints the largest error of each in units in the last place, and where it is (zero where
every result is the nearest); exits with 1 where it is above the stated bound. About a
minute for each function.
"""

from __future__ import annotations

import sys

import numpy as np

from chainrule.compiler.kernels.math import FUNCTIONS, MAXIMUM_ULP
from tests.compiler.elementwise import Elementwise, library_function
from tests.compiler.reference import UNARY, Array, evaluate, ulp_error

BLOCK = 1 << 17


def worst(name: str) -> tuple[float, Array]:
    """The largest error over all arguments, and the argument that has it."""
    compiled = Elementwise(FUNCTIONS[name], 1, np.float32)
    library_erf = library_function("erf")
    largest, place = -1.0, np.zeros(1, np.float32)
    for start in range(0, 1 << 32, BLOCK):
        words = np.arange(start, start + BLOCK, dtype=np.uint64)
        arguments = words.astype(np.uint32).view(np.float32)
        got = compiled(arguments)
        if name == "erf":
            expected = library_erf(arguments.astype(np.float64))
        else:
            expected = evaluate(name, [arguments])
        off = np.flatnonzero(not_the_nearest(got, expected))
        error = ulp_error(got[off], expected[off])
        index = int(np.argmax(error)) if off.size else 0
        if off.size and error[index] > largest:
            largest, place = float(error[index]), arguments[off[index:][:1]]
    return max(largest, 0.0), place


def not_the_nearest(got: Array, expected: Array) -> Array:
    """Where the bits differ from the rounded reference: elsewhere nothing is wrong."""
    with np.errstate(all="ignore"):
        rounded = expected.astype(np.float32)
    return np.not_equal(got.view(np.uint32), rounded.view(np.uint32))


def main(names: list[str]) -> int:
    """Measure the functions named, or all, and compare with their bounds."""
    np.seterr(all="ignore")  # every signalling nan is among the arguments
    missed = 0
    for name in names or UNARY:
        largest, place = worst(name)
        bound = MAXIMUM_ULP[name][32]
        word = int(place.view(np.uint32)[0])
        print(f"{name:8} {largest:7.3f} at {place[0]!s:>16} (0x{word:08x})", flush=True)
        missed += largest > bound
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
