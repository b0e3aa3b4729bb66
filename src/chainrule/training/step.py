"""Step functions: what happens to one batch, as pure functions of state and batch.

A train step is forward pass, loss, backward pass, update and metrics in one function,
so that it can be compiled as a whole. Its state is one tree:

    {"trainable": [...], "frozen": [...], "optimizer": ..., "metrics": {...},
     "key": uint32[2], "step": int64}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.transforms import value_and_grad
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.dtype import DEFAULT_FLOAT, DType, float64
from chainrule.ir.trace import constant
from chainrule.layers.layer import collected_losses
from chainrule.ops import add, cast
from chainrule.variable import Variable, current_values, substitute

State = dict[str, Any]
Step = Callable[[State, Any], tuple[State, Any]]


@dataclass(frozen=True)
class Parts:
    """What a step is made of.

    Attributes:
        call: `call(x, training=...)`, the network.
        trainable: the variables that the optimizer updates.
        frozen: the other variables; `call` may assign to them.
        loss: `loss(y_true, y_pred)`, a scalar; None for a network that only predicts.
            What layers and regularizers add to it is added by the step.
        metrics: metrics by their names in the logs.
        optimizer: None for a network that does not train.
    """

    call: Callable[..., Any]
    trainable: Sequence[Variable]
    frozen: Sequence[Variable]
    loss: Callable[..., Any] | None = None
    metrics: Mapping[str, Any] | None = None
    optimizer: Any = None

    @property
    def variables(self) -> list[Variable]:
        """All variables, the trainable ones first."""
        return [*self.trainable, *self.frozen]

    @property
    def dtype(self) -> DType:
        """The float type that the network computes in: that of its weights."""
        floats = (v.dtype for v in self.variables if v.dtype.is_float)
        return next(floats, DEFAULT_FLOAT)


def autocast(data: Any, dtype: DType) -> Any:
    """`data` with floats of another width cast to `dtype`; the rest as it is.

    Example:
        >>> from chainrule.ir.dtype import float32
        >>> autocast(constant(np.array([1.5])), float32).dtype
        chainrule.float32
    """

    def one(leaf: Any) -> Any:
        other = leaf.spec.dtype.is_float and leaf.spec.dtype is not dtype
        return cast(leaf, dtype=dtype) if other else leaf

    return tree.tree_map(one, data)


def initial_metrics(parts: Parts) -> State:
    """The state of the metrics before any batch."""
    zero = np.zeros((), np.float64)
    state: State = {"loss": {"total": constant(zero), "count": constant(zero)}}
    for name, metric in (parts.metrics or {}).items():
        state[name] = metric.init()
    return state


def read_metrics(parts: Parts, state: State) -> dict[str, float]:
    """What the metrics measured: the mean loss over the samples, then the others."""
    total, count = (state["loss"][key].numpy() for key in ("total", "count"))
    logs = {"loss": float(total / count) if count else 0.0}
    for name, metric in (parts.metrics or {}).items():
        logs[name] = float(metric.compute(state[name]).numpy())
    return logs


def _measure(parts: Parts, state: State, loss: Any, y: Any, y_pred: Any) -> State:
    """The metrics with one more batch.

    A batch counts by its samples, so that a smaller last batch weighs less.
    """
    rows = len_of(y)
    mean = state["loss"]
    weighted = cast(loss, dtype=float64) * float(rows)
    new: State = {
        "loss": {
            "total": mean["total"] + weighted,
            "count": mean["count"] + float(rows),
        }
    }
    for name, metric in (parts.metrics or {}).items():
        new[name] = metric.update(state[name], y, y_pred)
    return new


def len_of(data: Any) -> int:
    """Number of rows of a tree of values."""
    rows: int = tree.flatten(data)[0][0].spec.shape[0]
    return rows


def measure_loss(parts: Parts, x: Any, y: Any, training: bool) -> tuple[Any, Any]:
    """What training makes small, and the predictions that it was measured on.

    The loss of the predictions, the losses that layers added while they were called,
    and the regularizers of the trainable variables, summed up.
    """
    assert parts.loss is not None
    with collected_losses() as losses:
        y_pred = parts.call(x, training=training)
    loss = parts.loss(y, y_pred)
    for variable in parts.trainable:
        if variable.regularizer is not None:
            losses.append(variable.regularizer(variable.value))
    for extra in losses:
        loss = add(loss, cast(extra, dtype=loss.spec.dtype))
    return loss, y_pred


def constrain(parts: Parts, trainable: Sequence[Any]) -> list[Any]:
    """Updated values of the trainable variables, each within its constraint."""
    pairs = zip(parts.trainable, trainable, strict=True)
    return [
        value if variable.constraint is None else variable.constraint(value)
        for variable, value in pairs
    ]


def make_train_step(parts: Parts) -> Step:
    """A step that trains: `step(state, {"x": ..., "y": ...}) -> (state, None)`.

    Example:
        >>> from chainrule.functional import asarray, random
        >>> from chainrule.losses import MeanSquaredError
        >>> from chainrule.optimizers import SGD
        >>> from chainrule.training.store import Store
        >>> slope = Variable([2.0])
        >>> parts = Parts(
        ...     lambda x, training: x * slope.value,
        ...     [slope], [], MeanSquaredError(), {}, SGD(0.25)
        ... )
        >>> state = Store(parts).training(random.key(0), asarray(0))
        >>> batch = {"x": asarray([[1.0]]), "y": asarray([[5.0]])}
        >>> state, _ = make_train_step(parts)(state, batch)
        >>> state["trainable"][0].tolist(), read_metrics(parts, state["metrics"])
        ([3.5], {'loss': 9.0})
    """
    dtype = parts.dtype

    def step(state: State, batch: Any) -> tuple[State, Any]:
        x, y = autocast(batch["x"], dtype), autocast(batch["y"], dtype)
        key = random.fold_in(state["key"], state["step"])

        def forward(trainable: Any) -> Any:
            values = [*trainable, *state["frozen"]]
            with substitute(parts.variables, values), random.stream(key):
                loss, y_pred = measure_loss(parts, x, y, training=True)
                return loss, (y_pred, current_values(parts.frozen))

        differentiated = value_and_grad(forward, has_aux=True)
        (loss, (y_pred, frozen)), gradients = differentiated(state["trainable"])
        trainable, optimizer = parts.optimizer.update(
            gradients, state["optimizer"], state["trainable"], loss
        )
        metrics = _measure(parts, state["metrics"], loss, y, y_pred)
        return {
            "trainable": constrain(parts, trainable),
            "frozen": frozen,
            "optimizer": optimizer,
            "metrics": metrics,
            "key": state["key"],
            "step": state["step"] + 1,
        }, None

    return step


def make_test_step(parts: Parts) -> Step:
    """A step that measures: `step(state, {"x": ..., "y": ...}) -> (state, None)`."""
    dtype = parts.dtype

    def step(state: State, batch: Any) -> tuple[State, Any]:
        x, y = autocast(batch["x"], dtype), autocast(batch["y"], dtype)
        with substitute(parts.variables, state["variables"]):
            loss, y_pred = measure_loss(parts, x, y, training=False)
        metrics = _measure(parts, state["metrics"], loss, y, y_pred)
        return {"variables": state["variables"], "metrics": metrics}, None

    return step


def make_predict_step(parts: Parts) -> Step:
    """A step that predicts: `step(state, {"x": ...}) -> (state, y_pred)`."""
    dtype = parts.dtype

    def step(state: State, batch: Any) -> tuple[State, Any]:
        with substitute(parts.variables, state["variables"]):
            return state, parts.call(autocast(batch["x"], dtype), training=False)

    return step
