from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chainrule.compiler import engine
from chainrule.compiler.llvm_types import ir
from chainrule.errors import CompileError

INCREMENT = """
@calls = global i64 0
@table = internal constant [4 x double] [double 1.0, double 2.0, double 3.0, double 5.0]
define double @entry(i64 %index) {
  %old = load i64, ptr @calls
  %new = add i64 %old, 1
  store i64 %new, ptr @calls
  %place = getelementptr [4 x double], ptr @table, i64 0, i64 %index
  %value = load double, ptr %place
  ret double %value
}
"""
LIBRARY = """
declare double @cbrt(double)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define double @entry(ptr %to, ptr %from, i64 %bytes) {
  call void @llvm.memset.p0.i64(ptr %to, i8 7, i64 %bytes, i1 false)
  %half = lshr i64 %bytes, 1
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %half, i1 false)
  %root = call double @cbrt(double 27.0)
  ret double %root
}
"""


def function(
    loaded: engine.LoadedObject, result: type | None, *kinds: type
) -> ctypes._CFuncPtr:
    return ctypes.CFUNCTYPE(result, *kinds)(loaded.address("entry"))


def resident_kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_loaded_code_reads_constants_and_keeps_its_own_data() -> None:
    code = engine.compile_module(INCREMENT)
    first, second = engine.load_object(code), engine.load_object(code)
    call = function(first, ctypes.c_double, ctypes.c_int64)
    assert [call(index) for index in range(4)] == [1.0, 2.0, 3.0, 5.0]
    counts = [
        ctypes.c_int64.from_address(loaded.address("calls")).value
        for loaded in (first, second)
    ]
    assert counts == [4, 0]


def test_calls_into_the_c_library_are_resolved() -> None:
    code = engine.compile_module(LIBRARY)
    names = set(engine.undefined_symbols(code))
    assert names <= {"cbrt", "memcpy", "memset"}
    assert {"memcpy", "memset"} <= names or sys.platform != "linux"
    loaded = engine.load_object(code)
    pointer = ctypes.c_void_p
    call = function(loaded, ctypes.c_double, pointer, pointer, ctypes.c_int64)
    target = ctypes.create_string_buffer(8)
    assert call(target, b"abcdefgh", 8) == pytest.approx(3.0, rel=1e-14)
    assert target.raw == b"abcd" + b"\7" * 4


def test_a_missing_function_is_named_before_anything_is_linked() -> None:
    text = "declare i32 @nobody_has_this() define i32 @entry() {"
    code = engine.compile_module(
        text + "%x = call i32 @nobody_has_this() %y = add i32 %x, 1 ret i32 %y }"
    )
    assert engine.undefined_symbols(code) == ("nobody_has_this",)
    with pytest.raises(CompileError, match="nobody_has_this"):
        engine.load_object(code)


def test_a_provided_function_is_called() -> None:
    callback = ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: 41)
    address = ctypes.cast(callback, ctypes.c_void_p).value
    assert address is not None
    engine.provide("test_engine_provided", address)
    loaded = engine.load_object(
        engine.compile_module(
            "declare i32 @test_engine_provided() define i32 @entry() {"
            "%x = call i32 @test_engine_provided() %y = add i32 %x, 1 ret i32 %y }"
        )
    )
    assert function(loaded, ctypes.c_int32)() == 42


@pytest.mark.parametrize(
    "text",
    [
        "define i32 @entry() { ret i64 1 }",
        "this is not LLVM",
        "define void @entry() {}",
    ],
)
def test_wrong_text_is_refused(text: str) -> None:
    with pytest.raises(CompileError, match="LLVM does not accept"):
        engine.compile_module(text)


def test_asking_for_an_address_again_and_again_keeps_nothing() -> None:
    loaded = engine.load_object(engine.compile_module(INCREMENT))
    first, kept = loaded.address("entry"), len(loaded._trackers)
    assert {loaded.address("entry") for _ in range(5)} == {first}
    assert len(loaded._trackers) == kept


