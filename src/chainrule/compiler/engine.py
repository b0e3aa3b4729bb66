"""LLVM as a service: text in, object code out; object code in, addresses out.

Kernels arrive vectorised, so the vectorisers of LLVM stay off; see `compile_module`. An
object is loaded into an engine of its own and unmapped when its `LoadedObject` goes.
All functions may be called from several threads, and before and after a fork.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite
from llvmlite.binding import ffi  # type: ignore[import-untyped, unused-ignore]

from chainrule.compiler.llvm_types import IRValue, binding
from chainrule.errors import CompileError

MACHINE_LEVEL = 3
PASS_LEVEL = 2
_LOCK = threading.RLock()
_BESIDE = (
    threading.Lock()
)  # taken before the other one, by who makes code beside others
_ELF_MAGIC = b"\x7fELF"
_ELF_SYMBOL_TABLE = 2
_LIBRARY = "object"
_PROVIDED: dict[str, int] = {}

# A fork while another thread is inside LLVM would leave its lock taken in the child.
if hasattr(os, "register_at_fork"):
    for _lock in (_LOCK, _BESIDE):  # the last one given is taken first
        os.register_at_fork(
            before=_lock.acquire,
            after_in_parent=_lock.release,
            after_in_child=_lock.release,
        )


@dataclass(frozen=True)
class Target:
    """The machine that code is made for.

    Attributes:
        triple: LLVM's name of architecture, vendor and operating system.
        cpu: LLVM's name of the processor.
        features: its instruction set extensions, as LLVM's list of `+name,-name`.
        vector_bytes: width of its widest vector register.
        vector_registers: how many of them there are.
        fingerprint: all that decides which code is made: the machine, the versions
            and the options. Equal text under equal fingerprints gives equal objects.

    Example:
        >>> host_target().lanes(4) == host_target().vector_bytes // 4
        True
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    fingerprint: str

    @property
    def architecture(self) -> str:
        """The first part of the triple, such as `x86_64` or `aarch64`."""
        return self.triple.partition("-")[0]

    @property
    def multiplies_pairs(self) -> bool:
        """Whether it has dot products of pairs of bfloat16, summed in float32."""
        return "+avx512bf16" in self.features.split(",") and self.vector_bytes >= 32

    def lanes(self, itemsize: int) -> int:
        """How many elements of `itemsize` bytes fill a vector register."""
        return max(1, self.vector_bytes // itemsize)


@cache
def host_target() -> Target:
    """The machine at hand."""
    with _llvm():
        triple = binding.get_process_triple()
        cpu = binding.get_host_cpu_name()
        features = binding.get_host_cpu_features()
    wide = bool(features.get("avx512f"))
    middle = bool(features.get("avx"))
    width = 64 if wide else 32 if middle else 16
    many = wide or triple.startswith(("aarch64", "arm64"))
    flat = features.flatten()
    versions = (llvmlite.__version__, *binding.llvm_version_info)
    options = f"machine-O{MACHINE_LEVEL} passes-O{PASS_LEVEL} pic small"
    parts = (triple, cpu, flat, ".".join(map(str, versions)), options)
    return Target(triple, cpu, flat, width, 32 if many else 16, "|".join(parts))


def set_attributes(function: IRValue, target: Target, *extra: str) -> None:
    """Give a defined function the attributes that every kernel carries.

    It raises nothing, and LLVM may use the full width of the vector registers where it
    would by itself prefer 256 bits of 512.

    Args:
        function: an `llvmlite.ir` function.
        target: the machine that it is for.
        extra: further attributes, such as `"alwaysinline"`.
    """
    for name in ("nounwind", *extra):
        function.attributes.add(name)
    # The set refuses names that it does not know; LLVM itself takes any string.
    width = f'"prefer-vector-width"="{8 * target.vector_bytes}"'
    set.add(function.attributes, width)


def compile_module(text: str, passes: bool = True) -> bytes:
    """Optimise LLVM assembly for the machine at hand and return its object code.

    Args:
        text: LLVM assembly.
        passes: whether to run LLVM's passes on it. Text that is in its final shape goes
            straight to the choice of instructions, in a third of the time.

    Raises:
        CompileError: LLVM does not accept the text.

    Example:
        >>> code = compile_module("define i32 @one() { ret i32 1 }")
        >>> load_object(code).address("one") > 0
        True
    """
    with _module(text, passes) as module:
        return bytes(_shared_machine().emit_object(module))


def compile_beside(text: str) -> bytes:
    """`compile_module` without passes, while another thread is inside LLVM.

    llvmlite lets one thread in at a time. The choice of instructions, which takes
    nearly all of the time, is a single call; on a context and a machine that nobody
    else uses, LLVM allows it beside whatever others do.

    Raises:
        CompileError: LLVM does not accept the text.

    Example:
        >>> text = "define i32 @one() { ret i32 1 }"
        >>> compile_beside(text) == compile_module(text, passes=False)
        True
    """
    with _BESIDE, ExitStack() as held:
        with _llvm():
            machine = held.enter_context(closing(_new_machine()))
            context = held.enter_context(binding.create_context())
            module = held.enter_context(_parsed(text, context))
        emit = ffi.lib.LLVMPY_TargetMachineEmitToMemory
        emit = getattr(emit, "_cfn", emit)  # without the lock of all its functions
        with ffi.OutputString() as error:
            buffer = emit(machine, module, 1, error)
            if not buffer:
                raise CompileError(str(error), where="compile_beside")
        start = ffi.lib.LLVMPY_GetBufferStart(buffer)
        code = ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(buffer))
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
        return code


def assembly(text: str, passes: bool = True) -> str:
    """The machine code that `compile_module` makes, as text for people."""
    with _module(text, passes) as module:
        return str(_shared_machine().emit_assembly(module))


