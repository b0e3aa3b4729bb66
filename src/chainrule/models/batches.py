"""Single batches: what `train_on_batch`, `test_on_batch` and `predict_on_batch` do."""

from __future__ import annotations

import operator
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.functional import random
from chainrule.ir import tree
from chainrule.ir.trace import constant
from chainrule.models.fitting import joined, predict_runtime, read, train_runtime
from chainrule.models.intake import Given
from chainrule.models.prepare import Examples, Preparation
from chainrule.models.runtime import Runtime
from chainrule.models.snapshot import Snapshot
from chainrule.training.data import check_finite
from chainrule.training.step import read_metrics
from chainrule.variable import values_of

# Weights of more bytes than this are not kept a second time between single batches.
KEPT_BYTES = 256 << 20

_one_at_a_time = threading.RLock()


def train(model: Any, given: Given) -> dict[str, Any]:
    """Take a step; see `Model.train_on_batch`."""
    runtime, examples = _prepare(model, given, "train_on_batch")
    store, loop = runtime.store, runtime.train
    key, step = random.next_key(), constant(np.array(0, np.int64))
    if store.lies_in(loop):  # since the last batch, and nobody changed it
        store.parts.optimizer.build(store.parts.trainable)  # it may serve others too
        loop.feed(examples.tree)
        parts = {"key": key, "step": step, "metrics": store.fresh_metrics}
        for part, value in parts.items():
            loop.write(part, value)
    else:
        loop.begin(store.training(key, step), examples.tree)
    try:
        loop.run(np.arange(examples.rows), examples.rows)
    except BaseException:
        loop.end()
        raise
    store.lend(loop)
    return read_metrics(store.parts, loop.read("metrics"))


def test(model: Any, given: Given) -> dict[str, Any]:
    """Measure a batch; see `Model.test_on_batch`."""
    runtime, examples = _prepare(model, given, "test_on_batch")
    loop = runtime.test
    loop.begin(runtime.test_store.testing(), examples.tree)
    try:
        loop.run(np.arange(examples.rows), examples.rows)
        metrics = loop.read("metrics")
        runtime.test_store.carry(loop.read)
    finally:
        loop.end()
    return read_metrics(runtime.test_store.parts, metrics)


def predict(model: Any, x: Any) -> Any:
    """The outputs for a batch; see `Model.predict_on_batch`."""
    with _one_at_a_time:
        known = model._answers
        if known is not None and known.serve(model, x):
            return known.answer(x)
        model._answers = None
        preparation = Preparation(model._preparable(None), "predict_on_batch")
        examples = read(preparation, Given(x))
        answers = Answers(model, predict_runtime(model), examples)
        outputs = answers.answer(examples.x)
        if examples.x is x and answers.nbytes <= KEPT_BYTES:
            model._answers = answers
        else:
            answers.loop.end()
        return outputs


class Answers:
    """The predict step of a model, its weights in place, for inputs of one kind.

    What a single batch costs beside its computation is mostly to look at the model and
    to copy its weights in; here that is done once, and again where something changed.

    Args:
        model: the model.
        runtime: its predict step.
        examples: inputs that the model can be given.

    Attributes:
        loop: holds the weights.
        nbytes: how many bytes they are.
    """

    def __init__(self, model: Any, runtime: Runtime, examples: Examples) -> None:
        self.loop = runtime.answer
        self._runtime = runtime
        self._reached = _reached(model)
        self._snapshot: Snapshot | None = None
        self._variables = runtime.parts.variables
        self._x = examples.x
        self._begin(examples.tree)
        self.nbytes = sum(variable.spec.nbytes for variable in self._variables)

    def _begin(self, data: Any) -> None:
        state = {"variables": self._runtime.store.testing()["variables"]}
        self._values = state["variables"]
        self.loop.begin(state, data)

    def serve(self, model: Any, x: Any) -> bool:
        """Whether it can answer: a like array, the same model; weights as they are."""
        same = type(x) is np.ndarray and model._predictor is self._runtime
        if not same or x.dtype != self._x.dtype or x.shape[1:] != self._x.shape[1:]:
            return False
        if not len(x) or check_finite(x, "x") or not self._knows(model):
            return False
        if not _same(values_of(self._variables), self._values):
            self._begin({"x": x})
        return True

    def _knows(self, model: Any) -> bool:
        """Whether the model has the variables that it had."""
        if self._snapshot is None or not self._snapshot.holds():
            if not _same(_reached(model), self._reached):
                return False
            self._snapshot = Snapshot(model)
        return True

    def answer(self, x: Any) -> Any:
        """The outputs for inputs of this kind."""
        self.loop.feed({"x": x})
        rows = len(tree.flatten(x)[0][0])
        outputs = joined([self.loop.run(np.arange(rows), rows)])
        self._runtime.store.carry(self.loop.read)
        return outputs


def _reached(model: Any) -> list[Any]:
    """The variables of a model, in the order in which its layers hold them."""
    return [variable for _, variable in model._reach(True)]


def _same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    return len(first) == len(second) and all(map(operator.is_, first, second))


def _prepare(model: Any, given: Given, task: str) -> tuple[Runtime, Examples]:
    objective = model._compiled(task)
    examples = read(Preparation(model._preparable(objective), task), given)
    return train_runtime(model, objective, examples), examples
