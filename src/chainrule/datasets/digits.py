"""Digits: 1,797 handwritten digits of 8 x 8 pixels, no network needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, DependencyError
from chainrule.ops.random import threefry2x32

Array = np.ndarray[Any, Any]
Split = tuple[Array, Array]

CLASSES = 10
BRIGHTEST = 16.0


def load_data(test_split: float = 0.2, seed: int = 0) -> tuple[Split, Split]:
    """The handwritten digits that scikit-learn carries, split for training and testing.

    The same arguments give the same rows in the same order, on every machine. The split
    is stratified: every digit has its share of the test rows. The original pixels count
    0 to 16 dark points; here they are divided by 16, so that they lie in 0 to 1 and
    need no further scaling.

    Args:
        test_split: the fraction of the rows kept for testing, between 0 and 1; 0 keeps
            none.
        seed: chooses the split and the order of the rows.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images float32 `(rows, 8, 8)`, labels
        int64 `(rows,)`, 0 to 9. With the defaults 1,438 and 359 rows.

    Raises:
        ArgumentError: when `test_split` is not in 0 <= test_split < 1.
        DependencyError: when scikit-learn is not installed.

    E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine
    Learning Repository, 1998 (its test set).

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, x_test.shape
        ((1438, 8, 8), (359, 8, 8))
    """
    if not 0 <= test_split < 1:
        raise ArgumentError(
            "test_split is a fraction",
            where="digits.load_data",
            got=test_split,
            expected="0 <= test_split < 1",
            fix="digits.load_data(test_split=0.2)",
        )
    images, labels = _load()
    order = _shuffled(len(labels), seed)
    is_test = _choose(labels[order], test_split)
    train, test = order[~is_test], order[is_test]
    return (images[train], labels[train]), (images[test], labels[test])


def _load() -> Split:
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an optional package
    except ImportError:
        raise DependencyError(
            "the digits come with scikit-learn, which is not installed",
            where="digits.load_data",
            fix="pip install 'chainrule[sklearn]'",
        ) from None
    bunch = load_digits()
    images = bunch.images.astype(np.float32) / np.float32(BRIGHTEST)
    return images, bunch.target.astype(np.int64)


def _shuffled(count: int, seed: int) -> Array:
    """The numbers 0 to `count` - 1 in an order that depends on `seed` alone."""
    key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
    position = np.arange(count, dtype=np.uint32)
    with np.errstate(over="ignore"):
        words, _ = threefry2x32(key, position, np.zeros_like(position))
    return np.argsort(words, kind="stable")


def _choose(labels: Array, fraction: float) -> Array:
    """Which rows are for testing: of every class the first `fraction`.

    The classes take turns with what is left over by rounding, so that the total is
    right too.
    """
    chosen = np.zeros(len(labels), bool)
    seen = taken = 0
    for label in range(CLASSES):
        rows = np.flatnonzero(labels == label)
        seen += len(rows)
        share = round(seen * fraction) - taken
        chosen[rows[:share]] = True
        taken += share
    return chosen
