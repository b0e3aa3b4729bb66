"""Keys and values of attention, kept in place while sequences grow."""

from __future__ import annotations

from typing import Any

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.generation.steps import State
from chainrule.ops import scatter_add


class StepCache:
    """Keys and values of sequences that get one more step.

    All sequences lie one behind the other in one table, a line for each place, so that
    the new line of each sequence is written in place, and nothing else is touched.

    Args:
        state: `keys` and `values`, each `(n * length, heads * size)`; lines of places
            that were not read yet are 0.
        places: where the new step of each sequence stands, `(n,)`.

    Attributes:
        state: with the new step.

    Example:
        >>> lines = functional.zeros((6, 2))
        >>> places = functional.asarray([1, 0])
        >>> cache = StepCache({"keys": lines, "values": lines}, places)
        >>> new = functional.ones((2, 1, 1, 2))
        >>> keys, _, seen = cache.extend(new, 2 * new)
        >>> keys[:, :, 0, 0].tolist(), functional.sum(seen, axis=2).tolist()
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [[2], [1]])
    """

    def __init__(self, state: State, places: Tensor) -> None:
        self.state = state
        self.places = places

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Write the new step of each sequence.

        Args:
            keys: `(n, 1, heads, size)`.
            values: likewise.

        Returns:
            All keys and values, `(n, length, heads, size)`, and what the new step sees,
            `(n, 1, length)`.
        """
        given = {"keys": keys, "values": values}
        self.state = {name: self._put(name, new) for name, new in given.items()}
        count = self.places.shape[0]
        whole = [
            functional.reshape(self.state[name], (count, -1, *new.shape[2:]))
            for name, new in given.items()
        ]
        length = whole[0].shape[1]
        places = functional.reshape(self.places, (count, 1, 1))
        seen = functional.arange(length, dtype="int32") <= places
        return whole[0], whole[1], seen

    def _put(self, name: str, new: Tensor) -> Tensor:
        """The table with the new lines; they were 0, so that adding is writing."""
        lines = functional.asarray(self.state[name])
        count = self.places.shape[0]
        length = lines.shape[0] // count
        first = functional.arange(count, dtype="int32") * length
        new = functional.reshape(new, (count, lines.shape[1]))
        new = functional.astype(new, lines.dtype)
        return scatter_add(lines, first + self.places, new, axis=0)


class FirstCache:
    """Keys and values of the first steps of sequences, all at once.

    Args:
        length: how many places a sequence has in the end.
        counts: how many of the steps are read of each sequence, `(n,)`; the others
            leave nothing.

    Attributes:
        state: as `StepCache` takes it; None before `extend`.
    """

    def __init__(self, length: int, counts: Tensor) -> None:
        self.length = length
        self.counts = counts
        self.state: State = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keep the steps; each sees itself and those before it.

        Args:
            keys: `(n, steps, heads, size)`.
            values: likewise.
        """
        given = {"keys": keys, "values": values}
        self.state = {name: self._kept(new) for name, new in given.items()}
        place = functional.arange(keys.shape[1], dtype="int32")
        seen = place[None, :] <= place[:, None]
        return keys, values, seen[None]

    def _kept(self, new: Tensor) -> Tensor:
        count, steps, heads, size = new.shape
        place = functional.arange(steps, dtype="int32")[None, :]
        read = place < functional.reshape(self.counts, (count, 1))
        lines = functional.reshape(new, (count, steps, heads * size))
        lines = functional.where(functional.expand_dims(read, axis=2), lines, 0.0)
        missing: Any = ((0, 0), (0, self.length - steps), (0, 0))
        lines = functional.pad(lines, missing)
        return functional.reshape(lines, (count * self.length, heads * size))
