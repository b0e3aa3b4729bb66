"""Layers that mix the pictures of a batch, and their labels with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.ir.spec import Shape
from chainrule.layers.augmentation import Augmentation, BoxOptions, for_each
from chainrule.layers.augmentation_erasing import (
    Rectangles,
    covered,
    place_rectangles,
)
from chainrule.layers.factors import Factor, is_number, span


def others(x: Tensor, order: Tensor) -> Tensor:
    """The sample that each one is mixed with.

    Example:
        >>> x = functional.asarray([[1.0], [2.0], [3.0]])
        >>> others(x, functional.asarray([2, 0, 1])).numpy().ravel().tolist()
        [3.0, 1.0, 2.0]
    """
    return functional.take(x, order, axis=0)


class Mixing(Augmentation):
    """Base of layers that mix samples, and draw an order of them and shares.

    Labels are mixed by the shares: they are one-hot, or numbers of which a mean makes
    sense, and never the numbers of classes.
    """

    mixes = True

    def shares(self, drawn: Any) -> tuple[Tensor, Tensor]:
        """The sample that each is mixed with, and how much each keeps of itself."""
        raise NotImplementedError

    def change_labels(self, labels: Tensor, drawn: Any) -> Tensor:
        """Labels, mixed as much as their pictures.

        Raises:
            ArgumentError: for the numbers of classes.
        """
        kind, shape = labels.spec.dtype, labels.spec.shape
        if not kind.is_float and (len(shape) < 2 or shape[1:] == (1,)):
            raise ArgumentError(
                "between two classes there is no number of a class",
                where=self.name,
                got=f"labels {labels.spec}",
                expected="one-hot labels, (samples, classes)",
                fix="labels = chainrule.utils.to_categorical(labels)",
            )
        order, share = self.shares(drawn)
        numbers = labels if kind.is_float else functional.astype(labels, self.dtype)
        share = functional.reshape(
            functional.astype(share, numbers.dtype), (-1, *(1,) * (len(shape) - 1))
        )
        return share * numbers + (1 - share) * others(numbers, order)


class MixUp(Mixing):
    """While training adds to each picture another one of the batch, and to its label.

    `x = w * x_i + (1 - w) * x_j` and `y = w * y_i + (1 - w) * y_j`, with w of a beta
    distribution. Boxes of both stay. Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond
    empirical risk minimization", arXiv 1710.09412.

    In `fit` the labels are mixed only where the layer is part of
    `compile(augmentation=...)`; within a network it would not see them.

    Args:
        alpha: both parameters of the beta distribution, above 0: the smaller, the less
            is mixed.
        data_format: `channels_last` (the default) or `channels_first`.
        seed: mixed into the key, so that layers of different seeds differ.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: when `alpha` is not above 0, or labels are numbers of classes.

    Example:
        >>> data = {
        ...     "images": functional.reshape(functional.eye(4), (4, 2, 2, 1)),
        ...     "labels": functional.eye(4),
        ... }
        >>> mixed = MixUp()(data, training=True)
        >>> pixels = functional.reshape(mixed["images"], (4, 4))
        >>> bool((pixels == mixed["labels"]).all())
        True
    """

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        if not is_number(alpha) or not alpha > 0:
            raise ArgumentError(
                "alpha is a number above 0",
                where=self.name,
                got=f"alpha={alpha!r}",
                fix="alpha=0.2",
            )
        self.alpha = alpha

    def draw(self, shape: Shape) -> tuple[Tensor, Tensor]:
        """An order of the samples, and how much each keeps of itself."""
        order = random.permutation(self._key(), shape[0])
        share = random.beta(
            self._key(), (shape[0],), self.alpha, self.alpha, self.dtype
        )
        return order, share

    def shares(self, drawn: Any) -> tuple[Tensor, Tensor]:
        """What was drawn."""
        order, share = drawn
        return order, share

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """Sums of two pictures each."""
        order, share = drawn
        numbers, weight = functional.astype(images, self.dtype), for_each(share)
        return weight * numbers + (1 - weight) * others(numbers, order)

    def change_masks(self, masks: Tensor, drawn: Any) -> Tensor:
        """Sums of two masks each.

        Raises:
            ArgumentError: when they hold the numbers of classes.
        """
        if not masks.spec.dtype.is_float:
            raise ArgumentError(
                "between two classes there is no number of a class",
                where=self.name,
                got=f"segmentation_masks {masks.spec}",
                expected="one-hot masks of floats",
                fix="masks = chainrule.one_hot(masks[..., 0], classes)",
            )
        return self.change_images(masks, drawn)

    def change_box_sets(self, boxes: Any, drawn: Any) -> Any:
        """The boxes of both pictures, and their labels."""
        order, _ = drawn
        if not isinstance(boxes, Mapping):
            return functional.concat([boxes, others(boxes, order)], axis=1)
        return {
            name: functional.concat([part, others(part, order)], axis=1)
            for name, part in boxes.items()
        }


class CutMix(Mixing):
    """While training covers a rectangle of each picture with that of another one.

    Labels are mixed by the share of the area. Yun, Han, Oh, Chun, Choe, Yoo, "CutMix:
    regularization strategy to train strong classifiers with localizable features",
    arXiv 1905.04899.

    In `fit` the labels are mixed only where the layer is part of
    `compile(augmentation=...)`; within a network it would not see them.

    Args:
        factor: both parameters of a beta distribution, of which the area of the rest
            of the picture is drawn, from 0 (all or nothing) to 1 (all areas alike): a
            number for what lies between 0 and it, or a pair.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range; when labels are numbers of classes;
            for boxes, of which some would be cut in unclear ways.

    Example:
        >>> data = {
        ...     "images": functional.ones((2, 4, 4, 1)) * [[[[0.0]]], [[[1.0]]]],
        ...     "labels": functional.eye(2),
        ... }
        >>> CutMix()(data, training=True)["labels"].numpy().sum(axis=1).tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        span(self.name, "factor", factor)
        self.factor = factor

    def draw(self, shape: Shape) -> tuple[Tensor, Rectangles, Tensor]:
        """An order of the samples, a rectangle in each, and how much it leaves."""
        count = (shape[0],)
        alpha = self.uniform(count, *span(self.name, "factor", self.factor)) + 1e-6
        rest = random.beta(self._key(), count, alpha, alpha, self.dtype)
        side = functional.sqrt(1 - rest)
        place = place_rectangles(self, shape, side, side)
        order = random.permutation(self._key(), shape[0])
        return order, place, 1 - place.share(shape)

    def shares(self, drawn: Any) -> tuple[Tensor, Tensor]:
        """The order, and the area that is left of each picture."""
        order, _, share = drawn
        return order, share

    def change_images(self, images: Tensor, drawn: Any) -> Tensor:
        """Pictures with a rectangle of another one each."""
        numbers = functional.astype(images, self.dtype)
        return self.change_masks(numbers, drawn)

    def change_masks(self, masks: Tensor, drawn: Any) -> Tensor:
        """Masks with the same rectangles of the same others."""
        order, place, _ = drawn
        there = place.covers(masks.spec.shape)
        return covered(there, others(masks, order), masks)

    def change_box_sets(self, boxes: Any, drawn: Any) -> Any:
        """Refuse boxes.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError(
            "a rectangle may cover any part of an object: its box would be a guess",
            where=self.name,
            got="bounding_boxes",
            expected="images, and labels or segmentation_masks",
            fix="use MixUp, which keeps the boxes of both pictures",
        )
