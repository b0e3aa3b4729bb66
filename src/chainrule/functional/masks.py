"""Masks that hang on tensors of sequences: which steps count.

A mask is a boolean tensor `(samples, steps)`. Layers hang it on what they give
(`chainrule.layers.Masking`, `Embedding(mask_zero=True)`), layers behind them hand it
on, and losses and metrics leave out what it leaves out.
"""

from __future__ import annotations

from typing import Any

from chainrule.ir.value import Value


def mask_of(value: Any) -> Any:
    """The mask that hangs on a tensor; None where there is none.

    Example:
        >>> from chainrule.layers import Embedding
        >>> vectors = Embedding(9, 2, mask_zero=True)([[4, 0]])
        >>> mask_of(vectors).tolist(), mask_of(5.0) is None
        ([[True, False]], True)
    """
    return value.mask if isinstance(value, Value) else None


def with_mask(value: Any, mask: Any) -> Any:
    """`value`, with this mask on it unless it has one.

    Example:
        >>> from chainrule import functional
        >>> steps = with_mask(functional.zeros((1, 2, 3)), functional.ones((1, 2)) > 0)
        >>> mask_of(steps).shape
        (1, 2)
    """
    if mask is not None and isinstance(value, Value) and value.mask is None:
        value.mask = mask
    return value
