"""Where the numbers of a model live between runs of the loop."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ir.trace import constant
from chainrule.loops import Lent, Loop
from chainrule.training.step import Parts, State, initial_metrics
from chainrule.variable import values_of


class Store:
    """The variables of a model, and the state of its optimizer.

    Args:
        parts: what the steps are made of.
        optimizer_state: a state to go on from; a fresh one when None.

    Attributes:
        fresh_metrics: the state of the metrics before any batch.
    """

    def __init__(self, parts: Parts, optimizer_state: Any = None) -> None:
        self.parts = parts
        if parts.optimizer is not None:
            parts.optimizer.build(parts.trainable)
        if optimizer_state is None and parts.optimizer is not None:
            optimizer_state = parts.optimizer.init(values_of(parts.trainable))
        self._optimizer_state = optimizer_state
        self._lent_since: object = None  # which beginning of a loop has all
        self._seen: list[Any] = []
        self.fresh_metrics = initial_metrics(parts)

    @property
    def optimizer_state(self) -> Any:
        """The state of the optimizer."""
        state = self._optimizer_state
        return state() if isinstance(state, Lent) else state

    @optimizer_state.setter
    def optimizer_state(self, state: Any) -> None:
        self._optimizer_state, self._lent_since = state, None

    def training(self, key: Any, step: Any) -> State:
        """The state of a train step, with metrics at their start.

        The optimizer's part has the learning rate that is set now.
        """
        optimizer = self.parts.optimizer
        optimizer.build(self.parts.trainable)  # it may have served another model since
        self.optimizer_state = optimizer.refresh(self.optimizer_state)
        self._note()
        return self.present(key, step)

    def present(self, key: Any, step: Any) -> State:
        """The same as it was left, without a look at the learning rate."""
        return {
            "trainable": values_of(self.parts.trainable),
            "frozen": values_of(self.parts.frozen),
            "optimizer": self.optimizer_state,
            "metrics": self.fresh_metrics,
            "key": key,
            "step": step,
        }

    def testing(self) -> State:
        """The state of a test step."""
        values = values_of(self.parts.variables)
        return {"variables": values, "metrics": self.fresh_metrics}

    def carry(self, read: Callable[[str], Any]) -> None:
        """Put what a test or predict step carries on into the variables.

        Args:
            read: reads a part of the state by its name.
        """
        if not any(variable.carried for variable in self.parts.variables):
            return
        pairs = zip(self.parts.variables, read("variables"), strict=True)
        for variable, value in pairs:
            if variable.carried:
                variable.assign(value)

    def keep(self, state: State) -> None:
        """Put what training made into the variables, which hold its very arrays."""
        values = [*state["trainable"], *state["frozen"]]
        for variable, value in zip(self.parts.variables, values, strict=True):
            variable.adopt(value)
        self.optimizer_state = self.parts.optimizer.state = state["optimizer"]
        self._note()

    def lend(self, loop: Loop) -> None:
        """Have all lie in a loop, to be read from there when somebody asks for it."""
        for part in ("trainable", "frozen"):
            for place, variable in enumerate(getattr(self.parts, part)):
                variable.lie_in(loop.lend(part, place))
        self.optimizer_state = self.parts.optimizer.state = loop.lend("optimizer")
        self._lent_since = loop.beginning
        self._note()

    def lies_in(self, loop: Loop) -> bool:
        """Whether the loop has what was lent from it, as it was.

        Another learning rate is handed to it.
        """
        now = self._contents()
        if self._lent_since is not loop.beginning or not self._weights_stay(now):
            return False
        rate = now[-1]
        if rate != self._seen[-1]:
            if not isinstance(rate, float):
                return False  # of several optimizers
            value = constant(np.asarray(rate, np.float32))
            loop.write_within("optimizer", "learning_rate", value)
            self._seen = now
        return True

    def finish(self) -> None:
        """Give the variables the values that the optimizer ends training with.

        These are other values than those of the last step where it keeps an average,
        or looks around on a line.
        """
        params = values_of(self.parts.trainable)
        final = self.parts.optimizer.finalize(params, self.optimizer_state)
        for variable, old, new in zip(self.parts.trainable, params, final, strict=True):
            if new is not old:
                variable.assign(new)
        self._note()

    @property
    def changed(self) -> bool:
        """Whether someone else changed a variable or the optimizer since."""
        now = self._contents()
        return now[-1] != self._seen[-1] or not self._weights_stay(now)

    def _weights_stay(self, now: list[Any]) -> bool:
        return all(map(operator.is_, now[:-1], self._seen[:-1]))

    def _note(self) -> None:
        self._seen = self._contents()

    def _contents(self) -> list[Any]:
        kept = [variable.kept for variable in self.parts.variables]
        return [*kept, self.parts.optimizer.fixed_learning_rate]
