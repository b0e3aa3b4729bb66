"""`TimeDistributed`: one layer for every step of a sequence."""

from __future__ import annotations

from typing import Any

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.promotion import Tensor
from chainrule.ir import tree
from chainrule.layers.layer import InputShape
from chainrule.layers.masks import checked_mask
from chainrule.layers.wrapper import Wrapper


class TimeDistributed(Wrapper):
    """Applies a layer to every step of a sequence, with the same weights.

    To the layer inside, all steps of all samples are the samples of one batch.

    Args:
        layer: the layer for a step, such as a convolution for the pictures of a film.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: when it is no layer.
        ShapeError: when the input has no axis of steps, or the mask does not fit.

    Example:
        >>> from chainrule.layers import Conv2D
        >>> films = functional.zeros((2, 10, 8, 8, 3))
        >>> TimeDistributed(Conv2D(4, 3))(films).shape
        (2, 10, 6, 6, 4)
    """

    def build(self, input_shape: InputShape) -> None:
        """Build the layer inside."""
        if len(input_shape) < 3 or isinstance(input_shape[0], (list, tuple)):
            raise ShapeError(
                "the input has no axis of steps",
                where=self.name,
                got=input_shape,
                expected="(samples, steps, ...)",
                fix="one number a step: x[:, :, None]; or the layer inside alone",
            )
        rows, steps, *rest = input_shape
        count = None if rows is None or steps is None else rows * steps
        self.layer.build_for((count, *rest))

    def call(
        self, inputs: Tensor, training: bool = False, mask: Tensor | None = None
    ) -> Any:
        """The layer inside, of every step.

        Args:
            inputs: `(samples, steps, ...)`.
            training: handed on to the layer inside.
            mask: `(samples, steps)`, or `(samples, steps, ...)` for sequences within
                steps; the layer inside gets what it says of the step.
        """
        rows, steps = inputs.shape[:2]
        told: dict[str, Any] = {}
        if mask is not None and functional.asarray(mask).ndim > 2:
            told["mask"] = _folded(functional.asarray(mask))
        elif mask is not None:
            checked_mask(self.name, mask, inputs)
        found = self.layer(_folded(inputs), training=training, **told)

        def unfold(value: Tensor) -> Tensor:
            return functional.reshape(value, (rows, steps, *value.shape[1:]))

        return tree.tree_map(unfold, found)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """That of the steps."""
        return previous_mask


def _folded(value: Tensor) -> Tensor:
    """Samples and steps as one axis."""
    rows, steps = value.shape[:2]
    return functional.reshape(value, (rows * steps, *value.shape[2:]))
