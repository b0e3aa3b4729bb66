"""The demonstration: one step in numbers, then real digits, then what came out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import layers, optimizers
from chainrule.explain import StepTrace, trace_step
from chainrule.models import Sequential
from chainrule.recipes.perceptron import Images, Plan, build, load_images, train
from chainrule.recipes.pictures import (
    beside,
    curve_head,
    curve_line,
    draw_image,
    shown_epochs,
)
from chainrule.recipes.run_folder import choose_folder, write_run
from chainrule.training.callbacks import Callback, Logs
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

PLAN = Plan(epochs=100, hidden=(512,), optimizer="sgd", learning_rate=0.3, dropout=0.5)
PICTURES = 4
TINY_WEIGHTS = ([[0.5, -0.3], [0.2, 0.8]], [0.1, -0.1], [[0.7], [-0.4]], [0.2])


class LinearDecay(Callback):
    """Lets the learning rate fall in a straight line to zero: the weights settle."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Remember where it starts."""
        self.first = float(self.model.optimizer.learning_rate)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Lower it."""
        left = 1 - epoch / self.params["epochs"]
        self.model.optimizer.learning_rate = self.first * left


class LiveCurve(Callback):
    """Shows a learning curve line by line, while training runs.

    Args:
        show: is given each line.
    """

    def __init__(self, show: Callable[[str], object] = print) -> None:
        super().__init__()
        self.show = show
        self.largest = 0.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Show the heading."""
        self.wanted = shown_epochs(self.params["epochs"])
        self.show(curve_head())

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Show a line; the first loss is the longest bar."""
        assert logs is not None
        self.largest = self.largest or logs["loss"]
        if epoch + 1 in self.wanted:
            loss, accuracy = logs["loss"], logs["val_accuracy"]
            self.show(curve_line(epoch + 1, loss, accuracy, self.largest))


@dataclass(frozen=True)
class Outcome:
    """What the demonstration made.

    Attributes:
        history: the numbers of every epoch.
        loss: on the test images.
        accuracy: on the test images.
        seconds: that training took.
        folder: where the run is.
        drawn: whether the loss curve was drawn.
        pictures: some test images, as lines of text.
    """

    history: History
    loss: float
    accuracy: float
    seconds: float
    folder: Path
    drawn: bool
    pictures: list[str]


def open_one_step() -> StepTrace:
    """The four phases of one step of a network with nine weights."""
    model = Sequential(
        [
            layers.Dense(2, activation="tanh", input_shape=(2,), name="hidden"),
            layers.Dense(1, activation="sigmoid", name="output"),
        ]
    )
    model.set_weights(TINY_WEIGHTS)
    model.compile(optimizers.SGD(0.5), "binary_crossentropy")
    return trace_step(model, [[1.0, 0.0], [0.0, 1.0]], [1, 0], verbose=False)


def learn_digits(
    shades: str,
    out: Path | None = None,
    plan: Plan = PLAN,
    show: Callable[[str], object] = print,
) -> Outcome:
    """Train on the digits, measure, and write the folder of the run.

    Args:
        shades: characters from light to dark, for pictures.
        out: the folder of the run; chosen when None.
        plan: how to train.
        show: is given a line that says what happens next.
    """
    images = load_images("digits")
    model = build(plan, images)
    show(
        f"A network of {model.count_params():,} weights learns from "
        f"{len(images.x_train):,} handwritten digits, {plan.epochs} times over;\n"
        "its loss on them, and its accuracy on others:\n"
    )
    started = time.perf_counter()
    history = train(
        model, images, plan, verbose=0, callbacks=[LinearDecay(), LiveCurve(show)]
    )
    seconds = time.perf_counter() - started
    results = model.evaluate(images.x_test, images.y_test, verbose=0, return_dict=True)
    folder = choose_folder("demo", out)
    drawn = write_run(folder, model, history, plan, {"data": "digits", "test": results})
    return Outcome(
        history,
        results["loss"],
        results["accuracy"],
        seconds,
        folder,
        drawn,
        list(draw_predictions(images, model.predict(images.x_test, verbose=0), shades)),
    )


def draw_predictions(images: Images, outputs: Array, shades: str) -> Iterator[str]:
    """Some test images with what the network says: right ones, then wrong ones."""
    classes = outputs.argmax(axis=1)
    wrong = np.flatnonzero(classes != images.y_test)[:PICTURES]
    right = np.flatnonzero(classes == images.y_test)[:PICTURES]
    for heading, rows in (("recognised", right), ("mistaken", wrong)):
        if not len(rows):
            continue
        yield f"{heading}:"
        pictures = []
        for row in rows.tolist():
            said = f"{classes[row]} ({outputs[row].max():.0%})"
            if heading == "mistaken":
                said = f"{said}, truly {images.y_test[row]}"
            pictures.append([*draw_image(images.x_test[row], shades), said])
        yield from beside(pictures)
        yield ""


def describe(outcome: Outcome) -> list[str]:
    """The outcome in lines."""
    count = len(outcome.history.epoch)
    lines = [
        f"{outcome.accuracy:.1%} of the test digits are recognised; none of them was "
        "trained on",
        f"({outcome.seconds:.1f} s for {count} epochs).",
        "",
        *outcome.pictures,
        f"The run is in {outcome.folder}: model.chainrule, history.csv, history.json,",
        "run.json" + (", loss.png" if outcome.drawn else ""),
    ]
    if not outcome.drawn:
        lines.append("(no loss.png: pip install 'chainrule[plots]' for matplotlib)")
    return lines