def test_an_unknown_symbol_and_a_closed_object_are_errors() -> None:
    loaded = engine.load_object(engine.compile_module(INCREMENT))
    with pytest.raises(CompileError, match="no_such_symbol"):
        loaded.address("no_such_symbol")
    loaded.close()
    loaded.close()
    with pytest.raises(CompileError, match="closed"):
        loaded.address("entry")


def test_code_is_the_same_in_another_process() -> None:
    script = (
        "import sys, hashlib; from chainrule.compiler import engine;"
        "code = engine.compile_module(sys.stdin.read());"
        "print(engine.host_target().fingerprint, hashlib.sha256(code).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            input=LIBRARY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].startswith(engine.host_target().fingerprint)


def test_passes_and_straight_selection_compute_the_same() -> None:
    results = []
    for passes in (True, False):
        loaded = engine.load_object(engine.compile_module(INCREMENT, passes))
        call = function(loaded, ctypes.c_double, ctypes.c_int64)
        results.append([call(index) for index in range(4)])
    assert results[0] == results[1] == [1.0, 2.0, 3.0, 5.0]


def test_the_width_of_a_vector_fits_the_registers_of_the_machine() -> None:
    target = engine.host_target()
    module = ir.Module()
    vector = ir.VectorType(ir.FloatType(), target.lanes(4))
    pointer = vector.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer])
    entry = ir.Function(module, kind, "entry")
    engine.set_attributes(entry, target)
    builder = ir.IRBuilder(entry.append_basic_block())
    value = builder.load(entry.args[0])
    builder.store(builder.fadd(value, value), entry.args[0])
    builder.ret_void()
    listing = engine.assembly(str(module))
    if target.architecture == "x86_64":
        register = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[target.vector_bytes]
        assert listing.count(register) >= 2
        assert "prefer-vector-width" in str(module)


def test_many_threads_compile_and_load_at_once() -> None:
    def make(number: int) -> int:
        text = f"define i64 @entry() {{ ret i64 {number} }}"
        loaded = engine.load_object(engine.compile_module(text))
        return int(function(loaded, ctypes.c_int64)())

    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(make, range(64))) == list(range(64))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_code_is_made_beside_others() -> None:
    texts = [f"define i64 @f() {{ ret i64 {number} }}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        beside = pool.map(engine.compile_beside, texts)
        plain = [engine.compile_module(text, passes=False) for text in texts]
        assert list(beside) == plain
    with pytest.raises(CompileError):
        engine.compile_beside("define i64 @f(")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_waits_for_code_that_is_made_beside() -> None:
    script = """
import os, threading, warnings
from chainrule.compiler import engine
from chainrule.compiler.kernels.gemm import module_text

warnings.simplefilter("ignore")  # of forks in processes with threads
text = module_text("float32", engine.host_target())
maker = threading.Thread(target=engine.compile_beside, args=(text,))
maker.start()
while not engine._BESIDE.locked():
    pass
child = os.fork()
if child == 0:
    engine.compile_beside("define i64 @f() { ret i64 1 }")
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
maker.join()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_freed_programs_give_their_memory_back() -> None:
    big = "@room = global [500000 x i8] zeroinitializer, align 64\n"
    code = engine.compile_module(big + INCREMENT)

    def use(times: int) -> None:
        for _ in range(times):
            loaded = engine.load_object(code)
            start = loaded.address("room")
            ctypes.memset(start, 1, 500000)
            del loaded

    use(100)
    before = resident_kilobytes()
    use(1000)
    # One object that stays has 490 kilobytes; a leak would show 1,000 times.
    assert resident_kilobytes() - before < 4000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_compiling_again_and_again_does_not_grow() -> None:
    def make(first: int, count: int) -> None:
        for number in range(first, first + count):
            engine.compile_module(INCREMENT.replace("@entry", f"@entry{number}"))

    make(0, 100)
    before = resident_kilobytes()
    make(100, 400)
    assert resident_kilobytes() - before < 3000


def test_importing_the_package_does_not_load_llvm() -> None:
    script = "import chainrule, sys; print('llvmlite' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"
