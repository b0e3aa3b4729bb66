"""Layers that draw which changes they make to each picture, and mix their results."""

from __future__ import annotations

from typing import Any, Unpack

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.functional.promotion import Tensor
from chainrule.functional.sampling import Affine, affine_transform, check_sampling
from chainrule.ir.spec import Shape
from chainrule.layers.augmentation import BoxOptions, for_each
from chainrule.layers.augmentation_color import (
    BYTES,
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    ValueAugmentation,
)
from chainrule.layers.augmentation_filters import RandomSharpness
from chainrule.layers.augmentation_geometry import (
    AffineResampling,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    move_boxes,
)
from chainrule.layers.augmentation_levels import (
    AutoContrast,
    Equalization,
    RandomPosterization,
    Solarization,
)
from chainrule.layers.factors import Factor, ValueRange, is_number, span
from chainrule.layers.layer import check_positive


class Policy(ValueAugmentation):
    """Base of layers that change each sample in ways that are drawn for it.

    One round makes one change to each sample. All changes are computed for all samples
    and one is taken, so that a round is always the same program; those that move pixels
    are one map of their places, read once.

    Args:
        factor: how far pictures are changed; see the layers of each change.
        value_range: the least and the largest value that pixels have.
        interpolation: `bilinear` or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.
    """

    def __init__(
        self,
        factor: Factor,
        value_range: ValueRange = BYTES,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        check_sampling(interpolation, "reflect", self.name)
        self.factor = factor
        self.interpolation = interpolation
        span(self.name, "factor", factor)

    def _gather(self, every: bool, nothing: bool) -> None:
        """Make the changes; all of them or not, and whether there may be none."""
        reach = span(self.name, "factor", self.factor)
        self.moving = self._moving(reach)
        self.values = self._values(reach, every)
        self._count = len(self.moving) + len(self.values) + int(nothing)

    def _moving(self, reach: tuple[float, float]) -> list[AffineResampling]:
        """The changes that move pixels."""
        return [
            RandomShear(reach, reach, name="random_shear", dtype=self.dtype),
            RandomTranslation(
                reach, reach, name="random_translation", dtype=self.dtype
            ),
            RandomRotation(reach, name="random_rotation", dtype=self.dtype),
        ]

    def _values(
        self, reach: tuple[float, float], every: bool
    ) -> list[ValueAugmentation]:
        """The changes of values alone."""
        bits = max(1, int(8 * reach[1]))
        kinds: dict[Any, dict[str, Any]] = {
            Solarization: {"addition_factor": reach, "threshold_factor": reach},
            RandomPosterization: {"factor": bits},
            AutoContrast: {},
            Equalization: {},
        }
        if every:
            kinds |= {
                RandomBrightness: {"factor": reach},
                RandomColorDegeneration: {"factor": reach},
                RandomContrast: {"factor": reach},
                RandomSharpness: {"factor": reach},
            }
        made = {"value_range": self.value_range, "dtype": self.dtype}
        return [
            kind(**arguments, **made, name=kind.default_name())
            for kind, arguments in kinds.items()
        ]

    def _draw_round(self, shape: Shape) -> tuple[Tensor, Affine]:
        """Which change each sample is in for, and where its pixels lie."""
        which = random.randint(random.next_key(), (shape[0],), 0, self._count)
        one = functional.ones(shape[0], dtype=self.dtype)
        nothing = functional.zeros(shape[0], dtype=self.dtype)
        places = {"a": one, "b": nothing, "c": nothing}
        places |= {"d": nothing, "e": one, "f": nothing}
        for number, part in enumerate(self.moving):
            moved = vars(part.draw(shape))
            places = {
                name: functional.where(which == number, moved[name], place)
                for name, place in places.items()
            }
        return which, Affine(**places)

    def _one_round(self, images: Tensor, key: Tensor) -> Tensor:
        with random.stream(key):
            shape = images.spec.shape
            which, places = self._draw_round(shape)
            images = affine_transform(images, places, self.interpolation)
            for number, part in enumerate(self.values, len(self.moving)):
                changed = part.change_images(images, part.draw(shape))
                images = functional.where(for_each(which == number), changed, images)
            return images

    def change_in_rounds(self, images: Tensor, keys: Tensor) -> Tensor:
        """Pictures after as many rounds as there are keys."""
        for round_ in range(keys.spec.shape[0]):
            images = self._one_round(images, keys[round_])
        return images


class RandAugment(Policy):
    """While training makes a few changes to each picture, drawn from eleven kinds.

    They are those of `RandomShear`, `RandomTranslation`, `RandomRotation`,
    `RandomBrightness`, `RandomColorDegeneration`, `RandomContrast`, `RandomSharpness`,
    `RandomPosterization`, `Solarization`, `AutoContrast` and `Equalization`. Each
    sample draws its own; in Keras a batch has them in common. Cubuk, Zoph, Shlens, Le,
    "RandAugment: practical automated data augmentation with a reduced search space",
    arXiv 1909.13719.

    Args:
        value_range: the least and the largest value that pixels have.
        num_ops: how many changes are made, one after another.
        factor: how far, from 0 to 1: a number for what lies between 0 and it, or a
            pair.
        interpolation: `bilinear` or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an unknown word.

    Example:
        >>> augment = RandAugment(value_range=(0, 1), num_ops=1)
        >>> augment(functional.ones((2, 8, 8, 3)), training=True).shape
        (2, 8, 8, 3)
    """

    moves = True

    def __init__(
        self,
        value_range: ValueRange = BYTES,
        num_ops: int = 2,
        factor: Factor = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(
            factor,
            value_range,
            interpolation,
            seed,
            data_format,
            **options,
        )
        self._gather(every=True, nothing=False)
        self.num_ops = check_positive(self.name, "num_ops", num_ops)

    def draw(self, shape: Shape) -> Tensor:
        """A key for each round."""
        return random.split(self._key(), self.num_ops)

    def change_values(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Pictures after all rounds."""
        return self.change_in_rounds(images, drawn)

    def change_masks(self, masks: Tensor, drawn: Tensor) -> Tensor:
        """Masks, moved as their pictures."""
        for round_ in range(self.num_ops):
            with random.stream(drawn[round_]):
                _, places = self._draw_round(masks.spec.shape)
                masks = affine_transform(masks, places, "nearest")
        return masks

    def change_boxes(self, boxes: Tensor, drawn: Tensor, shape: Shape) -> Tensor:
        """Boxes, moved as their pictures."""
        for round_ in range(self.num_ops):
            with random.stream(drawn[round_]):
                _, places = self._draw_round(shape)
                boxes = move_boxes(boxes, places)
        return boxes


class AugMix(Policy):
    """While training mixes each picture with several that were made of it.

    Each of `num_chains` pictures is made of the first by up to `chain_depth` changes,
    those of `RandAugment`, or none; they are summed up with weights of a Dirichlet
    distribution, and the sum is mixed with the first by a share of a beta distribution.
    Hendrycks, Mu, Cubuk, Zoph, Gilmer, Lakshminarayanan, "AugMix: a simple data
    processing method to improve robustness and uncertainty", arXiv 1912.02781.

    Args:
        value_range: the least and the largest value that pixels have.
        num_chains: how many pictures are made of each.
        chain_depth: of how many changes.
        factor: how far, from 0 to 1: a number for what lies between 0 and it, or a
            pair.
        alpha: the parameters of both distributions, above 0.
        all_ops: whether brightness, colour, contrast and sharpness are changed as well.
        interpolation: `bilinear` or `nearest`.
        seed: mixed into the key, so that layers of different seeds differ.
        data_format: `channels_last` (the default) or `channels_first`.
        **options: see `BoxOptions`.

    Raises:
        ArgumentError: for a factor out of range, or an unknown word; for masks and
            boxes, as what is in a mixed picture is at several places.

    Example:
        >>> augment = AugMix(value_range=(0, 1), num_chains=2, chain_depth=1)
        >>> augment(functional.ones((2, 8, 8, 3)), training=True).shape
        (2, 8, 8, 3)
    """

    moves = True

    def __init__(
        self,
        value_range: ValueRange = BYTES,
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Factor = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[BoxOptions],
    ) -> None:
        super().__init__(
            factor,
            value_range,
            interpolation,
            seed,
            data_format,
            **options,
        )
        self.num_chains = check_positive(self.name, "num_chains", num_chains)
        self.chain_depth = check_positive(self.name, "chain_depth", chain_depth)
        if not is_number(alpha) or not alpha > 0:
            raise ArgumentError(
                "alpha is a number above 0",
                where=self.name,
                got=f"alpha={alpha!r}",
                fix="alpha=1.0",
            )
        self.alpha = alpha
        self.all_ops = all_ops
        self._gather(every=all_ops, nothing=True)

    def draw(self, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
        """A key for each round, the weights of chains, the share of the first."""
        keys = random.split(self._key(), self.chain_depth)
        parts = random.gamma(
            self._key(), (self.num_chains, shape[0]), self.alpha, self.dtype
        )
        parts = functional.maximum(parts, 1e-30)
        weights = parts / functional.sum(parts, axis=0, keepdims=True)
        share = random.beta(
            self._key(), (shape[0],), self.alpha, self.alpha, self.dtype
        )
        return keys, weights, share

    def change_values(
        self, images: Tensor, drawn: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Pictures, mixed with those that chains made of them."""
        keys, weights, share = drawn
        shape, chains = images.spec.shape, self.num_chains
        several = functional.concat([images] * chains, axis=0)
        made = functional.reshape(
            self.change_in_rounds(several, keys), (chains, *shape)
        )
        weights = functional.reshape(weights, (chains, shape[0], 1, 1, 1))
        mixed = functional.sum(weights * made, axis=0)
        return for_each(share) * images + for_each(1 - share) * mixed

    def change_masks(self, masks: Tensor, drawn: Any) -> Tensor:
        """Refuse masks.

        Raises:
            ArgumentError: always.
        """
        raise self._several_places("segmentation_masks")

    def change_boxes(self, boxes: Tensor, drawn: Any, shape: Shape) -> Tensor:
        """Refuse boxes.

        Raises:
            ArgumentError: always.
        """
        raise self._several_places("bounding_boxes")

    def _several_places(self, what: str) -> ArgumentError:
        return ArgumentError(
            "what is in a mixed picture is at several places",
            where=self.name,
            got=what,
            expected="images and labels",
            fix="RandAugment(...)",
        )
