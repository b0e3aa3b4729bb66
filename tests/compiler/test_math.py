from __future__ import annotations

import platform
import re
from typing import Any

import numpy as np
import pytest

from chainrule.compiler.kernels.lanes import Lanes
from chainrule.compiler.kernels.math import FUNCTIONS, MAXIMUM_ULP, emit
from chainrule.compiler.llvm_types import binding, ir
from chainrule.errors import ArgumentError
from tests.compiler.elementwise import Elementwise, build, optimize
from tests.compiler.reference import (
    BINARY,
    HAS_EXTENDED,
    REFERENCE,
    UNARY,
    Array,
    evaluate,
    ulp_error,
)

WIDTHS = {np.float32: (32, np.uint32), np.float64: (64, np.uint64)}
both_widths = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def padded(values: Array, multiple: int = 48) -> Array:
    """Repeat from the front up to a length that any number of lanes divides."""
    return np.resize(values, -(-values.size // multiple) * multiple)


def boundaries(dtype: Any) -> Array:
    """Every power of two, both zeros, the infinities, nan, and their neighbours."""
    bits, unsigned = WIDTHS[dtype]
    fraction = np.finfo(dtype).nmant
    starts = np.arange(1 << (bits - fraction), dtype=unsigned) << unsigned(fraction)
    around = [starts + unsigned(step) for step in range(4)]
    around += [starts - unsigned(step) for step in range(1, 4)]
    return np.concatenate(around).view(dtype)


def multiples_of_quarter_turn(dtype: Any) -> Array:
    """Where sin, cos or tan are near zero."""
    counts = np.arange(1, 20000)
    exact = (counts * (np.pi / 2)).astype(dtype)
    return np.concatenate([np.nextafter(exact, 0), exact, np.nextafter(exact, 1e9)])


def arguments(dtype: Any) -> Array:
    special = np.concatenate([boundaries(dtype), multiples_of_quarter_turn(dtype)])
    if dtype == np.float32:
        words = np.arange(0, 1 << 32, 4099, dtype=np.uint64).astype(np.uint32)
        return padded(np.concatenate([words.view(np.float32), special]))
    generator = np.random.default_rng(20)
    count = 40000
    words = generator.integers(0, 1 << 64, count, dtype=np.uint64, endpoint=False)
    scaled = [generator.uniform(-r, r, count) for r in (1, 2, 10, 40, 750)]
    spread = np.exp(generator.uniform(-40, 40, count))
    near_one = 1 + generator.uniform(-1e-3, 1e-3, count)
    everything = [words.view(np.float64), special, *scaled, spread, near_one]
    return padded(np.concatenate(everything))


def grid(dtype: Any) -> tuple[Array, Array]:
    """Every pair of special values."""
    limits = np.finfo(dtype)
    positive = [0, 1, 2, 3, 4, 0.5, 1.5, 33, np.inf, limits.max, limits.tiny]
    positive += [limits.smallest_subnormal, 2.0**24, 2.0**24 + 1, 2.0**53 - 1]
    positive += [1 + 2.0**-20, 1 - 2.0**-20, 1 + limits.eps]
    values = np.array([*positive, *(-value for value in positive), np.nan], dtype)
    left, right = np.meshgrid(values, values)
    return left.ravel(), right.ravel()


def pairs(name: str, dtype: Any) -> list[Array]:
    generator = np.random.default_rng(21)
    count = 100_000
    bits, unsigned = WIDTHS[dtype]
    random = generator.integers(0, 1 << bits, (2, count), dtype=unsigned).view(dtype)
    largest = float(np.log(np.finfo(dtype).max))
    base = np.exp(generator.uniform(-largest * 1.05, largest, count)).astype(dtype)
    close = 1 + generator.normal(size=count) * np.exp(generator.uniform(-14, -1, count))
    base = np.concatenate([base, np.abs(close).astype(dtype)])
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        turned = (generator.normal(size=2 * count) * base).astype(dtype)
        reach = 1.1 * largest / np.abs(np.log(base.astype(np.float64)))
        power = (generator.uniform(-1, 1, 2 * count) * reach).astype(dtype)
    second_factor = turned if name == "atan2" else power
    first, second = grid(dtype)
    return [
        padded(np.concatenate([random[0], base, first])),
        padded(np.concatenate([random[1], second_factor, second])),
    ]


def allowed(name: str, dtype: Any) -> float:
    """The stated bound, and one more where the reference is as coarse as the result."""
    exact_reference = dtype == np.float32 or (HAS_EXTENDED and name != "erf")
    return MAXIMUM_ULP[name][WIDTHS[dtype][0]] + (0 if exact_reference else 1)


def assert_close(name: str, got: Array, inputs: list[Array]) -> None:
    error = ulp_error(got, evaluate(name, inputs))
    worst = int(np.argmax(error))
    place = [array[worst] for array in inputs]
    bound = allowed(name, got.dtype.type)
    assert error[worst] <= bound, f"{name}{place} = {got[worst]}: {error[worst]} ulp"


@both_widths
@pytest.mark.parametrize("name", UNARY)
def test_unary_function_is_within_its_bound(name: str, dtype: Any) -> None:
    inputs = arguments(dtype)
    assert_close(name, Elementwise(FUNCTIONS[name], 1, dtype)(inputs), [inputs])


@both_widths
@pytest.mark.parametrize("name", BINARY)
def test_binary_function_is_within_its_bound(name: str, dtype: Any) -> None:
    inputs = pairs(name, dtype)
    assert_close(name, Elementwise(FUNCTIONS[name], 2, dtype)(*inputs), inputs)


@both_widths
@pytest.mark.parametrize("name", BINARY)
def test_special_pairs_follow_c99(name: str, dtype: Any) -> None:
    inputs = [padded(array) for array in grid(dtype)]
    got = Elementwise(FUNCTIONS[name], 2, dtype)(*inputs)
    with np.errstate(all="ignore"):
        expected = REFERENCE[name](*inputs)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    exact = np.isinf(expected) | (expected == 0) | (np.abs(expected) == 1)
    np.testing.assert_array_equal(got[exact], expected[exact])
    signs = np.signbit(got) == np.signbit(expected)
    assert np.all(signs | np.isnan(expected))


@both_widths
def test_exp_reaches_subnormal_numbers_and_both_ends(dtype: Any) -> None:
    limits = np.finfo(dtype)
    least = float(np.log(limits.smallest_subnormal.astype(np.longdouble)))
    most = float(np.log(limits.max.astype(np.longdouble)))
    inputs = [least, least - 1, least + 3, most * (1 - 1e-6), most + 1, -np.inf]
    got = Elementwise(FUNCTIONS["exp"], 1, dtype)(padded(np.array(inputs, dtype)))
    assert got[0] == limits.smallest_subnormal
    assert got[1] == 0
    assert 0 < got[2] < limits.tiny
    assert np.isfinite(got[3])
    assert got[4] == np.inf
    assert got[5] == 0


# The oldest machine of this kind: on x86-64 one without fused multiply-add.
OLDEST = "x86-64" if platform.machine() in ("x86_64", "AMD64") else None


@both_widths
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_do_not_depend_on_lanes_or_machine(name: str, dtype: Any) -> None:
    count = 2 if name in BINARY else 1
    generator = np.random.default_rng(22)
    inputs = [generator.normal(size=960).astype(dtype) for _ in range(count)]
    wide, narrow, scalar, old = (
        Elementwise(FUNCTIONS[name], count, dtype, lanes, cpu)(*inputs)
        for lanes, cpu in [(16, None), (4, None), (1, None), (4, OLDEST)]
    )
    np.testing.assert_array_equal(narrow, wide)
    np.testing.assert_array_equal(scalar, wide)
    np.testing.assert_array_equal(old, wide)


# Machines to compile for, and what LLVM may call there: replacements of instructions
# that the machine lacks.
TARGETS = {
    "x86_64-unknown-linux-gnu": ("x86-64", r"fmaf?|floorf?|ceilf?|truncf?|rintf?"),
    "x86_64-pc-linux-gnu": ("haswell", r"(?!)"),
    "x86_64-apple-darwin": ("skylake-avx512", r"(?!)"),
    "aarch64-unknown-linux-gnu": ("generic", r"(?!)"),
}


@both_widths
@pytest.mark.parametrize("triple", TARGETS)
def test_no_library_function_is_called_on_any_machine(triple: str, dtype: Any) -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this LLVM has no target {triple}")
    cpu, replacements = TARGETS[triple]
    machine = target.create_target_machine(cpu=cpu, opt=2)
    for name, function in FUNCTIONS.items():
        module = build(function, 2 if name in BINARY else 1, dtype, 8)
        module.triple = triple
        text = machine.emit_assembly(optimize(module, machine))
        calls = re.findall(r"^\s+(?:callq?|bl)\s+_?([a-z0-9_]+)", text, re.MULTILINE)
        others = {call for call in calls if not re.fullmatch(replacements, call)}
        assert not others, f"{name} calls {others} for {cpu}"


def test_an_error_of_five_units_is_noticed() -> None:
    inputs = padded(np.linspace(-5, 5, 480, dtype=np.float32))

    def nearly(x: Lanes) -> Lanes:
        return FUNCTIONS["exp"](x) * (1 + 5 * 2.0**-23)

    with pytest.raises(AssertionError, match="ulp"):
        assert_close("exp", Elementwise(nearly, 1, np.float32)(inputs), [inputs])


@pytest.mark.parametrize(
    ("got", "expected"), [(0.0, -0.0), (1.0, np.nan), (np.nan, 1.0), (np.inf, -np.inf)]
)
def test_a_wrong_special_value_is_infinitely_far_off(
    got: float, expected: float
) -> None:
    error = ulp_error(np.array([got], np.float32), np.array([expected], np.float64))
    assert error[0] == np.inf


def test_every_function_has_a_bound_of_at_most_four() -> None:
    assert MAXIMUM_ULP.keys() == FUNCTIONS.keys()
    assert all(max(bounds.values()) <= 4 for bounds in MAXIMUM_ULP.values())


def test_an_unknown_name_is_refused() -> None:
    kind = ir.FloatType()
    function = ir.Function(ir.Module(), ir.FunctionType(kind, [kind]), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    with pytest.raises(ArgumentError, match="no such elementary function"):
        emit(builder, "gamma", function.args[0])


def test_reduction_of_the_hardest_argument_keeps_every_digit() -> None:
    # of all float64 numbers, this one is nearest to an odd multiple of pi/2
    hardest = float.fromhex("0x1.6ac5b262ca1ffp+849")
    largest = float(np.finfo(np.float64).max)
    inputs = padded(np.array([hardest, largest]))
    sine = Elementwise(FUNCTIONS["sin"], 1, np.float64)(inputs)
    cosine = Elementwise(FUNCTIONS["cos"], 1, np.float64)(inputs)
    expected_sine = np.array([1.0, 0.004961954789184061790502671])
    expected_cosine = np.array([-4.68716592425462761112e-19, -0.9999876894265599374649])
    np.testing.assert_array_max_ulp(sine[:2], expected_sine, 1)
    np.testing.assert_array_max_ulp(cosine[:2], expected_cosine, 1)
