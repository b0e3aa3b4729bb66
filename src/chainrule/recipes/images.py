"""Tell what pictures show: data, network, training, measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import optimizers, random
from chainrule.applications import with_new_head
from chainrule.callbacks import Callback
from chainrule.errors import ArgumentError, DataError, FormatError
from chainrule.models import Model, load_model
from chainrule.models.cost import forward_flops
from chainrule.optimizers.schedules import OneCycle
from chainrule.recipes import images_network as networks
from chainrule.recipes.images_data import TEST, TRAIN, VALIDATION, Labelled
from chainrule.recipes.images_measures import Measures, cross_entropy, measure
from chainrule.recipes.images_parts import divide
from chainrule.recipes.images_survey import (
    Form,
    Stream,
    Survey,
    choose_form,
    decode,
    fits_in_memory,
    survey,
)
from chainrule.recipes.run_folder import find_model
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

SEEN = 500_000  # pictures in training, by a network of 41 million products each
PRODUCTS = 41e6
EPOCHS = (10, 150)
BATCHES = ((200, 8), (1000, 32), (math.inf, 64))  # pictures of a step, up to a number
UNEVEN = 3.0  # how often the commonest class may be the rarest before they are weighed
SAMPLE = 2000  # pictures by which levels are told where they do not fit in memory
BEST = "best.safetensors"
RATE = 4e-3  # the highest learning rate
AT_ONCE = 64  # pictures that are looked at together


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        model: a name of `images_network.BUILDERS`; None chooses by the pictures.
        epochs: passes over the pictures; None chooses by their number and the network.
        batch_size: pictures of a step; None chooses by their number.
        learning_rate: the largest of the cycle; None takes the usual one, a quarter of
            it to go on from a trained network.
        weight_decay: see `AdamW`.
        size: the longer side of what the network sees, or height and width.
        augment: how pictures are changed while training; None chooses.
        damaged: `skip` leaves damaged files out, `refuse` ends.
        seed: decides the first weights, the order and the changes of pictures.
        start: a run, or a model's file: its network gets a new head and goes on.
        freeze: whether only the new head learns then.

    Example:
        >>> Plan(epochs=3).damaged
        'skip'
    """

    model: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.05
    size: tuple[int, ...] | None = None
    augment: tuple[str, ...] | None = None
    damaged: str = "skip"
    seed: int = 0
    start: str | None = None
    freeze: bool = False

    @property
    def highest_rate(self) -> float:
        """The highest learning rate of the cycle."""
        if self.learning_rate is not None:
            return self.learning_rate
        return RATE if self.start is None or self.freeze else RATE / 4


@dataclass
class Problem:
    """Labelled pictures in one form, those to learn from apart from the others.

    Attributes:
        data: all of them.
        looks: what they are like.
        form: what they are given.
        parts: the places of those to learn from, to choose by and to measure on.
        damaged: why files could not be read, by their names.
        notes: what is to be told.
        pixels: of all pictures, by place; None where they do not fit in memory.
    """

    data: Labelled
    looks: Survey
    form: Form
    parts: dict[str, Array]
    damaged: dict[str, str]
    notes: list[str] = field(default_factory=list)
    pixels: Array | None = None

    def labels(self, part: str) -> Array:
        """The labels of a part."""
        return self.data.labels[self.parts[part]]

    def pictures(self, part: str) -> Array | Stream:
        """The pictures of a part: in memory, or read when they are needed."""
        places = self.parts[part]
        if self.pixels is not None:
            return np.asarray(self.pixels[places])
        return Stream(self.data.origin, self.data.labels, places, self.form)


@dataclass(frozen=True)
class Outcome:
    """What was learnt.

    Attributes:
        network: with the weights that were kept.
        history: of the training.
        measures: on the pictures held out.
        epochs: how many were planned.
        batch_size: pictures of a step.
        changes: of pictures, while training.
    """

    network: Model
    history: History
    measures: Measures
    epochs: int
    batch_size: int
    changes: tuple[str, ...]


def pose(data: Labelled, plan: Plan, form: Form | None = None) -> Problem:
    """Look at pictures, give them one form, and hold some out.

    Args:
        data: labelled pictures.
        plan: how to train.
        form: of the pictures, where it is given.

    Raises:
        ArgumentError: when the plan names what there is not.
        DataError: when too few can be read.
        FormatError: when one is damaged and the plan refuses that.
    """
    check_plan(plan)
    if form is None and plan.start is not None:
        form = networks.form_of(load_start(plan.start))
    looks = survey(data.origin, len(data))
    whole = _whole(data, looks.problems, plan)
    if form is None:
        form = choose_form(looks, plan.size)
    keep = fits_in_memory(len(data), form)
    decoded, problems = decode(data.origin, whole, form, keep)
    pixels = None
    if keep:
        pixels = _spread(decoded, whole, len(data))
    problems |= looks.problems
    whole = _whole(data, problems, plan)
    named = {data.origin.called(row): why for row, why in sorted(problems.items())}
    parts, notes = divide(data, np.asarray(whole), plan.seed)
    return Problem(data, looks, form, parts, named, [*data.notes, *notes], pixels)


