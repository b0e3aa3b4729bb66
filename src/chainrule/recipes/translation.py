"""Learn to translate from pairs of sentences."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import losses, optimizers
from chainrule.data import BucketedBatches
from chainrule.errors import DataError
from chainrule.functional import random
from chainrule.models import Model
from chainrule.optimizers.schedules import CosineDecay
from chainrule.recipes.translation_data import Pairs, hold_out
from chainrule.recipes.translation_network import END, PADDING, START, TASK, Size, build
from chainrule.text import Tokenizer, keep_tokenizer
from chainrule.training.callbacks import Callback, EarlyStopping
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

LENGTHS = 6  # of the batches that are trained on: each is compiled
MULTIPLE = 4
SMOOTHING = 0.1
TOKENS_IN_ALL = 5_500_000  # of the targets, in all passes together
MOST_EPOCHS, LEAST_EPOCHS = 60, 3
MOST_TOKENS, LEAST_TOKENS = 2048, 256  # of a step
STEPS = 30  # of a pass at least, where the sentences are few
CHARACTERS_A_TOKEN = 100  # of the texts, for each token of the vocabulary
MOST_VOCABULARY, LEAST_VOCABULARY = 6000, 400
LEAST_PATIENCE = 5  # passes that may be no better than the best before
WARM_UP = 0.1  # of the steps, at most `MOST_WARM_UP`
MOST_WARM_UP = 400


@dataclass(frozen=True)
class Plan:
    """How to train a translator.

    Attributes:
        epochs: passes over the pairs; by their number where None.
        tokens: of a step; by the number of pairs where None.
        vocabulary: tokens at most; by the length of the texts where None.
        width: numbers of a token in the network.
        blocks: of the encoder, and of the decoder.
        inner: the width of the network for each token in a block; twice that of a token
            where None.
        learning_rate: the highest one.
        dropout: the share that is dropped in training.
        longest: tokens of the longest sentence that is learnt from.
        beams: how many translations are followed at once.
        alpha: the penalty for length.
        max_time: seconds that training may take.
        seed: the same seed gives the same bits.
    """

    epochs: int | None = None
    tokens: int | None = None
    vocabulary: int | None = None
    width: int = 256
    blocks: int = 3
    inner: int | None = None
    learning_rate: float = 1e-3
    dropout: float = 0.15
    longest: int = 128
    beams: int = 5
    alpha: float = 1.0
    max_time: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Problem:
    """Pairs as numbers, and what turns sentences into them.

    Attributes:
        train: the pairs to learn from.
        validation: the pairs to choose by.
        tokenizer: of both languages together.
        batches: what is trained on.
        held_out: what is measured after each pass; None where there is nothing.
        epochs: how many passes there are.
        left_out: pairs that are not learnt from, by reason.
    """

    train: Pairs
    validation: Pairs
    tokenizer: Tokenizer
    batches: BucketedBatches
    held_out: BucketedBatches | None
    epochs: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """What came of training.

    Attributes:
        network: the translator; its tokenizer is in its notes.
        history: the numbers of every epoch.
        seconds: how long training took.
    """

    network: Model
    history: History
    seconds: float


def pose(train: Pairs, validation: Pairs | None, plan: Plan) -> Problem:
    """Make a vocabulary, and batches of numbers.

    Args:
        train: the pairs to learn from.
        validation: the pairs to choose by; some of the others where None.
        plan: how to train.

    Raises:
        DataError: when there is nothing to learn from.
    """
    left_out: dict[str, int] = {}
    train = _whole(train, left_out)
    if validation is None:
        train, validation = hold_out(train, plan.seed)
    validation = _whole(validation, {})
    tokenizer = learn_tokens(train, plan)
    numbers = _numbers(train, tokenizer, plan.longest, left_out)
    if not numbers[0]:
        raise DataError(
            "there are no pairs of sentences to learn from",
            where=train.name,
            got=", ".join(f"{count:,} {why}" for why, count in left_out.items())
            or "nothing",
        )
    held_out = _numbers(validation, tokenizer, plan.longest, {})
    count = sum(map(len, numbers[1])) + len(numbers[1])
    tokens = plan.tokens or int(np.clip(count // STEPS, LEAST_TOKENS, MOST_TOKENS))
    return Problem(
        train,
        validation,
        tokenizer,
        _batches(*numbers, tokens, LENGTHS, plan.seed),
        _batches(*held_out, tokens, LENGTHS // 2) if held_out[0] else None,
        plan.epochs or epochs_for(count),
        left_out,
    )


def epochs_for(tokens: int) -> int:
    """Passes over targets of so many tokens.

    Example:
        >>> [epochs_for(n) for n in (5_000, 430_000, 20_000_000)]
        [60, 13, 3]
    """
    return int(np.clip(round(TOKENS_IN_ALL / tokens), LEAST_EPOCHS, MOST_EPOCHS))


def learn_tokens(pairs: Pairs, plan: Plan) -> Tokenizer:
    """A vocabulary of byte pairs, of both languages together."""
    texts = [*pairs.sources, *pairs.targets]
    room = sum(map(len, texts)) // CHARACTERS_A_TOKEN
    size = plan.vocabulary or int(np.clip(room, LEAST_VOCABULARY, MOST_VOCABULARY))
    return Tokenizer.train(texts, vocabulary_size=size)


def _whole(pairs: Pairs, left_out: dict[str, int]) -> Pairs:
    """The pairs of which neither side is empty."""
    both = zip(pairs.sources, pairs.targets, strict=True)
    kept = [place for place, pair in enumerate(both) if all(pair)]
    if len(kept) < len(pairs):
        left_out["with an empty side"] = len(pairs) - len(kept)
    return pairs.rows(kept)


def _numbers(
    pairs: Pairs, tokenizer: Tokenizer, longest: int, left_out: dict[str, int]
) -> tuple[list[Array], list[Array]]:
    """Both sides as numbers, without pairs that are too long."""
    sides = [tokenizer.encode_batch(part) for part in (pairs.sources, pairs.targets)]
    both = zip(*sides, strict=True)
    kept = [pair for pair in both if max(map(len, pair)) <= longest]
    if len(kept) < len(pairs):
        left_out[f"of more than {longest} tokens"] = len(pairs) - len(kept)
    return [pair[0] for pair in kept], [pair[1] for pair in kept]


def _batches(
    sources: Sequence[Array],
    targets: Sequence[Array],
    tokens: int,
    buckets: int,
    seed: int | None = None,
) -> BucketedBatches:
    """Batches for `fit`: the target is told from its beginning, token after token."""
    begun = [np.concatenate([[START], target]) for target in targets]
    ended = [np.concatenate([target, [END]]) for target in targets]
    data = {"source": list(sources), "target": begun}, ended
    return BucketedBatches(
        data,
        tokens=tokens,
        buckets=buckets,
        multiple=MULTIPLE,
        value=PADDING,
        shuffle=seed is not None,
        seed=seed or 0,
    )


def learn(
    problem: Problem,
    plan: Plan,
    folder: Path | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> Outcome:
    """Train a translator.

    Cross-entropy with smoothed labels, the mean over the tokens of a batch; Adam, whose
    rate rises in a straight line and falls along a cosine. The weights of the epoch
    that was best on the pairs held out are kept, and training ends where these are
    learnt no better for a quarter of the passes.

    Args:
        problem: of `pose`.
        plan: how to train.
        folder: of the run, from which one that is cut short goes on.
        show: is told of every epoch.
    """
    inner = plan.inner or 2 * plan.width
    size = Size(plan.width, plan.blocks, max(1, plan.width // 64), inner)
    with random.stream(random.key(plan.seed)):
        network = build(problem.tokenizer.vocabulary_size, size, plan.dropout)
    loss = losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=PADDING, label_smoothing=SMOOTHING
    )
    network.compile(make_optimizer(plan, len(problem.batches) * problem.epochs), loss)
    callbacks: list[Callback] = [Watch(problem.epochs, show)]
    if problem.held_out is not None:
        patience = max(LEAST_PATIENCE, problem.epochs // 4)
        callbacks.append(
            EarlyStopping("val_loss", 0, patience, restore_best_weights=True)
        )
    started = time.monotonic()
    history = network.fit(
        problem.batches,
        epochs=problem.epochs,
        validation_data=problem.held_out,
        callbacks=callbacks,
        seed=plan.seed,
        max_time=plan.max_time,
        resume=folder,
        verbose=0,
    )
    network.notes |= {
        "task": TASK,
        "longest": longest_source(problem),
        "beams": plan.beams,
        "alpha": plan.alpha,
    }
    keep_tokenizer(network, problem.tokenizer)
    return Outcome(network, history, time.monotonic() - started)


def longest_source(problem: Problem) -> int:
    """The tokens of the longest sentences that were learnt from."""
    return int(problem.batches.limits[-1])


def make_optimizer(plan: Plan, steps: int) -> optimizers.Optimizer:
    """Adam, with a warm-up and a rate that falls to nothing."""
    warm_up = max(1, min(MOST_WARM_UP, int(WARM_UP * steps)))
    rate = CosineDecay(
        0.0,
        max(1, steps - warm_up),
        warmup_target=plan.learning_rate,
        warmup_steps=warm_up,
    )
    return optimizers.Adam(rate, beta_2=0.98, epsilon=1e-9)


class Watch(Callback):
    """Tells of every epoch in a line.

    Args:
        epochs: how many there will be.
        show: is told.
    """

    def __init__(self, epochs: int, show: Callable[[str], object]) -> None:
        super().__init__()
        self.epochs = epochs
        self.show = show
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Say how far it is."""
        logs = logs or {}
        line = f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', math.nan):.3f}"
        if "val_loss" in logs:
            line += f"  held out {logs['val_loss']:.3f}"
        seconds = time.monotonic() - self._started
        self.show(f"{line}  {seconds / 60:.1f} min")
