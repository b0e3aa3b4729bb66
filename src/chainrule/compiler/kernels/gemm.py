"""The building block of all heavy work: products of matrices, summed over batches.

One module per element type holds every function; it is compiled once per machine, and
kernels of all shapes call into it. After Georganas et al., "High-Performance Deep
Learning via a Single Building Block" (arXiv 1906.06440), a product may sum over a batch
of operands, so that convolutions and long sums stay in registers.

Pointers are to elements, strides are counted in elements, integers are i64. SIZES
stands for `rows, columns, k, batches, a_batch, b_batch`.

- `gemm_nn(a, a_row, a_wrap, a_k, b, b_k, c, c_row, c_wrap, run, first, SIZES,
  accumulate)`, B contiguous along columns:
  C[i, j] = sum over r, q of A[r a_batch + i a_row + q a_k] B[r b_batch + q b_k + j].
- `gemm_nt_packed(a, a_row, a_wrap, a_k, b, b_column, c, c_row, c_wrap, run, first,
  SIZES, accumulate)`, B contiguous along k:
  the same sum of A[r a_batch + i a_row + q a_k] B[r b_batch + j b_column + q].
- `gemm_nt(a, a_row, b, b_column, c, c_row, SIZES)`, A and B contiguous along k:
  the same sum of A[r a_batch + i a_row + q] B[r b_batch + j b_column + q], as dot
  products, which are faster for few rows.
- `transpose(source, source_row, target, target_row, rows, columns)`:
  target[j target_row + i] = source[i source_row + j].

In the first two, rows come in runs of `run`: from the last row of a run to the next it
is `a_wrap` and `c_wrap` elements instead of `a_row` and `c_row`. The first row here is
number `first` of its run. Where `accumulate` is not 0, sums go on from those in C.

C is contiguous along columns and is overwritten. Nothing outside the named elements is
read or written. The order in which an element of C is summed depends on k and batches
only: the bits are the same however rows and columns are shared out. `gemm_nn` and
`gemm_nt_packed` give the same bits.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import fields
from functools import cache

from chainrule.compiler.cache import object_key, objects
from chainrule.compiler.engine import (
    Target,
    compile_beside,
    compile_module,
    host_target,
    load_object,
)
from chainrule.compiler.kernels.gemm_ahead import emit_ahead
from chainrule.compiler.kernels.gemm_blocked import emit_blocked
from chainrule.compiler.kernels.gemm_dot import DOT_COLUMNS, emit_dot_products
from chainrule.compiler.kernels.gemm_driver import emit_drivers
from chainrule.compiler.kernels.gemm_pairs import PairTile, emit_pairs
from chainrule.compiler.kernels.gemm_panel import emit_panels
from chainrule.compiler.kernels.register_tile import RegisterTile, declarations
from chainrule.compiler.kernels.transpose import emit_transpose
from chainrule.compiler.llvm_types import IRType, ir
from chainrule.errors import DTypeError

# The type of the result and of the sums.
_ELEMENTS = {"bfloat16": "float", "float32": "float", "float64": "double"}
# What each function takes: pointers and integers.
_ARGUMENTS = {
    "gemm_nn": "piiipipiiiiiiiiiii",
    "gemm_nt_packed": "piiipipiiiiiiiiiii",
    "gemm_nt": "pipipiiiiiii",
    "transpose": "pipiii",
    "gemm_nn_ahead": "piiipipiiiiiiiiiiipi",
    "gemm_nt_packed_ahead": "piiipipiiiiiiiiiiipi",
}
FUNCTIONS = tuple(_ARGUMENTS)
PAIR_FUNCTIONS = FUNCTIONS[:2]  # those of bfloat16, whose results are float32


def function_type(name: str) -> IRType:
    """The type of an exported function, to call it through a pointer.

    Example:
        >>> print(function_type("transpose"))
        void (ptr, i64, ptr, i64, i64, i64)
    """
    kinds = {"p": ir.PointerType(), "i": ir.IntType(64)}
    return ir.FunctionType(ir.VoidType(), [kinds[k] for k in _ARGUMENTS[name]])


def transposed_product(rows: int, columns: int, k: int, lanes: int) -> str:
    """Which function is faster where A and B are both contiguous along k.

    The costs are in cycles, for machines with one multiply-add a cycle; they were
    fitted to measurements, whose ratios they meet within a fifth. Decide by the sizes
    of the whole product, not of a thread's share: the two differ in the last bits.

    Returns:
        `"gemm_nt"` or `"gemm_nt_packed"`.

    Example:
        >>> transposed_product(rows=1, columns=128, k=1024, lanes=16)
        'gemm_nt'
        >>> transposed_product(rows=32, columns=128, k=10, lanes=16)
        'gemm_nt_packed'
    """
    vectors, depth = -(-columns // lanes), -(-k // lanes)
    tiles = -(-rows // DOT_COLUMNS) * -(-columns // DOT_COLUMNS)
    dots = tiles * (DOT_COLUMNS**2 * depth + 60)
    packed = vectors * (7.5 * lanes * depth + rows * k)
    return "gemm_nt" if dots < packed else "gemm_nt_packed"


def _check(dtype: str, target: Target) -> None:
    known = [n for n in _ELEMENTS if n != "bfloat16" or target.multiplies_pairs]
    if dtype not in known:
        raise DTypeError(
            "no matrix products of this type on this machine",
            where="GemmLibrary",
            got=dtype,
            expected=" or ".join(known),
        )


def module_text(dtype: str, target: Target) -> str:
    """The LLVM assembly of the module for one element type and machine.

    Raises:
        DTypeError: products of such elements are not made here.
    """
    _check(dtype, target)
    # Machines with vectors of 512 bits have registers for masks.
    tile = RegisterTile.of(
        _ELEMENTS[dtype],
        vector_bits=8 * target.vector_bytes,
        registers=target.vector_registers,
        masks=target.vector_bytes >= 64,
    )
    width = f'"prefer-vector-width"="{8 * target.vector_bytes}"'
    ending = f"attributes #0 = {{ nounwind {width} }}"
    if dtype == "bfloat16":
        pairs = PairTile(**{f.name: getattr(tile, f.name) for f in fields(tile)})
        parts = [declarations(pairs), *emit_pairs(pairs), ending]
        return "\n\n".join(parts) + "\n"
    parts = [
        declarations(tile),
        *emit_panels(tile),
        *emit_drivers(tile),
        *emit_blocked(tile),
        *emit_ahead(tile),
        emit_dot_products(tile),
        *emit_transpose(tile),
        ending,
    ]
    return "\n\n".join(parts) + "\n"


class GemmLibrary:
    """The compiled module of one element type, loaded into this process.

    Its functions go when it goes; `gemm_library` gives one that stays.

    Args:
        dtype: `"float32"`, `"float64"`, or `"bfloat16"` where the machine multiplies
            pairs of them; the results of that are float32.
        target: the machine whose vectors and registers it is made for.

    Raises:
        DTypeError: another dtype.

    Example:
        >>> library = gemm_library("float32")
        >>> library.address("gemm_nn") > 0
        True
    """

    def __init__(self, dtype: str, target: Target) -> None:
        _check(dtype, target)
        self.dtype = dtype
        # The text is in its final shape: LLVM's passes would only unroll it.
        code = objects().get(
            _key(dtype, target),
            lambda: compile_module(module_text(dtype, target), passes=False),
        )
        self._object = load_object(code)
        names = PAIR_FUNCTIONS if dtype == "bfloat16" else FUNCTIONS
        self._addresses = {name: self._object.address(name) for name in names}

    def address(self, name: str) -> int:
        """Where one of `FUNCTIONS` lies; it stays there as long as this object."""
        return self._addresses[name]


@cache
def gemm_library(dtype: str) -> GemmLibrary:
    """The library of an element type, compiled or read from the cache at first use."""
    return GemmLibrary(dtype, host_target())


def prepare_library(dtype: str) -> None:
    """Begin to compile a library in another thread, where it is not there yet.

    Whoever asks for it in the meantime waits for that thread.
    """
    target = host_target()
    key = _key(dtype, target)
    if objects().has(key):
        return

    def make() -> None:
        objects().get(key, lambda: compile_beside(module_text(dtype, target)))

    with suppress(RuntimeError):  # no more threads: it is compiled when it is needed
        threading.Thread(target=make, name="chainrule-library").start()


def _key(dtype: str, target: Target) -> str:
    shape = f"{target.vector_bytes} bytes, {target.vector_registers} registers"
    return object_key(f"gemm {dtype}, {shape}", target.fingerprint)
