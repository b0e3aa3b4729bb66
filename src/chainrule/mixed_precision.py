"""Computing in 16 bits with weights in 32: policies, and the scale of the loss.

Example:
    >>> from chainrule import mixed_precision
    >>> mixed_precision.DTypePolicy("mixed_float16").compute_dtype.name
    'float16'
"""

from __future__ import annotations

from chainrule.optimizers import LossScaleOptimizer
from chainrule.precision import DTypePolicy, dtype_policy, set_dtype_policy

__all__ = ["DTypePolicy", "LossScaleOptimizer", "dtype_policy", "set_dtype_policy"]
