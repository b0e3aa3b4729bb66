"""A model without caches: all that it sees is computed again for every token."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.generation.steps import Array, State


class WholeSteps:
    """Any causal network, asked by computing all tokens of the window each time.

    What the network says of a token must not depend on those behind it.

    Args:
        network: from tokens `(n, t)` to logits `(n, t, vocabulary)`.
        length: how many tokens it is given.
        vocabulary: how many there are.

    Example:
        >>> network = lambda tokens: functional.one_hot(tokens, 5)
        >>> steps = WholeSteps(network, length=3, vocabulary=5)
        >>> state = steps.begin(np.array([[4, 2]]), np.array([2]))
        >>> logits, state = steps.step(state, functional.asarray(np.int32([3])))
        >>> logits.tolist(), state["window"].tolist()
        ([[0.0, 0.0, 0.0, 1.0, 0.0]], [[4, 2, 3]])
    """

    def __init__(self, network: Any, length: int, vocabulary: int) -> None:
        self.network = network
        self.length = length
        self.vocabulary = vocabulary

    def begin(self, tokens: Array, lengths: Array) -> State:
        """The window with the tokens that were read; see `Steps`."""
        window = np.zeros((len(tokens), self.length), np.int32)
        for row, count in enumerate(lengths):
            window[row, :count] = tokens[row, :count]
        return {"window": window, "count": np.asarray(lengths, np.int32)}

    def step(self, state: State, tokens: Tensor) -> tuple[Tensor, State]:
        """Put one more token into the window, and compute it; see `Steps`."""
        window, count = state["window"], state["count"]
        window, count = functional.asarray(window), functional.asarray(count)
        place = functional.arange(self.length, dtype="int32")
        now = functional.equal(place, functional.expand_dims(count, axis=1))
        window = functional.where(now, functional.expand_dims(tokens, axis=1), window)
        logits = self.network(window)
        rows = functional.reshape(logits, (-1, self.vocabulary))
        first = functional.arange(window.shape[0], dtype="int32") * self.length
        last = functional.minimum(count, self.length - 1)
        logits = functional.take(rows, first + last, axis=0)
        return logits, {"window": window, "count": count + 1}
