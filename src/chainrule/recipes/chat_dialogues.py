"""Replies that a language model writes, learnt from dialogues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import layers
from chainrule.callbacks import Callback
from chainrule.functional.random import key, stream
from chainrule.generation import generate
from chainrule.initializers import RandomNormal
from chainrule.losses import SparseCategoricalCrossentropy
from chainrule.models import Model
from chainrule.optimizers import AdamW
from chainrule.optimizers.schedules import OneCycle
from chainrule.recipes.chat_data import USER, Dialogue
from chainrule.text import Tokenizer, keep_tokenizer, kept_tokenizer

Array = np.ndarray[Any, Any]

MARKS = ("<user>", "<system>")
VOCABULARY = 4096
LENGTH = 128  # tokens that the network sees
STEPS = (16, 128)  # tokens between the beginnings of windows, of few and of many
WINDOWS = 2000  # that there shall be at least
AT_ONCE = 16  # rows whose logits are looked at together
HELD = 0.05  # of the dialogues, at most
MOST_HELD = 200
SURPRISE = "surprise"  # in the notes of a model
LIKELY = 0.95  # of the lines of users that are not too surprising
DROPPED = 0.1
REPLY = 60  # tokens of a reply
TEMPERATURE, NUCLEUS = 0.5, 0.9


@dataclass(frozen=True)
class DialoguePlan:
    """How a network learns dialogues.

    Attributes:
        epochs: passes over the dialogues; None chooses by their length.
        batch_size: windows of a step.
        learning_rate: the highest.
        width: features of a token.
        layers: blocks.
        heads: of attention, in each block.
        seed: of the weights and the order.
    """

    epochs: int | None = None
    batch_size: int = 16
    learning_rate: float = 2e-3
    width: int = 128
    layers: int = 4
    heads: int = 4
    seed: int = 0


class Responder:
    """A trained language model of dialogues.

    Args:
        model: made by `learn_dialogues`.

    Attributes:
        surprise: the nats for a token up to which a line is like those it was trained
            on.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tokenizer = kept_tokenizer(model)
        self.surprise = float(model.notes[SURPRISE])
        ends = (*MARKS, "[END]", "[START]")
        self.stops = [self.tokenizer.token_to_id(mark) for mark in ends]

    def reply(self, history: Sequence[tuple[str, str]], seed: int = 0) -> str:
        """What the system says behind these turns; the last is one of the user.

        Args:
            history: who spoke and what was said.
            seed: of the choice of words.
        """
        prompt = [
            *written(self.tokenizer, history),
            self.tokenizer.token_to_id(MARKS[1]),
        ]
        found = generate(
            self.model,
            prompt[-(LENGTH - REPLY) :],
            REPLY,
            temperature=TEMPERATURE,
            top_p=NUCLEUS,
            seed=seed,
            stop_ids=self.stops,
        )
        return self.tokenizer.decode(found).strip()

    def surprise_at(self, history: Sequence[tuple[str, str]]) -> float:
        """How unlikely the last turn is, in nats for a token."""
        return float(surprises(self.model, self.tokenizer, [history])[0])


def written(tokenizer: Tokenizer, turns: Sequence[tuple[str, str]]) -> list[int]:
    """A dialogue as tokens: a start, and before each turn who speaks.

    Example:
        >>> tokenizer = Tokenizer.train(["ab"], "characters", special_tokens=MARKS)
        >>> written(tokenizer, [("user", "a"), ("system", "b")])
        [2, 4, 6, 5, 7]
    """
    found = [int(tokenizer.start or 0)]
    for (speaker, _), numbers in zip(
        turns, tokenizer.encode_batch([said for _, said in turns]), strict=True
    ):
        found.append(tokenizer.token_to_id(MARKS[speaker != USER]))
        found += numbers.tolist()
    return found


def surprises(
    model: Any, tokenizer: Tokenizer, histories: Sequence[Sequence[tuple[str, str]]]
) -> Array:
    """Of each history, the mean of `-log p` over the tokens of its last turn.

    Args:
        model: a language model.
        tokenizer: of its tokens.
        histories: turns; what comes before the last is what it is seen behind.
    """
    rows, ends = [], []
    for turns in histories:
        whole = written(tokenizer, turns)
        last = len(written(tokenizer, turns[-1:])) - 2
        kept = whole[-(LENGTH + 1) :]
        rows.append(kept)
        ends.append((max(0, len(kept) - 1 - last), len(kept) - 1))
    losses, counts = _losses(model, rows, ends)
    found: Array = losses / np.maximum(counts, 1)
    return found


