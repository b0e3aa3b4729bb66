"""The network for a table: how large, how trained, and put together for raw rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import layers, optimizers, random
from chainrule.layers.preprocessing_table import bin_edges
from chainrule.models import Model, Sequential
from chainrule.optimizers import schedules
from chainrule.recipes.tabular_task import Target
from chainrule.training.callbacks import EarlyStopping, LambdaCallback
from chainrule.training.history import History

Array = np.ndarray[Any, Any]

MOST_BINS = 24
MOST_BIN_FEATURES = 1024
NEARLY_ALL = 0.9  # the share of the rows in one class from which on classes are weighed
MOST_WEIGHT = 20.0


@dataclass(frozen=True)
class Shape:
    """How large a network is and how it is trained.

    Attributes:
        hidden: the widths of the hidden layers.
        dropout: the share of their units dropped.
        bins: of every number.
        batch_size: rows of a step.
        epochs: passes over the data, at most.
        patience: epochs without a better validation loss before training ends.
        learning_rate: the largest; it rises at first, then falls along a cosine.
        weight_decay: see `AdamW`.
        members: how many networks are averaged.
    """

    hidden: tuple[int, ...] = (256, 128)
    dropout: float = 0.2
    bins: int = MOST_BINS
    batch_size: int = 256
    epochs: int = 30
    patience: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    members: int = 1


def choose_shape(
    rows: int, numbers: int, overrides: Mapping[str, Any] | None = None
) -> Shape:
    """A network for so many rows, apart from what is asked for.

    Example:
        >>> choose_shape(500, 4).batch_size < choose_shape(50_000, 4).batch_size
        True
    """
    bins = int(np.clip(MOST_BIN_FEATURES // max(numbers, 1), 2, MOST_BINS))
    if rows < 3000:
        shape = Shape((64, 32), 0.3, min(bins, 8), 32, 60, 15, 2e-3, members=6)
    elif rows < 100_000:
        shape = Shape(bins=bins, members=3)
    else:
        shape = Shape((256, 256), 0.1, bins, 1024, 20, 5, 2e-3)
    return replace(shape, **(overrides or {}))


def build_network(
    encoder: layers.TableEncoder, rows: Array, target: Target, shape: Shape, seed: int
) -> Sequential:
    """A network for encoded rows: bins and tables, then dense layers."""
    edges = [bin_edges(rows[:, i], shape.bins) for i in range(encoder.numbers)]
    parts: list[Any] = [
        layers.Input((rows.shape[1],)),
        layers.TableFeatures(
            encoder.numbers, encoder.flags, encoder.cardinalities, edges
        ),
    ]
    for width in shape.hidden:
        parts += [layers.Dense(width, "relu"), layers.Dropout(shape.dropout)]
    if target.task == "regression":
        parts.append(layers.Dense(1))
    else:
        parts.append(layers.Dense(len(target.classes), "softmax"))
    with random.stream(random.key(seed)):
        return Sequential(parts)


def train_network(
    model: Sequential,
    rows: Array,
    target: Target,
    parts: tuple[Array, Array],
    learning: Array,
    shape: Shape,
    seed: int,
    seconds: float | None = None,
    folder: Path | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> History:
    """Train on encoded rows; the model has its best weights afterwards.

    Args:
        model: from `build_network`.
        rows: all encoded rows.
        target: what is predicted.
        parts: the rows to learn from, and those to validate with.
        learning: both together; amounts are scaled by them.
        shape: how to train.
        seed: of the order of rows, and dropout.
        seconds: after which no epoch begins.
        folder: where a run that is cut short can go on.
        show: is told of every epoch.
    """
    train, validation = parts
    y = scaled_target(target, learning)
    steps = shape.epochs * -(-len(train) // shape.batch_size)
    rate = schedules.CosineDecay(
        0.0,
        steps,
        warmup_target=shape.learning_rate,
        warmup_steps=max(1, steps // 20),
    )
    regression = target.task == "regression"
    model.compile(
        optimizers.AdamW(rate, weight_decay=shape.weight_decay),
        "mse" if regression else "sparse_categorical_crossentropy",
        metrics=["mae"] if regression else ["accuracy"],
    )
    weights = class_weights(target.rows(train))
    measured: tuple[Array, ...] = (rows[validation], y[validation])
    if weights is not None:
        measured = (*measured, np.array([weights[c] for c in y[validation].tolist()]))

    def tell(epoch: int, logs: Any) -> None:
        show(f"epoch {epoch + 1}: validation loss {logs['val_loss']:.4f}")

    return model.fit(
        rows[train],
        y[train],
        batch_size=shape.batch_size,
        epochs=shape.epochs,
        validation_data=measured,
        class_weight=weights,
        callbacks=[
            EarlyStopping(patience=shape.patience, restore_best_weights=True),
            LambdaCallback(on_epoch_end=tell),
        ],
        max_time=seconds,
        resume=folder,
        seed=seed,
        verbose=0,
    )


def class_weights(target: Target) -> dict[int, float] | None:
    """Weights that make all classes count alike, where one has nearly all rows.

    Below that they would only cost accuracy, and honest probabilities.

    Example:
        >>> y = np.array([0] * 95 + [1] * 5)
        >>> class_weights(Target("y", "binary", ("no", "yes"), y))[1]
        10.0
    """
    if target.task == "regression":
        return None
    counts = np.bincount(target.y, minlength=len(target.classes))
    if counts.max() <= NEARLY_ALL * len(target.y):
        return None
    found = len(target.y) / (len(counts) * np.maximum(counts, 1))
    return dict(enumerate(np.minimum(found, MOST_WEIGHT).tolist()))


def scale_of(target: Target, train: Array) -> tuple[float, float]:
    """Mean and standard deviation of the amounts among the rows to learn from."""
    y = target.y[train]
    spread = float(y.std())
    return float(y.mean()), spread if spread > 0 else 1.0


def scaled_target(target: Target, train: Array) -> Array:
    """Class numbers as they are; amounts with mean 0 and standard deviation 1."""
    if target.task != "regression":
        return target.y
    mean, spread = scale_of(target, train)
    return ((target.y - mean) / spread).astype(np.float32)


def assemble(
    encoder: layers.TableEncoder,
    members: Sequence[Sequential],
    target: Target,
    learning: Array,
) -> Sequential:
    """The whole model: raw rows in, probabilities or amounts out.

    Args:
        encoder: reads the rows.
        members: networks for encoded rows, whose outputs are averaged.
        target: what is predicted.
        learning: the rows that amounts were scaled by.
    """
    parts: list[Any] = [encoder, *members[0].layers]
    if len(members) > 1:
        width = encoder.compute_output_shape(None)[-1]
        inputs = layers.Input((width,), name="columns")
        named = [_rename(member, n + 1) for n, member in enumerate(members)]
        outputs = layers.Average(name="mean")([member(inputs) for member in named])
        parts = [encoder, Model(inputs, outputs, name="networks")]
    regression = target.task == "regression"
    if regression:
        mean, spread = scale_of(target, learning)
        parts.append(layers.Rescaling(spread, mean))
    model = Sequential(parts, name="table")
    model.compile(
        "adamw",
        "mse" if regression else "sparse_categorical_crossentropy",
        metrics=["mae"] if regression else ["accuracy"],
    )
    return model


def _rename(member: Sequential, number: int) -> Sequential:
    member.name = f"network_{number}"
    return member
