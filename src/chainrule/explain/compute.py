"""A training step with every number of it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.autodiff.rows import dense
from chainrule.explain.observe import Observer, Visit, activation_name
from chainrule.explain.step_trace import Array, LayerTrace, Weight
from chainrule.functional import random
from chainrule.ir.dtype import widen
from chainrule.ir.trace import constant
from chainrule.training.step import (
    Parts,
    State,
    augmented,
    constrain,
    differentiate,
    measure_loss,
)
from chainrule.variable import current_values, substitute


@dataclass(frozen=True)
class Computed:
    """A step as it was computed.

    Attributes:
        loss: before the update.
        loss_after: of the same batch, after it.
        predictions: before it.
        layers: in the order in which they were called.
        state: the state after the step.
    """

    loss: float
    loss_after: float
    predictions: Array
    layers: Sequence[LayerTrace]
    state: State


class _Step:
    """The step of `training.step.make_train_step`, with its layers observed."""

    def __init__(
        self, parts: Parts, layers: Sequence[Any], state: State, batch: Any
    ) -> None:
        self.parts = parts
        self.layers = layers
        self.state = state
        self.key = random.fold_in(state["key"], state["step"])
        self.batch = augmented(parts, batch, self.key)
        self.observer = Observer()

    def forward(self, trainable: Any, frozen: Any, disturbances: Any = None) -> Any:
        self.observer = Observer(disturbances)
        with (
            substitute(self.parts.variables, [*trainable, *frozen]),
            random.stream(self.key),
            self.observer.watching(self.layers),
        ):
            found = measure_loss(self.parts, self.batch, training=True)
            kept = found.y_pred, current_values(self.parts.frozen)
            return found.losses["loss"], kept

    def compute(self) -> Computed:
        trainable, frozen = self.state["trainable"], self.state["frozen"]
        self.forward(trainable, frozen)
        zeros = [constant(np.zeros_like(v.data)) for v in self.observer.observed]
        (loss, (y_pred, new_frozen)), gradients = differentiate(
            lambda weights, errors: self.forward(weights, frozen, errors),
            self.parts.trainable,
            trainable,
            zeros,
        )
        visits = self.observer.visits
        # as if they came from a scaled loss, for the update divides them again
        optimizer = self.state["optimizer"]
        scaled = [self.parts.optimizer.scale_loss(g, optimizer) for g in gradients[0]]
        updated, optimizer = self.parts.optimizer.update(
            scaled, self.state["optimizer"], trainable, loss
        )
        new = constrain(self.parts, updated)
        after, _ = self.forward(new, frozen)
        state = {
            **self.state,
            "trainable": new,
            "frozen": new_frozen,
            "optimizer": optimizer,
            "step": self.state["step"] + 1,
        }
        weights = self._weights(gradients[0], new)
        return Computed(
            float(loss.data),
            float(after.data),
            widen(y_pred.data),
            [_layer_trace(visit, gradients[1], weights) for visit in visits],
            state,
        )

    def _weights(self, gradients: Any, new: Any) -> dict[int, Weight]:
        columns = zip(
            self.parts.trainable, self.state["trainable"], gradients, new, strict=True
        )
        return {
            id(variable): Weight(
                variable.name,
                variable.path,
                widen(before.data),
                widen(dense(gradient).data),
                widen(after.data),
            )
            for variable, before, gradient, after in columns
        }


def compute_step(
    parts: Parts, layers: Sequence[Any], state: State, batch: Any
) -> Computed:
    """Take one training step and keep every number of it.

    Args:
        parts: what the step is made of.
        layers: the layers to observe.
        state: the state of a train step; it is not changed.
        batch: `{"x": ..., "y": ...}`, tensors.
    """
    return _Step(parts, layers, state, batch).compute()


def _layer_trace(visit: Visit, errors: Any, weights: dict[int, Weight]) -> LayerTrace:
    layer = visit.layer
    before, after = visit.places
    pre = visit.pre_activation
    return LayerTrace(
        name=layer.name,
        kind=type(layer).__name__,
        activation=activation_name(layer),
        input=widen(visit.input.data),
        pre_activation=None if pre is None else widen(pre.data),
        output=widen(visit.output.data),
        output_error=widen(errors[after].data),
        pre_activation_error=None if before is None else widen(errors[before].data),
        weights=[
            replace(weights[id(v)], name=v.path.rpartition(f"{layer.name}/")[2])
            for v in layer.weights
            if id(v) in weights
        ],
    )
