"""The data of workloads: random, but with something in it that can be learnt."""

from __future__ import annotations

import numpy as np

from benchmarks.networks import Array, Shape

DATA_SEED = 20240607
COARSE = 4  # patterns have so many patches along every axis
PATCH = 8  # pixels of a class of its own, along every axis
WRONG = 0.1  # share of labels that mean nothing, so that no loss ends at 0


def make_rows(rows: int, inputs: int, outputs: int, loss: str) -> tuple[Array, Array]:
    """Inputs from a normal distribution, and targets that a linear teacher gives them.

    Example:
        >>> x, y = make_rows(1000, 10, 1, "squared")
        >>> x.shape, y.shape, x.dtype.name
        ((1000, 10), (1000, 1), 'float32')
    """
    random = np.random.default_rng(DATA_SEED)
    x = random.standard_normal((rows, inputs), dtype=np.float32)
    teacher = random.standard_normal((inputs, outputs), dtype=np.float32)
    score = x @ teacher / np.float32(np.sqrt(inputs))
    noise = random.standard_normal(score.shape, dtype=np.float32)
    score += np.float32(0.3) * noise
    if loss == "classes":
        return x, score.argmax(axis=1)
    if loss == "binary":
        return x, (score > 0).astype(np.float32)
    return x, np.tanh(score)


def make_maps(rows: int, shape: Shape, classes: int) -> tuple[Array, Array]:
    """Noise, in which each class has a coarse pattern of its own.

    Example:
        >>> x, y = make_maps(6, (28, 28, 1), 10)
        >>> x.shape, y.shape, y.dtype.name
        ((6, 28, 28, 1), (6,), 'int64')
    """
    random = np.random.default_rng(DATA_SEED)
    *sides, channels = shape
    coarse = (classes, *[COARSE] * len(sides), channels)
    patterns = _enlarged(random.standard_normal(coarse, dtype=np.float32), sides)
    y = random.integers(0, classes, rows)
    x = random.standard_normal((rows, *shape), dtype=np.float32)
    x += patterns[y]
    return x, _some_wrong(y, classes, random)


def make_pixels(rows: int, shape: Shape, classes: int) -> tuple[Array, Array]:
    """Noise and patches, each in the colour of its class; every pixel has a class.

    Example:
        >>> x, y = make_pixels(2, (64, 64, 3), 4)
        >>> x.shape, y.shape
        ((2, 64, 64, 3), (2, 64, 64))
    """
    random = np.random.default_rng(DATA_SEED)
    *sides, channels = shape
    colours = random.standard_normal((classes, channels), dtype=np.float32)
    coarse = random.integers(0, classes, (rows, *(-(-n // PATCH) for n in sides)))
    y = _enlarged(coarse, sides)
    x = random.standard_normal((rows, *shape), dtype=np.float32)
    x += colours[y]
    return x, _some_wrong(y, classes, random)


def _some_wrong(y: Array, classes: int, random: np.random.Generator) -> Array:
    """Labels, some of them drawn anew."""
    wrong = random.random(y.shape) < WRONG
    return np.where(wrong, random.integers(0, classes, y.shape), y)


def _enlarged(coarse: Array, sides: list[int]) -> Array:
    """Every number of the axes after the first repeated, up to these lengths."""
    for axis, length in enumerate(sides, start=1):
        repeats = -(-length // coarse.shape[axis])
        coarse = np.repeat(coarse, repeats, axis).take(range(length), axis)
    return coarse
