"""Learn to write as a text does: plan, network, training, measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule import losses, optimizers, random
from chainrule.applications import GPT
from chainrule.callbacks import Callback
from chainrule.errors import ArgumentError
from chainrule.generation import TextGenerator
from chainrule.models import Model
from chainrule.optimizers.schedules import CosineDecay
from chainrule.recipes.language_data import (
    Array,
    Corpus,
    all_windows,
    choose_context,
    some_windows,
)
from chainrule.text import keep_tokenizer
from chainrule.training.history import History

TASK = "generate"
BEST = "best.safetensors"
STEPS = 2000  # of texts of up to a million tokens
MOST_STEPS = 20_000
TOKENS = 1_100_000  # of a text that STEPS are enough for
EVERY = 250  # steps between two measurements
LOOKS = 4  # measurements, at least
MEASURED = 65_536  # tokens that are measured on meanwhile
SHOWN = 160  # tokens of the samples that are shown meanwhile
RATE, RATED_WIDTH = 3e-3, 128  # the highest learning rate; wider networks have less
AT_ONCE = 64  # windows that are measured together


@dataclass(frozen=True)
class Plan:
    """How to train. But for the rate, the defaults are nanoGPT's for a processor.

    Attributes:
        iterations: steps; None chooses by the length of the text.
        tokenizer: `characters` or `bpe`; None chooses by the text.
        vocabulary_size: how many tokens there are at most; None chooses.
        context: how many tokens the network sees; 64 where the text is not short.
        batch_size: windows of a step.
        layers: blocks of the network.
        heads: of attention, in each.
        width: features of a token.
        dropout: the share that is dropped in training.
        learning_rate: the highest; it grows over the first 100 steps and falls to a
            tenth by a cosine. None takes 0.003, less for more than 128 features.
        max_time: seconds that training may take; None for any.
        seed: decides the first weights and the order of windows.

    Example:
        >>> Plan(iterations=200).batch_size
        12
    """

    iterations: int | None = None
    tokenizer: str | None = None
    vocabulary_size: int | None = None
    context: int | None = None
    batch_size: int = 12
    layers: int = 4
    heads: int = 4
    width: int = 128
    dropout: float = 0.0
    learning_rate: float | None = None
    max_time: float | None = None
    seed: int = 0

    @property
    def highest_rate(self) -> float:
        """The highest learning rate.

        Example:
            >>> Plan().highest_rate, Plan(width=384).highest_rate
            (0.003, 0.001)
        """
        if self.learning_rate is not None:
            return self.learning_rate
        return RATE * min(1.0, RATED_WIDTH / self.width)


@dataclass(frozen=True)
class Pace:
    """How training is cut into epochs, after each of which is measured.

    Attributes:
        epochs: how many.
        steps: of each.
    """

    epochs: int
    steps: int

    @property
    def iterations(self) -> int:
        """All steps."""
        return self.epochs * self.steps


@dataclass
class Measures:
    """How well a text is foreseen.

    Attributes:
        loss: the mean of `-log(probability)` of a token.
        tokens: how many tokens the text has.
        characters: how many characters.
    """

    loss: float
    tokens: int
    characters: int

    @property
    def perplexity(self) -> float:
        """`exp(loss)`: among so many tokens it is as hard to guess as among equals."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_character(self) -> float:
        """How many bits a character takes, if it is compressed by what is foreseen."""
        return self.loss * self.tokens / max(self.characters, 1) / math.log(2)

    def figures(self) -> dict[str, float]:
        """The numbers by name."""
        return {
            "loss": self.loss,
            "perplexity": self.perplexity,
            "bits_per_character": self.bits_per_character,
        }


@dataclass
class Outcome:
    """What came of training.

    Attributes:
        network: the best one.
        history: of training.
        pace: how it was cut.
        measures: on the end of the text.
        seconds: that it took.
        best: the epoch of the best weights, counted from 1; 0 for none.
    """

    network: Model
    history: History
    pace: Pace
    measures: Measures
    seconds: float
    best: int


def choose_pace(iterations: int | None, tokens: int) -> Pace:
    """So many steps, measured every 250 of them, and four times at least.

    Args:
        iterations: how many steps are wanted; None for what a text takes.
        tokens: of the text to learn from.

    Example:
        >>> choose_pace(None, 1_000_000), choose_pace(200, 1_000_000)
        (Pace(epochs=8, steps=250), Pace(epochs=4, steps=50))
        >>> choose_pace(None, 4_000_000).iterations
        7250
    """
    if iterations is None:
        wanted = STEPS * tokens / TOKENS
        iterations = round(min(max(wanted, STEPS), MOST_STEPS) / EVERY) * EVERY
    elif iterations < 1:
        raise ArgumentError(
            "training takes steps", where="iterations", got=iterations, fix="2000"
        )
    epochs = min(iterations, max(LOOKS, round(iterations / EVERY)))
    return Pace(epochs, math.ceil(iterations / epochs))


