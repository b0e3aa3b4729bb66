"""Labels in other forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import DataError

Array = np.ndarray[Any, Any]


def to_categorical(x: Any, num_classes: int | None = None) -> Array:
    """Numbers of classes as one-hot labels: a 1 at the place of the class, else 0.

    Args:
        x: whole numbers from 0 on; a last axis of length 1 is dropped.
        num_classes: how many classes there are; as many as the largest number needs
            where None.

    Returns:
        float32, with one axis more.

    Raises:
        DataError: for numbers that are not whole, negative, or too large.

    Example:
        >>> to_categorical([2, 0]).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    numbers = np.asarray(x)
    if numbers.ndim > 1 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    classes = numbers.astype(np.int64)
    count = num_classes or (int(classes.max()) + 1 if classes.size else 0)
    wrong = (classes != numbers) | (classes < 0) | (classes >= count)
    if wrong.any():
        raise DataError(
            "these are no numbers of classes",
            where="to_categorical",
            got=", ".join(map(str, numbers[wrong][:5])),
            expected=f"whole numbers from 0 to {count - 1}",
        )
    made = np.zeros((*classes.shape, count), np.float32)
    np.put_along_axis(made, classes[..., None], 1, axis=-1)
    return made