def check_plan(plan: Plan) -> None:
    """Refuse what there is not, before pictures are read.

    Raises:
        ArgumentError: with what there is.
    """
    if plan.damaged not in ("skip", "refuse"):
        raise ArgumentError(
            "damaged files are left out, or refused",
            where="damaged",
            got=repr(plan.damaged),
            expected="skip or refuse",
        )
    if plan.model is not None:
        networks.check_kind(plan.model)
    networks.check_changes(plan.augment or ())


def _whole(data: Labelled, problems: dict[int, str], plan: Plan) -> list[int]:
    """The places of pictures that can be read.

    Raises:
        FormatError: when there are others, and the plan refuses that.
        DataError: when none is left.
    """
    if problems and plan.damaged == "refuse":
        row = min(problems)
        raise FormatError(
            "a picture cannot be read",
            where=data.origin.called(row),
            got=problems[row],
            fix="--damaged skip leaves such files out and names them",
        )
    whole = [row for row in range(len(data)) if row not in problems]
    if not whole:
        raise DataError(
            "none of the pictures can be read",
            where=data.name,
            got=next(iter(problems.values())),
        )
    return whole


def _spread(decoded: Array, rows: Sequence[int], count: int) -> Array:
    """Pictures at their places among all."""
    if len(rows) == count:
        return decoded
    pixels = np.zeros((count, *decoded.shape[1:]), np.uint8)
    pixels[rows] = decoded
    return pixels


def epochs_for(pictures: int, flops: float) -> int:
    """Passes over so many pictures, for a network of so many operations a picture.

    Example:
        >>> epochs_for(14_000, 2 * 41e6), epochs_for(20, 1e6), epochs_for(60_000, 1e8)
        (36, 150, 10)
    """
    low, high = EPOCHS
    seen = SEEN * min(1.0, 2 * PRODUCTS / max(flops, 1.0))
    return min(max(round(seen / pictures), low), high)


def batch_for(pictures: int) -> int:
    """Pictures of a step, for so many in all."""
    return next(size for limit, size in BATCHES if pictures < limit)


def class_weights(counts: Array) -> dict[int, float] | None:
    """A weight for every class where they are very uneven: by the root of their share.

    Example:
        >>> class_weights(np.array([100, 100])), class_weights(np.array([64, 4]))
        (None, {0: 0.85, 1: 3.4})
    """
    present = counts[counts > 0]
    if present.max() <= UNEVEN * present.min():
        return None
    roots = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1)), 0.0)
    scale = counts.sum() / (counts * roots).sum()
    return {label: round(float(w), 6) for label, w in enumerate(roots * scale)}


def start_network(problem: Problem, plan: Plan) -> Model:
    """A new network for these pictures, or a trained one with a new head."""
    if plan.start is not None:
        return take_over(plan, problem.data.class_names)
    kind = plan.model or networks.choose_model(problem.form)
    pictures = problem.pictures(TRAIN)
    sample = pictures
    if isinstance(pictures, Stream):
        chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), SAMPLE))
        sample = np.stack([pictures.pixels(round(place)) for place in chosen])
    levels = networks.measure_levels(np.asarray(sample))
    with random.stream(random.key(plan.seed)):
        return networks.build_network(
            kind, problem.form, problem.data.class_names, levels
        )


def take_over(plan: Plan, class_names: Sequence[str]) -> Model:
    """The network of a run with a new head for these classes.

    Raises:
        ArgumentError: when the run has no network that tells what pictures show.
    """
    base = load_start(plan.start)
    with random.stream(random.key(plan.seed)):
        network = with_new_head(base, class_names, freeze=plan.freeze)
    network.notes.pop("data", None)
    return network


def load_start(start: str | None) -> Any:
    """The trained network to go on from.

    Raises:
        ArgumentError: when it does not tell what pictures show.
    """
    base = load_model(find_model(Path(str(start))))
    if not networks.is_classifier(base):
        raise ArgumentError(
            "this model does not tell what pictures show",
            where=str(start),
            got=base.name,
            fix="chainrule train PICTURES makes one that does",
        )
    return base


