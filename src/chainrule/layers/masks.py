"""Masks: which steps of a sequence count, told by one layer to those behind it.

A mask is a boolean tensor `(samples, steps)` that hangs on a tensor of sequences. It
travels with that tensor through the layers that treat steps one by one; layers with
state skip what it leaves out, and so do losses and metrics.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Protocol

from chainrule import functional
from chainrule.errors import ShapeError
from chainrule.functional.masks import mask_of, with_mask
from chainrule.ir import tree
from chainrule.ir.value import Value


def masks_of(values: Any) -> Any:
    """The mask of a tensor, or those of a list of tensors; None where there are none.

    Example:
        >>> masks_of([functional.zeros((1, 2)), functional.zeros((1, 2))]) is None
        True
    """
    if isinstance(values, Value):
        return values.mask
    found = [mask_of(leaf) for leaf in tree.flatten(values)[0]]
    return None if all(mask is None for mask in found) else found


def checked_mask(where: str, mask: Any, inputs: Any) -> Any:
    """A mask as booleans, one for each step of each sample.

    Raises:
        ShapeError: when it has another shape.

    Example:
        >>> checked_mask("rnn", [[1, 0]], functional.zeros((1, 2, 3))).tolist()
        [[True, False]]
    """
    found = functional.astype(functional.asarray(mask), "bool")
    if found.shape != inputs.shape[:2]:
        raise ShapeError(
            "a mask says of each step whether it counts",
            where=where,
            got=f"a mask {found.shape} for an input {inputs.shape}",
            expected=inputs.shape[:2],
        )
    return found


class Masked(Protocol):
    """What is asked of a layer."""

    name: str
    mask_of_steps: bool

    @property
    def hands_masks_on(self) -> bool:
        """Whether what it gives may have masks."""

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of its output."""


def told(
    layer: Masked,
    inputs: Any,
    training: bool,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[dict[str, Any], Any]:
    """What `call` is told by keyword, and the mask of the inputs.

    A layer whose `call` takes `training` or `mask` gets them without being asked.
    """
    taken = _taken(type(layer).call)  # type: ignore[attr-defined]
    options = {**kwargs, "training": training} if "training" in taken else {**kwargs}
    mask = masks_of(inputs)
    if "mask" in taken and layer.mask_of_steps and not args:
        if kwargs.get("mask") is not None:
            mask = tree.tree_map(functional.asarray, kwargs["mask"])
        options["mask"] = mask
    return options, mask


@cache
def _taken(call: Callable[..., Any]) -> frozenset[str]:
    """The names of the arguments of `call`."""
    return frozenset(inspect.signature(call).parameters)


def hand_on(layer: Masked, inputs: Any, outputs: Any, mask: Any) -> None:
    """Hang masks on what a layer gave.

    Args:
        layer: the layer.
        inputs: what it was called with.
        outputs: what it gave.
        mask: the mask of the inputs, or a list of them.
    """
    if not layer.hands_masks_on:
        if mask is not None:
            warnings.warn(
                f"{layer.name!r} ({type(layer).__name__}) was given sequences with a "
                "mask and does not hand it on: layers behind it, and the loss, see "
                "every step. Give what skips steps (an LSTM, GlobalAveragePooling1D) "
                "its input before this layer.",
                stacklevel=3,
            )
        return
    found = layer.compute_mask(inputs, mask)
    if found is None:
        return
    masks = found if isinstance(found, (list, tuple)) else [found]
    for output, each in zip(tree.flatten(outputs)[0], masks, strict=False):
        with_mask(output, each)