def _losses(
    model: Any, rows: Sequence[Sequence[int]], parts: Sequence[tuple[int, int]]
) -> tuple[Array, Array]:
    """Of rows of tokens, the sums of `-log p` over a part of each, and its length.

    Args:
        model: a language model.
        rows: of at most `LENGTH + 1` tokens.
        parts: from where to where, counted from the second token.
    """
    tokens = np.zeros((len(rows), LENGTH + 1), np.int32)
    counts = np.zeros((len(rows), LENGTH))
    for place, (row, (start, end)) in enumerate(zip(rows, parts, strict=True)):
        tokens[place, : len(row)] = row
        counts[place, start:end] = 1
    losses = np.zeros(len(rows))
    for start in range(0, len(rows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        logits = model.predict(tokens[part, :-1], batch_size=AT_ONCE, verbose=0)
        top = logits.max(-1)
        total = np.log(np.exp(logits - top[..., None]).sum(-1)) + top
        chosen = np.take_along_axis(logits, tokens[part, 1:, None], -1)[..., 0]
        losses[part] = ((total - chosen) * counts[part]).sum(1)
    return losses, counts.sum(1)


@dataclass(frozen=True)
class Spoken:
    """What came of learning dialogues.

    Attributes:
        responder: the trained network.
        history: of the training.
        perplexity: of held-out dialogues: `exp` of the mean of `-log p` of a token.
        counts: dialogues that were learnt, and held out.
    """

    responder: Responder
    history: Any
    perplexity: float
    counts: tuple[int, int]


def learn_dialogues(
    dialogues: Sequence[Dialogue],
    plan: DialoguePlan,
    show: Callable[[str], object] = lambda line: None,
) -> Spoken:
    """Train a language model on dialogues, written one behind the other.

    Args:
        dialogues: turn by turn.
        plan: how to learn.
        show: is told of every epoch.
    """
    order = np.random.default_rng(plan.seed).permutation(len(dialogues))
    count = min(MOST_HELD, max(1, int(len(dialogues) * HELD)))
    held = [dialogues[place] for place in order[:count]]
    learnt = [dialogues[place] for place in order[count:]] or held
    tokenizer = Tokenizer.train(
        (said for turns in learnt for _, said in turns),
        vocabulary_size=VOCABULARY,
        special_tokens=MARKS,
    )
    windows = _windows(tokenizer, learnt)
    with stream(key(plan.seed)):
        model = build(tokenizer.vocabulary_size, plan)
    epochs = plan.epochs or int(np.clip(20_000 // len(windows), 3, 40))
    steps = max(1, len(windows) // plan.batch_size)
    model.compile(
        AdamW(OneCycle(plan.learning_rate, max(2, steps * epochs)), weight_decay=0.1),
        SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        windows[:, :-1],
        windows[:, 1:],
        batch_size=min(plan.batch_size, len(windows)),
        steps_per_epoch=steps,
        epochs=epochs,
        seed=plan.seed,
        callbacks=[_Told(epochs, show)],
        verbose=0,
    )
    keep_tokenizer(model, tokenizer)
    model.notes[SURPRISE] = _usual_surprise(model, tokenizer, held)
    perplexity = _perplexity(model, tokenizer, held)
    counts = len(learnt), len(held)
    return Spoken(Responder(model), history, perplexity, counts)


def build(vocabulary: int, plan: DialoguePlan) -> Model:
    """A network from tokens to the logits of those behind them.

    Example:
        >>> build(50, DialoguePlan(width=8, layers=1, heads=2)).output_shape
        (None, None, 50)
    """
    normal = RandomNormal(stddev=0.02)
    tokens = layers.Input((None,), dtype="int32", name="tokens")
    words = layers.ReversibleEmbedding(
        vocabulary, plan.width, embeddings_initializer=normal, name="words"
    )
    vectors = words(tokens)
    x = vectors + layers.PositionEmbedding(LENGTH, normal, name="places")(vectors)
    for number in range(plan.layers):
        x = layers.TransformerDecoder(
            4 * plan.width,
            plan.heads,
            dropout=DROPPED,
            activation="gelu",
            kernel_initializer=normal,
            normalize_first=True,
            name=f"block_{number}",
        )(x)
    x = layers.LayerNormalization(epsilon=1e-5, name="last")(x)
    return Model(tokens, words(x, reverse=True), name="dialogues")


def _windows(tokenizer: Tokenizer, dialogues: Sequence[Dialogue]) -> Array:
    """Windows of `LENGTH + 1` tokens over all dialogues."""
    tokens: list[int] = []
    for turns in dialogues:
        tokens += [*written(tokenizer, turns), int(tokenizer.end or 0)]
    short = LENGTH + 1 - len(tokens)
    tokens += [int(tokenizer.end or 0)] * max(short, 0)
    whole = np.array(tokens, np.int32)
    views = np.lib.stride_tricks.sliding_window_view(whole, LENGTH + 1)
    return views[:: int(np.clip(len(tokens) // WINDOWS, *STEPS))]


def _perplexity(model: Model, tokenizer: Tokenizer, held: Sequence[Dialogue]) -> float:
    """Over all tokens of dialogues, in pieces that the network sees at once."""
    whole = [[*written(tokenizer, t), int(tokenizer.end or 0)] for t in held]
    rows = [
        tokens[start : start + LENGTH + 1]
        for tokens in whole
        for start in range(0, len(tokens) - 1, LENGTH)
    ]
    losses, counts = _losses(model, rows, [(0, len(row) - 1) for row in rows])
    return float(np.exp(losses.sum() / max(1, counts.sum())))


def _usual_surprise(
    model: Any, tokenizer: Tokenizer, held: Sequence[Dialogue]
) -> float:
    """What most lines of users stay below, also where they begin a dialogue."""
    histories = [
        turns[max(0, place - 3) : place + 1]
        for turns in held
        for place, (speaker, _) in enumerate(turns)
        if speaker == USER
    ]
    step = max(1, len(histories) // 400)
    found = surprises(model, tokenizer, histories[::step])
    return float(np.quantile(found, LIKELY)) if found.size else 0.0


class _Told(Callback):
    """Tells of every epoch."""

    def __init__(self, epochs: int, show: Callable[[str], object]) -> None:
        super().__init__()
        self.epochs = epochs
        self.show = show

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """The loss of an epoch."""
        loss = (logs or {}).get("loss", float("nan"))
        self.show(f"dialogues: epoch {epoch + 1} of {self.epochs}, loss {loss:.3f}")
