"""Beam search: the likeliest sequences, several of them kept at each step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import functional
from chainrule.errors import ArgumentError
from chainrule.functional.promotion import Tensor
from chainrule.generation.steps import Array, State, Steps, take_rows
from chainrule.loops import Loop

PIECE = 8  # steps of a native call, after which Python sees whether all is done
NONE = -np.inf
MOST_LOOKS = 12  # for more of the likeliest tokens it is faster to sort


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that was found.

    Attributes:
        tokens: without those it began with, and without the one that ends it.
        score: the logarithm of its probability, over the penalty for its length.
        log_probability: the logarithm of its probability.
        ended: whether the token that ends a sequence came; otherwise it was cut short.
    """

    tokens: list[int]
    score: float
    log_probability: float
    ended: bool


def length_penalty(length: Any, alpha: Any) -> Any:
    """`((5 + length) / 6) ** alpha`: what logarithms of probabilities are divided by.

    Every token makes a sequence less probable; without a penalty the shortest would
    win. Wu et al., "Google's neural machine translation system", arXiv 1609.08144.

    Args:
        length: how many tokens there are, the one that ends the sequence among them.
        alpha: 0 for none.

    Example:
        >>> length_penalty(7, 1.0), length_penalty(7, 0.0)
        (2.0, 1.0)
    """
    return ((5 + length) / 6) ** alpha