def learn(
    problem: Problem,
    plan: Plan,
    folder: Path,
    show: Callable[[str], object] = lambda line: None,
    network: Model | None = None,
) -> Outcome:
    """Train a network and measure it on the pictures held out.

    Args:
        problem: of `pose`.
        plan: how to train.
        folder: of the run, from which one that is cut short goes on.
        show: is told of every epoch.
        network: to go on from; None begins a new one.
    """
    if network is None:
        network = start_network(problem, plan)
    counts = problem.data.counts(problem.parts[TRAIN])
    rows = len(problem.parts[TRAIN])
    epochs = plan.epochs or epochs_for(rows, sum(forward_flops(network, 1).values()))
    batch = min(plan.batch_size or batch_for(rows), rows)
    names = problem.data.class_names
    if plan.augment is None:
        changes = networks.choose_changes(problem.form, names)
    else:
        changes = networks.check_changes(plan.augment)
    training = networks.with_changes(network, changes, problem.form)
    steps = rows // batch
    training.compile(
        make_optimizer(plan, steps * epochs),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    watch = Watch(problem, network, folder, epochs, show)
    pictures = problem.pictures(TRAIN)
    in_memory = isinstance(pictures, np.ndarray)
    history = training.fit(
        pictures,
        problem.labels(TRAIN) if in_memory else None,
        batch_size=batch,
        steps_per_epoch=steps,
        epochs=epochs,
        class_weight=class_weights(counts),
        seed=plan.seed,
        callbacks=[watch],
        resume=folder,
        verbose=0,
    )
    if watch.best is not None and (folder / BEST).exists():
        network.load_weights(folder / BEST)
    said = look_at(network, problem.pictures(TEST))
    return Outcome(
        network, history, measure(problem.labels(TEST), said), epochs, batch, changes
    )


def make_optimizer(plan: Plan, steps: int) -> optimizers.Optimizer:
    """AdamW on one cycle of learning rates."""
    rate = OneCycle(plan.highest_rate, max(2, steps))
    optimizer = optimizers.AdamW(rate, weight_decay=plan.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def look_at(network: Any, pictures: Array | Stream) -> Array:
    """The probabilities of the classes for pictures, float32 `(n, classes)`."""
    found = []
    for start in range(0, len(pictures), AT_ONCE * 16):
        stop = min(start + AT_ONCE * 16, len(pictures))
        if isinstance(pictures, Stream):
            group = np.stack([pictures.pixels(row) for row in range(start, stop)])
        else:
            group = pictures[start:stop]
        missing = -len(group) % AT_ONCE
        if missing:  # one shape for all, so that one program is compiled
            rest = np.repeat(group[-1:], missing, axis=0)
            group = np.concatenate([group, rest])
        said = network.predict(group, batch_size=AT_ONCE, verbose=0)
        found.append(said[: stop - start])
    return np.concatenate(found)


class Watch(Callback):
    """Looks at the pictures to choose by after each epoch, and keeps the best weights.

    Args:
        problem: whose pictures it looks at.
        network: that is trained.
        folder: where it keeps the best weights.
        epochs: how many there will be.
        show: is told of every epoch.

    Attributes:
        best: accuracy and negative loss of the weights that were kept; None before.
    """

    def __init__(
        self,
        problem: Problem,
        network: Model,
        folder: Path,
        epochs: int,
        show: Callable[[str], object],
    ) -> None:
        super().__init__()
        self.network = network
        self.folder = folder
        self.epochs = epochs
        self.show = show
        self.best: tuple[float, float] | None = None
        self.labels = problem.labels(VALIDATION)
        self.pictures = problem.pictures(VALIDATION)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, and keep what is best."""
        logs = {} if logs is None else logs
        line = (
            f"epoch {epoch + 1}/{self.epochs}  loss {logs.get('loss', math.nan):.4f}"
            f"  accuracy {logs.get('accuracy', math.nan):.2%}"
        )
        if len(self.labels):
            said = look_at(self.network, self.pictures)
            loss = cross_entropy(self.labels, said)
            accuracy = float((said.argmax(axis=1) == self.labels).mean())
            logs.update(val_loss=loss, val_accuracy=accuracy)
            line += f"  held out: loss {loss:.4f}  accuracy {accuracy:.2%}"
            if self.best is None or (accuracy, -loss) > self.best:
                self.best = (accuracy, -loss)
                self.network.save_weights(self.folder / BEST)
        self.show(line)

    def state(self) -> dict[str, Any]:
        """The best so far."""
        return {"best": None if self.best is None else list(self.best)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        best = state["best"]
        self.best = None if best is None else (float(best[0]), float(best[1]))
