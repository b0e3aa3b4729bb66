"""Tell the classes of texts: data, network, training, measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import optimizers, random
from chainrule.callbacks import Callback
from chainrule.losses import SparseCategoricalCrossentropy
from chainrule.models import Sequential
from chainrule.optimizers.schedules import OneCycle
from chainrule.recipes import text_network as networks
from chainrule.recipes.images import class_weights
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION, Labelled
from chainrule.recipes.images_measures import Measures, cross_entropy, measure
from chainrule.recipes.text_data import Columns, divide_texts
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

SEEN = 25_000  # texts in training, and so many more for every class
SEEN_BY_CLASS = 400
EPOCHS = (3, 40)
BATCHES = ((200, 8), (1000, 16), (50_000, 32), (math.inf, 128))  # up to so many texts
WIDTH = 96  # of vectors of words and n-grams
RATE = 2e-3  # the highest learning rate
DECAY = 0.3
FEW_TEXTS = 500  # of which n-grams that stand in one alone are kept


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        text: the column with the texts, by name or place; None finds it.
        target: the column with the classes; None finds it.
        header: whether the first row of a table holds headings; None finds out.
        validation: a file of texts to measure on; None holds some out.
        epochs: passes over the texts; None chooses by their number and classes.
        batch_size: texts of a step; None chooses by their number.
        learning_rate: the largest of the cycle; None takes the usual one.
        seed: decides the first weights, the order, and what is held out.

    Example:
        >>> Plan(epochs=3).seed
        0
    """

    text: str | None = None
    target: str | None = None
    header: bool | None = None
    validation: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    seed: int = 0


@dataclass
class Problem:
    """Labelled texts, those to learn from apart from the others.

    Attributes:
        data: all of them.
        parts: the places of those to learn from, to look at while learning, and to
            measure on.
        notes: what is to be told.
        columns: of the texts and of the classes, and whether they have headings; None
            where the texts came from a folder.
    """

    data: Labelled
    parts: dict[str, Array]
    notes: list[str]
    columns: Columns | None = None

    def labels(self, part: str) -> Array:
        """The labels of a part."""
        return self.data.labels[self.parts[part]]

    def texts(self, part: str) -> list[str]:
        """The texts of a part."""
        return [self.data.origin.read(place) for place in self.parts[part].tolist()]


@dataclass(frozen=True)
class Outcome:
    """What was learnt.

    Attributes:
        network: takes texts, gives probabilities; see `text_network.classify`.
        history: of the training.
        measures: on the texts held out.
        epochs: how many were planned.
        batch_size: texts of a step.
        reads: how texts are cut up, and why.
        seconds: how long it took, to learn and to measure.
    """

    network: Sequential
    history: History
    measures: Measures
    epochs: int
    batch_size: int
    reads: str
    seconds: float


def pose(data: Labelled, plan: Plan, columns: Columns | None = None) -> Problem:
    """Hold some texts out.

    Raises:
        DataError: when too few are left.
    """
    parts, notes = divide_texts(data, plan.seed)
    return Problem(data, parts, [*data.notes, *notes], columns)


def epochs_for(texts: int, classes: int) -> int:
    """Passes over so many texts of so many classes.

    Example:
        >>> epochs_for(6920, 2), epochs_for(15_000, 150), epochs_for(20, 2)
        (4, 6, 40)
    """
    low, high = EPOCHS
    seen = SEEN + SEEN_BY_CLASS * classes
    return min(max(math.ceil(seen / texts), low), high)


def batch_for(texts: int) -> int:
    """Texts of a step, for so many in all."""
    return next(size for limit, size in BATCHES if texts < limit)


def learn(
    problem: Problem,
    plan: Plan,
    folder: Path | None,
    show: Callable[[str], object] = lambda line: None,
) -> Outcome:
    """Train a network and measure it on the texts held out.

    Args:
        problem: of `pose`.
        plan: how to train.
        folder: of the run, from which one that is cut short goes on; None keeps
            nothing.
        show: is told of every epoch.
    """
    started = time.perf_counter()
    texts, labels = problem.texts(TRAIN), problem.labels(TRAIN)
    names = problem.data.class_names
    encoder, reads = networks.choose_encoder(texts)
    encoder.adapt(texts, least=1 if len(texts) < FEW_TEXTS else 2)
    rows = encoder(texts)
    epochs = plan.epochs or epochs_for(len(texts), len(names))
    batch = min(plan.batch_size or batch_for(len(texts)), len(texts))
    with random.stream(random.key(plan.seed)):
        readers = networks.Readers(encoder, rows, labels, len(names), WIDTH)
        training = readers.training()
        network = Sequential([encoder, readers.whole("readers")], name="text")
    steps = max(1, len(texts) // batch)
    training.compile(
        optimizers.AdamW(
            OneCycle(plan.learning_rate or RATE, max(2, steps * epochs)),
            weight_decay=DECAY,
        ),
        SparseCategoricalCrossentropy(from_logits=True),
    )
    outputs = len(readers.logits)
    weights = class_weights(problem.data.counts(problem.parts[TRAIN]))
    history = training.fit(
        rows,
        [labels] * outputs,
        sample_weight=None if weights is None else [_weigh(labels, weights)] * outputs,
        batch_size=batch,
        steps_per_epoch=steps,
        epochs=epochs,
        seed=plan.seed,
        callbacks=[Watch(problem, network, epochs, show)],
        resume=folder,
        verbose=0,
    )
    network.notes = _notes(problem)
    said = networks.classify(network, problem.texts(TEST))
    measures = measure(problem.labels(TEST), said)
    seconds = time.perf_counter() - started
    return Outcome(network, history, measures, epochs, batch, reads, seconds)


def _weigh(labels: Array, weights: dict[int, float]) -> Array:
    """The weight of every text: that of its class."""
    table = np.array([weights[label] for label in range(len(weights))], np.float32)
    return np.asarray(table[labels])


def _notes(problem: Problem) -> dict[str, Any]:
    """What a model's file says beside the network."""
    columns = problem.columns
    return {
        "task": networks.TASK,
        "class_names": list(problem.data.class_names),
        "columns": None if columns is None else asdict(columns),
    }


class Watch(Callback):
    """Tells of every epoch, and how the texts to look at are told.

    Args:
        problem: whose texts it looks at.
        network: whose weights are trained.
        epochs: how many there will be.
        show: is told.
    """

    def __init__(
        self,
        problem: Problem,
        network: Sequential,
        epochs: int,
        show: Callable[[str], object],
    ) -> None:
        super().__init__()
        self.epochs = epochs
        self.show = show
        self.labels = problem.labels(VALIDATION)
        self.whole = network.layers[1]
        texts = problem.texts(VALIDATION)
        self.rows = network.layers[0](texts) if texts else None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, and tell."""
        logs = {} if logs is None else logs
        line = f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', math.nan):.4f}"
        if self.rows is not None:
            said = networks.predict_rows(self.whole, self.rows)
            accuracy = float((said.argmax(axis=1) == self.labels).mean())
            loss = cross_entropy(self.labels, said)
            logs.update(val_loss=loss, val_accuracy=accuracy)
            line += f"  validation: loss {loss:.4f}  accuracy {accuracy:.2%}"
        self.show(line)
