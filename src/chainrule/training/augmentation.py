"""Layers that change each batch before a network is trained on it, inside the step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule import functional
from chainrule.configurable import snake_case
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.layers.augmentation import IMAGES, LABELS, MASKS
from chainrule.layers.pipeline import apply, check_layers
from chainrule.training.checks import SPARSE

WHERE = "compile(augmentation=...)"
TAG = 0x61756700  # its random numbers are not those of the network
X, Y, WEIGHT = "x", "y", "sample_weight"


class Augmenter:
    """What `compile(augmentation=...)` was told.

    Pictures are changed and, by layers that mix them, labels and weights of samples.
    Labels that are pictures of the same size, as in segmentation, move along as masks.

    Args:
        layers: one or several layers, or their configs.

    Raises:
        ArgumentError: for something else.
    """

    def __init__(self, layers: Any) -> None:
        self.layers = check_layers(WHERE, layers)

    @property
    def mixes(self) -> bool:
        """Whether some layer mixes samples."""
        within = (part for layer in self.layers for part in layer.walk())
        return any(getattr(part, "mixes", False) for part in within)

    def __call__(self, batch: Any, key: Any, losses: Sequence[Any]) -> dict[str, Any]:
        """A batch as the network is trained on it.

        Args:
            batch: `x`, and perhaps `y` and `sample_weight`.
            key: of this step.
            losses: those of the outputs, where they are known.

        Raises:
            ArgumentError: when the input is no pictures, a layer has weights, or labels
                cannot be mixed.
        """
        if not hasattr(batch[X], "spec") or batch[X].spec.ndim != 4:
            raise _no_pictures(batch[X])
        if self.mixes and Y in batch:
            batch = {**batch, Y: _mixable(batch[Y], losses)}
        data, masks = _gathered(batch)
        self._build(data[IMAGES].spec.shape)
        with random.stream(random.fold_in(key, TAG)):
            for layer in self.layers:
                data = apply(layer, data, True)
        return _scattered(batch, data, masks)

    def _build(self, shape: Any) -> None:
        """Let every layer see the shape of the pictures, and make no weights."""
        for layer in self.layers:
            with random.stream(random.key(0)):
                layer.build_for(shape)
                shape = layer.compute_output_shape(shape)
            if layer.weights:
                raise ArgumentError(
                    "what has weights belongs into the network, where it is trained",
                    where=WHERE,
                    got=f"{type(layer).__name__} of {layer.count_params()} weights",
                    expected="layers without weights, such as RandomFlip",
                )


def _no_pictures(x: Any) -> ArgumentError:
    several = not hasattr(x, "spec")
    return ArgumentError(
        "augmentation changes the pictures that a network takes",
        where=WHERE,
        got="several inputs" if several else f"x {x.spec}",
        expected="one input (samples, height, width, channels)",
        fix="put layers such as RandomFlip behind the input they belong to"
        if several
        else None,
    )


def _is_map(part: Any, pictures: Any) -> bool:
    """Whether labels say something for each pixel."""
    shape = part.spec.shape
    return len(shape) in (3, 4) and shape[1:3] == pictures.spec.shape[1:3]


def _gathered(batch: Any) -> tuple[dict[str, Any], list[bool]]:
    """A batch as layers take it, and which leaves of the labels are masks."""
    leaves, _ = tree.flatten(batch.get(Y, []))
    masks = [_is_map(leaf, batch[X]) for leaf in leaves]
    pairs = list(zip(leaves, masks, strict=True))
    labels = {
        Y: [leaf for leaf, is_mask in pairs if not is_mask],
        WEIGHT: batch.get(WEIGHT, []),
    }
    data = {IMAGES: batch[X], LABELS: labels}
    if any(masks):
        data[MASKS] = [leaf for leaf, is_mask in pairs if is_mask]
    return data, masks


def _scattered(batch: Any, data: Any, masks: Sequence[bool]) -> dict[str, Any]:
    """The batch with what the layers made of its parts."""
    made = {**batch, X: data[IMAGES]}
    if Y in batch:
        plain, maps = iter(data[LABELS][Y]), iter(data.get(MASKS, []))
        leaves = [next(maps if is_mask else plain) for is_mask in masks]
        made[Y] = tree.unflatten(tree.flatten(batch[Y])[1], leaves)
    if WEIGHT in batch:
        made[WEIGHT] = data[LABELS][WEIGHT]
    return made


def _mixable(y: Any, losses: Sequence[Any]) -> Any:
    """Labels as numbers that can be mixed.

    Raises:
        ArgumentError: when they are numbers of classes.
    """
    sparse = any(_name(loss) in SPARSE for loss in losses)
    classes = [
        leaf
        for leaf in tree.flatten(y)[0]
        if not leaf.spec.dtype.is_float and (not losses or sparse)
        if leaf.spec.ndim == 1 or leaf.spec.shape[1:] == (1,)
    ]
    if sparse or classes:
        raise ArgumentError(
            "samples are mixed, and between two classes there is no number of a class",
            where=WHERE,
            got="labels that are numbers of classes",
            expected="one-hot labels, (samples, classes)",
            fix="y = chainrule.utils.to_categorical(y)  # and compile with loss="
            '"categorical_crossentropy"',
        )

    def numbers(leaf: Any) -> Any:
        kind = leaf.spec.dtype
        return leaf if kind.is_float else functional.astype(leaf, "float32")

    return tree.tree_map(numbers, y)


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    own = getattr(loss, "__name__", None)
    return snake_case(own or type(loss).__name__)
