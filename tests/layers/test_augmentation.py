"""Pictures that are changed at random while a network trains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from chainrule import functional, layers
from chainrule.compiler.program import Program
from chainrule.errors import ArgumentError, ShapeError
from chainrule.functional import random
from chainrule.ir.dtype import uint8
from chainrule.ir.spec import Spec
from chainrule.ir.trace import trace
from chainrule.jit import jit
from chainrule.layers import Layer
from chainrule.layers.augmentation import Augmentation
from tests.tolerances import assert_compiled

Array = np.ndarray[Any, Any]

# every layer, made so that it changes something
EVERY: dict[str, Callable[..., Layer]] = {
    "AugMix": partial(layers.AugMix, num_chains=2, chain_depth=1),
    "AutoContrast": layers.AutoContrast,
    "CutMix": layers.CutMix,
    "Equalization": layers.Equalization,
    "MixUp": partial(layers.MixUp, 1.0),
    "RandAugment": layers.RandAugment,
    "RandomBrightness": partial(layers.RandomBrightness, 0.5),
    "RandomColorDegeneration": partial(layers.RandomColorDegeneration, 0.5),
    "RandomColorJitter": partial(
        layers.RandomColorJitter, (0, 255), 0.2, 0.3, 0.7, 0.4
    ),
    "RandomContrast": partial(layers.RandomContrast, 0.5),
    "RandomCrop": partial(layers.RandomCrop, 4, 3),
    "RandomErasing": layers.RandomErasing,
    "RandomFlip": layers.RandomFlip,
    "RandomGaussianBlur": layers.RandomGaussianBlur,
    "RandomGrayscale": layers.RandomGrayscale,
    "RandomHue": partial(layers.RandomHue, 0.5),
    "RandomInvert": layers.RandomInvert,
    "RandomPerspective": partial(layers.RandomPerspective, scale=0.4),
    "RandomPosterization": partial(layers.RandomPosterization, 4),
    "RandomRotation": partial(layers.RandomRotation, 0.3),
    "RandomSaturation": partial(layers.RandomSaturation, 0.8),
    "RandomSharpness": partial(layers.RandomSharpness, 0.8),
    "RandomShear": partial(layers.RandomShear, 0.4, 0.3),
    "RandomTranslation": partial(layers.RandomTranslation, 0.3, 0.2),
    "RandomZoom": partial(layers.RandomZoom, 0.4, 0.2),
    "Solarization": partial(layers.Solarization, 0.2, (0.3, 0.8)),
}
SURE = {"AutoContrast", "Equalization"}  # they draw nothing
MIXING = {"CutMix", "MixUp"}  # of one picture they make the same
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def pictures(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def change(layer: Layer, x: Any, key: int = 1) -> Any:
    """What the layer makes while training, with the random numbers of one key."""
    with random.stream(random.key(key)):
        return layer(x, training=True)


def windows(picture: Array, height: int, width: int) -> dict[bytes, tuple[int, int]]:
    """All windows of a picture, by their pixels."""
    rows, columns = picture.shape[:2]
    return {
        picture[i : i + height, j : j + width].tobytes(): (i, j)
        for i in range(rows - height + 1)
        for j in range(columns - width + 1)
    }


def test_a_flip_mirrors_half_of_the_samples_along_each_axis() -> None:
    x = pictures(400, 3, 4, 2)
    made = change(layers.RandomFlip(), x).numpy()
    assert made.dtype == np.float32
    ways = {"none": x, "x": x[:, :, ::-1], "y": x[:, ::-1], "xy": x[:, ::-1, ::-1]}
    counts = {
        name: int((made == way).all(axis=(1, 2, 3)).sum()) for name, way in ways.items()
    }
    assert sum(counts.values()) == len(x)
    assert min(counts.values()) > 70


@pytest.mark.parametrize(
    ("mode", "other"),
    [("horizontal", np.s_[:, :, ::-1]), ("vertical", np.s_[:, ::-1])],
)
def test_a_flip_in_one_mode_mirrors_one_axis(mode: str, other: Any) -> None:
    x = pictures(200, 3, 4, 2)
    made = change(layers.RandomFlip(mode), x).numpy()
    same = (made == x).all(axis=(1, 2, 3))
    assert 70 < same.sum() < 130
    np.testing.assert_array_equal(made[~same], x[other][~same])


def test_a_crop_takes_every_window_alike() -> None:
    x = np.repeat(pictures(1, 5, 6, 3), 600, axis=0)
    made = change(layers.RandomCrop(4, 4), x).numpy().astype("uint8")
    known = windows(x[0], 4, 4)
    places = [known[each.tobytes()] for each in made]
    counts = {place: places.count(place) for place in known.values()}
    assert len(counts) == 6
    assert min(counts.values()) > 60


def test_a_crop_at_rest_is_the_middle_in_its_shape() -> None:
    x = pictures(2, 4, 8, 3)
    crop = layers.RandomCrop(2, 2)
    expected = layers.Resizing(2, 2)(x[:, :, 2:6])
    np.testing.assert_array_equal(crop(x).numpy(), expected.numpy())
    larger = layers.RandomCrop(8, 8)
    expected = layers.Resizing(8, 8)(x[:, :, 2:6])
    np.testing.assert_array_equal(change(larger, x).numpy(), expected.numpy())


def test_masks_and_labels_stay_with_their_pictures() -> None:
    x = pictures(50, 6, 6, 3)
    masks = x[..., :1].astype("int32") % 7
    data = {"images": x, "segmentation_masks": masks, "labels": np.arange(50)}
    for layer in (layers.RandomFlip(), layers.RandomCrop(3, 4)):
        made = change(layer, data)
        moved = made["images"].numpy()[..., :1].astype("int32") % 7
        np.testing.assert_array_equal(made["segmentation_masks"].numpy(), moved)
        assert made["segmentation_masks"].dtype is functional.int32
        np.testing.assert_array_equal(made["labels"].numpy(), np.arange(50))
    rest = layers.RandomCrop(3, 3)(data)["segmentation_masks"].numpy()
    assert set(rest.ravel().tolist()) <= set(range(7))


def test_every_layer_that_augments_is_listed() -> None:
    found = {
        name
        for name, entry in vars(layers).items()
        if isinstance(entry, type) and issubclass(entry, Augmentation)
    }
    assert found == set(EVERY)


@every
def test_one_picture_needs_no_axis_of_samples(make: Callable[..., Layer]) -> None:
    x = pictures(6, 5, 3)
    one, batch = change(make(), x), change(make(), x[None])
    np.testing.assert_array_equal(one.numpy(), batch.numpy()[0])


@every
def test_channels_first_is_the_same_with_other_axes(make: Callable[..., Layer]) -> None:
    x = pictures(9, 5, 6, 3)
    last = change(make(), x).numpy()
    first = change(make(data_format="channels_first"), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(first.numpy().transpose(0, 2, 3, 1), last)


@every
def test_the_key_and_the_seed_decide_what_is_drawn(make: Callable[..., Layer]) -> None:
    x = pictures(64, 5, 6, 3)
    first = change(make(), x).numpy()
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, change(make(), x).numpy())
    if type(make()).__name__ not in SURE:
        assert (first != change(make(), x, key=2).numpy()).any()
        assert (first != change(make(seed=5), x).numpy()).any()


@every
def test_samples_are_changed_each_in_its_way(make: Callable[..., Layer]) -> None:
    x = np.repeat(pictures(1, 6, 7, 3), 40, axis=0)
    made = change(make(), x).numpy().reshape(40, -1)
    if type(make()).__name__ not in SURE | MIXING:
        assert len(np.unique(made, axis=0)) > 1


@every
def test_floats_and_whole_numbers_are_alike(make: Callable[..., Layer]) -> None:
    x = pictures(9, 5, 6, 3)
    made = change(make(), x).numpy()
    np.testing.assert_array_equal(change(make(), x.astype("float32")).numpy(), made)
    np.testing.assert_array_equal(change(make(), x.astype("int64")).numpy(), made)


@every
def test_threads_change_no_bit(make: Callable[..., Layer]) -> None:
    x, key = pictures(5, 7, 6, 3), random.key(3)

    def run(x: Any, key: Any) -> Any:
        with random.stream(key):
            return [make()(x, training=True)]

    specs = [Spec(x.shape, uint8), key.spec]
    graph, _ = trace(run, specs, name="run")
    first, *others = (
        Program(graph, threads=threads)([x, key.numpy()])[0] for threads in (1, 2, 3)
    )
    for other in others:
        np.testing.assert_array_equal(first, other)
    assert_compiled(first, change(make(), x, key=3).numpy())


def test_mistakes_are_named() -> None:
    with pytest.raises(ArgumentError, match="sideways"):
        layers.RandomFlip("sideways")
    with pytest.raises(ShapeError, match="axes"):
        layers.RandomFlip()(np.zeros((3, 4)))
    with pytest.raises(ShapeError, match="4 axes"):
        layers.RandomFlip()({"images": np.zeros((3, 4))})
    with pytest.raises(ArgumentError, match="no images"):
        layers.RandomFlip()({"pictures": np.zeros((1, 3, 4, 1))})


def test_padding_cropping_and_flipping_store_no_windows() -> None:
    """All windows of a batch would be a thousand times as large as the pictures."""
    chain = [
        layers.ZeroPadding2D(4),
        layers.RandomCrop(32, 32),
        layers.RandomFlip("horizontal"),
    ]

    def run(x: Any, key: Any) -> Any:
        with random.stream(key):
            for layer in chain:
                x = layer(x, training=True)
        return x

    x = functional.asarray(pictures(64, 32, 32, 3))
    program = jit(run)
    report = program.program(x, random.key(0)).report()
    assert not report.callbacks
    assert report.arena_bytes < 2 * 64 * 40 * 40 * 3
    np.testing.assert_array_equal(
        program(x, random.key(0)).numpy(), run(x, random.key(0)).numpy()
    )