class BeamSearch:
    """Searches for the likeliest sequences; what was compiled serves every later call.

    At each step the `beams` likeliest beginnings of each sequence are kept, each with
    the state of the model for it. The loop runs in native code: the model's step, the
    choice, and the states that are moved to the beams that live on. A sequence is done
    when no beginning can become better than those that have ended.

    Args:
        step: `step(state, tokens) -> (logits, state)`, as `Steps.step`.
        beams: how many are kept; 1 takes the likeliest token always.
        shared: keys of the state, a dict, for parts that are alike for all beams of a
            sequence, such as what is known of a source. They are not moved.
        backend: as in `jit`.

    Raises:
        ArgumentError: for less than one beam.
    """

    def __init__(
        self,
        step: Callable[[State, Tensor], tuple[Tensor, State]],
        beams: int = 4,
        shared: Collection[str] = (),
        backend: str | None = None,
    ) -> None:
        self.step = step
        self.beams = check_count("beams", beams)
        self.shared = frozenset(shared)
        self._loop = Loop(
            lambda state, _: (self._advance(state), None), "beam", backend
        )

    def run(
        self,
        state: State,
        tokens: Array,
        end: int,
        most: int,
        alpha: float = 0.6,
        n_best: int = 1,
    ) -> list[list[Hypothesis]]:
        """The best sequences of a batch.

        Args:
            state: that of the model, of `n` sequences before their last token.
            tokens: int32 `(n,)`: the last token of each.
            end: the token that ends a sequence; -1 for none.
            most: how many tokens are made at most, `end` among them.
            alpha: see `length_penalty`.
            n_best: how many sequences are wanted of each, `beams` at most.

        Returns:
            For each sequence the best ones, the best first. Those that were cut short
            at `most` come last. There are fewer where there are no others.

        Raises:
            ArgumentError: for counts below 1, or more sequences than beams.
        """
        check_count("most", most)
        if check_count("n_best", n_best) > self.beams:
            raise ArgumentError(
                "there are no more sequences than beams",
                where="n_best",
                got=n_best,
                expected=f"{self.beams} at most",
                fix=f"beams={n_best}",
            )
        if not len(tokens):
            return []
        begun = self._begin(state, tokens, end, most, alpha)
        self._loop.begin(begun, np.zeros((PIECE, 1), np.float32))
        made = 0
        while made < most and not self._done(n_best):
            count = min(PIECE, most - made)
            self._loop.run(np.arange(count), 1)
            made += count
        found = {name: self._loop.read(name).numpy() for name in _RESULTS}
        self._loop.end()
        return [
            _collected(found, row, n_best, made, alpha) for row in range(len(tokens))
        ]

    def _begin(
        self, state: State, tokens: Array, end: int, most: int, alpha: float
    ) -> State:
        """The state of the loop before the first step: all beams are the same."""
        n, k = len(tokens), self.beams
        scores = np.full((n, k), NONE, np.float32)
        scores[:, 0] = 0
        table = np.zeros((n, k, most), np.int32)
        return {
            "model": take_rows(state, np.repeat(np.arange(n), k), n),
            "origin": np.arange(n * k, dtype=np.int32),
            "token": np.repeat(np.asarray(tokens, np.int32)[:, None], k, axis=1),
            "number": np.int32(0),
            "end": np.int32(end),
            "alpha": np.float32(alpha),
            "alive": scores,
            "alive_tokens": table,
            "ended": np.full((n, k), NONE, np.float32),
            "ended_tokens": table,
            "ended_lengths": np.zeros((n, k), np.int32),
            "bound": np.zeros(n, np.float32),
        }

    def _done(self, n_best: int) -> bool:
        """Whether nothing that is alive can become one of the best."""
        worst = self._loop.read("ended").numpy()[:, n_best - 1]
        return bool((worst >= self._loop.read("bound").numpy()).all())

    # ---- the compiled step -----------------------------------------------------------

    def _advance(self, state: State) -> State:
        """One more token of each beam: a pure function, which is compiled."""
        n, k = state["alive"].shape
        token = functional.reshape(state["token"], (n * k,))
        # moved where it is read next, so that a cache is moved and added to in one
        moved = self._moved(state["model"], state["origin"])
        logits, model = self.step(moved, token)
        logs = functional.log_softmax(logits, axis=-1)
        column = functional.arange(logs.shape[-1], dtype="int32")
        is_end = functional.equal(column, state["end"])
        ending = functional.sum(functional.where(is_end, logs, 0.0), axis=-1)
        ending = functional.where(state["end"] >= 0, ending, NONE)
        ended = self._end(state, functional.reshape(ending, (n, k)))
        going = functional.where(is_end, NONE, logs)
        return {**ended, **self._go_on(state, going, column), "model": model}

    def _end(self, state: State, ending: Tensor) -> State:
        """Beams that end here, among the best of those that have ended."""
        k, number = self.beams, state["number"]
        length = functional.astype(number + 1, "float32")
        scores = (state["alive"] + ending) / length_penalty(length, state["alpha"])
        both = functional.concat([state["ended"], scores], axis=1)
        best, place = functional.top_k(both, k)
        tokens = functional.concat(
            [state["ended_tokens"], state["alive_tokens"]], axis=1
        )
        now = functional.broadcast_to(number, scores.shape)
        lengths = functional.concat([state["ended_lengths"], now], axis=1)
        return {
            **state,
            "ended": best,
            "ended_tokens": _rows(tokens, place),
            "ended_lengths": functional.take_along_axis(lengths, place, axis=1),
        }

    def _go_on(self, state: State, logs: Tensor, column: Tensor) -> dict[str, Any]:
        """The likeliest beams with one more token, and which beam each came from."""
        n, k = state["alive"].shape
        number = state["number"]
        values, tokens = likeliest(logs, column, k)
        sums = functional.expand_dims(state["alive"], axis=2)
        sums = functional.reshape(
            sums + functional.reshape(values, (n, k, k)), (n, k * k)
        )
        alive, place = functional.top_k(sums, k)
        place = functional.astype(place, "int32")
        flat = functional.reshape(tokens, (n, k * k))
        token = functional.take_along_axis(flat, place, axis=1)
        beam = functional.floor_divide(place, k)
        first = functional.reshape(functional.arange(n, dtype="int32") * k, (n, 1))
        origin = functional.reshape(first + beam, (n * k,))
        step = functional.arange(state["alive_tokens"].shape[2], dtype="int32")
        here = functional.equal(step, number)
        table = _rows(state["alive_tokens"], beam)
        table = functional.where(here, functional.expand_dims(token, axis=2), table)
        return {
            "origin": origin,
            "token": token,
            "number": number + 1,
            "alive": alive,
            "alive_tokens": table,
            "bound": _bound(alive, number + 1, table.shape[2], state["alpha"]),
        }

    def _moved(self, model: State, origin: Tensor) -> State:
        """The state of the model, where each beam has that of the one it continues."""
        if self.beams == 1:
            return model
        count = origin.shape[0]
        if not self.shared:
            return take_rows(model, origin, count)
        return {
            key: part if key in self.shared else take_rows(part, origin, count)
            for key, part in model.items()
        }


_RESULTS = ("alive", "alive_tokens", "ended", "ended_tokens", "ended_lengths")


