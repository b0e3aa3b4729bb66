"""Layers one after another, on pictures and on what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.ir import tree
from chainrule.layers.augmentation import BOXES, IMAGES, MASKS, Augmentation
from chainrule.layers.borders import CenterCrop, Cropping2D, ZeroPadding2D
from chainrule.layers.layer import Layer, LayerOptions
from chainrule.layers.registry import REGISTRY

# What they do to the borders of pictures, they can do to those of masks.
BORDERS = (CenterCrop, Cropping2D, ZeroPadding2D)


class Pipeline(Layer):
    """Layers one after another, without a model around them.

    Where the input is a dict with `images` (see `RandomFlip`), layers that augment see
    all of it, and others the pictures alone; those that pad and crop do the same to the
    masks.

    Args:
        layers: the layers, or their configs.
        **options: see `LayerOptions`.

    Raises:
        ArgumentError: for something else than layers; where pictures become larger or
            smaller and boxes or masks cannot follow.

    Example:
        >>> from chainrule.layers import RandomCrop, RandomFlip, ZeroPadding2D
        >>> crops = Pipeline([ZeroPadding2D(4), RandomCrop(32, 32), RandomFlip()])
        >>> crops(functional.zeros((2, 32, 32, 3)), training=True).shape
        (2, 32, 32, 3)
    """

    def __init__(self, layers: Sequence[Any], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.layers = check_layers(self.name, layers)

    def build(self, input_shape: Any) -> None:
        """Build the layers, each for what comes out of the one before it."""
        shape = input_shape
        if isinstance(shape, Mapping) and IMAGES in shape:
            shape = shape[IMAGES]
        for layer in self.layers:
            layer.build_for(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The input, changed by one layer after another."""
        for layer in self.layers:
            inputs = apply(layer, inputs, training)
        return inputs


def check_layers(where: str, layers: Any) -> list[Layer]:
    """Layers, each given as it is or as its config.

    Raises:
        ArgumentError: for something else.
    """
    given = [layers] if isinstance(layers, (Layer, Mapping)) else layers
    if not isinstance(given, (list, tuple)):
        given = [given]
    found = [
        REGISTRY.get(each) if isinstance(each, Mapping) else each for each in given
    ]
    for layer in found:
        if not isinstance(layer, Layer):
            raise ArgumentError(
                "this is no layer",
                where=where,
                got=repr(layer)[:200],
                expected="a list of layers",
                fix='[RandomFlip("horizontal"), RandomTranslation(0.1, 0.1)]',
            )
    return found


def apply(layer: Layer, data: Any, training: bool) -> Any:
    """What a layer makes of pictures, or of a dict of them and what belongs to them.

    Raises:
        ArgumentError: where boxes or masks cannot follow.
    """
    takes_all = isinstance(layer, (Augmentation, Pipeline))
    if takes_all or not isinstance(data, Mapping) or IMAGES not in data:
        return layer(data, training=training)
    made = {**data, IMAGES: layer(data[IMAGES], training=training)}
    sizes = [each[IMAGES].spec.shape[-3:-1] for each in (data, made)]
    if isinstance(layer, BORDERS) and MASKS in data:
        made[MASKS] = tree.tree_map(lambda m: _border(layer, m), data[MASKS])
    elif sizes[0] != sizes[1] and MASKS in data:
        raise _cannot_follow(layer, MASKS)
    if sizes[0] != sizes[1] and BOXES in data:
        raise _cannot_follow(layer, BOXES)
    return made


def _border(layer: Layer, masks: Any) -> Any:
    """Masks with the borders that a layer gives to pictures."""
    if masks.spec.ndim == 3:
        return functional.squeeze(_border(layer, masks[..., None]), axis=3)
    return functional.astype(layer(masks), masks.spec.dtype)


def _cannot_follow(layer: Layer, what: str) -> ArgumentError:
    return ArgumentError(
        f"{what} cannot follow where this layer takes their pictures",
        where=layer.name,
        got=type(layer).__name__,
        expected="layers that augment, such as RandomCrop",
    )
