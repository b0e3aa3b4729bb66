"""Neural networks trained by backpropagation that can be opened and understood."""

from importlib import import_module
from typing import Any

from chainrule import errors, functional
from chainrule.autodiff import (
    RowGradient,
    checkpoint,
    custom_vjp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    no_grad,
    scan,
    value_and_grad,
    vjp,
    vmap,
)
from chainrule.functional import *  # noqa: F403 - it says in __all__ what it exports
from chainrule.jit import jit
from chainrule.symbolic import SymbolicTensor
from chainrule.tensor import Tensor
from chainrule.variable import Variable
from chainrule.version import VERSION

__version__ = VERSION

__all__ = [
    "RowGradient",
    "SymbolicTensor",
    "Tensor",
    "Variable",
    "checkpoint",
    "custom_vjp",
    "errors",
    "functional",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "no_grad",
    "scan",
    "value_and_grad",
    "vjp",
    "vmap",
]
__all__ += functional.__all__

# Imported at first use, so that arrays alone load NumPy alone.
_MODULES = (
    "activations",
    "applications",
    "boxes",
    "callbacks",
    "constraints",
    "data",
    "datasets",
    "explain",
    "generation",
    "initializers",
    "keras",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "optimizers",
    "recipes",
    "regularizers",
    "text",
    "training",
    "utils",
)
_NAMES = {
    "DTypePolicy": "precision",
    "Input": "layers",
    "Model": "models",
    "Sequential": "models",
    "Split": "training",
    "dtype_policy": "precision",
    "find_learning_rate": "models",
    "load_model": "models",
    "set_dtype_policy": "precision",
    "trace_step": "explain",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'chainrule' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_NAMES})
