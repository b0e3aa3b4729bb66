"""The data of workloads: random, but with something in it that can be learnt."""

from __future__ import annotations

import numpy as np

from benchmarks.networks import Array, Shape

DATA_SEED = 20240607
COARSE = 4  # patterns have so many patches along every axis
PATCH = 8  # pixels of a class of its own, along every axis
FAVOURED = 0.3  # share of words that a class draws from words of its own
FOLLOWERS = 6  # characters that are likely behind another
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


def make_words(
    rows: int, steps: int, words: int, classes: int, padded: bool
) -> tuple[Array, Array]:
    """Texts: words as rare as they are in language, some of them those of a class.

    Word 0 is none; where texts are padded, they have from 2 words to all.

    Example:
        >>> x, y = make_words(5, 12, 100, 2, padded=True)
        >>> x.shape, x.dtype.name, y.shape
        ((5, 12), 'int32', (5,))
    """
    random = np.random.default_rng(DATA_SEED)
    rates = 1.0 / np.arange(1, words)
    x = random.choice(words - 1, (rows, steps), p=rates / rates.sum()) + 1
    y = random.integers(0, classes, rows)
    own = x // classes * classes + y[:, None]
    chosen = random.random(x.shape) < FAVOURED
    x = np.where(chosen, np.clip(own, 1, words - 1), x).astype(np.int32)
    if padded:
        lengths = random.integers(2, steps + 1, rows)
        x[np.arange(steps) >= lengths[:, None]] = 0
    return x, _some_wrong(y, classes, random)


def make_text(rows: int, steps: int, words: int) -> tuple[Array, Array]:
    """Characters, each of which makes some others likely; and those that follow.

    Example:
        >>> x, y = make_text(4, 16, 65)
        >>> bool((x[:, 1:] == y[:, :-1]).all()), x.dtype.name, y.dtype.name
        (True, 'int32', 'int64')
    """
    random = np.random.default_rng(DATA_SEED)
    likely = random.integers(0, words, (words, FOLLOWERS))
    text = np.empty((rows, steps + 1), np.int64)
    text[:, 0] = random.integers(0, words, rows)
    for step in range(steps):
        follower = random.integers(0, FOLLOWERS, rows)
        text[:, step + 1] = likely[text[:, step], follower]
    text[:, 1:] = _some_wrong(text[:, 1:], words, random)
    return text[:, :-1].astype(np.int32), text[:, 1:]


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
