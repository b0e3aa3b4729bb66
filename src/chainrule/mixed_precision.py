"""Computing in 16 bits with weights in 32: policies, and the scale of the loss.

Keras has some of the names twice; scripts that use the other ones run as well:
`Policy`, `global_policy`, `set_global_policy`.

Example:
    >>> from chainrule import mixed_precision
    >>> mixed_precision.Policy("mixed_float16").compute_dtype.name
    'float16'
"""

from __future__ import annotations

from chainrule.optimizers import LossScaleOptimizer
from chainrule.precision import DTypePolicy, dtype_policy, set_dtype_policy

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