class LoadedObject:
    """Object code in memory, ready to run, until `close` or until nobody holds it.

    Closing unmaps the code: no thread may be inside it, and addresses taken from it
    are void afterwards.
    """

    def __init__(self, code: bytes) -> None:
        _refuse_unresolved(code)
        builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol, address in _PROVIDED.items():
            builder.import_symbol(symbol, address)
        with _llvm():
            # One linker for each object: a shared one never forgets a library. It keeps
            # code and constants close together, as the small code model asks.
            linker = binding.create_lljit_compiler(
                _new_machine(), use_jit_link=True, suppress_errors=True
            )
            self._linker = linker
            self._addresses: dict[str, int] = {}
            self._trackers = [builder.link(linker, _LIBRARY)]
            self._close = weakref.finalize(self, _release, linker, self._trackers)
            # At exit a thread may still be inside; the process takes the memory along.
            self._close.atexit = False

    def address(self, symbol: str) -> int:
        """Where a function or global of this object lies.

        Raises:
            CompileError: the object is closed, or has no such symbol.
        """
        if not self._close.alive:
            raise CompileError("this object is closed", where=f"address of {symbol}")
        if symbol in self._addresses:
            return self._addresses[symbol]
        with _llvm():
            try:
                tracker = self._linker.lookup(_LIBRARY, symbol)
            except RuntimeError as error:
                raise CompileError(str(error), where=f"address of {symbol}") from error
            self._trackers.append(tracker)
            self._addresses[symbol] = int(tracker[symbol])
            return self._addresses[symbol]

    def close(self) -> None:
        """Give the memory back; a second call does nothing."""
        self._close()


def load_object(code: bytes) -> LoadedObject:
    """Link object code into this process.

    Raises:
        CompileError: it needs a symbol that this process does not have.
    """
    return LoadedObject(code)


def provide(symbol: str, address: int) -> None:
    """Let objects that are loaded from now on call `symbol` at `address`."""
    _PROVIDED[symbol] = address


def undefined_symbols(code: bytes) -> tuple[str, ...]:
    """Names that ELF object code expects from elsewhere; nothing for other formats."""
    if not code.startswith(_ELF_MAGIC):
        return ()
    table, strings = _symbol_sections(code)
    names = []
    for start, _, _, section, _, _ in struct.iter_unpack("<IBBHQQ", table):
        if start and section == 0:
            names.append(strings[start : strings.index(b"\0", start)].decode())
    return tuple(name for name in names if name != "_GLOBAL_OFFSET_TABLE_")


def _refuse_unresolved(code: bytes) -> None:
    """Name what is missing, which the linker does not."""
    process = _process_symbols()
    wanted = [name for name in undefined_symbols(code) if name not in _PROVIDED]
    missing = [name for name in wanted if process and not hasattr(process, name)]
    if missing:
        raise CompileError(
            "object code needs functions that this process does not have",
            where="load_object",
            got=", ".join(missing),
            fix="engine.provide(name, address)",
        )


def _symbol_sections(code: bytes) -> tuple[bytes, bytes]:
    """The symbol table of ELF object code, and the strings that it points into."""
    (start,) = struct.unpack_from("<Q", code, 0x28)
    size, count = struct.unpack_from("<HH", code, 0x3A)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", code, start + index * size)
        for index in range(count)
    ]
    for header in headers:
        if header[1] == _ELF_SYMBOL_TABLE:
            return _section(code, header), _section(code, headers[header[6]])
    return b"", b""


def _section(code: bytes, header: tuple[int, ...]) -> bytes:
    offset, size = header[4:6]
    return code[offset : offset + size]


@cache
def _process_symbols() -> ctypes.CDLL | None:
    """What the process has loaded, libm with certainty; none where names differ."""
    if sys.platform != "linux":
        return None
    # Other C libraries than GNU's keep the mathematics in themselves.
    with suppress(OSError):
        ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(None)


@cache
def _initialise() -> None:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    # Inline assembly is read by the assembler.
    binding.initialize_native_asmparser()


@contextmanager
def _llvm() -> Iterator[None]:
    """Hold the lock that a fork waits for."""
    with _LOCK:
        _initialise()
        yield


@contextmanager
def _module(text: str, passes: bool) -> Iterator[Any]:
    """The module in a context of its own, so that nothing of it stays behind."""
    with _llvm(), binding.create_context() as context, _parsed(text, context) as module:
        if passes:
            _optimise(module)
        yield module


def _optimise(module: Any) -> None:
    # Kernels arrive as vectors in the shape that was chosen for the machine; the
    # vectorisers of LLVM only cost time, and would touch the loops over tails.
    options = binding.create_pipeline_tuning_options(speed_level=PASS_LEVEL)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = binding.create_pass_builder(_shared_machine(), options)
    manager = builder.getModulePassManager()
    try:
        manager.run(module, builder)
    finally:
        # `close` reaches a base class that does nothing, and 60 kilobytes stay behind.
        binding.NewPassManager._dispose(manager)
        manager.detach()


def _parsed(text: str, context: Any) -> Any:
    try:
        module = binding.parse_assembly(text, context)
        module.verify()
    except RuntimeError as error:
        raise CompileError(
            "LLVM does not accept the text", where="compile_module", got=error
        ) from error
    return module


def _new_machine() -> Any:
    target = host_target()
    kind = binding.Target.from_triple(target.triple)
    return kind.create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=MACHINE_LEVEL,
        reloc="pic",
        codemodel="default",
    )


@cache
def _shared_machine() -> Any:
    return _new_machine()


def _release(linker: Any, trackers: list[Any]) -> None:
    with _LOCK:
        for tracker in trackers:
            tracker.close()
        linker.close()