def start_network(corpus: Corpus, plan: Plan) -> Model:
    """A new network, which has the tokenizer with it."""
    context = choose_context(corpus, plan.context)
    with random.stream(random.key(plan.seed)):
        network = GPT(
            corpus.tokenizer.vocabulary_size,
            context,
            layers=plan.layers,
            heads=plan.heads,
            width=plan.width,
            dropout=plan.dropout,
        )
    network.notes["task"] = TASK
    network.notes["context"] = context
    keep_tokenizer(network, corpus.tokenizer)
    return network


def is_writer(model: Any) -> bool:
    """Whether a model was made by this recipe."""
    return bool(getattr(model, "notes", {}).get("task") == TASK)


def make_optimizer(plan: Plan, steps: int) -> optimizers.Optimizer:
    """AdamW: rates that grow and fall, decay of matrices alone, shortened gradients."""
    warm = min(100, max(1, steps // 10))
    rate = CosineDecay(
        0.0,
        max(1, steps - warm),
        alpha=0.1,
        warmup_target=plan.highest_rate,
        warmup_steps=warm,
    )
    optimizer = optimizers.AdamW(
        rate, weight_decay=0.1, beta_2=0.99, global_clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def learn(
    corpus: Corpus,
    plan: Plan,
    folder: Path,
    show: Callable[[str], object] = lambda line: None,
    network: Model | None = None,
) -> Outcome:
    """Train on windows of a text, and measure on the end of it.

    Args:
        corpus: the text.
        plan: how to train.
        folder: of the run, from which one that was cut short goes on.
        show: is told of every measurement.
        network: to train; None begins a new one.
    """
    network = start_network(corpus, plan) if network is None else network
    context = int(network.notes["context"])
    pace = choose_pace(plan.iterations, len(corpus.train))
    network.compile(
        make_optimizer(plan, pace.iterations),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    watch = Watch(network, folder, pace, show)
    started = time.monotonic()
    x, y = all_windows(corpus.train, context)
    history = network.fit(
        x,
        y,
        batch_size=min(plan.batch_size, len(x)),
        epochs=pace.epochs,
        steps_per_epoch=pace.steps,
        validation_data=some_windows(corpus.validation, context, MEASURED),
        validation_batch_size=AT_ONCE,
        callbacks=[watch],
        seed=plan.seed,
        max_time=plan.max_time,
        resume=folder,
        verbose=0,
    )
    seconds = time.monotonic() - started
    if watch.best is not None and (folder / BEST).exists():
        network.load_weights(folder / BEST)
    measures = measure(network, corpus.validation, corpus.characters[1])
    best = 0 if watch.best is None else int(watch.best[1])
    return Outcome(network, history, pace, measures, seconds, best)


def measure(network: Model, tokens: Array, characters: int) -> Measures:
    """How well a network foresees all of a text, window by window."""
    if network.optimizer is None:
        network.compile(loss=losses.SparseCategoricalCrossentropy(from_logits=True))
    context = int(network.notes["context"])
    x, y = some_windows(tokens, context, len(tokens))
    found = network.evaluate(x, y, batch_size=AT_ONCE, verbose=0, return_dict=True)
    return Measures(float(found["loss"]), len(tokens), characters)


class Watch(Callback):
    """Tells of each measurement, keeps the best weights, and shows what is written.

    Args:
        network: that is trained.
        folder: where it keeps the best weights.
        pace: how training is cut.
        show: is told.

    Attributes:
        best: the least loss and its epoch, counted from 1; None before.
    """

    def __init__(
        self, network: Model, folder: Path, pace: Pace, show: Callable[[str], object]
    ) -> None:
        super().__init__()
        self.network = network
        self.folder = folder
        self.pace = pace
        self.show = show
        self.best: tuple[float, int] | None = None
        self.samples = {round(pace.epochs * part / LOOKS) for part in range(1, LOOKS)}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tell, keep what is best, and write a sample now and then."""
        logs = {} if logs is None else logs
        loss = float(logs.get("val_loss", math.nan))
        self.show(
            f"step {(epoch + 1) * self.pace.steps:,} of {self.pace.iterations:,}  "
            f"loss {logs.get('loss', math.nan):.4f}  held out {loss:.4f}"
        )
        if self.best is None or loss < self.best[0]:
            self.best = (loss, epoch + 1)
            self.network.save_weights(self.folder / BEST)
        if epoch + 1 in self.samples:
            self.show(indented(self._sample()))

    def _sample(self) -> str:
        text: str = TextGenerator(self.network).generate(
            "", SHOWN, temperature=0.8, seed=0
        )
        return text

    def state(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": None if self.best is None else list(self.best)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        best = state["best"]
        self.best = None if best is None else (float(best[0]), int(best[1]))


def indented(text: str) -> str:
    """A text set apart from what is told of it.

    Example:
        >>> indented("a\\nb")
        '\\n    a\\n    b\\n'
    """
    lines = "\n".join(f"    {line}" for line in text.strip("\n").split("\n"))
    return f"\n{lines}\n"
