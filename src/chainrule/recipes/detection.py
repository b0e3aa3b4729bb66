"""Find objects in pictures: annotations, network, training, measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import optimizers, random
from chainrule.callbacks import Callback, SwapEMAWeights
from chainrule.data.annotations import Annotations, read_annotations
from chainrule.errors import DataError
from chainrule.metrics import DetectionReport
from chainrule.models import Model
from chainrule.optimizers.schedules import CosineDecay
from chainrule.recipes.detection_augment import Changes
from chainrule.recipes.detection_measures import fair_scores, measure
from chainrule.recipes.detection_network import Size, build_network
from chainrule.recipes.detection_pictures import Examples, frame_of, free_memory
from chainrule.recipes.detection_size import choose_size
from chainrule.recipes.detection_training import DetectorTraining
from chainrule.recipes.detection_use import Found, Suppression, find_objects
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

HOLD_OUT = 5  # one in so many pictures, where the data name no part for it
SEEN = 16_400  # pictures in training, whatever their number
EPOCHS = (12, 1000)
LINES = 100  # of what is shown of the epochs, at most
MEASURED = 12  # how often in training
WARM_UP = 0.05  # of the steps
BEST = "best.safetensors"
TRAINING_PARTS = ("train", "training")
HELD_OUT_PARTS = ("val", "valid", "validation", "test")


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the pictures; None chooses by their number.
        batch_size: pictures of a step.
        learning_rate: the largest, after the warm-up.
        weight_decay: see `AdamW`.
        average: how slowly the average of the weights forgets.
        size: what the network sees: the longer side, or height and width; None chooses
            by the boxes.
        flip_vertical: whether an upside-down picture is as good as any.
        seed: decides the first weights, the order and the changes of pictures.

    Example:
        >>> Plan(epochs=3).batch_size
        8
    """

    epochs: int | None = None
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    average: float = 0.99
    size: tuple[int, ...] | None = None
    flip_vertical: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Problem:
    """Annotated pictures to learn from, and others to measure on.

    Attributes:
        annotations: all of them.
        train: the places of those to learn from.
        held_out: the places of the others.
        size: of the network.
        notes: what is to be told.
    """

    annotations: Annotations
    train: Sequence[int]
    held_out: Sequence[int]
    size: Size
    notes: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes."""
        return list(self.annotations.class_names)

    def examples(self, places: Sequence[int]) -> Examples:
        """Pictures as the network takes them."""
        pictures = [self.annotations.pictures[place] for place in places]
        return Examples(pictures, (self.size.height, self.size.width))


@dataclass(frozen=True)
class Outcome:
    """What was learnt.

    Attributes:
        network: with the weights that did best on the pictures held out.
        history: of the training.
        report: on the pictures held out.
        found: in each of these.
        epochs: how many were planned.
    """

    network: Model
    history: History
    report: DetectionReport
    found: list[Found]
    epochs: int


def pose(path: str, plan: Plan) -> Problem:
    """Read annotations and choose sizes for them.

    Raises:
        DataError: when there is nothing to learn from.
    """
    annotations = read_annotations(path)
    train, held_out, note = split(annotations, plan.seed)
    chosen = [annotations.pictures[place] for place in train]
    if not any(len(picture.boxes) for picture in chosen):
        raise DataError(
            "no picture to learn from has a box",
            where=path,
            got=f"{len(chosen)} pictures",
        )
    return Problem(annotations, train, held_out, choose_size(chosen, plan.size), [note])


def split(annotations: Annotations, seed: int) -> tuple[list[int], list[int], str]:
    """The places of pictures to learn from, of those held out, and why so.

    The parts that the annotations name; else a fifth is held out by chance.

    Raises:
        DataError: when there is but one picture.
    """
    parts = annotations.splits
    train = next((name for name in TRAINING_PARTS if name in parts), None)
    other = next((name for name in HELD_OUT_PARTS if name in parts), None)
    if train and other and parts[train] and parts[other]:
        known = set(parts[other])
        learning = [place for place in parts[train] if place not in known]
        if learning:
            text = f"split as the annotations say: {train} and {other}"
            return learning, list(parts[other]), text
    count = len(annotations)
    if count < 2:
        raise DataError(
            "one picture is not enough to learn from and to measure on",
            where="annotations",
            got=f"{count} picture",
        )
    order = np.random.default_rng(seed).permutation(count)
    apart = max(1, round(count / HOLD_OUT))
    text = f"a fifth of the pictures held out by chance (seed {seed})"
    return sorted(order[apart:].tolist()), sorted(order[:apart].tolist()), text


def epochs_for(pictures: int) -> int:
    """Passes over so many pictures.

    Example:
        >>> epochs_for(205), epochs_for(10), epochs_for(50_000)
        (80, 1000, 12)
    """
    low, high = EPOCHS
    return min(max(round(SEEN / pictures), low), high)


def learn(
    problem: Problem,
    plan: Plan,
    folder: Path,
    show: Callable[[str], object] = lambda line: None,
) -> Outcome:
    """Train a network and measure it on the pictures held out.

    Args:
        problem: of `pose`.
        plan: how to train.
        folder: of the run, from which one that is cut short goes on.
        show: is told of every epoch.
    """
    epochs = plan.epochs or epochs_for(len(problem.train))
    batch = min(plan.batch_size, len(problem.train))
    steps = len(problem.train) // batch
    with random.stream(random.key(plan.seed)):
        network = build_network(problem.size, problem.class_names)
    changes = Changes(flip_vertical=plan.flip_vertical)
    training = DetectorTraining(network, changes)
    training.compile(make_optimizer(plan, steps * epochs))
    watch = Watch(problem, folder, epochs, show)
    history = training.fit(
        data_of(problem.examples(problem.train)),
        batch_size=batch,
        steps_per_epoch=steps,
        epochs=epochs,
        seed=plan.seed,
        callbacks=[watch],
        resume=folder,
        verbose=0,
    )
    if watch.best >= 0:
        network.load_weights(folder / BEST)
    found = find_in(network, problem.examples(problem.held_out))
    report = measure_found(problem, found)
    network.notes["scores"] = fair_scores(report)
    return Outcome(network, history, report, found, epochs)


def make_optimizer(plan: Plan, steps: int) -> optimizers.Optimizer:
    """AdamW with a warm-up, a cosine and an average of the weights."""
    warm_up = max(1, round(WARM_UP * steps))
    rate = CosineDecay(
        plan.learning_rate / 50,
        max(1, steps - warm_up),
        alpha=0.02,
        warmup_target=plan.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = optimizers.AdamW(
        rate,
        weight_decay=plan.weight_decay,
        global_clipnorm=10.0,
        use_ema=True,
        ema_momentum=plan.average,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def data_of(examples: Examples) -> Any:
    """The pictures in memory where half of what is free holds them; else read on."""
    return examples.arrays() if examples.bytes < free_memory() // 2 else examples


def find_in(
    network: Model, examples: Examples, suppression: Suppression | None = None
) -> list[Found]:
    """The objects in annotated pictures."""
    frames = (
        (frame_of(picture, examples.size), examples.frame(place))
        for place, picture in enumerate(examples.pictures)
    )
    return list(find_objects(network, frames, suppression=suppression))


def measure_found(problem: Problem, found: Sequence[Found]) -> DetectionReport:
    """How well the objects of the pictures held out were found."""
    return measure(problem.annotations.subset(problem.held_out), found)


class Watch(Callback):
    """Measures the average of the weights now and then, and keeps the best.

    Args:
        problem: whose pictures held out it measures on.
        folder: where it keeps the best weights.
        epochs: how many there will be.
        show: is told of every epoch.

    Attributes:
        best: the mean average precision of the weights that were kept; -1 before.
    """

    def __init__(
        self,
        problem: Problem,
        folder: Path,
        epochs: int,
        show: Callable[[str], object],
    ) -> None:
        super().__init__()
        self.problem = problem
        self.examples = problem.examples(problem.held_out)
        self.folder = folder
        self.epochs = epochs
        self.show = show
        self.best = -1.0
        self.swap = SwapEMAWeights()

    def set_model(self, model: Any) -> None:
        """Take the model that is trained."""
        super().set_model(model)
        self.swap.set_model(model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, where it is time to."""
        logs = {} if logs is None else logs
        line = f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', math.nan):.3f}"
        every = max(1, round(self.epochs / MEASURED))
        if (epoch + 1) % every == 0 or epoch + 1 == self.epochs:
            self.swap.on_test_begin()
            logs.update(self._measure())
            self.swap.on_test_end()
            line += f"  mAP@0.5 {logs['val_AP50']:.3f}  mAP {logs['val_AP']:.3f}"
            self.show(line)
        elif (epoch + 1) % max(1, -(-self.epochs // LINES)) == 0:
            self.show(line)

    def _measure(self) -> Mapping[str, float]:
        network = self.model.network
        report = measure_found(self.problem, find_in(network, self.examples))
        found, half = report.figures["AP"], report.figures["AP50"]
        if found > self.best:
            self.best = found
            network.save_weights(self.folder / BEST)
        return {"val_AP50": half, "val_AP": found}

    def state(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.best = float(state["best"])
