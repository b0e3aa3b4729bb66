"""What a model is to those who ask it for one token after another.

`Steps` is the interface between networks and decoding. Sampling and beam search know
nothing of a network but these two functions; a network that generates, decoder alone or
encoder and decoder, is made into `Steps` and knows nothing of how tokens are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from chainrule import functional
from chainrule.functional.promotion import Tensor
from chainrule.ir import tree

Array = np.ndarray[Any, Any]
State = Any


class Steps(Protocol):
    """A model that is asked for one token after another.

    A *state* is all that the model knows of the sequences so far: keys and values of
    attention, states of recurrent cells, what an encoder made of a source. It is a tree
    of tensors whose first axis has one part for each of `n` sequences, all of equal
    size, so that `take_rows` can give a sequence the state of another.

    Attributes:
        length: how many tokens of a sequence the model sees at most.
        vocabulary: how many tokens there are.
    """

    length: int
    vocabulary: int

    def begin(self, tokens: Array, lengths: Array) -> State:
        """The state of sequences that the model has read.

        Args:
            tokens: int32 `(n, most)`, each sequence from the left; what is behind its
                length counts for nothing.
            lengths: how many tokens each has, from 0 to `length` - 1.

        Returns:
            The state. That of a sequence is the same in every batch.
        """

    def step(self, state: State, tokens: Tensor) -> tuple[Tensor, State]:
        """Read one more token of each sequence: a pure function that can be compiled.

        Args:
            state: of the sequences before this token.
            tokens: int32 `(n,)`.

        Returns:
            The logits of the next token, float32 `(n, vocabulary)`, and the state.
        """


def take_rows(state: State, rows: Any, count: int) -> State:
    """The state of sequences `rows` of `count`: some of them, in any order, repeated.

    Beams that live on take the state of those that they continue; `rows` may be a
    tensor within a compiled step, or an array.

    Args:
        state: of `count` sequences; tensors or arrays.
        rows: their numbers, integers `(m,)`.
        count: how many sequences the state has.

    Example:
        >>> state = {"cache": functional.reshape(functional.arange(6), (6, 1))}
        >>> taken = take_rows(state, np.array([2, 0, 0]), 3)["cache"]
        >>> taken.numpy()[:, 0].tolist()
        [4, 5, 0, 1, 0, 1]
    """
    number = rows.shape[0]

    def one(leaf: Any) -> Any:
        part = leaf.shape[0] // count
        rest = tuple(leaf.shape[1:])
        whole = functional.reshape(functional.asarray(leaf), (count, part, *rest))
        taken = functional.take(whole, functional.asarray(rows), axis=0)
        return functional.reshape(taken, (number * part, *rest))

    return tree.tree_map(one, state)


def put_rows(state: State, rows: Sequence[int], new: State, count: int) -> State:
    """`state` of `count` sequences, where `rows` have the states that `new` has.

    Args:
        state: tensors or arrays.
        rows: the numbers of sequences.
        new: the states of as many sequences.
        count: how many sequences `state` has.

    Returns:
        A tree of NumPy arrays.

    Example:
        >>> old, new = [np.zeros((4, 1))], [np.ones((2, 1))]
        >>> put_rows(old, [1], new, 2)[0][:, 0].tolist()
        [0.0, 0.0, 1.0, 1.0]
    """

    def one(leaf: Any, other: Any) -> Any:
        array = np.array(functional.asarray(leaf).numpy())
        parts = array.reshape(count, array.shape[0] // count, *array.shape[1:])
        given = functional.asarray(other).numpy()
        parts[list(rows)] = given.reshape(len(rows), *parts.shape[1:])
        return array

    leaves, structure = tree.flatten(state)
    others = tree.flatten(new)[0]
    pairs = zip(leaves, others, strict=True)
    return tree.unflatten(structure, [one(leaf, other) for leaf, other in pairs])
