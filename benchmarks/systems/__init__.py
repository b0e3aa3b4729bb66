"""The libraries that are measured: ours and the peers, one file each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.networks import (
    BatchNorm,
    Conv,
    Depthwise,
    Dropout,
    GlobalAverage,
    Relu,
    walk,
)
from benchmarks.sequence_layers import Block, Embedding, LayerNorm, Recurrent
from benchmarks.workloads import FLOAT32, Workload

SEQUENTIAL = (Embedding, LayerNorm, Recurrent, Block)
REPOSITORY = Path(__file__).resolve().parents[2]
OURS = "chainrule"


@dataclass(frozen=True)
class Entry:
    """A system: where it runs and what it is called.

    Attributes:
        name: its name in results.
        label: how it is used.
        module: the module of `benchmarks.systems` that drives it.
        environment: the folder of its environment; none for the interpreter at hand.
        packages: distributions whose versions are reported.
        lacks: the kinds of layers that it does not have.
        trains: whether it can train, and not only answer.
        cache: the variable that names the folder of its compiled code, if it keeps any.
        variables: settings of its process.
    """

    name: str
    label: str
    module: str
    environment: str | None
    packages: tuple[str, ...]
    lacks: tuple[type, ...] = ()
    cache: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    trains: bool = True

    def python(self, folder: Path = REPOSITORY) -> Path:
        """The interpreter that runs it."""
        if self.environment is None:
            return Path(sys.executable)
        return folder / self.environment / "bin" / "python"

    def has_layers_of(self, workload: Workload) -> bool:
        """Whether it has all that the network is made of."""
        kinds = (layer for layer, _ in walk(workload.layers, workload.shape))
        return not any(isinstance(layer, self.lacks) for layer in kinds)


SYSTEMS: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            OURS,
            "compile and fit; predict_on_batch",
            "ours",
            None,
            ("chainrule", "numpy", "llvmlite"),
            cache="CHAINRULE_CACHE",
        ),
        Entry(
            FLOAT32,
            "the same in float32",
            "ours_float32",
            None,
            ("chainrule", "numpy", "llvmlite"),
            cache="CHAINRULE_CACHE",
        ),
        Entry(
            "jax",
            "one jit of lax.scan over all steps, donated, Adam by hand; a jit",
            "jax_scan",
            ".venv-bench-jax",
            ("jax", "jaxlib", "numpy"),
            cache="JAX_COMPILATION_CACHE_DIR",
            variables={
                "JAX_PLATFORMS": "cpu",
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            },
        ),
        Entry(
            "torch",
            "eager, channels last, fused Adam, rows picked from tensors in memory",
            "pytorch",
            ".venv-bench-torch",
            ("torch", "numpy"),
        ),
        Entry(
            "torch-compile",
            "as torch, with forward and loss under torch.compile",
            "pytorch_compiled",
            ".venv-bench-torch",
            ("torch", "numpy"),
            cache="TORCHINDUCTOR_CACHE_DIR",
            variables={"TORCHINDUCTOR_FREEZING": "1"},  # of weights that only answer
        ),
        Entry(
            "keras",
            "its fit on TensorFlow; a tf.function",
            "keras_fit",
            ".venv-bench-keras",
            ("keras", "tensorflow", "numpy"),
            variables={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        ),
        Entry(
            "sklearn",
            "partial_fit of MLPClassifier and MLPRegressor",
            "scikit",
            ".venv-bench-sklearn",
            ("scikit-learn", "numpy"),
            lacks=(
                *(Dropout, BatchNorm, Relu, Conv, Depthwise, GlobalAverage),
                *SEQUENTIAL,
            ),
        ),
        Entry(
            "onnxruntime",
            "a session with all optimizations",
            "onnx_session",
            ".venv-bench-torch",
            ("onnxruntime", "onnx", "numpy"),
            lacks=SEQUENTIAL,
            trains=False,
        ),
    )
}
PEERS = tuple(name for name in SYSTEMS if name not in (OURS, FLOAT32))


def thread_variables(threads: int) -> dict[str, str]:
    """Settings by which every system uses this many threads."""
    count = str(threads)
    names = (
        "CHAINRULE_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "NPROC",  # the thread pools of XLA
    )
    return {
        **dict.fromkeys(names, count),
        "TF_NUM_INTEROP_THREADS": "1" if threads == 1 else "2",
        "BENCHMARK_THREADS": count,
    }
