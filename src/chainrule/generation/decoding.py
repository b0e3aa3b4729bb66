"""The loop that makes tokens: native, many tokens in each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import functional
from chainrule.generation.sampling import Sampler, choose, keys_of, step_keys
from chainrule.generation.steps import Array, State, Steps, put_rows
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.loops import Loop

LOOK_IN = 0.05  # seconds between two looks of Python: tokens are shown as they come
FIRST = 4  # tokens of the first piece
GROWTH = 4  # how much longer the next piece may be than the last


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes:
        most: how many tokens of each sequence.
        sampler: how they are chosen.
        key: two words, which decide what is left to chance.
        slide: by how many tokens what the model sees moves on where it is full.
        stops: a sequence ends before one of these.
    """

    most: int
    sampler: Sampler
    key: Array
    slide: int
    stops: frozenset[int] = frozenset()


@dataclass(frozen=True)
class News:
    """What has become of a sequence.

    Attributes:
        row: its number.
        tokens: the new ones.
        ended: whether these were the last.
    """

    row: int
    tokens: list[int]
    ended: bool


@dataclass(eq=False)
class Run:
    """Sequences that grow together.

    Attributes:
        order: what is to be made.
        tokens: all that was read and made of each, prompts first.
        read: how many of the last tokens the state of each holds.
        ended: which of them get no more.
        state: of the loop; None while the loop holds it.
        made: how many tokens were made of each.
    """

    order: Order
    tokens: list[list[int]]
    read: list[int]
    state: State
    ended: list[bool] = field(default_factory=list)
    made: int = 0

    @property
    def rows(self) -> int:
        """How many sequences there are."""
        return len(self.tokens)

    @property
    def left(self) -> int:
        """How many tokens are still to be made."""
        return 0 if all(self.ended) else self.order.most - self.made

    def alive(self) -> list[int]:
        """The sequences that get more."""
        return [row for row, ended in enumerate(self.ended) if not ended]

    def take(self, new: Array) -> list[News]:
        """Add new tokens `(count, rows)`; what there is to tell."""
        self.made += len(new)
        news = []
        for row in range(self.rows):
            self.read[row] += len(new)
            if self.ended[row]:
                continue
            tokens = new[:, row].tolist()
            stops = self.order.stops
            end = next((i for i, token in enumerate(tokens) if token in stops), None)
            self.ended[row] = end is not None or self.made >= self.order.most
            self.tokens[row] += tokens[:end]
            news.append(News(row, tokens[:end], self.ended[row]))
        return news


