"""Changes that are drawn for each picture, and mixtures of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import layers
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.layers import Layer

Array = np.ndarray[Any, Any]


def change(layer: Layer, x: Any, key: int = 1) -> Any:
    with random.stream(random.key(key)):
        return layer(x, training=True)


def pictures(*shape: int) -> Array:
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def kinds(made: Array, x: Array) -> set[str]:
    """Which changes can be told from their results, where factors are fixed."""
    grey = x @ np.array([0.2989, 0.587, 0.114], "float32")
    stretched = (x - x.min((0, 1))) / np.ptp(x, axis=(0, 1)) * 255
    light = np.minimum(x + 0.5 * 255, 255)
    expected = {
        "brightness": np.clip(x + 0.5 * 255, 0, 255),
        "degeneration": x + 0.5 * (grey[..., None] - x),
        "contrast of the range": stretched,
        "solarization": np.where(light < 127.5, light, 255 - light),
        "sharpness": x,  # a factor of one half changes nothing
        "turn": x[::-1, ::-1],
    }
    return {n for n, y in expected.items() if np.allclose(made, y, atol=0.05)}


def test_each_sample_draws_one_of_the_changes() -> None:
    x = np.repeat(pictures(1, 9, 9, 3), 300, axis=0)
    layer = layers.RandAugment(num_ops=1, factor=(0.5, 0.5))
    # contrast, bits and skews are drawn all the same
    found = [kinds(each, x[0]) for each in change(layer, x).numpy()]
    counts = {name: sum(name in each for each in found) for name in set().union(*found)}
    assert set(counts) == {
        "brightness",
        "degeneration",
        "contrast of the range",
        "solarization",
        "sharpness",
        "turn",
    }
    assert all(10 < count < 50 for count in counts.values())  # 300 / 11 each
    assert all(len(each) <= 1 for each in found)


def test_more_changes_are_made_one_after_another() -> None:
    x = pictures(60, 8, 8, 3)
    once = change(layers.RandAugment(num_ops=1), x).numpy()
    assert once.min() >= 0
    assert once.max() <= 255
    many = change(layers.RandAugment(num_ops=4), x).numpy()
    assert np.abs(many - x).mean() > np.abs(once - x).mean()


def test_masks_and_pictures_are_moved_alike() -> None:
    x = np.random.default_rng(0).integers(0, 9, (40, 12, 10, 1)).astype("int32")
    layer = layers.RandAugment(num_ops=2, interpolation="nearest")
    layer.values, layer._count = [], len(layer.moving)  # places alone
    made = change(layer, {"images": x, "segmentation_masks": x})
    moved = made["segmentation_masks"].numpy()
    assert made["segmentation_masks"].dtype.name == "int32"
    np.testing.assert_array_equal(moved, made["images"].numpy())
    assert (moved != x).any()


def test_mixtures_lie_between_the_pictures_they_are_made_of() -> None:
    x = np.full((200, 6, 6, 3), 100, "float32")
    layer = layers.AugMix(chain_depth=1, factor=(0.2, 0.2))
    made = change(layer, x).numpy()
    # of one flat picture: lighter by 51, inverted, in fewer levels or black at most
    assert made.min() >= 0
    assert made.max() <= 255
    value = made[:, 3, 3, 0]
    assert (np.abs(value - 100) < 1e-3).mean() > 0.05
    assert np.std(value) > 3
    assert len(np.unique(value)) > 60


def test_the_weights_of_chains_are_shares() -> None:
    layer = layers.AugMix(num_chains=4, alpha=0.5)
    with random.stream(random.key(3)):
        keys, weights, share = layer.draw((500, 4, 4, 3))
    assert keys.shape == (3, 2)
    assert weights.shape == (4, 500)
    np.testing.assert_allclose(weights.numpy().sum(axis=0), 1, rtol=1e-5)
    assert abs(weights.numpy().mean() - 0.25) < 0.02
    assert 0 <= share.numpy().min() <= share.numpy().max() <= 1


def test_all_ops_are_eleven_kinds_or_seven() -> None:
    some = layers.AugMix(all_ops=False)
    names = {type(part).__name__ for part in [*some.moving, *some.values]}
    assert len(names) == 7
    every = layers.AugMix()
    more = {type(part).__name__ for part in [*every.moving, *every.values]} - names
    assert more == {
        "RandomBrightness",
        "RandomColorDegeneration",
        "RandomContrast",
        "RandomSharpness",
    }


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: layers.RandAugment(factor=1.5), "factor"),
        (lambda: layers.RandAugment(num_ops=0), "num_ops"),
        (lambda: layers.RandAugment(interpolation="cubic"), "interpolation"),
        (lambda: layers.AugMix(alpha=0), "alpha"),
        (lambda: layers.AugMix(chain_depth=0.5), "chain_depth"),
    ],
)
def test_mistakes_are_named(make: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        make()


@pytest.mark.parametrize("what", ["segmentation_masks", "bounding_boxes"])
def test_a_mixture_has_no_masks_and_no_boxes(what: str) -> None:
    x = pictures(2, 6, 6, 3)
    boxes = {"boxes": np.zeros((2, 1, 4), "float32")}
    data = {"images": x, what: boxes if "box" in what else x}
    layer = layers.AugMix(num_chains=1, chain_depth=1, bounding_box_format="xyxy")
    with pytest.raises(ArgumentError, match="several places"):
        change(layer, data)
