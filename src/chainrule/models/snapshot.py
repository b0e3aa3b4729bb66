"""Whether anything about the layers of a model has changed, told in microseconds."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any


class Snapshot:
    """What the layers of a model have as attributes, and what is in their lists.

    A walk over the layers looks at the kind of every attribute; here each is only
    compared with what it was, by identity.

    Args:
        model: a model, or another layer.

    Example:
        >>> from chainrule import Sequential, layers
        >>> model = Sequential([layers.Input((3,)), layers.Dense(2)])
        >>> seen = Snapshot(model)
        >>> before = seen.holds()
        >>> model.layers[0].use_bias = False
        >>> before, seen.holds()
        (True, False)
    """

    def __init__(self, model: Any) -> None:
        self._parts: list[Any] = []
        for layer in model.walk():
            self._note(vars(layer))
        self._seen = [*chain.from_iterable(self._parts)]

    def _note(self, container: Any) -> None:
        values: Iterable[Any] = (
            container.values() if isinstance(container, Mapping) else container
        )
        self._parts.append(values)
        for value in values:
            if isinstance(value, (list, tuple, Mapping)):
                self._note(value)

    def holds(self) -> bool:
        """Whether all is as it was."""
        if sum(map(len, self._parts)) != len(self._seen):
            return False
        return all(map(operator.is_, chain.from_iterable(self._parts), self._seen))
