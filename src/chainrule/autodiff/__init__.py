"""Differentiation: one reverse walk, and the transformations built on it."""

from chainrule.autodiff.batching import vmap
from chainrule.autodiff.checkpoint import checkpoint, custom_vjp
from chainrule.autodiff.levels import no_grad
from chainrule.autodiff.reverse import reverse
from chainrule.autodiff.rows import RowGradient
from chainrule.autodiff.scan import scan
from chainrule.autodiff.transforms import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

__all__ = [
    "RowGradient",
    "checkpoint",
    "custom_vjp",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "no_grad",
    "reverse",
    "scan",
    "value_and_grad",
    "vjp",
    "vmap",
]
