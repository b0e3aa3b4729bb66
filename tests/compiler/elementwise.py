"""Compile an elementary function as a loop over arrays, for the machine at hand."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.compiler.kernels.lanes import Lanes
from chainrule.compiler.llvm_types import IRBuilder, IRType, binding, ir

Array = np.ndarray[Any, Any]
Emitter = Callable[..., Lanes]
ELEMENTS = {
    np.dtype(np.float32): ir.FloatType(),
    np.dtype(np.float64): ir.DoubleType(),
    np.dtype(np.uint32): ir.IntType(32),
}


def build(function: Emitter, inputs: int, dtype: Any, lanes: int) -> Any:
    """void loop(pointers to the inputs and to the output, number of vectors)."""
    kind = ELEMENTS[np.dtype(dtype)]
    kind = kind if lanes == 1 else ir.VectorType(kind, lanes)
    index_type = ir.IntType(64)
    parameters = [kind.as_pointer()] * (inputs + 1) + [index_type]
    module = ir.Module()
    loop = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), "loop")
    blocks = [loop.append_basic_block(name) for name in ("entry", "body", "leave")]
    builder = ir.IRBuilder(blocks[0])
    builder.branch(blocks[1])
    builder.position_at_end(blocks[1])
    index = builder.phi(index_type)
    index.add_incoming(index_type(0), blocks[0])
    _body(builder, function, index, loop.args[:-1], np.dtype(dtype).itemsize)
    following = builder.add(index, index_type(1))
    index.add_incoming(following, blocks[1])
    again = builder.icmp_unsigned("<", following, loop.args[-1])
    builder.cbranch(again, blocks[1], blocks[2])
    builder.position_at_end(blocks[2])
    builder.ret_void()
    return module


def _body(
    builder: IRBuilder, function: Emitter, index: Any, pointers: Any, align: int
) -> None:
    places = [builder.gep(pointer, [index]) for pointer in pointers]
    loaded = [builder.load(place, align=align) for place in places[:-1]]
    result = function(*(Lanes(builder, value) for value in loaded))
    builder.store(result.value, places[-1], align=align)


def optimize(module: Any, machine: Any) -> Any:
    """Verify, and optimise as for a program."""
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    options = binding.create_pipeline_tuning_options(speed_level=2)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return parsed


def host_machine(cpu: str | None = None) -> Any:
    """This machine with the features that it has, or an older one of its kind."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    if cpu is not None:
        return target.create_target_machine(cpu=cpu, opt=2)
    features = binding.get_host_cpu_features().flatten()
    name = binding.get_host_cpu_name()
    return target.create_target_machine(cpu=name, features=features, opt=2)


class Elementwise:
    """A compiled loop; call it with arrays of one length, which `lanes` must divide."""

    def __init__(
        self,
        function: Emitter,
        inputs: int,
        dtype: Any,
        lanes: int = 16,
        cpu: str | None = None,
    ) -> None:
        # LLVM stores a vector of, say, three lanes in the space of four.
        assert lanes.bit_count() == 1
        machine = host_machine(cpu)
        module = optimize(build(function, inputs, dtype, lanes), machine)
        self.engine = binding.create_mcjit_compiler(module, machine)
        self.engine.finalize_object()
        kinds = [ctypes.c_void_p] * (inputs + 1) + [ctypes.c_int64]
        address = self.engine.get_function_address("loop")
        self.native = ctypes.CFUNCTYPE(None, *kinds)(address)
        self.dtype, self.lanes = dtype, lanes

    def __call__(self, *arrays: Array) -> Array:
        inputs = [np.ascontiguousarray(array, self.dtype) for array in arrays]
        output = np.empty(inputs[0].size, self.dtype)
        assert output.size % self.lanes == 0
        pointers = [array.ctypes.data for array in (*inputs, output)]
        self.native(*pointers, output.size // self.lanes)
        return output


def library_function(name: str) -> Elementwise:
    """The C library's float64 function of one argument, in a compiled loop."""
    path = ctypes.util.find_library("m")
    if path is not None:
        binding.load_library_permanently(path)
    double: IRType = ir.DoubleType()

    def call(x: Lanes) -> Lanes:
        kind = ir.FunctionType(double, [double])
        function = ir.Function(x.builder.module, kind, name)
        return Lanes(x.builder, x.builder.call(function, [x.value]))

    return Elementwise(call, 1, np.float64, lanes=1)