def likeliest(logs: Tensor, column: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, and where they are.

    Few are found by k looks along the row, in a hundredth of the time that it takes to
    sort a vocabulary.

    Args:
        logs: `(n, vocabulary)`.
        column: the numbers of the tokens.
        k: how many.

    Example:
        >>> logs = functional.asarray([[0.5, 3.0, 1.0]])
        >>> values, places = likeliest(logs, functional.arange(3, dtype="int32"), 2)
        >>> values.tolist(), places.tolist()
        ([[3.0, 1.0]], [[1, 2]])
    """
    if k > MOST_LOOKS:
        best, order = functional.top_k(logs, min(k, logs.shape[-1]))
        missing = [(0, 0), (0, k - best.shape[1])]
        best = functional.pad(best, missing, constant_values=NONE)
        return best, functional.astype(functional.pad(order, missing), "int32")
    values, places = [], []
    for _ in range(k):
        place = functional.astype(functional.argmax(logs, axis=-1), "int32")
        values.append(functional.max(logs, axis=-1))
        places.append(place)
        taken = functional.equal(column, functional.expand_dims(place, axis=1))
        logs = functional.where(taken, NONE, logs)
    return functional.stack(values, axis=1), functional.stack(places, axis=1)


def _rows(table: Tensor, places: Tensor) -> Tensor:
    """Of each sequence the rows of some beams: `(n, m, length)` and `(n, k)`."""
    shape = (*places.shape, table.shape[2])
    index = functional.broadcast_to(functional.expand_dims(places, axis=2), shape)
    return functional.take_along_axis(table, index, axis=1)


def _bound(alive: Tensor, made: Tensor, most: int, alpha: Tensor) -> Tensor:
    """The best score that a sequence which goes on can still have.

    Its probability can only fall; its penalty is largest at the end, or with an alpha
    below 0 now.
    """
    best = functional.max(alive, axis=1)
    soon = functional.astype(made + 1, "float32")
    late = functional.maximum(soon, float(most))
    scores = [best / length_penalty(length, alpha) for length in (soon, late)]
    return functional.maximum(*scores)


def _collected(
    found: dict[str, Array], row: int, n_best: int, made: int, alpha: float
) -> list[Hypothesis]:
    """The best sequences; those that were cut short behind those that have ended."""
    best = []
    for score, tokens, length in zip(
        found["ended"][row], found["ended_tokens"][row], found["ended_lengths"][row],
        strict=True,
    ):  # fmt: skip
        if score > NONE:
            sum_ = float(score) * length_penalty(int(length) + 1, alpha)
            best.append(Hypothesis(tokens[:length].tolist(), float(score), sum_, True))
    for total, tokens in zip(
        found["alive"][row], found["alive_tokens"][row], strict=True
    ):
        if total > NONE:
            score = float(total) / length_penalty(made, alpha)
            best.append(Hypothesis(tokens[:made].tolist(), score, float(total), False))
    return best[:n_best]


def beam_search(
    steps: Steps,
    prompts: Sequence[Sequence[int]],
    end: int,
    most: int,
    beams: int = 4,
    alpha: float = 0.6,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """The likeliest continuations of prompts.

    Args:
        steps: the model.
        prompts: one or more tokens each.
        end: the token that ends a sequence; -1 for none.
        most: how many tokens are made at most, `end` among them.
        beams: see `BeamSearch`.
        alpha: see `length_penalty`.
        n_best: how many sequences are wanted of each.

    Returns:
        For each prompt the best sequences, the best first.

    Raises:
        ArgumentError: for counts below 1, an empty prompt, or more tokens than the
            model sees.
    """
    longest = max(map(len, prompts), default=0)
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise ArgumentError(
                "a prompt has at least one token, such as the one that begins a text",
                where=f"prompt {number}",
                got="no tokens",
            )
    if longest + most > steps.length + 1:
        raise ArgumentError(
            "the model does not see as many tokens",
            where="most",
            got=f"a prompt of {longest} tokens, and {most} more",
            expected=f"{steps.length + 1} at most",
        )
    lengths = np.array([len(prompt) - 1 for prompt in prompts], np.int32)
    read = np.zeros((len(prompts), int(lengths.max(initial=0))), np.int32)
    for row, prompt in enumerate(prompts):
        read[row, : len(prompt) - 1] = prompt[:-1]
    last = np.array([prompt[-1] for prompt in prompts], np.int32)
    search = BeamSearch(steps.step, beams)
    return search.run(steps.begin(read, lengths), last, end, most, alpha, n_best)


def check_count(name: str, value: Any) -> int:
    """A whole number from 1 on.

    Raises:
        ArgumentError: for anything else.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ArgumentError(
            f"{name} must be a whole number from 1 on", where=name, got=repr(value)
        )
    return int(value)
