"""The compiled steps of a model, kept from one run to the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from chainrule.jit import Loop
from chainrule.training.step import (
    Parts,
    make_predict_step,
    make_test_step,
    make_train_step,
)
from chainrule.training.store import Store


class Runtime:
    """Loops for the steps of one model, traced once and used by every later run.

    Args:
        parts: what the steps are made of.
        optimizer_state: a state to go on from.
    """

    def __init__(self, parts: Parts, optimizer_state: Any = None) -> None:
        self.parts = parts
        self.store = Store(parts, optimizer_state)

    @cached_property
    def train(self) -> Loop:
        """The loop of the train step."""
        return Loop(make_train_step(self.parts), name="train")

    @cached_property
    def test(self) -> Loop:
        """The loop of the test step."""
        return Loop(make_test_step(self.parts), name="test")

    @cached_property
    def predict(self) -> Loop:
        """The loop of the predict step."""
        return Loop(make_predict_step(self.parts), name="predict")

    def fits(self, parts: Parts) -> bool:
        """Whether steps made of `parts` would be the same."""
        mine = self.parts
        return (
            _same(mine.trainable, parts.trainable)
            and _same(mine.frozen, parts.frozen)
            and mine.loss is parts.loss
            and mine.optimizer is parts.optimizer
            and mine.metrics is parts.metrics
        )

    def optimizer_state_for(self, parts: Parts) -> Any:
        """The optimizer's state where it still applies, or None."""
        same = self.parts.optimizer is parts.optimizer
        return (
            self.store.optimizer_state
            if same and _same(self.parts.trainable, parts.trainable)
            else None
        )


def _same(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(
        a is b for a, b in zip(first, second, strict=True)
    )


def make_parts(model: Any, call: Callable[..., Any], objective: Any = None) -> Parts:
    """The parts of a model that only predicts, or whose metrics are not known yet."""
    return Parts(
        call,
        model.trainable_weights,
        model.non_trainable_weights,
        loss=None if objective is None else objective.loss,
        optimizer=None if objective is None else objective.optimizer,
    )
