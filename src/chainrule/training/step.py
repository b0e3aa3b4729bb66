"""Step functions: what happens to one batch, as pure functions of state and batch.

A train step is forward pass, loss, backward pass, update and metrics in one function,
so that it can be compiled as a whole. Its state is one tree:

    {"trainable": [...], "frozen": [...], "optimizer": ..., "metrics": {...},
     "key": uint32[2], "step": int64}
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.autodiff.rows import RowGradient
from chainrule.autodiff.transforms import value_and_row_grad
from chainrule.errors import ArgumentError
from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.dtype import DEFAULT_FLOAT, DType
from chainrule.layers.layer import collected_losses
from chainrule.ops import add, cast
from chainrule.training.targets import Targets
from chainrule.variable import Variable, current_values, substitute

State = dict[str, Any]
DENSE = (
    "{}: more is done with it in a step than to look up rows, or that is done within a "
    "loop or a checkpoint. All its rows are moved then, as with sparse=False"
)
Step = Callable[[State, Any], tuple[State, Any]]


@dataclass(frozen=True)
class Parts:
    """What a step is made of.

    Attributes:
        call: `call(x, training=...)`, the network.
        trainable: the variables that the optimizer updates.
        frozen: the other variables; `call` may assign to them.
        targets: the losses and metrics of the outputs; None for a network that only
            predicts. What layers and regularizers add to the loss is added by the step.
        optimizer: None for a network that does not train.
        modes: which layers are trainable; some act otherwise where they are not.
        augmentation: `augmentation(batch, key, losses)` changes what is trained on.
    """

    call: Callable[..., Any]
    trainable: Sequence[Variable]
    frozen: Sequence[Variable]
    targets: Targets | None = None
    optimizer: Any = None
    modes: tuple[bool, ...] = ()
    augmentation: Callable[[Any, Any, Sequence[Any]], Any] | None = None

    @property
    def variables(self) -> list[Variable]:
        """All variables, the trainable ones first."""
        return [*self.trainable, *self.frozen]

    @property
    def dtype(self) -> DType:
        """The float type that data is in: that of the weights, 32 bits at the least."""
        floats = (v.dtype.compute for v in self.variables if v.dtype.is_float)
        return next(floats, DEFAULT_FLOAT)


def autocast(data: Any, dtype: DType) -> Any:
    """`data` with floats of another width cast to `dtype`; the rest as it is.

    Example:
        >>> from chainrule.functional import asarray
        >>> from chainrule.ir.dtype import float32
        >>> autocast(asarray([1.5], dtype="float64"), float32).dtype
        chainrule.float32
    """

    def one(leaf: Any) -> Any:
        other = leaf.spec.dtype.is_float and leaf.spec.dtype is not dtype
        return cast(leaf, dtype=dtype) if other else leaf

    return tree.tree_map(one, data)


def initial_metrics(parts: Parts) -> State:
    """The state of the metrics before any batch."""
    return {} if parts.targets is None else parts.targets.init()


def read_metrics(parts: Parts, state: State) -> dict[str, Any]:
    """What the metrics measured: the mean loss over the samples, then the others."""
    return {} if parts.targets is None else parts.targets.read(state)


def read_passes(parts: Parts, columns: State, count: int) -> list[dict[str, Any]]:
    """What the metrics measured in each of several passes.

    Args:
        parts: what the steps are made of.
        columns: the state of the metrics, arrays with the passes in front.
        count: how many passes there were.
    """
    if parts.targets is None:
        return [{} for _ in range(count)]
    return parts.targets.read_passes(columns, count)


@dataclass(frozen=True)
class Measured:
    """What a step measures of a batch before its update.

    Attributes:
        losses: `loss`, what training makes small; and the losses of several outputs.
        y_pred: what the network returned.
    """

    losses: dict[str, Any]
    y_pred: Any


def measure_loss(parts: Parts, batch: Any, training: bool) -> Measured:
    """What training makes small, and the predictions that it was measured on.

    The losses of the predictions, the losses that layers added while they were called,
    and the regularizers of the trainable variables, summed up.

    Raises:
        ArgumentError: when there is nothing to make small.
    """
    assert parts.targets is not None
    with collected_losses() as extras:
        y_pred = parts.call(batch["x"], training=training)
    loss, named = parts.targets.losses(
        batch.get("y"), y_pred, batch.get("sample_weight")
    )
    for variable in parts.trainable:
        if variable.regularizer is not None:
            extras.append(variable.regularizer(variable.value))
    for extra in extras:
        loss = extra if loss is None else add(loss, cast(extra, dtype=loss.spec.dtype))
    if loss is None:
        raise no_loss()
    return Measured({"loss": loss, **named}, y_pred)


def no_loss(where: str = "compile") -> ArgumentError:
    """The error for a model that has nothing to make small."""
    return ArgumentError(
        "the model must be compiled with a loss, or a layer must add one by add_loss",
        where=where,
        fix="model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', "
        "metrics=['accuracy'])",
    )


def _prepared(batch: Any, dtype: DType) -> dict[str, Any]:
    return {name: autocast(part, dtype) for name, part in batch.items()}


def augmented(parts: Parts, batch: Any, key: Any) -> dict[str, Any]:
    """A batch to train on, changed as `compile(augmentation=...)` says; of one dtype.

    Args:
        parts: what the step is made of.
        batch: as it was read.
        key: the random key of the step.
    """
    if parts.augmentation is not None:
        outputs = getattr(parts.targets, "outputs", [])
        losses = [output.loss for output in outputs if output.loss is not None]
        batch = parts.augmentation(batch, key, losses)
    return _prepared(batch, parts.dtype)


def _updated(parts: Parts, state: State, found: Measured, batch: Any) -> State:
    assert parts.targets is not None
    return parts.targets.update(
        state["metrics"],
        found.losses,
        batch.get("y"),
        found.y_pred,
        batch.get("sample_weight"),
    )


def differentiate(
    function: Callable[..., Any], variables: Sequence[Variable], *args: Any
) -> Any:
    """The value of `function(*args)`, more that it gives, and its gradients.

    Those of variables that are `sparse` are kept by rows.

    Args:
        function: gives `(scalar, anything)` for values of the variables, and whatever
            else is differentiated.
        variables: the variables.
        args: their values, a list; and lists of others.

    Returns:
        `((scalar, anything), gradients)`, the gradients of each argument where there
        are several.
    """
    argnums = tuple(range(len(args))) if len(args) > 1 else 0
    tables = [variable.sparse for variable in variables]
    differentiated = value_and_row_grad(function, tables, argnums, has_aux=True)
    found, gradients = differentiated(*args)
    of_variables = gradients[0] if len(args) > 1 else gradients
    for variable, gradient in zip(variables, of_variables, strict=True):
        if variable.sparse and not isinstance(gradient, RowGradient):
            warnings.warn(DENSE.format(variable.path), UserWarning, stacklevel=2)
    return found, gradients


def constrain(parts: Parts, trainable: Sequence[Any]) -> list[Any]:
    """Updated values of the trainable variables, each within its constraint."""
    pairs = zip(parts.trainable, trainable, strict=True)
    return [
        value if variable.constraint is None else variable.constraint(value)
        for variable, value in pairs
    ]


def make_train_step(parts: Parts) -> Step:
    """A step that trains: `step(state, {"x": ..., "y": ...}) -> (state, None)`.

    The batch may hold `sample_weight` as well, and need not hold `y`.

    Example:
        >>> from chainrule.functional import asarray, random
        >>> from chainrule.losses import MeanSquaredError
        >>> from chainrule.optimizers import SGD
        >>> from chainrule.training.store import Store
        >>> from chainrule.training.targets import Output
        >>> slope = Variable([2.0])
        >>> parts = Parts(
        ...     lambda x, training: x * slope.value,
        ...     [slope], [], Targets([Output(loss=MeanSquaredError())]), SGD(0.25)
        ... )
        >>> state = Store(parts).training(random.key(0), asarray(0))
        >>> batch = {"x": asarray([[1.0]]), "y": asarray([[5.0]])}
        >>> state, _ = make_train_step(parts)(state, batch)
        >>> state["trainable"][0].tolist(), read_metrics(parts, state["metrics"])
        ([3.5], {'loss': 9.0})
    """

    def step(state: State, batch: Any) -> tuple[State, Any]:
        key = random.fold_in(state["key"], state["step"])
        batch = augmented(parts, batch, key)

        def forward(trainable: Any) -> Any:
            values = [*trainable, *state["frozen"]]
            with substitute(parts.variables, values), random.stream(key):
                found = measure_loss(parts, batch, training=True)
                loss = found.losses["loss"]
                kept = found.losses, found.y_pred, current_values(parts.frozen)
                return parts.optimizer.scale_loss(loss, state["optimizer"]), kept

        (_, (losses, y_pred, frozen)), gradients = differentiate(
            forward, parts.trainable, state["trainable"]
        )
        trainable, optimizer = parts.optimizer.update(
            gradients, state["optimizer"], state["trainable"], losses["loss"]
        )
        found = Measured(losses, y_pred)
        return {
            "trainable": constrain(parts, trainable),
            "frozen": frozen,
            "optimizer": optimizer,
            "metrics": _updated(parts, state, found, batch),
            "key": state["key"],
            "step": state["step"] + 1,
        }, None

    return step


def make_test_step(parts: Parts) -> Step:
    """A step that measures: `step(state, {"x": ..., "y": ...}) -> (state, None)`."""
    dtype = parts.dtype

    def step(state: State, batch: Any) -> tuple[State, Any]:
        batch = _prepared(batch, dtype)
        with substitute(parts.variables, state["variables"]):
            found = measure_loss(parts, batch, training=False)
            after = current_values(parts.variables)
        metrics = _updated(parts, state, found, batch)
        return {"variables": after, "metrics": metrics}, None

    return step


def make_predict_step(parts: Parts) -> Step:
    """A step that predicts: `step(state, {"x": ...}) -> (state, y_pred)`."""
    dtype = parts.dtype

    def step(state: State, batch: Any) -> tuple[State, Any]:
        with substitute(parts.variables, state["variables"]):
            y_pred = parts.call(autocast(batch["x"], dtype), training=False)
            return {"variables": current_values(parts.variables)}, y_pred

    return step
