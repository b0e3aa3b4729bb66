"""Arithmetic with floats of 16 bits against PyTorch's, to the bit where it is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.ir.dtype import as_array, as_dtype, bfloat16
from chainrule.ir.trace import constant

torch = pytest.importorskip("torch")

HALVES = ("bfloat16", "float16")
Array = np.ndarray[Any, Any]


def every_kind() -> Array:
    """Float32 numbers of every exponent: subnormal, infinite and not-a-number too."""
    words = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    edges = np.arange(0, 2**32, 2**15, dtype=np.uint64)  # ties between neighbours
    around = np.concatenate([edges - 1, edges, edges + 1]) % 2**32
    return np.concatenate([words, around.astype(np.uint32)]).view(np.float32)


def words_of(value: Any) -> Array:
    """The bits of a tensor of either library, all that are not-a-number alike."""
    if isinstance(value, torch.Tensor):
        numbers, bits = value.float().numpy(), value.view(torch.int16).numpy()
    else:
        numbers = cr.astype(value, "float32").numpy()
        bits = np.asarray(value.data).view(np.int16)
    return np.where(np.isnan(numbers), np.int16(0x7FC0), bits)


def both(numbers: Array, name: str) -> tuple[Any, Any]:
    """The same numbers of 16 bits, here and there."""
    ours = constant(as_array(numbers, as_dtype(name)))
    return ours, torch.from_numpy(numbers).to(getattr(torch, name))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "native"])
@pytest.mark.parametrize("name", HALVES)
def test_rounding_is_to_the_nearest_and_to_even(name: str, compiled: bool) -> None:
    numbers = every_kind()

    def rounded(x: Any) -> Any:
        return cr.astype(x, name)

    given = (cr.jit(rounded) if compiled else rounded)(cr.asarray(numbers))
    expected = torch.from_numpy(numbers).to(getattr(torch, name))
    np.testing.assert_array_equal(words_of(given), words_of(expected))


@pytest.mark.parametrize("name", HALVES)
def test_widening_is_exact(name: str) -> None:
    words = np.arange(2**16, dtype=np.uint16)
    kind = bfloat16.numpy if name == "bfloat16" else np.dtype(np.float16)
    ours = constant(words.view(kind))
    theirs = torch.from_numpy(words.view(np.int16)).view(getattr(torch, name))
    for given in (cr.astype(ours, "float32"), cr.jit(cr.astype)(ours, "float32")):
        np.testing.assert_array_equal(given.numpy(), theirs.float().numpy())


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "native"])
@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize("name", HALVES)
def test_arithmetic_has_the_same_bits(
    name: str, operation: str, compiled: bool
) -> None:
    numbers = every_kind()[:100_000]
    x, a = both(numbers, name)
    y, b = both(np.roll(numbers, 7), name)
    function = getattr(cr, operation)
    given = (cr.jit(function) if compiled else function)(x, y)
    expected = getattr(torch, operation)(a, b)
    np.testing.assert_array_equal(words_of(given), words_of(expected))


@pytest.mark.parametrize("operation", ["less", "equal", "maximum", "sqrt", "floor"])
@pytest.mark.parametrize("name", HALVES)
def test_what_is_exact_agrees(name: str, operation: str) -> None:
    numbers = every_kind()[:100_000]
    x, a = both(numbers, name)
    y, b = both(np.roll(numbers, 3), name)
    single = operation in ("sqrt", "floor")
    ours, theirs = ((x,), (a,)) if single else ((x, y), (a, b))
    torchs = {"equal": "eq", "less": "lt"}.get(operation, operation)
    expected = getattr(torch, torchs)(*theirs)
    for function in (getattr(cr, operation), cr.jit(getattr(cr, operation))):
        given = function(*ours)
        if given.dtype == "bool":
            np.testing.assert_array_equal(given.numpy(), expected.numpy())
        else:  # of 0 and -0 either is the larger
            pair = [
                np.where(w == -(2**15), 0, w) for w in map(words_of, (given, expected))
            ]
            np.testing.assert_array_equal(*pair)


@pytest.mark.parametrize("name", HALVES)
def test_products_and_sums_are_near(name: str) -> None:
    random = np.random.default_rng(1)
    x, a = both(random.normal(size=(37, 130)).astype(np.float32), name)
    w, b = both(random.normal(size=(130, 45)).astype(np.float32), name)
    exact = a.double() @ b.double()
    step = 2.0**-8 if name == "bfloat16" else 2.0**-11  # half a unit of the last place
    for product in (x @ w, cr.jit(cr.matmul)(x, w)):
        far = np.abs(product.numpy() - exact.numpy())
        assert (far <= step * np.abs(exact.numpy()) + 1e-4).all()
        torchs = (a @ b).float().numpy()
        near = np.abs(product.numpy().astype(np.float32) - torchs)
        assert (near <= 2 * step * np.abs(torchs) + 1e-4).all()
    total = a.double().sum(0)
    for given in (cr.sum(x, axis=0), cr.jit(lambda v: cr.sum(v, axis=0))(x)):
        far = np.abs(given.numpy() - total.numpy())
        assert (far <= step * np.abs(total.numpy()) + 1e-5).all()