class Decoder:
    """Makes tokens with one model; what was compiled serves every later call.

    The loop runs in native code: the model's step, the choice of the token, and the
    state, which is updated in place. Python looks in a few times a second, and where a
    sequence has become as long as the model can see: it goes on from the last tokens
    of it, read anew.

    How tokens are cut into pieces changes none, and neither does the number of
    sequences.

    Args:
        steps: the model.
        backend: as in `jit`.
    """

    def __init__(self, steps: Steps, backend: str | None = None) -> None:
        self.steps = steps
        self.backend = backend
        self._loops: dict[tuple[bool, bool, bool], Loop] = {}
        self._holds: dict[Loop, Run] = {}  # whose state a loop holds
        self._seconds: dict[tuple[Loop, int], float] = {}  # of the last step
        self._lock = threading.Lock()

    def run(
        self, prompts: Sequence[Sequence[int]], samples: Sequence[int], order: Order
    ) -> Iterator[list[News]]:
        """Make tokens; after each piece give what is new.

        Args:
            prompts: one or more tokens each.
            samples: a number for each, which decides with the key what is drawn.
            order: what is to be made.
        """
        run = self._begin(prompts, samples, order)
        count = self._guess(order.sampler, run.rows)
        while run.left:
            self._move_on(run)
            count = min(count, run.left, self._room(run))
            started = time.perf_counter()
            with self._lock:
                new = self._piece(run, count)
            seconds = max(time.perf_counter() - started, 1e-9)
            self._seconds[self._loop(order.sampler), run.rows] = seconds / count
            count = max(1, int(count * min(GROWTH, LOOK_IN / seconds)))
            yield run.take(new)

    def _guess(self, sampler: Sampler, rows: int) -> int:
        """How many tokens the first piece has: by how long one took before."""
        seconds = self._seconds.get((self._loop(sampler), rows))
        return FIRST if seconds is None else max(1, int(LOOK_IN / seconds))

    def _begin(
        self, prompts: Sequence[Sequence[int]], samples: Sequence[int], order: Order
    ) -> Run:
        """The sequences before the first token."""
        shown = [list(tokens)[-self.steps.length :] for tokens in prompts]
        state = {
            "model": self.steps.begin(*table([tokens[:-1] for tokens in shown])),
            "token": np.array([tokens[-1] for tokens in shown], np.int32),
            "keys": keys_of(order.key, samples),
            "number": np.int64(0),
            "sampler": order.sampler.numbers(),
        }
        if order.sampler.penalised:
            state["seen"] = np.zeros((len(shown), self.steps.vocabulary), bool)
            for row, tokens in enumerate(prompts):
                state["seen"][row, list(tokens)] = True
        return Run(
            order,
            [list(tokens) for tokens in prompts],
            [len(tokens) - 1 for tokens in shown],
            state,
            [order.most == 0] * len(shown),
        )

    def _room(self, run: Run) -> int:
        """How many tokens can be read before a sequence is full."""
        return self.steps.length - max(run.read[row] for row in run.alive())

    def _move_on(self, run: Run) -> None:
        """Read the last tokens of sequences that are full anew."""
        full = [row for row in run.alive() if run.read[row] >= self.steps.length]
        if not full:
            return
        keep = self.steps.length - run.order.slide
        parts = [run.tokens[row][-keep - 1 : -1] if keep else [] for row in full]
        fresh = self.steps.begin(*table(parts))
        for row, part in zip(full, parts, strict=True):
            run.read[row] = len(part)
        loop = self._loop(run.order.sampler)
        with self._lock:
            if self._holds.get(loop) is run:
                now = put_rows(loop.read("model"), full, fresh, run.rows)
                loop.write("model", tree.tree_map(constant, now))
            else:
                run.state["model"] = put_rows(run.state["model"], full, fresh, run.rows)

    # ---- the compiled step -----------------------------------------------------------

    def _piece(self, run: Run, count: int) -> Array:
        """Take `count` steps: the tokens, `(count, rows)`."""
        loop = self._loop(run.order.sampler)
        if run.state is not None:
            self._fetch(loop)
            loop.begin(run.state, np.zeros((run.rows, 1), np.float32))
            self._holds[loop], run.state = run, None
        order = np.tile(np.arange(run.rows, dtype=np.int64), count)
        tokens: Array = loop.run(order, run.rows).numpy()
        return tokens.reshape(count, run.rows)

    def _fetch(self, loop: Loop) -> None:
        """Give the run whose state a loop holds its state back."""
        run = self._holds.pop(loop, None)
        if run is not None and run.left:
            run.state = loop.state()

    def _loop(self, sampler: Sampler) -> Loop:
        """The loop for samplers of this kind."""
        kind = sampler.greedy, sampler.limited, sampler.penalised
        if kind not in self._loops:
            self._loops[kind] = Loop(
                lambda state, _: self._step(state, sampler), "generate", self.backend
            )
        return self._loops[kind]

    def _step(self, state: State, sampler: Sampler) -> tuple[State, Any]:
        """One token for each sequence: a pure function, which is compiled."""
        logits, model = self.steps.step(state["model"], state["token"])
        keys = step_keys(state["keys"], state["number"])
        seen = state.get("seen")
        token = choose(logits, sampler, state["sampler"], keys, seen)
        after = {**state, "model": model, "token": token, "number": state["number"] + 1}
        if seen is not None:
            place = functional.arange(seen.shape[1], dtype="int32")
            hit = functional.equal(functional.expand_dims(token, axis=1), place)
            after["seen"] = functional.logical_or(seen, hit)
        return after, token


def table(rows: Sequence[Sequence[int]]) -> tuple[Array, Array]:
    """Sequences as a table, each from the left, and their lengths.

    Example:
        >>> tokens, lengths = table([[7, 8], [], [9]])
        >>> tokens.tolist(), lengths.tolist()
        ([[7, 8], [0, 0], [9, 0]], [2, 0, 1])
    """
    lengths = np.array([len(row) for row in rows], np.int32)
    found = np.zeros((len(rows), int(lengths.max(initial=0))), np.int32)
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found, lengths
