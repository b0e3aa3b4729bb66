"""`Masking`: steps of nothing but one number are skipped."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.layers.layer import Layer, LayerOptions


class Masking(Layer):
    """Marks the steps whose features all have one value, so that they are skipped.

    Recurrent layers keep their state over such steps, and losses and metrics leave
    them out; see `chainrule.layers.masks`. What stands there becomes 0.

    Args:
        mask_value: the value, such as that of the padding.
        **options: see `LayerOptions`.

    Example:
        >>> from chainrule.layers import SimpleRNN
        >>> masking, rnn = Masking(), SimpleRNN(2)
        >>> short, long = [[[1.0], [2.0]]], [[[1.0], [2.0], [0.0], [0.0]]]
        >>> bool((rnn(masking(short)) == rnn(masking(long))).all())
        True
    """

    def __init__(
        self, mask_value: float = 0.0, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, inputs: Tensor) -> Tensor:
        """The input, and 0 in the steps that are skipped."""
        counts = functional.any(inputs != self.mask_value, axis=-1, keepdims=True)
        return functional.where(counts, inputs, 0.0)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """True for the steps that count."""
        return functional.any(functional.not_equal(inputs, self.mask_value), axis=-1)
